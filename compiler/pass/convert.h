/* convert.h: one conversion of a value right behind its definition, made once and shared by all uses: what the passes that change
** types (precision, layout) put at their borders. Standing at the definition it is outside every loop that the value
** comes from outside of.
*/
#ifndef ADV_COMPILER_CONVERT_H
#define ADV_COMPILER_CONVERT_H

#include "compiler/pass/pass.h"

typedef struct Convert {
    AdvGraph *g;
    AdvArena *scratch;
    AdvRegionId *region_of;  /* by node, for listed nodes */
    uint32_t n_region_of;
    ADV_VEC(AdvValueId) made[2]; /* by value: its conversion of each of two kinds */
    uint32_t n_made;         /* conversions so far */
} Convert;

void adv_convert_begin(Convert *c, AdvGraph *g, AdvArena *scratch);

/* The conversion of v by op `op` with its single attribute i, remembered as kind 0 or 1. Constants are converted in place: kept
** numbers for dtypes, the same data for layouts. */
AdvValueId adv_convert(Convert *c, AdvValueId v, uint32_t kind, const char *op, int64_t i);

/* A copy of a region's list of nodes, so that it may be walked while nodes are inserted. */
AdvNodeId *adv_convert_list(Convert *c, AdvRegionId r, uint32_t *out_n);

#endif
