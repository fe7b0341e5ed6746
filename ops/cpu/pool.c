/* pool.c: pooling, channels innermost: in channels-last the loop over channels is contiguous and vectorised; in row order it
** has a stride and is slow but right. Windows are small, so the input comes from the cache; the limit is memory bandwidth.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"

#include <math.h>
#include <string.h>

#define CHUNK 64 /* channels at a time, in registers and on the stack */

typedef struct Window {
    int64_t h0, h1, w0, w1;  /* the part inside the image */
} Window;

static Window window(const AdvAttr *a, int64_t i, int64_t j, int64_t n_h, int64_t n_w)
{
    int64_t h = i * a[1].i - a[2].i, w = j * a[1].i - a[2].i;
    Window r = {h < 0 ? 0 : h, adv_min_i64(h + a[0].i, n_h), w < 0 ? 0 : w, adv_min_i64(w + a[0].i, n_w)};
    return r;
}

static inline float *pixel(const AdvView *v, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (float *)v->data + n * v->stride[0] + c * v->stride[1] + h * v->stride[2] + w * v->stride[3];
}

static inline float pick(int c, float a, float b) { return c ? a : b; }
static inline int32_t pick_i(int c, int32_t a, int32_t b) { return c ? a : b; }

/* Takes x where it is larger, or a NaN where there was none; `at` remembers the place. */
ADV_CLONES static void take_max(float *top, int32_t *at, const float *x, int64_t step, int32_t place, int64_t n)
{
    if (step == 1) {
        ADV_OMP(simd)
        for (int64_t c = 0; c < n; c++) {
            int wins = (x[c] > top[c]) | ((x[c] != x[c]) & (top[c] == top[c]));
            at[c] = pick_i(wins, place, at[c]);
            top[c] = pick(wins, x[c], top[c]);
        }
    } else
        for (int64_t c = 0; c < n; c++) {
            float v = x[c * step];
            if (v > top[c] || (v != v && top[c] == top[c])) top[c] = v, at[c] = place;
        }
}

/* Largest elements of window (i,j) of channels c .. c+n-1 of image `s`, and their places h*W + w. */
static void max_of(const AdvView *x, const AdvAttr *a, int64_t s, int64_t c, int64_t n, int64_t i, int64_t j, float *top, int32_t *at)
{
    Window w = window(a, i, j, x->dim[2], x->dim[3]);
    const float *first = pixel(x, s, c, w.h0, w.w0);
    for (int64_t k = 0; k < n; k++) top[k] = first[k * x->stride[1]], at[k] = (int32_t)(w.h0 * x->dim[3] + w.w0);
    for (int64_t p = w.h0; p < w.h1; p++)
        for (int64_t q = w.w0; q < w.w1; q++) take_max(top, at, pixel(x, s, c, p, q), x->stride[1], (int32_t)(p * x->dim[3] + q), n);
}

static AdvStatus run_max_pool(const AdvLaunch *l, void *state)
{
    const AdvView *x = &l->in[0], *y = &l->out[0];
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(x));
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t row = 0; row < y->dim[0] * y->dim[2]; row++) {
        int64_t s = row / y->dim[2], i = row % y->dim[2];
        float top[CHUNK];
        int32_t at[CHUNK];
        for (int64_t j = 0; j < y->dim[3]; j++)
            for (int64_t c = 0; c < y->dim[1]; c += CHUNK) {
                int64_t n = adv_min_i64(CHUNK, y->dim[1] - c);
                float *to = pixel(y, s, c, i, j);
                max_of(x, l->attr, s, c, n, i, j, top, at);
                for (int64_t k = 0; k < n; k++) to[k * y->stride[1]] = top[k];
            }
    }
    return ADV_OK;
}

/* Zeroes sample s of a dense rank-4 view. */
static void clear_sample(const AdvView *v, int64_t s)
{
    memset(pixel(v, s, 0, 0, 0), 0, (size_t)(v->dim[1] * v->dim[2] * v->dim[3]) * sizeof(float));
}

static void max_pool_grad_sample(const AdvLaunch *l, int64_t s)
{
    const AdvView *x = &l->in[0], *gy = &l->in[1], *gx = &l->out[0];
    float top[CHUNK];
    int32_t at[CHUNK];
    clear_sample(gx, s);
    for (int64_t i = 0; i < gy->dim[2]; i++)
        for (int64_t j = 0; j < gy->dim[3]; j++)
            for (int64_t c = 0; c < gy->dim[1]; c += CHUNK) {
                int64_t n = adv_min_i64(CHUNK, gy->dim[1] - c);
                const float *g = pixel(gy, s, c, i, j);
                max_of(x, l->attr, s, c, n, i, j, top, at);
                for (int64_t k = 0; k < n; k++) *pixel(gx, s, c + k, at[k] / x->dim[3], at[k] % x->dim[3]) += g[k * gy->stride[1]];
            }
}

static AdvStatus run_max_pool_grad(const AdvLaunch *l, void *state)
{
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(&l->in[0]));
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t s = 0; s < l->in[0].dim[0]; s++) max_pool_grad_sample(l, s);
    return ADV_OK;
}

/* to[c] += x[c]*by */
ADV_CLONES static void add_scaled(float *to, int64_t to_step, const float *x, int64_t step, float by, int64_t n)
{
    if (to_step == 1 && step == 1) {
        ADV_OMP(simd)
        for (int64_t c = 0; c < n; c++) to[c] += x[c] * by;
    } else
        for (int64_t c = 0; c < n; c++) to[c * to_step] += x[c * step] * by;
}

static AdvStatus run_avg_pool(const AdvLaunch *l, void *state)
{
    const AdvView *x = &l->in[0], *y = &l->out[0];
    float area = (float)(l->attr[0].i * l->attr[0].i);
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(x));
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t row = 0; row < y->dim[0] * y->dim[2]; row++) {
        int64_t s = row / y->dim[2], i = row % y->dim[2];
        for (int64_t j = 0; j < y->dim[3]; j++)
            for (int64_t c = 0; c < y->dim[1]; c += CHUNK) {
                int64_t n = adv_min_i64(CHUNK, y->dim[1] - c);
                float sum[CHUNK] = {0}, *to = pixel(y, s, c, i, j);
                Window w = window(l->attr, i, j, x->dim[2], x->dim[3]);
                for (int64_t p = w.h0; p < w.h1; p++)
                    for (int64_t q = w.w0; q < w.w1; q++) add_scaled(sum, 1, pixel(x, s, c, p, q), x->stride[1], 1, n);
                for (int64_t k = 0; k < n; k++) to[k * y->stride[1]] = sum[k] / area;
            }
    }
    return ADV_OK;
}

static void avg_pool_grad_sample(const AdvLaunch *l, int64_t s)
{
    const AdvView *gy = &l->in[0], *gx = &l->out[0];
    float by = 1.0f / (float)(l->attr[0].i * l->attr[0].i);
    clear_sample(gx, s);
    for (int64_t i = 0; i < gy->dim[2]; i++)
        for (int64_t j = 0; j < gy->dim[3]; j++) {
            Window w = window(l->attr, i, j, gx->dim[2], gx->dim[3]);
            for (int64_t p = w.h0; p < w.h1; p++)
                for (int64_t q = w.w0; q < w.w1; q++)
                    add_scaled(pixel(gx, s, 0, p, q), gx->stride[1], pixel(gy, s, 0, i, j), gy->stride[1], by, gy->dim[1]);
        }
}

static AdvStatus run_avg_pool_grad(const AdvLaunch *l, void *state)
{
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(&l->out[0]));
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t s = 0; s < l->in[0].dim[0]; s++) avg_pool_grad_sample(l, s);
    return ADV_OK;
}

static bool can(const AdvSig *s, const char **why)
{
    const AdvView *x = s->in[0].dim[2] * s->in[0].dim[3] > s->out[0].dim[2] * s->out[0].dim[3] ? &s->in[0] : &s->out[0];
    if (!adv_can_f32(s, why)) return false;
    if (x->dim[2] * x->dim[3] <= INT32_MAX) return true;
    *why = "images of more than 2^31 pixels";
    return false;
}

#define POOL(op_name) \
    const AdvKernel adv_k_cpu_##op_name##_f32 = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "f32", .op_version = 1, \
                                                 .can = can, .run = run_##op_name};
POOL(max_pool)
POOL(max_pool_grad)
POOL(avg_pool)
POOL(avg_pool_grad)
