/* narrow.c: convolutions of an image of one to four channels, and their gradients by that image, channels-last.
**
** They are the first and the last thing of each step of an attack, and the library pads their channels to 16.
**
** Forward, the places of the window times the channels ("taps": 27 for 3x3x3) are the inner dimension of a product: a row of the image
** is put into a buffer with its padding, and ADV_ROWS neighbouring pixels are multiplied by [taps][outputs] at once, bias and relu
** included.
**
** The gradient by the image turns that around: each pixel of gy gives a row of products with every tap, [outputs] by [outputs][taps],
** an image at a time so that the rows stay in the cache; then each pixel of the image adds up the taps that reach it.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/product.h"

#include <string.h>

#define MAX_CHANNELS 4
#define MAX_SIDE 11  /* of the window */
#define MAX_PIXELS 65536 /* of gy's image */

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* ---- forward ---- */

typedef struct Narrow {
    int64_t n_taps, line, n_cols; /* of a buffered row: floats, and pixels of the result, a multiple of ADV_ROWS */
    int64_t u_floats, thread_floats;
    bool has_bias, relu;
    int32_t at[];                 /* of each tap from a pixel's first, in the buffer */
} Narrow;

/* Weights [O,C,kh,kw] as [panel][tap][16 or 32]; taps in the order row, column, channel. */
static void pack_forward(float *to, const AdvView *w)
{
    const float *from = w->data;
    int64_t n_o = w->dim[0];
    for (int64_t o = 0, wide; o < n_o; o += wide) {
        wide = adv_panel_at(o, n_o);
        for (int64_t i = 0; i < w->dim[2] * w->dim[3]; i++)
            for (int64_t c = 0; c < w->dim[1]; c++)
                for (int64_t k = 0; k < wide; k++) *to++ = from[(o + k) * w->stride[0] + c * w->stride[1] + i];
    }
}

/* The rows of the window under row `h` of the result, with zeros around. */
static void buffer_rows(float *to, const Narrow *s, const AdvView *x, int64_t n, int64_t h, const AdvView *w, const AdvAttr *a)
{
    int64_t n_c = x->dim[1], pad = a[1].i, most = s->line / n_c;
    int64_t len = adv_min_i64(x->dim[3], most - pad);
    for (int64_t i = 0; i < w->dim[2]; i++, to += s->line) {
        int64_t p = h * a[0].i + i - pad;
        if (p < 0 || p >= x->dim[2]) {
            memset(to, 0, (size_t)s->line * sizeof *to);
            continue;
        }
        memset(to, 0, (size_t)(pad * n_c) * sizeof *to);
        memcpy(to + pad * n_c, (const float *)x->data + (n * x->dim[2] + p) * x->dim[3] * n_c, (size_t)(len * n_c) * sizeof *to);
        memset(to + (pad + len) * n_c, 0, (size_t)(s->line - (pad + len) * n_c) * sizeof *to);
    }
}

/* One row of the result from the buffered rows. */
static void forward_row(const Narrow *s, const AdvLaunch *l, const float *u, const float *start, const float *rows, float *tail, float *to)
{
    int64_t n_o = l->in[1].dim[0], n_w = l->out[0].dim[3], step = l->attr[0].i * l->in[0].dim[1];
    for (int64_t o = 0, wide; o < n_o; o += wide, u += wide * s->n_taps) {
        wide = adv_panel_at(o, n_o);
        for (int64_t j = 0; j < n_w; j += ADV_ROWS) {
            int64_t n = adv_min_i64(ADV_ROWS, n_w - j), row = n < ADV_ROWS ? wide : n_o;
            float *m = n < ADV_ROWS ? tail : to + j * n_o + o;
            (wide == ADV_LANES ? adv_product_16_at : adv_product_32_at)(m, row, rows + j * step, step, u, s->at, s->n_taps, start + o,
                                                                        s->relu);
            for (int64_t r = 0; m == tail && r < n; r++) memcpy(to + (j + r) * n_o + o, tail + r * wide, (size_t)wide * sizeof *to);
        }
    }
}

static AdvStatus run_forward(const AdvLaunch *l, void *state)
{
    const Narrow *s = state;
    const AdvView *y = &l->out[0], *w = &l->in[1];
    float *u = l->scratch, *start = u + s->u_floats, *rest = start + w->dim[0];
    int64_t n_rows = y->dim[0] * y->dim[2];
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(y));
    (void)n_threads;
    pack_forward(u, w);
    if (s->has_bias) memcpy(start, l->in[2].data, (size_t)w->dim[0] * sizeof *start);
    else memset(start, 0, (size_t)w->dim[0] * sizeof *start);
    ADV_OMP(parallel num_threads(n_threads))
    {
        float *tail = rest + (int64_t)adv_thread_at() * s->thread_floats, *rows = tail + ADV_ROWS * 2 * ADV_LANES;
        ADV_OMP(for schedule(static))
        for (int64_t row = 0; row < n_rows; row++) {
            buffer_rows(rows, s, &l->in[0], row / y->dim[2], row % y->dim[2], w, l->attr);
            forward_row(s, l, u, start, rows, tail, (float *)y->data + row * y->dim[3] * y->dim[1]);
        }
    }
    return ADV_OK;
}

static AdvStatus prepare_forward(AdvPrep *p, void **out_state)
{
    const AdvView *x = &p->sig->in[0], *w = &p->sig->in[1], *y = &p->sig->out[0];
    const AdvAttr *a = p->sig->attr;
    int64_t n_taps = w->dim[1] * w->dim[2] * w->dim[3], n_c = x->dim[1];
    Narrow *s = p->alloc(p, sizeof *s + (size_t)n_taps * sizeof s->at[0]);
    if (!s) return ADV_ENOMEM;
    s->n_taps = n_taps;
    s->n_cols = round_up(y->dim[3], ADV_ROWS);
    s->line = ((s->n_cols - 1) * a[0].i + w->dim[3]) * n_c;
    s->u_floats = n_taps * w->dim[0];
    s->thread_floats = round_up(ADV_ROWS * 2 * ADV_LANES + w->dim[2] * s->line, ADV_LANES);
    s->has_bias = p->sig->n_in == 3;
    s->relu = s->has_bias && a[2].i;
    for (int64_t i = 0; i < n_taps; i++) s->at[i] = (int32_t)(i / (w->dim[3] * n_c) * s->line + i % (w->dim[3] * n_c));
    p->scratch_bytes = (uint64_t)(s->u_floats + w->dim[0] + (int64_t)p->n_threads * s->thread_floats) * sizeof(float);
    *out_state = s;
    return ADV_OK;
}

static bool can_narrow(const AdvSig *s, const AdvView *x, const AdvView *w, const AdvView *y, const char **why)
{
    if (!adv_can_f32(s, why)) return false;
    if (!adv_product_is_fast()) *why = "needs AVX-512";
    else if (w->dim[1] > MAX_CHANNELS) *why = "for images of at most 4 channels";
    else if (w->dim[2] > MAX_SIDE || w->dim[3] > MAX_SIDE) *why = "for windows of at most 11x11";
    else if (!adv_view_is_row(w) || !adv_view_is_cl(x) || !adv_view_is_cl(y)) *why = "needs channels-last images and filters in row order";
    else return true;
    return false;
}

static bool can_forward(const AdvSig *s, const char **why)
{
    if (!can_narrow(s, &s->in[0], &s->in[1], &s->out[0], why)) return false;
    if (s->out[0].dim[1] % ADV_LANES == 0 && s->in[0].dim[3] < (1 << 20)) return true;
    *why = "needs a multiple of 16 outputs";
    return false;
}

/* ---- gradient by the image ---- */

/* Along one axis, the places of the window that reach one pixel: offsets of their pixel of gy and of their tap in a row of products. */
typedef struct Reach {
    uint32_t n;
    int32_t at[MAX_SIDE];
} Reach;

typedef struct NarrowGx {
    int64_t n_pixels, width;      /* of gy's image; floats of a row of products: a multiple of ADV_LANES */
    int64_t u_floats, thread_floats;
    Reach *rows, *cols;           /* [H], [W] */
} NarrowGx;

/* Weights [O,C,kh,kw] as [panel][O][16 or 32 taps]; taps in the order row, column, channel, then zeros. */
static void pack_backward(float *to, const AdvView *w, int64_t width)
{
    const float *from = w->data;
    int64_t n_c = w->dim[1], n_taps = n_c * w->dim[2] * w->dim[3];
    for (int64_t t = 0, wide; t < width; t += wide) {
        wide = adv_panel_at(t, width);
        for (int64_t o = 0; o < w->dim[0]; o++)
            for (int64_t k = t; k < t + wide; k++) *to++ = k < n_taps ? from[o * w->stride[0] + k % n_c * w->stride[1] + k / n_c] : 0;
    }
}

/* Products of all pixels of one image of gy: rows ADV_ROWS at a time, the last ones from a copy with zeros behind. */
static void products(const NarrowGx *s, float *m, float *tail, const float *g, const float *u, int64_t n_o)
{
    for (int64_t p = 0; p < s->n_pixels; p += ADV_ROWS) {
        const float *v = g + p * n_o;
        if (p + ADV_ROWS > s->n_pixels) {
            memset(tail, 0, (size_t)(ADV_ROWS * n_o) * sizeof *tail);
            memcpy(tail, v, (size_t)((s->n_pixels - p) * n_o) * sizeof *tail);
            v = tail;
        }
        for (int64_t t = 0, wide; t < s->width; t += wide) {
            wide = adv_panel_at(t, s->width);
            (wide == ADV_LANES ? adv_product_16 : adv_product_32)(m + p * s->width + t, s->width, v, n_o, u + t * n_o, wide, n_o);
        }
    }
}

typedef float Quad __attribute__((vector_size(4 * sizeof(float)), aligned(4), may_alias));

#define QUAD(p) (*(const Quad *)(p))

/* gx[0..n_c) of a row of pixels: sums of taps. MAX_CHANNELS floats of each are read, of which n_c count. Most pixels of most networks
** are reached by three times three. */
#define GATHER(n_c) \
    ADV_CLONES static void gather_##n_c(float *to, const float *m, const Reach *row, const Reach *cols, int64_t n_w) \
    { \
        for (int64_t w = 0; w < n_w; w++, to += n_c) { \
            const Reach *col = &cols[w]; \
            Quad sum = {0}; \
            if (row->n == 3 && col->n == 3) { \
                const float *a = m + row->at[0], *b = m + row->at[1], *c = m + row->at[2]; \
                int64_t i = col->at[0], j = col->at[1], k = col->at[2]; \
                sum = (QUAD(a + i) + QUAD(a + j) + QUAD(a + k)) + (QUAD(b + i) + QUAD(b + j) + QUAD(b + k)) + \
                      (QUAD(c + i) + QUAD(c + j) + QUAD(c + k)); \
            } else \
                for (uint32_t i = 0; i < row->n; i++) \
                    for (uint32_t j = 0; j < col->n; j++) sum += QUAD(m + row->at[i] + col->at[j]); \
            for (int c = 0; c < n_c; c++) to[c] = sum[c]; \
        } \
    }
GATHER(1)
GATHER(2)
GATHER(3)
GATHER(4)
static void (*const gathers[])(float *, const float *, const Reach *, const Reach *, int64_t) = {gather_1, gather_2, gather_3, gather_4};

static AdvStatus run_gx(const AdvLaunch *l, void *state)
{
    const NarrowGx *s = state;
    const AdvView *gy = &l->in[0], *w = &l->in[1], *gx = &l->out[0];
    int64_t n_o = w->dim[0], n_c = w->dim[1], line = gx->dim[3] * n_c;
    float *u = l->scratch, *rest = u + s->u_floats;
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(gy));
    (void)n_threads;
    pack_backward(u, w, s->width);
    ADV_OMP(parallel num_threads(n_threads))
    {
        float *tail = rest + (int64_t)adv_thread_at() * s->thread_floats, *m = tail + ADV_ROWS * n_o;
        ADV_OMP(for schedule(static))
        for (int64_t n = 0; n < gx->dim[0]; n++) {
            products(s, m, tail, (const float *)gy->data + n * s->n_pixels * n_o, u, n_o);
            for (int64_t h = 0; h < gx->dim[2]; h++)
                gathers[n_c - 1]((float *)gx->data + (n * gx->dim[2] + h) * line, m, &s->rows[h], s->cols, gx->dim[3]);
        }
    }
    return ADV_OK;
}

/* What reaches pixel `at` along an axis of gy of length `len` under a window of `size`. */
static void find_reach(Reach *r, int64_t at, int64_t size, int64_t len, const AdvAttr *attr, int64_t g_step, int64_t tap_step)
{
    int64_t stride = attr[0].i, pad = attr[1].i;
    r->n = 0;
    for (int64_t i = 0; i < size; i++) {
        int64_t p = at + pad - i;
        if (p < 0 || p % stride || p / stride >= len) continue;
        r->at[r->n++] = (int32_t)(p / stride * g_step + i * tap_step);
    }
}

static AdvStatus prepare_gx(AdvPrep *p, void **out_state)
{
    const AdvView *gy = &p->sig->in[0], *w = &p->sig->in[1], *gx = &p->sig->out[0];
    const AdvAttr *a = p->sig->attr;
    NarrowGx *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->n_pixels = gy->dim[2] * gy->dim[3];
    s->width = round_up(w->dim[1] * (w->dim[2] * w->dim[3] - 1) + MAX_CHANNELS, ADV_LANES);
    s->u_floats = s->width * w->dim[0];
    s->thread_floats = round_up(ADV_ROWS * w->dim[0] + round_up(s->n_pixels, ADV_ROWS) * s->width, ADV_LANES);
    p->scratch_bytes = (uint64_t)(s->u_floats + (int64_t)p->n_threads * s->thread_floats) * sizeof(float);
    s->rows = p->alloc(p, (size_t)gx->dim[2] * sizeof *s->rows);
    s->cols = p->alloc(p, (size_t)gx->dim[3] * sizeof *s->cols);
    if (!s->rows || !s->cols) return ADV_ENOMEM;
    for (int64_t h = 0; h < gx->dim[2]; h++)
        find_reach(&s->rows[h], h, w->dim[2], gy->dim[2], a, gy->dim[3] * s->width, w->dim[3] * w->dim[1]);
    for (int64_t u = 0; u < gx->dim[3]; u++) find_reach(&s->cols[u], u, w->dim[3], gy->dim[3], a, s->width, w->dim[1]);
    *out_state = s;
    return ADV_OK;
}

static bool can_gx(const AdvSig *s, const char **why)
{
    if (!can_narrow(s, &s->out[0], &s->in[1], &s->in[0], why)) return false;
    if (s->in[0].dim[1] < 4) *why = "needs a gradient of at least 4 channels";
    else if (s->in[0].dim[2] * s->in[0].dim[3] > MAX_PIXELS) *why = "for gradients of at most 65536 pixels";
    else return true;
    return false;
}

#define CONV(op_name, side) \
    const AdvKernel adv_k_cpu_##op_name##_narrow = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "narrow", \
                                                    .op_version = 1, .order = -2, .can = can_##side, .prepare = prepare_##side, \
                                                    .run = run_##side};
CONV(conv2d, forward)
CONV(conv2d_bias, forward)
CONV(conv2d_gx, gx)
