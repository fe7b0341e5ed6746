/* test_recipes_lang.c: constructs of the language that couple samples, models and epochs, on small recipes run by the ops' definitions
** (tests/recipes/lang_*.adv); and what published methods have to become at the end of a parameter's range.
*/
#include "tests/adv_test.h"
#include "tests/compiler/recipe_run.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static RecipeRun *open_on(const Recipe *r, const char *target)
{
    RecipeRunOpts o = {.backend = "ref", .target = target};
    RecipeRun *x = recipe_run_open(r, &o);
    if (!x) abort();
    return x;
}

static RecipeRun *open_file(const char *path, const char *target)
{
    Recipe *r = recipe_open(path);
    RecipeRun *x = open_on(r, target);
    recipe_free(r);
    return x;
}

static double at(const RecipeRun *x, const char *state, int64_t i)
{
    int64_t n;
    double *v = recipe_run_read(x, state, &n), r = i < n ? v[i] : NAN;
    free(v);
    return r;
}

static double sum_of(const RecipeRun *x, const char *state)
{
    int64_t n;
    double *v = recipe_run_read(x, state, &n), s = 0;
    for (int64_t i = 0; i < n; i++) s += v[i];
    free(v);
    return s;
}

/* ---- weights as values --------------------------------------------------------------------------------------------- */

static const char *const of_small[] = {"fc1.weight", "bn1.bias", "bn1.weight", "bn1.running_mean", "bn1.running_var", "fc2.weight"};
enum { N_SMALL = 6 };

static double entry_of(const RecipeRun *x, const char *model, int k)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", model, of_small[k]);
    return at(x, name, 1);
}

static void test_copy_starts_the_same_and_follows(void)
{
    RecipeRun *x = open_file("tests/recipes/lang_ema.adv", "ref64");
    double before[N_SMALL];
    for (int k = 0; k < N_SMALL; k++) {
        before[k] = entry_of(x, "f", k);
        CHECK(entry_of(x, "ema", k) == before[k] && entry_of(x, "avg", k) == before[k]);
    }
    CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
    for (int k = 0; k < N_SMALL; k++) {
        CHECK(entry_of(x, "f", k) != before[k]); /* weights by the update, statistics by f(x) */
        CHECK_NEAR(entry_of(x, "ema", k), 0.9 * before[k] + 0.1 * entry_of(x, "f", k), 1e-6);
        CHECK(entry_of(x, "avg", k) == before[k]);
    }
    recipe_run_close(x);
}

static void test_epoch_block_reads_results(void)
{
    RecipeRun *x = open_file("tests/recipes/lang_ema.adv", "ref64");
    double good[3] = {0.25, 0.5, 1}, bad[3] = {0.9, 0.2, 1}, before[N_SMALL];
    for (int64_t k = 0; k < 4; k++) CHECK_EQ(recipe_run_step(x, k), ADV_OK);
    double hits = sum_of(x, "hits");
    CHECK_EQ(sum_of(x, "seen"), 24);
    CHECK(at(x, "seen", 0) == 8 && at(x, "seen", 2) == 8);
    CHECK(hits >= 0 && hits <= 24);
    double share = at(x, "hits", 1) / 8;
    for (int k = 0; k < N_SMALL; k++) before[k] = entry_of(x, "avg", k);
    recipe_run_write(x, "probe.clean.per_class", bad);
    CHECK_EQ(recipe_run_entry(x, "epoch.final"), ADV_OK);
    CHECK_NEAR(at(x, "t", 1), share, 1e-6);
    CHECK_EQ(sum_of(x, "hits"), 0);
    CHECK_EQ(sum_of(x, "seen"), 0);
    for (int k = 0; k < N_SMALL; k++) CHECK(entry_of(x, "avg", k) == before[k]);
    recipe_run_write(x, "probe.clean.per_class", good);
    CHECK_EQ(recipe_run_entry(x, "epoch.final"), ADV_OK);
    for (int k = 0; k < N_SMALL; k++) CHECK_NEAR(entry_of(x, "avg", k), 0.75 * before[k] + 0.25 * entry_of(x, "f", k), 1e-6);
    recipe_run_close(x);
}

/* Blocks and evaluations run in the order of the file, blocks also when the evaluation behind them is not due. */
static void test_epoch_blocks_in_file_order(void)
{
    RecipeRun *x = open_file("tests/recipes/lang_ema.adv", "ref");
    CHECK_EQ(adv_session_train(x->s, NULL, x->ds), ADV_OK);
    CHECK_EQ(recipe_run_get(x, "n_before"), 2);
    CHECK_EQ(recipe_run_get(x, "n_behind"), 3); /* 1 + 2 */
    double mean = sum_of(x, "probe.clean.per_class") / 3; /* 12 samples, 4 a class */
    CHECK_NEAR(recipe_run_get(x, "probe.clean"), mean, 1e-6);
    recipe_run_close(x);
}

/* ---- the batch ------------------------------------------------------------------------------------------------------ */

static int smaller(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static void check_order(const RecipeRun *x)
{
    int64_t n;
    double *v = recipe_run_read(x, "metric.value", &n), s[6];
    CHECK_EQ(n, 6);
    memcpy(s, v, sizeof s);
    qsort(s, 6, sizeof *s, smaller);
    for (int i = 0; i < 6; i++) {
        int below = 0;
        for (int k = 0; k < 6; k++) below += v[k] < v[i];
        CHECK_NEAR(at(x, "metric.rank_v", i), below / 5.0, 1e-12);
        CHECK_NEAR(at(x, "metric.ties", i), (i < 2 ? 0.5 : i < 4 ? 2.5 : 4.5) / 5, 1e-12); /* 0 0 1 1 2 2 */
        CHECK_EQ(at(x, "metric.place", i), i);
        CHECK_NEAR(at(x, "metric.pulls", i), v[i] == s[2] || v[i] == s[3] ? 0.5 : 0, 1e-12); /* the median is their mean */
    }
    CHECK_NEAR(recipe_run_get(x, "metric.q25"), s[1] + 0.25 * (s[2] - s[1]), 1e-9); /* position 1.25 */
    CHECK(recipe_run_get(x, "metric.q100") == s[5]);
    free(v);
}

static void check_corr(const RecipeRun *x)
{
    int64_t n;
    double *v = recipe_run_read(x, "metric.value", NULL), *im = recipe_run_read(x, "x", &n), ma = 0, mb = 0, ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < 6; i++) ma += v[i] / 6, mb += im[i * 4 + 1] / 6;
    for (int i = 0; i < 6; i++) {
        double a = v[i] - ma, b = im[i * 4 + 1] - mb;
        ab += a * b, aa += a * a, bb += b * b;
    }
    CHECK_NEAR(recipe_run_get(x, "metric.with_x1"), ab / sqrt(aa * bb), 1e-9);
    CHECK_EQ(recipe_run_get(x, "metric.with_even"), 0);
    free(v);
    free(im);
}

static void test_functions_of_the_batch(void)
{
    RecipeRun *x = open_file("tests/recipes/lang_batch.adv", "ref64");
    CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
    check_order(x);
    check_corr(x);
    CHECK_EQ(sum_of(x, "metric.first_wrong"), 0);
    recipe_run_close(x);
}

/* Statistics of the samples where `rows` holds; running ones, which stay, where it holds for none. */
static void test_rows_of_batch_norm(void)
{
    RecipeRun *x = open_file("tests/recipes/lang_batch.adv", "ref64");
    CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
    int64_t n;
    double *im = recipe_run_read(x, "x", &n);
    for (int k = 0; k < 4; k++) {
        double mean = (im[k] + im[4 + k]) / 2, d = im[k] - im[4 + k], unbiased = d * d / 2;
        CHECK_NEAR(at(x, "f.bn1.running_mean", k), 0.1 * mean, 1e-9);
        CHECK_NEAR(at(x, "f.bn1.running_var", k), 0.9 + 0.1 * unbiased, 1e-9);
        CHECK_EQ(at(x, "no_rows.bn1.running_mean", k), 0);
        CHECK_EQ(at(x, "no_rows.bn1.running_var", k), 1);
    }
    free(im);
    CHECK_NEAR(sum_of(x, "metric.rows_all"), 0, 1e-9);
    CHECK_NEAR(sum_of(x, "metric.rows_none"), 0, 1e-9);
    recipe_run_close(x);
}

static void test_draws_and_new_computations(void)
{
    RecipeRun *x = open_file("tests/recipes/lang_batch.adv", "ref64");
    CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
    CHECK(sum_of(x, "metric.same_noise") > 0); /* two draws that are written are two */
    CHECK(sum_of(x, "metric.again_differs") > 0);
    CHECK_EQ(sum_of(x, "metric.one_value"), 0);
    recipe_run_close(x);
}

static void test_shared_draws(void)
{
    static const char text[] =
        "adv 1\n"
        "data synthetic { train = 8; test = 8; classes = 2; shape = [2, 3, 4]; batch = 4; y = id - 2*floor(id/2); x = 0.5 }\n"
        "net small(x) { return x -> fc: linear(2) }\n"
        "model f = small()\n"
        "state all: per_slot(x) = 0\n"
        "state row_too: per_slot(x) = 0\n"
        "state pixels: per_slot(x) = 0\n"
        "step {\n"
        "  all <- 0*x + normal(like = x, shared = [sample])\n"
        "  row_too <- normal(like = x, shared = [channel, row])\n"
        "  pixels <- 0*x + uniform(0, 1, like = x, shared = [sample, channel, row, col])\n"
        "  minimize ce(f(x), y) over f\n"
        "}\n"
        "optim f = sgd(lr = 0.1)\n"
        "train { epochs = 1; seed = 1 }\n"
        "eval final { on = test; attacks = [clean] }\n";
    Recipe *r = recipe_of("shared.adv", text);
    RecipeRun *x = open_on(r, "ref");
    CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
    double *all = recipe_run_read(x, "all", NULL), *row = recipe_run_read(x, "row_too", NULL), *one = recipe_run_read(x, "pixels", NULL),
           first = all[0];
    for (int i = 0; i < 4 * 24; i++) {
        CHECK(all[i] == all[i % 24]);
        CHECK(row[i] == row[i / 24 * 24 + i % 4]);
        CHECK(one[i] == one[0]);
    }
    CHECK(all[0] != all[1] && all[0] != all[4] && row[0] != row[1] && row[0] != row[24] && one[0] > 0 && one[0] < 1);
    free(all);
    free(row);
    free(one);
    CHECK_EQ(recipe_run_step(x, 1), ADV_OK);
    CHECK(at(x, "all", 0) != first); /* of the step, not of the samples */
    recipe_run_close(x);
    recipe_free(r);
}

/* ---- evaluation ----------------------------------------------------------------------------------------------------- */

typedef struct Rows { double staged, whole, clean; uint32_t n; int64_t first, second; } Rows;

static int32_t on_event(void *user, const AdvEvent *e)
{
    Rows *w = user;
    for (uint32_t i = 0; e->kind == ADV_EVENT_EVAL && i < e->n_rows; i++) {
        const AdvEvalRow *row = &e->rows[i];
        w->n++;
        if (!strcmp(row->attack, "staged")) w->staged = row->accuracy;
        if (!strcmp(row->attack, "whole")) w->whole = row->accuracy;
        if (!strcmp(row->attack, "clean")) w->clean = row->accuracy;
        if (!strcmp(row->attack, "staged.1")) w->first = row->n_correct;
        if (!strcmp(row->attack, "staged.2")) w->second = row->n_correct;
    }
    return 0;
}

static void test_worst_as_stages(void)
{
    RecipeRun *x = open_file("tests/recipes/lang_worst.adv", "ref");
    Rows w = {0};
    AdvTrainOpts o = {.struct_size = sizeof o, .progress = on_event, .user = &w};
    CHECK_EQ(adv_session_train(x->s, &o, x->ds), ADV_OK);
    CHECK_EQ(w.n, 3 * 5); /* each epoch: staged.1, staged.2, staged, whole, clean */
    CHECK_NEAR(w.staged, w.whole, 1e-12);
    CHECK_NEAR((double)w.first / 40, w.clean, 1e-12); /* the first candidate is the clean image */
    CHECK(w.second <= w.first && w.staged * 40 <= (double)w.second && w.staged < w.clean);
    double mean = 0;
    int64_t n;
    double *v = recipe_run_read(x, "probe.staged.per_class", &n);
    CHECK_EQ(n, 3);
    mean = (v[0] * 14 + v[1] * 13 + v[2] * 13) / 40; /* test ids follow the 48 training ones */
    CHECK_NEAR(mean, w.staged, 1e-6);
    for (int k = 0; k < 3; k++) CHECK(at(x, "seen", k) == v[k]);
    free(v);
    recipe_run_close(x);
}

/* ---- loops, lists, updates ------------------------------------------------------------------------------------------- */

static void test_loops_and_lists(void)
{
    RecipeRun *x = open_file("tests/recipes/lang_loops.adv", "ref64");
    double w0 = at(x, "f.fc.weight", 2);
    for (int64_t k = 0; k < 3; k++) CHECK_EQ(recipe_run_step(x, k), ADV_OK);
    CHECK_EQ(recipe_run_get(x, "metric.sum_of_turns"), 4 * 10 * 3 + 3 * 6); /* over i < 3, j < 4 of 10*i + j */
    double *im = recipe_run_read(x, "x", NULL);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(at(x, "metric.turns", i), i < 5 ? i : 5);
        CHECK_NEAR(at(x, "metric.masked", i), 0, 1e-9);
        CHECK_EQ(at(x, "metric.second", i), 0);
        CHECK_NEAR(at(x, "metric.of_two", i), im[4 * i] - 2 * im[4 * i + 1], 1e-9);
        CHECK_EQ(at(x, "metric.remembered", i), 0); /* each sample for the first time */
    }
    free(im);
    CHECK_NEAR(recipe_run_get(x, "metric.share"), 2.0 / 8, 1e-9); /* the third of 2 times 4 steps */
    CHECK_NEAR(recipe_run_get(x, "metric.rate"), 0.1, 1e-9);
    CHECK_NEAR(at(x, "mean_x", 3), 0.5, 1e-12);
    CHECK(at(x, "f.fc.weight", 2) != w0);
    recipe_run_close(x);
}

static void check_same(RecipeRun *a, RecipeRun *b, const char *but)
{
    const char *where = recipe_run_differs(a, b, but);
    CHECK(!where);
    if (where) printf("  first in %s\n", where);
    recipe_run_close(a);
    recipe_run_close(b);
}

static RecipeRun *steps_of(const Recipe *r, int64_t n)
{
    RecipeRun *x = open_on(r, "ref");
    for (int64_t k = 0; k < n; k++) CHECK_EQ(recipe_run_step(x, k), ADV_OK);
    return x;
}

static void test_apply_is_minimize(void)
{
    Recipe *r = recipe_open("tests/recipes/lang_loops.adv");
    RecipeRun *a = steps_of(r, 3);
    recipe_put(r, "  d1, d2 = grad(ce(f(x), y) + ce(g(x), y), [f, g])\n  apply [d1, d2] to f, g\n",
               "  loss = ce(f(x), y) + ce(g(x), y)\n  minimize loss over f, g\n");
    recipe_put(r, "  signal remembered", "  signal loss_too = 0*share\n  signal remembered");
    RecipeRun *b = steps_of(r, 3);
    CHECK(at(a, "f.fc.weight", 5) == at(b, "f.fc.weight", 5) && at(a, "g.fc.weight", 5) == at(b, "g.fc.weight", 5));
    CHECK(at(a, "f.fc.bias", 1) == at(b, "f.fc.bias", 1));
    recipe_run_close(a);
    recipe_run_close(b);
    recipe_free(r);
}

/* One optimiser of two models bounds the length of both gradients together. */
static void test_one_optimiser_clips_both(void)
{
    Recipe *r = recipe_open("tests/recipes/lang_loops.adv");
    recipe_put(r, "sgd(lr = 0.1)", "sgd(lr = 1, clip = 0.001)");
    RecipeRun *x = open_on(r, "ref64");
    static const char *const names[] = {"f.fc.weight", "f.fc.bias", "g.fc.weight", "g.fc.bias"};
    double *before[4], square = 0;
    int64_t n;
    for (int k = 0; k < 4; k++) before[k] = recipe_run_read(x, names[k], NULL);
    CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
    for (int k = 0; k < 4; k++) {
        double *now = recipe_run_read(x, names[k], &n);
        for (int64_t i = 0; i < n; i++) square += (now[i] - before[k][i]) * (now[i] - before[k][i]);
        free(now);
        free(before[k]);
    }
    CHECK_NEAR(sqrt(square) / 0.001, 1, 1e-4);
    recipe_run_close(x);
    recipe_free(r);
}

/* A model that starts from the checkpoint of another run, under the name it has there. */
static void test_weights_from_a_file(void)
{
    static const char head[] = "adv 1\ndata synthetic { train = 24; test = 12; classes = 3; shape = [4]; batch = 6; y = id - "
                               "3*floor(id/3); x = uniform(0, 1, like = x) }\n"
                               "net small(x) { return x -> fc1: linear(5) -> bn1: bn -> relu -> fc2: linear(3) }\n";
    static const char tail[] = "step { minimize ce(f(x), y) over f }\noptim f = sgd(lr = 0.1)\ntrain { epochs = 1; seed = 7 }\neval final "
                               "{ on = test; of = f.eval; attacks = [clean] }\n";
    char dir[] = "/tmp/adv_lang_XXXXXX", path[300] = "", text[2000], command[64];
    CHECK(mkdtemp(dir) != NULL);
    snprintf(text, sizeof text, "%smodel f = small()\n%s", head, tail);
    Recipe *r = recipe_of("first.adv", text);
    RecipeRun *a = steps_of(r, 2);
    CHECK_EQ(adv_session_save(a->s, dir, a->ds), ADV_OK);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (!strncmp(e->d_name, "ckpt-", 5)) snprintf(path, sizeof path, "%s/%.200s/state.safetensors", dir, e->d_name);
    if (d) closedir(d);
    CHECK(path[0]);
    recipe_free(r);
    snprintf(text, sizeof text, "%smodel f = small(weights = \"%s\")\nmodel twin = copy(f)\n%s", head, path, tail);
    r = recipe_of("second.adv", text);
    recipe_put(r, "minimize ce(f(x), y) over f }", "minimize ce(f(x), y) over f; twin <- 0.5*twin + 0.5*f }");
    RecipeRun *b = open_on(r, "ref");
    for (int k = 0; k < N_SMALL; k++) CHECK(entry_of(a, "f", k) == entry_of(b, "f", k) && entry_of(a, "f", k) == entry_of(b, "twin", k));
    recipe_run_close(a);
    recipe_run_close(b);
    recipe_free(r);
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK_EQ(system(command), 0);
}

/* ---- methods at the ends of their ranges -------------------------------------------------------------------------- */

static Recipe *method(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "recipes/%s_mnist.adv", name);
    Recipe *r = recipe_open(path);
    recipe_put(r, "batch = 128", "batch = 8");
    return r;
}

static void test_mwpb_without_margin_is_at(void)
{
    Recipe *r = method("mwpb_at");
    recipe_put(r, "phase warm(epochs = 1 .. 2) {\n  budget { eps = eps_0/2 }\n  size = 0.025\n}\n", "");
    recipe_put(r, "phase mwpb(epochs = 3 .. 4) {\n", "");
    recipe_put(r, "  size = eps/4\n}\n", "size = eps/4\n");
    recipe_put(r, "alpha = 0.58", "alpha = 0");
    RecipeRun *a = steps_of(r, 2);
    recipe_put(r, "eps_0*exp(alpha*margin(softmax(f.eval(x)), y))", "eps_0 + 0*y_is");
    recipe_put(r, "size = eps/4", "size = 0.05; y_is = x[0][0][0]");
    RecipeRun *b = steps_of(r, 2);
    check_same(a, b, "metric.");
    recipe_free(r);
}

static void test_fat_with_slack_is_at(void)
{
    Recipe *r = method("fat");
    recipe_put(r, "slack = tau", "slack = 7");
    recipe_put(r, "noise = 0.001", "noise = 0");
    RecipeRun *a = steps_of(r, 2);
    recipe_put(r, "pgd_friendly(z => ce(f.eval(z), y), right, x, eps, size = 0.05, steps = 7, slack = 7, noise = 0, start = start)",
               "pgd(z => ce(f.eval(z), y), x, eps, size = 0.05, steps = 7, start = start)");
    RecipeRun *b = steps_of(r, 2);
    check_same(a, b, "metric.");
    recipe_put(r, "pgd(z => ce(f.eval(z), y), x, eps, size = 0.05, steps = 7, start = start)",
               "pgd_friendly(z => ce(f.eval(z), y), right, x, eps, size = 0.05, steps = 7, slack = 0, start = start)");
    RecipeRun *c = steps_of(r, 2), *d = steps_of(r, 2);
    recipe_put(r, "slack = 0", "slack = 7");
    RecipeRun *e = steps_of(r, 2);
    CHECK(recipe_run_differs(c, e, "metric.") != NULL); /* untrained, most samples are wrong at once and stay where they are */
    check_same(c, d, NULL);
    recipe_run_close(e);
    recipe_free(r);
}

static void test_gairat_with_even_weights_is_at(void)
{
    Recipe *r = method("gairat");
    RecipeRun *a = steps_of(r, 2);
    recipe_put(r, "minimize weight*loss over f", "minimize loss over f");
    RecipeRun *b = steps_of(r, 2);
    check_same(a, b, "metric.");
    recipe_free(r);
}

static void test_awp_of_nothing_is_at(void)
{
    Recipe *r = method("at_awp");
    recipe_put(r, "gamma = 0.01", "gamma = 0");
    RecipeRun *a = steps_of(r, 2);
    recipe_put(r, "  with f + v {\n    loss = ce(f(x_adv), y)\n    minimize loss over f\n  }\n",
               "  loss = ce(f(x_adv), y)\n  minimize loss over f\n");
    recipe_put(r, "  v = gamma*scaled_like(grad(ce(f.batch(x_adv), y), f), f)\n", "");
    RecipeRun *b = steps_of(r, 2);
    check_same(a, b, "metric.");
    recipe_free(r);
}

/* A head that is always right scores 0, so every radius stays at its cap. */
static void test_daat_with_a_right_head_is_at(void)
{
    Recipe *r = method("daat");
    recipe_put(r, "p = softmax(c(g(x_adv))/tau)", "p = softmax(select(other(c(g(x_adv)), y) < -100, 50, c(g(x_adv))/tau))");
    RecipeRun *a = steps_of(r, 3);
    int64_t n;
    double *radius = recipe_run_read(a, "eps_i", &n);
    CHECK_EQ(n, 60000);
    for (int64_t i = 0; i < n; i++) CHECK(radius[i] == (double)0.2f);
    free(radius);
    recipe_put(r, "budget { eps = eps_i }", "budget { eps = eps_0 + 0*eps_i }");
    RecipeRun *b = steps_of(r, 3);
    check_same(a, b, "metric.");
    recipe_free(r);
}

/* The soft margin is below 0 exactly where the probability of the class is above 1/2; and that is not where it is the largest. */
static void test_mma_mask_is_half_the_probability(void)
{
    Recipe *r = method("mma");
    recipe_put(
        r, "  signal margins",
        "  signal right = ok\n  signal likely = softmax(z_clean)[y] > 0.5\n  signal largest = argmax(z_clean) == y\n  signal margins");
    recipe_put(r, "0: 0.05", "0: 0.003"); /* slowly enough to see it on the way */
    RecipeRunOpts o = {.backend = "cpu", .target = "cpu"};
    RecipeRun *x = recipe_run_open(r, &o);
    double n_right = 0, n_largest = 0;
    for (int64_t k = 0; k < 40; k++) {
        CHECK_EQ(recipe_run_step(x, 0), ADV_OK); /* the same images, until they are known by heart */
        for (int i = 0; i < 8; i++) CHECK(at(x, "metric.right", i) == at(x, "metric.likely", i));
        n_right += sum_of(x, "metric.right");
        n_largest += sum_of(x, "metric.largest");
        for (int i = 0; i < 8; i++) CHECK(at(x, "metric.margins", i) >= 0 && at(x, "metric.margins", i) <= 1.05 * 0.3 + 1e-6);
    }
    CHECK(n_right > 0 && n_right < n_largest);
    recipe_run_close(x);
    recipe_free(r);
}

int main(void)
{
    RUN(test_copy_starts_the_same_and_follows);
    RUN(test_epoch_block_reads_results);
    RUN(test_epoch_blocks_in_file_order);
    RUN(test_functions_of_the_batch);
    RUN(test_rows_of_batch_norm);
    RUN(test_draws_and_new_computations);
    RUN(test_shared_draws);
    RUN(test_worst_as_stages);
    RUN(test_loops_and_lists);
    RUN(test_apply_is_minimize);
    RUN(test_one_optimiser_clips_both);
    RUN(test_weights_from_a_file);
    RUN(test_mwpb_without_margin_is_at);
    RUN(test_fat_with_slack_is_at);
    RUN(test_gairat_with_even_weights_is_at);
    RUN(test_awp_of_nothing_is_at);
    RUN(test_daat_with_a_right_head_is_at);
    RUN(test_mma_mask_is_half_the_probability);
    return ADV_TEST_END();
}
