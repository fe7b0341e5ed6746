/* bn_relu_given.c: bn_relu by given statistics; made by the compiler, after gradients, so without one. */
#include "ops/nn/bn.h"

#include <math.h>

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "[N,C] or [N,C,H,W]"},
                                {"w", ADV_PORT_FLOAT, "scale [C]"},
                                {"b", ADV_PORT_FLOAT, "shift [C]"},
                                {"mean", ADV_PORT_FLOAT, "as bn_train gave it [C]"},
                                {"var", ADV_PORT_FLOAT, "as bn_train gave it [C]"},
                                {"skip", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "what is added, as x, or none"},
                                {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "as x"}, {0}};
static const AdvAttrDef attrs[] = {{"eps", ADV_ATTR_FLOAT, 1e-5, 0, 1, NULL, "added to the variance"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *x = &c->in[0];
    c->out[0] = adv_type_like(x);
    if (c->n_in > 6) return c->fail(c, "`bn_relu_given` adds one tensor, got %u", c->n_in - 5);
    if (c->n_in == 6 && (!adv_shape_eq(x, &c->in[5]) || x->dtype != c->in[5].dtype))
        return c->fail(c, "`bn_relu_given` adds a tensor %s, got %s", adv_shape_text(x).s, adv_shape_text(&c->in[5]).s);
    return adv_bn_check(c, "bn_relu_given", x, &c->in[1], 4);
}

/* y = relu(y + skip) for channel k, rounded between as by the ops that bn_relu is made of. */
static void add_skip(const AdvView *y, const AdvView *skip, int64_t k)
{
    for (int64_t i = 0, m = adv_bn_count(y); i < m; i++) {
        int64_t at = adv_bn_at(y, k, i);
        adv_st(y, at, adv_ld(y, at) + adv_ld(skip, adv_bn_at(skip, k, i)));
        if (adv_ld(y, at) <= 0) adv_st(y, at, 0);
    }
}

static AdvStatus ref(const AdvRefCall *c)
{
    bool has_skip = c->n_in == 6;
    for (int64_t k = 0; k < c->in[0].dim[1]; k++) {
        double v[4]; /* w, b, mean, var */
        for (int p = 0; p < 4; p++) v[p] = adv_ld(&c->in[p + 1], k * c->in[p + 1].stride[0]);
        adv_bn_norm(&c->in[0], &c->out[0], k, v[2], v[0] / sqrt(v[3] + c->attr[0].f), v[1], !has_skip);
        if (has_skip) add_skip(&c->out[0], &c->in[5], k);
    }
    return ADV_OK;
}

const AdvOpDef adv_op_bn_relu_given = {
    ADV_OP_HEADER, .name = "bn_relu_given", .version = 1, .precision = ADV_PREC_STATS, .layout = ADV_LAYOUT_OP_ANY,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .ref = ref,
    .doc = "What `bn_relu` made of x, again, by the statistics that it gave: the same bits.\n"
           "relu of (x - mean)/sqrt(var + eps)*w + b for each channel, maybe plus another tensor. Made by the compiler, after gradients.",
};
