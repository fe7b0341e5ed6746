/* arena.c: bump allocation from a chain of chunks, newest first.
**
**   top -> [head|used....|free] -> [head|used..........] -> NULL
**
** Memory is zeroed when it is handed out, not when a chunk is made, because a released part is handed out again. Under
** AddressSanitizer what is not handed out is poisoned and every piece is followed by a red zone, since the sanitizer sees
** a chunk as one object and would miss an overrun from one piece into the next.
*/
#include "runtime/base/arena.h"
#include "runtime/base/checked.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#define RED_ZONE_BYTES ((size_t)16)
#define HIDE(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define SHOW(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define RED_ZONE_BYTES ((size_t)0)
#define HIDE(p, n) ((void)(p), (void)(n))
#define SHOW(p, n) ((void)(p), (void)(n))
#endif

#define PIECE_ALIGN ((size_t)16)
#define FIRST_CHUNK_BYTES ((size_t)16 << 10)
#define LARGEST_CHUNK_BYTES ((size_t)1 << 20)

struct AdvArenaChunk {
    AdvArenaChunk *older;
    size_t room; /* bytes after the head */
    size_t used;
    size_t zero; /* keeps the head a multiple of PIECE_ALIGN */
};

_Static_assert(sizeof(AdvArenaChunk) % 16 == 0, "pieces begin aligned");

static unsigned char *chunk_bytes(AdvArenaChunk *c)
{
    return (unsigned char *)(c + 1);
}

static void *out_of_memory(AdvArena *a)
{
    if (a->trap) longjmp(*a->trap, 1);
    return NULL;
}

static void free_chunk(AdvArena *a, AdvArenaChunk *c)
{
    SHOW(chunk_bytes(c), c->room);
#ifndef NDEBUG
    memset(chunk_bytes(c), 0xDD, c->used);
#endif
    adv_mem_free(&a->alloc, c, sizeof *c + c->room);
}

/* A new top chunk with room for at least `bytes`; NULL when memory is out. */
static AdvArenaChunk *grow(AdvArena *a, size_t bytes)
{
    size_t room = a->top ? 2 * (a->top->room + sizeof(AdvArenaChunk)) : FIRST_CHUNK_BYTES;
    if (room > LARGEST_CHUNK_BYTES) room = LARGEST_CHUNK_BYTES;
    room -= sizeof(AdvArenaChunk);
    if (room < bytes) room = bytes;
    AdvArenaChunk *c = adv_mem_new(&a->alloc, sizeof *c + room);
    if (!c) return NULL;
    *c = (AdvArenaChunk){.older = a->top, .room = room};
    HIDE(chunk_bytes(c), room);
    a->top = c;
    return c;
}

void adv_arena_init(AdvArena *a, AdvAlloc alloc)
{
    *a = (AdvArena){.alloc = alloc};
}

void adv_arena_fini(AdvArena *a)
{
    for (AdvArenaChunk *c = a->top, *older; c; c = older) {
        older = c->older;
        free_chunk(a, c);
    }
    a->top = NULL;
    a->used_bytes = 0;
}

void *adv_arena_new(AdvArena *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 4) return out_of_memory(a);
    size_t take = (bytes + RED_ZONE_BYTES + PIECE_ALIGN - 1) & ~(PIECE_ALIGN - 1);
    if (take == 0) take = PIECE_ALIGN;
    AdvArenaChunk *c = a->top;
    if (!c || c->room - c->used < take) c = grow(a, take);
    if (!c) return out_of_memory(a);
    unsigned char *p = chunk_bytes(c) + c->used;
    assert(((uintptr_t)p & (PIECE_ALIGN - 1)) == 0);
    c->used += take;
    a->used_bytes += take;
    SHOW(p, bytes);
    memset(p, 0, bytes);
    return p;
}

void *adv_arena_array(AdvArena *a, size_t n, size_t elem_bytes)
{
    uint64_t bytes;
    if (!adv_mul_ok(n, elem_bytes, &bytes) || bytes > SIZE_MAX) return out_of_memory(a);
    return adv_arena_new(a, (size_t)bytes);
}

char *adv_arena_strn(AdvArena *a, const char *s, size_t len)
{
    if (len == SIZE_MAX) return out_of_memory(a);
    char *p = adv_arena_new(a, len + 1);
    if (p && len > 0) memcpy(p, s, len);
    return p;
}

char *adv_arena_vprintf(AdvArena *a, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    char *p = len < 0 ? out_of_memory(a) : adv_arena_new(a, (size_t)len + 1);
    if (p) vsnprintf(p, (size_t)len + 1, fmt, again);
    va_end(again);
    return p;
}

char *adv_arena_printf(AdvArena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *p = adv_arena_vprintf(a, fmt, args);
    va_end(args);
    return p;
}

AdvArenaMark adv_arena_mark(const AdvArena *a)
{
    return (AdvArenaMark){.chunk = a->top, .used = a->top ? a->top->used : 0, .total = a->used_bytes};
}

void adv_arena_release(AdvArena *a, AdvArenaMark m)
{
    while (a->top != m.chunk) {
        assert(a->top && "the mark belongs to this arena and was not released before");
        AdvArenaChunk *c = a->top;
        a->top = c->older;
        free_chunk(a, c);
    }
    a->used_bytes = m.total;
    if (!m.chunk) return;
    assert(m.used <= m.chunk->used);
    unsigned char *p = chunk_bytes(m.chunk) + m.used;
    size_t n = m.chunk->used - m.used;
    SHOW(p, n);
#ifndef NDEBUG
    memset(p, 0xDD, n);
#endif
    HIDE(p, n);
    m.chunk->used = m.used;
}
