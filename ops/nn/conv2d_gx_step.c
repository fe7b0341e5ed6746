/* conv2d_gx_step.c: gradient of conv2d by its image, and the step of an attack along it; fused by the compiler, so without a gradient.
**
** The last two lines of an attack's turn. The gradient itself is read by nobody else, so a kernel may keep it to itself.
*/
#include "ops/nn/conv.h"

static const AdvPortDef in[] = {{"gy", ADV_PORT_FLOAT, "gradient by the output [N,O,H',W']"},
                                {"weights", ADV_PORT_FLOAT, "[O,C,kh,kw], as gy"},
                                {"z", ADV_PORT_FLOAT, "the point [N,C,H,W]: of gy's type, or f32"},
                                {"x", ADV_PORT_FLOAT, "centre, as z"},
                                {"eps", ADV_PORT_FLOAT, "radius: rank 0, or dims equal or 1; type of z"},
                                {"size", ADV_PORT_FLOAT, "step size: rank 0, or dims equal or 1; type of z"},
                                {0}};
static const AdvPortDef out[] = {{"z1", ADV_PORT_FLOAT, "as z"}, {0}};
static const AdvAttrDef attrs[] = {ADV_CONV_ATTRS,
                                   {"lo", ADV_ATTR_FLOAT, 0, -1e30, 1e30, NULL, "lower side of the box"},
                                   {"hi", ADV_ATTR_FLOAT, 1, -1e30, 1e30, NULL, "upper side of the box"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *gy = &c->in[0], *z = &c->in[2];
    int64_t d[4] = {gy->dim[0], c->in[1].dim[1], z->dim[2], z->dim[3]};
    AdvTensorType gx = adv_type_make(gy->dtype, 4, d), joined = {.dtype = z->dtype};
    c->out[0] = adv_type_like(z);
    if (z->rank != 4) return c->fail(c, "`conv2d_gx_step` needs a point [N, C, H, W], got %s", adv_shape_text(z).s);
    AdvStatus st = adv_conv_check(c, "conv2d_gx_step", &gx, &c->in[1], gy, c->attr[0].i, c->attr[1].i);
    if (st != ADV_OK) return st;
    st = adv_infer_same_dtype(c, "conv2d_gx_step", 2, 4);
    if (st != ADV_OK) return st;
    for (uint32_t k = 2; k < 6; k++)
        if (!adv_shape_join(&joined, &c->in[k]) || !adv_shape_eq(&joined, &gx))
            return c->fail(c, "`conv2d_gx_step` needs images %s, got %s", adv_shape_text(&gx).s, adv_shape_text(&c->in[k]).s);
    if (z->dtype != gy->dtype && z->dtype != ADV_F32)
        return c->fail(c, "`conv2d_gx_step` needs the point in f32 or in the type of its gradient");
    return ADV_OK;
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    const AdvTensorType *z = b->type(b, c->in[2]);
    AdvAttr conv[4] = {c->attr[0], c->attr[1], adv_attr_i(z->dim[2]), adv_attr_i(z->dim[3])}, f32 = adv_attr_i(0);
    bool same = z->dtype == b->type(b, c->in[0])->dtype;
    AdvVal g = adv_ba(b, "conv2d_gx", c->in, 2, conv);
    if (!same) g = adv_ba(b, "cast", &g, 1, &f32);
    AdvVal step[5] = {c->in[2], g, c->in[3], c->in[4], c->in[5]};
    c->out[0] = adv_ba(b, "step_linf", step, 5, &c->attr[2]);
    return ADV_OK;
}

/* The convolution, then sign, mul, add, ball_linf, clip. */
static double flops(const AdvSig *sig)
{
    return adv_conv_flops(&sig->in[1], &sig->in[0]) + 5.0 * (double)adv_view_elems(&sig->out[0]);
}

const AdvOpDef adv_op_conv2d_gx_step = {
    ADV_OP_HEADER,
    .name = "conv2d_gx_step",
    .version = 1,
    .precision = ADV_PREC_FOLLOW,
    .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_CONV | ADV_OP_JUMPS,
    .inplace = {ADV_INPLACE(2)},
    .in = in,
    .out = out,
    .attrs = attrs,
    .infer = infer,
    .grad = ADV_GRAD_NEVER,
    .expand = expand,
    .flops = flops,
    .doc = "Gradient of `conv2d` by its image, and a signed step along it: clip(ball_linf(z + size*sign(g), x, eps), lo, hi).\n"
           "Equal to conv2d_gx, cast to f32 where z is, and step_linf; made by fusion, after gradients.",
};
