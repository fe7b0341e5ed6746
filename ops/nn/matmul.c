/* matmul.c: product of two matrices, each maybe transposed. */
#include "ops/nn/nn.h"

static const AdvPortDef in[] = {{"a", ADV_PORT_FLOAT, "[M,K], or [K,M] if ta"}, {"b", ADV_PORT_FLOAT, "[K,N], or [N,K] if tb"}, {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "[M,N]"}, {0}};
static const AdvAttrDef attrs[] = {{"ta", ADV_ATTR_INT, 0, 0, 1, NULL, "1: the left matrix is transposed"},
                                   {"tb", ADV_ATTR_INT, 0, 0, 1, NULL, "1: the right matrix is transposed"},
                                   {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *a = &c->in[0], *b = &c->in[1];
    int64_t ta = c->attr[0].i, tb = c->attr[1].i;
    if (a->rank != 2 || b->rank != 2)
        return c->fail(c, "`matmul` needs two matrices, got %s and %s", adv_shape_text(a).s, adv_shape_text(b).s);
    if (a->dtype != b->dtype) return c->fail(c, "`matmul` needs inputs of one type");
    if (a->dim[!ta] != b->dim[tb])
        return c->fail(c, "`matmul` needs equal inner sizes, got %s%s and %s%s", adv_shape_text(a).s, ta ? " transposed" : "",
                       adv_shape_text(b).s, tb ? " transposed" : "");
    int64_t d[2] = {a->dim[ta], b->dim[!tb]};
    c->out[0] = adv_type_make(a->dtype, 2, d);
    return ADV_OK;
}

static AdvVal product(AdvBuild *b, AdvVal x, int64_t tx, AdvVal y, int64_t ty)
{
    AdvAttr a[2] = {adv_attr_i(tx), adv_attr_i(ty)};
    AdvVal v[2] = {x, y};
    return adv_ba(b, "matmul", v, 2, a);
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    int64_t ta = g->attr[0].i, tb = g->attr[1].i;
    AdvVal gy = g->gout[0];
    if (g->need[0]) g->gin[0] = ta ? product(b, g->in[1], tb, gy, 1) : product(b, gy, 0, g->in[1], !tb);
    if (g->need[1]) g->gin[1] = tb ? product(b, gy, 1, g->in[0], ta) : product(b, g->in[0], !ta, gy, 0);
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *a = &c->in[0], *b = &c->in[1], *y = &c->out[0];
    int64_t ta = c->attr[0].i, tb = c->attr[1].i, n_k = a->dim[!ta];
    for (int64_t i = 0; i < y->dim[0]; i++)
        for (int64_t j = 0; j < y->dim[1]; j++) {
            double s = 0;
            for (int64_t k = 0; k < n_k; k++)
                s += adv_ld(a, i * a->stride[ta] + k * a->stride[!ta]) * adv_ld(b, k * b->stride[tb] + j * b->stride[!tb]);
            adv_st(y, i * y->stride[0] + j * y->stride[1], s);
        }
    return ADV_OK;
}

static double flops(const AdvSig *sig)
{
    return 2.0 * (double)adv_view_elems(&sig->out[0]) * (double)sig->in[0].dim[!sig->attr[0].i];
}

const AdvOpDef adv_op_matmul = {
    ADV_OP_HEADER, .name = "matmul", .version = 1, .precision = ADV_PREC_LOW, .flags = ADV_OP_CONV,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = grad, .ref = ref, .flops = flops,
    .doc = "Product of two matrices, each transposed first if asked for.\n"
           "A linear layer with PyTorch's weights [out, in] is matmul(x, w) with tb = 1.",
};
