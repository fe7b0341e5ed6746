/* fuse_bn.c: the rules of pass fuse about batch normalisation in training mode: with the relu behind it, and back through both.
**
** See fuse.c for when a node may be merged away, fuse_rules.def for the list, tests/ir/fuse_bn.advg for what comes out. These ops have
** three results, so what replaces them is placed where they stood, not where the last of the merged nodes was.
**
** What it saves, in passes over a tensor (x is read twice, once for the sums): forward 3 instead of 5, with a residual 4 instead of 6;
** back 5 instead of 8, since the mask is seen from x, which is read anyway. Where the masked gradient has another reader, as behind
** the sum of a residual, it stays a tensor: to write it from within the gradient would save 1 pass of 9.
*/
#include "compiler/pass/fuse.h"

#include "ops/view.h"

#include <string.h>

/* The three results of node n become those of the node that made v. False, with nothing changed, if they do not fit. */
static bool replace_three(Fuse *f, AdvNodeId n, AdvValueId v)
{
    AdvNodeId by = adv_value(f->g, v)->def;
    for (uint32_t k = 0; k < 3; k++)
        if (!v.i || !fuse_fits(f, adv_node_out(f->g, n, k), adv_node_out(f->g, by, k))) return false;
    for (uint32_t k = 0; k < 3; k++) fuse_replace_value(f, adv_node_out(f->g, n, k), adv_node_out(f->g, by, k));
    return true;
}

/* Is v there where node n stands? */
static bool is_before(const Fuse *f, AdvValueId v, AdvNodeId n)
{
    AdvNodeId def = adv_value(f->g, v)->def;
    const AdvRegion *reg = adv_region(f->g, f->region_of[n.i]);
    if (!def.i || f->region_of[def.i].i != f->region_of[n.i].i) return true; /* from around the region */
    for (uint32_t i = 0; i < reg->nodes.n && reg->nodes.at[i].i != n.i; i++)
        if (reg->nodes.at[i].i == def.i) return true;
    return false;
}

/* The bn_train whose y is v, for `user` alone. */
static AdvNodeId bare_bn(const Fuse *f, AdvNodeId user, AdvValueId v)
{
    AdvNodeId bn = fuse_only_by(f, user, v, "bn_train"), none = {0};
    return bn.i && adv_node_out(f->g, bn, 0).i == v.i ? bn : none;
}

/* relu(bn_train(x, w, b))  ->  bn_relu(x, w, b)
** relu(add(bn_train(x, w, b), r)), or add(r, ..)  ->  bn_relu(x, w, b, r) */
bool rule_bn_relu(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvGraphBuild b;
    AdvNodeId bn, add = {0};
    AdvValueId arg[4] = {{0}};
    if (!adv_node_is(g, n, "relu")) return false;
    bn = bare_bn(f, n, fuse_in(f, n, 0));
    if (!bn.i) add = fuse_only_by(f, n, fuse_in(f, n, 0), "add");
    for (uint32_t k = 0; add.i && !bn.i && k < 2; k++) {
        bn = bare_bn(f, add, fuse_in(f, add, k));
        arg[3] = fuse_in(f, add, 1 - k);
        if (!bn.i) continue;
        if (!fuse_same_shape(f, arg[3], fuse_in(f, bn, 0)) || !fuse_same_dtype(f, arg[3], fuse_in(f, bn, 0)) || !is_before(f, arg[3], bn))
            bn.i = 0;
    }
    if (!bn.i) return false;
    for (uint32_t k = 0; k < 3; k++) arg[k] = fuse_in(f, bn, k);
    fuse_builder(f, bn, n, add, &b);
    AdvValueId y = adv_build_op(&b, "bn_relu", arg, arg[3].i ? 4 : 3, adv_node_attr(g, bn));
    if (!replace_three(f, bn, y)) return false;
    return fuse_replace(f, n, y);
}

/* The normalisation without a sum of which v tells where relu lets through: v is its y, relu of that, or bn_relu; or none. */
static AdvNodeId bn_above(const Fuse *f, AdvValueId v)
{
    AdvNodeId relu = fuse_made_by(f, v, "relu"), bn = fuse_made_by(f, v, "bn_relu"), none = {0};
    if (!bn.i) bn = fuse_made_by(f, relu.i ? fuse_in(f, relu, 0) : v, "bn_train");
    if (!bn.i || adv_node(f->g, bn)->n_in != 3) return none;
    return adv_node_out(f->g, bn, 0).i == (relu.i ? fuse_in(f, relu, 0) : v).i ? bn : none;
}

/* The bn_grad of normalisation bn whose gradient by y is v, alone to read it; or none. */
static AdvNodeId grad_of(const Fuse *f, AdvNodeId bn, AdvValueId v, AdvRegionId region)
{
    const AdvRegion *reg = adv_region(f->g, region);
    AdvNodeId none = {0};
    if (v.i >= f->n_values || f->n_uses[v.i] != 1) return none;
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId n = reg->nodes.at[i];
        if (!adv_node_is(f->g, n, "bn_grad") || fuse_in(f, n, 1).i != v.i) continue;
        bool same = fuse_in(f, n, 0).i == fuse_in(f, bn, 0).i && fuse_in(f, n, 2).i == fuse_in(f, bn, 1).i &&
                    adv_node_attr(f->g, n)[0].f == adv_node_attr(f->g, bn)[0].f;
        for (uint32_t k = 1; k < 3; k++) same = same && fuse_in(f, n, k + 2).i == adv_node_out(f->g, bn, k).i;
        return same ? n : none;
    }
    return none;
}

/* bn_grad(x, select(gt(y, 0), g, 0), w, mean, var), where y, mean, var are of relu(bn_train(x, w, b))  ->
** bn_relu_grad(x, g, w, b, mean, var). Tried on the select, before it can become the tail of a convolution's gradient: that would
** read y. But where the convolution takes a sum as well, that is left to it. */
bool rule_bn_mask(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvNodeId mask = fuse_relu_mask(f, n), bn, grad, none = {0};
    AdvValueId gy;
    AdvGraphBuild b;
    if (!mask.i) return false;
    bn = bn_above(f, fuse_in(f, mask, 0));
    grad = bn.i ? grad_of(f, bn, adv_node_out(g, n, 0), f->region_of[n.i]) : none;
    gy = fuse_in(f, n, 1);
    if (!grad.i || !fuse_same_shape(f, gy, fuse_in(f, bn, 0)) || !fuse_same_dtype(f, gy, fuse_in(f, bn, 0))) return false;
    if ((f->p->target->fuses & ADV_FUSE_TAILS) && fuse_only_by(f, n, gy, "add").i) return false;
    fuse_builder(f, grad, n, mask, &b);
    AdvValueId arg[6] = {fuse_in(f, bn, 0), gy, fuse_in(f, bn, 1), fuse_in(f, bn, 2), adv_node_out(g, bn, 1), adv_node_out(g, bn, 2)};
    return replace_three(f, grad, adv_build_op(&b, "bn_relu_grad", arg, 6, adv_node_attr(g, grad)));
}
