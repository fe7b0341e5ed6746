/* dce.c: drops what reaches no write: nodes, and values that a loop carries for nobody.
**
** Walks back from the writes over values. A carried value of a loop is one thing with four ends (first value, parameter,
** result of the body, last value): it lives if its last value or its parameter is needed, each carried value by itself.
*/
#include "compiler/pass/pass_list.h"

#include <string.h>

typedef struct Live {
    AdvPassCtx *p;
    AdvGraph *g;
    uint8_t *node, *value;   /* by id: needed */
    ADV_VEC(AdvValueId) todo;
    AdvValueId *map;         /* last values of loops that were renumbered */
    uint32_t n_map;
    bool changed;
} Live;

static void need(Live *l, AdvValueId v)
{
    if (!v.i || l->value[v.i]) return;
    l->value[v.i] = 1;
    *ADV_PUSH(l->p->scratch, &l->todo) = v;
}

static void need_carried(Live *l, AdvNodeId loop, uint32_t k)
{
    const AdvRegion *b = adv_region(l->g, adv_node(l->g, loop)->body);
    l->node[loop.i] = 1;
    need(l, adv_node_in(l->g, loop, k));
    need(l, b->params.at[k + 1]);
    need(l, b->results.at[k]);
    need(l, adv_node_out(l->g, loop, k));
}

static void spread(Live *l)
{
    while (l->todo.n) {
        const AdvValue *v = adv_value(l->g, l->todo.at[--l->todo.n]);
        if (!v->def.i) {
            if (v->out_ix > 0) need_carried(l, adv_region(l->g, v->param_of)->owner, v->out_ix - 1u);
            else l->node[adv_region(l->g, v->param_of)->owner.i] = 1;
        } else if (adv_node(l->g, v->def)->body.i) need_carried(l, v->def, v->out_ix);
        else {
            l->node[v->def.i] = 1;
            for (uint32_t k = 0; k < adv_node(l->g, v->def)->n_in; k++) need(l, adv_node_in(l->g, v->def, k));
        }
    }
}

/* Leaves a loop only the carried values that are needed. */
static void shrink_loop(Live *l, AdvNodeId id)
{
    AdvGraph *g = l->g;
    const AdvNode old = *adv_node(g, id);
    AdvRegion *b = adv_region(g, old.body);
    uint32_t n_kept = 0, in_at = g->edges.n, out_at = g->values.n;
    for (uint32_t k = 0; k < old.n_in; k++) n_kept += l->value[b->params.at[k + 1].i];
    if (n_kept == old.n_in) return;
    n_kept = 0;
    for (uint32_t k = 0; k < old.n_in; k++) {
        AdvValueId param = b->params.at[k + 1], out = {old.out_at + k}, in = g->edges.at[old.in_at + k];
        if (!l->value[param.i]) continue;
        *ADV_PUSH(g->arena, &g->edges) = in;
        AdvValue copy = g->values.at[out.i];
        copy.out_ix = (uint16_t)n_kept;
        *ADV_PUSH(g->arena, &g->values) = copy;
        l->map[out.i].i = g->values.n - 1;
        b->results.at[n_kept] = b->results.at[k];
        b->params.at[++n_kept] = param;
        g->values.at[param.i].out_ix = (uint16_t)n_kept;
    }
    b->results.n = n_kept;
    b->params.n = n_kept + 1;
    AdvNode *n = &g->nodes.at[id.i];
    n->in_at = in_at;
    n->out_at = out_at;
    n->n_in = n->n_out = n_kept;
    l->changed = true;
}

static void sweep(Live *l, AdvRegionId r)
{
    AdvRegion *reg = adv_region(l->g, r);
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId n = reg->nodes.at[i];
        if (!l->node[n.i]) continue;
        reg->nodes.at[n_kept++] = n;
        if (!adv_node(l->g, n)->body.i) continue;
        shrink_loop(l, n);
        sweep(l, adv_node(l->g, n)->body);
    }
    l->changed = l->changed || n_kept != reg->nodes.n;
    reg->nodes.n = n_kept;
}

/* dce: needs nothing; keeps the order of what stays, and its types. */
bool adv_pass_dce(AdvPassCtx *p, AdvGraph *g)
{
    Live l = {.p = p, .g = g, .n_map = g->values.n};
    l.node = ADV_NEW_ARRAY(p->scratch, uint8_t, g->nodes.n);
    l.value = ADV_NEW_ARRAY(p->scratch, uint8_t, g->values.n);
    l.map = ADV_NEW_ARRAY(p->scratch, AdvValueId, l.n_map);
    for (uint32_t i = 0; i < g->entries.n; i++) {
        const AdvRegion *r = adv_region(g, g->entries.at[i]);
        for (uint32_t k = 0; k < r->nodes.n; k++) {
            AdvNodeId n = r->nodes.at[k];
            if (!adv_node_is(g, n, "write")) continue;
            l.node[n.i] = 1;
            need(&l, adv_node_in(g, n, 0));
        }
    }
    spread(&l);
    for (uint32_t i = 0; i < g->entries.n; i++) sweep(&l, g->entries.at[i]);
    if (l.changed) adv_graph_replace(g, l.map, l.n_map);
    return l.changed;
}
