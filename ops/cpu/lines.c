/* lines.c: convolutions where neither Winograd's algorithm nor the library is at its best: images of one to four channels, which the
** library pads to 16, and strides above 1.
**
** The places of the window times the channels ("taps": 27 for 3x3x3) are the inner dimension of a product: the rows of the image under
** one row of the result are put into a buffer with their padding, and 8 or 12 neighbouring pixels are multiplied by [taps][outputs] at
** once, bias and relu included. Expected limit: FLOP rate.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/product.h"

#include <string.h>

#define MAX_CHANNELS 4       /* at stride 1 */
#define MAX_FLOATS (1 << 16) /* of the buffered rows: they stay in the second-level cache */

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

typedef struct Lines {
    int64_t n_taps, line;         /* line: floats of a buffered row */
    int64_t n_rows;               /* of a product: 8 or 12 */
    int64_t u_floats, thread_floats;
    bool has_bias, relu;
    int32_t at[];                 /* of each tap from a pixel's first, in the buffer */
} Lines;

/* Weights [O,C,kh,kw] as [panel][tap][16 or 32]; taps in the order row, column, channel. */
static void pack(float *to, const AdvView *w)
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
static void buffer_rows(float *to, const Lines *s, const AdvView *x, int64_t n, int64_t h, const AdvView *w, const AdvAttr *a)
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
static void lines_row(const Lines *s, const AdvLaunch *l, const float *u, const float *start, const float *rows, float *tail, float *to)
{
    int64_t n_o = l->in[1].dim[0], n_w = l->out[0].dim[3], step = l->attr[0].i * l->in[0].dim[1];
    for (int64_t o = 0, wide; o < n_o; o += wide, u += wide * s->n_taps) {
        wide = adv_panel_at(o, n_o);
        AdvProductAt *product = adv_product_at(s->n_rows, wide);
        for (int64_t j = 0; j < n_w; j += s->n_rows) {
            int64_t n = adv_min_i64(s->n_rows, n_w - j), row = n < s->n_rows ? wide : n_o;
            float *m = n < s->n_rows ? tail : to + j * n_o + o;
            product(m, row, rows + j * step, step, u, s->at, s->n_taps, start + o, s->relu);
            for (int64_t r = 0; m == tail && r < n; r++) memcpy(to + (j + r) * n_o + o, tail + r * wide, (size_t)wide * sizeof *to);
        }
    }
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    const Lines *s = state;
    const AdvView *y = &l->out[0], *w = &l->in[1];
    float *u = l->scratch, *start = u + s->u_floats, *rest = start + w->dim[0];
    int64_t n_rows = y->dim[0] * y->dim[2];
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(y));
    (void)n_threads;
    pack(u, w);
    if (s->has_bias) memcpy(start, l->in[2].data, (size_t)w->dim[0] * sizeof *start);
    else memset(start, 0, (size_t)w->dim[0] * sizeof *start);
    ADV_OMP(parallel num_threads(n_threads))
    {
        float *tail = rest + (int64_t)adv_thread_at() * s->thread_floats, *rows = tail + ADV_ROWS * 2 * ADV_LANES;
        ADV_OMP(for schedule(static))
        for (int64_t row = 0; row < n_rows; row++) {
            buffer_rows(rows, s, &l->in[0], row / y->dim[2], row % y->dim[2], w, l->attr);
            lines_row(s, l, u, start, rows, tail, (float *)y->data + row * y->dim[3] * y->dim[1]);
        }
    }
    return ADV_OK;
}

/* 12 rows a product keep the registers busiest, but 8 may leave less of the last one unused. */
static int64_t rows_of(int64_t n_columns) { return round_up(n_columns, 8) < round_up(n_columns, ADV_ROWS) ? 8 : ADV_ROWS; }

static int64_t line_of(const AdvView *x, const AdvView *w, const AdvView *y, const AdvAttr *a)
{
    return ((round_up(y->dim[3], rows_of(y->dim[3])) - 1) * a[0].i + w->dim[3]) * x->dim[1];
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvView *x = &p->sig->in[0], *w = &p->sig->in[1], *y = &p->sig->out[0];
    const AdvAttr *a = p->sig->attr;
    int64_t n_taps = w->dim[1] * w->dim[2] * w->dim[3], n_c = x->dim[1];
    Lines *s = p->alloc(p, sizeof *s + (size_t)n_taps * sizeof s->at[0]);
    if (!s) return ADV_ENOMEM;
    s->n_taps = n_taps;
    s->n_rows = rows_of(y->dim[3]);
    s->line = line_of(x, w, y, a);
    s->u_floats = n_taps * w->dim[0];
    s->thread_floats = round_up(ADV_ROWS * 2 * ADV_LANES + w->dim[2] * s->line, ADV_LANES);
    s->has_bias = p->sig->n_in == 3;
    s->relu = s->has_bias && a[2].i;
    for (int64_t i = 0; i < n_taps; i++) s->at[i] = (int32_t)(i / (w->dim[3] * n_c) * s->line + i % (w->dim[3] * n_c));
    p->scratch_bytes = (uint64_t)(s->u_floats + w->dim[0] + (int64_t)p->n_threads * s->thread_floats) * sizeof(float);
    *out_state = s;
    return ADV_OK;
}

static bool can(const AdvSig *s, const char **why)
{
    const AdvView *x = &s->in[0], *w = &s->in[1], *y = &s->out[0];
    if (!adv_can_f32(s, why)) return false;
    if (!adv_product_is_fast()) *why = "needs AVX-512";
    else if (w->dim[1] > MAX_CHANNELS && s->attr[0].i == 1) *why = "for images of at most 4 channels, or strides above 1";
    else if (!adv_view_is_row(w) || !adv_view_is_cl(x) || !adv_view_is_cl(y)) *why = "needs channels-last images and filters in row order";
    else if (y->dim[1] % ADV_LANES) *why = "needs a multiple of 16 outputs";
    else if (w->dim[1] > MAX_CHANNELS && 3 * round_up(y->dim[3], rows_of(y->dim[3])) > 4 * y->dim[3])
        *why = "for results whose rows fill a product";
    else if (line_of(x, w, y, s->attr) > MAX_FLOATS / w->dim[2]) *why = "for images whose rows fit the cache";
    else return true;
    return false;
}

#define CONV(op_name) \
    const AdvKernel adv_k_cpu_##op_name##_lines = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "lines", .op_version = 1, \
                                                   .order = -2, .can = can, .prepare = prepare, .run = run};
CONV(conv2d)
CONV(conv2d_bias)
