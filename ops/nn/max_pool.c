/* max_pool.c: largest element of each window. */
#include "ops/nn/pool.h"

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "image [N,C,H,W]"}, {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "[N,C,H',W'] with H' = floor((H + 2*pad - size)/stride) + 1"}, {0}};
static const AdvAttrDef attrs[] = {ADV_POOL_ATTRS, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    return adv_pool_out(c, "max_pool", &c->in[0], c->attr, &c->out[0]);
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal v[2] = {g->in[0], g->gout[0]};
    g->gin[0] = adv_ba(b, "max_pool_grad", v, 2, g->attr);
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *y = &c->out[0];
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t k = 0; k < y->dim[1]; k++)
            for (int64_t i = 0; i < y->dim[2]; i++)
                for (int64_t j = 0; j < y->dim[3]; j++) {
                    int64_t at = adv_pool_argmax(x, n, k, i, j, c->attr);
                    adv_st(y, adv_at4(y, n, k, i, j), adv_ld(x, adv_at4(x, n, k, at / x->dim[3], at % x->dim[3])));
                }
    return ADV_OK;
}

const AdvOpDef adv_op_max_pool = {
    ADV_OP_HEADER, .name = "max_pool", .version = 1, .precision = ADV_PREC_FOLLOW, .layout = ADV_LAYOUT_OP_ANY,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = grad, .ref = ref,
    .doc = "Largest element of each window; the padding never wins.\n"
           "A tie goes to the first in row order, a NaN wins; the gradient goes to that one element.",
};
