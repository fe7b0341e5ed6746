/* entry.c: an entry of the plan while it is made: its region, the versions of states in it, and what it logs.
**
** world.now[state] is the version that a read finds; one is made at the entry's start when it is first asked for, and what it is at
** the end is written. versions keeps all of them, since a gradient is by the version that a value was computed with.
*/
#include "compiler/elab/elab.h"
#include "runtime/base/hash.h"

#include <string.h>

/* ---- begin and end ---- */

void el_entry_begin(El *el, const char *name, AdvSpan at, int64_t n_batch)
{
    static const ElVal none = {0};
    ElFrame *root = ADV_NEW(el->arena, ElFrame);
    root->what = "";
    root->place = adv_hash_str(ADV_HASH_START, el->in_eval ? "eval" : "step");
    el->frame = root;
    el->entry = el->region = adv_entry_new(el->g, adv_intern(el->names, name), adv_loc_source(el->g, at));
    el->world = (ElWorld){ADV_NEW_ARRAY(el->arena, AdvValueId, el->g->states.n + 64), el->g->states.n + 64};
    el->turns = el->replay = NULL;
    el->serial++;
    el->memos.n = 0;
    el->versions.n = 0;
    el->pending.n = 0;
    el->cons = NULL;
    el->n_cons = el->cap_cons = 0;
    el->n_batch = n_batch;
    el->x = el->y = el->ids = el->mask = el->budget_eps = none;
    el->budget_done = el->budget_envelope = false;
}

void el_entry_end(El *el)
{
    AdvGraphBuild b = el_build(el, (AdvSpan){el->recipe->file, 0, 0});
    for (uint32_t s = 1; s < el->g->states.n && s < el->world.n; s++) {
        AdvValueId v = el->world.now[s];
        AdvStateId id = {s};
        if (!v.i) continue;
        AdvNodeId def = adv_value(el->g, v)->def;
        if (def.i && adv_node_is(el->g, def, "read") && adv_node(el->g, def)->state.i == s) continue;
        b.loc = def.i ? adv_node(el->g, def)->loc : b.loc;
        adv_build_write(&b, id, v);
    }
    el->frame = NULL;
}

/* ---- versions of states ---- */

static void world_hold(El *el, AdvStateId s)
{
    if (s.i < el->world.n) return;
    uint32_t n = s.i*2 + 64;
    AdvValueId *now = ADV_NEW_ARRAY(el->arena, AdvValueId, n);
    if (el->world.n) memcpy(now, el->world.now, el->world.n * sizeof *now);
    el->world = (ElWorld){now, n};
}

void el_version(El *el, AdvStateId s, AdvValueId v) { *ADV_PUSH(el->arena, &el->versions) = (ElVersion){s, v}; }

AdvValueId el_state(El *el, AdvStateId s)
{
    world_hold(el, s);
    if (el->world.now[s.i].i) return el->world.now[s.i];
    AdvGraphBuild b;
    adv_build_init(&b, el->g, el->entry, el->g->states.at[s.i].loc);
    if (adv_region(el->g, el->entry)->nodes.n) b.before = adv_region(el->g, el->entry)->nodes.at[0];
    AdvValueId v = adv_build_read(&b, s);
    const AdvState *st = &el->g->states.at[s.i];
    el->g->values.at[v.i].rate = st->kind == ADV_STATE_SLOT ? ADV_RATE_SAMPLE : ADV_RATE_BATCH;
    el->world.now[s.i] = v;
    el_version(el, s, v);
    return v;
}

void el_state_set(El *el, AdvStateId s, AdvValueId v)
{
    if (!v.i) return;
    world_hold(el, s);
    el->world.now[s.i] = v;
    el_version(el, s, v);
}

AdvStateId el_slot(El *el, const char *name, AdvTensorType t, uint8_t kind, bool saved)
{
    return el_slot_at(el, (AdvSpan){el->recipe->file, 0, 0}, name, t, kind, saved);
}

AdvStateId el_slot_at(El *el, AdvSpan at, const char *name, AdvTensorType t, uint8_t kind, bool saved)
{
    AdvStr n = adv_intern(el->names, name);
    AdvStateId s = adv_state_find(el->g, n);
    if (s.i) return s;
    s = adv_state_new(el->g, n, t, kind, saved, adv_loc_source(el->g, at));
    if (saved) *ADV_PUSH(el->arena, &el->inits) = (ElParam){.state = s, .init = EL_INIT_ZERO};
    return s;
}

/* ---- what the engine knows ---- */

/* The log of a state, made if there is none. */
static ElLog *log_of(El *el, AdvStr name, AdvStateId s, bool is_eps)
{
    for (uint32_t i = 0; i < el->logs.n; i++)
        if (el->logs.at[i].state.i == s.i) return &el->logs.at[i];
    ElLog *l = ADV_PUSH(el->arena, &el->logs);
    *l = (ElLog){.name = name, .state = s, .per_sample = el->g->states.at[s.i].type.rank == 1, .is_eps = is_eps};
    return l;
}

void el_log(El *el, AdvStr name, ElVal v, bool is_eps)
{
    if (v.kind == EL_NUMBER) return;  /* the same in every step: nothing to watch */
    AdvValueId g = el_graph(el, v);
    double num;
    if (!g.i || adv_value_number(el->g, g, &num)) return;
    AdvTensorType t = *adv_value_type(el->g, g);
    AdvStateId s = el_slot(el, adv_arena_printf(el->arena, "metric.%s", adv_str(el->names, name)), t, ADV_STATE_METRIC, false);
    if (!adv_shape_eq(&el->g->states.at[s.i].type, &t)) return;  /* another phase logs it with another rate: the first counts */
    el_state_set(el, s, el_n1(el, v.span, "stop_grad", g));  /* what a loop logs is in no gradient's way */
    ElLog *l = log_of(el, name, s, is_eps);
    if (!l->phases.n || l->phases.at[l->phases.n - 1].i != el->phase->name.i) *ADV_PUSH(el->arena, &l->phases) = el->phase->name;
}

AdvValueId el_counter(El *el, const char *name)
{
    return el_state(el, el_slot(el, name, el_type(ADV_I64, 0, NULL), ADV_STATE_SCALAR, true));
}

ElVal el_epoch(El *el, AdvSpan at)
{
    AdvAttr f32 = adv_attr_i(0);
    AdvValueId e = el_counter(el, "run.epoch");
    return el_tensor(el, el_node(el, at, "cast", &e, 1, &f32), ADV_RATE_EPOCH, EL_NUM, at);
}

/* Share of all steps, and replay turns, done. */
ElVal el_progress(El *el, AdvSpan at)
{
    AdvAttr f32 = adv_attr_i(0);
    uint8_t f = el->g->float_dtype;
    AdvValueId e = el_counter(el, "run.epoch"), s = el_counter(el, "run.step");
    AdvValueId done = el_n2(el, at, "sub", el_node(el, at, "cast", &e, 1, &f32), el_const(el, 1, f));
    AdvValueId step = el_node(el, at, "cast", &s, 1, &f32);
    if (el->replay) {
        AdvValueId turn = el_node(el, at, "cast", &el->replay->turn, 1, &f32);
        step = el_n2(el, at, "add", step, el_n2(el, at, "mul", turn, el_const(el, 1.0 / (double)el->replay->n, f)));
    }
    AdvValueId share = el_n2(el, at, "add", done, el_n2(el, at, "mul", step, el_const(el, 1.0 / (double)el->steps, f)));
    return el_tensor(el, el_n2(el, at, "mul", share, el_const(el, 1.0 / (double)el->epochs, f)), ADV_RATE_BATCH, EL_NUM, at);
}
