/* program_def.c: the program of a plan, from JSON to checked structs (format: plan.h).
**
** Every name is looked up here, so that a run meets no name it does not know. All counts are bounded, so that sums and
** products of them in a run cannot overflow.
*/
#include "runtime/ctx.h"
#include "runtime/program.h"

#include "ops/shape.h"
#include "runtime/base/checked.h"
#include "runtime/base/json_text.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_COUNT (INT64_C(1) << 40)

typedef struct Reader {
    AdvPlan *plan;
    AdvDiags *ds;
    AdvProgramDef *out;
    AdvStatus st;   /* the first failure; later reads give zeros */
    uint32_t n_stages;
} Reader;

static void bad(Reader *r, const char *fmt, ...) ADV_PRINTF(2, 3);
static void bad(Reader *r, const char *fmt, ...)
{
    char msg[256];
    va_list ap;
    if (r->st != ADV_OK) return;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    r->st = adv_fail(r->ds, ADV_EDATA, ADV_D_PROGRAM, "program of the plan: %s", msg);
}

static void *take(Reader *r, size_t n, size_t elem_bytes)
{
    void *p = adv_arena_array(&r->plan->arena, n, elem_bytes);
    if (!p && r->st == ADV_OK) r->st = adv_fail(r->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading the program of the plan");
    return r->st == ADV_OK ? p : NULL;
}

/* A copy of a text in the plan's arena, or NULL. */
static const char *copy(Reader *r, const json_t *string)
{
    char *s = adv_arena_strn(&r->plan->arena, json_string_value(string), json_string_length(string));
    if (!s && r->st == ADV_OK) r->st = adv_fail(r->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading the program of the plan");
    return s;
}

/* As copy, of a key; NULL for null, and for what is missing if `optional`. */
static const char *text(Reader *r, const json_t *o, const char *key, bool optional)
{
    const json_t *v = json_object_get(o, key);
    if (!v || json_is_null(v)) {
        if (!optional) bad(r, "`%s` is missing", key);
        return NULL;
    }
    if (!json_is_string(v)) {
        bad(r, "`%s` is not a text", key);
        return NULL;
    }
    return copy(r, v);
}

static int64_t whole(Reader *r, const json_t *o, const char *key, int64_t min, int64_t max, int64_t dflt)
{
    const json_t *v = json_object_get(o, key);
    if (!v && dflt >= min) return dflt;
    if (!json_is_integer(v)) {
        bad(r, "`%s` is not a whole number", key);
        return min;
    }
    int64_t i = json_integer_value(v);
    if (i < min || i > max) {
        bad(r, "`%s` is %lld, which is not within %lld .. %lld", key, (long long)i, (long long)min, (long long)max);
        return min;
    }
    return i;
}

static const json_t *list(Reader *r, const json_t *o, const char *key, bool optional, uint32_t *out_n)
{
    const json_t *v = json_object_get(o, key);
    *out_n = 0;
    if (!v && optional) return NULL;
    if (!json_is_array(v) || json_array_size(v) > 4096) {
        bad(r, "`%s` is not a list of at most 4096", key);
        return NULL;
    }
    *out_n = (uint32_t)json_array_size(v);
    return v;
}

/* The state of that name; NONE when the name is NULL or (with `optional`) unknown. */
static uint32_t state(Reader *r, const char *name, bool optional)
{
    if (!name) return ADV_PLAN_NONE;
    uint32_t s = adv_plan_state(r->plan, name);
    if (s == ADV_PLAN_NONE && !optional) bad(r, "there is no state `%s`", name);
    return s;
}

/* A state that the host reads or writes as one float. */
static uint32_t number_state(Reader *r, const char *name)
{
    uint32_t s = state(r, name, false);
    if (s != ADV_PLAN_NONE && (r->plan->states[s].type.rank != 0 || !adv_dtype_is_float(r->plan->states[s].type.dtype)))
        bad(r, "state `%s` is not a single number", name);
    return s;
}

static void entry_exists(Reader *r, const char *name)
{
    for (uint32_t i = 0; name && i < r->plan->n_targets; i++)
        if (adv_plan_entry(r->plan, &r->plan->targets[i], name) == ADV_PLAN_NONE)
            bad(r, "target `%s` has no entry `%s`", r->plan->targets[i].name, name);
}

static void read_phases(Reader *r, const json_t *root)
{
    uint32_t n;
    const json_t *v = list(r, root, "phases", false, &n);
    AdvProgPhase *ps = take(r, n, sizeof *ps);
    for (uint32_t i = 0; ps && i < n; i++) {
        const json_t *o = json_array_get(v, i);
        AdvProgPhase *p = &ps[i];
        uint32_t m;
        p->name = text(r, o, "name", false);
        p->from = whole(r, o, "from", 1, MAX_COUNT, 0);
        p->to = whole(r, o, "to", p->from, MAX_COUNT, -1);
        p->epoch = text(r, o, "epoch", true);
        entry_exists(r, p->epoch);
        const json_t *es = list(r, o, "entries", false, &m);
        p->entries = take(r, m, sizeof *p->entries);
        for (uint32_t k = 0; p->entries && k < m; k++) {
            const json_t *e = json_array_get(es, k);
            if (!json_is_string(e)) {
                bad(r, "an entry of phase `%s` is not a text", p->name ? p->name : "");
                break;
            }
            p->entries[k] = copy(r, e);
            entry_exists(r, p->entries[k]);
            p->n_entries = k + 1;
        }
    }
    r->out->phases = ps;
    r->out->n_phases = n;
    for (uint32_t i = 0; ps && i < n; i++)
        for (uint32_t k = 0; k < i; k++)
            if (ps[i].from <= ps[k].to && ps[k].from <= ps[i].to) bad(r, "phases %u and %u overlap", k + 1, i + 1);
}

static void read_stages(Reader *r, const json_t *o, AdvProgEval *e)
{
    uint32_t n;
    const json_t *v = list(r, o, "stages", false, &n);
    AdvProgStage *ss = take(r, n, sizeof *ss);
    for (uint32_t i = 0; ss && i < n; i++) {
        const json_t *so = json_array_get(v, i);
        ss[i].name = text(r, so, "name", false);
        ss[i].number = r->n_stages++;
        ss[i].entry = text(r, so, "entry", false);
        entry_exists(r, ss[i].entry);
        const char *among = text(r, so, "among", true);
        if (among && strcmp(among, "all") && strcmp(among, "alive")) bad(r, "`among` is `%s`, not `all` or `alive`", among);
        const json_t *eps = json_object_get(so, "eps");
        ss[i].eps = json_is_number(eps) ? json_number_value(eps) : NAN;
        ss[i].norm = text(r, so, "norm", true);
        if (ss[i].norm && strcmp(ss[i].norm, "linf") && strcmp(ss[i].norm, "l2"))
            bad(r, "`norm` is `%s`, not `linf` or `l2`", ss[i].norm);
        ss[i].among_alive = among && !strcmp(among, "alive");
        ss[i].result = number_state(r, text(r, so, "result", true));
        ss[i].per_class = state(r, text(r, so, "per_class", true), false);
        if (ss[i].per_class == ADV_PLAN_NONE) continue;
        const AdvTensorType *t = &r->plan->states[ss[i].per_class].type;
        if (t->rank != 1 || t->dim[0] != r->out->classes || !adv_dtype_is_float(t->dtype))
            bad(r, "`per_class` of stage `%s` is not a number for each class", ss[i].name ? ss[i].name : "");
    }
    e->stages = ss;
    e->n_stages = n;
}

/* A slot that evaluations exchange with the host: [batch] of a kind of number. */
static void check_slot(Reader *r, uint32_t s, const char *name, int64_t batch, bool want_float)
{
    if (s == ADV_PLAN_NONE) return;
    const AdvTensorType *t = &r->plan->states[s].type;
    if (t->rank != 1 || t->dim[0] != batch || adv_dtype_is_float(t->dtype) != want_float)
        bad(r, "state `%s` does not hold %s for each of a batch of %lld", name, want_float ? "a number" : "an integer", (long long)batch);
}

static void read_evals(Reader *r, const json_t *root)
{
    AdvProgramDef *p = r->out;
    uint32_t n;
    const json_t *v = list(r, root, "evals", true, &n);
    AdvProgEval *es = take(r, n, sizeof *es);
    for (uint32_t i = 0; es && i < n; i++) {
        const json_t *o = json_array_get(v, i);
        es[i].name = text(r, o, "name", false);
        es[i].split = text(r, o, "split", true);
        es[i].first_id = whole(r, o, "first_id", 0, MAX_COUNT, 0);
        es[i].n = whole(r, o, "n", 1, INT64_C(1) << 31, 0);
        es[i].batch = whole(r, o, "batch", 1, INT64_C(1) << 31, 0);
        es[i].every = whole(r, o, "every", 0, MAX_COUNT, 0);
        es[i].before = text(r, o, "before", true);
        entry_exists(r, es[i].before);
        read_stages(r, o, &es[i]);
        int64_t n_rows = p->n_train > p->n_test ? p->n_train : p->n_test;
        if (p->data && es[i].first_id + es[i].n > n_rows) bad(r, "evaluation `%s` reaches beyond the data", es[i].name ? es[i].name : "");
        if (p->ids_state == ADV_PLAN_NONE || p->mask_state == ADV_PLAN_NONE || p->correct_state == ADV_PLAN_NONE)
            bad(r, "evaluation `%s` needs the states `eval.ids`, `eval.mask` and `eval.correct`", es[i].name ? es[i].name : "");
        check_slot(r, p->ids_state, "eval.ids", es[i].batch, false);
        check_slot(r, p->mask_state, "eval.mask", es[i].batch, true);
        check_slot(r, p->correct_state, "eval.correct", es[i].batch, true);
        check_slot(r, p->y_state, "eval.y", es[i].batch, false);
        check_slot(r, p->dist_state, "eval.dist", es[i].batch, true);
    }
    p->evals = es;
    p->n_evals = n;
}

/* Which phases compute a log. */
static void read_log_phases(Reader *r, const json_t *o, AdvProgLog *l)
{
    uint32_t n;
    if (r->st != ADV_OK) return;
    const json_t *v = list(r, o, "phases", true, &n);
    l->phases = take(r, n, sizeof *l->phases);
    for (uint32_t i = 0; l->phases && i < n; i++) {
        const char *name = json_string_value(json_array_get(v, i));
        uint32_t k = 0;
        while (name && k < r->out->n_phases && strcmp(r->out->phases[k].name, name)) k++;
        if (!name || k == r->out->n_phases) bad(r, "a log is of phase `%s`, and there is none", name ? name : "");
        else l->phases[l->n_phases++] = r->out->phases[k].name;
    }
}

static void read_logs(Reader *r, const json_t *root)
{
    uint32_t n;
    const json_t *v = list(r, root, "log", true, &n);
    AdvProgLog *ls = take(r, n, sizeof *ls);
    for (uint32_t i = 0; ls && i < n; i++) {
        const json_t *o = json_array_get(v, i);
        const char *name = text(r, o, "state", false), *kind = text(r, o, "kind", true), *unit = text(r, o, "unit", true);
        ls[i].name = text(r, o, "name", false);
        ls[i].unit = unit ? unit : "";
        ls[i].kind = kind && !strcmp(kind, "sample") ? ADV_METRIC_SAMPLE : ADV_METRIC_NUMBER;
        if (kind && strcmp(kind, "sample") && strcmp(kind, "number"))
            bad(r, "`kind` of a log line is `%s`, not `number` or `sample`", kind);
        ls[i].state = ls[i].kind == ADV_METRIC_NUMBER ? number_state(r, name) : state(r, name, false);
        if (ls[i].state == ADV_PLAN_NONE) continue;
        const AdvTensorType *t = &r->plan->states[ls[i].state].type;
        const json_t *within = json_object_get(o, "within"), *lo = json_array_get(within, 0), *hi = json_array_get(within, 1);
        ls[i].has_within = json_is_number(lo) && json_is_number(hi);
        ls[i].lo = json_number_value(lo);
        ls[i].hi = json_number_value(hi);
        read_log_phases(r, o, &ls[i]);
        if (ls[i].kind == ADV_METRIC_SAMPLE && (t->rank != 1 || !adv_dtype_is_float(t->dtype)))
            bad(r, "state `%s` is not a number a sample", name);
    }
    r->out->logs = ls;
    r->out->n_logs = n;
}

static void read_params(Reader *r, const json_t *root)
{
    uint32_t n;
    const json_t *v = list(r, root, "params", true, &n);
    AdvProgParam *ps = take(r, n, sizeof *ps);
    for (uint32_t i = 0; ps && i < n; i++) {
        const json_t *o = json_array_get(v, i), *x = json_object_get(o, "value");
        const char *origin = text(r, o, "origin", true);
        ps[i].name = text(r, o, "name", false);
        ps[i].value = json_number_value(x);
        ps[i].origin = origin ? origin : "";
    }
    r->out->params = ps;
    r->out->n_params = n;
}

static void read_weights(Reader *r, const json_t *root)
{
    uint32_t n;
    const json_t *v = list(r, root, "weights", true, &n);
    AdvProgWeights *ws = take(r, n, sizeof *ws);
    for (uint32_t i = 0; ws && i < n; i++) {
        const json_t *o = json_array_get(v, i);
        int64_t n_text = r->plan->n_sources ? r->plan->sources[0].n_bytes : 0, off = whole(r, o, "off", 0, n_text, 0);
        ws[i] = (AdvProgWeights){text(r, o, "model", false), text(r, o, "as", false), text(r, o, "file", false), (uint32_t)off,
                                 (uint32_t)whole(r, o, "len", 0, n_text - off, 0)};
    }
    r->out->weights = ws;
    r->out->n_weights = n;
}

static void read_head(Reader *r, const json_t *root)
{
    AdvProgramDef *p = r->out;
    const json_t *data = json_object_get(root, "data"), *run = json_object_get(root, "run");
    p->recipe = text(r, root, "recipe", false);
    p->seed = whole(r, root, "seed", INT64_MIN, INT64_MAX, 0);
    p->batch = whole(r, root, "batch", 1, INT64_C(1) << 31, 0);
    p->epochs = whole(r, root, "epochs", 0, MAX_COUNT / 4096, -1);
    p->steps = whole(r, root, "steps", 0, MAX_COUNT / 4096, -1);
    p->classes = whole(r, root, "classes", 0, INT64_C(1) << 31, 0);
    if (json_is_object(data)) {
        p->data = text(r, data, "name", false);
        p->n_train = whole(r, data, "train", 0, MAX_COUNT, 0);
        p->n_test = whole(r, data, "test", 0, MAX_COUNT, 0);
    }
    p->precision = json_is_object(run) ? text(r, run, "precision", true) : NULL;
    if (!p->precision) p->precision = "f32";
    p->allows_tf32 = !strcmp(p->precision, "tf32");
    p->device = json_is_object(run) ? text(r, run, "device", true) : NULL;
    if (!p->device) p->device = "auto";
    p->deterministic = json_is_true(json_object_get(run, "deterministic"));
    uint64_t total;
    if (r->st == ADV_OK && (!adv_mul_ok((uint64_t)p->epochs, (uint64_t)p->steps, &total) || total > (uint64_t)MAX_COUNT))
        bad(r, "%lld epochs of %lld steps are too many", (long long)p->epochs, (long long)p->steps);
    p->epoch_state = state(r, "run.epoch", true);
    p->step_state = state(r, "run.step", true);
    p->ids_state = state(r, "eval.ids", true);
    p->mask_state = state(r, "eval.mask", true);
    p->correct_state = state(r, "eval.correct", true);
    p->y_state = state(r, "eval.y", true);
    p->dist_state = state(r, "eval.dist", true);
}

AdvStatus adv_program_check(AdvPlan *plan, AdvDiags *ds)
{
    Reader r = {.plan = plan, .ds = ds};
    AdvJsonError err;
    json_t *root = adv_json_read(&plan->arena.alloc, plan->program, (size_t)plan->n_program_bytes, &err);
    if (!json_is_object(root)) {
        const char *why = root ? "it is an array" : err.what;
        json_decref(root);
        if (err.is_memory) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading the program of the plan");
        return adv_fail(ds, ADV_EDATA, ADV_D_PROGRAM, "program of the plan is not a JSON object: %s", why);
    }
    r.out = take(&r, 1, sizeof *r.out);
    if (r.out) {
        read_head(&r, root);
        read_phases(&r, root);
        read_evals(&r, root);
        read_logs(&r, root);
        read_params(&r, root);
        read_weights(&r, root);
        r.out->keep = text(&r, root, "keep", true);
        r.out->keep_state = number_state(&r, r.out->keep);
        r.out->after_epoch = text(&r, root, "after_epoch", true);
        entry_exists(&r, r.out->after_epoch);
        r.out->stop_state = number_state(&r, text(&r, root, "stop", true));
        for (int64_t e = 1; r.st == ADV_OK && e <= r.out->epochs; ) {
            const AdvProgPhase *p = adv_program_phase(r.out, e);
            if (!p) bad(&r, "epoch %lld is in no phase", (long long)e);
            else e = p->to + 1;
        }
    }
    json_decref(root);
    if (r.st == ADV_OK) plan->prog = r.out;
    return r.st;
}

const AdvProgPhase *adv_program_phase(const AdvProgramDef *p, int64_t epoch)
{
    for (uint32_t i = 0; i < p->n_phases; i++)
        if (epoch >= p->phases[i].from && epoch <= p->phases[i].to) return &p->phases[i];
    return NULL;
}

/* ---- what adv.h tells of it ----------------------------------------------------------------------------------------- */

AdvStatus adv_plan_info(const AdvPlan *plan, AdvPlanInfo *out_info)
{
    if (!plan) return ADV_EINVAL;
    const AdvProgramDef *p = plan->prog;
    AdvPlanInfo i = {.recipe = p->recipe,
                     .hash = plan->hash,
                     .data = p->data,
                     .precision = p->precision,
                     .seed = p->seed,
                     .batch = p->batch,
                     .epochs = p->epochs,
                     .steps = p->steps,
                     .n_train = p->n_train,
                     .n_test = p->n_test,
                     .n_sources = plan->n_sources,
                     .n_targets = plan->n_targets};
    return adv_info_write(out_info, &i, sizeof i);
}

const char *adv_plan_target_name(const AdvPlan *plan, uint32_t ix)
{
    return plan && ix < plan->n_targets ? plan->targets[ix].name : NULL;
}

const char *adv_plan_eval_name(const AdvPlan *plan, uint32_t ix)
{
    return plan && ix < plan->prog->n_evals ? plan->prog->evals[ix].name : NULL;
}

const char *adv_plan_eval_norm(const AdvPlan *plan, const char *eval, const char *attack)
{
    for (uint32_t i = 0; plan && eval && attack && i < plan->prog->n_evals; i++) {
        const AdvProgEval *e = &plan->prog->evals[i];
        for (uint32_t k = 0; k < e->n_stages && !strcmp(e->name, eval); k++)
            if (!strcmp(e->stages[k].name, attack)) return e->stages[k].norm;
    }
    return NULL;
}

AdvStatus adv_plan_param(const AdvPlan *plan, uint32_t ix, const char **out_name, double *out_value, const char **out_origin)
{
    if (!plan || !out_name || !out_value || !out_origin) return ADV_EINVAL;
    *out_name = *out_origin = NULL;
    *out_value = 0;
    if (ix >= plan->prog->n_params) return ADV_EINVAL;
    *out_name = plan->prog->params[ix].name;
    *out_value = plan->prog->params[ix].value;
    *out_origin = plan->prog->params[ix].origin;
    return ADV_OK;
}
