/* test_runtime_faults.c: memory, files and the JSON library fail at every place of every call that a run is made of: training
** with checkpoints and evaluations, one step, one evaluation, save, resume, data and weights. (Opening a session is tried in
** test_runtime_session.c, parsing a plan in test_plan_load.c, writing a checkpoint in test_runtime_program.c.)
**
** After each fault: the status says what failed, nothing is lost, and either the session does the same call again with the
** result it would have had, or it says that it cannot, and what was saved before resumes.
**
**   test_runtime_faults [all]      all: every allocation of the JSON library, too, of which there are thousands; otherwise some of them
*/
#include "tests/adv_test.h"

#include "runtime/adv_dlpack.h"
#include "runtime/base/container.h"
#include "tests/base/fault_alloc.h"
#include "tests/base/fault_io.h"
#include "tests/base/fault_json.h"
#include "tests/base/scratch.h"
#include "tests/runtime/toy.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the calls -------------------------------------------------------------------------------------------------------- */

typedef struct Bench {
    char dir[64], data[96], weights[96], plan_file[96]; /* a folder of its own, and files in it */
    FaultAlloc mem;
    FaultIo files;
    AdvIo io;
    ToyBytes plan_bytes;
    ToyData set;
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan;
    AdvSession *s;
} Bench;

typedef struct Call {
    const char *name;
    bool needs_folder; /* a checkpoint is there before the call */
    AdvStatus (*run)(Bench *b);
} Call;

static AdvStatus call_load(Bench *b)
{
    AdvPlan *plan;
    AdvStatus st = adv_plan_load(b->ctx, b->plan_bytes.data, b->plan_bytes.n, b->ds, &plan);
    CHECK((st == ADV_OK) == (plan != NULL));
    adv_plan_close(plan);
    return st;
}

static AdvStatus call_plan_open(Bench *b)
{
    AdvPlan *plan;
    AdvStatus st = adv_plan_open(b->ctx, b->plan_file, b->ds, &plan);
    CHECK((st == ADV_OK) == (plan != NULL));
    adv_plan_close(plan);
    return st;
}

static AdvStatus call_open(Bench *b)
{
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "cpu", .n_threads = 1};
    AdvSession *s;
    AdvStatus st = adv_session_open(b->ctx, b->plan, &o, b->ds, &s);
    CHECK((st == ADV_OK) == (s != NULL));
    adv_session_close(s);
    return st;
}

static AdvStatus call_step(Bench *b) { return adv_session_step(b->s, 1, b->ds); }
static AdvStatus call_save(Bench *b) { return adv_session_save(b->s, b->dir, b->ds); }
static AdvStatus call_resume(Bench *b) { return adv_session_resume(b->s, b->dir, b->ds); }
static AdvStatus call_digest(Bench *b)
{
    char digest[33];
    AdvStatus st = adv_ctx_checkpoint_digest(b->ctx, b->dir, b->ds, digest);
    CHECK_EQ(strlen(digest), st == ADV_OK ? 32 : 0);
    return st;
}

static AdvStatus call_bind(Bench *b) { return adv_session_bind_file(b->s, b->data, b->ds); }
static AdvStatus call_weights(Bench *b) { return adv_session_load_weights(b->s, b->weights, b->ds); }

static AdvStatus call_eval(Bench *b)
{
    AdvTrainOpts o = {.struct_size = sizeof o, .only_eval = "final", .run_dir = b->dir};
    return adv_session_train(b->s, &o, b->ds);
}

static AdvStatus call_train(Bench *b)
{
    AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = b->dir, .save_every_steps = 9};
    return adv_session_train(b->s, &o, b->ds);
}

/* Rows of all data from a source, and a step with them. */
static int32_t fill(void *user, const AdvRows *want)
{
    const Bench *b = user;
    bool is_train = strstr(want->state, "train") != NULL, is_x = want->out.rank == 2;
    const char *x = (const char *)(is_train ? b->set.train_x : b->set.test_x),
               *y = (const char *)(is_train ? b->set.train_y : b->set.test_y);
    size_t n = is_x ? 3 * sizeof(float) : sizeof(int32_t);
    for (int64_t i = 0; i < want->n_rows; i++)
        memcpy((char *)want->out.data + (size_t)i * n, (is_x ? x : y) + (size_t)want->rows[i] * n, n);
    return 0;
}

static AdvStatus call_rows(Bench *b)
{
    static const char *const names[] = {"data.train.x", "data.train.y", "data.test.x", "data.test.y"};
    for (int i = 0; i < 4; i++) ADV_TRY(adv_session_bind_rows(b->s, names[i], fill, b, b->ds));
    return adv_session_step(b->s, 1, b->ds);
}

/* A state as a tensor, and one bound as data; back to memory, so that nothing of it outlives the call. */
static AdvStatus call_tensors(Bench *b)
{
    DLManagedTensorVersioned *w = NULL;
    int64_t shape[2] = {64, 3};
    DLManagedTensorVersioned x = {.version = {1, 0}, .dl_tensor = {b->set.train_x, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, NULL, 0}};
    AdvStatus st = adv_session_export(b->s, "f.w", &w, b->ds);
    CHECK((st == ADV_OK) == (w != NULL));
    if (w) w->deleter(w);
    if (st == ADV_OK) st = adv_session_bind_tensor(b->s, "data.train.x", &x, b->ds);
    AdvView v = toy_view(ADV_F32, 64, 3, b->set.train_x);
    AdvStatus back = adv_session_bind(b->s, "data.train.x", &v, b->ds);
    return st == ADV_OK ? back : st;
}

static ToyBytes plan_bytes; /* made once, in main */
static bool wants_all;

static const Call calls[] = {
    {"load", false, call_load},      {"plan_open", false, call_plan_open},  {"open", false, call_open},
    {"bind_file", false, call_bind}, {"load_weights", false, call_weights}, {"step", false, call_step},
    {"save", true, call_save},       {"resume", true, call_resume},         {"evaluate", true, call_eval},
    {"train", true, call_train},     {"rows", false, call_rows},            {"tensors", false, call_tensors},
    {"digest", true, call_digest},
};
enum { N_CALLS = sizeof calls / sizeof *calls };

/* ---- before and after ----------------------------------------------------------------------------------------------------- */

static void write_file(const char *path, const AdvBlob *blobs, uint32_t n)
{
    AdvAlloc a = adv_alloc_default();
    if (adv_container_write(NULL, &a, path, blobs, n, NULL, 0, NULL)) abort();
}

/* A session two steps after `init`, with the calls' files; a checkpoint of it where the call needs one. */
static void bench_open(Bench *b, const Call *c)
{
    AdvCtxOpts co = {.struct_size = sizeof co, .io = &b->io, .user = &b->mem};
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "cpu", .n_threads = 1};
    *b = (Bench){.files = {.error = ENOSPC}, .set = toy_data()};
    b->io = fault_io(&b->files);
    co.alloc = fault_alloc(&b->mem).fn;
    scratch_make(b->dir);
    snprintf(b->data, sizeof b->data, "%s/set.safetensors", b->dir);
    snprintf(b->weights, sizeof b->weights, "%s/w.safetensors", b->dir);
    AdvBlob blobs[4] = {
        {.name = "train.x", .dtype = ADV_F32, .rank = 2, .dim = {64, 3}, .data = b->set.train_x, .n_bytes = sizeof b->set.train_x},
        {.name = "train.y", .dtype = ADV_I32, .rank = 1, .dim = {64}, .data = b->set.train_y, .n_bytes = sizeof b->set.train_y},
        {.name = "test.x", .dtype = ADV_F32, .rank = 2, .dim = {20, 3}, .data = b->set.test_x, .n_bytes = sizeof b->set.test_x},
        {.name = "test.y", .dtype = ADV_I32, .rank = 1, .dim = {20}, .data = b->set.test_y, .n_bytes = sizeof b->set.test_y}};
    write_file(b->data, blobs, 4);
    AdvBlob w = {.name = "f.w", .dtype = ADV_F32, .rank = 2, .dim = {4, 3}, .data = b->set.train_x, .n_bytes = 48};
    write_file(b->weights, &w, 1);
    b->plan_bytes = plan_bytes;
    snprintf(b->plan_file, sizeof b->plan_file, "%s/toy.plan", b->dir);
    AdvAlloc a = adv_alloc_default();
    if (adv_write_file(NULL, &a, b->plan_file, plan_bytes.data, plan_bytes.n, NULL)) abort();
    if (adv_ctx_new(&co, &b->ctx) || adv_diags_open(b->ctx, &b->ds) ||
        adv_plan_load(b->ctx, b->plan_bytes.data, b->plan_bytes.n, b->ds, &b->plan) ||
        adv_session_open(b->ctx, b->plan, &o, b->ds, &b->s) || toy_bind(b->s, &b->set, b->ds) || adv_session_step(b->s, 2, b->ds))
        abort();
    if (c->needs_folder && adv_session_save(b->s, b->dir, b->ds)) abort();
}

static void bench_close(Bench *b)
{
    b->mem.fail_at = b->files.fail_at = 0;
    adv_session_close(b->s);
    adv_plan_close(b->plan);
    adv_diags_free(b->ds);
    adv_ctx_free(b->ctx);
    CHECK_EQ(b->mem.n_live, 0);
    CHECK_EQ(b->mem.n_wrong_sizes, 0);
    CHECK_EQ(b->files.n_open, 0);
    scratch_remove(b->dir);
}

/* toy_hash of a bench. */
static uint64_t states_of(Bench *b)
{
    Toy t = {.s = b->s};
    return toy_hash(&t);
}

/* What the session holds after the whole program. */
static uint64_t end_of_run(Bench *b)
{
    CHECK_EQ(adv_session_train(b->s, NULL, b->ds), ADV_OK);
    return states_of(b);
}

/* A new session of the same files. */
static void reopen(Bench *b)
{
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "cpu", .n_threads = 1};
    adv_session_close(b->s);
    CHECK_EQ(adv_session_open(b->ctx, b->plan, &o, b->ds, &b->s), ADV_OK);
    CHECK_EQ(toy_bind(b->s, &b->set, b->ds), ADV_OK);
}

/* Counts of the call without a fault, and the state that it and the rest of the program end in. */
typedef struct Want { long n_mem, n_files; uint64_t after, end; } Want;

static Want without_fault(const Call *c)
{
    Bench b;
    Want w;
    bench_open(&b, c);
    b.mem.calls = b.files.calls = 0;
    CHECK_EQ(c->run(&b), ADV_OK);
    w = (Want){.n_mem = b.mem.calls, .n_files = b.files.calls, .after = states_of(&b)};
    w.end = end_of_run(&b);
    bench_close(&b);
    return w;
}

static bool has_message(const AdvDiags *ds)
{
    uint32_t n = 0;
    adv_diags_count(ds, &n, NULL);
    return n > 0;
}

/* After a call that failed: again, or resumed, with the same end. */
static void goes_on(Bench *b, const Call *c, const Want *w, AdvStatus failed)
{
    AdvStatus st = c->run(b);
    if (st == ADV_EPOISONED) {
        CHECK(failed == ADV_ENOMEM); /* files that fail leave a session whole */
        reopen(b);
        if (!c->needs_folder) return;
        CHECK_EQ(adv_session_resume(b->s, b->dir, b->ds), ADV_OK);
        if (c->run == call_train) CHECK_EQ(c->run(b), ADV_OK);
    } else {
        CHECK_EQ(st, ADV_OK);
        CHECK(states_of(b) == w->after);
    }
    CHECK(end_of_run(b) == w->end);
}

/* After files failed: what the session has is saved elsewhere, and ends from there as it would have. */
static void saved_elsewhere(Bench *b, const Want *w)
{
    char dir[64];
    Bench other = *b;
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "cpu", .n_threads = 1};
    scratch_make(dir);
    CHECK_EQ(adv_session_save(b->s, dir, b->ds), ADV_OK);
    CHECK_EQ(adv_session_open(b->ctx, b->plan, &o, b->ds, &other.s), ADV_OK);
    CHECK_EQ(toy_bind(other.s, &b->set, b->ds), ADV_OK);
    CHECK_EQ(adv_session_resume(other.s, dir, b->ds), ADV_OK);
    CHECK(end_of_run(&other) == w->end);
    adv_session_close(other.s);
    scratch_remove(dir);
}

/* One fault of `kind`: memory or files. Returns whether it struck. */
static bool one_fault(const Call *c, const Want *w, bool is_mem, long k, int persistent)
{
    Bench b;
    bench_open(&b, c);
    b.mem.calls = b.files.calls = 0;
    b.mem.persistent = b.files.persistent = persistent;
    if (is_mem) b.mem.fail_at = k;
    else b.files.fail_at = k;
    AdvStatus st = c->run(&b);
    bool struck = (is_mem ? b.mem.calls : b.files.calls) >= k;
    b.mem.fail_at = b.files.fail_at = 0;
    CHECK(st == ADV_OK || st == (is_mem ? ADV_ENOMEM : ADV_EIO));
    if (st != ADV_OK && !is_mem) CHECK(has_message(b.ds));
    if (st != ADV_OK && !is_mem && c->run == call_train) saved_elsewhere(&b, w);
    if (st != ADV_OK) goes_on(&b, c, w, st);
    else CHECK(states_of(&b) == w->after);
    if (test_n_failed_checks) {
        printf("%s, %s %ld, %s: status %d\n", c->name, is_mem ? "allocation" : "file call", k, persistent ? "from there on" : "once", st);
        adv_diags_render(b.ds, ADV_PRINT_SHORT, world_write, stdout);
    }
    bench_close(&b);
    return struck;
}

static void each_fault(bool is_mem)
{
    for (int i = 0; i < N_CALLS && !test_n_failed_checks; i++) {
        Want w = without_fault(&calls[i]);
        long n = is_mem ? w.n_mem : w.n_files;
        for (int persistent = 0; persistent < 2; persistent++)
            for (long k = 1; k <= n && !test_n_failed_checks; k++) CHECK(one_fault(&calls[i], &w, is_mem, k, persistent));
    }
}

/* A plan with more names of entries than a piece of memory holds: there are all of them, or there is no plan. */
static void each_allocation_of_a_long_plan(void)
{
    enum { N_ENTRIES = 4000 };
    static char program[sizeof toy_program + N_ENTRIES * 8];
    const char *at = strstr(toy_program, "\"batch\",\"step.main\"");
    size_t n = (size_t)(at - toy_program);
    memcpy(program, toy_program, n);
    for (int i = 0; i < N_ENTRIES; i++) n += (size_t)snprintf(program + n, sizeof program - n, "\"batch\",");
    snprintf(program + n, sizeof program - n, "%s", at + strlen("\"batch\","));
    ToyBytes bytes = toy_make(toy_graph, program, "longhash", "cpu", NULL);
    bool struck = true;
    for (long k = 1; struck && !test_n_failed_checks; k++) {
        FaultAlloc mem = {.calls = 0};
        AdvCtxOpts co = {.struct_size = sizeof co, .alloc = fault_alloc(&mem).fn, .user = &mem};
        AdvCtx *ctx;
        AdvPlan *plan;
        CHECK_EQ(adv_ctx_new(&co, &ctx), ADV_OK);
        mem.calls = 0;
        mem.fail_at = k;
        AdvStatus st = adv_plan_load(ctx, bytes.data, bytes.n, NULL, &plan);
        struck = mem.calls >= k;
        CHECK_EQ(st, struck ? ADV_ENOMEM : ADV_OK);
        adv_plan_close(plan);
        adv_ctx_free(ctx);
        CHECK_EQ(mem.n_live, 0);
    }
    toy_bytes_free(&bytes);
}

static void each_allocation_of_each_call(void) { each_fault(true); }
static void each_file_call_of_each_call(void) { each_fault(false); }

/* ---- the JSON library ------------------------------------------------------------------------------------------------------- */

/* Never a plan, a checkpoint or a file that lacks a part: the call fails, or all is as without the fault. */
static void json_memory_of_each_call(void)
{
    json_set_alloc_funcs(failing_new, free);
    for (int i = 0; i < N_CALLS && !test_n_failed_checks; i++) {
        json.fail_at = 0;
        Want w = without_fault(&calls[i]);
        Bench b;
        bench_open(&b, &calls[i]);
        json.calls = 0;
        CHECK_EQ(calls[i].run(&b), ADV_OK);
        long n = json.calls, step = n > 40 && !wants_all ? n / 24 : 1;
        bench_close(&b);
        for (int persistent = 0; persistent < 2; persistent++) {
            for (long k = 1; k <= n && !test_n_failed_checks; k += step) {
                bench_open(&b, &calls[i]);
                json.calls = 0;
                json.fail_at = k;
                json.persistent = persistent;
                AdvStatus st = calls[i].run(&b);
                json.fail_at = 0;
                CHECK(st == ADV_OK || st == ADV_ENOMEM || st == ADV_EDATA);
                if (st != ADV_OK) goes_on(&b, &calls[i], &w, ADV_ENOMEM);
                else CHECK(states_of(&b) == w.after);
                if (test_n_failed_checks)
                    printf("%s, JSON allocation %ld, %s: status %d\n", calls[i].name, k, persistent ? "from there on" : "once", st);
                bench_close(&b);
            }
        }
    }
    json_set_alloc_funcs(malloc, free);
}

/* ---- the real disk --------------------------------------------------------------------------------------------------------- */

/* Message `ix` is a sentence with these words. */
static void says(const AdvDiags *ds, const char *a, const char *b)
{
    const char *msg = NULL;
    adv_diags_at(ds, 0, &msg);
    bool is_right = msg && strstr(msg, a) && strstr(msg, b);
    CHECK(is_right);
    if (!is_right) printf("the message is `%s`, expected `%s` and `%s` in it\n", msg ? msg : "", a, b);
}

/* A folder that nobody may write into (also the superuser), and one that is a file. */
static void folders_that_cannot_be_written(void)
{
    Bench b;
    char path[128];
    bench_open(&b, &calls[0]);
    CHECK_EQ(adv_session_save(b.s, "/proc/self", b.ds), ADV_EIO);
    says(b.ds, "/proc/self/", "cannot make folder");
    bench_close(&b);
    bench_open(&b, &calls[0]);
    snprintf(path, sizeof path, "%s/set.safetensors", b.dir);
    CHECK_EQ(adv_session_save(b.s, path, b.ds), ADV_EIO);
    says(b.ds, path, strerror(ENOTDIR));
    CHECK_EQ(adv_session_save(b.s, b.dir, b.ds), ADV_OK);
    bench_close(&b);
    const int errors[] = {EACCES, EROFS, EIO, ENOSPC, EDQUOT};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        bench_open(&b, &calls[0]);
        b.files.error = errors[i];
        b.files.fail_at = 1;
        b.files.persistent = 1;
        b.files.calls = 0;
        CHECK_EQ(adv_session_save(b.s, b.dir, b.ds), ADV_EIO);
        says(b.ds, b.dir, strerror(errors[i]));
        bench_close(&b);
    }
}

/* The system refuses to let a file grow beyond `n` bytes: a disk that is full in the middle of a write. */
static void limit_files(rlim_t n)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_FSIZE, &l)) abort();
    l.rlim_cur = n;
    if (setrlimit(RLIMIT_FSIZE, &l)) abort();
}

static void a_disk_that_fills(void)
{
    struct rlimit old;
    void (*kept)(int) = signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_FSIZE, &old)) abort();
    for (rlim_t n = 0; n < 4096 && !test_n_failed_checks; n += 256) {
        Bench b;
        bench_open(&b, &calls[6]);
        CHECK_EQ(adv_session_step(b.s, 1, b.ds), ADV_OK);
        uint64_t now = states_of(&b);
        limit_files(n);
        AdvStatus st = adv_session_save(b.s, b.dir, b.ds);
        limit_files(old.rlim_cur);
        CHECK(st == ADV_EIO || (st == ADV_OK && n > 512));
        if (st == ADV_EIO) says(b.ds, "cannot write", b.dir);
        reopen(&b);
        CHECK_EQ(adv_session_resume(b.s, b.dir, b.ds), ADV_OK); /* the older one */
        CHECK((states_of(&b) == now) == (st == ADV_OK));
        bench_close(&b);
    }
    signal(SIGXFSZ, kept);
}

int main(int argc, char **argv)
{
    wants_all = argc > 1 && !strcmp(argv[1], "all");
    plan_bytes = toy_make(toy_graph, toy_program, "toyhash", "cpu", NULL);
    if (!plan_bytes.data) return 2;
    RUN(each_allocation_of_each_call);
    RUN(each_allocation_of_a_long_plan);
    RUN(each_file_call_of_each_call);
    RUN(json_memory_of_each_call);
    RUN(folders_that_cannot_be_written);
    RUN(a_disk_that_fills);
    toy_bytes_free(&plan_bytes);
    return ADV_TEST_END();
}
