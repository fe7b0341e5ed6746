/* ew.c: elementwise ops and their fused groups: an interpreter whose instruction is a row over a tile.
**
** The output is walked in memory order, a tile of elements at a time; every operand and every intermediate result is a tile that
** stays in the first-level cache, so a group of k ops reads and writes memory once, not k times. What an operand needs to be
** a tile depends on how it lies against the output:
**
**   DENSE    same order: no copy, the step reads it where it is
**   ONE      one number: its tile is filled once a thread
**   CYCLE    repeats along the innermost loop (per channel): tiles hold whole periods, so it too is filled once
**   OTHER    anything else (per sample, another layout, bfloat16): gathered for each tile
**
** Limit: memory bandwidth for up to about ten cheap steps; log, pow and tanh are calls of the C library, exp is ours (adv_row.h).
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/ew_tile.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/low.h"
#include "ops/view.h"

#include <assert.h>
#include <string.h>

#define TILE 1024      /* floats of a buffer */
#define USUAL_TILE 512 /* floats at a time, unless a period is longer: a group's buffers and operands stay in the first-level cache */

enum { DENSE, ONE, CYCLE, OTHER };

typedef struct EwOperand {
    uint8_t how;      /* DENSE ... */
    bool is_low;      /* bfloat16 */
    uint32_t buf;     /* tile buffer, unless DENSE */
    AdvLoop loop;     /* OTHER, CYCLE: views[0] the output, views[1] the operand */
} EwOperand;

typedef struct EwExec {
    AdvTileFn *f;
    uint32_t out;     /* buffer; of the last step used for a bfloat16 result only */
    uint32_t in[3];   /* below n_in: operand; else n_in + buffer */
} EwExec;

typedef struct EwState {
    uint32_t n_in, n_steps, n_consts, n_bufs, const_buf;
    int64_t n_elems, tile;
    bool narrows;     /* the result is bfloat16 */
    float consts[ADV_EW_MAX_VALUES];
    EwExec steps[ADV_EW_MAX_STEPS];
    EwOperand in[];
} EwState;

/* ---- preparing ---- */

static void prepare_operand(EwOperand *o, const AdvView *out, const AdvView *in)
{
    const AdvView *views[2];
    AdvView wide = adv_view_broadcast(in, out->rank, out->dim);
    views[0] = out, views[1] = &wide;
    adv_loop_make(&o->loop, views, 2);
    uint32_t last = o->loop.rank - 1;
    bool is_flat = true;
    for (uint32_t d = 0; d < last; d++) is_flat &= o->loop.stride[1][d] == 0;
    o->is_low = in->dtype == ADV_BF16;
    if (o->loop.rank == 1 && o->loop.stride[1][0] == 1) o->how = o->is_low ? OTHER : DENSE;
    else if (is_flat && o->loop.stride[1][last] == 0) o->how = ONE;
    else if (is_flat && o->loop.dim[last] <= TILE) o->how = CYCLE;
    else o->how = OTHER;
}

/* Tiles hold whole periods of every CYCLE operand; one whose period does not divide the others' becomes OTHER. */
static void choose_tile(EwState *s)
{
    int64_t period = 1;
    for (uint32_t k = 0; k < s->n_in; k++) {
        if (s->in[k].how != CYCLE) continue;
        int64_t p = s->in[k].loop.dim[s->in[k].loop.rank - 1];
        if (p % period == 0) period = p;
        else if (period % p != 0) s->in[k].how = OTHER;
    }
    s->tile = (period <= USUAL_TILE ? USUAL_TILE : TILE) / period * period;
}

/* Gives every step a buffer, reusing those whose last reader has run (linear scan). */
static void place_steps(EwState *s, const AdvEwStep *steps, uint32_t n_consts, uint32_t first_buf)
{
    uint32_t last_use[ADV_EW_MAX_STEPS] = {0}, buf_of[ADV_EW_MAX_STEPS], free_bufs[ADV_EW_MAX_STEPS], n_free = 0, n_bufs = first_buf;
    uint32_t base = s->n_in + n_consts;
    for (uint32_t i = 0; i < s->n_steps; i++)
        for (uint32_t k = 0; k < steps[i].row->n_in; k++)
            if (steps[i].in[k] >= base) last_use[steps[i].in[k] - base] = i;
    for (uint32_t i = 0; i < s->n_steps; i++) {
        EwExec *e = &s->steps[i];
        e->f = adv_tile_of(steps[i].row);
        for (uint32_t k = 0; k < steps[i].row->n_in; k++) {
            uint32_t v = steps[i].in[k];
            e->in[k] = v < s->n_in ? v : v < base ? s->n_in + s->const_buf + (v - s->n_in) : s->n_in + buf_of[v - base];
        }
        /* a result may take the place of an operand that dies here: tile functions allow exact overlap */
        for (uint32_t j = 0; j < i; j++)
            if (last_use[j] == i) free_bufs[n_free++] = buf_of[j];
        buf_of[i] = e->out = n_free ? free_bufs[--n_free] : n_bufs++;
        if (last_use[i] <= i) last_use[i] = i, free_bufs[n_free++] = buf_of[i];
    }
    s->n_bufs = n_bufs;
}

static AdvStatus prepare_program(AdvPrep *p, void **out_state, const AdvEwStep *steps, uint32_t n_steps, const double *consts,
                                 uint32_t n_consts)
{
    const AdvSig *sig = p->sig;
    EwState *s = p->alloc(p, sizeof *s + sig->n_in * sizeof s->in[0]);
    if (!s) return ADV_ENOMEM;
    s->n_in = sig->n_in;
    s->n_steps = n_steps;
    s->n_consts = n_consts;
    s->n_elems = adv_view_elems(&sig->out[0]);
    s->narrows = sig->out[0].dtype == ADV_BF16;
    for (uint32_t i = 0; i < n_consts; i++) s->consts[i] = (float)consts[i];
    uint32_t n_bufs = 0;
    for (uint32_t k = 0; k < sig->n_in; k++) prepare_operand(&s->in[k], &sig->out[0], &sig->in[k]);
    choose_tile(s);
    for (uint32_t k = 0; k < sig->n_in; k++)
        if (s->in[k].how != DENSE) s->in[k].buf = n_bufs++;
    s->const_buf = n_bufs;
    place_steps(s, steps, n_consts, n_bufs + n_consts);
    p->scratch_bytes = (uint64_t)p->n_threads * s->n_bufs * TILE * sizeof(float);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus prepare_row(AdvPrep *p, void **out_state) { return adv_ew_prepare_row(p, out_state, prepare_program); }
static AdvStatus prepare_fused(AdvPrep *p, void **out_state) { return adv_ew_prepare_fused(p, out_state, prepare_program); }
static AdvStatus prepare_step_linf(AdvPrep *p, void **out_state) { return adv_ew_prepare_step_linf(p, out_state, prepare_program); }

/* ---- running ---- */

static void fill(float *to, float x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) to[i] = x;
}

/* The same of a bfloat16 operand as `gather`. */
static void gather_low(float *to, const AdvLoop *l, const uint16_t *from, int64_t first, int64_t n)
{
    uint32_t last = l->rank - 1;
    int64_t len = l->dim[last], step = l->stride[1][last], row = first / len, i = first % len;
    while (n > 0) {
        int64_t at[ADV_LOOP_MAX], m = adv_min_i64(n, len - i);
        adv_loop_at(l, row, at);
        const uint16_t *src = from + at[1] + i * step;
        if (step == 0) fill(to, adv_bf16_to_f32(*src), m);
        else if (step == 1) adv_row_widen(to, src, m);
        else
            for (int64_t j = 0; j < m; j++) to[j] = adv_bf16_to_f32(src[j * step]);
        to += m, n -= m, row++, i = 0;
    }
}

/* Elements first .. first+n-1 of an operand, in the output's order. */
static void gather(float *to, const EwOperand *o, const void *data, int64_t first, int64_t n)
{
    const AdvLoop *l = &o->loop;
    const float *from = data;
    if (o->is_low) {
        gather_low(to, l, data, first, n);
        return;
    }
    uint32_t last = l->rank - 1;
    int64_t len = l->dim[last], step = l->stride[1][last], row = first / len, i = first % len;
    while (n > 0) {
        int64_t at[ADV_LOOP_MAX], m = adv_min_i64(n, len - i);
        adv_loop_at(l, row, at);
        const float *src = from + at[1] + i * step;
        if (step == 0) fill(to, *src, m);
        else if (step == 1) memcpy(to, src, (size_t)m * sizeof *to);
        else
            for (int64_t j = 0; j < m; j++) to[j] = src[j * step];
        to += m, n -= m, row++, i = 0;
    }
}

/* What stays the same for all tiles of a thread. */
static void fill_fixed(const EwState *s, const AdvLaunch *l, float *bufs)
{
    for (uint32_t k = 0; k < s->n_in; k++) {
        const EwOperand *o = &s->in[k];
        if (o->how == ONE) fill(bufs + o->buf * TILE, (float)adv_ld(&l->in[k], 0), s->tile);
        if (o->how == CYCLE) gather(bufs + o->buf * TILE, o, l->in[k].data, 0, adv_min_i64(s->tile, s->n_elems));
    }
    for (uint32_t i = 0; i < s->n_consts; i++) fill(bufs + (s->const_buf + i) * TILE, s->consts[i], s->tile);
}

/* Asks for the tile behind this one: the processor's own prefetching starts anew with every tile. */
static void prefetch_tile(const EwState *s, const AdvLaunch *l, int64_t first)
{
    int64_t n = adv_min_i64(s->tile, s->n_elems - first);
    for (uint32_t k = 0; k < s->n_in; k++)
        for (int64_t i = 0; s->in[k].how == DENSE && i < n; i += 16) __builtin_prefetch((const float *)l->in[k].data + first + i);
}

static void run_tile(const EwState *s, const AdvLaunch *l, float *bufs, int64_t first, int64_t n)
{
    prefetch_tile(s, l, first + n);
    for (uint32_t k = 0; k < s->n_in; k++)
        if (s->in[k].how == OTHER) gather(bufs + s->in[k].buf * TILE, &s->in[k], l->in[k].data, first, n);
    float *result = s->narrows ? bufs + s->steps[s->n_steps - 1].out * TILE : (float *)l->out[0].data + first;
    for (uint32_t i = 0; i < s->n_steps; i++) {
        const EwExec *e = &s->steps[i];
        const float *in[3];
        for (uint32_t k = 0; k < 3; k++) {
            uint32_t v = e->in[k];
            if (v >= s->n_in) in[k] = bufs + (v - s->n_in) * TILE;
            else if (s->in[v].how == DENSE) in[k] = (const float *)l->in[v].data + first;
            else in[k] = bufs + s->in[v].buf * TILE;
        }
        e->f(i + 1 == s->n_steps ? result : bufs + e->out * TILE, in[0], in[1], in[2], n);
    }
    if (s->narrows) adv_row_narrow((uint16_t *)l->out[0].data + first, result, n);
}

static AdvStatus run_ew(const AdvLaunch *l, void *state)
{
    const EwState *s = state;
    int64_t n_tiles = (s->n_elems + s->tile - 1) / s->tile;
    int n_threads = adv_cpu_threads(l->n_threads, s->n_elems);
    (void)n_threads;
    ADV_OMP(parallel num_threads(n_threads))
    {
        float *bufs = (float *)l->scratch + (size_t)adv_thread_at() * s->n_bufs * TILE;
        fill_fixed(s, l, bufs);
        ADV_OMP(for schedule(static))
        for (int64_t t = 0; t < n_tiles; t++) run_tile(s, l, bufs, t * s->tile, adv_min_i64(s->tile, s->n_elems - t * s->tile));
    }
    return ADV_OK;
}

static bool can_tile(const AdvSig *sig, const char **why)
{
    for (uint32_t k = 0; k < sig->n_in + 1; k++) {
        uint8_t dtype = k < sig->n_in ? sig->in[k].dtype : sig->out[0].dtype;
        if (dtype == ADV_F32 || dtype == ADV_BF16) continue;
        *why = "for f32 and bf16 only";
        return false;
    }
    if (adv_sig_dense(&sig->out[0])) return true;
    *why = "needs an output without gaps";
    return false;
}

/* ---- integers ---- */

/* Comparisons and arithmetic of class numbers and counters: few and small, one by one in double like the definition. */
static AdvStatus run_int(const AdvLaunch *l, void *state)
{
    const AdvEwRow *row = state;
    const AdvView *y = &l->out[0];
    AdvIter it;
    adv_iter_init(&it, y->rank, y->dim);
    adv_iter_add(&it, y);
    for (uint32_t k = 0; k < row->n_in; k++) {
        AdvView v = adv_view_broadcast(&l->in[k], y->rank, y->dim);
        adv_iter_add(&it, &v);
    }
    for (; it.more; adv_iter_next(&it)) {
        double x[3] = {0, 0, 0};
        for (uint32_t k = 0; k < row->n_in; k++) x[k] = adv_ld(&l->in[k], it.at[k + 1]);
        adv_st(y, it.at[0], row->f(x[0], x[1], x[2]));
    }
    return ADV_OK;
}

/* The row, as the state that run_int takes: constant, whoever it belongs to. */
static AdvStatus prepare_int(AdvPrep *p, void **out_state)
{
    AdvEwRow *row = p->alloc(p, sizeof *row);
    if (!row) return ADV_ENOMEM;
    *row = *p->sig->op->row;
    *out_state = row;
    return ADV_OK;
}

/* ---- the kernels ---- */

const AdvKernel adv_k_cpu_rows_tile = {ADV_KERNEL_HEADER, .backend = "cpu", .op = ADV_KERNEL_ROWS, .name = "tile", .can = can_tile,
                                       .prepare = prepare_row, .run = run_ew};
const AdvKernel adv_k_cpu_rows_plain = {ADV_KERNEL_HEADER, .backend = "cpu", .op = ADV_KERNEL_ROWS, .name = "plain", .order = 10,
                                        .can = adv_sig_f32, .prepare = prepare_int, .run = run_int};
const AdvKernel adv_k_cpu_fused_ew_tile = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "fused_ew", .name = "tile", .op_version = 2,
                                           .can = can_tile, .prepare = prepare_fused, .run = run_ew};
const AdvKernel adv_k_cpu_step_linf_tile = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "step_linf", .name = "tile", .op_version = 1,
                                           .can = can_tile, .prepare = prepare_step_linf, .run = run_ew};
