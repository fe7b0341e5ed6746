/* conv_end.cuh: what is done to the result of a convolution (AdvConvEnd), V channels of a place at a time, all tensors lying alike. */
#ifndef ADV_OPS_CUDA_CONV_END_CUH
#define ADV_OPS_CUDA_CONV_END_CUH

#include "ops/cuda/conv.h"
#include "ops/cuda/device.cuh"

/* d: the convolution's own; `at` from the tensors' beginning, c from a place's. */
template <class T, int V>
ADV_DEVICE void adv_conv_end(const AdvConvEnd &e, bool relu, bool sum_last, T *to, long long at, long long c, const float (&d)[V])
{
    AdvPack<T, V> bias, sum, mask, scale, shift, kept, out;
    if (e.bias) bias = adv_load<V>((const T *)e.bias + c);
    if (e.sum) sum = adv_load<V>((const T *)e.sum + at);
    if (e.mask) mask = adv_load<V>((const T *)e.mask + at);
    if (e.scale) scale = adv_load<V>((const T *)e.scale + c);
    if (e.shift) shift = adv_load<V>((const T *)e.shift + c);
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) {
        float s = d[k];
        if (e.bias) s += adv_wide(bias.v[k]);
        if (e.sum && !sum_last) s += adv_wide(sum.v[k]);
        kept.v[k] = adv_narrow<T>(s);
        if (e.mask && !(adv_wide(mask.v[k]) > 0)) s = 0;
        if (e.scale) s *= adv_wide(scale.v[k]);
        if (e.shift) s += adv_wide(shift.v[k]);
        if (relu && s < 0) s = 0;
        if (e.sum && sum_last) s += adv_wide(sum.v[k]);
        out.v[k] = adv_narrow<T>(s);
    }
    if (e.kept) adv_store<V>((T *)e.kept + at, kept);
    adv_store<V>(to + at, out);
}

#endif
