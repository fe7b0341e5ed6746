/* struct.c: read, write, loop, grad and const. The compiler handles them itself; here they have ports, attributes and pages. */
#include "ops/shape.h"
#include "ops/view.h"

#include <math.h>

static AdvStatus infer_read(AdvInferCtx *c) { return c->fail(c, "a `read` has the type of its state"); }

static AdvStatus infer_const(AdvInferCtx *c) { return c->fail(c, "a `const` has the type of its data"); }

static AdvStatus infer_write(AdvInferCtx *c)
{
    c->n_out = 0;
    return ADV_OK;
}

static AdvStatus infer_loop(AdvInferCtx *c)
{
    for (uint32_t k = 0; k < c->n_in; k++) c->out[k] = c->in[k];
    c->n_out = c->n_in;
    return ADV_OK;
}

static AdvStatus infer_grad(AdvInferCtx *c)
{
    char text[ADV_SHAPE_TEXT];
    if (c->in[0].rank > 1) return c->fail(c, "`grad` needs one number a batch or a sample, got %s", adv_type_text(&c->in[0], text));
    for (uint32_t k = 1; k < c->n_in; k++) {
        if (!adv_dtype_is_float(c->in[k].dtype)) return c->fail(c, "`grad` is taken by floats, got %s", adv_type_text(&c->in[k], text));
        c->out[k - 1] = c->in[k];
        c->out[k - 1].layout = ADV_LAYOUT_ROW;
    }
    c->n_out = c->n_in - 1;
    return ADV_OK;
}

static const AdvPortDef no_ports[] = {{0}};
static const AdvPortDef any_x[] = {{"x", ADV_PORT_ANY, "any tensor"}, {0}};
static const AdvPortDef any_y[] = {{"y", ADV_PORT_ANY, "the same elements"}, {0}};
static const AdvPortDef carried_in[] = {{"first", ADV_PORT_ANY | ADV_PORT_REPEAT, "first values of what is carried"}, {0}};
static const AdvPortDef carried_out[] = {{"last", ADV_PORT_ANY | ADV_PORT_REPEAT, "last values of what is carried"}, {0}};
static const AdvPortDef grad_in[] = {
    {"e", ADV_PORT_FLOAT, "[] or [N]"}, {"of", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "values to take it by"}, {0}};
static const AdvPortDef grad_out[] = {{"g", ADV_PORT_FLOAT | ADV_PORT_REPEAT, "as each of `of`"}, {0}};
static const AdvAttrDef loop_attrs[] = {{"turns", ADV_ATTR_INT, NAN, 1, 1 << 20, NULL, "number of turns"}, {0}};
static const AdvAttrDef grad_attrs[] = {{"mean", ADV_ATTR_INT, 0, 0, 1, NULL, "1: of the mean over the batch, 0: of each sample's own"},
                                        {0}};

extern const AdvOpDef adv_op_read, adv_op_write, adv_op_loop, adv_op_grad, adv_op_const;

const AdvOpDef adv_op_read = {ADV_OP_HEADER,
                              .name = "read",
                              .version = 1,
                              .precision = ADV_PREC_FOLLOW,
                              .layout = ADV_LAYOUT_OP_ANY,
                              .flags = ADV_OP_STRUCT,
                              .in = no_ports,
                              .out = any_y,
                              .infer = infer_read,
                              .grad = ADV_GRAD_ZERO,
                              .doc = "The version of a state at the entry's start.\nStands in entries only, never in a loop's body."};

const AdvOpDef adv_op_write = {ADV_OP_HEADER,
                               .name = "write",
                               .version = 1,
                               .precision = ADV_PREC_FOLLOW,
                               .layout = ADV_LAYOUT_OP_ANY,
                               .flags = ADV_OP_STRUCT,
                               .in = any_x,
                               .out = no_ports,
                               .infer = infer_write,
                               .grad = ADV_GRAD_ZERO,
                               .doc = "The version of a state at the entry's end.\nOnce a state and entry, among the entry's last nodes."};

const AdvOpDef adv_op_loop = {
    ADV_OP_HEADER,
    .name = "loop",
    .version = 1,
    .precision = ADV_PREC_FOLLOW,
    .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_STRUCT,
    .in = carried_in,
    .out = carried_out,
    .attrs = loop_attrs,
    .infer = infer_loop,
    .grad = ADV_GRAD_NEVER,
    .doc = "Runs its body a number of turns known to the compiler, carrying values from turn to turn.\nThe body's parameters are the turn "
           "number (i64, from 0) and the carried values; it yields the next ones. No gradient passes through a loop; one inside its body "
           "is fine."};

const AdvOpDef adv_op_grad = {
    ADV_OP_HEADER,
    .name = "grad",
    .version = 1,
    .precision = ADV_PREC_FOLLOW,
    .layout = ADV_LAYOUT_OP_ANY,
    .flags = ADV_OP_STRUCT,
    .in = grad_in,
    .out = grad_out,
    .attrs = grad_attrs,
    .infer = infer_grad,
    .grad = ADV_GRAD_NEVER,
    .doc = "Gradients of e by values it was computed from.\nExists until autodiff replaces it by the nodes that compute it."};

const AdvOpDef adv_op_const = {ADV_OP_HEADER,
                               .name = "const",
                               .version = 1,
                               .precision = ADV_PREC_FOLLOW,
                               .layout = ADV_LAYOUT_OP_ANY,
                               .flags = ADV_OP_STRUCT,
                               .in = no_ports,
                               .out = any_y,
                               .infer = infer_const,
                               .grad = ADV_GRAD_ZERO,
                               .doc = "A tensor held by the graph itself, dense in row order."};
