/* kernels_cuda.c: the table of cuda kernels: the lines of kernels_cuda.def. */
#include "ops/cuda/kernels_cuda.h"

const AdvKernel *const adv_kernels_cuda[] = {
#define KERNEL(op, variant) &adv_k_cuda_##op##_##variant,
#include "ops/cuda/kernels_cuda.def"
#undef KERNEL
    NULL};
