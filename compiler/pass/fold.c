/* fold.c: a scale for each channel behind a convolution becomes a scale of its weights, which are smaller and, in a loop,
** constant: so a batch norm in eval mode costs an addition.
**
**   mul(conv2d(x, w), s) with s [1,C,1,1]  ->  conv2d(x, mul(w, reshape(s, [C,1,1,1])))
**
** Before autodiff: the scaled weight is an ordinary node, so gradients by x, w and s are exact. Only where the convolution
** has no other use (a gradient by its result counts) and stands in the same region. The product rounds elsewhere than
** before: at the weights.
*/
#include "compiler/pass/pass_list.h"

#include <string.h>

typedef struct Fold {
    AdvPassCtx *p;
    AdvGraph *g;
    uint32_t *uses;        /* by value */
    AdvRegionId *home;     /* by node */
    AdvValueId *map;
    uint32_t n_map;
    bool changed;
} Fold;

static bool count(void *user, AdvRegionId r, AdvNodeId n)
{
    Fold *f = user;
    f->home[n.i] = r;
    for (uint32_t k = 0; k < adv_node(f->g, n)->n_in; k++) f->uses[adv_node_in(f->g, n, k).i]++;
    AdvRegionId body = adv_node(f->g, n)->body;
    for (uint32_t k = 0; body.i && k < adv_region(f->g, body)->results.n; k++) f->uses[adv_region(f->g, body)->results.at[k].i]++;
    return true;
}

/* Is operand k of mul `n` a convolution that may be scaled, and the other one the scale? */
static bool matches(const Fold *f, AdvRegionId r, AdvNodeId n, uint32_t k)
{
    const AdvGraph *g = f->g;
    AdvValueId y = adv_node_in(g, n, k), s = adv_node_in(g, n, 1 - k);
    if (y.i >= f->n_map) return false; /* made by this pass: for its next run */
    AdvNodeId conv = adv_value(g, y)->def;
    const AdvTensorType *t = adv_value_type(g, s), *ty = adv_value_type(g, y);
    if (!conv.i || !adv_node_is(g, conv, "conv2d") || f->uses[y.i] != 1 || f->home[conv.i].i != r.i) return false;
    return t->rank == 4 && t->dim[0] == 1 && t->dim[1] == ty->dim[1] && t->dim[2] == 1 && t->dim[3] == 1 && t->dtype == ty->dtype;
}

static AdvValueId scaled_conv(Fold *f, AdvRegionId r, AdvNodeId n, uint32_t k)
{
    AdvGraph *g = f->g;
    AdvNodeId conv = adv_value(g, adv_node_in(g, n, k))->def;
    AdvValueId s = adv_node_in(g, n, 1 - k), in[2] = {adv_node_in(g, conv, 0), adv_node_in(g, conv, 1)};
    int64_t dims[4] = {adv_value_type(g, s)->dim[1], 1, 1, 1};
    AdvAttr as_weight = adv_attr_ints(dims, 4), attrs[ADV_MAX_ATTRS];
    memcpy(attrs, adv_node_attr(g, conv), adv_node(g, conv)->n_attr * sizeof *attrs);
    AdvGraphBuild b;
    adv_build_init(&b, g, r, adv_loc_join(g, adv_node(g, conv)->loc, adv_node(g, n)->loc));
    AdvValueId scale[2] = {in[1], adv_build_op(&b, "reshape", &s, 1, &as_weight)};
    in[1] = adv_build_op(&b, "mul", scale, 2, NULL);
    return adv_build_op(&b, "conv2d", in, 2, attrs);
}

static void fold_region(Fold *f, AdvRegionId r)
{
    AdvGraph *g = f->g;
    AdvNodeList old = adv_region_take(g, r);
    for (uint32_t i = 0; i < old.n; i++) {
        AdvNodeId n = old.at[i];
        AdvValueId y = {0};
        for (uint32_t k = 0; k < adv_node(g, n)->n_in; k++) {
            AdvValueId *in = &g->edges.at[adv_node(g, n)->in_at + k];
            if (f->map[in->i].i) *in = f->map[in->i];
        }
        for (uint32_t k = 0; k < 2 && !y.i && adv_node_is(g, n, "mul"); k++)
            if (matches(f, r, n, k)) y = scaled_conv(f, r, n, k);
        if (!y.i) {
            *ADV_PUSH(g->arena, &adv_region(g, r)->nodes) = n;
            if (adv_node(g, n)->body.i) fold_region(f, adv_node(g, n)->body);
            continue;
        }
        f->map[adv_node_out(g, n, 0).i] = y;
        f->changed = true;
    }
    AdvRegion *reg = adv_region(g, r);
    for (uint32_t k = 0; k < reg->results.n; k++)
        if (reg->results.at[k].i < f->n_map && f->map[reg->results.at[k].i].i) reg->results.at[k] = f->map[reg->results.at[k].i];
}

/* fold: needs: nothing.   keeps: types; the convolution that was replaced is left to dce.   breaks: the last bit. */
bool adv_pass_fold(AdvPassCtx *p, AdvGraph *g)
{
    Fold f = {.p = p, .g = g, .n_map = g->values.n};
    f.uses = ADV_NEW_ARRAY(p->scratch, uint32_t, g->values.n);
    f.home = ADV_NEW_ARRAY(p->scratch, AdvRegionId, g->nodes.n);
    f.map = ADV_NEW_ARRAY(p->scratch, AdvValueId, g->values.n);
    adv_graph_each(g, count, &f);
    for (uint32_t i = 0; i < g->entries.n; i++) fold_region(&f, g->entries.at[i]);
    return f.changed;
}
