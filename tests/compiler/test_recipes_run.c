/* test_recipes_run.c: every recipe runs: a few steps on the cpu back end with every instruction on a kernel of it (strict), and the
** instructions of target cuda on the definitions of the ops. What is looked at: states stay finite; the training attack's
** images are within the box and within each sample's own radius, to the last bit; evaluation attacks keep their distance.
** And numbers do not depend on what the compiler merged, moved or fused.
**
** Batches and loops are cut short in the recipe's text; the networks are the recipes' own but on the reference, where the large
** ones become a small one.
*/
#include "tests/adv_test.h"
#include "tests/compiler/recipe_run.h"

#include <math.h>

static void put_if(Recipe *r, const char *from, const char *to)
{
    if (recipe_has(r, from)) recipe_put(r, from, to);
}

/* 2 images a step (8 of the small ones), 2 turns an attack; in the step, a count of what left the ball or the box. */
static void shorten(Recipe *r)
{
    static const char attack[] = "  x_adv = pgd(";
    recipe_put_number(r, "batch = ", recipe_has(r, "data synthetic") ? 8 : 2);
    recipe_put_number(r, "steps = ", 2);
    if (!recipe_has(r, "\nbudget ") || !recipe_has(r, attack)) return;
    recipe_after(r, attack,
                 "  signal outside = sum(x_adv > x + eps or x_adv < x - eps or x_adv < 0 or x_adv > 1)\n"
                 "  signal reach = max(abs(x_adv - x))");
}

static void check_attack(const RecipeRun *x)
{
    int64_t n;
    double *v, most = 0;
    if (!recipe_run_has(x, "metric.outside")) return;
    v = recipe_run_read(x, "metric.outside", &n);
    for (int64_t i = 0; i < n; i++) CHECK_EQ(v[i], 0);
    free(v);
    v = recipe_run_read(x, "metric.reach", &n);
    for (int64_t i = 0; i < n; i++) most = fmax(most, v[i]);
    free(v);
    CHECK(most > 0); /* the attack moved something */
}

static void run_steps(const Recipe *r, const RecipeRunOpts *o, int64_t n_steps)
{
    RecipeRun *x = recipe_run_open(r, o);
    CHECK(x != NULL);
    for (int64_t k = 0; x && k < n_steps; k++) {
        CHECK_EQ(recipe_run_step(x, k), ADV_OK);
        const char *bad = recipe_run_not_finite(x);
        CHECK(!bad);
        if (bad) printf("%s: %s is not finite after step %lld\n", r->name, bad, (long long)k);
        check_attack(x);
    }
    recipe_run_close(x);
}

/* Runs every evaluation entry that is cheap (all of them for small networks) on the first samples. */
static void run_evals(const Recipe *r, const RecipeRunOpts *o, bool all)
{
    RecipeRun *x = recipe_run_open(r, o);
    const char *entry;
    CHECK(x != NULL);
    for (uint32_t i = 0; x && (entry = recipe_run_entry_name(x, i)) != NULL; i++) {
        int64_t n;
        if (strncmp(entry, "eval.", 5) != 0 || (!all && !strstr(entry, ".clean"))) continue;
        double *ids = recipe_run_read(x, "eval.ids", &n), *mask = recipe_run_read(x, "eval.mask", NULL);
        for (int64_t k = 0; k < n; k++) ids[k] = (double)k, mask[k] = k + 1 < n; /* the last row is padding */
        recipe_run_write(x, "eval.ids", ids);
        recipe_run_write(x, "eval.mask", mask);
        free(ids);
        CHECK_EQ(recipe_run_entry(x, entry), ADV_OK);
        double *correct = recipe_run_read(x, "eval.correct", NULL), *dist = recipe_run_read(x, "eval.dist", NULL);
        for (int64_t k = 0; k < n; k++) {
            CHECK(correct[k] == 0 || (correct[k] == 1 && mask[k] == 1));
            CHECK(dist[k] >= 0 && dist[k] <= (mask[k] ? 0.201 : 0)); /* the largest radius any recipe evaluates at is 0.2 */
            if (strstr(entry, ".clean")) CHECK_EQ(dist[k], 0);
        }
        free(correct);
        free(dist);
        free(mask);
    }
    recipe_run_close(x);
}

static bool is_large(const Recipe *r) { return recipe_has(r, "data cifar10"); }

static void each_recipe(void (*fn)(Recipe *r))
{
    for (char **path = recipe_all(); *path; path++) {
        int before = test_n_failed_checks;
        Recipe *r = recipe_open(*path);
        shorten(r);
        fn(r);
        if (test_n_failed_checks > before) printf("  in %s\n", *path);
        recipe_free(r);
    }
}

/* Large networks as they are in these, one of a kind; elsewhere they become small ones (tests/recipes/run.sh opens every plan under
** strict). */
static const char *const whole[] = {"recipes/trades.adv", "recipes/ades.adv"};

static void make_small(Recipe *r)
{
    put_if(r, "preact_resnet18(", "small_cnn(");
    put_if(r, "resnet18(", "small_cnn(");
    put_if(r, "resnet18_trunk(", "mnist_trunk(");
    recipe_put_number(r, "depth = ", 10);
    recipe_put_number(r, "depth = 10, k = ", 1);
}

static bool is_whole(const Recipe *r)
{
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(r->name, whole[i]) == 0) return true;
    return false;
}

static void cpu_steps(Recipe *r)
{
    if (!is_whole(r)) make_small(r);
    RecipeRunOpts o = {.backend = "cpu", .target = "cpu", .strict = true};
    run_steps(r, &o, is_large(r) ? 1 : 3);
    run_evals(r, &o, !is_large(r));
}

static void test_cpu_strict(void) { each_recipe(cpu_steps); }

/* The count of what is outside does count: within half the radius there is not everything. */
static void test_outside_is_seen(void)
{
    Recipe *r = recipe_open("recipes/pgd_at_toy.adv");
    RecipeRunOpts o = {.backend = "ref"};
    shorten(r);
    recipe_put(r, "x_adv > x + eps or", "x_adv > x + eps/4 or");
    RecipeRun *x = recipe_run_open(r, &o);
    int64_t n;
    CHECK(x && recipe_run_step(x, 0) == ADV_OK);
    double *v = x ? recipe_run_read(x, "metric.outside", &n) : NULL, sum = 0;
    for (int64_t i = 0; v && i < n; i++) sum += v[i];
    CHECK(sum > 0);
    free(v);
    recipe_run_close(x);
    recipe_free(r);
}

static void cuda_on_ref(Recipe *r)
{
    RecipeRunOpts o = {.backend = "ref", .target = "cuda", .targets = "cpu,cuda"};
    make_small(r);
    run_steps(r, &o, 1);
}

static void test_cuda_on_ref(void) { each_recipe(cuda_on_ref); }

/* ---- the same numbers whatever the passes do --------------------------------------------------------------------- */

static const char *const toys[] = {"recipes/natural_toy.adv", "recipes/pgd_at_toy.adv", "recipes/trades_toy.adv", "recipes/mart_toy.adv",
                                   "recipes/ades_toy.adv", "recipes/ades_literal_toy.adv", "tests/recipes/free8.adv",
                                   "tests/recipes/bn_toy.adv"};

static uint64_t digest_without(const Recipe *r, const char *target, const char *skip)
{
    RecipeRunOpts o = {.backend = recipe_has(r, "cifar10") ? "cpu" : "ref", .target = target, .skip = skip};
    RecipeRun *x = recipe_run_open(r, &o);
    uint64_t h = 0;
    CHECK(x != NULL);
    for (int64_t k = 0; x && k < 3; k++) CHECK_EQ(recipe_run_step(x, k), ADV_OK);
    if (x) h = recipe_run_digest(x);
    recipe_run_close(x);
    return h;
}

/* All 16 sets of four passes left out, on target cpu (which fuses) run by the definitions; the last only adds to what others do. */
static void same_without_passes(const char *path)
{
    static const char *const passes[] = {"simplify", "cse", "hoist", "fuse", "peel"};
    Recipe *r = recipe_open(path);
    uint64_t want = digest_without(r, "cpu", NULL);
    CHECK(want != 0);
    for (uint32_t set = 1; set <= 16; set++) {
        char skip[64] = "";
        for (uint32_t k = 0; k < 5; k++)
            if (set >> k & 1) strcat(strcat(skip, *skip ? "," : ""), passes[k]);
        bool same = digest_without(r, "cpu", skip) == want;
        CHECK(same);
        if (!same) printf("%s: other numbers without %s\n", path, skip);
    }
    recipe_free(r);
}

static void test_same_numbers_without_passes(void)
{
    for (size_t i = 0; i < sizeof toys / sizeof *toys; i++) same_without_passes(toys[i]);
}

/* Target cuda makes lists; a small network with convolutions, batch norm and Adam has all kinds of them. */
static void test_same_numbers_without_lists(void)
{
    for (size_t i = 0; i < sizeof toys / sizeof *toys + 1; i++) {
        Recipe *r = recipe_open(i < sizeof toys / sizeof *toys ? toys[i] : "recipes/pgd_at_cifar.adv");
        if (recipe_has(r, "data cifar10")) {
            recipe_put_number(r, "batch = ", 2);
            recipe_put_number(r, "steps = ", 1);
        }
        CHECK(digest_without(r, "cuda", "gather") == digest_without(r, "cuda", NULL));
        recipe_free(r);
    }
}

/* What is made again for less memory has the bits that it had, in f32 and with the roundings of 16 bits. */
static void test_same_numbers_when_made_again(void)
{
    Recipe *r = recipe_open("tests/recipes/bn_toy.adv");
    for (uint32_t low = 0; low < 2; low++) {
        if (low) recipe_put(r, "train {", "run { precision = bf16 }\ntrain {");
        CHECK(digest_without(r, "cpu", "remat") == digest_without(r, "cpu", NULL));
        CHECK(digest_without(r, "cuda", "remat") == digest_without(r, "cuda", NULL));
    }
    recipe_free(r);
}

/* The digest does see a difference: another seed is another run. */
static void test_digest_sees_the_seed(void)
{
    Recipe *r = recipe_open("recipes/ades_toy.adv");
    uint64_t one = digest_without(r, "cpu", NULL), again = digest_without(r, "cpu", NULL);
    recipe_put(r, "seed = 1", "seed = 2");
    CHECK(one == again);
    CHECK(one != digest_without(r, "cpu", NULL));
    recipe_free(r);
}

int main(void)
{
    RUN(test_digest_sees_the_seed);
    RUN(test_outside_is_seen);
    RUN(test_same_numbers_without_passes);
    RUN(test_same_numbers_without_lists);
    RUN(test_same_numbers_when_made_again);
    RUN(test_cuda_on_ref);
    RUN(test_cpu_strict);
    return ADV_TEST_END();
}
