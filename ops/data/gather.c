/* gather.c: rows of a table by number. */
#include "ops/data/rows.h"

static const AdvPortDef in[] = {{"table", ADV_PORT_ANY, "[M,...]"}, {"ids", ADV_PORT_INT, "row numbers [N]"}, {0}};
static const AdvPortDef out[] = {{"rows", ADV_PORT_ANY, "[N,...]"}, {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    if (c->in[0].rank < 1 || c->in[1].rank != 1)
        return c->fail(c, "`gather` needs a table [M, ...] and row numbers [N], got %s and %s", adv_shape_text(&c->in[0]).s,
                       adv_shape_text(&c->in[1]).s);
    c->out[0] = adv_type_like(&c->in[0]);
    c->out[0].dim[0] = c->in[1].dim[0];
    return ADV_OK;
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    if (!g->need[0]) return ADV_OK;
    AdvAttr a = adv_attr_i(b->type(b, g->in[0])->dim[0]);
    AdvVal v[2] = {g->gout[0], g->in[1]};
    g->gin[0] = adv_ba(b, "class_sum", v, 2, &a);
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *ids = &c->in[1];
    for (int64_t i = 0; i < ids->dim[0]; i++) {
        int64_t id = adv_i64(ids, i * ids->stride[0]);
        if (id < 0 || id >= c->in[0].dim[0]) return ADV_EDATA;
        adv_row_copy(&c->out[0], i, &c->in[0], id);
    }
    return ADV_OK;
}

const AdvOpDef adv_op_gather = {
    ADV_OP_HEADER, .name = "gather", .version = 1, .precision = ADV_PREC_FOLLOW,
    .flags = ADV_OP_MOVES | ADV_OP_ROWS,
    .in = in, .out = out, .infer = infer, .grad = grad, .ref = ref,
    .doc = "Rows of a table by number: rows[i] = table[ids[i]].\n"
           "A number outside the table is a failure (bad data). The gradient adds up where a row was read several times.",
};
