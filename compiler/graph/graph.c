/* graph.c: the arrays of a graph: locations, states, regions, reading, replacing, walking, copying. Building is in build.c.
**
** All ids are indices into vectors whose element 0 is the none record, so a zeroed id is "none" everywhere.
*/
#include "compiler/graph/graph.h"

#include "ops/view.h"
#include "runtime/base/hash.h"

#include <assert.h>
#include <string.h>

AdvGraph *adv_graph_new(AdvArena *arena, const AdvRegistry *reg, AdvInterns *names, AdvDiags *diags)
{
    assert(arena->trap != NULL);
    AdvGraph *g = ADV_NEW(arena, AdvGraph);
    g->arena = arena;
    g->reg = reg;
    g->names = names;
    g->diags = diags;
    g->float_dtype = ADV_F32;
    (void)ADV_PUSH(arena, &g->nodes);
    (void)ADV_PUSH(arena, &g->values);
    (void)ADV_PUSH(arena, &g->regions);
    (void)ADV_PUSH(arena, &g->states);
    (void)ADV_PUSH(arena, &g->locs);
    (void)ADV_PUSH(arena, &g->attrs);
    return g;
}

/* ---- locations ------------------------------------------------------------------------------------------------- */

static uint64_t hash_loc(const AdvLoc *l)
{
    uint64_t h = adv_hash_u64(ADV_HASH_START, (uint64_t)l->span.file << 32 | l->span.off);
    h = adv_hash_u64(h, (uint64_t)l->span.len << 8 | l->why);
    return adv_hash_u64(h, (uint64_t)l->parent.i << 32 | l->also.i);
}

static bool same_loc(const AdvLoc *a, const AdvLoc *b)
{
    return a->span.file == b->span.file && a->span.off == b->span.off && a->span.len == b->span.len && a->why == b->why &&
           a->parent.i == b->parent.i && a->also.i == b->also.i;
}

static void grow_loc_slots(AdvGraph *g)
{
    uint32_t n = g->n_loc_slots ? g->n_loc_slots * 2 : 64;
    g->loc_slots = ADV_NEW_ARRAY(g->arena, uint32_t, n);
    g->n_loc_slots = n;
    for (uint32_t i = 1; i < g->locs.n; i++) {
        uint32_t at = (uint32_t)hash_loc(&g->locs.at[i]) & (n - 1);
        while (g->loc_slots[at]) at = (at + 1) & (n - 1);
        g->loc_slots[at] = i;
    }
}

/* The one id of an equal record. */
static AdvLocId intern_loc(AdvGraph *g, AdvLoc loc)
{
    if ((uint64_t)g->locs.n * 2 >= g->n_loc_slots) grow_loc_slots(g);
    uint32_t mask = g->n_loc_slots - 1, at = (uint32_t)hash_loc(&loc) & mask;
    AdvLocId id;
    for (; g->loc_slots[at]; at = (at + 1) & mask) {
        id.i = g->loc_slots[at];
        if (same_loc(&g->locs.at[id.i], &loc)) return id;
    }
    *ADV_PUSH(g->arena, &g->locs) = loc;
    id.i = g->locs.n - 1;
    g->loc_slots[at] = id.i;
    return id;
}

AdvLocId adv_loc_source(AdvGraph *g, AdvSpan span)
{
    AdvLoc l = {.span = span, .why = ADV_LOC_SOURCE};
    return intern_loc(g, l);
}

AdvLocId adv_loc_call(AdvGraph *g, AdvSpan span, AdvLocId caller)
{
    AdvLoc l = {.span = span, .why = ADV_LOC_CALL, .parent = caller};
    return intern_loc(g, l);
}

AdvLocId adv_loc_grad(AdvGraph *g, AdvLocId forward)
{
    AdvLoc l = {.why = ADV_LOC_GRAD, .parent = forward};
    return intern_loc(g, l);
}

AdvLocId adv_loc_join(AdvGraph *g, AdvLocId a, AdvLocId b)
{
    if (a.i == b.i || !b.i) return a;
    if (!a.i) return b;
    AdvLoc l = {.why = ADV_LOC_FUSED, .parent = a, .also = b};
    return intern_loc(g, l);
}

AdvSpan adv_loc_span(const AdvGraph *g, AdvLocId loc)
{
    while (g->locs.at[loc.i].why > ADV_LOC_CALL) loc = g->locs.at[loc.i].parent;
    return g->locs.at[loc.i].span;
}

/* ---- states and regions ---------------------------------------------------------------------------------------- */

AdvStateId adv_state_new(AdvGraph *g, AdvStr name, AdvTensorType type, uint8_t kind, bool saved, AdvLocId loc)
{
    assert(kind < ADV_STATE_KIND_COUNT && !adv_state_find(g, name).i);
    AdvState *s = ADV_PUSH(g->arena, &g->states);
    s->name = name;
    s->type = type;
    s->kind = kind;
    s->saved = saved;
    s->loc = loc;
    AdvStateId id = {g->states.n - 1};
    return id;
}

AdvStateId adv_state_find(const AdvGraph *g, AdvStr name)
{
    AdvStateId id = {1};
    for (; id.i < g->states.n; id.i++) {
        if (adv_str_eq(g->states.at[id.i].name, name)) return id;
    }
    id.i = 0;
    return id;
}

AdvRegionId adv_entry_new(AdvGraph *g, AdvStr name, AdvLocId loc)
{
    AdvRegion *r = ADV_PUSH(g->arena, &g->regions);
    r->name = name;
    r->loc = loc;
    AdvRegionId id = {g->regions.n - 1};
    *ADV_PUSH(g->arena, &g->entries) = id;
    return id;
}

AdvRegionId adv_entry_find(const AdvGraph *g, AdvStr name)
{
    for (uint32_t i = 0; i < g->entries.n; i++) {
        if (adv_str_eq(g->regions.at[g->entries.at[i].i].name, name)) return g->entries.at[i];
    }
    AdvRegionId none = {0};
    return none;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

bool adv_value_number(const AdvGraph *g, AdvValueId v, double *out)
{
    const AdvValue *val = adv_value(g, v);
    if (!val->def.i || !adv_node_is(g, val->def, "const") || adv_type_elems(&val->type) != 1) return false;
    const AdvConst *c = &g->nodes.at[val->def.i].data;
    uint64_t bits[2] = {0, 0};
    memcpy(bits, c->data, (size_t)c->n_bytes < sizeof bits ? (size_t)c->n_bytes : sizeof bits);
    AdvView view = adv_view_of(&val->type, bits);
    *out = c->wide ? c->wide[0] : adv_ld(&view, 0);
    return true;
}

int64_t adv_loop_turns(const AdvGraph *g, AdvNodeId loop)
{
    assert(adv_node_is(g, loop, "loop"));
    return adv_node_attr(g, loop)[0].i;
}

/* ---- replacing and walking ------------------------------------------------------------------------------------- */

static AdvValueId resolve(const AdvValueId *map, uint32_t n_map, AdvValueId v)
{
    uint32_t n_steps = 0;
    while (v.i < n_map && map[v.i].i && map[v.i].i != v.i) {
        v = map[v.i];
        n_steps++;
        assert(n_steps <= n_map); /* a cycle of replacements is a mistake of the pass */
    }
    (void)n_steps;
    return v;
}

static void replace_in_region(AdvGraph *g, AdvRegionId r, const AdvValueId *map, uint32_t n_map)
{
    AdvRegion *reg = adv_region(g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        const AdvNode *n = adv_node(g, reg->nodes.at[i]);
        for (uint32_t k = 0; k < n->n_in; k++) g->edges.at[n->in_at + k] = resolve(map, n_map, g->edges.at[n->in_at + k]);
        if (n->body.i) replace_in_region(g, n->body, map, n_map);
    }
    for (uint32_t k = 0; k < reg->results.n; k++) reg->results.at[k] = resolve(map, n_map, reg->results.at[k]);
}

void adv_graph_replace(AdvGraph *g, const AdvValueId *map, uint32_t n_map)
{
    for (uint32_t i = 0; i < g->entries.n; i++) replace_in_region(g, g->entries.at[i], map, n_map);
}

static bool walk_region(AdvGraph *g, AdvRegionId r, bool (*fn)(void *, AdvRegionId, AdvNodeId), void *user)
{
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvNodeId n = adv_region(g, r)->nodes.at[i];
        if (!fn(user, r, n)) return false;
        AdvRegionId body = adv_node(g, n)->body;
        if (body.i && !walk_region(g, body, fn, user)) return false;
    }
    return true;
}

void adv_graph_each(AdvGraph *g, bool (*fn)(void *user, AdvRegionId region, AdvNodeId node), void *user)
{
    for (uint32_t i = 0; i < g->entries.n; i++) {
        if (!walk_region(g, g->entries.at[i], fn, user)) return;
    }
}

/* ---- copying --------------------------------------------------------------------------------------------------- */

static void *copy_bytes(AdvArena *a, const void *from, size_t n_bytes)
{
    void *to = adv_arena_new(a, n_bytes);
    if (n_bytes) memcpy(to, from, n_bytes);
    return to;
}

/* Copies a vector's elements: dst and src are the vectors. */
#define COPY_VEC(arena, dst, src) \
    ((dst)->at = copy_bytes((arena), (src)->at, (src)->n * sizeof *(src)->at), (dst)->n = (dst)->cap = (src)->n)

AdvGraph *adv_graph_copy(AdvArena *arena, const AdvGraph *g)
{
    AdvGraph *c = ADV_NEW(arena, AdvGraph);
    *c = *g;
    c->arena = arena;
    COPY_VEC(arena, &c->nodes, &g->nodes);
    COPY_VEC(arena, &c->values, &g->values);
    COPY_VEC(arena, &c->regions, &g->regions);
    COPY_VEC(arena, &c->states, &g->states);
    COPY_VEC(arena, &c->locs, &g->locs);
    COPY_VEC(arena, &c->edges, &g->edges);
    COPY_VEC(arena, &c->attrs, &g->attrs);
    COPY_VEC(arena, &c->entries, &g->entries);
    c->loc_slots = copy_bytes(arena, g->loc_slots, g->n_loc_slots * sizeof *g->loc_slots);
    for (uint32_t i = 0; i < g->regions.n; i++) {
        const AdvRegion *from = &g->regions.at[i];
        AdvRegion *to = &c->regions.at[i];
        COPY_VEC(arena, &to->nodes, &from->nodes);
        COPY_VEC(arena, &to->params, &from->params);
        COPY_VEC(arena, &to->results, &from->results);
    }
    for (uint32_t i = 0; i < g->attrs.n; i++) {
        AdvAttr *a = &c->attrs.at[i];
        if (a->ints) a->ints = copy_bytes(arena, a->ints, a->n * sizeof *a->ints);
        if (a->floats) a->floats = copy_bytes(arena, a->floats, a->n * sizeof *a->floats);
        if (a->ops) a->ops = copy_bytes(arena, a->ops, a->n * sizeof *a->ops);
    }
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        AdvConst *d = &c->nodes.at[i].data;
        if (!d->data) continue;
        d->data = copy_bytes(arena, d->data, (size_t)d->n_bytes);
        AdvValueId v = {c->nodes.at[i].out_at};
        if (d->wide) d->wide = copy_bytes(arena, d->wide, (size_t)adv_type_elems(adv_value_type(c, v)) * sizeof *d->wide);
    }
    return c;
}
