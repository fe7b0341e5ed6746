/* run_show.c: what people see of a run: the first screen and progress on stderr, results on stdout.
**
** A terminal gets one live line with finished epochs above it; anything else gets plain lines, one an epoch and one every ten
** seconds, and never a carriage return. Values with unit "1/255" are shown as n/255; nothing stored is scaled.
*/
#include "tools/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

void show_init(Show *s, const char *progress)
{
    const char *term = getenv("TERM");
    bool is_terminal = isatty(2) && !(term && !strcmp(term, "dumb"));
    memset(s, 0, sizeof *s);
    s->first_step = -1;
    s->mode = is_terminal ? SHOW_LIVE : SHOW_PLAIN;
    if (!progress || !strcmp(progress, "auto")) return;
    s->mode = !strcmp(progress, "plain") ? SHOW_PLAIN : !strcmp(progress, "json") ? SHOW_JSON : SHOW_NONE;
}

/* ---- first screen ---------------------------------------------------------------------------------------------------- */

static double mb(uint64_t n_bytes) { return (double)n_bytes / 1e6; }

void show_first_screen(const AdvPlan *plan, const AdvSession *s, const char *plan_path, const char *data_path, const char *dir)
{
    AdvPlanInfo p = {.struct_size = sizeof p};
    AdvSessionInfo i = {.struct_size = sizeof i};
    if (adv_plan_info(plan, &p) || adv_session_info(s, &i)) return;
    fprintf(stderr, "recipe        %s (%s), plan %.16s\n", p.recipe, plan_path, p.hash);
    fprintf(stderr, "back end      %s (%s): %s; target %s, precision %s\n", i.backend, i.why, i.device, i.target, p.precision);
    fprintf(stderr, "memory        %.1f MB planned: states %.1f, values %.1f, constants %.1f, kernels %.1f, data %.1f\n",
            mb(i.state_bytes + i.temp_bytes + i.const_bytes + i.scratch_bytes + i.data_bytes), mb(i.state_bytes), mb(i.temp_bytes),
            mb(i.const_bytes), mb(i.scratch_bytes), mb(i.data_bytes));
    fprintf(stderr, "instructions  %u, of which %u run on ref\n", i.n_insts, i.n_on_ref);
    if (p.data && data_path[0])
        fprintf(stderr, "data          %s: %s, %.1f MB, digest %s\n", p.data, data_path, mb(i.data_bytes), i.data_digest);
    fprintf(stderr, "program       %" PRId64 " epochs of %" PRId64 " steps of %" PRId64 " samples, seed %" PRId64 "\n", p.epochs, p.steps,
            p.batch, p.seed);
    const char *name, *origin;
    double value;
    for (uint32_t k = 0; !adv_plan_param(plan, k, &name, &value, &origin); k++)
        fprintf(stderr, "%s%s = %.6g (%s)\n", k ? "              " : "params        ", name, value, origin);
    if (dir[0]) fprintf(stderr, "run folder    %s\n", dir);
}

/* ---- values ------------------------------------------------------------------------------------------------------------ */

/* A number in its unit: "6.2/255" or "0.173". */
static const char *number(char text[32], double x, const char *unit)
{
    if (!strcmp(unit, "1/255")) snprintf(text, 32, "%.2f/255", x * 255);
    else snprintf(text, 32, "%.4g", x);
    return text;
}

static int put_metric(char *to, size_t n, const AdvMetric *m)
{
    char a[32], b[32], c[32];
    if (m->kind == ADV_METRIC_NUMBER) return snprintf(to, n, "  %s %s", m->name, number(a, m->value, m->unit));
    return snprintf(to, n, "  %s %s [%s %s]", m->name, number(a, m->value, m->unit), number(b, m->min, m->unit),
                    number(c, m->max, m->unit));
}

static void put_metrics(char *to, size_t n, const AdvMetric *ms, uint32_t n_ms)
{
    size_t at = 0;
    to[0] = 0;
    for (uint32_t i = 0; i < n_ms && at < n; i++) {
        int k = put_metric(to + at, n - at, &ms[i]);
        if (k < 0) return;
        at += (size_t)k;
    }
}

static void put_time(char text[32], double seconds)
{
    if (!isfinite(seconds) || seconds < 0) snprintf(text, 32, "?");
    else if (seconds < 10) snprintf(text, 32, "%.1fs", seconds);
    else if (seconds < 100) snprintf(text, 32, "%.0fs", seconds);
    else if (seconds < 6000) snprintf(text, 32, "%.0fm%02.0fs", floor(seconds / 60), fmod(seconds, 60));
    else snprintf(text, 32, "%.0fh%02.0fm", floor(seconds / 3600), floor(fmod(seconds, 3600) / 60));
}

/* ---- lines --------------------------------------------------------------------------------------------------------------- */

/* One line less a column, so that it never wraps. */
static int width(void)
{
    struct winsize w;
    return !ioctl(2, TIOCGWINSZ, &w) && w.ws_col > 1 ? w.ws_col - 1 : 79;
}

static void live(Show *s, const char *text)
{
    fprintf(stderr, "\r%.*s\033[K", width(), text);
    fflush(stderr);
    s->has_line = true;
}

static void line(Show *s, const char *text)
{
    fprintf(stderr, "%s%s%s\n", s->has_line ? "\r" : "", text, s->has_line ? "\033[K" : "");
    s->has_line = false;
}

void show_end_line(Show *s)
{
    if (s->has_line) fputc('\n', stderr);
    s->has_line = false;
}

static void on_step(Show *s, const AdvEvent *e)
{
    char text[2048], metrics[1600], eta[32];
    s->n_steps++;
    if (s->first_step < 0) {
        s->first_step = e->total_step - 1;
        s->first_ns = 0;
    }
    if (e->elapsed_ns - s->shown_ns < (s->mode == SHOW_LIVE ? 100 * MS : 10000 * MS)) return;
    s->shown_ns = e->elapsed_ns;
    double rate = (double)(e->total_step - s->first_step) / ((double)e->elapsed_ns / 1e9);
    put_time(eta, (double)(e->n_total - e->total_step) / rate);
    put_metrics(metrics, sizeof metrics, e->metrics, e->n_metrics);
    snprintf(text, sizeof text, "epoch %" PRId64 "/%" PRId64 "  step %" PRId64 "/%" PRId64 "  %.2f it/s%s  eta %s", e->epoch, e->n_epochs,
             e->step, e->n_steps, rate, metrics, eta);
    if (s->mode == SHOW_LIVE) live(s, text);
    else line(s, text);
}

static void keep_metrics(Show *s, const AdvEvent *e)
{
    s->n_metrics = 0;
    s->metrics_epoch = e->epoch;
    for (uint32_t i = 0; i < e->n_metrics && s->n_metrics < SHOW_MAX; i++) {
        ShowMetric *k = &s->metrics[s->n_metrics++];
        k->m = e->metrics[i];
        snprintf(k->name, sizeof k->name, "%s", k->m.name);
        snprintf(k->unit, sizeof k->unit, "%s", k->m.unit);
    }
}

static void on_epoch(Show *s, const AdvEvent *e)
{
    char text[2048], metrics[1600], took[32];
    keep_metrics(s, e);
    put_metrics(metrics, sizeof metrics, e->metrics, e->n_metrics);
    put_time(took, (double)e->elapsed_ns / 1e9);
    snprintf(text, sizeof text, "epoch %" PRId64 "/%" PRId64 " done%s  after %s", e->epoch, e->n_epochs, metrics, took);
    line(s, text);
}

static void keep_rows(Show *s, const AdvEvent *e)
{
    for (uint32_t i = 0; i < e->n_rows; i++) {
        ShowRow *k = NULL;
        for (int j = 0; j < s->n_rows && !k; j++)
            if (!strcmp(s->rows[j].eval, e->rows[i].eval) && !strcmp(s->rows[j].attack, e->rows[i].attack) &&
                !strcmp(s->rows[j].weights, e->rows[i].weights))
                k = &s->rows[j];
        if (!k && s->n_rows < SHOW_MAX) k = &s->rows[s->n_rows++];
        if (!k) return;
        k->r = e->rows[i];
        snprintf(k->eval, sizeof k->eval, "%s", k->r.eval);
        snprintf(k->attack, sizeof k->attack, "%s", k->r.attack);
        snprintf(k->weights, sizeof k->weights, "%s", k->r.weights);
    }
}

static void on_eval(Show *s, const AdvEvent *e)
{
    char text[2048];
    int at = snprintf(text, sizeof text, "  eval %s", e->text);
    for (uint32_t i = 0; i < e->n_rows && at > 0 && (size_t)at < sizeof text; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "  %s %.2f%%", e->rows[i].attack, 100 * e->rows[i].accuracy);
    keep_rows(s, e);
    line(s, text);
}

static void on_eval_batch(Show *s, const AdvEvent *e)
{
    char text[256];
    if (s->mode != SHOW_LIVE || e->elapsed_ns - s->shown_ns < 100 * MS) return;
    s->shown_ns = e->elapsed_ns;
    snprintf(text, sizeof text, "epoch %" PRId64 "/%" PRId64 "  evaluating %.64s  %" PRId64 "/%" PRId64, e->epoch, e->n_epochs, e->text,
             e->step, e->n_steps);
    live(s, text);
}

static void put_json_number(bool is_first, const char *key, double x)
{
    if (isfinite(x)) fprintf(stderr, "%s\"%s\":%.9g", is_first ? "" : ",", key, x);
    else fprintf(stderr, "%s\"%s\":null", is_first ? "" : ",", key);
}

static void json(const AdvEvent *e)
{
    static const char *const kinds[] = {"?", "step", "epoch", "eval_batch", "eval", "saved", "entry"};
    if (e->kind < 1 || e->kind > 6) return;
    fprintf(stderr, "{\"kind\":\"%s\",\"t\":%.3f,\"epoch\":%" PRId64 ",\"step\":%" PRId64 ",\"total_step\":%" PRId64, kinds[e->kind],
            (double)e->elapsed_ns / 1e9, e->epoch, e->step, e->total_step);
    if (e->n_metrics) fputs(",\"metrics\":{", stderr);
    for (uint32_t i = 0; i < e->n_metrics; i++)
        put_json_number(i == 0, e->metrics[i].name, e->metrics[i].value); /* names of a recipe need no escapes */
    if (e->n_metrics) fputs("}", stderr);
    if (e->n_rows) fputs(",\"rows\":{", stderr);
    for (uint32_t i = 0; i < e->n_rows; i++) {
        char key[160];
        snprintf(key, sizeof key, "%.64s.%.64s.%.8s", e->rows[i].eval, e->rows[i].attack, e->rows[i].weights);
        put_json_number(i == 0, key, e->rows[i].accuracy);
    }
    fputs(e->n_rows ? "}}\n" : "}\n", stderr);
}

int32_t show_event(void *user, const AdvEvent *e)
{
    Show *s = user;
    if (s->mode == SHOW_JSON) {
        if (e->kind == ADV_EVENT_EPOCH) keep_metrics(s, e);
        if (e->kind == ADV_EVENT_EVAL) keep_rows(s, e);
        s->n_steps += e->kind == ADV_EVENT_STEP;
        json(e);
    } else if (s->mode == SHOW_NONE) {
        if (e->kind == ADV_EVENT_EPOCH) keep_metrics(s, e);
        if (e->kind == ADV_EVENT_EVAL) keep_rows(s, e);
        s->n_steps += e->kind == ADV_EVENT_STEP;
    } else if (e->kind == ADV_EVENT_STEP) {
        on_step(s, e);
    } else if (e->kind == ADV_EVENT_EPOCH) {
        on_epoch(s, e);
    } else if (e->kind == ADV_EVENT_EVAL) {
        on_eval(s, e);
    } else if (e->kind == ADV_EVENT_EVAL_BATCH) {
        on_eval_batch(s, e);
    }
    return 0;
}

/* ---- results ------------------------------------------------------------------------------------------------------------- */

static void print_rows(const Show *s, const AdvPlan *plan)
{
    printf("%-10s %-16s %-8s %6s %8s %10s %10s %-4s %10s\n", "eval", "attack", "weights", "epoch", "n", "eps", "distance", "norm",
           "accuracy");
    for (int i = 0; i < s->n_rows; i++) {
        const ShowRow *k = &s->rows[i];
        char eps[32] = "", epoch[32] = "";
        const char *norm = adv_plan_eval_norm(plan, k->eval, k->attack);
        if (!isnan(k->r.eps)) snprintf(eps, sizeof eps, "%.4f", k->r.eps);
        if (k->r.epoch) snprintf(epoch, sizeof epoch, "%" PRId64, k->r.epoch);
        printf("%-10s %-16s %-8s %6s %8" PRId64 " %10s %10.4f %-4s %9.2f%%\n", k->eval, k->attack, k->weights, epoch, k->r.n, eps,
               k->r.dist_max, norm ? norm : "", 100 * k->r.accuracy);
    }
    printf("distance: the largest from a clean sample that the attack used, in the norm of the ball that it projects onto (else linf)\n");
}

static void print_distributions(const Show *s)
{
    bool has_head = false;
    for (int i = 0; i < s->n_metrics; i++) {
        const ShowMetric *k = &s->metrics[i];
        char t[6][32];
        if (k->m.kind != ADV_METRIC_SAMPLE) continue;
        if (!has_head)
            printf("\n%-12s %12s %12s %12s %12s %12s %12s   (epoch %" PRId64 ")\n", "per sample", "min", "quartile", "median", "quartile",
                   "max", "mean", s->metrics_epoch);
        has_head = true;
        printf("%-12s %12s %12s %12s %12s %12s %12s\n", k->name, number(t[0], k->m.min, k->unit), number(t[1], k->m.q1, k->unit),
               number(t[2], k->m.median, k->unit), number(t[3], k->m.q3, k->unit), number(t[4], k->m.max, k->unit),
               number(t[5], k->m.value, k->unit));
    }
}

void show_results(const Show *s, const AdvPlan *plan, const char *dir)
{
    if (s->n_rows) print_rows(s, plan);
    print_distributions(s);
    if (dir[0]) printf("%srun folder: %s\n", s->n_rows || s->n_metrics ? "\n" : "", dir);
}
