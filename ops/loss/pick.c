/* pick.c: one class of each row: reading it, spreading a gradient to it, replacing it. */
#include "ops/loss/rows.h"

static AdvStatus infer_pick(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_rows(c, "pick", 0, 1));
    return adv_infer_per_row(c);
}

static AdvStatus infer_put(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_rows(c, "put", 0, 1));
    return adv_infer_like(c, 0);
}

static AdvStatus infer_unpick(AdvInferCtx *c)
{
    if (c->in[1].dtype != ADV_I32 || c->in[0].rank != 1 || !adv_shape_eq(&c->in[0], &c->in[1]))
        return c->fail(c, "`unpick` needs numbers [N] and classes i32[N]");
    ADV_TRY(adv_infer_like(c, 0));
    c->out[0].rank = 2;
    c->out[0].dim[1] = c->attr[0].i;
    return ADV_OK;
}

static AdvStatus ref_pick(const AdvRefCall *c)
{
    AdvIter it;
    adv_rows_init(&it, &c->in[0]);
    adv_rows_add(&it, &c->in[0]), adv_rows_add(&it, &c->in[1]), adv_rows_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) {
        AdvRow z = adv_row_of(&c->in[0], it.at[0]);
        int64_t y = adv_row_class(&c->in[1], it.at[1], z.n);
        if (y < 0) return ADV_EDATA;
        adv_st(&c->out[0], it.at[2], adv_row_ld(&z, y));
    }
    return ADV_OK;
}

static AdvStatus ref_put(const AdvRefCall *c)
{
    AdvIter it;
    adv_rows_init(&it, &c->in[0]);
    adv_rows_add(&it, &c->in[0]), adv_rows_add(&it, &c->in[1]), adv_rows_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) {
        AdvRow z = adv_row_of(&c->in[0], it.at[0]), out = adv_row_of(&c->out[0], it.at[2]);
        int64_t y = adv_row_class(&c->in[1], it.at[1], z.n);
        if (y < 0) return ADV_EDATA;
        for (int64_t k = 0; k < z.n; k++) adv_row_st(&out, k, k == y ? c->attr[0].f : adv_row_ld(&z, k));
    }
    return ADV_OK;
}

static AdvStatus ref_unpick(const AdvRefCall *c)
{
    AdvIter it;
    adv_rows_init(&it, &c->out[0]);
    adv_rows_add(&it, &c->in[0]), adv_rows_add(&it, &c->in[1]), adv_rows_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) {
        AdvRow out = adv_row_of(&c->out[0], it.at[2]);
        int64_t y = adv_row_class(&c->in[1], it.at[1], out.n);
        double g = adv_ld(&c->in[0], it.at[0]);
        if (y < 0) return ADV_EDATA;
        for (int64_t k = 0; k < out.n; k++) adv_row_st(&out, k, k == y ? g : 0);
    }
    return ADV_OK;
}

static AdvStatus grad_pick(AdvBuild *b, const AdvGradCtx *g)
{
    AdvAttr k = adv_attr_i(b->type(b, g->in[0])->dim[1]);
    AdvVal in[2];
    in[0] = g->gout[0], in[1] = g->in[1];
    if (adv_val_ok(g->gout[0]) && g->need[0]) g->gin[0] = adv_ba(b, "unpick", in, 2, &k);
    return ADV_OK;
}

static AdvStatus grad_unpick(AdvBuild *b, const AdvGradCtx *g)
{
    if (adv_val_ok(g->gout[0]) && g->need[0]) g->gin[0] = adv_b2(b, "pick", g->gout[0], g->in[1]);
    return ADV_OK;
}

static AdvStatus grad_put(AdvBuild *b, const AdvGradCtx *g)
{
    AdvAttr zero = adv_attr_f(0);
    AdvVal in[2];
    in[0] = g->gout[0], in[1] = g->in[1];
    if (adv_val_ok(g->gout[0]) && g->need[0]) g->gin[0] = adv_ba(b, "put", in, 2, &zero);
    return ADV_OK;
}

static const AdvPortDef in[] = {{"z", ADV_PORT_FLOAT, "[N,K]"}, {"y", ADV_PORT_INT, "classes i32[N], 0..K-1"}, {NULL, 0, NULL}};
static const AdvPortDef unpick_in[] = {{"g", ADV_PORT_FLOAT, "[N]"}, {"y", ADV_PORT_INT, "classes i32[N], 0..k-1"}, {NULL, 0, NULL}};
static const AdvPortDef row_out[] = {{"v", ADV_PORT_FLOAT, "[N]"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"v", ADV_PORT_FLOAT, "[N,K]"}, {NULL, 0, NULL}};
static const AdvAttrDef unpick_attrs[] = {{"k", ADV_ATTR_INT, NAN, 1, 1 << 30, NULL, "number of classes"}, {NULL, 0, 0, 0, 0, NULL, NULL}};
static const AdvAttrDef put_attrs[] = {{"value", ADV_ATTR_FLOAT, 0, -INFINITY, INFINITY, NULL, "what stands at y; may be infinite"},
                                       {NULL, 0, 0, 0, 0, NULL, NULL}};

ADV_ROW_OP(pick, in, row_out, NULL, infer_pick, grad_pick, ref_pick, "z[n,y[n]] of each row.\nA class out of range stops the run.");
ADV_ROW_OP(unpick, unpick_in, out, unpick_attrs, infer_unpick, grad_unpick, ref_unpick,
           "Rows of zeros with g[n] at class y[n]: the gradient of pick.\nA class out of range stops the run.");
ADV_ROW_OP(put, in, out, put_attrs, infer_put, grad_put, ref_put,
           "z with one number in place of z[n,y[n]].\nThe gradient is 0 there; a class out of range stops the run.");
