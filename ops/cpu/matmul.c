/* matmul.c: matrix products of the size of a classifier's last layers, without the setting up of a library made for large ones (whose
** workspace, taken anew each time, costs half a millisecond of page faults).
**
** b is put into panels of 16 or 32 columns, rows of a are read as they lie (a transposed a is turned first), and ADV_ROWS rows by one
** panel are one product in registers. A product with the transpose of few rows is dot products instead, without any packing.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/product.h"

#include <string.h>

#define MAX_WORK (INT64_C(1) << 24) /* multiplications; of larger products the library's blocking is the better one */

static bool are_rows(const AdvSig *s, const char **why)
{
    if (!adv_sig_f32(s, why)) return false;
    if (adv_view_is_row(&s->in[0]) && adv_view_is_row(&s->in[1]) && adv_view_is_row(&s->out[0])) return true;
    *why = "needs rows without gaps";
    return false;
}

/* ---- few rows: a[M,K] b[N,K]' ---- */

#define FOUR 4
#define MAX_N 32

static inline float add_up(const AdvVec *v)
{
    float a[8], b[4];
    for (int l = 0; l < 8; l++) a[l] = (*v)[l] + (*v)[l + 8];
    for (int l = 0; l < 4; l++) b[l] = a[l] + a[l + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
}

/* y[0..n) = a . b[j], n <= FOUR; rows of b lie `step` apart. */
ADV_CLONES static void dots(float *y, const float *a, const float *b, int64_t step, int64_t k, int n)
{
    AdvVec acc[FOUR] = {{0}};
    float tail[FOUR] = {0};
    const float *row[FOUR];
    int64_t i = 0;
    for (int j = 0; j < FOUR; j++) row[j] = b + (j < n ? j : 0) * step;
    for (; i + ADV_LANES <= k; i += ADV_LANES)
        for (int j = 0; j < FOUR; j++) acc[j] += *(const AdvVec *)(a + i) * *(const AdvVec *)(row[j] + i);
    for (; i < k; i++)
        for (int j = 0; j < FOUR; j++) tail[j] += a[i] * row[j][i];
    for (int j = 0; j < n; j++) y[j] = tail[j] + add_up(&acc[j]);
}

static AdvStatus run_dots(const AdvLaunch *l, void *state)
{
    const AdvView *a = &l->in[0], *b = &l->in[1], *y = &l->out[0];
    int64_t n = y->dim[1], k = a->dim[1];
    int n_threads = adv_cpu_threads(l->n_threads, y->dim[0] * n * k / 8);
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t m = 0; m < y->dim[0]; m++)
        for (int64_t j = 0; j < n; j += FOUR)
            dots((float *)y->data + m * n + j, (const float *)a->data + m * k, (const float *)b->data + j * k, k, k,
                 (int)adv_min_i64(FOUR, n - j));
    return ADV_OK;
}

static bool can_dots(const AdvSig *s, const char **why)
{
    if (!are_rows(s, why)) return false;
    if (!s->attr[0].i && s->attr[1].i && s->in[1].dim[0] <= MAX_N) return true;
    *why = "for a product with at most 32 rows, transposed";
    return false;
}

/* ---- panels ---- */

typedef struct Matmul {
    int64_t n_rows, n_cols;       /* rounded up */
    int64_t a_floats, b_floats;   /* of the turned a, or of its last rows; of the panels, 0 where b is read as it lies */
} Matmul;

/* b as [panel][k][16 or 32], zeros behind the last column. */
static void pack_b(float *to, const Matmul *s, const AdvView *b, bool turned, int64_t n, int64_t k)
{
    const float *from = b->data;
    int64_t i_step = turned ? 1 : b->dim[1], j_step = turned ? b->dim[1] : 1;
    for (int64_t j = 0, wide; j < s->n_cols; j += wide) {
        wide = adv_panel_at(j, s->n_cols);
        int64_t n_real = adv_min_i64(wide, n - j);
        for (int64_t i = 0; i < k; i++, to += wide) {
            for (int64_t c = 0; c < n_real; c++) to[c] = from[i * i_step + (j + c) * j_step];
            memset(to + n_real, 0, (size_t)(wide - n_real) * sizeof *to);
        }
    }
}

/* Rows first..end of a as [row][k], zeros behind row m. */
static void pack_a(float *to, const AdvView *a, bool turned, int64_t first, int64_t end, int64_t m, int64_t k)
{
    const float *from = a->data;
    int64_t r_step = turned ? 1 : k, i_step = turned ? m : 1;
    for (int64_t r = first; r < end; r++)
        for (int64_t i = 0; i < k; i++) *to++ = r < m ? from[r * r_step + i * i_step] : 0;
}

/* ADV_ROWS rows of y; u_row: 0 where u is panels. */
static void run_rows(const Matmul *s, const AdvView *y, const float *v, const float *u, int64_t u_row, int64_t first, int64_t k)
{
    int64_t m = y->dim[0], n = y->dim[1], n_real = adv_min_i64(ADV_ROWS, m - first);
    float tile[ADV_ROWS * 2 * ADV_LANES], *to = (float *)y->data + first * n;
    for (int64_t j = 0, wide; j < s->n_cols; j += wide, u += u_row ? wide : wide * k) {
        wide = adv_panel_at(j, s->n_cols);
        bool fits = n_real == ADV_ROWS && j + wide <= n;
        (wide == ADV_LANES ? adv_product_16 : adv_product_32)(fits ? to + j : tile, fits ? n : wide, v, k, u, u_row ? u_row : wide, k);
        size_t n_bytes = (size_t)adv_min_i64(wide, n - j) * sizeof *to;
        for (int64_t r = 0; !fits && r < n_real; r++) memcpy(to + r * n + j, tile + r * wide, n_bytes);
    }
}

static AdvStatus run_panels(const AdvLaunch *l, void *state)
{
    const Matmul *s = state;
    const AdvView *a = &l->in[0], *y = &l->out[0];
    bool turned = l->attr[0].i != 0;
    int64_t m = y->dim[0], k = a->dim[!turned];
    float *v = (float *)l->scratch + s->b_floats;
    const float *u = s->b_floats ? l->scratch : l->in[1].data;
    int64_t n_whole = turned ? 0 : m / ADV_ROWS * ADV_ROWS; /* rows of a that are read as they lie */
    int n_threads = adv_cpu_threads(l->n_threads, m * y->dim[1] * k / 8);
    (void)n_threads;
    if (s->b_floats) pack_b(l->scratch, s, &l->in[1], l->attr[1].i != 0, y->dim[1], k);
    pack_a(v, a, turned, n_whole, s->n_rows, m, k);
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t r = 0; r < s->n_rows; r += ADV_ROWS)
        run_rows(s, y, r < n_whole ? (const float *)a->data + r * k : v + (r - n_whole) * k, u, s->b_floats ? 0 : y->dim[1], r, k);
    return ADV_OK;
}

static AdvStatus prepare_panels(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    bool turned = sig->attr[0].i != 0;
    int64_t m = sig->out[0].dim[0], n = sig->out[0].dim[1], k = sig->in[0].dim[!turned];
    Matmul *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->n_rows = (m + ADV_ROWS - 1) / ADV_ROWS * ADV_ROWS;
    s->n_cols = (n + ADV_LANES - 1) / ADV_LANES * ADV_LANES;
    s->a_floats = (turned ? s->n_rows : ADV_ROWS) * k;
    /* few steps, or few rows to use a panel: not worth the packing */
    s->b_floats = !sig->attr[1].i && n == s->n_cols && (k <= 64 || m <= ADV_ROWS) ? 0 : s->n_cols * k;
    p->scratch_bytes = (uint64_t)(s->b_floats + s->a_floats) * sizeof(float);
    *out_state = s;
    return ADV_OK;
}

static bool can_panels(const AdvSig *s, const char **why)
{
    if (!are_rows(s, why)) return false;
    if (!adv_product_is_fast()) *why = "needs AVX-512";
    else if (s->out[0].dim[0] * s->out[0].dim[1] > MAX_WORK / s->in[0].dim[!s->attr[0].i]) *why = "for small products";
    else return true;
    return false;
}

const AdvKernel adv_k_cpu_matmul_dots = {
    ADV_KERNEL_HEADER, .backend = "cpu", .op = "matmul", .name = "dots", .op_version = 1, .order = -2, .can = can_dots, .run = run_dots};
const AdvKernel adv_k_cpu_matmul_panels = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "matmul", .name = "panels", .op_version = 1,
                                           .order = -1, .can = can_panels, .prepare = prepare_panels, .run = run_panels};
