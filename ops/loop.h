/* loop.h: several views walked together, as the fewest nested loops that do it. What the kernels of every back end cut work by. */
#ifndef ADV_OPS_LOOP_H
#define ADV_OPS_LOOP_H

#include "runtime/adv_types.h"

/* Several views of one shape as one loop nest over the first view's memory order: dims of 1 dropped, outermost first,
** neighbours merged where every view allows it. Rank 0 becomes one dim of 1. */
#define ADV_LOOP_MAX 8
typedef struct AdvLoop {
    uint32_t rank, n_views;
    int64_t dim[ADV_MAX_RANK];
    int64_t stride[ADV_LOOP_MAX][ADV_MAX_RANK];
} AdvLoop;

/* The same for any number of views: returns the rank and fills dim[0..rank) and stride[k][0..rank) of each view k. */
uint32_t adv_loop_nest(const AdvView *const *views, uint32_t n_views, int64_t dim[ADV_MAX_RANK], int64_t (*stride)[ADV_MAX_RANK]);

/* views[0] gives order and shape; the others have its shape, or broadcast to it. n_views <= ADV_LOOP_MAX. */
void adv_loop_make(AdvLoop *l, const AdvView *const *views, uint32_t n_views);

/* Offsets at[k] of the outer position `row` (0 .. product of all dims but the last - 1) of each view. */
static inline void adv_loop_at(const AdvLoop *l, int64_t row, int64_t at[ADV_LOOP_MAX])
{
    for (uint32_t k = 0; k < l->n_views; k++) at[k] = 0;
    for (uint32_t d = l->rank - 1; d-- > 0;) {
        int64_t i = row % l->dim[d];
        row /= l->dim[d];
        for (uint32_t k = 0; k < l->n_views; k++) at[k] += i * l->stride[k][d];
    }
}
static inline int64_t adv_loop_rows(const AdvLoop *l)
{
    int64_t n = 1;
    for (uint32_t d = 0; d + 1 < l->rank; d++) n *= l->dim[d];
    return n;
}

#endif
