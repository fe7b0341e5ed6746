/* perm_ids.c: a batch of a shuffled data set, without a table of the order. */
#include "ops/nn/nn.h"
#include "ops/rng.h"

#include <math.h>

static const AdvPortDef in[] = {{"seed", ADV_PORT_INT, "the run's seed, rank 0"},
                                {"epoch", ADV_PORT_INT, "epoch number, rank 0"},
                                {"step", ADV_PORT_INT, "steps done in this epoch, rank 0"},
                                {0}};
static const AdvPortDef out[] = {{"ids", ADV_PORT_INT, "sample ids i64[batch]"}, {0}};
static const AdvAttrDef attrs[] = {{"n", ADV_ATTR_INT, NAN, 1, 0x1p40, NULL, "samples in the data set"},
                                   {"batch", ADV_ATTR_INT, NAN, 1, 0x1p31, NULL, "samples in a batch"},
                                   {"purpose", ADV_ATTR_INT, 0, -0x1p63, 0x1p63, NULL, "hash of what the order is for"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    for (uint32_t k = 0; k < 3; k++)
        if (c->in[k].rank) return c->fail(c, "`perm_ids` needs one seed, one epoch and one step, got %s", adv_shape_text(&c->in[k]).s);
    if (c->attr[1].i > c->attr[0].i)
        return c->fail(c, "a batch of %lld does not fit into %lld samples", (long long)c->attr[1].i, (long long)c->attr[0].i);
    c->out[0] = adv_type_make(ADV_I64, 1, &c->attr[1].i);
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *y = &c->out[0];
    uint64_t n = (uint64_t)c->attr[0].i, key = adv_rng_epoch_key(adv_i64(&c->in[0], 0), c->attr[2].i, adv_i64(&c->in[1], 0));
    for (int64_t i = 0; i < c->attr[1].i; i++) {
        uint64_t at = ((uint64_t)adv_i64(&c->in[2], 0) * (uint64_t)c->attr[1].i + (uint64_t)i) % n;
        ((int64_t *)y->data)[i * y->stride[0]] = (int64_t)adv_rng_permute(key, at, n);
    }
    return ADV_OK;
}

const AdvOpDef adv_op_perm_ids = {
    ADV_OP_HEADER, .name = "perm_ids", .version = 1, .precision = ADV_PREC_FOLLOW, .flags = ADV_OP_RANDOM,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_ZERO, .ref = ref,
    .doc = "Elements step*batch .. step*batch+batch-1 (modulo n) of a permutation of 0..n-1 that belongs to (seed, purpose, epoch).\n"
           "A keyed Feistel network with cycle walking (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002).",
};
