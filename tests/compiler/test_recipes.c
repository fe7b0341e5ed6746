/* test_recipes.c: what the compiler must achieve on the recipes, counted on their graphs.
**
** The unit of work is one forward pass of the network over the batch: multiply-adds of its convolutions and matrix products.
** The gradient by the input costs one unit more, the gradient by the weights another; the first layer's input gradient is not
** computed where nobody asks for it. Loops count as often as they turn.
**
** Every recipe: verified, and sent through its own text, after every pass of the common part and of both targets; no gradient by
** weights in any attack; at most a copy for each loop (where it begins at an image that is there in the right layout and stays); the
** same bytes when compiled twice.
*/
#include "tests/adv_test.h"
#include "tests/compiler/recipe.h"

#include "compiler/plan/memplan.h"

/* ---- counting ---------------------------------------------------------------------------------------------------- */

typedef struct Count {
    AdvGraph *g;
    const char *op;       /* counted in n_nodes; NULL: all */
    uint64_t n_nodes;     /* listed, each once */
    double macs;          /* of what counts as work, turns counted */
    uint32_t n_loops, n_wgrad_in_loop; /* loops that update no weights: attacks */
    uint32_t n_wgrad_in_replay;        /* loops that do */
} Count;

static int64_t elems(const AdvTensorType *t)
{
    int64_t n = 1;
    for (uint32_t d = 0; d < t->rank; d++) n *= t->dim[d];
    return n;
}

/* Multiply-adds of one node: for a convolution and both its gradients, elements of the output side times a filter's size. */
static double macs_of(const AdvGraph *g, AdvNodeId n)
{
    const AdvNode *node = adv_node(g, n);
    if (!(node->op->flags & ADV_OP_CONV)) return 0;
    const AdvTensorType *a = adv_value_type(g, adv_node_in(g, n, 0)), *b = adv_value_type(g, adv_node_in(g, n, 1)),
                        *y = adv_value_type(g, adv_node_out(g, n, 0));
    if (adv_node_is(g, n, "matmul")) {
        int64_t inner = adv_node_attr(g, n)[0].i ? a->dim[0] : a->dim[1];
        return (double)elems(y) * (double)inner;
    }
    if (node->op->flags & ADV_OP_WGRAD) return (double)elems(b) * (double)(elems(y) / y->dim[0]);
    bool by_input = strstr(node->op->name, "_gx") != NULL; /* of conv2d and of pool_linear, whatever is fused with it */
    return (double)elems(by_input ? a : y) * (double)(elems(b) / b->dim[0]);
}

/* A gradient by weights: of a convolution, or a product that sums over the batch (only in entries with one). */
static bool is_wgrad(const AdvGraph *g, AdvNodeId n)
{
    const AdvNode *node = adv_node(g, n);
    if (node->op->flags & ADV_OP_WGRAD) return true;
    return adv_node_is(g, n, "matmul") && adv_node_attr(g, n)[0].i;
}

static bool updates(const AdvGraph *g, AdvRegionId r)
{
    const AdvRegion *region = adv_region(g, r);
    for (uint32_t i = 0; i < region->nodes.n; i++)
        if (adv_node_is(g, region->nodes.at[i], "sgd") || adv_node_is(g, region->nodes.at[i], "adam")) return true;
    return false;
}

static void count_region(Count *c, AdvRegionId r, double turns, bool in_loop)
{
    const AdvRegion *region = adv_region(c->g, r);
    bool replays = in_loop && updates(c->g, r);
    for (uint32_t i = 0; i < region->nodes.n; i++) {
        AdvNodeId n = region->nodes.at[i];
        c->n_nodes += !c->op || adv_node_is(c->g, n, c->op);
        c->macs += turns * macs_of(c->g, n);
        c->n_wgrad_in_loop += in_loop && !replays && is_wgrad(c->g, n);
        c->n_wgrad_in_replay += replays && is_wgrad(c->g, n);
        if (!adv_node(c->g, n)->body.i) continue;
        c->n_loops++;
        count_region(c, adv_node(c->g, n)->body, turns * (double)adv_loop_turns(c->g, n), true);
    }
}

/* Over the entries whose name begins so. */
static Count count(AdvGraph *g, const char *entry, const char *op)
{
    Count c = {.g = g, .op = op};
    for (uint32_t i = 0; i < g->entries.n; i++) {
        AdvRegionId r = g->entries.at[i];
        if (strncmp(adv_str(g->names, adv_region(g, r)->name), entry, strlen(entry)) == 0) count_region(&c, r, 1, false);
    }
    return c;
}

/* Work of a forward pass, from the evaluation that only classifies. */
static double forward_of(AdvGraph *g) { return count(g, "eval.final.clean", NULL).macs; }

/* First node of an op in an entry's own list (not in loops). */
static AdvNodeId first_of(AdvGraph *g, const char *entry, const char *op)
{
    AdvRegion *r = adv_region(g, adv_entry_find(g, adv_intern(g->names, entry)));
    for (uint32_t i = 0; i < r->nodes.n; i++)
        if (adv_node_is(g, r->nodes.at[i], op)) return r->nodes.at[i];
    return (AdvNodeId){0};
}

/* Work of the layer that meets the image: its input gradient is the one that an update does not need. */
static double stem_of(AdvGraph *g) { return macs_of(g, first_of(g, "eval.final.clean", "conv2d")); }

typedef void Check(AdvGraph *g, Recipe *r, Setup *s);

static void on_graph(const char *path, Check *check)
{
    Recipe *r = recipe_open(path);
    Setup *s = setup_new();
    AdvGraph *g = recipe_graph(r, s, "graph");
    CHECK(g != NULL);
    if (g) check(g, r, s);
    setup_free(s);
    recipe_free(r);
}

/* ---- TRADES ------------------------------------------------------------------------------------------------------ */

/* 1 clean forward before the loop; 10 turns of a forward and an input gradient; two training forwards (the `touch` runs none)
** and both gradients of each: 1 + 20 + 6 = 27. With the clean forward in the loop and once more for the `touch`, and weight
** gradients in the attack, it would be 39 and more. */
static void trades_units(AdvGraph *g, Recipe *r, Setup *s)
{
    double unit = forward_of(g), stem = stem_of(g), want = 27 * unit - 2 * stem;
    static const char *const targets[] = {"cpu", "cuda"};
    CHECK_EQ(unit / 128, 555422720); /* ResNet-18 on 3x32x32 */
    CHECK_EQ(count(g, "step.main", NULL).macs, want);
    CHECK_EQ(count(g, "step.main", "conv2d").n_nodes, 4 * 20);
    CHECK_EQ(count(g, "step.main", "conv2d_gx").n_nodes, 20 + 2 * 19);
    CHECK_EQ(count(g, "step.main", "conv2d_gw").n_nodes, 2 * 20);
    CHECK_EQ(count(g, "step.main", NULL).n_loops, 1);
    for (int i = 0; i < 2; i++) {
        AdvGraph *own = adv_graph_copy(&s->arena, g);
        if (recipe_target(s, &own, r, targets[i], false)) CHECK_EQ(count(own, "step.main", NULL).macs, want);
    }
    printf("trades: %.4f forward units\n", want / unit);
}

static void test_trades_units(void) { on_graph("recipes/trades.adv", trades_units); }

static void test_trades_dump_shows_one_loop(void)
{
    Recipe *r = recipe_open("recipes/trades.adv");
    char *text = recipe_dump(r, "graph");
    uint32_t n = 0;
    CHECK(text != NULL);
    const char *at = text ? strstr(text, "entry step.main {") : NULL, *end = at ? strstr(at, "\n}") : NULL;
    CHECK(at && end);
    for (; at && end && (at = strstr(at, "= loop ")) != NULL && at < end; at++) n++;
    CHECK_EQ(n, 1);
    free(text);
    recipe_free(r);
}

/* ---- ADES -------------------------------------------------------------------------------------------------------- */

/* WRN-34-10 has 34 convolutions, 3 of them (stem, first block's shortcut and first convolution) before the first dropout. All
** signals share one clean forward in eval mode, the passes with dropout its beginning too. The attack starts at the image, so its
** first turn (of 20) is what gnorm has asked for and stands before the loop:
**   forward  34 clean, 3 x 31 with dropout, 34 in the loop, 34 in training mode
**   by input 34 for gnorm, 34 in the loop, 34 for the budget's envelope; the weights' backward shares the last
**   by weights 34 */
static void ades_shares(AdvGraph *g, Recipe *r, Setup *s)
{
    double unit = forward_of(g), mc = 0, mlp;
    (void)r;
    (void)s;
    CHECK_EQ(count(g, "step.main", "conv2d").n_nodes, 34 + 3 * 31 + 34 + 34);
    CHECK_EQ(count(g, "step.main", "conv2d_gx").n_nodes, 3 * 34);
    CHECK_EQ(count(g, "step.main", "conv2d_gw").n_nodes, 34);
    CHECK_EQ(count(g, "step.main", "bn_train").n_nodes, 31);
    CHECK_EQ(count(g, "step.main", "bn_grad").n_nodes, 31);
    CHECK_EQ(count(g, "step.main", NULL).n_loops, 1);
    AdvRegion *entry = adv_region(g, adv_entry_find(g, adv_intern(g->names, "eval.final.clean")));
    for (uint32_t i = 0, n = 0; i < entry->nodes.n; i++)
        if (adv_node_is(g, entry->nodes.at[i], "conv2d") && n++ < 3) mc += macs_of(g, entry->nodes.at[i]);
    /* the scheduler, 3-16-1: forward; by its weights; by its hidden layer */
    mlp = 128.0 * (3 * 16 + 16) * 2 + 128.0 * 16;
    /* clean 1, gnorm 1, dropout 3 less what they share, attack 19 x 2, update 1 + by input 1 + by weights 1 */
    double want = 46 * unit - 3 * mc + mlp, got = count(g, "step.main", NULL).macs;
    CHECK_EQ(got, want);
    printf("ades: %.4f forward units\n", got / unit);
}

static void test_ades_shares(void) { on_graph("recipes/ades.adv", ades_shares); }

/* ---- memory and copies ------------------------------------------------------------------------------------------- */

static void memory_of(const char *path, bool bounded)
{
    static const char *const targets[] = {"cpu", "cuda"};
    for (int i = 0; i < 2; i++) {
        Recipe *r = recipe_open(path);
        Setup *s = setup_new();
        AdvGraph *g = recipe_graph(r, s, "graph");
        AdvMemPlan *m = g ? recipe_target(s, &g, r, targets[i], false) : NULL;
        CHECK(m != NULL);
        if (m) {
            CHECK_EQ(count(g, "step.", "copy").n_nodes, 0);
            if (bounded) CHECK((double)m->temp_bytes <= 1.1 * (double)m->lower_bound_bytes);
            printf("%s, %s: %.1f MB planned, %.1f MB alive at once (%.4f)\n", path, targets[i], (double)m->temp_bytes / 1e6,
                   (double)m->lower_bound_bytes / 1e6, (double)m->temp_bytes / (double)m->lower_bound_bytes);
        }
        setup_free(s);
        recipe_free(r);
    }
}

static void test_memory_resnet18_pgd10(void) { memory_of("tests/recipes/resnet18_pgd10.adv", true); }
static void test_no_copy_natural(void) { memory_of("recipes/natural.adv", true); }
static void test_no_copy_pgd_at(void) { memory_of("recipes/pgd_at.adv", true); }
static void test_no_copy_trades(void) { memory_of("recipes/trades.adv", true); }
static void test_no_copy_ades(void) { memory_of("recipes/ades.adv", true); }

/* ---- every recipe ------------------------------------------------------------------------------------------------ */

static void each_recipe(void (*fn)(Recipe *r))
{
    for (char **path = recipe_all(); *path; path++) {
        int before = test_n_failed_checks;
        Recipe *r = recipe_open(*path);
        fn(r);
        if (test_n_failed_checks > before) printf("  in %s\n", *path);
        recipe_free(r);
    }
}

static void every_pass(Recipe *r)
{
    static const char *const targets[] = {"cpu", "cuda"};
    Setup *s = setup_new();
    AdvPassCtx p = {.arena = &s->arena, .scratch = &s->scratch, .diags = s->diags};
    AdvPipeOpts o = {.verify_each = true, .round_trip = true};
    AdvGraph *g = recipe_graph(r, s, "lowered");
    CHECK(g != NULL);
    AdvStatus st = g ? adv_run_common(&p, &g, &o) : ADV_EINTERNAL;
    CHECK_EQ(st, ADV_OK);
    if (st != ADV_OK) setup_show(s);
    for (int i = 0; st == ADV_OK && i < 2; i++) {
        AdvGraph *own = adv_graph_copy(&s->arena, g);
        CHECK(recipe_target(s, &own, r, targets[i], true) != NULL);
        CHECK_EQ(adv_graph_verify(own, true), ADV_OK);
        CHECK_EQ(count(own, "", NULL).n_wgrad_in_loop, 0);
        Count c = count(own, "step.", "copy");
        CHECK(c.n_nodes <= c.n_loops);
    }
    setup_free(s);
}

static void test_verified_and_read_back_after_every_pass(void) { each_recipe(every_pass); }

static void text_reads_back(Recipe *r)
{
    static const char *const stages[] = {"lowered", "graph"};
    for (int i = 0; i < 2; i++) {
        Setup *s = setup_new();
        char *text = recipe_dump(r, stages[i]);
        AdvGraph *g = text ? setup_read(s, r->name, text, strlen(text)) : NULL;
        CHECK(g != NULL);
        char *again = g ? setup_print(g, false) : NULL;
        CHECK(again && strcmp(again, text) == 0);
        free(again);
        free(text);
        setup_free(s);
    }
}

static void test_text_reads_back(void) { each_recipe(text_reads_back); }

static void no_wgrad_in_loops(Recipe *r)
{
    Setup *s = setup_new();
    AdvGraph *g = recipe_graph(r, s, "graph");
    CHECK(g != NULL);
    if (g) {
        Count c = count(g, "", NULL);
        CHECK_EQ(c.n_wgrad_in_loop, 0);
        CHECK(c.n_loops > 0); /* there is one to look at: every recipe is attacked, at least in its evaluation */
    }
    setup_free(s);
}

static void test_no_weight_gradient_in_loops(void) { each_recipe(no_wgrad_in_loops); }

static void same_bytes(Recipe *r)
{
    uint64_t n[2] = {0, 0};
    void *plan[2] = {recipe_plan(r, "cpu,cuda", NULL, &n[0]), recipe_plan(r, "cpu,cuda", NULL, &n[1])};
    CHECK(plan[0] && plan[1]);
    CHECK(n[0] == n[1] && plan[0] && plan[1] && memcmp(plan[0], plan[1], n[0]) == 0);
    for (int i = 0; i < 2; i++) recipe_plan_free(plan[i], n[i]);
}

static void test_same_recipe_same_bytes(void) { each_recipe(same_bytes); }

/* The counters count: the weight gradients of a replay, which stand in a loop and belong there, are found. */
static void replay_counts(AdvGraph *g, Recipe *r, Setup *s)
{
    Count c = count(g, "step.main", NULL);
    (void)r;
    (void)s;
    CHECK_EQ(c.n_loops, 1);
    CHECK(c.n_wgrad_in_replay > 0);
    CHECK_EQ(c.n_wgrad_in_loop, 0);
}

static void test_counters_find_replay(void) { on_graph("tests/recipes/free8.adv", replay_counts); }

int main(void)
{
    RUN(test_trades_units);
    RUN(test_trades_dump_shows_one_loop);
    RUN(test_ades_shares);
    RUN(test_memory_resnet18_pgd10);
    RUN(test_no_copy_natural);
    RUN(test_no_copy_pgd_at);
    RUN(test_no_copy_trades);
    RUN(test_no_copy_ades);
    RUN(test_no_weight_gradient_in_loops);
    RUN(test_counters_find_replay);
    RUN(test_text_reads_back);
    RUN(test_same_recipe_same_bytes);
    RUN(test_verified_and_read_back_after_every_pass);
    return ADV_TEST_END();
}
