/* kernels_cpu.h: the kernels of the cpu back end, as a table for adv_registry_add_kernels. */
#ifndef ADV_OPS_CPU_KERNELS_H
#define ADV_OPS_CPU_KERNELS_H

#include "ops/adv_op.h"

/* Ended by NULL. */
extern const AdvKernel *const adv_kernels_cpu[];

#define KERNEL(op, variant) extern const AdvKernel adv_k_cpu_##op##_##variant;
#include "ops/cpu/kernels_cpu.def"
#undef KERNEL

#endif
