/* augment.h: what augmentations share: images and the key of their draws in, images out. */
#ifndef ADV_OPS_DATA_AUGMENT_H
#define ADV_OPS_DATA_AUGMENT_H

#include "ops/nn/nn.h"
#include "ops/rng.h"
#include "runtime/base/diag.h"

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "images [N,C,H,W]"},
                                {"seed", ADV_PORT_INT, "the run's seed, rank 0"},
                                {"epoch", ADV_PORT_INT, "epoch number, rank 0"},
                                {"ids", ADV_PORT_INT, "sample ids [N]"},
                                {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "as x"}, {0}};

/* Of `op`: images like x, if there are a seed, an epoch and an id for each image. */
static inline AdvStatus infer_augment(AdvInferCtx *c, const char *op)
{
    const AdvTensorType *x = &c->in[0];
    if (x->rank != 4 || c->in[1].rank || c->in[2].rank || c->in[3].rank != 1 || c->in[3].dim[0] != x->dim[0])
        return c->fail(c, "`%s` needs images [N, C, H, W] and a sample id for each, got %s and %s", op, adv_shape_text(x).s,
                       adv_shape_text(&c->in[3]).s);
    c->out[0] = adv_type_like(x);
    return ADV_OK;
}

#endif
