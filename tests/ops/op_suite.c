/* op_suite.c: what is demanded of a definition: results in every float type, any strides, guards, and its own statements. */
#include "op_suite.h"

#include "ops/shape.h"
#include "runtime/base/container.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int suite_fail(const Suite *s, const OpCase *c, const char *fmt, ...)
{
    va_list ap;
    if (s->quiet) return 1;
    printf("%s:%d: ", c->file, c->line);
    if (s->dev) printf("on %s: ", s->dev->be->name);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n    %s\n", c->text);
    return 1;
}

static void in_types(const OpCase *c, uint8_t float_dtype, AdvTensorType *t)
{
    for (uint32_t k = 0; k < c->n_in; k++) {
        t[k] = c->in[k].type;
        t[k].dtype = suite_dtype(c, k, float_dtype);
    }
}

int suite_infer(const Suite *s, const OpCase *c, uint8_t float_dtype, AdvTensorType *out, uint32_t *out_n)
{
    AdvTensorType in[CASE_MAX_IN];
    char msg[256];
    in_types(c, float_dtype, in);
    if (adv_op_infer(c->op, in, c->n_in, c->attr, float_dtype, out, out_n, msg, sizeof msg) != ADV_OK)
        return suite_fail(s, c, "the shape rule refuses: %s", msg);
    bool has_f32 = c->op->precision == ADV_PREC_STATS;
    for (uint32_t k = 0; k < c->n_in; k++) has_f32 = has_f32 || c->in[k].is_f32;
    for (uint32_t k = 0; k < *out_n; k++)
        if (out[k].dtype == ADV_F32 && float_dtype != ADV_F32 && !has_f32)
            return suite_fail(s, c, "result %u is f32 whatever its operands are", (unsigned)k);
    return 0;
}

static int check_refusal(const Suite *s, const OpCase *c)
{
    AdvTensorType in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED];
    char msg[256];
    uint32_t n_out;
    in_types(c, ADV_F32, in);
    if (adv_op_infer(c->op, in, c->n_in, c->attr, ADV_F32, out, &n_out, msg, sizeof msg) != ADV_ERECIPE)
        return suite_fail(s, c, "the shape rule accepts this");
    if (!strstr(msg, c->refuse)) return suite_fail(s, c, "the shape rule says: %s", msg);
    return 0;
}

static void views_of(const Run *r, AdvView *in, AdvView *out)
{
    for (uint32_t k = 0; k < r->n_in; k++) in[k] = r->in[k].view;
    for (uint32_t k = 0; k < r->n_out; k++) out[k] = r->out[k].view;
}

static AdvStatus call(Suite *s, const OpCase *c, const Run *r)
{
    AdvView in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED];
    AdvAlloc a = adv_alloc_default();
    views_of(r, in, out);
    return adv_op_run_ref(&s->reg, c->op, in, r->n_in, c->attr, out, r->n_out, &a);
}

int suite_run(Suite *s, const OpCase *c, uint8_t float_dtype, int form, unsigned char fill, Run *out_run)
{
    AdvTensorType types[CASE_MAX_IN + ADV_MAX_FIXED];
    Buf before[CASE_MAX_IN];
    Run *r = out_run;
    AdvStatus st;
    r->n_in = c->n_in;
    r->n_out = 0;
    if (suite_infer(s, c, float_dtype, types, &r->n_out)) return 1;
    for (uint32_t k = 0; k < c->n_in; k++) {
        uint8_t dtype = suite_dtype(c, k, float_dtype);
        r->in[k] = buf_of(s, &c->in[k], dtype, form);
        before[k] = buf_of(s, &c->in[k], dtype, BUF_ROW);
    }
    for (uint32_t k = 0; k < r->n_out; k++) r->out[k] = buf_new(s, &types[k], form, fill);
    st = call(s, c, r);
    if (st != c->status) return suite_fail(s, c, "the definition returns %s", adv_status_name(st));
    for (uint32_t k = 0; k < r->n_in; k++) {
        if (!buf_guards_ok(s, &r->in[k])) return suite_fail(s, c, "bytes around operand %u were written", (unsigned)k);
        if (!buf_same(&r->in[k], &before[k])) return suite_fail(s, c, "operand %u was written", (unsigned)k);
    }
    for (uint32_t k = 0; k < r->n_out; k++)
        if (!buf_guards_ok(s, &r->out[k])) return suite_fail(s, c, "bytes around result %u were written", (unsigned)k);
    return 0;
}

static int compare_bits(Suite *s, const OpCase *c, const Run *a, const Run *b, const char *what)
{
    for (uint32_t k = 0; k < a->n_out; k++)
        if (!buf_same(&a->out[k], &b->out[k])) return suite_fail(s, c, "result %u has other bits %s", (unsigned)k, what);
    return 0;
}

/* Both NaN, equal, or near. */
static bool near(double got, double want, double tol)
{
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    return got == want || fabs(got - want) <= tol;
}

/* Results of two float types agree within `tol` of the largest. */
static int compare_types(Suite *s, const OpCase *c, const Run *a, const Run *b, double tol)
{
    for (uint32_t k = 0; k < a->n_out; k++) {
        AdvIter it;
        double scale = fmax(1, buf_scale(&b->out[k]));
        adv_iter_init(&it, a->out[k].view.rank, a->out[k].view.dim);
        adv_iter_add(&it, &a->out[k].view);
        adv_iter_add(&it, &b->out[k].view);
        for (; it.more; adv_iter_next(&it)) {
            double x = adv_ld(&a->out[k].view, it.at[0]), y = adv_ld(&b->out[k].view, it.at[1]);
            if (!near(x, y, tol * scale))
                return suite_fail(s, c, "result %u: %.9g in %s, %.17g in f64", (unsigned)k, x, adv_dtype_name(a->out[k].type.dtype), y);
        }
    }
    return 0;
}

static int check_want(Suite *s, const OpCase *c, const Run *r, double tol)
{
    for (uint32_t k = 0; k < CASE_MAX_OUT; k++) {
        const CaseWant *w = &c->want[k];
        AdvIter it;
        double scale;
        uint32_t i = 0;
        if (!w->v) continue;
        if (k >= r->n_out || w->n != adv_type_elems(&r->out[k].type))
            return suite_fail(s, c, "result %u has not %u elements", (unsigned)k, (unsigned)w->n);
        scale = fmax(1, buf_scale(&r->out[k]));
        adv_iter_init(&it, r->out[k].view.rank, r->out[k].view.dim);
        adv_iter_add(&it, &r->out[k].view);
        for (; it.more; adv_iter_next(&it), i++) {
            double got = adv_ld(&r->out[k].view, it.at[0]);
            if (!near(got, w->v[i], tol * scale))
                return suite_fail(s, c, "result %u, element %u: got %.17g, want %.17g", (unsigned)k, (unsigned)i, got, w->v[i]);
        }
    }
    return 0;
}

/* Each operand of an elementwise op already widened by strides of 0. */
static int check_broadcast(Suite *s, const OpCase *c, const Run *want)
{
    Run r = *want;
    int n = 0;
    if (!(c->op->flags & ADV_OP_ELEMENTWISE)) return 0;
    for (uint32_t k = 0; k < r.n_in; k++)
        r.in[k].view = adv_view_broadcast(&want->in[k].view, want->out[0].view.rank, want->out[0].view.dim);
    r.out[0] = buf_new(s, &want->out[0].type, BUF_ROW, 0x3c);
    if (call(s, c, &r) != ADV_OK) return suite_fail(s, c, "fails with strides of 0");
    n += compare_bits(s, c, want, &r, "with strides of 0");
    return n;
}

/* Output k in the storage of input i, where the op says that this is allowed. */
static int check_inplace(Suite *s, const OpCase *c, const Run *want)
{
    for (uint32_t k = 0; k < want->n_out && k < 4; k++) {
        for (uint32_t i = 0; i < want->n_in; i++) {
            Run r = *want;
            bool is_any = c->op->inplace[k] == ADV_INPLACE_ANY;
            if (c->op->inplace[k] == ADV_INPLACE_NONE || (!is_any && c->op->inplace[k] != i + 1)) continue;
            if (!adv_type_eq(&want->in[i].type, &want->out[k].type)) {
                if (!is_any) return suite_fail(s, c, "result %u is not of the type of the operand it may replace", (unsigned)k);
                continue;
            }
            for (uint32_t j = 0; j < r.n_in; j++) r.in[j] = buf_of(s, &c->in[j], want->in[j].type.dtype, BUF_ROW);
            for (uint32_t j = 0; j < r.n_out; j++) r.out[j] = j == k ? r.in[i] : buf_new(s, &want->out[j].type, BUF_ROW, 0x77);
            if (call(s, c, &r) != ADV_OK) return suite_fail(s, c, "fails in place");
            if (compare_bits(s, c, want, &r, "in place")) return 1;
        }
    }
    return 0;
}

/* The narrow float types: results as in f64 on the same rounded operands. An expansion rounds after each of its nodes, and
** jumps (sign, floor) may then fall elsewhere, so only definitions are compared. */
static int check_narrow(Suite *s, const OpCase *c, uint8_t dtype, double tol)
{
    OpCase rounded = *c;
    Run narrow, wide;
    AdvTensorType in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED];
    char msg[256];
    uint32_t n_out;
    if (c->op->expand || c->status != ADV_OK) return 0;
    in_types(c, dtype, in);
    if (adv_op_infer(c->op, in, c->n_in, c->attr, dtype, out, &n_out, msg, sizeof msg) != ADV_OK) return 0; /* the op wants wider ones */
    for (uint32_t k = 0; k < c->n_in; k++) {
        CaseTensor *t = &rounded.in[k];
        AdvTensorType one = {.dtype = dtype};
        uint64_t room;
        AdvView v = adv_view_of(&one, &room);
        double *f = ADV_NEW_ARRAY(&s->arena, double, t->n);
        for (int64_t i = 0; i < t->n; i++) adv_st(&v, 0, t->f[i]), f[i] = adv_ld(&v, 0);
        t->f = f;
    }
    if (suite_run(s, &rounded, dtype, BUF_ROW, 0, &narrow) || suite_run(s, &rounded, ADV_F64, BUF_ROW, 0, &wide)) return 1;
    return compare_types(s, c, &narrow, &wide, tol);
}

static int check_forward(Suite *s, const OpCase *c)
{
    Run f32, again, f64, other;
    int n = 0;
    if (suite_run(s, c, ADV_F32, BUF_ROW, 0x11, &f32) || suite_run(s, c, ADV_F64, BUF_ROW, 0x11, &f64)) return 1;
    if (c->status != ADV_OK) return 0;
    if (suite_run(s, c, ADV_F32, BUF_ROW, 0xee, &again)) return 1;
    n += compare_bits(s, c, &f32, &again, "when run again: an element was not written");
    if (suite_run(s, c, ADV_F32, BUF_GAPS, 0x11, &other)) return n + 1;
    n += compare_bits(s, c, &f32, &other, "with holes between the elements");
    if (suite_run(s, c, ADV_F64, BUF_CL, 0x11, &other)) return n + 1;
    n += compare_bits(s, c, &f64, &other, "in channels-last order");
    n += compare_types(s, c, &f32, &f64, c->op->expand ? 1e-5 : 2e-7);
    n += check_want(s, c, &f64, 1e-9);
    n += check_want(s, c, &f32, 1e-5);
    n += check_broadcast(s, c, &f32);
    n += check_inplace(s, c, &f32);
    n += check_narrow(s, c, ADV_BF16, 0x1p-8);
    n += check_narrow(s, c, ADV_F16, 0x1p-10);
    return n;
}

int suite_case(Suite *s, const OpCase *c)
{
    SuiteDevice *d = s->dev;
    int n;
    if (c->refuse) return check_refusal(s, c);
    if (d && d->is_preparing) {
        if (d->n_cases == d->cap_cases) {
            d->cap_cases = d->cap_cases ? 2 * d->cap_cases : 256;
            d->case_at = realloc(d->case_at, d->cap_cases * sizeof *d->case_at);
        }
        d->case_at[d->n_cases++] = d->n_made;
    } else if (d) {
        d->at = d->case_at[d->n_cases++];
    }
    if (s->backend) return c->status == ADV_OK ? suite_kernels(s, c) : 0;
    n = check_forward(s, c);
    return n > 0 || c->status != ADV_OK ? n : suite_grad(s, c);
}
