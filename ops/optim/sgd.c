/* sgd.c: stochastic gradient descent with momentum, one tensor. */
#include "ops/optim/optim.h"

static const AdvPortDef in[] = {{"w", ADV_PORT_FLOAT, "weights"},
                                {"g", ADV_PORT_FLOAT, "gradient, as w"},
                                {"m", ADV_PORT_FLOAT, "momentum, as w; 0 at the start"},
                                {"lr", ADV_PORT_FLOAT, "learning rate, rank 0"},
                                {0}};
static const AdvPortDef out[] = {{"w1", ADV_PORT_FLOAT, "new weights"}, {"m1", ADV_PORT_FLOAT, "new momentum"}, {0}};
static const AdvAttrDef attrs[] = {{"momentum", ADV_ATTR_FLOAT, 0, 0, 1, NULL, "share of the old momentum that stays"},
                                   {"weight_decay", ADV_ATTR_FLOAT, 0, 0, 1, NULL, "times the weights, added to the gradient"},
                                   {"nesterov", ADV_ATTR_INT, 0, 0, 1, NULL, "1: look ahead by the momentum"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    return adv_optim_infer(c, "sgd", 3);
}

static AdvStatus ref(const AdvRefCall *c)
{
    double mu = c->attr[0].f, decay = c->attr[1].f, lr = adv_ld(&c->in[3], 0);
    bool nesterov = c->attr[2].i != 0;
    AdvIter it;
    adv_iter_init(&it, c->in[0].rank, c->in[0].dim);
    for (int k = 0; k < 3; k++) adv_iter_add(&it, &c->in[k]);
    for (int k = 0; k < 2; k++) adv_iter_add(&it, &c->out[k]);
    for (; it.more; adv_iter_next(&it)) {
        double w = adv_ld(&c->in[0], it.at[0]), g = adv_ld(&c->in[1], it.at[1]) + decay * w;
        double m = mu * adv_ld(&c->in[2], it.at[2]) + g;
        adv_st(&c->out[0], it.at[3], w - lr * (nesterov ? g + mu * m : m));
        adv_st(&c->out[1], it.at[4], m);
    }
    return ADV_OK;
}

const AdvOpDef adv_op_sgd = {
    ADV_OP_HEADER, .name = "sgd", .version = 1, .precision = ADV_PREC_F32, .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_EACH,
    .inplace = {ADV_INPLACE(0), ADV_INPLACE(2)},
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .ref = ref,
    .doc = "One step of gradient descent with momentum.\n"
           "d = g + weight_decay*w; m1 = momentum*m + d; w1 = w - lr*m1, or w - lr*(d + momentum*m1) if nesterov.\n"
           "Equal to PyTorch's SGD with dampening 0 whose buffer starts at 0.",
};
