/* schedule.c: the order of nodes within a region.
**
** needs:  uses     keeps: everything but order     breaks: order
** Data flow leaves the order open; two things close it:
**   homes      a node that may work in place ends a version of what it updates: everything that reads that version goes
**              before it, unless it needs the node's result (then memplan copies). So most updates need no copy.
**   lifetimes  source order, but: a node that frees at least what it takes goes as soon as it can (a weight's update right
**              behind its gradient); one that only takes waits until somebody wants it (a draw, a relayout, a mask).
** Reads stay first and writes last. Deterministic: ties go to source order. See tests/ir/schedule_*.advg.
*/
#include "compiler/pass/pass_list.h"

#include "ops/view.h"

#include <assert.h>
#include <string.h>

typedef struct Edge {
    uint32_t to, next;
} Edge;

typedef struct Item {
    AdvNodeId node;
    uint32_t n_before;             /* nodes that have to go first and have not gone */
    uint32_t before, after;        /* lists of edges: who goes first, who waits */
    bool is_done, is_lazy, is_end; /* is_end: a write */
} Item;

typedef struct Sched {
    AdvGraph *g;
    AdvArena *mem;
    AdvRegionId region;
    Item *items;
    uint32_t n;
    ADV_VEC(Edge) edges;
    uint32_t *item_of;        /* by node: index + 1 in this region */
    uint32_t *root;           /* by value: whose bytes it is */
    uint32_t *left;           /* by root: uses to come, one a reading node; outer and escaping values never reach 0 */
    uint32_t *stamp, now;     /* by item: visited marks */
    ADV_VEC(AdvValueId) uses; /* scratch of one node */
    ADV_VEC(uint32_t) ready;  /* items that may be eager */
    bool has_back_edge;       /* an edge against source order was added */
    AdvNodeId *order;
    uint32_t n_order;
} Sched;

/* ---- uses ---------------------------------------------------------------------------------------------------------- */

static uint32_t def_item(const Sched *s, uint32_t v)
{
    AdvNodeId def = s->g->values.at[v].def;
    return def.i ? s->item_of[def.i] : 0;
}

static void add_use(Sched *s, AdvValueId v)
{
    v.i = s->root[v.i];
    for (uint32_t i = 0; i < s->uses.n; i++)
        if (s->uses.at[i].i == v.i) return;
    *ADV_PUSH(s->mem, &s->uses) = v;
}

static void body_uses(Sched *s, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(s->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        const AdvNode *n = adv_node(s->g, reg->nodes.at[i]);
        for (uint32_t k = 0; k < n->n_in; k++)
            if (s->root[adv_node_in(s->g, reg->nodes.at[i], k).i]) add_use(s, adv_node_in(s->g, reg->nodes.at[i], k));
        if (n->body.i) body_uses(s, n->body);
    }
    for (uint32_t k = 0; k < reg->results.n; k++)
        if (s->root[reg->results.at[k].i]) add_use(s, reg->results.at[k]);
}

/* Roots that node `id` reads, also inside its body, each once: s->uses. */
static void node_uses(Sched *s, AdvNodeId id)
{
    const AdvNode *n = adv_node(s->g, id);
    s->uses.n = 0;
    for (uint32_t k = 0; k < n->n_in; k++) add_use(s, adv_node_in(s->g, id, k));
    if (n->body.i) body_uses(s, n->body);
}

/* ---- edges ------------------------------------------------------------------------------------------------------------ */

static void add_edge(Sched *s, uint32_t first, uint32_t then)
{
    Edge *e = ADV_PUSH(s->mem, &s->edges);
    e->to = then;
    e->next = s->items[first].after;
    s->items[first].after = s->edges.n - 1;
    e = ADV_PUSH(s->mem, &s->edges);
    e->to = first;
    e->next = s->items[then].before;
    s->items[then].before = s->edges.n - 1;
    s->items[then].n_before++;
    if (first > then) s->has_back_edge = true;
}

/* Does item `from` wait, directly or not, for item `target`? */
static bool waits_for(Sched *s, uint32_t from, uint32_t target)
{
    ADV_VEC(uint32_t) todo = {0};
    if (from == target) return true;
    if (!s->has_back_edge && from < target) return false;
    s->now++;
    *ADV_PUSH(s->mem, &todo) = from;
    while (todo.n) {
        uint32_t i = todo.at[--todo.n];
        for (uint32_t e = s->items[i].before; e; e = s->edges.at[e].next) {
            uint32_t b = s->edges.at[e].to;
            if (b == target) return true;
            if (s->stamp[b] == s->now) continue;
            s->stamp[b] = s->now;
            *ADV_PUSH(s->mem, &todo) = b;
        }
    }
    return false;
}

static void data_edges(Sched *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        node_uses(s, s->items[i].node);
        for (uint32_t k = 0; k < s->uses.n; k++) {
            uint32_t v = s->uses.at[k].i, d = def_item(s, v);
            s->left[v]++;
            if (d && d - 1 != i) add_edge(s, d - 1, i);
        }
        /* a view is made of its root, but is a node of its own */
        for (uint32_t k = 0; k < adv_node(s->g, s->items[i].node)->n_in; k++) {
            AdvValueId in = adv_node_in(s->g, s->items[i].node, k);
            uint32_t d = def_item(s, in.i);
            if (d && s->root[in.i] != in.i) add_edge(s, d - 1, i);
        }
    }
}

/* Views that a loop's body uses have to go before the loop. */
static void view_edges_into_body(Sched *s, AdvRegionId r, uint32_t item)
{
    const AdvRegion *reg = adv_region(s->g, r);
    for (uint32_t i = 0; i < reg->nodes.n + 1; i++) {
        const AdvNode *n = i < reg->nodes.n ? adv_node(s->g, reg->nodes.at[i]) : NULL;
        uint32_t n_in = n ? n->n_in : reg->results.n;
        for (uint32_t k = 0; k < n_in; k++) {
            AdvValueId v = n ? adv_node_in(s->g, reg->nodes.at[i], k) : reg->results.at[k];
            uint32_t d = def_item(s, v.i);
            if (d && s->root[v.i] != v.i) add_edge(s, d - 1, item);
        }
        if (n && n->body.i) view_edges_into_body(s, n->body, item);
    }
}

/* ---- homes ------------------------------------------------------------------------------------------------------------ */

/* Is input k of the node one that output `out` may be written over? */
static bool may_take(const AdvGraph *g, AdvNodeId id, uint32_t out, uint32_t k)
{
    const AdvNode *n = adv_node(g, id);
    uint8_t fact = out < 4 ? n->op->inplace[out] : ADV_INPLACE_NONE;
    if (fact == ADV_INPLACE_NONE || (n->op->flags & (ADV_OP_STRUCT | ADV_OP_VIEW))) return false;
    if (fact != ADV_INPLACE_ANY && fact != ADV_INPLACE(k)) return false;
    return adv_type_eq(adv_value_type(g, adv_node_in(g, id, k)), adv_value_type(g, adv_node_out(g, id, out)));
}

/* All other readers of root v go before item u, if none of them needs u. */
static bool end_version(Sched *s, uint32_t v, uint32_t u, const uint32_t *reader_at, const uint32_t *readers)
{
    for (uint32_t k = reader_at[v]; k < reader_at[v + 1]; k++)
        if (readers[k] != u && waits_for(s, readers[k], u)) return false;
    for (uint32_t k = reader_at[v]; k < reader_at[v + 1]; k++)
        if (readers[k] != u) add_edge(s, readers[k], u);
    return true;
}

/* Which home a version begins in: of a read or a parameter its own, of an output that of the input it may be written over. */
static void home_of_origin(Sched *s, uint32_t *origin)
{
    const AdvGraph *g = s->g;
    const AdvRegion *reg = adv_region(g, s->region);
    for (uint32_t k = 1; k < reg->params.n; k++) origin[reg->params.at[k].i] = reg->params.at[k].i;
    for (uint32_t i = 0; i < s->n; i++) {
        AdvNodeId id = s->items[i].node;
        const AdvNode *n = adv_node(g, id);
        if (adv_node_is(g, id, "read")) origin[n->out_at] = n->out_at;
        for (uint32_t o = 0; o < n->n_out; o++)
            for (uint32_t k = 0; k < n->n_in && !origin[n->out_at + o]; k++)
                if (may_take(g, id, o, k)) origin[n->out_at + o] = origin[s->root[adv_node_in(g, id, k).i]];
        /* a loop's last values are where its first ones were, if those could stay at home */
        for (uint32_t o = 0; n->body.i && o < n->n_out; o++) origin[n->out_at + o] = origin[s->root[adv_node_in(g, id, o).i]];
    }
}

/* Values that end in the home they began in: what a region writes or yields, and what that was made of in place. */
static void home_edges(Sched *s, const uint32_t *reader_at, const uint32_t *readers)
{
    const AdvGraph *g = s->g;
    const AdvRegion *reg = adv_region(g, s->region);
    uint32_t *origin = ADV_NEW_ARRAY(s->mem, uint32_t, g->values.n);
    uint8_t *goes_home = ADV_NEW_ARRAY(s->mem, uint8_t, g->values.n);
    home_of_origin(s, origin);
    for (uint32_t i = 0; i < s->n; i++) {
        AdvNodeId id = s->items[i].node;
        uint32_t v, o;
        if (!adv_node_is(g, id, "write")) continue;
        v = s->root[adv_node_in(g, id, 0).i];
        o = origin[v];
        if (o && g->values.at[o].def.i && adv_node(g, g->values.at[o].def)->state.i == adv_node(g, id)->state.i) goes_home[v] = 1;
    }
    for (uint32_t k = 0; k < reg->results.n; k++)
        if (s->root[reg->results.at[k].i] && origin[s->root[reg->results.at[k].i]] == reg->params.at[k + 1].i)
            goes_home[s->root[reg->results.at[k].i]] = 1;
    for (uint32_t i = s->n; i-- > 0;) {
        AdvNodeId id = s->items[i].node;
        const AdvNode *n = adv_node(g, id);
        for (uint32_t o = 0; o < n->n_out; o++) {
            bool named = o < 4 && n->op->inplace[o] != ADV_INPLACE_ANY;
            for (uint32_t k = 0; k < n->n_in; k++) {
                uint32_t v = s->root[adv_node_in(g, id, k).i];
                bool carried = n->body.i && k == o;
                if (!carried && !may_take(g, id, o, k)) continue;
                if (!(named && !carried) && !(goes_home[n->out_at + o] && origin[v] && origin[v] == origin[n->out_at + o])) continue;
                if (!end_version(s, v, i, reader_at, readers)) continue;
                goes_home[v] = goes_home[n->out_at + o];
                break;
            }
        }
    }
}

/* Readers of each root, as items, in one array. */
static void index_readers(Sched *s, uint32_t **out_at, uint32_t **out_readers)
{
    uint32_t n_values = s->g->values.n, *at = ADV_NEW_ARRAY(s->mem, uint32_t, n_values + 2), *readers, *fill;
    for (uint32_t i = 0; i < s->n; i++) {
        node_uses(s, s->items[i].node);
        for (uint32_t k = 0; k < s->uses.n; k++) at[s->uses.at[k].i + 1]++;
    }
    for (uint32_t v = 0; v <= n_values; v++) at[v + 1] += at[v];
    readers = ADV_NEW_ARRAY(s->mem, uint32_t, at[n_values] + 1);
    fill = ADV_NEW_ARRAY(s->mem, uint32_t, n_values + 1);
    for (uint32_t i = 0; i < s->n; i++) {
        node_uses(s, s->items[i].node);
        for (uint32_t k = 0; k < s->uses.n; k++) {
            uint32_t v = s->uses.at[k].i;
            readers[at[v] + fill[v]++] = i;
        }
    }
    *out_at = at;
    *out_readers = readers;
}

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
            if (!may_take(s->g, id, o, k) || s->left[v] != 1) continue;
            in_place = true;
            for (uint32_t m = 0; m < n_taken; m++) in_place = in_place && taken[m] != v;
            if (in_place) taken[n_taken++] = v;
        }
        if (!in_place) c.takes += adv_type_bytes(&s->g->values.at[n->out_at + o].type);
    }
    node_uses(s, id);
    for (uint32_t k = 0; k < s->uses.n; k++) {
        uint32_t v = s->uses.at[k].i;
        AdvNodeId def = s->g->values.at[v].def;
        bool is_taken = false;
        int64_t n_bytes;
        if (!def_item(s, v) || adv_node_is(s->g, def, "const") || adv_node_is(s->g, def, "read")) continue;
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
    Item *it = &s->items[i];
    assert(!it->is_done && it->n_before == 0);
    it->is_done = true;
    s->order[s->n_order++] = it->node;
    for (uint32_t e = it->after; e; e = s->edges.at[e].next) {
        s->items[s->edges.at[e].to].n_before--;
        *ADV_PUSH(s->mem, &s->ready) = s->edges.at[e].to;
    }
    node_uses(s, it->node);
    for (uint32_t k = 0; k < s->uses.n; k++) {
        uint32_t v = s->uses.at[k].i, d = def_item(s, v);
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
            const Item *it = &s->items[s->ready.at[k]];
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

static void run(Sched *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (adv_node_is(s->g, s->items[i].node, "read")) emit(s, i);
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

static void set_roots(Sched *s, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(s->g, r);
    for (uint32_t k = 0; k < reg->params.n; k++) s->root[reg->params.at[k].i] = reg->params.at[k].i;
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId id = reg->nodes.at[i];
        const AdvNode *n = adv_node(s->g, id);
        for (uint32_t k = 0; k < n->n_out; k++) s->root[n->out_at + k] = n->out_at + k;
        if (n->op->flags & ADV_OP_VIEW) s->root[n->out_at] = s->root[adv_node_in(s->g, id, 0).i];
    }
}

static bool schedule_region(AdvPassCtx *p, AdvGraph *g, AdvRegionId r, uint32_t *root)
{
    AdvArenaMark mark = adv_arena_mark(p->scratch);
    AdvRegion *reg = adv_region(g, r);
    Sched s = {.g = g, .mem = p->scratch, .region = r, .n = reg->nodes.n, .root = root};
    uint32_t *reader_at, *readers;
    bool changed;
    s.items = ADV_NEW_ARRAY(s.mem, Item, s.n);
    s.item_of = ADV_NEW_ARRAY(s.mem, uint32_t, g->nodes.n);
    s.left = ADV_NEW_ARRAY(s.mem, uint32_t, g->values.n);
    s.stamp = ADV_NEW_ARRAY(s.mem, uint32_t, s.n);
    s.order = ADV_NEW_ARRAY(s.mem, AdvNodeId, s.n);
    (void)ADV_PUSH(s.mem, &s.edges); /* edge 0 ends lists */
    set_roots(&s, r);
    for (uint32_t i = 0; i < s.n; i++) {
        s.items[i].node = reg->nodes.at[i];
        s.items[i].is_end = adv_node_is(g, reg->nodes.at[i], "write");
        s.item_of[reg->nodes.at[i].i] = i + 1;
    }
    for (uint32_t k = 0; k < reg->results.n; k++) s.left[root[reg->results.at[k].i]]++; /* it never dies here */
    data_edges(&s);
    for (uint32_t i = 0; i < s.n; i++)
        if (adv_node(g, s.items[i].node)->body.i) view_edges_into_body(&s, adv_node(g, s.items[i].node)->body, i);
    index_readers(&s, &reader_at, &readers);
    home_edges(&s, reader_at, readers);
    run(&s);
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
