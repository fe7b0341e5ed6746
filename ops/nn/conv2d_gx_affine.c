/* conv2d_gx_affine.c: gradient of conv2d by its image, through the relu that made it and the scale before that, plus another gradient;
** fused by the compiler, so without a gradient of its own.
**
** The image is relu(s*z + t), as conv2d_sum_affine makes it, and the result is the gradient by z.
*/
#include "ops/nn/conv.h"

#include <math.h>

static const AdvPortDef in[] = {{"gy", ADV_PORT_FLOAT, "gradient by the output [N,O,H',W']"},
                                {"weights", ADV_PORT_FLOAT, "[O,C,kh,kw]"},
                                {"y", ADV_PORT_FLOAT, "the image, which relu made [N,C,H,W]"},
                                {"s", ADV_PORT_FLOAT, "scale of each channel [C]"},
                                {"skip", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "a gradient from elsewhere, as y, or none"},
                                {0}};
static const AdvPortDef out[] = {{"gz", ADV_PORT_FLOAT, "gradient by what was scaled, as y; written, not added"}, {0}};
static const AdvAttrDef attrs[] = {ADV_CONV_ATTRS,
                                   {"h", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "rows of the image"},
                                   {"w", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "columns of the image"},
                                   {"last", ADV_ATTR_INT, 0, 0, 1, NULL, "1: skip is a gradient by z; 0: by the image"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    int64_t d[4] = {c->in[0].dim[0], c->in[1].dim[1], c->attr[2].i, c->attr[3].i};
    c->out[0] = adv_type_make(c->in[0].dtype, 4, d);
    if (c->n_in > 5) return c->fail(c, "`conv2d_gx_affine` takes one more gradient, got %u", c->n_in - 4);
    AdvStatus st = adv_conv_check(c, "conv2d_gx_affine", &c->out[0], &c->in[1], &c->in[0], c->attr[0].i, c->attr[1].i);
    if (st != ADV_OK) return st;
    for (uint32_t k = 2; k < c->n_in; k += 2)
        if (!adv_shape_eq(&c->in[k], &c->out[0]) || c->in[k].dtype != c->out[0].dtype)
            return c->fail(c, "`conv2d_gx_affine` needs images %s, got %s", adv_shape_text(&c->out[0]).s, adv_shape_text(&c->in[k]).s);
    return adv_conv_vectors(c, "conv2d_gx_affine", 3, 4, c->in[1].dim[1]);
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    bool is_last = c->attr[4].i != 0;
    AdvVal mask[4] = {c->in[0], c->in[1], c->in[2], {0}}, g;
    if (c->n_in == 5) mask[3] = c->in[4];
    g = adv_ba(b, "conv2d_gx_mask", mask, c->n_in == 5 && !is_last ? 4 : 3, c->attr);
    g = adv_b2(b, "mul", g, adv_by_channel(b, c->in[3]));
    c->out[0] = c->n_in == 5 && is_last ? adv_b2(b, "add", c->in[4], g) : g;
    return ADV_OK;
}

static double flops(const AdvSig *sig)
{
    return adv_conv_flops(&sig->in[1], &sig->in[0]) + (double)(sig->n_in - 2) * (double)adv_view_elems(&sig->out[0]);
}

const AdvOpDef adv_op_conv2d_gx_affine = {
    ADV_OP_HEADER, .name = "conv2d_gx_affine", .version = 1, .precision = ADV_PREC_LOW, .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_CONV, .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .expand = expand, .flops = flops,
    .doc = "Gradient of `conv2d` by its image where the image is above 0, and 0 elsewhere, scaled channel by channel, maybe plus another\n"
           "gradient: before the mask, or at the end. Equal to conv2d_gx_mask, mul and add; made by fusion, after gradients.",
};
