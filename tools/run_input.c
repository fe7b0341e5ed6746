/* run_input.c: plans and data of advrun. A recipe is compiled in memory with the options of advc that make sense here. */
#include "compiler/adv_compile.h"
#include "tools/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_RECIPE (1 << 20)
#define MAX_PLAN (UINT64_C(1) << 32)
#define MAX_FILES 64

typedef struct Files { char *text[MAX_FILES]; size_t n; } Files;

static void *slurp(const char *path, uint64_t max, uint64_t *out_n)
{
    struct stat sb;
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    if (!f) return NULL;
    errno = EFBIG;
    if (!fstat(fileno(f), &sb) && (uint64_t)sb.st_size <= max) data = malloc((size_t)sb.st_size + 1);
    if (data) {
        *out_n = fread(data, 1, (size_t)sb.st_size, f);
        data[*out_n] = 0;
        if (ferror(f)) {
            int err = errno ? errno : EIO;
            free(data);
            data = NULL;
            errno = err;
        }
    }
    int err = errno;
    fclose(f);
    errno = err;
    return data;
}

static const char *load(void *user, const char *path, size_t *out_n)
{
    Files *files = user;
    uint64_t n;
    if (files->n == MAX_FILES) return NULL;
    char *text = slurp(path, MAX_RECIPE, &n);
    if (!text) return NULL;
    files->text[files->n++] = text;
    *out_n = (size_t)n;
    return text;
}

static int no_input(const char *path)
{
    fprintf(stderr, "advrun: cannot read `%s`: %s\n", path, strerror(errno));
    return errno == ENOENT ? EXIT_NO_INPUT : EXIT_IO;
}

static int compile(const Cli *cli, const char *path, AdvDiags *ds, RunPlan *out)
{
    AdvSet sets[CLI_MAX];
    char *copies[CLI_MAX];
    uint32_t n_sets = 0;
    Files files = {.n = 0};
    uint64_t n = 0;
    int rc = 0;
    for (const char *s; !rc && (s = cli_get_nth(cli, "set", n_sets)); n_sets++) {
        copies[n_sets] = strdup(s);
        char *eq = copies[n_sets] ? strchr(copies[n_sets], '=') : NULL;
        if (eq) *eq = 0;
        else fprintf(stderr, "advrun: `--set` takes NAME=VALUE, not `%s`\n", s);
        if (!eq) rc = EXIT_USAGE;
        else sets[n_sets] = (AdvSet){copies[n_sets], eq + 1};
    }
    char *text = rc ? NULL : slurp(path, MAX_RECIPE, &n);
    if (!rc && !text) rc = no_input(path);
    if (!rc) {
        AdvCompileOpts o = {.struct_size = sizeof o, .name = path, .text = text, .n_bytes = (size_t)n, .load = load, .load_user = &files, .sets = sets,
                            .n_sets = n_sets, .targets = cli_get(cli, "target")};
        AdvStatus st = adv_compile(&o, ds, &out->bytes, &out->n_bytes);
        out->is_compiled = true;
        rc = adv_status_exit(st);
    }
    free(text);
    for (size_t i = 0; i < files.n; i++) free(files.text[i]);
    for (uint32_t i = 0; i < n_sets; i++) free(copies[i]);
    return rc;
}

int run_plan_get(const Cli *cli, const char *path, AdvDiags *ds, RunPlan *out)
{
    size_t n = strlen(path);
    memset(out, 0, sizeof *out);
    if (n > 4 && !strcmp(path + n - 4, ".adv")) return compile(cli, path, ds, out);
    if (cli_get(cli, "set")) {
        fprintf(stderr, "advrun: a plan cannot be changed: `--set` belongs to the compiler\n"
                        "  advc --set %s -o %s RECIPE.adv\n", cli_get(cli, "set"), path);
        return EXIT_USAGE;
    }
    out->bytes = slurp(path, MAX_PLAN, &out->n_bytes);
    return out->bytes ? 0 : no_input(path);
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
