/* pool.cu: pooling and its gradients, a thread an element of the result, channels fastest, any strides.
**
** Windows are small and overlap little, so what a thread reads again lies in the caches. max_pool_grad looks for the largest element
** of each window that covers its place, as the definition does: nothing is kept from the forward pass, and every element is written
** by one thread, in a fixed order. Expected limit: memory bandwidth. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/place.cuh"
#include "ops/cuda/pool.h"

/* Place (row * w + column) of the largest element of window (i,j): the first wins a tie, a NaN wins. */
template <class T> ADV_DEVICE int largest(const AdvPoolForm &f, const T *x, const Place &p, int i, int j, float *out_top)
{
    int best = -1;
    float top = 0;
    for (int a = 0; a < f.size; a++)
        for (int b = 0; b < f.size; b++) {
            int h = i * f.stride - f.pad + a, w = j * f.stride - f.pad + b;
            if (h < 0 || w < 0 || h >= f.h || w >= f.w) continue;
            float v = adv_wide(x[adv_at4(f.image, p.n, p.c, h, w)]);
            if (best >= 0 && !(v > top) && !(v != v && top == top)) continue;
            top = v;
            best = h * f.w + w;
        }
    *out_top = top;
    return best;
}

template <class T> ADV_DEVICE void pool_largest(const AdvPoolForm &f, const T *x, T *y)
{
    Place p;
    float top;
    if (!adv_place(f.n, f.c, f.oh, f.ow, &p)) return;
    largest(f, x, p, p.h, p.w, &top);
    y[adv_at4(f.pooled, p.n, p.c, p.h, p.w)] = adv_narrow<T>(top);
}

template <class T> ADV_DEVICE void pool_mean(const AdvPoolForm &f, const T *x, T *y)
{
    Place p;
    float s = 0;
    if (!adv_place(f.n, f.c, f.oh, f.ow, &p)) return;
    for (int a = 0; a < f.size; a++)
        for (int b = 0; b < f.size; b++) {
            int h = p.h * f.stride - f.pad + a, w = p.w * f.stride - f.pad + b;
            if (h >= 0 && w >= 0 && h < f.h && w < f.w) s += adv_wide(x[adv_at4(f.image, p.n, p.c, h, w)]);
        }
    y[adv_at4(f.pooled, p.n, p.c, p.h, p.w)] = adv_narrow<T>(s / (float)(f.size * f.size));
}

/* First and last window, along one direction, that covers place `at`; there are n of them. */
ADV_DEVICE void windows_over(const AdvPoolForm &f, int at, int n, int *out_first, int *out_last)
{
    int low = at + f.pad - f.size + 1;
    *out_first = low <= 0 ? 0 : (low + f.stride - 1) / f.stride;
    *out_last = (at + f.pad) / f.stride < n - 1 ? (at + f.pad) / f.stride : n - 1;
}

/* is_max: of max_pool, whose image x is; else of avg_pool. */
template <class T, bool is_max> ADV_DEVICE void pool_grad(const AdvPoolForm &f, const T *x, const T *gy, T *gx)
{
    Place p;
    int i0, i1, j0, j1;
    float s = 0, top;
    if (!adv_place(f.n, f.c, f.h, f.w, &p)) return;
    windows_over(f, p.h, f.oh, &i0, &i1);
    windows_over(f, p.w, f.ow, &j0, &j1);
    for (int a = i0; a <= i1; a++)
        for (int b = j0; b <= j1; b++)
            if (!is_max || largest(f, x, p, a, b, &top) == p.h * f.w + p.w) s += adv_wide(gy[adv_at4(f.pooled, p.n, p.c, a, b)]);
    gx[adv_at4(f.result, p.n, p.c, p.h, p.w)] = adv_narrow<T>(is_max ? s : s / (float)(f.size * f.size));
}

#define POOL_KERNELS(t, T) \
    extern "C" __global__ void max_pool_##t(AdvPoolForm f, const T *x, T *y) { pool_largest(f, x, y); } \
    extern "C" __global__ void avg_pool_##t(AdvPoolForm f, const T *x, T *y) { pool_mean(f, x, y); } \
    extern "C" __global__ void max_pool_grad_##t(AdvPoolForm f, const T *x, const T *gy, T *gx) { pool_grad<T, true>(f, x, gy, gx); } \
    extern "C" __global__ void avg_pool_grad_##t(AdvPoolForm f, const T *gy, T *gx) { pool_grad<T, false>(f, (const T *)0, gy, gx); }

POOL_KERNELS(f32, float)
POOL_KERNELS(bf16, AdvBf16)

#define POOL_ROWS(t) \
    ADV_CUDA_FN(max_pool_##t) ADV_CUDA_FN(avg_pool_##t) ADV_CUDA_FN(max_pool_grad_##t) ADV_CUDA_FN(avg_pool_grad_##t)

ADV_CUDA_TABLE(adv_cuda_fns_pool)
POOL_ROWS(f32)
POOL_ROWS(bf16)
ADV_CUDA_END
