/* ctx.c: contexts, and loading of plans. */
#include "runtime/ctx.h"

#include "ops/cpu/kernels_cpu.h"
#include "runtime/plan_load.h"
#include "runtime/program.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void adv_ctx_log(const AdvCtx *ctx, int32_t level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    if (!ctx->log) return;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) return;
    ctx->log(ctx->user, level, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

AdvStatus adv_opts_read(const void *in, size_t own_bytes, uint32_t known_flags, void *out_own, AdvDiags *ds)
{
    uint32_t head[2];
    memset(out_own, 0, own_bytes);
    if (!in) return ADV_OK;
    memcpy(head, in, sizeof head);
    if (head[0] < sizeof head)
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "struct_size of the options is %u: set it to sizeof the struct", head[0]);
    if (head[1] & ~known_flags) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "unknown flags 0x%x in the options", head[1] & ~known_flags);
    memcpy(out_own, in, head[0] < own_bytes ? head[0] : own_bytes);
    return ADV_OK;
}

AdvStatus adv_info_write(void *out, const void *info, size_t own_bytes)
{
    uint32_t n;
    if (!out) return ADV_EINVAL;
    memcpy(&n, out, sizeof n);
    if (n < 2 * sizeof n) return ADV_EINVAL;
    if (n > own_bytes) memset((char *)out + own_bytes, 0, n - own_bytes);
    memcpy(out, info, n < own_bytes ? n : own_bytes);
    memcpy(out, &n, sizeof n);
    return ADV_OK;
}

/* ---- contexts ----------------------------------------------------------------------------------------------------- */

static uint64_t system_clock(void *user)
{
    struct timespec t;
    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

bool adv_text_copy(const AdvAlloc *a, const char *text, char **out)
{
    *out = NULL;
    if (!text) return true;
    size_t n = strlen(text) + 1;
    *out = adv_mem_new(a, n);
    if (*out) memcpy(*out, text, n);
    return *out != NULL;
}

void adv_text_free(const AdvAlloc *a, char *text)
{
    if (text) adv_mem_free(a, text, strlen(text) + 1);
}

static void free_ctx(AdvCtx *ctx)
{
    AdvAlloc a = ctx->alloc;
    adv_text_free(&a, ctx->data_dir);
    adv_text_free(&a, ctx->backend_dir);
    for (uint32_t i = 0; ctx->plugins && i < ctx->n_plugins; i++) adv_text_free(&a, ctx->plugins[i]);
    adv_mem_free(&a, ctx->plugins, ctx->n_plugins * sizeof *ctx->plugins);
    adv_mem_free(&a, ctx, sizeof *ctx);
}

/* Copies of the caller's texts, as far as there is memory: then true. */
static bool copy_texts(AdvCtx *ctx, const AdvCtxOpts *o)
{
    bool ok = adv_text_copy(&ctx->alloc, o->data_dir, &ctx->data_dir) && adv_text_copy(&ctx->alloc, o->backend_dir, &ctx->backend_dir);
    if (!ok || !o->n_plugins) return ok;
    ctx->plugins = adv_mem_new0(&ctx->alloc, o->n_plugins * sizeof *ctx->plugins);
    if (!ctx->plugins) return false;
    ctx->n_plugins = o->n_plugins;
    for (uint32_t i = 0; ok && i < o->n_plugins; i++) ok = adv_text_copy(&ctx->alloc, o->plugins[i], &ctx->plugins[i]);
    return ok;
}

AdvStatus adv_ctx_new(const AdvCtxOpts *opts, AdvCtx **out_ctx)
{
    AdvCtxOpts o;
    AdvIo io;
    ADV_NEED(NULL, out_ctx, "where the context goes");
    *out_ctx = NULL;
    ADV_TRY(adv_opts_read(opts, sizeof o, ADV_CTX_PLAN_PLUGINS, &o, NULL));
    ADV_TRY(adv_io_read(o.io, &io));
    AdvAlloc a = adv_alloc_default();
    if (o.alloc) a = (AdvAlloc){o.alloc, o.user};
    AdvCtx *ctx = adv_mem_new0(&a, sizeof *ctx);
    if (!ctx) return ADV_ENOMEM;
    ctx->alloc = a;
    ctx->own_io = io;
    ctx->io = &ctx->own_io;
    ctx->has_posix_io = !o.io;
    ctx->log = o.log;
    ctx->clock_ns = o.clock_ns ? o.clock_ns : system_clock;
    ctx->user = o.user;
    ctx->loads_plugins = o.flags & ADV_CTX_PLAN_PLUGINS;
    atomic_init(&ctx->n_refs, 1);
    AdvStatus st = copy_texts(ctx, &o) ? adv_registry_init(&ctx->reg, a) : ADV_ENOMEM;
    if (st == ADV_OK) {
        st = adv_registry_add_kernels(&ctx->reg, adv_kernels_cpu, NULL);
        if (st != ADV_OK) adv_registry_fini(&ctx->reg);
    }
    if (st != ADV_OK) {
        free_ctx(ctx);
        return st;
    }
    *out_ctx = ctx;
    return ADV_OK;
}

void adv_ctx_keep(AdvCtx *ctx)
{
    atomic_fetch_add_explicit(&ctx->n_refs, 1, memory_order_relaxed);
}

void adv_ctx_free(AdvCtx *ctx)
{
    if (!ctx || atomic_fetch_sub_explicit(&ctx->n_refs, 1, memory_order_acq_rel) > 1) return;
    adv_registry_fini(&ctx->reg);
    free_ctx(ctx);
}

const char *adv_version(void)
{
    return ADV_VERSION;
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

static AdvStatus load(AdvCtx *ctx, const void *bytes, size_t n_bytes, const char *what, AdvDiags *ds, AdvPlan **out_plan)
{
    AdvPlan *plan;
    AdvStatus st = adv_plan_parse(&ctx->alloc, bytes, n_bytes, what, ds, &plan);
    if (st != ADV_OK) return st;
    st = adv_program_check(plan, ds);
    if (st == ADV_OK) st = adv_plan_plugins(ctx, plan, ds);
    if (st == ADV_OK) st = adv_plan_check(plan, &ctx->reg, ds);
    if (st != ADV_OK) {
        adv_plan_free(plan);
        return st;
    }
    adv_ctx_keep(ctx);
    plan->ctx = ctx;
    atomic_init(&plan->n_refs, 1);
    *out_plan = plan;
    return ADV_OK;
}

AdvStatus adv_plan_load(AdvCtx *ctx, const void *bytes, size_t n_bytes, AdvDiags *ds, AdvPlan **out_plan)
{
    ADV_NEED(ds, out_plan, "where the plan goes");
    *out_plan = NULL;
    ADV_NEED(ds, ctx, "the context");
    ADV_NEED(ds, bytes, "the memory of the plan");
    return load(ctx, bytes, n_bytes, "the plan", ds, out_plan);
}

AdvStatus adv_plan_open(AdvCtx *ctx, const char *path, AdvDiags *ds, AdvPlan **out_plan)
{
    void *data;
    uint64_t n_bytes;
    ADV_NEED(ds, out_plan, "where the plan goes");
    *out_plan = NULL;
    ADV_NEED(ds, ctx, "the context");
    ADV_NEED(ds, path, "the path of the plan");
    ADV_TRY(adv_read_file(ctx->io, &ctx->alloc, path, UINT64_C(1) << 32, ds, &data, &n_bytes));
    AdvStatus st = load(ctx, data, n_bytes, path, ds, out_plan);
    adv_mem_free(&ctx->alloc, data, n_bytes + 1);
    return st;
}

/* A plan is immutable to everybody else; the count of its users is not part of what it says. */
void adv_plan_keep(const AdvPlan *plan)
{
    atomic_fetch_add_explicit(&((AdvPlan *)(uintptr_t)plan)->n_refs, 1, memory_order_relaxed);
}

void adv_plan_close(AdvPlan *plan)
{
    if (!plan || atomic_fetch_sub_explicit(&plan->n_refs, 1, memory_order_acq_rel) > 1) return;
    AdvCtx *ctx = plan->ctx;
    adv_plan_free(plan);
    adv_ctx_free(ctx);
}

AdvStatus adv_plan_source(const AdvPlan *plan, uint32_t ix, const char **out_name, const char **out_text, size_t *out_bytes)
{
    if (!plan || !out_name || !out_text || !out_bytes) return ADV_EINVAL;
    *out_name = *out_text = NULL;
    *out_bytes = 0;
    if (ix >= plan->n_sources) return ADV_EINVAL;
    *out_name = adv_plan_str(plan, plan->sources[ix].name);
    *out_text = adv_plan_str(plan, plan->sources[ix].text);
    *out_bytes = plan->sources[ix].n_bytes;
    return ADV_OK;
}
