/* program.c: a whole recipe: phases, the run, and the program table (runtime/plan.h) that says which entry runs when. */
#include "compiler/elab/elab.h"

#include <string.h>

/* What the runtime takes, runtime/program_def.c: */
#define MAX_STEPS (INT64_C(1) << 40) /* of a run */
#define MAX_LIST  4096               /* of one list of the program */

static const Ast *tree(const El *el) { return el->recipe->ast; }
static bool is_section(El *el, const ElItem *it, const char *word)
{
    return it->kind == EL_ITEM_SECTION && !strcmp(adv_str(el->names, it->name), word);
}

static AdvStr intern(El *el, const char *s) { return adv_intern(el->names, s); }

/* ---- train and run ---- */

static bool train_int(El *el, AstId block, const char *key, int64_t lo, int64_t hi, int64_t *io)
{
    bool found;
    const char *full = adv_arena_printf(el->arena, "train.%s", key);
    ElVal v = el_override(el, full, &found);
    AstId id = block.i ? el_section_key(el, block, key) : (AstId){0};
    if (!found && !id.i) return true;
    if (!found) v = el_const_expr(el, el->recipe, NULL, id, key);
    return el_int(el, v, adv_arena_printf(el->arena, "`%s`", key), lo, hi, io);
}

static bool read_train(El *el, AstId *out_block)
{
    static const char *const keys[] = {"epochs", "seed", "keep", "stop", NULL};
    ElItem *it = el_section(el, "train");
    el->seed = 1;
    if (!it) {
        el_error(el, ADV_D_SECTION_MISSING, (AdvSpan){el->recipe->file, 0, 0}, "a recipe needs `train { epochs = 10; seed = 1 }`");
        return false;
    }
    AstId block = el_section_block(el, it);
    *out_block = block;
    if (!el_section_check(el, block, "train", keys)) return false;
    if (!train_int(el, block, "epochs", 1, 1 << 20, &el->epochs) || !train_int(el, block, "seed", 0, INT64_C(1) << 52, &el->seed))
        return false;
    if (!el->epochs) el_error(el, ADV_D_SECTION_MISSING, it->at, "`train` needs `epochs`");
    if (el->epochs * el->steps > MAX_STEPS) {
        AdvDiag *d = el_diag(el, ADV_D_OUT_OF_RANGE, it->at, "%lld epochs of %lld steps are more than a run can count",
                             (long long)el->epochs, (long long)el->steps);
        adv_diag_help(d, "train for fewer epochs, or with a larger `batch`");
        return false;
    }
    return el->epochs > 0;
}

/* best(quick.strong) -> "quick.strong" */
static const char *read_keep(El *el, AstId block)
{
    const Ast *t = tree(el);
    AstId keep = el_section_key(el, block, "keep");
    if (!keep.i) return NULL;
    AstId callee = ast(t, keep)->first, arg = ast(t, keep)->kind == AST_CALL ? ast_child(t, keep, 1) : (AstId){0};
    AstId dot = arg.i ? ast(t, arg)->first : (AstId){0};
    const AstNode *d = ast(t, dot);
    if (dot.i && ast(t, callee)->kind == AST_ID && !strcmp(adv_str(el->names, ast(t, callee)->name), "best") && d->kind == AST_DOT &&
        ast(t, d->first)->kind == AST_ID) {
        const char *eval = adv_str(el->names, ast(t, d->first)->name),
                   *full = adv_arena_printf(el->arena, "%s.%s", eval, adv_str(el->names, d->name));
        if (!adv_state_find(el->g, intern(el, full)).i) {
            el_error(el, ADV_D_UNKNOWN_NAME, d->span, "no evaluation gives `%s`", full);
            return NULL;
        }
        for (uint32_t i = 0; i < el->recipe->items.n; i++) {
            ElItem *it = el->recipe->items.at[i];
            if (!is_section(el, it, "eval") || strcmp(adv_str(el->names, ast(t, it->node)->name2), eval)) continue;
            if (!el_section_key(el, el_section_block(el, it), "every").i)
                el_error(el, ADV_D_SECTION_MISSING, d->span, "`%s` runs only at the end: give it `every = 1` to choose weights by it",
                         eval);
        }
        el_lint_selection(el, eval, d->span, "which weights are kept, so their test accuracy is too good");
        for (size_t i = 0; i < json_array_size(el->evals); i++) {
            const json_t *e = json_array_get(el->evals, i);
            if (strcmp(json_string_value(json_object_get(e, "name")), eval)) continue;
            if (json_integer_value(json_object_get(e, "every")) > el->epochs)
                el_diag(el, ADV_D_SIGNAL_UNUSED, ast(t, keep)->span,
                        "training ends after epoch %lld, before `%s` runs, so no weights are kept", (long long)el->epochs, eval);
        }
        return full;
    }
    el_error(el, ADV_D_ARGUMENT_KIND, ast(t, keep)->span, "`keep` names a result, as in `best(quick.strong)`");
    return NULL;
}

static void read_run(El *el, json_t *j)
{
    static const char *const keys[] = {"precision", "deterministic", "device", NULL};
    static const char *const values[3][4] = {{"f32", "bf16", "tf32"}, {NULL}, {"auto", "cpu", "cuda"}};
    ElItem *it = el_section(el, "run");
    el_json_set(el, j, "precision", json_string("f32"));
    el_json_set(el, j, "deterministic", json_false());
    el_json_set(el, j, "device", json_string("auto"));
    AstId block = it ? el_section_block(el, it) : (AstId){0};
    if (it && !el_section_check(el, block, "run", keys)) return;
    for (size_t k = 0; keys[k]; k++) {
        bool found;
        ElVal v = el_override(el, adv_arena_printf(el->arena, "run.%s", keys[k]), &found);
        AstId id = it ? el_section_key(el, block, keys[k]) : (AstId){0};
        if (!found && !id.i) continue;
        const AstNode *n = ast(tree(el), id);
        bool is_word = n->kind == AST_ID && !el_item(el, el->recipe, n->name); /* one that means nothing has the list of those that do */
        if (!found) v = is_word ? (ElVal){.kind = EL_NAME, .name = n->name, .span = n->span}
                                : el_const_expr(el, el->recipe, NULL, id, keys[k]);
        size_t known = 0;
        while (values[k][known] && (v.kind != EL_NAME || strcmp(values[k][known], adv_str(el->names, v.name)))) known++;
        if (k == 1 && v.kind == EL_NUMBER) el_json_set(el, j, keys[k], json_boolean(v.num != 0));
        else if (values[k][known]) el_json_set(el, j, keys[k], json_string(adv_str(el->names, v.name)));
        else if (!el_bad(v)) {
            AdvDiag *d = el_diag(el, ADV_D_ARGUMENT_KIND, v.span, "`%s` cannot be %s", keys[k], el_describe(el, v));
            if (k == 1) adv_diag_help(d, "it is 0 or 1");
            else el_diag_keys(el, d, v.kind == EL_NAME ? adv_str(el->names, v.name) : "", values[k]);
        }
    }
}

/* ---- phases ---- */

static void phase_section(El *el, ElPhase *ph, AstId st)
{
    const AstNode *n = ast(tree(el), st);
    for (uint32_t i = 0; i < ph->items.n; i++)
        if (ph->items.at[i]->kind == EL_ITEM_SECTION && ph->items.at[i]->name.i == n->name.i)
            adv_diag_note(el_diag(el, ADV_D_DUPLICATE, n->key, "this phase has `%s` twice", adv_str(el->names, n->name)),
                          ph->items.at[i]->at, "first here");
    el_add_named(el, el->recipe, &ph->items, EL_ITEM_SECTION, st);
}

static void phase_items(El *el, ElPhase *ph, AstId block)
{
    const Ast *t = tree(el);
    for (AstId st = ast(t, block)->first; st.i; st = ast(t, st)->next) {
        const AstNode *n = ast(t, st);
        const char *word = n->kind == AST_SECTION ? adv_str(el->names, n->name) : "";
        if (n->kind == AST_ASSIGN) el_add_equation(el, el->recipe, &ph->items, st);
        else if (n->kind == AST_SIGNAL) el_add_named(el, el->recipe, &ph->items, EL_ITEM_SIGNAL, st);
        else if (!strcmp(word, "step") || !strcmp(word, "budget")) phase_section(el, ph, st);
        else if (n->kind != AST_ERROR)
            el_error(el, ADV_D_STMT_PLACE, n->span, "a `phase` replaces equations, signals, the `budget` or the `step`");
    }
}

static bool read_phase(El *el, ElItem *it)
{
    const Ast *t = tree(el);
    const AstNode *n = ast(t, it->node);
    ElPhase *ph = ADV_NEW(el->arena, ElPhase);
    *ph = (ElPhase){.name = n->name2, .node = it->node, .at = n->key};
    AstId arg = n->flags & AST_HAS_PARAMS ? ast(t, n->first)->first : (AstId){0};
    ElVal r = arg.i ? el_const_expr(el, el->recipe, NULL, ast(t, arg)->first, "`epochs`") : el_poison(n->key);
    if (arg.i && el_bad(r)) return false;
    if (!arg.i || ast(t, arg)->next.i || !ph->name.i || strcmp(adv_str(el->names, ast(t, arg)->name), "epochs") || r.kind != EL_RANGE) {
        el_error(el, ADV_D_PHASES, n->key, "a phase has a name and its epochs, as in `phase warm(epochs = 1 .. 80) { }`");
        return false;
    }
    if (!el_int(el, r.list[0], "the first epoch", 1, 1 << 20, &ph->from) ||
        !el_int(el, r.list[1], "the last epoch", ph->from, 1 << 20, &ph->to))
        return false;
    if (!strcmp(adv_str(el->names, ph->name), "main")) {
        el_error(el, ADV_D_DUPLICATE, n->key, "`main` is the name of the epochs outside of phases");
        return false;
    }
    for (uint32_t i = 0; i < el->phases.n; i++)
        if (el->phases.at[i]->from <= ph->to && ph->from <= el->phases.at[i]->to) {
            AdvDiag *d = el_diag(el, ADV_D_PHASES, n->key, "phases `%s` and `%s` share epochs", adv_str(el->names, el->phases.at[i]->name),
                                 adv_str(el->names, ph->name));
            adv_diag_note(d, el->phases.at[i]->at, "the other one is here");
            return false;
        }
    phase_items(el, ph, el_section_block(el, it));
    *ADV_PUSH(el->arena, &el->phases) = ph;
    return true;
}

static json_t *phase_json(El *el, const ElPhase *ph, int64_t from, int64_t to)
{
    const char *name = adv_str(el->names, ph->name);
    return json_pack("{s:s, s:I, s:I, s:[s, s], s:n}", "name", name, "from", (json_int_t)from, "to", (json_int_t)to, "entries", "batch",
                     adv_arena_printf(el->arena, "step.%s", name), "epoch");
}

/* Phases in order of epochs, the gaps between them as phase `main`. */
static void phases(El *el, json_t *list)
{
    for (uint32_t i = 0; i < el->recipe->items.n; i++)
        if (is_section(el, el->recipe->items.at[i], "phase") && !read_phase(el, el->recipe->items.at[i])) return;
    ElPhase *main_phase = NULL;
    int64_t next = 1;
    for (uint32_t i = 0; i < el->phases.n; i++) el_step_entry(el, el->phases.at[i]);
    while (next <= el->epochs) {
        ElPhase *here = NULL;
        int64_t until = el->epochs;
        for (uint32_t i = 0; i < el->phases.n; i++) {
            ElPhase *p = el->phases.at[i];
            if (p->from <= next && next <= p->to) here = p;
            else if (p->from > next && p->from - 1 < until) until = p->from - 1;
        }
        if (here && here->to < until) until = here->to;
        if (!here) {
            if (!main_phase && el->phases.n && !el_section(el, "step")) {
                AdvDiag *d = el_diag(el, ADV_D_PHASES, el->phases.at[0]->at,
                                     next == until ? "epoch %lld has no `step`: no phase holds it"
                                                   : "epochs %lld .. %lld have no `step`: no phase holds them",
                                     (long long)next, (long long)until);
                adv_diag_help(d, "a `step` outside of phases is that of all other epochs");
                return;
            }
            if (!main_phase) {
                main_phase = ADV_NEW(el->arena, ElPhase);
                main_phase->name = intern(el, "main");
                el_step_entry(el, main_phase);
            }
            here = main_phase;
        }
        el_json_push(el, list, phase_json(el, here, next, until));
        next = until + 1;
    }
    for (uint32_t i = 0; i < el->phases.n; i++)
        if (el->phases.at[i]->from > el->epochs)
            el_diag(el, ADV_D_SIGNAL_UNUSED, el->phases.at[i]->at, "training ends after epoch %lld, before this phase begins",
                    (long long)el->epochs);
}

/* ---- after an epoch ---- */

static bool epoch_block(El *el, AstId block)
{
    const Ast *t = tree(el);
    ElScope *s = el_scope_new(el, NULL);
    for (AstId st = ast(t, block)->first; st.i; st = ast(t, st)->next) {
        const AstNode *n = ast(t, st);
        if (n->kind == AST_ASSIGN && !el_own_names(el, st)) return false;
        if (n->kind == AST_ASSIGN ? !el_assign(el, el->recipe, s, st) : n->kind == AST_UPDATE && !el_update(el, s, st)) return false;
        if (n->kind == AST_ASSIGN || n->kind == AST_UPDATE) continue;
        if (n->kind != AST_ERROR)
            el_error(el, ADV_D_STMT_PLACE, n->span,
                     "an `epoch` block gives new values to models and to `once` and `per_class` states with `<-`");
        return false;
    }
    return true;
}

/* The `epoch` blocks of items from .. to-1, as part of the present entry. */
static void epoch_blocks(El *el, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        if (is_section(el, el->recipe->items.at[i], "epoch") && !epoch_block(el, el_section_block(el, el->recipe->items.at[i]))) return;
}

static bool has_epoch_blocks(El *el, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        if (is_section(el, el->recipe->items.at[i], "epoch")) return true;
    return false;
}

static void read_stop(El *el, AstId stop)
{
    ElVal v = el_expr(el, el->recipe, NULL, stop);
    AdvStateId s = el_slot(el, "train.stop", el_type(ADV_F32, 0, NULL), ADV_STATE_SCALAR, true);
    if (!el_bad(v) && (!el_is_value(v) || v.rate == ADV_RATE_SAMPLE || el_rank(el, v)))
        el_error(el, ADV_D_RATE, v.span, "`stop` is one condition per epoch, but this is %s", el_describe(el, v));
    else if (!el_bad(v)) el_state_set(el, s, el_graph(el, v));
}

/* One entry of `epoch` blocks and, as the last, `stop`, which sees the values that the blocks see. */
static const char *epoch_entry(El *el, const char *name, uint32_t from, uint32_t to, AstId stop)
{
    if (!stop.i && !has_epoch_blocks(el, from, to)) return NULL;
    el_entry_begin(el, name, stop.i ? ast(tree(el), stop)->span : el_section(el, "epoch")->at, 0);
    epoch_blocks(el, from, to);
    if (stop.i) read_stop(el, stop);
    (void)el_flush(el, 0);
    el_entry_end(el);
    return name;
}

/* What runs after each epoch. Blocks that stand before an evaluation run before it: the entry is its `before`. */
static const char *after_epoch(El *el, AstId train, const char **out_stop)
{
    AstId stop = el_section_key(el, train, "stop");
    uint32_t from = 0, k = 0;
    for (uint32_t i = 0; i < el->recipe->items.n && k < json_array_size(el->evals); i++) {
        if (!is_section(el, el->recipe->items.at[i], "eval")) continue;
        json_t *e = json_array_get(el->evals, k++);
        const char *name =
            epoch_entry(el, adv_arena_printf(el->arena, "epoch.%s", json_string_value(json_object_get(e, "name"))), from, i, (AstId){0});
        if (name) el_json_set(el, e, "before", json_string(name));
        from = i;
    }
    *out_stop = stop.i ? "train.stop" : NULL;
    return epoch_entry(el, "after_epoch", from, el->recipe->items.n, stop);
}

/* ---- the whole ---- */

static void check_overrides(El *el)
{
    for (uint32_t i = 0; i < el->overrides.n; i++) {
        const ElOverride *o = &el->overrides.at[i];
        if (o->used) continue;
        const char *name = adv_str(el->names, o->key);
        AdvDiag *d = el_diag(el, ADV_D_OVERRIDE, o->at, "nothing that can be set is called `%s`", name);
        static const char *const fixed[] = {"train.epochs", "train.seed", "run.precision", "run.deterministic", "run.device"};
        const char **known = ADV_NEW_ARRAY(el->arena, const char *, el->recipe->items.n + 6);
        uint32_t n = 0;
        for (uint32_t k = 0; k < 5; k++) known[n++] = fixed[k];
        for (uint32_t k = 0; k < el->recipe->items.n; k++)
            if (el->recipe->items.at[k]->kind == EL_ITEM_PARAM) known[n++] = adv_str(el->names, el->recipe->items.at[k]->name);
        const char *near = adv_nearest(name, known, n);
        for (uint32_t k = 0; k < 5; k++)
            if (!strcmp(strchr(fixed[k], '.') + 1, name)) near = fixed[k];
        if (near) adv_diag_help(d, "did you mean `%s`?", near);
        adv_diag_help(d, "`--set` takes a `param` of the recipe, or a key of `train` or `run`, as in `train.seed`");
    }
}

/* `optim` names models. */
static void check_optims(El *el)
{
    const Ast *t = tree(el);
    for (uint32_t i = 0; i < el->recipe->items.n; i++) {
        if (el->recipe->items.at[i]->kind != EL_ITEM_OPTIM) continue;
        for (AstId n = ast(t, ast(t, el->recipe->items.at[i]->node)->first)->first; n.i; n = ast(t, n)->next) {
            ElVal v = el_lookup(el, el->recipe, NULL, ast(t, n)->name, ast(t, n)->span, true);
            if (!el_bad(v) && v.kind != EL_MODEL)
                el_error(el, ADV_D_ARGUMENT_KIND, ast(t, n)->span, "an optimiser is for a model, but this is %s", el_describe(el, v));
        }
    }
}

static void unused(El *el, const ElItem *it)
{
    static const char *const what[] = {[EL_ITEM_PARAM] = "uses", [EL_ITEM_FN] = "calls",      [EL_ITEM_MODEL] = "calls",
                                       [EL_ITEM_STATE] = "uses", [EL_ITEM_EQUATION] = "uses", [EL_ITEM_SIGNAL] = "uses"};
    const char *so = it->kind == EL_ITEM_FN                                       ? ", so no more than its syntax is checked"
                     : it->kind == EL_ITEM_EQUATION || it->kind == EL_ITEM_SIGNAL ? ", so it is not computed"
                                                                                  : "";
    el_diag(el, ADV_D_SIGNAL_UNUSED, it->at, "nothing %s `%s`%s", what[it->kind], adv_str(el->names, it->name), so);
}

/* One warning, at the first optimiser: those of the others would say less. */
static void warn_nothing_trains(El *el, const ElItem *optim)
{
    const Ast *t = tree(el);
    AdvStr model = ast(t, ast(t, ast(t, optim->node)->first)->first)->name;
    AdvDiag *d = el_diag(el, ADV_D_SIGNAL_UNUSED, optim->at, "nothing trains: no step moves the weights of a model");
    adv_diag_help(d, "write `minimize e over %s` in the `step`", adv_str(el->names, model));
    el->trains = true;
}

/* Models that nothing calls are made all the same, so that what is wrong with one is said. */
static void check_models(El *el)
{
    for (uint32_t i = 0; i < el->recipe->items.n; i++) {
        ElItem *it = el->recipe->items.at[i];
        if (it->kind != EL_ITEM_MODEL || it->used) continue;
        (void)el_item_value(el, it);
        it->used = false;
    }
}

static void warn_unused(El *el)
{
    ElItem *budget = el_section(el, "budget");
    if (budget && !el->budget_seen) el_diag(el, ADV_D_SIGNAL_UNUSED, budget->at, "nothing uses `eps`, so the budget is not computed");
    for (uint32_t i = 0; i < el->recipe->items.n; i++) {
        ElItem *it = el->recipe->items.at[i];
        if (it->used || it->kind == EL_ITEM_SECTION) continue;
        if (it->kind == EL_ITEM_OPTIM && el->trains) el_diag(el, ADV_D_SIGNAL_UNUSED, it->at, "no update uses this optimiser");
        else if (it->kind == EL_ITEM_OPTIM) warn_nothing_trains(el, it);
        else unused(el, it);
    }
}

static json_t *data_json(const El *el)
{
    const ElData *d = &el->data;
    if (!d->set) return json_null();
    return json_pack("{s:s, s:I, s:I}", "name", d->name, "train", (json_int_t)d->set->n_train, "test", (json_int_t)d->set->n_test);
}

static json_t *log_json(El *el)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < el->logs.n; i++) {
        const ElLog *l = &el->logs.at[i];
        json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "name", adv_str(el->names, l->name), "state",
                              adv_str(el->names, el->g->states.at[l->state.i].name), "kind", l->per_sample ? "sample" : "number", "unit",
                              l->is_eps ? "1/255" : "");
        if (l->within.is_known) el_json_set(el, o, "within", json_pack("[f, f]", l->within.lo, l->within.hi));
        json_t *in = el->phases.n ? json_array() : NULL;
        for (uint32_t k = 0; in && k < l->phases.n; k++) el_json_push(el, in, json_string(adv_str(el->names, l->phases.at[k])));
        if (el->phases.n) el_json_set(el, o, "phases", in);
        el_json_push(el, list, o);
    }
    return list;
}

static void check_list(El *el, const json_t *list, const char *what)
{
    if (json_array_size(list) <= MAX_LIST) return;
    AdvDiag *d = el_diag(el, ADV_D_TOO_BIG, (AdvSpan){el->recipe->file, 0, 0}, "this recipe has %zu %s, and a plan holds at most %d",
                         json_array_size(list), what, MAX_LIST);
    adv_diag_help(d, "split it into several recipes");
}

static void check_lists(El *el, const json_t *program)
{
    static const struct { const char *key, *what; } lists[] = {
        {"phases", "stretches of epochs"}, {"evals", "evaluations"}, {"log", "logged values"}, {"params", "parameters"},
        {"weights", "models with weights of a file"}};
    size_t i;
    const json_t *e;
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) check_list(el, json_object_get(program, lists[k].key), lists[k].what);
    json_array_foreach(el->evals, i, e) check_list(el, json_object_get(e, "stages"), "entries of one evaluation");
}

bool el_recipe(El *el, uint32_t file, json_t **out_program)
{
    json_t *p = *out_program = json_object(), *ph = json_array(), *run = json_object();  /* owned from the start: errors leave early */
    el->params_json = json_array();
    el->evals = json_array();
    el_json_set(el, p, "phases", ph);
    el_json_set(el, p, "evals", el->evals);
    el_json_set(el, p, "run", run);
    el_json_set(el, p, "params", el->params_json);
    ElModule *m = el_recipe_load(el, file);
    if (el->ds->n_errors) return false;
    AstId train = {0};
    el_data_read(el);
    if (!read_train(el, &train) || !el->data.given || !el_eval_results(el)) return false;
    for (uint32_t i = 0; i < m->items.n; i++)
        if (m->items.at[i]->kind == EL_ITEM_PARAM) {
            bool was_used = m->items.at[i]->used;  /* by `data`, which is read before */
            (void)el_item_value(el, m->items.at[i]);
            m->items.at[i]->used = was_used;
        }
    el_data_entry(el);
    if (el->ds->n_errors) return false;
    phases(el, ph);
    read_run(el, run);
    check_optims(el);
    if (!el->ds->n_errors) el_evals(el);
    const char *keep = read_keep(el, train), *stop = NULL, *after = el->ds->n_errors ? NULL : after_epoch(el, train, &stop);
    if (!el->ds->n_errors) el_init_entry(el);
    check_overrides(el);
    check_models(el);
    if (!el->ds->n_errors) warn_unused(el);
    json_t *shape = json_array();
    for (uint32_t i = 0; i < el->data.rank; i++) el_json_push(el, shape, json_integer(el->data.dim[i]));
    el_json_set(el, p, "seed", json_integer(el->seed));
    el_json_set(el, p, "batch", json_integer(el->data.batch));
    el_json_set(el, p, "epochs", json_integer(el->epochs));
    el_json_set(el, p, "steps", json_integer(el->steps));
    el_json_set(el, p, "classes", json_integer(el->data.classes));
    el_json_set(el, p, "shape", shape);
    el_json_set(el, p, "data", data_json(el));
    el_json_set(el, p, "keep", keep ? json_string(keep) : json_null());
    el_json_set(el, p, "stop", stop ? json_string(stop) : json_null());
    el_json_set(el, p, "after_epoch", after ? json_string(after) : json_null());
    el_json_set(el, p, "log", log_json(el));
    el_json_set(el, p, "weights", el_weights_json(el));
    check_lists(el, p);
    return el->ds->n_errors == 0;
}
