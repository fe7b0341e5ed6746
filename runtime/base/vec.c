/* vec.c: growth of ADV_VEC arrays: by doubling, into fresh arena memory. */
#include "runtime/base/vec.h"

#include <assert.h>
#include <string.h>

void *adv_vec_grow(AdvArena *arena, void *at, uint32_t *n, uint32_t *cap, size_t elem_bytes)
{
    assert(*n <= *cap && elem_bytes > 0);
    if (*n == *cap) {
        if (*cap > UINT32_MAX / 2) {
            if (arena->trap) longjmp(*arena->trap, 1);
            return NULL;
        }
        uint32_t fresh_cap = *cap ? 2 * *cap : 8;
        void *fresh = adv_arena_array(arena, fresh_cap, elem_bytes);
        if (!fresh) return NULL;
        if (*n) memcpy(fresh, at, *n * elem_bytes);
        at = fresh;
        *cap = fresh_cap;
    }
    memset((unsigned char *)at + *n * elem_bytes, 0, elem_bytes);
    ++*n;
    return at;
}
