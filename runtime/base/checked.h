/* checked.h: the only two ways sizes that come from outside are added and multiplied; and rounding up of sizes that were checked. */
#ifndef ADV_BASE_CHECKED_H
#define ADV_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* *out = a*b or a+b; false, with *out untouched, on overflow. */
static inline bool adv_mul_ok(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool adv_add_ok(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

/* Is [off, off+len) within [0, size)? */
static inline bool adv_range_ok(uint64_t off, uint64_t len, uint64_t size)
{
    return off <= size && len <= size - off;
}

/* The least multiple of `align`, a power of two, that is not below n. */
static inline uint64_t adv_round_up(uint64_t n, uint64_t align)
{
    return (n + (align - 1)) & ~(align - 1);
}

#endif
