/* test_cuda_recipes.c: every recipe on the cuda back end, with its own kernels: a step in which each instruction is compared with
** its definition, the same bits where lists are one launch, and steps whose loss follows the one that `ref` computes from the same plan.
**
**   test_cuda_recipes BACKEND_DIR [MODE [RECIPE...]]
**
** BACKEND_DIR holds adv_cuda.so: the one of the tests, which runs on the fake device, or the real one (tools/gpu_check.sh). MODE:
** `small` (all recipes cut short, large networks replaced), `whole` (as they are but for the batch), `parity` (20 steps in f32
** against back end cpu).
**
** Tolerance of a loss, relative to it (at least 1): 2e-2 where the plan computes in bf16, since a rounding may turn a sign of an
** attack's gradient; 2e-3 in f32. Each instruction by itself is held to check.c's.
*/
#include "tests/adv_test.h"
#include "tests/compiler/recipe_run.h"

#include <time.h>

static const char *backend_dir;
static double worst; /* of a recipe: how far its logged numbers were apart, relative to them */

static void put_if(Recipe *r, const char *from, const char *to)
{
    if (recipe_has(r, from)) recipe_put(r, from, to);
}

static void shorten(Recipe *r)
{
    recipe_put_number(r, "batch = ", recipe_has(r, "data synthetic") ? 8 : 2);
    recipe_put_number(r, "steps = ", 2);
}

static void make_small(Recipe *r)
{
    put_if(r, "preact_resnet18(", "small_cnn(");
    put_if(r, "resnet18(", "small_cnn(");
    put_if(r, "resnet18_trunk(", "mnist_trunk(");
    recipe_put_number(r, "depth = ", 10);
    recipe_put_number(r, "depth = 10, k = ", 1);
}

/* A recipe in f32 throughout. */
static void in_f32(Recipe *r)
{
    if (recipe_has(r, "precision = bf16")) recipe_put(r, "precision = bf16", "precision = f32");
    else if (!recipe_has(r, "precision =")) recipe_after(r, "adv 1", "run { precision = f32 }");
}

/* Without timing every candidate of every convolution, which a fake device takes minutes for. */
static void by_order(Recipe *r)
{
    if (recipe_has(r, "run {")) recipe_put(r, "run {", "run { deterministic = 1;");
    else recipe_after(r, "adv 1", "run { deterministic = 1 }");
}

static bool is_loss(const char *name) { return !strncmp(name, "metric.", 7) && !strchr(name + 7, '.'); }

/* Do the logged numbers of both agree? */
static void compare_logs(const Recipe *r, const RecipeRun *a, const RecipeRun *b, int64_t step, double tol)
{
    int32_t kind, saved;
    const char *name;
    for (uint32_t i = 0; (name = adv_session_state(a->s, i, &kind, &saved)) != NULL; i++) {
        AdvTensorType t;
        if (!is_loss(name) || adv_session_type(a->s, name, &t) != ADV_OK || t.rank) continue;
        double x = recipe_run_get(a, name), y = recipe_run_get(b, name);
        double off = fabs(x - y) / fmax(1, fabs(y));
        bool ok = off <= tol;
        CHECK(ok);
        if (!(off <= worst)) worst = off;
        if (!ok) printf("%s: `%s` is %.9g, %.9g on %s, at step %lld\n", r->name, name, x, y, "the other back end", (long long)step);
    }
}

static void steps_agree(const Recipe *r, const RecipeRunOpts *o, const RecipeRunOpts *other, int64_t n, double tol)
{
    RecipeRun *a = recipe_run_open(r, o), *b = a ? recipe_run_open(r, other) : NULL;
    CHECK(a && b);
    for (int64_t k = 0; a && b && k < n; k++) {
        AdvStatus st = recipe_run_step(a, k);
        CHECK_EQ(st, ADV_OK);
        CHECK_EQ(recipe_run_step(b, k), ADV_OK);
        if (st != ADV_OK) break;
        compare_logs(r, a, b, k, tol);
    }
    recipe_run_close(a);
    recipe_run_close(b);
}

static void checked_step(const Recipe *r, const RecipeRunOpts *o)
{
    RecipeRunOpts with = *o;
    with.check = ADV_CHECK_REF;
    RecipeRun *x = recipe_run_open(r, &with);
    CHECK(x != NULL);
    if (x) CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
    recipe_run_close(x);
}

static uint64_t digest_of_step(const Recipe *r, const RecipeRunOpts *o, int32_t check)
{
    RecipeRunOpts with = *o;
    with.check = check;
    RecipeRun *x = recipe_run_open(r, &with);
    uint64_t h = x && recipe_run_step(x, 0) == ADV_OK ? recipe_run_digest(x) : 0;
    recipe_run_close(x);
    return h;
}

/* A check runs the instructions of a list one by one; without one a list is one launch. */
static void same_bits_in_lists(const Recipe *r, const RecipeRunOpts *o)
{
    uint64_t single = digest_of_step(r, o, ADV_CHECK_SYNC);
    CHECK(single != 0);
    CHECK(digest_of_step(r, o, ADV_CHECK_OFF) == single);
}

static void small(Recipe *r)
{
    RecipeRunOpts o = {.backend = "cuda", .target = "cuda", .backend_dir = backend_dir}, ref = {.backend = "ref", .target = "cuda"};
    shorten(r);
    make_small(r);
    if (!recipe_has(r, "data synthetic")) by_order(r);
    checked_step(r, &o);
    same_bits_in_lists(r, &o);
    if (recipe_has(r, "data synthetic")) steps_agree(r, &o, &ref, 4, 2e-2);   /* the third and fourth from recordings */
}

static void whole(Recipe *r)
{
    RecipeRunOpts o = {.backend = "cuda", .target = "cuda", .backend_dir = backend_dir};
    shorten(r);
    checked_step(r, &o);
}

static void parity(Recipe *r)
{
    RecipeRunOpts o = {.backend = "cuda", .target = "cuda", .targets = "cuda", .backend_dir = backend_dir},
                  cpu = {.backend = "cpu", .target = "cpu"};
    if (recipe_has(r, "data cifar10")) make_small(r);
    recipe_put_number(r, "batch = ", 8);
    in_f32(r);
    by_order(r);
    steps_agree(r, &o, &cpu, 20, 2e-3);
}

typedef struct Mode { const char *name; void (*run)(Recipe *r); } Mode;
static const Mode modes[] = {{"small", small}, {"whole", whole}, {"parity", parity}, {NULL, NULL}};

static bool is_wanted(const char *path, int argc, char **argv)
{
    for (int i = 3; i < argc; i++)
        if (strstr(path, argv[i])) return true;
    return argc <= 3;
}

int main(int argc, char **argv)
{
    const Mode *m = modes;
    while (argc > 2 && m->name && strcmp(m->name, argv[2])) m++;
    if (argc < 2 || !m->name) {
        printf("usage: test_cuda_recipes BACKEND_DIR [small|whole|parity [RECIPE...]]\n");
        return 64;
    }
    backend_dir = argv[1];
    for (char **path = recipe_all(); *path; path++) {
        if (!is_wanted(*path, argc, argv)) continue;
        clock_t t0 = clock();
        int before = test_n_failed_checks;
        worst = 0;
        Recipe *r = recipe_open(*path);
        m->run(r);
        recipe_free(r);
        bool ok = test_n_failed_checks == before;
        printf("%s %s, %.1f s, logged numbers off by %.1e\n", ok ? "ok  " : "FAIL", *path, (double)(clock() - t0) / CLOCKS_PER_SEC, worst);
        *(ok ? &test_n_passed : &test_n_failed) += 1;
        fflush(stdout);
    }
    test_n_failed_checks = 0;
    return ADV_TEST_END();
}
