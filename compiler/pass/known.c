/* known.c: see known.h. */
#include "compiler/pass/known.h"
#include "compiler/pass/pass_list.h"
#include "ops/view.h"
#include "runtime/base/hash.h"

#include <string.h>

/* ---- equal nodes ----------------------------------------------------------------------------------------------- */

/* Operand k of a node like `n` in an order that does not depend on how a commuting pair was written. */
static uint32_t operand(const AdvNode *n, const AdvValueId *in, uint32_t k)
{
    if (k < 2 && n->n_in >= 2 && (n->op->flags & ADV_OP_COMMUTES)) return (k == 0) == (in[0].i < in[1].i) ? in[0].i : in[1].i;
    return in[k].i;
}

static const AdvValueId *operands(const AdvGraph *g, AdvNodeId n)
{
    return adv_node(g, n)->n_in ? &g->edges.at[adv_node(g, n)->in_at] : NULL;
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

static uint64_t hash_node(const AdvGraph *g, AdvNodeId id, const AdvValueId *in)
{
    const AdvNode *n = adv_node(g, id);
    uint64_t h = adv_hash_str(ADV_HASH_START, n->op->name);
    h = adv_hash_u64(h, (uint64_t)n->n_in << 32 | n->state.i);
    for (uint32_t k = 0; k < n->n_in; k++) h = adv_hash_u64(h, operand(n, in, k));
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

/* Does node `ia` compute what `ib` would from the operands `in`? */
static bool same_node(const AdvGraph *g, AdvNodeId ia, AdvNodeId ib, const AdvValueId *in)
{
    const AdvNode *a = adv_node(g, ia), *b = adv_node(g, ib);
    if (a->op != b->op || a->n_in != b->n_in || a->n_out != b->n_out || a->n_attr != b->n_attr || a->state.i != b->state.i) return false;
    for (uint32_t k = 0; k < a->n_in; k++)
        if (operand(a, operands(g, ia), k) != operand(b, in, k)) return false;
    if (!adv_same_attrs(g, ia, ib)) return false;
    for (uint32_t k = 0; k < a->n_out; k++)
        if (!adv_type_eq(adv_value_type(g, adv_node_out(g, ia, k)), adv_value_type(g, adv_node_out(g, ib, k)))) return false;
    return same_data(g, ia, ib);
}

/* ---- the table ------------------------------------------------------------------------------------------------- */

void adv_known_begin(AdvKnown *k, const AdvGraph *g, AdvArena *mem)
{
    memset(k, 0, sizeof *k);
    k->g = g;
    k->mem = mem;
    for (k->mask = 63; k->mask < g->nodes.n; k->mask = k->mask * 2 + 1) {}
    k->bucket = ADV_NEW_ARRAY(mem, uint32_t, k->mask + 1);
}

static AdvNodeId find(const AdvKnown *k, uint64_t hash, AdvNodeId n, const AdvValueId *in)
{
    AdvNodeId none = {0};
    for (uint32_t at = k->bucket[hash & k->mask]; at; at = k->nodes.at[at - 1].next) {
        const AdvKnownNode *known = &k->nodes.at[at - 1];
        if (known->hash == hash && same_node(k->g, known->node, n, in)) return known->node;
    }
    return none;
}

AdvNodeId adv_known_find(const AdvKnown *k, AdvNodeId n, const AdvValueId *in) { return find(k, hash_node(k->g, n, in), n, in); }

AdvNodeId adv_known_add(AdvKnown *k, AdvNodeId n)
{
    const AdvValueId *in = operands(k->g, n);
    uint64_t hash = hash_node(k->g, n, in);
    AdvNodeId same = find(k, hash, n, in);
    if (same.i) return same;
    AdvKnownNode *known = ADV_PUSH(k->mem, &k->nodes);
    known->hash = hash;
    known->node = n;
    known->next = k->bucket[hash & k->mask];
    k->bucket[hash & k->mask] = k->nodes.n;
    return n;
}

void adv_known_cut(AdvKnown *k, uint32_t n_nodes)
{
    for (; k->nodes.n > n_nodes; k->nodes.n--) {
        const AdvKnownNode *last = &k->nodes.at[k->nodes.n - 1];
        k->bucket[last->hash & k->mask] = last->next;
    }
}
