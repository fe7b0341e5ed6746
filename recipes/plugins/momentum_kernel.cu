// momentum_kernel.cu: momentum.c's step on CUDA, a block a sample: sum |g|, then step, g being in the L2 cache the second time.
// Limit: memory bandwidth. Reads z, g, m, x and writes z1, m1 once: 24 bytes an element.
#include <cstdint>
#include <cuda_runtime.h>

struct Args {
    const float *z, *g, *m, *x, *eps, *size;
    float *z1, *m1;
    int64_t len;
    int eps_step, size_step;
    float decay;
};

static __global__ void momentum_kernel(Args a)
{
    __shared__ double part[256];
    const int64_t first = (int64_t)blockIdx.x * a.len;
    const float eps = a.eps[blockIdx.x * a.eps_step], size = a.size[blockIdx.x * a.size_step];
    double sum = 0;
    for (int64_t k = threadIdx.x; k < a.len; k += blockDim.x) sum += (double)fabsf(a.g[first + k]);
    part[threadIdx.x] = sum;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    __syncthreads();
    const float scale = part[0] == 0 ? 0.0f : (float)((double)a.len / part[0]);
    for (int64_t k = first + threadIdx.x; k < first + a.len; k += blockDim.x) {
        const float m = a.decay * a.m[k] + a.g[k] * scale, low = a.x[k] - eps, high = a.x[k] + eps;
        float to = a.z[k] + size * (m > 0 ? 1.0f : m < 0 ? -1.0f : 0.0f);
        to = to > high ? high : to < low ? low : to;
        a.z1[k] = to > 1 ? 1.0f : to < 0 ? 0.0f : to;
        a.m1[k] = m;
    }
}

extern "C" int momentum_launch(const float *const in[6], float *const out[2], int64_t n, int64_t len, int eps_step, int size_step,
                               float decay, void *stream)
{
    const Args a = {in[0], in[1], in[2], in[3], in[4], in[5], out[0], out[1], len, eps_step, size_step, decay};
    momentum_kernel<<<(unsigned)n, 256, 0, (cudaStream_t)stream>>>(a);
    return cudaGetLastError() != cudaSuccess;
}
