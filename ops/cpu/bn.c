/* bn.c: batch normalisation and its gradient, both also with relu.
**
** x is seen as planes [n_outer][n_channels][len]: rows of channels (channels-last and [N,C]: len 1) or planes of pixels (row
** order: len H*W). First a pass for two sums a channel, cut into pieces by shape and merged in order, in double; then a
** pass that writes. Limit: memory bandwidth, x twice and y once.
** Where relu let through, its gradient's kernel sees from x by the very arithmetic of the forward kernel (mean, scale, shift in float,
** scale_of), so the mask is that of the y that was, though y is not read.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"

#include <math.h>

#define MAX_PIECES 64

typedef struct BnState {
    int64_t n_outer, n_c, len, n_pieces;
    double eps;
    bool relu;
    uint32_t skip_at; /* index of the input that is added, 0: none */
    uint64_t vectors_at; /* in the scratch of a gradient, behind the sums */
} BnState;

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

/* bn_relu, bn_relu_given */
static AdvStatus prepare_relu(AdvPrep *p, void **out_state)
{
    AdvStatus st = prepare(p, out_state);
    if (st != ADV_OK) return st;
    BnState *s = *out_state;
    s->relu = true;
    s->skip_at = p->sig->n_in % 2 ? 0 : p->sig->n_in - 1;
    return ADV_OK;
}

/* What (x - mean) is multiplied with, from the variance as it is stored. */
static float scale_of(const BnState *s, float w, float var) { return (float)((double)w / sqrt((double)var + s->eps)); }

/* ---- bn_train ---- */

/* a[c] += x, b[c] += x*x for n_rows rows of n channels. So all functions for rows. */
ADV_CLONES static void rows_moments(double *a, double *b, const float *x, int64_t n, int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++, x += n) {
        ADV_OMP(simd)
        for (int64_t c = 0; c < n; c++) {
            double v = (double)x[c];
            a[c] += v;
            b[c] += v * v;
        }
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
ADV_CLONES static void rows_norm(float *y, const float *x, const float *mean, const float *scale, const float *shift, int64_t n,
                                 int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++, x += n, y += n) {
        ADV_OMP(simd)
        for (int64_t c = 0; c < n; c++) y[c] = (x[c] - mean[c]) * scale[c] + shift[c];
    }
}

ADV_CLONES static void plane_norm(float *y, const float *x, float mean, float scale, float shift, int64_t n)
{
    ADV_OMP(simd)
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale + shift;
}

/* y = relu((x - mean)*scale + shift + skip), without `skip` if that is NULL; y may be skip. */
ADV_CLONES static void rows_norm_relu(float *y, const float *x, const float *skip, const float *mean, const float *scale,
                                      const float *shift, int64_t n, int64_t n_rows)
{
    if (skip) {
        for (int64_t r = 0; r < n_rows; r++, x += n, y += n, skip += n) {
            ADV_OMP(simd)
            for (int64_t c = 0; c < n; c++) {
                float v = (x[c] - mean[c]) * scale[c] + shift[c] + skip[c];
                y[c] = v <= 0 ? 0 : v;
            }
        }
        return;
    }
    for (int64_t r = 0; r < n_rows; r++, x += n, y += n) {
        ADV_OMP(simd)
        for (int64_t c = 0; c < n; c++) {
            float v = (x[c] - mean[c]) * scale[c] + shift[c];
            y[c] = v <= 0 ? 0 : v;
        }
    }
}

ADV_CLONES static void plane_norm_relu(float *y, const float *x, const float *skip, float mean, float scale, float shift, int64_t n)
{
    if (skip) {
        ADV_OMP(simd)
        for (int64_t i = 0; i < n; i++) {
            float v = (x[i] - mean) * scale + shift + skip[i];
            y[i] = v <= 0 ? 0 : v;
        }
        return;
    }
    ADV_OMP(simd)
    for (int64_t i = 0; i < n; i++) {
        float v = (x[i] - mean) * scale + shift;
        y[i] = v <= 0 ? 0 : v;
    }
}

static void merge_pieces(const BnState *s, void *scratch)
{
    double *first = sums_of(scratch, s, 0);
    for (int64_t p = 1; p < s->n_pieces; p++) {
        const double *more = sums_of(scratch, s, p);
        for (int64_t i = 0; i < 2 * s->n_c; i++) first[i] += more[i];
    }
}

/* Where a piece begins, in outer parts. */
static int64_t piece_at(const BnState *s, int64_t piece) { return s->n_outer * piece / s->n_pieces; }

static void moments_piece(const BnState *s, const float *x, double *sums, int64_t piece)
{
    int64_t from = piece_at(s, piece), to = piece_at(s, piece + 1);
    for (int64_t i = 0; i < 2 * s->n_c; i++) sums[i] = 0;
    if (s->len == 1) {
        rows_moments(sums, sums + s->n_c, x + from * s->n_c, s->n_c, to - from);
        return;
    }
    for (int64_t k = from * s->n_c; k < to * s->n_c; k++)
        plane_moments(&sums[k % s->n_c], &sums[s->n_c + k % s->n_c], x + k * s->len, s->len);
}

/* Turns the two sums into mean and variance, stores them, and leaves mean, scale, shift as floats in the scratch. */
static float *finish_moments(const BnState *s, const AdvLaunch *l)
{
    double *sums = sums_of(l->scratch, s, 0), m = (double)(s->n_outer * s->len);
    const float *w = l->in[1].data, *b = l->in[2].data;
    float *coef = (float *)(sums + 2 * s->n_c);
    for (int64_t c = 0; c < s->n_c; c++) {
        double mean = sums[c] / m, var = sums[s->n_c + c] / m - mean * mean;
        if (var < 0) var = 0; /* NaN stays */
        ((float *)l->out[1].data)[c] = (float)mean;
        ((float *)l->out[2].data)[c] = (float)var;
        coef[c] = (float)mean;
        coef[s->n_c + c] = scale_of(s, w[c], (float)var);
        coef[2 * s->n_c + c] = b[c];
    }
    return coef;
}

/* Writes a piece of y from coef: mean, scale and shift of each channel. */
static void norm_piece(const BnState *s, const float *x, const float *skip, float *y, const float *coef, int64_t piece)
{
    const float *mean = coef, *scale = mean + s->n_c, *shift = scale + s->n_c;
    int64_t from = piece_at(s, piece), to = piece_at(s, piece + 1), at = from * s->n_c * s->len;
    if (s->len == 1) {
        if (s->relu) rows_norm_relu(y + at, x + at, skip ? skip + at : NULL, mean, scale, shift, s->n_c, to - from);
        else rows_norm(y + at, x + at, mean, scale, shift, s->n_c, to - from);
        return;
    }
    for (int64_t k = from * s->n_c; k < to * s->n_c; k++, at += s->len) {
        int64_t c = k % s->n_c;
        if (s->relu) plane_norm_relu(y + at, x + at, skip ? skip + at : NULL, mean[c], scale[c], shift[c], s->len);
        else plane_norm(y + at, x + at, mean[c], scale[c], shift[c], s->len);
    }
}

static void norm_all(const BnState *s, const AdvLaunch *l, const float *skip, const float *coef)
{
    const float *x = l->in[0].data;
    float *y = l->out[0].data;
    int n_threads = adv_cpu_threads(l->n_threads, s->n_outer * s->n_c * s->len);
    (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t p = 0; p < s->n_pieces; p++) norm_piece(s, x, skip, y, coef, p);
}

/* bn_train (x, w, b), bn_relu (x, w, b, skip or none) */
static AdvStatus run_train(const AdvLaunch *l, void *state)
{
    const BnState *s = state;
    const float *x = l->in[0].data, *skip = s->skip_at ? l->in[s->skip_at].data : NULL;
    int n_threads = adv_cpu_threads(l->n_threads, s->n_outer * s->n_c * s->len);
    (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t p = 0; p < s->n_pieces; p++) moments_piece(s, x, sums_of(l->scratch, s, p), p);
    merge_pieces(s, l->scratch);
    norm_all(s, l, skip, finish_moments(s, l));
    return ADV_OK;
}

/* x, w, b, mean, var, skip or none */
static AdvStatus run_given(const AdvLaunch *l, void *state)
{
    const BnState *s = state;
    const float *w = l->in[1].data, *b = l->in[2].data, *mean = l->in[3].data, *var = l->in[4].data;
    float *coef = l->scratch;
    for (int64_t c = 0; c < s->n_c; c++) {
        coef[c] = mean[c];
        coef[s->n_c + c] = scale_of(s, w[c], var[c]);
        coef[2 * s->n_c + c] = b[c];
    }
    norm_all(s, l, s->skip_at ? l->in[s->skip_at].data : NULL, coef);
    return ADV_OK;
}

/* ---- bn_grad ---- */

/* g where (x - mean)*scale + shift is above 0, else 0. Both sides are at hand: a branch would end the vectors. */
static inline float through(float x, float g, float mean, float scale, float shift)
{
    float y = (x - mean) * scale + shift;
    return y > 0 ? g : 0;
}

/* a[c] += g, b[c] += g*(x - mean[c]) */
ADV_CLONES static void rows_sums(double *a, double *b, const float *x, const float *g, const float *mean, int64_t n, int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++, x += n, g += n) {
        ADV_OMP(simd)
        for (int64_t c = 0; c < n; c++) {
            double v = (double)g[c];
            a[c] += v;
            b[c] += v * ((double)x[c] - (double)mean[c]);
        }
    }
}

ADV_CLONES static void rows_sums_relu(double *a, double *b, const float *x, const float *g, const float *mean, const float *scale,
                                      const float *shift, int64_t n, int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++, x += n, g += n) {
        ADV_OMP(simd)
        for (int64_t c = 0; c < n; c++) {
            double v = (double)through(x[c], g[c], mean[c], scale[c], shift[c]);
            a[c] += v;
            b[c] += v * ((double)x[c] - (double)mean[c]);
        }
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

ADV_CLONES static void plane_sums_relu(double *a, double *b, const float *x, const float *g, float mean, float scale, float shift,
                                       int64_t n)
{
    double s[16] = {0}, q[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        ADV_OMP(simd)
        for (int j = 0; j < 16; j++) {
            double v = (double)through(x[i + j], g[i + j], mean, scale, shift);
            s[j] += v;
            q[j] += v * ((double)x[i + j] - (double)mean);
        }
    }
    for (int j = 0; j < 16; j++) *a += s[j], *b += q[j];
    for (; i < n; i++) {
        double v = (double)through(x[i], g[i], mean, scale, shift);
        *a += v, *b += v * ((double)x[i] - (double)mean);
    }
}

/* gx = scale*(g - mean_g - (x - mean)*slope); gx may be g. */
ADV_CLONES static void rows_back(float *gx, const float *x, const float *g, const float *mean, const float *scale, const float *mean_g,
                                 const float *slope, int64_t n, int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++, x += n, g += n, gx += n) {
        ADV_OMP(simd)
        for (int64_t c = 0; c < n; c++) gx[c] = scale[c] * (g[c] - mean_g[c] - (x[c] - mean[c]) * slope[c]);
    }
}

ADV_CLONES static void rows_back_relu(float *gx, const float *x, const float *g, const float *mean, const float *scale, const float *shift,
                                      const float *mean_g, const float *slope, int64_t n, int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++, x += n, g += n, gx += n) {
        ADV_OMP(simd)
        for (int64_t c = 0; c < n; c++)
            gx[c] = scale[c] * (through(x[c], g[c], mean[c], scale[c], shift[c]) - mean_g[c] - (x[c] - mean[c]) * slope[c]);
    }
}

ADV_CLONES static void plane_back(float *gx, const float *x, const float *g, float mean, float scale, float mean_g, float slope, int64_t n)
{
    ADV_OMP(simd)
    for (int64_t i = 0; i < n; i++) gx[i] = scale * (g[i] - mean_g - (x[i] - mean) * slope);
}

ADV_CLONES static void plane_back_relu(float *gx, const float *x, const float *g, float mean, float scale, float shift, float mean_g,
                                       float slope, int64_t n)
{
    ADV_OMP(simd)
    for (int64_t i = 0; i < n; i++) gx[i] = scale * (through(x[i], g[i], mean, scale, shift) - mean_g - (x[i] - mean) * slope);
}

/* Operands of bn_grad and bn_relu_grad. Vectors: scale and, for relu, shift from the beginning, the others after the sums. */
typedef struct Back {
    const float *x, *g, *w, *mean, *var;
    const float *scale, *shift, *mean_g, *slope;
} Back;

static void sums_piece(const BnState *s, const Back *b, double *sums, int64_t piece)
{
    int64_t from = piece_at(s, piece), n_rows = piece_at(s, piece + 1) - from, at = from * s->n_c * s->len;
    for (int64_t i = 0; i < 2 * s->n_c; i++) sums[i] = 0;
    if (s->len == 1) {
        if (s->relu) rows_sums_relu(sums, sums + s->n_c, b->x + at, b->g + at, b->mean, b->scale, b->shift, s->n_c, n_rows);
        else rows_sums(sums, sums + s->n_c, b->x + at, b->g + at, b->mean, s->n_c, n_rows);
        return;
    }
    for (int64_t k = 0; k < n_rows * s->n_c; k++, at += s->len) {
        int64_t c = k % s->n_c;
        double *to = &sums[c], *to_x = &sums[s->n_c + c];
        if (s->relu) plane_sums_relu(to, to_x, b->x + at, b->g + at, b->mean[c], b->scale[c], b->shift[c], s->len);
        else plane_sums(to, to_x, b->x + at, b->g + at, (double)b->mean[c], s->len);
    }
}

static void back_piece(const BnState *s, const Back *b, float *gx, int64_t piece)
{
    int64_t from = piece_at(s, piece), n_rows = piece_at(s, piece + 1) - from, at = from * s->n_c * s->len, n = s->n_c;
    if (s->len == 1) {
        if (s->relu) rows_back_relu(gx + at, b->x + at, b->g + at, b->mean, b->scale, b->shift, b->mean_g, b->slope, n, n_rows);
        else rows_back(gx + at, b->x + at, b->g + at, b->mean, b->scale, b->mean_g, b->slope, n, n_rows);
        return;
    }
    for (int64_t k = 0; k < n_rows * n; k++, at += s->len) {
        int64_t c = k % n;
        const float *x = b->x + at, *g = b->g + at;
        if (s->relu) plane_back_relu(gx + at, x, g, b->mean[c], b->scale[c], b->shift[c], b->mean_g[c], b->slope[c], s->len);
        else plane_back(gx + at, x, g, b->mean[c], b->scale[c], b->mean_g[c], b->slope[c], s->len);
    }
}

/* Stores gw and gb, and leaves mean of g and slope as floats in the scratch. */
static void finish_sums(const BnState *s, const AdvLaunch *l, Back *b, float *mean_g, float *slope)
{
    double *sums = sums_of(l->scratch, s, 0), m = (double)(s->n_outer * s->len);
    for (int64_t c = 0; c < s->n_c; c++) {
        double rstd = 1 / sqrt((double)b->var[c] + s->eps), sum_gx = sums[s->n_c + c];
        ((float *)l->out[1].data)[c] = (float)(sum_gx * rstd);
        ((float *)l->out[2].data)[c] = (float)sums[c];
        mean_g[c] = (float)(sums[c] / m);
        slope[c] = (float)(sum_gx * rstd * rstd / m);
    }
    b->mean_g = mean_g;
    b->slope = slope;
}

static AdvStatus prepare_grad(AdvPrep *p, void **out_state)
{
    AdvStatus st = prepare(p, out_state);
    if (st != ADV_OK) return st;
    BnState *s = *out_state;
    s->relu = p->sig->n_in == 6;
    s->vectors_at = p->scratch_bytes;
    p->scratch_bytes += 3 * (uint64_t)s->n_c * sizeof(float); /* scale, mean of g, slope */
    return ADV_OK;
}

/* bn_grad (x, gy, w, mean, var), bn_relu_grad (x, gy, w, b, mean, var) */
static AdvStatus run_grad(const AdvLaunch *l, void *state)
{
    const BnState *s = state;
    float *scale = (float *)(void *)((char *)l->scratch + s->vectors_at);
    uint32_t k = s->relu ? 4 : 3;
    Back b = {.x = l->in[0].data, .g = l->in[1].data, .w = l->in[2].data, .mean = l->in[k].data, .var = l->in[k + 1].data,
              .scale = scale, .shift = s->relu ? l->in[3].data : NULL};
    int n_threads = adv_cpu_threads(l->n_threads, s->n_outer * s->n_c * s->len);
    (void)n_threads;
    for (int64_t c = 0; c < s->n_c; c++) scale[c] = scale_of(s, b.w[c], b.var[c]);
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t p = 0; p < s->n_pieces; p++) sums_piece(s, &b, sums_of(l->scratch, s, p), p);
    merge_pieces(s, l->scratch);
    finish_sums(s, l, &b, scale + s->n_c, scale + 2 * s->n_c);
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t p = 0; p < s->n_pieces; p++) back_piece(s, &b, l->out[0].data, p);
    return ADV_OK;
}

/* The tensors of x's shape in one dense order; those of a channel dense. */
static bool can(const AdvSig *s, const char **why)
{
    if (!adv_can_f32(s, why)) return false;
    for (uint32_t k = 0; k < s->n_in + s->n_out; k++) {
        const AdvView *v = k < s->n_in ? &s->in[k] : &s->out[k - s->n_in];
        if (v->rank == 1 ? !adv_view_is_row(v) : !adv_view_same_order(v, &s->out[0])) {
            *why = "needs x and all of its shape in one dense order";
            return false;
        }
    }
    return true;
}

#define KERNEL(op_name, prepare_fn, run_fn) \
    const AdvKernel adv_k_cpu_##op_name##_f32 = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "f32", .op_version = 1, \
                                                 .can = can, .prepare = prepare_fn, .run = run_fn};
KERNEL(bn_grad, prepare_grad, run_grad)
KERNEL(bn_relu, prepare_relu, run_train)
KERNEL(bn_relu_given, prepare_relu, run_given)
KERNEL(bn_relu_grad, prepare_grad, run_grad)
KERNEL(bn_train, prepare, run_train)
