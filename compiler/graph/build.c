/* build.c: appends nodes to a graph: for the lowering, for passes and, through AdvBuild, for the gradients of ops.
**
** Every op node goes through adv_op_infer, so a graph that was built holds no type error. A refusal is a diagnostic at the
** builder's location and the results are none; none as an input gives none without a further word, so callers need not test.
*/
#include "compiler/graph/graph.h"

#include "ops/shape.h"
#include "ops/view.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define MSG_BYTES 512

static const AdvTensorType no_type;

/* ---- pieces ---------------------------------------------------------------------------------------------------- */

static void insert_at(AdvGraph *g, AdvRegionId r, uint32_t at, AdvNodeId n)
{
    AdvRegion *reg = adv_region(g, r);
    (void)ADV_PUSH(g->arena, &reg->nodes);
    for (uint32_t i = reg->nodes.n - 1; i > at; i--) reg->nodes.at[i] = reg->nodes.at[i - 1];
    reg->nodes.at[at] = n;
}

static void append(AdvGraphBuild *b, AdvNodeId n)
{
    AdvRegion *reg = adv_region(b->g, b->region);
    uint32_t at = reg->nodes.n;
    if (b->before.i) {
        for (at = 0; at < reg->nodes.n && reg->nodes.at[at].i != b->before.i;) at++;
    }
    insert_at(b->g, b->region, at, n);
}

static AdvNodeId new_node(AdvGraphBuild *b, const AdvOpDef *op, const AdvValueId *in, uint32_t n_in)
{
    AdvGraph *g = b->g;
    assert(b->loc.i && op);
    AdvNode *n = ADV_PUSH(g->arena, &g->nodes);
    n->op = op;
    n->loc = b->loc;
    n->in_at = g->edges.n;
    n->n_in = n_in;
    n->out_at = g->values.n;
    for (uint32_t k = 0; k < n_in; k++) {
        AdvValueId v = in[k]; /* in may lie in g->edges */
        *ADV_PUSH(g->arena, &g->edges) = v;
    }
    AdvNodeId id = {g->nodes.n - 1};
    return id;
}

/* The rate of a result, for people: that of the fastest input; without a batch dimension never `sample`. */
static uint8_t result_rate(const AdvGraph *g, AdvNodeId id, const AdvTensorType *type)
{
    const AdvNode *n = adv_node(g, id);
    uint8_t rate = ADV_RATE_ONCE;
    for (uint32_t k = 0; k < n->n_in; k++) {
        uint8_t r = adv_value(g, adv_node_in(g, id, k))->rate;
        if (r > rate) rate = r;
    }
    return rate == ADV_RATE_SAMPLE && type->rank == 0 ? ADV_RATE_BATCH : rate;
}

static AdvValueId add_out(AdvGraph *g, AdvNodeId id, const AdvTensorType *type)
{
    uint8_t rate = result_rate(g, id, type);
    AdvValue *v = ADV_PUSH(g->arena, &g->values);
    AdvNode *n = &g->nodes.at[id.i];
    assert(n->out_at + n->n_out == g->values.n - 1);
    v->type = *type;
    v->def = id;
    v->out_ix = (uint16_t)n->n_out++;
    v->rate = rate;
    AdvValueId r = {g->values.n - 1};
    return r;
}

static void copy_attrs(AdvGraph *g, AdvNodeId id, const AdvAttr *attrs, uint32_t n_attrs)
{
    AdvNode *n = &g->nodes.at[id.i];
    n->attr_at = g->attrs.n;
    n->n_attr = n_attrs;
    for (uint32_t i = 0; i < n_attrs; i++) {
        AdvAttr a = attrs[i];
        if (a.n && a.ints) {
            int64_t *ints = ADV_NEW_ARRAY(g->arena, int64_t, a.n);
            memcpy(ints, a.ints, a.n * sizeof *ints);
            a.ints = ints;
        }
        if (a.n && a.floats) {
            double *floats = ADV_NEW_ARRAY(g->arena, double, a.n);
            memcpy(floats, a.floats, a.n * sizeof *floats);
            a.floats = floats;
        }
        if (a.n && a.ops) {
            const AdvOpDef **ops = ADV_NEW_ARRAY(g->arena, const AdvOpDef *, a.n);
            memcpy(ops, a.ops, a.n * sizeof *ops);
            a.ops = ops;
        }
        *ADV_PUSH(g->arena, &g->attrs) = a;
    }
}

static void refuse(AdvGraphBuild *b, const char *text)
{
    AdvGraph *g = b->g;
    AdvDiag *d = adv_diag(g->diags, ADV_D_SHAPE_RULE, adv_loc_span(g, b->loc), "%s", text);
    AdvLocId l = b->loc;
    AdvSpan last = {0, 0, 0};
    while (l.i && g->locs.at[l.i].why != ADV_LOC_SOURCE) {
        const AdvLoc *at = &g->locs.at[l.i];
        if (at->why == ADV_LOC_GRAD) adv_diag_note(d, adv_loc_span(g, l), "in the gradient of this line");
        l = at->parent;
        if (at->why != ADV_LOC_CALL || !l.i) continue;
        AdvSpan here = adv_loc_span(g, l);
        if (here.file != last.file || here.off != last.off || here.len != last.len) adv_diag_note(d, here, "called from here");
        last = here;
    }
    b->n_failed++;
}

/* ---- op nodes -------------------------------------------------------------------------------------------------- */

/* Types of the results, or a diagnostic. `types` has room for n_in, `out` for ADV_MAX_FIXED + n_in. */
static bool infer(AdvGraphBuild *b, const AdvOpDef *op, const AdvValueId *in, uint32_t n_in, const AdvAttr *attrs, AdvTensorType *types,
                  AdvTensorType *out, uint32_t *out_n)
{
    AdvGraph *g = b->g;
    for (uint32_t k = 0; k < n_in; k++) types[k] = *adv_value_type(g, in[k]);
    char msg[MSG_BYTES];
    msg[0] = '\0';
    if (adv_op_infer(op, types, n_in, attrs, g->float_dtype, out, out_n, msg, sizeof msg) == ADV_OK) return true;
    refuse(b, msg);
    return false;
}

AdvValueId adv_build_op(AdvGraphBuild *b, const char *name, const AdvValueId *in, uint32_t n_in, const AdvAttr *attrs)
{
    AdvGraph *g = b->g;
    AdvValueId first = {0};
    for (uint32_t k = 0; k < n_in; k++) {
        if (!in[k].i) return first;
    }
    const AdvOpDef *op = adv_registry_op(g->reg, name);
    if (!op || (op->flags & ADV_OP_STRUCT)) {
        adv_diag(g->diags, ADV_D_INTERNAL, adv_loc_span(g, b->loc), "there is no operation `%s` to build", name);
        b->n_failed++;
        return first;
    }
    AdvAttr dflt[ADV_MAX_ATTRS];
    if (!attrs) {
        adv_op_default_attrs(op, dflt);
        attrs = dflt;
    }
    AdvTensorType few[3 * ADV_MAX_FIXED], *types = few;
    if (n_in > ADV_MAX_FIXED) types = ADV_NEW_ARRAY(g->arena, AdvTensorType, 2 * (size_t)n_in + ADV_MAX_FIXED);
    AdvTensorType *out = types + n_in;
    uint32_t n_out = adv_op_n_out(op);
    if (!infer(b, op, in, n_in, attrs, types, out, &n_out)) return first;
    AdvNodeId id = new_node(b, op, in, n_in);
    copy_attrs(g, id, attrs, adv_op_n_attrs(op));
    for (uint32_t k = 0; k < n_out; k++) {
        AdvValueId v = add_out(g, id, &out[k]);
        if (k == 0) first = v;
    }
    append(b, id);
    return first;
}

AdvNodeId adv_build_like(AdvGraphBuild *b, AdvNodeId n, const AdvValueId *in)
{
    AdvGraph *g = b->g;
    const AdvNode like = *adv_node(g, n);
    assert(!like.body.i);
    AdvNodeId id = new_node(b, like.op, in, like.n_in);
    AdvNode *made = &g->nodes.at[id.i];
    made->attr_at = like.attr_at; /* nodes never change their attributes, but for a loop's turns */
    made->n_attr = like.n_attr;
    made->state = like.state;
    made->data = like.data;
    for (uint32_t k = 0; k < like.n_out; k++) {
        AdvTensorType type = *adv_value_type(g, adv_node_out(g, n, k));
        AdvValueId v = add_out(g, id, &type);
        g->values.at[v.i].name = adv_value(g, adv_node_out(g, n, k))->name;
    }
    append(b, id);
    return id;
}

/* ---- constants ------------------------------------------------------------------------------------------------- */

static const AdvOpDef *struct_op(const AdvGraph *g, const char *name)
{
    const AdvOpDef *op = adv_registry_op(g->reg, name);
    assert(op && (op->flags & ADV_OP_STRUCT));
    return op;
}

AdvValueId adv_build_const(AdvGraphBuild *b, AdvTensorType type, const void *data, uint64_t n_bytes)
{
    AdvGraph *g = b->g;
    assert(n_bytes == (uint64_t)adv_type_bytes(&type));
    AdvNodeId id = new_node(b, struct_op(g, "const"), NULL, 0);
    void *copy = adv_arena_new(g->arena, (size_t)n_bytes);
    if (n_bytes) memcpy(copy, data, (size_t)n_bytes);
    g->nodes.at[id.i].data.data = copy;
    g->nodes.at[id.i].data.n_bytes = n_bytes;
    type.layout = ADV_LAYOUT_ROW;
    AdvValueId v = add_out(g, id, &type);
    append(b, id);
    return v;
}

AdvValueId adv_build_const_wide(AdvGraphBuild *b, AdvTensorType type, const double *elems)
{
    AdvGraph *g = b->g;
    int64_t n = adv_type_elems(&type);
    uint64_t n_bytes = (uint64_t)adv_type_bytes(&type);
    void *data = adv_arena_new(g->arena, (size_t)n_bytes);
    AdvView view = adv_view_of(&type, data);
    for (int64_t i = 0; i < n; i++) adv_st(&view, i, elems[i]);
    AdvValueId v = adv_build_const(b, type, data, n_bytes);
    bool exact = true;
    for (int64_t i = 0; i < n; i++) exact = exact && (adv_ld(&view, i) == elems[i] || isnan(elems[i]));
    if (!exact && adv_dtype_is_float(type.dtype)) {
        double *wide = ADV_NEW_ARRAY(g->arena, double, n);
        memcpy(wide, elems, (size_t)n * sizeof *wide);
        g->nodes.at[adv_value(g, v)->def.i].data.wide = wide;
    }
    return v;
}

AdvValueId adv_build_number(AdvGraphBuild *b, double v, uint8_t dtype)
{
    AdvTensorType t = {.dtype = dtype};
    return adv_build_const_wide(b, t, &v);
}

/* ---- states ---------------------------------------------------------------------------------------------------- */

/* Reads stand first in an entry, in the order in which they were asked for, so they dominate everything. */
AdvValueId adv_build_read(AdvGraphBuild *b, AdvStateId s)
{
    AdvGraph *g = b->g;
    AdvRegionId r = b->region;
    while (adv_region(g, r)->parent.i) r = adv_region(g, r)->parent;
    uint32_t at = 0;
    for (; at < adv_region(g, r)->nodes.n; at++) {
        AdvNodeId n = adv_region(g, r)->nodes.at[at];
        if (!adv_node_is(g, n, "read")) break;
        if (adv_node(g, n)->state.i == s.i) return adv_node_out(g, n, 0);
    }
    AdvNodeId id = new_node(b, struct_op(g, "read"), NULL, 0);
    g->nodes.at[id.i].state = s;
    AdvTensorType type = g->states.at[s.i].type;
    AdvValueId v = add_out(g, id, &type);
    insert_at(g, r, at, id);
    return v;
}

AdvNodeId adv_build_write(AdvGraphBuild *b, AdvStateId s, AdvValueId v)
{
    AdvGraph *g = b->g;
    AdvNodeId id = {0};
    if (!v.i) return id;
    const AdvTensorType *want = &g->states.at[s.i].type, *got = adv_value_type(g, v);
    if (!adv_shape_eq(want, got) || want->dtype != got->dtype) {
        char msg[MSG_BYTES];
        const char *name = adv_str(g->names, g->states.at[s.i].name);
        snprintf(msg, sizeof msg, "the new value of `%s` does not have the shape and type of the old one", name);
        refuse(b, msg);
        return id;
    }
    id = new_node(b, struct_op(g, "write"), &v, 1);
    g->nodes.at[id.i].state = s;
    append(b, id);
    return id;
}

/* ---- loops and gradients --------------------------------------------------------------------------------------- */

static AdvValueId add_param(AdvGraph *g, AdvRegionId r, AdvTensorType type, uint8_t rate)
{
    AdvValue *v = ADV_PUSH(g->arena, &g->values);
    v->type = type;
    v->param_of = r;
    v->rate = rate;
    v->out_ix = (uint16_t)adv_region(g, r)->params.n;
    AdvValueId id = {g->values.n - 1};
    *ADV_PUSH(g->arena, &adv_region(g, r)->params) = id;
    return id;
}

AdvNodeId adv_build_loop(AdvGraphBuild *b, int64_t n_turns, const AdvValueId *first, uint32_t n_first)
{
    AdvGraph *g = b->g;
    AdvNodeId id = {0};
    for (uint32_t k = 0; k < n_first; k++) {
        if (!first[k].i) return id;
    }
    AdvAttr turns = adv_attr_i(n_turns);
    id = new_node(b, struct_op(g, "loop"), first, n_first);
    copy_attrs(g, id, &turns, 1);
    for (uint32_t k = 0; k < n_first; k++) {
        AdvTensorType type = *adv_value_type(g, adv_node_in(g, id, k));
        add_out(g, id, &type);
    }
    AdvRegion *r = ADV_PUSH(g->arena, &g->regions);
    AdvRegionId body = {g->regions.n - 1};
    r->parent = b->region;
    r->owner = id;
    r->loc = b->loc;
    g->nodes.at[id.i].body = body;
    AdvTensorType turn = {.dtype = ADV_I64};
    add_param(g, body, turn, ADV_RATE_BATCH);
    for (uint32_t k = 0; k < n_first; k++) {
        const AdvValue *v = adv_value(g, adv_node_in(g, id, k));
        add_param(g, body, v->type, v->rate);
    }
    append(b, id);
    return id;
}

void adv_build_yield(AdvGraph *g, AdvNodeId loop, const AdvValueId *next, uint32_t n_next)
{
    if (!loop.i) return;
    AdvRegion *r = adv_region(g, adv_node(g, loop)->body);
    assert(r->results.n == 0 && n_next == adv_node(g, loop)->n_in);
    for (uint32_t k = 0; k < n_next; k++) {
        AdvValueId v = next[k].i ? next[k] : r->params.at[k + 1]; /* what failed keeps its value: there is a diagnostic */
        *ADV_PUSH(g->arena, &r->results) = v;
    }
}

AdvValueId adv_build_grad(AdvGraphBuild *b, AdvValueId e, const AdvValueId *of, uint32_t n_of, bool mean)
{
    AdvGraph *g = b->g;
    AdvValueId first = {0};
    AdvArenaMark mark = adv_arena_mark(g->arena);
    AdvValueId *in = ADV_NEW_ARRAY(g->arena, AdvValueId, n_of + 1);
    in[0] = e;
    for (uint32_t k = 0; k < n_of; k++) in[k + 1] = of[k];
    for (uint32_t k = 0; k <= n_of; k++) {
        if (!in[k].i) {
            adv_arena_release(g->arena, mark);
            return first;
        }
    }
    if (adv_value_type(g, e)->rank > 1 || !adv_dtype_is_float(adv_value_type(g, e)->dtype)) {
        adv_arena_release(g->arena, mark);
        refuse(b, "`grad` needs one number a sample or a batch to derive");
        return first;
    }
    AdvAttr attr = adv_attr_i(mean);
    AdvNodeId id = new_node(b, struct_op(g, "grad"), in, n_of + 1);
    copy_attrs(g, id, &attr, 1);
    for (uint32_t k = 0; k < n_of; k++) {
        AdvTensorType type = *adv_value_type(g, adv_node_in(g, id, k + 1));
        AdvValueId v = add_out(g, id, &type), of_k = adv_node_in(g, id, k + 1);
        if (adv_value(g, of_k)->rate != ADV_RATE_SAMPLE && adv_value(g, v)->rate == ADV_RATE_SAMPLE)
            g->values.at[v.i].rate = ADV_RATE_BATCH; /* of what the samples share there is one */
        if (k == 0) first = v;
    }
    append(b, id);
    return first;
}

/* ---- AdvBuild: what ops see ------------------------------------------------------------------------------------- */

static void base_node(AdvBuild *base, const char *op, const AdvVal *in, uint32_t n_in, const AdvAttr *attrs, AdvVal *out_vals,
                      uint32_t n_out)
{
    AdvGraphBuild *b = (AdvGraphBuild *)base;
    AdvValueId few[ADV_MAX_FIXED], *ids = few;
    if (n_in > ADV_MAX_FIXED) ids = ADV_NEW_ARRAY(b->g->arena, AdvValueId, n_in);
    for (uint32_t k = 0; k < n_in; k++) ids[k].i = in[k].i;
    AdvValueId first = adv_build_op(b, op, ids, n_in, attrs);
    uint32_t n_made = first.i ? adv_node(b->g, adv_value(b->g, first)->def)->n_out : 0;
    for (uint32_t k = 0; k < n_out; k++) out_vals[k].i = k < n_made ? first.i + k : 0;
}

static const AdvTensorType *base_type(AdvBuild *base, AdvVal v)
{
    AdvGraphBuild *b = (AdvGraphBuild *)base;
    return v.i ? &b->g->values.at[v.i].type : &no_type;
}

static AdvVal base_number(AdvBuild *base, double value, uint8_t dtype)
{
    AdvVal v = {adv_build_number((AdvGraphBuild *)base, value, dtype).i};
    return v;
}

void adv_build_init(AdvGraphBuild *b, AdvGraph *g, AdvRegionId region, AdvLocId loc)
{
    memset(b, 0, sizeof *b);
    b->base.node = base_node;
    b->base.type = base_type;
    b->base.number = base_number;
    b->g = g;
    b->region = region;
    b->loc = loc;
}
