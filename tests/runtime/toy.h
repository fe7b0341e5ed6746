/* toy.h: a small plan for tests of the runtime, made through the compiler's back: adversarial training of a linear
** classifier on 64 points, with a loop, a per-sample budget, phases, evaluations in stages, a kept result.
**
** toy_plan() gives the bytes of a plan for the targets named; the graph is the text below, the program toy_program().
*/
#ifndef ADV_TESTS_TOY_H
#define ADV_TESTS_TOY_H

#include "compiler/plan/emit.h"
#include "runtime/base/hash.h"
#include "runtime/adv.h"
#include "tests/compiler/world.h"

enum { TOY_N = 64, TOY_BATCH = 8, TOY_STEPS = 8, TOY_EPOCHS = 3, TOY_TEST = 20 };

static const char toy_graph[] =
    "state data.train.x : f32[64,3] data\n"
    "state data.train.y : i32[64] data\n"
    "state data.test.x : f32[20,3] data\n"
    "state data.test.y : i32[20] data\n"
    "state run.epoch : i64 scalar saved\n"
    "state run.step : i64 scalar saved\n"
    "state x : f32[8,3] slot\n"
    "state y : i32[8] slot\n"
    "state ids : i64[8] slot\n"
    "state f.w : f32[4,3] param saved\n"
    "state f.w.momentum : f32[4,3] opt saved\n"
    "state eps_i : f32[64] table saved\n"
    "state lr : f32 scalar\n"
    "state metric.loss : f32 metric\n"
    "state metric.eps : f32[8] metric\n"
    "state eval.ids : i64[8] slot\n"
    "state eval.mask : f32[8] slot\n"
    "state eval.correct : f32[8] slot\n"
    "state eval.y : i32[8] slot\n"
    "state eval.dist : f32[8] slot\n"
    "state final.clean : f32 scalar saved\n"
    "state final.fgsm : f32 scalar saved\n"
    "state quick.clean : f32 scalar saved\n"
    "entry init {\n"
    "  %seed: i64 = const 5\n"
    "  %zero: i64 = const 0\n"
    "  %w: f32[4,3] = draw %seed, %zero, %zero, %zero {dist=normal, purpose=7, dims=[4,3]}\n"
    "  %e0: f32 = const 0.05\n"
    "  %e: f32[64] = broadcast %e0 {dims=[64]}\n"
    "  write f.w = %w\n"
    "  write eps_i = %e\n"
    "}\n"
    "entry epoch {\n"
    "  %ep: i64 = read run.epoch\n"
    "  %f: f32 = cast %ep {dtype=f32}\n"
    "  %c: f32 = const 0.5\n"
    "  %lr: f32 = div %c, %f\n"
    "  write lr = %lr\n"
    "}\n"
    "entry batch {\n"
    "  %seed: i64 = const 5\n"
    "  %ep: i64 = read run.epoch\n"
    "  %st: i64 = read run.step\n"
    "  %dx: f32[64,3] = read data.train.x\n"
    "  %dy: i32[64] = read data.train.y\n"
    "  %ids: i64[8] = perm_ids %seed, %ep, %st {n=64, batch=8, purpose=3}\n"
    "  %x: f32[8,3] = gather %dx, %ids\n"
    "  %y: i32[8] = gather %dy, %ids\n"
    "  write ids = %ids\n"
    "  write x = %x\n"
    "  write y = %y\n"
    "}\n"
    "entry step.main {\n"
    "  %w: f32[4,3] = read f.w\n"
    "  %m: f32[4,3] = read f.w.momentum\n"
    "  %x: f32[8,3] = read x\n"
    "  %y: i32[8] = read y\n"
    "  %ids: i64[8] = read ids\n"
    "  %tab: f32[64] = read eps_i\n"
    "  %lr: f32 = read lr\n"
    "  %st: i64 = read run.step\n"
    "  %one: i64 = const 1\n"
    "  %eps: f32[8] = gather %tab, %ids\n"
    "  %epsc: f32[8,1] = reshape %eps {dims=[8,1]}\n"
    "  %half: f32 = const 0.5\n"
    "  %size: f32[8,1] = mul %epsc, %half\n"
    "  %xa: f32[8,3] = loop 3 (%i: i64, %p: f32[8,3] = %x) {\n"
    "    %z: f32[8,4] = matmul %p, %w {tb=1}\n"
    "    %l: f32[8] = ce %z, %y\n"
    "    %g: f32[8,3] = grad %l, %p\n"
    "    %s: f32[8,3] = sign %g\n"
    "    %d: f32[8,3] = mul %s, %size\n"
    "    %q: f32[8,3] = add %p, %d\n"
    "    %b: f32[8,3] = ball_linf %q, %x, %epsc\n"
    "    yield %b\n"
    "  }\n"
    "  %xd: f32[8,3] = stop_grad %xa\n"
    "  %za: f32[8,4] = matmul %xd, %w {tb=1}\n"
    "  %la: f32[8] = ce %za, %y\n"
    "  %loss: f32 = mean %la\n"
    "  %gw: f32[4,3] = grad %loss, %w\n"
    "  %w1: f32[4,3], %m1: f32[4,3] = sgd %w, %gw, %m, %lr {momentum=0.9}\n"
    "  %mask0: f32 = const 1\n"
    "  %mask: f32[8] = broadcast %mask0 {dims=[8]}\n"
    "  %k: f32 = const 0.01\n"
    "  %kl: f32[8] = mul %la, %k\n"
    "  %e1: f32[8] = add %eps, %kl\n"
    "  %tab1: f32[64] = scatter %tab, %ids, %e1, %mask\n"
    "  %st1: i64 = add %st, %one\n"
    "  write f.w = %w1\n"
    "  write f.w.momentum = %m1\n"
    "  write eps_i = %tab1\n"
    "  write metric.loss = %loss\n"
    "  write metric.eps = %eps\n"
    "  write run.step = %st1\n"
    "}\n"
    "entry eval.clean {\n"
    "  %ids: i64[8] = read eval.ids\n"
    "  %w: f32[4,3] = read f.w\n"
    "  %dx: f32[20,3] = read data.test.x\n"
    "  %dy: i32[20] = read data.test.y\n"
    "  %x: f32[8,3] = gather %dx, %ids\n"
    "  %y: i32[8] = gather %dy, %ids\n"
    "  %z: f32[8,4] = matmul %x, %w {tb=1}\n"
    "  %a: i32[8] = argmax %z\n"
    "  %c: f32[8] = eq %a, %y\n"
    "  %d0: f32 = const 0\n"
    "  %d: f32[8] = broadcast %d0 {dims=[8]}\n"
    "  write eval.correct = %c\n"
    "  write eval.y = %y\n"
    "  write eval.dist = %d\n"
    "}\n"
    "entry eval.fgsm {\n"
    "  %ids: i64[8] = read eval.ids\n"
    "  %w: f32[4,3] = read f.w\n"
    "  %dx: f32[20,3] = read data.test.x\n"
    "  %dy: i32[20] = read data.test.y\n"
    "  %x: f32[8,3] = gather %dx, %ids\n"
    "  %y: i32[8] = gather %dy, %ids\n"
    "  %z0: f32[8,4] = matmul %x, %w {tb=1}\n"
    "  %l: f32[8] = ce %z0, %y\n"
    "  %g: f32[8,3] = grad %l, %x\n"
    "  %s: f32[8,3] = sign %g\n"
    "  %e: f32 = const 0.25\n"
    "  %d: f32[8,3] = mul %s, %e\n"
    "  %xa: f32[8,3] = add %x, %d\n"
    "  %z: f32[8,4] = matmul %xa, %w {tb=1}\n"
    "  %a: i32[8] = argmax %z\n"
    "  %c: f32[8] = eq %a, %y\n"
    "  %dist: f32[8] = broadcast %e {dims=[8]}\n"
    "  write eval.correct = %c\n"
    "  write eval.y = %y\n"
    "  write eval.dist = %dist\n"
    "}\n";

static const char toy_program[] =
    "{\"recipe\":\"toy\",\"seed\":5,\"batch\":8,\"epochs\":3,\"steps\":8,\"classes\":4,\"shape\":[3],"
    "\"data\":{\"name\":\"toyset\",\"train\":64,\"test\":20},"
    "\"phases\":[{\"name\":\"warm\",\"from\":1,\"to\":1,\"entries\":[\"batch\",\"step.main\"],\"epoch\":\"epoch\"},"
    "{\"name\":\"main\",\"from\":2,\"to\":3,\"entries\":[\"batch\",\"step.main\"],\"epoch\":\"epoch\"}],"
    "\"evals\":[{\"name\":\"quick\",\"split\":\"test\",\"first_id\":0,\"n\":12,\"batch\":8,\"every\":1,\"stages\":["
    "{\"name\":\"clean\",\"entry\":\"eval.clean\",\"among\":\"all\",\"result\":\"quick.clean\"}]},"
    "{\"name\":\"final\",\"split\":\"test\",\"first_id\":0,\"n\":20,\"batch\":8,\"every\":0,\"stages\":["
    "{\"name\":\"clean\",\"entry\":\"eval.clean\",\"among\":\"all\",\"result\":\"final.clean\"},"
    "{\"name\":\"fgsm\",\"entry\":\"eval.fgsm\",\"among\":\"alive\",\"result\":\"final.fgsm\"}]}],"
    "\"keep\":\"quick.clean\",\"stop\":null,"
    "\"log\":[{\"name\":\"loss\",\"state\":\"metric.loss\",\"kind\":\"number\",\"unit\":\"\"},"
    "{\"name\":\"eps\",\"state\":\"metric.eps\",\"kind\":\"sample\",\"unit\":\"1/255\"}],"
    "\"params\":[{\"name\":\"rho\",\"value\":0.01,\"origin\":\"recipe\"}]}";

typedef struct ToyBytes { void *data; uint64_t n; } ToyBytes;

/* A plan of `text` and `program`, hash `hash`, for one or two targets (`b` may be NULL); data NULL after printing why not. */
static inline ToyBytes toy_make(const char *text, const char *program, const char *hash, const char *a, const char *b)
{
    ToyBytes out = {NULL, 0};
    World *w = world_new();
    const char *names[] = {a, b};
    AdvEmitTarget et[2];
    uint32_t n = 0;
    uint32_t file = adv_sources_add(&w->diags->sources, "toy.advg", text, strlen(text));
    AdvPipeOpts po = {.verify_each = true};
    AdvPassCtx p = {.arena = &w->arena, .scratch = &w->scratch, .diags = w->diags};
    AdvGraph *g = adv_graph_read(&w->arena, &w->reg, &w->names, w->diags, file);
    AdvStatus st = g ? adv_run_common(&p, &g, &po) : ADV_ERECIPE;
    for (; st == ADV_OK && n < 2 && names[n]; n++) {
        AdvGraph *gt = adv_graph_copy(&w->arena, g);
        p.target = adv_target_find(names[n]);
        st = adv_run_target(&p, &gt, p.target, &po);
        if (st == ADV_OK) et[n] = (AdvEmitTarget){p.target, gt, adv_memplan(&p, gt)};
    }
    AdvEmitIn in = {.sources = &w->diags->sources, .program = program, .recipe = "toy", .hash = hash, .n_targets = n, .targets = et};
    AdvAlloc al = adv_alloc_default();
    if (st == ADV_OK) st = adv_emit(&al, w->diags, &in, &out.data, &out.n);
    if (st != ADV_OK) adv_diags_print_human(w->diags, 0, world_write, stdout);
    world_free(w);
    return out;
}

static inline void toy_bytes_free(ToyBytes *b)
{
    AdvAlloc al = adv_alloc_default();
    adv_mem_free(&al, b->data, b->n);
}

/* ---- data: four clusters, fixed numbers ---- */

typedef struct ToyData { float train_x[64 * 3], test_x[20 * 3]; int32_t train_y[64], test_y[20]; } ToyData;

static inline void toy_points(float *x, int32_t *y, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++) {
        y[i] = i % 4;
        for (int k = 0; k < 3; k++) {
            seed = seed * 1664525u + 1013904223u;
            x[i * 3 + k] = (float)(seed >> 16) / 65536.0f * 0.48f + (k == y[i] ? 0.52f : y[i] == 3 ? 0.0f : 0.12f);
        }
    }
}

static inline ToyData toy_data(void)
{
    ToyData d;
    toy_points(d.train_x, d.train_y, 64, 1);
    toy_points(d.test_x, d.test_y, 20, 2);
    return d;
}

static inline AdvView toy_view(uint8_t dtype, int64_t n, int64_t k, void *data)
{
    AdvView v = {.dtype = dtype, .rank = k ? 2 : 1, .data = data};
    v.dim[0] = n;
    v.dim[1] = k;
    v.stride[0] = k ? k : 1;
    v.stride[1] = k ? 1 : 0;
    return v;
}

static inline AdvStatus toy_bind(AdvSession *s, ToyData *d, AdvDiags *ds)
{
    AdvView a = toy_view(ADV_F32, 64, 3, d->train_x), b = toy_view(ADV_I32, 64, 0, d->train_y);
    AdvView c = toy_view(ADV_F32, 20, 3, d->test_x), e = toy_view(ADV_I32, 20, 0, d->test_y);
    ADV_TRY(adv_session_bind(s, "data.train.x", &a, ds));
    ADV_TRY(adv_session_bind(s, "data.train.y", &b, ds));
    ADV_TRY(adv_session_bind(s, "data.test.x", &c, ds));
    return adv_session_bind(s, "data.test.y", &e, ds);
}

/* ---- everything a test needs, opened ---- */

typedef struct Toy {
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan;
    AdvSession *s;
    ToyBytes bytes;
    ToyData *data; /* bound: stays where it is */
} Toy;

static inline void toy_show(const Toy *t)
{
    adv_diags_render(t->ds, ADV_PRINT_HUMAN, world_write, stdout);
}

/* Opens a session of the toy plan; s is NULL after printing why not. */
static inline Toy toy_open(const char *backend, const char *target, const AdvCtxOpts *co, int32_t check, uint32_t flags)
{
    Toy t = {.s = NULL, .data = malloc(sizeof(ToyData))};
    AdvSessionOpts o = {.struct_size = sizeof o, .flags = flags, .backend = backend, .target = target, .n_threads = 1, .check = check};
    if (!t.data) abort();
    *t.data = toy_data();
    t.bytes = toy_make(toy_graph, toy_program, "toyhash", target ? target : "cpu", NULL);
    if (adv_ctx_new(co, &t.ctx) != ADV_OK || adv_diags_open(t.ctx, &t.ds) != ADV_OK) abort();
    if (t.bytes.data && adv_plan_load(t.ctx, t.bytes.data, t.bytes.n, t.ds, &t.plan) == ADV_OK &&
        adv_session_open(t.ctx, t.plan, &o, t.ds, &t.s) == ADV_OK && !toy_bind(t.s, t.data, t.ds)) return t;
    toy_show(&t);
    return t;
}

static inline void toy_close(Toy *t)
{
    adv_session_close(t->s);
    adv_plan_close(t->plan);
    adv_diags_free(t->ds);
    adv_ctx_free(t->ctx);
    toy_bytes_free(&t->bytes);
    free(t->data);
}

/* A hash of all saved states, bit for bit. */
static inline uint64_t toy_hash(Toy *t)
{
    uint64_t h = ADV_HASH_START;
    int32_t kind, is_saved;
    const char *name;
    for (uint32_t i = 0; (name = adv_session_state(t->s, i, &kind, &is_saved)); i++) {
        AdvTensorType ty;
        double mem[4096];
        AdvView v = {.data = mem};
        if (!is_saved || adv_session_type(t->s, name, &ty)) continue;
        v.dtype = ty.dtype;
        v.rank = ty.rank;
        int64_t n = 1;
        for (int k = ty.rank - 1; k >= 0; k--) {
            v.dim[k] = ty.dim[k];
            v.stride[k] = n;
            n *= ty.dim[k];
        }
        if (adv_session_read(t->s, name, &v, NULL)) return 0;
        h = adv_hash_bytes(adv_hash_str(h, name), mem, (size_t)n * (ty.dtype == ADV_I64 || ty.dtype == ADV_F64 ? 8 : 4));
    }
    return h;
}

#endif
