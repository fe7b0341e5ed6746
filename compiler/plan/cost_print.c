/* cost_print.c: the tables of `advc plan --explain`. Numbers are those of one run of an entry: an instruction in a loop is shown
** once, with its turns in the column `times`; FLOPs, bytes and time of its line are those of all turns together.
*/
#include "compiler/plan/cost.h"

#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/container.h"
#include "runtime/base/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Print {
    AdvArena *arena;
    const AdvGraph *g;
    const AdvTarget *target;
    const AdvCost *cost;
    AdvWriteFn *write;
    void *user;
} Print;

static void say(const Print *p, const char *fmt, ...) ADV_PRINTF(2, 3);
static void say(const Print *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *s = adv_arena_vprintf(p->arena, fmt, ap);
    va_end(ap);
    p->write(p->user, s, strlen(s));
}

/* Four digits, and no exponent where the number is large. */
static void number(AdvTable *t, double v)
{
    adv_table_cell(t, v >= 1000 ? "%.0f" : "%.4g", v);
}

static const char *name_of(const Print *p, const AdvCostEntry *e) { return adv_str(p->g->names, adv_region(p->g, e->entry)->name); }

static const char *place(const Print *p, AdvLocId loc)
{
    AdvSpan at = adv_loc_span(p->g, loc);
    const AdvSource *src = at.file ? adv_source_of(&p->g->diags->sources, at) : NULL;
    return src ? adv_arena_printf(p->arena, "%s:%u", src->name, (unsigned)adv_line_col(src, at.off).line) : "";
}

/* "[128,3,32,32]", channels last marked. */
static const char *shape(const Print *p, const AdvTensorType *t)
{
    char text[ADV_SHAPE_TEXT];
    const char *dims = strchr(adv_type_text(t, text), '[');
    return adv_arena_printf(p->arena, "%s%s", dims ? dims : "[]", t->rank == 4 && t->layout == ADV_LAYOUT_CL ? "cl" : "");
}

static void row(const Print *p, AdvTable *t, uint32_t ix)
{
    static const char *const rates[ADV_RATE_COUNT] = {"once", "epoch", "batch", "sample"};
    const AdvCostRow *r = &p->cost->rows.at[ix];
    const AdvNode *n = adv_node(p->g, r->node);
    bool is_loop = n->body.i != 0, has_out = n->n_out && !is_loop;
    const AdvValue *v = adv_value(p->g, adv_node_out(p->g, r->node, 0));
    adv_table_cell(t, "%u", (unsigned)ix);
    if (is_loop) adv_table_cell(t, "%*sloop, %lld turns", (int)(2 * r->depth), "", (long long)adv_loop_turns(p->g, r->node));
    else adv_table_cell(t, "%*s%s", (int)(2 * r->depth), "", n->op->name);
    adv_table_cell(t, "%s", has_out ? shape(p, &v->type) : "");
    adv_table_cell(t, "%s", has_out ? adv_dtype_name(v->type.dtype) : "");
    adv_table_cell(t, "%s", has_out ? rates[v->rate] : "");
    if (!is_loop) {
        adv_table_cell(t, "%.0f", r->times);
        number(t, r->times * r->flops / 1e6);
        number(t, r->times * r->bytes / 1e6);
        number(t, r->times * r->seconds * 1e6);
    } else {
        for (int k = 0; k < 4; k++) adv_table_cell(t, "%s", "");
    }
    adv_table_cell(t, "%s", place(p, n->loc));
}

static void entry(const Print *p, const AdvCostEntry *e)
{
    AdvTable t = {.arena = p->arena};
    say(p, "\n%s\n", name_of(p, e));
    adv_table_columns(&t, "# >|op <|output <|type <|rate <|times >|MFLOP >|MB >|us >|recipe <");
    for (uint32_t i = e->first; i < e->first + e->n_rows; i++) row(p, &t, i);
    adv_table_print(&t, p->write, p->user);
}

static void totals(const Print *p)
{
    AdvTable t = {.arena = p->arena};
    adv_table_columns(&t, "entry <|instructions >|GFLOP >|GB >|forwards >|backwards >|ms >|memory MB >|peak at <");
    for (uint32_t i = 0; i < p->cost->entries.n; i++) {
        const AdvCostEntry *e = &p->cost->entries.at[i];
        adv_table_cell(&t, "%s", name_of(p, e));
        adv_table_cell(&t, "%u", (unsigned)e->n_rows);
        number(&t, e->flops / 1e9);
        number(&t, e->bytes / 1e9);
        adv_table_cell(&t, "%.2f", e->forwards);
        adv_table_cell(&t, "%.2f", e->backwards);
        number(&t, e->seconds * 1e3);
        number(&t, (double)e->peak_bytes / 1e6);
        const AdvNode *n = e->peak_bytes ? adv_node(p->g, p->cost->rows.at[e->peak_row].node) : NULL;
        adv_table_cell(&t, "%s", n ? adv_arena_printf(p->arena, "%u %s %s", (unsigned)e->peak_row, n->op->name, place(p, n->loc)) : "");
    }
    say(p, "\ntotals, of one run of each entry\n");
    adv_table_print(&t, p->write, p->user);
}

/* Bytes of states, without data sets, which are bound and not owned. */
static double state_bytes(const AdvGraph *g)
{
    double n = 0;
    for (uint32_t i = 1; i < g->states.n; i++)
        if (g->states.at[i].kind != ADV_STATE_DATA) n += (double)adv_type_bytes(&g->states.at[i].type);
    return n;
}

/* A training step is the entry `batch` and a `step.` one; the longest of those is told. */
static void steps(const Print *p)
{
    double batch = 0, longest = 0;
    const char *name = NULL;
    for (uint32_t i = 0; i < p->cost->entries.n; i++) {
        const AdvCostEntry *e = &p->cost->entries.at[i];
        if (!strcmp(name_of(p, e), "batch")) batch = e->seconds;
        if (strncmp(name_of(p, e), "step.", 5) || (name && e->seconds <= longest)) continue;
        name = name_of(p, e);
        longest = e->seconds;
    }
    if (name) say(p, "a training step (batch and %s): %.4g ms at best\n", name, (batch + longest) * 1e3);
}

void adv_cost_print(AdvArena *arena, const AdvGraph *g, const AdvTarget *t, const AdvMemPlan *mem, const char *only, AdvWriteFn *write,
                    void *user)
{
    Print p = {arena, g, t, adv_cost(arena, g, t, mem), write, user};
    say(&p, "target %s\n", t->name);
    for (uint32_t i = 0; i < p.cost->entries.n; i++)
        if (!only || !strcmp(only, name_of(&p, &p.cost->entries.at[i]))) entry(&p, &p.cost->entries.at[i]);
    totals(&p);
    say(&p, "\n");
    if (p.cost->unit_flops > 0)
        say(&p, "forwards and backwards: in passes of `%s` over a batch, %.4g MFLOP each\n", p.cost->model, p.cost->unit_flops / 1e6);
    say(&p, "memory: %.6g MB for all entries in turn (at least %.6g MB under this order), %.6g MB of states\n",
        (double)mem->temp_bytes / 1e6, (double)mem->lower_bound_bytes / 1e6, state_bytes(g) / 1e6);
    steps(&p);
    say(&p, "times are estimates from %g GFLOP/s and %g GB/s: the larger of both for each instruction, nothing for launching it\n",
        t->low_dtype == ADV_F32 || t->float_dtype == ADV_F64 ? t->gflops : t->low_gflops, t->gbytes);
}
