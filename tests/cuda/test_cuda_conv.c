/* test_cuda_conv.c: each way of doing a convolution on the fake device, chosen by the order that a checkpoint gives, against the op's
** definition; one more with a device that runs none of the library's plans; failures at each call while one is prepared; and the opening
** of several at once: plans built by several threads, each once, the same choices as by one thread, and from the cache none at all.
**
**   test_cuda_conv [FOLDER]      with a folder: our own ways on the device of its adv_cuda.so (tools/gpu_check.sh)
*/
#include "tests/adv_test.h"

#include "ops/cuda/kernels_cuda.h"
#include "ops/view.h"
#include "tests/base/scratch.h"
#include "tests/cuda/fake.h"
#include "tests/cuda/of_module.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_IN = 6, MAX_OUT = 2 };

typedef struct Case {
    const char *op;
    uint8_t dtype;          /* of the convolution's operands; the images of a step are f32 */
    int64_t dim[MAX_IN][4]; /* of the operands; a first dim of 0 ends them, a second of 0 is a vector */
    int64_t attr[5];
} Case;

static const Case cases[] = {
    {"conv2d", ADV_F32, {{2, 3, 6, 5}, {4, 3, 3, 3}}, {2, 1}},
    {"conv2d_bias", ADV_BF16, {{2, 8, 5, 5}, {8, 8, 3, 3}, {8}}, {1, 1, 1}},
    {"conv2d_sum", ADV_F32, {{2, 3, 5, 5}, {5, 3, 3, 3}, {2, 5, 5, 5}, {5}}, {1, 1, 1}},
    {"conv2d_sum", ADV_BF16, {{1, 8, 4, 4}, {8, 8, 1, 1}, {1, 8, 4, 4}}, {1, 0, 0}},
    {"conv2d_gx", ADV_F32, {{2, 4, 5, 5}, {4, 3, 3, 3}}, {1, 1, 5, 5}},
    {"conv2d_gx", ADV_BF16, {{2, 4, 3, 3}, {4, 3, 2, 2}}, {2, 0, 7, 7}},
    {"conv2d_gx_mask", ADV_F32, {{2, 5, 4, 6}, {5, 3, 3, 3}, {2, 3, 4, 6}, {2, 3, 4, 6}}, {1, 1, 4, 6}},
    {"conv2d_gx_mask", ADV_BF16, {{2, 8, 2, 2}, {8, 8, 3, 3}, {2, 8, 4, 4}}, {1, 0, 4, 4}},
    {"conv2d_gx_mask", ADV_F32, {{2, 4, 3, 3}, {4, 2, 3, 3}, {2, 2, 6, 6}, {2, 2, 6, 6}}, {2, 1, 6, 6}},
    {"conv2d_gw", ADV_BF16, {{2, 3, 6, 6}, {2, 4, 6, 6}}, {1, 1, 3, 3}},
    {"conv2d_bias", ADV_BF16, {{2, 3, 6, 9}, {16, 3, 3, 3}, {16}}, {1, 1, 1}},
    {"conv2d", ADV_F32, {{1, 1, 9, 7}, {4, 1, 5, 5}}, {2, 2}},
    {"conv2d_gx", ADV_BF16, {{2, 8, 5, 9}, {8, 3, 3, 3}}, {1, 1, 5, 9}},
    {"conv2d_gx", ADV_F32, {{1, 12, 4, 4}, {12, 4, 5, 5}}, {1, 2, 4, 4}},
    {"conv2d_gx", ADV_F32, {{1, 33, 3, 4}, {33, 35, 3, 3}}, {1, 1, 3, 4}},
    {"conv2d_gx", ADV_BF16, {{1, 34, 3, 3}, {34, 65, 3, 3}}, {1, 1, 3, 3}},
    {"conv2d_sum_affine", ADV_F32, {{2, 3, 5, 5}, {5, 3, 3, 3}, {2, 5, 5, 5}, {5}, {5}, {5}}, {1, 1, 1}},
    {"conv2d_sum_affine", ADV_BF16, {{2, 8, 5, 5}, {8, 8, 1, 1}, {2, 8, 3, 3}, {8}, {8}}, {2, 0, 1}},
    {"conv2d_sum_affine", ADV_BF16, {{1, 8, 4, 4}, {8, 8, 3, 3}, {1, 8, 4, 4}, {8}, {8}}, {1, 1, 0}},
    {"conv2d_gx_affine", ADV_F32, {{2, 5, 4, 6}, {5, 3, 3, 3}, {2, 3, 4, 6}, {3}, {2, 3, 4, 6}}, {1, 1, 4, 6, 1}},
    {"conv2d_gx_affine", ADV_BF16, {{2, 8, 2, 2}, {8, 8, 3, 3}, {2, 8, 4, 4}, {8}, {2, 8, 4, 4}}, {2, 1, 4, 4, 0}},
    {"conv2d_gx_affine", ADV_BF16, {{1, 4, 3, 3}, {4, 8, 3, 3}, {1, 8, 3, 3}, {8}}, {1, 1, 3, 3, 0}},
    {"conv2d_gx_step", ADV_BF16, {{2, 8, 5, 9}, {8, 3, 3, 3}, {2, 3, 5, 9}, {2, 3, 5, 9}, {2, 1, 1, 1}, {1, 1, 1, 1}}, {1, 1}},
    {"conv2d_gx_step", ADV_F32, {{1, 12, 4, 4}, {12, 4, 5, 5}, {1, 4, 4, 4}, {1, 4, 4, 4}, {1, 1, 1, 1}, {1, 4, 4, 4}}, {1, 2}},
    {"conv2d_gx_step", ADV_BF16, {{3, 16, 6, 6}, {16, 1, 3, 3}, {3, 1, 8, 8}, {3, 1, 8, 8}, {3, 1, 1, 1}, {3, 1, 1, 1}}, {1, 0}},
};

enum { N_CASES = sizeof cases / sizeof *cases, N_STEPS = 3, FIRST_STEP = N_CASES - N_STEPS };

/* What wgmma.cu takes: every op; tiles cut by a border; more tiles than blocks (few_blocks); two tiles of channels. */
static const Case matrix_cases[] = {
    {"conv2d", ADV_BF16, {{1, 32, 15, 13}, {160, 32, 3, 3}}, {1, 1}},
    {"conv2d_gx_mask", ADV_BF16, {{1, 64, 13, 15}, {64, 160, 3, 3}, {1, 160, 13, 15}, {1, 160, 13, 15}}, {1, 1, 13, 15}},
    {"conv2d_sum_affine", ADV_BF16, {{1, 64, 16, 14}, {160, 64, 3, 3}, {1, 160, 16, 14}, {160}, {160}}, {1, 1, 1}},
    {"conv2d_bias", ADV_BF16, {{5, 32, 16, 16}, {160, 32, 3, 3}, {160}}, {1, 1, 1}},
    {"conv2d_sum", ADV_BF16, {{1, 32, 14, 30}, {160, 32, 3, 3}, {1, 160, 14, 30}, {160}}, {1, 1, 0}},
    {"conv2d_sum_affine", ADV_BF16, {{1, 32, 16, 16}, {160, 32, 3, 3}, {1, 160, 16, 16}, {160}, {160}, {160}}, {1, 1, 0}},
    {"conv2d_gx", ADV_BF16, {{1, 32, 16, 16}, {32, 320, 3, 3}}, {1, 1, 16, 16}},
    {"conv2d_gx_affine", ADV_BF16, {{1, 96, 16, 16}, {96, 160, 3, 3}, {1, 160, 16, 16}, {160}, {1, 160, 16, 16}}, {1, 1, 16, 16, 1}},
    {"conv2d_gx_affine", ADV_BF16, {{1, 32, 16, 16}, {32, 160, 3, 3}, {1, 160, 16, 16}, {160}}, {1, 1, 16, 16, 0}},
};

/* Under the address sanitizer a thread of a kernel takes ten times as long: the first three, forward and by image. */
#ifdef __SANITIZE_ADDRESS__
enum { N_MATRIX = 3 };
#else
enum { N_MATRIX = sizeof matrix_cases / sizeof *matrix_cases };
#endif

/* And what it does not: other channels, strides, windows, borders and types, and tiles that would be more than a quarter empty. */
static const Case no_matrix_cases[] = {
    {"conv2d", ADV_BF16, {{1, 32, 16, 16}, {128, 32, 3, 3}}, {1, 1}},   {"conv2d", ADV_BF16, {{1, 16, 16, 16}, {160, 16, 3, 3}}, {1, 1}},
    {"conv2d", ADV_BF16, {{1, 32, 32, 32}, {160, 32, 3, 3}}, {2, 1}},   {"conv2d", ADV_BF16, {{1, 32, 16, 16}, {160, 32, 1, 1}}, {1, 0}},
    {"conv2d", ADV_BF16, {{1, 32, 18, 18}, {160, 32, 3, 3}}, {1, 0}},   {"conv2d", ADV_F32, {{1, 32, 16, 16}, {160, 32, 3, 3}}, {1, 1}},
    {"conv2d", ADV_BF16, {{4, 32, 8, 8}, {160, 32, 3, 3}}, {1, 1}},
    {"conv2d_gx", ADV_BF16, {{1, 160, 16, 16}, {160, 32, 3, 3}}, {1, 1, 16, 16}},
    {"conv2d_gw", ADV_BF16, {{1, 160, 16, 16}, {1, 160, 16, 16}}, {1, 1, 3, 3}},
};

static bool few_blocks; /* kernels that fill the device see two multiprocessors */

static const AdvBackend *be = &adv_backend_fake;
static AdvRegistry reg;

/* Operands of a case, their types, and what the definition makes of them. */
typedef struct World {
    AdvSig sig;
    AdvView in[MAX_IN], out[MAX_OUT], want[MAX_OUT];
    AdvAttr attr[5];
} World;

static size_t bytes_of(const AdvView *v) { return (size_t)adv_view_elems(v) * (v->dtype == ADV_BF16 ? 2 : 4); }

static AdvView with_memory(const AdvTensorType *t)
{
    AdvView v = adv_view_of(t, NULL);
    v.data = calloc(1, bytes_of(&v));
    CHECK(v.data);
    return v;
}

/* The caller ends it, and any that was there before is ended. */
static void end_world(World *w)
{
    for (int k = 0; k < MAX_IN; k++) free(w->in[k].data);
    for (int k = 0; k < MAX_OUT; k++) free(w->out[k].data), free(w->want[k].data);
    memset(w, 0, sizeof *w);
}

static World *new_world(void) { return calloc(1, sizeof(World)); }

static void free_world(World *w)
{
    if (w) end_world(w);
    free(w);
}

static void make_world(const Case *c, World *w)
{
    AdvTensorType t[MAX_IN], out[ADV_MAX_FIXED + MAX_IN];
    AdvAlloc a = adv_alloc_default();
    uint32_t n = 0, n_out;
    char msg[256];
    bool is_step = strcmp(c->op, "conv2d_gx_step") == 0;
    end_world(w);
    for (; n < MAX_IN && c->dim[n][0]; n++) {
        t[n] = (AdvTensorType){.dtype = is_step && n > 1 ? (uint8_t)ADV_F32 : c->dtype,
                               .rank = c->dim[n][1] ? 4 : 1,
                               .layout = c->dim[n][1] ? ADV_LAYOUT_CL : ADV_LAYOUT_ROW};
        memcpy(t[n].dim, c->dim[n], t[n].rank * sizeof t[n].dim[0]);
        w->in[n] = with_memory(&t[n]);
        for (int64_t i = 0; i < adv_view_elems(&w->in[n]); i++) adv_st(&w->in[n], i, (double)((i * 37 + n * 11) % 23 - 11) / 8);
    }
    for (int k = 0; k < 5; k++) w->attr[k].i = c->attr[k];
    if (is_step) w->attr[2].f = -1, w->attr[3].f = 1.25;
    w->sig = (AdvSig){.op = adv_registry_op(&reg, c->op), .n_in = n, .in = w->in, .out = w->out, .attr = w->attr};
    CHECK_EQ(adv_op_infer(w->sig.op, t, n, w->attr, ADV_F32, out, &n_out, msg, sizeof msg), ADV_OK);
    CHECK(n_out <= MAX_OUT);
    for (uint32_t k = 0; k < n_out; k++) {
        out[k].layout = ADV_LAYOUT_CL;
        w->out[k] = with_memory(&out[k]);
        w->want[k] = with_memory(&out[k]);
    }
    w->sig.n_out = n_out;
    CHECK_EQ(adv_op_run_ref(&reg, w->sig.op, w->in, n, w->attr, w->want, n_out, &a), ADV_OK);
}

/* The choice made for the op itself: its key begins with its name. */
static bool find_choice(const char *choices, const char *op, char *label, char *key)
{
    for (const char *at = choices; sscanf(at, "%63[^\t]\t%159[^\n]", label, key) == 2; at = strchr(at, '\n') + 1)
        if (!strncmp(key, op, strlen(op)) && key[strlen(op)] == ' ') return true;
    return false;
}

/* Memory of the device for a tensor, with what `from` holds where it is given. */
static AdvStatus lend(void *self, AdvView *v, const void *from)
{
    v->data = be->alloc(self, bytes_of(v));
    if (!v->data) return ADV_ENOMEM;
    return from ? be->copy(self, v->data, from, bytes_of(v), ADV_TO_DEVICE) : ADV_OK;
}

static void take_back(void *self, const AdvView *v)
{
    if (v->data) be->free(self, v->data, bytes_of(v));
}

/* In 16 bits the definition rounds what it hands from step to step, a kernel the last only. */
static bool is_near(const AdvView *got, const AdvView *want)
{
    double eps = got->dtype == ADV_BF16 ? 0x1p-6 : 0x1p-20, most = 0, worst = 0;
    for (int64_t i = 0; i < adv_view_elems(got); i++) {
        double x = adv_ld(got, i), y = adv_ld(want, i);
        most = fabs(y) > most ? fabs(y) : most;
        worst = !(fabs(x - y) <= worst) ? fabs(x - y) : worst;
    }
    return worst <= eps * most;
}

static bool is_right(const World *w)
{
    bool ok = true;
    for (uint32_t k = 0; k < w->sig.n_out; k++) ok = ok && is_near(&w->out[k], &w->want[k]);
    return ok;
}

/* Prepares the instruction and, if it is that far, runs it and fills w->out. The label chosen is put in `label`. */
static AdvStatus run_world(World *w, void *self, AdvDiags *ds, char *label, char *key)
{
    AdvView in[MAX_IN], out[MAX_OUT];
    AdvBound b = {.sig = w->sig};
    AdvStatus st;
    void *scratch = NULL;
    uint32_t n_in = w->sig.n_in, n_out = w->sig.n_out;
    memcpy(in, w->in, sizeof in);
    memcpy(out, w->out, sizeof out);
    b.sig.in = in, b.sig.out = out;
    for (uint32_t k = 0; k < n_in; k++) in[k].data = NULL;
    for (uint32_t k = 0; k < n_out; k++) out[k].data = NULL;
    st = be->prepare(self, &b, ds);
    if (st == ADV_OK) st = be->prepared(self, ds);
    if (st != ADV_OK) return st;
    if (label) CHECK(find_choice(be->choices(self), w->sig.op->name, label, key));
    for (uint32_t k = 0; k < n_in && st == ADV_OK; k++) st = lend(self, &in[k], w->in[k].data);
    for (uint32_t k = 0; k < n_out && st == ADV_OK; k++) st = lend(self, &out[k], NULL);
    if (st == ADV_OK && b.scratch_bytes && !(scratch = be->alloc(self, b.scratch_bytes))) st = ADV_ENOMEM;
    for (int turn = 0; turn < 2; turn++) { /* the second with the same addresses, and its threads in the other order */
        if (st == ADV_OK) st = be->launch(self, &b, scratch);
        for (uint32_t k = 0; k < n_out && st == ADV_OK; k++)
            st = be->copy(self, w->out[k].data, out[k].data, bytes_of(&out[k]), ADV_TO_HOST);
        CHECK(st != ADV_OK || is_right(w));
    }
    for (uint32_t k = 0; k < n_in; k++) take_back(self, &in[k]);
    for (uint32_t k = 0; k < n_out; k++) take_back(self, &out[k]);
    if (scratch) be->free(self, scratch, b.scratch_bytes);
    return st;
}

static AdvBackendOpts opts(uint32_t n_threads)
{
    return (AdvBackendOpts){.alloc = adv_alloc_default(), .reg = &reg, .n_threads = n_threads, .io = adv_io_posix()};
}

/* Opens the back end, gives it an order where there is one, runs. */
static AdvStatus run_with(const AdvBackendOpts *o, World *w, const char *order, char *label, char *key)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    void *self = NULL;
    AdvStatus st = be->open(o, ds, &self);
    if (st == ADV_OK && few_blocks) ((AdvCudaBack *)self)->cuda.n_sms = 2;
    if (st == ADV_OK && order) st = be->obey(self, order);
    if (st == ADV_OK) st = run_world(w, self, ds, label, key);
    be->close(self);
    adv_diags_free(ds);
    return st;
}

static AdvStatus run_by_order(World *w, const char *order, uint32_t n_threads, char *label, char *key)
{
    AdvBackendOpts o = opts(n_threads);
    return run_with(&o, w, order, label, key);
}

static void each_way_computes_the_definition(void)
{
    static const char *const ways[] = {"one0.engine0", "one1.engine1", "turned0.engine0", "turned1.engine1", "two0.engine0",
                                       "two1.engine1", "own",          "narrow",          "one",             "two"};
    uint32_t n_ran[10] = {0};
    World *w = new_world();
    for (size_t i = 0; w && i < N_CASES; i++) {
        char label[64] = "", key[160] = "", order[256];
        make_world(&cases[i], w);
        CHECK_EQ(run_by_order(w, NULL, 3, label, key), ADV_OK);
        CHECK(is_right(w));
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            snprintf(order, sizeof order, "%s\t%s\n", ways[k], key);
            for (uint32_t j = 0; j < w->sig.n_out; j++) memset(w->out[j].data, 0x55, bytes_of(&w->out[j]));
            AdvStatus st = run_by_order(w, order, 1, label, key);
            if (st == ADV_EUNAVAILABLE) continue; /* not a way of this problem */
            CHECK_EQ(st, ADV_OK);
            CHECK_STR(label, ways[k]);
            CHECK(is_right(w));
            n_ran[k]++;
        }
        snprintf(order, sizeof order, "two2.engine2\t%s\n", key); /* its sums depend on the order in which blocks end */
        CHECK_EQ(run_by_order(w, order, 1, label, key), ADV_EUNAVAILABLE);
    }
    for (size_t k = 0; k < 10; k++) CHECK(n_ran[k] >= 3);
    CHECK_EQ(n_ran[6], FIRST_STEP);
    CHECK_EQ(n_ran[8], N_STEPS);
    CHECK_EQ(n_ran[9], N_STEPS);
    CHECK_EQ(adv_fake_reset(), 0);
    free_world(w);
}

/* Makes case c, and the order to do it in a way of ours. The key is that of a choice without timing. */
static void make_order(const Case *c, World *w, const char *way, char *order, size_t n)
{
    AdvBackendOpts o = opts(1);
    char label[64], key[160] = "";
    o.is_deterministic = true;
    make_world(c, w);
    CHECK_EQ(run_with(&o, w, NULL, label, key), ADV_OK);
    snprintf(order, n, "%s\t%s\n", way, key);
    for (uint32_t k = 0; k < w->sig.n_out; k++) memset(w->out[k].data, 0x55, bytes_of(&w->out[k]));
}

/* How many of the cases a way of ours takes; all of those are right. */
static uint32_t count_way(const Case *all, size_t n, const char *way)
{
    World *w = new_world();
    char label[64] = "", key[160] = "", order[256];
    uint32_t n_taken = 0;
    for (size_t i = 0; w && i < n; i++) {
        make_order(&all[i], w, way, order, sizeof order);
        AdvStatus st = run_by_order(w, order, 1, label, key);
        if (st == ADV_EUNAVAILABLE) continue;
        CHECK_EQ(st, ADV_OK);
        CHECK_STR(label, way);
        CHECK(is_right(w));
        n_taken++;
    }
    free_world(w);
    return n_taken;
}

static void matrix_units_compute_the_definition(void)
{
    few_blocks = true;
    CHECK_EQ(count_way(matrix_cases, N_MATRIX, "wgmma"), N_MATRIX);
    few_blocks = false;
    CHECK_EQ(count_way(no_matrix_cases, sizeof no_matrix_cases / sizeof *no_matrix_cases, "wgmma"), 0);
    adv_fake.sm = 80;
    CHECK_EQ(count_way(matrix_cases, 2, "wgmma"), 0);
    CHECK_EQ(adv_fake_reset(), 0);
}

/* Calls of the library and the device that can fail while a case is prepared and run: every one, or ever fewer. */
static void failures_end_cleanly(const Case *c, cudaError_t with, uint32_t n_threads, bool every)
{
    World *w = new_world();
    uint64_t at = 1;
    if (!w) return;
    make_world(c, w);
    for (bool failed = true; failed && at < 4000; at += every ? 1 : 1 + at / 24) {
        adv_fake_reset();
        adv_fake.fail_at = at;
        adv_fake.fail_with = with;
        AdvStatus st = run_by_order(w, NULL, n_threads, NULL, NULL);
        failed = adv_fake.has_failed;
        CHECK(st == ADV_OK || st == ADV_ENOMEM || st == ADV_EUNAVAILABLE);
        if (st == ADV_OK) CHECK(is_right(w));
    }
    CHECK(at > 100 && at < 4000);
    CHECK_EQ(adv_fake_reset(), 0);
    free_world(w);
}

static void memory_runs_out_anywhere(void)
{
    failures_end_cleanly(&cases[2], cudaErrorMemoryAllocation, 1, true);
    failures_end_cleanly(&cases[2], cudaErrorMemoryAllocation, 3, false);
    failures_end_cleanly(&cases[FIRST_STEP], cudaErrorMemoryAllocation, 1, true);
}

static void the_device_dies_anywhere(void)
{
    failures_end_cleanly(&cases[2], cudaErrorIllegalAddress, 1, false);
    failures_end_cleanly(&cases[2], cudaErrorIllegalAddress, 3, false);
    failures_end_cleanly(&cases[FIRST_STEP], cudaErrorIllegalAddress, 1, false);
}

/* The second instruction with a problem takes what the first built, also after that is gone. */
static void equal_problems_are_solved_once(void)
{
    AdvBackendOpts o = opts(1);
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    World *w = new_world();
    void *self = NULL;
    adv_fake_reset();
    CHECK_EQ(be->open(&o, ds, &self), ADV_OK);
    if (w && self) {
        AdvBound b[3];
        memset(b, 0, sizeof b);
        make_world(&cases[2], w);
        for (int k = 0; k < 3; k++) {
            b[k].sig = w->sig;
            CHECK_EQ(be->prepare(self, &b[k], ds), ADV_OK);
        }
        CHECK_EQ(adv_fake.n_built, 0);
        CHECK_EQ(be->prepared(self, ds), ADV_OK);
        CHECK_EQ(adv_fake.n_built, 4);
        CHECK(b[0].scratch_bytes > 0 && b[1].scratch_bytes == b[0].scratch_bytes && b[2].scratch_bytes == b[0].scratch_bytes);
        be->unprepare(self);
        CHECK(((AdvCudaBack *)self)->cuda.dnn == NULL);
        CHECK_EQ(run_world(w, self, ds, NULL, NULL), ADV_OK);
        CHECK(is_right(w));
    }
    be->close(self);
    adv_diags_free(ds);
    CHECK_EQ(adv_fake_reset(), 0);
    free_world(w);
}

/* ---- opening a session ----------------------------------------------------------------------------------------------------- */

/* What an opening did. */
typedef struct Opened {
    AdvStatus st;
    uint64_t built, loaded, launches, list;
    uint32_t together;
    char choices[4096];
} Opened;

/* Two problems with a plain graph in common, and the rest of the table. Case 1 runs at the end, prepared anew. */
static Opened open_all(const AdvBackendOpts *o, uint32_t wait_for)
{
    static const Case plain = {"conv2d", ADV_F32, {{2, 3, 5, 5}, {5, 3, 3, 3}}, {1, 1}};
    enum { N = sizeof cases / sizeof *cases };
    Opened r = {.st = ADV_ENOMEM};
    World *w = calloc(N + 1, sizeof *w);
    AdvBound *b = calloc(N + 1, sizeof *b);
    void *self = NULL;
    CHECK_EQ(be->open(o, NULL, &self), ADV_OK);
    adv_fake.wait_for = wait_for;
    for (size_t i = 0; w && b && i <= N; i++) {
        make_world(i < N ? &cases[i] : &plain, &w[i]);
        b[i].sig = w[i].sig;
        r.st = be->prepare(self, &b[i], NULL);
        CHECK_EQ(r.st, ADV_OK);
    }
    if (r.st == ADV_OK) r.st = be->prepared(self, NULL);
    r.built = adv_fake.n_built, r.loaded = adv_fake.n_loaded, r.together = adv_fake.most_together;
    r.launches = adv_fake.n_launches, r.list = adv_fake.list_hash;
    snprintf(r.choices, sizeof r.choices, "%s", be->choices(self));
    be->unprepare(self);
    if (w && r.st == ADV_OK) {
        r.st = run_world(&w[1], self, NULL, NULL, NULL);
        CHECK(is_right(&w[1]));
    }
    be->close(self);
    CHECK_EQ(adv_fake_reset(), 0);
    for (size_t i = 0; w && i <= N; i++) end_world(&w[i]);
    free(w);
    free(b);
    return r;
}

static void plans_are_built_side_by_side(void)
{
    AdvBackendOpts o = opts(1);
    Opened one = open_all(&o, 0);
    CHECK_EQ(one.st, ADV_OK);
    CHECK_EQ(one.together, 1);
    for (int deterministic = 0; deterministic < 2; deterministic++) {
        o = opts(1);
        o.is_deterministic = deterministic;
        one = open_all(&o, 0);
        o.n_threads = 4;
        Opened four = open_all(&o, 4);
        CHECK_EQ(four.st, ADV_OK);
        CHECK_EQ(four.together, 4);
        CHECK_EQ(four.built, one.built);
        CHECK(strlen(one.choices) > 400 && !strcmp(four.choices, one.choices));
        CHECK_EQ(four.launches, one.launches);
        CHECK(four.list == one.list);
        printf("%s: %u plans, %u launches\n", deterministic ? "by order" : "by time", (unsigned)one.built, (unsigned)one.launches);
    }
}

static int n_damaged, n_refused;
static void count_warning(void *user, const char *text)
{
    (void)user;
    n_damaged += strstr(text, "damaged") != NULL;
    n_refused += strstr(text, "does not take the kept plan") != NULL;
}

/* A second opening builds nothing and chooses the same; what is not as it was kept is built anew, with a warning. */
static void plans_are_kept(void)
{
    char dir[64];
    AdvBackendOpts o = opts(4);
    scratch_make(dir);
    o.cache_dir = dir;
    o.log = count_warning;
    Opened first = open_all(&o, 0), second = open_all(&o, 4);
    CHECK(first.st == ADV_OK && second.st == ADV_OK);
    CHECK(first.built > 20 && first.loaded == 0);
    CHECK(second.built == 0 && second.loaded > 4);
    CHECK_EQ(second.together, 4);
    CHECK_EQ(second.launches, 0);
    CHECK_STR(second.choices, first.choices);
    CHECK_EQ(n_damaged + n_refused, 0);

    CHECK(scratch_do(dir, "f=$(ls *.plan | head -1); printf x | dd of=$f bs=1 seek=100 conv=notrunc 2>log"));
    CHECK(scratch_do(dir, "set -- *.plan; cp $2 $3; truncate -s 30 $4")); /* another's, and a short one */
    Opened third = open_all(&o, 0);
    CHECK_EQ(third.st, ADV_OK);
    CHECK_EQ(n_damaged, 3);
    CHECK_EQ(third.built, 3);
    CHECK_EQ(third.loaded, second.loaded - 3);
    CHECK_STR(third.choices, first.choices);
    CHECK_EQ(open_all(&o, 0).built, 0);

    adv_fake.refuses_text = true;
    Opened fourth = open_all(&o, 0);
    CHECK_EQ(fourth.st, ADV_OK);
    CHECK_EQ(n_refused, (int)second.loaded + 1); /* one of them twice: case 1 is prepared anew */
    CHECK_EQ(fourth.built, second.loaded);
    CHECK_STR(fourth.choices, first.choices);

    adv_fake.runs_by_handle = true; /* plans that were kept find that out when they run, others when they are tried */
    Opened kept = open_all(&o, 0);
    CHECK_EQ(kept.st, ADV_OK);
    CHECK(kept.built == 0 && kept.loaded == second.loaded);
    CHECK(scratch_do(dir, "rm -f *"));
    adv_fake.runs_by_handle = true;
    Opened tried = open_all(&o, 4);
    CHECK_EQ(tried.st, ADV_OK);
    CHECK_STR(tried.choices, first.choices);
    CHECK_EQ(tried.built, first.built);
    CHECK(tried.loaded >= tried.built);

    adv_fake.dnn_version = 92000; /* neither its choices nor its plans are of use */
    Opened fifth = open_all(&o, 0);
    CHECK(fifth.st == ADV_OK && fifth.built == first.built && fifth.loaded == 0);
    CHECK_EQ(n_damaged, 3);
    scratch_remove(dir);
}

/* A run's own word finds its plan in the cache too, and without the cache the plan is built alone. */
static void orders_build_one_plan(void)
{
    char dir[64], key[160] = "", label[64], order[256];
    World *w = new_world();
    AdvBackendOpts o = opts(2);
    if (!w) return;
    scratch_make(dir);
    o.cache_dir = dir;
    make_world(&cases[2], w);
    CHECK_EQ(run_by_order(w, NULL, 2, label, key), ADV_OK);
    snprintf(order, sizeof order, "two1.engine1\t%s\n", key);
    for (uint64_t round = 0; round < 2; round++) {
        void *self = NULL;
        CHECK_EQ(adv_fake_reset(), 0);
        CHECK_EQ(be->open(&o, NULL, &self), ADV_OK);
        CHECK_EQ(be->obey(self, order), ADV_OK);
        CHECK_EQ(run_world(w, self, NULL, label, key), ADV_OK);
        CHECK(is_right(w));
        CHECK_STR(label, "two1.engine1");
        CHECK_EQ(adv_fake.n_built, 1 - round);
        CHECK_EQ(adv_fake.n_loaded, round);
        be->close(self);
    }
    CHECK_EQ(adv_fake_reset(), 0);
    scratch_remove(dir);
    free_world(w);
}

/* Failures while plans of all problems are built or loaded by several threads. */
static void failures_of_an_opening(void)
{
    static const cudaError_t with[] = {cudaErrorMemoryAllocation, cudaErrorIllegalAddress};
    char dir[64];
    scratch_make(dir);
    for (int k = 0; k < 4; k++) {
        AdvBackendOpts o = opts(3);
        World *w = new_world();
        if (!w) return;
        if (k >= 2) o.cache_dir = dir;
        if (k == 2) CHECK_EQ(open_all(&o, 0).st, ADV_OK); /* which fills it */
        make_world(&cases[6], w);
        for (uint64_t at = 1; at < 4000; at += 1 + at / 16) {
            AdvDiags *ds = adv_diags_new(adv_alloc_default());
            void *self = NULL;
            adv_fake.fail_at = at;
            adv_fake.fail_with = with[k % 2];
            AdvStatus st = be->open(&o, ds, &self);
            if (st == ADV_OK) st = run_world(w, self, ds, NULL, NULL);
            bool failed = adv_fake.has_failed;
            CHECK(failed || (st == ADV_OK && is_right(w)));
            be->close(self);
            adv_diags_free(ds);
            CHECK_EQ(adv_fake_reset(), 0);
            if (!failed) break;
        }
        free_world(w);
    }
    scratch_remove(dir);
}

/* Ops that nothing of a plan for target cuda needs a kernel for. */
static bool needs_none(const AdvOpDef *op) { return (op->flags & (ADV_OP_STRUCT | ADV_OP_VIEW)) != 0; }

static void every_op_has_a_kernel(void)
{
    for (uint32_t i = 0; i < reg.n_ops; i++) {
        uint32_t n = 0;
        if (needs_none(reg.ops[i])) continue;
        adv_registry_kernels(&reg, "cuda", reg.ops[i]->name, &n);
        if (n == 0) printf("`%s` has no kernel on cuda\n", reg.ops[i]->name);
        CHECK(n > 0);
    }
}

/* On the device of a module: one that is not of compute capability 9.0 has no `wgmma`. */
static void our_ways_compute_the_definition(void)
{
    AdvBackendOpts o = opts(1);
    int32_t sm = 0;
    CHECK_EQ(be->probe(&o, NULL, &sm), ADV_OK);
    uint32_t n_own = count_way(cases, FIRST_STEP, "own"), n_narrow = count_way(cases, FIRST_STEP, "narrow");
    uint32_t n_wgmma = count_way(matrix_cases, N_MATRIX, "wgmma");
    few_blocks = true;
    CHECK_EQ(count_way(matrix_cases, N_MATRIX, "wgmma"), n_wgmma);
    CHECK_EQ(n_own, FIRST_STEP);
    CHECK(n_narrow >= 3);
    CHECK_EQ(n_wgmma, sm == 90 ? N_MATRIX : 0);
    printf("own %u, narrow %u, wgmma %u cases\n", (unsigned)n_own, (unsigned)n_narrow, (unsigned)n_wgmma);
}

int main(int argc, char **argv)
{
    const AdvKernel *const *kernels = argc > 1 ? of_module(argv[1], &be) : adv_kernels_cuda;
    if (!kernels) return 1;
    CHECK_EQ(adv_registry_init(&reg, adv_alloc_default()), ADV_OK);
    CHECK_EQ(adv_registry_add_kernels(&reg, kernels, NULL), ADV_OK);
    if (argc > 1) {
        RUN(our_ways_compute_the_definition);
        adv_registry_fini(&reg);
        return ADV_TEST_END();
    }
    RUN(each_way_computes_the_definition);
    RUN(matrix_units_compute_the_definition);
    RUN(memory_runs_out_anywhere);
    RUN(the_device_dies_anywhere);
    RUN(equal_problems_are_solved_once);
    RUN(plans_are_built_side_by_side);
    RUN(plans_are_kept);
    RUN(orders_build_one_plan);
    RUN(failures_of_an_opening);
    RUN(every_op_has_a_kernel);
    adv_registry_fini(&reg);
    return ADV_TEST_END();
}
