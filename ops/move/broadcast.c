/* broadcast.c: repeats along dimensions of size 1. */
#include "ops/move/move.h"

static AdvStatus infer_broadcast(AdvInferCtx *c)
{
    const AdvAttr *dims = &c->attr[0];
    AdvTensorType t, joined;
    char a[ADV_SHAPE_TEXT], b[ADV_SHAPE_TEXT];
    if (dims->n > ADV_MAX_RANK) return c->fail(c, "`broadcast` to more than %d dimensions", ADV_MAX_RANK);
    t = joined = adv_type_make(c->in[0].dtype, dims->n, dims->ints);
    if ((t.rank == 0 && c->in[0].rank != 0) || !adv_shape_join(&joined, &c->in[0]) || !adv_shape_eq(&t, &joined))
        return c->fail(c, "`broadcast` cannot widen %s to %s", adv_type_text(&c->in[0], a), adv_type_text(&t, b));
    c->out[0] = t;
    return ADV_OK;
}

static AdvStatus ref_broadcast(const AdvRefCall *c)
{
    AdvView x = adv_view_broadcast(&c->in[0], c->out[0].rank, c->out[0].dim);
    adv_view_copy(&c->out[0], &x);
    return ADV_OK;
}

static AdvStatus grad_broadcast(AdvBuild *b, const AdvGradCtx *g)
{
    if (adv_val_ok(g->gout[0])) g->gin[0] = adv_g_sum_like(b, g->gout[0], g->in[0]);
    return ADV_OK;
}

static const AdvAttrDef dims_attrs[] = {{"dims", ADV_ATTR_INTS, 0, 1, MAX_DIM, NULL, "shape of the result; empty: one number"}, {0}};
static const AdvPortDef broadcast_in[] = {{"x", ADV_PORT_ANY, "rank 0, or the result's rank with dims equal or 1"}, {0}};

extern const AdvOpDef adv_op_broadcast;
const AdvOpDef adv_op_broadcast = {
    ADV_OP_HEADER,
    .name = "broadcast",
    .version = 1,
    .precision = ADV_PREC_FOLLOW,
    .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_MOVES | ADV_OP_EACH,
    .in = broadcast_in,
    .out = any_y,
    .attrs = dims_attrs,
    .infer = infer_broadcast,
    .grad = grad_broadcast,
    .ref = ref_broadcast,
    .doc = "Repeats elements along dimensions of size 1, or one number everywhere.\nThe gradient sums over what was repeated."};
