/* emit.c: planned graphs -> plan bytes.
**
** A walk over the listed nodes of each target in order: read, write, const and views are no instructions, only places; a loop is
** one instruction and its body behind it; all else is one instruction a node. Values, attributes and locations are numbered
** in order of first use, so the bytes depend on nothing but the input. Common sections (strings, sources, ops, states, locs)
** are shared by the targets. The result goes through the runtime's own checker before it is handed out.
*/
#include "compiler/plan/emit.h"

#include "ops/plugin.h"
#include "ops/view.h"
#include "runtime/base/hash.h"
#include "runtime/plan_load.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

typedef ADV_VEC(unsigned char) Bytes;
typedef ADV_VEC(uint32_t) Indices;

/* Byte strings seen before: offset in `bytes` -> found again by content. */
typedef struct Pool {
    Bytes bytes;
    uint32_t *slots;   /* offset + 1 */
    uint32_t *lengths; /* by slot */
    uint32_t n_slots, n_used, align;
} Pool;

typedef struct TargetOut {
    ADV_VEC(AdvPlanAttr) attrs;
    ADV_VEC(int64_t) numbers; /* doubles by their bits */
    ADV_VEC(AdvPlanValue) values;
    ADV_VEC(AdvPlanInst) insts;
    ADV_VEC(AdvPlanEntry) entries;
    Indices operands;
    Pool consts;
    char *info;
} TargetOut;

typedef struct Emit {
    AdvArena arena;
    AdvArena *a;
    const AdvEmitIn *in;
    Pool strings;
    ADV_VEC(AdvPlanSource) sources;
    ADV_VEC(AdvPlanOp) ops;
    ADV_VEC(AdvPlanPlugin) plugins;
    ADV_VEC(AdvPlanState) states;
    Pool locs; /* of AdvPlanLoc: targets share equal ones */
    TargetOut *targets;
    /* the target being walked */
    const AdvEmitTarget *et;
    const AdvGraph *g;
    TargetOut *t;
    uint32_t *value_ix; /* by value id: plan value + 1 */
    uint32_t *loc_ix;   /* by loc id: plan loc, 0 not yet */
} Emit;

/* ---- pools --------------------------------------------------------------------------------------------------------- */

static void pool_grow(Emit *e, Pool *p)
{
    uint32_t old_n = p->n_slots, *old = p->slots, *old_len = p->lengths;
    p->n_slots = old_n ? 2 * old_n : 256;
    p->slots = ADV_NEW_ARRAY(e->a, uint32_t, p->n_slots);
    p->lengths = ADV_NEW_ARRAY(e->a, uint32_t, p->n_slots);
    for (uint32_t i = 0; i < old_n; i++) {
        uint32_t at;
        if (!old[i]) continue;
        at = (uint32_t)adv_hash_bytes(ADV_HASH_START, p->bytes.at + old[i] - 1, old_len[i]) & (p->n_slots - 1);
        while (p->slots[at]) at = (at + 1) & (p->n_slots - 1);
        p->slots[at] = old[i];
        p->lengths[at] = old_len[i];
    }
}

static void put_bytes(Emit *e, Bytes *b, const void *data, size_t n)
{
    if (n == 0) return;
    if (b->cap - b->n < n) {
        uint32_t cap = b->cap ? b->cap : 256;
        unsigned char *at;
        while (cap - b->n < n) {
            assert(cap < UINT32_C(1) << 31); /* constants come from the recipe's text, which is at most 1 MiB */
            cap *= 2;
        }
        at = adv_arena_new(e->a, cap);
        if (b->n) memcpy(at, b->at, b->n);
        b->at = at;
        b->cap = cap;
    }
    memcpy(b->at + b->n, data, n);
    b->n += (uint32_t)n;
}

/* The offset of these bytes, entered if new. */
static uint32_t pool_put(Emit *e, Pool *p, const void *data, uint32_t n)
{
    static const unsigned char zeros[64];
    uint32_t at, off;
    if (2 * (p->n_used + 1) > p->n_slots) pool_grow(e, p);
    at = (uint32_t)adv_hash_bytes(ADV_HASH_START, data, n) & (p->n_slots - 1);
    for (; p->slots[at]; at = (at + 1) & (p->n_slots - 1))
        if (p->lengths[at] == n && memcmp(p->bytes.at + p->slots[at] - 1, data, n) == 0) return p->slots[at] - 1;
    put_bytes(e, &p->bytes, zeros, (p->align - p->bytes.n % p->align) % p->align);
    off = p->bytes.n;
    put_bytes(e, &p->bytes, data, n);
    p->slots[at] = off + 1;
    p->lengths[at] = n;
    p->n_used++;
    return off;
}

static uint32_t put_str(Emit *e, const char *s) { return pool_put(e, &e->strings, s ? s : "", s ? (uint32_t)strlen(s) + 1 : 1); }

/* ---- common sections ------------------------------------------------------------------------------------------------ */

static uint32_t put_loc(Emit *e, AdvLocId loc);

/* The plugin of an op that is new to the plan, unless it is there already. */
static void put_plugin(Emit *e, const AdvOpDef *op, uint32_t op_ix, AdvLocId loc)
{
    const AdvLoaded *from = adv_plugin_of(e->g->reg, op);
    for (uint32_t i = 0; from && i < e->plugins.n; i++)
        if (memcmp(e->plugins.at[i].sha256, from->sha256, sizeof from->sha256) == 0) return;
    if (!from) return;
    AdvPlanPlugin p = {.path = put_str(e, from->path), .name = put_str(e, from->name), .version = put_str(e, from->version),
                       .op = op_ix, .loc = put_loc(e, loc), .n_bytes = from->n_bytes};
    memcpy(p.sha256, from->sha256, sizeof p.sha256);
    *ADV_PUSH(e->a, &e->plugins) = p;
}

static uint32_t put_op(Emit *e, const AdvOpDef *op, AdvLocId loc)
{
    uint32_t name = put_str(e, op->name);
    AdvPlanOp *o;
    for (uint32_t i = 0; i < e->ops.n; i++)
        if (e->ops.at[i].name == name) return i;
    o = ADV_PUSH(e->a, &e->ops);
    o->name = name;
    o->version = op->version;
    put_plugin(e, op, e->ops.n - 1, loc);
    return e->ops.n - 1;
}

static void put_sources(Emit *e)
{
    for (uint32_t i = 0; e->in->sources && i < e->in->sources->files.n; i++) {
        const AdvSource *f = &e->in->sources->files.at[i];
        AdvPlanSource *s = ADV_PUSH(e->a, &e->sources);
        s->name = put_str(e, f->name);
        s->text = pool_put(e, &e->strings, f->text, f->n_bytes + 1);
        s->n_bytes = f->n_bytes;
    }
}

/* Float states are written as the recipe has them (F32), whatever the target's float type. */
static void put_states(Emit *e)
{
    const AdvGraph *g = e->in->targets[0].graph;
    for (uint32_t i = 1; i < g->states.n; i++) {
        const AdvState *s = &g->states.at[i];
        AdvPlanState *o = ADV_PUSH(e->a, &e->states);
        o->name = put_str(e, adv_str(g->names, s->name));
        o->kind = s->kind;
        o->saved = s->saved;
        o->type = s->type;
        o->type.layout = ADV_LAYOUT_ROW;
        if (o->type.dtype == ADV_F64) o->type.dtype = ADV_F32;
    }
}

/* Parents before children, so that the loader sees at once that chains end. */
static uint32_t put_loc(Emit *e, AdvLocId loc)
{
    const AdvLoc *l = &e->g->locs.at[loc.i];
    uint32_t parent, also;
    AdvPlanLoc o = {.why = l->why};
    if (!loc.i) return 0;
    if (e->loc_ix[loc.i]) return e->loc_ix[loc.i];
    parent = put_loc(e, l->parent);
    also = put_loc(e, l->also);
    if (e->in->sources && l->span.file && l->span.file <= e->in->sources->files.n) {
        o.file = l->span.file;
        o.off = l->span.off;
        o.len = l->span.len;
    }
    o.parent = parent;
    o.also = also;
    return e->loc_ix[loc.i] = pool_put(e, &e->locs, &o, sizeof o) / (uint32_t)sizeof o;
}

/* ---- values and attributes ------------------------------------------------------------------------------------------- */

static uint32_t put_value(Emit *e, AdvValueId v)
{
    const AdvValue *val = adv_value(e->g, v);
    const AdvHome *h;
    AdvPlanValue *o;
    AdvView dense;
    uint64_t offset;
    assert(v.i && v.i < e->et->mem->n_homes);
    if (e->value_ix[v.i]) return e->value_ix[v.i] - 1;
    h = &e->et->mem->home[v.i];
    assert(h->has);
    offset = h->offset;
    if (h->block == ADV_BLOCK_CONST) {
        const AdvConst *c = &adv_node(e->g, h->data)->data;
        offset = pool_put(e, &e->t->consts, c->data, (uint32_t)c->n_bytes);
    }
    dense = adv_view_of(&val->type, NULL);
    o = ADV_PUSH(e->a, &e->t->values);
    o->type = val->type;
    o->type.zero = 0;
    o->type.zero2 = 0;
    memcpy(o->stride, dense.stride, sizeof o->stride);
    o->offset = offset;
    o->block = h->block;
    o->state = h->block == ADV_BLOCK_STATE ? h->state.i - 1 : ADV_PLAN_NONE;
    o->rate = val->rate;
    o->name = put_str(e, adv_str(e->g->names, val->name));
    return (e->value_ix[v.i] = e->t->values.n) - 1;
}

static uint32_t put_operand(Emit *e, AdvValueId v)
{
    uint32_t ix = put_value(e, v);
    *ADV_PUSH(e->a, &e->t->operands) = ix;
    return e->t->operands.n - 1;
}

static uint32_t put_attrs(Emit *e, AdvNodeId id)
{
    const AdvNode *n = adv_node(e->g, id);
    uint32_t at = e->t->attrs.n;
    for (uint32_t i = 0; i < n->n_attr; i++) {
        const AdvAttr *a = &adv_node_attr(e->g, id)[i];
        const AdvAttrDef *def = &n->op->attrs[i];
        AdvPlanAttr *o = ADV_PUSH(e->a, &e->t->attrs);
        if (def->kind == ADV_ATTR_FLOAT) o->f = a->f;
        if (def->kind == ADV_ATTR_INT || def->kind == ADV_ATTR_ENUM) o->i = a->i;
        if (def->kind != ADV_ATTR_INTS && def->kind != ADV_ATTR_FLOATS && def->kind != ADV_ATTR_OPS) continue;
        o->list_at = e->t->numbers.n;
        o->n = a->n;
        for (uint32_t k = 0; k < a->n; k++) {
            int64_t *number = ADV_PUSH(e->a, &e->t->numbers);
            if (def->kind == ADV_ATTR_INTS)
                *number = a->ints[k];
            else if (def->kind == ADV_ATTR_OPS)
                *number = put_op(e, a->ops[k], n->loc);
            else
                memcpy(number, &a->floats[k], sizeof *number);
        }
    }
    return at;
}

/* ---- instructions ------------------------------------------------------------------------------------------------------ */

static void put_region(Emit *e, AdvRegionId r);

static void put_node(Emit *e, AdvNodeId id)
{
    const AdvNode *n = adv_node(e->g, id);
    AdvPlanInst o = {0};
    uint32_t at;
    if (!adv_node_is_inst(e->g, id)) return;
    assert(!adv_node_is(e->g, id, "grad"));
    o.op = put_op(e, n->op, n->loc);
    o.loc = put_loc(e, n->loc);
    o.attr_at = put_attrs(e, id);
    o.n_attr = n->n_attr;
    o.with_prev = n->with_prev;
    o.in_at = e->t->operands.n;
    if (!n->body.i) {
        o.n_in = n->n_in;
        for (uint32_t k = 0; k < n->n_in; k++) put_operand(e, adv_node_in(e->g, id, k));
    }
    o.out_at = e->t->operands.n;
    if (n->body.i) {
        o.n_out = 1;
        put_operand(e, adv_region(e->g, n->body)->params.at[0]);
    } else {
        o.n_out = n->n_out;
        for (uint32_t k = 0; k < n->n_out; k++) put_operand(e, adv_node_out(e->g, id, k));
    }
    *ADV_PUSH(e->a, &e->t->insts) = o;
    at = e->t->insts.n - 1;
    if (!n->body.i) return;
    put_region(e, n->body);
    e->t->insts.at[at].n_body = e->t->insts.n - at - 1;
}

static void put_region(Emit *e, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(e->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) put_node(e, reg->nodes.at[i]);
}

static void put_target(Emit *e, uint32_t ix)
{
    const AdvEmitTarget *et = &e->in->targets[ix];
    e->et = et;
    e->g = et->graph;
    e->t = &e->targets[ix];
    e->t->consts.align = ADV_PLAN_ALIGN;
    e->value_ix = ADV_NEW_ARRAY(e->a, uint32_t, e->g->values.n);
    e->loc_ix = ADV_NEW_ARRAY(e->a, uint32_t, e->g->locs.n);
    assert(e->g->states.n == e->states.n + 1);
    for (uint32_t i = 0; i < e->g->entries.n; i++) {
        const AdvRegion *r = adv_region(e->g, e->g->entries.at[i]);
        AdvPlanEntry o = {.name = put_str(e, adv_str(e->g->names, r->name)), .first = e->t->insts.n};
        o.loc = put_loc(e, r->loc);
        put_region(e, e->g->entries.at[i]);
        o.n_insts = e->t->insts.n - o.first;
        *ADV_PUSH(e->a, &e->t->entries) = o;
    }
    e->t->info = adv_arena_printf(e->a, "{\"temp_bytes\": %llu, \"lower_bound_bytes\": %llu, \"const_bytes\": %llu, \"copies\": %u}",
                                  (unsigned long long)et->mem->temp_bytes, (unsigned long long)et->mem->lower_bound_bytes,
                                  (unsigned long long)e->t->consts.bytes.n, (unsigned)et->mem->n_copies);
}

/* ---- the file ------------------------------------------------------------------------------------------------------------ */

typedef ADV_VEC(AdvBlob) Blobs;

/* An empty section is left out: the loader takes a missing one as empty. */
static void put_blob(Emit *e, Blobs *blobs, const char *target, const char *name, const void *data, uint64_t n_bytes)
{
    AdvBlob *b;
    if (n_bytes == 0) return;
    b = ADV_PUSH(e->a, blobs);
    b->name = target ? adv_arena_printf(e->a, "%s.%s", target, name) : name;
    b->dtype = ADV_U8;
    b->rank = 1;
    b->dim[0] = (int64_t)n_bytes;
    b->data = data;
    b->n_bytes = n_bytes;
}

#define PUT(target, name, vec) put_blob(e, &blobs, target, name, (vec).at, (uint64_t)(vec).n * sizeof *(vec).at)

static AdvStatus render(Emit *e, const AdvAlloc *a, AdvDiags *ds, void **out_bytes, uint64_t *out_n)
{
    const AdvEmitIn *in = e->in;
    const char *program = in->program ? in->program : "{}", *names = "";
    Blobs blobs = {0};
    PUT(NULL, "strings", e->strings.bytes);
    PUT(NULL, "sources", e->sources);
    PUT(NULL, "ops", e->ops);
    PUT(NULL, "plugins", e->plugins);
    PUT(NULL, "states", e->states);
    PUT(NULL, "locs", e->locs.bytes);
    put_blob(e, &blobs, NULL, "program", program, strlen(program));
    for (uint32_t i = 0; i < in->n_targets; i++) {
        const char *name = in->targets[i].target->name;
        TargetOut *t = &e->targets[i];
        names = adv_arena_printf(e->a, "%s%s%s", names, i ? "," : "", name);
        PUT(name, "attrs", t->attrs);
        PUT(name, "numbers", t->numbers);
        PUT(name, "consts", t->consts.bytes);
        PUT(name, "values", t->values);
        PUT(name, "operands", t->operands);
        PUT(name, "insts", t->insts);
        PUT(name, "entries", t->entries);
        put_blob(e, &blobs, name, "info", t->info, strlen(t->info));
    }
    AdvMeta meta[] = {{"adv.plan", ADV_PLAN_FORMAT},
                      {"adv.recipe", in->recipe ? in->recipe : ""},
                      {"adv.hash", in->hash ? in->hash : ""},
                      {"adv.targets", names}};
    return adv_container_render(a, blobs.at, blobs.n, meta, sizeof meta / sizeof *meta, ds, out_bytes, out_n);
}

static AdvStatus emit_all(Emit *e, const AdvAlloc *a, AdvDiags *ds, void **out_bytes, uint64_t *out_n)
{
    static const AdvPlanLoc no_place;
    jmp_buf trap; /* adv_emit frees the arena, and allocates nothing more in it */
    if (setjmp(trap) != 0) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while writing a plan");
    e->arena.trap = &trap;
    e->strings.align = e->locs.align = 1;
    e->targets = ADV_NEW_ARRAY(e->a, TargetOut, e->in->n_targets);
    (void)put_str(e, "");
    (void)pool_put(e, &e->locs, &no_place, sizeof no_place);
    put_sources(e);
    put_states(e);
    for (uint32_t i = 0; i < e->in->n_targets; i++) put_target(e, i);
    return render(e, a, ds, out_bytes, out_n);
}

AdvStatus adv_emit(const AdvAlloc *a, AdvDiags *ds, const AdvEmitIn *in, void **out_bytes, uint64_t *out_n)
{
    Emit e = {.in = in};
    AdvPlan *plan = NULL;
    AdvStatus st;
    assert(in->n_targets > 0);
    e.a = &e.arena;
    *out_bytes = NULL;
    *out_n = 0;
    adv_arena_init(&e.arena, *a);
    st = emit_all(&e, a, ds, out_bytes, out_n);
    adv_arena_fini(&e.arena);
    if (st != ADV_OK) return st;
    st = adv_plan_parse(a, *out_bytes, *out_n, "the plan just made", ds, &plan);
    if (st == ADV_OK) st = adv_plan_check(plan, in->targets[0].graph->reg, ds);
    adv_plan_free(plan);
    if (st == ADV_OK) return ADV_OK;
    adv_mem_free(a, *out_bytes, *out_n);
    *out_bytes = NULL;
    *out_n = 0;
    return st == ADV_ENOMEM ? st : ADV_EINTERNAL;
}
