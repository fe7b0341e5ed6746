/* reduce.cu: sums, extremes, norms and truths over dimensions, in two stages without float atomics.
**
** A block works on R results with L lanes each, R*L = 256. The lanes of a result take its elements in turn, so that neighbouring
** threads read neighbouring memory: threads run along the elements where the innermost dimension is reduced, along the results
** where it is kept. Where that gives too few blocks, the elements of a result are cut into pieces (blockIdx.y), whose partial
** results go to scratch in double and are merged in order by a second launch of the same kernel. Cuts depend on shapes alone: the
** same bits each time.
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

/* Elements e, e + lanes, ... below end of one result. */
template <int K, class In>
ADV_DEVICE double fold(const In *x, const AdvNest &group, const AdvReduceArgs &a, int lane, long long e, long long end)
{
    const int pack = 16 / (int)sizeof(In);
    double s = Fold<K>::start();
    if (a.is_packed) {
        long long at = e + (long long)lane * pack, rest = e + (end - e) / pack * pack;
        ADV_UNROLL(4)
        for (; at < rest; at += (long long)a.lanes * pack) {
            AdvPack<In, pack> p = adv_load<pack>(x + at);
            for (int j = 0; j < pack; j++) s = Fold<K>::add(s, (double)adv_wide(p.v[j]));
        }
        for (at = rest + lane; at < end; at += a.lanes) s = Fold<K>::add(s, (double)adv_wide(x[at]));
        return s;
    }
    ADV_UNROLL(1)
    for (e += lane; e < end; e += a.lanes) s = Fold<K>::add(s, (double)adv_wide(x[adv_nest_at(group, 0, e)]));
    return s;
}

template <int K, class In, class Out>
ADV_DEVICE void reduce_block(Out *y, const In *x, const AdvNest &kept, const AdvNest &group, const AdvReduceArgs &a, double *acc)
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
    if (lane == 0 && k < a.n_kept) y[blockIdx.y * a.n_kept + adv_nest_at(kept, 1, k)] = adv_narrow<Out>(finish(a, *mine));
}

template <class In, class Out>
ADV_DEVICE void reduce(Out *y, const In *x, const AdvNest &kept, const AdvNest &group, const AdvReduceArgs &a)
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

#define REDUCE(name, In, Out) \
    __global__ void __launch_bounds__(ADV_REDUCE_BLOCK) name(Out *y, const In *x, AdvNest kept, AdvNest group, AdvReduceArgs a) \
    { \
        reduce(y, x, kept, group, a); \
    }
/* at once; the first stage; the second */
REDUCE(reduce_f32, float, float)
REDUCE(reduce_bf16, AdvBf16, AdvBf16)
REDUCE(reduce_f16, AdvF16, AdvF16)
REDUCE(reduce_part_f32, float, double)
REDUCE(reduce_part_bf16, AdvBf16, double)
REDUCE(reduce_part_f16, AdvF16, double)
REDUCE(reduce_end_f32, double, float)
REDUCE(reduce_end_bf16, double, AdvBf16)
REDUCE(reduce_end_f16, double, AdvF16)

ADV_CUDA_TABLE(adv_cuda_fns_reduce)
ADV_CUDA_FN(reduce_f32)
ADV_CUDA_FN(reduce_bf16)
ADV_CUDA_FN(reduce_f16)
ADV_CUDA_FN(reduce_part_f32)
ADV_CUDA_FN(reduce_part_bf16)
ADV_CUDA_FN(reduce_part_f16)
ADV_CUDA_FN(reduce_end_f32)
ADV_CUDA_FN(reduce_end_bf16)
ADV_CUDA_FN(reduce_end_f16)
ADV_CUDA_END
