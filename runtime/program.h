/* program.h: the program of a plan: what runs when. Read from the plan's JSON once, when the plan is loaded (program_def.c),
** then interpreted by program.c, eval.c and checkpoint.c, which know nothing of methods: entries, states, counts.
*/
#ifndef ADV_RUNTIME_PROGRAM_H
#define ADV_RUNTIME_PROGRAM_H

#include "runtime/adv.h"
#include "runtime/plan_load.h"

typedef struct AdvProgLog {
    const char *name, *unit;
    uint32_t state;
    int32_t kind;                /* ADV_METRIC_* */
    bool has_within;
    double lo, hi;               /* bounds of each number, if it has any */
    const char **phases;         /* those that compute it; none: all do */
    uint32_t n_phases;
} AdvProgLog;

typedef struct AdvProgPhase {
    const char *name;
    int64_t from, to;            /* epochs, both included */
    const char *epoch;           /* entry run as an epoch begins, or NULL */
    const char **entries;        /* run for each step, in order */
    uint32_t n_entries;
} AdvProgPhase;

typedef struct AdvProgStage {
    const char *name, *entry;
    bool among_alive;            /* only samples that every stage since the last one among all got right */
    uint32_t result, per_class;  /* states for the accuracy, and for that of each class; or ADV_PLAN_NONE */
    uint32_t number;             /* of all stages of the program, from 0 */
    double eps;                  /* the attack's radius as the recipe says it; NAN: it does not */
    const char *norm;            /* in which distances are measured: "linf", "l2", or NULL: the images are clean */
} AdvProgStage;

typedef struct AdvProgEval {
    const char *name, *split;
    int64_t first_id, n, batch, every;  /* every 0: at the end */
    const char *before;          /* entry run before it, after each epoch, or NULL */
    const AdvProgStage *stages;
    uint32_t n_stages;
} AdvProgEval;

typedef struct AdvProgParam { const char *name, *origin; double value; } AdvProgParam;

/* Weights of `model` read after `init` from a file, where they stand under `as`. */
/* off, len: where the recipe asks for them. */
typedef struct AdvProgWeights { const char *model, *as, *file; uint32_t off, len; } AdvProgWeights;

typedef struct AdvProgramDef {
    const char *recipe, *precision, *device; /* device: "auto", "cpu" or "cuda" */
    bool deterministic, allows_tf32; /* tf32: precision "tf32", that of f32 but for what a device multiplies */
    int64_t seed, batch, epochs, steps, classes;
    const char *data;            /* name of the data set, or NULL */
    int64_t n_train, n_test;
    const AdvProgPhase *phases;
    const AdvProgEval *evals;
    const AdvProgLog *logs;
    const AdvProgParam *params;
    const AdvProgWeights *weights;
    uint32_t n_phases, n_evals, n_logs, n_params, n_weights;
    const char *after_epoch;     /* entry run after an epoch's evaluations, before the stop rule is read, or NULL */
    const char *keep;            /* name of the result whose best weights are kept, or NULL */
    uint32_t keep_state, stop_state;                         /* or ADV_PLAN_NONE */
    uint32_t epoch_state, step_state;                        /* run.epoch, run.step; or ADV_PLAN_NONE */
    uint32_t ids_state, mask_state, correct_state, y_state, dist_state; /* eval.*; NONE where the plan has none */
} AdvProgramDef;

/* Reads plan->program into plan->prog (memory of plan->arena). ADV_EDATA with a sentence when it does not fit the plan. */
AdvStatus adv_program_check(AdvPlan *plan, AdvDiags *ds) ADV_MUST_USE;

/* The phase of an epoch, or NULL. */
const AdvProgPhase *adv_program_phase(const AdvProgramDef *p, int64_t epoch);

#endif
