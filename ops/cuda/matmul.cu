/* matmul.cu: products of matrices that a library gains nothing on: a warp an element of the result, or a thread where the inner
** dimension is shorter than a warp.
**
** The lanes of a warp go along the inner dimension, so rows of both operands are read in order where they lie so (a linear layer's
** forward pass and its gradient by the weights); the sum of the lanes is added in a fixed order. Expected limit: the load
** units; for a head of ten classes it is the launch. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

template <class T>
ADV_DEVICE void product(const T *a, const T *b, T *y, long long n_rows, long long n_cols, long long inner, long long a_row, long long a_in,
                        long long b_in, long long b_col, long long y_row, long long y_col)
{
    long long at = adv_thread() / 32, row = at / n_cols, col = at % n_cols;
    float s = 0;
    if (row >= n_rows) return; /* a warp as a whole */
    for (long long k = threadIdx.x % 32; k < inner; k += 32)
        s = fmaf(adv_wide(a[row * a_row + k * a_in]), adv_wide(b[k * b_in + col * b_col]), s);
    s = adv_warp_reduce<AdvSum>(s);
    if (threadIdx.x % 32 == 0) y[row * y_row + col * y_col] = adv_narrow<T>(s);
}

/* Neighbouring threads take neighbouring columns. */
template <class T>
ADV_DEVICE void product_thin(const T *a, const T *b, T *y, long long n_rows, long long n_cols, long long inner, long long a_row,
                             long long a_in, long long b_in, long long b_col, long long y_row, long long y_col)
{
    long long at = adv_thread(), row = at <= 0xffffffffLL && n_cols <= 0xffffffffLL ? (unsigned)at / (unsigned)n_cols : at / n_cols,
              col = at - row * n_cols;
    float s = 0;
    if (row >= n_rows) return;
    ADV_UNROLL(8)
    for (int k = 0; k < (int)inner; k++) s = fmaf(adv_wide(a[row * a_row + k * a_in]), adv_wide(b[k * b_in + col * b_col]), s);
    y[row * y_row + col * y_col] = adv_narrow<T>(s);
}

#define MATMUL_KERNEL(t, T) \
    extern "C" __global__ void adv_matmul_thin_##t(const T *a, const T *b, T *y, long long n_rows, long long n_cols, long long inner, \
                                                   long long a_row, long long a_in, long long b_in, long long b_col, long long y_row, \
                                                   long long y_col) \
    { \
        product_thin(a, b, y, n_rows, n_cols, inner, a_row, a_in, b_in, b_col, y_row, y_col); \
    } \
    extern "C" __global__ void adv_matmul_##t(const T *a, const T *b, T *y, long long n_rows, long long n_cols, long long inner, \
                                              long long a_row, long long a_in, long long b_in, long long b_col, long long y_row, \
                                              long long y_col) \
    { \
        product(a, b, y, n_rows, n_cols, inner, a_row, a_in, b_in, b_col, y_row, y_col); \
    }

MATMUL_KERNEL(f32, float)
MATMUL_KERNEL(bf16, AdvBf16)

ADV_CUDA_TABLE(adv_cuda_fns_matmul)
ADV_CUDA_FN(adv_matmul_f32) ADV_CUDA_FN(adv_matmul_thin_f32)
ADV_CUDA_FN(adv_matmul_bf16) ADV_CUDA_FN(adv_matmul_thin_bf16)
ADV_CUDA_END
