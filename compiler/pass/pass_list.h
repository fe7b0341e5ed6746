/* pass_list.h: the functions of passes.def, and what several of them ask of a graph. */
#ifndef ADV_COMPILER_PASS_LIST_H
#define ADV_COMPILER_PASS_LIST_H

#include "compiler/pass/pass.h"

#define PASS(name, stage, doc) AdvPassFn adv_pass_##name;
#include "compiler/pass/passes.def"
#undef PASS

/* Runs one pass with everything that goes with it, be it in the list or not. `no_grad`: there are no grad nodes any more. */
AdvStatus adv_run_def(AdvPassCtx *p, AdvGraph **g, const AdvPassDef *d, bool no_grad, const AdvPipeOpts *o) ADV_MUST_USE;

/* Have nodes of one op the same attributes? */
bool adv_same_attrs(const AdvGraph *g, AdvNodeId a, AdvNodeId b);

/* Does an entry, or a body in it, list a node of that op? */
bool adv_graph_has(AdvGraph *g, const char *op);

#endif
