/* gate.c: is an attack in 16 bits as good as one in 32? A network is trained in f32 on real data, then attacked in both.
**
**   gate [--steps=N] [--batches=N] [--threads=N] [--backend-dir=FOLDER] RECIPE DATA_FILE
**
** RECIPE (gate.adv says what it holds) is compiled twice: with `precision = f32`, and with `precision = bf16`; with a folder that holds
** adv_cuda.so for a device, else for the CPU. The first trains so many steps, the second takes over its weights and running statistics.
*Then
**
**   1. signs: both take the gradient at the same images, step by step along the attack of the first, and the share of the pixels whose
**      sign agrees is printed for each step (pixels whose gradient is 0 in f32 are left out: they say nothing);
**   2. accuracy: each runs the recipe's evaluation by itself, and the accuracies may differ by at most 0.3 points.
**
** Exits 0 if the gate is passed, 1 if it is not, 69 where 16 bits are not available.
*/
#include "compiler/adv_compile.h"
#include "runtime/adv.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_TURNS 20
#define MAX_ROWS 8
#define MAX_DIFFERENCE 0.3 /* of accuracies, in points */
#define MIN_AGREEMENT 0.9  /* of signs, in the mean over all steps */

typedef struct Rows { uint32_t n; char name[MAX_ROWS][64]; double accuracy[MAX_ROWS]; } Rows;

typedef struct Side {
    AdvPlan *plan;
    AdvSession *s;
    Rows rows;
} Side;

typedef struct Gate {
    AdvCtx *ctx;
    AdvDiags *ds;
    const char *recipe, *data, *backend_dir; /* backend_dir: NULL on the CPU */
    uint64_t n_steps;
    long n_batches;
    uint32_t n_threads;
    Side full, low;
} Gate;

static void to_stderr(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stderr);
}

/* ---- the two sides ------------------------------------------------------------------------------------------------------- */

static AdvStatus open_side(Gate *g, Side *side, bool is_low)
{
    const char *where = g->backend_dir ? "cuda" : "cpu";
    const AdvSet sets[] = {{"run.precision", is_low ? "bf16" : "f32"}, {"run.device", where}};
    AdvCompileOpts co = {.struct_size = sizeof co, .name = g->recipe, .targets = where, .allow = "all",
                         .sets = sets, .n_sets = 2};
    AdvSessionOpts so = {.struct_size = sizeof so, .flags = ADV_SESSION_STRICT, .n_threads = g->n_threads, .backend = where,
                         .backend_dir = g->backend_dir};
    void *bytes;
    uint64_t n_bytes;
    AdvStatus st = adv_compile(&co, g->ds, &bytes, &n_bytes);
    if (st != ADV_OK) return st;
    st = adv_plan_load(g->ctx, bytes, (size_t)n_bytes, g->ds, &side->plan);
    adv_compile_free(&co, bytes, n_bytes);
    if (st == ADV_OK) st = adv_session_open(g->ctx, side->plan, &so, g->ds, &side->s);
    if (st == ADV_OK) st = adv_session_bind_file(side->s, g->data, g->ds);
    return st == ADV_OK ? adv_session_run(side->s, "init", g->ds) : st;
}

/* Dense memory of a state's shape as f32, or as i32 for class numbers; NULL data: out of memory. */
static AdvView view_like(const AdvSession *s, const char *state)
{
    AdvTensorType t;
    AdvView v = {0};
    int64_t n = 1;
    if (adv_session_type(s, state, &t) != ADV_OK) return v;
    v.dtype = t.dtype == ADV_F32 ? ADV_F32 : ADV_I64;
    v.rank = t.rank;
    for (uint32_t d = t.rank; d-- > 0; n *= t.dim[d]) v.dim[d] = t.dim[d], v.stride[d] = n;
    v.data = malloc((size_t)n * (v.dtype == ADV_F32 ? sizeof(float) : sizeof(int64_t)));
    return v;
}

static int64_t elems(const AdvView *v)
{
    int64_t n = 1;
    for (uint32_t d = 0; d < v->rank; d++) n *= v->dim[d];
    return n;
}

/* Takes a state of one session into another of the same recipe. */
static AdvStatus carry(Gate *g, const char *state, Side *from, const char *as, Side *to)
{
    AdvView v = view_like(from->s, state);
    if (!v.data) return ADV_ENOMEM;
    AdvStatus st = adv_session_read(from->s, state, &v, g->ds);
    if (st == ADV_OK) st = adv_session_write(to->s, as, &v, g->ds);
    free(v.data);
    return st;
}

static AdvStatus carry_model(Gate *g)
{
    const char *name;
    int32_t kind, is_saved;
    for (uint32_t i = 0; (name = adv_session_state(g->full.s, i, &kind, &is_saved)); i++) {
        if (kind != ADV_STATE_PARAM && kind != ADV_STATE_BUFFER) continue;
        AdvStatus st = carry(g, name, &g->full, name, &g->low);
        if (st != ADV_OK) return st;
    }
    return ADV_OK;
}

/* ---- signs --------------------------------------------------------------------------------------------------------------- */

typedef struct Signs { double n_same[N_TURNS], n[N_TURNS]; } Signs;

static AdvStatus count_signs(Gate *g, int turn, Signs *out)
{
    AdvView a = view_like(g->full.s, "direction"), b = view_like(g->low.s, "direction");
    AdvStatus st = a.data && b.data ? adv_session_read(g->full.s, "direction", &a, g->ds) : ADV_ENOMEM;
    if (st == ADV_OK) st = adv_session_read(g->low.s, "direction", &b, g->ds);
    for (int64_t i = 0, n = elems(&a); st == ADV_OK && i < n; i++) {
        float x = ((const float *)a.data)[i], y = ((const float *)b.data)[i];
        if (x == 0) continue;
        out->n[turn]++;
        out->n_same[turn] += x == y;
    }
    free(a.data);
    free(b.data);
    return st;
}

/* One batch: the attack of the f32 side, and at each of its points both gradients. */
static AdvStatus compare_batch(Gate *g, Signs *out)
{
    static const char *const slots[] = {"x", "y", "ids"};
    AdvStatus st = adv_session_run(g->full.s, "batch", g->ds);
    for (int k = 0; st == ADV_OK && k < 3; k++) st = carry(g, slots[k], &g->full, slots[k], &g->low);
    if (st == ADV_OK) st = carry(g, "x", &g->full, "z", &g->full);
    for (int turn = 0; st == ADV_OK && turn < N_TURNS; turn++) {
        st = carry(g, "z", &g->full, "z", &g->low);
        if (st == ADV_OK) st = adv_session_run(g->full.s, "step.compare", g->ds);
        if (st == ADV_OK) st = adv_session_run(g->low.s, "step.compare", g->ds);
        if (st == ADV_OK) st = count_signs(g, turn, out);
    }
    return st;
}

static AdvStatus compare_signs(Gate *g, double *out_mean)
{
    Signs signs = {{0}, {0}};
    double n = 0, n_same = 0;
    for (long b = 0; b < g->n_batches; b++) {
        AdvStatus st = adv_session_set(g->full.s, "run.step", (double)b);
        if (st == ADV_OK) st = compare_batch(g, &signs);
        if (st != ADV_OK) return st;
    }
    printf("signs of the gradient that agree, by step:");
    for (int t = 0; t < N_TURNS; t++) {
        printf(" %.2f%%", 100 * signs.n_same[t] / signs.n[t]);
        n += signs.n[t], n_same += signs.n_same[t];
    }
    *out_mean = n_same / n;
    printf("\nin the mean %.2f%% of %.0f\n", 100 * *out_mean, n);
    return ADV_OK;
}

/* ---- accuracy ------------------------------------------------------------------------------------------------------------ */

static int32_t keep_rows(void *user, const AdvEvent *e)
{
    Rows *r = user;
    for (uint32_t i = 0; e->kind == ADV_EVENT_EVAL && i < e->n_rows && r->n < MAX_ROWS; i++) {
        snprintf(r->name[r->n], sizeof r->name[0], "%s", e->rows[i].attack);
        r->accuracy[r->n++] = 100 * e->rows[i].accuracy;
    }
    return 0;
}

static AdvStatus evaluate(Gate *g, Side *side)
{
    AdvTrainOpts o = {.struct_size = sizeof o, .only_eval = "gate", .progress = keep_rows, .user = &side->rows};
    return adv_session_train(side->s, &o, g->ds);
}

/* Prints both, and returns the largest difference in points. */
static double compare_accuracy(const Gate *g)
{
    double most = 0;
    for (uint32_t i = 0; i < g->full.rows.n; i++) {
        double d = g->low.rows.accuracy[i] - g->full.rows.accuracy[i];
        printf("%-8s f32 %.2f%%, bf16 %.2f%%: %+.2f points\n", g->full.rows.name[i], g->full.rows.accuracy[i], g->low.rows.accuracy[i], d);
        if (isnan(d)) return NAN;
        if (fabs(d) > most) most = fabs(d);
    }
    return g->full.rows.n && g->low.rows.n == g->full.rows.n ? most : NAN;
}

/* ---- the program --------------------------------------------------------------------------------------------------------- */

static AdvStatus run_gate(Gate *g, bool *out_passed)
{
    double agreement = 0, difference;
    AdvStatus st = open_side(g, &g->low, true);
    if (st == ADV_OK) st = open_side(g, &g->full, false);
    if (st == ADV_OK) st = adv_session_step(g->full.s, g->n_steps, g->ds);
    if (st == ADV_OK) st = carry_model(g);
    if (st == ADV_OK) st = evaluate(g, &g->full);
    if (st == ADV_OK) st = evaluate(g, &g->low);
    if (st == ADV_OK) st = compare_signs(g, &agreement);
    if (st != ADV_OK) return st;
    difference = compare_accuracy(g);
    *out_passed = agreement >= MIN_AGREEMENT && difference <= MAX_DIFFERENCE;
    printf("the gate is %s\n", *out_passed ? "passed" : "not passed");
    return ADV_OK;
}

static bool read_args(Gate *g, int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        value = value ? value + 1 : "";
        if (!strncmp(argv[i], "--steps=", 8)) g->n_steps = strtoul(value, NULL, 10);
        else if (!strncmp(argv[i], "--batches=", 10)) g->n_batches = strtol(value, NULL, 10);
        else if (!strncmp(argv[i], "--threads=", 10)) g->n_threads = (uint32_t)strtoul(value, NULL, 10);
        else if (!strncmp(argv[i], "--backend-dir=", 14)) g->backend_dir = value;
        else if (argv[i][0] == '-' || n == 2) return false;
        else *(n++ ? &g->data : &g->recipe) = argv[i];
    }
    return n == 2 && g->n_batches > 0;
}

int main(int argc, char **argv)
{
    Gate g = {.n_steps = 100, .n_batches = 4};
    bool passed = false;
    if (!read_args(&g, argc, argv)) {
        fputs("gate [--steps=N] [--batches=N] [--threads=N] [--backend-dir=FOLDER] RECIPE DATA_FILE\n", stderr);
        return 64;
    }
    if (adv_ctx_new(NULL, &g.ctx) != ADV_OK || adv_diags_open(g.ctx, &g.ds) != ADV_OK) return 71;
    AdvStatus st = run_gate(&g, &passed);
    if (st != ADV_OK) adv_diags_render(g.ds, ADV_PRINT_HUMAN, to_stderr, NULL);
    adv_session_close(g.full.s);
    adv_session_close(g.low.s);
    adv_plan_close(g.full.plan);
    adv_plan_close(g.low.plan);
    adv_diags_free(g.ds);
    adv_ctx_free(g.ctx);
    if (st != ADV_OK) return adv_status_exit(st);
    return passed ? 0 : 1;
}
