/* bn_relu_grad.c: gradient through relu and bn_train before it by all three inputs; fused by the compiler, so without a gradient.
**
** Where relu let through is seen from x and the statistics, not from what relu gave: a kernel reads x anyway, so the mask costs no memory.
*/
#include "ops/nn/bn.h"

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "[N,C] or [N,C,H,W]"},
                                {"gy", ADV_PORT_FLOAT, "gradient by what relu gave, as x"},
                                {"w", ADV_PORT_FLOAT, "scale [C]"},
                                {"b", ADV_PORT_FLOAT, "shift [C]"},
                                {"mean", ADV_PORT_FLOAT, "as bn_train gave it [C]"},
                                {"var", ADV_PORT_FLOAT, "as bn_train gave it [C]"},
                                {0}};
static const AdvPortDef out[] = {{"gx", ADV_PORT_FLOAT, "gradient by x; written, not added"},
                                 {"gw", ADV_PORT_FLOAT, "gradient by w [C]"},
                                 {"gb", ADV_PORT_FLOAT, "gradient by b [C]"},
                                 {0}};
static const AdvAttrDef attrs[] = {{"eps", ADV_ATTR_FLOAT, 1e-5, 0, 1, NULL, "added to the variance"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *x = &c->in[0], *gy = &c->in[1];
    AdvStatus st = adv_bn_check(c, "bn_relu_grad", x, &c->in[2], 4);
    if (st != ADV_OK) return st;
    if (!adv_shape_eq(x, gy) || x->dtype != gy->dtype)
        return c->fail(c, "`bn_relu_grad` needs an output gradient %s, got %s", adv_shape_text(x).s, adv_shape_text(gy).s);
    c->out[0] = adv_type_like(x);
    c->out[1] = c->out[2] = adv_type_like(&c->in[2]);
    return ADV_OK;
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    AdvVal norm[5] = {c->in[0], c->in[2], c->in[3], c->in[4], c->in[5]}, back[5] = {c->in[0], {0}, c->in[2], c->in[4], c->in[5]};
    AdvVal zero = b->number(b, 0, b->type(b, c->in[0])->dtype);
    back[1] = adv_b3(b, "select", adv_b2(b, "gt", adv_ba(b, "bn_relu_given", norm, 5, c->attr), zero), c->in[1], zero);
    b->node(b, "bn_grad", back, 5, c->attr, c->out, 3);
    return ADV_OK;
}

const AdvOpDef adv_op_bn_relu_grad = {
    ADV_OP_HEADER, .name = "bn_relu_grad", .version = 1, .precision = ADV_PREC_STATS, .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_BATCH | ADV_OP_JUMPS, .inplace = {ADV_INPLACE(1)}, .in = in, .out = out, .attrs = attrs, .infer = infer,
    .grad = ADV_GRAD_NEVER, .expand = expand,
    .doc = "Gradient of relu(`bn_train`) by all three inputs.\n"
           "Equal to bn_relu_given, gt, select and bn_grad; made by fusion, after gradients.",
};
