/* eval.c: evaluations: stages of attacks over a split of the data, one batch at a time.
**
** A stage runs on all samples, or on those that every stage since the last one on all got right. Their ids are listed once a stage
** and run in full batches; the last is padded with its last id under a mask of 0, so that shapes stay fixed and every sample counts
** once. The accuracy of a stage is over all samples of the evaluation: those a stage did not run on are wrong already.
**
** Images or logits that are not finite have no accuracy: the evaluation ends, and the batch is run once more under ADV_CHECK_FINITE to
** say where they came from.
*/
#include "runtime/run.h"

#include "ops/view.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const AdvProgEval *eval_at(const AdvRun *r)
{
    return &r->p->evals[r->at.eval];
}

bool adv_eval_is_due(const AdvRun *r, uint32_t ix)
{
    const AdvProgEval *e = &r->p->evals[ix];
    if (r->at.where != ADV_AT_EVALS) return e->every == 0;
    return e->every > 0 && r->at.epoch % e->every == 0;
}

static void list_todo(AdvRun *r)
{
    const AdvProgEval *e = eval_at(r);
    bool among_alive = e->stages[r->at.stage].among_alive;
    r->tally.n_todo = 0;
    for (int64_t i = 0; i < e->n; i++)
        if (!among_alive || (r->tally.flags[i] & ADV_FLAG_ALIVE)) r->tally.todo[r->tally.n_todo++] = i;
}

/* Does the stage see every sample? What it counts of each class then holds for the stages among the living behind it, too. */
static bool counts_all(const AdvRun *r, int64_t stage) { return stage == 0 || !eval_at(r)->stages[stage].among_alive; }

static void begin_stage(AdvRun *r, int64_t stage)
{
    r->at.stage = stage;
    r->at.next = r->at.n_correct = 0;
    r->sums.dist_sum = r->sums.dist_max = 0;
    bool is_new = stage >= eval_at(r)->n_stages || counts_all(r, stage);
    for (int64_t k = 0; k <= r->n_classes; k++) {
        r->tally.classes[2 * k] = 0;
        if (is_new) r->tally.classes[2 * k + 1] = 0;
    }
    if (stage < eval_at(r)->n_stages) list_todo(r);
}

void adv_eval_begin(AdvRun *r, uint32_t ix)
{
    r->at.eval = ix;
    if (r->at.where == ADV_AT_EVALS) r->at.n_rows = 0;
    r->at.row_first = r->at.n_rows;
    memset(r->tally.flags, ADV_FLAG_ALIVE, (size_t)r->p->evals[ix].n);
    begin_stage(r, 0);
}

void adv_eval_resume(AdvRun *r)
{
    if (r->at.eval < r->p->n_evals && r->at.stage < eval_at(r)->n_stages) list_todo(r);
}

/* Puts one value for each place of the batch into a slot. */
static AdvStatus put_slot(AdvRun *r, uint32_t state, const int64_t *values)
{
    AdvView v = adv_view_of(&r->s->t->state_types[state], r->slot);
    for (int64_t i = 0; i < v.dim[0]; i++) {
        if (v.dtype == ADV_I64) ((int64_t *)v.data)[i] = values[i];
        else adv_st(&v, i, (double)values[i]);
    }
    return adv_session_put_bytes(r->s, state, r->slot);
}

static AdvStatus put_batch(AdvRun *r, int64_t n)
{
    const AdvProgEval *e = eval_at(r);
    int64_t *values = (int64_t *)r->slot + r->n_slot;
    for (int64_t i = 0; i < e->batch; i++) values[i] = e->first_id + r->tally.todo[r->at.next + (i < n ? i : n - 1)];
    ADV_TRY(put_slot(r, r->p->ids_state, values));
    for (int64_t i = 0; i < e->batch; i++) values[i] = i < n;
    return put_slot(r, r->p->mask_state, values);
}

/* The first of n samples for which a slot holds no finite number; n: none. */
static AdvStatus find_bad(AdvRun *r, uint32_t state, int64_t n, int64_t *out)
{
    *out = n;
    if (state == ADV_PLAN_NONE) return ADV_OK;
    AdvView v = adv_view_of(&r->s->t->state_types[state], r->slot);
    ADV_TRY(adv_session_get_bytes(r->s, state, r->slot));
    for (*out = 0; *out < n && isfinite(adv_ld(&v, *out)); ++*out) { }
    return ADV_OK;
}

/* Are the batch's images and logits numbers? The entry writes nothing that it reads, so it can run again. */
static AdvStatus check_results(AdvRun *r, int64_t n, AdvDiags *ds)
{
    const AdvProgEval *e = eval_at(r);
    const AdvProgStage *st = &e->stages[r->at.stage];
    int64_t image, answer;
    ADV_TRY(find_bad(r, r->p->dist_state, n, &image));
    ADV_TRY(find_bad(r, r->p->correct_state, n, &answer));
    if (image == n && answer == n) return ADV_OK;
    int64_t id = e->first_id + r->tally.todo[r->at.next + (image < n ? image : answer)];
    adv_diag(ds, ADV_D_LOG_NOT_FINITE, (AdvSpan){0, 0, 0}, "`%s.%s` has no result: the %s of sample %lld became NaN or infinite", e->name,
             st->name, image < n ? "image" : "logits", (long long)id);
    int32_t check = r->s->check;
    r->s->check = ADV_CHECK_FINITE;
    AdvStatus again = adv_session_run_entry(r->s, adv_plan_entry(r->s->plan, r->s->t, st->entry), ds); /* its message names the line */
    r->s->check = check;
    return again == ADV_OK ? ADV_ENUMERIC : again;
}

static AdvStatus take_results(AdvRun *r, int64_t n)
{
    const AdvProgramDef *p = r->p;
    AdvView v = adv_view_of(&r->s->t->state_types[p->correct_state], r->slot);
    ADV_TRY(adv_session_get_bytes(r->s, p->correct_state, r->slot));
    for (int64_t i = 0; i < n; i++) {
        uint8_t *f = &r->tally.flags[r->tally.todo[r->at.next + i]];
        bool is_right = adv_ld(&v, i) != 0;
        *f = (uint8_t)((*f & ~ADV_FLAG_RIGHT) | (is_right ? ADV_FLAG_RIGHT : 0));
        r->at.n_correct += is_right;
    }
    if (p->y_state != ADV_PLAN_NONE && r->n_classes) {
        v = adv_view_of(&r->s->t->state_types[p->y_state], r->slot);
        ADV_TRY(adv_session_get_bytes(r->s, p->y_state, r->slot));
        for (int64_t i = 0; i < n; i++) {
            int64_t y = (int64_t)adv_ld(&v, i);
            if (y < 0 || y >= r->n_classes) continue;
            r->tally.classes[2 * y] += (r->tally.flags[r->tally.todo[r->at.next + i]] & ADV_FLAG_RIGHT) != 0;
            r->tally.classes[2 * y + 1] += counts_all(r, r->at.stage);
        }
    }
    if (p->dist_state != ADV_PLAN_NONE) {
        v = adv_view_of(&r->s->t->state_types[p->dist_state], r->slot);
        ADV_TRY(adv_session_get_bytes(r->s, p->dist_state, r->slot));
        for (int64_t i = 0; i < n; i++) {
            double d = adv_ld(&v, i);
            r->sums.dist_sum += d;
            if (d > r->sums.dist_max) r->sums.dist_max = d;
        }
    }
    return ADV_OK;
}

/* Share of each class's samples that are right; 1 for a class without samples, so that it is never the worst. */
static AdvStatus put_classes(AdvRun *r, uint32_t state)
{
    if (state == ADV_PLAN_NONE || !r->n_classes) return ADV_OK;
    AdvView v = adv_view_of(&r->s->t->state_types[state], r->slot);
    for (int64_t k = 0; k < r->n_classes; k++)
        adv_st(&v, k, r->tally.classes[2 * k + 1] ? (double)r->tally.classes[2 * k] / (double)r->tally.classes[2 * k + 1] : 1);
    return adv_session_put_bytes(r->s, state, r->slot);
}

/* An attack that leaves its radius, or never its centre, is hardly the one that was meant: said once a session. Radii are allowed what
** rounding takes, of eps and of a sample's numbers. */
static void tell_distance(AdvRun *r)
{
    const AdvProgEval *e = eval_at(r);
    const AdvProgStage *st = &e->stages[r->at.stage];
    const AdvPlanEntry *entry = &r->s->t->entries[adv_plan_entry(r->s->plan, r->s->t, st->entry)];
    double d = r->sums.dist_max;
    bool is_far = d > 1.001 * st->eps + 1e-5, is_nowhere = d == 0 && st->eps > 0;
    uint8_t *told = &r->told[st->number];
    char where[300];
    if (!st->norm || !r->tally.n_todo || r->s->be->does_nothing || *told || (!is_far && !is_nowhere)) return;
    *told = 1;
    adv_fault_place(r->s->plan, adv_fault_writer(r->s, entry->first, entry->n_insts, r->p->dist_state), where, sizeof where);
    if (is_far)
        adv_ctx_log(r->s->ctx, ADV_LOG_WARNING,
                    "warning: %s: `%s.%s` moved a sample by %.6g (%s), further than its eps of %.6g: does it end with "
                    "`project(z, x, eps)`?",
                    where, e->name, st->name, d, st->norm, st->eps);
    else
        adv_ctx_log(r->s->ctx, ADV_LOG_WARNING,
                    "warning: %s: `%s.%s` moved no sample, though its eps is %.6g: what it reports is the accuracy on clean samples (is "
                    "its gradient 0 everywhere?)",
                    where, e->name, st->name, st->eps);
}

static AdvStatus end_stage(AdvRun *r)
{
    const AdvProgEval *e = eval_at(r);
    int64_t row = r->at.n_rows++;
    bool is_best = r->at.where == ADV_AT_FINAL_BEST;
    assert(row < r->n_max_rows);
    for (int64_t i = 0; i < r->tally.n_todo; i++) {
        uint8_t *f = &r->tally.flags[r->tally.todo[i]];
        *f = *f & ADV_FLAG_RIGHT ? ADV_FLAG_ALIVE : 0;
    }
    int64_t trained = r->at.step || !r->at.epoch ? r->at.epoch : r->at.epoch - 1; /* an epoch counts from its first step */
    int64_t epoch = is_best ? r->at.best_epoch : trained;
    r->tally.row_ints[row] = (AdvRowInts){r->at.eval, r->at.stage, is_best, epoch, e->n, r->at.n_correct};
    r->tally.row_nums[row] = (AdvRowNums){r->tally.n_todo ? r->sums.dist_sum / (double)r->tally.n_todo : 0, r->sums.dist_max};
    int64_t n_counts = 2 * (r->n_classes + 1);
    memcpy(&r->tally.row_classes[row * n_counts], r->tally.classes, sizeof *r->tally.classes * (size_t)n_counts);
    ADV_TRY(adv_session_put_number(r->s, e->stages[r->at.stage].result, (double)r->at.n_correct / (double)e->n));
    ADV_TRY(put_classes(r, e->stages[r->at.stage].per_class));
    tell_distance(r);
    begin_stage(r, r->at.stage + 1);
    return ADV_OK;
}

AdvStatus adv_eval_advance(AdvRun *r, AdvDiags *ds, bool *out_ended)
{
    const AdvProgEval *e = eval_at(r);
    *out_ended = r->at.stage >= e->n_stages;
    if (*out_ended) return ADV_OK;
    const AdvProgStage *st = &e->stages[r->at.stage];
    int64_t n = r->tally.n_todo - r->at.next < e->batch ? r->tally.n_todo - r->at.next : e->batch;
    if (n > 0) {
        ADV_TRY(put_batch(r, n));
        AdvStatus got = adv_run_entry(r, st->entry, ds);
        if (got == ADV_OK) got = check_results(r, n, ds);
        r->is_eval_bad = got == ADV_ENUMERIC;
        ADV_TRY(got);
        ADV_TRY(take_results(r, n));
        r->at.next += n;
        AdvEvent ev = {.kind = ADV_EVENT_EVAL_BATCH, .step = r->at.next, .n_steps = r->tally.n_todo, .text = st->name};
        adv_run_event(r, &ev);
    }
    if (r->at.next >= r->tally.n_todo) ADV_TRY(end_stage(r));
    *out_ended = r->at.stage >= e->n_stages;
    return ADV_OK;
}

void adv_eval_rows(AdvRun *r, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const AdvRowInts *x = &r->tally.row_ints[first + i];
        const AdvRowNums *y = &r->tally.row_nums[first + i];
        const AdvProgEval *e = &r->p->evals[x->eval];
        r->rows[i] = (AdvEvalRow){e->name, e->stages[x->stage].name, x->is_best ? "best" : "last", x->epoch, x->n, x->n_correct,
                                  (double)x->n_correct / (double)x->n, e->stages[x->stage].eps, y->dist_mean, y->dist_max};
    }
}
