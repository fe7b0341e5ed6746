/* test_runtime_api.c: the corners of the C API: data by rows, tensors of other libraries, the order of closing, options, a recipe
** that is read from files. The straight ways are the examples in tests/api.
*/
#include "compiler/adv_compile.h"
#include "runtime/adv.h"
#include "runtime/adv_dlpack.h"
#include "tests/adv_test.h"
#include "tests/base/scratch.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static const char recipe[] =
    "adv 1\n"
    "use std.nets\n"
    "use std.attacks\n"
    "data own { train = 24; test = 8; classes = 3; shape = [2]; batch = 8 }\n"
    "model f = mlp(width = 4, classes = 3)\n"
    "step { minimize ce(f(x), y) over f }\n"
    "optim f = sgd(lr = 0.1)\n"
    "train { epochs = 4; seed = 1 }\n"
    "eval final { on = test; attacks = [clean] }\n";

typedef struct World {
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan;
    AdvSession *s;
    float x[24][2];
    int32_t y[24];
} World;

/* What the context logs, one line behind the other. */
static char logged[1000];
static void keep_line(void *user, int32_t level, const char *text, size_t n)
{
    (void)user;
    size_t at = strlen(logged);
    snprintf(logged + at, sizeof logged - at, "%d %.*s\n", (int)level, (int)n, text);
}

static void load(World *w, const char *text)
{
    AdvCtxOpts co = {.struct_size = sizeof co, .log = keep_line};
    AdvCompileOpts o = {.struct_size = sizeof o, .name = "t.adv", .text = text, .n_bytes = strlen(text), .targets = "cpu"};
    void *bytes;
    uint64_t n;
    memset(w, 0, sizeof *w);
    logged[0] = 0;
    if (adv_ctx_new(&co, &w->ctx) || adv_diags_open(w->ctx, &w->ds)) abort();
    AdvStatus st = adv_compile(&o, w->ds, &bytes, &n);
    if (st == ADV_OK) st = adv_plan_load(w->ctx, bytes, n, w->ds, &w->plan);
    if (st == ADV_OK) st = adv_session_open(w->ctx, w->plan, NULL, w->ds, &w->s);
    CHECK_EQ(st, ADV_OK);
    adv_compile_free(&o, bytes, n);
    for (int i = 0; i < 24; i++) {
        w->y[i] = i % 3;
        w->x[i][0] = (float)i / 24;
        w->x[i][1] = (float)(i % 3) / 3;
    }
}

static void drop(World *w)
{
    adv_session_close(w->s);
    adv_plan_close(w->plan);
    adv_diags_free(w->ds);
    adv_ctx_free(w->ctx);
}

static AdvView view(void *data, uint8_t dtype, int64_t n, int64_t m)
{
    AdvView v = {.dtype = dtype, .rank = m ? 2 : 1, .data = data};
    v.dim[0] = n;
    v.dim[1] = m;
    v.stride[0] = m ? m : 1;
    v.stride[1] = m ? 1 : 0;
    return v;
}

static AdvStatus bind(World *w, const char *state, void *data, uint8_t dtype, int64_t n, int64_t m)
{
    AdvView v = view(data, dtype, n, m);
    return adv_session_bind(w->s, state, &v, w->ds);
}

static void bind_all(World *w)
{
    CHECK_EQ(bind(w, "data.train.x", w->x, ADV_F32, 24, 2), ADV_OK);
    CHECK_EQ(bind(w, "data.train.y", w->y, ADV_I32, 24, 0), ADV_OK);
    CHECK_EQ(bind(w, "data.test.x", w->x, ADV_F32, 8, 2), ADV_OK);
    CHECK_EQ(bind(w, "data.test.y", w->y, ADV_I32, 8, 0), ADV_OK);
}

/* ---- data by rows ---- */

typedef struct Feed { World *w; int n_calls, fail_at, wrong_label; AdvStatus inside; } Feed;

static int32_t fill_x(void *user, const AdvRows *want)
{
    Feed *f = user;
    if (++f->n_calls == f->fail_at) return 5;
    f->inside = adv_session_step(f->w->s, 1, NULL);
    for (int64_t i = 0; i < want->n_rows; i++) memcpy((float *)want->out.data + 2 * i, f->w->x[want->rows[i]], sizeof f->w->x[0]);
    return 0;
}

static int32_t fill_y(void *user, const AdvRows *want)
{
    Feed *f = user;
    for (int64_t i = 0; i < want->n_rows; i++) ((int32_t *)want->out.data)[i] = f->wrong_label ? 3 : f->w->y[want->rows[i]];
    return 0;
}

static double weight_sum(World *w)
{
    float weight[4][2];
    double sum = 0;
    AdvView v = view(weight, ADV_F32, 4, 2);
    CHECK_EQ(adv_session_read(w->s, "f.fc1.weight", &v, w->ds), ADV_OK);
    for (int i = 0; i < 8; i++) sum += (double)weight[i / 2][i % 2] * (i + 1);
    return sum;
}

static void test_rows(void)
{
    World a, b;
    load(&a, recipe);
    load(&b, recipe);
    Feed f = {.w = &b, .fail_at = 3};
    bind_all(&a);
    bind_all(&b);
    CHECK_EQ(adv_session_bind_rows(b.s, "data.train.x", fill_x, &f, b.ds), ADV_OK);
    CHECK_EQ(adv_session_bind_rows(b.s, "data.train.y", fill_y, &f, b.ds), ADV_OK);
    CHECK_EQ(adv_session_step(a.s, 7, a.ds), ADV_OK);
    CHECK_EQ(adv_session_step(b.s, 7, b.ds), ADV_EIO); /* at its third batch */
    CHECK_EQ(f.inside, ADV_EBUSY);
    CHECK_EQ(adv_session_step(b.s, 5, b.ds), ADV_OK);  /* nothing was lost */
    CHECK(weight_sum(&a) == weight_sum(&b));
    CHECK_EQ(adv_session_bind(b.s, "data.train.x", &(AdvView){0}, b.ds), ADV_EINVAL);
    CHECK_EQ(
        adv_session_read(b.s, "data.train.x", &(AdvView){.dtype = ADV_F32, .rank = 2, .dim = {24, 2}, .stride = {2, 1}, .data = a.x}, b.ds),
        ADV_EINVAL);
    CHECK_EQ(bind(&b, "data.train.x", b.x, ADV_F32, 24, 2), ADV_OK); /* back to memory */
    int before = f.n_calls;
    CHECK_EQ(adv_session_step(a.s, 2, a.ds), ADV_OK);
    CHECK_EQ(adv_session_step(b.s, 2, b.ds), ADV_OK);
    CHECK_EQ(f.n_calls, before);
    CHECK(weight_sum(&a) == weight_sum(&b));
    f.wrong_label = 1;
    CHECK_EQ(adv_session_step(b.s, 1, b.ds), ADV_EDATA);
    CHECK_EQ(adv_session_step(b.s, 1, b.ds), ADV_EPOISONED);
    drop(&a);
    drop(&b);
}

static void test_rows_refused(void)
{
    World w;
    load(&w, recipe);
    Feed f = {.w = &w};
    CHECK_EQ(adv_session_bind_rows(w.s, "f.fc1.weight", fill_x, &f, w.ds), ADV_EINVAL);
    CHECK_EQ(adv_session_bind_rows(w.s, "data.train.x", NULL, &f, w.ds), ADV_EINVAL);
    CHECK_EQ(adv_session_bind_rows(w.s, "nothing", fill_x, &f, w.ds), ADV_EINVAL);
    w.y[3] = -1;
    CHECK_EQ(bind(&w, "data.train.y", w.y, ADV_I32, 24, 0), ADV_EDATA);
    drop(&w);
}

/* ---- tensors ---- */

static int n_deleted;
static void count_deleted(DLManagedTensorVersioned *t) { n_deleted++, (void)t; }

static DLManagedTensorVersioned tensor(void *data, int64_t *shape, int64_t *strides)
{
    DLManagedTensorVersioned t = {.version = {1, 7}, .deleter = count_deleted};
    t.dl_tensor = (DLTensor){data, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, strides, 0};
    return t;
}

static void test_tensors_in(void)
{
    World w;
    int64_t shape[2] = {24, 2}, columns[2] = {1, 24};
    load(&w, recipe);
    DLManagedTensorVersioned good = tensor(w.x, shape, NULL), other = tensor(w.x, shape, NULL), bad = good;
    AdvView v;
    CHECK_EQ(adv_session_bind_tensor(w.s, "data.train.x", &good, w.ds), ADV_OK);
    bad.version.major = 2;
    CHECK_EQ(adv_session_bind_tensor(w.s, "data.train.x", &bad, w.ds), ADV_EINVAL);
    bad = tensor(w.x, shape, columns);
    CHECK_EQ(adv_session_bind_tensor(w.s, "data.train.x", &bad, w.ds), ADV_EINVAL);
    CHECK_EQ(adv_dlpack_view(&bad, &v), ADV_OK); /* fine for copies */
    CHECK_EQ(v.stride[1], 24);
    bad.dl_tensor.device.device_type = kDLCUDA;
    CHECK_EQ(adv_dlpack_view(&bad, &v), ADV_EINVAL);
    bad = good;
    bad.dl_tensor.dtype.lanes = 2;
    CHECK_EQ(adv_dlpack_view(&bad, &v), ADV_EINVAL);
    bad = good;
    bad.dl_tensor.byte_offset = 8;
    CHECK_EQ(adv_dlpack_view(&bad, &v), ADV_OK);
    CHECK(v.data == (char *)w.x + 8);
    CHECK_EQ(n_deleted, 0);
    CHECK_EQ(adv_session_bind_tensor(w.s, "data.train.x", &other, w.ds), ADV_OK); /* the first one goes */
    CHECK_EQ(n_deleted, 1);
    drop(&w);
    CHECK_EQ(n_deleted, 2);
}

/* Everything is closed before the tensor: its memory stays. */
static void test_tensors_out(void)
{
    World w;
    DLManagedTensorVersioned *t, *data;
    load(&w, recipe);
    CHECK_EQ(adv_session_export(w.s, "data.train.x", &t, w.ds), ADV_EINVAL);
    CHECK(t == NULL);
    CHECK_EQ(adv_session_export(w.s, "nothing", &t, w.ds), ADV_EINVAL);
    bind_all(&w);
    CHECK_EQ(adv_session_step(w.s, 1, w.ds), ADV_OK);
    CHECK_EQ(adv_session_export(w.s, "f.fc1.weight", &t, w.ds), ADV_OK);
    CHECK_EQ(adv_session_export(w.s, "data.train.x", &data, w.ds), ADV_OK);
    CHECK(data->dl_tensor.data == (void *)w.x && (data->flags & DLPACK_FLAG_BITMASK_READ_ONLY));
    CHECK(t->version.major == 1 && t->flags == 0 && t->dl_tensor.ndim == 2 && t->dl_tensor.shape[0] == 4 && t->dl_tensor.strides[0] == 2);
    ((float *)t->dl_tensor.data)[0] = 0.25f; /* what is written is what the session has */
    float weight[4][2];
    AdvView v = view(weight, ADV_F32, 4, 2);
    CHECK_EQ(adv_session_read(w.s, "f.fc1.weight", &v, w.ds), ADV_OK);
    CHECK(weight[0][0] == 0.25f);
    adv_ctx_free(w.ctx);
    adv_plan_close(w.plan);
    adv_session_close(w.s);
    adv_diags_free(w.ds);
    CHECK(((float *)t->dl_tensor.data)[0] == 0.25f);
    data->deleter(data);
    CHECK(((float *)t->dl_tensor.data)[0] == 0.25f);
    t->deleter(t);
}

/* ---- how far, and when not ---- */

static void test_epochs(void)
{
    World w;
    double epoch;
    load(&w, recipe);
    bind_all(&w);
    CHECK_EQ(adv_session_epoch(w.s, 1, w.ds), ADV_OK);
    CHECK_EQ(adv_session_get(w.s, "run.epoch", &epoch), ADV_OK);
    CHECK(epoch == 1);
    CHECK_EQ(adv_session_step(w.s, 1, w.ds), ADV_OK);
    CHECK_EQ(adv_session_epoch(w.s, 1, w.ds), ADV_OK); /* the rest of the second */
    CHECK_EQ(adv_session_get(w.s, "run.epoch", &epoch), ADV_OK);
    CHECK(epoch == 2 && !adv_session_is_done(w.s));
    CHECK_EQ(adv_session_epoch(w.s, 9, w.ds), ADV_OK);
    CHECK(adv_session_is_done(w.s));
    CHECK_EQ(adv_session_epoch(w.s, 1, w.ds), ADV_OK);
    drop(&w);
}

static void test_eval(void)
{
    World w;
    const AdvEvalRow *rows;
    uint32_t n;
    load(&w, recipe);
    bind_all(&w);
    CHECK_STR(adv_plan_target_name(w.plan, 0), "cpu");
    CHECK(adv_plan_target_name(w.plan, 1) == NULL);
    CHECK_STR(adv_plan_eval_name(w.plan, 0), "final");
    CHECK(adv_plan_eval_name(w.plan, 1) == NULL);
    CHECK_EQ(adv_session_eval(w.s, "other", w.ds, &rows, &n), ADV_EINVAL);
    CHECK(rows == NULL && n == 0);
    CHECK_EQ(adv_session_eval(w.s, "final", w.ds, &rows, &n), ADV_OK);
    CHECK_EQ(n, 1);
    CHECK_EQ(rows[0].n, 8);
    CHECK_STR(rows[0].attack, "clean");
    drop(&w);
}

static void test_cancelled_run(void)
{
    World w;
    load(&w, recipe);
    adv_session_cancel(w.s);
    CHECK_EQ(adv_session_run(w.s, "init", w.ds), ADV_ECANCELLED);
    CHECK_EQ(adv_session_run(w.s, "init", w.ds), ADV_OK); /* it was obeyed */
    drop(&w);
}

/* States have their first values before anybody looks at them or writes: what was written stays. */
static void test_first_values(void)
{
    World a, b;
    float weight[4][2];
    AdvView v = view(weight, ADV_F32, 4, 2);
    const AdvEvalRow *rows;
    uint32_t n;
    load(&a, recipe);
    load(&b, recipe);
    bind_all(&a);
    CHECK(weight_sum(&a) != 0);
    CHECK_EQ(adv_session_run(b.s, "init", b.ds), ADV_OK);
    CHECK(weight_sum(&a) == weight_sum(&b));
    for (int i = 0; i < 8; i++) weight[i / 2][i % 2] = 0.5f;
    drop(&b);
    load(&b, recipe);
    bind_all(&b);
    CHECK_EQ(adv_session_write(b.s, "f.fc1.weight", &v, b.ds), ADV_OK); /* the first call that touches a state */
    CHECK_EQ(adv_session_eval(b.s, "final", b.ds, &rows, &n), ADV_OK);
    CHECK(weight_sum(&b) == 18);
    CHECK_EQ(adv_session_step(b.s, 1, b.ds), ADV_OK);
    CHECK(weight_sum(&b) != 18 && fabs(weight_sum(&b) - 18) < 1);
    drop(&a);
    drop(&b);
}

/* A resume brings all values: nothing after it begins anew. */
static void test_first_values_and_resume(void)
{
    World a, b;
    char dir[64];
    scratch_make(dir);
    load(&a, recipe);
    load(&b, recipe);
    bind_all(&a);
    CHECK_EQ(adv_session_step(a.s, 2, a.ds), ADV_OK);
    CHECK_EQ(adv_session_save(a.s, dir, a.ds), ADV_OK);
    CHECK_EQ(adv_session_resume(b.s, dir, b.ds), ADV_OK);
    CHECK(weight_sum(&a) == weight_sum(&b));
    drop(&a);
    drop(&b);
    scratch_remove(dir);
}

/* An evaluation needs its own data only; training all that the program will read. */
static void test_data_needed(void)
{
    World w;
    const AdvEvalRow *rows;
    uint32_t n;
    load(&w, recipe);
    CHECK_EQ(adv_session_eval(w.s, "final", w.ds, &rows, &n), ADV_EINVAL);
    CHECK_EQ(bind(&w, "data.test.x", w.x, ADV_F32, 8, 2), ADV_OK);
    CHECK_EQ(bind(&w, "data.test.y", w.y, ADV_I32, 8, 0), ADV_OK);
    CHECK_EQ(adv_session_eval(w.s, "final", w.ds, &rows, &n), ADV_OK);
    CHECK_EQ(adv_session_step(w.s, 1, w.ds), ADV_EINVAL);
    bind_all(&w);
    CHECK_EQ(adv_session_step(w.s, 1, w.ds), ADV_OK);
    drop(&w);
}

static bool says(const World *w, const char *piece)
{
    const char *text = NULL;
    uint32_t n;
    adv_diags_count(w->ds, &n, NULL);
    return n && adv_diags_at(w->ds, n - 1, &text) && strstr(text, piece);
}

/* Images outside 0 .. 1, and views that do not fit: what is wrong is said. */
static void test_wrong_views(void)
{
    static const float bad[] = {-0.1f, 1.1f, 177, NAN, INFINITY};
    World w;
    load(&w, recipe);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        w.x[5][1] = bad[i];
        CHECK_EQ(bind(&w, "data.train.x", w.x, ADV_F32, 24, 2), ADV_EDATA);
        CHECK(says(&w, "row 5 of `data.train.x`"));
    }
    w.x[5][1] = 1 + 1e-6f; /* rounded */
    CHECK_EQ(bind(&w, "data.train.x", w.x, ADV_F32, 24, 2), ADV_OK);
    CHECK_EQ(bind(&w, "data.train.x", w.x, ADV_F32, 8, 2), ADV_EINVAL);
    CHECK(says(&w, "is f32[24,2], the view that was passed f32[8,2]"));
    CHECK_EQ(bind(&w, "data.train.x", NULL, ADV_F32, 24, 2), ADV_EINVAL);
    CHECK(says(&w, "its data is NULL"));
    CHECK_EQ(bind(&w, "data.train.x", w.x, 200, 24, 2), ADV_EINVAL);
    drop(&w);
}

/* Classes that a recipe computes and that are none: no data set was read that could have been checked. */
static void test_classes_out_of_range(void)
{
    World w;
    load(&w, "adv 1\nuse std.nets\n"
             "data synthetic { train = 24; test = 8; classes = 3; shape = [2]; batch = 8; y = id; x = uniform(0, 1, like = x) }\n"
             "model f = mlp(width = 4, classes = 3)\nstep { minimize ce(f(x), y) over f }\noptim f = sgd(lr = 0.1)\n"
             "train { epochs = 1; seed = 1 }\neval final { on = test; attacks = [clean] }\n");
    CHECK_EQ(adv_session_step(w.s, 3, w.ds), ADV_EDATA);
    CHECK(says(&w, "a class or a row number is out of range"));
    drop(&w);
}

/* ---- options ---- */

/* Each pointer that a function needs, NULL in turn. */
static void test_null(void)
{
    World w;
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan;
    AdvSession *s;
    AdvView v;
    AdvTensorType type;
    AdvDiagInfo di = {.struct_size = sizeof di};
    AdvPlanInfo pi = {.struct_size = sizeof pi};
    AdvSessionInfo si = {.struct_size = sizeof si};
    AdvCompileOpts co = {.struct_size = sizeof co, .name = "t.adv", .text = recipe, .n_bytes = strlen(recipe)};
    const char *name, *text;
    char digest[33];
    size_t n_bytes;
    double number;
    void *bytes = &w;
    char *out;
    uint64_t n;
    uint32_t n_rows;
    const AdvEvalRow *rows;
    struct DLManagedTensorVersioned *tensor;
    load(&w, recipe);
    v = view(w.x, ADV_F32, 24, 2);
#define REFUSED(call) CHECK_EQ(call, ADV_EINVAL)
    REFUSED(adv_ctx_new(NULL, NULL));
    REFUSED(adv_ctx_add_plugin(NULL, "x.so", w.ds));
    REFUSED(adv_ctx_add_plugin(w.ctx, NULL, w.ds));
    REFUSED(adv_ctx_checkpoint_digest(NULL, "x", w.ds, digest));
    REFUSED(adv_ctx_checkpoint_digest(w.ctx, NULL, w.ds, digest));
    REFUSED(adv_ctx_checkpoint_digest(w.ctx, "x", w.ds, NULL));
    CHECK_EQ(adv_ctx_cuda(NULL), 0);
    REFUSED(adv_diags_open(NULL, &ds));
    REFUSED(adv_diags_open(w.ctx, NULL));
    REFUSED(adv_diags_get(NULL, 0, &di));
    adv_diags_count(NULL, &n_rows, NULL);
    CHECK_EQ(n_rows, 0);
    CHECK_EQ(adv_diags_at(NULL, 0, &text), 0);
    adv_diags_render(NULL, ADV_PRINT_HUMAN, NULL, NULL);
    adv_diags_clear(NULL);
    REFUSED(adv_compile(NULL, w.ds, &bytes, &n));
    CHECK(bytes == NULL);
    REFUSED(adv_compile(&co, w.ds, NULL, &n));
    REFUSED(adv_compile(&co, w.ds, &bytes, NULL));
    REFUSED(adv_format(NULL, w.ds, &out, &n));
    REFUSED(adv_expand(&co, w.ds, NULL, &n));
    REFUSED(adv_plan_load(NULL, &w, 1, w.ds, &plan));
    REFUSED(adv_plan_load(w.ctx, NULL, 1, w.ds, &plan));
    REFUSED(adv_plan_load(w.ctx, &w, 1, w.ds, NULL));
    REFUSED(adv_plan_open(w.ctx, NULL, w.ds, &plan));
    REFUSED(adv_plan_open(NULL, "x", w.ds, &plan));
    REFUSED(adv_plan_info(NULL, &pi));
    REFUSED(adv_plan_info(w.plan, NULL));
    REFUSED(adv_plan_source(NULL, 0, &name, &text, &n_bytes));
    REFUSED(adv_plan_param(NULL, 0, &name, &number, &text));
    CHECK(!adv_plan_target_name(NULL, 0) && !adv_plan_eval_name(NULL, 0));
    REFUSED(adv_session_open(NULL, w.plan, NULL, w.ds, &s));
    REFUSED(adv_session_open(w.ctx, NULL, NULL, w.ds, &s));
    REFUSED(adv_session_open(w.ctx, w.plan, NULL, w.ds, NULL));
    REFUSED(adv_session_info(NULL, &si));
    REFUSED(adv_session_info(w.s, NULL));
    REFUSED(adv_session_bind(NULL, "data.train.x", &v, w.ds));
    REFUSED(adv_session_bind(w.s, NULL, &v, w.ds));
    REFUSED(adv_session_bind(w.s, "data.train.x", NULL, w.ds));
    REFUSED(adv_session_bind_tensor(w.s, "data.train.x", NULL, w.ds));
    REFUSED(adv_session_bind_rows(w.s, NULL, fill_x, NULL, w.ds));
    REFUSED(adv_session_bind_file(NULL, "x", w.ds));
    REFUSED(adv_session_run(NULL, "init", w.ds));
    REFUSED(adv_session_run(w.s, NULL, w.ds));
    REFUSED(adv_session_type(w.s, NULL, &type));
    REFUSED(adv_session_type(NULL, "x", &type));
    CHECK(!adv_session_state(NULL, 0, NULL, NULL));
    REFUSED(adv_session_read(NULL, "x", &v, w.ds));
    REFUSED(adv_session_write(w.s, NULL, &v, w.ds));
    REFUSED(adv_session_write(w.s, "x", NULL, w.ds));
    REFUSED(adv_session_get(w.s, "run.step", NULL));
    REFUSED(adv_session_set(NULL, "run.step", 1));
    REFUSED(adv_session_export(w.s, NULL, &tensor, w.ds));
    REFUSED(adv_session_export(w.s, "x", NULL, w.ds));
    REFUSED(adv_dlpack_view(NULL, &v));
    REFUSED(adv_session_load_weights(w.s, NULL, w.ds));
    adv_session_cancel(NULL);
    REFUSED(adv_session_train(NULL, NULL, w.ds));
    REFUSED(adv_session_eval(w.s, NULL, w.ds, &rows, &n_rows));
    REFUSED(adv_session_eval(w.s, "final", w.ds, NULL, &n_rows));
    CHECK_EQ(adv_session_is_done(NULL), 0);
    REFUSED(adv_session_save(w.s, NULL, w.ds));
    REFUSED(adv_session_resume(w.s, NULL, w.ds));
    REFUSED(adv_session_explain(NULL, NULL, NULL));
    adv_session_trace(NULL, NULL, NULL);
    adv_session_profile(NULL, NULL, NULL);
#undef REFUSED
    CHECK_EQ(adv_ctx_new(NULL, &ctx), ADV_OK);
    adv_ctx_free(ctx);
    drop(&w);
}

static uint64_t ticks(void *user) { return *(uint64_t *)user += 1000; }
static int32_t keep_time(void *user, const AdvEvent *e)
{
    *(uint64_t *)user = e->elapsed_ns;
    return 0;
}

static void test_options(void)
{
    World w;
    AdvSession *s;
    AdvCtx *ctx;
    uint64_t clock = 0, told = 0;
    AdvIo small = {.struct_size = 8};
    AdvCtxOpts co = {.struct_size = sizeof co, .io = &small};
    AdvSessionOpts so = {.struct_size = sizeof so, .stream = &clock};
    CHECK_EQ(adv_ctx_new(&co, &ctx), ADV_EINVAL);
    CHECK(ctx == NULL);
    CHECK_STR(adv_version(), ADV_VERSION);
    load(&w, recipe);
    CHECK_EQ(adv_session_open(w.ctx, w.plan, &so, w.ds, &s), ADV_EINVAL);
    CHECK_EQ(adv_session_bind_file(w.s, NULL, w.ds), ADV_EINVAL); /* no data_dir */
    co = (AdvCtxOpts){.struct_size = sizeof co, .clock_ns = ticks, .user = &clock, .data_dir = "/nowhere"};
    so.stream = NULL;
    CHECK_EQ(adv_ctx_new(&co, &ctx), ADV_OK);
    CHECK_EQ(adv_session_open(ctx, w.plan, &so, w.ds, &s), ADV_OK);
    CHECK_EQ(adv_session_bind_file(s, NULL, w.ds), ADV_ENOENT);
    AdvTrainOpts to = {.struct_size = sizeof to, .max_steps = 1, .progress = keep_time, .user = &told};
    World v = w;
    v.s = s;
    bind_all(&v);
    CHECK_EQ(adv_session_train(s, &to, w.ds), ADV_OK);
    CHECK(told > 0 && told % 1000 == 0 && clock > told);
    adv_session_close(s);
    adv_ctx_free(ctx);
    drop(&w);
}

/* Programs of another age: a longer info struct than ours gets zeros, a shorter one no more than it holds. */
static void test_info_sizes(void)
{
    World w;
    struct { AdvPlanInfo i; uint64_t later; } longer = {.i = {.struct_size = sizeof longer}, .later = 7};
    struct { uint32_t struct_size, flags; const char *recipe; uint64_t guard; } shorter = {.struct_size = 16, .guard = 7};
    load(&w, recipe);
    CHECK_EQ(adv_plan_info(w.plan, (AdvPlanInfo *)&longer), ADV_OK);
    CHECK(longer.later == 0 && longer.i.struct_size == sizeof longer && longer.i.epochs == 4);
    CHECK_EQ(adv_plan_info(w.plan, (AdvPlanInfo *)(void *)&shorter), ADV_OK);
    CHECK_STR(shorter.recipe, "t");
    CHECK(shorter.guard == 7);
    shorter.struct_size = 4;
    CHECK_EQ(adv_plan_info(w.plan, (AdvPlanInfo *)(void *)&shorter), ADV_EINVAL);
    drop(&w);
}

/* ---- recipes that are read ---- */

static void put(const char *dir, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) abort();
}

static void test_files(void)
{
    char dir[64], path[128];
    void *bytes;
    uint64_t n;
    AdvCtx *ctx;
    AdvDiags *ds;
    scratch_make(dir);
    if (adv_ctx_new(NULL, &ctx) || adv_diags_open(ctx, &ds)) abort();
    put(dir, "part.adv", "adv 1\nfn twice(x) { return 2*x }\n");
    put(dir, "whole.adv", "adv 1\nuse std.nets\nuse \"part.adv\" as part\n"
                          "data own { train = 8; test = 8; classes = 2; shape = [2]; batch = 8 }\nmodel f = mlp(width = 4, classes = 2)\n"
                          "step { minimize part.twice(ce(f(x), y)) over f }\noptim f = sgd(lr = 0.1)\ntrain { epochs = 1 }\n");
    snprintf(path, sizeof path, "%s/whole.adv", dir);
    AdvCompileOpts o = {.struct_size = sizeof o, .name = path, .targets = "cpu"};
    CHECK_EQ(adv_compile(&o, ds, &bytes, &n), ADV_OK);
    CHECK(bytes && n > 0);
    adv_compile_free(&o, bytes, n);
    snprintf(path, sizeof path, "%s/part.adv", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/whole.adv", dir);
    CHECK_EQ(adv_compile(&o, ds, &bytes, &n), ADV_ERECIPE);
    unlink(path);
    CHECK_EQ(adv_compile(&o, ds, &bytes, &n), ADV_ENOENT);
    scratch_remove(dir);
    o = (AdvCompileOpts){.struct_size = sizeof o};
    CHECK_EQ(adv_compile(&o, ds, &bytes, &n), ADV_EINVAL);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
}

static void run_budget(World *w, const char *eps, const char *within)
{
    char text[900];
    snprintf(text, sizeof text,
             "adv 1\nuse std.nets\nuse std.attacks\n"
             "data own { train = 24; test = 8; classes = 3; shape = [2]; batch = 8 }\n"
             "model f = mlp(width = 4, classes = 3)\nsignal s = ce(f.eval(x), y)\n"
             "budget {\n  eps = %s\n  %s\n}\n"
             "step {\n  x_adv = pgd(z => ce(f.eval(z), y), x, eps, size = 0.05, steps = 1)\n  minimize ce(f(x_adv), y) over f\n}\n"
             "optim f = sgd(lr = 0.1)\ntrain { epochs = 3 }\neval final { on = test; attacks = [clean] }\n",
             eps, within);
    load(w, text);
    bind_all(w);
    CHECK_EQ(adv_session_epoch(w->s, 3, w->ds), ADV_OK);
}

/* A budget whose radii are all at a bound says so once, with its line; one of which a single radius is not says nothing. */
static void test_radii_at_their_bounds(void)
{
    static const struct { const char *eps, *within; bool is_told; } budgets[] = {
        {"0.5 + s", "0.01 .. 0.1", true},
        {"0.001*s", "0.01 .. 0.1", true},
        {"select(s > 1.1, 0, 1)", "0.01 .. 0.1", true},
        {"select(s > 1.1, 0.05, 1)", "0.01 .. 0.1", false},
        {"0.1*minmax(s)", "0 .. 0.2", false},
        {"0.01*epoch", "0.01 .. 0.02", false}, /* one radius for all: a schedule may stay there */
    };
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        World w;
        char within[64];
        snprintf(within, sizeof within, "within %s", budgets[i].within);
        run_budget(&w, budgets[i].eps, within);
        const char *first = strstr(logged, "1 warning: t.adv:9: in epoch 1 every `eps` lay at a bound of `within ");
        CHECK(budgets[i].is_told ? first && strchr(first, '\n')[1] == 0 : !logged[0]);
        drop(&w);
    }
}

/* A radius below 0 is told of once, be it one for each sample or one for all. */
static void test_negative_radius_is_told(void)
{
    static const char *const eps[] = {"-0.01*s", "0.02 - 0.01*epoch"};
    for (int i = 0; i < 2; i++) {
        World w;
        run_budget(&w, eps[i], "");
        const char *first = strstr(logged, i ? "1 warning: t.adv:8: in epoch 3 `eps` fell to -0.01, and no ball"
                                             : "1 warning: t.adv:8: in epoch 1 `eps` fell to -");
        CHECK(first && strchr(first, '\n')[1] == 0);
        drop(&w);
    }
}

int main(void)
{
    RUN(test_rows);
    RUN(test_rows_refused);
    RUN(test_tensors_in);
    RUN(test_tensors_out);
    RUN(test_epochs);
    RUN(test_eval);
    RUN(test_cancelled_run);
    RUN(test_first_values);
    RUN(test_first_values_and_resume);
    RUN(test_data_needed);
    RUN(test_wrong_views);
    RUN(test_classes_out_of_range);
    RUN(test_null);
    RUN(test_options);
    RUN(test_info_sizes);
    RUN(test_files);
    RUN(test_radii_at_their_bounds);
    RUN(test_negative_radius_is_told);
    return ADV_TEST_END();
}
