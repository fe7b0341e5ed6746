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

/* How tests of a loaded module reach its device. */
ADV_API AdvFake *adv_fake_of_module(void);
ADV_API AdvFake *adv_fake_of_module(void) { return &adv_fake; }
