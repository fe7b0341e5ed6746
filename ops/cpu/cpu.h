/* cpu.h: what the cpu kernels share: threads, clones for wider vectors, and loops over dense memory.
**
** Rules of the folder: f32 and integers, and what says so in bf16, too; sums of a whole tensor in double, those of products in float; the
** result never depends on the number of threads, because work is cut by shape alone; `run` allocates nothing. A kernel handles every size
** its `can` accepted.
*/
#ifndef ADV_OPS_CPU_H
#define ADV_OPS_CPU_H

#include "ops/loop.h"
#include "ops/nn/nn.h"

#ifdef _OPENMP
#include <omp.h>
#define ADV_OMP(...) ADV_OMP_TEXT(omp __VA_ARGS__)
#define ADV_OMP_TEXT(...) _Pragma(#__VA_ARGS__)
#define adv_thread_at() ((uint32_t)omp_get_thread_num())
#else
#define ADV_OMP(...)
#define adv_thread_at() 0u
#endif

/* A hot loop, compiled for three instruction sets and chosen when the program is loaded. Left out where the choice itself
** would run too early (sanitizers) or the compiler lacks it (clang 14). */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(ADV_NO_CLONES)
#define ADV_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define ADV_HAS_CLONES 1
#else
#define ADV_CLONES
#define ADV_HAS_CLONES 0
#endif

/* Threads for n_elems elements of work, one for each 16,384: waking another costs about as much as a few thousand. */
static inline int adv_cpu_threads(uint32_t n_threads, int64_t n_elems)
{
    int64_t most = n_elems / 16384;
    return most < 1 ? 1 : most < n_threads ? (int)most : (int)n_threads;
}

static inline int64_t adv_min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

/* Questions that `can` asks. */
bool adv_sig_f32(const AdvSig *s, const char **why);                   /* every float is f32 */
bool adv_sig_dense(const AdvView *v);                                  /* no gaps, row or channels-last */
bool adv_view_same_order(const AdvView *a, const AdvView *b);          /* same shape and strides, dims of 1 aside */
bool adv_can_f32(const AdvSig *s, const char **why);                   /* adv_sig_f32 and every output dense */

#endif
