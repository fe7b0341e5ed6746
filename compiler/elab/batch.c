/* batch.c: built-in functions that couple the samples of a batch, and `worst`, which chooses for each sample.
**
** Ranks and quantiles compare every sample with every other, [N,N], which for a batch costs less than a sort and needs no op of
** its own; so they differentiate, and run on every target, by what they are made of. In an evaluation the rows that pad the
** batch count nowhere.
*/
#include "compiler/elab/elab.h"

#include <math.h>
#include <string.h>

#define A(k) (c->arg[k])

static ElVal wrong(ElCall *c, uint32_t k, const char *needs)
{
    return el_error(c->el, ADV_D_ARGUMENT_KIND, A(k).span, "`%s` needs %s, but this is %s", c->name, needs, el_describe(c->el, A(k)));
}

static bool is_per_sample(ElCall *c, uint32_t k)
{
    if (A(k).kind == EL_TENSOR && A(k).rate == ADV_RATE_SAMPLE && !el_rank(c->el, A(k)) && A(k).sort != EL_CLASS) return true;
    wrong(c, k, "one number per sample");
    return false;
}

static AdvValueId num(ElCall *c, double v) { return el_const(c->el, v, c->el->g->float_dtype); }
static AdvValueId n2(ElCall *c, const char *op, AdvValueId a, AdvValueId b) { return el_n2(c->el, c->span, op, a, b); }

static AdvValueId reshaped(ElCall *c, AdvValueId v, int64_t rows, int64_t cols)
{
    int64_t *dims = ADV_NEW_ARRAY(c->el->arena, int64_t, 2);
    dims[0] = rows;
    dims[1] = cols;
    AdvAttr a = adv_attr_ints(dims, 2);
    return el_node(c->el, c->span, "reshape", &v, 1, &a);
}

/* For each sample i, how many samples j have v_j `op` v_i. */
static AdvValueId count(ElCall *c, const char *op, AdvValueId v)
{
    static const int64_t last[1] = {1};
    El *el = c->el;
    int64_t n = adv_value_type(el->g, v)->dim[0];
    AdvValueId hit = n2(c, op, reshaped(c, v, 1, n), reshaped(c, v, n, 1));
    if (el->mask.kind == EL_TENSOR) hit = n2(c, "mul", hit, reshaped(c, el->mask.t, 1, n));
    AdvAttr a[2] = {adv_attr_ints(last, 1), adv_attr_i(0)};
    return el_node(el, c->span, "sum", &hit, 1, a);
}

static AdvValueId n_samples(ElCall *c, AdvValueId v)
{
    El *el = c->el;
    if (el->mask.kind == EL_TENSOR) return el_n1(el, c->span, "sum", el->mask.t);
    return num(c, (double)adv_value_type(el->g, v)->dim[0]);
}

/* (samples below + half of the other equal ones)/(N - 1); 0.5 for one sample. */
ElVal el_fn_rank(ElCall *c)
{
    El *el = c->el;
    if (!is_per_sample(c, 0)) return el_poison(c->span);
    AdvValueId v = el_graph(el, el_stop_grad(el, A(0)));
    AdvValueId equal = n2(c, "mul", n2(c, "sub", count(c, "eq", v), num(c, 1)), num(c, 0.5));
    AdvValueId below = n2(c, "add", count(c, "lt", v), equal), others = n2(c, "sub", n_samples(c, v), num(c, 1));
    return el_tensor(el, el_n3(el, c->span, "safe_div", below, others, num(c, 0.5)), ADV_RATE_SAMPLE, EL_NUM, c->span);
}

/* The k-th smallest, k from 0: the smallest v_i with at least k + 1 samples at or below it. */
static AdvValueId smallest(ElCall *c, AdvValueId v, AdvValueId at_or_below, AdvValueId k)
{
    static const int64_t first[1] = {0};
    El *el = c->el;
    AdvValueId ok = n2(c, "gt", at_or_below, k);
    if (el->mask.kind == EL_TENSOR) ok = n2(c, "mul", ok, el->mask.t);
    AdvValueId kept = el_n3(el, c->span, "select", ok, v, num(c, INFINITY));
    AdvAttr a[2] = {adv_attr_ints(first, 1), adv_attr_i(0)};
    return el_node(el, c->span, "reduce_min", &kept, 1, a);
}

/* Linear between the two samples around position q*(N - 1), as NumPy and PyTorch do by default. */
ElVal el_fn_quantile(ElCall *c)
{
    El *el = c->el;
    if (!is_per_sample(c, 0)) return el_poison(c->span);
    if (!el_is_value(A(1)) || A(1).rate > ADV_RATE_BATCH || el_rank(el, A(1)))
        return wrong(c, 1, "a number in 0..1, at most one per batch");
    if (A(1).kind == EL_NUMBER && (A(1).num < 0 || A(1).num > 1))
        return el_error(el, ADV_D_OUT_OF_RANGE, A(1).span, "a quantile lies in 0 .. 1, but this is %g", A(1).num);
    AdvValueId v = el_graph(el, A(0)), q = el_graph(el, A(1)), at_or_below = count(c, "le", el_n1(el, c->span, "stop_grad", v));
    AdvValueId last = n2(c, "sub", n_samples(c, v), num(c, 1)), position = n2(c, "mul", q, last), k = el_n1(el, c->span, "floor", position);
    AdvValueId lo = smallest(c, v, at_or_below, k), hi = smallest(c, v, at_or_below, n2(c, "min", n2(c, "add", k, num(c, 1)), last));
    AdvValueId r = n2(c, "add", lo, n2(c, "mul", n2(c, "sub", position, k), n2(c, "sub", hi, lo)));
    return el_tensor(el, r, ADV_RATE_BATCH, EL_NUM, c->span);
}

static ElVal ew(ElCall *c, const char *op, ElVal a, ElVal b)
{
    ElVal two[2] = {a, b};
    return el_elementwise(c->el, c->span, c->name, op, two, 2, EL_NUM);
}

/* Pearson's: mean of the product of the centred sides over the root of the product of their variances. */
ElVal el_fn_corr(ElCall *c)
{
    El *el = c->el;
    if (!is_per_sample(c, 0) || !is_per_sample(c, 1)) return el_poison(c->span);
    ElVal a = ew(c, "sub", A(0), el_reduce(el, c->span, "mean", A(0))), b = ew(c, "sub", A(1), el_reduce(el, c->span, "mean", A(1)));
    ElVal ab = el_reduce(el, c->span, "mean", ew(c, "mul", a, b));
    ElVal aa = el_reduce(el, c->span, "mean", ew(c, "mul", a, a)), bb = el_reduce(el, c->span, "mean", ew(c, "mul", b, b));
    ElVal root = ew(c, "mul", el_elementwise(el, c->span, c->name, "sqrt", &aa, 1, EL_NUM),
                    el_elementwise(el, c->span, c->name, "sqrt", &bb, 1, EL_NUM));
    ElVal q[3] = {ab, root, el_number(0, c->span)};
    return el_elementwise(el, c->span, c->name, "safe_div", q, 3, EL_NUM);
}

ElVal el_fn_class_sum(ElCall *c)
{
    El *el = c->el;
    if (A(1).kind != EL_TENSOR || A(1).sort != EL_CLASS || el_rank(el, A(1))) return wrong(c, 1, "a class index");
    if (!el_is_value(A(0)) || el_rank(el, A(0)) || A(0).sort == EL_CLASS) return wrong(c, 0, "at most one number per sample");
    AdvValueId v = el_broadcast(el, c->span, A(0), el_type(el->g->float_dtype, 1, &el->n_batch), true);
    if (el->mask.kind == EL_TENSOR) v = n2(c, "mul", v, el->mask.t);
    AdvAttr a = adv_attr_i(el->data.classes);
    AdvValueId in[2] = {v, A(1).t};
    return el_tensor(el, el_node(el, c->span, "class_sum", in, 2, &a), ADV_RATE_BATCH, EL_NUM, c->span);
}

/* ---- worst ---- */

static uint32_t n_leaves(ElVal v)
{
    uint32_t n = 0;
    if (v.kind != EL_LIST) return 1;
    for (uint32_t i = 0; i < v.n; i++) n += n_leaves(v.list[i]);
    return n;
}

/* Candidates may stand in lists of their own, as `each` gives them. */
static void flatten(ElVal v, ElVal *out, uint32_t *n)
{
    if (v.kind != EL_LIST) out[(*n)++] = v;
    else
        for (uint32_t i = 0; i < v.n; i++) flatten(v.list[i], out, n);
}

static ElVal logits_of(ElCall *c, ElVal f, ElVal x)
{
    ElArg arg = {.val = x, .span = c->span};
    ElVal z =
        f.kind == EL_MODEL ? el_model_call(c->el, f.model, (ElMode)f.mode, &arg, 1, c->span) : el_call(c->el, f.fn, &arg, 1, c->span, NULL);
    if (!el_bad(z) && (z.kind != EL_TENSOR || z.rate != ADV_RATE_SAMPLE || el_rank(c->el, z) != 1))
        return el_error(c->el, ADV_D_SHAPE_FIT, c->span, "`worst` needs logits [N,K] of its function, but this gives %s",
                        el_describe(c->el, z));
    return z;
}

/* select(wrong at 0, 0, select(wrong at 1, 1, ... last)). In an evaluation the candidates may become stages (eval.c), each made
** by itself: then only the one asked for is given. */
ElVal el_fn_worst(ElCall *c)
{
    El *el = c->el;
    uint32_t n = 0, n_max = n_leaves(A(2));
    uint64_t place = el->frame ? el->frame->place + c->span.off * UINT64_C(0x9e3779b97f4a7c15) : 1;
    if (A(2).kind != EL_LIST || !n_max) return wrong(c, 2, "a list of candidates, as in `[a, b]`");
    if (A(0).kind != EL_MODEL && A(0).kind != EL_FN) return wrong(c, 0, "a function from images to logits");
    if (A(1).kind != EL_TENSOR || A(1).sort != EL_CLASS) return wrong(c, 1, "a class index");
    ElVal *all = ADV_NEW_ARRAY(el->arena, ElVal, n_max);
    flatten(A(2), all, &n);
    for (uint32_t i = 0; i < n; i++)
        if (all[i].kind != EL_TENSOR || all[i].rate != ADV_RATE_SAMPLE)
            return el_error(el, ADV_D_ARGUMENT_KIND, all[i].span, "a candidate is images like x, but this is %s", el_describe(el, all[i]));
    if (el->worst.pick_place == place) return all[el->worst.pick < n ? el->worst.pick : n - 1];
    ElVal r = all[n - 1];
    for (uint32_t k = n - 1; k-- > 0;) {
        ElVal z = logits_of(c, A(0), all[k]);
        if (el_bad(z)) return z;
        AdvValueId miss = n2(c, "ne", el_n1(el, c->span, "argmax", z.t), A(1).t);
        ElVal three[3] = {el_tensor(el, miss, ADV_RATE_SAMPLE, EL_COND, c->span), all[k], r};
        r = el_elementwise(el, c->span, c->name, "select", three, 3, EL_NUM);
        if (el_bad(r)) return r;
    }
    if (el->worst.is_on) {
        el->worst.place = place;
        el->worst.n = n;
        el->worst.out = r.t;
        el->worst.f = A(0);
    }
    return r;
}
