/* rows.c: what ops on rows of logits have in common. */
#include "ops/loss/rows.h"

AdvVal adv_g_softmax(AdvBuild *b, AdvVal p, AdvVal h)
{
    AdvVal hp = adv_b2(b, "mul", h, p);
    return adv_b2(b, "sub", hp, adv_b2(b, "mul", p, adv_g_sum_last(b, hp)));
}

AdvStatus adv_infer_has_row(AdvInferCtx *c, const char *op)
{
    if (c->in[0].rank == 0) return c->fail(c, "`%s` needs a class dimension, got one number", op);
    return ADV_OK;
}

AdvStatus adv_infer_per_row(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_like(c, 0));
    c->out[0].dim[--c->out[0].rank] = 0;
    return ADV_OK;
}
