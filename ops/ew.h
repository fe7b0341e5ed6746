/* ew.h: the elementwise ops (ew.def) as a table, indexed by their code: what fused_ew programs are made of.
**
** A fused_ew program is the attribute `code`: for each step the row's code, then n_in operands. Operands are numbered: inputs
** of the node, then its `consts`, then the results of the steps before. The last step's result is the node's.
*/
#ifndef ADV_OPS_EW_H
#define ADV_OPS_EW_H

#include "ops/adv_op.h"

/* Codes: ADV_EW_add, ... in the order of ew.def. */
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

typedef struct AdvEwRow {
    const char *name;
    uint32_t n_in;
    double (*f)(double a, double b, double c); /* operands beyond n_in are not looked at */
    const char *text;                          /* in float over a, b, c, valid in C and in CUDA */
} AdvEwRow;

extern const AdvEwRow adv_ew_rows[ADV_EW_COUNT];

/* The row of an op's name, or -1. */
int adv_ew_find(const char *name);

#define ADV_EW_MAX_STEPS 64   /* of one fused_ew */
#define ADV_EW_MAX_VALUES 96  /* inputs, constants and steps together */

/* One step of a program, decoded. */
typedef struct AdvEwStep { uint32_t row, in[3]; } AdvEwStep;

/* Reads attribute `code` of a fused_ew with n_in inputs and n_consts constants. Returns the number of steps, or 0 with
** *why a constant sentence. */
uint32_t adv_ew_decode(const AdvAttr *code, uint32_t n_in, uint32_t n_consts, AdvEwStep steps[ADV_EW_MAX_STEPS], const char **why);

#endif
