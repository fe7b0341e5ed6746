/* reduce.cu: sums, extremes, norms and truths over dimensions, in two stages without float atomics.
**
** A block works on R results with L lanes each, R*L = 256. The lanes of a result take its elements in turn, so that neighbouring
** threads read neighbouring memory: threads run along the elements where the innermost dimension is reduced, along the results where it
** is kept; there, a thread takes as many results as 16 bytes hold if they lie together. Where that gives too few blocks, the elements of
** a result are cut into pieces (blockIdx.y), whose partial results go to scratch in double and are merged in order by a second launch.
** Cuts depend on shapes alone: the same bits each time.
**
** Accumulates in double, which the data-centre parts this is for do at half of float's rate, behind memory. Limit: memory
** bandwidth, x read once. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/reduce.h"

template <int K> struct Fold {
    static __device__ __forceinline__ double start()
    {
        return K == ADV_FOLD_MAX ? -adv_wide(adv_float_of(0x7f800000u)) : K == ADV_FOLD_MIN ? adv_wide(adv_float_of(0x7f800000u)) : 0.0;
    }
    static __device__ __forceinline__ double merge(double a, double b)
    {
        return K == ADV_FOLD_MAX ? AdvMax::of(a, b) : K == ADV_FOLD_MIN ? AdvMin::of(a, b) : a + b;
    }
    static __device__ __forceinline__ double add(double a, double x)
    {
        return merge(a, K == ADV_FOLD_ABS ? fabs(x) : K == ADV_FOLD_SQUARE ? x * x : K == ADV_FOLD_COUNT ? (x != 0 ? 1.0 : 0.0) : x);
    }
};

ADV_DEVICE double finish(const AdvReduceArgs &a, double x)
{
    switch (a.final) {
    case ADV_FINAL_MEAN: return x / (double)a.n_mean;
    case ADV_FINAL_ROOT: return sqrt(x);
    case ADV_FINAL_ANY: return x > 0;
    case ADV_FINAL_ALL: return x == (double)a.n_mean;
    default: return x;
    }
}

/* Result k, in its type: one lane of many writes, so asking for the type costs nothing, and a kernel for each would be twice as many. */
ADV_DEVICE void put(void *y, long long k, const AdvReduceArgs &a, double x)
{
    x = finish(a, x);
    switch (a.type) {
    case ADV_REDUCED_F32: ((float *)y)[k] = adv_narrow<float>(x); break;
    case ADV_REDUCED_BF16: ((AdvBf16 *)y)[k] = adv_narrow<AdvBf16>(x); break;
    case ADV_REDUCED_F16: ((AdvF16 *)y)[k] = adv_narrow<AdvF16>(x); break;
    default: ((double *)y)[k] = x; break;
    }
}

/* The P elements of a read join one sum, or P of them. */
template <int K, int P, int W, class In> ADV_DEVICE void add_pack(double (&s)[W], const AdvPack<In, P> &p)
{
    ADV_UNROLL(P)
    for (int j = 0; j < P; j++) s[W == 1 ? 0 : j] = Fold<K>::add(s[W == 1 ? 0 : j], (double)adv_wide(p.v[j]));
}

/* The reads at `at`, at + step, ... below end, in this order; N of them are asked for before any is waited for. */
template <int K, int P, int N, int W, class In>
ADV_DEVICE void add_reads(double (&s)[W], const In *x, const AdvNest &group, long long at, long long end, long long step)
{
    ADV_UNROLL(1)
    for (; at + (N - 1) * step < end; at += N * step) {
        AdvPack<In, P> p[N];
        const In *from[N];
        ADV_UNROLL(N)
        for (int k = 0; k < N; k++) from[k] = x + adv_nest_at(group, 0, at + k * step);
        ADV_UNROLL(N)
        for (int k = 0; k < N; k++) p[k] = adv_load<P>(from[k]);
        ADV_UNROLL(N)
        for (int k = 0; k < N; k++) add_pack<K>(s, p[k]);
    }
    ADV_UNROLL(1)
    for (; at < end; at += step) add_pack<K>(s, adv_load<P>(x + adv_nest_at(group, 0, at)));
}

/* What a lane takes of the elements from `first` to `end` of one result. */
template <int K, class In>
ADV_DEVICE double fold(const In *x, const AdvNest &group, const AdvReduceArgs &a, int lane, long long first, long long end)
{
    const int pack = 16 / (int)sizeof(In);
    double s[1] = {Fold<K>::start()};
    if (a.is_packed) {
        long long rest = first + (end - first) / pack * pack;
        add_reads<K, pack, 4>(s, x, group, first + (long long)lane * pack, rest, (long long)a.lanes * pack);
        first = rest;
    }
    add_reads<K, 1, 8>(s, x, group, first + lane, end, a.lanes);
    return s[0];
}

template <int K, class In>
ADV_DEVICE void reduce_block(void *y, const In *x, const AdvNest &kept, const AdvNest &group, const AdvReduceArgs &a, double *acc)
{
    int t = (int)threadIdx.x, n_results = ADV_REDUCE_BLOCK / a.lanes;
    int lane = a.is_along ? t % a.lanes : t / n_results, r = a.is_along ? t / a.lanes : t % n_results;
    long long k = (long long)blockIdx.x * n_results + r, first = (long long)blockIdx.y * a.n_of_piece, end = first + a.n_of_piece;
    double *mine = acc + r * a.lanes + lane;
    if (end > a.n_group) end = a.n_group;
    *mine = k < a.n_kept ? fold<K>(x + adv_nest_at(kept, 0, k), group, a, lane, first, end) : 0.0;
    for (int half = a.lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) *mine = Fold<K>::merge(*mine, mine[half]);
    }
    if (lane == 0 && k < a.n_kept) put(y, blockIdx.y * a.n_kept + adv_nest_at(kept, 1, k), a, *mine);
}

/* A thread V results that lie together. */
template <int K, int V, class In>
ADV_DEVICE void reduce_across_block(void *y, const In *x, const AdvNest &kept, const AdvNest &group, const AdvReduceArgs &a, double *acc)
{
    int t = (int)threadIdx.x, n_packs = ADV_REDUCE_BLOCK / a.lanes, lane = t / n_packs;
    long long k = ((long long)blockIdx.x * n_packs + t % n_packs) * V, e = (long long)blockIdx.y * a.n_of_piece, end = e + a.n_of_piece;
    double s[V];
    if (end > a.n_group) end = a.n_group;
    ADV_UNROLL(V)
    for (int j = 0; j < V; j++) s[j] = Fold<K>::start();
    if (k < a.n_kept) add_reads<K, V, 4>(s, x + adv_nest_at(kept, 0, k), group, e + lane, end, a.lanes);
    ADV_UNROLL(V)
    for (int j = 0; j < V; j++) acc[j * ADV_REDUCE_BLOCK + t] = s[j];
    for (int half = a.lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane >= half) continue;
        ADV_UNROLL(V)
        for (int j = 0; j < V; j++) {
            double *mine = acc + j * ADV_REDUCE_BLOCK + t;
            *mine = Fold<K>::merge(*mine, mine[half * n_packs]);
        }
    }
    if (lane > 0 || k >= a.n_kept) return;
    long long to = blockIdx.y * a.n_kept + adv_nest_at(kept, 1, k);
    ADV_UNROLL(V)
    for (int j = 0; j < V; j++) put(y, to + j * kept.stride[1][kept.rank - 1], a, acc[j * ADV_REDUCE_BLOCK + t]);
}

template <class In>
ADV_DEVICE void reduce(void *y, const In *x, const AdvNest &kept, const AdvNest &group, const AdvReduceArgs &a)
{
    __shared__ double acc[ADV_REDUCE_BLOCK];
    switch (a.fold) {
    case ADV_FOLD_SUM: reduce_block<ADV_FOLD_SUM>(y, x, kept, group, a, acc); break;
    case ADV_FOLD_ABS: reduce_block<ADV_FOLD_ABS>(y, x, kept, group, a, acc); break;
    case ADV_FOLD_SQUARE: reduce_block<ADV_FOLD_SQUARE>(y, x, kept, group, a, acc); break;
    case ADV_FOLD_COUNT: reduce_block<ADV_FOLD_COUNT>(y, x, kept, group, a, acc); break;
    case ADV_FOLD_MAX: reduce_block<ADV_FOLD_MAX>(y, x, kept, group, a, acc); break;
    default: reduce_block<ADV_FOLD_MIN>(y, x, kept, group, a, acc); break;
    }
}

template <class In>
ADV_DEVICE void reduce_across(void *y, const In *x, const AdvNest &kept, const AdvNest &group, const AdvReduceArgs &a)
{
    const int V = 16 / (int)sizeof(In);
    __shared__ double acc[V * ADV_REDUCE_BLOCK];
    switch (a.fold) {
    case ADV_FOLD_SUM: reduce_across_block<ADV_FOLD_SUM, V>(y, x, kept, group, a, acc); break;
    case ADV_FOLD_ABS: reduce_across_block<ADV_FOLD_ABS, V>(y, x, kept, group, a, acc); break;
    case ADV_FOLD_SQUARE: reduce_across_block<ADV_FOLD_SQUARE, V>(y, x, kept, group, a, acc); break;
    case ADV_FOLD_COUNT: reduce_across_block<ADV_FOLD_COUNT, V>(y, x, kept, group, a, acc); break;
    case ADV_FOLD_MAX: reduce_across_block<ADV_FOLD_MAX, V>(y, x, kept, group, a, acc); break;
    default: reduce_across_block<ADV_FOLD_MIN, V>(y, x, kept, group, a, acc); break;
    }
}

#define REDUCE(way, name, In) \
    __global__ void __launch_bounds__(ADV_REDUCE_BLOCK) name(void *y, const In *x, AdvNest kept, AdvNest group, AdvReduceArgs a) \
    { \
        way(y, x, kept, group, a); \
    }
REDUCE(reduce, reduce_f32, float)
REDUCE(reduce, reduce_bf16, AdvBf16)
REDUCE(reduce, reduce_f16, AdvF16)
REDUCE(reduce_across, reduce_across_f32, float)
REDUCE(reduce_across, reduce_across_bf16, AdvBf16)
REDUCE(reduce_across, reduce_across_f16, AdvF16)

/* The second launch: results in pieces. */
__global__ void __launch_bounds__(ADV_REDUCE_BLOCK) reduce_f64(void *y, const double *x, AdvNest kept, AdvNest group, AdvReduceArgs a)
{
    __shared__ double acc[ADV_REDUCE_BLOCK];
    switch (a.fold) {
    case ADV_FOLD_MAX: reduce_block<ADV_FOLD_MAX>(y, x, kept, group, a, acc); break;
    case ADV_FOLD_MIN: reduce_block<ADV_FOLD_MIN>(y, x, kept, group, a, acc); break;
    default: reduce_block<ADV_FOLD_SUM>(y, x, kept, group, a, acc); break;
    }
}

ADV_CUDA_TABLE(adv_cuda_fns_reduce)
ADV_CUDA_FN(reduce_f32)
ADV_CUDA_FN(reduce_bf16)
ADV_CUDA_FN(reduce_f16)
ADV_CUDA_FN(reduce_across_f32)
ADV_CUDA_FN(reduce_across_bf16)
ADV_CUDA_FN(reduce_across_f16)
ADV_CUDA_FN(reduce_f64)
ADV_CUDA_END
