/* advc: the compiler. Recipes in, plans out; everything it does goes through compiler/adv_compile.h and runtime/adv.h. */
#include "tools/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const CliVerb verbs[] = {
    {"", "[options] recipe.adv", "compile to out.plan"},
    {"check", "recipe.adv", "check only"},
    {"fmt", "[--check] recipe.adv...", "rewrite in canonical form"},
    {"expand", "recipe.adv", "print it with --set values in place and constant defaults written out"},
    {"plan", "--explain recipe.adv", "work, memory and estimated time of every instruction, for --target (cpu)"},
    {"graph", "[--format=dot] recipe.adv", "print the graph: for Graphviz, or as json"},
    {"explain", "CODE|NAME", "page of a diagnostic code, function, layer or op"},
    {"doc", "[NAME|KIND]", "manual page of an op, function or layer, or of all ops, builtins, layers, std"},
    {"list", "[--json] KIND", "ops, builtins, layers, std, lints, codes, datasets, passes, targets"},
    {NULL, NULL, NULL},
};

static const CliOption options[] = {
    {"o", "FILE", "where the plan goes (out.plan)", false, NULL},
    {"target", "LIST", "cpu, cuda, ref, ref64 (cpu,cuda)", false, NULL},
    {"set", "NAME=VALUE", "override a param, or a key of train or run", true, NULL},
    {"allow", "LINT", "do not report a lint: its name, or all; see `advc list lints`", true, NULL},
    {"deny", "LINT", "report a lint as an error", true, NULL},
    {"plugin", "FILE", "where `use plugin` finds the file of that name; doc, list ops: of this plugin", true, NULL},
    {"dump", "LIST", "print ast, lowered, graph, passes, dot, json, cost; no plan without -o", false, NULL},
    {"stop-after", "PASS", "stop after a pass", false, NULL},
    {"skip", "LIST", "leave passes out (for tests of the passes)", false, NULL},
    {"why", "PASS", "fuse or copy: say why two nodes were not merged, why a copy stays; no plan without -o", false, "fuse|copy"},
    {"verify-each", "", "verify the graph after every pass", false, NULL},
    {"time-passes", "", "note the time of each pass in --dump=passes", false, NULL},
    {"explain", "", "plan: print tables; a plan is only written with -o", false, NULL},
    {"entry", "NAME", "plan --explain, graph: of this entry only, e.g. step.main", false, NULL},
    {"format", "FORMAT", "graph: dot or json (dot)", false, "dot|json"},
    {"check", "", "fmt: change nothing, exit 1 if a file would change", false, NULL},
    {"json", "", "list: everything that is known, as JSON", false, NULL},
    {"html", "", "doc: as HTML", false, NULL},
    {"markdown", "", "doc: as Markdown", false, NULL},
    CLI_COMMON,
};

static const CliProgram program = {"advc", "compiles recipes to plans", verbs, options,
                                   "A recipe says how a network is trained and tested against attacks; a plan is what advrun(1) runs. "
                                   "`--man` with the verb `doc` writes the page of what "
                                   "is named in this form, too. `-` as a recipe is standard input."};

static void out(void *user, const char *text, size_t n) { fwrite(text, 1, n, user); }

/* How the verbs that compile differ. What was asked to print something writes no plan that nobody named. */
typedef struct Job { const char *dump; uint32_t flags; const char *targets; bool writes; } Job;

static int compile(const Cli *cli, AdvDiags *ds, const char *path, const Job *job)
{
    Recipe r;
    int rc = recipe_read(&r, cli, path);
    AdvCompileOpts *o = &r.opts;
    o->flags = job->flags;
    if (cli_get(cli, "verify-each")) o->flags |= ADV_COMPILE_VERIFY_EACH;
    if (cli_get(cli, "time-passes")) o->flags |= ADV_COMPILE_TIME_PASSES;
    if (!o->targets) o->targets = job->targets;
    o->dump = job->dump ? job->dump : cli_get(cli, "dump");
    o->stop_after = cli_get(cli, "stop-after");
    o->skip_passes = cli_get(cli, "skip");
    o->why = cli_get(cli, "why");
    o->entry = cli_get(cli, "entry");
    o->write = out;
    o->write_user = stdout;
    if (!rc) {
        void *plan;
        uint64_t n_plan;
        rc = adv_status_exit(adv_compile(o, ds, &plan, &n_plan));
        cli_report(cli, ds);
        const char *to = cli_get(cli, "o") ? cli_get(cli, "o") : job->writes && !o->dump && !o->why ? "out.plan" : NULL;
        if (plan && !rc && to) rc = file_write(cli, to, plan, n_plan);
        adv_compile_free(o, plan, n_plan);
    }
    recipe_free(&r);
    return rc;
}

/* `fmt` and `expand`: text to text. */
static int rewrite(const Cli *cli, AdvDiags *ds, const char *path, bool expands)
{
    Recipe r;
    char *better = NULL;
    uint64_t n_better = 0;
    int rc = recipe_read(&r, cli, path);
    if (!rc) rc = adv_status_exit(expands ? adv_expand(&r.opts, ds, &better, &n_better) : adv_format(&r.opts, ds, &better, &n_better));
    if (better) {
        bool differs = n_better - 1 != r.opts.n_bytes || memcmp(better, r.opts.text, r.opts.n_bytes) != 0;
        if (!expands && cli_get(cli, "check")) rc = differs ? cli_fail(cli, 1, "%s: not in canonical form", path) : 0;
        else if (expands || !strcmp(path, "-")) fwrite(better, 1, n_better - 1, stdout);
        else if (differs) rc = file_write(cli, path, better, n_better - 1);
    }
    adv_compile_free(&r.opts, better, n_better);
    recipe_free(&r);
    return rc;
}

/* ---- verbs: each with the arguments behind its name ---------------------------------------------------------------------------- */

static int do_compile(const Cli *cli, AdvDiags *ds) { return compile(cli, ds, cli->args[0], &(Job){.writes = true}); }
static int do_check(const Cli *cli, AdvDiags *ds) { return compile(cli, ds, cli->args[1], &(Job){.flags = ADV_COMPILE_CHECK}); }

static int do_plan(const Cli *cli, AdvDiags *ds)
{
    return compile(cli, ds, cli->args[1], cli_get(cli, "explain") ? &(Job){.dump = "cost", .targets = "cpu"} : &(Job){.writes = true});
}

static int do_graph(const Cli *cli, AdvDiags *ds)
{
    const char *format = cli_get(cli, "format");
    return compile(cli, ds, cli->args[1], &(Job){.dump = format ? format : "dot", .flags = ADV_COMPILE_CHECK});
}

static int do_fmt(const Cli *cli, AdvDiags *ds)
{
    int rc = 0;
    for (size_t i = 1; i < cli->n_args; i++) {
        int one = rewrite(cli, ds, cli->args[i], false);
        if (one > rc) rc = one;
    }
    cli_report(cli, ds);
    return rc;
}

static int do_expand(const Cli *cli, AdvDiags *ds)
{
    int rc = rewrite(cli, ds, cli->args[1], true);
    cli_report(cli, ds);
    return rc;
}

static int do_explain(const Cli *cli, AdvDiags *ds)
{
    static char buffer[16384];
    const char *page = adv_explain(cli->args[1], buffer, sizeof buffer);
    (void)ds;
    if (page) fputs(page, stdout);
    else if (adv_compile_doc(cli->args[1], ADV_DOC_TEXT, out, stdout) != ADV_OK)
        return cli_fail(cli, EXIT_NO_INPUT, "nothing is known of `%s`; see `advc list` codes, builtins, layers, std and ops", cli->args[1]);
    return 0;
}

static int do_doc(const Cli *cli, AdvDiags *ds)
{
    const char *name = cli->n_args > 1 ? cli->args[1] : NULL;
    int format = cli_get(cli, "html")       ? ADV_DOC_HTML
                 : cli_get(cli, "man")      ? ADV_DOC_MAN
                 : cli_get(cli, "markdown") ? ADV_DOC_MARKDOWN
                                            : ADV_DOC_TEXT;
    if (cli_get(cli, "plugin")) {
        const char *paths[CLI_MAX];
        AdvStatus st = adv_plugin_doc(paths, cli_all(cli, "plugin", paths), ds, name, format, out, stdout);
        cli_report(cli, ds);
        return adv_status_exit(st);
    }
    AdvStatus st = adv_compile_doc(name, format, out, stdout);
    if (st == ADV_ENOENT)
        return cli_fail(cli, EXIT_NO_INPUT, "no op, function or layer is called `%s`; see `advc list ops`, builtins, layers and std", name);
    return adv_status_exit(st);
}

static int do_list(const Cli *cli, AdvDiags *ds)
{
    if (cli_get(cli, "plugin")) {
        const char *paths[CLI_MAX];
        if (strcmp(cli->args[1], "ops")) return cli_fail(cli, EXIT_USAGE, "a plugin has ops and nothing else: advc list ops --plugin=FILE");
        AdvStatus st = adv_plugin_list(paths, cli_all(cli, "plugin", paths), ds, cli_get(cli, "json") != NULL, out, stdout);
        cli_report(cli, ds);
        return adv_status_exit(st);
    }
    AdvStatus st = adv_compile_list(cli->args[1], cli_get(cli, "json") != NULL, out, stdout);
    if (st == ADV_EINVAL)
        return cli_fail(cli, EXIT_USAGE,
                        "there is no list of `%s`: there are ops, builtins, layers, std, lints, codes, datasets, passes, targets",
                        cli->args[1]);
    return adv_status_exit(st);
}

static int run(const Cli *cli, AdvDiags *ds)
{
    static const struct { const char *name; size_t min, max; int (*go)(const Cli *cli, AdvDiags *ds);
    } table[] = {{"check", 1, 1, do_check}, {"fmt", 1, CLI_MAX, do_fmt},   {"expand", 1, 1, do_expand}, {"plan", 1, 1, do_plan},
                 {"graph", 1, 1, do_graph}, {"explain", 1, 1, do_explain}, {"doc", 0, 1, do_doc},       {"list", 1, 1, do_list}};
    if (!cli->n_args) return cli_usage(cli);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, cli->args[0]))
            return cli->n_args - 1 >= table[i].min && cli->n_args - 1 <= table[i].max ? table[i].go(cli, ds) : cli_usage(cli);
    return cli->n_args == 1 ? do_compile(cli, ds) : cli_usage(cli);
}

int main(int argc, char **argv)
{
    Cli cli;
    AdvCtx *ctx = NULL;
    AdvDiags *ds = NULL;
    if (!cli_parse(&cli, &program, argc, argv)) return EXIT_USAGE;
    int rc = 0;
    if (!cli_common(&cli)) {
        AdvStatus st = adv_ctx_new(NULL, &ctx);
        if (st == ADV_OK) st = adv_diags_open(ctx, &ds);
        rc = st == ADV_OK ? run(&cli, ds) : adv_status_exit(st);
    }
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    return cli_end(&cli, rc);
}
