/* exec.h: the builder that executes: each node is computed by its op's definition as soon as it is made.
**
** It is how `expand` runs where no compiler is at hand, and how gradients are tested. Values live until fini; memory comes
** from one allocator. After a failure every further value is none, `status` keeps the first cause and `message` says it.
*/
#ifndef ADV_OPS_EXEC_H
#define ADV_OPS_EXEC_H

#include "ops/registry.h"

typedef struct AdvExecValue {
    AdvTensorType type;
    AdvView view;
    void *mem; /* ours, or NULL for a view that the caller gave */
    size_t n_bytes;
} AdvExecValue;

typedef struct AdvExec {
    AdvBuild base; /* AdvVal.i is an index into vals */
    const AdvRegistry *reg;
    AdvAlloc alloc;
    uint8_t float_dtype; /* see AdvInferCtx */
    AdvExecValue *vals;  /* vals[0] is none */
    uint32_t n_vals, cap_vals;
    AdvStatus status;
    char message[256];
} AdvExec;

/* Starts an empty builder. `reg` must outlive it. One thread at a time. */
void adv_exec_init(AdvExec *e, const AdvRegistry *reg, AdvAlloc alloc, uint8_t float_dtype);
void adv_exec_fini(AdvExec *e);

/* A value over the caller's memory, which must outlive the builder; none after a failure. */
AdvVal adv_exec_input(AdvExec *e, const AdvView *v);

/* The view of a value, valid until fini (a copy: the table may move). Of none, a view with data NULL. */
AdvView adv_exec_view(const AdvExec *e, AdvVal v);

#endif
