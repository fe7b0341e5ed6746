/* expand.c: see expand.h. The tree says where to put pieces of text into the source; the formatter does the rest.
**
** Only what cannot change a result is written: a default that is an expression of other arguments, or that draws, means something
** else where it is called, so it stays in the callee. That the tables below tell the truth is tested: plan(expand(x)) is plan(x).
*/
#include "compiler/expand.h"

#include "compiler/adv_compile.h"

#include <string.h>

typedef struct Edit { uint32_t at, n_gone; const char *text; } Edit;

typedef struct Expand {
    El *el;
    const Ast *t;
    const AdvSource *src;
    const AdvSet *sets;
    uint32_t n_sets;
    ADV_VEC(Edit) edits;
    ADV_VEC(AdvStr) bound;  /* names that the recipe gives to something */
    bool has_run;
} Expand;

typedef struct Default { const char *of, *kind, *key, *text; } Default;

/* Keys of sections; kind: the section's name must be it, or with `!` must not be it. */
static const Default section_keys[] = {
    {"train", NULL, "seed", "1"},
    {"run", NULL, "precision", "f32"},
    {"run", NULL, "deterministic", "0"},
    {"run", NULL, "device", "auto"},
    {"data", NULL, "batch", "128"},
    {"data", "!synthetic", "val", "0"},
    {"data", "synthetic", "train", "4096"},
    {"data", "synthetic", "test", "1024"},
    {"data", "synthetic", "classes", "2"},
    {"budget", NULL, "gradient", "none"},
    {"eval", NULL, "on", "test"},
};

static const Default optimiser_args[] = {
    {"sgd", NULL, "momentum", "0"},      {"sgd", NULL, "weight_decay", "0"}, {"sgd", NULL, "nesterov", "0"},
    {"adam", NULL, "beta1", "0.9"},      {"adam", NULL, "beta2", "0.999"},   {"adam", NULL, "eps", "1e-8"},
    {"adam", NULL, "weight_decay", "0"},
};

static const AstNode *at(const Expand *x, AstId id) { return ast(x->t, id); }
static const char *name(const Expand *x, AdvStr s) { return adv_str(x->el->names, s); }
static uint32_t end(const Expand *x, AstId id) { return at(x, id)->span.off + at(x, id)->span.len; }

static void edit(Expand *x, uint32_t off, uint32_t n_gone, const char *text)
{
    *ADV_PUSH(x->el->arena, &x->edits) = (Edit){off, n_gone, text};
}

static void insert(Expand *x, uint32_t off, const char *text) { edit(x, off, 0, text); }

/* ---- overrides -------------------------------------------------------------------------------------------------------------- */

/* The value of the last `--set KEY` without a comment behind it, or NULL. */
static const char *set_of(const Expand *x, const char *key)
{
    const char *found = NULL;
    for (uint32_t i = 0; i < x->n_sets; i++) {
        const char *v = x->sets[i].value;
        if (!strcmp(x->sets[i].key, key)) found = adv_arena_strn(x->el->arena, v, strchr(v, '"') ? strlen(v) : strcspn(v, "#\n"));
    }
    return found;
}

static void replace(Expand *x, AstId value, const char *text) { edit(x, at(x, value)->span.off, at(x, value)->span.len, text); }

/* ---- sections ----------------------------------------------------------------------------------------------------------------- */

static AstId key_of(const Expand *x, AstId block, const char *key)
{
    for (AstId st = at(x, block)->first; st.i; st = at(x, st)->next) {
        if (at(x, st)->kind != AST_ASSIGN) continue;
        AstId path = at(x, at(x, st)->first)->first;
        if (!strcmp(name(x, at(x, path)->name), key)) return ast_child(x->t, st, 1);
    }
    return (AstId){0};
}

/* Puts a line before the closing brace. `first`: is it the first one put there? */
static void add_line(Expand *x, AstId block, const char *line, bool is_first)
{
    uint32_t close = end(x, block) - 1, from = at(x, block)->span.off + 1;
    AstId last = {0};
    for (AstId st = at(x, block)->first; st.i; st = at(x, st)->next) last = st;
    if (last.i) from = end(x, last);
    bool own_line = memchr(x->src->text + from, '\n', close - from) != NULL;
    bool joins = !own_line && (last.i || !is_first);
    insert(x, close, adv_arena_printf(x->el->arena, "%s%s%s", joins ? "; " : "", line, own_line ? "\n" : " "));
}

static bool fits(const Default *d, const char *of, const char *kind)
{
    if (strcmp(d->of, of)) return false;
    if (!d->kind) return true;
    return d->kind[0] == '!' ? strcmp(d->kind + 1, kind) != 0 : !strcmp(d->kind, kind);
}

static void section(Expand *x, AstId id)
{
    const AstNode *n = at(x, id);
    const char *word = name(x, n->name), *kind = n->name2.i ? name(x, n->name2) : "";
    AstId block = ast_child(x->t, id, n->flags & AST_HAS_PARAMS ? 1 : 0);
    bool is_first = true;
    if (!strcmp(word, "run")) x->has_run = true;
    for (size_t i = 0; i < sizeof section_keys / sizeof *section_keys; i++) {
        const Default *d = &section_keys[i];
        if (!fits(d, word, kind) || key_of(x, block, d->key).i) continue;
        const char *set = set_of(x, adv_arena_printf(x->el->arena, "%s.%s", word, d->key));
        add_line(x, block, adv_arena_printf(x->el->arena, "%s = %s", d->key, set ? set : d->text), is_first);
        is_first = false;
    }
    for (uint32_t i = 0; i < x->n_sets; i++) {
        size_t n_word = strlen(word);
        const char *key = x->sets[i].key;
        if (strncmp(key, word, n_word) || key[n_word] != '.') continue;
        AstId value = key_of(x, block, key + n_word + 1);
        if (value.i) {
            replace(x, value, set_of(x, key));
            continue;
        }
        bool has_default = false;
        for (size_t k = 0; k < sizeof section_keys / sizeof *section_keys; k++)
            has_default |= fits(&section_keys[k], word, kind) && !strcmp(section_keys[k].key, key + n_word + 1);
        if (has_default) continue;
        add_line(x, block, adv_arena_printf(x->el->arena, "%s = %s", key + n_word + 1, set_of(x, key)), is_first);
        is_first = false;
    }
}

static void add_run(Expand *x)
{
    const char *text = "";
    for (size_t i = 0; i < sizeof section_keys / sizeof *section_keys; i++) {
        const Default *d = &section_keys[i];
        if (strcmp(d->of, "run")) continue;
        const char *set = set_of(x, adv_arena_printf(x->el->arena, "run.%s", d->key));
        text = adv_arena_printf(x->el->arena, "%s%s%s = %s", text, text[0] ? "; " : "", d->key, set ? set : d->text);
    }
    insert(x, x->src->n_bytes, adv_arena_printf(x->el->arena, "\nrun { %s }\n", text));
}

/* ---- calls ---------------------------------------------------------------------------------------------------------------------- */

/* Where arguments go that a call has not got yet: behind the last one that is no side of `||`. */
static void add_args(Expand *x, AstId call, AstId callee, const char *args)
{
    AstId last = {0};
    for (AstId a = at(x, callee)->next; a.i; a = at(x, a)->next)
        if (at(x, a)->kind == AST_ARG && !(at(x, a)->flags & AST_BAR)) last = a;
    if (last.i) insert(x, end(x, last), adv_arena_printf(x->el->arena, ", %s", args));
    else if (end(x, call) == end(x, callee)) insert(x, end(x, callee), adv_arena_printf(x->el->arena, "(%s)", args));
    else insert(x, end(x, call) - 1, args);
}

static bool is_given(const Expand *x, AstId first_arg, const char *key)
{
    for (AstId a = first_arg; a.i; a = at(x, a)->next)
        if (at(x, a)->name.i && !strcmp(name(x, at(x, a)->name), key)) return true;
    return false;
}

static void optimiser(Expand *x, AstId call)
{
    AstId callee = at(x, call)->first;
    const char *args = "";
    if (at(x, call)->kind != AST_CALL || at(x, callee)->kind != AST_ID) return;
    for (size_t i = 0; i < sizeof optimiser_args / sizeof *optimiser_args; i++) {
        const Default *d = &optimiser_args[i];
        if (fits(d, name(x, at(x, callee)->name), "") && !is_given(x, at(x, callee)->next, d->key))
            args = adv_arena_printf(x->el->arena, "%s%s%s = %s", args, args[0] ? ", " : "", d->key, d->text);
    }
    if (args[0]) add_args(x, call, callee, args);
}

static bool is_bound(const Expand *x, AdvStr s)
{
    for (uint32_t i = 0; i < x->bound.n; i++)
        if (x->bound.at[i].i == s.i) return true;
    return false;
}

/* The imported function that a callee names, or NULL; NULL too where the name might mean something of the recipe's own. */
static const ElItem *imported(const Expand *x, AstId callee)
{
    const ElModule *m = x->el->recipe;
    const AstNode *n = at(x, callee);
    AdvStr alias = {0};
    if (n->kind == AST_DOT && at(x, n->first)->kind == AST_ID) alias = at(x, n->first)->name;
    else if (n->kind != AST_ID || el_layer(name(x, n->name))) return NULL;
    if (is_bound(x, alias.i ? alias : n->name)) return NULL;
    for (uint32_t i = 0; i < m->imports.n; i++) {
        if (m->aliases.at[i].i != alias.i) continue;
        const ElModule *other = m->imports.at[i];
        for (uint32_t k = 0; k < other->items.n; k++)
            if (other->items.at[k]->name.i == n->name.i && other->items.at[k]->kind == EL_ITEM_FN) return other->items.at[k];
    }
    return NULL;
}

/* Does an expression mean the same everywhere? */
static bool is_closed(const Ast *t, AstId id)
{
    const AstNode *n = ast(t, id);
    bool ok = n->kind == AST_NUM || n->kind == AST_STR || n->kind == AST_UNARY || n->kind == AST_BINARY || n->kind == AST_LIST ||
              n->kind == AST_PAIR || n->kind == AST_RANGE;
    for (AstId c = n->first; ok && c.i; c = ast(t, c)->next) ok = is_closed(t, c);
    return ok;
}

static void call(Expand *x, AstId id)
{
    bool is_pipe = at(x, id)->kind == AST_PIPE;
    AstId callee = is_pipe ? at(x, at(x, id)->first)->next : at(x, id)->first;
    const ElItem *fn = imported(x, callee);
    const char *args = "";
    uint32_t n_positional = is_pipe, k = 0;
    if (!fn) return;
    for (AstId a = at(x, callee)->next; a.i; a = at(x, a)->next) n_positional += !at(x, a)->name.i;
    const Ast *t = fn->module->ast;
    const AdvSource *src = &x->el->ds->sources.files.at[fn->module->file - 1];
    for (AstId p = ast(t, ast(t, fn->node)->first)->first; p.i; p = ast(t, p)->next, k++) {
        const AstNode *param = ast(t, p);
        if (!param->name.i || k < n_positional || is_given(x, at(x, callee)->next, name(x, param->name)) || !is_closed(t, param->first))
            continue;
        AdvSpan v = ast(t, param->first)->span;
        args =
            adv_arena_printf(x->el->arena, "%s%s%s = %.*s", args, args[0] ? ", " : "", name(x, param->name), (int)v.len, src->text + v.off);
    }
    if (args[0]) add_args(x, id, callee, args);
}

/* ---- the walk --------------------------------------------------------------------------------------------------------------------- */

static void collect_bound(Expand *x, AstId id)
{
    const AstNode *n = at(x, id);
    AdvArena *a = x->el->arena;
    bool is_param = false;
    switch (n->kind) {
    case AST_PARAMS:
        for (AstId c = n->first; c.i; c = at(x, c)->next)
            *ADV_PUSH(a, &x->bound) = at(x, c)->name.i ? at(x, c)->name : at(x, at(x, c)->first)->name;
        is_param = true;
        break;
    case AST_PARAM:
    case AST_NET:
    case AST_ATTACK:
    case AST_FN:
    case AST_LOSS:
    case AST_MODEL:
    case AST_SIGNAL:
    case AST_STATE:
    case AST_CARRY:
    case AST_REPEAT:
    case AST_REPLAY:
    case AST_PATH:
        if (n->name.i) *ADV_PUSH(a, &x->bound) = n->name;
        break;
    case AST_LAMBDA:
        for (AstId c = at(x, n->first)->first; c.i; c = at(x, c)->next) *ADV_PUSH(a, &x->bound) = at(x, c)->name;
        break;
    default: break;
    }
    for (AstId c = n->first; c.i; c = at(x, c)->next)
        if (!is_param || at(x, c)->name.i) collect_bound(x, c);
}

static void walk(Expand *x, AstId id)
{
    const AstNode *n = at(x, id);
    const char *set = n->kind == AST_PARAM ? set_of(x, name(x, n->name)) : NULL;
    if (set) {
        bool is_word = at(x, n->first)->kind == AST_STR && !strchr(set, '"');
        replace(x, n->first, is_word ? adv_arena_printf(x->el->arena, "\"%s\"", set) : set);
        return;
    }
    if (n->kind == AST_SECTION) section(x, id);
    if (n->kind == AST_OPTIM) optimiser(x, ast_child(x->t, id, 1));
    if (n->kind == AST_CALL || n->kind == AST_PIPE) call(x, id);
    for (AstId c = n->first; c.i; c = at(x, c)->next) walk(x, c);
}

/* Edits at one place stay in the order they were made. What lies in a piece that is gone is gone, too. */
static void sort(Expand *x)
{
    for (uint32_t i = 1; i < x->edits.n; i++) {
        Edit e = x->edits.at[i];
        uint32_t k = i;
        for (; k > 0 && x->edits.at[k - 1].at > e.at; k--) x->edits.at[k] = x->edits.at[k - 1];
        x->edits.at[k] = e;
    }
}

static void copy(Expand *x, char **to, uint32_t from, uint32_t until)
{
    memcpy(*to, x->src->text + from, until - from);
    *to += until - from;
}

static char *apply(Expand *x, size_t *out_bytes)
{
    size_t n = x->src->n_bytes + 1;
    uint32_t done = 0;
    for (uint32_t i = 0; i < x->edits.n; i++) n += strlen(x->edits.at[i].text);
    char *text = adv_arena_new(x->el->arena, n), *to = text;
    for (uint32_t i = 0; i < x->edits.n; i++) {
        const Edit *e = &x->edits.at[i];
        if (e->at < done) continue;
        copy(x, &to, done, e->at);
        memcpy(to, e->text, strlen(e->text));
        to += strlen(e->text);
        done = e->at + e->n_gone;
    }
    copy(x, &to, done, x->src->n_bytes);
    *out_bytes = (size_t)(to - text);
    return text;
}

char *adv_expand_text(El *el, const AdvSet *sets, uint32_t n_sets, size_t *out_bytes)
{
    const ElModule *m = el->recipe;
    Expand x = {.el = el, .t = m->ast, .src = &el->ds->sources.files.at[m->file - 1], .sets = sets, .n_sets = n_sets};
    for (uint32_t i = 0; i < m->items.n; i++) {
        bool binds = m->items.at[i]->kind != EL_ITEM_SECTION && m->items.at[i]->kind != EL_ITEM_OPTIM;
        *ADV_PUSH(el->arena, &x.bound) = binds ? m->items.at[i]->name : (AdvStr){0};
    }
    collect_bound(&x, m->ast->root);
    walk(&x, m->ast->root);
    if (!x.has_run) add_run(&x);
    sort(&x);
    return apply(&x, out_bytes);
}
