/* class_sum.c: adds up rows that have one number. */
#include "ops/data/rows.h"

#include <math.h>

static const AdvPortDef in[] = {{"v", ADV_PORT_FLOAT, "[N,...]"}, {"y", ADV_PORT_INT, "class of each row [N]"}, {0}};
static const AdvPortDef out[] = {{"s", ADV_PORT_FLOAT, "[k,...]"}, {0}};
static const AdvAttrDef attrs[] = {{"k", ADV_ATTR_INT, NAN, 1, 0x1p40, NULL, "number of classes"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    if (c->in[0].rank < 1 || c->in[1].rank != 1 || c->in[0].dim[0] != c->in[1].dim[0])
        return c->fail(c, "`class_sum` needs values [N, ...] and a class for each, got %s and %s", adv_shape_text(&c->in[0]).s,
                       adv_shape_text(&c->in[1]).s);
    c->out[0] = adv_type_like(&c->in[0]);
    c->out[0].dim[0] = c->attr[0].i;
    return ADV_OK;
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    if (g->need[0]) g->gin[0] = adv_b2(b, "gather", g->gout[0], g->in[1]);
    return ADV_OK;
}

/* Element by element of a row, so that each sum stays in double from first to last. */
static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *v = &c->in[0], *y = &c->in[1], *s = &c->out[0];
    for (int64_t i = 0; i < y->dim[0]; i++) {
        int64_t k = adv_i64(y, i * y->stride[0]);
        if (k < 0 || k >= s->dim[0]) return ADV_EDATA;
    }
    AdvView v0 = adv_row(v, 0), s0 = adv_row(s, 0);
    AdvIter it;
    adv_iter_init(&it, v0.rank, v0.dim);
    adv_iter_add(&it, &v0);
    adv_iter_add(&it, &s0);
    for (; it.more; adv_iter_next(&it))
        for (int64_t k = 0; k < s->dim[0]; k++) {
            double sum = 0;
            for (int64_t i = 0; i < y->dim[0]; i++)
                if (adv_i64(y, i * y->stride[0]) == k) sum += adv_ld(v, it.at[0] + i * v->stride[0]);
            adv_st(s, it.at[1] + k * s->stride[0], sum);
        }
    return ADV_OK;
}

const AdvOpDef adv_op_class_sum = {
    ADV_OP_HEADER, .name = "class_sum", .version = 1, .precision = ADV_PREC_F32, .flags = ADV_OP_BATCH,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = grad, .ref = ref,
    .doc = "Sum of the rows of each class: s[j] = sum of v[i] where y[i] = j, 0 for a class without rows.\n"
           "A class outside 0..k-1 is a failure (bad data). The transpose of `gather`.",
};
