/* plugin.c: plugins of a context, and the plugins that a plan was made with. How one is loaded: ops/plugin.c. */
#include "runtime/ctx.h"

#include "runtime/module.h"
#include "runtime/program.h"
#include "runtime/session.h"

#include <stdio.h>
#include <string.h>

/* A device that does not answer is not a plugin's concern: whoever wants it hears why when a session opens. */
int32_t adv_ctx_cuda(AdvCtx *ctx)
{
    const AdvBackend *be;
    if (!ctx) return 0;
    if (ctx->has_probed || !ctx->backend_dir) return ctx->cuda_sm;
    ctx->has_probed = true;
    AdvBackendOpts o = {.alloc = ctx->alloc, .reg = &ctx->reg, .n_threads = 1};
    AdvStatus st = adv_module_load(ctx, "cuda", ctx->backend_dir, NULL, &be);
    if (st != ADV_OK || !be->probe || be->probe(&o, NULL, &ctx->cuda_sm) != ADV_OK) ctx->cuda_sm = 0;
    return ctx->cuda_sm;
}

AdvStatus adv_ctx_add_plugin(AdvCtx *ctx, const char *path, AdvDiags *ds)
{
    AdvPluginFault fault;
    const AdvLoaded *p;
    ADV_NEED(ds, ctx, "the context");
    ADV_NEED(ds, path, "the path of the plugin");
    AdvStatus st = adv_plugin_load(&ctx->reg, ctx->io, path, NULL, adv_ctx_cuda(ctx), &fault, &p);
    if (st == ADV_OK) return ADV_OK;
    AdvDiag *d = adv_diag(ds, fault.id, (AdvSpan){0, 0, 0}, "%s", fault.text);
    if (fault.help) adv_diag_help(d, "%s", fault.help);
    return st;
}

/* ---- plugins of a plan ------------------------------------------------------------------------------------------------- */

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Adds the recipe's line that needs the plugin. */
static AdvStatus refuse(const AdvPlan *plan, const AdvPlanPlugin *g, AdvStatus st, const AdvPluginFault *f, AdvDiags *ds)
{
    const char *path = adv_plan_str(plan, g->path);
    AdvDiag *d = adv_diag(ds, f->id, adv_fault_span(plan, ds, g->loc), "%s", f->text);
    adv_diag_note(d, (AdvSpan){0, 0, 0}, "op `%s` comes from plugin `%s` %s, which was `%s` when the plan was made",
                  adv_plan_str(plan, plan->ops[g->op].name), adv_plan_str(plan, g->name), adv_plan_str(plan, g->version), path);
    if (st == ADV_ENOENT) adv_diag_help(d, "if it lies elsewhere now: --plugin=FOLDER/%s", file_name(path));
    else adv_diag_help(d, "%s", f->help ? f->help : "compile the recipe again with the plugin that is there");
    return st;
}

/* A loaded plugin of that name, which then has other bytes. */
static const AdvLoaded *same_name(const AdvRegistry *r, const char *name)
{
    for (const AdvLoaded *p = r->plugins; p; p = p->next)
        if (strcmp(p->name, name) == 0) return p;
    return NULL;
}

/* Where a plugin lies that was at `path` when the plan was made. */
static const char *path_now(const AdvCtx *ctx, const char *path)
{
    for (uint32_t i = 0; i < ctx->n_plugins; i++)
        if (strcmp(file_name(ctx->plugins[i]), file_name(path)) == 0) return ctx->plugins[i];
    return path;
}

/* May the plan run on a device? */
static bool is_for_cuda(const AdvPlan *plan)
{
    return adv_plan_target(plan, "cuda") && strcmp(plan->prog->device, "cpu") != 0;
}

static AdvStatus need(AdvCtx *ctx, const AdvPlan *plan, const AdvPlanPlugin *g, AdvDiags *ds)
{
    AdvLoaded want = {.path = adv_plan_str(plan, g->path),
                      .name = adv_plan_str(plan, g->name),
                      .version = adv_plan_str(plan, g->version),
                      .n_bytes = g->n_bytes};
    AdvPluginFault fault = {.id = ADV_D_PLUGIN_OTHER};
    const AdvLoaded *p;
    memcpy(want.sha256, g->sha256, sizeof want.sha256);
    if (adv_plugin_by_digest(&ctx->reg, g->sha256)) return ADV_OK;
    const AdvLoaded *other = same_name(&ctx->reg, want.name);
    if (!other && !ctx->loads_plugins) {
        snprintf(fault.text, sizeof fault.text, "the plan needs plugin `%s` %s, which is not loaded", want.name, want.version);
        return refuse(plan, g, ADV_EDATA, &fault, ds);
    }
    AdvStatus st = adv_plugin_load(&ctx->reg, ctx->io, other ? other->path : path_now(ctx, want.path), &want,
                                   is_for_cuda(plan) ? adv_ctx_cuda(ctx) : 0, &fault, &p);
    return st == ADV_OK ? ADV_OK : refuse(plan, g, st, &fault, ds);
}

AdvStatus adv_plan_plugins(AdvCtx *ctx, const AdvPlan *plan, AdvDiags *ds)
{
    for (uint32_t i = 0; i < plan->n_plugins; i++) ADV_TRY(need(ctx, plan, &plan->plugins[i], ds));
    return ADV_OK;
}
