/* test_cuda_shim.c: the shim runs device code as a device would, and device.cuh computes as the definitions do. */
#include "tests/adv_test.h"

#include "ops/view.h"
#include "tests/cuda/shim_kernel.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct Row { const char *name; const void *fn; } Row;
extern const Row adv_shim_test_fns[];

/* As AdvNest in device.cuh. */
typedef struct Nest {
    int rank;
    long long dim[6], stride[3][6];
} Nest;

static void launch(const char *name, unsigned n_blocks, unsigned n_threads, size_t shared, void **args)
{
    const AdvShimGeometry g = {{n_blocks, 1, 1}, {n_threads, 1, 1}, shared};
    double packed[64];
    for (const Row *r = adv_shim_test_fns; r->name; r++)
        if (strcmp(r->name, name) == 0) {
            const AdvShimKernel *k = r->fn;
            CHECK(k->n_bytes <= sizeof packed);
            k->pack(args, packed);
            k->run(&g, packed);
            return;
        }
    CHECK(!"no kernel of that name");
}

static void test_plain(void)
{
    float x[100], y[100];
    float *py = y;
    const float *px = x;
    long long n = 100;
    void *args[] = {&py, &px, &n};
    for (int i = 0; i < 100; i++) x[i] = (float)i;
    launch("plain", 2, 64, 0, args);
    for (int i = 0; i < 100; i++) CHECK_EQ((int)y[i], i + i % 64);
}

static void test_barrier(void)
{
    int x[3 * 96], y[3 * 96];
    int *py = y;
    const int *px = x;
    void *args[] = {&py, &px};
    for (int i = 0; i < 3 * 96; i++) x[i] = i;
    launch("turn", 3, 96, 96 * sizeof(int), args);
    for (int i = 0; i < 3 * 96; i++) CHECK_EQ(y[i], i / 96 * 96 + 95 - i % 96);
}

static void test_warps(void)
{
    double sum[64];
    float largest[64];
    unsigned odd[64];
    int from[64];
    double *ps = sum;
    float *pl = largest;
    unsigned *po = odd;
    int *pf = from;
    void *args[] = {&ps, &pl, &po, &pf};
    launch("warps", 1, 64, 0, args);
    for (int t = 0; t < 64; t++) {
        int w = t / 32 * 32, lane = t % 32;
        CHECK_EQ((int)sum[t], 32 * w + 31 * 16);
        CHECK_EQ((int)largest[t], 31);
        CHECK_EQ(odd[t], 0xaaaaaaaau);
        CHECK_EQ(from[t], w + 3 + (lane < 31 ? t + 1 : t) + (lane > 0 ? t - 1 : t));
    }
}

static void test_block_reduce(void)
{
    float x[5 * 128], least[5];
    double sum[5], *ps = sum;
    float *pl = least;
    const float *px = x;
    void *args[] = {&ps, &pl, &px};
    for (int i = 0; i < 5 * 128; i++) x[i] = (float)((i * 37) % 128 - i / 128);
    launch("blocks", 5, 128, 0, args);
    for (int b = 0; b < 5; b++) {
        CHECK_EQ((int)sum[b], 127 * 64 - 128 * b);
        CHECK_EQ((int)least[b], -b);
    }
}

static void test_atomics(void)
{
    unsigned n = 0, fault = 3, *pn = &n, *pf = &fault;
    void *args[] = {&pn, &pf};
    launch("count", 3, 32, 0, args);
    CHECK_EQ(n, 96);
    CHECK_EQ(fault, 9);
}

/* All kinds of numbers, bit for bit as ops/view.h has them. */
static void test_elements(void)
{
    enum { N = 4096 };
    static float x[N], wide[N];
    static uint16_t b[N], h[N];
    static int32_t i[N];
    static uint8_t u[N];
    uint16_t *pb = b, *ph = h;
    int32_t *pi = i;
    uint8_t *pu = u;
    float *px = x, *pw = wide;
    long long n = N;
    void *narrow[] = {&pb, &ph, &pi, &pu, &px, &n}, *widen[] = {&pw, &pb, &ph, &n};
    int32_t want_i;
    uint8_t want_u;
    AdvView vi = {.dtype = ADV_I32, .data = &want_i}, vu = {.dtype = ADV_U8, .data = &want_u};
    for (uint32_t k = 0; k < N; k++) {
        uint32_t bits = k * 2654435761u;
        memcpy(&x[k], &bits, 4);
        if (k % 4 == 1) x[k] = ldexpf((float)(k % 2048) + 0.5f, (int)(k / 64) % 48 - 36);
    }
    launch("convert", N / 128, 128, 0, narrow);
    for (int k = 0; k < N; k++) {
        CHECK_EQ(b[k], adv_f32_to_bf16(x[k]));
        CHECK_EQ(h[k], adv_f32_to_f16(x[k]));
        adv_st(&vi, 0, (double)x[k]), adv_st(&vu, 0, (double)x[k]);
        CHECK_EQ(i[k], want_i);
        CHECK_EQ(u[k], want_u);
    }
    for (int k = 0; k < N; k++) b[k] = (uint16_t)(k * 16), h[k] = (uint16_t)(k * 16 + 5);
    launch("widen", N / 128, 32, 0, widen);
    for (int k = 0; k < N; k++) {
        float want = adv_bf16_to_f32(b[k]) + adv_f16_to_f32(h[k]);
        CHECK(want != want ? wide[k] != wide[k] : wide[k] == want);
    }
}

static void test_places(void)
{
    Nest n = {.rank = 3, .dim = {5, 3, 7}, .stride = {{0}, {100, 2, 11}, {0}}};
    Nest big = {.rank = 2, .dim = {1 << 20, 1 << 20}, .stride = {{0}, {1, 3}, {0}}};
    long long at[32], first = 40, far = (1LL << 33) + 5, *pa = at;
    void *args[] = {&pa, &n, &first}, *far_args[] = {&pa, &big, &far};
    launch("places", 1, 32, 0, args);
    for (int i = 0; i < 32; i++) CHECK_EQ(at[i], (40 + i) / 21 * 100 + (40 + i) / 7 % 3 * 2 + (40 + i) % 7 * 11);
    launch("places", 1, 32, 0, far_args);
    for (int i = 0; i < 32; i++) CHECK_EQ(at[i], (1 << 13) + 3 * (5 + i));
}

int main(void)
{
    RUN(test_plain);
    RUN(test_barrier);
    RUN(test_warps);
    RUN(test_block_reduce);
    RUN(test_atomics);
    RUN(test_elements);
    RUN(test_places);
    return ADV_TEST_END();
}
