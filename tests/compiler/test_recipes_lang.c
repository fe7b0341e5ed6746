/* test_recipes_lang.c: constructs of the language that couple samples, models and epochs, on small recipes run by the ops' definitions
** (tests/recipes/lang_*.adv).
*/
#include "tests/adv_test.h"
#include "tests/base/scratch.h"
#include "tests/compiler/recipe_run.h"
#include "tests/dsl/expect.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static RecipeRun *open_file(const char *path, const char *target)
{
    Recipe *r = recipe_open(path);
    RecipeRun *x = recipe_run_on(r, target);
    recipe_free(r);
    return x;
}

/* ---- choices -------------------------------------------------------------------------------------------------------- */

/* Texts are equal or not, and the compiler takes the branch: the other may not even be sound. */
static void test_choice_of_texts(void)
{
    Recipe *r = recipe_of("choice.adv",
                          "adv 1\nparam how = \"half\" in [\"half\", \"all\"]\n"
                          "data synthetic { train = 8; test = 8; classes = 2; shape = [2]; batch = 4; y = id - 2*floor(id/2); x = id/9 }\n"
                          "net small(x) { return x -> fc: linear(2) }\nmodel f = small()\n"
                          "fn weight() = if how == \"half\" then 0.5 else if how != \"all\" then [] else 1\n"
                          "step { minimize weight()*ce(f(x), y) over f }\noptim f = sgd(lr = 0)\ntrain { epochs = 1; seed = 1 }\n");
    double loss[2];
    for (int i = 0; i < 2; i++) {
        RecipeRun *x = recipe_run_on(r, "ref64");
        CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
        loss[i] = recipe_run_get(x, "metric.loss");
        recipe_run_close(x);
        if (!i) recipe_put(r, "how = \"half\"", "how = \"all\"");
    }
    CHECK(loss[0] > 0);
    CHECK_NEAR(loss[1], 2 * loss[0], 1e-12);
    recipe_free(r);
}

/* What only the other branch names is not computed, so that it moves no running statistics either: where the compiler chooses, by
** parameters. `how` is declared and asked about as given; `moves` makes it "moving" or the other number. */
static void takes_one_branch(const char *declared, const char *condition, const char *still, const char *moves)
{
    char text[1024];
    snprintf(text, sizeof text, "adv 1\n%s\n"
             "data synthetic { train = 8; test = 8; classes = 2; shape = [2]; batch = 4; y = id - 2*floor(id/2); x = id/9 }\n"
             "net small(x) { return x -> bn -> fc: linear(2) }\nmodel f = small()\nz = f(x)\n"
             "fn logits() = if %s then f.eval(x) else z\n"
             "step { minimize ce(logits(), y) over f }\noptim f = sgd(lr = 0)\ntrain { epochs = 1; seed = 1 }\n",
             declared, condition);
    Recipe *r = recipe_of("branch.adv", text);
    for (int i = 0; i < 2; i++) {
        RecipeRun *x = recipe_run_on(r, "ref64");
        CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
        CHECK((recipe_run_at(x, "f.bn1.running_mean", 0) != 0) == (i == 1));
        recipe_run_close(x);
        if (!i) recipe_put(r, still, moves);
    }
    recipe_free(r);
}

static void test_branch_not_taken_moves_nothing(void)
{
    takes_one_branch("param how = \"still\" in [\"still\", \"moving\"]", "how == \"still\"", "how = \"still\"", "how = \"moving\"");
    takes_one_branch("param k = 3", "k > 2", "k = 3", "k = 2");
    takes_one_branch("param k = 3\nparam how = \"a\" in [\"a\", \"b\"]", "not (2*k == 6 and how != \"a\")", "how = \"a\"", "how = \"b\"");
}

/* ---- weights as values --------------------------------------------------------------------------------------------- */

static const char *const of_small[] = {"fc1.weight", "bn1.bias", "bn1.weight", "bn1.running_mean", "bn1.running_var", "fc2.weight"};
enum { N_SMALL = 6 };

static double entry_of(const RecipeRun *x, const char *model, int k)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", model, of_small[k]);
    return recipe_run_at(x, name, 1);
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
    double hits = recipe_run_sum(x, "hits");
    CHECK_EQ(recipe_run_sum(x, "seen"), 24);
    CHECK(recipe_run_at(x, "seen", 0) == 8 && recipe_run_at(x, "seen", 2) == 8);
    CHECK(hits >= 0 && hits <= 24);
    double share = recipe_run_at(x, "hits", 1) / 8;
    for (int k = 0; k < N_SMALL; k++) before[k] = entry_of(x, "avg", k);
    recipe_run_write(x, "probe.clean.per_class", bad);
    CHECK_EQ(recipe_run_entry(x, "epoch.final"), ADV_OK);
    CHECK_NEAR(recipe_run_at(x, "t", 1), share, 1e-6);
    CHECK_EQ(recipe_run_sum(x, "hits"), 0);
    CHECK_EQ(recipe_run_sum(x, "seen"), 0);
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
    double mean = recipe_run_sum(x, "probe.clean.per_class") / 3; /* 12 samples, 4 a class */
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
        CHECK_NEAR(recipe_run_at(x, "metric.rank_v", i), below / 5.0, 1e-12);
        CHECK_NEAR(recipe_run_at(x, "metric.ties", i), (i < 2 ? 0.5 : i < 4 ? 2.5 : 4.5) / 5, 1e-12); /* 0 0 1 1 2 2 */
        CHECK_EQ(recipe_run_at(x, "metric.place", i), i);
        CHECK_NEAR(recipe_run_at(x, "metric.pulls", i), v[i] == s[2] || v[i] == s[3] ? 0.5 : 0, 1e-12); /* the median is their mean */
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
    CHECK_EQ(recipe_run_sum(x, "metric.first_wrong"), 0);
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
        CHECK_NEAR(recipe_run_at(x, "f.bn1.running_mean", k), 0.1 * mean, 1e-9);
        CHECK_NEAR(recipe_run_at(x, "f.bn1.running_var", k), 0.9 + 0.1 * unbiased, 1e-9);
        CHECK_EQ(recipe_run_at(x, "no_rows.bn1.running_mean", k), 0);
        CHECK_EQ(recipe_run_at(x, "no_rows.bn1.running_var", k), 1);
    }
    free(im);
    CHECK_NEAR(recipe_run_sum(x, "metric.rows_all"), 0, 1e-9);
    CHECK_NEAR(recipe_run_sum(x, "metric.rows_none"), 0, 1e-9);
    recipe_run_close(x);
}

static void test_draws_and_new_computations(void)
{
    RecipeRun *x = open_file("tests/recipes/lang_batch.adv", "ref64");
    CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
    CHECK(recipe_run_sum(x, "metric.same_noise") > 0); /* two draws that are written are two */
    CHECK(recipe_run_sum(x, "metric.again_differs") > 0);
    CHECK_EQ(recipe_run_sum(x, "metric.one_value"), 0);
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
    RecipeRun *x = recipe_run_on(r, "ref");
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
    CHECK(recipe_run_at(x, "all", 0) != first); /* of the step, not of the samples */
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
    for (int k = 0; k < 3; k++) CHECK(recipe_run_at(x, "seen", k) == v[k]);
    free(v);
    recipe_run_close(x);
}

/* ---- loops, lists, updates ------------------------------------------------------------------------------------------- */

static void test_loops_and_lists(void)
{
    RecipeRun *x = open_file("tests/recipes/lang_loops.adv", "ref64");
    double w0 = recipe_run_at(x, "f.fc.weight", 2);
    for (int64_t k = 0; k < 3; k++) CHECK_EQ(recipe_run_step(x, k), ADV_OK);
    CHECK_EQ(recipe_run_get(x, "metric.sum_of_turns"), 4 * 10 * 3 + 3 * 6); /* over i < 3, j < 4 of 10*i + j */
    double *im = recipe_run_read(x, "x", NULL);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(recipe_run_at(x, "metric.turns", i), i < 5 ? i : 5);
        CHECK_NEAR(recipe_run_at(x, "metric.masked", i), 0, 1e-9);
        CHECK_EQ(recipe_run_at(x, "metric.second", i), 0);
        CHECK_NEAR(recipe_run_at(x, "metric.of_two", i), im[4 * i] - 2 * im[4 * i + 1], 1e-9);
        CHECK_EQ(recipe_run_at(x, "metric.remembered", i), 0); /* each sample for the first time */
    }
    free(im);
    CHECK_NEAR(recipe_run_get(x, "metric.share"), 2.0 / 8, 1e-9); /* the third of 2 times 4 steps */
    CHECK_NEAR(recipe_run_get(x, "metric.rate"), 0.1, 1e-9);
    CHECK_NEAR(recipe_run_get(x, "metric.wave"), 0.1 + 0.2 * (1 + cos(acos(-1) / 4)) / 2, 1e-9);
    CHECK_NEAR(recipe_run_at(x, "mean_x", 3), 0.5, 1e-12);
    CHECK(recipe_run_at(x, "f.fc.weight", 2) != w0);
    recipe_run_close(x);
}

static RecipeRun *steps_of(const Recipe *r, int64_t n)
{
    RecipeRun *x = recipe_run_on(r, "ref");
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
    CHECK(recipe_run_at(a, "f.fc.weight", 5) == recipe_run_at(b, "f.fc.weight", 5) &&
          recipe_run_at(a, "g.fc.weight", 5) == recipe_run_at(b, "g.fc.weight", 5));
    CHECK(recipe_run_at(a, "f.fc.bias", 1) == recipe_run_at(b, "f.fc.bias", 1));
    recipe_run_close(a);
    recipe_run_close(b);
    recipe_free(r);
}

/* ---- what updates leave behind is constant ---------------------------------------------------------------------------- */

#define PAIR_HEAD \
    "adv 1\ndata synthetic { train = 24; test = 12; classes = 3; shape = [4]; batch = 6; y = id - 3*floor(id/3)\n" \
    "x = uniform(0, 1, like = x) }\n" \
    "net trunk(x) { return x -> fc1: linear(6) -> bn1: bn -> relu -> drop1: dropout(0.2) }\nnet head(h) { return h -> fc2: linear(3) }\n" \
    "model g = trunk()\nmodel h = head()\nstate s: once = 0\nfn logits(x) = h(g.eval(x))\n"
#define PAIR_TAIL \
    "optim g = sgd(lr = 0.1*sigmoid(s + mean(ce(logits(x), y))), momentum = 0.9)\n" \
    "optim h = adam(lr = 0.01)\ntrain { epochs = 1; seed = 1 }\neval final { on = test; of = logits; attacks = [clean] }\n"

static RecipeRun *pair_run(const char *step)
{
    char text[2000];
    snprintf(text, sizeof text, PAIR_HEAD "step { %s }\n" PAIR_TAIL, step);
    Recipe *r = recipe_of("pair.adv", text);
    RecipeRun *x = steps_of(r, 2);
    recipe_free(r);
    return x;
}

/* Both steps compile and do the same. */
static void same_steps(const char *a, const char *b)
{
    RecipeRun *xa = pair_run(a), *xb = pair_run(b);
    CHECK(!recipe_run_differs(xa, xb, "metric."));
    recipe_run_close(xa);
    recipe_run_close(xb);
}

/* A second gradient stops at the new weights of the first update: at its gradient, its moments and its rate. */
static void test_new_weights_are_constants(void)
{
    same_steps("minimize ce(h(g(x)), y) over g; minimize ce(h(g(x)), y) over h",
               "a = grad(ce(h(g(x)), y), g); apply a to g; z = detach(g(x)); minimize ce(h(z), y) over h");
    same_steps("minimize ce(h(g(x)), y) over g, h; signal q = norm2(grad(ce(h(g.eval(x)), y), x)); s <- mean(q)",
               "a, b = grad(ce(h(g(x)), y), [g, h]); apply [a, b] to g, h; s <- mean(norm2(grad(ce(h(g.eval(x)), y), x)))");
}

/* Nor does it pass back through turns, by weights or by moments. */
static void test_gradient_stops_at_replay(void)
{
    RecipeRun *x = pair_run("replay 3 as k { minimize ce(h(g(x)), y) over g, h; s <- s + k + detach(mean(ce(h(g.eval(x)), y))) }\n"
                            "signal q = norm2(grad((1 + 0*s)*ce(h(g.eval(x)), y), x))");
    double s = recipe_run_get(x, "s");
    CHECK(s > 6 && s < 18); /* 0 + 1 + 2 of each of two steps, and six losses */
    CHECK(recipe_run_at(x, "metric.q", 0) > 0);
    recipe_run_close(x);
}

/* A condition is a constant, however it was computed: it needs no `detach`. */
static void test_conditions_need_no_detach(void)
{
    same_steps("minimize (argmax(h(g(x))) == y)*ce(h(g(x)), y) over g, h",
               "minimize detach(argmax(h(g(x))) == y)*ce(h(g(x)), y) over g, h");
    same_steps("w = worst(logits, y, [x, 1 - x]); minimize ce(h(g(w)), y) over g, h",
               "w = detach(worst(logits, y, [x, 1 - x])); minimize ce(h(g(w)), y) over g, h");
}

/* Adam's first step depends on the gradient alone, so decay that is not part of it shows as what it took from the weights. */
static void test_decoupled_decay(void)
{
    Recipe *r = recipe_open("tests/recipes/lang_loops.adv");
    recipe_put(r, "sgd(lr = 0.1)", "adam(lr = 0.1, weight_decay = 0, clip = 1)");
    RecipeRun *a = recipe_run_on(r, "ref64");
    recipe_put(r, "weight_decay = 0,", "weight_decay = 0.25, decay = weights, decoupled = 1,");
    RecipeRun *b = recipe_run_on(r, "ref64");
    double w0 = recipe_run_at(a, "f.fc.weight", 5), b0 = recipe_run_at(a, "f.fc.bias", 1);
    CHECK(w0 != 0 && w0 == recipe_run_at(b, "f.fc.weight", 5));
    CHECK_EQ(recipe_run_step(a, 0), ADV_OK);
    CHECK_EQ(recipe_run_step(b, 0), ADV_OK);
    CHECK_NEAR(recipe_run_at(b, "f.fc.weight", 5), recipe_run_at(a, "f.fc.weight", 5) - 0.1 * 0.25 * w0, 1e-9);
    CHECK(recipe_run_at(b, "f.fc.bias", 1) == recipe_run_at(a, "f.fc.bias", 1) && recipe_run_at(a, "f.fc.bias", 1) != b0);
    recipe_run_close(a);
    recipe_run_close(b);
    recipe_free(r);
}

/* ---- what a run says of a value that is not finite ------------------------------------------------------------------ */

typedef struct Said { char text[8192]; size_t n; } Said;

static void hear_text(void *user, const char *text, size_t n)
{
    Said *s = user;
    if (s->n + n >= sizeof s->text) n = sizeof s->text - 1 - s->n;
    memcpy(s->text + s->n, text, n);
    s->n += n;
}

static Said said_of(const char *items)
{
    char text[2000];
    Said said = {"", 0};
    snprintf(text, sizeof text, PAIR_HEAD "%s" PAIR_TAIL, items);
    Recipe *r = recipe_of("pair.adv", text);
    recipe_put(r, "epochs = 1", "epochs = 2");
    RecipeRun *x = recipe_run_on(r, "ref");
    CHECK_EQ(adv_session_train(x->s, NULL, x->ds), ADV_ENUMERIC);
    adv_diags_render(x->ds, ADV_PRINT_HUMAN, hear_text, &said);
    recipe_run_close(x);
    recipe_free(r);
    return said;
}

#define BOTH "step { minimize ce(h(g(x)), y) over g, h }\n"

/* The line; the sample by its id; what brought it, by the recipe's names alone; a call once. */
static void test_bad_values_are_traced(void)
{
    Said one = said_of("step { minimize ce(h(g(x)), y) over g, h\nsignal q = 1/(id - 7) }\n");
    CHECK(strstr(one.text, "`q` became infinite at step") && strstr(one.text, "the first is inf, of sample 7 (row "));
    Said state = said_of("epoch { s <- 1/s }\n" "step { minimize ce(h(g(x)), y) over g, h\nsignal q = s }\n");
    const char *here = strstr(state.text, "computed here, of states that were not finite when the step began\n");
    CHECK(here && strstr(here, "signal q = s"));
    Said weights = said_of("epoch { g <- g/0 }\n" BOTH);
    const char *call = strstr(weights.text, "called from here");
    CHECK(strstr(weights.text, "its input `g.fc1.weight` holds such values already") && call && !strstr(call + 1, "called from here"));
}

/* The page of ADV6009: its wrong program ends with that, at its first step, and its right one runs. */
static void test_page_of_bad_values(void)
{
    Text page = page_of(6009), programs[2] = {program_of(&page, "\nWrong:"), program_of(&page, "\nRight:")};
    for (int i = 0; i < 2; i++) {
        CHECK(programs[i].at != NULL);
        if (!programs[i].at) continue;
        Recipe *r = recipe_of("page.adv", programs[i].at);
        RecipeRun *x = recipe_run_on(r, "ref");
        CHECK_EQ(adv_session_train(x->s, NULL, x->ds), i ? ADV_OK : ADV_ENUMERIC);
        if (!i) CHECK(adv_diags_at(x->ds, 0, NULL) == 6009 && adv_diags_at(x->ds, 1, NULL) == 6007);
        recipe_run_close(x);
        recipe_free(r);
        text_free(&programs[i]);
    }
    text_free(&page);
}

/* One optimiser of two models bounds the length of both gradients together. */
static void test_one_optimiser_clips_both(void)
{
    Recipe *r = recipe_open("tests/recipes/lang_loops.adv");
    recipe_put(r, "sgd(lr = 0.1)", "sgd(lr = 1, clip = 0.001)");
    RecipeRun *x = recipe_run_on(r, "ref64");
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
    char dir[64], path[300] = "", text[2000];
    scratch_make(dir);
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
    RecipeRun *b = recipe_run_on(r, "ref");
    for (int k = 0; k < N_SMALL; k++) CHECK(entry_of(a, "f", k) == entry_of(b, "f", k) && entry_of(a, "f", k) == entry_of(b, "twin", k));
    recipe_run_close(b);
    recipe_free(r);
    *strrchr(path, '/') = 0; /* the checkpoint's folder, and a model of another name */
    snprintf(text, sizeof text, "%smodel f = small()\nmodel other = small(weights = \"%s\")\n%s", head, path, tail);
    r = recipe_of("third.adv", text);
    recipe_put(r, "minimize ce(f(x), y) over f }", "minimize kl(other.eval(x) || f(x)) over f }");
    b = recipe_run_on(r, "ref");
    for (int k = 0; k < N_SMALL; k++) CHECK(entry_of(a, "f", k) == entry_of(b, "other", k));
    CHECK(entry_of(b, "f", 0) != entry_of(b, "other", 0));
    recipe_run_close(a);
    recipe_run_close(b);
    recipe_free(r);
    scratch_remove(dir);
}

int main(void)
{
    RUN(test_choice_of_texts);
    RUN(test_branch_not_taken_moves_nothing);
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
    RUN(test_new_weights_are_constants);
    RUN(test_gradient_stops_at_replay);
    RUN(test_conditions_need_no_detach);
    RUN(test_decoupled_decay);
    RUN(test_bad_values_are_traced);
    RUN(test_page_of_bad_values);
    RUN(test_one_optimiser_clips_both);
    RUN(test_weights_from_a_file);
    return ADV_TEST_END();
}
