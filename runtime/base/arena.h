/* arena.h: bump allocation in phases. Everything the compiler makes lives in an arena; nothing is freed singly.
**
** Out of memory: an arena with a `trap` jumps there (longjmp, value 1), so the compiler's passes need no checks; the
** public entry point sets the trap and turns it into ADV_ENOMEM. An arena without a trap returns NULL.
** Released memory is overwritten with 0xDD in builds with asserts. Not thread-safe.
*/
#ifndef ADV_BASE_ARENA_H
#define ADV_BASE_ARENA_H

#include "runtime/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>

typedef struct AdvArenaChunk AdvArenaChunk;
typedef struct AdvArena {
    AdvAlloc alloc;
    AdvArenaChunk *top;  /* newest chunk */
    size_t used_bytes;   /* in all chunks, for reports */
    jmp_buf *trap;       /* where to go when memory is out, or NULL */
} AdvArena;

typedef struct AdvArenaMark {
    AdvArenaChunk *chunk;
    size_t used, total;
} AdvArenaMark;

/* Starts an empty arena; takes no memory yet. */
void adv_arena_init(AdvArena *a, AdvAlloc alloc);

/* Gives all memory back. The arena may be used again. */
void adv_arena_fini(AdvArena *a);

/* `bytes` of zeroed memory, aligned to 16. `bytes` 0 gives a valid pointer to nothing. Never NULL with a trap. */
void *adv_arena_new(AdvArena *a, size_t bytes);

/* n elements of `elem_bytes`, zeroed; the product is checked. */
void *adv_arena_array(AdvArena *a, size_t n, size_t elem_bytes);

/* A NUL-terminated copy of s[0..len). */
char *adv_arena_strn(AdvArena *a, const char *s, size_t len);

/* printf into the arena. */
char *adv_arena_printf(AdvArena *a, const char *fmt, ...) ADV_PRINTF(2, 3);
char *adv_arena_vprintf(AdvArena *a, const char *fmt, va_list args) ADV_PRINTF(2, 0);

/* Remembers the present end, and gives back all that was taken since. Marks nest. */
AdvArenaMark adv_arena_mark(const AdvArena *a);
void adv_arena_release(AdvArena *a, AdvArenaMark m);

#define ADV_NEW(arena, type) ((type *)adv_arena_new((arena), sizeof(type)))
#define ADV_NEW_ARRAY(arena, type, n) ((type *)adv_arena_array((arena), (size_t)(n), sizeof(type)))

#endif
