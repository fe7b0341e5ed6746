/* test_ops_cuda.c: on the same cases, every kernel of the cuda back end that accepts one, on the fake device (tests/cuda/fake.h):
** generated texts go through g++ in one piece, hand-written ones are compiled behind the shim.
**
**   test_ops_cuda [BACKEND_DIR]      with a folder: the kernels and the device of its adv_cuda.so (tools/gpu_check.sh)
**
** On a device of a module convolutions take the first way that runs, since timing all of them is minutes of compiling;
** with ADV_TEST_CHOOSE set they choose by time. ADV_TEST_CACHE names a folder for compiled code.
*/
#include "op_main.h"

#include "ops/cuda/kernels_cuda.h"
#include "tests/cuda/fake.h"
#include "tests/cuda/of_module.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void say(void *user, const char *text)
{
    (void)user;
    printf("%s\n", text);
}

int main(int argc, char **argv)
{
    static SuiteDevice dev;
    AdvRegistry none = {.alloc = adv_alloc_default()};
    const AdvBackend *be = &adv_backend_fake;
    const AdvKernel *const *kernels = argc > 1 ? of_module(argv[1], &be) : adv_kernels_cuda;
    AdvBackendOpts o = {.reg = &none, .log = say};
    if (!kernels) return 1;
    if (argc > 1) {
        o.n_threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
        o.is_deterministic = !getenv("ADV_TEST_CHOOSE");
        o.cache_dir = getenv("ADV_TEST_CACHE");
    }
    int rc = 1;
    if (suite_device_open(&dev, be, &o) == ADV_OK) rc = op_main("cuda", kernels, &dev);
    else suite_device_say(&dev);
    suite_device_close(&dev);
    return rc;
}
