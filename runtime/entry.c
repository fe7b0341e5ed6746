/* entry.c: runs an entry: one loop over its instructions that launches what was bound.
**
** A loop of the plan is run here, by writing the turn number and running its body again, so no back end knows loops. A back
** end that can record runs an entry once as it is (libraries warm up), records it the second time with all turns written out,
** and replays the recording from then on; an entry that cannot be recorded stays as it is, with a warning. Checks, profiles and traces
** look at single instructions: with them nothing is recorded; and where the caller brings rows of data (feed.c), what comes before and
** with them is launched one by one.
**
** Other devices have not done an entry when this returns: whoever reads waits. If the device then fails, the entries since its
** last answer are all that is known.
*/
#include "runtime/session.h"

#include <stdio.h>
#include <string.h>

/* Launches that one recording may hold. A longer entry is launched anew each time. */
enum { MAX_LAUNCHES = 1 << 17 };

static AdvStatus timed(AdvSession *s, uint32_t entry, uint32_t inst, AdvBound *b)
{
    uint64_t t0 = adv_ctx_now(s->ctx), ns = 0;
    AdvStatus st = s->be->launch_timed ? s->be->launch_timed(s->self, b, s->scratch_mem, &ns) : s->be->launch(s->self, b, s->scratch_mem);
    adv_profile_add(s, entry, inst, t0, s->be->launch_timed ? ns : adv_ctx_now(s->ctx) - t0);
    return st;
}

/* Does instruction `inst` run all of its list? Checks look at single ones. */
static bool is_list(const AdvSession *s, uint32_t inst) { return s->bound[inst].list && s->check == ADV_CHECK_OFF; }

/* An instruction failed: what it says of the data, or of the machine. */
static AdvStatus say_failure(AdvSession *s, AdvStatus st, uint32_t entry, uint32_t inst, const AdvBound *b, AdvDiags *ds)
{
    AdvDiag *d = adv_fault(s, ds, st == ADV_ENOMEM ? ADV_D_NO_MEMORY : ADV_D_KERNEL, entry, inst, "`%s` failed: %s", b->sig.op->name,
                           st == ADV_EDATA ? "a class or a row number is out of range" : adv_status_name(st));
    if (st == ADV_EDATA) adv_diag_help(d, "classes are 0 .. classes - 1 of `data`: see what computes `y`, or the numbers of rows");
    if (s->be->last_error && s->be->last_error(s->self)[0]) adv_diag_note(d, (AdvSpan){0, 0, 0}, "%s", s->be->last_error(s->self));
    s->is_fault_told = true;
    return st;
}

static AdvStatus run_inst(AdvSession *s, uint32_t entry, uint32_t inst, AdvDiags *ds)
{
    AdvBound *b = is_list(s, inst) ? s->bound[inst].list : &s->bound[inst];
    if (s->feed_of && s->feed_of[inst]) ADV_TRY(adv_feed_fill(s, s->feed_of[inst], inst, ds));
    if (s->check == ADV_CHECK_REF) ADV_TRY(adv_check_before(s, inst, ds));
    AdvStatus st = s->profile ? timed(s, entry, inst, b) : s->be->launch(s->self, b, s->scratch_mem);
    if (st == ADV_OK && s->check == ADV_CHECK_SYNC) st = s->be->sync(s->self);
    if (st != ADV_OK) return say_failure(s, st, entry, inst, b, ds);
    return s->check == ADV_CHECK_OFF ? ADV_OK : adv_check_after(s, entry, inst, ds);
}

static AdvStatus set_turn(AdvSession *s, void *dst, int64_t turn)
{
    if (s->be->set_i64) return s->be->set_i64(s->self, dst, turn);
    return s->be->copy(s->self, dst, &turn, sizeof turn, ADV_TO_DEVICE);
}

static AdvStatus run_range(AdvSession *s, uint32_t entry, uint32_t first, uint32_t n, AdvDiags *ds)
{
    for (uint32_t i = first; i < first + n; i++) {
        if (!adv_inst_is_loop(s, i)) {
            ADV_TRY(run_inst(s, entry, i, ds));
            if (is_list(s, i)) i += s->bound[i].n_list - 1;
            continue;
        }
        uint32_t n_body = s->t->insts[i].n_body;
        AdvLoopPlace *place = &s->loops[s->n_loops++];
        *place = (AdvLoopPlace){i, 0, s->bound[i].sig.attr[0].i};
        for (int64_t turn = 0; turn < place->n_turns; turn++) {
            place->turn = turn;
            ADV_TRY(set_turn(s, s->bound[i].sig.out[0].data, turn));
            ADV_TRY(run_range(s, entry, i + 1, n_body, ds));
        }
        s->n_loops--;
        i += n_body;
    }
    return ADV_OK;
}

/* ---- recordings ------------------------------------------------------------------------------------------------------ */

/* Launches of a range with all turns of its loops; MAX_LAUNCHES + 1 for more. */
static int64_t count_launches(const AdvSession *s, uint32_t first, uint32_t n)
{
    int64_t sum = 0;
    for (uint32_t i = first; i < first + n && sum <= MAX_LAUNCHES; i++) {
        sum++;
        if (s->bound[i].list) i += s->bound[i].n_list - 1;
        if (!adv_inst_is_loop(s, i)) continue;
        int64_t body = count_launches(s, i + 1, s->t->insts[i].n_body), turns = s->bound[i].sig.attr[0].i;
        sum = body > MAX_LAUNCHES / turns ? MAX_LAUNCHES + 1 : sum + body * turns;
        i += s->t->insts[i].n_body;
    }
    return sum;
}

AdvStatus adv_records_open(AdvSession *s, AdvDiags *ds)
{
    if (!s->be->record_begin) return ADV_OK;
    s->records = adv_mem_new0(&s->ctx->alloc, sizeof *s->records * (s->t->n_entries + 1));
    if (!s->records) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening a session");
    for (uint32_t i = 0; i < s->t->n_entries; i++)
        if (count_launches(s, s->t->entries[i].first, s->t->entries[i].n_insts) > MAX_LAUNCHES) s->records[i].state = ADV_RECORD_NEVER;
    return ADV_OK;
}

/* Instructions of an entry up to the last that a source feeds; a loop that holds one belongs to them as a whole. */
static uint32_t count_head(const AdvSession *s, const AdvPlanEntry *e)
{
    uint32_t n_head = 0;
    for (uint32_t i = 0; s->feed_of && i < e->n_insts;) {
        uint32_t n = 1 + (adv_inst_is_loop(s, e->first + i) ? s->t->insts[e->first + i].n_body : 0);
        for (uint32_t k = 0; k < n; k++)
            if (s->feed_of[e->first + i + k]) n_head = i + n;
        i += n;
    }
    return n_head;
}

void adv_records_forget(AdvSession *s)
{
    for (uint32_t i = 0; s->records && i < s->t->n_entries; i++) {
        s->records[i].n_head = count_head(s, &s->t->entries[i]);
        if (s->records[i].recording) s->be->forget(s->self, s->records[i].recording);
        s->records[i].recording = NULL;
        if (s->records[i].state != ADV_RECORD_NEVER) s->records[i].state = ADV_RECORD_NEW;
    }
}

void adv_records_close(AdvSession *s)
{
    adv_records_forget(s);
    if (s->records) adv_mem_free(&s->ctx->alloc, s->records, sizeof *s->records * (s->t->n_entries + 1));
    s->records = NULL;
}

/* Records what follows the head, and runs the recording once. A failure leaves none, and nothing of it has run. */
static AdvStatus record(AdvSession *s, uint32_t ix)
{
    const AdvPlanEntry *e = &s->t->entries[ix];
    AdvRecord *r = &s->records[ix];
    ADV_TRY(s->be->record_begin(s->self));
    AdvStatus st = run_range(s, ix, e->first + r->n_head, e->n_insts - r->n_head, NULL);
    AdvStatus end = s->be->record_end(s->self, &r->recording);
    if (st == ADV_OK) st = end;
    if (st == ADV_OK) st = s->be->replay(s->self, r->recording);
    if (st == ADV_OK) r->state = ADV_RECORD_DONE;
    else if (r->recording) s->be->forget(s->self, r->recording), r->recording = NULL;
    return st;
}

/* It could not be recorded (memory ran out, or it holds a call that no recording may): unless the device itself failed, which it says
** when it is waited for, the entry is launched one by one from now on. */
static AdvStatus go_on_unrecorded(AdvSession *s, uint32_t ix, AdvDiags *ds)
{
    const AdvPlanEntry *e = &s->t->entries[ix];
    AdvRecord *r = &s->records[ix];
    char why[320] = "";
    if (s->be->last_error) snprintf(why, sizeof why, "%s", s->be->last_error(s->self));
    s->is_fault_told = false;
    s->n_loops = 0;
    ADV_TRY(s->be->sync(s->self));
    r->state = ADV_RECORD_NEVER;
    adv_ctx_log(s->ctx, ADV_LOG_WARNING, "entry `%s` cannot be recorded and is launched one by one, which is slower: %s",
                adv_plan_str(s->plan, e->name), why);
    return run_range(s, ix, e->first + r->n_head, e->n_insts - r->n_head, ds);
}

/* ---- entries --------------------------------------------------------------------------------------------------------- */

static void remember(AdvSession *s, uint32_t ix)
{
    enum { N = sizeof s->last_entries / sizeof *s->last_entries };
    for (uint32_t i = 0; i < s->n_last; i++)
        if (s->last_entries[i] == ix) return;
    if (s->n_last < N) s->last_entries[s->n_last++] = ix;
}

static AdvStatus run_entry(AdvSession *s, uint32_t ix, AdvDiags *ds)
{
    const AdvPlanEntry *e = &s->t->entries[ix];
    AdvRecord *r = s->records ? &s->records[ix] : NULL;
    bool looks_inside = s->check != ADV_CHECK_OFF || s->profile;
    s->n_loops = 0;
    if (!r || looks_inside || r->state == ADV_RECORD_NEVER || r->n_head == e->n_insts)
        return run_range(s, ix, e->first, e->n_insts, ds);
    if (r->state == ADV_RECORD_NEW) {
        ADV_TRY(run_range(s, ix, e->first, e->n_insts, ds));
        r->state = ADV_RECORD_WARM; /* all of it has run: a source that fails leaves it as new as it was */
        return ADV_OK;
    }
    ADV_TRY(run_range(s, ix, e->first, r->n_head, ds));
    if (r->state == ADV_RECORD_DONE) return s->be->replay(s->self, r->recording);
    return record(s, ix) == ADV_OK ? ADV_OK : go_on_unrecorded(s, ix, ds);
}

AdvStatus adv_session_run_entry(AdvSession *s, uint32_t ix, AdvDiags *ds)
{
    remember(s, ix);
    if (s->be->range) s->be->range(s->self, adv_plan_str(s->plan, s->t->entries[ix].name));
    AdvStatus st = run_entry(s, ix, ds);
    if (s->be->range) s->be->range(s->self, NULL);
    return st;
}

AdvStatus adv_device_fault(AdvSession *s, AdvStatus st, AdvDiags *ds)
{
    char names[256] = "";
    bool is_device = st == ADV_EUNAVAILABLE || st == ADV_ENOMEM || st == ADV_EDATA; /* EDATA: a kernel met a number out of range */
    if (!is_device || s->is_fault_told || !s->be->last_error || !s->be->last_error(s->self)[0]) return st;
    s->is_fault_told = true;
    for (uint32_t i = 0; i < s->n_last; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s`%s`", i ? ", " : "",
                 adv_plan_str(s->plan, s->t->entries[s->last_entries[i]].name));
    AdvDiag *d = adv_diag(ds, ADV_D_KERNEL, (AdvSpan){0, 0, 0}, "%s%s", st == ADV_EDATA ? "" : "the device failed: ",
                          s->be->last_error(s->self));
    if (names[0]) adv_diag_note(d, (AdvSpan){0, 0, 0}, "it ran %s since it last answered", names);
    adv_diag_help(d, "run with --check=sync to find the instruction and its line");
    return st;
}
