/* conv.cu: direct convolutions, the passes behind a library's convolution, and weights turned round.
**
** direct: a thread an element of the result (gradient by weights: a block), operands read as they lie, sums in f32. It takes any
**   size, type and stride, and is what runs where cuDNN refuses: small images, odd strides. Expected limit: the load units, far from
**   both FLOP and memory peaks; nothing large should come here.
** tails: what is done to a result, as one pass over what the library wrote, 16 bytes a thread and operand. Expected limit: memory
**   bandwidth.
** turn: w[o,c,p,q] to [c,o,kh-1-p,kw-1-q], so that a gradient by the image of stride 1 is a forward convolution: squares of 32x32
**   through shared memory for each place of the window. Expected limit: memory bandwidth; a weight, so small.
** Nothing here has been measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/conv_end.cuh"
#include "ops/cuda/place.cuh"

/* ---- direct --------------------------------------------------------------------------------------------------------- */

/* What is done to result s at its place p. */
template <class T> ADV_DEVICE float direct_end(const AdvConvForm &f, const AdvConvEnd &e, const Place &p, float s)
{
    const T *bias = (const T *)e.bias, *sum = (const T *)e.sum, *mask = (const T *)e.mask, *scale = (const T *)e.scale,
            *shift = (const T *)e.shift;
    float r = sum ? adv_wide(sum[adv_at4(f.sum, p.n, p.c, p.h, p.w)]) : 0.0f;
    if (bias) s += adv_wide(bias[p.c * f.bias]);
    if (!f.sum_last) s += r;
    if (e.kept) ((T *)e.kept)[adv_at4(f.kept, p.n, p.c, p.h, p.w)] = adv_narrow<T>(s);
    if (mask && !(adv_wide(mask[adv_at4(f.mask, p.n, p.c, p.h, p.w)]) > 0)) s = 0;
    if (scale) s *= adv_wide(scale[p.c * f.scale]);
    if (shift) s += adv_wide(shift[p.c * f.shift]);
    if (f.relu && s < 0) s = 0;
    return f.sum_last ? s + r : s;
}

template <class T> ADV_DEVICE void direct_forward(const AdvConvForm &f, const T *x, const T *w, T *y, const AdvConvEnd &e)
{
    Place p;
    if (!adv_place(f.n, f.o, f.oh, f.ow, &p)) return;
    float s = 0;
    for (int a = 0; a < f.kh; a++) {
        int h = p.h * f.stride - f.pad + a;
        if (h < 0 || h >= f.h) continue;
        for (int b = 0; b < f.kw; b++) {
            int u = p.w * f.stride - f.pad + b;
            if (u < 0 || u >= f.w) continue;
            const T *xs = x + adv_at4(f.image, p.n, 0, h, u), *ws = w + adv_at4(f.weights, p.c, 0, a, b);
            for (int c = 0; c < f.c; c++) s = fmaf(adv_wide(xs[c * f.image[1]]), adv_wide(ws[c * f.weights[1]]), s);
        }
    }
    y[adv_at4(f.output, p.n, p.c, p.h, p.w)] = adv_narrow<T>(direct_end<T>(f, e, p, s));
}

template <class T> ADV_DEVICE void direct_by_image(const AdvConvForm &f, T *gx, const T *w, const T *gy, const AdvConvEnd &e)
{
    Place p;
    if (!adv_place(f.n, f.c, f.h, f.w, &p)) return;
    float s = 0;
    for (int a = 0; a < f.kh; a++) {
        int h = p.h + f.pad - a;
        if (h < 0 || h % f.stride || h / f.stride >= f.oh) continue;
        for (int b = 0; b < f.kw; b++) {
            int u = p.w + f.pad - b;
            if (u < 0 || u % f.stride || u / f.stride >= f.ow) continue;
            const T *gs = gy + adv_at4(f.output, p.n, 0, h / f.stride, u / f.stride), *ws = w + adv_at4(f.weights, 0, p.c, a, b);
            for (int o = 0; o < f.o; o++) s = fmaf(adv_wide(gs[o * f.output[1]]), adv_wide(ws[o * f.weights[0]]), s);
        }
    }
    gx[adv_at4(f.image, p.n, p.c, p.h, p.w)] = adv_narrow<T>(direct_end<T>(f, e, p, s));
}

enum { GW_THREADS = 128 };

/* A block an element of the weights: places of the output are dealt to its threads, and their sums added in a fixed order. */
template <class T> ADV_DEVICE void direct_by_weights(const AdvConvForm &f, const T *x, T *gw, const T *gy)
{
    int q = (int)(blockIdx.x % f.kw), p = (int)(blockIdx.x / f.kw % f.kh);
    int c = (int)(blockIdx.x / (f.kw * f.kh) % f.c), o = (int)(blockIdx.x / (f.kw * f.kh) / f.c);
    long long n_places = (long long)f.n * f.oh * f.ow;
    float s = 0;
    for (long long i = threadIdx.x; i < n_places; i += GW_THREADS) {
        int j = (int)(i % f.ow), r = (int)(i / f.ow % f.oh), n = (int)(i / f.ow / f.oh);
        int h = r * f.stride - f.pad + p, u = j * f.stride - f.pad + q;
        if (h < 0 || h >= f.h || u < 0 || u >= f.w) continue;
        s = fmaf(adv_wide(x[adv_at4(f.image, n, c, h, u)]), adv_wide(gy[adv_at4(f.output, n, o, r, j)]), s);
    }
    s = adv_block_reduce<AdvSum, GW_THREADS>(s);
    if (threadIdx.x == 0) gw[adv_at4(f.weights, o, c, p, q)] = adv_narrow<T>(s);
}

/* ---- tails ---------------------------------------------------------------------------------------------------------- */

/* The same for element pack i of V, where all tensors lie alike; `from` may be `to` or what is kept. */
template <class T, int V> ADV_DEVICE void tail(const T *from, T *to, const AdvConvTailForm &f, const AdvConvEnd &e)
{
    long long i = adv_thread();
    if (i >= f.n) return;
    long long at = i * V, c = 0;
    if (e.bias || e.scale) c = at <= 0xffffffffLL ? (unsigned)at % (unsigned)f.channels : at % f.channels;
    AdvPack<T, V> v = adv_load<V>(from + at);
    float d[V];
    ADV_UNROLL(V)
    for (int k = 0; k < V; k++) d[k] = adv_wide(v.v[k]);
    adv_conv_end<T, V>(e, f.relu, f.sum_last, to, at, c, d);
}

/* Both channels-last: a square of outputs and channels of one place of the window, read along the channels and written along the
** outputs. */
template <class T> ADV_DEVICE void turn(T *turned, const T *w, int n_o, int n_c, int taps)
{
    enum { SIDE = ADV_CONV_SQUARE, ROW = SIDE + (sizeof(T) < 4 ? 2 : 1), TURNS = SIDE * SIDE / ADV_CONV_TURN_BLOCK };
    int squares_o = (n_o + SIDE - 1) / SIDE, square = (int)blockIdx.x / taps, tap = (int)blockIdx.x % taps;
    int o0 = square % squares_o * SIDE, c0 = square / squares_o * SIDE;
    T *tile = (T *)adv_tile(), v[TURNS] = {};
    ADV_UNROLL(TURNS)
    for (int j = 0; j < TURNS; j++) {
        int at = j * ADV_CONV_TURN_BLOCK + (int)threadIdx.x, o = o0 + at / SIDE, c = c0 + at % SIDE;
        if (o < n_o && c < n_c) v[j] = w[((long long)o * taps + tap) * n_c + c];
    }
    ADV_UNROLL(TURNS)
    for (int j = 0; j < TURNS; j++) {
        int at = j * ADV_CONV_TURN_BLOCK + (int)threadIdx.x;
        tile[at / SIDE * ROW + at % SIDE] = v[j];
    }
    __syncthreads();
    ADV_UNROLL(TURNS)
    for (int j = 0; j < TURNS; j++) {
        int at = j * ADV_CONV_TURN_BLOCK + (int)threadIdx.x, c = c0 + at / SIDE, o = o0 + at % SIDE;
        if (o < n_o && c < n_c) turned[((long long)c * taps + (taps - 1 - tap)) * n_o + o] = tile[at % SIDE * ROW + at / SIDE];
    }
}

/* ---- by type -------------------------------------------------------------------------------------------------------- */

#define CONV_KERNELS(t, T, V) \
    extern "C" __global__ void adv_conv_forward_##t(AdvConvForm f, const T *x, const T *w, T *y, AdvConvEnd e) \
    { \
        direct_forward(f, x, w, y, e); \
    } \
    extern "C" __global__ void adv_conv_by_image_##t(AdvConvForm f, T *x, const T *w, const T *y, AdvConvEnd e) \
    { \
        direct_by_image(f, x, w, y, e); \
    } \
    extern "C" __global__ void adv_conv_by_weights_##t(AdvConvForm f, const T *x, T *w, const T *y) { direct_by_weights(f, x, w, y); } \
    extern "C" __global__ void adv_conv_tail_##t(const T *from, T *to, AdvConvTailForm f, AdvConvEnd e) { tail<T, V>(from, to, f, e); } \
    extern "C" __global__ void adv_conv_tail1_##t(const T *from, T *to, AdvConvTailForm f, AdvConvEnd e) { tail<T, 1>(from, to, f, e); } \
    extern "C" __global__ void adv_conv_turn_##t(T *to, const T *w, int o, int c, int kh, int kw) { turn(to, w, o, c, kh * kw); }

CONV_KERNELS(f32, float, 4)
CONV_KERNELS(bf16, AdvBf16, 8)

#define CONV_ROWS(t) \
    ADV_CUDA_FN(adv_conv_forward_##t) ADV_CUDA_FN(adv_conv_by_image_##t) ADV_CUDA_FN(adv_conv_by_weights_##t) \
    ADV_CUDA_FN(adv_conv_tail_##t) ADV_CUDA_FN(adv_conv_tail1_##t) ADV_CUDA_FN(adv_conv_turn_##t)

ADV_CUDA_TABLE(adv_cuda_fns_conv)
CONV_ROWS(f32)
CONV_ROWS(bf16)
ADV_CUDA_END
