/* single.c: what is measured of ours alone: opening a session, compiling, and memory bandwidth. */
#include "tools/bench/bench.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void add_row(Tables *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->single + t->n_single, sizeof t->single - t->n_single, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof t->single - t->n_single) fputs(t->single + t->n_single, stdout), t->n_single += (size_t)n;
    fflush(stdout);
}

static double children_cpu(void)
{
    struct rusage use;
    if (getrusage(RUSAGE_CHILDREN, &use)) return 0;
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + 1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

/* Runs a program to its end, its output into `text`, and tells how long it took. */
static bool run_program(const char *const *argv, char *text, size_t n_text, double *out_wall, double *out_cpu)
{
    int up[2];
    size_t n = 0;
    ssize_t got;
    int status = 1;
    double cpu = children_cpu(), start = bench_clock(CLOCK_MONOTONIC);
    if (pipe(up)) return false;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(up[1], 1);
        close(up[0]);
        close(up[1]);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(up[1]);
    while (pid > 0 && (got = read(up[0], text + n, n_text - 1 - n)) > 0) n += (size_t)got;
    text[n] = 0;
    close(up[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return false;
    *out_wall = bench_clock(CLOCK_MONOTONIC) - start;
    *out_cpu = children_cpu() - cpu;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Each in a process of its own: the library under the kernels remembers within a process what it has made. */
bool bench_open(const Opts *o, Tables *t)
{
    char recipe[4096], text[256];
    double wall[MAX_ROUNDS], cpu[MAX_ROUNDS], all[2];
    snprintf(recipe, sizeof recipe, "%s/resnet18.adv", o->recipes);
    const char *argv[] = {o->self, "--opener", recipe, "64", o->n_threads, NULL};
    for (int r = 0; r < o->n_rounds; r++)
        if (!run_program(argv, text, sizeof text, &all[0], &all[1]) || sscanf(text, "%lf %lf", &wall[r], &cpu[r]) != 2) return false;
    add_row(t, "| opening a session for ResNet-18 | %.0f ms (CPU %.0f) | at most 80 ms |\n", 1e3 * bench_median(wall, o->n_rounds),
            1e3 * bench_median(cpu, o->n_rounds));
    return true;
}

/* The program `advc` beside this one's folder, from start to exit. */
bool bench_advc(const Opts *o, Tables *t)
{
    char advc[4096], text[4096];
    double wall[MAX_ROUNDS], cpu[MAX_ROUNDS];
    const char *slash = strrchr(o->self, '/');
    snprintf(advc, sizeof advc, "%.*sadvc", slash ? (int)(slash + 1 - o->self) : 0, o->self);
    const char *argv[] = {advc, "--allow=all", o->largest, "-o", "/dev/null", NULL};
    for (int r = 0; r < o->n_rounds; r++)
        if (!run_program(argv, text, sizeof text, &wall[r], &cpu[r])) return false;
    add_row(t, "| `advc %s` (WRN-34-10, both targets) | %.0f ms (CPU %.0f) | at most 100 ms |\n", o->largest,
            1e3 * bench_median(wall, o->n_rounds), 1e3 * bench_median(cpu, o->n_rounds));
    return true;
}

/* ---- bandwidth ----------------------------------------------------------------------------------------------------------- */

#define BEYOND_CACHES 60e6 /* bytes of an instruction's operands */
#define N_STEPS 4

/* What is measured, by how an instruction of the profile begins. */
static const struct { const char *op, *name; } memory_ops[] = {
    {"sgd ", "updates by `sgd`"},
    {"adam ", "updates by `adam`"},
    {"fused_ew ", "elementwise groups"},
    {"step_linf ", "the step of an attack"}};
enum { N_MEMORY_OPS = sizeof memory_ops / sizeof *memory_ops };

/* The slowest instruction of each kind in one round, by its best run. */
typedef struct Rates { double gb_s[N_MEMORY_OPS]; } Rates;

static void hear_line(void *user, const char *text, size_t n_bytes)
{
    Rates *r = user;
    char line[1024];
    double us, best, gb_s;
    int n_runs;
    snprintf(line, sizeof line, "%.*s", (int)n_bytes, text);
    const char *runs = strstr(line, "  # ");
    if (runs) runs = strchr(runs, ',');
    if (!runs || sscanf(runs, ", %d runs, %lf us, best %lf us, %lf GB/s", &n_runs, &us, &best, &gb_s) != 4) return;
    if (n_runs < N_STEPS || us * gb_s * 1e3 < BEYOND_CACHES) return;
    gb_s *= us / best; /* the first run takes its pages from the system */
    for (int k = 0; k < N_MEMORY_OPS; k++)
        if (!strncmp(line, memory_ops[k].op, strlen(memory_ops[k].op)) && (r->gb_s[k] == 0 || gb_s < r->gb_s[k])) r->gb_s[k] = gb_s;
}

bool bench_bandwidth(const Opts *o, Tables *t)
{
    char recipe[4096];
    double copy[MAX_ROUNDS], rate[N_MEMORY_OPS][MAX_ROUNDS], ratio[N_MEMORY_OPS][MAX_ROUNDS];
    int n_threads = (int)strtol(o->n_threads, NULL, 10);
    snprintf(recipe, sizeof recipe, "%s/bandwidth.adv", o->recipes);
    for (int r = 0; r < o->n_rounds; r++) {
        Rates got = {{0}};
        copy[r] = bench_copy_rate(n_threads);
        const char *argv[] = {recipe, "32", o->n_threads};
        if (o->profile && r == 0 && !bench_profile(argv, N_STEPS, bench_to_stdout, NULL)) return false;
        if (!bench_profile(argv, N_STEPS, hear_line, &got)) return false;
        for (int k = 0; k < N_MEMORY_OPS; k++) rate[k][r] = got.gb_s[k], ratio[k][r] = got.gb_s[k] / copy[r];
    }
    add_row(t, "| copying beyond the caches, %d thread%s | %.1f GB/s | |\n", n_threads, n_threads == 1 ? "" : "s",
            bench_median(copy, o->n_rounds));
    for (int k = 0; k < N_MEMORY_OPS; k++)
        add_row(t, "| %s beyond the caches | %.1f GB/s, %.0f%% of copying | at least 70%% |\n", memory_ops[k].name,
                bench_median(rate[k], o->n_rounds), 100 * bench_median(ratio[k], o->n_rounds));
    return true;
}

/* ---- rows of a plugin ---------------------------------------------------------------------------------------------------- */

/* Best times of the two groups, ours and the plugin's, by what their steps are called. */
typedef struct Groups { double ours[2], its[2]; } Groups;

static void hear_group(void *user, const char *text, size_t n_bytes)
{
    Groups *g = user;
    char line[1024];
    double us, best;
    int n_runs;
    snprintf(line, sizeof line, "%.*s", (int)n_bytes, text);
    const char *runs = strstr(line, "  # "), *steps = strstr(line, "max]");
    if (runs) runs = strchr(runs, ',');
    if (!steps || !runs || sscanf(runs, ", %d runs, %lf us, best %lf us", &n_runs, &us, &best) != 3) return;
    (strstr(line, "twin_max]") ? g->its : g->ours)[strstr(line, "sigmoid") == NULL] = best;
}

bool bench_plugin(const Opts *o, Tables *t)
{
    static const char *const names[] = {"six steps with a sigmoid", "five steps of arithmetic"};
    char recipe[4096];
    double ours[2][MAX_ROUNDS], ratio[2][MAX_ROUNDS];
    snprintf(recipe, sizeof recipe, "%s/plugin.adv", o->recipes);
    for (int r = 0; r < o->n_rounds; r++) {
        Groups got = {{0}, {0}};
        const char *argv[] = {recipe, "256", o->n_threads};
        if (!bench_profile(argv, 20, hear_group, &got)) return false;
        for (int k = 0; k < 2; k++) {
            if (got.ours[k] == 0 || got.its[k] == 0) return false; /* the profile names no such group */
            ours[k][r] = got.ours[k];
            ratio[k][r] = got.its[k] / got.ours[k];
        }
    }
    for (int k = 0; k < 2; k++)
        add_row(t, "| an elementwise group of a plugin's rows, %s | %.3f of the time of built-in ones (%.0f us) | at most 1.05 |\n",
                names[k], bench_median(ratio[k], o->n_rounds), bench_median(ours[k], o->n_rounds));
    return true;
}
