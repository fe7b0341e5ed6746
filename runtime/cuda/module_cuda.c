/* module_cuda.c: adv_cuda.so's one exported function, and the CUDA runtime that is linked into it. */
#include "ops/cuda/kernels_cuda.h"
#include "runtime/cuda/api_load.h"
#include "runtime/module.h"

static AdvStatus source(AdvCudaApi *api, AdvCudaLib which, const char *dirs, AdvDiags *ds)
{
    if (which != ADV_CUDA_RT) return adv_cuda_api_load(api, which, dirs, ds);
#define SET_RT(name) api->name = name;
#define SET_BLAS(name)
#define SET_DNN(name)
#define SET_RTC(name)
#define API(library, result, name, arguments) SET_##library(name)
#include "runtime/cuda/api.def"
    return ADV_OK;
}

static AdvStatus open_cuda(const AdvBackendOpts *o, AdvDiags *ds, void **out_self) { return adv_cuda_open(o, source, ds, out_self); }

static AdvStatus probe_cuda(const AdvBackendOpts *o, AdvDiags *ds, int32_t *out_sm) { return adv_cuda_probe(o, source, ds, out_sm); }

static const AdvBackend backend = {.open = open_cuda, .probe = probe_cuda, ADV_CUDA_BACKEND};
static const AdvModule module = {ADV_MODULE_HEADER, .backend = &backend, .kernels = adv_kernels_cuda};

ADV_API const AdvModule *adv_module_v1(void);
ADV_API const AdvModule *adv_module_v1(void) { return &module; }
