/* conv2d_bias.c: convolution, bias and maybe relu in one op; fused by the compiler, so it has no gradient of its own. */
#include "ops/nn/conv.h"

static const AdvPortDef in[] = {
    {"x", ADV_PORT_FLOAT, "image [N,C,H,W]"}, {"w", ADV_PORT_FLOAT, "weights [O,C,kh,kw]"}, {"b", ADV_PORT_FLOAT, "bias [O]"}, {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "[N,O,H',W']"}, {0}};
static const AdvAttrDef attrs[] = {ADV_CONV_ATTRS, {"relu", ADV_ATTR_INT, 0, 0, 1, NULL, "1: relu of the sum"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    c->out[0] = adv_conv_out(&c->in[0], &c->in[1], c->attr[0].i, c->attr[1].i);
    if (c->in[2].rank != 1 || c->in[2].dim[0] != c->in[1].dim[0])
        return c->fail(c, "`conv2d_bias` needs a bias [%lld], got %s", (long long)c->in[1].dim[0], adv_shape_text(&c->in[2]).s);
    return adv_conv_check(c, "conv2d_bias", &c->in[0], &c->in[1], &c->out[0], c->attr[0].i, c->attr[1].i);
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    AdvVal y = adv_ba(b, "conv2d", c->in, 2, c->attr);
    y = adv_b2(b, "add", y, adv_by_channel(b, c->in[2]));
    c->out[0] = c->attr[2].i ? adv_b1(b, "relu", y) : y;
    return ADV_OK;
}

static double flops(const AdvSig *sig)
{
    return adv_conv_flops(&sig->in[1], &sig->out[0]) + (double)(1 + sig->attr[2].i) * (double)adv_view_elems(&sig->out[0]);
}

const AdvOpDef adv_op_conv2d_bias = {
    ADV_OP_HEADER, .name = "conv2d_bias", .version = 1, .precision = ADV_PREC_LOW, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_CONV,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .expand = expand, .flops = flops,
    .doc = "Convolution plus a bias for each output channel, and relu if asked for.\n"
           "Equal to conv2d, add and relu; made by fusion, after gradients.",
};
