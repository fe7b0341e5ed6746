/* fake_module.c: adv_cuda.so on the fake device: what a program opens with --backend-dir=BUILD/tests/cuda. */
#include "tests/cuda/fake.h"

#include "ops/cuda/kernels_cuda.h"
#include "runtime/module.h"

ADV_API const AdvModule *adv_module_v1(void);
ADV_API const AdvModule *adv_module_v1(void)
{
    static AdvModule module = {ADV_MODULE_HEADER, .backend = &adv_backend_fake};
    module.kernels = adv_kernels_cuda;
    return &module;
}

/* How plugins of tests launch: `run` gets a copy of n_bytes of `what`, in order with what is on the stream. Not 0: it failed. */
ADV_API int adv_fake_launch(void *stream, void (*run)(const void *what), const void *what, size_t n_bytes);
ADV_API int adv_fake_launch(void *stream, void (*run)(const void *what), const void *what, size_t n_bytes)
{
    cudaError_t e = adv_fake_call(false);
    return e != cudaSuccess ? (int)e : (int)adv_fake_enqueue(stream, run, what, n_bytes);
}

/* The device fails for good at its next call. */
ADV_API void adv_fake_kill(void);
ADV_API void adv_fake_kill(void)
{
    adv_fake.fail_with = cudaErrorIllegalAddress;
    adv_fake.n_calls = 0;
    adv_fake.fail_at = 1;
}

/* How tests of a loaded module reach its device. */
ADV_API AdvFake *adv_fake_of_module(void);
ADV_API AdvFake *adv_fake_of_module(void) { return &adv_fake; }
