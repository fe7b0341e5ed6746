/* advrun.c: runs a plan, or compiles a recipe in memory and runs it. Uses the public headers only.
**
** stdout carries results and nothing else; everything about progress goes to stderr. A first SIGINT, SIGTERM or SIGUSR1 ends
** the run after its step with a checkpoint and exit 75; a second SIGINT ends it at once.
*/
#include "tools/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const CliVerb verbs[] = {
    {"", "[options] out.plan", "run a plan that advc made"},
    {"", "[options] recipe.adv", "compile in memory and run"},
    {"", "--resume=FOLDER", "continue a run"},
    {"", "--eval=NAME --weights=FILE out.plan", "evaluate once, train nothing"},
    {"", "--digest=FOLDER", "print the digest of a checkpoint"},
    {"", "--explain out.plan", "open it, and print which kernel runs each instruction, and why"},
    {NULL, NULL, NULL},
};

static const CliOption options[] = {
    {"set", "NAME=VALUE", "override a param, or a key of train or run (recipes only)", true, NULL},
    {"allow", "LINT", "do not report a lint: its name, or all (recipes only)", true, NULL},
    {"deny", "LINT", "report a lint as an error (recipes only)", true, NULL},
    {"plugin", "FILE", "a plugin that the plan needs, if it lies elsewhere now (the same name, and the same bytes)", true, NULL},
    {"backend", "NAME", "auto, cuda, cpu, ref, null (auto: cuda if a device answers, else cpu)", false, NULL},
    {"target", "NAME", "part of the plan to run: cpu, cuda, ref, ref64 (the back end's own)", false, NULL},
    {"threads", "N", "threads of the cpu back end (one a core)", false, NULL},
    {"backend-dir", "FOLDER", "where adv_cuda.so lies (beside the program, or ../lib/adv)", false, NULL},
    {"library-dirs", "FOLDERS", "folders to look for cuBLAS, cuDNN and NVRTC in first, split by ':'", false, NULL},
    {"cache", "FOLDER", "compiled code and timed choices of the cuda back end ($XDG_CACHE_HOME/adv, ~/.cache/adv)", false, NULL},
    {"cache-limit", "MIB", "remove the oldest compiled code beyond this from that folder, when some is added (1024)", false, NULL},
    {"data", "PATH", "folder of decoded data sets, or the file itself ($ADV_DATA, $XDG_CACHE_HOME/adv, ~/.cache/adv)", false, NULL},
    {"run-dir", "FOLDER", "folder of this run (runs/RECIPE, runs/RECIPE-2, ...)", false, NULL},
    {"resume", "[FOLDER]", "continue a run: this one, or the newest of the plan", false, NULL},
    {"eval", "NAME", "run one evaluation only; needs --weights or --resume", false, NULL},
    {"weights", "FILE", "begin with these weights (safetensors, or a folder with state.safetensors)", false, NULL},
    {"check", "MODE", "off, sync (wait after each instruction), finite (stop at the first NaN), ref (compare each with its definition)",
     false, "off|sync|finite|ref"},
    {"digest", "FOLDER", "print the digest of a checkpoint, or of a run's newest: equal if both go on to the same bits. It covers states, "
     "kept weights, place, logged values, results; no times, nothing of the host", false, NULL},
    {"strict", "", "refuse to run an instruction on ref instead of a kernel of the back end", false, NULL},
    {"dry-run", "", "open everything (the data set only if --data names it), then run the program on back end null", false, NULL},
    {"explain", "", "open everything, print kernels, scratch and refusals, and run nothing", false, NULL},
    {"profile", "", "time each instruction; table on stdout at the end", false, NULL},
    {"trace", "FILE.json", "when each instruction ran, in the Chrome trace format", false, NULL},
    {"verbose", "WHAT", "dispatch: say which kernel each instruction got, and why others refused, as they are chosen", false, "dispatch"},
    {"progress", "MODE", "auto, plain, none, json (auto)", false, "auto|plain|none|json"},
    {"save-every", "SECONDS", "time between checkpoints (300)", false, NULL},
    {"save-steps", "N", "also a checkpoint after every N steps (0: none)", false, NULL},
    {"seed", "N", "refused: the seed is the recipe's", false, NULL},
    CLI_COMMON,
};

static const CliProgram program = {"advrun", "runs plans", verbs, options,
                                   "Results go to standard output, progress and messages to standard error. A first SIGINT, SIGTERM or "
                                   "SIGUSR1 ends a run after its step with a checkpoint "
                                   "and exit status 75; a second SIGINT ends it at once."};

typedef struct Run {
    Cli cli;
    int argc;
    char **argv;
    AdvCtx *ctx;
    AdvDiags *ds;
    RunPlan bytes;
    AdvPlan *plan;
    AdvSession *s;
    Show show;
    char dir[RUN_PATH], data[RUN_PATH], backend_dir[RUN_PATH], cache_dir[RUN_PATH];
    FILE *trace;
    const char *plan_path, *plugins[CLI_MAX];
    bool has_backend_dir;
    long long n_threads, save_s, save_steps, cache_mib;
} Run;

/* For the handlers only. */
static AdvSession *volatile running;

static void on_stop(int sig)
{
    AdvSession *s = running;
    if (s) adv_session_cancel(s);
    if (sig == SIGINT) signal(SIGINT, SIG_DFL);
}

static void on_abort(int sig)
{
    static const char text[] = "advrun: a mistake in the program itself; please report it with the message above\n";
    (void)sig;
    (void)!write(2, text, sizeof text - 1);
    _exit(EXIT_BUG);
}

static void out(void *user, const char *text, size_t n) { fwrite(text, 1, n, user); }

static void log_line(void *user, int32_t level, const char *text, size_t n)
{
    Run *r = user;
    (void)level;
    show_end_line(&r->show);
    fprintf(stderr, "%.*s\n", (int)n, text);
}

static void report(Run *r)
{
    show_end_line(&r->show);
    cli_report(&r->cli, r->ds);
}

/* ---- command line ------------------------------------------------------------------------------------------------------ */

static bool options_are_right(Run *r)
{
    const Cli *c = &r->cli;
    if (cli_get(c, "seed"))
        return cli_fail(c, false, "the seed is the recipe's, so that a plan names one run: advc --set train.seed=%s RECIPE.adv",
                        cli_get(c, "seed"));
    if (cli_get(c, "eval") && !cli_get(c, "weights") && !cli_get(c, "resume"))
        return cli_fail(c, false, "`--eval` needs the weights to evaluate: --weights=FILE, or --resume=FOLDER");
    if (cli_get(c, "resume") && (cli_get(c, "run-dir") || cli_get(c, "weights")))
        return cli_fail(c, false, "`--resume` goes on in its own folder with its own weights: leave out --run-dir and --weights");
    if (cli_get(c, "resume") && cli_get(c, "set") && !c->n_args)
        return cli_fail(c, false, "`--resume` goes on with the run's own plan, which `--set` cannot change");
    if (cli_get(c, "digest"))
        return c->n_args == 0 || cli_fail(c, false, "`--digest` reads a checkpoint and runs nothing: it takes no plan");
    if (r->cli.n_args > 1 || (!r->cli.n_args && !(cli_get(c, "resume") && cli_get(c, "resume")[0]))) return cli_usage(c) == 0;
    return cli_get_int(c, "threads", 1, 4096, 0, &r->n_threads) && cli_get_int(c, "save-every", 0, 1000000000, 300, &r->save_s) &&
           cli_get_int(c, "save-steps", 0, 1000000000, 0, &r->save_steps) &&
           cli_get_int(c, "cache-limit", 1, 1 << 30, 1024, &r->cache_mib);
}

/* May the plan run on a CUDA device, as far as the command line says? */
static bool may_use_cuda(const Cli *c)
{
    const char *backend = cli_get(c, "backend"), *target = cli_get(c, "target");
    return (!backend || !strcmp(backend, "auto") || !strcmp(backend, "cuda")) && (!target || !strcmp(target, "cuda"));
}

static AdvStatus open_context(Run *r)
{
    AdvCtxOpts o = {.struct_size = sizeof o, .flags = ADV_CTX_PLAN_PLUGINS, .log = log_line, .user = r, .plugins = r->plugins};
    o.n_plugins = cli_all(&r->cli, "plugin", r->plugins);
    r->has_backend_dir = run_backend_dir(&r->cli, r->backend_dir) != NULL;
    if (r->has_backend_dir && may_use_cuda(&r->cli)) o.backend_dir = r->backend_dir;
    AdvStatus st = adv_ctx_new(&o, &r->ctx);
    return st == ADV_OK ? adv_diags_open(r->ctx, &r->ds) : st;
}

/* ---- steps of a run ------------------------------------------------------------------------------------------------------ */

static int get_plan(Run *r)
{
    static char own[RUN_PATH + 16];
    const char *resume = cli_get(&r->cli, "resume");
    r->plan_path = r->cli.n_args ? r->cli.args[0] : own;
    if (!r->cli.n_args) {
        snprintf(own, sizeof own, "%s/plan", resume);
        if (access(own, F_OK)) return cli_fail(&r->cli, EXIT_NO_INPUT, "`%s` is no folder of a run: it holds no `plan`", resume);
    }
    int rc = run_plan_get(&r->cli, r->plan_path, r->ctx, r->ds, &r->bytes);
    if (rc) return rc;
    /* a file is opened by its name, so that messages show it; its bytes are for the run folder */
    AdvStatus st = r->bytes.is_compiled ? adv_plan_load(r->ctx, r->bytes.bytes, (size_t)r->bytes.n_bytes, r->ds, &r->plan)
                                        : adv_plan_open(r->ctx, r->plan_path, r->ds, &r->plan);
    return adv_status_exit(st);
}

static int open_session(Run *r, const char *backend)
{
    const char *check = cli_get(&r->cli, "check");
    AdvSessionOpts o = {
        .struct_size = sizeof o, .backend = backend, .target = cli_get(&r->cli, "target"), .n_threads = (uint32_t)r->n_threads};
    o.backend_dir = r->has_backend_dir ? r->backend_dir : NULL;
    o.cache_dir = run_cache_dir(&r->cli, r->cache_dir);
    o.cache_limit_bytes = (uint64_t)r->cache_mib << 20;
    o.library_dirs = cli_get(&r->cli, "library-dirs");
    if (cli_get(&r->cli, "trace")) o.flags |= ADV_SESSION_TRACE;
    if (cli_get(&r->cli, "strict")) o.flags |= ADV_SESSION_STRICT;
    if (cli_get(&r->cli, "profile")) o.flags |= ADV_SESSION_PROFILE;
    if (cli_get(&r->cli, "verbose")) o.flags |= ADV_SESSION_LOG_DISPATCH;
    if (check && !strcmp(check, "sync")) o.check = ADV_CHECK_SYNC;
    if (check && !strcmp(check, "finite")) o.check = ADV_CHECK_FINITE;
    if (check && !strcmp(check, "ref")) o.check = ADV_CHECK_REF;
    return adv_status_exit(adv_session_open(r->ctx, r->plan, &o, r->ds, &r->s));
}

static int bind_data(Run *r)
{
    AdvPlanInfo p = {.struct_size = sizeof p};
    const char *backend = cli_get(&r->cli, "backend");
    if (adv_plan_info(r->plan, &p) || !p.data || (backend && !strcmp(backend, "null"))) return 0;
    run_data_path(&r->cli, p.data, r->data);
    return adv_status_exit(adv_session_bind_file(r->s, r->data, r->ds));
}

/* First values, with the weights that the recipe or --weights names: before there is a folder, so that a file that is missing
** leaves none. */
static int load_weights(Run *r)
{
    const char *path = cli_get(&r->cli, "weights");
    if (cli_get(&r->cli, "resume")) return 0;
    return adv_status_exit(path ? adv_session_load_weights(r->s, path, r->ds) : adv_session_run(r->s, "init", r->ds));
}

/* The folder of a new run, or the one to continue and the place in it. */
static int choose_dir(Run *r)
{
    const char *resume = cli_get(&r->cli, "resume");
    AdvPlanInfo p = {.struct_size = sizeof p};
    if (adv_plan_info(r->plan, &p)) return EXIT_BUG;
    if (resume && resume[0]) {
        snprintf(r->dir, sizeof r->dir, "%s", resume);
    } else if (resume) {
        int rc = run_dir_find(&r->cli, &r->bytes, p.recipe, r->dir);
        if (rc) return rc;
    }
    if (resume) {
        int rc = access(r->dir, F_OK) ? 0 : run_dir_claim(&r->cli, r->dir); /* where there is none, resuming says so better */
        return rc ? rc : adv_status_exit(adv_session_resume(r->s, r->dir, r->ds));
    }
    if (cli_get(&r->cli, "eval") && !cli_get(&r->cli, "run-dir")) return 0;
    int rc = run_dir_new(&r->cli, p.recipe, r->dir);
    if (!rc) rc = run_dir_claim(&r->cli, r->dir);
    return rc ? rc : run_dir_fill(&r->cli, r->dir, &r->bytes, r->plan, r->s, r->data, r->argc, r->argv);
}

static int train(Run *r)
{
    AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = r->dir[0] ? r->dir : NULL, .only_eval = cli_get(&r->cli, "eval"),
                      .save_every_ns = (uint64_t)r->save_s * UINT64_C(1000000000), .save_every_steps = (uint64_t)r->save_steps,
                      .progress = show_event, .user = &r->show};
    struct sigaction stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    sigemptyset(&stop.sa_mask);
    running = r->s;
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGUSR1, &stop, NULL);
    AdvStatus st = adv_session_train(r->s, &o, r->ds);
    running = NULL;
    show_end_line(&r->show);
    if (st == ADV_ECANCELLED && r->dir[0] && !o.only_eval)
        fprintf(stderr, "stopped after a checkpoint; go on with: advrun --resume=%s\n", r->dir);
    else if (st == ADV_ECANCELLED) fprintf(stderr, "stopped\n");
    return adv_status_exit(st);
}

/* Files that the command line or the recipe names are read first, as a run would; the data set need not be there. */
static int dry_run(Run *r)
{
    int rc = cli_get(&r->cli, "data") ? bind_data(r) : 0;
    if (!rc) rc = adv_status_exit(adv_session_run(r->s, "init", r->ds));
    if (!rc) rc = load_weights(r);
    adv_session_close(r->s);
    r->s = NULL;
    if (!rc) rc = open_session(r, "null");
    if (rc) return rc;
    r->show.mode = SHOW_NONE;
    AdvTrainOpts o = {.struct_size = sizeof o, .progress = show_event, .user = &r->show};
    rc = adv_status_exit(adv_session_train(r->s, &o, r->ds));
    if (!rc)
        fprintf(stderr, "dry run: %lld training steps and the evaluations ran on back end null; nothing was computed or written\n",
                (long long)r->show.n_steps);
    return rc;
}

/* Before the run, so that it is not for nothing. */
static int open_trace(Run *r)
{
    const char *path = cli_get(&r->cli, "trace");
    if (!path || (r->trace = fopen(path, "w"))) return 0;
    return cli_fail(&r->cli, EXIT_IO, "cannot write `%s`: %s", path, strerror(errno));
}

/* Also of a run that failed: it shows how far it came. */
static int write_trace(Run *r)
{
    if (!r->trace) return 0;
    adv_session_trace(r->s, out, r->trace);
    return fclose(r->trace) ? cli_fail(&r->cli, EXIT_IO, "cannot write `%s`: %s", cli_get(&r->cli, "trace"), strerror(errno)) : 0;
}

static int print_digest(Run *r)
{
    char digest[33];
    AdvStatus st = adv_ctx_checkpoint_digest(r->ctx, cli_get(&r->cli, "digest"), r->ds, digest);
    if (st == ADV_OK) puts(digest);
    return adv_status_exit(st);
}

static int run(Run *r)
{
    if (cli_get(&r->cli, "digest")) return print_digest(r);
    int rc = get_plan(r);
    if (!rc) rc = open_session(r, cli_get(&r->cli, "backend"));
    if (!rc && cli_get(&r->cli, "dry-run")) {
        show_first_screen(r->plan, r->s, r->plan_path, "", "");
        return dry_run(r);
    }
    if (!rc && cli_get(&r->cli, "explain")) return adv_status_exit(adv_session_explain(r->s, out, stdout));
    if (!rc) rc = bind_data(r);
    if (!rc) rc = load_weights(r);
    if (!rc) rc = open_trace(r);
    if (!rc) rc = choose_dir(r);
    if (rc) return rc;
    if (r->show.mode != SHOW_NONE && r->show.mode != SHOW_JSON) show_first_screen(r->plan, r->s, r->plan_path, r->data, r->dir);
    if (adv_session_is_done(r->s) && !cli_get(&r->cli, "eval")) fprintf(stderr, "this run is finished\n");
    rc = train(r);
    if (!rc) show_results(&r->show, r->plan, r->dir);
    if (cli_get(&r->cli, "profile")) adv_session_profile(r->s, out, stdout);
    int trace_rc = write_trace(r);
    return rc ? rc : trace_rc;
}

int main(int argc, char **argv)
{
    static Run r;
    r.argc = argc;
    r.argv = argv;
    if (!cli_parse(&r.cli, &program, argc, argv)) return EXIT_USAGE;
    if (cli_common(&r.cli)) return cli_end(&r.cli, 0);
    if (!options_are_right(&r)) return EXIT_USAGE;
    signal(SIGABRT, on_abort);
    show_init(&r.show, cli_get(&r.cli, "progress"));
    AdvStatus st = open_context(&r);
    int rc = st == ADV_OK ? run(&r) : adv_status_exit(st);
    if (r.ds) report(&r);
    adv_session_close(r.s);
    adv_plan_close(r.plan);
    adv_diags_free(r.ds);
    adv_ctx_free(r.ctx);
    run_plan_free(&r.bytes);
    return cli_end(&r.cli, rc);
}
