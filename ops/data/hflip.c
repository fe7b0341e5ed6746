/* hflip.c: mirrors half of the images, left to right. */
#include "ops/data/augment.h"

static const AdvAttrDef attrs[] = {{"purpose", ADV_ATTR_INT, 0, -0x1p63, 0x1p63, NULL, "hash of the place in the recipe"}, {0}};

static AdvStatus infer(AdvInferCtx *c) { return infer_augment(c, "hflip"); }

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *ids = &c->in[3], *y = &c->out[0];
    uint64_t key = adv_rng_key(adv_i64(&c->in[1], 0), c->attr[0].i);
    for (int64_t n = 0; n < y->dim[0]; n++) {
        bool flip = adv_rng_flip(key, adv_i64(&c->in[2], 0), adv_i64(ids, n * ids->stride[0]));
        for (int64_t k = 0; k < y->dim[1]; k++)
            for (int64_t h = 0; h < y->dim[2]; h++)
                for (int64_t w = 0; w < y->dim[3]; w++)
                    adv_st(y, adv_at4(y, n, k, h, w), adv_ld(x, adv_at4(x, n, k, h, flip ? y->dim[3] - 1 - w : w)));
    }
    return ADV_OK;
}

const AdvOpDef adv_op_hflip = {
    ADV_OP_HEADER,
    .name = "hflip",
    .version = 1,
    .precision = ADV_PREC_FOLLOW,
    .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_RANDOM | ADV_OP_MOVES,
    .in = in,
    .out = out,
    .attrs = attrs,
    .infer = infer,
    .grad = ADV_GRAD_NEVER,
    .ref = ref,
    .doc = "Each image mirrored left to right with probability one half.\n"
           "A pure function of (seed, purpose, epoch, sample id). Comes before everything that has gradients.",
};
