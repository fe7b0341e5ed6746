/* checkpoint.c: a run's states and place on disk, so that nothing good is ever lost.
**
**   RUN/ckpt-NNNNNNNN/state.safetensors   all saved states by name, and the place in the program as tensors "adv.*"
**   RUN/ckpt-NNNNNNNN/MANIFEST.json       written last: size and digest (base/container.h) of that file; without it the folder
**                                         is no checkpoint
**   RUN/best-NNNNNNNN/...                 the same of the kept weights, states only
**   RUN/LATEST, RUN/BEST                  names of the newest whole ones
**
** A second checkpoint at a step gets a name of its own (run_folder.h), so that no whole one is ever written over. Every file is written
** beside its name, synced and renamed (adv_write_file); LATEST changes last; only then are older ones removed, all but the newest two
** and what they name as best. Removing is best effort and never an error.
**
** Reading takes LATEST's, and if that is not whole the newest that is, with a warning. A file is checked completely before
** the first state is written, so a failed resume leaves the session as it was.
*/
#include "runtime/base/json_text.h"
#include "runtime/run.h"
#include "runtime/run_folder.h"

#include "ops/view.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing --------------------------------------------------------------------------------------------------------- */

typedef struct Blobs { AdvBlob *at; uint32_t n; AdvArena arena; char *mem; bool is_broken; } Blobs;

static void add_blob(Blobs *b, const char *name, uint8_t dtype, const void *data, uint32_t rank, const int64_t *dim)
{
    AdvBlob *x = &b->at[b->n++];
    *x = (AdvBlob){.name = name, .dtype = dtype, .rank = (uint8_t)rank, .data = data, .n_bytes = adv_dtype_bytes(dtype)};
    for (uint32_t k = 0; k < rank; k++) {
        x->dim[k] = dim[k];
        x->n_bytes *= (uint64_t)dim[k];
    }
}

/* A list; an empty one is left out. */
static void add_list(Blobs *b, const char *name, uint8_t dtype, const void *data, int64_t n)
{
    if (n > 0) add_blob(b, name, dtype, data, 1, &n);
}

static void add_states(AdvRun *r, Blobs *b, const char *mem)
{
    for (uint32_t i = 0; i < r->s->plan->n_states; i++) {
        const AdvTensorType *t = &r->s->t->state_types[i];
        if (!adv_state_is_saved(r->s, i)) continue;
        add_blob(b, adv_state_name(r->s, i), t->dtype, mem, t->rank, t->dim);
        mem += r->s->states[i].n_bytes;
    }
}

static void add_place(AdvRun *r, Blobs *b)
{
    uint32_t n_logs = r->p->n_logs;
    int64_t *counts = adv_arena_array(&b->arena, n_logs + 1, sizeof *counts);
    double *sums = adv_arena_array(&b->arena, n_logs + 1, sizeof *sums);
    if (!counts || !sums) {
        b->is_broken = true;
        return;
    }
    add_list(b, "adv.place", ADV_I64, &r->at, ADV_PLACE_NUMBERS);
    add_list(b, "adv.sums", ADV_F64, &r->sums, 3);
    for (uint32_t i = 0; i < n_logs; i++) {
        counts[i] = r->logs[i].n;
        sums[i] = r->logs[i].sum;
    }
    add_list(b, "adv.log.n", ADV_I64, counts, n_logs);
    add_list(b, "adv.log.sum", ADV_F64, sums, n_logs);
    for (uint32_t i = 0; i < n_logs && adv_place_has_logs(&r->at); i++) {
        char *name = adv_arena_printf(&b->arena, "adv.log.%u", i);
        if (!name) b->is_broken = true;
        else if (r->logs[i].values)
            add_list(b, name, ADV_F32, r->logs[i].values, r->logs[i].n < r->logs[i].cap ? r->logs[i].n : r->logs[i].cap);
    }
    const char *choices = r->s->be->choices ? r->s->be->choices(r->s->self) : "";
    add_list(b, "adv.choices", ADV_U8, choices, (int64_t)strlen(choices));
    add_list(b, "adv.row.ints", ADV_I64, r->tally.row_ints, r->at.n_rows * (int64_t)(sizeof *r->tally.row_ints / sizeof(int64_t)));
    add_list(b, "adv.row.nums", ADV_F64, r->tally.row_nums, r->at.n_rows * (int64_t)(sizeof *r->tally.row_nums / sizeof(double)));
    add_list(b, "adv.row.classes", ADV_I64, r->tally.row_classes, r->at.n_rows * 2 * (r->n_classes + 1));
    bool in_eval = r->at.where != ADV_AT_STEPS && r->at.where != ADV_AT_DONE && r->at.stage >= 0;
    if (!in_eval) return;
    add_list(b, "adv.eval.flags", ADV_U8, r->tally.flags, r->p->evals[r->at.eval].n);
    add_list(b, "adv.eval.classes", ADV_I64, r->tally.classes, 2 * (r->n_classes + 1));
}

/* The digest that the container holds of itself; the bytes are read back as a loader would. */
static AdvStatus write_manifest(AdvRun *r, const char *dir, const char *name, const void *data, uint64_t n_bytes, AdvDiags *ds)
{
    char text[1024], path[ADV_PATH_BYTES];
    AdvArena arena;
    AdvContainer c;
    int n = 0;
    adv_arena_init(&arena, r->s->ctx->alloc);
    AdvStatus st = adv_container_parse(&arena, data, n_bytes, "the checkpoint just made", ds, &c);
    if (st == ADV_OK)
        n = snprintf(text, sizeof text,
                     "{\"format\": 1, \"epoch\": %" PRId64 ", \"step\": %" PRId64
                     ", \"plan\": \"%.64s\",\n \"file\": \"%s\", \"bytes\": %" PRIu64 ", \"xxh3_128\": \"%s\"}\n",
                     r->at.epoch, r->at.total_step, r->s->plan->hash, ADV_STATE_FILE, n_bytes, c.digest);
    adv_arena_fini(&arena);
    ADV_TRY(st);
    ADV_TRY(adv_run_path(path, dir, name, ADV_MANIFEST_FILE, ds));
    return adv_write_file(r->s->ctx->io, &r->s->ctx->alloc, path, text, (uint64_t)n, ds);
}

/* Makes RUN/<kind>-NNNNNNNN for a step, with the first suffix that is free. */
static AdvStatus make_folder(AdvRun *r, const char *dir, const char *kind, int64_t step, char *out_name, AdvDiags *ds)
{
    const AdvIo *io = r->s->ctx->io;
    char path[ADV_PATH_BYTES];
    for (int k = 1; k < 100; k++) {
        if (k == 1) snprintf(out_name, ADV_FOLDER_NAME, "%s-%08" PRId64, kind, step);
        else snprintf(out_name, ADV_FOLDER_NAME, "%s-%08" PRId64 "-%d", kind, step, k);
        ADV_TRY(adv_run_path(path, dir, out_name, NULL, ds));
        int err = io->mkdir(io->user, path, 0755);
        if (!err) return ADV_OK;
        if (err != -EEXIST) return adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot make folder `%s`: %s", path, strerror(-err));
    }
    return adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot make a folder for step %" PRId64 " in `%s`: a hundred are there", step, dir);
}

static AdvStatus write_folder(AdvRun *r, const char *dir, const char *name, Blobs *b, bool has_place, AdvDiags *ds)
{
    char path[ADV_PATH_BYTES], threads[16];
    void *data = NULL;
    uint64_t n_bytes = 0;
    const AdvAlloc *a = &r->s->ctx->alloc;
    snprintf(threads, sizeof threads, "%u", r->s->n_threads);
    const AdvMeta meta[] = {{"adv.kind", has_place ? "checkpoint" : "best"}, {"adv.hash", r->s->plan->hash}, {"adv.recipe", r->p->recipe},
                            {"adv.backend", r->s->be->name}, {"adv.target", r->s->t->name}, {"adv.threads", threads},
                            {"adv.best", has_place ? r->best_dir : ""}};
    ADV_TRY(adv_run_path(path, dir, name, ADV_STATE_FILE, ds));
    ADV_TRY(adv_container_render(a, b->at, b->n, meta, sizeof meta / sizeof *meta, ds, &data, &n_bytes));
    AdvStatus st = adv_write_file(r->s->ctx->io, a, path, data, n_bytes, ds);
    if (st == ADV_OK) st = write_manifest(r, dir, name, data, n_bytes, ds);
    adv_mem_free(a, data, (size_t)n_bytes);
    return st;
}

static AdvStatus write_pointer(AdvRun *r, const char *dir, const char *file, const char *name, AdvDiags *ds)
{
    char path[ADV_PATH_BYTES], text[ADV_FOLDER_NAME + 2];
    int n = snprintf(text, sizeof text, "%s\n", name);
    ADV_TRY(adv_run_path(path, dir, file, NULL, ds));
    return adv_write_file(r->s->ctx->io, &r->s->ctx->alloc, path, text, (uint64_t)n, ds);
}

static AdvStatus write_states(AdvRun *r, const char *dir, bool is_best, const char *mem, char *out_name, AdvDiags *ds)
{
    Blobs b = {.n = 0};
    char name[ADV_FOLDER_NAME];
    adv_arena_init(&b.arena, r->s->ctx->alloc);
    b.at = adv_arena_array(&b.arena, r->s->plan->n_states + r->p->n_logs + 16, sizeof *b.at);
    AdvStatus st = ADV_OK;
    if (b.at) {
        add_states(r, &b, mem);
        if (!is_best) add_place(r, &b);
    }
    if (!b.at || b.is_broken) st = adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while writing a checkpoint");
    if (st == ADV_OK) st = make_folder(r, dir, is_best ? "best" : "ckpt", is_best ? r->at.best_step : r->at.total_step, name, ds);
    if (st == ADV_OK) st = write_folder(r, dir, name, &b, !is_best, ds);
    if (st == ADV_OK) memcpy(out_name, name, ADV_FOLDER_NAME);
    adv_arena_fini(&b.arena);
    return st;
}

/* ---- folders --------------------------------------------------------------------------------------------------------- */

static void remove_folder(const AdvRun *r, const char *dir, const char *name)
{
    const AdvIo *io = r->s->ctx->io;
    char path[ADV_PATH_BYTES];
    /* the manifest first: from then on it is no checkpoint */
    if (adv_run_path(path, dir, name, ADV_MANIFEST_FILE, NULL) == ADV_OK) io->unlink(io->user, path);
    if (adv_run_path(path, dir, name, ADV_STATE_FILE, NULL) == ADV_OK) io->unlink(io->user, path);
    if (adv_run_path(path, dir, name, NULL, NULL) == ADV_OK) io->rmdir(io->user, path);
}

/* Removes all but this and the previous checkpoint, and bests older than both name. */
static void prune(const AdvRun *r, const char *dir)
{
    AdvFolder *fs = adv_mem_new(&r->s->ctx->alloc, sizeof *fs * ADV_MOST_FOLDERS);
    if (!fs || !r->prev_dir[0]) {
        adv_mem_free(&r->s->ctx->alloc, fs, sizeof *fs * ADV_MOST_FOLDERS);
        return;
    }
    uint32_t n;
    (void)adv_folders_list(r->s->ctx, dir, "ckpt", fs, &n);
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(fs[i].name, r->this_dir) && strcmp(fs[i].name, r->prev_dir)) remove_folder(r, dir, fs[i].name);
    (void)adv_folders_list(r->s->ctx, dir, "best", fs, &n);
    for (uint32_t i = 0; i < n; i++)
        if (fs[i].step < r->prev_best_step && strcmp(fs[i].name, r->best_dir)) remove_folder(r, dir, fs[i].name);
    adv_mem_free(&r->s->ctx->alloc, fs, sizeof *fs * ADV_MOST_FOLDERS);
}

/* In another run folder than before nothing of this run is yet. */
static void enter(AdvRun *r, const char *dir)
{
    if (!strcmp(r->dir, dir)) return;
    snprintf(r->dir, sizeof r->dir, "%s", dir);
    r->this_dir[0] = r->prev_dir[0] = r->best_dir[0] = 0;
    r->prev_best_step = -1;
    r->best_is_unsaved = r->at.best_epoch > 0;
}

AdvStatus adv_checkpoint_save(AdvRun *r, const char *dir, AdvDiags *ds)
{
    char name[ADV_FOLDER_NAME];
    AdvSession *s = r->s;
    enter(r, dir);
    if (r->best_is_unsaved) {
        ADV_TRY(write_states(r, dir, true, r->best_mem, name, ds));
        memcpy(r->best_dir, name, sizeof name);
        ADV_TRY(write_pointer(r, dir, "BEST", name, ds));
        r->best_is_unsaved = false;
    }
    char *mem = adv_mem_new(&s->ctx->alloc, (size_t)r->saved_bytes + 1);
    if (!mem) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while writing a checkpoint");
    AdvStatus st = adv_run_store(r, mem);
    if (st == ADV_OK) st = write_states(r, dir, false, mem, name, ds);
    adv_mem_free(&s->ctx->alloc, mem, (size_t)r->saved_bytes + 1);
    if (st == ADV_OK) st = write_pointer(r, dir, "LATEST", name, ds);
    if (st != ADV_OK)
        return adv_fail_while(ds, st, "writing a checkpoint of step %" PRId64 " in `%s`; older ones are intact", r->at.total_step, dir);
    memcpy(r->prev_dir, r->this_dir, sizeof name);
    memcpy(r->this_dir, name, sizeof name);
    prune(r, dir);
    r->prev_best_step = r->at.best_epoch ? r->at.best_step : -1;
    return ADV_OK;
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

/* One folder while it is read. `why` says what is wrong with it. */
typedef struct Loading {
    AdvRun *r;
    const char *dir, *name;
    AdvArena arena;
    AdvContainer c;
    void *data;
    uint64_t n_bytes;
    char why[256];
} Loading;

static AdvStatus broken(Loading *l, AdvStatus st, const char *fmt, ...) ADV_PRINTF(3, 4);
static AdvStatus broken(Loading *l, AdvStatus st, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->why, sizeof l->why, fmt, ap);
    va_end(ap);
    return st;
}

/* Reads a file without adding to the diagnostics; the newest message of a list of its own becomes `why`. */
static AdvStatus read_quietly(Loading *l, const char *file, uint64_t max_bytes, void **out, uint64_t *out_bytes)
{
    char path[ADV_PATH_BYTES];
    const AdvCtx *ctx = l->r->s->ctx;
    AdvDiags *own = adv_diags_new(ctx->alloc);
    AdvStatus st = adv_run_path(path, l->dir, l->name, file, own);
    if (st == ADV_OK) st = adv_read_file(ctx->io, &ctx->alloc, path, max_bytes, own, out, out_bytes);
    if (st != ADV_OK) broken(l, st, "%s", own && own->list.n ? own->list.at[own->list.n - 1]->message : adv_status_name(st));
    adv_diags_free(own);
    return st;
}

/* Against the container's own digest, which its reader has found right. */
static AdvStatus check_manifest(Loading *l)
{
    void *text = NULL;
    uint64_t n = 0;
    ADV_TRY(read_quietly(l, ADV_MANIFEST_FILE, 65536, &text, &n));
    AdvJsonError err;
    json_t *m = adv_json_read(&l->r->s->ctx->alloc, text, (size_t)n, &err);
    const char *want = json_string_value(json_object_get(m, "xxh3_128")), *have = l->c.digest;
    json_int_t bytes = json_integer_value(json_object_get(m, "bytes"));
    AdvStatus st = ADV_OK;
    if (!m && err.is_memory) st = broken(l, ADV_ENOMEM, "out of memory while reading its %s", ADV_MANIFEST_FILE);
    else if (!want) st = broken(l, ADV_EDATA, "its %s cannot be read", ADV_MANIFEST_FILE);
    else if (bytes != (json_int_t)l->n_bytes)
        st = broken(l, ADV_EDATA, "its %s has %" PRIu64 " bytes instead of %" PRId64, ADV_STATE_FILE, l->n_bytes, (int64_t)bytes);
    else if (!have || strcmp(have, want))
        st = broken(l, ADV_EDATA, "its %s does not match the digest in %s", ADV_STATE_FILE, ADV_MANIFEST_FILE);
    json_decref(m);
    adv_mem_free(&l->r->s->ctx->alloc, text, (size_t)n + 1);
    return st;
}

static AdvStatus check_states(Loading *l)
{
    const AdvSession *s = l->r->s;
    for (uint32_t i = 0; i < s->plan->n_states; i++) {
        const AdvTensorType *t = &s->t->state_types[i];
        if (!adv_state_is_saved(s, i)) continue;
        const AdvBlob *b = adv_container_blob(&l->c, adv_state_name(s, i));
        if (!b) return broken(l, ADV_EDATA, "it lacks the state `%s`", adv_state_name(s, i));
        bool fits = b->rank == t->rank && b->dtype == t->dtype;
        for (uint32_t k = 0; fits && k < t->rank; k++) fits = b->dim[k] == t->dim[k];
        if (!fits) return broken(l, ADV_EDATA, "its state `%s` has another type (it was written on target `%s`)", adv_state_name(s, i),
                                 adv_container_meta(&l->c, "adv.target") ? adv_container_meta(&l->c, "adv.target") : "?");
    }
    return ADV_OK;
}

/* Opens, checks everything that does not depend on the place. The caller ends with close_folder in any case. */
static AdvStatus open_folder(Loading *l, AdvRun *r, const char *dir, const char *name)
{
    memset(l, 0, sizeof *l);
    l->r = r;
    l->dir = dir;
    l->name = name;
    adv_arena_init(&l->arena, r->s->ctx->alloc);
    ADV_TRY(read_quietly(l, ADV_STATE_FILE, UINT64_C(1) << 40, &l->data, &l->n_bytes));
    AdvDiags *own = adv_diags_new(r->s->ctx->alloc);
    AdvStatus st = adv_container_parse(&l->arena, l->data, l->n_bytes, ADV_STATE_FILE, own, &l->c);
    if (st != ADV_OK) broken(l, st, "%s", own && own->list.n ? own->list.at[0]->message : adv_status_name(st));
    adv_diags_free(own);
    ADV_TRY(st);
    ADV_TRY(check_manifest(l));
    const char *hash = adv_container_meta(&l->c, "adv.hash");
    if (!hash || strcmp(hash, r->s->plan->hash))
        return broken(l, ADV_EINVAL, "it is of plan %.64s, and this is plan %.64s", hash ? hash : "?", r->s->plan->hash);
    return check_states(l);
}

static void close_folder(Loading *l)
{
    if (l->data) adv_mem_free(&l->r->s->ctx->alloc, l->data, (size_t)l->n_bytes + 1);
    adv_arena_fini(&l->arena);
}

static void gather_states(const Loading *l, char *mem)
{
    const AdvSession *s = l->r->s;
    for (uint32_t i = 0; i < s->plan->n_states; i++) {
        if (!adv_state_is_saved(s, i)) continue;
        const AdvBlob *b = adv_container_blob(&l->c, adv_state_name(s, i));
        memcpy(mem, b->data, (size_t)b->n_bytes);
        mem += b->n_bytes;
    }
}

/* A list of n elements, or NULL with a reason; n == 0 needs none. */
static const void *list(Loading *l, const char *name, uint8_t dtype, int64_t n, AdvStatus *st)
{
    if (*st != ADV_OK || n == 0) return NULL;
    const AdvBlob *b = adv_container_blob(&l->c, name);
    if (b && b->dtype == dtype && b->rank == 1 && b->dim[0] == n) return b->data;
    *st = broken(l, ADV_EDATA, "its tensor `%s` is missing or has the wrong size", name);
    return NULL;
}

static void copy_list(void *to, const void *from, int64_t n, size_t elem_bytes)
{
    if (from) memcpy(to, from, (size_t)n * elem_bytes);
}

static bool within(int64_t x, int64_t min, int64_t max)
{
    return x >= min && x <= max;
}

/* Results that a run has at a place among the evaluations at the end: one a stage that ended, of the last weights and then of the
** kept ones. */
static int64_t rows_at_end(const AdvProgramDef *p, const AdvPlace *at)
{
    int64_t n = at->stage > 0 ? at->stage : 0;
    for (int64_t i = 0; i < p->n_evals; i++) {
        bool has_ended = i < at->eval || (i == at->eval && at->stage < 0);
        if (!p->evals[i].every) n += p->evals[i].n_stages * ((at->where == ADV_AT_FINAL_BEST) + has_ended);
    }
    return n;
}

/* Is it a place of this program? The digest holds, but a file may be made by hand. */
static bool place_is_sound(const AdvRun *r, const AdvPlace *at)
{
    const AdvProgramDef *p = r->p;
    bool ok = within(at->where, ADV_AT_STEPS, ADV_AT_DONE) && within(at->epoch, 0, p->epochs > 1 ? p->epochs : 1) &&
              within(at->step, 0, p->steps) && within(at->total_step, 0, p->epochs * p->steps) && within(at->n_rows, 0, r->n_max_rows) &&
              within(at->row_first, 0, at->n_rows) && within(at->best_epoch, 0, at->epoch) && within(at->best_step, 0, at->total_step) &&
              at->event_bytes >= 0;
    if (!ok) return false;
    if (at->where == ADV_AT_STEPS) return at->epoch >= 1 && at->epoch <= p->epochs;
    if (at->where == ADV_AT_DONE) return true;
    if (at->where == ADV_AT_FINAL_BEST && (!p->keep || !at->best_epoch)) return false;
    if (at->eval != -1) {
        if (!within(at->eval, 0, p->n_evals - (int64_t)1)) return false;
        const AdvProgEval *e = &p->evals[at->eval];
        if (!within(at->stage, -1, e->n_stages) || !within(at->next, 0, e->n)) return false;
        if ((e->every > 0) != (at->where == ADV_AT_EVALS)) return false;
    } else if (at->stage != -1) {
        return false;
    }
    if (at->stage >= 0 && at->row_first != at->n_rows - at->stage) return false;
    return at->where == ADV_AT_EVALS ? at->stage < 0 || at->row_first == 0 : at->n_rows == rows_at_end(p, at);
}

/* How many values were logged, by log: of an epoch, and none but SAMPLE keeps them. */
static bool counts_are_sound(const AdvRun *r, const int64_t *counts)
{
    for (uint32_t i = 0; i < r->p->n_logs; i++) {
        int64_t n, most = r->p->steps * adv_type_elems(&r->s->t->state_types[r->p->logs[i].state]);
        memcpy(&n, (const char *)counts + i * sizeof n, sizeof n);
        if (!within(n, 0, most)) return false;
    }
    return true;
}

typedef struct Parts {
    AdvPlace at;
    AdvSums sums;
    const int64_t *log_n, *row_classes, *classes;
    const double *log_sum;
    const void *row_ints, *row_nums;
    const uint8_t *flags;
    bool in_eval;
} Parts;

/* Finds all parts of the place and checks them; nothing is changed yet. */
static AdvStatus find_parts(Loading *l, Parts *x)
{
    AdvRun *r = l->r;
    AdvStatus st = ADV_OK;
    copy_list(&x->at, list(l, "adv.place", ADV_I64, ADV_PLACE_NUMBERS, &st), ADV_PLACE_NUMBERS, sizeof(int64_t));
    copy_list(&x->sums, list(l, "adv.sums", ADV_F64, 3, &st), 3, sizeof(double));
    ADV_TRY(st);
    if (!place_is_sound(r, &x->at)) return broken(l, ADV_EDATA, "its place in the program is not one of this plan");
    x->log_n = list(l, "adv.log.n", ADV_I64, r->p->n_logs, &st);
    x->log_sum = list(l, "adv.log.sum", ADV_F64, r->p->n_logs, &st);
    int64_t n_rows = x->at.n_rows;
    x->row_ints = list(l, "adv.row.ints", ADV_I64, n_rows * (int64_t)(sizeof *r->tally.row_ints / sizeof(int64_t)), &st);
    x->row_nums = list(l, "adv.row.nums", ADV_F64, n_rows * (int64_t)(sizeof *r->tally.row_nums / sizeof(double)), &st);
    x->row_classes = list(l, "adv.row.classes", ADV_I64, n_rows * 2 * (r->n_classes + 1), &st);
    x->in_eval = x->at.where != ADV_AT_STEPS && x->at.where != ADV_AT_DONE && x->at.stage >= 0 && x->at.eval >= 0;
    if (x->in_eval) {
        x->flags = list(l, "adv.eval.flags", ADV_U8, r->p->evals[x->at.eval].n, &st);
        x->classes = list(l, "adv.eval.classes", ADV_I64, 2 * (r->n_classes + 1), &st);
    }
    for (int64_t i = 0; st == ADV_OK && i < n_rows; i++) {
        AdvRowInts row;
        memcpy(&row, (const char *)x->row_ints + (size_t)i * sizeof row, sizeof row);
        if (!within(row.eval, 0, r->p->n_evals - (int64_t)1) || !within(row.stage, 0, r->p->evals[row.eval].n_stages - (int64_t)1) ||
            row.stage > i || row.n < 1) return broken(l, ADV_EDATA, "its results are not of this plan");
    }
    if (st == ADV_OK && !counts_are_sound(r, x->log_n)) return broken(l, ADV_EDATA, "its logged values are not of this plan");
    for (uint32_t i = 0; st == ADV_OK && adv_place_has_logs(&x->at) && i < r->p->n_logs; i++) {
        char name[32];
        int64_t n;
        memcpy(&n, (const char *)x->log_n + i * sizeof n, sizeof n);
        if (!r->logs[i].values) continue;
        snprintf(name, sizeof name, "adv.log.%u", i);
        list(l, name, ADV_F32, n, &st);
    }
    return st;
}

static void take_parts(Loading *l, const Parts *x)
{
    AdvRun *r = l->r;
    AdvStatus st = ADV_OK;
    r->at = x->at;
    r->sums = x->sums;
    copy_list(r->tally.row_ints, x->row_ints, r->at.n_rows, sizeof *r->tally.row_ints);
    copy_list(r->tally.row_nums, x->row_nums, r->at.n_rows, sizeof *r->tally.row_nums);
    copy_list(r->tally.row_classes, x->row_classes, r->at.n_rows * 2 * (r->n_classes + 1), sizeof(int64_t));
    adv_logs_reset(r);
    for (uint32_t i = 0; i < r->p->n_logs; i++) {
        char name[32];
        memcpy(&r->logs[i].n, (const char *)x->log_n + i * sizeof(int64_t), sizeof(int64_t));
        memcpy(&r->logs[i].sum, (const char *)x->log_sum + i * sizeof(double), sizeof(double));
        if (!adv_place_has_logs(&r->at) || !r->logs[i].values) continue;
        snprintf(name, sizeof name, "adv.log.%u", i);
        copy_list(r->logs[i].values, list(l, name, ADV_F32, r->logs[i].n, &st), r->logs[i].n, sizeof(float));
    }
    if (!x->in_eval) return;
    copy_list(r->tally.flags, x->flags, r->p->evals[r->at.eval].n, 1);
    copy_list(r->tally.classes, x->classes, 2 * (r->n_classes + 1), sizeof(int64_t));
    adv_eval_resume(r);
}

static AdvStatus load_best(Loading *l, const char *best)
{
    Loading b;
    AdvFolder f;
    AdvRun *r = l->r;
    if (!adv_folder_parse(best, "best", &f) || !r->best_mem) return broken(l, ADV_EDATA, "it names no valid folder of kept weights");
    AdvStatus st = open_folder(&b, r, l->dir, best);
    if (st != ADV_OK) broken(l, st, "its kept weights `%s` are damaged: %.180s", best, b.why);
    else gather_states(&b, r->best_mem);
    close_folder(&b);
    return st;
}

/* What the run chose by timing is obeyed, so that it goes on with the same bits. A failure leaves no kernels behind. */
static AdvStatus obey_choices(Loading *l, AdvDiags *ds)
{
    AdvSession *s = l->r->s;
    const AdvBlob *b = adv_container_blob(&l->c, "adv.choices");
    const char *backend = adv_container_meta(&l->c, "adv.backend");
    if (!b || b->dtype != ADV_U8 || !s->be->obey || !backend || strcmp(backend, s->be->name)) return ADV_OK;
    char *text = adv_arena_new(&l->arena, (size_t)b->n_bytes + 1);
    if (!text) return broken(l, ADV_ENOMEM, "out of memory");
    memcpy(text, b->data, (size_t)b->n_bytes);
    if (!strcmp(text, s->be->choices(s->self))) return ADV_OK;
    AdvStatus st = s->be->obey(s->self, text);
    if (st == ADV_OK) st = adv_session_reprepare(s, ds);
    if (st == ADV_OK) return ADV_OK;
    s->is_poisoned = true;
    return broken(l, ADV_EUNAVAILABLE, "what it chose by timing cannot be used here");
}

/* Tries one folder. Only success changes the session (and the copy of the kept weights, which success replaces again). */
static AdvStatus try_folder(AdvRun *r, const char *dir, const char *name, char *why, size_t n_why, AdvDiags *ds)
{
    Loading l;
    Parts x = {.in_eval = false};
    char *mem = NULL;
    AdvStatus st = open_folder(&l, r, dir, name);
    if (st == ADV_OK) st = find_parts(&l, &x);
    const char *best = st == ADV_OK ? adv_container_meta(&l.c, "adv.best") : NULL;
    if (st == ADV_OK && x.at.best_epoch) st = load_best(&l, best ? best : "");
    if (st == ADV_OK) {
        mem = adv_mem_new(&r->s->ctx->alloc, (size_t)r->saved_bytes + 1);
        if (!mem) st = broken(&l, ADV_ENOMEM, "out of memory");
    }
    if (st == ADV_OK) st = obey_choices(&l, ds);
    if (st == ADV_OK) {
        gather_states(&l, mem);
        st = adv_run_restore(r, mem);
    }
    if (st == ADV_OK) {
        take_parts(&l, &x);
        const char *threads = adv_container_meta(&l.c, "adv.threads"), *backend = adv_container_meta(&l.c, "adv.backend");
        if (threads && (unsigned)atoi(threads) != r->s->n_threads)
            adv_diag(ds, ADV_D_THREADS_DIFFER, (AdvSpan){0, 0, 0},
                     "the run began with %s threads and goes on with %u: it may differ in rounding", threads, r->s->n_threads);
        if (backend && strcmp(backend, r->s->be->name))
            adv_diag(ds, ADV_D_THREADS_DIFFER, (AdvSpan){0, 0, 0},
                     "the run began on back end `%s` and goes on on `%s`: it will differ in rounding", backend, r->s->be->name);
        snprintf(r->dir, sizeof r->dir, "%s", dir);
        snprintf(r->best_dir, sizeof r->best_dir, "%s", best ? best : "");
        snprintf(r->this_dir, sizeof r->this_dir, "%s", name);
        r->prev_dir[0] = 0;
        r->prev_best_step = -1;
        r->snap_step = -1;
        r->is_swapped = r->best_is_unsaved = false;
        r->is_resumed = true;
    }
    if (mem) adv_mem_free(&r->s->ctx->alloc, mem, (size_t)r->saved_bytes + 1);
    snprintf(why, n_why, "%s", l.why);
    close_folder(&l);
    return st;
}

AdvStatus adv_checkpoint_load(AdvRun *r, const char *dir, AdvDiags *ds)
{
    char why[256] = "", first_why[256] = "", first[ADV_FOLDER_NAME] = "";
    const AdvAlloc *a = &r->s->ctx->alloc;
    AdvFolder *fs = adv_mem_new(a, sizeof *fs * (ADV_MOST_FOLDERS + 1));
    if (!fs) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while looking for checkpoints");
    uint32_t n;
    int err = adv_checkpoints_find(r->s->ctx, dir, fs, &n);
    AdvStatus st = ADV_ENOENT, first_st = ADV_ENOENT;
    for (uint32_t i = 0; i < n && st != ADV_OK && st != ADV_EINVAL && st != ADV_ENOMEM && st != ADV_EUNAVAILABLE; i++) {
        st = try_folder(r, dir, fs[i].name, why, sizeof why, ds);
        if (st == ADV_OK && first[0])
            adv_diag(ds, ADV_D_CHECKPOINT_OLDER, (AdvSpan){0, 0, 0}, "checkpoint `%s` is damaged (%s): going on from `%s`", first,
                     first_why, fs[i].name);
        if (st != ADV_OK && !first[0]) {
            first_st = st;
            memcpy(first, fs[i].name, ADV_FOLDER_NAME);
            memcpy(first_why, why, sizeof why);
        }
    }
    adv_mem_free(a, fs, sizeof *fs * (ADV_MOST_FOLDERS + 1));
    if (st == ADV_OK) return ADV_OK;
    if (err && st != ADV_EINVAL && st != ADV_EUNAVAILABLE && st != ADV_ENOMEM)
        return adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot look for checkpoints in `%s`: %s", dir, strerror(-err));
    if (!first[0]) return adv_fail(ds, ADV_ENOENT, ADV_D_CHECKPOINT_NONE, "there is no checkpoint in `%s`", dir);
    if (st == ADV_EINVAL) {
        AdvDiag *d = adv_diag(ds, ADV_D_CHECKPOINT_OTHER, (AdvSpan){0, 0, 0}, "checkpoint `%s/%s` does not belong to this plan: %s", dir,
                              first, why);
        adv_diag_help(d, "go on with the plan of that run, `advrun --resume=%s`, or take its weights alone, `--weights=%s/%s`", dir, dir,
                      first);
        return ADV_EDATA;
    }
    if (st == ADV_EUNAVAILABLE) return adv_fail(ds, st, ADV_D_BACKEND, "checkpoint `%s` cannot go on here: %s", first, why);
    if (st == ADV_ENOMEM) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading checkpoint `%s`", first);
    if (first_st == ADV_EIO)
        return adv_fail(ds, ADV_EIO, ADV_D_IO, "the newest checkpoint in `%s`, `%s`, cannot be read: %s", dir, first, first_why);
    return adv_fail(ds, ADV_EDATA, ADV_D_CHECKPOINT, "no checkpoint in `%s` is whole; the newest, `%s`: %s", dir, first, first_why);
}
