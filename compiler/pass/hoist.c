/* hoist.c: moves what is the same in every turn of a loop before the loop: nodes, inner loops as a whole, and carried values
** that every turn passes on unchanged.
**
** A loop has at least one turn and every node is pure, so nothing is computed that was not before. Inner bodies come first:
** what leaves them may leave the outer one too. Random draws move like all else; a turn's draw uses the turn number.
*/
#include "compiler/pass/pass_list.h"

#include <string.h>

typedef struct Hoist {
    AdvPassCtx *p;
    AdvGraph *g;
    uint8_t *varies;       /* by value: made inside the body that is being looked at */
    uint32_t *uses;        /* by value */
    AdvValueId *map;
    uint32_t n_map;
    bool moved, passed_on;
} Hoist;

/* Does a body use a value that varies? */
static bool body_varies(const Hoist *h, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(h->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId n = reg->nodes.at[i];
        for (uint32_t k = 0; k < adv_node(h->g, n)->n_in; k++)
            if (h->varies[adv_node_in(h->g, n, k).i]) return true;
        if (adv_node(h->g, n)->body.i && body_varies(h, adv_node(h->g, n)->body)) return true;
    }
    for (uint32_t k = 0; k < reg->results.n; k++)
        if (h->varies[reg->results.at[k].i]) return true;
    return false;
}

static bool node_varies(const Hoist *h, AdvNodeId n)
{
    for (uint32_t k = 0; k < adv_node(h->g, n)->n_in; k++)
        if (h->varies[adv_node_in(h->g, n, k).i]) return true;
    return adv_node(h->g, n)->body.i && body_varies(h, adv_node(h->g, n)->body);
}

/* Moves the body's constant nodes to the end of `to`. */
static void split_body(Hoist *h, AdvRegionId to, AdvRegionId body)
{
    AdvGraph *g = h->g;
    uint32_t n_kept = 0;
    for (uint32_t k = 0; k < adv_region(g, body)->params.n; k++) h->varies[adv_region(g, body)->params.at[k].i] = 1;
    for (uint32_t i = 0; i < adv_region(g, body)->nodes.n; i++) {
        AdvNodeId n = adv_region(g, body)->nodes.at[i];
        AdvRegionId inner = adv_node(g, n)->body;
        if (!node_varies(h, n)) {
            *ADV_PUSH(g->arena, &adv_region(g, to)->nodes) = n;
            if (inner.i) adv_region(g, inner)->parent = to;
            h->moved = true;
            continue;
        }
        adv_region(g, body)->nodes.at[n_kept++] = n;
        for (uint32_t k = 0; k < adv_node(g, n)->n_out; k++) h->varies[adv_node_out(g, n, k).i] = 1;
    }
    AdvRegion *b = adv_region(g, body);
    b->nodes.n = n_kept;
    /* seen from around the loop only its last values exist, and they are not marked yet */
    for (uint32_t k = 0; k < b->params.n; k++) h->varies[b->params.at[k].i] = 0;
    for (uint32_t i = 0; i < n_kept; i++)
        for (uint32_t k = 0; k < adv_node(g, b->nodes.at[i])->n_out; k++) h->varies[adv_node_out(g, b->nodes.at[i], k).i] = 0;
}

/* A carried value that is passed on as it is, or is set to its first value: all its ends are the first value. */
static void pass_on(Hoist *h, AdvNodeId loop)
{
    AdvGraph *g = h->g;
    const AdvNode *n = adv_node(g, loop);
    const AdvRegion *b = adv_region(g, n->body);
    for (uint32_t k = 0; k < n->n_in; k++) {
        AdvValueId first = adv_node_in(g, loop, k), param = b->params.at[k + 1], out = adv_node_out(g, loop, k), r = b->results.at[k];
        if (r.i != param.i && r.i != first.i) continue;
        uint32_t n_uses = h->uses[param.i] + h->uses[out.i] - (r.i == param.i);
        if (n_uses == 0) continue;
        h->map[param.i] = h->map[out.i] = first;
        h->passed_on = true;
    }
}

static void hoist_region(Hoist *h, AdvRegionId r)
{
    AdvGraph *g = h->g;
    AdvNodeList old = adv_region_take(g, r);
    for (uint32_t i = 0; i < old.n; i++) {
        AdvRegionId body = adv_node(g, old.at[i])->body;
        if (body.i) {
            pass_on(h, old.at[i]);
            hoist_region(h, body);
            split_body(h, r, body);
        }
        *ADV_PUSH(g->arena, &adv_region(g, r)->nodes) = old.at[i];
    }
}

static void count_region(Hoist *h, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(h->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        const AdvNode *n = adv_node(h->g, reg->nodes.at[i]);
        for (uint32_t k = 0; k < n->n_in; k++) h->uses[adv_node_in(h->g, reg->nodes.at[i], k).i]++;
        if (n->body.i) count_region(h, n->body);
    }
    for (uint32_t k = 0; k < reg->results.n; k++) h->uses[reg->results.at[k].i]++;
}

/* hoist: needs: no grad nodes, else it does nothing (they are expanded where they stand).   keeps: types, relative order. */
bool adv_pass_hoist(AdvPassCtx *p, AdvGraph *g)
{
    Hoist h = {.p = p, .g = g, .n_map = g->values.n};
    if (adv_graph_has(g, "grad")) return false;
    h.varies = ADV_NEW_ARRAY(p->scratch, uint8_t, g->values.n);
    h.uses = ADV_NEW_ARRAY(p->scratch, uint32_t, g->values.n);
    h.map = ADV_NEW_ARRAY(p->scratch, AdvValueId, g->values.n);
    for (uint32_t i = 0; i < g->entries.n; i++) count_region(&h, g->entries.at[i]);
    for (uint32_t i = 0; i < g->entries.n; i++) hoist_region(&h, g->entries.at[i]);
    if (h.passed_on) adv_graph_replace(g, h.map, h.n_map);
    return h.moved || h.passed_on;
}
