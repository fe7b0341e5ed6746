/* events.c: what a run leaves for programs to read: events.jsonl, one JSON object a line, and eval-NAME.json.
**
** Lines hold nothing that depends on how the run was cut by stops and resumes, but `t`, the seconds since the program began:
** a resumed run cuts the file back to the length its checkpoint remembers and goes on, so its lines equal those of an
** uninterrupted run. A last line without newline (the machine died) is cut off with the rest.
**
** Kinds: "step" (about 20 an epoch: means of the step), "epoch" (mean, and for values a sample min, quartiles, max),
** "eval" (rows), "best", "stop" (the recipe's stop rule), "end".
*/
#include "runtime/base/number.h"
#include "runtime/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Json {
    const AdvAlloc *a;
    char *at;
    size_t n, cap;
    bool is_broken;   /* out of memory */
} Json;

static void put_n(Json *j, const char *s, size_t n)
{
    if (j->is_broken) return;
    if (j->n + n + 1 > j->cap) {
        size_t cap = (j->n + n + 1) * 2 + 1024;
        char *p = adv_mem_new(j->a, cap);
        if (!p) {
            j->is_broken = true;
            return;
        }
        if (j->n) memcpy(p, j->at, j->n);
        adv_mem_free(j->a, j->at, j->cap);
        j->at = p;
        j->cap = cap;
    }
    memcpy(j->at + j->n, s, n);
    j->n += n;
    j->at[j->n] = 0;
}

static void put(Json *j, const char *fmt, ...) ADV_PRINTF(2, 3);
static void put(Json *j, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0) put_n(j, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void put_str(Json *j, const char *s)
{
    put_n(j, "\"", 1);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') put(j, "\\%c", c);
        else if (c < 0x20) put(j, "\\u%04x", c);
        else put_n(j, s, 1);
    }
    put_n(j, "\"", 1);
}

static void put_num(Json *j, double x)
{
    if (isfinite(x)) put(j, "%s", adv_number_text(x, 9).at);
    else put(j, "null");
}

static void free_json(Json *j)
{
    adv_mem_free(j->a, j->at, j->cap);
}

/* ---- the file -------------------------------------------------------------------------------------------------------- */

static AdvStatus path_in(AdvRun *r, const char *name, char *path, size_t n_bytes, AdvDiags *ds)
{
    int n = snprintf(path, n_bytes, "%s/%s", r->o.run_dir, name);
    if (n > 0 && (size_t)n < n_bytes) return ADV_OK;
    return adv_fail(ds, ADV_EINVAL, ADV_D_RUN_DIR, "the path of the run folder is too long");
}

void adv_events_close(AdvRun *r)
{
    const AdvIo *io = r->s->ctx->io;
    if (r->events_fd >= 0) io->close(io->user, r->events_fd);
    r->events_fd = -1;
}

AdvStatus adv_events_open(AdvRun *r, AdvDiags *ds)
{
    char path[ADV_PATH_BYTES];
    const AdvIo *io = r->s->ctx->io;
    r->events_fd = -1;
    if (!r->o.run_dir) return ADV_OK;
    ADV_TRY(path_in(r, "events.jsonl", path, sizeof path, ds));
    int fd = io->open(io->user, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot write `%s`: %s", path, strerror(-fd));
    int64_t n = io->size(io->user, fd);
    int err = n < 0 ? (int)n : n > r->at.event_bytes ? io->cut(io->user, fd, r->at.event_bytes) : 0;
    if (n >= 0 && n < r->at.event_bytes) r->at.event_bytes = n; /* another folder, whose file begins here */
    r->events_fd = fd;
    if (!err) return ADV_OK;
    adv_events_close(r);
    return adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot cut `%s` to where the run stood: %s", path, strerror(-err));
}

static void begin(AdvRun *r, Json *j, const char *kind)
{
    uint64_t now = r->o.clock_ns ? r->o.clock_ns(r->o.user) : adv_ctx_now(r->s->ctx);
    *j = (Json){.a = &r->s->ctx->alloc};
    put(j, "{\"kind\":\"%s\",\"t\":%s,\"epoch\":%" PRId64 ",\"step\":%" PRId64, kind,
        adv_number_fixed((double)(now - r->begin_ns) / 1e9, 3).at, r->at.epoch, r->at.total_step);
}

/* Ends the line, writes it and frees it. */
static AdvStatus end(AdvRun *r, Json *j, AdvDiags *ds)
{
    const AdvIo *io = r->s->ctx->io;
    put_n(j, "}\n", 2);
    if (j->is_broken) {
        free_json(j);
        return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while writing events.jsonl");
    }
    size_t at = 0;
    int64_t err = 0;
    while (at < j->n) {
        int64_t n = io->write(io->user, r->events_fd, j->at + at, j->n - at);
        if (n == -EINTR) continue;
        if (n <= 0) {
            err = n ? -n : EIO;
            break;
        }
        at += (size_t)n;
    }
    if (!err) r->at.event_bytes += (int64_t)j->n; /* else the next run cuts off what was written of it */
    free_json(j);
    if (err) return adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot write `%s/events.jsonl`: %s", r->o.run_dir, strerror((int)err));
    return ADV_OK;
}

AdvStatus adv_events_step(AdvRun *r, AdvDiags *ds)
{
    Json j;
    int64_t every = r->p->steps / 20 > 1 ? r->p->steps / 20 : 1;
    if (r->events_fd < 0 || r->at.step % every) return ADV_OK;
    begin(r, &j, "step");
    put(&j, ",\"metrics\":{");
    for (uint32_t i = 0; i < r->n_metrics; i++) {
        if (i) put(&j, ",");
        put_str(&j, r->metrics[i].name);
        put(&j, ":");
        put_num(&j, r->metrics[i].value);
    }
    put(&j, "}");
    return end(r, &j, ds);
}

AdvStatus adv_events_epoch(AdvRun *r, AdvDiags *ds)
{
    Json j;
    if (r->events_fd < 0) return ADV_OK;
    begin(r, &j, "epoch");
    put(&j, ",\"metrics\":{");
    for (uint32_t i = 0; i < r->n_metrics; i++) {
        const AdvMetric *m = &r->metrics[i];
        const char *const keys[] = {"min", "q1", "median", "q3", "max"};
        const double values[] = {m->min, m->q1, m->median, m->q3, m->max};
        if (i) put(&j, ",");
        put_str(&j, m->name);
        put(&j, ":{\"n\":%" PRId64 ",\"mean\":", m->n);
        put_num(&j, m->value);
        for (int k = 0; k < 5 && m->kind == ADV_METRIC_SAMPLE; k++) {
            put(&j, ",\"%s\":", keys[k]);
            put_num(&j, values[k]);
        }
        put(&j, "}");
    }
    put(&j, "}");
    return end(r, &j, ds);
}

static void put_row(AdvRun *r, Json *j, int64_t row)
{
    const AdvRowInts *x = &r->tally.row_ints[row];
    const AdvRowNums *y = &r->tally.row_nums[row];
    const AdvProgEval *e = &r->p->evals[x->eval];
    put(j, "{\"attack\":");
    put_str(j, e->stages[x->stage].name);
    put(j, ",\"among\":\"%s\",\"weights\":\"%s\",\"epoch\":%" PRId64 ",\"n\":%" PRId64 ",\"n_correct\":%" PRId64 ",\"accuracy\":",
        e->stages[x->stage].among_alive ? "alive" : "all", x->is_best ? "best" : "last", x->epoch, x->n, x->n_correct);
    put_num(j, (double)x->n_correct / (double)x->n);
    put(j, ",\"eps\":");
    put_num(j, e->stages[x->stage].eps);
    if (e->stages[x->stage].norm) put(j, ",\"norm\":\"%s\"", e->stages[x->stage].norm);
    put(j, ",\"dist_mean\":");
    put_num(j, y->dist_mean);
    put(j, ",\"dist_max\":");
    put_num(j, y->dist_max);
    if (r->n_classes) {
        const int64_t *c = r->tally.row_classes + row * 2 * (r->n_classes + 1);
        const int64_t *all = r->tally.row_classes + (row - x->stage) * 2 * (r->n_classes + 1); /* the first stage saw every sample */
        put(j, ",\"per_class\":[");
        for (int64_t k = 0; k < r->n_classes; k++) {
            if (k) put(j, ",");
            put_num(j, all[2 * k + 1] ? (double)c[2 * k] / (double)all[2 * k + 1] : NAN);
        }
        put(j, "]");
    }
    put(j, "}");
}

AdvStatus adv_events_eval(AdvRun *r, int64_t first, int64_t n, AdvDiags *ds)
{
    Json j;
    if (r->events_fd < 0 || n <= 0) return ADV_OK;
    begin(r, &j, "eval");
    put(&j, ",\"eval\":");
    put_str(&j, r->p->evals[r->tally.row_ints[first].eval].name);
    put(&j, ",\"rows\":[");
    for (int64_t i = 0; i < n; i++) {
        if (i) put(&j, ",");
        put_row(r, &j, first + i);
    }
    put(&j, "]");
    return end(r, &j, ds);
}

AdvStatus adv_events_note(AdvRun *r, const char *kind, AdvDiags *ds)
{
    Json j;
    if (r->events_fd < 0) return ADV_OK;
    begin(r, &j, kind);
    if (!strcmp(kind, "best")) {
        put(&j, ",\"of\":");
        put_str(&j, r->p->keep);
        put(&j, ",\"value\":");
        put_num(&j, r->sums.best);
    }
    return end(r, &j, ds);
}

AdvStatus adv_events_result(AdvRun *r, uint32_t ix, AdvDiags *ds)
{
    char name[300], path[ADV_PATH_BYTES];
    Json j = {.a = &r->s->ctx->alloc};
    if (!r->o.run_dir) return ADV_OK;
    snprintf(name, sizeof name, "eval-%s.json", r->p->evals[ix].name);
    ADV_TRY(path_in(r, name, path, sizeof path, ds));
    put(&j, "{\"eval\":");
    put_str(&j, r->p->evals[ix].name);
    put(&j, ",\"recipe\":");
    put_str(&j, r->p->recipe);
    put(&j, ",\"plan\":");
    put_str(&j, r->s->plan->hash);
    put(&j, ",\"seed\":%" PRId64 ",\"split\":", r->p->seed);
    put_str(&j, r->p->evals[ix].split ? r->p->evals[ix].split : "");
    put(&j, ",\"rows\":[");
    bool is_first = true;
    for (int64_t i = 0; i < r->at.n_rows; i++) {
        if (r->tally.row_ints[i].eval != ix) continue;
        if (!is_first) put(&j, ",");
        put(&j, "\n ");
        put_row(r, &j, i);
        is_first = false;
    }
    put(&j, "\n]}\n");
    AdvStatus st = j.is_broken ? adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while writing `%s`", path)
                               : adv_write_file(r->s->ctx->io, &r->s->ctx->alloc, path, j.at, j.n, ds);
    free_json(&j);
    return st;
}
