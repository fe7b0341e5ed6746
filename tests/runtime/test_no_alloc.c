/* test_no_alloc.c: nothing allocates while a training step runs. A network trains on back end cpu; after two steps, which may still
** set up threads, the context's allocator is counted and, where no sanitizer stands in for them, every malloc, calloc, realloc and
** aligned_alloc of the process: ours, OpenMP's and the libraries'.
**
** oneDNN makes and frees small tables of its own at each call of a primitive, which no option turns off; so a network with its
** convolutions is held to ours alone.
*/
#include "tests/adv_test.h"

#include "compiler/adv_compile.h"
#include "runtime/adv.h"
#include "tests/base/fault_alloc.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_long n_mallocs;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#endif

#if defined(__GLIBC__) && !defined(HAS_SANITIZER)
#define COUNTS_ALL 1
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t m);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void *malloc(size_t n) { atomic_fetch_add(&n_mallocs, 1); return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { atomic_fetch_add(&n_mallocs, 1); return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { atomic_fetch_add(&n_mallocs, 1); return __libc_realloc(p, n); }
void *aligned_alloc(size_t align, size_t n) { atomic_fetch_add(&n_mallocs, 1); return __libc_memalign(align, n); }
int posix_memalign(void **p, size_t align, size_t n)
{
    atomic_fetch_add(&n_mallocs, 1);
    *p = __libc_memalign(align, n);
    return *p ? 0 : 12;
}
#else
#define COUNTS_ALL 0
#endif

static const char data[] = "adv 1\nuse std.nets\nuse std.attacks\n"
                           "data synthetic { train = 256; test = 32; classes = 10; shape = [3, 16, 16]; batch = 8\n"
                           "  y = id - 10*floor(id/10); x = clip(0.05*y + 0.1*normal(like = x), 0, 1) }\n";
static const char tail[] = "state z: per_slot(x) = 0\n"
                           "step {\n"
                           "  x_adv = pgd(z => ce(f.eval(z), y), x, eps = 0.03, size = 0.01, steps = 3, start = x + normal(like = x)/99)\n"
                           "  z <- x_adv; minimize ce(f(x_adv), y) over f }\n"
                           "optim f = sgd(lr = 0.01, momentum = 0.9)\ntrain { epochs = 9; seed = 1 }\n";

/* Allocations of three steps behind two others, by the context's allocator and by the process. */
static void count(const char *net, long *out_ours, long *out_all)
{
    char text[4096];
    AdvCompileOpts co = {.struct_size = sizeof co, .name = "no_alloc.adv", .text = text, .targets = "cpu", .allow = "all"};
    AdvSessionOpts so = {.struct_size = sizeof so, .backend = "cpu", .flags = ADV_SESSION_STRICT, .n_threads = 2};
    FaultAlloc mem = {0};
    AdvCtxOpts o = {.struct_size = sizeof o, .alloc = fault_alloc_fn, .user = &mem};
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan = NULL;
    AdvSession *s = NULL;
    void *bytes;
    uint64_t n_bytes;
    co.n_bytes = (size_t)snprintf(text, sizeof text, "%s%s%s", data, net, tail);
    if (adv_ctx_new(&o, &ctx) || adv_diags_open(ctx, &ds)) abort();
    CHECK_EQ(adv_compile(&co, ds, &bytes, &n_bytes), ADV_OK);
    CHECK_EQ(adv_plan_load(ctx, bytes, (size_t)n_bytes, ds, &plan), ADV_OK);
    adv_compile_free(&co, bytes, n_bytes);
    CHECK_EQ(adv_session_open(ctx, plan, &so, ds, &s), ADV_OK);
    CHECK_EQ(adv_session_step(s, 2, ds), ADV_OK);
    long ours = mem.calls, all = atomic_load(&n_mallocs);
    CHECK_EQ(adv_session_step(s, 3, ds), ADV_OK);
    *out_ours = mem.calls - ours, *out_all = atomic_load(&n_mallocs) - all;
    adv_session_close(s);
    adv_plan_close(plan);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
}

static void linear_layers_allocate_nothing(void)
{
    long ours, all;
    count("net lin(x) { return x -> linear(16) -> relu -> linear(10) }\nmodel f = lin()\n", &ours, &all);
    CHECK_EQ(ours, 0);
    CHECK_EQ(all, 0);
    if (!COUNTS_ALL) printf("SKIP allocations of the whole process: a sanitizer or another C library stands in for malloc\n");
}

static void convolutions_allocate_nothing_of_ours(void)
{
    long ours, all;
    count("model f = small_cnn()\n", &ours, &all);
    CHECK_EQ(ours, 0);
}

int main(void)
{
    RUN(linear_layers_allocate_nothing);
    RUN(convolutions_allocate_nothing_of_ours);
    return ADV_TEST_END();
}
