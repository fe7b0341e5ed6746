/* truth.c: any and all over dimensions. */
#include "ops/reduce/reduce.h"

/* How many elements are not 0. */
static int64_t n_true(const AdvView *x)
{
    int64_t n = 0;
    AdvIter it;
    adv_iter_init(&it, x->rank, x->dim);
    adv_iter_add(&it, x);
    for (; it.more; adv_iter_next(&it)) n += adv_ld(x, it.at[0]) != 0;
    return n;
}

static double fold_any(const AdvView *x) { return n_true(x) > 0; }

static double fold_all(const AdvView *x) { return n_true(x) == adv_view_elems(x); }

ADV_REDUCE_OP(any, ADV_GRAD_ZERO, "1 where at least one element over the dimensions is not 0, else 0.\nGradient 0 everywhere.");
ADV_REDUCE_OP(all, ADV_GRAD_ZERO, "1 where no element over the dimensions is 0, else 0.\nGradient 0 everywhere.");
