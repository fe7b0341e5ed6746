/* test_runtime_plugin.c: plugins through the public headers: who may load one, and what a plan demands. The plugin is tools/bench/rows.c,
** where ADV_TEST_ROWS says; what advc, advrun and advplugin make of plugins: tests/plugins/run.sh.
*/
#include "tests/adv_test.h"

#include "compiler/adv_compile.h"
#include "runtime/adv.h"

#include <stdlib.h>
#include <string.h>

static const char recipe[] = "adv 1\nuse std.nets\nuse plugin \"libbench_rows.so\" as twin\n"
                             "data synthetic { train = 64; test = 32; classes = 2; shape = [2]; batch = 32\n"
                             "  y = id - 2*floor(id/2)\n  x = uniform(0, 1, like = x)\n}\n"
                             "model f = mlp(width = 4, classes = 2)\n"
                             "step {\n  loss = twin.twin_mul(ce(f(x), y), 0.5)\n  minimize loss over f\n}\n"
                             "optim f = sgd(lr = 0.1)\ntrain { epochs = 1; seed = 1 }\n";

typedef struct World {
    AdvCtx *ctx;
    AdvDiags *ds;
    const char *path;
} World;

static World world_with(uint32_t flags, const char *const *plugins)
{
    char path[256];
    const char *own[] = {path};
    AdvCtxOpts o = {.struct_size = sizeof o, .flags = flags, .plugins = own, .n_plugins = plugins != NULL};
    World w = {.path = getenv("ADV_TEST_ROWS")};
    snprintf(path, sizeof path, "%s", plugins ? plugins[0] : "");
    CHECK_EQ(adv_ctx_new(&o, &w.ctx), ADV_OK);
    path[0] = 0; /* the context has a copy */
    own[0] = NULL;
    CHECK_EQ(adv_diags_open(w.ctx, &w.ds), ADV_OK);
    return w;
}

static World world(uint32_t flags)
{
    return world_with(flags, NULL);
}

static void world_end(World *w)
{
    adv_diags_free(w->ds);
    adv_ctx_free(w->ctx);
}

static AdvStatus compile(World *w, uint32_t flags, const char *const *plugins, void **plan, uint64_t *n)
{
    AdvCompileOpts o = {.struct_size = sizeof o, .flags = flags, .name = "twin.adv", .text = recipe, .n_bytes = sizeof recipe - 1,
                        .targets = "cpu", .plugins = plugins, .n_plugins = plugins ? 1 : 0};
    return adv_compile(&o, w->ds, plan, n);
}

/* Is the first message this code, and does it hold this text? */
static void check_said(const World *w, int32_t code, const char *text)
{
    const char *message;
    CHECK_EQ(adv_diags_at(w->ds, 0, &message), code);
    CHECK(message && strstr(message, text) != NULL);
}

static void the_compiler_may_be_forbidden_plugins(void)
{
    World w = world(0);
    void *plan;
    uint64_t n;
    CHECK_EQ(compile(&w, ADV_COMPILE_NO_PLUGINS, &w.path, &plan, &n), ADV_ERECIPE);
    check_said(&w, 4002, "does not allow them");
    world_end(&w);
    w = world(0);
    CHECK_EQ(compile(&w, 0, NULL, &plan, &n), ADV_ENOENT);
    check_said(&w, 4002, "there is no plugin `./libbench_rows.so`");
    world_end(&w);
}

/* A context loads nothing because a plan says so, unless its owner allowed that. */
static void a_plan_needs_its_plugin(void)
{
    World w = world(0);
    void *bytes;
    uint64_t n;
    AdvPlan *plan;
    CHECK_EQ(compile(&w, 0, &w.path, &bytes, &n), ADV_OK);
    CHECK_EQ(adv_plan_load(w.ctx, bytes, (size_t)n, w.ds, &plan), ADV_EDATA);
    check_said(&w, 4005, "the plan needs plugin `bench_rows` 1.0, which is not loaded");
    CHECK_EQ(adv_ctx_add_plugin(w.ctx, w.path, w.ds), ADV_OK);
    CHECK_EQ(adv_ctx_add_plugin(w.ctx, w.path, w.ds), ADV_OK); /* the same once more */
    CHECK_EQ(adv_plan_load(w.ctx, bytes, (size_t)n, w.ds, &plan), ADV_OK);
    AdvSession *s;
    CHECK_EQ(adv_session_open(w.ctx, plan, NULL, w.ds, &s), ADV_OK);
    CHECK_EQ(adv_session_train(s, NULL, w.ds), ADV_OK);
    adv_session_close(s);
    adv_plan_close(plan);
    world_end(&w);
    w = world(ADV_CTX_PLAN_PLUGINS);
    CHECK_EQ(adv_plan_load(w.ctx, bytes, (size_t)n, w.ds, &plan), ADV_OK);
    adv_plan_close(plan);
    adv_compile_free(NULL, bytes, n);
    world_end(&w);
}

/* Missing files and cut plans are sentences too. */
static void what_is_not_there(void)
{
    World w = world(ADV_CTX_PLAN_PLUGINS);
    void *bytes;
    uint64_t n;
    AdvPlan *plan;
    CHECK_EQ(compile(&w, 0, &w.path, &bytes, &n), ADV_OK);
    CHECK_EQ(adv_ctx_add_plugin(w.ctx, "/no/such.so", w.ds), ADV_ENOENT);
    check_said(&w, 4002, "there is no plugin `/no/such.so`");
    CHECK_EQ(adv_plan_load(w.ctx, bytes, (size_t)n / 2, w.ds, &plan), ADV_EDATA);
    adv_compile_free(NULL, bytes, n);
    world_end(&w);
}

/* A path given to the context comes before the plan's, by the name of the file. */
static void a_plugin_that_moved(void)
{
    static const char *const nowhere[] = {"/elsewhere/libbench_rows.so"}, *const other[] = {"/elsewhere/libother.so"};
    World w = world(0);
    void *bytes;
    uint64_t n;
    AdvPlan *plan;
    AdvDiagInfo d = {.struct_size = sizeof d};
    AdvDiagNote help = {.struct_size = sizeof help};
    CHECK_EQ(compile(&w, 0, &w.path, &bytes, &n), ADV_OK);
    world_end(&w);
    w = world_with(ADV_CTX_PLAN_PLUGINS, nowhere);
    CHECK_EQ(adv_plan_load(w.ctx, bytes, (size_t)n, w.ds, &plan), ADV_ENOENT);
    check_said(&w, 4002, "there is no plugin `/elsewhere/libbench_rows.so`");
    CHECK_EQ(adv_diags_get(w.ds, 0, &d), ADV_OK);
    CHECK(d.n_notes > 0); CHECK_EQ(d.line, 10);
    CHECK_EQ(adv_diags_note(w.ds, 0, d.n_notes - 1, &help), ADV_OK);
    CHECK_STR(help.text, "if it lies elsewhere now: --plugin=FOLDER/libbench_rows.so");
    world_end(&w);
    w = world_with(ADV_CTX_PLAN_PLUGINS, other);
    CHECK_EQ(adv_plan_load(w.ctx, bytes, (size_t)n, w.ds, &plan), ADV_OK);
    adv_plan_close(plan);
    world_end(&w);
    adv_compile_free(NULL, bytes, n);
}

/* Without a folder, and where there is no library in it, plugins are loaded for any device. */
static void no_device_is_known(void)
{
    AdvCtxOpts o = {.struct_size = sizeof o, .backend_dir = "/nowhere"};
    World w = world(0);
    CHECK_EQ(adv_ctx_cuda(w.ctx), 0);
    world_end(&w);
    CHECK_EQ(adv_ctx_new(&o, &w.ctx), ADV_OK);
    CHECK_EQ(adv_ctx_cuda(w.ctx), 0);
    CHECK_EQ(adv_ctx_add_plugin(w.ctx, w.path, NULL), ADV_OK);
    CHECK_EQ(adv_ctx_cuda(w.ctx), 0);
    adv_ctx_free(w.ctx);
}

int main(void)
{
    if (!getenv("ADV_TEST_ROWS")) {
        printf("SKIP plugins: ADV_TEST_ROWS does not name one\n");
        return 0;
    }
    RUN(the_compiler_may_be_forbidden_plugins);
    RUN(a_plan_needs_its_plugin);
    RUN(what_is_not_there);
    RUN(a_plugin_that_moved);
    RUN(no_device_is_known);
    return ADV_TEST_END();
}
