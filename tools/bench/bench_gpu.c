/* bench_gpu.c: images a second of adversarial training on a GPU, memory, and the time to open.
**
**   bench_gpu [--backend-dir=FOLDER] [--cache=FOLDER] [--recipes=FOLDER] [--cases=FILE] [--steps=N] [--warm=N] [CASE...]
**
** A case is a line of tools/bench/gpu_cases.txt: a recipe, a piece of it put in place of another, a batch and other settings.
** Each is compiled in memory, opened twice (without and with what the first kept in the cache folder), given a data set of
** made-up numbers, and run: steps to warm up and record (20), then N (40) in one call, timed by the clock around it. Warnings go to
** stderr. Of the case `bandwidth` each instruction is timed by itself, and those with operands of at least 256 MB are set against a copy
** of the same run. Bytes are those of the operands, each once, but for batch norm in training mode, which has to read some twice: they
** are counted twice here. The plan's costs (adv_sig_bytes) count them once.
** The device's own peak is what the plan takes plus the libraries' workspaces, which nvidia-smi shows; printed is the plan's.
** Compare with PyTorch in the same run, on the same machine, or not at all.
*/
#include "compiler/adv_compile.h"
#include "ops/adv_op.h"
#include "runtime/adv.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_CASES = 32, MAX_SETS = 4 };

/* Texts of a line. from, to: a piece of the recipe's text and what stands there instead, or "". */
typedef struct Case { char line[512]; char *name, *recipe, *from, *to, *sets[MAX_SETS + 1]; double must_img_s; } Case;

typedef struct Opts { const char *backend_dir, *cache, *recipes, *cases; uint64_t n_steps, n_warm; } Opts;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void to_stderr(void *user, const char *text, size_t n)
{
    (void)user;
    fwrite(text, 1, n, stderr);
}

static void log_line(void *user, int32_t level, const char *text, size_t n)
{
    (void)user;
    (void)level;
    fprintf(stderr, "%.*s\n", (int)n, text);
}

/* The next field of a line, without blanks around it; "" at the end. */
static char *field(char **at)
{
    char *f = *at + strspn(*at, " \t"), *end = f + strcspn(f, "|\n");
    *at = *end == '|' ? end + 1 : end;
    while (end > f && (end[-1] == ' ' || end[-1] == '\t')) end--;
    *end = 0;
    return f;
}

/* Number of cases, or -1. */
static int read_cases(const char *path, Case *cases)
{
    FILE *f = fopen(path, "r");
    int n = 0;
    if (!f) return -1;
    while (n < MAX_CASES && fgets(cases[n].line, sizeof cases[n].line, f)) {
        Case *c = &cases[n];
        char *at = c->line;
        if (*at == '#' || *at == '\n') continue;
        c->name = field(&at);
        c->recipe = field(&at);
        c->must_img_s = strtod(field(&at), NULL);
        c->from = field(&at);
        c->to = field(&at);
        char *set = strtok_r(field(&at), " ", &at);
        for (int k = 0; set && k < MAX_SETS; k++, set = strtok_r(NULL, " ", &at)) c->sets[k] = set;
        n++;
    }
    fclose(f);
    return n;
}

static char *read_text(const char *dir, const char *name, char path[4096], size_t *out_n)
{
    snprintf(path, 4096, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, 1 << 20) : NULL;
    if (text) *out_n = fread(text, 1, (1 << 20) - 1, f);
    if (f) fclose(f);
    return text;
}

/* Puts `to` where `from` stands first; false if it stands nowhere. */
static bool replace(char *text, const char *from, const char *to)
{
    char *at = strstr(text, from);
    size_t n = strlen(from), m = strlen(to);
    if (!at) return false;
    memmove(at + m, at + n, strlen(at + n) + 1);
    memcpy(at, to, m);
    return true;
}

/* Puts `value` behind "KEY = " wherever a number stands there: a batch and a number of turns are no params in every recipe. */
static void put_number(char *text, const char *key, const char *value)
{
    char *at = text;
    while ((at = strstr(at, key))) {
        at += strlen(key);
        size_t n = strspn(at, "0123456789"), m = strlen(value);
        if (!n) continue;
        memmove(at + m, at + n, strlen(at + n) + 1);
        memcpy(at, value, m);
    }
}

/* The rest are settings that every recipe takes. */
static uint32_t apply(const Case *c, char *text, AdvSet *sets)
{
    uint32_t n = 0;
    for (int i = 0; c->sets[i]; i++) {
        const char *eq = strchr(c->sets[i], '=');
        char key[64];
        snprintf(key, sizeof key, "%.*s = ", (int)(eq - c->sets[i]), c->sets[i]);
        if (strchr(key, '.')) {
            static char names[MAX_SETS][64];
            snprintf(names[n], sizeof names[n], "%.*s", (int)(eq - c->sets[i]), c->sets[i]);
            sets[n] = (AdvSet){names[n], eq + 1};
            n++;
        } else {
            put_number(text, key, eq + 1);
        }
    }
    return n;
}

static AdvStatus bind_numbers(AdvSession *s, AdvDiags *ds)
{
    const char *name;
    int32_t kind, saved;
    for (uint32_t i = 0; (name = adv_session_state(s, i, &kind, &saved)) != NULL; i++) {
        AdvTensorType t;
        AdvView v = {0};
        int64_t n = 1;
        if (kind != ADV_STATE_DATA || adv_session_type(s, name, &t) != ADV_OK) continue;
        v.dtype = t.dtype;
        v.rank = t.rank;
        for (uint32_t d = t.rank; d-- > 0; n *= t.dim[d]) v.dim[d] = t.dim[d], v.stride[d] = n;
        v.data = calloc((size_t)n, t.dtype == ADV_U8 ? 1 : 4);
        if (!v.data) return ADV_ENOMEM;
        for (int64_t k = 0; k < n; k++) {
            uint32_t r = (uint32_t)k * 2654435761u >> 8;
            if (t.dtype == ADV_U8) ((uint8_t *)v.data)[k] = (uint8_t)r;
            else if (t.dtype == ADV_I32) ((int32_t *)v.data)[k] = (int32_t)(r % 10);
        }
        AdvStatus st = adv_session_bind(s, name, &v, ds);
        free(v.data);   /* other devices have a copy of their own */
        if (st != ADV_OK) return st;
    }
    return ADV_OK;
}

static AdvStatus measure(const Case *c, const Opts *o, AdvSession *s, AdvDiags *ds, double cold_s, double warm_s)
{
    AdvSessionInfo info = {.struct_size = sizeof info};
    AdvTensorType x;
    AdvStatus st = bind_numbers(s, ds);
    if (st == ADV_OK) st = adv_session_step(s, o->n_warm, ds);
    double t0 = now_s();
    if (st == ADV_OK) st = adv_session_step(s, o->n_steps, ds);
    double s_step = (now_s() - t0) / (double)o->n_steps;
    if (st == ADV_OK) st = adv_session_info(s, &info);
    if (st == ADV_OK) st = adv_session_type(s, "x", &x);
    if (st != ADV_OK) return st;
    double img_s = (double)x.dim[0] / s_step;
    printf("%-14s %6lld %10.2f %10.0f %10.0f %7.2f %9.0f %8.2f %8.2f  %s\n", c->name, (long long)x.dim[0], s_step * 1e3, img_s,
           c->must_img_s, c->must_img_s > 0 ? img_s / c->must_img_s : 0,
           (double)(info.state_bytes + info.temp_bytes + info.const_bytes + info.scratch_bytes + info.data_bytes) / 1e6, cold_s, warm_s,
           info.device);
    fflush(stdout);
    return ADV_OK;
}

/* ---- bandwidth ------------------------------------------------------------------------------------------------- */

#define LARGE 256e6 /* bytes */
enum { MAX_RATES = 32 };

/* By op: what the slowest of its large instructions moves in its best run. */
typedef struct Rates { struct { char op[32]; double gb_s; } at[MAX_RATES]; int n; } Rates;

/* What an op moves, in bytes of its operands: the sums of a normalisation read x, and a gradient's gy too, before the last pass does. */
static double passes(const char *op, const char *line)
{
    if (!strcmp(op, "bn_train")) return 3.0 / 2;
    if (!strcmp(op, "bn_relu")) return strstr(line, " skip=") ? 4.0 / 3 : 3.0 / 2;
    return !strcmp(op, "bn_grad") || !strcmp(op, "bn_relu_grad") ? 5.0 / 3 : 1;
}

static void hear_line(void *user, const char *text, size_t n_bytes)
{
    Rates *r = user;
    char line[1024], op[32];
    int n_runs, k = 0;
    double us, best, gb_s;
    snprintf(line, sizeof line, "%.*s", (int)n_bytes, text);
    const char *runs = strstr(line, "  # ");
    if (runs) runs = strchr(runs, ',');
    if (!runs || sscanf(runs, ", %d runs, %lf us, best %lf us, %lf GB/s", &n_runs, &us, &best, &gb_s) != 4 || best <= 0) return;
    if (sscanf(line, "%31s", op) != 1 || !strcmp(op, "matmul") || n_runs < 2 || us * gb_s * 1e3 < LARGE) return;
    while (k < r->n && strcmp(r->at[k].op, op) != 0) k++;
    if (k == MAX_RATES) return;
    gb_s *= us / best * passes(op, line);
    if (k < r->n && r->at[k].gb_s <= gb_s) return;
    snprintf(r->at[k].op, sizeof r->at[k].op, "%s", op);
    r->at[k].gb_s = gb_s;
    if (k == r->n) r->n++;
}

static AdvStatus measure_rates(const Opts *o, AdvSession *s, AdvDiags *ds)
{
    Rates r = {.n = 0};
    double copy = 0;
    AdvStatus st = bind_numbers(s, ds);
    if (st == ADV_OK) st = adv_session_step(s, o->n_warm, ds);
    if (st != ADV_OK) return st;
    adv_session_profile(s, hear_line, &r);
    for (int k = 0; k < r.n; k++)
        if (!strcmp(r.at[k].op, "copy")) copy = r.at[k].gb_s;
    if (copy <= 0) printf("%-14s no copy moves 256 MB\n", "bandwidth");
    for (int k = 0; k < r.n && copy > 0; k++)
        printf("%-14s %-24s %8.0f GB/s %6.0f%% of copying\n", "bandwidth", r.at[k].op, r.at[k].gb_s, 100 * r.at[k].gb_s / copy);
    return ADV_OK;
}

/* ---- cases ----------------------------------------------------------------------------------------------------- */

static AdvStatus run_case(const Case *c, const Opts *o, AdvCtx *ctx, AdvDiags *ds, char *text, const char *path)
{
    AdvSet sets[MAX_SETS];
    if (c->from[0] && !replace(text, c->from, c->to)) {
        fprintf(stderr, "bench_gpu: `%s` does not stand in %s\n", c->from, path);
        return ADV_EINVAL;
    }
    AdvCompileOpts co = {
        .struct_size = sizeof co, .name = path, .text = text, .sets = sets, .n_sets = apply(c, text, sets), .targets = "cuda"};
    AdvSessionOpts so = {.struct_size = sizeof so, .backend = "cuda", .backend_dir = o->backend_dir, .cache_dir = o->cache};
    AdvPlan *plan = NULL;
    AdvSession *s = NULL;
    void *bytes = NULL;
    uint64_t n_bytes = 0;
    double open_s[2] = {0, 0};
    bool by_instruction = !strcmp(c->name, "bandwidth");
    if (by_instruction) so.flags = ADV_SESSION_PROFILE;
    co.n_bytes = strlen(text);
    AdvStatus st = adv_compile(&co, ds, &bytes, &n_bytes);
    if (st == ADV_OK) st = adv_plan_load(ctx, bytes, (size_t)n_bytes, ds, &plan);
    for (int k = 0; st == ADV_OK && k < 2; k++) {
        adv_session_close(s);
        double t0 = now_s();
        st = adv_session_open(ctx, plan, &so, ds, &s);
        open_s[k] = now_s() - t0;
    }
    if (st == ADV_OK) st = by_instruction ? measure_rates(o, s, ds) : measure(c, o, s, ds, open_s[0], open_s[1]);
    adv_session_close(s);
    adv_plan_close(plan);
    if (bytes) adv_compile_free(&co, bytes, n_bytes);
    return st;
}

static bool is_wanted(const Case *c, int argc, char **argv)
{
    bool any = false;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') continue;
        any = true;
        if (!strcmp(argv[i], c->name)) return true;
    }
    return !any;
}

int main(int argc, char **argv)
{
    static Case cases[MAX_CASES];
    Opts o = {.recipes = "recipes", .cases = "tools/bench/gpu_cases.txt", .n_steps = 40, .n_warm = 20};
    AdvCtxOpts log = {.struct_size = sizeof log, .log = log_line};
    AdvCtx *ctx = NULL;
    int rc = 0;
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--backend-dir=", 14)) o.backend_dir = argv[i] + 14;
        else if (!strncmp(argv[i], "--cache=", 8)) o.cache = argv[i] + 8;
        else if (!strncmp(argv[i], "--recipes=", 10)) o.recipes = argv[i] + 10;
        else if (!strncmp(argv[i], "--cases=", 8)) o.cases = argv[i] + 8;
        else if (!strncmp(argv[i], "--steps=", 8)) o.n_steps = strtoull(argv[i] + 8, NULL, 10);
        else if (!strncmp(argv[i], "--warm=", 7)) o.n_warm = strtoull(argv[i] + 7, NULL, 10);
        else if (argv[i][0] == '-') return fprintf(stderr, "bench_gpu: unknown option %s\n", argv[i]), 64;
    }
    if (!o.n_steps || !o.n_warm) return fprintf(stderr, "bench_gpu: --steps and --warm need a number\n"), 64;
    int n_cases = read_cases(o.cases, cases);
    if (n_cases < 0) return fprintf(stderr, "bench_gpu: cannot read %s\n", o.cases), 66;
    if (adv_ctx_new(&log, &ctx) != ADV_OK) return 71;
    printf("%-14s %6s %10s %10s %10s %7s %9s %8s %8s  %s\n", "case", "batch", "ms/step", "img/s", "must", "ratio", "plan MB", "cold s",
           "warm s", "device");
    for (const Case *c = cases; c < cases + n_cases; c++) {
        char path[4096];
        size_t n = 0;
        AdvDiags *ds = NULL;
        if (!is_wanted(c, argc, argv)) continue;
        char *text = read_text(o.recipes, c->recipe, path, &n);
        if (!text) return fprintf(stderr, "bench_gpu: cannot read %s\n", path), 66;
        if (adv_diags_open(ctx, &ds) != ADV_OK) return 71;
        AdvStatus st = run_case(c, &o, ctx, ds, text, path);
        if (st != ADV_OK) {
            adv_diags_render(ds, ADV_PRINT_HUMAN, to_stderr, NULL);
            printf("%-14s %s\n", c->name, adv_status_name(st));
            rc = adv_status_exit(st);
        }
        adv_diags_free(ds);
        free(text);
    }
    adv_ctx_free(ctx);
    return rc;
}
