/* step_l2.cu: the step of an attack in L2. A block a sample goes over it three times: for the gradient's norm, for the norm of the way
** from the centre, and to write. Only the first time it comes from memory, the others from the caches: an image of 3x32x32 has 12 kB a
** tensor. Norms are added up in double, as a gradient of 1e-23 has a direction, too, in a fixed order.
** Expected limit: memory bandwidth, or the launch where images are small. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/step_l2.h"

ADV_DEVICE float over(float a, float b, float otherwise) { return b == 0 ? otherwise : a / b; }

/* The norm of all that the block's threads have summed squares of. */
ADV_DEVICE float norm_of(double squares) { return (float)sqrt(adv_block_reduce<AdvSum, ADV_STEP_L2_BLOCK>(squares)); }

template <class G, int V>
ADV_DEVICE void step_l2(const AdvStepL2Form &f, const float *z, const G *g, const float *x, const float *eps, const float *size, float *out)
{
    long long at = (long long)blockIdx.x * f.n, end = at + f.n, first = at + (long long)threadIdx.x * V;
    float step = size[blockIdx.x * f.size_step], radius = eps[blockIdx.x * f.eps_step], length, limit = 1;
    double s = 0;
    for (long long i = first; i < end; i += ADV_STEP_L2_BLOCK * V) {
        AdvPack<G, V> v = adv_load<V>(g + i);
        ADV_UNROLL(V)
        for (int k = 0; k < V; k++) s += (double)adv_wide(v.v[k]) * (double)adv_wide(v.v[k]);
    }
    length = norm_of(s);
    s = 0;
    for (int writes = 0; writes < 2; writes++) {
        for (long long i = first; i < end; i += ADV_STEP_L2_BLOCK * V) {
            AdvPack<G, V> by = adv_load<V>(g + i);
            AdvPack<float, V> from = adv_load<V>(z + i), centre = adv_load<V>(x + i), to;
            ADV_UNROLL(V)
            for (int k = 0; k < V; k++) {
                float d = from.v[k] + step * over(adv_wide(by.v[k]), length, 0) - centre.v[k];
                if (!writes) s += (double)d * (double)d;
                to.v[k] = AdvMin::of(AdvMax::of(centre.v[k] + d * limit, f.lo), f.hi);
            }
            if (writes) adv_store<V>(out + i, to);
        }
        if (!writes) limit = AdvMin::of(over(radius, norm_of(s), 1), 1.0f);
    }
}

#define STEP(name, G, V) \
    extern "C" __global__ void __launch_bounds__(ADV_STEP_L2_BLOCK) \
        name(AdvStepL2Form f, const float *z, const G *g, const float *x, const float *eps, const float *size, float *out) \
    { \
        step_l2<G, V>(f, z, g, x, eps, size, out); \
    }
STEP(step_l2_f32, float, 4)
STEP(step_l2_bf16, AdvBf16, 4)
STEP(step_l2_1_f32, float, 1)
STEP(step_l2_1_bf16, AdvBf16, 1)

ADV_CUDA_TABLE(adv_cuda_fns_step_l2)
ADV_CUDA_FN(step_l2_f32)
ADV_CUDA_FN(step_l2_bf16)
ADV_CUDA_FN(step_l2_1_f32)
ADV_CUDA_FN(step_l2_1_bf16)
ADV_CUDA_END
