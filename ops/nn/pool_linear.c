/* pool_linear.c: the mean of each channel of an image, a product with weights and a bias: how networks end; fused by the compiler, so
** without a gradient.
**
** Logits are never below f32, and in 16 bits nothing is rounded on the way to them.
*/
#include "ops/nn/nn.h"

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "image [N,C,H,W]"},
                                {"w", ADV_PORT_FLOAT, "weights [K,C], as x"},
                                {"b", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "bias [K], as y, or none"},
                                {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "[N,K]: of x's type, f32 where that has 16 bits"}, {0}};
static const AdvAttrDef attrs[] = {{0}};

static bool has_16_bits(uint8_t dtype) { return dtype == ADV_BF16 || dtype == ADV_F16; }

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *x = &c->in[0], *w = &c->in[1];
    int64_t d[2] = {x->dim[0], w->dim[0]};
    c->out[0] = adv_type_make(has_16_bits(x->dtype) ? (uint8_t)ADV_F32 : x->dtype, 2, d);
    if (x->rank != 4 || w->rank != 2 || w->dim[1] != x->dim[1] || w->dtype != x->dtype)
        return c->fail(c, "`pool_linear` needs an image [N, C, H, W] and weights [K, C] of its type, got %s and %s", adv_shape_text(x).s,
                       adv_shape_text(w).s);
    if (c->n_in > 3) return c->fail(c, "`pool_linear` takes one bias, got %u", c->n_in - 2);
    if (c->n_in == 3 && (c->in[2].rank != 1 || c->in[2].dim[0] != w->dim[0] || c->in[2].dtype != c->out[0].dtype))
        return c->fail(c, "`pool_linear` needs a bias [%lld] in the type of its result, got %s", (long long)w->dim[0],
                       adv_shape_text(&c->in[2]).s);
    return ADV_OK;
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    static const int64_t places[2] = {2, 3};
    AdvAttr mean[2] = {adv_attr_ints(places, 2), adv_attr_i(0)}, turned[2] = {adv_attr_i(0), adv_attr_i(1)}, f32 = adv_attr_i(0);
    AdvVal x = c->in[0], v[2] = {{0}, c->in[1]};
    if (has_16_bits(b->type(b, x)->dtype)) {
        x = adv_ba(b, "cast", &x, 1, &f32);
        v[1] = adv_ba(b, "cast", &v[1], 1, &f32);
    }
    v[0] = adv_ba(b, "mean", &x, 1, mean);
    AdvVal y = adv_ba(b, "matmul", v, 2, turned);
    if (c->n_in == 3) {
        int64_t d[2] = {1, b->type(b, c->in[2])->dim[0]};
        AdvAttr row = adv_attr_ints(d, 2);
        y = adv_b2(b, "add", y, adv_ba(b, "reshape", &c->in[2], 1, &row));
    }
    c->out[0] = y;
    return ADV_OK;
}

static double flops(const AdvSig *sig)
{
    double by_logit = 2.0 * (double)sig->in[1].dim[1] + (double)(sig->n_in - 2);
    return (double)adv_view_elems(&sig->in[0]) + by_logit * (double)adv_view_elems(&sig->out[0]);
}

extern const AdvOpDef adv_op_pool_linear;
const AdvOpDef adv_op_pool_linear = {
    ADV_OP_HEADER, .name = "pool_linear", .version = 1, .precision = ADV_PREC_STATS, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_CONV,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .expand = expand, .flops = flops,
    .doc = "Mean of each channel of an image, times weights, maybe plus a bias: the last layer of a network.\n"
           "Equal to mean, matmul and add, in f32 where x has 16 bits; made by fusion, after gradients.",
};
