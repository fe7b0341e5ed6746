/* diag.c: collecting messages. Rendering is in diag_print.c.
**
** A list's arena has no trap, so every step here may find no memory; what was being added is then left out, and the counts
** stay true. NULL records are ignored throughout, so that code that reports need not ask whether anybody listens.
*/
#include "runtime/base/diag.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

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
    memcpy(ds->version, ADV_VERSION, sizeof ADV_VERSION);
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

void adv_diags_clear(AdvDiags *ds)
{
    if (!ds) return;
    AdvAlloc alloc = ds->arena.alloc;
    adv_arena_fini(&ds->arena);
    adv_arena_init(&ds->arena, alloc);
    adv_sources_init(&ds->sources, &ds->arena);
    memset(&ds->list, 0, sizeof ds->list);
    ds->last = NULL;
    ds->n_errors = ds->n_warnings = 0;
}

static uint32_t *count_of(AdvDiags *ds, uint8_t level)
{
    return level == ADV_LEVEL_ERROR ? &ds->n_errors : level == ADV_LEVEL_WARNING ? &ds->n_warnings : NULL;
}

static bool is_listed(const AdvDiags *ds, AdvDiagId id, AdvSpan span, const char *message)
{
    for (uint32_t i = 0; i < ds->list.n; i++) {
        const AdvDiag *d = ds->list.at[i];
        if (d->id == id && d->span.file == span.file && d->span.off == span.off && d->span.len == span.len && !strcmp(d->message, message))
            return true;
    }
    return false;
}

/* Nobody reads a name of a million letters: a text beyond MAX_TEXT_BYTES loses its middle. Cut between characters. */
enum { MAX_TEXT_BYTES = 2048, KEPT_TAIL_BYTES = 512 };

static const char *shortened(char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (n <= MAX_TEXT_BYTES) return s;
    size_t head = MAX_TEXT_BYTES - KEPT_TAIL_BYTES - 3, tail = n - KEPT_TAIL_BYTES;
    while (head > 0 && ((unsigned char)s[head] & 0xC0) == 0x80) head--;
    while (tail < n && ((unsigned char)s[tail] & 0xC0) == 0x80) tail++;
    memcpy(s + head, "...", 3);
    memmove(s + head + 3, s + tail, n - tail + 1);
    return s;
}

static AdvDiag *add(AdvDiags *ds, AdvDiagId id, AdvSpan span, const char *fmt, va_list args)
{
    if (!ds) return NULL;
    assert(id < ADV_D_COUNT);
    uint8_t level = adv_diag_defs[id].level;
    uint32_t *count = count_of(ds, level);
    ds->last = NULL;
    if (ds->allowed[id]) return NULL;
    if (count && *count >= ADV_DIAG_MAX_ERRORS) {
        ++*count;
        return NULL;
    }
    AdvDiag *d = ADV_NEW(&ds->arena, AdvDiag);
    const char *message = shortened(adv_arena_vprintf(&ds->arena, fmt, args));
    if (message && span.file && is_listed(ds, id, span, message)) return NULL;
    if (count) ++*count;
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
    const char *text = shortened(adv_arena_vprintf(&(d)->owner->arena, (fmt), args)); \
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
