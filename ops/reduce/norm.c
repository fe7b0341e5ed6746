/* norm.c: norms over dimensions. */
#include "ops/reduce/reduce.h"

#include <math.h>

static double fold_norm1(const AdvView *x)
{
    double s = 0;
    AdvIter it;
    adv_iter_init(&it, x->rank, x->dim);
    adv_iter_add(&it, x);
    for (; it.more; adv_iter_next(&it)) s += fabs(adv_ld(x, it.at[0]));
    return s;
}

/* In double the squares of f32 neither overflow nor vanish; for f64 operands sqrt of tiny or huge squares is the caller's. */
static double fold_norm2(const AdvView *x)
{
    double s = 0;
    AdvIter it;
    adv_iter_init(&it, x->rank, x->dim);
    adv_iter_add(&it, x);
    for (; it.more; adv_iter_next(&it)) s += adv_ld(x, it.at[0]) * adv_ld(x, it.at[0]);
    return sqrt(s);
}

static AdvStatus grad_norm1(AdvBuild *b, const AdvGradCtx *g)
{
    if (adv_val_ok(g->gout[0]))
        g->gin[0] = adv_b2(b, "mul", adv_b1(b, "sign", g->in[0]), adv_g_unreduce(b, g->gout[0], &g->attr[0], g->in[0]));
    return ADV_OK;
}

static AdvStatus grad_norm2(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal per;
    if (!adv_val_ok(g->gout[0])) return ADV_OK;
    per = adv_b3(b, "safe_div", g->gout[0], g->out[0], adv_val_number(b, 0, g->gout[0]));
    g->gin[0] = adv_b2(b, "mul", g->in[0], adv_g_unreduce(b, per, &g->attr[0], g->in[0]));
    return ADV_OK;
}

ADV_REDUCE_OP(norm1, grad_norm1, "Sum of magnitudes over dimensions.\nGradient sign(x), 0 at 0.");
ADV_REDUCE_OP(norm2, grad_norm2, "Euclidean norm over dimensions.\nGradient x/norm, 0 where the norm is 0.");
