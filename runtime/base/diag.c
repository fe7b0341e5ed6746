/* diag.c: collecting messages. Rendering is in diag_print.c.
**
** A list's arena has no trap, so every step here may find no memory; what was being added is then left out, and the counts
** stay true. NULL records are ignored throughout, so that code that reports need not ask whether anybody listens.
*/
#include "runtime/base/diag.h"

#include <assert.h>
#include <stdarg.h>

#define DIAG(id, code, level, name, title) {code, level, name, title},
const AdvDiagDef adv_diag_defs[ADV_D_COUNT] = {
#include "runtime/base/diag.def"
};
#undef DIAG

/* Appends `value` to the vec, if memory allows. */
#define TRY_PUSH(arena, v, value) \
    do { \
        void *grown = adv_vec_grow((arena), (v)->at, &(v)->n, &(v)->cap, sizeof *(v)->at); \
        if (!grown) break; \
        (v)->at = grown; \
        (v)->at[(v)->n - 1] = (value); \
    } while (0)

AdvDiags *adv_diags_new(AdvAlloc alloc)
{
    AdvDiags *ds = adv_mem_new0(&alloc, sizeof *ds);
    if (!ds) return NULL;
    adv_arena_init(&ds->arena, alloc);
    adv_sources_init(&ds->sources, &ds->arena);
    return ds;
}

void adv_diags_free(AdvDiags *ds)
{
    if (!ds) return;
    AdvAlloc alloc = ds->arena.alloc;
    adv_arena_fini(&ds->arena);
    adv_mem_free(&alloc, ds, sizeof *ds);
}

static uint32_t *count_of(AdvDiags *ds, uint8_t level)
{
    return level == ADV_LEVEL_ERROR ? &ds->n_errors : level == ADV_LEVEL_WARNING ? &ds->n_warnings : NULL;
}

static AdvDiag *add(AdvDiags *ds, AdvDiagId id, AdvSpan span, const char *fmt, va_list args)
{
    if (!ds) return NULL;
    assert(id < ADV_D_COUNT);
    uint8_t level = adv_diag_defs[id].level;
    uint32_t *count = count_of(ds, level);
    ds->last = NULL;
    if (count && (*count)++ >= ADV_DIAG_MAX_ERRORS) return NULL;
    AdvDiag *d = ADV_NEW(&ds->arena, AdvDiag);
    const char *message = adv_arena_vprintf(&ds->arena, fmt, args);
    if (!d || !message) return NULL;
    *d = (AdvDiag){.owner = ds, .id = (uint16_t)id, .level = level, .span = span, .message = message};
    uint32_t before = ds->list.n;
    TRY_PUSH(&ds->arena, &ds->list, d);
    if (ds->list.n > before) ds->last = d;
    return ds->last;
}

AdvDiag *adv_diag(AdvDiags *ds, AdvDiagId id, AdvSpan span, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    AdvDiag *d = add(ds, id, span, fmt, args);
    va_end(args);
    return d;
}

void adv_diag_relevel(AdvDiag *d, AdvLevel level)
{
    if (!d || d->level == level) return;
    uint32_t *from = count_of(d->owner, d->level), *to = count_of(d->owner, (uint8_t)level);
    if (from) --*from;
    if (to) ++*to;
    d->level = (uint8_t)level;
}

/* Declares `text`, the formatted argument list, or leaves the function when there is nobody or no memory. */
#define FORMAT_OR_RETURN(d, fmt) \
    if (!(d)) return; \
    va_list args; \
    va_start(args, fmt); \
    const char *text = adv_arena_vprintf(&(d)->owner->arena, (fmt), args); \
    va_end(args); \
    if (!text) return

void adv_diag_label(AdvDiag *d, AdvSpan span, const char *fmt, ...)
{
    FORMAT_OR_RETURN(d, fmt);
    TRY_PUSH(&d->owner->arena, &d->labels, ((AdvLabel){span, text}));
}

void adv_diag_note(AdvDiag *d, AdvSpan span, const char *fmt, ...)
{
    FORMAT_OR_RETURN(d, fmt);
    TRY_PUSH(&d->owner->arena, &d->notes, ((AdvLabel){span, text}));
}

void adv_diag_help(AdvDiag *d, const char *fmt, ...)
{
    FORMAT_OR_RETURN(d, fmt);
    TRY_PUSH(&d->owner->arena, &d->helps, text);
}

void adv_diag_chain(AdvDiag *d, const char *fmt, ...)
{
    FORMAT_OR_RETURN(d, fmt);
    TRY_PUSH(&d->owner->arena, &d->chain, text);
}

AdvStatus adv_fail(AdvDiags *ds, AdvStatus st, AdvDiagId id, const char *fmt, ...)
{
    assert(st < 0);
    va_list args;
    va_start(args, fmt);
    (void)add(ds, id, (AdvSpan){0}, fmt, args);
    va_end(args);
    return st;
}

AdvStatus adv_fail_while(AdvDiags *ds, AdvStatus st, const char *fmt, ...)
{
    AdvDiag *d = ds ? ds->last : NULL;
    if (!d) return st;
    va_list args;
    va_start(args, fmt);
    const char *what = adv_arena_vprintf(&ds->arena, fmt, args);
    va_end(args);
    if (what) adv_diag_note(d, (AdvSpan){0}, "while %s", what);
    return st;
}
