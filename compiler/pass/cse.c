/* cse.c: of equal nodes keeps the first one in reach (known.h says what equal means).
**
** One walk in program order with a table of the nodes in reach. So a node in a body may give way to one before the loop, never the
** other way round: that is for hoist.
*/
#include "compiler/pass/known.h"
#include "compiler/pass/pass_list.h"

typedef struct Cse {
    AdvPassCtx *p;
    AdvGraph *g;
    AdvValueId *map;
    AdvKnown known;
    bool changed;
} Cse;

static AdvValueId now(const Cse *c, AdvValueId v) { return c->map[v.i].i ? c->map[v.i] : v; }

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

static void merge_region(Cse *c, AdvRegionId r)
{
    AdvGraph *g = c->g;
    uint32_t n_before = c->known.nodes.n, n_kept = 0;
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvNodeId id = adv_region(g, r)->nodes.at[i];
        const AdvNode n = *adv_node(g, id);
        for (uint32_t k = 0; k < n.n_in; k++) g->edges.at[n.in_at + k] = now(c, g->edges.at[n.in_at + k]);
        AdvNodeId kept = n.body.i || n.n_out == 0 ? id : adv_known_add(&c->known, id);
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
    adv_known_cut(&c->known, n_before);
}

/* cse: needs: no grad nodes (merging a value with the one that a gradient is by would change the gradient); does nothing
** otherwise.   keeps: types, order. */
bool adv_pass_cse(AdvPassCtx *p, AdvGraph *g)
{
    Cse c = {.p = p, .g = g};
    if (adv_graph_has(g, "grad")) return false;
    c.map = ADV_NEW_ARRAY(p->scratch, AdvValueId, g->values.n);
    adv_known_begin(&c.known, g, p->scratch);
    for (uint32_t i = 0; i < g->entries.n; i++) merge_region(&c, g->entries.at[i]);
    return c.changed;
}
