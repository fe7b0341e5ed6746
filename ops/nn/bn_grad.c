/* bn_grad.c: gradient of bn_train by all three inputs at once, because they share two sums. */
#include "ops/nn/bn.h"

#include <math.h>

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "[N,C] or [N,C,H,W]"},
                                {"gy", ADV_PORT_FLOAT, "gradient by y, as x"},
                                {"w", ADV_PORT_FLOAT, "scale [C]"},
                                {"mean", ADV_PORT_FLOAT, "as bn_train gave it [C]"},
                                {"var", ADV_PORT_FLOAT, "as bn_train gave it [C]"},
                                {0}};
static const AdvPortDef out[] = {{"gx", ADV_PORT_FLOAT, "gradient by x; written, not added"},
                                 {"gw", ADV_PORT_FLOAT, "gradient by w [C]"},
                                 {"gb", ADV_PORT_FLOAT, "gradient by b [C]"},
                                 {0}};
static const AdvAttrDef attrs[] = {{"eps", ADV_ATTR_FLOAT, 1e-5, 0, 1, NULL, "added to the variance"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    AdvStatus st = adv_bn_check(c, "bn_grad", &c->in[0], &c->in[2], 3);
    if (st != ADV_OK) return st;
    if (!adv_shape_eq(&c->in[0], &c->in[1]))
        return c->fail(c, "`bn_grad` needs an output gradient %s, got %s", adv_shape_text(&c->in[0]).s, adv_shape_text(&c->in[1]).s);
    c->out[0] = adv_type_like(&c->in[0]);
    c->out[1] = c->out[2] = adv_type_like(&c->in[2]);
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *gy = &c->in[1], *gx = &c->out[0];
    int64_t m = adv_bn_count(x);
    for (int64_t k = 0; k < x->dim[1]; k++) {
        double mean = adv_ld(&c->in[3], k * c->in[3].stride[0]), rstd = 1 / sqrt(adv_ld(&c->in[4], k * c->in[4].stride[0]) + c->attr[0].f);
        double scale = adv_ld(&c->in[2], k * c->in[2].stride[0]) * rstd, sum_g = 0, sum_gx = 0;
        for (int64_t i = 0; i < m; i++) {
            double g = adv_ld(gy, adv_bn_at(gy, k, i));
            sum_g += g;
            sum_gx += g * (adv_ld(x, adv_bn_at(x, k, i)) - mean) * rstd;
        }
        for (int64_t i = 0; i < m; i++) {
            double hat = (adv_ld(x, adv_bn_at(x, k, i)) - mean) * rstd;
            adv_st(gx, adv_bn_at(gx, k, i), scale * (adv_ld(gy, adv_bn_at(gy, k, i)) - (sum_g + hat * sum_gx) / (double)m));
        }
        adv_st(&c->out[1], k * c->out[1].stride[0], sum_gx);
        adv_st(&c->out[2], k * c->out[2].stride[0], sum_g);
    }
    return ADV_OK;
}

const AdvOpDef adv_op_bn_grad = {
    ADV_OP_HEADER, .name = "bn_grad", .version = 1, .precision = ADV_PREC_STATS, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_BATCH,
    .inplace = {ADV_INPLACE(1)}, .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .ref = ref,
    .doc = "Gradient of `bn_train` by all three inputs.\n"
           "With h = (x - mean)/sqrt(var + eps): gb = sum gy, gw = sum gy*h, gx = w/sqrt(var + eps)*(gy - (gb + h*gw)/M).\n"
           "M counts the elements of a channel. Has no gradient itself.",
};
