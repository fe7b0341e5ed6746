/* test_ops_rng.c: the generator against published numbers, the permutation, and what draws look like in bulk. */
#include "tests/adv_test.h"

#include "ops/rng.h"

#include <stdlib.h>

/* Random123's kat_vectors, philox4x32 with 10 rounds. */
static void test_known_answers(void)
{
    static const struct { uint32_t ctr[4], key[2], want[4]; } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        AdvPhilox r = adv_philox(kat[i].ctr[0], kat[i].ctr[1], kat[i].ctr[2], kat[i].ctr[3], (uint64_t)kat[i].key[1] << 32 | kat[i].key[0]);
        for (int k = 0; k < 4; k++) CHECK(r.w[k] == kat[i].want[k]);
    }
}

/* Frozen: a change of the key or of the counter's layout changes every recipe's results. */
static void test_layout(void)
{
    CHECK(adv_rng_key(1, 2) == UINT64_C(0x081a5c1377856b73));
    CHECK(adv_rng_key(1, 2) != adv_rng_key(2, 1));
    CHECK(adv_rng_key(0, 1) != adv_rng_key(1, 0));
    AdvPhilox a = adv_rng_quad(77, 5, 6, 7, 8), b = adv_philox(8, 6, 7, 5, 77);
    CHECK(memcmp(&a, &b, sizeof a) == 0);
}

/* No two of element, id, n and epoch may be exchanged. */
static void test_parts_are_distinct(void)
{
    AdvPhilox base = adv_rng_quad(9, 0, 0, 0, 0),
              r[4] = {adv_rng_quad(9, 1, 0, 0, 0), adv_rng_quad(9, 0, 1, 0, 0), adv_rng_quad(9, 0, 0, 1, 0), adv_rng_quad(9, 0, 0, 0, 1)};
    for (int i = 0; i < 4; i++) {
        CHECK(memcmp(&base, &r[i], sizeof base) != 0);
        for (int j = 0; j < i; j++) CHECK(memcmp(&r[j], &r[i], sizeof base) != 0);
    }
}

static int visits_all(uint64_t key, uint64_t n)
{
    unsigned char *seen = calloc(n, 1);
    int ok = seen != NULL;
    for (uint64_t i = 0; ok && i < n; i++) {
        uint64_t at = adv_rng_permute(key, i, n);
        ok = at < n && !seen[at];
        if (ok) seen[at] = 1;
    }
    free(seen);
    return ok;
}

static void test_permutation(void)
{
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 15, 16, 17, 100, 255, 257, 1000, 4097, 50000, 60000};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int64_t epoch = 1; epoch < 4; epoch++) CHECK(visits_all(adv_rng_epoch_key(1, 2, epoch), sizes[i]));
    int n_same = 0, n_fixed = 0;
    uint64_t a = adv_rng_epoch_key(1, 2, 1), b = adv_rng_epoch_key(1, 2, 2);
    for (uint64_t i = 0; i < 60000; i++) {
        n_same += adv_rng_permute(a, i, 60000) == adv_rng_permute(b, i, 60000);
        n_fixed += adv_rng_permute(a, i, 60000) == i;
    }
    CHECK(n_same < 10); /* one is expected of two random orders */
    CHECK(n_fixed < 10);
}

/* The first of n goes everywhere equally often, over epochs. */
static void test_permutation_is_uniform(void)
{
    int n_at[10] = {0};
    for (int64_t epoch = 0; epoch < 10000; epoch++) n_at[adv_rng_permute(adv_rng_epoch_key(3, 4, epoch), 0, 10)]++;
    for (int i = 0; i < 10; i++) CHECK(abs(n_at[i] - 1000) < 150); /* five standard deviations */
}

static void test_moments(void)
{
    double u = 0, u2 = 0, z = 0, z2 = 0, z3 = 0, z4 = 0, s = 0, p = 0;
    int n = 400000;
    for (uint32_t q = 0; q < (uint32_t)n / 4; q++) {
        AdvPhilox r = adv_rng_quad(adv_rng_key(5, 6), 1, 2, 3, q);
        float g[4];
        adv_rng_normal2(r.w[0], r.w[1], g);
        adv_rng_normal2(r.w[2], r.w[3], g + 2);
        for (int k = 0; k < 4; k++) {
            double v = adv_rng_uniform(r.w[k]), x = g[k];
            CHECK(v >= 0 && v < 1);
            u += v, u2 += v * v, z += x, z2 += x * x, z3 += x * x * x, z4 += x * x * x * x;
            s += adv_rng_rademacher(r.w[k]), p += adv_rng_bernoulli(r.w[k], 0.3);
        }
    }
    CHECK_NEAR(u / n, 0.5, 0.003);
    CHECK_NEAR(u2 / n, 1.0 / 3, 0.003);
    CHECK_NEAR(z / n, 0, 0.01);
    CHECK_NEAR(z2 / n, 1, 0.015);
    CHECK_NEAR(z3 / n, 0, 0.03);
    CHECK_NEAR(z4 / n, 3, 0.03);
    CHECK_NEAR(s / n, 0, 0.01);
    CHECK_NEAR(p / n, 0.3, 0.005);
}

/* Ends of the range of words. */
static void test_edges(void)
{
    float g[2];
    CHECK(adv_rng_uniform(0xffffffff) < 1.0f && adv_rng_uniform(0) == 0.0f);
    CHECK(adv_rng_bernoulli(0xffffffff, 1) == 1.0f && adv_rng_bernoulli(0, 0) == 0.0f);
    adv_rng_normal2(0, 0, g);
    CHECK(g[0] > 6.6f && g[0] < 6.7f && g[1] == 0.0f);
    adv_rng_normal2(0xffffffff, 0x12345678, g);
    CHECK(g[0] == 0.0f && g[1] == 0.0f);
}

static void test_crop_and_flip(void)
{
    int n_at[9] = {0}, n_flips = 0;
    uint64_t key = adv_rng_key(1, 2);
    for (int64_t id = 0; id < 9000; id++) {
        uint32_t off[2];
        adv_rng_crop(key, 1, id, 4, off);
        CHECK(off[0] <= 8 && off[1] <= 8);
        n_at[off[0] <= 8 ? off[0] : 0]++;
        n_flips += adv_rng_flip(key, 1, id);
    }
    for (int i = 0; i < 9; i++) CHECK(abs(n_at[i] - 1000) < 150);
    CHECK(abs(n_flips - 4500) < 240);
}

int main(void)
{
    RUN(test_known_answers);
    RUN(test_layout);
    RUN(test_parts_are_distinct);
    RUN(test_permutation);
    RUN(test_permutation_is_uniform);
    RUN(test_moments);
    RUN(test_edges);
    RUN(test_crop_and_flip);
    return ADV_TEST_END();
}
