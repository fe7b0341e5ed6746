/* test_cost.c: counted work against counts made by hand, for three networks; forwards and backwards of training steps; where the
** planned memory has its peak; and the graph for other programs.
*/
#include "tests/adv_test.h"
#include "tests/compiler/recipe.h"

#include "compiler/plan/cost.h"
#include "compiler/graph/show.h"
#include "compiler/pass/target.h"
#include "ops/view.h"

#include <jansson.h>

#define DATA                                                                                                                               \
    "data synthetic { train = 256; test = 64; classes = %d; shape = %s; batch = 8; y = id - 2*floor(id/2); x = normal(like = x) }\n"
#define REST "optim f = sgd(lr = 0.1)\ntrain { epochs = 1 }\neval final { on = test; attacks = [clean] }\n"

typedef struct Counted {
    Recipe *r;
    Setup *s;
    AdvGraph *g;
    AdvMemPlan *mem;
    AdvCost *cost;
} Counted;

static Counted count(const char *net, int classes, const char *shape, const char *step, const char *target)
{
    char text[2048];
    snprintf(text, sizeof text, "adv 1\nuse std.nets\nuse std.attacks\n" DATA "model f = %s\nstep { %s }\n" REST, classes, shape, net,
             step);
    Counted c = {.r = recipe_of("counted.adv", text), .s = setup_new()};
    AdvPassCtx p = {.arena = &c.s->arena, .scratch = &c.s->scratch, .diags = c.s->diags};
    c.g = recipe_graph(c.r, c.s, "lowered"); /* autodiff here, so that locations know what gradients made */
    if (!c.g || adv_run_common(&p, &c.g, &(AdvPipeOpts){0}) != ADV_OK) abort();
    c.mem = recipe_target(c.s, &c.g, c.r, target, false);
    c.cost = adv_cost(&c.s->arena, c.g, adv_target_find(target), c.mem);
    return c;
}

static void done(Counted c)
{
    setup_free(c.s);
    recipe_free(c.r);
}

static const AdvCostEntry *entry(const Counted *c, const char *name)
{
    for (uint32_t i = 0; i < c->cost->entries.n; i++)
        if (!strcmp(adv_str(c->g->names, adv_region(c->g, c->cost->entries.at[i].entry)->name), name)) return &c->cost->entries.at[i];
    abort();
}

/* FLOPs of an entry's instructions of one op, with their turns. */
static double of_op(const Counted *c, const char *entry_name, const char *op)
{
    const AdvCostEntry *e = entry(c, entry_name);
    double sum = 0;
    for (uint32_t i = e->first; i < e->first + e->n_rows; i++)
        if (adv_node_is(c->g, c->cost->rows.at[i].node, op)) sum += c->cost->rows.at[i].times * c->cost->rows.at[i].flops;
    return sum;
}

#define NATURAL "minimize ce(f(x), y) over f"

/* 2-16-16-3 on a batch of 8: 2*8*(2*16 + 16*16 + 16*3) */
static void test_mlp(void)
{
    Counted c = count("mlp(width = 16, classes = 3)", 3, "[2]", NATURAL, "ref");
    double forward = 2.0 * 8 * (2 * 16 + 16 * 16 + 16 * 3);
    CHECK_EQ(c.cost->unit_flops, forward);
    CHECK_STR(c.cost->model, "f");
    CHECK_EQ(of_op(&c, "eval.final.clean", "matmul"), forward);
    CHECK_NEAR(entry(&c, "eval.final.clean")->forwards, 1, 1e-12);
    CHECK_EQ(entry(&c, "eval.final.clean")->backwards, 0);
    CHECK_NEAR(entry(&c, "step.main")->forwards, 1, 1e-12);
    /* all weights, and the inputs of all layers but the first */
    CHECK_NEAR(entry(&c, "step.main")->backwards, 1 + (16.0 * 16 + 16 * 3) / (2 * 16 + 16 * 16 + 16 * 3), 1e-12);
    done(c);
}

/* What the samples share, a gradient by weights and an update, belongs to the batch; what each has its own of, to the sample. */
static void test_rates(void)
{
    Counted c = count("mlp(width = 16, classes = 3)", 3, "[2]", NATURAL, "ref");
    const AdvCostEntry *e = entry(&c, "step.main");
    uint32_t n[ADV_RATE_COUNT] = {0}, n_weights = 0;
    for (uint32_t i = e->first; i < e->first + e->n_rows; i++) {
        const AdvNode *node = adv_node(c.g, c.cost->rows.at[i].node);
        for (uint32_t k = 0; k < node->n_out; k++) {
            const AdvValue *v = adv_value(c.g, adv_node_out(c.g, c.cost->rows.at[i].node, k));
            bool has_n = v->type.rank && v->type.dim[0] == 8;
            CHECK(v->rate == ADV_RATE_ONCE || (v->rate == ADV_RATE_SAMPLE) == has_n);
            n[v->rate]++;
            n_weights += adv_node_is(c.g, c.cost->rows.at[i].node, "sgd");
        }
    }
    CHECK(n[ADV_RATE_SAMPLE] > 10 && n[ADV_RATE_BATCH] >= n_weights);
    CHECK_EQ(n_weights, 2 * 6); /* weight and moment of three weights and three biases */
    done(c);
}

/* On target cuda the updates of 3 weights and 3 biases are a list; nothing is in a loop. */
static void test_launches(void)
{
    Counted c = count("mlp(width = 16, classes = 3)", 3, "[2]", NATURAL, "ref");
    Counted lists = count("mlp(width = 16, classes = 3)", 3, "[2]", NATURAL, "cuda");
    CHECK_EQ(entry(&c, "step.main")->launches, entry(&c, "step.main")->n_rows);
    CHECK(entry(&lists, "step.main")->launches <= entry(&lists, "step.main")->n_rows - 5);
    CHECK(entry(&lists, "eval.final.clean")->launches > 3);
    done(c);
    done(lists);
}

/* 28x28: 16 and 32 channels of 3x3 windows, halved twice, then 7*7*32 to 10 */
static void test_mnist_cnn(void)
{
    static const double image = 2.0 * (28 * 28 * 16 * 9 + 14 * 14 * 32 * 16 * 9 + 7 * 7 * 32 * 10), out = 28 * 28 * 16 + 14 * 14 * 32;
    Counted c = count("mnist_cnn(classes = 10)", 10, "[1, 28, 28]", NATURAL, "ref");
    CHECK_EQ(of_op(&c, "eval.final.clean", "conv2d") + of_op(&c, "eval.final.clean", "matmul"), 8 * image);
    CHECK_EQ(c.cost->unit_flops, 8 * image);
    CHECK_EQ(of_op(&c, "step.main", "conv2d_gw"), 8 * 2.0 * (28 * 28 * 16 * 9 + 14 * 14 * 32 * 16 * 9));
    CHECK_EQ(of_op(&c, "step.main", "conv2d_gx"), 8 * 2.0 * (14 * 14 * 32 * 16 * 9));
    done(c);
    c = count("mnist_cnn(classes = 10)", 10, "[1, 28, 28]", NATURAL, "cpu"); /* bias and relu go into the convolution */
    CHECK_EQ(of_op(&c, "eval.final.clean", "conv2d_bias"), 8 * (image - 2.0 * 7 * 7 * 32 * 10 + 2 * out));
    done(c);
}

/* 3-32-64-64-128-128 at 32, 16, 16, 8, 8; PGD of 3 steps in eval mode, where batch norm is folded into the weights */
static void test_small_cnn(void)
{
    static const double image =
        2.0 * (1024.0 * 32 * 3 * 9 + 256.0 * 64 * 32 * 9 + 256.0 * 64 * 64 * 9 + 64.0 * 128 * 64 * 9 + 64.0 * 128 * 128 * 9 + 128 * 10);
    Counted c = count("small_cnn(classes = 10)", 10, "[3, 32, 32]",
                      "x_adv = pgd(z => ce(f.eval(z), y), x, 8/255, size = 2/255, steps = 3)\nminimize ce(f(x_adv), y) over f", "ref");
    CHECK_EQ(c.cost->unit_flops, 8 * image);
    CHECK_NEAR(entry(&c, "step.main")->forwards, 4, 1e-12);
    /* three times the whole image gradient; then all weights, and all images but the first layer's */
    CHECK_NEAR(entry(&c, "step.main")->backwards, 3 + 2 - 2.0 * 1024 * 32 * 3 * 9 / image, 1e-12);
    CHECK_EQ(of_op(&c, "step.main", "conv2d") + of_op(&c, "step.main", "conv2d_gx") + of_op(&c, "step.main", "conv2d_gw") +
                 of_op(&c, "step.main", "matmul"),
             (entry(&c, "step.main")->forwards + entry(&c, "step.main")->backwards) * 8 * image);
    done(c);
}

/* The printed peak is the block's size in some entry, and reached by the row that is named. */
static void test_peak(void)
{
    Counted c = count("mnist_cnn(classes = 10)", 10, "[1, 28, 28]", NATURAL, "cpu");
    uint64_t most = 0;
    for (uint32_t i = 0; i < c.cost->entries.n; i++) {
        const AdvCostEntry *e = &c.cost->entries.at[i];
        if (e->peak_bytes > most) most = e->peak_bytes;
        CHECK(e->peak_bytes <= c.mem->temp_bytes);
        CHECK(!e->peak_bytes || (e->peak_row >= e->first && e->peak_row < e->first + e->n_rows));
    }
    CHECK(most + 64 > c.mem->temp_bytes); /* storages are rounded up to 64 bytes */
    done(c);
}

static void test_seconds(void)
{
    Counted c = count("mlp(width = 16, classes = 3)", 3, "[2]", NATURAL, "cpu");
    const AdvTarget *t = adv_target_find("cpu");
    const AdvCostEntry *e = entry(&c, "step.main");
    double seconds = 0, bytes = 0;
    for (uint32_t i = e->first; i < e->first + e->n_rows; i++) {
        const AdvCostRow *r = &c.cost->rows.at[i];
        seconds += r->times * fmax(r->flops / (1e9 * t->gflops), r->bytes / (1e9 * t->gbytes));
        bytes += r->times * r->bytes;
    }
    CHECK_NEAR(e->seconds, seconds, 1e-12);
    CHECK_EQ(e->bytes, bytes);
    CHECK(seconds > 0);
    done(c);
}

/* ---- the graph for other programs ---------------------------------------------------------------------------------------------- */

static char *shown(const Counted *c, bool as_json, const char *only)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) abort();
    if (!as_json) adv_graph_dot(c->g, only, setup_write, f);
    else CHECK_EQ(adv_graph_json(c->g, only, setup_write, f), ADV_OK);
    fclose(f);
    return text;
}

static size_t n_nodes(const json_t *list)
{
    size_t i, n = 0;
    json_t *node;
    json_array_foreach(list, i, node) n += 1 + n_nodes(json_object_get(node, "body"));
    return n;
}

static size_t n_listed(const AdvGraph *g, AdvRegionId r)
{
    size_t n = 0;
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        const AdvNode *node = adv_node(g, adv_region(g, r)->nodes.at[i]);
        n += 1 + (node->body.i ? n_listed(g, node->body) : 0);
    }
    return n;
}

static void test_json(void)
{
    Counted c = count("mlp(width = 16, classes = 3)", 3, "[2]",
                      "x_adv = pgd(z => ce(f.eval(z), y), x, 0.1, size = 0.05, steps = 3)\nminimize ce(f(x_adv), y) over f", "cpu");
    char *text = shown(&c, true, NULL);
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *entries = json_object_get(j, "entries");
    CHECK_EQ(json_array_size(entries), c.g->entries.n);
    CHECK_EQ(json_array_size(json_object_get(j, "states")), c.g->states.n - 1);
    for (uint32_t i = 0; i < c.g->entries.n; i++)
        CHECK_EQ(n_nodes(json_object_get(json_array_get(entries, i), "nodes")), n_listed(c.g, c.g->entries.at[i]));
    json_decref(j);
    free(text);
    text = shown(&c, true, "step.main");
    j = json_loads(text, 0, NULL);
    CHECK_EQ(json_array_size(json_object_get(j, "entries")), 1);
    json_decref(j);
    free(text);
    done(c);
}

/* Braces close, and each edge joins two nodes that are declared. */
static void test_dot(void)
{
    Counted c = count("mlp(width = 16, classes = 3)", 3, "[2]",
                      "x_adv = pgd(z => ce(f.eval(z), y), x, 0.1, size = 0.05, steps = 3)\nminimize ce(f(x_adv), y) over f", "cpu");
    char *text = shown(&c, false, NULL);
    int depth = 0, n_edges = 0, n_loops = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char from[64], to[64], declared[80];
        for (const char *s = line; *s; s++) depth += *s == '{' ? 1 : *s == '}' ? -1 : 0;
        CHECK(depth >= 0);
        n_loops += strstr(line, "turns\"") != NULL;
        if (sscanf(line, " %63s -> %63[a-z0-9_]", from, to) != 2) continue;
        n_edges++;
        char *all = shown(&c, false, NULL);
        snprintf(declared, sizeof declared, " %s [", from);
        CHECK(strstr(all, declared));
        snprintf(declared, sizeof declared, " %s [", to);
        CHECK(strstr(all, declared));
        free(all);
    }
    CHECK_EQ(depth, 0);
    CHECK_EQ(n_loops, 1);
    CHECK(n_edges > 50);
    free(text);
    done(c);
}

int main(void)
{
    RUN(test_mlp);
    RUN(test_rates);
    RUN(test_launches);
    RUN(test_mnist_cnn);
    RUN(test_small_cnn);
    RUN(test_peak);
    RUN(test_seconds);
    RUN(test_json);
    RUN(test_dot);
    return ADV_TEST_END();
}
