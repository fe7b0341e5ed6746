/* alloc.h: the one memory function that everything of ours goes through, so that a test can make the k-th call fail.
**
** fn(user, p, old_bytes, new_bytes): p == NULL allocates; new_bytes == 0 frees and returns NULL; otherwise resizes.
** Returns memory aligned to 64 bytes, or NULL when there is none (then `p` is untouched). May be called from
** several threads only if the caller uses its context from several threads.
*/
#ifndef ADV_BASE_ALLOC_H
#define ADV_BASE_ALLOC_H

#include "runtime/adv_types.h"

typedef struct AdvAlloc {
    void *(*fn)(void *user, void *p, size_t old_bytes, size_t new_bytes);
    void *user;
} AdvAlloc;

/* The default: aligned_alloc and free of the C library. */
AdvAlloc adv_alloc_default(void);

/* Allocates `bytes` (not zeroed), 64-byte aligned; NULL when out of memory or `bytes` is 0. */
void *adv_mem_new(const AdvAlloc *a, size_t bytes);

/* As adv_mem_new, and zeroed. */
void *adv_mem_new0(const AdvAlloc *a, size_t bytes);

/* Frees; p may be NULL. `bytes` is what was asked for. */
void adv_mem_free(const AdvAlloc *a, void *p, size_t bytes);

#endif
