/* fuse_step.c: the rules of pass fuse about the step of an attack: along a signed gradient, and along a gradient of unit length.
**
** See fuse.c for when a node may be merged away, tests/ir/fuse_step.advg and fuse_l2.advg for what comes out.
*/
#include "compiler/pass/fuse.h"

#include "ops/view.h"

#include <math.h>

/* ---- L-inf ------------------------------------------------------------------------------------------------------------- */

/* The two sides of size*sign(g), in either order. */
static bool signed_step(const Fuse *f, AdvNodeId user, AdvValueId v, AdvValueId *out_size, AdvNodeId *out_sign)
{
    AdvNodeId mul = fuse_only_by(f, user, v, "mul");
    for (uint32_t k = 0; mul.i && k < 2; k++) {
        AdvValueId side = fuse_in(f, mul, k);
        AdvNodeId cast = fuse_made_by(f, side, "cast");
        *out_sign = fuse_made_by(f, cast.i ? fuse_in(f, cast, 0) : side, "sign"); /* in 16 bits a sign is a sign */
        *out_size = fuse_in(f, mul, 1 - k);
        if (out_sign->i) return true;
    }
    return false;
}

/* g in f32, as the attack's iterate is. */
static AdvValueId as_f32(Fuse *f, AdvGraphBuild *b, AdvValueId v)
{
    AdvAttr to = adv_attr_i(0);
    if (adv_value_type(f->g, v)->dtype == ADV_F32) return v;
    AdvValueId r = adv_build_op(b, "cast", &v, 1, &to);
    f->g->values.at[r.i].type.layout = adv_value_type(f->g, v)->layout;
    return r;
}

/* clip(ball_linf(z + size*sign(g), x, eps), lo, hi)  ->  step_linf(z, g, x, eps, size) {lo, hi}
** clip(ball_linf(z - size*sign(g), x, eps), lo, hi)  ->  step_linf(z, g, x, eps, neg(size)) {lo, hi} */
bool rule_step_linf(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvNodeId ball, sum, sign = {0};
    AdvValueId size = {0}, z = {0}, arg[5];
    AdvAttr attrs[2];
    AdvGraphBuild b;
    double lo, hi;
    bool minus;
    if (!adv_node_is(g, n, "clip")) return false;
    ball = fuse_only_by(f, n, fuse_in(f, n, 0), "ball_linf");
    if (!ball.i || !adv_value_number(g, fuse_in(f, n, 1), &lo) || !adv_value_number(g, fuse_in(f, n, 2), &hi)) return false;
    if (!(fabs(lo) <= 1e30) || !(fabs(hi) <= 1e30)) return false;
    sum = fuse_only_by(f, ball, fuse_in(f, ball, 0), "add");
    minus = !sum.i;
    if (minus) sum = fuse_only_by(f, ball, fuse_in(f, ball, 0), "sub");
    if (!sum.i) return false;
    for (uint32_t k = 0; k < 2 && !sign.i; k++) {
        uint32_t step = 1 - k;
        if (minus && step == 0) break; /* size*sign(g) - z is no step */
        if (signed_step(f, sum, fuse_in(f, sum, step), &size, &sign))
            z = fuse_in(f, sum, k);
        else
            sign.i = 0;
    }
    if (!sign.i || !fuse_same_shape(f, z, adv_node_out(g, n, 0)) || !fuse_same_shape(f, fuse_in(f, sign, 0), z) ||
        !fuse_same_shape(f, fuse_in(f, ball, 1), z))
        return false;
    if (!fuse_same_dtype(f, z, size) || !fuse_same_dtype(f, z, fuse_in(f, ball, 1)) || !fuse_same_dtype(f, z, fuse_in(f, ball, 2)))
        return false;
    if (!fuse_same_dtype(f, z, fuse_in(f, sign, 0)) && adv_value_type(g, z)->dtype != ADV_F32) return false;
    fuse_builder(f, n, ball, sum, &b);
    b.loc = adv_loc_join(g, b.loc, adv_node(g, sign)->loc);
    if (minus) size = adv_build_op(&b, "neg", &size, 1, NULL);
    arg[0] = z;
    arg[1] = fuse_same_dtype(f, fuse_in(f, sign, 0), z) ? fuse_in(f, sign, 0) : as_f32(f, &b, fuse_in(f, sign, 0));
    arg[2] = fuse_in(f, ball, 1);
    arg[3] = fuse_in(f, ball, 2);
    arg[4] = size;
    attrs[0] = adv_attr_f(lo);
    attrs[1] = adv_attr_f(hi);
    return fuse_replace(f, n, adv_build_op(&b, "step_linf", arg, 5, attrs));
}

/* ---- L2 ---------------------------------------------------------------------------------------------------------------- */

static bool is_number(const Fuse *f, AdvValueId v, double want)
{
    double x;
    return adv_value_number(f->g, v, &x) && x == want;
}

/* Is v the norm of each sample of `of`, for node n alone? */
static bool is_norm_of(const Fuse *f, AdvNodeId n, AdvValueId v, AdvValueId of)
{
    AdvNodeId norm = fuse_only_by(f, n, v, "norm2");
    if (!norm.i || fuse_in(f, norm, 0).i != of.i) return false;
    const AdvAttr *a = adv_node_attr(f->g, norm);
    uint32_t rank = adv_value_type(f->g, of)->rank;
    bool all = a[0].n + 1 == rank && a[1].i == 0;
    for (uint32_t d = 0; all && d < a[0].n; d++) all = a[0].ints[d] == d + 1;
    return all;
}

/* The two operands of an `op` that makes v for node n alone, operand k first. */
static AdvNodeId two_of(const Fuse *f, AdvNodeId n, AdvValueId v, const char *op, uint32_t k, AdvValueId *out_a, AdvValueId *out_b)
{
    AdvNodeId by = fuse_only_by(f, n, v, op);
    if (!by.i) return by;
    *out_a = fuse_in(f, by, k);
    *out_b = fuse_in(f, by, 1 - k);
    return by;
}

/* Is v min(safe_div(eps, norm2(d), 1), 1) as [N,1,..], for node n alone? */
static bool is_limit(const Fuse *f, AdvNodeId n, AdvValueId v, AdvValueId d, AdvValueId *out_eps)
{
    AdvNodeId view = fuse_only_by(f, n, v, "reshape");
    for (uint32_t k = 0; view.i && k < 2; k++) {
        AdvValueId ratio, one;
        AdvNodeId min = two_of(f, view, fuse_in(f, view, 0), "min", k, &ratio, &one);
        AdvNodeId div = min.i && is_number(f, one, 1) ? fuse_only_by(f, min, ratio, "safe_div") : (AdvNodeId){0};
        if (!div.i || !is_number(f, fuse_in(f, div, 2), 1) || !is_norm_of(f, div, fuse_in(f, div, 1), d)) continue;
        *out_eps = fuse_in(f, div, 0);
        return true;
    }
    return false;
}

/* Is v size*safe_div(g, norm2(g) as [N,1,..], 0), for node n alone? */
static bool is_unit_step(const Fuse *f, AdvNodeId n, AdvValueId v, AdvValueId *out_size, AdvValueId *out_g)
{
    for (uint32_t k = 0; k < 2; k++) {
        AdvValueId unit;
        AdvNodeId mul = two_of(f, n, v, "mul", k, &unit, out_size);
        AdvNodeId div = mul.i ? fuse_only_by(f, mul, unit, "safe_div") : mul;
        AdvNodeId view = div.i ? fuse_only_by(f, div, fuse_in(f, div, 1), "reshape") : div;
        if (!view.i || !is_number(f, fuse_in(f, div, 2), 0)) continue;
        *out_g = fuse_in(f, div, 0);
        if (is_norm_of(f, view, fuse_in(f, view, 0), *out_g)) return true;
    }
    return false;
}

/* Is d, which its norm and one product in the region of node n read, sub(add(z, step), x)? */
static bool is_way(const Fuse *f, AdvNodeId n, AdvValueId d, AdvValueId x, AdvValueId *out_z, AdvValueId *out_size, AdvValueId *out_g)
{
    AdvNodeId sub = fuse_made_by(f, d, "sub");
    if (!sub.i || sub.i >= f->n_nodes || f->region_of[sub.i].i != f->region_of[n.i].i) return false;
    if (f->n_uses[d.i] != 2 || fuse_in(f, sub, 1).i != x.i) return false;
    for (uint32_t k = 0; k < 2; k++) {
        AdvValueId step;
        AdvNodeId add = two_of(f, sub, fuse_in(f, sub, 0), "add", k, out_z, &step);
        if (add.i && is_unit_step(f, add, step, out_size, out_g)) return true;
    }
    return false;
}

/* A number for all samples as it is, one for each ([N], or [N,1,..]) as [N]; none: it is neither. */
static AdvValueId by_sample(Fuse *f, AdvGraphBuild *b, AdvValueId v, int64_t n)
{
    const AdvTensorType *t = adv_value_type(f->g, v);
    AdvNodeId view = fuse_made_by(f, v, "reshape");
    AdvAttr dims = adv_attr_ints(&n, 1);
    AdvValueId none = {0};
    if (t->rank == 0 || (t->rank == 1 && t->dim[0] == n)) return v;
    if (t->rank == 1 || t->dim[0] != n || adv_type_elems(t) != n) return none;
    if (view.i && adv_value_type(f->g, fuse_in(f, view, 0))->rank == 1) return fuse_in(f, view, 0);
    return adv_build_op(b, "reshape", &v, 1, &dims);
}

/* v in 16 bits where a cast widened it from that and left its order; else v. */
static AdvValueId narrower(const Fuse *f, AdvValueId v)
{
    AdvNodeId cast = fuse_made_by(f, v, "cast");
    if (!cast.i || !fuse_has_16_bits(f, fuse_in(f, cast, 0))) return v;
    return adv_value_type(f->g, fuse_in(f, cast, 0))->layout == adv_value_type(f->g, v)->layout ? fuse_in(f, cast, 0) : v;
}

/* clip(add(x, mul(d, min(safe_div(eps, norm2(d), 1), 1))), lo, hi) with d = sub(add(z, mul(size, safe_div(g, norm2(g), 0))), x), where g
** may be a cast of 16 bits  ->  step_l2(z, g, x, eps, size) {lo, hi} */
bool rule_step_l2(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvValueId out = adv_node_out(g, n, 0), x, away, d, limit, z, grad, eps, size;
    double lo, hi;
    AdvGraphBuild b;
    if (!adv_node_is(g, n, "clip")) return false;
    if (!adv_value_number(g, fuse_in(f, n, 1), &lo) || !adv_value_number(g, fuse_in(f, n, 2), &hi)) return false;
    if (!(fabs(lo) <= 1e30) || !(fabs(hi) <= 1e30) || adv_value_type(g, out)->dtype != ADV_F32) return false;
    for (uint32_t k = 0; k < 4; k++) {
        AdvNodeId sum = two_of(f, n, fuse_in(f, n, 0), "add", k / 2, &x, &away);
        AdvNodeId mul = sum.i ? two_of(f, sum, away, "mul", k % 2, &d, &limit) : sum;
        if (!mul.i || !is_limit(f, mul, limit, d, &eps) || !is_way(f, n, d, x, &z, &size, &grad)) continue;
        if (!fuse_same_shape(f, z, out) || !fuse_same_shape(f, x, out) || !fuse_same_shape(f, grad, out)) return false;
        fuse_builder(f, n, sum, adv_value(g, d)->def, &b);
        grad = narrower(f, grad);
        int64_t n_samples = adv_value_type(g, out)->dim[0];
        AdvValueId arg[5] = {z, grad, x, by_sample(f, &b, eps, n_samples), by_sample(f, &b, size, n_samples)};
        AdvAttr attrs[2] = {adv_attr_f(lo), adv_attr_f(hi)};
        return arg[3].i && arg[4].i && fuse_replace(f, n, adv_build_op(&b, "step_l2", arg, 5, attrs));
    }
    return false;
}
