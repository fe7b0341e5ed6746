/* schedule.c: the order of nodes within a region.
**
** needs:  uses     keeps: everything but order     breaks: order
** Within what sched.h says, order is chosen for short lifetimes: source order, but a node that frees at least what it takes goes as
** soon as it can (a weight's update right behind its gradient); one that only takes waits until somebody wants it (a draw, a
** relayout, a mask). Numbers take nothing. Reads stay first and writes last. Deterministic: ties go to source order. Where updates
** become one list (gather.c), they may wait for what all of them need where the source has it. See tests/ir/schedule_*.advg.
*/
#include "compiler/pass/pass_list.h"
#include "compiler/pass/sched.h"

#include "ops/view.h"

#include <assert.h>
#include <string.h>

/* ---- lifetimes ---------------------------------------------------------------------------------------------------------- */

typedef struct Cost {
    int64_t takes, frees, reads;
} Cost;

/* Bytes that running the node now takes and frees, and the bytes of this region it reads. An output that takes a dying input's
** place does neither; states, parameters and constants are at home and free nothing. */
static Cost cost_of(Sched *s, uint32_t i)
{
    AdvNodeId id = s->items[i].node;
    const AdvNode *n = adv_node(s->g, id);
    Cost c = {0, 0, 0};
    uint32_t n_taken = 0, taken[4];
    if ((n->op->flags & ADV_OP_VIEW) || adv_node_is(s->g, id, "const") || adv_node_is(s->g, id, "read")) return c;
    for (uint32_t o = 0; o < n->n_out; o++) {
        bool in_place = false;
        for (uint32_t k = 0; k < n->n_in && !in_place && n_taken < 4; k++) {
            uint32_t v = s->root[adv_node_in(s->g, id, k).i];
            if (!sched_may_take(s->g, id, o, k) || s->left[v] != 1) continue;
            in_place = true;
            for (uint32_t m = 0; m < n_taken; m++) in_place = in_place && taken[m] != v;
            if (in_place) taken[n_taken++] = v;
        }
        if (!in_place && s->g->values.at[n->out_at + o].type.rank > 0) c.takes += adv_type_bytes(&s->g->values.at[n->out_at + o].type);
    }
    sched_uses(s, id);
    for (uint32_t k = 0; k < s->uses.n; k++) {
        uint32_t v = s->uses.at[k].i;
        AdvNodeId def = s->g->values.at[v].def;
        bool is_taken = false;
        int64_t n_bytes;
        if (!sched_item_of(s, v) || adv_node_is(s->g, def, "const") || adv_node_is(s->g, def, "read")) continue;
        for (uint32_t m = 0; m < n_taken; m++) is_taken = is_taken || taken[m] == v;
        n_bytes = adv_type_bytes(&s->g->values.at[v].type);
        c.reads += n_bytes;
        if (s->left[v] == 1 && !is_taken) c.frees += n_bytes;
    }
    return c;
}

/* Places item i. Who waited for it, and who is now the last reader of what it read, may have become eager: s->ready. */
static void emit(Sched *s, uint32_t i)
{
    SchedItem *it = &s->items[i];
    assert(!it->is_done && it->n_before == 0);
    it->is_done = true;
    s->order[s->n_order++] = it->node;
    for (uint32_t e = it->after; e; e = s->edges.at[e].next) {
        s->items[s->edges.at[e].to].n_before--;
        *ADV_PUSH(s->mem, &s->ready) = s->edges.at[e].to;
    }
    sched_uses(s, it->node);
    for (uint32_t k = 0; k < s->uses.n; k++) {
        uint32_t v = s->uses.at[k].i, d = sched_item_of(s, v);
        if (--s->left[v] != 1 || !d) continue;
        for (uint32_t e = s->items[d - 1].after; e; e = s->edges.at[e].next) *ADV_PUSH(s->mem, &s->ready) = s->edges.at[e].to;
    }
}

/* Places everything that frees at least what it takes. */
static void emit_eager(Sched *s)
{
    for (;;) {
        uint32_t best = s->n;
        for (uint32_t k = 0; k < s->ready.n; k++) {
            const SchedItem *it = &s->items[s->ready.at[k]];
            Cost c;
            if (it->is_done || it->is_end || it->n_before || s->ready.at[k] >= best) continue;
            c = cost_of(s, s->ready.at[k]);
            if (c.frees >= c.takes) best = s->ready.at[k];
        }
        if (best == s->n) break;
        emit(s, best);
    }
    s->ready.n = 0;
}

/* Item i and all it waits for, those first, in source order. */
static void demand(Sched *s, uint32_t i)
{
    ADV_VEC(uint32_t) stack = {0};
    *ADV_PUSH(s->mem, &stack) = i;
    while (stack.n) {
        uint32_t at = stack.at[stack.n - 1], first = s->n;
        if (s->items[at].is_done) {
            stack.n--;
            continue;
        }
        for (uint32_t e = s->items[at].before; e; e = s->edges.at[e].next)
            if (!s->items[s->edges.at[e].to].is_done && s->edges.at[e].to < first) first = s->edges.at[e].to;
        if (first < s->n) {
            *ADV_PUSH(s->mem, &stack) = first;
            continue;
        }
        stack.n--;
        emit(s, at);
        emit_eager(s);
    }
}

static bool wants_to_wait(Sched *s, uint32_t i)
{
    const AdvNode *n = adv_node(s->g, s->items[i].node);
    Cost c;
    if (n->op->flags & (ADV_OP_CONV | ADV_OP_STRUCT)) return false;
    c = cost_of(s, i);
    return c.takes > 0 && c.frees == 0 && c.reads <= c.takes; /* what it keeps alive by waiting is no more than what it would take */
}

static void run(Sched *s, bool has_lists)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (adv_node_is(s->g, s->items[i].node, "read") || (!has_lists && adv_node_is(s->g, s->items[i].node, "const"))) emit(s, i);
    if (!has_lists) emit_eager(s); /* a rate, a counter: no update waits for them */
    s->ready.n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->items[i].is_done || s->items[i].is_end) continue;
        if (s->items[i].n_before == 0 && wants_to_wait(s, i)) continue;
        demand(s, i);
    }
    for (uint32_t i = 0; i < s->n; i++)
        if (!s->items[i].is_done && !s->items[i].is_end) demand(s, i);
    for (uint32_t i = 0; i < s->n; i++)
        if (s->items[i].is_end) emit(s, i);
    assert(s->n_order == s->n);
}

/* ---- a region ------------------------------------------------------------------------------------------------------------ */

static bool schedule_region(AdvPassCtx *p, AdvGraph *g, AdvRegionId r, uint32_t *root)
{
    AdvArenaMark mark = adv_arena_mark(p->scratch);
    AdvRegion *reg = adv_region(g, r);
    Sched s;
    bool changed;
    sched_open(&s, g, p->scratch, r, root);
    run(&s, p->target && (p->target->fuses & ADV_FUSE_LISTS));
    changed = s.n && memcmp(s.order, reg->nodes.at, s.n * sizeof *s.order) != 0;
    if (s.n) memcpy(reg->nodes.at, s.order, s.n * sizeof *s.order);
    adv_arena_release(p->scratch, mark);
    for (uint32_t i = 0; i < reg->nodes.n; i++)
        if (adv_node(g, reg->nodes.at[i])->body.i) changed = schedule_region(p, g, adv_node(g, reg->nodes.at[i])->body, root) || changed;
    return changed;
}

bool adv_pass_schedule(AdvPassCtx *p, AdvGraph *g)
{
    uint32_t *root = ADV_NEW_ARRAY(p->scratch, uint32_t, g->values.n);
    bool changed = false;
    for (uint32_t e = 0; e < g->entries.n; e++) changed = schedule_region(p, g, g->entries.at[e], root) || changed;
    return changed;
}
