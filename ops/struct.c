/* struct.c: ops about storage and shape: structural nodes, views, copies, casts, and taking tensors apart and together.
**
** read, write, loop, grad and const are handled by the compiler itself; here they have ports, attributes and pages only.
*/
#include "ops/grad.h"
#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/container.h"
#include "runtime/base/diag.h"

#include <inttypes.h>
#include <math.h>

#define MAX_DIM 9007199254740992.0 /* 2^53 */

/* ---- structural nodes ---- */

static AdvStatus infer_read(AdvInferCtx *c) { return c->fail(c, "a `read` has the type of its state"); }

static AdvStatus infer_const(AdvInferCtx *c) { return c->fail(c, "a `const` has the type of its data"); }

static AdvStatus infer_write(AdvInferCtx *c)
{
    c->n_out = 0;
    return ADV_OK;
}

static AdvStatus infer_loop(AdvInferCtx *c)
{
    for (uint32_t k = 0; k < c->n_in; k++) c->out[k] = c->in[k];
    c->n_out = c->n_in;
    return ADV_OK;
}

static AdvStatus infer_grad(AdvInferCtx *c)
{
    char text[ADV_SHAPE_TEXT];
    if (c->in[0].rank > 1) return c->fail(c, "`grad` needs one number a batch or a sample, got %s", adv_type_text(&c->in[0], text));
    for (uint32_t k = 1; k < c->n_in; k++) {
        if (!adv_dtype_is_float(c->in[k].dtype)) return c->fail(c, "`grad` is taken by floats, got %s", adv_type_text(&c->in[k], text));
        c->out[k - 1] = c->in[k];
        c->out[k - 1].layout = ADV_LAYOUT_ROW;
    }
    c->n_out = c->n_in - 1;
    return ADV_OK;
}

static const AdvPortDef no_ports[] = {{0}};
static const AdvPortDef any_x[] = {{"x", ADV_PORT_ANY, "any tensor"}, {0}};
static const AdvPortDef any_y[] = {{"y", ADV_PORT_ANY, "the same elements"}, {0}};
static const AdvPortDef carried_in[] = {{"first", ADV_PORT_ANY | ADV_PORT_REPEAT, "first values of what is carried"}, {0}};
static const AdvPortDef carried_out[] = {{"last", ADV_PORT_ANY | ADV_PORT_REPEAT, "last values of what is carried"}, {0}};
static const AdvPortDef grad_in[] = {
    {"e", ADV_PORT_FLOAT, "[] or [N]"}, {"of", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "values to take it by"}, {0}};
static const AdvPortDef grad_out[] = {{"g", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "as each of `of`"}, {0}};
static const AdvAttrDef loop_attrs[] = {{"turns", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "number of turns"}, {0}};
static const AdvAttrDef grad_attrs[] = {{"mean", ADV_ATTR_INT, 0, 0, 1, NULL, "1: of the mean over the batch, 0: of each sample's own"},
                                        {0}};

extern const AdvOpDef adv_op_read, adv_op_write, adv_op_loop, adv_op_grad, adv_op_const;

const AdvOpDef adv_op_read = {ADV_OP_HEADER,
                              .name = "read",
                              .version = 1,
                              .precision = ADV_PREC_FOLLOW,
                              .layout = ADV_LAYOUT_OP_ANY,
                              .flags = ADV_OP_STRUCT,
                              .in = no_ports,
                              .out = any_y,
                              .infer = infer_read,
                              .grad = ADV_GRAD_ZERO,
                              .doc = "The version of a state at the entry's start.\nStands in entries only, never in a loop's body."};

const AdvOpDef adv_op_write = {ADV_OP_HEADER,
                               .name = "write",
                               .version = 1,
                               .precision = ADV_PREC_FOLLOW,
                               .layout = ADV_LAYOUT_OP_ANY,
                               .flags = ADV_OP_STRUCT,
                               .in = any_x,
                               .out = no_ports,
                               .infer = infer_write,
                               .grad = ADV_GRAD_ZERO,
                               .doc = "The version of a state at the entry's end.\nOnce a state and entry, among the entry's last nodes."};

const AdvOpDef adv_op_loop = {
    ADV_OP_HEADER,
    .name = "loop",
    .version = 1,
    .precision = ADV_PREC_FOLLOW,
    .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_STRUCT,
    .in = carried_in,
    .out = carried_out,
    .attrs = loop_attrs,
    .infer = infer_loop,
    .grad = ADV_GRAD_NEVER,
    .doc = "Runs its body a number of turns known to the compiler, carrying values from turn to turn.\nThe body's parameters are the turn "
           "number (i64, from 0) and the carried values; it yields the next ones. No gradient passes through a loop; one inside its body "
           "is fine."};

const AdvOpDef adv_op_grad = {
    ADV_OP_HEADER,
    .name = "grad",
    .version = 1,
    .precision = ADV_PREC_FOLLOW,
    .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_STRUCT,
    .in = grad_in,
    .out = grad_out,
    .attrs = grad_attrs,
    .infer = infer_grad,
    .grad = ADV_GRAD_NEVER,
    .doc = "Gradients of e by values it was computed from.\nExists until autodiff replaces it by the nodes that compute it."};

const AdvOpDef adv_op_const = {ADV_OP_HEADER,
                               .name = "const",
                               .version = 1,
                               .precision = ADV_PREC_FOLLOW,
                               .layout = ADV_LAYOUT_OP_ANY,
                               .flags = ADV_OP_STRUCT,
                               .in = no_ports,
                               .out = any_y,
                               .infer = infer_const,
                               .grad = ADV_GRAD_ZERO,
                               .doc = "A tensor held by the graph itself, dense in row order."};

/* ---- the same elements, elsewhere ---- */

static AdvStatus infer_same(AdvInferCtx *c) { return adv_infer_like(c, 0); }

static AdvStatus ref_same(const AdvRefCall *c)
{
    adv_view_copy(&c->out[0], &c->in[0]);
    return ADV_OK;
}

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
                              .flags = ADV_OP_MOVES,
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
                                  .flags = ADV_OP_MOVES,
                                  .in = any_x,
                                  .out = any_y,
                                  .attrs = relayout_attrs,
                                  .infer = infer_relayout,
                                  .grad = grad_same,
                                  .ref = ref_same,
                                  .doc = "The same elements in another order of memory: row (last dimension fastest) or cl (rank 4, "
                                         "channels fastest).\nPut by the layout pass."};

/* ---- cast ---- */

static const uint8_t cast_dtypes[] = {ADV_F32, ADV_F64, ADV_BF16, ADV_F16, ADV_I32, ADV_I64, ADV_U8};

static AdvStatus infer_cast(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_like(c, 0));
    c->out[0].dtype = cast_dtypes[c->attr[0].i];
    return ADV_OK;
}

/* A double as an integer type takes it: towards 0, kept in range, NaN as 0. */
static double as_int(double v, uint8_t dtype)
{
    double lo = dtype == ADV_U8 ? 0 : dtype == ADV_I32 ? INT32_MIN : -0x1p63;
    double hi = dtype == ADV_U8 ? 255 : dtype == ADV_I32 ? INT32_MAX : 0x1.fffffffffffffp62; /* largest double below 2^63 */
    return v != v ? 0 : v < lo ? lo : v > hi ? hi : v;
}

static AdvStatus ref_cast(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *y = &c->out[0];
    bool to_int = adv_dtype_is_int(y->dtype);
    AdvIter it;
    if (x->dtype == y->dtype) return ref_same(c);
    adv_iter_init(&it, y->rank, y->dim);
    adv_iter_add(&it, x);
    adv_iter_add(&it, y);
    for (; it.more; adv_iter_next(&it)) {
        double v = adv_ld(x, it.at[0]);
        adv_st(y, it.at[1], to_int ? as_int(v, y->dtype) : v);
    }
    return ADV_OK;
}

static AdvStatus grad_cast(AdvBuild *b, const AdvGradCtx *g)
{
    AdvAttr dtype = {0};
    uint8_t from = b->type(b, g->in[0])->dtype;
    if (!adv_val_ok(g->gout[0]) || !adv_dtype_is_float(from) || !adv_dtype_is_float(b->type(b, g->out[0])->dtype)) return ADV_OK;
    while (cast_dtypes[dtype.i] != from) dtype.i++;
    g->gin[0] = adv_ba(b, "cast", &g->gout[0], 1, &dtype);
    return ADV_OK;
}

static const AdvAttrDef cast_attrs[] = {{"dtype", ADV_ATTR_ENUM, 0, 0, 6, "f32|f64|bf16|f16|i32|i64|u8", "element type of the result"},
                                        {0}};

extern const AdvOpDef adv_op_cast;
const AdvOpDef adv_op_cast = {ADV_OP_HEADER,
                              .name = "cast",
                              .version = 1,
                              .precision = ADV_PREC_FOLLOW,
                              .layout = ADV_LAYOUT_OP_ANY,
                              .flags = ADV_OP_MOVES,
                              .in = any_x,
                              .out = any_y,
                              .attrs = cast_attrs,
                              .infer = infer_cast,
                              .grad = grad_cast,
                              .ref = ref_cast,
                              .doc = "The same numbers in another element type.\nTo narrower floats: nearest, ties to even. To integers: "
                                     "towards 0, kept within the type's "
                                     "range, NaN gives 0, and no gradient."};

/* ---- reshape ---- */

static AdvStatus infer_reshape(AdvInferCtx *c)
{
    const AdvAttr *dims = &c->attr[0];
    AdvTensorType t = {.dtype = c->in[0].dtype, .rank = (uint8_t)dims->n};
    int64_t n = adv_type_elems(&c->in[0]), left = n;
    char text[ADV_SHAPE_TEXT];
    if (dims->n > ADV_MAX_RANK) return c->fail(c, "`reshape` to more than %d dimensions", ADV_MAX_RANK);
    for (uint32_t i = 0; i < dims->n; i++) {
        t.dim[i] = dims->ints[i];
        left = t.dim[i] > 0 && left % t.dim[i] == 0 ? left / t.dim[i] : 0;
        if (left == 0) break;
    }
    if (left != 1) return c->fail(c, "`reshape` must keep the %" PRId64 " elements of %s", n, adv_type_text(&c->in[0], text));
    c->out[0] = t;
    return ADV_OK;
}

/* Both sides in row order of their own dims. Only where there is no storage to share: plans treat it as a view. */
static AdvStatus ref_reshape(const AdvRefCall *c)
{
    AdvIter from, to;
    uint32_t n_bytes = adv_dtype_bytes(c->in[0].dtype);
    adv_iter_init(&from, c->in[0].rank, c->in[0].dim);
    adv_iter_add(&from, &c->in[0]);
    adv_iter_init(&to, c->out[0].rank, c->out[0].dim);
    adv_iter_add(&to, &c->out[0]);
    for (; from.more; adv_iter_next(&from), adv_iter_next(&to))
        memcpy((char *)c->out[0].data + to.at[0] * n_bytes, (const char *)c->in[0].data + from.at[0] * n_bytes, n_bytes);
    return ADV_OK;
}

static AdvStatus grad_reshape(AdvBuild *b, const AdvGradCtx *g)
{
    if (adv_val_ok(g->gout[0])) g->gin[0] = adv_g_reshape_like(b, g->gout[0], g->in[0]);
    return ADV_OK;
}

static const AdvPortDef reshape_in[] = {{"x", ADV_PORT_ANY, "any tensor, dense in row order"}, {0}};
static const AdvAttrDef dims_attrs[] = {{"dims", ADV_ATTR_INTS, 0, 1, MAX_DIM, NULL, "shape of the result; empty: one number"}, {0}};

extern const AdvOpDef adv_op_reshape;
const AdvOpDef adv_op_reshape = {ADV_OP_HEADER,
                                 .name = "reshape",
                                 .version = 1,
                                 .precision = ADV_PREC_FOLLOW,
                                 .layout = ADV_LAYOUT_OP_ROW,
                                 .flags = ADV_OP_VIEW,
                                 .in = reshape_in,
                                 .out = any_y,
                                 .attrs = dims_attrs,
                                 .infer = infer_reshape,
                                 .grad = grad_reshape,
                                 .ref = ref_reshape,
                                 .doc = "The same elements, in row order, under other dimensions.\nShares the storage of its input."};

/* ---- broadcast ---- */

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

static const AdvPortDef broadcast_in[] = {{"x", ADV_PORT_ANY, "rank 0, or the result's rank with dims equal or 1"}, {0}};

extern const AdvOpDef adv_op_broadcast;
const AdvOpDef adv_op_broadcast = {
    ADV_OP_HEADER,
    .name = "broadcast",
    .version = 1,
    .precision = ADV_PREC_FOLLOW,
    .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_MOVES,
    .in = broadcast_in,
    .out = any_y,
    .attrs = dims_attrs,
    .infer = infer_broadcast,
    .grad = grad_broadcast,
    .ref = ref_broadcast,
    .doc = "Repeats elements along dimensions of size 1, or one number everywhere.\nThe gradient sums over what was repeated."};

/* ---- slice, concat ---- */

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
