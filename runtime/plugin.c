/* plugin.c: plugins of a context, and the plugins that a plan was made with. How one is loaded: ops/plugin.c. */
#include "runtime/ctx.h"

#include "runtime/session.h"

#include <stdio.h>
#include <string.h>

AdvStatus adv_ctx_add_plugin(AdvCtx *ctx, const char *path, AdvDiags *ds)
{
    AdvPluginFault fault;
    const AdvLoaded *p;
    AdvStatus st = adv_plugin_load(&ctx->reg, ctx->io, path, NULL, &fault, &p);
    return st == ADV_OK ? ADV_OK : adv_fail(ds, st, fault.id, "%s", fault.text);
}

/* Adds the recipe's line that needs the plugin. */
static AdvStatus refuse(const AdvPlan *plan, const AdvPlanPlugin *g, AdvStatus st, AdvDiagId id, const char *text, AdvDiags *ds)
{
    AdvDiag *d = adv_diag(ds, id, adv_fault_span(plan, ds, g->loc), "%s", text);
    adv_diag_note(d, (AdvSpan){0, 0, 0}, "op `%s` comes from plugin `%s` %s, which was `%s` when the plan was made",
                  adv_plan_str(plan, plan->ops[g->op].name), adv_plan_str(plan, g->name), adv_plan_str(plan, g->version),
                  adv_plan_str(plan, g->path));
    adv_diag_help(d,
                  st == ADV_ENOENT ? "if it lies elsewhere now: --plugin=PATH" : "compile the recipe again with the plugin that is there");
    return st;
}

/* A loaded plugin of that name, which then has other bytes. */
static const AdvLoaded *same_name(const AdvRegistry *r, const char *name)
{
    for (const AdvLoaded *p = r->plugins; p; p = p->next)
        if (strcmp(p->name, name) == 0) return p;
    return NULL;
}

static AdvStatus need(AdvCtx *ctx, const AdvPlan *plan, const AdvPlanPlugin *g, AdvDiags *ds)
{
    AdvLoaded want = {.path = adv_plan_str(plan, g->path),
                      .name = adv_plan_str(plan, g->name),
                      .version = adv_plan_str(plan, g->version),
                      .n_bytes = g->n_bytes};
    AdvPluginFault fault;
    const AdvLoaded *p;
    memcpy(want.sha256, g->sha256, sizeof want.sha256);
    if (adv_plugin_by_digest(&ctx->reg, g->sha256)) return ADV_OK;
    const AdvLoaded *other = same_name(&ctx->reg, want.name);
    if (!other && !ctx->loads_plugins) {
        snprintf(fault.text, sizeof fault.text, "the plan needs plugin `%s` %s, which is not loaded", want.name, want.version);
        return refuse(plan, g, ADV_EDATA, ADV_D_PLUGIN_OTHER, fault.text, ds);
    }
    AdvStatus st = adv_plugin_load(&ctx->reg, ctx->io, other ? other->path : want.path, &want, &fault, &p);
    return st == ADV_OK ? ADV_OK : refuse(plan, g, st, fault.id, fault.text, ds);
}

AdvStatus adv_plan_plugins(AdvCtx *ctx, const AdvPlan *plan, AdvDiags *ds)
{
    for (uint32_t i = 0; i < plan->n_plugins; i++) ADV_TRY(need(ctx, plan, &plan->plugins[i], ds));
    return ADV_OK;
}
