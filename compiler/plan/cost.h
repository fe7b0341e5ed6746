/* cost.h: how much work a planned graph is: what each instruction computes and moves, and how often it runs.
**
** FLOPs are counted as the ops say (AdvOpDef.flops; a multiply-add is two, the padding of a convolution counts). Bytes are those of
** all operands of an instruction, each once. Time is the larger of what both would take on the target at best (targets.def), so it
** is a lower bound for a machine like that, not a promise.
**
** Forwards. A unit is one pass of the biggest model: each of its weights used once, in convolutions and matrix products. Work of
** this kind that gradients brought in counts as backward; both are given in units, so a whole backward pass is about two.
*/
#ifndef ADV_COMPILER_COST_H
#define ADV_COMPILER_COST_H

#include "compiler/plan/memplan.h"

typedef struct AdvCostRow {
    AdvNodeId node;
    uint32_t depth;      /* loops around it */
    double times;        /* an entry: product of their turns */
    double flops, bytes, seconds; /* of one run; of a loop: 0, its body has rows of its own */
    bool is_grad;        /* autodiff made it */
} AdvCostRow;

typedef struct AdvCostEntry {
    AdvRegionId entry;
    uint32_t first, n_rows;  /* into rows: numbers of the plan's instructions */
    double flops, bytes, seconds, forwards, backwards; /* of one run of the entry */
    double launches;         /* likewise: a list is one, a loop as many as its turns make */
    uint64_t peak_bytes;     /* of the block that all entries share */
    uint32_t peak_row;       /* the first that reaches it; no meaning where peak_bytes is 0 */
} AdvCostEntry;

typedef struct AdvCost {
    ADV_VEC(AdvCostRow) rows;
    ADV_VEC(AdvCostEntry) entries;
    const char *model;   /* the biggest, "" where nothing has weights */
    double unit_flops;   /* of one pass of it, for a batch */
} AdvCost;

/* Everything lives in `arena`, which needs a trap. */
AdvCost *adv_cost(AdvArena *arena, const AdvGraph *g, const AdvTarget *t, const AdvMemPlan *mem);

/* The tables of `advc plan --explain`: one an entry (all, or only that of name `only`), then a line an entry. */
void adv_cost_print(AdvArena *arena, const AdvGraph *g, const AdvTarget *t, const AdvMemPlan *mem, const char *only, AdvWriteFn *write,
                    void *user);

#endif
