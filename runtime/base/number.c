/* number.c: the point of numbers, whatever the locale's is: a byte or several that no number has otherwise. */
#include "runtime/base/number.h"

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_of_number(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '+' || c == '-';
}

static AdvNumber with_point(AdvNumber x)
{
    char *to = x.at;
    for (const char *from = x.at; *from;) {
        if (is_of_number(*from)) {
            *to++ = *from++;
            continue;
        }
        *to++ = '.';
        while (*from && !is_of_number(*from)) from++;
    }
    *to = 0;
    return x;
}

AdvNumber adv_number_text(double x, int digits)
{
    AdvNumber n;
    snprintf(n.at, sizeof n.at, "%.*g", digits, x);
    return with_point(n);
}

AdvNumber adv_number_fixed(double x, int decimals)
{
    AdvNumber n;
    snprintf(n.at, sizeof n.at, "%.*f", decimals, x);
    return with_point(n);
}

AdvNumber adv_number_hex(double x)
{
    AdvNumber n;
    snprintf(n.at, sizeof n.at, "%a", x);
    return with_point(n);
}

double adv_number_read(char *text, char **out_end)
{
    const char *own = localeconv()->decimal_point;
    char *point = strchr(text, '.');
    size_t n = strlen(own);
    if (point && n <= ADV_POINT_BYTES) {
        memmove(point + n, point + 1, strlen(point));
        memcpy(point, own, n);
    }
    return strtod(text, out_end);
}
