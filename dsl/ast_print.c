/* ast_print.c: the tree as canonical text (what the formatter writes), and as a dump.
**
** The author decides where lines end, the printer decides everything else. A line break is kept where one may stand: between
** statements, between the items of a list, before an operator, after `=` and `=>`; it is taken from the source text between
** two nodes. So text that has been printed once prints as itself. Comments wait until the next such place, so none is lost;
** those at the ends of neighbouring lines are put into one column.
*/
#include "dsl/ast.h"

#include "runtime/base/number.h"

#include <stdio.h>
#include <string.h>

#define STEP 2       /* indentation of a block */
#define HANG 4       /* of a continued line */
#define ALIGN_TO 90  /* lines longer than this do not push the comments of their neighbours */

typedef struct Line {
    const char *text, *comment; /* either may be empty */
    uint32_t len, comment_len;
} Line;

typedef struct Printer {
    const Ast *t;
    const AdvSource *src;
    AdvArena *arena;
    ADV_VEC(Line) lines;
    ADV_VEC(char) cur;     /* the line being written, without its indentation */
    uint32_t cur_indent;   /* of that line */
    uint32_t indent;       /* of the statement or bracket that is being written */
    uint32_t next_comment; /* first one not yet written */
    uint32_t done;         /* source offset up to which everything is written */
} Printer;

static const AstNode *at(const Printer *p, AstId id) { return ast(p->t, id); }
static const char *text(const Printer *p, AdvStr s) { return adv_str(p->t->names, s); }
static uint32_t start(const Printer *p, AstId id) { return at(p, id)->span.off; }
static uint32_t end(const Printer *p, AstId id) { return at(p, id)->span.off + at(p, id)->span.len; }

static void put_n(Printer *p, const char *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) *ADV_PUSH(p->arena, &p->cur) = s[i];
}

static void put(Printer *p, const char *s) { put_n(p, s, (uint32_t)strlen(s)); }
static void put_name(Printer *p, AdvStr s) { put(p, text(p, s)); }

static uint32_t newlines(const Printer *p, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++) n += p->src->text[i] == '\n';
    return n;
}

/* ---- lines and comments ---- */

static void end_line(Printer *p, const char *comment, uint32_t comment_len)
{
    uint32_t indent = p->cur.n ? p->cur_indent : 0, n = indent + p->cur.n;
    char *s = adv_arena_new(p->arena, n + 1);
    memset(s, ' ', indent);
    if (p->cur.n) memcpy(s + indent, p->cur.at, p->cur.n);
    *ADV_PUSH(p->arena, &p->lines) = (Line){ s, comment, n, comment_len };
    p->cur.n = 0;
}

static void new_line(Printer *p, uint32_t indent)
{
    while (p->cur.n && p->cur.at[p->cur.n - 1] == ' ') p->cur.n--;
    if (p->cur.n) end_line(p, "", 0);
    p->cur_indent = indent;
}

static void blank_line(Printer *p)
{
    if (p->lines.n && (p->lines.at[p->lines.n - 1].len || p->lines.at[p->lines.n - 1].comment_len)) end_line(p, "", 0);
}

/* Does a comment that stood before source offset `to` still have to be written? */
static int comment_waits(const Printer *p, uint32_t to)
{
    return p->next_comment < p->t->comments.n && p->t->comments.at[p->next_comment].span.off < to;
}

/* Writes the comments that stand before source offset `to`: behind the line being written if they stood there, else on lines
** of their own. True if the line has been ended. `blanks`: keep empty lines between them. */
static int comments_before(Printer *p, uint32_t to, uint32_t indent, int blanks)
{
    int ended = 0;
    for (; p->next_comment < p->t->comments.n; p->next_comment++) {
        AdvSpan c = p->t->comments.at[p->next_comment].span;
        if (c.off >= to) break;
        const char *s = p->src->text + c.off;
        int behind = p->cur.n && (c.off < p->done || !newlines(p, p->done, c.off));
        while (p->cur.n && p->cur.at[p->cur.n - 1] == ' ') p->cur.n--;
        if (behind) {
            end_line(p, s, c.len);
        } else {
            int blank = blanks && c.off > p->done && newlines(p, p->done, c.off) > 1;
            new_line(p, indent);
            if (blank) blank_line(p);
            put_n(p, s, c.len);
            end_line(p, "", 0);
        }
        p->cur_indent = indent;
        if (c.off + c.len > p->done) p->done = c.off + c.len;
        ended = 1;
    }
    return ended;
}

/* Between two pieces of a statement, where the line may end: it does if the source's did, or a comment stands there. */
static int gap(Printer *p, uint32_t from, uint32_t to, uint32_t indent, const char *sep)
{
    if (from > p->done) p->done = from;
    int broken = to > from && newlines(p, from, to);
    if (comments_before(p, to, indent, 0)) broken = 1;
    else if (broken) new_line(p, indent);
    if (!broken) put(p, sep);
    return broken;
}

/* ---- expressions ---- */

static void expr(Printer *p, AstId id);

static void string(Printer *p, AdvStr s)
{
    put(p, "\"");
    for (const char *c = text(p, s); *c; c++) {
        if (*c == '"' || *c == '\\') put(p, "\\");
        put_n(p, c, 1);
    }
    put(p, "\"");
}

/* Items between brackets; `from` is behind the opening one, `to` the end of the construct. */
static void items(Printer *p, AstId first, uint32_t from, uint32_t to, const char *open, const char *close)
{
    uint32_t saved = p->indent, outer = p->cur_indent;
    put(p, open);
    if (first.i) {
        int broken = newlines(p, from, start(p, first)) != 0 || comment_waits(p, start(p, first));
        p->indent = outer + (broken ? STEP : HANG);
        gap(p, from, start(p, first), p->indent, "");
        for (AstId a = first; a.i; a = at(p, a)->next) {
            expr(p, a);
            AstId next = at(p, a)->next;
            if (!next.i) {
                gap(p, end(p, a), to, outer, "");
            } else if (at(p, next)->flags & AST_BAR) {
                gap(p, end(p, a), start(p, next), p->indent, " ");
                put(p, "|| ");
            } else {
                put(p, ",");
                gap(p, end(p, a), start(p, next), p->indent, " ");
            }
        }
    }
    p->indent = saved;
    put(p, close);
}

static void names(Printer *p, AstId list)
{
    for (AstId n = at(p, list)->first; n.i; n = at(p, n)->next) {
        put_name(p, at(p, n)->name);
        if (at(p, n)->next.i) put(p, ", ");
    }
}

static void binary(Printer *p, const AstNode *n)
{
    AstId left = n->first, right = at(p, left)->next;
    const char *op = text(p, n->name);
    int tight = strcmp(op, "*") == 0 || strcmp(op, "/") == 0 || strcmp(op, "^") == 0;
    expr(p, left);
    int broken = gap(p, end(p, left), start(p, right), p->indent + HANG, tight ? "" : " ");
    put(p, op);
    if (!tight || broken) put(p, " ");
    expr(p, right);
}

static void condition(Printer *p, const AstNode *n)
{
    AstId c = n->first, a = at(p, c)->next, b = at(p, a)->next;
    put(p, "if ");
    expr(p, c);
    gap(p, end(p, c), start(p, a), p->indent + HANG, " ");
    put(p, "then ");
    expr(p, a);
    gap(p, end(p, a), start(p, b), p->indent + HANG, " ");
    put(p, "else ");
    expr(p, b);
}

static void pipe(Printer *p, const AstNode *n)
{
    AstId value = n->first, callee = at(p, value)->next, arg = at(p, callee)->next;
    expr(p, value);
    gap(p, end(p, value), start(p, callee), p->indent + HANG, " ");
    put(p, "-> ");
    if (n->name.i) {
        put_name(p, n->name);
        put(p, ": ");
    }
    expr(p, callee);
    if (arg.i) items(p, arg, end(p, callee), n->span.off + n->span.len, "(", ")");
}

static void lambda(Printer *p, const AstNode *n)
{
    AstId list = n->first, body = at(p, list)->next;
    int several = ast_n_children(p->t, list) > 1;
    if (several) put(p, "(");
    names(p, list);
    put(p, several ? ") =>" : " =>");
    gap(p, n->key.off + n->key.len, start(p, body), p->indent + HANG, " ");
    expr(p, body);
}

static void atom(Printer *p, AstId id)
{
    const AstNode *n = at(p, id);
    AstId a = n->first, b = a.i ? at(p, a)->next : a;
    uint32_t n_end = n->span.off + n->span.len;
    switch (n->kind) {
    case AST_STR: string(p, n->name); break;
    case AST_NUM: case AST_ID: case AST_PATH: case AST_NAME: put_name(p, n->name); break;
    case AST_BINARY: binary(p, n); break;
    case AST_UNARY:
        put_name(p, n->name);
        if (text(p, n->name)[0] != '-') put(p, " ");
        expr(p, a);
        break;
    case AST_IF: condition(p, n); break;
    case AST_RANGE: expr(p, a); put(p, " .. "); expr(p, b); break;
    case AST_PAIR: expr(p, a); put(p, ": "); expr(p, b); break;
    case AST_LIST: items(p, a, n->span.off + 1, n_end, "[", "]"); break;
    case AST_PARAMS: items(p, a, n->span.off + 1, n_end, "(", ")"); break;
    case AST_CALL: expr(p, a); items(p, b, end(p, a), n_end, "(", ")"); break;
    case AST_DOT: expr(p, a); put(p, "."); put_name(p, n->name); break;
    case AST_INDEX: expr(p, a); put(p, "["); expr(p, b); put(p, "]"); break;
    case AST_PIPE: pipe(p, n); break;
    case AST_LAMBDA: lambda(p, n); break;
    case AST_ARG:
        if (n->name.i) {
            put_name(p, n->name);
            put(p, " = ");
        }
        expr(p, a);
        break;
    default: put_n(p, p->src->text + n->span.off, n->span.len); /* ERROR: as it stands */
    }
}

static void expr(Printer *p, AstId id)
{
    int paren = at(p, id)->flags & AST_PAREN;
    if (paren) put(p, "(");
    atom(p, id);
    if (paren) put(p, ")");
    if (end(p, id) > p->done) p->done = end(p, id);
}

/* ---- statements ---- */

static void block(Printer *p, AstId id);

/* ` = value`, on a line of its own if it stood so. */
static void value(Printer *p, uint32_t from, AstId v, const char *sign)
{
    put(p, sign);
    gap(p, from, start(p, v), p->indent + HANG, " ");
    expr(p, v);
}

static void list(Printer *p, AstId first, const char *sep)
{
    for (AstId a = first; a.i; a = at(p, a)->next) {
        expr(p, a);
        AstId next = at(p, a)->next;
        if (!next.i) break;
        put(p, sep);
        gap(p, end(p, a), start(p, next), p->indent + HANG, " ");
    }
}

static const char *const words[AST_KIND_COUNT] = {
    [AST_USE_STD] = "use ",       [AST_USE_FILE] = "use ",   [AST_USE_PLUGIN] = "use plugin ", [AST_PARAM] = "param ",
    [AST_NET] = "net ",           [AST_ATTACK] = "attack ",  [AST_FN] = "fn ",                 [AST_LOSS] = "loss ",
    [AST_MODEL] = "model ",       [AST_SIGNAL] = "signal ",  [AST_OPTIM] = "optim ",           [AST_STATE] = "state ",
    [AST_CARRY] = "carry ",       [AST_RETURN] = "return ",  [AST_WITHIN] = "within ",         [AST_TOUCH] = "touch ",
    [AST_MINIMIZE] = "minimize ", [AST_MAXIMIZE] = "maximize ", [AST_APPLY] = "apply ",        [AST_REPEAT] = "repeat ",
    [AST_REPLAY] = "replay ",     [AST_WITH] = "with ",
};

static void use(Printer *p, const AstNode *n)
{
    if (n->kind == AST_USE_STD) put_name(p, n->name);
    else string(p, n->name);
    if (n->name2.i) {
        put(p, " as ");
        put_name(p, n->name2);
    }
}

/* net, attack, fn, loss: name(params) block or = e */
static void template(Printer *p, const AstNode *n)
{
    AstId params = n->first, body = at(p, params)->next;
    put_name(p, n->name);
    expr(p, params);
    if (at(p, body)->flags & AST_SHORT) value(p, end(p, params), at(p, at(p, body)->first)->first, " =");
    else block(p, body);
}

static void section(Printer *p, const AstNode *n)
{
    put_name(p, n->name);
    if (n->name2.i) {
        put(p, " ");
        put_name(p, n->name2);
    }
    AstId a = n->first;
    if (n->flags & AST_HAS_PARAMS) {
        expr(p, a);
        a = at(p, a)->next;
    }
    block(p, a);
}

static void state(Printer *p, const AstNode *n)
{
    AstId a = n->first;
    uint32_t from = n->key.off + n->key.len;
    put_name(p, n->name);
    put(p, ": ");
    put_name(p, n->name2);
    if (n->flags & AST_HAS_PARAMS) {
        expr(p, a);
        from = end(p, a);
        a = at(p, a)->next;
    }
    value(p, from, a, " =");
}

static void statement(Printer *p, AstId id)
{
    const AstNode *n = at(p, id);
    AstId a = n->first, b = a.i ? at(p, a)->next : a;
    uint32_t key_end = n->key.off + n->key.len;
    if (words[n->kind]) put(p, words[n->kind]);
    switch (n->kind) {
    case AST_USE_STD: case AST_USE_FILE: case AST_USE_PLUGIN: use(p, n); break;
    case AST_NET: case AST_ATTACK: case AST_FN: case AST_LOSS: template(p, n); break;
    case AST_PARAM: case AST_MODEL: case AST_SIGNAL: case AST_CARRY:
        put_name(p, n->name);
        value(p, key_end, a, " =");
        if (b.i) {
            put(p, " in ");
            expr(p, b);
        }
        break;
    case AST_OPTIM: names(p, a); value(p, end(p, a), b, " ="); break;
    case AST_STATE: state(p, n); break;
    case AST_SECTION: section(p, n); break;
    case AST_ASSIGN: list(p, at(p, a)->first, ","); value(p, end(p, a), b, " ="); break;
    case AST_UPDATE: expr(p, a); value(p, end(p, a), b, " <-"); break;
    case AST_RETURN: list(p, a, ","); break;
    case AST_WITHIN: case AST_TOUCH: expr(p, a); break;
    case AST_MINIMIZE: case AST_MAXIMIZE: expr(p, a); put(p, " over "); names(p, b); break;
    case AST_APPLY: expr(p, a); put(p, " to "); names(p, b); break;
    case AST_REPEAT: case AST_REPLAY:
        expr(p, a);
        if (n->name.i) {
            put(p, " as ");
            put_name(p, n->name);
        }
        block(p, b);
        break;
    case AST_WITH: expr(p, a); block(p, b); break;
    default: put_n(p, p->src->text + n->span.off, n->span.len);
    }
    if (end(p, id) > p->done) p->done = end(p, id);
}

static void statements(Printer *p, AstId first)
{
    uint32_t lines = p->lines.n, indent = p->indent;
    int is_first = 1;
    for (AstId s = first; s.i; s = at(p, s)->next, is_first = 0) {
        uint32_t before = p->done;
        int fresh = comments_before(p, start(p, s), indent, !is_first || p->lines.n > lines);
        if (!is_first && !fresh && !newlines(p, before, start(p, s)) && p->lines.n == lines) {
            put(p, "; ");
        } else {
            int blank = (!is_first || fresh) && newlines(p, p->done, start(p, s)) > 1;
            new_line(p, indent);
            if (blank) blank_line(p);
        }
        lines = p->lines.n;
        p->indent = indent;
        statement(p, s);
    }
    p->indent = indent;
}

/* On one line if it stood on one and no comment from before its brace has to go in. */
static void block(Printer *p, AstId id)
{
    const AstNode *n = at(p, id);
    uint32_t outer = p->indent, close = n->span.off + n->span.len - 1;
    put(p, " {");
    p->done = n->span.off + 1;
    if (!newlines(p, n->span.off, close) && !comment_waits(p, close)) {
        for (AstId s = n->first; s.i; s = at(p, s)->next) {
            put(p, s.i == n->first.i ? " " : "; ");
            statement(p, s);
        }
        put(p, n->first.i ? " }" : "}");
    } else {
        p->indent = outer + STEP;
        statements(p, n->first);
        comments_before(p, close, p->indent, 1);
        new_line(p, outer);
        put(p, "}");
    }
    p->indent = outer;
    p->done = close + 1;
}

/* ---- output ---- */

static void write_lines(const Printer *p, AdvWriteFn *write, void *user)
{
    for (uint32_t i = 0; i < p->lines.n;) {
        uint32_t j = i, column = 0;
        for (; j < p->lines.n && p->lines.at[j].comment_len; j++)
            if (p->lines.at[j].len > column && p->lines.at[j].len <= ALIGN_TO) column = p->lines.at[j].len;
        if (j == i) j++;
        for (; i < j; i++) {
            const Line *l = &p->lines.at[i];
            write(user, l->text, l->len);
            if (l->comment_len) {
                for (uint32_t k = l->len; k < column; k++) write(user, " ", 1);
                write(user, "  ", 2);
                write(user, l->comment, l->comment_len);
            }
            write(user, "\n", 1);
        }
    }
}

void ast_print(const Ast *t, const AdvSources *src, AdvWriteFn *write, void *user)
{
    const AstNode *file = ast(t, t->root);
    Printer p = { .t = t, .src = &src->files.at[t->file - 1], .arena = t->arena };
    AdvArenaMark mark = adv_arena_mark(t->arena);
    comments_before(&p, file->key.off, 0, 1);
    if (p.done && newlines(&p, p.done, file->key.off) > 1) blank_line(&p);
    put(&p, "adv 1");
    p.done = file->key.off + file->key.len;
    if (file->first.i) {
        int joined = !newlines(&p, p.done, start(&p, file->first)) && file->key.len;
        comments_before(&p, start(&p, file->first), 0, 1);
        int blank = newlines(&p, p.done, start(&p, file->first)) > 1;
        new_line(&p, 0);
        if (blank && !joined) blank_line(&p);
        statements(&p, file->first);
    }
    comments_before(&p, p.src->n_bytes + 1, 0, 1);
    new_line(&p, 0);
    write_lines(&p, write, user);
    adv_arena_release(t->arena, mark);
}

/* ---- the dump ---- */

static void say(AdvWriteFn *write, void *user, const char *s) { write(user, s, strlen(s)); }

static void dump(const Ast *t, AstId id, uint32_t depth, AdvWriteFn *write, void *user)
{
    const AstNode *n = ast(t, id);
    for (uint32_t i = 0; i < depth; i++) say(write, user, "  ");
    say(write, user, ast_kind_name(n->kind));
    if (n->name.i || n->kind == AST_STR) {
        int quoted = n->kind == AST_STR || n->kind == AST_USE_FILE || n->kind == AST_USE_PLUGIN;
        say(write, user, quoted ? " \"" : " ");
        say(write, user, adv_str(t->names, n->name));
        if (quoted) say(write, user, "\"");
    }
    if (n->name2.i) {
        say(write, user, " ");
        say(write, user, adv_str(t->names, n->name2));
    }
    if (n->kind == AST_NUM || n->kind == AST_FILE) {
        say(write, user, " ");
        say(write, user, adv_number_text(n->num, 17).at);
    }
    if (n->flags & AST_BAR) say(write, user, " bar");
    if (n->flags & AST_PAREN) say(write, user, " paren");
    if (n->flags & AST_SHORT) say(write, user, " short");
    say(write, user, "\n");
    for (AstId c = n->first; c.i; c = ast(t, c)->next) dump(t, c, depth + 1, write, user);
}

void ast_dump(const Ast *t, AdvWriteFn *write, void *user) { dump(t, t->root, 0, write, user); }
