/* pool.c: max_pool, avg_pool and their gradients on cuda: one launch each (pool.cu), and which of its kernels that is. */
#include "ops/cuda/pool.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/of.h"
#include "ops/view.h"
#include "runtime/base/container.h"

#include <stdio.h>
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

/* May channels be taken n at a time? */
static bool is_packed(const AdvView *v, int64_t n)
{
    return v->stride[1] == 1 && v->dim[1] % n == 0 && v->stride[0] % n == 0 && v->stride[2] % n == 0 && v->stride[3] % n == 0;
}

static bool are_packed(const AdvSig *sig, int64_t n)
{
    bool all = is_packed(&sig->out[0], n);
    for (uint32_t k = 0; k < sig->n_in; k++) all = all && is_packed(&sig->in[k], n);
    return all;
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    PoolState *s = p->alloc(p, sizeof *s);
    bool is_grad = strstr(sig->op->name, "_grad") != NULL;
    const AdvView *pooled = is_grad ? &sig->in[sig->n_in - 1] : &sig->out[0], *image = is_grad ? &sig->out[0] : &sig->in[0];
    if (!s) return ADV_ENOMEM;
    AdvPoolForm *f = &s->form;
    s->cuda = adv_cuda_of(p);
    s->n_in = sig->n_in;
    copy_strides(f->image, &sig->in[0]); /* of avg_pool_grad: read by nothing */
    copy_strides(f->pooled, pooled);
    copy_strides(f->result, &sig->out[0]);
    f->n = (int)image->dim[0], f->c = (int)image->dim[1], f->h = (int)image->dim[2], f->w = (int)image->dim[3];
    f->oh = (int)pooled->dim[2], f->ow = (int)pooled->dim[3];
    f->size = (int)sig->attr[0].i, f->stride = (int)sig->attr[1].i, f->pad = (int)sig->attr[2].i;
    uint32_t pack = 16 / adv_dtype_bytes(image->dtype);
    if (!are_packed(sig, pack)) pack = 1;
    bool is_apart = is_grad && sig->n_in == 2 && f->stride == f->size && f->pad == 0; /* of max_pool_grad */
    uint64_t n_threads = (uint64_t)adv_view_elems(&sig->out[0]) / pack;
    if (is_apart)
        n_threads = (uint64_t)(f->n * (int64_t)f->c / pack) * (uint64_t)((f->h + f->size - 1) / f->size) *
                    (uint64_t)((f->w + f->size - 1) / f->size);
    char name[48];
    snprintf(name, sizeof name, "%s%s_%s", sig->op->name, is_apart ? "_apart" : "", pack == 1 ? "any" : f->size == 2 ? "twos" : "packs");
    s->fn = adv_cuda_fn_of(adv_cuda_fns_pool, name, adv_cuda_type(image->dtype));
    s->grid = adv_cuda_grid_x(n_threads, ADV_CUDA_BLOCK);
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
