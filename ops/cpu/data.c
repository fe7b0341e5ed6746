/* data.c: rows of tables, images of a data set, augmentation. One thread a range of samples. */
#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/move.h"
#include "ops/rng.h"
#include "runtime/base/container.h"

#include <string.h>

static bool is_row_of(const AdvView *ids, int64_t i, int64_t n_rows, int64_t *out)
{
    *out = adv_i64(ids, i * ids->stride[0]);
    return *out >= 0 && *out < n_rows;
}

/* ---- gather, scatter ---- */

typedef struct RowsState { AdvMove row, all; } RowsState;

static char *at_row(const AdvView *v, int64_t i) { return (char *)v->data + i * v->stride[0] * (int64_t)adv_dtype_bytes(v->dtype); }

static AdvStatus prepare_gather(AdvPrep *p, void **out_state)
{
    RowsState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    AdvView dst = adv_view_row(&p->sig->out[0]), src = adv_view_row(&p->sig->in[0]);
    adv_move_make(&s->row, &dst, &src);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run_gather(const AdvLaunch *l, void *state)
{
    const RowsState *s = state;
    const AdvView *t = &l->in[0], *ids = &l->in[1];
    for (int64_t i = 0, id; i < ids->dim[0]; i++) {
        if (!is_row_of(ids, i, t->dim[0], &id)) return ADV_EDATA;
        adv_move_run(&s->row, at_row(&l->out[0], i), at_row(t, id), 1);
    }
    return ADV_OK;
}

static AdvStatus prepare_scatter(AdvPrep *p, void **out_state)
{
    RowsState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    AdvView dst = adv_view_row(&p->sig->out[0]), src = adv_view_row(&p->sig->in[2]);
    adv_move_make(&s->row, &dst, &src);
    adv_move_make(&s->all, &p->sig->out[0], &p->sig->in[0]);
    *out_state = s;
    return ADV_OK;
}

/* In the order of the rows, one thread: of equal numbers the last stays. */
static AdvStatus run_scatter(const AdvLaunch *l, void *state)
{
    const RowsState *s = state;
    const AdvView *ids = &l->in[1], *mask = &l->in[3], *y = &l->out[0];
    if (y->data != l->in[0].data) adv_move_run(&s->all, y->data, l->in[0].data, l->n_threads);
    for (int64_t i = 0, id; i < ids->dim[0]; i++) {
        if (((const float *)mask->data)[i * mask->stride[0]] == 0) continue;
        if (!is_row_of(ids, i, y->dim[0], &id)) return ADV_EDATA;
        adv_move_run(&s->row, at_row(y, id), at_row(&l->in[2], i), 1);
    }
    return ADV_OK;
}

static bool can_move(const AdvSig *s, const char **why)
{
    (void)s, (void)why;
    return true;
}

static bool can_scatter(const AdvSig *s, const char **why)
{
    if (s->in[3].dtype == ADV_F32) return true;
    *why = "needs an f32 mask";
    return false;
}

/* ---- class_sum ---- */

static AdvStatus prepare_class_sum(AdvPrep *p, void **out_state)
{
    AdvLoop *loop = p->alloc(p, sizeof *loop);
    if (!loop) return ADV_ENOMEM;
    AdvView dst = adv_view_row(&p->sig->out[0]), src = adv_view_row(&p->sig->in[0]);
    const AdvView *views[2] = {&dst, &src};
    adv_loop_make(loop, views, 2);
    p->scratch_bytes = (uint64_t)adv_view_elems(&p->sig->out[0]) * sizeof(double);
    *out_state = loop;
    return ADV_OK;
}

static AdvStatus run_class_sum(const AdvLaunch *l, void *state)
{
    const AdvLoop *loop = state;
    const AdvView *v = &l->in[0], *ids = &l->in[1], *out = &l->out[0];
    int64_t n_rows = adv_loop_rows(loop), len = loop->dim[loop->rank - 1], per = n_rows * len, at[ADV_LOOP_MAX];
    double *sum = l->scratch;
    memset(sum, 0, (size_t)(out->dim[0] * per) * sizeof *sum);
    for (int64_t i = 0, k; i < ids->dim[0]; i++) {
        if (!is_row_of(ids, i, out->dim[0], &k)) return ADV_EDATA;
        for (int64_t r = 0; r < n_rows; r++) {
            adv_loop_at(loop, r, at);
            const float *from = (const float *)v->data + i * v->stride[0] + at[1];
            for (int64_t j = 0; j < len; j++) sum[k * per + r * len + j] += (double)from[j * loop->stride[1][loop->rank - 1]];
        }
    }
    for (int64_t k = 0; k < out->dim[0]; k++)
        for (int64_t r = 0; r < n_rows; r++) {
            adv_loop_at(loop, r, at);
            float *to = (float *)out->data + k * out->stride[0] + at[0];
            for (int64_t j = 0; j < len; j++) to[j * loop->stride[0][loop->rank - 1]] = (float)sum[k * per + r * len + j];
        }
    return ADV_OK;
}

/* ---- image_fetch ---- */

ADV_CLONES static void bytes_to_floats(float *to, const uint8_t *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) to[i] = (float)from[i] / 255.0f;
}

/* One image: x u8 [H,W,C] to y at strides of [C,H,W]. */
static void fetch_image(const AdvView *y, float *to, const AdvView *x, const uint8_t *from)
{
    int64_t n_c = y->dim[1], n_h = y->dim[2], n_w = y->dim[3];
    bool is_flat = adv_view_is_cl(y) && x->stride[3] == 1 && x->stride[2] == n_c && x->stride[1] == n_w * n_c;
    if (is_flat) {
        bytes_to_floats(to, from, n_c * n_h * n_w);
        return;
    }
    for (int64_t h = 0; h < n_h; h++)
        for (int64_t w = 0; w < n_w; w++)
            for (int64_t k = 0; k < n_c; k++)
                to[k * y->stride[1] + h * y->stride[2] + w * y->stride[3]] =
                    (float)from[h * x->stride[1] + w * x->stride[2] + k * x->stride[3]] / 255.0f;
}

static AdvStatus run_image_fetch(const AdvLaunch *l, void *state)
{
    const AdvView *x = &l->in[0], *ids = &l->in[1], *y = &l->out[0];
    int n_bad = 0, n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(y));
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads) reduction(+ : n_bad))
    for (int64_t n = 0; n < y->dim[0]; n++) {
        int64_t id;
        if (is_row_of(ids, n, x->dim[0], &id))
            fetch_image(y, (float *)y->data + n * y->stride[0], x, (const uint8_t *)x->data + id * x->stride[0]);
        else n_bad++;
    }
    return n_bad ? ADV_EDATA : ADV_OK;
}

/* ---- pad_crop, hflip ---- */

/* to[0..n) = from, or 0 where from is NULL: the channels of one pixel. */
static inline void put_pixel(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t n)
{
    for (int64_t k = 0; k < n; k++) to[k * to_step] = from ? from[k * from_step] : 0.0f;
}

static inline int64_t mirror(int64_t i, int64_t len, bool reflect)
{
    if (i >= 0 && i < len) return i;
    if (!reflect) return -1;
    return i < 0 ? -i : 2 * (len - 1) - i;
}

static AdvStatus run_pad_crop(const AdvLaunch *l, void *state)
{
    const AdvView *x = &l->in[0], *ids = &l->in[3], *y = &l->out[0];
    int64_t pad = l->attr[0].i, epoch = adv_i64(&l->in[2], 0);
    bool reflect = l->attr[1].i == 1;
    uint64_t key = adv_rng_key(adv_i64(&l->in[1], 0), l->attr[2].i);
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(y));
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t n = 0; n < y->dim[0]; n++) {
        const float *from = (const float *)x->data + n * x->stride[0];
        float *to = (float *)y->data + n * y->stride[0];
        uint32_t off[2];
        adv_rng_crop(key, epoch, adv_i64(ids, n * ids->stride[0]), (uint32_t)pad, off);
        for (int64_t h = 0; h < y->dim[2]; h++) {
            int64_t i = mirror(h + off[0] - pad, y->dim[2], reflect);
            for (int64_t w = 0; w < y->dim[3]; w++) {
                int64_t j = mirror(w + off[1] - pad, y->dim[3], reflect);
                put_pixel(to + h * y->stride[2] + w * y->stride[3], y->stride[1],
                          i < 0 || j < 0 ? NULL : from + i * x->stride[2] + j * x->stride[3], x->stride[1], y->dim[1]);
            }
        }
    }
    return ADV_OK;
}

static AdvStatus run_hflip(const AdvLaunch *l, void *state)
{
    const AdvView *x = &l->in[0], *ids = &l->in[3], *y = &l->out[0];
    int64_t epoch = adv_i64(&l->in[2], 0);
    uint64_t key = adv_rng_key(adv_i64(&l->in[1], 0), l->attr[0].i);
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(y));
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t n = 0; n < y->dim[0]; n++) {
        const float *from = (const float *)x->data + n * x->stride[0];
        float *to = (float *)y->data + n * y->stride[0];
        bool flip = adv_rng_flip(key, epoch, adv_i64(ids, n * ids->stride[0])) != 0;
        for (int64_t h = 0; h < y->dim[2]; h++)
            for (int64_t w = 0; w < y->dim[3]; w++)
                put_pixel(to + h * y->stride[2] + w * y->stride[3], y->stride[1],
                          from + h * x->stride[2] + (flip ? y->dim[3] - 1 - w : w) * x->stride[3], x->stride[1], y->dim[1]);
    }
    return ADV_OK;
}

#define DATA(op_name, can_fn, prepare_fn, run_fn) \
    const AdvKernel adv_k_cpu_##op_name##_f32 = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "f32", .op_version = 1, \
                                                 .can = can_fn, .prepare = prepare_fn, .run = run_fn};
DATA(gather, can_move, prepare_gather, run_gather)
DATA(scatter, can_scatter, prepare_scatter, run_scatter)
DATA(class_sum, adv_sig_f32, prepare_class_sum, run_class_sum)
DATA(image_fetch, adv_sig_f32, NULL, run_image_fetch)
DATA(pad_crop, adv_sig_f32, NULL, run_pad_crop)
DATA(hflip, adv_sig_f32, NULL, run_hflip)
