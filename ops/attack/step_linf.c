/* step_linf.c: one signed step of projected gradient ascent in a ball of the maximum norm, then the box. */
#include "ops/nn/nn.h"

static const AdvPortDef in[] = {{"z", ADV_PORT_FLOAT, "the point"},
                                {"g", ADV_PORT_FLOAT, "gradient there, as z"},
                                {"x", ADV_PORT_FLOAT, "centre, as z"},
                                {"eps", ADV_PORT_FLOAT, "radius: rank 0, or dims equal or 1"},
                                {"size", ADV_PORT_FLOAT, "step size: rank 0, or dims equal or 1"},
                                {0}};
static const AdvPortDef out[] = {{"z1", ADV_PORT_FLOAT, "as z"}, {0}};
static const AdvAttrDef attrs[] = {{"lo", ADV_ATTR_FLOAT, 0, -1e30, 1e30, NULL, "lower side of the box"},
                                   {"hi", ADV_ATTR_FLOAT, 1, -1e30, 1e30, NULL, "upper side of the box"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    AdvStatus st = adv_infer_join(c, "step_linf", c->in[0].dtype);
    return st == ADV_OK ? adv_infer_same_dtype(c, "step_linf", 0, 5) : st;
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    uint8_t dtype = b->type(b, c->in[0])->dtype;
    AdvVal v = adv_b2(b, "add", c->in[0], adv_b2(b, "mul", c->in[4], adv_b1(b, "sign", c->in[1])));
    v = adv_b3(b, "ball_linf", v, c->in[2], c->in[3]);
    c->out[0] = adv_b3(b, "clip", v, b->number(b, c->attr[0].f, dtype), b->number(b, c->attr[1].f, dtype));
    return ADV_OK;
}

/* sign, mul, add, ball_linf, clip */
static double flops(const AdvSig *sig)
{
    return 5.0 * (double)adv_view_elems(&sig->out[0]);
}

const AdvOpDef adv_op_step_linf = {
    ADV_OP_HEADER,
    .name = "step_linf",
    .version = 1,
    .precision = ADV_PREC_F32,
    .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_ELEMENTWISE,
    .inplace = {ADV_INPLACE(0)},
    .in = in,
    .out = out,
    .attrs = attrs,
    .infer = infer,
    .grad = ADV_GRAD_NEVER,
    .expand = expand,
    .flops = flops,
    .doc = "clip(ball_linf(z + size*sign(g), x, eps), lo, hi): step, ball, box, in this order.\n"
           "Made by fusion, after gradients. Madry et al., 2018.",
};
