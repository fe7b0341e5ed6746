/* exec.h: the two executors that tests of the compiler's back compare, on the definitions of ops (adv_op_run_ref).
**
**   exec_graph  a graph as it stands: every value in a buffer of its own, never reused
**   exec_plan   a loaded plan at its planned addresses; the temporary block is filled with garbage before each entry
**
** Both work on one ExecStates, the bytes of all states in the recipe's order. Failures of an op give false.
*/
#ifndef ADV_TESTS_EXEC_H
#define ADV_TESTS_EXEC_H

#include "compiler/plan/emit.h"
#include "ops/view.h"
#include "runtime/plan_load.h"

#include <stdlib.h>
#include <string.h>

typedef struct ExecStates {
    uint32_t n;
    void **data;
    size_t *n_bytes;
} ExecStates;

static inline ExecStates exec_states_new(const AdvGraph *g)
{
    ExecStates s = {.n = g->states.n - 1};
    s.data = calloc(s.n + 1, sizeof *s.data);
    s.n_bytes = calloc(s.n + 1, sizeof *s.n_bytes);
    for (uint32_t i = 0; i < s.n; i++) {
        s.n_bytes[i] = (size_t)adv_type_bytes(&g->states.at[i + 1].type);
        s.data[i] = calloc(s.n_bytes[i], 1);
    }
    return s;
}

static inline void exec_states_free(ExecStates *s)
{
    for (uint32_t i = 0; i < s->n; i++) free(s->data[i]);
    free(s->data);
    free(s->n_bytes);
}

static inline uint32_t exec_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

/* Small numbers that differ: floats in -1..1, integers in 0..3. */
static inline void exec_states_fill(ExecStates *s, const AdvGraph *g, uint64_t seed)
{
    for (uint32_t i = 0; i < s->n; i++) {
        AdvView v = adv_view_of(&g->states.at[i + 1].type, s->data[i]);
        for (int64_t k = 0; k < adv_view_elems(&v); k++) {
            uint32_t r = exec_random(&seed);
            adv_st(&v, k, v.dtype <= ADV_F16 ? (double)(r % 20001) / 10000 - 1 : (double)(r % 4));
        }
    }
}

static inline bool exec_states_equal(const ExecStates *a, const ExecStates *b)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (a->n_bytes[i] != b->n_bytes[i] || memcmp(a->data[i], b->data[i], a->n_bytes[i]) != 0) return false;
    return true;
}

/* ---- graphs ---------------------------------------------------------------------------------------------------------- */

typedef struct ExecGraph {
    const AdvGraph *g;
    ExecStates *s;
    void **buf; /* by value */
    AdvAlloc alloc;
    bool ok;
} ExecGraph;

static inline void *exec_buf(ExecGraph *x, AdvValueId v)
{
    size_t n = (size_t)adv_type_bytes(adv_value_type(x->g, v));
    if (!x->buf[v.i]) x->buf[v.i] = malloc(n ? n : 1);
    return x->buf[v.i];
}

static inline void exec_move(ExecGraph *x, AdvValueId to, AdvValueId from)
{
    memcpy(exec_buf(x, to), exec_buf(x, from), (size_t)adv_type_bytes(adv_value_type(x->g, to)));
}

static inline void exec_region(ExecGraph *x, AdvRegionId r);

static inline void exec_loop(ExecGraph *x, AdvNodeId id)
{
    const AdvNode *n = adv_node(x->g, id);
    const AdvRegion *body = adv_region(x->g, n->body);
    for (uint32_t k = 0; k < n->n_in; k++) exec_move(x, body->params.at[k + 1], adv_node_in(x->g, id, k));
    for (int64_t turn = 0; turn < adv_loop_turns(x->g, id) && x->ok; turn++) {
        memcpy(exec_buf(x, body->params.at[0]), &turn, 8);
        exec_region(x, n->body);
        /* through the loop's own outputs, so that two carried values may swap */
        for (uint32_t k = 0; k < n->n_in; k++) exec_move(x, adv_node_out(x->g, id, k), body->results.at[k]);
        for (uint32_t k = 0; k < n->n_in; k++) exec_move(x, body->params.at[k + 1], adv_node_out(x->g, id, k));
    }
}

static inline void exec_op(ExecGraph *x, AdvNodeId id)
{
    const AdvNode *n = adv_node(x->g, id);
    AdvView in[64], out[16];
    if (n->n_in > 64 || n->n_out > 16) abort();
    for (uint32_t k = 0; k < n->n_in; k++)
        in[k] = adv_view_of(adv_value_type(x->g, adv_node_in(x->g, id, k)), exec_buf(x, adv_node_in(x->g, id, k)));
    for (uint32_t k = 0; k < n->n_out; k++)
        out[k] = adv_view_of(adv_value_type(x->g, adv_node_out(x->g, id, k)), exec_buf(x, adv_node_out(x->g, id, k)));
    if (adv_op_run_ref(x->g->reg, n->op, in, n->n_in, adv_node_attr(x->g, id), out, n->n_out, &x->alloc) != ADV_OK) x->ok = false;
}

static inline void exec_region(ExecGraph *x, AdvRegionId r)
{
    for (uint32_t i = 0; i < adv_region(x->g, r)->nodes.n && x->ok; i++) {
        AdvNodeId id = adv_region(x->g, r)->nodes.at[i];
        const AdvNode *n = adv_node(x->g, id);
        if (n->body.i)
            exec_loop(x, id);
        else if (adv_node_is(x->g, id, "const"))
            memcpy(exec_buf(x, adv_node_out(x->g, id, 0)), n->data.data, (size_t)n->data.n_bytes);
        else if (adv_node_is(x->g, id, "read"))
            memcpy(exec_buf(x, adv_node_out(x->g, id, 0)), x->s->data[n->state.i - 1], x->s->n_bytes[n->state.i - 1]);
        else if (adv_node_is(x->g, id, "write"))
            memcpy(x->s->data[n->state.i - 1], exec_buf(x, adv_node_in(x->g, id, 0)), x->s->n_bytes[n->state.i - 1]);
        else if (n->op->flags & ADV_OP_VIEW)
            memcpy(exec_buf(x, adv_node_out(x->g, id, 0)), exec_buf(x, adv_node_in(x->g, id, 0)),
                   (size_t)adv_type_bytes(adv_value_type(x->g, adv_node_out(x->g, id, 0))));
        else
            exec_op(x, id);
    }
}

static inline bool exec_graph(const AdvGraph *g, AdvRegionId entry, ExecStates *s)
{
    ExecGraph x = {.g = g, .s = s, .alloc = adv_alloc_default(), .ok = true};
    x.buf = calloc(g->values.n, sizeof *x.buf);
    exec_region(&x, entry);
    for (uint32_t i = 0; i < g->values.n; i++) free(x.buf[i]);
    free(x.buf);
    return x.ok;
}

/* ---- plans ------------------------------------------------------------------------------------------------------------ */

typedef struct ExecPlan {
    const AdvPlan *p;
    const AdvPlanTarget *t;
    const AdvRegistry *reg;
    ExecStates *s;
    unsigned char *temp;
    AdvAlloc alloc;
    bool ok;
} ExecPlan;

static inline AdvView exec_plan_view(ExecPlan *x, uint32_t operand)
{
    const AdvPlanValue *v = &x->t->values[x->t->operands[operand]];
    void *base = v->block == ADV_BLOCK_STATE   ? x->s->data[v->state]
                 : v->block == ADV_BLOCK_CONST ? (void *)(uintptr_t)x->t->consts
                                               : x->temp;
    return adv_plan_view(v, base);
}

static inline void exec_plan_range(ExecPlan *x, uint32_t first, uint32_t n);

static inline void exec_plan_inst(ExecPlan *x, uint32_t i)
{
    const AdvPlanInst *in = &x->t->insts[i];
    const AdvOpDef *op = x->p->op_defs[in->op];
    AdvView ins[64], outs[16];
    if (in->n_in > 64 || in->n_out > 16) abort();
    for (uint32_t k = 0; k < in->n_in; k++) ins[k] = exec_plan_view(x, in->in_at + k);
    for (uint32_t k = 0; k < in->n_out; k++) outs[k] = exec_plan_view(x, in->out_at + k);
    if (strcmp(op->name, "loop") == 0) {
        for (int64_t turn = 0; turn < x->t->attrs[in->attr_at].i && x->ok; turn++) {
            memcpy(outs[0].data, &turn, 8);
            exec_plan_range(x, i + 1, in->n_body);
        }
    } else if (adv_op_run_ref(x->reg, op, ins, in->n_in, &x->t->attrs[in->attr_at], outs, in->n_out, &x->alloc) != ADV_OK) {
        x->ok = false;
    }
}

/* Lists back to front, since their order must mean nothing. */
static inline void exec_plan_range(ExecPlan *x, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n && x->ok;) {
        uint32_t n_list = 1;
        while (i + n_list < first + n && x->t->insts[i + n_list].with_prev) n_list++;
        for (uint32_t k = n_list; k-- > 0;) exec_plan_inst(x, i + k);
        i += n_list == 1 ? 1 + x->t->insts[i].n_body : n_list;
    }
}

static inline bool exec_plan(const AdvPlan *p, const AdvPlanTarget *t, const AdvRegistry *reg, uint32_t entry, ExecStates *s,
                             unsigned char garbage)
{
    ExecPlan x = {.p = p, .t = t, .reg = reg, .s = s, .alloc = adv_alloc_default(), .ok = true};
    x.temp = malloc(t->temp_bytes + 1);
    memset(x.temp, garbage, t->temp_bytes + 1);
    exec_plan_range(&x, t->entries[entry].first, t->entries[entry].n_insts);
    free(x.temp);
    return x.ok;
}

#endif
