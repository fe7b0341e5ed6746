/* loop.c: views as loop nests: sorted by the first view's memory, merged where all of them go on without a step. */
#include "ops/loop.h"

#include <stdbool.h>

typedef int64_t Strides[ADV_MAX_RANK];

static bool may_merge(const int64_t *dim, const Strides *stride, uint32_t n_views, uint32_t d)
{
    for (uint32_t k = 0; k < n_views; k++)
        if (stride[k][d] != stride[k][d + 1] * dim[d + 1]) return false;
    return true;
}

static void swap_dims(int64_t *dim, Strides *stride, uint32_t n_views, uint32_t a, uint32_t b)
{
    int64_t t = dim[a];
    dim[a] = dim[b], dim[b] = t;
    for (uint32_t k = 0; k < n_views; k++) t = stride[k][a], stride[k][a] = stride[k][b], stride[k][b] = t;
}

uint32_t adv_loop_nest(const AdvView *const *views, uint32_t n_views, int64_t dim[ADV_MAX_RANK], int64_t (*stride)[ADV_MAX_RANK])
{
    const AdvView *first = views[0];
    uint32_t rank = 0;
    for (uint32_t d = 0; d < first->rank; d++) {
        if (first->dim[d] == 1) continue;
        dim[rank] = first->dim[d];
        for (uint32_t k = 0; k < n_views; k++) stride[k][rank] = views[k]->rank && views[k]->dim[d] != 1 ? views[k]->stride[d] : 0;
        rank++;
    }
    for (uint32_t a = 1; a < rank; a++)
        for (uint32_t b = a; b > 0 && stride[0][b - 1] < stride[0][b]; b--) swap_dims(dim, stride, n_views, b - 1, b);
    for (uint32_t d = 0; d + 1 < rank;) {
        if (!may_merge(dim, (const Strides *)stride, n_views, d)) {
            d++;
            continue;
        }
        dim[d + 1] *= dim[d];
        for (uint32_t e = d; e + 1 < rank; e++) swap_dims(dim, stride, n_views, e, e + 1);
        rank--;
    }
    if (rank == 0) {
        dim[0] = 1;
        for (uint32_t k = 0; k < n_views; k++) stride[k][0] = 0;
        rank = 1;
    }
    return rank;
}

void adv_loop_make(AdvLoop *l, const AdvView *const *views, uint32_t n_views)
{
    l->n_views = n_views;
    l->rank = adv_loop_nest(views, n_views, l->dim, l->stride);
}
