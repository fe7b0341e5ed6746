/* sched.c: see sched.h. */
#include "compiler/pass/sched.h"

#include "ops/view.h"

/* ---- uses ---------------------------------------------------------------------------------------------------------- */

uint32_t sched_item_of(const Sched *s, uint32_t v)
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

void sched_uses(Sched *s, AdvNodeId id)
{
    const AdvNode *n = adv_node(s->g, id);
    s->uses.n = 0;
    for (uint32_t k = 0; k < n->n_in; k++) add_use(s, adv_node_in(s->g, id, k));
    if (n->body.i) body_uses(s, n->body);
}

/* ---- edges ------------------------------------------------------------------------------------------------------------ */

static void add_edge(Sched *s, uint32_t first, uint32_t then)
{
    SchedEdge *e = ADV_PUSH(s->mem, &s->edges);
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
        sched_uses(s, s->items[i].node);
        for (uint32_t k = 0; k < s->uses.n; k++) {
            uint32_t v = s->uses.at[k].i, d = sched_item_of(s, v);
            s->left[v]++;
            if (d && d - 1 != i) add_edge(s, d - 1, i);
        }
        /* a view is made of its root, but is a node of its own */
        for (uint32_t k = 0; k < adv_node(s->g, s->items[i].node)->n_in; k++) {
            AdvValueId in = adv_node_in(s->g, s->items[i].node, k);
            uint32_t d = sched_item_of(s, in.i);
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
            uint32_t d = sched_item_of(s, v.i);
            if (d && s->root[v.i] != v.i) add_edge(s, d - 1, item);
        }
        if (n && n->body.i) view_edges_into_body(s, n->body, item);
    }
}

/* ---- homes ------------------------------------------------------------------------------------------------------------ */

bool sched_may_take(const AdvGraph *g, AdvNodeId id, uint32_t out, uint32_t k)
{
    const AdvNode *n = adv_node(g, id);
    uint8_t fact = out < 4 ? n->op->inplace[out] : ADV_INPLACE_NONE;
    if (fact == ADV_INPLACE_NONE || (n->op->flags & (ADV_OP_STRUCT | ADV_OP_VIEW))) return false;
    if (fact != ADV_INPLACE_ANY && fact != ADV_INPLACE(k)) return false;
    return adv_type_eq(adv_value_type(g, adv_node_in(g, id, k)), adv_value_type(g, adv_node_out(g, id, out)));
}

/* All other readers of root v go before item u, if none of them needs u, or is a write, which comes last. */
static bool end_version(Sched *s, uint32_t v, uint32_t u, const uint32_t *reader_at, const uint32_t *readers)
{
    for (uint32_t k = reader_at[v]; k < reader_at[v + 1]; k++)
        if (readers[k] != u && (s->items[readers[k]].is_end || waits_for(s, readers[k], u))) return false;
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
                if (sched_may_take(g, id, o, k)) origin[n->out_at + o] = origin[s->root[adv_node_in(g, id, k).i]];
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
                if (!carried && !sched_may_take(g, id, o, k)) continue;
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
        sched_uses(s, s->items[i].node);
        for (uint32_t k = 0; k < s->uses.n; k++) at[s->uses.at[k].i + 1]++;
    }
    for (uint32_t v = 0; v <= n_values; v++) at[v + 1] += at[v];
    readers = ADV_NEW_ARRAY(s->mem, uint32_t, at[n_values] + 1);
    fill = ADV_NEW_ARRAY(s->mem, uint32_t, n_values + 1);
    for (uint32_t i = 0; i < s->n; i++) {
        sched_uses(s, s->items[i].node);
        for (uint32_t k = 0; k < s->uses.n; k++) {
            uint32_t v = s->uses.at[k].i;
            readers[at[v] + fill[v]++] = i;
        }
    }
    *out_at = at;
    *out_readers = readers;
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

void sched_open(Sched *s, AdvGraph *g, AdvArena *mem, AdvRegionId r, uint32_t *root)
{
    const AdvRegion *reg = adv_region(g, r);
    uint32_t *reader_at, *readers;
    *s = (Sched){.g = g, .mem = mem, .region = r, .n = reg->nodes.n, .root = root};
    s->items = ADV_NEW_ARRAY(mem, SchedItem, s->n);
    s->item_of = ADV_NEW_ARRAY(mem, uint32_t, g->nodes.n);
    s->left = ADV_NEW_ARRAY(mem, uint32_t, g->values.n);
    s->stamp = ADV_NEW_ARRAY(mem, uint32_t, s->n);
    s->order = ADV_NEW_ARRAY(mem, AdvNodeId, s->n);
    (void)ADV_PUSH(mem, &s->edges);
    set_roots(s, r);
    for (uint32_t i = 0; i < s->n; i++) {
        s->items[i].node = reg->nodes.at[i];
        s->items[i].is_end = adv_node_is(g, reg->nodes.at[i], "write");
        s->item_of[reg->nodes.at[i].i] = i + 1;
    }
    for (uint32_t k = 0; k < reg->results.n; k++) s->left[root[reg->results.at[k].i]]++; /* it never dies here */
    data_edges(s);
    for (uint32_t i = 0; i < s->n; i++)
        if (adv_node(g, s->items[i].node)->body.i) view_edges_into_body(s, adv_node(g, s->items[i].node)->body, i);
    index_readers(s, &reader_at, &readers);
    home_edges(s, reader_at, readers);
}

void sched_note_bytes(const Sched *s, uint64_t *bytes)
{
    const AdvGraph *g = s->g;
    const AdvRegion *reg = adv_region(g, s->region);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId n = reg->nodes.at[i];
        bool has_home = adv_node_is(g, n, "read") || adv_node_is(g, n, "const");
        for (uint32_t o = 0; o < adv_node(g, n)->n_out; o++) {
            uint32_t v = adv_node(g, n)->out_at + o;
            bytes[v] = has_home || s->root[v] != v ? 0 : (uint64_t)adv_type_bytes(&g->values.at[v].type);
        }
        if (adv_node_is(g, n, "write")) bytes[s->root[adv_node_in(g, n, 0).i]] = 0;
    }
    for (uint32_t k = 0; k < reg->results.n; k++) bytes[s->root[reg->results.at[k].i]] = 0;
}
