/* adv_test.h: the few macros a test program needs. A test file is a program: TEST functions called from main, which ends
** with ADV_TEST_END(): prints "N passed, N failed" and gives the exit code. A failed CHECK says file, line and text, and the
** test goes on.
*/
#ifndef ADV_TEST_H
#define ADV_TEST_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_n_failed_checks, test_n_passed, test_n_failed;

#define CHECK(cond) \
    do { \
        if (!(cond)) { printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); test_n_failed_checks++; } \
    } while (0)

#define CHECK_STR(got, want) \
    do { \
        const char *check_g = (got), *check_w = (want); \
        if (!check_g || strcmp(check_g, check_w) != 0) { \
            printf("%s:%d: got `%s`, want `%s`\n", __FILE__, __LINE__, check_g ? check_g : "(null)", check_w); \
            test_n_failed_checks++; \
        } \
    } while (0)

#define CHECK_EQ(got, want) \
    do { \
        long long check_g = (long long)(got), check_w = (long long)(want); \
        if (check_g != check_w) { \
            printf("%s:%d: %s is %lld, want %lld\n", __FILE__, __LINE__, #got, check_g, check_w); \
            test_n_failed_checks++; \
        } \
    } while (0)

/* |got - want| <= tol * max(1, |want|) */
#define CHECK_NEAR(got, want, tol) \
    do { \
        double check_g = (got), check_w = (want); \
        if (!(fabs(check_g - check_w) <= (tol) * fmax(1.0, fabs(check_w)))) { \
            printf("%s:%d: %s is %.17g, want %.17g\n", __FILE__, __LINE__, #got, check_g, check_w); \
            test_n_failed_checks++; \
        } \
    } while (0)

/* Memory of a test of exactly n bytes, so that sanitizers see its end; the test ends without it. */
static inline void *test_mem(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p) abort();
    return p;
}

/* Runs one test function and counts it. */
#define RUN(fn) \
    do { \
        int run_before = test_n_failed_checks; \
        fn(); \
        if (test_n_failed_checks == run_before) test_n_passed++; \
        else { test_n_failed++; printf("FAIL %s\n", #fn); } \
    } while (0)

#define ADV_TEST_END() (printf("%d passed, %d failed\n", test_n_passed, test_n_failed), test_n_failed != 0)

#endif
