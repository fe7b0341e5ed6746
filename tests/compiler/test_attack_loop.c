/* test_attack_loop.c: how often target cuda goes over memory in a turn of the attack of ResNet-18 and of a wide ResNet.
**
** In a turn every tensor as large as an image must be made by a convolution that did the rest (bias, residual, relu, mask, skip, the next
** block's batch norm) on the way, in bf16; what may stand beside them is listed. Weights are converted before the loop, not in it.
*/
#include "tests/adv_test.h"

#include "ops/view.h"
#include "tests/compiler/recipe.h"

enum { BATCH = 2, IMAGE = 3 * 32 * 32 };

typedef struct Turn {
    uint32_t n_forward, n_backward, n_steps, n_images, n_activations, n_weights, n_f32_activations, n_nodes;
} Turn;

static bool is_op(const AdvGraph *g, AdvNodeId n, const char *a, const char *b, const char *c)
{
    return adv_node_is(g, n, a) || (b && adv_node_is(g, n, b)) || (c && adv_node_is(g, n, c));
}

/* Counts a node that is no convolution by the largest tensor it touches: larger than an image, an image, a weight. */
static void count_other(const AdvGraph *g, AdvNodeId id, Turn *t)
{
    const AdvNode *n = adv_node(g, id);
    int64_t most = 0;
    bool by_sample = false;
    for (uint32_t k = 0; k < n->n_in + n->n_out; k++) {
        AdvValueId v = k < n->n_in ? adv_node_in(g, id, k) : adv_node_out(g, id, k - n->n_in);
        const AdvTensorType *x = adv_value_type(g, v);
        if (x->rank == 4) by_sample |= x->dim[0] == BATCH;
        if (x->rank == 4 && adv_type_elems(x) > most) most = adv_type_elems(x);
    }
    if (most == 0 || (n->op->flags & ADV_OP_VIEW)) return;
    if (!by_sample) t->n_weights++;
    else if (most == BATCH * IMAGE) t->n_images++;
    else t->n_activations++;
}

static void count_turn(const AdvGraph *g, AdvRegionId r, Turn *t)
{
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvNodeId id = adv_region(g, r)->nodes.at[i];
        t->n_nodes += !(adv_node(g, id)->op->flags & (ADV_OP_VIEW | ADV_OP_STRUCT));
        if (is_op(g, id, "conv2d", "conv2d_bias", "conv2d_sum") || is_op(g, id, "conv2d_sum_affine", NULL, NULL)) t->n_forward++;
        else if (is_op(g, id, "conv2d_gx", "conv2d_gx_mask", "conv2d_gx_affine")) t->n_backward++;
        else if (is_op(g, id, "conv2d_gx_step", NULL, NULL)) {
            t->n_steps++;
            continue; /* gives the image that it was given, a step further */
        } else {
            count_other(g, id, t);
            continue;
        }
        t->n_f32_activations += adv_value_type(g, adv_node_out(g, id, 0))->dtype != ADV_BF16;
    }
}

/* The body of the first loop of ten turns. */
static AdvRegionId attack_loop(const AdvGraph *g)
{
    AdvRegionId none = {0};
    for (uint32_t e = 0; e < g->entries.n; e++)
        for (uint32_t i = 0; i < adv_region(g, g->entries.at[e])->nodes.n; i++) {
            AdvNodeId id = adv_region(g, g->entries.at[e])->nodes.at[i];
            if (adv_node(g, id)->body.i && adv_node_attr(g, id)[0].i == 10) return adv_node(g, id)->body;
        }
    return none;
}

/* A turn of the recipe's attack, cut to ten turns, in bf16 on target cuda. */
static Turn turn_of(Recipe *r)
{
    Setup *s = setup_new();
    Turn t = {0};
    recipe_put_number(r, "batch = ", BATCH);
    recipe_put_number(r, "steps = ", 10);
    if (!recipe_has(r, "precision = bf16")) recipe_put(r, "train {", "run { precision = bf16 }\ntrain {");
    AdvGraph *g = recipe_graph(r, s, "graph");
    CHECK(g != NULL);
    if (g) (void)recipe_target(s, &g, r, "cuda", false);
    AdvRegionId body = attack_loop(g);
    CHECK(body.i != 0);
    if (body.i) count_turn(g, body, &t);
    CHECK_EQ(t.n_steps, 1);  /* the gradient by the image goes nowhere else */
    CHECK_EQ(t.n_f32_activations, 0);
    CHECK_EQ(t.n_weights, 0);
    CHECK_EQ(t.n_images, 1);      /* the iterate to bf16 */
    setup_free(s);
    return t;
}

static void resnet18_goes_over_memory_in_convolutions_only(void)
{
    Recipe *r = recipe_open("tests/recipes/resnet18_pgd10.adv");
    Turn t = turn_of(r);
    CHECK_EQ(t.n_forward, 20);
    CHECK_EQ(t.n_backward, 19);
    CHECK_EQ(t.n_activations, 2); /* of [512,4,4] at the head, read once and written once: to the logits, and back through the last relu */
    CHECK_EQ(t.n_nodes, 20 + 20 + 1 + 3); /* the loss between both, which is one launch for logits and all */
    recipe_free(r);
}

static void wide_resnet_goes_over_memory_in_convolutions_only(void)
{
    Recipe *r = recipe_open("recipes/pgd_at.adv");
    Turn t = turn_of(r);
    CHECK_EQ(t.n_forward, 31 + 3); /* of 3x3, and ways around that change channels */
    CHECK_EQ(t.n_backward, 33);
    CHECK_EQ(t.n_activations, 2);
    CHECK_EQ(t.n_nodes, 34 + 34 + 1 + 3);
    recipe_free(r);
}

int main(void)
{
    RUN(resnet18_goes_over_memory_in_convolutions_only);
    RUN(wide_resnet_goes_over_memory_in_convolutions_only);
    return ADV_TEST_END();
}
