/* product.h: small dense products in registers: what our own convolutions are made of.
**
** ADV_ROWS rows of v by one or two vectors of columns: with 512-bit vectors all accumulators stay in registers, and each step of the
** sum takes one broadcast a row. Each result is a sum in the order of i: no blocking changes it.
*/
#ifndef ADV_OPS_CPU_PRODUCT_H
#define ADV_OPS_CPU_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

#define ADV_LANES 16
#define ADV_ROWS  12

/* Sixteen floats anywhere in an array of floats, and their bits. */
typedef float AdvVec __attribute__((vector_size(ADV_LANES * sizeof(float)), aligned(4), may_alias));
typedef int32_t AdvMask __attribute__((vector_size(ADV_LANES * sizeof(int32_t)), aligned(4), may_alias));

#define ADV_INTERLEAVE(a, b, i) \
    __builtin_shufflevector(a, b, i, 16 + i, 1 + i, 17 + i, 2 + i, 18 + i, 3 + i, 19 + i, 4 + i, 20 + i, 5 + i, 21 + i, 6 + i, 22 + i, \
                            7 + i, 23 + i)

/* 16 rows of 16, turned: read as one row of 256, they are shuffled perfectly four times. For functions with ADV_CLONES. */
static inline __attribute__((always_inline)) void adv_turn_16(AdvVec r[16])
{
    for (int round = 0; round < 4; round++) {
        AdvVec t[16];
        for (int i = 0; i < 8; i++) t[2 * i] = ADV_INTERLEAVE(r[i], r[i + 8], 0), t[2 * i + 1] = ADV_INTERLEAVE(r[i], r[i + 8], 8);
        for (int i = 0; i < 16; i++) r[i] = t[i];
    }
}

/* m[r][0..16 or 32) = sum over i < n of v[r][i]*u[i][0..16 or 32), for ADV_ROWS rows. */
void adv_product_16(float *m, int64_t m_row, const float *v, int64_t v_row, const float *u, int64_t u_row, int64_t n);
void adv_product_32(float *m, int64_t m_row, const float *v, int64_t v_row, const float *u, int64_t u_row, int64_t n);

/* The same with v[r][at[i]] and dense u, plus a start for each column, and relu (NaN stays NaN). For 8 or 12 rows, 16 or 32 columns. */
typedef void AdvProductAt(float *m, int64_t m_row, const float *v, int64_t v_row, const float *u, const int32_t *at, int64_t n,
                          const float *start, bool relu);
AdvProductAt *adv_product_at(int64_t n_rows, int64_t n_columns);

/* Panels: 32 columns wide while there are so many, then 16. */
static inline int64_t adv_panel_at(int64_t column, int64_t n_columns)
{
    return n_columns - column >= 2 * ADV_LANES ? 2 * ADV_LANES : ADV_LANES;
}

/* Do the accumulators fit the registers of this CPU, and was this compiled for them? Otherwise the library's kernels are the better
** ones. In builds with sanitizers always: there the kernels are tested, not timed. */
bool adv_product_is_fast(void);

#endif
