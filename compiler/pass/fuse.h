/* fuse.h: what the rules (fuse.c, fuse_conv.c, fuse_bn.c, fuse_head.c, fuse_step.c) and the chains (fuse_ew.c) of pass fuse share. */
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

/* A line for --why=fuse: what was not merged with what, and why. */
void fuse_why(Fuse *f, AdvNodeId node, AdvNodeId with, const char *reason);

/* ---- for rules ------------------------------------------------------------------------------------------------------- */

AdvValueId fuse_in(const Fuse *f, AdvNodeId n, uint32_t k);

/* The node that makes v if it is an `op`, or none. */
AdvNodeId fuse_made_by(const Fuse *f, AdvValueId v, const char *op);

/* As fuse_made_by, for a value that only `user` uses and that is made in the same region. */
AdvNodeId fuse_only_by(const Fuse *f, AdvNodeId user, AdvValueId v, const char *op);

bool fuse_same_shape(const Fuse *f, AdvValueId a, AdvValueId b);
bool fuse_same_dtype(const Fuse *f, AdvValueId a, AdvValueId b);

/* Is it of a float type of 16 bits? */
bool fuse_has_16_bits(const Fuse *f, AdvValueId v);

/* The gt(y, 0) of node n = select(gt(y, 0), g, 0), or none. */
AdvNodeId fuse_relu_mask(const Fuse *f, AdvNodeId n);

/* Is v [1,C,1,1], a number for each channel of y, in y's type? */
bool fuse_is_by_channel(const Fuse *f, AdvValueId v, AdvValueId y);

/* The vector [C] behind a value [1,C], [1,C,1,1] and the like. */
AdvValueId fuse_vector_of(Fuse *f, AdvGraphBuild *b, AdvValueId v);

/* A builder before node n, at the joined location of n and two more (each may be none). */
void fuse_builder(Fuse *f, AdvNodeId n, AdvNodeId a, AdvNodeId b, AdvGraphBuild *out);

/* Could v take the place of `old`, as a value of the same type? (none: no) */
bool fuse_fits(const Fuse *f, AdvValueId old, AdvValueId v);

/* v takes the place of `old`, which it fits: layout, name and rate. */
void fuse_replace_value(Fuse *f, AdvValueId old, AdvValueId v);

/* v takes the place of the node's first output. False, with nothing changed, if it cannot. */
bool fuse_replace(Fuse *f, AdvNodeId n, AdvValueId v);

/* The rules: true if node n was merged with others. */
#define RULE(name, where, pattern) bool rule_##name(Fuse *f, AdvNodeId n);
#include "compiler/pass/fuse_rules.def"
#undef RULE

/* fuse_ew.c: chains of elementwise nodes become fused_ew. After uses were counted. */
void fuse_chains(Fuse *f, AdvRegionId r);

#endif
