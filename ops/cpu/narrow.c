/* narrow.c: gradient of a convolution by an image of one to four channels, channels-last.
**
** It is the last thing each step of an attack computes, and the library pads the channels to 16. Here each pixel of gy gives a row of
** products with every tap (place of the window and channel: 27 for 3x3x3), [outputs] by [outputs][taps], an image at a time so that the
** rows stay in the cache; then each pixel of the image adds up the taps that reach it.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/product.h"

#include <string.h>

#define MAX_CHANNELS 4
#define MAX_SIDE 11  /* of the window */
#define MAX_PIXELS 65536 /* of gy's image */

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

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
static void pack(float *to, const AdvView *w, int64_t width)
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

static AdvStatus run(const AdvLaunch *l, void *state)
{
    const NarrowGx *s = state;
    const AdvView *gy = &l->in[0], *w = &l->in[1], *gx = &l->out[0];
    int64_t n_o = w->dim[0], n_c = w->dim[1], line = gx->dim[3] * n_c;
    float *u = l->scratch, *rest = u + s->u_floats;
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(gy));
    (void)n_threads;
    pack(u, w, s->width);
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

static AdvStatus prepare(AdvPrep *p, void **out_state)
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

static bool can(const AdvSig *s, const char **why)
{
    const AdvView *gy = &s->in[0], *w = &s->in[1], *gx = &s->out[0];
    if (!adv_can_f32(s, why)) return false;
    if (!adv_product_is_fast()) *why = "needs AVX-512";
    else if (w->dim[1] > MAX_CHANNELS) *why = "for images of at most 4 channels";
    else if (w->dim[2] > MAX_SIDE || w->dim[3] > MAX_SIDE) *why = "for windows of at most 11x11";
    else if (!adv_view_is_row(w) || !adv_view_is_cl(gx) || !adv_view_is_cl(gy))
        *why = "needs channels-last images and filters in row order";
    else if (gy->dim[1] < 4) *why = "needs a gradient of at least 4 channels";
    else if (gy->dim[2] * gy->dim[3] > MAX_PIXELS) *why = "for gradients of at most 65536 pixels";
    else return true;
    return false;
}

const AdvKernel adv_k_cpu_conv2d_gx_narrow = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "conv2d_gx", .name = "narrow", .op_version = 1,
                                              .order = -2, .can = can, .prepare = prepare, .run = run};
