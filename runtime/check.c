/* check.c: what --check asks for, around each launch. Kernels know nothing of it.
**
** finite: after an instruction its float outputs are scanned. A NaN is a finding; so is an infinity, unless an input or a
** float attribute is infinite too (masks are made with -inf). What only passes a NaN of its inputs on is still reported, with a
** note, because its input came from before the entry: a state or data.
**
** ref: the definition runs first, into memory of its own, since the kernel may overwrite inputs; then the kernel; then the
** outputs are compared. Tolerance, relative to the largest magnitude of the output (or 1e-30): f32 1e-4 (5e-3 where TF32 is
** allowed), 16-bit types 2e-2, f64 1e-9; integers exactly; NaN equals NaN. It covers sums of up to some 10^6 terms in any order. Of an
** op that takes the sign of sums (ADV_OP_JUMPS) one result in a thousand may be another: a sum that cancels nearly to 0 has the sign of
** its rounding.
**
** On another device both look at copies of the operands, which waits for the device at each instruction.
*/
#include "runtime/base/checked.h"
#include "runtime/session.h"

#include "ops/shape.h"
#include "ops/view.h"

#include <math.h>
#include <string.h>

enum { MAX_OUT = ADV_MAX_FIXED + 64 };
static const AdvSpan no_place = {0, 0, 0};

struct AdvChecks {
    AdvHostSelf *ref;      /* runs the definitions */
    char *mem;             /* outputs of one instruction */
    uint64_t n_bytes;
    AdvView out[MAX_OUT];
    char *copy_mem;        /* another device: operands of one instruction, as `copy` shows them */
    uint64_t n_copy_bytes;
    AdvView *copy;         /* inputs, then outputs */
    uint32_t n_copies;
};

static uint64_t padded_bytes(const AdvView *v)
{
    AdvTensorType t = {.dtype = v->dtype, .rank = v->rank};
    memcpy(t.dim, v->dim, sizeof t.dim);
    return adv_round_up((uint64_t)adv_type_bytes(&t), ADV_PLAN_ALIGN);
}

/* The instruction's operands where the host can read them: its own, or copies. Only inputs or only outputs may be wanted;
** `at` of the others is of any content. */
static AdvStatus host_sig(AdvSession *s, uint32_t inst, bool wants_in, bool wants_out, AdvSig *out)
{
    AdvChecks *c = s->checks;
    *out = s->bound[inst].sig;
    if (s->be->is_host) return ADV_OK;
    char *at = c->copy_mem;
    for (uint32_t k = 0; k < out->n_in + out->n_out; k++) {
        bool is_in = k < out->n_in;
        const AdvView *v = is_in ? &out->in[k] : &out->out[k - out->n_in];
        c->copy[k] = *v;
        c->copy[k].data = at;
        AdvTensorType t = {.dtype = v->dtype, .rank = v->rank};
        memcpy(t.dim, v->dim, sizeof t.dim);
        if (is_in ? wants_in : wants_out) ADV_TRY(s->be->copy(s->self, at, v->data, (uint64_t)adv_type_bytes(&t), ADV_TO_HOST));
        at += padded_bytes(v);
    }
    out->in = c->copy;
    out->out = c->copy + out->n_in;
    return ADV_OK;
}

static bool is_compared(const AdvSession *s, uint32_t inst)
{
    const AdvBound *b = &s->bound[inst];
    return !b->is_ref && b->kernel && b->sig.n_out <= MAX_OUT;
}

static AdvStatus open_copies(AdvSession *s, AdvChecks *c, AdvDiags *ds)
{
    if (s->be->is_host) return ADV_OK;
    for (uint32_t i = 0; i < s->t->n_insts; i++) {
        const AdvSig *sig = &s->bound[i].sig;
        uint64_t n = 0;
        for (uint32_t k = 0; k < sig->n_in + sig->n_out; k++) {
            AdvView v = adv_session_view(s, (uint32_t)(sig->in - s->views) + k); /* as the plan has it, whatever feeds it now */
            n += padded_bytes(&v);
        }
        if (n > c->n_copy_bytes) c->n_copy_bytes = n;
        if (sig->n_in + sig->n_out > c->n_copies) c->n_copies = sig->n_in + sig->n_out;
    }
    c->n_copies++;
    c->n_copy_bytes += 64;
    c->copy = adv_mem_new0(&s->ctx->alloc, c->n_copies * sizeof *c->copy);
    c->copy_mem = adv_mem_new(&s->ctx->alloc, (size_t)c->n_copy_bytes);
    if (c->copy && c->copy_mem) return ADV_OK;
    return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory: checking needs %.1f MB for operands", (double)c->n_copy_bytes / 1e6);
}

AdvStatus adv_checks_open(AdvSession *s, AdvDiags *ds)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < s->t->n_insts; i++) {
        uint64_t n = 0;
        for (uint32_t k = 0; is_compared(s, i) && k < s->bound[i].sig.n_out; k++) n += padded_bytes(&s->bound[i].sig.out[k]);
        if (n > most) most = n;
    }
    AdvChecks *c = adv_mem_new0(&s->ctx->alloc, sizeof *c);
    s->checks = c;
    if (!c) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening a session");
    AdvBackendOpts o = {.alloc = s->ctx->alloc, .reg = &s->ctx->reg, .n_threads = s->n_threads};
    void *self;
    ADV_TRY(adv_host_open(&o, ds, &self));
    c->ref = self;
    c->mem = adv_mem_new(&s->ctx->alloc, (size_t)most + 64);
    c->n_bytes = most + 64;
    if (!c->mem)
        return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory: checking against the definitions needs %.1f MB",
                        (double)most / 1e6);
    return open_copies(s, c, ds);
}

void adv_checks_close(AdvSession *s)
{
    AdvChecks *c = s->checks;
    if (!c) return;
    adv_host_close(c->ref);
    if (c->mem) adv_mem_free(&s->ctx->alloc, c->mem, (size_t)c->n_bytes);
    if (c->copy) adv_mem_free(&s->ctx->alloc, c->copy, c->n_copies * sizeof *c->copy);
    if (c->copy_mem) adv_mem_free(&s->ctx->alloc, c->copy_mem, (size_t)c->n_copy_bytes);
    adv_mem_free(&s->ctx->alloc, c, sizeof *c);
    s->checks = NULL;
}

AdvStatus adv_check_before(AdvSession *s, uint32_t inst, AdvDiags *ds)
{
    AdvChecks *c = s->checks;
    AdvBound b = {.kernel = NULL};
    if (!is_compared(s, inst)) return ADV_OK;
    ADV_TRY(host_sig(s, inst, true, false, &b.sig));
    const AdvSig *sig = &b.sig;
    char *at = c->mem;
    for (uint32_t k = 0; k < sig->n_out; k++) {
        c->out[k] = sig->out[k];
        c->out[k].data = at;
        at += padded_bytes(&sig->out[k]);
    }
    b.sig.out = c->out;
    AdvStatus st = adv_host_run_ref(c->ref, &b);
    if (st != ADV_OK) return adv_fail(ds, st, ADV_D_KERNEL, "the definition of `%s` failed: %s", sig->op->name, adv_status_name(st));
    return ADV_OK;
}

static double tolerance(const AdvSession *s, uint8_t dtype)
{
    bool has_tf32 = !s->be->is_host && s->plan->prog->allows_tf32;
    if (dtype == ADV_F32) return has_tf32 ? 5e-3 : 1e-4;
    if (dtype == ADV_F64) return 1e-9;
    return adv_dtype_is_float(dtype) ? 2e-2 : 0;
}

typedef struct Count { int64_t n, n_nan, n_inf; } Count;

static Count count_bad(const AdvView *v)
{
    Count c = {0, 0, 0};
    AdvIter it;
    if (!adv_dtype_is_float(v->dtype) || !v->data) return c;
    adv_iter_init(&it, v->rank, v->dim);
    adv_iter_add(&it, v);
    for (; it.more; adv_iter_next(&it)) {
        double x = adv_ld(v, it.at[0]);
        c.n++;
        c.n_nan += isnan(x) != 0;
        c.n_inf += isinf(x) != 0;
    }
    return c;
}

static bool has_inf_attr(const AdvSig *sig)
{
    for (uint32_t k = 0; k < adv_op_n_attrs(sig->op); k++) {
        if (isinf(sig->attr[k].f)) return true;
        for (uint32_t i = 0; sig->attr[k].floats && i < sig->attr[k].n; i++)
            if (isinf(sig->attr[k].floats[i])) return true;
    }
    return false;
}

/* Which sample row `row` of output k belongs to: -1 where it is none's. */
static int64_t sample_of(AdvSession *s, uint32_t entry, uint32_t inst, uint32_t k, int64_t row)
{
    const char *name = adv_plan_str(s->plan, s->t->entries[entry].name);
    bool is_eval = !strncmp(name, "eval.", 5);
    const AdvPlanValue *v = adv_operand(s, inst, s->t->insts[inst].n_in + k);
    uint32_t ids = is_eval || !strncmp(name, "step.", 5) ? adv_plan_state(s->plan, is_eval ? "eval.ids" : "ids") : ADV_PLAN_NONE;
    int64_t id;
    if (ids == ADV_PLAN_NONE || v->rate != ADV_RATE_SAMPLE) return -1;
    const AdvTensorType *t = &s->t->state_types[ids];
    if (t->dtype != ADV_I64 || t->rank != 1 || row >= t->dim[0] || s->bound[inst].sig.out[k].dim[0] != t->dim[0]) return -1;
    const char *at = (const char *)s->states[ids].data + row * (int64_t)sizeof id;
    return s->be->copy(s->self, &id, at, sizeof id, ADV_TO_HOST) == ADV_OK ? id : -1;
}

/* The first element of output k that is not finite, by row and sample. */
static void first_bad(AdvSession *s, uint32_t entry, uint32_t inst, uint32_t k, const AdvView *v, AdvDiag *d)
{
    AdvIter it;
    adv_iter_init(&it, v->rank, v->dim);
    adv_iter_add(&it, v);
    for (; it.more; adv_iter_next(&it)) {
        double x = adv_ld(v, it.at[0]);
        if (isfinite(x)) continue;
        if (!v->rank) return;
        const char *what = isnan(x) ? "NaN" : x > 0 ? "inf" : "-inf";
        int64_t id = sample_of(s, entry, inst, k, it.ix[0]);
        if (id < 0)
            adv_diag_note(d, no_place, "the first is %s, in row %lld of %lld", what, (long long)it.ix[0], (long long)v->dim[0]);
        else
            adv_diag_note(d, no_place, "the first is %s, of sample %lld (row %lld of %lld)", what, (long long)id, (long long)it.ix[0],
                          (long long)v->dim[0]);
        return;
    }
}

static AdvStatus check_finite(AdvSession *s, uint32_t entry, uint32_t inst, AdvDiags *ds)
{
    AdvSig host;
    const AdvSig *sig = &host, *own = &s->bound[inst].sig;
    ADV_TRY(host_sig(s, inst, true, true, &host));
    for (uint32_t k = 0; k < sig->n_out; k++) {
        Count c = count_bad(&sig->out[k]);
        if (!c.n_nan && !c.n_inf) continue;
        bool inf_in = has_inf_attr(sig);
        uint32_t from = UINT32_MAX;
        for (uint32_t i = 0; i < sig->n_in; i++) {
            bool is_overwritten = false;   /* then it shows the output by now */
            for (uint32_t o = 0; o < sig->n_out; o++) is_overwritten |= own->in[i].data == own->out[o].data;
            Count ci = is_overwritten ? (Count){0, 0, 0} : count_bad(&sig->in[i]);
            inf_in |= ci.n_inf > 0;
            if (ci.n_nan + ci.n_inf && from == UINT32_MAX) from = i;
        }
        if (!c.n_nan && inf_in) continue;
        AdvDiag *d = adv_fault(s, ds, ADV_D_NOT_FINITE, entry, inst, "`%s` produced %lld non-finite value%s of %lld", sig->op->name,
                               (long long)(c.n_nan + c.n_inf), c.n_nan + c.n_inf == 1 ? "" : "s", (long long)c.n);
        first_bad(s, entry, inst, k, &sig->out[k], d);
        const char *name = from != UINT32_MAX ? adv_operand_recipe_name(s, inst, from) : NULL;
        if (name) adv_diag_note(d, no_place, "its input `%s` holds such values already", name);
        else if (from != UINT32_MAX) adv_diag_note(d, no_place, "what it reads holds such values already");
        return ADV_ENUMERIC;
    }
    return ADV_OK;
}

/* Infinities that both sides have are equal; a NaN only equals a NaN. */
static bool differs(double got, double want, double tol)
{
    if (isnan(got) || isnan(want)) return isnan(got) != isnan(want);
    if (isinf(got) || isinf(want)) return got != want;
    return fabs(got - want) > tol;
}

static AdvStatus check_ref(AdvSession *s, uint32_t entry, uint32_t inst, AdvDiags *ds)
{
    AdvSig host;
    const AdvSig *sig = &host;
    const AdvChecks *c = s->checks;
    ADV_TRY(host_sig(s, inst, false, true, &host));
    for (uint32_t k = 0; k < sig->n_out; k++) {
        const AdvView *got = &sig->out[k], *want = &c->out[k];
        AdvIter it;
        double most = 1e-30, worst_got = 0, worst_want = 0, worst = -1;
        int64_t n = 0, n_bad = 0;
        adv_iter_init(&it, got->rank, got->dim);
        adv_iter_add(&it, want);
        for (; it.more; adv_iter_next(&it)) {
            double w = fabs(adv_ld(want, it.at[0]));
            if (isfinite(w) && w > most) most = w;
        }
        adv_iter_init(&it, got->rank, got->dim);
        adv_iter_add(&it, got);
        adv_iter_add(&it, want);
        for (; it.more; adv_iter_next(&it), n++) {
            double g = adv_ld(got, it.at[0]), w = adv_ld(want, it.at[1]);
            if (!differs(g, w, tolerance(s, got->dtype) * most)) continue;
            double gap = isfinite(g) && isfinite(w) ? fabs(g - w) : INFINITY;
            n_bad++;
            if (gap <= worst) continue;
            worst = gap;
            worst_got = g;
            worst_want = w;
        }
        if (n_bad <= ((sig->op->flags & ADV_OP_JUMPS) ? 1 + n / 1000 : 0)) continue;
        AdvDiag *d = adv_fault(s, ds, ADV_D_REF_DIFFERS, entry, inst, "`%s` differs from its definition in %lld of %lld values",
                               sig->op->name, (long long)n_bad, (long long)n);
        adv_diag_note(d, (AdvSpan){0, 0, 0}, "the worst is %.9g instead of %.9g; the largest of the output is %.9g", worst_got, worst_want,
                      most);
        return ADV_EDIFFERS;
    }
    return ADV_OK;
}

AdvStatus adv_check_after(AdvSession *s, uint32_t entry, uint32_t inst, AdvDiags *ds)
{
    if (s->be->does_nothing || s->check == ADV_CHECK_SYNC) return ADV_OK;
    if (!s->be->is_host && !s->checks) ADV_TRY(adv_checks_open(s, ds));
    if (s->check == ADV_CHECK_FINITE) return check_finite(s, entry, inst, ds);
    return is_compared(s, inst) ? check_ref(s, entry, inst, ds) : ADV_OK;
}
