/* simplify.c: rewrite rules on single nodes. One function a rule, the pattern on the line above it.
**
** Each rule must: keep the type of every value that others use; give what it makes the location of what it replaces; and
** strictly reduce (nodes in reach of a write that are not constants, then their operands that are made by `reshape`,
** `broadcast`, `cast` or `div`), so that it ends. A rule that would change a number is not one, but for the sign of a zero (x + 0).
** A rule gives the value that stands for the node's only output, or none; or it changes an operand and says so.
*/
#include "compiler/pass/pass_list.h"
#include "ops/shape.h"
#include "ops/view.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct Simplify {
    AdvPassCtx *p;
    AdvGraph *g;
    AdvGraphBuild b;     /* appends before the node at hand */
    AdvValueId *map;
    uint32_t n_map;
    bool changed;
} Simplify;

typedef AdvValueId Rule(Simplify *s, AdvNodeId n);

static const AdvValueId none;

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static AdvValueId in(const Simplify *s, AdvNodeId n, uint32_t k) { return adv_node_in(s->g, n, k); }

static const AdvTensorType *out_type(const Simplify *s, AdvNodeId n) { return adv_value_type(s->g, adv_node_out(s->g, n, 0)); }

static bool is_number(const Simplify *s, AdvValueId v, double want)
{
    double x;
    return adv_value_number(s->g, v, &x) && x == want;
}

/* The node that makes `v` if it is an `op`, or none. */
static AdvNodeId made_by(const Simplify *s, AdvValueId v, const char *op)
{
    AdvNodeId n = adv_value(s->g, v)->def, no = {0};
    return n.i && adv_node_is(s->g, n, op) ? n : no;
}

/* `v` if it may stand for the node's output. */
static AdvValueId if_fits(const Simplify *s, AdvNodeId n, AdvValueId v)
{
    return adv_type_eq(adv_value_type(s->g, v), out_type(s, n)) ? v : none;
}

static bool is_row(const AdvTensorType *t) { return t->layout == ADV_LAYOUT_ROW; }

static AdvValueId make_shaped(Simplify *s, const char *op, AdvValueId x, const AdvTensorType *t)
{
    AdvTensorType want = *t;
    AdvAttr dims = adv_attr_ints(want.dim, want.rank);
    return adv_build_op(&s->b, op, &x, 1, &dims);
}

/* ---- constants ------------------------------------------------------------------------------------------------- */

static const AdvConst *const_of(const Simplify *s, AdvValueId v)
{
    AdvNodeId n = made_by(s, v, "const");
    return n.i ? &adv_node(s->g, n)->data : NULL;
}

/* A constant's view; wide: of its exact elements, as double. */
static AdvView const_view(const Simplify *s, AdvValueId v, bool wide)
{
    AdvTensorType t = *adv_value_type(s->g, v);
    const AdvConst *c = const_of(s, v);
    assert(c);
    AdvView view = adv_view_of(&t, (void *)(uintptr_t)c->data); /* inputs are only read */
    if (!wide || !adv_dtype_is_float(t.dtype) || t.dtype == ADV_F64) return view;
    AdvTensorType t64 = t;
    t64.dtype = ADV_F64;
    int64_t n_elems = adv_type_elems(&t);
    double *copy = ADV_NEW_ARRAY(s->p->scratch, double, n_elems);
    for (int64_t i = 0; i < n_elems; i++) copy[i] = c->wide ? c->wide[i] : adv_ld(&view, i);
    return adv_view_of(&t64, copy);
}

/* Runs the node's definition on its constants; the result is dense in scratch memory, NULL if that cannot be. */
static void *run_const(Simplify *s, AdvNodeId id, bool wide, AdvTensorType *out)
{
    AdvGraph *g = s->g;
    const AdvNode *n = adv_node(g, id);
    AdvView *views = ADV_NEW_ARRAY(s->p->scratch, AdvView, n->n_in);
    AdvTensorType *types = ADV_NEW_ARRAY(s->p->scratch, AdvTensorType, n->n_in);
    AdvTensorType *outs = ADV_NEW_ARRAY(s->p->scratch, AdvTensorType, ADV_MAX_FIXED + n->n_in);
    char msg[200];
    uint32_t n_out = 1;
    for (uint32_t k = 0; k < n->n_in; k++) {
        views[k] = const_view(s, in(s, id, k), wide);
        types[k] = *adv_value_type(g, in(s, id, k));
        types[k].dtype = views[k].dtype;
    }
    uint8_t float_dtype = wide ? ADV_F64 : g->float_dtype;
    if (adv_op_infer(n->op, types, n->n_in, adv_node_attr(g, id), float_dtype, outs, &n_out, msg, sizeof msg) != ADV_OK) return NULL;
    *out = outs[0];
    void *data = adv_arena_new(s->p->scratch, (size_t)adv_type_bytes(out));
    if (n->op->flags & ADV_OP_VIEW) { /* a view: the same elements under another shape */
        memcpy(data, views[0].data, (size_t)adv_type_bytes(out));
        return data;
    }
    AdvView view = adv_view_of(out, data);
    AdvStatus st = adv_op_run_ref(g->reg, n->op, views, n->n_in, adv_node_attr(g, id), &view, 1, &g->arena->alloc);
    return st == ADV_OK ? data : NULL;
}

/* op(const...) -> const, where that is no larger than an operand: by the op's definition, rounded as at run time, and in
** double beside it for ref64 */
static AdvValueId rule_fold(Simplify *s, AdvNodeId id)
{
    AdvGraph *g = s->g;
    const AdvNode n = *adv_node(g, id);
    int64_t largest = 0;
    if (n.n_in == 0 || n.n_out != 1 || (n.op->flags & (ADV_OP_STRUCT | ADV_OP_RANDOM))) return none;
    for (uint32_t k = 0; k < n.n_in; k++) {
        const AdvTensorType *t = adv_value_type(g, in(s, id, k));
        if (!const_of(s, in(s, id, k)) || !is_row(t)) return none;
        if (adv_type_elems(t) > largest) largest = adv_type_elems(t);
    }
    AdvTensorType t = *out_type(s, id), t64;
    if (!is_row(&t) || adv_type_elems(&t) > largest) return none;
    AdvTensorType got;
    void *data = run_const(s, id, false, &got);
    if (!data || !adv_type_eq(&got, &t)) return none;
    AdvValueId v = adv_build_const(&s->b, t, data, (uint64_t)adv_type_bytes(&t));
    const double *wide = adv_dtype_is_float(t.dtype) && t.dtype != ADV_F64 ? run_const(s, id, true, &t64) : NULL;
    if (!wide || t64.dtype != ADV_F64 || !adv_shape_eq(&t64, &t)) return v;
    int64_t n_elems = adv_type_elems(&t);
    AdvView view = adv_view_of(&t, data);
    bool exact = true;
    for (int64_t i = 0; i < n_elems; i++) exact = exact && (wide[i] == adv_ld(&view, i) || isnan(wide[i]));
    if (exact) return v;
    double *copy = ADV_NEW_ARRAY(g->arena, double, n_elems);
    memcpy(copy, wide, (size_t)n_elems * sizeof *copy);
    g->nodes.at[adv_value(g, v)->def.i].data.wide = copy;
    return v;
}

/* ---- arithmetic ------------------------------------------------------------------------------------------------ */

/* add(x, 0), add(0, x) -> x */
static AdvValueId rule_add_zero(Simplify *s, AdvNodeId n)
{
    for (uint32_t k = 0; k < 2; k++)
        if (is_number(s, in(s, n, 1 - k), 0)) return if_fits(s, n, in(s, n, k));
    return none;
}

/* sub(x, 0) -> x */
static AdvValueId rule_sub_zero(Simplify *s, AdvNodeId n) { return is_number(s, in(s, n, 1), 0) ? if_fits(s, n, in(s, n, 0)) : none; }

/* mul(x, 1), mul(1, x) -> x */
static AdvValueId rule_mul_one(Simplify *s, AdvNodeId n)
{
    for (uint32_t k = 0; k < 2; k++)
        if (is_number(s, in(s, n, 1 - k), 1)) return if_fits(s, n, in(s, n, k));
    return none;
}

/* Is every element of `v` finite whatever happens? What compares gives 0 or 1. */
static bool is_finite(const Simplify *s, AdvValueId v)
{
    static const char *const bounded[] = {"eq", "ne", "lt", "le", "gt", "ge", "and_", "or_", "not_", "is_finite"};
    double x;
    if (adv_value_number(s->g, v, &x)) return isfinite(x);
    if (!adv_dtype_is_float(adv_value_type(s->g, v)->dtype)) return true;
    for (uint32_t i = 0; i < sizeof bounded / sizeof *bounded; i++)
        if (made_by(s, v, bounded[i]).i) return true;
    return false;
}

/* mul(x, 0), mul(0, x) -> 0, where x cannot be infinite or NaN */
static AdvValueId rule_mul_zero(Simplify *s, AdvNodeId n)
{
    for (uint32_t k = 0; k < 2; k++) {
        AdvValueId zero = in(s, n, 1 - k);
        if (!is_number(s, zero, 0) || !is_finite(s, in(s, n, k))) continue;
        if (adv_type_eq(adv_value_type(s->g, zero), out_type(s, n))) return zero;
        if (adv_value_type(s->g, zero)->rank == 0 && is_row(out_type(s, n))) return make_shaped(s, "broadcast", zero, out_type(s, n));
    }
    return none;
}

/* div(x, 1) -> x; pow(x, 1) -> x */
static AdvValueId rule_by_one(Simplify *s, AdvNodeId n) { return is_number(s, in(s, n, 1), 1) ? if_fits(s, n, in(s, n, 0)) : none; }

/* neg(neg(x)) -> x */
static AdvValueId rule_neg_neg(Simplify *s, AdvNodeId n)
{
    AdvNodeId inner = made_by(s, in(s, n, 0), "neg");
    return inner.i ? if_fits(s, n, in(s, inner, 0)) : none;
}

/* sign(div(x, c)) -> sign(x) where every c is above 0 and at most 1, so that nothing becomes 0: an attack on images that a network
** divides by their deviation */
static AdvValueId rule_sign_div(Simplify *s, AdvNodeId n)
{
    AdvNodeId div = made_by(s, in(s, n, 0), "div");
    if (!div.i || !const_of(s, in(s, div, 1))) return none;
    AdvValueId x = in(s, div, 0);
    AdvView c = const_view(s, in(s, div, 1), true);
    if (!adv_type_eq(adv_value_type(s->g, x), out_type(s, n))) return none;
    for (int64_t i = 0; i < adv_view_elems(&c); i++)
        if (!(adv_ld(&c, i) >= 1e-30 && adv_ld(&c, i) <= 1)) return none;
    AdvValueId v = adv_build_op(&s->b, "sign", &x, 1, NULL);
    s->g->values.at[v.i].type.layout = out_type(s, n)->layout;
    return v;
}

/* min(x, x), max(x, x) -> x */
static AdvValueId rule_same(Simplify *s, AdvNodeId n) { return in(s, n, 0).i == in(s, n, 1).i ? if_fits(s, n, in(s, n, 0)) : none; }

/* select(1, a, b) -> a; select(0, a, b) -> b; select(c, a, a) -> a */
static AdvValueId rule_select(Simplify *s, AdvNodeId n)
{
    double c;
    if (in(s, n, 1).i == in(s, n, 2).i) return if_fits(s, n, in(s, n, 1));
    if (!adv_value_number(s->g, in(s, n, 0), &c)) return none;
    return if_fits(s, n, in(s, n, c != 0 ? 1 : 2));
}

/* clip(clip(x, lo, hi), lo, hi) -> clip(x, lo, hi) */
static AdvValueId rule_clip_clip(Simplify *s, AdvNodeId n)
{
    AdvNodeId inner = made_by(s, in(s, n, 0), "clip");
    bool same = inner.i && in(s, inner, 1).i == in(s, n, 1).i && in(s, inner, 2).i == in(s, n, 2).i;
    return same ? if_fits(s, n, in(s, n, 0)) : none;
}

/* ---- shapes ---------------------------------------------------------------------------------------------------- */

/* op(x) -> x where nothing changes: reshape, broadcast, slice, concat of one, cast, relayout */
static AdvValueId rule_no_change(Simplify *s, AdvNodeId n) { return adv_node(s->g, n)->n_in == 1 ? if_fits(s, n, in(s, n, 0)) : none; }

/* reshape(reshape(x)) -> reshape(x), or x */
static AdvValueId rule_reshape_reshape(Simplify *s, AdvNodeId n)
{
    AdvNodeId inner = made_by(s, in(s, n, 0), "reshape");
    if (!inner.i) return none;
    AdvValueId x = in(s, inner, 0);
    if (adv_type_eq(adv_value_type(s->g, x), out_type(s, n))) return x;
    return make_shaped(s, "reshape", x, out_type(s, n));
}

/* reshape(broadcast(number)) -> broadcast(number) */
static AdvValueId rule_reshape_number(Simplify *s, AdvNodeId n)
{
    AdvNodeId inner = made_by(s, in(s, n, 0), "broadcast");
    if (!inner.i || adv_value_type(s->g, in(s, inner, 0))->rank != 0) return none;
    return make_shaped(s, "broadcast", in(s, inner, 0), out_type(s, n));
}

/* broadcast(broadcast(x)) -> broadcast(x) */
static AdvValueId rule_broadcast_broadcast(Simplify *s, AdvNodeId n)
{
    AdvNodeId inner = made_by(s, in(s, n, 0), "broadcast");
    return inner.i && is_row(out_type(s, n)) ? make_shaped(s, "broadcast", in(s, inner, 0), out_type(s, n)) : none;
}

/* sum(x), mean(x), max(x), min(x) over dimensions of 1 -> reshape(x), or x */
static AdvValueId rule_reduce_ones(Simplify *s, AdvNodeId n)
{
    const AdvTensorType *t = adv_value_type(s->g, in(s, n, 0));
    if (adv_type_elems(t) != adv_type_elems(out_type(s, n)) || !is_row(t) || !is_row(out_type(s, n))) return none;
    AdvValueId x = if_fits(s, n, in(s, n, 0));
    return x.i ? x : make_shaped(s, "reshape", in(s, n, 0), out_type(s, n));
}

/* elementwise(.., broadcast(x), ..) -> elementwise(.., x, ..) where another operand still has the result's shape */
static AdvValueId rule_broadcast_operand(Simplify *s, AdvNodeId n)
{
    AdvGraph *g = s->g;
    const AdvNode node = *adv_node(g, n);
    if (!(node.op->flags & ADV_OP_ELEMENTWISE) || node.n_out != 1) return none;
    for (uint32_t k = 0; k < node.n_in; k++) {
        AdvNodeId wide = made_by(s, in(s, n, k), "broadcast");
        AdvTensorType types[ADV_MAX_FIXED], out[2 * ADV_MAX_FIXED], want = *out_type(s, n);
        uint32_t n_out = 1;
        char msg[200];
        if (!wide.i || node.n_in > ADV_MAX_FIXED) continue;
        AdvValueId x = in(s, wide, 0);
        for (uint32_t j = 0; j < node.n_in; j++) types[j] = *adv_value_type(g, j == k ? x : in(s, n, j));
        if (types[k].rank == 4 && types[k].layout != want.layout) continue;
        if (adv_op_infer(node.op, types, node.n_in, adv_node_attr(g, n), g->float_dtype, out, &n_out, msg, sizeof msg) != ADV_OK) continue;
        if (out[0].dtype != want.dtype || !adv_shape_eq(&out[0], &want)) continue;
        g->edges.at[node.in_at + k] = x;
        s->changed = true;
    }
    return none;
}

/* ---- markers of autodiff ---------------------------------------------------------------------------------------- */

/* stop_grad(x) -> x; on_ball(x_adv, x, eps) -> x_adv: there is no gradient left to derive */
static AdvValueId rule_marker(Simplify *s, AdvNodeId n) { return if_fits(s, n, in(s, n, 0)); }

/* ---- the table ------------------------------------------------------------------------------------------------- */

static const struct { const char *op; Rule *rule; } rules[] = {
    {NULL, rule_fold}, /* any op */
    {NULL, rule_broadcast_operand},
    {"add", rule_add_zero},
    {"sub", rule_sub_zero},
    {"mul", rule_mul_one},
    {"mul", rule_mul_zero},
    {"div", rule_by_one},
    {"pow", rule_by_one},
    {"neg", rule_neg_neg},
    {"sign", rule_sign_div},
    {"min", rule_same},
    {"max", rule_same},
    {"select", rule_select},
    {"clip", rule_clip_clip},
    {"reshape", rule_no_change},
    {"reshape", rule_reshape_reshape},
    {"reshape", rule_reshape_number},
    {"broadcast", rule_no_change},
    {"broadcast", rule_broadcast_broadcast},
    {"slice", rule_no_change},
    {"concat", rule_no_change},
    {"cast", rule_no_change},
    {"relayout", rule_no_change},
    {"sum", rule_reduce_ones},
    {"mean", rule_reduce_ones},
    {"reduce_max", rule_reduce_ones},
    {"reduce_min", rule_reduce_ones},
    {"stop_grad", rule_marker},
    {"on_ball", rule_marker},
};

static AdvValueId apply(Simplify *s, AdvNodeId n)
{
    for (uint32_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].op && !adv_node_is(s->g, n, rules[i].op)) continue;
        AdvValueId v = rules[i].rule(s, n);
        if (v.i) return v;
    }
    return none;
}

static AdvValueId now(const Simplify *s, AdvValueId v) { return v.i < s->n_map && s->map[v.i].i ? s->map[v.i] : v; }

static void simplify_region(Simplify *s, AdvRegionId r)
{
    AdvGraph *g = s->g;
    AdvNodeList old = adv_region_take(g, r);
    for (uint32_t i = 0; i < old.n; i++) {
        const AdvNode n = *adv_node(g, old.at[i]);
        for (uint32_t k = 0; k < n.n_in; k++) g->edges.at[n.in_at + k] = now(s, g->edges.at[n.in_at + k]);
        adv_build_init(&s->b, g, r, n.loc);
        AdvValueId v = n.op->flags & ADV_OP_STRUCT ? none : apply(s, old.at[i]);
        if (v.i) {
            AdvValueId out = adv_node_out(g, old.at[i], 0);
            s->map[out.i] = v;
            if (!g->values.at[v.i].name.i) g->values.at[v.i].name = g->values.at[out.i].name;
            s->changed = true;
            continue;
        }
        *ADV_PUSH(g->arena, &adv_region(g, r)->nodes) = old.at[i];
        if (n.body.i) simplify_region(s, n.body);
    }
    AdvRegion *reg = adv_region(g, r);
    for (uint32_t k = 0; k < reg->results.n; k++) reg->results.at[k] = now(s, reg->results.at[k]);
}

/* simplify: needs: no grad nodes (a gradient by mul(x, 1) is not one by x); does nothing otherwise.   keeps: types, order. */
bool adv_pass_simplify(AdvPassCtx *p, AdvGraph *g)
{
    Simplify s = {.p = p, .g = g, .n_map = g->values.n};
    if (adv_graph_has(g, "grad")) return false;
    s.map = ADV_NEW_ARRAY(p->scratch, AdvValueId, s.n_map);
    for (uint32_t i = 0; i < g->entries.n; i++) simplify_region(&s, g->entries.at[i]);
    return s.changed;
}
