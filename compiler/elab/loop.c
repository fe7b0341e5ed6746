/* loop.c: loops of the language as `loop` nodes.
**
** A loop's body is elaborated into its own region. What it changes is only known afterwards: the states it writes, and the
** rate and shape its carried values need. So the body is elaborated again, with what was learnt, until nothing new comes up;
** earlier attempts stay behind as dead nodes. Three rounds suffice in practice; rates and sets only grow, so it ends.
*/
#include "compiler/elab/elab.h"

#include <string.h>

#define MAX_ROUNDS 12
#define MAX_TURNS  (INT64_C(1) << 40) /* of loops in one another: a draw counts them in a double, and no machine gets to the end */

/* What is known so far: the node carries n values of the recipe, then the states that its body writes. */
typedef struct Loop {
    AdvSpan at;
    int64_t n_turns;
    uint32_t n, n_states;
    ElVal *proto;           /* of each value: rate, sort, how many classes */
    AdvTensorType *type;
    AdvStateId *states;
} Loop;

/* One attempt, and what of `el` it must put back. */
typedef struct Attempt {
    AdvRegionId outer, inner;
    AdvNodeId node;
    ElWorld world;
    ElFrame frame;
    ElTurn turns;
} Attempt;

static void drop_node(El *el, AdvRegionId region, AdvNodeId node)
{
    AdvRegion *r = adv_region(el->g, region);
    for (uint32_t i = r->nodes.n; i-- > 0;)
        if (r->nodes.at[i].i == node.i) {
            memmove(&r->nodes.at[i], &r->nodes.at[i + 1], (r->nodes.n - 1 - i) * sizeof *r->nodes.at);
            r->nodes.n--;
            return;
        }
}

static AdvTensorType wanted(El *el, ElVal v, uint32_t rank, const int64_t *dim, bool has_n)
{
    uint8_t d = el->g->float_dtype;
    if (v.kind == EL_TENSOR && v.sort == EL_CLASS) d = ADV_I32;
    AdvTensorType t = {.dtype = d};
    if (has_n) t.dim[t.rank++] = el->n_batch;
    for (uint32_t i = 0; i < rank; i++) t.dim[t.rank++] = dim[i];
    return t;
}

/* A class index stays one, and a number a number: nothing holds both. */
static bool same_kind(El *el, ElVal proto, ElVal next)
{
    if ((proto.sort == EL_CLASS) == (next.sort == EL_CLASS)) return true;
    AdvDiag *d = el_diag(el, ADV_D_KIND, next.span, "a carried value keeps its kind, but this is %s, and it begins as %s",
                         el_describe(el, next), el_describe(el, proto));
    adv_diag_note(d, proto.span, "it begins here");
    adv_diag_help(d, "begin with a value of the kind that `<-` gives it, as in `carry c = y` for a class index");
    return false;
}

/* Raises rate, shape and kind of a carried value to hold `next` as well; true if that changed anything. */
static bool raise(El *el, ElVal *proto, AdvTensorType *type, ElVal next)
{
    bool changed = false, has_n = proto->rate == ADV_RATE_SAMPLE;
    uint32_t rank = type->rank - has_n, next_rank = el_rank(el, next);
    if (next.rate > proto->rate) { proto->rate = next.rate; changed = true; }
    int64_t dim[ADV_MAX_RANK] = {0};
    for (uint32_t i = 0; i < rank; i++) dim[i] = type->dim[i + has_n];
    if (next_rank > rank) changed = true;
    for (uint32_t i = 0; i < next_rank; i++) {
        int64_t d = el_dim(el, next, i);
        if (next_rank > rank || d > dim[i]) { changed |= next_rank <= rank && d > dim[i]; dim[i] = d; }
    }
    if (next_rank > rank) rank = next_rank;
    if (next.sort != proto->sort && proto->sort != EL_NUM) { proto->sort = EL_NUM; changed = true; }
    if (next.sort == EL_CLASS && next.n > proto->n) { proto->n = next.n; changed = true; }
    if (changed) *type = wanted(el, *proto, rank, dim, proto->rate == ADV_RATE_SAMPLE);
    return changed;
}

static ElVal carried_as(const ElVal *proto, AdvValueId t, AdvSpan at)
{
    uint32_t n = proto->sort == EL_CLASS ? proto->n : 0;
    return (ElVal){.kind = EL_TENSOR, .t = t, .rate = proto->rate, .sort = proto->sort, .n = n, .span = at};
}

static bool is_read(El *el, AdvValueId v)
{
    AdvNodeId def = adv_value(el->g, v)->def;
    return def.i && adv_node_is(el->g, def, "read");
}

static bool has_state(const Loop *l, uint32_t s)
{
    for (uint32_t i = 0; i < l->n_states; i++)
        if (l->states[i].i == s) return true;
    return false;
}

/* The values as tensors of the types they are carried with, and the states as `now` has them; false if one does not fit. */
static bool carried_values(El *el, const Loop *l, const ElVal *vals, AdvValueId *out)
{
    for (uint32_t k = 0; k < l->n; k++) {
        out[k] = el_broadcast(el, l->at, vals[k], l->type[k], l->proto[k].rate == ADV_RATE_SAMPLE);
        if (!out[k].i) return false;
    }
    for (uint32_t k = 0; k < l->n_states; k++) {
        out[l->n + k] = el_state(el, l->states[k]);
        if (!out[l->n + k].i) return false;
    }
    return true;
}

/* Makes the node and goes into its body, where carried values and states are the region's parameters. cur: the values there. */
static bool enter(El *el, const Loop *l, const ElVal *carried, Attempt *a, ElVal *cur)
{
    uint32_t n_first = l->n + l->n_states;
    AdvValueId *first = ADV_NEW_ARRAY(el->arena, AdvValueId, n_first + 1);
    a->outer = el->region;
    a->frame = *el->frame;
    a->world = el->world;
    if (!carried_values(el, l, carried, first)) return false;
    a->world = el->world; /* fitting may have read states */
    AdvGraphBuild b = el_build(el, l->at);
    a->node = adv_build_loop(&b, l->n_turns, first, n_first);
    a->inner = adv_node(el->g, a->node)->body;

    uint32_t n_world = el->g->states.n + 64 > a->world.n ? el->g->states.n + 64 : a->world.n;
    AdvValueId *now = ADV_NEW_ARRAY(el->arena, AdvValueId, n_world);
    memcpy(now, a->world.now, a->world.n * sizeof *now);
    el->world = (ElWorld){now, n_world};
    el->region = a->inner;
    a->turns = (ElTurn){adv_region(el->g, a->inner)->params.at[0], l->n_turns, el->turns};
    el->turns = &a->turns;
    for (uint32_t k = 0; k < l->n; k++) cur[k] = carried_as(&l->proto[k], adv_region(el->g, a->inner)->params.at[1 + k], carried[k].span);
    for (uint32_t k = 0; k < l->n_states; k++) {
        AdvValueId param = adv_region(el->g, a->inner)->params.at[1 + l->n + k];
        el->world.now[l->states[k].i] = param;
        el_version(el, l->states[k], param);
    }
    return true;
}

/* Adds the states that the body wrote and the loop does not carry yet; true if there are any. */
static bool learn_states(El *el, Loop *l, const Attempt *a)
{
    bool learnt = false;
    for (uint32_t s = 1; s < el->world.n && s < el->g->states.n; s++) {
        AdvValueId before = s < a->world.n ? a->world.now[s] : (AdvValueId){0}, now = el->world.now[s];
        if (now.i == before.i || has_state(l, s) || is_read(el, now)) continue; /* a read is first seen inside, not changed */
        AdvStateId *more = ADV_NEW_ARRAY(el->arena, AdvStateId, l->n_states + 1);
        if (l->n_states) memcpy(more, l->states, l->n_states * sizeof *more);
        more[l->n_states++] = (AdvStateId){s};
        l->states = more;
        learnt = true;
    }
    return learnt;
}

/* Back to the region outside. States first seen inside stay known: their reads stand at the entry's start. */
static void leave(El *el, Attempt *a)
{
    ElWorld inner = el->world;
    el->turns = a->turns.up;
    el->region = a->outer;
    el->world = a->world;
    if (el->world.n < inner.n) {
        AdvValueId *grown = ADV_NEW_ARRAY(el->arena, AdvValueId, inner.n);
        memcpy(grown, a->world.now, a->world.n * sizeof *grown);
        el->world = (ElWorld){grown, inner.n};
    }
    for (uint32_t s = 1; s < inner.n && s < el->g->states.n; s++)
        if (!el->world.now[s].i && inner.now[s].i && is_read(el, inner.now[s])) el->world.now[s] = inner.now[s];
}

/* As if the attempt had not been, but for the draws that it labelled. */
static void forget(El *el, const Attempt *a)
{
    AdvStr label = el->frame->label;
    drop_node(el, a->outer, a->node);
    *el->frame = a->frame;
    el->frame->label = label;
}

/* One attempt. *again: something was learnt, so the attempt is void. */
static bool loop_try(El *el, Loop *l, ElVal *carried, ElLoopBody *body, void *user, bool *again)
{
    Attempt *a = ADV_NEW(el->arena, Attempt); /* el->turns points into it */
    ElVal *cur = ADV_NEW_ARRAY(el->arena, ElVal, l->n + 1);
    *again = false;
    if (!enter(el, l, carried, a, cur)) return false;
    ElVal turn = {.kind = EL_TENSOR, .t = a->turns.turn, .rate = ADV_RATE_BATCH, .sort = EL_NUM, .span = l->at};
    bool ok = body(el, user, turn, cur);
    for (uint32_t k = 0; ok && k < l->n; k++) ok = same_kind(el, l->proto[k], cur[k]);
    if (ok) {
        for (uint32_t k = 0; k < l->n; k++) *again |= raise(el, &l->proto[k], &l->type[k], cur[k]);
        *again |= learn_states(el, l, a);
    }
    if (ok && !*again) {
        AdvValueId *next = ADV_NEW_ARRAY(el->arena, AdvValueId, l->n + l->n_states + 1);
        ok = carried_values(el, l, cur, next);
        if (ok) adv_build_yield(el->g, a->node, next, l->n + l->n_states);
    }
    leave(el, a);
    if (!ok || *again) {
        forget(el, a);
        return ok;
    }
    for (uint32_t k = 0; k < l->n; k++) {
        AdvValueId last = adv_node_out(el->g, a->node, k);
        carried[k] = carried_as(&l->proto[k], last, l->at);
        el->g->values.at[last.i].rate = l->proto[k].rate;
    }
    for (uint32_t k = 0; k < l->n_states; k++) el_state_set(el, l->states[k], adv_node_out(el->g, a->node, l->n + k));
    return true;
}

static bool turns_ok(El *el, AdvSpan at, int64_t n_turns)
{
    for (const ElTurn *t = el->turns; t; t = t->up) {
        if (n_turns > MAX_TURNS / t->n) {
            AdvDiag *d = el_diag(el, ADV_D_TOO_BIG, at, "with the loops around it this one turns more than 2^40 times");
            adv_diag_help(d, "give the loops fewer turns");
            return false;
        }
        n_turns *= t->n;
    }
    return true;
}

bool el_loop(El *el, AdvSpan at, int64_t n_turns, ElVal *carried, uint32_t n, ElLoopBody *body, void *user)
{
    if (!turns_ok(el, at, n_turns)) return false;
    Loop l = {.at = at, .n_turns = n_turns, .n = n};
    l.proto = ADV_NEW_ARRAY(el->arena, ElVal, n + 1);
    l.type = ADV_NEW_ARRAY(el->arena, AdvTensorType, n + 1);
    for (uint32_t k = 0; k < n; k++) {
        l.proto[k] = carried[k];
        int64_t dim[ADV_MAX_RANK] = {0};
        uint32_t rank = el_rank(el, carried[k]);
        for (uint32_t i = 0; i < rank; i++) dim[i] = el_dim(el, carried[k], i);
        l.type[k] = wanted(el, carried[k], rank, dim, carried[k].rate == ADV_RATE_SAMPLE);
    }
    for (int round = 0; round < MAX_ROUNDS; round++) {
        bool again;
        if (!loop_try(el, &l, carried, body, user, &again)) return false;
        if (!again) return true;
    }
    el_error(el, ADV_D_SHAPE_FIT, at, "the values this loop carries have no shape that holds them all");
    return false;
}
