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
#include <string.h>

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

/* Natural logarithm of a whole number m, 1 <= m <= 2^32, over 2^32; error below 2e-16 of the largest result. Of additions,
** multiplications and one division, so that every back end gets the same bits and loops over it become vectors. */
ADV_RNG_FN double adv_rng_log(double m)
{
    uint64_t bits;
    memcpy(&bits, &m, 8);
    int64_t e = (int64_t)(bits >> 52) - 1023;
    int64_t high = (int64_t)(bits >> 51 & 1); /* 1.5 and above count as below 1 */
    bits = (bits & 0xFFFFFFFFFFFFFu) | (uint64_t)(1023 - high) << 52;
    double x;
    memcpy(&x, &bits, 8);
    double s = (x - 1.0) / (x + 1.0), q = s * s, p = 1.0 / 23;
    p = p * q + 1.0 / 21;
    p = p * q + 1.0 / 19;
    p = p * q + 1.0 / 17;
    p = p * q + 1.0 / 15;
    p = p * q + 1.0 / 13;
    p = p * q + 1.0 / 11;
    p = p * q + 1.0 / 9;
    p = p * q + 1.0 / 7;
    p = p * q + 1.0 / 5;
    p = p * q + 1.0 / 3;
    return (double)(int32_t)(e + high - 32) * 0.693147180559945309417 + (2.0 * s + 2.0 * s * q * p);
}

/* Cosine and sine of a turn's fraction b/2^32. */
ADV_RNG_FN void adv_rng_turn(uint32_t b, double *out_cos, double *out_sin)
{
    uint32_t quarter = (b + 0x20000000u) >> 30;
    double a = (double)(int32_t)(b - (quarter << 30)) * (6.283185307179586476925 / 4294967296.0), q = a * a; /* up to an eighth */
    double s = -1.0 / 1307674368000.0, c = 1.0 / 20922789888000.0;
    s = s * q + 1.0 / 6227020800.0;
    s = s * q - 1.0 / 39916800.0;
    s = s * q + 1.0 / 362880.0;
    s = s * q - 1.0 / 5040.0;
    s = s * q + 1.0 / 120.0;
    s = s * q - 1.0 / 6.0;
    s = a + a * q * s;
    c = c * q - 1.0 / 87178291200.0;
    c = c * q + 1.0 / 479001600.0;
    c = c * q - 1.0 / 3628800.0;
    c = c * q + 1.0 / 40320.0;
    c = c * q - 1.0 / 720.0;
    c = c * q + 1.0 / 24.0;
    c = 1.0 - 0.5 * q + q * q * c;
    double x = quarter & 1 ? s : c, y = quarter & 1 ? c : s;
    *out_cos = (quarter + 1) & 2 ? -x : x;
    *out_sin = quarter & 2 ? -y : y;
}

/* Two independent normals from two words (Box and Muller), in double, rounded last; at most 6.7 in size. */
ADV_RNG_FN void adv_rng_normal2(uint32_t a, uint32_t b, float out[2])
{
    double radius = sqrt(-2.0 * adv_rng_log((double)a + 1.0)), c, s;
    adv_rng_turn(b, &c, &s);
    out[0] = (float)(radius * c);
    out[1] = (float)(radius * s);
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
