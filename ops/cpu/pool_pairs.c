/* pool_pairs.c: max pooling of windows of 2x2 that do not overlap, channels-last, and its gradient: what small networks use.
**
** Each input belongs to one window, so the gradient is written once, place by place, without clearing or adding. It runs over
** channels in vectors. Limit: memory bandwidth. Ties and NaN as in the definition: the first largest, the first NaN.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/product.h"

#include <string.h>

typedef AdvVec Vec;
typedef AdvMask Mask;

#define LOAD(p) (*(const Vec *)(p))
#define STORE(p, v) (*(Vec *)(p) = (v))

/* The four places of a window, where the second to fourth are larger than all before them, and whether one is no number (or
** infinite) at all: then `odd` is not 0. The masks are only ever and-ed with data: gcc 12 takes logic of two comparisons apart. */
#define WINDOW(x0, x1) \
    Vec v0 = LOAD(x0), v1 = LOAD((x0) + n_c), v2 = LOAD(x1), v3 = LOAD((x1) + n_c), top; \
    Mask w1 = (Mask)(v1 > v0), w2, w3; \
    odd += (v0 - v0) + (v1 - v1) + (v2 - v2) + (v3 - v3); \
    top = (Vec)((w1 & (Mask)v1) | (~w1 & (Mask)v0)); \
    w2 = (Mask)(v2 > top); \
    top = (Vec)((w2 & (Mask)v2) | (~w2 & (Mask)top)); \
    w3 = (Mask)(v3 > top);

static bool is_odd(const Vec *odd)
{
    bool any = false;
    for (int l = 0; l < ADV_LANES; l++) any |= (*odd)[l] != 0;
    return any;
}

/* One row of results: x0 and x1 are the two rows of the image. False if a number is odd: then the row is not right yet. */
ADV_CLONES static bool max_row(float *y, const float *x0, const float *x1, int64_t n_w, int64_t n_c)
{
    Vec odd = {0};
    for (int64_t w = 0; w < n_w; w++, y += n_c, x0 += 2 * n_c, x1 += 2 * n_c)
        for (int64_t c = 0; c < n_c; c += ADV_LANES) {
            WINDOW(x0 + c, x1 + c)
            STORE(y + c, (Vec)((w3 & (Mask)v3) | (~w3 & (Mask)top)));
        }
    return !is_odd(&odd);
}

ADV_CLONES static bool grad_row(float *gx0, float *gx1, const float *x0, const float *x1, const float *gy, int64_t n_w, int64_t n_c)
{
    Vec odd = {0};
    for (int64_t w = 0; w < n_w; w++, gy += n_c, x0 += 2 * n_c, x1 += 2 * n_c, gx0 += 2 * n_c, gx1 += 2 * n_c)
        for (int64_t c = 0; c < n_c; c += ADV_LANES) {
            WINDOW(x0 + c, x1 + c)
            Mask g = (Mask)LOAD(gy + c), left = ~w3 & g;
            STORE(gx1 + n_c + c, (Vec)(w3 & g));
            STORE(gx1 + c, (Vec)(w2 & left));
            left &= ~w2;
            STORE(gx0 + n_c + c, (Vec)(w1 & left));
            STORE(gx0 + c, (Vec)(~w1 & left));
        }
    return !is_odd(&odd);
}

/* The window's place that counts, by the definition: the first largest, the first NaN. */
static int place_of(const float *x0, const float *x1, int64_t n_c)
{
    const float v[4] = {x0[0], x0[n_c], x1[0], x1[n_c]};
    int at = 0;
    for (int k = 1; k < 4; k++)
        if (v[k] > v[at] || (v[k] != v[k] && v[at] == v[at])) at = k;
    return at;
}

/* A row that holds odd numbers, one by one; either of y, and gx0 with gx1 and gy, may be NULL. */
static void odd_row(float *y, float *gx0, float *gx1, const float *x0, const float *x1, const float *gy, int64_t n_w, int64_t n_c)
{
    for (int64_t w = 0; w < n_w; w++)
        for (int64_t c = 0; c < n_c; c++) {
            int64_t at = 2 * w * n_c + c;
            int k = place_of(x0 + at, x1 + at, n_c);
            if (y) y[w * n_c + c] = (k < 2 ? x0 : x1)[at + k % 2 * n_c];
            for (int j = 0; gy && j < 4; j++) (j < 2 ? gx0 : gx1)[at + j % 2 * n_c] = j == k ? gy[w * n_c + c] : 0;
        }
}

static AdvStatus run_max_pool(const AdvLaunch *l, void *state)
{
    const AdvView *x = &l->in[0], *y = &l->out[0];
    int64_t n_c = x->dim[1], x_row = x->dim[3] * n_c, y_row = y->dim[3] * n_c;
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(x) / 4);
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t row = 0; row < y->dim[0] * y->dim[2]; row++) {
        const float *from = (const float *)x->data + (row / y->dim[2] * x->dim[2] + row % y->dim[2] * 2) * x_row;
        float *to = (float *)y->data + row * y_row;
        if (!max_row(to, from, from + x_row, y->dim[3], n_c)) odd_row(to, NULL, NULL, from, from + x_row, NULL, y->dim[3], n_c);
    }
    return ADV_OK;
}

/* One image: pairs of rows, then the row and column that no window covers. */
static void grad_image(const AdvLaunch *l, int64_t n)
{
    const AdvView *x = &l->in[0], *gy = &l->in[1], *gx = &l->out[0];
    int64_t n_c = x->dim[1], x_row = x->dim[3] * n_c, g_row = gy->dim[3] * n_c, covered = 2 * g_row;
    const float *from = (const float *)x->data + n * x->dim[2] * x_row, *g = (const float *)gy->data + n * gy->dim[2] * g_row;
    float *to = (float *)gx->data + n * x->dim[2] * x_row;
    for (int64_t h = 0; h < gy->dim[2]; h++) {
        float *two = to + 2 * h * x_row;
        const float *rows = from + 2 * h * x_row;
        if (!grad_row(two, two + x_row, rows, rows + x_row, g + h * g_row, gy->dim[3], n_c))
            odd_row(NULL, two, two + x_row, rows, rows + x_row, g + h * g_row, gy->dim[3], n_c);
    }
    for (int64_t h = 0; covered < x_row && h < x->dim[2]; h++) memset(to + h * x_row + covered, 0, (size_t)(x_row - covered) * sizeof *to);
    for (int64_t h = 2 * gy->dim[2]; h < x->dim[2]; h++) memset(to + h * x_row, 0, (size_t)x_row * sizeof *to);
}

static AdvStatus run_max_pool_grad(const AdvLaunch *l, void *state)
{
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(&l->in[0]) / 2);
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t n = 0; n < l->in[0].dim[0]; n++) grad_image(l, n);
    return ADV_OK;
}

static bool can(const AdvSig *s, const char **why)
{
    if (!adv_can_f32(s, why)) return false;
    if (s->attr[0].i != 2 || s->attr[1].i != 2 || s->attr[2].i != 0) *why = "for windows of 2x2 side by side";
    else if (!adv_view_is_cl(&s->in[0]) || !adv_view_is_cl(&s->in[s->n_in - 1]) || !adv_view_is_cl(&s->out[0]))
        *why = "needs channels-last";
    else if (s->in[0].dim[1] % ADV_LANES) *why = "needs a multiple of 16 channels";
    else return true;
    return false;
}

#define POOL(op_name) \
    const AdvKernel adv_k_cpu_##op_name##_pairs = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "pairs", \
                                                   .op_version = 1, .order = -1, .can = can, .run = run_##op_name};
POOL(max_pool)
POOL(max_pool_grad)
