/* plan.h: the plan file, the contract between compiler and runtime. Format only: structs as they lie in the file.
**
** A plan is a container (runtime/base/container.h). __metadata__: "adv.plan" = "1" (ADV_PLAN_FORMAT),
** "adv.recipe" (name), "adv.hash" (hash of sources, overrides and op versions), "adv.targets" ("cpu,cuda").
** Sections are blobs of dtype U8; integers little-endian; every index is checked before first use (plan_load.c).
**
**   strings               NUL-terminated texts; a "str" below is a byte offset into it; 0 is ""
**   sources               AdvPlanSource[]: name and text, so a message prints its line even if the file is gone
**   ops                   AdvPlanOp[]: required ops
**   states                AdvPlanState[]: in the recipe's order and dtype, whatever the target
**   locs                  AdvPlanLoc[]: at[0] is "no place"
**   plugins               AdvPlanPlugin[]: where ops come from that are not the engine's own
**   program               JSON text: what runs when (see below)
** and for each target T:
**   T.attrs               AdvPlanAttr[]; T.numbers  f64[]: pool of INTS and FLOATS lists (i64 bits as such), and of OPS
**                         lists (indices into ops)
**   T.consts              bytes of constants, each at a multiple of 64
**   T.values              AdvPlanValue[]; T.operands u32[]: value indices
**   T.insts               AdvPlanInst[]; T.entries AdvPlanEntry[]
**   T.info                JSON text: { "temp_bytes": n, "lower_bound_bytes": n, "blocks": {..} } and what explain prints
**
** Program JSON (all names are states or entries of the plan):
** { "recipe": "mine", "seed": 1, "batch": 128, "epochs": 100, "steps": 390, "classes": 10, "shape": [3,32,32],
**   "data": { "name": "cifar10", "train": 50000, "test": 10000 } | null,       (null: the recipe makes its own)
**   "phases": [ { "name": "main", "from": 1, "to": 100, "entries": ["batch", "step.main"], "epoch": "epoch" | null } ],
**   "evals": [ { "name": "final", "split": "test", "first_id": 0, "n": 10000, "batch": 128, "every": 0,
**                "before": entry run before it after an epoch (whether it is due or not) | absent,
**                "stages": [ { "name": "strong", "entry": "eval.final.strong", "among": "all" | "alive" (those right in every stage
**                since the last one among all), "result": "final.strong" | absent, "per_class": state [classes] | absent,
**                "eps": radius that the recipe gives the attack | absent, "norm": "linf" | "l2" (of eval.dist) | absent: clean
**                images } ] } ],
**   "after_epoch": entry run after an epoch's evaluations, before `stop` is read | null,
**   "keep": "quick.strong" | null, "stop": "train.stop" | null, "log": [ { "name": "eps", "state": "metric.eps", "kind": "number" |
**   "sample", "unit": "" | "1/255", "within": [lo, hi] (between which each number lies) | absent,
**                "phases": names of those that compute it | absent (all do) } ],
**   "weights": [ { "model": "ema", "as": "f" (prefix in the file), "file": "natural.safetensors",
**                 "off": 97, "len": 1 (where the recipe asks for them) } ] (read after `init`),
**   "run": { "precision": "f32", "deterministic": false }, "params": [ {"name","value","origin"} ] }
** How it is interpreted: runtime/program.c. Host-written states: run.epoch (i64, from 1), run.step (i64, steps done in this
** epoch; the step entry writes +1), eval.ids (i64[B]), eval.mask (float[B]), and results (float, rank 0) after evaluations.
** An evaluation entry writes eval.correct (float[B]: 1 right, 0 wrong, NaN where the logits give no answer), eval.y (i32[B])
** and eval.dist (float[B], distance used).
*/
#ifndef ADV_RUNTIME_PLAN_H
#define ADV_RUNTIME_PLAN_H

#include "runtime/adv_types.h"

#define ADV_PLAN_FORMAT "1" /* a program reads its own format and no other */
#define ADV_PLAN_NONE 0xffffffffu
#define ADV_PLAN_ALIGN 64 /* every value begins at a multiple of it: what kernels may count on */
#define ADV_PLAN_MAX_TURNS (1 << 20)
#define ADV_PLAN_MAX_LIST 512 /* instructions that may run at once */

typedef struct AdvPlanSource { uint32_t name, text, n_bytes, zero; } AdvPlanSource;
typedef struct AdvPlanOp { uint32_t name; uint32_t version; } AdvPlanOp;

/* Checked when the plan is loaded: an op runs the code that the plan was made with, or none. */
typedef struct AdvPlanPlugin {
    uint32_t path, name, version; /* path: absolute, where it was */
    uint32_t op, loc;             /* the first op of it that an instruction needs, and where: for messages */
    uint32_t zero;
    uint64_t n_bytes;             /* of the file */
    uint8_t sha256[32];
} AdvPlanPlugin;

typedef struct AdvPlanState {
    uint32_t name;
    uint8_t kind, saved, zero[2];
    AdvTensorType type;  /* float dtype of the recipe (F32) in every target but ref64 */
} AdvPlanState;

/* Why a place of the recipe belongs to something: it is written there; called from there; it is the gradient of what is written there;
** it does what is written at two places. */
typedef enum AdvLocWhy { ADV_LOC_SOURCE = 0, ADV_LOC_CALL, ADV_LOC_GRAD, ADV_LOC_FUSED, ADV_LOC_COUNT } AdvLocWhy;

typedef struct AdvPlanLoc {
    uint32_t file, off, len; /* SOURCE, CALL: file is 1 + index of the source */
    uint32_t why;            /* AdvLocWhy */
    uint32_t parent, also;
} AdvPlanLoc;

/* Where a value's bytes are. */
enum { ADV_BLOCK_TEMP = 0 /* one block, overlaid by all entries */, ADV_BLOCK_CONST = 1, ADV_BLOCK_STATE = 2, ADV_BLOCK_COUNT };

typedef struct AdvPlanValue {
    AdvTensorType type;  /* as executed on the target */
    int64_t stride[ADV_MAX_RANK];
    uint64_t offset;     /* bytes into the block, a multiple of ADV_PLAN_ALIGN; in STATE: into that state */
    uint32_t state;      /* STATE: which, else NONE */
    uint8_t block;
    uint8_t rate, zero[2];
    uint32_t name, zero2;
} AdvPlanValue;

typedef struct AdvPlanAttr {
    int64_t i;
    double f;
    uint32_t list_at, n;  /* into numbers */
} AdvPlanAttr;

/* Ops of their own here: "loop" (operand out 0: the turn number, an i64 in TEMP that the runtime sets before each turn;
** n_body instructions that follow are the body; turns in its attribute 0). Reads are operands in STATE; carried values
** have one home each; "copy" instructions move what could not be computed in place. */
typedef struct AdvPlanInst {
    uint32_t op;                 /* into ops */
    uint32_t in_at, n_in;        /* into operands */
    uint32_t out_at, n_out;
    uint32_t attr_at, n_attr;
    uint32_t loc;
    uint32_t n_body;             /* loop only */
    uint32_t with_prev;          /* 1: of one list with the instruction before it: neither needs the other, both may run at once */
} AdvPlanInst;

typedef struct AdvPlanEntry { uint32_t name; uint32_t first, n_insts; uint32_t loc; } AdvPlanEntry;

#endif
