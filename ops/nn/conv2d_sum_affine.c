/* conv2d_sum_affine.c: convolution, the tensor it is added to, and relu of the sum scaled and shifted; fused by the compiler, so without a
** gradient.
**
** The end of a block whose successor begins with a folded batch norm: the next convolution reads y, the way around it reads z.
*/
#include "ops/nn/conv.h"

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "image [N,C,H,W]"},
                                {"w", ADV_PORT_FLOAT, "weights [O,C,kh,kw]"},
                                {"r", ADV_PORT_FLOAT, "what is added, as y"},
                                {"s", ADV_PORT_FLOAT, "scale of each channel [O]"},
                                {"t", ADV_PORT_FLOAT, "shift of each channel [O]"},
                                {"b", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "bias [O], or none"},
                                {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "relu(s*z + t) [N,O,H',W']"},
                                 {"z", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "conv2d(x, w) + b + r, as y, if it is kept"},
                                 {0}};
static const AdvAttrDef attrs[] = {ADV_CONV_ATTRS, {"keep", ADV_ATTR_INT, 0, 0, 1, NULL, "1: z is a result, too"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    c->out[0] = adv_conv_out(&c->in[0], &c->in[1], c->attr[0].i, c->attr[1].i);
    c->out[1] = c->out[0];
    c->n_out = c->attr[2].i ? 2 : 1;
    if (c->n_in > 6) return c->fail(c, "`conv2d_sum_affine` takes one bias, got %u", c->n_in - 5);
    AdvStatus st = adv_conv_check(c, "conv2d_sum_affine", &c->in[0], &c->in[1], &c->out[0], c->attr[0].i, c->attr[1].i);
    if (st != ADV_OK) return st;
    if (!adv_shape_eq(&c->in[2], &c->out[0]) || c->in[2].dtype != c->out[0].dtype)
        return c->fail(c, "`conv2d_sum_affine` adds %s, got %s", adv_shape_text(&c->out[0]).s, adv_shape_text(&c->in[2]).s);
    return adv_conv_vectors(c, "conv2d_sum_affine", 3, c->n_in, c->in[1].dim[0]);
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    AdvVal sum[4] = {c->in[0], c->in[1], c->in[2], {0}}, z, y;
    AdvAttr a[3] = {c->attr[0], c->attr[1], adv_attr_i(0)};
    if (c->n_in == 6) sum[3] = c->in[5];
    z = adv_ba(b, "conv2d_sum", sum, c->n_in - 2, a);
    y = adv_b2(b, "add", adv_b2(b, "mul", z, adv_by_channel(b, c->in[3])), adv_by_channel(b, c->in[4]));
    c->out[0] = adv_b1(b, "relu", y);
    if (c->n_out == 2) c->out[1] = z;
    return ADV_OK;
}

/* The convolution, then one for each operand of an element and relu. */
static double flops(const AdvSig *sig)
{
    return adv_conv_flops(&sig->in[1], &sig->out[0]) + (double)(sig->n_in - 1) * (double)adv_view_elems(&sig->out[0]);
}

const AdvOpDef adv_op_conv2d_sum_affine = {
    ADV_OP_HEADER, .name = "conv2d_sum_affine", .version = 1, .precision = ADV_PREC_LOW, .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_CONV, .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .expand = expand, .flops = flops,
    .doc = "Convolution plus a tensor, maybe plus a bias, and relu of that sum scaled and shifted channel by channel: the end of a\n"
           "residual block before one that begins with batch norm. Equal to conv2d_sum, mul, add and relu; made by fusion, after\n"
           "gradients.",
};
