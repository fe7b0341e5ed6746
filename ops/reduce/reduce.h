/* reduce.h: what reductions over dimensions have in common: attributes, shape rule, and the walk over groups. */
#ifndef ADV_OPS_REDUCE_H
#define ADV_OPS_REDUCE_H

#include "ops/grad.h"
#include "ops/shape.h"
#include "ops/view.h"

/* {dims INTS, keep INT}, ports x -> y, for AdvOpDef. */
extern const AdvAttrDef adv_reduce_attrs[];
extern const AdvPortDef adv_reduce_in[], adv_reduce_out[];

/* Shape of a reduction; `op` names it in messages. */
AdvStatus adv_infer_reduce(AdvInferCtx *c, const char *op) ADV_MUST_USE;

/* Calls fold once for each result with a view of the elements that it is made of, in row order of their indices, so that
** the sum of doubles is the same whatever the layout; stores what it returns. */
AdvStatus adv_ref_reduce(const AdvRefCall *c, double (*fold)(const AdvView *group)) ADV_MUST_USE;

/* A result of a reduction, kept or not, as walked by `rest`: the operand with dims of 1 where it is reduced. */
AdvView adv_reduce_result(const AdvView *y, const AdvView *rest);

/* The view `v` moved by `at` elements. */
AdvView adv_view_at(const AdvView *v, int64_t at);

#define ADV_REDUCE_OP(op, grad_fn, text) \
    static AdvStatus infer_##op(AdvInferCtx *c) { return adv_infer_reduce(c, #op); } \
    static AdvStatus ref_##op(const AdvRefCall *c) { return adv_ref_reduce(c, fold_##op); } \
    extern const AdvOpDef adv_op_##op; \
    const AdvOpDef adv_op_##op = {ADV_OP_HEADER, .name = #op, .version = 1, .precision = ADV_PREC_F32, .layout = ADV_LAYOUT_OP_ANY, \
                                  .in = adv_reduce_in, .out = adv_reduce_out, .attrs = adv_reduce_attrs, .infer = infer_##op, \
                                  .grad = grad_fn, .ref = ref_##op, .doc = text}

#endif
