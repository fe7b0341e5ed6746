/* image_fetch.c: images of a data set by number, as the network wants them. */
#include "ops/nn/nn.h"

static const AdvPortDef in[] = {{"data", ADV_PORT_INT, "u8 images [M,H,W,C]"}, {"ids", ADV_PORT_INT, "image numbers [N]"}, {0}};
static const AdvPortDef out[] = {{"x", ADV_PORT_FLOAT, "[N,C,H,W], 0 to 1"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *x = &c->in[0];
    if (x->rank != 4 || x->dtype != ADV_U8 || c->in[1].rank != 1)
        return c->fail(c, "`image_fetch` needs images of bytes [M, H, W, C] and numbers [N], got %s and %s", adv_shape_text(x).s,
                       adv_shape_text(&c->in[1]).s);
    int64_t d[4] = {c->in[1].dim[0], x->dim[3], x->dim[1], x->dim[2]};
    c->out[0] = adv_type_make(c->float_dtype, 4, d);
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *ids = &c->in[1], *y = &c->out[0];
    for (int64_t n = 0; n < y->dim[0]; n++) {
        int64_t id = adv_i64(ids, n * ids->stride[0]);
        if (id < 0 || id >= x->dim[0]) return ADV_EDATA;
        for (int64_t k = 0; k < y->dim[1]; k++)
            for (int64_t h = 0; h < y->dim[2]; h++)
                for (int64_t w = 0; w < y->dim[3]; w++)
                    adv_st(y, adv_at4(y, n, k, h, w), (double)((float)adv_ld(x, adv_at4(x, id, h, w, k)) / 255.0f));
    }
    return ADV_OK;
}

const AdvOpDef adv_op_image_fetch = {
    ADV_OP_HEADER, .name = "image_fetch", .version = 1, .precision = ADV_PREC_F32,
    .flags = ADV_OP_ROWS,
    .in = in, .out = out, .infer = infer, .grad = ADV_GRAD_ZERO, .ref = ref,
    .doc = "Images of a data set by number: byte/255 (rounded to f32 also in f64 graphs), in the order channel, row, column.\n"
           "A number outside the data set is a failure (bad data).",
};
