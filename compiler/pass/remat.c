/* remat.c: what a cheap instruction can make again is not kept where a region needs most memory.
**
** needs:  an order (schedule)     keeps: numbers (bit for bit), order of what was there     breaks: uses
** A training step needs most memory where forward ends and backward begins. There lie, for each layer, a normalisation's input x, which
** its gradient reads, and y = relu(bn(x) + skip), which the next convolution's gradient by weights reads: the second can be made of the
** first and the statistics, by one pass over memory (bn_relu_given has the bits of bn_relu). So where the most bytes live at once, the
** largest such y that is read before and after, but not there, is made again in front of its next reader; and so on, until another
** moment or another kind of value decides. It is only done where it lowers the peak, and never lengthens the life of x or skip.
** Those without a skip come first: what a skip was is kept then, and a chain of blocks keeps every other one.
** See tests/ir/remat.advg.
*/
#include "compiler/pass/pass_list.h"
#include "compiler/pass/sched.h"

#include "ops/view.h"

#include <string.h>

#define LEAST 512 /* what is less than this part of the peak is not worth an instruction */

/* A bn_relu, and where its y is read; positions are those of the order before anything was added. */
typedef struct Maker {
    AdvNodeId node;
    ADV_VEC(uint32_t) at;
    bool is_again; /* y is made again already */
    bool is_kept;  /* another y is made of it, or some reader sees it as a view or from within a loop */
} Maker;

typedef struct Remat {
    AdvGraph *g;
    AdvArena *scratch;
    uint32_t *root;         /* by value, for sched_open */
    uint64_t *bytes;        /* by root value: what it takes of the temporary block */
    bool changed;
} Remat;

typedef struct Place {
    Sched s;
    uint32_t *last;         /* by root value: position of its last reader */
    uint32_t *maker_of;     /* by value: its index in makers, plus 1 */
    uint64_t *live;         /* by position: bytes that live */
    ADV_VEC(Maker) makers;
} Place;

static bool has_makers(const AdvGraph *g, AdvRegionId id)
{
    const AdvRegion *reg = adv_region(g, id);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvRegionId body = adv_node(g, reg->nodes.at[i])->body;
        if (adv_node_is(g, reg->nodes.at[i], "bn_relu") || (body.i && has_makers(g, body))) return true;
    }
    return false;
}

/* ---- what lives when ------------------------------------------------------------------------------------------------- */

static void note_reader(Remat *t, Place *p, uint32_t pos, AdvValueId y)
{
    AdvNodeId id = p->s.items[pos].node;
    bool sees_y = false;
    Maker *m = &p->makers.at[p->maker_of[y.i] - 1];
    for (uint32_t k = 0; k < adv_node(t->g, id)->n_in; k++) sees_y = sees_y || adv_node_in(t->g, id, k).i == y.i;
    if (!sees_y || adv_node(t->g, id)->body.i || (adv_node(t->g, id)->op->flags & ADV_OP_VIEW)) m->is_kept = true;
    *ADV_PUSH(t->scratch, &m->at) = pos;
}

static uint64_t remat_region(Remat *t, AdvRegionId id);

/* Opens a region in its order: last readers, makers, and what lives at each position, loops' bodies included. */
static void open_place(Remat *t, Place *p, AdvRegionId id)
{
    AdvGraph *g = t->g;
    uint32_t *first = ADV_NEW_ARRAY(t->scratch, uint32_t, g->values.n);
    int64_t *delta, now = 0;
    sched_open(&p->s, g, t->scratch, id, t->root);
    sched_note_bytes(&p->s, t->bytes);
    p->last = ADV_NEW_ARRAY(t->scratch, uint32_t, g->values.n);
    p->maker_of = ADV_NEW_ARRAY(t->scratch, uint32_t, g->values.n);
    p->live = ADV_NEW_ARRAY(t->scratch, uint64_t, p->s.n + 1);
    delta = ADV_NEW_ARRAY(t->scratch, int64_t, p->s.n + 2);
    for (uint32_t i = 0; i < p->s.n; i++) {
        AdvNodeId n = p->s.items[i].node;
        sched_uses(&p->s, n);
        for (uint32_t k = 0; k < p->s.uses.n; k++) {
            uint32_t v = p->s.uses.at[k].i;
            p->last[v] = i;
            if (p->maker_of[v]) note_reader(t, p, i, p->s.uses.at[k]);
        }
        for (uint32_t o = 0; o < adv_node(g, n)->n_out; o++) {
            first[adv_node(g, n)->out_at + o] = p->last[adv_node(g, n)->out_at + o] = i;
        }
        if (!adv_node_is(g, n, "bn_relu") || !t->bytes[adv_node(g, n)->out_at]) continue;
        *ADV_PUSH(t->scratch, &p->makers) = (Maker){.node = n};
        p->maker_of[adv_node(g, n)->out_at] = p->makers.n;
    }
    for (uint32_t i = 0; i < p->s.n; i++) {
        const AdvNode *n = adv_node(g, p->s.items[i].node);
        for (uint32_t v = n->out_at; v < n->out_at + n->n_out; v++) {
            delta[first[v]] += (int64_t)t->bytes[v];
            delta[p->last[v] + 1] -= (int64_t)t->bytes[v];
        }
    }
    for (uint32_t i = 0; i < p->s.n; i++) {
        AdvRegionId body = adv_node(g, p->s.items[i].node)->body;
        now += delta[i];
        p->live[i] = (uint64_t)now + (body.i ? remat_region(t, body) : 0);
    }
}

static uint32_t top_of(const Place *p)
{
    uint32_t top = 0;
    for (uint32_t i = 1; i < p->s.n; i++)
        if (p->live[i] > p->live[top]) top = i;
    return top;
}

/* ---- making again ---------------------------------------------------------------------------------------------------- */

/* What is added in front of the relu, as a root value, or 0. */
static uint32_t skip_of(const Remat *t, const Place *p, const Maker *m)
{
    return adv_node(t->g, m->node)->n_in == 4 ? p->s.root[adv_node_in(t->g, m->node, 3).i] : 0;
}

/* Is y alive at position `top` only for later, and what it is made of until *out_to, where it could be made again? *out_from: its last
** reader before. */
static bool can_make(const Remat *t, const Place *p, const Maker *m, uint32_t top, uint32_t *out_from, uint32_t *out_to)
{
    uint32_t skip = skip_of(t, p, m);
    bool before = false;
    if (m->is_again || m->is_kept || (p->maker_of[skip] && p->makers.at[p->maker_of[skip] - 1].is_again)) return false;
    *out_to = p->last[p->s.root[adv_node_in(t->g, m->node, 0).i]];
    if (skip && p->last[skip] < *out_to) *out_to = p->last[skip];
    for (uint32_t k = 0; k < m->at.n; k++) {
        if (m->at.at[k] == top) return false;
        if (m->at.at[k] < top) *out_from = m->at.at[k], before = true;
        if (m->at.at[k] > top && m->at.at[k] < *out_to) *out_to = m->at.at[k];
    }
    return before && *out_to > top && m->at.at[m->at.n - 1] > top;
}

/* Makes y again in front of the node at position `to`, for all readers from there on. */
static void make_again(Remat *t, Place *p, Maker *m, uint32_t from, uint32_t to)
{
    AdvGraph *g = t->g;
    AdvValueId y = adv_node_out(g, m->node, 0), arg[6], again;
    uint32_t skip = skip_of(t, p, m), n_arg = 5;
    AdvGraphBuild b;
    for (uint32_t k = 0; k < 3; k++) arg[k] = adv_node_in(g, m->node, k);
    for (uint32_t k = 1; k < 3; k++) arg[k + 2] = adv_node_out(g, m->node, k);
    if (skip) arg[n_arg++] = adv_node_in(g, m->node, 3);
    if (p->maker_of[skip]) p->makers.at[p->maker_of[skip] - 1].is_kept = true;
    adv_build_init(&b, g, p->s.region, adv_node(g, m->node)->loc);
    b.before = p->s.items[to].node;
    again = adv_build_op(&b, "bn_relu_given", arg, n_arg, adv_node_attr(g, m->node));
    g->values.at[again.i].type.layout = adv_value_type(g, y)->layout;
    g->values.at[again.i].rate = adv_value(g, y)->rate;
    g->values.at[again.i].name = adv_value(g, y)->name;
    for (uint32_t k = 0; k < m->at.n; k++) {
        const AdvNode *n = adv_node(g, p->s.items[m->at.at[k]].node);
        for (uint32_t e = n->in_at; m->at.at[k] >= to && e < n->in_at + n->n_in; e++)
            if (g->edges.at[e].i == y.i) g->edges.at[e] = again;
    }
    for (uint32_t i = from + 1; i < to; i++) p->live[i] -= t->bytes[y.i];
    m->is_again = true;
    t->changed = true;
}

/* The best y to be made again for less at position `top`, or NULL. */
static Maker *choose(const Remat *t, const Place *p, uint32_t top, uint32_t *out_from, uint32_t *out_to)
{
    Maker *best = NULL;
    uint64_t most = p->live[top] / LEAST;
    for (uint32_t k = 0; k < 2 * p->makers.n && !(best && k == p->makers.n); k++) {
        Maker *m = &p->makers.at[k % p->makers.n];
        uint64_t n = t->bytes[adv_node(t->g, m->node)->out_at];
        uint32_t from = 0, to = 0;
        bool has_skip = k >= p->makers.n;
        if (n <= most || (skip_of(t, p, m) != 0) != has_skip || !can_make(t, p, m, top, &from, &to)) continue;
        best = m, most = n, *out_from = from, *out_to = to;
    }
    return best;
}

/* Returns the most bytes that live at once in the region after it. */
static uint64_t remat_region(Remat *t, AdvRegionId id)
{
    AdvArenaMark mark = adv_arena_mark(t->scratch);
    Place p = {.makers = {0}};
    uint64_t most = 0;
    open_place(t, &p, id);
    while (p.s.n) {
        uint32_t top = top_of(&p), from = 0, to = 0;
        Maker *m = choose(t, &p, top, &from, &to);
        most = p.live[top];
        if (!m) break;
        make_again(t, &p, m, from, to);
    }
    adv_arena_release(t->scratch, mark);
    return most;
}

bool adv_pass_remat(AdvPassCtx *p, AdvGraph *g)
{
    Remat t = {.g = g, .scratch = p->scratch};
    bool any = false;
    for (uint32_t e = 0; e < g->entries.n; e++) any = any || has_makers(g, g->entries.at[e]);
    if (!any) return false;
    t.root = ADV_NEW_ARRAY(p->scratch, uint32_t, g->values.n);
    t.bytes = ADV_NEW_ARRAY(p->scratch, uint64_t, g->values.n);
    for (uint32_t e = 0; e < g->entries.n; e++)
        if (has_makers(g, g->entries.at[e])) (void)remat_region(&t, g->entries.at[e]);
    return t.changed;
}
