/* builtin.c: the built-in functions: a table of name, parameters, what it does and its line in the reference. */
#include "compiler/elab/elab.h"

#include <math.h>
#include <string.h>

#define A(k) (c->arg[k])
#define GIVEN(k) (c->given[k])

static ElVal wrong(ElCall *c, uint32_t k, const char *needs)
{
    return el_error(c->el, ADV_D_ARGUMENT_KIND, A(k).span, "`%s` needs %s, but this is %s", c->name, needs, el_describe(c->el, A(k)));
}

static ElVal ew(ElCall *c, const char *op, uint32_t n, ElSort sort) { return el_elementwise(c->el, c->span, c->name, op, c->arg, n, sort); }

/* ---- elementwise ---- */

static ElVal fn_unary(ElCall *c) { return ew(c, c->name, 1, EL_NUM); }

static ElVal min_or_max(ElCall *c, const char *op)
{
    if (c->n_arg == 1 && A(0).kind == EL_LIST) {
        ElVal list = A(0);
        c->arg = list.list;
        c->n_arg = list.n;
    }
    if (c->n_arg == 1) return el_reduce(c->el, c->span, op, A(0));
    ElVal acc = A(0);
    for (uint32_t k = 1; k < c->n_arg; k++) {
        ElVal two[2] = {acc, A(k)};
        acc = el_elementwise(c->el, c->span, c->name, op, two, 2, EL_NUM);
    }
    return acc;
}
static ElVal fn_min(ElCall *c) { return min_or_max(c, "min"); }
static ElVal fn_max(ElCall *c) { return min_or_max(c, "max"); }

static ElVal fn_clip(ElCall *c) { return ew(c, "clip", 3, EL_NUM); }
static ElVal fn_safe_div(ElCall *c) { return ew(c, "safe_div", 3, EL_NUM); }

static ElVal fn_select(ElCall *c)
{
    if (A(1).kind == EL_WEIGHTS || A(1).kind == EL_MODEL || A(2).kind == EL_WEIGHTS || A(2).kind == EL_MODEL)
        return el_weights_select(c->el, c->span, A(0), A(1), A(2));
    if (A(1).sort == EL_CLASS && A(2).sort != EL_CLASS && A(2).kind != EL_NUMBER) return wrong(c, 2, "a class index, as its other side");
    return ew(c, "select", 3, A(1).sort == A(2).sort ? (ElSort)A(1).sort : EL_NUM);
}

/* ---- reductions ---- */

static ElVal fn_reduce(ElCall *c)
{
    if (!strcmp(c->name, "norm2") && (A(0).kind == EL_WEIGHTS || A(0).kind == EL_MODEL)) {
        ElVal w = A(0).kind == EL_MODEL ? el_model_weights(c->el, A(0).model, c->span) : A(0);
        AdvValueId total = {0};
        if (el_bad(w)) return w;
        for (uint32_t k = 0; k < el_n_weights(w.model); k++) {
            AdvValueId s = el_n1(c->el, c->span, "sum", el_n2(c->el, c->span, "mul", w.w[k], w.w[k]));
            total = total.i ? el_n2(c->el, c->span, "add", total, s) : s;
        }
        if (!el_n_weights(w.model)) return el_number(0, c->span);
        return el_tensor(c->el, el_n1(c->el, c->span, "sqrt", total), ADV_RATE_BATCH, EL_NUM, c->span);
    }
    return el_reduce(c->el, c->span, c->name, A(0));
}

/* ---- classes ---- */

static bool is_classes(ElCall *c, uint32_t k, bool probs_too)
{
    ElVal v = A(k);
    if (v.kind != EL_TENSOR || v.rate != ADV_RATE_SAMPLE || el_rank(c->el, v) != 1) {
        wrong(c, k, "one entry per class of each sample, [N,K]");
        return false;
    }
    if (!probs_too && v.sort == EL_PROBS) {
        AdvDiag *d = el_diag(c->el, ADV_D_KIND, v.span, "`%s` takes logits, but this is probabilities", c->name);
        adv_diag_help(d, "leave the `softmax` out: `%s` has its own", c->name);
        return false;
    }
    return true;
}

/* Argument k: a class among the entries of argument 0. */
static bool is_class(ElCall *c, uint32_t k)
{
    if (A(k).kind == EL_TENSOR && A(k).sort == EL_CLASS && !el_rank(c->el, A(k))) return el_class_fits(c->el, A(k), A(0), A(0).span);
    wrong(c, k, "a class index");
    return false;
}

static ElVal row_op(ElCall *c, const char *op, bool probs_too, ElSort sort)
{
    if (!is_classes(c, 0, probs_too)) return el_poison(c->span);
    return el_tensor(c->el, el_n1(c->el, c->span, op, A(0).t), ADV_RATE_SAMPLE, sort, c->span);
}
static ElVal fn_softmax(ElCall *c) { return row_op(c, "softmax", false, EL_PROBS); }
static ElVal fn_log_softmax(ElCall *c) { return row_op(c, "log_softmax", false, EL_NUM); }
static ElVal fn_logsumexp(ElCall *c) { return row_op(c, "logsumexp", true, EL_NUM); }
static ElVal fn_argmax(ElCall *c)
{
    if (!is_classes(c, 0, true)) return el_poison(c->span);
    return el_class(c->el, el_n1(c->el, c->span, "argmax", A(0).t), el_dim(c->el, A(0), 0), c->span);
}

static ElVal fn_entropy(ElCall *c)
{
    if (!is_classes(c, 0, true)) return el_poison(c->span);
    if (A(0).sort != EL_PROBS) {
        AdvDiag *d = el_diag(c->el, ADV_D_KIND, A(0).span, "`entropy` takes probabilities, but this is %s", el_describe(c->el, A(0)));
        adv_diag_help(d, "write `entropy(softmax(z))`");
        return el_poison(c->span);
    }
    return row_op(c, "entropy", true, EL_NUM);
}

static ElVal fn_ce(ElCall *c)
{
    if (!is_classes(c, 0, false) || !is_class(c, 1)) return el_poison(c->span);
    return el_tensor(c->el, el_n2(c->el, c->span, "ce", A(0).t, A(1).t), ADV_RATE_SAMPLE, EL_NUM, c->span);
}

static ElVal fn_kl(ElCall *c)
{
    if (!is_classes(c, 0, false) || !is_classes(c, 1, false)) return el_poison(c->span);
    return el_tensor(c->el, el_n2(c->el, c->span, "kl", A(0).t, A(1).t), ADV_RATE_SAMPLE, EL_NUM, c->span);
}

static ElVal fn_other(ElCall *c)
{
    if (!is_classes(c, 0, true) || !is_class(c, 1)) return el_poison(c->span);
    AdvAttr a = adv_attr_f(-INFINITY);
    AdvValueId in[2] = {A(0).t, A(1).t};
    return el_tensor(c->el, el_node(c->el, c->span, "put", in, 2, &a), ADV_RATE_SAMPLE, EL_NUM, c->span);
}

static ElVal fn_max_other(ElCall *c)
{
    ElVal o = fn_other(c);
    return el_bad(o) ? o : el_reduce(c->el, c->span, "max", o);
}

static ElVal nth(ElCall *c, bool want_class)
{
    int64_t k;
    if (!is_classes(c, 0, true) || !el_int(c->el, A(1), "the rank of `nth`", 1, el_dim(c->el, A(0), 0), &k)) return el_poison(c->span);
    AdvAttr a = adv_attr_i(k);
    AdvValueId cls = el_node(c->el, c->span, "nth_class", &A(0).t, 1, &a);
    if (want_class) return el_class(c->el, cls, el_dim(c->el, A(0), 0), c->span);
    return el_tensor(c->el, el_n2(c->el, c->span, "pick", A(0).t, cls), ADV_RATE_SAMPLE, EL_NUM, c->span);
}
static ElVal fn_nth(ElCall *c) { return nth(c, false); }
static ElVal fn_nth_class(ElCall *c) { return nth(c, true); }

/* ---- the batch ---- */

static ElVal fn_minmax(ElCall *c)
{
    El *el = c->el;
    ElVal v = A(0);
    if (v.kind != EL_TENSOR || v.rate != ADV_RATE_SAMPLE || el_rank(el, v)) return wrong(c, 0, "one number per sample");
    ElVal lo = el_reduce(el, c->span, "min", v), hi = el_reduce(el, c->span, "max", v);
    ElVal above[2] = {v, lo}, range[2] = {hi, lo};
    ElVal three[3] = {el_elementwise(el, c->span, "minmax", "sub", above, 2, EL_NUM),
                      el_elementwise(el, c->span, "minmax", "sub", range, 2, EL_NUM), el_number(0.5, c->span)};
    return el_elementwise(el, c->span, "minmax", "safe_div", three, 3, EL_NUM);
}

/* ---- random draws ---- */

/* `shared = [sample, row]`: *per_sample and dim[] of the draw, which leaves these coordinates out. */
static bool shared_of(ElCall *c, ElVal list, uint32_t rank, int64_t *dim, bool *per_sample)
{
    static const char *const names[] = {"channel", "row", "col"};
    if (list.kind != EL_LIST) {
        el_error(c->el, ADV_D_ARGUMENT_KIND, list.span, "`shared` is a list of coordinates, as in `shared = [sample]`");
        return false;
    }
    for (uint32_t i = 0; i < list.n; i++) {
        ElVal v = list.list[i];
        const char *word = v.kind == EL_NAME ? adv_str(c->el->names, v.name) : v.kind == EL_FN ? v.fn->name : "";
        uint32_t k = 0;
        while (k < 3 && strcmp(word, names[k])) k++;
        if (!strcmp(word, "sample")) *per_sample = false;
        else if (k < 3 && rank == 3) dim[k] = 1;
        else {
            el_error(c->el, ADV_D_ARGUMENT_KIND, v.span, "a draw may share `sample`%s",
                     rank == 3 ? ", `channel`, `row` and `col`" : "; `channel`, `row` and `col` are of images");
            return false;
        }
    }
    return true;
}

/* Arguments of a draw behind `like`: draw, shared. */
static ElVal random_like(ElCall *c, int dist, ElVal like, uint32_t draw_ix, const char *what)
{
    El *el = c->el;
    int64_t draw = 0, dim[ADV_MAX_RANK] = {0}, full[ADV_MAX_RANK] = {0};
    uint32_t rank = el_rank(el, like);
    bool has_n = like.rate == ADV_RATE_SAMPLE, per_sample = has_n;
    if (like.kind != EL_TENSOR)
        return el_error(el, ADV_D_ARGUMENT_KIND, like.span, "`like` names what the noise is shaped like, a tensor, but this is %s",
                        el_describe(el, like));
    if (GIVEN(draw_ix) && !el_int(el, A(draw_ix), "`draw`", 0, EL_MAX_DRAWS - 1, &draw)) return el_poison(c->span);
    for (uint32_t i = 0; i < rank; i++) dim[i] = full[i] = el_dim(el, like, i);
    if (GIVEN(draw_ix + 1) && !shared_of(c, A(draw_ix + 1), rank, dim, &per_sample)) return el_poison(c->span);
    ElVal v = el_draw(el, c->span, dist, 0.5, el_purpose(el, what), per_sample, rank, dim, draw);
    if (el_bad(v) || !memcmp(dim, full, sizeof dim)) return v;
    AdvTensorType t = {.dtype = el->g->float_dtype};
    if (per_sample) t.dim[t.rank++] = el->n_batch;
    for (uint32_t i = 0; i < rank; i++) t.dim[t.rank++] = full[i];
    return el_tensor(el, el_broadcast(el, c->span, v, t, per_sample), (AdvRate)v.rate, EL_NUM, c->span);
}
static ElVal fn_normal(ElCall *c) { return random_like(c, 1, A(0), 1, "normal"); }
static ElVal fn_rademacher(ElCall *c) { return random_like(c, 2, A(0), 1, "rademacher"); }

static ElVal fn_uniform(ElCall *c)
{
    El *el = c->el;
    ElVal u = random_like(c, 0, A(2), 3, "uniform");
    if (el_bad(u)) return u;
    for (uint32_t k = 0; k < 2; k++)
        if (A(k).rate > A(2).rate || el_rank(el, A(k)) > el_rank(el, A(2)))
            return wrong(c, k, "bounds that change no more often than `like`");
    ElVal range[2] = {A(1), A(0)};
    ElVal two[2] = {u, el_elementwise(el, c->span, "uniform", "sub", range, 2, EL_NUM)};
    ElVal sum[2] = {A(0), el_elementwise(el, c->span, "uniform", "mul", two, 2, EL_NUM)};
    return el_elementwise(el, c->span, "uniform", "add", sum, 2, EL_NUM);
}

/* ---- gradients ---- */

static ElVal fn_grad(ElCall *c)
{
    El *el = c->el;
    ElVal *of = &A(1), *out;
    uint32_t n = 1;
    if (A(1).kind == EL_LIST) { of = A(1).list; n = A(1).n; }
    out = ADV_NEW_ARRAY(el->arena, ElVal, n + 1);
    ElVal r = el_grad(el, c->span, A(0), of, n, out, el->live);
    if (el_bad(r)) return r;
    if (A(1).kind != EL_LIST) return out[0];
    return (ElVal){.kind = EL_LIST, .list = out, .n = n, .span = c->span};
}

static ElVal fn_detach(ElCall *c) { return el_stop_grad(c->el, A(0)); }
static ElVal fn_live(ElCall *c) { return A(0); }

/* ---- balls ---- */

static ElVal ball(ElCall *c)
{
    El *el = c->el;
    ElVal z = A(0), x = A(1), eps = A(2);
    bool l2 = GIVEN(3) && A(3).kind == EL_NAME && !strcmp(adv_str(el->names, A(3).name), "l2");
    if (GIVEN(3) && !l2 && !(A(3).kind == EL_NAME && !strcmp(adv_str(el->names, A(3).name), "linf"))) return wrong(c, 3, "`linf` or `l2`");
    if (!el_is_value(eps) || el_rank(el, eps)) return wrong(c, 2, "a radius, at most one number per sample");
    if (!el_radius_ok(el, eps, eps.span)) return el_poison(c->span);
    for (ElFrame *f = el->frame; f; f = f->up)
        if (f->is_attack || f == el->frame) f->attack_norm = l2 ? EL_L2 : EL_LINF;
    ElVal three[3] = {z, x, eps};
    if (!l2) el_lint_step(el, z, eps, c->span);
    if (!l2) return el_elementwise(el, c->span, c->name, "ball_linf", three, 3, EL_NUM);
    ElVal d = el_elementwise(el, c->span, c->name, "sub", three, 2, EL_NUM);
    ElVal q[3] = {eps, el_reduce(el, c->span, "norm2", d), el_number(1, c->span)};
    ElVal lim[2] = {el_elementwise(el, c->span, c->name, "safe_div", q, 3, EL_NUM), el_number(1, c->span)};
    ElVal s[2] = {d, el_elementwise(el, c->span, c->name, "min", lim, 2, EL_NUM)};
    ElVal sum[2] = {x, el_elementwise(el, c->span, c->name, "mul", s, 2, EL_NUM)};
    return el_elementwise(el, c->span, c->name, "add", sum, 2, EL_NUM);
}

/* Notes on the images which ball they are in: the one just made. */
static ElVal in_ball(const ElCall *c, ElVal images)
{
    if (!el_bad(images) && c->el->frame) images.norm = c->el->frame->attack_norm;
    return images;
}

static ElVal fn_ball(ElCall *c) { return in_ball(c, ball(c)); }

static ElVal fn_project(ElCall *c)
{
    ElVal three[3] = {ball(c), el_number(0, c->span), el_number(1, c->span)};
    return in_ball(c, el_elementwise(c->el, c->span, c->name, "clip", three, 3, EL_NUM));
}

/* ---- shape of examples ---- */

static ElVal image_dim(ElCall *c, uint32_t k)
{
    if (A(0).kind != EL_TENSOR || el_rank(c->el, A(0)) <= k) return wrong(c, 0, "an image [N,C,H,W]");
    return el_number((double)el_dim(c->el, A(0), k), c->span);
}
static ElVal fn_channels(ElCall *c) { return image_dim(c, 0); }
static ElVal fn_height(ElCall *c) { return image_dim(c, 1); }
static ElVal fn_width(ElCall *c) { return image_dim(c, 2); }

static ElVal coordinate(ElCall *c, uint32_t axis)
{
    El *el = c->el;
    if (A(0).kind != EL_TENSOR || el_rank(el, A(0)) != 3) return wrong(c, 0, "an image [N,C,H,W]");
    AdvAttr n = adv_attr_i(el_dim(el, A(0), axis)), f32 = adv_attr_i(0);
    AdvValueId v = el_node(el, c->span, "iota", NULL, 0, &n);
    v = el_node(el, c->span, "cast", &v, 1, &f32);
    int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, 3);
    for (uint32_t i = 0; i < 3; i++) dims[i] = i == axis ? el_dim(el, A(0), axis) : 1;
    AdvAttr r = adv_attr_ints(dims, 3);
    return el_tensor(el, el_node(el, c->span, "reshape", &v, 1, &r), ADV_RATE_ONCE, EL_NUM, c->span);
}
static ElVal fn_channel(ElCall *c) { return coordinate(c, 0); }
static ElVal fn_row(ElCall *c) { return coordinate(c, 1); }
static ElVal fn_col(ElCall *c) { return coordinate(c, 2); }

/* ---- repetition at compile time ---- */

static bool turns(ElCall *c, int64_t *out_n)
{
    if (!el_int(c->el, A(0), "the number of terms", 1, 4096, out_n)) return false;
    if (A(1).kind == EL_FN) return true;
    wrong(c, 1, "a function, as in `i => e`");
    return false;
}

static ElVal sum_of(ElCall *c, int64_t n)
{
    ElVal acc = el_poison(c->span);
    for (int64_t i = 0; i < n; i++) {
        ElVal v = el_call1(c->el, A(1).fn, el_number((double)i, c->span), c->span);
        ElVal two[2] = {acc, v};
        if (el_bad(v)) return v;
        acc = i ? el_elementwise(c->el, c->span, c->name, "add", two, 2, EL_NUM) : v;
    }
    return acc;
}

static ElVal fn_sum_over(ElCall *c)
{
    int64_t n;
    return turns(c, &n) ? sum_of(c, n) : el_poison(c->span);
}

static ElVal fn_mean_over(ElCall *c)
{
    int64_t n;
    if (!turns(c, &n)) return el_poison(c->span);
    ElVal two[2] = {sum_of(c, n), el_number((double)n, c->span)};
    return el_elementwise(c->el, c->span, c->name, "div", two, 2, EL_NUM);
}

static ElVal fn_each(ElCall *c)
{
    int64_t n;
    if (!turns(c, &n)) return el_poison(c->span);
    ElVal r = {.kind = EL_LIST, .span = c->span, .n = (uint32_t)n};
    r.list = ADV_NEW_ARRAY(c->el->arena, ElVal, n + 1);
    for (int64_t i = 0; i < n; i++)
        if (el_bad(r.list[i] = el_call1(c->el, A(1).fn, el_number((double)i, c->span), c->span))) return r.list[i];
    return r;
}

/* (1/K) sum_k Var_t p_k over `draws` passes, biased. */
static ElVal fn_mc_variance(ElCall *c)
{
    El *el = c->el;
    int64_t n;
    if (A(0).kind != EL_FN) return wrong(c, 0, "a function of the draw, as in `i => softmax(f.mc(x, draw = i))`");
    if (!el_int(el, A(1), "`draws`", 2, EL_MAX_DRAWS, &n)) return el_poison(c->span);
    ElVal p[EL_MAX_DRAWS], sum = {0}, square = {0};
    for (int64_t i = 0; i < n; i++) {
        if (el_bad(p[i] = el_call1(el, A(0).fn, el_number((double)i, c->span), c->span))) return p[i];
        ElVal add[2] = {sum, p[i]};
        sum = i ? el_elementwise(el, c->span, c->name, "add", add, 2, EL_NUM) : p[i];
    }
    ElVal div[2] = {sum, el_number((double)n, c->span)}, mean = el_elementwise(el, c->span, c->name, "div", div, 2, EL_NUM);
    for (int64_t i = 0; i < n; i++) {
        ElVal sub[2] = {p[i], mean}, d = el_elementwise(el, c->span, c->name, "sub", sub, 2, EL_NUM), dd[2] = {d, d};
        ElVal add[2] = {square, el_elementwise(el, c->span, c->name, "mul", dd, 2, EL_NUM)};
        square = i ? el_elementwise(el, c->span, c->name, "add", add, 2, EL_NUM) : add[1];
    }
    ElVal last[2] = {square, el_number((double)n, c->span)};
    ElVal var = el_elementwise(el, c->span, c->name, "div", last, 2, EL_NUM);
    return el_rank(el, var) ? el_reduce(el, c->span, "mean", var) : var;
}

/* ---- schedules ---- */

static bool keys_ok(ElCall *c)
{
    if (A(0).kind != EL_PAIRS || A(0).n < 2) {
        wrong(c, 0, "a list with keys, as in `[1: 0.1, 75: 0.01]`");
        return false;
    }
    for (uint32_t i = 0; i < A(0).n; i += 2) {
        double k, before;
        if (!el_float(c->el, A(0).list[i], "a key", &k)) return false;
        if (i && el_float(c->el, A(0).list[i - 2], "a key", &before) && before >= k) {
            el_error(c->el, ADV_D_OUT_OF_RANGE, A(0).list[i].span, "keys must rise, but %g comes after %g", k, before);
            return false;
        }
    }
    return true;
}

/* Of `steps` alone: a line that begins at 0 is at its second value all the same when its second key comes. */
static void lint_epoch_zero(ElCall *c)
{
    if (GIVEN(1) || A(0).list[0].num >= 1) return;
    AdvDiag *d = el_diag(c->el, ADV_D_EPOCH_ZERO, A(0).list[0].span, "epochs count from 1, so none is epoch %g", A(0).list[0].num);
    adv_diag_help(d, "begin with the key 1; keys of a table that counts from 0 are one more here");
}

static ElVal at_of(ElCall *c)
{
    ElVal at = GIVEN(1) ? A(1) : el_epoch(c->el, c->span);
    double first = A(0).list[0].num;
    if (!GIVEN(1) && first > 1)
        return el_error(c->el, ADV_D_OUT_OF_RANGE, A(0).list[0].span, "epochs count from 1, but the first key is %g", first);
    return at;
}

static ElVal fn_steps(ElCall *c)
{
    El *el = c->el;
    if (!keys_ok(c)) return el_poison(c->span);
    lint_epoch_zero(c);
    ElVal at = at_of(c), acc = A(0).list[1];
    for (uint32_t i = 2; i < A(0).n; i += 2) {
        ElVal ge[2] = {at, A(0).list[i]};
        ElVal pick[3] = {el_elementwise(el, c->span, "steps", "ge", ge, 2, EL_COND), A(0).list[i + 1], acc};
        acc = el_elementwise(el, c->span, "steps", "select", pick, 3, EL_NUM);
    }
    return acc;
}

static ElVal fn_linear(ElCall *c)
{
    El *el = c->el;
    if (!keys_ok(c)) return el_poison(c->span);
    ElVal at = at_of(c), acc = A(0).list[1];
    for (uint32_t i = 2; i < A(0).n; i += 2) {  /* acc + (v - v_before)*clip((at - k)/(k' - k), 0, 1) */
        ElVal k0 = A(0).list[i - 2], k1 = A(0).list[i];
        ElVal s[2] = {at, k0}, w[2] = {k1, k0};
        ElVal q[2] = {el_elementwise(el, c->span, "linear", "sub", s, 2, EL_NUM),
                      el_elementwise(el, c->span, "linear", "sub", w, 2, EL_NUM)};
        ElVal t[3] = {el_elementwise(el, c->span, "linear", "div", q, 2, EL_NUM), el_number(0, c->span), el_number(1, c->span)};
        ElVal dv[2] = {A(0).list[i + 1], A(0).list[i - 1]};
        ElVal m[2] = {el_elementwise(el, c->span, "linear", "clip", t, 3, EL_NUM),
                      el_elementwise(el, c->span, "linear", "sub", dv, 2, EL_NUM)};
        ElVal add[2] = {acc, el_elementwise(el, c->span, "linear", "mul", m, 2, EL_NUM)};
        acc = el_elementwise(el, c->span, "linear", "add", add, 2, EL_NUM);
    }
    return acc;
}

/* last + (first - last)*(1 + cos(pi*at))/2, with `at` kept in 0..1. */
static ElVal fn_cosine(ElCall *c)
{
    El *el = c->el;
    ElVal at = GIVEN(2) ? A(2) : el_progress(el, c->span), zero = el_number(0, c->span), one = el_number(1, c->span);
    ElVal in[3] = {at, zero, one}, turn[2] = {el_number(acos(-1), c->span), el_elementwise(el, c->span, c->name, "clip", in, 3, EL_NUM)};
    ElVal angle = el_elementwise(el, c->span, c->name, "mul", turn, 2, EL_NUM);
    ElVal wave[2] = {one, el_elementwise(el, c->span, c->name, "cos", &angle, 1, EL_NUM)}, ends[2] = {A(0), A(1)};
    ElVal part[2] = {el_elementwise(el, c->span, c->name, "add", wave, 2, EL_NUM), el_number(0.5, c->span)};
    ElVal product[2] = {el_elementwise(el, c->span, c->name, "sub", ends, 2, EL_NUM),
                        el_elementwise(el, c->span, c->name, "mul", part, 2, EL_NUM)};
    ElVal sum[2] = {A(1), el_elementwise(el, c->span, c->name, "mul", product, 2, EL_NUM)};
    return el_elementwise(el, c->span, c->name, "add", sum, 2, EL_NUM);
}

/* ---- weights ---- */

static ElVal fn_scaled_like(ElCall *c)
{
    El *el = c->el;
    if (A(0).kind != EL_WEIGHTS) return wrong(c, 0, "weights, as a gradient by a model");
    if (A(1).kind != EL_MODEL || A(1).model != A(0).model) return wrong(c, 1, "the model these weights belong to");
    ElVal w = el_model_weights(el, A(1).model, c->span), r = A(0);
    if (el_bad(w)) return w;
    r.w = ADV_NEW_ARRAY(el->arena, AdvValueId, w.model->params.n + 1);
    for (uint32_t k = 0; k < el_n_weights(w.model); k++) {
        AdvValueId zero = el_const(el, 0, el->g->float_dtype);
        if (adv_value_type(el->g, w.w[k])->rank < 2) {
            r.w[k] = zero;
            continue;
        }
        AdvValueId scale =
            el_n3(el, c->span, "safe_div", el_n1(el, c->span, "norm2", w.w[k]), el_n1(el, c->span, "norm2", A(0).w[k]), zero);
        r.w[k] = el_n2(el, c->span, "mul", A(0).w[k], scale);
    }
    return r;
}

const ElBuiltin el_builtins[] = {
    {"exp", "v", fn_unary, false, "e^v"},
    {"log", "v", fn_unary, false, "natural logarithm"},
    {"sqrt", "v", fn_unary, false, "square root"},
    {"abs", "v", fn_unary, false, "absolute value"},
    {"sign", "v", fn_unary, false, "-1, 0 or 1; sign(0) is 0; gradient 0"},
    {"floor", "v", fn_unary, false, "gradient 0"},
    {"round", "v", fn_unary, false, "to nearest, ties to even; gradient 0"},
    {"sin", "v", fn_unary, false, "sine, of radians"},
    {"cos", "v", fn_unary, false, "cosine, of radians"},
    {"tanh", "v", fn_unary, false, "hyperbolic tangent"},
    {"sigmoid", "v", fn_unary, false, "1/(1 + e^-v)"},
    {"relu", "v", fn_unary, false, "max(v, 0); gradient 0 at 0"},
    {"min", "*v", fn_min, false, "of several: elementwise; of one: over its shape, or else the batch"},
    {"max", "*v", fn_max, false, "of several: elementwise; of one: over its shape, or else the batch"},
    {"clip", "v, lo, hi", fn_clip, false, "min(max(v, lo), hi); gradient passes inside and on the bounds"},
    {"safe_div", "a, b, otherwise", fn_safe_div, false, "a/b, or `otherwise` where b is 0"},
    {"select", "c, a, b", fn_select, false, "a where c holds, else b; gradient and NaN of the other side never leak"},
    {"sum", "v", fn_reduce, false, "over the shape, or else the batch"},
    {"mean", "v", fn_reduce, false, "over the shape, or else the batch"},
    {"norm1", "v", fn_reduce, false, "sum of absolute values"},
    {"norm2", "v", fn_reduce, false, "root of the sum of squares; gradient 0 at 0"},
    {"any", "v", fn_reduce, false, "1 if one entry is not 0"},
    {"all", "v", fn_reduce, false, "1 if no entry is 0"},
    {"softmax", "z", fn_softmax, false, "probabilities of logits [K]"},
    {"log_softmax", "z", fn_log_softmax, false, "their logarithms"},
    {"logsumexp", "z", fn_logsumexp, false, "log of the sum of e^z"},
    {"entropy", "p", fn_entropy, false, "-sum p log p, natural logarithm, 0 log 0 is 0"},
    {"argmax", "z", fn_argmax, false, "class of the largest entry; ties go to the lowest index"},
    {"ce", "z, y", fn_ce, false, "cross-entropy of logits, per sample"},
    {"kl", "P, Q", fn_kl, false, "kl(P || Q) of logits, per sample"},
    {"other", "z, y", fn_other, false, "z with -inf at y"},
    {"max_other", "z, y", fn_max_other, false, "largest entry but y's"},
    {"nth", "z, k", fn_nth, false, "k-th largest entry, k = 1 is the largest"},
    {"nth_class", "z, k", fn_nth_class, false, "its class"},
    {"minmax", "v", fn_minmax, false, "(v - min)/(max - min) over the batch; 0.5 for a constant batch"},
    {"class_sum", "v, y", el_fn_class_sum, false, "sum of v over the samples of each class, [K]"},
    {"normal", "like, draw=, shared=", fn_normal, false, "standard normal noise shaped like `like`"},
    {"uniform", "lo, hi, like, draw=, shared=", fn_uniform, false, "uniform noise between lo and hi shaped like `like`"},
    {"rademacher", "like, draw=, shared=", fn_rademacher, false, "-1 or 1 with equal chance, shaped like `like`"},
    {"grad", "e, v", fn_grad, false, "gradient of e by a name, or a list of names; a constant for later gradients"},
    {"detach", "v", fn_detach, false, "v as a constant for gradients"},
    {"live", "g", fn_live, false, "keeps the derivatives of grad(...)"},
    {"ball", "z, x, eps, norm=", fn_ball, false, "z projected to the ball of radius eps around x"},
    {"project", "z, x, eps, norm=", fn_project, false, "ball, then clip to 0..1"},
    {"channels", "x", fn_channels, false, "C of an image"},
    {"height", "x", fn_height, false, "H of an image"},
    {"width", "x", fn_width, false, "W of an image"},
    {"row", "x", fn_row, false, "row numbers [1,H,1]"},
    {"col", "x", fn_col, false, "column numbers [1,1,W]"},
    {"channel", "x", fn_channel, false, "channel numbers [C,1,1]"},
    {"sum_over", "n, e", fn_sum_over, false, "sum of e(0) .. e(n-1), written out"},
    {"mean_over", "n, e", fn_mean_over, false, "their mean"},
    {"each", "n, e", fn_each, false, "the list e(0) .. e(n-1)"},
    {"mc_variance", "e, draws", fn_mc_variance, false, "biased variance of e(0) .. e(draws-1), averaged over the shape"},
    {"steps", "keys, at=", fn_steps, false, "piecewise constant; at = epoch"},
    {"linear", "keys, at=", fn_linear, false, "piecewise linear; at = epoch"},
    {"cosine", "first, last, at=", fn_cosine, false, "half a wave from first to last while `at` goes from 0 to 1; at = progress"},
    {"scaled_like", "g, f", fn_scaled_like, false, "per tensor g*norm2(w)/norm2(g); 0 for tensors of fewer than 2 dimensions"},
    {"rank", "v", el_fn_rank, false, "ranks within the batch, 0..1, ties their mean; gradient 0"},
    {"quantile", "v, q", el_fn_quantile, false, "quantile of the batch, linear between samples; gradient to these"},
    {"corr", "a, b", el_fn_corr, false, "correlation over the batch; 0 where one side is constant"},
    {"worst", "f, y, list", el_fn_worst, false, "per sample the first candidate that f gets wrong, else the last"},
    {NULL, NULL, NULL, false, NULL},
};

const ElBuiltin *el_builtin(const char *name)
{
    for (const ElBuiltin *b = el_builtins; b->name; b++)
        if (!strcmp(b->name, name)) return b;
    return NULL;
}
