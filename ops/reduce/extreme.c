/* extreme.c: largest and smallest over dimensions, and the two ops their gradients need.
**
** A gradient goes to one element: the first in row order that equals the result. extreme_put spreads one number a group to
** that element, extreme_take reads that element of another tensor; each is the other's gradient.
*/
#include "ops/reduce/reduce.h"

#include "runtime/base/container.h"
#include "runtime/base/diag.h"

static double fold_reduce_max(const AdvView *x)
{
    double m = adv_ld(x, 0);
    AdvIter it;
    adv_iter_init(&it, x->rank, x->dim);
    adv_iter_add(&it, x);
    for (; it.more && m == m; adv_iter_next(&it)) {
        double v = adv_ld(x, it.at[0]);
        if (v > m || v != v) m = v;
    }
    return m;
}

static double fold_reduce_min(const AdvView *x)
{
    double m = adv_ld(x, 0);
    AdvIter it;
    adv_iter_init(&it, x->rank, x->dim);
    adv_iter_add(&it, x);
    for (; it.more && m == m; adv_iter_next(&it)) {
        double v = adv_ld(x, it.at[0]);
        if (v < m || v != v) m = v;
    }
    return m;
}

static AdvStatus grad_extreme(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal in[3];
    in[0] = g->in[0], in[1] = g->out[0], in[2] = g->gout[0];
    if (adv_val_ok(g->gout[0])) g->gin[0] = adv_ba(b, "extreme_put", in, 3, g->attr);
    return ADV_OK;
}

ADV_REDUCE_OP(reduce_max, grad_extreme,
              "Largest element over dimensions; NaN if there is one.\nOf equal ones the first in row order gets the gradient.");
ADV_REDUCE_OP(reduce_min, grad_extreme,
              "Smallest element over dimensions; NaN if there is one.\nOf equal ones the first in row order gets the gradient.");

/* ---- extreme_put, extreme_take ---- */

static AdvStatus infer_put(AdvInferCtx *c)
{
    bool mark[ADV_MAX_RANK];
    AdvTensorType y;
    ADV_TRY(adv_infer_dims(c, "extreme_put", &c->attr[0], c->in[0].rank, mark));
    ADV_TRY(adv_infer_same_dtype(c, "extreme_put", 0, 3));
    ADV_TRY(adv_infer_same_shape(c, "extreme_put", 1, 2));
    y = adv_type_reduced(&c->in[0], mark, c->attr[1].i != 0);
    if (!adv_shape_eq(&y, &c->in[1])) return c->fail(c, "`extreme_put` needs the result of a reduction of x");
    return adv_infer_like(c, 0);
}

static AdvStatus infer_take(AdvInferCtx *c)
{
    bool mark[ADV_MAX_RANK];
    ADV_TRY(adv_infer_dims(c, "extreme_take", &c->attr[0], c->in[0].rank, mark));
    ADV_TRY(adv_infer_same_dtype(c, "extreme_take", 0, 3));
    ADV_TRY(adv_infer_same_shape(c, "extreme_take", 0, 2));
    c->out[0] = adv_type_reduced(&c->in[0], mark, c->attr[1].i != 0);
    if (!adv_shape_eq(&c->out[0], &c->in[1])) return c->fail(c, "`extreme_take` needs the result of a reduction of x");
    return ADV_OK;
}

/* The offset in `other`'s group of the first element of x's group that equals m (NaN equals NaN), or -1. */
static int64_t first_equal(const AdvView *x, const AdvView *other, double m)
{
    AdvIter it;
    adv_iter_init(&it, x->rank, x->dim);
    adv_iter_add(&it, x);
    adv_iter_add(&it, other);
    for (; it.more; adv_iter_next(&it)) {
        double v = adv_ld(x, it.at[0]);
        if (v == m || (v != v && m != m)) return it.at[1];
    }
    return -1;
}

/* x split by dims without joining, so that the group of another tensor of x's shape can be walked beside it. */
static void split_both(const AdvRefCall *c, const AdvView *other, AdvView rest[2], AdvView group[2])
{
    bool mark[ADV_MAX_RANK];
    adv_dims_mark(&c->attr[0], c->in[0].rank, mark);
    rest[0] = group[0] = c->in[0];
    rest[1] = group[1] = *other;
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < c->in[0].rank; i++) (mark[i] ? &rest[k] : &group[k])->dim[i] = 1;
}

static AdvStatus ref_put(const AdvRefCall *c)
{
    AdvView rest[2], group[2], y, gy;
    AdvIter it;
    adv_iter_init(&it, c->out[0].rank, c->out[0].dim);
    adv_iter_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) adv_st(&c->out[0], it.at[0], 0);
    split_both(c, &c->out[0], rest, group);
    y = adv_reduce_result(&c->in[1], &rest[0]);
    gy = adv_reduce_result(&c->in[2], &rest[0]);
    adv_iter_init(&it, rest[0].rank, rest[0].dim);
    adv_iter_add(&it, &rest[0]), adv_iter_add(&it, &rest[1]), adv_iter_add(&it, &y), adv_iter_add(&it, &gy);
    for (; it.more; adv_iter_next(&it)) {
        AdvView gx = adv_view_at(&group[0], it.at[0]);
        int64_t at = first_equal(&gx, &group[1], adv_ld(&y, it.at[2]));
        if (at >= 0) adv_st(&c->out[0], it.at[1] + at, adv_ld(&gy, it.at[3]));
    }
    return ADV_OK;
}

static AdvStatus ref_take(const AdvRefCall *c)
{
    AdvView rest[2], group[2], y, out;
    AdvIter it;
    split_both(c, &c->in[2], rest, group);
    y = adv_reduce_result(&c->in[1], &rest[0]);
    out = adv_reduce_result(&c->out[0], &rest[0]);
    adv_iter_init(&it, rest[0].rank, rest[0].dim);
    adv_iter_add(&it, &rest[0]), adv_iter_add(&it, &rest[1]), adv_iter_add(&it, &y), adv_iter_add(&it, &out);
    for (; it.more; adv_iter_next(&it)) {
        AdvView gx = adv_view_at(&group[0], it.at[0]);
        int64_t at = first_equal(&gx, &group[1], adv_ld(&y, it.at[2]));
        adv_st(&out, it.at[3], at >= 0 ? adv_ld(&c->in[2], it.at[1] + at) : 0);
    }
    return ADV_OK;
}

static AdvStatus grad_of(AdvBuild *b, const AdvGradCtx *g, const char *other)
{
    AdvVal in[3];
    in[0] = g->in[0], in[1] = g->in[1], in[2] = g->gout[0];
    if (adv_val_ok(g->gout[0]) && g->need[2]) g->gin[2] = adv_ba(b, other, in, 3, g->attr);
    return ADV_OK;
}

static AdvStatus grad_put(AdvBuild *b, const AdvGradCtx *g) { return grad_of(b, g, "extreme_take"); }

static AdvStatus grad_take(AdvBuild *b, const AdvGradCtx *g) { return grad_of(b, g, "extreme_put"); }

static const AdvPortDef put_in[] = {{"x", ADV_PORT_FLOAT, "any tensor"},
                                    {"y", ADV_PORT_FLOAT, "reduce_max or reduce_min of x"},
                                    {"gy", ADV_PORT_FLOAT, "as y"},
                                    {NULL, 0, NULL}};
static const AdvPortDef put_out[] = {{"gx", ADV_PORT_FLOAT, "as x"}, {NULL, 0, NULL}};
static const AdvPortDef take_in[] = {{"x", ADV_PORT_FLOAT, "any tensor"},
                                     {"y", ADV_PORT_FLOAT, "reduce_max or reduce_min of x"},
                                     {"v", ADV_PORT_FLOAT, "as x"},
                                     {NULL, 0, NULL}};
static const AdvPortDef take_out[] = {{"vy", ADV_PORT_FLOAT, "as y"}, {NULL, 0, NULL}};

extern const AdvOpDef adv_op_extreme_put, adv_op_extreme_take;

const AdvOpDef adv_op_extreme_put = {
    ADV_OP_HEADER,
    .name = "extreme_put",
    .version = 1,
    .precision = ADV_PREC_F32,
    .layout = ADV_LAYOUT_OP_ANY,
    .in = put_in,
    .out = put_out,
    .attrs = adv_reduce_attrs,
    .infer = infer_put,
    .grad = grad_put,
    .ref = ref_put,
    .doc =
        "Gradient of reduce_max and reduce_min: gy where x first equals y in row order, else 0.\nLinear in gy; x and y get no gradient."};

const AdvOpDef adv_op_extreme_take = {
    ADV_OP_HEADER,
    .name = "extreme_take",
    .version = 1,
    .precision = ADV_PREC_F32,
    .layout = ADV_LAYOUT_OP_ANY,
    .in = take_in,
    .out = take_out,
    .attrs = adv_reduce_attrs,
    .infer = infer_take,
    .grad = grad_take,
    .ref = ref_take,
    .doc = "The element of v where x first equals y in row order.\nGradient of extreme_put; linear in v; x and y get no gradient."};
