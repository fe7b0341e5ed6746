/* metrics.c: logged values: of a step, and over an epoch as a mean or as a distribution. */
#include "runtime/base/checked.h"
#include "runtime/run.h"

#include "ops/view.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void adv_logs_reset(AdvRun *r)
{
    for (uint32_t i = 0; i < r->p->n_logs; i++) {
        r->logs[i].sum = r->logs[i].last = 0;
        r->logs[i].n = 0;
    }
}

/* The ring holds a piece for each log, and in it a place for each step. */
static uint64_t padded(const AdvRun *r, uint32_t log) { return adv_round_up(r->s->states[r->p->logs[log].state].n_bytes, ADV_PLAN_ALIGN); }

AdvStatus adv_logs_stage(AdvRun *r, int64_t k)
{
    AdvSession *s = r->s;
    uint64_t at = 0;
    if (!r->ring) return ADV_OK;
    for (uint32_t i = 0; i < r->p->n_logs; i++) {
        const AdvStateMem *m = &s->states[r->p->logs[i].state];
        ADV_TRY(s->be->copy(s->self, (char *)s->ring_mem + at + (uint64_t)k * padded(r, i), m->data, m->n_bytes, ADV_ON_DEVICE));
        at += ADV_RUN_AHEAD * padded(r, i);
    }
    return ADV_OK;
}

AdvStatus adv_logs_fetch(AdvRun *r)
{
    if (!r->ring) return r->s->be->is_host ? ADV_OK : r->s->be->sync(r->s->self);
    ADV_TRY(r->s->be->copy(r->s->self, r->ring, r->s->ring_mem, r->s->ring_bytes, ADV_TO_HOST));
    r->s->n_last = 0;
    return ADV_OK;
}

/* Does the present phase compute log i? If not, its state holds what another phase left there, or nothing yet. */
static bool is_computed(const AdvRun *r, uint32_t i)
{
    const AdvProgLog *l = &r->p->logs[i];
    const AdvProgPhase *ph = adv_program_phase(r->p, r->at.epoch);
    uint32_t k = 0;
    while (ph && k < l->n_phases && strcmp(l->phases[k], ph->name)) k++;
    return k < l->n_phases || !l->n_phases;
}

AdvStatus adv_logs_add(AdvRun *r, int64_t k, uint32_t *out_log)
{
    AdvStatus result = ADV_OK;
    const char *at = r->ring;
    for (uint32_t i = 0; i < r->p->n_logs; i++) {
        AdvLogSum *l = &r->logs[i];
        uint32_t state = r->p->logs[i].state;
        void *from = r->slot;
        if (at) {
            memcpy(from, at + (uint64_t)k * padded(r, i), (size_t)r->s->states[state].n_bytes);
            at += ADV_RUN_AHEAD * padded(r, i);
        } else {
            ADV_TRY(adv_session_get_bytes(r->s, state, from));
        }
        if (!is_computed(r, i)) continue;
        AdvView v = adv_view_of(&r->s->t->state_types[state], from);
        double sum = 0;
        int64_t n = adv_view_elems(&v);
        for (int64_t e = 0; e < n; e++) {
            double x = adv_ld(&v, e);
            sum += x;
            if (l->values && l->n + e < l->cap) l->values[l->n + e] = (float)x;
        }
        l->sum += sum;
        l->last = sum / (double)n;
        l->n += n;
        if (!isfinite(sum) && result == ADV_OK && !r->s->be->does_nothing) {
            result = ADV_ENUMERIC;
            *out_log = i;
        }
    }
    return result;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Quantile by linear interpolation between the two nearest of n sorted values. */
static double quantile(const float *sorted, int64_t n, double q)
{
    double at = q * (double)(n - 1);
    int64_t i = (int64_t)at;
    if (i >= n - 1) return (double)sorted[n - 1];
    return (double)sorted[i] + (at - (double)i) * ((double)sorted[i + 1] - (double)sorted[i]);
}

static void distribution(AdvMetric *m, float *values, int64_t n)
{
    if (n <= 0) return;
    qsort(values, (size_t)n, sizeof *values, by_value);
    m->min = (double)values[0];
    m->max = (double)values[n - 1];
    m->q1 = quantile(values, n, 0.25);
    m->median = quantile(values, n, 0.5);
    m->q3 = quantile(values, n, 0.75);
}

static AdvMetric metric(const AdvRun *r, uint32_t i, int64_t n, double value)
{
    const AdvProgLog *l = &r->p->logs[i];
    return (AdvMetric){.name = l->name,
                       .unit = l->unit,
                       .kind = l->kind,
                       .n = n,
                       .value = value,
                       .min = value,
                       .q1 = value,
                       .median = value,
                       .q3 = value,
                       .max = value};
}

void adv_logs_step(AdvRun *r)
{
    r->n_metrics = 0;
    for (uint32_t i = 0; i < r->p->n_logs; i++) {
        AdvLogSum *l = &r->logs[i];
        if (!is_computed(r, i)) continue;
        int64_t b = adv_type_elems(&r->s->t->state_types[r->p->logs[i].state]);
        AdvMetric *m = &r->metrics[r->n_metrics++];
        *m = metric(r, i, b, l->last);
        if (!l->values || l->n < b || l->n > l->cap) continue;
        float *copy = r->slot;
        for (int64_t k = 0; k < b; k++) copy[k] = l->values[l->n - b + k];
        distribution(m, copy, b);
    }
}

void adv_logs_epoch(AdvRun *r)
{
    r->n_metrics = 0;
    for (uint32_t i = 0; i < r->p->n_logs; i++) {
        AdvLogSum *l = &r->logs[i];
        if (!is_computed(r, i)) continue;
        AdvMetric *m = &r->metrics[r->n_metrics++];
        *m = metric(r, i, l->n, l->n ? l->sum / (double)l->n : 0);
        if (l->values) distribution(m, l->values, l->n < l->cap ? l->n : l->cap);
    }
}

/* No ball has a negative radius: what an attack makes of one is no projection. */
static void tell_negative(AdvRun *r, const AdvProgLog *l, const AdvLogSum *sum)
{
    char where[300];
    bool is_radius = !strcmp(l->unit, "1/255");
    double least = sum->values && sum->n ? (double)sum->values[0] : sum->n ? sum->sum / (double)sum->n : 0;
    if (!is_radius || r->has_told_negative || least >= 0) return;
    adv_fault_place(r->s->plan, adv_fault_writer(r->s, 0, r->s->t->n_insts, l->state), where, sizeof where);
    adv_ctx_log(r->s->ctx, ADV_LOG_WARNING, "warning: %s: in epoch %" PRId64 " `%s` fell to %g, and no ball has a radius below 0: "
                "give the budget a `within` with a lower bound", where, r->at.epoch, l->name, least);
    r->has_told_negative = true;
}

/* A radius at its bound no longer says anything about its sample, and no derivative gets past it. */
void adv_logs_tell_bounds(AdvRun *r)
{
    for (uint32_t i = 0; i < r->p->n_logs && !r->s->be->does_nothing; i++) tell_negative(r, &r->p->logs[i], &r->logs[i]);
    for (uint32_t i = 0; i < r->p->n_logs && !r->has_told_bounds && !r->s->be->does_nothing; i++) {
        const AdvProgLog *l = &r->p->logs[i];
        const AdvLogSum *sum = &r->logs[i];
        int64_t n_low = 0, n_high = 0;
        char where[300];
        if (!l->has_within || !sum->values || !sum->n || sum->n > sum->cap) continue;
        while (n_low < sum->n && sum->values[n_low] <= (float)l->lo) n_low++;
        while (n_low + n_high < sum->n && sum->values[sum->n - 1 - n_high] >= (float)l->hi) n_high++;
        if (n_low + n_high < sum->n) continue;
        adv_fault_place(r->s->plan, adv_fault_writer(r->s, 0, r->s->t->n_insts, l->state), where, sizeof where);
        adv_ctx_log(r->s->ctx, ADV_LOG_WARNING,
                    "warning: %s: in epoch %" PRId64 " every `%s` lay at a bound of `within %g .. %g` (%" PRId64
                    " at the lower one, %" PRId64 " at the upper one): no gradient reaches what computes it; widen `within`, or make `%s` "
                    "%s",
                    where, r->at.epoch, l->name, l->lo, l->hi, n_low, n_high, l->name, n_low < n_high ? "smaller" : "larger");
        r->has_told_bounds = true;
    }
}
