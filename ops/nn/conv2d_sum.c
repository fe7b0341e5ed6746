/* conv2d_sum.c: convolution, the tensor it is added to, bias and relu in one op; fused by the compiler, so without a gradient. */
#include "ops/nn/conv.h"

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "image [N,C,H,W]"},
                                {"w", ADV_PORT_FLOAT, "weights [O,C,kh,kw]"},
                                {"r", ADV_PORT_FLOAT, "what is added, as y"},
                                {"b", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "bias [O], or none"},
                                {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "[N,O,H',W']"}, {0}};
static const AdvAttrDef attrs[] = {ADV_CONV_ATTRS, {"relu", ADV_ATTR_INT, 0, 0, 1, NULL, "1: relu of the sum"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    c->out[0] = adv_conv_out(&c->in[0], &c->in[1], c->attr[0].i, c->attr[1].i);
    if (c->n_in > 4) return c->fail(c, "`conv2d_sum` takes one bias, got %u", c->n_in - 3);
    if (c->n_in == 4 && (c->in[3].rank != 1 || c->in[3].dim[0] != c->in[1].dim[0]))
        return c->fail(c, "`conv2d_sum` needs a bias [%lld], got %s", (long long)c->in[1].dim[0], adv_shape_text(&c->in[3]).s);
    AdvStatus st = adv_conv_check(c, "conv2d_sum", &c->in[0], &c->in[1], &c->out[0], c->attr[0].i, c->attr[1].i);
    if (st != ADV_OK) return st;
    if (!adv_shape_eq(&c->in[2], &c->out[0]) || c->in[2].dtype != c->out[0].dtype)
        return c->fail(c, "`conv2d_sum` adds %s, got %s", adv_shape_text(&c->out[0]).s, adv_shape_text(&c->in[2]).s);
    return ADV_OK;
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    AdvVal v[3] = {c->in[0], c->in[1], {0}}, y;
    if (c->n_in == 4) {
        AdvAttr a[3] = {c->attr[0], c->attr[1], adv_attr_i(0)};
        v[2] = c->in[3];
        y = adv_ba(b, "conv2d_bias", v, 3, a);
    } else
        y = adv_ba(b, "conv2d", v, 2, c->attr);
    y = adv_b2(b, "add", y, c->in[2]);
    c->out[0] = c->attr[2].i ? adv_b1(b, "relu", y) : y;
    return ADV_OK;
}

static double flops(const AdvSig *sig)
{
    return adv_conv_flops(&sig->in[1], &sig->out[0]) + (double)(sig->n_in - 2 + sig->attr[2].i) * (double)adv_view_elems(&sig->out[0]);
}

const AdvOpDef adv_op_conv2d_sum = {
    ADV_OP_HEADER, .name = "conv2d_sum", .version = 1, .precision = ADV_PREC_LOW, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_CONV,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .expand = expand, .flops = flops,
    .doc = "Convolution plus a tensor, maybe plus a bias for each output channel, and relu if asked for: the end of a residual block.\n"
           "Equal to conv2d or conv2d_bias, add and relu; made by fusion, after gradients.",
};
