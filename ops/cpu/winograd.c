/* winograd.c: 3x3 convolutions of stride 1, and their gradients by the image, with a quarter of the multiplications.
**
** Winograd's F(4x4,3x3) (Lavin and Gray 2016): a tile of 4x4 results comes from a 6x6 window. Window and filter are transformed by
** small matrices of constants, multiplied element by element, which over channels is 36 matrix products, and transformed back:
**
**   U[k] = (G w G')[k]        [n_i x n_o]      once a call            k: one of 36 places of a transformed tile
**   V[k] = (B' x B)[k]        [tiles x n_i]    a block of tiles at a time, so that V and M stay in the cache
**   M[k] = V[k] U[k]          [tiles x n_o]
**   y    = A' M A             + bias, relu
**
** Everything is channels-last, so each transform runs over LANES channels at once and the products read rows as they lie. The
** gradient by the image is the same with the filter turned by 180 degrees and its channels swapped.
**
** Each result is summed over the channels in their order, whatever the blocks: the same bits with any number of threads. The
** transforms cost accuracy: on random numbers four times the rounding error of the plain sum on average, five to eight times at most
** (64 and 512 channels); the tolerance of every kernel holds.
** Expected limit: FLOP rate of the products, measured at about half of direct convolution's time from 64 channels on.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/product.h"

#include <stdint.h>
#include <string.h>

#define LANES ADV_LANES
#define ROWS ADV_ROWS
#define PANEL 16 /* outputs of a filter at a time */
#define PLACES 36
#define SOME 16 /* inputs of a filter at a time */

typedef AdvVec Vec;

typedef struct Wino {
    int64_t n_i, n_o;          /* channels of what is read and of what is made */
    int64_t n_th, n_tw, n_tiles;
    int64_t block;             /* tiles at a time: a multiple of ROWS */
    int64_t v_row, m_row;      /* floats from tile to tile in V and M, */
    int64_t u_plane, v_plane, m_plane; /* and from place to place: no powers of two, which would meet in one set of the cache */
    int64_t thread_floats;
    int64_t pad;
    bool is_gx, has_bias, relu;
} Wino;

/* ---- filters ---- */

/* to[0..6) = G applied to g[0..3), each element PANEL wide */
static inline void filter_line(float to[6][PANEL], float (*g)[PANEL])
{
    ADV_OMP(simd)
    for (int l = 0; l < PANEL; l++) {
        float even = g[0][l] + g[2][l], far = g[0][l] + 4 * g[2][l];
        to[0][l] = 0.25f * g[0][l];
        to[1][l] = (-1.0f / 6) * (even + g[1][l]);
        to[2][l] = (-1.0f / 6) * (even - g[1][l]);
        to[3][l] = (1.0f / 24) * (far + 2 * g[1][l]);
        to[4][l] = (1.0f / 24) * (far - 2 * g[1][l]);
        to[5][l] = g[2][l];
    }
}

/* to[i][3][3][o]: filters of SOME inputs and PANEL outputs, the outputs innermost. */
static void turn_filters(float to[SOME][9][PANEL], const float *w, int64_t o_step, int64_t i_step, bool is_gx)
{
    for (int64_t o = 0; o < PANEL; o++)
        for (int64_t i = 0; i < SOME; i++)
            for (int k = 0; k < 9; k++) to[i][k][o] = w[o * o_step + i * i_step + (is_gx ? 8 - k : k)];
}

/* u[k*plane + 0..PANEL) = (G g G')[k] of one input. */
ADV_CLONES static void filter_tile(float *u, int64_t plane, float g[9][PANEL])
{
    float half[3][6][PANEL], line[3][PANEL], all[6][PANEL];
    for (int r = 0; r < 3; r++) filter_line(half[r], g + 3 * r);
    for (int c = 0; c < 6; c++) {
        for (int r = 0; r < 3; r++) memcpy(line[r], half[r][c], sizeof line[r]);
        filter_line(all, line);
        for (int r = 0; r < 6; r++) memcpy(u + (r * 6 + c) * plane, all[r], sizeof all[r]);
    }
}

/* PANEL columns of U[k][panel][i][32 or 16]: `u_row` is 32 or 16. w [O,I,3,3] dense; `o_step` and `i_step` lead from output to output
** and from input to input. Inputs are taken SOME at a time, so that w is read as it lies. */
static void filter_panel(const Wino *s, float *u, int64_t u_row, const float *w, int64_t o_step, int64_t i_step)
{
    float some[SOME][9][PANEL];
    for (int64_t i = 0; i < s->n_i; i += SOME) {
        turn_filters(some, w + i * i_step, o_step, i_step, s->is_gx);
        for (int64_t k = 0; k < SOME; k++) filter_tile(u + (i + k) * u_row, s->u_plane, some[k]);
    }
}

/* ---- windows ---- */

/* t = B' applied to d, one line of six. */
#define WINDOW_LINE(t0, t1, t2, t3, t4, t5, d0, d1, d2, d3, d4, d5) \
    do { \
        Vec far_ = d4 - 4 * d2, near_ = d3 - 4 * d1, even_ = d4 - d2, odd_ = 2 * (d3 - d1); \
        t0 = 4 * d0 - 5 * d2 + d4; \
        t1 = far_ + near_; \
        t2 = far_ - near_; \
        t3 = even_ + odd_; \
        t4 = even_ - odd_; \
        t5 = 4 * d1 - 5 * d3 + d5; \
    } while (0)

/* A tile's window within the image: rows i0..i1 and columns j0..j1 of its six are inside; `at` is the offset of its corner. */
typedef struct Window { int i0, i1, j0, j1; int64_t at; } Window;

static void find_range(int64_t first, int64_t len, int *from, int *to)
{
    *from = first < 0 ? (int)-first : 0;
    *to = first + 6 > len ? (int)(len - first) : 6;
}

/* v[k*step + c] = (B' x B)[k] for all channels c of one window. */
ADV_CLONES static void window_tile(float *v, int64_t step, const float *x, const Window *w, int64_t row, int64_t col, int64_t n_c)
{
    for (int64_t c = 0; c < n_c; c += LANES) {
        Vec t[6][6];
        for (int j = 0; j < 6; j++) {
            Vec d[6];
            for (int i = 0; i < 6; i++) {
                bool inside = i >= w->i0 && i < w->i1 && j >= w->j0 && j < w->j1;
                d[i] = (Vec){0};
                if (inside) d[i] = *(const Vec *)(x + (w->at + i * row + j * col + c));
            }
            WINDOW_LINE(t[0][j], t[1][j], t[2][j], t[3][j], t[4][j], t[5][j], d[0], d[1], d[2], d[3], d[4], d[5]);
        }
        for (int i = 0; i < 6; i++) {
            Vec r[6];
            WINDOW_LINE(r[0], r[1], r[2], r[3], r[4], r[5], t[i][0], t[i][1], t[i][2], t[i][3], t[i][4], t[i][5]);
            for (int j = 0; j < 6; j++) *(Vec *)(v + ((i * 6 + j) * step + c)) = r[j];
        }
    }
}

/* ---- results ---- */

#define RESULT_LINE(y0, y1, y2, y3, m0, m1, m2, m3, m4, m5) \
    do { \
        Vec s1_ = m1 + m2, d1_ = m1 - m2, s2_ = m3 + m4, d2_ = m3 - m4; \
        y0 = m0 + s1_ + s2_; \
        y1 = d1_ + 2 * d2_; \
        y2 = s1_ + 4 * s2_; \
        y3 = d1_ + 8 * d2_ + m5; \
    } while (0)

/* y = A' m A of one tile, n_h x n_w of its 4x4 being inside; bias may be NULL. */
ADV_CLONES static void result_tile(float *y, int64_t row, int64_t col, int n_h, int n_w, const float *m, int64_t step, int64_t n_c,
                                   const float *bias, bool relu)
{
    for (int64_t c = 0; c < n_c; c += LANES) {
        Vec t[4][6], b = (Vec){0};
        if (bias) b = *(const Vec *)(bias + c);
        for (int j = 0; j < 6; j++) {
            Vec d[6];
            for (int i = 0; i < 6; i++) d[i] = *(const Vec *)(m + ((i * 6 + j) * step + c));
            RESULT_LINE(t[0][j], t[1][j], t[2][j], t[3][j], d[0], d[1], d[2], d[3], d[4], d[5]);
        }
        for (int i = 0; i < n_h; i++) {
            Vec r[4];
            RESULT_LINE(r[0], r[1], r[2], r[3], t[i][0], t[i][1], t[i][2], t[i][3], t[i][4], t[i][5]);
            for (int j = 0; j < n_w; j++) {
                Vec v = r[j] + b;
                if (relu) v = (Vec)(~(AdvMask)(v <= 0) & (AdvMask)v); /* NaN stays */
                *(Vec *)(y + i * row + j * col + c) = v;
            }
        }
    }
}

/* ---- running ---- */

typedef struct Tile { int64_t n, h, w; } Tile; /* image, and first row and column of its results */

static Tile tile_at(const Wino *s, int64_t t)
{
    Tile r = {t / (s->n_th * s->n_tw), t / s->n_tw % s->n_th * 4, t % s->n_tw * 4};
    return r;
}

static void run_block(const Wino *s, const AdvLaunch *l, const float *u, float *mine, int64_t first)
{
    const AdvView *x = &l->in[0], *y = &l->out[0];
    int64_t n = adv_min_i64(s->block, s->n_tiles - first), n_rows = (n + ROWS - 1) / ROWS * ROWS;
    float *v = mine, *m = mine + PLACES * s->v_plane;
    for (int64_t t = 0; t < n; t++) {
        Tile at = tile_at(s, first + t);
        Window w = {.at = at.n * x->stride[0] + (at.h - s->pad) * x->stride[2] + (at.w - s->pad) * x->stride[3]};
        find_range(at.h - s->pad, x->dim[2], &w.i0, &w.i1);
        find_range(at.w - s->pad, x->dim[3], &w.j0, &w.j1);
        window_tile(v + t * s->v_row, s->v_plane, x->data, &w, x->stride[2], x->stride[3], s->n_i);
    }
    for (int64_t k = 0; k < PLACES; k++)
        for (int64_t o = 0, wide; o < s->n_o; o += wide) {
            wide = adv_panel_at(o, s->n_o);
            for (int64_t r = 0; r < n_rows; r += ROWS)
                (wide == PANEL ? adv_product_16 : adv_product_32)(m + k * s->m_plane + r * s->m_row + o, s->m_row,
                                                                  v + k * s->v_plane + r * s->v_row, s->v_row,
                                                                  u + k * s->u_plane + o * s->n_i, wide, s->n_i);
        }
    for (int64_t t = 0; t < n; t++) {
        Tile at = tile_at(s, first + t);
        float *to = (float *)y->data + at.n * y->stride[0] + at.h * y->stride[2] + at.w * y->stride[3];
        result_tile(to, y->stride[2], y->stride[3], (int)adv_min_i64(4, y->dim[2] - at.h), (int)adv_min_i64(4, y->dim[3] - at.w),
                    m + t * s->m_row, s->m_plane, s->n_o, s->has_bias ? l->in[2].data : NULL, s->relu);
    }
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    const Wino *s = state;
    float *u = l->scratch, *rest = u + PLACES * s->u_plane;
    int64_t n_blocks = (s->n_tiles + s->block - 1) / s->block, n_panels = s->n_o / PANEL;
    int64_t o_step = s->is_gx ? 9 : s->n_i * 9, i_step = s->is_gx ? s->n_o * 9 : 9;
    ADV_OMP(parallel num_threads((int)l->n_threads))
    {
        float *mine = rest + (int64_t)adv_thread_at() * s->thread_floats;
        ADV_OMP(for schedule(static))
        for (int64_t p = 0; p < n_panels; p++) {
            int64_t o = p * PANEL, first = o / (2 * PANEL) * (2 * PANEL); /* of the panel of the product */
            const float *w = (const float *)l->in[1].data + o * o_step;
            filter_panel(s, u + first * s->n_i + (o - first), adv_panel_at(first, s->n_o), w, o_step, i_step);
        }
        ADV_OMP(for schedule(static))
        for (int64_t b = 0; b < n_blocks; b++) run_block(s, l, u, mine, b * s->block);
    }
    return ADV_OK;
}

/* Tiles at a time: few, so that V and M of a block stay in the second-level cache; with very many channels more, so that U is not read
** too often; and some for each thread. */
static int64_t block_of(int64_t n_channels, int64_t n_tiles, uint32_t n_threads)
{
    int64_t most = n_channels <= 512 ? 3 * ROWS : 8 * ROWS, share = (n_tiles + n_threads - 1) / n_threads;
    return adv_min_i64(most, (share + ROWS - 1) / ROWS * ROWS);
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    const AdvView *x = &sig->in[0], *y = &sig->out[0];
    Wino *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->is_gx = strcmp(sig->op->name, "conv2d_gx") == 0;
    s->has_bias = strcmp(sig->op->name, "conv2d_bias") == 0;
    s->relu = s->has_bias && sig->attr[2].i;
    s->pad = s->is_gx ? 2 - sig->attr[1].i : sig->attr[1].i;
    s->n_i = x->dim[1], s->n_o = y->dim[1];
    s->n_th = (y->dim[2] + 3) / 4, s->n_tw = (y->dim[3] + 3) / 4;
    s->n_tiles = y->dim[0] * s->n_th * s->n_tw;
    s->block = block_of(s->n_i + s->n_o, s->n_tiles, p->n_threads);
    s->v_row = s->n_i + LANES, s->m_row = s->n_o + LANES;
    s->u_plane = s->n_i * s->n_o + 5 * LANES;
    s->v_plane = s->block * s->v_row + 5 * LANES, s->m_plane = s->block * s->m_row + 5 * LANES;
    s->thread_floats = PLACES * (s->v_plane + s->m_plane);
    p->scratch_bytes = (uint64_t)(PLACES * s->u_plane + (int64_t)p->n_threads * s->thread_floats) * sizeof(float);
    *out_state = s;
    return ADV_OK;
}

static bool can(const AdvSig *s, const char **why)
{
    const AdvView *x = &s->in[0], *w = &s->in[1], *y = &s->out[0];
    int64_t n_tiles = y->dim[0] * ((y->dim[2] + 3) / 4) * ((y->dim[3] + 3) / 4);
    if (!adv_can_f32(s, why)) return false;
    if (!adv_product_is_fast()) *why = "needs AVX-512";
    else if (w->dim[2] != 3 || w->dim[3] != 3 || s->attr[0].i != 1 || s->attr[1].i > 2) *why = "for windows of 3x3 and stride 1";
    else if (!adv_view_is_cl(x) || !adv_view_is_cl(y) || !adv_view_is_row(w)) *why = "needs channels-last images and filters in row order";
    else if (x->dim[1] % LANES || y->dim[1] % PANEL) *why = "needs multiples of 16 channels";
    else if (n_tiles < 4 * ROWS || y->dim[0] * y->dim[2] * y->dim[3] < 9 * n_tiles) *why = "too few pixels for the cost of the transforms";
    else return true;
    return false;
}

#define CONV(op_name) \
    const AdvKernel adv_k_cpu_##op_name##_winograd = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "winograd", \
                                                      .op_version = 1, .order = -1, .can = can, .prepare = prepare, .run = run};
CONV(conv2d)
CONV(conv2d_bias)
CONV(conv2d_gx)
