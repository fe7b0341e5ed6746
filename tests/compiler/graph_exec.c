/* graph_exec.c: see graph_exec.h. */
#include "tests/compiler/graph_exec.h"

#include "ops/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct GraphExec {
    const AdvGraph *g;
    AdvAlloc alloc;
    void **state;      /* by state */
    void **value;      /* by value; NULL: not computed */
    uint64_t *count;   /* by node */
    const char *failed;
};

static void die(const char *what, const char *name)
{
    fprintf(stderr, "graph_exec: %s `%s`\n", what, name);
    abort();
}

static void *get_memory(size_t n)
{
    void *p = calloc(n ? n : 1, 1);
    if (!p) die("no memory for", "a value");
    return p;
}

static size_t bytes_of(const AdvTensorType *t) { return (size_t)adv_type_bytes(t); }

GraphExec *graph_exec_new(const AdvGraph *g)
{
    GraphExec *x = get_memory(sizeof *x);
    x->g = g;
    x->alloc = adv_alloc_default();
    x->state = get_memory(g->states.n * sizeof *x->state);
    x->value = get_memory(g->values.n * sizeof *x->value);
    x->count = get_memory(g->nodes.n * sizeof *x->count);
    for (uint32_t i = 1; i < g->states.n; i++) x->state[i] = get_memory(bytes_of(&g->states.at[i].type));
    return x;
}

static void drop_values(GraphExec *x)
{
    for (uint32_t i = 0; i < x->g->values.n; i++) {
        free(x->value[i]);
        x->value[i] = NULL;
    }
}

void graph_exec_free(GraphExec *x)
{
    if (!x) return;
    drop_values(x);
    for (uint32_t i = 0; i < x->g->states.n; i++) free(x->state[i]);
    free(x->state);
    free(x->value);
    free(x->count);
    free(x);
}

/* ---- states ---------------------------------------------------------------------------------------------------- */

static uint32_t find_state(const GraphExec *x, const char *name)
{
    for (uint32_t i = 1; i < x->g->states.n; i++)
        if (strcmp(adv_str(x->g->names, x->g->states.at[i].name), name) == 0) return i;
    die("no state", name);
    return 0;
}

int64_t graph_exec_elems(const GraphExec *x, const char *state) { return adv_type_elems(&x->g->states.at[find_state(x, state)].type); }

void graph_exec_set(GraphExec *x, const char *state, const double *values)
{
    uint32_t s = find_state(x, state);
    AdvView v = adv_view_of(&x->g->states.at[s].type, x->state[s]);
    for (int64_t i = 0; i < adv_view_elems(&v); i++) adv_st(&v, i, values[i]);
}

void graph_exec_get(const GraphExec *x, const char *state, double *values)
{
    uint32_t s = find_state(x, state);
    AdvView v = adv_view_of(&x->g->states.at[s].type, x->state[s]);
    for (int64_t i = 0; i < adv_view_elems(&v); i++) values[i] = adv_ld(&v, i);
}

const void *graph_exec_bytes(const GraphExec *x, const char *state, size_t *out_n)
{
    uint32_t s = find_state(x, state);
    *out_n = bytes_of(&x->g->states.at[s].type);
    return x->state[s];
}

const char *graph_exec_failed(const GraphExec *x) { return x->failed ? x->failed : ""; }

uint64_t graph_exec_count(const GraphExec *x, const char *op)
{
    uint64_t n = 0;
    for (uint32_t i = 1; i < x->g->nodes.n; i++) {
        AdvNodeId id = {i};
        if (x->count[i] && (!op || adv_node_is(x->g, id, op))) n += x->count[i];
    }
    return n;
}

/* ---- running --------------------------------------------------------------------------------------------------- */

static AdvStatus run_region(GraphExec *x, AdvRegionId r);

static void *room(GraphExec *x, AdvValueId v)
{
    if (!x->value[v.i]) x->value[v.i] = get_memory(bytes_of(adv_value_type(x->g, v)));
    return x->value[v.i];
}

static const void *data(const GraphExec *x, AdvValueId v)
{
    if (!x->value[v.i]) die("a value is used before it is computed in", x->failed ? x->failed : "the graph");
    return x->value[v.i];
}

static void move(GraphExec *x, AdvValueId to, AdvValueId from) { memcpy(room(x, to), data(x, from), bytes_of(adv_value_type(x->g, from))); }

static AdvStatus run_op(GraphExec *x, AdvNodeId id)
{
    const AdvNode *n = adv_node(x->g, id);
    AdvView *in = get_memory(n->n_in * sizeof *in), *out = get_memory(n->n_out * sizeof *out);
    for (uint32_t k = 0; k < n->n_in; k++) {
        AdvValueId v = adv_node_in(x->g, id, k);
        (void)data(x, v);
        in[k] = adv_view_of(adv_value_type(x->g, v), x->value[v.i]);
    }
    for (uint32_t k = 0; k < n->n_out; k++) {
        AdvValueId v = adv_node_out(x->g, id, k);
        out[k] = adv_view_of(adv_value_type(x->g, v), room(x, v));
    }
    AdvStatus st = ADV_OK;
    if (!(n->op->flags & (ADV_OP_STRUCT | ADV_OP_VIEW)))
        st = adv_op_run_ref(x->g->reg, n->op, in, n->n_in, adv_node_attr(x->g, id), out, n->n_out, &x->alloc);
    else if (n->op->flags & ADV_OP_VIEW) move(x, adv_node_out(x->g, id, 0), adv_node_in(x->g, id, 0));
    else st = ADV_EUNAVAILABLE;
    free(in);
    free(out);
    return st;
}

static AdvStatus run_loop(GraphExec *x, AdvNodeId id)
{
    const AdvNode *n = adv_node(x->g, id);
    const AdvRegion *b = adv_region(x->g, n->body);
    void **next = get_memory(n->n_in * sizeof *next);
    AdvStatus st = ADV_OK;
    for (uint32_t k = 0; k < n->n_in; k++) {
        move(x, b->params.at[k + 1], adv_node_in(x->g, id, k));
        next[k] = get_memory(bytes_of(adv_value_type(x->g, b->params.at[k + 1])));
    }
    for (int64_t turn = 0; turn < adv_loop_turns(x->g, id) && st == ADV_OK; turn++) {
        memcpy(room(x, b->params.at[0]), &turn, sizeof turn);
        st = run_region(x, n->body);
        for (uint32_t k = 0; k < n->n_in && st == ADV_OK; k++)
            memcpy(next[k], data(x, b->results.at[k]), bytes_of(adv_value_type(x->g, b->params.at[k + 1])));
        for (uint32_t k = 0; k < n->n_in && st == ADV_OK; k++)
            memcpy(room(x, b->params.at[k + 1]), next[k], bytes_of(adv_value_type(x->g, b->params.at[k + 1])));
    }
    for (uint32_t k = 0; k < n->n_in; k++) {
        if (st == ADV_OK) move(x, adv_node_out(x->g, id, k), b->params.at[k + 1]);
        free(next[k]);
    }
    free(next);
    return st;
}

static AdvStatus run_region(GraphExec *x, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(x->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId id = reg->nodes.at[i];
        const AdvNode *n = adv_node(x->g, id);
        AdvStatus st = ADV_OK;
        x->failed = n->op->name;
        x->count[id.i]++;
        size_t state_bytes = n->state.i ? bytes_of(&x->g->states.at[n->state.i].type) : 0;
        if (adv_node_is(x->g, id, "read")) memcpy(room(x, adv_node_out(x->g, id, 0)), x->state[n->state.i], state_bytes);
        else if (adv_node_is(x->g, id, "const")) memcpy(room(x, adv_node_out(x->g, id, 0)), n->data.data, (size_t)n->data.n_bytes);
        else if (n->body.i) st = run_loop(x, id);
        else if (!adv_node_is(x->g, id, "write")) st = run_op(x, id);
        if (st != ADV_OK) return st;
    }
    return ADV_OK;
}

AdvStatus graph_exec_run(GraphExec *x, const char *entry)
{
    const AdvGraph *g = x->g;
    uint32_t e = 0;
    while (e < g->entries.n && strcmp(adv_str(g->names, adv_region(g, g->entries.at[e])->name), entry) != 0) e++;
    if (e == g->entries.n) die("no entry", entry);
    drop_values(x);
    AdvStatus st = run_region(x, g->entries.at[e]);
    const AdvRegion *r = adv_region(g, g->entries.at[e]);
    for (uint32_t i = 0; i < r->nodes.n && st == ADV_OK; i++) {
        AdvNodeId id = r->nodes.at[i];
        uint32_t s = adv_node(g, id)->state.i;
        if (adv_node_is(g, id, "write")) memcpy(x->state[s], data(x, adv_node_in(g, id, 0)), bytes_of(&g->states.at[s].type));
    }
    if (st == ADV_OK) x->failed = NULL;
    return st;
}
