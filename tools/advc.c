/* advc: the compiler. Recipes in, plans out; everything it does goes through compiler/adv_compile.h and runtime/adv.h. */
#include "compiler/adv_compile.h"
#include "runtime/adv.h"
#include "tools/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 64
#define EXIT_NO_INPUT 66
#define EXIT_IO 74
#define MAX_BYTES (1 << 20)
#define MAX_FILES 64

static const char usage[] =
    "advc: compiles recipes to plans\n"
    "\n"
    "  advc [options] recipe.adv         compile to out.plan\n"
    "  advc check recipe.adv             check only\n"
    "  advc fmt [--check] recipe.adv...  rewrite in canonical form\n"
    "  advc explain CODE|NAME            page of a diagnostic code, built-in function or layer\n"
    "  advc list KIND                    passes, targets, builtins, layers, ops, codes\n";

static const CliOption options[] = {
    {"o", "FILE", "where the plan goes (out.plan)", false},
    {"target", "LIST", "cpu, cuda, ref, ref64 (cpu,cuda)", false},
    {"set", "NAME=VALUE", "override a param, or a key of train or run", true},
    {"dump", "LIST", "print ast, lowered, graph, passes", false},
    {"stop-after", "PASS", "stop after a pass", false},
    {"skip", "LIST", "leave passes out (for tests of the passes)", false},
    {"why", "PASS", "fuse or copy: say why two nodes were not merged, why a copy stays", false},
    {"verify-each", "", "verify the graph after every pass", false},
    {"time-passes", "", "note the time of each pass in --dump=passes", false},
    {"check", "", "fmt: change nothing, exit 1 if a file would change", false},
    {"message-format", "FORMAT", "human, short, json (human)", false},
    {"help", "", "print this", false},
    {NULL, NULL, NULL, false},
};

typedef struct Files { struct { char *text; size_t n; } at[MAX_FILES]; size_t n; } Files;

static void out(void *user, const char *text, size_t n) { fwrite(text, 1, n, user); }

/* The file's text, kept in `files`; NULL with errno set. At most a byte more than a recipe may have is read. */
static char *slurp(Files *files, const char *path, size_t *out_n)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    char *text = f && files->n < MAX_FILES ? malloc(MAX_BYTES + 2) : NULL;
    if (!text) {
        if (f && f != stdin) fclose(f);
        return NULL;
    }
    size_t n = fread(text, 1, MAX_BYTES + 1, f);
    int failed = ferror(f) ? errno ? errno : EIO : 0;
    if (f != stdin) fclose(f);
    if (failed) {
        free(text);
        errno = failed;
        return NULL;
    }
    text[n] = 0;
    files->at[files->n].text = text;
    files->at[files->n++].n = n;
    *out_n = n;
    return text;
}

static const char *load(void *user, const char *path, size_t *out_n) { return slurp(user, path, out_n); }

static int no_input(const char *path)
{
    fprintf(stderr, "advc: cannot read `%s`: %s\n", path, strerror(errno));
    return errno == ENOENT ? EXIT_NO_INPUT : EXIT_IO;
}

static void report(const Cli *cli, const AdvDiags *ds)
{
    const char *format = cli_get(cli, "message-format"), *term = getenv("TERM");
    int how = !format || !strcmp(format, "human") ? (isatty(2) && !(term && !strcmp(term, "dumb")) ? ADV_PRINT_COLOR : ADV_PRINT_HUMAN)
              : !strcmp(format, "json") ? ADV_PRINT_JSON : ADV_PRINT_SHORT;
    adv_diags_render(ds, how, out, stderr);
}

/* Writes beside the target and renames: a plan is there whole or not at all. */
static int write_plan(const char *path, const void *bytes, uint64_t n)
{
    char tmp[4096];
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) >= sizeof tmp) return EXIT_USAGE;
    FILE *f = fopen(tmp, "wb");
    int ok = f && fwrite(bytes, 1, n, f) == n && !fflush(f) && !fsync(fileno(f));
    if (f && fclose(f)) ok = 0;
    if (ok && !rename(tmp, path)) return 0;
    fprintf(stderr, "advc: cannot write `%s`: %s\n", path, strerror(errno));
    remove(tmp);
    return EXIT_IO;
}

static int compile(const Cli *cli, AdvDiags *ds, Files *files, const char *path, int check_only)
{
    AdvSet sets[CLI_MAX];
    uint32_t n_sets = 0;
    char *copies[CLI_MAX];
    for (const char *s; (s = cli_get_nth(cli, "set", n_sets)); n_sets++) {
        copies[n_sets] = strdup(s);
        char *eq = copies[n_sets] ? strchr(copies[n_sets], '=') : NULL;
        if (!eq) {
            fprintf(stderr, "advc: `--set` takes NAME=VALUE, not `%s`\n", s);
            return EXIT_USAGE;
        }
        *eq = 0;
        sets[n_sets] = (AdvSet){copies[n_sets], eq + 1};
    }
    size_t n = 0;
    char *text = slurp(files, path, &n);
    if (!text) return no_input(path);
    AdvCompileOpts o = {.struct_size = sizeof o, .name = path, .text = text, .n_bytes = n, .load = load, .load_user = files, .targets = cli_get(cli, "target"), .sets = sets, .n_sets = n_sets,
                        .dump = cli_get(cli, "dump"), .stop_after = cli_get(cli, "stop-after"), .skip_passes = cli_get(cli, "skip"), .why = cli_get(cli, "why"), .write = out, .write_user = stdout};
    if (check_only) o.flags |= ADV_COMPILE_CHECK;
    if (cli_get(cli, "verify-each")) o.flags |= ADV_COMPILE_VERIFY_EACH;
    if (cli_get(cli, "time-passes")) o.flags |= ADV_COMPILE_TIME_PASSES;
    void *plan;
    uint64_t n_plan;
    AdvStatus st = adv_compile(&o, ds, &plan, &n_plan);
    report(cli, ds);
    int rc = adv_status_exit(st);
    if (plan && !rc) rc = write_plan(cli_get(cli, "o") ? cli_get(cli, "o") : "out.plan", plan, n_plan);
    adv_compile_free(&o, plan, n_plan);
    for (uint32_t i = 0; i < n_sets; i++) free(copies[i]);
    return rc;
}

static int format(const Cli *cli, AdvDiags *ds, Files *files, const char *path)
{
    size_t n = 0;
    char *text = slurp(files, path, &n), *better;
    uint64_t n_better;
    if (!text) return no_input(path);
    AdvCompileOpts o = {.struct_size = sizeof o, .name = path, .text = text, .n_bytes = n};
    AdvStatus st = adv_format(&o, ds, &better, &n_better);
    int rc = adv_status_exit(st);
    if (rc) return rc;
    int differs = n_better - 1 != n || memcmp(better, text, n) != 0;
    if (cli_get(cli, "check")) {
        if (differs) fprintf(stderr, "%s: not in canonical form\n", path);
        rc = differs;
    } else if (!strcmp(path, "-")) {
        fwrite(better, 1, n_better - 1, stdout);
    } else if (differs) {
        rc = write_plan(path, better, n_better - 1);
    }
    adv_compile_free(&o, better, n_better);
    return rc;
}

static int explain(const char *name)
{
    static char buffer[16384];
    const char *page = adv_explain(name, buffer, sizeof buffer);
    if (!page) {
        fprintf(stderr, "advc: nothing is known of `%s`; see `advc list codes` and `advc list builtins`\n", name);
        return EXIT_NO_INPUT;
    }
    fputs(page, stdout);
    return 0;
}

static int run(const Cli *cli, AdvDiags *ds, Files *files)
{
    const char *verb = cli->n_args ? cli->args[0] : "";
    int rc = 0;
    if (!strcmp(verb, "explain") && cli->n_args == 2) return explain(cli->args[1]);
    if (!strcmp(verb, "list") && cli->n_args == 2) {
        if (adv_compile_list(cli->args[1], out, stdout) == ADV_OK) return 0;
    } else if (!strcmp(verb, "check") && cli->n_args == 2) {
        return compile(cli, ds, files, cli->args[1], 1);
    } else if (!strcmp(verb, "fmt") && cli->n_args >= 2) {
        for (size_t i = 1; i < cli->n_args; i++) {
            int one = format(cli, ds, files, cli->args[i]);
            if (one > rc) rc = one;
        }
        report(cli, ds);
        return rc;
    } else if (cli->n_args == 1) {
        return compile(cli, ds, files, verb, 0);
    }
    fputs(usage, stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    Cli cli;
    static Files files;
    AdvCtx *ctx;
    AdvDiags *ds = NULL;
    if (!cli_parse(&cli, options, argc, argv)) return EXIT_USAGE;
    if (cli_get(&cli, "help")) {
        cli_help(options, usage);
        return 0;
    }
    AdvStatus st = adv_ctx_new(NULL, &ctx);
    if (st == ADV_OK) st = adv_diags_open(ctx, &ds);
    int rc = st == ADV_OK ? run(&cli, ds, &files) : adv_status_exit(st);
    adv_diags_free(ds);
    if (st == ADV_OK) adv_ctx_free(ctx);
    for (size_t i = 0; i < files.n; i++) free(files.at[i].text);
    if (fflush(stdout) || ferror(stdout)) return rc ? rc : EXIT_IO;
    return rc;
}
