/* diag.c: what the elaborator's errors have in common: the calls that lead to a place, the chain of layers that a net
** has passed, where an overridden or passed-in number comes from, and the limits on what a recipe may unfold into.
**
** A recipe is checked by running it, so one mistake in a function that is called often would be reported often: lists drop a
** message that says the same of the same place (diag.c). The limits exist because twenty short lines can call each other a
** million times: without them the compiler would take all memory instead of saying so.
*/
#include "compiler/elab/elab.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#define MAX_CALL_NOTES 3
#define MAX_ALL_CALLS  (1u << 16) /* a WRN-34-10 with a learned budget has 2,400 calls, 6,500 nodes and 600 states */
#define MAX_NODES      (1u << 17)
#define MAX_STATES     (1u << 13)
#define MAX_ELEMS      (INT64_C(1) << 34) /* of one tensor: 64 GiB */

/* ---- messages ---- */

static void note_calls(El *el, AdvDiag *d)
{
    uint32_t n = 0, left = 0;
    ElFrame *last = NULL;
    if (!d) return;
    for (ElFrame *f = el->frame; f && f->up; f = f->up) {
        if (!f->at.file || !f->what[0] || (f->up->at.file == f->at.file && f->up->at.off == f->at.off && f->up->at.len == f->at.len))
            continue;
        if (n < MAX_CALL_NOTES)
            adv_diag_note(d, f->at, "in `%s`, called here", f->what), n++;
        else
            last = f, left++;
    }
    if (left > 1) adv_diag_note(d, (AdvSpan){0, 0, 0}, "and so on, %u calls in between", left - 1);
    if (last) adv_diag_note(d, last->at, "in `%s`, called here", last->what);
}

static bool about_layers(uint16_t id)
{
    return id == ADV_D_SHAPE_FIT || id == ADV_D_SHAPE_RULE || id == ADV_D_WEIGHT_SHAPE || id == ADV_D_TOO_BIG;
}

AdvDiag *el_diag(El *el, AdvDiagId id, AdvSpan at, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    AdvDiag *d = adv_diag(el->ds, id, at, "%s", text);
    note_calls(el, d);
    el_diag_chain(el, d);
    return d;
}

ElVal el_error(El *el, AdvDiagId id, AdvSpan at, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)el_diag(el, id, at, "%s", text);
    return el_poison(at);
}

void el_diag_keys(El *el, AdvDiag *d, const char *word, const char *const *keys)
{
    size_t n = 0;
    const char *all = "";
    while (keys[n]) n++;
    const char *near = adv_nearest(word, keys, n);
    for (size_t i = 0; i < n; i++) all = adv_arena_printf(el->arena, "%s%s`%s`", all, i ? ", " : "", keys[i]);
    if (near) adv_diag_help(d, "did you mean `%s`?", near);
    if (n && n <= 12) adv_diag_help(d, n == 1 ? "there is only %s" : "there are %s", all);
}

void el_given_twice(El *el, const char *key, AdvSpan at, AdvSpan first)
{
    AdvDiag *d = el_diag(el, ADV_D_DUPLICATE, at, "`%s` is given twice", key);
    adv_diag_note(d, first, "first given here");
    adv_diag_help(d, "leave one of them out");
}

const char *el_text(El *el, AdvSpan at)
{
    const AdvSource *src = at.file ? adv_source_of(&el->ds->sources, at) : NULL;
    if (!src || !at.len || at.len > 40) return "this";
    for (uint32_t i = 0; i < at.len; i++)
        if (!isprint((unsigned char)src->text[at.off + i])) return "this";
    return adv_arena_printf(el->arena, "`%.*s`", (int)at.len, src->text + at.off);
}

/* ---- where a number comes from ---- */

static const char set_prefix[] = "--set ";

bool el_is_override(const El *el, AdvSpan at)
{
    return at.file && !strncmp(adv_source_of(&el->ds->sources, at)->name, set_prefix, sizeof set_prefix - 1);
}

void el_diag_origin(El *el, AdvDiag *d, ElVal v)
{
    if (!d || !v.born.file || v.kind != EL_NUMBER) return;
    bool inside = v.born.file == d->span.file && v.born.off >= d->span.off && v.born.off + v.born.len <= d->span.off + d->span.len;
    if (el_is_override(el, v.born))
        adv_diag_note(d, inside ? (AdvSpan){0, 0, 0} : v.born, "the value was given on the command line, by `%s=...`",
                      adv_source_of(&el->ds->sources, v.born)->name);
    else if (!inside)
        adv_diag_note(d, v.born, "the value is given here");
}

/* ---- the chain of layers ---- */

/* "layer1.0.conv1" of the layer `leaf` in the present net. */
static const char *layer_path(El *el, const char *leaf)
{
    const char *prefix = strchr(adv_str(el->names, el->frame->prefix), '.');
    return prefix ? adv_arena_printf(el->arena, "%s%s%s", prefix + 1, leaf[0] ? "." : "", leaf) : leaf;
}

static const char *place(El *el, AdvSpan at)
{
    if (!at.file) return "";
    const AdvSource *src = adv_source_of(&el->ds->sources, at);
    const char *slash = strrchr(src->name, '/');
    return adv_arena_printf(el->arena, "%s:%u", slash ? slash + 1 : src->name, adv_line_col(src, at.off).line);
}

void el_diag_chain(El *el, AdvDiag *d)
{
    if (!d || !about_layers(d->id) || d->chain.n || !el->frame || !el->frame->is_net || !el->frame->memo) return;
    const ElMemo *memo = el->frame->memo;
    for (uint32_t i = 0; i < memo->layers.n; i++) {
        const ElLayer *l = &memo->layers.at[i];
        if (l->at.file)
            adv_diag_chain(d, "%-24s %-20s %s", l->name, l->shape, place(el, l->at));
        else
            adv_diag_chain(d, "%-24s %s", l->name, l->shape);
    }
    const char *here = el->layer ? layer_path(el, el->layer) : layer_path(el, "");
    adv_diag_chain(d, "%-24s %-20s %s", here[0] ? here : el->frame->what, "<- here", place(el, d->span));
}

uint32_t el_layers_begin(El *el) { return el->frame && el->frame->memo ? el->frame->memo->layers.n : 0; }

void el_layers_end(El *el, uint32_t from, const char *name, ElVal result, AdvSpan at)
{
    ElMemo *memo = el->frame ? el->frame->memo : NULL;
    if (!memo || el_bad(result)) return;
    if (memo->layers.n > from) memo->layers.n = from;
    *ADV_PUSH(el->arena, &memo->layers) = (ElLayer){layer_path(el, name), el_describe(el, result), at};
}

/* ---- limits ---- */

bool el_size_ok(El *el, const AdvTensorType *t, AdvSpan at)
{
    int64_t n = 1;
    bool ok = true;
    char text[160];
    int len = snprintf(text, sizeof text, "[");
    for (uint32_t i = 0; i < t->rank; i++) {
        if (t->dim[i] && __builtin_mul_overflow(n, t->dim[i], &n)) ok = false;
        len += snprintf(text + len, sizeof text - (size_t)len, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    }
    if (ok && n <= MAX_ELEMS) return true;
    el_error(el, ADV_D_TOO_BIG, at, "this needs a tensor of %s], which no machine holds", text);
    return false;
}

bool el_work_ok(El *el, AdvSpan at)
{
    if (el->gave_up) return false;
    bool calls = el->n_calls > MAX_ALL_CALLS, nodes = el->g->nodes.n > MAX_NODES;
    if (!calls && !nodes && el->g->states.n <= MAX_STATES) return true;
    el->gave_up = true;
    el_error(el, ADV_D_TOO_BIG, at, "the recipe unfolds into more than %u %s",
             calls   ? MAX_ALL_CALLS
             : nodes ? MAX_NODES
                     : MAX_STATES,
             calls   ? "calls"
             : nodes ? "operations"
                     : "tensors of weights");
    return false;
}
