/* convert.c: see convert.h. */
#include "compiler/pass/convert.h"

#include "ops/view.h"

#include <assert.h>
#include <string.h>

static void find_regions(Convert *c, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(c->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        c->region_of[reg->nodes.at[i].i] = r;
        if (adv_node(c->g, reg->nodes.at[i])->body.i) find_regions(c, adv_node(c->g, reg->nodes.at[i])->body);
    }
}

void adv_convert_begin(Convert *c, AdvGraph *g, AdvArena *scratch)
{
    memset(c, 0, sizeof *c);
    c->g = g;
    c->scratch = scratch;
    c->n_region_of = g->nodes.n;
    c->region_of = ADV_NEW_ARRAY(scratch, AdvRegionId, g->nodes.n);
    for (uint32_t e = 0; e < g->entries.n; e++) find_regions(c, g->entries.at[e]);
}

/* A builder that appends right behind the definition of v (a parameter: at the start of its body). */
static void builder_behind(Convert *c, AdvValueId v, AdvGraphBuild *b)
{
    AdvGraph *g = c->g;
    const AdvValue *val = adv_value(g, v);
    AdvRegionId r = val->def.i ? c->region_of[val->def.i] : val->param_of;
    const AdvRegion *reg = adv_region(g, r);
    uint32_t at = 0;
    assert(val->def.i < c->n_region_of && r.i);
    adv_build_init(b, g, r, val->def.i ? adv_node(g, val->def)->loc : reg->loc);
    if (val->def.i) {
        while (reg->nodes.at[at].i != val->def.i) at++;
        at++;
    }
    /* reads stay first */
    while (at < reg->nodes.n && adv_node_is(g, reg->nodes.at[at], "read")) at++;
    if (at < reg->nodes.n) b->before = reg->nodes.at[at];
}

AdvNodeId *adv_convert_list(Convert *c, AdvRegionId r, uint32_t *out_n)
{
    const AdvRegion *reg = adv_region(c->g, r);
    AdvNodeId *list = ADV_NEW_ARRAY(c->scratch, AdvNodeId, reg->nodes.n);
    if (reg->nodes.n) memcpy(list, reg->nodes.at, reg->nodes.n * sizeof *list);
    *out_n = reg->nodes.n;
    return list;
}

static AdvValueId convert_const(Convert *c, AdvGraphBuild *b, AdvValueId v, const char *op, int64_t i)
{
    AdvGraph *g = c->g;
    AdvNodeId def = adv_value(g, v)->def;
    AdvConst data = adv_node(g, def)->data;
    AdvTensorType type = *adv_value_type(g, v);
    AdvValueId r;
    double x;
    if (strcmp(op, "relayout") == 0) {
        void *bytes = adv_arena_new(c->scratch, data.n_bytes);
        AdvView from = adv_view_of(&type, (void *)(uintptr_t)data.data), to;
        type.layout = (uint8_t)i;
        to = adv_view_of(&type, bytes);
        adv_view_copy(&to, &from);
        r = adv_build_const(b, type, bytes, data.n_bytes);
        g->values.at[r.i].type.layout = (uint8_t)i;
        return r;
    }
    if (type.rank == 0 && adv_value_number(g, v, &x)) {
        AdvAttr attr = adv_attr_i(i);
        AdvValueId cast = adv_build_op(b, "cast", &v, 1, &attr); /* for its type only */
        uint8_t dtype = adv_value_type(g, cast)->dtype;
        return adv_build_number(b, x, dtype);
    }
    AdvValueId none = {0};
    return none;
}

AdvValueId adv_convert(Convert *c, AdvValueId v, uint32_t kind, const char *op, int64_t i)
{
    AdvGraph *g = c->g;
    AdvAttr attr = adv_attr_i(i);
    AdvGraphBuild b;
    AdvValueId r = {0};
    while (c->made[kind].n <= v.i) (void)ADV_PUSH(c->scratch, &c->made[kind]);
    if (c->made[kind].at[v.i].i) return c->made[kind].at[v.i];
    builder_behind(c, v, &b);
    if (adv_value(g, v)->def.i && adv_node_is(g, adv_value(g, v)->def, "const")) r = convert_const(c, &b, v, op, i);
    if (!r.i) r = adv_build_op(&b, op, &v, 1, &attr);
    assert(r.i);
    c->made[kind].at[v.i] = r;
    c->n_made++;
    return r;
}
