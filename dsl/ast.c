/* ast.c: looking around in the tree. Making it is parse.c's work, printing it ast_print.c's. */
#include "dsl/ast.h"

static const char *const kind_names[AST_KIND_COUNT] = {
#define AST(kind) #kind,
#include "dsl/ast.def"
#undef AST
};

AstId ast_child(const Ast *t, AstId id, uint32_t k)
{
    AstId c = ast(t, id)->first;
    while (c.i && k--) c = ast(t, c)->next;
    return c;
}

uint32_t ast_n_children(const Ast *t, AstId id)
{
    uint32_t n = 0;
    for (AstId c = ast(t, id)->first; c.i; c = ast(t, c)->next) n++;
    return n;
}

const char *ast_kind_name(uint16_t kind)
{
    return kind < AST_KIND_COUNT ? kind_names[kind] : "?";
}
