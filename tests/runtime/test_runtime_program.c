/* test_runtime_program.c: what runs when, and that a run can end and go on anywhere without a bit of difference. */
#include "tests/adv_test.h"

#include "runtime/base/container.h"
#include "runtime/base/json_text.h"
#include "tests/base/comma.h"
#include "runtime/adv_dlpack.h"
#include "tests/base/fault_alloc.h"
#include "tests/base/fault_io.h"
#include "tests/base/scratch.h"
#include "tests/runtime/toy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- folders of tests -------------------------------------------------------------------------------------------------- */

static const char *new_dir(void)
{
    static char path[64];
    scratch_make(path);
    return path;
}

/* All text of RUN/NAME without the times; "" if there is none. To be freed. */
static char *file_text(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    char *s = calloc(1 << 20, 1);
    if (!s) abort();
    if (!f) return s;
    size_t n = fread(s, 1, (1 << 20) - 1, f);
    s[n] = 0;
    fclose(f);
    for (char *t = strstr(s, "\"t\":"); t; t = strstr(t + 4, "\"t\":"))
        for (char *q = t + 4; *q && *q != ','; q++) *q = 1;
    char *to = s;   /* times differ in length */
    for (char *from = s; *from; from++)
        if (*from != 1) *to++ = *from;
    *to = 0;
    return s;
}

static int n_folders(const char *dir, const char *prefix)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) n += !strncmp(e->d_name, prefix, strlen(prefix));
    if (d) closedir(d);
    return n;
}

/* ---- what runs --------------------------------------------------------------------------------------------------------- */

typedef struct Heard {
    char entries[8192];
    int n_steps, n_epochs, n_evals, n_saved, stop_after;   /* stop_after events of any kind; 0: never */
    int n_events;
    AdvEvalRow rows[16];
    int n_rows;
    AdvMetric eps;
} Heard;

static int32_t hear(void *user, const AdvEvent *e)
{
    Heard *h = user;
    h->n_events++;
    h->n_steps += e->kind == ADV_EVENT_STEP;
    h->n_epochs += e->kind == ADV_EVENT_EPOCH;
    h->n_saved += e->kind == ADV_EVENT_SAVED;
    if (e->kind == ADV_EVENT_ENTRY) {
        strcat(h->entries, e->text);
        strcat(h->entries, " ");
    }
    if (e->kind == ADV_EVENT_EPOCH && e->n_metrics == 2) h->eps = e->metrics[1];
    if (e->kind == ADV_EVENT_EVAL) {
        h->n_evals++;
        for (uint32_t i = 0; i < e->n_rows && h->n_rows < 16; i++) h->rows[h->n_rows++] = e->rows[i];
    }
    return h->stop_after && h->n_events == h->stop_after;
}

static void null_runs_the_list(void)
{
    Heard h = {.n_steps = 0};
    AdvTrainOpts o = {.struct_size = sizeof o, .flags = ADV_TRAIN_ENTRIES, .progress = hear, .user = &h};
    Toy t = toy_open("null", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
    CHECK(adv_session_is_done(t.s));
    char want[8192] = "init ";
    for (int e = 0; e < 3; e++) {
        strcat(want, "epoch ");
        for (int i = 0; i < 8; i++) strcat(want, "batch step.main ");
        strcat(want, "eval.clean eval.clean ");   /* 12 samples in batches of 8 */
    }
    strcat(want, "eval.clean eval.clean eval.clean ");   /* 20 samples; none is right on `null`, so the second stage has none */
    strcat(want, "eval.clean eval.clean eval.clean ");   /* kept weights: those of epoch 1 */
    CHECK_STR(h.entries, want);
    CHECK_EQ(h.n_steps, 24);
    CHECK_EQ(h.n_epochs, 3);
    CHECK_EQ(h.n_evals, 5);
    toy_close(&t);
}

static void results_are_right(void)
{
    Heard h = {.n_steps = 0};
    AdvTrainOpts o = {.struct_size = sizeof o, .progress = hear, .user = &h};
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
    toy_show(&t);
    CHECK(h.n_rows >= 5);
    CHECK_STR(h.rows[0].eval, "quick");
    CHECK_EQ(h.rows[0].n, 12);
    CHECK_STR(h.rows[3].eval, "final");
    CHECK_STR(h.rows[3].attack, "clean");
    CHECK_EQ(h.rows[3].n, 20);
    CHECK(h.rows[3].accuracy > 0.5);
    CHECK_STR(h.rows[4].attack, "fgsm");
    CHECK(h.rows[4].accuracy <= h.rows[3].accuracy && h.rows[4].n_correct > 0);
    CHECK_NEAR(h.rows[4].dist_max, 0.25, 1e-6);
    double v;
    CHECK_EQ(adv_session_get(t.s, "final.fgsm", &v), ADV_OK);
    CHECK_NEAR(v, h.rows[4].accuracy, 1e-6);
    /* eps of an epoch: every sample once, in order */
    CHECK_EQ(h.eps.n, 64);
    CHECK(h.eps.min <= h.eps.q1 && h.eps.q1 <= h.eps.median && h.eps.median <= h.eps.q3 && h.eps.q3 <= h.eps.max && h.eps.max > 0.05);
    toy_close(&t);
}

/* Of the final evaluation: how many points stay right under each stage, on weights that name the largest coordinate, with labels of
** which so many are right (of 15, one is not). `among`: whom the second stage looks at. */
static void stages(const char *among, int n_right, int64_t *out_right)
{
    char program[sizeof toy_program + 16];
    float w[4][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0, 0, 0}};
    AdvView v = toy_view(ADV_F32, 4, 3, w);
    const AdvEvalRow *rows = NULL;
    uint32_t n_rows = 0;
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    AdvSessionOpts so = {.struct_size = sizeof so, .backend = "cpu", .n_threads = 1};
    strcpy(program, toy_program);
    memcpy(strstr(program, "\"alive\""), among, 7);
    adv_session_close(t.s);
    adv_plan_close(t.plan);
    toy_bytes_free(&t.bytes);
    t.bytes = toy_make(toy_graph, program, "toyhash", "cpu", NULL);
    for (int i = 0, n = 0; i < TOY_TEST; i++) {
        if (t.data->test_y[i] < 3 && n++ >= n_right + (n_right > 13)) t.data->test_y[i] = 3; /* which is never named */
    }
    CHECK_EQ(adv_plan_load(t.ctx, t.bytes.data, t.bytes.n, t.ds, &t.plan), ADV_OK);
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &so, t.ds, &t.s), ADV_OK);
    CHECK_EQ(toy_bind(t.s, t.data, t.ds), ADV_OK);
    CHECK_EQ(adv_session_write(t.s, "f.w", &v, t.ds), ADV_OK);
    CHECK_EQ(adv_session_eval(t.s, "final", t.ds, &rows, &n_rows), ADV_OK);
    for (uint32_t i = 0; i < 2; i++) out_right[i] = n_rows == 2 ? rows[i].n_correct : -1;
    toy_close(&t);
}

/* Only samples that were right before are attacked, a full batch of them or none at all: the same counts as if all were. */
static void stages_equal_one_pass(void)
{
    static const int left[] = {14, 10, 3, 0};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        int64_t alive[2], all[2];
        stages("\"alive\"", left[i], alive);
        stages("\"all\"  ", left[i], all);
        CHECK_EQ(alive[0], left[i]);
        CHECK(alive[0] == all[0] && alive[1] == all[1] && alive[1] <= alive[0]);
        CHECK(i > 0 || (alive[1] > 0 && alive[1] < alive[0])); /* the attack does something, and not everything */
    }
}

/* What a log says of phases is checked like all of a plan. */
static void phases_of_a_log_exist(void)
{
    static const char *const names[] = {"\"warm\"", "\"wart\"", "1"};
    static const char last[] = "\"unit\":\"1/255\"}";
    const char *at = strstr(toy_program, last);
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    for (int k = 0; k < 3; k++) {
        char program[sizeof toy_program + 64];
        AdvPlan *plan = NULL;
        snprintf(program, sizeof program, "%.*s\"unit\":\"1/255\",\"phases\":[%s]}%s", (int)(at - toy_program), toy_program, names[k],
                 at + strlen(last));
        ToyBytes b = toy_make(toy_graph, program, "toyhash", "cpu", NULL);
        CHECK_EQ(adv_plan_load(t.ctx, b.data, b.n, t.ds, &plan), k ? ADV_EDATA : ADV_OK);
        if (plan) adv_plan_close(plan);
        toy_bytes_free(&b);
    }
    toy_close(&t);
}

static void only_eval_changes_nothing(void)
{
    Heard h = {.n_steps = 0};
    AdvTrainOpts o = {.struct_size = sizeof o, .progress = hear, .user = &h, .only_eval = "final"};
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_step(t.s, 9, t.ds), ADV_OK);
    AdvTensorType ty;
    CHECK_EQ(adv_session_type(t.s, "f.w", &ty), ADV_OK);
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
    CHECK_EQ(h.n_evals, 1);
    o.only_eval = "nothing";
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_EINVAL);
    CHECK_EQ(adv_session_step(t.s, 100, t.ds), ADV_OK);
    CHECK(adv_session_is_done(t.s));
    uint64_t got = toy_hash(&t);
    toy_close(&t);
    t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    CHECK(toy_hash(&t) == got);
    toy_close(&t);
}

/* ---- stop and resume ------------------------------------------------------------------------------------------------------ */

typedef struct Straight { uint64_t hash; char *events, *result; int n_events; } Straight;

static Straight run_straight(const char *backend)
{
    Straight r;
    Heard h = {.n_steps = 0};
    const char *dir = new_dir();
    AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir, .progress = hear, .user = &h};
    Toy t = toy_open(backend, "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
    toy_show(&t);
    r.hash = toy_hash(&t);
    r.events = file_text(dir, "events.jsonl");
    r.result = file_text(dir, "eval-final.json");
    r.n_events = h.n_events;
    toy_close(&t);
    scratch_remove(dir);
    return r;
}

/* Stops after event k, for every k: steps, epochs, batches of evaluations. A new session goes on from the files. */
static void resume_from_everywhere(void)
{
    Straight want = run_straight("cpu");
    CHECK(strstr(want.events, "\"kind\":\"end\"") != NULL && strlen(want.result) > 100);
    for (int k = 1; k < want.n_events && !test_n_failed_checks; k++) {
        Heard h = {.stop_after = k}, h2 = {.n_steps = 0};
        const char *dir = new_dir();
        AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir, .progress = hear, .user = &h};
        Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
        AdvStatus st = adv_session_train(t.s, &o, t.ds);
        CHECK(st == ADV_ECANCELLED || (st == ADV_OK && k >= want.n_events - 1));
        toy_close(&t);
        t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
        CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK);
        o.user = &h2;
        CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
        CHECK(adv_session_is_done(t.s));
        CHECK(toy_hash(&t) == want.hash);
        char *events = file_text(dir, "events.jsonl"), *result = file_text(dir, "eval-final.json");
        CHECK(!strcmp(events, want.events));
        CHECK(!strcmp(result, want.result));
        if (test_n_failed_checks) {
            printf("after event %d:\n%s\n---\n%s\n", k, events, want.events);
            toy_show(&t);
        }
        free(events);
        free(result);
        toy_close(&t);
        scratch_remove(dir);
    }
    free(want.events);
    free(want.result);
}

static void gather(void *user, const char *text, size_t n)
{
    char *to = user;
    strncat(to, text, n);
}

/* A host program whose numbers have a comma: plans, events and traces are as ever. */
static void a_comma_changes_nothing(void)
{
    Straight want = run_straight("cpu");
    ToyBytes plan = toy_make(toy_graph, toy_program, "toyhash", "cpu", NULL);
    if (comma_begin()) {
        AdvAlloc a = adv_alloc_default();
        AdvJsonError err;
        Straight got = run_straight("cpu");
        CHECK_STR(got.events, want.events);
        CHECK_STR(got.result, want.result);
        Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, ADV_SESSION_TRACE);
        CHECK(t.bytes.n == plan.n && !memcmp(t.bytes.data, plan.data, plan.n));
        char *trace = calloc(1 << 20, 1);
        CHECK_EQ(adv_session_step(t.s, 2, t.ds), ADV_OK);
        adv_session_trace(t.s, gather, trace);
        json_t *j = adv_json_read(&a, trace, strlen(trace), &err);
        CHECK(j != NULL && json_array_size(json_object_get(j, "traceEvents")) > 10);
        if (!j) printf("%s at byte %zu of %.200s\n", err.what, err.at, trace);
        json_decref(j);
        comma_end();
        free(trace);
        free(got.events);
        free(got.result);
        toy_close(&t);
    }
    toy_bytes_free(&plan);
    free(want.events);
    free(want.result);
}

/* Checkpoints after every step, killed in between: at most two and what they keep stay; the last one resumes exactly. */
static void checkpoints_are_pruned(void)
{
    const char *dir = new_dir();
    AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir, .save_every_steps = 1, .max_steps = 13};
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
    CHECK_EQ(n_folders(dir, "ckpt-"), 2);
    CHECK(n_folders(dir, "best-") <= 2 && n_folders(dir, "best-") >= 1);
    toy_close(&t);
    t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK);
    double step;
    CHECK_EQ(adv_session_get(t.s, "run.step", &step), ADV_OK);
    CHECK(step == 5 || step == 4);   /* of epoch 2: saving follows a step; max_steps ends before more is done */
    toy_close(&t);
    scratch_remove(dir);
}

/* ---- files that fail or are damaged ----------------------------------------------------------------------------------------- */

/* The second checkpoint fails at its k-th call, for each k: the status is EIO, the first one is whole and resumes. */
static void failing_io_keeps_the_older(void)
{
    int is_done = 0;
    uint64_t first_hash = 0;
    for (long k = 1; !is_done && k < 200 && !test_n_failed_checks; k++) {
        FaultIo f = {.error = ENOSPC, .persistent = k % 2 == 0};
        AdvIo io = fault_io(&f);
        AdvCtxOpts co = {.struct_size = sizeof co, .io = &io};
        const char *dir = new_dir();
        Toy t = toy_open("cpu", "cpu", &co, ADV_CHECK_OFF, 0);
        CHECK_EQ(adv_session_step(t.s, 3, t.ds), ADV_OK);
        CHECK_EQ(adv_session_save(t.s, dir, t.ds), ADV_OK);
        first_hash = toy_hash(&t);
        CHECK_EQ(adv_session_step(t.s, 2, t.ds), ADV_OK);
        f.calls = 0;
        f.fail_at = k;
        AdvStatus st = adv_session_save(t.s, dir, t.ds);
        uint64_t second_hash = toy_hash(&t);
        is_done = f.calls < k;
        CHECK(st == (is_done ? ADV_OK : ADV_EIO) || (st == ADV_OK && f.calls >= k));   /* removing old ones may fail silently */
        f.fail_at = 0;
        toy_close(&t);
        t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
        CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK);
        uint64_t got = toy_hash(&t);
        CHECK(got == first_hash || got == second_hash);
        if (st == ADV_OK) CHECK(got == second_hash);
        toy_close(&t);
        scratch_remove(dir);
    }
    CHECK(is_done);
}

/* A run whose disk fails at the k-th call ends with EIO; what it has can be saved elsewhere, and ends as if nothing was. */
static void run_is_saved_elsewhere(void)
{
    Straight want = run_straight("cpu");
    long n_calls = 0;
    for (long k = 1; k < 2 || k < n_calls; k += 9) {
        FaultIo f = {.error = ENOSPC, .persistent = 1, .fail_at = k};
        AdvIo io = fault_io(&f);
        AdvCtxOpts co = {.struct_size = sizeof co, .io = &io};
        const char *dir = new_dir();
        AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir, .save_every_steps = 5};
        Toy t = toy_open("cpu", "cpu", &co, ADV_CHECK_OFF, 0);
        f.calls = 0;
        AdvStatus st = adv_session_train(t.s, &o, t.ds);
        if (k == 1) {   /* how many calls a good run makes */
            Toy u = toy_open("cpu", "cpu", &co, ADV_CHECK_OFF, 0);
            const char *dir2;
            char kept[64];
            strcpy(kept, dir);
            dir2 = new_dir();
            f = (FaultIo){.n_open = 0};
            o.run_dir = dir2;
            CHECK_EQ(adv_session_train(u.s, &o, u.ds), ADV_OK);
            n_calls = f.calls;
            toy_close(&u);
            scratch_remove(dir2);
            scratch_remove(kept);
            dir = new_dir();
        }
        CHECK(st == ADV_EIO || (st == ADV_OK && k > 1));   /* removing old checkpoints may fail silently */
        f.fail_at = 0;
        CHECK_EQ(adv_session_save(t.s, dir, t.ds), ADV_OK);
        toy_close(&t);
        t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
        CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK);
        CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
        CHECK(toy_hash(&t) == want.hash);
        toy_close(&t);
        scratch_remove(dir);
    }
    CHECK(n_calls > 50);
    free(want.events);
    free(want.result);
}

/* A disk that takes files and gives none back: what cannot be removed stays, and harms nothing. */
static int keeps(void *user, const char *path) { return (void)user, (void)path, -EPERM; }

static void what_cannot_be_removed_stays(void)
{
    const char *dir = new_dir();
    AdvIo io = {.struct_size = sizeof io, .unlink = keeps, .rmdir = keeps};
    AdvCtxOpts co = {.struct_size = sizeof co, .io = &io};
    Toy t = toy_open("cpu", "cpu", &co, ADV_CHECK_OFF, 0);
    for (int k = 1; k <= 4; k++) {
        CHECK_EQ(adv_session_step(t.s, 1, t.ds), ADV_OK);
        CHECK_EQ(adv_session_save(t.s, dir, t.ds), ADV_OK);
    }
    uint64_t want = toy_hash(&t);
    CHECK_EQ(n_folders(dir, "ckpt-"), 4);
    toy_close(&t);
    t = toy_open("cpu", "cpu", &co, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK);
    CHECK(toy_hash(&t) == want);
    toy_close(&t);
    scratch_remove(dir);
}

/* The folder is seen through the table too: what it hides is not there, and what it cannot list is an error and not an answer. */
static int hides(void *user, const char *path, int (*each)(void *each_user, const char *name), void *each_user)
{
    return (void)user, (void)path, (void)each, (void)each_user, -ENOENT;
}

static int breaks(void *user, const char *path, int (*each)(void *each_user, const char *name), void *each_user)
{
    return hides(user, path, each, each_user), -EIO;
}

static void folders_are_listed_by_the_table(void)
{
    const char *dir = new_dir();
    char latest[4096], want[33], got[33];
    AdvIo io = {.struct_size = sizeof io, .list = hides};
    AdvCtxOpts co = {.struct_size = sizeof co, .io = &io};
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_step(t.s, 1, t.ds), ADV_OK);
    CHECK_EQ(adv_session_save(t.s, dir, t.ds), ADV_OK);
    CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK);
    CHECK_EQ(adv_ctx_checkpoint_digest(t.ctx, dir, t.ds, want), ADV_OK);
    snprintf(latest, sizeof latest, "%s/LATEST", dir);
    CHECK_EQ(unlink(latest), 0);
    CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK); /* found by looking */
    CHECK_EQ(adv_ctx_checkpoint_digest(t.ctx, dir, t.ds, got), ADV_OK);
    CHECK_STR(got, want);
    snprintf(latest, sizeof latest, "%s/ckpt-00000001", dir);
    CHECK_EQ(adv_ctx_checkpoint_digest(t.ctx, latest, t.ds, got), ADV_OK); /* itself */
    CHECK_STR(got, want);
    toy_close(&t);
    t = toy_open("cpu", "cpu", &co, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_ENOENT);
    toy_close(&t);
    io.list = breaks;
    t = toy_open("cpu", "cpu", &co, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_EIO);
    const char *msg = NULL;
    adv_diags_at(t.ds, 0, &msg);
    CHECK(msg && strstr(msg, "cannot look for checkpoints in"));
    toy_close(&t);
    scratch_remove(dir);
}

static void flip(const char *path, long at)
{
    int fd = open(path, O_RDWR);
    unsigned char c;
    if (fd < 0 || pread(fd, &c, 1, at) != 1) abort();
    c ^= 0x10;
    if (pwrite(fd, &c, 1, at) != 1) abort();
    close(fd);
}

static long file_size(const char *path)
{
    struct stat sb;
    return stat(path, &sb) ? -1 : (long)sb.st_size;
}

/* The newest checkpoint flipped at every 7th byte, or cut: the older one is used with a warning; without it, an error. */
static void damage_is_found(void)
{
    const char *dir = new_dir();
    char newest[4096], path[4096], kept[4096];
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_step(t.s, 2, t.ds), ADV_OK);
    CHECK_EQ(adv_session_save(t.s, dir, t.ds), ADV_OK);
    uint64_t first = toy_hash(&t);
    CHECK_EQ(adv_session_step(t.s, 1, t.ds), ADV_OK);
    CHECK_EQ(adv_session_save(t.s, dir, t.ds), ADV_OK);
    toy_close(&t);
    snprintf(newest, sizeof newest, "%s/ckpt-00000003/state.safetensors", dir);
    snprintf(kept, sizeof kept, "%s/ckpt-00000002", dir);
    long n = file_size(newest);
    CHECK(n > 100);
    t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    for (long at = 0; at < n && !test_n_failed_checks; at += 7) {
        flip(newest, at);
        uint32_t n_warnings;
        CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK);
        CHECK(toy_hash(&t) == first);
        adv_diags_count(t.ds, NULL, &n_warnings);
        CHECK_EQ(n_warnings, at / 7 + 1);
        flip(newest, at);
    }
    toy_close(&t);
    t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    if (truncate(newest, n / 2)) abort();
    scratch_remove(kept);
    const char *msg;
    CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_EDATA);
    CHECK_EQ(adv_diags_at(t.ds, 0, &msg), 5301);
    CHECK_EQ(adv_session_step(t.s, 1, t.ds), ADV_OK);   /* the session is as it was */
    snprintf(path, sizeof path, "%s/empty", dir);
    CHECK_EQ(adv_session_resume(t.s, path, t.ds), ADV_ENOENT);
    toy_close(&t);
    scratch_remove(dir);
}

static void other_plan_is_refused(void)
{
    const char *dir = new_dir();
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_step(t.s, 2, t.ds), ADV_OK);
    CHECK_EQ(adv_session_save(t.s, dir, t.ds), ADV_OK);
    AdvSessionOpts so = {.struct_size = sizeof so, .backend = "cpu", .n_threads = 1};
    ToyBytes b = toy_make(toy_graph, toy_program, "otherhash", "cpu", NULL);
    AdvPlan *plan;
    AdvSession *s;
    CHECK_EQ(adv_plan_load(t.ctx, b.data, b.n, t.ds, &plan), ADV_OK);
    CHECK_EQ(adv_session_open(t.ctx, plan, &so, t.ds, &s), ADV_OK);
    CHECK_EQ(adv_session_resume(s, dir, t.ds), ADV_EDATA);
    const char *msg;
    CHECK_EQ(adv_diags_at(t.ds, 0, &msg), 5302);
    CHECK(strstr(msg, "toyhash") && strstr(msg, "otherhash"));
    adv_session_close(s);
    adv_plan_close(plan);
    toy_bytes_free(&b);
    toy_close(&t);
    scratch_remove(dir);
}

/* ---- weights and data files ---------------------------------------------------------------------------------------------------- */

static void write_blobs(const char *path, const AdvBlob *blobs, uint32_t n)
{
    AdvAlloc a = adv_alloc_default();
    AdvDiags *ds = adv_diags_new(a);
    if (adv_container_write(adv_io_posix(), &a, path, blobs, n, NULL, 0, ds)) abort();
    adv_diags_free(ds);
}

static void weights_by_name(void)
{
    const char *dir = new_dir();
    char path[4096];
    float w[12], got[12];
    AdvView v = toy_view(ADV_F32, 4, 3, got);
    for (int i = 0; i < 12; i++) w[i] = (float)i;
    AdvBlob b[2] = {{.name = "w", .dtype = ADV_F32, .rank = 2, .dim = {4, 3}, .data = w, .n_bytes = 48},
                    {.name = "other", .dtype = ADV_F32, .rank = 1, .dim = {2}, .data = w, .n_bytes = 8}};
    snprintf(path, sizeof path, "%s/w.safetensors", dir);
    write_blobs(path, b, 2);
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    uint32_t n_warnings;
    CHECK_EQ(adv_session_run(t.s, "init", t.ds), ADV_OK);
    CHECK_EQ(adv_session_load_weights(t.s, path, t.ds), ADV_OK);
    adv_diags_count(t.ds, NULL, &n_warnings);
    CHECK_EQ(n_warnings, 1);
    CHECK_EQ(adv_session_read(t.s, "f.w", &v, t.ds), ADV_OK);
    CHECK(!memcmp(got, w, sizeof w));
    b[0].dim[0] = 3;
    b[0].n_bytes = 36;
    write_blobs(path, b, 1);
    CHECK_EQ(adv_session_load_weights(t.s, path, t.ds), ADV_EDATA);
    CHECK_EQ(adv_diags_at(t.ds, 1, NULL), 5311);
    CHECK_EQ(adv_session_load_weights(t.s, "/nonexistent/w", t.ds), ADV_ENOENT);
    toy_close(&t);
    scratch_remove(dir);
}

static void data_files(void)
{
    const char *dir = new_dir();
    char path[4096];
    ToyData d = toy_data();
    AdvBlob b[4] = {{.name = "train.x", .dtype = ADV_F32, .rank = 2, .dim = {64, 3}, .data = d.train_x, .n_bytes = sizeof d.train_x},
                    {.name = "train.y", .dtype = ADV_I32, .rank = 1, .dim = {64}, .data = d.train_y, .n_bytes = sizeof d.train_y},
                    {.name = "test.x", .dtype = ADV_F32, .rank = 2, .dim = {20, 3}, .data = d.test_x, .n_bytes = sizeof d.test_x},
                    {.name = "test.y", .dtype = ADV_I32, .rank = 1, .dim = {20}, .data = d.test_y, .n_bytes = sizeof d.test_y}};
    snprintf(path, sizeof path, "%s/toyset.safetensors", dir);
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_bind_file(t.s, path, t.ds), ADV_ENOENT);
    CHECK_EQ(adv_diags_at(t.ds, 0, NULL), 5202);
    write_blobs(path, b, 4);
    CHECK_EQ(adv_session_bind_file(t.s, path, t.ds), ADV_OK);
    AdvSessionInfo info = {.struct_size = sizeof info};
    CHECK_EQ(adv_session_info(t.s, &info), ADV_OK);
    CHECK_EQ(strlen(info.data_digest), 32);
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    uint64_t hash = toy_hash(&t);
    toy_close(&t);
    t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    CHECK(toy_hash(&t) == hash);
    toy_close(&t);
    t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    d.train_y[7] = 4;
    write_blobs(path, b, 4);
    CHECK_EQ(adv_session_bind_file(t.s, path, t.ds), ADV_EDATA);
    d.train_y[7] = 3;
    write_blobs(path, b, 3);
    CHECK_EQ(adv_session_bind_file(t.s, path, t.ds), ADV_EDATA);
    write_blobs(path, b, 4);
    flip(path, file_size(path) - 5);
    CHECK_EQ(adv_session_bind_file(t.s, path, t.ds), ADV_EDATA);
    if (truncate(path, 100)) abort();
    CHECK_EQ(adv_session_bind_file(t.s, path, t.ds), ADV_EDATA);
    if (truncate(path, 0)) abort();
    CHECK_EQ(adv_session_bind_file(t.s, path, t.ds), ADV_EDATA);
    toy_close(&t);
    scratch_remove(dir);
}

/* A session holds what it is bound to and no more: files and copies of them go when something else is bound, unless a tensor that was
** exported lies in them. What is said of files is said of those that are bound. */
static void what_was_bound_goes(void)
{
    const char *dir = new_dir();
    char path[4096];
    ToyData d = toy_data();
    FaultAlloc mem = {.calls = 0};
    AdvCtxOpts co = {.struct_size = sizeof co, .io = adv_io_posix(), .alloc = fault_alloc(&mem).fn, .user = &mem};
    AdvBlob b[4] = {{.name = "train.x", .dtype = ADV_F32, .rank = 2, .dim = {64, 3}, .data = d.train_x, .n_bytes = sizeof d.train_x},
                    {.name = "train.y", .dtype = ADV_I32, .rank = 1, .dim = {64}, .data = d.train_y, .n_bytes = sizeof d.train_y},
                    {.name = "test.x", .dtype = ADV_F32, .rank = 2, .dim = {20, 3}, .data = d.test_x, .n_bytes = sizeof d.test_x},
                    {.name = "test.y", .dtype = ADV_I32, .rank = 1, .dim = {20}, .data = d.test_y, .n_bytes = sizeof d.test_y}};
    AdvSessionInfo info = {.struct_size = sizeof info};
    DLManagedTensorVersioned *x;
    snprintf(path, sizeof path, "%s/toyset.safetensors", dir);
    write_blobs(path, b, 4);
    for (int wide = 0; wide < 2; wide++) { /* as it lies in the file; widened, in copies */
        Toy t = toy_open("ref", wide ? "ref64" : "cpu", &co, ADV_CHECK_OFF, 0);
        long n_live = mem.n_live;
        for (int k = 0; k < 3; k++) {
            CHECK_EQ(adv_session_bind_file(t.s, path, t.ds), ADV_OK);
            CHECK_EQ(mem.n_live, n_live + 2); /* the file is read, since the context has file calls; of a wide one the labels lie in it */
            CHECK_EQ(adv_session_info(t.s, &info), ADV_OK);
            CHECK_EQ(info.data_bytes, sizeof d);
            CHECK_EQ(strlen(info.data_digest), 32);
        }
        CHECK_EQ(adv_session_export(t.s, "data.train.x", &x, t.ds), ADV_OK);
        CHECK_EQ(toy_bind(t.s, &d, t.ds), ADV_OK);
        CHECK(mem.n_live > n_live);
        if (wide) CHECK(((double *)x->dl_tensor.data)[7] == (double)d.train_x[7]);
        else CHECK(((float *)x->dl_tensor.data)[7] == d.train_x[7]);
        x->deleter(x);
        CHECK_EQ(toy_bind(t.s, &d, t.ds), ADV_OK);
        CHECK_EQ(mem.n_live, n_live);
        CHECK_EQ(adv_session_info(t.s, &info), ADV_OK);
        CHECK_EQ(info.data_bytes, 0);
        CHECK_STR(info.data_digest, "");
        toy_close(&t);
    }
    scratch_remove(dir);
}

/* ---- the program's own text ------------------------------------------------------------------------------------------------------ */

static void wrong_programs(void)
{
    static const char *const wrong[] = {
        "{}",
        "[]",
        "{\"recipe\":1}",
        "nonsense",
        "{\"recipe\":\"a\",\"batch\":8,\"epochs\":2,\"steps\":1,\"phases\":[]}",
        "{\"recipe\":\"a\",\"batch\":0,\"epochs\":0,\"steps\":1,\"phases\":[]}",
        "{\"recipe\":\"a\",\"batch\":8,\"epochs\":1,\"epochs\":1,\"steps\":1,\"phases\":[]}",
        "{\"recipe\":\"a\",\"batch\":8,\"epochs\":1,\"steps\":1,\"phases\":[{\"name\":\"m\",\"from\":1,\"to\":1,\"entries\":[\"step.none\"]"
        "}]}",
        "{\"recipe\":\"a\",\"batch\":8,\"epochs\":1,\"steps\":9007199254740993,\"phases\":[{\"name\":\"m\",\"from\":1,\"to\":1,\"entries\":"
        "[]}]}",
        "{\"recipe\":\"a\",\"batch\":8,\"epochs\":0,\"steps\":1,\"phases\":[],\"keep\":\"f.w\"}",
        "{\"recipe\":\"a\",\"batch\":8,\"epochs\":0,\"steps\":1,\"phases\":[],\"keep\":\"nothing\"}",
        "{\"recipe\":\"a\",\"batch\":8,\"epochs\":0,\"steps\":1,\"phases\":[],\"log\":[{\"name\":\"l\",\"state\":\"f.w\"}]}",
        "{\"recipe\":\"a\",\"batch\":8,\"epochs\":0,\"steps\":1,\"phases\":[],\"evals\":[{\"name\":\"e\",\"n\":4,\"batch\":9,\"stages\":[]}"
        "]}",
    };
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan;
    if (adv_ctx_new(NULL, &ctx) || adv_diags_open(ctx, &ds)) abort();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ToyBytes b = toy_make(toy_graph, wrong[i], "h", "ref", NULL);
        if (!b.data) continue;   /* the compiler's own check refused it */
        CHECK_EQ(adv_plan_load(ctx, b.data, b.n, ds, &plan), ADV_EDATA);
        CHECK(plan == NULL);
        toy_bytes_free(&b);
    }
    adv_diags_free(ds);
    adv_ctx_free(ctx);
}

int main(void)
{
    RUN(null_runs_the_list);
    RUN(results_are_right);
    RUN(stages_equal_one_pass);
    RUN(phases_of_a_log_exist);
    RUN(only_eval_changes_nothing);
    RUN(resume_from_everywhere);
    RUN(a_comma_changes_nothing);
    RUN(checkpoints_are_pruned);
    RUN(failing_io_keeps_the_older);
    RUN(run_is_saved_elsewhere);
    RUN(what_cannot_be_removed_stays);
    RUN(folders_are_listed_by_the_table);
    RUN(damage_is_found);
    RUN(other_plan_is_refused);
    RUN(weights_by_name);
    RUN(data_files);
    RUN(what_was_bound_goes);
    RUN(wrong_programs);
    return ADV_TEST_END();
}
