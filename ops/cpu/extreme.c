/* extreme.c: the gradient ops of reductions to the largest or smallest element: finding it again in row order. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/shape.h"

#include <string.h>

typedef struct ExtremeState {
    AdvLoop group;  /* elements of one result in row order: x, and out (put) or v (take) */
    AdvLoop rest;   /* results: x, that tensor, y, and gy (put) or out (take) */
    bool is_put;
} ExtremeState;

/* Strides of a dense tensor in row order: the first view of a loop decides its order. */
static AdvView row_order(const AdvView *v)
{
    AdvView r = *v;
    int64_t step = 1;
    for (uint32_t d = v->rank; d-- > 0; step *= v->dim[d]) r.stride[d] = step;
    return r;
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    bool mark[ADV_MAX_RANK];
    ExtremeState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->is_put = strcmp(sig->op->name, "extreme_put") == 0;
    adv_dims_mark(&sig->attr[0], sig->in[0].rank, mark);
    const AdvView *x = &sig->in[0], *other = s->is_put ? &sig->out[0] : &sig->in[2], *last = s->is_put ? &sig->in[2] : &sig->out[0];
    AdvView gx = adv_view_without(x, mark, false), go = adv_view_without(other, mark, false), g = row_order(&gx);
    const AdvView *group[3] = {&g, &gx, &go};
    adv_loop_make(&s->group, group, 3);
    AdvView rx = adv_view_without(x, mark, true), ro = adv_view_without(other, mark, true);
    AdvView ry = adv_view_spread(&sig->in[1], &rx, mark), rl = adv_view_spread(last, &rx, mark);
    AdvView r = row_order(&rx);
    const AdvView *rest[5] = {&r, &rx, &ro, &ry, &rl};
    adv_loop_make(&s->rest, rest, 5);
    *out_state = s;
    return ADV_OK;
}

/* Offsets of flat position i of a loop. */
static void offsets(const AdvLoop *l, int64_t i, int64_t at[ADV_LOOP_MAX])
{
    int64_t len = l->dim[l->rank - 1];
    adv_loop_at(l, i / len, at);
    for (uint32_t k = 0; k < l->n_views; k++) at[k] += i % len * l->stride[k][l->rank - 1];
}

static void run_group(const ExtremeState *s, const AdvLaunch *l, int64_t i)
{
    const float *x = l->in[0].data, *y = l->in[1].data, *third = l->in[2].data;
    float *out = l->out[0].data;
    int64_t r[ADV_LOOP_MAX], g[ADV_LOOP_MAX], n = adv_loop_rows(&s->group) * s->group.dim[s->group.rank - 1];
    bool is_found = false;
    offsets(&s->rest, i, r);
    if (!s->is_put) out[r[4]] = 0;
    for (int64_t k = 0; k < n; k++) {
        offsets(&s->group, k, g);
        float v = x[r[1] + g[1]], m = y[r[3]];
        bool is_it = !is_found && (v == m || (v != v && m != m));
        is_found |= is_it;
        if (s->is_put) out[r[2] + g[2]] = is_it ? third[r[4]] : 0;
        else if (is_it) out[r[4]] = third[r[2] + g[2]];
    }
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    const ExtremeState *s = state;
    int64_t n = adv_loop_rows(&s->rest) * s->rest.dim[s->rest.rank - 1];
    int n_threads = adv_cpu_threads(l->n_threads, adv_view_elems(&l->in[0]));
    (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t i = 0; i < n; i++) run_group(s, l, i);
    return ADV_OK;
}

const AdvKernel adv_k_cpu_extreme_put_f32 = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "extreme_put", .name = "f32", .op_version = 1,
                                             .can = adv_can_f32, .prepare = prepare, .run = run};
const AdvKernel adv_k_cpu_extreme_take_f32 = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "extreme_take", .name = "f32", .op_version = 1,
                                              .can = adv_can_f32, .prepare = prepare, .run = run};
