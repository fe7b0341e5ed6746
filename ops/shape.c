/* shape.c: what shape rules have in common. */
#include "ops/shape.h"

#include "ops/view.h"
#include "runtime/base/container.h"

#include <inttypes.h>
#include <stdio.h>

const char *adv_type_text(const AdvTensorType *t, char text[ADV_SHAPE_TEXT])
{
    size_t at = (size_t)snprintf(text, ADV_SHAPE_TEXT, "%s[", adv_dtype_name(t->dtype));
    for (uint32_t i = 0; i < t->rank && at < ADV_SHAPE_TEXT; i++)
        at += (size_t)snprintf(text + at, ADV_SHAPE_TEXT - at, "%s%" PRId64, i ? "," : "", t->dim[i]);
    if (at < ADV_SHAPE_TEXT) snprintf(text + at, ADV_SHAPE_TEXT - at, "]");
    return text;
}

bool adv_dtype_is_float(uint8_t dtype) { return dtype == ADV_F32 || dtype == ADV_F64 || dtype == ADV_BF16 || dtype == ADV_F16; }

bool adv_dtype_is_int(uint8_t dtype) { return dtype == ADV_I32 || dtype == ADV_I64 || dtype == ADV_U8; }

AdvTensorType adv_type_make(uint8_t dtype, uint32_t rank, const int64_t *dim)
{
    AdvTensorType t = {.dtype = dtype, .rank = (uint8_t)rank};
    for (uint32_t i = 0; i < rank; i++) t.dim[i] = dim[i];
    return t;
}

bool adv_shape_join(AdvTensorType *acc, const AdvTensorType *t)
{
    AdvTensorType r = *acc;
    if (t->rank == 0) return true;
    if (acc->rank == 0) {
        acc->rank = t->rank;
        memcpy(acc->dim, t->dim, sizeof acc->dim);
        return true;
    }
    if (acc->rank != t->rank) return false;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (r.dim[i] != t->dim[i] && r.dim[i] != 1 && t->dim[i] != 1) return false;
        if (r.dim[i] == 1) r.dim[i] = t->dim[i];
    }
    *acc = r;
    return true;
}

AdvStatus adv_infer_join(AdvInferCtx *c, const char *op, uint8_t dtype)
{
    AdvTensorType t = {.dtype = dtype};
    char a[ADV_SHAPE_TEXT], b[ADV_SHAPE_TEXT];
    for (uint32_t i = 0; i < c->n_in; i++)
        if (!adv_shape_join(&t, &c->in[i]))
            return c->fail(c, "`%s` needs shapes that fit, got %s and %s", op, adv_type_text(&t, a), adv_type_text(&c->in[i], b));
    c->out[0] = t;
    return ADV_OK;
}

AdvStatus adv_infer_same_dtype(AdvInferCtx *c, const char *op, uint32_t first, uint32_t n)
{
    for (uint32_t i = first + 1; i < first + n; i++)
        if (c->in[i].dtype != c->in[first].dtype)
            return c->fail(c, "`%s` needs operands of one type, got %s and %s", op, adv_dtype_name(c->in[first].dtype),
                           adv_dtype_name(c->in[i].dtype));
    return ADV_OK;
}

AdvStatus adv_infer_same_shape(AdvInferCtx *c, const char *op, uint32_t i, uint32_t j)
{
    char a[ADV_SHAPE_TEXT], b[ADV_SHAPE_TEXT];
    if (adv_shape_eq(&c->in[i], &c->in[j])) return ADV_OK;
    return c->fail(c, "`%s` needs equal shapes, got %s and %s", op, adv_type_text(&c->in[i], a), adv_type_text(&c->in[j], b));
}

AdvStatus adv_infer_rank(AdvInferCtx *c, const char *op, uint32_t i, uint32_t rank, const char *what)
{
    char a[ADV_SHAPE_TEXT];
    if (c->in[i].rank == rank) return ADV_OK;
    return c->fail(c, "`%s` needs %s, got %s", op, what, adv_type_text(&c->in[i], a));
}

AdvStatus adv_infer_rows(AdvInferCtx *c, const char *op, uint32_t z, uint32_t y)
{
    char a[ADV_SHAPE_TEXT], b[ADV_SHAPE_TEXT];
    const AdvTensorType *tz = &c->in[z], *ty = &c->in[y];
    if (tz->rank == 2 && ty->rank == 1 && ty->dtype == ADV_I32 && ty->dim[0] == tz->dim[0]) return ADV_OK;
    return c->fail(c, "`%s` needs logits [N,K] and classes i32[N], got %s and %s", op, adv_type_text(tz, a), adv_type_text(ty, b));
}

AdvStatus adv_infer_like(AdvInferCtx *c, uint32_t i)
{
    c->out[0] = c->in[i];
    c->out[0].layout = ADV_LAYOUT_ROW;
    return ADV_OK;
}

AdvStatus adv_infer_dims(AdvInferCtx *c, const char *op, const AdvAttr *dims, uint32_t rank, bool mark[ADV_MAX_RANK])
{
    for (uint32_t i = 0; i < ADV_MAX_RANK; i++) mark[i] = dims->n == 0 && i < rank;
    for (uint32_t i = 0; i < dims->n; i++) {
        int64_t d = dims->ints[i];
        if (d < 0 || d >= (int64_t)rank)
            return c->fail(c, "`%s` has no dimension %" PRId64 " in a tensor of rank %u", op, d, (unsigned)rank);
        if (mark[d]) return c->fail(c, "`%s` names dimension %" PRId64 " twice", op, d);
        mark[d] = true;
    }
    return ADV_OK;
}

AdvTensorType adv_type_reduced(const AdvTensorType *x, const bool mark[ADV_MAX_RANK], bool keep)
{
    AdvTensorType t = {.dtype = x->dtype};
    for (uint32_t i = 0; i < x->rank; i++) {
        if (mark[i] && !keep) continue;
        t.dim[t.rank++] = mark[i] ? 1 : x->dim[i];
    }
    return t;
}

void adv_dims_mark(const AdvAttr *dims, uint32_t rank, bool mark[ADV_MAX_RANK])
{
    for (uint32_t i = 0; i < ADV_MAX_RANK; i++) mark[i] = dims->n == 0 && i < rank;
    for (uint32_t i = 0; i < dims->n; i++) mark[dims->ints[i]] = true;
}
