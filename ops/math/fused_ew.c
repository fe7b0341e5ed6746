/* fused_ew.c: several elementwise ops as one: a small program over rows (ew.h says how it is written). */
#include "ops/ew.h"
#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/diag.h"

#include <math.h>

uint32_t adv_ew_decode(const AdvAttr *attr, uint32_t n_in, AdvEwStep steps[ADV_EW_MAX_STEPS], const char **why)
{
    const AdvAttr *list = &attr[ADV_EW_ATTR_STEPS], *args = &attr[ADV_EW_ATTR_ARGS];
    uint32_t at = 0, first = n_in + attr[ADV_EW_ATTR_CONSTS].n;
    if (list->n == 0) return *why = "has no steps", 0;
    if (list->n > ADV_EW_MAX_STEPS || first + list->n > ADV_EW_MAX_VALUES) return *why = "has too many steps", 0;
    for (uint32_t n = 0; n < list->n; n++) {
        const AdvEwRow *row = list->ops[n]->row;
        if (!row) return *why = "has a step that is no elementwise op", 0;
        steps[n] = (AdvEwStep){.row = row, .name = list->ops[n]->name};
        if (args->n - at < row->n_in) return *why = "ends within a step", 0;
        for (uint32_t k = 0; k < row->n_in; k++) {
            int64_t v = args->ints[at++];
            if (v < 0 || v >= (int64_t)first + n) return *why = "uses a value that is not there yet", 0;
            steps[n].in[k] = (uint32_t)v;
        }
    }
    if (at < args->n) return *why = "has operands that no step takes", 0;
    return list->n;
}

static AdvStatus infer(AdvInferCtx *c)
{
    AdvEwStep steps[ADV_EW_MAX_STEPS];
    AdvTensorType types[ADV_EW_MAX_VALUES] = {{0}};
    const char *why = "";
    uint32_t n_values = c->n_in + c->attr[ADV_EW_ATTR_CONSTS].n, n;
    if (n_values > ADV_EW_MAX_VALUES) return c->fail(c, "`fused_ew` has too many operands");
    n = adv_ew_decode(c->attr, c->n_in, steps, &why);
    if (n == 0) return c->fail(c, "`fused_ew` %s", why);
    ADV_TRY(adv_infer_same_dtype(c, "fused_ew", 0, c->n_in));
    for (uint32_t k = 0; k < c->n_in; k++) types[k] = c->in[k];
    for (uint32_t i = 0; i < n; i++) {
        AdvTensorType *t = &types[n_values++];
        for (uint32_t k = 0; k < steps[i].row->n_in; k++)
            if (!adv_shape_join(t, &types[steps[i].in[k]])) return c->fail(c, "`fused_ew` needs shapes that fit, see step %u", (unsigned)i);
    }
    c->out[0] = types[n_values - 1];
    c->out[0].dtype = c->in[0].dtype;
    return ADV_OK;
}

static AdvStatus expand(AdvBuild *b, const AdvExpandCtx *c)
{
    AdvEwStep steps[ADV_EW_MAX_STEPS];
    AdvVal vals[ADV_EW_MAX_VALUES + 1] = {{0}};
    const char *why;
    const AdvAttr *consts = &c->attr[ADV_EW_ATTR_CONSTS];
    uint32_t n_values = c->n_in + consts->n, n;
    if (n_values > ADV_EW_MAX_VALUES) return ADV_EINVAL;
    n = adv_ew_decode(c->attr, c->n_in, steps, &why);
    if (n == 0) return ADV_EINVAL;
    for (uint32_t k = 0; k < c->n_in; k++) vals[k] = c->in[k];
    for (uint32_t k = 0; k < consts->n; k++) vals[c->n_in + k] = adv_val_number(b, consts->floats[k], c->in[0]);
    for (uint32_t i = 0; i < n; i++) {
        AdvVal in[3];
        for (uint32_t k = 0; k < steps[i].row->n_in; k++) in[k] = vals[steps[i].in[k]];
        vals[n_values++] = adv_ba(b, steps[i].name, in, steps[i].row->n_in, NULL);
    }
    c->out[0] = vals[n_values - 1];
    return ADV_OK;
}

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "operand 0"},
                                {"more", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "further operands; shapes as of elementwise ops"},
                                {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "joined shape of what the last step uses"}, {NULL, 0, NULL}};
static const AdvAttrDef attrs[] = {
    {"args", ADV_ATTR_INTS, 0, 0, ADV_EW_MAX_VALUES, NULL, "operands of the steps, one step after the other"},
    {"consts", ADV_ATTR_FLOATS, 0, -INFINITY, INFINITY, NULL, "numbers that steps use"},
    {"steps", ADV_ATTR_OPS, 0, 0, 0, NULL, "elementwise ops, in order"},
    {NULL, ADV_ATTR_END, 0, 0, 0, NULL, NULL}};

/* One for each step and element: a program that infer took is right. */
static double flops(const AdvSig *sig)
{
    AdvEwStep steps[ADV_EW_MAX_STEPS];
    const char *why;
    return (double)adv_ew_decode(sig->attr, sig->n_in, steps, &why) * (double)adv_view_elems(&sig->out[0]);
}

extern const AdvOpDef adv_op_fused_ew;
const AdvOpDef adv_op_fused_ew = {ADV_OP_HEADER,
                                  .name = "fused_ew",
                                  .version = 2,
                                  .precision = ADV_PREC_FOLLOW,
                                  .layout = ADV_LAYOUT_OP_ANY,
                                  .flags = ADV_OP_ELEMENTWISE,
                                  .in = in,
                                  .out = out,
                                  .attrs = attrs,
                                  .inplace = {ADV_INPLACE_ANY},
                                  .infer = infer,
                                  .grad = ADV_GRAD_NEVER,
                                  .expand = expand,
                                  .flops = flops,
                                  .doc = "Several elementwise ops as one.\nOperands are numbered: inputs, then consts, then the results of "
                                         "earlier steps; the last step's is the "
                                         "result. Made by the fuse pass, after gradients."};
