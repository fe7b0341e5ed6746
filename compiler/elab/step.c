/* step.c: the statements of a step, states of the recipe, and optimisers.
**
** `minimize`, `maximize` and `apply` advance the weights where they stand; `<-` is kept in el->pending and advances its state
** at the end of the step or turn. See the language reference, "How a step runs".
*/
#include "compiler/elab/elab.h"
#include "runtime/base/hash.h"

#include <string.h>

enum { MAX_MODELS = 16 }; /* of one update */

static bool statements(El *el, ElScope *s, AstId block);
static const Ast *tree(const El *el) { return el->recipe->ast; }

/* ---- states of the recipe ---- */

static bool state_make(El *el, ElItem *it)
{
    const Ast *t = tree(el);
    const AstNode *n = ast(t, it->node);
    if (it->state.i) return true;
    const char *kind = adv_str(el->names, n->name2);
    bool has_params = n->flags & AST_HAS_PARAMS;
    ElVal v = el_const_expr(el, el->recipe, NULL, ast_child(t, it->node, has_params ? 1 : 0), "the first value of a state");
    double first;
    if (!el_float(el, v, "the first value of a state", &first)) return false;
    int64_t dim[ADV_MAX_RANK] = {0};
    uint32_t rank = 0;
    uint8_t state_kind = ADV_STATE_TABLE;
    if (!strcmp(kind, "per_sample")) {
        it->state_kind = EL_PER_SAMPLE;
        dim[rank++] = el->data.set ? el->data.set->n_train : el->data.n_train;
    } else if (!strcmp(kind, "per_class")) {
        it->state_kind = EL_PER_CLASS;
        dim[rank++] = el->data.classes;
    } else if (!strcmp(kind, "per_slot")) {
        it->state_kind = EL_PER_SLOT;
        dim[rank++] = el->data.batch;
        state_kind = ADV_STATE_SLOT;
    } else if (!strcmp(kind, "once")) {
        it->state_kind = EL_ONCE;
        state_kind = ADV_STATE_SCALAR;
    } else {
        AdvDiag *d = el_diag(el, ADV_D_STMT_PLACE, n->span, "no kind of state is called `%s`", kind);
        adv_diag_help(d, "there are `per_sample`, `per_class`, `per_slot` and `once`");
        return false;
    }
    if (has_params) {
        AstId like = ast(t, ast_child(t, it->node, 0))->first;
        const AstNode *what = like.i ? ast(t, ast(t, like)->first) : NULL;
        if (!what || what->kind != AST_ID || strcmp(adv_str(el->names, what->name), "x")) {
            el_error(el, ADV_D_ARGUMENT_KIND, n->span, "a state is one number each, or has the shape of an example, as in `per_slot(x)`");
            return false;
        }
        for (uint32_t i = 0; i < el->data.rank; i++) dim[rank++] = el->data.dim[i];
    }
    it->state = adv_state_new(el->g, it->name, el_type(ADV_F32, rank, dim), state_kind, true, adv_loc_source(el->g, it->at));
    *ADV_PUSH(el->arena, &el->inits) = (ElParam){.state = it->state, .init = EL_INIT_VALUE, .value = first};
    return true;
}

ElVal el_state_read(El *el, ElItem *it, AdvSpan at)
{
    if (!state_make(el, it)) return el_poison(at);
    const char *name = adv_str(el->names, it->name);
    if (el->in_eval && (it->state_kind == EL_PER_SAMPLE || it->state_kind == EL_PER_SLOT))
        return el_error(el, ADV_D_RATE, at, "`%s` belongs to training samples: an evaluation may not read it", name);
    if (!el->n_batch && (it->state_kind == EL_PER_SAMPLE || it->state_kind == EL_PER_SLOT))
        return el_error(el, ADV_D_RATE, at, "`%s` belongs to the samples of a batch, and here there is none", name);
    AdvValueId v = el_state(el, it->state);
    if (it->state_kind == EL_PER_SLOT) return el_tensor(el, v, ADV_RATE_SAMPLE, EL_NUM, at);
    if (it->state_kind != EL_PER_SAMPLE) return el_tensor(el, v, ADV_RATE_BATCH, EL_NUM, at);
    return el_tensor(el, el_n2(el, at, "gather", v, el->ids.t), ADV_RATE_SAMPLE, EL_NUM, at);
}

static bool state_update(El *el, ElItem *it, ElVal v, AdvSpan at)
{
    if (!state_make(el, it) || el_bad(v)) return false;
    AdvTensorType t = el->g->states.at[it->state.i].type;
    bool per_n = it->state_kind == EL_PER_SAMPLE || it->state_kind == EL_PER_SLOT;
    uint32_t rank = t.rank - per_n;
    bool fits =
        el_is_value(v) && v.sort != EL_CLASS && (per_n || v.rate <= ADV_RATE_BATCH) && (el_rank(el, v) == 0 || el_rank(el, v) == rank);
    for (uint32_t i = 0; fits && i < el_rank(el, v); i++) fits = el_dim(el, v, i) == t.dim[i + per_n] || el_dim(el, v, i) == 1;
    if (!fits) {
        el_error(el, ADV_D_RATE, at, "`%s` cannot hold %s", adv_str(el->names, it->name), el_describe(el, v));
        return false;
    }
    if (it->state_kind != EL_PER_SAMPLE) {
        el_state_set(el, it->state, el_broadcast(el, at, v, t, per_n));
        return true;
    }
    AdvTensorType rows = t, mask = el_type(t.dtype, 1, &el->n_batch);
    rows.dim[0] = el->n_batch;
    ElVal one = el_number(1, at);
    AdvValueId in[4] = {el_state(el, it->state), el->ids.t, el_broadcast(el, at, v, rows, true), el_broadcast(el, at, one, mask, true)};
    el_state_set(el, it->state, el_node(el, at, "scatter", in, 4, NULL));
    return true;
}

bool el_flush(El *el, uint32_t from)
{
    for (uint32_t i = from; i < el->pending.n; i++) {
        ElPending p = el->pending.at[i];
        ElItem *it = el_item(el, el->recipe, p.name);
        bool ok = it->kind == EL_ITEM_MODEL ? el_model_update(el, it->model, p.val, p.at) : state_update(el, it, p.val, p.at);
        if (!ok) return false;
    }
    el->pending.n = from;
    return true;
}

/* May `<-` go to this item here? An `epoch` block has no samples. */
static bool may_update(El *el, ElItem *it, AdvSpan at, const char *name)
{
    if (it && it->kind == EL_ITEM_MODEL) return !el_bad(el_item_value(el, it));
    if (!it || it->kind != EL_ITEM_STATE) {
        AdvDiag *d = el_diag(el, ADV_D_UPDATE, at, "`<-` goes to a `state` or a model, and `%s` is neither", name);
        adv_diag_help(d, "declare it outside of the step, as in `state %s: once = 0` or `state %s: per_sample = 0`", name, name);
        return false;
    }
    if (!state_make(el, it)) return false;
    if (el->in_step || it->state_kind == EL_ONCE || it->state_kind == EL_PER_CLASS) return true;
    el_error(el, ADV_D_UPDATE, at,
             "an `epoch` block gives new values to models and to `once` and `per_class` states, and `%s` belongs to samples", name);
    return false;
}

bool el_update(El *el, ElScope *s, AstId st)
{
    const Ast *t = tree(el);
    const AstNode *n = ast(t, st), *path = ast(t, n->first);
    ElItem *it = el_item(el, el->recipe, path->name);
    const char *name = adv_str(el->names, path->name);
    if (!may_update(el, it, n->span, name)) return false;
    for (uint32_t i = 0; i < el->pending.n; i++)
        if (el->pending.at[i].name.i == path->name.i) {
            AdvDiag *d = el_diag(el, ADV_D_UPDATE, n->span, "`%s` is given two new values", name);
            adv_diag_note(d, el->pending.at[i].at, "the first one is here");
            return false;
        }
    ElVal v = el_expr(el, el->recipe, s, ast_child(t, st, 1));
    if (v.kind == EL_MODEL) v = el_model_weights(el, v.model, n->span);
    if (el_bad(v)) return false;
    it->used = true;
    *ADV_PUSH(el->arena, &el->pending) = (ElPending){path->name, v, n->span};
    return true;
}

/* ---- optimisers ---- */

typedef struct Optim {
    AdvSpan at;
    bool adam;
    ElVal lr;
    double momentum, weight_decay, beta1, beta2, eps, clip;
    bool nesterov, only_weights, decoupled;
} Optim;

/* A share of Adam's moments: 1 would divide by 0. */
static bool is_share(El *el, ElVal v, double share)
{
    if (share >= 0 && share < 1) return true;
    el_diag_origin(el, el_diag(el, ADV_D_OUT_OF_RANGE, v.span, "`beta1` and `beta2` are at least 0 and below 1, but this is %g", share), v);
    return false;
}

static ElItem *optim_of(El *el, const ElModel *m, AdvSpan at)
{
    const Ast *t = tree(el);
    ElItem *found = NULL;
    for (uint32_t i = 0; i < el->recipe->items.n; i++) {
        ElItem *it = el->recipe->items.at[i];
        if (it->kind != EL_ITEM_OPTIM) continue;
        for (AstId n = ast(t, ast(t, it->node)->first)->first; n.i; n = ast(t, n)->next) {
            if (ast(t, n)->name.i != m->name.i) continue;
            if (found) {
                AdvDiag *d = el_diag(el, ADV_D_OPTIMISER, it->at, "`%s` has two optimisers", adv_str(el->names, m->name));
                adv_diag_note(d, found->at, "the first one is here");
                return NULL;
            }
            found = it;
        }
    }
    if (!found) {
        AdvDiag *d = el_diag(el, ADV_D_OPTIMISER, at, "`%s` has no optimiser, so its weights do not move", adv_str(el->names, m->name));
        adv_diag_help(d, "write `optim %s = sgd(lr = 0.1, momentum = 0.9)`", adv_str(el->names, m->name));
    }
    return found;
}

static bool optim_arg(El *el, Optim *o, const char *word, ElArg a)
{
    int64_t flag = 0;
    if (!strcmp(word, "lr")) {
        o->lr = a.val;
        if (a.val.kind == EL_NUMBER) return el_between(el, a.val, "a learning rate", 0, 1000);
        if (a.val.kind == EL_TENSOR && a.val.rate <= ADV_RATE_BATCH && !el_rank(el, a.val)) return true;
        el_error(el, a.val.kind == EL_TENSOR ? ADV_D_RATE : ADV_D_ARGUMENT_KIND, a.span,
                 "a learning rate is at most one number per batch, but this is %s", el_describe(el, a.val));
        return false;
    }
    if (!strcmp(word, "weight_decay"))
        return el_float(el, a.val, "`weight_decay`", &o->weight_decay) && el_between(el, a.val, "`weight_decay`", 0, 1);
    if (!strcmp(word, "clip")) return el_float(el, a.val, "`clip`", &o->clip) && el_between(el, a.val, "`clip`", 0, 1e30);
    if (!strcmp(word, "decay")) {
        /* `all` is a built-in function, too, and found as such */
        const char *v = a.val.kind == EL_NAME ? adv_str(el->names, a.val.name) : a.val.kind == EL_FN ? a.val.fn->name : "";
        o->only_weights = !strcmp(v, "weights");
        if (o->only_weights || !strcmp(v, "all")) return true;
        AdvDiag *d = el_diag(el, ADV_D_ARGUMENT_KIND, a.span, "`decay` is `all`, or `weights`: tensors of two or more dimensions only");
        adv_diag_help(d, "`decay` says which weights decay; how much is `weight_decay`");
        return false;
    }
    if (!o->adam && !strcmp(word, "momentum"))
        return el_float(el, a.val, "`momentum`", &o->momentum) && el_between(el, a.val, "`momentum`", 0, 1);
    if (!o->adam && !strcmp(word, "nesterov")) {
        bool ok = el_int(el, a.val, "`nesterov`", 0, 1, &flag);
        o->nesterov = flag;
        return ok;
    }
    if (o->adam && !strcmp(word, "beta1")) return el_float(el, a.val, "`beta1`", &o->beta1) && is_share(el, a.val, o->beta1);
    if (o->adam && !strcmp(word, "beta2")) return el_float(el, a.val, "`beta2`", &o->beta2) && is_share(el, a.val, o->beta2);
    if (o->adam && !strcmp(word, "eps")) return el_float(el, a.val, "`eps`", &o->eps) && el_between(el, a.val, "`eps`", 0, 1);
    if (o->adam && !strcmp(word, "decoupled")) {
        bool ok = el_int(el, a.val, "`decoupled`", 0, 1, &flag);
        o->decoupled = flag;
        return ok;
    }
    if (!word[0]) {
        el_error(el, ADV_D_ARGUMENT, a.span, "arguments of an optimiser are named, as in `lr = 0.1`");
        return false;
    }
    AdvDiag *d = el_diag(el, ADV_D_ARGUMENT, a.span, "`%s` has no argument `%s`", o->adam ? "adam" : "sgd", word);
    adv_diag_help(d, "it takes `lr`, %s, `weight_decay`, `decay`, `clip`",
                  o->adam ? "`beta1`, `beta2`, `eps`, `decoupled`" : "`momentum`, `nesterov`");
    return false;
}

static bool optim_read(El *el, ElItem *it, Optim *o)
{
    const Ast *t = tree(el);
    AstId call = ast_child(t, it->node, 1);
    const AstNode *callee = ast(t, call)->kind == AST_CALL ? ast(t, ast(t, call)->first) : ast(t, call);
    const char *name = callee->kind == AST_ID ? adv_str(el->names, callee->name) : "";
    *o = (Optim){.at = it->at, .adam = !strcmp(name, "adam"), .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    it->used = true;
    if (ast(t, call)->kind != AST_CALL || (!o->adam && strcmp(name, "sgd"))) {
        el_error(el, ADV_D_UNKNOWN_NAME, ast(t, call)->span, "an optimiser is `sgd(...)` or `adam(...)`");
        return false;
    }
    uint32_t n;
    ElArg *args = el_args(el, el->recipe, NULL, call, 1, &n);
    bool has_lr = false;
    for (uint32_t i = 0; i < n; i++) {
        if (el_bad(args[i].val)) return false;
        const char *word = adv_str(el->names, args[i].name);
        has_lr |= !strcmp(word, "lr");
        for (uint32_t k = 0; k < i; k++)
            if (word[0] && args[k].name.i == args[i].name.i) {
                adv_diag_note(el_diag(el, ADV_D_ARGUMENT, args[i].span, "`%s` is given twice", word), args[k].span, "first given here");
                return false;
            }
        if (!optim_arg(el, o, word, args[i])) return false;
    }
    if (!has_lr) el_error(el, ADV_D_ARGUMENT, ast(t, call)->span, "an optimiser needs `lr`");
    return has_lr;
}

static AdvStateId moment(El *el, const Optim *o, AdvStateId weight, const char *suffix)
{
    const AdvState st = el->g->states.at[weight.i];
    return el_slot_at(el, o->at, adv_arena_printf(el->arena, "%s.%s", adv_str(el->names, st.name), suffix), st.type, ADV_STATE_OPT, true);
}

/* What an optimiser writes is a constant for later gradients. */
static void put(El *el, AdvSpan at, AdvStateId s, AdvValueId v) { el_state_set(el, s, el_n1(el, at, "stop_grad", v)); }

static void step_sgd(El *el, AdvSpan at, const Optim *o, AdvStateId s, AdvValueId g, double decay)
{
    const AdvOpDef *op = adv_registry_op(el->g->reg, "sgd");
    AdvAttr a[ADV_MAX_ATTRS];
    adv_op_default_attrs(op, a);
    el_attr_set(op, a, "momentum", adv_attr_f(o->momentum));
    el_attr_set(op, a, "weight_decay", adv_attr_f(decay));
    el_attr_set(op, a, "nesterov", adv_attr_i(o->nesterov));
    AdvStateId m = moment(el, o, s, "momentum");
    AdvValueId in[4] = {el_state(el, s), g, el_state(el, m), el_graph(el, o->lr)};
    AdvValueId w = el_node(el, at, "sgd", in, 4, a);
    if (!w.i) return;
    put(el, at, s, w);
    put(el, at, m, (AdvValueId){w.i + 1});
}

/* Weights that have decayed by themselves, not through the gradient: w*(1 - lr*decay). */
static AdvValueId decayed(El *el, AdvSpan at, AdvValueId w, ElVal lr, double decay)
{
    uint8_t f = el->g->float_dtype;
    AdvValueId share = el_n2(el, at, "mul", el_graph(el, lr), el_const(el, decay, f));
    return el_n2(el, at, "mul", w, el_n2(el, at, "sub", el_const(el, 1, f), share));
}

static void step_adam(El *el, AdvSpan at, const Optim *o, AdvStateId s, AdvValueId g, double decay, AdvValueId t)
{
    const AdvOpDef *op = adv_registry_op(el->g->reg, "adam");
    AdvAttr a[ADV_MAX_ATTRS];
    adv_op_default_attrs(op, a);
    el_attr_set(op, a, "beta1", adv_attr_f(o->beta1));
    el_attr_set(op, a, "beta2", adv_attr_f(o->beta2));
    el_attr_set(op, a, "eps", adv_attr_f(o->eps));
    el_attr_set(op, a, "weight_decay", adv_attr_f(o->decoupled ? 0 : decay));
    AdvStateId m = moment(el, o, s, "adam_m"), v = moment(el, o, s, "adam_v");
    AdvValueId before = el_state(el, s);
    if (o->decoupled && decay > 0) before = decayed(el, at, before, o->lr, decay);
    AdvValueId in[6] = {before, g, el_state(el, m), el_state(el, v), el_graph(el, o->lr), t};
    AdvValueId w = el_node(el, at, "adam", in, 6, a);
    if (!w.i) return;
    put(el, at, s, w);
    put(el, at, m, (AdvValueId){w.i + 1});
    put(el, at, v, (AdvValueId){w.i + 2});
}

/* g scaled so that the norm over all of it is at most `limit`. */
static void clip_norm(El *el, AdvSpan at, AdvValueId *g, uint32_t n, double limit)
{
    AdvValueId total = {0};
    uint8_t f = el->g->float_dtype;
    for (uint32_t k = 0; k < n; k++) {
        AdvValueId s = el_n1(el, at, "sum", el_n2(el, at, "mul", g[k], g[k]));
        total = total.i ? el_n2(el, at, "add", total, s) : s;
    }
    AdvValueId norm = el_n2(el, at, "add", el_n1(el, at, "sqrt", total), el_const(el, 1e-6, f));
    AdvValueId scale = el_n2(el, at, "min", el_n2(el, at, "div", el_const(el, limit, f), norm), el_const(el, 1, f));
    for (uint32_t k = 0; k < n; k++) g[k] = el_n2(el, at, "mul", g[k], scale);
}

/* Clips by optimiser: one for two models sees the gradients of both as one. g: those of all models, one behind the other. */
static bool clip_all(El *el, AdvSpan at, ElModel **models, uint32_t n, AdvValueId *g)
{
    ElItem *of[MAX_MODELS] = {NULL};
    uint32_t total = 0;
    assert(n <= MAX_MODELS);
    for (uint32_t i = 0; i < n; i++) {
        if (!(of[i] = optim_of(el, models[i], at))) return false;
        total += el_n_weights(models[i]);
    }
    AdvValueId *part = ADV_NEW_ARRAY(el->arena, AdvValueId, total + 1);
    AdvValueId **home = ADV_NEW_ARRAY(el->arena, AdvValueId *, total + 1);
    for (uint32_t i = 0; i < n; i++) {
        Optim o;
        bool is_first = true;
        for (uint32_t k = 0; k < i; k++) is_first = is_first && of[k] != of[i];
        if (!is_first) continue;
        if (!optim_read(el, of[i], &o)) return false;
        if (o.clip <= 0) continue;
        uint32_t n_part = 0, g_at = 0;
        for (uint32_t k = 0; k < n; g_at += el_n_weights(models[k++]))
            for (uint32_t w = 0; of[k] == of[i] && w < el_n_weights(models[k]); w++) {
                home[n_part] = &g[g_at + w];
                part[n_part++] = g[g_at + w];
            }
        clip_norm(el, at, part, n_part, o.clip);
        for (uint32_t k = 0; k < n_part; k++) *home[k] = part[k];
    }
    return true;
}

static bool apply(El *el, AdvSpan at, ElModel *m, AdvValueId *g)
{
    Optim o;
    ElItem *it = optim_of(el, m, at);
    if (!it || !optim_read(el, it, &o)) return false;
    m->n_updates++;
    el->trains = true;
    AdvValueId t = {0};
    if (o.adam) {
        AdvStateId count = el_slot_at(el, o.at, adv_arena_printf(el->arena, "%s.adam_t", adv_str(el->names, m->name)),
                                      el_type(ADV_I64, 0, NULL), ADV_STATE_OPT, true);
        t = el_n2(el, at, "add", el_state(el, count), el_const(el, 1, ADV_I64));
        el_state_set(el, count, t);
    }
    uint32_t k = 0;
    for (uint32_t i = 0; i < m->params.n; i++) {
        if (m->params.at[i].is_buffer) continue;
        AdvStateId s = m->params.at[i].state;
        double decay = o.only_weights && el->g->states.at[s.i].type.rank < 2 ? 0 : o.weight_decay;
        if (o.adam) step_adam(el, at, &o, s, g[k++], decay, t);
        else step_sgd(el, at, &o, s, g[k++], decay);
    }
    return true;
}

/* ---- statements ---- */

static bool models_of(El *el, AstId names, ElModel **out, uint32_t *out_n)
{
    const Ast *t = tree(el);
    uint32_t n = 0;
    for (AstId c = ast(t, names)->first; c.i; c = ast(t, c)->next) {
        ElVal v = el_lookup(el, el->recipe, NULL, ast(t, c)->name, ast(t, c)->span, false);
        if (el_bad(v)) return false;
        if (v.kind != EL_MODEL) {
            el_error(el, ADV_D_ARGUMENT_KIND, ast(t, c)->span, "an update goes to a model, but this is %s", el_describe(el, v));
            return false;
        }
        for (uint32_t i = 0; i < n; i++)
            if (out[i] == v.model) {
                el_error(el, ADV_D_ARGUMENT, ast(t, c)->span, "`%s` is named twice", adv_str(el->names, v.model->name));
                return false;
            }
        if (n == MAX_MODELS) {
            el_error(el, ADV_D_ARGUMENT, ast(t, c)->span, "an update goes to at most %d models", MAX_MODELS);
            return false;
        }
        out[n++] = v.model;
    }
    *out_n = n;
    return true;
}

static void lint_descent(El *el, const AstNode *n, ElModel *m)
{
    if (n->kind != AST_MINIMIZE || el->budget_eps.kind != EL_TENSOR || !el->budget_envelope) return;
    AdvValueId *w = ADV_NEW_ARRAY(el->arena, AdvValueId, el_n_weights(m) + 1);
    if (!el_weights_of(el, el->budget_eps, m, w)) return;
    AdvDiag *d = el_diag(el, ADV_D_BUDGET_DESCENT, n->span, "minimising over `%s` shrinks every radius, since a smaller ball is easier",
                         adv_str(el->names, m->name));
    adv_diag_help(d, "`maximize` over it, with a `mean` in the budget, moves budget to samples where it matters");
}

static bool minimize(El *el, ElScope *s, AstId st)
{
    const Ast *t = tree(el);
    const AstNode *n = ast(t, st);
    ElModel *models[MAX_MODELS];
    uint32_t n_models, total = 0;
    ElVal e = el_expr(el, el->recipe, s, n->first);
    if (!models_of(el, ast_child(t, st, 1), models, &n_models) || el_bad(e)) return false;
    if (e.kind != EL_TENSOR || el_rank(el, e) || e.sort == EL_CLASS) {
        el_error(el, ADV_D_ARGUMENT_KIND, e.span, "what is minimised is one number per sample, or per batch, but this is %s",
                 el_describe(el, e));
        return false;
    }
    const AstNode *expr = ast(t, n->first);
    el_log(el, expr->kind == AST_ID ? expr->name : adv_intern(el->names, "loss"),
           e.rate == ADV_RATE_SAMPLE ? el_reduce(el, e.span, "mean", e) : e, false);
    for (uint32_t i = 0; i < n_models; i++) total += el_n_weights(models[i]);
    AdvValueId *w = ADV_NEW_ARRAY(el->arena, AdvValueId, total + 1), *g = ADV_NEW_ARRAY(el->arena, AdvValueId, total + 1);
    uint32_t at = 0;
    for (uint32_t i = 0; i < n_models; i++) {
        if (!models[i]->called || !el_weights_of(el, e, models[i], w + at)) {
            AdvDiag *d =
                el_diag(el, ADV_D_GRAD_TARGET, n->span, "this does not depend on the weights of `%s`", adv_str(el->names, models[i]->name));
            adv_diag_help(d, "results of attacks, signals and updates are constants for gradients; "
                             "attacks pass on a budget's radii with `gradient = envelope`");
            return false;
        }
        lint_descent(el, n, models[i]);
        at += el_n_weights(models[i]);
    }
    AdvGraphBuild b = el_build(el, n->span);
    AdvValueId first = adv_build_grad(&b, e.t, w, total, e.rate == ADV_RATE_SAMPLE);
    for (uint32_t k = 0; k < total; k++) {
        /* The gradient is negated and not the loss: so the backward pass is the one that `minimize` of the same loss needs. */
        AdvValueId one = {first.i + k};
        g[k] = n->kind == AST_MAXIMIZE ? el_n1(el, n->span, "neg", one) : one;
    }
    if (!clip_all(el, n->span, models, n_models, g)) return false;
    at = 0;
    for (uint32_t i = 0; i < n_models; i++) {
        if (!apply(el, n->span, models[i], g + at)) return false;
        at += el_n_weights(models[i]);
    }
    return true;
}

static bool apply_stmt(El *el, ElScope *s, AstId st)
{
    const Ast *t = tree(el);
    const AstNode *n = ast(t, st);
    ElModel *models[MAX_MODELS];
    uint32_t n_models, total = 0, at = 0;
    ElVal g = el_expr(el, el->recipe, s, n->first);
    if (!models_of(el, ast_child(t, st, 1), models, &n_models) || el_bad(g)) return false;
    for (uint32_t i = 0; i < n_models; i++) total += el_n_weights(models[i]);
    AdvValueId *w = ADV_NEW_ARRAY(el->arena, AdvValueId, total + 1);
    if (n_models > 1 && (g.kind != EL_LIST || g.n != n_models)) {
        el_error(el, ADV_D_ARGUMENT_KIND, g.span, "`apply` to %u models takes a list of as many gradients, but this is %s", n_models,
                 el_describe(el, g));
        return false;
    }
    for (uint32_t i = 0; i < n_models; i++) {
        ElVal one = g.kind == EL_LIST && i < g.n ? g.list[i] : g;
        if (one.kind != EL_WEIGHTS || !el_same_weights(el, one.model, models[i])) {
            el_error(el, ADV_D_ARGUMENT_KIND, g.span, "`apply` takes weights of `%s`, as a gradient by it, but this is %s",
                     adv_str(el->names, models[i]->name), el_describe(el, one));
            return false;
        }
        for (uint32_t p = 0, k = 0; p < models[i]->params.n; p++) {  /* terms without a tensor are numbers: bring them to shape */
            if (models[i]->params.at[p].is_buffer) continue;
            ElVal v = {.kind = EL_TENSOR, .t = one.w[k++], .rate = ADV_RATE_BATCH, .span = n->span};
            w[at++] = el_broadcast(el, n->span, v, el->g->states.at[models[i]->params.at[p].state.i].type, false);
        }
    }
    if (!clip_all(el, n->span, models, n_models, w)) return false;
    at = 0;
    for (uint32_t i = 0; i < n_models; at += el_n_weights(models[i++]))
        if (!apply(el, n->span, models[i], w + at)) return false;
    return true;
}

static bool touch(El *el, ElScope *s, AstId st)
{
    const Ast *t = tree(el);
    AstId call = ast(t, st)->first;
    uint32_t n;
    ElVal f = ast(t, call)->kind == AST_CALL ? el_expr(el, el->recipe, s, ast(t, call)->first) : el_poison(ast(t, call)->span);
    if (f.kind != EL_MODEL || f.mode != EL_TRAIN) {
        el_error(el, ADV_D_MODE, ast(t, st)->span, "`touch` takes a training-mode call of a model, as in `touch f(x)`");
        return false;
    }
    ElArg *args = el_args(el, el->recipe, s, call, 1, &n);
    return !el_bad(el_model_touch(el, f.model, args, n, ast(t, st)->span));
}

static bool signal_here(El *el, ElScope *s, AstId st)
{
    const AstNode *n = ast(tree(el), st);
    if (!el_own_name(el, n->name, n->key)) return false;
    ElVal v = el_signal(el, n->name, el_expr(el, el->recipe, s, n->first));
    if (el_has_value(el, s, n->name, n->key, false)) return false;
    el_bind(el, s, n->name, v, n->span)->used = true;
    return !el_bad(v);
}

typedef struct Replay { ElScope *scope; AstId block; AdvStr as; AdvSpan at; int64_t n; } Replay;

static bool replay_body(El *el, void *user, ElVal turn, ElVal *carried)
{
    Replay *r = user;
    (void)carried;
    ElTurn *was = el->replay;
    uint32_t from = el->pending.n;
    el->replay = el->turns;
    ElScope *s = el_scope_new(el, r->scope);
    s->is_turn = true;
    if (r->as.i) el_bind(el, s, r->as, turn, r->at)->used = true;
    bool ok = statements(el, s, r->block) && el_flush(el, from);
    if (ok) el_lint_locals(el, s);
    el->pending.n = from;
    el->replay = was;
    return ok;
}

static bool replay(El *el, ElScope *s, AstId st)
{
    const Ast *t = tree(el);
    Replay r = {.scope = s, .block = ast_child(t, st, 1), .as = ast(t, st)->name, .at = ast(t, st)->span};
    ElVal count = el_expr(el, el->recipe, s, ast_child(t, st, 0));
    if (!el_int(el, count, "the number of turns", 1, 1 << 20, &r.n) || (r.as.i && !el_own_name(el, r.as, r.at))) return false;
    return el_loop(el, ast(t, st)->span, r.n, NULL, 0, replay_body, &r);
}

/* f, its weights now, and v of `f + v` or `f - v`. */
static bool with_what(El *el, ElScope *s, AstId e, bool *minus, ElVal *f, ElVal *w, ElVal *v)
{
    const Ast *t = tree(el);
    const AstNode *n = ast(t, e);
    *minus = n->kind == AST_BINARY && !strcmp(adv_str(el->names, n->name), "-");
    if (n->kind != AST_BINARY || (!*minus && strcmp(adv_str(el->names, n->name), "+"))) {
        el_error(el, ADV_D_STMT_PLACE, n->span, "`with` takes a model plus or minus weights, as in `with f + v { }`");
        return false;
    }
    *f = el_expr(el, el->recipe, s, ast_child(t, e, 0));
    *v = el_expr(el, el->recipe, s, ast_child(t, e, 1));
    if (el_bad(*f) || el_bad(*v)) return false;
    if (f->kind != EL_MODEL || v->kind != EL_WEIGHTS || !el_same_weights(el, v->model, f->model)) {
        el_error(el, ADV_D_ARGUMENT_KIND, n->span, "`with` takes a model plus or minus weights of it, but these are %s and %s",
                 el_describe(el, *f), el_describe(el, *v));
        return false;
    }
    *w = el_model_weights(el, f->model, n->span);
    return !el_bad(*w);
}

/* with f + v { ... }: everything inside sees f + v; what was updated inside keeps its move. */
static bool with(El *el, ElScope *s, AstId st)
{
    const Ast *t = tree(el);
    AstId e = ast_child(t, st, 0);
    const AstNode *n = ast(t, e);
    bool minus;
    ElVal f, w, v;
    if (!with_what(el, s, e, &minus, &f, &w, &v)) {
        (void)statements(el, s, ast_child(t, st, 1)); /* for its names, which later lines use, and for its own mistakes */
        return false;
    }
    uint32_t n_w = el_n_weights(f.model), k = 0;
    AdvValueId *moved = ADV_NEW_ARRAY(el->arena, AdvValueId, n_w + 1);
    for (uint32_t i = 0; i < f.model->params.n; i++) {
        if (f.model->params.at[i].is_buffer) continue;
        moved[k] = el_n2(el, n->span, minus ? "sub" : "add", w.w[k], v.w[k]);
        el_state_set(el, f.model->params.at[i].state, moved[k]);
        k++;
    }
    bool ok = statements(el, s, ast_child(t, st, 1));
    k = 0;
    for (uint32_t i = 0; ok && i < f.model->params.n; i++) {
        if (f.model->params.at[i].is_buffer) continue;
        AdvStateId state = f.model->params.at[i].state;
        AdvValueId now = el_state(el, state);
        el_state_set(el, state, now.i == moved[k].i ? w.w[k] : el_n2(el, n->span, minus ? "add" : "sub", now, v.w[k]));
        k++;
    }
    return ok;
}

bool el_own_names(El *el, AstId assign)
{
    const Ast *t = tree(el);
    bool ok = true;
    for (AstId p = ast(t, ast(t, assign)->first)->first; p.i; p = ast(t, p)->next) ok &= el_own_name(el, ast(t, p)->name, ast(t, p)->span);
    return ok;
}

/* What cannot stand in a step, and where what it is for is written. */
static void misplaced(El *el, const AstNode *n)
{
    AdvDiag *d = el_diag(el, ADV_D_STMT_PLACE, n->span, "a `step` may not hold this statement");
    if (n->kind == AST_REPEAT) adv_diag_help(d, "`replay n { }` runs lines of a step n times on one batch; `repeat` stands in an `attack`");
    if (n->kind == AST_CARRY) adv_diag_help(d, "what lasts from step to step is a `state`; `carry` stands in an `attack`");
    if (n->kind == AST_RETURN) adv_diag_help(d, "a step gives nothing back: log a value with `signal name = e`");
}

static bool statements(El *el, ElScope *s, AstId block)
{
    const Ast *t = tree(el);
    bool ok = true;
    for (AstId st = ast(t, block)->first; st.i; st = ast(t, st)->next) {
        const AstNode *n = ast(t, st);
        switch (n->kind) {
        case AST_ASSIGN: ok &= el_own_names(el, st) && el_assign(el, el->recipe, s, st); break;
        case AST_UPDATE: ok &= el_update(el, s, st); break;
        case AST_MINIMIZE: case AST_MAXIMIZE: ok &= minimize(el, s, st); break;
        case AST_APPLY: ok &= apply_stmt(el, s, st); break;
        case AST_TOUCH: ok &= touch(el, s, st); break;
        case AST_REPLAY: ok &= replay(el, s, st); break;
        case AST_WITH: ok &= with(el, s, st); break;
        case AST_SIGNAL: ok &= signal_here(el, s, st); break;
        case AST_ERROR: ok = false; break;
        default:
            misplaced(el, n);
            ok = false;
        }
    }
    return ok;
}

void el_step_entry(El *el, ElPhase *ph)
{
    AdvStateId x, y, ids;
    const Ast *t = tree(el);
    el->phase = ph;
    ElItem *sec = el_section(el, "step");
    if (!sec) {
        el_error(el, ADV_D_SECTION_MISSING, ph->at.file ? ph->at : (AdvSpan){el->recipe->file, 0, 0},
                 "a recipe needs a `step { }`: what one training step does");
        return;
    }
    el_entry_begin(el, adv_arena_printf(el->arena, "step.%s", adv_str(el->names, ph->name)), ast(t, sec->node)->key, el->data.batch);
    el->in_step = true;
    el_batch_slots(el, &x, &y, &ids);
    el->x = el_tensor(el, el_state(el, x), ADV_RATE_SAMPLE, EL_NUM, sec->at);
    el->y = el_class(el, el_state(el, y), el->data.classes, sec->at);
    el->ids = el_tensor(el, el_state(el, ids), ADV_RATE_SAMPLE, EL_NUM, sec->at);
    for (uint32_t i = 0; i < ph->items.n; i++)
        if (ph->items.at[i]->kind == EL_ITEM_SIGNAL) (void)el_item_value(el, ph->items.at[i]);
    for (uint32_t i = 0; i < el->recipe->items.n; i++)
        if (el->recipe->items.at[i]->kind == EL_ITEM_SIGNAL)
            (void)el_lookup(el, el->recipe, NULL, el->recipe->items.at[i]->name, el->recipe->items.at[i]->at, false);
    AstId block = el_section_block(el, sec);
    el_prepare(el, block);
    ElScope *s = el_scope_new(el, NULL);
    bool ok = statements(el, s, block) && el_flush(el, 0);
    if (ok) el_lint_locals(el, s);
    assert(ok || el->ds->n_errors); /* what makes a statement fail has said why */
    AdvStateId step = el_slot(el, "run.step", el_type(ADV_I64, 0, NULL), ADV_STATE_SCALAR, true);
    if (ok) el_state_set(el, step, el_n2(el, sec->at, "add", el_state(el, step), el_const(el, 1, ADV_I64)));
    el_entry_end(el);
    el->in_step = false;
    el->phase = NULL;
}
