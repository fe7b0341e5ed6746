/* tokens.c: raw tokens to the statement stream: puts END where statements end, keeps brackets balanced, decides which words are
** statement words. Done before parsing, so that the grammar needs no newlines and the parser never meets an unbalanced file.
**
** An open ( or [ that meets { } or the end of the file is taken as closed at the end of its own line: reading goes back there,
** so what follows is read as the statements it was meant to be. What was read twice is marked silent: faults in it are
** consequences.
*/
#include "dsl/token.h"

#include "gram.h"

#include <string.h>

typedef struct Open { uint16_t kind; uint32_t off; } Open;

typedef struct Lx {
    AdvParse *p;
    uint32_t at, end;        /* next byte, end of source */
    uint32_t silent_to;      /* tokens before this offset are silent */
    uint32_t newline_at;     /* a newline was passed since the last token: where the line ended, else NO_NEWLINE */
    uint32_t bad_at;         /* end of the last bad character, so that a run of them is one message */
    uint32_t bad_string_at;  /* the last string without an end (it may have swallowed a bracket's end), else 0 */
    int line_is_broken;      /* it stands on this line: what was opened on the line is closed quietly */
    Open open[ADV_MAX_NESTING];
    uint32_t n_open;
} Lx;

#define NO_NEWLINE UINT32_MAX

/* May this token be the last of a statement? */
static int can_end(int kind)
{
    switch (kind) {
    case ADV_RAW_EOF: case TK_END: case TK_LC: case TK_LP: case TK_LB: case TK_COMMA: case TK_ASSIGN: case TK_SET: case TK_LAMBDA:
    case TK_BARS: case TK_DOTS: case TK_EQ: case TK_NE: case TK_LE: case TK_GE: case TK_LT: case TK_GT: case TK_PLUS: case TK_MINUS:
    case TK_STAR: case TK_SLASH: case TK_CARET: case TK_ARROW: case TK_COLON: case TK_DOT:
    case TK_IF: case TK_THEN: case TK_ELSE: case TK_AND: case TK_OR: case TK_NOT: return 0;
    }
    return 1;
}

/* May a statement begin with this token? */
static int can_start(int kind)
{
    switch (kind) {
    case TK_ARROW: case TK_THEN: case TK_ELSE: case TK_PLUS: case TK_MINUS: case TK_STAR: case TK_SLASH: case TK_CARET: case TK_EQ:
    case TK_NE: case TK_LE: case TK_GE: case TK_LT: case TK_GT: case TK_AND: case TK_OR: case TK_DOTS: case TK_LC: case TK_ASSIGN:
    case TK_SET: case TK_LAMBDA: case TK_BARS: case TK_COMMA: case TK_COLON: return 0;
    }
    return 1;
}

static AdvToks *toks(Lx *l) { return &l->p->toks; }
static int last_kind(Lx *l) { return toks(l)->n ? toks(l)->at[toks(l)->n - 1].kind : ADV_RAW_EOF; }
static AdvSpan span_at(const Lx *l, uint32_t off, uint32_t len) { return (AdvSpan){ l->p->ast->file, off, len }; }
static int is_round(const Lx *l) { return l->n_open && l->open[l->n_open - 1].kind != TK_LC; }

static void push(Lx *l, int kind, uint32_t off, uint32_t len, int silent)
{
    if (off < l->silent_to) silent |= ADV_TOK_SILENT;
    *ADV_PUSH(l->p->ast->arena, toks(l)) = (AdvTok){ (uint16_t)kind, (uint16_t)silent, off, len };
}

/* END behind the last token, if a statement stands there. */
static void push_end(Lx *l, uint32_t off, uint32_t len)
{
    if (can_end(last_kind(l))) push(l, TK_END, off, len, 0);
}

static uint32_t after_last(Lx *l)
{
    if (!toks(l)->n) return 0;
    const AdvTok *t = &toks(l)->at[toks(l)->n - 1];
    return t->off + t->len;
}

static int closer_of(int open) { return open == TK_LP ? TK_RP : open == TK_LB ? TK_RB : TK_RC; }
static int opener_of(int close) { return close == TK_RP ? TK_LP : close == TK_RB ? TK_LB : TK_LC; }
static const char *spelt(int kind)
{
    switch (kind) {
    case TK_LP: return "(";
    case TK_RP: return ")";
    case TK_LB: return "[";
    case TK_RB: return "]";
    case TK_LC: return "{";
    default: return "}";
    }
}

/* What stands from `off` on is part of a fault that was reported. */
static void hush(Lx *l, uint32_t off)
{
    for (uint32_t i = toks(l)->n; i && toks(l)->at[i - 1].off >= off; i--) toks(l)->at[i - 1].silent |= ADV_TOK_SILENT;
}

/* Closes what is open above `keep` with tokens that stand for nothing. */
static void close_quietly(Lx *l, uint32_t keep)
{
    while (l->n_open > keep) {
        int kind = closer_of(l->open[--l->n_open].kind);
        if (kind == TK_RC) push_end(l, after_last(l), 0);
        push(l, kind, after_last(l), 0, ADV_TOK_SILENT);
    }
}

/* The lowest of the brackets ( [ on top of the stack. */
static uint32_t lowest_round(const Lx *l)
{
    uint32_t k = l->n_open;
    while (k && l->open[k - 1].kind != TK_LC) k--;
    return k;
}

/* ( or [ is open where `found` shows that it was not closed. True when reading went back to the end of the bracket's line. */
static int unclosed_round(Lx *l, AdvTok found)
{
    uint32_t k = lowest_round(l);
    Open o = l->open[k];
    if (l->bad_string_at <= o.off) {
        AdvDiag *d = adv_diag(l->p->ds, ADV_D_UNCLOSED, span_at(l, o.off, 1), "`%s` is never closed", spelt(o.kind));
        if (found.kind != ADV_RAW_EOF)
            adv_diag_label(d, adv_tok_span(l->p, found), "`%s` cannot stand inside brackets",
                           found.kind == TK_END ? ";" : spelt(found.kind));
        adv_diag_help(d, "close it with `%s`", spelt(closer_of(o.kind)));
    }

    hush(l, o.off);
    const char *nl = memchr(l->p->src->text + o.off, '\n', l->end - o.off);
    uint32_t line_end = nl ? (uint32_t)(nl - l->p->src->text) : l->end;
    if (line_end >= found.off) {
        close_quietly(l, k);
        if (line_end > l->silent_to) l->silent_to = line_end;
        return 0;
    }
    AdvToks *v = toks(l);
    while (v->n && v->at[v->n - 1].off >= line_end) v->n--;
    while (l->p->ast->comments.n && l->p->ast->comments.at[l->p->ast->comments.n - 1].span.off >= line_end) l->p->ast->comments.n--;
    /* what is open at that line's end: count again from the bracket on */
    uint32_t i = v->n;
    while (i && v->at[i - 1].off >= o.off) i--;
    l->n_open = k;
    for (; i < v->n; i++) {
        int t = v->at[i].kind;
        if (t == TK_LP || t == TK_LB) l->open[l->n_open++] = (Open){ (uint16_t)t, v->at[i].off };
        else if (t == TK_RP || t == TK_RB) l->n_open--;
    }
    close_quietly(l, k);
    if (found.off > l->silent_to) l->silent_to = found.off;
    l->at = line_end;
    l->newline_at = NO_NEWLINE;
    return 1;
}

static void open_bracket(Lx *l, AdvTok t)
{
    if (l->n_open == ADV_MAX_NESTING) {
        AdvDiag *d =
            adv_diag(l->p->ds, ADV_D_TOO_DEEP, adv_tok_span(l->p, t), "brackets are nested deeper than %d levels", ADV_MAX_NESTING);
        adv_diag_label(d, span_at(l, l->open[0].off, 1), "the outermost one is here");
        l->at = l->end;      /* no use in reading on */
        l->silent_to = l->end + 1;
        close_quietly(l, 0);
        return;
    }
    push(l, t.kind, t.off, t.len, 0);
    l->open[l->n_open++] = (Open){ t.kind, t.off };
}

/* ) or ]. What was read before (silent) is not reported again. */
static void close_round(Lx *l, AdvTok t)
{
    AdvDiags *ds = t.off >= l->silent_to ? l->p->ds : NULL;
    int want = opener_of(t.kind);
    uint32_t low = lowest_round(l), k = l->n_open;
    while (k > low && l->open[k - 1].kind != want) k--;
    if (k > low) {
        if (k < l->n_open) { /* brackets above it were left open */
            Open o = l->open[k];
            AdvDiag *d = adv_diag(ds, ADV_D_UNCLOSED, span_at(l, o.off, 1), "`%s` is never closed", spelt(o.kind));
            adv_diag_label(d, adv_tok_span(l->p, t), "this `%s` closes the `%s` before it", spelt(t.kind), spelt(want));
            adv_diag_help(d, "close it with `%s`", spelt(closer_of(o.kind)));
            hush(l, o.off);
            close_quietly(l, k);
        }
        l->n_open--;
        push(l, t.kind, t.off, t.len, 0);
    } else if (l->n_open > low) { /* only others are open: ( closed by ] */
        Open o = l->open[l->n_open - 1];
        AdvDiag *d = adv_diag(ds, ADV_D_UNCLOSED, adv_tok_span(l->p, t), "`%s` is closed by `%s`", spelt(o.kind), spelt(t.kind));
        adv_diag_label(d, span_at(l, o.off, 1), "opened here");
        AdvTok next = adv_lex_raw(l->p->src->text, l->at, l->end);
        if (next.kind == closer_of(o.kind)) return; /* the right one follows: this one is too much */
        l->n_open--;
        push(l, closer_of(o.kind), t.off, t.len, ADV_TOK_SILENT);
    } else {
        push(l, t.kind, t.off, t.len, 0); /* nothing is open: the parser says what stands there instead */
    }
}

static void close_brace(Lx *l, AdvTok t)
{
    if (!l->n_open) {
        adv_diag(l->p->ds, ADV_D_SYNTAX, adv_tok_span(l->p, t), "no block is open that this `}` could close");
        return;
    }
    push_end(l, after_last(l), 0);
    l->n_open--;
    push(l, t.kind, t.off, t.len, 0);
}

/* What people type for what they mean. */
static const struct { const char *wrong, *right; } meant[] = {
    { "\xe2\x88\x92", "-" },  { "\xe2\x80\x93", "-" },  { "\xc3\x97", "*" },       { "\xc2\xb7", "*" },       { "\xc3\xb7", "/" },
    { "\xe2\x89\xa4", "<=" }, { "\xe2\x89\xa5", ">=" }, { "\xe2\x89\xa0", "!=" },  { "\xe2\x86\x92", "->" },  { "\xe2\x86\x90", "<-" },
    { "\xe2\x87\x92", "=>" }, { "\xe2\x80\xa6", ".." }, { "\xe2\x80\x96", "||" },  { "\xe2\x88\xa5", "||" },  { "\xe2\x80\x9c", "\"" },
    { "\xe2\x80\x9d", "\"" }, { "'", "\"" },            { "!", "not" },            { "&", "and" },            { "|", "or` or `||" },
    { "?", "if c then a else b" },
    { "\xce\xb5", "eps" },    { "\xce\xbb", "lambda" }, { "\xce\xb1", "alpha" },   { "\xce\xb2", "beta" },    { "\xce\xb3", "gamma" },
};

static void bad_char(Lx *l, AdvTok t)
{
    int follows = l->bad_at == t.off;
    l->bad_at = t.off + t.len;
    if (follows || t.off < l->silent_to) return;
    const char *nl = memchr(l->p->src->text + t.off, '\n', l->end - t.off); /* what it stood for is missing on its line */
    l->silent_to = nl ? (uint32_t)(nl - l->p->src->text) : l->end;
    const char *s = adv_tok_text(l->p, t);
    unsigned char c = (unsigned char)s[0];
    AdvSpan at = adv_tok_span(l->p, t);
    AdvDiag *d = c == 0                ? adv_diag(l->p->ds, ADV_D_BAD_CHAR, at, "a zero byte, which no token begins with")
                 : c < 32 || c == 127 ? adv_diag(l->p->ds, ADV_D_BAD_CHAR, at, "byte 0x%02x, which no token begins with", c)
                                      : adv_diag(l->p->ds, ADV_D_BAD_CHAR, at, "no token begins with `%.*s`", (int)t.len, s);
    for (size_t i = 0; i < sizeof meant / sizeof *meant; i++)
        if (strlen(meant[i].wrong) == t.len && memcmp(meant[i].wrong, s, t.len) == 0) adv_diag_help(d, "write `%s`", meant[i].right);
}

static void bad_number(Lx *l, AdvTok t)
{
    const char *s = adv_tok_text(l->p, t);
    AdvSpan at = adv_tok_span(l->p, t);
    AdvDiags *ds = t.off >= l->silent_to ? l->p->ds : NULL;
    if (s[0] == '.') {
        AdvDiag *d = adv_diag(ds, ADV_D_BAD_NUMBER, at, "`%.*s` has no digit before its point", (int)t.len, s);
        adv_diag_help(d, "write `0%.*s`", (int)t.len, s);
    } else if (s[t.len - 1] == '.') {
        AdvDiag *d = adv_diag(ds, ADV_D_BAD_NUMBER, at, "`%.*s` has no digit behind its point", (int)t.len, s);
        adv_diag_help(d, "write `%.*s0`", (int)t.len, s);
    } else {
        AdvDiag *d = adv_diag(ds, ADV_D_BAD_NUMBER, at, "`%.*s` is neither a number nor a name", (int)t.len, s);
        adv_diag_help(d, "numbers are written like `8`, `0.031` or `1e-3`");
    }
    push(l, TK_NUM, t.off, t.len, ADV_TOK_SILENT | ADV_TOK_BAD);
}

static void bad_string(Lx *l, AdvTok t)
{
    AdvDiags *ds = t.off >= l->silent_to ? l->p->ds : NULL;
    AdvDiag *d = adv_diag(ds, ADV_D_BAD_STRING, span_at(l, t.off, 1), "the string that begins here does not end on its line");
    adv_diag_help(d, "end it with `\"`");
    push(l, TK_STR, t.off, t.len, ADV_TOK_SILENT | ADV_TOK_BAD);
    l->bad_string_at = t.off;
    l->line_is_broken = 1;
}

/* A string without an end has swallowed the brackets behind it: what was opened on its line, and as many more as are closed in
** the swallowed text. */
static void close_broken_line(Lx *l)
{
    const char *text = l->p->src->text;
    uint32_t line = l->bad_string_at, low = lowest_round(l), keep = l->n_open;
    int swallowed = 0;
    for (uint32_t i = l->bad_string_at; text[i] && text[i] != '\n' && text[i] != '#'; i++)
        swallowed += (text[i] == ')' || text[i] == ']') - (text[i] == '(' || text[i] == '[');
    while (line && text[line - 1] != '\n') line--;
    while (keep > low && (l->open[keep - 1].off >= line || swallowed > 0)) keep--, swallowed--;
    close_quietly(l, keep);
    l->line_is_broken = 0;
}

static void newline(Lx *l, AdvTok t)
{
    if (l->line_is_broken) close_broken_line(l);
    if (!is_round(l) && l->newline_at == NO_NEWLINE) l->newline_at = t.off;
}

static void comment(Lx *l, AdvTok t)
{
    const char *s = adv_tok_text(l->p, t);
    while (t.len > 1 && (s[t.len - 1] == ' ' || s[t.len - 1] == '\t' || s[t.len - 1] == '\r')) t.len--;
    ADV_PUSH(l->p->ast->arena, &l->p->ast->comments)->span = adv_tok_span(l->p, t);
}

/* Takes one raw token. False at the end of the file. */
static int take(Lx *l)
{
    AdvTok t = adv_lex_raw(l->p->src->text, l->at, l->end);
    l->at = t.off + t.len;
    if (t.kind == ADV_RAW_NEWLINE) return newline(l, t), 1;
    if (t.kind == ADV_RAW_COMMENT) return comment(l, t), 1;
    if (t.kind == ADV_RAW_BAD_CHAR) return bad_char(l, t), 1;
    if (l->newline_at != NO_NEWLINE) {
        if (can_start(t.kind)) push_end(l, after_last(l), 0);
        l->newline_at = NO_NEWLINE;
    }
    if (t.kind == ADV_RAW_EOF && l->line_is_broken) close_broken_line(l);
    int outside = t.kind == TK_LC || t.kind == TK_RC || t.kind == TK_END || t.kind == ADV_RAW_EOF; /* never inside ( or [ */
    if (outside && is_round(l) && unclosed_round(l, t)) return 1;
    switch (t.kind) {
    case ADV_RAW_EOF: return 0;
    case ADV_RAW_BAD_NUMBER: bad_number(l, t); break;
    case ADV_RAW_BAD_STRING: bad_string(l, t); break;
    case TK_LP: case TK_LB: case TK_LC: open_bracket(l, t); break;
    case TK_RP: case TK_RB: close_round(l, t); break;
    case TK_RC: close_brace(l, t); break;
    case TK_END: push_end(l, t.off, t.len); break;
    default: push(l, t.kind, t.off, t.len, 0);
    }
    return 1;
}

/* Is this word one that opens a statement? */
static int is_statement_word(int kind)
{
    switch (kind) {
    case TK_ADV: case TK_USE: case TK_PARAM: case TK_NET: case TK_FN: case TK_LOSS: case TK_ATTACK: case TK_MODEL: case TK_OPTIM:
    case TK_SIGNAL: case TK_STATE: case TK_DATA: case TK_BUDGET: case TK_STEP: case TK_PHASE: case TK_TRAIN: case TK_EVAL: case TK_RUN:
    case TK_EPOCH: case TK_CARRY: case TK_RETURN: case TK_WITHIN: case TK_TOUCH: case TK_MINIMIZE: case TK_MAXIMIZE: case TK_APPLY:
    case TK_REPEAT: case TK_REPLAY: case TK_WITH: return 1;
    }
    return 0;
}

/* A statement word is one only where a statement begins, and not where it is given a value: elsewhere it is a name. */
static void decide_words(AdvToks *v)
{
    for (uint32_t i = 0; i < v->n; i++) {
        int kind = v->at[i].kind, before = i ? v->at[i - 1].kind : TK_END, after = i + 1 < v->n ? v->at[i + 1].kind : ADV_RAW_EOF;
        if (!is_statement_word(kind)) continue;
        int head = kind == TK_ADV ? i == 0
                                  : (before == TK_END || before == TK_LC) && after != TK_ASSIGN && after != TK_SET && after != TK_DOT &&
                                        after != TK_COMMA;
        if (!head) v->at[i].kind = TK_ID;
    }
}

void adv_tokens(AdvParse *p)
{
    Lx l = { .p = p, .end = p->src->n_bytes, .newline_at = NO_NEWLINE, .bad_at = UINT32_MAX };
    if (l.end >= 3 && memcmp(p->src->text, "\xef\xbb\xbf", 3) == 0) l.at = 3; /* a byte order mark is no harm */
    while (take(&l)) continue;
    push_end(&l, after_last(&l), 0);
    while (l.n_open) { /* only blocks are left; the outermost is the one that is missing its end */
        Open o = l.open[0];
        AdvDiag *d = adv_diag(p->ds, ADV_D_UNCLOSED, span_at(&l, o.off, 1), "`{` is never closed");
        adv_diag_help(d, "close it with `}`");
        close_quietly(&l, 0);
        push_end(&l, after_last(&l), 0);
    }
    push(&l, ADV_RAW_EOF, l.end, 0, 0);
    decide_words(&p->toks);
}
