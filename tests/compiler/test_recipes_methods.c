/* test_recipes_methods.c: what published methods have to become at the end of a parameter's range, what holds for every sample they
** train on, and the traps that their scripts and papers name. Whole steps are compared with PyTorch in tests/parity.
**
**   method      here                                                    in tests/parity/methods.py, budgets.py, hosts.py
**   FGSM-AT     the start is in the box                                 both forwards in training mode
**   TRADES      at the image itself the attack does not move            three training forwards, gradients into both arguments
**   Free-AT     the perturbation outlives its batch                     gradient at the old perturbation, none where the box clips
**   FAT         with slack it is PGD, or TRADES                         noise in every step, samples that stop late or never
**   GAIRAT      kappa is a count; even weights are AT                   the switch at epoch 60
**   MMA         mask; where the bisection ends; wrong samples keep 0    training mode on the right samples only, no clamp at the boundary
**   AWP         nothing moved is AT                                     ten epochs without; decay sees the moved weights
**   DAAT        a head that is right is AT; shrinks to rho at most;     order of the two updates, the guarded division, the other rules
**               radii of the piecewise rule; an enlarged cap            on TRADES and MART
**   MWPB        no margin is AT; the two bounds of the radius           probabilities, both phases, on TRADES and MART
**               and without a move of the weights on AWP
**   MAIL        a slope of 0 is AT; more weight for less margin         the weight is a constant, of training-mode logits; the switch
**   WAT         alpha 0 is AT, else the attack moves otherwise          the weight has a gradient, training mode in the attack
**   IAAT        how far a radius goes in a step                         three attacks in training mode, what the log is made of
**   ST-AT       beta 0 is natural training; it needs a start            roles that change, statistics that stay
**   CAT         k = 0 is natural training; parts of the batch           each part attacked apart; k grows, and the weights go back
**   ADES        the mean holds before the bounds; printed, it shrinks   cues with dropout, the envelope
*/
#include "tests/adv_test.h"
#include "tests/compiler/recipe_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static RecipeRun *steps_of(const Recipe *r, int64_t n)
{
    RecipeRun *x = recipe_run_on(r, "ref");
    for (int64_t k = 0; k < n; k++) CHECK_EQ(recipe_run_step(x, k), ADV_OK);
    return x;
}

typedef struct Range { double min, max, mean; } Range;

static Range range_of(const RecipeRun *x, const char *state)
{
    int64_t n;
    double *v = recipe_run_read(x, state, &n);
    Range r = {v[0], v[0], 0};
    for (int64_t i = 0; i < n; i++) {
        r.min = fmin(r.min, v[i]);
        r.max = fmax(r.max, v[i]);
        r.mean += v[i] / (double)n;
    }
    free(v);
    return r;
}

static void check_same(RecipeRun *a, RecipeRun *b, const char *but)
{
    const char *where = recipe_run_differs(a, b, but);
    CHECK(!where);
    if (where) printf("  first in %s\n", where);
    recipe_run_close(a);
    recipe_run_close(b);
}

/* ---- ends of ranges ------------------------------------------------------------------------------------------------ */

static Recipe *method(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "recipes/%s_mnist.adv", name);
    Recipe *r = recipe_open(path);
    recipe_put_number(r, "batch = ", 8);
    return r;
}

/* A step of the recipe, and one with a piece of its text replaced, leave the same behind, but for what is logged. */
static void check_same_with(Recipe *r, const char *piece, const char *instead)
{
    RecipeRun *a = steps_of(r, 1);
    recipe_put(r, piece, instead);
    RecipeRun *b = steps_of(r, 1);
    check_same(a, b, "metric.");
}

static void mwpb_without_margin_is(const char *host, const char *alpha)
{
    Recipe *r = method(host);
    recipe_put(r, "phase warm(epochs = 1 .. 2) {\n  budget { eps = eps_0/2 }\n  size = 0.025\n}\n", "");
    recipe_put(r, "phase mwpb(epochs = 3 .. 4) {\n", "");
    recipe_put(r, "  size = eps/4\n}\n", "size = eps/4\n");
    recipe_put(r, "size = eps/4", "size = eps/4; y_is = x[0][0][0]");
    recipe_put(r, alpha, "alpha = 0");
    check_same_with(r, "eps_0*exp(alpha*margin(softmax(f.eval(x)), y))", "eps_0 + 0*y_is");
    recipe_free(r);
}

static void test_mwpb_without_margin_is_at(void) { mwpb_without_margin_is("mwpb_at", "alpha = 0.58"); }
static void test_mwpb_without_margin_is_mart(void) { mwpb_without_margin_is("mwpb_mart", "alpha = 0.55"); }

static void test_mail_without_slope_is_at(void)
{
    Recipe *r = method("mail");
    recipe_put(r, "slope = 10.0", "slope = 0");
    recipe_put(r, "epoch <= 2", "epoch < 1");
    check_same_with(r, "objective(z_adv, weight)", "ce(z_adv, y)");
    recipe_free(r);
}

static void test_wat_without_alpha_is_at(void)
{
    Recipe *r = method("wat");
    recipe_put(r, "alpha = 0.5", "alpha = 0");
    check_same_with(r, "exp(-alpha*margin(softmax(z), y))", "1");
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

static void test_fat_trades_with_slack_is_trades(void)
{
    Recipe *r = method("fat_trades");
    recipe_put(r, "slack = tau", "slack = 7");
    check_same_with(r, "pgd_friendly(z => kl(f.eval(x) || f.eval(z)), right, x, eps, size = 0.05, steps = 7, slack = 7, start = start)",
                    "pgd(z => kl(f.eval(x) || f.eval(z)), x, eps, size = 0.05, steps = 7, start = start)");
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

static void awp_of_nothing_is(const char *host, const char *gamma)
{
    Recipe *r = method(host);
    recipe_put(r, gamma, "gamma = 0");
    RecipeRun *a = steps_of(r, 1);
    recipe_put(r, "  with f + v {\n    loss = ce(f(x_adv), y)\n    minimize loss over f\n  }\n",
               "  loss = ce(f(x_adv), y)\n  minimize loss over f\n");
    recipe_put(r, "  v = gamma*scaled_like(grad(ce(f.batch(x_adv), y), f), f)\n", "");
    RecipeRun *b = steps_of(r, 1);
    check_same(a, b, "metric.");
    recipe_free(r);
}

static void test_awp_of_nothing_is_at(void) { awp_of_nothing_is("at_awp", "gamma = 0.01"); }
static void test_awp_of_nothing_is_mwpb(void) { awp_of_nothing_is("mwpb_awp", "gamma = 0.005"); }

static void test_squeezing_nothing_is_natural(void)
{
    Recipe *r = method("st_at");
    recipe_put(r, "beta = 6.0", "beta = 0");
    check_same_with(r, "ce(zn, y) + beta*squeezed", "ce(zn, y)");
    recipe_free(r);
}

/* Without a step to make, every image is as it was; `k` is 0 at first. */
static void test_cat_begins_naturally(void)
{
    Recipe *r = method("cat");
    check_same_with(r, "z = f(x_adv)", "z = f(x)");
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
        r, "  signal right = mean(ok)\n",
        "  signal right = ok\n  signal likely = softmax(z_clean)[y] > 0.5\n  signal largest = argmax(z_clean) == y\n");
    recipe_put(r, "0: 0.05", "0: 0.003"); /* slowly enough to see it on the way */
    RecipeRunOpts o = {.backend = "cpu", .target = "cpu"};
    RecipeRun *x = recipe_run_open(r, &o);
    double n_right = 0, n_largest = 0;
    for (int64_t k = 0; k < 40; k++) {
        CHECK_EQ(recipe_run_step(x, 0), ADV_OK); /* the same images, until they are known by heart */
        for (int i = 0; i < 8; i++) CHECK(recipe_run_at(x, "metric.right", i) == recipe_run_at(x, "metric.likely", i));
        n_right += recipe_run_sum(x, "metric.right");
        n_largest += recipe_run_sum(x, "metric.largest");
        for (int i = 0; i < 8; i++)
            CHECK(recipe_run_at(x, "metric.margins", i) >= 0 && recipe_run_at(x, "metric.margins", i) <= 1.05 * 0.3 + 1e-6);
    }
    CHECK(n_right > 0 && n_right < n_largest);
    recipe_run_close(x);
    recipe_free(r);
}

/* ---- what holds for every sample ----------------------------------------------------------------------------------- */

static void test_mwpb_radius_has_two_bounds(void)
{
    Recipe *r = method("mwpb_at");
    recipe_put(r, "lr = 0.002", "lr = 0.02");
    RecipeRun *x = recipe_run_on(r, "ref");
    double below = 0, above = 0;
    for (int64_t k = 0; k < 4; k++) {
        CHECK_EQ(recipe_run_step(x, k), ADV_OK); /* of both phases: what is left is of the second */
        Range e = range_of(x, "metric.eps");
        CHECK(e.min >= 0.2 * exp(-0.58) - 1e-6 && e.max <= 0.2 * exp(0.58) + 1e-6);
        below += e.min < 0.2;
        above += e.max > 0.2;
    }
    CHECK(below > 0 && above > 0);
    recipe_run_close(x);
    recipe_free(r);
}

/* Weights of mean 1, and the less a sample's margin the larger, whatever the loss does with it. */
static void test_mail_weighs_by_margin(void)
{
    Recipe *r = method("mail");
    recipe_put(r, "epoch <= 2", "epoch < 1");
    recipe_after(r, "signal weight", "  signal lead = margin(softmax(z_adv), y)\n");
    RecipeRun *x = steps_of(r, 2);
    CHECK_NEAR(range_of(x, "metric.weight").mean, 1, 1e-6);
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 8; k++)
            if (recipe_run_at(x, "metric.lead", i) < recipe_run_at(x, "metric.lead", k))
                CHECK(recipe_run_at(x, "metric.weight", i) >= recipe_run_at(x, "metric.weight", k));
    CHECK(range_of(x, "metric.weight").max > range_of(x, "metric.weight").min);
    recipe_run_close(x);
    recipe_free(r);
}

/* A weight that is left out of the gradient is another method: in the update, and in the attack. */
static void test_wat_weight_has_a_gradient(void)
{
    static const char whole[] = "exp(-alpha*margin(softmax(z), y))", fixed[] = "detach(exp(-alpha*margin(softmax(z), y)))";
    Recipe *r = method("wat");
    recipe_put(r, "alpha = 0.5", "alpha = 5");
    recipe_after(r, "x_adv = pgd(", "  signal towards = sum((x_adv - x)*(row(x) - col(x)))\n");
    RecipeRun *a = steps_of(r, 1);
    recipe_put(r, whole, fixed);
    RecipeRun *b = steps_of(r, 1);
    CHECK(recipe_run_differs(a, b, "metric.") != NULL);
    CHECK(recipe_run_sum(a, "metric.towards") != recipe_run_sum(b, "metric.towards"));
    recipe_run_close(a);
    recipe_run_close(b);
    recipe_free(r);
}

/* The score is below 1, so a radius keeps more than rho of itself in one step; and never leaves its cap. */
static void test_daat_shrinks_to_rho_at_most(void)
{
    Recipe *r = method("daat");
    recipe_put(r, "[1: 0.05, 3: 0.2]", "[1: 0.001, 3: 0.2]"); /* scores of untrained heads are small, too */
    RecipeRun *x = recipe_run_on(r, "ref");
    int n_less = 0;
    for (int64_t k = 0; k < 4; k++) {
        CHECK_EQ(recipe_run_entry(x, "batch"), ADV_OK);
        CHECK_EQ(recipe_run_entry(x, "step.main"), ADV_OK); /* the same images again and again */
        for (int64_t i = 0; i < 8; i++) {
            double before = recipe_run_at(x, "metric.eps", i), after = recipe_run_at(x, "eps_i", (int64_t)recipe_run_at(x, "ids", i));
            CHECK(after > 0.001 * before && after <= (double)0.2f);
            n_less += after < before;
        }
    }
    CHECK(n_less > 0);
    recipe_run_close(x);
    recipe_free(r);
}

/* A step takes a radius to a new one by a share: upwards by gamma at most, without a bound, and towards 0 where the image is wrong. */
static void test_iaat_moves_radii_a_little(void)
{
    Recipe *r = method("iaat");
    recipe_put(r, "lr = 0.002", "lr = 0.02");
    recipe_after(r, "    ok = right(x)", "    signal right_at_all = ok\n");
    RecipeRun *x = recipe_run_on(r, "ref");
    CHECK_EQ(recipe_run_entry(x, "batch"), ADV_OK);
    for (int k = 0; k < 3; k++) CHECK_EQ(recipe_run_entry(x, "step.warm"), ADV_OK); /* of the same images */
    double old[8];
    int n_right = 0;
    for (int i = 0; i < 8; i++) {
        old[i] = recipe_run_at(x, "eps_i", (int64_t)recipe_run_at(x, "ids", i));
        CHECK(old[i] == 0 || old[i] == (double)0.15f);
    }
    CHECK_EQ(recipe_run_entry(x, "step.adapt"), ADV_OK);
    for (int i = 0; i < 8; i++) {
        double now = recipe_run_at(x, "eps_i", (int64_t)recipe_run_at(x, "ids", i));
        bool right = recipe_run_at(x, "metric.right_at_all", i) != 0;
        CHECK(now >= 0.5 * old[i] - 1e-6 && now <= old[i] + 0.5 * 0.02 + 1e-6);
        if (!right) CHECK_NEAR(now, 0.5 * old[i], 1e-6);
        if (right && old[i] > 0.02) CHECK(now >= old[i] - 0.5 * 0.02 - 1e-6);
        n_right += right;
    }
    CHECK(n_right > 0);
    recipe_run_close(x);
    recipe_free(r);
}

/* The whole recipe of DAAT on a net of two layers. */
static Recipe *small_daat(void)
{
    Recipe *r = recipe_open("recipes/daat.adv");
    recipe_put_number(r, "batch = ", 8);
    recipe_put(r, "model g = resnet18_trunk()", "net trunk(x) { return x -> flatten -> linear(8) -> relu }\nmodel g = trunk()");
    return r;
}

static void test_daat_variants(void)
{
    Recipe *r = small_daat();
    recipe_put(r, "rule = \"remembered\"", "rule = \"piecewise\"");
    recipe_put(r, "param tau = 2", "param tau = 0.01"); /* sure of itself, so that scores differ */
    RecipeRun *x = steps_of(r, 2);
    int n_less = 0;
    for (int i = 0; i < 8; i++) {
        double levels = recipe_run_at(x, "eps_i", (int64_t)recipe_run_at(x, "ids", i)) / 0.031 * 4;
        CHECK_NEAR(levels, round(levels), 1e-5);
        CHECK(levels > -0.5 && levels < 4.5);
        n_less += levels < 3.5;
    }
    CHECK(n_less > 0);
    recipe_run_close(x);
    recipe_put(r, "rule = \"piecewise\"", "rule = \"linear\"");
    recipe_put(r, "param cap = 1.0", "param cap = 1.25");
    recipe_put(r, "[1: 0.05,", "[1: 1,"); /* then 1 + rho is beyond the cap, and a right head's samples are there */
    recipe_put(r, "s = max(p) - p[y]", "s = 0*(max(p) - p[y])");
    x = steps_of(r, 1);
    for (int i = 0; i < 8; i++) CHECK_NEAR(recipe_run_at(x, "eps_i", (int64_t)recipe_run_at(x, "ids", i)), 1.25 * 0.031, 1e-7);
    recipe_run_close(x);
    recipe_free(r);
}

/* k + 1 parts in the order of the batch, the last with the remainder; part 0 is not attacked, and no image leaves its ball. */
static void test_cat_parts(void)
{
    static const int of_k2[8] = {0, 0, 1, 1, 2, 2, 2, 2}, of_k3[8] = {0, 0, 1, 1, 2, 2, 3, 3};
    Recipe *r = method("cat");
    recipe_after(r, "x_adv = pgd_mixed(", "  signal strength = part\n  signal moved = max(abs(x_adv - x))\n");
    RecipeRun *x = recipe_run_on(r, "ref");
    for (int k = 2; k <= 3; k++) {
        recipe_run_write(x, "k", (double[]){k});
        CHECK_EQ(recipe_run_step(x, k), ADV_OK);
        for (int i = 0; i < 8; i++) {
            int part = k == 2 ? of_k2[i] : of_k3[i];
            double moved = recipe_run_at(x, "metric.moved", i);
            CHECK_EQ(recipe_run_at(x, "metric.strength", i), part);
            CHECK(part ? moved > 0.1 && moved <= 0.2 + 1e-6 : moved == 0);
        }
    }
    recipe_run_close(x);
    recipe_free(r);
}

/* `mean` holds before `within`: where nothing reaches a bound it holds exactly, else the batch mean is below it. */
static void test_mean_holds_before_the_bounds(void)
{
    Recipe *r = recipe_open("recipes/ades_toy.adv");
    RecipeRun *x = steps_of(r, 3);
    Range e = range_of(x, "metric.eps");
    CHECK_NEAR(e.mean, 0.1, 1e-7);
    CHECK(e.min < 0.0999 && e.max > 0.1001 && e.max < 0.15);
    recipe_run_close(x);
    recipe_put(r, "within 0 .. 0.15", "within 0 .. 0.1");
    x = steps_of(r, 3);
    e = range_of(x, "metric.eps");
    CHECK(e.max == (double)0.1f && e.mean < 0.0999 && e.min > 0);
    recipe_run_close(x);
    recipe_free(r);
}

static void test_ades_as_printed_shrinks(void)
{
    Recipe *r = recipe_open("recipes/ades_literal_toy.adv");
    RecipeRun *x = recipe_run_on(r, "ref");
    double last = 1, first = 0;
    for (int64_t k = 0; k < 50; k++) {
        CHECK_EQ(recipe_run_step(x, k), ADV_OK);
        if (k % 10) continue;
        double mean = range_of(x, "metric.eps").mean;
        CHECK(mean < last);
        last = mean;
        if (!k) first = mean;
    }
    CHECK(last < 0.05 + 0.9 * (first - 0.05)); /* towards eps_min */
    recipe_run_close(x);
    recipe_free(r);
}

/* ---- traps --------------------------------------------------------------------------------------------------------- */

/* The divergence is flat at the image itself: without another start no pixel moves, and with one all images do. */
static void test_trades_needs_a_start(void)
{
    Recipe *r = recipe_open("recipes/trades_toy.adv");
    recipe_put(r, "  z = f(x); z_adv", "  signal moved = max(abs(x_adv - x))\n  z = f(x); z_adv");
    RecipeRun *x = steps_of(r, 3);
    CHECK(range_of(x, "metric.moved").min > 0.05);
    recipe_run_close(x);
    recipe_put(r, ", start = x + 0.001*normal(like = x)", "");
    x = steps_of(r, 3);
    CHECK_EQ(range_of(x, "metric.moved").max, 0);
    recipe_run_close(x);
    recipe_free(r);
}

/* The three images are one at first, where the divergence is flat. */
static void test_squeezing_needs_starts(void)
{
    Recipe *r = method("st_at");
    recipe_after(r, "start_up = x + ", "  signal moved = max(abs(x_adv - x)) + max(abs(x_col - x))\n");
    RecipeRun *x = steps_of(r, 1);
    CHECK(range_of(x, "metric.moved").min > 0.005);
    recipe_run_close(x);
    recipe_put(r, "x + 0.001*normal(like = x)", "x");
    x = steps_of(r, 1);
    CHECK_EQ(range_of(x, "metric.moved").max, 0);
    recipe_run_close(x);
    recipe_free(r);
}

static void test_fgsm_starts_in_the_box(void)
{
    static const char outside[] = "  signal outside = sum(start < 0 or start > 1 or start > x + eps or start < x - eps)\n";
    Recipe *r = method("fgsm_at");
    recipe_after(r, "start = clip(", outside);
    RecipeRun *x = steps_of(r, 1);
    CHECK_EQ(recipe_run_sum(x, "metric.outside"), 0);
    recipe_run_close(x);
    recipe_put(r, "clip(x + uniform(-eps, eps, like = x), 0, 1)", "x + uniform(-eps, eps, like = x)");
    x = steps_of(r, 1);
    CHECK(recipe_run_sum(x, "metric.outside") > 0); /* the count counts */
    recipe_run_close(x);
    recipe_free(r);
}

/* The perturbation of a place in the batch is there when the next images come, and stays in the ball. */
static void test_free_perturbation_outlives_its_batch(void)
{
    Recipe *r = method("free_at");
    RecipeRun *x = steps_of(r, 1);
    int64_t n;
    double *first = recipe_run_read(x, "delta", &n), *image = recipe_run_read(x, "x", NULL);
    recipe_run_write(x, "run.step", (double[]){1});
    CHECK_EQ(recipe_run_entry(x, "batch"), ADV_OK);
    double *now = recipe_run_read(x, "delta", NULL), *next = recipe_run_read(x, "x", NULL);
    CHECK(memcmp(first, now, sizeof *now * (size_t)n) == 0 && memcmp(image, next, sizeof *next * (size_t)n) != 0);
    Range d = range_of(x, "delta");
    CHECK(d.min >= -(double)0.2f && d.max <= (double)0.2f && d.max > 0.19);
    free(first);
    free(image);
    free(now);
    free(next);
    recipe_run_close(x);
    recipe_free(r);
}

/* Parts of std.attacks on functions whose values are known: a count that goes on after a miss, and the ends of a bisection. */
static void test_count_and_boundary(void)
{
    static const char text[] =
        "adv 1\nuse std.attacks\n"
        "data synthetic { train = 8; test = 8; classes = 2; shape = [2]; batch = 4; y = id - 2*floor(id/2); x = 0.25 + 0.01*id }\n"
        "net small(x) { return x -> fc: linear(2) }\n"
        "model f = small()\n"
        "step {\n"
        "  z, k = pgd_counted(z => sum(z), z => abs(z[0] - x[0] - 0.1) > 0.05, x, 1, size = 0.1, steps = 4)\n"
        "  signal kappa = k\n" /* right at turns 0, 2 and 3, wrong at 1 */
        "  signal crossed = boundary(t => t - 0.3, lo = 0, hi = 1, start = 0.1 + 0*z[0], turns = 10)\n"
        "  signal never = boundary(t => 0*t - 1, lo = 0, hi = 1, start = 0.1 + 0*z[0], turns = 10)\n"
        "  signal always = boundary(t => 0*t + 1, lo = 0, hi = 1, start = 0.1 + 0*z[0], turns = 10)\n"
        "  v = pgd_mixed(z => sum(z), x, 1, size = 0.1, steps = slot, most = 2)\n"
        "  signal made = (v[0] - x[0])/0.1\n" /* as many as the place in the batch, two at most */
        "  minimize ce(f(x), y) over f\n"
        "}\n"
        "optim f = sgd(lr = 0.1)\ntrain { epochs = 1; seed = 1 }\n";
    Recipe *r = recipe_of("parts.adv", text);
    RecipeRun *x = recipe_run_on(r, "ref64");
    CHECK_EQ(recipe_run_step(x, 0), ADV_OK);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(recipe_run_at(x, "metric.kappa", i), 3);
        CHECK_NEAR(recipe_run_at(x, "metric.made", i), i < 2 ? i : 2, 1e-9);
        CHECK(fabs(recipe_run_at(x, "metric.crossed", i) - 0.3) < 1.0 / 512);
        CHECK(recipe_run_at(x, "metric.never", i) > 1 - 1.0 / 512);
        CHECK(recipe_run_at(x, "metric.always", i) < 0.1 / 512);
    }
    recipe_run_close(x);
    recipe_free(r);
}

/* The margin remembered of a sample that is wrong is 0, and is used as eps_min; the first step finds most of them so. */
static void test_mma_wrong_samples_keep_no_margin(void)
{
    Recipe *r = method("mma");
    recipe_put(r, "  signal right = mean(ok)\n", "  signal right = ok\n  signal radius = r\n");
    RecipeRun *x = recipe_run_on(r, "ref");
    int n_wrong = 0;
    for (int64_t k = 0; k < 2; k++) {
        CHECK_EQ(recipe_run_entry(x, "batch"), ADV_OK);
        CHECK_EQ(recipe_run_entry(x, "step.main"), ADV_OK);
        for (int64_t i = 0; i < 8; i++) {
            bool right = recipe_run_at(x, "metric.right", i) != 0;
            n_wrong += !right;
            if (!right) CHECK_EQ(recipe_run_at(x, "m_i", (int64_t)recipe_run_at(x, "ids", i)), 0);
            CHECK(recipe_run_at(x, "metric.radius", i) >= (double)0.1f);
        }
    }
    CHECK(n_wrong > 0);
    recipe_run_close(x);
    recipe_free(r);
}

int main(void)
{
    RUN(test_mwpb_without_margin_is_at);
    RUN(test_mwpb_without_margin_is_mart);
    RUN(test_mail_without_slope_is_at);
    RUN(test_wat_without_alpha_is_at);
    RUN(test_fat_with_slack_is_at);
    RUN(test_fat_trades_with_slack_is_trades);
    RUN(test_gairat_with_even_weights_is_at);
    RUN(test_awp_of_nothing_is_at);
    RUN(test_awp_of_nothing_is_mwpb);
    RUN(test_squeezing_nothing_is_natural);
    RUN(test_cat_begins_naturally);
    RUN(test_daat_with_a_right_head_is_at);
    RUN(test_mma_mask_is_half_the_probability);
    RUN(test_mwpb_radius_has_two_bounds);
    RUN(test_mail_weighs_by_margin);
    RUN(test_wat_weight_has_a_gradient);
    RUN(test_daat_shrinks_to_rho_at_most);
    RUN(test_iaat_moves_radii_a_little);
    RUN(test_daat_variants);
    RUN(test_cat_parts);
    RUN(test_mean_holds_before_the_bounds);
    RUN(test_ades_as_printed_shrinks);
    RUN(test_trades_needs_a_start);
    RUN(test_squeezing_needs_starts);
    RUN(test_fgsm_starts_in_the_box);
    RUN(test_free_perturbation_outlives_its_batch);
    RUN(test_count_and_boundary);
    RUN(test_mma_wrong_samples_keep_no_margin);
    return ADV_TEST_END();
}
