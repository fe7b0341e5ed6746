/* op_case.h: one line of a .case file: an op, its operands, attributes and what to expect.
**
**   ce z=5x10 y=5:class10                        operands by port name, attributes by attribute name
**   sum x=2x3x4 dims=[1,2] keep=1                lists in brackets, no blanks inside a word; choices of an enum by name
**   concat x=2x3 more=2x4 more=2x1 axis=1        a repeating port is given several times
**   log x=2{0.5,2} want={-0.6931471805599453,0.6931471805599453}
**
** Operand: dims as 2x3x4, or () for one number; then `:kind`; then `{values}` in row order, one value filling all.
**   kinds: classK (i32 in 0..K-1), idM (i64 in 0..M-1, distinct while they last), i32, i64 (0..9), u8, bit (float 0 or 1),
**   prob (rows sum to 1), distinct (no two nearer than 0.1), f32 (floats of at least that type), lo..hi (float range). Without a
**   kind: floats in -2..2, or in the ports that take integers alone i32. Random values depend on the line alone and are exact in f32.
** Expectations, all optional:
**   want={..}, want1={..}   result 0, 1: in f64 to 1e-9, in f32 to 1e-5, relative to the largest
**   grad.x={..}             gradient by x when every float result has gradient 1, to 1e-9: for kinks and frozen numbers
**   refuse=text~with~blanks the shape rule refuses, and says this
**   status=edata            the definition itself fails
**   range=lo..hi            of all float operands without a kind
**   wrt=a,b                 finite differences by these operands only (none: wrt=-)
**   nofd=why                no finite differences: the gradient is a rule of its own, or values stand at kinks
**   gout=0,2                only these results can have a gradient
** `#` begins a comment.
*/
#ifndef ADV_TEST_OP_CASE_H
#define ADV_TEST_OP_CASE_H

#include "ops/registry.h"

#define CASE_MAX_IN  24
#define CASE_MAX_OUT 8

typedef struct CaseTensor {
    AdvTensorType type; /* floats as F64 */
    bool is_f32;        /* in f32 where the others have 16 bits */
    double *f;          /* floats */
    int64_t *i;         /* integers */
    int64_t n;
} CaseTensor;

typedef struct CaseWant {
    double *v; /* NULL: nothing said */
    uint32_t n;
} CaseWant;

typedef struct OpCase {
    const char *file;
    int line;
    const char *text;
    const AdvOpDef *op;
    uint32_t n_in;
    CaseTensor in[CASE_MAX_IN];
    AdvAttr attr[ADV_MAX_ATTRS];
    CaseWant want[CASE_MAX_OUT], want_grad[CASE_MAX_IN];
    bool wrt[CASE_MAX_IN]; /* finite differences by this operand */
    bool has_gout[CASE_MAX_OUT];
    const char *nofd;   /* or NULL */
    const char *refuse; /* or NULL */
    AdvStatus status;
} OpCase;

/* Parses a line into *out; everything lives in `arena`. False with a sentence in msg, or an empty one for a line that says
** nothing (blank, comment). */
bool case_parse(OpCase *out, AdvArena *arena, const AdvRegistry *reg, const char *file, int line, const char *text, char *msg,
                size_t msg_bytes);

#endif
