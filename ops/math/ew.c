/* ew.c: elementwise ops: the definition and the shape rule of every row, and the ops that the rows of ew.def are.
**
** ew.def is included several times with other meanings of EW1, EW2 and EW3 (adv_row.h). No op is named here.
*/
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/container.h"

#include <math.h>
#include <string.h>

#define MIN(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
#define MAX(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))

/* ---- definitions in double ---- */

#define M(f) f
#define K(n) n##.0
#define EW1 ADV_ROW_DOUBLE1
#define EW2 ADV_ROW_DOUBLE2
#define EW3 ADV_ROW_DOUBLE3
#include "ops/ew.def"
#undef EW1
#undef EW2
#undef EW3
#undef M
#undef K

/* ---- the table, with texts in float; the cpu back end has its own loops ---- */

#define M(x) x##f
#define K(n) n##.0f
#define ADV_ROW_TILE(name) NULL
#define EW1(...) ADV_ROW_INIT1(__VA_ARGS__),
#define EW2(...) ADV_ROW_INIT2(__VA_ARGS__),
#define EW3(...) ADV_ROW_INIT3(__VA_ARGS__),
const AdvEwRow adv_ew_rows[ADV_EW_COUNT] = {
#include "ops/ew.def"
};
#undef EW1
#undef EW2
#undef EW3
#undef M
#undef K

/* ---- ref ---- */

/* Every operand is either one number or lies as the output does: then one flat loop is enough. */
static bool is_flat(const AdvRefCall *c, const AdvView *in)
{
    const AdvView *y = &c->out[0];
    if (!adv_view_is_row(y) && !adv_view_is_cl(y)) return false;
    for (uint32_t k = 0; k < c->n_in; k++) {
        bool is_one = true, is_same = true;
        for (uint32_t i = 0; i < y->rank; i++) {
            if (y->dim[i] == 1) continue;
            is_one &= in[k].stride[i] == 0;
            is_same &= in[k].stride[i] == y->stride[i];
        }
        if (!is_one && !is_same) return false;
    }
    return true;
}

static void run_flat(const AdvRefCall *c, const AdvView *in, double (*f)(double, double, double))
{
    int64_t n = adv_view_elems(&c->out[0]), step[3] = {0, 0, 0};
    double x[3] = {0, 0, 0};
    for (uint32_t k = 0; k < c->n_in; k++)
        for (uint32_t i = 0; i < in[k].rank; i++)
            if (in[k].dim[i] != 1 && in[k].stride[i] != 0) step[k] = 1;
    for (int64_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < c->n_in; k++) x[k] = adv_ld(&in[k], i * step[k]);
        adv_st(&c->out[0], i, f(x[0], x[1], x[2]));
    }
}

AdvStatus adv_ew_ref(const AdvRefCall *c, const AdvEwRow *row)
{
    double (*f)(double, double, double) = row->f;
    const AdvView *y = &c->out[0];
    AdvView in[3];
    AdvIter it;
    double x[3] = {0, 0, 0};
    for (uint32_t k = 0; k < c->n_in; k++) in[k] = adv_view_broadcast(&c->in[k], y->rank, y->dim);
    if (is_flat(c, in)) {
        run_flat(c, in, f);
        return ADV_OK;
    }
    adv_iter_init(&it, y->rank, y->dim);
    for (uint32_t k = 0; k < c->n_in; k++) adv_iter_add(&it, &in[k]);
    adv_iter_add(&it, y);
    for (; it.more; adv_iter_next(&it)) {
        for (uint32_t k = 0; k < c->n_in; k++) x[k] = adv_ld(&in[k], it.at[k]);
        adv_st(y, it.at[c->n_in], f(x[0], x[1], x[2]));
    }
    return ADV_OK;
}

/* ---- the shape rule ---- */

AdvStatus adv_ew_infer(AdvInferCtx *c, const AdvOpDef *op)
{
    uint32_t takes = op->row->takes, first = takes == ADV_EW_CHOICE;
    uint8_t dtype = c->in[first].dtype;
    ADV_TRY(adv_infer_same_dtype(c, op->name, first, c->n_in - first));
    if (dtype == ADV_U8) return c->fail(c, "`%s` does not compute with u8: cast it", op->name);
    if (takes == ADV_EW_CHOICE && adv_dtype_is_float(dtype)) ADV_TRY(adv_infer_same_dtype(c, op->name, 0, c->n_in));
    if (takes == ADV_EW_TRUTH && adv_dtype_is_int(dtype)) dtype = c->float_dtype;
    return adv_infer_join(c, op->name, dtype);
}

/* ---- gradients ---- */

#define N1(op, x) adv_b1(b, #op, x)
#define N2(op, x, y) adv_b2(b, #op, x, y)
#define N3(op, x, y, z) adv_b3(b, #op, x, y, z)
#define NUM(v) adv_val_number(b, v, G)
#define NONE ((AdvVal){0})
#define G (g->gout[0])
#define Y (g->out[0])
#define X1 (g->in[0])
#define X2 (g->in[1])
#define X3 (g->in[2])
#define EW1 ADV_ROW_GRAD1
#define EW2 ADV_ROW_GRAD2
#define EW3 ADV_ROW_GRAD3
#include "ops/ew.def"
#undef EW1
#undef EW2
#undef EW3

/* ---- op structs ---- */

#define ADV_ROW_OF(op) &adv_ew_rows[ADV_EW_##op]
#define EW1 ADV_ROW_DEF1
#define EW2 ADV_ROW_DEF2
#define EW3 ADV_ROW_DEF3
#include "ops/ew.def"
