/* kernel.cuh: what every .cu file begins with. The same text is compiled by nvcc for devices and, in tests, by g++ for the host
** (tests/cuda/shim.hpp is included before it and defines the CUDA words), so kernels use what is here and in device.cuh only.
*/
#ifndef ADV_OPS_CUDA_KERNEL_CUH
#define ADV_OPS_CUDA_KERNEL_CUH

#include "ops/cuda/device.cuh"

/* A table of the file's kernels: ADV_CUDA_TABLE(adv_cuda_fns_rows) ADV_CUDA_FN(softmax_f32) ... ADV_CUDA_END */
#ifdef ADV_CUDA_SHIM
#define ADV_CUDA_FN(k) {#k, (const void *)&adv_shim_thunk<&k>},
#else
#define ADV_CUDA_FN(k) {#k, (const void *)&k},
#endif
#define ADV_CUDA_TABLE(table) extern "C" { extern const AdvCudaRow table[]; const AdvCudaRow table[] = {
#define ADV_CUDA_END {0, 0} }; }

/* As AdvCudaFn in cuda.h, which device code does not include. */
struct AdvCudaRow { const char *name; const void *fn; };

#endif
