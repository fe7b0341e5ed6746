/* pass.h: what a pass gets, and the driver that runs the pipeline of passes.def. */
#ifndef ADV_COMPILER_PASS_H
#define ADV_COMPILER_PASS_H

#include "compiler/graph/graph.h"

enum {
    ADV_FUSE_BASE = 1, /* what is faster on every back end */
    ADV_FUSE_TAILS = 2 /* a convolution and the pass over its result that follows: where a library takes it as an epilogue */,
    ADV_FUSE_LISTS = 4 /* equal elementwise nodes as a list (pass gather): where launching one costs more than a small one's work */,
    ADV_FUSE_SMALL = 8 /* a few small nodes as one kernel of our own, the end of a network or a step in L2: likewise */
};

/* A row of targets.def: what a plan is compiled for. */
typedef struct AdvTarget {
    const char *name;       /* "cpu", "cuda", "ref", "ref64" */
    uint8_t float_dtype;    /* of every float in the graph: F32, or F64 for ref64 */
    uint8_t low_dtype;      /* of ops with ADV_PREC_LOW where run { precision } asks for 16 bits: F32, BF16 */
    uint8_t low_named;      /* likewise where run { device } names this target, too: not every CPU computes in 16 bits */
    uint8_t layout;         /* of rank-4 activations: AdvLayout */
    uint8_t weights;        /* of the weights of convolutions, as convolutions read and make them: states stay in row order */
    uint8_t fuses;          /* what is merged: ADV_FUSE_*; 0: nothing, nor chains of elementwise nodes */
    uint8_t has_locs;
    double gflops, low_gflops; /* 1e9 operations a second at best, in float_dtype and in a 16-bit type: for predictions only */
    double gbytes;             /* 1e9 bytes a second of memory at best: likewise */
} AdvTarget;
const AdvTarget *adv_target_find(const char *name);  /* NULL: unknown */

typedef struct AdvPassCtx {
    AdvArena *arena;          /* of the graph */
    AdvArena *scratch;        /* released after the pass; not `arena`, and with a trap */
    AdvDiags *diags;
    const AdvTarget *target;  /* NULL before targets part */
    AdvStr why;               /* --why=NAME: print refusals of that pass */
    AdvWriteFn *why_write;
    void *why_user;
} AdvPassCtx;

/* Returns progress: whether the graph changed. Failures are diagnostics. */
typedef bool AdvPassFn(AdvPassCtx *p, AdvGraph *g);

typedef struct AdvPassDef {
    const char *name;
    AdvPassFn *run;
    uint32_t stage;   /* ADV_STAGE_* */
    const char *doc;  /* the contract line */
} AdvPassDef;

enum {
    ADV_STAGE_COMMON = 0,
    ADV_STAGE_FIX = 1,    /* repeated to a fixpoint */
    ADV_STAGE_HOIST = 2,
    ADV_STAGE_PEEL = 3,   /* then FIX and HOIST again */
    ADV_STAGE_TARGET = 4, /* what makes the types of a target; then FIX and HOIST clean up */
    ADV_STAGE_FUSE = 5,   /* what makes its operations; then dce */
    ADV_STAGE_ORDER = 6   /* last */
};
extern const AdvPassDef adv_passes[];  /* ended by name NULL, in order */

typedef struct AdvPipeOpts {
    const char *stop_after;  /* pass name, or NULL */
    const char *only;        /* comma-separated pass names: run just these, or NULL */
    const char *skip;        /* comma-separated pass names to leave out, or NULL (tests: same numbers without cse, hoist, fuse) */
    bool verify_each;        /* always on in debug builds */
    bool round_trip;         /* replace the graph by read(print(graph)) after each pass and demand the same text */
    AdvWriteFn *dump;        /* after each pass, or NULL; user gets it */
    void *dump_user;
    bool time_passes;
    AdvWriteFn *time_write;  /* a line a pass, if time_passes */
    void *time_user;
} AdvPipeOpts;

/* Runs exactly the passes of a comma-separated list, once each, in its order; `o` may be NULL. ADV_EINVAL for an unknown name. */
AdvStatus adv_run_passes(AdvPassCtx *p, AdvGraph **g, const char *names, const AdvPipeOpts *o) ADV_MUST_USE;
/* Common part: simplify <-> cse <-> dce around fold, autodiff, hoist, peel. */
AdvStatus adv_run_common(AdvPassCtx *p, AdvGraph **g, const AdvPipeOpts *o) ADV_MUST_USE;
/* Target part: the passes that passes.def lists for it, in its order. */
AdvStatus adv_run_target(AdvPassCtx *p, AdvGraph **g, const AdvTarget *t, const AdvPipeOpts *o) ADV_MUST_USE;

#endif
