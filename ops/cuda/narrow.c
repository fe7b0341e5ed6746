/* narrow.c: which convolutions the kernels for images of few channels take (narrow.cu), and launching them.
**
** A way beside cuDNN's in the choice by time (cudnn_conv.c): what the library does with 3 channels is to fill up to 8 or more.
*/
#include "ops/cuda/conv_own.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/of.h"

#include <stdio.h>
#include <string.h>

extern const AdvCudaFn adv_cuda_fns_narrow[];

/* Do the kernels have this form? Windows of 3x3 and 5x5, strides 1 and 2, at most a bias, a sum and relu; by image stride 1 and no tail. */
static bool has_kernel(const AdvSig *s, const AdvConvTask *t, bool by_image)
{
    const AdvView *x = adv_conv_view(s, t, ADV_DNN_IMAGE), *w = adv_conv_view(s, t, ADV_DNN_WEIGHTS);
    int64_t lanes = x->dtype == ADV_BF16 ? 8 : 4;
    if (t->kind == ADV_DNN_BY_WEIGHTS || t->stride > (by_image ? 1 : 2) || (by_image && adv_conv_has_tail(t))) return false;
    if (t->in[ADV_DNN_SCALE] >= 0 || w->dim[2] != w->dim[3] || (w->dim[2] != 3 && w->dim[2] != 5)) return false;
    return x->dim[1] <= ADV_NARROW_CHANNELS && w->dim[0] % lanes == 0;
}

bool adv_conv_narrow_init(AdvConvNarrow *a, const AdvSig *s, const AdvConvTask *t, bool steps)
{
    const AdvView *x = adv_conv_view(s, t, ADV_DNN_IMAGE), *w = adv_conv_view(s, t, ADV_DNN_WEIGHTS),
                  *y = adv_conv_view(s, t, ADV_DNN_OUTPUT);
    bool by_image = t->kind == ADV_DNN_BY_IMAGE;
    char name[48];
    memset(a, 0, sizeof *a);
    if (!has_kernel(s, t, by_image)) return false;
    AdvNarrowForm *f = &a->form;
    f->n = (int)x->dim[0], f->c = (int)x->dim[1], f->h = (int)x->dim[2], f->w = (int)x->dim[3];
    f->o = (int)y->dim[1], f->oh = (int)y->dim[2], f->ow = (int)y->dim[3];
    f->pad = (int)t->pad, f->relu = t->relu;
    int window = (int)w->dim[2], room = f->c == 2 ? 3 : f->c; /* channels that the kernel by image has registers for */
    uint64_t n_taps = (uint64_t)(window * window), groups = (uint64_t)(f->o / (x->dtype == ADV_BF16 ? 8 : 4)), n_floats;
    uint32_t runs, lanes;
    if (by_image) {
        n_floats = n_taps * ((uint64_t)f->o * (room == 3 ? 4 : (uint64_t)room) + ADV_NARROW_GAP);
        snprintf(name, sizeof name, "adv_narrow_%s_%d_%d", steps ? "step" : "by_image", window, room);
    } else {
        n_floats = n_taps * (uint64_t)f->c * ((uint64_t)f->o + ADV_NARROW_GAP);
        snprintf(name, sizeof name, "adv_narrow_forward_%d_%d", window, (int)t->stride);
    }
    if (!adv_cuda_narrow((uint64_t)f->n * (uint64_t)(by_image ? f->h : f->oh), (uint64_t)(by_image ? f->w : f->ow), groups, n_floats, &runs,
                         &lanes, &a->grid))
        return false;
    f->runs = (int)runs, f->lanes = (int)lanes;
    a->by_image = by_image;
    a->fn = adv_cuda_fn_of(adv_cuda_fns_narrow, name, adv_cuda_type(x->dtype));
    return true;
}

const void *adv_conv_step_fn(uint8_t gradient_dtype)
{
    return adv_cuda_fn_of(adv_cuda_fns_narrow, "adv_step", adv_cuda_type(gradient_dtype));
}

AdvStatus adv_conv_narrow_run(AdvCuda *c, const AdvConvNarrow *a, void *const pointer[ADV_DNN_ROLES])
{
    AdvNarrowForm form = a->form;
    void *p[ADV_DNN_ROLES];
    memcpy(p, pointer, sizeof p);
    void *forward[] = {&form, &p[ADV_DNN_IMAGE], &p[ADV_DNN_WEIGHTS], &p[ADV_DNN_OUTPUT], &p[ADV_DNN_BIAS], &p[ADV_DNN_SUM]};
    void *by_image[] = {&form, &p[ADV_DNN_WEIGHTS], &p[ADV_DNN_OUTPUT], &p[ADV_DNN_IMAGE]};
    return adv_cuda_launch(c, a->fn, &a->grid, a->by_image ? by_image : forward);
}
