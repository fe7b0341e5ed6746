/* choose.c: several ways to do the same work, one of them by time, and never twice.
**
** A choice is a pair of texts: the problem in full, and the label of what was chosen. Where it comes from, in order:
**   1. what a checkpoint says (obey): so a resumed run computes the same bits, whatever the cache holds by then
**   2. the choice made for the same problem in this session
**   3. `deterministic`: the first candidate that runs
**   4. the cache folder's file for this GPU and these libraries
**   5. timing: each candidate recorded as a session records it (what cannot be is no candidate), replayed once with a clock, and the four
**      fastest four times more, in turns; the least median. What the host takes to launch does not count
** As text a line a choice: the label, a tab, the key. The cache file adv-cuda-choices-<hash>.txt holds such lines; lines that
** are none are ignored with a warning.
*/
#include "runtime/base/hash.h"
#include "runtime/cuda/cuda_back.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    N_RUNS = 5, N_FINAL = 4, N_TOGETHER = 2, /* times that a candidate is timed; candidates that are more than once; runs of a recording */
    WARM_MS = 50, MOST_WARM = 512,           /* work before anything is timed, and in how many replays at most */
    MOST_CANDIDATES = 32,
    OFFERED = 2                              /* raised when what is offered or how it is written changes: choices of before are made anew */
};

/* Lists of choices outlive `unprepare`, so they have memory of their own. */
static char *dup_text(const AdvCudaBack *b, const char *text, size_t n)
{
    char *p = adv_mem_new(&b->host.opts.alloc, n + 1);
    if (!p) return NULL;
    memcpy(p, text, n);
    p[n] = 0;
    return p;
}

static void drop_text(const AdvCudaBack *b, const char *text)
{
    if (text) adv_mem_free(&b->host.opts.alloc, (void *)(uintptr_t)text, strlen(text) + 1);
}

static const char *find(const CudaChoices *l, const char *key)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (!strcmp(l->at[i].key, key)) return l->at[i].label;
    return NULL;
}

static AdvStatus add(AdvCudaBack *b, CudaChoices *l, const char *key, size_t n_key, const char *label, size_t n_label)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 32;
        CudaChoice *at = adv_mem_new(&b->host.opts.alloc, cap * sizeof *at);
        if (!at) return adv_cuda_fail(b, ADV_ENOMEM, "out of memory for choices");
        if (l->n) memcpy(at, l->at, l->n * sizeof *at);
        adv_mem_free(&b->host.opts.alloc, l->at, l->cap * sizeof *at);
        l->at = at;
        l->cap = cap;
    }
    CudaChoice c = {dup_text(b, key, n_key), dup_text(b, label, n_label)};
    if (!c.key || !c.label) {
        drop_text(b, c.key);
        drop_text(b, c.label);
        return adv_cuda_fail(b, ADV_ENOMEM, "out of memory for choices");
    }
    l->at[l->n++] = c;
    return ADV_OK;
}

static void clear(AdvCudaBack *b, CudaChoices *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        drop_text(b, l->at[i].key);
        drop_text(b, l->at[i].label);
    }
    adv_mem_free(&b->host.opts.alloc, l->at, l->cap * sizeof *l->at);
    *l = (CudaChoices){NULL, 0, 0};
}

/* Adds the lines of a text; the number that are none. */
static AdvStatus add_lines(AdvCudaBack *b, CudaChoices *l, const char *text, uint32_t *out_bad)
{
    *out_bad = 0;
    while (*text) {
        size_t n = strcspn(text, "\n"), tab = strcspn(text, "\t\n");
        if (!n || tab == 0 || tab >= n - 1) *out_bad += n != 0;
        else ADV_TRY(add(b, l, text + tab + 1, n - tab - 1, text, tab));
        text += n + (text[n] == '\n');
    }
    return ADV_OK;
}

/* ---- text ------------------------------------------------------------------------------------------------------------ */

static AdvStatus to_text(AdvCudaBack *b, const CudaChoices *l)
{
    size_t n = 1, at = 0;
    for (uint32_t i = 0; i < l->n; i++) n += strlen(l->at[i].key) + strlen(l->at[i].label) + 2;
    adv_mem_free(&b->host.opts.alloc, b->choice_text, b->choice_text_bytes);
    b->choice_text = adv_mem_new0(&b->host.opts.alloc, n);
    b->choice_text_bytes = b->choice_text ? n : 0;
    if (!b->choice_text) return adv_cuda_fail(b, ADV_ENOMEM, "out of memory for choices");
    for (uint32_t i = 0; i < l->n; i++) at += (size_t)snprintf(b->choice_text + at, n - at, "%s\t%s\n", l->at[i].label, l->at[i].key);
    return ADV_OK;
}

const char *adv_cuda_choices(const void *self)
{
    const AdvCudaBack *b = self;
    return b->choice_text ? b->choice_text : "";
}

AdvStatus adv_cuda_obey(void *self, const char *choices)
{
    AdvCudaBack *b = self;
    uint32_t n_bad;
    clear(b, &b->orders);
    clear(b, &b->made);
    return add_lines(b, &b->orders, choices, &n_bad);
}

/* ---- the cache ------------------------------------------------------------------------------------------------------- */

static bool cache_path(AdvCudaBack *b, char *path, size_t n)
{
    int runtime = 0;
    if (!b->host.opts.cache_dir) return false;
    (void)b->api.cudaRuntimeGetVersion(&runtime);
    uint64_t h = adv_hash_u64(adv_hash_u64(adv_hash_str(ADV_HASH_START, b->prop.name), (uint64_t)runtime), OFFERED);
    if (b->is_open[ADV_CUDA_DNN]) h = adv_hash_u64(h, (uint64_t)b->api.cudnnGetVersion());
    int len = snprintf(path, n, "%s/adv-cuda-choices-%016" PRIx64 ".txt", b->host.opts.cache_dir, h);
    return len > 0 && (size_t)len < n;
}

static AdvStatus read_cache(AdvCudaBack *b)
{
    char path[ADV_PATH_BYTES];
    void *data = NULL;
    uint64_t n = 0;
    uint32_t n_bad = 0;
    if (b->has_cached) return ADV_OK;
    b->has_cached = true;
    if (!cache_path(b, path, sizeof path)) return ADV_OK;
    if (adv_read_file(b->host.opts.io, &b->host.opts.alloc, path, 64 << 20, NULL, &data, &n) != ADV_OK) return ADV_OK;
    AdvStatus st = add_lines(b, &b->cached, data, &n_bad);
    if (n_bad) adv_cuda_warn(&b->cuda, "warning: %u lines of `%s` are damaged and are ignored", n_bad, path);
    adv_mem_free(&b->host.opts.alloc, data, (size_t)n + 1);
    return st;
}

AdvStatus adv_cuda_choices_end(AdvCudaBack *b)
{
    char path[ADV_PATH_BYTES];
    if (b->n_new && !b->cuda.is_deterministic && cache_path(b, path, sizeof path)) {
        ADV_TRY(to_text(b, &b->cached));
        if (adv_write_file(b->host.opts.io, &b->host.opts.alloc, path, b->choice_text, b->choice_text_bytes - 1, NULL) != ADV_OK)
            adv_cuda_warn(&b->cuda, "warning: choices cannot be kept in `%s`", path);
    }
    b->n_new = 0;
    return to_text(b, &b->made);
}

/* ---- choosing -------------------------------------------------------------------------------------------------------- */

static AdvStatus record(AdvCudaBack *b, const AdvCudaTrial *t, uint32_t ix, void **out)
{
    AdvStatus st = ADV_OK;
    *out = NULL;
    ADV_TRY(adv_cuda_record_begin(b));
    for (uint32_t k = 0; k < N_TOGETHER && st == ADV_OK; k++) st = t->try_run(t->user, ix);
    AdvStatus end = adv_cuda_record_end(b, out);
    if (st == ADV_OK) return end;
    if (*out) adv_cuda_forget(b, *out);
    return st;
}

/* Runs a candidate to its end, then records it; a failure that leaves the device unusable is the session's. */
static AdvStatus run_once(AdvCudaBack *b, const AdvCudaTrial *t, uint32_t ix, void **out)
{
    *out = NULL;
    ADV_TRY(t->try_run(t->user, ix));
    ADV_TRY(adv_cuda_sync(b));
    return record(b, t, ix, out);
}

static AdvStatus can_run(AdvCudaBack *b, const AdvCudaTrial *t, uint32_t ix)
{
    void *recording;
    ADV_TRY(run_once(b, t, ix, &recording));
    adv_cuda_forget(b, recording);
    return ADV_OK;
}

/* ---- timing ---------------------------------------------------------------------------------------------------------- */

/* A candidate that runs and can be recorded. */
typedef struct Entrant {
    uint32_t ix;
    void *recording;
    float ms[N_RUNS];
} Entrant;

/* The first replay keeps the device at work while the host hands over the second, which is timed. */
static AdvStatus time_once(AdvCudaBack *b, void *recording, float *out_ms)
{
    ADV_TRY(adv_cuda_replay(b, recording));
    ADV_TRY(adv_cuda_check(&b->cuda, b->api.cudaEventRecord(b->t0, b->cuda.stream), "cudaEventRecord"));
    ADV_TRY(adv_cuda_replay(b, recording));
    ADV_TRY(adv_cuda_check(&b->cuda, b->api.cudaEventRecord(b->t1, b->cuda.stream), "cudaEventRecord"));
    ADV_TRY(adv_cuda_check(&b->cuda, b->api.cudaEventSynchronize(b->t1), "cudaEventSynchronize"));
    return adv_cuda_check(&b->cuda, b->api.cudaEventElapsedTime(out_ms, b->t0, b->t1), "cudaEventElapsedTime");
}

/* A device that did nothing for a while begins slowly, and would time the first candidates of a session by another clock. */
static AdvStatus warm_up(AdvCudaBack *b, void *recording)
{
    float ms = 0, all = 0;
    for (int k = 0; k < MOST_WARM && all < WARM_MS && !b->is_warm; k++) {
        ADV_TRY(time_once(b, recording, &ms));
        all += 2 * ms;
    }
    b->is_warm = true;
    return ADV_OK;
}

/* A line for --verbose=dispatch. */
static void say(AdvCudaBack *b, const AdvCudaTrial *t, uint32_t ix, AdvStatus st, float ms, const char *more)
{
    if (!b->host.opts.says_choices) return;
    if (st != ADV_OK) adv_cuda_warn(&b->cuda, "choice: %s: %s fails: %s", t->key, t->label(t->user, ix), b->error);
    else adv_cuda_warn(&b->cuda, "choice: %s: %s %.1f us%s", t->key, t->label(t->user, ix), (double)ms * 1e3 / N_TOGETHER, more);
}

/* Those that run, each with its recording. All run before one is recorded, as memory for trials may move while it grows; and once more
** just before, so that nothing of it is new to the recording. Candidates that fail are left out; *out_st is the status of the last. */
static uint32_t enter(AdvCudaBack *b, const AdvCudaTrial *t, Entrant *e, AdvStatus *out_st)
{
    uint32_t n = 0, n_recorded = 0;
    for (uint32_t i = 0; i < t->n_candidates && !b->sticky; i++) {
        AdvStatus st = t->try_run(t->user, i);
        if (st == ADV_OK) st = adv_cuda_sync(b);
        if (st == ADV_OK) e[n++] = (Entrant){.ix = i};
        else say(b, t, i, *out_st = st, 0, "");
    }
    for (uint32_t k = 0; k < n && !b->sticky; k++) {
        Entrant x = e[k];
        AdvStatus st = run_once(b, t, x.ix, &x.recording);
        if (st == ADV_OK) e[n_recorded++] = x;
        else say(b, t, x.ix, *out_st = st, 0, "");
    }
    return n_recorded;
}

static int by_first(const void *a, const void *b)
{
    const Entrant *x = a, *y = b;
    return x->ms[0] != y->ms[0] ? (x->ms[0] > y->ms[0]) - (x->ms[0] < y->ms[0]) : (x->ix > y->ix) - (x->ix < y->ix);
}

static int by_time(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* All once, then the fastest of them in turns, so that what changes on the device changes for each. *out is the one of least median. */
static AdvStatus race(AdvCudaBack *b, const AdvCudaTrial *t, Entrant *e, uint32_t n, uint32_t *out)
{
    ADV_TRY(warm_up(b, e[0].recording));
    for (uint32_t r = 0, n_left = n; r < N_RUNS; r++) {
        for (uint32_t k = 0; k < n_left; k++) ADV_TRY(time_once(b, e[k].recording, &e[k].ms[r]));
        if (r > 0) continue;
        qsort(e, n, sizeof *e, by_first);
        n_left = n < N_FINAL ? n : N_FINAL;
    }
    uint32_t best = 0, middle = N_RUNS / 2;
    for (uint32_t k = 0; k < n && k < N_FINAL; k++) {
        qsort(e[k].ms, N_RUNS, sizeof *e[k].ms, by_time);
        float ms = e[k].ms[middle], least = e[best].ms[middle];
        if (ms < least || (ms == least && e[k].ix < e[best].ix)) best = k;
    }
    for (uint32_t k = 0; k < n; k++) say(b, t, e[k].ix, ADV_OK, e[k].ms[k < N_FINAL ? middle : 0], k == best ? ", taken" : "");
    *out = e[best].ix;
    return ADV_OK;
}

static AdvStatus fastest(AdvCudaBack *b, const AdvCudaTrial *t, uint32_t *out_ix)
{
    Entrant e[MOST_CANDIDATES];
    AdvStatus st = ADV_EUNAVAILABLE;
    assert(t->n_candidates <= MOST_CANDIDATES);
    uint32_t n = enter(b, t, e, &st);
    if (n > 0 && !b->sticky) st = race(b, t, e, n, out_ix);
    for (uint32_t k = 0; k < n; k++) adv_cuda_forget(b, e[k].recording);
    return st;
}

static AdvStatus first_that_runs(AdvCudaBack *b, const AdvCudaTrial *t, uint32_t *out_ix)
{
    AdvStatus st = ADV_EUNAVAILABLE;
    for (uint32_t i = 0; i < t->n_candidates && st != ADV_OK && !b->sticky; i++) {
        st = can_run(b, t, i);
        *out_ix = i;
    }
    return st;
}

/* ---- the choice ------------------------------------------------------------------------------------------------------ */

/* The index of a label, or n_candidates. */
static uint32_t labelled(const AdvCudaTrial *t, const char *label)
{
    uint32_t ix = 0;
    while (ix < t->n_candidates && strcmp(t->label(t->user, ix), label)) ix++;
    return ix;
}

/* Candidates that fail are passed over silently: their sentences are for nobody, but for the last's where none runs. */
static AdvStatus try_all(AdvCudaBack *b, const AdvCudaTrial *t, bool by_order, uint32_t *out_ix)
{
    AdvDiags *ds = b->ds;
    b->ds = NULL;
    AdvStatus st = by_order ? first_that_runs(b, t, out_ix) : fastest(b, t, out_ix);
    b->ds = ds;
    if (b->sticky)
        return adv_cuda_fail(b, ADV_EUNAVAILABLE, "the device failed while a kernel was tried: %s", b->api.cudaGetErrorString(b->sticky));
    if (st == ADV_OK) b->error[0] = 0;
    return st;
}

static AdvStatus keep(AdvCudaBack *b, const AdvCudaTrial *t, uint32_t ix)
{
    const char *label = t->label(t->user, ix);
    return add(b, &b->made, t->key, strlen(t->key), label, strlen(label));
}

AdvStatus adv_cuda_known(AdvCuda *c, const char *key, const char **out_label)
{
    AdvCudaBack *b = c->back;
    *out_label = find(&b->orders, key);
    if (!*out_label) *out_label = find(&b->made, key);
    if (*out_label || c->is_deterministic) return ADV_OK;
    ADV_TRY(read_cache(b));
    *out_label = find(&b->cached, key);
    return ADV_OK;
}

AdvStatus adv_cuda_choose(AdvCuda *c, const AdvCudaTrial *t, uint32_t *out_ix)
{
    AdvCudaBack *b = c->back;
    uint32_t ix = t->n_candidates;
    assert(t->n_candidates && !strpbrk(t->key, "\t\n"));
    const char *label = find(&b->orders, t->key);
    if (label && (ix = labelled(t, label)) == t->n_candidates)
        return adv_cuda_fail(b, ADV_EUNAVAILABLE, "the run chose `%s` for `%s`, which this machine's libraries do not have", label, t->key);
    const char *made = find(&b->made, t->key);
    if (!label && made) ix = labelled(t, made);
    if (!label && !made && !c->is_deterministic) {
        ADV_TRY(read_cache(b));
        const char *cached = find(&b->cached, t->key);
        if (cached) ix = labelled(t, cached);
    }
    if (ix == t->n_candidates) {
        ADV_TRY(try_all(b, t, c->is_deterministic || t->n_candidates == 1, &ix));
        label = t->label(t->user, ix);
        if (!c->is_deterministic) ADV_TRY(add(b, &b->cached, t->key, strlen(t->key), label, strlen(label)));
        b->n_new++;
    }
    *out_ix = ix;
    return made ? ADV_OK : keep(b, t, ix);
}

void *adv_cuda_trial_memory(AdvCuda *c, uint64_t n_bytes)
{
    AdvCudaBack *b = c->back;
    if (n_bytes <= b->trial_bytes) return b->trial_mem;
    if (b->trial_mem) (void)b->api.cudaFree(b->trial_mem);
    b->trial_bytes = 0;
    b->trial_mem = adv_cuda_alloc(b, n_bytes);
    if (!b->trial_mem || adv_cuda_fill(b, b->trial_mem, 0x3c, n_bytes) != ADV_OK) return NULL; /* small numbers in f32 and bf16, no NaN */
    b->trial_bytes = n_bytes;
    return b->trial_mem;
}

void adv_cuda_forget_choices(AdvCudaBack *b)
{
    clear(b, &b->made);
    clear(b, &b->orders);
    clear(b, &b->cached);
    adv_mem_free(&b->host.opts.alloc, b->choice_text, b->choice_text_bytes);
    b->choice_text = NULL;
    b->choice_text_bytes = 0;
}
