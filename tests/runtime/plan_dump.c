/* plan_dump.c: a plan as text: one line a record, no addresses, in the file's order, so that dumps can be compared.
**
**   step.main                                        recipe.adv:12
**      0  image  = conv2d x, w {stride=1 pad=1}      f32[8,4,9,9] temp+1024 ...
*/
#include "tests/runtime/plan_dump.h"

#include "ops/view.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Dump {
    const AdvPlan *p;
    const AdvPlanTarget *t;
    AdvWriteFn *write;
    void *user;
} Dump;

static void put(Dump *d, const char *text) { d->write(d->user, text, strlen(text)); }

static void putf(Dump *d, const char *fmt, ...) ADV_PRINTF(2, 3);
static void putf(Dump *d, const char *fmt, ...)
{
    char s[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s, sizeof s, fmt, ap);
    va_end(ap);
    put(d, s);
}

static void put_type(Dump *d, const AdvTensorType *t)
{
    put(d, adv_dtype_name(t->dtype));
    for (uint32_t i = 0; i < t->rank; i++) putf(d, "%s%lld", i ? "," : "[", (long long)t->dim[i]);
    if (t->rank) put(d, t->layout == ADV_LAYOUT_CL ? "]cl" : "]");
}

static void put_place(Dump *d, uint32_t loc)
{
    const AdvPlan *p = d->p;
    while (loc < p->n_locs && loc && p->locs[loc].file == 0) loc = p->locs[loc].parent;
    if (loc && loc < p->n_locs) {
        const AdvPlanLoc *o = &p->locs[loc];
        AdvSource src = {adv_plan_str(p, p->sources[o->file - 1].name), adv_plan_str(p, p->sources[o->file - 1].text),
                         p->sources[o->file - 1].n_bytes};
        AdvLineCol at = adv_line_col(&src, o->off);
        put(d, "  # ");
        put(d, src.name);
        putf(d, ":%u:%u", (unsigned)at.line, (unsigned)at.col);
    }
}

/* ---- common sections ------------------------------------------------------------------------------------------------ */

static void dump_sources(Dump *d)
{
    for (uint32_t i = 0; i < d->p->n_sources; i++) {
        put(d, adv_plan_str(d->p, d->p->sources[i].name));
        putf(d, "  %u bytes\n", (unsigned)d->p->sources[i].n_bytes);
    }
}

static void dump_ops(Dump *d)
{
    for (uint32_t i = 0; i < d->p->n_ops; i++) {
        put(d, adv_plan_str(d->p, d->p->ops[i].name));
        putf(d, " %u\n", (unsigned)d->p->ops[i].version);
    }
}

static void dump_plugins(Dump *d)
{
    for (uint32_t i = 0; i < d->p->n_plugins; i++) {
        const AdvPlanPlugin *g = &d->p->plugins[i];
        char sha[ADV_SHA256_TEXT];
        adv_sha256_text(g->sha256, sha);
        putf(d, "%s %s %llu bytes sha256 %s ", adv_plan_str(d->p, g->name), adv_plan_str(d->p, g->version), (unsigned long long)g->n_bytes,
             sha);
        put(d, adv_plan_str(d->p, g->path));
        put_place(d, g->loc);
        put(d, "\n");
    }
}

static void dump_states(Dump *d)
{
    static const char *const kinds[ADV_STATE_KIND_COUNT] = {"param", "buffer", "opt", "table", "slot", "scalar", "metric", "data"};
    for (uint32_t i = 0; i < d->p->n_states; i++) {
        const AdvPlanState *s = &d->p->states[i];
        put(d, adv_plan_str(d->p, s->name));
        put(d, " : ");
        put_type(d, &s->type);
        putf(d, " %s%s\n", kinds[s->kind], s->saved ? " saved" : "");
    }
}

static void dump_locs(Dump *d)
{
    static const char *const whys[] = {"source", "call", "grad", "fused"};
    for (uint32_t i = 1; i < d->p->n_locs; i++) {
        const AdvPlanLoc *o = &d->p->locs[i];
        putf(d, "%u %s %u:%u+%u parent %u also %u\n", (unsigned)i, o->why < sizeof whys / sizeof *whys ? whys[o->why] : "?",
             (unsigned)o->file, (unsigned)o->off, (unsigned)o->len, (unsigned)o->parent, (unsigned)o->also);
    }
}

static void dump_program(Dump *d)
{
    put(d, d->p->program);
    put(d, "\n");
}

/* ---- a target --------------------------------------------------------------------------------------------------------- */

static void put_where(Dump *d, const AdvPlanValue *v)
{
    if (v->block == ADV_BLOCK_STATE) {
        put(d, adv_plan_str(d->p, d->p->states[v->state].name));
        if (v->offset) putf(d, "+%llu", (unsigned long long)v->offset);
    } else {
        putf(d, "%s+%llu", v->block == ADV_BLOCK_TEMP ? "temp" : "const", (unsigned long long)v->offset);
    }
}

static void put_operand(Dump *d, uint32_t at)
{
    const AdvPlanValue *v = &d->t->values[d->t->operands[at]];
    putf(d, "%%%u:", (unsigned)d->t->operands[at]);
    put_type(d, &v->type);
    put(d, "@");
    put_where(d, v);
}

static void put_choice(Dump *d, const char *choices, int64_t i)
{
    while (i-- > 0 && strchr(choices, '|')) choices = strchr(choices, '|') + 1;
    putf(d, "%.*s", (int)strcspn(choices, "|"), choices);
}

static void put_attrs(Dump *d, const AdvPlanInst *in)
{
    const AdvOpDef *op = d->p->op_defs ? d->p->op_defs[in->op] : NULL;
    if (!op || !in->n_attr) return; /* without the op's table an attribute has no name */
    put(d, " {");
    for (uint32_t i = 0; i < in->n_attr; i++) {
        const AdvAttr *a = &d->t->attrs[in->attr_at + i];
        const AdvAttrDef *def = &op->attrs[i];
        putf(d, "%s%s=", i ? " " : "", def->name);
        if (def->kind == ADV_ATTR_INT) putf(d, "%lld", (long long)a->i);
        if (def->kind == ADV_ATTR_FLOAT) putf(d, "%.17g", a->f);
        if (def->kind == ADV_ATTR_ENUM) put_choice(d, def->choices, a->i);
        for (uint32_t k = 0; k < a->n; k++) {
            if (def->kind == ADV_ATTR_INTS) putf(d, "%s%lld", k ? "," : "", (long long)a->ints[k]);
            if (def->kind == ADV_ATTR_OPS) putf(d, "%s%s", k ? "," : "", a->ops[k]->name);
            if (def->kind == ADV_ATTR_FLOATS) putf(d, "%s%.17g", k ? "," : "", a->floats[k]);
        }
    }
    put(d, "}");
}

static void dump_inst(Dump *d, uint32_t i, uint32_t depth)
{
    const AdvPlanInst *in = &d->t->insts[i];
    putf(d, "%6u  %*s%s", (unsigned)i, (int)(2 * depth), "", in->with_prev ? "& " : "");
    for (uint32_t k = 0; k < in->n_out; k++) {
        put(d, k ? ", " : "");
        put_operand(d, in->out_at + k);
    }
    put(d, " = ");
    put(d, adv_plan_str(d->p, d->p->ops[in->op].name));
    for (uint32_t k = 0; k < in->n_in; k++) {
        put(d, k ? ", " : " ");
        put_operand(d, in->in_at + k);
    }
    put_attrs(d, in);
    put_place(d, in->loc);
    put(d, "\n");
}

static void dump_range(Dump *d, uint32_t first, uint32_t n, uint32_t depth)
{
    for (uint32_t i = first; i < first + n; i += 1 + d->t->insts[i].n_body) {
        dump_inst(d, i, depth);
        dump_range(d, i + 1, d->t->insts[i].n_body, depth + 1);
    }
}

static void dump_insts(Dump *d)
{
    for (uint32_t e = 0; e < d->t->n_entries; e++) {
        put(d, adv_plan_str(d->p, d->t->entries[e].name));
        put(d, "\n");
        dump_range(d, d->t->entries[e].first, d->t->entries[e].n_insts, 0);
    }
}

static void dump_values(Dump *d)
{
    static const char *const rates[ADV_RATE_COUNT] = {"once", "epoch", "batch", "sample"};
    for (uint32_t i = 0; i < d->t->n_values; i++) {
        const AdvPlanValue *v = &d->t->values[i];
        putf(d, "%%%u ", (unsigned)i);
        put_type(d, &v->type);
        put(d, " ");
        put_where(d, v);
        putf(d, " %s ", rates[v->rate]);
        put(d, adv_plan_str(d->p, v->name));
        put(d, "\n");
    }
}

static void dump_entries(Dump *d)
{
    for (uint32_t e = 0; e < d->t->n_entries; e++) {
        put(d, adv_plan_str(d->p, d->t->entries[e].name));
        putf(d, " %u instructions from %u", (unsigned)d->t->entries[e].n_insts, (unsigned)d->t->entries[e].first);
        put_place(d, d->t->entries[e].loc);
        put(d, "\n");
    }
}

static void dump_info(Dump *d)
{
    put(d, d->t->info);
    put(d, "\n");
}

typedef struct Part {
    const char *name;
    void (*dump)(Dump *d);
} Part;

void plan_dump(const AdvPlan *plan, AdvWriteFn *write, void *user)
{
    static const Part common[] = {
        {"sources", dump_sources}, {"ops", dump_ops},   {"plugins", dump_plugins},
        {"states", dump_states},   {"locs", dump_locs}, {"program", dump_program}};
    static const Part of_target[] = {{"entries", dump_entries}, {"values", dump_values}, {"insts", dump_insts}, {"info", dump_info}};
    Dump d = {plan, NULL, write, user};
    for (size_t i = 0; i < sizeof common / sizeof *common; i++) {
        putf(&d, "== %s\n", common[i].name);
        common[i].dump(&d);
    }
    for (uint32_t t = 0; t < plan->n_targets; t++) {
        d.t = &plan->targets[t];
        for (size_t i = 0; i < sizeof of_target / sizeof *of_target; i++) {
            putf(&d, "== %s.%s\n", d.t->name, of_target[i].name);
            of_target[i].dump(&d);
        }
    }
}
