/* bn_apply.c: batch normalisation by given statistics, as bn_train does it by its own; made by the compiler, after gradients. */
#include "ops/nn/bn.h"

#include <math.h>

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "[N,C] or [N,C,H,W]"},
                                {"w", ADV_PORT_FLOAT, "scale [C]"},
                                {"b", ADV_PORT_FLOAT, "shift [C]"},
                                {"mean", ADV_PORT_FLOAT, "as bn_train gave it [C]"},
                                {"var", ADV_PORT_FLOAT, "as bn_train gave it [C]"},
                                {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "as x"}, {0}};
static const AdvAttrDef attrs[] = {{"eps", ADV_ATTR_FLOAT, 1e-5, 0, 1, NULL, "added to the variance"},
                                   {"relu", ADV_ATTR_INT, 0, 0, 1, NULL, "1: relu of that"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    c->out[0] = adv_type_like(&c->in[0]);
    return adv_bn_check(c, "bn_apply", &c->in[0], &c->in[1], 4);
}

static AdvStatus ref(const AdvRefCall *c)
{
    for (int64_t k = 0; k < c->in[0].dim[1]; k++) {
        double v[4]; /* w, b, mean, var */
        for (int p = 0; p < 4; p++) v[p] = adv_ld(&c->in[p + 1], k * c->in[p + 1].stride[0]);
        adv_bn_norm(&c->in[0], &c->out[0], k, v[2], v[0] / sqrt(v[3] + c->attr[0].f), v[1], c->attr[1].i != 0);
    }
    return ADV_OK;
}

const AdvOpDef adv_op_bn_apply = {
    ADV_OP_HEADER, .name = "bn_apply", .version = 1, .precision = ADV_PREC_STATS, .layout = ADV_LAYOUT_OP_ANY,
    .inplace = {ADV_INPLACE(0)}, .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .ref = ref,
    .doc = "What `bn_train` made of x, again, by the statistics that it gave: the same bits.\n"
           "(x - mean)/sqrt(var + eps)*w + b for each channel, and relu if asked for. Made by the compiler, after gradients.",
};
