/* test_recipes_rows.c: what the graph has to express, need by need, on small recipes that run by the ops' definitions. Where a
** need is tested elsewhere, the test is named.
**
**   need                                        test
**   attack loop inside a step                   test_loop_equals_written_out; test_compiler_autodiff: test_loop_is_turns
**   several updates in one step                 test_order_of_updates; parity: two_models
**   both gradients of a loss after an update    test_gradients_before_or_after_update; test_compiler_autodiff: test_two_updates
**   Free-AT: states carried over turns          test_free_8_turns_are_8_steps; parity: replayed
**   weight perturbation and return              test_perturbation_of_nothing, test_perturbation_comes_back; parity: perturbed
**   running statistics, several updates         test_statistics_move_twice
**   Monte Carlo dropout                         test_dropout_shares, test_dropout_of_rate_0; test_compiler_recipes: test_ades_shares
**   tables of a row a sample                    test_table_leaves_other_rows; ops: the cases of scatter (masked rows)
**   skipped or clipped update                   test_clip_bounds_the_update, test_one_bad_image_spoils_only_what_sees_it
**   gradient of a budget                        test_envelope_is_the_slope; parity: budget
**   mixed precision                             tests/ir/precision_*.advg; test_recipes_run: test_cuda_on_ref
**   cues: gradients of an evaluation            test_cue_is_each_samples_gradient
**   phases with different steps                 test_phases_change_at_the_epoch, test_phases_lose_no_state
**   compaction of still-robust samples          test_runtime_program: stages_equal_one_pass
**   one captured graph, changing scalars        test_cuda_session: equal lists of launches from step to step
**   data parallel, early end of a loop          not in the language or the graph yet (masks make further turns nothing: parity: fat)
*/
#include "tests/adv_test.h"
#include "tests/compiler/recipe_run.h"

#include <math.h>

static RecipeRun *steps_of(Recipe *r, const char *target, int64_t n)
{
    RecipeRun *x = recipe_run_on(r, target);
    for (int64_t k = 0; k < n; k++) CHECK_EQ(recipe_run_step(x, k), ADV_OK);
    return x;
}

static RecipeRun *steps(const char *path, int64_t n)
{
    Recipe *r = recipe_open(path);
    RecipeRun *x = steps_of(r, "ref", n);
    recipe_free(r);
    return x;
}

/* Both runs end with the same numbers in every state (but for those whose name begins so). */
static void check_same(RecipeRun *a, RecipeRun *b, const char *but)
{
    const char *where = recipe_run_differs(a, b, but);
    CHECK(!where);
    if (where) printf("  first in %s\n", where);
    recipe_run_close(a);
    recipe_run_close(b);
}

static double max_difference(const RecipeRun *a, const RecipeRun *b, const char *state)
{
    int64_t n;
    double *v = recipe_run_read(a, state, &n), *w = recipe_run_read(b, state, NULL), most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(v[i] - w[i]));
    free(v);
    free(w);
    return most;
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

static void test_loop_equals_written_out(void)
{
    check_same(steps("tests/recipes/loop3.adv", 3), steps("tests/recipes/loop3_written.adv", 3), NULL);
}

/* On one batch: a step of 8 turns, and 8 steps of one. */
static void test_free_8_turns_are_8_steps(void)
{
    Recipe *r = recipe_open("tests/recipes/free8.adv");
    RecipeRun *eight = recipe_run_on(r, "ref");
    recipe_put(r, "param turns = 8", "param turns = 1");
    RecipeRun *one = recipe_run_on(r, "ref");
    CHECK_EQ(recipe_run_step(eight, 0), ADV_OK);
    CHECK_EQ(recipe_run_step(one, 0), ADV_OK);
    CHECK(recipe_run_differs(eight, one, "run.") != NULL);
    for (int k = 1; k < 8; k++) CHECK_EQ(recipe_run_entry(one, "step.main"), ADV_OK);
    CHECK_EQ(recipe_run_get(one, "run.step"), 8);
    check_same(eight, one, "run.");
    recipe_free(r);
}

/* ---- updates ----------------------------------------------------------------------------------------------------- */

static void test_order_of_updates(void)
{
    Recipe *r = recipe_open("tests/recipes/two_updates.adv");
    static const char c[] = "  minimize ce(c(detach(g(x))), y) over c\n", g[] = "  minimize ce(c(g(x)), y) over g\n";
    RecipeRun *first = steps_of(r, "ref", 1);
    recipe_put(r, c, "");
    recipe_after(r, "minimize ce(c(g(x)), y) over g", "  minimize ce(c(detach(g(x))), y) over c");
    CHECK(strstr(r->text, g) && strstr(strstr(r->text, g), "over c"));
    RecipeRun *second = steps_of(r, "ref", 1);
    /* in either order the first update is from the first weights, and the second sees what the first did */
    CHECK(max_difference(first, second, "c.fc2.weight") > 1e-6);
    CHECK(max_difference(first, second, "g.fc1.weight") > 1e-6);
    recipe_run_close(first);
    recipe_run_close(second);
    recipe_free(r);
}

static void test_gradients_before_or_after_update(void)
{
    Recipe *r = recipe_open("recipes/ades_toy.adv");
    RecipeRun *after = steps_of(r, "ref", 3);
    recipe_put(r, "  minimize robust over f\n  maximize robust over sched\n",
               "  gf, gs = grad(robust, [f, sched])\n  apply gf to f\n  apply -1*gs to sched\n");
    RecipeRun *before = steps_of(r, "ref", 3);
    CHECK(recipe_run_get(after, "sched.adam_t") == 3);
    check_same(before, after, "metric.");
    recipe_free(r);
}

/* With nothing added, and also where the compiler cannot know that it is nothing. */
static void test_perturbation_of_nothing(void)
{
    static const char with[] = "with f + v { minimize ce(f(x), y) over f }",
                      v[] = "  v = gamma*scaled_like(grad(ce(f.batch(x), y), f), f)\n";
    Recipe *r = recipe_open("tests/recipes/awp.adv");
    recipe_put(r, "gamma = 0.01", "gamma = 0");
    RecipeRun *known = steps_of(r, "ref", 3);
    recipe_put(r, "model f = small()", "model f = small()\nstate none: once = 0");
    recipe_put(r, "v = gamma*", "v = none*");
    RecipeRun *unknown = steps_of(r, "ref", 3);
    recipe_put(r, "state none: once = 0\n", "");
    recipe_put(r, "v = none*", "v = gamma*");
    recipe_put(r, v, "");
    recipe_put(r, with, "minimize ce(f(x), y) over f");
    recipe_put(r, "param gamma = 0\n", "");
    RecipeRun *without = steps_of(r, "ref", 3);
    const char *where = recipe_run_differs(without, unknown, NULL);
    CHECK(!where);
    if (where) printf("  first in %s\n", where);
    recipe_run_close(unknown);
    check_same(without, known, NULL);
    recipe_free(r);
}

/* With a learning rate of 0 the update is none, and the weights must be where they were, to rounding; the loss was not. */
static void test_perturbation_comes_back(void)
{
    Recipe *r = recipe_open("tests/recipes/awp.adv");
    recipe_put(r, "lr = 0.1", "lr = 0");
    RecipeRun *start = recipe_run_on(r, "ref64"), *moved = steps_of(r, "ref64", 1);
    recipe_put(r, "gamma = 0.01", "gamma = 0.02");
    RecipeRun *further = steps_of(r, "ref64", 1);
    CHECK(max_difference(start, moved, "f.conv1.weight") < 1e-14);
    CHECK(max_difference(start, moved, "f.fc.weight") < 1e-14);
    CHECK(recipe_run_get(further, "metric.loss") > recipe_run_get(moved, "metric.loss") + 1e-6);
    recipe_run_close(start);
    recipe_run_close(moved);
    recipe_run_close(further);
    recipe_free(r);
}

static double length_of_move(const RecipeRun *a, const RecipeRun *b, const char *const *states)
{
    double sum = 0;
    for (; *states; states++) {
        int64_t n;
        double *v = recipe_run_read(a, *states, &n), *w = recipe_run_read(b, *states, NULL);
        for (int64_t i = 0; i < n; i++) sum += (v[i] - w[i]) * (v[i] - w[i]);
        free(v);
        free(w);
    }
    return sqrt(sum);
}

static void test_clip_bounds_the_update(void)
{
    static const char *const weights[] = {"f.fc1.weight", "f.fc1.bias", "f.fc2.weight", "f.fc2.bias", "f.fc3.weight", "f.fc3.bias", NULL};
    Recipe *r = recipe_open("tests/recipes/loop3.adv");
    recipe_put(r, "sgd(lr = 0.1, momentum = 0.9)", "sgd(lr = 0.1)");
    RecipeRun *start = recipe_run_on(r, "ref64"), *free_run = steps_of(r, "ref64", 1);
    double whole = length_of_move(start, free_run, weights);
    recipe_put(r, "sgd(lr = 0.1)", "sgd(lr = 0.1, clip = 0.01)");
    RecipeRun *clipped = steps_of(r, "ref64", 1);
    recipe_put(r, "clip = 0.01", "clip = 100");
    RecipeRun *loose = steps_of(r, "ref64", 1);
    CHECK(whole > 0.1 * 0.02);
    CHECK_NEAR(length_of_move(start, clipped, weights) / (0.1 * 0.01), 1, 1e-3);
    CHECK_NEAR(length_of_move(start, loose, weights), whole, 1e-12);
    recipe_run_close(start);
    recipe_run_close(free_run);
    recipe_run_close(clipped);
    recipe_run_close(loose);
    recipe_free(r);
}

/* A NaN in one image spoils the update, and the metric says so; an update that selects against it leaves all weights alone. */
static void test_one_bad_image_spoils_only_what_sees_it(void)
{
    Recipe *r = recipe_open("tests/recipes/table.adv");
    recipe_put(r, "  minimize e over f\n",
               "  g = grad(e, f)\n  ok = norm2(g) < 1000000\n  signal good = mean(ok)\n  apply select(ok, g, 0*f) to f\n");
    recipe_put(r, "  seen <- seen + 1 + 0*e\n", "");
    recipe_put(r, "state seen: per_sample = 0.25\n", "");
    RecipeRun *x = recipe_run_on(r, "ref");
    CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
    CHECK_EQ(recipe_run_get(x, "metric.good"), 1);
    int64_t n;
    double *image = recipe_run_read(x, "x", NULL), *before = recipe_run_read(x, "f.fc1.weight", &n);
    image[3] = NAN;
    recipe_run_write(x, "x", image);
    CHECK_EQ(recipe_run_entry(x, "step.main"), ADV_OK);
    double *after = recipe_run_read(x, "f.fc1.weight", NULL);
    CHECK_EQ(recipe_run_get(x, "metric.good"), 0);
    CHECK(memcmp(before, after, sizeof *after * (size_t)n) == 0);
    free(image);
    free(before);
    free(after);
    recipe_run_close(x);
    recipe_free(r);
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

static uint32_t count_text(const Recipe *r, const char *entry, const char *piece)
{
    char *text = recipe_dump(r, "graph");
    char head[64];
    uint32_t n = 0;
    snprintf(head, sizeof head, "entry %s {", entry);
    if (!text) abort();
    const char *at = strstr(text, head), *end = at ? strstr(at, "\n}") : NULL;
    CHECK(end != NULL);
    for (; end && (at = strstr(at, piece)) != NULL && at < end; at++) n++;
    free(text);
    return n;
}

/* From mean 0: r1 = m*s, r2 = r1 + m*(s - r1), with one forward pass. */
static void test_statistics_move_twice(void)
{
    Recipe *r = recipe_open("tests/recipes/statistics.adv");
    CHECK_EQ(count_text(r, "step.main", "= bn_train "), 1);
    CHECK_EQ(count_text(r, "step.main", "= conv2d "), 1);
    RecipeRun *twice = steps_of(r, "ref64", 1);
    recipe_put(r, "  touch f(x)\n", "");
    RecipeRun *once = steps_of(r, "ref64", 1);
    int64_t n;
    double *r2 = recipe_run_read(twice, "f.bn1.running_mean", &n), *r1 = recipe_run_read(once, "f.bn1.running_mean", NULL);
    for (int64_t i = 0; i < n; i++) {
        CHECK(r1[i] != 0);
        CHECK_NEAR(r2[i] / r1[i], 1.9, 1e-6); /* momentum 0.1 */
    }
    CHECK(max_difference(once, twice, "f.conv1.weight") == 0);
    free(r1);
    free(r2);
    recipe_run_close(once);
    recipe_run_close(twice);
    recipe_free(r);
}

/* mlp drops behind its second layer: 2 products once, the third once for each pass and for `.eval`. */
static void test_dropout_shares(void)
{
    Recipe *r = recipe_open("tests/recipes/table.adv");
    recipe_put(r, "classes = 2)\n", "classes = 2, drop = 0.5)\n");
    recipe_put(r, "state seen: per_sample = 0.25\n", "");
    recipe_put(r, "  e = ce(f(x), y)\n  seen <- seen + 1 + 0*e\n  minimize e over f\n",
               "  signal v = mc_variance(i => softmax(f.mc(x, draw = i)), draws = 3)\n  signal c = entropy(softmax(f.eval(x)))\n");
    recipe_put(r, "optim f = sgd(lr = 0.1)\n", "");
    CHECK_EQ(count_text(r, "step.main", "= matmul "), 2 + 3 + 1);
    CHECK_EQ(count_text(r, "step.main", "= draw "), 3);
    recipe_free(r);
}

static void test_dropout_of_rate_0(void)
{
    Recipe *r = recipe_open("tests/recipes/table.adv");
    int64_t n;
    recipe_put(r, "  minimize e over f\n", "  signal v = mc_variance(i => softmax(f.mc(x, draw = i)), draws = 3)\n  minimize e over f\n");
    RecipeRun *none = steps_of(r, "ref", 1);
    recipe_put(r, "classes = 2)\n", "classes = 2, drop = 0.5)\n");
    RecipeRun *half = steps_of(r, "ref", 1);
    double *v = recipe_run_read(none, "metric.v", &n), *w = recipe_run_read(half, "metric.v", NULL);
    for (int64_t i = 0; i < n; i++) {
        CHECK_EQ(v[i], 0);
        CHECK(w[i] > 0);
    }
    free(v);
    free(w);
    recipe_run_close(none);
    recipe_run_close(half);
    recipe_free(r);
}

static void test_table_leaves_other_rows(void)
{
    RecipeRun *x = steps("tests/recipes/table.adv", 1);
    int64_t n, n_ids;
    double *seen = recipe_run_read(x, "seen", &n), *ids = recipe_run_read(x, "ids", &n_ids), want[64];
    CHECK_EQ(n, 64);
    CHECK_EQ(n_ids, 16);
    for (int64_t i = 0; i < 64; i++) want[i] = 0.25;
    for (int64_t i = 0; i < n_ids; i++) want[(int64_t)ids[i]] = 1.25;
    for (int64_t i = 0; i < 64; i++) CHECK(seen[i] == want[i]);
    free(seen);
    free(ids);
    for (int64_t k = 1; k < 4; k++) CHECK_EQ(recipe_run_step(x, k), ADV_OK);
    seen = recipe_run_read(x, "seen", NULL);
    for (int64_t i = 0; i < 64; i++) CHECK(seen[i] == 1.25); /* an epoch meets every sample once */
    free(seen);
    recipe_run_close(x);
}

/* ---- the budget -------------------------------------------------------------------------------------------------- */

/* The envelope rule against the whole attack run again with a larger and a smaller radius. */
static void test_envelope_is_the_slope(void)
{
    static const double h = 1e-6;
    RecipeRun *x[3];
    int64_t n;
    uint32_t n_up = 0;
    static const char *const shifts[3] = {"param shift = 0\n", "param shift = 0.000001\n", "param shift = -0.000001\n"};
    for (int k = 0; k < 3; k++) {
        Recipe *r = recipe_open("tests/recipes/envelope.adv");
        recipe_put(r, "param shift = 0\n", shifts[k]);
        x[k] = steps_of(r, "ref64", 1);
        recipe_free(r);
    }
    double *slope = recipe_run_read(x[0], "metric.slope", &n), *up = recipe_run_read(x[1], "metric.loss_at", NULL),
           *down = recipe_run_read(x[2], "metric.loss_at", NULL);
    for (int64_t i = 0; i < n; i++) {
        CHECK_NEAR(slope[i], (up[i] - down[i]) / (2 * h), 1e-6);
        n_up += slope[i] > 0;
    }
    CHECK_EQ(n_up, n); /* a larger ball hurts more */
    free(slope);
    free(up);
    free(down);
    for (int k = 0; k < 3; k++) recipe_run_close(x[k]);
}

/* ---- cues -------------------------------------------------------------------------------------------------------- */

/* The length of the input gradient is each sample's own and not scaled by the batch: against differences of each one's loss. */
static void test_cue_is_each_samples_gradient(void)
{
    static const double h = 1e-6;
    Recipe *r = recipe_open("tests/recipes/table.adv");
    int64_t n, n_x;
    recipe_put(r, "state seen: per_sample = 0.25\n", "");
    recipe_put(r, "  e = ce(f(x), y)\n  seen <- seen + 1 + 0*e\n",
               "  e = ce(f(x), y)\n  signal cost = e\n  signal steep = norm2(grad(e, x))\n");
    recipe_put(r, "lr = 0.1", "lr = 0");
    RecipeRun *x = steps_of(r, "ref64", 1);
    double *steep = recipe_run_read(x, "metric.steep", &n), *at = recipe_run_read(x, "x", &n_x), sum[16] = {0};
    CHECK_EQ(n, 16);
    CHECK_EQ(n_x, 32);
    for (int d = 0; d < 2; d++) { /* the same pixel of every sample at once: they do not see each other */
        double *cost[2];
        for (int side = 0; side < 2; side++) {
            for (int64_t i = 0; i < n; i++) at[2 * i + d] += side ? -2 * h : h;
            recipe_run_write(x, "x", at);
            CHECK_EQ(recipe_run_entry(x, "step.main"), ADV_OK);
            cost[side] = recipe_run_read(x, "metric.cost", NULL);
        }
        for (int64_t i = 0; i < n; i++) {
            double slope = (cost[0][i] - cost[1][i]) / (2 * h);
            sum[i] += slope * slope;
            at[2 * i + d] += h;
        }
        free(cost[0]);
        free(cost[1]);
    }
    for (int64_t i = 0; i < n; i++) CHECK_NEAR(steep[i] / sqrt(sum[i]), 1, 1e-6);
    free(steep);
    free(at);
    recipe_run_close(x);
    recipe_free(r);
}

/* ---- phases ------------------------------------------------------------------------------------------------------ */

typedef struct Entries { char text[4096]; } Entries;

static int32_t note_entry(void *user, const AdvEvent *e)
{
    Entries *all = user;
    size_t n = strlen(all->text);
    if (e->kind == ADV_EVENT_ENTRY && strncmp(e->text, "step.", 5) == 0) snprintf(all->text + n, sizeof all->text - n, "%s ", e->text + 5);
    return 0;
}

static RecipeRun *train(Recipe *r, Entries *out)
{
    RecipeRun *x = recipe_run_on(r, "ref");
    AdvTrainOpts o = {.struct_size = sizeof o, .flags = ADV_TRAIN_ENTRIES, .progress = note_entry, .user = out};
    out->text[0] = 0;
    CHECK_EQ(adv_session_train(x->s, &o, x->ds), ADV_OK);
    CHECK(adv_session_is_done(x->s));
    return x;
}

static void test_phases_change_at_the_epoch(void)
{
    Recipe *r = recipe_open("tests/recipes/phases.adv");
    Entries e;
    recipe_run_close(train(r, &e));
    CHECK_STR(e.text, "warm warm warm warm warm warm warm warm late late late late late late late late ");
    recipe_free(r);
}

static int32_t note_logs(void *user, const AdvEvent *e)
{
    Entries *all = user;
    if (e->kind != ADV_EVENT_EPOCH && (e->kind != ADV_EVENT_STEP || e->step != 1)) return 0;
    for (uint32_t i = 0; i < e->n_metrics; i++) {
        const AdvMetric *m = &e->metrics[i];
        size_t n = strlen(all->text);
        snprintf(all->text + n, sizeof all->text - n, strcmp(m->name, "loss") ? "%s=%g/%d " : "%s ", m->name, m->value, (int)m->n);
    }
    return 0;
}

/* A value is logged in the epochs whose phase computes it: of a first step (of 16 samples), and of the epoch (of 4 steps). */
static void test_phases_log_what_they_compute(void)
{
    Recipe *r = recipe_open("tests/recipes/phases.adv");
    Entries e = {""};
    AdvTrainOpts o = {.struct_size = sizeof o, .progress = note_logs, .user = &e};
    recipe_put(r, "late(epochs = 3 .. 4)", "late(epochs = 2 .. 2)");
    recipe_put(r, "warm(epochs = 1 .. 2) {", "warm(epochs = 1 .. 1) { signal w = 0*mean(x) + epoch;");
    recipe_put(r, "{ size = 0.02 }", "{ size = 0.02; signal l = 0*mean(mean(x)) + 10*epoch }");
    recipe_put(r, "epochs = 4;", "epochs = 3;");
    recipe_put(r, "budget { eps = 0.1 }", "budget { eps = 0.1 }\nsize = 0.03");
    recipe_put(r, "  minimize ce(f(x_adv), y) over f\n", "  minimize ce(f(x_adv), y) over f\n  signal all = mean(mean(0*x)) + epoch\n");
    RecipeRun *x = recipe_run_on(r, "ref");
    CHECK_EQ(adv_session_train(x->s, &o, x->ds), ADV_OK);
    CHECK_STR(e.text, "w=1/16 eps=0.1/16 loss all=1/1 w=1/64 eps=0.1/64 loss all=1/4 "
                      "eps=0.1/16 loss all=2/1 l=20/1 eps=0.1/64 loss all=2/4 l=20/4 "
                      "eps=0.1/16 loss all=3/1 eps=0.1/64 loss all=3/4 ");
    recipe_run_close(x);
    recipe_free(r);
}

/* Two phases that say the same are as one: weights, moments and counters go over. */
static void test_phases_lose_no_state(void)
{
    Recipe *r = recipe_open("tests/recipes/phases.adv");
    Entries e;
    RecipeRun *differ = train(r, &e);
    recipe_put(r, "size = 0.02", "size = 0.04");
    RecipeRun *two = train(r, &e);
    recipe_put(r, "phase warm(epochs = 1 .. 2) { size = 0.04 }\nphase late(epochs = 3 .. 4) { size = 0.04 }\n", "size = 0.04\n");
    RecipeRun *one = train(r, &e);
    CHECK(strncmp(e.text, "main main ", 10) == 0);
    CHECK(max_difference(differ, one, "f.fc1.weight") > 0);
    recipe_run_close(differ);
    check_same(two, one, "metric.");
    recipe_free(r);
}

int main(void)
{
    RUN(test_loop_equals_written_out);
    RUN(test_free_8_turns_are_8_steps);
    RUN(test_order_of_updates);
    RUN(test_gradients_before_or_after_update);
    RUN(test_perturbation_of_nothing);
    RUN(test_perturbation_comes_back);
    RUN(test_clip_bounds_the_update);
    RUN(test_one_bad_image_spoils_only_what_sees_it);
    RUN(test_statistics_move_twice);
    RUN(test_dropout_shares);
    RUN(test_dropout_of_rate_0);
    RUN(test_table_leaves_other_rows);
    RUN(test_envelope_is_the_slope);
    RUN(test_cue_is_each_samples_gradient);
    RUN(test_phases_change_at_the_epoch);
    RUN(test_phases_lose_no_state);
    RUN(test_phases_log_what_they_compute);
    return ADV_TEST_END();
}
