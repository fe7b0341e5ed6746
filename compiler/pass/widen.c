/* widen.c: a graph of floats becomes one of doubles, for target ref64: finite differences and parity in double run there.
**
** needs:  no grad nodes     keeps: structure, integers, locations     breaks: dtypes
** Numbers of the recipe keep the digits that f32 dropped (AdvConst.wide). Draws are made in f32 by their op and widened there.
** See tests/ir/widen_*.advg.
*/
#include "compiler/pass/pass_list.h"

#include "ops/view.h"

#include <string.h>

static void widen_type(AdvTensorType *t)
{
    if (t->dtype == ADV_F32) t->dtype = ADV_F64;
}

static void widen_const(AdvGraph *g, AdvNode *n)
{
    const AdvTensorType *t = &g->values.at[n->out_at].type; /* widened already */
    AdvView from;
    uint64_t count;
    double *to;
    if (t->dtype != ADV_F64) return;
    count = (uint64_t)adv_type_elems(t);
    to = ADV_NEW_ARRAY(g->arena, double, count);
    from = adv_view_of(t, (void *)(uintptr_t)n->data.data);
    from.dtype = ADV_F32;
    for (uint64_t i = 0; i < count; i++) to[i] = n->data.wide ? n->data.wide[i] : adv_ld(&from, (int64_t)i);
    n->data.data = to;
    n->data.n_bytes = count * sizeof *to;
    n->data.wide = NULL;
}

bool adv_pass_widen(AdvPassCtx *p, AdvGraph *g)
{
    if (!p->target || p->target->float_dtype != ADV_F64 || g->float_dtype == ADV_F64) return false;
    for (uint32_t i = 1; i < g->states.n; i++) widen_type(&g->states.at[i].type);
    for (uint32_t i = 1; i < g->values.n; i++) widen_type(&g->values.at[i].type);
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        AdvNodeId id = {i};
        AdvNode *n = &g->nodes.at[i];
        if (adv_node_is(g, id, "const")) widen_const(g, n);
        /* choices of cast: f32|f64|... */
        if (adv_node_is(g, id, "cast") && g->attrs.at[n->attr_at].i == 0) g->attrs.at[n->attr_at].i = 1;
    }
    g->float_dtype = ADV_F64;
    return true;
}
