/* hash.h: small hashes for tables and keys of ours (not for integrity: that is XXH3-128 in container.c). */
#ifndef ADV_BASE_HASH_H
#define ADV_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* 64-bit FNV-1a of n bytes, continuing from `h`. Stable for ever: random purposes are hashes of names. */
#define ADV_HASH_START UINT64_C(0xcbf29ce484222325)
static inline uint64_t adv_hash_bytes(uint64_t h, const void *p, size_t n)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * UINT64_C(0x100000001b3);
    return h;
}

static inline uint64_t adv_hash_str(uint64_t h, const char *s)
{
    while (*s) h = (h ^ (unsigned char)*s++) * UINT64_C(0x100000001b3);
    return h;
}

static inline uint64_t adv_hash_u64(uint64_t h, uint64_t v)
{
    for (int i = 0; i < 8; i++) h = (h ^ (v >> (8 * i) & 0xff)) * UINT64_C(0x100000001b3);
    return h;
}

#endif
