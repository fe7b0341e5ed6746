/* wgmma.c: which convolutions the kernels on the matrix units of compute capability 9.0 take (wgmma.cu), and launching them.
**
** A way beside cuDNN's in the choice by time (cudnn_conv.c).
*/
#include "ops/cuda/conv_own.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/of.h"

#include <string.h>

extern const AdvCudaFn adv_cuda_fns_wgmma[];

#ifdef ADV_CUDA_HAS_90A /* the build's: there is code for 9.0 */
static const bool has_code = true;
#else
static const bool has_code = false;
#endif

bool adv_conv_wgmma_takes(const AdvCuda *c, const AdvSig *s, const AdvConvTask *t)
{
    const AdvView *w = adv_conv_view(s, t, ADV_DNN_WEIGHTS), *y = &s->out[0];
    int64_t n_c = w->dim[t->kind == ADV_DNN_FORWARD], n_k = w->dim[t->kind != ADV_DNN_FORWARD];
    AdvWgmmaForm f;
    if (!has_code || c->sm != 90 || c->max_shared_bytes < ADV_WGMMA_SHARED) return false;
    if (t->kind == ADV_DNN_BY_WEIGHTS || y->dtype != ADV_BF16) return false;
    if (t->stride != 1 || t->pad != 1 || w->dim[2] != 3 || w->dim[3] != 3) return false;
    if (n_c % ADV_WGMMA_PART || n_k % ADV_WGMMA_CHANNELS) return false;
    return adv_cuda_wgmma(y->dim[0], y->dim[2], y->dim[3], n_c, n_k, &f);
}

AdvStatus adv_conv_wgmma_init(AdvConvWgmma *a, AdvCuda *c, const AdvSig *s, const AdvConvTask *t)
{
    const AdvView *w = adv_conv_view(s, t, ADV_DNN_WEIGHTS), *y = &s->out[0];
    memset(a, 0, sizeof *a);
    a->by_image = t->kind == ADV_DNN_BY_IMAGE;
    (void)adv_cuda_wgmma(y->dim[0], y->dim[2], y->dim[3], w->dim[!a->by_image], w->dim[a->by_image], &a->form);
    a->form.relu = t->relu, a->form.sum_last = t->sum_last;
    a->fn = adv_cuda_fn(adv_cuda_fns_wgmma, a->by_image ? "adv_wgmma_by_image_bf16" : "adv_wgmma_forward_bf16");
    a->grid = adv_cuda_grid_blocks((uint64_t)(a->form.n_tiles < c->n_sms ? a->form.n_tiles : c->n_sms), ADV_WGMMA_THREADS);
    a->grid.shared_bytes = ADV_WGMMA_SHARED;
    return adv_cuda_check(c, c->api->cudaFuncSetAttribute(a->fn, cudaFuncAttributeMaxDynamicSharedMemorySize, ADV_WGMMA_SHARED),
                          "cudaFuncSetAttribute");
}

AdvStatus adv_conv_wgmma_run(AdvCuda *c, const AdvConvWgmma *a, void *const pointer[ADV_DNN_ROLES])
{
    AdvWgmmaForm form = a->form;
    AdvConvEnd end = adv_conv_end(pointer);
    void *p[ADV_DNN_ROLES];
    memcpy(p, pointer, sizeof p);
    void *args[] = {&form, &p[ADV_DNN_IMAGE], &p[ADV_DNN_WEIGHTS], &p[ADV_DNN_OUTPUT], &end};
    return adv_cuda_launch(c, a->fn, &a->grid, args);
}
