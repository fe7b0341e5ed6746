/* grad.c: what gradients have in common. */
#include "ops/grad.h"

#include "ops/view.h"

AdvVal adv_g_reshape(AdvBuild *b, AdvVal x, uint32_t rank, const int64_t *dim)
{
    AdvAttr dims = adv_attr_ints(dim, rank);
    return adv_ba(b, "reshape", &x, 1, &dims);
}

AdvVal adv_g_reshape_like(AdvBuild *b, AdvVal x, AdvVal like)
{
    AdvTensorType t = *b->type(b, like);
    return adv_g_reshape(b, x, t.rank, t.dim);
}

AdvVal adv_g_broadcast_like(AdvBuild *b, AdvVal x, AdvVal like)
{
    AdvTensorType t = *b->type(b, like);
    AdvAttr dims = adv_attr_ints(t.dim, t.rank);
    if (adv_val_ok(x) && adv_shape_eq(b->type(b, x), &t)) return x;
    return adv_ba(b, "broadcast", &x, 1, &dims);
}

AdvVal adv_g_column(AdvBuild *b, AdvVal x)
{
    AdvTensorType t = *b->type(b, x);
    if (t.rank >= ADV_MAX_RANK) return (AdvVal){0};
    t.dim[t.rank] = 1;
    return adv_g_reshape(b, x, t.rank + 1u, t.dim);
}

AdvVal adv_g_unreduce(AdvBuild *b, AdvVal x, const AdvAttr *dims, AdvVal like)
{
    AdvTensorType t = *b->type(b, like);
    for (uint32_t i = 0; i < t.rank && dims->n == 0; i++) t.dim[i] = 1;
    for (uint32_t i = 0; i < dims->n; i++) t.dim[dims->ints[i]] = 1;
    if (adv_val_ok(x) && adv_shape_eq(b->type(b, x), &t)) return x;
    return adv_g_reshape(b, x, t.rank, t.dim);
}

AdvVal adv_g_sum_last(AdvBuild *b, AdvVal x)
{
    int64_t last = (int64_t)b->type(b, x)->rank - 1;
    AdvAttr attrs[2];
    attrs[0] = adv_attr_ints(&last, 1);
    attrs[1] = adv_attr_i(1);
    return adv_ba(b, "sum", &x, 1, attrs);
}

AdvVal adv_g_sum_like(AdvBuild *b, AdvVal x, AdvVal like)
{
    AdvTensorType from = *b->type(b, x), to = *b->type(b, like);
    int64_t dims[ADV_MAX_RANK];
    AdvAttr attrs[2];
    uint32_t n = 0;
    if (from.rank == 0 || adv_shape_eq(&from, &to)) return x;
    for (uint32_t i = 0; i < from.rank; i++)
        if (to.rank == 0 || to.dim[i] != from.dim[i]) dims[n++] = i;
    attrs[0] = adv_attr_ints(dims, n);
    attrs[1] = adv_attr_i(to.rank != 0);
    return adv_ba(b, "sum", &x, 1, attrs);
}
