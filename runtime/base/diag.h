/* diag.h: messages to people. One record, collected first, rendered at the end (diag_print.c).
**
** A diagnostic has a stable code (diag.def), a level, a message, labelled spans, notes, helps and a chain of layers.
** Wording (language reference, "Diagnostics"): lower case, no full stop, names in backticks, expected and found in the
** recipe's words; only a help says what to change.
**
**   AdvDiag *d = adv_diag(ds, ADV_D_SHAPE_FIT, span, "`+` needs equal shapes, but its sides are %s and %s", a, b);
**   adv_diag_label(d, span2, "only the stride is tested");
**   adv_diag_help(d, "project the shortcut when the channel count changes");
**
** After ADV_DIAG_MAX_ERRORS errors (warnings) further ones are only counted. What is listed already, word for word at the same
** place, is not added again: functions and nets are checked wherever they are used. Not thread-safe.
*/
#ifndef ADV_BASE_DIAG_H
#define ADV_BASE_DIAG_H

#include "runtime/base/source.h"

#define ADV_DIAG_MAX_ERRORS 20

typedef enum AdvLevel { ADV_LEVEL_ERROR = 0, ADV_LEVEL_WARNING = 1, ADV_LEVEL_NOTE = 2 } AdvLevel;

/* ADV_D_<NAME> from diag.def, in its order. */
typedef enum AdvDiagId {
#define DIAG(id, code, level, name, title) ADV_D_##id,
#include "runtime/base/diag.def"
#undef DIAG
    ADV_D_COUNT
} AdvDiagId;

typedef struct AdvDiagDef {
    uint16_t code;      /* 2104 is printed as ADV2104 */
    uint8_t level;      /* AdvLevel it has by default */
    const char *name;   /* of a lint that --allow and --deny take, or "" */
    const char *title;  /* one line, the heading of its page */
} AdvDiagDef;

extern const AdvDiagDef adv_diag_defs[ADV_D_COUNT];

typedef struct AdvLabel { AdvSpan span; const char *text; } AdvLabel;

typedef struct AdvDiags AdvDiags;
typedef struct AdvDiag {
    AdvDiags *owner;
    uint16_t id;              /* AdvDiagId */
    uint8_t level;            /* AdvLevel */
    AdvSpan span;             /* file 0: no place */
    const char *message;
    ADV_VEC(AdvLabel) labels;     /* in the order given */
    ADV_VEC(AdvLabel) notes;      /* a note may have a place */
    ADV_VEC(const char *) helps;
    ADV_VEC(const char *) chain;  /* chain of layers, a line each */
} AdvDiag;

struct AdvDiags {
    char version[16];         /* ADV_VERSION of the library that made it: libadvc must be of the same */
    AdvArena arena;           /* own memory, without a trap: a message that finds no memory is only counted */
    AdvSources sources;       /* what spans refer to */
    ADV_VEC(AdvDiag *) list;
    AdvDiag *last;            /* what adv_fail_while adds to: NULL when the newest was only counted */
    uint32_t n_errors, n_warnings;  /* all, also those not listed */
    uint8_t allowed[ADV_D_COUNT];   /* lints that are not wanted: neither listed nor counted */
};

/* Creates an empty list / frees one (NULL allowed). The list owns everything in it. NULL when out of memory. */
AdvDiags *adv_diags_new(AdvAlloc alloc);
ADV_API void adv_diags_free(AdvDiags *ds);

/* Empties a list (NULL allowed); lints that are not wanted stay so. */
ADV_API void adv_diags_clear(AdvDiags *ds);

/* Adds a diagnostic and returns it for labels, notes and helps. NULL when `ds` is NULL, when it is allowed or listed already, when
*ADV_DIAG_MAX_ERRORS of its level
** are listed already, or when memory is out; the functions below ignore a NULL record, so callers never test. The level is
** the code's own. A label whose span is the diagnostic's own span is the caption of its carets. */
AdvDiag *adv_diag(AdvDiags *ds, AdvDiagId id, AdvSpan span, const char *fmt, ...) ADV_PRINTF(4, 5);
void adv_diag_label(AdvDiag *d, AdvSpan span, const char *fmt, ...) ADV_PRINTF(3, 4);
void adv_diag_note(AdvDiag *d, AdvSpan span, const char *fmt, ...) ADV_PRINTF(3, 4);
void adv_diag_help(AdvDiag *d, const char *fmt, ...) ADV_PRINTF(2, 3);
void adv_diag_chain(AdvDiag *d, const char *fmt, ...) ADV_PRINTF(2, 3);

/* Gives a diagnostic another level than its code's (a lint that was denied), and keeps the counts true. */
void adv_diag_relevel(AdvDiag *d, AdvLevel level);

/* Records a machine failure and returns `st`: the one place where a status is born, so one breakpoint sees them all.
**   return adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot write `%s`: %s", path, strerror(errno)); */
AdvStatus adv_fail(AdvDiags *ds, AdvStatus st, AdvDiagId id, const char *fmt, ...) ADV_PRINTF(4, 5);

/* Adds the note "while ..." to the newest diagnostic and returns `st` unchanged. `fmt` begins after "while ". */
AdvStatus adv_fail_while(AdvDiags *ds, AdvStatus st, const char *fmt, ...) ADV_PRINTF(3, 4);

/* The name of a status, e.g. "ADV_EIO". */
ADV_API const char *adv_status_name(AdvStatus st);

/* The exit code the programs use for a status (experience of the tools: 0, 1, 64.., 80). */
ADV_API int adv_status_exit(AdvStatus st);

/* Rendering. color: ANSI colours. */
void adv_diags_print_human(const AdvDiags *ds, int color, AdvWriteFn *write, void *user);
void adv_diags_print_short(const AdvDiags *ds, AdvWriteFn *write, void *user);   /* file:line:col: level[CODE]: message */
void adv_diags_print_json(const AdvDiags *ds, AdvWriteFn *write, void *user);    /* one JSON object a line */

/* The known name nearest to `word` (edit distance at most a third of its length, at least 1), or NULL; none for words of
** one letter and of more than 64. Of equally near names the first. */
const char *adv_nearest(const char *word, const char *const *names, size_t n_names);

#define ADV_TRY(expr) do { AdvStatus try_st = (expr); if (try_st != ADV_OK) return try_st; } while (0)

#endif
