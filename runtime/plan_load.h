/* plan_load.h: a plan file in memory, checked, with every section as an array of its struct. Internal to the runtime; `emit`
** and tests use it too. Needs base and ops only.
**
** Two steps, because the first needs no op: adv_plan_parse checks every index, offset, length and overflow of the file and
** copies the sections (the caller's bytes may go). adv_plan_check then finds each op and runs its shape rule on each
** instruction. After both the runtime may assert what is written here. A plan is immutable and may be shared by threads.
**
** What holds after adv_plan_parse, for each target:
**   entries tile `insts` in order; a loop's body lies within what encloses the loop; loops nest at most ADV_PLAN_MAX_DEPTH deep
**   values: type valid, strides dense in the order type.layout, bytes within their block, aligned to the element
**   outputs are in TEMP or STATE (of a kind other than DATA), never CONST
** After adv_plan_check also:
**   op[i] of each instruction is the registry's, of that version, no ADV_OP_STRUCT but `loop` and no ADV_OP_VIEW
**   types of outputs (dtype and shape) are what the op infers; attributes are within range
**   outputs of one instruction do not overlap each other, nor an input, but exactly where the op's `inplace` allows it
*/
#ifndef ADV_RUNTIME_PLAN_LOAD_H
#define ADV_RUNTIME_PLAN_LOAD_H

#include "ops/plugin.h"
#include "runtime/base/container.h"
#include "runtime/plan.h"

#include <stdatomic.h>

#define ADV_PLAN_MAX_DEPTH 16
#define ADV_PLAN_MAX_BYTES ((uint64_t)1 << 46) /* of one block */

typedef struct AdvPlanTarget {
    const char *name;
    uint8_t float_dtype;          /* F32; F64 for target "ref64" */
    const AdvTensorType *state_types; /* n_states of the plan, floats as float_dtype: how STATE values lie in memory */
    AdvAttr *attrs;               /* n_attrs, ready for kernels: lists point into this plan; `ops` set by adv_plan_check */
    uint32_t n_attrs;
    const void *consts;           /* 64-byte aligned */
    uint64_t n_const_bytes;
    const AdvPlanValue *values;
    uint32_t n_values;
    const uint32_t *operands;
    uint32_t n_operands;
    const AdvPlanInst *insts;
    uint32_t n_insts;
    const AdvPlanEntry *entries;
    uint32_t n_entries;
    const char *info;             /* JSON text */
    uint64_t temp_bytes;          /* block TEMP, from the values themselves */
} AdvPlanTarget;

typedef struct AdvPlan {
    AdvAlloc alloc;
    AdvArena arena;               /* everything below lives in it */
    const char *recipe, *hash;    /* metadata; "" if missing */
    const char *strings;
    uint32_t n_string_bytes;
    const AdvPlanSource *sources;
    uint32_t n_sources;
    const AdvPlanOp *ops;
    const AdvOpDef **op_defs;     /* n_ops, set by adv_plan_check (NULL before) */
    uint32_t n_ops;
    const AdvPlanPlugin *plugins;
    uint32_t n_plugins;
    const AdvPlanState *states;
    uint32_t n_states;
    const AdvPlanLoc *locs;
    uint32_t n_locs;
    const char *program;          /* JSON text, NUL-terminated */
    uint64_t n_program_bytes;
    AdvPlanTarget *targets;
    uint32_t n_targets;
    const struct AdvProgramDef *prog; /* set by adv_program_check (program.h); NULL before */
    struct AdvCtx *ctx;           /* of plans that adv_plan_load made (ctx.c): the context they keep */
    atomic_uint n_refs;           /* likewise: the caller's handle, and each session's */
} AdvPlan;

/* Parses and checks the structure of bytes[0..n_bytes); `what` names the file in messages. The plan is from `a`, freed with
** adv_plan_free. ADV_EDATA with a sentence, ADV_ENOMEM. Threads: any. */
AdvStatus adv_plan_parse(const AdvAlloc *a, const void *bytes, uint64_t n_bytes, const char *what, AdvDiags *ds,
                         AdvPlan **out) ADV_MUST_USE;
void adv_plan_free(AdvPlan *plan); /* NULL allowed */

/* Resolves ops and checks each instruction of each target. ADV_EDATA with a sentence that names target, entry, instruction. */
AdvStatus adv_plan_check(AdvPlan *plan, const AdvRegistry *reg, AdvDiags *ds) ADV_MUST_USE;

/* A "str" of the plan. */
static inline const char *adv_plan_str(const AdvPlan *plan, uint32_t str) { return plan->strings + str; }

/* The target / state / entry of that name: pointer or index; NULL or ADV_PLAN_NONE if there is none. */
const AdvPlanTarget *adv_plan_target(const AdvPlan *plan, const char *name);
uint32_t adv_plan_state(const AdvPlan *plan, const char *name);
uint32_t adv_plan_entry(const AdvPlan *plan, const AdvPlanTarget *t, const char *name);

/* A value as a view; `base` is where its block (for STATE: its state) begins. */
AdvView adv_plan_view(const AdvPlanValue *v, void *base);

/* Bytes of block data that the value spans. */
uint64_t adv_plan_value_bytes(const AdvPlanValue *v);

/* Sources of the plan as a table that diagnostics can print (names and texts are borrowed from the plan's memory copied into
** ds->sources): after it, file k of the plan's locations is file first+k of ds, where the result is `first` (0-based shift). */
uint32_t adv_plan_add_sources(const AdvPlan *plan, AdvDiags *ds);

#endif
