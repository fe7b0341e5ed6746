/* diag_print.c: diagnostics as text: for people (source lines with carets), short (one line each) and JSON (one object a line).
**
** Nothing here allocates, since the message may be that memory is out: the marks under source lines are put in order by
** looking for the next one again and again, and JSON is written directly. Text from outside (source lines, names in messages)
** goes through put_clean: control characters and bytes that are not UTF-8 become `?`, so that a file cannot drive a terminal.
** Columns count code points; a tab goes to the next multiple of TAB_COLS. Of a line of more than MAX_LINE_BYTES only the part
** around its first mark is shown.
*/
#include "runtime/base/diag.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TAB_COLS 4u
#define MAX_LINE_BYTES 400u
#define BEFORE_MARK_BYTES 100u
#define CUT "..."

#define COLOR_OFF "\033[0m"
#define COLOR_BOLD "\033[1m"
#define COLOR_GUTTER "\033[1;34m"
#define COLOR_HELP "\033[1;32m"

typedef struct Out {
    AdvWriteFn *write;
    void *user;
    int color;
} Out;

/* By AdvLevel. */
static const char *const level_names[] = {"error", "warning", "note"};
static const char *const level_colors[] = {"\033[1;31m", "\033[1;33m", "\033[1;36m"};

static void put_n(const Out *o, const char *s, size_t n)
{
    if (n) o->write(o->user, s, n);
}

static void put(const Out *o, const char *s)
{
    put_n(o, s, strlen(s));
}

/* Numbers and fixed words only: the result must fit. */
static void ADV_PRINTF(2, 3) put_small(const Out *o, const char *fmt, ...)
{
    char buf[96];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < sizeof buf);
    put_n(o, buf, (size_t)n);
}

static void put_repeated(const Out *o, char c, uint32_t n)
{
    for (; n; n--) put_n(o, &c, 1);
}

static void put_color(const Out *o, const char *color)
{
    if (o->color) put(o, color);
}

/* Bytes of the UTF-8 sequence at p, or 0 if there is no valid one. Surrogates and overlong forms are not valid. */
static size_t utf8_bytes(const char *p, const char *end)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] <= 0xDF ? 2 : (s[0] & 0xF0) == 0xE0 ? 3 : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4 : 0;
    if (n == 0 || (size_t)(end - p) < n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if (s[0] == 0xE0 && s[1] < 0xA0) return 0;
    if (s[0] == 0xED && s[1] > 0x9F) return 0;
    if (s[0] == 0xF0 && s[1] < 0x90) return 0;
    if (s[0] == 0xF4 && s[1] > 0x8F) return 0;
    return n;
}

/* Can the sequence of n bytes at p be shown? Control characters (C0, DEL, C1) cannot. */
static bool shows(const char *p, size_t n)
{
    unsigned char a = (unsigned char)p[0];
    return n != 0 && a >= 0x20 && a != 0x7F && !(a == 0xC2 && (unsigned char)p[1] < 0xA0);
}

static void put_clean(const Out *o, const char *s, size_t len)
{
    const char *end = s + len, *from = s;
    for (const char *p = s; p < end;) {
        size_t n = utf8_bytes(p, end);
        if (shows(p, n)) {
            p += n;
            continue;
        }
        put_n(o, from, (size_t)(p - from));
        put(o, "?");
        from = p += n ? n : 1;
    }
    put_n(o, from, (size_t)(end - from));
}

static void put_text(const Out *o, const char *s)
{
    put_clean(o, s, strlen(s));
}

/* Display columns of line[0..len). With `o` also prints it, tabs as spaces. */
static uint32_t walk_line(const Out *o, const char *line, size_t len)
{
    uint32_t col = 0;
    const char *end = line + len;
    for (const char *p = line; p < end;) {
        if (*p == '\t') {
            uint32_t to = (col / TAB_COLS + 1) * TAB_COLS;
            if (o) put_repeated(o, ' ', to - col);
            col = to;
            p++;
            continue;
        }
        size_t n = utf8_bytes(p, end);
        if (n == 0) n = 1;
        if (o) put_clean(o, p, n);
        col++;
        p += n;
    }
    return col;
}

/* One underlined place. Ordered by `key`: the main span's file first, then file, line, column, order of mention. */
typedef struct Mark {
    uint32_t key[5];
    const AdvSource *src;
    AdvSpan span;
    AdvLineCol at;
    const char *text; /* caption, or NULL */
    bool is_main;
} Mark;

static bool same_span(AdvSpan a, AdvSpan b)
{
    return a.file == b.file && a.off == b.off && a.len == b.len;
}

/* The label that captions the main span, or labels.n. */
static uint32_t caption_of(const AdvDiag *d)
{
    uint32_t i = 0;
    while (i < d->labels.n && !same_span(d->labels.at[i].span, d->span)) i++;
    return i;
}

/* Mark 0 is the main span, mark i label i-1. False when it has no place, or is the caption of mark 0. */
static bool mark_of(const AdvDiag *d, uint32_t i, Mark *out)
{
    uint32_t caption = caption_of(d);
    if (i > 0 && i - 1 == caption) return false;
    *out = (Mark){.is_main = i == 0};
    out->span = i == 0 ? d->span : d->labels.at[i - 1].span;
    if (i > 0 || caption < d->labels.n) out->text = d->labels.at[i == 0 ? caption : i - 1].text;
    out->src = adv_source_of(&d->owner->sources, out->span);
    if (!out->src) return false;
    out->at = adv_line_col(out->src, out->span.off);
    const uint32_t key[5] = {out->span.file != d->span.file, out->span.file, out->at.line, out->at.col, i};
    memcpy(out->key, key, sizeof key);
    return true;
}

static int mark_compare(const Mark *a, const Mark *b)
{
    for (size_t i = 0; i < sizeof a->key / sizeof a->key[0]; i++)
        if (a->key[i] != b->key[i]) return a->key[i] < b->key[i] ? -1 : 1;
    return 0;
}

/* The mark that follows `after` (the first one for NULL). */
static bool next_mark(const AdvDiag *d, const Mark *after, Mark *out)
{
    bool found = false;
    for (uint32_t i = 0; i <= d->labels.n; i++) {
        Mark m;
        if (!mark_of(d, i, &m) || (after && mark_compare(&m, after) <= 0)) continue;
        if (!found || mark_compare(&m, out) < 0) *out = m;
        found = true;
    }
    return found;
}

static uint32_t digits_of(uint32_t n)
{
    uint32_t digits = 1;
    for (; n >= 10; n /= 10) digits++;
    return digits;
}

/* Width of the line numbers beside a diagnostic's source lines. */
static uint32_t gutter_of(const AdvDiag *d)
{
    uint32_t width = 1;
    Mark m;
    for (uint32_t i = 0; i <= d->labels.n; i++)
        if (mark_of(d, i, &m) && digits_of(m.at.line) > width) width = digits_of(m.at.line);
    for (uint32_t i = 0; i < d->notes.n; i++) {
        const AdvSource *src = adv_source_of(&d->owner->sources, d->notes.at[i].span);
        uint32_t n = src ? digits_of(adv_line_col(src, d->notes.at[i].span.off).line) : 0;
        if (n > width) width = n;
    }
    return width;
}

/* `   |` or `   =`, without what follows. */
static void put_gutter(const Out *o, uint32_t width, const char *sign)
{
    put_color(o, COLOR_GUTTER);
    put_repeated(o, ' ', width + 1);
    put(o, sign);
    put_color(o, COLOR_OFF);
}

static void put_place(const Out *o, const AdvSource *src, AdvLineCol at)
{
    put_text(o, src->name);
    put_small(o, ":%" PRIu32 ":%" PRIu32, at.line, at.col);
}

static void put_file_line(const Out *o, uint32_t width, const char *arrow, const Mark *m)
{
    put_color(o, COLOR_GUTTER);
    put_repeated(o, ' ', width);
    put(o, arrow);
    put_color(o, COLOR_OFF);
    put_place(o, m->src, m->at);
    put(o, "\n");
    put_gutter(o, width, "|");
    put(o, "\n");
}

/* Where in its line the mark begins. */
static size_t mark_from(const Mark *m, const char *line, size_t len)
{
    size_t from = (size_t)(m->src->text + (m->span.off < m->src->n_bytes ? m->span.off : m->src->n_bytes) - line);
    return from < len ? from : len;
}

/* The bytes [from, to) of the line of mark `m` that are shown: all, or those around the mark. */
typedef struct Window { const char *line; size_t from, to, len; } Window;

static Window window_of(const Mark *m)
{
    uint32_t len;
    Window w = {.line = adv_line_text(m->src, m->at.line, &len)};
    w.len = w.to = len;
    if (len <= MAX_LINE_BYTES) return w;
    size_t at = mark_from(m, w.line, len);
    w.from = at > BEFORE_MARK_BYTES ? at - BEFORE_MARK_BYTES : 0;
    if (w.from > len - MAX_LINE_BYTES) w.from = len - MAX_LINE_BYTES;
    w.to = w.from + MAX_LINE_BYTES;
    while (w.from > 0 && ((unsigned char)w.line[w.from] & 0xC0) == 0x80) w.from--;
    while (w.to < len && ((unsigned char)w.line[w.to] & 0xC0) == 0x80) w.to++;
    return w;
}

static void put_source_line(const Out *o, uint32_t width, const Mark *m)
{
    Window w = window_of(m);
    put_color(o, COLOR_GUTTER);
    put_small(o, "%*" PRIu32 " |", (int)width, m->at.line);
    put_color(o, COLOR_OFF);
    if (w.len) put(o, " ");
    if (w.from > 0) put(o, CUT);
    (void)walk_line(o, w.line + w.from, w.to - w.from);
    if (w.to < w.len) put(o, CUT);
    put(o, "\n");
}

/* Carets (or dashes) and caption under the source line that was printed for mark `shown`. A span over several lines is marked
** to the end of its first. */
static void put_mark(const Out *o, uint32_t width, const Mark *m, const Mark *shown, const char *color)
{
    Window w = window_of(shown);
    size_t from = mark_from(m, w.line, w.len);
    size_t to = m->span.len < w.len - from ? from + m->span.len : w.len;
    if (from < w.from) from = w.from;
    if (from > w.to) from = w.to;
    if (to > w.to) to = w.to;
    if (to < from) to = from;
    uint32_t first = walk_line(NULL, w.line + w.from, from - w.from), last = walk_line(NULL, w.line + w.from, to - w.from);
    put_gutter(o, width, "| ");
    put_repeated(o, ' ', first + (w.from > 0 ? (uint32_t)strlen(CUT) : 0));
    put_color(o, m->is_main ? color : COLOR_GUTTER);
    put_repeated(o, m->is_main ? '^' : '-', last > first ? last - first : 1);
    if (m->text) {
        put(o, " ");
        put_text(o, m->text);
    }
    put_color(o, COLOR_OFF);
    put(o, "\n");
}

static void put_marks(const Out *o, const AdvDiag *d, uint32_t width, const char *color)
{
    Mark m, last, shown;
    for (bool is_first = true; next_mark(d, is_first ? NULL : &last, &m); last = m, is_first = false) {
        bool is_new_file = is_first || m.span.file != last.span.file;
        if (is_new_file) {
            /* The heading names the main span even when an earlier line carries a label. */
            Mark heading;
            if (!is_first || !mark_of(d, 0, &heading)) heading = m;
            put_file_line(o, width, is_first ? "--> " : "::: ", &heading);
        }
        if (is_new_file || m.at.line != last.at.line) {
            shown = m;
            put_source_line(o, width, &m);
        }
        put_mark(o, width, &m, &shown, color);
    }
}

static void put_chain_and_notes(const Out *o, const AdvDiag *d, uint32_t width)
{
    bool is_first = true;
    for (uint32_t i = 0; i < d->notes.n && is_first; i++) is_first = d->notes.at[i].span.file != 0;
    if (d->chain.n || !is_first) {
        Mark m;
        if (next_mark(d, NULL, &m)) {
            put_gutter(o, width, "|");
            put(o, "\n");
        }
    }
    for (uint32_t i = 0; i < d->chain.n; i++) {
        if (i == 0) {
            put_gutter(o, width, "=");
            put(o, " chain: ");
        } else {
            put_repeated(o, ' ', width + (uint32_t)strlen(" = chain: "));
        }
        put_text(o, d->chain.at[i]);
        put(o, "\n");
    }
    for (uint32_t i = 0; i < d->notes.n; i++) {
        if (adv_source_of(&d->owner->sources, d->notes.at[i].span)) continue;
        put_gutter(o, width, "=");
        put(o, " note: ");
        put_text(o, d->notes.at[i].text);
        put(o, "\n");
    }
}

static void put_placed_notes(const Out *o, const AdvDiag *d, uint32_t width)
{
    for (uint32_t i = 0; i < d->notes.n; i++) {
        const AdvLabel *note = &d->notes.at[i];
        const AdvSource *src = adv_source_of(&d->owner->sources, note->span);
        if (!src) continue;
        Mark m = {.src = src, .span = note->span, .at = adv_line_col(src, note->span.off), .is_main = true};
        put_color(o, level_colors[ADV_LEVEL_NOTE]);
        put(o, "note");
        put_color(o, COLOR_OFF);
        put(o, ": ");
        put_text(o, note->text);
        put(o, "\n");
        put_file_line(o, width, "--> ", &m);
        put_source_line(o, width, &m);
        put_mark(o, width, &m, &m, level_colors[ADV_LEVEL_NOTE]);
    }
}

static void print_human(const Out *o, const AdvDiag *d)
{
    uint32_t width = gutter_of(d);
    put_color(o, level_colors[d->level]);
    put_small(o, "%s[ADV%04u]", level_names[d->level], (unsigned)adv_diag_defs[d->id].code);
    put_color(o, COLOR_OFF);
    put_color(o, COLOR_BOLD);
    put(o, ": ");
    put_text(o, d->message);
    put_color(o, COLOR_OFF);
    put(o, "\n");
    put_marks(o, d, width, level_colors[d->level]);
    put_chain_and_notes(o, d, width);
    put_placed_notes(o, d, width);
    for (uint32_t i = 0; i < d->helps.n; i++) {
        put_color(o, COLOR_HELP);
        put(o, "help");
        put_color(o, COLOR_OFF);
        put(o, ": ");
        put_text(o, d->helps.at[i]);
        put(o, "\n");
    }
}

/* What was counted beyond the list, as a last line. */
static void put_unlisted(const Out *o, const AdvDiags *ds)
{
    uint32_t errors = ds->n_errors, warnings = ds->n_warnings;
    for (uint32_t i = 0; i < ds->list.n; i++) {
        errors -= ds->list.at[i]->level == ADV_LEVEL_ERROR;
        warnings -= ds->list.at[i]->level == ADV_LEVEL_WARNING;
    }
    if (errors) put_small(o, "%" PRIu32 " more error%s not shown\n", errors, errors == 1 ? "" : "s");
    if (warnings) put_small(o, "%" PRIu32 " more warning%s not shown\n", warnings, warnings == 1 ? "" : "s");
}

void adv_diags_print_human(const AdvDiags *ds, int color, AdvWriteFn *write, void *user)
{
    const Out o = {write, user, color};
    for (uint32_t i = 0; i < ds->list.n; i++) {
        if (i) put(&o, "\n");
        print_human(&o, ds->list.at[i]);
    }
    put_unlisted(&o, ds);
}

void adv_diags_print_short(const AdvDiags *ds, AdvWriteFn *write, void *user)
{
    const Out o = {write, user, 0};
    for (uint32_t i = 0; i < ds->list.n; i++) {
        const AdvDiag *d = ds->list.at[i];
        const AdvSource *src = adv_source_of(&ds->sources, d->span);
        if (src) {
            put_place(&o, src, adv_line_col(src, d->span.off));
            put(&o, ": ");
        }
        put_small(&o, "%s[ADV%04u]: ", level_names[d->level], (unsigned)adv_diag_defs[d->id].code);
        put_text(&o, d->message);
        put(&o, "\n");
    }
    put_unlisted(&o, ds);
}

/* A JSON string. Newlines and tabs keep their meaning; what cannot be shown becomes `?`. */
static void put_json_string(const Out *o, const char *s)
{
    put(o, "\"");
    for (const char *end = s + strlen(s); s < end;) {
        size_t n = utf8_bytes(s, end);
        if (*s == '\n') put(o, "\\n");
        else if (*s == '\t') put(o, "\\t");
        else if (*s == '"' || *s == '\\') put_n(o, (const char[]){'\\', *s}, 2);
        else put_clean(o, s, n ? n : 1);
        s += n ? n : 1;
    }
    put(o, "\"");
}

static void put_json_place(const Out *o, const AdvDiags *ds, AdvSpan span)
{
    const AdvSource *src = adv_source_of(&ds->sources, span);
    if (!src) return;
    uint32_t end_off = span.len < src->n_bytes - (span.off < src->n_bytes ? span.off : src->n_bytes) ? span.off + span.len : src->n_bytes;
    AdvLineCol at = adv_line_col(src, span.off), end = adv_line_col(src, end_off);
    put(o, "\"file\":");
    put_json_string(o, src->name);
    put_small(o, ",\"line\":%" PRIu32 ",\"col\":%" PRIu32, at.line, at.col);
    put_small(o, ",\"end_line\":%" PRIu32 ",\"end_col\":%" PRIu32, end.line, end.col);
    put_small(o, ",\"off\":%" PRIu32 ",\"len\":%" PRIu32 ",", span.off, span.len);
}

static void put_json_list(const Out *o, const char *key, const char *const *at, uint32_t n)
{
    put_small(o, ",\"%s\":[", key);
    for (uint32_t i = 0; i < n; i++) {
        if (i) put(o, ",");
        put_json_string(o, at[i]);
    }
    put(o, "]");
}

static void print_json(const Out *o, const AdvDiag *d)
{
    const AdvDiagDef *def = &adv_diag_defs[d->id];
    put_small(o, "{\"level\":\"%s\",\"code\":\"ADV%04u\",\"lint\":", level_names[d->level], (unsigned)def->code);
    put_json_string(o, def->name);
    put(o, ",\"message\":");
    put_json_string(o, d->message);
    put(o, ",\"spans\":[");
    Mark m, last;
    for (bool is_first = true; next_mark(d, is_first ? NULL : &last, &m); last = m, is_first = false) {
        put(o, is_first ? "{" : ",{");
        put_json_place(o, d->owner, m.span);
        put(o, m.is_main ? "\"main\":true,\"label\":" : "\"main\":false,\"label\":");
        put_json_string(o, m.text ? m.text : "");
        put(o, "}");
    }
    put(o, "],\"notes\":[");
    for (uint32_t i = 0; i < d->notes.n; i++) {
        put(o, i ? ",{" : "{");
        put_json_place(o, d->owner, d->notes.at[i].span);
        put(o, "\"message\":");
        put_json_string(o, d->notes.at[i].text);
        put(o, "}");
    }
    put(o, "]");
    put_json_list(o, "helps", d->helps.at, d->helps.n);
    put_json_list(o, "chain", d->chain.at, d->chain.n);
    put(o, "}\n");
}

void adv_diags_print_json(const AdvDiags *ds, AdvWriteFn *write, void *user)
{
    const Out o = {write, user, 0};
    for (uint32_t i = 0; i < ds->list.n; i++) print_json(&o, ds->list.at[i]);
}
