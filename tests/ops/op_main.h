/* op_main.h: the suite over all case files, as a program's main. */
#ifndef ADV_TEST_OP_MAIN_H
#define ADV_TEST_OP_MAIN_H

#include "op_suite.h"

/* kernels: a back end's table, or NULL for definitions and gradients only. dev: NULL on the host. Returns the exit code. */
int op_main(const char *backend, const AdvKernel *const *kernels, SuiteDevice *dev);

#endif
