/* test_runtime_session.c: sessions of the toy plan on every back end: opening, binding, running entries, states, checks. */
#include "tests/adv_test.h"

#include "ops/view.h"
#include "runtime/ctx.h"
#include "tests/runtime/toy.h"

static void runs_on_every_back_end(void)
{
    const struct { const char *backend, *target; } rows[] = {{"ref", "cpu"}, {"cpu", "cpu"}, {"ref", "ref"}, {"ref", "ref64"}};
    double loss[4] = {0};
    for (int i = 0; i < 4; i++) {
        Toy t = toy_open(rows[i].backend, rows[i].target, NULL, ADV_CHECK_OFF, 0);
        CHECK(t.s != NULL);
        if (t.s) {
            CHECK_EQ(adv_session_step(t.s, 5, t.ds), ADV_OK);
            CHECK_EQ(adv_session_get(t.s, "metric.loss", &loss[i]), ADV_OK);
            double step = 0;
            CHECK_EQ(adv_session_get(t.s, "run.step", &step), ADV_OK);
            CHECK_EQ(step, 5);
            AdvSessionInfo info = {.struct_size = sizeof info};
            CHECK_EQ(adv_session_info(t.s, &info), ADV_OK);
            CHECK_STR(info.backend, rows[i].backend);
            CHECK_EQ(info.n_run_allocs, 0);
        }
        if (t.s) toy_show(&t);
        toy_close(&t);
    }
    CHECK(loss[0] > 0.1 && loss[0] < 10);
    CHECK_NEAR(loss[1], loss[0], 1e-5);
    CHECK(loss[2] == loss[0]);
    CHECK_NEAR(loss[3], loss[0], 1e-4);
}

static void loop_is_turns_written_out(void)
{
    static const char text[] = "state a : f32[4] param saved\n"
                               "state i : f32 scalar\n"
                               "entry go {\n"
                               "  %a: f32[4] = read a\n"
                               "  %i0: f32 = read i\n"
                               "  %o: f32[4], %n: f32 = loop 5 (%t: i64, %p: f32[4] = %a, %s: f32 = %i0) {\n"
                               "    %f: f32 = cast %t {dtype=f32}\n"
                               "    %q: f32[4] = add %p, %f\n"
                               "    %r: f32[4] = mul %q, %q\n"
                               "    %u: f32 = add %s, %f\n"
                               "    yield %r, %u\n"
                               "  }\n"
                               "  write a = %o\n"
                               "  write i = %n\n"
                               "}\n";
    static const char program[] = "{\"recipe\":\"loop\",\"seed\":1,\"batch\":1,\"epochs\":0,\"steps\":0,\"phases\":[]}";
    ToyBytes b = toy_make(text, program, "h", "ref", NULL);
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan = NULL;
    AdvSession *s = NULL;
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "ref", .target = "ref"};
    float a[4] = {0.5f, -0.25f, 0.125f, 0}, want[4], got[4];
    AdvView v = toy_view(ADV_F32, 4, 0, a), g = toy_view(ADV_F32, 4, 0, got);
    if (adv_ctx_new(NULL, &ctx) || adv_diags_open(ctx, &ds)) abort();
    CHECK_EQ(adv_plan_load(ctx, b.data, b.n, ds, &plan), ADV_OK);
    CHECK_EQ(adv_session_open(ctx, plan, &o, ds, &s), ADV_OK);
    CHECK_EQ(adv_session_write(s, "a", &v, ds), ADV_OK);
    CHECK_EQ(adv_session_run(s, "go", ds), ADV_OK);
    CHECK_EQ(adv_session_read(s, "a", &g, ds), ADV_OK);
    for (int k = 0; k < 4; k++) {
        want[k] = a[k];
        for (int t = 0; t < 5; t++) want[k] = (want[k] + (float)t) * (want[k] + (float)t);
        CHECK(got[k] == want[k]);
    }
    double i;
    CHECK_EQ(adv_session_get(s, "i", &i), ADV_OK);
    CHECK_EQ(i, 10);
    adv_session_close(s);
    adv_plan_close(plan);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    toy_bytes_free(&b);
}

static void wrong_calls_have_a_sentence(void)
{
    Toy t = toy_open("ref", "cpu", NULL, ADV_CHECK_OFF, 0);
    const char *msg;
    float f[3];
    AdvView v = toy_view(ADV_F32, 3, 0, f);
    double x;
    CHECK_EQ(adv_session_run(t.s, "nothing", t.ds), ADV_EINVAL);
    CHECK_EQ(adv_diags_at(t.ds, 0, &msg), 6002);
    CHECK_STR(msg, "the plan has no entry `nothing`");
    CHECK_EQ(adv_session_read(t.s, "f.w", &v, t.ds), ADV_EINVAL);
    CHECK_EQ(adv_session_read(t.s, "f.q", &v, t.ds), ADV_EINVAL);
    CHECK_EQ(adv_session_get(t.s, "eps_i", &x), ADV_EINVAL);
    CHECK_EQ(adv_session_bind(t.s, "data.train.y", &v, t.ds), ADV_EINVAL);
    CHECK_EQ(adv_session_bind(t.s, "eps_i", &v, t.ds), ADV_EINVAL);
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "tpu"};
    AdvSession *s;
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &s), ADV_EUNAVAILABLE);
    CHECK(s == NULL);
    o = (AdvSessionOpts){.struct_size = sizeof o, .target = "cuda"};
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &s), ADV_EUNAVAILABLE);
    o = (AdvSessionOpts){.struct_size = sizeof o, .flags = 1u << 30};
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &s), ADV_EINVAL);
    o = (AdvSessionOpts){.struct_size = 4};
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &s), ADV_EINVAL);
    toy_close(&t);
}

static void data_must_be_bound(void)
{
    Toy t = toy_open("ref", "cpu", NULL, ADV_CHECK_OFF, 0);
    AdvSession *s;
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "ref"};
    const char *msg = NULL;
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &s), ADV_OK);
    CHECK_EQ(adv_session_run(s, "init", t.ds), ADV_OK);
    CHECK_EQ(adv_session_run(s, "batch", t.ds), ADV_EINVAL);
    CHECK_EQ(adv_diags_at(t.ds, 0, &msg), 6006);
    CHECK_EQ(adv_session_step(s, 1, t.ds), ADV_EINVAL);
    CHECK_EQ(toy_bind(s, t.data, t.ds), ADV_OK);
    CHECK_EQ(adv_session_run(s, "batch", t.ds), ADV_OK);
    adv_session_close(s);
    toy_close(&t);
}

static void checks_pass_on_a_good_run(void)
{
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_FINITE, 0);
    CHECK_EQ(adv_session_step(t.s, 4, t.ds), ADV_OK);
    toy_close(&t);
    t = toy_open("cpu", "cpu", NULL, ADV_CHECK_REF, 0);
    CHECK_EQ(adv_session_step(t.s, 4, t.ds), ADV_OK);
    toy_show(&t);
    toy_close(&t);
}

/* A kernel that is tried before the others and fills its result with one number. */
static bool wrong_can(const AdvSig *sig, const char **why) { return (void)sig, (void)why, true; }
static AdvStatus wrong_run(const AdvLaunch *l, void *state)
{
    (void)state;
    for (int64_t i = 0; i < adv_view_elems(&l->out[0]); i++) adv_st(&l->out[0], i, 7);
    return ADV_OK;
}

static void a_wrong_kernel_is_found(void)
{
    static const AdvKernel wrong = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "matmul", .name = "wrong", .op_version = 1, .order = -100,
                                    .can = wrong_can, .run = wrong_run};
    static const AdvKernel *const list[] = {&wrong, NULL};
    Toy t = toy_open("ref", "cpu", NULL, ADV_CHECK_OFF, 0);
    AdvSession *s = NULL;
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "cpu", .n_threads = 1, .check = ADV_CHECK_REF};
    const char *msg = NULL;
    CHECK_EQ(adv_registry_add_kernels(&t.ctx->reg, list, NULL), ADV_OK);
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &s), ADV_OK);
    CHECK_EQ(toy_bind(s, t.data, t.ds), ADV_OK);
    CHECK_EQ(adv_session_step(s, 1, t.ds), ADV_EDIFFERS);
    CHECK_EQ(adv_diags_at(t.ds, 0, &msg), 6008);
    CHECK(msg && strstr(msg, "`matmul` differs from its definition"));
    adv_session_close(s);
    toy_close(&t);
}

/* A NaN weight is found at the first instruction that meets it, by line of the text; a run finds it through its loss. */
static void nan_is_found(void)
{
    float w[12] = {0};
    AdvView v = toy_view(ADV_F32, 4, 3, w);
    w[5] = NAN;
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_FINITE, 0);
    CHECK_EQ(adv_session_run(t.s, "init", t.ds), ADV_OK);
    CHECK_EQ(adv_session_run(t.s, "batch", t.ds), ADV_OK);
    CHECK_EQ(adv_session_write(t.s, "f.w", &v, t.ds), ADV_OK);
    CHECK_EQ(adv_session_run(t.s, "step.main", t.ds), ADV_ENUMERIC);
    CHECK_EQ(adv_session_run(t.s, "step.main", t.ds), ADV_EPOISONED);
    const char *msg = NULL;
    CHECK_EQ(adv_diags_at(t.ds, 0, &msg), 6007);
    CHECK(msg && strstr(msg, "`matmul` produced"));
    toy_close(&t);
}

typedef struct Text { char at[65536]; size_t n; } Text;
static void gather(void *user, const char *text, size_t n)
{
    Text *t = user;
    if (t->n + n >= sizeof t->at) n = sizeof t->at - 1 - t->n;
    memcpy(t->at + t->n, text, n);
    t->n += n;
    t->at[t->n] = 0;
}

/* The loss is NaN at one step only: data of one sample. The report names step, op, line, loop turn. */
static void run_names_the_line(void)
{
    static Text out;
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    t.data->train_x[3 * 17 + 1] = NAN;
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_ENUMERIC);
    CHECK_EQ(adv_diags_at(t.ds, 0, NULL), 6009);
    CHECK_EQ(adv_diags_at(t.ds, 1, NULL), 6007);
    out.n = 0;
    adv_diags_render(t.ds, ADV_PRINT_HUMAN, gather, &out);
    CHECK(strstr(out.at, "`loss` became NaN at step") != NULL);
    CHECK(strstr(out.at, "toy.advg:") != NULL);
    CHECK(strstr(out.at, "while running batch") != NULL || strstr(out.at, "while running step.main") != NULL);
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_EPOISONED);
    toy_close(&t);
}

static void profile_has_every_instruction(void)
{
    static Text out;
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, ADV_SESSION_PROFILE);
    CHECK_EQ(adv_session_step(t.s, 2, t.ds), ADV_OK);
    out.n = 0;
    adv_session_profile(t.s, gather, &out);
    CHECK(strstr(out.at, "matmul a=8x3 b=4x3 ta=0 tb=1  # toy.advg:") != NULL);
    CHECK(strstr(out.at, "6 runs") != NULL); /* 3 turns of 2 steps */
    CHECK(strstr(out.at, "# costliest lines of the recipe") != NULL);
    toy_close(&t);
}

/* Memory fails at the k-th allocation, for each k until opening and two steps succeed; nothing leaks (the allocator counts). */
typedef struct Meter { long n_calls, fail_at, n_live; } Meter;
static void *metered(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    Meter *m = user;
    AdvAlloc a = adv_alloc_default();
    if (new_bytes && ++m->n_calls == m->fail_at) return NULL;
    void *q = a.fn(a.user, p, old_bytes, new_bytes);
    if (!p && q) m->n_live++;
    if (p && !new_bytes) m->n_live--;
    return q;
}

static void no_memory_is_a_status(void)
{
    ToyBytes b = toy_make(toy_graph, toy_program, "toyhash", "cpu", NULL);
    ToyData data = toy_data();
    int is_done = 0;
    for (long k = 1; !is_done && k < 5000; k++) {
        Meter m = {.fail_at = k};
        AdvCtxOpts co = {.struct_size = sizeof co, .alloc = metered, .user = &m};
        AdvSessionOpts o = {
            .struct_size = sizeof o, .backend = "cpu", .n_threads = 1, .flags = ADV_SESSION_PROFILE, .check = ADV_CHECK_REF};
        AdvCtx *ctx = NULL;
        AdvDiags *ds = NULL;
        AdvPlan *plan = NULL;
        AdvSession *s = NULL;
        AdvStatus st = adv_ctx_new(&co, &ctx);
        if (!st) st = adv_diags_open(ctx, &ds);
        if (!st) st = adv_plan_load(ctx, b.data, b.n, ds, &plan);
        if (!st) st = adv_session_open(ctx, plan, &o, ds, &s);
        if (!st) st = toy_bind(s, &data, ds);
        if (!st) st = adv_session_step(s, 2, ds);
        CHECK(st == ADV_OK || st == ADV_ENOMEM);
        is_done = st == ADV_OK;
        adv_session_close(s);
        adv_plan_close(plan);
        adv_diags_free(ds);
        adv_ctx_free(ctx);
        CHECK_EQ(m.n_live, 0);
        if (test_n_failed_checks) break;
    }
    CHECK(is_done);
    toy_bytes_free(&b);
}

/* Nothing is allocated once a step has run. */
static void steps_allocate_nothing(void)
{
    Meter m = {0};
    AdvCtxOpts co = {.struct_size = sizeof co, .alloc = metered, .user = &m};
    Toy t = toy_open("cpu", "cpu", &co, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_step(t.s, 1, t.ds), ADV_OK);
    long before = m.n_calls;
    CHECK_EQ(adv_session_step(t.s, 5, t.ds), ADV_OK);
    CHECK_EQ(m.n_calls, before);
    toy_close(&t);
}

int main(void)
{
    RUN(runs_on_every_back_end);
    RUN(loop_is_turns_written_out);
    RUN(wrong_calls_have_a_sentence);
    RUN(data_must_be_bound);
    RUN(checks_pass_on_a_good_run);
    RUN(a_wrong_kernel_is_found);
    RUN(nan_is_found);
    RUN(run_names_the_line);
    RUN(profile_has_every_instruction);
    RUN(no_memory_is_a_status);
    RUN(steps_allocate_nothing);
    return ADV_TEST_END();
}
