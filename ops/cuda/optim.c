/* optim.c: sgd and adam on cuda: one launch a tensor (optim.cu). */
#include "ops/cuda/optim.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/view.h"

#include <string.h>

extern const AdvCudaFn adv_cuda_fns_optim[];

typedef struct OptimState {
    AdvCuda *cuda;
    AdvSgdForm sgd;
    AdvAdamForm adam;
    const void *fn;
    AdvCudaGrid grid;
    long long n;
    uint32_t n_in, n_out;
    bool is_adam;
} OptimState;

/* Weights, gradient and moments lie alike, in any order without gaps. */
static bool can(const AdvSig *s, const char **why)
{
    const AdvView *w = &s->in[0];
    uint32_t n_alike = s->n_out + 1; /* w, g and the moments */
    *why = "needs dense f32 tensors in one order";
    if (!adv_view_is_row(w) && !(w->rank == 4 && adv_view_is_cl(w))) return false;
    for (uint32_t k = 0; k < n_alike + s->n_out; k++) {
        const AdvView *v = k < n_alike ? &s->in[k] : &s->out[k - n_alike];
        if (v->dtype != ADV_F32 || memcmp(v->stride, w->stride, sizeof v->stride) != 0) return false;
    }
    *why = "needs a rate in f32 and a step number in i64";
    return s->in[n_alike].dtype == ADV_F32 && (s->n_in == n_alike + 1 || s->in[n_alike + 1].dtype == ADV_I64);
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvAttr *a = p->sig->attr;
    OptimState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->cuda = adv_cuda_of(p);
    s->n = adv_view_elems(&p->sig->in[0]);
    s->n_in = p->sig->n_in;
    s->n_out = p->sig->n_out;
    s->is_adam = s->n_out == 3;
    bool is_wide = s->n % 4 == 0;
    if (s->is_adam)
        s->adam = (AdvAdamForm){a[0].f, a[1].f, (float)a[0].f, (float)a[1].f, (float)(1 - a[0].f), (float)(1 - a[1].f), (float)a[2].f,
                                (float)a[3].f};
    else
        s->sgd = (AdvSgdForm){(float)a[0].f, (float)a[1].f, a[2].i != 0};
    s->fn = adv_cuda_fn(adv_cuda_fns_optim, s->is_adam ? (is_wide ? "adv_adam4" : "adv_adam1") : is_wide ? "adv_sgd4" : "adv_sgd1");
    s->grid = adv_cuda_grid_x((uint64_t)(is_wide ? s->n / 4 : s->n), ADV_CUDA_BLOCK);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    OptimState *s = state;
    void *data[9], *args[11];
    uint32_t n = s->n_in + s->n_out;
    args[0] = s->is_adam ? (void *)&s->adam : (void *)&s->sgd;
    for (uint32_t k = 0; k < n; k++) {
        data[k] = k < s->n_in ? l->in[k].data : l->out[k - s->n_in].data;
        args[1 + k] = &data[k];
    }
    args[1 + n] = &s->n;
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

#define OPTIM(op_name) \
    const AdvKernel adv_k_cuda_##op_name##_own = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "own", .op_version = 1, \
                                                  .can = can, .prepare = prepare, .run = run};
OPTIM(sgd)
OPTIM(adam)
