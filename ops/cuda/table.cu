/* table.cu: rows of tables by number, sums by class, and finding an extreme element again.
**
** Rows are dense, so a row is units of up to 16 bytes whatever its type. A row number out of range is a fault; the rest is done.
** Limit: memory bandwidth for long rows; short ones (a radius for each sample) are one launch. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/table.h"

struct alignas(16) Unit16 { unsigned long long a, b; };

/* Row number i, whatever the integers are. */
ADV_DEVICE long long row_of(const void *ids, int id_bytes, long long i)
{
    return id_bytes == 8 ? ((const long long *)ids)[i] : id_bytes == 4 ? ((const int *)ids)[i] : ((const unsigned char *)ids)[i];
}

/* ---- gather: a thread a unit ---- */

template <class U> ADV_DEVICE void gather(U *y, const U *table, const void *ids, unsigned *fault, const AdvTableArgs &a)
{
    long long t = adv_thread();
    if (t >= a.n_ids * a.n_units) return;
    bool is_small = a.n_ids * a.n_units <= 0xffffffffLL; /* divided in 32 bits, which takes a quarter of the time */
    long long i = is_small ? (unsigned)t / (unsigned)a.n_units : t / a.n_units, id = row_of(ids, a.id_bytes, i);
    if (id < 0 || id >= a.n_rows) {
        adv_fault(fault, a.fault_code);
        return;
    }
    y[t] = table[id * a.n_units + (t - i * a.n_units)];
}

/* ---- scatter: a block a row; of equal numbers the last stays ---- */

ADV_DEVICE bool is_set(const void *mask, int mask_type, long long i)
{
    return mask_type == ADV_TABLE_F32    ? ((const float *)mask)[i] != 0
           : mask_type == ADV_TABLE_BF16 ? adv_wide(((const AdvBf16 *)mask)[i]) != 0
                                         : adv_wide(((const AdvF16 *)mask)[i]) != 0;
}

template <class U>
ADV_DEVICE void scatter(U *table, const U *rows, const void *ids, const void *mask, unsigned *fault, const AdvTableArgs &a)
{
    long long i = blockIdx.x, id = row_of(ids, a.id_bytes, i);
    unsigned is_late = 0;
    if (!is_set(mask, a.mask_type, i)) return;
    if (id < 0 || id >= a.n_rows) {
        if (threadIdx.x == 0) adv_fault(fault, a.fault_code);
        return;
    }
    for (long long j = i + 1 + threadIdx.x; j < a.n_ids; j += ADV_TABLE_BLOCK)
        is_late |= row_of(ids, a.id_bytes, j) == id && is_set(mask, a.mask_type, j);
    if (adv_block_reduce<AdvMax, ADV_TABLE_BLOCK>(is_late)) return; /* a later one writes this row */
    for (long long u = threadIdx.x; u < a.n_units; u += ADV_TABLE_BLOCK) table[id * a.n_units + u] = rows[i * a.n_units + u];
}

#define TABLE(U, bytes) \
    __global__ void gather_##bytes(U *y, const U *table, const void *ids, unsigned *fault, AdvTableArgs a) \
    { \
        gather(y, table, ids, fault, a); \
    } \
    __global__ void scatter_##bytes(U *table, const U *rows, const void *ids, const void *mask, unsigned *fault, AdvTableArgs a) \
    { \
        scatter(table, rows, ids, mask, fault, a); \
    }
TABLE(unsigned char, 1)
TABLE(unsigned short, 2)
TABLE(unsigned, 4)
TABLE(unsigned long long, 8)
TABLE(Unit16, 16)

/* ---- class_sum: a warp an element of the result, its lanes the rows in turn ---- */

template <class T> ADV_DEVICE void class_sum(T *y, const T *v, const void *ids, unsigned *fault, const AdvTableArgs &a)
{
    long long t = adv_thread() / 32, k = t / a.n_units, e = t % a.n_units;
    double s = 0;
    if (k >= a.n_rows) return; /* a warp as a whole */
    ADV_UNROLL(4)
    for (long long i = threadIdx.x % 32; i < a.n_ids; i += 32) {
        long long id = row_of(ids, a.id_bytes, i);
        if (id == k) s += (double)adv_wide(v[i * a.n_units + e]);
        if (t == 0 && (id < 0 || id >= a.n_rows)) adv_fault(fault, a.fault_code);
    }
    s = adv_warp_reduce<AdvSum>(s);
    if (threadIdx.x % 32 == 0) y[t] = adv_narrow<T>(s);
}

#define CLASS_SUM(type, T) \
    __global__ void class_sum_##type(T *y, const T *v, const void *ids, unsigned *fault, AdvTableArgs a) \
    { \
        class_sum(y, v, ids, fault, a); \
    }
CLASS_SUM(f32, float)
CLASS_SUM(bf16, AdvBf16)
CLASS_SUM(f16, AdvF16)

/* ---- extreme_put, extreme_take: a block a result ---- */

/* In row order: x and the tensor that is written (put) or read (take); results: x, that tensor; y, and gy (put) or out (take). */
template <class T>
ADV_DEVICE void extreme(const T *x, const T *y, T *other, T *one, const AdvNest &group, const AdvNest &rest, const AdvNest &rest1,
                        const AdvExtremeArgs &a)
{
    long long r = blockIdx.x, at = a.n_group;
    const T *xs = x + adv_nest_at(rest, 0, r);
    T *others = other + adv_nest_at(rest, 1, r), *of_result = one + adv_nest_at(rest1, 1, r);
    float m = adv_wide(y[adv_nest_at(rest1, 0, r)]);
    for (long long e = threadIdx.x; e < a.n_group && at == a.n_group; e += ADV_TABLE_BLOCK) {
        float v = adv_wide(xs[adv_nest_at(group, 0, e)]);
        if (v == m || (v != v && m != m)) at = e;
    }
    at = adv_block_reduce<AdvMin, ADV_TABLE_BLOCK>(at);
    if (a.is_put)
        for (long long e = threadIdx.x; e < a.n_group; e += ADV_TABLE_BLOCK)
            others[adv_nest_at(group, 1, e)] = e == at ? *of_result : adv_narrow<T>(0.0f);
    else if (threadIdx.x == 0) *of_result = at < a.n_group ? others[adv_nest_at(group, 1, at)] : adv_narrow<T>(0.0f);
}

#define EXTREME(type, T) \
    __global__ void extreme_##type(const T *x, const T *y, T *other, T *one, AdvNest group, AdvNest rest, AdvNest rest1, AdvExtremeArgs a) \
    { \
        extreme(x, y, other, one, group, rest, rest1, a); \
    }
EXTREME(f32, float)
EXTREME(bf16, AdvBf16)
EXTREME(f16, AdvF16)

__global__ void iota(long long *y, long long n)
{
    long long i = adv_thread();
    if (i < n) y[i] = i;
}

ADV_CUDA_TABLE(adv_cuda_fns_table)
ADV_CUDA_FN(gather_1)
ADV_CUDA_FN(gather_2)
ADV_CUDA_FN(gather_4)
ADV_CUDA_FN(gather_8)
ADV_CUDA_FN(gather_16)
ADV_CUDA_FN(scatter_1)
ADV_CUDA_FN(scatter_2)
ADV_CUDA_FN(scatter_4)
ADV_CUDA_FN(scatter_8)
ADV_CUDA_FN(scatter_16)
ADV_CUDA_FN(class_sum_f32)
ADV_CUDA_FN(class_sum_bf16)
ADV_CUDA_FN(class_sum_f16)
ADV_CUDA_FN(extreme_f32)
ADV_CUDA_FN(extreme_bf16)
ADV_CUDA_FN(extreme_f16)
ADV_CUDA_FN(iota)
ADV_CUDA_END
