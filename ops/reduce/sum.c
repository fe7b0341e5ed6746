/* sum.c: sum and mean over dimensions. */
#include "ops/reduce/reduce.h"

static double fold_sum(const AdvView *x)
{
    double s = 0;
    AdvIter it;
    adv_iter_init(&it, x->rank, x->dim);
    adv_iter_add(&it, x);
    for (; it.more; adv_iter_next(&it)) s += adv_ld(x, it.at[0]);
    return s;
}

static double fold_mean(const AdvView *x) { return fold_sum(x) / (double)adv_view_elems(x); }

static AdvStatus grad_sum(AdvBuild *b, const AdvGradCtx *g)
{
    if (adv_val_ok(g->gout[0])) g->gin[0] = adv_g_broadcast_like(b, adv_g_unreduce(b, g->gout[0], &g->attr[0], g->in[0]), g->in[0]);
    return ADV_OK;
}

static AdvStatus grad_mean(AdvBuild *b, const AdvGradCtx *g)
{
    AdvTensorType x = *b->type(b, g->in[0]), y = *b->type(b, g->out[0]);
    AdvVal part;
    if (!adv_val_ok(g->gout[0])) return ADV_OK;
    part = adv_b2(b, "mul", g->gout[0], adv_val_number(b, (double)adv_type_elems(&y) / (double)adv_type_elems(&x), g->gout[0]));
    g->gin[0] = adv_g_broadcast_like(b, adv_g_unreduce(b, part, &g->attr[0], g->in[0]), g->in[0]);
    return ADV_OK;
}

ADV_REDUCE_OP(sum, grad_sum, "Sum over dimensions.\nAdded in double in row order, rounded once.");
ADV_REDUCE_OP(mean, grad_mean, "Mean over dimensions.\nThe sum, divided by the number of elements before it is rounded.");
