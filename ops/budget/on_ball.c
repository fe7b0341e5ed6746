/* on_ball.c: says that a point was found within a ball, so that the radius gets the gradient of the active constraint.
**
** The attack that found x_adv is not differentiated. Its result counts as project(x_adv, x, eps) with all but eps fixed:
** where the ball holds a coordinate back, a larger radius would move it outwards (envelope theorem).
*/
#include "ops/grad.h"
#include "ops/nn/nn.h"

enum { LINF, L2 };

static const AdvPortDef in[] = {{"x_adv", ADV_PORT_FLOAT, "the point found [N,...]"},
                                {"x", ADV_PORT_FLOAT, "centre, as x_adv"},
                                {"eps", ADV_PORT_FLOAT, "radius [N]"},
                                {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "x_adv itself"}, {0}};
static const AdvAttrDef attrs[] = {{"norm", ADV_ATTR_ENUM, 0, 0, 1, "linf|l2", "norm of the ball"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *x = &c->in[0];
    if (x->rank < 2 || !adv_shape_eq(x, &c->in[1]) || c->in[2].rank != 1 || c->in[2].dim[0] != x->dim[0])
        return c->fail(c, "`on_ball` needs a point and a centre of one shape and a radius for each sample, got %s, %s and %s",
                       adv_shape_text(x).s, adv_shape_text(&c->in[1]).s, adv_shape_text(&c->in[2]).s);
    c->out[0] = adv_type_like(x);
    return ADV_OK;
}

/* Sum over all dimensions but the first; keep: as dims of 1. */
static AdvVal per_sample(AdvBuild *b, const char *op, AdvVal v, uint32_t rank, int64_t keep)
{
    static const int64_t dims[ADV_MAX_RANK] = {1, 2, 3, 4, 5};
    AdvAttr a[2] = {adv_attr_ints(dims, rank - 1), adv_attr_i(keep)};
    return adv_ba(b, op, &v, 1, a);
}

/* Each coordinate whose distance reaches eps; what the box moved does not. To 1e-6: coordinates in 0..1 are rounded by 6e-8 in f32, and one
** that steps back from the bound and returns to it ends beside it by a rounding, or not. */
static AdvVal linf(AdvBuild *b, const AdvGradCtx *g, AdvVal eps, uint32_t rank)
{
    AdvVal d = adv_b2(b, "sub", g->in[0], g->in[1]), zero = adv_val_number(b, 0, d);
    AdvVal held = adv_b2(b, "ge", adv_b1(b, "abs", d), adv_b2(b, "sub", eps, adv_val_number(b, 1e-6, d)));
    AdvVal part = adv_b2(b, "mul", g->gout[0], adv_b1(b, "sign", d));
    return per_sample(b, "sum", adv_b3(b, "select", held, part, zero), rank, 0);
}

/* Where the norm reaches eps (to 1e-4, since a norm is rounded) and the coordinate is not at 0 or 1, where the box held it. */
static AdvVal l2(AdvBuild *b, const AdvGradCtx *g, AdvVal eps, uint32_t rank)
{
    AdvVal z = g->in[0], d = adv_b2(b, "sub", z, g->in[1]), zero = adv_val_number(b, 0, z), one = adv_val_number(b, 1, z);
    AdvVal norm = per_sample(b, "norm2", d, rank, 1);
    AdvVal binds = adv_b2(b, "ge", norm, adv_b2(b, "mul", eps, adv_val_number(b, 1 - 1e-4, z)));
    AdvVal boxed = adv_b2(b, "or_", adv_b2(b, "eq", z, zero), adv_b2(b, "eq", z, one));
    AdvVal part = adv_b2(b, "mul", g->gout[0], adv_b3(b, "safe_div", d, norm, zero));
    part = adv_b3(b, "select", boxed, zero, part);
    return per_sample(b, "sum", adv_b3(b, "select", binds, part, zero), rank, 0);
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    AdvTensorType x = *b->type(b, g->in[0]);
    if (!g->need[2]) return ADV_OK;
    int64_t d[ADV_MAX_RANK] = {x.dim[0], 1, 1, 1, 1, 1};
    AdvVal eps = adv_g_reshape(b, g->in[2], x.rank, d);
    g->gin[2] = g->attr[0].i == LINF ? linf(b, g, eps, x.rank) : l2(b, g, eps, x.rank);
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    AdvIter it;
    adv_iter_init(&it, c->in[0].rank, c->in[0].dim);
    adv_iter_add(&it, &c->in[0]);
    adv_iter_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) adv_st(&c->out[0], it.at[1], adv_ld(&c->in[0], it.at[0]));
    return ADV_OK;
}

const AdvOpDef adv_op_on_ball = {
    ADV_OP_HEADER, .name = "on_ball", .version = 1, .precision = ADV_PREC_F32, .layout = ADV_LAYOUT_OP_ANY, .inplace = {ADV_INPLACE(0)},
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = grad, .ref = ref,
    .doc = "x_adv itself, but its gradient goes to the radius (envelope rule), and not to x_adv or x.\n"
           "linf: sum of gy*sign(x_adv - x) where abs(x_adv - x) >= eps - 1e-6, so what a box moved is out.\n"
           "l2: sum of gy*(x_adv - x)/norm2(x_adv - x) where x_adv is neither 0 nor 1, if norm2(x_adv - x) >= eps*(1 - 1e-4), else 0.",
};
