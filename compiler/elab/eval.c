/* eval.c: evaluations: one entry an attack, on a batch of ids that the host writes; padded rows are masked out. An attack that
** is `worst` of several becomes as many entries, each run on the samples that those before it left right.
**
** The entry computes the attack's images, what the classifier says of them, and how far they are from the clean ones, so that
** box, radius and accuracy are checked by the engine and not by the attack. The distance is in the norm of the ball that the images
** were projected onto, L-inf where there is none: of all norms that has the smallest distance, so an attack that is found to leave its
** radius has left it.
*/
#include "compiler/elab/elab.h"

#include <string.h>

typedef struct Eval {
    const char *name, *split;
    AstId block;
    AdvSpan at;
    int64_t first_id, n, every;
    json_t *json, *stages;
} Eval;

static const Ast *tree(const El *el) { return el->recipe->ast; }

static const char *entry_name(El *el, AstId item, AstId *out_call)
{
    const Ast *t = tree(el);
    const AstNode *n = ast(t, item);
    const char *label = NULL;
    if (n->kind == AST_PAIR) {
        const AstNode *key = ast(t, n->first);
        if (key->kind == AST_ID) label = adv_str(el->names, key->name);
        item = ast_child(t, item, 1);
        n = ast(t, item);
    }
    *out_call = item;
    const AstNode *callee = n->kind == AST_CALL ? ast(t, n->first) : n;
    if (label) return label;
    if (callee->kind == AST_ID || callee->kind == AST_DOT) return adv_str(el->names, callee->name);
    return NULL;
}

/* `test`, `val`, `train`, or `.first(n)` of one. */
static bool read_on(El *el, Eval *e)
{
    const Ast *t = tree(el);
    AstId on = el_section_key(el, e->block, "on");
    const ElData *d = &el->data;
    e->split = "test";
    AstId base = on, first = {0};
    if (on.i && ast(t, on)->kind == AST_CALL) {
        AstId callee = ast(t, on)->first;
        if (ast(t, callee)->kind == AST_DOT && !strcmp(adv_str(el->names, ast(t, callee)->name), "first")) {
            base = ast(t, callee)->first;
            first = ast_child(t, on, 1);
        }
    }
    if (on.i) e->split = ast(t, base)->kind == AST_ID ? adv_str(el->names, ast(t, base)->name) : "";
    if (!strcmp(e->split, "test")) e->n = d->n_test;
    else if (!strcmp(e->split, "train")) e->n = d->n_train;
    else if (!strcmp(e->split, "val")) { e->n = d->n_val; e->first_id = (d->set ? d->set->n_train : d->n_train + d->n_val) - d->n_val; }
    else {
        el_error(el, ADV_D_ARGUMENT_KIND, ast(t, on)->span,
                 "`on` is `test`, `val` or `train`, or the first of it, as in `test.first(1000)`");
        return false;
    }
    if (!e->n) {
        AdvDiag *g = el_diag(el, ADV_D_DATASET, ast(t, on)->span, "there is no validation split");
        adv_diag_help(g, "write `val = 5000` in `data`");
        return false;
    }
    if (!first.i) return true;
    return el_int(el, el_const_expr(el, el->recipe, NULL, ast(t, first)->first, "the number of samples"), "the number of samples", 1, e->n,
                  &e->n);
}

/* The function from images to logits that is evaluated. */
static ElVal classifier(El *el, const Eval *e)
{
    AstId of = el_section_key(el, e->block, "of");
    if (of.i) return el_expr(el, el->recipe, NULL, of);
    ElModel *found = NULL;
    for (uint32_t i = 0; i < el->models.n; i++) {
        if (!el->models.at[i]->classifies) continue;
        if (found)
            return el_error(el, ADV_D_SECTION_MISSING, e->at, "several models give one number per class: say which with `of = %s.eval`",
                            adv_str(el->names, found->name));
        found = el->models.at[i];
    }
    if (!found && el->models.n == 1) found = el->models.at[0];
    if (!found) {
        AdvDiag *d = el_diag(el, ADV_D_SECTION_MISSING, e->at, "no model gives one number per class: say what to evaluate with `of = ...`");
        for (uint32_t i = 0; i < el->models.n; i++)
            if (el->models.at[i]->n_out)
                adv_diag_help(d, "`%s` gives %lld numbers, for %lld classes", adv_str(el->names, el->models.at[i]->name),
                              (long long)el->models.at[i]->n_out, (long long)el->data.classes);
        return el_poison(e->at);
    }
    return (ElVal){.kind = EL_MODEL, .model = found, .mode = EL_EVAL, .span = e->at};
}

static ElVal call_function(El *el, ElVal f, ElVal x, AdvSpan at)
{
    ElArg arg = {.val = x, .span = at};
    if (f.kind == EL_MODEL) return el_model_call(el, f.model, (ElMode)f.mode, &arg, 1, at);
    if (f.kind == EL_FN) return el_call(el, f.fn, &arg, 1, at, NULL);
    return el_error(el, ADV_D_NOT_CALLABLE, at, "`of` is a function from images to logits, but this is %s", el_describe(el, f));
}

/* Calls an attack with what `eval` supplies: f, x and y, unless they are given. */
static ElVal attacked(El *el, AstId call, ElVal f, json_t *stage)
{
    const Ast *t = tree(el);
    const AstNode *n = ast(t, call);
    AdvSpan at = n->span;
    ElVal a = n->kind == AST_CALL ? ast(t, n->first)->kind == AST_ID
                                        ? el_lookup(el, el->recipe, NULL, ast(t, n->first)->name, ast(t, n->first)->span, true)
                                        : el_expr(el, el->recipe, NULL, n->first)
                                  : el_expr(el, el->recipe, NULL, call);
    if (el_bad(a)) return a;
    if (a.kind != EL_FN || a.fn->kind != EL_FN_TEMPLATE)
        return el_error(el, ADV_D_NOT_CALLABLE, at, "an entry of `attacks` is an attack, but this is %s", el_describe(el, a));
    uint32_t n_given = 0, n_args = 0;
    ElArg *given = n->kind == AST_CALL ? el_args(el, el->recipe, NULL, call, 1, &n_given) : NULL;
    ElArg *args = ADV_NEW_ARRAY(el->arena, ElArg, n_given + 4);
    const char *supplied[3] = {"f", "x", "y"};
    ElVal values[3] = {f, el->x, el->y};
    for (uint32_t i = 0; i < n_given; i++) {
        if (el_bad(given[i].val)) return given[i].val;
        if (!given[i].name.i)
            return el_error(el, ADV_D_ARGUMENT, given[i].span,
                            "arguments of an attack in `attacks` are named, as in `mine(eps = 8/255)`: its first ones are supplied");
        if (!strcmp(adv_str(el->names, given[i].name), "eps") && given[i].val.kind == EL_NUMBER)
            el_json_set(el, stage, "eps", json_real(given[i].val.num));
        args[n_args++] = given[i];
    }
    for (uint32_t k = 0; k < 3; k++) {
        AdvStr name = adv_intern(el->names, supplied[k]);
        bool have = !el_has_param(el, a.fn, supplied[k]);
        for (uint32_t i = 0; i < n_given; i++) have |= given[i].name.i == name.i;
        if (!have) args[n_args++] = (ElArg){.name = name, .val = values[k], .span = at};
    }
    ElVal r = el_call(el, a.fn, args, n_args, at, NULL);
    if (r.kind == EL_LIST && r.n) r = r.list[0];
    return r;
}

static AdvStateId eval_slot(El *el, const char *name, uint8_t dtype)
{
    return el_slot(el, name, el_type(dtype, 1, &el->data.batch), ADV_STATE_SLOT, false);
}

static ElVal without_stop(const El *el, ElVal v)
{
    AdvNodeId def = adv_value(el->g, v.t)->def;
    while (def.i && adv_node_is(el->g, def, "stop_grad")) {
        v.t = adv_node_in(el->g, def, 0);
        def = adv_value(el->g, v.t)->def;
    }
    return v;
}

/* Is the attack's result a `worst`, as it is, by the evaluated function? Then its candidates can be stages. */
static uint32_t n_stages_of(El *el, ElVal f, ElVal x)
{
    const ElWorst *w = &el->worst;
    if (!w->out.i || x.kind != EL_TENSOR || without_stop(el, x).t.i != w->out.i || w->f.kind != f.kind) return 1;
    bool same = f.kind == EL_MODEL ? f.model == w->f.model && f.mode == w->f.mode : f.fn == w->f.fn;
    return same ? w->n : 1;
}

/* What an entry leaves for the host, of the images x and the logits z: right or wrong (NaN where the logits give no answer), label,
** distance. */
static void put_results(El *el, AdvSpan at, ElVal x, ElVal z)
{
    AdvValueId hit = el_n2(el, at, "eq", el_n1(el, at, "argmax", z.t), el->y.t), best = el_graph(el, el_reduce(el, at, "max", z));
    ElVal two[2] = {x, el->x}, d = el_elementwise(el, at, "-", "sub", two, 2, EL_NUM);
    d = x.norm == EL_L2 ? el_reduce(el, at, "norm2", d) : el_reduce(el, at, "max", el_elementwise(el, at, "abs", "abs", &d, 1, EL_NUM));
    hit = el_n2(el, at, "add", hit, el_n2(el, at, "sub", best, best)); /* 0, or NaN where best is not finite */
    el_state_set(el, eval_slot(el, "eval.correct", ADV_F32), el_n2(el, at, "mul", hit, el->mask.t));
    el_state_set(el, eval_slot(el, "eval.y", ADV_I32), el->y.t);
    el_state_set(el, eval_slot(el, "eval.dist", ADV_F32), el_n2(el, at, "mul", el_graph(el, d), el->mask.t));
}

typedef struct Entry { const char *name, *entry; AstId call; AdvSpan at; } Entry;

/* Makes one entry; returns into how many stages it could be split, or 0 after errors. */
static uint32_t make_entry(El *el, Eval *e, const Entry *n, json_t *stage)
{
    AdvSpan at = n->at;
    uint64_t pick_place = el->worst.pick_place;
    uint32_t pick = el->worst.pick;
    el->worst = (ElWorst){.is_on = true, .pick_place = pick_place, .pick = pick};
    el->in_eval = true;
    el_entry_begin(el, n->entry, at, el->data.batch);
    AdvStateId ids = eval_slot(el, "eval.ids", ADV_I64), mask = eval_slot(el, "eval.mask", ADV_F32);
    el->mask = el_tensor(el, el_state(el, mask), ADV_RATE_SAMPLE, EL_COND, at);
    bool ok = el_data_fetch(el, el_state(el, ids), !strcmp(e->split, "test"), false);
    ElVal f = ok ? classifier(el, e) : el_poison(at);
    if (ok && !el_bad(f)) el_prepare(el, n->call);
    bool is_clean = !strcmp(n->name, "clean") && ast(tree(el), n->call)->kind == AST_ID;
    ElVal x = el_bad(f) ? f : is_clean ? el->x : attacked(el, n->call, f, stage);
    ElVal z = el_bad(x) ? x : call_function(el, f, x, e->at);
    if (!el_bad(z) && (z.kind != EL_TENSOR || z.rate != ADV_RATE_SAMPLE || el_rank(el, z) != 1))
        z = el_error(el, ADV_D_SHAPE_FIT, e->at, "`of` must give one number per class, [N,K], but gives %s", el_describe(el, z));
    if (!el_bad(z) && el_rank(el, x) != el->data.rank)
        z = el_error(el, ADV_D_SHAPE_FIT, at, "an attack gives images like x, but this gives %s", el_describe(el, x));
    uint32_t n_stages = el_bad(z) ? 0 : n_stages_of(el, f, x);
    if (!el_bad(z)) {
        put_results(el, at, x, z);
        is_clean |= pick_place && without_stop(el, x).t.i == el->x.t.i; /* a candidate may be the clean images */
        if (!is_clean) el_json_set(el, stage, "norm", json_string(x.norm == EL_L2 ? "l2" : "linf"));
    }
    el_entry_end(el);
    el->in_eval = el->worst.is_on = false;
    return n_stages;
}

/* The last stage has the entry's name and result; those before it are name.1, name.2, ... */
static json_t *stage_json(El *el, const char *name, const char *entry, bool is_first, bool is_last, const char *result)
{
    json_t *stage = json_pack("{s:s, s:s, s:s}", "name", name, "entry", entry, "among", is_first ? "all" : "alive");
    if (!is_last) return stage;
    el_json_set(el, stage, "result", json_string(result));
    const char *per_class = adv_arena_printf(el->arena, "%s.per_class", result);
    if (adv_state_find(el->g, adv_intern(el->names, per_class)).i) el_json_set(el, stage, "per_class", json_string(per_class));
    return stage;
}

static void one_entry(El *el, Eval *e, AstId item)
{
    AstId call;
    const char *name = entry_name(el, item, &call);
    AdvSpan at = ast(tree(el), call)->span;
    if (!name) {
        el_error(el, ADV_D_NOT_CALLABLE, at, "an entry of `attacks` is the name of an attack, or a call of one");
        return;
    }
    const char *result = adv_arena_printf(el->arena, "%s.%s", e->name, name), *entry = adv_arena_printf(el->arena, "eval.%s", result);
    json_t *stage = stage_json(el, name, entry, true, true, result);
    el->worst.pick_place = 0;
    uint32_t n = make_entry(el, e, &(Entry){name, entry, call, at}, stage);
    if (n < 2) {
        el_json_push(el, e->stages, stage);
        return;
    }
    json_decref(stage);
    el->g->entries.n--;  /* made again, a candidate at a time */
    el->worst.pick_place = el->worst.place;
    for (uint32_t k = 0; k < n; k++) {
        bool is_last = k == n - 1;
        const char *own = is_last ? name : adv_arena_printf(el->arena, "%s.%u", name, k + 1);
        const char *own_entry = is_last ? entry : adv_arena_printf(el->arena, "%s.%u", entry, k + 1);
        stage = stage_json(el, own, own_entry, k == 0, is_last, result);
        el->worst.pick = k;
        (void)make_entry(el, e, &(Entry){name, own_entry, call, at}, stage);
        el_json_push(el, e->stages, stage);
    }
    el->worst.pick_place = 0;
}

static bool read_eval(El *el, ElItem *it, Eval *e)
{
    static const char *const keys[] = {"on", "of", "attacks", "every", NULL};
    const Ast *t = tree(el);
    *e = (Eval){.name = adv_str(el->names, ast(t, it->node)->name2), .block = el_section_block(el, it), .at = ast(t, it->node)->key};
    if (!e->name[0]) {
        el_error(el, ADV_D_SECTION_MISSING, e->at, "an `eval` needs a name, as in `eval final { }`");
        return false;
    }
    if (!el_section_check(el, e->block, "eval", keys) || !read_on(el, e)) return false;
    AstId every = el_section_key(el, e->block, "every");
    return !every.i || el_int(el, el_const_expr(el, el->recipe, NULL, every, "`every`"), "`every`", 1, 1 << 20, &e->every);
}

/* Does the recipe read eval.name.per_class? Only then is there such a state. */
static bool is_read(El *el, AstId id, const char *eval, const char *name)
{
    const Ast *t = tree(el);
    const AstNode *n = ast(t, id), *mid = n->kind == AST_DOT ? ast(t, n->first) : NULL;
    if (mid && mid->kind == AST_DOT && !strcmp(adv_str(el->names, n->name), "per_class") && !strcmp(adv_str(el->names, mid->name), name) &&
        ast(t, mid->first)->kind == AST_ID && !strcmp(adv_str(el->names, ast(t, mid->first)->name), eval)) return true;
    for (AstId c = n->first; c.i; c = ast(t, c)->next)
        if (is_read(el, c, eval, name)) return true;
    return false;
}

/* Results are states, so that `keep`, `stop` and `epoch` blocks may read them: made before any entry. */
bool el_eval_results(El *el)
{
    const Ast *t = tree(el);
    for (uint32_t i = 0; i < el->recipe->items.n; i++) {
        ElItem *it = el->recipe->items.at[i];
        if (it->kind != EL_ITEM_SECTION || strcmp(adv_str(el->names, it->name), "eval")) continue;
        AstId block = el_section_block(el, it), list = el_section_key(el, block, "attacks");
        if (!list.i || ast(t, list)->kind != AST_LIST || !ast(t, list)->first.i) {
            el_error(el, ADV_D_SECTION_MISSING, it->at, "an `eval` needs `attacks = [clean, ...]`");
            return false;
        }
        for (AstId c = ast(t, list)->first; c.i; c = ast(t, c)->next) {
            AstId call;
            const char *name = entry_name(el, c, &call);
            if (!name) continue;
            const char *full = adv_arena_printf(el->arena, "%s.%s", adv_str(el->names, ast(t, it->node)->name2), name);
            if (adv_state_find(el->g, adv_intern(el->names, full)).i) {
                AdvDiag *d = el_diag(el, ADV_D_DUPLICATE, ast(t, c)->span, "two entries of this evaluation are called `%s`", name);
                adv_diag_help(d, "give one a name of its own, as in `[weak: mine(eps = 4/255)]`");
                return false;
            }
            el_slot(el, full, el_type(ADV_F32, 0, NULL), ADV_STATE_SCALAR, true);
            const char *per_class = adv_arena_printf(el->arena, "%s.per_class", full);
            if (is_read(el, t->root, adv_str(el->names, ast(t, it->node)->name2), name))
                el_slot(el, per_class, el_type(ADV_F32, 1, &el->data.classes), ADV_STATE_TABLE, true);
        }
    }
    return true;
}

bool el_evals(El *el)
{
    const Ast *t = tree(el);
    for (uint32_t i = 0; i < el->recipe->items.n; i++) {
        ElItem *it = el->recipe->items.at[i];
        Eval e;
        if (it->kind != EL_ITEM_SECTION || strcmp(adv_str(el->names, it->name), "eval")) continue;
        if (!read_eval(el, it, &e)) continue;
        e.stages = json_array();
        AstId list = el_section_key(el, e.block, "attacks");
        for (AstId c = ast(t, list)->first; c.i; c = ast(t, c)->next) one_entry(el, &e, c);
        el_lint_eval_radii(el, e.name, ast(t, list)->span);
        el_json_push(el, el->evals,
                     json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o}", "name", e.name, "split", e.split, "first_id", (json_int_t)e.first_id,
                               "n", (json_int_t)e.n, "batch", (json_int_t)el->data.batch, "every", (json_int_t)e.every, "stages",
                               e.stages));
    }
    return true;
}
