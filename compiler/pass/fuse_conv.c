/* fuse_conv.c: the rules of pass fuse that give a convolution what is done to its result: bias, residual, relu, mask, a step, and what
** the next block begins with.
**
** See fuse.c for when a node may be merged away, fuse_rules.def for the list, tests/ir/fuse_conv*.advg for what comes out.
*/
#include "compiler/pass/fuse.h"

#include "ops/view.h"

#include <string.h>

/* add(conv2d(x, w), b) or add(b, conv2d(x, w)), b [1,O,1,1]  ->  conv2d_bias(x, w, b as [O]) */
bool rule_conv2d_bias(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvNodeId none = {0};
    if (!adv_node_is(g, n, "add")) return false;
    for (uint32_t k = 0; k < 2; k++) {
        AdvNodeId conv = fuse_only_by(f, n, fuse_in(f, n, k), "conv2d");
        AdvGraphBuild b;
        AdvValueId arg[3];
        AdvAttr attrs[3];
        if (!conv.i || !fuse_is_by_channel(f, fuse_in(f, n, 1 - k), fuse_in(f, n, k))) continue;
        fuse_builder(f, n, conv, none, &b);
        arg[0] = fuse_in(f, conv, 0);
        arg[1] = fuse_in(f, conv, 1);
        arg[2] = fuse_vector_of(f, &b, fuse_in(f, n, 1 - k));
        attrs[0] = adv_node_attr(g, conv)[0];
        attrs[1] = adv_node_attr(g, conv)[1];
        attrs[2] = adv_attr_i(0);
        return fuse_replace(f, n, adv_build_op(&b, "conv2d_bias", arg, 3, attrs));
    }
    return false;
}

/* relu(op(..) {relu=0})  ->  op(..) {relu=1} */
static bool relu_into(Fuse *f, AdvNodeId n, const char *op)
{
    AdvGraph *g = f->g;
    AdvNodeId conv, none = {0};
    AdvGraphBuild b;
    AdvValueId arg[4];
    AdvAttr attrs[3];
    if (!adv_node_is(g, n, "relu")) return false;
    conv = fuse_only_by(f, n, fuse_in(f, n, 0), op);
    if (!conv.i || adv_node_attr(g, conv)[2].i != 0) return false;
    fuse_builder(f, n, conv, none, &b);
    for (uint32_t k = 0; k < adv_node(g, conv)->n_in; k++) arg[k] = fuse_in(f, conv, k);
    for (uint32_t k = 0; k < 3; k++) attrs[k] = adv_node_attr(g, conv)[k];
    attrs[2].i = 1;
    return fuse_replace(f, n, adv_build_op(&b, op, arg, adv_node(g, conv)->n_in, attrs));
}

bool rule_conv2d_relu(Fuse *f, AdvNodeId n) { return relu_into(f, n, "conv2d_bias"); }

bool rule_sum_relu(Fuse *f, AdvNodeId n) { return relu_into(f, n, "conv2d_sum"); }

/* The convolution that makes v for node n alone, to be given a tail: conv2d_bias without relu, or conv2d. */
static AdvNodeId bare_conv(const Fuse *f, AdvNodeId n, AdvValueId v)
{
    AdvNodeId conv = fuse_only_by(f, n, v, "conv2d_bias"), none = {0};
    if (conv.i) return adv_node_attr(f->g, conv)[2].i == 0 ? conv : none;
    return fuse_only_by(f, n, v, "conv2d");
}

/* add(conv2d_bias(x, w, b) {relu=0}, r) or add(r, ..)  ->  conv2d_sum(x, w, r, b);  add(conv2d(x, w), r)  ->  conv2d_sum(x, w, r) */
bool rule_conv2d_sum(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvNodeId none = {0};
    if (!adv_node_is(g, n, "add")) return false;
    for (uint32_t k = 0; k < 2; k++) {
        AdvNodeId conv = bare_conv(f, n, fuse_in(f, n, k));
        AdvValueId r = fuse_in(f, n, 1 - k), arg[4];
        AdvGraphBuild b;
        AdvAttr attrs[3];
        uint32_t n_arg = 3;
        if (!conv.i || !fuse_same_shape(f, r, adv_node_out(g, n, 0)) || !fuse_same_dtype(f, r, adv_node_out(g, n, 0))) continue;
        fuse_builder(f, n, conv, none, &b);
        arg[0] = fuse_in(f, conv, 0);
        arg[1] = fuse_in(f, conv, 1);
        arg[2] = r;
        if (adv_node(g, conv)->n_in == 3) arg[n_arg++] = fuse_in(f, conv, 2);
        attrs[0] = adv_node_attr(g, conv)[0];
        attrs[1] = adv_node_attr(g, conv)[1];
        attrs[2] = adv_attr_i(0);
        return fuse_replace(f, n, adv_build_op(&b, "conv2d_sum", arg, n_arg, attrs));
    }
    return false;
}

/* add(mul(z, s), t) that makes v for node n alone, s and t numbers for each channel, operands in either order: the mul, or none. */
static AdvNodeId affine_of(const Fuse *f, AdvNodeId n, AdvValueId v, AdvValueId *out_z, AdvValueId *out_s, AdvValueId *out_t)
{
    AdvNodeId add = fuse_only_by(f, n, v, "add"), none = {0};
    for (uint32_t k = 0; add.i && k < 4; k++) {
        AdvNodeId mul = fuse_only_by(f, add, fuse_in(f, add, k / 2), "mul");
        if (!mul.i) continue;
        *out_t = fuse_in(f, add, 1 - k / 2);
        *out_z = fuse_in(f, mul, k % 2);
        *out_s = fuse_in(f, mul, 1 - k % 2);
        if (fuse_same_shape(f, *out_z, v) && fuse_is_by_channel(f, *out_s, v) && fuse_is_by_channel(f, *out_t, v)) return mul;
    }
    return none;
}

/* May v be made where node n stands, later than it is? Not if another node than `but` reads it before, or may do so in a region of its
** own. */
static bool may_wait(const Fuse *f, AdvNodeId def, AdvValueId v, AdvNodeId n, AdvNodeId but)
{
    const AdvRegion *reg = adv_region(f->g, f->region_of[n.i]);
    bool is_made = false;
    for (uint32_t i = 0; i < reg->nodes.n && reg->nodes.at[i].i != n.i; i++) {
        AdvNodeId at = reg->nodes.at[i];
        is_made = is_made || at.i == def.i;
        if (!is_made || at.i == but.i) continue;
        if (adv_node(f->g, at)->body.i) return false;
        for (uint32_t k = 0; k < adv_node(f->g, at)->n_in; k++)
            if (fuse_in(f, at, k).i == v.i) return false;
    }
    return true;
}

/* relu(add(mul(z, s), t)) of z = conv2d_sum(x, w, r, b)  ->  conv2d_sum_affine(x, w, r, s, t, b), with z as a result where it has
** other readers */
bool rule_sum_affine(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvNodeId mul, conv;
    AdvGraphBuild b;
    AdvValueId z, s, t, arg[6];
    uint32_t n_arg = 5;
    if (!adv_node_is(g, n, "relu")) return false;
    mul = affine_of(f, n, fuse_in(f, n, 0), &z, &s, &t);
    if (!mul.i) return false;
    conv = fuse_made_by(f, z, "conv2d_sum");
    if (!conv.i || conv.i >= f->n_nodes || f->region_of[conv.i].i != f->region_of[n.i].i || adv_node_attr(g, conv)[2].i != 0) return false;
    bool keeps = !fuse_only_by(f, mul, z, "conv2d_sum").i;
    if (!may_wait(f, conv, z, n, mul)) return false;
    fuse_builder(f, n, conv, mul, &b);
    for (uint32_t k = 0; k < 3; k++) arg[k] = fuse_in(f, conv, k);
    arg[3] = fuse_vector_of(f, &b, s);
    arg[4] = fuse_vector_of(f, &b, t);
    if (adv_node(g, conv)->n_in == 4) arg[n_arg++] = fuse_in(f, conv, 3);
    AdvAttr attrs[3] = {adv_node_attr(g, conv)[0], adv_node_attr(g, conv)[1], adv_attr_i(keeps)};
    AdvValueId y = adv_build_op(&b, "conv2d_sum_affine", arg, n_arg, attrs), kept = {y.i + 1};
    return fuse_replace(f, n, y) && (!keeps || fuse_replace(f, conv, kept));
}

/* The gradient by an image that v is for node n alone, and in *out_skip what is added to it (none: nothing). *out_add: the sum. */
static AdvNodeId gx_of(const Fuse *f, AdvNodeId n, AdvValueId v, AdvNodeId *out_add, AdvValueId *out_skip)
{
    AdvNodeId gx = fuse_only_by(f, n, v, "conv2d_gx");
    out_add->i = out_skip->i = 0;
    if (gx.i) return gx;
    *out_add = fuse_only_by(f, n, v, "add");
    for (uint32_t k = 0; out_add->i && !gx.i && k < 2; k++) {
        gx = fuse_only_by(f, *out_add, fuse_in(f, *out_add, k), "conv2d_gx");
        *out_skip = fuse_in(f, *out_add, 1 - k);
    }
    return gx;
}

/* select(gt(y, 0), conv2d_gx(gy, w), 0)  ->  conv2d_gx_mask(gy, w, y)
** select(gt(y, 0), add(conv2d_gx(gy, w), s), 0), or add(s, ..)  ->  conv2d_gx_mask(gy, w, y, s) */
bool rule_gx_mask(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvNodeId mask = fuse_relu_mask(f, n), gx, add;
    AdvValueId arg[4], skip, out = adv_node_out(g, n, 0);
    AdvGraphBuild b;
    if (!mask.i) return false;
    gx = gx_of(f, n, fuse_in(f, n, 1), &add, &skip);
    arg[0] = gx.i ? fuse_in(f, gx, 0) : skip;
    arg[2] = fuse_in(f, mask, 0);
    arg[3] = skip;
    for (uint32_t k = 2; gx.i && k < (skip.i ? 4u : 3u); k++)
        if (!fuse_same_shape(f, arg[k], out) || !fuse_same_dtype(f, arg[k], out)) return false;
    if (!gx.i) return false;
    arg[1] = fuse_in(f, gx, 1);
    fuse_builder(f, n, gx, add, &b);
    b.loc = adv_loc_join(g, b.loc, adv_node(g, mask)->loc);
    return fuse_replace(f, n, adv_build_op(&b, "conv2d_gx_mask", arg, skip.i ? 4 : 3, adv_node_attr(g, gx)));
}

/* mul(conv2d_gx_mask(gy, w, y, skip), s), or mul(s, ..), s a number for each channel  ->  conv2d_gx_affine(gy, w, y, s, skip) */
bool rule_gx_affine(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvNodeId none = {0};
    if (!adv_node_is(g, n, "mul")) return false;
    for (uint32_t k = 0; k < 2; k++) {
        AdvNodeId gx = fuse_only_by(f, n, fuse_in(f, n, k), "conv2d_gx_mask");
        AdvAttr attrs[5] = {{0}};
        AdvValueId arg[5];
        AdvGraphBuild b;
        if (!gx.i || !fuse_is_by_channel(f, fuse_in(f, n, 1 - k), fuse_in(f, n, k))) continue;
        fuse_builder(f, n, gx, none, &b);
        for (uint32_t i = 0; i < 3; i++) arg[i] = fuse_in(f, gx, i);
        arg[3] = fuse_vector_of(f, &b, fuse_in(f, n, 1 - k));
        if (adv_node(g, gx)->n_in == 4) arg[4] = fuse_in(f, gx, 3);
        memcpy(attrs, adv_node_attr(g, gx), 4 * sizeof *attrs);
        return fuse_replace(f, n, adv_build_op(&b, "conv2d_gx_affine", arg, adv_node(g, gx)->n_in + 1, attrs));
    }
    return false;
}

/* add(conv2d_gx_affine(gy, w, y, s), skip), or add(skip, ..)  ->  conv2d_gx_affine(gy, w, y, s, skip) {last=1} */
bool rule_gx_affine_sum(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvNodeId none = {0};
    if (!adv_node_is(g, n, "add")) return false;
    for (uint32_t k = 0; k < 2; k++) {
        AdvNodeId gx = fuse_only_by(f, n, fuse_in(f, n, k), "conv2d_gx_affine");
        AdvValueId skip = fuse_in(f, n, 1 - k), out = adv_node_out(g, n, 0), arg[5];
        AdvAttr attrs[5];
        AdvGraphBuild b;
        if (!gx.i || adv_node(g, gx)->n_in != 4 || !fuse_same_shape(f, skip, out) || !fuse_same_dtype(f, skip, out)) continue;
        fuse_builder(f, n, gx, none, &b);
        for (uint32_t i = 0; i < 4; i++) arg[i] = fuse_in(f, gx, i);
        arg[4] = skip;
        memcpy(attrs, adv_node_attr(g, gx), sizeof attrs);
        attrs[4] = adv_attr_i(1);
        return fuse_replace(f, n, adv_build_op(&b, "conv2d_gx_affine", arg, 5, attrs));
    }
    return false;
}

/* step_linf(z, conv2d_gx(gy, w), x, eps, size), or of a cast of that gradient  ->  conv2d_gx_step(gy, w, z, x, eps, size) */
bool rule_gx_step(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvNodeId cast, gx;
    AdvGraphBuild b;
    if (!adv_node_is(g, n, "step_linf")) return false;
    cast = fuse_only_by(f, n, fuse_in(f, n, 1), "cast");
    gx = cast.i ? fuse_only_by(f, cast, fuse_in(f, cast, 0), "conv2d_gx") : fuse_only_by(f, n, fuse_in(f, n, 1), "conv2d_gx");
    if (!gx.i) return false;
    for (uint32_t k = 0; k < 3; k++) /* z, gradient, x: whole images */
        if (!fuse_same_shape(f, fuse_in(f, n, k), adv_node_out(g, n, 0))) return false;
    fuse_builder(f, n, gx, cast, &b);
    AdvValueId arg[6] = {fuse_in(f, gx, 0), fuse_in(f, gx, 1), fuse_in(f, n, 0), fuse_in(f, n, 2), fuse_in(f, n, 3), fuse_in(f, n, 4)};
    AdvAttr attrs[4] = {adv_node_attr(g, gx)[0], adv_node_attr(g, gx)[1], adv_node_attr(g, n)[0], adv_node_attr(g, n)[1]};
    return fuse_replace(f, n, adv_build_op(&b, "conv2d_gx_step", arg, 6, attrs));
}
