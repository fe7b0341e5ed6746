/* pool.c: max_pool, avg_pool and their gradients on cuda: one launch each (pool.cu). */
#include "ops/cuda/pool.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/of.h"
#include "ops/view.h"

#include <string.h>

extern const AdvCudaFn adv_cuda_fns_pool[];

typedef struct PoolState {
    AdvCuda *cuda;
    AdvPoolForm form;
    const void *fn;
    AdvCudaGrid grid;
    uint32_t n_in;
} PoolState;

static bool can(const AdvSig *s, const char **why)
{
    *why = "needs f32 or bf16";
    for (uint32_t k = 0; k < s->n_in; k++)
        if (s->in[k].dtype != s->out[0].dtype) return false;
    return s->out[0].dtype == ADV_F32 || s->out[0].dtype == ADV_BF16;
}

static void copy_strides(long long to[4], const AdvView *v)
{
    for (int d = 0; d < 4; d++) to[d] = v->stride[d];
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    PoolState *s = p->alloc(p, sizeof *s);
    bool is_grad = strstr(sig->op->name, "_grad") != NULL;
    const AdvView *pooled = is_grad ? &sig->in[sig->n_in - 1] : &sig->out[0], *image = is_grad ? &sig->out[0] : &sig->in[0];
    if (!s) return ADV_ENOMEM;
    s->cuda = adv_cuda_of(p);
    s->n_in = sig->n_in;
    copy_strides(s->form.image, &sig->in[0]); /* of avg_pool_grad: read by nothing */
    copy_strides(s->form.pooled, pooled);
    copy_strides(s->form.result, &sig->out[0]);
    s->form.n = (int)image->dim[0], s->form.c = (int)image->dim[1], s->form.h = (int)image->dim[2], s->form.w = (int)image->dim[3];
    s->form.oh = (int)pooled->dim[2], s->form.ow = (int)pooled->dim[3];
    s->form.size = (int)sig->attr[0].i, s->form.stride = (int)sig->attr[1].i, s->form.pad = (int)sig->attr[2].i;
    s->fn = adv_cuda_fn_of(adv_cuda_fns_pool, sig->op->name, adv_cuda_type(image->dtype));
    s->grid = adv_cuda_grid_x((uint64_t)adv_view_elems(&sig->out[0]), ADV_CUDA_BLOCK);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    PoolState *s = state;
    void *data[3], *args[4] = {&s->form};
    for (uint32_t k = 0; k <= s->n_in; k++) {
        data[k] = k < s->n_in ? l->in[k].data : l->out[0].data;
        args[1 + k] = &data[k];
    }
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

#define POOL(op_name) \
    const AdvKernel adv_k_cuda_##op_name##_own = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "own", .op_version = 1, \
                                                  .can = can, .prepare = prepare, .run = run};
POOL(max_pool)
POOL(max_pool_grad)
POOL(avg_pool)
POOL(avg_pool_grad)
