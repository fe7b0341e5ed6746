/* shim_kernels.cu: what the test of the shim runs: every word of it, in kernels as small as that allows. */
#include "ops/cuda/kernel.cuh"

__global__ void plain(float *y, const float *x, long long n)
{
    long long i = adv_thread();
    if (i < n) y[i] = x[i] + (float)threadIdx.x;
}

/* Turns each block's part around: needs a barrier. */
__global__ void turn(int *y, const int *x)
{
    ADV_DYNAMIC_SHARED(int, part);
    unsigned t = threadIdx.x, n = blockDim.x;
    part[t] = x[blockIdx.x * n + t];
    __syncthreads();
    y[blockIdx.x * n + t] = part[n - 1 - t];
}

__global__ void warps(double *sum, float *largest, unsigned *odd, int *from)
{
    unsigned t = threadIdx.x + blockDim.x * threadIdx.y, lane = t % 32;
    sum[t] = adv_warp_reduce<AdvSum>((double)t);
    largest[t] = adv_warp_reduce<AdvMax>((float)(int)(lane ^ 5));
    odd[t] = __ballot_sync(0xffffffffu, t % 2);
    from[t] = __shfl_sync(0xffffffffu, (int)t, 3) + __shfl_down_sync(0xffffffffu, (int)t, 1) + __shfl_up_sync(0xffffffffu, (int)t, 1);
}

__global__ void blocks(double *sum, float *least, const float *x)
{
    float v = x[blockIdx.x * 128 + threadIdx.x];
    double s = adv_block_reduce<AdvSum, 128>((double)v);
    float m = adv_block_reduce<AdvMin, 128>(v);
    if (threadIdx.x == 127) sum[blockIdx.x] = s, least[blockIdx.x] = m;
}

__global__ void count(unsigned *n, unsigned *fault)
{
    atomicAdd(n, 1u);
    if (adv_thread() == 37) adv_fault(fault, 9);
}

__global__ void convert(AdvBf16 *b, AdvF16 *h, int *i, unsigned char *u, const float *x, long long n)
{
    long long k = adv_thread();
    if (k >= n) return;
    b[k] = adv_narrow<AdvBf16>(x[k]);
    h[k] = adv_narrow<AdvF16>(x[k]);
    i[k] = adv_narrow<int>((double)x[k]);
    u[k] = adv_narrow<unsigned char>((double)x[k]);
}

__global__ void widen(float *y, const AdvBf16 *b, const AdvF16 *h, long long n)
{
    long long k = adv_thread();
    if (4 * k + 4 > n) return;
    AdvPack<AdvBf16, 4> pb = adv_load<4>(b + 4 * k);
    AdvPack<AdvF16, 4> ph = adv_load<4>(h + 4 * k);
    AdvPack<float, 4> r;
    for (int j = 0; j < 4; j++) r.v[j] = adv_wide(pb.v[j]) + adv_wide(ph.v[j]);
    adv_store(y + 4 * k, r);
}

__global__ void places(long long *at, AdvNest n, long long first)
{
    long long i = adv_thread();
    at[i] = adv_nest_at(n, 1, first + i);
}

ADV_CUDA_TABLE(adv_shim_test_fns)
ADV_CUDA_FN(plain)
ADV_CUDA_FN(turn)
ADV_CUDA_FN(warps)
ADV_CUDA_FN(blocks)
ADV_CUDA_FN(count)
ADV_CUDA_FN(convert)
ADV_CUDA_FN(widen)
ADV_CUDA_FN(places)
ADV_CUDA_END
