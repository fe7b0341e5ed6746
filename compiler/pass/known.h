/* known.h: the nodes in reach at a place of a graph, to be found by what they compute: for passes that look for equal nodes.
**
** Every node is pure, random draws among them (the key is an operand), so equal means: same op, operands, attributes, state, data.
** Operands of an op that commutes may stand in either order. A pass walks in program order, adds what it meets, and at the end of a
** loop's body cuts the table to what was in it before.
*/
#ifndef ADV_COMPILER_KNOWN_H
#define ADV_COMPILER_KNOWN_H

#include "compiler/graph/graph.h"

typedef struct AdvKnownNode { uint64_t hash; AdvNodeId node; uint32_t next; } AdvKnownNode; /* next: index + 1 in the bucket */

typedef struct AdvKnown {
    const AdvGraph *g;
    AdvArena *mem;
    ADV_VEC(AdvKnownNode) nodes; /* in the order in which they were added */
    uint32_t *bucket;            /* index + 1 of the newest, 0 is empty */
    uint32_t mask;
} AdvKnown;

/* An empty table in `mem`, which needs a trap. Nodes of `g` may be added to the graph later. */
void adv_known_begin(AdvKnown *k, const AdvGraph *g, AdvArena *mem);

/* The node of the table that computes what `n` would compute from the operands `in` (as many as it has); none: there is none. */
AdvNodeId adv_known_find(const AdvKnown *k, AdvNodeId n, const AdvValueId *in);

/* The node of the table that is equal to `n`; if there is none, `n`, which is added. */
AdvNodeId adv_known_add(AdvKnown *k, AdvNodeId n);

/* Takes the newest nodes out until `n_nodes` are left. */
void adv_known_cut(AdvKnown *k, uint32_t n_nodes);

#endif
