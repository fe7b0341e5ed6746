/* bn_train.c: batch normalisation with the batch's own statistics, which are outputs too (for the running ones). */
#include "ops/nn/bn.h"

#include <math.h>

static const AdvPortDef in[] = {
    {"x", ADV_PORT_FLOAT, "[N,C] or [N,C,H,W]"}, {"w", ADV_PORT_FLOAT, "scale [C]"}, {"b", ADV_PORT_FLOAT, "shift [C]"}, {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "as x"},
                                 {"mean", ADV_PORT_FLOAT, "mean of each channel [C]"},
                                 {"var", ADV_PORT_FLOAT, "variance of each channel [C], divided by the count"},
                                 {0}};
static const AdvAttrDef attrs[] = {{"eps", ADV_ATTR_FLOAT, 1e-5, 0, 1, NULL, "added to the variance"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    AdvStatus st = adv_bn_check(c, "bn_train", &c->in[0], &c->in[1], 2);
    if (st != ADV_OK) return st;
    c->out[0] = adv_type_like(&c->in[0]);
    c->out[1] = c->out[2] = adv_type_like(&c->in[1]);
    return ADV_OK;
}

/* v [C] as the shape that goes with x. */
static AdvVal by_channel(AdvBuild *b, AdvVal v, const AdvTensorType *x)
{
    int64_t d[4] = {1, x->dim[1], 1, 1};
    AdvAttr a = adv_attr_ints(d, x->rank);
    return adv_ba(b, "reshape", &v, 1, &a);
}

/* dmean/dx = 1/M, dvar/dx = 2(x - mean)/M: only where something depends on the statistics themselves. */
static AdvVal from_stats(AdvBuild *b, const AdvGradCtx *g, const AdvTensorType *x)
{
    double m = (double)x->dim[0] * (x->rank == 4 ? (double)(x->dim[2] * x->dim[3]) : 1.0);
    AdvVal sum = {0};
    if (g->gout[1].i) {
        AdvVal part = adv_b2(b, "mul", by_channel(b, g->gout[1], x), b->number(b, 1 / m, x->dtype));
        AdvAttr a = adv_attr_ints(x->dim, x->rank);
        sum = adv_ba(b, "broadcast", &part, 1, &a);
    }
    if (g->gout[2].i) {
        AdvVal scale = adv_b2(b, "mul", by_channel(b, g->gout[2], x), b->number(b, 2 / m, x->dtype));
        AdvVal part = adv_b2(b, "mul", adv_b2(b, "sub", g->in[0], by_channel(b, g->out[1], x)), scale);
        sum = sum.i ? adv_b2(b, "add", sum, part) : part;
    }
    return sum;
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    AdvTensorType x = *b->type(b, g->in[0]);
    AdvVal r[3] = {{0}, {0}, {0}};
    if (g->gout[0].i) {
        AdvVal v[5] = {g->in[0], g->gout[0], g->in[1], g->out[1], g->out[2]};
        b->node(b, "bn_grad", v, 5, g->attr, r, 3);
    }
    if (g->need[0] && (g->gout[1].i || g->gout[2].i)) {
        AdvVal s = from_stats(b, g, &x);
        r[0] = r[0].i ? adv_b2(b, "add", r[0], s) : s;
    }
    for (int k = 0; k < 3; k++)
        if (g->need[k]) g->gin[k] = r[k];
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *y = &c->out[0];
    int64_t m = adv_bn_count(x);
    for (int64_t k = 0; k < x->dim[1]; k++) {
        double mean = 0, var = 0;
        for (int64_t i = 0; i < m; i++) mean += adv_ld(x, adv_bn_at(x, k, i));
        mean /= (double)m;
        for (int64_t i = 0; i < m; i++) {
            double d = adv_ld(x, adv_bn_at(x, k, i)) - mean;
            var += d * d;
        }
        var /= (double)m;
        adv_st(&c->out[1], k * c->out[1].stride[0], mean);
        adv_st(&c->out[2], k * c->out[2].stride[0], var);
        mean = adv_ld(&c->out[1], k * c->out[1].stride[0]);
        var = adv_ld(&c->out[2], k * c->out[2].stride[0]);
        adv_bn_norm(x, y, k, mean, adv_ld(&c->in[1], k * c->in[1].stride[0]) / sqrt(var + c->attr[0].f),
                    adv_ld(&c->in[2], k * c->in[2].stride[0]), false);
    }
    return ADV_OK;
}

const AdvOpDef adv_op_bn_train = {
    ADV_OP_HEADER, .name = "bn_train", .version = 1, .precision = ADV_PREC_STATS, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_BATCH,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = grad, .ref = ref,
    .doc = "Batch normalisation by the batch's own statistics: y = (x - mean)/sqrt(var + eps)*w + b, for each channel.\n"
           "mean and var are those that the outputs hold, rounded to their type.\n"
           "`var` is divided by the count (biased), also as an output; PyTorch's running variance multiplies it by count/(count - 1).\n"
           "Ioffe and Szegedy, Batch Normalization, 2015.",
};
