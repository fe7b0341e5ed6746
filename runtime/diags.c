/* diags.c: diagnostics as adv.h shows them: as data, and as text (base/diag_print.c). */
#include "runtime/ctx.h"

#include <string.h>

AdvStatus adv_diags_open(AdvCtx *ctx, AdvDiags **out_diags)
{
    if (!ctx || !out_diags) return ADV_EINVAL;
    *out_diags = adv_diags_new(ctx->alloc);
    return *out_diags ? ADV_OK : ADV_ENOMEM;
}

void adv_diags_count(const AdvDiags *ds, uint32_t *out_errors, uint32_t *out_warnings)
{
    if (out_errors) *out_errors = ds ? ds->n_errors : 0;
    if (out_warnings) *out_warnings = ds ? ds->n_warnings : 0;
}

int32_t adv_diags_at(const AdvDiags *ds, uint32_t ix, const char **out_message)
{
    bool is_there = ds && ix < ds->list.n;
    if (out_message) *out_message = is_there ? ds->list.at[ix]->message : NULL;
    return is_there ? adv_diag_defs[ds->list.at[ix]->id].code : 0;
}

/* File, line and column of a span; leaves them NULL and 0 where it is no place. */
static void place(const AdvDiags *ds, AdvSpan at, const char **file, uint32_t *line, uint32_t *column, uint32_t *n_bytes)
{
    const AdvSource *src = adv_source_of(&ds->sources, at);
    if (!src) return;
    AdvLineCol lc = adv_line_col(src, at.off);
    *file = src->name;
    *line = lc.line;
    *column = lc.col;
    *n_bytes = at.len;
}

AdvStatus adv_diags_get(const AdvDiags *ds, uint32_t ix, AdvDiagInfo *out_info)
{
    AdvDiagInfo i = {0};
    if (!ds || ix >= ds->list.n) return ADV_EINVAL;
    const AdvDiag *d = ds->list.at[ix];
    i.code = adv_diag_defs[d->id].code;
    i.level = d->level;
    i.message = d->message;
    i.n_notes = d->labels.n + d->notes.n + d->helps.n + d->chain.n;
    place(ds, d->span, &i.file, &i.line, &i.column, &i.n_bytes);
    return adv_info_write(out_info, &i, sizeof i);
}

AdvStatus adv_diags_note(const AdvDiags *ds, uint32_t ix, uint32_t k, AdvDiagNote *out_note)
{
    AdvDiagNote n = {0};
    AdvSpan at = {0, 0, 0};
    if (!ds || ix >= ds->list.n) return ADV_EINVAL;
    const AdvDiag *d = ds->list.at[ix];
    if (k < d->labels.n) {
        n.kind = ADV_NOTE_LABEL;
        n.text = d->labels.at[k].text;
        at = d->labels.at[k].span;
    } else if ((k -= d->labels.n) < d->notes.n) {
        n.kind = ADV_NOTE_NOTE;
        n.text = d->notes.at[k].text;
        at = d->notes.at[k].span;
    } else if ((k -= d->notes.n) < d->helps.n) {
        n.kind = ADV_NOTE_HELP;
        n.text = d->helps.at[k];
    } else if ((k -= d->helps.n) < d->chain.n) {
        n.kind = ADV_NOTE_CHAIN;
        n.text = d->chain.at[k];
    } else {
        return ADV_EINVAL;
    }
    place(ds, at, &n.file, &n.line, &n.column, &n.n_bytes);
    return adv_info_write(out_note, &n, sizeof n);
}

void adv_diags_render(const AdvDiags *ds, int32_t format, AdvWriteFn *write, void *user)
{
    if (!ds || !write) return;
    if (format == ADV_PRINT_JSON) adv_diags_print_json(ds, write, user);
    else if (format == ADV_PRINT_SHORT) adv_diags_print_short(ds, write, user);
    else adv_diags_print_human(ds, format == ADV_PRINT_COLOR, write, user);
}
