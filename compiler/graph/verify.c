/* verify.c: is a graph well made? Run after every pass. Whatever it finds is a mistake of ours, never of a recipe.
**
** One walk in program order keeps, for every value, the region in which it became visible; a use is legal where that region
** is the user's own or encloses it, and is still open (values of a body that has ended are closed again).
*/
#include "compiler/graph/graph.h"

#include "ops/view.h"

#include <stdarg.h>
#include <string.h>

#define MAX_FINDINGS 20
#define MSG_BYTES 512

typedef struct Verify {
    AdvGraph *g;
    bool no_grad;
    uint32_t n_found;
    uint8_t *visible;      /* by value: defined and its region still open */
    uint8_t *listed;       /* by node: met already */
    AdvNodeId *written;    /* by state: the write of the present entry */
    AdvRegionId entry;
    bool in_writes;        /* a write was met in this entry */
} Verify;

static void found(Verify *v, AdvNodeId n, const char *fmt, ...) ADV_PRINTF(3, 4);
static void found(Verify *v, AdvNodeId n, const char *fmt, ...)
{
    char msg[MSG_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    if (v->n_found++ >= MAX_FINDINGS) return;
    AdvGraph *g = v->g;
    AdvLocId loc = adv_node(g, n)->loc;
    AdvSpan none = {0, 0, 0};
    const char *op = n.i && adv_node(g, n)->op ? adv_node(g, n)->op->name : "region";
    const char *entry = adv_str(g->names, adv_region(g, v->entry)->name);
    AdvSpan span = loc.i && loc.i < g->locs.n ? adv_loc_span(g, loc) : none;
    adv_diag(g->diags, ADV_D_INTERNAL, span, "broken graph: in entry `%s`, `%s` (node %u): %s", entry, op, (unsigned)n.i, msg);
}

static bool same_type(const AdvTensorType *a, const AdvTensorType *b)
{
    return a->dtype == b->dtype && adv_shape_eq(a, b);
}

static bool value_ok(const Verify *v, AdvValueId id)
{
    return id.i && id.i < v->g->values.n && v->visible[id.i];
}

static void define(Verify *v, AdvNodeId n, AdvValueId id)
{
    if (v->visible[id.i]) found(v, n, "value %u is defined twice", (unsigned)id.i);
    const AdvTensorType *t = adv_value_type(v->g, id);
    bool ok = t->dtype > ADV_DTYPE_NONE && t->dtype < ADV_DTYPE_COUNT && t->rank <= ADV_MAX_RANK && t->layout < ADV_LAYOUT_COUNT &&
              !(t->layout == ADV_LAYOUT_CL && t->rank != 4);
    for (uint32_t i = 0; ok && i < ADV_MAX_RANK; i++) ok = i < t->rank ? t->dim[i] > 0 : t->dim[i] == 0;
    if (!ok) found(v, n, "value %u has a malformed type", (unsigned)id.i);
    v->visible[id.i] = 1;
}

/* ---- one node -------------------------------------------------------------------------------------------------- */

static bool check_ranges(Verify *v, AdvNodeId id)
{
    AdvGraph *g = v->g;
    const AdvNode *n = adv_node(g, id);
    bool ok = n->op && (uint64_t)n->in_at + n->n_in <= g->edges.n && (uint64_t)n->out_at + n->n_out <= g->values.n &&
              (uint64_t)n->attr_at + n->n_attr <= g->attrs.n && (n->out_at > 0 || n->n_out == 0) && n->state.i < g->states.n &&
              n->body.i < g->regions.n && n->loc.i < g->locs.n;
    if (!ok) {
        found(v, id, "an index is out of range");
        return false;
    }
    if (!n->loc.i) found(v, id, "no location");
    for (uint32_t k = 0; k < n->n_in; k++) {
        if (value_ok(v, adv_node_in(g, id, k))) continue;
        found(v, id, "input %u (value %u) is not defined before its use", (unsigned)k, (unsigned)adv_node_in(g, id, k).i);
        ok = false;
    }
    for (uint32_t k = 0; k < n->n_out; k++) {
        const AdvValue *out = adv_value(g, adv_node_out(g, id, k));
        if (out->def.i == id.i && out->out_ix == k) continue;
        found(v, id, "output %u does not point back to its node", (unsigned)k);
        ok = false;
    }
    return ok;
}

static void check_op(Verify *v, AdvNodeId id)
{
    AdvGraph *g = v->g;
    const AdvNode *n = adv_node(g, id);
    if (n->n_attr != adv_op_n_attrs(n->op)) {
        found(v, id, "%u attributes instead of %u", (unsigned)n->n_attr, (unsigned)adv_op_n_attrs(n->op));
        return;
    }
    AdvArenaMark mark = adv_arena_mark(g->arena);
    AdvTensorType *in = ADV_NEW_ARRAY(g->arena, AdvTensorType, n->n_in);
    AdvTensorType *out = ADV_NEW_ARRAY(g->arena, AdvTensorType, ADV_MAX_FIXED + n->n_in);
    for (uint32_t k = 0; k < n->n_in; k++) in[k] = *adv_value_type(g, adv_node_in(g, id, k));
    uint32_t n_out = adv_op_n_out(n->op);
    char msg[MSG_BYTES];
    msg[0] = '\0';
    if (adv_op_infer(n->op, in, n->n_in, adv_node_attr(g, id), g->float_dtype, out, &n_out, msg, sizeof msg) != ADV_OK)
        found(v, id, "the shape rule refuses it: %s", msg);
    else if (n_out != n->n_out)
        found(v, id, "%u outputs instead of %u", (unsigned)n->n_out, (unsigned)n_out);
    else
        for (uint32_t k = 0; k < n_out; k++) {
            if (same_type(&out[k], adv_value_type(g, adv_node_out(g, id, k)))) continue;
            found(v, id, "output %u is not of the type that the shape rule gives", (unsigned)k);
        }
    adv_arena_release(g->arena, mark);
}

static void check_const(Verify *v, AdvNodeId id)
{
    const AdvNode *n = adv_node(v->g, id);
    if (n->n_out != 1 || n->n_in != 0) {
        found(v, id, "a constant has one output and no input");
        return;
    }
    const AdvTensorType *t = adv_value_type(v->g, adv_node_out(v->g, id, 0));
    if (!n->data.data || n->data.n_bytes != (uint64_t)adv_type_bytes(t)) found(v, id, "the data does not fit the type");
}

static void check_state(Verify *v, AdvRegionId r, AdvNodeId id)
{
    AdvGraph *g = v->g;
    const AdvNode *n = adv_node(g, id);
    bool writes = adv_node_is(g, id, "write");
    if (adv_region(g, r)->parent.i) found(v, id, "states are read and written in entries only");
    if (!n->state.i || n->n_in != (writes ? 1u : 0u) || n->n_out != (writes ? 0u : 1u)) {
        found(v, id, "the state, or the value, is missing");
        return;
    }
    const AdvState *s = &g->states.at[n->state.i];
    AdvValueId val = writes ? adv_node_in(g, id, 0) : adv_node_out(g, id, 0);
    if (!same_type(&s->type, adv_value_type(g, val))) found(v, id, "not of the type of state `%s`", adv_str(g->names, s->name));
    if (!writes) return;
    if (v->written[n->state.i].i) found(v, id, "state `%s` is written a second time", adv_str(g->names, s->name));
    if (s->kind == ADV_STATE_DATA) found(v, id, "state `%s` is data, which is never written", adv_str(g->names, s->name));
    v->written[n->state.i] = id;
    v->in_writes = true;
}

static void check_grad(Verify *v, AdvNodeId id)
{
    AdvGraph *g = v->g;
    const AdvNode *n = adv_node(g, id);
    if (v->no_grad) found(v, id, "left over after autodiff");
    if (n->n_in < 2 || n->n_out + 1 != n->n_in || n->n_attr != 1) {
        found(v, id, "needs one output a value and attribute `mean`");
        return;
    }
    if (adv_value_type(g, adv_node_in(g, id, 0))->rank > 1) found(v, id, "what is derived has more than one number a sample");
    for (uint32_t k = 0; k < n->n_out; k++) {
        if (!same_type(adv_value_type(g, adv_node_in(g, id, k + 1)), adv_value_type(g, adv_node_out(g, id, k))))
            found(v, id, "gradient %u is not of the type of its value", (unsigned)k);
    }
}

static void check_region(Verify *v, AdvRegionId r);

/* What a region defined is out of reach from here on. */
static void close_region(Verify *v, AdvRegionId r)
{
    AdvGraph *g = v->g;
    const AdvRegion *reg = adv_region(g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        if (reg->nodes.at[i].i >= g->nodes.n) continue;
        const AdvNode *n = adv_node(g, reg->nodes.at[i]);
        for (uint32_t k = 0; k < n->n_out && n->out_at + k < g->values.n; k++) v->visible[n->out_at + k] = 0;
    }
    for (uint32_t k = 0; k < reg->params.n; k++) v->visible[reg->params.at[k].i] = 0;
}

static void check_loop(Verify *v, AdvRegionId r, AdvNodeId id)
{
    AdvGraph *g = v->g;
    const AdvNode n = *adv_node(g, id);
    if (!n.body.i || n.n_attr != 1 || n.n_out != n.n_in) {
        found(v, id, "needs a body, attribute `turns` and as many last values as first ones");
        return;
    }
    const AdvRegion *b = adv_region(g, n.body);
    int64_t turns = adv_loop_turns(g, id);
    if (turns < 1 || turns > (1 << 20)) found(v, id, "turns outside 1 .. 2^20");
    if (b->owner.i != id.i || b->parent.i != r.i) found(v, id, "its body belongs to another place");
    if (b->params.n != n.n_in + 1 || b->results.n != n.n_in) {
        found(v, id, "the body has %u parameters and %u results, the loop carries %u", b->params.n, b->results.n, n.n_in);
        return;
    }
    for (uint32_t k = 0; k < b->params.n; k++) {
        AdvValueId p = b->params.at[k];
        const AdvValue *val = p.i < g->values.n ? adv_value(g, p) : NULL;
        if (!p.i || !val || val->param_of.i != n.body.i || val->out_ix != k || val->def.i) {
            found(v, id, "parameter %u does not belong to the body", (unsigned)k);
            return;
        }
        define(v, id, p);
    }
    check_region(v, n.body);
    b = adv_region(g, n.body);
    const AdvTensorType *turn = adv_value_type(g, b->params.at[0]);
    if (turn->dtype != ADV_I64 || turn->rank != 0) found(v, id, "the turn number is not an i64");
    for (uint32_t k = 0; k < n.n_in; k++) {
        const AdvTensorType *t = adv_value_type(g, adv_node_in(g, id, k));
        if (!value_ok(v, b->results.at[k])) {
            found(v, id, "result %u of the body is not defined in it", (unsigned)k);
            continue;
        }
        if (!same_type(t, adv_value_type(g, b->params.at[k + 1])) || !same_type(t, adv_value_type(g, b->results.at[k])) ||
            !same_type(t, adv_value_type(g, adv_node_out(g, id, k))))
            found(v, id, "carried value %u changes its type", (unsigned)k);
    }
    close_region(v, n.body);
}

static void check_node(Verify *v, AdvRegionId r, AdvNodeId id)
{
    AdvGraph *g = v->g;
    if (!id.i || id.i >= g->nodes.n) {
        AdvNodeId none = {0};
        found(v, none, "node %u does not exist", (unsigned)id.i);
        return;
    }
    if (v->listed[id.i]) {
        found(v, id, "listed twice");
        return;
    }
    v->listed[id.i] = 1;
    if (!check_ranges(v, id)) return;
    bool writes = adv_node_is(g, id, "write");
    if (v->in_writes && !writes) found(v, id, "stands behind a write");
    if (!adv_node_is_struct(g, id)) check_op(v, id);
    else if (writes || adv_node_is(g, id, "read")) check_state(v, r, id);
    else if (adv_node_is(g, id, "const")) check_const(v, id);
    else if (adv_node_is(g, id, "grad")) check_grad(v, id);
    else if (adv_node_is(g, id, "loop")) check_loop(v, r, id);
    else found(v, id, "an operation that cannot stand in a graph");
    for (uint32_t k = 0; k < adv_node(g, id)->n_out; k++) define(v, id, adv_node_out(g, id, k));
}

/* Node i of the region continues a list: of one op, and none of them needs another. */
static void check_list(Verify *v, const AdvRegion *reg, uint32_t i)
{
    AdvGraph *g = v->g;
    AdvNodeId id = reg->nodes.at[i];
    bool needs = false;
    if (i == 0 || adv_node_is_struct(g, id) || adv_node(g, id)->op != adv_node(g, reg->nodes.at[i - 1])->op) {
        found(v, id, "is of one list with a node that is none of its kind");
        return;
    }
    for (uint32_t k = i; k > 0 && adv_node(g, reg->nodes.at[k])->with_prev; k--)
        for (uint32_t j = 0; j < adv_node(g, id)->n_in; j++)
            needs = needs || adv_value(g, adv_node_in(g, id, j))->def.i == reg->nodes.at[k - 1].i;
    if (needs) found(v, id, "needs another node of its list");
}

static void check_region(Verify *v, AdvRegionId r)
{
    for (uint32_t i = 0; i < adv_region(v->g, r)->nodes.n; i++) {
        AdvNodeId id = adv_region(v->g, r)->nodes.at[i];
        check_node(v, r, id);
        if (id.i < v->g->nodes.n && adv_node(v->g, id)->with_prev) check_list(v, adv_region(v->g, r), i);
    }
}

/* ---- the graph ------------------------------------------------------------------------------------------------- */

AdvStatus adv_graph_verify(AdvGraph *g, bool no_grad)
{
    AdvArenaMark mark = adv_arena_mark(g->arena);
    Verify v = {.g = g, .no_grad = no_grad};
    v.visible = ADV_NEW_ARRAY(g->arena, uint8_t, g->values.n);
    v.listed = ADV_NEW_ARRAY(g->arena, uint8_t, g->nodes.n);
    v.written = ADV_NEW_ARRAY(g->arena, AdvNodeId, g->states.n);
    AdvNodeId none = {0};
    for (uint32_t i = 0; i < g->entries.n; i++) {
        v.entry = g->entries.at[i];
        v.in_writes = false;
        memset(v.written, 0, g->states.n * sizeof *v.written);
        const AdvRegion *r = adv_region(g, v.entry);
        if (r->parent.i || r->owner.i || r->params.n || r->results.n) found(&v, none, "an entry has no parameters and no owner");
        if (!r->loc.i) found(&v, none, "no location");
        check_region(&v, v.entry);
        close_region(&v, v.entry);
    }
    adv_arena_release(g->arena, mark);
    return v.n_found ? ADV_EINTERNAL : ADV_OK;
}
