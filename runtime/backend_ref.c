/* backend_ref.c: runs every instruction by its op's definition. Complete, slow, any dtype and stride: the oracle. */
#include "runtime/backend.h"

static AdvStatus prepare(void *self, AdvBound *b, AdvDiags *ds)
{
    (void)self;
    (void)ds;
    b->is_ref = true;
    return ADV_OK;
}

static AdvStatus launch(void *self, AdvBound *b, void *scratch)
{
    (void)scratch;
    return adv_host_run_ref(self, b);
}

const AdvBackend adv_backend_ref = {
    .name = "ref", .is_host = true, .is_ref = true,
    .open = adv_host_open, .close = adv_host_close, .alloc = adv_host_alloc, .free = adv_host_free,
    .copy = adv_host_copy, .fill = adv_host_fill, .prepare = prepare, .launch = launch, .sync = adv_host_sync,
    .device_info = adv_host_device_info, .n_run_allocs = adv_host_n_run_allocs,
};
