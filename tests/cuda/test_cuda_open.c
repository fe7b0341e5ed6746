/* test_cuda_open.c: sessions opened with cuDNN and NVRTC as they are, for a device that is only described.
**
**   test_cuda_open DRIVER                            the test: a small network
**   test_cuda_open DRIVER RECIPE BF16 THREADS CACHE  prints how long it takes to open; BF16: 0 or 1; CACHE: a folder, or -
**
** DRIVER is pretended_driver.c. The device is the fake one, but what is launched only counts, since nothing here asks for numbers. So what
** takes time is what takes time on a real machine before the device is timed: graphs, plans, generated code, and reading them back.
*/
#include "tests/adv_test.h"

#include "ops/cuda/kernels_cuda.h"
#include "runtime/adv.h"
#include "runtime/ctx.h"
#include "runtime/cuda/api_load.h"
#include "runtime/module.h"
#include "runtime/session.h"
#include "tests/base/scratch.h"
#include "tests/compiler/recipe.h"
#include "tests/cuda/fake.h"
#include "tests/cuda/h200.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static AdvCudaApi dnn;   /* cuDNN itself */
static AdvCudaApi fake;
static atomic_uint n_built, n_loaded;

/* ---- the device -------------------------------------------------------------------------------------------------------- */

static void tick(const void *what)
{
    (void)what;
    adv_fake_count(1, 1);
}

static cudaError_t launch(const void *fn, dim3 grid, dim3 block, void **args, size_t shared_bytes, cudaStream_t s)
{
    (void)grid, (void)block, (void)args, (void)shared_bytes;
    return fn ? adv_fake_enqueue(s, tick, NULL, 0) : cudaErrorInvalidDeviceFunction;
}

static cudaError_t load(cudaLibrary_t *lib, const void *code, enum cudaJitOption *jit, void **jit_values, unsigned n_jit,
                        enum cudaLibraryOption *o, void **o_values, unsigned n_o)
{
    (void)jit, (void)jit_values, (void)n_jit, (void)o, (void)o_values, (void)n_o;
    *lib = (cudaLibrary_t)(uintptr_t)code;
    return cudaSuccess;
}

static cudaError_t unload(cudaLibrary_t lib)
{
    (void)lib;
    return cudaSuccess;
}

static cudaError_t kernel_of(cudaKernel_t *k, cudaLibrary_t lib, const char *name)
{
    (void)name;
    *k = (cudaKernel_t)lib;
    return cudaSuccess;
}

static cudnnStatus_t execute(cudnnHandle_t h, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack)
{
    (void)plan, (void)pack;
    cudaStream_t stream = *(cudaStream_t *)h; /* the fake's handle holds nothing else */
    return adv_fake_enqueue(stream, tick, NULL, 0) == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

/* The device of a number is the one that is described. */
static cudnnStatus_t set_attr(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                              const void *values)
{
    if (name == CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG) atomic_fetch_add(&n_built, 1);
    if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION) atomic_fetch_add(&n_loaded, 1);
    if (name == CUDNN_ATTR_DEVICEPROP_DEVICE_ID)
        return dnn.cudnnBackendSetAttribute(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(h200), h200);
    return dnn.cudnnBackendSetAttribute(d, name, type, n, values);
}

static AdvStatus source(AdvCudaApi *api, AdvCudaLib which, const char *dirs, AdvDiags *ds)
{
    if (which == ADV_CUDA_RTC) return adv_cuda_api_load(api, which, dirs, ds);
    if (which == ADV_CUDA_DNN) {
        ADV_TRY(adv_cuda_api_load(&dnn, which, dirs, ds));
        ADV_TRY(adv_cuda_api_load(api, which, dirs, ds));
        adv_fake_fill_dnn(&fake);
        api->cudnnCreate = fake.cudnnCreate;
        api->cudnnDestroy = fake.cudnnDestroy;
        api->cudnnSetStream = fake.cudnnSetStream;
        api->cudnnBackendSetAttribute = set_attr;
        api->cudnnBackendExecute = execute;
        return ADV_OK;
    }
    ADV_TRY(adv_fake_source(api, which, dirs, ds));
    if (which != ADV_CUDA_RT) return ADV_OK;
    api->cudaLaunchKernel = launch;
    api->cudaLibraryLoadData = load;
    api->cudaLibraryUnload = unload;
    api->cudaLibraryGetKernel = kernel_of;
    return ADV_OK;
}

static AdvStatus open_device(const AdvBackendOpts *o, AdvDiags *ds, void **out_self) { return adv_cuda_open(o, source, ds, out_self); }
static const AdvBackend backend = {.open = open_device, ADV_CUDA_BACKEND};
static const AdvModule module = {ADV_MODULE_HEADER, .backend = &backend};

/* ---- opening ------------------------------------------------------------------------------------------------------------- */

typedef struct Opened {
    AdvStatus st;
    double seconds;
    uint32_t built, loaded;
    char choices[1 << 16];
} Opened;

static void print(void *user, const char *text, size_t n)
{
    (void)user;
    fwrite(text, 1, n, stdout);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static Opened *open_recipe(const Recipe *r, uint32_t n_threads, const char *cache)
{
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "cuda", .target = "cuda", .n_threads = n_threads, .cache_dir = cache};
    Opened *x = calloc(1, sizeof *x);
    AdvCtx *ctx = NULL;
    AdvDiags *ds = NULL;
    AdvPlan *plan = NULL;
    AdvSession *s = NULL;
    uint64_t n = 0;
    void *bytes = recipe_plan(r, "cuda", NULL, &n);
    if (!x || !bytes || adv_ctx_new(NULL, &ctx) != ADV_OK || adv_diags_open(ctx, &ds) != ADV_OK) abort();
    ctx->modules[ctx->n_modules++] = &module;
    adv_fake.total_bytes = UINT64_C(64) << 30;
    n_built = n_loaded = 0;
    x->st = adv_registry_add_kernels(&ctx->reg, adv_kernels_cuda, ds);
    if (x->st == ADV_OK) x->st = adv_plan_load(ctx, bytes, n, ds, &plan);
    double t0 = now();
    if (x->st == ADV_OK) x->st = adv_session_open(ctx, plan, &o, ds, &s);
    x->seconds = now() - t0;
    x->built = n_built, x->loaded = n_loaded;
    if (x->st != ADV_OK) adv_diags_render(ds, ADV_PRINT_HUMAN, print, NULL);
    else snprintf(x->choices, sizeof x->choices, "%s", s->be->choices(s->self));
    adv_session_close(s);
    adv_plan_close(plan);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    recipe_plan_free(bytes, n);
    CHECK_EQ(adv_fake_reset(), 0);
    return x;
}

/* One convolution with an epilogue for which the library compiles code, and its gradient by the weights. */
static const char small_text[] =
    "adv 1\n"
    "use std.nets\n"
    "run { precision = bf16 }\n"
    "data synthetic { train = 64; test = 16; classes = 4; shape = [8, 4, 4]; batch = 16; y = id - 4*floor(id/4); x = normal(like = x) }\n"
    "net small(x) { return x -> conv1: conv(16, 3, bias = 1) -> relu -> flatten -> fc: linear(4) }\n"
    "model f = small()\n"
    "step { minimize ce(f(x), y) over f }\n"
    "optim f = sgd(lr = 0.1)\n"
    "train { epochs = 1; seed = 1 }\n";

/* Nothing is built where all was kept, and what was built side by side is chosen as what was built by one thread. */
static void a_second_opening_builds_nothing(void)
{
    char dir[64];
    Recipe *r = recipe_of("small.adv", small_text);
    scratch_make(dir);
    Opened *one = open_recipe(r, 1, NULL), *two = open_recipe(r, 2, dir), *again = open_recipe(r, 2, dir);
    CHECK(one->st == ADV_OK && two->st == ADV_OK && again->st == ADV_OK);
    CHECK(one->built > 0 && one->loaded == 0);
    CHECK_EQ(two->built, one->built);
    CHECK_STR(two->choices, one->choices);
    CHECK_EQ(again->built, 0);
    CHECK(again->loaded > 0);
    CHECK_STR(again->choices, one->choices);
    printf("%u plans built, %u loaded\n", (unsigned)one->built, (unsigned)again->loaded);
    free(one), free(two), free(again);
    scratch_remove(dir);
    recipe_free(r);
}

static int print_figures(char **arg)
{
    Recipe *r = recipe_open(arg[0]);
    if (atoi(arg[1])) recipe_put(r, "train {", "run { precision = bf16 }\ntrain {");
    Opened *x = open_recipe(r, (uint32_t)atoi(arg[2]), *arg[3] == '-' ? NULL : arg[3]);
    printf("%.2f s with %s threads: %u plans built, %u loaded\n", x->seconds, arg[2], (unsigned)x->built, (unsigned)x->loaded);
    printf("%s", x->choices);
    int rc = x->st != ADV_OK;
    free(x);
    recipe_free(r);
    return rc;
}

int main(int argc, char **argv)
{
    cudnnBackendDescriptor_t d = NULL;
    if (argc < 2 || !dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL)) {
        printf("usage: test_cuda_open DRIVER [RECIPE BF16 THREADS CACHE]\n");
        return 64;
    }
    if (adv_cuda_api_load(&dnn, ADV_CUDA_DNN, NULL, NULL) != ADV_OK) {
        printf("SKIP cuDNN is not installed\n");
        return 77;
    }
    if (dnn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d)) {
        printf("SKIP cuDNN %zu is too old to plan for a device that is not there\n", dnn.cudnnGetVersion());
        return 77;
    }
    (void)dnn.cudnnBackendDestroyDescriptor(d);
    if (argc == 6) return print_figures(argv + 2);
    RUN(a_second_opening_builds_nothing);
    return ADV_TEST_END();
}
