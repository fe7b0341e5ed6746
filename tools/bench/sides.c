/* sides.c: a case of cases.txt: steps of ours and of PyTorch, each in processes of its own that take turns. */
#include "tools/bench/bench.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_SIDES 3

typedef struct Side {
    const char *name;
    pid_t pid;
    FILE *to, *from;
    long n_steps, base_kb, peak_kb;
    double wall[MAX_ROUNDS], cpu[MAX_ROUNDS]; /* of one step */
} Side;

static bool spawn(Side *s, const char *const *argv)
{
    int down[2], up[2];
    if (pipe(down) || pipe(up)) return false;
    s->pid = fork();
    if (s->pid < 0) return false;
    if (s->pid == 0) {
        dup2(down[0], 0);
        dup2(up[1], 1);
        for (int k = 0; k < 2; k++) close(down[k]), close(up[k]);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(down[0]);
    close(up[1]);
    s->to = fdopen(down[1], "w");
    s->from = fdopen(up[0], "r");
    return s->to && s->from && fscanf(s->from, " ready %ld", &s->base_kb) == 1;
}

static bool go(Side *s, long n_steps, double *out_wall, double *out_cpu)
{
    fprintf(s->to, "go %ld\n", n_steps);
    fflush(s->to);
    return fscanf(s->from, "%lf %lf", out_wall, out_cpu) == 2;
}

static void finish(Side *s)
{
    fprintf(s->to, "quit\n");
    fflush(s->to);
    if (fscanf(s->from, "%ld", &s->peak_kb) != 1) s->peak_kb = 0;
    fclose(s->to);
    fclose(s->from);
    waitpid(s->pid, NULL, 0);
}

static bool start_side(Side *s, const Opts *o, const Case *c, int k)
{
    static const char *const layouts[] = {NULL, "nchw", "nhwc"};
    char recipe[4096];
    snprintf(recipe, sizeof recipe, "%s/%s.adv", o->recipes, c->recipe);
    const char *ours[] = {o->self, "--worker", recipe, c->batch, o->n_threads, NULL};
    const char *theirs[] = {"/usr/bin/python3", o->peer, c->network, c->batch, c->method, layouts[k], o->n_threads, NULL};
    double wall = 0, cpu;
    s->name = k ? layouts[k] : "ours";
    if (!spawn(s, k ? theirs : ours)) return false;
    for (int i = 0; i < 2; i++)
        if (!go(s, 1, &wall, &cpu)) return false;
    s->n_steps = 1 + (long)(o->seconds / wall);
    return true;
}

/* ---- printing ------------------------------------------------------------------------------------------------------------ */

static void print_side(const Side *s, const Case *c, int n_rounds)
{
    double wall = bench_median(s->wall, n_rounds), lo = s->wall[0], hi = s->wall[0];
    for (int r = 1; r < n_rounds; r++) {
        if (s->wall[r] < lo) lo = s->wall[r];
        if (s->wall[r] > hi) hi = s->wall[r];
    }
    printf("  %-5s %10.3f ms/step (%.3f .. %.3f) %10.1f img/s %10.3f cpu ms/step %8.0f MB peak %8.0f MB above start\n", s->name, 1e3 * wall,
           1e3 * lo, 1e3 * hi, strtod(c->batch, NULL) / wall, 1e3 * bench_median(s->cpu, n_rounds), (double)s->peak_kb / 1024,
           (double)(s->peak_kb - s->base_kb) / 1024);
}

static void add_row(Tables *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->speed + t->n_speed, sizeof t->speed - t->n_speed, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof t->speed - t->n_speed) t->n_speed += (size_t)n;
}

/* Medians of ratios of neighbours in time, against the format that is faster; memory against the one that takes less. */
static void compare(const Side *s, const Case *c, int n_rounds, Tables *t)
{
    int best = bench_median(s[1].wall, n_rounds) < bench_median(s[2].wall, n_rounds) ? 1 : 2;
    int best_cpu = bench_median(s[1].cpu, n_rounds) < bench_median(s[2].cpu, n_rounds) ? 1 : 2;
    long peak = s[1].peak_kb < s[2].peak_kb ? s[1].peak_kb : s[2].peak_kb;
    double wall[MAX_ROUNDS], cpu[MAX_ROUNDS];
    for (int r = 0; r < n_rounds; r++) wall[r] = s[best].wall[r] / s[0].wall[r], cpu[r] = s[best_cpu].cpu[r] / s[0].cpu[r];
    double ratio = bench_median(wall, n_rounds), ratio_cpu = bench_median(cpu, n_rounds), memory = (double)s[0].peak_kb / (double)peak;
    printf("  ratio %.2f (must %.2g, aim %.2g), by cpu time %.2f, memory %.2f (must 1, aim 0.5)\n", ratio, c->must, c->aim, ratio_cpu,
           memory);
    add_row(t, "| %s, %s | %s | %.2f | %.2f (%s) | **%.2f** | %.2f | %.2g | %.2g | %.0f | %.0f | %.2f |\n", c->network, c->method, c->batch,
            1e3 * bench_median(s[0].wall, n_rounds), 1e3 * bench_median(s[best].wall, n_rounds), s[best].name, ratio, ratio_cpu, c->must,
            c->aim, (double)s[0].peak_kb / 1024, (double)peak / 1024, memory);
}

/* ---- a case -------------------------------------------------------------------------------------------------------------- */

static bool profile_case(const Case *c, const Opts *o)
{
    char recipe[4096];
    snprintf(recipe, sizeof recipe, "%s/%s.adv", o->recipes, c->recipe);
    bool ok = bench_profile((const char *const[]){recipe, c->batch, o->n_threads}, o->n_rounds, bench_to_stdout, NULL);
    int n_threads = (int)strtol(o->n_threads, NULL, 10);
    printf("# memory copied by %d thread%s: %.1f GB/s\n", n_threads, n_threads == 1 ? "" : "s", bench_copy_rate(n_threads));
    return ok;
}

bool bench_speed(const Case *c, const Opts *o, Tables *t)
{
    static Side side[N_SIDES];
    int n_sides = o->peer ? N_SIDES : 1;
    if (o->profile) return profile_case(c, o);
    memset(side, 0, sizeof side);
    for (int k = 0; k < n_sides; k++)
        if (!start_side(&side[k], o, c, k)) return false;
    for (int r = 0; r < o->n_rounds; r++)
        for (int k = 0; k < n_sides; k++) {
            Side *s = &side[k];
            if (!go(s, s->n_steps, &s->wall[r], &s->cpu[r])) return false;
            s->wall[r] /= (double)s->n_steps;
            s->cpu[r] /= (double)s->n_steps;
        }
    for (int k = 0; k < n_sides; k++) finish(&side[k]);
    printf("%s: %s, batch %s, %s\n", c->name, c->network, c->batch, c->method);
    for (int k = 0; k < n_sides; k++) print_side(&side[k], c, o->n_rounds);
    if (n_sides == N_SIDES) compare(side, c, o->n_rounds, t);
    fflush(stdout);
    return true;
}
