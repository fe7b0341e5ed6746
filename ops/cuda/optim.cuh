/* optim.cuh: one step of an optimiser over one tensor: 16 bytes a thread and operand. Included by generated code (optim.c).
**
** The rate and the number of the step are read from memory, as they change while a captured graph is replayed. Expected limit: memory
** bandwidth (sgd reads w, g, m and writes w, m). Not measured on a device yet.
*/
#ifndef ADV_OPS_CUDA_OPTIM_CUH
#define ADV_OPS_CUDA_OPTIM_CUH

/* What does not change from step to step. */
struct AdvSgdForm { float momentum, decay; bool is_nesterov; };

/* log: of beta as written, for its powers; rest: 1 - beta, which f32 would round. */
struct AdvAdamForm { double log1, log2; float beta1, beta2, rest1, rest2, eps, decay; };

ADV_DEVICE void adv_sgd_one(const AdvSgdForm &f, float lr, float *w, float g, float *m)
{
    g = fmaf(f.decay, *w, g);
    *m = fmaf(f.momentum, *m, g);
    *w -= lr * (f.is_nesterov ? fmaf(f.momentum, *m, g) : *m);
}

/* What thread p of those for n elements does; V elements a thread, n a multiple of it. */
template <int V>
ADV_DEVICE void adv_sgd(const AdvSgdForm &f, const float *w, const float *g, const float *m, const float *lr, float *w1, float *m1,
                        long long n, long long p)
{
    long long i = p * V;
    if (i >= n) return;
    AdvPack<float, V> a = adv_load<V>(w + i), b = adv_load<V>(g + i), c = adv_load<V>(m + i);
    ADV_UNROLL(4)
    for (int k = 0; k < V; k++) adv_sgd_one(f, *lr, &a.v[k], b.v[k], &c.v[k]);
    adv_store<V>(w1 + i, a);
    adv_store<V>(m1 + i, c);
}

ADV_DEVICE void adv_adam_one(const AdvAdamForm &f, float step, float root, float *w, float g, float *m, float *v)
{
    g = fmaf(f.decay, *w, g);
    *m = fmaf(f.beta1, *m, f.rest1 * g);
    *v = fmaf(f.beta2, *v, f.rest2 * g * g);
    *w -= step * *m / (sqrtf(*v) / root + f.eps);
}

template <int V>
ADV_DEVICE void adv_adam(const AdvAdamForm &f, const float *w, const float *g, const float *m, const float *v, const float *lr,
                         const long long *t, float *w1, float *m1, float *v1, long long n, long long p)
{
    long long i = p * V;
    if (i >= n) return;
    AdvPack<float, V> a = adv_load<V>(w + i), b = adv_load<V>(g + i), c = adv_load<V>(m + i), d = adv_load<V>(v + i);
    double count = (double)*t; /* the arithmetic below fills the time of the loads above */
    float step = (float)((double)*lr / (1.0 - exp(count * f.log1))), root = (float)sqrt(1.0 - exp(count * f.log2));
    ADV_UNROLL(4)
    for (int k = 0; k < V; k++) adv_adam_one(f, step, root, &a.v[k], b.v[k], &c.v[k], &d.v[k]);
    adv_store<V>(w1 + i, a);
    adv_store<V>(m1 + i, c);
    adv_store<V>(v1 + i, d);
}

#endif
