/* kl.c: Kullback-Leibler divergence of two rows of logits, and its two gradients as ops.
**
** With P = softmax(p), Q = softmax(q), D = log P - log Q: kl = sum(P*D); by q: Q - P; by p: P*(D - kl).
*/
#include "ops/loss/rows.h"

/* Rows p and q with what all three ops need of them. */
typedef struct Pair {
    AdvRow p, q;
    double mp, lp, mq, lq;
} Pair;

static Pair pair_of(const AdvRefCall *c, const AdvIter *it)
{
    Pair r = {.p = adv_row_of(&c->in[0], it->at[0]), .q = adv_row_of(&c->in[1], it->at[1])};
    r.mp = adv_row_max(&r.p), r.lp = adv_row_logsum(&r.p, r.mp);
    r.mq = adv_row_max(&r.q), r.lq = adv_row_logsum(&r.q, r.mq);
    return r;
}

static double log_p(const Pair *r, int64_t k) { return adv_row_ld(&r->p, k) - r->mp - r->lp; }

static double log_q(const Pair *r, int64_t k) { return adv_row_ld(&r->q, k) - r->mq - r->lq; }

/* P*D of class k; 0 where P is 0, whatever Q is. */
static double term(const Pair *r, int64_t k)
{
    double p = exp(log_p(r, k));
    return p == 0 ? 0 : p * (log_p(r, k) - log_q(r, k));
}

static double divergence(const Pair *r)
{
    double s = 0;
    for (int64_t k = 0; k < r->p.n; k++) s += term(r, k);
    return s;
}

static AdvStatus check(AdvInferCtx *c, const char *op)
{
    ADV_TRY(adv_infer_rank(c, op, 0, 2, "logits [N,K]"));
    ADV_TRY(adv_infer_same_shape(c, op, 0, 1));
    ADV_TRY(adv_infer_same_dtype(c, op, 0, c->n_in));
    if (c->n_in == 3 && (c->in[2].rank != 1 || c->in[2].dim[0] != c->in[0].dim[0])) return c->fail(c, "`%s` needs one number a row", op);
    return ADV_OK;
}

static AdvStatus infer(AdvInferCtx *c)
{
    ADV_TRY(check(c, "kl"));
    return adv_infer_per_row(c);
}

static AdvStatus infer_p(AdvInferCtx *c)
{
    ADV_TRY(check(c, "kl_grad_p"));
    return adv_infer_like(c, 0);
}

static AdvStatus infer_q(AdvInferCtx *c)
{
    ADV_TRY(check(c, "kl_grad_q"));
    return adv_infer_like(c, 0);
}

static void walk(const AdvRefCall *c, AdvIter *it)
{
    adv_rows_init(it, &c->in[0]);
    for (uint32_t k = 0; k < c->n_in; k++) adv_rows_add(it, &c->in[k]);
    adv_rows_add(it, &c->out[0]);
}

static AdvStatus ref(const AdvRefCall *c)
{
    AdvIter it;
    for (walk(c, &it); it.more; adv_iter_next(&it)) {
        Pair r = pair_of(c, &it);
        adv_st(&c->out[0], it.at[2], divergence(&r));
    }
    return ADV_OK;
}

static AdvStatus ref_p(const AdvRefCall *c)
{
    AdvIter it;
    for (walk(c, &it); it.more; adv_iter_next(&it)) {
        Pair r = pair_of(c, &it);
        AdvRow out = adv_row_of(&c->out[0], it.at[3]);
        double g = adv_ld(&c->in[2], it.at[2]), kl = divergence(&r);
        for (int64_t k = 0; k < r.p.n; k++) {
            double p = exp(log_p(&r, k));
            adv_row_st(&out, k, p == 0 ? 0 : g * (term(&r, k) - p * kl));
        }
    }
    return ADV_OK;
}

static AdvStatus ref_q(const AdvRefCall *c)
{
    AdvIter it;
    for (walk(c, &it); it.more; adv_iter_next(&it)) {
        Pair r = pair_of(c, &it);
        AdvRow out = adv_row_of(&c->out[0], it.at[3]);
        double g = adv_ld(&c->in[2], it.at[2]);
        for (int64_t k = 0; k < r.p.n; k++) adv_row_st(&out, k, g * (exp(log_q(&r, k)) - exp(log_p(&r, k))));
    }
    return ADV_OK;
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal in[3];
    in[0] = g->in[0], in[1] = g->in[1], in[2] = g->gout[0];
    if (!adv_val_ok(g->gout[0])) return ADV_OK;
    if (g->need[0]) g->gin[0] = adv_ba(b, "kl_grad_p", in, 3, NULL);
    if (g->need[1]) g->gin[1] = adv_ba(b, "kl_grad_q", in, 3, NULL);
    return ADV_OK;
}

static AdvVal row_sum(AdvBuild *b, AdvVal x)
{
    int64_t last = 1;
    AdvAttr attrs[2];
    attrs[0] = adv_attr_ints(&last, 1);
    attrs[1] = adv_attr_i(0);
    return adv_ba(b, "sum", &x, 1, attrs);
}

/* out = (Q - P)*g: softmax gradients at +-h*g, and the sum of h*(Q - P). */
static AdvStatus grad_q(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal h = g->gout[0], P, Q, u;
    if (!adv_val_ok(h)) return ADV_OK;
    P = adv_b1(b, "softmax", g->in[0]);
    Q = adv_b1(b, "softmax", g->in[1]);
    u = adv_b2(b, "mul", h, adv_g_column(b, g->in[2]));
    if (g->need[0]) g->gin[0] = adv_b1(b, "neg", adv_g_softmax(b, P, u));
    if (g->need[1]) g->gin[1] = adv_g_softmax(b, Q, u);
    if (g->need[2]) g->gin[2] = row_sum(b, adv_b2(b, "mul", h, adv_b2(b, "sub", Q, P)));
    return ADV_OK;
}

/* out = P*(D - kl)*g. With u = h*g, w = P*u, s = sum(w), E = D - kl: by p through P the softmax gradient at u*E, through
** D: w - P*s, through kl: -s*P*E; by q through D: Q*s - w, through kl: -s*(Q - P), together P*s - w. */
static AdvStatus grad_p(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal h = g->gout[0], P, E, u, w, s, PE;
    if (!adv_val_ok(h)) return ADV_OK;
    P = adv_b1(b, "softmax", g->in[0]);
    E = adv_b2(b, "sub", adv_b1(b, "log_softmax", g->in[0]), adv_b1(b, "log_softmax", g->in[1]));
    E = adv_b2(b, "sub", E, adv_g_sum_last(b, adv_b2(b, "mul", P, E)));
    u = adv_b2(b, "mul", h, adv_g_column(b, g->in[2]));
    w = adv_b2(b, "mul", P, u);
    s = adv_g_sum_last(b, w);
    PE = adv_b2(b, "mul", P, E);
    if (g->need[0]) {
        AdvVal through_P = adv_g_softmax(b, P, adv_b2(b, "mul", u, E));
        AdvVal through_D = adv_b2(b, "sub", w, adv_b2(b, "mul", P, s));
        g->gin[0] = adv_b2(b, "sub", adv_b2(b, "add", through_P, through_D), adv_b2(b, "mul", s, PE));
    }
    if (g->need[1]) g->gin[1] = adv_b2(b, "sub", adv_b2(b, "mul", P, s), w);
    if (g->need[2]) g->gin[2] = row_sum(b, adv_b2(b, "mul", h, PE));
    return ADV_OK;
}

static const AdvPortDef in[] = {{"p", ADV_PORT_FLOAT, "logits [N,K]"}, {"q", ADV_PORT_FLOAT, "logits [N,K]"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"d", ADV_PORT_FLOAT, "[N]"}, {NULL, 0, NULL}};
static const AdvPortDef grad_in[] = {
    {"p", ADV_PORT_FLOAT, "logits [N,K]"}, {"q", ADV_PORT_FLOAT, "logits [N,K]"}, {"g", ADV_PORT_FLOAT, "[N]"}, {NULL, 0, NULL}};
static const AdvPortDef grad_out[] = {{"gz", ADV_PORT_FLOAT, "[N,K]"}, {NULL, 0, NULL}};

ADV_ROW_OP(kl, in, out, NULL, infer, grad, ref,
           "KL(softmax(p) || softmax(q)) of each sample, both given as logits, in nats.\nA class with probability 0 under p counts 0; "
           "gradients by both.");
ADV_ROW_OP(kl_grad_p, grad_in, grad_out, NULL, infer_p, grad_p, ref_p, "Gradient of kl by p: P*(log P - log Q - kl)*g.");
ADV_ROW_OP(kl_grad_q, grad_in, grad_out, NULL, infer_q, grad_q, ref_q, "Gradient of kl by q: (Q - P)*g.");
