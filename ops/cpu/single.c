/* single.c: gradient by an image of one channel, for windows of 3x3 and stride 1: the first layer of small networks, in each turn of an
** attack.
**
** Vectors run along the pixels of a row, not over channels, which would leave 7 of 16 lanes to nothing. Sixteen pixels of gy with sixteen
** channels are turned in registers; then a row of gy gives nine rows of products, one a tap, which are added to the three rows of the
** image that they reach, each shifted by its column. Expected limit: FLOP rate, half of it for the turning.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/product.h"

#include <string.h>

#define LANES ADV_LANES
#define TAPS 9
#define MARGIN 4 /* zeros on both sides of a row of products: more than a window reaches beyond it */

typedef struct Single {
    int64_t line;          /* floats of a row of products and of a buffered row of the image, with margins and room for a whole vector */
    int64_t thread_floats;
} Single;

/* t[tap*line + MARGIN + q] = sum over channels of g[q][o]*w[o][tap], for 16 pixels q. */
ADV_CLONES static void products(float *t, int64_t line, const float *g, const float *w, int64_t n_o)
{
    AdvVec acc[TAPS] = {{0}};
    for (int64_t o = 0; o < n_o; o += LANES) {
        AdvVec v[LANES];
        for (int q = 0; q < LANES; q++) v[q] = *(const AdvVec *)(g + q * n_o + o);
        adv_turn_16(v);
        for (int c = 0; c < LANES; c++)
            for (int tap = 0; tap < TAPS; tap++) acc[tap] += w[(o + c) * TAPS + tap] * v[c];
    }
    for (int tap = 0; tap < TAPS; tap++) *(AdvVec *)(t + tap * line + MARGIN) = acc[tap];
}

/* to[w] += the three taps of one row of the window; `t` points to the first tap's product for w = 0. */
ADV_CLONES static void add_taps(float *to, const float *t, int64_t line, int64_t n_w)
{
    for (int64_t w = 0; w < n_w; w += LANES)
        *(AdvVec *)(to + w) += *(const AdvVec *)(t + w) + *(const AdvVec *)(t + line + w - 1) + *(const AdvVec *)(t + 2 * line + w - 2);
}

/* One image. `mine`: rows of products, whose margins are 0, then the buffered image. */
static void image(const Single *s, const AdvLaunch *l, float *mine, int64_t n)
{
    const AdvView *gy = &l->in[0], *w = &l->in[1], *gx = &l->out[0];
    int64_t n_o = w->dim[0], n_h = gx->dim[2], n_w = gx->dim[3], g_w = gy->dim[3], pad = l->attr[1].i;
    float *buffer = mine + TAPS * s->line, *to = (float *)gx->data + n * n_h * n_w;
    memset(buffer, 0, (size_t)(n_h * s->line) * sizeof *buffer);
    for (int64_t p = 0; p < gy->dim[2]; p++) {
        const float *g = (const float *)gy->data + (n * gy->dim[2] + p) * g_w * n_o;
        for (int64_t q = 0; q < g_w; q += LANES) { /* the last sixteen overlap those before */
            int64_t first = adv_min_i64(q, g_w - LANES);
            products(mine + first, s->line, g + first * n_o, w->data, n_o);
        }
        for (int64_t i = 0; i < 3; i++) {
            int64_t h = p - pad + i;
            if (h >= 0 && h < n_h) add_taps(buffer + h * s->line, mine + 3 * i * s->line + MARGIN + pad, s->line, n_w);
        }
    }
    for (int64_t h = 0; h < n_h; h++) memcpy(to + h * n_w, buffer + h * s->line, (size_t)n_w * sizeof *to);
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    const Single *s = state;
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(&l->in[0]));
    (void)n_threads;
    ADV_OMP(parallel num_threads(n_threads))
    {
        float *mine = (float *)l->scratch + (int64_t)adv_thread_at() * s->thread_floats;
        memset(mine, 0, (size_t)(TAPS * s->line) * sizeof *mine);
        ADV_OMP(for schedule(static))
        for (int64_t n = 0; n < l->out[0].dim[0]; n++) image(s, l, mine, n);
    }
    return ADV_OK;
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvView *gx = &p->sig->out[0];
    Single *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->line = (gx->dim[3] + 2 * MARGIN + LANES + LANES - 1) / LANES * LANES;
    s->thread_floats = (TAPS + gx->dim[2]) * s->line;
    p->scratch_bytes = (uint64_t)p->n_threads * (uint64_t)s->thread_floats * sizeof(float);
    *out_state = s;
    return ADV_OK;
}

static bool can(const AdvSig *s, const char **why)
{
    const AdvView *gy = &s->in[0], *w = &s->in[1], *gx = &s->out[0];
    if (!adv_can_f32(s, why)) return false;
    if (!adv_product_is_fast()) *why = "needs AVX-512";
    else if (w->dim[1] != 1 || w->dim[2] != 3 || w->dim[3] != 3 || s->attr[0].i != 1 || s->attr[1].i > 2)
        *why = "for images of one channel, windows of 3x3 and stride 1";
    else if (!adv_view_is_row(w) || !adv_view_is_cl(gx) || !adv_view_is_cl(gy))
        *why = "needs channels-last images and filters in row order";
    else if (w->dim[0] % LANES || gy->dim[3] < LANES) *why = "needs a multiple of 16 channels and rows of at least 16 pixels";
    else return true;
    return false;
}

const AdvKernel adv_k_cpu_conv2d_gx_single = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "conv2d_gx", .name = "single", .op_version = 1,
                                              .order = -3, .can = can, .prepare = prepare, .run = run};
