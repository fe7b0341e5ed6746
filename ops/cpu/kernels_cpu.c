/* kernels_cpu.c: the table of cpu kernels: the lines of kernels_cpu.def, and two for each row of ew.def. */
#include "ops/cpu/kernels_cpu.h"

const AdvKernel *const adv_kernels_cpu[] = {
#define KERNEL(op, variant) &adv_k_cpu_##op##_##variant,
#include "ops/cpu/kernels_cpu.def"
#undef KERNEL
#define EW1(name, ...) &adv_k_cpu_##name##_tile, &adv_k_cpu_##name##_int,
#define EW2 EW1
#define EW3 EW1
#include "ops/ew.def"
    NULL};
