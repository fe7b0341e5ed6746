/* adam.c: Adam, one tensor. */
#include "ops/optim/optim.h"

#include <math.h>

static const AdvPortDef in[] = {{"w", ADV_PORT_FLOAT, "weights"},
                                {"g", ADV_PORT_FLOAT, "gradient, as w"},
                                {"m", ADV_PORT_FLOAT, "mean of gradients, as w; 0 at the start"},
                                {"v", ADV_PORT_FLOAT, "mean of squared gradients, as w; 0 at the start"},
                                {"lr", ADV_PORT_FLOAT, "learning rate, rank 0"},
                                {"t", ADV_PORT_INT, "number of this step, rank 0, from 1"},
                                {0}};
static const AdvPortDef out[] = {
    {"w1", ADV_PORT_FLOAT, "new weights"}, {"m1", ADV_PORT_FLOAT, "new m"}, {"v1", ADV_PORT_FLOAT, "new v"}, {0}};
static const AdvAttrDef attrs[] = {{"beta1", ADV_ATTR_FLOAT, 0.9, 0, 1, NULL, "share of the old m that stays"},
                                   {"beta2", ADV_ATTR_FLOAT, 0.999, 0, 1, NULL, "share of the old v that stays"},
                                   {"eps", ADV_ATTR_FLOAT, 1e-8, 0, 1, NULL, "added to the root of v"},
                                   {"weight_decay", ADV_ATTR_FLOAT, 0, 0, 1, NULL, "times the weights, added to the gradient"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    return adv_optim_infer(c, "adam", 4);
}

static AdvStatus ref(const AdvRefCall *c)
{
    double b1 = c->attr[0].f, b2 = c->attr[1].f, eps = c->attr[2].f, decay = c->attr[3].f, t = adv_ld(&c->in[5], 0);
    double step = adv_ld(&c->in[4], 0) / (1 - pow(b1, t)), root = sqrt(1 - pow(b2, t));
    AdvIter it;
    adv_iter_init(&it, c->in[0].rank, c->in[0].dim);
    for (int k = 0; k < 4; k++) adv_iter_add(&it, &c->in[k]);
    for (int k = 0; k < 3; k++) adv_iter_add(&it, &c->out[k]);
    for (; it.more; adv_iter_next(&it)) {
        double w = adv_ld(&c->in[0], it.at[0]), g = adv_ld(&c->in[1], it.at[1]) + decay * w;
        double m = b1 * adv_ld(&c->in[2], it.at[2]) + (1 - b1) * g, v = b2 * adv_ld(&c->in[3], it.at[3]) + (1 - b2) * g * g;
        adv_st(&c->out[0], it.at[4], w - step * m / (sqrt(v) / root + eps));
        adv_st(&c->out[1], it.at[5], m);
        adv_st(&c->out[2], it.at[6], v);
    }
    return ADV_OK;
}

const AdvOpDef adv_op_adam = {
    ADV_OP_HEADER, .name = "adam", .version = 1, .precision = ADV_PREC_F32, .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_EACH,
    .inplace = {ADV_INPLACE(0), ADV_INPLACE(2), ADV_INPLACE(3)},
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .ref = ref,
    .doc = "One step of Adam.\n"
           "d = g + weight_decay*w; m1 = beta1*m + (1-beta1)*d; v1 = beta2*v + (1-beta2)*d*d; "
           "w1 = w - lr/(1-beta1^t)*m1/(sqrt(v1)/sqrt(1-beta2^t) + eps).\nKingma and Ba, Adam, 2015; equal to PyTorch's Adam.",
};
