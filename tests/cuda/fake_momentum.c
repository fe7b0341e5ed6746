/* fake_momentum.c: what stands for momentum_kernel.cu (recipes/plugins) where the device is the fake one: the same step in plain loops,
** run by the fake device in order with its other work. Linked with momentum.c by tools/gpu_pack.sh.
*/
#include <math.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Args {
    const float *z, *g, *m, *x, *eps, *size;
    float *z1, *m1;
    int64_t n, len;
    int eps_step, size_step;
    float decay;
} Args;

/* Of the fake adv_cuda.so (fake_module.c). */
int adv_fake_launch(void *stream, void (*run)(const void *what), const void *what, size_t n_bytes);
int momentum_launch(const float *const in[6], float *const out[2], int64_t n, int64_t len, int eps_step, int size_step, float decay,
                    void *stream);

static void one_sample(const Args *a, int64_t i)
{
    const float eps = a->eps[i * a->eps_step], size = a->size[i * a->size_step];
    double sum = 0;
    for (int64_t k = i * a->len; k < (i + 1) * a->len; k++) sum += (double)fabsf(a->g[k]);
    const float scale = sum == 0 ? 0.0f : (float)((double)a->len / sum);
    for (int64_t k = i * a->len; k < (i + 1) * a->len; k++) {
        const float m = a->decay * a->m[k] + a->g[k] * scale, low = a->x[k] - eps, high = a->x[k] + eps;
        float to = a->z[k] + size * (m > 0 ? 1.0f : m < 0 ? -1.0f : 0.0f);
        to = to > high ? high : to < low ? low : to;
        a->z1[k] = to > 1 ? 1.0f : to < 0 ? 0.0f : to;
        a->m1[k] = m;
    }
}

static void step(const void *what)
{
    const Args *a = what;
    for (int64_t i = 0; i < a->n; i++) one_sample(a, i);
}

int momentum_launch(const float *const in[6], float *const out[2], int64_t n, int64_t len, int eps_step, int size_step, float decay,
                    void *stream)
{
    const Args a = {in[0], in[1], in[2], in[3], in[4], in[5], out[0], out[1], n, len, eps_step, size_step, decay};
    return adv_fake_launch(stream, step, &a, sizeof a);
}
