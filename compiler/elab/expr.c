/* expr.c: expressions. One function a node kind; the table at the end picks it. */
#include "compiler/elab/elab.h"

#include <string.h>

#define MAX_DEPTH 1000  /* of expressions, through all calls: the C stack bears it */

typedef ElVal ExprFn(El *el, ElModule *m, ElScope *s, AstId id);

static const AstNode *node(ElModule *m, AstId id) { return ast(m->ast, id); }
static AstId child(ElModule *m, AstId id, uint32_t k) { return ast_child(m->ast, id, k); }
static ElVal sub(El *el, ElModule *m, ElScope *s, AstId id, uint32_t k) { return el_expr(el, m, s, child(m, id, k)); }

/* The exact value of a decimal: 0.031 is 31/1000. */
static ElVal expr_num(El *el, ElModule *m, ElScope *s, AstId id)
{
    const AstNode *n = node(m, id);
    const AdvSource *src = adv_source_of(&el->ds->sources, n->span);
    ElVal v = {.kind = EL_NUMBER, .num = n->num, .span = n->span, .born = n->span};
    int64_t p = 0, q = 1;
    bool point = false, exact = src && n->span.len <= 16;
    (void)s;
    for (uint32_t i = 0; exact && i < n->span.len; i++) {
        char c = src->text[n->span.off + i];
        if (c == '.') point = true;
        else if (c >= '0' && c <= '9') { p = p * 10 + (c - '0'); if (point) q *= 10; }
        else exact = false;
    }
    if (!exact) return v;
    ElVal r = el_ratio(p, q, n->span);
    r.num = n->num;
    r.born = n->span;
    return r;
}

static ElVal expr_str(El *el, ElModule *m, ElScope *s, AstId id)
{
    (void)el; (void)s;
    return (ElVal){.kind = EL_STRING, .name = node(m, id)->name, .span = node(m, id)->span};
}

static ElVal expr_id(El *el, ElModule *m, ElScope *s, AstId id)
{
    ElVal v = el_lookup(el, m, s, node(m, id)->name, node(m, id)->span, false);
    v.span = node(m, id)->span;
    return v;
}

static const struct { const char *text, *op; uint8_t sort; } binary_ops[] = {
    {"+", "add", EL_NUM}, {"-", "sub", EL_NUM}, {"*", "mul", EL_NUM}, {"/", "div", EL_NUM}, {"^", "pow", EL_NUM},
    {"==", "eq", EL_COND}, {"!=", "ne", EL_COND}, {"<", "lt", EL_COND}, {"<=", "le", EL_COND}, {">", "gt", EL_COND}, {">=", "ge", EL_COND},
    {"and", "and_", EL_COND}, {"or", "or_", EL_COND},
};

static bool is_weights(ElVal v) { return v.kind == EL_WEIGHTS || v.kind == EL_MODEL; }

static ElVal expr_binary(El *el, ElModule *m, ElScope *s, AstId id)
{
    const char *text = adv_str(el->names, node(m, id)->name), *op = NULL;
    uint8_t sort = EL_NUM;
    for (size_t i = 0; i < sizeof binary_ops / sizeof *binary_ops; i++)
        if (!strcmp(binary_ops[i].text, text)) { op = binary_ops[i].op; sort = binary_ops[i].sort; }
    assert(op);
    ElVal v[2] = {sub(el, m, s, id, 0), sub(el, m, s, id, 1)};
    AdvSpan at = node(m, id)->span;
    at = node(m, id)->key.file ? node(m, id)->key : at;
    if (is_weights(v[0]) || is_weights(v[1])) return el_weights_op(el, at, text, op, v[0], v[1]);
    if (!strcmp(op, "pow") && v[1].kind == EL_NUMBER && v[1].num == 2) {
        v[1] = v[0];
        op = "mul";
    }
    ElVal r = el_elementwise(el, at, text, op, v, 2, (ElSort)sort);
    r.span = node(m, id)->span;
    return r;
}

static ElVal expr_unary(El *el, ElModule *m, ElScope *s, AstId id)
{
    bool minus = !strcmp(adv_str(el->names, node(m, id)->name), "-");
    ElVal v = sub(el, m, s, id, 0);
    AdvSpan at = node(m, id)->span;
    if (minus && is_weights(v)) return el_weights_op(el, at, "-", "mul", v, el_number(-1, at));
    if (minus && v.kind == EL_NUMBER && v.q) {
        ElVal r = el_ratio(-v.p, v.q, at);
        r.born = el_is_override(el, v.born) ? v.born : at;
        return r;
    }
    return el_elementwise(el, at, minus ? "-" : "not", minus ? "neg" : "not_", &v, 1, minus ? EL_NUM : EL_COND);
}

/* What a branch names that the compiler does not take counts as used, functions with all that they name: in another setting it is. */
static void mention(El *el, ElModule *m, ElScope *s, AstId id)
{
    const AstNode *n = node(m, id);
    if (el->depth > MAX_DEPTH) return;
    el->depth++;
    for (ElScope *sc = n->kind == AST_ID ? s : NULL; sc; sc = sc->parent)
        for (ElBind *b = sc->binds; b; b = b->next) b->used |= b->name.i == n->name.i;
    for (uint32_t i = 0; n->kind == AST_ID && i < m->items.n; i++) {
        ElItem *it = m->items.at[i];
        if (it->name.i != n->name.i || it->used || it->kind == EL_ITEM_SECTION || it->kind == EL_ITEM_OPTIM) continue;
        it->used = true;
        mention(el, m, NULL, it->node);
    }
    for (AstId c = n->first; c.i; c = node(m, c)->next) mention(el, m, s, c);
    el->depth--;
}

static ElVal expr_if(El *el, ElModule *m, ElScope *s, AstId id)
{
    ElVal c = sub(el, m, s, id, 0);
    if (el_bad(c)) return c;
    if (c.kind == EL_NUMBER) {
        mention(el, m, s, ast_child(m->ast, id, c.num != 0 ? 2 : 1));
        return sub(el, m, s, id, c.num != 0 ? 1 : 2);
    }
    ElVal v[3] = {c, sub(el, m, s, id, 1), sub(el, m, s, id, 2)};
    if (v[1].sort == EL_CLASS && v[2].sort != EL_CLASS && !el_bad(v[2]))
        return el_error(el, ADV_D_KIND, v[2].span, "one branch is a class index, the other is %s", el_describe(el, v[2]));
    return el_elementwise(el, node(m, id)->span, "if", "select", v, 3, v[1].sort == v[2].sort ? (ElSort)v[1].sort : EL_NUM);
}

static ElVal expr_list(El *el, ElModule *m, ElScope *s, AstId id)
{
    ElVal r = {.kind = EL_LIST, .span = node(m, id)->span};
    uint32_t n = ast_n_children(m->ast, id), k = 0;
    r.list = ADV_NEW_ARRAY(el->arena, ElVal, n * 2 + 1);
    for (AstId c = node(m, id)->first; c.i; c = node(m, c)->next) {
        if (node(m, c)->kind == AST_PAIR) {
            r.kind = EL_PAIRS;
            r.list[k++] = sub(el, m, s, c, 0);
            r.list[k++] = sub(el, m, s, c, 1);
        } else if (r.kind == EL_PAIRS) {
            return el_error(el, ADV_D_ARGUMENT_KIND, node(m, c)->span,
                            "a list with keys needs a key before each value, as in `[1: 0.1, 75: 0.01]`");
        } else {
            r.list[k++] = el_expr(el, m, s, c);
        }
    }
    r.n = k;
    for (uint32_t i = 0; i < k; i++) {
        if (el_bad(r.list[i])) return r.list[i];
        if (r.list[i].rate > r.rate) r.rate = r.list[i].rate;
    }
    return r;
}

static ElVal expr_range(El *el, ElModule *m, ElScope *s, AstId id)
{
    ElVal r = {.kind = EL_RANGE, .span = node(m, id)->span, .n = 2};
    r.list = ADV_NEW_ARRAY(el->arena, ElVal, 2);
    for (uint32_t k = 0; k < 2; k++)
        if (el_bad(r.list[k] = sub(el, m, s, id, k))) return r.list[k];
    return r;
}

static ElVal expr_lambda(El *el, ElModule *m, ElScope *s, AstId id)
{
    ElFn *fn = ADV_NEW(el->arena, ElFn);
    *fn = (ElFn){.kind = EL_FN_LAMBDA, .name = "=>", .module = m, .ast = m->ast, .node = id, .scope = s};
    return (ElVal){.kind = EL_FN, .fn = fn, .span = node(m, id)->span};
}

/* `f.eval`, `alias.name`, `quick.strong`. */
static ElVal dot(El *el, ElModule *m, ElScope *s, AstId id)
{
    const AstNode *n = node(m, id);
    AstId left = n->first;
    const char *word = adv_str(el->names, n->name);
    if (node(m, left)->kind == AST_ID && !el_find(s, node(m, left)->name)) {
        for (uint32_t i = 0; i < m->imports.n; i++) {
            if (!m->aliases.at[i].i || m->aliases.at[i].i != node(m, left)->name.i) continue;
            ElItem *it = el_item(el, m->imports.at[i], n->name);
            if (it) return el_item_value(el, it);
            AdvDiag *d = el_diag(el, ADV_D_UNKNOWN_NAME, n->span, "`%s` has no `%s`", adv_str(el->names, node(m, left)->name), word);
            const ElModule *other = m->imports.at[i];
            const char **names = ADV_NEW_ARRAY(el->arena, const char *, other->items.n + 1);
            for (uint32_t k = 0; k < other->items.n; k++) names[k] = adv_str(el->names, other->items.at[k]->name);
            el_diag_keys(el, d, word, names);
            return el_poison(n->span);
        }
    }
    if (m->is_recipe) {  /* results of evaluations: written by the host, read after an epoch */
        char path[256] = "";
        const AstNode *l = node(m, left);
        const AstNode *first = l->kind == AST_DOT ? node(m, l->first) : NULL;
        if (l->kind == AST_ID) snprintf(path, sizeof path, "%s.%s", adv_str(el->names, l->name), word);
        else if (first && first->kind == AST_ID)
            snprintf(path, sizeof path, "%s.%s.%s", adv_str(el->names, first->name), adv_str(el->names, l->name), word);
        AdvStateId st = path[0] ? adv_state_find(el->g, adv_intern(el->names, path)) : (AdvStateId){0};
        bool is_result =
            st.i && (el->g->states.at[st.i].kind == ADV_STATE_SCALAR || (first && el->g->states.at[st.i].kind == ADV_STATE_TABLE));
        if (is_result) {
            const char *eval = adv_str(el->names, first ? first->name : l->name);
            el_lint_selection(el, eval, n->span, "how training goes on, so that test accuracies are too good");
            return el_tensor(el, el_state(el, st), ADV_RATE_EPOCH, EL_NUM, n->span);
        }
    }
    ElVal v = node(m, left)->kind == AST_DOT ? dot(el, m, s, left) : el_expr(el, m, s, left);
    if (el_bad(v)) return v;
    if (v.kind != EL_MODEL) return el_error(el, ADV_D_MODE, n->span, "`.%s` belongs to a model, but this is %s", word, el_describe(el, v));
    static const char *const modes[] = {"", "batch", "eval", "mc", "again"};
    for (uint32_t k = 1; k < 5; k++)
        if (!strcmp(word, modes[k])) {
            v.mode = (uint8_t)k;
            v.span = n->span;
            return v;
        }
    static const char *const known[] = {"batch", "eval", "mc", "again", NULL};
    el_diag_keys(el, el_diag(el, ADV_D_MODE, n->span, "a model has no mode `.%s`", word), word, known);
    return el_poison(n->span);
}

static ElVal expr_dot(El *el, ElModule *m, ElScope *s, AstId id) { return dot(el, m, s, id); }

static ElVal index_class(El *el, ElVal v, ElVal i, AdvSpan at)
{
    if (el_rank(el, v) != 1 || i.rate != ADV_RATE_SAMPLE || el_rank(el, i))
        return el_error(el, ADV_D_SHAPE_FIT, at, "a class index picks from one entry per class, but this is %s", el_describe(el, v));
    if (!el_class_fits(el, i, v, at)) return el_poison(at);
    AdvValueId r;
    if (v.rate == ADV_RATE_SAMPLE) {
        r = el_n2(el, at, "pick", v.t, i.t);
    } else {
        AdvAttr a = adv_attr_i(ADV_I64 - 1);  /* enum of `cast`: f32 f64 bf16 f16 i32 i64 u8 */
        r = el_n2(el, at, "gather", v.t, el_node(el, at, "cast", &i.t, 1, &a));
    }
    return el_tensor(el, r, ADV_RATE_SAMPLE, (ElSort)v.sort, at);
}

static ElVal expr_index(El *el, ElModule *m, ElScope *s, AstId id)
{
    ElVal v = sub(el, m, s, id, 0), i = sub(el, m, s, id, 1);
    AdvSpan at = node(m, id)->span;
    if (el_bad(v) || el_bad(i)) return el_poison(at);
    if (v.kind == EL_LIST) {
        int64_t k;
        if (!el_int(el, i, "an index", 0, (int64_t)v.n - 1, &k)) return el_poison(at);
        return v.list[k];
    }
    if (v.kind != EL_TENSOR) return el_error(el, ADV_D_KIND, at, "only tensors and lists are indexed, but this is %s", el_describe(el, v));
    if (i.kind == EL_TENSOR && i.sort == EL_CLASS) return index_class(el, v, i, at);
    int64_t k;
    if (!el_rank(el, v)) return el_error(el, ADV_D_SHAPE_FIT, at, "%s has no entries to index", el_describe(el, v));
    if (!el_int(el, i, "an index", 0, el_dim(el, v, 0) - 1, &k)) return el_poison(at);
    int64_t axis = v.rate == ADV_RATE_SAMPLE;
    AdvAttr a[3] = {adv_attr_i(axis), adv_attr_i(k), adv_attr_i(k + 1)};
    AdvValueId r = el_node(el, at, "slice", &v.t, 1, a);
    if (!r.i) return el_poison(at);
    const AdvTensorType *t = adv_value_type(el->g, r);
    int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, ADV_MAX_RANK);
    uint32_t n = 0;
    for (uint32_t j = 0; j < t->rank; j++)
        if ((int64_t)j != axis) dims[n++] = t->dim[j];
    AdvAttr ra = adv_attr_ints(dims, n);
    return el_tensor(el, el_node(el, at, "reshape", &r, 1, &ra), (AdvRate)v.rate, (ElSort)v.sort, at);
}

static ElVal callee_value(El *el, ElModule *m, ElScope *s, AstId c)
{
    const AstNode *n = node(m, c);
    if (n->kind == AST_ID) return el_lookup(el, m, s, n->name, n->span, true);
    if (n->kind == AST_DOT) return dot(el, m, s, c);
    return el_expr(el, m, s, c);
}

static ElVal call_value(El *el, ElVal f, ElArg *args, uint32_t n, AdvSpan at, ElScope *s)
{
    for (uint32_t i = 0; i < n; i++)
        if (el_bad(args[i].val)) return el_poison(at);
    if (f.kind == EL_MODEL) return el_model_call(el, f.model, (ElMode)f.mode, args, n, at);
    if (f.kind == EL_FN) return el_call(el, f.fn, args, n, at, s);
    return el_error(el, ADV_D_NOT_CALLABLE, at, "this is %s, which cannot be called", el_describe(el, f));
}

static ElVal expr_call(El *el, ElModule *m, ElScope *s, AstId id)
{
    AstId c = node(m, id)->first;
    ElVal f = callee_value(el, m, s, c);
    if (el_bad(f)) return f;
    uint32_t n;
    bool live = f.kind == EL_FN && f.fn->kind == EL_FN_BUILTIN && !strcmp(f.fn->name, "live"), was = el->live;
    if (live) el->live = true;
    ElArg *args = el_args(el, m, s, id, 1, &n);
    el->live = was;
    ElVal r = call_value(el, f, args, n, node(m, id)->span, s);
    r.span = node(m, id)->span;
    return r;
}

static ElVal expr_pipe(El *el, ElModule *m, ElScope *s, AstId id)
{
    const AstNode *n = node(m, id);
    ElVal left = sub(el, m, s, id, 0), f = callee_value(el, m, s, child(m, id, 1));
    if (el_bad(left) || el_bad(f)) return el_poison(n->span);
    uint32_t n_args;
    ElArg *rest = el_args(el, m, s, id, 2, &n_args);
    ElArg *args = ADV_NEW_ARRAY(el->arena, ElArg, n_args + 1);
    args[0] = (ElArg){.val = left, .span = left.span};
    for (uint32_t i = 0; i < n_args; i++) args[i + 1] = rest[i];
    AdvSpan at = node(m, child(m, id, 1))->span;
    if (el->frame) el->frame->label = n->name;
    ElVal r = call_value(el, f, args, n_args + 1, at, s);
    if (el->frame) el->frame->label = (AdvStr){0};
    r.span = n->span;
    return r;
}

static ElVal expr_error(El *el, ElModule *m, ElScope *s, AstId id)
{
    (void)el; (void)s;
    return el_poison(node(m, id)->span);
}

static ExprFn *const fns[AST_KIND_COUNT] = {
    [AST_NUM] = expr_num, [AST_STR] = expr_str, [AST_ID] = expr_id, [AST_BINARY] = expr_binary, [AST_UNARY] = expr_unary,
    [AST_IF] = expr_if, [AST_LIST] = expr_list, [AST_RANGE] = expr_range, [AST_LAMBDA] = expr_lambda, [AST_DOT] = expr_dot,
    [AST_INDEX] = expr_index, [AST_CALL] = expr_call, [AST_PIPE] = expr_pipe, [AST_ERROR] = expr_error,
};

ElVal el_expr(El *el, ElModule *m, ElScope *s, AstId id)
{
    ExprFn *fn = fns[node(m, id)->kind];
    if (!fn) return el_error(el, ADV_D_STMT_PLACE, node(m, id)->span, "an expression is needed here");
    if (el->gave_up) return el_poison(node(m, id)->span);
    if (el->depth > MAX_DEPTH) {
        el->gave_up = true;
        return el_error(el, ADV_D_TOO_MANY_CALLS, node(m, id)->span, "calls and expressions are nested deeper than %d here", MAX_DEPTH);
    }
    el->depth++;
    ElVal v = fn(el, m, s, id);
    el->depth--;
    return v;
}

ElVal el_const_expr(El *el, ElModule *m, ElScope *s, AstId id, const char *what)
{
    ElVal v = el_expr(el, m, s, id);
    if (v.kind == EL_TENSOR)
        return el_error(el, ADV_D_NOT_CONSTANT, v.span, "%s must be known before the run, but this is %s", what, el_describe(el, v));
    return v;
}
