/* conv.h: the shape rule that conv2d, its two gradients and what is fused with them share. */
#ifndef ADV_OPS_NN_CONV_H
#define ADV_OPS_NN_CONV_H

#include "ops/nn/nn.h"

#define ADV_CONV_ATTRS \
    {"stride", ADV_ATTR_INT, 1, 1, 64, NULL, "step of the window, in elements, both directions"}, \
    {"pad", ADV_ATTR_INT, 0, 0, 64, NULL, "zeros added on each side, in elements"}

/* Does y [N,O,h',w'] belong to x [N,C,H,W] under w [O,C,kh,kw]? `op` names the op in the message. */
static inline AdvStatus adv_conv_check(AdvInferCtx *c, const char *op, const AdvTensorType *x, const AdvTensorType *w,
                                       const AdvTensorType *y, int64_t stride, int64_t pad)
{
    if (x->rank != 4 || w->rank != 4 || y->rank != 4)
        return c->fail(c, "`%s` needs an image [N, C, H, W] and weights [O, C, kh, kw], got %s and %s", op, adv_shape_text(x).s,
                       adv_shape_text(w).s);
    if (x->dtype != w->dtype || x->dtype != y->dtype) return c->fail(c, "`%s` needs inputs of one type", op);
    if (x->dim[1] != w->dim[1])
        return c->fail(c, "`%s` needs weights for %lld channels, got weights %s", op, (long long)x->dim[1], adv_shape_text(w).s);
    int64_t oh = adv_window_out(x->dim[2], w->dim[2], stride, pad), ow = adv_window_out(x->dim[3], w->dim[3], stride, pad);
    if (oh < 1 || ow < 1)
        return c->fail(c, "`%s`: a window of %lldx%lld does not fit into %s with a padding of %lld", op, (long long)w->dim[2],
                       (long long)w->dim[3], adv_shape_text(x).s, (long long)pad);
    if (y->dim[0] != x->dim[0] || y->dim[1] != w->dim[0] || y->dim[2] != oh || y->dim[3] != ow)
        return c->fail(c, "`%s` needs an output gradient [%lld, %lld, %lld, %lld], got %s", op, (long long)x->dim[0], (long long)w->dim[0],
                       (long long)oh, (long long)ow, adv_shape_text(y).s);
    return ADV_OK;
}

/* y's type from x and w; dims of what does not fit are made up, adv_conv_check then says what is wrong. */
static inline AdvTensorType adv_conv_out(const AdvTensorType *x, const AdvTensorType *w, int64_t stride, int64_t pad)
{
    int64_t d[4] = {x->dim[0], w->dim[0], adv_window_out(x->dim[2], w->dim[2], stride, pad),
                    adv_window_out(x->dim[3], w->dim[3], stride, pad)};
    return adv_type_make(x->dtype, 4, d);
}

/* Are operands first to end - 1 vectors with a number for each of n channels, of the type of operand 0? */
static inline AdvStatus adv_conv_vectors(AdvInferCtx *c, const char *op, uint32_t first, uint32_t end, int64_t n)
{
    for (uint32_t k = first; k < end; k++)
        if (c->in[k].rank != 1 || c->in[k].dim[0] != n || c->in[k].dtype != c->in[0].dtype)
            return c->fail(c, "`%s` needs a number for each channel [%lld], got %s", op, (long long)n, adv_shape_text(&c->in[k]).s);
    return ADV_OK;
}

/* A vector [C] as [1,C,1,1], as it is applied to images. */
static inline AdvVal adv_by_channel(AdvBuild *b, AdvVal v)
{
    int64_t d[4] = {1, b->type(b, v)->dim[0], 1, 1};
    AdvAttr shape = adv_attr_ints(d, 4);
    return adv_ba(b, "reshape", &v, 1, &shape);
}

/* Work of a convolution of weights w that has output (or output gradient) y, and of either gradient: the padding counts. */
static inline double adv_conv_flops(const AdvView *w, const AdvView *y)
{
    return 2.0 * (double)adv_view_elems(y) * (double)(w->dim[1] * w->dim[2] * w->dim[3]);
}

#endif
