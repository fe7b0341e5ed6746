/* test_cuda_device.c: the back end's table on the fake device: memory, copies, a launch, a recording, failures at each call. */
#include "tests/adv_test.h"
#include "tests/base/fault_io.h"
#include "tests/base/scratch.h"
#include "tests/cuda/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const AdvBackend *const be = &adv_backend_fake;
static AdvRegistry reg;

static AdvBackendOpts opts(void)
{
    return (AdvBackendOpts){.alloc = adv_alloc_default(), .reg = &reg, .n_threads = 1, .io = adv_io_posix()};
}

static AdvStatus round_trip(void *self, size_t n)
{
    unsigned char *a = malloc(n), *b = malloc(n);
    AdvStatus st = ADV_ENOMEM;
    char *p = be->alloc(self, n), *q = p ? be->alloc(self, n) : NULL;
    for (size_t i = 0; i < n; i++) a[i] = (unsigned char)(i * 7 + i / 251);
    if (q) st = be->copy(self, p, a, n, ADV_TO_DEVICE);
    memset(a, 0, n);   /* the source may change after the call */
    if (st == ADV_OK) st = be->copy(self, q, p, n, ADV_ON_DEVICE);
    if (st == ADV_OK) st = be->copy(self, b, q, n, ADV_TO_HOST);
    for (size_t i = 0; st == ADV_OK && i < n; i++)
        if (b[i] != (unsigned char)(i * 7 + i / 251)) st = ADV_EDIFFERS;
    if (p) be->free(self, p, n);
    if (q) be->free(self, q, n);
    free(a);
    free(b);
    return st;
}

static void test_copies(void)
{
    AdvBackendOpts o = opts();
    void *self = NULL;
    CHECK_EQ(be->open(&o, NULL, &self), ADV_OK);
    CHECK_EQ(round_trip(self, 1), ADV_OK);
    CHECK_EQ(round_trip(self, 3 * CUDA_STAGE_BYTES + 5), ADV_OK);
    CHECK_EQ(round_trip(self, 9 * CUDA_STAGE_BYTES + 5), ADV_OK);
    be->close(self);
    CHECK_EQ(adv_fake_reset(), 0);
}

/* Recorded work does not run, and runs with what was recorded. */
static AdvStatus record(void *self, int64_t *got)
{
    int64_t *p = be->alloc(self, 16);
    void *rec = NULL;
    AdvStatus st = p ? be->set_i64(self, p, 3) : ADV_ENOMEM; /* a kernel's code is there before it is recorded */
    if (st == ADV_OK) st = be->fill(self, p, 0, 16);
    if (st == ADV_OK) st = be->record_begin(self);
    if (st == ADV_OK) {
        st = be->set_i64(self, p, 5);
        AdvStatus end = be->record_end(self, &rec);
        if (st == ADV_OK) st = end;
    }
    if (st == ADV_OK) st = be->copy(self, &got[0], p, 8, ADV_TO_HOST);
    if (st == ADV_OK) st = be->replay(self, rec);
    if (st == ADV_OK) st = be->copy(self, &got[1], p, 8, ADV_TO_HOST);
    if (rec) be->forget(self, rec);
    if (p) be->free(self, p, 16);
    return st;
}

static void test_recording(void)
{
    AdvBackendOpts o = opts();
    void *self = NULL;
    int64_t got[2] = {-1, -1};
    CHECK_EQ(be->open(&o, NULL, &self), ADV_OK);
    CHECK_EQ(record(self, got), ADV_OK);
    CHECK_EQ(got[0], 0);
    CHECK_EQ(got[1], 5);
    be->close(self);
    CHECK_EQ(adv_fake_reset(), 0);
}

/* What a real device forbids while work is recorded, the fake one does, so that tests of sessions mean something. */
static void test_forbidden(void)
{
    AdvBackendOpts o = opts();
    void *self = NULL, *rec = NULL;
    CHECK_EQ(be->open(&o, NULL, &self), ADV_OK);
    int64_t *p = be->alloc(self, 16);
    CHECK_EQ(be->record_begin(self), ADV_OK);
    CHECK(be->alloc(self, 16) == NULL);
    CHECK(be->sync(self) != ADV_OK);
    CHECK(be->set_i64(self, p, 5) != ADV_OK); /* its first launch */
    CHECK_EQ(be->record_end(self, &rec), ADV_OK);
    if (rec) be->forget(self, rec);
    be->free(self, p, 16);
    be->close(self);
    CHECK_EQ(adv_fake_reset(), 0);
}

static void test_no_device(void)
{
    AdvBackendOpts o = opts();
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    void *self = NULL;
    adv_fake.has_no_device = true;
    CHECK_EQ(be->open(&o, ds, &self), ADV_EUNAVAILABLE);
    CHECK(self == NULL);
    CHECK(ds->list.n == 1 && strstr(ds->list.at[0]->message, "no CUDA device answers"));
    adv_diags_free(ds);
    CHECK_EQ(adv_fake_reset(), 0);
}

/* Each call in turn fails: a status and a sentence, and nothing is left behind. */
static void fail_each(cudaError_t with, AdvStatus want)
{
    bool ended = false;
    for (uint64_t k = 1; k < 1000 && !ended; k++) {
        AdvBackendOpts o = opts();
        AdvDiags *ds = adv_diags_new(adv_alloc_default());
        void *self = NULL;
        int64_t got[2];
        adv_fake.fail_at = k;
        adv_fake.fail_with = with;
        AdvStatus st = be->open(&o, ds, &self);
        bool is_opening = st != ADV_OK;
        if (st == ADV_OK) st = round_trip(self, CUDA_STAGE_BYTES + 1);
        if (st == ADV_OK) st = record(self, got);
        if (st != ADV_OK) CHECK(is_opening ? ds->n_errors > 0 : be->last_error(self)[0] != 0);
        ended = !adv_fake.has_failed;
        bool is_alloc = !is_opening && st == ADV_ENOMEM;   /* `alloc` has no status: NULL is all it can say */
        CHECK(ended ? st == ADV_OK : st == want || is_alloc);
        be->close(self);
        adv_diags_free(ds);
        CHECK_EQ(adv_fake_reset(), 0);
    }
    CHECK(ended);
}

static void test_failures(void)
{
    fail_each(cudaErrorMemoryAllocation, ADV_ENOMEM);
    fail_each(cudaErrorIllegalAddress, ADV_EUNAVAILABLE);
}

/* ---- choices --------------------------------------------------------------------------------------------------------- */

static AdvCuda *cuda_of(void *self) { return &((AdvCudaBack *)self)->cuda; }

/* Candidates that take `cost` ticks each; one of cost 0 fails, one below 0 takes memory each time, which no recording may. */
typedef struct Costs { AdvCuda *c; int cost[3]; int n_runs; } Costs;

static AdvStatus try_run(void *user, uint32_t ix)
{
    Costs *x = user;
    x->n_runs++;
    if (!x->cost[ix]) return adv_cuda_check(x->c, cudaErrorNotSupported, "trial");
    if (x->cost[ix] < 0) {
        void *own = be->alloc(x->c->back, 16);
        if (!own) return ADV_EUNAVAILABLE;
        be->free(x->c->back, own, 16);
    }
    for (int k = 0; k < x->cost[ix]; k++) {
        void *p = adv_cuda_trial_memory(x->c, 64);
        if (!p) return ADV_ENOMEM;
        ADV_TRY(be->set_i64(x->c->back, p, k));
    }
    return ADV_OK;
}

static const char *label(void *user, uint32_t ix)
{
    static const char *const names[] = {"one", "two", "three"};
    (void)user;
    return names[ix];
}

/* Which candidate a back end opened with these options takes, and how often it tried. */
static uint32_t chosen(const AdvBackendOpts *o, const char *orders, int a, int b, int c, int *out_runs, char *out_text)
{
    void *self = NULL;
    uint32_t ix = 99, again = 98;
    CHECK_EQ(be->open(o, NULL, &self), ADV_OK);
    Costs x = {cuda_of(self), {a, b, c}, 0};
    AdvCudaTrial t = {.key = "conv 3x3", .n_candidates = 3, .try_run = try_run, .label = label, .user = &x};
    if (orders) CHECK_EQ(be->obey(self, orders), ADV_OK);
    CHECK_EQ(adv_cuda_choose(cuda_of(self), &t, &ix), ADV_OK);
    *out_runs = x.n_runs;
    CHECK_EQ(adv_cuda_choose(cuda_of(self), &t, &again), ADV_OK);
    CHECK_EQ(again, ix);
    CHECK_EQ(x.n_runs, *out_runs);   /* never twice */
    CHECK_EQ(be->prepared(self, NULL), ADV_OK);
    if (out_text) strcpy(out_text, be->choices(self));
    be->close(self);
    CHECK_EQ(adv_fake_reset(), 0);
    return ix;
}

static int n_warnings;
static void count_warning(void *user, const char *text)
{
    (void)user;
    n_warnings += strstr(text, "damaged") != NULL;
}

static void test_choices(void)
{
    char dir[64], text[256];
    AdvBackendOpts o = opts();
    int n = 0;
    scratch_make(dir);
    CHECK_EQ(chosen(&o, NULL, 3, 1, 2, &n, text), 1);
    CHECK_STR(text, "two\tconv 3x3\n");
    CHECK_EQ(n, 12); /* two for a start, and twice in a recording */
    CHECK_EQ(chosen(&o, NULL, 0, 3, 2, &n, NULL), 2);             /* what fails is passed over */
    CHECK_EQ(chosen(&o, NULL, -1, 3, 2, &n, NULL), 2);            /* and what cannot be recorded */
    CHECK_EQ(chosen(&o, "one\tconv 3x3\n", 3, 1, 2, &n, text), 0); /* a checkpoint's word */
    CHECK_EQ(n, 0);
    CHECK_STR(text, "one\tconv 3x3\n");
    o.is_deterministic = true;
    CHECK_EQ(chosen(&o, NULL, 3, 1, 2, &n, NULL), 0);
    CHECK_EQ(chosen(&o, NULL, 0, 1, 2, &n, NULL), 1);
    o = opts();
    o.cache_dir = dir;
    o.log = count_warning;
    CHECK_EQ(chosen(&o, NULL, 3, 1, 2, &n, NULL), 1);
    CHECK_EQ(chosen(&o, NULL, 1, 3, 3, &n, NULL), 1);             /* the cache's, though another is faster now */
    CHECK_EQ(n, 0);
    CHECK_EQ(chosen(&o, "three\tconv 3x3\n", 1, 3, 3, &n, NULL), 2);
    CHECK(scratch_do(dir, "for f in *.txt; do printf 'no line' > $f; done"));
    CHECK_EQ(chosen(&o, NULL, 1, 3, 3, &n, NULL), 0);
    CHECK_EQ(n_warnings, 1);
    scratch_remove(dir);
}

/* What a checkpoint chose and is not there any more is an error, not another choice. */
static void test_choice_that_is_gone(void)
{
    AdvBackendOpts o = opts();
    void *self = NULL;
    uint32_t ix;
    CHECK_EQ(be->open(&o, NULL, &self), ADV_OK);
    Costs x = {cuda_of(self), {1, 1, 1}, 0};
    AdvCudaTrial t = {.key = "conv 3x3", .n_candidates = 3, .try_run = try_run, .label = label, .user = &x};
    CHECK_EQ(be->obey(self, "four\tconv 3x3\n"), ADV_OK);
    CHECK_EQ(adv_cuda_choose(cuda_of(self), &t, &ix), ADV_EUNAVAILABLE);
    CHECK(strstr(be->last_error(self), "`four`") != NULL);
    be->close(self);
    CHECK_EQ(adv_fake_reset(), 0);
}

/* ---- generated code -------------------------------------------------------------------------------------------------- */

/* Compiles a kernel that adds, runs it; 1 if it was compiled and not found. */
static int compiled(const AdvBackendOpts *o)
{
    static const char text[] = "extern \"C\" __global__ void add_seven(long long *p) { *p += 7; }\n";
    void *self = NULL;
    const void *fn = NULL, *same = NULL;
    int64_t five = 5, got = 0;
    CHECK_EQ(be->open(o, NULL, &self), ADV_OK);
    AdvCuda *c = cuda_of(self);
    CHECK_EQ(adv_cuda_generate(c, "add_seven", text, &fn), ADV_OK);
    CHECK_EQ(adv_cuda_generate(c, "add_seven", text, &same), ADV_OK);
    CHECK_EQ(be->prepared(self, NULL), ADV_OK);
    CHECK(fn && fn == same);
    void *p = be->alloc(self, 8), *args[] = {&p};
    AdvCudaGrid g = {{1, 1, 1}, {1, 1, 1}, 0};
    CHECK_EQ(be->copy(self, p, &five, 8, ADV_TO_DEVICE), ADV_OK);
    CHECK_EQ(adv_cuda_launch(c, fn, &g, args), ADV_OK);
    CHECK_EQ(be->copy(self, &got, p, 8, ADV_TO_HOST), ADV_OK);
    CHECK_EQ(got, 12);
    be->free(self, p, 8);
    be->close(self);
    CHECK_EQ(adv_fake.n_elsewhere, 0);
    int n = (int)adv_fake.n_asked;
    CHECK_EQ(adv_fake_reset(), 0);
    return n;
}

static void test_code_is_kept(void)
{
    char dir[64];
    AdvBackendOpts o = opts();
    scratch_make(dir);
    o.cache_dir = dir;
    o.log = count_warning;
    n_warnings = 0;
    CHECK_EQ(compiled(&o), 1);
    CHECK_EQ(compiled(&o), 0);
    CHECK(scratch_do(dir, "for f in *.cubin; do printf x | dd of=$f bs=1 seek=100 conv=notrunc 2>log; done"));
    CHECK_EQ(compiled(&o), 1);
    CHECK_EQ(n_warnings, 1);
    CHECK_EQ(compiled(&o), 0);
    CHECK(scratch_do(dir, "for f in *.cubin; do truncate -s 10 $f; done"));
    CHECK_EQ(compiled(&o), 1);
    CHECK_EQ(n_warnings, 2);
    scratch_remove(dir);
}

/* A file as an older session left it, if `magic` is ours; a hole makes it as large as is wanted. */
static void put_file(const char *dir, const char *name, const char *magic, uint64_t made, off_t n_bytes)
{
    char path[160], head[64] = {0};
    AdvAlloc a = adv_alloc_default();
    memcpy(head, magic, 8);
    memcpy(head + 40, &made, sizeof made);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_EQ(adv_write_file(NULL, &a, path, head, sizeof head, NULL), ADV_OK);
    CHECK_EQ(truncate(path, n_bytes), 0);
}

static bool is_there(const char *dir, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

#define SOME_ID "adv-cuda-0123456789abcdef0123456789abcde" /* but for its last digit */
#define MIB (1 << 20)

/* What was made first goes, once something is added, and nothing that is not ours. */
static void test_code_is_bounded(void)
{
    static const char *const foreign[] = {"notes.plan", SOME_ID ".plan", SOME_ID "5.plan.old", "adv-cuda-choices-0123456789abcdef.txt",
                                          SOME_ID "6.plan.tmp-7x"};
    char dir[64];
    AdvBackendOpts o = opts();
    scratch_make(dir);
    o.cache_dir = dir;
    for (int i = 0; i < 5; i++) put_file(dir, foreign[i], "ADVCACHE", 1, 80 * MIB);
    put_file(dir, SOME_ID "0.plan", "SOMEBODY", 1, 80 * MIB);
    put_file(dir, SOME_ID "1.plan", "ADVCACHE", 30, 8 * MIB);
    put_file(dir, SOME_ID "2.cubin", "ADVCACHE", 20, 8 * MIB);
    put_file(dir, SOME_ID "3.plan", "ADVCACHE", UINT64_MAX, 8 * MIB);
    put_file(dir, SOME_ID "4.plan.tmp-4711", "ADVCACHE", 10, 8 * MIB); /* somebody was killed while writing it */
    o.cache_limit_bytes = 20 * MIB;
    CHECK_EQ(compiled(&o), 1);
    CHECK(is_there(dir, SOME_ID "1.plan") && !is_there(dir, SOME_ID "2.cubin") && is_there(dir, SOME_ID "3.plan"));
    CHECK(!is_there(dir, SOME_ID "4.plan.tmp-4711"));
    o.cache_limit_bytes = 1;
    CHECK_EQ(compiled(&o), 0);
    CHECK(is_there(dir, SOME_ID "1.plan")); /* nothing was added, so nothing was removed */
    CHECK(scratch_do(dir, "rm *.cubin"));
    CHECK_EQ(compiled(&o), 1);
    CHECK(!is_there(dir, SOME_ID "1.plan") && !is_there(dir, SOME_ID "3.plan"));
    CHECK_EQ(compiled(&o), 1); /* what it had added went too */
    for (int i = 0; i < 5; i++) CHECK(is_there(dir, foreign[i]));
    CHECK(is_there(dir, SOME_ID "0.plan"));
    scratch_remove(dir);
}

/* A folder that cannot be listed or read is no reason for a session not to open. */
static void test_limit_without_a_disk(void)
{
    char dir[64];
    AdvBackendOpts o = opts();
    scratch_make(dir);
    put_file(dir, SOME_ID "1.plan", "ADVCACHE", 1, 8 * MIB);
    for (long k = 1; k < 16; k++) {
        FaultIo f = {.fail_at = k, .error = EIO, .persistent = 1};
        AdvIo io = fault_io(&f);
        o.io = &io;
        o.cache_dir = dir;
        o.cache_limit_bytes = 1;
        CHECK_EQ(compiled(&o), 1);
        CHECK_EQ(f.n_open, 0);
        if (!is_there(dir, SOME_ID "1.plan")) put_file(dir, SOME_ID "1.plan", "ADVCACHE", 1, 8 * MIB);
        CHECK(scratch_do(dir, "rm -f *.cubin"));
    }
    scratch_remove(dir);
}

/* ---- the caller's stream ------------------------------------------------------------------------------------------------- */

/* Copies, launches, recordings, libraries, trials and generated code: all of it there, and the stream is the caller's afterwards. */
static void test_caller_stream(void)
{
    AdvBackendOpts o = opts();
    AdvCudaApi api = {0};
    cudaStream_t mine = NULL;
    cublasHandle_t blas = NULL;
    cudnnHandle_t dnn = NULL;
    int64_t got[2];
    void *self = NULL;
    uint32_t ix;
    CHECK_EQ(adv_fake_source(&api, ADV_CUDA_RT, NULL, NULL), ADV_OK);
    CHECK_EQ(api.cudaStreamCreateWithFlags(&mine, cudaStreamNonBlocking), cudaSuccess);
    adv_fake.only = o.stream = mine;
    CHECK_EQ(be->open(&o, NULL, &self), ADV_OK);
    Costs x = {cuda_of(self), {3, 1, 2}, 0};
    AdvCudaTrial t = {.key = "conv 3x3", .n_candidates = 3, .try_run = try_run, .label = label, .user = &x};
    CHECK_EQ(round_trip(self, 2 * CUDA_STAGE_BYTES + 5), ADV_OK);
    CHECK_EQ(record(self, got), ADV_OK);
    CHECK_EQ(adv_cuda_blas(cuda_of(self), &blas), ADV_OK);
    CHECK_EQ(adv_cuda_dnn(cuda_of(self), &dnn), ADV_OK);
    CHECK_EQ(adv_cuda_choose(cuda_of(self), &t, &ix), ADV_OK);
    CHECK_EQ(ix, 1);
    CHECK_EQ(be->prepared(self, NULL), ADV_OK);
    be->close(self);
    CHECK_EQ(compiled(&o), 1); /* ends with a reset of the fake, but for its streams */
    CHECK_EQ(api.cudaStreamSynchronize(mine), cudaSuccess);
    CHECK_EQ(api.cudaStreamDestroy(mine), cudaSuccess);
}

int main(void)
{
    if (adv_registry_init(&reg, adv_alloc_default()) != ADV_OK) return 1;
    RUN(test_copies);
    RUN(test_recording);
    RUN(test_forbidden);
    RUN(test_no_device);
    RUN(test_failures);
    RUN(test_choices);
    RUN(test_choice_that_is_gone);
    RUN(test_code_is_kept);
    RUN(test_code_is_bounded);
    RUN(test_limit_without_a_disk);
    RUN(test_caller_stream);
    adv_registry_fini(&reg);
    return ADV_TEST_END();
}
