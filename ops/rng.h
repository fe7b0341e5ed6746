/* rng.h: random numbers as pure functions of a key, in C and CUDA alike. No state, no order of calls.
**
** Generator: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; SC 2011), which turns a
** counter of 128 bits and a key of 64 into 128 bits. What a draw depends on goes in as
**
**   key     = adv_rng_key(seed, purpose), 64 bits mixed
**   counter = { element / 4, id, n, epoch }, each modulo 2^32; element % 4 picks one of the four words
**
** so draws differ for element < 2^34, id < 2^32, n < 2^32 and epoch < 2^32, with no two sharing a counter. A change of
** this layout changes every result of every recipe: raise the version of `draw`, `perm_ids`, `pad_crop` and `hflip`.
** Floats are exact in f32 and computed the same way everywhere, so that f64 graphs see the numbers of f32 graphs.
*/
#ifndef ADV_OPS_RNG_H
#define ADV_OPS_RNG_H

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define ADV_RNG_FN static __host__ __device__ inline
#else
#define ADV_RNG_FN static inline
#endif

typedef struct AdvPhilox { uint32_t w[4]; } AdvPhilox;

ADV_RNG_FN AdvPhilox adv_philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    AdvPhilox r;
    r.w[0] = c0; r.w[1] = c1; r.w[2] = c2; r.w[3] = c3;
    return r;
}

/* A bijection of 64 bits in which every input bit reaches every output bit (Stafford's 13th variant, as in SplitMix64). */
ADV_RNG_FN uint64_t adv_mix64(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

ADV_RNG_FN uint64_t adv_rng_key(int64_t seed, int64_t purpose)
{
    return adv_mix64(adv_mix64((uint64_t)seed + 0x9E3779B97F4A7C15u) ^ (uint64_t)purpose);
}

/* Words of elements 4*quad .. 4*quad+3 of one draw. */
ADV_RNG_FN AdvPhilox adv_rng_quad(uint64_t key, int64_t epoch, int64_t id, int64_t n, uint32_t quad)
{
    return adv_philox(quad, (uint32_t)id, (uint32_t)n, (uint32_t)epoch, key);
}

/* In [0,1), a multiple of 2^-24. */
ADV_RNG_FN float adv_rng_uniform(uint32_t word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }

/* +1 or -1. */
ADV_RNG_FN float adv_rng_rademacher(uint32_t word) { return word >> 31 ? -1.0f : 1.0f; }

/* 1 with probability p, else 0. */
ADV_RNG_FN float adv_rng_bernoulli(uint32_t word, double p) { return (double)adv_rng_uniform(word) < p ? 1.0f : 0.0f; }

/* Two independent normals from two words (Box and Muller), in double, rounded last; at most 6.7 in size. */
ADV_RNG_FN void adv_rng_normal2(uint32_t a, uint32_t b, float out[2])
{
    double radius = sqrt(-2.0 * log(((double)a + 1.0) * (1.0 / 4294967296.0)));
    double angle = 6.283185307179586476925 * ((double)b * (1.0 / 4294967296.0));
    out[0] = (float)(radius * cos(angle));
    out[1] = (float)(radius * sin(angle));
}

/* One element of an integer permutation of 0..n-1: a Feistel network over the smallest even number of bits that holds n,
** walked until it lands inside (at most 4 turns on average). key: from adv_rng_key and the epoch. n >= 1, 0 <= i < n. */
ADV_RNG_FN uint64_t adv_rng_permute(uint64_t key, uint64_t i, uint64_t n)
{
    uint32_t half = 1;
    while (half < 31 && (uint64_t)1 << (2 * half) < n) half++;
    uint32_t mask = ((uint32_t)1 << half) - 1;
    do {
        uint32_t left = (uint32_t)(i >> half) & mask, right = (uint32_t)i & mask;
        for (uint32_t round = 0; round < 8; round++) {
            uint32_t next = left ^ ((uint32_t)(adv_mix64(key + ((uint64_t)round << 32 | right) + 1) >> 33) & mask);
            left = right;
            right = next;
        }
        i = (uint64_t)left << half | right;
    } while (i >= n);
    return i;
}

/* The key of the permutation of one epoch. */
ADV_RNG_FN uint64_t adv_rng_epoch_key(int64_t seed, int64_t purpose, int64_t epoch)
{
    return adv_mix64(adv_rng_key(seed, purpose) + (uint64_t)epoch * 0x9E3779B97F4A7C15u);
}

/* Offsets 0..2*pad of a random crop: rows from word 0, columns from word 1 of the sample's first four; n is 0. */
ADV_RNG_FN void adv_rng_crop(uint64_t key, int64_t epoch, int64_t id, uint32_t pad, uint32_t out[2])
{
    AdvPhilox r = adv_rng_quad(key, epoch, id, 0, 0);
    out[0] = (uint32_t)((uint64_t)r.w[0] * (2 * pad + 1) >> 32);
    out[1] = (uint32_t)((uint64_t)r.w[1] * (2 * pad + 1) >> 32);
}

/* 1: mirror this sample. Word 0 of its first four; n is 0. */
ADV_RNG_FN int adv_rng_flip(uint64_t key, int64_t epoch, int64_t id)
{
    return (int)(adv_rng_quad(key, epoch, id, 0, 0).w[0] >> 31);
}

#endif
