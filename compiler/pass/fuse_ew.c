/* fuse_ew.c: chains of elementwise nodes become one fused_ew: a program over rows (ops/ew.h says how it is written).
**
** From the last node of a region to the first: a node that is not merged yet begins a group; a producer joins if it is a row
** too, makes the group's shape in the group's dtype, stands in the same region and is used by the group alone. A cheap
** producer of one tensor (a mask such as gt(x, 0)) joins as a duplicate also where others use it: x is read instead of it, and
** when all its users took it in it is never written at all.
** The group runs where its last node stands: its inputs are defined before that, since they were before its members.
** Numbers become constants of the program; operands of smaller shapes are broadcast by the op.
*/
#include "compiler/pass/fuse.h"

#include "ops/ew.h"
#include "ops/shape.h"
#include "ops/view.h"

#include <assert.h>
#include <string.h>

#define MAX_INPUTS 12
#define MAX_STEPS  32
#define MAX_CONSTS 16

typedef struct Group {
    AdvNodeId node[MAX_STEPS]; /* [0] is the last node */
    bool is_copy[MAX_STEPS];   /* a duplicate: the node itself stays for others */
    uint32_t n;
    AdvValueId input[MAX_INPUTS];
    uint32_t n_inputs;
    double number[MAX_CONSTS];
    uint32_t n_numbers;
    const AdvOpDef *step[MAX_STEPS];
    int64_t arg[MAX_STEPS * 3];
    uint32_t n_args;
} Group;

/* Is it a row with all operands of the result's float type? */
static bool is_row(const Fuse *f, AdvNodeId id)
{
    const AdvNode *n = adv_node(f->g, id);
    uint8_t dtype;
    if (!n->op->row) return false;
    dtype = adv_value_type(f->g, adv_node_out(f->g, id, 0))->dtype;
    if (!adv_dtype_is_float(dtype)) return false;
    for (uint32_t k = 0; k < n->n_in; k++)
        if (adv_value_type(f->g, adv_node_in(f->g, id, k))->dtype != dtype) return false;
    return true;
}

static bool in_group(const Group *gr, AdvNodeId id)
{
    for (uint32_t i = 0; i < gr->n; i++)
        if (gr->node[i].i == id.i) return true;
    return false;
}

/* Collects the inputs and numbers of the group; false if there are too many. */
static bool gather_operands(Fuse *f, Group *gr)
{
    gr->n_inputs = gr->n_numbers = 0;
    for (uint32_t i = 0; i < gr->n; i++) {
        for (uint32_t k = 0; k < adv_node(f->g, gr->node[i])->n_in; k++) {
            AdvValueId v = adv_node_in(f->g, gr->node[i], k);
            AdvNodeId def = adv_value(f->g, v)->def;
            uint32_t at = 0;
            double x;
            if (def.i && in_group(gr, def)) continue;
            if (adv_value_type(f->g, v)->rank == 0 && adv_value_number(f->g, v, &x)) {
                while (at < gr->n_numbers && memcmp(&gr->number[at], &x, sizeof x) != 0) at++;
                if (at == MAX_CONSTS) return false;
                gr->number[at] = x;
                if (at == gr->n_numbers) gr->n_numbers++;
            } else {
                while (at < gr->n_inputs && gr->input[at].i != v.i) at++;
                if (at == MAX_INPUTS) return false;
                gr->input[at] = v;
                if (at == gr->n_inputs) gr->n_inputs++;
            }
        }
    }
    return true;
}

/* Uses by members that are merged away. */
static uint32_t uses_in_group(const Fuse *f, const Group *gr, AdvValueId v)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < gr->n; i++)
        for (uint32_t k = 0; !gr->is_copy[i] && k < adv_node(f->g, gr->node[i])->n_in; k++) n += adv_node_in(f->g, gr->node[i], k).i == v.i;
    return n;
}

/* Is it as good to read its one tensor and compute it again as to read its result? The tensor has to be there for others anyway, and
** all users must be able to do so, so that the result need not be there. */
static bool is_cheap(const Fuse *f, AdvNodeId id)
{
    const AdvNode *n = adv_node(f->g, id);
    const AdvTensorType *t = adv_value_type(f->g, adv_node_out(f->g, id, 0));
    const AdvRegion *reg = adv_region(f->g, f->region_of[id.i]);
    AdvValueId tensor = {0};
    uint32_t n_tensors = 0, n_rows = 0;
    double x;
    if (n->op->precision != ADV_PREC_FOLLOW) return false; /* exp and its like take time */
    for (uint32_t k = 0; k < n->n_in; k++) {
        if (adv_value_number(f->g, adv_node_in(f->g, id, k), &x)) continue;
        tensor = adv_node_in(f->g, id, k);
        n_tensors++;
    }
    if (n_tensors != 1 || tensor.i >= f->n_values || f->n_uses[tensor.i] < 2) return false;
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId user = reg->nodes.at[i];
        for (uint32_t k = 0; k < adv_node(f->g, user)->n_in; k++)
            if (adv_node_in(f->g, user, k).i == n->out_at && is_row(f, user) &&
                adv_shape_eq(adv_value_type(f->g, adv_node_out(f->g, user, 0)), t))
                n_rows++;
    }
    return n_rows == f->n_uses[n->out_at];
}

/* Lets the producer of v into the group. NULL: it has joined; else why it may not; "": it is nothing that could. */
static const char *try_join(Fuse *f, Group *gr, AdvValueId v, const uint8_t *taken, bool copies)
{
    AdvNodeId def = adv_value(f->g, v)->def;
    bool is_copy;
    const AdvTensorType *want = adv_value_type(f->g, adv_node_out(f->g, gr->node[0], 0)), *t = adv_value_type(f->g, v);
    if (!def.i || def.i >= f->n_nodes || in_group(gr, def) || !is_row(f, def)) return "";
    if (taken[def.i]) return "it is merged already";
    is_copy = v.i < f->n_values && f->n_uses[v.i] != uses_in_group(f, gr, v);
    if (f->region_of[def.i].i != f->region_of[gr->node[0].i].i) return "they stand in different regions";
    if (t->dtype != want->dtype || !adv_shape_eq(t, want) || t->layout != want->layout) return "their shapes differ";
    if (v.i >= f->n_values || (is_copy && !(copies && is_cheap(f, def)))) return "its result is used elsewhere too";
    if (gr->n == MAX_STEPS) return "the group is full";
    gr->is_copy[gr->n] = is_copy;
    gr->node[gr->n++] = def;
    if (gather_operands(f, gr)) return NULL;
    gr->n--;
    (void)gather_operands(f, gr);
    return "the group would read too many values";
}

/* Lets producers in until none can; `copies`: also as duplicates. */
static void grow(Fuse *f, Group *gr, const uint8_t *taken, bool copies)
{
    bool more = true;
    while (more) {
        more = false;
        for (uint32_t i = 0; i < gr->n; i++)
            for (uint32_t k = 0; k < adv_node(f->g, gr->node[i])->n_in; k++)
                more = !try_join(f, gr, adv_node_in(f->g, gr->node[i], k), taken, copies) || more;
    }
}

static void explain(Fuse *f, Group *gr, const uint8_t *taken)
{
    Group copy = *gr;
    for (uint32_t i = 0; i < gr->n; i++) {
        for (uint32_t k = 0; k < adv_node(f->g, gr->node[i])->n_in; k++) {
            AdvValueId v = adv_node_in(f->g, gr->node[i], k);
            const char *why = try_join(f, &copy, v, taken, true);
            if (why && *why) fuse_why(f, adv_value(f->g, v)->def, gr->node[i], why);
        }
    }
}

/* Members in source order: producers before users. */
static void sort_members(Fuse *f, Group *gr, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(f->g, r);
    AdvNodeId sorted[MAX_STEPS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < reg->nodes.n && n < gr->n; i++)
        if (in_group(gr, reg->nodes.at[i])) sorted[n++] = reg->nodes.at[i];
    assert(n == gr->n);
    memcpy(gr->node, sorted, n * sizeof *sorted);
}

static int64_t operand_ix(const Fuse *f, const Group *gr, AdvValueId v)
{
    AdvNodeId def = adv_value(f->g, v)->def;
    double x;
    for (uint32_t i = 0; i < gr->n; i++)
        if (gr->node[i].i == def.i) return gr->n_inputs + gr->n_numbers + i;
    for (uint32_t i = 0; i < gr->n_inputs; i++)
        if (gr->input[i].i == v.i) return i;
    (void)adv_value_number(f->g, v, &x);
    for (uint32_t i = 0; i < gr->n_numbers; i++)
        if (memcmp(&gr->number[i], &x, sizeof x) == 0) return gr->n_inputs + i;
    assert(!"an operand that was gathered");
    return 0;
}

static void build(Fuse *f, Group *gr, AdvRegionId r, AdvNodeId last)
{
    AdvGraph *g = f->g;
    AdvValueId old = adv_node_out(g, last, 0), v;
    AdvAttr attrs[ADV_EW_N_ATTRS] = {{0}};
    AdvLocId loc = adv_node(g, last)->loc;
    AdvGraphBuild b;
    sort_members(f, gr, r);
    gr->n_args = 0;
    for (uint32_t i = 0; i < gr->n; i++) {
        const AdvNode *n = adv_node(g, gr->node[i]);
        gr->step[i] = n->op;
        for (uint32_t k = 0; k < n->n_in; k++) gr->arg[gr->n_args++] = operand_ix(f, gr, adv_node_in(g, gr->node[i], k));
    }
    for (uint32_t i = gr->n; i-- > 0;) loc = adv_loc_join(g, loc, adv_node(g, gr->node[i])->loc);
    adv_build_init(&b, g, r, loc);
    b.before = last;
    attrs[ADV_EW_ATTR_ARGS] = adv_attr_ints(gr->arg, gr->n_args);
    attrs[ADV_EW_ATTR_CONSTS].floats = gr->number;
    attrs[ADV_EW_ATTR_CONSTS].n = gr->n_numbers;
    attrs[ADV_EW_ATTR_STEPS].ops = gr->step;
    attrs[ADV_EW_ATTR_STEPS].n = gr->n;
    v = adv_build_op(&b, "fused_ew", gr->input, gr->n_inputs, attrs);
    assert(v.i && adv_shape_eq(adv_value_type(g, v), adv_value_type(g, old)));
    g->values.at[v.i].type.layout = g->values.at[old.i].type.layout;
    g->values.at[v.i].rate = g->values.at[old.i].rate;
    g->values.at[v.i].name = g->values.at[old.i].name;
    f->map[old.i] = v;
    f->changed = true;
}

/* Does some input carry the shape of the result, or at least give the result's when joined? Without inputs there is no dtype. */
static bool inputs_make_shape(const Fuse *f, const Group *gr)
{
    AdvTensorType joined = {0};
    const AdvTensorType *want = adv_value_type(f->g, adv_node_out(f->g, gr->node[0], 0));
    if (gr->n_inputs == 0) return false;
    joined.rank = want->rank;
    for (uint32_t d = 0; d < want->rank; d++) joined.dim[d] = 1;
    for (uint32_t i = 0; i < gr->n_inputs; i++) {
        const AdvTensorType *t = adv_value_type(f->g, gr->input[i]);
        for (uint32_t d = 0; d < t->rank; d++)
            if (t->dim[d] > joined.dim[d]) joined.dim[d] = t->dim[d];
    }
    return adv_shape_eq(&joined, want) != 0;
}

void fuse_chains(Fuse *f, AdvRegionId r)
{
    AdvArena *scratch = f->p->scratch;
    AdvArenaMark mark = adv_arena_mark(scratch);
    uint32_t n = adv_region(f->g, r)->nodes.n;
    AdvNodeId *nodes = ADV_NEW_ARRAY(scratch, AdvNodeId, n);
    uint8_t *taken = ADV_NEW_ARRAY(scratch, uint8_t, f->n_nodes);
    Group *gr = ADV_NEW(scratch, Group);
    if (n) memcpy(nodes, adv_region(f->g, r)->nodes.at, n * sizeof *nodes);
    for (uint32_t i = n; i-- > 0;) {
        if (nodes[i].i >= f->n_nodes || taken[nodes[i].i] || !is_row(f, nodes[i]) || f->n_uses[adv_node_out(f->g, nodes[i], 0).i] == 0)
            continue;
        gr->n = 1;
        gr->node[0] = nodes[i];
        gr->is_copy[0] = false;
        if (!gather_operands(f, gr)) continue;
        grow(f, gr, taken, false);
        grow(f, gr, taken, true);
        explain(f, gr, taken);
        if (gr->n < 2 || !inputs_make_shape(f, gr)) continue;
        for (uint32_t k = 0; k < gr->n; k++)
            if (!gr->is_copy[k]) taken[gr->node[k].i] = 1;
        build(f, gr, r, nodes[i]);
    }
    adv_arena_release(scratch, mark);
}
