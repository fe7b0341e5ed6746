/* conv2d_gx_mask.c: gradient of conv2d by its image, plus another gradient of that image, through the relu that made it; fused by
** the compiler, so without a gradient of its own. */
#include "ops/nn/conv.h"

#include <math.h>

static const AdvPortDef in[] = {{"gy", ADV_PORT_FLOAT, "gradient by the output [N,O,H',W']"},
                                {"weights", ADV_PORT_FLOAT, "[O,C,kh,kw]"},
                                {"y", ADV_PORT_FLOAT, "the image, which relu made [N,C,H,W]"},
                                {"skip", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "gradient by the image from elsewhere, as y, or none"},
                                {0}};
static const AdvPortDef out[] = {{"gx", ADV_PORT_FLOAT, "gradient by what relu was applied to, as y; written, not added"}, {0}};
static const AdvAttrDef attrs[] = {ADV_CONV_ATTRS,
                                   {"h", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "rows of the image"},
                                   {"w", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "columns of the image"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    int64_t d[4] = {c->in[0].dim[0], c->in[1].dim[1], c->attr[2].i, c->attr[3].i};
    c->out[0] = adv_type_make(c->in[0].dtype, 4, d);
    if (c->n_in > 4) return c->fail(c, "`conv2d_gx_mask` takes one more gradient, got %u", c->n_in - 3);
    AdvStatus st = adv_conv_check(c, "conv2d_gx_mask", &c->out[0], &c->in[1], &c->in[0], c->attr[0].i, c->attr[1].i);
    if (st != ADV_OK) return st;
    for (uint32_t k = 2; k < c->n_in; k++)
        if (!adv_shape_eq(&c->in[k], &c->out[0]) || c->in[k].dtype != c->out[0].dtype)
            return c->fail(c, "`conv2d_gx_mask` needs images %s, got %s", adv_shape_text(&c->out[0]).s, adv_shape_text(&c->in[k]).s);
    return ADV_OK;
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    AdvVal g = adv_ba(b, "conv2d_gx", c->in, 2, c->attr), y = c->in[2], zero;
    zero = b->number(b, 0, b->type(b, y)->dtype);
    if (c->n_in == 4) g = adv_b2(b, "add", g, c->in[3]);
    c->out[0] = adv_b3(b, "select", adv_b2(b, "gt", y, zero), g, zero);
    return ADV_OK;
}

static double flops(const AdvSig *sig)
{
    return adv_conv_flops(&sig->in[1], &sig->in[0]) + (double)(sig->n_in - 2) * (double)adv_view_elems(&sig->out[0]);
}

const AdvOpDef adv_op_conv2d_gx_mask = {
    ADV_OP_HEADER, .name = "conv2d_gx_mask", .version = 1, .precision = ADV_PREC_LOW, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_CONV,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .expand = expand, .flops = flops,
    .doc = "Gradient of `conv2d` by its image, maybe plus another gradient, where the image is above 0, and 0 elsewhere.\n"
           "Equal to conv2d_gx, add, gt and select; made by fusion, after gradients.",
};
