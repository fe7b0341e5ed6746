/* pad_crop.c: random translation, the usual augmentation of small images. */
#include "ops/data/augment.h"

#include <math.h>

enum { ZERO, REFLECT };

static const AdvAttrDef attrs[] = {
    {"pad", ADV_ATTR_INT, NAN, 0, 1 << 15, NULL, "largest shift, in pixels"},
    {"mode", ADV_ATTR_ENUM, 0, 0, 1, "zero|reflect", "what is outside: black, or the image mirrored without repeating the edge"},
    {"purpose", ADV_ATTR_INT, 0, -0x1p63, 0x1p63, NULL, "hash of the place in the recipe"},
    {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *x = &c->in[0];
    ADV_TRY(infer_augment(c, "pad_crop"));
    if (c->attr[1].i == REFLECT && (c->attr[0].i >= x->dim[2] || c->attr[0].i >= x->dim[3]))
        return c->fail(c, "`pad_crop` cannot mirror %lld pixels of %s", (long long)c->attr[0].i, adv_shape_text(x).s);
    return ADV_OK;
}

/* i as a place of 0..len-1; -1: outside. */
static int64_t place(int64_t i, int64_t len, int64_t mode)
{
    if (i >= 0 && i < len) return i;
    if (mode == ZERO) return -1;
    return i < 0 ? -i : 2 * (len - 1) - i;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *ids = &c->in[3], *y = &c->out[0];
    int64_t pad = c->attr[0].i, mode = c->attr[1].i;
    uint64_t key = adv_rng_key(adv_i64(&c->in[1], 0), c->attr[2].i);
    for (int64_t n = 0; n < y->dim[0]; n++) {
        uint32_t off[2];
        adv_rng_crop(key, adv_i64(&c->in[2], 0), adv_i64(ids, n * ids->stride[0]), (uint32_t)pad, off);
        for (int64_t k = 0; k < y->dim[1]; k++)
            for (int64_t h = 0; h < y->dim[2]; h++)
                for (int64_t w = 0; w < y->dim[3]; w++) {
                    int64_t i = place(h + off[0] - pad, y->dim[2], mode), j = place(w + off[1] - pad, y->dim[3], mode);
                    adv_st(y, adv_at4(y, n, k, h, w), i < 0 || j < 0 ? 0 : adv_ld(x, adv_at4(x, n, k, i, j)));
                }
    }
    return ADV_OK;
}

const AdvOpDef adv_op_pad_crop = {
    ADV_OP_HEADER,
    .name = "pad_crop",
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
    .doc = "Each image padded by `pad` pixels and cropped back at a random place: a shift by -pad .. pad in both directions.\n"
           "A pure function of (seed, purpose, epoch, sample id). Comes before everything that has gradients.",
};
