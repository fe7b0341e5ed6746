/* test_cuda_session.c: whole sessions of the toy plan on the fake device, whose kernels are the definitions: the same bits as
** `ref`, one recording an entry, nothing taken or waited for inside an epoch, and a sentence for each call that fails.
*/
#include "tests/adv_test.h"
#include "tests/base/fault_io.h"
#include "tests/base/scratch.h"
#include "tests/cuda/toy_cuda.h"

#include "runtime/cuda/cuda_back.h"
#include "runtime/session.h"

#include <sys/stat.h>
#include <unistd.h>

static uint64_t trained(const char *backend, int32_t check)
{
    Toy t = toy_open_cuda(backend, check, 0);
    uint64_t h = 0;
    CHECK(t.s != NULL);
    if (!t.s) toy_show(&t);
    if (t.s && adv_session_train(t.s, NULL, t.ds) == ADV_OK) h = toy_hash(&t);
    else toy_show(&t);
    toy_end_cuda(&t);
    return h;
}

static void test_same_bits_as_ref(void)
{
    uint64_t want = trained("ref", ADV_CHECK_OFF);
    CHECK(want != 0);
    CHECK(trained("cuda", ADV_CHECK_OFF) == want);
    CHECK(trained("cuda", ADV_CHECK_FINITE) == want);
    CHECK(trained("cuda", ADV_CHECK_REF) == want);
    CHECK(trained("cuda", ADV_CHECK_SYNC) == want);
}

/* ---- recordings -------------------------------------------------------------------------------------------------------- */

typedef struct Seen { int n; uint64_t allocs, syncs, graphs, launches, hash; } Seen;

static int32_t see(void *user, const AdvEvent *e)
{
    Seen *x = user;
    if (e->kind != ADV_EVENT_STEP || e->epoch != 2) return 0;
    x->n++;
    if (e->step == 1) *x = (Seen){1, adv_fake.n_allocs, adv_fake.n_syncs, adv_fake.n_graphs, 0, 0};
    if (e->step != e->n_steps) return 0;
    CHECK_EQ(adv_fake.n_allocs, x->allocs);
    CHECK(adv_fake.n_syncs <= x->syncs + 4);   /* eight steps were looked at in pieces of 1, 2, 4 or more */
    CHECK(adv_fake.n_graphs >= x->graphs);
    return 0;
}

static void test_nothing_is_taken_in_an_epoch(void)
{
    Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
    Seen x = {0};
    AdvTrainOpts o = {.struct_size = sizeof o, .progress = see, .user = &x};
    CHECK(t.s != NULL);
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
    CHECK_EQ(x.n, 8);
    toy_end_cuda(&t);
}

/* Steps 3 and 4 of an epoch run from recordings, and launch the same list as each other and as an unrecorded step. */
static void test_equal_lists_of_launches(void)
{
    uint64_t hash[5], n[5], graphs[5];
    Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
    CHECK(t.s != NULL);
    CHECK_EQ(adv_session_run(t.s, "init", t.ds), ADV_OK);
    CHECK_EQ(adv_session_set(t.s, "run.epoch", 1), ADV_OK);
    CHECK_EQ(adv_session_run(t.s, "epoch", t.ds), ADV_OK);
    for (int k = 0; k < 5; k++) {
        adv_fake.launch_hash = 0;
        uint64_t n0 = adv_fake.n_launches, g0 = adv_fake.n_graphs;
        CHECK_EQ(adv_session_run(t.s, "batch", t.ds), ADV_OK);
        CHECK_EQ(adv_session_run(t.s, "step.main", t.ds), ADV_OK);
        hash[k] = adv_fake.launch_hash;
        n[k] = adv_fake.n_launches - n0;
        graphs[k] = adv_fake.n_graphs - g0;
    }
    for (int k = 1; k < 5; k++) {
        CHECK(hash[k] == hash[0]);
        CHECK_EQ(n[k], n[0]);
        CHECK_EQ(graphs[k], 2);
    }
    CHECK_EQ(graphs[0], 0);
    toy_end_cuda(&t);
}

/* Where nothing can be recorded each entry says so once, when it would be, and is launched one by one. */
static void test_nothing_can_be_recorded(void)
{
    uint64_t want = trained("ref", ADV_CHECK_OFF);
    Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
    adv_fake.refuses_recording = true;
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    CHECK(toy_hash(&t) == want);
    CHECK_EQ(adv_fake.n_graphs, 0);
    CHECK_EQ(toy_n_unrecorded, 5);   /* all but `init`, which runs once */
    CHECK(strstr(toy_warning, "entry `") && strstr(toy_warning, "cudaStreamEndCapture: "));
    CHECK_EQ(t.ds->list.n, 0);
    toy_end_cuda(&t);
}

/* ---- checkpoints --------------------------------------------------------------------------------------------------------- */

static void test_resume_is_exact(void)
{
    char dir[64];
    uint64_t want = trained("cuda", ADV_CHECK_OFF);
    scratch_make(dir);
    for (uint64_t k = 1; k < 24; k += 5) {
        Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
        CHECK_EQ(adv_session_step(t.s, k, t.ds), ADV_OK);
        CHECK_EQ(adv_session_save(t.s, dir, t.ds), ADV_OK);
        toy_end_cuda(&t);
        t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
        CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK);
        CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
        CHECK(toy_hash(&t) == want);
        toy_end_cuda(&t);
        scratch_remove(dir);
        CHECK_EQ(mkdir(dir, 0755), 0);
    }
    scratch_remove(dir);
}

/* Lines of events that cannot be written, of steps that the device did several at once: what is saved elsewhere ends in the same bits. */
static void test_files_fail_behind_steps(void)
{
    uint64_t want = trained("cuda", ADV_CHECK_OFF);
    for (long k = 2; k < 30 && !test_n_failed_checks; k++) {
        char dir[64], elsewhere[64];
        FaultIo f = {.error = ENOSPC, .fail_at = k};
        const AdvIo io = fault_io(&f);
        AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir};
        scratch_make(dir);
        scratch_make(elsewhere);
        Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
        CHECK_EQ(adv_io_read(&io, &t.ctx->own_io), ADV_OK);
        CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_EIO);
        CHECK_EQ(adv_session_save(t.s, elsewhere, t.ds), ADV_OK);
        toy_end_cuda(&t);
        t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
        CHECK_EQ(adv_session_resume(t.s, elsewhere, t.ds), ADV_OK);
        CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
        CHECK(toy_hash(&t) == want);
        if (test_n_failed_checks) printf("file call %ld\n", k);
        toy_end_cuda(&t);
        scratch_remove(dir);
        scratch_remove(elsewhere);
    }
}

/* ---- failures ------------------------------------------------------------------------------------------------------------ */

static void test_too_little_memory_is_said_at_open(void)
{
    adv_fake.total_bytes = 4096;
    Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
    CHECK(t.s == NULL);
    CHECK(toy_says(&t, "out of memory"));
    CHECK(toy_says(&t, "MB in all"));
    CHECK(toy_says(&t, "of the device's 0.0 MB 0.0 are free"));
    toy_end_cuda(&t);
}

/* Opens and trains while call k fails. True: the call came. Memory that is missing for a recording does no harm. */
static bool fails_at(uint64_t k, cudaError_t with, uint64_t want, int *n_harmless)
{
    adv_fake.fail_at = k;
    adv_fake.fail_with = with;
    Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
    AdvStatus st = t.s ? adv_session_train(t.s, NULL, t.ds) : ADV_EUNAVAILABLE;
    bool came = adv_fake.has_failed;
    if (came && toy_n_unrecorded) {
        CHECK(st == ADV_OK && with == cudaErrorMemoryAllocation && toy_hash(&t) == want);
        CHECK(toy_n_unrecorded == 1 && strstr(toy_warning, "out of memory") && t.ds->list.n == 0);
        ++*n_harmless;
    } else if (came) {
        CHECK(st != ADV_OK);
        CHECK(t.ds->n_errors > 0);
        if (with == cudaErrorMemoryAllocation) CHECK(toy_says(&t, "out of memory"));
        else CHECK(toy_says(&t, "told to fail"));
        if (t.s) {
            double x;
            CHECK_EQ(adv_session_get(t.s, "metric.loss", &x), ADV_EPOISONED);
            CHECK(with == cudaErrorMemoryAllocation || toy_says(&t, "--check=sync") || toy_says(&t, "while running"));
        }
    } else {
        CHECK_EQ(st, ADV_OK);
    }
    if (test_n_failed_checks) toy_show(&t);
    toy_end_cuda(&t);
    return came;
}

static void test_each_call_fails(void)
{
    uint64_t k = 1, want = trained("ref", ADV_CHECK_OFF);
    int n = 0;
    while (k < 500 && !test_n_failed_checks && fails_at(k, cudaErrorMemoryAllocation, want, &n)) k++;
    CHECK(k > 10 && k < 500);
    CHECK(n > 9 && n % 3 == 0);   /* the end of a capture, making it executable, its first launch */
    /* of the others every one at first, then ever fewer: a run has thousands */
    n = 0;
    for (k = 1; k < 1000000 && !test_n_failed_checks && fails_at(k, cudaErrorIllegalAddress, want, &n); k += 1 + k / 24) { }
    CHECK(k > 500 && n == 0);
}

/* Under --check=sync a failure names the instruction; without, the entries since the device last answered. */
static void test_a_failure_has_a_place(void)
{
    for (int sync = 0; sync < 2; sync++) {
        Toy t = toy_open_cuda("cuda", sync ? ADV_CHECK_SYNC : ADV_CHECK_OFF, 0);
        CHECK_EQ(adv_session_step(t.s, 4, t.ds), ADV_OK);
        adv_fake.fail_with = cudaErrorIllegalAddress;
        adv_fake.fail_at = adv_fake.n_calls + (sync ? 60 : 3);
        CHECK_EQ(adv_session_step(t.s, 4, t.ds), ADV_EUNAVAILABLE);
        CHECK(toy_says(&t, "CUDA answers this process no more: start it again"));
        if (sync) CHECK(toy_says(&t, "while running step.main") && toy_says(&t, ", instruction "));
        else CHECK(toy_says(&t, "--check=sync") && (toy_says(&t, "`batch`") || toy_says(&t, "`step.main`")));
        CHECK_EQ(adv_session_step(t.s, 1, t.ds), ADV_EPOISONED);
        toy_end_cuda(&t);
    }
}

static void test_finite_finds_the_line(void)
{
    Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
    double w[12] = {NAN};
    AdvView v = {.dtype = ADV_F64, .rank = 2, .dim = {4, 3}, .stride = {3, 1}, .data = w};
    CHECK_EQ(adv_session_step(t.s, 9, t.ds), ADV_OK);
    CHECK_EQ(adv_session_write(t.s, "f.w", &v, t.ds), ADV_OK);
    CHECK_EQ(adv_session_step(t.s, 5, t.ds), ADV_ENUMERIC);
    CHECK(toy_says(&t, "became NaN") && toy_says(&t, "non-finite"));
    if (test_n_failed_checks) toy_show(&t);
    toy_end_cuda(&t);
}

/* ---- profile and trace --------------------------------------------------------------------------------------------------- */

static void gather(void *user, const char *text, size_t n)
{
    char **at = user;
    memcpy(*at, text, n);
    *at += n;
    **at = 0;
}

static void test_profile_and_trace(void)
{
    static char text[8 << 20];
    char *at = text;
    Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, ADV_SESSION_PROFILE | ADV_SESSION_TRACE);
    CHECK_EQ(adv_session_step(t.s, 3, t.ds), ADV_OK);
    adv_session_profile(t.s, gather, &at);
    CHECK(strstr(text, "matmul a=8x3 b=4x3") && strstr(text, "definition"));
    CHECK(strstr(text, " runs, 1000.0 us, best 1000.0 us"));   /* its own launch, not the one that keeps the stream busy before it */
    at = text;
    adv_session_trace(t.s, gather, &at);
    CHECK(!strncmp(text, "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [", 42) && strstr(text, "\"kernel\": \"definition\""));
    toy_end_cuda(&t);
}

/* ---- options ------------------------------------------------------------------------------------------------------------- */

/* What the caller passed in may be gone once the session is open; the precision is the recipe's. */
static void test_options_reach_the_back_end(void)
{
    static char program[sizeof toy_program + 32];
    for (int tf32 = 0; tf32 < 2; tf32++) {
        char dir[64], kept[64], libraries[] = "/nowhere";
        snprintf(program, sizeof program, "{\"run\":{\"precision\":\"%s\"},%s", tf32 ? "tf32" : "f32", toy_program + 1);
        scratch_make(dir);
        strcpy(kept, dir);
        Toy t = toy_plan_of(toy_graph, program);
        AdvSessionOpts o = {.struct_size = sizeof o, .backend = "cuda", .n_threads = 1, .cache_dir = dir, .library_dirs = libraries};
        CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &t.s), ADV_OK);
        dir[0] = libraries[0] = 0;
        const AdvCudaBack *b = t.s->self;
        CHECK_STR(b->host.opts.cache_dir, kept);
        CHECK_STR(b->host.opts.library_dirs, "/nowhere");
        CHECK_EQ(b->cuda.allow_tf32, tf32);
        toy_end_cuda(&t);
        scratch_remove(kept);
    }
}

/* ---- which back end -------------------------------------------------------------------------------------------------------- */

static void test_auto(void)
{
    Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
    AdvSessionInfo i = {.struct_size = sizeof i};
    AdvSessionOpts o = {.struct_size = sizeof o, .n_threads = 1, .backend_dir = "/nonexistent"};
    adv_session_close(t.s);
    t.s = NULL;
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &t.s), ADV_OK);   /* the module is open already */
    CHECK_EQ(adv_session_info(t.s, &i), ADV_OK);
    CHECK_STR(i.backend, "cuda");
    CHECK_STR(i.why, "a device answers");
    adv_session_close(t.s);
    t.s = NULL;
    adv_fake.has_no_device = true;
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &t.s), ADV_OK);
    CHECK_EQ(adv_session_info(t.s, &i), ADV_OK);
    CHECK_STR(i.backend, "ref");   /* the toy plan has no part for cpu */
    adv_session_close(t.s);
    t.s = NULL;
    o.backend = "cuda";
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &t.s), ADV_EUNAVAILABLE);
    CHECK(toy_says(&t, "no CUDA device answers"));
    toy_end_cuda(&t);
}

int main(void)
{
    RUN(test_same_bits_as_ref);
    RUN(test_nothing_is_taken_in_an_epoch);
    RUN(test_equal_lists_of_launches);
    RUN(test_nothing_can_be_recorded);
    RUN(test_resume_is_exact);
    RUN(test_files_fail_behind_steps);
    RUN(test_too_little_memory_is_said_at_open);
    RUN(test_each_call_fails);
    RUN(test_a_failure_has_a_place);
    RUN(test_finite_finds_the_line);
    RUN(test_profile_and_trace);
    RUN(test_options_reach_the_back_end);
    RUN(test_auto);
    return ADV_TEST_END();
}
