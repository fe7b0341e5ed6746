/* pool.cu: pooling and its gradients, channels fastest, any strides.
**
** A thread takes V channels: a pack of 16 bytes where channels lie together, else one. Windows are small and overlap little, so what a
** thread reads again lies in the caches. max_pool_grad looks for the largest element of each window that covers its place, as the
** definition does: nothing is kept from the forward pass, and every element is written by one thread, in a fixed order. Where windows
** lie side by side, it takes a window instead, reads it once and writes all its places. Windows of 2x2, which most are, have kernels of
** their own, without loops. Expected limit: memory bandwidth. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/place.cuh"
#include "ops/cuda/pool.h"

/* The place of this thread among those of h x w; false: there is none. */
template <int V> ADV_DEVICE bool pack_place(const AdvPoolForm &f, int h, int w, Place *out)
{
    if (!adv_place(f.n, f.c / V, h, w, out)) return false;
    out->c *= V;
    return true;
}

/* The largest elements of window (i,j) of V channels, and their places in it (row * size + column): the first wins a tie, a NaN wins.
** S: the size, or 0: any. */
template <int S, class T, int V>
ADV_DEVICE void largest(const AdvPoolForm &f, const T *x, const Place &p, int i, int j, AdvPack<T, V> *out_top, int out_best[V])
{
    const int size = S ? S : f.size;
    float top[V];
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) out_best[k] = -1, top[k] = 0;
    ADV_UNROLL(S ? S : 1)
    for (int a = 0; a < size; a++) {
        ADV_UNROLL(S ? S : 1)
        for (int b = 0; b < size; b++) {
            int h = i * f.stride - f.pad + a, w = j * f.stride - f.pad + b;
            if (h < 0 || w < 0 || h >= f.h || w >= f.w) continue;
            AdvPack<T, V> pack = adv_load<V>(x + adv_at4(f.image, p.n, p.c, h, w));
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) {
                float v = adv_wide(pack.v[k]);
                if (out_best[k] >= 0 && !(v > top[k]) && !(v != v && top[k] == top[k])) continue;
                top[k] = v;
                out_best[k] = a * size + b;
            }
        }
    }
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) out_top->v[k] = adv_narrow<T>(top[k]);
}

template <int S, int V, class T> ADV_DEVICE void pool_largest(const AdvPoolForm &f, const T *x, T *y)
{
    Place p;
    AdvPack<T, V> top;
    int best[V];
    if (!pack_place<V>(f, f.oh, f.ow, &p)) return;
    largest<S, T, V>(f, x, p, p.h, p.w, &top, best);
    adv_store<V>(y + adv_at4(f.pooled, p.n, p.c, p.h, p.w), top);
}

template <int S, int V, class T> ADV_DEVICE void pool_mean(const AdvPoolForm &f, const T *x, T *y)
{
    const int size = S ? S : f.size;
    Place p;
    float s[V] = {};
    AdvPack<T, V> r;
    if (!pack_place<V>(f, f.oh, f.ow, &p)) return;
    ADV_UNROLL(S ? S : 1)
    for (int a = 0; a < size; a++) {
        ADV_UNROLL(S ? S : 1)
        for (int b = 0; b < size; b++) {
            int h = p.h * f.stride - f.pad + a, w = p.w * f.stride - f.pad + b;
            if (h < 0 || w < 0 || h >= f.h || w >= f.w) continue;
            AdvPack<T, V> pack = adv_load<V>(x + adv_at4(f.image, p.n, p.c, h, w));
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) s[k] += adv_wide(pack.v[k]);
        }
    }
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) r.v[k] = adv_narrow<T>(s[k] / (float)(size * size));
    adv_store<V>(y + adv_at4(f.pooled, p.n, p.c, p.h, p.w), r);
}

/* First and last window, along one direction, that covers place `at`; there are n of them. */
ADV_DEVICE void windows_over(const AdvPoolForm &f, int at, int n, int *out_first, int *out_last)
{
    int low = at + f.pad - f.size + 1;
    *out_first = low <= 0 ? 0 : (low + f.stride - 1) / f.stride;
    *out_last = (at + f.pad) / f.stride < n - 1 ? (at + f.pad) / f.stride : n - 1;
}

/* A thread a place. is_max: of max_pool, whose image x is; else of avg_pool. */
template <bool is_max, int S, int V, class T> ADV_DEVICE void pool_grad(const AdvPoolForm &f, const T *x, const T *gy, T *gx)
{
    const int size = S ? S : f.size;
    Place p;
    int i0, i1, j0, j1, best[V];
    float s[V] = {};
    AdvPack<T, V> top, r;
    if (!pack_place<V>(f, f.h, f.w, &p)) return;
    windows_over(f, p.h, f.oh, &i0, &i1);
    windows_over(f, p.w, f.ow, &j0, &j1);
    ADV_UNROLL(1)
    for (int a = i0; a <= i1; a++) {
        ADV_UNROLL(1)
        for (int b = j0; b <= j1; b++) {
            int mine = (p.h - (a * f.stride - f.pad)) * size + p.w - (b * f.stride - f.pad);
            AdvPack<T, V> g = adv_load<V>(gy + adv_at4(f.pooled, p.n, p.c, a, b));
            if (is_max) largest<S, T, V>(f, x, p, a, b, &top, best);
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++)
                if (!is_max || best[k] == mine) s[k] += adv_wide(g.v[k]);
        }
    }
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) r.v[k] = adv_narrow<T>(is_max ? s[k] : s[k] / (float)(size * size));
    adv_store<V>(gx + adv_at4(f.result, p.n, p.c, p.h, p.w), r);
}

/* A thread a window, where windows lie side by side and none goes beyond the image; also those that would begin in the image and have
** no result, whose places get 0. */
template <int S, int V, class T> ADV_DEVICE void pool_grad_apart(const AdvPoolForm &f, const T *x, const T *gy, T *gx)
{
    const int size = S ? S : f.size;
    Place p;
    int best[V];
    AdvPack<T, V> top, g = {};
    if (!pack_place<V>(f, (f.h + size - 1) / size, (f.w + size - 1) / size, &p)) return;
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) best[k] = -1;
    if (p.h < f.oh && p.w < f.ow) {
        g = adv_load<V>(gy + adv_at4(f.pooled, p.n, p.c, p.h, p.w));
        largest<S, T, V>(f, x, p, p.h, p.w, &top, best);
    }
    ADV_UNROLL(S ? S : 1)
    for (int a = 0; a < size; a++) {
        ADV_UNROLL(S ? S : 1)
        for (int b = 0; b < size; b++) {
            int h = p.h * size + a, w = p.w * size + b;
            AdvPack<T, V> r;
            if (h >= f.h || w >= f.w) continue;
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) r.v[k] = best[k] == a * size + b ? g.v[k] : adv_narrow<T>(0.0f);
            adv_store<V>(gx + adv_at4(f.result, p.n, p.c, h, w), r);
        }
    }
}

/* way: of any size and strides; packs of channels; packs of channels and windows of 2x2. */
#define POOL_KERNELS(way, t, T, V, S) \
    extern "C" __global__ void max_pool_##way##_##t(AdvPoolForm f, const T *x, T *y) { pool_largest<S, V>(f, x, y); } \
    extern "C" __global__ void avg_pool_##way##_##t(AdvPoolForm f, const T *x, T *y) { pool_mean<S, V>(f, x, y); } \
    extern "C" __global__ void max_pool_grad_##way##_##t(AdvPoolForm f, const T *x, const T *gy, T *gx) \
    { \
        pool_grad<true, S, V>(f, x, gy, gx); \
    } \
    extern "C" __global__ void max_pool_grad_apart_##way##_##t(AdvPoolForm f, const T *x, const T *gy, T *gx) \
    { \
        pool_grad_apart<S, V>(f, x, gy, gx); \
    } \
    extern "C" __global__ void avg_pool_grad_##way##_##t(AdvPoolForm f, const T *gy, T *gx) \
    { \
        pool_grad<false, S, V>(f, (const T *)0, gy, gx); \
    }

POOL_KERNELS(any, f32, float, 1, 0)
POOL_KERNELS(packs, f32, float, 4, 0)
POOL_KERNELS(twos, f32, float, 4, 2)
POOL_KERNELS(any, bf16, AdvBf16, 1, 0)
POOL_KERNELS(packs, bf16, AdvBf16, 8, 0)
POOL_KERNELS(twos, bf16, AdvBf16, 8, 2)

#define POOL_ROWS(way, t) \
    ADV_CUDA_FN(max_pool_##way##_##t) ADV_CUDA_FN(avg_pool_##way##_##t) ADV_CUDA_FN(max_pool_grad_##way##_##t) \
    ADV_CUDA_FN(max_pool_grad_apart_##way##_##t) ADV_CUDA_FN(avg_pool_grad_##way##_##t)

ADV_CUDA_TABLE(adv_cuda_fns_pool)
POOL_ROWS(any, f32)
POOL_ROWS(packs, f32)
POOL_ROWS(twos, f32)
POOL_ROWS(any, bf16)
POOL_ROWS(packs, bf16)
POOL_ROWS(twos, bf16)
ADV_CUDA_END
