/* conv2d_gx.c: gradient of conv2d by its image; also known as transposed convolution. */
#include "ops/nn/conv.h"

#include <math.h>

static const AdvPortDef in[] = {
    {"gy", ADV_PORT_FLOAT, "gradient by the output [N,O,H',W']"}, {"weights", ADV_PORT_FLOAT, "[O,C,kh,kw]"}, {0}};
static const AdvPortDef out[] = {{"gx", ADV_PORT_FLOAT, "gradient by the image [N,C,H,W]; written, not added"}, {0}};
static const AdvAttrDef attrs[] = {ADV_CONV_ATTRS,
                                   {"h", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "rows of the image"},
                                   {"w", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "columns of the image"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    int64_t d[4] = {c->in[0].dim[0], c->in[1].dim[1], c->attr[2].i, c->attr[3].i};
    c->out[0] = adv_type_make(c->in[0].dtype, 4, d);
    return adv_conv_check(c, "conv2d_gx", &c->out[0], &c->in[1], &c->in[0], c->attr[0].i, c->attr[1].i);
}

/* The map gy -> gx is the transpose of x -> y, so its own gradient by gy is the convolution. */
static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    const AdvAttr *a = g->attr;
    AdvTensorType w = *b->type(b, g->in[1]);
    if (g->need[0]) {
        AdvVal v[2] = {g->gout[0], g->in[1]};
        g->gin[0] = adv_ba(b, "conv2d", v, 2, a);
    }
    if (g->need[1]) {
        AdvAttr ga[4] = {a[0], a[1], adv_attr_i(w.dim[2]), adv_attr_i(w.dim[3])};
        AdvVal v[2] = {g->gout[0], g->in[0]};
        g->gin[1] = adv_ba(b, "conv2d_gw", v, 2, ga);
    }
    return ADV_OK;
}

/* One element of gx: all (output place, window place) pairs that touched it. */
static double spread(const AdvView *gy, const AdvView *w, int64_t n, int64_t c, int64_t h, int64_t u, int64_t stride)
{
    double s = 0;
    for (int64_t i = 0; i < w->dim[2]; i++) {
        if (h - i < 0 || (h - i) % stride || (h - i) / stride >= gy->dim[2]) continue;
        for (int64_t j = 0; j < w->dim[3]; j++) {
            if (u - j < 0 || (u - j) % stride || (u - j) / stride >= gy->dim[3]) continue;
            for (int64_t o = 0; o < gy->dim[1]; o++)
                s += adv_ld(gy, adv_at4(gy, n, o, (h - i) / stride, (u - j) / stride)) * adv_ld(w, adv_at4(w, o, c, i, j));
        }
    }
    return s;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *gy = &c->in[0], *w = &c->in[1], *gx = &c->out[0];
    int64_t stride = c->attr[0].i, pad = c->attr[1].i;
    for (int64_t n = 0; n < gx->dim[0]; n++)
        for (int64_t k = 0; k < gx->dim[1]; k++)
            for (int64_t i = 0; i < gx->dim[2]; i++)
                for (int64_t j = 0; j < gx->dim[3]; j++)
                    adv_st(gx, adv_at4(gx, n, k, i, j), spread(gy, w, n, k, i + pad, j + pad, stride));
    return ADV_OK;
}

static double flops(const AdvSig *sig)
{
    return adv_conv_flops(&sig->in[1], &sig->in[0]);
}

const AdvOpDef adv_op_conv2d_gx = {
    ADV_OP_HEADER, .name = "conv2d_gx", .version = 1, .precision = ADV_PREC_LOW, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_CONV,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = grad, .ref = ref, .flops = flops,
    .doc = "Gradient of `conv2d` by its image.\n"
           "`h` and `w` are the image's size, which the output's size does not tell when the stride is above 1.",
};
