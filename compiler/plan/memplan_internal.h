/* memplan_internal.h: what the parts of the memory planner share: memplan.c (copies, storages, homes), memplan_live.c (when each
** value lives), memplan_place.c (offsets). */
#ifndef ADV_COMPILER_MEMPLAN_INTERNAL_H
#define ADV_COMPILER_MEMPLAN_INTERNAL_H

#include "compiler/plan/memplan.h"

#define MEM_END 0xffffffffu   /* position behind everything: the entry's end */

/* A value as the planner sees it. Views have no life of their own: their root's counts. */
typedef struct MemVal {
    uint32_t root;     /* value id whose bytes these are; 0: not of this entry */
    uint32_t content;  /* values of one content hold equal bytes as long as both live: what a copy keeps */
    uint32_t def, end; /* roots: first and last position at which the bytes must be there */
    uint32_t next;     /* next member of the same storage, 0 ends */
    uint32_t storage;  /* roots: index of the storage it is in, itself a value id: the first member */
    AdvNodeId last;    /* roots: who uses it at `end` */
    bool is_shared;    /* so do others, of the same list: nothing may be written over it there */
} MemVal;

/* One piece of memory that several values use one after the other. Indexed by the id of its first member. */
typedef struct MemStorage {
    uint64_t n_bytes;   /* rounded up to ADV_PLAN_ALIGN */
    uint32_t last;      /* member */
    uint8_t pin;        /* ADV_BLOCK_STATE or ADV_BLOCK_CONST: cannot be elsewhere; ADV_BLOCK_TEMP: free */
    AdvStateId state;
    AdvNodeId data;     /* const node */
    uint64_t offset;    /* TEMP: set by mem_place */
} MemStorage;

typedef struct MemLife { uint32_t from, to; } MemLife; /* both ends inclusive */

/* A storage to place: when it is in use, as sorted disjoint lives. */
typedef struct MemItem {
    uint32_t storage;
    uint64_t n_bytes, offset;
    MemLife *lives;
    uint32_t n_lives;
} MemItem;

typedef struct MemCtx {
    AdvPassCtx *p;
    AdvGraph *g;
    AdvArena *scratch;
    MemVal *val;             /* by value id */
    MemStorage *storage;     /* by value id */
    uint32_t n_vals;
    uint32_t n_positions;
    ADV_VEC(uint32_t) roots; /* of the present entry, in order of definition */
} MemCtx;

/* memplan_live.c: numbers the positions of an entry and fills val[] for its values. Positions: 0 is the entry's start (states and
** constants are there); a node takes one, and so does a list of nodes that may run at once; a loop takes one for its first values,
** one for its body's start, those of its body, one for the body's end, one for its last values. */
void mem_live(MemCtx *m, AdvRegionId entry);

/* Do the bytes of roots a and b have to be there at once, so that they cannot share a storage? An output may touch an input
** at its own node where the op's `inplace` says so. */
bool mem_interfere(const MemCtx *m, uint32_t a, uint32_t b);

/* memplan_place.c: sets offset of each item so that items that live at once do not overlap. Returns the bytes needed; *out_bound
** gets the most bytes that live at once. Deterministic. Exported for the tests. */
uint64_t adv_mem_place(AdvArena *scratch, MemItem *items, uint32_t n_items, uint32_t n_positions, uint64_t *out_bound);

#endif
