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
    bool is_small; /* units a thousand times smaller: no instruction has a million operations */
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

/* With a prefix that leaves one to three digits before the point: "268.9 MFLOP". */
static const char *amount(const Print *p, double v, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    size_t k = 0;
    for (; v >= 1000 && k + 1 < sizeof prefixes / sizeof *prefixes; k++) v /= 1000;
    return adv_arena_printf(p->arena, "%.4g %s%s", v, prefixes[k], unit);
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
    else adv_table_cell(t, "%*s%s%s", (int)(2 * r->depth), "", n->with_prev ? "& " : "", n->op->name);
    adv_table_cell(t, "%s", has_out ? shape(p, &v->type) : "");
    adv_table_cell(t, "%s", has_out ? adv_dtype_name(v->type.dtype) : "");
    adv_table_cell(t, "%s", has_out ? rates[v->rate] : "");
    if (!is_loop) {
        adv_table_cell(t, "%.0f", r->times);
        adv_table_cell(t, "%.3f", r->times * r->flops / (p->is_small ? 1e3 : 1e6));
        adv_table_cell(t, "%.3f", r->times * r->bytes / (p->is_small ? 1e3 : 1e6));
        adv_table_cell(t, "%.2f", r->times * r->seconds * 1e6);
    } else {
        for (int k = 0; k < 4; k++) adv_table_cell(t, "%s", "");
    }
    adv_table_cell(t, "%s", place(p, n->loc));
}

static void entry(const Print *p, const AdvCostEntry *e)
{
    AdvTable t = {.arena = p->arena};
    say(p, "\n%s\n", name_of(p, e));
    adv_table_columns(&t, p->is_small ? "# >|op <|output <|type <|rate <|times >|kFLOP >|kB >|us >|recipe <"
                                      : "# >|op <|output <|type <|rate <|times >|MFLOP >|MB >|us >|recipe <");
    for (uint32_t i = e->first; i < e->first + e->n_rows; i++) row(p, &t, i);
    adv_table_print(&t, p->write, p->user);
}

static void totals(const Print *p)
{
    AdvTable t = {.arena = p->arena};
    adv_table_columns(&t, p->is_small ? "entry <|instructions >|launches >|MFLOP >|MB >|forwards >|backwards >|ms >|memory kB >|peak at <"
                                      : "entry <|instructions >|launches >|GFLOP >|GB >|forwards >|backwards >|ms >|memory MB >|peak at <");
    for (uint32_t i = 0; i < p->cost->entries.n; i++) {
        const AdvCostEntry *e = &p->cost->entries.at[i];
        adv_table_cell(&t, "%s", name_of(p, e));
        adv_table_cell(&t, "%u", (unsigned)e->n_rows);
        adv_table_cell(&t, "%.0f", e->launches);
        adv_table_cell(&t, "%.3f", e->flops / (p->is_small ? 1e6 : 1e9));
        adv_table_cell(&t, "%.3f", e->bytes / (p->is_small ? 1e6 : 1e9));
        adv_table_cell(&t, "%.2f", e->forwards);
        adv_table_cell(&t, "%.2f", e->backwards);
        adv_table_cell(&t, "%.3f", e->seconds * 1e3);
        adv_table_cell(&t, "%.2f", (double)e->peak_bytes / (p->is_small ? 1e3 : 1e6));
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
    double s = batch + longest;
    if (name) say(p, "a training step (batch and %s): %.4g %s at best\n", name, s < 1 ? s * 1e3 : s, s < 1 ? "ms" : "s");
}

void adv_cost_print(AdvArena *arena, const AdvGraph *g, const AdvTarget *t, const AdvMemPlan *mem, const char *only, AdvWriteFn *write,
                    void *user)
{
    Print p = {arena, g, t, adv_cost(arena, g, t, mem), write, user, true};
    for (uint32_t i = 0; i < p.cost->rows.n; i++) p.is_small &= p.cost->rows.at[i].times * p.cost->rows.at[i].flops < 1e6;
    say(&p, "target %s\n", t->name);
    for (uint32_t i = 0; i < p.cost->entries.n; i++)
        if (!only || !strcmp(only, name_of(&p, &p.cost->entries.at[i]))) entry(&p, &p.cost->entries.at[i]);
    totals(&p);
    say(&p, "\n");
    if (p.cost->unit_flops > 0)
        say(&p, "forwards and backwards: in passes of `%s` over a batch, %s each\n", p.cost->model, amount(&p, p.cost->unit_flops, "FLOP"));
    say(&p, "memory: %s of values, of which %s live at once, and %s of states\n", amount(&p, (double)mem->temp_bytes, "B"),
        amount(&p, (double)mem->lower_bound_bytes, "B"), amount(&p, state_bytes(g), "B"));
    steps(&p);
    say(&p, "launches: of all turns; &: in one launch with the line above\n");
    say(&p, "FLOP, bytes (read and written) and us: of all turns of the loops around, which `times` counts; cl: channels last\n");
    say(&p, "us, ms: estimates from %g GFLOP/s and %g GB/s, the larger of both for each instruction, nothing for launching it\n",
        t->low_dtype == ADV_F32 || t->float_dtype == ADV_F64 ? t->gflops : t->low_gflops, t->gbytes);
}
