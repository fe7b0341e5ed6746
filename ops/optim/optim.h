/* optim.h: the shape rule of the optimisers: weights, gradient and moments are alike, the learning rate is one number. */
#ifndef ADV_OPS_OPTIM_H
#define ADV_OPS_OPTIM_H

#include "ops/nn/nn.h"

/* Inputs 0..n_alike-1 have one shape; outputs 0..n_out-1 are the weights and the moments (inputs 0, 2, 3, ..). */
static inline AdvStatus adv_optim_infer(AdvInferCtx *c, const char *op, uint32_t n_alike)
{
    for (uint32_t i = 1; i < n_alike; i++)
        if (!adv_shape_eq(&c->in[0], &c->in[i]))
            return c->fail(c, "`%s` needs a gradient and moments of the weights' shape %s, got %s", op, adv_shape_text(&c->in[0]).s,
                           adv_shape_text(&c->in[i]).s);
    for (uint32_t i = n_alike; i < c->n_in; i++)
        if (c->in[i].rank != 0) return c->fail(c, "`%s` needs one number as its rate, got %s", op, adv_shape_text(&c->in[i]).s);
    for (uint32_t k = 0; k < c->n_out; k++) c->out[k] = adv_type_like(&c->in[k ? k + 1 : 0]);
    return ADV_OK;
}

#endif
