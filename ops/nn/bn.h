/* bn.h: what the ops of batch normalisation share: walking the elements of one channel of x [N,C] or [N,C,H,W], checks. */
#ifndef ADV_OPS_NN_BN_H
#define ADV_OPS_NN_BN_H

#include "ops/nn/nn.h"

/* Elements of a channel. */
static inline int64_t adv_bn_count(const AdvView *x) { return x->rank == 2 ? x->dim[0] : x->dim[0] * x->dim[2] * x->dim[3]; }

/* Offset of element i (0 .. count-1, row order) of channel k. */
static inline int64_t adv_bn_at(const AdvView *x, int64_t k, int64_t i)
{
    if (x->rank == 2) return i * x->stride[0] + k * x->stride[1];
    int64_t hw = x->dim[2] * x->dim[3];
    return i / hw * x->stride[0] + k * x->stride[1] + i % hw / x->dim[3] * x->stride[2] + i % x->dim[3] * x->stride[3];
}

/* y of channel k of x, by mean and variance as a tensor holds them: so an op that is given those gets the same bits again. */
static inline void adv_bn_norm(const AdvView *x, const AdvView *y, int64_t k, double mean, double scale, double shift, bool relu)
{
    for (int64_t i = 0, m = adv_bn_count(x); i < m; i++) {
        double v = (adv_ld(x, adv_bn_at(x, k, i)) - mean) * scale + shift;
        adv_st(y, adv_bn_at(y, k, i), relu && v <= 0 ? 0 : v);
    }
}

/* x of rank 2 or 4, and each of v[0..n) is [C]. */
static inline AdvStatus adv_bn_check(AdvInferCtx *c, const char *op, const AdvTensorType *x, const AdvTensorType *v, uint32_t n)
{
    if (x->rank != 2 && x->rank != 4) return c->fail(c, "`%s` needs x [N, C] or [N, C, H, W], got %s", op, adv_shape_text(x).s);
    for (uint32_t i = 0; i < n; i++)
        if (v[i].rank != 1 || v[i].dim[0] != x->dim[1])
            return c->fail(c, "`%s` needs one number a channel, [%lld], got %s", op, (long long)x->dim[1], adv_shape_text(&v[i]).s);
    return ADV_OK;
}

#endif
