/* shim.hpp: the words of CUDA as C++17 for the host, included before a .cu file or generated text that g++ compiles.
**
** A block runs as fibers. A worker fiber takes thread after thread of a block and runs each to its end: a plain loop. A thread that
** has to wait keeps its fiber, and another worker goes on with the next thread. When no thread is left to start, those that wait
** are looked at: a warp exchange is over when all lanes of its mask have come, a block's barrier when all threads that have not
** returned have. What a device leaves undefined ends the program with a message: an exchange with a lane that has returned, with
** different masks, or while others are at a barrier; so does a grid larger than a device takes.
**
** Every other grid runs its blocks and the threads of a block from the last to the first, so that what reads a neighbour's memory
** without waiting reads it too early in one of the two orders.
**
** Fibers are made with ucontext and switched with _setjmp and _longjmp, which call no system. __shared__ is static memory, since
** blocks do not overlap: its content is what the last block left. Each library of kernels has an engine of its own, so nothing
** has to be linked. Only the words that kernels of this repository use are here; add a line when one needs more.
*/
#ifndef ADV_TEST_CUDA_SHIM_HPP
#define ADV_TEST_CUDA_SHIM_HPP

#include "tests/cuda/shim_kernel.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <math.h>
#include <new>
#include <setjmp.h>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

#define ADV_CUDA_SHIM 1
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

/* ---- fibers -------------------------------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define ADV_SHIM_LEAVE(save, bottom, size) __sanitizer_start_switch_fiber(save, bottom, size)
#define ADV_SHIM_ARRIVE(save, bottom, size) __sanitizer_finish_switch_fiber(save, bottom, size)
#define ADV_SHIM_STACK (512u << 10)
#else
#define ADV_SHIM_LEAVE(save, bottom, size) (void)(save), (void)(bottom), (void)(size)
#define ADV_SHIM_ARRIVE(save, bottom, size) (void)(save), (void)(bottom), (void)(size)
#define ADV_SHIM_STACK (128u << 10)
#endif
#define ADV_SHIM_FN __attribute__((unused)) static

struct AdvShimIdx { unsigned x, y, z; };

namespace {

enum AdvShimWait { ADV_SHIM_NOT, ADV_SHIM_AT_BLOCK, ADV_SHIM_AT_WARP };

struct AdvShimFiber {
    ucontext_t context;
    jmp_buf at;
    void *stack, *asan;
    unsigned thread;  /* that it runs */
    unsigned turn;    /* of its warp when it began to wait */
    AdvShimWait wait;
    bool is_started, is_idle;
};

struct AdvShimWarp {
    uint64_t given[32], got[32];
    unsigned arrived, mask, done; /* lanes at an exchange, its mask, lanes that have returned */
    unsigned turn;                /* exchanges that are over */
};

/* What a thread has begun and not waited for, by groups; the last one is open (shim_wgmma.hpp). */
struct AdvShimCopy { unsigned char *to; const void *from; bool is_there; };
struct AdvShimProduct { float *d; const unsigned *a; uint64_t b; bool by_column; };
struct AdvShimAsync {
    std::deque<std::vector<AdvShimCopy>> copies;
    std::deque<std::vector<AdvShimProduct>> products;
    bool is_unseen, has_begun; /* copies that products may not see yet; adv_products_begin since the last group */
    AdvShimAsync() : copies(1), products(1), is_unseen(false), has_begun(false) {}
};

/* All there is of an engine: one block at a time. */
struct AdvShim {
    AdvShimIdx thread, block, block_dim, grid_dim;
    void (*call)(const void *packed);
    const void *packed;
    unsigned n_threads, next, n_done;
    bool is_backward; /* the last thread first */
    std::vector<AdvShimFiber *> waiting, idle;
    std::vector<AdvShimWarp> warps;
    std::vector<AdvShimAsync> async; /* by thread */
    unsigned char *dynamic;
    size_t dynamic_bytes;
    AdvShimFiber *running;
    jmp_buf scheduler;
    void *asan;
    const void *stack;
    size_t stack_bytes;
    ~AdvShim()
    {
        for (AdvShimFiber *f : idle) free(f->stack), delete f;
    }
};

AdvShim adv_shim;

} // namespace

#define threadIdx adv_shim.thread
#define blockIdx adv_shim.block
#define blockDim adv_shim.block_dim
#define gridDim adv_shim.grid_dim

__attribute__((noreturn)) ADV_SHIM_FN void adv_shim_wrong(const char *what)
{
    fprintf(stderr, "shim: block (%u,%u,%u), thread (%u,%u,%u): %s\n", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
            threadIdx.z, what);
    abort();
}

ADV_SHIM_FN void adv_shim_set_thread(unsigned t)
{
    threadIdx.x = t % blockDim.x;
    threadIdx.y = t / blockDim.x % blockDim.y;
    threadIdx.z = t / blockDim.x / blockDim.y;
}

/* From a fiber to the scheduler. */
__attribute__((noinline)) ADV_SHIM_FN void adv_shim_leave(AdvShimFiber *f)
{
    if (_setjmp(f->at) == 0) {
        ADV_SHIM_LEAVE(&f->asan, adv_shim.stack, adv_shim.stack_bytes);
        _longjmp(adv_shim.scheduler, 1);
    }
    ADV_SHIM_ARRIVE(f->asan, &adv_shim.stack, &adv_shim.stack_bytes);
    adv_shim_set_thread(f->thread);
}

/* What a worker does for ever: threads to their end, then idle until a block has threads again. */
ADV_SHIM_FN void adv_shim_work(void)
{
    AdvShim &s = adv_shim;
    AdvShimFiber *f = s.running;
    ADV_SHIM_ARRIVE(nullptr, &s.stack, &s.stack_bytes);
    for (;;) {
        while (s.next < s.n_threads) {
            f->thread = s.is_backward ? s.n_threads - 1 - s.next : s.next;
            s.next++;
            adv_shim_set_thread(f->thread);
            s.call(s.packed);
            s.n_done++;
            s.warps[f->thread / 32].done |= 1u << f->thread % 32;
        }
        f->is_idle = true;
        adv_shim_leave(f);
    }
}

/* From the scheduler to a fiber, until it waits or is idle. */
__attribute__((noinline)) ADV_SHIM_FN void adv_shim_enter(AdvShimFiber *f)
{
    AdvShim &s = adv_shim;
    s.running = f;
    f->wait = ADV_SHIM_NOT;
    f->is_idle = false;
    if (_setjmp(s.scheduler) == 0) {
        ADV_SHIM_LEAVE(&adv_shim.asan, f->stack, ADV_SHIM_STACK);
        if (f->is_started) _longjmp(f->at, 1);
        f->is_started = true;
        setcontext(&f->context);
    }
    ADV_SHIM_ARRIVE(adv_shim.asan, nullptr, nullptr);
    (adv_shim.running->is_idle ? adv_shim.idle : adv_shim.waiting).push_back(adv_shim.running);
}

ADV_SHIM_FN AdvShimFiber *adv_shim_worker(void)
{
    AdvShimFiber *f;
    if (!adv_shim.idle.empty()) {
        f = adv_shim.idle.back();
        adv_shim.idle.pop_back();
        return f;
    }
    f = new AdvShimFiber();
    f->stack = malloc(ADV_SHIM_STACK);
    if (!f->stack || getcontext(&f->context) != 0) abort();
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = ADV_SHIM_STACK;
    f->context.uc_link = nullptr;
    makecontext(&f->context, adv_shim_work, 0);
    return f;
}

/* Lets those go on that wait for nothing any more. False: there are none. */
ADV_SHIM_FN bool adv_shim_release(void)
{
    std::vector<AdvShimFiber *> was, go;
    bool at_block = true;
    was.swap(adv_shim.waiting);
    for (AdvShimFiber *f : was) at_block = at_block && f->wait == ADV_SHIM_AT_BLOCK;
    for (AdvShimFiber *f : was) {
        bool is_free = f->wait == ADV_SHIM_AT_BLOCK ? at_block : adv_shim.warps[f->thread / 32].turn != f->turn;
        (is_free ? go : adv_shim.waiting).push_back(f);
    }
    for (AdvShimFiber *f : go) adv_shim_enter(f);
    return !go.empty();
}

ADV_SHIM_FN void adv_shim_run_block(void)
{
    AdvShim &s = adv_shim;
    s.next = s.n_done = 0;
    s.warps.assign((s.n_threads + 31) / 32, AdvShimWarp());
    s.async.clear();
    while (s.n_done < s.n_threads) {
        if (s.next < s.n_threads) adv_shim_enter(adv_shim_worker());
        else if (!adv_shim_release()) {
            adv_shim_set_thread(s.waiting[0]->thread);
            adv_shim_wrong("waits for threads that never come to the same place");
        }
    }
    for (const AdvShimAsync &a : s.async)
        if (a.copies.size() > 1 || a.products.size() > 1) adv_shim_wrong("ends while copies or products are under way");
}

ADV_SHIM_FN void adv_shim_run_grid(const AdvShimGeometry *g, void (*call)(const void *), const void *packed)
{
    AdvShim &s = adv_shim;
    s.call = call;
    s.packed = packed;
    s.block_dim = {g->block[0], g->block[1], g->block[2]};
    s.grid_dim = {g->grid[0], g->grid[1], g->grid[2]};
    s.n_threads = g->block[0] * g->block[1] * g->block[2];
    s.dynamic = (unsigned char *)malloc(g->shared_bytes ? g->shared_bytes : 1);
    if (!s.dynamic) abort();
    s.dynamic_bytes = g->shared_bytes;
    if (s.n_threads == 0 || s.n_threads > 1024) adv_shim_wrong("a block of no threads, or of more than 1024");
    if (g->grid[1] > 65535 || g->grid[2] > 65535 || g->grid[0] > 0x7fffffffu) adv_shim_wrong("more blocks than a grid may have");
    s.is_backward = !s.is_backward;
    uint64_t n_blocks = (uint64_t)g->grid[0] * g->grid[1] * g->grid[2];
    for (uint64_t i = 0; i < n_blocks; i++) {
        uint64_t at = s.is_backward ? n_blocks - 1 - i : i;
        s.block = {(unsigned)(at % g->grid[0]), (unsigned)(at / g->grid[0] % g->grid[1]), (unsigned)(at / g->grid[0] / g->grid[1])};
        memset(s.dynamic, 0xdd, g->shared_bytes);
        adv_shim_run_block();
    }
    free(s.dynamic);
}

/* ---- waiting and exchanging ---------------------------------------------------------------------------------------- */

ADV_SHIM_FN void *adv_shim_dynamic(void) { return adv_shim.dynamic; }

ADV_SHIM_FN void __syncthreads(void)
{
    if (!adv_shim.async.empty() && adv_shim.async[adv_shim.running->thread].is_unseen)
        adv_shim_wrong("gives others what it copied before products may see it: adv_shared_for_products");
    adv_shim.running->wait = ADV_SHIM_AT_BLOCK;
    adv_shim_leave(adv_shim.running);
}

/* Gives `bits` of this lane to the lanes of `mask` and gets theirs: all[lane], valid until the next call. */
ADV_SHIM_FN const uint64_t *adv_shim_exchange(unsigned mask, uint64_t bits)
{
    AdvShimFiber *f = adv_shim.running;
    AdvShimWarp &w = adv_shim.warps[f->thread / 32];
    unsigned lane = f->thread % 32, n_lanes = adv_shim.n_threads - f->thread / 32 * 32;
    if (!(mask >> lane & 1u)) adv_shim_wrong("exchanges with a mask that leaves itself out");
    if (n_lanes < 32 && mask >> n_lanes) adv_shim_wrong("exchanges with lanes that the block does not have");
    if (w.done & mask) adv_shim_wrong("exchanges with a lane that has returned");
    if (w.arrived && w.mask != mask) adv_shim_wrong("exchanges with another mask than the lane before it");
    w.mask = mask;
    w.given[lane] = bits;
    w.arrived |= 1u << lane;
    if (w.arrived == mask) {
        memcpy(w.got, w.given, sizeof w.got);
        w.arrived = 0;
        w.turn++;
        return w.got;
    }
    f->wait = ADV_SHIM_AT_WARP;
    f->turn = w.turn;
    adv_shim_leave(f);
    return w.got;
}

ADV_SHIM_FN unsigned adv_shim_lane(void) { return adv_shim.running->thread % 32; }

template <class T> static inline T adv_shim_from(unsigned mask, T x, unsigned lane)
{
    static_assert(sizeof(T) <= 8, "values of up to 8 bytes");
    uint64_t bits = 0;
    T r;
    memcpy(&bits, &x, sizeof x);
    bits = adv_shim_exchange(mask, bits)[lane % 32];
    memcpy(&r, &bits, sizeof r);
    return r;
}

static inline void __syncwarp(unsigned mask = 0xffffffffu) { adv_shim_exchange(mask, 0); }
template <class T> static inline T __shfl_sync(unsigned mask, T x, unsigned lane) { return adv_shim_from(mask, x, lane); }
template <class T> static inline T __shfl_xor_sync(unsigned mask, T x, unsigned m)
{
    return adv_shim_from(mask, x, adv_shim_lane() ^ m);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T x, unsigned n)
{
    unsigned lane = adv_shim_lane();
    return adv_shim_from(mask, x, lane + n < 32 ? lane + n : lane);
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T x, unsigned n)
{
    unsigned lane = adv_shim_lane();
    return adv_shim_from(mask, x, lane >= n ? lane - n : lane);
}
static inline unsigned __ballot_sync(unsigned mask, int x)
{
    const uint64_t *all = adv_shim_exchange(mask, x != 0);
    unsigned r = 0;
    for (unsigned i = 0; i < 32; i++) r |= (mask >> i & 1u) && all[i] ? 1u << i : 0u;
    return r;
}
static inline int __any_sync(unsigned mask, int x) { return __ballot_sync(mask, x) != 0; }
static inline int __all_sync(unsigned mask, int x) { return __ballot_sync(mask, x) == mask; }
static inline void __threadfence(void) {}
static inline void __threadfence_block(void) {}

/* ---- atomics: only one thread runs at a time ----------------------------------------------------------------------- */

template <class T> static inline T atomicAdd(T *p, T x) { T was = *p; *p = was + x; return was; }
template <class T> static inline T atomicMax(T *p, T x) { T was = *p; *p = was > x ? was : x; return was; }
template <class T> static inline T atomicMin(T *p, T x) { T was = *p; *p = was < x ? was : x; return was; }
template <class T> static inline T atomicOr(T *p, T x) { T was = *p; *p = was | x; return was; }
template <class T> static inline T atomicExch(T *p, T x) { T was = *p; *p = x; return was; }
template <class T> static inline T atomicCAS(T *p, T old, T x) { T was = *p; if (was == old) *p = x; return was; }

/* ---- functions ----------------------------------------------------------------------------------------------------- */

static inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(unsigned x) { return x ? __builtin_clz(x) : 32; }
static inline int __ffs(unsigned x) { return __builtin_ffs((int)x); }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
template <class T> static inline T __ldg(const T *p) { return *p; }

#include "tests/cuda/shim_wgmma.hpp"

/* ---- kernels as the fake device sees them -------------------------------------------------------------------------- */

template <auto K> struct AdvShimRun;
template <class... A, void (*K)(A...)> struct AdvShimRun<K> {
    typedef std::tuple<A...> Args;
    template <size_t... I> static void make(void **args, void *to, std::index_sequence<I...>)
    {
        (void)args;
        new (to) Args(*(A *)args[I]...);
    }
    static void pack(void **args, void *to) { make(args, to, std::index_sequence_for<A...>()); }
    static void call(const void *packed) { std::apply(K, *(const Args *)packed); }
    static void run(const AdvShimGeometry *g, const void *packed) { adv_shim_run_grid(g, call, packed); }
    static constexpr AdvShimKernel kernel = {sizeof(Args), pack, run};
};
template <auto K> inline const AdvShimKernel adv_shim_thunk = AdvShimRun<K>::kernel;

/* After generated text: the symbol under which the fake device finds kernel k. */
#define ADV_SHIM_EXPORT(k) extern "C" __attribute__((visibility("default"))) const AdvShimKernel adv_shim_of_##k = adv_shim_thunk<&k>;

#endif
