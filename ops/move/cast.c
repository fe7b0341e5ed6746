/* cast.c: the same numbers in another element type. */
#include "ops/move/move.h"

static const uint8_t cast_dtypes[] = {ADV_F32, ADV_F64, ADV_BF16, ADV_F16, ADV_I32, ADV_I64, ADV_U8};

static AdvStatus infer_cast(AdvInferCtx *c)
{
    ADV_TRY(adv_infer_like(c, 0));
    c->out[0].dtype = cast_dtypes[c->attr[0].i];
    return ADV_OK;
}

static AdvStatus ref_cast(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *y = &c->out[0];
    AdvIter it;
    if (x->dtype == y->dtype) return ref_same(c);
    adv_iter_init(&it, y->rank, y->dim);
    adv_iter_add(&it, x);
    adv_iter_add(&it, y);
    for (; it.more; adv_iter_next(&it)) adv_st(y, it.at[1], adv_ld(x, it.at[0])); /* integers: towards 0, kept in range, NaN as 0 */
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
                              .flags = ADV_OP_MOVES | ADV_OP_EACH,
                              .in = any_x,
                              .out = any_y,
                              .attrs = cast_attrs,
                              .infer = infer_cast,
                              .grad = grad_cast,
                              .ref = ref_cast,
                              .doc = "The same numbers in another element type.\nTo narrower floats: nearest, ties to even. To integers: "
                                     "towards 0, kept within the type's "
                                     "range, NaN gives 0, and no gradient. Fusion may let it change the order of memory too."};
