/* explain.c: which kernel runs each instruction, and why none that would be tried before it does.
**
** The numbers are those of `advc plan --explain` for the same target. Refusals are asked for again, not remembered: `can` is pure.
*/
#include "runtime/base/table.h"
#include "runtime/session.h"

#include "ops/shape.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Explain {
    const AdvSession *s;
    AdvArena *arena;
    AdvWriteFn *write;
    void *user;
} Explain;

static void say(const Explain *x, const char *fmt, ...) ADV_PRINTF(2, 3);
static void say(const Explain *x, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *s = adv_arena_vprintf(x->arena, fmt, ap);
    va_end(ap);
    x->write(x->user, s, strlen(s));
}

static const char *runs_on(const AdvSession *s, const AdvBound *b)
{
    return b->kernel ? b->kernel->name : s->be->does_nothing ? "null" : "ref";
}

/* The kernels before the one that was chosen: "NAME: why it refuses", split by "; ". */
static const char *refusals(const Explain *x, const AdvBound *b)
{
    const AdvSession *s = x->s;
    uint32_t n;
    const char *all = "";
    const AdvKernel *const *ks = adv_registry_kernels(&s->ctx->reg, s->be->name, b->sig.op->name, &n);
    for (uint32_t i = 0; i < n && ks[i] != b->kernel; i++) {
        const char *why = "";
        if (!adv_kernel_can(ks[i], &b->sig, &why))
            all = adv_arena_printf(x->arena, "%s%s%s: %s", all, all[0] ? "; " : "", ks[i]->name, why);
    }
    return all;
}

static void inst(const Explain *x, AdvTable *t, uint32_t ix, uint32_t depth)
{
    const AdvSession *s = x->s;
    const AdvBound *b = &s->bound[ix];
    const AdvPlanInst *in = &s->t->insts[ix];
    bool is_loop = (b->sig.op->flags & ADV_OP_STRUCT) != 0;
    char place[256], type[ADV_SHAPE_TEXT] = "";
    adv_fault_place(s->plan, in->loc, place, sizeof place);
    adv_table_cell(t, "%u", (unsigned)ix);
    if (is_loop) {
        adv_table_cell(t, "%*sloop, %lld turns", (int)(2 * depth), "", (long long)b->sig.attr[0].i);
        for (int k = 0; k < 3; k++) adv_table_cell(t, "%s", "");
    } else {
        if (in->n_out) (void)adv_type_text(&s->t->values[s->t->operands[in->out_at]].type, type);
        adv_table_cell(t, "%*s%s%s", (int)(2 * depth), "", in->with_prev ? "& " : "", b->sig.op->name);
        adv_table_cell(t, "%s", type);
        adv_table_cell(t, "%s", runs_on(s, b));
        adv_table_cell(t, "%.1f", (double)b->scratch_bytes / 1e3);
    }
    adv_table_cell(t, "%s", place);
    adv_table_cell(t, "%s", is_loop ? "" : refusals(x, b));
}

static void range(const Explain *x, AdvTable *t, uint32_t first, uint32_t n, uint32_t depth)
{
    const AdvPlanInst *insts = x->s->t->insts;
    for (uint32_t i = first; i < first + n; i += 1 + insts[i].n_body) {
        inst(x, t, i, depth);
        range(x, t, i + 1, insts[i].n_body, depth + 1);
    }
}

/* Each kernel with the number of instructions it runs, in order of first use. */
static void summary(const Explain *x)
{
    const AdvSession *s = x->s;
    AdvTable t = {.arena = x->arena};
    adv_table_columns(&t, "kernel <|instructions >");
    for (uint32_t i = 0; i < s->t->n_insts; i++) {
        uint32_t n = 0, first = i;
        if (s->bound[i].sig.op->flags & ADV_OP_STRUCT) continue;
        for (uint32_t k = 0; k < s->t->n_insts; k++) {
            if ((s->bound[k].sig.op->flags & ADV_OP_STRUCT) || strcmp(runs_on(s, &s->bound[k]), runs_on(s, &s->bound[i]))) continue;
            if (k < first) first = k;
            n++;
        }
        if (first < i) continue;
        adv_table_cell(&t, "%s", runs_on(s, &s->bound[i]));
        adv_table_cell(&t, "%u", (unsigned)n);
    }
    say(x, "\n");
    adv_table_print(&t, x->write, x->user);
}

static void explain(const Explain *x)
{
    const AdvSession *s = x->s;
    say(x, "back end %s (%s), target %s\n", s->be->name, s->device, s->t->name);
    for (uint32_t e = 0; e < s->t->n_entries; e++) {
        AdvTable t = {.arena = x->arena};
        say(x, "\n%s\n", adv_plan_str(s->plan, s->t->entries[e].name));
        adv_table_columns(&t, "# >|op <|output <|kernel <|scratch kB >|recipe <|refused before it <");
        range(x, &t, s->t->entries[e].first, s->t->entries[e].n_insts, 0);
        adv_table_print(&t, x->write, x->user);
    }
    summary(x);
    say(x, "\nscratch: %.1f kB, shared by all instructions; %u of %u instructions run on ref\n", (double)s->scratch_bytes / 1e3,
        (unsigned)s->n_on_ref, (unsigned)s->t->n_insts);
}

AdvStatus adv_session_explain(const AdvSession *s, void (*write)(void *user, const char *text, size_t n_bytes), void *user)
{
    AdvArena arena;
    jmp_buf trap;
    volatile AdvStatus st = ADV_ENOMEM;
    if (!s || !write) return ADV_EINVAL;
    adv_arena_init(&arena, s->ctx->alloc);
    arena.trap = &trap;
    if (!setjmp(trap)) {
        Explain x = {s, &arena, write, user};
        explain(&x);
        st = ADV_OK;
    }
    adv_arena_fini(&arena);
    return st;
}
