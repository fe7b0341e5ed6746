/* profile.c: time of each instruction, and of each line of the recipe.
**
** A line of the first table begins with the instruction in the syntax of tests/ops/<op>.case, so that it pastes into a test:
** `conv2d x=64x16x32x32 w=16x16x3x3 stride=1 pad=1`, a `#`, then kernel, place and numbers. GB/s counts each operand once.
** Timing wraps the launch, or is the device's own where a back end has such a clock.
**
** The trace is a list of the first MAX_EVENTS instructions, each with its begin and length, kept when it was asked for.
*/
#include "runtime/base/number.h"
#include "runtime/session.h"

#include "ops/view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP_LINES = 20, MAX_EVENTS = 1 << 18 };

typedef struct Cell { uint64_t ns, best_ns, n_runs; } Cell;
typedef struct Event { uint64_t at_ns, ns; uint32_t inst, entry; } Event;
struct AdvProfile {
    Cell *cells;      /* one an instruction */
    Event *events;    /* MAX_EVENTS; NULL: no trace was asked for */
    uint32_t n_events;
};

AdvStatus adv_profile_open(AdvSession *s, AdvDiags *ds)
{
    AdvProfile *p = adv_mem_new0(&s->ctx->alloc, sizeof *p);
    s->profile = p;
    if (p) p->cells = adv_mem_new0(&s->ctx->alloc, sizeof *p->cells * (s->t->n_insts + 1));
    bool is_traced = (s->flags & ADV_SESSION_TRACE) != 0;
    if (p && is_traced) p->events = adv_mem_new(&s->ctx->alloc, sizeof *p->events * MAX_EVENTS);
    if (!p || !p->cells || (is_traced && !p->events))
        return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening a session");
    return ADV_OK;
}

void adv_profile_close(AdvSession *s)
{
    AdvProfile *p = s->profile;
    if (!p) return;
    if (p->events) adv_mem_free(&s->ctx->alloc, p->events, sizeof *p->events * MAX_EVENTS);
    if (p->cells) adv_mem_free(&s->ctx->alloc, p->cells, sizeof *p->cells * (s->t->n_insts + 1));
    adv_mem_free(&s->ctx->alloc, p, sizeof *p);
    s->profile = NULL;
}

void adv_profile_add(AdvSession *s, uint32_t entry, uint32_t inst, uint64_t at_ns, uint64_t ns)
{
    AdvProfile *p = s->profile;
    Cell *c = &p->cells[inst];
    if (p->events && p->n_events < MAX_EVENTS) p->events[p->n_events++] = (Event){at_ns, ns, inst, entry};
    c->ns += ns;
    if (!c->n_runs++ || ns < c->best_ns) c->best_ns = ns;
}

typedef struct Text { char at[1024]; size_t n; } Text;

static void put(Text *t, const char *fmt, ...) ADV_PRINTF(2, 3);
static void put(Text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->at + t->n, sizeof t->at - t->n, fmt, ap);
    va_end(ap);
    if (n > 0) t->n += (size_t)n < sizeof t->at - t->n ? (size_t)n : sizeof t->at - t->n - 1;
}

static void put_view(Text *t, const char *name, const AdvView *v)
{
    put(t, " %s=", name);
    if (!v->rank) put(t, "()");
    for (uint32_t k = 0; k < v->rank; k++) put(t, k ? "x%" PRId64 : "%" PRId64, v->dim[k]);
    if (v->dtype == ADV_I32 || v->dtype == ADV_I64 || v->dtype == ADV_U8) put(t, ":%s", adv_dtype_name(v->dtype));
}

static void put_attr(Text *t, const AdvAttrDef *def, const AdvAttr *a)
{
    put(t, " %s=", def->name);
    if (def->kind == ADV_ATTR_FLOAT) {
        put(t, "%s", adv_number_text(a->f, 17).at);
    } else if (def->kind == ADV_ATTR_INT) {
        put(t, "%" PRId64, a->i);
    } else if (def->kind == ADV_ATTR_ENUM) {
        const char *c = def->choices;
        for (int64_t i = 0; i < a->i && c; i++) {
            c = strchr(c, '|');
            if (c) c++;
        }
        put(t, "%.*s", c ? (int)strcspn(c, "|") : 1, c ? c : "?");
    } else {
        put(t, "[");
        for (uint32_t i = 0; i < a->n; i++) {
            if (def->kind == ADV_ATTR_INTS) put(t, i ? ",%" PRId64 : "%" PRId64, a->ints[i]);
            else if (def->kind == ADV_ATTR_OPS) put(t, i ? ",%s" : "%s", a->ops[i]->name);
            else put(t, i ? ",%s" : "%s", adv_number_text(a->floats[i], 17).at);
        }
        put(t, "]");
    }
}

static void put_case(Text *t, const AdvSig *sig)
{
    const AdvOpDef *op = sig->op;
    uint32_t n = adv_op_n_in(op);
    put(t, "%s", op->name);
    for (uint32_t k = 0; k < sig->n_in; k++) {
        put_view(t, op->in[k < n ? k : n].name, &sig->in[k]);
    }
    for (uint32_t k = 0; k < adv_op_n_attrs(op); k++) put_attr(t, &op->attrs[k], &sig->attr[k]);
}

static void print_insts(const AdvSession *s, AdvWriteFn *write, void *user)
{
    for (uint32_t i = 0; i < s->t->n_insts; i++) {
        const Cell *c = &s->profile->cells[i];
        const AdvBound *b = &s->bound[i];
        char place[256];
        Text t = {.n = 0};
        if (!c->n_runs) continue;
        double us = (double)c->ns / 1e3 / (double)c->n_runs;
        adv_fault_place(s->plan, s->t->insts[i].loc, place, sizeof place);
        put_case(&t, &b->sig);
        bool is_list = b->list && s->check == ADV_CHECK_OFF;
        double n_bytes = 0;
        for (uint32_t k = 0; k < (is_list ? b->n_list : 1); k++) n_bytes += adv_sig_bytes(&b[k].sig);
        put(&t, "  # %s %s %s, %" PRIu64 " runs, %.1f us, best %.1f us, %.2f GB/s, total %.1f ms", place,
            is_list     ? b->list->kernel->name
            : b->kernel ? b->kernel->name
                        : "ref",
            adv_dtype_name(b->sig.n_out ? b->sig.out[0].dtype : ADV_F32), c->n_runs, us, (double)c->best_ns / 1e3,
            us > 0 ? n_bytes / us / 1e3 : 0, (double)c->ns / 1e6);
        if (is_list) put(&t, ", a list of %u", (unsigned)b->n_list);
        t.at[t.n++] = '\n';
        write(user, t.at, t.n);
    }
}

typedef struct Line { char place[128]; uint64_t ns; } Line;

static int by_place(const void *a, const void *b)
{
    return strcmp(((const Line *)a)->place, ((const Line *)b)->place);
}

static int by_cost(const void *a, const void *b)
{
    const Line *x = a, *y = b;
    return x->ns != y->ns ? (x->ns < y->ns ? 1 : -1) : strcmp(x->place, y->place);
}

/* The costliest lines of the recipe. Without memory for the table it is left out. */
static void print_lines(const AdvSession *s, AdvWriteFn *write, void *user)
{
    uint32_t n = s->t->n_insts, n_lines = 0;
    uint64_t total = 0;
    Line *ls = adv_mem_new0(&s->ctx->alloc, sizeof *ls * (n + 1));
    if (!ls) return;
    for (uint32_t i = 0; i < n; i++) {
        ls[i].ns = s->profile->cells[i].ns;
        total += ls[i].ns;
        adv_fault_place(s->plan, s->t->insts[i].loc, ls[i].place, sizeof ls[i].place);
    }
    qsort(ls, n, sizeof *ls, by_place);
    for (uint32_t i = 0; i < n; i++) {
        if (n_lines && !strcmp(ls[n_lines - 1].place, ls[i].place)) ls[n_lines - 1].ns += ls[i].ns;
        else ls[n_lines++] = ls[i];
    }
    qsort(ls, n_lines, sizeof *ls, by_cost);
    Text t = {.n = 0};
    put(&t, "\n# costliest lines of the recipe, of %.1f ms\n", (double)total / 1e6);
    write(user, t.at, t.n);
    for (uint32_t i = 0; i < n_lines && i < TOP_LINES && ls[i].ns; i++) {
        t.n = 0;
        put(&t, "# %5.1f%%  %10.1f ms  %s\n", 100.0 * (double)ls[i].ns / (double)total, (double)ls[i].ns / 1e6, ls[i].place);
        write(user, t.at, t.n);
    }
    adv_mem_free(&s->ctx->alloc, ls, sizeof *ls * (n + 1));
}

/* Names and places hold no character that JSON escapes: ops and kernels are words; of a place control characters, quotes and
** backslashes become a question mark. */
void adv_session_trace(const AdvSession *s, void (*write)(void *user, const char *text, size_t n_bytes), void *user)
{
    if (!s || !write) return;
    const AdvProfile *p = s->profile;
    Text t = {.n = 0};
    put(&t, "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n");
    for (uint32_t i = 0; p && i < p->n_events; i++) {
        const Event *e = &p->events[i];
        const AdvBound *b = &s->bound[e->inst];
        char place[128];
        adv_fault_place(s->plan, s->t->insts[e->inst].loc, place, sizeof place);
        for (char *c = place; *c; c++)
            if (*c == '"' || *c == '\\' || (unsigned char)*c < 32) *c = '?';
        put(&t, "{\"name\": \"%s\", \"cat\": \"%s\", \"ph\": \"X\", \"pid\": 1, \"tid\": 1, \"ts\": %s, \"dur\": %s, ", b->sig.op->name,
            adv_plan_str(s->plan, s->t->entries[e->entry].name), adv_number_fixed((double)(e->at_ns - p->events[0].at_ns) / 1e3, 3).at,
            adv_number_fixed((double)e->ns / 1e3, 3).at);
        put(&t, "\"args\": {\"kernel\": \"%s\", \"line\": \"%s\", \"instruction\": %u}}%s\n", b->kernel ? b->kernel->name : "ref", place,
            e->inst, i + 1 < p->n_events ? "," : "");
        write(user, t.at, t.n);
        t.n = 0;
    }
    put(&t, "]}\n");
    write(user, t.at, t.n);
}

void adv_session_profile(const AdvSession *s, void (*write)(void *user, const char *text, size_t n_bytes), void *user)
{
    if (!s || !write || !s->profile || !(s->flags & ADV_SESSION_PROFILE)) return;
    print_insts(s, write, user);
    print_lines(s, write, user);
}
