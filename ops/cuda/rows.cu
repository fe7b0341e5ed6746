/* rows.cu: losses and probabilities over rows of logits, and classes of rows.
**
** A team works on a row: a warp where rows are short (8 rows a block), a block where they are long. All of a team take the same
** branches, so it may wait for itself anywhere. Sums go over lanes in a fixed order.
**
** Arithmetic in double: rows are few and the results are then the definition's, rounded once. Limit: for usual classes (10 to 1000)
** the launch itself; for long rows the double exponentials, about as long as reading the row. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/rows.h"

template <int G> struct Team {
    static __device__ __forceinline__ int lane() { return (int)threadIdx.x % G; }
    static __device__ __forceinline__ long long row() { return (long long)blockIdx.x * (ADV_ROWS_BLOCK / G) + threadIdx.x / G; }
    template <class Op, class T> static __device__ __forceinline__ T all(T x)
    {
        return G == 32 ? adv_warp_reduce<Op>(x) : adv_block_reduce<Op, ADV_ROWS_BLOCK>(x);
    }
};

/* Largest element, NaN if there is one; then log(sum(exp(z - m))). */
struct Norm { double m, l; };

template <int G, class T> ADV_DEVICE Norm norm_of(const T *z, long long n)
{
    Norm r = {(double)adv_wide(z[0]), 0};
    for (long long k = Team<G>::lane(); k < n; k += G) r.m = AdvMax::of(r.m, (double)adv_wide(z[k]));
    r.m = Team<G>::template all<AdvMax>(r.m);
    for (long long k = Team<G>::lane(); k < n; k += G) r.l += exp((double)adv_wide(z[k]) - r.m);
    r.l = log(Team<G>::template all<AdvSum>(r.l));
    return r;
}

template <class T> ADV_DEVICE double log_prob(const T *z, const Norm &s, long long k) { return (double)adv_wide(z[k]) - s.m - s.l; }

/* P*(log P - log Q) of class k; 0 where P is 0. */
template <class T> ADV_DEVICE double kl_term(const T *p, const T *q, const Norm &sp, const Norm &sq, long long k)
{
    double lp = log_prob(p, sp, k), e = exp(lp);
    return e == 0 ? 0 : e * (lp - log_prob(q, sq, k));
}

template <int G, class T> ADV_DEVICE double kl_of(const T *p, const T *q, const Norm &sp, const Norm &sq, long long n)
{
    double s = 0;
    for (long long k = Team<G>::lane(); k < n; k += G) s += kl_term(p, q, sp, sq, k);
    return Team<G>::template all<AdvSum>(s);
}

/* The first class with the largest of sign*z; the first NaN if there is one. */
template <int G, class T> ADV_DEVICE long long best_of(const T *z, long long n, double sign)
{
    double m = sign * (double)adv_wide(z[0]);
    long long at = n;
    for (long long k = Team<G>::lane(); k < n; k += G) m = AdvMax::of(m, sign * (double)adv_wide(z[k]));
    m = Team<G>::template all<AdvMax>(m);
    for (long long k = Team<G>::lane(); k < n; k += G) {
        double v = sign * (double)adv_wide(z[k]);
        if ((v == m || (v != v && m != m)) && k < at) at = k;
    }
    return Team<G>::template all<AdvMin>(at);
}

/* Larger first, then lower index; NaN counts as largest. */
ADV_DEVICE bool is_before(double x, long long i, double y, long long j)
{
    if (x != x || y != y) return x != x && (y == y || i < j);
    return x > y || (x == y && i < j);
}

template <int G, class T> ADV_DEVICE void nth_class(int *out, const T *z, long long n, int nth)
{
    for (long long i = Team<G>::lane(); i < n; i += G) {
        long long n_before = 0;
        double x = (double)adv_wide(z[i]);
        for (long long j = 0; j < n; j++) n_before += is_before((double)adv_wide(z[j]), j, x, i);
        if (n_before == nth - 1) *out = (int)i;
    }
}

/* One number of a row, written once. */
template <int G, class T> ADV_DEVICE void put_one(T *out, double x)
{
    if (Team<G>::lane() == 0) *out = adv_narrow<T>(x);
}

/* Rows z, z2 and out; c, out1: the row's place in tensors of one number a row; y its class. */
template <class T> struct Row {
    const T *z, *z2, *c;
    T *out, *out1;
    int *class_out;
    long long n, y;
};

template <int G, class T> ADV_DEVICE void probabilities(const AdvRowsArgs &a, const Row<T> &r)
{
    Norm s = norm_of<G>(r.z, r.n);
    double g = a.op == ADV_ROWS_ce_grad ? (double)adv_wide(*r.c) : 0;
    if (a.op == ADV_ROWS_logsumexp) put_one<G>(r.out1, s.m + s.l);
    if (a.op == ADV_ROWS_ce) put_one<G>(r.out1, s.l - ((double)adv_wide(r.z[r.y]) - s.m));
    if (a.op == ADV_ROWS_logsumexp || a.op == ADV_ROWS_ce) return;
    for (long long k = Team<G>::lane(); k < r.n; k += G) {
        double l = log_prob(r.z, s, k);
        double v = a.op == ADV_ROWS_log_softmax ? l : a.op == ADV_ROWS_softmax ? exp(l) : g * (exp(l) - (k == r.y));
        r.out[k] = adv_narrow<T>(v);
    }
}

template <int G, class T> ADV_DEVICE void divergence(const AdvRowsArgs &a, const Row<T> &r)
{
    Norm sp = norm_of<G>(r.z, r.n), sq = norm_of<G>(r.z2, r.n);
    double g = a.op == ADV_ROWS_kl ? 0 : (double)adv_wide(*r.c), kl = a.op == ADV_ROWS_kl_grad_q ? 0 : kl_of<G>(r.z, r.z2, sp, sq, r.n);
    if (a.op == ADV_ROWS_kl) {
        put_one<G>(r.out1, kl);
        return;
    }
    for (long long k = Team<G>::lane(); k < r.n; k += G) {
        double p = exp(log_prob(r.z, sp, k));
        double v = a.op == ADV_ROWS_kl_grad_q ? g * (exp(log_prob(r.z2, sq, k)) - p)
                   : p == 0                   ? 0
                                              : g * (kl_term(r.z, r.z2, sp, sq, k) - p * kl);
        r.out[k] = adv_narrow<T>(v);
    }
}

template <int G, class T> ADV_DEVICE void entropy(const Row<T> &r)
{
    double s = 0;
    for (long long k = Team<G>::lane(); k < r.n; k += G) {
        double p = (double)adv_wide(r.z[k]);
        if (p != 0) s -= p * log(p);
    }
    put_one<G>(r.out1, Team<G>::template all<AdvSum>(s));
}

template <int G, class T> ADV_DEVICE void one_row(const AdvRowsArgs &a, const Row<T> &r)
{
    switch (a.op) {
    case ADV_ROWS_entropy: entropy<G>(r); break;
    case ADV_ROWS_kl:
    case ADV_ROWS_kl_grad_p:
    case ADV_ROWS_kl_grad_q: divergence<G>(a, r); break;
    case ADV_ROWS_pick:
        if (Team<G>::lane() == 0) *r.out1 = r.z[r.y];
        break;
    case ADV_ROWS_put:
        for (long long k = Team<G>::lane(); k < r.n; k += G) r.out[k] = k == r.y ? adv_narrow<T>(a.value) : r.z[k];
        break;
    case ADV_ROWS_unpick:
        for (long long k = Team<G>::lane(); k < r.n; k += G) r.out[k] = k == r.y ? *r.c : adv_narrow<T>(0.0);
        break;
    case ADV_ROWS_argmax:
    case ADV_ROWS_argmin: {
        long long at = best_of<G>(r.z, r.n, a.op == ADV_ROWS_argmax ? 1.0 : -1.0);
        if (Team<G>::lane() == 0) *r.class_out = (int)at;
        break;
    }
    case ADV_ROWS_nth_class: nth_class<G>(r.class_out, r.z, r.n, a.k); break;
    default: probabilities<G>(a, r); break;
    }
}

/* z, z2, c, y: operands by their part, not all of them there. out as rows, numbers a row or classes. */
template <int G, class T>
ADV_DEVICE void rows(void *out, const T *z, const T *z2, const T *c, const int *y, unsigned *fault, const AdvRowsArgs &a)
{
    long long i = Team<G>::row();
    if (i >= a.n_rows) return;
    Row<T> r = {z ? z + i * a.n : z,   z2 ? z2 + i * a.n : z2, c ? c + i : c, (T *)out + i * a.n, (T *)out + i,
                (int *)out + i, a.n, y ? (long long)y[i] : 0};
    if (r.y < 0 || r.y >= a.n) {
        if (Team<G>::lane() == 0) adv_fault(fault, a.fault_code);
        return;
    }
    one_row<G>(a, r);
}

#define ROWS(name, T, G) \
    __global__ void __launch_bounds__(ADV_ROWS_BLOCK) \
        name(void *out, const T *z, const T *z2, const T *c, const int *y, unsigned *fault, AdvRowsArgs a) \
    { \
        rows<G>(out, z, z2, c, y, fault, a); \
    }
ROWS(rows_short_f32, float, 32)
ROWS(rows_short_bf16, AdvBf16, 32)
ROWS(rows_short_f16, AdvF16, 32)
ROWS(rows_long_f32, float, 256)
ROWS(rows_long_bf16, AdvBf16, 256)
ROWS(rows_long_f16, AdvF16, 256)

ADV_CUDA_TABLE(adv_cuda_fns_rows)
ADV_CUDA_FN(rows_short_f32)
ADV_CUDA_FN(rows_short_bf16)
ADV_CUDA_FN(rows_short_f16)
ADV_CUDA_FN(rows_long_f32)
ADV_CUDA_FN(rows_long_bf16)
ADV_CUDA_FN(rows_long_f16)
ADV_CUDA_END
