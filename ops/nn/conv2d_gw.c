/* conv2d_gw.c: gradient of conv2d by its weights. */
#include "ops/nn/conv.h"

#include <math.h>

static const AdvPortDef in[] = {
    {"x", ADV_PORT_FLOAT, "image [N,C,H,W]"}, {"gy", ADV_PORT_FLOAT, "gradient by the output [N,O,H',W']"}, {0}};
static const AdvPortDef out[] = {{"gw", ADV_PORT_FLOAT, "gradient by the weights [O,C,kh,kw]; written, not added"}, {0}};
static const AdvAttrDef attrs[] = {ADV_CONV_ATTRS,
                                   {"kh", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "rows of the window"},
                                   {"kw", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "columns of the window"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    int64_t d[4] = {c->in[1].dim[1], c->in[0].dim[1], c->attr[2].i, c->attr[3].i};
    c->out[0] = adv_type_make(c->in[0].dtype, 4, d);
    return adv_conv_check(c, "conv2d_gw", &c->in[0], &c->out[0], &c->in[1], c->attr[0].i, c->attr[1].i);
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    const AdvAttr *a = g->attr;
    AdvTensorType x = *b->type(b, g->in[0]);
    if (g->need[0]) {
        AdvAttr ga[4] = {a[0], a[1], adv_attr_i(x.dim[2]), adv_attr_i(x.dim[3])};
        AdvVal v[2] = {g->in[1], g->gout[0]};
        g->gin[0] = adv_ba(b, "conv2d_gx", v, 2, ga);
    }
    if (g->need[1]) {
        AdvVal v[2] = {g->in[0], g->gout[0]};
        g->gin[1] = adv_ba(b, "conv2d", v, 2, a);
    }
    return ADV_OK;
}

/* One element of gw: place (p,q) of the window, output channel o, image channel k. */
static double correlate(const AdvView *x, const AdvView *gy, int64_t o, int64_t k, int64_t p, int64_t q, int64_t stride)
{
    double s = 0;
    for (int64_t n = 0; n < gy->dim[0]; n++)
        for (int64_t i = 0; i < gy->dim[2]; i++) {
            int64_t h = i * stride + p;
            if (h < 0 || h >= x->dim[2]) continue;
            for (int64_t j = 0; j < gy->dim[3]; j++) {
                int64_t w = j * stride + q;
                if (w < 0 || w >= x->dim[3]) continue;
                s += adv_ld(x, adv_at4(x, n, k, h, w)) * adv_ld(gy, adv_at4(gy, n, o, i, j));
            }
        }
    return s;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *gy = &c->in[1], *gw = &c->out[0];
    int64_t stride = c->attr[0].i, pad = c->attr[1].i;
    for (int64_t o = 0; o < gw->dim[0]; o++)
        for (int64_t k = 0; k < gw->dim[1]; k++)
            for (int64_t p = 0; p < gw->dim[2]; p++)
                for (int64_t q = 0; q < gw->dim[3]; q++)
                    adv_st(gw, adv_at4(gw, o, k, p, q), correlate(x, gy, o, k, p - pad, q - pad, stride));
    return ADV_OK;
}

static double flops(const AdvSig *sig)
{
    return adv_conv_flops(&sig->out[0], &sig->in[1]);
}

const AdvOpDef adv_op_conv2d_gw = {
    ADV_OP_HEADER,
    .name = "conv2d_gw",
    .version = 1,
    .precision = ADV_PREC_LOW,
    .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_CONV | ADV_OP_WGRAD | ADV_OP_BATCH,
    .in = in,
    .out = out,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .flops = flops,
    .doc = "Gradient of `conv2d` by its weights, summed over the batch.\n"
           "`kh` and `kw` are the window's size, which the other sizes do not tell when the stride is above 1.",
};
