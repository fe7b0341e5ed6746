/* nth_class.c: the class of the k-th largest logit. */
#include "ops/loss/rows.h"

#include <inttypes.h>

static AdvStatus infer(AdvInferCtx *c)
{
    char text[ADV_SHAPE_TEXT];
    ADV_TRY(adv_infer_rank(c, "nth_class", 0, 2, "logits [N,K]"));
    if (c->attr[0].i > c->in[0].dim[1])
        return c->fail(c, "`nth_class` has no class number %" PRId64 " in %s", c->attr[0].i, adv_type_text(&c->in[0], text));
    ADV_TRY(adv_infer_per_row(c));
    c->out[0].dtype = ADV_I32;
    return ADV_OK;
}

/* Does class a come before class b? Larger first, then lower index; NaN counts as largest. */
static bool is_before(const AdvRow *z, int64_t a, int64_t b)
{
    double x = adv_row_ld(z, a), y = adv_row_ld(z, b);
    if (x != x || y != y) return x != x && (y == y || a < b);
    return x > y || (x == y && a < b);
}

/* Without scratch: a class is the k-th if k-1 others come before it. */
static AdvStatus ref(const AdvRefCall *c)
{
    AdvIter it;
    adv_rows_init(&it, &c->in[0]);
    adv_rows_add(&it, &c->in[0]), adv_rows_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) {
        AdvRow z = adv_row_of(&c->in[0], it.at[0]);
        for (int64_t a = 0; a < z.n; a++) {
            int64_t n_before = 0;
            for (int64_t b = 0; b < z.n; b++) n_before += is_before(&z, b, a);
            if (n_before == c->attr[0].i - 1) adv_st(&c->out[0], it.at[1], (double)a);
        }
    }
    return ADV_OK;
}

static const AdvPortDef in[] = {{"z", ADV_PORT_FLOAT, "logits [N,K]"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"class", ADV_PORT_INT, "i32[N]"}, {NULL, 0, NULL}};
static const AdvAttrDef attrs[] = {{"k", ADV_ATTR_INT, 1, 1, 1 << 30, NULL, "1 is the largest"}, {NULL, 0, 0, 0, 0, NULL, NULL}};

ADV_ROW_OP(nth_class, in, out, attrs, infer, ADV_GRAD_NEVER, ref,
           "The class of the k-th largest element of each row.\nOf equal ones the lower index comes first; NaN counts as largest.");
