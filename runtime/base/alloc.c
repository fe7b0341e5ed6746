/* alloc.c: the default allocator over the C library, and the three helpers that everything else calls. */
#include "runtime/base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN_BYTES ((size_t)64)

/* aligned_alloc cannot resize, so growing is allocate, copy, free. C11 wants the size to be a multiple of the alignment. */
static void *libc_alloc(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    (void)user;
    if (new_bytes == 0) {
        free(p);
        return NULL;
    }
    if (new_bytes > SIZE_MAX - ALIGN_BYTES) return NULL;
    void *fresh = aligned_alloc(ALIGN_BYTES, (new_bytes + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1));
    if (!fresh || !p) return fresh;
    memcpy(fresh, p, old_bytes < new_bytes ? old_bytes : new_bytes);
    free(p);
    return fresh;
}

AdvAlloc adv_alloc_default(void)
{
    return (AdvAlloc){.fn = libc_alloc, .user = NULL};
}

void *adv_mem_new(const AdvAlloc *a, size_t bytes)
{
    return bytes == 0 ? NULL : a->fn(a->user, NULL, 0, bytes);
}

void *adv_mem_new0(const AdvAlloc *a, size_t bytes)
{
    void *p = adv_mem_new(a, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

void adv_mem_free(const AdvAlloc *a, void *p, size_t bytes)
{
    if (p) (void)a->fn(a->user, p, bytes, 0);
}
