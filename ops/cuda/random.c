/* random.c: draw and perm_ids on cuda (random.cu). */
#include "ops/cuda/random.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/view.h"

extern const AdvCudaFn adv_cuda_fns_random[];

typedef struct RandomState {
    AdvCuda *cuda;
    union { AdvDrawForm draw; AdvPermForm perm; } form;
    const void *fn;
    AdvCudaGrid grid;
    uint32_t n_in;
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

static AdvStatus prepare_draw(AdvPrep *p, void **out_state)
{
    const AdvView *y = &p->sig->out[0], *ids = &p->sig->in[2];
    const AdvAttr *a = p->sig->attr;
    AdvDrawForm f = {.purpose = a[2].i, .n_ids = ids->rank ? ids->dim[0] : 1, .p = a[1].f, .rank = y->rank, .dist = (int)a[0].i};
    f.per_id = adv_view_elems(y) / f.n_ids;
    f.id_step = ids->rank ? ids->stride[0] : 0;
    for (int d = 0; d < y->rank; d++) f.dim[d] = y->dim[d], f.step[d] = y->stride[d];
    for (int k = 0; k < 4; k++) f.is_wide[k] = p->sig->in[k].dtype == ADV_I64;
    RandomState *s = new_state(p, "adv_draw", (uint64_t)(f.n_ids * ((f.per_id + 3) / 4)));
    if (!s) return ADV_ENOMEM;
    s->form.draw = f;
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
    void *data[5], *args[6] = {&s->form};
    for (uint32_t k = 0; k <= s->n_in; k++) {
        data[k] = k < s->n_in ? l->in[k].data : l->out[0].data;
        args[1 + k] = &data[k];
    }
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

#define RANDOM(op_name, can_fn, prepare_fn) \
    const AdvKernel adv_k_cuda_##op_name##_own = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "own", .op_version = 1, \
                                                  .can = can_fn, .prepare = prepare_fn, .run = run};
RANDOM(draw, can_draw, prepare_draw)
RANDOM(perm_ids, are_counts, prepare_perm)
