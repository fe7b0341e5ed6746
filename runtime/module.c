/* module.c: opens a back end's library. A library stays open for the process's life: what it registered points into it. */
#include "runtime/module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static const char *first_line(const char *text, char *buf, size_t n)
{
    snprintf(buf, n, "%s", text ? text : "unknown reason");
    buf[strcspn(buf, "\n")] = 0;
    return buf;
}

/* Was it compiled with the structs that we have? */
static bool fits(const AdvModule *m)
{
    return m->struct_size == sizeof *m && m->backend_size == sizeof(AdvBackend) && m->opts_size == sizeof(AdvBackendOpts) &&
           m->bound_size == sizeof(AdvBound) && m->view_size == sizeof(AdvView) && !strcmp(m->build, ADV_MODULE_BUILD);
}

AdvStatus adv_module_open(const char *path, AdvDiags *ds, const AdvModule **out)
{
    char why[256];
    AdvModuleFn *fn = NULL;
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) return adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_BACKEND, "cannot open `%s`: %s", path, first_line(dlerror(), why, sizeof why));
    *(void **)&fn = dlsym(lib, ADV_MODULE_SYMBOL);
    if (!fn) return adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_BACKEND, "`%s` is no back end: it has no `%s`", path, ADV_MODULE_SYMBOL);
    *out = fn();
    if (!fits(*out))
        return adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_BACKEND, "`%s` belongs to another build (`%s`; this is `%s`)", path,
                        (*out)->struct_size >= sizeof **out ? (*out)->build : "older", ADV_MODULE_BUILD);
    return ADV_OK;
}

AdvStatus adv_module_load(AdvCtx *ctx, const char *name, const char *dir, AdvDiags *ds, const AdvBackend **out)
{
    char path[ADV_PATH_BYTES];
    const AdvModule *m = NULL;
    *out = NULL;
    for (uint32_t i = 0; i < ctx->n_modules; i++) {
        if (strcmp(ctx->modules[i]->backend->name, name)) continue;
        *out = ctx->modules[i]->backend;
        return ADV_OK;
    }
    if (!dir) {
        AdvDiag *d = adv_diag(ds, ADV_D_BACKEND, (AdvSpan){0, 0, 0},
                              "back end `%s` is not here: `adv_%s.so` lies neither beside the program nor in a folder that was named", name,
                              name);
        adv_diag_help(d, "say where it lies with `--backend-dir` (AdvSessionOpts.backend_dir), or build it with `-D%s=enabled`", name);
        return ADV_EUNAVAILABLE;
    }
    if (ctx->n_modules == ADV_CTX_MODULES) return adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_BACKEND, "too many back ends are open");
    int n = snprintf(path, sizeof path, "%s/adv_%s.so", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "the path of the back ends is too long");
    ADV_TRY(adv_module_open(path, ds, &m));
    ADV_TRY(adv_registry_add_kernels(&ctx->reg, m->kernels, ds));
    ctx->modules[ctx->n_modules++] = m;
    *out = m->backend;
    return ADV_OK;
}
