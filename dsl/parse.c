/* parse.c: drives the grammar over the statement stream, builds the nodes, and words the syntax errors.
**
** After an error: the stack is unwound to the start of the statement, BAD (which becomes an ERROR node) takes its place, and
** reading goes on behind the next END, or inside the next block. If the statement was complete before the odd token, it is
** kept. One fault, one message: where tokens.c reported something, errors are silent.
*/
#include "dsl/token.h"

#include "gram.h"

#include <assert.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_ID ((AstId){ 0 })

static AstNode *at(AdvParse *p, AstId id) { return &p->ast->nodes.at[id.i]; }

static AdvStr intern_tok(AdvParse *p, AdvTok t)
{
    return t.len ? adv_intern_n(p->ast->names, adv_tok_text(p, t), t.len) : (AdvStr){ 0 };
}

/* ---- lists ---- */

AstList adv_list_add(AdvParse *p, AstList l, AstId a)
{
    if (!a.i) return l;
    if (!l.first.i) return (AstList){ a, a };
    at(p, l.last)->next = a;
    l.last = a;
    return l;
}

AstList adv_list(AdvParse *p, AstId a, AstId b, AstId c)
{
    return adv_list_add(p, adv_list_add(p, adv_list_add(p, (AstList){ { 0 }, { 0 } }, a), b), c);
}

AstList adv_list_of(AdvParse *p, AstList a, AstList b)
{
    if (!b.first.i) return a;
    AstList l = adv_list_add(p, a, b.first);
    l.last = b.last;
    return l;
}

/* ---- nodes ---- */

static AstId push_node(AdvParse *p, AstNode n, uint32_t height)
{
    *ADV_PUSH(p->ast->arena, &p->ast->nodes) = n;
    *ADV_PUSH(p->ast->arena, &p->height) = (uint16_t)height;
    return (AstId){ p->ast->nodes.n - 1 };
}

AstId adv_ast_node(AdvParse *p, AstKind kind, AdvTok from, AdvTok key, AstList kids)
{
    AstNode n = { .kind = (uint16_t)kind, .first = kids.first };
    uint32_t height = 0;
    if (from.len || from.off || !kids.first.i) n.span = adv_tok_span(p, from);
    if (key.len) {
        n.key = adv_tok_span(p, key);
        n.span = adv_span_join(n.span, n.key);
    }
    for (AstId c = kids.first; c.i; c = at(p, c)->next) {
        n.span = adv_span_join(n.span, at(p, c)->span);
        if (height < p->height.at[c.i]) height = p->height.at[c.i];
    }
    if (!n.key.file) n.key = kids.first.i ? at(p, kids.first)->key : n.span;
    if (height >= ADV_MAX_TREE_HEIGHT) {
        if (!p->too_high++) adv_diag(p->ds, ADV_D_TOO_DEEP, n.key, "more than %d operators are nested here", ADV_MAX_TREE_HEIGHT);
        n = (AstNode){ .kind = AST_ERROR, .span = n.span, .key = n.key };
        height = 0;
    }
    return push_node(p, n, height + 1);
}

AstId adv_ast_named(AdvParse *p, AstKind kind, AdvTok from, AdvTok name, AstList kids)
{
    AstId id = adv_ast_node(p, kind, from, name, kids);
    AdvStr text = intern_tok(p, name);
    if (at(p, id)->kind != AST_ERROR) at(p, id)->name = text;
    return id;
}

AstId adv_ast_op(AdvParse *p, AstKind kind, AdvTok op, AstList kids)
{
    return adv_ast_named(p, kind, kind == AST_UNARY ? op : (AdvTok){ 0 }, op, kids);
}

/* The value of a number's text, correctly rounded. Written without a point for strtod, which would look for the locale's. */
static double number_of(AdvParse *p, AdvTok t)
{
    char digits[512];
    const char *s = adv_tok_text(p, t);
    uint32_t n = 0, i = 0;
    long exponent = 0;
    if (t.len > 400) {
        adv_diag(p->ds, ADV_D_BAD_NUMBER, adv_tok_span(p, t), "a number of %u digits is longer than any that can be kept", t.len);
        return 0;
    }
    for (; i < t.len && (s[i] == '.' || (s[i] >= '0' && s[i] <= '9')); i++) {
        if (s[i] != '.') digits[n++] = s[i];
        else exponent -= (long)(strspn(s + i + 1, "0123456789"));
    }
    long written = i + 1 < t.len ? strtol(s + i + 1, NULL, 10) : 0;
    exponent += written < -100000 ? -100000 : written > 100000 ? 100000 : written; /* beyond, all are 0 or too large */
    snprintf(digits + n, sizeof digits - n, "e%ld", exponent);
    double v = strtod(digits, NULL);
    if (!(v <= DBL_MAX)) {
        adv_diag(p->ds, ADV_D_BAD_NUMBER, adv_tok_span(p, t), "`%.*s` is larger than any number that can be kept", (int)t.len, s);
        return 0;
    }
    return v;
}

/* A string's text without quotes and escapes. */
static AdvStr string_of(AdvParse *p, AdvTok t)
{
    const char *s = adv_tok_text(p, t);
    AdvArenaMark mark = adv_arena_mark(&p->ds->arena);
    char *out = adv_arena_new(&p->ds->arena, t.len + 1);
    uint32_t n = 0, end = t.len - 1;
    if (!out) return (AdvStr){ 0 };
    for (uint32_t i = 1; i < end; i++) {
        if (s[i] == '\\' && i + 1 < end && s[++i] != '"' && s[i] != '\\') {
            AdvSpan here = { p->ast->file, t.off + i - 1, 2 };
            adv_diag_help(
                adv_diag(p->ds, ADV_D_BAD_STRING, here, "`\\%c` means nothing in a string", s[i] >= ' ' && s[i] < 127 ? s[i] : '?'),
                "only `\\\"` and `\\\\` are escapes");
            return (AdvStr){ 0 };
        }
        out[n++] = s[i];
    }
    AdvStr r = adv_intern_n(p->ast->names, out, n);
    adv_arena_release(&p->ds->arena, mark);
    return r;
}

AstId adv_ast_leaf(AdvParse *p, AdvTok t)
{
    AstKind kind = t.kind == TK_NUM ? AST_NUM : t.kind == TK_STR ? AST_STR : AST_ID;
    AstId id = adv_ast_node(p, kind, t, t, (AstList){ { 0 }, { 0 } });
    if (t.silent & ADV_TOK_BAD) { /* reported by tokens.c */
        at(p, id)->kind = AST_ERROR;
        return id;
    }
    AdvStr name = kind == AST_STR ? string_of(p, t) : intern_tok(p, t);
    at(p, id)->name = name;
    if (kind == AST_NUM) at(p, id)->num = number_of(p, t);
    return id;
}

AstId adv_ast_dot(AdvParse *p, AstId value, AdvTok name)
{
    return adv_ast_named(p, AST_DOT, (AdvTok){ 0 }, name, adv_list(p, value, NO_ID, NO_ID));
}

AstId adv_ast_pipe(AdvParse *p, AstId value, AdvTok label, AstId call)
{
    AstList kids = { value, value };
    AdvSpan callee = at(p, call)->span;
    if (at(p, call)->kind == AST_CALL) {
        AstList rest = { at(p, call)->first, NO_ID };
        at(p, call)->first = NO_ID;
        kids = adv_list_of(p, kids, rest);
    } else {
        kids = adv_list_add(p, kids, call);
    }
    AdvSpan key = at(p, call)->key;
    AstId id = adv_ast_named(p, AST_PIPE, (AdvTok){ 0 }, label, kids);
    at(p, id)->span = adv_span_join(at(p, id)->span, callee);
    if (!label.len) at(p, id)->key = key;
    return id;
}

AstId adv_ast_arg(AdvParse *p, AdvTok name, AstId value)
{
    return adv_ast_named(p, AST_ARG, name, name, adv_list(p, value, NO_ID, NO_ID));
}

static char *path_text(AdvParse *p, AstId dots, char *end)
{
    for (AstId n = dots;; n = at(p, n)->first) {
        const char *s = adv_str(p->ast->names, at(p, n)->name);
        size_t len = strlen(s);
        end -= len;
        memcpy(end, s, len);
        if (at(p, n)->kind != AST_DOT) return end;
        *--end = '.';
    }
}

AstId adv_ast_path(AdvParse *p, AstId dots)
{
    AstNode n = *at(p, dots);
    if (n.kind == AST_ERROR) return dots;
    AdvStr name = n.name;
    if (n.kind == AST_DOT) {
        char *buf = adv_arena_new(p->ast->arena, n.span.len), *end = buf + n.span.len;
        char *s = path_text(p, dots, end);
        name = adv_intern_n(p->ast->names, s, (size_t)(end - s));
    }
    return push_node(p, (AstNode){ .kind = AST_PATH, .span = n.span, .key = n.span, .name = name }, 1);
}

AstId adv_ast_update(AdvParse *p, AstId path, AdvTok arrow, AstId value)
{
    char after = adv_tok_text(p, arrow)[arrow.len];
    if (!arrow.silent && after != ' ' && after != '\t' && after != '\n' &&
        after != '\r') { /* `a <-1` may have been meant as a comparison */
        AdvDiag *d = adv_diag(p->ds, ADV_D_ARROW_SPACE, adv_tok_span(p, arrow), "`<-` is read as an update here");
        adv_diag_help(d, "write `a <- 1` for an update, `a < -1` for a comparison");
    }
    return adv_ast_node(p, AST_UPDATE, (AdvTok){ 0 }, arrow, adv_list(p, path, value, NO_ID));
}

AstId adv_ast_use(AdvParse *p, AdvTok use, AdvTok word, AdvTok text, AstId path, AdvTok alias)
{
    AstKind kind = path.i ? AST_USE_STD : word.len ? AST_USE_PLUGIN : AST_USE_FILE;
    AdvTok last = alias.len ? alias : text;
    if (word.len && (word.len != 6 || memcmp(adv_tok_text(p, word), "plugin", 6) != 0)) {
        adv_diag(p->ds, ADV_D_SYNTAX, adv_tok_span(p, word), "expected `plugin` or a string, found `%.*s`", (int)word.len,
                 adv_tok_text(p, word));
        kind = AST_ERROR;
    }
    AstId id = adv_ast_node(p, kind, use, path.i ? use : text, (AstList){ { 0 }, { 0 } });
    if (last.len) at(p, id)->span = adv_span_join(at(p, id)->span, adv_tok_span(p, last));
    if (kind == AST_ERROR) return id;
    AdvStr name = { 0 }, name2 = intern_tok(p, alias);
    if (path.i) name = at(p, path)->name;
    else if (!(text.silent & ADV_TOK_BAD)) name = string_of(p, text);
    if (path.i) {
        at(p, id)->key = at(p, path)->span;
        at(p, id)->span = adv_span_join(at(p, id)->span, at(p, path)->span);
    }
    at(p, id)->name = name;
    at(p, id)->name2 = name2;
    return id;
}

AstId adv_ast_fn(AdvParse *p, AdvTok word, AdvTok name, AstId params, AstId body)
{
    if (at(p, body)->kind != AST_BLOCK) {
        AdvTok none = { 0 };
        AstId ret = adv_ast_node(p, AST_RETURN, none, none, adv_list(p, body, NO_ID, NO_ID));
        body = adv_ast_flag(p, adv_ast_node(p, AST_BLOCK, none, none, adv_list(p, ret, NO_ID, NO_ID)), AST_SHORT);
    }
    return adv_ast_named(p, word.kind == TK_LOSS ? AST_LOSS : AST_FN, word, name, adv_list(p, params, body, NO_ID));
}

AstId adv_ast_section(AdvParse *p, AdvTok word, AdvTok name, AstId params, AstId block)
{
    AstId id = adv_ast_named(p, AST_SECTION, word, word, adv_list(p, params, block, NO_ID));
    AdvStr name2 = intern_tok(p, name);
    at(p, id)->name2 = name2;
    return params.i ? adv_ast_flag(p, id, AST_HAS_PARAMS) : id;
}

AstId adv_ast_state(AdvParse *p, AdvTok word, AdvTok name, AdvTok kind, AstId params, AstId value)
{
    AstId id = adv_ast_named(p, AST_STATE, word, name, adv_list(p, params, value, NO_ID));
    AdvStr name2 = intern_tok(p, kind);
    at(p, id)->name2 = name2;
    return params.i ? adv_ast_flag(p, id, AST_HAS_PARAMS) : id;
}

AstId adv_ast_repeat(AdvParse *p, AdvTok word, AstId count, AdvTok var, AstId block)
{
    AstId id = adv_ast_node(p, word.kind == TK_REPLAY ? AST_REPLAY : AST_REPEAT, word, word, adv_list(p, count, block, NO_ID));
    AdvStr name = intern_tok(p, var);
    at(p, id)->name = name;
    return id;
}

AstId adv_ast_upto(AdvParse *p, AstId e, AdvTok close)
{
    at(p, e)->span = adv_span_join(at(p, e)->span, adv_tok_span(p, close));
    return e;
}

AstId adv_ast_flag(AdvParse *p, AstId e, int flag)
{
    at(p, e)->flags |= (uint16_t)flag;
    return e;
}

AstId adv_ast_paren(AdvParse *p, AdvTok open, AstId e, AdvTok close)
{
    at(p, e)->span = adv_span_join(at(p, e)->span, adv_tok_span(p, open));
    return adv_ast_flag(p, adv_ast_upto(p, e, close), AST_PAREN);
}

void adv_ast_file(AdvParse *p, AdvTok edition, AstList stmts)
{
    AstId id = adv_ast_node(p, AST_FILE, edition, edition, stmts);
    at(p, id)->span = (AdvSpan){ p->ast->file, 0, p->src->n_bytes };
    at(p, id)->key = adv_tok_span(p, edition);
    at(p, id)->num = 1;
    p->ast->root = id;
}

/* ---- what was expected ---- */

static const struct {
    int kind;
    const char *text;
} shown[] = {
    {TK_ASSIGN, "`=`"}, {TK_SET, "`<-`"},  {TK_LP, "`(`"},      {TK_RP, "`)`"},      {TK_LB, "`[`"},       {TK_RB, "`]`"},
    {TK_LC, "`{`"},     {TK_RC, "`}`"},    {TK_COMMA, "`,`"},   {TK_COLON, "`:`"},   {TK_DOT, "`.`"},      {TK_ARROW, "`->`"},
    {TK_DOTS, "`..`"},  {TK_BARS, "`||`"}, {TK_LAMBDA, "`=>`"}, {TK_THEN, "`then`"}, {TK_ELSE, "`else`"},  {TK_OVER, "`over`"},
    {TK_TO, "`to`"},    {TK_AS, "`as`"},   {TK_IN, "`in`"},     {TK_ID, "a name"},   {TK_NUM, "a number"}, {TK_STR, "a string"},
};

#define MAX_SHOWN 32
typedef struct Expected { const char *text[MAX_SHOWN]; int n; } Expected;

static void expect(Expected *e, const char *text)
{
    if (e->n < MAX_SHOWN) e->text[e->n++] = text;
}

/* The tokens that could stand here, those that only occur together as one word. */
static void expected_here(const void *g, Expected *e)
{
    int statement = adv_gram_can(g, TK_RETURN), end = adv_gram_can(g, TK_END);
    int expression = adv_gram_can(g, TK_MINUS) && adv_gram_can(g, TK_NUM) && adv_gram_can(g, TK_LB);
    int operator = !expression && adv_gram_can(g, TK_STAR) && adv_gram_can(g, TK_MINUS);
    if (statement) expect(e, "a statement");
    if (expression) expect(e, "an expression");
    if (operator) expect(e, "an operator");
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        int k = shown[i].kind;
        if (!adv_gram_can(g, k)) continue;
        if (expression && (k == TK_ID || k == TK_NUM || k == TK_STR || k == TK_LP || k == TK_LB)) continue;
        if (operator && (k == TK_DOTS || k == TK_ARROW || k == TK_LP || k == TK_LB || k == TK_DOT)) continue;
        if (statement && k == TK_ID) continue;
        if ((k == TK_OVER || k == TK_TO || k == TK_AS || k == TK_IN) && adv_gram_can(g, TK_ID)) continue; /* they are names, too */
        expect(e, shown[i].text);
    }
    if (end) expect(e, "the end of the statement");
}

/* ADV_RAW_EOF: the end of the file; END of no length: of the line, or of the block. */
static const char *found_text(AdvParse *p, uint32_t i)
{
    AdvTok t = p->toks.at[i];
    if (t.kind == TK_END && t.len == 0) {
        t = p->toks.at[i + 1];
        if (t.kind != TK_RC && t.kind != ADV_RAW_EOF) return "the end of the line";
        const char *s = p->src->text + p->toks.at[i].off;
        if (memchr(s, '\n', t.off - p->toks.at[i].off)) return "the end of the line";
    }
    if (t.kind == ADV_RAW_EOF) return "the end of the file";
    if (t.kind == TK_STR) return "a string";
    const char *s = adv_arena_printf(&p->ds->arena, "`%.*s`", (int)(t.len < 60 ? t.len : 60), adv_tok_text(p, t));
    return s ? s : "something else";
}

static const char *const statement_words[] = { "use",    "param",  "net",      "fn",       "loss",  "attack", "model",  "optim",
                                               "signal", "state",  "data",     "budget",   "step",  "phase",  "train",  "eval",
                                               "run",    "epoch",  "carry",    "return",   "within", "touch", "minimize", "maximize",
                                               "apply",  "repeat", "replay",   "with" };

static int word_is(AdvParse *p, AdvTok t, const char *w)
{
    return t.len == strlen(w) && memcmp(adv_tok_text(p, t), w, t.len) == 0;
}

/* Words of other languages, at the start of a statement or called as one, and what is written here. */
static const struct {
    const char *word, *help;
} elsewhere[] = {
    {"import", "did you mean `use`"},
    {"include", "did you mean `use`"},
    {"from", "did you mean `use`"},
    {"def", "a function is written `fn name(a) = e`, one that moves a value in a loop `attack name(f, x) { }`"},
    {"function", "a function is written `fn name(a) = e`, one that moves a value in a loop `attack name(f, x) { }`"},
    {"let", "an equation is written without a word before it: `a = b`"},
    {"const", "an equation is written without a word before it: `a = b`"},
    {"var", "an equation is written without a word before it: `a = b`"},
    {"optimizer", "did you mean `optim`"},
    {"optimiser", "did you mean `optim`"},
    {"for", "a loop in an attack is written `repeat n as i { }`; `replay n { }` runs lines of a step n times"},
    {"while", "a loop has a known number of turns: `repeat n as i { }` in an attack, `replay n { }` in a step"},
    {"class", "a network is written `net name(x) { }`, and what has its weights `model f = name()`"},
    {"print", "what is to be seen of a run is logged: `signal name = e`"},
    {"assert", "what is to be seen of a run is logged: `signal name = e`"},
    {"backward", "weights are moved by `minimize e over f`, which takes the gradient, too"},
    {"zero_grad", "weights are moved by `minimize e over f`, which takes the gradient, too"},
};

static const char *help_of_word(AdvParse *p, AdvTok t)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (word_is(p, t, elsewhere[i].word)) return elsewhere[i].help;
    return NULL;
}

/* A statement that begins with a name, at the token i that cannot follow. */
static void help_for_name(AdvParse *p, AdvDiag *d, uint32_t start, uint32_t i)
{
    AdvTok first = p->toks.at[start], before = p->toks.at[i - 1], t = p->toks.at[i], next = t.kind ? p->toks.at[i + 1] : t;
    const char *s = adv_tok_text(p, first), *known = help_of_word(p, first);
    int is_call = t.kind == TK_LP, is_sum = t.kind == TK_PLUS || t.kind == TK_MINUS || t.kind == TK_STAR || t.kind == TK_SLASH;
    char word[32];
    if (!known && is_call) known = help_of_word(p, before);
    if (known) {
        adv_diag_help(d, "%s", known);
    } else if (is_sum && i == start + 1 && next.kind == TK_ASSIGN) {
        adv_diag_help(d, "what is carried, or a state, is moved by `%.*s <- %.*s %.*s e`", (int)first.len, s, (int)first.len, s,
                      (int)t.len, adv_tok_text(p, t));
    } else if (t.kind == TK_LT && i == start + 1 && next.kind == TK_MINUS) {
        adv_diag_help(d, "an update is written `%.*s <- e`, without a space inside the arrow", (int)first.len, s);
    } else if (i == start + 1 && first.len < sizeof word) {
        memcpy(word, s, first.len);
        word[first.len] = 0;
        const char *near = adv_nearest(word, statement_words, sizeof statement_words / sizeof *statement_words);
        if (near) adv_diag_help(d, "did you mean `%s`", near);
        else if (is_call) adv_diag_help(d, "a call alone does nothing: name its result, `a = %s(...)`, or log it, `signal a = ...`", word);
    }
}

/* `if`, where none can stand, and its words. */
static void help_for_if(AdvDiag *d, const void *g, int is_first)
{
    if (is_first)
        adv_diag_help(d, "`if` is a value and holds no lines: `a = if c then b else d`; lines for some epochs stand in a `phase`");
    else if (adv_gram_can(g, TK_STAR)) adv_diag_help(d, "the condition comes first: `if c then a else b`");
    else adv_diag_help(d, "inside an expression it stands in brackets: `2*(if c then a else b)`");
}

/* What may have been meant. */
static void help_for(AdvParse *p, AdvDiag *d, const void *g, uint32_t i)
{
    AdvTok t = p->toks.at[i], before = i ? p->toks.at[i - 1] : t;
    uint32_t start = i;
    while (start && p->toks.at[start - 1].kind != TK_END && p->toks.at[start - 1].kind != TK_LC && p->toks.at[start - 1].kind != TK_RC)
        start--;
    AdvTok first = p->toks.at[start];
    if (t.kind >= TK_IF && t.kind <= TK_NOT && i > start && adv_gram_can(g, TK_ID) && !adv_gram_can(g, TK_NUM))
        adv_diag_help(d, "`%.*s` is reserved and cannot be a name", (int)t.len, adv_tok_text(p, t));
    else if (t.kind == TK_IF) help_for_if(d, g, i == start);
    else if (t.kind == TK_SET) adv_diag_help(d, "`<-` is an update; a comparison with a negative number is written `a < -1`");
    else if (t.kind == TK_STAR && before.kind == TK_STAR) adv_diag_help(d, "powers are written `a^b`");
    else if (t.kind == TK_ASSIGN && adv_gram_can(g, TK_EQ)) adv_diag_help(d, "a comparison is written `a == b`");
    else if (t.kind == TK_EQ && adv_gram_can(g, TK_ASSIGN)) adv_diag_help(d, "an equation is written `a = b`");
    else if (t.kind == TK_COMMA && first.kind == TK_WITHIN) adv_diag_help(d, "a range is written `lo .. hi`");
    else if (before.kind == TK_ARROW && t.kind == TK_LP) adv_diag_help(d, "behind `->` stands a name or a call");
    else if ((t.kind == TK_RP || t.kind == TK_RB)) adv_diag_help(d, "no bracket is open here that it could close");
    else if (t.kind == TK_BARS) adv_diag_help(d, "`||` stands in arguments only; the condition is `or`");
    else if (t.kind == TK_LAMBDA) adv_diag_help(d, "functions `z => e` stand in arguments only");
    else if ((first.kind == TK_MINIMIZE || first.kind == TK_MAXIMIZE) && adv_gram_can(g, TK_OVER))
        adv_diag_help(d, "say whose weights move: `%.*s e over f`", (int)first.len, adv_tok_text(p, first));
    else if (first.kind == TK_APPLY && adv_gram_can(g, TK_TO)) adv_diag_help(d, "say whose weights move: `apply g to f`");
    else if (first.kind == TK_ID && i > start) help_for_name(p, d, start, i);
}

static void report(AdvParse *p, const void *g, uint32_t i)
{
    AdvTok t = p->toks.at[i];
    if (t.silent || (t.kind == TK_END && p->toks.at[i + 1].silent)) return;
    if (t.kind == TK_ELSE && p->told_if && p->toks.at[i - 1].kind == TK_RC) return; /* its `if` was reported */
    p->told_if |= t.kind == TK_IF;
    if (p->ds->n_errors >= ADV_DIAG_MAX_ERRORS) { /* only counted */
        adv_diag(p->ds, ADV_D_SYNTAX, adv_tok_span(p, t), "unexpected token");
        return;
    }
    Expected e = { .n = 0 };
    char list[512];
    size_t n = 0;
    expected_here(g, &e);
    for (int k = 0; k < e.n && n < sizeof list - 1; k++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", k == 0 ? "" : k == e.n - 1 ? " or " : ", ", e.text[k]);
    AdvSpan span = adv_tok_span(p, t);
    AdvDiag *d = e.n ? adv_diag(p->ds, ADV_D_SYNTAX, span, "expected %s, found %s", list, found_text(p, i))
                     : adv_diag(p->ds, ADV_D_SYNTAX, span, "unexpected %s", found_text(p, i));
    help_for(p, d, g, i);
}

/* ---- driving ---- */

static int give(AdvParse *p, void *g, AdvTok t)
{
    p->failed = 0;
    adv_gram(g, t.kind, t, p);
    return !p->failed;
}

/* Token i was refused. Returns the token to go on with. */
static uint32_t recover(AdvParse *p, void *g, uint32_t i)
{
    AdvTok here = p->toks.at[i], end = { TK_END, 1, here.off, 0 };
    if (adv_gram_can(g, TK_END) && here.kind != TK_END) give(p, g, end); /* the statement before was complete */
    adv_gram_unwind(g);
    uint32_t from = here.off;
    for (; p->toks.at[i].kind != TK_END && p->toks.at[i].kind != TK_LC && p->toks.at[i].kind != TK_RC && p->toks.at[i].kind; i++) continue;
    uint32_t to = p->toks.at[i].off > from ? p->toks.at[i].off : from + here.len;
    int ok = give(p, g, (AdvTok){ TK_BAD, 1, from, to - from });
    assert(ok);
    if (p->toks.at[i].kind == TK_RC || !p->toks.at[i].kind) ok = give(p, g, end);
    assert(ok);
    (void)ok;
    return i;
}

/* `adv 1` and the end of its line. Returns the number of tokens used. */
static uint32_t read_edition(AdvParse *p)
{
    const AdvTok *t = p->toks.at;
    uint32_t n = 0;
    if (t[0].kind != TK_ADV && !t[0].silent) {
        AdvSpan at_top = { p->ast->file, t[0].off, t[0].kind == TK_END ? 0 : t[0].len };
        adv_diag_help(adv_diag(p->ds, ADV_D_EDITION, at_top, "expected the language edition, `adv 1`, as the first line"),
                      "write `adv 1` above this");
    }
    if (t[0].kind != TK_ADV) return 0;
    if (t[1].kind != TK_NUM || t[1].len != 1 || *adv_tok_text(p, t[1]) != '1') {
        AdvTok odd = t[1].kind == TK_NUM ? t[1] : t[0];
        AdvDiag *d = odd.kind == TK_NUM
                         ? adv_diag(p->ds, ADV_D_EDITION, adv_tok_span(p, odd), "language edition `%.*s` is not known, only `1`",
                                    (int)odd.len, adv_tok_text(p, odd))
                         : adv_diag(p->ds, ADV_D_EDITION, adv_tok_span(p, odd), "expected the number of the language edition behind `adv`");
        adv_diag_help(d, "write `adv 1`");
    } else if (t[2].kind != TK_END && t[2].kind && !t[2].silent) {
        adv_diag(p->ds, ADV_D_EDITION, adv_tok_span(p, t[2]), "expected the end of the line behind `adv 1`, found `%.*s`", (int)t[2].len,
                 adv_tok_text(p, t[2]));
    }
    while (t[n].kind && t[n].kind != TK_END && t[n].kind != TK_LC) n++;
    return n + (t[n].kind == TK_END);
}

static void parse_stream(AdvParse *p)
{
    static const uint16_t head[3] = { TK_ADV, TK_NUM, TK_END };
    uint32_t i = read_edition(p), len = i ? adv_span_join(adv_tok_span(p, p->toks.at[0]), adv_tok_span(p, p->toks.at[i - 1])).len : 0;
    void *g = adv_arena_new(p->ast->arena, adv_gram_bytes());
    adv_gramInit(g);
    for (int k = 0; k < 3; k++) give(p, g, (AdvTok){ head[k], 0, p->toks.at[0].off, len });
    for (; p->toks.at[i].kind; i++) {
        AdvTok t = p->toks.at[i];
        if (adv_gram_full(g)) {
            if (!p->too_high++) adv_diag(p->ds, ADV_D_TOO_DEEP, adv_tok_span(p, t), "this is nested too deeply to be read");
        } else if (give(p, g, t)) {
            continue;
        } else {
            report(p, g, i);
        }
        i = recover(p, g, i);
        if (!p->toks.at[i].kind) break;
        if (!give(p, g, p->toks.at[i])) assert(!"what stands behind BAD is accepted");
    }
    if (!give(p, g, p->toks.at[i])) {
        report(p, g, i);
        recover(p, g, i);
        give(p, g, p->toks.at[i]);
    }
}

/* Offset of the first byte that is not UTF-8, or n. */
static uint32_t not_utf8(const char *text, uint32_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    for (uint32_t i = 0; i < n;) {
        unsigned char c = s[i];
        uint32_t len = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
        if (!len || len > n - i) return i;
        for (uint32_t k = 1; k < len; k++)
            if ((s[i + k] & 0xc0) != 0x80) return i;
        if ((c == 0xe0 && s[i + 1] < 0xa0) || (c == 0xed && s[i + 1] > 0x9f) || (c == 0xf0 && s[i + 1] < 0x90) ||
            (c == 0xf4 && s[i + 1] > 0x8f))
            return i;
        i += len;
    }
    return n;
}

/* Diagnostics from the k-th on in the order of the text: tokens were read before the grammar was. Nearly sorted already. */
static void sort_diags(AdvDiags *ds, uint32_t k)
{
    for (uint32_t i = k + 1; i < ds->list.n; i++) {
        AdvDiag *d = ds->list.at[i];
        uint32_t j = i;
        for (; j > k && ds->list.at[j - 1]->span.off > d->span.off; j--) ds->list.at[j] = ds->list.at[j - 1];
        ds->list.at[j] = d;
    }
}

/* Can this text be read at all? */
static int is_readable(AdvParse *p)
{
    if (p->src->n_bytes > ADV_MAX_SOURCE_BYTES) {
        AdvSpan top = { p->ast->file, 0, 0 };
        adv_diag(p->ds, ADV_D_TOO_LONG, top, "the source has %u bytes, more than the %u that are read", p->src->n_bytes,
                 ADV_MAX_SOURCE_BYTES);
        return 0;
    }
    uint32_t bad = not_utf8(p->src->text, p->src->n_bytes);
    if (bad == p->src->n_bytes) return 1;
    AdvDiag *d = adv_diag(p->ds, ADV_D_NOT_UTF8, (AdvSpan){ p->ast->file, bad, 1 }, "byte 0x%02x is not UTF-8 text",
                          (unsigned)(unsigned char)p->src->text[bad]);
    adv_diag_help(d, "save the file as UTF-8");
    return 0;
}

Ast *adv_parse(AdvArena *arena, AdvInterns *names, AdvDiags *ds, uint32_t file)
{
    Ast *t = ADV_NEW(arena, Ast);
    *t = (Ast){ .arena = arena, .names = names, .file = file };
    AdvParse p = { .ast = t, .ds = ds, .src = &ds->sources.files.at[file - 1] };
    uint32_t n_diags = ds->list.n;
    push_node(&p, (AstNode){ 0 }, 0);
    if (is_readable(&p)) {
        adv_tokens(&p);
        parse_stream(&p);
    }
    if (!t->root.i) {
        AdvTok top = { 0 };
        AstId bad = adv_ast_node(&p, AST_ERROR, top, top, (AstList){ { 0 }, { 0 } });
        adv_ast_file(&p, top, (AstList){ bad, bad });
    }
    sort_diags(ds, n_diags);
    return t;
}
