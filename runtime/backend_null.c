/* backend_null.c: does nothing but hold memory. For dry runs, and for tests of what runs when.
** Slots of evaluations stay zero, so no sample ever counts as classified right. */
#include "runtime/backend.h"

#include <stdio.h>

static AdvStatus prepare(void *self, AdvBound *b, AdvDiags *ds)
{
    (void)self;
    (void)b;
    (void)ds;
    return ADV_OK;
}

static AdvStatus launch(void *self, AdvBound *b, void *scratch)
{
    (void)self;
    (void)b;
    (void)scratch;
    return ADV_OK;
}

static void device_info(void *self, char *text, size_t n_bytes)
{
    (void)self;
    snprintf(text, n_bytes, "nothing is computed");
}

const AdvBackend adv_backend_null = {
    .name = "null", .is_host = true, .is_ref = true, .does_nothing = true,
    .open = adv_host_open, .close = adv_host_close, .alloc = adv_host_alloc, .free = adv_host_free,
    .copy = adv_host_copy, .fill = adv_host_fill, .prepare = prepare, .launch = launch, .sync = adv_host_sync,
    .device_info = device_info, .n_run_allocs = adv_host_n_run_allocs,
};
