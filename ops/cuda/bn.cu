/* bn.cu: batch normalisation by the batch's statistics, and its gradient, both also with relu: two sums a channel, then one pass.
**
** sums: a block takes 32 packs of channels and every gridDim.y-th group of 8 places; its partial sums go to scratch, so that the
**   order of every addition is fixed by shape and grid. Sums are of differences from the channel's first element, in f32 in a thread
**   and in double across blocks: the variance is a difference of two of them.
** finish: a block adds the partials of 32 channels, each row of its threads every 16th of them, and writes what the last pass multiplies
**   with. There are up to four partials a multiprocessor, so one thread a channel would wait for memory a thousand times.
** apply: 16 bytes a thread and operand.
** Where relu let through, a gradient sees from x, by the arithmetic of the forward pass (bn_scale, bn_norm): the same mask, and y need
**   not be read.
** Element (place m, channel c) is at m / inner * outer_step + m % inner * inner_step + c * channel_step; packs only where channel_step is
** 1. Expected limit: memory bandwidth, x (and gy) read twice, a residual once and y (gx) written once. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/bn.h"

/* Dividing is what a pass would wait for, so it is left out where places lie one behind the other, and done in 32 bits below 2^32. */
ADV_DEVICE long long at_place(const AdvBnForm &f, long long m)
{
    return f.is_flat ? m * f.inner_step : m / f.inner * f.outer_step + m % f.inner * f.inner_step;
}

ADV_DEVICE float bn_rstd(const AdvBnForm &f, float var) { return 1.0f / sqrtf(var + f.eps); }

/* What (x - mean) is multiplied with: from the variance as it is stored, so the same bits wherever it is needed. */
ADV_DEVICE float bn_scale(const AdvBnForm &f, float w, float var) { return w * bn_rstd(f, var); }

ADV_DEVICE float bn_norm(float x, float mean, float scale, float shift) { return fmaf(x - mean, scale, shift); }

/* Adds the two sums of each of V channels over the block's 8 rows of threads and writes them to the scratch. */
template <int V> ADV_DEVICE void put_partials(const AdvBnForm &f, int c, const float *s, const float *q, float *partial)
{
    __shared__ float all[8][2][32 * V];
    for (int k = 0; k < V; k++) {
        all[threadIdx.y][0][threadIdx.x * V + k] = s[k];
        all[threadIdx.y][1][threadIdx.x * V + k] = q[k];
    }
    __syncthreads();
    if (threadIdx.y < 2 && c < f.channels)
        for (int k = 0; k < V; k++) {
            float sum = 0;
            for (int r = 0; r < 8; r++) sum += all[r][threadIdx.y][threadIdx.x * V + k];
            partial[((long long)blockIdx.y * 2 + threadIdx.y) * f.channels + c + k] = sum;
        }
}

template <class T, int V> ADV_DEVICE void stats_sums(const AdvBnForm &f, const T *x, float *partial)
{
    int c = (int)(blockIdx.x * 32 + threadIdx.x) * V;
    float s[V], q[V], first[V];
    for (int k = 0; k < V; k++) s[k] = q[k] = 0, first[k] = c + k < f.channels ? adv_wide(x[(c + k) * f.channel_step]) : 0.0f;
    if (c < f.channels)
        for (long long m = (long long)blockIdx.y * 8 + threadIdx.y; m < f.places; m += (long long)gridDim.y * 8) {
            AdvPack<T, V> v = adv_load<V>(x + at_place(f, m) + c * f.channel_step);
            for (int k = 0; k < V; k++) {
                float d = adv_wide(v.v[k]) - first[k];
                s[k] += d;
                q[k] = fmaf(d, d, q[k]);
            }
        }
    put_partials<V>(f, c, s, q, partial);
}

/* The sums of gy and of gy * (x - mean) / sqrt(var + eps), gy being 0 where relu let nothing through (b: NULL without relu). */
template <class T, int V>
ADV_DEVICE void grad_sums(const AdvBnForm &f, const T *x, const T *gy, const float *w, const float *b, const float *mean, const float *var,
                          float *partial)
{
    int c = (int)(blockIdx.x * 32 + threadIdx.x) * V;
    float s[V], q[V], mid[V], r[V], scale[V], shift[V];
    for (int k = 0; k < V; k++) {
        s[k] = q[k] = mid[k] = r[k] = scale[k] = shift[k] = 0;
        if (c + k >= f.channels) continue;
        mid[k] = mean[c + k];
        r[k] = bn_rstd(f, var[c + k]);
        if (!b) continue;
        scale[k] = bn_scale(f, w[c + k], var[c + k]);
        shift[k] = b[c + k];
    }
    if (c < f.channels)
        for (long long m = (long long)blockIdx.y * 8 + threadIdx.y; m < f.places; m += (long long)gridDim.y * 8) {
            long long at = at_place(f, m) + c * f.channel_step;
            AdvPack<T, V> v = adv_load<V>(x + at), g = adv_load<V>(gy + at);
            for (int k = 0; k < V; k++) {
                float wide = adv_wide(v.v[k]), d = adv_wide(g.v[k]);
                if (b && !(bn_norm(wide, mid[k], scale[k], shift[k]) > 0)) d = 0;
                s[k] += d;
                q[k] = fmaf(d, (wide - mid[k]) * r[k], q[k]);
            }
        }
    put_partials<V>(f, c, s, q, partial);
}

/* The sums of channel c, in a fixed order. False: another thread has them, or there is no such channel. */
ADV_DEVICE bool add_partials(const AdvBnForm &f, const float *partial, int c, double *s, double *q)
{
    __shared__ double all[2][ADV_BN_ROWS][32];
    *s = *q = 0;
    ADV_UNROLL(4)
    for (int b = (int)threadIdx.y; b < f.n_partials && c < f.channels; b += ADV_BN_ROWS) {
        *s += (double)partial[(long long)b * 2 * f.channels + c];
        *q += (double)partial[((long long)b * 2 + 1) * f.channels + c];
    }
    all[0][threadIdx.y][threadIdx.x] = *s;
    all[1][threadIdx.y][threadIdx.x] = *q;
    __syncthreads();
    if (threadIdx.y > 0 || c >= f.channels) return false;
    for (int r = 1; r < ADV_BN_ROWS; r++) {
        *s += all[0][r][threadIdx.x];
        *q += all[1][r][threadIdx.x];
    }
    return true;
}

/* The channel of a thread of `finish`. */
ADV_DEVICE int channel_of(void) { return (int)(blockIdx.x * 32 + threadIdx.x); }

/* factor[3][C]: what apply subtracts, multiplies with and adds. */
template <class T>
ADV_DEVICE void stats_finish(const AdvBnForm &f, const T *x, const float *partial, const float *w, const float *b, float *mean, float *var,
                             float *factor)
{
    int c = channel_of();
    double s, q;
    if (!add_partials(f, partial, c, &s, &q)) return;
    s /= (double)f.places;
    q = q / (double)f.places - s * s;
    if (q < 0) q = 0;
    s += (double)adv_wide(x[c * f.channel_step]);
    mean[c] = factor[c] = (float)s;
    var[c] = (float)q;
    factor[f.channels + c] = bn_scale(f, w[c], (float)q);
    factor[2 * f.channels + c] = b[c];
}

/* Pack i of the tensor as (place, first channel). */
template <int V> ADV_DEVICE bool pack_at(const AdvBnForm &f, long long *out_at, int *out_c)
{
    long long i = adv_thread(), packs = f.channels / V;
    if (i >= f.places * packs) return false;
    long long m = i <= 0xffffffffLL ? (long long)((unsigned)i / (unsigned)packs) : i / packs;
    *out_c = (int)(i - m * packs) * V;
    *out_at = at_place(f, m) + *out_c * f.channel_step;
    return true;
}

/* skip: NULL if nothing is added; y may be skip. */
template <class T, int V> ADV_DEVICE void stats_apply(const AdvBnForm &f, const T *x, const T *skip, T *y, const float *factor)
{
    long long at;
    int c;
    if (!pack_at<V>(f, &at, &c)) return;
    AdvPack<T, V> v = adv_load<V>(x + at), r = v;
    if (skip) r = adv_load<V>(skip + at);
    for (int k = 0; k < V; k++) {
        float sum = bn_norm(adv_wide(v.v[k]), factor[c + k], factor[f.channels + c + k], factor[2 * f.channels + c + k]);
        if (skip) sum += adv_wide(r.v[k]);
        v.v[k] = adv_narrow<T>(f.is_relu && sum <= 0 ? 0.0f : sum);
    }
    adv_store<V>(y + at, v);
}

template <class T, int V> ADV_DEVICE void grad_apply(const AdvBnForm &f, const T *x, const T *gy, T *gx, const float *factor)
{
    long long at;
    int c;
    if (!pack_at<V>(f, &at, &c)) return;
    AdvPack<T, V> v = adv_load<V>(x + at), g = adv_load<V>(gy + at);
    for (int k = 0; k < V; k++) {
        float wide = adv_wide(v.v[k]), mean = factor[c + k], scale = factor[f.channels + c + k], gy = adv_wide(g.v[k]);
        float rest = fmaf(wide - mean, factor[3 * f.channels + c + k], factor[2 * f.channels + c + k]);
        if (f.is_relu && !(bn_norm(wide, mean, scale, factor[4 * f.channels + c + k]) > 0)) gy = 0;
        v.v[k] = adv_narrow<T>(scale * (gy - rest));
    }
    adv_store<V>(gx + at, v);
}

/* ---- by type: of the tensors, and packs of them; vectors are f32 --------------------------------------------------------- */

#define BN_KERNELS(t, T, V) \
    extern "C" __global__ void __launch_bounds__(256) adv_bn_sums_##t(AdvBnForm f, const T *x, float *partial) \
    { \
        stats_sums<T, V>(f, x, partial); \
    } \
    extern "C" __global__ void __launch_bounds__(256) adv_bn_grad_sums_##t(AdvBnForm f, const T *x, const T *gy, const float *w, \
                                                                           const float *b, const float *mean, const float *var, \
                                                                           float *partial) \
    { \
        grad_sums<T, V>(f, x, gy, w, b, mean, var, partial); \
    } \
    extern "C" __global__ void adv_bn_finish_##t(AdvBnForm f, const T *x, const float *partial, const float *w, const float *b, \
                                                 float *mean, float *var, float *factor) \
    { \
        stats_finish(f, x, partial, w, b, mean, var, factor); \
    } \
    extern "C" __global__ void adv_bn_apply_##t(AdvBnForm f, const T *x, const T *skip, T *y, const float *factor) \
    { \
        stats_apply<T, V>(f, x, skip, y, factor); \
    } \
    extern "C" __global__ void adv_bn_grad_apply_##t(AdvBnForm f, const T *x, const T *gy, T *gx, const float *factor) \
    { \
        grad_apply<T, V>(f, x, gy, gx, factor); \
    }

BN_KERNELS(f32, float, 4)
BN_KERNELS(bf16, AdvBf16, 8)
BN_KERNELS(f32_1, float, 1)
BN_KERNELS(bf16_1, AdvBf16, 1)

/* factor[3][C] by given statistics, as stats_finish makes it. */
extern "C" __global__ void adv_bn_given(AdvBnForm f, const float *w, const float *b, const float *mean, const float *var, float *factor)
{
    int c = (int)adv_thread();
    if (c >= f.channels) return;
    factor[c] = mean[c];
    factor[f.channels + c] = bn_scale(f, w[c], var[c]);
    factor[2 * f.channels + c] = b[c];
}

/* factor[5][C]: mean, scale, mean of gy, what multiplies (x - mean), and for relu shift. */
extern "C" __global__ void adv_bn_grad_finish(AdvBnForm f, const float *partial, const float *w, const float *b, const float *mean,
                                              const float *var, float *gw, float *gb, float *factor)
{
    int c = channel_of();
    double s, q, r;
    if (!add_partials(f, partial, c, &s, &q)) return;
    r = 1.0 / sqrt((double)var[c] + (double)f.eps);
    gb[c] = (float)s;
    gw[c] = (float)q;
    factor[c] = mean[c];
    factor[f.channels + c] = bn_scale(f, w[c], var[c]);
    factor[2 * f.channels + c] = (float)(s / (double)f.places);
    factor[3 * f.channels + c] = (float)(q * r / (double)f.places);
    if (b) factor[4 * f.channels + c] = b[c];
}

#define BN_ROWS(t) \
    ADV_CUDA_FN(adv_bn_sums_##t) ADV_CUDA_FN(adv_bn_grad_sums_##t) ADV_CUDA_FN(adv_bn_finish_##t) ADV_CUDA_FN(adv_bn_apply_##t) \
    ADV_CUDA_FN(adv_bn_grad_apply_##t)

ADV_CUDA_TABLE(adv_cuda_fns_bn)
BN_ROWS(f32)
BN_ROWS(bf16)
BN_ROWS(f32_1)
BN_ROWS(bf16_1)
ADV_CUDA_FN(adv_bn_given)
ADV_CUDA_FN(adv_bn_grad_finish)
ADV_CUDA_END
