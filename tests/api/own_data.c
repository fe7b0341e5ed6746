/* own_data.c: training on data that the program holds, three ways that give the same network bit for bit:
** arrays that are bound, a function that fills each batch, and DLPack tensors of another library. The weights are then
** looked at without copying them.
*/
#include <compiler/adv_compile.h>
#include <runtime/adv.h>
#include <runtime/adv_dlpack.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_TRAIN = 512, N_TEST = 128, N_NUMBERS = 4, N_CLASSES = 3 };

static const char recipe[] =
    "adv 1\n"
    "use std.nets\n"
    "use std.attacks\n"
    "data own { train = 512; test = 128; classes = 3; shape = [4]; batch = 32 }\n" /* what the program brings */
    "model f = mlp(width = 16, classes = 3)\n"
    "step {\n"
    "  x_adv = pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.0125, steps = 5)\n"
    "  minimize ce(f(x_adv), y) over f\n"
    "}\n"
    "optim f = adam(lr = 0.01)\n"
    "train { epochs = 4; seed = 3 }\n"
    "eval final { on = test; attacks = [clean, pgd20(eps = 0.05)] }\n";

static float train_x[N_TRAIN][N_NUMBERS], test_x[N_TEST][N_NUMBERS];
static int32_t train_y[N_TRAIN], test_y[N_TEST];

/* Class k is where number k is large. */
static void make_data(float x[][N_NUMBERS], int32_t *y, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++) {
        y[i] = i % N_CLASSES;
        for (int k = 0; k < N_NUMBERS; k++) {
            seed = seed * 1664525u + 1013904223u;
            x[i][k] = 0.3f + 0.4f * (k == y[i]) + 0.2f * ((float)(seed >> 8) / 16777216.0f - 0.5f);
        }
    }
}

/* A dense array as the library sees it. */
static AdvView view_of(void *data, uint8_t dtype, int64_t n_rows, int64_t n_columns)
{
    AdvView v = {.dtype = dtype, .rank = n_columns ? 2 : 1, .data = data};
    v.dim[0] = n_rows;
    v.dim[1] = n_columns;
    v.stride[0] = n_columns ? n_columns : 1;
    v.stride[1] = n_columns ? 1 : 0;
    return v;
}

/* ---- 1. arrays: borrowed, not copied, until the session closes ---- */

static AdvStatus bind_arrays(AdvSession *s, AdvDiags *ds)
{
    AdvView x = view_of(train_x, ADV_F32, N_TRAIN, N_NUMBERS), y = view_of(train_y, ADV_I32, N_TRAIN, 0);
    AdvView tx = view_of(test_x, ADV_F32, N_TEST, N_NUMBERS), ty = view_of(test_y, ADV_I32, N_TEST, 0);
    AdvStatus st = adv_session_bind(s, "data.train.x", &x, ds);
    if (st == ADV_OK) st = adv_session_bind(s, "data.train.y", &y, ds);
    if (st == ADV_OK) st = adv_session_bind(s, "data.test.x", &tx, ds);
    if (st == ADV_OK) st = adv_session_bind(s, "data.test.y", &ty, ds);
    return st;
}

/* ---- 2. a function: the engine says which rows it wants, batch by batch ---- */

static int n_batches;

static int32_t fill(void *user, const AdvRows *want)
{
    const char *from = user;
    size_t row_bytes = want->out.rank == 2 ? N_NUMBERS * sizeof(float) : sizeof(int32_t);
    for (int64_t i = 0; i < want->n_rows; i++)
        memcpy((char *)want->out.data + (size_t)i * row_bytes, from + (size_t)want->rows[i] * row_bytes, row_bytes);
    n_batches++;
    return 0; /* anything else: the training call ends with ADV_EIO, and may be called again */
}

static AdvStatus bind_function(AdvSession *s, AdvDiags *ds)
{
    AdvStatus st = adv_session_bind_rows(s, "data.train.x", fill, train_x, ds);
    if (st == ADV_OK) st = adv_session_bind_rows(s, "data.train.y", fill, train_y, ds);
    if (st == ADV_OK) st = adv_session_bind_rows(s, "data.test.x", fill, test_x, ds);
    if (st == ADV_OK) st = adv_session_bind_rows(s, "data.test.y", fill, test_y, ds);
    return st;
}

/* ---- 3. DLPack tensors: the session owns them, and gives them back through their deleter ---- */

typedef struct Tensor {
    DLManagedTensorVersioned t;
    int64_t shape[2];
} Tensor;

static int n_deleted;

static void delete_tensor(DLManagedTensorVersioned *t)
{
    n_deleted++;
    free(t);
}

static AdvStatus bind_tensor(AdvSession *s, const char *state, void *data, uint8_t code, int64_t n_rows, int64_t n_columns, AdvDiags *ds)
{
    Tensor *t = calloc(1, sizeof *t);
    if (!t) return ADV_ENOMEM;
    t->shape[0] = n_rows;
    t->shape[1] = n_columns;
    t->t.version.major = DLPACK_MAJOR_VERSION;
    t->t.deleter = delete_tensor;
    t->t.dl_tensor.data = data;
    t->t.dl_tensor.device.device_type = kDLCPU;
    t->t.dl_tensor.ndim = n_columns ? 2 : 1;
    t->t.dl_tensor.dtype.code = code;
    t->t.dl_tensor.dtype.bits = 32;
    t->t.dl_tensor.dtype.lanes = 1;
    t->t.dl_tensor.shape = t->shape;
    AdvStatus st = adv_session_bind_tensor(s, state, &t->t, ds);
    if (st != ADV_OK) free(t); /* still ours */
    return st;
}

static AdvStatus bind_tensors(AdvSession *s, AdvDiags *ds)
{
    AdvStatus st = bind_tensor(s, "data.train.x", train_x, kDLFloat, N_TRAIN, N_NUMBERS, ds);
    if (st == ADV_OK) st = bind_tensor(s, "data.train.y", train_y, kDLInt, N_TRAIN, 0, ds);
    if (st == ADV_OK) st = bind_tensor(s, "data.test.x", test_x, kDLFloat, N_TEST, N_NUMBERS, ds);
    if (st == ADV_OK) st = bind_tensor(s, "data.test.y", test_y, kDLInt, N_TEST, 0, ds);
    return st;
}

/* ---- training with each ---- */

/* Trains to the end and hands out the weights of the first layer, which live on when the session is closed. */
static AdvStatus train(AdvCtx *ctx, const AdvPlan *plan, AdvStatus (*bind)(AdvSession *s, AdvDiags *ds), AdvDiags *ds,
                       DLManagedTensorVersioned **out_weight, double *out_accuracy)
{
    AdvSession *s = NULL;
    const AdvEvalRow *rows = NULL;
    uint32_t n_rows = 0;
    *out_weight = NULL;
    AdvStatus st = adv_session_open(ctx, plan, NULL, ds, &s);
    if (st == ADV_OK) st = bind(s, ds);
    if (st == ADV_OK) st = adv_session_train(s, NULL, ds);
    if (st == ADV_OK) st = adv_session_eval(s, "final", ds, &rows, &n_rows);
    if (st == ADV_OK && n_rows) *out_accuracy = rows[0].accuracy;
    if (st == ADV_OK) st = adv_session_export(s, "f.fc1.weight", out_weight, ds);
    adv_session_close(s);
    return st;
}

static void print(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stderr);
}

static AdvStatus run(AdvCtx *ctx, AdvDiags *ds)
{
    static AdvStatus (*const ways[])(AdvSession *s, AdvDiags *ds) = {bind_arrays, bind_function, bind_tensors};
    AdvCompileOpts co = {.struct_size = sizeof co, .name = "own_data.adv", .text = recipe, .n_bytes = strlen(recipe), .targets = "cpu"};
    DLManagedTensorVersioned *weight[3] = {NULL, NULL, NULL};
    double accuracy = 0;
    AdvPlan *plan = NULL;
    void *bytes;
    uint64_t n_bytes;
    AdvStatus st = adv_compile(&co, ds, &bytes, &n_bytes);
    if (st == ADV_OK) st = adv_plan_load(ctx, bytes, n_bytes, ds, &plan);
    adv_compile_free(&co, bytes, n_bytes);
    for (int i = 0; st == ADV_OK && i < 3; i++) st = train(ctx, plan, ways[i], ds, &weight[i], &accuracy);
    if (st == ADV_OK) {
        const DLTensor *w = &weight[0]->dl_tensor;
        size_t n = (size_t)(w->shape[0] * w->shape[1]) * sizeof(float);
        bool same = !memcmp(w->data, weight[1]->dl_tensor.data, n) && !memcmp(w->data, weight[2]->dl_tensor.data, n);
        printf("%.1f%% of the test points right; %d batches filled; the three networks are %s\n", 100 * accuracy, n_batches,
               same ? "the same" : "DIFFERENT");
        if (!same || accuracy < 0.9 || n_batches == 0) st = ADV_EDIFFERS;
    }
    for (int i = 0; i < 3; i++)
        if (weight[i]) weight[i]->deleter(weight[i]);
    if (st == ADV_OK && n_deleted != 4) st = ADV_EDIFFERS;
    adv_plan_close(plan);
    return st;
}

int main(void)
{
    AdvCtx *ctx = NULL;
    AdvDiags *ds = NULL;
    make_data(train_x, train_y, N_TRAIN, 1);
    make_data(test_x, test_y, N_TEST, 2);
    AdvStatus st = adv_ctx_new(NULL, &ctx);
    if (st == ADV_OK) st = adv_diags_open(ctx, &ds);
    if (st == ADV_OK) st = run(ctx, ds);
    if (ds) adv_diags_render(ds, ADV_PRINT_HUMAN, print, NULL);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    return adv_status_exit(st);
}
