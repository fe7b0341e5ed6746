/* weights.c: weights as values: `ema <- 0.999*ema + 0.001*f`, `select` between them, `copy(f)` and weights from a file.
**
** A value of kind weights holds a tensor for each weight of a model, and behind them one for each running statistic. A gradient
** has none of the latter: they are 0, and so stay out of sums. Models that are copies of one another have the same states
** under other prefixes, so that weights of one may be given to the other.
*/
#include "compiler/elab/elab.h"

#include <assert.h>
#include <string.h>

/* ---- copies ---- */

/* The name of a model's state without the model's own: ".conv1.weight". */
static const char *leaf(const El *el, const ElModel *m, AdvStateId s)
{
    return adv_str(el->names, el->g->states.at[s.i].name) + strlen(adv_str(el->names, m->name));
}

bool el_model_copy(El *el, ElModule *m, AstId call, ElModel *model)
{
    uint32_t n;
    ElArg *args = el_args(el, m, NULL, call, 1, &n);
    AdvSpan at = ast(m->ast, call)->span;
    if (n == 1 && el_bad(args[0].val)) return false;
    if (n != 1 || args[0].name.i || args[0].val.kind != EL_MODEL || args[0].val.mode != EL_TRAIN) {
        el_error(el, ADV_D_ARGUMENT_KIND, at, "`copy` takes a model, as in `model ema = copy(f)`");
        return false;
    }
    const ElModel *f = args[0].val.model;
    model->copy_of = args[0].val.model;
    model->net = f->net;
    model->args = f->args;
    model->n_args = f->n_args;
    return true;
}

void el_model_adopt(El *el, ElModel *m)
{
    ElModel *f = m->copy_of;
    if (!f || m->called) return;
    el_model_adopt(el, f);
    if (!f->called) return;
    for (uint32_t i = 0; i < f->params.n; i++) {
        ElParam p = f->params.at[i];
        AdvState st = el->g->states.at[p.state.i];
        AdvStr name = adv_intern(el->names, adv_arena_printf(el->arena, "%s%s", adv_str(el->names, m->name), leaf(el, f, p.state)));
        p.state = adv_state_new(el->g, name, st.type, st.kind, st.saved, adv_loc_source(el->g, m->at));
        *ADV_PUSH(el->arena, &m->params) = p;
        *ADV_PUSH(el->arena, &el->inits) = p;
    }
    m->called = true;
    m->has_bn = f->has_bn;
    m->has_dropout = f->has_dropout;
}

static const ElModel *root_of(const ElModel *m)
{
    while (m->copy_of) m = m->copy_of;
    return m;
}

bool el_same_weights(El *el, const ElModel *a, const ElModel *b)
{
    if (a == b) return true;
    if (root_of(a) != root_of(b) || a->params.n != b->params.n) return false;
    for (uint32_t i = 0; i < a->params.n; i++)
        if (strcmp(leaf(el, a, a->params.at[i].state), leaf(el, b, b->params.at[i].state))) return false;
    return true;
}

AdvStateId *el_copied_from(El *el)
{
    AdvStateId *from = ADV_NEW_ARRAY(el->arena, AdvStateId, el->g->states.n);
    for (uint32_t k = 0; k < el->models.n; k++) {
        const ElModel *m = el->models.at[k];
        if (!m->copy_of) continue;
        for (uint32_t i = 0; i < m->params.n; i++) {
            AdvStateId s = m->params.at[i].state;
            const char *name = adv_arena_printf(el->arena, "%s%s", adv_str(el->names, m->copy_of->name), leaf(el, m, s));
            from[s.i] = adv_state_find(el->g, adv_intern(el->names, name));
        }
    }
    return from;
}

/* ---- values ---- */

/* The state behind entry k of a model's weights. */
static const ElParam *param_of(const ElModel *m, uint32_t k)
{
    uint32_t n = el_n_weights(m);
    bool want_buffer = k >= n;
    uint32_t left = want_buffer ? k - n : k;
    uint32_t i = 0;
    while (m->params.at[i].is_buffer != want_buffer || left-- > 0) {
        i++;
        assert(i < m->params.n);
    }
    return &m->params.at[i];
}

ElVal el_model_weights(El *el, ElModel *m, AdvSpan at)
{
    el_model_adopt(el, m);
    if (!m->called)
        return el_error(el, ADV_D_MODE, at, "`%s` has no weights yet: call it before its weights are used", adv_str(el->names, m->name));
    ElVal r = {.kind = EL_WEIGHTS, .rate = ADV_RATE_BATCH, .model = m, .span = at};
    r.w = ADV_NEW_ARRAY(el->arena, AdvValueId, m->params.n + 1);
    for (uint32_t k = 0; k < m->params.n; k++) r.w[k] = el_state(el, param_of(m, k)->state);
    return r;
}

static ElVal as_weights(El *el, ElVal v, AdvSpan at) { return v.kind == EL_MODEL ? el_model_weights(el, v.model, at) : v; }
static bool is_weights(ElVal v) { return v.kind == EL_MODEL || v.kind == EL_WEIGHTS; }

/* One tensor of a sum or multiple; what is none is 0. */
static AdvValueId term(El *el, AdvSpan at, const char *op, AdvValueId a, AdvValueId b, bool both)
{
    if (!both) return a.i ? el_n2(el, at, op, a, b) : a;
    if (!b.i) return a;
    if (!a.i) return !strcmp(op, "add") ? b : el_n1(el, at, "neg", b);
    return el_n2(el, at, op, a, b);
}

ElVal el_weights_op(El *el, AdvSpan at, const char *shown, const char *op, ElVal a, ElVal b)
{
    if (el_bad(a) || el_bad(b)) return el_poison(at);
    bool both = is_weights(a) && is_weights(b);
    ElVal num = el_is_value(a) ? a : b, w = as_weights(el, both || !el_is_value(a) ? a : b, at);
    if (el_bad(w)) return el_poison(at);
    ElVal u = both ? as_weights(el, b, at) : num;
    if (el_bad(u)) return el_poison(at);
    bool ok = both ? (!strcmp(op, "add") || !strcmp(op, "sub")) && el_same_weights(el, w.model, u.model)
                   : !strcmp(op, "mul") || (!strcmp(op, "div") && el_is_value(b));
    if (!ok || (!both && (!el_is_value(num) || num.rate > ADV_RATE_BATCH || el_rank(el, num))))
        return el_error(el, ADV_D_ARGUMENT_KIND, at,
                        "weights take `+` and `-` with weights of one model or of its copies, `*` and `/` with a number of the batch, not "
                        "`%s` between %s and %s",
                        shown, el_describe(el, a), el_describe(el, b));
    ElVal r = w;
    r.w = ADV_NEW_ARRAY(el->arena, AdvValueId, w.model->params.n + 1);
    for (uint32_t k = 0; k < w.model->params.n; k++) r.w[k] = term(el, at, op, w.w[k], both ? u.w[k] : el_graph(el, u), both);
    r.span = at;
    return r;
}

ElVal el_weights_select(El *el, AdvSpan at, ElVal c, ElVal a, ElVal b)
{
    if (!is_weights(a) || !is_weights(b))
        return el_error(el, ADV_D_ARGUMENT_KIND, at, "both sides of `select` are weights, or none, but these are %s and %s",
                        el_describe(el, a), el_describe(el, b));
    if (!el_is_value(c) || c.rate > ADV_RATE_BATCH || el_rank(el, c))
        return el_error(el, ADV_D_RATE, c.span, "`select` between weights takes one condition for all of them, but this is %s",
                        el_describe(el, c));
    ElVal x = as_weights(el, a, at);
    if (el_bad(x)) return x;
    ElVal y = as_weights(el, b, at), r = x;
    if (el_bad(y)) return y;
    if (!el_same_weights(el, x.model, y.model))
        return el_error(el, ADV_D_ARGUMENT_KIND, at, "`select` takes weights of one model, or of copies of it, but these are %s and %s",
                        el_describe(el, a), el_describe(el, b));
    AdvValueId zero = el_const(el, 0, el->g->float_dtype), cond = el_graph(el, c);
    r.w = ADV_NEW_ARRAY(el->arena, AdvValueId, x.model->params.n + 1);
    for (uint32_t k = 0; k < x.model->params.n; k++)
        if (x.w[k].i || y.w[k].i) r.w[k] = el_n3(el, at, "select", cond, x.w[k].i ? x.w[k] : zero, y.w[k].i ? y.w[k] : zero);
    r.span = at;
    return r;
}

bool el_model_update(El *el, ElModel *m, ElVal v, AdvSpan at)
{
    el_model_adopt(el, m);
    if (el_bad(v)) return false;
    if (v.kind != EL_WEIGHTS || !m->called || !el_same_weights(el, m, v.model)) {
        AdvDiag *d = el_diag(el, ADV_D_UPDATE, at, "`%s` takes weights of its own shape, but this is %s", adv_str(el->names, m->name),
                             el_describe(el, v));
        adv_diag_help(d, "make it a copy of the other model, as in `model ema = copy(f)`");
        return false;
    }
    for (uint32_t k = 0; k < m->params.n; k++) {
        AdvStateId s = param_of(m, k)->state;
        AdvTensorType t = el->g->states.at[s.i].type;
        ElVal one = {.kind = EL_TENSOR, .t = v.w[k].i ? v.w[k] : el_const(el, 0, el->g->float_dtype), .rate = ADV_RATE_BATCH, .span = at};
        el_state_set(el, s, el_broadcast(el, at, one, t, false));
    }
    el->trains = true;
    return true;
}

/* ---- weights from files ---- */

/* The program's list of what is read after `init`: a copy starts as its source does. */
json_t *el_weights_json(El *el)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < el->models.n; i++) {
        const ElModel *m = el->models.at[i], *f = m;
        while (!f->weights_file && f->copy_of) f = f->copy_of;
        if (!f->weights_file || !m->params.n) continue;
        el_json_push(
            el, list,
            json_pack("{s:s, s:s, s:s, s:I, s:I}", "model", adv_str(el->names, m->name), "as", adv_str(el->names, f->name), "file",
                      f->weights_file, "off", (json_int_t)f->at.off, "len", (json_int_t)f->at.len));
    }
    return list;
}
