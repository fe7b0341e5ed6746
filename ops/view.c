/* view.c: strided views. Sizes and strides only; no memory is taken here. */
#include "ops/view.h"

#include "runtime/base/container.h"

#include <assert.h>

static int64_t elems(uint32_t rank, const int64_t *dim)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < rank; i++) n *= dim[i];
    return n;
}

int64_t adv_view_elems(const AdvView *v) { return elems(v->rank, v->dim); }

int64_t adv_type_elems(const AdvTensorType *t) { return elems(t->rank, t->dim); }

int64_t adv_type_bytes(const AdvTensorType *t) { return adv_type_elems(t) * adv_dtype_bytes(t->dtype); }

int adv_shape_eq(const AdvTensorType *a, const AdvTensorType *b)
{
    if (a->rank != b->rank) return 0;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return 0;
    return 1;
}

int adv_type_eq(const AdvTensorType *a, const AdvTensorType *b)
{
    return a->dtype == b->dtype && a->layout == b->layout && adv_shape_eq(a, b);
}

/* Strides of a dense tensor: dimensions from fastest to slowest in `order`. */
static void dense_strides(uint32_t rank, const int64_t *dim, const uint8_t *order, int64_t *out_stride)
{
    int64_t step = 1;
    for (uint32_t i = 0; i < rank; i++) {
        out_stride[order[i]] = step;
        step *= dim[order[i]];
    }
}

static const uint8_t cl_order[4] = {1, 3, 2, 0};

static void row_strides(uint32_t rank, const int64_t *dim, int64_t *out_stride)
{
    uint8_t order[ADV_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) order[i] = (uint8_t)(rank - 1 - i);
    dense_strides(rank, dim, order, out_stride);
}

AdvView adv_view_of(const AdvTensorType *t, void *data)
{
    AdvView v = {.dtype = t->dtype, .rank = t->rank, .data = data};
    assert(t->rank <= ADV_MAX_RANK && (t->layout == ADV_LAYOUT_ROW || t->rank == 4));
    memcpy(v.dim, t->dim, sizeof v.dim);
    if (t->layout == ADV_LAYOUT_CL)
        dense_strides(4, v.dim, cl_order, v.stride);
    else
        row_strides(v.rank, v.dim, v.stride);
    return v;
}

AdvView adv_view_broadcast(const AdvView *v, uint32_t rank, const int64_t *dim)
{
    AdvView r = *v;
    assert(v->rank == 0 || v->rank == rank);
    r.rank = (uint8_t)rank;
    for (uint32_t i = 0; i < rank; i++) {
        r.dim[i] = dim[i];
        r.stride[i] = v->rank != 0 && v->dim[i] == dim[i] ? v->stride[i] : 0;
        assert(v->rank == 0 || v->dim[i] == dim[i] || v->dim[i] == 1);
    }
    return r;
}

/* A stride of a dimension of one element is never used, so it may be anything. */
static int has_strides(const AdvView *v, const int64_t *stride)
{
    for (uint32_t i = 0; i < v->rank; i++)
        if (v->dim[i] != 1 && v->stride[i] != stride[i]) return 0;
    return 1;
}

int adv_view_is_row(const AdvView *v)
{
    int64_t stride[ADV_MAX_RANK];
    row_strides(v->rank, v->dim, stride);
    return has_strides(v, stride);
}

int adv_view_is_cl(const AdvView *v)
{
    int64_t stride[ADV_MAX_RANK];
    if (v->rank != 4) return 0;
    dense_strides(4, v->dim, cl_order, stride);
    return has_strides(v, stride);
}

void adv_iter_init(AdvIter *it, uint32_t rank, const int64_t *dim)
{
    memset(it, 0, sizeof *it);
    it->rank = rank;
    it->more = 1;
    for (uint32_t i = 0; i < rank; i++) {
        it->dim[i] = dim[i];
        if (dim[i] <= 0) it->more = 0;
    }
}

void adv_iter_add(AdvIter *it, const AdvView *v)
{
    assert(it->n_views < 8 && v->rank == it->rank);
    for (uint32_t i = 0; i < it->rank; i++) it->stride[it->n_views][i] = v->stride[i];
    it->n_views++;
}

void adv_iter_next(AdvIter *it)
{
    for (uint32_t i = it->rank; i-- > 0;) {
        if (++it->ix[i] < it->dim[i]) {
            for (uint32_t k = 0; k < it->n_views; k++) it->at[k] += it->stride[k][i];
            return;
        }
        it->ix[i] = 0;
        for (uint32_t k = 0; k < it->n_views; k++) it->at[k] -= it->stride[k][i] * (it->dim[i] - 1);
    }
    it->more = 0;
}

#define COPY(n)                                                                                                                            \
    for (; it.more; adv_iter_next(&it)) memcpy((char *)to->data + it.at[0] * (n), (const char *)from->data + it.at[1] * (n), n)

void adv_view_copy(const AdvView *to, const AdvView *from)
{
    AdvIter it;
    uint32_t n_bytes = adv_dtype_bytes(to->dtype);
    assert(to->dtype == from->dtype && to->rank == from->rank);
    if ((adv_view_is_row(to) && adv_view_is_row(from)) || (adv_view_is_cl(to) && adv_view_is_cl(from))) {
        memcpy(to->data, from->data, (size_t)adv_view_elems(to) * n_bytes);
        return;
    }
    adv_iter_init(&it, to->rank, to->dim);
    adv_iter_add(&it, to);
    adv_iter_add(&it, from);
    switch (n_bytes) { /* constant sizes, so that each becomes one move */
    case 1: COPY(1); break;
    case 2: COPY(2); break;
    case 4: COPY(4); break;
    default: COPY(8); break;
    }
}

AdvView adv_view_without(const AdvView *v, const bool mark[ADV_MAX_RANK], bool reduced)
{
    AdvView r = *v;
    for (uint32_t d = 0; d < v->rank; d++)
        if (mark[d] == reduced) r.dim[d] = 1;
    return r;
}

AdvView adv_view_spread(const AdvView *y, const AdvView *x, const bool mark[ADV_MAX_RANK])
{
    AdvView r = *x;
    bool is_kept = y->rank == x->rank;
    for (uint32_t d = 0, k = 0; d < x->rank; d++) {
        r.stride[d] = mark[d] ? 0 : y->stride[k];
        k += is_kept || !mark[d];
    }
    return r;
}
