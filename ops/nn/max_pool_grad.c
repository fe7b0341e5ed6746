/* max_pool_grad.c: sends each window's gradient to the element that was its largest. */
#include "ops/nn/pool.h"

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "image [N,C,H,W]"}, {"gy", ADV_PORT_FLOAT, "gradient by the pooled image"}, {0}};
static const AdvPortDef out[] = {{"gx", ADV_PORT_FLOAT, "gradient by x; written, not added"}, {0}};
static const AdvAttrDef attrs[] = {ADV_POOL_ATTRS, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    c->out[0] = adv_type_like(&c->in[0]);
    return adv_pool_check(c, "max_pool_grad", &c->in[0], &c->in[1], c->attr);
}

/* Element (h,w) of plane (n,k): the windows that cover it and chose it, in row order. */
static double collect(const AdvRefCall *c, int64_t n, int64_t k, int64_t h, int64_t w)
{
    const AdvView *x = &c->in[0], *gy = &c->in[1];
    int64_t size = c->attr[0].i, stride = c->attr[1].i, pad = c->attr[2].i;
    double s = 0;
    for (int64_t i = 0; i < gy->dim[2]; i++) {
        if (i * stride - pad > h || i * stride - pad + size <= h) continue;
        for (int64_t j = 0; j < gy->dim[3]; j++) {
            if (j * stride - pad > w || j * stride - pad + size <= w) continue;
            if (adv_pool_argmax(x, n, k, i, j, c->attr) == h * x->dim[3] + w) s += adv_ld(gy, adv_at4(gy, n, k, i, j));
        }
    }
    return s;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *gx = &c->out[0];
    for (int64_t n = 0; n < gx->dim[0]; n++)
        for (int64_t k = 0; k < gx->dim[1]; k++)
            for (int64_t h = 0; h < gx->dim[2]; h++)
                for (int64_t w = 0; w < gx->dim[3]; w++) adv_st(gx, adv_at4(gx, n, k, h, w), collect(c, n, k, h, w));
    return ADV_OK;
}

const AdvOpDef adv_op_max_pool_grad = {
    ADV_OP_HEADER, .name = "max_pool_grad", .version = 1, .precision = ADV_PREC_FOLLOW, .layout = ADV_LAYOUT_OP_ANY,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .ref = ref,
    .doc = "Gradient of `max_pool`: each window's gradient goes to its largest element, the first of equal ones.\nHas no gradient itself.",
};
