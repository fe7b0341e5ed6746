/* nn.h: what the files of ops/nn and ops/data share: window arithmetic, offsets of rank-4 elements, shapes as text. */
#ifndef ADV_OPS_NN_H
#define ADV_OPS_NN_H

#include "ops/adv_op.h"
#include "ops/shape.h"
#include "ops/view.h"

#include <stdio.h>

/* Output length of a window of `k` moved by `stride` over `len` padded by `pad` on both sides; 0 or less: it does not fit. */
static inline int64_t adv_window_out(int64_t len, int64_t k, int64_t stride, int64_t pad)
{
    return len + 2 * pad < k ? 0 : (len + 2 * pad - k) / stride + 1;
}

/* Offset of element (n,c,h,w) of a rank-4 view. */
static inline int64_t adv_at4(const AdvView *v, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return n * v->stride[0] + c * v->stride[1] + h * v->stride[2] + w * v->stride[3];
}

/* Element at offset `at` of an integer view; adv_ld would round beyond 2^53, and seeds use all bits. */
static inline int64_t adv_i64(const AdvView *v, int64_t at)
{
    switch (v->dtype) {
    case ADV_I64: return ((const int64_t *)v->data)[at];
    case ADV_I32: return ((const int32_t *)v->data)[at];
    default: return ((const uint8_t *)v->data)[at];
    }
}

/* "[2, 3, 9, 9]" */
typedef struct AdvShapeText { char s[96]; } AdvShapeText;
static inline AdvShapeText adv_shape_text(const AdvTensorType *t)
{
    AdvShapeText r;
    int at = snprintf(r.s, sizeof r.s, "[");
    for (uint32_t i = 0; i < t->rank && at < 80; i++)
        at += snprintf(r.s + at, sizeof r.s - (size_t)at, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    snprintf(r.s + at, sizeof r.s - (size_t)at, "]");
    return r;
}

/* The same dtype and shape as `t`, in row order. */
static inline AdvTensorType adv_type_like(const AdvTensorType *t)
{
    return adv_type_make(t->dtype, t->rank, t->dim);
}

#endif
