/* head.cu: the last layer of a network behind its global mean, and its gradient by the image.
**
** pool_linear: a block a sample. Each thread adds up a pack of channels over the places of its group; the groups' sums are added in
**   order, in shared memory; then a warp a class multiplies and adds over channels. Weights come from the second-level cache, once a
**   sample, so they should be few (the compiler sees to that).
** pool_linear_gx: one or several blocks a sample, each of which multiplies back (classes dealt to groups as above) and then goes over
**   its part of the image: 16 bytes a thread read and written.
** Sums are in f32, in an order that sizes alone decide. Expected limit: reading the image (forwards) and reading and writing it
** (backwards); for small ones the launch. Nothing here has been measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/head.h"
#include "ops/cuda/place.cuh"

/* The groups' sums of each channel into those of the first, times factor. */
ADV_DEVICE void add_groups(const AdvHeadForm &f, float *sums, float factor)
{
    __syncthreads();
    for (int c = (int)threadIdx.x; c < f.channels; c += (int)blockDim.x) {
        float s = sums[c];
        for (int g = 1; g < f.groups; g++) s += sums[g * f.channels + c];
        sums[c] = s * factor;
    }
    __syncthreads();
}

template <class T, int V> ADV_DEVICE void head_forward(const AdvHeadForm &f, const T *x, const T *w, const float *b, float *y)
{
    ADV_DYNAMIC_SHARED(float, sums); /* [groups][channels] */
    int packs = f.channels / V, places = f.h * f.w, lane = (int)threadIdx.x % 32;
    for (int i = (int)threadIdx.x; i < packs * f.groups; i += ADV_HEAD_POOL) {
        int c = i % packs * V, g = i / packs;
        AdvPack<float, V> s = {};
        ADV_UNROLL(4)
        for (int p = g; p < places; p += f.groups) {
            AdvPack<T, V> v = adv_load<V>(x + adv_at4(f.image, blockIdx.x, c, p / f.w, p % f.w));
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) s.v[k] += adv_wide(v.v[k]);
        }
        adv_store<V>(sums + g * f.channels + c, s);
    }
    add_groups(f, sums, 1.0f / (float)places);
    for (int j = (int)threadIdx.x / 32; j < f.classes; j += ADV_HEAD_POOL / 32) {
        float s = 0;
        for (int c = lane * V; c < f.channels; c += 32 * V) {
            AdvPack<T, V> v = adv_load<V>(w + (long long)j * f.channels + c);
            AdvPack<float, V> mean = adv_load<V>(sums + c);
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) s = fmaf(mean.v[k], adv_wide(v.v[k]), s);
        }
        s = adv_warp_reduce<AdvSum>(s);
        if (lane == 0) y[(long long)blockIdx.x * f.classes + j] = b ? s + b[j] : s;
    }
}

template <class T, int V>
ADV_DEVICE void head_by_image(const AdvHeadForm &f, const void *gy, const T *w, const T *image, const T *scale, T *gx)
{
    ADV_DYNAMIC_SHARED(float, sums); /* [groups][channels] */
    int packs = f.channels / V, n = (int)(blockIdx.x / (unsigned)f.parts), part = (int)(blockIdx.x % (unsigned)f.parts);
    long long row = (long long)n * f.classes;
    for (int i = (int)threadIdx.x; i < packs * f.groups; i += ADV_HEAD_BACK) {
        int c = i % packs * V, g = i / packs;
        AdvPack<float, V> s = {};
        ADV_UNROLL(4)
        for (int j = g; j < f.classes; j += f.groups) {
            float by = f.gy_is_f32 ? ((const float *)gy)[row + j] : adv_wide(((const T *)gy)[row + j]);
            AdvPack<T, V> v = adv_load<V>(w + (long long)j * f.channels + c);
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) s.v[k] = fmaf(by, adv_wide(v.v[k]), s.v[k]);
        }
        adv_store<V>(sums + g * f.channels + c, s);
    }
    add_groups(f, sums, f.factor);
    ADV_UNROLL(4)
    for (int i = part * ADV_HEAD_BACK + (int)threadIdx.x; i < packs * f.h * f.w; i += f.parts * ADV_HEAD_BACK) {
        int c = i % packs * V, p = i / packs;
        AdvPack<T, V> v = adv_load<V>(image + adv_at4(f.image, n, c, p / f.w, p % f.w)), s = {};
        AdvPack<float, V> by = adv_load<V>(sums + c);
        if (scale) s = adv_load<V>(scale + c);
        ADV_UNROLL(V)
        for (int k = 0; k < V; k++) {
            float g = adv_wide(v.v[k]) > 0 ? by.v[k] : 0.0f;
            v.v[k] = adv_narrow<T>(scale ? g * adv_wide(s.v[k]) : g);
        }
        adv_store<V>(gx + adv_at4(f.result, n, c, p / f.w, p % f.w), v);
    }
}

#define HEAD_KERNELS(t, T, V) \
    extern "C" __global__ void __launch_bounds__(ADV_HEAD_POOL) \
        pool_linear_##t(AdvHeadForm f, const T *x, const T *w, const float *b, float *y) \
    { \
        head_forward<T, V>(f, x, w, b, y); \
    } \
    extern "C" __global__ void __launch_bounds__(ADV_HEAD_BACK) \
        pool_linear_gx_##t(AdvHeadForm f, const void *gy, const T *w, const T *image, const T *s, T *gx) \
    { \
        head_by_image<T, V>(f, gy, w, image, s, gx); \
    }

HEAD_KERNELS(f32, float, 4)
HEAD_KERNELS(bf16, AdvBf16, 8)
HEAD_KERNELS(1_f32, float, 1)
HEAD_KERNELS(1_bf16, AdvBf16, 1)

#define HEAD_ROWS(t) ADV_CUDA_FN(pool_linear_##t) ADV_CUDA_FN(pool_linear_gx_##t)

ADV_CUDA_TABLE(adv_cuda_fns_head)
HEAD_ROWS(f32)
HEAD_ROWS(bf16)
HEAD_ROWS(1_f32)
HEAD_ROWS(1_bf16)
ADV_CUDA_END
