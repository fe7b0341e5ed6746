/* loop.cu: what the back end itself launches. The turn of a loop is an argument, so a captured loop keeps its numbers. */
#include "ops/cuda/kernel.cuh"

extern "C" __global__ void adv_set_i64(long long *to, long long value)
{
    *to = value;
}

ADV_CUDA_TABLE(adv_cuda_fns_loop)
ADV_CUDA_FN(adv_set_i64)
ADV_CUDA_END
