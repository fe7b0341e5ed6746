/* memplan.h: where every value's bytes are. Runs last, on a scheduled graph, and may insert `copy` nodes into it.
**
** After it a graph can be emitted as it stands: every value of a listed node, parameter and result has a home; what a region
** writes or yields already is at its home when the region ends. What the plan promises and how it is found: memplan.c.
*/
#ifndef ADV_COMPILER_MEMPLAN_H
#define ADV_COMPILER_MEMPLAN_H

#include "compiler/pass/pass.h"
#include "runtime/plan.h"

typedef struct AdvHome {
    uint8_t has;         /* 0: the value is dead or has no bytes of its own to speak of */
    uint8_t block;       /* ADV_BLOCK_* */
    AdvStateId state;    /* ADV_BLOCK_STATE */
    AdvNodeId data;      /* ADV_BLOCK_CONST: the const node whose bytes these are */
    uint64_t offset;     /* ADV_BLOCK_TEMP: bytes into the block; else 0 */
} AdvHome;

typedef struct AdvMemPlan {
    AdvHome *home;              /* by value id */
    uint32_t n_homes;
    uint64_t temp_bytes;        /* of the block that all entries share */
    uint64_t lower_bound_bytes; /* most bytes that live at once in any entry under this schedule: no plan can do with less */
    uint32_t n_copies;          /* `copy` nodes that had to be inserted and stayed */
} AdvMemPlan;

/* Plans g for p->target. Everything lives in p->arena, work space in p->scratch. --why=copy (p->why) prints a line for each
** copy that stays. Never fails but for memory (the arenas' trap). */
AdvMemPlan *adv_memplan(AdvPassCtx *p, AdvGraph *g);

#endif
