/* layout.c: rank-4 activations in the target's order of memory.
**
** needs:  no grad nodes     keeps: shapes, numbers     breaks: layouts
** Tensors that convolutions read and make go channels-last, and with them everything that ops with ADV_LAYOUT_OP_ANY tie to
** them: ports of one such node, a carried value's parameter, next and last. All else is in row order: states, what row-only
** ops make. Weights (the second operand of an ADV_OP_CONV op; with ADV_OP_WGRAD its result) are in the target's order of weights
** where a convolution reads or makes them, and row order elsewhere, whatever ties: an update stays in the order of its states.
** `relayout` nodes stand at the borders only, once a value, so that of a weight leaves every loop. A tensor with C = 1 or H = W = 1
** is the same bytes either way: it stays `row` and no border.
** Running again settles what other passes made meanwhile. See tests/ir/layout_*.advg.
*/
#include "compiler/pass/convert.h"
#include "compiler/pass/pass_list.h"

#include <string.h>

typedef struct Layout {
    AdvGraph *g;
    Convert c;
    uint32_t *parent;  /* by value: union-find of values that must be in one order */
    uint8_t *is_cl;    /* by representative */
    uint8_t *is_fixed; /* by value: its order is given by what makes it */
    uint32_t n_values; /* of the tables: values made meanwhile are borders */
    uint8_t want, want_weight;
    bool changed;
} Layout;

/* Does the order of memory matter? */
static bool has_order(const AdvTensorType *t) { return t->rank == 4 && t->dim[1] > 1 && t->dim[2] * t->dim[3] > 1; }

static bool is_any(const AdvOpDef *op) { return op->layout == ADV_LAYOUT_OP_ANY && !(op->flags & ADV_OP_STRUCT); }

static bool is_weight_in(const AdvOpDef *op, uint32_t k) { return (op->flags & ADV_OP_CONV) && !(op->flags & ADV_OP_WGRAD) && k == 1; }

static bool is_weight_out(const AdvOpDef *op) { return (op->flags & ADV_OP_CONV) && (op->flags & ADV_OP_WGRAD); }

static bool is_relayout(const Layout *l, AdvNodeId id) { return adv_node_is(l->g, id, "relayout"); }

static uint32_t find(Layout *l, uint32_t v)
{
    while (l->parent[v] != v) v = l->parent[v] = l->parent[l->parent[v]];
    return v;
}

/* Ties v to *first, the first ordered value of the same node. */
static void tie(Layout *l, uint32_t *first, AdvValueId v)
{
    if (!has_order(adv_value_type(l->g, v)) || l->is_fixed[v.i]) return;
    if (*first)
        l->parent[find(l, v.i)] = find(l, *first);
    else
        *first = v.i;
}

/* ---- which values are tied --------------------------------------------------------------------------------------------- */

static void fix_region(Layout *l, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(l->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId id = reg->nodes.at[i];
        const AdvNode *n = adv_node(l->g, id);
        bool fixed = n->body.i ? false : !is_any(n->op) || is_weight_out(n->op) || is_relayout(l, id);
        for (uint32_t k = 0; k < n->n_out; k++) l->is_fixed[n->out_at + k] = fixed;
        if (n->body.i) fix_region(l, n->body);
    }
}

static void tie_region(Layout *l, AdvRegionId r)
{
    AdvGraph *g = l->g;
    const AdvRegion *reg = adv_region(g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId id = reg->nodes.at[i];
        const AdvNode *n = adv_node(g, id);
        uint32_t first = 0;
        for (uint32_t k = 0; n->body.i && k < n->n_out; k++) {
            const AdvRegion *body = adv_region(g, n->body);
            first = 0;
            tie(l, &first, adv_node_out(g, id, k));
            tie(l, &first, body->params.at[k + 1]);
            tie(l, &first, body->results.at[k]);
        }
        if (n->body.i) tie_region(l, n->body);
        if (!is_any(n->op) || is_relayout(l, id)) continue;
        for (uint32_t k = 0; k < n->n_out; k++) tie(l, &first, adv_node_out(g, id, k));
        for (uint32_t k = 0; k < n->n_in; k++)
            if (!is_weight_in(n->op, k)) tie(l, &first, adv_node_in(g, id, k));
    }
}

static void seed_region(Layout *l, AdvRegionId r)
{
    AdvGraph *g = l->g;
    const AdvRegion *reg = adv_region(g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId id = reg->nodes.at[i];
        const AdvNode *n = adv_node(g, id);
        if (n->body.i) seed_region(l, n->body);
        if (!(n->op->flags & ADV_OP_CONV) || !is_any(n->op)) continue;
        for (uint32_t k = 0; k < n->n_in; k++)
            if (!is_weight_in(n->op, k)) l->is_cl[find(l, adv_node_in(g, id, k).i)] = 1;
        for (uint32_t k = 0; k < n->n_out; k++)
            if (!is_weight_out(n->op)) l->is_cl[find(l, n->out_at + k)] = 1;
    }
}

/* ---- the borders ---------------------------------------------------------------------------------------------------------- */

static uint8_t order_of(Layout *l, AdvValueId v)
{
    if (!has_order(adv_value_type(l->g, v))) return ADV_LAYOUT_ROW;
    if (v.i >= l->n_values || l->is_fixed[v.i]) return adv_value_type(l->g, v)->layout;
    return l->is_cl[find(l, v.i)] ? l->want : ADV_LAYOUT_ROW;
}

static void set_order(Layout *l, AdvValueId v, uint8_t order)
{
    AdvTensorType *t = &l->g->values.at[v.i].type;
    if (!has_order(t) || t->layout == order) return;
    t->layout = order;
    l->changed = true;
}

/* v in order `want`: itself or its relayout. */
static AdvValueId in_order(Layout *l, AdvValueId v, uint8_t want)
{
    AdvNodeId def = adv_value(l->g, v)->def;
    if (!has_order(adv_value_type(l->g, v)) || order_of(l, v) == want) return v;
    if (def.i && is_relayout(l, def)) { /* back again */
        AdvValueId from = adv_node_in(l->g, def, 0);
        if (order_of(l, from) == want) return from;
    }
    l->changed = true;
    return adv_convert(&l->c, v, want, "relayout", want);
}

/* The order in which a node wants the operands that are not weights. */
static uint8_t order_at(Layout *l, AdvNodeId id)
{
    const AdvNode *n = adv_node(l->g, id);
    if (!is_any(n->op)) return ADV_LAYOUT_ROW;
    if (n->op->flags & ADV_OP_CONV) return l->want;
    for (uint32_t k = 0; k < n->n_out; k++)
        if (has_order(adv_value_type(l->g, adv_node_out(l->g, id, k)))) return order_of(l, adv_node_out(l->g, id, k));
    for (uint32_t k = 0; k < n->n_in; k++) {
        AdvValueId v = adv_node_in(l->g, id, k);
        if (has_order(adv_value_type(l->g, v)) && !(v.i < l->n_values && l->is_fixed[v.i])) return order_of(l, v);
    }
    for (uint32_t k = 0; k < n->n_in; k++) /* what is given already decides */
        if (has_order(adv_value_type(l->g, adv_node_in(l->g, id, k)))) return order_of(l, adv_node_in(l->g, id, k));
    return ADV_LAYOUT_ROW;
}

static void set_in(Layout *l, AdvNodeId id, uint32_t k, uint8_t want)
{
    AdvValueId v = in_order(l, adv_node_in(l->g, id, k), want);
    l->g->edges.at[adv_node(l->g, id)->in_at + k] = v;
}

static void border_region(Layout *l, AdvRegionId r)
{
    AdvGraph *g = l->g;
    uint32_t n_nodes;
    AdvNodeId *nodes = adv_convert_list(&l->c, r, &n_nodes);
    for (uint32_t i = 0; i < n_nodes; i++) {
        AdvNodeId id = nodes[i];
        AdvRegionId body = adv_node(g, id)->body;
        uint32_t n_in = adv_node(g, id)->n_in;
        const AdvOpDef *op = adv_node(g, id)->op;
        if (is_relayout(l, id)) continue;
        if (body.i) {
            border_region(l, body);
            for (uint32_t k = 0; k < n_in; k++) {
                uint8_t want = order_of(l, adv_region(g, body)->params.at[k + 1]);
                AdvValueId next = in_order(l, adv_region(g, body)->results.at[k], want);
                adv_region(g, body)->results.at[k] = next;
                set_in(l, id, k, want);
            }
            continue;
        }
        uint8_t at = order_at(l, id);
        for (uint32_t k = 0; k < n_in; k++) set_in(l, id, k, is_any(op) && is_weight_in(op, k) ? l->want_weight : at);
    }
}

static void set_region(Layout *l, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(l->g, r);
    for (uint32_t k = 0; k < reg->params.n; k++) set_order(l, reg->params.at[k], order_of(l, reg->params.at[k]));
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId id = reg->nodes.at[i];
        const AdvNode *n = adv_node(l->g, id);
        if (n->body.i) set_region(l, n->body);
        for (uint32_t k = 0; k < n->n_out; k++) {
            AdvValueId v = adv_node_out(l->g, id, k);
            if (is_any(n->op) && is_weight_out(n->op))
                set_order(l, v, l->want_weight);
            else if (!l->is_fixed[v.i])
                set_order(l, v, order_of(l, v));
        }
    }
}

bool adv_pass_layout(AdvPassCtx *p, AdvGraph *g)
{
    Layout l = {.g = g, .n_values = g->values.n};
    if (!p->target || p->target->layout == ADV_LAYOUT_ROW) return false;
    l.want = p->target->layout;
    l.want_weight = p->target->weights;
    adv_convert_begin(&l.c, g, p->scratch);
    l.parent = ADV_NEW_ARRAY(p->scratch, uint32_t, g->values.n);
    l.is_cl = ADV_NEW_ARRAY(p->scratch, uint8_t, g->values.n);
    l.is_fixed = ADV_NEW_ARRAY(p->scratch, uint8_t, g->values.n);
    for (uint32_t v = 0; v < g->values.n; v++) l.parent[v] = v;
    for (uint32_t e = 0; e < g->entries.n; e++) fix_region(&l, g->entries.at[e]);
    for (uint32_t e = 0; e < g->entries.n; e++) tie_region(&l, g->entries.at[e]);
    for (uint32_t e = 0; e < g->entries.n; e++) seed_region(&l, g->entries.at[e]);
    for (uint32_t e = 0; e < g->entries.n; e++) set_region(&l, g->entries.at[e]);
    for (uint32_t e = 0; e < g->entries.n; e++) border_region(&l, g->entries.at[e]);
    return l.changed;
}
