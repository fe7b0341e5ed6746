/* sched.h: what must go before what in a region: shared by the passes that choose an order (schedule.c, gather.c) or need
** one (remat.c).
**
** Data flow leaves the order open but for one thing:
**   homes      a node that may work in place ends a version of what it updates: everything that reads that version goes
**              before it, unless it needs the node's result (then memplan copies). So most updates need no copy.
*/
#ifndef ADV_COMPILER_SCHED_H
#define ADV_COMPILER_SCHED_H

#include "compiler/pass/pass.h"

typedef struct SchedEdge {
    uint32_t to, next;
} SchedEdge;

typedef struct SchedItem {
    AdvNodeId node;
    uint32_t n_before;             /* nodes that have to go first and have not gone */
    uint32_t before, after;        /* lists of edges: who goes first, who waits */
    bool is_done, is_end;          /* is_end: a write */
} SchedItem;

/* The nodes of a region as items, in the order in which they are listed. */
typedef struct Sched {
    AdvGraph *g;
    AdvArena *mem;
    AdvRegionId region;
    SchedItem *items;
    uint32_t n;
    ADV_VEC(SchedEdge) edges; /* edge 0 ends lists */
    uint32_t *item_of;        /* by node: index + 1 in this region */
    uint32_t *root;           /* by value: whose bytes it is */
    uint32_t *left;           /* by root: uses to come, one a reading node; outer and escaping values never reach 0 */
    uint32_t *stamp, now;     /* by item: visited marks */
    ADV_VEC(AdvValueId) uses; /* scratch of one node */
    ADV_VEC(uint32_t) ready;  /* items that may be eager */
    bool has_back_edge;       /* an edge against the listed order was added */
    AdvNodeId *order;
    uint32_t n_order;
} Sched;

/* Fills *s for region r with memory of `mem`. `root`: by value, filled for the regions around r. */
void sched_open(Sched *s, AdvGraph *g, AdvArena *mem, AdvRegionId r, uint32_t *root);

/* Roots that node `id` reads, also inside its body, each once: s->uses. */
void sched_uses(Sched *s, AdvNodeId id);

/* The item that makes value v, plus 1; 0: it is not made in this region. */
uint32_t sched_item_of(const Sched *s, uint32_t v);

/* Bytes that values of the region take of the block, by value: none where they are at home (states, constants, what is written or
** carried), nor where they are only another view. */
void sched_note_bytes(const Sched *s, uint64_t *bytes);

/* Is input k of the node one that output `out` may be written over? */
bool sched_may_take(const AdvGraph *g, AdvNodeId id, uint32_t out, uint32_t k);

#endif
