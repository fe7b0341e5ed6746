/* nearest.c: "did you mean": edit distance in which a swap of two neighbours counts as one change. */
#include "runtime/base/diag.h"

#include <string.h>

#define LONGEST_NAME 64

/* Distance of a and b (both at most LONGEST_NAME), or `limit` + 1 as soon as it must be larger. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb, size_t limit)
{
    size_t rows[3][LONGEST_NAME + 1];
    size_t *two_ago = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= nb; j++) last[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t best = now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t d = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < d) d = last[j] + 1;
            if (now[j - 1] + 1 < d) d = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_ago[j - 2] + 1 < d) d = two_ago[j - 2] + 1;
            now[j] = d;
            if (d < best) best = d;
        }
        if (best > limit) return limit + 1;
        size_t *free_row = two_ago;
        two_ago = last;
        last = now;
        now = free_row;
    }
    return last[nb];
}

const char *adv_nearest(const char *word, const char *const *names, size_t n_names)
{
    const char *found = NULL;
    size_t len = strlen(word);
    if (len < 2 || len > LONGEST_NAME) return NULL;
    size_t limit = len / 3 > 1 ? len / 3 : 1;
    for (size_t i = 0; i < n_names; i++) {
        size_t n = strlen(names[i]);
        if (n > LONGEST_NAME || n > len + limit || len > n + limit) continue;
        size_t d = distance(word, len, names[i], n, limit);
        if (d > limit) continue;
        found = names[i];
        if (d == 0) break;
        limit = d - 1;
    }
    return found;
}
