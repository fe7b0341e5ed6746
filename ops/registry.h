/* registry.h: the sorted table of all ops and kernels a context knows. Filled once, then frozen and shared by threads. */
#ifndef ADV_OPS_REGISTRY_H
#define ADV_OPS_REGISTRY_H

#include "ops/adv_op.h"
#include "runtime/base/diag.h"

typedef struct AdvRegistry {
    AdvAlloc alloc;
    const AdvOpDef **ops;  /* sorted by name once frozen */
    uint32_t n_ops;
    const AdvKernel **kernels; /* sorted by backend, op, order */
    uint32_t n_kernels;
    struct AdvLoaded *plugins; /* newest first: plugin.h */
} AdvRegistry;

/* All built-in ops (ops.def), no kernels yet; frozen. ADV_ENOMEM. */
AdvStatus adv_registry_init(AdvRegistry *r, AdvAlloc alloc) ADV_MUST_USE;
void adv_registry_fini(AdvRegistry *r);

/* Adds ops / kernels of a plugin or of a back end's table (ended by NULL). A name that is there already, a wrong abi or
** size, or a def that the self-check refuses is ADV_EDATA with a sentence. */
AdvStatus adv_registry_add_ops(AdvRegistry *r, const AdvOpDef *const *ops, AdvDiags *ds) ADV_MUST_USE;
AdvStatus adv_registry_add_kernels(AdvRegistry *r, const AdvKernel *const *kernels, AdvDiags *ds) ADV_MUST_USE;

/* Takes ops out again whose kernels were refused. */
void adv_registry_drop_ops(AdvRegistry *r, const AdvOpDef *const *ops);

/* Is this definition complete and consistent? If not, says what is missing. What init and add_ops demand of every op. */
bool adv_op_check(const AdvOpDef *op, char *msg, size_t msg_bytes);

/* The op of that name, or NULL. */
const AdvOpDef *adv_registry_op(const AdvRegistry *r, const char *name);

/* The kernels for a back end and op, in order; *out_n of them. A row without any of its own has those for ADV_KERNEL_ROWS. */
const AdvKernel *const *adv_registry_kernels(const AdvRegistry *r, const char *backend, const char *op, uint32_t *out_n);

/* May kernel k run this? If not, *why gets a constant sentence. */
bool adv_kernel_can(const AdvKernel *k, const AdvSig *sig, const char **why);

/* Counts of ports and attributes. */
uint32_t adv_op_n_in(const AdvOpDef *op);     /* fixed ports; a repeated last port is not counted */
bool adv_op_in_repeats(const AdvOpDef *op);
uint32_t adv_op_n_out(const AdvOpDef *op);
uint32_t adv_op_n_attrs(const AdvOpDef *op);

/* Fills attr[0..n) with the defaults. A NAN default leaves .f = NAN (must be given). */
void adv_op_default_attrs(const AdvOpDef *op, AdvAttr *attr);

/* Checks ports and attribute ranges, then runs the op's shape rule: the one entry to `infer`, used by the compiler's builder
** and by the plan checker. On failure a sentence is written to msg[0..msg_bytes). *out_n_out types in out[]. */
AdvStatus adv_op_infer(const AdvOpDef *op, const AdvTensorType *in, uint32_t n_in, const AdvAttr *attr, uint8_t float_dtype,
                       AdvTensorType *out, uint32_t *out_n_out, char *msg, size_t msg_bytes) ADV_MUST_USE;

/* Work of one call, for tables and estimates: floating-point operations as the op counts them, else none where it only moves
** or renames elements, else one for each element of its largest operand; bytes of all operands, each counted once. */
double adv_sig_flops(const AdvSig *sig);
double adv_sig_bytes(const AdvSig *sig);

/* Executes an op's definition on views: `ref`, or `expand` through an executing builder whose intermediate values are taken
** from `a`. Threads: any. */
AdvStatus adv_op_run_ref(const AdvRegistry *r, const AdvOpDef *op, const AdvView *in, uint32_t n_in, const AdvAttr *attr,
                         const AdvView *out, uint32_t n_out, const AdvAlloc *a) ADV_MUST_USE;

#endif
