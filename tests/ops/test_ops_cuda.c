/* test_ops_cuda.c: the same cases, and every kernel of the cuda back end that accepts one, on the fake device (tests/cuda/fake.h):
** generated texts go through g++ in one piece, hand-written ones are compiled behind the shim.
**
**   test_ops_cuda [BACKEND_DIR]      with a folder: the kernels and the device of its adv_cuda.so (tools/gpu_check.sh)
*/
#include "op_main.h"

#include "ops/cuda/kernels_cuda.h"
#include "runtime/module.h"
#include "tests/cuda/fake.h"

#include <dlfcn.h>
#include <stdio.h>

#define MAX_LENT (CASE_MAX_IN * 2 + ADV_MAX_FIXED + 1)

static const AdvBackend *be = &adv_backend_fake;
static void *self;
static AdvDiags *ds;
static struct { void *mem, *device; size_t n_bytes; } lent[MAX_LENT];
static uint32_t n_lent;

static AdvStatus prepared(void)
{
    AdvStatus st = be->prepared(self, ds);
    for (uint32_t i = 0; i < ds->list.n; i++) printf("%s\n", ds->list.at[i]->message);
    return st;
}

static void *lend(void *mem, size_t n_bytes)
{
    for (uint32_t i = 0; i < n_lent; i++)
        if (lent[i].mem == mem) return lent[i].device;
    void *p = n_lent < MAX_LENT ? be->alloc(self, n_bytes) : NULL;
    if (!p || be->copy(self, p, mem, n_bytes, ADV_TO_DEVICE) != ADV_OK) return NULL;
    lent[n_lent].mem = mem, lent[n_lent].device = p, lent[n_lent++].n_bytes = n_bytes;
    return p;
}

static AdvStatus finish(void)
{
    AdvStatus st = ADV_OK;
    for (uint32_t i = 0; i < n_lent; i++) {
        if (st == ADV_OK) st = be->copy(self, lent[i].mem, lent[i].device, lent[i].n_bytes, ADV_TO_HOST);
        be->free(self, lent[i].device, lent[i].n_bytes);
    }
    n_lent = 0;
    return st == ADV_OK ? be->sync(self) : st;
}

/* Takes back end and kernels of a module. */
static const AdvKernel *const *open_module(const char *dir)
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
    be = fn()->backend;
    return fn()->kernels;
}

int main(int argc, char **argv)
{
    AdvRegistry none = {.alloc = adv_alloc_default()};
    AdvBackendOpts o = {.alloc = adv_alloc_default(), .reg = &none, .n_threads = 1, .io = adv_io_posix()};
    SuiteDevice dev = {.prepared = prepared, .lend = lend, .finish = finish};
    const AdvKernel *const *kernels = argc > 1 ? open_module(argv[1]) : adv_kernels_cuda;
    ds = adv_diags_new(adv_alloc_default());
    if (!kernels || be->open(&o, ds, &self) != ADV_OK) {
        printf("%s\n", ds && ds->list.n ? ds->list.at[0]->message : "no module");
        adv_diags_free(ds);
        return 1;
    }
    dev.cuda = &((AdvCudaBack *)self)->cuda;
    int rc = op_main("cuda", kernels, &dev);
    be->close(self);
    adv_diags_free(ds);
    return rc;
}
