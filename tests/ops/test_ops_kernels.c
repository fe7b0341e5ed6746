/* test_ops_kernels.c: the table of cpu kernels is one that a registry takes, and leaves no op to the definition. */
#include "tests/adv_test.h"

#include "ops/cpu/kernels_cpu.h"
#include "ops/registry.h"

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

int main(void)
{
    RUN(test_every_op_has_a_kernel);
    RUN(test_every_kernel_has_an_op);
    return ADV_TEST_END();
}
