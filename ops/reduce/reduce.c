/* reduce.c: what reductions over dimensions have in common. */
#include "ops/reduce/reduce.h"

#include "runtime/base/container.h"
#include "runtime/base/diag.h"

const AdvAttrDef adv_reduce_attrs[] = {{"dims", ADV_ATTR_INTS, 0, 0, ADV_MAX_RANK - 1, NULL, "dimensions to reduce; empty: all"},
                                       {"keep", ADV_ATTR_INT, 0, 0, 1, NULL, "1: reduced dimensions stay as 1"},
                                       {NULL, ADV_ATTR_END, 0, 0, 0, NULL, NULL}};
const AdvPortDef adv_reduce_in[] = {{"x", ADV_PORT_FLOAT, "any tensor"}, {NULL, 0, NULL}};
const AdvPortDef adv_reduce_out[] = {{"y", ADV_PORT_FLOAT, "x without the reduced dimensions"}, {NULL, 0, NULL}};

AdvStatus adv_infer_reduce(AdvInferCtx *c, const char *op)
{
    bool mark[ADV_MAX_RANK];
    ADV_TRY(adv_infer_dims(c, op, &c->attr[0], c->in[0].rank, mark));
    c->out[0] = adv_type_reduced(&c->in[0], mark, c->attr[1].i != 0);
    return ADV_OK;
}

AdvView adv_view_at(const AdvView *v, int64_t at)
{
    AdvView r = *v;
    r.data = (char *)v->data + at * (int64_t)adv_dtype_bytes(v->dtype);
    return r;
}

/* Drops dims of 1 and joins those that follow each other in memory; row order stays. */
static AdvView squeeze(const AdvView *v)
{
    AdvView r = *v;
    r.rank = 0;
    for (uint32_t i = 0; i < v->rank; i++) {
        if (v->dim[i] == 1) continue;
        if (r.rank > 0 && r.stride[r.rank - 1] == v->stride[i] * v->dim[i])
            r.dim[r.rank - 1] *= v->dim[i], r.stride[r.rank - 1] = v->stride[i];
        else
            r.dim[r.rank] = v->dim[i], r.stride[r.rank++] = v->stride[i];
    }
    return r;
}

/* x split by dims: `rest` walks the results (dims reduced are 1), `group` the elements of one (dims kept are 1). */
static void split(const AdvView *x, const AdvAttr *dims, AdvView *out_rest, AdvView *out_group)
{
    bool mark[ADV_MAX_RANK];
    adv_dims_mark(dims, x->rank, mark);
    *out_rest = *out_group = *x;
    for (uint32_t i = 0; i < x->rank; i++) (mark[i] ? out_rest : out_group)->dim[i] = 1;
    *out_group = squeeze(out_group);
}

AdvView adv_reduce_result(const AdvView *y, const AdvView *rest)
{
    AdvView r = *rest;
    uint32_t from = 0;
    bool is_kept = y->rank == rest->rank;
    r.dtype = y->dtype;
    r.data = y->data;
    for (uint32_t i = 0; i < rest->rank; i++) {
        /* y has this dim if dims are kept, or if it is not of size 1 here; a kept dim of size 1 never moves */
        if (is_kept)
            r.stride[i] = y->stride[i];
        else if (rest->dim[i] == 1)
            r.stride[i] = 0;
        else {
            while (y->dim[from] == 1) from++;
            r.stride[i] = y->stride[from++];
        }
    }
    return r;
}

AdvStatus adv_ref_reduce(const AdvRefCall *c, double (*fold)(const AdvView *group))
{
    AdvView rest, group, y;
    AdvIter it;
    split(&c->in[0], &c->attr[0], &rest, &group);
    y = adv_reduce_result(&c->out[0], &rest);
    adv_iter_init(&it, rest.rank, rest.dim);
    adv_iter_add(&it, &rest);
    adv_iter_add(&it, &y);
    for (; it.more; adv_iter_next(&it)) {
        AdvView g = adv_view_at(&group, it.at[0]);
        adv_st(&y, it.at[1], fold(&g));
    }
    return ADV_OK;
}
