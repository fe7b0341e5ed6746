/* pool.h: attributes and shape rule of the pooling ops. */
#ifndef ADV_OPS_NN_POOL_H
#define ADV_OPS_NN_POOL_H

#include "ops/nn/nn.h"

#include <math.h>

#define ADV_POOL_ATTRS \
    {"size", ADV_ATTR_INT, NAN, 1, 1 << 16, NULL, "side of the square window, in elements"}, \
    {"stride", ADV_ATTR_INT, 1, 1, 1 << 16, NULL, "step of the window, in elements"}, \
    {"pad", ADV_ATTR_INT, 0, 0, 1 << 15, NULL, "border added on each side, in elements; at most half the window"}

/* *out: the pooled type of x. */
static inline AdvStatus adv_pool_out(AdvInferCtx *c, const char *op, const AdvTensorType *x, const AdvAttr *attr, AdvTensorType *out)
{
    int64_t k = attr[0].i, stride = attr[1].i, pad = attr[2].i;
    if (x->rank != 4) return c->fail(c, "`%s` needs an image [N, C, H, W], got %s", op, adv_shape_text(x).s);
    if (2 * pad > k)
        return c->fail(c, "`%s` needs a padding of at most half the window, got %lld for %lld", op, (long long)pad, (long long)k);
    int64_t d[4] = {x->dim[0], x->dim[1], adv_window_out(x->dim[2], k, stride, pad), adv_window_out(x->dim[3], k, stride, pad)};
    if (d[2] < 1 || d[3] < 1)
        return c->fail(c, "`%s`: a window of %lldx%lld does not fit into %s", op, (long long)k, (long long)k, adv_shape_text(x).s);
    *out = adv_type_make(x->dtype, 4, d);
    return ADV_OK;
}

/* Is `gy` the pooled type of `x`? */
static inline AdvStatus adv_pool_check(AdvInferCtx *c, const char *op, const AdvTensorType *x, const AdvTensorType *gy, const AdvAttr *attr)
{
    AdvTensorType y;
    AdvStatus st = adv_pool_out(c, op, x, attr, &y);
    if (st != ADV_OK) return st;
    if (!adv_shape_eq(&y, gy))
        return c->fail(c, "`%s` needs an output gradient %s, got %s", op, adv_shape_text(&y).s, adv_shape_text(gy).s);
    return ADV_OK;
}

/* Place of the largest element of the window at (i,j) of plane (n,k): h * W + w. The first in row order wins a tie; a NaN wins. */
static inline int64_t adv_pool_argmax(const AdvView *x, int64_t n, int64_t k, int64_t i, int64_t j, const AdvAttr *attr)
{
    int64_t size = attr[0].i, h0 = i * attr[1].i - attr[2].i, w0 = j * attr[1].i - attr[2].i, best = -1;
    double top = 0;
    for (int64_t p = 0; p < size; p++)
        for (int64_t q = 0; q < size; q++) {
            int64_t h = h0 + p, w = w0 + q;
            if (h < 0 || w < 0 || h >= x->dim[2] || w >= x->dim[3]) continue;
            double v = adv_ld(x, adv_at4(x, n, k, h, w));
            if (best >= 0 && !(v > top) && !(v != v && top == top)) continue;
            top = v;
            best = h * x->dim[3] + w;
        }
    return best;
}

#endif
