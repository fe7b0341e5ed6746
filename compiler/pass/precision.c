/* precision.c: casts around what computes in the target's low float type.
**
** needs:  no grad nodes     keeps: shapes, states, carried values     breaks: dtypes of what lies between
** Ops say how they live with 16 bits (adv_op.h): LOW ops take the low type, F32 ops never less than f32, FOLLOW ops stay low if all
** tensors they read are (a number for each channel, [1,C,1,1], does not count: it is cast), STATS ops likewise but for their vectors.
** So the image stays low from one convolution to the next, biases, masks and normalisations between them included. States, carried
** values and what is written are f32 always. A version of a weight is cast once, where it is defined, so cse and hoist have nothing
** left to do but share it with other entries' loops.
** See tests/ir/precision_*.advg.
*/
#include "compiler/pass/convert.h"
#include "compiler/pass/pass_list.h"

#include "ops/view.h"

#include <assert.h>
#include <string.h>

enum { TO_FULL = 0, TO_LOW = 1 };

typedef struct Prec {
    AdvGraph *g;
    Convert c;
    AdvArena *scratch;
    uint8_t low;
    int64_t low_choice, full_choice; /* of op cast */
} Prec;

static AdvValueId in_type(Prec *p, AdvValueId v, uint8_t dtype)
{
    const AdvTensorType *t = adv_value_type(p->g, v);
    if (t->dtype == dtype || (t->dtype != ADV_F32 && t->dtype != p->low)) return v;
    if (dtype == p->low) return adv_convert(&p->c, v, TO_LOW, "cast", p->low_choice);
    return adv_convert(&p->c, v, TO_FULL, "cast", p->full_choice);
}

/* The float type in which an op that computes in `dtype` reads input k. */
static uint8_t dtype_at(const Prec *p, AdvNodeId id, uint32_t k, uint8_t dtype)
{
    bool is_vector = adv_value_type(p->g, adv_node_in(p->g, id, k))->rank <= 1;
    return adv_node(p->g, id)->op->precision == ADV_PREC_STATS && is_vector ? (uint8_t)ADV_F32 : dtype;
}

/* Sets all float inputs to `dtype` and the outputs to what the op makes of that. False, with nothing changed, if it refuses. */
static bool retype(Prec *p, AdvNodeId id, uint8_t dtype)
{
    AdvGraph *g = p->g;
    uint32_t n_in = adv_node(g, id)->n_in, n_out = 0;
    AdvTensorType *in = ADV_NEW_ARRAY(p->scratch, AdvTensorType, n_in),
                  *out = ADV_NEW_ARRAY(p->scratch, AdvTensorType, n_in + ADV_MAX_FIXED);
    char msg[512];
    for (uint32_t k = 0; k < n_in; k++) {
        in[k] = *adv_value_type(g, adv_node_in(g, id, k));
        if (in[k].dtype == ADV_F32 || in[k].dtype == p->low) in[k].dtype = dtype_at(p, id, k, dtype);
    }
    if (adv_op_infer(adv_node(g, id)->op, in, n_in, adv_node_attr(g, id), g->float_dtype, out, &n_out, msg, sizeof msg) != ADV_OK)
        return false;
    for (uint32_t k = 0; k < n_in; k++) {
        AdvValueId v = in_type(p, adv_node_in(g, id, k), dtype_at(p, id, k, dtype));
        g->edges.at[adv_node(g, id)->in_at + k] = v;
    }
    for (uint32_t k = 0; k < n_out; k++) g->values.at[adv_node(g, id)->out_at + k].type.dtype = out[k].dtype;
    return true;
}

/* Is it one number for each channel of the images that an elementwise op makes? */
static bool is_by_channel(const Prec *p, AdvNodeId id, const AdvTensorType *t)
{
    const AdvNode *n = adv_node(p->g, id);
    return (n->op->flags & ADV_OP_ELEMENTWISE) && t->rank == 4 && t->dim[0] == 1 && t->dim[2] == 1 && t->dim[3] == 1 &&
           adv_type_elems(adv_value_type(p->g, adv_node_out(p->g, id, 0))) > adv_type_elems(t);
}

/* Are all tensors it reads low already? */
static bool follows_low(const Prec *p, AdvNodeId id)
{
    const AdvNode *n = adv_node(p->g, id);
    bool any = false;
    for (uint32_t k = 0; k < n->n_in; k++) {
        const AdvTensorType *t = adv_value_type(p->g, adv_node_in(p->g, id, k));
        bool is_vector = n->op->precision == ADV_PREC_STATS && t->rank == 1;
        if (t->dtype == p->low) any = true;
        if (t->dtype == ADV_F32 && t->rank > 0 && !is_vector && !is_by_channel(p, id, t)) return false;
    }
    return any;
}

static bool reads_float(const Prec *p, AdvNodeId id)
{
    for (uint32_t k = 0; k < adv_node(p->g, id)->n_in; k++) {
        uint8_t dtype = adv_value_type(p->g, adv_node_in(p->g, id, k))->dtype;
        if (dtype == ADV_F32 || dtype == p->low) return true;
    }
    return false;
}

static void do_region(Prec *p, AdvRegionId r);

static void do_node(Prec *p, AdvNodeId id)
{
    AdvGraph *g = p->g;
    const AdvOpDef *op = adv_node(g, id)->op;
    uint32_t n_in = adv_node(g, id)->n_in;
    AdvRegionId body = adv_node(g, id)->body;
    uint8_t want = ADV_F32;
    if (op->flags & ADV_OP_STRUCT) { /* write, loop: what leaves or is carried is f32 */
        for (uint32_t k = 0; k < n_in; k++) {
            AdvValueId v = in_type(p, adv_node_in(g, id, k), ADV_F32);
            g->edges.at[adv_node(g, id)->in_at + k] = v;
        }
        if (!body.i) return;
        do_region(p, body);
        for (uint32_t k = 0; k < adv_region(g, body)->results.n; k++) {
            AdvValueId v = in_type(p, adv_region(g, body)->results.at[k], ADV_F32);
            adv_region(g, body)->results.at[k] = v;
        }
        return;
    }
    if (adv_node_is(g, id, "cast") || !reads_float(p, id)) return;
    if (op->precision == ADV_PREC_LOW || (op->precision >= ADV_PREC_FOLLOW && follows_low(p, id))) want = p->low;
    if (want == p->low && retype(p, id, want)) return;
    bool done = retype(p, id, ADV_F32); /* as it was before this pass, so it cannot be refused */
    assert(done);
    (void)done;
}

static void do_region(Prec *p, AdvRegionId r)
{
    uint32_t n;
    AdvNodeId *nodes = adv_convert_list(&p->c, r, &n);
    for (uint32_t i = 0; i < n; i++) do_node(p, nodes[i]);
}

bool adv_pass_precision(AdvPassCtx *p, AdvGraph *g)
{
    static const uint8_t choices[] = {ADV_F32, ADV_F64, ADV_BF16, ADV_F16}; /* of op cast */
    Prec pr = {.g = g, .scratch = p->scratch};
    if (!p->target || p->target->low_dtype == g->float_dtype || g->float_dtype != ADV_F32) return false;
    pr.low = p->target->low_dtype;
    while (choices[pr.low_choice] != pr.low) pr.low_choice++;
    adv_convert_begin(&pr.c, g, p->scratch);
    for (uint32_t e = 0; e < g->entries.n; e++) do_region(&pr, g->entries.at[e]);
    return pr.c.n_made > 0;
}
