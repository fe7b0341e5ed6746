/* show.h: a graph as pictures and as data for other programs: DOT for Graphviz, JSON. Text that reads back is text.c's. */
#ifndef ADV_COMPILER_GRAPH_SHOW_H
#define ADV_COMPILER_GRAPH_SHOW_H

#include "compiler/graph/graph.h"

/* One digraph: a cluster an entry, in it one for each loop; states are boxes, one for what an entry reads and one for what it writes.
** `only`: this entry alone, or NULL. */
void adv_graph_dot(const AdvGraph *g, const char *only, AdvWriteFn *write, void *user);

/* {"states":[{"name","type","kind","saved"}],"entries":[{"name","nodes":[NODE...]}]} with
** NODE {"op","in":["%3"],"out":[{"id":"%4","type":"f32[2,3]","rate":"sample","name":"z"}],"attrs":{},"state":"f.w","recipe":"a.adv:3"};
** a loop also has "params" (as "out"), "body":[NODE...], "results":["%9"]. ADV_ENOMEM: nothing was written. */
AdvStatus adv_graph_json(const AdvGraph *g, const char *only, AdvWriteFn *write, void *user) ADV_MUST_USE;

#endif
