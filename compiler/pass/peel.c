/* peel.c: does the first turn of a loop before it, where much of that turn has been computed already.
**
** An attack that starts at the image asks in its first turn for the gradient at the image. A cue of the budget, a norm of the gradient
** say, has asked for the same: with the turn outside, cse makes one of both, which is worth a forward and a backward a step. Inside
** the loop they can not meet, since there the point is carried.
**
** What the first turn computes is known without doing it: carried values are their first ones. Work is counted in convolutions and
** products of matrices. A turn outside makes the plan longer, so at least a quarter of its work must be there.
*/
#include "compiler/pass/known.h"
#include "compiler/pass/pass_list.h"

#define MIN_SHARE 4 /* one in so many of a turn's convolutions and products has to be known */

typedef struct Peel {
    AdvPassCtx *p;
    AdvGraph *g;
    AdvKnown known;
    AdvValueId *in;       /* operands of one node in the first turn */
    uint32_t n_in;
    AdvValueId *at_first; /* by value: what it is in the first turn, for values of the body; none: not known before the loop */
    uint8_t *inside;      /* by value: of the body */
    uint32_t n_values;
    bool changed;
} Peel;

/* A value of the body as it is in the first turn, an outer one as it is. */
static AdvValueId first_turn(const Peel *l, AdvValueId v) { return v.i < l->n_values && l->inside[v.i] ? l->at_first[v.i] : v; }

/* Operands of `n` in the first turn; NULL: not all are known. */
static const AdvValueId *operands(Peel *l, AdvNodeId n)
{
    uint32_t n_in = adv_node(l->g, n)->n_in;
    if (n_in > l->n_in) {
        l->in = ADV_NEW_ARRAY(l->p->scratch, AdvValueId, n_in);
        l->n_in = n_in;
    }
    for (uint32_t k = 0; k < n_in; k++) {
        l->in[k] = first_turn(l, adv_node_in(l->g, n, k));
        if (!l->in[k].i) return NULL;
    }
    return l->in;
}

/* The body's parameters as they are in the first turn. The turn's number is left unknown. */
static void begin_turn(Peel *l, AdvNodeId loop)
{
    const AdvRegion *b = adv_region(l->g, adv_node(l->g, loop)->body);
    l->n_values = l->g->values.n;
    l->at_first = ADV_NEW_ARRAY(l->p->scratch, AdvValueId, l->n_values);
    l->inside = ADV_NEW_ARRAY(l->p->scratch, uint8_t, l->n_values);
    for (uint32_t k = 0; k < b->params.n; k++) l->inside[b->params.at[k].i] = 1;
    for (uint32_t k = 1; k < b->params.n; k++) l->at_first[b->params.at[k].i] = adv_node_in(l->g, loop, k - 1);
}

static void set_outputs(Peel *l, AdvNodeId n, AdvNodeId same)
{
    for (uint32_t k = 0; k < adv_node(l->g, n)->n_out; k++) {
        l->inside[adv_node_out(l->g, n, k).i] = 1;
        if (same.i) l->at_first[adv_node_out(l->g, n, k).i] = adv_node_out(l->g, same, k);
    }
}

/* Is it worth it, and can it be done: no loop in the body, no use of the turn's number. */
static bool is_known(Peel *l, AdvNodeId loop)
{
    const AdvGraph *g = l->g;
    const AdvRegion *b = adv_region(g, adv_node(g, loop)->body);
    uint32_t n_work = 0, n_known = 0;
    if (adv_loop_turns(g, loop) < 2) return false;
    begin_turn(l, loop);
    for (uint32_t i = 0; i < b->nodes.n; i++) {
        AdvNodeId n = b->nodes.at[i], same = {0};
        if (adv_node(g, n)->body.i) return false;
        for (uint32_t k = 0; k < adv_node(g, n)->n_in; k++)
            if (adv_node_in(g, n, k).i == b->params.at[0].i) return false;
        const AdvValueId *in = operands(l, n);
        if (in) same = adv_known_find(&l->known, n, in);
        set_outputs(l, n, same);
        if (!(adv_node(g, n)->op->flags & ADV_OP_CONV)) continue;
        n_work++;
        n_known += same.i != 0;
    }
    for (uint32_t k = 0; k < b->results.n; k++)
        if (b->results.at[k].i == b->params.at[0].i) return false;
    return n_known && n_known * MIN_SHARE >= n_work;
}

/* Puts a copy of the body before the loop and takes a turn from the loop. */
static void do_first_turn(Peel *l, AdvRegionId r, AdvNodeId loop)
{
    AdvGraph *g = l->g;
    AdvRegionId body = adv_node(g, loop)->body;
    AdvGraphBuild b;
    begin_turn(l, loop);
    for (uint32_t i = 0; i < adv_region(g, body)->nodes.n; i++) {
        AdvNodeId n = adv_region(g, body)->nodes.at[i];
        adv_build_init(&b, g, r, adv_node(g, n)->loc);
        b.before = loop;
        set_outputs(l, n, adv_build_like(&b, n, operands(l, n)));
    }
    uint32_t in_at = adv_node(g, loop)->in_at;
    for (uint32_t k = 0; k < adv_node(g, loop)->n_in; k++) g->edges.at[in_at + k] = first_turn(l, adv_region(g, body)->results.at[k]);
    g->attrs.at[adv_node(g, loop)->attr_at].i--;
    l->changed = true;
}

static void peel_region(Peel *l, AdvRegionId r)
{
    AdvGraph *g = l->g;
    uint32_t n_before = l->known.nodes.n;
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvNodeId n = adv_region(g, r)->nodes.at[i];
        AdvRegionId body = adv_node(g, n)->body;
        if (!body.i) {
            if (adv_node(g, n)->n_out) adv_known_add(&l->known, n);
            continue;
        }
        if (is_known(l, n)) {
            do_first_turn(l, r, n);
            i += adv_region(g, body)->nodes.n; /* what stands before the loop now */
        }
        peel_region(l, body);
    }
    adv_known_cut(&l->known, n_before);
}

/* peel: needs: no grad nodes, and a hoisted graph (what every turn computes alike is not its work).   keeps: types, and what is
** computed: a loop's turns are one less where one stands before it. */
bool adv_pass_peel(AdvPassCtx *p, AdvGraph *g)
{
    Peel l = {.p = p, .g = g};
    if (adv_graph_has(g, "grad") || !adv_graph_has(g, "loop")) return false;
    adv_known_begin(&l.known, g, p->scratch);
    for (uint32_t i = 0; i < g->entries.n; i++) peel_region(&l, g->entries.at[i]);
    return l.changed;
}
