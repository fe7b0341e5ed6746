/* reduce.c: sums, means, extremes, norms and truths over dimensions.
**
** Dimensions are taken in memory order of x, neighbours merged, so most reductions become one of two loops:
**
**   RUN   the innermost dimension is reduced: each result is folded from runs of memory (all but batch; whole tensor;
**         channels in row order)
**   ROWS  the innermost dimension is kept: a row of accumulators, one pass over x (channels of channels-last; over the batch)
**
** Work is cut into pieces by shape alone, partial results are merged in their order: the same bits with any number of
** threads. Accumulates in double. Limit: memory bandwidth.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/shape.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define LANES 16      /* accumulators of a run, so that the compiler may use vectors without reordering a sum itself */
#define RUN_PART 4096 /* elements of a run folded in one go */
#define MAX_PIECES 64 /* of one result */

static inline double pick(int c, double a, double b) { return c ? a : b; }

#define ACC_SUM(a, x) ((a) + (x))
#define ACC_ABS(a, x) ((a) + fabs(x))
#define ACC_SQUARE(a, x) ((a) + (x) * (x))
#define ACC_COUNT(a, x) ((a) + ((x) != 0 ? 1.0 : 0.0))
#define ACC_MAX(a, x) pick((a) != (a), (a), pick((x) > (a), (x), pick((x) != (x), (x), (a))))
#define ACC_MIN(a, x) pick((a) != (a), (a), pick((x) < (a), (x), pick((x) != (x), (x), (a))))

#define FOLD(name, START, ACC, MERGE) \
    ADV_CLONES static double run_##name(const float *x, int64_t n, int64_t step) \
    { \
        double lane[LANES], a = START; \
        int64_t i = 0; \
        for (int j = 0; j < LANES; j++) lane[j] = START; \
        if (step == 1) \
            for (; i + LANES <= n; i += LANES) { \
                ADV_OMP(simd) \
                for (int j = 0; j < LANES; j++) { \
                    double v = (double)x[i + j]; \
                    lane[j] = ACC(lane[j], v); \
                } \
            } \
        for (int j = 0; j < LANES; j++) a = MERGE(a, lane[j]); \
        for (; i < n; i++) { \
            double v = (double)x[i * step]; \
            a = ACC(a, v); \
        } \
        return a; \
    } \
    ADV_CLONES static void row_##name(double *acc, const float *x, int64_t n, int64_t step) \
    { \
        if (step == 1) { \
            ADV_OMP(simd) \
            for (int64_t j = 0; j < n; j++) { \
                double v = (double)x[j]; \
                acc[j] = ACC(acc[j], v); \
            } \
        } else \
            for (int64_t j = 0; j < n; j++) { \
                double v = (double)x[j * step]; \
                acc[j] = ACC(acc[j], v); \
            } \
    }

FOLD(sum, 0, ACC_SUM, ACC_SUM)
FOLD(abs, 0, ACC_ABS, ACC_SUM)
FOLD(square, 0, ACC_SQUARE, ACC_SUM)
FOLD(count, 0, ACC_COUNT, ACC_SUM)
FOLD(max, -INFINITY, ACC_MAX, ACC_MAX)
FOLD(min, INFINITY, ACC_MIN, ACC_MIN)

static double merge_sum(double a, double b) { return a + b; }
static double merge_max(double a, double b) { return ACC_MAX(a, b); }
static double merge_min(double a, double b) { return ACC_MIN(a, b); }

enum { FINAL_AS_IS, FINAL_MEAN, FINAL_ROOT, FINAL_ANY, FINAL_ALL };

typedef struct Fold {
    const char *op;
    double start;
    double (*run)(const float *, int64_t, int64_t);
    void (*row)(double *, const float *, int64_t, int64_t);
    double (*merge)(double, double);
    int final;
} Fold;

static const Fold folds[] = {
    {"sum", 0, run_sum, row_sum, merge_sum, FINAL_AS_IS},
    {"mean", 0, run_sum, row_sum, merge_sum, FINAL_MEAN},
    {"norm1", 0, run_abs, row_abs, merge_sum, FINAL_AS_IS},
    {"norm2", 0, run_square, row_square, merge_sum, FINAL_ROOT},
    {"reduce_max", -INFINITY, run_max, row_max, merge_max, FINAL_AS_IS},
    {"reduce_min", INFINITY, run_min, row_min, merge_min, FINAL_AS_IS},
    {"any", 0, run_count, row_count, merge_sum, FINAL_ANY},
    {"all", 0, run_count, row_count, merge_sum, FINAL_ALL},
};

typedef struct ReduceState {
    const Fold *fold;
    AdvLoop kept, reduced;  /* views: x and y of the kept ones; x of the reduced ones. Without the innermost dimension */
    bool is_run;            /* RUN, else ROWS */
    int64_t len, step;      /* innermost dimension of x */
    int64_t y_step;         /* ROWS: of the result */
    int64_t n_kept, n_reduced, n_group;  /* results (ROWS: rows of results), runs or rows of each, elements of each */
    int64_t n_parts, n_pieces;           /* RUN: parts of a run; pieces of a result, for threads */
} ReduceState;

static double finish(const ReduceState *s, double a)
{
    switch (s->fold->final) {
    case FINAL_MEAN: return a / (double)s->n_group;
    case FINAL_ROOT: return sqrt(a);
    case FINAL_ANY: return a > 0;
    case FINAL_ALL: return a == (double)s->n_group;
    default: return a;
    }
}

/* Takes dimension d out of the loop's views 0 and 1 into `to`. */
static void take_dim(AdvLoop *to, const AdvLoop *from, uint32_t d)
{
    to->dim[to->rank] = from->dim[d];
    for (uint32_t k = 0; k < from->n_views; k++) to->stride[k][to->rank] = from->stride[k][d];
    to->rank++;
}

static int64_t n_of(const AdvLoop *l)
{
    int64_t n = 1;
    for (uint32_t d = 0; d < l->rank; d++) n *= l->dim[d];
    return n;
}

/* Offsets of flat index i, all dims. */
static void offsets(const AdvLoop *l, int64_t i, int64_t at[2])
{
    at[0] = at[1] = 0;
    for (uint32_t d = l->rank; d-- > 0;) {
        int64_t j = i % l->dim[d];
        i /= l->dim[d];
        for (uint32_t k = 0; k < 2; k++) at[k] += j * l->stride[k][d];
    }
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    const AdvView *x = &sig->in[0], *views[2];
    bool mark[ADV_MAX_RANK];
    AdvLoop l;
    ReduceState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    for (uint32_t i = 0; i < sizeof folds / sizeof folds[0]; i++)
        if (strcmp(folds[i].op, sig->op->name) == 0) s->fold = &folds[i];
    assert(s->fold);
    adv_dims_mark(&sig->attr[0], x->rank, mark);
    AdvView y = adv_view_spread(&sig->out[0], x, mark);
    views[0] = x, views[1] = &y;
    adv_loop_make(&l, views, 2);
    uint32_t last = l.rank - 1;
    s->kept.n_views = s->reduced.n_views = 2;
    for (uint32_t d = 0; d < last; d++) take_dim(l.stride[1][d] ? &s->kept : &s->reduced, &l, d);
    s->len = l.dim[last], s->step = l.stride[0][last], s->y_step = l.stride[1][last];
    s->is_run = s->y_step == 0;
    s->n_kept = n_of(&s->kept), s->n_reduced = n_of(&s->reduced);
    s->n_group = s->n_reduced * (s->is_run ? s->len : 1);
    s->n_parts = s->is_run ? (s->len + RUN_PART - 1) / RUN_PART : 1;
    s->n_pieces = 1;
    if (s->n_kept < 32 && (s->is_run || s->len <= 65536)) {
        int64_t elems = s->n_group * (s->is_run ? 1 : s->len), most = adv_min_i64(s->n_reduced * s->n_parts, MAX_PIECES);
        s->n_pieces = adv_min_i64(most, 1 + elems / RUN_PART);
    }
    p->scratch_bytes = (uint64_t)(s->n_kept * s->n_pieces) * (uint64_t)(s->is_run ? 1 : s->len) * sizeof(double);
    *out_state = s;
    return ADV_OK;
}

/* Piece `piece` of result `k`. */
static double run_piece(const ReduceState *s, const float *x, int64_t k, int64_t piece)
{
    int64_t n = s->n_reduced * s->n_parts, first = n * piece / s->n_pieces, end = n * (piece + 1) / s->n_pieces, at[2], from[2];
    double a = s->fold->start;
    offsets(&s->kept, k, at);
    for (int64_t i = first; i < end; i++) {
        int64_t part = i % s->n_parts * RUN_PART;
        offsets(&s->reduced, i / s->n_parts, from);
        a = s->fold->merge(a, s->fold->run(x + at[0] + from[0] + part * s->step, adv_min_i64(RUN_PART, s->len - part), s->step));
    }
    return a;
}

static void row_piece(const ReduceState *s, const float *x, int64_t k, int64_t piece, double *acc)
{
    int64_t first = s->n_reduced * piece / s->n_pieces, end = s->n_reduced * (piece + 1) / s->n_pieces, at[2], from[2];
    offsets(&s->kept, k, at);
    for (int64_t j = 0; j < s->len; j++) acc[j] = s->fold->start;
    for (int64_t i = first; i < end; i++) {
        offsets(&s->reduced, i, from);
        s->fold->row(acc, x + at[0] + from[0], s->len, s->step);
    }
}

static AdvStatus run_reduce(const AdvLaunch *l, void *state)
{
    const ReduceState *s = state;
    const float *x = l->in[0].data;
    float *y = l->out[0].data;
    double *part = l->scratch;
    int64_t width = s->is_run ? 1 : s->len, n_jobs = s->n_kept * s->n_pieces;
    int n_threads = adv_cpu_threads(l->n_threads, s->n_kept * s->n_reduced * s->len);
    (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t job = 0; job < n_jobs; job++) {
        if (s->is_run) part[job] = run_piece(s, x, job / s->n_pieces, job % s->n_pieces);
        else row_piece(s, x, job / s->n_pieces, job % s->n_pieces, part + job * width);
    }
    for (int64_t k = 0; k < s->n_kept; k++) {
        double *acc = part + k * s->n_pieces * width;
        int64_t at[2];
        offsets(&s->kept, k, at);
        for (int64_t piece = 1; piece < s->n_pieces; piece++)
            for (int64_t j = 0; j < width; j++) acc[j] = s->fold->merge(acc[j], acc[piece * width + j]);
        for (int64_t j = 0; j < width; j++) y[at[1] + j * s->y_step] = (float)finish(s, acc[j]);
    }
    return ADV_OK;
}

#define REDUCE(op_name) \
    const AdvKernel adv_k_cpu_##op_name##_f32 = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "f32", .op_version = 1, \
                                                 .can = adv_can_f32, .prepare = prepare, .run = run_reduce};
REDUCE(sum)
REDUCE(mean)
REDUCE(norm1)
REDUCE(norm2)
REDUCE(reduce_max)
REDUCE(reduce_min)
REDUCE(any)
REDUCE(all)
