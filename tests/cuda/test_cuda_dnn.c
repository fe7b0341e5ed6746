/* test_cuda_dnn.c: cuDNN itself accepts every convolution of every recipe, without a device.
**
** The library builds plans for a device that is only described (sm_90, as an H200 describes itself). For each convolution of each
** recipe's plan for target cuda it must offer a configuration of the plain graph and build its first plan; a tail must be accepted as
** an epilogue, once a form, where cuDNN says it supports it: channels in multiples of 8. So must a gradient by the image that is written
** as a forward convolution. Plans whose code is compiled when they are built need libcuda.so.1; the toolkit's stub is enough for that, and
** failing to load the result counts as accepted.
*/
#include "tests/adv_test.h"

#include "ops/cuda/conv_own.h"
#include "runtime/cuda/api_load.h"
#include "tests/compiler/recipe.h"
#include "tests/cuda/h200.h"

#include <dlfcn.h>
#include <stdlib.h>

enum { MAX_SEEN = 1024, MAX_OPERANDS = 6 };

static AdvCudaApi api;
static AdvDnnFor h200_plans = {.api = &api, .allow_tf32 = true};
static char *seen[MAX_SEEN];
static uint32_t n_seen, n_plain, n_forms, n_built, n_exact;

/* The library and the description of the device; false with a line SKIP where one is not there. */
static bool library_is_here(void)
{
    (void)dlopen("/usr/local/cuda/lib64/stubs/libcuda.so", RTLD_NOW | RTLD_GLOBAL); /* its own name is libcuda.so.1 */
    if (adv_cuda_api_load(&api, ADV_CUDA_DNN, NULL, NULL) != ADV_OK) {
        printf("SKIP cuDNN is not installed\n");
        return false;
    }
    cudnnBackendDescriptor_t d = NULL;
    if (api.cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d) ||
        api.cudnnBackendSetAttribute(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(h200), h200) ||
        api.cudnnBackendFinalize(d)) {
        printf("SKIP cuDNN %zu is too old to plan for a device that is not there\n", api.cudnnGetVersion());
        return false;
    }
    h200_plans.device = d;
    return true;
}

/* Is this text new? */
static bool is_new(const char *text)
{
    for (uint32_t i = 0; i < n_seen; i++)
        if (!strcmp(seen[i], text)) return false;
    CHECK(n_seen < MAX_SEEN);
    if (n_seen < MAX_SEEN) seen[n_seen++] = strdup(text);
    return true;
}

static bool builds(const AdvDnnGraph *g, const AdvDnnFor *to)
{
    cudnnBackendDescriptor_t plan;
    int64_t workspace;
    if (g->n_configs == 0) return false;
    cudnnStatus_t st = adv_dnn_plan(g, to, 0, &plan, &workspace);
    if (plan) (void)api.cudnnBackendDestroyDescriptor(plan);
    n_built++;
    return st == CUDNN_STATUS_SUCCESS || st == CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER;
}

static bool is_accepted(const AdvDnnConv *c, const AdvDnnFor *to, bool build, const char *what)
{
    AdvDnnGraph g;
    char why[512] = "";
    adv_dnn_graph_init(&g, to, c, 1);
    bool ok = build ? builds(&g, to) : g.n_configs > 0;
    if (!ok) {
        api.cudnnGetLastErrorString(why, sizeof why);
        printf("cuDNN refuses %s: %s: %s %.300s\n", what, g.call ? g.call : "the plan", api.cudnnGetErrorString(g.status), why);
    }
    adv_dnn_graph_fini(&g);
    return ok;
}

static void check_tail(const AdvDnnConv *c)
{
    char form[160];
    AdvDnnConv turned;
    AdvView weights;
    bool is_even = c->image->dim[1] % 8 == 0 && c->output->dim[1] % 8 == 0;
    snprintf(form, sizeof form,
             "a tail: kind %d, type %d, stride %d, window %d, bias %d, sum %d%s, kept %d, mask %d, scale %d, shift %d, relu %d", c->kind,
             c->image->dtype, (int)c->stride, (int)c->weights->dim[2], c->bias != NULL, c->sum != NULL, c->sum_last ? " last" : "",
             c->kept != NULL, c->mask != NULL, c->scale != NULL, c->shift != NULL, c->relu);
    if (!is_even || !is_new(form)) return;
    n_forms++;
    CHECK(is_accepted(c, &h200_plans, c->scale != NULL, form)); /* the longest ones are compiled, too */
    if (adv_conv_turned(c, &turned, &weights)) CHECK(is_accepted(&turned, &h200_plans, c->scale != NULL, form));
}

static void check_conv(const AdvSig *s)
{
    AdvConvTask t;
    char text[256];
    adv_conv_task(s, &t);
    AdvDnnConv full = adv_conv_whole(s, &t), plain = adv_conv_plain(&full);
    snprintf(text, sizeof text, "kind %d, type %d, image %dx%dx%dx%d, weights %dx%dx%dx%d, stride %d, pad %d", t.kind, full.image->dtype,
             (int)full.image->dim[0], (int)full.image->dim[1], (int)full.image->dim[2], (int)full.image->dim[3], (int)full.weights->dim[0],
             (int)full.weights->dim[1], (int)full.weights->dim[2], (int)full.weights->dim[3], (int)t.stride, (int)t.pad);
    if (is_new(text)) {
        AdvDnnFor exact = h200_plans;
        exact.allow_tf32 = false;
        n_plain++;
        CHECK(is_accepted(&plain, &h200_plans, true, text));
        n_exact += is_accepted(&plain, &exact, false, text);
    }
    if (adv_conv_has_tail(&t)) check_tail(&full);
}

static void check_region(const AdvGraph *g, AdvRegionId r)
{
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvNodeId id = adv_region(g, r)->nodes.at[i];
        const AdvNode *n = adv_node(g, id);
        AdvView in[MAX_OPERANDS], out[2];
        if (n->body.i) check_region(g, n->body);
        if (!(n->op->flags & ADV_OP_CONV) || strncmp(n->op->name, "conv2d", 6) != 0) continue;
        CHECK(n->n_in <= MAX_OPERANDS && n->n_out <= 2);
        for (uint32_t k = 0; k < n->n_in; k++) in[k] = adv_view_of(adv_value_type(g, adv_node_in(g, id, k)), NULL);
        for (uint32_t k = 0; k < n->n_out; k++) out[k] = adv_view_of(adv_value_type(g, adv_node_out(g, id, k)), NULL);
        AdvSig sig = {.op = n->op, .n_in = n->n_in, .n_out = n->n_out, .in = in, .out = out, .attr = adv_node_attr(g, id)};
        AdvConvInner inner;
        bool steps = strcmp(n->op->name, "conv2d_gx_step") == 0;
        if (steps) adv_conv_inner_init(&inner, &sig);
        check_conv(steps ? &inner.sig : &sig);
    }
}

static void check_recipe(const char *path, bool in_bf16)
{
    Recipe *r = recipe_open(path);
    Setup *s = setup_new();
    if (in_bf16) recipe_put(r, "train {", "run { precision = bf16 }\ntrain {");
    AdvGraph *g = recipe_graph(r, s, "graph");
    CHECK(g != NULL);
    if (g && recipe_target(s, &g, r, "cuda", false))
        for (uint32_t e = 0; e < g->entries.n; e++) check_region(g, g->entries.at[e]);
    setup_free(s);
    recipe_free(r);
}

static void every_convolution_is_accepted(void)
{
    for (char **path = recipe_all(); *path; path++) check_recipe(*path, false);
    check_recipe("tests/recipes/resnet18_pgd10.adv", true);
    check_recipe("tests/recipes/resnet18_pgd10.adv", false);
    CHECK(n_plain > 0 && n_forms > 0);
    printf("%u convolutions, %u forms of tails, %u plans built; %u also without TF32 and in a fixed order\n", (unsigned)n_plain,
           (unsigned)n_forms, (unsigned)n_built, (unsigned)n_exact);
    for (uint32_t i = 0; i < n_seen; i++) free(seen[i]);
}

int main(void)
{
    if (!library_is_here()) return 77;
    RUN(every_convolution_is_accepted);
    (void)api.cudnnBackendDestroyDescriptor(h200_plans.device);
    return ADV_TEST_END();
}
