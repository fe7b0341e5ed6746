/* test_ops.c: every op against what its cases and the suite demand: definitions and gradients. */
#include "op_main.h"

int main(void) { return op_main(NULL, NULL, NULL); }
