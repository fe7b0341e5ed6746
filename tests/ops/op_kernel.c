/* op_kernel.c: every kernel of a back end that accepts a case, against the op's definition on the same operands.
**
** Tolerance, stated once: a result may be off by eps*(16 + sqrt(L)) times the largest magnitude of that result (at least
** 1e-6), where eps is that of the float type and L the largest number of elements of an operand, which no reduction exceeds;
** L is 1 for elementwise ops. Integers, NaN and infinities are equal. The number of threads changes no bit, but in a library's
** kernels ("dnnl"), which may cut a sum by threads.
*/
#include "op_suite.h"

#include "runtime/base/container.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_LEAD                                                                                                                       \
    192 /* bytes before the scratch that a kernel gets, which behind the guard lies at a multiple of 256 as a session's does */

static void *prep_alloc(AdvPrep *p, size_t bytes) { return adv_arena_new(&((Suite *)p->host)->arena, bytes); }

static AdvStatus prep_fail(AdvPrep *p, AdvStatus st, const char *fmt, ...)
{
    va_list ap;
    (void)p;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    return st;
}

static double tolerance(const OpCase *c, const Run *want, const Buf *out)
{
    double eps = out->type.dtype == ADV_F32 ? 0x1p-24 : 0x1p-9, len = 1;
    for (uint32_t k = 0; k < want->n_in && !(c->op->flags & ADV_OP_ELEMENTWISE); k++) len = fmax(len, (double)c->in[k].n);
    return eps * (16 + sqrt(len)) * fmax(buf_scale(out), 1e-6);
}

static int compare(const Suite *s, const OpCase *c, const AdvKernel *k, const Run *got, const Run *want, const char *how)
{
    for (uint32_t o = 0; o < want->n_out; o++) {
        double tol = tolerance(c, want, &want->out[o]);
        AdvIter it;
        int64_t i = 0;
        adv_iter_init(&it, want->out[o].view.rank, want->out[o].view.dim);
        adv_iter_add(&it, &got->out[o].view);
        adv_iter_add(&it, &want->out[o].view);
        for (; it.more; adv_iter_next(&it), i++) {
            double x = adv_ld(&got->out[o].view, it.at[0]), y = adv_ld(&want->out[o].view, it.at[1]);
            bool ok = isnan(y) ? isnan(x) : x == y || fabs(x - y) <= tol;
            if (!ok)
                return suite_fail(s, c, "kernel %s.%s%s: result %u, element %lld: %.9g, definition %.9g", k->op, k->name, how, (unsigned)o,
                                  (long long)i, x, y);
        }
    }
    return 0;
}

static AdvStatus prepare(Suite *s, const AdvKernel *k, const AdvSig *sig, uint32_t n_threads, AdvBound *out)
{
    AdvPrep prep = {.sig = sig, .n_threads = n_threads, .alloc = prep_alloc, .fail = prep_fail, .host = s};
    AdvStatus st = ADV_OK;
    *out = (AdvBound){.sig = *sig, .kernel = k};
    if (s->dev) return s->dev->be->prepare_kernel(s->dev->self, out, k, s->dev->ds);
    if (k->prepare) st = k->prepare(&prep, &out->state);
    out->scratch_bytes = prep.scratch_bytes;
    return st;
}

/* The next launch of the case: prepared now, or taken from what was. A refusal is told when the others run. */
static AdvStatus next_prepared(Suite *s, const AdvKernel *k, const AdvSig *sig, uint32_t n_threads, AdvBound *out)
{
    SuiteDevice *d = s->dev;
    if (!d) return prepare(s, k, sig, n_threads, out);
    if (!d->is_preparing) {
        *out = *d->made[d->at];
        return d->made_st[d->at++];
    }
    if (d->n_made == d->cap_made) {
        d->cap_made = d->cap_made ? 2 * d->cap_made : 256;
        d->made = realloc(d->made, d->cap_made * sizeof *d->made);
        d->made_st = realloc(d->made_st, d->cap_made * sizeof *d->made_st);
    }
    AdvBound *b = d->made[d->n_made] = malloc(sizeof *b);
    d->made_st[d->n_made++] = prepare(s, k, sig, n_threads, b);
    suite_device_say(d);
    return ADV_OK;
}

/* The view's data where the kernel finds it. */
static AdvView lent(Suite *s, const Buf *b)
{
    AdvView v = b->view;
    char *mem = s->dev ? suite_device_lend(s->dev, b->mem, b->n_bytes) : (char *)b->mem;
    v.data = mem ? mem + ((const char *)b->view.data - (const char *)b->mem) : NULL;
    return v;
}

static AdvStatus run_kernel(Suite *s, const OpCase *c, AdvBound *made, const Buf *scratch, uint32_t n_threads, Run *r)
{
    AdvView in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED];
    AdvLaunch l = {.in = in, .out = out, .attr = c->attr, .n_threads = n_threads, .scratch = (char *)lent(s, scratch).data + SCRATCH_LEAD};
    for (uint32_t i = 0; i < r->n_in; i++) in[i] = lent(s, &r->in[i]);
    for (uint32_t i = 0; i < r->n_out; i++) out[i] = lent(s, &r->out[i]);
    made->sig = (AdvSig){.op = c->op, .n_in = r->n_in, .n_out = r->n_out, .in = in, .out = out, .attr = c->attr};
    if (!s->dev) return made->kernel->run(&l, made->state);
    AdvStatus st = s->dev->be->launch(s->dev->self, made, l.scratch), end = suite_device_finish(s->dev);
    return st == ADV_OK ? end : st;
}

/* Prepares and runs a kernel on fresh results. */
static int launch(Suite *s, const OpCase *c, const AdvKernel *k, uint32_t n_threads, Run *r)
{
    AdvView in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED];
    AdvSig sig = {.op = c->op, .n_in = r->n_in, .n_out = r->n_out, .in = in, .out = out, .attr = c->attr};
    AdvTensorType bytes = {.dtype = ADV_U8, .rank = 1};
    AdvBound made;
    for (uint32_t i = 0; i < r->n_in; i++) in[i] = r->in[i].view, in[i].data = NULL;
    for (uint32_t i = 0; i < r->n_out; i++) out[i] = r->out[i].view, out[i].data = NULL;
    AdvStatus st = next_prepared(s, k, &sig, n_threads, &made);
    if (st != ADV_OK) return suite_fail(s, c, "kernel %s.%s: prepare returns %s", k->op, k->name, adv_status_name(st));
    if (s->dev && s->dev->is_preparing) return 0;
    bytes.dim[0] = SCRATCH_LEAD + (made.scratch_bytes ? (int64_t)made.scratch_bytes : 1);
    Buf scratch = buf_new(s, &bytes, BUF_ROW, 0xdd);
    st = run_kernel(s, c, &made, &scratch, n_threads, r);
    if (k->release && !s->dev) k->release(made.state); /* a back end does that itself */
    s->n_kernel_runs++;
    if (st != c->status)
        return suite_fail(s, c, "kernel %s.%s: run returns %s%s%s", k->op, k->name, adv_status_name(st), s->dev ? ": " : "",
                          s->dev ? s->dev->be->last_error(s->dev->self) : "");
    if (!buf_guards_ok(s, &scratch)) return suite_fail(s, c, "kernel %s.%s writes beyond its scratch", k->op, k->name);
    for (uint32_t i = 0; i < r->n_in; i++)
        if (!buf_guards_ok(s, &r->in[i])) return suite_fail(s, c, "kernel %s.%s writes around operand %u", k->op, k->name, (unsigned)i);
    for (uint32_t i = 0; i < r->n_out; i++)
        if (!buf_guards_ok(s, &r->out[i])) return suite_fail(s, c, "kernel %s.%s writes around result %u", k->op, k->name, (unsigned)i);
    return 0;
}

static void fresh(Suite *s, const OpCase *c, const Run *want, int form, unsigned char fill, Run *r)
{
    int in = form == BUF_TO_CL ? BUF_ROW : form == BUF_TO_ROW ? BUF_CL : form;
    int out = form == BUF_TO_CL ? BUF_CL : form == BUF_TO_ROW ? BUF_ROW : form;
    *r = *want;
    for (uint32_t i = 0; i < r->n_in; i++) r->in[i] = buf_of(s, &c->in[i], want->in[i].type.dtype, in);
    for (uint32_t i = 0; i < r->n_out; i++) r->out[i] = buf_new(s, &want->out[i].type, out, fill);
}

static bool accepts(const OpCase *c, const AdvKernel *k, const Run *r)
{
    AdvView in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED];
    AdvSig sig = {.op = c->op, .n_in = r->n_in, .n_out = r->n_out, .in = in, .out = out, .attr = c->attr};
    const char *why = NULL;
    for (uint32_t i = 0; i < r->n_in; i++) in[i] = r->in[i].view, in[i].data = NULL;
    for (uint32_t i = 0; i < r->n_out; i++) out[i] = r->out[i].view, out[i].data = NULL;
    return k->can(&sig, &why);
}

static int try_kernel(Suite *s, const OpCase *c, const AdvKernel *k, const Run *want, int form)
{
    static const char *const names[BUF_FORMS] = {"", " (channels-last)", " (holes)", " (row to channels-last)", " (channels-last to row)"};
    bool is_library = strcmp(k->name, "dnnl") == 0;
    Run one, many;
    int n = 0;
    fresh(s, c, want, form, 0x11, &one);
    if (!accepts(c, k, &one)) return 0;
    fresh(s, c, want, form, 0xee, &many);
    n += launch(s, c, k, 1, &one);
    if (n == 0) n += launch(s, c, k, 3, &many);
    if (s->dev && s->dev->is_preparing) return n;
    if (n == 0) n += compare(s, c, k, &one, want, names[form]);
    if (n == 0 && is_library) n += compare(s, c, k, &many, want, " (3 threads)");
    for (uint32_t o = 0; o < want->n_out && n == 0 && !is_library; o++)
        if (!buf_same(&one.out[o], &many.out[o]))
            n += suite_fail(s, c, "kernel %s.%s%s: result %u depends on the threads or is not all written", k->op, k->name, names[form],
                            (unsigned)o);
    return n;
}

/* Does the op move or convert images, so that operand and result may lie in different orders? */
static bool is_turned(const OpCase *c)
{
    const char *name = c->op->name;
    return c->in[0].type.rank == 4 && (!strcmp(name, "relayout") || !strcmp(name, "copy") || !strcmp(name, "cast"));
}

/* The result in the storage of an operand, where the op allows it: the planner will ask for it. */
static int try_inplace(Suite *s, const OpCase *c, const AdvKernel *k, const Run *want)
{
    for (uint32_t o = 0; o < want->n_out && o < 4; o++) {
        for (uint32_t i = 0; i < want->n_in; i++) {
            Run r;
            bool is_any = c->op->inplace[o] == ADV_INPLACE_ANY;
            if (c->op->inplace[o] == ADV_INPLACE_NONE || (!is_any && c->op->inplace[o] != i + 1)) continue;
            if (!adv_type_eq(&want->in[i].type, &want->out[o].type)) continue;
            fresh(s, c, want, BUF_ROW, 0x11, &r);
            r.out[o] = r.in[i];
            if (!accepts(c, k, &r)) continue;
            if (launch(s, c, k, 2, &r)) return 1;
            if (s->dev && s->dev->is_preparing) continue;
            if (compare(s, c, k, &r, want, " (in place)")) return 1;
        }
    }
    return 0;
}

int suite_kernels(Suite *s, const OpCase *c)
{
    uint32_t n_kernels;
    const AdvKernel *const *k = adv_registry_kernels(&s->reg, s->backend, c->op->name, &n_kernels);
    static const uint8_t dtypes[] = {ADV_F32, ADV_BF16, ADV_F16};
    uint32_t n_dtypes = s->dev ? 3 : 2; /* no back end of the host computes in f16 */
    int n = 0;
    for (uint32_t d = 0; d < n_dtypes && n_kernels; d++) {
        AdvTensorType in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED];
        char msg[256];
        uint32_t n_out;
        Run want;
        for (uint32_t i = 0; i < c->n_in; i++) {
            in[i] = c->in[i].type;
            in[i].dtype = suite_dtype(c, i, dtypes[d]);
        }
        if (adv_op_infer(c->op, in, c->n_in, c->attr, dtypes[d], out, &n_out, msg, sizeof msg) != ADV_OK) continue;
        if (suite_run(s, c, dtypes[d], BUF_ROW, 0x11, &want)) return 1;
        for (uint32_t i = 0; i < n_kernels && n == 0; i++) {
            if (s->without && strstr(s->without, k[i]->name)) continue;
            int n_forms = is_turned(c) ? BUF_FORMS : BUF_GAPS + 1;
            for (int form = BUF_ROW; form < n_forms && n == 0; form++) n += try_kernel(s, c, k[i], &want, form);
            if (n == 0) n += try_inplace(s, c, k[i], &want);
        }
    }
    return n;
}
