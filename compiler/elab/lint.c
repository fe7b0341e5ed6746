/* lint.c: warnings about methods: what is legal and most likely not meant. Each has a name that `--allow` and `--deny`
** take; those that need no more than a test where they stand are raised there.
*/
#include "compiler/elab/elab.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- eval_eps_differs ---- */

/* Of the budget, or of what an attack was given for it? That has been counted when it was computed. */
static bool is_budget(El *el, ElVal eps)
{
    AdvValueId v = eps.t;
    for (AdvNodeId n = adv_value(el->g, v)->def; n.i && adv_node_is(el->g, n, "stop_grad"); n = adv_value(el->g, v)->def)
        v = adv_node_in(el->g, n, 0);
    return el->budget_done && el->budget_eps.kind == EL_TENSOR && v.i == el->budget_eps.t.i;
}

void el_lint_radius(El *el, ElVal eps)
{
    if (eps.kind == EL_TENSOR && el->in_step && !is_budget(el, eps)) el->radii_open = true;
    if (eps.kind != EL_NUMBER || !(eps.num > 0)) return;
    if (el->in_step) *ADV_PUSH(el->arena, &el->radii) = eps.num;
    else if (el->in_eval) *ADV_PUSH(el->arena, &el->eval_radii) = eps.num;
}

void el_lint_eval_radii(El *el, const char *name, AdvSpan at)
{
    bool same = !el->radii.n || !el->eval_radii.n || el->radii_open;
    double largest = 0;
    for (uint32_t i = 0; i < el->radii.n; i++) {
        double r = el->radii.at[i];
        if (r > largest) largest = r;
        for (uint32_t k = 0; k < el->eval_radii.n; k++) same |= fabs(r - el->eval_radii.at[k]) <= 0.02*r; /* 0.031 passes for 8/255 */
    }
    el->eval_radii.n = 0;
    if (same) return;
    AdvDiag *d = el_diag(el, ADV_D_EVAL_EPS, at, "no attack of `%s` has the radius that training has, %.6g", name, largest);
    adv_diag_help(d, "evaluate at the training radius, too, or results cannot be compared with those of others");
}

/* ---- eps_can_reach_zero: what the graph says of a value's range ---- */

typedef struct Range {
    double lo, hi;
} Range;
static const Range anything = {-INFINITY, INFINITY};

static Range range_of(El *el, AdvValueId v, uint32_t depth);

static Range range_mul(Range a, Range b)
{
    double p[4] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
    Range r = {INFINITY, -INFINITY};
    for (int i = 0; i < 4; i++) {
        if (isnan(p[i])) return anything;
        r.lo = fmin(r.lo, p[i]);
        r.hi = fmax(r.hi, p[i]);
    }
    return r;
}

/* (v - min)/(max - min), which `minmax` becomes */
static bool is_minmax(El *el, AdvNodeId n)
{
    AdvNodeId above = adv_value(el->g, adv_node_in(el->g, n, 0))->def;
    if (!above.i || !adv_node_is(el->g, above, "sub")) return false;
    AdvNodeId least = adv_value(el->g, adv_node_in(el->g, above, 1))->def;
    if (least.i && adv_node_is(el->g, least, "reshape")) least = adv_value(el->g, adv_node_in(el->g, least, 0))->def;
    return least.i && adv_node_is(el->g, least, "reduce_min");
}

static Range range_binary(const char *op, Range a, Range b, bool *known)
{
    *known = true;
    if (!strcmp(op, "add")) return (Range){a.lo + b.lo, a.hi + b.hi};
    if (!strcmp(op, "sub")) return (Range){a.lo - b.hi, a.hi - b.lo};
    if (!strcmp(op, "mul")) return range_mul(a, b);
    if (!strcmp(op, "min")) return (Range){fmin(a.lo, b.lo), fmin(a.hi, b.hi)};
    if (!strcmp(op, "max")) return (Range){fmax(a.lo, b.lo), fmax(a.hi, b.hi)};
    if (!strcmp(op, "div") && b.lo > 0) return range_mul(a, (Range){1 / b.hi, 1 / b.lo});
    *known = false;
    return anything;
}

static Range range_of(El *el, AdvValueId v, uint32_t depth)
{
    static const char *const same[] = {"reshape", "broadcast", "stop_grad", "slice", "reduce_min", "reduce_max", "mean"};
    static const char *const positive[] = {"relu", "abs", "sqrt", "norm1", "norm2", "entropy", "ce", "kl"};
    static const char *const unit[] = {"sigmoid", "softmax", "eq", "ne", "lt", "le", "gt", "ge", "and_", "or_", "not_", "any", "all"};
    double number;
    if (adv_value_number(el->g, v, &number)) return (Range){number, number};
    AdvNodeId n = adv_value(el->g, v)->def;
    if (!n.i || depth > 64) return anything;
    const char *op = adv_node(el->g, n)->op->name;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (!strcmp(op, same[i])) return range_of(el, adv_node_in(el->g, n, 0), depth + 1);
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
        if (!strcmp(op, positive[i])) return (Range){0, INFINITY};
    for (size_t i = 0; i < sizeof unit / sizeof *unit; i++)
        if (!strcmp(op, unit[i])) return (Range){0, 1};
    if (!strcmp(op, "sign")) return (Range){-1, 1};
    if (!strcmp(op, "exp")) return (Range){exp(range_of(el, adv_node_in(el->g, n, 0), depth + 1).lo) + DBL_MIN, INFINITY};
    if (!strcmp(op, "safe_div") && is_minmax(el, n)) return (Range){0, 1};
    if (adv_node(el->g, n)->n_in < 2) return anything;
    Range a = range_of(el, adv_node_in(el->g, n, 0), depth + 1), b = range_of(el, adv_node_in(el->g, n, 1), depth + 1);
    bool known;
    Range r = range_binary(op, a, b, &known);
    if (known || adv_node(el->g, n)->n_in < 3) return r;
    Range c = range_of(el, adv_node_in(el->g, n, 2), depth + 1);
    if (!strcmp(op, "clip")) return (Range){fmin(fmax(a.lo, b.lo), c.lo), fmin(fmax(a.hi, b.hi), c.hi)};
    if (!strcmp(op, "select")) return (Range){fmin(b.lo, c.lo), fmax(b.hi, c.hi)};
    return anything;
}

void el_lint_zero(El *el, ElVal eps, ElVal lo, AdvSpan at)
{
    if (!el->in_step || el_bad(eps)) return;
    double least = eps.kind == EL_NUMBER ? eps.num : range_of(el, eps.t, 0).lo;
    if (!el_bad(lo)) least = fmax(least, lo.kind == EL_NUMBER ? lo.num : range_of(el, lo.t, 0).lo);
    if (least > 0 || isinf(least)) return; /* of a state, say, nothing is known */
    AdvDiag *d = el_diag(el, ADV_D_EPS_ZERO, at, "`eps` can become 0, and a sample with a radius of 0 is trained naturally");
    adv_diag_help(d, "add a smallest radius, or give `within` a lower bound above 0");
}

/* ---- step_beyond_ball ---- */

void el_lint_step(El *el, ElVal z, ElVal eps, AdvSpan at)
{
    if (z.kind != EL_TENSOR || !el_is_value(eps)) return;
    AdvNodeId n = adv_value(el->g, z.t)->def;
    bool is_sum = n.i && (adv_node_is(el->g, n, "add") || adv_node_is(el->g, n, "sub"));
    double radius = eps.kind == EL_NUMBER ? eps.num : range_of(el, eps.t, 0).hi;
    for (uint32_t k = 0; is_sum && k < 2; k++) {
        Range r = range_of(el, adv_node_in(el->g, n, k), 0);
        if (isinf(r.hi) || r.lo != -r.hi || r.hi <= 2*radius*(1 + 1e-6)) continue; /* a step of signs goes as far both ways */
        AdvDiag *d = el_diag(el, ADV_D_STEP_WIDE, at, "a step of %.6g goes beyond the other side of a ball of radius %.6g", r.hi, radius);
        if (r.hi >= 1) adv_diag_help(d, "images are in 0..1: write `%.6g/255` for a step of %.6g grey levels", r.hi, r.hi);
        else adv_diag_help(d, "each turn ends at a corner of the ball: a step is some part of the radius");
        return;
    }
}

/* ---- test_used_for_selection ---- */

/* Something reads a result of evaluation `eval`, which so decides ... */
void el_lint_selection(El *el, const char *eval, AdvSpan at, const char *decides)
{
    const Ast *t = el->recipe->ast;
    for (uint32_t i = 0; i < el->recipe->items.n && !el->told_selection; i++) {
        ElItem *it = el->recipe->items.at[i];
        bool is_eval = it->kind == EL_ITEM_SECTION && !strcmp(adv_str(el->names, it->name), "eval");
        if (!is_eval || strcmp(adv_str(el->names, ast(t, it->node)->name2), eval)) continue;
        AstId on = el_section_key(el, el_section_block(el, it), "on");
        AstId part = on.i && ast(t, on)->kind == AST_CALL ? ast(t, ast(t, on)->first)->first : on; /* test.first(1000) */
        if (part.i && strcmp(adv_str(el->names, ast(t, part)->name), "test")) continue;
        AdvDiag *d = el_diag(el, ADV_D_TEST_SELECTION, at, "the test set decides %s", decides);
        adv_diag_help(d, "hold samples back with `val = 5000` in `data`, and evaluate `on = val`");
        el->told_selection = true;
    }
}

/* ---- call_repeated_after_update ---- */

void el_lint_again(El *el, const ElModel *m, const ElMemo *memo, AdvSpan at)
{
    if (el->in_eval) return;
    for (uint32_t i = 0; i < el->memos.n; i++) {
        const ElMemo *old = el->memos.at[i];
        if (old == memo || old->model != m || old->args_key != memo->args_key || old->n_updates == memo->n_updates ||
            old->region.i != memo->region.i)
            continue;
        AdvDiag *d = el_diag(el, ADV_D_CALL_REPEATED, at,
                             "%s was computed before the weights of `%s` moved, and is computed again with the new ones", el_text(el, at),
                             adv_str(el->names, m->name));
        if (old->result.span.file) adv_diag_note(d, old->result.span, "computed here with the old weights");
        adv_diag_help(d, "if the old value is meant, give it a name and use that; if the new one is, write `%s.again` or allow this lint",
                      adv_str(el->names, m->name));
        return;
    }
}

/* ---- signal_unused, inside a step ---- */

void el_lint_locals(El *el, const ElScope *s)
{
    for (const ElBind *b = s->binds; b; b = b->next)
        if (!b->used && !el_bad(b->val)) el_diag(el, ADV_D_SIGNAL_UNUSED, b->at, "nothing uses `%s`", adv_str(el->names, b->name));
}
