/* optim.cu: one step of an optimiser over one tensor: 16 bytes a thread and operand.
**
** The rate and the number of the step are read from memory, as they change while a captured graph is replayed. Expected limit: memory
** bandwidth (sgd reads w, g, m and writes w, m). Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/optim.h"

ADV_DEVICE void sgd_one(const AdvSgdForm &f, float lr, float *w, float g, float *m)
{
    g = fmaf(f.decay, *w, g);
    *m = fmaf(f.momentum, *m, g);
    *w -= lr * (f.nesterov ? fmaf(f.momentum, *m, g) : *m);
}

template <int V>
ADV_DEVICE void sgd(const AdvSgdForm &f, const float *w, const float *g, const float *m, const float *lr, float *w1, float *m1, long long n)
{
    long long i = adv_thread() * V;
    if (i >= n) return;
    AdvPack<float, V> a = adv_load<V>(w + i), b = adv_load<V>(g + i), c = adv_load<V>(m + i);
    for (int k = 0; k < V; k++) sgd_one(f, *lr, &a.v[k], b.v[k], &c.v[k]);
    adv_store<V>(w1 + i, a);
    adv_store<V>(m1 + i, c);
}

ADV_DEVICE void adam_one(const AdvAdamForm &f, float step, float root, float *w, float g, float *m, float *v)
{
    g = fmaf(f.decay, *w, g);
    *m = fmaf(f.beta1, *m, f.rest1 * g);
    *v = fmaf(f.beta2, *v, f.rest2 * g * g);
    *w -= step * *m / (sqrtf(*v) / root + f.eps);
}

template <int V>
ADV_DEVICE void adam(const AdvAdamForm &f, const float *w, const float *g, const float *m, const float *v, const float *lr,
                     const long long *t, float *w1, float *m1, float *v1, long long n)
{
    long long i = adv_thread() * V;
    if (i >= n) return;
    double count = (double)*t;
    float step = (float)((double)*lr / (1.0 - pow(f.exact1, count))), root = (float)sqrt(1.0 - pow(f.exact2, count));
    AdvPack<float, V> a = adv_load<V>(w + i), b = adv_load<V>(g + i), c = adv_load<V>(m + i), d = adv_load<V>(v + i);
    for (int k = 0; k < V; k++) adam_one(f, step, root, &a.v[k], b.v[k], &c.v[k], &d.v[k]);
    adv_store<V>(w1 + i, a);
    adv_store<V>(m1 + i, c);
    adv_store<V>(v1 + i, d);
}

#define OPTIM_KERNELS(name, V) \
    extern "C" __global__ void adv_sgd##name(AdvSgdForm f, const float *w, const float *g, const float *m, const float *lr, float *w1, \
                                             float *m1, long long n) \
    { \
        sgd<V>(f, w, g, m, lr, w1, m1, n); \
    } \
    extern "C" __global__ void adv_adam##name(AdvAdamForm f, const float *w, const float *g, const float *m, const float *v, \
                                              const float *lr, const long long *t, float *w1, float *m1, float *v1, long long n) \
    { \
        adam<V>(f, w, g, m, v, lr, t, w1, m1, v1, n); \
    }

OPTIM_KERNELS(4, 4)
OPTIM_KERNELS(1, 1)

ADV_CUDA_TABLE(adv_cuda_fns_optim)
ADV_CUDA_FN(adv_sgd4) ADV_CUDA_FN(adv_sgd1) ADV_CUDA_FN(adv_adam4) ADV_CUDA_FN(adv_adam1)
ADV_CUDA_END
