/* test_ops_cuda.c: the same cases, and every kernel of the cuda back end that accepts one, on the fake device (tests/cuda/fake.h):
** generated texts go through g++ in one piece, hand-written ones are compiled behind the shim. */
#include "op_main.h"

#include "ops/cuda/kernels_cuda.h"
#include "tests/cuda/fake.h"

#include <stdio.h>

#define MAX_LENT (CASE_MAX_IN * 2 + ADV_MAX_FIXED + 1)

static void *self;
static AdvDiags *ds;
static struct { void *mem, *device; size_t n_bytes; } lent[MAX_LENT];
static uint32_t n_lent;

static AdvStatus prepared(void)
{
    AdvStatus st = adv_backend_fake.prepared(self, ds);
    for (uint32_t i = 0; i < ds->list.n; i++) printf("%s\n", ds->list.at[i]->message);
    return st;
}

static void *lend(void *mem, size_t n_bytes)
{
    for (uint32_t i = 0; i < n_lent; i++)
        if (lent[i].mem == mem) return lent[i].device;
    void *p = n_lent < MAX_LENT ? adv_backend_fake.alloc(self, n_bytes) : NULL;
    if (!p || adv_backend_fake.copy(self, p, mem, n_bytes, ADV_TO_DEVICE) != ADV_OK) return NULL;
    lent[n_lent].mem = mem, lent[n_lent].device = p, lent[n_lent++].n_bytes = n_bytes;
    return p;
}

static AdvStatus finish(void)
{
    AdvStatus st = ADV_OK;
    for (uint32_t i = 0; i < n_lent; i++) {
        if (st == ADV_OK) st = adv_backend_fake.copy(self, lent[i].mem, lent[i].device, lent[i].n_bytes, ADV_TO_HOST);
        adv_backend_fake.free(self, lent[i].device, lent[i].n_bytes);
    }
    n_lent = 0;
    return st == ADV_OK ? adv_backend_fake.sync(self) : st;
}

int main(void)
{
    AdvRegistry none = {.alloc = adv_alloc_default()};
    AdvBackendOpts o = {.alloc = adv_alloc_default(), .reg = &none, .n_threads = 1, .io = adv_io_posix()};
    SuiteDevice dev = {.prepared = prepared, .lend = lend, .finish = finish};
    ds = adv_diags_new(adv_alloc_default());
    if (adv_backend_fake.open(&o, ds, &self) != ADV_OK) return 1;
    dev.cuda = &((AdvCudaBack *)self)->cuda;
    int rc = op_main("cuda", adv_kernels_cuda, &dev);
    adv_backend_fake.close(self);
    adv_diags_free(ds);
    return rc;
}
