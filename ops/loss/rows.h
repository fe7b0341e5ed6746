/* rows.h: walking rows of logits: the last dimension is the classes, all before it are rows. */
#ifndef ADV_OPS_ROWS_H
#define ADV_OPS_ROWS_H

#include "ops/grad.h"
#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/diag.h"

#include <math.h>

/* One row in place: element k is at `at + k*step`. */
typedef struct AdvRow {
    const AdvView *v;
    int64_t at, step, n;
} AdvRow;

static inline double adv_row_ld(const AdvRow *r, int64_t k) { return adv_ld(r->v, r->at + k * r->step); }
static inline void adv_row_st(const AdvRow *r, int64_t k, double x) { adv_st(r->v, r->at + k * r->step, x); }

/* Calls for each row: for (adv_rows_init(&w, z); ...) as AdvIter does over the leading dimensions. */
static inline void adv_rows_init(AdvIter *it, const AdvView *z) { adv_iter_init(it, z->rank - 1u, z->dim); }

/* Adds a tensor of the shape of z / of one number a row. */
static inline void adv_rows_add(AdvIter *it, const AdvView *z)
{
    AdvView lead = *z;
    lead.rank = (uint8_t)it->rank;
    adv_iter_add(it, &lead);
}

static inline AdvRow adv_row_of(const AdvView *z, int64_t at)
{
    AdvRow r = {z, at, z->stride[z->rank - 1], z->dim[z->rank - 1]};
    return r;
}

/* Largest element; NaN if there is one. */
static inline double adv_row_max(const AdvRow *z)
{
    double m = adv_row_ld(z, 0);
    for (int64_t k = 1; k < z->n; k++) {
        double v = adv_row_ld(z, k);
        if (v > m || v != v) m = v;
    }
    return m;
}

/* log(sum(exp(z - m))) with m the largest element: z_k - m - this is the log-softmax. */
static inline double adv_row_logsum(const AdvRow *z, double m)
{
    double s = 0;
    for (int64_t k = 0; k < z->n; k++) s += exp(adv_row_ld(z, k) - m);
    return log(s);
}

/* The class of row `at` of y, or -1 if it is not a class of 0..n-1. */
static inline int64_t adv_row_class(const AdvView *y, int64_t at, int64_t n)
{
    double k = adv_ld(y, at);
    return k >= 0 && k < (double)n ? (int64_t)k : -1;
}

/* Gradient of softmax: p*(h - sum(h*p)), for p = softmax(z) and h the gradient of p. */
AdvVal adv_g_softmax(AdvBuild *b, AdvVal p, AdvVal h);

/* Rank at least 1, for ops that take rows of any leading shape. */
AdvStatus adv_infer_has_row(AdvInferCtx *c, const char *op) ADV_MUST_USE;

/* out[0] = one number a row of input 0. */
AdvStatus adv_infer_per_row(AdvInferCtx *c) ADV_MUST_USE;

#define ADV_ROW_OP(op, in_ports, out_ports, attr_table, infer_fn, grad_fn, ref_fn, text)                                                   \
    extern const AdvOpDef adv_op_##op;                                                                                                     \
    const AdvOpDef adv_op_##op = {                                                                                                         \
        ADV_OP_HEADER,  .name = #op,      .version = 1,        .precision = ADV_PREC_F32, .layout = ADV_LAYOUT_OP_ROW,                     \
        .in = in_ports, .out = out_ports, .attrs = attr_table, .infer = infer_fn,         .grad = grad_fn,                                 \
        .ref = ref_fn,  .doc = text}

#endif
