/* narrow.cu: convolutions of images with few channels, as networks begin: 3 to 64 channels, a window of 3x3.
**
** A matrix unit is mostly idle here: 27 products a number, and the result is what costs. So the arithmetic is plain multiply-adds in
** f32, and all is laid out so that they are what the threads do:
**   forward   a thread has a run of 8 places along a row and 16 bytes of channels of each: 64 sums in bf16. Every number of the image
**             read serves all channels of the thread, every weight all its places.
**   by image  a thread has a run of 8 places of the image, all its channels, and the sum over some channels of the output, 16 bytes of
**             them at a time; the up to 8 threads of a run then add theirs by exchange.
**   step      by image, and the step of an attack where the gradient would be stored; or the step alone, behind another kernel.
** Weights are laid in shared memory as floats, in the order in which they are read. Images come through the first-level cache: the
** narrow one is small, of the wide one a line is read whole, and neighbours read it again soon. Sums have one order, whatever the launch.
** Expected limit: multiply-adds outside the tensor cores (ResNet-18's first layer, 128 images: 227 million, 8 us at 30 T/s; its memory
** 4 us). Nothing here has been measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/conv.h"
#include "ops/cuda/place.cuh"

/* Elements of 16 bytes. */
template <class T> struct Wide { enum { N = 16 / sizeof(T) }; };

/* Where a thread works: run `at` of row h of sample n, beginning at column w, and which of the run's threads it is. False: nowhere. */
struct Run { int n, h, w, lane; };

ADV_DEVICE bool run_of(const AdvNarrowForm &f, int rows, Run *out)
{
    unsigned t = (unsigned)adv_thread(), run = t / (unsigned)f.lanes, r = run / (unsigned)f.runs;
    out->lane = (int)(t % (unsigned)f.lanes);
    out->w = (int)(run % (unsigned)f.runs) * ADV_NARROW_RUN;
    out->h = (int)(r % (unsigned)rows);
    out->n = (int)(r / (unsigned)rows);
    return out->n < f.n;
}

/* ---- forward -------------------------------------------------------------------------------------------------------- */

/* Weights [o][place of the window][c] to [place][c][o]. */
template <class T, int K> ADV_DEVICE void stage_forward(const AdvNarrowForm &f, const T *w, float *to)
{
    int n_taps = K * K * f.c;
    for (int i = (int)threadIdx.x; i < n_taps * f.o; i += (int)blockDim.x)
        to[i % n_taps * (f.o + ADV_NARROW_GAP) + i / n_taps] = adv_wide(w[i]);
    __syncthreads();
}

/* Sums of a run: s[place][channel], the thread's channels beginning at o. */
template <class T, int K, int S>
ADV_DEVICE void sum_forward(const AdvNarrowForm &f, const Run &r, int o, const T *x, const float *w, float s[ADV_NARROW_RUN][Wide<T>::N])
{
    enum { V = Wide<T>::N, P = ADV_NARROW_RUN, L = (P - 1) * S + K };
    for (int a = 0; a < K; a++) {
        int h = r.h * S - f.pad + a;
        if (h < 0 || h >= f.h) continue;
        const T *row = x + ((long long)r.n * f.h + h) * f.w * f.c;
        for (int c = 0; c < f.c; c++) {
            float in[L];
            ADV_UNROLL(L)
            for (int l = 0; l < L; l++) {
                int u = r.w * S - f.pad + l;
                in[l] = u >= 0 && u < f.w ? adv_wide(row[u * f.c + c]) : 0.0f;
            }
            ADV_UNROLL(K)
            for (int b = 0; b < K; b++) {
                AdvPack<float, V> v = adv_load<V>(w + ((a * K + b) * f.c + c) * (f.o + ADV_NARROW_GAP) + o);
                ADV_UNROLL(P)
                for (int p = 0; p < P; p++) {
                    ADV_UNROLL(V)
                    for (int k = 0; k < V; k++) s[p][k] = fmaf(in[p * S + b], v.v[k], s[p][k]);
                }
            }
        }
    }
}

template <class T, int K, int S>
ADV_DEVICE void narrow_forward(const AdvNarrowForm &f, const T *x, const T *w, T *y, const T *bias, const T *sum)
{
    enum { V = Wide<T>::N, P = ADV_NARROW_RUN };
    ADV_DYNAMIC_SHARED(float, weights);
    Run r;
    stage_forward<T, K>(f, w, weights);
    if (!run_of(f, f.oh, &r)) return;
    for (int o = r.lane * V; o < f.o; o += f.lanes * V) {
        float s[P][V] = {};
        sum_forward<T, K, S>(f, r, o, x, weights, s);
        ADV_UNROLL(P)
        for (int p = 0; p < P; p++) {
            long long at = (((long long)r.n * f.oh + r.h) * f.ow + r.w + p) * f.o + o;
            AdvPack<T, V> skip, out;
            if (r.w + p >= f.ow) continue;
            if (sum) skip = adv_load<V>(sum + at);
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) {
                float t = s[p][k];
                if (bias) t += adv_wide(bias[o + k]);
                if (sum) t += adv_wide(skip.v[k]);
                out.v[k] = adv_narrow<T>(f.relu && t < 0 ? 0.0f : t);
            }
            adv_store(y + at, out);
        }
    }
}

/* ---- by image ------------------------------------------------------------------------------------------------------- */

/* Floats of one place of the window: a weight of 3 channels takes the room of 4, so that it is one access. */
template <class T, int C> struct Tap { enum { N = C == 3 ? 4 : C }; };

/* Weights [o][place of the window][c] to [place][o % V][o / V][c]: the threads of a run read next to each other. */
template <class T, int K, int C> ADV_DEVICE void stage_by_image(const AdvNarrowForm &f, const T *w, float *to)
{
    enum { V = Wide<T>::N, N = Tap<T, C>::N };
    int groups = f.o / V, tap = f.o * N + ADV_NARROW_GAP;
    for (int i = (int)threadIdx.x; i < K * K * f.o * N; i += (int)blockDim.x) {
        int c = i % N, t = i / N % (K * K), o = i / N / (K * K);
        to[t * tap + (o % V * groups + o / V) * N + c] = c < f.c ? adv_wide(w[(o * K * K + t) * f.c + c]) : 0.0f;
    }
    __syncthreads();
}

/* Adds to s[place][channel] what row `a` of the window brings from channels group*V.. of the output's gradient. */
template <class T, int K, int C>
ADV_DEVICE void add_row(const AdvNarrowForm &f, const Run &r, int a, int group, const T *gy, const float *w, float s[ADV_NARROW_RUN][C])
{
    enum { V = Wide<T>::N, P = ADV_NARROW_RUN, L = P + K - 1, N = Tap<T, C>::N };
    int h = r.h + f.pad - a, first = r.w + f.pad - (K - 1), groups = f.o / V;
    AdvPack<T, V> in[L];
    if (h < 0 || h >= f.oh) return;
    const T *row = gy + ((long long)r.n * f.oh + h) * f.ow * f.o + group * V;
    ADV_UNROLL(L)
    for (int l = 0; l < L; l++) {
        int u = first + l;
        if (u >= 0 && u < f.ow) in[l] = adv_load<V>(row + (long long)u * f.o);
        else in[l] = AdvPack<T, V>();
    }
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) {
        AdvPack<float, N> v[K];
        ADV_UNROLL(K)
        for (int b = 0; b < K; b++) v[b] = adv_load<N>(w + (a * K + b) * (f.o * N + ADV_NARROW_GAP) + (k * groups + group) * N);
        ADV_UNROLL(L)
        for (int l = 0; l < L; l++) {
            float g = adv_wide(in[l].v[k]);
            ADV_UNROLL(K)
            for (int b = 0; b < K; b++) {
                int p = l - (K - 1) + b; /* column first + l of the output has met this place through column b of the window */
                if (p < 0 || p >= P) continue;
                ADV_UNROLL(C)
                for (int c = 0; c < C; c++) s[p][c] = fmaf(g, v[b].v[c], s[p][c]);
            }
        }
    }
}

/* The gradient by the image goes to `to`, place by place: to.put(n, h, w, its channels). */
template <class T, int K, int C, class To> ADV_DEVICE void narrow_by_image(const AdvNarrowForm &f, const T *w, const T *gy, const To &to)
{
    enum { V = Wide<T>::N, P = ADV_NARROW_RUN };
    ADV_DYNAMIC_SHARED(float, weights);
    float s[P][C] = {};
    Run r;
    stage_by_image<T, K, C>(f, w, weights);
    bool is_somewhere = run_of(f, f.h, &r);
    for (int group = r.lane; is_somewhere && group < f.o / V; group += f.lanes)
        for (int a = 0; a < K; a++) add_row<T, K, C>(f, r, a, group, gy, weights, s);
    for (int m = f.lanes / 2; m > 0; m /= 2) { /* all threads of a warp come here */
        ADV_UNROLL(P)
        for (int p = 0; p < P; p++) {
            ADV_UNROLL(C)
            for (int c = 0; c < C; c++) s[p][c] += __shfl_xor_sync(0xffffffffu, s[p][c], m);
        }
    }
    ADV_UNROLL(P)
    for (int p = 0; p < P; p++)
        if (is_somewhere && p % f.lanes == r.lane && r.w + p < f.w) to.put(f, r.n, r.h, r.w + p, s[p]);
}

template <class T> struct ToImage {
    T *gx;
    template <int C> __device__ __forceinline__ void put(const AdvNarrowForm &f, int n, int h, int w, const float (&s)[C]) const
    {
        T *at = gx + (((long long)n * f.h + h) * f.w + w) * f.c;
        ADV_UNROLL(C)
        for (int c = 0; c < C; c++)
            if (c < f.c) at[c] = adv_narrow<T>(s[c]);
    }
};

/* ---- the step of an attack ------------------------------------------------------------------------------------------ */

/* Operands of step_linf; its arithmetic, in its order and rounding, at one element. `g` has the gradient's type: the step sees no more. */
template <class T> struct ToStep {
    AdvStepForm s;
    float *out;
    const float *z, *x, *eps, *size;
    __device__ __forceinline__ void at(int n, int c, int h, int w, T g) const
    {
        float d = adv_wide(g), b = x[adv_at4(s.x, n, c, h, w)], e = eps[adv_at4(s.eps, n, c, h, w)];
        float u = z[adv_at4(s.z, n, c, h, w)] + size[adv_at4(s.size, n, c, h, w)] * (d > 0 ? 1.0f : d < 0 ? -1.0f : 0.0f);
        u = least(u, b + e);
        u = most(u, b - e);
        out[adv_at4(s.out, n, c, h, w)] = least(most(u, s.lo), s.hi);
    }
    template <int C> __device__ __forceinline__ void put(const AdvNarrowForm &f, int n, int h, int w, const float (&g)[C]) const
    {
        ADV_UNROLL(C)
        for (int c = 0; c < C; c++)
            if (c < f.c) at(n, c, h, w, adv_narrow<T>(g[c]));
    }
    /* A NaN of `a` stays. */
    static __device__ __forceinline__ float least(float a, float b) { return a < b || a != a ? a : b; }
    static __device__ __forceinline__ float most(float a, float b) { return a > b || a != a ? a : b; }
};

template <class T> ADV_DEVICE void step_alone(const T *g, const ToStep<T> &to)
{
    Place p;
    if (!adv_place(to.s.n, to.s.c, to.s.h, to.s.w, &p)) return;
    to.at(p.n, p.c, p.h, p.w, g[adv_at4(to.s.g, p.n, p.c, p.h, p.w)]);
}

/* ---- by type -------------------------------------------------------------------------------------------------------- */

#define FORWARD(t, T, K, S) \
    extern "C" __global__ void __launch_bounds__(256) \
        adv_narrow_forward_##K##_##S##_##t(AdvNarrowForm f, const T *x, const T *w, T *y, const T *b, const T *s) \
    { \
        narrow_forward<T, K, S>(f, x, w, y, b, s); \
    }
#define BY_IMAGE(t, T, K, C) \
    extern "C" __global__ void __launch_bounds__(256) adv_narrow_by_image_##K##_##C##_##t(AdvNarrowForm f, const T *w, const T *gy, T *gx) \
    { \
        narrow_by_image<T, K, C>(f, w, gy, ToImage<T>{gx}); \
    } \
    extern "C" __global__ void __launch_bounds__(256) \
        adv_narrow_step_##K##_##C##_##t(AdvNarrowForm f, const T *w, const T *gy, AdvStepForm s, float *out, const float *z, \
                                        const float *x, const float *eps, const float *size) \
    { \
        narrow_by_image<T, K, C>(f, w, gy, ToStep<T>{s, out, z, x, eps, size}); \
    }
#define STEP(t, T) \
    extern "C" __global__ void adv_step_##t(const T *g, AdvStepForm s, float *out, const float *z, const float *x, const float *eps, \
                                            const float *size) \
    { \
        step_alone<T>(g, ToStep<T>{s, out, z, x, eps, size}); \
    }

/* By window and stride; by window and room for channels: an image of two takes that of three. */
#define KERNELS(t, T) \
    FORWARD(t, T, 3, 1) FORWARD(t, T, 3, 2) FORWARD(t, T, 5, 1) FORWARD(t, T, 5, 2) \
    BY_IMAGE(t, T, 3, 1) BY_IMAGE(t, T, 3, 3) BY_IMAGE(t, T, 3, 4) BY_IMAGE(t, T, 5, 1) BY_IMAGE(t, T, 5, 3) BY_IMAGE(t, T, 5, 4) \
    STEP(t, T)

KERNELS(f32, float)
KERNELS(bf16, AdvBf16)

#define FORWARD_ROW(t, K, S) ADV_CUDA_FN(adv_narrow_forward_##K##_##S##_##t)
#define BY_IMAGE_ROW(t, K, C) ADV_CUDA_FN(adv_narrow_by_image_##K##_##C##_##t) ADV_CUDA_FN(adv_narrow_step_##K##_##C##_##t)
#define ROWS(t) \
    FORWARD_ROW(t, 3, 1) FORWARD_ROW(t, 3, 2) FORWARD_ROW(t, 5, 1) FORWARD_ROW(t, 5, 2) \
    BY_IMAGE_ROW(t, 3, 1) BY_IMAGE_ROW(t, 3, 3) BY_IMAGE_ROW(t, 3, 4) BY_IMAGE_ROW(t, 5, 1) BY_IMAGE_ROW(t, 5, 3) BY_IMAGE_ROW(t, 5, 4) \
    ADV_CUDA_FN(adv_step_##t)

ADV_CUDA_TABLE(adv_cuda_fns_narrow)
ROWS(f32)
ROWS(bf16)
ADV_CUDA_END
