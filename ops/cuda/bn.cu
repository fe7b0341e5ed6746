/* bn.cu: batch normalisation by the batch's statistics, and its gradient, both also with relu: two sums a channel, then one pass.
**
** A thread has a pack of channels and goes over places: a block is up to 64 packs wide and has as many rows as fit into 256 threads,
** so that few channels leave no thread idle, and what the threads of a warp read lies together. The blocks of a pass all run at once
** and deal the places among them. A thread loads some places before it computes with the first of them: memory is waited for once a round.
** sums: a block's partial sums go to scratch, so that the order of every addition is fixed by shape and grid. Sums are of differences
**   from the channel's first element, in f32 within a block and in double across blocks: the variance is a difference of two of them.
** finish: a block adds the partials of 8 channels, a row of its threads every 128th of them, and writes what the last pass multiplies
**   with. There are up to four partials a multiprocessor, so one thread a channel would wait for memory a hundred times.
** apply: from the last place to the first, as what sums has read last may still be in the second-level cache.
** Where relu let through, a gradient sees from x, by the arithmetic of the forward pass (bn_scale, bn_norm): the same mask, and y need
**   not be read.
** Element (place m, channel c) is at m / inner * outer_step + m % inner * inner_step + c * channel_step; packs only where channel_step is
** 1. Expected limit: memory bandwidth, x (and gy) read twice, a residual once and y (gx) written once. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/bn.h"

/* Dividing is what a pass would wait for: packs lie one behind the other, as other places may, and the rest fits into 32 bits. */
template <int V> ADV_DEVICE long long at_place(const AdvBnForm &f, long long m)
{
    if (V > 1 || f.is_flat) return m * f.inner_step;
    long long outer = f.places <= 0xffffffffLL ? (long long)((unsigned)m / (unsigned)f.inner) : m / f.inner;
    return outer * f.outer_step + (m - outer * f.inner) * f.inner_step;
}

/* This thread's first channel, its first place, and how far the next is from that. */
template <int V> ADV_DEVICE int first_channel(void) { return (int)(blockIdx.x * blockDim.x + threadIdx.x) * V; }
ADV_DEVICE long long first_place(void) { return (long long)blockIdx.y * blockDim.y + threadIdx.y; }
ADV_DEVICE long long place_step(void) { return (long long)gridDim.y * blockDim.y; }

ADV_DEVICE int thread_of_block(void) { return (int)(threadIdx.y * blockDim.x + threadIdx.x); }

ADV_DEVICE float bn_rstd(const AdvBnForm &f, float var) { return 1.0f / sqrtf(var + f.eps); }

/* What (x - mean) is multiplied with: from the variance as it is stored, so the same bits wherever it is needed. */
ADV_DEVICE float bn_scale(const AdvBnForm &f, float w, float var) { return w * bn_rstd(f, var); }

ADV_DEVICE float bn_norm(float x, float mean, float scale, float shift) { return fmaf(x - mean, scale, shift); }

/* ---- sums ------------------------------------------------------------------------------------------------------------- */

/* Adds, for each column of the block's threads, what the rows have put to all[j][thread_of_block()]: the first row finds it there. */
template <class W, int N, int M> ADV_DEVICE void add_rows(W (&all)[N][M])
{
    int t = thread_of_block(), half;
    for (int n = (int)blockDim.y; n > 1; n = half) {
        half = (n + 1) / 2;
        __syncthreads();
        if ((int)threadIdx.y + half >= n) continue;
        ADV_UNROLL(N)
        for (int j = 0; j < N; j++) all[j][t] += all[j][t + half * (int)blockDim.x];
    }
}

/* Adds the two sums of each of V channels over the block and writes them to the scratch. */
template <int V>
ADV_DEVICE void put_partials(const AdvBnForm &f, int c, const float *s, const float *q, float (&all)[2 * V][ADV_BN_BLOCK], float *partial)
{
    AdvPack<float, V> sum, square;
    int t = thread_of_block();
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) all[k][t] = s[k], all[V + k][t] = q[k];
    add_rows(all);
    if (threadIdx.y > 0 || c >= f.channels) return;
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) sum.v[k] = all[k][t], square.v[k] = all[V + k][t];
    partial += (long long)blockIdx.y * 2 * f.channels + c;
    adv_store<V>(partial, sum);
    adv_store<V>(partial + f.channels, square);
}

template <class T, int V> ADV_DEVICE void stats_sums(const AdvBnForm &f, const T *x, float *partial)
{
    __shared__ float all[2 * V][ADV_BN_BLOCK];
    constexpr int U = 4; /* places a round */
    int c = first_channel<V>();
    long long step = place_step();
    float s[V], q[V];
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) s[k] = q[k] = 0;
    if (c < f.channels) {
        x += c * f.channel_step;
        AdvPack<T, V> first = adv_load<V>(x), v[U];
        for (long long m = first_place(); m < f.places; m += U * step) {
            ADV_UNROLL(U)
            for (int u = 0; u < U; u++) v[u] = adv_load<V>(x + at_place<V>(f, m + u * step < f.places ? m + u * step : 0)); /* adds 0 */
            ADV_UNROLL(U)
            for (int u = 0; u < U; u++) {
                ADV_UNROLL(V)
                for (int k = 0; k < V; k++) {
                    float d = adv_wide(v[u].v[k]) - adv_wide(first.v[k]);
                    s[k] += d;
                    q[k] = fmaf(d, d, q[k]);
                }
            }
        }
    }
    put_partials<V>(f, c, s, q, all, partial);
}

/* What the forward pass multiplied this thread's channels with. Dividing takes long, so each thread does it for some of the block's. */
template <int V> ADV_DEVICE AdvPack<float, V> scales_of(const AdvBnForm &f, const float *w, const float *var, float *room)
{
    AdvPack<float, V> scale;
    int n = (int)blockDim.x * V, begin = (int)blockIdx.x * n;
    for (int i = thread_of_block(); i < n && begin + i < f.channels; i += (int)(blockDim.x * blockDim.y))
        room[i] = bn_scale(f, w[begin + i], var[begin + i]);
    __syncthreads();
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) scale.v[k] = room[(int)threadIdx.x * V + k];
    __syncthreads();
    return scale;
}

/* The sums of gy and of gy * (x - mean), gy being 0 where relu let nothing through (b: NULL without relu). */
template <class T, int V>
ADV_DEVICE void grad_sums(const AdvBnForm &f, const T *x, const T *gy, const float *w, const float *b, const float *mean, const float *var,
                          float *partial)
{
    __shared__ float all[2 * V][ADV_BN_BLOCK];
    constexpr int U = 2; /* places a round */
    int c = first_channel<V>();
    long long step = place_step(), from = c * f.channel_step;
    AdvPack<float, V> scale = {};
    float s[V], q[V], mid[V], shift[V];
    if (b) scale = scales_of<V>(f, w, var, (float *)all);
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) {
        s[k] = q[k] = 0;
        mid[k] = c < f.channels ? mean[c + k] : 0.0f;
        shift[k] = b && c < f.channels ? b[c + k] : 0.0f;
    }
    for (long long m = c < f.channels ? first_place() : f.places; m < f.places; m += U * step) {
        AdvPack<T, V> v[U], g[U];
        ADV_UNROLL(U)
        for (int u = 0; u < U; u++) {
            long long at = from + at_place<V>(f, m + u * step < f.places ? m + u * step : m);
            v[u] = adv_load<V>(x + at), g[u] = adv_load<V>(gy + at);
        }
        ADV_UNROLL(U)
        for (int u = 0; u < U; u++) {
            bool is_place = m + u * step < f.places;
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) {
                float wide = adv_wide(v[u].v[k]), d = adv_wide(g[u].v[k]);
                if (!is_place || (b && !(bn_norm(wide, mid[k], scale.v[k], shift[k]) > 0))) d = 0;
                s[k] += d;
                q[k] = fmaf(d, wide - mid[k], q[k]);
            }
        }
    }
    put_partials<V>(f, c, s, q, all, partial);
}

/* ---- finish ----------------------------------------------------------------------------------------------------------- */

/* The sums of channel c, in a fixed order. False: another thread has them, or there is no such channel. */
ADV_DEVICE bool add_partials(const AdvBnForm &f, const float *partial, int c, double *s, double *q)
{
    __shared__ double all[2][ADV_BN_CHANNELS * ADV_BN_ROWS];
    int t = thread_of_block();
    *s = *q = 0;
    ADV_UNROLL(4)
    for (int b = (int)threadIdx.y; b < f.n_partials && c < f.channels; b += (int)blockDim.y) {
        *s += (double)partial[(long long)b * 2 * f.channels + c];
        *q += (double)partial[((long long)b * 2 + 1) * f.channels + c];
    }
    all[0][t] = *s;
    all[1][t] = *q;
    add_rows(all);
    *s = all[0][t];
    *q = all[1][t];
    return threadIdx.y == 0 && c < f.channels;
}

/* factor[3][C]: what apply subtracts, multiplies with and adds. */
template <class T>
ADV_DEVICE void stats_finish(const AdvBnForm &f, const T *x, const float *partial, const float *w, const float *b, float *mean, float *var,
                             float *factor)
{
    int c = first_channel<1>();
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

/* ---- apply ------------------------------------------------------------------------------------------------------------ */

/* y may be skip. */
template <class T, int V, bool HAS_SKIP>
ADV_DEVICE void stats_apply(const AdvBnForm &f, const T *x, const T *skip, T *y, const float *factor)
{
    constexpr int U = HAS_SKIP ? 2 : 4; /* places a round */
    int c = first_channel<V>();
    long long step = place_step(), from = c * f.channel_step;
    if (c >= f.channels) return;
    AdvPack<float, V> mean = adv_load<V>(factor + c), scale = adv_load<V>(factor + f.channels + c),
                      shift = adv_load<V>(factor + 2 * f.channels + c);
    for (long long m = f.places - 1 - first_place(); m >= 0; m -= U * step) {
        AdvPack<T, V> v[U], r[U];
        long long at[U];
        ADV_UNROLL(U)
        for (int u = 0; u < U; u++) {
            at[u] = from + at_place<V>(f, m - u * step >= 0 ? m - u * step : m);
            v[u] = adv_load<V>(x + at[u]);
            if (HAS_SKIP) r[u] = adv_load<V>(skip + at[u]);
        }
        ADV_UNROLL(U)
        for (int u = 0; u < U; u++) {
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) {
                float sum = bn_norm(adv_wide(v[u].v[k]), mean.v[k], scale.v[k], shift.v[k]);
                if (HAS_SKIP) sum += adv_wide(r[u].v[k]);
                v[u].v[k] = adv_narrow<T>(f.is_relu && sum <= 0 ? 0.0f : sum);
            }
            if (m - u * step >= 0) adv_store<V>(y + at[u], v[u]);
        }
    }
}

/* factor[5][C], as grad_finish makes it. */
template <class T, int V> ADV_DEVICE void grad_apply(const AdvBnForm &f, const T *x, const T *gy, T *gx, const float *factor)
{
    constexpr int U = 2; /* places a round */
    int c = first_channel<V>(), n = f.channels;
    long long step = place_step(), from = c * f.channel_step;
    if (c >= n) return;
    factor += c;
    AdvPack<float, V> mean = adv_load<V>(factor), scale = adv_load<V>(factor + n), rest = adv_load<V>(factor + 2 * n),
                      by_x = adv_load<V>(factor + 3 * n), shift = {};
    if (f.is_relu) shift = adv_load<V>(factor + 4 * n);
    for (long long m = f.places - 1 - first_place(); m >= 0; m -= U * step) {
        AdvPack<T, V> v[U], g[U];
        long long at[U];
        ADV_UNROLL(U)
        for (int u = 0; u < U; u++) {
            at[u] = from + at_place<V>(f, m - u * step >= 0 ? m - u * step : m);
            v[u] = adv_load<V>(x + at[u]), g[u] = adv_load<V>(gy + at[u]);
        }
        ADV_UNROLL(U)
        for (int u = 0; u < U; u++) {
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) {
                float wide = adv_wide(v[u].v[k]), d = adv_wide(g[u].v[k]);
                if (f.is_relu && !(bn_norm(wide, mean.v[k], scale.v[k], shift.v[k]) > 0)) d = 0;
                v[u].v[k] = adv_narrow<T>(scale.v[k] * (d - fmaf(wide - mean.v[k], by_x.v[k], rest.v[k])));
            }
            if (m - u * step >= 0) adv_store<V>(gx + at[u], v[u]);
        }
    }
}

/* ---- by type: of the tensors, and packs of them; vectors are f32 --------------------------------------------------------- */

#define BN_KERNELS(t, T, V) \
    extern "C" __global__ void __launch_bounds__(ADV_BN_BLOCK, ADV_BN_SUMS) adv_bn_sums_##t(AdvBnForm f, const T *x, float *partial) \
    { \
        stats_sums<T, V>(f, x, partial); \
    } \
    extern "C" __global__ void __launch_bounds__(ADV_BN_BLOCK, ADV_BN_SUMS) \
        adv_bn_grad_sums_##t(AdvBnForm f, const T *x, const T *gy, const float *w, const float *b, const float *mean, const float *var, \
                             float *partial) \
    { \
        grad_sums<T, V>(f, x, gy, w, b, mean, var, partial); \
    } \
    extern "C" __global__ void __launch_bounds__(ADV_BN_CHANNELS * ADV_BN_ROWS) \
        adv_bn_finish_##t(AdvBnForm f, const T *x, const float *partial, const float *w, const float *b, float *mean, float *var, \
                          float *factor) \
    { \
        stats_finish(f, x, partial, w, b, mean, var, factor); \
    } \
    extern "C" __global__ void __launch_bounds__(ADV_BN_BLOCK, ADV_BN_APPLY) \
        adv_bn_apply_##t(AdvBnForm f, const T *x, const T *skip, T *y, const float *factor) \
    { \
        if (skip) stats_apply<T, V, true>(f, x, skip, y, factor); \
        else stats_apply<T, V, false>(f, x, skip, y, factor); \
    } \
    extern "C" __global__ void __launch_bounds__(ADV_BN_BLOCK, ADV_BN_GRAD_APPLY) \
        adv_bn_grad_apply_##t(AdvBnForm f, const T *x, const T *gy, T *gx, const float *factor) \
    { \
        grad_apply<T, V>(f, x, gy, gx, factor); \
    }

BN_KERNELS(f32, float, 4)
BN_KERNELS(bf16, AdvBf16, 8)
BN_KERNELS(f32_1, float, 1)
BN_KERNELS(bf16_1, AdvBf16, 1)

/* factor[3][C] by given statistics, as stats_finish makes it. */
extern "C" __global__ void __launch_bounds__(ADV_BN_BLOCK)
    adv_bn_given(AdvBnForm f, const float *w, const float *b, const float *mean, const float *var, float *factor)
{
    int c = (int)adv_thread();
    if (c >= f.channels) return;
    factor[c] = mean[c];
    factor[f.channels + c] = bn_scale(f, w[c], var[c]);
    factor[2 * f.channels + c] = b[c];
}

/* factor[5][C]: mean, scale, mean of gy, what multiplies (x - mean), and for relu shift. */
extern "C" __global__ void __launch_bounds__(ADV_BN_CHANNELS * ADV_BN_ROWS)
    adv_bn_grad_finish(AdvBnForm f, const float *partial, const float *w, const float *b, const float *mean, const float *var, float *gw,
                       float *gb, float *factor)
{
    int c = first_channel<1>();
    double s, q, r;
    if (!add_partials(f, partial, c, &s, &q)) return;
    r = 1.0 / sqrt((double)var[c] + (double)f.eps);
    q *= r;
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
