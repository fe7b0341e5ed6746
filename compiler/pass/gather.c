/* gather.c: equal instructions that do not need one another come to stand together, as a list that a back end may run as one.
**
** needs:  an order (schedule)     keeps: data flow, what is updated in place, the most bytes that live at once     breaks: order
** A training step ends with an update of each weight, and begins with copies of them in 16 bits and batch norms folded into them:
** hundreds of instructions, most of which take longer to be launched than to run. A list is as many nodes in a row, all but the
** first marked `with_prev`; the memory planner takes it for one moment, so the order within it means nothing.
**
** Each candidate can stand anywhere between the last node it needs and the first one that needs it. From the front: the candidate
** that has to go first, with all equal ones that can come forward to that place; then from the back the same the other way round.
** A list that would make the most bytes that live at once in its region more than they were (of an entry: than in the entry that
** needs most, since all overlay one block) is not made. See tests/ir/gather_*.advg.
*/
#include "compiler/pass/pass_list.h"
#include "compiler/pass/sched.h"

#include "ops/view.h"
#include "runtime/plan.h"

#include <assert.h>
#include <string.h>

/* A region with its order. Positions count from 0; `at` is the inverse of `order`. */
typedef struct Place {
    Sched s;
    uint32_t *order, *at;        /* item by position, position by item */
    uint32_t *early, *late;      /* by item: the first and the last position it can move to */
    uint32_t n_reads, n_ends;    /* which stay first and last */
    uint32_t *program;           /* by item: equal for equal programs; 0: no candidate */
    uint32_t *list;              /* by item: the number of its list, 0: none */
    uint8_t *is_tried;           /* by item: found no others in this round */
    uint32_t *use_at, *use;      /* by item: roots it reads, use[use_at[i]] to use[use_at[i + 1]] */
    struct Place **body;         /* by item: of a loop */
    uint64_t *inside;            /* by item: most bytes that live within a loop's body */
    uint32_t n_lists;
} Place;

typedef struct Gather {
    AdvPassCtx *p;
    AdvGraph *g;
    uint64_t *bytes;             /* by root value: what it takes of the block; 0 for what has a home */
    uint32_t *root, *first, *last; /* by root value: positions of its life, scratch of peak_of */
    ADV_VEC(uint32_t) members;   /* items of the list being made */
    bool changed;
} Gather;

/* ---- how much lives ------------------------------------------------------------------------------------------------ */

/* Most bytes that live at once in this order. A list is one moment: what it reads dies, and what it makes is born, as a whole. */
static uint64_t peak_of(Gather *t, const Place *r)
{
    const Sched *s = &r->s;
    AdvArenaMark mark = adv_arena_mark(t->p->scratch);
    int64_t *delta = ADV_NEW_ARRAY(t->p->scratch, int64_t, s->n + 2), now = 0, most = 0;
    uint64_t *inside = ADV_NEW_ARRAY(t->p->scratch, uint64_t, s->n + 1);
    uint32_t moment = 0;
    for (uint32_t k = 0; k < s->n; k++) {
        uint32_t i = r->order[k];
        const AdvNode *n = adv_node(t->g, s->items[i].node);
        if (k && !(r->list[i] && r->list[i] == r->list[r->order[k - 1]])) moment++;
        if (r->inside[i] > inside[moment]) inside[moment] = r->inside[i];
        for (uint32_t o = 0; o < n->n_out; o++) t->first[n->out_at + o] = t->last[n->out_at + o] = moment;
        for (uint32_t u = r->use_at[i]; u < r->use_at[i + 1]; u++) t->last[r->use[u]] = moment;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        const AdvNode *n = adv_node(t->g, s->items[i].node);
        for (uint32_t o = 0; o < n->n_out; o++) {
            uint32_t v = n->out_at + o;
            delta[t->first[v]] += (int64_t)t->bytes[v];
            delta[t->last[v] + 1] -= (int64_t)t->bytes[v];
        }
    }
    for (uint32_t k = 0; k <= moment; k++) {
        now += delta[k];
        if (now + (int64_t)inside[k] > most) most = now + (int64_t)inside[k];
    }
    adv_arena_release(t->p->scratch, mark);
    return (uint64_t)most;
}

/* ---- regions ------------------------------------------------------------------------------------------------------- */

static bool same_program(const AdvGraph *g, AdvNodeId a, AdvNodeId b)
{
    const AdvNode *x = adv_node(g, a), *y = adv_node(g, b);
    if (x->op != y->op || x->n_in != y->n_in || x->n_out != y->n_out || !adv_same_attrs(g, a, b)) return false;
    for (uint32_t k = 0; k < x->n_in; k++)
        if (adv_value_type(g, adv_node_in(g, a, k))->dtype != adv_value_type(g, adv_node_in(g, b, k))->dtype) return false;
    for (uint32_t k = 0; k < x->n_out; k++)
        if (adv_value_type(g, adv_node_out(g, a, k))->dtype != adv_value_type(g, adv_node_out(g, b, k))->dtype) return false;
    return true;
}

/* Candidates by program, those that are alone with theirs left out. */
static void note_programs(Gather *t, Place *r)
{
    AdvArena *mem = t->p->scratch;
    ADV_VEC(uint32_t) first = {0}; /* by program: an item */
    uint32_t *n_of = ADV_NEW_ARRAY(mem, uint32_t, r->s.n + 1);
    r->program = ADV_NEW_ARRAY(mem, uint32_t, r->s.n);
    for (uint32_t i = 0; i < r->s.n; i++) {
        AdvNodeId n = r->s.items[i].node;
        uint32_t k = 0;
        r->n_reads += adv_node_is(t->g, n, "read");
        r->n_ends += r->s.items[i].is_end;
        if (!(adv_node(t->g, n)->op->flags & (ADV_OP_ELEMENTWISE | ADV_OP_EACH))) continue;
        while (k < first.n && !same_program(t->g, r->s.items[first.at[k]].node, n)) k++;
        if (k == first.n) *ADV_PUSH(mem, &first) = i;
        r->program[i] = k + 1;
        n_of[k + 1]++;
    }
    for (uint32_t i = 0; i < r->s.n; i++)
        if (n_of[r->program[i]] < 2) r->program[i] = 0;
}

static Place *open_place(Gather *t, AdvRegionId id)
{
    AdvArena *mem = t->p->scratch;
    Place *r = ADV_NEW(mem, Place);
    ADV_VEC(uint32_t) use = {0};
    sched_open(&r->s, t->g, mem, id, t->root);
    sched_note_bytes(&r->s, t->bytes);
    note_programs(t, r);
    r->order = ADV_NEW_ARRAY(mem, uint32_t, r->s.n);
    r->at = ADV_NEW_ARRAY(mem, uint32_t, r->s.n);
    r->early = ADV_NEW_ARRAY(mem, uint32_t, r->s.n);
    r->late = ADV_NEW_ARRAY(mem, uint32_t, r->s.n);
    r->list = ADV_NEW_ARRAY(mem, uint32_t, r->s.n);
    r->is_tried = ADV_NEW_ARRAY(mem, uint8_t, r->s.n);
    r->use_at = ADV_NEW_ARRAY(mem, uint32_t, r->s.n + 1);
    r->body = ADV_NEW_ARRAY(mem, Place *, r->s.n);
    r->inside = ADV_NEW_ARRAY(mem, uint64_t, r->s.n);
    for (uint32_t i = 0; i < r->s.n; i++) {
        r->order[i] = r->at[i] = i;
        r->use_at[i] = use.n;
        sched_uses(&r->s, r->s.items[i].node);
        for (uint32_t k = 0; k < r->s.uses.n; k++)
            if (sched_item_of(&r->s, r->s.uses.at[k].i)) *ADV_PUSH(mem, &use) = r->s.uses.at[k].i;
    }
    r->use_at[r->s.n] = use.n;
    r->use = use.at;
    for (uint32_t i = 0; i < r->s.n; i++) {
        AdvRegionId body = adv_node(t->g, r->s.items[i].node)->body;
        if (!body.i) continue;
        r->body[i] = open_place(t, body);
        r->inside[i] = peak_of(t, r->body[i]);
    }
    return r;
}

/* ---- candidates ---------------------------------------------------------------------------------------------------- */

static bool is_candidate(const Place *r, uint32_t i) { return r->program[i] && !r->list[i]; }

/* From behind all that a candidate needs, and all reads, to before all that need it, and all writes. */
static void find_room(Place *r)
{
    for (uint32_t i = 0; i < r->s.n; i++) {
        if (!is_candidate(r, i)) continue;
        r->early[i] = r->n_reads;
        r->late[i] = r->s.n - r->n_ends;
        for (uint32_t e = r->s.items[i].before; e; e = r->s.edges.at[e].next) {
            uint32_t behind = r->at[r->s.edges.at[e].to] + 1;
            if (behind > r->early[i]) r->early[i] = behind;
        }
        for (uint32_t e = r->s.items[i].after; e; e = r->s.edges.at[e].next)
            if (r->at[r->s.edges.at[e].to] < r->late[i]) r->late[i] = r->at[r->s.edges.at[e].to];
    }
}

static bool is_linked(const Place *r, uint32_t first, uint32_t number)
{
    for (uint32_t e = first; e; e = r->s.edges.at[e].next)
        if (r->list[r->s.edges.at[e].to] == number) return true;
    return false;
}

/* ---- one list ------------------------------------------------------------------------------------------------------ */

/* Item `head` and all equal ones that can stand at position `at`, marked with a number of their own: t->members, in order. */
static void find_members(Gather *t, Place *r, uint32_t head, uint32_t at)
{
    uint32_t number = r->n_lists + 1;
    t->members.n = 0;
    r->list[head] = number;
    for (uint32_t k = 0, n = 1; k < r->s.n; k++) {
        uint32_t i = r->order[k];
        if (i != head) {
            const SchedItem *it = &r->s.items[i];
            if (n == ADV_PLAN_MAX_LIST) continue;
            if (!is_candidate(r, i) || r->program[i] != r->program[head]) continue;
            if (r->early[i] > at || r->late[i] < at || is_linked(r, it->before, number) || is_linked(r, it->after, number)) continue;
            r->list[i] = number;
            n++;
        }
        *ADV_PUSH(t->p->scratch, &t->members) = i;
    }
}

/* Where among the places that all members share: early if they free more than they take, else late. */
static uint32_t choose_place(const Gather *t, const Place *r)
{
    uint64_t takes = 0, frees = 0;
    uint32_t from = 0, to = r->s.n;
    for (uint32_t m = 0; m < t->members.n; m++) {
        uint32_t i = t->members.at[m];
        const AdvNode *n = adv_node(t->g, r->s.items[i].node);
        if (r->early[i] > from) from = r->early[i];
        if (r->late[i] < to) to = r->late[i];
        for (uint32_t o = 0; o < n->n_out; o++) takes += t->bytes[n->out_at + o];
        for (uint32_t u = r->use_at[i]; u < r->use_at[i + 1]; u++)
            if (r->s.left[r->use[u]] == 1) frees += t->bytes[r->use[u]];
    }
    assert(from <= to);
    return takes > frees ? to : from;
}

/* The members, which are marked, at the gap before position `at`; what stands between keeps its order. */
static void move_members(Gather *t, Place *r, uint32_t at)
{
    AdvArenaMark mark = adv_arena_mark(t->p->scratch);
    uint32_t *was = ADV_NEW_ARRAY(t->p->scratch, uint32_t, r->s.n), n = 0, number = r->list[t->members.at[0]];
    if (r->s.n) memcpy(was, r->order, r->s.n * sizeof *was);
    for (uint32_t k = 0; k <= r->s.n; k++) {
        for (uint32_t m = 0; k == at && m < t->members.n; m++) r->order[n++] = t->members.at[m];
        if (k < r->s.n && r->list[was[k]] != number) r->order[n++] = was[k];
    }
    assert(n == r->s.n);
    for (uint32_t k = 0; k < n; k++) r->at[r->order[k]] = k;
    adv_arena_release(t->p->scratch, mark);
}

/* Moves the members together, unless that takes too much memory. */
static bool join_members(Gather *t, Place *r, uint64_t limit)
{
    AdvArenaMark mark = adv_arena_mark(t->p->scratch);
    uint32_t *was = ADV_NEW_ARRAY(t->p->scratch, uint32_t, r->s.n);
    bool fits;
    memcpy(was, r->order, r->s.n * sizeof *was);
    move_members(t, r, choose_place(t, r));
    fits = peak_of(t, r) <= limit;
    if (!fits) {
        memcpy(r->order, was, r->s.n * sizeof *was);
        for (uint32_t k = 0; k < r->s.n; k++) r->at[was[k]] = k;
    }
    adv_arena_release(t->p->scratch, mark);
    return fits;
}

/* Makes the list of `head` at position `at` or near it, if there are others. */
static void make_list(Gather *t, Place *r, uint32_t head, uint32_t at, uint64_t limit)
{
    find_members(t, r, head, at);
    if (t->members.n > 1 && join_members(t, r, limit)) {
        r->n_lists++;
        t->changed = true;
        find_room(r);
    } else {
        for (uint32_t m = 0; m < t->members.n; m++) r->list[t->members.at[m]] = 0;
    }
}

/* All lists, from the front: the candidate with the first latest place; or from the back: the one with the last earliest place. */
static void make_lists(Gather *t, Place *r, bool from_front, uint64_t limit)
{
    if (r->s.n) memset(r->is_tried, 0, r->s.n * sizeof *r->is_tried);
    find_room(r);
    for (;;) {
        uint32_t head = r->s.n, at = 0;
        for (uint32_t k = 0; k < r->s.n; k++) {
            uint32_t i = r->order[k], here;
            if (r->is_tried[i] || !is_candidate(r, i)) continue;
            here = from_front ? r->late[i] : r->early[i];
            if (head < r->s.n && (from_front ? here >= at : here < at)) continue;
            head = i;
            at = here;
        }
        if (head == r->s.n) return;
        r->is_tried[head] = 1;
        make_list(t, r, head, at, limit);
    }
}

/* ---- the pass ------------------------------------------------------------------------------------------------------ */

static void gather_place(Gather *t, Place *r, uint64_t limit)
{
    AdvRegion *reg = adv_region(t->g, r->s.region);
    for (uint32_t i = 0; i < r->s.n; i++) {
        if (!r->body[i]) continue;
        gather_place(t, r->body[i], r->inside[i]);
        r->inside[i] = peak_of(t, r->body[i]);
    }
    make_lists(t, r, true, limit);
    make_lists(t, r, false, limit);
    for (uint32_t k = 0; k < r->s.n; k++) {
        uint32_t i = r->order[k];
        reg->nodes.at[k] = r->s.items[i].node;
        t->g->nodes.at[reg->nodes.at[k].i].with_prev = k && r->list[i] && r->list[i] == r->list[r->order[k - 1]];
    }
}

bool adv_pass_gather(AdvPassCtx *p, AdvGraph *g)
{
    Gather t = {.p = p, .g = g};
    Place **entry;
    uint64_t limit = 0;
    if (!p->target || !(p->target->fuses & ADV_FUSE_LISTS)) return false;
    entry = ADV_NEW_ARRAY(p->scratch, Place *, g->entries.n);
    t.root = ADV_NEW_ARRAY(p->scratch, uint32_t, g->values.n);
    t.first = ADV_NEW_ARRAY(p->scratch, uint32_t, g->values.n);
    t.last = ADV_NEW_ARRAY(p->scratch, uint32_t, g->values.n);
    t.bytes = ADV_NEW_ARRAY(p->scratch, uint64_t, g->values.n);
    for (uint32_t e = 0; e < g->entries.n; e++) {
        uint64_t most;
        entry[e] = open_place(&t, g->entries.at[e]);
        most = peak_of(&t, entry[e]);
        if (most > limit) limit = most;
    }
    for (uint32_t e = 0; e < g->entries.n; e++) gather_place(&t, entry[e], limit);
    return t.changed;
}
