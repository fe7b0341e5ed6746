/* token.h: what the parts of the front end (lex.re, tokens.c, gram.y, parse.c) share; private to dsl/.
**
** text --lex.re--> raw tokens --tokens.c--> statement stream (END put in, brackets balanced, words decided)
**      --gram.y, driven by parse.c--> tree
**
** The statement stream is always balanced: what was missing is put in, what was too much is left out, each with a
** diagnostic, so the parser only ever meets errors inside a statement.
*/
#ifndef ADV_DSL_TOKEN_H
#define ADV_DSL_TOKEN_H

#include "dsl/ast.h"

#define ADV_MAX_SOURCE_BYTES (1u << 20)
#define ADV_MAX_NESTING 64      /* brackets inside each other */
#define ADV_MAX_TREE_HEIGHT 512 /* operators inside each other; walkers of the tree may recurse */

/* Beside the TK_ kinds of gram.h (below 256). */
enum {
    ADV_RAW_EOF = 0,
    ADV_RAW_NEWLINE = 1000,
    ADV_RAW_COMMENT,
    ADV_RAW_BAD_CHAR,
    ADV_RAW_BAD_STRING,
    ADV_RAW_BAD_NUMBER
};

/* SILENT: stands where a fault was already reported, so an error here is a consequence. BAD: a literal without a value. */
enum { ADV_TOK_SILENT = 1, ADV_TOK_BAD = 2 };

/* A token is a slice of the source. */
typedef struct AdvTok {
    uint16_t kind;
    uint16_t silent;  /* ADV_TOK_ flags */
    uint32_t off, len;
} AdvTok;

typedef ADV_VEC(AdvTok) AdvToks;

/* Siblings while a list is being read. */
typedef struct AstList { AstId first, last; } AstList;

typedef struct AdvParse {
    Ast *ast;
    AdvDiags *ds;
    const AdvSource *src;
    AdvToks toks;             /* the statement stream, ends with kind 0 */
    ADV_VEC(uint16_t) height; /* by node: height of the tree below it */
    int failed;               /* the grammar refused the token just given */
    int too_high;             /* a tree that is too high was reported */
    int told_if;              /* an `if` that cannot stand where it does was reported */
} AdvParse;

static inline AdvTok adv_tok_between(int kind, const char *text, const char *from, const char *to)
{
    return (AdvTok){ (uint16_t)kind, 0, (uint32_t)(from - text), (uint32_t)(to - from) };
}

static inline AdvSpan adv_tok_span(const AdvParse *p, AdvTok t) { return (AdvSpan){ p->ast->file, t.off, t.len }; }
static inline const char *adv_tok_text(const AdvParse *p, AdvTok t) { return p->src->text + t.off; }

/* lex.re: the token at or after `at`; text[end] is the NUL that ends the source. */
AdvTok adv_lex_raw(const char *text, uint32_t at, uint32_t end);

/* tokens.c: fills p->toks and the tree's comments. */
void adv_tokens(AdvParse *p);

/* parse.c, called by the actions of gram.y. `from`..kids is the extent, `key` the word to point at. */
AstId adv_ast_node(AdvParse *p, AstKind kind, AdvTok from, AdvTok key, AstList kids);
AstId adv_ast_named(AdvParse *p, AstKind kind, AdvTok from, AdvTok name, AstList kids);
AstId adv_ast_op(AdvParse *p, AstKind kind, AdvTok op, AstList kids);        /* name and key are the operator's text */
AstId adv_ast_leaf(AdvParse *p, AdvTok t);                                   /* NUM, STR, ID */
AstId adv_ast_dot(AdvParse *p, AstId value, AdvTok name);
AstId adv_ast_pipe(AdvParse *p, AstId value, AdvTok label, AstId call);      /* label.len 0: none; `call` is ID, DOT or CALL */
AstId adv_ast_arg(AdvParse *p, AdvTok name, AstId value);                    /* name.len 0: by position */
AstId adv_ast_path(AdvParse *p, AstId dots);                                 /* ID or DOT chain to PATH */
AstId adv_ast_update(AdvParse *p, AstId path, AdvTok arrow, AstId value);
AstId adv_ast_use(AdvParse *p, AdvTok use, AdvTok word, AdvTok text, AstId path, AdvTok alias);
AstId adv_ast_fn(AdvParse *p, AdvTok word, AdvTok name, AstId params, AstId body);
AstId adv_ast_section(AdvParse *p, AdvTok word, AdvTok name, AstId params, AstId block);
AstId adv_ast_state(AdvParse *p, AdvTok word, AdvTok name, AdvTok kind, AstId params, AstId value);
AstId adv_ast_repeat(AdvParse *p, AdvTok word, AstId count, AdvTok var, AstId block);
AstId adv_ast_paren(AdvParse *p, AdvTok open, AstId e, AdvTok close);
AstId adv_ast_upto(AdvParse *p, AstId e, AdvTok close);                      /* extends the extent to `close` */
AstId adv_ast_flag(AdvParse *p, AstId e, int flag);
void adv_ast_file(AdvParse *p, AdvTok edition, AstList stmts);
AstList adv_list(AdvParse *p, AstId a, AstId b, AstId c);                    /* id 0 members are left out */
AstList adv_list_add(AdvParse *p, AstList l, AstId a);
AstList adv_list_of(AdvParse *p, AstList a, AstList b);                      /* b behind a */

/* gram.y, its %code part. The parser object lives in memory of the caller. */
size_t adv_gram_bytes(void);
void adv_gramInit(void *parser);
void adv_gram(void *parser, int kind, AdvTok t, AdvParse *p);
int adv_gram_can(const void *parser, int kind);  /* would this token be accepted here? replays reductions on a copy of the stack */
void adv_gram_unwind(void *parser);              /* back to the start of the statement */
int adv_gram_full(const void *parser);           /* is the stack nearly used up? */

#endif
