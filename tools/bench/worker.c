/* worker.c: our side: a session that runs steps when told to, is opened and timed, or profiled.
**
** A worker speaks in lines: it prints `ready BASE_KB` (memory before the network is there), answers `go N` with
** `SECONDS CPU_SECONDS` for N steps, and `quit` with its peak memory in KB, without the data set, since the peer holds a batch only.
*/
#include "tools/bench/bench.h"

#include "compiler/adv_compile.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

double bench_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const double *v, int n)
{
    double sorted[MAX_ROUNDS];
    memcpy(sorted, v, (size_t)n * sizeof *v);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

void bench_to_stdout(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stdout);
}

static void to_stderr(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stderr);
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

/* ---- a session ----------------------------------------------------------------------------------------------------------- */

typedef struct Ours {
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan;
    AdvSession *s;
    uint64_t data_bytes; /* of the data sets bound to it */
} Ours;

static AdvStatus load_plan(Ours *w, const char *recipe, const char *batch)
{
    static const char *const plugins[] = {BENCH_PLUGIN}; /* where it was built */
    AdvSet set = {"batch", batch};
    AdvCompileOpts co = {.struct_size = sizeof co, .name = recipe, .targets = "cpu", .allow = "all", .sets = &set, .n_sets = 1,
                         .plugins = plugins, .n_plugins = 1};
    void *bytes;
    uint64_t n_bytes;
    AdvStatus st = adv_compile(&co, w->ds, &bytes, &n_bytes);
    if (st != ADV_OK) return st;
    st = adv_plan_load(w->ctx, bytes, (size_t)n_bytes, w->ds, &w->plan);
    adv_compile_free(&co, bytes, n_bytes);
    return st;
}

/* Gives a data state memory with some numbers in it: bytes of images, class numbers below 10. */
static AdvStatus bind_numbers(Ours *w, const char *state)
{
    AdvTensorType t;
    AdvView v = {0};
    int64_t n = 1;
    if (adv_session_type(w->s, state, &t) != ADV_OK) return ADV_OK;
    v.dtype = t.dtype;
    v.rank = t.rank;
    for (uint32_t d = t.rank; d-- > 0; n *= t.dim[d]) v.dim[d] = t.dim[d], v.stride[d] = n;
    bool is_bytes = t.dtype == ADV_U8;
    size_t n_bytes = (size_t)n * (is_bytes ? 1 : sizeof(int32_t));
    v.data = malloc(n_bytes);
    if (!v.data) return ADV_ENOMEM;
    for (int64_t i = 0; i < n; i++) {
        uint32_t r = (uint32_t)i * 2654435761u >> 8;
        if (is_bytes) ((uint8_t *)v.data)[i] = (uint8_t)r;
        else ((int32_t *)v.data)[i] = (int32_t)(r % 10);
    }
    w->data_bytes += n_bytes;
    return adv_session_bind(w->s, state, &v, w->ds);
}

static AdvStatus open_session(Ours *w, const char *n_threads, uint32_t flags)
{
    AdvSessionOpts so = {.struct_size = sizeof so, .n_threads = (uint32_t)strtol(n_threads, NULL, 10), .flags = ADV_SESSION_STRICT | flags};
    return adv_session_open(w->ctx, w->plan, &so, w->ds, &w->s);
}

static AdvStatus open_ours(Ours *w, const char *const *argv, uint32_t flags)
{
    static const char *const states[] = {"data.train.x", "data.train.y", "data.test.x", "data.test.y"};
    memset(w, 0, sizeof *w);
    AdvCtxOpts opts = {.struct_size = sizeof opts, .flags = ADV_CTX_PLAN_PLUGINS};
    if (adv_ctx_new(&opts, &w->ctx) != ADV_OK || adv_diags_open(w->ctx, &w->ds) != ADV_OK) return ADV_ENOMEM;
    AdvStatus st = load_plan(w, argv[0], argv[1]);
    if (st == ADV_OK) st = open_session(w, argv[2], flags);
    for (size_t i = 0; st == ADV_OK && i < sizeof states / sizeof *states; i++) st = bind_numbers(w, states[i]);
    return st;
}

/* The process ends behind this: what was bound is given back with it. */
static bool close_ours(Ours *w, AdvStatus st)
{
    if (st != ADV_OK) adv_diags_render(w->ds, ADV_PRINT_HUMAN, to_stderr, NULL);
    adv_session_close(w->s);
    adv_plan_close(w->plan);
    return st == ADV_OK;
}

int bench_worker(const char *const *argv)
{
    Ours w;
    char line[64];
    long base = memory_kb("VmRSS:");
    AdvStatus st = open_ours(&w, argv, 0);
    if (st == ADV_OK) printf("ready %ld\n", base);
    fflush(stdout);
    while (st == ADV_OK && fgets(line, sizeof line, stdin) && strncmp(line, "quit", 4) != 0) {
        double wall = bench_clock(CLOCK_MONOTONIC), cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
        st = adv_session_step(w.s, strtoul(line + 3, NULL, 10), w.ds);
        printf("%.9f %.9f\n", bench_clock(CLOCK_MONOTONIC) - wall, bench_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu);
        fflush(stdout);
    }
    if (st == ADV_OK) printf("%ld\n", memory_kb("VmHWM:") - (long)(w.data_bytes / 1024));
    return close_ours(&w, st) ? 0 : 1;
}

int bench_opener(const char *const *argv)
{
    Ours w = {0};
    if (adv_ctx_new(NULL, &w.ctx) != ADV_OK || adv_diags_open(w.ctx, &w.ds) != ADV_OK) return 1;
    AdvStatus st = load_plan(&w, argv[0], argv[1]);
    double wall = bench_clock(CLOCK_MONOTONIC), cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
    if (st == ADV_OK) st = open_session(&w, argv[2], 0);
    if (st == ADV_OK) printf("%.9f %.9f\n", bench_clock(CLOCK_MONOTONIC) - wall, bench_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    return close_ours(&w, st) ? 0 : 1;
}

bool bench_profile(const char *const *argv, int n_steps, void (*write)(void *user, const char *text, size_t n_bytes), void *user)
{
    Ours w;
    AdvStatus st = open_ours(&w, argv, ADV_SESSION_PROFILE);
    if (st == ADV_OK) st = adv_session_step(w.s, (uint64_t)n_steps, w.ds);
    if (st == ADV_OK) adv_session_profile(w.s, write, user);
    return close_ours(&w, st);
}

/* ---- copying ------------------------------------------------------------------------------------------------------------- */

enum { COPY_BYTES = 1 << 27, COPY_TIMES = 5, MAX_COPIERS = 64 };

typedef struct Copier { pthread_t thread; char *memory; bool runs; } Copier;

static void *copy_once(void *at)
{
    Copier *c = at;
    memcpy(c->memory, c->memory + COPY_BYTES, COPY_BYTES);
    return NULL;
}

double bench_copy_rate(int n_threads)
{
    Copier c[MAX_COPIERS] = {0};
    double best = 0;
    int n = n_threads < MAX_COPIERS ? n_threads : MAX_COPIERS;
    for (int k = 0; k < n; k++)
        if ((c[k].memory = malloc(2 * COPY_BYTES))) memset(c[k].memory, k, 2 * COPY_BYTES);
    for (int i = 0; i < COPY_TIMES; i++) {
        double t = bench_clock(CLOCK_MONOTONIC), bytes = 0;
        for (int k = 1; k < n; k++) c[k].runs = c[k].memory && !pthread_create(&c[k].thread, NULL, copy_once, &c[k]);
        if (c[0].memory) copy_once(&c[0]), bytes += 2.0 * COPY_BYTES;
        for (int k = 1; k < n; k++)
            if (c[k].runs) pthread_join(c[k].thread, NULL), bytes += 2.0 * COPY_BYTES;
        t = bench_clock(CLOCK_MONOTONIC) - t;
        if (1e-9 * bytes / t > best) best = 1e-9 * bytes / t;
    }
    for (int k = 0; k < n; k++) free(c[k].memory);
    return best;
}
