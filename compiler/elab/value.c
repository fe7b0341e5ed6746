/* value.c: values of the elaborator: making nodes once, shapes that fit, arithmetic, reductions and draws.
**
** A tensor of rate sample has the batch as its first dimension; the language's shapes leave it out, so "rank" here is without
** it. Operands that fit are brought to one rank by `reshape` (which costs nothing), so that ops see equal ranks only.
*/
#include "compiler/elab/elab.h"
#include "runtime/base/hash.h"

#include <math.h>
#include <string.h>

ElVal el_poison(AdvSpan at) { return (ElVal){.kind = EL_POISON, .span = at}; }

ElVal el_number(double v, AdvSpan at)
{
    ElVal r = {.kind = EL_NUMBER, .span = at, .num = v};
    if (v == floor(v) && fabs(v) < 1e15) { r.p = (int64_t)v; r.q = 1; }
    return r;
}

/* |a|, |b| < 2^62: see fold_exact. */
static int64_t gcd(int64_t a, int64_t b) { return b ? gcd(b, a % b) : (a < 0 ? -a : a); }

ElVal el_ratio(int64_t p, int64_t q, AdvSpan at)
{
    int64_t d = gcd(p, q);
    if (q < 0) d = -d;
    return (ElVal){.kind = EL_NUMBER, .span = at, .num = (double)(p / d) / (double)(q / d), .p = p / d, .q = q / d};
}


ElVal el_tensor(El *el, AdvValueId t, AdvRate rate, ElSort sort, AdvSpan at)
{
    if (!t.i) return el_poison(at);
    el->g->values.at[t.i].rate = (uint8_t)rate;
    return (ElVal){.kind = EL_TENSOR, .t = t, .rate = (uint8_t)rate, .sort = (uint8_t)sort, .span = at};
}

ElVal el_class(El *el, AdvValueId t, int64_t n_classes, AdvSpan at)
{
    ElVal v = el_tensor(el, t, ADV_RATE_SAMPLE, EL_CLASS, at);
    v.n = (uint32_t)n_classes;
    return v;
}

bool el_class_fits(El *el, ElVal cls, ElVal row, AdvSpan at)
{
    int64_t n = el_dim(el, row, 0);
    if (cls.n <= n) return true;
    AdvDiag *d =
        el_diag(el, ADV_D_SHAPE_FIT, at, "one entry for each of %u classes is needed, but this is %s", cls.n, el_describe(el, row));
    if (el->data.classes == cls.n) adv_diag_help(d, "the data has %u classes: `classes = %u`", cls.n, cls.n);
    return false;
}

bool el_is_value(ElVal v) { return v.kind == EL_NUMBER || v.kind == EL_TENSOR; }

AdvTensorType el_type(uint8_t dtype, uint32_t rank, const int64_t *dim)
{
    AdvTensorType t = {.dtype = dtype, .rank = (uint8_t)rank};
    for (uint32_t i = 0; i < rank; i++) t.dim[i] = dim[i];
    return t;
}

/* ---- nodes, each made once ---- */

AdvLocId el_loc(El *el, AdvSpan at)
{
    if (el->frame && el->frame->loc.i) return adv_loc_call(el->g, at, el->frame->loc);
    return adv_loc_source(el->g, at);
}

AdvGraphBuild el_build(El *el, AdvSpan at)
{
    AdvGraphBuild b;
    adv_build_init(&b, el->g, el->region, el_loc(el, at));
    return b;
}

static bool region_within(const El *el, AdvRegionId r, AdvRegionId outer)
{
    for (; r.i; r = adv_region(el->g, r)->parent)
        if (r.i == outer.i) return true;
    return false;
}

static uint64_t node_hash(const AdvOpDef *op, const AdvValueId *in, uint32_t n_in, const AdvAttr *attr)
{
    uint64_t h = adv_hash_str(ADV_HASH_START, op->name);
    for (uint32_t i = 0; i < n_in; i++) h = adv_hash_u64(h, in[i].i);
    for (uint32_t k = 0; attr && k < adv_op_n_attrs(op); k++) {
        h = adv_hash_u64(h, (uint64_t)attr[k].i);
        h = adv_hash_bytes(h, &attr[k].f, sizeof attr[k].f);
        h = adv_hash_u64(h, attr[k].n);
        for (uint32_t j = 0; j < attr[k].n; j++)
            if (attr[k].ints) h = adv_hash_u64(h, (uint64_t)attr[k].ints[j]);
            else if (attr[k].ops) h = adv_hash_str(h, attr[k].ops[j]->name);
            else h = adv_hash_bytes(h, &attr[k].floats[j], sizeof(double));
    }
    return h ? h : 1;
}

static bool same_attrs(const AdvAttr *a, const AdvAttr *b, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        if (a[k].i != b[k].i || memcmp(&a[k].f, &b[k].f, sizeof a[k].f) || a[k].n != b[k].n) return false;
        if (a[k].n && a[k].ints && memcmp(a[k].ints, b[k].ints, a[k].n * sizeof *a[k].ints)) return false;
        if (a[k].n && a[k].floats && memcmp(a[k].floats, b[k].floats, a[k].n * sizeof *a[k].floats)) return false;
        if (a[k].n && a[k].ops && memcmp(a[k].ops, b[k].ops, a[k].n * sizeof *a[k].ops)) return false;
    }
    return true;
}

static void cons_insert(El *el, uint64_t hash, AdvRegionId region, AdvNodeId node)
{
    if (el->n_cons * 2 >= el->cap_cons) {
        uint32_t old_cap = el->cap_cons, cap = old_cap ? old_cap * 2 : 4096;
        void *old = el->cons;
        el->cons = adv_arena_array(el->arena, cap, sizeof *el->cons);
        el->cap_cons = cap;
        el->n_cons = 0;
        const char *at = old;
        for (uint32_t i = 0; i < old_cap; i++) {
            struct { uint64_t hash; AdvRegionId region; AdvNodeId node; } e;
            memcpy(&e, at + i * sizeof e, sizeof e);
            if (e.hash) cons_insert(el, e.hash, e.region, e.node);
        }
    }
    uint32_t i = (uint32_t)hash & (el->cap_cons - 1);
    while (el->cons[i].hash) i = (i + 1) & (el->cap_cons - 1);
    el->cons[i].hash = hash;
    el->cons[i].region = region;
    el->cons[i].node = node;
    el->n_cons++;
}

AdvValueId el_node(El *el, AdvSpan at, const char *name, const AdvValueId *in, uint32_t n_in, const AdvAttr *attrs)
{
    const AdvValueId none = {0};
    for (uint32_t i = 0; i < n_in; i++)
        if (!in[i].i) return none;
    const AdvOpDef *op = adv_registry_op(el->g->reg, name);
    assert(op);
    AdvAttr dflt[ADV_MAX_ATTRS];
    if (!attrs) {
        adv_op_default_attrs(op, dflt);
        attrs = dflt;
    }
    uint64_t h = node_hash(op, in, n_in, attrs);
    if (el->cap_cons)
        for (uint32_t i = (uint32_t)h & (el->cap_cons - 1); el->cons[i].hash; i = (i + 1) & (el->cap_cons - 1)) {
            if (el->cons[i].hash != h || !region_within(el, el->region, el->cons[i].region)) continue;
            const AdvNode *n = adv_node(el->g, el->cons[i].node);
            if (n->op != op || n->n_in != n_in || (n_in && memcmp(&el->g->edges.at[n->in_at], in, n_in * sizeof *in))) continue;
            if (!same_attrs(&el->g->attrs.at[n->attr_at], attrs, adv_op_n_attrs(op))) continue;
            return adv_node_out(el->g, el->cons[i].node, 0);
        }
    if (!el_work_ok(el, at)) return none;
    AdvGraphBuild b = el_build(el, at);
    AdvValueId v = adv_build_op(&b, name, in, n_in, attrs);
    if (!v.i) {
        el_diag_chain(el, el->ds->last);
        return none;
    }
    AdvNodeId def = adv_value(el->g, v)->def;
    for (uint32_t k = 0; k < adv_node(el->g, def)->n_out; k++)
        if (!el_size_ok(el, adv_value_type(el->g, adv_node_out(el->g, def, k)), at)) return none;
    cons_insert(el, h, el->region, def);
    return v;
}

AdvValueId el_n1(El *el, AdvSpan at, const char *op, AdvValueId a) { return el_node(el, at, op, &a, 1, NULL); }
AdvValueId el_n2(El *el, AdvSpan at, const char *op, AdvValueId a, AdvValueId b)
{
    AdvValueId in[2] = {a, b};
    return el_node(el, at, op, in, 2, NULL);
}
AdvValueId el_n3(El *el, AdvSpan at, const char *op, AdvValueId a, AdvValueId b, AdvValueId c)
{
    AdvValueId in[3] = {a, b, c};
    return el_node(el, at, op, in, 3, NULL);
}

AdvValueId el_const(El *el, double v, uint8_t dtype)
{
    uint64_t h = adv_hash_u64(adv_hash_bytes(adv_hash_str(ADV_HASH_START, "const"), &v, sizeof v), dtype) | 1;
    if (el->cap_cons)
        for (uint32_t i = (uint32_t)h & (el->cap_cons - 1); el->cons[i].hash; i = (i + 1) & (el->cap_cons - 1)) {
            double have;
            if (el->cons[i].hash != h || !region_within(el, el->region, el->cons[i].region)) continue;
            AdvValueId out = adv_node_out(el->g, el->cons[i].node, 0);
            if (adv_value(el->g, out)->type.dtype == dtype && adv_value_number(el->g, out, &have) && memcmp(&have, &v, sizeof v) == 0)
                return out;
        }
    AdvGraphBuild b = el_build(el, (AdvSpan){el->recipe ? el->recipe->file : 0, 0, 0});
    AdvValueId r = adv_build_number(&b, v, dtype);
    cons_insert(el, h, el->region, adv_value(el->g, r)->def);
    return r;
}

/* ---- shapes ---- */

uint32_t el_rank(const El *el, ElVal v)
{
    if (v.kind != EL_TENSOR) return 0;
    return adv_value_type(el->g, v.t)->rank - (v.rate == ADV_RATE_SAMPLE);
}

int64_t el_dim(const El *el, ElVal v, uint32_t k)
{
    return adv_value_type(el->g, v.t)->dim[k + (v.rate == ADV_RATE_SAMPLE)];
}

static const char *rate_words(uint8_t rate)
{
    static const char *const words[] = {"a constant", "one number per epoch", "one number per batch", "one number per sample"};
    return words[rate < ADV_RATE_COUNT ? rate : ADV_RATE_SAMPLE];
}

const char *el_describe(El *el, ElVal v)
{
    switch (v.kind) {
    case EL_NUMBER: return adv_arena_printf(el->arena, "the number %g", v.num);
    case EL_STRING: return "a text";
    case EL_NAME: return adv_arena_printf(el->arena, "the name `%s`", adv_str(el->names, v.name));
    case EL_LIST: case EL_PAIRS:
        return v.mode ? adv_arena_printf(el->arena, "a list of %u results, which `a, b = ...` names one by one", v.n) : "a list";
    case EL_RANGE: return "a range";
    case EL_FN: return adv_arena_printf(el->arena, "the function `%s`", v.fn->name);
    case EL_MODEL: return adv_arena_printf(el->arena, "the model `%s`", adv_str(el->names, v.model->name));
    case EL_WEIGHTS: return adv_arena_printf(el->arena, "weights of `%s`", adv_str(el->names, v.model->name));
    case EL_TENSOR: break;
    default: return "nothing";
    }
    uint32_t rank = el_rank(el, v);
    if (v.sort == EL_CLASS && !rank) return "a class index";
    if (!rank) return rate_words(v.rate);
    char text[256];
    int n = snprintf(text, sizeof text, "[%s", v.rate == ADV_RATE_SAMPLE ? "N" : "");
    for (uint32_t i = 0; i < rank; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%lld", n > 1 ? "," : "", (long long)el_dim(el, v, i));
    snprintf(text + n, sizeof text - (size_t)n, "]");
    return adv_arena_printf(el->arena, "%s", text);
}

const char *el_describe_type(El *el, const AdvTensorType *t)
{
    char text[256];
    int n = snprintf(text, sizeof text, "[");
    for (uint32_t i = 0; i < t->rank; i++) n += snprintf(text + n, sizeof text - (size_t)n, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    return adv_arena_printf(el->arena, "%s]", text);
}

AdvValueId el_graph(El *el, ElVal v)
{
    const AdvValueId none = {0};
    if (v.kind == EL_NUMBER) return el_const(el, v.num, el->g->float_dtype);
    if (v.kind != EL_TENSOR) return none;
    uint8_t d = adv_value_type(el->g, v.t)->dtype;
    if (d == ADV_I32 || d == ADV_I64 || d == ADV_U8) {
        AdvAttr a = adv_attr_i(0);  /* dtype 0 of `cast` is f32 */
        return el_node(el, v.span, "cast", &v.t, 1, &a);
    }
    return v.t;
}

static AdvValueId reshape_to(El *el, AdvSpan at, AdvValueId v, uint32_t rank, const int64_t *dim)
{
    const AdvTensorType *t = adv_value_type(el->g, v);
    bool same = t->rank == rank;
    for (uint32_t i = 0; same && i < rank; i++) same = t->dim[i] == dim[i];
    if (same) return v;
    int64_t *keep = ADV_NEW_ARRAY(el->arena, int64_t, rank ? rank : 1);
    for (uint32_t i = 0; i < rank; i++) keep[i] = dim[i];
    AdvAttr a = adv_attr_ints(keep, rank);
    return el_node(el, at, "reshape", &v, 1, &a);
}

AdvValueId el_fit_to(El *el, AdvSpan at, ElVal v, uint32_t rank, bool has_n)
{
    AdvValueId g = v.kind == EL_TENSOR && v.sort == EL_CLASS ? v.t : el_graph(el, v);
    if (!g.i || v.kind == EL_NUMBER) return g;
    uint32_t own = el_rank(el, v);
    bool own_n = v.rate == ADV_RATE_SAMPLE;
    if (!own_n && !own) return g;
    int64_t dim[ADV_MAX_RANK] = {0};
    uint32_t n = 0;
    if (has_n) dim[n++] = own_n ? adv_value_type(el->g, v.t)->dim[0] : 1;
    for (uint32_t i = 0; i < rank; i++) dim[n++] = own ? el_dim(el, v, i) : 1;
    return reshape_to(el, at, g, n, dim);
}

AdvValueId el_broadcast(El *el, AdvSpan at, ElVal v, AdvTensorType t, bool has_n)
{
    AdvValueId g = el_fit_to(el, at, v, t.rank - has_n, has_n);
    if (!g.i || adv_shape_eq(adv_value_type(el->g, g), &t)) return g;
    int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, ADV_MAX_RANK);
    for (uint32_t i = 0; i < t.rank; i++) dims[i] = t.dim[i];
    AdvAttr a = adv_attr_ints(dims, t.rank);
    return el_node(el, at, "broadcast", &g, 1, &a);
}

/* ---- arithmetic ---- */

static ElVal fold_exact(const char *op, ElVal a, ElVal b, AdvSpan at, bool *done)
{
    const int64_t most = INT64_C(1) << 62;
    int64_t p = 0, q = 1, r = 0;
    bool exact = a.q && b.q, ok = false;
    if (exact && !strcmp(op, "mul")) ok = !__builtin_mul_overflow(a.p, b.p, &p) && !__builtin_mul_overflow(a.q, b.q, &q);
    else if (exact && !strcmp(op, "div")) ok = b.p && !__builtin_mul_overflow(a.p, b.q, &p) && !__builtin_mul_overflow(a.q, b.p, &q);
    else if (exact && (!strcmp(op, "add") || !strcmp(op, "sub")))
        ok = !__builtin_mul_overflow(a.p, b.q, &p) && !__builtin_mul_overflow(b.p, a.q, &r) && !__builtin_mul_overflow(a.q, b.q, &q) &&
             !(op[0] == 'a' ? __builtin_add_overflow(p, r, &p) : __builtin_sub_overflow(p, r, &p));
    *done = ok && p < most && p > -most && q < most && q > -most;
    return *done ? el_ratio(p, q, at) : a;
}

/* Numbers known now: the op's own definition computes them, so that the compiler has no second arithmetic. */
static ElVal fold_op(El *el, const char *op, const ElVal *v, uint32_t n, ElSort sort, AdvSpan at)
{
    double in[3] = {0}, out = 0;
    AdvView views[3], result;
    AdvTensorType t = {.dtype = ADV_F64};
    for (uint32_t i = 0; i < n && i < 3; i++) {
        in[i] = v[i].num;
        views[i] = (AdvView){.dtype = ADV_F64, .data = &in[i]};
    }
    result = (AdvView){.dtype = t.dtype, .data = &out};
    AdvAttr attr[ADV_MAX_ATTRS];
    const AdvOpDef *def = adv_registry_op(el->g->reg, op);
    adv_op_default_attrs(def, attr);
    if (adv_op_run_ref(el->g->reg, def, views, n, attr, &result, 1, &el->arena->alloc) != ADV_OK) return el_poison(at);
    ElVal r = el_number(out, at);
    r.sort = (uint8_t)sort;
    return r;
}

static ElVal fold(El *el, const char *op, const ElVal *v, uint32_t n, ElSort sort, AdvSpan at)
{
    bool done = false;
    ElVal r = {0};
    if (!strcmp(op, "div") && v[1].num == 0) {
        el_diag_origin(el, el_diag(el, ADV_D_OUT_OF_RANGE, at, "a division by zero"), v[1]);
        return el_poison(at);
    }
    if (n == 2) r = fold_exact(op, v[0], v[1], at, &done);
    if (!done) r = fold_op(el, op, v, n, sort, at);
    r.born = at;
    for (uint32_t i = 0; i < n; i++)
        if (v[i].born.file > at.file) r.born = v[i].born;
    for (uint32_t i = 0; i < n; i++)
        if (el_is_override(el, v[i].born)) r.born = v[i].born;
    return r;
}

/* Which two operands do not fit, each labelled with its shape where it stands. */
static void fit_error(El *el, AdvSpan at, const char *shown, const ElVal *v, uint32_t n)
{
    uint32_t a = 0, b = n - 1;
    while (a + 1 < n && !el_rank(el, v[a])) a++;
    for (uint32_t i = n; i-- > a + 1;) {
        bool fits = el_rank(el, v[i]) == 0 || el_rank(el, v[i]) == el_rank(el, v[a]);
        for (uint32_t k = 0; fits && el_rank(el, v[i]) && k < el_rank(el, v[a]); k++)
            fits = el_dim(el, v[i], k) == el_dim(el, v[a], k) || el_dim(el, v[i], k) == 1 || el_dim(el, v[a], k) == 1;
        if (!fits) b = i;
    }
    AdvDiag *d = el_diag(el, ADV_D_SHAPE_FIT, at, "`%s` needs equal shapes, but its sides are %s and %s", shown, el_describe(el, v[a]),
                         el_describe(el, v[b]));
    if (v[a].span.file == at.file && v[a].span.len) adv_diag_label(d, v[a].span, "%s", el_describe(el, v[a]));
    if (v[b].span.file == at.file && v[b].span.len) adv_diag_label(d, v[b].span, "%s", el_describe(el, v[b]));
}

/* Two texts compare as two numbers that are equal if they are. */
static ElVal compare_texts(El *el, AdvSpan at, const char *op, const ElVal *v)
{
    ElVal as[2] = {v[0], v[1]};
    for (int i = 0; i < 2; i++) {
        as[i].kind = EL_NUMBER;
        as[i].num = i && v[0].name.i != v[1].name.i;
    }
    return fold(el, op, as, 2, EL_COND, at);
}

ElVal el_elementwise(El *el, AdvSpan at, const char *shown, const char *op, const ElVal *v, uint32_t n, ElSort sort)
{
    bool all_numbers = true, has_n = false, classes = false, compares = !strcmp(op, "eq") || !strcmp(op, "ne");
    if (compares && v[0].kind == EL_STRING && v[1].kind == EL_STRING) return compare_texts(el, at, op, v);
    uint32_t rank = 0;
    uint8_t rate = ADV_RATE_ONCE;
    for (uint32_t i = 0; i < n; i++) {
        if (el_bad(v[i])) return el_poison(at);
        if (!el_is_value(v[i]))
            return el_error(el, ADV_D_NOT_A_VALUE, v[i].span, "`%s` takes numbers, but this is %s", shown, el_describe(el, v[i]));
        all_numbers &= v[i].kind == EL_NUMBER;
        has_n |= v[i].rate == ADV_RATE_SAMPLE;
        if (v[i].rate > rate) rate = v[i].rate;
        if (el_rank(el, v[i]) > rank) rank = el_rank(el, v[i]);
        classes |= v[i].sort == EL_CLASS;
    }
    if (all_numbers) return fold(el, op, v, n, sort, at);
    bool picks = !strcmp(op, "select");
    if (classes && !picks &&
        !(compares && (v[0].sort == EL_CLASS || v[0].kind == EL_NUMBER) && (v[1].sort == EL_CLASS || v[1].kind == EL_NUMBER)))
        return el_error(el, ADV_D_KIND, at, "`%s` takes numbers, but one side is a class index, which compares and indexes only", shown);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t own = el_rank(el, v[i]);
        bool fits = own == 0 || own == rank;
        for (uint32_t k = 0; fits && own && k < rank; k++)
            for (uint32_t j = 0; j < n; j++)
                if (el_rank(el, v[j]) == rank && el_dim(el, v[j], k) != el_dim(el, v[i], k) && el_dim(el, v[j], k) != 1 &&
                    el_dim(el, v[i], k) != 1)
                    fits = false;
        if (!fits) {
            fit_error(el, at, shown, v, n);
            return el_poison(at);
        }
    }
    AdvValueId in[3];
    for (uint32_t i = 0; i < n && i < 3; i++)
        in[i] = classes && v[i].kind == EL_NUMBER ? el_const(el, v[i].num, ADV_I32) : el_fit_to(el, at, v[i], rank, has_n);
    if (picks && classes && v[0].kind == EL_TENSOR) in[0] = el_fit_to(el, at, v[0], rank, has_n);
    return el_tensor(el, el_node(el, at, op, in, n, NULL), rate, sort, at);
}

/* ---- reductions ---- */

static ElVal reduce_masked(El *el, AdvSpan at, const char *op, ElVal v)
{
    double neutral = !strcmp(op, "reduce_max") ? -INFINITY : !strcmp(op, "reduce_min") ? INFINITY : 0;
    bool mean = !strcmp(op, "mean");
    AdvValueId m = el->mask.t, kept = el_n3(el, at, "select", m, el_graph(el, v), el_const(el, neutral, el->g->float_dtype));
    AdvValueId r = el_n1(el, at, mean ? "sum" : op, kept);
    if (mean) r = el_n2(el, at, "div", r, el_n1(el, at, "sum", m));
    return el_tensor(el, r, ADV_RATE_BATCH, EL_NUM, at);
}

ElVal el_reduce(El *el, AdvSpan at, const char *op, ElVal v)
{
    if (el_bad(v)) return v;
    if (!el_is_value(v)) return el_error(el, ADV_D_NOT_A_VALUE, at, "`%s` takes numbers, but this is %s", op, el_describe(el, v));
    if (v.kind == EL_NUMBER) return v;
    if (!strcmp(op, "max")) op = "reduce_max";  /* max and min of ops.def are elementwise */
    if (!strcmp(op, "min")) op = "reduce_min";
    uint32_t rank = el_rank(el, v), n = 0;
    ElSort sort = !strcmp(op, "any") || !strcmp(op, "all") ? EL_COND : EL_NUM;
    if (!rank && v.rate != ADV_RATE_SAMPLE) return v;
    if (!rank && el->mask.kind == EL_TENSOR && strcmp(op, "any") && strcmp(op, "all")) return reduce_masked(el, at, op, v);
    bool has_n = v.rate == ADV_RATE_SAMPLE;
    int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, ADV_MAX_RANK);
    if (!rank) dims[n++] = 0;
    for (uint32_t i = 0; i < rank; i++) dims[n++] = (int64_t)i + has_n;
    AdvAttr a[2] = {adv_attr_ints(dims, n), adv_attr_i(0)};
    AdvValueId g = el_graph(el, v);
    AdvValueId r = el_node(el, at, op, &g, 1, a);
    return el_tensor(el, r, rank ? v.rate : ADV_RATE_BATCH, sort, at);
}

/* ---- constants ---- */

bool el_int(El *el, ElVal v, const char *what, int64_t lo, int64_t hi, int64_t *out)
{
    if (el_bad(v)) return false;
    if (v.kind != EL_NUMBER) {
        el_error(el, el_is_value(v) ? ADV_D_NOT_CONSTANT : ADV_D_ARGUMENT_KIND, v.span, "%s must be a whole number%s, but this is %s", what,
                 el_is_value(v) ? " known before the run" : "", el_describe(el, v));
        return false;
    }
    if (v.num != floor(v.num) || v.num < (double)lo || v.num > (double)hi) {
        el_diag_origin(el,
                       el_diag(el, ADV_D_OUT_OF_RANGE, v.span, "%s must be a whole number from %lld to %lld, but is %.15g", what,
                               (long long)lo, (long long)hi, v.num),
                       v);
        return false;
    }
    *out = (int64_t)v.num;
    return true;
}

bool el_float(El *el, ElVal v, const char *what, double *out)
{
    if (el_bad(v)) return false;
    if (v.kind != EL_NUMBER) {
        el_error(el, el_is_value(v) ? ADV_D_NOT_CONSTANT : ADV_D_ARGUMENT_KIND, v.span, "%s must be a number%s, but this is %s", what,
                 el_is_value(v) ? " known before the run" : "", el_describe(el, v));
        return false;
    }
    *out = v.num;
    return true;
}

bool el_between(El *el, ElVal v, const char *what, double lo, double hi)
{
    if (v.kind != EL_NUMBER || (v.num >= lo && v.num <= hi)) return true;
    el_diag_origin(el, el_diag(el, ADV_D_OUT_OF_RANGE, v.span, "%s must lie in %g .. %g, but is %g", what, lo, hi, v.num), v);
    return false;
}

ElVal el_stop_grad(El *el, ElVal v)
{
    if (v.kind == EL_LIST) {
        ElVal r = v;
        r.list = ADV_NEW_ARRAY(el->arena, ElVal, v.n);
        for (uint32_t i = 0; i < v.n; i++) r.list[i] = el_stop_grad(el, v.list[i]);
        return r;
    }
    if (v.kind != EL_TENSOR || v.sort == EL_CLASS) return v;
    const AdvNodeId def = adv_value(el->g, v.t)->def;
    if (def.i && adv_node_is(el->g, def, "stop_grad")) return v;
    ElVal r = v;
    r.t = el_n1(el, v.span, "stop_grad", v.t);
    if (!r.t.i) return el_poison(v.span);
    el->g->values.at[r.t.i].rate = v.rate;
    return r;
}

void el_attr_set(const AdvOpDef *op, AdvAttr *attrs, const char *name, AdvAttr value)
{
    for (uint32_t k = 0; k < adv_op_n_attrs(op); k++)
        if (!strcmp(op->attrs[k].name, name)) {
            attrs[k] = value;
            return;
        }
    assert(!"an op has no such attribute");
}

/* ---- draws ---- */

uint64_t el_purpose(El *el, const char *what)
{
    uint64_t h = el->frame ? adv_hash_u64(el->frame->place, el->frame->n_draws++) : ADV_HASH_START;
    return adv_hash_str(h, what) >> 12;  /* 52 bits: exact in every number type that passes it on */
}

/* The turns of the loops around, as one number: inner + n_inner*(outer + ...). el_loop keeps it exact. */
static AdvValueId turn_number(El *el, AdvSpan at, int64_t draw)
{
    AdvValueId n = el_const(el, (double)draw, ADV_I64);
    int64_t scale = 64;
    for (ElTurn *t = el->turns; t; t = t->up) {
        n = el_n2(el, at, "add", n, el_n2(el, at, "mul", t->turn, el_const(el, (double)scale, ADV_I64)));
        scale *= t->n;
    }
    return n;
}

/* What a batch of an evaluation is known by: its first sample. */
static AdvValueId first_id(El *el, AdvSpan at)
{
    AdvAttr a[3] = {adv_attr_i(0), adv_attr_i(0), adv_attr_i(1)}, none = adv_attr_ints(NULL, 0);
    AdvValueId v = el_node(el, at, "slice", &el->ids.t, 1, a);
    return el_node(el, at, "reshape", &v, 1, &none);
}

ElVal el_draw(El *el, AdvSpan at, int dist, double p, uint64_t purpose, bool per_sample, uint32_t rank, const int64_t *dim, int64_t draw)
{
    AdvValueId epoch = el->in_eval || el->in_init
                           ? el_const(el, 0, ADV_I64)
                           : el_state(el, el_slot(el, "run.epoch", el_type(ADV_I64, 0, NULL), ADV_STATE_SCALAR, true));
    AdvValueId ids;
    if (per_sample) ids = el->ids.t;
    else if (el->mask.kind == EL_TENSOR) ids = first_id(el, at);
    else if (el->in_eval || el->in_init) ids = el_const(el, 0, ADV_I64);
    else ids = el_state(el, el_slot(el, "run.step", el_type(ADV_I64, 0, NULL), ADV_STATE_SCALAR, true));
    AdvValueId in[4] = {el_const(el, (double)el->seed, ADV_I64), epoch, ids, turn_number(el, at, draw)};
    int64_t *dims = ADV_NEW_ARRAY(el->arena, int64_t, rank ? rank : 1);
    for (uint32_t i = 0; i < rank; i++) dims[i] = dim[i];
    const AdvOpDef *op = adv_registry_op(el->g->reg, "draw");
    AdvAttr a[ADV_MAX_ATTRS];
    adv_op_default_attrs(op, a);
    el_attr_set(op, a, "dist", adv_attr_i(dist));
    el_attr_set(op, a, "p", adv_attr_f(p));
    el_attr_set(op, a, "purpose", adv_attr_i((int64_t)purpose));
    el_attr_set(op, a, "dims", adv_attr_ints(dims, rank));
    AdvValueId v = el_node(el, at, "draw", in, 4, a);
    return el_tensor(el, v, per_sample ? ADV_RATE_SAMPLE : ADV_RATE_BATCH, EL_NUM, at);
}
