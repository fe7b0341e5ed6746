/* rows.h: copying one row of a table, whatever its type: integers go as they are, not through double. */
#ifndef ADV_OPS_DATA_ROWS_H
#define ADV_OPS_DATA_ROWS_H

#include "ops/nn/nn.h"
#include "runtime/base/container.h"

/* Row `at` of a table [M,...] as a view [...]. */
static inline AdvView adv_row(const AdvView *t, int64_t at)
{
    AdvView r = {0};
    r.dtype = t->dtype;
    r.rank = (uint8_t)(t->rank - 1);
    for (uint32_t i = 1; i < t->rank; i++) {
        r.dim[i - 1] = t->dim[i];
        r.stride[i - 1] = t->stride[i];
    }
    r.data = (char *)t->data + at * t->stride[0] * (int64_t)adv_dtype_bytes(t->dtype);
    return r;
}

/* dst[to] = src[from], both of the same dtype and row shape. */
static inline void adv_row_copy(const AdvView *dst, int64_t to, const AdvView *src, int64_t from)
{
    AdvView d = adv_row(dst, to), s = adv_row(src, from);
    AdvIter it;
    adv_iter_init(&it, d.rank, d.dim);
    adv_iter_add(&it, &d);
    adv_iter_add(&it, &s);
    for (; it.more; adv_iter_next(&it)) {
        if (d.dtype == ADV_I64) ((int64_t *)d.data)[it.at[0]] = ((const int64_t *)s.data)[it.at[1]];
        else adv_st(&d, it.at[0], adv_ld(&s, it.at[1]));
    }
}

#endif
