/* feed.c: data that the caller has, asked for batch by batch.
**
** A data state is read by ops that take rows of it by number (ADV_OP_ROWS). Where a source is bound, the rows that such an
** instruction is about to read are fetched into a buffer of one batch, and the instruction sees that buffer as the table and
** 0, 1, 2, .. as the numbers. Nothing else in the plan changes: the real numbers still say which row of a per-sample table and
** which random draw belongs to a sample.
**
** On another device the buffer has a twin there, at one address for as long as the source is bound. The device computes the
** numbers, so the host waits for it at every batch, has the rows filled in, and sends them off in the order of the entry's work.
**
** Only the entries that fill and evaluate batches may read it, so that a source that fails has spoiled nothing.
*/
#include "runtime/session.h"

#include "ops/view.h"

#include <string.h>

struct AdvFeed {
    AdvFeed *next;
    uint32_t state;
    int32_t (*fill)(void *user, const AdvRows *want);
    void *user;
    int64_t n_max;          /* rows of the largest batch */
    char *rows;             /* n_max rows, filled by the source */
    int64_t *wanted, *iota; /* their numbers; 0, 1, 2, .. */
    void *seen_rows, *seen_iota; /* where kernels find both: the same, or their twins on another device */
};

/* Operand 0 of instruction `inst` as the plan has it, and operand 1. */
static uint32_t first_view(const AdvSession *s, uint32_t inst)
{
    return (uint32_t)(s->bound[inst].sig.in - s->views);
}

static bool reads(const AdvSession *s, uint32_t view, uint32_t state)
{
    const AdvPlanValue *v = &s->t->values[s->view_value[view]];
    return v->block == ADV_BLOCK_STATE && v->state == state;
}

static uint64_t row_bytes(const AdvSession *s, uint32_t state)
{
    return s->states[state].n_bytes / (uint64_t)s->t->state_types[state].dim[0];
}

static uint64_t rows_bytes(const AdvSession *s, const AdvFeed *f) { return (uint64_t)f->n_max * row_bytes(s, f->state); }
static uint64_t ids_bytes(const AdvFeed *f) { return (uint64_t)f->n_max * sizeof *f->iota; }

static void free_feed(AdvSession *s, AdvFeed *f)
{
    const AdvAlloc *a = &s->ctx->alloc;
    if (!s->be->is_host) {
        if (f->seen_rows) s->be->free(s->self, f->seen_rows, rows_bytes(s, f));
        if (f->seen_iota) s->be->free(s->self, f->seen_iota, ids_bytes(f));
    }
    adv_mem_free(a, f->rows, (size_t)rows_bytes(s, f));
    adv_mem_free(a, f->wanted, (size_t)ids_bytes(f));
    adv_mem_free(a, f->iota, (size_t)ids_bytes(f));
    adv_mem_free(a, f, sizeof *f);
}

void adv_feed_drop(AdvSession *s, uint32_t state)
{
    AdvFeed **at = &s->feeds;
    while (*at && (*at)->state != state) at = &(*at)->next;
    AdvFeed *f = *at;
    if (!f) return;
    *at = f->next;
    for (uint32_t i = 0; i < s->t->n_insts; i++) {
        if (s->feed_of[i] != f) continue;
        s->feed_of[i] = NULL;
        for (uint32_t k = 0; k < 2; k++) s->views[first_view(s, i) + k] = adv_session_view(s, first_view(s, i) + k);
    }
    adv_records_forget(s);
    free_feed(s, f);
}

void adv_feeds_close(AdvSession *s)
{
    while (s->feeds) {
        AdvFeed *f = s->feeds;
        s->feeds = f->next;
        free_feed(s, f);
    }
    if (s->feed_of) adv_mem_free(&s->ctx->alloc, s->feed_of, (s->t->n_insts + 1) * sizeof *s->feed_of);
}

/* ---- binding ------------------------------------------------------------------------------------------------------- */

static AdvStatus refuse(AdvSession *s, uint32_t state, uint32_t entry, uint32_t inst, const char *why, AdvDiags *ds)
{
    adv_fault(s, ds, ADV_D_BACKEND, entry, inst, "`%s` cannot come from a source: %s", adv_state_name(s, state), why);
    return ADV_EUNAVAILABLE;
}

/* Instruction `inst` has the state as operand k: is it an op that takes rows, in an entry of batches? */
static AdvStatus check_use(AdvSession *s, uint32_t state, uint32_t entry, uint32_t inst, uint32_t k, AdvDiags *ds)
{
    const AdvSig *sig = &s->bound[inst].sig;
    const char *name = adv_plan_str(s->plan, s->t->entries[entry].name);
    if (k != 0 || !(sig->op->flags & ADV_OP_ROWS) || sig->in[0].rank != s->t->state_types[state].rank || sig->in[1].dtype != ADV_I64)
        return refuse(s, state, entry, inst, "this needs more of it than rows by number", ds);
    if (strcmp(name, "batch") != 0 && strncmp(name, "eval.", 5) != 0)
        return refuse(s, state, entry, inst, "it is read outside batches", ds);
    if (s->be->is_host) return ADV_OK;
    AdvView ids = adv_session_view(s, first_view(s, inst) + 1);
    if (!adv_view_is_row(&ids)) return refuse(s, state, entry, inst, "its row numbers lie apart on the device", ds);
    /* kernels there were prepared for as many rows as the state has */
    if (ids.dim[0] > s->t->state_types[state].dim[0]) return refuse(s, state, entry, inst, "it has fewer rows than a batch", ds);
    return ADV_OK;
}

/* Rows of the largest batch, once every use has been checked. */
static AdvStatus check_uses(AdvSession *s, uint32_t state, AdvDiags *ds, int64_t *out_max)
{
    *out_max = 1;
    for (uint32_t e = 0; e < s->t->n_entries; e++) {
        const AdvPlanEntry *entry = &s->t->entries[e];
        for (uint32_t i = entry->first; i < entry->first + entry->n_insts; i++) {
            const AdvSig *sig = &s->bound[i].sig;
            for (uint32_t k = 0; k < sig->n_in; k++) {
                if (!reads(s, first_view(s, i) + k, state)) continue;
                ADV_TRY(check_use(s, state, e, i, k, ds));
                if (sig->in[1].dim[0] > *out_max) *out_max = sig->in[1].dim[0];
            }
        }
    }
    return ADV_OK;
}

/* Takes what f needs. It may be freed after a failure, too. */
static AdvStatus take_memory(AdvSession *s, AdvFeed *f, AdvDiags *ds)
{
    const AdvAlloc *a = &s->ctx->alloc;
    f->rows = adv_mem_new0(a, (size_t)rows_bytes(s, f));
    f->wanted = adv_mem_new0(a, (size_t)ids_bytes(f));
    f->iota = adv_mem_new0(a, (size_t)ids_bytes(f));
    if (!f->rows || !f->wanted || !f->iota) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while binding a source");
    for (int64_t i = 0; i < f->n_max; i++) f->iota[i] = i;
    f->seen_rows = f->rows;
    f->seen_iota = f->iota;
    if (s->be->is_host) return ADV_OK;
    f->seen_rows = f->seen_iota = NULL;
    ADV_TRY(adv_session_take(s, rows_bytes(s, f), "the rows of a batch", ds, &f->seen_rows));
    ADV_TRY(adv_session_take(s, ids_bytes(f), "the rows of a batch", ds, &f->seen_iota));
    return adv_session_settle(s, s->be->copy(s->self, f->seen_iota, f->iota, ids_bytes(f), ADV_TO_DEVICE), ds);
}

/* NULL, and *out_st says why. */
static AdvFeed *new_feed(AdvSession *s, uint32_t state, int64_t n_max, AdvDiags *ds, AdvStatus *out_st)
{
    const AdvAlloc *a = &s->ctx->alloc;
    if (!s->feed_of) s->feed_of = adv_mem_new0(a, (s->t->n_insts + 1) * sizeof *s->feed_of);
    AdvFeed *f = s->feed_of ? adv_mem_new0(a, sizeof *f) : NULL;
    if (!f) {
        *out_st = adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while binding a source");
        return NULL;
    }
    f->state = state;
    f->n_max = n_max;
    *out_st = take_memory(s, f, ds);
    if (*out_st == ADV_OK) return f;
    free_feed(s, f);
    return NULL;
}

static void put_in_place(AdvSession *s, AdvFeed *f)
{
    for (uint32_t i = 0; i < s->t->n_insts; i++) {
        uint32_t v = first_view(s, i);
        if (!s->bound[i].sig.n_in || !reads(s, v, f->state)) continue;
        s->feed_of[i] = f;
        s->views[v].dim[0] = s->views[v + 1].dim[0];
        s->views[v + 1].data = f->seen_iota;
        s->views[v + 1].stride[0] = 1;
    }
}

void adv_feeds_place(AdvSession *s)
{
    for (AdvFeed *f = s->feeds; f; f = f->next) put_in_place(s, f);
}

AdvStatus adv_session_bind_rows(AdvSession *s, const char *state, int32_t (*fill)(void *user, const AdvRows *want), void *user,
                                  AdvDiags *ds)
{
    int64_t n_max;
    ADV_TRY(adv_session_ready(s, ds));
    ADV_NEED(ds, state, "the name of the state");
    uint32_t i = adv_plan_state(s->plan, state);
    if (i == ADV_PLAN_NONE || s->plan->states[i].kind != ADV_STATE_DATA || !s->t->state_types[i].rank || !fill)
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "a source needs a function and a data state of the plan, not `%s`", state);
    AdvStatus st;
    ADV_TRY(check_uses(s, i, ds, &n_max));
    AdvFeed *f = new_feed(s, i, n_max, ds, &st);
    if (!f) return st;
    f->fill = fill;
    f->user = user;
    adv_session_rebind(s, i, f->seen_rows);
    f->next = s->feeds;
    s->feeds = f;
    put_in_place(s, f);
    adv_records_forget(s);
    adv_mappings_sweep(s);
    return ADV_OK;
}

bool adv_state_is_fed(const AdvSession *s, uint32_t state)
{
    for (const AdvFeed *f = s->feeds; f; f = f->next)
        if (f->state == state) return true;
    return false;
}

/* ---- running ------------------------------------------------------------------------------------------------------- */

/* The numbers of the rows that are wanted, from where the instructions so far left them. */
static AdvStatus read_wanted(AdvSession *s, AdvFeed *f, const AdvView *ids, AdvDiags *ds)
{
    int64_t n_rows = s->t->state_types[f->state].dim[0];
    if (!s->be->is_host) {
        ADV_TRY(s->be->copy(s->self, f->wanted, ids->data, (uint64_t)ids->dim[0] * sizeof *f->wanted, ADV_TO_HOST));
        s->n_last = 0;
    }
    for (int64_t i = 0; i < ids->dim[0]; i++) {
        if (s->be->is_host) f->wanted[i] = ((const int64_t *)ids->data)[i * ids->stride[0]];
        if (f->wanted[i] >= 0 && f->wanted[i] < n_rows) continue;
        return adv_fail(ds, ADV_EDATA, ADV_D_DATA_FIT, "row %lld of `%s` is wanted, which has %lld", (long long)f->wanted[i],
                        adv_state_name(s, f->state), (long long)n_rows);
    }
    return ADV_OK;
}

AdvStatus adv_feed_fill(AdvSession *s, AdvFeed *f, uint32_t inst, AdvDiags *ds)
{
    AdvView ids = adv_session_view(s, first_view(s, inst) + 1);
    AdvTensorType batch = s->t->state_types[f->state];
    ADV_TRY(read_wanted(s, f, &ids, ds));
    batch.dim[0] = ids.dim[0];
    AdvRows want = {.struct_size = sizeof want, .state = adv_state_name(s, f->state), .rows = f->wanted, .n_rows = ids.dim[0],
                    .out = adv_view_of(&batch, f->rows)};
    s->is_busy = true;
    int32_t rc = f->fill(f->user, &want);
    s->is_busy = false;
    if (rc) return adv_fail(ds, ADV_EIO, ADV_D_IO, "the source of `%s` failed: it returned %d", want.state, (int)rc);
    ADV_TRY(adv_data_check_labels(s, f->state, f->rows, ids.dim[0], "the source", ds));
    ADV_TRY(adv_data_check_images(s, f->state, batch.dtype, f->rows, ids.dim[0], "the source", ds));
    if (s->be->is_host) return ADV_OK;
    return s->be->copy(s->self, f->seen_rows, f->rows, (uint64_t)ids.dim[0] * row_bytes(s, f->state), ADV_TO_DEVICE);
}
