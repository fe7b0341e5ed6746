/* test_gather.c: what lists (pass gather) do to whole recipes for target cuda: how many launches are left of a step, and what they
** cost in memory. What may be a list is shown by tests/ir/gather_*.advg; that the numbers stay the same by test_compiler_recipes_run.
*/
#include "tests/adv_test.h"

#include "runtime/plan_load.h"
#include "tests/compiler/recipe.h"

/* Instructions of a step that run once, not in a loop, and launches of them: a list is one. */
typedef struct Count { uint32_t insts, launches, updates, update_launches; } Count;

static Count count_step(const char *net)
{
    Recipe *r = recipe_open("recipes/pgd_at.adv");
    Setup *s = setup_new();
    Count c = {0, 0, 0, 0};
    recipe_put(r, "wrn(depth = 34, k = 10, classes = 10)", net);
    AdvGraph *g = recipe_graph(r, s, "graph");
    CHECK(g && recipe_target(s, &g, r, "cuda", false) != NULL);
    AdvRegionId entry = adv_entry_find(g, adv_intern(g->names, "step.main"));
    CHECK(entry.i != 0);
    for (uint32_t i = 0; i < adv_region(g, entry)->nodes.n; i++) {
        AdvNodeId n = adv_region(g, entry)->nodes.at[i];
        if (!adv_node_is_inst(g, n)) continue;
        bool is_update = adv_node_is(g, n, "sgd");
        c.insts++;
        c.updates += is_update;
        c.launches += !adv_node(g, n)->with_prev;
        c.update_launches += is_update && !adv_node(g, n)->with_prev;
    }
    setup_free(s);
    recipe_free(r);
    return c;
}

static void test_launches_of_a_step(void)
{
    Count small = count_step("resnet18()"), large = count_step("wrn(depth = 34, k = 10, classes = 10)");
    CHECK_EQ(small.updates, 62);
    CHECK_EQ(small.update_launches, 1);
    CHECK(small.insts >= 350);
    CHECK(small.launches <= 145);
    CHECK_EQ(large.updates, 98);
    CHECK_EQ(large.update_launches, 1);
    CHECK(large.insts >= 550);
    CHECK(large.launches <= 240);
    if (test_n_failed_checks) printf("%u, %u instructions, %u, %u launches\n", small.insts, large.insts, small.launches, large.launches);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

typedef struct Memory { uint64_t temp_bytes; uint32_t n_copies; } Memory;

static Memory memory_of(const Recipe *r, const char *skip)
{
    uint64_t n = 0;
    void *bytes = recipe_plan(r, "cuda", skip, &n);
    AdvAlloc a = adv_alloc_default();
    AdvDiags *ds = adv_diags_new(a);
    AdvPlan *plan = NULL;
    Memory m = {0, 0};
    CHECK(bytes && adv_plan_parse(&a, bytes, n, r->name, ds, &plan) == ADV_OK);
    if (plan) m.temp_bytes = plan->targets[0].temp_bytes;
    for (uint32_t i = 0; plan && i < plan->targets[0].n_insts; i++)
        m.n_copies += strcmp(adv_plan_str(plan, plan->ops[plan->targets[0].insts[i].op].name), "copy") == 0;
    adv_plan_free(plan);
    adv_diags_free(ds);
    recipe_plan_free(bytes, n);
    return m;
}

/* What lives at once hardly grows (gather counts what is written in place of an operand beside it); nor does what its places take. */
static void test_memory(void)
{
    static const char *const paths[] = {"recipes/pgd_at.adv", "recipes/daat.adv", "recipes/mart.adv", "recipes/pgd_at_cifar.adv",
                                        "recipes/mma_mnist.adv", "recipes/ades_toy.adv"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        Recipe *r = recipe_open(paths[i]);
        Memory with = memory_of(r, NULL), without = memory_of(r, "gather");
        CHECK(without.temp_bytes > 0);
        CHECK(with.temp_bytes <= without.temp_bytes + without.temp_bytes / 16);
        CHECK_EQ(with.n_copies, without.n_copies);
        recipe_free(r);
    }
}

int main(void)
{
    RUN(test_launches_of_a_step);
    RUN(test_memory);
    return ADV_TEST_END();
}
