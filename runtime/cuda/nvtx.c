/* nvtx.c: names of entries for Nsight and other profilers. NVTX is headers only, and does nothing unless a profiler is there. */
#include "runtime/cuda/cuda_back.h"

#include <nvtx3/nvToolsExt.h>

void adv_cuda_range(void *self, const char *name)
{
    (void)self;
    if (name) nvtxRangePushA(name);
    else nvtxRangePop();
}
