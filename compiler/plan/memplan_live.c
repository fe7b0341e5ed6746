/* memplan_live.c: at which positions of an entry each value's bytes must be there, and which values cannot share them.
**
** Regions are structured, so one line of positions is enough: a value that a loop's body takes from outside lives to the
** loop's end (each turn reads it again); what a body makes lives and dies within one turn. Values are defined once, so each has
** one life; a storage of several values has holes between theirs, and other storages may lie in them: a hole in a body is the
** same hole in every turn.
*/
#include "compiler/plan/memplan_internal.h"

#include "ops/view.h"

#include <assert.h>
#include <string.h>

typedef struct Live {
    MemCtx *m;
    uint32_t pos;
    uint32_t *end_of;    /* by region: position of its end */
    AdvRegionId *def_in; /* by value: region it is defined in */
    uint32_t *read_of;   /* by state: first value that reads it */
} Live;

static void define(Live *l, AdvValueId v, AdvRegionId r, uint32_t at)
{
    MemVal *mv = &l->m->val[v.i];
    memset(mv, 0, sizeof *mv);
    mv->root = mv->content = v.i;
    mv->def = mv->end = at;
    l->def_in[v.i] = r;
    *ADV_PUSH(l->m->scratch, &l->m->roots) = v.i;
}

/* Ends of loops that are still open are not known: marks are made in a second walk. */
static void number(Live *l, AdvRegionId r)
{
    AdvGraph *g = l->m->g;
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvNodeId id = adv_region(g, r)->nodes.at[i];
        const AdvNode *n = adv_node(g, id);
        bool fixed = adv_node_is(g, id, "read") || adv_node_is(g, id, "const");
        uint32_t at = fixed ? 0 : n->with_prev ? l->pos - 1 : l->pos++;
        if (n->op->flags & ADV_OP_VIEW) {
            AdvValueId out = adv_node_out(g, id, 0), in = adv_node_in(g, id, 0);
            memset(&l->m->val[out.i], 0, sizeof(MemVal));
            l->m->val[out.i].root = l->m->val[in.i].root;
            continue;
        }
        if (n->body.i) {
            const AdvRegion *body = adv_region(g, n->body);
            define(l, body->params.at[0], n->body, at);
            for (uint32_t k = 1; k < body->params.n; k++) define(l, body->params.at[k], n->body, l->pos);
            l->pos++;
            number(l, n->body);
            l->end_of[n->body.i] = l->pos++;
            at = l->pos++;
        }
        for (uint32_t k = 0; k < n->n_out; k++) define(l, adv_node_out(g, id, k), r, at);
        if (adv_node_is(g, id, "read")) { /* two reads of a state are one content */
            if (!l->read_of[n->state.i]) l->read_of[n->state.i] = n->out_at;
            l->m->val[n->out_at].content = l->read_of[n->state.i];
        }
        if (adv_node_is(g, id, "copy")) l->m->val[n->out_at].content = l->m->val[l->m->val[adv_node_in(g, id, 0).i].root].content;
    }
}

/* Node `by` uses v at position `at` of region r. */
static void use(Live *l, AdvValueId v, AdvRegionId r, uint32_t at, AdvNodeId by)
{
    AdvGraph *g = l->m->g;
    uint32_t root = l->m->val[v.i].root;
    assert(root);
    for (; r.i && r.i != l->def_in[root].i; r = adv_region(g, r)->parent) at = l->end_of[r.i];
    MemVal *mv = &l->m->val[root];
    mv->is_shared = at == mv->end && (mv->is_shared || mv->last.i != by.i);
    if (at < mv->end) return;
    mv->end = at;
    mv->last = by;
}

static void mark_uses(Live *l, AdvRegionId r, uint32_t *pos)
{
    AdvGraph *g = l->m->g;
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvNodeId id = adv_region(g, r)->nodes.at[i];
        const AdvNode *n = adv_node(g, id);
        uint32_t at;
        if (adv_node_is(g, id, "read") || adv_node_is(g, id, "const")) continue;
        at = n->with_prev ? *pos - 1 : (*pos)++;
        for (uint32_t k = 0; k < n->n_in; k++) use(l, adv_node_in(g, id, k), r, at, id);
        if (!n->body.i) continue;
        ++*pos;
        mark_uses(l, n->body, pos);
        for (uint32_t k = 0; k < adv_region(g, n->body)->results.n; k++) use(l, adv_region(g, n->body)->results.at[k], n->body, *pos, id);
        use(l, adv_region(g, n->body)->params.at[0], n->body, *pos, id);
        *pos += 2;
    }
}

/* States are at home from the start; one that is not written, and every constant, stays as it is to the end. */
static void pin_ends(MemCtx *m, AdvRegionId entry)
{
    AdvGraph *g = m->g;
    uint8_t *written = ADV_NEW_ARRAY(m->scratch, uint8_t, g->states.n);
    const AdvRegion *r = adv_region(g, entry);
    for (uint32_t i = 0; i < r->nodes.n; i++)
        if (adv_node_is(g, r->nodes.at[i], "write")) {
            written[adv_node(g, r->nodes.at[i])->state.i] = 1;
            m->val[m->val[adv_node_in(g, r->nodes.at[i], 0).i].root].end = MEM_END;
        }
    for (uint32_t i = 0; i < m->roots.n; i++) {
        AdvNodeId def = g->values.at[m->roots.at[i]].def;
        if (!def.i) continue;
        if (adv_node_is(g, def, "const") || (adv_node_is(g, def, "read") && !written[adv_node(g, def)->state.i]))
            m->val[m->roots.at[i]].end = MEM_END;
    }
}

void mem_live(MemCtx *m, AdvRegionId entry)
{
    uint32_t pos = 1;
    Live l = {.m = m, .pos = 1};
    m->roots.n = 0;
    l.end_of = ADV_NEW_ARRAY(m->scratch, uint32_t, m->g->regions.n);
    l.def_in = ADV_NEW_ARRAY(m->scratch, AdvRegionId, m->g->values.n);
    l.read_of = ADV_NEW_ARRAY(m->scratch, uint32_t, m->g->states.n);
    number(&l, entry);
    mark_uses(&l, entry, &pos);
    assert(pos == l.pos);
    m->n_positions = l.pos;
    pin_ends(m, entry);
}

/* b is made at the moment at which a is taken as an input for the last time: may b be written over it? */
static bool inplace_ok(const MemCtx *m, uint32_t a, uint32_t b)
{
    const AdvGraph *g = m->g;
    const AdvValue *out = &g->values.at[b];
    const AdvNode *n = adv_node(g, out->def);
    uint8_t fact = out->out_ix < 4 ? n->op->inplace[out->out_ix] : ADV_INPLACE_NONE;
    bool takes = false;
    if (!out->def.i || n->body.i || fact == ADV_INPLACE_NONE || m->val[a].is_shared) return false;
    for (uint32_t k = 0; k < n->n_in; k++) {
        AdvValueId in = adv_node_in(g, out->def, k);
        if (m->val[in.i].root != a) continue;
        if (fact != ADV_INPLACE_ANY && fact != ADV_INPLACE(k)) return false;
        if (!adv_type_eq(adv_value_type(g, in), &out->type)) return false;
        takes = true;
    }
    return takes; /* else another node of its list does */
}

bool mem_interfere(const MemCtx *m, uint32_t a, uint32_t b)
{
    const MemVal *x = &m->val[a], *y = &m->val[b];
    if (x->content == y->content) return false;
    if (x->def > y->def) {
        const MemVal *t = x;
        uint32_t ti = a;
        x = y, y = t;
        a = b, b = ti;
    }
    if (x->def == y->def) return true;
    if (x->end < y->def) return false;
    return x->end > y->def || !inplace_ok(m, a, b);
}
