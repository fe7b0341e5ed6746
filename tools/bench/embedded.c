/* embedded.c: what a step costs through the C API against the same step in advrun: nothing that can be measured is the aim.
**
**   bench_embedded ADVRUN RECIPE [ROUNDS [STEPS [EPOCHS]]]
**
** The two take turns. Here steps are asked for one at a time, the dearest way; advrun runs its program, and its run folder says when
** steps ended. Medians of ROUNDS rounds of STEPS steps behind a tenth of them as a start, one thread; the run must be longer than that.
** EPOCHS shortens it, since advrun goes on to the end.
*/
#include "compiler/adv_compile.h"
#include "runtime/adv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ROUNDS = 99 };

static void print(void *user, const char *text, size_t n_bytes) { fwrite(text, 1, n_bytes, user); }

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of one step here. */
static AdvStatus time_here(AdvCtx *ctx, const AdvPlan *plan, uint64_t n_steps, AdvDiags *ds, double *out)
{
    AdvSessionOpts so = {.struct_size = sizeof so, .n_threads = 1};
    AdvPlanInfo info = {.struct_size = sizeof info};
    AdvSession *s = NULL;
    double begin = 0;
    AdvStatus st = adv_session_open(ctx, plan, &so, ds, &s);
    if (st == ADV_OK) st = adv_plan_info(plan, &info);
    if (st == ADV_OK && info.data) st = adv_session_bind_file(s, NULL, ds);
    for (uint64_t i = 0; st == ADV_OK && i < n_steps + n_steps / 10; i++) {
        if (i == n_steps / 10) begin = now();
        st = adv_session_step(s, 1, ds);
    }
    *out = (now() - begin) / (double)n_steps;
    adv_session_close(s);
    return st;
}

/* Seconds of one step of advrun, from the times in its events. */
static int time_advrun(const char *advrun, const char *plan, unsigned long n_steps, double *out)
{
    char command[4096], line[4096];
    unsigned long n, first = 0, last = 0;
    double begin = 0, end = 0, t;
    snprintf(command, sizeof command,
             "rm -rf %s.run; %s --threads=1 --progress=none --run-dir=%s.run %s >/dev/null && cat %s.run/events.jsonl", plan, advrun, plan,
             plan, plan);
    FILE *f = popen(command, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "{\"kind\":\"step\",\"t\":%lf,\"epoch\":%*d,\"step\":%lu", &t, &n) != 2) continue;
        if (!first && n >= n_steps / 10) first = n, begin = t;
        if (n <= n_steps + n_steps / 10) last = n, end = t;
    }
    *out = last > first ? (end - begin) / (double)(last - first) : 0;
    return f && pclose(f) == 0 && *out > 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static AdvStatus compile(AdvCtx *ctx, const char *recipe, const char *epochs, const char *path, AdvDiags *ds, AdvPlan **out)
{
    AdvSet set = {"train.epochs", epochs};
    AdvCompileOpts co = {.struct_size = sizeof co, .name = recipe, .targets = "cpu", .sets = &set, .n_sets = epochs != NULL};
    void *bytes;
    uint64_t n_bytes;
    AdvStatus st = adv_compile(&co, ds, &bytes, &n_bytes);
    if (st != ADV_OK) return st;
    FILE *f = fopen(path, "wb");
    int is_whole = f && fwrite(bytes, 1, n_bytes, f) == n_bytes;
    if (f && fclose(f)) is_whole = 0;
    if (!is_whole) st = ADV_EIO;
    if (st == ADV_OK) st = adv_plan_load(ctx, bytes, n_bytes, ds, out);
    adv_compile_free(&co, bytes, n_bytes);
    return st;
}

int main(int argc, char **argv)
{
    double here[MAX_ROUNDS], there[MAX_ROUNDS], ratio[MAX_ROUNDS];
    int n_rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 9;
    unsigned long n_steps = argc > 4 ? strtoul(argv[4], NULL, 10) : 200;
    char path[] = "/tmp/embedded-XXXXXX";
    AdvCtxOpts xo = {.struct_size = sizeof xo, .data_dir = getenv("ADV_DATA")};
    AdvCtx *ctx = NULL;
    AdvDiags *ds = NULL;
    AdvPlan *plan = NULL;
    if (argc < 3 || n_rounds < 1 || n_rounds > MAX_ROUNDS || n_steps < 10 || mkstemp(path) < 0) {
        fprintf(stderr, "bench_embedded ADVRUN RECIPE [ROUNDS [STEPS [EPOCHS]]]\n");
        return 64;
    }
    AdvStatus st = adv_ctx_new(&xo, &ctx);
    if (st == ADV_OK) st = adv_diags_open(ctx, &ds);
    if (st == ADV_OK) st = compile(ctx, argv[2], argc > 5 ? argv[5] : NULL, path, ds, &plan);
    for (int r = 0; st == ADV_OK && r < n_rounds; r++) {
        st = time_here(ctx, plan, n_steps, ds, &here[r]);
        if (st == ADV_OK && !time_advrun(argv[1], path, n_steps, &there[r])) {
            fprintf(stderr, "bench_embedded: `%s` does not run, or not for %lu steps\n", argv[1], n_steps + n_steps / 10);
            st = ADV_EUNAVAILABLE;
        }
        if (st == ADV_OK) ratio[r] = here[r] / there[r];
    }
    if (st == ADV_OK) {
        qsort(here, (size_t)n_rounds, sizeof *here, by_size);
        qsort(there, (size_t)n_rounds, sizeof *there, by_size);
        qsort(ratio, (size_t)n_rounds, sizeof *ratio, by_size);
        printf("%s: %.2f us a step here, %.2f us in advrun, ratio %.4f (%.4f .. %.4f); of the best rounds %.2f, %.2f, ratio %.4f\n",
               argv[2], 1e6 * here[n_rounds / 2], 1e6 * there[n_rounds / 2], ratio[n_rounds / 2], ratio[0], ratio[n_rounds - 1],
               1e6 * here[0], 1e6 * there[0], here[0] / there[0]);
    }
    if (ds) adv_diags_render(ds, ADV_PRINT_HUMAN, print, stderr);
    adv_plan_close(plan);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    remove(path);
    return adv_status_exit(st);
}
