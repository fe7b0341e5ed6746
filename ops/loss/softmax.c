/* softmax.c: softmax, its logarithm and logsumexp along the last dimension. */
#include "ops/loss/rows.h"

static AdvStatus infer_softmax(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_has_row(c, "softmax"));
    return adv_infer_like(c, 0);
}

static AdvStatus infer_log_softmax(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_has_row(c, "log_softmax"));
    return adv_infer_like(c, 0);
}

static AdvStatus infer_logsumexp(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_has_row(c, "logsumexp"));
    return adv_infer_per_row(c);
}

static void walk(const AdvRefCall *c, AdvIter *it)
{
    adv_rows_init(it, &c->in[0]);
    adv_rows_add(it, &c->in[0]);
    adv_rows_add(it, &c->out[0]);
}

static AdvStatus ref_softmax(const AdvRefCall *c)
{
    AdvIter it;
    for (walk(c, &it); it.more; adv_iter_next(&it)) {
        AdvRow z = adv_row_of(&c->in[0], it.at[0]), y = adv_row_of(&c->out[0], it.at[1]);
        double m = adv_row_max(&z), s = 0;
        for (int64_t k = 0; k < z.n; k++) s += exp(adv_row_ld(&z, k) - m);
        for (int64_t k = 0; k < z.n; k++) adv_row_st(&y, k, exp(adv_row_ld(&z, k) - m) / s);
    }
    return ADV_OK;
}

static AdvStatus ref_log_softmax(const AdvRefCall *c)
{
    AdvIter it;
    for (walk(c, &it); it.more; adv_iter_next(&it)) {
        AdvRow z = adv_row_of(&c->in[0], it.at[0]), y = adv_row_of(&c->out[0], it.at[1]);
        double m = adv_row_max(&z), l = adv_row_logsum(&z, m);
        for (int64_t k = 0; k < z.n; k++) adv_row_st(&y, k, adv_row_ld(&z, k) - m - l);
    }
    return ADV_OK;
}

static AdvStatus ref_logsumexp(const AdvRefCall *c)
{
    AdvIter it;
    for (walk(c, &it); it.more; adv_iter_next(&it)) {
        AdvRow z = adv_row_of(&c->in[0], it.at[0]);
        double m = adv_row_max(&z);
        adv_st(&c->out[0], it.at[1], m + adv_row_logsum(&z, m));
    }
    return ADV_OK;
}

static AdvStatus grad_softmax(AdvBuild *b, const AdvGradCtx *g)
{
    if (adv_val_ok(g->gout[0])) g->gin[0] = adv_g_softmax(b, g->out[0], g->gout[0]);
    return ADV_OK;
}

static AdvStatus grad_log_softmax(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal gy = g->gout[0];
    if (!adv_val_ok(gy)) return ADV_OK;
    g->gin[0] = adv_b2(b, "sub", gy, adv_b2(b, "mul", adv_b1(b, "exp", g->out[0]), adv_g_sum_last(b, gy)));
    return ADV_OK;
}

static AdvStatus grad_logsumexp(AdvBuild *b, const AdvGradCtx *g)
{
    if (!adv_val_ok(g->gout[0])) return ADV_OK;
    g->gin[0] = adv_b2(b, "mul", adv_b1(b, "softmax", g->in[0]), adv_g_column(b, g->gout[0]));
    return ADV_OK;
}

static const AdvPortDef in[] = {{"z", ADV_PORT_FLOAT, "logits [..,K]"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "[..,K]"}, {NULL, 0, NULL}};
static const AdvPortDef row_out[] = {{"y", ADV_PORT_FLOAT, "[..]"}, {NULL, 0, NULL}};

ADV_ROW_OP(
    softmax, in, out, NULL, infer_softmax, grad_softmax, ref_softmax,
    "Probabilities of logits along the last dimension.\nThe maximum is subtracted first; a row of -inf alone, or with NaN, gives NaN.");
ADV_ROW_OP(log_softmax, in, out, NULL, infer_log_softmax, grad_log_softmax, ref_log_softmax,
           "Logarithm of softmax along the last dimension.\nz - max - log(sum(exp(z - max))); a row of -inf alone gives NaN.");
ADV_ROW_OP(logsumexp, in, row_out, NULL, infer_logsumexp, grad_logsumexp, ref_logsumexp,
           "log(sum(exp(z))) along the last dimension.\nThe maximum is subtracted first; the gradient is softmax(z).");
