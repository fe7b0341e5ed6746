/* call.c: scopes, binding of arguments, calls of templates and lambdas, and the statements of blocks. */
#include "compiler/elab/elab.h"
#include "runtime/base/hash.h"

#include <string.h>

#define MAX_CALLS  64 /* one inside the other */
#define MAX_PARAMS 64 /* of one `fn`, `net` or `attack` */

ElScope *el_scope_new(El *el, ElScope *parent)
{
    ElScope *s = ADV_NEW(el->arena, ElScope);
    s->parent = parent;
    return s;
}

ElBind *el_bind(El *el, ElScope *s, AdvStr name, ElVal v, AdvSpan at)
{
    ElBind *b = ADV_NEW(el->arena, ElBind);
    *b = (ElBind){.name = name, .val = v, .at = at, .next = s->binds};
    return s->binds = b;
}

ElBind *el_find(ElScope *s, AdvStr name)
{
    for (; s; s = s->parent)
        for (ElBind *b = s->binds; b; b = b->next)
            if (b->name.i == name.i) return b;
    return NULL;
}

void el_push(El *el, ElFrame *f, const char *what, AdvSpan at)
{
    ElFrame *up = el->frame;
    *f = (ElFrame){.up = up, .what = what, .at = at};
    uint64_t h = up ? adv_hash_u64(up->place, up->n_calls++) : ADV_HASH_START;
    f->place = adv_hash_str(h, what);
    f->loc = at.file ? el_loc(el, at) : (AdvLocId){0};
    if (up) {
        f->mode = up->mode;
        f->mc_draw = up->mc_draw;
        f->memo = up->memo;
        f->model = up->model;
        f->rows = up->rows;
        f->prefix = up->prefix;
        f->is_net = up->is_net;
    }
    el->frame = f;
}

void el_pop(El *el)
{
    ElFrame *f = el->frame, *up = f->up;
    if (up && f->attack_norm) up->attack_norm = f->attack_norm;
    el->frame = up;
}

ElArg *el_args(El *el, ElModule *m, ElScope *s, AstId call, uint32_t first, uint32_t *out_n)
{
    uint32_t n = ast_n_children(m->ast, call), k = 0;
    ElArg *args = ADV_NEW_ARRAY(el->arena, ElArg, n + 1);
    for (uint32_t i = first; i < n; i++) {
        AstId a = ast_child(m->ast, call, i);
        const AstNode *node = ast(m->ast, a);
        ElArg arg = {.name = node->name, .bar = (node->flags & AST_BAR) != 0, .span = node->span};
        arg.val = el_expr(el, m, s, node->first);
        args[k++] = arg;
    }
    *out_n = k;
    return args;
}

/* ---- binding ---- */

typedef struct Formal { AdvStr name; AstId dflt; AdvSpan at; } Formal;

static Formal *formals(El *el, ElModule *m, AstId params, uint32_t *out_n)
{
    uint32_t n = ast_n_children(m->ast, params), k = 0;
    Formal *f = ADV_NEW_ARRAY(el->arena, Formal, n + 1);
    for (AstId a = ast(m->ast, params)->first; a.i; a = ast(m->ast, a)->next) {
        const AstNode *arg = ast(m->ast, a), *v = ast(m->ast, arg->first);
        if (arg->name.i) f[k++] = (Formal){arg->name, arg->first, arg->span};
        else if (v->kind == AST_ID) f[k++] = (Formal){v->name, {0}, arg->span};
    }
    *out_n = k;
    return f;
}

bool el_params_ok(El *el, ElModule *m, AstId params)
{
    bool ok = true;
    uint32_t n = 0;
    for (AstId a = ast(m->ast, params)->first; a.i; a = ast(m->ast, a)->next) {
        const AstNode *arg = ast(m->ast, a);
        if (arg->name.i || ast(m->ast, arg->first)->kind == AST_ID || ast(m->ast, arg->first)->kind == AST_ERROR) continue;
        el_error(el, ADV_D_STMT_PLACE, arg->span, "a parameter is a name, or a name with a default");
        ok = false;
    }
    const Formal *f = formals(el, m, params, &n);
    if (n > MAX_PARAMS) {
        AdvDiag *d =
            el_diag(el, ADV_D_ARGUMENT, f[MAX_PARAMS].at, "a function has at most %d parameters, but this is one more", MAX_PARAMS);
        adv_diag_help(d, "a list is one parameter and holds as much as it is given");
        return false;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++) {
            if (f[k].name.i != f[i].name.i) continue;
            adv_diag_note(el_diag(el, ADV_D_DUPLICATE, f[i].at, "two parameters are called `%s`", adv_str(el->names, f[i].name)), f[k].at,
                          "the first one is here");
            ok = false;
        }
    return ok;
}

static bool among(const ElArg *args, uint32_t n_args, AdvStr name)
{
    for (uint32_t i = 0; i < n_args; i++)
        if (args[i].name.i == name.i) return true;
    return false;
}

uint32_t el_n_inputs(El *el, const ElFn *net, const ElArg *args, uint32_t n_args)
{
    uint32_t n = 0, left = 0;
    const Formal *f = formals(el, net->module, ast(net->ast, net->node)->first, &n);
    for (uint32_t i = 0; i < n; i++) left += !f[i].dflt.i && !among(args, n_args, f[i].name);
    return left;
}

bool el_is_input(El *el, const ElFn *net, AdvStr name)
{
    uint32_t n = 0;
    const Formal *f = formals(el, net->module, ast(net->ast, net->node)->first, &n);
    for (uint32_t i = 0; i < n; i++)
        if (f[i].name.i == name.i) return !f[i].dflt.i;
    return false;
}

static const char *names_of(El *el, const Formal *f, uint32_t n);

/* The nearest of the names, and all of them. */
static void help_names(El *el, AdvDiag *d, const char *word, const Formal *f, uint32_t n)
{
    const char **names = ADV_NEW_ARRAY(el->arena, const char *, n + 1);
    for (uint32_t i = 0; i < n; i++) names[i] = adv_str(el->names, f[i].name);
    const char *near = adv_nearest(word, names, n);
    if (near) adv_diag_help(d, "did you mean `%s`?", near);
    adv_diag_help(d, "it takes %s", n ? names_of(el, f, n) : "no arguments");
}

bool el_args_named(El *el, const ElFn *net, const ElArg *args, uint32_t n_args)
{
    uint32_t n = 0;
    const Formal *f = formals(el, net->module, ast(net->ast, net->node)->first, &n);
    for (uint32_t i = 0; i < n_args; i++) {
        bool known = false;
        for (uint32_t k = 0; k < n; k++) known |= f[k].name.i == args[i].name.i;
        if (!known) {
            AdvDiag *d =
                el_diag(el, ADV_D_ARGUMENT, args[i].span, "`%s` has no argument `%s`", net->name, adv_str(el->names, args[i].name));
            help_names(el, d, adv_str(el->names, args[i].name), f, n);
            return false;
        }
        if (among(args, i, args[i].name)) {
            el_error(el, ADV_D_ARGUMENT, args[i].span, "argument `%s` of `%s` is given twice", adv_str(el->names, args[i].name), net->name);
            return false;
        }
    }
    return true;
}

bool el_has_param(El *el, const ElFn *fn, const char *name)
{
    uint32_t n = 0;
    if (fn->kind != EL_FN_TEMPLATE) return false;
    Formal *f = formals(el, fn->module, ast(fn->ast, fn->node)->first, &n);
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(adv_str(el->names, f[i].name), name)) return true;
    return false;
}

static const char *names_of(El *el, const Formal *f, uint32_t n)
{
    const char *s = "";
    for (uint32_t i = 0; i < n; i++) s = adv_arena_printf(el->arena, "%s%s`%s`", s, i ? ", " : "", adv_str(el->names, f[i].name));
    return s;
}

/* Which formal each argument goes to; false after a diagnostic. */
static bool match(El *el, const char *what, const Formal *f, uint32_t n, const ElArg *args, uint32_t n_args, AdvSpan at, int *slot_of_arg)
{
    uint32_t next = 0;
    bool *taken = ADV_NEW_ARRAY(el->arena, bool, n + 1);
    for (uint32_t i = 0; i < n_args; i++) {
        uint32_t k = n;
        if (args[i].name.i) {
            for (k = 0; k < n && f[k].name.i != args[i].name.i; k++) { }
            if (k == n) {
                AdvDiag *d = el_diag(el, ADV_D_ARGUMENT, args[i].span, "`%s` has no argument `%s`", what, adv_str(el->names, args[i].name));
                help_names(el, d, adv_str(el->names, args[i].name), f, n);
                return false;
            }
        } else if (next < n) {
            k = next++;
        }
        if (k >= n) {
            AdvDiag *d =
                el_diag(el, ADV_D_ARGUMENT, args[i].span, "`%s` takes %u argument%s, but this is one more", what, n, n == 1 ? "" : "s");
            if (n) adv_diag_help(d, "it takes %s", names_of(el, f, n));
            return false;
        }
        if (taken[k]) {
            el_error(el, ADV_D_ARGUMENT, args[i].span, "argument `%s` of `%s` is given twice", adv_str(el->names, f[k].name), what);
            return false;
        }
        taken[k] = true;
        slot_of_arg[i] = (int)k;
    }
    for (uint32_t k = 0; k < n; k++)
        if (!taken[k] && !f[k].dflt.i) {
            AdvDiag *d = el_diag(el, ADV_D_ARGUMENT, at, "`%s` needs the argument `%s`", what, adv_str(el->names, f[k].name));
            if (f[k].at.file) adv_diag_note(d, f[k].at, "declared here, without a default");
            return false;
        }
    return true;
}

/* ---- blocks ---- */

static bool stmt(El *el, ElModule *m, ElScope *s, AstId id, ElVal *out, bool *returned);

bool el_has_value(El *el, const ElScope *s, AdvStr name, AdvSpan at, bool is_carry)
{
    bool in_loop = false;
    for (; s; in_loop = true, s = s->is_turn && !is_carry ? s->parent : NULL)
        for (const ElBind *b = s->binds; b; b = b->next) {
            if (b->name.i != name.i) continue;
            const char *word = adv_str(el->names, name);
            AdvDiag *d = el_diag(el, ADV_D_DUPLICATE, at, "`%s` has a value already%s", word, in_loop ? ", outside of this loop" : "");
            adv_diag_note(d, b->at, "given here");
            if (b->is_carry && in_loop) adv_diag_help(d, "its value for the next turn is written `%s <- ...`", word);
            else adv_diag_help(d, "a name keeps its value: use another name, or `carry` and `<-` in a loop");
            return true;
        }
    return false;
}

bool el_assign(El *el, ElModule *m, ElScope *s, AstId stmt)
{
    AstId paths = ast_child(m->ast, stmt, 0), p = ast(m->ast, paths)->first;
    ElVal v = el_expr(el, m, s, ast_child(m->ast, stmt, 1));
    uint32_t n = ast_n_children(m->ast, paths), k = 0;
    if (n > 1 && !el_bad(v) && (v.kind != EL_LIST || v.n != n)) {
        el_error(el, ADV_D_NO_RESULT, ast(m->ast, stmt)->span, "%u names, but the right side is %s", n,
                 v.kind == EL_LIST ? adv_arena_printf(el->arena, "%u results", v.n) : "one result");
        v = el_poison(v.span);
    }
    for (; p.i; p = ast(m->ast, p)->next, k++) {
        AdvStr name = ast(m->ast, p)->name;
        if (strchr(adv_str(el->names, name), '.')) {
            el_error(el, ADV_D_STMT_PLACE, ast(m->ast, p)->span, "a name has no `.`, but this is `%s`", adv_str(el->names, name));
            return false;
        }
        ElVal one = n > 1 && v.kind == EL_LIST ? v.list[k] : v;
        if (el_has_value(el, s, name, ast(m->ast, p)->span, false)) return false;
        if (one.kind == EL_TENSOR && !el->g->values.at[one.t.i].name.i) el->g->values.at[one.t.i].name = name;
        el_bind(el, s, name, one, ast(m->ast, p)->span);
    }
    return !el_bad(v);
}

typedef struct Repeat {
    ElModule *m;
    ElScope *scope;
    AstId body;
    AdvStr as;
    ElBind **binds;
    uint32_t n;
} Repeat;

static bool repeat_body(El *el, void *user, ElVal turn, ElVal *carried)
{
    Repeat *r = user;
    ElScope *s = el_scope_new(el, r->scope);
    s->is_turn = true;
    if (r->as.i) el_bind(el, s, r->as, turn, (AdvSpan){0, 0, 0});
    ElVal *next = ADV_NEW_ARRAY(el->arena, ElVal, r->n + 1);
    AdvStr *done = ADV_NEW_ARRAY(el->arena, AdvStr, r->n + 1);
    uint32_t n_done = 0;
    for (uint32_t k = 0; k < r->n; k++) {
        r->binds[k]->val = carried[k];
        next[k] = carried[k];
    }
    for (AstId st = ast(r->m->ast, r->body)->first; st.i; st = ast(r->m->ast, st)->next) {
        const AstNode *node = ast(r->m->ast, st);
        if (node->kind == AST_UPDATE) {
            AstId path = node->first;
            uint32_t k = 0;
            while (r->binds[k]->name.i != ast(r->m->ast, path)->name.i) k++;
            for (uint32_t j = 0; j < n_done; j++)
                if (done[j].i == ast(r->m->ast, path)->name.i) {
                    el_error(el, ADV_D_UPDATE, node->span, "`%s` is given two new values in a turn", adv_str(el->names, done[j]));
                    return false;
                }
            done[n_done++] = ast(r->m->ast, path)->name;
            next[k] = el_expr(el, r->m, s, ast(r->m->ast, path)->next);
            if (el_bad(next[k])) return false;
            if (!el_is_value(next[k])) {
                el_error(el, ADV_D_NOT_A_VALUE, next[k].span, "a carried value is a number or tensor, but this is %s",
                         el_describe(el, next[k]));
                return false;
            }
            continue;
        }
        ElVal none;
        bool returned = false;
        if (node->kind == AST_RETURN) {
            el_error(el, ADV_D_STMT_PLACE, node->span, "`return` may not stand in a loop: its turns are the same for every sample");
            return false;
        }
        if (!stmt(el, r->m, s, st, &none, &returned)) return false;
    }
    for (uint32_t k = 0; k < r->n; k++) carried[k] = next[k];
    return true;
}

static bool updates(ElModule *m, AstId body, AdvStr name)
{
    for (AstId st = ast(m->ast, body)->first; st.i; st = ast(m->ast, st)->next)
        if (ast(m->ast, st)->kind == AST_UPDATE && ast(m->ast, ast(m->ast, st)->first)->name.i == name.i) return true;
    return false;
}

/* Does the block around the loop carry what the loop updates? Asked before the body is read, which may name it first. */
static bool carries(El *el, const Repeat *r)
{
    const Ast *t = r->m->ast;
    for (AstId st = ast(t, r->body)->first; st.i; st = ast(t, st)->next) {
        uint32_t k = 0;
        AdvStr name = ast(t, ast(t, st)->first)->name;
        if (ast(t, st)->kind != AST_UPDATE) continue;
        while (k < r->n && r->binds[k]->name.i != name.i) k++;
        if (k < r->n) continue;
        const char *word = adv_str(el->names, name);
        AdvDiag *d = el_diag(el, ADV_D_UPDATE, ast(t, st)->span, "`%s` is not carried by the block this loop stands in", word);
        adv_diag_help(d, "declare it before the loop, with its first value: `carry %s = e`", word);
        return false;
    }
    return true;
}

static bool repeat(El *el, ElModule *m, ElScope *s, AstId stmt)
{
    const AstNode *node = ast(m->ast, stmt);
    int64_t n;
    ElVal count = el_expr(el, m, s, ast_child(m->ast, stmt, 0));
    if (!el_int(el, count, "the number of turns", 0, 1 << 20, &n)) return false;
    if (n == 0) return true;
    Repeat r = {.m = m, .scope = s, .body = ast_child(m->ast, stmt, 1), .as = node->name};
    uint32_t cap = 0;
    for (ElBind *b = s->binds; b; b = b->next) cap++;
    r.binds = ADV_NEW_ARRAY(el->arena, ElBind *, cap + 1);
    ElVal *carried = ADV_NEW_ARRAY(el->arena, ElVal, cap + 1);
    for (ElBind *b = s->binds; b; b = b->next)
        if (b->is_carry && updates(m, r.body, b->name)) r.binds[r.n++] = b;
    for (uint32_t i = 0; i < r.n / 2; i++) {  /* in the order declared */
        ElBind *t = r.binds[i];
        r.binds[i] = r.binds[r.n - 1 - i];
        r.binds[r.n - 1 - i] = t;
    }
    for (uint32_t k = 0; k < r.n; k++) carried[k] = r.binds[k]->val;
    if (!carries(el, &r)) return false;
    if (!el_loop(el, node->span, n, carried, r.n, repeat_body, &r)) return false;
    for (uint32_t k = 0; k < r.n; k++) r.binds[k]->val = carried[k];
    return true;
}

static bool ret(El *el, ElModule *m, ElScope *s, AstId stmt, ElVal *out)
{
    uint32_t n = ast_n_children(m->ast, stmt), k = 0;
    ElVal list = {.kind = EL_LIST, .mode = EL_RESULTS, .span = ast(m->ast, stmt)->span, .n = n};
    list.list = ADV_NEW_ARRAY(el->arena, ElVal, n + 1);
    for (AstId c = ast(m->ast, stmt)->first; c.i; c = ast(m->ast, c)->next) {
        list.list[k] = el_expr(el, m, s, c);
        if (el_bad(list.list[k++])) return false;
    }
    *out = n == 1 ? list.list[0] : list;
    return true;
}

/* Loops belong to attacks, whose results are constants: no gradient passes through their turns. */
static bool may_loop(El *el, ElModule *m, AstId stmt, const char *word)
{
    for (ElFrame *f = el->frame; f; f = f->up)
        if (f->is_attack) return true;
    AdvDiag *d = el_diag(el, ADV_D_STMT_PLACE, ast(m->ast, stmt)->span, "`%s` stands in an `attack` only, and this is none", word);
    adv_diag_help(
        d, "a sum over turns known to the compiler is `sum_over(n, i => ...)`; layers are repeated with `-> repeat(n, (h, i) => ...)`");
    return false;
}

/* One statement of a fn, net or attack. *out and *returned are set by `return`. */
static bool stmt(El *el, ElModule *m, ElScope *s, AstId id, ElVal *out, bool *returned)
{
    const AstNode *node = ast(m->ast, id);
    switch (node->kind) {
    case AST_ASSIGN: return el_assign(el, m, s, id);
    case AST_CARRY: {
        if (!may_loop(el, m, id, "carry") || el_has_value(el, s, node->name, node->span, true)) return false;
        ElVal v = el_expr(el, m, s, node->first);
        if (el_bad(v)) return false;
        el_bind(el, s, node->name, v, node->span)->is_carry = true;
        return true;
    }
    case AST_REPEAT: return may_loop(el, m, id, "repeat") && repeat(el, m, s, id);
    case AST_RETURN: *returned = true; return ret(el, m, s, id, out);
    case AST_ERROR: return false;
    default:
        el_error(el, ADV_D_STMT_PLACE, node->span, "a function, net or attack may not hold this statement");
        return false;
    }
}

static bool block(El *el, ElModule *m, ElScope *s, AstId id, ElVal *out)
{
    bool returned = false;
    *out = el_poison(ast(m->ast, id)->span);
    for (AstId st = ast(m->ast, id)->first; st.i; st = ast(m->ast, st)->next) {
        if (returned) {
            el_error(el, ADV_D_STMT_PLACE, ast(m->ast, st)->span, "nothing may stand behind `return`");
            return false;
        }
        if (!stmt(el, m, s, st, out, &returned)) return false;
    }
    return true;
}

/* ---- calls ---- */

/* `norm`: of the ball projected onto last, unless the images bring theirs, from an attack inside. */
static ElVal attack_result(El *el, ElVal r, const ElArg *bound, uint32_t n, uint8_t norm, AdvSpan at)
{
    r = el_stop_grad(el, r);
    ElVal *first = r.kind == EL_LIST && r.n ? &r.list[0] : &r;
    if (!first->norm) first->norm = norm;
    ElVal eps = {.kind = EL_POISON}, x = {.kind = EL_POISON};
    for (uint32_t i = 0; i < n; i++) {
        if (!strcmp(adv_str(el->names, bound[i].name), "eps")) eps = bound[i].val;
        if (!strcmp(adv_str(el->names, bound[i].name), "x")) x = bound[i].val;
    }
    if (!el->budget_envelope || eps.kind != EL_TENSOR || x.kind != EL_TENSOR || eps.t.i != el->budget_eps.t.i ||
        eps.rate != ADV_RATE_SAMPLE)
        return r;
    AdvValueId in[3] = {first->t, x.t, eps.t};
    AdvAttr a = adv_attr_i(first->norm == EL_L2);
    norm = first->norm;
    *first = el_tensor(el, el_node(el, at, "on_ball", in, 3, &a), ADV_RATE_SAMPLE, EL_NUM, at);
    first->norm = norm;
    return r;
}

static Formal *formals_of(El *el, const ElFn *fn, uint32_t *out_n)
{
    AstId names = ast(fn->ast, fn->node)->first;
    if (fn->kind != EL_FN_LAMBDA) return formals(el, fn->module, names, out_n);
    Formal *f = ADV_NEW_ARRAY(el->arena, Formal, ast_n_children(fn->ast, names) + 1);
    *out_n = 0;
    for (AstId c = ast(fn->ast, names)->first; c.i; c = ast(fn->ast, c)->next)
        f[(*out_n)++] = (Formal){ast(fn->ast, c)->name, {0}, ast(fn->ast, c)->span};
    return f;
}

static bool depth_ok(El *el, AdvSpan at)
{
    uint32_t depth = 0;
    for (ElFrame *f = el->frame; f; f = f->up) depth++;
    if (depth <= MAX_CALLS) return true;
    el->gave_up = true;
    el_error(el, ADV_D_TOO_MANY_CALLS, at, "calls are nested deeper than %d here: a function may not call itself", MAX_CALLS);
    return false;
}

/* Gives each parameter its argument, which `bound` holds where `have` says so, or its default. Those of an attack are constants. */
static bool bind_params(El *el, const ElFn *fn, const Formal *f, uint32_t n, const bool *have, ElArg *bound, ElScope *s, bool is_attack)
{
    for (uint32_t k = 0; k < n; k++) {
        ElVal *v = &bound[k].val;
        bound[k].name = f[k].name;
        if (!have[k]) *v = el_expr(el, fn->module, s, f[k].dflt);
        bool ok = !el_bad(*v);
        if (ok && is_attack && !strcmp(adv_str(el->names, f[k].name), "eps")) {
            ok = el_radius_ok(el, *v, v->span);
            el_lint_radius(el, *v);
        }
        el_bind(el, s, f[k].name, is_attack ? el_stop_grad(el, *v) : *v, f[k].at);
        if (!ok) return false;
    }
    return true;
}

static ElVal call_template(El *el, ElFn *fn, ElArg *args, uint32_t n_args, AdvSpan at)
{
    const AstNode *item = ast(fn->ast, fn->node);
    bool is_lambda = fn->kind == EL_FN_LAMBDA, is_attack = item->kind == AST_ATTACK, is_net = item->kind == AST_NET;
    uint32_t n = 0;
    Formal *f = formals_of(el, fn, &n);
    int *slot = ADV_NEW_ARRAY(el->arena, int, n_args + 1);
    if (!match(el, fn->name, f, n, args, n_args, at, slot)) return el_poison(at);
    ElScope *s = el_scope_new(el, fn->scope);
    ElArg *bound = ADV_NEW_ARRAY(el->arena, ElArg, n + 1);
    bool *have = ADV_NEW_ARRAY(el->arena, bool, n + 1);
    for (uint32_t i = 0; i < n_args; i++) {
        bound[slot[i]].val = args[i].val;
        have[slot[i]] = true;
    }
    if (!depth_ok(el, at)) return el_poison(at);
    AdvStr prefix = {0};
    bool inherits = el->frame && el->frame->inherit;
    if (is_net && el->frame && el->frame->is_net) {
        prefix = inherits && !el->frame->label.i ? el->frame->prefix : adv_intern(el->names, el_layer_name(el, fn->name));
        el->frame->inherit = false;
    }
    ElFrame frame;
    el_push(el, &frame, is_lambda ? "" : fn->name, at);
    if (is_lambda) frame.at = (AdvSpan){0, 0, 0};
    if (prefix.i) frame.prefix = prefix;
    if (is_lambda && frame.up) {
        frame.inherit = inherits;
        frame.label = frame.up->label;
    }
    frame.is_attack = is_attack;
    bool ok = bind_params(el, fn, f, n, have, bound, s, is_attack);
    ElVal r = el_poison(at);
    const char *layer = el->layer;
    uint32_t passed = el_layers_begin(el);
    el->layer = NULL;
    if (ok && is_lambda) r = el_expr(el, fn->module, s, ast_child(fn->ast, fn->node, 1));
    else if (ok && block(el, fn->module, s, ast_child(fn->ast, fn->node, 1), &r) && el_bad(r))
        r = el_error(el, ADV_D_NO_RESULT, item->span, "`%s` returns nothing", fn->name);
    uint8_t norm = frame.attack_norm;
    if (prefix.i && !inherits) el_layers_end(el, passed, "", r, at);
    el->layer = layer;
    el_pop(el);
    if (is_attack && !el_bad(r)) r = attack_result(el, r, bound, n, norm, at);
    return r;
}

/* "v, lo, norm=": names split by ", "; one with `=` may be left out, one with a leading `*` takes all arguments there are. */
static uint32_t builtin_formals(El *el, const char *params, Formal *f, bool *optional, bool *many)
{
    uint32_t n = 0;
    *many = false;
    while (*params) {
        while (*params == ' ' || *params == ',') params++;
        if (*params == '*') { *many = true; params++; }
        size_t len = strcspn(params, ",=");
        f[n].name = adv_intern_n(el->names, params, len);
        optional[n] = params[len] == '=';
        params += len + strcspn(params + len, ",");
        n++;
    }
    return n;
}

/* A layer notes itself in the chain of its net. */
static ElVal run_layer(const ElBuiltin *b, ElCall *c)
{
    El *el = c->el;
    const char *was = el->layer, *name = el->frame->label.i ? adv_str(el->names, el->frame->label) : b->name;
    uint32_t from = el_layers_begin(el);
    el->layer = name;
    ElVal r = b->run(c);
    el_layers_end(el, from, name, r, c->span);
    el->layer = was;
    return r;
}

static ElVal call_builtin(El *el, const ElBuiltin *b, ElArg *args, uint32_t n_args, AdvSpan at, ElScope *scope)
{
    Formal f[EL_MAX_PARAMS] = {0};
    bool optional[EL_MAX_PARAMS] = {false}, many = false;
    uint32_t n = builtin_formals(el, b->params, f, optional, &many), cap = n + n_args + 1;
    ElCall c = {.el = el, .name = b->name, .span = at, .scope = scope, .n_arg = n};
    c.arg = ADV_NEW_ARRAY(el->arena, ElVal, cap);
    c.given = ADV_NEW_ARRAY(el->arena, bool, cap);
    if (b->in_net && !(el->frame && el->frame->is_net))
        return el_error(el, ADV_D_STMT_PLACE, at, "`%s` is a layer: it exists in nets only", b->name);
    for (uint32_t i = 0; i < n_args; i++)
        if (args[i].bar && strcmp(b->name, "kl"))
            return el_error(el, ADV_D_ARGUMENT, args[i].span, "`||` separates the two sides of `kl` only");
    if (many) {
        uint32_t k = 0;
        for (uint32_t i = 0; i < n_args; i++) { c.arg[k] = args[i].val; c.given[k++] = true; }
        c.n_arg = k;
        if (k < n) return el_error(el, ADV_D_ARGUMENT, at, "`%s` needs at least %u argument%s", b->name, n, n == 1 ? "" : "s");
        return b->run(&c);
    }
    for (uint32_t k = 0; k < n; k++)
        if (optional[k]) f[k].dflt.i = 1;
    int *slot = ADV_NEW_ARRAY(el->arena, int, n_args + 1);
    if (!match(el, b->name, f, n, args, n_args, at, slot)) return el_poison(at);
    for (uint32_t i = 0; i < n_args; i++) { c.arg[slot[i]] = args[i].val; c.given[slot[i]] = true; }
    if (!strcmp(b->name, "kl") && !(n_args == 2 && args[1].bar))
        return el_error(el, ADV_D_ARGUMENT, at, "write `kl(P || Q)`, so that its direction shows");
    return b->in_net ? run_layer(b, &c) : b->run(&c);
}

ElVal el_call(El *el, ElFn *fn, ElArg *args, uint32_t n_args, AdvSpan at, ElScope *scope)
{
    for (uint32_t i = 0; i < n_args; i++)
        if (el_bad(args[i].val)) return el_poison(at);
    el->n_calls++;
    if (!el_work_ok(el, at)) return el_poison(at);
    if (fn->kind == EL_FN_MODEL) return el_model_call(el, fn->model, (ElMode)fn->mode, args, n_args, at);
    if (fn->kind == EL_FN_OP) return el_op_call(el, fn->op, args, n_args, at);
    if (fn->kind == EL_FN_BUILTIN) return call_builtin(el, fn->builtin, args, n_args, at, scope);
    if (ast(fn->ast, fn->node)->kind == AST_NET && !(el->frame && el->frame->is_net))
        return el_error(el, ADV_D_NOT_CALLABLE, at, "`%s` is a net: make a model of it first, as in `model f = %s(...)`", fn->name,
                        fn->name);
    return call_template(el, fn, args, n_args, at);
}

ElVal el_call1(El *el, ElFn *fn, ElVal a, AdvSpan at)
{
    ElArg arg = {.val = a, .span = at};
    return el_call(el, fn, &arg, 1, at, NULL);
}
