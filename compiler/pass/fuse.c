/* fuse.c: several nodes become one that a back end runs in one go.
**
** needs:  no grad nodes     keeps: types, numbers on ref (bit for bit; see pool_linear)     breaks: uses
** First the rules of fuse_rules.def, one function a rule with its pattern on the line above (those about convolutions are in
** fuse_conv.c, about batch normalisation in fuse_bn.c, about the end of a network in fuse_head.c, about steps of attacks in
** fuse_step.c), then chains of elementwise nodes (fuse_ew.c). What is merged away must have no other use; a value that a region yields or
** writes, or that another region uses, stays. Nodes that lose their uses are left to dce. See tests/ir/fuse_*.advg.
*/
#include "compiler/pass/fuse.h"
#include "compiler/pass/pass_list.h"

#include "ops/view.h"

#include <stdio.h>
#include <string.h>

/* ---- asking ----------------------------------------------------------------------------------------------------------- */

AdvValueId fuse_in(const Fuse *f, AdvNodeId n, uint32_t k) { return adv_node_in(f->g, n, k); }

/* The node that makes v if it is an `op`, or none. */
AdvNodeId fuse_made_by(const Fuse *f, AdvValueId v, const char *op)
{
    AdvNodeId n = adv_value(f->g, v)->def, none = {0};
    return n.i && adv_node_is(f->g, n, op) ? n : none;
}

static bool used_once(const Fuse *f, AdvValueId v) { return v.i < f->n_values && f->n_uses[v.i] == 1; }

/* As made_by, for a value that only the node at hand uses and that is made in the same region. */
AdvNodeId fuse_only_by(const Fuse *f, AdvNodeId user, AdvValueId v, const char *op)
{
    AdvNodeId n = fuse_made_by(f, v, op), none = {0};
    if (!n.i || n.i >= f->n_nodes || !used_once(f, v) || f->region_of[n.i].i != f->region_of[user.i].i) return none;
    return n;
}

bool fuse_same_shape(const Fuse *f, AdvValueId a, AdvValueId b)
{
    return adv_shape_eq(adv_value_type(f->g, a), adv_value_type(f->g, b)) != 0;
}

bool fuse_same_dtype(const Fuse *f, AdvValueId a, AdvValueId b)
{
    return adv_value_type(f->g, a)->dtype == adv_value_type(f->g, b)->dtype;
}

void fuse_why(Fuse *f, AdvNodeId node, AdvNodeId with, const char *reason)
{
    AdvPassCtx *p = f->p;
    AdvSpan at = adv_loc_span(f->g, adv_node(f->g, node)->loc);
    const AdvSource *file = adv_source_of(&f->g->diags->sources, at);
    char text[256];
    int n;
    if (!p->why_write || !p->why.i || strcmp(adv_str(f->g->names, p->why), "fuse") != 0) return;
    n = snprintf(text, sizeof text, "%.80s:%u: `%s` and `%s` are not merged: %s\n", file ? file->name : "?",
                 file ? (unsigned)adv_line_col(file, at.off).line : 0u, adv_node(f->g, node)->op->name, adv_node(f->g, with)->op->name,
                 reason);
    p->why_write(p->why_user, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

bool fuse_has_16_bits(const Fuse *f, AdvValueId v)
{
    uint8_t dtype = adv_value_type(f->g, v)->dtype;
    return dtype == ADV_BF16 || dtype == ADV_F16;
}

static bool is_zero(const Fuse *f, AdvValueId v)
{
    double x;
    return adv_value_number(f->g, v, &x) && x == 0;
}

/* The gt(y, 0) of node n = select(gt(y, 0), g, 0), or none. */
AdvNodeId fuse_relu_mask(const Fuse *f, AdvNodeId n)
{
    AdvNodeId none = {0};
    if (!adv_node_is(f->g, n, "select") || !is_zero(f, fuse_in(f, n, 2))) return none;
    AdvNodeId gt = fuse_made_by(f, fuse_in(f, n, 0), "gt");
    return gt.i && is_zero(f, fuse_in(f, gt, 1)) ? gt : none;
}

/* Is v [1,C,1,1], a number for each channel of y, in y's type? */
bool fuse_is_by_channel(const Fuse *f, AdvValueId v, AdvValueId y)
{
    const AdvTensorType *t = adv_value_type(f->g, v), *like = adv_value_type(f->g, y);
    return t->rank == 4 && like->rank == 4 && t->dtype == like->dtype && t->dim[0] == 1 && t->dim[1] == like->dim[1] && t->dim[2] == 1 &&
           t->dim[3] == 1;
}

/* ---- replacing ---------------------------------------------------------------------------------------------------------- */

/* A builder before node n, at the joined location of n and two more (each may be none). */
void fuse_builder(Fuse *f, AdvNodeId n, AdvNodeId a, AdvNodeId b, AdvGraphBuild *out)
{
    AdvLocId loc = adv_node(f->g, n)->loc;
    if (a.i) loc = adv_loc_join(f->g, loc, adv_node(f->g, a)->loc);
    if (b.i) loc = adv_loc_join(f->g, loc, adv_node(f->g, b)->loc);
    adv_build_init(out, f->g, f->region_of[n.i], loc);
    out->before = n;
}

bool fuse_fits(const Fuse *f, AdvValueId old, AdvValueId v) { return v.i && fuse_same_dtype(f, old, v) && fuse_same_shape(f, old, v); }

void fuse_replace_value(Fuse *f, AdvValueId old, AdvValueId v)
{
    AdvValue *to = &f->g->values.at[v.i];
    const AdvValue *from = adv_value(f->g, old);
    to->type.layout = from->type.layout;
    to->rate = from->rate;
    to->name = from->name;
    f->map[old.i] = v;
    f->changed = true;
}

bool fuse_replace(Fuse *f, AdvNodeId n, AdvValueId v)
{
    AdvValueId old = adv_node_out(f->g, n, 0);
    if (!fuse_fits(f, old, v)) return false;
    fuse_replace_value(f, old, v);
    return true;
}

/* The vector [C] behind a value [1,C], [1,C,1,1] and the like. */
AdvValueId fuse_vector_of(Fuse *f, AdvGraphBuild *b, AdvValueId v)
{
    AdvNodeId view = fuse_made_by(f, v, "reshape");
    int64_t n = adv_value_type(f->g, v)->dim[1];
    AdvAttr dims = adv_attr_ints(&n, 1);
    if (view.i && adv_value_type(f->g, fuse_in(f, view, 0))->rank == 1) return fuse_in(f, view, 0);
    return adv_build_op(b, "reshape", &v, 1, &dims);
}

/* ---- rules --------------------------------------------------------------------------------------------------------------- */

/* relu(x), whose one other use is gt(x, 0)  ->  gt(relu(x), 0): the same bits, NaN included */
bool rule_relu_mask(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvValueId x, y = {0};
    AdvNodeId relu = {0};
    double zero;
    AdvRegion *reg;
    if (!adv_node_is(g, n, "gt") || !adv_value_number(g, fuse_in(f, n, 1), &zero) || zero != 0) return false;
    x = fuse_in(f, n, 0);
    if (fuse_made_by(f, x, "relu").i || x.i >= f->n_values || f->n_uses[x.i] != 2) return false;
    reg = adv_region(g, f->region_of[n.i]);
    for (uint32_t i = 0; i < reg->nodes.n && reg->nodes.at[i].i != n.i; i++)
        if (adv_node_is(g, reg->nodes.at[i], "relu") && fuse_in(f, reg->nodes.at[i], 0).i == x.i) relu = reg->nodes.at[i];
    if (!relu.i) return false;
    y = adv_node_out(g, relu, 0);
    g->edges.at[adv_node(g, n)->in_at] = y;
    f->n_uses[x.i]--;
    f->n_uses[y.i]++;
    f->changed = true;
    return true;
}

/* A node of n's region before it that pools x as `grad`, a max_pool_grad, says; or none. */
static AdvNodeId pool_before(const Fuse *f, AdvNodeId n, AdvValueId x, AdvNodeId grad)
{
    const AdvRegion *reg = adv_region(f->g, f->region_of[n.i]);
    AdvNodeId none = {0};
    for (uint32_t i = 0; i < reg->nodes.n && reg->nodes.at[i].i != n.i; i++) {
        AdvNodeId p = reg->nodes.at[i];
        bool same = adv_node_is(f->g, p, "max_pool") && fuse_in(f, p, 0).i == x.i;
        for (uint32_t k = 0; same && k < adv_op_n_attrs(adv_node(f->g, p)->op); k++)
            same = adv_node_attr(f->g, p)[k].i == adv_node_attr(f->g, grad)[k].i;
        if (same) return p;
    }
    return none;
}

/* select(gt(x, 0), max_pool_grad(x, g), 0)  ->  max_pool_grad(x, select(gt(max_pool(x), 0), g, 0)): the place of a window that
** gets its gradient holds the window's maximum, so the mask may come before, on the smaller image. The same bits. */
bool rule_pool_mask(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvGraphBuild b;
    AdvNodeId gt = fuse_relu_mask(f, n);
    AdvNodeId grad = gt.i ? fuse_only_by(f, n, fuse_in(f, n, 1), "max_pool_grad") : gt;
    if (!grad.i || fuse_in(f, gt, 0).i != fuse_in(f, grad, 0).i) return false;
    AdvNodeId pool = pool_before(f, n, fuse_in(f, grad, 0), grad);
    if (!pool.i) return false;
    fuse_builder(f, n, gt, grad, &b);
    AdvValueId mask[2] = {adv_node_out(g, pool, 0), fuse_in(f, gt, 1)};
    AdvValueId masked[3] = {{0}, fuse_in(f, grad, 1), fuse_in(f, n, 2)}, in[2] = {fuse_in(f, grad, 0), {0}};
    uint8_t layout = adv_value_type(g, masked[1])->layout;
    masked[0] = adv_build_op(&b, "gt", mask, 2, NULL);
    g->values.at[masked[0].i].type.layout = layout;
    in[1] = adv_build_op(&b, "select", masked, 3, NULL);
    g->values.at[in[1].i].type.layout = layout;
    return fuse_replace(f, n, adv_build_op(&b, "max_pool_grad", in, 2, adv_node_attr(g, grad)));
}

/* relayout(cast(x))  ->  cast(x) in the relayout's order;  cast(relayout(x))  ->  cast(x) in the cast's order */
bool rule_turned_cast(Fuse *f, AdvNodeId n)
{
    bool is_cast = adv_node_is(f->g, n, "cast");
    AdvNodeId inner, none = {0};
    AdvGraphBuild b;
    AdvValueId from;
    if (!is_cast && !adv_node_is(f->g, n, "relayout")) return false;
    inner = fuse_only_by(f, n, fuse_in(f, n, 0), is_cast ? "relayout" : "cast");
    if (!inner.i) return false;
    from = fuse_in(f, inner, 0);
    fuse_builder(f, n, inner, none, &b);
    return fuse_replace(f, n, adv_build_op(&b, "cast", &from, 1, adv_node_attr(f->g, is_cast ? n : inner)));
}

static const struct {
    const char *name;
    bool (*fn)(Fuse *f, AdvNodeId n);
    uint8_t where;
} rules[] = {
#define RULE(name, where, pattern) {#name, rule_##name, ADV_FUSE_##where},
#include "compiler/pass/fuse_rules.def"
#undef RULE
};

/* ---- the pass -------------------------------------------------------------------------------------------------------------- */

static void count_region(Fuse *f, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(f->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId id = reg->nodes.at[i];
        const AdvNode *n = adv_node(f->g, id);
        f->region_of[id.i] = r;
        for (uint32_t k = 0; k < n->n_in; k++) {
            AdvNodeId def = adv_value(f->g, adv_node_in(f->g, id, k))->def;
            bool here = def.i && f->region_of[def.i].i == r.i && !n->body.i && !adv_node_is(f->g, id, "write");
            f->n_uses[adv_node_in(f->g, id, k).i] += here ? 1 : 2; /* a use that no merging may take away counts twice */
        }
        if (n->body.i) count_region(f, n->body);
    }
    for (uint32_t k = 0; k < reg->results.n; k++) f->n_uses[reg->results.at[k].i] += 2;
}

/* Counts uses of listed nodes and notes their regions; forgets replacements. */
static void count_uses(Fuse *f)
{
    AdvGraph *g = f->g;
    f->n_values = g->values.n;
    f->n_nodes = g->nodes.n;
    f->n_uses = ADV_NEW_ARRAY(f->p->scratch, uint32_t, g->values.n);
    f->region_of = ADV_NEW_ARRAY(f->p->scratch, AdvRegionId, g->nodes.n);
    f->map = ADV_NEW_ARRAY(f->p->scratch, AdvValueId, g->values.n);
    for (uint32_t e = 0; e < g->entries.n; e++) count_region(f, g->entries.at[e]);
}

static void each_region(Fuse *f, AdvRegionId r, void (*fn)(Fuse *f, AdvRegionId r))
{
    for (uint32_t i = 0; i < adv_region(f->g, r)->nodes.n; i++) {
        AdvRegionId body = adv_node(f->g, adv_region(f->g, r)->nodes.at[i])->body;
        if (body.i) each_region(f, body, fn);
    }
    fn(f, r);
}

static void try_rules(Fuse *f, AdvRegionId r)
{
    AdvArenaMark mark = adv_arena_mark(f->p->scratch);
    uint32_t n = adv_region(f->g, r)->nodes.n;
    AdvNodeId *nodes = ADV_NEW_ARRAY(f->p->scratch, AdvNodeId, n);
    if (n) memcpy(nodes, adv_region(f->g, r)->nodes.at, n * sizeof *nodes);
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof rules / sizeof *rules; k++)
            if ((f->p->target->fuses & rules[k].where) && rules[k].fn(f, nodes[i])) break;
    adv_arena_release(f->p->scratch, mark);
}

bool adv_pass_fuse(AdvPassCtx *p, AdvGraph *g)
{
    Fuse f = {.p = p, .g = g};
    bool any = false;
    if (!p->target || !p->target->fuses) return false;
    do { /* a rule may open another; each round leaves fewer nodes in reach */
        f.changed = false;
        count_uses(&f);
        for (uint32_t e = 0; e < g->entries.n; e++) each_region(&f, g->entries.at[e], try_rules);
        adv_graph_replace(g, f.map, f.n_values);
        if (f.changed) (void)adv_pass_dce(p, g); /* what was merged away counts as a use no more */
        any = any || f.changed;
    } while (f.changed);
    count_uses(&f);
    for (uint32_t e = 0; e < g->entries.n; e++) each_region(&f, g->entries.at[e], fuse_chains);
    adv_graph_replace(g, f.map, f.n_values);
    return any || f.changed;
}
