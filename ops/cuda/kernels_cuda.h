/* kernels_cuda.h: the kernels of the cuda back end, as a table for adv_registry_add_kernels. */
#ifndef ADV_OPS_CUDA_KERNELS_H
#define ADV_OPS_CUDA_KERNELS_H

#include "ops/adv_op.h"

/* Ended by NULL. */
extern const AdvKernel *const adv_kernels_cuda[];

#define KERNEL(op, variant) extern const AdvKernel adv_k_cuda_##op##_##variant;
#include "ops/cuda/kernels_cuda.def"
#undef KERNEL

#endif
