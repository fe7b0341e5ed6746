/* test_runtime_place.c: the place of a run in its program is whole whatever happens to it: an evaluation aside, lines that cannot be
** written, counts beyond any run, checkpoints that someone made by hand.
*/
#include "tests/adv_test.h"

#include "runtime/base/container.h"
#include "runtime/run.h"
#include "tests/base/fault_io.h"
#include "tests/base/scratch.h"
#include "tests/runtime/toy.h"

/* ---- runs --------------------------------------------------------------------------------------------------------------- */

/* The toy with an entry after each epoch that counts how often it ran, and stops the run at the second. */
static const char stop_states[] = "state n_after : f32 scalar saved\nstate run.stop : f32 scalar saved\n";
static const char stop_entry[] = "entry after {\n"
                                 "  %n: f32 = read n_after\n  %one: f32 = const 1\n  %two: f32 = const 2\n"
                                 "  %m: f32 = add %n, %one\n  %s: f32 = eq %m, %two\n"
                                 "  write n_after = %m\n  write run.stop = %s\n}\n";

/* A plan of the toy's graph, with `from` in its program replaced by `to`. */
static ToyBytes plan_with(const char *from, const char *to)
{
    static char graph[sizeof stop_states + sizeof toy_graph + sizeof stop_entry], program[sizeof toy_program + 128];
    const char *at = strstr(toy_program, from);
    if (!at) abort();
    snprintf(graph, sizeof graph, "%s%s%s", stop_states, toy_graph, stop_entry);
    snprintf(program, sizeof program, "%.*s%s%s", (int)(at - toy_program), toy_program, to, at + strlen(from));
    ToyBytes b = toy_make(graph, program, "placehash", "cpu", NULL);
    if (!b.data) abort();
    return b;
}

static ToyBytes plain, stopping, keepless; /* made once, in main */

/* A session of a plan, which stays the caller's. */
static Toy open_plan(ToyBytes plan, const AdvIo *io)
{
    Toy t = {.data = malloc(sizeof *t.data)};
    AdvCtxOpts co = {.struct_size = sizeof co, .io = io};
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "cpu", .n_threads = 1};
    if (!t.data) abort();
    *t.data = toy_data();
    if (adv_ctx_new(&co, &t.ctx) || adv_diags_open(t.ctx, &t.ds) || adv_plan_load(t.ctx, plan.data, plan.n, t.ds, &t.plan) ||
        adv_session_open(t.ctx, t.plan, &o, t.ds, &t.s) || toy_bind(t.s, t.data, t.ds))
        abort();
    return t;
}

/* The states that the whole program ends in. */
static uint64_t end_of(ToyBytes plan)
{
    Toy t = open_plan(plan, NULL);
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    uint64_t h = toy_hash(&t);
    toy_close(&t);
    return h;
}

/* RUN/NAME; "" if there is none. To be freed. */
static char *file_text(const char *dir, const char *name)
{
    char path[128], *text = calloc(1 << 18, 1);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!text) abort();
    if (!f) return text;
    size_t n = fread(text, 1, (1 << 18) - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

/* ---- an evaluation aside -------------------------------------------------------------------------------------------------- */

typedef struct Heard { int n, stop_after, n_rows; AdvEvalRow rows[16]; } Heard;

static int32_t hear(void *user, const AdvEvent *e)
{
    Heard *h = user;
    for (uint32_t i = 0; e->kind == ADV_EVENT_EVAL && i < e->n_rows && h->n_rows < 16; i++) h->rows[h->n_rows++] = e->rows[i];
    return ++h->n == h->stop_after;
}

static void same_rows(const Heard *a, const Heard *b)
{
    CHECK_EQ(a->n_rows, b->n_rows);
    for (int i = 0; i < a->n_rows && i < b->n_rows; i++) {
        CHECK_STR(a->rows[i].attack, b->rows[i].attack);
        CHECK_EQ(a->rows[i].n_correct, b->rows[i].n_correct);
        CHECK(a->rows[i].dist_mean == b->rows[i].dist_mean);
    }
}

/* After every event of a run, also in the middle of its evaluations: both evaluations aside, and on with the run. (But for the last
** batch: the evaluation of the kept weights that it ends is told before the stop, and made and told again after it.) */
static void an_evaluation_aside_changes_nothing(void)
{
    Heard want = {.n = 0};
    AdvTrainOpts o = {.struct_size = sizeof o, .progress = hear, .user = &want};
    Toy t = open_plan(plain, NULL);
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
    uint64_t hash = toy_hash(&t);
    Toy first = t; /* whose names the rows hold */
    for (int k = 1; k < want.n - 1 && !test_n_failed_checks; k++) {
        Heard got = {.stop_after = k};
        const AdvEvalRow *rows;
        uint32_t n;
        t = open_plan(plain, NULL);
        o.user = &got;
        CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_ECANCELLED);
        CHECK_EQ(adv_session_eval(t.s, "final", t.ds, &rows, &n), ADV_OK);
        CHECK_EQ(n, 2);
        CHECK_EQ(adv_session_eval(t.s, "quick", t.ds, &rows, &n), ADV_OK);
        CHECK_EQ(n, 1);
        CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
        CHECK(toy_hash(&t) == hash);
        same_rows(&got, &want);
        if (test_n_failed_checks) printf("aside after event %d\n", k);
        toy_close(&t);
    }
    toy_close(&first);
}

/* At the end of a run: what its evaluations found is still in its next checkpoint. */
static void an_evaluation_aside_keeps_results(void)
{
    char dir[64];
    Heard want = {.n = 0}, got = {.n = 0};
    AdvTrainOpts o = {.struct_size = sizeof o, .progress = hear, .user = &want};
    const AdvEvalRow *rows;
    uint32_t n;
    scratch_make(dir);
    Toy t = open_plan(plain, NULL);
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
    CHECK_EQ(adv_session_eval(t.s, "quick", t.ds, &rows, &n), ADV_OK);
    CHECK_EQ(adv_session_save(t.s, dir, t.ds), ADV_OK);
    Toy u = open_plan(plain, NULL);
    CHECK_EQ(adv_session_resume(u.s, dir, u.ds), ADV_OK);
    o.user = &got;
    CHECK_EQ(adv_session_train(u.s, &o, u.ds), ADV_OK); /* tells the rows at the end once more */
    scratch_remove(dir);
    memmove(want.rows, want.rows + 3, sizeof want.rows - 3 * sizeof *want.rows); /* without those after each epoch */
    want.n_rows -= 3;
    CHECK(want.n_rows >= 2);
    same_rows(&got, &want);
    toy_close(&t);
    toy_close(&u);
}

/* ---- files that fail -------------------------------------------------------------------------------------------------------- */

/* Each file call of a run fails once. What it has goes elsewhere and resumes there, and the session itself goes on; nothing has run
** twice, and nothing was left out. */
static void nothing_runs_twice(void)
{
    uint64_t want = end_of(stopping);
    bool has_failed = true;
    long k = 1;
    for (; has_failed && !test_n_failed_checks; k++) {
        char dir[64], elsewhere[64];
        FaultIo f = {.error = ENOSPC};
        AdvIo io = fault_io(&f);
        AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir};
        double n_after = 0;
        scratch_make(dir);
        scratch_make(elsewhere);
        Toy t = open_plan(stopping, &io);
        f.calls = 0;
        f.fail_at = k;
        AdvStatus st = adv_session_train(t.s, &o, t.ds);
        has_failed = f.calls >= k;
        f.fail_at = 0;
        CHECK(st == ADV_OK || (st == ADV_EIO && has_failed)); /* looking for old checkpoints to remove may fail silently */
        CHECK_EQ(adv_session_save(t.s, elsewhere, t.ds), ADV_OK);
        CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
        CHECK_EQ(adv_session_get(t.s, "n_after", &n_after), ADV_OK);
        CHECK_EQ(n_after, 2);
        CHECK(toy_hash(&t) == want);
        toy_close(&t);
        t = open_plan(stopping, NULL);
        CHECK_EQ(adv_session_resume(t.s, elsewhere, t.ds), ADV_OK);
        CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
        CHECK(toy_hash(&t) == want);
        if (test_n_failed_checks) {
            printf("file call %ld\n", k);
            toy_show(&t);
        }
        toy_close(&t);
        scratch_remove(dir);
        scratch_remove(elsewhere);
    }
    CHECK(k > 50);
}

/* The disk is full in the middle of a line; with room again, the file has whole lines only. */
static void a_torn_line_is_cut(void)
{
    for (long k = 3; k < 600 && !test_n_failed_checks; k += 37) {
        char dir[64];
        FaultIo f = {.error = ENOSPC, .is_short = 1, .persistent = 1};
        AdvIo io = fault_io(&f);
        AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir};
        scratch_make(dir);
        Toy t = open_plan(plain, &io);
        f.calls = 0;
        f.fail_at = k;
        CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_EIO);
        f.fail_at = 0;
        CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
        char *events = file_text(dir, "events.jsonl");
        int n = 0;
        for (char *line = strtok(events, "\n"); line; line = strtok(NULL, "\n"), n++) {
            bool is_whole = !strncmp(line, "{\"kind\":\"", 9) && line[strlen(line) - 1] == '}' && !strstr(line + 1, "{\"kind\"");
            CHECK(is_whole);
            if (!is_whole) printf("failed from call %ld: %s\n", k, line);
        }
        CHECK(n > 20);
        free(events);
        toy_close(&t);
        scratch_remove(dir);
    }
}

/* ---- counts beyond any run ----------------------------------------------------------------------------------------------------- */

static void more_than_there_is(void)
{
    const uint64_t most[] = {UINT64_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1};
    uint64_t want = end_of(plain);
    for (int i = 0; i < 6; i++) {
        Toy t = open_plan(plain, NULL);
        CHECK_EQ(adv_session_step(t.s, 3, t.ds), ADV_OK);
        CHECK_EQ((i < 3 ? adv_session_step : adv_session_epoch)(t.s, most[i % 3], t.ds), ADV_OK);
        CHECK(adv_session_is_done(t.s));
        CHECK(toy_hash(&t) == want);
        toy_close(&t);
    }
}

/* ---- checkpoints made by hand --------------------------------------------------------------------------------------------------- */

/* A run folder whose checkpoint stands between the two stages of the last evaluation. Its number of events: 24 steps, 3 ends of epochs,
** and for each of them two batches and an end; then three batches. */
static void stop_in_final(ToyBytes plan, const char *dir)
{
    Heard h = {.stop_after = 24 + 3 + 3 * 3 + 3};
    AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir, .progress = hear, .user = &h};
    Toy t = open_plan(plan, NULL);
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_ECANCELLED);
    toy_close(&t);
}

/* What is changed by hand: the place, and how many results there are. */
typedef struct Change { const char *what; int64_t where, eval, stage, n_rows, row_first; AdvStatus want; } Change;

static AdvPlace changed(const AdvBlob *b, const Change *c)
{
    AdvPlace at;
    memcpy(&at, b->data, sizeof at);
    CHECK(at.where == ADV_AT_FINAL && at.eval == 1 && at.stage == 1 && at.n_rows == 1);
    at.where = c->where;
    at.eval = c->eval;
    at.stage = c->stage;
    at.n_rows = c->n_rows;
    at.row_first = c->row_first;
    return at;
}

/* Writes the file anew, with a manifest that fits. */
static void change_by_hand(const char *dir, const Change *c)
{
    static AdvRowInts ints[8];
    static AdvRowNums nums[8];
    static int64_t classes[8 * 2 * 5];
    AdvAlloc a = adv_alloc_default();
    AdvArena arena;
    AdvContainer x, y;
    AdvPlace at;
    char path[128], manifest[256];
    void *bytes, *again;
    uint64_t n, m;
    for (int i = 0; i < 8; i++) ints[i] = (AdvRowInts){.eval = 1, .n = 20};
    adv_arena_init(&arena, a);
    snprintf(path, sizeof path, "%s/ckpt-00000024/state.safetensors", dir);
    if (adv_read_file(NULL, &a, path, 1 << 20, NULL, &bytes, &n) || adv_container_parse(&arena, bytes, n, "w", NULL, &x)) abort();
    for (uint32_t i = 0; i < x.n_blobs; i++) {
        AdvBlob *b = &x.blobs[i];
        if (!strcmp(b->name, "adv.place")) {
            at = changed(b, c);
            b->data = &at;
        }
        size_t row = !strcmp(b->name, "adv.row.ints") ? sizeof *ints : !strcmp(b->name, "adv.row.nums") ? sizeof *nums : 0;
        if (!strcmp(b->name, "adv.row.classes")) row = 2 * 5 * sizeof *classes;
        if (!row) continue;
        b->data = b->dtype == ADV_F64 ? (void *)nums : row == sizeof *ints ? (void *)ints : (void *)classes;
        b->n_bytes = (uint64_t)c->n_rows * row;
        b->dim[0] = (int64_t)b->n_bytes / 8;
    }
    if (adv_container_render(&a, x.blobs, x.n_blobs, x.meta, x.n_meta, NULL, &again, &m) ||
        adv_write_file(NULL, &a, path, again, m, NULL) || adv_container_parse(&arena, again, m, "w", NULL, &y))
        abort();
    snprintf(manifest, sizeof manifest, "{\"bytes\": %llu, \"xxh3_128\": \"%s\"}", (unsigned long long)m, y.digest);
    snprintf(path, sizeof path, "%s/ckpt-00000024/MANIFEST.json", dir);
    if (adv_write_file(NULL, &a, path, manifest, strlen(manifest), NULL)) abort();
    adv_mem_free(&a, bytes, n + 1);
    adv_mem_free(&a, again, m);
    adv_arena_fini(&arena);
}

static void resume_changed(ToyBytes plan, const Change *c)
{
    char dir[64];
    scratch_make(dir);
    stop_in_final(plan, dir);
    change_by_hand(dir, c);
    Toy t = open_plan(plan, NULL);
    AdvStatus st = adv_session_resume(t.s, dir, t.ds);
    CHECK_EQ(st, c->want);
    if (st != c->want) printf("%s\n", c->what);
    if (st == ADV_OK) CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    toy_close(&t);
    scratch_remove(dir);
}

static void places_made_by_hand(void)
{
    static const Change changes[] = {
        {"as it was", ADV_AT_FINAL, 1, 1, 1, 0, ADV_OK},
        {"no room for the other stage", ADV_AT_FINAL, 1, 1, 6, 5, ADV_EDATA},
        {"no room for the stages", ADV_AT_FINAL, -1, -1, 6, 0, ADV_EDATA},
        {"all have ended", ADV_AT_FINAL, 1, -1, 2, 0, ADV_OK},
        {"rows of another evaluation", ADV_AT_FINAL, 1, 1, 1, 1, ADV_EDATA},
        {"an evaluation of epochs", ADV_AT_FINAL, 0, 0, 1, 1, ADV_EDATA},
        {"the last evaluation after an epoch", ADV_AT_EVALS, 1, 1, 1, 0, ADV_EDATA},
        {"a stage of nothing", ADV_AT_FINAL, -1, 1, 1, 0, ADV_EDATA},
        {"kept weights", ADV_AT_FINAL_BEST, -1, -1, 2, 2, ADV_OK},
        {"kept weights, no room", ADV_AT_FINAL_BEST, -1, -1, 6, 6, ADV_EDATA},
    };
    static const Change without = {"kept weights of a plan that keeps none", ADV_AT_FINAL_BEST, -1, -1, 2, 2, ADV_EDATA};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) resume_changed(plain, &changes[i]);
    resume_changed(keepless, &without);
}

int main(void)
{
    plain = plan_with("\"stop\":null", "\"stop\":null");
    stopping = plan_with("\"stop\":null", "\"stop\":\"run.stop\",\"after_epoch\":\"after\"");
    keepless = plan_with("\"keep\":\"quick.clean\"", "\"keep\":null");
    RUN(an_evaluation_aside_changes_nothing);
    RUN(an_evaluation_aside_keeps_results);
    RUN(nothing_runs_twice);
    RUN(a_torn_line_is_cut);
    RUN(more_than_there_is);
    RUN(places_made_by_hand);
    toy_bytes_free(&plain);
    toy_bytes_free(&stopping);
    toy_bytes_free(&keepless);
    return ADV_TEST_END();
}
