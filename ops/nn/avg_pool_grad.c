/* avg_pool_grad.c: gives each element of a window its share of the window's gradient. */
#include "ops/nn/pool.h"

static const AdvPortDef in[] = {{"gy", ADV_PORT_FLOAT, "gradient by the pooled image [N,C,H',W']"}, {0}};
static const AdvPortDef out[] = {{"gx", ADV_PORT_FLOAT, "gradient by the image [N,C,h,w]; written, not added"}, {0}};
static const AdvAttrDef attrs[] = {ADV_POOL_ATTRS,
                                   {"h", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "rows of the image"},
                                   {"w", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "columns of the image"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    int64_t d[4] = {c->in[0].dim[0], c->in[0].dim[1], c->attr[3].i, c->attr[4].i};
    c->out[0] = adv_type_make(c->in[0].dtype, 4, d);
    if (c->in[0].rank != 4) return c->fail(c, "`avg_pool_grad` needs a gradient [N, C, H, W], got %s", adv_shape_text(&c->in[0]).s);
    return adv_pool_check(c, "avg_pool_grad", &c->out[0], &c->in[0], c->attr);
}

/* It is linear in gy, and its transpose is avg_pool. */
static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    g->gin[0] = adv_ba(b, "avg_pool", g->gout, 1, g->attr);
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *gy = &c->in[0], *gx = &c->out[0];
    int64_t size = c->attr[0].i, stride = c->attr[1].i, pad = c->attr[2].i;
    for (int64_t n = 0; n < gx->dim[0]; n++)
        for (int64_t k = 0; k < gx->dim[1]; k++)
            for (int64_t h = 0; h < gx->dim[2]; h++)
                for (int64_t w = 0; w < gx->dim[3]; w++) {
                    double s = 0;
                    for (int64_t i = 0; i < gy->dim[2]; i++)
                        for (int64_t j = 0; j < gy->dim[3]; j++) {
                            int64_t p = h + pad - i * stride, q = w + pad - j * stride;
                            if (p >= 0 && p < size && q >= 0 && q < size) s += adv_ld(gy, adv_at4(gy, n, k, i, j));
                        }
                    adv_st(gx, adv_at4(gx, n, k, h, w), s / (double)(size * size));
                }
    return ADV_OK;
}

const AdvOpDef adv_op_avg_pool_grad = {
    ADV_OP_HEADER, .name = "avg_pool_grad", .version = 1, .precision = ADV_PREC_FOLLOW, .layout = ADV_LAYOUT_OP_ANY,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = grad, .ref = ref,
    .doc = "Gradient of `avg_pool`: each element gets 1/(size*size) of the gradient of every window that covers it.\n"
           "`h` and `w` are the image's size.",
};
