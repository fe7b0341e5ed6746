/* reshape.c: the same elements under other dimensions; shares storage. */
#include "ops/move/move.h"

#include <inttypes.h>
#include <string.h>

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
