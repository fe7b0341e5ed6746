/* bn.c: batch normalisation and its gradient.
**
** x is seen as planes [n_outer][n_channels][len]: rows of channels (channels-last and [N,C]: len 1) or planes of pixels (row
** order: len H*W). First a pass for two sums a channel, cut into pieces by shape and merged in order, in double; then a
** pass that writes. Limit: memory bandwidth, x twice and y once.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"

#include <math.h>

#define MAX_PIECES 64

typedef struct BnState { int64_t n_outer, n_c, len, n_pieces; double eps; } BnState;

/* Sums of one channel, or of a row of them: by pieces [piece][2][n_c]. */
static double *sums_of(void *scratch, const BnState *s, int64_t piece) { return (double *)scratch + piece * 2 * s->n_c; }

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvView *x = &p->sig->in[0];
    BnState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    bool is_planes = x->rank == 4 && !adv_view_is_cl(x);
    s->n_c = x->dim[1];
    s->len = is_planes ? x->dim[2] * x->dim[3] : 1;
    s->n_outer = adv_view_elems(x) / s->n_c / s->len;
    s->n_pieces = adv_min_i64(adv_min_i64(s->n_outer, MAX_PIECES), 1 + s->n_outer * s->n_c * s->len / 8192);
    s->eps = p->sig->attr[0].f;
    /* the coefficients, three floats a channel, follow the sums of the first piece: room for at least two */
    p->scratch_bytes = (uint64_t)(s->n_pieces < 2 ? 2 : s->n_pieces) * 2 * (uint64_t)s->n_c * sizeof(double);
    *out_state = s;
    return ADV_OK;
}

/* ---- bn_train ---- */

/* a[c] += x, b[c] += x*x for a row of channels. */
ADV_CLONES static void row_moments(double *a, double *b, const float *x, int64_t n)
{
    ADV_OMP(simd)
    for (int64_t c = 0; c < n; c++) {
        double v = (double)x[c];
        a[c] += v;
        b[c] += v * v;
    }
}

/* The same for one channel's plane. */
ADV_CLONES static void plane_moments(double *a, double *b, const float *x, int64_t n)
{
    double s[16] = {0}, q[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        ADV_OMP(simd)
        for (int j = 0; j < 16; j++) {
            double v = (double)x[i + j];
            s[j] += v;
            q[j] += v * v;
        }
    }
    for (int j = 0; j < 16; j++) *a += s[j], *b += q[j];
    for (; i < n; i++) *a += (double)x[i], *b += (double)x[i] * (double)x[i];
}

/* y = (x - mean)*scale + shift */
ADV_CLONES static void row_norm(float *y, const float *x, const float *mean, const float *scale, const float *shift, int64_t n)
{
    ADV_OMP(simd)
    for (int64_t c = 0; c < n; c++) y[c] = (x[c] - mean[c]) * scale[c] + shift[c];
}

ADV_CLONES static void plane_norm(float *y, const float *x, float mean, float scale, float shift, int64_t n)
{
    ADV_OMP(simd)
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale + shift;
}

static void merge_pieces(const BnState *s, void *scratch)
{
    double *first = sums_of(scratch, s, 0);
    for (int64_t p = 1; p < s->n_pieces; p++) {
        const double *more = sums_of(scratch, s, p);
        for (int64_t i = 0; i < 2 * s->n_c; i++) first[i] += more[i];
    }
}

static void moments_piece(const BnState *s, const float *x, double *sums, int64_t piece)
{
    for (int64_t i = 0; i < 2 * s->n_c; i++) sums[i] = 0;
    for (int64_t o = s->n_outer * piece / s->n_pieces, end = s->n_outer * (piece + 1) / s->n_pieces; o < end; o++) {
        const float *at = x + o * s->n_c * s->len;
        if (s->len == 1) row_moments(sums, sums + s->n_c, at, s->n_c);
        else
            for (int64_t c = 0; c < s->n_c; c++) plane_moments(&sums[c], &sums[s->n_c + c], at + c * s->len, s->len);
    }
}

/* Turns the two sums into mean and variance, stores them, and leaves mean, scale, shift as floats in the scratch. */
static float *finish_moments(const BnState *s, const AdvLaunch *l)
{
    double *sums = sums_of(l->scratch, s, 0), m = (double)(s->n_outer * s->len);
    const float *w = l->in[1].data, *b = l->in[2].data;
    float *coef = (float *)(sums + 2 * s->n_c);
    for (int64_t c = 0; c < s->n_c; c++) {
        double mean = sums[c] / m, var = fmax(sums[s->n_c + c] / m - mean * mean, 0);
        ((float *)l->out[1].data)[c] = (float)mean;
        ((float *)l->out[2].data)[c] = (float)var;
        coef[c] = (float)mean;
        coef[s->n_c + c] = (float)((double)w[c] / sqrt(var + s->eps));
        coef[2 * s->n_c + c] = b[c];
    }
    return coef;
}

static AdvStatus run_train(const AdvLaunch *l, void *state)
{
    const BnState *s = state;
    const float *x = l->in[0].data;
    float *y = l->out[0].data;
    int n_threads = adv_cpu_threads(l->n_threads, s->n_outer * s->n_c * s->len);
    (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t p = 0; p < s->n_pieces; p++) moments_piece(s, x, sums_of(l->scratch, s, p), p);
    merge_pieces(s, l->scratch);
    const float *mean = finish_moments(s, l), *scale = mean + s->n_c, *shift = scale + s->n_c;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t o = 0; o < s->n_outer; o++) {
        int64_t at = o * s->n_c * s->len;
        if (s->len == 1) row_norm(y + at, x + at, mean, scale, shift, s->n_c);
        else
            for (int64_t c = 0; c < s->n_c; c++) plane_norm(y + at + c * s->len, x + at + c * s->len, mean[c], scale[c], shift[c], s->len);
    }
    return ADV_OK;
}

/* ---- bn_grad ---- */

/* a[c] += g, b[c] += g*(x - mean[c]) */
ADV_CLONES static void row_sums(double *a, double *b, const float *x, const float *g, const float *mean, int64_t n)
{
    ADV_OMP(simd)
    for (int64_t c = 0; c < n; c++) {
        double v = (double)g[c];
        a[c] += v;
        b[c] += v * ((double)x[c] - (double)mean[c]);
    }
}

ADV_CLONES static void plane_sums(double *a, double *b, const float *x, const float *g, double mean, int64_t n)
{
    double s[16] = {0}, q[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        ADV_OMP(simd)
        for (int j = 0; j < 16; j++) {
            double v = (double)g[i + j];
            s[j] += v;
            q[j] += v * ((double)x[i + j] - mean);
        }
    }
    for (int j = 0; j < 16; j++) *a += s[j], *b += q[j];
    for (; i < n; i++) *a += (double)g[i], *b += (double)g[i] * ((double)x[i] - mean);
}

/* gx = scale*(g - mean_g - (x - mean)*slope); gx may be g. */
ADV_CLONES static void row_back(float *gx, const float *x, const float *g, const float *mean, const float *coef, int64_t n)
{
    const float *scale = coef, *mean_g = coef + n, *slope = coef + 2 * n;
    ADV_OMP(simd)
    for (int64_t c = 0; c < n; c++) gx[c] = scale[c] * (g[c] - mean_g[c] - (x[c] - mean[c]) * slope[c]);
}

ADV_CLONES static void plane_back(float *gx, const float *x, const float *g, float mean, float scale, float mean_g, float slope, int64_t n)
{
    ADV_OMP(simd)
    for (int64_t i = 0; i < n; i++) gx[i] = scale * (g[i] - mean_g - (x[i] - mean) * slope);
}

static void sums_piece(const BnState *s, const AdvLaunch *l, int64_t piece)
{
    const float *x = l->in[0].data, *g = l->in[1].data, *mean = l->in[3].data;
    double *sums = sums_of(l->scratch, s, piece);
    for (int64_t i = 0; i < 2 * s->n_c; i++) sums[i] = 0;
    for (int64_t o = s->n_outer * piece / s->n_pieces, end = s->n_outer * (piece + 1) / s->n_pieces; o < end; o++) {
        int64_t at = o * s->n_c * s->len;
        if (s->len == 1) row_sums(sums, sums + s->n_c, x + at, g + at, mean, s->n_c);
        else
            for (int64_t c = 0; c < s->n_c; c++)
                plane_sums(&sums[c], &sums[s->n_c + c], x + at + c * s->len, g + at + c * s->len, (double)mean[c], s->len);
    }
}

/* Stores gw and gb, and leaves scale, mean of g, and slope as floats in the scratch. */
static float *finish_sums(const BnState *s, const AdvLaunch *l)
{
    double *sums = sums_of(l->scratch, s, 0), m = (double)(s->n_outer * s->len);
    const float *w = l->in[2].data, *var = l->in[4].data;
    float *coef = (float *)(sums + 2 * s->n_c);
    for (int64_t c = 0; c < s->n_c; c++) {
        double rstd = 1 / sqrt((double)var[c] + s->eps), sum_gx = sums[s->n_c + c];
        ((float *)l->out[1].data)[c] = (float)(sum_gx * rstd);
        ((float *)l->out[2].data)[c] = (float)sums[c];
        coef[c] = (float)((double)w[c] * rstd);
        coef[s->n_c + c] = (float)(sums[c] / m);
        coef[2 * s->n_c + c] = (float)(sum_gx * rstd * rstd / m);
    }
    return coef;
}

static AdvStatus run_grad(const AdvLaunch *l, void *state)
{
    const BnState *s = state;
    const float *x = l->in[0].data, *g = l->in[1].data, *mean = l->in[3].data;
    float *gx = l->out[0].data;
    int n_threads = adv_cpu_threads(l->n_threads, s->n_outer * s->n_c * s->len);
    (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t p = 0; p < s->n_pieces; p++) sums_piece(s, l, p);
    merge_pieces(s, l->scratch);
    const float *coef = finish_sums(s, l);
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t o = 0; o < s->n_outer; o++) {
        int64_t at = o * s->n_c * s->len;
        if (s->len == 1) row_back(gx + at, x + at, g + at, mean, coef, s->n_c);
        else
            for (int64_t c = 0; c < s->n_c; c++)
                plane_back(gx + at + c * s->len, x + at + c * s->len, g + at + c * s->len, mean[c], coef[c], coef[s->n_c + c],
                           coef[2 * s->n_c + c], s->len);
    }
    return ADV_OK;
}

/* The tensors of x's shape in one dense order; those of a channel dense. */
static bool can(const AdvSig *s, const char **why)
{
    if (!adv_can_f32(s, why)) return false;
    for (uint32_t k = 0; k < s->n_in + s->n_out; k++) {
        const AdvView *v = k < s->n_in ? &s->in[k] : &s->out[k - s->n_in];
        bool is_wide = k == 0 || k == s->n_in || (k == 1 && s->n_in == 5);
        if (is_wide ? !adv_view_same_order(v, &s->out[0]) : !adv_view_is_row(v)) {
            *why = "needs x and its gradients in one dense order";
            return false;
        }
    }
    return true;
}

const AdvKernel adv_k_cpu_bn_train_f32 = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "bn_train", .name = "f32", .op_version = 1,
                                          .can = can, .prepare = prepare, .run = run_train};
const AdvKernel adv_k_cpu_bn_grad_f32 = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "bn_grad", .name = "f32", .op_version = 1,
                                         .can = can, .prepare = prepare, .run = run_grad};
