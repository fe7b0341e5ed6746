/* ew.c: everything the rows of ew.def give: definitions in double, ref functions, gradients, texts and op structs.
**
** ew.def is included several times with other meanings of EW1, EW2 and EW3. No op is named here.
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
#define EW1(name, takes, prec, flags, doc, e, ga) \
    static double f_##name(double a, double b, double c) { (void)b, (void)c; return e; }
#define EW2(name, takes, prec, flags, doc, e, ga, gb) \
    static double f_##name(double a, double b, double c) { (void)c; return e; }
#define EW3(name, takes, prec, flags, doc, e, ga, gb, gc) \
    static double f_##name(double a, double b, double c) { return e; }
#include "ops/ew.def"
#undef EW1
#undef EW2
#undef EW3
#undef M
#undef K

/* ---- the table, with texts in float ---- */

#define M(x) x##f
#define K(n) n##.0f
#define TEXT(...) #__VA_ARGS__
#define EW1(name, takes, prec, flags, doc, e, ga) {#name, 1, f_##name, TEXT(e)},
#define EW2(name, takes, prec, flags, doc, e, ga, gb) {#name, 2, f_##name, TEXT(e)},
#define EW3(name, takes, prec, flags, doc, e, ga, gb, gc) {#name, 3, f_##name, TEXT(e)},
const AdvEwRow adv_ew_rows[ADV_EW_COUNT] = {
#include "ops/ew.def"
};
#undef EW1
#undef EW2
#undef EW3
#undef M
#undef K

int adv_ew_find(const char *name)
{
    for (int i = 0; i < ADV_EW_COUNT; i++)
        if (strcmp(adv_ew_rows[i].name, name) == 0) return i;
    return -1;
}

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

static AdvStatus run_ew(const AdvRefCall *c, double (*f)(double, double, double))
{
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

#define EW1(name, ...) static AdvStatus ref_##name(const AdvRefCall *c) { return run_ew(c, f_##name); }
#define EW2 EW1
#define EW3 EW1
#include "ops/ew.def"
#undef EW1
#undef EW2
#undef EW3

/* ---- shape rules, by what a row takes ---- */

typedef enum Takes { FLOATS, NUMBERS, TRUTH, CHOICE } Takes;

static AdvStatus infer_ew(AdvInferCtx *c, const char *name, Takes takes)
{
    uint32_t first = takes == CHOICE;
    uint8_t dtype = c->in[first].dtype;
    ADV_TRY(adv_infer_same_dtype(c, name, first, c->n_in - first));
    if (dtype == ADV_U8) return c->fail(c, "`%s` does not compute with u8: cast it", name);
    if (takes == CHOICE && adv_dtype_is_float(dtype)) ADV_TRY(adv_infer_same_dtype(c, name, 0, c->n_in));
    if (takes == TRUTH && adv_dtype_is_int(dtype)) dtype = c->float_dtype;
    return adv_infer_join(c, name, dtype);
}

#define EW1(name, takes, ...) static AdvStatus infer_##name(AdvInferCtx *c) { return infer_ew(c, #name, takes); }
#define EW2 EW1
#define EW3 EW1
#include "ops/ew.def"
#undef EW1
#undef EW2
#undef EW3

/* ---- gradients ---- */

#define N1(op, x) adv_b1(b, #op, x)
#define N2(op, x, y) adv_b2(b, #op, x, y)
#define N3(op, x, y, z) adv_b3(b, #op, x, y, z)
#define NUM(v) adv_g_number(b, v, G)
#define NONE ((AdvVal){0})
#define G (g->gout[0])
#define Y (g->out[0])
#define X1 (g->in[0])
#define X2 (g->in[1])
#define X3 (g->in[2])
#define EW1(name, takes, prec, flags, doc, e, ga) \
    static AdvStatus grad_##name(AdvBuild *b, const AdvGradCtx *g) \
    { \
        (void)b; \
        if (!adv_val_ok(G)) return ADV_OK; \
        if (g->need[0]) g->gin[0] = ga; \
        return ADV_OK; \
    }
#define EW2(name, takes, prec, flags, doc, e, ga, gb) \
    static AdvStatus grad_##name(AdvBuild *b, const AdvGradCtx *g) \
    { \
        (void)b; \
        if (!adv_val_ok(G)) return ADV_OK; \
        if (g->need[0]) g->gin[0] = ga; \
        if (g->need[1]) g->gin[1] = gb; \
        return ADV_OK; \
    }
#define EW3(name, takes, prec, flags, doc, e, ga, gb, gc) \
    static AdvStatus grad_##name(AdvBuild *b, const AdvGradCtx *g) \
    { \
        (void)b; \
        if (!adv_val_ok(G)) return ADV_OK; \
        if (g->need[0]) g->gin[0] = ga; \
        if (g->need[1]) g->gin[1] = gb; \
        if (g->need[2]) g->gin[2] = gc; \
        return ADV_OK; \
    }
#include "ops/ew.def"
#undef EW1
#undef EW2
#undef EW3
#undef G
#undef Y

/* ---- op structs ---- */

#define COMMUTES ADV_OP_COMMUTES
#define IN_FLOATS ADV_PORT_FLOAT
#define IN_NUMBERS ADV_PORT_ANY
#define IN_TRUTH ADV_PORT_ANY
#define IN_CHOICE ADV_PORT_FLOAT
#define IN2_FLOATS ADV_PORT_FLOAT
#define IN2_NUMBERS ADV_PORT_ANY
#define IN2_TRUTH ADV_PORT_ANY
#define IN2_CHOICE ADV_PORT_ANY
#define OUT_FLOATS ADV_PORT_FLOAT
#define OUT_NUMBERS ADV_PORT_ANY
#define OUT_TRUTH ADV_PORT_FLOAT
#define OUT_CHOICE ADV_PORT_ANY
#define OPERAND "rank 0, or dims of the result or 1"
#define DEF(op, takes, prec, flag, text) \
    static const AdvPortDef out_##op[] = {{"y", OUT_##takes, "joined shape of the operands"}, {NULL, 0, NULL}}; \
    extern const AdvOpDef adv_op_##op; \
    const AdvOpDef adv_op_##op = {ADV_OP_HEADER, .name = #op, .version = 1, .precision = ADV_PREC_##prec, .layout = ADV_LAYOUT_OP_ANY, \
                                  .flags = ADV_OP_ELEMENTWISE | (flag), .in = in_##op, .out = out_##op, .inplace = {ADV_INPLACE_ANY}, \
                                  .infer = infer_##op, .grad = grad_##op, .ref = ref_##op, .doc = text};
#define EW1(op, takes, prec, flag, text, e, ga) \
    static const AdvPortDef in_##op[] = {{"a", IN_##takes, OPERAND}, {NULL, 0, NULL}}; \
    DEF(op, takes, prec, flag, text)
#define EW2(op, takes, prec, flag, text, e, ga, gb) \
    static const AdvPortDef in_##op[] = {{"a", IN_##takes, OPERAND}, {"b", IN2_##takes, OPERAND}, {NULL, 0, NULL}}; \
    DEF(op, takes, prec, flag, text)
#define EW3(op, takes, prec, flag, text, e, ga, gb, gc) \
    static const AdvPortDef in_##op[] = { \
        {"a", IN_##takes, OPERAND}, {"b", IN2_##takes, OPERAND}, {"c", IN2_##takes, OPERAND}, {NULL, 0, NULL}}; \
    DEF(op, takes, prec, flag, text)
#include "ops/ew.def"
