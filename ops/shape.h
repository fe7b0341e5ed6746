/* shape.h: what shape rules have in common. Each check says what does not fit through c->fail and returns ADV_ERECIPE. */
#ifndef ADV_OPS_SHAPE_H
#define ADV_OPS_SHAPE_H

#include "ops/adv_op.h"

#define ADV_SHAPE_TEXT 128

/* "f32[2,3]" into text; returns it. */
const char *adv_type_text(const AdvTensorType *t, char text[ADV_SHAPE_TEXT]);

bool adv_dtype_is_float(uint8_t dtype);
bool adv_dtype_is_int(uint8_t dtype);

/* A dense type in row order. */
AdvTensorType adv_type_make(uint8_t dtype, uint32_t rank, const int64_t *dim);

/* Widens *acc (rank 0 at first) by one more operand of an elementwise op: each operand is of rank 0, or has the rank of
** the others with each dim equal or 1. False, with *acc untouched, if it does not fit. */
bool adv_shape_join(AdvTensorType *acc, const AdvTensorType *t);

/* out[0] = the joined shape of all inputs, with dtype `dtype`. `op` names the op in the message. */
AdvStatus adv_infer_join(AdvInferCtx *c, const char *op, uint8_t dtype) ADV_MUST_USE;

/* Inputs first..first+n-1 must have one dtype. */
AdvStatus adv_infer_same_dtype(AdvInferCtx *c, const char *op, uint32_t first, uint32_t n) ADV_MUST_USE;

/* Inputs i and j must have one shape. */
AdvStatus adv_infer_same_shape(AdvInferCtx *c, const char *op, uint32_t i, uint32_t j) ADV_MUST_USE;

/* Input i must have this rank; `what` describes it as in the port table. */
AdvStatus adv_infer_rank(AdvInferCtx *c, const char *op, uint32_t i, uint32_t rank, const char *what) ADV_MUST_USE;

/* Inputs z [N,K] and y i32[N], as most losses take them. */
AdvStatus adv_infer_rows(AdvInferCtx *c, const char *op, uint32_t z, uint32_t y) ADV_MUST_USE;

/* out[0] = input i's type, row layout. */
AdvStatus adv_infer_like(AdvInferCtx *c, uint32_t i) ADV_MUST_USE;

/* Which dimensions an attribute `dims` names (empty: all) as mark[0..rank); repeated or too large ones are refused. */
AdvStatus adv_infer_dims(AdvInferCtx *c, const char *op, const AdvAttr *dims, uint32_t rank, bool mark[ADV_MAX_RANK]) ADV_MUST_USE;

/* The shape of `x` reduced over `dims`: removed, or kept as 1. */
AdvTensorType adv_type_reduced(const AdvTensorType *x, const bool mark[ADV_MAX_RANK], bool keep);

/* The same marks, for a node that passed its shape rule. */
void adv_dims_mark(const AdvAttr *dims, uint32_t rank, bool mark[ADV_MAX_RANK]);

#endif
