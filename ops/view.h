/* view.h: strided views: making them and walking them. One element to and from double: adv_elem.h. */
#ifndef ADV_OPS_VIEW_H
#define ADV_OPS_VIEW_H

#include "ops/adv_elem.h"

#include <stdbool.h>

/* Number of elements. */
int64_t adv_view_elems(const AdvView *v);
int64_t adv_type_elems(const AdvTensorType *t);
/* Bytes of a dense tensor of that type. */
int64_t adv_type_bytes(const AdvTensorType *t);
int adv_type_eq(const AdvTensorType *a, const AdvTensorType *b);      /* dtype, shape and layout */
int adv_shape_eq(const AdvTensorType *a, const AdvTensorType *b);     /* shape only */

/* A dense view of a type's layout over `data`. */
AdvView adv_view_of(const AdvTensorType *t, void *data);

/* `v` seen with the dims of `t` (same rank, v's dims equal or 1, or v of rank 0): strides 0 where it repeats. */
AdvView adv_view_broadcast(const AdvView *v, uint32_t rank, const int64_t *dim);

/* For reductions, mark[d] saying which dims of x are reduced. `v` with 1 for the dims that are reduced (or, the others, kept). */
AdvView adv_view_without(const AdvView *v, const bool mark[ADV_MAX_RANK], bool reduced);
/* The result y, whose reduced dims are 1 or left out, seen with the dims of x: stride 0 where it is reduced. */
AdvView adv_view_spread(const AdvView *y, const AdvView *x, const bool mark[ADV_MAX_RANK]);

/* Are the elements without gaps in row / channels-last order? */
int adv_view_is_row(const AdvView *v);
int adv_view_is_cl(const AdvView *v);

/* Copies all elements, bit for bit: same dtype and shape, any strides, no overlap. */
void adv_view_copy(const AdvView *to, const AdvView *from);

/* Walks all index tuples of `dim` in row order: for (adv_iter_init(&it, rank, dim); it.more; adv_iter_next(&it)) with
** offsets of up to 8 views kept in it.at[k]. */
typedef struct AdvIter {
    uint32_t rank, n_views;
    int64_t dim[ADV_MAX_RANK], ix[ADV_MAX_RANK], stride[8][ADV_MAX_RANK], at[8];
    int more;
} AdvIter;
void adv_iter_init(AdvIter *it, uint32_t rank, const int64_t *dim);
void adv_iter_add(AdvIter *it, const AdvView *v); /* already of the iterated shape */
void adv_iter_next(AdvIter *it);

#endif
