/* test_cuda_device.c: the back end's table on the fake device: memory, copies, a launch, a recording, failures at each call. */
#include "tests/adv_test.h"

#include "tests/cuda/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const AdvBackend *const be = &adv_backend_fake;
static AdvRegistry reg;

static AdvBackendOpts opts(void) { return (AdvBackendOpts){.alloc = adv_alloc_default(), .reg = &reg, .n_threads = 1, .io = adv_io_posix()}; }

static AdvStatus round_trip(void *self, size_t n)
{
    unsigned char *a = malloc(n), *b = malloc(n);
    AdvStatus st = ADV_ENOMEM;
    char *p = be->alloc(self, n), *q = p ? be->alloc(self, n) : NULL;
    for (size_t i = 0; i < n; i++) a[i] = (unsigned char)(i * 7 + i / 251);
    if (q) st = be->copy(self, p, a, n, ADV_TO_DEVICE);
    memset(a, 0, n);   /* the source may change after the call */
    if (st == ADV_OK) st = be->copy(self, q, p, n, ADV_ON_DEVICE);
    if (st == ADV_OK) st = be->copy(self, b, q, n, ADV_TO_HOST);
    for (size_t i = 0; st == ADV_OK && i < n; i++)
        if (b[i] != (unsigned char)(i * 7 + i / 251)) st = ADV_EDIFFERS;
    if (p) be->free(self, p, n);
    if (q) be->free(self, q, n);
    free(a);
    free(b);
    return st;
}

static void test_copies(void)
{
    AdvBackendOpts o = opts();
    void *self = NULL;
    CHECK_EQ(be->open(&o, NULL, &self), ADV_OK);
    CHECK_EQ(round_trip(self, 1), ADV_OK);
    CHECK_EQ(round_trip(self, 3 * CUDA_STAGE_BYTES + 5), ADV_OK);
    CHECK_EQ(round_trip(self, 9 * CUDA_STAGE_BYTES + 5), ADV_OK);
    be->close(self);
    CHECK_EQ(adv_fake_reset(), 0);
}

/* Recorded work does not run, and runs with what was recorded. */
static AdvStatus record(void *self, int64_t *got)
{
    int64_t *p = be->alloc(self, 16);
    void *rec = NULL;
    AdvStatus st = p ? be->fill(self, p, 0, 16) : ADV_ENOMEM;
    if (st == ADV_OK) st = be->record_begin(self);
    if (st == ADV_OK) {
        st = be->set_i64(self, p, 5);
        AdvStatus end = be->record_end(self, &rec);
        if (st == ADV_OK) st = end;
    }
    if (st == ADV_OK) st = be->copy(self, &got[0], p, 8, ADV_TO_HOST);
    if (st == ADV_OK) st = be->replay(self, rec);
    if (st == ADV_OK) st = be->copy(self, &got[1], p, 8, ADV_TO_HOST);
    if (rec) be->forget(self, rec);
    if (p) be->free(self, p, 16);
    return st;
}

static void test_recording(void)
{
    AdvBackendOpts o = opts();
    void *self = NULL;
    int64_t got[2] = {-1, -1};
    CHECK_EQ(be->open(&o, NULL, &self), ADV_OK);
    CHECK_EQ(record(self, got), ADV_OK);
    CHECK_EQ(got[0], 0);
    CHECK_EQ(got[1], 5);
    be->close(self);
    CHECK_EQ(adv_fake_reset(), 0);
}

static void test_no_device(void)
{
    AdvBackendOpts o = opts();
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    void *self = NULL;
    adv_fake.has_no_device = true;
    CHECK_EQ(be->open(&o, ds, &self), ADV_EUNAVAILABLE);
    CHECK(self == NULL);
    CHECK(ds->list.n == 1 && strstr(ds->list.at[0]->message, "no CUDA device answers"));
    adv_diags_free(ds);
    CHECK_EQ(adv_fake_reset(), 0);
}

/* Each call in turn fails: a status and a sentence, and nothing is left behind. */
static void fail_each(cudaError_t with, AdvStatus want)
{
    bool ended = false;
    for (uint64_t k = 1; k < 1000 && !ended; k++) {
        AdvBackendOpts o = opts();
        AdvDiags *ds = adv_diags_new(adv_alloc_default());
        void *self = NULL;
        int64_t got[2];
        adv_fake.fail_at = k;
        adv_fake.fail_with = with;
        AdvStatus st = be->open(&o, ds, &self);
        bool is_opening = st != ADV_OK;
        if (st == ADV_OK) st = round_trip(self, CUDA_STAGE_BYTES + 1);
        if (st == ADV_OK) st = record(self, got);
        if (st != ADV_OK) CHECK(is_opening ? ds->n_errors > 0 : be->last_error(self)[0] != 0);
        ended = !adv_fake.has_failed;
        bool is_alloc = !is_opening && st == ADV_ENOMEM;   /* `alloc` has no status: NULL is all it can say */
        CHECK(ended ? st == ADV_OK : st == want || is_alloc);
        be->close(self);
        adv_diags_free(ds);
        CHECK_EQ(adv_fake_reset(), 0);
    }
    CHECK(ended);
}

static void test_failures(void)
{
    fail_each(cudaErrorMemoryAllocation, ADV_ENOMEM);
    fail_each(cudaErrorIllegalAddress, ADV_EUNAVAILABLE);
}

int main(void)
{
    if (adv_registry_init(&reg, adv_alloc_default()) != ADV_OK) return 1;
    RUN(test_copies);
    RUN(test_recording);
    RUN(test_no_device);
    RUN(test_failures);
    adv_registry_fini(&reg);
    return ADV_TEST_END();
}
