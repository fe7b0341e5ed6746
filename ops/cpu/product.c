/* product.c: see product.h. The loops over rows and vectors are unrolled, so that the accumulators become registers: 24 of 32. */
#include "ops/cpu/product.h"

#include "ops/cpu/cpu.h"

#define LOAD(p) (*(const AdvVec *)(p))
#define STORE(p, v) (*(AdvVec *)(p) = (v))

/* WIDE: vectors of columns. */
#define PRODUCT(name, WIDE) \
    ADV_CLONES void name(float *m, int64_t m_row, const float *v, int64_t v_row, const float *u, int64_t u_row, int64_t n) \
    { \
        AdvVec acc[ADV_ROWS][WIDE] = {{{0}}}, b[WIDE]; \
        for (int64_t i = 0; i < n; i++) { \
            for (int k = 0; k < WIDE; k++) b[k] = LOAD(u + i * u_row + k * ADV_LANES); \
            for (int r = 0; r < ADV_ROWS; r++) \
                for (int k = 0; k < WIDE; k++) acc[r][k] += v[r * v_row + i] * b[k]; \
        } \
        for (int r = 0; r < ADV_ROWS; r++) \
            for (int k = 0; k < WIDE; k++) STORE(m + r * m_row + k * ADV_LANES, acc[r][k]); \
    }
PRODUCT(adv_product_16, 1)
PRODUCT(adv_product_32, 2)

#define PRODUCT_AT(rows, columns, WIDE) \
    ADV_CLONES static void at_##rows##x##columns(float *m, int64_t m_row, const float *v, int64_t v_row, const float *u, \
                                                 const int32_t *at, int64_t n, const float *start, bool relu) \
    { \
        AdvVec acc[rows][WIDE], b[WIDE]; \
        for (int r = 0; r < rows; r++) \
            for (int k = 0; k < WIDE; k++) acc[r][k] = LOAD(start + k * ADV_LANES); \
        for (int64_t i = 0; i < n; i++) { \
            const float *from = v + at[i]; \
            for (int k = 0; k < WIDE; k++) b[k] = LOAD(u + (i * WIDE + k) * ADV_LANES); \
            for (int r = 0; r < rows; r++) \
                for (int k = 0; k < WIDE; k++) acc[r][k] += from[r * v_row] * b[k]; \
        } \
        for (int r = 0; r < rows; r++) \
            for (int k = 0; k < WIDE; k++) { \
                AdvVec y = acc[r][k]; \
                if (relu) y = (AdvVec)(~(AdvMask)(y <= 0) & (AdvMask)y); \
                STORE(m + r * m_row + k * ADV_LANES, y); \
            } \
    }
PRODUCT_AT(8, 16, 1)
PRODUCT_AT(8, 32, 2)
PRODUCT_AT(12, 16, 1)
PRODUCT_AT(12, 32, 2)

AdvProductAt *adv_product_at(int64_t n_rows, int64_t n_columns)
{
    bool is_wide = n_columns == 2 * ADV_LANES;
    if (n_rows == 8) return is_wide ? at_8x32 : at_8x16;
    return is_wide ? at_12x32 : at_12x16;
}

bool adv_product_is_fast(void)
{
#if ADV_HAS_CLONES
    return __builtin_cpu_supports("avx512f") != 0;
#elif defined(__AVX512F__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}
