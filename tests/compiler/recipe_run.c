/* recipe_run.c: see recipe_run.h. */
#include "tests/compiler/recipe_run.h"

#include "runtime/base/hash.h"
#include "runtime/plan_load.h"

#include <math.h>

static void *checked(void *p)
{
    if (!p) abort();
    return p;
}

static void show(void *user, const char *text, size_t n)
{
    (void)user;
    fwrite(text, 1, n, stdout);
}

static int64_t elems(const AdvTensorType *t)
{
    int64_t n = 1;
    for (uint32_t d = 0; d < t->rank; d++) n *= t->dim[d];
    return n;
}

static AdvView dense(const AdvTensorType *t, uint8_t dtype, void *data)
{
    AdvView v = {.dtype = dtype, .rank = t->rank, .data = data};
    int64_t stride = 1;
    for (int d = t->rank - 1; d >= 0; d--) {
        v.dim[d] = t->dim[d];
        v.stride[d] = stride;
        stride *= t->dim[d];
    }
    return v;
}

/* One block of bytes for all runs: as long as the longest data state so far, never freed while the program runs. */
static void *made_up(const AdvTensorType *t)
{
    static uint64_t *bytes, n_words;
    static int32_t *labels;
    static int64_t n_labels;
    int64_t n = elems(t);
    if (t->dtype == ADV_I32) {
        if (n > n_labels) labels = checked(realloc(labels, (size_t)n * sizeof *labels));
        for (; n_labels < n; n_labels++) labels[n_labels] = (int32_t)(n_labels * 7 % 10);
        return labels;
    }
    uint64_t want = (uint64_t)n / 8 + 1, h = 88172645463325252u;
    if (want > n_words) {
        bytes = checked(realloc(bytes, want * 8));
        for (n_words = 0; n_words < want; n_words++) {
            h ^= h << 13, h ^= h >> 7, h ^= h << 17;
            bytes[n_words] = h;
        }
    }
    return bytes;
}

static AdvStatus bind_data(RecipeRun *x)
{
    int32_t kind, saved;
    const char *name;
    for (int pass = 0; pass < 2; pass++) { /* lengths first: the block may move while it grows */
        for (uint32_t i = 0; (name = adv_session_state(x->s, i, &kind, &saved)) != NULL; i++) {
            AdvTensorType t;
            if (kind != ADV_STATE_DATA) continue;
            ADV_TRY(adv_session_type(x->s, name, &t));
            AdvView v = dense(&t, t.dtype, made_up(&t));
            if (pass) ADV_TRY(adv_session_bind(x->s, name, &v, x->ds));
        }
    }
    return ADV_OK;
}

static AdvStatus open_all(RecipeRun *x, const Recipe *r, const RecipeRunOpts *o)
{
    const char *target = o->target ? o->target : "ref";
    AdvSessionOpts so = {.struct_size = sizeof so, .backend = o->backend, .target = target, .n_threads = 1, .check = o->check,
                         .backend_dir = o->backend_dir, .cache_dir = o->cache_dir};
    if (o->strict) so.flags |= ADV_SESSION_STRICT;
    x->bytes = recipe_plan(r, o->targets ? o->targets : target, o->skip, &x->n_bytes);
    if (!x->bytes) return ADV_ERECIPE;
    ADV_TRY(adv_plan_load(x->ctx, x->bytes, x->n_bytes, x->ds, &x->plan));
    ADV_TRY(adv_session_open(x->ctx, x->plan, &so, x->ds, &x->s));
    ADV_TRY(bind_data(x));
    return adv_session_run(x->s, "init", x->ds);
}

RecipeRun *recipe_run_open(const Recipe *r, const RecipeRunOpts *o)
{
    RecipeRun *x = checked(calloc(1, sizeof *x));
    if (adv_ctx_new(NULL, &x->ctx) != ADV_OK || adv_diags_open(x->ctx, &x->ds) != ADV_OK) abort();
    AdvStatus st = open_all(x, r, o);
    if (st == ADV_OK) return x;
    printf("%s: does not open: %s\n", r->name, adv_status_name(st));
    adv_diags_render(x->ds, ADV_PRINT_HUMAN, show, NULL);
    recipe_run_close(x);
    return NULL;
}

void recipe_run_close(RecipeRun *x)
{
    if (!x) return;
    adv_session_close(x->s);
    adv_plan_close(x->plan);
    adv_diags_free(x->ds);
    adv_ctx_free(x->ctx);
    if (x->bytes) recipe_plan_free(x->bytes, x->n_bytes);
    free(x);
}

AdvStatus recipe_run_entry(RecipeRun *x, const char *entry)
{
    AdvStatus st = adv_session_run(x->s, entry, x->ds);
    if (st != ADV_OK) {
        printf("%s: %s\n", entry, adv_status_name(st));
        adv_diags_render(x->ds, ADV_PRINT_HUMAN, show, NULL);
    }
    return st;
}

AdvStatus recipe_run_step(RecipeRun *x, int64_t step)
{
    ADV_TRY(adv_session_set(x->s, "run.epoch", 1));
    ADV_TRY(adv_session_set(x->s, "run.step", (double)step));
    ADV_TRY(recipe_run_entry(x, "batch"));
    const char *entry;
    for (uint32_t i = 0; (entry = recipe_run_entry_name(x, i)) != NULL; i++)
        if (strncmp(entry, "step.", 5) == 0) ADV_TRY(recipe_run_entry(x, entry));
    return ADV_OK;
}

const char *recipe_run_entry_name(const RecipeRun *x, uint32_t ix)
{
    const AdvPlanTarget *t = &x->plan->targets[0];
    return ix < t->n_entries ? adv_plan_str(x->plan, t->entries[ix].name) : NULL;
}

bool recipe_run_has(const RecipeRun *x, const char *state)
{
    AdvTensorType t;
    return adv_session_type(x->s, state, &t) == ADV_OK;
}

static AdvTensorType type_of(const RecipeRun *x, const char *state)
{
    AdvTensorType t;
    if (adv_session_type(x->s, state, &t) == ADV_OK) return t;
    printf("there is no state `%s`\n", state);
    abort();
}

double *recipe_run_read(const RecipeRun *x, const char *state, int64_t *out_n)
{
    AdvTensorType t = type_of(x, state);
    double *values = checked(malloc(sizeof *values * (size_t)elems(&t)));
    AdvView v = dense(&t, ADV_F64, values);
    if (adv_session_read(x->s, state, &v, x->ds) != ADV_OK) abort();
    if (out_n) *out_n = elems(&t);
    return values;
}

double recipe_run_get(const RecipeRun *x, const char *state)
{
    double *v = recipe_run_read(x, state, NULL), first = v[0];
    free(v);
    return first;
}

void recipe_run_write(RecipeRun *x, const char *state, const double *values)
{
    AdvTensorType t = type_of(x, state);
    double *own = checked(malloc(sizeof *own * (size_t)elems(&t)));
    memcpy(own, values, sizeof *own * (size_t)elems(&t));
    AdvView v = dense(&t, ADV_F64, own);
    if (adv_session_write(x->s, state, &v, x->ds) != ADV_OK) abort();
    free(own);
}

/* Calls fn for each state that a step may have written, with its numbers, until it says stop. */
static const char *each_state(const RecipeRun *x, bool (*fn)(void *user, const char *name, const double *v, int64_t n), void *user)
{
    int32_t kind, saved;
    const char *name;
    for (uint32_t i = 0; (name = adv_session_state(x->s, i, &kind, &saved)) != NULL; i++) {
        int64_t n;
        if (kind == ADV_STATE_DATA || strncmp(name, "eval.", 5) == 0) continue;
        double *v = recipe_run_read(x, name, &n);
        bool go = fn(user, name, v, n);
        free(v);
        if (!go) return name;
    }
    return NULL;
}

static bool add_digest(void *user, const char *name, const double *v, int64_t n)
{
    uint64_t *h = user;
    *h = adv_hash_bytes(adv_hash_str(*h, name), v, (size_t)n * sizeof *v);
    return true;
}

uint64_t recipe_run_digest(const RecipeRun *x)
{
    uint64_t h = ADV_HASH_START;
    each_state(x, add_digest, &h);
    return h;
}

typedef struct Other { const RecipeRun *x; const char *but; } Other;

static bool same_as(void *user, const char *name, const double *v, int64_t n)
{
    const Other *o = user;
    int64_t n_other;
    bool same = true;
    if (o->but && strncmp(name, o->but, strlen(o->but)) == 0) return true;
    double *w = recipe_run_read(o->x, name, &n_other);
    if (n != n_other) abort();
    for (int64_t i = 0; i < n; i++) same = same && (v[i] == w[i] || (isnan(v[i]) && isnan(w[i])));
    free(w);
    return same;
}

const char *recipe_run_differs(const RecipeRun *a, const RecipeRun *b, const char *but)
{
    Other o = {b, but};
    return each_state(a, same_as, &o);
}

static bool is_finite(void *user, const char *name, const double *v, int64_t n)
{
    (void)user;
    (void)name;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(v[i])) return false;
    return true;
}

const char *recipe_run_not_finite(const RecipeRun *x) { return each_state(x, is_finite, NULL); }

RecipeRun *recipe_run_on(const Recipe *r, const char *target)
{
    RecipeRunOpts o = {.backend = "ref", .target = target};
    RecipeRun *x = recipe_run_open(r, &o);
    if (!x) abort();
    return x;
}

double recipe_run_at(const RecipeRun *x, const char *state, int64_t i)
{
    int64_t n;
    double *v = recipe_run_read(x, state, &n), r = i < n ? v[i] : NAN;
    free(v);
    return r;
}

double recipe_run_sum(const RecipeRun *x, const char *state)
{
    int64_t n;
    double *v = recipe_run_read(x, state, &n), s = 0;
    for (int64_t i = 0; i < n; i++) s += v[i];
    free(v);
    return s;
}
