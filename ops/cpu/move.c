/* move.c: ops that only move elements: copy, relayout, broadcast, slice, concat, on_ball, and cast.
**
** Everything is one loop nest in the destination's memory order; runs that are contiguous on both sides are memcpy.
** Limit: memory bandwidth; turning row order into channels-last reads with a stride and is about half of that.
*/
#include "ops/cpu/move.h"

#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/low.h"
#include "ops/cpu/product.h"
#include "runtime/base/container.h"

#include <stdint.h>
#include <string.h>

void adv_move_make(AdvMove *m, const AdvView *dst, const AdvView *src)
{
    const AdvView *views[2] = {dst, src};
    adv_loop_make(&m->loop, views, 2);
    m->elem_bytes = adv_dtype_bytes(dst->dtype);
}

#define RUN(type) \
    do { \
        type *d = dst; \
        const type *s = src; \
        for (int64_t i = 0; i < n; i++) d[i * dst_step] = s[i * src_step]; \
    } while (0)

static void run_elems(void *dst, int64_t dst_step, const void *src, int64_t src_step, int64_t n, uint32_t elem_bytes)
{
    if (dst_step == 1 && src_step == 1) {
        memcpy(dst, src, (size_t)n * elem_bytes);
        return;
    }
    switch (elem_bytes) {
    case 8: RUN(uint64_t); break;
    case 4: RUN(uint32_t); break;
    case 2: RUN(uint16_t); break;
    default: RUN(uint8_t); break;
    }
}

/* The dimension along which the source is contiguous, if that is not the destination's: then rows would be read with a
** stride, and PANEL of them are turned at once instead, each cache line of the source being read once. -1: none. */
static int panel_dim(const AdvLoop *l)
{
    uint32_t last = l->rank - 1;
    if (l->stride[0][last] != 1 || l->stride[1][last] <= 1) return -1;
    for (uint32_t d = 0; d < last; d++)
        if (l->stride[1][d] == 1) return (int)d;
    return -1;
}

#define PANEL 16
/* 16 columns and 16 rows of four bytes. */
ADV_CLONES static void turn_16(float *dst, int64_t dst_step, const float *src, int64_t src_step)
{
    AdvVec r[16];
    for (int i = 0; i < 16; i++) r[i] = *(const AdvVec *)(src + i * src_step);
    adv_turn_16(r);
    for (int i = 0; i < 16; i++) *(AdvVec *)(dst + i * dst_step) = r[i];
}

#define TURN(type) \
    do { \
        type *d = dst; \
        const type *s = src; \
        for (int64_t j = 0; j < len; j++) \
            for (int64_t i = 0; i < n; i++) d[i * dst_step + j] = s[j * src_step + i]; \
    } while (0)

/* n columns of `len`: dst rows lie dst_step apart, src rows src_step. */
static void turn_panel(void *dst, int64_t dst_step, const void *src, int64_t src_step, int64_t n, int64_t len, uint32_t elem_bytes)
{
    int64_t done = 0;
    if (elem_bytes == 4 && n == PANEL)
        for (; done + 16 <= len; done += 16) turn_16((float *)dst + done, dst_step, (const float *)src + done * src_step, src_step);
    dst = (char *)dst + done * elem_bytes, src = (const char *)src + done * src_step * elem_bytes, len -= done;
    switch (elem_bytes) {
    case 8: TURN(uint64_t); break;
    case 4: TURN(uint32_t); break;
    case 2: TURN(uint16_t); break;
    default: TURN(uint8_t); break;
    }
}

static void run_panels(const AdvMove *m, char *dst, const char *src, uint32_t dim, uint32_t n_threads)
{
    AdvLoop l = m->loop;
    int64_t n = l.dim[dim], n_panels = (n + PANEL - 1) / PANEL, len = l.dim[l.rank - 1], src_step = l.stride[1][l.rank - 1];
    l.dim[dim] = 1;
    int64_t n_jobs = adv_loop_rows(&l) * n_panels;
    int threads = adv_cpu_threads(n_threads, n_jobs * PANEL * len / 4);
    (void)threads;
    ADV_OMP(parallel for schedule(static) num_threads(threads))
    for (int64_t job = 0; job < n_jobs; job++) {
        int64_t at[ADV_LOOP_MAX], first = job % n_panels * PANEL;
        adv_loop_at(&l, job / n_panels, at);
        turn_panel(dst + (at[0] + first * l.stride[0][dim]) * m->elem_bytes, l.stride[0][dim], src + (at[1] + first) * m->elem_bytes,
                   src_step, adv_min_i64(PANEL, n - first), len, m->elem_bytes);
    }
}

static void run_rows(const AdvMove *m, char *dst, const char *src, uint32_t n_threads)
{
    const AdvLoop *l = &m->loop;
    int64_t n_rows = adv_loop_rows(l), len = l->dim[l->rank - 1], d_step = l->stride[0][l->rank - 1], s_step = l->stride[1][l->rank - 1];
    /* few long rows: each is cut, so that all threads have work */
    int64_t n_cuts = n_rows < 16 ? 1 + len / 65536 : 1;
    int threads = adv_cpu_threads(n_threads, n_rows * len / 4);
    (void)threads;
    ADV_OMP(parallel for schedule(static) num_threads(threads))
    for (int64_t job = 0; job < n_rows * n_cuts; job++) {
        int64_t at[ADV_LOOP_MAX], cut = job % n_cuts, first = len * cut / n_cuts, end = len * (cut + 1) / n_cuts;
        adv_loop_at(l, job / n_cuts, at);
        run_elems(dst + (at[0] + first * d_step) * m->elem_bytes, d_step, src + (at[1] + first * s_step) * m->elem_bytes, s_step,
                  end - first, m->elem_bytes);
    }
}

void adv_move_run(const AdvMove *m, void *dst, const void *src, uint32_t n_threads)
{
    int dim = panel_dim(&m->loop);
    if (dim >= 0) run_panels(m, dst, src, (uint32_t)dim, n_threads);
    else run_rows(m, dst, src, n_threads);
}

/* `v` with dims[axis] = n, starting at `start`; offset in elements of its first element goes to *out_at. */
static AdvView part_of(const AdvView *v, uint32_t axis, int64_t start, int64_t n, int64_t *out_at)
{
    AdvView r = *v;
    r.dim[axis] = n;
    *out_at = start * v->stride[axis];
    return r;
}

AdvView adv_view_row(const AdvView *v)
{
    AdvView r = *v;
    r.rank = (uint8_t)(v->rank - 1);
    memmove(r.dim, v->dim + 1, sizeof r.dim - sizeof r.dim[0]);
    memmove(r.stride, v->stride + 1, sizeof r.stride - sizeof r.stride[0]);
    r.dim[ADV_MAX_RANK - 1] = r.stride[ADV_MAX_RANK - 1] = 0;
    return r;
}

/* ---- copy, relayout, broadcast, slice, on_ball: one move ---- */

typedef struct MoveState {
    uint32_t n;
    struct { AdvMove move; int64_t dst_at, src_at; } part[];  /* offsets in bytes */
} MoveState;

static MoveState *new_state(AdvPrep *p, uint32_t n)
{
    MoveState *s = p->alloc(p, sizeof *s + n * sizeof s->part[0]);
    if (s) s->n = n;
    return s;
}

static AdvStatus prepare_copy(AdvPrep *p, void **out_state)
{
    MoveState *s = new_state(p, 1);
    if (!s) return ADV_ENOMEM;
    adv_move_make(&s->part[0].move, &p->sig->out[0], &p->sig->in[0]);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus prepare_slice(AdvPrep *p, void **out_state)
{
    MoveState *s = new_state(p, 1);
    const AdvAttr *a = p->sig->attr;
    int64_t at;
    if (!s) return ADV_ENOMEM;
    AdvView src = part_of(&p->sig->in[0], (uint32_t)a[0].i, a[1].i, a[2].i - a[1].i, &at);
    adv_move_make(&s->part[0].move, &p->sig->out[0], &src);
    s->part[0].src_at = at * s->part[0].move.elem_bytes;
    *out_state = s;
    return ADV_OK;
}

static AdvStatus prepare_concat(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    uint32_t axis = (uint32_t)sig->attr[0].i;
    int64_t start = 0, at;
    MoveState *s = new_state(p, sig->n_in);
    if (!s) return ADV_ENOMEM;
    for (uint32_t k = 0; k < sig->n_in; k++) {
        AdvView dst = part_of(&sig->out[0], axis, start, sig->in[k].dim[axis], &at);
        adv_move_make(&s->part[k].move, &dst, &sig->in[k]);
        s->part[k].dst_at = at * s->part[k].move.elem_bytes;
        start += sig->in[k].dim[axis];
    }
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run_move(const AdvLaunch *l, void *state)
{
    const MoveState *s = state;
    for (uint32_t k = 0; k < s->n; k++) {
        char *dst = (char *)l->out[0].data + s->part[k].dst_at;
        const char *src = (const char *)l->in[k].data + s->part[k].src_at;
        if (dst != src) adv_move_run(&s->part[k].move, dst, src, l->n_threads);
    }
    return ADV_OK;
}

static bool can_move(const AdvSig *s, const char **why)
{
    (void)s, (void)why;
    return true;
}

/* ---- cast ---- */

static void cast_row(const AdvView *dst, int64_t dst_at, int64_t dst_step, const AdvView *src, int64_t src_at, int64_t src_step, int64_t n)
{
    if (dst_step == 1 && src_step == 1 && dst->dtype == ADV_BF16 && src->dtype == ADV_F32) {
        adv_row_narrow((uint16_t *)dst->data + dst_at, (const float *)src->data + src_at, n);
        return;
    }
    if (dst_step == 1 && src_step == 1 && dst->dtype == ADV_F32 && src->dtype == ADV_BF16) {
        adv_row_widen((float *)dst->data + dst_at, (const uint16_t *)src->data + src_at, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) adv_st(dst, dst_at + i * dst_step, adv_ld(src, src_at + i * src_step));
}

static AdvStatus run_cast(const AdvLaunch *l, void *state)
{
    const AdvMove *m = state;
    const AdvLoop *loop = &m->loop;
    uint32_t last = loop->rank - 1;
    int64_t n_rows = adv_loop_rows(loop);
    int n_threads = adv_cpu_threads(l->n_threads, n_rows * loop->dim[last]);
    (void)n_threads;
    if (l->in[0].dtype == l->out[0].dtype) {
        adv_move_run(m, l->out[0].data, l->in[0].data, l->n_threads);
        return ADV_OK;
    }
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t row = 0; row < n_rows; row++) {
        int64_t at[ADV_LOOP_MAX];
        adv_loop_at(loop, row, at);
        cast_row(&l->out[0], at[0], loop->stride[0][last], &l->in[0], at[1], loop->stride[1][last], loop->dim[last]);
    }
    return ADV_OK;
}

static AdvStatus prepare_cast(AdvPrep *p, void **out_state)
{
    AdvMove *m = p->alloc(p, sizeof *m);
    if (!m) return ADV_ENOMEM;
    adv_move_make(m, &p->sig->out[0], &p->sig->in[0]);
    *out_state = m;
    return ADV_OK;
}

#define MOVE(op_name, prepare_fn, run_fn) \
    const AdvKernel adv_k_cpu_##op_name##_move = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "move", .op_version = 1, \
                                                  .can = can_move, .prepare = prepare_fn, .run = run_fn};
MOVE(copy, prepare_copy, run_move)
MOVE(relayout, prepare_copy, run_move)
MOVE(broadcast, prepare_copy, run_move)
MOVE(on_ball, prepare_copy, run_move)
MOVE(slice, prepare_slice, run_move)
MOVE(concat, prepare_concat, run_move)
MOVE(cast, prepare_cast, run_cast)
