/* session.c: a plan on a back end: choose kernels, take memory, run entries.
**
** Opening does all that is slow; entries are run in entry.c. Arguments are checked here once, never in a back end.
*/
#define _GNU_SOURCE /* sched_getaffinity */
#include "runtime/base/checked.h"
#include "runtime/module.h"
#include "runtime/session.h"

#include "ops/view.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- opening: back end and target ----------------------------------------------------------------------------------- */

static void log_refusal(void *user, const AdvSig *sig, const AdvKernel *k, const char *why);

static void log_backend(void *user, const char *text)
{
    const AdvSession *s = user;
    adv_ctx_log(s->ctx, ADV_LOG_WARNING, "%s", text);
}

static AdvStatus open_backend(AdvSession *s, const AdvSessionOpts *o, AdvDiags *ds)
{
    AdvBackendOpts bo = {.alloc = s->ctx->alloc, .reg = &s->ctx->reg, .n_threads = s->n_threads, .refused = log_refusal, .user = s,
                         .log = log_backend, .io = s->ctx->io, .cache_dir = s->cache_dir,
                         .cache_limit_bytes = o->cache_limit_bytes, .library_dirs = s->library_dirs,
                         .says_choices = (s->flags & ADV_SESSION_LOG_DISPATCH) != 0,
                         .is_deterministic = s->plan->prog->deterministic, .allow_tf32 = s->plan->prog->allows_tf32,
                         .stream = o->stream};
    return s->be->open(&bo, ds, &s->self);
}

/* True if the plan may run on a device and one answers; else `why` says what is missing. */
static bool try_cuda(AdvSession *s, const AdvSessionOpts *o)
{
    AdvDiags *own = adv_diags_new(s->ctx->alloc);
    bool has_target = adv_plan_target(s->plan, "cuda") && (!o->target || !strcmp(o->target, "cuda"));
    AdvStatus st = ADV_EUNAVAILABLE;
    if (!adv_plan_target(s->plan, "cuda")) snprintf(s->why, sizeof s->why, "the plan has no part for `cuda`");
    else if (!has_target) snprintf(s->why, sizeof s->why, "target `%s` is not for a device", o->target);
    else if (!o->backend_dir) snprintf(s->why, sizeof s->why, "the only device of this build");
    else {
        st = adv_module_load(s->ctx, "cuda", o->backend_dir, own, &s->be);
        if (st == ADV_OK) st = open_backend(s, o, own);
        if (st != ADV_OK) snprintf(s->why, sizeof s->why, "%s", own && own->list.n ? own->list.at[0]->message : adv_status_name(st));
    }
    adv_diags_free(own);
    if (st == ADV_OK) snprintf(s->why, sizeof s->why, "a device answers");
    return st == ADV_OK;
}

static AdvStatus find_backend(AdvSession *s, const AdvSessionOpts *o, AdvDiags *ds)
{
    const char *name = o->backend ? o->backend : "auto";
    bool is_auto = !strcmp(name, "auto"), has_device = strcmp(s->plan->prog->device, "auto") != 0 && !o->target;
    if (is_auto && has_device) name = s->plan->prog->device;
    snprintf(s->why, sizeof s->why, is_auto && has_device ? "the recipe asks for it" : "asked for");
    if (!strcmp(name, "cuda")) return adv_module_load(s->ctx, name, o->backend_dir, ds, &s->be);
    if (!strcmp(name, "auto")) {
        const AdvPlanTarget *t = adv_plan_target(s->plan, o->target ? o->target : "cpu");
        if (try_cuda(s, o)) return ADV_OK;
        bool is_cpu = t && t->float_dtype != ADV_F64;
        s->be = is_cpu ? &adv_backend_cpu : &adv_backend_ref;
        if (!is_cpu) snprintf(s->why, sizeof s->why, "%s", t ? "the target computes in double" : "the plan has no part for `cpu`");
        return ADV_OK;
    }
    s->be = adv_backend_find(name);
    if (s->be) return ADV_OK;
    AdvDiag *d = adv_diag(ds, ADV_D_BACKEND, (AdvSpan){0, 0, 0}, "there is no back end `%s`", name);
    adv_diag_help(d, "there are `auto`, `cuda`, `cpu`, `ref` and `null`");
    return ADV_EUNAVAILABLE;
}

static AdvStatus choose_backend(AdvSession *s, const AdvSessionOpts *o, AdvDiags *ds)
{
    ADV_TRY(find_backend(s, o, ds));
    const char *want = o->target ? o->target : s->be->target ? s->be->target : "cpu";
    s->t = adv_plan_target(s->plan, want);
    if (!s->t && !o->target && !s->be->target && s->plan->n_targets) s->t = &s->plan->targets[0];
    if (!s->t) {
        AdvDiag *d = adv_diag(ds, ADV_D_BACKEND, (AdvSpan){0, 0, 0}, "the plan has no part for target `%s`", want);
        for (uint32_t i = 0; i < s->plan->n_targets; i++)
            adv_diag_note(d, (AdvSpan){0, 0, 0}, "it has one for `%s`", s->plan->targets[i].name);
        adv_diag_help(d, "`advc --target=LIST` says what a plan is compiled for; `advc list targets` prints what there is");
        return ADV_EUNAVAILABLE;
    }
    if (s->t->float_dtype == ADV_F64 && !s->be->is_ref)
        return adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_BACKEND, "target `%s` computes in double, which only back end `ref` does", s->t->name);
    return s->self ? ADV_OK : open_backend(s, o, ds);
}

static void log_refusal(void *user, const AdvSig *sig, const AdvKernel *k, const char *why)
{
    const AdvSession *s = user;
    if (s->flags & ADV_SESSION_LOG_DISPATCH)
        adv_ctx_log(s->ctx, ADV_LOG_INFO, "  %s: kernel `%s` refuses: %s", sig->op->name, k->name, why);
}

/* ---- opening: memory ------------------------------------------------------------------------------------------------ */

/* What the plan takes in all, under the message that there is too little. */
static void say_peak(const AdvSession *s, AdvDiags *ds)
{
    uint64_t data = 0, states = s->state_bytes;
    for (uint32_t i = 0; i < s->plan->n_states; i++)
        if (s->plan->states[i].kind == ADV_STATE_DATA) data += s->states[i].n_bytes;
    uint64_t copy = s->be->is_host ? 0 : states + data;
    adv_fail_while(ds, ADV_ENOMEM, "taking %.1f MB in all: states %.1f, values %.1f, constants %.1f, kernels %.1f%s",
                   (double)(states + s->t->temp_bytes + s->t->n_const_bytes + s->scratch_bytes + copy) / 1e6, (double)states / 1e6,
                   (double)s->t->temp_bytes / 1e6, (double)s->t->n_const_bytes / 1e6, (double)s->scratch_bytes / 1e6,
                   s->be->is_host ? "" : ", and data and a copy of the states");
}

AdvStatus adv_session_take(AdvSession *s, uint64_t n_bytes, const char *what, AdvDiags *ds, void **out)
{
    char why[320] = "";
    *out = s->be->alloc(s->self, n_bytes ? n_bytes : 1);
    if (*out) return ADV_OK;
    if (s->be->last_error) snprintf(why, sizeof why, "%s", s->be->last_error(s->self));
    if (!s->be->is_host && s->be->sync(s->self) != ADV_OK)
        return adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_BACKEND, "the device failed: %s", s->be->last_error(s->self));
    AdvStatus st = adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory: %s need %.1f MB", what, (double)n_bytes / 1e6);
    if (why[0]) st = adv_fail_while(ds, st, "%s", why);
    if (s->states) say_peak(s, ds);
    return st;
}

static void *host_array(AdvSession *s, uint64_t n, size_t elem_bytes)
{
    return adv_mem_new0(&s->ctx->alloc, (size_t)(n ? n : 1) * elem_bytes);
}

static void host_free(AdvSession *s, void *p, uint64_t n, size_t elem_bytes)
{
    adv_mem_free(&s->ctx->alloc, p, (size_t)(n ? n : 1) * elem_bytes);
}

static AdvStatus take_states(AdvSession *s, AdvDiags *ds)
{
    uint64_t at = 0;
    s->states = host_array(s, s->plan->n_states, sizeof *s->states);
    if (!s->states) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening a session");
    for (uint32_t i = 0; i < s->plan->n_states; i++) {
        if (s->t->state_types[i].layout != ADV_LAYOUT_ROW)
            return adv_fail(ds, ADV_EDATA, ADV_D_PROGRAM, "state `%s` is not in row order", adv_state_name(s, i));
        s->states[i].n_bytes = (uint64_t)adv_type_bytes(&s->t->state_types[i]);
        if (s->plan->states[i].kind == ADV_STATE_DATA) s->n_unbound++;
        else at += adv_round_up(s->states[i].n_bytes, ADV_PLAN_ALIGN);
        if (s->states[i].n_bytes > s->staging_bytes && s->plan->states[i].kind != ADV_STATE_DATA) s->staging_bytes = s->states[i].n_bytes;
    }
    s->state_bytes = at;
    ADV_TRY(adv_session_take(s, at, "the states", ds, &s->state_mem));
    ADV_TRY(s->be->fill(s->self, s->state_mem, 0, at));
    at = 0;
    for (uint32_t i = 0; i < s->plan->n_states; i++) {
        if (s->plan->states[i].kind == ADV_STATE_DATA) continue;
        s->states[i].data = (char *)s->state_mem + at;
        at += adv_round_up(s->states[i].n_bytes, ADV_PLAN_ALIGN);
    }
    if (!s->be->is_host) {
        s->staging = host_array(s, s->staging_bytes, 1);
        if (!s->staging) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening a session");
    }
    return ADV_OK;
}

/* Other devices: the copy of the states that a bad value is traced from, and values logged but not yet read. Data takes its memory
** when it is bound, because a source needs room for one batch only. */
static AdvStatus take_device_blocks(AdvSession *s, AdvDiags *ds)
{
    if (s->be->is_host || !s->plan->prog->n_logs) return ADV_OK;
    for (uint32_t i = 0; i < s->plan->prog->n_logs; i++)
        s->ring_bytes += ADV_RUN_AHEAD * adv_round_up(s->states[s->plan->prog->logs[i].state].n_bytes, ADV_PLAN_ALIGN);
    ADV_TRY(adv_session_take(s, s->state_bytes, "the copy of the states", ds, &s->snap_mem));
    return adv_session_take(s, s->ring_bytes, "the logged values", ds, &s->ring_mem);
}

static AdvStatus take_blocks(AdvSession *s, AdvDiags *ds)
{
    ADV_TRY(take_states(s, ds));
    ADV_TRY(take_device_blocks(s, ds));
    s->const_bytes = s->t->n_const_bytes;
    s->temp_bytes = s->t->temp_bytes;
    ADV_TRY(adv_session_take(s, s->const_bytes, "the constants", ds, &s->const_mem));
    ADV_TRY(adv_session_take(s, s->temp_bytes, "the values of a step", ds, &s->temp_mem));
    return s->be->copy(s->self, s->const_mem, s->t->consts, s->const_bytes, ADV_TO_DEVICE);
}

static void *value_base(const AdvSession *s, const AdvPlanValue *v)
{
    if (v->block == ADV_BLOCK_STATE) return s->states[v->state].data;
    return v->block == ADV_BLOCK_CONST ? s->const_mem : s->temp_mem;
}

/* ---- opening: instructions ------------------------------------------------------------------------------------------ */

/* Does it compute in 16 bits? Then that was asked for to be fast, and running its definition is not an answer. */
static bool is_low(const AdvSig *sig)
{
    for (uint32_t k = 0; k < sig->n_in + sig->n_out; k++) {
        uint8_t dtype = (k < sig->n_in ? sig->in[k] : sig->out[k - sig->n_in]).dtype;
        if (dtype == ADV_BF16 || dtype == ADV_F16) return true;
    }
    return false;
}

static AdvStatus refuse_ref(AdvSession *s, uint32_t inst, AdvDiags *ds)
{
    uint32_t n;
    const AdvSig *sig = &s->bound[inst].sig;
    const AdvKernel *const *ks = adv_registry_kernels(&s->ctx->reg, s->be->name, sig->op->name, &n);
    AdvSpan at = adv_fault_span(s->plan, ds, s->t->insts[inst].loc);
    AdvDiag *d = adv_diag(ds, ADV_D_NO_KERNEL, at, "no kernel of `%s` runs this `%s`", s->be->name, sig->op->name);
    for (uint32_t i = 0; i < n; i++) {
        const char *why;
        if (!adv_kernel_can(ks[i], sig, &why)) adv_diag_note(d, (AdvSpan){0, 0, 0}, "kernel `%s` refuses: %s", ks[i]->name, why);
    }
    if (is_low(sig)) adv_diag_help(d, "`advc --set run.precision=f32` makes a plan that does not compute in 16 bits");
    return ADV_EUNAVAILABLE;
}

/* Instructions of the list that begins at i; 1: it is alone; 0: it is within one. */
static uint32_t list_length(const AdvPlanTarget *t, uint32_t i)
{
    uint32_t n = 1;
    if (t->insts[i].with_prev) return 0;
    while (i + n < t->n_insts && t->insts[i + n].with_prev) n++;
    return n;
}

static AdvStatus bind_insts(AdvSession *s, AdvDiags *ds)
{
    const AdvPlanTarget *t = s->t;
    for (uint32_t i = 0; i < t->n_insts; i++) {
        s->n_views += t->insts[i].n_in + t->insts[i].n_out;
        s->n_lists += list_length(t, i) > 1;
    }
    s->bound = host_array(s, t->n_insts, sizeof *s->bound);
    s->lists = host_array(s, s->n_lists, sizeof *s->lists);
    s->views = host_array(s, s->n_views, sizeof *s->views);
    s->view_value = host_array(s, s->n_views, sizeof *s->view_value);
    if (!s->bound || !s->lists || !s->views || !s->view_value)
        return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening a session");
    uint32_t at = 0;
    for (uint32_t i = 0; i < t->n_insts; i++) {
        const AdvPlanInst *in = &t->insts[i];
        AdvBound *b = &s->bound[i];
        b->sig = (AdvSig){s->plan->op_defs[in->op], in->n_in, in->n_out, s->views + at, s->views + at + in->n_in, t->attrs + in->attr_at};
        for (uint32_t k = 0; k < in->n_in + in->n_out; k++, at++) {
            s->view_value[at] = t->operands[k < in->n_in ? in->in_at + k : in->out_at + k - in->n_in];
            s->views[at] = adv_plan_view(&t->values[s->view_value[at]], NULL);
            s->views[at].data = NULL;
        }
    }
    return ADV_OK;
}

/* Instructions that must not run on the definition: it was refused, or the back end has none to fall back on. */
static AdvStatus refuse_all(AdvSession *s, AdvDiags *ds)
{
    AdvStatus st = ADV_OK;
    bool is_strict = (s->flags & ADV_SESSION_STRICT) != 0;
    for (uint32_t i = 0; i < s->t->n_insts; i++) {
        const AdvBound *b = &s->bound[i];
        bool has_none = !s->be->is_host && !s->be->does_nothing && !b->kernel && !adv_inst_is_loop(s, i);
        if (has_none || (b->is_ref && !s->be->is_ref && (is_strict || is_low(&b->sig)))) st = refuse_ref(s, i, ds);
    }
    return st;
}

/* What belongs together, where the back end can run it as one. */
static AdvStatus prepare_lists(AdvSession *s, AdvDiags *ds)
{
    AdvBound *next = s->lists;
    for (uint32_t i = 0; i < s->t->n_insts; i++) {
        uint32_t n = list_length(s->t, i);
        if (n < 2) continue;
        s->bound[i].n_list = n;
        *next = (AdvBound){.kernel = NULL};
        if (s->be->prepare_list) {
            AdvStatus st = s->be->prepare_list(s->self, &s->bound[i], n, next, ds);
            if (st != ADV_OK) return adv_fail_while(ds, st, "preparing a list of %u (`%s`)", n, s->bound[i].sig.op->name);
        }
        if (next->kernel) s->bound[i].list = next;
        next++;
    }
    return ADV_OK;
}

static AdvStatus prepare_insts(AdvSession *s, AdvDiags *ds)
{
    AdvStatus st = ADV_OK;
    s->n_on_ref = 0;
    s->scratch_bytes = 0;
    for (uint32_t i = 0; i < s->t->n_insts; i++) {
        AdvBound *b = &s->bound[i];
        if (adv_inst_is_loop(s, i)) continue;
        st = s->be->prepare(s->self, b, ds);
        if (st != ADV_OK) return adv_fail_while(ds, st, "preparing instruction %u (`%s`)", i, b->sig.op->name);
        if (s->flags & ADV_SESSION_LOG_DISPATCH) {
            char place[256];
            adv_fault_place(s->plan, s->t->insts[i].loc, place, sizeof place);
            adv_ctx_log(s->ctx, ADV_LOG_INFO, "%u %s -> %s  (%s)", i, b->sig.op->name,
                        b->kernel             ? b->kernel->name
                        : s->be->does_nothing ? "null"
                        : s->be->is_host      ? "ref"
                                              : "none",
                        place);
        }
        if (b->is_ref && !s->be->is_ref) s->n_on_ref++;
    }
    ADV_TRY(refuse_all(s, ds));
    ADV_TRY(prepare_lists(s, ds));
    if (s->be->prepared) ADV_TRY(s->be->prepared(s->self, ds));
    for (uint32_t i = 0; i < s->t->n_insts; i++)
        if (s->bound[i].scratch_bytes > s->scratch_bytes) s->scratch_bytes = s->bound[i].scratch_bytes;
    return ADV_OK;
}

AdvView adv_session_view(const AdvSession *s, uint32_t ix)
{
    const AdvPlanValue *v = &s->t->values[s->view_value[ix]];
    void *base = value_base(s, v);
    AdvView view = adv_plan_view(v, base);
    if (!base) view.data = NULL;
    return view;
}

static void set_views(AdvSession *s)
{
    for (uint32_t i = 0; i < s->n_views; i++) s->views[i].data = adv_session_view(s, i).data;
}

static AdvStatus open_parts(AdvSession *s, const AdvSessionOpts *o, AdvDiags *ds)
{
    if (!adv_text_copy(&s->ctx->alloc, o->cache_dir, &s->cache_dir) || !adv_text_copy(&s->ctx->alloc, o->library_dirs, &s->library_dirs))
        return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening a session");
    ADV_TRY(choose_backend(s, o, ds));
    if (o->stream && s->be->is_host)
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "back end `%s` has no streams: leave `stream` NULL", s->be->name);
    s->be->device_info(s->self, s->device, sizeof s->device);
    ADV_TRY(bind_insts(s, ds));
    ADV_TRY(prepare_insts(s, ds));
    s->be->device_info(s->self, s->device, sizeof s->device); /* again: by now with the libraries that kernels opened */
    ADV_TRY(take_blocks(s, ds));
    ADV_TRY(adv_session_take(s, s->scratch_bytes, "the kernels", ds, &s->scratch_mem));
    set_views(s);
    ADV_TRY(adv_records_open(s, ds));
    if (s->check == ADV_CHECK_REF) ADV_TRY(adv_checks_open(s, ds));
    if (s->flags & (ADV_SESSION_PROFILE | ADV_SESSION_TRACE)) ADV_TRY(adv_profile_open(s, ds));
    return ADV_OK;
}

AdvStatus adv_session_reprepare(AdvSession *s, AdvDiags *ds)
{
    uint64_t had = s->scratch_bytes;
    ADV_TRY(s->be->sync(s->self));
    adv_records_forget(s);
    s->be->unprepare(s->self);
    for (uint32_t i = 0; i < s->n_views; i++) s->views[i].data = NULL;
    for (uint32_t i = 0; i < s->t->n_insts; i++) s->bound[i] = (AdvBound){.sig = s->bound[i].sig};
    ADV_TRY(prepare_insts(s, ds));
    if (s->scratch_bytes > had) {
        s->be->free(s->self, s->scratch_mem, had ? had : 1);
        s->scratch_mem = NULL;
        ADV_TRY(adv_session_take(s, s->scratch_bytes, "the kernels", ds, &s->scratch_mem));
    } else {
        s->scratch_bytes = had;
    }
    set_views(s);
    adv_feeds_place(s);
    return ADV_OK;
}

/* Those that this thread may use: of a shared machine they are not all. All, where it has more than a cpu_set_t can tell. */
static uint32_t count_processors(void)
{
    cpu_set_t set;
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

AdvStatus adv_session_open(AdvCtx *ctx, const AdvPlan *plan, const AdvSessionOpts *opts, AdvDiags *ds, AdvSession **out_session)
{
    AdvSessionOpts o;
    ADV_NEED(ds, out_session, "where the session goes");
    *out_session = NULL;
    ADV_NEED(ds, ctx, "the context");
    ADV_NEED(ds, plan, "the plan");
    ADV_TRY(adv_opts_read(opts, sizeof o, ADV_SESSION_STRICT | ADV_SESSION_PROFILE | ADV_SESSION_LOG_DISPATCH | ADV_SESSION_TRACE, &o, ds));
    if (o.check < ADV_CHECK_OFF || o.check > ADV_CHECK_SYNC)
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "unknown check %d", (int)o.check);
    AdvSession *s = adv_mem_new0(&ctx->alloc, sizeof *s);
    if (!s) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening a session");
    s->ctx = ctx;
    s->plan = plan;
    adv_ctx_keep(ctx);
    adv_plan_keep(plan);
    atomic_init(&s->n_refs, 1);
    s->flags = o.flags;
    s->check = o.check;
    s->n_threads = o.n_threads ? o.n_threads : count_processors();
    atomic_init(&s->cancelled, 0);
    uint32_t n_errors = ds ? ds->n_errors : 0;
    AdvStatus st = open_parts(s, &o, ds);
    if (st != ADV_OK) {
        if (s->self && ds && ds->n_errors == n_errors) adv_device_fault(s, st, ds);
        adv_session_close(s);
        return st;
    }
    *out_session = s;
    return ADV_OK;
}

void adv_session_close(AdvSession *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->n_refs, 1, memory_order_acq_rel) > 1) return;
    adv_run_close(s);
    adv_checks_close(s);
    adv_profile_close(s);
    if (s->self) {
        adv_records_close(s);
        if (s->states) adv_feeds_close(s);
        for (uint32_t i = 0; s->states && i < s->plan->n_states; i++)
            if (s->states[i].block) s->be->free(s->self, s->states[i].block, s->states[i].n_bytes);
        if (s->snap_mem) s->be->free(s->self, s->snap_mem, s->state_bytes ? s->state_bytes : 1);
        if (s->ring_mem) s->be->free(s->self, s->ring_mem, s->ring_bytes ? s->ring_bytes : 1);
        if (s->state_mem) s->be->free(s->self, s->state_mem, s->state_bytes ? s->state_bytes : 1);
        if (s->const_mem) s->be->free(s->self, s->const_mem, s->const_bytes ? s->const_bytes : 1);
        if (s->temp_mem) s->be->free(s->self, s->temp_mem, s->temp_bytes ? s->temp_bytes : 1);
        if (s->scratch_mem) s->be->free(s->self, s->scratch_mem, s->scratch_bytes ? s->scratch_bytes : 1);
        s->be->close(s->self);
    }
    adv_mappings_close(s);
    adv_held_close(s);
    if (s->staging) host_free(s, s->staging, s->staging_bytes, 1);
    host_free(s, s->states, s->plan->n_states, sizeof *s->states);
    if (s->t) host_free(s, s->bound, s->t->n_insts, sizeof *s->bound);
    host_free(s, s->lists, s->n_lists, sizeof *s->lists);
    host_free(s, s->views, s->n_views, sizeof *s->views);
    host_free(s, s->view_value, s->n_views, sizeof *s->view_value);
    AdvCtx *ctx = s->ctx;
    adv_text_free(&ctx->alloc, s->cache_dir);
    adv_text_free(&ctx->alloc, s->library_dirs);
    AdvPlan *plan = (AdvPlan *)(uintptr_t)s->plan; /* its count: see adv_plan_keep */
    adv_mem_free(&ctx->alloc, s, sizeof *s);
    adv_plan_close(plan);
    adv_ctx_free(ctx);
}

AdvStatus adv_session_info(const AdvSession *s, AdvSessionInfo *out_info)
{
    uint64_t data_bytes = 0;
    if (!s) return ADV_EINVAL;
    for (uint32_t i = 0; i < s->plan->n_states; i++) data_bytes += s->states[i].n_file_bytes;
    AdvSessionInfo i = {.backend = s->be->name, .device = s->device, .target = s->t->name, .why = s->why, .n_threads = s->n_threads,
                        .n_insts = s->t->n_insts, .n_on_ref = s->n_on_ref, .state_bytes = s->state_bytes, .temp_bytes = s->temp_bytes,
                        .const_bytes = s->const_bytes, .scratch_bytes = s->scratch_bytes, .data_bytes = data_bytes,
                        .data_digest = s->data_digest, .n_run_allocs = s->be->n_run_allocs(s->self)};
    return adv_info_write(out_info, &i, sizeof i);
}

/* ---- running -------------------------------------------------------------------------------------------------------- */

AdvStatus adv_session_ready(const AdvSession *s, AdvDiags *ds)
{
    ADV_NEED(ds, s, "the session");
    if (s->is_busy) return adv_fail(ds, ADV_EBUSY, ADV_D_SESSION_STATE, "called from inside a callback of the same session");
    if (s->is_poisoned) return adv_fail(ds, ADV_EPOISONED, ADV_D_SESSION_STATE, "an earlier failure left the session unusable");
    return ADV_OK;
}

AdvStatus adv_session_settle(AdvSession *s, AdvStatus st, AdvDiags *ds)
{
    if (st == ADV_OK) st = s->be->sync(s->self);
    return adv_device_fault(s, st, ds);
}

/* Does an instruction of the entry use data that is not bound? */
AdvStatus adv_session_check_bound(const AdvSession *s, uint32_t entry, AdvDiags *ds)
{
    if (!s->n_unbound || s->be->does_nothing) return ADV_OK;
    const AdvPlanEntry *e = &s->t->entries[entry];
    for (uint32_t i = e->first; i < e->first + e->n_insts; i++) {
        const AdvSig *sig = &s->bound[i].sig;
        for (uint32_t k = 0; k < sig->n_in; k++)
            if (!sig->in[k].data)
                return adv_fail(ds, ADV_EINVAL, ADV_D_NOT_BOUND, "the data `%s` is not bound", adv_operand_name(s, i, k));
    }
    return ADV_OK;
}

/* An entry from the first instruction to the last, and what the device says of it. */
static AdvStatus run_whole(AdvSession *s, uint32_t entry, AdvDiags *ds)
{
    AdvStatus st = adv_session_run_entry(s, entry, ds);
    if (st == ADV_OK || st == ADV_EIO) { /* a source that failed has spoiled nothing */
        AdvStatus done = s->be->sync(s->self);
        if (done != ADV_OK) st = done;
        s->is_poisoned = done != ADV_OK;
    } else {
        s->is_poisoned = true;
    }
    s->n_last = 0;
    return adv_device_fault(s, st, ds);
}

static AdvStatus run_init(AdvSession *s, uint32_t entry, AdvDiags *ds)
{
    s->has_init = true; /* weights are written to states that have their first values */
    AdvStatus st = run_whole(s, entry, ds);
    if (st == ADV_OK) st = adv_weights_of_program(s, ds);
    s->has_init = st == ADV_OK;
    return st;
}

AdvStatus adv_session_init(AdvSession *s, AdvDiags *ds)
{
    uint32_t entry = adv_plan_entry(s->plan, s->t, "init");
    return s->has_init || entry == ADV_PLAN_NONE ? ADV_OK : run_init(s, entry, ds);
}

AdvStatus adv_session_run(AdvSession *s, const char *entry, AdvDiags *ds)
{
    ADV_TRY(adv_session_ready(s, ds));
    ADV_NEED(ds, entry, "the name of the entry");
    uint32_t ix = adv_plan_entry(s->plan, s->t, entry);
    if (ix == ADV_PLAN_NONE) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "the plan has no entry `%s`", entry);
    ADV_TRY(adv_session_check_bound(s, ix, ds));
    if (atomic_exchange(&s->cancelled, 0)) return ADV_ECANCELLED;
    if (!strcmp(entry, "init")) return run_init(s, ix, ds);
    ADV_TRY(adv_session_init(s, ds));
    return run_whole(s, ix, ds);
}

void adv_session_cancel(AdvSession *s)
{
    if (s) atomic_store(&s->cancelled, 1);
}

/* ---- states --------------------------------------------------------------------------------------------------------- */

void adv_session_rebind(AdvSession *s, uint32_t state, void *data)
{
    AdvStateMem *m = &s->states[state];
    if (!m->data && data) s->n_unbound--;
    if (m->data != data) adv_records_forget(s);
    m->data = data;
    m->n_file_bytes = 0;
    s->data_digest[0] = 0; /* bind_file sets both, once all is bound */
    if (m->block && m->block != data) {
        s->be->free(s->self, m->block, m->n_bytes);
        m->block = NULL;
    }
    adv_feed_drop(s, state);
    for (uint32_t i = 0; i < s->n_views; i++) {
        const AdvPlanValue *v = &s->t->values[s->view_value[i]];
        if (v->block == ADV_BLOCK_STATE && v->state == state) s->views[i] = adv_session_view(s, i);
    }
    adv_held_drop(s, state);
}

AdvStatus adv_session_get_bytes(AdvSession *s, uint32_t state, void *to)
{
    ADV_TRY(s->be->copy(s->self, to, s->states[state].data, s->states[state].n_bytes, ADV_TO_HOST));
    s->n_last = 0;
    return ADV_OK;
}

AdvStatus adv_session_put_bytes(AdvSession *s, uint32_t state, const void *from)
{
    return s->be->copy(s->self, s->states[state].data, from, s->states[state].n_bytes, ADV_TO_DEVICE);
}

AdvStatus adv_session_get_number(AdvSession *s, uint32_t state, double *out)
{
    int64_t raw[2] = {0, 0};
    *out = 0;
    if (state == ADV_PLAN_NONE) return ADV_OK;
    ADV_TRY(adv_session_get_bytes(s, state, raw));
    AdvView v = adv_view_of(&s->t->state_types[state], raw);
    *out = adv_ld(&v, 0);
    return ADV_OK;
}

AdvStatus adv_session_put_number(AdvSession *s, uint32_t state, double value)
{
    int64_t raw[2] = {0, 0};
    if (state == ADV_PLAN_NONE) return ADV_OK;
    AdvView v = adv_view_of(&s->t->state_types[state], raw);
    adv_st(&v, 0, value);
    return adv_session_put_bytes(s, state, raw);
}

/* Copies elements, converting numbers where the dtypes differ; same shape, any strides. */
static void convert(const AdvView *dst, const AdvView *src)
{
    AdvIter it;
    if (dst->dtype == src->dtype) {
        adv_view_copy(dst, src);
        return;
    }
    adv_iter_init(&it, dst->rank, dst->dim);
    adv_iter_add(&it, dst);
    adv_iter_add(&it, src);
    for (; it.more; adv_iter_next(&it)) adv_st(dst, it.at[0], adv_ld(src, it.at[1]));
}

AdvStatus adv_session_type(const AdvSession *s, const char *state, AdvTensorType *out_type)
{
    if (!s || !state || !out_type) return ADV_EINVAL;
    uint32_t i = adv_plan_state(s->plan, state);
    if (i == ADV_PLAN_NONE) return ADV_EINVAL;
    *out_type = s->t->state_types[i];
    return ADV_OK;
}

const char *adv_session_state(const AdvSession *s, uint32_t ix, int32_t *out_kind, int32_t *out_is_saved)
{
    if (!s || ix >= s->plan->n_states) return NULL;
    if (out_kind) *out_kind = s->plan->states[ix].kind;
    if (out_is_saved) *out_is_saved = s->plan->states[ix].saved;
    return adv_state_name(s, ix);
}

static AdvStatus find_state(const AdvSession *s, const char *state, const AdvView *view, AdvDiags *ds, uint32_t *out)
{
    *out = ADV_PLAN_NONE;
    ADV_NEED(ds, state, "the name of the state");
    ADV_NEED(ds, view, "the view");
    *out = adv_plan_state(s->plan, state);
    if (*out == ADV_PLAN_NONE) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "the plan has no state `%s`", state);
    if (!view->data) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "the view for `%s` has no memory: its data is NULL", state);
    if (view->rank > ADV_MAX_RANK || view->dtype >= ADV_DTYPE_COUNT || !view->dtype)
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "the view for `%s` has rank %u and dtype %u, which do not exist", state,
                        (unsigned)view->rank, (unsigned)view->dtype);
    const AdvTensorType *t = &s->t->state_types[*out];
    bool fits = view->rank == t->rank;
    for (uint32_t k = 0; fits && k < t->rank; k++) fits = view->dim[k] == t->dim[k];
    if (fits) return ADV_OK;
    char got[128], want[128];
    adv_dims_text(view->rank, view->dim, view->dtype, got, sizeof got);
    adv_dims_text(t->rank, t->dim, t->dtype, want, sizeof want);
    return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "state `%s` is %s, the view that was passed %s", state, want, got);
}

/* Data that is bound on another device, which has no staging: through memory of its size. */
static AdvStatus read_data(AdvSession *s, uint32_t state, const AdvView *view, AdvDiags *ds)
{
    size_t n_bytes = (size_t)s->states[state].n_bytes;
    void *mem = adv_mem_new(&s->ctx->alloc, n_bytes);
    if (!mem) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading `%s`", adv_state_name(s, state));
    AdvStatus st = adv_session_get_bytes(s, state, mem);
    AdvView own = adv_view_of(&s->t->state_types[state], mem);
    if (st == ADV_OK) convert(view, &own);
    adv_mem_free(&s->ctx->alloc, mem, n_bytes);
    return adv_device_fault(s, st, ds);
}

/* Between a state and the caller's view, through staging where the host cannot reach the state. */
static AdvStatus exchange(AdvSession *s, const char *state, const AdvView *view, bool is_write, AdvDiags *ds)
{
    uint32_t i;
    ADV_TRY(adv_session_ready(s, ds));
    ADV_TRY(find_state(s, state, view, ds, &i));
    if (!s->states[i].data || adv_state_is_fed(s, i))
        return adv_fail(ds, ADV_EINVAL, ADV_D_NOT_BOUND, "the data `%s` is not bound to memory", state);
    if (is_write && s->plan->states[i].kind == ADV_STATE_DATA)
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "`%s` is data: bind it, it cannot be written", state);
    if (!s->be->is_host && s->plan->states[i].kind == ADV_STATE_DATA) return read_data(s, i, view, ds);
    ADV_TRY(adv_session_init(s, ds));
    void *mem = s->be->is_host ? s->states[i].data : s->staging;
    AdvView own = adv_view_of(&s->t->state_types[i], mem);
    AdvStatus st = ADV_OK;
    if (is_write) {
        convert(&own, view);
        if (!s->be->is_host) st = adv_session_put_bytes(s, i, mem);
        return adv_session_settle(s, st, ds);
    }
    if (!s->be->is_host) st = adv_session_get_bytes(s, i, mem);
    if (st != ADV_OK) return adv_device_fault(s, st, ds);
    convert(view, &own);
    return ADV_OK;
}

AdvStatus adv_session_read(AdvSession *s, const char *state, const AdvView *view, AdvDiags *ds)
{
    return exchange(s, state, view, false, ds);
}

AdvStatus adv_session_write(AdvSession *s, const char *state, const AdvView *view, AdvDiags *ds)
{
    return exchange(s, state, view, true, ds);
}

static AdvStatus number_view(AdvSession *s, const char *state, double *value, bool is_write)
{
    AdvView v = {.dtype = ADV_F64, .data = value};
    return exchange(s, state, &v, is_write, NULL);
}

AdvStatus adv_session_get(AdvSession *s, const char *state, double *out_value)
{
    if (!out_value) return ADV_EINVAL;
    *out_value = 0;
    return number_view(s, state, out_value, false);
}

AdvStatus adv_session_set(AdvSession *s, const char *state, double value)
{
    return number_view(s, state, &value, true);
}

AdvStatus adv_session_bind_view(AdvSession *s, const char *state, const AdvView *view, bool on_device, AdvDiags *ds)
{
    uint32_t i;
    ADV_TRY(find_state(s, state, view, ds, &i));
    if (s->plan->states[i].kind != ADV_STATE_DATA)
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "`%s` is not data: write it, it cannot be bound", state);
    uint8_t dtype = s->t->state_types[i].dtype;
    bool fits = view->dtype == dtype || (view->dtype == ADV_F32 && dtype == ADV_F64 && !on_device);
    if (!fits || !adv_view_is_row(view))
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "data bound to `%s` must be dense, in row order, and of dtype %s", state,
                        adv_dtype_name(dtype));
    int64_t n_rows = view->rank ? view->dim[0] : 1;
    if (!on_device) {
        ADV_TRY(adv_data_check_labels(s, i, view->data, n_rows, "the memory", ds));
        ADV_TRY(adv_data_check_images(s, i, view->dtype, view->data, n_rows, "the memory", ds));
    }
    AdvStatus st = on_device ? adv_data_bind_device(s, i, view->data, ds) : adv_data_bind(s, i, view->dtype, view->data, ds);
    adv_mappings_sweep(s);
    return st;
}

AdvStatus adv_session_bind(AdvSession *s, const char *state, const AdvView *view, AdvDiags *ds)
{
    ADV_TRY(adv_session_ready(s, ds));
    return adv_session_bind_view(s, state, view, false, ds);
}
