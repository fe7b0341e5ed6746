/* fault_alloc.h: an allocator for tests that counts, checks the sizes it is given back, and can be told to fail: at the k-th
** call that wants memory (once), or from the k-th on.
*/
#ifndef ADV_TEST_FAULT_ALLOC_H
#define ADV_TEST_FAULT_ALLOC_H

#include "runtime/base/alloc.h"

#include <stdlib.h>
#include <string.h>

typedef struct FaultAlloc {
    long calls;      /* that wanted memory, so far */
    long fail_at;    /* 1-based; 0 never */
    int persistent;  /* all later ones fail too */
    long n_live;
    long n_wrong_sizes;
} FaultAlloc;

/* Each block carries its size in front, 64 bytes before what the caller gets. */
static void *fault_alloc_fn(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    FaultAlloc *f = user;
    unsigned char *head = p ? (unsigned char *)p - 64 : NULL;
    size_t known = 0;
    if (head) memcpy(&known, head, sizeof known);
    if (known != old_bytes) f->n_wrong_sizes++;
    if (new_bytes == 0) {
        if (head) f->n_live--;
        free(head);
        return NULL;
    }
    f->calls++;
    if (f->fail_at && (f->persistent ? f->calls >= f->fail_at : f->calls == f->fail_at)) return NULL;
    unsigned char *fresh = aligned_alloc(64, 64 + (new_bytes + 63) / 64 * 64);
    if (!fresh) return NULL;
    memset(fresh, 0xA5, 64 + (new_bytes + 63) / 64 * 64);
    memcpy(fresh, &new_bytes, sizeof new_bytes);
    if (head) {
        memcpy(fresh + 64, p, known < new_bytes ? known : new_bytes);
        free(head);
    } else {
        f->n_live++;
    }
    return fresh + 64;
}

static inline AdvAlloc fault_alloc(FaultAlloc *f)
{
    return (AdvAlloc){.fn = fault_alloc_fn, .user = f};
}

#endif
