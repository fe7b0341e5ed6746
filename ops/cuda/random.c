/* random.c: draw and perm_ids on cuda (random.cu). */
#include "ops/cuda/random.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/view.h"

extern const AdvCudaFn adv_cuda_fns_random[];

typedef struct RandomState {
    AdvCuda *cuda;
    union { AdvDrawForm draw; AdvPermForm perm; } form;
    AdvCudaNest nest; /* of a draw's result, in row order */
    const void *fn;
    AdvCudaGrid grid;
    uint32_t n_in;
    bool is_draw;
} RandomState;

static bool are_counts(const AdvSig *s, const char **why)
{
    *why = "needs i32 or i64 numbers";
    for (uint32_t k = 0; k < s->n_in; k++)
        if (s->in[k].dtype != ADV_I32 && s->in[k].dtype != ADV_I64) return false;
    return true;
}

static bool can_draw(const AdvSig *s, const char **why)
{
    if (!are_counts(s, why)) return false;
    *why = "makes f32";
    return s->out[0].dtype == ADV_F32;
}

static RandomState *new_state(AdvPrep *p, const char *fn, uint64_t n)
{
    RandomState *s = p->alloc(p, sizeof *s);
    if (!s) return NULL;
    s->cuda = adv_cuda_of(p);
    s->fn = adv_cuda_fn(adv_cuda_fns_random, fn);
    s->grid = adv_cuda_grid_x(n, ADV_CUDA_BLOCK);
    s->n_in = p->sig->n_in;
    return s;
}

/* The result walked in row order, as its numbers are counted. */
static AdvCudaNest nest_of(const AdvView *y)
{
    AdvView row = *y;
    AdvLoop l, own = {.n_views = 1};
    const AdvView *views[2] = {&row, y};
    int64_t step = 1;
    for (uint32_t d = y->rank; d-- > 0; step *= y->dim[d]) row.stride[d] = step;
    adv_loop_make(&l, views, 2);
    own.rank = l.rank;
    for (uint32_t d = 0; d < l.rank; d++) own.dim[d] = l.dim[d], own.stride[0][d] = l.stride[1][d];
    return adv_cuda_nest(&own);
}

/* Which kernel of random.cu writes it, and how many threads it takes. A single sample becomes the first of three dimensions, too. */
static const char *way_of(AdvDrawForm *f, AdvCudaNest *nest, int64_t n_ids)
{
    f->n_threads = n_ids * f->quads;
    if (f->per_id % 4 == 0 && nest->rank == 1 && nest->stride[0][0] == 1) return "adv_draw_rows";
    if (nest->rank == 2 && n_ids == 1)
        *nest = (AdvCudaNest){3, {1, nest->dim[0], nest->dim[1]}, {{0, nest->stride[0][0], nest->stride[0][1]}}};
    if (nest->rank != 3 || nest->dim[0] != n_ids || nest->stride[0][1] != 1 || nest->dim[2] % 4 != 0) return "adv_draw_any";
    if (nest->dim[1] != 3 || nest->stride[0][2] != 3 || nest->stride[0][0] % 4 != 0) return "adv_draw_channels";
    f->n_threads /= 3;
    return "adv_draw_colours";
}

static AdvStatus prepare_draw(AdvPrep *p, void **out_state)
{
    const AdvView *y = &p->sig->out[0], *ids = &p->sig->in[2];
    const AdvAttr *a = p->sig->attr;
    AdvDrawForm f = {.purpose = a[2].i, .p = a[1].f, .dist = (int)a[0].i};
    AdvCudaNest nest = nest_of(y);
    int64_t n_ids = ids->rank ? ids->dim[0] : 1;
    f.per_id = adv_view_elems(y) / n_ids;
    f.quads = (f.per_id + 3) / 4;
    f.id_step = ids->rank ? ids->stride[0] : 0;
    for (int k = 0; k < 4; k++) f.is_wide[k] = p->sig->in[k].dtype == ADV_I64;
    const char *way = way_of(&f, &nest, n_ids);
    RandomState *s = new_state(p, way, (uint64_t)f.n_threads);
    if (!s) return ADV_ENOMEM;
    s->form.draw = f;
    s->nest = nest;
    s->is_draw = true;
    *out_state = s;
    return ADV_OK;
}

static AdvStatus prepare_perm(AdvPrep *p, void **out_state)
{
    const AdvAttr *a = p->sig->attr;
    AdvPermForm f = {.purpose = a[2].i, .n = a[0].i, .batch = a[1].i, .id_step = p->sig->out[0].stride[0]};
    for (int k = 0; k < 3; k++) f.is_wide[k] = p->sig->in[k].dtype == ADV_I64;
    RandomState *s = new_state(p, "adv_perm_ids", (uint64_t)f.batch);
    if (!s) return ADV_ENOMEM;
    s->form.perm = f;
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    RandomState *s = state;
    void *data[5], *args[7] = {&s->form, &s->nest};
    uint32_t n = s->is_draw ? 2 : 1;
    for (uint32_t k = 0; k <= s->n_in; k++) {
        data[k] = k < s->n_in ? l->in[k].data : l->out[0].data;
        args[n + k] = &data[k];
    }
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

#define RANDOM(op_name, can_fn, prepare_fn) \
    const AdvKernel adv_k_cuda_##op_name##_own = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "own", .op_version = 1, \
                                                  .can = can_fn, .prepare = prepare_fn, .run = run};
RANDOM(draw, can_draw, prepare_draw)
RANDOM(perm_ids, are_counts, prepare_perm)
