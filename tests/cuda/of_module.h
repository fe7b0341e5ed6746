/* of_module.h: back end and kernels of an adv_cuda.so, for test programs that run on the fake device or, with the folder of a module, on a
** real one (tools/gpu_check.sh). The program links libdl.
*/
#ifndef ADV_TESTS_OF_MODULE_H
#define ADV_TESTS_OF_MODULE_H

#include "ops/adv_op.h"
#include "runtime/module.h"

#include <dlfcn.h>
#include <stdio.h>

/* NULL, and why is printed: there is none in the folder. Never closed. */
static inline const AdvKernel *const *of_module(const char *dir, const AdvBackend **out_be)
{
    char path[4096];
    AdvModuleFn *fn = NULL;
    snprintf(path, sizeof path, "%s/adv_cuda.so", dir);
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (lib) *(void **)&fn = dlsym(lib, ADV_MODULE_SYMBOL);
    if (!fn) {
        printf("%s\n", dlerror());
        return NULL;
    }
    *out_be = fn()->backend;
    return fn()->kernels;
}

#endif
