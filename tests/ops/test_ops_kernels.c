/* test_ops_kernels.c: the table of cpu kernels is one that a registry takes, and leaves no op to the definition; our own exponential. */
#include "tests/adv_test.h"

#include "ops/cpu/ew_tile.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/registry.h"

#include <math.h>
#include <string.h>

/* Made by fuse rules that target cpu does not run (targets.def: ADV_FUSE_TAILS, ADV_FUSE_SMALL). */
static bool is_made_for_others(const AdvOpDef *op)
{
    static const char *const names[] = {"conv2d_sum",     "conv2d_sum_affine", "conv2d_gx_mask", "conv2d_gx_affine",
                                        "conv2d_gx_step", "pool_linear",       "pool_linear_gx", "step_l2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(op->name, names[i])) return true;
    return false;
}

static void test_every_op_has_a_kernel(void)
{
    AdvRegistry r;
    CHECK_EQ(adv_registry_init(&r, adv_alloc_default()), ADV_OK);
    CHECK_EQ(adv_registry_add_kernels(&r, adv_kernels_cpu, NULL), ADV_OK);
    uint32_t n_gw = 0;
    adv_registry_kernels(&r, "cpu", "conv2d_gw", &n_gw);
    bool has_library = n_gw > 0; /* built without oneDNN, what our own kernels refuse is left to the definition */
    for (uint32_t i = 0; i < r.n_ops; i++) {
        uint32_t n = 0;
        if (r.ops[i]->flags & (ADV_OP_STRUCT | ADV_OP_VIEW) || is_made_for_others(r.ops[i])) continue;
        if (!has_library && (r.ops[i]->flags & ADV_OP_CONV)) continue;
        adv_registry_kernels(&r, "cpu", r.ops[i]->name, &n);
        if (n == 0) printf("`%s` has no kernel\n", r.ops[i]->name);
        CHECK(n > 0);
    }
    adv_registry_fini(&r);
}

static void test_every_kernel_has_an_op(void)
{
    AdvRegistry r;
    CHECK_EQ(adv_registry_init(&r, adv_alloc_default()), ADV_OK);
    for (uint32_t i = 0; adv_kernels_cpu[i]; i++) {
        const AdvOpDef *op = adv_registry_op(&r, adv_kernels_cpu[i]->op);
        if (!strcmp(adv_kernels_cpu[i]->op, ADV_KERNEL_ROWS)) continue; /* for every row: the test above */
        CHECK(op != NULL);
        CHECK(!op || op->version == adv_kernels_cpu[i]->op_version);
        CHECK_STR(adv_kernels_cpu[i]->backend, "cpu");
    }
    adv_registry_fini(&r);
}

static int64_t bits_of(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Floats of every size and sign: at most the next number, and that seldom. */
static void test_exp_is_the_nearest_float(void)
{
    enum { N = 1000 };
    AdvTileFn *f = adv_tile_of(&adv_ew_rows[ADV_EW_exp]);
    float x[N], y[N];
    int64_t n_off = 0, n_far = 0, n_nan = 0;
    for (uint64_t first = 0; first < UINT64_C(1) << 32; first += 104729 * UINT64_C(97)) {
        for (uint32_t i = 0; i < N; i++) {
            uint32_t bits = (uint32_t)first + 104729 * i;
            memcpy(&x[i], &bits, sizeof bits);
        }
        f(y, x, NULL, NULL, N);
        for (uint32_t i = 0; i < N; i++) {
            float want = (float)exp((double)x[i]);
            n_nan += isnan(x[i]) != isnan(y[i]);
            if (isnan(x[i])) continue;
            int64_t off = bits_of(y[i]) - bits_of(want);
            n_off += off != 0;
            n_far += off < -1 || off > 1;
        }
    }
    CHECK_EQ(n_nan, 0);
    CHECK_EQ(n_far, 0);
    CHECK(n_off < 10); /* of 400,000 */
}

static void test_exp_at_its_ends(void)
{
    const float x[] = {0, -0.0f, INFINITY, -INFINITY, 88.72283f, 88.7229f, -103.972f, -103.98f, 1e-45f};
    float y[9];
    adv_tile_of(&adv_ew_rows[ADV_EW_exp])(y, x, NULL, NULL, 9);
    for (int i = 0; i < 9; i++) CHECK_EQ(bits_of(y[i]), bits_of((float)exp((double)x[i])));
}

int main(void)
{
    RUN(test_exp_is_the_nearest_float);
    RUN(test_exp_at_its_ends);
    RUN(test_every_op_has_a_kernel);
    RUN(test_every_kernel_has_an_op);
    return ADV_TEST_END();
}
