/* test_ops_cpu.c: on the same cases, every kernel of the cpu back end that accepts one against the definition. */
#include "op_main.h"

#include "ops/cpu/kernels_cpu.h"

int main(void) { return op_main("cpu", adv_kernels_cpu, NULL); }
