/* run_input.c: plans and data of advrun. A recipe is compiled in memory with the options of advc that make sense here. */
#include "tools/recipe.h"
#include "tools/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_PLAN (UINT64_C(1) << 32)

static int compile(const Cli *cli, const char *path, AdvDiags *ds, RunPlan *out)
{
    Recipe r;
    int rc = recipe_read(&r, cli, path);
    if (!rc) rc = adv_status_exit(adv_compile(&r.opts, ds, &out->bytes, &out->n_bytes));
    out->is_compiled = true;
    recipe_free(&r);
    return rc;
}

int run_plan_get(const Cli *cli, const char *path, AdvDiags *ds, RunPlan *out)
{
    size_t n = strlen(path);
    memset(out, 0, sizeof *out);
    if (n > 4 && !strcmp(path + n - 4, ".adv")) return compile(cli, path, ds, out);
    if (cli_get(cli, "set"))
        return cli_fail(cli, EXIT_USAGE, "a plan cannot be changed: `--set` belongs to the compiler\n  advc --set %s -o %s RECIPE.adv",
                        cli_get(cli, "set"), path);
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
    struct stat sb;
    if (given && !stat(given, &sb) && S_ISREG(sb.st_mode)) snprintf(path, RUN_PATH, "%s", given);
    else if (given) snprintf(path, RUN_PATH, "%s/%s.safetensors", given, name);
    else if (own && own[0]) snprintf(path, RUN_PATH, "%s/%s.safetensors", own, name);
    else if (cache && cache[0]) snprintf(path, RUN_PATH, "%s/adv/%s.safetensors", cache, name);
    else snprintf(path, RUN_PATH, "%s/.cache/adv/%s.safetensors", home ? home : ".", name);
}
