/* fault.c: from an instruction back to the recipe.
**
** A plan carries for each instruction a chain of places (plan.h: locs): where it was written, from which block it was called,
** of which line it is the gradient, what it was merged with. The innermost place becomes the span of the message, the rest
** its notes; entry, loop turn and instruction number become its chain.
*/
#include "runtime/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_CHAIN = 32 };

/* The number before file 1 of the plan in ds->sources; added once. */
static uint32_t sources_shift(const AdvPlan *plan, AdvDiags *ds)
{
    for (uint32_t first = 0; first + plan->n_sources <= ds->sources.files.n; first++) {
        uint32_t k = 0;
        while (k < plan->n_sources) {
            const AdvSource *have = &ds->sources.files.at[first + k];
            const AdvPlanSource *want = &plan->sources[k];
            if (have->n_bytes != want->n_bytes || strcmp(have->name, adv_plan_str(plan, want->name)) ||
                memcmp(have->text, adv_plan_str(plan, want->text), want->n_bytes)) break;
            k++;
        }
        if (k == plan->n_sources) return first;
    }
    return adv_plan_add_sources(plan, ds);
}

/* The innermost written place of a chain, or 0. */
static uint32_t written_loc(const AdvPlan *plan, uint32_t loc)
{
    for (int n = 0; n < MAX_CHAIN && loc && loc < plan->n_locs; n++) {
        uint32_t why = plan->locs[loc].why;
        if (why == ADV_LOC_SOURCE || why == ADV_LOC_CALL) return loc;
        loc = plan->locs[loc].parent;
    }
    return 0;
}

static AdvSpan span_of(const AdvPlan *plan, AdvDiags *ds, uint32_t loc)
{
    AdvSpan none = {0, 0, 0};
    uint32_t at = written_loc(plan, loc);
    if (!ds || !at || !plan->locs[at].file) return none;
    const AdvPlanLoc *l = &plan->locs[at];
    return (AdvSpan){sources_shift(plan, ds) + l->file, l->off, l->len};
}

AdvSpan adv_recipe_span(const AdvPlan *plan, AdvDiags *ds, uint32_t off, uint32_t len)
{
    if (!ds || !plan->n_sources || !len) return (AdvSpan){0, 0, 0};
    return (AdvSpan){sources_shift(plan, ds) + 1, off, len};
}

AdvSpan adv_fault_span(const AdvPlan *plan, AdvDiags *ds, uint32_t loc)
{
    return span_of(plan, ds, loc);
}

uint32_t adv_fault_writer(const AdvSession *s, uint32_t first, uint32_t n, uint32_t state)
{
    for (uint32_t i = first; i < first + n; i++)
        for (uint32_t k = 0; k < s->t->insts[i].n_out; k++) {
            const AdvPlanValue *v = &s->t->values[s->t->operands[s->t->insts[i].out_at + k]];
            if (v->block == ADV_BLOCK_STATE && v->state == state) return s->t->insts[i].loc;
        }
    return 0;
}

void adv_fault_place(const AdvPlan *plan, uint32_t loc, char *text, size_t n_bytes)
{
    uint32_t at = written_loc(plan, loc);
    const AdvPlanLoc *l = &plan->locs[at];
    if (!at || !l->file) {
        snprintf(text, n_bytes, "no place");
        return;
    }
    const AdvPlanSource *src = &plan->sources[l->file - 1];
    const char *body = adv_plan_str(plan, src->text);
    uint32_t line = 1;
    for (uint32_t i = 0; i < l->off && i < src->n_bytes; i++) line += body[i] == '\n';
    snprintf(text, n_bytes, "%s:%u", adv_plan_str(plan, src->name), line);
}

static void add_notes(const AdvPlan *plan, AdvDiags *ds, AdvDiag *d, uint32_t loc)
{
    AdvSpan none = {0, 0, 0}, called = none;
    bool said_grad = false;
    for (int n = 0; n < MAX_CHAIN && loc && loc < plan->n_locs; n++) {
        const AdvPlanLoc *l = &plan->locs[loc];
        if (l->why == ADV_LOC_SOURCE) return;
        if (l->why == ADV_LOC_GRAD && !said_grad) {
            adv_diag_note(d, none, "in the gradient of this line");
            said_grad = true;
        }
        if (l->why == ADV_LOC_FUSED) adv_diag_note(d, span_of(plan, ds, l->also), "computed together with this");
        AdvSpan from = l->why == ADV_LOC_CALL ? span_of(plan, ds, l->parent) : none;
        if (l->why == ADV_LOC_CALL && memcmp(&from, &called, sizeof from)) adv_diag_note(d, called = from, "called from here");
        loc = l->parent;
    }
}

const AdvPlanValue *adv_operand(const AdvSession *s, uint32_t inst, uint32_t k)
{
    const AdvPlanInst *in = &s->t->insts[inst];
    return &s->t->values[s->t->operands[k < in->n_in ? in->in_at + k : in->out_at + k - in->n_in]];
}

const char *adv_operand_recipe_name(const AdvSession *s, uint32_t inst, uint32_t k)
{
    const AdvPlanValue *v = adv_operand(s, inst, k);
    if (v->name) return adv_plan_str(s->plan, v->name);
    return v->block == ADV_BLOCK_STATE ? adv_state_name(s, v->state) : NULL;
}

const char *adv_operand_name(const AdvSession *s, uint32_t inst, uint32_t k)
{
    const AdvPlanInst *in = &s->t->insts[inst];
    const AdvOpDef *op = s->plan->op_defs[in->op];
    const char *given = adv_operand_recipe_name(s, inst, k);
    if (given) return given;
    uint32_t n = adv_op_n_in(op), ix = k < in->n_in ? k : k - in->n_in;
    if (k >= in->n_in) return ix < adv_op_n_out(op) ? op->out[ix].name : "output";
    return ix < n + adv_op_in_repeats(op) ? op->in[ix].name : op->in[n].name;
}

AdvDiag *adv_fault(AdvSession *s, AdvDiags *ds, AdvDiagId id, uint32_t entry, uint32_t inst, const char *fmt, ...)
{
    char msg[512], where[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    uint32_t loc = s->t->insts[inst].loc;
    AdvDiag *d = adv_diag(ds, id, span_of(s->plan, ds, loc), "%s", msg);
    if (ds) add_notes(s->plan, ds, d, loc);
    int n = snprintf(where, sizeof where, "while running %s", adv_plan_str(s->plan, s->t->entries[entry].name));
    for (uint32_t i = 0; i < s->n_loops && n > 0 && (size_t)n < sizeof where; i++)
        n += snprintf(where + n, sizeof where - (size_t)n, ", turn %lld of %lld", (long long)s->loops[i].turn + 1,
                      (long long)s->loops[i].n_turns);
    if (n > 0 && (size_t)n < sizeof where) {
        const AdvBound *b = &s->bound[inst];
        snprintf(where + n, sizeof where - (size_t)n, ", instruction %u (%s %s%s%s)", inst, b->is_ref ? "ref" : s->be->name,
                 b->sig.op->name, b->kernel ? ", kernel " : "", b->kernel ? b->kernel->name : "");
    }
    adv_diag_chain(d, "%s", where);
    return d;
}
