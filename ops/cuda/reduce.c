/* reduce.c: reductions over dimensions: how they are cut, and their launches (reduce.cu). */
#include "ops/cuda/reduce.h"

#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/of.h"
#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/container.h"
#include "runtime/base/diag.h"

#include <assert.h>
#include <string.h>

extern const AdvCudaFn adv_cuda_fns_reduce[];

#define WANTED_BLOCKS 1056 /* 8 for each of 132 multiprocessors: where there are fewer, results are cut into pieces */
#define MAX_PIECES 1024
#define LEAST_TURNS 8      /* of a lane in a piece */

static const struct {
    const char *op;
    int fold, final;
} folds[] = {
    {"sum", ADV_FOLD_SUM, ADV_FINAL_AS_IS},        {"mean", ADV_FOLD_SUM, ADV_FINAL_MEAN},
    {"norm1", ADV_FOLD_ABS, ADV_FINAL_AS_IS},      {"norm2", ADV_FOLD_SQUARE, ADV_FINAL_ROOT},
    {"reduce_max", ADV_FOLD_MAX, ADV_FINAL_AS_IS}, {"reduce_min", ADV_FOLD_MIN, ADV_FINAL_AS_IS},
    {"any", ADV_FOLD_COUNT, ADV_FINAL_ANY},        {"all", ADV_FOLD_COUNT, ADV_FINAL_ALL},
};

typedef struct Stage {
    const void *fn;
    AdvCudaGrid grid;
    AdvCudaNest kept, group;
    AdvReduceArgs a;
    bool is_across; /* a thread takes several results */
} Stage;

typedef struct ReduceState {
    AdvCuda *cuda;
    uint32_t n_stages;
    Stage stage[2];
} ReduceState;

/* The dims of l that are kept, or reduced; {1} if there are none. */
static AdvLoop part_of(const AdvLoop *l, const bool *is_reduced, bool reduced)
{
    AdvLoop r = {.n_views = 2};
    for (uint32_t d = 0; d < l->rank; d++) {
        if (is_reduced[d] != reduced) continue;
        r.dim[r.rank] = l->dim[d];
        for (uint32_t k = 0; k < 2; k++) r.stride[k][r.rank] = l->stride[k][d];
        r.rank++;
    }
    if (r.rank == 0) r.rank = 1, r.dim[0] = 1;
    return r;
}

/* Lanes, pieces and the grid of a stage whose nests and numbers are set. pack: elements of one read; across: results of one thread. */
static void cut(Stage *s, uint32_t pack, int64_t across, bool may_cut)
{
    AdvReduceArgs *a = &s->a;
    uint64_t turns = (uint64_t)((a->n_group + pack - 1) / pack);
    a->lanes = (int)(a->is_along ? adv_cuda_pow2(turns, ADV_REDUCE_BLOCK)
                                 : ADV_REDUCE_BLOCK / adv_cuda_pow2((uint64_t)(a->n_kept / across), 32));
    int64_t n_results = ADV_REDUCE_BLOCK / a->lanes * across, n_blocks = (a->n_kept + n_results - 1) / n_results, pieces = 1;
    int64_t turn = (int64_t)a->lanes * pack, most = a->n_group / (turn * LEAST_TURNS);
    if (may_cut) pieces = WANTED_BLOCKS / n_blocks;
    if (pieces > most) pieces = most;
    if (pieces > MAX_PIECES) pieces = MAX_PIECES;
    if (pieces < 1) pieces = 1;
    a->n_of_piece = ((a->n_group + pieces - 1) / pieces + turn - 1) / turn * turn;
    s->grid = adv_cuda_grid_blocks((uint64_t)n_blocks, ADV_REDUCE_BLOCK);
    s->grid.grid.y = (unsigned)((a->n_group + a->n_of_piece - 1) / a->n_of_piece);
}

/* May a nest be read `pack` elements at a time: along its last dimension, or (is_outer) along one outside it? */
static bool is_packed(const AdvLoop *l, int64_t pack, bool is_outer)
{
    uint32_t last = is_outer ? l->rank : l->rank - 1;
    if (!is_outer && l->stride[0][last] != 1) return false;
    for (uint32_t d = 0; d < last; d++)
        if (l->stride[0][d] % pack != 0) return false;
    return true;
}

static void first_stage(Stage *s, const AdvSig *sig)
{
    const AdvView *x = &sig->in[0], *views[2];
    bool mark[ADV_MAX_RANK], is_reduced[ADV_MAX_RANK];
    AdvLoop l;
    adv_dims_mark(&sig->attr[0], x->rank, mark);
    AdvView y = adv_view_spread(&sig->out[0], x, mark);
    views[0] = x, views[1] = &y;
    adv_loop_make(&l, views, 2);
    for (uint32_t d = 0; d < l.rank; d++) is_reduced[d] = l.stride[1][d] == 0;
    AdvLoop kept = part_of(&l, is_reduced, false), group = part_of(&l, is_reduced, true);
    uint32_t pack = 16 / adv_dtype_bytes(x->dtype);
    s->kept = adv_cuda_nest(&kept);
    s->group = adv_cuda_nest(&group);
    s->a.n_kept = adv_cuda_nest_elems(&kept);
    s->a.n_group = s->a.n_mean = adv_cuda_nest_elems(&group);
    s->a.is_along = is_reduced[l.rank - 1];
    s->a.is_packed = is_packed(&group, pack, false) && is_packed(&kept, pack, true);
    if (group.rank > 1 && group.dim[group.rank - 1] % pack != 0) s->a.is_packed = 0;
    s->is_across = !s->a.is_along && is_packed(&kept, pack, false) && is_packed(&group, pack, true) && kept.dim[kept.rank - 1] % pack == 0;
    cut(s, s->a.is_packed ? pack : 1, s->is_across ? pack : 1, true);
}

/* Merges the pieces of the first, which writes result k of piece p at p*n_kept + k. */
static void second_stage(Stage *s, Stage *first)
{
    int64_t step = 1;
    *s = *first;
    for (int d = first->kept.rank; d-- > 0; step *= first->kept.dim[d]) s->kept.stride[0][d] = first->kept.stride[1][d] = step;
    s->group = (AdvCudaNest){.rank = 1, .dim = {first->grid.grid.y}, .stride = {{first->a.n_kept}}};
    s->a.n_group = first->grid.grid.y;
    s->a.is_along = s->a.is_packed = 0;
    s->is_across = false;
    if (s->a.fold != ADV_FOLD_MAX && s->a.fold != ADV_FOLD_MIN) s->a.fold = ADV_FOLD_SUM;
    first->a.final = ADV_FINAL_AS_IS;
    first->a.type = ADV_REDUCED_F64;
    cut(s, 1, 1, false);
}

static int type_of(uint8_t dtype)
{
    return dtype == ADV_F32 ? ADV_REDUCED_F32 : dtype == ADV_BF16 ? ADV_REDUCED_BF16 : dtype == ADV_F16 ? ADV_REDUCED_F16 : ADV_REDUCED_F64;
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    ReduceState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->cuda = adv_cuda_of(p);
    for (uint32_t i = 0; i < sizeof folds / sizeof folds[0]; i++)
        if (strcmp(folds[i].op, sig->op->name) == 0) s->stage[0].a.fold = folds[i].fold, s->stage[0].a.final = folds[i].final;
    first_stage(&s->stage[0], sig);
    s->n_stages = s->stage[0].grid.grid.y > 1 ? 2 : 1;
    s->stage[0].fn =
        adv_cuda_fn_of(adv_cuda_fns_reduce, s->stage[0].is_across ? "reduce_across" : "reduce", adv_cuda_type(sig->in[0].dtype));
    s->stage[0].a.type = type_of(sig->out[0].dtype);
    if (s->n_stages == 2) {
        p->scratch_bytes = (uint64_t)s->stage[0].a.n_kept * s->stage[0].grid.grid.y * sizeof(double);
        second_stage(&s->stage[1], &s->stage[0]);
        s->stage[1].fn = adv_cuda_fn_of(adv_cuda_fns_reduce, "reduce", "f64");
    }
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    ReduceState *s = state;
    for (uint32_t i = 0; i < s->n_stages; i++) {
        Stage *t = &s->stage[i];
        const void *x = i == 0 ? l->in[0].data : l->scratch;
        void *y = i + 1 == s->n_stages ? l->out[0].data : l->scratch;
        void *args[] = {&y, &x, &t->kept, &t->group, &t->a};
        ADV_TRY(adv_cuda_launch(s->cuda, t->fn, &t->grid, args));
    }
    return ADV_OK;
}

#define REDUCE(op_name) \
    const AdvKernel adv_k_cuda_##op_name##_lanes = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "lanes", \
                                                    .op_version = 1, .can = adv_cuda_can_floats, .prepare = prepare, .run = run};
REDUCE(sum)
REDUCE(mean)
REDUCE(norm1)
REDUCE(norm2)
REDUCE(reduce_max)
REDUCE(reduce_min)
REDUCE(any)
REDUCE(all)
