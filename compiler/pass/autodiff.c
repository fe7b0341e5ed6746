/* autodiff.c: replaces each `grad` node by the nodes that compute it, where it stands.
**
** Program order, loop bodies where they stand: whatever a gradient depends on has been expanded before it, so a gradient of
** a gradient is nothing special. For one grad node:
**   1. `collect` walks back from e and lists the nodes met, each after its inputs. It stops at operations whose gradient is
**      zero (`stop_grad` among them), at inputs that are integers by their port (an index chooses), at states, and at
**      parameters of the loop bodies that the grad node stands in. A loop that is met is seen as a node whose inputs are
**      what its body's results depend on.
**   2. `mark` goes through that list forwards: which of it depends on some v. Only this is differentiated, so an attack that
**      asks for its image gets no weight gradients.
**   3. `sweep` goes through it backwards and asks each op that a contribution reached. Contributions to a value are added as they
**      come, in an order that the graph alone decides.
** Nodes of outer regions may lie on the path: their values are in reach, and the new nodes stand at the grad node.
** There is no tape: what the backward nodes use of the forward ones is simply used later.
*/
#include "compiler/pass/pass_list.h"
#include "ops/plugin.h"
#include "ops/grad.h"
#include "ops/shape.h"
#include "ops/view.h"

#include <assert.h>
#include <string.h>

typedef struct Step { AdvNodeId node; uint32_t next_in; } Step;

typedef struct Diff {
    AdvPassCtx *p;
    AdvGraph *g;
    bool changed;
    AdvValueId *map;              /* by value: what stands for it now */
    uint32_t n_map;
    uint8_t *told;                /* by node: a diagnostic was given */
    uint32_t n_told;
    ADV_VEC(AdvRegionId) home;    /* by node: the region that lists it */
    /* of the present grad node */
    AdvRegionId region;
    uint8_t *met;                 /* by node: listed, or on the stack */
    uint8_t *depends;             /* by value: on some v */
    AdvVal *adjoint;              /* by value: the sum of contributions so far */
    ADV_VEC(AdvNodeId) order;
    ADV_VEC(Step) stack;
    AdvGraphBuild b;
} Diff;

static AdvValueId now(const Diff *d, AdvValueId v)
{
    while (v.i < d->n_map && d->map[v.i].i) v = d->map[v.i];
    return v;
}

/* ---- 1: collect ------------------------------------------------------------------------------------------------ */

/* Is region `r` the one of the grad node, or around it? */
static bool encloses(const Diff *d, AdvRegionId r)
{
    AdvRegionId at = d->region;
    while (at.i && at.i != r.i) at = adv_region(d->g, at)->parent;
    return at.i != 0;
}

/* Operands through which a derivative could reach a node: of a loop, the results of its body. */
static uint32_t n_through(const Diff *d, AdvNodeId n)
{
    const AdvNode *node = adv_node(d->g, n);
    if (node->body.i) return adv_region(d->g, node->body)->results.n;
    return node->op->grad == ADV_GRAD_ZERO ? 0 : node->n_in;
}

/* Is input k of an op for integers? It chooses (a class, a row) and is not moved: no derivative passes there. */
static bool only_chooses(const AdvOpDef *op, uint32_t k)
{
    uint32_t at = 0;
    while (at < k && op->in[at].kind != ADV_PORT_END && !(op->in[at].kind & ADV_PORT_REPEAT)) at++;
    return (op->in[at].kind & ~ADV_PORT_REPEAT) == ADV_PORT_INT;
}

/* The k-th of them; none where no derivative passes. */
static AdvValueId through(const Diff *d, AdvNodeId n, uint32_t k)
{
    AdvRegionId body = adv_node(d->g, n)->body;
    AdvValueId none = {0};
    if (body.i) return now(d, adv_region(d->g, body)->results.at[k]);
    return only_chooses(adv_node(d->g, n)->op, k) ? none : now(d, adv_node_in(d->g, n, k));
}

/* A parameter of a body seen from outside is the loop's first value; none for a turn number, or seen from inside. */
static AdvValueId behind_param(const Diff *d, AdvValueId v)
{
    const AdvValue *val = adv_value(d->g, v);
    AdvValueId none = {0};
    if (val->def.i || encloses(d, val->param_of) || val->out_ix == 0) return none;
    return now(d, adv_node_in(d->g, adv_region(d->g, val->param_of)->owner, val->out_ix - 1u));
}

static void enter(Diff *d, AdvValueId v)
{
    AdvValueId first;
    while (v.i && !adv_value(d->g, v)->def.i && (first = behind_param(d, v)).i) v = first;
    AdvNodeId n = adv_value(d->g, v)->def;
    if (!n.i || d->met[n.i]) return;
    d->met[n.i] = 1;
    Step *s = ADV_PUSH(d->p->scratch, &d->stack);
    s->node = n;
}

static void collect(Diff *d, AdvValueId e)
{
    d->order.n = d->stack.n = 0;
    enter(d, e);
    while (d->stack.n) {
        Step *s = &d->stack.at[d->stack.n - 1];
        AdvNodeId n = s->node;
        if (s->next_in < n_through(d, n)) {
            enter(d, through(d, n, s->next_in++));
            continue;
        }
        d->stack.n--;
        *ADV_PUSH(d->p->scratch, &d->order) = n;
    }
}

/* ---- 2: mark --------------------------------------------------------------------------------------------------- */

static bool value_depends(const Diff *d, AdvValueId v)
{
    AdvValueId first;
    while (v.i && !d->depends[v.i] && !adv_value(d->g, v)->def.i && (first = behind_param(d, v)).i) v = first;
    return d->depends[v.i];
}

static void mark(Diff *d)
{
    for (uint32_t i = 0; i < d->order.n; i++) {
        AdvNodeId n = d->order.at[i];
        bool depends = false;
        for (uint32_t k = 0; k < n_through(d, n) && !depends; k++) depends = value_depends(d, through(d, n, k));
        if (!depends) continue;
        for (uint32_t k = 0; k < adv_node(d->g, n)->n_out; k++) d->depends[adv_node_out(d->g, n, k).i] = 1;
    }
}

/* ---- 3: sweep -------------------------------------------------------------------------------------------------- */

static AdvVal val(AdvValueId v)
{
    AdvVal r = {v.i};
    return r;
}

static void refuse(Diff *d, AdvNodeId n, AdvDiagId id, const char *what)
{
    AdvGraph *g = d->g;
    if (n.i < d->n_told && d->told[n.i]) return;
    if (n.i < d->n_told) d->told[n.i] = 1;
    AdvDiag *m = adv_diag(g->diags, id, adv_loc_span(g, adv_node(g, n)->loc), "%s", what);
    adv_diag_note(m, adv_loc_span(g, d->b.loc), "the gradient is asked for here");
    adv_diag_help(m, "write `detach(...)` around it to make it a constant for gradients");
}

/* An op is asked for a gradient that it does not have, or a loop is in the way. */
static bool blocked(Diff *d, AdvNodeId n)
{
    const AdvNode *node = adv_node(d->g, n);
    char what[160];
    if (node->body.i) {
        refuse(d, n, ADV_D_GRAD_THROUGH_LOOP, "a gradient would have to pass through this loop");
        return true;
    }
    if (node->op->grad != ADV_GRAD_NEVER && node->op->grad) return false;
    snprintf(what, sizeof what, "`%s` has no gradient", node->op->name);
    refuse(d, n, ADV_D_GRAD_NEVER, what);
    return true;
}

/* What the samples share has one gradient for the batch, whatever that was computed from. */
static void contribute(Diff *d, AdvValueId v, AdvVal g)
{
    AdvVal *sum = &d->adjoint[v.i];
    uint8_t *rate = &d->g->values.at[g.i].rate;
    if (*rate == ADV_RATE_SAMPLE && adv_value(d->g, v)->rate != ADV_RATE_SAMPLE) *rate = ADV_RATE_BATCH;
    *sum = sum->i ? adv_b2(&d->b.base, "add", *sum, g) : g;
}

/* Gives gradient `g` of input `v` the type of `v`. */
static AdvVal fit(Diff *d, const AdvOpDef *op, AdvValueId v, AdvVal g)
{
    AdvBuild *b = &d->b.base;
    AdvVal like = val(v), none = {0};
    if (!g.i) return none;
    if (op->flags & ADV_OP_ELEMENTWISE) {
        if (b->type(b, g)->rank == 0) g = adv_g_broadcast_like(b, g, like);
        else g = adv_g_sum_like(b, g, like);
    }
    if (!g.i) return none;
    if (b->type(b, g)->dtype != b->type(b, like)->dtype || !adv_shape_eq(b->type(b, g), b->type(b, like))) {
        AdvSpan at = adv_loc_span(d->g, d->b.loc);
        AdvDiagId id = adv_plugin_of(d->g->reg, op) ? ADV_D_PLUGIN_OP : ADV_D_INTERNAL;
        adv_diag(d->g->diags, id, at, "the gradient that `%s` gives is not of its operand's type", op->name);
        return none;
    }
    return g;
}

static void sweep_node(Diff *d, AdvNodeId n)
{
    AdvGraph *g = d->g;
    AdvArena *a = d->p->scratch;
    const AdvNode node = *adv_node(g, n);
    bool *need = ADV_NEW_ARRAY(a, bool, node.n_in);
    AdvVal *in = ADV_NEW_ARRAY(a, AdvVal, node.n_in), *gin = ADV_NEW_ARRAY(a, AdvVal, node.n_in);
    AdvVal *out = ADV_NEW_ARRAY(a, AdvVal, node.n_out), *gout = ADV_NEW_ARRAY(a, AdvVal, node.n_out);
    AdvAttr *attr = ADV_NEW_ARRAY(a, AdvAttr, node.n_attr);
    for (uint32_t k = 0; k < node.n_in; k++) {
        AdvValueId v = now(d, adv_node_in(g, n, k));
        in[k] = val(v);
        need[k] = d->depends[v.i] && adv_dtype_is_float(adv_value_type(g, v)->dtype);
    }
    for (uint32_t k = 0; k < node.n_out; k++) {
        out[k] = val(adv_node_out(g, n, k));
        gout[k] = d->adjoint[out[k].i];
    }
    if (node.n_attr) memcpy(attr, adv_node_attr(g, n), node.n_attr * sizeof *attr);
    AdvGradCtx c = {.n_in = node.n_in, .n_out = node.n_out, .in = in, .out = out, .gout = gout, .attr = attr, .need = need, .gin = gin};
    AdvLocId loc = d->b.loc;
    d->b.loc = adv_loc_grad(g, node.loc);
    if (node.op->grad(&d->b.base, &c) != ADV_OK)
        adv_diag(g->diags, adv_plugin_of(g->reg, node.op) ? ADV_D_PLUGIN_OP : ADV_D_INTERNAL, adv_loc_span(g, node.loc),
                 "the gradient of `%s` could not be built", node.op->name);
    else
        for (uint32_t k = 0; k < node.n_in; k++) {
            AdvValueId v = {in[k].i};
            AdvVal piece = need[k] ? fit(d, node.op, v, gin[k]) : gin[k];
            if (need[k] && piece.i) contribute(d, v, piece);
            /* an index that is used as a number would have to be moved: asked for, so that what made it says no */
            if (d->depends[v.i] && !need[k] && (node.op->flags & ADV_OP_MOVES)) d->adjoint[v.i] = gout[0];
        }
    d->b.loc = loc;
}

static void sweep(Diff *d)
{
    for (uint32_t i = d->order.n; i > 0; i--) {
        AdvNodeId n = d->order.at[i - 1];
        bool depends = false, wanted = false;
        for (uint32_t k = 0; k < n_through(d, n) && !depends; k++) depends = value_depends(d, through(d, n, k));
        if (!depends || !encloses(d, d->home.at[n.i])) continue; /* what lies in a loop is the loop's affair */
        for (uint32_t k = 0; k < adv_node(d->g, n)->n_out; k++) wanted = wanted || d->adjoint[adv_node_out(d->g, n, k).i].i;
        if (wanted && !blocked(d, n)) sweep_node(d, n);
    }
}

/* ---- a grad node ----------------------------------------------------------------------------------------------- */

static AdvVal filled(Diff *d, double x, AdvVal like)
{
    AdvBuild *b = &d->b.base;
    return adv_g_broadcast_like(b, adv_val_number(b, x, like), like);
}

static void expand(Diff *d, AdvNodeId id)
{
    AdvGraph *g = d->g;
    const AdvNode node = *adv_node(g, id);
    AdvArenaMark mark_at = adv_arena_mark(d->p->scratch);
    d->met = ADV_NEW_ARRAY(d->p->scratch, uint8_t, g->nodes.n);
    d->depends = ADV_NEW_ARRAY(d->p->scratch, uint8_t, g->values.n);
    d->adjoint = ADV_NEW_ARRAY(d->p->scratch, AdvVal, g->values.n);
    memset(&d->order, 0, sizeof d->order);
    memset(&d->stack, 0, sizeof d->stack);
    adv_build_init(&d->b, g, d->region, node.loc);

    AdvValueId e = adv_node_in(g, id, 0);
    for (uint32_t k = 1; k < node.n_in; k++) d->depends[adv_node_in(g, id, k).i] = 1;
    collect(d, e);
    mark(d);
    AdvTensorType t = *adv_value_type(g, e);
    if (d->depends[e.i]) {
        double seed = adv_node_attr(g, id)[0].i && t.rank == 1 ? 1.0 / (double)t.dim[0] : 1.0;
        d->adjoint[e.i] = filled(d, seed, val(e));
        sweep(d);
    }
    for (uint32_t k = 0; k < node.n_out; k++) {
        AdvValueId v = adv_node_in(g, id, k + 1), r = {d->adjoint[v.i].i};
        if (!r.i) r.i = filled(d, 0, val(v)).i;
        d->map[adv_node_out(g, id, k).i] = r;
    }
    adv_arena_release(d->p->scratch, mark_at);
    while (d->home.n < g->nodes.n) *ADV_PUSH(d->p->scratch, &d->home) = d->region;
    d->changed = true;
}

/* Rebuilds the region's list: grad nodes give way to what computes them. */
static void expand_region(Diff *d, AdvRegionId r)
{
    AdvGraph *g = d->g;
    AdvNodeList old = adv_region_take(g, r);
    for (uint32_t i = 0; i < old.n; i++) {
        const AdvNode node = *adv_node(g, old.at[i]);
        for (uint32_t k = 0; k < node.n_in; k++) g->edges.at[node.in_at + k] = now(d, g->edges.at[node.in_at + k]);
        if (adv_node_is(g, old.at[i], "grad")) {
            d->region = r;
            expand(d, old.at[i]);
            continue;
        }
        *ADV_PUSH(g->arena, &adv_region(g, r)->nodes) = old.at[i];
        if (node.body.i) expand_region(d, node.body);
    }
    AdvRegion *reg = adv_region(g, r);
    for (uint32_t k = 0; k < reg->results.n; k++) reg->results.at[k] = now(d, reg->results.at[k]);
}

static bool note_home(void *user, AdvRegionId r, AdvNodeId n)
{
    Diff *d = user;
    d->home.at[n.i] = r;
    return true;
}

/* autodiff: every grad node becomes ordinary nodes at its place; a path that cannot be derived is a diagnostic and counts as
** a gradient of zero.
** needs: nothing   keeps: everything that was there   never: a value, a location or an order of what is not a grad node */
bool adv_pass_autodiff(AdvPassCtx *p, AdvGraph *g)
{
    Diff d = {.p = p, .g = g, .n_map = g->values.n, .n_told = g->nodes.n};
    d.map = ADV_NEW_ARRAY(p->scratch, AdvValueId, d.n_map);
    d.told = ADV_NEW_ARRAY(p->scratch, uint8_t, d.n_told);
    assert(p->scratch != g->arena);
    while (d.home.n < g->nodes.n) (void)ADV_PUSH(p->scratch, &d.home);
    adv_graph_each(g, note_home, &d);
    for (uint32_t i = 0; i < g->entries.n; i++) expand_region(&d, g->entries.at[i]);
    return d.changed;
}
