/* conv2d.c: convolution as networks mean it (cross-correlation), zero padding, one stride for both directions. */
#include "ops/nn/conv.h"

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "image [N,C,H,W]"}, {"w", ADV_PORT_FLOAT, "weights [O,C,kh,kw]"}, {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "[N,O,H',W'] with H' = floor((H + 2*pad - kh)/stride) + 1"}, {0}};
static const AdvAttrDef attrs[] = {ADV_CONV_ATTRS, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    c->out[0] = adv_conv_out(&c->in[0], &c->in[1], c->attr[0].i, c->attr[1].i);
    return adv_conv_check(c, "conv2d", &c->in[0], &c->in[1], &c->out[0], c->attr[0].i, c->attr[1].i);
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    const AdvAttr *a = g->attr;
    AdvTensorType x = *b->type(b, g->in[0]), w = *b->type(b, g->in[1]);
    if (g->need[0]) {
        AdvAttr ga[4] = {a[0], a[1], adv_attr_i(x.dim[2]), adv_attr_i(x.dim[3])};
        AdvVal v[2] = {g->gout[0], g->in[1]};
        g->gin[0] = adv_ba(b, "conv2d_gx", v, 2, ga);
    }
    if (g->need[1]) {
        AdvAttr ga[4] = {a[0], a[1], adv_attr_i(w.dim[2]), adv_attr_i(w.dim[3])};
        AdvVal v[2] = {g->in[0], g->gout[0]};
        g->gin[1] = adv_ba(b, "conv2d_gw", v, 2, ga);
    }
    return ADV_OK;
}

/* One output element. */
static double window(const AdvView *x, const AdvView *w, int64_t n, int64_t o, int64_t h0, int64_t w0)
{
    double s = 0;
    for (int64_t c = 0; c < x->dim[1]; c++)
        for (int64_t i = 0; i < w->dim[2]; i++) {
            int64_t h = h0 + i;
            if (h < 0 || h >= x->dim[2]) continue;
            for (int64_t j = 0; j < w->dim[3]; j++) {
                int64_t u = w0 + j;
                if (u < 0 || u >= x->dim[3]) continue;
                s += adv_ld(x, adv_at4(x, n, c, h, u)) * adv_ld(w, adv_at4(w, o, c, i, j));
            }
        }
    return s;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *w = &c->in[1], *y = &c->out[0];
    int64_t stride = c->attr[0].i, pad = c->attr[1].i;
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t o = 0; o < y->dim[1]; o++)
            for (int64_t i = 0; i < y->dim[2]; i++)
                for (int64_t j = 0; j < y->dim[3]; j++)
                    adv_st(y, adv_at4(y, n, o, i, j), window(x, w, n, o, i * stride - pad, j * stride - pad));
    return ADV_OK;
}

static double flops(const AdvSig *sig)
{
    return adv_conv_flops(&sig->in[1], &sig->out[0]);
}

const AdvOpDef adv_op_conv2d = {
    ADV_OP_HEADER, .name = "conv2d", .version = 1, .precision = ADV_PREC_LOW, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_CONV,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = grad, .ref = ref, .flops = flops,
    .doc = "Convolution of an image with weights: y[n,o,i,j] = sum over c,p,q of x[n,c,i*stride+p-pad,j*stride+q-pad] * w[o,c,p,q].\n"
           "The weights are not flipped (cross-correlation), outside the image is 0, no bias. Equal to PyTorch's conv2d.",
};
