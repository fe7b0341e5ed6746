/* cancel.c: a run that another thread stops, saved where it stood, and continued to the same network as a run that nobody stopped. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include <compiler/adv_compile.h>
#include <runtime/adv.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char recipe[] =
    "adv 1\n"
    "use std.nets\n"
    "use std.attacks\n"
    "data synthetic {\n"
    "  train = 512; test = 64; classes = 2; shape = [2]; batch = 32\n"
    "  y = id - 2*floor(id/2)\n"
    "  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)\n"
    "}\n"
    "model f = mlp(width = 16, classes = 2)\n"
    "step { minimize ce(f(pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.02, steps = 3)), y) over f }\n"
    "optim f = adam(lr = 0.01)\n"
    "train { epochs = 4; seed = 1 }\n"
    "eval final { on = test; attacks = [clean] }\n";

enum { N_WEIGHTS = 16 * 2 };

typedef struct Watch {
    AdvSession *s;
    atomic_long n_steps; /* written by the training thread */
    long stopped_at;
} Watch;

static int32_t count_step(void *user, const AdvEvent *e)
{
    Watch *w = user;
    if (e->kind == ADV_EVENT_STEP) atomic_fetch_add(&w->n_steps, 1);
    return 0;
}

/* The other thread: waits for the tenth step, then asks for a stop. It is the one call that another thread may make. */
static void *stop_after_ten(void *user)
{
    Watch *w = user;
    struct timespec pause = {0, 100000};
    while (atomic_load(&w->n_steps) < 10) nanosleep(&pause, NULL);
    adv_session_cancel(w->s);
    return NULL;
}

static AdvStatus open_session(AdvCtx *ctx, const AdvPlan *plan, AdvDiags *ds, AdvSession **out)
{
    AdvSessionOpts so = {.struct_size = sizeof so, .n_threads = 1};
    return adv_session_open(ctx, plan, &so, ds, out);
}

/* Trains until the other thread stops it, and saves into `dir`. */
static AdvStatus train_and_stop(AdvCtx *ctx, const AdvPlan *plan, const char *dir, AdvDiags *ds)
{
    Watch w = {.stopped_at = 0};
    AdvTrainOpts to = {.struct_size = sizeof to, .progress = count_step, .user = &w};
    pthread_t other;
    AdvStatus st = open_session(ctx, plan, ds, &w.s);
    if (st == ADV_OK && pthread_create(&other, NULL, stop_after_ten, &w)) st = ADV_EUNAVAILABLE;
    if (st == ADV_OK) {
        st = adv_session_train(w.s, &to, ds);
        atomic_store(&w.n_steps, 10); /* should the run have ended by itself */
        pthread_join(other, NULL);
    }
    printf("stopped: %s\n", adv_status_name(st));
    if (st == ADV_ECANCELLED) st = adv_session_save(w.s, dir, ds);
    adv_session_close(w.s);
    return st;
}

/* Trains to the end, from `dir` or from the beginning. */
static AdvStatus train_to_end(AdvCtx *ctx, const AdvPlan *plan, const char *dir, AdvDiags *ds, float *weights)
{
    AdvView view = {.dtype = ADV_F32, .rank = 2, .dim = {16, 2}, .stride = {2, 1}, .data = weights};
    AdvSession *s = NULL;
    AdvStatus st = open_session(ctx, plan, ds, &s);
    if (st == ADV_OK && dir) st = adv_session_resume(s, dir, ds);
    if (st == ADV_OK) st = adv_session_train(s, NULL, ds);
    if (st == ADV_OK && !adv_session_is_done(s)) st = ADV_EDIFFERS;
    if (st == ADV_OK) st = adv_session_read(s, "f.fc1.weight", &view, ds);
    adv_session_close(s);
    return st;
}

static void print(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stderr);
}

int main(void)
{
    char dir[] = "/tmp/cancel-XXXXXX", command[64];
    float resumed[N_WEIGHTS], whole[N_WEIGHTS];
    AdvCtx *ctx = NULL;
    AdvDiags *ds = NULL;
    AdvPlan *plan = NULL;
    void *bytes = NULL;
    uint64_t n_bytes = 0;
    AdvCompileOpts co = {.struct_size = sizeof co, .name = "cancel.adv", .text = recipe, .n_bytes = strlen(recipe), .targets = "cpu"};
    if (!mkdtemp(dir)) return adv_status_exit(ADV_EIO);

    AdvStatus st = adv_ctx_new(NULL, &ctx);
    if (st == ADV_OK) st = adv_diags_open(ctx, &ds);
    if (st == ADV_OK) st = adv_compile(&co, ds, &bytes, &n_bytes);
    if (st == ADV_OK) st = adv_plan_load(ctx, bytes, n_bytes, ds, &plan);
    if (st == ADV_OK) st = train_and_stop(ctx, plan, dir, ds);
    if (st == ADV_OK) st = train_to_end(ctx, plan, dir, ds, resumed);
    if (st == ADV_OK) st = train_to_end(ctx, plan, NULL, ds, whole);
    if (st == ADV_OK && memcmp(resumed, whole, sizeof whole)) st = ADV_EDIFFERS;
    if (st == ADV_OK) printf("stopped, resumed, and the same bit for bit\n");

    if (ds) adv_diags_render(ds, ADV_PRINT_HUMAN, print, NULL);
    adv_plan_close(plan);
    adv_compile_free(&co, bytes, n_bytes);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    snprintf(command, sizeof command, "rm -r %s", dir);
    if (system(command)) fprintf(stderr, "%s is left\n", dir);
    return adv_status_exit(st);
}
