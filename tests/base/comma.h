/* comma.h: a host program whose numbers have a comma. The locale is made for the test, since few machines have one of that kind. */
#ifndef ADV_TESTS_COMMA_H
#define ADV_TESTS_COMMA_H

#include "tests/base/scratch.h"

#include <locale.h>

/* True with the comma set, until comma_end; false, having said why, where none can be made. */
static inline bool comma_begin(void)
{
    char dir[64], text[16];
    scratch_make(dir);
    bool is_made = scratch_do(dir, "printf 'LC_NUMERIC\\ndecimal_point \"<U002C>\"\\nthousands_sep \"\"\\ngrouping -1\\n"
                                   "END LC_NUMERIC\\n' > source; localedef -c --no-archive -f ANSI_X3.4-1968 -i source ./comma > log 2>&1;"
                                   " test -e comma/LC_NUMERIC");
    if (is_made && !setenv("LOCPATH", dir, 1)) (void)setlocale(LC_NUMERIC, "comma");
    scratch_remove(dir);
    snprintf(text, sizeof text, "%g", 0.5);
    bool is_comma = !strcmp(text, "0,5");
    if (!is_comma) printf("SKIP a locale with a comma: localedef cannot make one here\n");
    return is_comma;
}

static inline void comma_end(void) { (void)setlocale(LC_NUMERIC, "C"); }

#endif
