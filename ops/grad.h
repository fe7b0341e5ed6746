/* grad.h: short names for the nodes that gradients are made of. A none among the inputs gives none. */
#ifndef ADV_OPS_GRAD_H
#define ADV_OPS_GRAD_H

#include "ops/adv_op.h"

static inline bool adv_val_ok(AdvVal v) { return v.i != 0; }

/* reshape and broadcast to the dims given / to the shape of `like`. */
AdvVal adv_g_reshape(AdvBuild *b, AdvVal x, uint32_t rank, const int64_t *dim);
AdvVal adv_g_reshape_like(AdvBuild *b, AdvVal x, AdvVal like);
AdvVal adv_g_broadcast_like(AdvBuild *b, AdvVal x, AdvVal like);

/* [N] as [N,1], to multiply rows with. */
AdvVal adv_g_column(AdvBuild *b, AdvVal x);

/* x reduced over `dims` as the node was, put back as dims of 1: what broadcasts against the reduction's input `like`. */
AdvVal adv_g_unreduce(AdvBuild *b, AdvVal x, const AdvAttr *dims, AdvVal like);

/* Sum over the last dimension, which is kept as 1. */
AdvVal adv_g_sum_last(AdvBuild *b, AdvVal x);

/* The sum over those dimensions in which `like` is of rank 0 or 1: what the gradient of a broadcast operand is. */
AdvVal adv_g_sum_like(AdvBuild *b, AdvVal x, AdvVal like);

#endif
