/* rows.c: losses and probabilities over rows of logits: dense rows, one thread a range of rows, arithmetic in double.
**
** A row is short (10 to 1,000 classes) and its cost is exp, so double costs little and the results are the definition's,
** rounded once.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"

#include <math.h>
#include <string.h>

/* One row: what the views hold at it. */
typedef struct Row {
    const float *a, *b, *c;  /* inputs 0, 1 and 2 as floats, at this row */
    int64_t y;               /* class, where input 1 is one */
    float *out;
    int64_t n;               /* classes */
    double attr;
    int64_t k;
} Row;

static double row_max(const float *z, int64_t n)
{
    double m = (double)z[0];
    for (int64_t k = 1; k < n; k++) {
        double v = (double)z[k];
        if (v > m || v != v) m = v;
    }
    return m;
}

/* log(sum(exp(z - m))), m the largest. */
static double row_logsum(const float *z, int64_t n, double m)
{
    double s = 0;
    for (int64_t k = 0; k < n; k++) s += exp((double)z[k] - m);
    return log(s);
}

static void f_softmax(const Row *r)
{
    double m = row_max(r->a, r->n), l = row_logsum(r->a, r->n, m);
    for (int64_t k = 0; k < r->n; k++) r->out[k] = (float)exp((double)r->a[k] - m - l);
}

static void f_log_softmax(const Row *r)
{
    double m = row_max(r->a, r->n), l = row_logsum(r->a, r->n, m);
    for (int64_t k = 0; k < r->n; k++) r->out[k] = (float)((double)r->a[k] - m - l);
}

static void f_logsumexp(const Row *r)
{
    double m = row_max(r->a, r->n);
    *r->out = (float)(m + row_logsum(r->a, r->n, m));
}

static void f_entropy(const Row *r)
{
    double s = 0;
    for (int64_t k = 0; k < r->n; k++)
        if (r->a[k] != 0) s -= (double)r->a[k] * log((double)r->a[k]);
    *r->out = (float)s;
}

static void f_ce(const Row *r)
{
    double m = row_max(r->a, r->n);
    *r->out = (float)(row_logsum(r->a, r->n, m) - ((double)r->a[r->y] - m));
}

static void f_ce_grad(const Row *r)
{
    double m = row_max(r->a, r->n), l = row_logsum(r->a, r->n, m), g = (double)*r->c;
    for (int64_t k = 0; k < r->n; k++) r->out[k] = (float)(g * (exp((double)r->a[k] - m - l) - (k == r->y)));
}

/* Normalisers of both rows of kl. */
typedef struct Norms { double p, q; } Norms;
static Norms norms(const Row *r)
{
    double mp = row_max(r->a, r->n), mq = row_max(r->b, r->n);
    Norms s = {mp + row_logsum(r->a, r->n, mp), mq + row_logsum(r->b, r->n, mq)};
    return s;
}

static double kl_term(const Row *r, const Norms *s, int64_t k)
{
    double lp = (double)r->a[k] - s->p, p = exp(lp);
    return p == 0 ? 0 : p * (lp - ((double)r->b[k] - s->q));
}

static double kl_sum(const Row *r, const Norms *s)
{
    double sum = 0;
    for (int64_t k = 0; k < r->n; k++) sum += kl_term(r, s, k);
    return sum;
}

static void f_kl(const Row *r)
{
    Norms s = norms(r);
    *r->out = (float)kl_sum(r, &s);
}

static void f_kl_grad_p(const Row *r)
{
    Norms s = norms(r);
    double kl = kl_sum(r, &s), g = (double)*r->c;
    for (int64_t k = 0; k < r->n; k++) {
        double p = exp((double)r->a[k] - s.p);
        r->out[k] = p == 0 ? 0 : (float)(g * (kl_term(r, &s, k) - p * kl));
    }
}

static void f_kl_grad_q(const Row *r)
{
    Norms s = norms(r);
    double g = (double)*r->c;
    for (int64_t k = 0; k < r->n; k++) r->out[k] = (float)(g * (exp((double)r->b[k] - s.q) - exp((double)r->a[k] - s.p)));
}

static void f_pick(const Row *r) { *r->out = r->a[r->y]; }

static void f_put(const Row *r)
{
    for (int64_t k = 0; k < r->n; k++) r->out[k] = r->a[k];
    r->out[r->y] = (float)r->attr;
}

static void f_unpick(const Row *r)
{
    for (int64_t k = 0; k < r->n; k++) r->out[k] = 0;
    r->out[r->y] = *r->a;
}

static int64_t best(const float *z, int64_t n, double sign)
{
    int64_t at = 0;
    double m = sign * (double)z[0];
    for (int64_t k = 1; k < n && m == m; k++) {
        double v = sign * (double)z[k];
        if (v > m || v != v) m = v, at = k;
    }
    return at;
}

static void f_argmax(const Row *r) { *(int32_t *)(void *)r->out = (int32_t)best(r->a, r->n, 1); }

static void f_argmin(const Row *r) { *(int32_t *)(void *)r->out = (int32_t)best(r->a, r->n, -1); }

/* Larger first, then lower index; NaN counts as largest. */
static bool is_before(const float *z, int64_t i, int64_t j)
{
    float x = z[i], y = z[j];
    if (x != x || y != y) return x != x && (y == y || i < j);
    return x > y || (x == y && i < j);
}

static void f_nth_class(const Row *r)
{
    for (int64_t i = 0; i < r->n; i++) {
        int64_t n_before = 0;
        for (int64_t j = 0; j < r->n; j++) n_before += is_before(r->a, j, i);
        if (n_before == r->k - 1) *(int32_t *)(void *)r->out = (int32_t)i;
    }
}

/* ---- running over rows ---- */

typedef struct RowOp {
    const char *op;
    void (*f)(const Row *);
    bool has_class;     /* input 1 is a class a row */
    bool is_per_row[4]; /* inputs 0..2 and the output: one number a row */
} RowOp;

static const RowOp row_ops[] = {
    {"softmax", f_softmax, false, {false, false, false, false}},   {"log_softmax", f_log_softmax, false, {false, false, false, false}},
    {"logsumexp", f_logsumexp, false, {false, false, false, true}}, {"entropy", f_entropy, false, {false, false, false, true}},
    {"ce", f_ce, true, {false, true, false, true}},                 {"ce_grad", f_ce_grad, true, {false, true, true, false}},
    {"kl", f_kl, false, {false, false, false, true}},               {"kl_grad_p", f_kl_grad_p, false, {false, false, true, false}},
    {"kl_grad_q", f_kl_grad_q, false, {false, false, true, false}}, {"pick", f_pick, true, {false, true, false, true}},
    {"put", f_put, true, {false, true, false, false}},              {"unpick", f_unpick, true, {true, true, false, false}},
    {"argmax", f_argmax, false, {false, false, false, true}},       {"argmin", f_argmin, false, {false, false, false, true}},
    {"nth_class", f_nth_class, false, {false, false, false, true}},
};

typedef struct RowState {
    const RowOp *op;
    int64_t n_rows, n;
    uint32_t n_in;
    double attr;
    int64_t k;
} RowState;

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    RowState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    for (uint32_t i = 0; i < sizeof row_ops / sizeof row_ops[0]; i++)
        if (strcmp(row_ops[i].op, sig->op->name) == 0) s->op = &row_ops[i];
    const AdvView *wide = s->op->is_per_row[0] ? &sig->out[0] : &sig->in[0];
    s->n = wide->dim[wide->rank - 1];
    s->n_rows = adv_view_elems(wide) / s->n;
    s->n_in = sig->n_in;
    if (s->op->f == f_put) s->attr = sig->attr[0].f;
    if (s->op->f == f_nth_class) s->k = sig->attr[0].i;
    *out_state = s;
    return ADV_OK;
}

/* False where the class of row i is none. */
static bool run_row(const RowState *s, const AdvLaunch *l, int64_t i)
{
    const float *in[3] = {NULL, NULL, NULL};
    int64_t y = s->op->has_class ? adv_i64(&l->in[1], i) : 0;
    if (y < 0 || y >= s->n) return false;
    for (uint32_t k = 0; k < s->n_in && k < 3; k++)
        if (!(k == 1 && s->op->has_class)) in[k] = (const float *)l->in[k].data + (s->op->is_per_row[k] ? i : i * s->n);
    Row r = {in[0], in[1], in[2], y, (float *)l->out[0].data + (s->op->is_per_row[3] ? i : i * s->n), s->n, s->attr, s->k};
    s->op->f(&r);
    return true;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    const RowState *s = state;
    int n_threads = adv_cpu_threads(l->n_threads, s->n_rows * s->n * 4), n_bad = 0;
    (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads) reduction(+ : n_bad))
    for (int64_t i = 0; i < s->n_rows; i++) n_bad += !run_row(s, l, i);
    return n_bad ? ADV_EDATA : ADV_OK;
}

static bool can(const AdvSig *s, const char **why)
{
    if (!adv_sig_f32(s, why)) return false;
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++)
        if (!adv_view_is_row(i < s->n_in ? &s->in[i] : &s->out[i - s->n_in])) {
            *why = "needs rows without gaps";
            return false;
        }
    return true;
}

#define ROWS(op_name) \
    const AdvKernel adv_k_cpu_##op_name##_rows = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "rows", .op_version = 1, \
                                                  .can = can, .prepare = prepare, .run = run};
ROWS(softmax)
ROWS(log_softmax)
ROWS(logsumexp)
ROWS(entropy)
ROWS(ce)
ROWS(ce_grad)
ROWS(kl)
ROWS(kl_grad_p)
ROWS(kl_grad_q)
ROWS(pick)
ROWS(put)
ROWS(unpick)
ROWS(argmax)
ROWS(argmin)
ROWS(nth_class)
