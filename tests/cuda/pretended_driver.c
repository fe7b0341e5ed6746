/* pretended_driver.c: a libcuda.so.1 that loads everything and can do nothing. With it cuDNN compiles plans and writes them as text on a
** machine without a driver (the toolkit's stub of the same name refuses to load what was compiled). Every function that cuDNN 9 looks up
** must be here; those that matter answer, the others say CUDA_ERROR_STUB_LIBRARY.
*/
#include <stdlib.h>

#define FUNCTIONS(F) \
    F(cuCtxGetCurrent) F(cuCtxGetDevice) F(cuCtxGetLimit) F(cuCtxPopCurrent) F(cuCtxPushCurrent) F(cuDeviceGet) \
    F(cuDeviceGetAttribute) F(cuDeviceGetCount) F(cuDevicePrimaryCtxRelease) F(cuDevicePrimaryCtxReset) F(cuDevicePrimaryCtxRetain) \
    F(cuDriverGetVersion) F(cuFuncGetAttribute) F(cuFuncSetAttribute) F(cuGetErrorName) F(cuGetErrorString) F(cuInit) \
    F(cuKernelGetAttribute) F(cuLaunchCooperativeKernel) F(cuLaunchKernel) F(cuLaunchKernelEx) F(cuLibraryLoadFromFile) \
    F(cuLinkAddData) F(cuLinkAddData_v2) F(cuLinkAddFile_v2) F(cuLinkComplete) F(cuLinkCreate) F(cuLinkCreate_v2) F(cuLinkDestroy) \
    F(cuMemcpyDtoH_v2) F(cuModuleGetFunction) F(cuModuleGetGlobal_v2) F(cuModuleLoadData) F(cuModuleLoadDataEx) \
    F(cuModuleLoadFatBinary) F(cuModuleUnload) F(cuOccupancyMaxActiveBlocksPerMultiprocessor) F(cuOccupancyMaxPotentialClusterSize) \
    F(cuStreamGetCtx) F(cuStreamSynchronize) F(cuTensorMapEncodeTiled)

#define SHOWN __attribute__((visibility("default")))
#define CANNOT(name) SHOWN int name(void); int name(void) { return 34; }
FUNCTIONS(CANNOT)

SHOWN int cuLibraryLoadData(void **out, const void *code);
SHOWN int cuLibraryUnload(void *library);
SHOWN int cuLibraryGetKernel(void **out, void *library, const char *name);
SHOWN int cuKernelSetAttribute(int what, int value, void *kernel, int device);

int cuLibraryLoadData(void **out, const void *code)
{
    *out = code ? malloc(1) : NULL;
    return *out ? 0 : 2;
}

int cuLibraryUnload(void *library)
{
    free(library);
    return 0;
}

int cuLibraryGetKernel(void **out, void *library, const char *name)
{
    *out = name ? library : NULL;
    return 0;
}

int cuKernelSetAttribute(int what, int value, void *kernel, int device)
{
    (void)what, (void)value, (void)kernel, (void)device;
    return 0;
}
