/* device.cuh: what device code of ours may use, hand-written (.cu) and generated (adv_cuda_generate) alike.
**
** One text for three compilers: nvcc, NVRTC (which gets it in front of generated code and has no host headers, so nothing is
** included there) and g++ under the shim of the tests (tests/cuda/shim.hpp defines the CUDA words before it).
**
** Arithmetic. Device code is compiled with --fmad=false and without fast math: + - * / and sqrtf are correctly rounded and never
** contracted, so they have the bits of the definitions; what may be off is in units in the last place (CUDA's tables): expf 1,
** logf 1, tanhf 1, sinf and cosf 2, powf 4 and the double functions 1 to 2. A multiply-add is written fmaf where it is meant. Kernels
** that read and write more than they compute lose nothing by this.
**
** Elements are float, double, int, long long, unsigned char, AdvBf16 and AdvF16. adv_wide gives the number to compute with (float
** for the float types up to f32, else double, as the definitions do) and adv_narrow<T> rounds it to an element, nearest even,
** integers towards 0 and kept in range.
*/
#ifndef ADV_OPS_CUDA_DEVICE_CUH
#define ADV_OPS_CUDA_DEVICE_CUH

#include "ops/cuda/list.h"
#ifndef __CUDACC_RTC__
#include "ops/rng.h" /* Philox and what is drawn from it; generated code draws nothing */
#endif

#define ADV_DEVICE static __device__ __forceinline__

/* Shared memory whose size is the launch's, as an array of `type`. */
#ifdef ADV_CUDA_SHIM
#define ADV_DYNAMIC_SHARED(type, name) type *name = (type *)adv_shim_dynamic()
#else
#define ADV_DYNAMIC_SHARED(type, name) extern __shared__ __align__(16) unsigned char adv_dynamic[]; type *name = (type *)adv_dynamic
#endif

/* Before a loop: unroll it. */
#ifdef ADV_CUDA_SHIM
#define ADV_UNROLL(n)
#else
#define ADV_UNROLL(n) ADV_PRAGMA(unroll n)
#define ADV_PRAGMA(text) _Pragma(#text)
#endif

/* ---- elements ------------------------------------------------------------------------------------------------------ */

struct AdvBf16 { unsigned short bits; };
struct AdvF16 { unsigned short bits; };

ADV_DEVICE unsigned adv_bits_of(float f)
{
#ifdef __CUDA_ARCH__
    return __float_as_uint(f);
#else
    union { float f; unsigned u; } x;
    x.f = f;
    return x.u;
#endif
}

ADV_DEVICE float adv_float_of(unsigned u)
{
#ifdef __CUDA_ARCH__
    return __uint_as_float(u);
#else
    union { float f; unsigned u; } x;
    x.u = u;
    return x.f;
#endif
}

ADV_DEVICE float adv_wide(float x) { return x; }
ADV_DEVICE double adv_wide(double x) { return x; }
ADV_DEVICE double adv_wide(int x) { return (double)x; }
ADV_DEVICE double adv_wide(long long x) { return (double)x; }
ADV_DEVICE double adv_wide(unsigned char x) { return (double)x; }
ADV_DEVICE float adv_wide(AdvBf16 x) { return adv_float_of((unsigned)x.bits << 16); }

ADV_DEVICE float adv_wide(AdvF16 x)
{
#ifdef __CUDA_ARCH__
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x.bits));
    return f;
#else
    unsigned sign = (x.bits & 0x8000u) << 16, exp = x.bits >> 10 & 0x1fu, frac = x.bits & 0x3ffu;
    if (exp == 0x1fu) return adv_float_of(sign | 0x7f800000u | frac << 13);
    if (exp != 0) return adv_float_of(sign | (exp + 112u) << 23 | frac << 13);
    float f = (float)frac * (1.0f / 16777216.0f);
    return sign ? -f : f;
#endif
}

template <class T> struct AdvNarrow;
template <> struct AdvNarrow<float> {
    static __device__ __forceinline__ float of(float x) { return x; }
    static __device__ __forceinline__ float of(double x) { return (float)x; }
};
template <> struct AdvNarrow<double> {
    static __device__ __forceinline__ double of(double x) { return x; }
};
template <> struct AdvNarrow<AdvBf16> {
    static __device__ __forceinline__ AdvBf16 of(float x)
    {
        AdvBf16 r;
#ifdef __CUDA_ARCH__
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
#else
        unsigned u = adv_bits_of(x);
        r.bits = (unsigned short)((u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : (u + 0x7fffu + (u >> 16 & 1u)) >> 16);
#endif
        return r;
    }
    static __device__ __forceinline__ AdvBf16 of(double x) { return of((float)x); }
};
template <> struct AdvNarrow<AdvF16> {
    static __device__ __forceinline__ AdvF16 of(float x)
    {
        AdvF16 r;
#ifdef __CUDA_ARCH__
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
#else
        unsigned u = adv_bits_of(x), sign = u >> 16 & 0x8000u, mag = u & 0x7fffffffu;
        if (mag > 0x7f800000u) r.bits = (unsigned short)(sign | 0x7e00u);
        else if (mag >= 0x477ff000u) r.bits = (unsigned short)(sign | 0x7c00u); /* 65520 and more are infinite */
        else if (mag < 0x33000000u) r.bits = (unsigned short)sign;
        else if (mag >= 0x38800000u) r.bits = (unsigned short)(sign | (mag - (112u << 23) + 0xfffu + (mag >> 13 & 1u)) >> 13);
        else { /* subnormal */
            unsigned frac = (mag & 0x7fffffu) | 0x800000u, shift = 126u - (mag >> 23), half = frac >> shift;
            unsigned low = frac & ((1u << shift) - 1u), tie = 1u << (shift - 1u);
            r.bits = (unsigned short)(sign | (half + (low > tie || (low == tie && (half & 1u)))));
        }
#endif
        return r;
    }
    static __device__ __forceinline__ AdvF16 of(double x) { return of((float)x); }
};
template <> struct AdvNarrow<int> {
    static __device__ __forceinline__ int of(double x)
    {
        return x != x ? 0 : x <= -2147483648.0 ? -2147483647 - 1 : x >= 2147483647.0 ? 2147483647 : (int)x;
    }
};
template <> struct AdvNarrow<long long> {
    static __device__ __forceinline__ long long of(double x)
    {
        return x != x ? 0
               : x <= -9223372036854775808.0 ? -9223372036854775807LL - 1
               : x >= 9223372036854775807.0 ? 9223372036854775807LL : (long long)x;
    }
};
template <> struct AdvNarrow<unsigned char> {
    static __device__ __forceinline__ unsigned char of(double x)
    {
        return x != x || x <= 0 ? (unsigned char)0 : x >= 255 ? (unsigned char)255 : (unsigned char)(int)x;
    }
};

template <class T, class W> ADV_DEVICE T adv_narrow(W x) { return AdvNarrow<T>::of(x); }

/* x as it would be had it been stored as a T and read again. */
template <class T, class W> ADV_DEVICE W adv_round_to(W x) { return (W)adv_wide(adv_narrow<T>(x)); }

/* N elements as one access of up to 16 bytes at a time; p is aligned to that. */
template <class T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) AdvPack { T v[N]; };
template <int N, class T> ADV_DEVICE AdvPack<T, N> adv_load(const T *p) { return *(const AdvPack<T, N> *)p; }
template <int N, class T> ADV_DEVICE void adv_store(T *p, const AdvPack<T, N> &x) { *(AdvPack<T, N> *)p = x; }

/* Element i of seeds, epochs, steps or sample numbers, which are i64 or i32 as a recipe's data has them. */
ADV_DEVICE long long adv_integer_at(const void *p, int is_wide, long long i)
{
    return is_wide ? ((const long long *)p)[i] : ((const int *)p)[i];
}

/* The one text of an elementwise op (ops/ew.def) names the functions of float; computing in double it gets these. */
#define ADV_DOUBLE1(f, of) ADV_DEVICE double f(double x) { return of(x); }
ADV_DOUBLE1(fabsf, fabs)
ADV_DOUBLE1(expf, exp)
ADV_DOUBLE1(exp2f, exp2)
ADV_DOUBLE1(expm1f, expm1)
ADV_DOUBLE1(logf, log)
ADV_DOUBLE1(log2f, log2)
ADV_DOUBLE1(log1pf, log1p)
ADV_DOUBLE1(sqrtf, sqrt)
ADV_DOUBLE1(sinf, sin)
ADV_DOUBLE1(cosf, cos)
ADV_DOUBLE1(tanf, tan)
ADV_DOUBLE1(atanf, atan)
ADV_DOUBLE1(sinhf, sinh)
ADV_DOUBLE1(coshf, cosh)
ADV_DOUBLE1(tanhf, tanh)
ADV_DOUBLE1(erff, erf)
ADV_DOUBLE1(erfcf, erfc)
ADV_DOUBLE1(floorf, floor)
ADV_DOUBLE1(ceilf, ceil)
ADV_DOUBLE1(rintf, rint)
ADV_DOUBLE1(truncf, trunc)
#undef ADV_DOUBLE1
ADV_DEVICE double powf(double x, double y) { return pow(x, y); }
ADV_DEVICE double fminf(double x, double y) { return fmin(x, y); }
ADV_DEVICE double fmaxf(double x, double y) { return fmax(x, y); }

/* ---- places -------------------------------------------------------------------------------------------------------- */

#define ADV_NEST_RANK 6

/* Up to three tensors walked together, outermost dimension first, as the host worked it out (geometry.h). By value. */
struct AdvNest {
    int rank;
    long long dim[ADV_NEST_RANK], stride[3][ADV_NEST_RANK];
};

/* Offset of tensor `k` at flat position i. Positions below 2^32 are divided in 32 bits, which takes a quarter of the time. */
ADV_DEVICE long long adv_nest_at(const AdvNest &n, int k, long long i)
{
    long long at = 0;
    int d = n.rank - 1;
    if (d == 0) return i * n.stride[k][0];
    if (i <= 0xffffffffLL) {
        unsigned u = (unsigned)i;
        ADV_UNROLL(1)
        for (; d > 0; d--) {
            unsigned len = (unsigned)n.dim[d], q = u / len;
            at += (long long)(u - q * len) * n.stride[k][d];
            u = q;
        }
        return at + (long long)u * n.stride[k][0];
    }
    ADV_UNROLL(1)
    for (; d > 0; d--) {
        long long q = i / n.dim[d];
        at += (i - q * n.dim[d]) * n.stride[k][d];
        i = q;
    }
    return at + i * n.stride[k][0];
}

/* The number of this thread among those of a grid along x. */
ADV_DEVICE long long adv_thread(void) { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

/* Shared memory of a block for a square of up to 64 x 64 elements of up to 2 bytes, or 32 x 32 of up to 8, with a gap behind each row:
** one and the same for all that a list calls. */
#define ADV_TILE_BYTES 8448
ADV_DEVICE void *adv_tile(void)
{
    __shared__ unsigned long long tile[ADV_TILE_BYTES / 8];
    return tile;
}

/* The part of a list that this block belongs to: the last one that begins at it or before. */
ADV_DEVICE AdvListPart adv_list_part(const AdvListPart *parts, int n_parts)
{
    int low = 0, high = n_parts;
    while (high - low > 1) {
        int mid = (low + high) / 2;
        if (parts[mid].first_block <= blockIdx.x) low = mid;
        else high = mid;
    }
    return parts[low];
}

/* Data that a kernel cannot take (a class or a row number out of range): the instruction's code, which the host reads when it
** next waits. The kernel goes on with what is in range. */
ADV_DEVICE void adv_fault(unsigned *fault, unsigned code) { atomicMax(fault, code); }

/* ---- reductions ---------------------------------------------------------------------------------------------------- */

struct AdvSum {
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return a + b; }
};
/* The larger or smaller; NaN if either is. */
struct AdvMax {
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return a > b || a != a ? a : b; }
};
struct AdvMin {
    template <class T> static __device__ __forceinline__ T of(T a, T b) { return a < b || a != a ? a : b; }
};

/* All lanes of a warp: in a fixed order, and every lane gets the result. All 32 must come here. */
template <class Op, class T> ADV_DEVICE T adv_warp_reduce(T x)
{
    for (int m = 16; m > 0; m >>= 1) x = Op::of(x, __shfl_xor_sync(0xffffffffu, x, m));
    return x;
}

/* All N threads of a block (a multiple of 32, at most 1024, along x alone): as above. All must come here. */
template <class Op, int N, class T> ADV_DEVICE T adv_block_reduce(T x)
{
    __shared__ T of_warp[N / 32];
    x = adv_warp_reduce<Op>(x);
    if (N == 32) return x;
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
    __syncthreads();
    x = of_warp[0];
    for (int k = 1; k < N / 32; k++) x = Op::of(x, of_warp[k]);
    __syncthreads();
    return x;
}

#endif
