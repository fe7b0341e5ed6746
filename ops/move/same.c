/* same.c: stop_grad, copy and relayout: the same elements, elsewhere. */
#include "ops/move/move.h"

static AdvStatus infer_same(AdvInferCtx *c) { return adv_infer_like(c, 0); }

static AdvStatus grad_same(AdvBuild *b, const AdvGradCtx *g)
{
    (void)b;
    g->gin[0] = g->gout[0];
    return ADV_OK;
}

static AdvStatus infer_relayout(AdvInferCtx *c)
{
    char text[ADV_SHAPE_TEXT];
    if (c->attr[0].i == ADV_LAYOUT_CL && c->in[0].rank != 4)
        return c->fail(c, "`relayout` to channels-last needs rank 4, got %s", adv_type_text(&c->in[0], text));
    c->out[0] = c->in[0];
    c->out[0].layout = (uint8_t)c->attr[0].i;
    return ADV_OK;
}

static const AdvAttrDef relayout_attrs[] = {{"layout", ADV_ATTR_ENUM, 0, 0, 1, "row|cl", "order of the result's elements"}, {0}};

extern const AdvOpDef adv_op_stop_grad, adv_op_copy, adv_op_relayout;

const AdvOpDef adv_op_stop_grad = {ADV_OP_HEADER,
                                   .name = "stop_grad",
                                   .version = 1,
                                   .precision = ADV_PREC_FOLLOW,
                                   .layout = ADV_LAYOUT_OP_ANY,
                                   .flags = ADV_OP_VIEW,
                                   .in = any_x,
                                   .out = any_y,
                                   .infer = infer_same,
                                   .grad = ADV_GRAD_ZERO,
                                   .ref = ref_same,
                                   .doc = "The value itself; its gradient is 0.\nRemoved once gradients are made."};

const AdvOpDef adv_op_copy = {ADV_OP_HEADER,
                              .name = "copy",
                              .version = 1,
                              .precision = ADV_PREC_FOLLOW,
                              .layout = ADV_LAYOUT_OP_ANY,
                              .flags = ADV_OP_MOVES | ADV_OP_EACH,
                              .in = any_x,
                              .out = any_y,
                              .infer = infer_same,
                              .grad = grad_same,
                              .ref = ref_same,
                              .doc = "The same elements in storage of their own.\nPut where a value must outlive an update in place."};

const AdvOpDef adv_op_relayout = {ADV_OP_HEADER,
                                  .name = "relayout",
                                  .version = 1,
                                  .precision = ADV_PREC_FOLLOW,
                                  .layout = ADV_LAYOUT_OP_ANY,
                                  .flags = ADV_OP_MOVES | ADV_OP_EACH,
                                  .in = any_x,
                                  .out = any_y,
                                  .attrs = relayout_attrs,
                                  .infer = infer_relayout,
                                  .grad = grad_same,
                                  .ref = ref_same,
                                  .doc = "The same elements in another order of memory: row (last dimension fastest) or cl (rank 4, "
                                         "channels fastest).\nPut by the layout pass."};
