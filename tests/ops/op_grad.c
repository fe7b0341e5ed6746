/* op_grad.c: gradients, built by the op through the executing builder in f64, against central finite differences.
**
** The scalar is sum(w*result) with fixed weights w. Which results have a gradient is varied: all at once, and each alone.
** Step 1e-5; a gradient is right if it is within 1e-6 of the largest difference by that operand (or of 1e-3, whichever is
** more, since differences of sums carry rounding of about 1e-11 of the sum).
*/
#include "op_suite.h"

#include "ops/exec.h"
#include "ops/grad.h"
#include "ops/shape.h"

#include <math.h>
#include <string.h>

#define STEP       1e-5
#define TOLERANCE  1e-6
#define FLOOR      1e-3

/* How far apart the elements are that are tried of an operand of n: 96 of them, or 4 where an operand is large, since each costs two
** runs of the definition. Odd, so that they do not all lie at the same place of a row or filter. */
static int64_t probe_step(const OpCase *c, int64_t n)
{
    bool is_large = false;
    for (uint32_t k = 0; k < c->n_in; k++) is_large |= c->in[k].n > 2048;
    int64_t most = is_large ? 4 : 96;
    return ((n + most - 1) / most) | 1;
}

/* One forward run with weights for its results. */
typedef struct Probe {
    Suite *s;
    const OpCase *c;
    Run run;
    Buf weight[CASE_MAX_OUT];
    bool has_gout[CASE_MAX_OUT];
} Probe;

static bool is_float_in(const OpCase *c, uint32_t k) { return c->in[k].type.dtype == ADV_F64; }

static bool is_float_out(const Probe *p, uint32_t k) { return k < CASE_MAX_OUT && adv_dtype_is_float(p->run.out[k].type.dtype); }

/* Fixed numbers in 0.5..1.5 of either sign, without order; or all 1. */
static void set_weights(Probe *p, bool ones)
{
    uint64_t z = 12345;
    for (uint32_t k = 0; k < p->run.n_out && k < CASE_MAX_OUT; k++) {
        AdvTensorType t = p->run.out[k].type;
        t.dtype = ADV_F64;
        p->weight[k] = buf_new(p->s, &t, BUF_ROW, 0);
        for (int64_t i = 0, n = adv_type_elems(&t); i < n; i++) {
            double v;
            z = z * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            v = 0.5 + (double)(z >> 40) * 0x1p-24;
            adv_st(&p->weight[k].view, i, ones ? 1 : (z >> 32 & 1) ? v : -v);
        }
    }
}

static bool evaluate(Probe *p, long double *out_sum)
{
    AdvView in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED];
    AdvAlloc a = adv_alloc_default();
    for (uint32_t k = 0; k < p->run.n_in; k++) in[k] = p->run.in[k].view;
    for (uint32_t k = 0; k < p->run.n_out; k++) out[k] = p->run.out[k].view;
    if (adv_op_run_ref(&p->s->reg, p->c->op, in, p->run.n_in, p->c->attr, out, p->run.n_out, &a) != ADV_OK) return false;
    *out_sum = 0;
    for (uint32_t k = 0; k < p->run.n_out; k++) {
        if (!is_float_out(p, k) || !p->has_gout[k]) continue;
        for (int64_t i = 0, n = adv_view_elems(&out[k]); i < n; i++)
            *out_sum += (long double)adv_ld(&out[k], i) * (long double)adv_ld(&p->weight[k].view, i);
    }
    return true;
}

/* Backward through the builder: vals of gin, none for zero. The caller ends the builder. */
static int backward(Probe *p, AdvExec *e, const bool *need, AdvVal *gin)
{
    AdvVal in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED] = {{0}}, gout[CASE_MAX_IN + ADV_MAX_FIXED] = {{0}};
    AdvGradCtx g = {
        .n_in = p->c->n_in, .n_out = p->run.n_out, .in = in, .out = out, .gout = gout, .attr = p->c->attr, .need = need, .gin = gin};
    AdvStatus st;
    memset(gin, 0, CASE_MAX_IN * sizeof *gin);
    for (uint32_t k = 0; k < p->c->n_in; k++) in[k] = adv_exec_input(e, &p->run.in[k].view);
    e->base.node(&e->base, p->c->op->name, in, p->c->n_in, p->c->attr, out, p->run.n_out);
    for (uint32_t k = 0; k < p->run.n_out; k++)
        if (is_float_out(p, k) && p->has_gout[k]) gout[k] = adv_exec_input(e, &p->weight[k].view);
    st = p->c->op->grad(&e->base, &g);
    if (st != ADV_OK) return suite_fail(p->s, p->c, "the gradient returns %s", adv_status_name(st));
    if (e->status != ADV_OK) return suite_fail(p->s, p->c, "the gradient cannot be built: %s", e->message);
    for (uint32_t k = 0; k < p->c->n_in; k++) {
        AdvTensorType t;
        if (!adv_val_ok(gin[k])) continue;
        t = *e->base.type(&e->base, gin[k]);
        if ((p->c->op->flags & ADV_OP_ELEMENTWISE) && adv_shape_eq(&t, &p->run.out[0].type)) {
            gin[k] = adv_g_sum_like(&e->base, gin[k], in[k]);
            t = *e->base.type(&e->base, gin[k]);
        }
        if (!is_float_in(p->c, k) || t.dtype != ADV_F64 || !adv_shape_eq(&t, &p->c->in[k].type))
            return suite_fail(p->s, p->c, "the gradient by operand %u has another type than the operand", (unsigned)k);
    }
    return 0;
}

static double read_grad(const AdvExec *e, AdvVal v, int64_t i)
{
    AdvView x = adv_exec_view(e, v);
    AdvIter it;
    if (!x.data) return 0;
    adv_iter_init(&it, x.rank, x.dim);
    adv_iter_add(&it, &x);
    for (; it.more && i > 0; i--) adv_iter_next(&it);
    return adv_ld(&x, it.at[0]);
}

static bool slope(Probe *p, uint32_t k, int64_t i, double *out)
{
    AdvView *x = &p->run.in[k].view;
    double at = adv_ld(x, i), up = at + STEP, down = at - STEP;
    long double hi, lo;
    bool ok;
    adv_st(x, i, up);
    ok = evaluate(p, &hi);
    adv_st(x, i, down);
    ok &= evaluate(p, &lo);
    adv_st(x, i, at);
    *out = (double)((hi - lo) / ((long double)up - (long double)down));
    return ok;
}

static int compare_operand(Probe *p, const AdvExec *e, AdvVal gin, uint32_t k)
{
    int64_t n = p->c->in[k].n, skip = probe_step(p->c, n);
    int64_t n_probes = (n + skip - 1) / skip;
    double *got = ADV_NEW_ARRAY(&p->s->arena, double, n_probes), *want = ADV_NEW_ARRAY(&p->s->arena, double, n_probes), scale = FLOOR;
    for (int64_t j = 0; j < n_probes; j++) {
        got[j] = read_grad(e, gin, j * skip);
        if (!slope(p, k, j * skip, &want[j])) return suite_fail(p->s, p->c, "fails when operand %u is moved", (unsigned)k);
        if (fabs(want[j]) > scale) scale = fabs(want[j]);
    }
    for (int64_t j = 0; j < n_probes; j++)
        if (!(fabs(got[j] - want[j]) <= TOLERANCE * scale))
            return suite_fail(p->s, p->c, "gradient by operand %u, element %lld: %.12g, but differences give %.12g", (unsigned)k,
                              (long long)(j * skip), got[j], want[j]);
    return 0;
}

/* Asked for one operand alone, the gradient is the same. */
static int check_alone(Probe *p, const AdvExec *all, const AdvVal *gin_all, uint32_t k)
{
    bool need[CASE_MAX_IN] = {false};
    AdvVal gin[CASE_MAX_IN];
    AdvExec e;
    int n;
    need[k] = true;
    adv_exec_init(&e, &p->s->reg, adv_alloc_default(), ADV_F64);
    n = backward(p, &e, need, gin);
    if (n == 0 && adv_val_ok(gin[k]) != adv_val_ok(gin_all[k]))
        n = suite_fail(p->s, p->c, "gradient by operand %u depends on what else is asked", (unsigned)k);
    for (int64_t i = 0; n == 0 && i < p->c->in[k].n; i += probe_step(p->c, p->c->in[k].n)) {
        double a = read_grad(&e, gin[k], i), b = read_grad(all, gin_all[k], i);
        if (memcmp(&a, &b, sizeof a) != 0) n = suite_fail(p->s, p->c, "gradient by operand %u depends on what else is asked", (unsigned)k);
    }
    adv_exec_fini(&e);
    return n;
}

/* Finite differences with the present choice of results. */
static int check_differences(Probe *p)
{
    bool need[CASE_MAX_IN];
    AdvVal gin[CASE_MAX_IN] = {{0}};
    AdvExec e;
    int n = 0;
    for (uint32_t k = 0; k < p->c->n_in; k++) need[k] = is_float_in(p->c, k);
    adv_exec_init(&e, &p->s->reg, adv_alloc_default(), ADV_F64);
    if (p->c->op->grad != ADV_GRAD_ZERO) n = backward(p, &e, need, gin);
    for (uint32_t k = 0; k < p->c->n_in && n == 0; k++) {
        if (!need[k]) continue;
        if (p->c->wrt[k]) n += compare_operand(p, &e, gin[k], k);
        if (p->c->op->grad != ADV_GRAD_ZERO && p->c->n_in > 1 && n == 0) n += check_alone(p, &e, gin, k);
    }
    adv_exec_fini(&e);
    return n;
}

/* Gradients that the case states, with gradient 1 of every result. */
static int check_stated(Probe *p)
{
    bool need[CASE_MAX_IN], has_any = false;
    AdvVal gin[CASE_MAX_IN] = {{0}};
    AdvExec e;
    int n = 0;
    for (uint32_t k = 0; k < p->c->n_in; k++) {
        need[k] = is_float_in(p->c, k);
        has_any |= p->c->want_grad[k].v != NULL;
    }
    if (!has_any) return 0;
    set_weights(p, true);
    adv_exec_init(&e, &p->s->reg, adv_alloc_default(), ADV_F64);
    if (p->c->op->grad != ADV_GRAD_ZERO) n = backward(p, &e, need, gin);
    for (uint32_t k = 0; k < p->c->n_in && n == 0; k++) {
        const CaseWant *w = &p->c->want_grad[k];
        if (w->v && w->n != p->c->in[k].n) n = suite_fail(p->s, p->c, "operand %u has not %u elements", (unsigned)k, (unsigned)w->n);
        for (uint32_t i = 0; w->v && i < w->n && n == 0; i++) {
            double got = read_grad(&e, gin[k], i);
            bool ok = isnan(w->v[i]) ? isnan(got) : got == w->v[i] || fabs(got - w->v[i]) <= 1e-9 * fmax(1, fabs(w->v[i]));
            if (!ok)
                n = suite_fail(p->s, p->c, "gradient by operand %u, element %u: got %.17g, want %.17g", (unsigned)k, (unsigned)i, got,
                               w->v[i]);
        }
    }
    adv_exec_fini(&e);
    return n;
}

int suite_grad(Suite *s, const OpCase *c)
{
    Probe p = {.s = s, .c = c};
    uint32_t n_float = 0;
    int n = 0;
    if (c->op->grad == ADV_GRAD_NEVER) return 0;
    if (suite_run(s, c, ADV_F64, BUF_ROW, 0, &p.run)) return 1;
    memcpy(p.has_gout, c->has_gout, sizeof p.has_gout);
    for (uint32_t k = 0; k < p.run.n_out; k++) n_float += is_float_out(&p, k) && c->has_gout[k];
    n += check_stated(&p);
    if (c->nofd || n_float == 0) return n;
    set_weights(&p, false);
    n += check_differences(&p);
    for (uint32_t k = 0; k < p.run.n_out && n_float > 1 && n == 0; k++) {
        if (!is_float_out(&p, k) || !c->has_gout[k]) continue;
        memset(p.has_gout, 0, sizeof p.has_gout);
        p.has_gout[k] = true;
        n += check_differences(&p);
    }
    return n;
}
