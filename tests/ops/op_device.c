/* op_device.c: the suite on a back end with memory of its own, through its table (runtime/backend.h): it knows no device.
*/
#include "op_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

AdvStatus suite_device_open(SuiteDevice *d, const AdvBackend *be, const AdvBackendOpts *more)
{
    AdvBackendOpts o = *more;
    o.alloc = adv_alloc_default();
    o.io = adv_io_posix();
    if (!o.n_threads) o.n_threads = 1;
    memset(d, 0, sizeof *d);
    d->be = be;
    d->ds = adv_diags_new(adv_alloc_default());
    return be->open(&o, d->ds, &d->self);
}

static void forget_made(SuiteDevice *d)
{
    while (d->n_made) free(d->made[--d->n_made]);
}

void suite_device_close(SuiteDevice *d)
{
    if (d->self) d->be->close(d->self);
    forget_made(d);
    free(d->made);
    free(d->made_st);
    free(d->case_at);
    adv_diags_free(d->ds);
    memset(d, 0, sizeof *d);
}

void suite_device_say(SuiteDevice *d)
{
    for (uint32_t i = 0; i < d->ds->list.n; i++) {
        const AdvDiag *said = d->ds->list.at[i];
        printf("%s\n", said->message);
        for (uint32_t k = 0; k < said->notes.n; k++) printf("    %s\n", said->notes.at[k].text); /* a compiler's log, for one */
    }
    adv_diags_clear(d->ds);
}

void suite_device_begin(SuiteDevice *d)
{
    d->be->unprepare(d->self);
    d->is_preparing = true;
    forget_made(d);
    d->n_cases = d->at = 0;
}

bool suite_device_ready(SuiteDevice *d)
{
    AdvStatus st = d->be->prepared(d->self, d->ds);
    suite_device_say(d);
    d->is_preparing = false;
    d->n_cases = 0;
    return st == ADV_OK;
}

void *suite_device_lend(SuiteDevice *d, void *mem, size_t n_bytes)
{
    for (uint32_t i = 0; i < d->n_lent; i++)
        if (d->lent[i].mem == mem) return d->lent[i].device;
    void *p = d->n_lent < SUITE_LENT ? d->be->alloc(d->self, n_bytes) : NULL;
    if (!p || d->be->copy(d->self, p, mem, n_bytes, ADV_TO_DEVICE) != ADV_OK) return NULL;
    d->lent[d->n_lent].mem = mem, d->lent[d->n_lent].device = p, d->lent[d->n_lent++].n_bytes = n_bytes;
    return p;
}

AdvStatus suite_device_finish(SuiteDevice *d)
{
    AdvStatus st = ADV_OK;
    for (uint32_t i = 0; i < d->n_lent; i++) {
        if (st == ADV_OK) st = d->be->copy(d->self, d->lent[i].mem, d->lent[i].device, d->lent[i].n_bytes, ADV_TO_HOST);
        d->be->free(d->self, d->lent[i].device, d->lent[i].n_bytes);
    }
    d->n_lent = 0;
    return st == ADV_OK ? d->be->sync(d->self) : st;
}
