/* def_kernels.h: for every op a cuda kernel that runs its definition "on" the fake device, so that tests of sessions need no real
** kernels and may ask for the bits of `ref`. */
#ifndef ADV_TESTS_DEF_KERNELS_H
#define ADV_TESTS_DEF_KERNELS_H

#include "ops/registry.h"

/* One for each op of `reg`, ended by NULL; tried last. `reg` must outlive them; made once, never freed. */
const AdvKernel *const *adv_def_kernels(const AdvRegistry *reg);

#endif
