/* gram.y: the grammar of .adv text, for Lemon. One builder call an action (parse.c); what a statement may hold, and where it
** may stand, is the compiler's business, so one rule serves them all. dsl/README.md shows these rules as EBNF.
**
** No conflicts, with and without -c. What keeps it so: keys of `[75: 0.01]` are `sum` (after `->` an `ID :` is a label); after
** `->` stands a name or a call; `||` and `=>` live in arguments only; formal parameters parse as `params`.
** Errors: there is no `error` symbol. parse.c unwinds to the start of the statement, gives BAD in its place, and skips to the
** next END or block.
*/
%name adv_gram
%token_prefix TK_
%token_type { AdvTok }
%default_type { AstId }
%extra_argument { AdvParse *p }
%stack_size 4000
%include {
#define YYNOERRORRECOVERY 1
#define adv_gram_ENGINEALWAYSONSTACK 1
#ifndef NDEBUG
#define NDEBUG 1 /* no tracing code, which wants FILE */
#endif
#include "dsl/token.h"
#include "gram.h"
#include <string.h>
#define NOTHING ((AstId){ 0 })
#define NO_TOK ((AdvTok){ 0, 0, 0, 0 })
#define L0 ((AstList){ { 0 }, { 0 } })
#define L1(a) adv_list(p, (a), NOTHING, NOTHING)
#define L2(a, b) adv_list(p, (a), (b), NOTHING)
#define L3(a, b, c) adv_list(p, (a), (b), (c))
#define NAMES(l) adv_ast_node(p, AST_NAMES, NO_TOK, NO_TOK, (l))
#define PATHS(l) adv_ast_node(p, AST_PATHS, NO_TOK, NO_TOK, (l))
#define NAME(i) adv_ast_named(p, AST_NAME, (i), (i), L0)
#define ARG(e) adv_ast_arg(p, NO_TOK, (e))
#define CALL(f, args, end) adv_ast_upto(p, adv_ast_node(p, AST_CALL, NO_TOK, NO_TOK, adv_list_of(p, L1(f), (args))), (end))
}
%syntax_error { p->failed = 1; }
%stack_overflow { p->failed = 1; }
%fallback ID OVER TO AS IN.

%type stmts { AstList }
%type exprs { AstList }
%type paths { AstList }
%type args { AstList }
%type arglist { AstList }
%type arg { AstList }
%type elems { AstList }
%type ids { AstList }
%type section { AdvTok }
%type name_opt { AdvTok }
%type as_opt { AdvTok }
%type relop { AdvTok }

file ::= ADV NUM(N) END stmts(L).                          { adv_ast_file(p, N, L); }
block(A) ::= LC(B) stmts(L) RC(C).                         { A = adv_ast_upto(p, adv_ast_node(p, AST_BLOCK, B, B, L), C); }
stmts(A) ::= .                                             { A = L0; }
stmts(A) ::= stmts(B) stmt(C) END.                         { A = adv_list_add(p, B, C); }

stmt(A) ::= USE(K) path(P).                                { A = adv_ast_use(p, K, NO_TOK, NO_TOK, P, NO_TOK); }
stmt(A) ::= USE(K) path(P) AS ID(I).                       { A = adv_ast_use(p, K, NO_TOK, NO_TOK, P, I); }
stmt(A) ::= USE(K) STR(S).                                 { A = adv_ast_use(p, K, NO_TOK, S, NOTHING, NO_TOK); }
stmt(A) ::= USE(K) STR(S) AS ID(I).                        { A = adv_ast_use(p, K, NO_TOK, S, NOTHING, I); }
stmt(A) ::= USE(K) ID(W) STR(S).                           { A = adv_ast_use(p, K, W, S, NOTHING, NO_TOK); }
stmt(A) ::= USE(K) ID(W) STR(S) AS ID(I).                  { A = adv_ast_use(p, K, W, S, NOTHING, I); }
stmt(A) ::= PARAM(K) ID(I) ASSIGN expr(E).                 { A = adv_ast_named(p, AST_PARAM, K, I, L1(E)); }
stmt(A) ::= PARAM(K) ID(I) ASSIGN expr(E) IN expr(R).      { A = adv_ast_named(p, AST_PARAM, K, I, L2(E, R)); }
stmt(A) ::= NET(K) ID(I) params(P) block(B).               { A = adv_ast_named(p, AST_NET, K, I, L2(P, B)); }
stmt(A) ::= ATTACK(K) ID(I) params(P) block(B).            { A = adv_ast_named(p, AST_ATTACK, K, I, L2(P, B)); }
stmt(A) ::= FN|LOSS(K) ID(I) params(P) ASSIGN expr(E).     { A = adv_ast_fn(p, K, I, P, E); }
stmt(A) ::= FN|LOSS(K) ID(I) params(P) block(B).           { A = adv_ast_fn(p, K, I, P, B); }
stmt(A) ::= MODEL(K) ID(I) ASSIGN expr(E).                 { A = adv_ast_named(p, AST_MODEL, K, I, L1(E)); }
stmt(A) ::= SIGNAL(K) ID(I) ASSIGN expr(E).                { A = adv_ast_named(p, AST_SIGNAL, K, I, L1(E)); }
stmt(A) ::= OPTIM(K) ids(I) ASSIGN expr(E).                { A = adv_ast_node(p, AST_OPTIM, K, K, L2(NAMES(I), E)); }
stmt(A) ::= STATE(K) ID(I) COLON ID(T) params_opt(O) ASSIGN expr(E). { A = adv_ast_state(p, K, I, T, O, E); }
stmt(A) ::= section(K) name_opt(I) params_opt(O) block(B).             { A = adv_ast_section(p, K, I, O, B); }
stmt(A) ::= paths(P) ASSIGN(K) expr(E).                    { A = adv_ast_node(p, AST_ASSIGN, NO_TOK, K, L2(PATHS(P), E)); }
stmt(A) ::= path(P) SET(K) expr(E).                        { A = adv_ast_update(p, P, K, E); }
stmt(A) ::= CARRY(K) ID(I) ASSIGN expr(E).                 { A = adv_ast_named(p, AST_CARRY, K, I, L1(E)); }
stmt(A) ::= RETURN(K) exprs(E).                            { A = adv_ast_node(p, AST_RETURN, K, K, E); }
stmt(A) ::= WITHIN(K) expr(E).                             { A = adv_ast_node(p, AST_WITHIN, K, K, L1(E)); }
stmt(A) ::= TOUCH(K) expr(E).                              { A = adv_ast_node(p, AST_TOUCH, K, K, L1(E)); }
stmt(A) ::= MINIMIZE(K) expr(E) OVER ids(I).               { A = adv_ast_node(p, AST_MINIMIZE, K, K, L2(E, NAMES(I))); }
stmt(A) ::= MAXIMIZE(K) expr(E) OVER ids(I).               { A = adv_ast_node(p, AST_MAXIMIZE, K, K, L2(E, NAMES(I))); }
stmt(A) ::= APPLY(K) expr(E) TO ids(I).                    { A = adv_ast_node(p, AST_APPLY, K, K, L2(E, NAMES(I))); }
stmt(A) ::= REPEAT(K) expr(E) as_opt(I) block(B).             { A = adv_ast_repeat(p, K, E, I, B); }
stmt(A) ::= REPLAY(K) expr(E) as_opt(I) block(B).             { A = adv_ast_repeat(p, K, E, I, B); }
stmt(A) ::= WITH(K) expr(E) block(B).                      { A = adv_ast_node(p, AST_WITH, K, K, L2(E, B)); }
stmt(A) ::= BAD(T).                                        { A = adv_ast_node(p, AST_ERROR, T, T, L0); }
stmt(A) ::= BAD(T) block(B).                               { A = adv_ast_node(p, AST_ERROR, T, T, L1(B)); }

section(A) ::= DATA|BUDGET|STEP|PHASE|TRAIN|EVAL|RUN|EPOCH(K). { A = K; }
name_opt(A) ::= .                                               { A = NO_TOK; }
name_opt(A) ::= ID(I).                                          { A = I; }
as_opt(A) ::= .                                               { A = NO_TOK; }
as_opt(A) ::= AS ID(I).                                       { A = I; }
params_opt(A) ::= .                                           { A = NOTHING; }
params_opt(A) ::= params(B).                                  { A = B; }
params(A) ::= LP(B) args(L) RP(C).                         { A = adv_ast_upto(p, adv_ast_node(p, AST_PARAMS, B, B, L), C); }
exprs(A) ::= expr(B).                                      { A = L1(B); }
exprs(A) ::= exprs(B) COMMA expr(C).                       { A = adv_list_add(p, B, C); }
ids(A) ::= ID(I).                                          { A = L1(NAME(I)); }
ids(A) ::= ids(B) COMMA ID(I).                             { A = adv_list_add(p, B, NAME(I)); }
dots(A) ::= ID(I).                                         { A = adv_ast_leaf(p, I); }
dots(A) ::= dots(B) DOT ID(I).                             { A = adv_ast_dot(p, B, I); }
path(A) ::= dots(B).                                       { A = adv_ast_path(p, B); }
paths(A) ::= path(B).                                      { A = L1(B); }
paths(A) ::= paths(B) COMMA path(C).                       { A = adv_list_add(p, B, C); }

expr(A) ::= IF(K) or(B) THEN expr(C) ELSE expr(D).         { A = adv_ast_node(p, AST_IF, K, K, L3(B, C, D)); }
expr(A) ::= pipe(B).                                       { A = B; }
expr(A) ::= sum(B) DOTS(K) sum(C).                         { A = adv_ast_node(p, AST_RANGE, NO_TOK, K, L2(B, C)); }
pipe(A) ::= or(B).                                         { A = B; }
pipe(A) ::= pipe(B) ARROW call(C).                         { A = adv_ast_pipe(p, B, NO_TOK, C); }
pipe(A) ::= pipe(B) ARROW ID(L) COLON call(C).             { A = adv_ast_pipe(p, B, L, C); }
pipe(A) ::= pipe(B) ARROW NUM(L) COLON call(C).            { A = adv_ast_pipe(p, B, L, C); }
call(A) ::= dots(B).                                       { A = B; }
call(A) ::= dots(B) LP args(L) RP(E).                      { A = CALL(B, L, E); }
or(A) ::= and(B).                                          { A = B; }
or(A) ::= or(B) OR(K) and(C).                              { A = adv_ast_op(p, AST_BINARY, K, L2(B, C)); }
and(A) ::= not(B).                                         { A = B; }
and(A) ::= and(B) AND(K) not(C).                           { A = adv_ast_op(p, AST_BINARY, K, L2(B, C)); }
not(A) ::= cmp(B).                                         { A = B; }
not(A) ::= NOT(K) not(B).                                  { A = adv_ast_op(p, AST_UNARY, K, L1(B)); }
cmp(A) ::= sum(B).                                         { A = B; }
cmp(A) ::= sum(B) relop(K) sum(C).                         { A = adv_ast_op(p, AST_BINARY, K, L2(B, C)); }
relop(A) ::= EQ|NE|LT|LE|GT|GE(K).                         { A = K; }
sum(A) ::= prod(B).                                        { A = B; }
sum(A) ::= sum(B) PLUS|MINUS(K) prod(C).                   { A = adv_ast_op(p, AST_BINARY, K, L2(B, C)); }
prod(A) ::= unary(B).                                      { A = B; }
prod(A) ::= prod(B) STAR|SLASH(K) unary(C).                { A = adv_ast_op(p, AST_BINARY, K, L2(B, C)); }
unary(A) ::= power(B).                                     { A = B; }
unary(A) ::= MINUS(K) unary(B).                            { A = adv_ast_op(p, AST_UNARY, K, L1(B)); }
power(A) ::= postfix(B).                                   { A = B; }
power(A) ::= postfix(B) CARET(K) unary(C).                 { A = adv_ast_op(p, AST_BINARY, K, L2(B, C)); }
postfix(A) ::= prim(B).                                    { A = B; }
postfix(A) ::= postfix(B) DOT ID(I).                       { A = adv_ast_dot(p, B, I); }
postfix(A) ::= postfix(B) LP args(L) RP(E).                { A = CALL(B, L, E); }
postfix(A) ::= postfix(B) LB(K) expr(C) RB(E).             { A = adv_ast_upto(p, adv_ast_node(p, AST_INDEX, NO_TOK, K, L2(B, C)), E); }
args(A) ::= .                                              { A = L0; }
args(A) ::= arglist(B).                                    { A = B; }
args(A) ::= arglist(B) COMMA.                              { A = B; }
arglist(A) ::= arg(B).                                     { A = B; }
arglist(A) ::= arglist(B) COMMA arg(C).                    { A = adv_list_of(p, B, C); }
arg(A) ::= ID(I) ASSIGN value(E).                          { A = L1(adv_ast_arg(p, I, E)); }
arg(A) ::= value(E).                                       { A = L1(ARG(E)); }
arg(A) ::= expr(B) BARS expr(C).                           { A = L2(ARG(B), adv_ast_flag(p, ARG(C), AST_BAR)); }
value(A) ::= expr(B).                                      { A = B; }
value(A) ::= ID(I) LAMBDA(K) expr(E).                      { A = adv_ast_node(p, AST_LAMBDA, I, K, L2(NAMES(L1(NAME(I))), E)); }
value(A) ::= LP(B) ID(I) COMMA ids(L) RP LAMBDA(K) expr(E).
    { A = adv_ast_node(p, AST_LAMBDA, B, K, L2(NAMES(adv_list_of(p, L1(NAME(I)), L)), E)); }
prim(A) ::= NUM(I).                                        { A = adv_ast_leaf(p, I); }
prim(A) ::= STR(I).                                        { A = adv_ast_leaf(p, I); }
prim(A) ::= ID(I).                                         { A = adv_ast_leaf(p, I); }
prim(A) ::= LP(B) expr(E) RP(C).                           { A = adv_ast_paren(p, B, E, C); }
prim(A) ::= LB(B) RB(C).                                   { A = adv_ast_upto(p, adv_ast_node(p, AST_LIST, B, B, L0), C); }
prim(A) ::= LB(B) elems(L) RB(C).                          { A = adv_ast_upto(p, adv_ast_node(p, AST_LIST, B, B, L), C); }
prim(A) ::= LB(B) elems(L) COMMA RB(C).                    { A = adv_ast_upto(p, adv_ast_node(p, AST_LIST, B, B, L), C); }
elems(A) ::= elem(B).                                      { A = L1(B); }
elems(A) ::= elems(B) COMMA elem(C).                       { A = adv_list_add(p, B, C); }
elem(A) ::= expr(B).                                       { A = B; }
elem(A) ::= sum(B) COLON(K) expr(C).                       { A = adv_ast_node(p, AST_PAIR, NO_TOK, K, L2(B, C)); }

%code {
size_t adv_gram_bytes(void) { return sizeof(yyParser); }

/* Would a token of this kind be accepted? With uncompressed tables the reductions that it would set off are known: they are
** done on a copy of the stack of states, until the token is shifted or refused. */
static int can_at(const yyParser *y, const yyStackEntry *top, int kind)
{
    YYACTIONTYPE states[YYSTACKDEPTH];
    int n = 0;
    for (const yyStackEntry *s = y->yystack; s <= top; s++) states[n++] = s->stateno;
    for (;;) {
        YYACTIONTYPE act = yy_find_shift_action((YYCODETYPE)kind, states[n - 1]);
        if (act < YY_MIN_REDUCE) return act <= YY_MAX_SHIFTREDUCE || act == YY_ACCEPT_ACTION;
        unsigned rule = (unsigned)(act - YY_MIN_REDUCE);
        n += yyRuleInfoNRhs[rule];  /* a negative count */
        if (n < 1 || n >= YYSTACKDEPTH) return 0;
        YYACTIONTYPE to = yy_find_reduce_action(states[n - 1], yyRuleInfoLhs[rule]);
        if (to == YY_ACCEPT_ACTION) return 1;
        states[n++] = to;
    }
}

int adv_gram_can(const void *parser, int kind)
{
    const yyParser *y = parser;
    return can_at(y, y->yytos, kind);
}

void adv_gram_unwind(void *parser)
{
    yyParser *y = parser;
    for (; y->yytos > y->yystack; y->yytos--) {
        if (yy_find_shift_action(TK_BAD, y->yytos->stateno) == YY_ERROR_ACTION) continue; /* the quick answer */
        if (can_at(y, y->yytos, TK_BAD)) break;
    }
}

int adv_gram_full(const void *parser)
{
    const yyParser *y = parser;
    return y->yytos - y->yystack > YYSTACKDEPTH - 32;
}
}
