/* run_input.c: plans and data of advrun. A recipe is compiled in memory with the options of advc that make sense here. */
#include "tools/recipe.h"
#include "tools/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PLAN (UINT64_C(1) << 32)

static int compile(const Cli *cli, const char *path, AdvCtx *ctx, AdvDiags *ds, RunPlan *out)
{
    Recipe r;
    int rc = recipe_read(&r, cli, path);
    r.opts.cuda_sm = adv_ctx_cuda(ctx);
    if (!rc) rc = adv_status_exit(adv_compile(&r.opts, ds, &out->bytes, &out->n_bytes));
    out->is_compiled = true;
    recipe_free(&r);
    return rc;
}

int run_plan_get(const Cli *cli, const char *path, AdvCtx *ctx, AdvDiags *ds, RunPlan *out)
{
    size_t n = strlen(path);
    memset(out, 0, sizeof *out);
    if (n > 4 && !strcmp(path + n - 4, ".adv")) return compile(cli, path, ctx, ds, out);
    if (cli_get(cli, "set"))
        return cli_fail(cli, EXIT_USAGE, "a plan cannot be changed: `--set` belongs to the compiler\n  advc --set %s -o %s RECIPE.adv",
                        cli_get(cli, "set"), path);
    int rc = plugins_are_there(cli);
    if (rc) return rc;
    out->bytes = file_read(path, MAX_PLAN, &out->n_bytes);
    return out->bytes ? 0 : cli_fail_input(cli, path);
}

void run_plan_free(RunPlan *p)
{
    AdvCompileOpts o = {.struct_size = sizeof o};
    if (p->is_compiled) adv_compile_free(&o, p->bytes, p->n_bytes);
    else free(p->bytes);
    p->bytes = NULL;
}

void run_data_path(const Cli *cli, const char *name, char path[RUN_PATH])
{
    const char *given = cli_get(cli, "data"), *own = getenv("ADV_DATA"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    static const char ending[] = ".safetensors";
    struct stat sb;
    size_t n = given ? strlen(given) : 0;
    bool is_there = given && !stat(given, &sb), is_named = n >= sizeof ending && !strcmp(given + n - (sizeof ending - 1), ending);
    if (given && (is_there ? S_ISREG(sb.st_mode) : is_named)) snprintf(path, RUN_PATH, "%s", given);
    else if (given) snprintf(path, RUN_PATH, "%s/%s.safetensors", given, name);
    else if (own && own[0]) snprintf(path, RUN_PATH, "%s/%s.safetensors", own, name);
    else if (cache && cache[0]) snprintf(path, RUN_PATH, "%s/adv/%s.safetensors", cache, name);
    else snprintf(path, RUN_PATH, "%s/.cache/adv/%s.safetensors", home ? home : ".", name);
}

const char *run_backend_dir(const Cli *cli, char path[RUN_PATH])
{
    static const char *const places[] = {"", "/../ops/cuda", "/../lib/adv", "/../lib/x86_64-linux-gnu/adv", "/../lib64/adv"};
    const char *given = cli_get(cli, "backend-dir");
    char own[RUN_PATH - 64], file[RUN_PATH + 16];
    if (given) {
        snprintf(path, RUN_PATH, "%s", given);
        return path;
    }
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    if (n <= 0) return NULL;
    own[n] = 0;
    *strrchr(own, '/') = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, RUN_PATH, "%s%s", own, places[i]);
        snprintf(file, sizeof file, "%s/adv_cuda.so", path);
        if (!access(file, R_OK)) return path;
    }
    return NULL;
}

const char *run_cache_dir(const Cli *cli, char path[RUN_PATH])
{
    const char *given = cli_get(cli, "cache"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (given) snprintf(path, RUN_PATH, "%s", given);
    else if (xdg && xdg[0]) snprintf(path, RUN_PATH, "%s/adv", xdg);
    else if (home && home[0]) snprintf(path, RUN_PATH, "%s/.cache/adv", home);
    else return NULL;
    for (char *s = path + 1; (s = strchr(s, '/')); *s++ = '/') {
        *s = 0;
        (void)mkdir(path, 0777);
    }
    (void)mkdir(path, 0777);
    return access(path, W_OK) ? NULL : path;
}
