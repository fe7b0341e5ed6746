/* ctx.c: contexts, and the parts of adv.h that are thin: diagnostics and what a plan says of itself. */
#include "runtime/ctx.h"

#include "ops/cpu/kernels_cpu.h"
#include "runtime/plan_load.h"
#include "runtime/program.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

AdvStatus adv_ctx_new(const AdvCtxOpts *opts, AdvCtx **out_ctx)
{
    AdvCtxOpts o;
    *out_ctx = NULL;
    ADV_TRY(adv_opts_read(opts, sizeof o, ADV_CTX_PLAN_PLUGINS, &o, NULL));
    AdvAlloc a = adv_alloc_default();
    if (o.alloc) a = (AdvAlloc){o.alloc, o.user};
    AdvCtx *ctx = adv_mem_new0(&a, sizeof *ctx);
    if (!ctx) return ADV_ENOMEM;
    ctx->alloc = a;
    ctx->io = o.io ? o.io : adv_io_posix();
    ctx->log = o.log;
    ctx->user = o.user;
    ctx->loads_plugins = o.flags & ADV_CTX_PLAN_PLUGINS;
    AdvStatus st = adv_registry_init(&ctx->reg, a);
    if (st == ADV_OK) {
        st = adv_registry_add_kernels(&ctx->reg, adv_kernels_cpu, NULL);
        if (st != ADV_OK) adv_registry_fini(&ctx->reg);
    }
    if (st != ADV_OK) {
        adv_mem_free(&a, ctx, sizeof *ctx);
        return st;
    }
    *out_ctx = ctx;
    return ADV_OK;
}

void adv_ctx_free(AdvCtx *ctx)
{
    if (!ctx) return;
    AdvAlloc a = ctx->alloc;
    adv_registry_fini(&ctx->reg);
    adv_mem_free(&a, ctx, sizeof *ctx);
}

/* ---- diagnostics ------------------------------------------------------------------------------------------------- */

AdvStatus adv_diags_open(AdvCtx *ctx, AdvDiags **out_diags)
{
    *out_diags = adv_diags_new(ctx->alloc);
    return *out_diags ? ADV_OK : ADV_ENOMEM;
}

void adv_diags_count(const AdvDiags *ds, uint32_t *out_errors, uint32_t *out_warnings)
{
    if (out_errors) *out_errors = ds->n_errors;
    if (out_warnings) *out_warnings = ds->n_warnings;
}

int32_t adv_diags_at(const AdvDiags *ds, uint32_t ix, const char **out_message)
{
    if (out_message) *out_message = ix < ds->list.n ? ds->list.at[ix]->message : NULL;
    return ix < ds->list.n ? adv_diag_defs[ds->list.at[ix]->id].code : 0;
}

void adv_diags_render(const AdvDiags *ds, int32_t format, void (*write)(void *user, const char *text, size_t n_bytes), void *user)
{
    if (format == ADV_PRINT_JSON) adv_diags_print_json(ds, write, user);
    else if (format == ADV_PRINT_SHORT) adv_diags_print_short(ds, write, user);
    else adv_diags_print_human(ds, format == ADV_PRINT_COLOR, write, user);
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

static AdvStatus load(AdvCtx *ctx, const void *bytes, size_t n_bytes, const char *what, AdvDiags *ds, AdvPlan **out_plan)
{
    AdvPlan *plan;
    *out_plan = NULL;
    AdvStatus st = adv_plan_parse(&ctx->alloc, bytes, n_bytes, what, ds, &plan);
    if (st != ADV_OK) return st;
    st = adv_plan_plugins(ctx, plan, ds);
    if (st == ADV_OK) st = adv_plan_check(plan, &ctx->reg, ds);
    if (st == ADV_OK) st = adv_program_check(plan, ds);
    if (st != ADV_OK) {
        adv_plan_free(plan);
        return st;
    }
    *out_plan = plan;
    return ADV_OK;
}

AdvStatus adv_plan_load(AdvCtx *ctx, const void *bytes, size_t n_bytes, AdvDiags *ds, AdvPlan **out_plan)
{
    return load(ctx, bytes, n_bytes, "the plan", ds, out_plan);
}

AdvStatus adv_plan_open(AdvCtx *ctx, const char *path, AdvDiags *ds, AdvPlan **out_plan)
{
    void *data;
    uint64_t n_bytes;
    *out_plan = NULL;
    ADV_TRY(adv_read_file(ctx->io, &ctx->alloc, path, UINT64_C(1) << 32, ds, &data, &n_bytes));
    AdvStatus st = load(ctx, data, n_bytes, path, ds, out_plan);
    adv_mem_free(&ctx->alloc, data, n_bytes + 1);
    return st;
}

void adv_plan_close(AdvPlan *plan)
{
    adv_plan_free(plan);
}

AdvStatus adv_plan_source(const AdvPlan *plan, uint32_t ix, const char **out_name, const char **out_text, size_t *out_bytes)
{
    *out_name = *out_text = NULL;
    *out_bytes = 0;
    if (ix >= plan->n_sources) return ADV_EINVAL;
    *out_name = adv_plan_str(plan, plan->sources[ix].name);
    *out_text = adv_plan_str(plan, plan->sources[ix].text);
    *out_bytes = plan->sources[ix].n_bytes;
    return ADV_OK;
}
