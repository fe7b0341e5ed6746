/* kernels_cpu.c: the table of cpu kernels: the lines of kernels_cpu.def. */
#include "ops/cpu/kernels_cpu.h"

const AdvKernel *const adv_kernels_cpu[] = {
#define KERNEL(op, variant) &adv_k_cpu_##op##_##variant,
#include "ops/cpu/kernels_cpu.def"
#undef KERNEL
    NULL};
