/* test_expand.c: what `advc expand` promises, on every recipe: expanding once more changes nothing, and the expanded recipe is the same
** program: the graph as lowered, and the table of what runs when.
*/
#include "tests/adv_test.h"
#include "tests/compiler/recipe.h"

#include "runtime/plan_load.h"

static char *expanded(const Recipe *r, const AdvSet *sets, uint32_t n_sets)
{
    AdvCompileOpts o = {
        .struct_size = sizeof o, .name = r->name, .text = r->text, .n_bytes = strlen(r->text), .sets = sets, .n_sets = n_sets};
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    char *text, *copy;
    uint64_t n;
    if (adv_expand(&o, ds, &text, &n) != ADV_OK) {
        adv_diags_print_short(ds, setup_write, stdout);
        abort();
    }
    copy = strdup(text);
    adv_compile_free(&o, text, n);
    adv_diags_free(ds);
    if (!copy) abort();
    return copy;
}

static char *program(const Recipe *r)
{
    uint64_t n;
    char *text = NULL;
    Setup *s = setup_new();
    void *bytes = recipe_plan(r, "ref", NULL, &n);
    AdvPlan *plan = NULL;
    AdvAlloc alloc = adv_alloc_default();
    if (!bytes) abort();
    CHECK_EQ(adv_plan_parse(&alloc, bytes, n, "plan", s->diags, &plan), ADV_OK);
    if (!plan || !(text = strdup(plan->program))) abort();
    adv_plan_free(plan);
    recipe_plan_free(bytes, n);
    setup_free(s);
    return text;
}

static void same(const char *path)
{
    Recipe *r = recipe_open(path);
    char *once = expanded(r, NULL, 0);
    Recipe *x = recipe_of(path, once);
    char *twice = expanded(x, NULL, 0), *before = recipe_dump(r, "lowered"), *after = recipe_dump(x, "lowered");
    int n_failed = test_n_failed_checks;
    CHECK(!strcmp(once, twice));
    CHECK(before[0] && !strcmp(before, after));
    free(before);
    free(after);
    if (strstr(path, "_toy")) {
        before = program(r);
        after = program(x);
        CHECK_STR(after, before);
        free(before);
        free(after);
    }
    if (test_n_failed_checks > n_failed) printf("  %s\n", path);
    free(once);
    free(twice);
    recipe_free(r);
    recipe_free(x);
}

static void test_all_recipes(void)
{
    char **all = recipe_all();
    for (size_t i = 0; all[i]; i++) same(all[i]);
}

/* ---- what is written, and what is not -------------------------------------------------------------------------------------------- */

#define HEAD "adv 1\nuse std.nets\nuse std.attacks as att\nparam rate = 0.1  # how fast\ndata mnist { batch = 8 }\n"
#define TAIL                                                                                                                               \
    "step { minimize ce(f(x), y) over f }\noptim f = sgd(lr = rate)\ntrain { epochs = 2 }\neval final { attacks = [clean, att.cw20(eps = " \
    "0.1)] }\n"

static void test_text(void)
{
    static const AdvSet sets[] = {{"rate", "1/4  # a comment"}, {"train.epochs", "5"}, {"run.precision", "bf16"}, {"train.seed", "9"}};
    Recipe *r = recipe_of("t.adv", HEAD "model f = mnist_cnn()\n" TAIL);
    char *got = expanded(r, sets, 4);
    CHECK_STR(got, "adv 1\nuse std.nets\nuse std.attacks as att\nparam rate = 1/4  # how fast\ndata mnist { batch = 8; val = 0 }\n"
                   "model f = mnist_cnn(classes = 10, drop = 0)\nstep { minimize ce(f(x), y) over f }\n"
                   "optim f = sgd(lr = rate, momentum = 0, weight_decay = 0, nesterov = 0)\ntrain { epochs = 5; seed = 9 }\n"
                   "eval final { attacks = [clean, att.cw20(eps = 0.1, kappa = 50)]; on = test }\n\nrun { precision = bf16; deterministic "
                   "= 0; device = auto }\n");
    free(got);
    recipe_free(r);
}

/* Of two values the last counts, and a text is a text again, however it was given. */
static void test_sets(void)
{
    static const AdvSet sets[] = {{"rate", "1/8"}, {"rate", "1/16"}, {"how", "all"}, {"word", "\"b\""}};
    Recipe *r = recipe_of("t.adv", HEAD "param how = \"half\" in [\"half\", \"all\"]\nparam word = \"a\"\nmodel f = mnist_cnn()\n" TAIL);
    char *got = expanded(r, sets, 4);
    CHECK(got && strstr(got, "param rate = 1/16  #") && strstr(got, "param how = \"all\" in [\"half\", \"all\"]\nparam word = \"b\"\n"));
    free(got);
    recipe_free(r);
}

/* The recipe's own functions keep their defaults, and a name of the recipe hides an imported one. */
static void test_own_names(void)
{
    Recipe *r =
        recipe_of("t.adv", HEAD "net mnist_cnn(x, classes = 10) { return x -> flatten -> linear(classes) }\nmodel f = mnist_cnn()\n" TAIL);
    char *got = expanded(r, NULL, 0);
    CHECK(strstr(got, "model f = mnist_cnn()\n"));
    free(got);
    recipe_free(r);
}

/* Blocks of several lines get lines; pipes without arguments get parentheses. */
static void test_places(void)
{
    Recipe *r = recipe_of("t.adv", "adv 1\nuse std.nets\ndata mnist {\n  batch = 8  # small\n}\nnet mine(x) { return x -> mnist_cnn -> "
                                   "linear(10) }\nmodel f = mine()\nstep {\n"
                                   "  minimize ce(f(x), y) over f\n}\noptim f = adam(lr = 0.1)\ntrain {\n  epochs = 1\n}\neval final { on "
                                   "= test; attacks = [clean] }\nrun { }\n");
    char *got = expanded(r, NULL, 0);
    CHECK(strstr(got, "data mnist {\n  batch = 8  # small\n  val = 0\n}\n"));
    CHECK(strstr(got, "x -> mnist_cnn(classes = 10, drop = 0) -> linear(10)"));
    CHECK(strstr(got, "train {\n  epochs = 1\n  seed = 1\n}\n"));
    CHECK(strstr(got, "run { precision = f32; deterministic = 0; device = auto }\n"));
    free(got);
    recipe_free(r);
}

static void test_errors(void)
{
    static const char *const texts[] = {"adv 1\nnonsense",
                                        "adv 1\ndata mnist { batch = 8 }\ntrain { epochs = 1 }\nstep { minimize ce(f(x), y) over f }\n"};
    for (size_t i = 0; i < 2; i++) {
        AdvCompileOpts o = {.struct_size = sizeof o, .name = "t.adv", .text = texts[i], .n_bytes = strlen(texts[i])};
        AdvDiags *ds = adv_diags_new(adv_alloc_default());
        char *text;
        uint64_t n;
        CHECK_EQ(adv_expand(&o, ds, &text, &n), ADV_ERECIPE);
        CHECK(!text && !n);
        CHECK(ds->n_errors > 0);
        adv_diags_free(ds);
    }
}

/* An older program's options end before `entry`. */
static void test_struct_size(void)
{
    AdvCompileOpts o = {.struct_size = (uint32_t)offsetof(AdvCompileOpts, entry), .name = "t.adv", .text = "adv 1\n", .n_bytes = 6};
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    char *text;
    uint64_t n;
    memset(&o.entry, 0xff, sizeof o - offsetof(AdvCompileOpts, entry)); /* not to be read */
    CHECK_EQ(adv_format(&o, ds, &text, &n), ADV_OK);
    CHECK_STR(text, "adv 1\n");
    adv_compile_free(&o, text, n);
    o.struct_size -= 8;
    CHECK_EQ(adv_format(&o, ds, &text, &n), ADV_EINVAL);
    CHECK(!text);
    adv_diags_free(ds);
}

int main(void)
{
    RUN(test_text);
    RUN(test_sets);
    RUN(test_own_names);
    RUN(test_places);
    RUN(test_errors);
    RUN(test_struct_size);
    RUN(test_all_recipes);
    return ADV_TEST_END();
}
