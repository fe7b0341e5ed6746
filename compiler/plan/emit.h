/* emit.h: scheduled and planned graphs -> the bytes of a plan file (runtime/plan.h). */
#ifndef ADV_COMPILER_EMIT_H
#define ADV_COMPILER_EMIT_H

#include "compiler/plan/memplan.h"

typedef struct AdvEmitTarget {
    const AdvTarget *target;
    const AdvGraph *graph;      /* scheduled; memory plan's copies are in it */
    const AdvMemPlan *mem;
} AdvEmitTarget;

typedef struct AdvEmitIn {
    const AdvSources *sources;  /* embedded, all files; spans of locations refer to them. NULL: none, locations have no place */
    const char *program;        /* JSON text of the program section; NULL: "{}" */
    const char *recipe;         /* name, metadata adv.recipe */
    const char *hash;           /* metadata adv.hash */
    uint32_t n_targets;
    const AdvEmitTarget *targets; /* same states in the same order; at least one */
} AdvEmitIn;

/* Renders the plan into memory of `a`, which the caller frees (*out_n bytes). Same input, same bytes. ADV_ENOMEM; ADV_EINTERNAL
** with a diagnostic if the bytes do not pass the loader's own check. */
AdvStatus adv_emit(const AdvAlloc *a, AdvDiags *ds, const AdvEmitIn *in, void **out_bytes, uint64_t *out_n) ADV_MUST_USE;

#endif
