/* part.c: slice and concat: tensors taken apart and together along a dimension. */
#include "ops/move/move.h"

#include <inttypes.h>
#include <math.h>

/* The part [start, start+len) of a view along one dimension. */
static AdvView part_of(const AdvView *v, int64_t axis, int64_t start, int64_t len)
{
    AdvView r = *v;
    r.dim[axis] = len;
    r.data = (char *)v->data + start * v->stride[axis] * adv_dtype_bytes(v->dtype);
    return r;
}

static AdvStatus infer_slice(AdvInferCtx *c)
{
    int64_t axis = c->attr[0].i, start = c->attr[1].i, stop = c->attr[2].i;
    char text[ADV_SHAPE_TEXT];
    if (axis >= c->in[0].rank) return c->fail(c, "`slice` has no dimension %" PRId64 " in %s", axis, adv_type_text(&c->in[0], text));
    if (start >= stop || stop > c->in[0].dim[axis])
        return c->fail(c, "`slice` from %" PRId64 " to %" PRId64 " is not within dimension %" PRId64 " of %s", start, stop, axis,
                       adv_type_text(&c->in[0], text));
    ADV_TRY(adv_infer_like(c, 0));
    c->out[0].dim[axis] = stop - start;
    return ADV_OK;
}

static AdvStatus ref_slice(const AdvRefCall *c)
{
    AdvView x = part_of(&c->in[0], c->attr[0].i, c->attr[1].i, c->attr[2].i - c->attr[1].i);
    adv_view_copy(&c->out[0], &x);
    return ADV_OK;
}

/* Zeros of the shape of `like`, but `len` along `axis`. */
static AdvVal zeros(AdvBuild *b, AdvVal like, int64_t axis, int64_t len)
{
    AdvTensorType t = *b->type(b, like);
    AdvVal zero = adv_val_number(b, 0, like);
    AdvAttr dims;
    t.dim[axis] = len;
    dims = adv_attr_ints(t.dim, t.rank);
    return adv_ba(b, "broadcast", &zero, 1, &dims);
}

static AdvStatus grad_slice(AdvBuild *b, const AdvGradCtx *g)
{
    int64_t axis = g->attr[0].i, start = g->attr[1].i, stop = g->attr[2].i, n = b->type(b, g->in[0])->dim[axis];
    AdvAttr axis_attr = adv_attr_i(axis);
    AdvVal parts[3];
    uint32_t n_parts = 0;
    if (!adv_val_ok(g->gout[0])) return ADV_OK;
    if (start > 0) parts[n_parts++] = zeros(b, g->gout[0], axis, start);
    parts[n_parts++] = g->gout[0];
    if (stop < n) parts[n_parts++] = zeros(b, g->gout[0], axis, n - stop);
    g->gin[0] = n_parts == 1 ? parts[0] : adv_ba(b, "concat", parts, n_parts, &axis_attr);
    return ADV_OK;
}

static AdvStatus infer_concat(AdvInferCtx *c)
{
    int64_t axis = c->attr[0].i;
    char a[ADV_SHAPE_TEXT], b[ADV_SHAPE_TEXT];
    if (axis >= c->in[0].rank) return c->fail(c, "`concat` has no dimension %" PRId64 " in %s", axis, adv_type_text(&c->in[0], a));
    ADV_TRY(adv_infer_same_dtype(c, "concat", 0, c->n_in));
    ADV_TRY(adv_infer_like(c, 0));
    for (uint32_t k = 1; k < c->n_in; k++) {
        AdvTensorType t = c->in[k];
        if (t.rank == c->in[0].rank) t.dim[axis] = c->in[0].dim[axis];
        if (!adv_shape_eq(&t, &c->in[0]))
            return c->fail(c, "`concat` needs shapes that differ along dimension %" PRId64 " only, got %s and %s", axis,
                           adv_type_text(&c->in[0], a), adv_type_text(&c->in[k], b));
        if (__builtin_add_overflow(c->out[0].dim[axis], c->in[k].dim[axis], &c->out[0].dim[axis]))
            return c->fail(c, "`concat` is too long");
    }
    return ADV_OK;
}

static AdvStatus ref_concat(const AdvRefCall *c)
{
    int64_t axis = c->attr[0].i, at = 0;
    for (uint32_t k = 0; k < c->n_in; k++) {
        AdvView y = part_of(&c->out[0], axis, at, c->in[k].dim[axis]);
        adv_view_copy(&y, &c->in[k]);
        at += c->in[k].dim[axis];
    }
    return ADV_OK;
}

static AdvStatus grad_concat(AdvBuild *b, const AdvGradCtx *g)
{
    int64_t axis = g->attr[0].i, at = 0;
    if (!adv_val_ok(g->gout[0])) return ADV_OK;
    for (uint32_t k = 0; k < g->n_in; k++) {
        int64_t len = b->type(b, g->in[k])->dim[axis];
        AdvAttr attrs[3];
        attrs[0] = adv_attr_i(axis);
        attrs[1] = adv_attr_i(at);
        attrs[2] = adv_attr_i(at + len);
        if (g->need[k]) g->gin[k] = adv_ba(b, "slice", &g->gout[0], 1, attrs);
        at += len;
    }
    return ADV_OK;
}

static const AdvPortDef slice_out[] = {{"y", ADV_PORT_ANY, "as x, but stop-start along the axis"}, {0}};
static const AdvPortDef concat_in[] = {
    {"x", ADV_PORT_ANY, "any tensor"}, {"more", ADV_PORT_ANY | ADV_PORT_REPEAT, "as x, but any size along the axis"}, {0}};
static const AdvPortDef concat_out[] = {{"y", ADV_PORT_ANY, "all of them behind each other"}, {0}};
static const AdvAttrDef slice_attrs[] = {{"axis", ADV_ATTR_INT, 0, 0, ADV_MAX_RANK - 1, NULL, "dimension that is cut"},
                                         {"start", ADV_ATTR_INT, 0, 0, MAX_DIM, NULL, "first index taken"},
                                         {"stop", ADV_ATTR_INT, NAN, 1, MAX_DIM, NULL, "index behind the last taken"},
                                         {0}};
static const AdvAttrDef concat_attrs[] = {{"axis", ADV_ATTR_INT, 0, 0, ADV_MAX_RANK - 1, NULL, "dimension that grows"}, {0}};

extern const AdvOpDef adv_op_slice, adv_op_concat;

const AdvOpDef adv_op_slice = {ADV_OP_HEADER,
                               .name = "slice",
                               .version = 1,
                               .precision = ADV_PREC_FOLLOW,
                               .layout = ADV_LAYOUT_OP_ANY,
                               .flags = ADV_OP_MOVES,
                               .in = any_x,
                               .out = slice_out,
                               .attrs = slice_attrs,
                               .infer = infer_slice,
                               .grad = grad_slice,
                               .ref = ref_slice,
                               .doc = "The elements start..stop-1 along one dimension.\nThe gradient is 0 outside them."};

const AdvOpDef adv_op_concat = {ADV_OP_HEADER,
                                .name = "concat",
                                .version = 1,
                                .precision = ADV_PREC_FOLLOW,
                                .layout = ADV_LAYOUT_OP_ANY,
                                .flags = ADV_OP_MOVES,
                                .in = concat_in,
                                .out = concat_out,
                                .attrs = concat_attrs,
                                .infer = infer_concat,
                                .grad = grad_concat,
                                .ref = ref_concat,
                                .doc = "Tensors one behind the other along a dimension.\nWith reshape to a size of 1 it stacks them."};
