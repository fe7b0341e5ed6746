/* threads.c: two sessions of one plan in two threads. The context and the plan are shared; each thread has its own session and its
** own diagnostics. Each asks for one OpenMP thread, so that two sessions do not take the same cores. Both must end with the same
** network, since a run depends on nothing but its plan.
*/
#include <compiler/adv_compile.h>
#include <runtime/adv.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char recipe[] =
    "adv 1\n"
    "use std.nets\n"
    "use std.attacks\n"
    "data synthetic {\n"
    "  train = 256; test = 64; classes = 2; shape = [2]; batch = 32\n"
    "  y = id - 2*floor(id/2)\n"
    "  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)\n"
    "}\n"
    "model f = mlp(width = 16, classes = 2, drop = 0.2)\n"
    "step { minimize ce(f(pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.02, steps = 3)), y) over f }\n"
    "optim f = adam(lr = 0.01)\n"
    "train { epochs = 2; seed = 1 }\n"
    "eval final { on = test; attacks = [clean] }\n";

enum { N_THREADS = 2, N_WEIGHTS = 16 * 2 };

typedef struct Worker {
    AdvCtx *ctx;
    const AdvPlan *plan;
    const char *backend;
    float weights[N_WEIGHTS];
    AdvStatus st;
} Worker;

static void print(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stderr);
}

static void *work(void *user)
{
    Worker *w = user;
    AdvSession *s = NULL;
    AdvDiags *ds = NULL;
    AdvSessionOpts so = {.struct_size = sizeof so, .backend = w->backend, .n_threads = 1};
    AdvView view = {.dtype = ADV_F32, .rank = 2, .dim = {16, 2}, .stride = {2, 1}, .data = w->weights};
    w->st = adv_diags_open(w->ctx, &ds);
    if (w->st == ADV_OK) w->st = adv_session_open(w->ctx, w->plan, &so, ds, &s);
    if (w->st == ADV_OK) w->st = adv_session_train(s, NULL, ds);
    if (w->st == ADV_OK) w->st = adv_session_read(s, "f.fc1.weight", &view, ds);
    if (w->st != ADV_OK && ds) adv_diags_render(ds, ADV_PRINT_HUMAN, print, NULL);
    adv_session_close(s);
    adv_diags_free(ds);
    return NULL;
}

/* false: a thread failed, or the networks differ. */
static int run_both(AdvCtx *ctx, const AdvPlan *plan, const char *backend)
{
    Worker w[N_THREADS];
    pthread_t threads[N_THREADS];
    int n = 0;
    for (int i = 0; i < N_THREADS; i++) w[i] = (Worker){.ctx = ctx, .plan = plan, .backend = backend};
    while (n < N_THREADS && pthread_create(&threads[n], NULL, work, &w[n]) == 0) n++;
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
    int same = n == N_THREADS && w[0].st == ADV_OK && w[1].st == ADV_OK && !memcmp(w[0].weights, w[1].weights, sizeof w[0].weights);
    printf("two sessions on %s: %s\n", backend, same ? "the same network" : "DIFFERENT networks");
    return same;
}

int main(void)
{
    AdvCtx *ctx = NULL;
    AdvPlan *plan = NULL;
    void *bytes = NULL;
    uint64_t n_bytes = 0;
    AdvCompileOpts co = {.struct_size = sizeof co, .name = "threads.adv", .text = recipe, .n_bytes = strlen(recipe), .targets = "cpu"};
    AdvStatus st = adv_ctx_new(NULL, &ctx);
    if (st == ADV_OK) st = adv_compile(&co, NULL, &bytes, &n_bytes);
    if (st == ADV_OK) st = adv_plan_load(ctx, bytes, n_bytes, NULL, &plan);
    int ok = st == ADV_OK && run_both(ctx, plan, "cpu") && run_both(ctx, plan, "ref");
    adv_plan_close(plan);
    adv_compile_free(&co, bytes, n_bytes);
    adv_ctx_free(ctx);
    return ok ? 0 : 1;
}
