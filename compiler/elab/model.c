/* model.c: models: their states, calls in every mode, gradients by weights, and the init entry.
**
** A call with the same arguments at the same versions is one computation wherever it stands: it is looked up by a key over
** both. Its memo also holds what training mode would do to the running statistics, so that `f(x)` after `f.batch(x)`, and
** `touch f(x)`, only move them. See the language reference, "How a step runs".
*/
#include "compiler/elab/elab.h"
#include "runtime/base/hash.h"

#include <math.h>
#include <string.h>

/* ---- models ---- */

ElModel *el_model_new(El *el, ElItem *item)
{
    ElModule *m = item->module;
    AstId v = ast(m->ast, item->node)->first;
    const AstNode *call = ast(m->ast, v);
    ElModel *model = ADV_NEW(el->arena, ElModel);
    model->name = item->name;
    model->at = item->at;
    if (call->kind != AST_CALL) {
        el_error(el, ADV_D_STMT_PLACE, call->span, "a model is made by calling a net, as in `model f = resnet18(classes = 10)`");
        return NULL;
    }
    const AstNode *callee = ast(m->ast, call->first);
    if (callee->kind == AST_ID && !strcmp(adv_str(el->names, callee->name), "copy")) {
        if (!el_model_copy(el, m, v, model)) return NULL;
        *ADV_PUSH(el->arena, &el->models) = model;
        return model;
    }
    ElItem *net = callee->kind == AST_ID ? el_net(el, m, callee->name, callee->span) : NULL;
    ElVal f = net                      ? el_item_value(el, net)
              : callee->kind == AST_ID ? el_lookup(el, m, NULL, callee->name, callee->span, true)
                                       : el_expr(el, m, NULL, call->first);
    if (el_bad(f)) return NULL;
    if (f.kind != EL_FN || f.fn->kind != EL_FN_TEMPLATE || ast(f.fn->ast, f.fn->node)->kind != AST_NET) {
        el_error(el, ADV_D_NOT_CALLABLE, callee->span, "a model is made of a net, but this is %s", el_describe(el, f));
        return NULL;
    }
    model->net = f.fn;
    model->args = el_args(el, m, NULL, v, 1, &model->n_args);
    for (uint32_t i = 0; i < model->n_args; i++) {
        if (el_bad(model->args[i].val)) return NULL;
        if (!strcmp(adv_str(el->names, model->args[i].name), "weights")) {
            if (model->args[i].val.kind != EL_STRING) {
                el_error(el, ADV_D_ARGUMENT_KIND, model->args[i].span, "`weights` names a file, as in `weights = \"natural.safetensors\"`");
                return NULL;
            }
            model->weights_file = adv_str(el->names, model->args[i].val.name);
            memmove(&model->args[i], &model->args[i + 1], (--model->n_args - i) * sizeof *model->args);
            i--;
            continue;
        }
        if (!model->args[i].name.i) {
            el_error(el, ADV_D_ARGUMENT, model->args[i].span,
                     "arguments of a model are named, as in `%s(classes = 10)`: what is left unnamed are its inputs", f.fn->name);
            return NULL;
        }
    }
    if (!el_args_named(el, f.fn, model->args, model->n_args)) return NULL;
    if (!el_n_inputs(el, f.fn, model->args, model->n_args)) {
        el_error(el, ADV_D_ARGUMENT, call->span, "no input is left to `%s`: the parameters without a value or a default are its inputs",
                 f.fn->name);
        return NULL;
    }
    *ADV_PUSH(el->arena, &el->models) = model;
    return model;
}

uint32_t el_n_weights(const ElModel *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->params.n; i++) n += !m->params.at[i].is_buffer;
    return n;
}

/* The k-th weight's state. */
static AdvStateId weight_state(const ElModel *m, uint32_t k)
{
    for (uint32_t i = 0; i < m->params.n; i++)
        if (!m->params.at[i].is_buffer && k-- == 0) return m->params.at[i].state;
    return (AdvStateId){0};
}

ElVal el_net_param(El *el, AdvSpan at, const char *leaf, AdvTensorType type, ElInit init, double fan_in, double value, bool is_buffer)
{
    ElModel *m = el->frame->model;
    AdvStr name = adv_intern(el->names, leaf);
    for (uint32_t i = 0; i < m->params.n; i++) {
        const AdvState *s = &el->g->states.at[m->params.at[i].state.i];
        if (s->name.i != name.i) continue;
        if (!adv_shape_eq(&s->type, &type)) {
            const char *now = el_describe_type(el, &type), *before = el_describe_type(el, &s->type);
            bool same_call = m->params.at[i].seen_by == el->frame->memo;
            AdvDiag *d = el_diag(el, ADV_D_WEIGHT_SHAPE, at, "`%s` would be %s here, but is %s %s", leaf, now, before,
                                 same_call ? "in an earlier layer of this label" : "from an earlier call");
            adv_diag_note(d, adv_loc_span(el->g, s->loc), "where it is %s", before);
            if (same_call) adv_diag_help(d, "give each layer a label of its own");
            else
                adv_diag_help(
                    d,
                    "a model has one set of weights, so its inputs keep their shape; declare a second model for inputs of another shape");
            return el_poison(at);
        }
        if (m->params.at[i].seen_by == el->frame->memo) {
            AdvDiag *d = el_diag(el, ADV_D_DUPLICATE, at, "two layers of `%s` are called `%.*s`", adv_str(el->names, m->name),
                                 (int)(strrchr(leaf, '.') - leaf), leaf);
            adv_diag_note(d, adv_loc_span(el->g, s->loc), "the first one is here");
            adv_diag_help(d, "give each layer a label of its own: layers of one label would share their weights");
            return el_poison(at);
        }
        m->params.at[i].seen_by = el->frame->memo;
        ElVal v = el_tensor(el, el_state(el, m->params.at[i].state), ADV_RATE_BATCH, EL_NUM, at);
        v.n = m->params.at[i].state.i;
        return v;
    }
    if (m->called)
        return el_error(el, ADV_D_WEIGHT_SHAPE, at,
                        "`%s` appears only in a later call of `%s`: a model's layers are the same in every call", leaf,
                        adv_str(el->names, m->name));
    AdvStateId s = adv_state_new(el->g, name, type, is_buffer ? ADV_STATE_BUFFER : ADV_STATE_PARAM, true, el_loc(el, at));
    ElParam p = {.state = s, .init = (uint8_t)init, .is_buffer = is_buffer, .fan_in = fan_in, .value = value, .seen_by = el->frame->memo};
    if (!el_size_ok(el, &type, at) || !el_work_ok(el, at)) return el_poison(at);
    *ADV_PUSH(el->arena, &m->params) = p;
    *ADV_PUSH(el->arena, &el->inits) = p;
    ElVal v = el_tensor(el, el_state(el, s), ADV_RATE_BATCH, EL_NUM, at);
    v.n = s.i;
    return v;
}

/* ---- calls ---- */

static uint64_t call_key(El *el, const ElModel *m, uint32_t mode_class, ElVal rows, const ElArg *args, uint32_t n_args)
{
    uint64_t h = adv_hash_u64(adv_hash_u64(ADV_HASH_START, m->name.i), mode_class);
    for (uint32_t i = 0; i < n_args; i++) h = adv_hash_u64(h, args[i].val.kind == EL_TENSOR ? args[i].val.t.i : 0);
    h = adv_hash_u64(h, rows.kind == EL_TENSOR ? rows.t.i : 0);
    for (uint32_t i = 0; i < m->params.n; i++)
        if (!m->params.at[i].is_buffer || mode_class) h = adv_hash_u64(h, el_state(el, m->params.at[i].state).i);
    return h;
}

static bool visible(const El *el, AdvRegionId r)
{
    for (AdvRegionId c = el->region; c.i; c = adv_region(el->g, c)->parent)
        if (c.i == r.i) return true;
    return false;
}

static ElMemo *memo_find(El *el, uint64_t key)
{
    for (uint32_t i = el->memos.n; i-- > 0;)
        if (el->memos.at[i]->key == key && visible(el, el->memos.at[i]->region)) return el->memos.at[i];
    return NULL;
}

/* r1 = r0 + momentum*(s - r0) */
static void move_statistics(El *el, const ElMemo *memo, AdvSpan at)
{
    for (uint32_t i = 0; i < memo->stats.n; i++) {
        const ElStat *s = &memo->stats.at[i];
        AdvValueId r0 = el_state(el, s->state), next = s->when.i ? el_n3(el, at, "select", s->when, s->next_of, r0) : s->next_of;
        AdvValueId d = el_n2(el, at, "mul", el_n2(el, at, "sub", next, r0), el_const(el, s->momentum, el->g->float_dtype));
        el_state_set(el, s->state, el_n2(el, at, "add", r0, d));
    }
}

/* Several numbers per sample become features [N,k]. */
static bool features(El *el, ElArg *args, uint32_t *n, AdvSpan at)
{
    if (*n < 2) return true;
    for (uint32_t i = 0; i < *n; i++)
        if (!el_is_value(args[i].val) || el_rank(el, args[i].val) || args[i].name.i) return true;
    AdvValueId *cols = ADV_NEW_ARRAY(el->arena, AdvValueId, *n);
    for (uint32_t i = 0; i < *n; i++) {
        int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, 2);
        dims[0] = el->n_batch;
        dims[1] = 1;
        AdvAttr a = adv_attr_ints(dims, 2);
        AdvValueId g = el_graph(el, args[i].val);
        cols[i] = args[i].val.rate == ADV_RATE_SAMPLE ? el_node(el, at, "reshape", &g, 1, &a) : el_node(el, at, "broadcast", &g, 1, &a);
    }
    AdvAttr axis = adv_attr_i(1);
    args[0] = (ElArg){.val = el_tensor(el, el_node(el, at, "concat", cols, *n, &axis), ADV_RATE_SAMPLE, EL_NUM, at), .span = at};
    *n = 1;
    return !el_bad(args[0].val);
}

/* `rows = m`: whose batch statistics; of a condition that always holds there is nothing to say. */
static bool take_rows(El *el, const ElModel *m, ElMode mode, ElVal v, ElVal *rows)
{
    if (mode == EL_EVAL || mode == EL_MC) {
        AdvDiag *d =
            el_diag(el, ADV_D_MODE, v.span, "`rows` chooses samples for batch statistics, and this call of `%s` uses the running ones",
                    adv_str(el->names, m->name));
        adv_diag_help(d, "it belongs to `%s(...)`, `%s.batch(...)` and `%s.again(...)`", adv_str(el->names, m->name),
                      adv_str(el->names, m->name), adv_str(el->names, m->name));
        return false;
    }
    if (!el_is_value(v) || el_rank(el, v) || v.sort == EL_CLASS) {
        el_error(el, ADV_D_RATE, v.span, "`rows` is one condition per sample, but this is %s", el_describe(el, v));
        return false;
    }
    if (v.kind == EL_NUMBER && v.num != 0) return true;
    *rows = v;
    if (v.rate == ADV_RATE_SAMPLE) return true;
    rows->t = el_broadcast(el, v.span, v, el_type(el->g->float_dtype, 1, &el->n_batch), true);
    rows->kind = EL_TENSOR;
    rows->rate = ADV_RATE_SAMPLE;
    return true;
}

static bool take_named(El *el, ElModel *m, ElMode mode, ElArg *args, uint32_t *n_args, int64_t *draw, ElVal *rows, AdvSpan at)
{
    uint32_t k = 0;
    bool has_draw = false;
    for (uint32_t i = 0; i < *n_args; i++) {
        const char *name = adv_str(el->names, args[i].name);
        if (!strcmp(name, "rows")) {
            if (el_bad(args[i].val) || !take_rows(el, m, mode, args[i].val, rows)) return false;
            continue;
        }
        if (!strcmp(name, "draw")) {
            if (mode != EL_MC) {
                el_error(el, ADV_D_MODE, args[i].span, "`draw` belongs to `.mc` calls, the only ones with a dropout of their own");
                return false;
            }
            if (!el_int(el, args[i].val, "`draw`", 0, EL_MAX_DRAWS - 1, draw)) return false;
            has_draw = true;
            continue;
        }
        args[k++] = args[i];
    }
    *n_args = k;
    if (mode == EL_MC && !has_draw) {
        el_error(el, ADV_D_MODE, at, "`%s.mc` needs `draw = i`: it says which of the networks that dropout makes",
                 adv_str(el->names, m->name));
        return false;
    }
    return true;
}

static ElMemo *evaluate(El *el, ElModel *m, ElMode mode, int64_t draw, ElVal rows, ElArg *args, uint32_t n_args, uint64_t key, AdvSpan at)
{
    ElMemo *memo = ADV_NEW(el->arena, ElMemo);
    memo->model = m;
    memo->region = el->region;
    ElArg *all = ADV_NEW_ARRAY(el->arena, ElArg, n_args + m->n_args + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_args; i++) all[n++] = args[i];
    for (uint32_t i = 0; i < m->n_args; i++) all[n++] = m->args[i];
    ElFrame frame;
    AdvStr label = el->frame->label;
    el_push(el, &frame, adv_str(el->names, m->name), at);
    frame.label = (AdvStr){0};
    frame.is_net = true;
    frame.inherit = true;
    frame.prefix = m->name;
    frame.mode = mode;
    frame.mc_draw = draw;
    frame.rows = rows;
    frame.memo = memo;
    frame.model = m;
    const char *layer = el->layer;
    el->layer = NULL;
    if (n_args) *ADV_PUSH(el->arena, &memo->layers) = (ElLayer){"input", el_describe(el, args[0].val), (AdvSpan){0, 0, 0}};
    ElVal r = el_call(el, m->net, all, n, at, NULL);
    el->layer = layer;
    el_pop(el);
    el->frame->label = label;
    if (!el_bad(r)) m->called = true;
    if (r.kind == EL_TENSOR && r.rate == ADV_RATE_SAMPLE && el_rank(el, r) == 1 && el_dim(el, r, 0) == 1) {
        int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, 1);
        dims[0] = adv_value_type(el->g, r.t)->dim[0];
        AdvAttr a = adv_attr_ints(dims, 1);
        r = el_tensor(el, el_node(el, at, "reshape", &r.t, 1, &a), ADV_RATE_SAMPLE, EL_NUM, at);
    }
    if (r.kind == EL_TENSOR && n_args && args[0].val.kind == EL_TENSOR && args[0].val.rate == ADV_RATE_SAMPLE && el_rank(el, r) == 1) {
        m->n_out = el_dim(el, r, 0);
        if (m->n_out == el->data.classes) m->classifies = true;
    }
    memo->result = r;
    memo->key = key;
    *ADV_PUSH(el->arena, &el->memos) = memo;
    return memo;
}

static uint32_t mode_class(const ElModel *m, ElMode mode, int64_t draw)
{
    if (m->called && !m->has_bn && !m->has_dropout) return 0;
    if (mode == EL_EVAL || (m->called && mode == EL_MC && !m->has_dropout)) return 1;
    return mode == EL_MC ? 2 + (uint32_t)draw : 0;
}

static uint64_t args_key(ElMode mode, int64_t draw, const ElArg *args, uint32_t n_args)
{
    uint64_t h = adv_hash_u64(adv_hash_u64(ADV_HASH_START, mode), (uint64_t)draw);
    for (uint32_t i = 0; i < n_args; i++) h = adv_hash_u64(h, args[i].val.kind == EL_TENSOR ? args[i].val.t.i : 0);
    return h;
}

/* What a call may give: the parameters of the net that have neither a value nor a default. */
static bool inputs_ok(El *el, const ElModel *m, const ElArg *args, uint32_t n_args, AdvSpan at)
{
    const char *name = adv_str(el->names, m->name);
    uint32_t n_inputs = el_n_inputs(el, m->net, m->args, m->n_args);
    for (uint32_t i = 0; i < n_args; i++) {
        bool bound = false;
        for (uint32_t k = 0; k < m->n_args; k++) bound |= args[i].name.i && args[i].name.i == m->args[k].name.i;
        if (!args[i].name.i ? i < n_inputs : !bound && el_is_input(el, m->net, args[i].name)) continue;
        AdvDiag *d =
            el_diag(el, ADV_D_ARGUMENT, args[i].span, args[i].name.i ? "%s is no input of `%s`" : "%s is one more than the inputs of `%s`",
                    args[i].name.i ? adv_arena_printf(el->arena, "`%s`", adv_str(el->names, args[i].name)) : "this", name);
        adv_diag_note(d, m->at, "declared here, with %u input%s", n_inputs, n_inputs == 1 ? "" : "s");
        if (args[i].name.i) adv_diag_help(d, "give what fixes its structure where the model is declared");
        return false;
    }
    if (n_args >= n_inputs) return true;
    AdvDiag *d = el_diag(el, ADV_D_ARGUMENT, at, "`%s` has %u input%s, but %u %s given", name, n_inputs, n_inputs == 1 ? "" : "s", n_args,
                         n_args == 1 ? "is" : "are");
    adv_diag_note(d, m->at, "declared here");
    return false;
}

static ElMemo *call(El *el, ElModel *m, ElMode mode, ElArg *given, uint32_t n_args, AdvSpan at)
{
    int64_t draw = 0;
    ElArg *args = ADV_NEW_ARRAY(el->arena, ElArg, n_args + 1);
    memcpy(args, given, n_args * sizeof *args);
    ElVal rows = el_poison(at);
    el_model_adopt(el, m);
    if (!take_named(el, m, mode, args, &n_args, &draw, &rows, at) || !features(el, args, &n_args, at) ||
        !inputs_ok(el, m, args, n_args, at))
        return NULL;
    for (uint32_t i = 0; i < n_args; i++) {
        if (el_bad(args[i].val)) return NULL;
        if (args[i].val.kind != EL_TENSOR) {
            el_error(el, ADV_D_ARGUMENT_KIND, args[i].val.span, "an input of a model belongs to the samples of a batch, but this is %s",
                     el_describe(el, args[i].val));
            return NULL;
        }
        if (args[i].val.sort == EL_CLASS) {
            el_error(el, ADV_D_KIND, args[i].val.span, "a class index compares and indexes only, it is no input of a model");
            return NULL;
        }
    }
    bool was_called = m->called;
    uint64_t key = was_called ? call_key(el, m, mode_class(m, mode, draw), rows, args, n_args) : 0;
    ElMemo *memo = key && mode != EL_AGAIN ? memo_find(el, key) : NULL;
    if (memo) return memo;
    memo = evaluate(el, m, mode, draw, rows, args, n_args, key, at);
    if (el_bad(memo->result)) return memo;
    memo->result.span = at;
    memo->args_key = args_key(mode, draw, args, n_args);
    memo->n_updates = m->n_updates;
    if (mode != EL_AGAIN) el_lint_again(el, m, memo, at);
    if (mode == EL_MC && !m->has_dropout) {
        AdvDiag *d = el_diag(el, ADV_D_MCVAR_DROPOUT, at, "`%s` has no dropout, so every draw of `%s.mc` gives the same",
                             adv_str(el->names, m->name), adv_str(el->names, m->name));
        adv_diag_help(d, "put `dropout(rate)` with a rate above 0 into its net");
    }
    if (mode == EL_AGAIN) memo->key = 0;  /* found by nobody: a computation of its own */
    else if (!was_called && m->called) memo->key = call_key(el, m, mode_class(m, mode, draw), rows, args, n_args);
    return memo;
}

static void lint_train_attack(El *el, const ElModel *m, AdvSpan at)
{
    if (!m->has_bn && !m->has_dropout) return;
    for (ElFrame *f = el->frame; f; f = f->up)
        if (f->is_attack) {
            AdvDiag *d =
                el_diag(el, ADV_D_ATTACK_IN_TRAIN_MODE, at,
                        "this attack calls `%s` in training mode, so each turn moves its running statistics", adv_str(el->names, m->name));
            adv_diag_help(d, "write `%s.eval`, or `%s.batch` for batch statistics without the move", adv_str(el->names, m->name),
                          adv_str(el->names, m->name));
            return;
        }
}

ElVal el_model_call(El *el, ElModel *m, ElMode mode, ElArg *args, uint32_t n_args, AdvSpan at)
{
    if (el->in_eval && (mode == EL_TRAIN || mode == EL_AGAIN) && (m->has_bn || m->has_dropout))
        return el_error(el, ADV_D_MODE, at, "an evaluation may not call `%s` in training mode: write `%s.eval`",
                        adv_str(el->names, m->name), adv_str(el->names, m->name));
    ElMemo *memo = call(el, m, mode, args, n_args, at);
    if (!memo || el_bad(memo->result)) return el_poison(at);
    if ((mode == EL_TRAIN || mode == EL_AGAIN) && !memo->counted_in.i) {
        memo->counted_in = el->region;
        move_statistics(el, memo, at);
        if (mode == EL_TRAIN) lint_train_attack(el, m, at);
    }
    ElVal r = memo->result;
    r.span = at;
    return r;
}

ElVal el_model_touch(El *el, ElModel *m, ElArg *args, uint32_t n_args, AdvSpan at)
{
    ElMemo *memo = call(el, m, EL_BATCH, args, n_args, at);
    if (!memo || el_bad(memo->result)) return el_poison(at);
    move_statistics(el, memo, at);
    return memo->result;
}

/* ---- gradients ---- */

/* Marks, of the values there are now, what `e` depends on with a derivative: not through stop_grad. */
static uint8_t *reach(El *el, AdvValueId e)
{
    uint8_t *seen = ADV_NEW_ARRAY(el->arena, uint8_t, el->g->values.n);
    ADV_VEC(AdvValueId) stack = {0};
    *ADV_PUSH(el->arena, &stack) = e;
    seen[e.i] = 1;
    while (stack.n) {
        AdvValueId v = stack.at[--stack.n];
        AdvNodeId def = adv_value(el->g, v)->def;
        if (!def.i || adv_node_is(el->g, def, "stop_grad") || adv_node_is(el->g, def, "loop")) continue;
        for (uint32_t k = 0; k < adv_node(el->g, def)->n_in; k++) {
            AdvValueId in = adv_node_in(el->g, def, k);
            if (seen[in.i]) continue;
            seen[in.i] = 1;
            *ADV_PUSH(el->arena, &stack) = in;
        }
    }
    return seen;
}

static bool depends(El *el, AdvValueId e, AdvValueId v) { return reach(el, e)[v.i]; }

bool el_weights_of(El *el, ElVal e, ElModel *m, AdvValueId *out_w)
{
    uint32_t n = el_n_weights(m), n_found = 0;
    for (uint32_t k = 0; k < n; k++) out_w[k] = el_state(el, weight_state(m, k)); /* may read: makes values, so before `reach` */
    uint8_t *seen = reach(el, e.t);
    for (uint32_t k = 0; k < n; k++) {
        AdvStateId s = weight_state(m, k);
        for (uint32_t i = el->versions.n; i-- > 0;) {
            ElVersion v = el->versions.at[i];
            if (v.state.i != s.i || !seen[v.value.i]) continue;
            out_w[k] = v.value;
            n_found++;
            break;
        }
    }
    return n_found > 0;
}

static ElVal no_dependence(El *el, AdvSpan at, const char *what)
{
    AdvDiag *d = el_diag(el, ADV_D_GRAD_TARGET, at, "what is differentiated does not depend on %s in a way that has a derivative",
                         strcmp(what, "this") ? what : "this value");
    adv_diag_help(d, "results of attacks, of `grad` and of signals are constants for later gradients");
    return el_poison(at);
}

ElVal el_grad(El *el, AdvSpan at, ElVal e, const ElVal *of, uint32_t n_of, ElVal *out, bool live)
{
    if (el_bad(e)) return e;
    if (e.kind != EL_TENSOR || el_rank(el, e) || e.sort == EL_CLASS)
        return el_error(el, ADV_D_ARGUMENT_KIND, e.span, "a gradient is of one number per sample, or per batch, but this is %s",
                        el_describe(el, e));
    uint32_t n_values = 0;
    bool any_shared = false, any_sample = false;
    for (uint32_t i = 0; i < n_of; i++) {
        if (el_bad(of[i])) return of[i];
        if (of[i].kind == EL_MODEL) {
            if (!of[i].model->called) return no_dependence(el, of[i].span, el_text(el, of[i].span));
            n_values += el_n_weights(of[i].model);
            any_shared = true;
        } else if (of[i].kind == EL_TENSOR && of[i].sort != EL_CLASS) {
            n_values++;
            if (of[i].rate == ADV_RATE_SAMPLE) any_sample = true;
            else any_shared = true;
        } else {
            return el_error(el, ADV_D_ARGUMENT_KIND, of[i].span, "a gradient is by a name that changes, or a model, but this is %s",
                            el_describe(el, of[i]));
        }
    }
    AdvValueId *v = ADV_NEW_ARRAY(el->arena, AdvValueId, n_values + 1);
    uint32_t at_v = 0;
    for (uint32_t i = 0; i < n_of; i++) {
        if (of[i].kind == EL_MODEL) {
            if (!el_weights_of(el, e, of[i].model, v + at_v)) return no_dependence(el, of[i].span, el_text(el, of[i].span));
            at_v += el_n_weights(of[i].model);
        } else {
            if (!depends(el, e.t, of[i].t)) return no_dependence(el, of[i].span, el_text(el, of[i].span));
            v[at_v++] = of[i].t;
        }
    }
    bool per_sample = e.rate == ADV_RATE_SAMPLE, mean = per_sample && any_shared && !any_sample,
         scale = per_sample && any_shared && any_sample;
    AdvGraphBuild b = el_build(el, at);
    AdvValueId g = adv_build_grad(&b, e.t, v, n_values, mean);
    at_v = 0;
    for (uint32_t i = 0; i < n_of; i++) {
        bool shared = of[i].kind == EL_MODEL || of[i].rate != ADV_RATE_SAMPLE;
        uint32_t n = of[i].kind == EL_MODEL ? el_n_weights(of[i].model) : 1;
        AdvValueId *w = ADV_NEW_ARRAY(el->arena, AdvValueId, (of[i].kind == EL_MODEL ? of[i].model->params.n : n) + 1);
        for (uint32_t k = 0; k < n; k++) {
            w[k].i = g.i + at_v++;
            if (scale && shared) w[k] = el_n2(el, at, "mul", w[k], el_const(el, 1.0 / (double)el->n_batch, el->g->float_dtype));
            if (!live) w[k] = el_n1(el, at, "stop_grad", w[k]);
        }
        if (of[i].kind == EL_MODEL) out[i] = (ElVal){.kind = EL_WEIGHTS, .rate = ADV_RATE_BATCH, .model = of[i].model, .w = w, .span = at};
        else out[i] = el_tensor(el, w[0], (AdvRate)of[i].rate, EL_NUM, at);
    }
    return out[0];
}

/* ---- first values ---- */

static AdvValueId first_value(El *el, const ElParam *p, AdvSpan at)
{
    AdvState st = el->g->states.at[p->state.i];
    uint8_t d = st.type.dtype;
    double v = p->init == EL_INIT_ONE ? 1 : p->init == EL_INIT_VALUE ? p->value : 0;
    int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, ADV_MAX_RANK);
    for (uint32_t i = 0; i < st.type.rank; i++) dims[i] = st.type.dim[i];
    if (p->init != EL_INIT_TORCH && p->init != EL_INIT_HE_OUT) {
        AdvValueId c = el_const(el, v, d);
        AdvAttr a = adv_attr_ints(dims, st.type.rank);
        return st.type.rank ? el_node(el, at, "broadcast", &c, 1, &a) : c;
    }
    uint64_t purpose = adv_hash_str(adv_hash_str(ADV_HASH_START, "init "), adv_str(el->names, st.name)) >> 12;
    bool normal = p->init == EL_INIT_HE_OUT;
    ElVal u = el_draw(el, at, normal ? 1 : 0, 0.5, purpose, false, st.type.rank, dims, 0);
    double scale = normal ? sqrt(2 / p->fan_in) : 2 / sqrt(p->fan_in);
    AdvValueId r = el_n2(el, at, "mul", u.t, el_const(el, scale, d));
    return normal ? r : el_n2(el, at, "sub", r, el_const(el, scale / 2, d));
}

/* What makes a state's first value comes from where the state does. */
static void set_first(El *el, const ElParam *p, AdvSpan at)
{
    uint32_t n = el->g->nodes.n;
    el_state_set(el, p->state, first_value(el, p, at));
    for (; n < el->g->nodes.n; n++) el->g->nodes.at[n].loc = el->g->states.at[p->state.i].loc;
}

void el_init_entry(El *el)
{
    AdvSpan at = {el->recipe->file, 0, 0};
    el_entry_begin(el, "init", at, 0);
    el->in_init = true;
    AdvStateId *from = el_copied_from(el);
    for (uint32_t i = 0; i < el->inits.n; i++)
        if (!from[el->inits.at[i].state.i].i) set_first(el, &el->inits.at[i], at);
    for (uint32_t i = 0; i < el->inits.n; i++) {  /* copies start as their sources do, whatever those are copies of */
        AdvStateId s = el->inits.at[i].state, source = from[s.i];
        if (!source.i) continue;
        while (from[source.i].i) source = from[source.i];
        el_state_set(el, s, el_state(el, source));
    }
    el_entry_end(el);
    el->in_init = false;
}
