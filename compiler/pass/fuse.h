/* fuse.h: what the rules (fuse.c) and the chains (fuse_ew.c) of pass fuse share. */
#ifndef ADV_COMPILER_FUSE_H
#define ADV_COMPILER_FUSE_H

#include "compiler/pass/pass.h"

typedef struct Fuse {
    AdvPassCtx *p;
    AdvGraph *g;
    uint32_t *n_uses;       /* by value: inputs, results and writes that name it */
    uint32_t n_values;      /* of the table; what is made meanwhile counts as used more than once */
    AdvRegionId *region_of; /* by node */
    uint32_t n_nodes;       /* of that table */
    AdvValueId *map;        /* replacements, by value */
    bool changed;
} Fuse;

/* Counts uses of listed nodes and notes their regions; forgets replacements. */
void fuse_count(Fuse *f);

/* Puts the replacements into effect. */
void fuse_apply(Fuse *f);

/* A line for --why=fuse: what was not merged with what, and why. */
void fuse_why(Fuse *f, AdvNodeId node, AdvNodeId with, const char *reason);

/* fuse_ew.c: chains of elementwise nodes become fused_ew. Call fuse_count before. */
void fuse_chains(Fuse *f, AdvRegionId r);

#endif
