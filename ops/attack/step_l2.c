/* step_l2.c: one step of projected gradient ascent along a gradient of unit length, in a ball of the Euclidean norm, then the box. */
#include "ops/nn/nn.h"

static const AdvPortDef in[] = {{"z", ADV_PORT_FLOAT, "the point [N,...]"},
                                {"g", ADV_PORT_FLOAT, "gradient there, as z, or in 16 bits where z is f32"},
                                {"x", ADV_PORT_FLOAT, "centre, as z"},
                                {"eps", ADV_PORT_FLOAT, "radius: rank 0, or [N]; type of z"},
                                {"size", ADV_PORT_FLOAT, "step size: rank 0, or [N]; type of z"},
                                {0}};
static const AdvPortDef out[] = {{"z1", ADV_PORT_FLOAT, "as z"}, {0}};
static const AdvAttrDef attrs[] = {{"lo", ADV_ATTR_FLOAT, 0, -1e30, 1e30, NULL, "lower side of the box"},
                                   {"hi", ADV_ATTR_FLOAT, 1, -1e30, 1e30, NULL, "upper side of the box"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *z = &c->in[0];
    c->out[0] = adv_type_like(z);
    if (z->rank < 2 || !adv_shape_eq(z, &c->in[1]) || !adv_shape_eq(z, &c->in[2]))
        return c->fail(c, "`step_l2` needs a point, a gradient and a centre of one shape [N, ...], got %s, %s and %s", adv_shape_text(z).s,
                       adv_shape_text(&c->in[1]).s, adv_shape_text(&c->in[2]).s);
    for (uint32_t k = 3; k < 5; k++)
        if (c->in[k].rank > 1 || (c->in[k].rank == 1 && c->in[k].dim[0] != z->dim[0]))
            return c->fail(c, "`step_l2` needs a radius and a step size, one for all or one a sample [%lld], got %s", (long long)z->dim[0],
                           adv_shape_text(&c->in[k]).s);
    if (c->in[1].dtype != z->dtype && z->dtype != ADV_F32)
        return c->fail(c, "`step_l2` needs the point in f32 or in the type of its gradient");
    for (uint32_t k = 2; k < 5; k++)
        if (c->in[k].dtype != z->dtype) return c->fail(c, "`step_l2` needs point, centre, radius and step size of one type");
    return ADV_OK;
}

/* A number for each sample as [N,1,..], to be applied to z. */
static AdvVal widened(AdvBuild *b, AdvVal v, const AdvTensorType *z)
{
    int64_t d[ADV_MAX_RANK] = {z->dim[0], 1, 1, 1, 1, 1};
    AdvAttr shape = adv_attr_ints(d, z->rank);
    return b->type(b, v)->rank == 0 ? v : adv_ba(b, "reshape", &v, 1, &shape);
}

static AdvVal norm(AdvBuild *b, AdvVal v, const AdvTensorType *z)
{
    static const int64_t dims[ADV_MAX_RANK] = {1, 2, 3, 4, 5};
    AdvAttr a[2] = {adv_attr_ints(dims, z->rank - 1), adv_attr_i(0)};
    return adv_ba(b, "norm2", &v, 1, a);
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    AdvTensorType z = *b->type(b, c->in[0]);
    AdvVal g = c->in[1], one = b->number(b, 1, z.dtype), zero = b->number(b, 0, z.dtype), d, lim;
    AdvAttr f32 = adv_attr_i(0);
    if (b->type(b, g)->dtype != z.dtype) g = adv_ba(b, "cast", &g, 1, &f32);
    g = adv_b3(b, "safe_div", g, widened(b, norm(b, g, &z), &z), zero);
    d = adv_b2(b, "sub", adv_b2(b, "add", c->in[0], adv_b2(b, "mul", widened(b, c->in[4], &z), g)), c->in[2]);
    lim = adv_b2(b, "min", adv_b3(b, "safe_div", c->in[3], norm(b, d, &z), one), one);
    d = adv_b2(b, "add", c->in[2], adv_b2(b, "mul", d, widened(b, lim, &z)));
    c->out[0] = adv_b3(b, "clip", d, b->number(b, c->attr[0].f, z.dtype), b->number(b, c->attr[1].f, z.dtype));
    return ADV_OK;
}

/* Two norms of two each, safe_div, mul, add, sub, mul, add, clip. */
static double flops(const AdvSig *sig)
{
    return 11.0 * (double)adv_view_elems(&sig->out[0]);
}

extern const AdvOpDef adv_op_step_l2;
const AdvOpDef adv_op_step_l2 = {
    ADV_OP_HEADER,
    .name = "step_l2",
    .version = 1,
    .precision = ADV_PREC_F32,
    .layout = ADV_LAYOUT_OP_ANY,
    .inplace = {ADV_INPLACE(0)},
    .in = in,
    .out = out,
    .attrs = attrs,
    .infer = infer,
    .grad = ADV_GRAD_NEVER,
    .expand = expand,
    .flops = flops,
    .doc = "clip(x + d*min(safe_div(eps, norm2(d), 1), 1), lo, hi) with d = z + size*safe_div(g, norm2(g), 0) - x, norms of each sample:\n"
           "step, ball, box, in this order. A gradient of 0 is no step. Made by fusion, after gradients. Madry et al., 2018.",
};
