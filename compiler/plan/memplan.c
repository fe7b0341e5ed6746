/* memplan.c: where every value's bytes are, and the copies that this takes.
**
** The graph's values are versions that never change; memory has homes: one for each state, one for each carried value of a loop.
** Leaving versions for homes is what compilers do when they leave SSA, and is done in the same way (Boissinot et al., "Revisiting
** out-of-SSA translation", 2009):
**
**   1. Make it trivially right with copies: `write s = v` becomes  a = copy v; ...; c = copy a; write s = c, with all first
**      copies of an entry before all second ones, so that any permutation of states comes out right. c lives in the state's
**      home. A loop's first values are copied into the carried homes before it, its next values back at the body's end.
**   2. Put values that a copy joins into one storage wherever their lives allow it (mem_interfere), inner loops first. An op's
**      `inplace` fact is what lets an update share its old version's home.
**   3. A copy within one storage is nothing: drop it. Of what stays, a copy of something that is made from a state or a constant
**      by one cheap node makes it once more, in its own home (an attack that starts at the image). The rest is needed, and
**      --why=copy says what for.
**   4. Join outputs with dying inputs where ops allow it, then give storages that no state or constant owns an offset in
**      the temporary block (memplan_place.c). Entries are planned each for itself and overlay that block.
**
** See tests/compiler/test_memplan.c.
*/
#include "compiler/plan/memplan_internal.h"

#include "ops/view.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A copy that the planner made, and what it knows about why it stays. */
typedef struct Copy {
    AdvNodeId node;
    AdvRegionId region;
    uint32_t depth;            /* of loops around it */
    uint32_t block_a, block_b; /* values that kept the two sides apart, 0: two different homes */
} Copy;

typedef struct Plan {
    MemCtx m;
    AdvMemPlan *out;
    ADV_VEC(Copy) copies;
} Plan;

/* ---- 1. copies everywhere ------------------------------------------------------------------------------------------ */

static AdvValueId make_copy(Plan *pl, AdvRegionId r, AdvNodeId before, AdvLocId loc, AdvValueId v, uint32_t depth)
{
    AdvGraph *g = pl->m.g;
    AdvGraphBuild b;
    AdvValueId c;
    Copy *rec;
    adv_build_init(&b, g, r, loc);
    b.before = before;
    c = adv_build_op(&b, "copy", &v, 1, NULL);
    assert(c.i);
    g->values.at[c.i].type.layout = g->values.at[v.i].type.layout;
    g->values.at[c.i].rate = g->values.at[v.i].rate;
    rec = ADV_PUSH(pl->m.scratch, &pl->copies);
    rec->node = adv_value(g, c)->def;
    rec->region = r;
    rec->depth = depth;
    return c;
}

static void isolate_loop(Plan *pl, AdvRegionId r, AdvNodeId loop, uint32_t depth)
{
    AdvGraph *g = pl->m.g;
    AdvNodeId none = {0};
    AdvRegionId body = adv_node(g, loop)->body;
    AdvLocId loc = adv_node(g, loop)->loc;
    uint32_t n = adv_node(g, loop)->n_in;
    for (uint32_t k = 0; k < n; k++) {
        AdvValueId c = make_copy(pl, r, loop, loc, adv_node_in(g, loop, k), depth);
        g->edges.at[adv_node(g, loop)->in_at + k] = c;
    }
    for (int phase = 0; phase < 2; phase++) {
        for (uint32_t k = 0; k < n; k++) {
            AdvValueId c = make_copy(pl, body, none, loc, adv_region(g, body)->results.at[k], depth + 1);
            adv_region(g, body)->results.at[k] = c;
        }
    }
}

static void isolate(Plan *pl, AdvRegionId r, uint32_t depth)
{
    AdvGraph *g = pl->m.g;
    AdvNodeId first_write = {0};
    uint32_t n = adv_region(g, r)->nodes.n;
    AdvNodeId *nodes = ADV_NEW_ARRAY(pl->m.scratch, AdvNodeId, n);
    if (n) memcpy(nodes, adv_region(g, r)->nodes.at, n * sizeof *nodes);
    for (uint32_t i = 0; i < n; i++) {
        if (adv_node(g, nodes[i])->body.i) {
            isolate(pl, adv_node(g, nodes[i])->body, depth + 1);
            isolate_loop(pl, r, nodes[i], depth);
        }
        if (adv_node_is(g, nodes[i], "write") && !first_write.i) first_write = nodes[i];
    }
    for (int phase = 0; phase < 2 && first_write.i; phase++) {
        for (uint32_t i = 0; i < n; i++) {
            AdvValueId c;
            if (!adv_node_is(g, nodes[i], "write")) continue;
            c = make_copy(pl, r, first_write, adv_node(g, nodes[i])->loc, adv_node_in(g, nodes[i], 0), depth);
            g->edges.at[adv_node(g, nodes[i])->in_at] = c;
        }
    }
}

/* ---- 2. storages --------------------------------------------------------------------------------------------------- */

static MemStorage *storage_of(MemCtx *m, uint32_t root) { return &m->storage[m->val[root].storage]; }

static void new_storage(MemCtx *m, uint32_t root)
{
    const AdvValue *v = &m->g->values.at[root];
    MemStorage *s = &m->storage[root];
    uint64_t n = (uint64_t)adv_type_bytes(&v->type);
    memset(s, 0, sizeof *s);
    m->val[root].storage = root;
    m->val[root].next = 0;
    s->last = root;
    s->n_bytes = (n + ADV_PLAN_ALIGN - 1) / ADV_PLAN_ALIGN * ADV_PLAN_ALIGN;
    s->pin = ADV_BLOCK_TEMP;
    if (v->def.i && adv_node_is(m->g, v->def, "read")) {
        s->pin = ADV_BLOCK_STATE;
        s->state = adv_node(m->g, v->def)->state;
    } else if (v->def.i && adv_node_is(m->g, v->def, "const")) {
        s->pin = ADV_BLOCK_CONST;
        s->data = v->def;
    }
}

/* All of storage b becomes part of storage a. */
static void join(MemCtx *m, uint32_t a, uint32_t b)
{
    MemStorage *sa = &m->storage[a], *sb = &m->storage[b];
    assert(a != b);
    for (uint32_t v = b; v; v = m->val[v].next) m->val[v].storage = a;
    m->val[sa->last].next = b;
    sa->last = sb->last;
    if (sb->n_bytes > sa->n_bytes) sa->n_bytes = sb->n_bytes;
    if (sb->pin != ADV_BLOCK_TEMP) {
        sa->pin = sb->pin;
        sa->state = sb->state;
        sa->data = sb->data;
    }
}

/* Joins the storages of roots x and y if no two of their values are in each other's way. The pair that is goes to *why. */
static bool try_join(MemCtx *m, uint32_t x, uint32_t y, Copy *why)
{
    uint32_t a = m->val[x].storage, b = m->val[y].storage;
    if (a == b) return true;
    if (m->storage[a].pin != ADV_BLOCK_TEMP && m->storage[b].pin != ADV_BLOCK_TEMP) return false;
    for (uint32_t u = a; u; u = m->val[u].next) {
        for (uint32_t v = b; v; v = m->val[v].next) {
            if (!mem_interfere(m, u, v)) continue;
            if (why) why->block_a = u, why->block_b = v;
            return false;
        }
    }
    join(m, a, b);
    return true;
}

static void must_join(MemCtx *m, AdvValueId x, AdvValueId y)
{
    uint32_t a = m->val[m->val[x.i].root].storage, b = m->val[m->val[y.i].root].storage;
    if (a == b) return;
    assert(m->storage[a].pin == ADV_BLOCK_TEMP || m->storage[b].pin == ADV_BLOCK_TEMP);
    join(m, a, b);
}

/* The homes: a state's reads and what is written to it; a carried value's first, parameter, next and last. */
static void make_homes(MemCtx *m, AdvRegionId r, uint32_t *read_of)
{
    AdvGraph *g = m->g;
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvNodeId id = adv_region(g, r)->nodes.at[i];
        const AdvNode *n = adv_node(g, id);
        if (adv_node_is(g, id, "read")) {
            if (!read_of[n->state.i])
                read_of[n->state.i] = n->out_at;
            else
                join(m, m->val[read_of[n->state.i]].storage, n->out_at);
        } else if (adv_node_is(g, id, "write")) {
            AdvValueId old = {read_of[n->state.i]}, v = adv_node_in(g, id, 0);
            MemStorage *s = storage_of(m, m->val[v.i].root);
            assert(s->pin == ADV_BLOCK_TEMP);
            if (old.i) {
                must_join(m, old, v);
            } else {
                s->pin = ADV_BLOCK_STATE;
                s->state = n->state;
            }
        } else if (n->body.i) {
            const AdvRegion *body = adv_region(g, n->body);
            for (uint32_t k = 0; k < n->n_in; k++) {
                must_join(m, adv_node_in(g, id, k), body->params.at[k + 1]);
                must_join(m, adv_node_in(g, id, k), body->results.at[k]);
                must_join(m, adv_node_in(g, id, k), adv_node_out(g, id, k));
            }
            make_homes(m, n->body, read_of);
        }
    }
}

/* ---- 3. which copies are nothing ------------------------------------------------------------------------------------ */

static void coalesce_copies(Plan *pl)
{
    MemCtx *m = &pl->m;
    uint32_t deepest = 0;
    for (uint32_t i = 0; i < pl->copies.n; i++)
        if (pl->copies.at[i].depth > deepest) deepest = pl->copies.at[i].depth;
    for (uint32_t d = deepest + 1; d-- > 0;) {
        for (uint32_t i = 0; i < pl->copies.n; i++) {
            Copy *c = &pl->copies.at[i];
            if (c->depth != d) continue;
            c->block_a = c->block_b = 0;
            (void)try_join(m, m->val[adv_node_in(m->g, c->node, 0).i].root, adv_node(m->g, c->node)->out_at, c);
        }
    }
}

static uint64_t bytes_of(const AdvGraph *g, AdvValueId v) { return (uint64_t)adv_type_bytes(adv_value_type(g, v)); }

/* Does it cost no more to run node n again than to copy its result, and is its input there at any time? */
static bool is_remade(const MemCtx *m, AdvNodeId n, const uint8_t *written)
{
    const AdvNode *node = adv_node(m->g, n);
    AdvNodeId from;
    if (node->n_in != 1 || node->n_out != 1 || (node->op->flags & (ADV_OP_STRUCT | ADV_OP_VIEW | ADV_OP_RANDOM | ADV_OP_BATCH)))
        return false;
    if (bytes_of(m->g, adv_node_in(m->g, n, 0)) > bytes_of(m->g, adv_node_out(m->g, n, 0))) return false;
    from = m->g->values.at[m->val[adv_node_in(m->g, n, 0).i].root].def;
    if (!from.i) return false;
    if (adv_node_is(m->g, from, "const")) return true;
    return adv_node_is(m->g, from, "read") && !written[adv_node(m->g, from)->state.i];
}

/* Turns copies that would stay into the nodes that made what they copy. True: some were, and the entry is to be planned anew. */
static bool remake_copies(Plan *pl, AdvRegionId entry)
{
    MemCtx *m = &pl->m;
    AdvGraph *g = m->g;
    uint8_t *written = ADV_NEW_ARRAY(m->scratch, uint8_t, g->states.n);
    uint32_t n = 0, n_before = pl->copies.n;
    for (uint32_t i = 0; i < adv_region(g, entry)->nodes.n; i++) {
        AdvNodeId id = adv_region(g, entry)->nodes.at[i];
        if (adv_node_is(g, id, "write")) written[adv_node(g, id)->state.i] = 1;
    }
    for (uint32_t i = 0; i < n_before; i++) {
        Copy c = pl->copies.at[i];
        AdvValueId v = adv_node_in(g, c.node, 0);
        bool stays = m->val[m->val[v.i].root].storage != m->val[adv_node_out(g, c.node, 0).i].storage;
        AdvNodeId def = g->values.at[v.i].def;
        while (def.i && adv_node_is(g, def, "copy")) def = g->values.at[adv_node_in(g, def, 0).i].def;
        if (!stays || !def.i || !is_remade(m, def, written)) {
            pl->copies.at[n++] = c;
            continue;
        }
        AdvNode *to = &g->nodes.at[c.node.i];
        const AdvNode *from = adv_node(g, def);
        to->op = from->op;
        to->attr_at = from->attr_at;
        to->n_attr = from->n_attr;
        g->edges.at[to->in_at] = adv_node_in(g, def, 0);
    }
    pl->copies.n = n;
    return n < n_before;
}

/* 4a. An output takes the storage of an input that dies there. Homes of states stay out of it, but for updates (ops whose
** fact names the input): they hold versions of the state, never something else. */
static void share_inputs(MemCtx *m, AdvRegionId r)
{
    AdvGraph *g = m->g;
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvNodeId id = adv_region(g, r)->nodes.at[i];
        const AdvNode *n = adv_node(g, id);
        if (n->body.i) share_inputs(m, n->body);
        if (n->op->flags & (ADV_OP_STRUCT | ADV_OP_VIEW)) continue;
        for (uint32_t k = 0; k < n->n_out && k < 4; k++) {
            uint32_t out = n->out_at + k;
            uint8_t fact = n->op->inplace[k];
            for (uint32_t j = 0; j < n->n_in && fact != ADV_INPLACE_NONE; j++) {
                uint32_t in = m->val[adv_node_in(g, id, j).i].root;
                if (fact != ADV_INPLACE_ANY && fact != ADV_INPLACE(j)) continue;
                if (fact == ADV_INPLACE_ANY && (storage_of(m, in)->pin != ADV_BLOCK_TEMP || storage_of(m, out)->pin != ADV_BLOCK_TEMP))
                    continue;
                if (m->val[in].content == m->val[out].content || storage_of(m, in)->n_bytes != storage_of(m, out)->n_bytes) continue;
                if (try_join(m, in, out, NULL)) break;
            }
        }
    }
}

static const char *value_text(MemCtx *m, uint32_t v, char *to, size_t n)
{
    const AdvValue *val = &m->g->values.at[v];
    for (; val->def.i && adv_node_is(m->g, val->def, "copy"); val = &m->g->values.at[v]) v = m->val[adv_node_in(m->g, val->def, 0).i].root;
    const char *name = val->name.i ? adv_str(m->g->names, val->name) : NULL;
    if (val->def.i && adv_node_is(m->g, val->def, "read"))
        snprintf(to, n, "the old version of `%s`", adv_str(m->g->names, m->g->states.at[adv_node(m->g, val->def)->state.i].name));
    else if (name)
        snprintf(to, n, "`%s`", name);
    else if (val->def.i)
        snprintf(to, n, "the result of `%s`", adv_node(m->g, val->def)->op->name);
    else
        snprintf(to, n, "carried value %u of a loop", (unsigned)val->out_ix);
    return to;
}

static void explain_copy(Plan *pl, AdvRegionId entry, const Copy *c)
{
    MemCtx *m = &pl->m;
    AdvPassCtx *p = m->p;
    char a[160], b[160], text[640], what[160];
    uint32_t src = adv_node_in(m->g, c->node, 0).i;
    AdvSpan at = adv_loc_span(m->g, adv_node(m->g, c->node)->loc);
    const AdvSource *file = adv_source_of(&m->g->diags->sources, at);
    int n;
    if (!p->why_write || !p->why.i || strcmp(adv_str(m->g->names, p->why), "copy") != 0) return;
    value_text(m, src, what, sizeof what);
    if (c->block_a)
        snprintf(text, sizeof text, "%s and %s are needed at one time", value_text(m, c->block_a, a, sizeof a),
                 value_text(m, c->block_b, b, sizeof b));
    else
        snprintf(text, sizeof text, "it comes from a home of its own");
    n = snprintf(a, sizeof a, "%s:%u: ", file ? file->name : "?", file ? (unsigned)adv_line_col(file, at.off).line : 0u);
    p->why_write(p->why_user, a, n < (int)sizeof a ? (size_t)n : sizeof a - 1);
    n = snprintf(b, sizeof b, "copy in `%s`%s: ", adv_str(m->g->names, adv_region(m->g, entry)->name), c->depth ? " in a loop" : "");
    p->why_write(p->why_user, b, n < (int)sizeof b ? (size_t)n : sizeof b - 1);
    p->why_write(p->why_user, what, strlen(what));
    p->why_write(p->why_user, " has to move: ", 14);
    p->why_write(p->why_user, text, strlen(text));
    p->why_write(p->why_user, "\n", 1);
}

static void unlist(AdvGraph *g, AdvRegionId r, const uint8_t *gone)
{
    AdvRegion *reg = adv_region(g, r);
    uint32_t n = 0;
    for (uint32_t i = 0; i < reg->nodes.n; i++)
        if (!gone[reg->nodes.at[i].i]) reg->nodes.at[n++] = reg->nodes.at[i];
    reg->nodes.n = n;
}

/* Copies within one storage go; their results are their inputs from now on. Fills map and gone for the whole graph. */
static void drop_copies(Plan *pl, AdvRegionId entry, AdvValueId *map, uint8_t *gone)
{
    MemCtx *m = &pl->m;
    for (uint32_t i = 0; i < pl->copies.n; i++) {
        const Copy *c = &pl->copies.at[i];
        AdvValueId in = adv_node_in(m->g, c->node, 0), out = adv_node_out(m->g, c->node, 0);
        if (m->val[m->val[in.i].root].storage == m->val[out.i].storage) {
            map[out.i] = in;
            gone[c->node.i] = 1;
        } else {
            pl->out->n_copies++;
            explain_copy(pl, entry, c);
        }
    }
}

/* ---- 4b. offsets ----------------------------------------------------------------------------------------------------- */

static int life_cmp(MemLife a, MemLife b) { return a.from != b.from ? (a.from < b.from ? -1 : 1) : (a.to > b.to) - (a.to < b.to); }

/* The lives of a storage's members as few, sorted, disjoint ones. */
static void collect_lives(MemCtx *m, MemItem *it)
{
    uint32_t n = 0, k = 0;
    for (uint32_t v = it->storage; v; v = m->val[v].next) n++;
    it->lives = ADV_NEW_ARRAY(m->scratch, MemLife, n);
    n = 0;
    for (uint32_t v = it->storage; v; v = m->val[v].next) {
        MemLife l = {m->val[v].def, m->val[v].end == MEM_END ? m->n_positions : m->val[v].end};
        uint32_t at = n++;
        for (; at > 0 && life_cmp(l, it->lives[at - 1]) < 0; at--) it->lives[at] = it->lives[at - 1];
        it->lives[at] = l;
    }
    for (uint32_t i = 1; i < n; i++) {
        if (it->lives[i].from <= it->lives[k].to + 1) {
            if (it->lives[i].to > it->lives[k].to) it->lives[k].to = it->lives[i].to;
        } else {
            it->lives[++k] = it->lives[i];
        }
    }
    it->n_lives = k + 1;
}

static void place(Plan *pl)
{
    MemCtx *m = &pl->m;
    MemItem *items = ADV_NEW_ARRAY(m->scratch, MemItem, m->roots.n);
    uint32_t n = 0;
    uint64_t top, bound;
    for (uint32_t i = 0; i < m->roots.n; i++) {
        uint32_t v = m->roots.at[i];
        if (m->val[v].storage != v || m->storage[v].pin != ADV_BLOCK_TEMP) continue;
        items[n].storage = v;
        items[n].n_bytes = m->storage[v].n_bytes;
        collect_lives(m, &items[n++]);
    }
    top = adv_mem_place(m->scratch, items, n, m->n_positions, &bound);
    for (uint32_t i = 0; i < n; i++) m->storage[items[i].storage].offset = items[i].offset;
    if (top > pl->out->temp_bytes) pl->out->temp_bytes = top;
    if (bound > pl->out->lower_bound_bytes) pl->out->lower_bound_bytes = bound;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------- */

static void set_homes(Plan *pl, AdvRegionId r)
{
    MemCtx *m = &pl->m;
    AdvGraph *g = m->g;
    const AdvRegion *reg = adv_region(g, r);
    for (uint32_t i = 0; i < reg->nodes.n + 1; i++) {
        const AdvNode *n = i < reg->nodes.n ? adv_node(g, reg->nodes.at[i]) : NULL;
        uint32_t n_out = n ? n->n_out : reg->params.n;
        if (n && n->body.i) set_homes(pl, n->body);
        for (uint32_t k = 0; k < n_out; k++) {
            uint32_t v = n ? n->out_at + k : reg->params.at[k].i;
            const MemStorage *s = storage_of(m, m->val[v].root);
            AdvHome *h = &pl->out->home[v];
            h->has = 1;
            h->block = s->pin;
            h->state = s->state;
            h->data = s->data;
            h->offset = s->offset;
        }
    }
}

static void plan_entry(Plan *pl, AdvRegionId entry, AdvValueId *map, uint8_t *gone)
{
    MemCtx *m = &pl->m;
    do {
        uint32_t *read_of = ADV_NEW_ARRAY(m->scratch, uint32_t, m->g->states.n);
        mem_live(m, entry);
        for (uint32_t i = 0; i < m->roots.n; i++) new_storage(m, m->roots.at[i]);
        make_homes(m, entry, read_of);
        coalesce_copies(pl);
    } while (remake_copies(pl, entry));
    share_inputs(m, entry);
    drop_copies(pl, entry, map, gone);
    place(pl);
    set_homes(pl, entry);
}

AdvMemPlan *adv_memplan(AdvPassCtx *p, AdvGraph *g)
{
    AdvArenaMark mark = adv_arena_mark(p->scratch);
    Plan pl = {.m = {.p = p, .g = g, .scratch = p->scratch}};
    AdvValueId *map;
    uint8_t *gone;
    uint32_t *first_copy = ADV_NEW_ARRAY(p->scratch, uint32_t, g->entries.n + 1), n_regions = g->regions.n;
    ADV_VEC(Copy) all = {0};
    pl.out = ADV_NEW(p->arena, AdvMemPlan);
    for (uint32_t e = 0; e < g->entries.n; e++) {
        first_copy[e] = pl.copies.n;
        isolate(&pl, g->entries.at[e], 0);
    }
    first_copy[g->entries.n] = pl.copies.n;
    all.at = pl.copies.at;
    map = ADV_NEW_ARRAY(p->scratch, AdvValueId, g->values.n);
    gone = ADV_NEW_ARRAY(p->scratch, uint8_t, g->nodes.n);
    pl.m.val = ADV_NEW_ARRAY(p->scratch, MemVal, g->values.n);
    pl.m.storage = ADV_NEW_ARRAY(p->scratch, MemStorage, g->values.n);
    pl.out->n_homes = pl.m.n_vals = g->values.n;
    pl.out->home = ADV_NEW_ARRAY(p->arena, AdvHome, g->values.n);
    for (uint32_t e = 0; e < g->entries.n; e++) {
        pl.copies.at = all.at ? all.at + first_copy[e] : NULL; /* no copies: no array */
        pl.copies.n = pl.copies.cap = first_copy[e + 1] - first_copy[e];
        plan_entry(&pl, g->entries.at[e], map, gone);
    }
    for (uint32_t r = 1; r < n_regions; r++) {
        AdvRegionId id = {r};
        unlist(g, id, gone);
    }
    adv_graph_replace(g, map, g->values.n);
    adv_arena_release(p->scratch, mark);
    return pl.out;
}
