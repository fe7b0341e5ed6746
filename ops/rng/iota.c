/* iota.c: 0, 1, 2, ... */
#include "ops/nn/nn.h"

#include <math.h>

static const AdvPortDef in[] = {{0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_INT, "i64[n]"}, {0}};
static const AdvAttrDef attrs[] = {{"n", ADV_ATTR_INT, NAN, 1, 0x1p40, NULL, "how many numbers"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    c->out[0] = adv_type_make(ADV_I64, 1, &c->attr[0].i);
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    for (int64_t i = 0; i < c->attr[0].i; i++) ((int64_t *)c->out[0].data)[i * c->out[0].stride[0]] = i;
    return ADV_OK;
}

const AdvOpDef adv_op_iota = {
    ADV_OP_HEADER, .name = "iota", .version = 1, .precision = ADV_PREC_FOLLOW,
    .flags = ADV_OP_MOVES,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_ZERO, .ref = ref,
    .doc = "The numbers 0 .. n-1.",
};
