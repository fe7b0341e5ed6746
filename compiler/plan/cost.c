/* cost.c: counting; see cost.h. The rows are in the order in which emit.c numbers instructions. */
#include "compiler/plan/cost.h"

#include "ops/view.h"

#include <assert.h>
#include <string.h>

#define MAX_VISITS 256 /* values looked at to find the weight behind an operand */

typedef struct Count {
    AdvArena *arena;
    const AdvGraph *g;
    const AdvTarget *target;
    const AdvMemPlan *mem;
    AdvCost *cost;
    uint8_t *is_grad;      /* by location: 0 not known yet, 1 no, 2 yes */
    double *weight_flops;  /* by state: of one use */
} Count;

/* ---- what a node is ------------------------------------------------------------------------------------------------------- */

static bool from_gradient(Count *c, AdvLocId loc)
{
    if (!loc.i) return false;
    if (!c->is_grad[loc.i]) {
        const AdvLoc *l = &c->g->locs.at[loc.i];
        c->is_grad[loc.i] = 1; /* chains have no rings */
        if (l->why == ADV_LOC_GRAD || from_gradient(c, l->parent) || from_gradient(c, l->also)) c->is_grad[loc.i] = 2;
    }
    return c->is_grad[loc.i] == 2;
}

/* The weight that `v` is, or is made from element by element; none if there is none. */
static AdvStateId weight_behind(const AdvGraph *g, AdvValueId v, int64_t n_elems, uint32_t *visits)
{
    AdvStateId none = {0};
    const AdvValue *val = adv_value(g, v);
    if (!v.i || adv_type_elems(&val->type) != n_elems || ++*visits > MAX_VISITS) return none;
    if (!val->def.i) { /* a parameter of a loop's body: what the loop began with */
        AdvNodeId loop = adv_region(g, val->param_of)->owner;
        return val->out_ix ? weight_behind(g, adv_node_in(g, loop, val->out_ix - 1u), n_elems, visits) : none;
    }
    const AdvNode *n = adv_node(g, val->def);
    if (adv_node_is(g, val->def, "read")) return g->states.at[n->state.i].kind == ADV_STATE_PARAM ? n->state : none;
    if (n->body.i) return weight_behind(g, adv_node_in(g, val->def, val->out_ix), n_elems, visits);
    if (!(n->op->flags & (ADV_OP_VIEW | ADV_OP_MOVES | ADV_OP_ELEMENTWISE))) return none;
    for (uint32_t k = 0; k < n->n_in; k++) {
        AdvStateId s = weight_behind(g, adv_node_in(g, val->def, k), n_elems, visits);
        if (s.i) return s;
    }
    return none;
}

static void work_of(Count *c, AdvCostRow *r)
{
    const AdvGraph *g = c->g;
    const AdvNode *n = adv_node(g, r->node);
    AdvView *views = ADV_NEW_ARRAY(c->arena, AdvView, n->n_in + n->n_out + 1);
    AdvSig sig = {n->op, n->n_in, n->n_out, views, views + n->n_in, adv_node_attr(g, r->node)};
    for (uint32_t k = 0; k < n->n_in; k++) views[k] = adv_view_of(adv_value_type(g, adv_node_in(g, r->node, k)), NULL);
    for (uint32_t k = 0; k < n->n_out; k++) views[n->n_in + k] = adv_view_of(adv_value_type(g, adv_node_out(g, r->node, k)), NULL);
    r->flops = adv_sig_flops(&sig);
    r->bytes = adv_sig_bytes(&sig);
    uint8_t dtype = n->n_in + n->n_out ? views[n->op->flags & ADV_OP_CONV ? 0 : n->n_in].dtype : ADV_F32; /* that it computes in */
    bool is_low = dtype == ADV_BF16 || dtype == ADV_F16;
    double compute = r->flops / (1e9 * (is_low ? c->target->low_gflops : c->target->gflops)), move = r->bytes / (1e9 * c->target->gbytes);
    r->seconds = compute > move ? compute : move;
    if (!(n->op->flags & ADV_OP_CONV) || r->is_grad || n->n_in < 2) return;
    uint32_t visits = 0;
    AdvStateId w = weight_behind(g, adv_node_in(g, r->node, 1), adv_view_elems(&views[1]), &visits);
    if (r->flops > c->weight_flops[w.i]) c->weight_flops[w.i] = r->flops;
}

/* ---- entries ---------------------------------------------------------------------------------------------------------------- */

static void reach(Count *c, AdvCostEntry *e, AdvValueId v, uint32_t row)
{
    const AdvHome *h = &c->mem->home[v.i];
    if (v.i >= c->mem->n_homes || !h->has || h->block != ADV_BLOCK_TEMP) return;
    uint64_t end = h->offset + (uint64_t)adv_type_bytes(adv_value_type(c->g, v));
    if (end <= e->peak_bytes) return;
    e->peak_bytes = end;
    e->peak_row = row;
}

static void count_region(Count *c, AdvCostEntry *e, AdvRegionId region, uint32_t depth, double times)
{
    const AdvRegion *reg = adv_region(c->g, region);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId id = reg->nodes.at[i];
        const AdvNode *n = adv_node(c->g, id);
        if (!adv_node_is_inst(c->g, id)) continue;
        uint32_t row = c->cost->rows.n;
        AdvCostRow *r = ADV_PUSH(c->arena, &c->cost->rows);
        *r = (AdvCostRow){.node = id, .depth = depth, .times = times, .is_grad = from_gradient(c, n->loc)};
        for (uint32_t k = 0; k < n->n_out; k++) reach(c, e, adv_node_out(c->g, id, k), row);
        if (!n->body.i) {
            work_of(c, r);
            continue;
        }
        for (uint32_t k = 0; k < adv_region(c->g, n->body)->params.n; k++) reach(c, e, adv_region(c->g, n->body)->params.at[k], row);
        count_region(c, e, n->body, depth + 1, times * (double)adv_loop_turns(c->g, id));
    }
}

/* "f.conv1.weight" is of model "f". */
static size_t model_bytes(const char *state)
{
    return strcspn(state, ".");
}

static void find_unit(Count *c)
{
    const AdvGraph *g = c->g;
    c->cost->model = "";
    for (uint32_t i = 1; i < g->states.n; i++) {
        const char *name = adv_str(g->names, g->states.at[i].name);
        double sum = 0;
        if (c->weight_flops[i] <= 0) continue;
        for (uint32_t k = 1; k < g->states.n; k++) {
            const char *other = adv_str(g->names, g->states.at[k].name);
            if (model_bytes(other) == model_bytes(name) && !strncmp(other, name, model_bytes(name))) sum += c->weight_flops[k];
        }
        if (sum <= c->cost->unit_flops) continue;
        c->cost->unit_flops = sum;
        c->cost->model = adv_arena_strn(c->arena, name, model_bytes(name));
    }
}

static void sum_up(Count *c, AdvCostEntry *e)
{
    for (uint32_t i = e->first; i < e->first + e->n_rows; i++) {
        const AdvCostRow *r = &c->cost->rows.at[i];
        e->flops += r->times * r->flops;
        e->bytes += r->times * r->bytes;
        e->seconds += r->times * r->seconds;
        if (!adv_node(c->g, r->node)->body.i && !adv_node(c->g, r->node)->with_prev) e->launches += r->times;
        if (!(adv_node(c->g, r->node)->op->flags & ADV_OP_CONV) || c->cost->unit_flops <= 0) continue;
        *(r->is_grad ? &e->backwards : &e->forwards) += r->times * r->flops / c->cost->unit_flops;
    }
}

AdvCost *adv_cost(AdvArena *arena, const AdvGraph *g, const AdvTarget *t, const AdvMemPlan *mem)
{
    Count c = {.arena = arena, .g = g, .target = t, .mem = mem, .cost = ADV_NEW(arena, AdvCost)};
    c.is_grad = ADV_NEW_ARRAY(arena, uint8_t, g->locs.n + 1);
    c.weight_flops = ADV_NEW_ARRAY(arena, double, g->states.n + 1);
    for (uint32_t i = 0; i < g->entries.n; i++) {
        AdvCostEntry *e = ADV_PUSH(arena, &c.cost->entries);
        *e = (AdvCostEntry){.entry = g->entries.at[i], .first = c.cost->rows.n};
        count_region(&c, e, e->entry, 0, 1);
        e->n_rows = c.cost->rows.n - e->first;
    }
    c.weight_flops[0] = 0; /* operands that are no weights */
    find_unit(&c);
    for (uint32_t i = 0; i < c.cost->entries.n; i++) sum_up(&c, &c.cost->entries.at[i]);
    return c.cost;
}
