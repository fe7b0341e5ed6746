/* graph.h: the compiler's middle: pure nodes over values, in regions, with states read and written as versions.
**
** Ids are one-field structs over index 0 = none. A region is a list of node ids in execution order; a node's body (loop)
** is a region. Passes append nodes and rebuild lists; nodes and values that are no longer listed are dead and skipped by
** printing, so nothing is ever freed or renumbered. Everything lives in graph->arena, which has a trap (arena.h).
**
** Structural nodes (op flag ADV_OP_STRUCT), all else are ops of the registry:
**   read  {state}            -> the version of a state at the region's start; entries only
**   write {state} v          -> the version at the entry's end; once a state and entry, in the entry's last lines
**   loop  {turns} first...   -> last...; body params: turn number (i64), then the carried values; body results: next ones.
**                               An outer value used in the body is simply used.
**   grad  e, v...            -> one gradient each, of the type of v; exists only until pass autodiff. e is [] or [N]; attr mean=1
**                               divides the seed by N (language: gradient by weights is that of the batch mean)
**   const                    -> a tensor held in the node (rank 0 for numbers)
** States that are weights etc. are in graph->states; every entry shares them.
*/
#ifndef ADV_COMPILER_GRAPH_H
#define ADV_COMPILER_GRAPH_H

#include "ops/registry.h"
#include "runtime/base/intern.h"
#include "runtime/plan.h"

#include <stdio.h>
#include <string.h>

typedef struct AdvNodeId { uint32_t i; } AdvNodeId;
typedef struct AdvValueId { uint32_t i; } AdvValueId;
typedef struct AdvRegionId { uint32_t i; } AdvRegionId;
typedef struct AdvStateId { uint32_t i; } AdvStateId;
typedef struct AdvLocId { uint32_t i; } AdvLocId;

/* Where something comes from; chains end in SOURCE. Interned: equal records are one id. */
typedef struct AdvLoc {
    AdvSpan span;     /* SOURCE, CALL: the place in the text */
    uint8_t why;      /* AdvLocWhy */
    AdvLocId parent;  /* CALL: the caller; GRAD: the forward node's; FUSED: one half */
    AdvLocId also;    /* FUSED: the other half */
} AdvLoc;

typedef struct AdvValue {
    AdvTensorType type;
    AdvNodeId def;       /* the node that makes it; none for a body parameter */
    AdvRegionId param_of; /* body parameter: of which region */
    uint16_t out_ix;     /* which output of `def`, or which parameter */
    uint8_t rate;        /* AdvRate, for explain and dumps */
    AdvStr name;         /* the recipe's name for it, or 0 */
} AdvValue;

/* Data of a const node: dense, in the order and `dtype` of the node's type (row order but for what pass layout makes).
** `wide`: the same elements in double before they were rounded to a float dtype, so that target ref64 computes with 8/255 and not
** with its nearest float; NULL: data is exact. */
typedef struct AdvConst { const void *data; uint64_t n_bytes; const double *wide; } AdvConst;

typedef struct AdvNode {
    const AdvOpDef *op;
    uint32_t in_at, n_in;      /* into graph->edges */
    uint32_t out_at, n_out;    /* first output value id; outputs have consecutive ids */
    uint32_t attr_at, n_attr;  /* into graph->attrs */
    bool with_prev;            /* of a list (pass gather): may run at once with the node before it; neither needs the other */
    AdvRegionId body;          /* loop */
    AdvStateId state;          /* read, write */
    AdvConst data;             /* const */
    AdvLocId loc;
} AdvNode;

typedef struct AdvRegion {
    ADV_VEC(AdvNodeId) nodes;
    ADV_VEC(AdvValueId) params;   /* loop bodies: turn number first */
    ADV_VEC(AdvValueId) results;  /* loop bodies: next values of the carried ones */
    AdvRegionId parent;           /* none for an entry */
    AdvNodeId owner;              /* the loop; none for an entry */
    AdvStr name;                  /* of an entry: "step.main" */
    AdvLocId loc;
} AdvRegion;

typedef struct AdvState {
    AdvStr name;      /* "f.conv1.weight", "run.epoch", "x" */
    AdvTensorType type;
    uint8_t kind;     /* AdvStateKind */
    uint8_t saved;    /* in checkpoints */
    AdvLocId loc;
} AdvState;

typedef struct AdvGraph {
    AdvArena *arena;
    const AdvRegistry *reg;
    AdvInterns *names;
    AdvDiags *diags;
    uint8_t float_dtype;           /* F32; F64 after target ref64 */
    /* at[0] of each is the none record */
    ADV_VEC(AdvNode) nodes;
    ADV_VEC(AdvValue) values;
    ADV_VEC(AdvRegion) regions;
    ADV_VEC(AdvState) states;
    ADV_VEC(AdvLoc) locs;
    ADV_VEC(AdvAttr) attrs;
    uint32_t *loc_slots;           /* interning of locs: open addressing, 0 is free */
    uint32_t n_loc_slots;
    ADV_VEC(AdvValueId) edges;     /* without one */
    ADV_VEC(AdvRegionId) entries;  /* in plan order */
} AdvGraph;

/* An empty graph. All pointers are borrowed and must outlive it; `arena` needs a trap. */
AdvGraph *adv_graph_new(AdvArena *arena, const AdvRegistry *reg, AdvInterns *names, AdvDiags *diags);

/* A deep copy (same arena kind of use; locations and names shared): each target is compiled from its own. */
AdvGraph *adv_graph_copy(AdvArena *arena, const AdvGraph *g);

/* ---- locations ---- */
AdvLocId adv_loc_source(AdvGraph *g, AdvSpan span);
AdvLocId adv_loc_call(AdvGraph *g, AdvSpan span, AdvLocId caller);  /* a place inside a block called from `caller` */
AdvLocId adv_loc_grad(AdvGraph *g, AdvLocId forward);
AdvLocId adv_loc_join(AdvGraph *g, AdvLocId a, AdvLocId b);
AdvSpan adv_loc_span(const AdvGraph *g, AdvLocId loc);  /* the innermost source span of a chain */

/* ---- states and regions ---- */
AdvStateId adv_state_new(AdvGraph *g, AdvStr name, AdvTensorType type, uint8_t kind, bool saved, AdvLocId loc);
AdvStateId adv_state_find(const AdvGraph *g, AdvStr name);
AdvRegionId adv_entry_new(AdvGraph *g, AdvStr name, AdvLocId loc);
AdvRegionId adv_entry_find(const AdvGraph *g, AdvStr name);

/* ---- building: appends to the end of b->region (or before b->before if that is a node of it) ---- */
typedef struct AdvGraphBuild {
    AdvBuild base;         /* what ops' grad and expand get; AdvVal.i is AdvValueId.i */
    AdvGraph *g;
    AdvRegionId region;
    AdvNodeId before;      /* none: at the end */
    AdvLocId loc;          /* given to every node made: never none */
    uint32_t n_failed;     /* nodes that could not be made; each has a diagnostic (code SHAPE_RULE) at loc */
} AdvGraphBuild;
void adv_build_init(AdvGraphBuild *b, AdvGraph *g, AdvRegionId region, AdvLocId loc);

/* Appends an op node. attrs in table order, or NULL for defaults. Returns the first output (others follow), or none. */
AdvValueId adv_build_op(AdvGraphBuild *b, const char *op, const AdvValueId *in, uint32_t n_in, const AdvAttr *attrs);
/* Appends a node like `n`, which is no loop, with other operands of the same types: as many as it has. */
AdvNodeId adv_build_like(AdvGraphBuild *b, AdvNodeId n, const AdvValueId *in);
AdvValueId adv_build_number(AdvGraphBuild *b, double v, uint8_t dtype);
AdvValueId adv_build_const(AdvGraphBuild *b, AdvTensorType type, const void *data, uint64_t n_bytes);
/* A const from doubles, one for each element, rounded to type.dtype and kept as `wide` where that loses something. */
AdvValueId adv_build_const_wide(AdvGraphBuild *b, AdvTensorType type, const double *elems);
AdvValueId adv_build_read(AdvGraphBuild *b, AdvStateId s);     /* one read a state and entry: a second call gives the first's value */
AdvNodeId adv_build_write(AdvGraphBuild *b, AdvStateId s, AdvValueId v);
/* Opens a loop: makes node and body with parameters typed as `first`; then build into the body with a builder of its own
** (adv_build_init on adv_node_body), then close it with the next values. Outputs of the loop are its last values. */
AdvNodeId adv_build_loop(AdvGraphBuild *b, int64_t n_turns, const AdvValueId *first, uint32_t n_first);
void adv_build_yield(AdvGraph *g, AdvNodeId loop, const AdvValueId *next, uint32_t n_next);
/* e: rank 0, or [N] (seed 1 a sample, 1/N with mean). Results: n_of values typed as `of`. */
AdvValueId adv_build_grad(AdvGraphBuild *b, AdvValueId e, const AdvValueId *of, uint32_t n_of, bool mean);

/* ---- reading ---- */
static inline const AdvNode *adv_node(const AdvGraph *g, AdvNodeId n) { return &g->nodes.at[n.i]; }
static inline const AdvValue *adv_value(const AdvGraph *g, AdvValueId v) { return &g->values.at[v.i]; }
static inline const AdvTensorType *adv_value_type(const AdvGraph *g, AdvValueId v) { return &g->values.at[v.i].type; }
static inline AdvValueId adv_node_in(const AdvGraph *g, AdvNodeId n, uint32_t k) { return g->edges.at[g->nodes.at[n.i].in_at + k]; }
static inline AdvValueId adv_node_out(const AdvGraph *g, AdvNodeId n, uint32_t k)
{
    AdvValueId v = {g->nodes.at[n.i].out_at + k};
    return v;
}
static inline const AdvAttr *adv_node_attr(const AdvGraph *g, AdvNodeId n) { return &g->attrs.at[g->nodes.at[n.i].attr_at]; }
static inline AdvRegion *adv_region(const AdvGraph *g, AdvRegionId r) { return &g->regions.at[r.i]; }
static inline bool adv_node_is(const AdvGraph *g, AdvNodeId n, const char *op)
{
    const char *name = n.i ? g->nodes.at[n.i].op->name : "";
    return name[0] == op[0] && strcmp(name, op) == 0; /* asked so often that the call counts */
}
/* Empties a region's list, for a pass that makes it anew; what was in it stays readable, as lists lie in the arena. */
typedef struct AdvNodeList { const AdvNodeId *at; uint32_t n; } AdvNodeList;
static inline AdvNodeList adv_region_take(AdvGraph *g, AdvRegionId r)
{
    AdvRegion *reg = &g->regions.at[r.i];
    AdvNodeList old = {reg->nodes.at, reg->nodes.n};
    reg->nodes.at = NULL;
    reg->nodes.n = reg->nodes.cap = 0;
    return old;
}
/* Does node `n` have op flag ADV_OP_STRUCT? */
static inline bool adv_node_is_struct(const AdvGraph *g, AdvNodeId n) { return (g->nodes.at[n.i].op->flags & ADV_OP_STRUCT) != 0; }
/* Does a plan have an instruction for it? Views, constants, reads and writes are only places. */
static inline bool adv_node_is_inst(const AdvGraph *g, AdvNodeId n)
{
    return !(g->nodes.at[n.i].op->flags & ADV_OP_VIEW) && !adv_node_is(g, n, "read") && !adv_node_is(g, n, "write") &&
           !adv_node_is(g, n, "const");
}
/* Is it a rank-0 (or one-value) const? *out gets the number. */
bool adv_value_number(const AdvGraph *g, AdvValueId v, double *out);
int64_t adv_loop_turns(const AdvGraph *g, AdvNodeId loop);

/* Replaces uses: in every listed node and every region's results, value map[v] (if not none) for v. n_map = values.n. */
void adv_graph_replace(AdvGraph *g, const AdvValueId *map, uint32_t n_map);

/* Calls fn for every listed node, entries in order, bodies after their loop node; stop early by returning false. */
void adv_graph_each(AdvGraph *g, bool (*fn)(void *user, AdvRegionId region, AdvNodeId node), void *user);

/* ---- text (text.c, read.c): what prints reads back to the same text ---- */
void adv_graph_print(const AdvGraph *g, bool with_locs, AdvWriteFn *write, void *user);
/* Reads text of source `file` of diags->sources into a new graph; NULL after errors (diagnostics with spans). */
AdvGraph *adv_graph_read(AdvArena *arena, const AdvRegistry *reg, AdvInterns *names, AdvDiags *diags, uint32_t file);

/* ---- verifier ---- */
/* Definitions before uses, bodies closed under their parameters and outer values, one write a state and entry and of its
** type and at the end, types against `infer`, a location everywhere, no grad if `no_grad`. A broken graph is our fault:
** each finding is a diagnostic ADV9001 and the result ADV_EINTERNAL. */
AdvStatus adv_graph_verify(AdvGraph *g, bool no_grad) ADV_MUST_USE;

#endif
