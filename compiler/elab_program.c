/* elab_program.c: a whole recipe: phases, the run, and the program table (runtime/plan.h) that says which entry runs when. */
#include "compiler/elab.h"

#include <string.h>

static const Ast *tree(const El *el) { return el->recipe->ast; }
static bool is_section(El *el, const ElItem *it, const char *word) { return it->kind == EL_ITEM_SECTION && !strcmp(adv_str(el->names, it->name), word); }

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
    if (!train_int(el, block, "epochs", 1, 1 << 20, &el->epochs) || !train_int(el, block, "seed", 0, INT64_C(1) << 52, &el->seed)) return false;
    if (!el->epochs) el_error(el, ADV_D_SECTION_MISSING, it->at, "`train` needs `epochs`");
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
    if (dot.i && ast(t, callee)->kind == AST_ID && !strcmp(adv_str(el->names, ast(t, callee)->name), "best") && d->kind == AST_DOT && ast(t, d->first)->kind == AST_ID) {
        const char *eval = adv_str(el->names, ast(t, d->first)->name), *full = adv_arena_printf(el->arena, "%s.%s", eval, adv_str(el->names, d->name));
        if (!adv_state_find(el->g, intern(el, full)).i) {
            el_error(el, ADV_D_UNKNOWN_NAME, d->span, "no evaluation gives `%s`", full);
            return NULL;
        }
        for (uint32_t i = 0; i < el->recipe->items.n; i++) {
            ElItem *it = el->recipe->items.at[i];
            if (!is_section(el, it, "eval") || strcmp(adv_str(el->names, ast(t, it->node)->name2), eval)) continue;
            AstId b = el_section_block(el, it), on = el_section_key(el, b, "on");
            if (!el_section_key(el, b, "every").i) el_error(el, ADV_D_SECTION_MISSING, d->span, "`%s` runs only at the end: give it `every = 1` to choose weights by it", eval);
            AstId base = on.i && ast(t, on)->kind == AST_CALL ? ast(t, ast(t, on)->first)->first : on;
            if (!base.i || strcmp(adv_str(el->names, ast(t, base)->name), "test")) continue;
            AdvDiag *w = adv_diag(el->ds, ADV_D_TEST_SELECTION, d->span, "the test set decides which weights are kept, so their test accuracy is too good");
            adv_diag_help(w, "hold samples back with `val = 5000` in `data`, and evaluate `on = val`");
        }
        return full;
    }
    el_error(el, ADV_D_ARGUMENT_KIND, ast(t, keep)->span, "`keep` names a result, as in `best(quick.strong)`");
    return NULL;
}

static json_t *read_run(El *el)
{
    static const char *const keys[] = {"precision", "deterministic", "device", NULL};
    ElItem *it = el_section(el, "run");
    json_t *j = json_pack("{s:s, s:b, s:s}", "precision", "f32", "deterministic", 0, "device", "auto");
    if (!it) return j;
    AstId block = el_section_block(el, it);
    if (!el_section_check(el, block, "run", keys)) return j;
    for (size_t k = 0; keys[k]; k++) {
        bool found;
        ElVal v = el_override(el, adv_arena_printf(el->arena, "run.%s", keys[k]), &found);
        AstId id = el_section_key(el, block, keys[k]);
        if (!found && !id.i) continue;
        if (!found) v = el_const_expr(el, el->recipe, NULL, id, keys[k]);
        if (k == 1 && v.kind == EL_NUMBER) json_object_set_new(j, keys[k], json_boolean(v.num != 0));
        else if (k != 1 && v.kind == EL_NAME) json_object_set_new(j, keys[k], json_string(adv_str(el->names, v.name)));
        else if (!el_bad(v)) el_error(el, ADV_D_ARGUMENT_KIND, v.span, "`%s` is not for %s", keys[k], el_describe(el, v));
    }
    return j;
}

/* ---- phases ---- */

static void phase_items(El *el, ElPhase *ph, AstId block)
{
    const Ast *t = tree(el);
    for (AstId st = ast(t, block)->first; st.i; st = ast(t, st)->next) {
        const AstNode *n = ast(t, st);
        ElItem *it;
        if (n->kind == AST_ASSIGN) {
            uint32_t k = 0;
            for (AstId p = ast(t, n->first)->first; p.i; p = ast(t, p)->next) {
                it = *ADV_PUSH(el->arena, &ph->items) = ADV_NEW(el->arena, ElItem);
                *it = (ElItem){.name = ast(t, p)->name, .kind = EL_ITEM_EQUATION, .module = el->recipe, .node = st, .at = n->span, .out_ix = k++};
            }
        } else if (n->kind == AST_SIGNAL || (n->kind == AST_SECTION && (!strcmp(adv_str(el->names, n->name), "step") || !strcmp(adv_str(el->names, n->name), "budget")))) {
            it = *ADV_PUSH(el->arena, &ph->items) = ADV_NEW(el->arena, ElItem);
            *it = (ElItem){.name = n->name, .kind = n->kind == AST_SIGNAL ? EL_ITEM_SIGNAL : EL_ITEM_SECTION, .module = el->recipe, .node = st, .at = n->span};
        } else if (n->kind != AST_ERROR) {
            el_error(el, ADV_D_STMT_PLACE, n->span, "a `phase` replaces equations, signals, the `budget` or the `step`");
        }
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
    if (!arg.i || !ph->name.i || strcmp(adv_str(el->names, ast(t, arg)->name), "epochs") || r.kind != EL_RANGE) {
        el_error(el, ADV_D_PHASES, n->key, "a phase has a name and its epochs, as in `phase warm(epochs = 1 .. 80) { }`");
        return false;
    }
    if (!el_int(el, r.list[0], "the first epoch", 1, 1 << 20, &ph->from) || !el_int(el, r.list[1], "the last epoch", ph->from, 1 << 20, &ph->to)) return false;
    for (uint32_t i = 0; i < el->phases.n; i++)
        if (el->phases.at[i]->from <= ph->to && ph->from <= el->phases.at[i]->to) {
            AdvDiag *d = adv_diag(el->ds, ADV_D_PHASES, n->key, "phases `%s` and `%s` share epochs", adv_str(el->names, el->phases.at[i]->name), adv_str(el->names, ph->name));
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
    return json_pack("{s:s, s:I, s:I, s:[s, s], s:n}", "name", name, "from", (json_int_t)from, "to", (json_int_t)to, "entries", "batch", adv_arena_printf(el->arena, "step.%s", name), "epoch");
}

/* Phases in order of epochs, the gaps between them as phase `main`. */
static json_t *phases(El *el)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < el->recipe->items.n; i++)
        if (is_section(el, el->recipe->items.at[i], "phase") && !read_phase(el, el->recipe->items.at[i])) return list;
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
            if (!main_phase) {
                main_phase = ADV_NEW(el->arena, ElPhase);
                main_phase->name = intern(el, "main");
                el_step_entry(el, main_phase);
            }
            here = main_phase;
        }
        json_array_append_new(list, phase_json(el, here, next, until));
        next = until + 1;
    }
    return list;
}

/* ---- after an epoch ---- */

static bool epoch_block(El *el, AstId block)
{
    const Ast *t = tree(el);
    ElScope *s = el_scope_new(el, NULL);
    for (AstId st = ast(t, block)->first; st.i; st = ast(t, st)->next) {
        const AstNode *n = ast(t, st);
        if (n->kind == AST_ASSIGN) {
            if (!el_assign(el, el->recipe, s, st)) return false;
            continue;
        }
        const AstNode *path = ast(t, n->first);
        ElItem *it = n->kind == AST_UPDATE ? el_item(el, el->recipe, path->name) : NULL;
        if (!it || it->kind != EL_ITEM_STATE) {
            el_error(el, n->kind == AST_UPDATE ? ADV_D_UPDATE : ADV_D_STMT_PLACE, n->span, "an `epoch` block gives new values to `once` and `per_class` states with `<-`");
            return false;
        }
        ElVal v = el_expr(el, el->recipe, s, ast_child(t, st, 1));
        if (el_bad(v)) return false;
        ElVal p = {.kind = EL_LIST, .name = path->name, .span = n->span, .n = 1, .list = ADV_NEW_ARRAY(el->arena, ElVal, 1)};
        p.list[0] = v;
        *ADV_PUSH(el->arena, &el->pending) = p;
    }
    return true;
}

/* The entry run after each epoch: `epoch` blocks and `stop`. */
static const char *after_epoch(El *el, AstId train, const char **out_stop)
{
    AstId stop = el_section_key(el, train, "stop");
    ElItem *first = el_section(el, "epoch");
    *out_stop = NULL;
    if (!stop.i && !first) return NULL;
    el_entry_begin(el, "after_epoch", first ? first->at : ast(tree(el), stop)->span, 0);
    el->in_epoch = true;
    for (uint32_t i = 0; i < el->recipe->items.n; i++)
        if (is_section(el, el->recipe->items.at[i], "epoch") && !epoch_block(el, el_section_block(el, el->recipe->items.at[i]))) break;
    if (stop.i) {
        ElVal v = el_expr(el, el->recipe, NULL, stop);
        AdvStateId s = el_slot(el, "train.stop", el_type(ADV_F32, 0, NULL), ADV_STATE_SCALAR, true);
        if (!el_bad(v) && (!el_is_value(v) || v.rate == ADV_RATE_SAMPLE || el_rank(el, v))) el_error(el, ADV_D_RATE, v.span, "`stop` is one condition per epoch, but this is %s", el_describe(el, v));
        else if (!el_bad(v)) el_state_set(el, s, el_graph(el, v));
        *out_stop = "train.stop";
    }
    for (uint32_t i = 0; i < el->pending.n; i++)
        (void)el_state_update(el, el_item(el, el->recipe, el->pending.at[i].name), el->pending.at[i].list[0], el->pending.at[i].span);
    el_entry_end(el);
    el->in_epoch = false;
    return "after_epoch";
}

/* ---- the whole ---- */

static void check_overrides(El *el)
{
    for (uint32_t i = 0; i < el->overrides.n; i++) {
        ElVal o = el->overrides.at[i];
        if (o.mode) continue;
        AdvDiag *d = adv_diag(el->ds, ADV_D_OVERRIDE, o.span, "nothing that can be set is called `%s`", adv_str(el->names, o.name));
        adv_diag_help(d, "`--set` takes a `param` of the recipe, or a key of `train` or `run`, as in `train.seed`");
    }
}

static void warn_unused(El *el)
{
    for (uint32_t i = 0; i < el->recipe->items.n; i++) {
        ElItem *it = el->recipe->items.at[i];
        if (it->used || it->kind == EL_ITEM_SECTION || it->kind == EL_ITEM_FN) continue;
        adv_diag(el->ds, ADV_D_SIGNAL_UNUSED, it->at, it->kind == EL_ITEM_OPTIM ? "nothing uses this optimiser" : "nothing uses `%s`, so it is not computed", adv_str(el->names, it->name));
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
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "name", adv_str(el->names, l->name), "state", adv_str(el->names, el->g->states.at[l->state.i].name), "kind",
                                              l->per_sample ? "sample" : "number", "unit", l->is_eps ? "1/255" : ""));
    }
    return list;
}

bool el_recipe(El *el, uint32_t file, json_t **out_program)
{
    *out_program = NULL;
    el->params_json = json_array();
    el->evals = json_array();
    ElModule *m = el_module_load(el, file, (AdvStr){0}, true);
    if (el->ds->n_errors) return false;
    AstId train = {0};
    el_data_read(el);
    if (!read_train(el, &train) || !el->data.given || !el_eval_results(el)) return false;
    for (uint32_t i = 0; i < m->items.n; i++)
        if (m->items.at[i]->kind == EL_ITEM_PARAM) {
            (void)el_item_value(el, m->items.at[i]);
            m->items.at[i]->used = false;
        }
    el_data_entry(el);
    json_t *ph = phases(el), *run = read_run(el);
    if (!el->ds->n_errors) el_evals(el);
    const char *keep = read_keep(el, train), *stop = NULL, *after = el->ds->n_errors ? NULL : after_epoch(el, train, &stop);
    if (!el->ds->n_errors) el_init_entry(el);
    check_overrides(el);
    if (!el->ds->n_errors) warn_unused(el);
    json_t *shape = json_array();
    for (uint32_t i = 0; i < el->data.rank; i++) json_array_append_new(shape, json_integer(el->data.dim[i]));
    json_t *p = json_object();
    json_object_set_new(p, "seed", json_integer(el->seed));
    json_object_set_new(p, "batch", json_integer(el->data.batch));
    json_object_set_new(p, "epochs", json_integer(el->epochs));
    json_object_set_new(p, "steps", json_integer(el->steps));
    json_object_set_new(p, "classes", json_integer(el->data.classes));
    json_object_set_new(p, "shape", shape);
    json_object_set_new(p, "data", data_json(el));
    json_object_set_new(p, "phases", ph);
    json_object_set_new(p, "evals", el->evals);
    json_object_set_new(p, "keep", keep ? json_string(keep) : json_null());
    json_object_set_new(p, "stop", stop ? json_string(stop) : json_null());
    json_object_set_new(p, "after_epoch", after ? json_string(after) : json_null());
    json_object_set_new(p, "log", log_json(el));
    json_object_set_new(p, "run", run);
    json_object_set_new(p, "params", el->params_json);
    *out_program = p;
    return el->ds->n_errors == 0;
}
