/* bn_relu.c: batch normalisation by the batch's own statistics, maybe a sum, and relu; fused by the compiler, so without a gradient. */
#include "ops/nn/bn.h"

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "[N,C] or [N,C,H,W]"},
                                {"w", ADV_PORT_FLOAT, "scale [C]"},
                                {"b", ADV_PORT_FLOAT, "shift [C]"},
                                {"skip", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "what is added before relu, as x, or none"},
                                {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "as x"},
                                 {"mean", ADV_PORT_FLOAT, "as bn_train gives it [C]"},
                                 {"var", ADV_PORT_FLOAT, "as bn_train gives it [C]"},
                                 {0}};
static const AdvAttrDef attrs[] = {{"eps", ADV_ATTR_FLOAT, 1e-5, 0, 1, NULL, "added to the variance"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *x = &c->in[0];
    AdvStatus st = adv_bn_check(c, "bn_relu", x, &c->in[1], 2);
    if (st != ADV_OK) return st;
    if (c->n_in > 4) return c->fail(c, "`bn_relu` adds one tensor, got %u", c->n_in - 3);
    if (c->n_in == 4 && (!adv_shape_eq(x, &c->in[3]) || x->dtype != c->in[3].dtype))
        return c->fail(c, "`bn_relu` adds a tensor %s, got %s", adv_shape_text(x).s, adv_shape_text(&c->in[3]).s);
    c->out[0] = adv_type_like(x);
    c->out[1] = c->out[2] = adv_type_like(&c->in[1]);
    return ADV_OK;
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    b->node(b, "bn_train", c->in, 3, c->attr, c->out, 3);
    if (c->n_in == 4) c->out[0] = adv_b2(b, "add", c->out[0], c->in[3]);
    c->out[0] = adv_b1(b, "relu", c->out[0]);
    return ADV_OK;
}

const AdvOpDef adv_op_bn_relu = {
    ADV_OP_HEADER, .name = "bn_relu", .version = 1, .precision = ADV_PREC_STATS, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_BATCH,
    .inplace = {ADV_INPLACE(3)}, .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .expand = expand,
    .doc = "`bn_train`, maybe plus another tensor, and relu of that.\n"
           "Equal to bn_train, add and relu; made by fusion, after gradients.",
};
