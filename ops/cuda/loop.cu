/* loop.cu: what the back end itself launches. The turn of a loop is an argument, so a captured loop keeps its numbers. */
#include "ops/cuda/kernel.cuh"

extern "C" __global__ void adv_set_i64(long long *to, long long value)
{
    *to = value;
}

/* Keeps the stream busy for so long by the device's clock; should that stand still, for some milliseconds. */
extern "C" __global__ void adv_spin(unsigned ns)
{
#ifdef __CUDA_ARCH__
    unsigned long long from, at;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(from));
    for (int i = 0; i < 100000; i++) {
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(at));
        if (at - from >= ns) return;
    }
#else
    (void)ns;
#endif
}

ADV_CUDA_TABLE(adv_cuda_fns_loop)
ADV_CUDA_FN(adv_set_i64)
ADV_CUDA_FN(adv_spin)
ADV_CUDA_END
