/* ce.c: cross-entropy of logits and a class, and its gradient as an op. */
#include "ops/loss/rows.h"

static AdvStatus infer(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_rows(c, "ce", 0, 1));
    return adv_infer_per_row(c);
}

static AdvStatus ref(const AdvRefCall *c)
{
    AdvIter it;
    adv_rows_init(&it, &c->in[0]);
    adv_rows_add(&it, &c->in[0]), adv_rows_add(&it, &c->in[1]), adv_rows_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) {
        AdvRow z = adv_row_of(&c->in[0], it.at[0]);
        int64_t y = adv_row_class(&c->in[1], it.at[1], z.n);
        double m = adv_row_max(&z);
        if (y < 0) return ADV_EDATA;
        adv_st(&c->out[0], it.at[2], adv_row_logsum(&z, m) - (adv_row_ld(&z, y) - m));
    }
    return ADV_OK;
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal in[3];
    in[0] = g->in[0], in[1] = g->in[1], in[2] = g->gout[0];
    if (adv_val_ok(g->gout[0]) && g->need[0]) g->gin[0] = adv_ba(b, "ce_grad", in, 3, NULL);
    return ADV_OK;
}

static AdvStatus infer_grad(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_rows(c, "ce_grad", 0, 1));
    ADV_TRY(adv_infer_same_shape(c, "ce_grad", 1, 2));
    return adv_infer_like(c, 0);
}

static AdvStatus ref_grad(const AdvRefCall *c)
{
    AdvIter it;
    adv_rows_init(&it, &c->in[0]);
    adv_rows_add(&it, &c->in[0]), adv_rows_add(&it, &c->in[1]), adv_rows_add(&it, &c->in[2]), adv_rows_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) {
        AdvRow z = adv_row_of(&c->in[0], it.at[0]), gz = adv_row_of(&c->out[0], it.at[3]);
        int64_t y = adv_row_class(&c->in[1], it.at[1], z.n);
        double m = adv_row_max(&z), l = adv_row_logsum(&z, m), g = adv_ld(&c->in[2], it.at[2]);
        if (y < 0) return ADV_EDATA;
        for (int64_t k = 0; k < z.n; k++) adv_row_st(&gz, k, g * (exp(adv_row_ld(&z, k) - m - l) - (k == y)));
    }
    return ADV_OK;
}

/* With p = softmax(z), out = (p - onehot)*g: by z the gradient of softmax at h*g; by g the sum of h*(p - onehot). */
static AdvStatus grad_grad(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal h = g->gout[0], p, column, hp;
    int64_t last = 1;
    AdvAttr sum[2];
    if (!adv_val_ok(h)) return ADV_OK;
    sum[0] = adv_attr_ints(&last, 1);
    sum[1] = adv_attr_i(0);
    p = adv_b1(b, "softmax", g->in[0]);
    column = adv_g_column(b, g->in[2]);
    if (g->need[0]) g->gin[0] = adv_g_softmax(b, p, adv_b2(b, "mul", h, column));
    if (g->need[2]) {
        hp = adv_b2(b, "mul", h, p);
        g->gin[2] = adv_b2(b, "sub", adv_ba(b, "sum", &hp, 1, sum), adv_b2(b, "pick", h, g->in[1]));
    }
    return ADV_OK;
}

static const AdvPortDef in[] = {{"z", ADV_PORT_FLOAT, "logits [N,K]"}, {"y", ADV_PORT_INT, "classes i32[N], 0..K-1"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"l", ADV_PORT_FLOAT, "[N]"}, {NULL, 0, NULL}};
static const AdvPortDef grad_in[] = {
    {"z", ADV_PORT_FLOAT, "logits [N,K]"}, {"y", ADV_PORT_INT, "classes i32[N], 0..K-1"}, {"g", ADV_PORT_FLOAT, "[N]"}, {NULL, 0, NULL}};
static const AdvPortDef grad_out[] = {{"gz", ADV_PORT_FLOAT, "[N,K]"}, {NULL, 0, NULL}};

ADV_ROW_OP(
    ce, in, out, NULL, infer, grad, ref,
    "Cross-entropy -log(softmax(z)[y]) of each sample, in nats.\nlog(sum(exp(z - max))) - (z[y] - max): no overflow for any finite z. "
    "A class out of range stops the run.");
ADV_ROW_OP(ce_grad, grad_in, grad_out, NULL, infer_grad, grad_grad, ref_grad, "Gradient of ce by z: (softmax(z) - onehot(y))*g.");
