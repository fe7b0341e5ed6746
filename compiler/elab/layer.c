/* layer.c: layers of nets: what has weights or a mode, and `repeat`.
**
** Weights are named by the labels on the way to a layer ("f.layer1.0.conv1" + ".weight"); layers without a label by kind and
** count ("conv1", "conv2"). A model's states are made when its net is first evaluated, when the shapes are known.
*/
#include "compiler/elab/elab.h"
#include "runtime/base/hash.h"

#include <math.h>
#include <string.h>

#define A(k) (c->arg[k])
#define GIVEN(k) (c->given[k])

const char *el_layer_name(El *el, const char *kind)
{
    ElFrame *f = el->frame;
    const char *prefix = adv_str(el->names, f->prefix);
    if (f->label.i) {
        const char *label = adv_str(el->names, f->label);
        f->label = (AdvStr){0};
        return adv_arena_printf(el->arena, "%s.%s", prefix, label);
    }
    AdvStr k = adv_intern(el->names, kind);
    uint32_t i = 0;
    while (i < f->kinds.n && f->kinds.at[i].i != k.i) i++;
    if (i == f->kinds.n) {
        *ADV_PUSH(el->arena, &f->kinds) = k;
        *ADV_PUSH(el->arena, &f->kind_counts) = 0;
    }
    return adv_arena_printf(el->arena, "%s.%s%u", prefix, kind, ++f->kind_counts.at[i]);
}

static ElVal wrong(ElCall *c, uint32_t k, const char *needs)
{
    return el_error(c->el, k == 0 ? ADV_D_SHAPE_FIT : ADV_D_ARGUMENT_KIND, A(k).span, "`%s` needs %s, but this is %s", c->name, needs,
                    el_describe(c->el, A(k)));
}

static bool is_image(ElCall *c)
{
    if (A(0).kind == EL_TENSOR && A(0).rate == ADV_RATE_SAMPLE && el_rank(c->el, A(0)) == 3) return true;
    wrong(c, 0, "images [N,C,H,W]");
    return false;
}

static bool opt_int(ElCall *c, uint32_t k, const char *what, int64_t lo, int64_t hi, int64_t dflt, int64_t *out)
{
    *out = dflt;
    return !GIVEN(k) || el_int(c->el, A(k), what, lo, hi, out);
}

static bool opt_flag(ElCall *c, uint32_t k, bool dflt)
{
    int64_t v = dflt;
    return GIVEN(k) && el_int(c->el, A(k), "a switch", 0, 1, &v) ? v != 0 : dflt;
}

/* Which initialisation `init = ...` names. */
static bool init_of(ElCall *c, uint32_t k, ElInit *out)
{
    *out = EL_INIT_TORCH;
    if (!GIVEN(k)) return true;
    const char *s = A(k).kind == EL_NAME ? adv_str(c->el->names, A(k).name) : "";
    if (!strcmp(s, "he_out")) *out = EL_INIT_HE_OUT;
    else if (!strcmp(s, "zero")) *out = EL_INIT_ZERO;
    else if (strcmp(s, "torch")) {
        wrong(c, k, "`torch`, `he_out` or `zero`");
        return false;
    }
    return true;
}

static AdvValueId per_channel(El *el, AdvSpan at, AdvValueId v, uint32_t rank)
{
    int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, 4);
    for (uint32_t i = 0; i < rank; i++) dims[i] = 1;
    dims[1] = adv_value_type(el->g, v)->dim[0];
    AdvAttr a = adv_attr_ints(dims, rank);
    return el_node(el, at, "reshape", &v, 1, &a);
}

static ElVal layer_conv(ElCall *c)
{
    El *el = c->el;
    int64_t out, size, stride, pad;
    ElInit init;
    if (!is_image(c) || !el_int(el, A(1), "the number of channels", 1, 1 << 20, &out) ||
        !el_int(el, A(2), "the size of a filter", 1, 255, &size))
        return el_poison(c->span);
    if (!opt_int(c, 3, "`stride`", 1, 64, 1, &stride) || !opt_int(c, 4, "`pad`", 0, 64, size / 2, &pad) || !init_of(c, 6, &init))
        return el_poison(c->span);
    int64_t dim[4] = {out, el_dim(el, A(0), 0), size, size};
    const char *name = el_layer_name(el, "conv");
    double fan_in = init == EL_INIT_HE_OUT ? (double)(size * size * out) : (double)(dim[1] * size * size);
    ElVal w = el_net_param(el, c->span, adv_arena_printf(el->arena, "%s.weight", name), el_type(ADV_F32, 4, dim), init, fan_in, 0, false);
    if (el_bad(w)) return w;
    AdvAttr a[2] = {adv_attr_i(stride), adv_attr_i(pad)};
    AdvValueId in[2] = {el_graph(el, A(0)), w.t};
    AdvValueId y = el_node(el, c->span, "conv2d", in, 2, a);
    if (y.i && opt_flag(c, 5, false)) {
        ElVal b = el_net_param(el, c->span, adv_arena_printf(el->arena, "%s.bias", name), el_type(ADV_F32, 1, dim), EL_INIT_TORCH, fan_in,
                               0, false);
        if (el_bad(b)) return b;
        y = el_n2(el, c->span, "add", y, per_channel(el, c->span, b.t, 4));
    }
    return el_tensor(el, y, ADV_RATE_SAMPLE, EL_NUM, c->span);
}

static AdvValueId flat(El *el, AdvSpan at, ElVal v)
{
    AdvValueId g = el_graph(el, v);
    uint32_t rank = el_rank(el, v);
    int64_t n = 1;
    for (uint32_t i = 0; i < rank; i++) n *= el_dim(el, v, i);
    if (rank == 1) return g;
    int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, 2);
    dims[0] = adv_value_type(el->g, g)->dim[0];
    dims[1] = n;
    AdvAttr a = adv_attr_ints(dims, 2);
    return el_node(el, at, "reshape", &g, 1, &a);
}

static ElVal layer_linear(ElCall *c)
{
    El *el = c->el;
    int64_t out;
    ElInit init;
    if (A(0).kind != EL_TENSOR || A(0).rate != ADV_RATE_SAMPLE) return wrong(c, 0, "features of each sample");
    if (!el_int(el, A(1), "the number of outputs", 1, 1 << 24, &out) || !init_of(c, 3, &init)) return el_poison(c->span);
    AdvValueId x = flat(el, c->span, A(0));
    if (!x.i) return el_poison(c->span);
    int64_t dim[2] = {out, adv_value_type(el->g, x)->dim[1]};
    const char *name = el_layer_name(el, "linear");
    double fan_in = init == EL_INIT_HE_OUT ? (double)out : (double)dim[1];
    ElVal w = el_net_param(el, c->span, adv_arena_printf(el->arena, "%s.weight", name), el_type(ADV_F32, 2, dim), init, fan_in, 0, false);
    if (el_bad(w)) return w;
    AdvAttr a[2] = {adv_attr_i(0), adv_attr_i(1)};
    AdvValueId in[2] = {x, w.t}, y = el_node(el, c->span, "matmul", in, 2, a);
    if (y.i && opt_flag(c, 2, true)) {
        ElVal b = el_net_param(el, c->span, adv_arena_printf(el->arena, "%s.bias", name), el_type(ADV_F32, 1, dim),
                               init == EL_INIT_ZERO || init == EL_INIT_HE_OUT ? EL_INIT_ZERO : EL_INIT_TORCH, (double)dim[1], 0, false);
        if (el_bad(b)) return b;
        int64_t *one = ADV_NEW_ARRAY(el->arena, int64_t, 2);
        one[0] = 1;
        one[1] = out;
        AdvAttr r = adv_attr_ints(one, 2);
        y = el_n2(el, c->span, "add", y, el_node(el, c->span, "reshape", &b.t, 1, &r));
    }
    return el_tensor(el, y, ADV_RATE_SAMPLE, EL_NUM, c->span);
}

/* Batch statistics, and the move of the running ones noted in the memo of the call (PyTorch: unbiased variance there). */
static ElVal bn_train(ElCall *c, ElVal x, ElVal w, ElVal b, ElVal rm, ElVal rv, double eps, double momentum)
{
    El *el = c->el;
    AdvAttr a = adv_attr_f(eps);
    AdvValueId in[3] = {x.t, w.t, b.t}, y = el_node(el, c->span, "bn_train", in, 3, &a);
    if (!y.i) return el_poison(c->span);
    AdvValueId mean = {y.i + 1}, var = {y.i + 2};
    const AdvTensorType *t = adv_value_type(el->g, x.t);
    double n = (double)t->dim[0];
    for (uint32_t i = 2; i < t->rank; i++) n *= (double)t->dim[i];
    AdvValueId unbiased =
        el_n2(el, c->span, "mul", el_n1(el, c->span, "stop_grad", var), el_const(el, n / (n > 1 ? n - 1 : 1), el->g->float_dtype));
    *ADV_PUSH(el->arena, &el->frame->memo->stats) = (ElStat){{rm.n}, el_n1(el, c->span, "stop_grad", mean), {0}, momentum};
    *ADV_PUSH(el->arena, &el->frame->memo->stats) = (ElStat){{rv.n}, unbiased, {0}, momentum};
    return el_tensor(el, y, ADV_RATE_SAMPLE, EL_NUM, c->span);
}

/* v over the batch and the pixels of each channel. */
static AdvValueId channel_sum(El *el, AdvSpan at, AdvValueId v, uint32_t rank)
{
    static const int64_t dims[3] = {0, 2, 3};
    AdvAttr a[2] = {adv_attr_ints(dims, rank == 4 ? 3 : 1), adv_attr_i(0)};
    return el_node(el, at, "sum", &v, 1, a);
}

/* The same from the samples where `rows` holds alone; the running statistics if it holds for none, which then stay. */
static ElVal bn_rows(ElCall *c, ElVal x, const ElVal s[4], double eps, double momentum, ElVal rows)
{
    El *el = c->el;
    AdvSpan at = c->span;
    AdvValueId rm = s[2].t, rv = s[3].t;
    const AdvTensorType t = *adv_value_type(el->g, x.t);
    uint8_t f = el->g->float_dtype;
    double hw = t.rank == 4 ? (double)(t.dim[2] * t.dim[3]) : 1;
    AdvValueId zero = el_const(el, 0, f), one = el_const(el, 1, f), m = el_n2(el, at, "ne", el_graph(el, rows), zero);
    AdvValueId by_row = el_fit_to(el, at, (ElVal){.kind = EL_TENSOR, .t = m, .rate = ADV_RATE_SAMPLE, .span = at}, t.rank - 1u, true);
    AdvValueId n = el_n2(el, at, "mul", el_n1(el, at, "sum", m), el_const(el, hw, f)), some = el_n2(el, at, "gt", n, zero),
               n1 = el_n2(el, at, "max", n, one);
    AdvValueId mean = el_n2(el, at, "div", channel_sum(el, at, el_n3(el, at, "select", by_row, x.t, zero), t.rank), n1);
    AdvValueId d = el_n3(el, at, "select", by_row, el_n2(el, at, "sub", x.t, per_channel(el, at, mean, t.rank)), zero);
    AdvValueId var = el_n2(el, at, "div", channel_sum(el, at, el_n2(el, at, "mul", d, d), t.rank), n1);
    AdvValueId unbiased = el_n2(el, at, "mul", var, el_n2(el, at, "div", n1, el_n2(el, at, "max", el_n2(el, at, "sub", n1, one), one)));
    *ADV_PUSH(el->arena, &el->frame->memo->stats) = (ElStat){{s[2].n}, el_n1(el, at, "stop_grad", mean), some, momentum};
    *ADV_PUSH(el->arena, &el->frame->memo->stats) = (ElStat){{s[3].n}, el_n1(el, at, "stop_grad", unbiased), some, momentum};
    mean = el_n3(el, at, "select", some, mean, rm);
    var = el_n3(el, at, "select", some, var, rv);
    AdvValueId scale =
        el_n2(el, at, "mul", s[0].t, el_n1(el, at, "recip", el_n1(el, at, "sqrt", el_n2(el, at, "add", var, el_const(el, eps, f)))));
    AdvValueId y = el_n2(el, at, "mul", el_n2(el, at, "sub", x.t, per_channel(el, at, mean, t.rank)), per_channel(el, at, scale, t.rank));
    return el_tensor(el, el_n2(el, at, "add", y, per_channel(el, at, s[1].t, t.rank)), ADV_RATE_SAMPLE, EL_NUM, at);
}

static ElVal bn_eval(ElCall *c, ElVal x, ElVal w, ElVal b, ElVal rm, ElVal rv, double eps)
{
    El *el = c->el;
    uint32_t rank = el_rank(el, x) + 1;
    AdvValueId e = el_const(el, eps, el->g->float_dtype);
    AdvValueId s =
        el_n2(el, c->span, "mul", w.t, el_n1(el, c->span, "recip", el_n1(el, c->span, "sqrt", el_n2(el, c->span, "add", rv.t, e))));
    AdvValueId t = el_n2(el, c->span, "sub", b.t, el_n2(el, c->span, "mul", rm.t, s));
    AdvValueId y = el_n2(el, c->span, "mul", x.t, per_channel(el, c->span, s, rank));
    return el_tensor(el, el_n2(el, c->span, "add", y, per_channel(el, c->span, t, rank)), ADV_RATE_SAMPLE, EL_NUM, c->span);
}

static ElVal layer_bn(ElCall *c)
{
    El *el = c->el;
    double eps = 1e-5, momentum = 0.1;
    if (A(0).kind != EL_TENSOR || A(0).rate != ADV_RATE_SAMPLE || (el_rank(el, A(0)) != 3 && el_rank(el, A(0)) != 1))
        return wrong(c, 0, "images [N,C,H,W] or features [N,C]");
    if ((GIVEN(1) && !el_float(el, A(1), "`eps`", &eps)) || (GIVEN(2) && !el_float(el, A(2), "`momentum`", &momentum)))
        return el_poison(c->span);
    int64_t dim[1] = {el_dim(el, A(0), 0)};
    AdvTensorType t = el_type(ADV_F32, 1, dim);
    const char *name = el_layer_name(el, "bn");
    el->frame->model->has_bn = true;
    ElVal w = el_net_param(el, c->span, adv_arena_printf(el->arena, "%s.weight", name), t, EL_INIT_ONE, 1, 0, false);
    ElVal b = el_net_param(el, c->span, adv_arena_printf(el->arena, "%s.bias", name), t, EL_INIT_ZERO, 1, 0, false);
    ElVal rm = el_net_param(el, c->span, adv_arena_printf(el->arena, "%s.running_mean", name), t, EL_INIT_ZERO, 1, 0, true);
    ElVal rv = el_net_param(el, c->span, adv_arena_printf(el->arena, "%s.running_var", name), t, EL_INIT_ONE, 1, 0, true);
    if (el_bad(w) || el_bad(b) || el_bad(rm) || el_bad(rv)) return el_poison(c->span);
    if (el->frame->mode == EL_EVAL || el->frame->mode == EL_MC) return bn_eval(c, A(0), w, b, rm, rv, eps);
    /* rows that pad an evaluation's batch count nowhere */
    ElVal rows = el->frame->rows.kind == EL_TENSOR ? el->frame->rows : el->mask;
    if (rows.kind == EL_TENSOR) return bn_rows(c, A(0), (ElVal[4]){w, b, rm, rv}, eps, momentum, rows);
    return bn_train(c, A(0), w, b, rm, rv, eps, momentum);
}

static ElVal layer_dropout(ElCall *c)
{
    El *el = c->el;
    double rate;
    if (A(0).kind != EL_TENSOR || A(0).rate != ADV_RATE_SAMPLE) return wrong(c, 0, "features of each sample");
    if (!el_float(el, A(1), "the dropout rate", &rate)) return el_poison(c->span);
    if (rate < 0 || rate >= 1) {
        el_diag_origin(el, el_diag(el, ADV_D_OUT_OF_RANGE, A(1).span, "a dropout rate is at least 0 and below 1, but this is %g", rate),
                       A(1));
        return el_poison(c->span);
    }
    const char *name = el_layer_name(el, "dropout");
    if (rate > 0) el->frame->model->has_dropout = true;
    if (rate == 0 || el->frame->mode == EL_EVAL) return A(0);
    int64_t dim[ADV_MAX_RANK];
    for (uint32_t i = 0; i < el_rank(el, A(0)); i++) dim[i] = el_dim(el, A(0), i);
    bool mc = el->frame->mode == EL_MC;
    uint64_t purpose = mc ? adv_hash_str(ADV_HASH_START, name) >> 12 : el_purpose(el, name);
    ElTurn *turns = el->turns;
    if (mc) el->turns = NULL;  /* one draw is one network all through a step */
    ElVal keep = el_draw(el, c->span, 3, 1 - rate, purpose, true, el_rank(el, A(0)), dim, mc ? el->frame->mc_draw : 0);
    el->turns = turns;
    ElVal scaled[2] = {keep, el_number(1 / (1 - rate), c->span)};
    ElVal two[2] = {A(0), el_elementwise(el, c->span, "dropout", "mul", scaled, 2, EL_NUM)};
    return el_elementwise(el, c->span, "dropout", "mul", two, 2, EL_NUM);
}

static ElVal pool(ElCall *c, const char *op)
{
    El *el = c->el;
    int64_t size, stride, pad;
    if (!is_image(c) || !el_int(el, A(1), "the size of a window", 1, 255, &size)) return el_poison(c->span);
    if (!opt_int(c, 2, "`stride`", 1, 255, size, &stride) || !opt_int(c, 3, "`pad`", 0, size / 2, 0, &pad)) return el_poison(c->span);
    AdvAttr a[3] = {adv_attr_i(size), adv_attr_i(stride), adv_attr_i(pad)};
    AdvValueId x = el_graph(el, A(0));
    return el_tensor(el, el_node(el, c->span, op, &x, 1, a), ADV_RATE_SAMPLE, EL_NUM, c->span);
}
static ElVal layer_max_pool(ElCall *c) { return pool(c, "max_pool"); }
static ElVal layer_avg_pool(ElCall *c) { return pool(c, "avg_pool"); }

static ElVal layer_global_pool(ElCall *c)
{
    El *el = c->el;
    if (!is_image(c)) return el_poison(c->span);
    int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, 2);
    dims[0] = 2;
    dims[1] = 3;
    AdvAttr a[2] = {adv_attr_ints(dims, 2), adv_attr_i(0)};
    AdvValueId x = el_graph(el, A(0));
    return el_tensor(el, el_node(el, c->span, "mean", &x, 1, a), ADV_RATE_SAMPLE, EL_NUM, c->span);
}

static ElVal layer_flatten(ElCall *c)
{
    if (A(0).kind != EL_TENSOR || A(0).rate != ADV_RATE_SAMPLE) return wrong(c, 0, "features of each sample");
    return el_tensor(c->el, flat(c->el, c->span, A(0)), ADV_RATE_SAMPLE, EL_NUM, c->span);
}

/* (x - mean)/std a channel. */
static ElVal layer_normalize(ElCall *c)
{
    El *el = c->el;
    if (!is_image(c)) return el_poison(c->span);
    int64_t n = el_dim(el, A(0), 0);
    AdvValueId v[2];
    for (uint32_t k = 1; k < 3; k++) {
        if (A(k).kind != EL_LIST || (int64_t)A(k).n != n) return wrong(c, k, "one number per channel");
        double *elems = ADV_NEW_ARRAY(el->arena, double, n);
        for (int64_t i = 0; i < n; i++) {
            if (!el_float(el, A(k).list[i], "a channel's number", &elems[i])) return el_poison(c->span);
            if (k == 2 && !((float)elems[i] > 0))
                return el_error(el, ADV_D_OUT_OF_RANGE, A(k).list[i].span, "a standard deviation is above 0, but this is %g", elems[i]);
        }
        int64_t dim[4] = {1, n, 1, 1};
        AdvGraphBuild b = el_build(el, c->span);
        v[k - 1] = adv_build_const_wide(&b, el_type(ADV_F32, 4, dim), elems);
    }
    AdvValueId d = el_n2(el, c->span, "sub", el_graph(el, A(0)), v[0]);
    return el_tensor(el, el_n2(el, c->span, "div", d, v[1]), ADV_RATE_SAMPLE, EL_NUM, c->span);
}

/* x -> label: repeat(n, (h, i) => ...): weights label.0. ..., label.1. ... */
static ElVal layer_repeat(ElCall *c)
{
    El *el = c->el;
    int64_t n;
    if (!el_int(el, A(1), "the number of blocks", 0, 4096, &n)) return el_poison(c->span);
    if (A(2).kind != EL_FN) return wrong(c, 2, "a function of the value and the turn, as in `(h, i) => ...`");
    AdvStr outer = el->frame->prefix;
    AdvStr base = adv_intern(el->names, el_layer_name(el, "repeat"));
    ElVal h = A(0);
    for (int64_t i = 0; i < n && !el_bad(h); i++) {
        el->frame->prefix = adv_intern(el->names, adv_arena_printf(el->arena, "%s.%lld", adv_str(el->names, base), (long long)i));
        el->frame->inherit = true;
        ElArg args[2] = {{.val = h, .span = c->span}, {.val = el_number((double)i, c->span), .span = c->span}};
        h = el_call(el, A(2).fn, args, 2, c->span, c->scope);
        el->frame->inherit = false;
    }
    el->frame->prefix = outer;
    return h;
}

const ElBuiltin el_layers[] = {
    {"conv", "x, out, size, stride=, pad=, bias=, init=", layer_conv, true,
     "2-d convolution with `out` filters of size x size; stride = 1, pad = size/2 rounded down, bias = 0, init = torch (or he_out, zero)"},
    {"linear", "x, out, bias=, init=", layer_linear, true,
     "fully connected, to `out` numbers; flattens its input; bias = 1, init = torch (or he_out, zero)"},
    {"bn", "x, eps=, momentum=", layer_bn, true, "batch norm; eps = 1e-5, momentum = 0.1"},
    {"dropout", "x, rate", layer_dropout, true, "zeroes with chance `rate`, scales the rest by 1/(1 - rate)"},
    {"max_pool", "x, size, stride=, pad=", layer_max_pool, true, "largest of each window; stride = size, pad = 0"},
    {"avg_pool", "x, size, stride=, pad=", layer_avg_pool, true, "mean of each window; stride = size, pad = 0"},
    {"pool", "x, size, stride=, pad=", layer_max_pool, true, "max_pool under a shorter name"},
    {"global_pool", "x", layer_global_pool, true, "mean over height and width"},
    {"flatten", "x", layer_flatten, true, "all of a sample's features in one row"},
    {"normalize", "x, mean, std", layer_normalize, true, "(x - mean)/std a channel"},
    {"repeat", "x, n, block", layer_repeat, true, "block(...block(x, 0)..., n-1)"},
    {NULL, NULL, NULL, false, NULL},
};

const ElBuiltin *el_layer(const char *name)
{
    for (const ElBuiltin *b = el_layers; b->name; b++)
        if (!strcmp(b->name, name)) return b;
    return NULL;
}
