/* ew.h: the elementwise ops of ew.def as a table, and fused_ew programs, which are made of rows: ours and plugins' alike.
**
** A fused_ew program is three attributes: `steps`, the ops in order; `args`, for each step its operands; `consts`. Operands are
** numbered: inputs of the node, then its `consts`, then the results of the steps before. The last step's result is the node's.
** Steps are ops, which graphs and plans hold by name and version: no number of a row is ever written down.
*/
#ifndef ADV_OPS_EW_H
#define ADV_OPS_EW_H

#include "ops/adv_op.h"

/* Where our rows stand in adv_ew_rows: ADV_EW_add, ... in the order of ew.def. */
typedef enum AdvEwCode {
#define EW1(name, ...) ADV_EW_##name,
#define EW2(name, ...) ADV_EW_##name,
#define EW3(name, ...) ADV_EW_##name,
#include "ops/ew.def"
#undef EW1
#undef EW2
#undef EW3
    ADV_EW_COUNT
} AdvEwCode;

extern const AdvEwRow adv_ew_rows[ADV_EW_COUNT];

/* The shape rule of rows, by what they take. */
AdvStatus adv_ew_infer(AdvInferCtx *c, const AdvOpDef *op) ADV_MUST_USE;
/* Their definition. */
AdvStatus adv_ew_ref(const AdvRefCall *c, const AdvEwRow *row) ADV_MUST_USE;

#define ADV_EW_MAX_STEPS 64   /* of one fused_ew */
#define ADV_EW_MAX_VALUES 96  /* inputs, constants and steps together */

/* Attributes of fused_ew. */
enum { ADV_EW_ATTR_ARGS = 0, ADV_EW_ATTR_CONSTS = 1, ADV_EW_ATTR_STEPS = 2, ADV_EW_N_ATTRS = 3 };

/* One step of a program, decoded. */
typedef struct AdvEwStep {
    const AdvEwRow *row;
    const char *name; /* of its op */
    uint32_t in[3];
} AdvEwStep;

/* Reads the attributes of a fused_ew with n_in inputs. Returns the number of steps, or 0 with *why a constant sentence. */
uint32_t adv_ew_decode(const AdvAttr *attr, uint32_t n_in, AdvEwStep steps[ADV_EW_MAX_STEPS], const char **why);

/* How a back end prepares a program over an instruction's operands; steps and consts are valid during the call. */
typedef AdvStatus AdvEwPrepare(AdvPrep *p, void **out_state, const AdvEwStep *steps, uint32_t n_steps, const double *consts,
                               uint32_t n_consts);

/* The programs of an op that is a row, of fused_ew, and of step_linf, given to `prepare`. */
AdvStatus adv_ew_prepare_row(AdvPrep *p, void **out_state, AdvEwPrepare *prepare);
AdvStatus adv_ew_prepare_fused(AdvPrep *p, void **out_state, AdvEwPrepare *prepare);
AdvStatus adv_ew_prepare_step_linf(AdvPrep *p, void **out_state, AdvEwPrepare *prepare);

#endif
