/* pool_linear_gx.c: gradient of pool_linear by its image, through the relu that made it and maybe the scale before that; fused by the
** compiler, so without a gradient of its own.
*/
#include "ops/nn/conv.h"

static const AdvPortDef in[] = {{"gy", ADV_PORT_FLOAT, "gradient by the logits [N,K]: of y's type, or f32"},
                                {"w", ADV_PORT_FLOAT, "weights [K,C], as y"},
                                {"y", ADV_PORT_FLOAT, "the image, which relu made [N,C,H,W]"},
                                {"s", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "scale of each channel [C], as y, or none"},
                                {0}};
static const AdvPortDef out[] = {{"gx", ADV_PORT_FLOAT, "gradient by what relu, or the scale, was applied to, as y"}, {0}};
static const AdvAttrDef attrs[] = {{"factor", ADV_ATTR_FLOAT, 1, -1e30, 1e30, NULL, "of the product: 1/(H*W), as the mean has it"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *gy = &c->in[0], *w = &c->in[1], *y = &c->in[2];
    c->out[0] = adv_type_like(y);
    if (y->rank != 4 || w->rank != 2 || gy->rank != 2 || w->dim[1] != y->dim[1] || gy->dim[1] != w->dim[0] || gy->dim[0] != y->dim[0])
        return c->fail(c, "`pool_linear_gx` needs a gradient [N, K], weights [K, C] and an image [N, C, H, W], got %s, %s and %s",
                       adv_shape_text(gy).s, adv_shape_text(w).s, adv_shape_text(y).s);
    if (w->dtype != y->dtype || (gy->dtype != y->dtype && gy->dtype != ADV_F32))
        return c->fail(c, "`pool_linear_gx` needs inputs of one type, but for the gradient, which may be f32");
    if (c->n_in > 4) return c->fail(c, "`pool_linear_gx` takes one scale, got %u", c->n_in - 3);
    if (c->n_in == 4 && (c->in[3].rank != 1 || c->in[3].dim[0] != y->dim[1] || c->in[3].dtype != y->dtype))
        return c->fail(c, "`pool_linear_gx` needs a number for each channel [%lld], got %s", (long long)y->dim[1],
                       adv_shape_text(&c->in[3]).s);
    return ADV_OK;
}

/* Attribute of op cast for a float type. */
static AdvAttr cast_to(uint8_t dtype)
{
    return adv_attr_i(dtype == ADV_F32 ? 0 : dtype == ADV_F64 ? 1 : dtype == ADV_BF16 ? 2 : 3);
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    AdvTensorType y = *b->type(b, c->in[2]);
    int64_t d[4] = {y.dim[0], y.dim[1], 1, 1};
    AdvAttr image = adv_attr_ints(d, 4), type = cast_to(y.dtype);
    AdvVal v[2] = {c->in[0], c->in[1]}, zero = b->number(b, 0, y.dtype), g;
    if (b->type(b, v[0])->dtype != y.dtype) v[0] = adv_ba(b, "cast", &v[0], 1, &type);
    g = adv_b2(b, "mul", adv_ba(b, "matmul", v, 2, NULL), b->number(b, c->attr[0].f, y.dtype));
    g = adv_b3(b, "select", adv_b2(b, "gt", c->in[2], zero), adv_ba(b, "reshape", &g, 1, &image), zero);
    c->out[0] = c->n_in == 4 ? adv_b2(b, "mul", g, adv_by_channel(b, c->in[3])) : g;
    return ADV_OK;
}

static double flops(const AdvSig *sig)
{
    return 2.0 * (double)adv_view_elems(&sig->in[0]) * (double)sig->in[1].dim[1] +
           (double)(sig->n_in - 2) * (double)adv_view_elems(&sig->out[0]);
}

extern const AdvOpDef adv_op_pool_linear_gx;
const AdvOpDef adv_op_pool_linear_gx = {
    ADV_OP_HEADER, .name = "pool_linear_gx", .version = 1, .precision = ADV_PREC_FOLLOW, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_CONV,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_NEVER, .expand = expand, .flops = flops,
    .doc = "Gradient of `pool_linear` by its image where the image is above 0, and 0 elsewhere, maybe scaled channel by channel.\n"
           "Equal to cast, matmul, mul, reshape, gt, select and mul; made by fusion, after gradients.",
};
