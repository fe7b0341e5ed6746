/* optim.c: optimiser updates in one pass over weights, gradient and moments. Limit: memory bandwidth. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"

#include <math.h>

#define BLOCK 4096

typedef struct Sgd { float lr, mu, decay; bool nesterov; } Sgd;

/* Outputs may be the inputs themselves. */
ADV_CLONES static void sgd_block(const Sgd *s, float *w1, float *m1, const float *w, const float *g, const float *m, int64_t n)
{
    float lr = s->lr, mu = s->mu, decay = s->decay, ahead = s->nesterov ? s->mu : 0, now = s->nesterov ? 0 : 1;
    ADV_OMP(simd)
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] + decay * w[i], v = mu * m[i] + d;
        m1[i] = v;
        w1[i] = w[i] - lr * (now != 0 ? v : d + ahead * v);
    }
}

static AdvStatus run_sgd(const AdvLaunch *l, void *state)
{
    int64_t n = adv_view_elems(&l->out[0]), n_blocks = (n + BLOCK - 1) / BLOCK;
    Sgd s = {*(const float *)l->in[3].data, (float)l->attr[0].f, (float)l->attr[1].f, l->attr[2].i != 0};
    int n_threads = adv_cpu_threads(l->n_threads, n / 4);
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t at = b * BLOCK;
        sgd_block(&s, (float *)l->out[0].data + at, (float *)l->out[1].data + at, (const float *)l->in[0].data + at,
                  (const float *)l->in[1].data + at, (const float *)l->in[2].data + at, adv_min_i64(BLOCK, n - at));
    }
    return ADV_OK;
}

typedef struct Adam { float b1, b2, c1, c2, eps, decay, step, root; } Adam;

ADV_CLONES static void adam_block(const Adam *s, float *w1, float *m1, float *v1, const float *w, const float *g, const float *m,
                                  const float *v, int64_t n)
{
    Adam a = *s;
    ADV_OMP(simd)
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] + a.decay * w[i], mean = a.b1 * m[i] + a.c1 * d, square = a.b2 * v[i] + a.c2 * d * d;
        m1[i] = mean;
        v1[i] = square;
        w1[i] = w[i] - a.step * mean / (sqrtf(square) * a.root + a.eps);
    }
}

static AdvStatus run_adam(const AdvLaunch *l, void *state)
{
    int64_t n = adv_view_elems(&l->out[0]), n_blocks = (n + BLOCK - 1) / BLOCK;
    double b1 = l->attr[0].f, b2 = l->attr[1].f, t = (double)adv_i64(&l->in[5], 0), lr = (double)*(const float *)l->in[4].data;
    Adam s = {(float)b1, (float)b2, (float)(1 - b1), (float)(1 - b2), (float)l->attr[2].f, (float)l->attr[3].f,
              (float)(lr / (1 - pow(b1, t))), (float)(1 / sqrt(1 - pow(b2, t)))};
    int n_threads = adv_cpu_threads(l->n_threads, n / 2);
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t at = b * BLOCK;
        const float *in[4];
        for (int k = 0; k < 4; k++) in[k] = (const float *)l->in[k].data + at;
        adam_block(&s, (float *)l->out[0].data + at, (float *)l->out[1].data + at, (float *)l->out[2].data + at, in[0], in[1], in[2], in[3],
                   adv_min_i64(BLOCK, n - at));
    }
    return ADV_OK;
}

/* All tensors of the weights' shape lie in one order. */
static bool can(const AdvSig *s, const char **why)
{
    if (!adv_can_f32(s, why)) return false;
    for (uint32_t k = 0; k < s->n_in + s->n_out; k++) {
        const AdvView *v = k < s->n_in ? &s->in[k] : &s->out[k - s->n_in];
        if (k < s->n_in && k > s->n_out) continue;  /* the rate and the step */
        if (!adv_view_same_order(v, &s->out[0])) {
            *why = "needs weights, gradient and moments in one order";
            return false;
        }
    }
    return true;
}

const AdvKernel adv_k_cpu_sgd_f32 = {
    ADV_KERNEL_HEADER, .backend = "cpu", .op = "sgd", .name = "f32", .op_version = 1, .can = can, .run = run_sgd};
const AdvKernel adv_k_cpu_adam_f32 = {
    ADV_KERNEL_HEADER, .backend = "cpu", .op = "adam", .name = "f32", .op_version = 1, .can = can, .run = run_adam};
