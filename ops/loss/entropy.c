/* entropy.c: entropy of probabilities along the last dimension. */
#include "ops/loss/rows.h"

static AdvStatus infer(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_has_row(c, "entropy"));
    return adv_infer_per_row(c);
}

static AdvStatus ref(const AdvRefCall *c)
{
    AdvIter it;
    adv_rows_init(&it, &c->in[0]);
    adv_rows_add(&it, &c->in[0]);
    adv_rows_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) {
        AdvRow p = adv_row_of(&c->in[0], it.at[0]);
        double s = 0;
        for (int64_t k = 0; k < p.n; k++) {
            double v = adv_row_ld(&p, k);
            if (v != 0) s -= v * log(v);
        }
        adv_st(&c->out[0], it.at[1], s);
    }
    return ADV_OK;
}

/* -(log p + 1), and 0 where p is 0. */
static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal p = g->in[0], slope, zero;
    if (!adv_val_ok(g->gout[0])) return ADV_OK;
    zero = adv_val_number(b, 0, p);
    slope = adv_b2(b, "sub", adv_val_number(b, -1, p), adv_b1(b, "log", p));
    slope = adv_b3(b, "select", adv_b2(b, "ne", p, zero), slope, zero);
    g->gin[0] = adv_b2(b, "mul", slope, adv_g_column(b, g->gout[0]));
    return ADV_OK;
}

static const AdvPortDef in[] = {{"p", ADV_PORT_FLOAT, "probabilities [..,K]"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"h", ADV_PORT_FLOAT, "[..]"}, {NULL, 0, NULL}};

ADV_ROW_OP(entropy, in, out, NULL, infer, grad, ref,
           "-sum(p*log(p)) along the last dimension, natural logarithm.\n0 log 0 is 0, and its gradient is taken as 0 too; a p below 0 "
           "gives NaN.");
