/* graph_exec.h: runs entries of a graph directly, node after node, by the definitions of the ops (adv_op_run_ref). For tests
** of passes: no scheduling, no memory planning, every value in a buffer of its own, loops turn by turn.
**
**   GraphExec *x = graph_exec_new(g);
**   graph_exec_set(x, "f.weight", values);        // doubles, one an element, in row order
**   CHECK(graph_exec_run(x, "step") == ADV_OK);
**   graph_exec_get(x, "f.weight", values);
**   graph_exec_free(x);
**
** Works before autodiff only where no grad node is met. Not thread-safe. An unknown name ends the program: a test's mistake.
*/
#ifndef ADV_TESTS_GRAPH_EXEC_H
#define ADV_TESTS_GRAPH_EXEC_H

#include "compiler/graph/graph.h"

typedef struct GraphExec GraphExec;

/* All states are 0. The graph is borrowed. */
GraphExec *graph_exec_new(const AdvGraph *g);
void graph_exec_free(GraphExec *x);

/* Number of elements of a state. */
int64_t graph_exec_elems(const GraphExec *x, const char *state);
void graph_exec_set(GraphExec *x, const char *state, const double *values);
void graph_exec_get(const GraphExec *x, const char *state, double *values);
/* The bytes of a state, for comparisons bit by bit; *out_n of them. */
const void *graph_exec_bytes(const GraphExec *x, const char *state, size_t *out_n);

/* Runs an entry; states change at its end. The status of the first definition that fails, with the op's name in
** graph_exec_failed. */
AdvStatus graph_exec_run(GraphExec *x, const char *entry);
const char *graph_exec_failed(const GraphExec *x);

/* Nodes of `op` executed so far, turns counted; op NULL: of all. */
uint64_t graph_exec_count(const GraphExec *x, const char *op);

#endif
