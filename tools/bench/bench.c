/* bench.c: training steps of ours and of PyTorch, side by side.
**
**   bench [--threads=N] [--rounds=N] [--seconds=S] [--peer=FILE | --no-peer] [--recipes=FOLDER] [--profile] [CASE...]
**
** Each side of a case is a process of its own that runs steps when told to, so that memory is told apart and nothing of one
** side disturbs the other: ours (this program again, as `bench --worker RECIPE BATCH THREADS`), and torch_peer.py once in each
** memory format. They take turns, some steps each, for so many rounds; times are medians, and the faster format is PyTorch's.
** A worker speaks in lines: it prints `ready BASE_KB` (memory before the network is there), answers `go N` with
** `SECONDS CPU_SECONDS` for N steps, and `quit` with its peak memory in KB. Ours leaves the data set out of the memory, since the
** peer holds a batch only. With --profile ours alone runs, and prints the time of each instruction.
**
** CPU seconds are what is comparable on a machine that others use too: set OMP_WAIT_POLICY=passive then, or waiting threads
** count as busy ones.
*/
#include "compiler/adv_compile.h"
#include "ops/adv_op.h"
#include "runtime/adv.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "bench [--threads=N] [--rounds=N] [--seconds=S] [--peer=FILE | --no-peer] [--recipes=FOLDER] [--profile] [CASE...]\n";

#define MAX_ROUNDS 99
#define N_SIDES 3

#define MAX_CASES 32

typedef struct Case { char name[32], recipe[64], batch[16], network[32], method[32]; double must, aim; } Case;

typedef struct Opts {
    const char *self, *peer, *recipes; /* recipes: folder, with the list of cases */
    int n_rounds;
    const char *n_threads;
    double seconds;
    bool profile;
} Opts;

/* ---- worker: ours -------------------------------------------------------------------------------------------------------- */

static double clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static long memory_kb(const char *field)
{
    char line[256];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, field, strlen(field))) kb = strtol(line + strlen(field), NULL, 10);
    if (f) fclose(f);
    return kb;
}

static void to_stderr(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stderr);
}

static void to_stdout(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stdout);
}

static char *read_text(const char *path, size_t *out_bytes)
{
    FILE *f = fopen(path, "rb");
    char *text = f ? malloc(1 << 20) : NULL;
    if (text) *out_bytes = fread(text, 1, 1 << 20, f);
    if (f) fclose(f);
    return text;
}

/* Gives a data state memory with some numbers in it: bytes of images, class numbers below 10. */
static AdvStatus bind_numbers(AdvSession *s, const char *state, AdvDiags *ds)
{
    AdvTensorType t;
    AdvView v = {0};
    int64_t n = 1;
    if (adv_session_type(s, state, &t) != ADV_OK) return ADV_OK;
    v.dtype = t.dtype;
    v.rank = t.rank;
    for (uint32_t d = t.rank; d-- > 0; n *= t.dim[d]) v.dim[d] = t.dim[d], v.stride[d] = n;
    bool is_bytes = t.dtype == ADV_U8;
    v.data = malloc((size_t)n * (is_bytes ? 1 : sizeof(int32_t)));
    if (!v.data) return ADV_ENOMEM;
    for (int64_t i = 0; i < n; i++) {
        uint32_t r = (uint32_t)i * 2654435761u >> 8;
        if (is_bytes) ((uint8_t *)v.data)[i] = (uint8_t)r;
        else ((int32_t *)v.data)[i] = (int32_t)(r % 10);
    }
    return adv_session_bind(s, state, &v, ds);
}

static AdvStatus open_worker(AdvCtx *ctx, AdvDiags *ds, const char *const *argv, uint32_t flags, AdvSession **out)
{
    static const char *const states[] = {"data.train.x", "data.train.y", "data.test.x", "data.test.y"};
    AdvSet set = {"batch", argv[1]};
    AdvCompileOpts co = {.struct_size = sizeof co, .name = argv[0], .targets = "cpu", .sets = &set, .n_sets = 1};
    AdvSessionOpts so = {.struct_size = sizeof so, .n_threads = (uint32_t)strtol(argv[2], NULL, 10), .flags = ADV_SESSION_STRICT | flags};
    AdvPlan *plan;
    void *bytes;
    uint64_t n_bytes;
    char *text = read_text(argv[0], &co.n_bytes);
    co.text = text;
    if (!text) return ADV_ENOENT;
    AdvStatus st = adv_compile(&co, ds, &bytes, &n_bytes);
    free(text);
    if (st != ADV_OK) return st;
    st = adv_plan_load(ctx, bytes, (size_t)n_bytes, ds, &plan);
    adv_compile_free(&co, bytes, n_bytes);
    double t = clock_s(CLOCK_MONOTONIC);
    if (st == ADV_OK) st = adv_session_open(ctx, plan, &so, ds, out);
    if (st == ADV_OK && (flags & ADV_SESSION_PROFILE)) printf("# session opened in %.1f ms\n", 1e3 * (clock_s(CLOCK_MONOTONIC) - t));
    for (size_t i = 0; st == ADV_OK && i < sizeof states / sizeof *states; i++) st = bind_numbers(*out, states[i], ds);
    return st;
}

/* Lives until it is told to quit; what it holds is the process's. */
static int run_worker(const char *const *argv)
{
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvSession *s = NULL;
    char line[64];
    long base = memory_kb("VmRSS:");
    if (adv_ctx_new(NULL, &ctx) != ADV_OK || adv_diags_open(ctx, &ds) != ADV_OK) return 1;
    AdvStatus st = open_worker(ctx, ds, argv, 0, &s);
    if (st == ADV_OK) printf("ready %ld\n", base);
    fflush(stdout);
    while (st == ADV_OK && fgets(line, sizeof line, stdin) && strncmp(line, "quit", 4) != 0) {
        double wall = clock_s(CLOCK_MONOTONIC), cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
        st = adv_session_step(s, strtoul(line + 3, NULL, 10), ds);
        printf("%.9f %.9f\n", clock_s(CLOCK_MONOTONIC) - wall, clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu);
        fflush(stdout);
    }
    AdvSessionInfo info = {.struct_size = sizeof info};
    if (st == ADV_OK) st = adv_session_info(s, &info);
    if (st != ADV_OK) adv_diags_render(ds, ADV_PRINT_HUMAN, to_stderr, NULL);
    else printf("%ld\n", memory_kb("VmHWM:") - (long)(info.data_bytes / 1024));
    return st == ADV_OK ? 0 : 1;
}

/* What one thread copies far beyond the caches, bytes read and written, in GB/s: what the GB/s of a profile compare with. */
static double copy_rate(void)
{
    enum { N_BYTES = 1 << 28 };
    double best = 0;
    char *a = calloc(2, N_BYTES);
    for (int i = 0; a && i < 6; i++) {
        double t = clock_s(CLOCK_MONOTONIC);
        memcpy(a, a + N_BYTES, N_BYTES);
        a[N_BYTES] = a[i];
        t = clock_s(CLOCK_MONOTONIC) - t;
        if (i && 2e-9 * N_BYTES / t > best) best = 2e-9 * N_BYTES / t;
    }
    free(a);
    return best;
}

/* Ours alone: so many steps, then where the time went. */
static bool run_profile(const char *const *argv, int n_steps)
{
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvSession *s = NULL;
    if (adv_ctx_new(NULL, &ctx) != ADV_OK || adv_diags_open(ctx, &ds) != ADV_OK) return false;
    AdvStatus st = open_worker(ctx, ds, argv, ADV_SESSION_PROFILE, &s);
    if (st == ADV_OK) st = adv_session_step(s, (uint64_t)n_steps, ds);
    if (st == ADV_OK) adv_session_profile(s, to_stdout, NULL);
    else adv_diags_render(ds, ADV_PRINT_HUMAN, to_stderr, NULL);
    adv_session_close(s);
    printf("# memory copied by one thread: %.1f GB/s\n", copy_rate());
    return st == ADV_OK;
}

/* ---- sides --------------------------------------------------------------------------------------------------------------- */

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

/* ---- a case -------------------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *v, int n)
{
    double sorted[MAX_ROUNDS];
    memcpy(sorted, v, (size_t)n * sizeof *v);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

static void print_side(const Side *s, const Case *c, int n_rounds)
{
    double wall = median(s->wall, n_rounds), lo = s->wall[0], hi = s->wall[0];
    for (int r = 1; r < n_rounds; r++) {
        if (s->wall[r] < lo) lo = s->wall[r];
        if (s->wall[r] > hi) hi = s->wall[r];
    }
    printf("  %-5s %10.3f ms/step (%.3f .. %.3f) %10.1f img/s %10.3f cpu ms/step %8.0f MB peak %8.0f MB above start\n", s->name, 1e3 * wall,
           1e3 * lo, 1e3 * hi, strtod(c->batch, NULL) / wall, 1e3 * median(s->cpu, n_rounds), (double)s->peak_kb / 1024,
           (double)(s->peak_kb - s->base_kb) / 1024);
}

/* Medians of ratios of neighbours in time, against the format that is faster. */
static void print_ratios(const Side *s, const Case *c, int n_rounds)
{
    int best = median(s[1].wall, n_rounds) < median(s[2].wall, n_rounds) ? 1 : 2;
    int best_cpu = median(s[1].cpu, n_rounds) < median(s[2].cpu, n_rounds) ? 1 : 2;
    long peak = s[1].peak_kb < s[2].peak_kb ? s[1].peak_kb : s[2].peak_kb, more = s[1].peak_kb - s[1].base_kb;
    double wall[MAX_ROUNDS], cpu[MAX_ROUNDS];
    if (s[2].peak_kb - s[2].base_kb < more) more = s[2].peak_kb - s[2].base_kb;
    for (int r = 0; r < n_rounds; r++) wall[r] = s[best].wall[r] / s[0].wall[r], cpu[r] = s[best_cpu].cpu[r] / s[0].cpu[r];
    printf("  ratio %.2f (must %.2g, aim %.2g), by cpu time %.2f, memory %.2f, above start %.2f\n", median(wall, n_rounds), c->must, c->aim,
           median(cpu, n_rounds), (double)s[0].peak_kb / (double)peak, (double)(s[0].peak_kb - s[0].base_kb) / (double)more);
}

static bool run_case(const Case *c, const Opts *o)
{
    static Side side[N_SIDES];
    int n_sides = o->peer ? N_SIDES : 1;
    if (o->profile) {
        char recipe[4096];
        snprintf(recipe, sizeof recipe, "%s/%s.adv", o->recipes, c->recipe);
        return run_profile((const char *const[]){recipe, c->batch, o->n_threads}, o->n_rounds);
    }
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
    if (n_sides == N_SIDES) print_ratios(side, c, o->n_rounds);
    fflush(stdout);
    return true;
}

static bool is_wanted(const Case *c, int argc, char **argv)
{
    bool any = false;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') continue;
        if (!strcmp(argv[i], c->name)) return true;
        any = true;
    }
    return !any;
}

/* Reads RECIPES/cases.txt. Returns how many there are. */
static int read_cases(const Opts *o, Case cases[MAX_CASES])
{
    char path[4096], line[256];
    int n = 0;
    snprintf(path, sizeof path, "%s/cases.txt", o->recipes);
    FILE *f = fopen(path, "r");
    while (f && n < MAX_CASES && fgets(line, sizeof line, f)) {
        Case *c = &cases[n];
        n += sscanf(line, "%31s %63s %15s %31s %31s %lf %lf", c->name, c->recipe, c->batch, c->network, c->method, &c->must, &c->aim) == 7;
    }
    if (f) fclose(f);
    return n;
}

static bool read_opts(Opts *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        value = value ? value + 1 : "";
        if (argv[i][0] != '-') continue;
        if (!strncmp(argv[i], "--threads=", 10)) o->n_threads = value;
        else if (!strncmp(argv[i], "--rounds=", 9)) o->n_rounds = (int)strtol(value, NULL, 10);
        else if (!strncmp(argv[i], "--seconds=", 10)) o->seconds = strtod(value, NULL);
        else if (!strncmp(argv[i], "--peer=", 7)) o->peer = value;
        else if (!strncmp(argv[i], "--recipes=", 10)) o->recipes = value;
        else if (!strcmp(argv[i], "--no-peer")) o->peer = NULL;
        else if (!strcmp(argv[i], "--profile")) o->profile = true;
        else return false;
    }
    return o->n_rounds > 0 && o->n_rounds <= MAX_ROUNDS && strtol(o->n_threads, NULL, 10) > 0;
}

int main(int argc, char **argv)
{
    static Case cases[MAX_CASES];
    Opts o = {argv[0], "tools/bench/torch_peer.py", "tools/bench", 5, "2", 0.5, false};
    int rc = 0;
    if (argc == 5 && !strcmp(argv[1], "--worker")) return run_worker((const char *const *)argv + 2);
    signal(SIGPIPE, SIG_IGN);
    if (!read_opts(&o, argc, argv)) {
        fputs(usage, stderr);
        return 64;
    }
    int n_cases = read_cases(&o, cases);
    if (!n_cases) fprintf(stderr, "bench: no cases in `%s/cases.txt`\n", o.recipes);
    for (int i = 0; i < n_cases; i++)
        if (is_wanted(&cases[i], argc, argv) && !run_case(&cases[i], &o)) {
            fprintf(stderr, "bench: a side of case `%s` does not run\n", cases[i].name);
            rc = 1;
        }
    return n_cases ? rc : 66;
}
