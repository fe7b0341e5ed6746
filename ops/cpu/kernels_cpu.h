/* kernels_cpu.h: the kernels of the cpu back end, as a table for adv_registry_add_kernels. */
#ifndef ADV_OPS_CPU_KERNELS_H
#define ADV_OPS_CPU_KERNELS_H

#include "ops/adv_op.h"

/* Ended by NULL. */
extern const AdvKernel *const adv_kernels_cpu[];

#define KERNEL(op, variant) extern const AdvKernel adv_k_cpu_##op##_##variant;
#include "ops/cpu/kernels_cpu.def"
#undef KERNEL
#define EW1(name, ...) extern const AdvKernel adv_k_cpu_##name##_tile, adv_k_cpu_##name##_int;
#define EW2 EW1
#define EW3 EW1
#include "ops/ew.def"
#undef EW1
#undef EW2
#undef EW3

#endif
