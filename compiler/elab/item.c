/* item.c: files, imports, items and names.
**
** A name is looked up in the scopes around it, then among the recipe's items (a phase's own first), what the engine supplies
** (x, y, epoch, ...), imports, built-ins. Imported functions see their parameters and their own file only.
*/
#include "compiler/elab/elab.h"
#include "runtime/base/hash.h"

#include <string.h>

#define MAX_MODULES 256

/* ---- files ---- */

/* Adds the item to its list, the recipe's or a phase's, unless one of that name is there. */
static void add_item(El *el, ElItems *items, ElItem item)
{
    for (uint32_t i = 0; i < items->n && item.kind != EL_ITEM_SECTION && item.kind != EL_ITEM_OPTIM; i++) {
        ElItem *o = items->at[i];
        if (o->name.i != item.name.i || o->kind == EL_ITEM_SECTION || o->kind == EL_ITEM_OPTIM) continue;
        if ((o->kind == EL_ITEM_FN) != (item.kind == EL_ITEM_FN)) continue;  /* `entropy = minmax(entropy(p))` is sound */
        AdvDiag *d = el_diag(el, ADV_D_DUPLICATE, item.at, "`%s` is defined twice", adv_str(el->names, item.name));
        adv_diag_note(d, o->at, "first defined here");
        return;
    }
    ElItem *it = ADV_NEW(el->arena, ElItem);
    *it = item;
    *ADV_PUSH(el->arena, items) = it;
}

bool el_own_name(El *el, AdvStr name, AdvSpan at)
{
    static const char *const given[] = {"x", "y", "id", "slot", "epoch", "progress", NULL};
    const char *word = adv_str(el->names, name);
    for (size_t i = 0; given[i]; i++)
        if (!strcmp(word, given[i])) {
            adv_diag_help(el_diag(el, ADV_D_DUPLICATE, at, "`%s` is given by the engine", word), "use another name");
            return false;
        }
    return true;
}

/* Names of the recipe's own: plain, and none that the engine gives. */
static bool name_ok(El *el, AdvStr name, AdvSpan at)
{
    const char *word = adv_str(el->names, name);
    if (!el_own_name(el, name, at)) return false;
    if (!strchr(word, '.')) return true;
    el_error(el, ADV_D_STMT_PLACE, at, "a name has no `.`, but this is `%s`", word);
    return false;
}

void el_add_named(El *el, ElModule *m, ElItems *items, ElItemKind kind, AstId st)
{
    const AstNode *n = ast(m->ast, st);
    bool by_keyword = kind == EL_ITEM_SECTION || kind == EL_ITEM_OPTIM;
    if (by_keyword || name_ok(el, n->name, n->key))
        add_item(el, items, (ElItem){.name = n->name, .kind = kind, .module = m, .node = st, .at = n->key});
}

void el_add_equation(El *el, ElModule *m, ElItems *items, AstId st)
{
    uint32_t k = 0;
    for (AstId p = ast(m->ast, ast(m->ast, st)->first)->first; p.i; p = ast(m->ast, p)->next, k++) {
        const AstNode *n = ast(m->ast, p);
        ElItem it = {.name = n->name, .kind = EL_ITEM_EQUATION, .module = m, .node = st, .at = n->span, .out_ix = k};
        if (name_ok(el, n->name, n->span)) add_item(el, items, it);
    }
}

/* The path that `text` in a file means: from the file's folder, without `.` and `folder/..`, so that equal paths are equal texts. */
static const char *path_from(El *el, const ElModule *m, const char *text)
{
    const char *self = adv_source_of(&el->ds->sources, (AdvSpan){m->file, 0, 0})->name, *slash = strrchr(self, '/');
    if (slash && text[0] != '/') text = adv_arena_printf(el->arena, "%.*s/%s", (int)(slash - self), self, text);
    char *path = adv_arena_strn(el->arena, text, strlen(text));
    size_t n = text[0] == '/', low = n; /* path[0..low) is not taken away again: the root, `../` */
    while (*text) {
        size_t len = strcspn(text, "/"), next = len + (text[len] == '/');
        bool is_up = len == 2 && !memcmp(text, "..", 2);
        if (is_up && n > low) {
            for (n--; n > low && path[n - 1] != '/'; n--) { }
        } else if (len && !(len == 1 && text[0] == '.')) {
            memcpy(path + n, text, next);
            n += next;
            if (is_up) low = n;
        }
        text += next;
    }
    path[n] = 0;
    return path;
}

static void take_stmts(El *el, ElModule *m);

static ElModule *import(El *el, ElModule *m, const AstNode *use)
{
    bool is_std = use->kind == AST_USE_STD;
    const char *word = adv_str(el->names, use->name), *name = is_std ? word : path_from(el, m, word), *text = NULL;
    AdvStr key = adv_intern(el->names, name);
    size_t n_bytes = 0;
    for (uint32_t i = 0; i < el->modules.n; i++)
        if (el->modules.at[i]->is_std == is_std && el->modules.at[i]->name.i == key.i) return el->modules.at[i];
    if (el->modules.n == MAX_MODULES) {
        AdvDiag *d = el_diag(el, ADV_D_IMPORT, use->span, "a recipe imports at most %d files, and `%s` is one more", MAX_MODULES, name);
        adv_diag_help(d, "files that import one another must do so by paths that do not grow");
        return NULL;
    }
    if (is_std && !strncmp(name, "std.", 4)) text = el_std_text(el, name + 4, &n_bytes);
    if (!is_std && el->load) text = el->load(el->load_user, name, &n_bytes);
    if (!text) {
        AdvDiag *d = el_diag(el, ADV_D_IMPORT, use->span, "cannot import `%s`", name);
        static const char *const known[] = {"std.nets", "std.attacks", "std.losses", "std.cues", NULL};
        if (is_std) el_diag_keys(el, d, name, known);
        else adv_diag_help(d, "there is no such file that can be read; a path begins in the folder of the file that says `use`");
        return NULL;
    }
    uint32_t file = adv_sources_need(&el->ds->sources, el->arena, name, text, n_bytes);
    ElModule *found = el_module_parse(el, file, key, false);
    found->is_std = is_std; /* before its own imports, which may lead back here */
    take_stmts(el, found);
    return found;
}

/* Which sections have a name, and which may stand more than once. */
static bool section_ok(El *el, const ElModule *m, const AstNode *n)
{
    const char *word = adv_str(el->names, n->name);
    bool is_phase = !strcmp(word, "phase"), has_name = is_phase || !strcmp(word, "eval") || !strcmp(word, "data"),
         many = is_phase || !strcmp(word, "eval") || !strcmp(word, "epoch");
    if (!has_name && n->name2.i) {
        el_error(el, ADV_D_STMT_PLACE, n->key, "a `%s` has no name, but this one is called `%s`", word, adv_str(el->names, n->name2));
        return false;
    }
    if (!is_phase && n->flags & AST_HAS_PARAMS) {
        el_error(el, ADV_D_STMT_PLACE, n->key, "a `%s` has no parameters", word);
        return false;
    }
    for (uint32_t i = 0; i < m->items.n; i++) {
        const ElItem *o = m->items.at[i];
        if (o->kind != EL_ITEM_SECTION || o->name.i != n->name.i || (many && (!n->name2.i || ast(m->ast, o->node)->name2.i != n->name2.i)))
            continue;
        AdvDiag *d = many ? el_diag(el, ADV_D_DUPLICATE, n->key, "two `%s` sections are called `%s`", word, adv_str(el->names, n->name2))
                          : el_diag(el, ADV_D_DUPLICATE, n->key, "a recipe has one `%s`", word);
        adv_diag_note(d, o->at, "the first one is here");
        return false;
    }
    return true;
}

static void take_stmt(El *el, ElModule *m, AstId st)
{
    const AstNode *n = ast(m->ast, st);
    switch (n->kind) {
    case AST_USE_STD: case AST_USE_FILE: case AST_USE_PLUGIN: {
        ElModule *other = n->kind == AST_USE_PLUGIN ? el_plugin_import(el, m, st) : import(el, m, n);
        if (!other) return;
        *ADV_PUSH(el->arena, &m->imports) = other;
        *ADV_PUSH(el->arena, &m->aliases) = n->name2;
        return;
    }
    case AST_NET: case AST_ATTACK: case AST_FN: case AST_LOSS:
        if (el_params_ok(el, m, n->first))
            add_item(el, &m->items, (ElItem){.name = n->name, .kind = EL_ITEM_FN, .module = m, .node = st, .at = n->span});
        return;
    case AST_ERROR: return;
    default: break;
    }
    if (!m->is_recipe) {
        el_error(el, ADV_D_STMT_PLACE, n->span, "an imported file holds `net`, `fn`, `loss`, `attack` and `use` only");
        return;
    }
    switch (n->kind) {
    case AST_PARAM: el_add_named(el, m, &m->items, EL_ITEM_PARAM, st); return;
    case AST_MODEL: el_add_named(el, m, &m->items, EL_ITEM_MODEL, st); return;
    case AST_SIGNAL: el_add_named(el, m, &m->items, EL_ITEM_SIGNAL, st); return;
    case AST_STATE: el_add_named(el, m, &m->items, EL_ITEM_STATE, st); return;
    case AST_OPTIM: el_add_named(el, m, &m->items, EL_ITEM_OPTIM, st); return;
    case AST_ASSIGN: el_add_equation(el, m, &m->items, st); return;
    case AST_SECTION:
        if (section_ok(el, m, n)) el_add_named(el, m, &m->items, EL_ITEM_SECTION, st);
        return;
    default:
        el_error(el, ADV_D_STMT_PLACE, n->span,
                 "this statement belongs in a `step`, an `attack` or a function, not at the top of a recipe");
    }
}

static void take_stmts(El *el, ElModule *m)
{
    for (AstId st = ast(m->ast, m->ast->root)->first; st.i; st = ast(m->ast, st)->next) take_stmt(el, m, st);
}

ElModule *el_module_parse(El *el, uint32_t file, AdvStr name, bool is_recipe)
{
    ElModule *m = ADV_NEW(el->arena, ElModule);
    m->name = name;
    m->file = file;
    m->is_recipe = is_recipe;
    *ADV_PUSH(el->arena, &el->modules) = m;
    if (is_recipe) el->recipe = m;
    m->ast = adv_parse(el->arena, el->names, el->ds, file);
    return m;
}

ElModule *el_recipe_load(El *el, uint32_t file)
{
    ElModule *m = el_module_parse(el, file, (AdvStr){0}, true);
    take_stmts(el, m);
    return m;
}

/* ---- sections ---- */

ElItem *el_section(El *el, const char *keyword)
{
    AdvStr k = adv_intern(el->names, keyword);
    if (el->phase)
        for (uint32_t i = 0; i < el->phase->items.n; i++)
            if (el->phase->items.at[i]->kind == EL_ITEM_SECTION && el->phase->items.at[i]->name.i == k.i) return el->phase->items.at[i];
    for (uint32_t i = 0; i < el->recipe->items.n; i++)
        if (el->recipe->items.at[i]->kind == EL_ITEM_SECTION && el->recipe->items.at[i]->name.i == k.i) return el->recipe->items.at[i];
    return NULL;
}

AstId el_section_block(El *el, const ElItem *section)
{
    const Ast *t = el->recipe->ast;
    return ast_child(t, section->node, ast(t, section->node)->flags & AST_HAS_PARAMS ? 1 : 0);
}

AstId el_section_key(El *el, AstId block, const char *key)
{
    const Ast *t = el->recipe->ast;
    for (AstId st = ast(t, block)->first; st.i; st = ast(t, st)->next)
        if (ast(t, st)->kind == AST_ASSIGN && !strcmp(adv_str(el->names, ast(t, ast(t, ast(t, st)->first)->first)->name), key))
            return ast_child(t, st, 1);
    return (AstId){0};
}

bool el_section_check(El *el, AstId block, const char *section, const char *const *keys)
{
    const Ast *t = el->recipe->ast;
    bool ok = true;
    for (AstId st = ast(t, block)->first; st.i; st = ast(t, st)->next) {
        const AstNode *n = ast(t, st);
        if (n->kind == AST_ERROR) return false;
        if (n->kind != AST_ASSIGN) {
            el_error(el, ADV_D_STMT_PLACE, n->span, "`%s` holds lines of the form `key = value`", section);
            ok = false;
            continue;
        }
        const AstNode *path = ast(t, ast(t, n->first)->first);
        const char *word = adv_str(el->names, path->name);
        size_t k = 0;
        while (keys[k] && strcmp(keys[k], word)) k++;
        for (AstId o = ast(t, block)->first; keys[k] && o.i != st.i; o = ast(t, o)->next) {
            const AstNode *p = ast(t, ast(t, ast(t, o)->first)->first);
            if (ast(t, o)->kind != AST_ASSIGN || p->name.i != path->name.i) continue;
            el_given_twice(el, word, path->span, p->span);
            ok = false;
        }
        if (keys[k]) continue;
        el_diag_keys(el, el_diag(el, ADV_D_SECTION_KEY, path->span, "`%s` has no key `%s`", section, word), word, keys);
        ok = false;
    }
    return ok;
}

/* ---- items ---- */

ElVal el_override(El *el, const char *key, bool *found)
{
    *found = false;
    ElVal v = el_poison((AdvSpan){0, 0, 0});
    for (uint32_t i = 0; i < el->overrides.n; i++) {  /* the last one given counts */
        ElOverride *o = &el->overrides.at[i];
        if (strcmp(adv_str(el->names, o->key), key)) continue;
        o->used = *found = true;
        v = o->val;
    }
    return v;
}

static ElItem *find_item(const ElModule *m, AdvStr name, bool fns)
{
    for (uint32_t i = 0; i < m->items.n; i++) {
        ElItem *it = m->items.at[i];
        if (it->name.i != name.i || it->kind == EL_ITEM_SECTION || it->kind == EL_ITEM_OPTIM) continue;
        bool callable = it->kind == EL_ITEM_FN || it->kind == EL_ITEM_MODEL || it->kind == EL_ITEM_OP;
        if (!fns || callable) return it;
    }
    return NULL;
}

ElItem *el_item(El *el, ElModule *m, AdvStr name)
{
    (void)el;
    return find_item(m, name, false);
}

/* `param how = "half" in ["half", "all"]`: one of a list of texts. */
static ElVal check_choice(El *el, ElVal v, ElVal choices, const char *name)
{
    const char *all = "";
    bool known = false;
    for (uint32_t i = 0; i < choices.n; i++) {
        ElVal c = choices.list[i];
        if (c.kind != EL_STRING)
            return el_error(el, ADV_D_ARGUMENT_KIND, c.span, "`%s` is a text, but this is %s", name, el_describe(el, c));
        known |= c.name.i == v.name.i;
        all = adv_arena_printf(el->arena, "%s%s%s", all, i == 0 ? "" : i + 1 < choices.n ? ", " : " or ", adv_str(el->names, c.name));
    }
    if (known) return v;
    AdvDiag *d = el_diag(el, ADV_D_OUT_OF_RANGE, v.span, "`%s` is %s, but must be %s", name, adv_str(el->names, v.name), all);
    adv_diag_note(d, choices.span, "the choices are declared here");
    return el_poison(v.span);
}

static ElVal check_range(El *el, ElVal v, ElVal r, const char *name)
{
    double lo, hi;
    if (v.kind != EL_NUMBER || r.kind != EL_RANGE || !el_float(el, r.list[0], "a bound", &lo) || !el_float(el, r.list[1], "a bound", &hi))
        return el_error(el, ADV_D_ARGUMENT_KIND, r.span, "after `in` stands a range, as in `0 .. 20`, or for a text a list of texts");
    if (v.num >= lo && v.num <= hi) return v;
    AdvDiag *d = el_diag(el, ADV_D_OUT_OF_RANGE, v.span, "`%s` is %g, but must lie in %g .. %g", name, v.num, lo, hi);
    el_diag_origin(el, d, v);
    adv_diag_note(d, r.span, "the range is declared here");
    return el_poison(v.span);
}

/* What `--set` gives to a parameter that is a text in the recipe: a word needs no quotes there, whatever else it may be called. */
static ElVal set_text(El *el, ElVal v, const char *name, AdvSpan declared)
{
    if (v.kind == EL_NAME || v.kind == EL_FN) v.kind = EL_STRING; /* both by their word */
    if (v.kind == EL_STRING || el_bad(v)) return v;
    adv_diag_note(el_diag(el, ADV_D_ARGUMENT_KIND, v.span, "`%s` is a text, but this is %s", name, el_describe(el, v)), declared,
                  "the recipe has this");
    return el_poison(v.span);
}

static ElVal param_value(El *el, ElItem *it)
{
    const Ast *t = it->module->ast;
    bool found;
    const char *name = adv_str(el->names, it->name);
    AstId own = ast_child(t, it->node, 0), range = ast_child(t, it->node, 1);
    ElVal v = el_override(el, name, &found);
    if (!found) v = el_const_expr(el, it->module, NULL, own, "a `param`");
    else if (ast(t, own)->kind == AST_STR) v = set_text(el, v, name, ast(t, own)->span);
    else if (v.kind == EL_NAME && !el_is_word(adv_str(el->names, v.name)))
        return el_error(el, ADV_D_UNKNOWN_NAME, v.span, "nothing here is called `%s`", adv_str(el->names, v.name));
    if (el_bad(v)) return v;
    json_t *rec = json_pack("{s:s, s:s}", "name", name, "origin", found ? "--set" : "recipe");
    if (v.kind == EL_NUMBER) el_json_set(el, rec, "value", json_real(v.num));
    if (v.kind == EL_STRING) el_json_set(el, rec, "value", json_string(adv_str(el->names, v.name)));
    el_json_push(el, el->params_json, rec);
    if (!range.i || (v.kind != EL_NUMBER && v.kind != EL_STRING)) return v;
    ElVal r = el_const_expr(el, it->module, NULL, range, "the range of a `param`");
    if (el_bad(r)) return r;
    r.span = ast(t, range)->span;
    return v.kind == EL_STRING && r.kind == EL_LIST ? check_choice(el, v, r, name) : check_range(el, v, r, name);
}

static ElVal fn_value(El *el, ElItem *it)
{
    ElFn *fn = ADV_NEW(el->arena, ElFn);
    *fn = (ElFn){
        .kind = EL_FN_TEMPLATE, .name = adv_str(el->names, it->name), .module = it->module, .ast = it->module->ast, .node = it->node};
    return (ElVal){.kind = EL_FN, .fn = fn, .span = it->at};
}

ElVal el_signal(El *el, AdvStr name, ElVal v)
{
    if (el_bad(v)) return v;
    if (!el_is_value(v) || el_rank(el, v) || v.sort == EL_CLASS)
        return el_error(el, ADV_D_RATE, v.span, "a signal is one number per sample, or per batch, but this is %s", el_describe(el, v));
    v = el_stop_grad(el, v);
    if (!el->in_eval && el->in_step) el_log(el, name, v, false);
    return v;
}

/* Signals and equations, once an entry, each with its own place for draws. */
static ElVal equation_value(El *el, ElItem *it)
{
    const Ast *t = it->module->ast;
    ElFrame frame;
    const char *name = adv_str(el->names, it->name);
    el_push(el, &frame, name, (AdvSpan){0, 0, 0});
    frame.place = adv_hash_str(ADV_HASH_START, name);
    ElVal v = el_expr(el, it->module, NULL, ast_child(t, it->node, it->kind == EL_ITEM_SIGNAL ? 0 : 1));
    el_pop(el);
    if (el_bad(v)) return v;
    if (it->kind == EL_ITEM_EQUATION) {
        uint32_t n = ast_n_children(t, ast(t, it->node)->first);
        if (n == 1) return v;
        if (v.kind != EL_LIST || v.n != n)
            return el_error(el, ADV_D_NO_RESULT, it->at, "%u names, but the right side is %s", n, el_describe(el, v));
        return v.list[it->out_ix];
    }
    return el_signal(el, it->name, v);
}

ElVal el_item_value(El *el, ElItem *it)
{
    bool per_entry = it->kind == EL_ITEM_EQUATION || it->kind == EL_ITEM_SIGNAL;
    it->used = true;
    if (it->kind == EL_ITEM_STATE) return el_state_read(el, it, it->at);
    if (it->done_serial && (!per_entry || it->done_serial == el->serial)) return it->val;
    if (it->busy) return el_error(el, ADV_D_CYCLE, it->at, "`%s` needs itself", adv_str(el->names, it->name));
    it->busy = true;
    ElVal v = el_poison(it->at);
    switch (it->kind) {
    case EL_ITEM_PARAM: v = param_value(el, it); break;
    case EL_ITEM_FN: v = fn_value(el, it); break;
    case EL_ITEM_OP: v = el_plugin_value(el, it); break;
    case EL_ITEM_MODEL:
        it->model = el_model_new(el, it);
        if (it->model) v = (ElVal){.kind = EL_MODEL, .model = it->model, .span = it->at};
        break;
    default: v = equation_value(el, it);
    }
    it->busy = false;
    it->val = v;
    it->done_serial = el->serial ? el->serial : 1;
    return v;
}

/* ---- names ---- */

static ElVal builtin_value(const ElBuiltin *b, El *el, AdvSpan at)
{
    ElFn *fn = ADV_NEW(el->arena, ElFn);
    *fn = (ElFn){.kind = EL_FN_BUILTIN, .name = b->name, .builtin = b};
    return (ElVal){.kind = EL_FN, .fn = fn, .span = at};
}

static bool engine_value(El *el, const char *name, AdvSpan at, ElVal *out)
{
    if (!strcmp(name, "epoch")) *out = el_epoch(el, at);
    else if (!strcmp(name, "progress")) *out = el_progress(el, at);
    else if (!strcmp(name, "x")) *out = el->x;
    else if (!strcmp(name, "y")) *out = el->y;
    else if (!strcmp(name, "id")) {
        AdvAttr f32 = adv_attr_i(0);
        *out =
            el->ids.kind == EL_TENSOR ? el_tensor(el, el_node(el, at, "cast", &el->ids.t, 1, &f32), ADV_RATE_SAMPLE, EL_NUM, at) : el->ids;
    } else if (!strcmp(name, "slot")) {
        AdvAttr n = adv_attr_i(el->n_batch), f32 = adv_attr_i(0);
        *out = el_poison(at);
        if (el->n_batch) {
            AdvValueId v = el_node(el, at, "iota", NULL, 0, &n);
            *out = el_tensor(el, el_node(el, at, "cast", &v, 1, &f32), ADV_RATE_SAMPLE, EL_NUM, at);
        }
    } else if (!strcmp(name, "eps") && el_has_budget(el)) *out = el_budget(el, at);
    else return false;
    if (el_bad(*out) && !el->budget_busy && strcmp(name, "eps"))
        *out = el_error(el, ADV_D_RATE, at, "`%s` belongs to a batch, and here there is none", name);
    return true;
}

static const char *const closed_names[] = {"linf", "l2",   "torch", "he_out",  "zero", "reflect", "none", "envelope", "bf16",   "f32",
                                           "cpu",  "cuda", "auto",  "weights", "all",  "train",   "test", "val",      "sample", NULL};

static ElItem *imported(El *el, ElModule *m, AdvStr name, AdvSpan at, bool *clash)
{
    ElItem *found = NULL;
    *clash = false;
    for (uint32_t i = 0; i < m->imports.n; i++) {
        if (m->aliases.at[i].i) continue;
        ElItem *it = find_item(m->imports.at[i], name, false);
        if (!it || it == found) continue;
        if (found) {
            AdvDiag *d = el_diag(el, ADV_D_IMPORT_CLASH, at, "`%s` is defined by two imports", adv_str(el->names, name));
            adv_diag_note(d, found->at, "here");
            adv_diag_note(d, it->at, "and here");
            adv_diag_help(d, "import one of them `as` a name of its own");
            *clash = true;
            return NULL;
        }
        found = it;
    }
    return found;
}

ElItem *el_net(El *el, ElModule *m, AdvStr name, AdvSpan at)
{
    bool clash;
    for (uint32_t i = 0; i < m->items.n; i++)
        if (m->items.at[i]->kind == EL_ITEM_FN && m->items.at[i]->name.i == name.i) return m->items.at[i];
    ElItem *it = imported(el, m, name, at, &clash);
    return it && it->kind == EL_ITEM_FN ? it : NULL;
}

/* Reports a name that only some phases define; false if none does. */
static bool only_in_phases(El *el, const ElModule *m, const char *word, AdvSpan at)
{
    AdvDiag *d = NULL;
    bool any = false;
    for (uint32_t i = 0; m->is_recipe && i < el->phases.n; i++)
        for (uint32_t k = 0; k < el->phases.at[i]->items.n; k++) {
            const ElPhase *ph = el->phases.at[i];
            const ElItem *it = ph->items.at[k];
            if (it->kind == EL_ITEM_SECTION || strcmp(adv_str(el->names, it->name), word)) continue;
            if (!any) d = el_diag(el, ADV_D_PHASES, at, "some epochs have no definition of `%s`", word);
            adv_diag_note(d, it->at, "phase `%s` defines it for epochs %lld .. %lld", adv_str(el->names, ph->name), (long long)ph->from,
                          (long long)ph->to);
            any = true;
        }
    if (any) adv_diag_help(d, "define it outside of phases, too: that counts in all other epochs");
    return any;
}

/* Names that other libraries have for what is here, and how it is written. */
static const struct {
    const char *word, *here;
} elsewhere[] = {
    {"cross_entropy", "`ce(z, y)`"},
    {"kl_div", "`kl(P || Q)`"},
    {"mse", "`mean((a - b)^2)`"},
    {"clamp", "`clip(v, lo, hi)`, or `project(z, x, eps)` for an image near `x`"},
    {"where", "`select(c, a, b)`"},
    {"norm", "`norm1(v)`, `norm2(v)` or `max(abs(v))`"},
    {"randn", "`normal(like = x)`"},
    {"randn_like", "`normal(like = x)`"},
    {"rand", "`uniform(lo, hi, like = x)`"},
    {"rand_like", "`uniform(lo, hi, like = x)`"},
    {"zeros_like", "`0*x`"},
    {"pow", "`a^b`"},
    {"square", "`a^2`"},
    {"ln", "`log(v)`"},
    {"gather", "`p[y]`"},
    {"true", "`1`"},
    {"True", "`1`"},
    {"false", "`0`"},
    {"False", "`0`"},
};

static const char *written_here(const char *word)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (!strcmp(elsewhere[i].word, word)) return elsewhere[i].here;
    return NULL;
}

static ElVal unknown(El *el, ElModule *m, ElScope *s, const char *word, AdvSpan at, bool callable)
{
    ADV_VEC(const char *) names = {0};
    ElBind *bound = callable ? el_find(s, adv_intern(el->names, word)) : NULL;
    ElItem *item = callable && !bound ? find_item(m, adv_intern(el->names, word), false) : NULL;
    if (bound) {
        AdvDiag *d = el_diag(el, ADV_D_NOT_CALLABLE, at, "`%s` is called, but is %s", word, el_describe(el, bound->val));
        if (bound->val.span.file) adv_diag_note(d, bound->val.span, "its value is given here");
        return el_poison(at);
    }
    if (item) {
        adv_diag_note(el_diag(el, ADV_D_NOT_CALLABLE, at, "`%s` is called, but is no function, net, attack or model", word), item->at,
                      "it is defined here");
        return el_poison(at);
    }
    for (; s; s = s->parent)
        for (ElBind *b = s->binds; b; b = b->next) *ADV_PUSH(el->arena, &names) = adv_str(el->names, b->name);
    for (uint32_t i = 0; i < m->items.n; i++)
        if (m->items.at[i]->kind != EL_ITEM_SECTION && m->items.at[i]->kind != EL_ITEM_OPTIM)
            *ADV_PUSH(el->arena, &names) = adv_str(el->names, m->items.at[i]->name);
    for (uint32_t i = 0; i < m->imports.n; i++)
        for (uint32_t k = 0; k < m->imports.at[i]->items.n; k++)
            *ADV_PUSH(el->arena, &names) = adv_str(el->names, m->imports.at[i]->items.at[k]->name);
    for (const ElBuiltin *b = el_builtins; b->name; b++) *ADV_PUSH(el->arena, &names) = b->name;
    for (const ElBuiltin *b = el_layers; b->name; b++) *ADV_PUSH(el->arena, &names) = b->name;
    for (size_t i = 0; closed_names[i]; i++) *ADV_PUSH(el->arena, &names) = closed_names[i];
    if (only_in_phases(el, m, word, at)) return el_poison(at);
    AdvDiag *d = el_diag(el, ADV_D_UNKNOWN_NAME, at,
                         callable ? "no function, net, attack or model is called `%s`" : "nothing here is called `%s`", word);
    const char *std = el_std_with(el, word), *other = std ? NULL : written_here(word),
               *near = std || other ? NULL : adv_nearest(word, names.at, names.n);
    if (std) adv_diag_help(d, "it is in a module: `use std.%s`", std);
    if (other) adv_diag_help(d, "write %s", other);
    if (near) adv_diag_help(d, "did you mean `%s`?", near);
    if (!strcmp(word, "eps")) adv_diag_help(d, "`eps` is what a `budget` gives, as in `budget { eps = 8/255 }`");
    return el_poison(at);
}

ElVal el_lookup(El *el, ElModule *m, ElScope *s, AdvStr name, AdvSpan at, bool callable)
{
    const char *word = adv_str(el->names, name);
    for (ElScope *sc = s; sc; sc = sc->parent)
        for (ElBind *b = sc->binds; b; b = b->next)
            if (b->name.i == name.i && (!callable || b->val.kind == EL_FN || b->val.kind == EL_MODEL || el_bad(b->val))) {
                b->used = true;
                return b->val;
            }
    if (m->is_recipe && el->phase && !callable)
        for (uint32_t i = 0; i < el->phase->items.n; i++)
            if (el->phase->items.at[i]->name.i == name.i && el->phase->items.at[i]->kind != EL_ITEM_SECTION)
                return el_item_value(el, el->phase->items.at[i]);
    ElItem *it = find_item(m, name, callable);
    if (it && it->kind == EL_ITEM_STATE && !callable) {
        it->used = true;
        return el_state_read(el, it, at);
    }
    if (it && !(callable && it->kind != EL_ITEM_FN && it->kind != EL_ITEM_MODEL)) return el_item_value(el, it);
    ElVal v;
    if (m->is_recipe && !callable && engine_value(el, word, at, &v)) return v;
    bool clash, in_net = el->frame && el->frame->is_net;
    const ElBuiltin *b = in_net && el_layer(word) ? el_layer(word) : NULL;
    it = b ? NULL : imported(el, m, name, at, &clash);
    if (it) return el_item_value(el, it);
    if (!b && clash) return el_poison(at);
    if (!b) b = el_builtin(word);
    if (!b) b = el_layer(word);
    if (b) return builtin_value(b, el, at);
    for (size_t i = 0; closed_names[i] && !callable; i++)
        if (!strcmp(closed_names[i], word)) return (ElVal){.kind = EL_NAME, .name = name, .span = at};
    return unknown(el, m, s, word, at, callable);
}

bool el_is_word(const char *word)
{
    for (size_t i = 0; closed_names[i]; i++)
        if (!strcmp(closed_names[i], word)) return true;
    return el_builtin(word) || el_layer(word);
}

/* ---- what a step needs, computed before its first line ---- */

/* Is it made of numbers, texts and parameters alone? Not of names that something local has, too. */
static bool is_of_params(El *el, AstId id)
{
    const Ast *t = el->recipe->ast;
    const AstNode *n = ast(t, id);
    if (n->kind == AST_ID) {
        ElItem *it = find_item(el->recipe, n->name, false);
        for (uint32_t i = 1; i < t->nodes.n; i++) {
            const AstNode *o = &t->nodes.at[i];
            if (o->name.i == n->name.i && (o->kind == AST_ARG || o->kind == AST_NAME || o->kind == AST_PATH)) return false;
        }
        return it && it->kind == EL_ITEM_PARAM;
    }
    if (n->kind != AST_NUM && n->kind != AST_STR && n->kind != AST_BINARY && n->kind != AST_UNARY) return false;
    for (AstId c = n->first; c.i; c = ast(t, c)->next)
        if (!is_of_params(el, c)) return false;
    return true;
}

/* Which branch of an `if` the compiler takes, 1 or 2, where its condition is made of parameters; else 0. */
static uint32_t chosen(El *el, AstId condition)
{
    if (!is_of_params(el, condition)) return 0;
    ElVal v = el_expr(el, el->recipe, NULL, condition);
    return v.kind != EL_NUMBER ? 0 : v.num != 0 ? 1 : 2;
}

/* Each body once a call (`turn`): functions that call others twice would take for ever. A later call, made while a value was
** computed, has walked as much. */
static void prepare(El *el, AstId id, uint32_t depth, uint32_t turn)
{
    const Ast *t = el->recipe->ast;
    const AstNode *n = ast(t, id);
    if (depth > 128) return;
    if (n->kind == AST_ID) {
        ElItem *it = NULL;
        for (uint32_t i = 0; el->phase && i < el->phase->items.n; i++)
            if (el->phase->items.at[i]->name.i == n->name.i && el->phase->items.at[i]->kind != EL_ITEM_SECTION) it = el->phase->items.at[i];
        for (uint32_t i = 0; i < el->recipe->items.n && !it; i++) {
            ElItem *o = el->recipe->items.at[i];
            if (o->name.i == n->name.i && o->kind != EL_ITEM_SECTION && o->kind != EL_ITEM_OPTIM) it = o;
        }
        if (it && (it->kind == EL_ITEM_EQUATION || it->kind == EL_ITEM_SIGNAL)) (void)el_item_value(el, it);
        else if (!it && !strcmp(adv_str(el->names, n->name), "eps") && el_has_budget(el)) (void)el_budget(el, n->span);
        for (uint32_t i = 0; i < el->recipe->items.n; i++) {  /* bodies of the recipe's own functions */
            ElItem *fn = el->recipe->items.at[i];
            if (fn->kind != EL_ITEM_FN || fn->name.i != n->name.i || fn->busy || fn->prepared >= turn) continue;
            fn->busy = true;
            fn->prepared = turn;
            prepare(el, fn->node, depth + 1, turn);
            fn->busy = false;
        }
    }
    uint32_t taken = n->kind == AST_IF ? chosen(el, n->first) : 0, k = 0;
    for (AstId c = n->first; c.i; c = ast(t, c)->next, k++)
        if (!taken || !k || k == taken) prepare(el, c, depth + 1, turn);
}

void el_prepare(El *el, AstId id) { prepare(el, id, 0, ++el->n_prepares); }
