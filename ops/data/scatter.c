/* scatter.c: writes rows of a table by number. */
#include "ops/data/rows.h"

static const AdvPortDef in[] = {{"table", ADV_PORT_ANY, "[M,...]"},
                                {"ids", ADV_PORT_INT, "row numbers [N]"},
                                {"rows", ADV_PORT_ANY, "[N,...]"},
                                {"mask", ADV_PORT_FLOAT, "[N]: 0 where a row is not written"},
                                {0}};
static const AdvPortDef out[] = {{"table1", ADV_PORT_ANY, "[M,...]"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *t = &c->in[0], *ids = &c->in[1], *rows = &c->in[2], *mask = &c->in[3];
    AdvTensorType want = *t;
    if (t->rank < 1 || ids->rank != 1 || mask->rank != 1 || mask->dim[0] != ids->dim[0])
        return c->fail(c, "`scatter` needs a table [M, ...], row numbers [N] and a mask [N], got %s, %s and %s", adv_shape_text(t).s,
                       adv_shape_text(ids).s, adv_shape_text(mask).s);
    want.dim[0] = ids->dim[0];
    if (!adv_shape_eq(&want, rows) || rows->dtype != t->dtype)
        return c->fail(c, "`scatter` needs rows %s of the table's type, got %s", adv_shape_text(&want).s, adv_shape_text(rows).s);
    c->out[0] = adv_type_like(t);
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *t = &c->in[0], *ids = &c->in[1], *y = &c->out[0];
    if (y->data != t->data)
        for (int64_t i = 0; i < t->dim[0]; i++) adv_row_copy(y, i, t, i);
    for (int64_t i = 0; i < ids->dim[0]; i++) {
        int64_t id = adv_i64(ids, i * ids->stride[0]);
        if (adv_ld(&c->in[3], i * c->in[3].stride[0]) == 0) continue;
        if (id < 0 || id >= t->dim[0]) return ADV_EDATA;
        adv_row_copy(y, id, &c->in[2], i);
    }
    return ADV_OK;
}

const AdvOpDef adv_op_scatter = {
    ADV_OP_HEADER, .name = "scatter", .version = 1, .precision = ADV_PREC_FOLLOW, .inplace = {ADV_INPLACE(0)},
    .flags = ADV_OP_MOVES,
    .in = in, .out = out, .infer = infer, .grad = ADV_GRAD_NEVER, .ref = ref,
    .doc = "The table with rows[i] in place of row ids[i], where mask[i] is not 0.\n"
           "In the order of i, so of equal numbers the last stays. A number outside the table is a failure unless masked.",
};
