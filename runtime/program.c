/* program.c: interprets the program of a plan: epochs, phases, steps, evaluations, kept weights, stop rule.
**
** adv_session_train moves an AdvPlace on, one step or one batch of an evaluation at a time, and looks between two moves
** whether a stop was asked for or a checkpoint is due. So every place is one where a run can end and be resumed.
**
** After an epoch the evaluations that are due run in the program's order; then the kept result is looked at (higher is
** better; the states are copied when it improves); then the entry `after_epoch` runs; then the stop rule is read. At the end
** the evaluations without `every` run on the last weights, and on the kept ones if those are others.
**
** A logged value that is not finite ends the run. To say where it came from, the states are copied every ADV_RUN_AHEAD steps
** (one memory copy); the run goes back to the last copy and repeats the steps since, the last one under ADV_CHECK_FINITE.
**
** A step on another device is put in line, and the host looks at what several logged at once, so that the device never waits for
** it. What a run leaves behind is the same as if it had looked after each step.
**
** A line of events.jsonl that cannot be written never keeps the place behind the states: the place moves first, the failure is the
** call's answer once both agree, and the line is lost.
*/
#include "runtime/run.h"

#include "ops/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define AHEAD_NS UINT64_C(250000000) /* of work in line at most: a stop is obeyed after it */
#define MAX_COUNTED_CLASSES 1024     /* with more, evaluations do not count by class */

static const AdvSpan no_place = {0, 0, 0};

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

static void *take(AdvRun *r, uint64_t n, size_t elem_bytes, bool *ok)
{
    uint64_t bytes;
    void *p = NULL;
    if (__builtin_mul_overflow(n ? n : 1, (uint64_t)elem_bytes, &bytes) || bytes > SIZE_MAX / 2) *ok = false;
    else p = adv_mem_new0(&r->s->ctx->alloc, (size_t)bytes);
    if (!p) *ok = false;
    return p;
}

static void drop(AdvRun *r, void *p, uint64_t n, size_t elem_bytes)
{
    if (p) adv_mem_free(&r->s->ctx->alloc, p, (size_t)((n ? n : 1) * elem_bytes));
}

static int64_t log_cap(const AdvRun *r, uint32_t i)
{
    return r->p->logs[i].kind == ADV_METRIC_SAMPLE ? r->p->steps * adv_type_elems(&r->s->t->state_types[r->p->logs[i].state]) : 0;
}

/* Sizes that follow from the program. */
static void measure(AdvRun *r)
{
    const AdvSession *s = r->s;
    r->n_classes = r->p->classes <= MAX_COUNTED_CLASSES ? r->p->classes : 0;
    for (uint32_t i = 0; i < r->p->n_evals; i++) {
        const AdvProgEval *e = &r->p->evals[i];
        r->n_max_rows += 2 * e->n_stages;
        if (e->n > r->n_max_eval) r->n_max_eval = e->n;
        if (e->batch > r->n_slot) r->n_slot = e->batch;
    }
    for (uint32_t i = 0; i < r->p->n_logs; i++) {
        int64_t n = adv_type_elems(&s->t->state_types[r->p->logs[i].state]);
        if (n > r->n_slot) r->n_slot = n;
    }
    if (r->n_slot < r->n_classes) r->n_slot = r->n_classes;
    if (r->n_slot < 8) r->n_slot = 8;
    for (uint32_t i = 0; i < s->plan->n_states; i++)
        if (adv_state_is_saved(s, i)) r->saved_bytes += s->states[i].n_bytes;
}

static void take_tally(AdvRun *r, AdvTally *t, bool *ok)
{
    uint64_t n_rows = r->n_max_rows, n_cls = 2 * ((uint64_t)r->n_classes + 1);
    t->row_ints = take(r, n_rows, sizeof *t->row_ints, ok);
    t->row_nums = take(r, n_rows, sizeof *t->row_nums, ok);
    t->row_classes = take(r, n_rows * n_cls, sizeof *t->row_classes, ok);
    t->classes = take(r, n_cls, sizeof *t->classes, ok);
    t->flags = take(r, (uint64_t)r->n_max_eval, sizeof *t->flags, ok);
    t->todo = take(r, (uint64_t)r->n_max_eval, sizeof *t->todo, ok);
}

static void drop_tally(AdvRun *r, const AdvTally *t)
{
    uint64_t n_rows = r->n_max_rows, n_cls = 2 * ((uint64_t)r->n_classes + 1);
    drop(r, t->row_ints, n_rows, sizeof *t->row_ints);
    drop(r, t->row_nums, n_rows, sizeof *t->row_nums);
    drop(r, t->row_classes, n_rows * n_cls, sizeof *t->row_classes);
    drop(r, t->classes, n_cls, sizeof *t->classes);
    drop(r, t->flags, (uint64_t)r->n_max_eval, sizeof *t->flags);
    drop(r, t->todo, (uint64_t)r->n_max_eval, sizeof *t->todo);
}

static bool take_all(AdvRun *r)
{
    bool ok = true;
    r->logs = take(r, r->p->n_logs, sizeof *r->logs, &ok);
    r->metrics = take(r, r->p->n_logs, sizeof *r->metrics, &ok);
    take_tally(r, &r->tally, &ok);
    take_tally(r, &r->aside, &ok);
    r->rows = take(r, r->n_max_rows, sizeof *r->rows, &ok);
    r->told = take(r, r->n_max_rows, sizeof *r->told, &ok);
    r->slot = take(r, (uint64_t)r->n_slot, 2 * sizeof(int64_t), &ok);
    for (uint32_t i = 0; ok && i < r->p->n_logs; i++) {
        r->logs[i].cap = log_cap(r, i);
        if (r->logs[i].cap) r->logs[i].values = take(r, (uint64_t)r->logs[i].cap, sizeof(float), &ok);
    }
    if (r->p->keep) {
        r->best_mem = take(r, r->saved_bytes, 1, &ok);
        r->last_mem = take(r, r->saved_bytes, 1, &ok);
    }
    r->snap_mem = r->s->snap_mem;
    if (!r->snap_mem && !r->s->be->does_nothing && r->p->n_logs) r->snap_mem = take(r, r->s->state_bytes, 1, &ok);
    if (r->s->ring_bytes) r->ring = take(r, r->s->ring_bytes, 1, &ok);
    return ok;
}

void adv_run_close(AdvSession *s)
{
    AdvRun *r = s->run;
    if (!r) return;
    for (uint32_t i = 0; r->logs && i < r->p->n_logs; i++) drop(r, r->logs[i].values, (uint64_t)r->logs[i].cap, sizeof(float));
    drop(r, r->logs, r->p->n_logs, sizeof *r->logs);
    drop(r, r->metrics, r->p->n_logs, sizeof *r->metrics);
    drop_tally(r, &r->tally);
    drop_tally(r, &r->aside);
    drop(r, r->rows, r->n_max_rows, sizeof *r->rows);
    drop(r, r->told, r->n_max_rows, sizeof *r->told);
    drop(r, r->slot, (uint64_t)r->n_slot, 2 * sizeof(int64_t));
    drop(r, r->best_mem, r->saved_bytes, 1);
    drop(r, r->last_mem, r->saved_bytes, 1);
    if (r->snap_mem != s->snap_mem) drop(r, r->snap_mem, s->state_bytes, 1);
    drop(r, r->ring, s->ring_bytes, 1);
    adv_mem_free(&s->ctx->alloc, r, sizeof *r);
    s->run = NULL;
}

/* The session's run, made when first asked for. */
static AdvStatus run_of(AdvSession *s, AdvDiags *ds, AdvRun **out)
{
    AdvRun *r = s->run;
    if (!r) {
        r = adv_mem_new0(&s->ctx->alloc, sizeof *r);
        if (!r) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while starting the program");
        s->run = r;
        r->s = s;
        r->p = s->plan->prog;
        r->events_fd = -1;
        r->snap_step = r->prev_best_step = -1;
        r->at.where = r->p->epochs ? ADV_AT_STEPS : ADV_AT_FINAL;
        r->at.epoch = r->p->epochs ? 1 : 0;
        r->at.eval = r->at.stage = -1;
        r->n_ahead = 1;
        measure(r);
        if (!take_all(r)) {
            adv_run_close(s);
            return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while starting the program");
        }
    }
    *out = r;
    return ADV_OK;
}

AdvStatus adv_run_store(AdvRun *r, char *mem)
{
    for (uint32_t i = 0; i < r->s->plan->n_states; i++) {
        if (!adv_state_is_saved(r->s, i)) continue;
        ADV_TRY(adv_session_get_bytes(r->s, i, mem));
        mem += r->s->states[i].n_bytes;
    }
    return ADV_OK;
}

AdvStatus adv_run_restore(AdvRun *r, const char *mem)
{
    for (uint32_t i = 0; i < r->s->plan->n_states; i++) {
        if (!adv_state_is_saved(r->s, i)) continue;
        ADV_TRY(adv_session_put_bytes(r->s, i, mem));
        mem += r->s->states[i].n_bytes;
    }
    return ADV_OK;
}

/* ---- events ---------------------------------------------------------------------------------------------------------- */

static uint64_t now_ns(const AdvRun *r)
{
    return r->o.clock_ns ? r->o.clock_ns(r->o.user) : adv_ctx_now(r->s->ctx);
}

void adv_run_event(AdvRun *r, AdvEvent *e)
{
    if (!r->o.progress) return;
    e->struct_size = sizeof *e;
    e->epoch = r->at.epoch;
    e->n_epochs = r->p->epochs;
    e->total_step = r->at.total_step;
    e->n_total = r->p->epochs * r->p->steps;
    e->elapsed_ns = now_ns(r) - r->begin_ns;
    r->s->is_busy = true;
    if (r->o.progress(r->o.user, e)) r->wants_stop = true;
    r->s->is_busy = false;
}

static void say_entry(AdvRun *r, const char *name)
{
    AdvEvent e = {.kind = ADV_EVENT_ENTRY, .step = r->at.step, .n_steps = r->p->steps, .text = name};
    if (r->o.flags & ADV_TRAIN_ENTRIES) adv_run_event(r, &e);
}

AdvStatus adv_run_entry(AdvRun *r, const char *name, AdvDiags *ds)
{
    uint32_t ix = adv_plan_entry(r->s->plan, r->s->t, name);
    ADV_TRY(adv_session_run_entry(r->s, ix, ds));
    say_entry(r, name);
    return ADV_OK;
}

/* ---- steps ----------------------------------------------------------------------------------------------------------- */

/* Before the next n steps: a copy of the states that is at most ADV_RUN_AHEAD steps older than the last of them. */
static AdvStatus take_snapshot(AdvRun *r, int64_t n)
{
    if (!r->snap_mem) return ADV_OK;
    if (r->snap_step >= 0 && r->at.step + n - r->snap_step <= ADV_RUN_AHEAD && r->at.step > r->snap_step) return ADV_OK;
    r->snap_step = r->at.step;
    return r->s->be->copy(r->s->self, r->snap_mem, r->s->state_mem, r->s->state_bytes, ADV_ON_DEVICE);
}

static AdvStatus run_step_entries(AdvRun *r, AdvDiags *ds)
{
    const AdvProgPhase *ph = adv_program_phase(r->p, r->at.epoch);
    for (uint32_t i = 0; i < ph->n_entries; i++) ADV_TRY(adv_run_entry(r, ph->entries[i], ds));
    return ADV_OK;
}

/* Says which instruction made a logged value bad: repeats the steps since the last snapshot, the last one checked. */
static AdvStatus explain_bad(AdvRun *r, uint32_t log, AdvDiags *ds)
{
    AdvSession *s = r->s;
    double x = r->logs[log].last;
    AdvDiag *d = adv_diag(ds, ADV_D_LOG_NOT_FINITE, no_place, "`%s` became %s at step %lld of epoch %lld", r->p->logs[log].name,
                          isnan(x) ? "NaN" : "infinite", (long long)r->at.step + 1, (long long)r->at.epoch);
    if (!r->snap_mem || r->snap_step < 0) return ADV_ENUMERIC;
    AdvTrainOpts o = r->o;
    int32_t check = s->check;
    AdvStatus st = s->be->copy(s->self, s->state_mem, r->snap_mem, s->state_bytes, ADV_ON_DEVICE);
    r->o.flags = 0;   /* repeated steps are no events */
    r->o.progress = NULL;
    s->check = ADV_CHECK_OFF;
    for (int64_t k = r->snap_step; st == ADV_OK && k < r->at.step; k++) st = run_step_entries(r, NULL);
    if (st == ADV_OK) {
        s->check = ADV_CHECK_FINITE;
        st = run_step_entries(r, ds); /* its message names the line */
        if (st == ADV_OK)
            adv_diag_note(d, adv_fault_span(s->plan, ds, adv_fault_writer(s, 0, s->t->n_insts, r->p->logs[log].state)),
                          "computed here, of states that were not finite when the step began");
    }
    s->check = check;
    r->o = o;
    return ADV_ENUMERIC;
}

static AdvStatus open_epoch(AdvRun *r, AdvDiags *ds)
{
    const AdvProgPhase *ph = adv_program_phase(r->p, r->at.epoch);
    adv_logs_reset(r);
    ADV_TRY(adv_session_put_number(r->s, r->p->epoch_state, (double)r->at.epoch));
    ADV_TRY(adv_session_put_number(r->s, r->p->step_state, 0));
    if (ph->epoch) ADV_TRY(adv_run_entry(r, ph->epoch, ds));
    r->at.is_epoch_open = 1;
    r->snap_step = -1;
    return ADV_OK;
}

static AdvStatus end_epoch(AdvRun *r, AdvDiags *ds)
{
    adv_logs_epoch(r);
    adv_logs_tell_bounds(r);
    ADV_TRY(adv_events_epoch(r, ds));
    AdvEvent e = {.kind = ADV_EVENT_EPOCH, .step = r->at.step, .n_steps = r->p->steps, .metrics = r->metrics, .n_metrics = r->n_metrics};
    adv_run_event(r, &e);
    r->at.is_epoch_open = 0;
    r->at.where = ADV_AT_EVALS;
    r->at.eval = r->at.stage = -1;
    return ADV_OK;
}

/* What the host does about a step that ran: the k-th of those just done. A line that cannot be written stops nothing, since the
** states are those behind the last of these steps already: *told is the first such failure, and no line follows it. */
static AdvStatus account(AdvRun *r, int64_t k, AdvStatus *told, AdvDiags *ds)
{
    uint32_t log = 0;
    AdvStatus st = adv_logs_add(r, k, &log);
    if (st == ADV_ENUMERIC) return explain_bad(r, log, ds);
    ADV_TRY(st);
    r->at.step++;
    r->at.total_step++;
    adv_logs_step(r);
    if (*told == ADV_OK) *told = adv_events_step(r, ds);
    AdvEvent e = {.kind = ADV_EVENT_STEP, .step = r->at.step, .n_steps = r->p->steps, .metrics = r->metrics, .n_metrics = r->n_metrics};
    adv_run_event(r, &e);
    return ADV_OK;
}

/* How many steps to do before the host looks: one on the host, and where a source makes it wait for each batch anyway; on other
** devices up to ADV_RUN_AHEAD while that takes less than a quarter of a second, so that a stop is obeyed soon; and never past a
** place where a checkpoint or the caller waits. */
static int64_t steps_at_once(const AdvRun *r, int64_t last)
{
    bool is_one = r->s->be->is_host || r->s->be->does_nothing || r->s->feeds;
    int64_t n = is_one ? 1 : r->n_ahead, every = (int64_t)r->o.save_every_steps;
    if (r->o.flags & ADV_TRAIN_ENTRIES) n = 1;
    if (n > r->p->steps - r->at.step) n = r->p->steps - r->at.step;
    if (n > last - r->at.total_step) n = last - r->at.total_step;
    if (every > 0 && n > every - r->at.total_step % every) n = every - r->at.total_step % every;
    return n;
}

static void adapt(AdvRun *r, uint64_t ns)
{
    if (ns < AHEAD_NS / 2 && r->n_ahead < ADV_RUN_AHEAD) r->n_ahead *= 2;
    else if (ns > AHEAD_NS && r->n_ahead > 1) r->n_ahead /= 2;
}

static AdvStatus do_steps(AdvRun *r, int64_t last, AdvDiags *ds)
{
    if (!r->at.is_epoch_open) ADV_TRY(open_epoch(r, ds));
    if (r->at.step < r->p->steps) {
        int64_t n = steps_at_once(r, last);
        uint64_t t0 = now_ns(r);
        ADV_TRY(take_snapshot(r, n));
        for (int64_t k = 0; k < n; k++) {
            ADV_TRY(run_step_entries(r, ds));
            ADV_TRY(adv_logs_stage(r, k));
        }
        ADV_TRY(adv_logs_fetch(r));
        adapt(r, now_ns(r) - t0);
        AdvStatus told = ADV_OK;
        for (int64_t k = 0; k < n; k++) ADV_TRY(account(r, k, &told, ds));
        ADV_TRY(told);
    }
    return r->at.step >= r->p->steps ? end_epoch(r, ds) : ADV_OK;
}

/* ---- after an epoch -------------------------------------------------------------------------------------------------- */

/* Was the kept result computed after this epoch? A result that no evaluation makes is a logged value: then always. */
static bool keep_is_new(const AdvRun *r)
{
    bool is_result = false;
    for (uint32_t i = 0; i < r->p->n_evals; i++)
        for (uint32_t k = 0; k < r->p->evals[i].n_stages; k++) {
            if (r->p->evals[i].stages[k].result != r->p->keep_state) continue;
            is_result = true;
            if (adv_eval_is_due(r, i)) return true;
        }
    return !is_result;
}

static AdvStatus look_at_best(AdvRun *r, bool *out_is_best)
{
    double value;
    *out_is_best = false;
    if (!r->p->keep || !keep_is_new(r)) return ADV_OK;
    ADV_TRY(adv_session_get_number(r->s, r->p->keep_state, &value));
    if (isnan(value) || (r->at.best_epoch && value <= r->sums.best)) return ADV_OK;
    r->sums.best = value;
    r->at.best_epoch = r->at.epoch;
    r->at.best_step = r->at.total_step;
    r->best_is_unsaved = *out_is_best = true;
    return adv_run_store(r, r->best_mem);
}

static AdvStatus next_epoch(AdvRun *r, AdvDiags *ds)
{
    double stop = 0;
    bool is_best;
    ADV_TRY(look_at_best(r, &is_best));
    if (r->p->after_epoch) ADV_TRY(adv_run_entry(r, r->p->after_epoch, ds));
    ADV_TRY(adv_session_get_number(r->s, r->p->stop_state, &stop));
    bool is_last = r->at.epoch >= r->p->epochs, is_stopped = !is_last && stop != 0;
    AdvStatus told = is_best ? adv_events_note(r, "best", ds) : ADV_OK;
    if (told == ADV_OK && is_stopped) told = adv_events_note(r, "stop", ds);
    if (is_last || is_stopped) {
        r->at.where = ADV_AT_FINAL;
        r->at.eval = -1;
        r->at.n_rows = r->at.row_first = 0;
    } else {
        r->at.where = ADV_AT_STEPS;
        r->at.epoch++;
        r->at.step = 0;
    }
    return told;
}

/* Puts the kept weights in the place of the last ones, or back. */
static AdvStatus swap_best(AdvRun *r, bool to_best)
{
    if (r->is_swapped == to_best) return ADV_OK;
    if (to_best) {
        r->best_event_bytes = r->at.event_bytes;
        ADV_TRY(adv_run_store(r, r->last_mem));
    }
    ADV_TRY(adv_run_restore(r, to_best ? r->best_mem : r->last_mem));
    r->is_swapped = to_best;
    return ADV_OK;
}

static AdvStatus finish(AdvRun *r, AdvDiags *ds)
{
    ADV_TRY(swap_best(r, false));
    r->at.where = ADV_AT_DONE;
    return adv_events_note(r, "end", ds);
}

/* Are weights kept that are others than the last? */
static bool has_best(const AdvRun *r) { return r->at.best_epoch && r->at.best_step != r->at.total_step; }

/* All due evaluations have run. */
static AdvStatus evals_ended(AdvRun *r, AdvDiags *ds)
{
    if (r->at.where == ADV_AT_EVALS) return next_epoch(r, ds);
    bool has_final = r->at.n_rows > 0;
    if (r->at.where == ADV_AT_FINAL && has_final && has_best(r)) {
        r->at.where = ADV_AT_FINAL_BEST;
        r->at.eval = -1;
        return swap_best(r, true);
    }
    return finish(r, ds);
}

static AdvStatus eval_ended(AdvRun *r, AdvDiags *ds)
{
    int64_t first = r->at.row_first, n = r->at.n_rows - first;
    adv_eval_rows(r, first, n);
    r->n_rows_told = (uint32_t)n;
    /* the file first: written anew when this is tried again, while a line would be there twice */
    if (r->at.where != ADV_AT_EVALS) ADV_TRY(adv_events_result(r, (uint32_t)r->at.eval, ds));
    ADV_TRY(adv_events_eval(r, first, n, ds));
    AdvEvent e = {.kind = ADV_EVENT_EVAL, .rows = r->rows, .n_rows = (uint32_t)n, .text = r->p->evals[r->at.eval].name};
    adv_run_event(r, &e);
    return ADV_OK;
}

/* One batch of the present evaluation; or the next evaluation that is due; or what follows the last. */
static AdvStatus do_eval(AdvRun *r, AdvDiags *ds)
{
    bool has_ended = false;
    if (r->at.where == ADV_AT_FINAL_BEST) ADV_TRY(swap_best(r, true));
    if (r->at.eval < 0 || r->at.stage < 0) {
        int64_t next = r->at.eval + 1;
        for (;; next++) {
            if (next < r->p->n_evals && r->at.where == ADV_AT_EVALS && r->p->evals[next].before)
                ADV_TRY(adv_run_entry(r, r->p->evals[next].before, ds));
            if (next >= r->p->n_evals || adv_eval_is_due(r, (uint32_t)next)) break;
        }
        if (next >= r->p->n_evals) return evals_ended(r, ds);
        adv_eval_begin(r, (uint32_t)next);
    }
    ADV_TRY(adv_eval_advance(r, ds, &has_ended));
    if (!has_ended) return ADV_OK;
    ADV_TRY(eval_ended(r, ds));
    r->at.stage = -1;
    return ADV_OK;
}

/* ---- the calls of adv.h ----------------------------------------------------------------------------------------------- */

static AdvStatus save_now(AdvRun *r, AdvDiags *ds)
{
    if (!r->o.run_dir) return ADV_OK;
    ADV_TRY(adv_checkpoint_save(r, r->o.run_dir, ds));
    r->saved_ns = now_ns(r);
    r->saved_step = r->at.total_step;
    char path[ADV_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", r->o.run_dir, r->this_dir);
    AdvEvent e = {.kind = ADV_EVENT_SAVED, .step = r->at.step, .n_steps = r->p->steps, .text = path};
    adv_run_event(r, &e);
    return ADV_OK;
}

static bool save_is_due(const AdvRun *r)
{
    if (!r->o.run_dir) return false;
    if (r->at.where == ADV_AT_DONE) return true;
    if (r->o.save_every_steps && r->at.where == ADV_AT_STEPS && r->at.total_step > r->saved_step &&
        (uint64_t)r->at.total_step % r->o.save_every_steps == 0) return true;
    return r->o.save_every_ns && now_ns(r) - r->saved_ns >= r->o.save_every_ns;
}

/* Leaves the evaluation of the kept weights, which then starts again: the states are the last ones, as in every checkpoint. */
static AdvStatus leave_best(AdvRun *r)
{
    int64_t n = 0;
    if (!r->is_swapped) return ADV_OK;
    ADV_TRY(swap_best(r, false));
    while (n < r->at.n_rows && !r->tally.row_ints[n].is_best) n++;
    r->at.eval = r->at.stage = -1;
    r->at.n_rows = r->at.row_first = n;
    r->at.event_bytes = r->best_event_bytes;
    return ADV_OK;
}

static AdvStatus stop_now(AdvRun *r, AdvDiags *ds)
{
    ADV_TRY(leave_best(r));
    ADV_TRY(save_now(r, ds));
    r->wants_stop = false;
    atomic_store(&r->s->cancelled, 0);
    return ADV_ECANCELLED;
}

/* Numbers that are none end the run; but no evaluation changes weights, and what was trained is not lost. */
static AdvStatus save_trained(AdvRun *r, AdvDiags *ds)
{
    ADV_TRY(leave_best(r));
    ADV_TRY(save_now(r, ds));
    return ADV_ENUMERIC;
}

/* at + n, or the most there is: the caller may ask for more than any run has. */
static int64_t later(int64_t at, uint64_t n)
{
    return n > (uint64_t)(INT64_MAX - at) ? INT64_MAX : at + (int64_t)n;
}

static AdvStatus move_on(AdvRun *r, AdvDiags *ds)
{
    int64_t last = r->o.max_steps ? later(r->at.total_step, r->o.max_steps) : INT64_MAX;
    int64_t last_epoch = r->o.max_epochs ? later(r->at.epoch, r->o.max_epochs - 1) : INT64_MAX;
    while (r->at.where != ADV_AT_DONE) {
        if (r->wants_stop || atomic_load(&r->s->cancelled)) return stop_now(r, ds);
        if (r->at.where == ADV_AT_STEPS && (r->at.total_step >= last || r->at.epoch > last_epoch)) return ADV_OK;
        AdvStatus st = r->at.where == ADV_AT_STEPS ? do_steps(r, last, ds) : do_eval(r, ds);
        ADV_TRY(r->is_eval_bad ? save_trained(r, ds) : st);
        if (!r->is_swapped && save_is_due(r)) ADV_TRY(save_now(r, ds));
    }
    return ADV_OK;
}

static AdvStatus start(AdvRun *r, AdvDiags *ds)
{
    if (r->at.is_started) return ADV_OK;
    bool has_init = r->s->has_init;
    ADV_TRY(adv_session_init(r->s, ds));
    if (!has_init && r->s->has_init) say_entry(r, "init");
    r->at.is_started = 1;
    return ADV_OK;
}

static void swap_tallies(AdvRun *r)
{
    AdvTally t = r->tally;
    r->tally = r->aside;
    r->aside = t;
}

/* Evaluation `ix` from its beginning to its end. */
static AdvStatus whole_eval(AdvRun *r, uint32_t ix, int64_t where, AdvDiags *ds)
{
    bool has_ended = false;
    r->at.where = where;
    adv_eval_begin(r, ix);
    while (!has_ended) {
        ADV_TRY(adv_eval_advance(r, ds, &has_ended));
        if (!has_ended && (r->wants_stop || atomic_load(&r->s->cancelled))) return ADV_ECANCELLED;
    }
    return eval_ended(r, ds);
}

/* On the weights as they are; for the file of results on the kept ones, too, so that it holds what it does at the end of a run. */
static AdvStatus eval_now(AdvRun *r, uint32_t ix, AdvDiags *ds)
{
    ADV_TRY(adv_session_put_number(r->s, r->p->epoch_state, (double)r->at.epoch));
    ADV_TRY(whole_eval(r, ix, ADV_AT_EVALS, ds)); /* rows start anew */
    if (!r->o.run_dir || !has_best(r)) return adv_events_result(r, ix, ds);
    ADV_TRY(swap_best(r, true));
    return whole_eval(r, ix, ADV_AT_FINAL_BEST, ds);
}

/* One evaluation, without moving the program's place or touching what its evaluations found. */
static AdvStatus only_eval(AdvRun *r, AdvDiags *ds)
{
    uint32_t ix = 0;
    while (ix < r->p->n_evals && strcmp(r->p->evals[ix].name, r->o.only_eval)) ix++;
    if (ix == r->p->n_evals) {
        AdvDiag *d = adv_diag(ds, ADV_D_OPTION, no_place, "the plan has no evaluation `%s`", r->o.only_eval);
        for (uint32_t i = 0; i < r->p->n_evals; i++) adv_diag_note(d, no_place, "it has `%s`", r->p->evals[i].name);
        return ADV_EINVAL;
    }
    AdvPlace kept = r->at;
    AdvSums sums = r->sums;
    swap_tallies(r);
    AdvStatus st = eval_now(r, ix, ds), back = swap_best(r, false);
    atomic_store(&r->s->cancelled, 0);
    swap_tallies(r);
    r->at = kept;
    r->sums = sums;
    return back == ADV_OK ? st : back;
}

/* After a resume at the end of a run: what its last epoch and its finished evaluations gave, as events once more, so that
** the caller sees the whole result. */
static void tell_again(AdvRun *r)
{
    if (!r->is_resumed || r->at.where < ADV_AT_FINAL) return;
    r->is_resumed = false;
    if (r->p->epochs > 0) {
        adv_logs_epoch(r);
        AdvEvent e = {
            .kind = ADV_EVENT_EPOCH, .step = r->at.step, .n_steps = r->p->steps, .metrics = r->metrics, .n_metrics = r->n_metrics};
        adv_run_event(r, &e);
    }
    int64_t end = r->at.where != ADV_AT_DONE && r->at.stage >= 0 ? r->at.row_first : r->at.n_rows;
    for (int64_t first = 0, n; first < end; first += n) {
        const AdvRowInts *x = &r->tally.row_ints[first];
        for (n = 1; first + n < end && x[n].eval == x->eval && x[n].is_best == x->is_best; n++) { }
        adv_eval_rows(r, first, n);
        AdvEvent e = {.kind = ADV_EVENT_EVAL, .rows = r->rows, .n_rows = (uint32_t)n, .text = r->p->evals[x->eval].name};
        adv_run_event(r, &e);
    }
}

static AdvStatus train(AdvRun *r, AdvDiags *ds)
{
    ADV_TRY(start(r, ds));
    if (r->o.only_eval) return only_eval(r, ds);
    tell_again(r);
    if (r->at.where == ADV_AT_DONE) return ADV_OK;
    ADV_TRY(adv_events_open(r, ds));
    AdvStatus st = move_on(r, ds);
    adv_events_close(r);
    return st;
}

/* An evaluation alone needs what it reads; the program all data there is, so that nothing ends hours later for want of a test set. */
static AdvStatus check_data(const AdvSession *s, const AdvTrainOpts *o, AdvDiags *ds)
{
    const AdvProgramDef *p = s->plan->prog;
    if (!s->n_unbound || s->be->does_nothing) return ADV_OK;
    for (uint32_t i = 0; !o->only_eval && i < s->plan->n_states; i++)
        if (!s->states[i].data) return adv_fail(ds, ADV_EINVAL, ADV_D_NOT_BOUND, "the data `%s` is not bound", adv_state_name(s, i));
    for (uint32_t i = 0; o->only_eval && i < p->n_evals; i++) {
        if (strcmp(p->evals[i].name, o->only_eval)) continue;
        for (uint32_t k = 0; k < p->evals[i].n_stages; k++)
            ADV_TRY(adv_session_check_bound(s, adv_plan_entry(s->plan, s->t, p->evals[i].stages[k].entry), ds));
    }
    return ADV_OK;
}

AdvStatus adv_session_train(AdvSession *s, const AdvTrainOpts *opts, AdvDiags *ds)
{
    AdvTrainOpts o;
    AdvRun *r = NULL;
    ADV_TRY(adv_session_ready(s, ds));
    ADV_TRY(adv_opts_read(opts, sizeof o, ADV_TRAIN_ENTRIES, &o, ds));
    ADV_TRY(check_data(s, &o, ds));
    ADV_TRY(run_of(s, ds, &r));
    r->o = o;
    r->wants_stop = r->is_eval_bad = false;
    r->begin_ns = r->saved_ns = now_ns(r);
    r->saved_step = r->at.total_step;
    r->snap_step = -1;   /* the caller may have written states */
    AdvStatus st = train(r, ds);
    /* files that cannot be written, and evaluations, leave states and place whole: the caller may save elsewhere and go on */
    bool is_whole = st == ADV_OK || st == ADV_ECANCELLED || (st == ADV_EINVAL && o.only_eval) ||
                    ((st == ADV_EIO || r->is_eval_bad) && leave_best(r) == ADV_OK);
    if (is_whole) {
        AdvStatus done = s->be->sync(s->self); /* whatever it was: the caller may free what is bound once this has returned */
        is_whole = done == ADV_OK;
        if (!is_whole) st = done;
    }
    if (!is_whole) {
        s->is_poisoned = true;
        adv_device_fault(s, st, ds);
    }
    memset(&r->o, 0, sizeof r->o);
    return st;
}

AdvStatus adv_session_step(AdvSession *s, uint64_t n_steps, AdvDiags *ds)
{
    AdvTrainOpts o = {.struct_size = sizeof o, .max_steps = n_steps};
    if (!n_steps) return ADV_OK;
    return adv_session_train(s, &o, ds);
}

AdvStatus adv_session_epoch(AdvSession *s, uint64_t n_epochs, AdvDiags *ds)
{
    AdvTrainOpts o = {.struct_size = sizeof o, .max_epochs = n_epochs};
    if (!n_epochs) return ADV_OK;
    return adv_session_train(s, &o, ds);
}

AdvStatus adv_session_eval(AdvSession *s, const char *eval, AdvDiags *ds, const AdvEvalRow **out_rows, uint32_t *out_n_rows)
{
    AdvTrainOpts o = {.struct_size = sizeof o, .only_eval = eval};
    ADV_NEED(ds, out_rows && out_n_rows, "where the rows go");
    *out_rows = NULL;
    *out_n_rows = 0;
    ADV_NEED(ds, eval, "the name of the evaluation");
    ADV_TRY(adv_session_train(s, &o, ds));
    *out_rows = s->run->rows;
    *out_n_rows = s->run->n_rows_told;
    return ADV_OK;
}

int adv_session_is_done(const AdvSession *s)
{
    return s && s->run && s->run->at.where == ADV_AT_DONE;
}

AdvStatus adv_session_save(AdvSession *s, const char *dir, AdvDiags *ds)
{
    AdvRun *r = NULL;
    ADV_TRY(adv_session_ready(s, ds));
    ADV_NEED(ds, dir, "the folder");
    ADV_TRY(run_of(s, ds, &r));
    return adv_checkpoint_save(r, dir, ds);
}

AdvStatus adv_session_resume(AdvSession *s, const char *dir, AdvDiags *ds)
{
    AdvRun *r = NULL;
    ADV_TRY(adv_session_ready(s, ds));
    ADV_NEED(ds, dir, "the folder");
    ADV_TRY(run_of(s, ds, &r));
    ADV_TRY(adv_session_settle(s, adv_checkpoint_load(r, dir, ds), ds));
    s->has_init = true; /* all that is saved has its values */
    return ADV_OK;
}
