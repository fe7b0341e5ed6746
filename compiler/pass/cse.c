/* cse.c: of equal nodes keeps the first one in reach. Every node is pure, random draws among them (the key is an operand), so
** equal means: same op, operands, attributes, state, data.
**
** One walk in program order; a table of the nodes in reach, from which a loop body's own are taken out again at its end. So
** a node in a body may give way to one before the loop, never the other way round: that is for hoist.
*/
#include "compiler/pass/pass_list.h"
#include "ops/view.h"
#include "runtime/base/hash.h"

#include <string.h>

typedef struct Known { uint64_t hash; AdvNodeId node; uint32_t next; } Known; /* next: index + 1 in the bucket */

typedef struct Cse {
    AdvPassCtx *p;
    AdvGraph *g;
    AdvValueId *map;
    ADV_VEC(Known) known;
    uint32_t *bucket;        /* index + 1 of the newest, 0 is empty */
    uint32_t mask;
    bool changed;
} Cse;

static AdvValueId now(const Cse *c, AdvValueId v) { return c->map[v.i].i ? c->map[v.i] : v; }

/* Operand k in an order that does not depend on how a commuting pair was written. */
static uint32_t operand(const AdvGraph *g, AdvNodeId n, uint32_t k)
{
    const AdvNode *node = adv_node(g, n);
    if (k < 2 && node->n_in >= 2 && (node->op->flags & ADV_OP_COMMUTES)) {
        uint32_t a = adv_node_in(g, n, 0).i, b = adv_node_in(g, n, 1).i;
        return (k == 0) == (a < b) ? a : b;
    }
    return adv_node_in(g, n, k).i;
}

static uint64_t hash_attr(uint64_t h, const AdvAttrDef *d, const AdvAttr *a)
{
    switch (d->kind) {
    case ADV_ATTR_INT:
    case ADV_ATTR_ENUM: return adv_hash_u64(h, (uint64_t)a->i);
    case ADV_ATTR_FLOAT: return adv_hash_bytes(h, &a->f, sizeof a->f);
    case ADV_ATTR_INTS: return adv_hash_bytes(h, a->ints, a->n * sizeof *a->ints);
    case ADV_ATTR_FLOATS: return adv_hash_bytes(h, a->floats, a->n * sizeof *a->floats);
    default:
        for (uint32_t i = 0; i < a->n; i++) h = adv_hash_str(h, a->ops[i]->name);
        return h;
    }
}

static uint64_t hash_node(const AdvGraph *g, AdvNodeId id)
{
    const AdvNode *n = adv_node(g, id);
    uint64_t h = adv_hash_str(ADV_HASH_START, n->op->name);
    h = adv_hash_u64(h, (uint64_t)n->n_in << 32 | n->state.i);
    for (uint32_t k = 0; k < n->n_in; k++) h = adv_hash_u64(h, operand(g, id, k));
    for (uint32_t k = 0; k < n->n_attr; k++) h = hash_attr(h, &n->op->attrs[k], &adv_node_attr(g, id)[k]);
    return adv_hash_bytes(h, n->data.data, (size_t)n->data.n_bytes);
}

static bool same_bytes(const void *a, const void *b, size_t n) { return n == 0 || memcmp(a, b, n) == 0; }

static bool same_attr(const AdvAttrDef *d, const AdvAttr *a, const AdvAttr *b)
{
    switch (d->kind) {
    case ADV_ATTR_INT:
    case ADV_ATTR_ENUM: return a->i == b->i;
    case ADV_ATTR_FLOAT: return same_bytes(&a->f, &b->f, sizeof a->f);
    case ADV_ATTR_INTS: return a->n == b->n && same_bytes(a->ints, b->ints, a->n * sizeof *a->ints);
    case ADV_ATTR_FLOATS: return a->n == b->n && same_bytes(a->floats, b->floats, a->n * sizeof *a->floats);
    default: return a->n == b->n && same_bytes(a->ops, b->ops, a->n * sizeof *a->ops);
    }
}

bool adv_same_attrs(const AdvGraph *g, AdvNodeId a, AdvNodeId b)
{
    const AdvNode *n = adv_node(g, a);
    for (uint32_t k = 0; k < n->n_attr; k++)
        if (!same_attr(&n->op->attrs[k], &adv_node_attr(g, a)[k], &adv_node_attr(g, b)[k])) return false;
    return true;
}

static bool same_data(const AdvGraph *g, AdvNodeId ia, AdvNodeId ib)
{
    const AdvConst *a = &adv_node(g, ia)->data, *b = &adv_node(g, ib)->data;
    if (a->n_bytes != b->n_bytes || !same_bytes(a->data, b->data, (size_t)a->n_bytes) || !a->wide != !b->wide) return false;
    return !a->wide || same_bytes(a->wide, b->wide, (size_t)adv_type_elems(adv_value_type(g, adv_node_out(g, ia, 0))) * sizeof *a->wide);
}

static bool same_node(const AdvGraph *g, AdvNodeId ia, AdvNodeId ib)
{
    const AdvNode *a = adv_node(g, ia), *b = adv_node(g, ib);
    if (a->op != b->op || a->n_in != b->n_in || a->n_out != b->n_out || a->n_attr != b->n_attr || a->state.i != b->state.i) return false;
    for (uint32_t k = 0; k < a->n_in; k++)
        if (operand(g, ia, k) != operand(g, ib, k)) return false;
    if (!adv_same_attrs(g, ia, ib)) return false;
    for (uint32_t k = 0; k < a->n_out; k++)
        if (!adv_type_eq(adv_value_type(g, adv_node_out(g, ia, k)), adv_value_type(g, adv_node_out(g, ib, k)))) return false;
    return same_data(g, ia, ib);
}

#define MAX_PLACES 4 /* that a node remembers: a number that the whole recipe uses needs no list of all its lines */

static bool same_span(AdvSpan a, AdvSpan b) { return a.file == b.file && a.off == b.off && a.len == b.len; }

/* Adds the place `more` to `loc`, unless it is there already or there are enough. */
static AdvLocId join_place(AdvGraph *g, AdvLocId loc, AdvLocId more)
{
    uint32_t n = 1;
    AdvLocId l = loc;
    for (; g->locs.at[l.i].why == ADV_LOC_FUSED; l = g->locs.at[l.i].parent, n++)
        if (same_span(adv_loc_span(g, g->locs.at[l.i].also), adv_loc_span(g, more))) return loc;
    bool known = same_span(adv_loc_span(g, l), adv_loc_span(g, more));
    return known || n >= MAX_PLACES ? loc : adv_loc_join(g, loc, more);
}

/* Lets `kept` stand for `n`. */
static void merge(Cse *c, AdvNodeId kept, AdvNodeId n)
{
    AdvGraph *g = c->g;
    for (uint32_t k = 0; k < adv_node(g, n)->n_out; k++) {
        AdvValueId to = adv_node_out(g, kept, k), from = adv_node_out(g, n, k);
        c->map[from.i] = to;
        if (!g->values.at[to.i].name.i) g->values.at[to.i].name = g->values.at[from.i].name;
    }
    /* only what can fail at run time needs both places */
    if (!adv_node_is_struct(g, n)) {
        AdvLocId both = join_place(g, adv_node(g, kept)->loc, adv_node(g, n)->loc);
        g->nodes.at[kept.i].loc = both;
    }
    c->changed = true;
}

/* The node that stands for `n`, which is `n` if there is none yet. */
static AdvNodeId look_up(Cse *c, AdvNodeId n)
{
    uint64_t h = hash_node(c->g, n);
    uint32_t *bucket = &c->bucket[h & c->mask];
    for (uint32_t at = *bucket; at; at = c->known.at[at - 1].next) {
        const Known *k = &c->known.at[at - 1];
        if (k->hash == h && same_node(c->g, k->node, n)) return k->node;
    }
    Known *k = ADV_PUSH(c->p->scratch, &c->known);
    k->hash = h;
    k->node = n;
    k->next = *bucket;
    *bucket = c->known.n;
    return n;
}

static void merge_region(Cse *c, AdvRegionId r)
{
    AdvGraph *g = c->g;
    uint32_t n_before = c->known.n, n_kept = 0;
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvNodeId id = adv_region(g, r)->nodes.at[i];
        const AdvNode n = *adv_node(g, id);
        for (uint32_t k = 0; k < n.n_in; k++) g->edges.at[n.in_at + k] = now(c, g->edges.at[n.in_at + k]);
        AdvNodeId kept = n.body.i || n.n_out == 0 ? id : look_up(c, id);
        if (kept.i != id.i) {
            merge(c, kept, id);
            continue;
        }
        adv_region(g, r)->nodes.at[n_kept++] = id;
        if (n.body.i) merge_region(c, n.body);
    }
    AdvRegion *reg = adv_region(g, r);
    reg->nodes.n = n_kept;
    for (uint32_t k = 0; k < reg->results.n; k++) reg->results.at[k] = now(c, reg->results.at[k]);
    for (; c->known.n > n_before; c->known.n--) {
        const Known *last = &c->known.at[c->known.n - 1];
        c->bucket[last->hash & c->mask] = last->next;
    }
}

/* cse: needs: no grad nodes (merging a value with the one that a gradient is by would change the gradient); does nothing
** otherwise.   keeps: types, order. */
bool adv_pass_cse(AdvPassCtx *p, AdvGraph *g)
{
    Cse c = {.p = p, .g = g};
    if (adv_graph_has(g, "grad")) return false;
    c.map = ADV_NEW_ARRAY(p->scratch, AdvValueId, g->values.n);
    for (c.mask = 63; c.mask < g->nodes.n; c.mask = c.mask * 2 + 1) {}
    c.bucket = ADV_NEW_ARRAY(p->scratch, uint32_t, c.mask + 1);
    for (uint32_t i = 0; i < g->entries.n; i++) merge_region(&c, g->entries.at[i]);
    return c.changed;
}
