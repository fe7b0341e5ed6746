/* avg_pool.c: mean of each window. */
#include "ops/nn/pool.h"

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "image [N,C,H,W]"}, {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "[N,C,H',W'] with H' = floor((H + 2*pad - size)/stride) + 1"}, {0}};
static const AdvAttrDef attrs[] = {ADV_POOL_ATTRS, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    return adv_pool_out(c, "avg_pool", &c->in[0], c->attr, &c->out[0]);
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    AdvTensorType x = *b->type(b, g->in[0]);
    AdvAttr a[5] = {g->attr[0], g->attr[1], g->attr[2], adv_attr_i(x.dim[2]), adv_attr_i(x.dim[3])};
    g->gin[0] = adv_ba(b, "avg_pool_grad", g->gout, 1, a);
    return ADV_OK;
}

static double window(const AdvView *x, int64_t n, int64_t k, int64_t h0, int64_t w0, int64_t size)
{
    double s = 0;
    for (int64_t p = 0; p < size; p++)
        for (int64_t q = 0; q < size; q++) {
            int64_t h = h0 + p, w = w0 + q;
            if (h >= 0 && w >= 0 && h < x->dim[2] && w < x->dim[3]) s += adv_ld(x, adv_at4(x, n, k, h, w));
        }
    return s / (double)(size * size);
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *y = &c->out[0];
    int64_t size = c->attr[0].i, stride = c->attr[1].i, pad = c->attr[2].i;
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t k = 0; k < y->dim[1]; k++)
            for (int64_t i = 0; i < y->dim[2]; i++)
                for (int64_t j = 0; j < y->dim[3]; j++)
                    adv_st(y, adv_at4(y, n, k, i, j), window(x, n, k, i * stride - pad, j * stride - pad, size));
    return ADV_OK;
}

const AdvOpDef adv_op_avg_pool = {
    ADV_OP_HEADER, .name = "avg_pool", .version = 1, .precision = ADV_PREC_FOLLOW, .layout = ADV_LAYOUT_OP_ANY,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = grad, .ref = ref,
    .doc = "Mean of each window; the padding counts as zeros, as PyTorch does by default.\n"
           "The divisor is always size*size. The mean of whole planes is `mean` over dims [2,3].",
};
