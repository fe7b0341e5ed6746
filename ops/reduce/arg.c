/* arg.c: index of the largest and of the smallest element along the last dimension. */
#include "ops/reduce/reduce.h"

#include "runtime/base/diag.h"

#include <stdint.h>

static AdvStatus infer_arg(AdvInferCtx *c, const char *op)
{
    if (c->in[0].rank == 0) return c->fail(c, "`%s` needs at least one dimension", op);
    if (c->in[0].dim[c->in[0].rank - 1] > INT32_MAX) return c->fail(c, "`%s`: too many classes", op);
    ADV_TRY(adv_infer_like(c, 0));
    c->out[0].dtype = ADV_I32;
    c->out[0].dim[--c->out[0].rank] = 0;
    return ADV_OK;
}

static AdvStatus run_arg(const AdvRefCall *c, double sign)
{
    AdvView rows = c->in[0], y = c->out[0];
    uint32_t last = rows.rank - 1u;
    int64_t n = rows.dim[last], step = rows.stride[last];
    AdvIter it;
    rows.rank = (uint8_t)last;
    adv_iter_init(&it, last, rows.dim);
    adv_iter_add(&it, &rows);
    adv_iter_add(&it, &y);
    for (; it.more; adv_iter_next(&it)) {
        int64_t best = 0;
        double m = sign * adv_ld(&rows, it.at[0]);
        for (int64_t i = 1; i < n && m == m; i++) {
            double v = sign * adv_ld(&rows, it.at[0] + i * step);
            if (v > m || v != v) m = v, best = i;
        }
        adv_st(&y, it.at[1], (double)best);
    }
    return ADV_OK;
}

static AdvStatus infer_max(AdvInferCtx *c) { return infer_arg(c, "argmax"); }

static AdvStatus infer_min(AdvInferCtx *c) { return infer_arg(c, "argmin"); }

static AdvStatus ref_max(const AdvRefCall *c) { return run_arg(c, 1); }

static AdvStatus ref_min(const AdvRefCall *c) { return run_arg(c, -1); }

static const AdvPortDef in[] = {{"z", ADV_PORT_FLOAT, "[..,K]"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"k", ADV_PORT_INT, "i32[..]"}, {NULL, 0, NULL}};

extern const AdvOpDef adv_op_argmax, adv_op_argmin;

const AdvOpDef adv_op_argmax = {
    ADV_OP_HEADER,
    .name = "argmax",
    .version = 1,
    .precision = ADV_PREC_F32,
    .layout = ADV_LAYOUT_OP_ROW,
    .in = in,
    .out = out,
    .infer = infer_max,
    .grad = ADV_GRAD_NEVER,
    .ref = ref_max,
    .doc = "Index of the largest element along the last dimension.\nOf equal ones the lowest index; NaN counts as largest."};

const AdvOpDef adv_op_argmin = {
    ADV_OP_HEADER,
    .name = "argmin",
    .version = 1,
    .precision = ADV_PREC_F32,
    .layout = ADV_LAYOUT_OP_ROW,
    .in = in,
    .out = out,
    .infer = infer_min,
    .grad = ADV_GRAD_NEVER,
    .ref = ref_min,
    .doc = "Index of the smallest element along the last dimension.\nOf equal ones the lowest index; NaN counts as smallest."};
