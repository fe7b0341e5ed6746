/* plan_check.c: the second half of loading: every instruction against the op it names.
**
** plan_load.c proved that all indices are in range; here each op is looked up and its shape rule (adv_op_infer) runs on the
** types of the operands. `emit` runs the same check on its own bytes. The program behind them (program_def.c) has limits that
** the compiler holds recipes to (elab/program.c), so a loaded plan passes no other test than a compiled one.
** Layouts are the plan's own: shape rules do not know them, so types go in and come out in row order, and only ops
** that need row order are checked for it.
*/
#include "runtime/plan_load.h"

#include "ops/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIST_OPS 256 /* in one attribute */

typedef struct Check {
    AdvPlan *p;
    const AdvRegistry *reg;
    AdvDiags *ds;
    const AdvPlanTarget *t;
    const AdvPlanEntry *e;
    uint32_t ix;          /* of the instruction in its target */
    AdvTensorType *types; /* room for the largest instruction: inputs, then outputs */
} Check;

static AdvStatus bad(Check *c, const char *how)
{
    const AdvPlanInst *in = &c->t->insts[c->ix];
    return adv_fail(c->ds, ADV_EDATA, ADV_D_PLAN_OP, "target `%s`, entry `%s`, instruction %u (`%s`): %s", c->t->name,
                    adv_plan_str(c->p, c->e->name), (unsigned)(c->ix - c->e->first), adv_plan_str(c->p, c->p->ops[in->op].name), how);
}

static const AdvPlanValue *value_of(const Check *c, uint32_t operand) { return &c->t->values[c->t->operands[operand]]; }

static bool overlaps(const AdvPlanValue *a, const AdvPlanValue *b)
{
    if (a->block != b->block || (a->block == ADV_BLOCK_STATE && a->state != b->state)) return false;
    return a->offset < b->offset + adv_plan_value_bytes(b) && b->offset < a->offset + adv_plan_value_bytes(a);
}

/* May output k lie exactly on input j? */
static bool inplace_ok(const AdvOpDef *op, uint32_t k, uint32_t j)
{
    uint8_t fact = k < 4 ? op->inplace[k] : ADV_INPLACE_NONE;
    return fact == ADV_INPLACE_ANY || (fact != ADV_INPLACE_NONE && fact == ADV_INPLACE(j));
}

static AdvStatus check_overlap(Check *c, const AdvOpDef *op, const AdvPlanInst *in)
{
    for (uint32_t k = 0; k < in->n_out; k++) {
        const AdvPlanValue *o = value_of(c, in->out_at + k);
        for (uint32_t m = 0; m < k; m++)
            if (overlaps(o, value_of(c, in->out_at + m))) return bad(c, "two outputs overlap");
        for (uint32_t j = 0; j < in->n_in; j++) {
            const AdvPlanValue *v = value_of(c, in->in_at + j);
            if (!overlaps(o, v)) continue;
            if (v->offset != o->offset || !adv_type_eq(&v->type, &o->type) || !inplace_ok(op, k, j))
                return bad(c, "an output overlaps an input that the op still reads");
        }
    }
    return ADV_OK;
}

/* Where an instruction of a list writes. */
typedef struct Written {
    uint64_t space, from, to; /* space: which block, which state */
    uint32_t inst;
} Written;

static Written range_of(const Check *c, uint32_t operand, uint32_t inst)
{
    const AdvPlanValue *v = value_of(c, operand);
    uint64_t space = (uint64_t)v->block << 32 | (v->block == ADV_BLOCK_STATE ? v->state : 0);
    return (Written){space, v->offset, v->offset + adv_plan_value_bytes(v), inst};
}

static int by_place(const void *pa, const void *pb)
{
    const Written *a = pa, *b = pb;
    if (a->space != b->space) return a->space < b->space ? -1 : 1;
    return (a->from > b->from) - (a->from < b->from);
}

/* Does it read what another instruction of its list writes? `w` is sorted and without overlaps. */
static bool reads_written(const Check *c, const AdvPlanInst *in, uint32_t inst, const Written *w, uint32_t n)
{
    for (uint32_t k = 0; k < in->n_in; k++) {
        Written r = range_of(c, in->in_at + k, inst);
        uint32_t low = 0, high = n;
        while (low < high) { /* the first that ends behind where r begins */
            uint32_t mid = (low + high) / 2;
            if (w[mid].space < r.space || (w[mid].space == r.space && w[mid].to <= r.from)) low = mid + 1;
            else high = mid;
        }
        for (; low < n && w[low].space == r.space && w[low].from < r.to; low++)
            if (w[low].inst != inst) return true;
    }
    return false;
}

/* The list that begins at this instruction: its instructions may run in any order, or at once. */
static AdvStatus check_list(Check *c)
{
    const AdvPlanInst *in = &c->t->insts[c->ix];
    uint32_t n = 1, n_out = in->n_out, k = 0;
    for (; c->ix + n < c->t->n_insts && in[n].with_prev; n++) {
        if (in[n].op != in->op || in[n].n_in + in[n].n_out > ADV_PLAN_MAX_LIST)
            return bad(c, "begins a list of what does not belong together");
        n_out += in[n].n_out;
    }
    if (in->with_prev || n == 1) return ADV_OK;
    size_t n_bytes = (n_out + 1) * sizeof(Written);
    Written *w = adv_mem_new(&c->p->alloc, n_bytes);
    bool ok = true;
    if (!w) return adv_fail(c->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while checking a plan");
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t o = 0; o < in[i].n_out; o++) w[k++] = range_of(c, in[i].out_at + o, i);
    qsort(w, k, sizeof *w, by_place);
    for (uint32_t i = 1; i < k; i++) ok = ok && (w[i].space != w[i - 1].space || w[i].from >= w[i - 1].to);
    for (uint32_t i = 0; i < n && ok; i++) ok = !reads_written(c, &in[i], i, w, k);
    adv_mem_free(&c->p->alloc, w, n_bytes);
    return ok ? ADV_OK : bad(c, "begins a list of which one writes over what another needs or makes");
}

static AdvStatus check_types(Check *c, const AdvOpDef *op, const AdvPlanInst *in)
{
    AdvTensorType *out = c->types + in->n_in;
    uint32_t n_out = 0;
    char msg[512];
    for (uint32_t j = 0; j < in->n_in; j++) {
        const AdvPlanValue *v = value_of(c, in->in_at + j);
        AdvView view = adv_plan_view(v, NULL);
        if (op->layout == ADV_LAYOUT_OP_ROW && !adv_view_is_row(&view)) return bad(c, "an input is not in row order, which the op needs");
        c->types[j] = v->type;
        c->types[j].layout = ADV_LAYOUT_ROW;
    }
    if (adv_op_infer(op, c->types, in->n_in, &c->t->attrs[in->attr_at], c->t->float_dtype, out, &n_out, msg, sizeof msg) != ADV_OK)
        return bad(c, msg);
    if (n_out != in->n_out) return bad(c, "the number of outputs is not the op's");
    for (uint32_t k = 0; k < n_out; k++) {
        const AdvPlanValue *v = value_of(c, in->out_at + k);
        AdvView view = adv_plan_view(v, NULL);
        if (op->layout == ADV_LAYOUT_OP_ROW && !adv_view_is_row(&view)) return bad(c, "an output is not in row order, which the op needs");
        if (v->type.dtype != out[k].dtype || !adv_shape_eq(&v->type, &out[k]))
            return bad(c, "an output's type is not what the op's shape rule gives");
    }
    return ADV_OK;
}

/* Lists of ops: the plan's numbers become the registry's ops. */
static AdvStatus resolve_lists(Check *c, const AdvOpDef *op, const AdvPlanInst *in)
{
    for (uint32_t k = 0; k < in->n_attr; k++) {
        AdvAttr *a = &c->t->attrs[in->attr_at + k];
        if (op->attrs[k].kind != ADV_ATTR_OPS || a->ops) continue;
        if (a->n > MAX_LIST_OPS) return bad(c, "a list of ops is too long");
        const AdvOpDef **ops = (const AdvOpDef **)adv_arena_array(&c->p->arena, a->n, sizeof *ops);
        if (!ops) return adv_fail(c->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while checking a plan");
        for (uint32_t i = 0; i < a->n; i++) {
            if (a->ints[i] < 0 || a->ints[i] >= (int64_t)c->p->n_ops) return bad(c, "a list of ops names one that the plan has not");
            ops[i] = c->p->op_defs[a->ints[i]];
        }
        a->ops = ops;
    }
    return ADV_OK;
}

static AdvStatus check_inst(Check *c)
{
    const AdvPlanInst *in = &c->t->insts[c->ix];
    const AdvOpDef *op = c->p->op_defs[in->op];
    if (strcmp(op->name, "loop") == 0) return ADV_OK; /* plan_load.c did */
    if (op->flags & (ADV_OP_STRUCT | ADV_OP_VIEW)) return bad(c, "the op is no instruction");
    if (in->n_attr != adv_op_n_attrs(op)) return bad(c, "the number of attributes is not the op's");
    ADV_TRY(resolve_lists(c, op, in));
    ADV_TRY(check_types(c, op, in));
    ADV_TRY(check_overlap(c, op, in));
    return check_list(c);
}

static AdvStatus resolve_ops(Check *c)
{
    AdvPlan *p = c->p;
    const AdvOpDef **defs = (const AdvOpDef **)adv_arena_array(&p->arena, p->n_ops, sizeof *defs);
    if (!defs) return adv_fail(c->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while checking a plan");
    for (uint32_t i = 0; i < p->n_ops; i++) {
        const char *name = adv_plan_str(p, p->ops[i].name);
        defs[i] = adv_registry_op(c->reg, name);
        if (!defs[i]) return adv_fail(c->ds, ADV_EDATA, ADV_D_PLAN_OP, "the plan needs op `%.64s`, which is not there", name);
        if (defs[i]->version != p->ops[i].version)
            return adv_fail(c->ds, ADV_EDATA, ADV_D_PLAN_OP,
                            "the plan needs version %u of op `%s`, but version %u is there: compile it again", (unsigned)p->ops[i].version,
                            name, (unsigned)defs[i]->version);
    }
    p->op_defs = defs;
    return ADV_OK;
}

/* Room for types: what adv_op_infer may fill is ADV_MAX_FIXED + n_in beyond the inputs. */
static size_t most_types(const AdvPlan *p)
{
    size_t most = 0;
    for (uint32_t t = 0; t < p->n_targets; t++)
        for (uint32_t i = 0; i < p->targets[t].n_insts; i++)
            if (p->targets[t].insts[i].n_in > most) most = p->targets[t].insts[i].n_in;
    return 2 * most + ADV_MAX_FIXED;
}

AdvStatus adv_plan_check(AdvPlan *plan, const AdvRegistry *reg, AdvDiags *ds)
{
    Check c = {.p = plan, .reg = reg, .ds = ds};
    size_t n_types = most_types(plan);
    AdvStatus st = ADV_OK;
    ADV_TRY(resolve_ops(&c));
    c.types = adv_mem_new(&plan->alloc, n_types * sizeof *c.types);
    if (!c.types) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while checking a plan");
    for (uint32_t t = 0; t < plan->n_targets && st == ADV_OK; t++) {
        c.t = &plan->targets[t];
        for (uint32_t e = 0; e < c.t->n_entries && st == ADV_OK; e++) {
            c.e = &c.t->entries[e];
            for (c.ix = c.e->first; c.ix < c.e->first + c.e->n_insts && st == ADV_OK; c.ix++) st = check_inst(&c);
        }
    }
    adv_mem_free(&plan->alloc, c.types, n_types * sizeof *c.types);
    if (st != ADV_OK) plan->op_defs = NULL;
    return st;
}
