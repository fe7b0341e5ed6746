/* op_main.h: the suite over all case files, as a program's main. */
#ifndef ADV_TEST_OP_MAIN_H
#define ADV_TEST_OP_MAIN_H

#include "ops/adv_op.h"

/* kernels: a back end's table, or NULL for definitions and gradients only. Returns the exit code. */
int op_main(const char *backend, const AdvKernel *const *kernels);

#endif
