/* budget.c: the budget: eps as computed, rescaled to the batch mean, then bounded. All of it differentiates as written. */
#include "compiler/elab/elab.h"

#include <string.h>

bool el_has_budget(El *el) { return el_section(el, "budget") != NULL; }

static bool is_radius(El *el, ElVal v, const char *what)
{
    if (el_bad(v)) return false;
    if (!el_is_value(v) || el_rank(el, v) || v.sort == EL_CLASS) {
        el_error(el, ADV_D_RATE, v.span, "%s is at most one number per sample, but this is %s", what, el_describe(el, v));
        return false;
    }
    return el_radius_ok(el, v, v.span);
}

bool el_radius_ok(El *el, ElVal v, AdvSpan at)
{
    if (v.kind != EL_NUMBER || (v.num >= 0 && v.num <= 1)) return true;
    if (v.num < 0) {
        el_diag_origin(el, el_diag(el, ADV_D_OUT_OF_RANGE, at, "a radius is not negative, but this is %g", v.num), v);
        return false;
    }
    AdvDiag *d = el_diag(el, ADV_D_UNITS, at, "a radius of %g does not fit images in 0..1", v.num);
    el_diag_origin(el, d, v);
    if (v.num <= 255) adv_diag_help(d, "write `%g/255`", v.num);
    return false;
}

/* Each line once; no further names but those of equations. */
static bool once_each(El *el, AstId block)
{
    const Ast *t = el->recipe->ast;
    static const char *const keys[] = {"eps", "mean", "gradient"};
    AdvSpan first[4] = {{0}};
    for (AstId st = ast(t, block)->first; st.i; st = ast(t, st)->next) {
        const AstNode *n = ast(t, st);
        const char *key = n->kind == AST_WITHIN   ? "within"
                          : n->kind == AST_ASSIGN ? adv_str(el->names, ast(t, ast(t, n->first)->first)->name)
                                                  : "";
        size_t k = 0;
        while (k < 3 && strcmp(keys[k], key)) k++;
        if (k == 3 && n->kind != AST_WITHIN) continue;
        if (first[k].file) {
            el_given_twice(el, key, n->span, first[k]);
            return false;
        }
        first[k] = n->span;
    }
    return true;
}

/* eps*mean/batch mean; mean itself where that is 0. */
static ElVal rescale(El *el, ElVal eps, ElVal mean)
{
    if (el_bad(eps) || el_bad(mean)) return el_poison(eps.span);
    if (eps.kind == EL_NUMBER || eps.rate != ADV_RATE_SAMPLE) return mean;
    ElVal up[2] = {eps, mean};
    ElVal three[3] = {el_elementwise(el, mean.span, "mean", "mul", up, 2, EL_NUM), el_reduce(el, mean.span, "mean", eps), mean};
    return el_elementwise(el, mean.span, "mean", "safe_div", three, 3, EL_NUM);
}

static ElVal compute(El *el, AstId block)
{
    const Ast *t = el->recipe->ast;
    ElScope *s = el_scope_new(el, NULL);
    AstId mean = {0}, within = {0}, eps = {0};
    ElVal v = el_poison(ast(t, block)->span);
    if (!once_each(el, block)) return v;
    for (AstId st = ast(t, block)->first; st.i; st = ast(t, st)->next) {
        const AstNode *n = ast(t, st);
        if (n->kind == AST_WITHIN) { within = n->first; continue; }
        if (n->kind != AST_ASSIGN)
            return n->kind == AST_ERROR ? v
                                        : el_error(el, ADV_D_STMT_PLACE, n->span,
                                                   "a `budget` holds `eps = ...`, `within lo .. hi`, `mean = ...` and `gradient = ...`");
        const char *key = adv_str(el->names, ast(t, ast(t, n->first)->first)->name);
        AstId value = ast_child(t, st, 1);
        if (!strcmp(key, "mean")) mean = value;
        else if (!strcmp(key, "eps")) { eps = value; v = el_expr(el, el->recipe, s, value); }
        else if (!strcmp(key, "gradient")) {
            ElVal g = el_expr(el, el->recipe, s, value);
            const char *how = g.kind == EL_NAME ? adv_str(el->names, g.name) : "";
            el->budget_envelope = !strcmp(how, "envelope");
            if (!el->budget_envelope && strcmp(how, "none") && !el_bad(g))
                return el_error(el, ADV_D_ARGUMENT_KIND, g.span, "`gradient` is `none` or `envelope`");
        } else if (!el_assign(el, el->recipe, s, st)) return el_poison(n->span);
    }
    if (!eps.i) return el_error(el, ADV_D_SECTION_MISSING, el_section(el, "budget")->at, "a `budget` needs `eps = ...`");
    ElVal raw = v, lo = el_poison(v.span), hi = lo, held = lo;
    if (!is_radius(el, v, "`eps`")) return el_poison(v.span);
    if (mean.i) {
        ElVal m = el_expr(el, el->recipe, s, mean);
        if (!is_radius(el, m, "`mean`")) return el_poison(m.span);
        v = rescale(el, v, m);
        held = m;
    }
    if (within.i) {
        ElVal r = el_expr(el, el->recipe, s, within);
        if (el_bad(r)) return r;
        if (r.kind != EL_RANGE) return el_error(el, ADV_D_ARGUMENT_KIND, r.span, "after `within` stands a range, as in `0 .. 16/255`");
        if (!is_radius(el, r.list[0], "a bound") || !is_radius(el, r.list[1], "a bound")) return el_poison(r.span);
        lo = r.list[0];
        hi = r.list[1];
        if (lo.kind == EL_NUMBER && hi.kind == EL_NUMBER && lo.num > hi.num)
            return el_error(el, ADV_D_OUT_OF_RANGE, r.span, "the lower bound of `within` is %g, above the upper one, %g", lo.num, hi.num);
        if (held.kind == EL_NUMBER && ((hi.kind == EL_NUMBER && held.num > hi.num) || (lo.kind == EL_NUMBER && held.num < lo.num)))
            return el_error(el, ADV_D_OUT_OF_RANGE, held.span, "a batch mean of %g cannot hold where every `eps` is within %g .. %g",
                            held.num, lo.num, hi.num);
        ElVal three[3] = {v, lo, hi};
        v = el_elementwise(el, r.span, "within", "clip", three, 3, EL_NUM);
        el->budget_within = (ElWithin){lo.kind == EL_NUMBER && hi.kind == EL_NUMBER && lo.num < hi.num, lo.num, hi.num};
    }
    el_lint_locals(el, s);
    el_lint_zero(el, raw, lo, raw.span);
    el_lint_radius(el, held.kind == EL_NUMBER ? held : v);
    return v;
}

/* The bounds between which the logged radii lie, for a warning where all of them reach one: those of every phase, or none. */
static void log_bounds(El *el, ElVal v)
{
    ElWithin w = el->budget_within;
    if (v.rate != ADV_RATE_SAMPLE) w.is_known = false; /* one radius for all may well stay at its bound */
    for (uint32_t i = 0; i < el->logs.n; i++) {
        ElLog *l = &el->logs.at[i];
        if (!l->is_eps) continue;
        if (!l->is_bounded) l->within = w;
        else if (l->within.lo != w.lo || l->within.hi != w.hi || !w.is_known) l->within.is_known = false;
        l->is_bounded = true;
    }
}

ElVal el_budget(El *el, AdvSpan at)
{
    el->budget_seen = true;
    if (el->budget_done) return el->budget_eps;
    if (el->budget_busy) return el_error(el, ADV_D_CYCLE, at, "the budget needs itself: `eps` is what it computes");
    ElItem *sec = el_section(el, "budget");
    ElFrame frame;
    el->budget_busy = true;
    el->budget_within = (ElWithin){false, 0, 0};
    el_push(el, &frame, "budget", (AdvSpan){0, 0, 0});
    ElVal v = compute(el, el_section_block(el, sec));
    el_pop(el);
    el->budget_busy = false;
    el->budget_done = true;
    el->budget_eps = v;
    if (!el_bad(v) && el->in_step) {
        ElVal shown = v;  /* phases may differ in rate, and what is logged has one type */
        if (el->phases.n && v.rate < ADV_RATE_SAMPLE)
            shown = el_tensor(el, el_broadcast(el, at, v, el_type(el->g->float_dtype, 1, &el->n_batch), true), ADV_RATE_SAMPLE, EL_NUM, at);
        el_log(el, adv_intern(el->names, "eps"), shown, true);
        log_bounds(el, v);
    }
    return v;
}
