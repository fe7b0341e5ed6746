/* test_runtime_threads.c: what adv.h promises of threads: one plan serves sessions in several threads at once, compilations share
** nothing, and a stop may be asked for from outside. Each thread's result is that of the same work done alone. Built with
** -Db_sanitize=thread this is also the proof that nothing hidden is shared (docs/testing.md).
*/
#include "tests/adv_test.h"

#include "compiler/adv_compile.h"
#include "tests/runtime/toy.h"

#include <pthread.h>
#include <time.h>

enum { N_THREADS = 4 };

typedef struct Job {
    const AdvPlan *plan;
    const char *backend;
    ToyData set;
    uint64_t hash; /* of all saved states at the end */
    AdvStatus st;
} Job;

/* The whole program, with a context and a session of this thread's own. */
static void *train(void *arg)
{
    Job *j = arg;
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = j->backend, .target = "cpu", .n_threads = 1};
    AdvCtx *ctx = NULL;
    AdvSession *s = NULL;
    AdvDiags *ds = NULL;
    j->set = toy_data();
    j->st = adv_ctx_new(NULL, &ctx);
    if (j->st == ADV_OK) j->st = adv_diags_open(ctx, &ds);
    if (j->st == ADV_OK) j->st = adv_session_open(ctx, j->plan, &o, ds, &s);
    if (j->st == ADV_OK) j->st = toy_bind(s, &j->set, ds);
    if (j->st == ADV_OK) j->st = adv_session_train(s, NULL, ds);
    if (j->st == ADV_OK) {
        Toy t = {.s = s};
        j->hash = toy_hash(&t);
    }
    adv_session_close(s);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    return NULL;
}

static void one_plan_in_many_threads(void)
{
    ToyBytes bytes = toy_make(toy_graph, toy_program, "toyhash", "cpu", NULL);
    AdvCtx *ctx;
    AdvPlan *plan = NULL;
    Job alone[2] = {{.backend = "ref"}, {.backend = "cpu"}}, job[N_THREADS];
    pthread_t thread[N_THREADS];
    if (!bytes.data || adv_ctx_new(NULL, &ctx) || adv_plan_load(ctx, bytes.data, bytes.n, NULL, &plan)) abort();
    for (int i = 0; i < 2; i++) {
        alone[i].plan = plan;
        train(&alone[i]);
        CHECK_EQ(alone[i].st, ADV_OK);
    }
    for (int i = 0; i < N_THREADS; i++) {
        job[i] = (Job){.plan = plan, .backend = alone[i % 2].backend};
        if (pthread_create(&thread[i], NULL, train, &job[i])) abort();
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(thread[i], NULL);
        CHECK_EQ(job[i].st, ADV_OK);
        CHECK(job[i].hash == alone[i % 2].hash);
    }
    adv_plan_close(plan);
    adv_ctx_free(ctx);
    toy_bytes_free(&bytes);
}

static const char recipe[] = "adv 1\n"
                             "use std.nets\n"
                             "use std.attacks\n"
                             "data synthetic {\n"
                             "  train = 64; test = 32; classes = 2; shape = [2]; batch = 16\n"
                             "  y = id - 2*floor(id/2)\n"
                             "  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)\n"
                             "}\n"
                             "model f = mlp(width = 4, classes = 2)\n"
                             "step {\n"
                             "  x_adv = pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.02, steps = 3)\n"
                             "  minimize ce(f(x_adv), y) over f\n"
                             "}\n"
                             "optim f = adam(lr = 0.01)\n"
                             "train { epochs = 3; seed = 1 }\n"
                             "eval final { on = test; attacks = [clean, fgsm: fgsm_eval(eps = 0.05)] }\n";

typedef struct Made { void *plan; uint64_t n; AdvStatus st; } Made;

static const AdvCompileOpts compile_opts = {
    .struct_size = sizeof compile_opts, .name = "threads.adv", .text = recipe, .n_bytes = sizeof recipe - 1, .targets = "cpu,ref"};

static void *compile(void *arg)
{
    Made *m = arg;
    m->st = adv_compile(&compile_opts, NULL, &m->plan, &m->n);
    return NULL;
}

static void compilations_share_nothing(void)
{
    Made made[N_THREADS];
    pthread_t thread[N_THREADS];
    for (int i = 0; i < N_THREADS; i++)
        if (pthread_create(&thread[i], NULL, compile, &made[i])) abort();
    for (int i = 0; i < N_THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < N_THREADS; i++) {
        CHECK_EQ(made[i].st, ADV_OK);
        CHECK(made[i].n == made[0].n && made[i].plan && memcmp(made[i].plan, made[0].plan, made[0].n) == 0);
    }
    for (int i = 0; i < N_THREADS; i++) adv_compile_free(&compile_opts, made[i].plan, made[i].n);
}

static void *train_on(void *arg)
{
    Toy *t = arg;
    AdvStatus st = adv_session_train(t->s, NULL, t->ds);
    CHECK(st == ADV_ECANCELLED || st == ADV_OK); /* it may be done before */
    return NULL;
}

/* Stopped from outside, as often as it takes to come to the end, and that is the end of a run left alone. */
static void a_stop_from_another_thread(void)
{
    Toy want = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0), t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    int n_stops = 0;
    CHECK_EQ(adv_session_train(want.s, NULL, want.ds), ADV_OK);
    while (!adv_session_is_done(t.s) && n_stops < 1000 && !test_n_failed_checks) {
        pthread_t thread;
        struct timespec wait = {0, 100000};
        if (pthread_create(&thread, NULL, train_on, &t)) abort();
        nanosleep(&wait, NULL);
        adv_session_cancel(t.s);
        pthread_join(thread, NULL);
        n_stops++;
    }
    CHECK(adv_session_is_done(t.s));
    CHECK(toy_hash(&t) == toy_hash(&want));
    toy_close(&t);
    toy_close(&want);
}

int main(void)
{
    RUN(one_plan_in_many_threads);
    RUN(compilations_share_nothing);
    RUN(a_stop_from_another_thread);
    return ADV_TEST_END();
}
