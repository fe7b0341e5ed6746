/* ast.h: the syntax tree: one node struct for all kinds, children linked by sibling, so that printer, walker and formatter
** stay small. Built by parse.c, read by the compiler; says what was written, never what it means.
**
** Children by kind (in order; ? may be absent = AstId 0 is never linked, so kinds say how many):
**   FILE stmt...                          num = edition
**   USE_STD    name "std.attacks", alias?            (name2 = alias)
**   USE_FILE   name path text, name2 alias
**   USE_PLUGIN name path text, name2 alias
**   PARAM      name; value, [range]                  NET ATTACK FN LOSS: name; PARAMS, BLOCK   (fn f(x) = e becomes BLOCK with RETURN)
**   MODEL SIGNAL name; value        OPTIM  NAMES, value        STATE  name, name2 kind; [PARAMS], value (flag AST_HAS_PARAMS)
**   SECTION    name keyword ("data" "budget" "step" "epoch" "phase" "train" "eval" "run"), name2 its name or 0;
**              [PARAMS] (flag AST_HAS_PARAMS), BLOCK
**   ASSIGN     PATHS, value         UPDATE  PATH, value         CARRY name; value     RETURN value...
**   WITHIN TOUCH value              MINIMIZE MAXIMIZE value, NAMES     APPLY value, NAMES
**   REPEAT REPLAY count, BLOCK      name = "as" variable or 0          WITH value, BLOCK
**   BLOCK stmt...   PATHS PATH...   PATH  name "a.b.c"   NAMES NAME...   NAME name   PARAMS ARG...
**   ARG        name or 0 (named argument); value         flag AST_BAR: came after `||`
**   NUM num, name its exact text        STR name (unescaped)  ID name
**   BINARY name operator; left, right   (+ - * / ^ == != < <= > >= and or)   UNARY name ("-" "not"); value
**   IF cond, then, else             RANGE low, high       LIST item...   PAIR key, value
**   CALL callee, ARG...             DOT name; value       INDEX value, index
**   PIPE value, ID/DOT callee, ARG...   name = label or 0 (labels may be numbers, kept as text)
**   LAMBDA NAMES, body              ERROR (after a syntax error: poison, already reported)
*/
#ifndef ADV_DSL_AST_H
#define ADV_DSL_AST_H

#include "runtime/base/diag.h"
#include "runtime/base/intern.h"

typedef struct AstId { uint32_t i; } AstId;

typedef enum AstKind {
#define AST(kind) AST_##kind,
#include "dsl/ast.def"
#undef AST
    AST_KIND_COUNT
} AstKind;

/* AST_PAREN: an expression written in parentheses (they are in its span). AST_SHORT: the BLOCK of a `fn` written with `=`. */
enum { AST_HAS_PARAMS = 1, AST_BAR = 2, AST_PAREN = 4, AST_SHORT = 8 };

typedef struct AstNode {
    uint16_t kind, flags;
    AdvSpan span;         /* whole construct */
    AdvSpan key;          /* the word to point at: operator, name, keyword */
    AstId first, next;    /* first child, next sibling; 0 none */
    AdvStr name, name2;
    double num;
} AstNode;

/* A comment, kept for the formatter: # to the end of line. */
typedef struct AstComment { AdvSpan span; } AstComment;

typedef struct Ast {
    AdvArena *arena;
    AdvInterns *names;
    uint32_t file;        /* in diags->sources */
    AstId root;           /* FILE */
    ADV_VEC(AstNode) nodes;  /* at[0] none */
    ADV_VEC(AstComment) comments;
} Ast;

static inline const AstNode *ast(const Ast *t, AstId id) { return &t->nodes.at[id.i]; }

/* The k-th child, or none. */
AstId ast_child(const Ast *t, AstId id, uint32_t k);
uint32_t ast_n_children(const Ast *t, AstId id);
const char *ast_kind_name(uint16_t kind);

/* Parses source `file` of ds->sources. Always gives a tree; what could not be read is an ERROR node and a diagnostic.
** `arena` needs a trap. */
Ast *adv_parse(AdvArena *arena, AdvInterns *names, AdvDiags *ds, uint32_t file);

/* Canonical text (what `advc fmt` writes: comments kept, idempotent) / tree dump with one node a line (--dump=ast). */
void ast_print(const Ast *t, const AdvSources *src, AdvWriteFn *write, void *user);
void ast_dump(const Ast *t, AdvWriteFn *write, void *user);

#endif
