/* test_targets.c: what the passes of a target may not change: numbers.
**
** Graphs run before and after on the definitions of the ops. Layout, fusion, schedule and the plan's addresses must give every
** bit of every state again; bf16 must come near. A training step with an attack loop goes through the whole pipeline for every
** target, and its plan must need no copy and at most a tenth more memory than lives at once.
*/
#include "tests/adv_test.h"

#include "compiler/pass/target.h"
#include "tests/compiler/exec.h"
#include "tests/compiler/world.h"

#include <dirent.h>

static const char net[] =
    "state x : f32[4,3,6,6] slot\n"
    "state y : i32[4] slot\n"
    "state eps : f32[4] table\n"
    "state w1 : f32[8,3,3,3] param saved\n"
    "state b1 : f32[8] param saved\n"
    "state w2 : f32[8,8,3,3] param saved\n"
    "state s2 : f32[8] param saved\n"
    "state b2 : f32[8] param saved\n"
    "state w3 : f32[8,4] param saved\n"
    "state m1 : f32[8,3,3,3] opt saved\n"
    "state m2 : f32[8,8,3,3] opt saved\n"
    "state m3 : f32[8,4] opt saved\n"
    "state mean : f32[8] buffer saved\n"
    "state step : i64 scalar saved\n"
    "state loss : f32 metric\n"
    "entry step {\n"
    "  %x: f32[4,3,6,6]@sample = read x\n  %y: i32[4]@sample = read y\n  %eps: f32[4] = read eps\n"
    "  %w1: f32[8,3,3,3] = read w1\n  %b1: f32[8] = read b1\n  %w2: f32[8,8,3,3] = read w2\n  %s2: f32[8] = read s2\n  %b2: f32[8] = read "
    "b2\n"
    "  %w3: f32[8,4] = read w3\n  %m1: f32[8,3,3,3] = read m1\n  %m2: f32[8,8,3,3] = read m2\n  %m3: f32[8,4] = read m3\n"
    "  %mean: f32[8] = read mean\n  %step: i64 = read step\n"
    "  %lo: f32 = const 0\n  %hi: f32 = const 1\n  %tenth: f32 = const 0.1\n  %one: i64 = const 1\n"
    "  %size: f32[4,1,1,1] = reshape %eps {dims=[4,1,1,1]}\n"
    "  %b4: f32[1,8,1,1] = reshape %b1 {dims=[1,8,1,1]}\n"
    "  %noise: f32[4,3,6,6] = draw %step, %step, %step, %one {dims=[4,3,6,6],purpose=5}\n"
    "  %dx: f32[4,3,6,6] = mul %noise, %tenth\n"
    "  %z0: f32[4,3,6,6] = add %x, %dx\n"
    "  %za: f32[4,3,6,6] = loop 3 (%i: i64, %z: f32[4,3,6,6] = %z0) {\n"
    "    %c: f32[4,8,6,6] = conv2d %z, %w1 {pad=1}\n    %d: f32[4,8,6,6] = add %c, %b4\n    %r: f32[4,8,6,6] = relu %d\n"
    "    %p: f32[4,8,3,3] = max_pool %r {size=2,stride=2}\n"
    "    %c2: f32[4,8,3,3] = conv2d %p, %w2 {pad=1}\n"
    "    %n2: f32[4,8,3,3], %mu: f32[8], %var: f32[8] = bn_train %c2, %s2, %b2\n"
    "    %q: f32[4,8,3,3] = add %n2, %p\n    %r2: f32[4,8,3,3] = relu %q\n"
    "    %g2: f32[4,8] = mean %r2 {dims=[2,3]}\n    %o: f32[4,4] = matmul %g2, %w3\n    %l: f32[4] = ce %o, %y\n"
    "    %gz: f32[4,3,6,6] = grad %l, %z\n"
    "    %sg: f32[4,3,6,6] = sign %gz\n    %st: f32[4,3,6,6] = mul %size, %sg\n    %up: f32[4,3,6,6] = add %z, %st\n"
    "    %in: f32[4,3,6,6] = ball_linf %up, %x, %size\n    %z1: f32[4,3,6,6] = clip %in, %lo, %hi\n"
    "    yield %z1\n  }\n"
    "  %xd: f32[4,3,6,6] = stop_grad %za\n"
    "  %c: f32[4,8,6,6] = conv2d %xd, %w1 {pad=1}\n  %d: f32[4,8,6,6] = add %c, %b4\n  %r: f32[4,8,6,6] = relu %d\n"
    "  %p: f32[4,8,3,3] = max_pool %r {size=2,stride=2}\n"
    "  %c2: f32[4,8,3,3] = conv2d %p, %w2 {pad=1}\n"
    "  %n2: f32[4,8,3,3], %mu: f32[8], %var: f32[8] = bn_train %c2, %s2, %b2\n"
    "  %q: f32[4,8,3,3] = add %n2, %p\n  %r2: f32[4,8,3,3] = relu %q\n"
    "  %g2: f32[4,8] = mean %r2 {dims=[2,3]}\n  %o: f32[4,4] = matmul %g2, %w3\n  %l: f32[4] = ce %o, %y\n"
    "  %L: f32 = mean %l\n"
    "  %gw1: f32[8,3,3,3], %gw2: f32[8,8,3,3], %gw3: f32[8,4] = grad %L, %w1, %w2, %w3\n"
    "  %w1n: f32[8,3,3,3], %m1n: f32[8,3,3,3] = sgd %w1, %gw1, %m1, %tenth {momentum=0.9}\n"
    "  %w2n: f32[8,8,3,3], %m2n: f32[8,8,3,3] = sgd %w2, %gw2, %m2, %tenth {momentum=0.9}\n"
    "  %w3n: f32[8,4], %m3n: f32[8,4] = sgd %w3, %gw3, %m3, %tenth {momentum=0.9}\n"
    "  %dm: f32[8] = sub %mu, %mean\n  %dm1: f32[8] = mul %dm, %tenth\n  %mean1: f32[8] = add %mean, %dm1\n"
    "  %step1: i64 = add %step, %one\n"
    "  write w1 = %w1n\n  write w2 = %w2n\n  write w3 = %w3n\n  write m1 = %m1n\n  write m2 = %m2n\n  write m3 = %m3n\n"
    "  write mean = %mean1\n  write step = %step1\n  write loss = %L\n"
    "}\n";

/* ---- a graph for a target ------------------------------------------------------------------------------------------------ */

typedef struct Made {
    AdvGraph *g;
    AdvMemPlan *mem;
    AdvPlan *plan;
} Made;

static Made make_with(World *w, const AdvGraph *common, const AdvTarget *t, const char *skip, bool round_trip)
{
    Made m = {0};
    AdvAlloc a = adv_alloc_default();
    AdvPassCtx p = {.arena = &w->arena, .scratch = &w->scratch, .diags = w->diags, .target = t};
    AdvPipeOpts o = {.verify_each = true, .round_trip = round_trip, .skip = skip};
    AdvEmitIn in = {.sources = &w->diags->sources, .recipe = "net", .hash = "0", .n_targets = 1};
    AdvEmitTarget et = {.target = t};
    void *bytes;
    uint64_t n;
    m.g = adv_graph_copy(&w->arena, common);
    CHECK(adv_run_target(&p, &m.g, t, &o) == ADV_OK);
    m.mem = adv_memplan(&p, m.g);
    CHECK(adv_graph_verify(m.g, true) == ADV_OK);
    et.graph = m.g;
    et.mem = m.mem;
    in.targets = &et;
    if (adv_emit(&a, w->diags, &in, &bytes, &n) == ADV_OK) {
        CHECK(adv_plan_parse(&a, bytes, n, "test", w->diags, &m.plan) == ADV_OK && adv_plan_check(m.plan, &w->reg, w->diags) == ADV_OK);
        adv_mem_free(&a, bytes, n);
    }
    if (w->diags->n_errors) adv_diags_print_human(w->diags, 0, world_write, stdout);
    CHECK(m.plan != NULL);
    return m;
}

static Made make(World *w, const AdvGraph *common, const AdvTarget *t, const char *skip) { return make_with(w, common, t, skip, true); }

static AdvGraph *common_graph(World *w, const char *text)
{
    AdvPassCtx p = {.arena = &w->arena, .scratch = &w->scratch, .diags = w->diags};
    AdvPipeOpts o = {.verify_each = true};
    uint32_t file = adv_sources_add(&w->diags->sources, "net.advg", text, strlen(text));
    AdvGraph *g = adv_graph_read(&w->arena, &w->reg, &w->names, w->diags, file);
    CHECK(g != NULL);
    if (g) CHECK(adv_run_common(&p, &g, &o) == ADV_OK);
    if (w->diags->n_errors) adv_diags_print_human(w->diags, 0, world_write, stdout);
    return w->diags->n_errors ? NULL : g;
}

/* Two runs of entry 0 of the graph and of the plan on the same states: do all bits agree? */
static bool same_bits(World *w, const AdvGraph *g, const AdvPlan *plan)
{
    ExecStates a = exec_states_new(g), b = exec_states_new(g);
    bool same = true;
    exec_states_fill(&a, g, 3);
    exec_states_fill(&b, g, 3);
    for (int run = 0; run < 2; run++) {
        same = exec_graph(g, g->entries.at[0], &a) && same;
        same = exec_plan(plan, &plan->targets[0], &w->reg, 0, &b, 0xff) && same;
    }
    same = same && exec_states_equal(&a, &b);
    exec_states_free(&a);
    exec_states_free(&b);
    return same;
}

static uint32_t count_insts(const AdvPlan *plan, const char *op)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < plan->targets[0].n_insts; i++) n += strcmp(plan->op_defs[plan->targets[0].insts[i].op]->name, op) == 0;
    return n;
}

static void step_on(const char *target, uint8_t low, const char *skip)
{
    World *w = world_new();
    AdvGraph *g = common_graph(w, net);
    AdvTarget t = *adv_target_find(target);
    Made m;
    t.low_dtype = low;
    if (!g) return;
    m = make(w, g, &t, skip);
    CHECK(same_bits(w, g, m.plan));
    if (!skip) {
        CHECK_EQ(m.mem->n_copies, 0);
        CHECK_EQ(count_insts(m.plan, "copy"), 0);
        CHECK(m.mem->temp_bytes <= m.mem->lower_bound_bytes + m.mem->lower_bound_bytes / 10);
        CHECK_EQ(count_insts(m.plan, "step_linf"), (t.fuses & ADV_FUSE_BASE) && !(t.fuses & ADV_FUSE_TAILS));
        CHECK_EQ(count_insts(m.plan, "conv2d_gx_step"), (t.fuses & ADV_FUSE_TAILS) != 0);
        CHECK_EQ(count_insts(m.plan, "relayout"), (t.layout == ADV_LAYOUT_CL ? 2 : 0)          /* x; the noise or what it makes */
                                                      + (t.weights == ADV_LAYOUT_CL ? 4 : 0)); /* two weights and their gradients */
    }
    adv_plan_free(m.plan);
    world_free(w);
}

static void step_on_ref(void) { step_on("ref", ADV_F32, NULL); }
static void step_on_cpu(void) { step_on("cpu", ADV_F32, NULL); }
static void step_on_cuda(void) { step_on("cuda", ADV_F32, NULL); }
static void step_without_fusion(void) { step_on("cpu", ADV_F32, "fuse"); }
static void step_without_layout(void) { step_on("cpu", ADV_F32, "layout"); }
static void step_without_schedule(void) { step_on("cpu", ADV_F32, "schedule"); }

/* bf16: the first step's loss to two digits, weights f32. */
static void step_in_bf16(void)
{
    World *w = world_new();
    AdvGraph *g = common_graph(w, net);
    ExecStates a, b;
    Made m;
    if (!g) return;
    m = make(w, g, adv_target_find("cuda"), NULL);
    a = exec_states_new(g);
    b = exec_states_new(g);
    exec_states_fill(&a, g, 3);
    exec_states_fill(&b, g, 3);
    CHECK(exec_graph(g, g->entries.at[0], &a));
    CHECK(exec_plan(m.plan, &m.plan->targets[0], &w->reg, 0, &b, 0xff));
    CHECK_NEAR(*(float *)b.data[b.n - 1], *(float *)a.data[a.n - 1], 0.05);
    CHECK(count_insts(m.plan, "cast") > 0);
    for (uint32_t i = 0; i < m.plan->n_states; i++) CHECK(m.plan->states[i].type.dtype != ADV_BF16);
    exec_states_free(&a);
    exec_states_free(&b);
    adv_plan_free(m.plan);
    world_free(w);
}

/* Fusion changes no bit in bf16 either, where a cast stands between the gradient and the step. */
static void fusion_in_bf16(void)
{
    World *w = world_new();
    AdvGraph *g = common_graph(w, net);
    if (!g) return;
    Made fused = make(w, g, adv_target_find("cuda"), NULL), plain = make(w, g, adv_target_find("cuda"), "fuse");
    ExecStates a = exec_states_new(g), b = exec_states_new(g);
    exec_states_fill(&a, g, 3);
    exec_states_fill(&b, g, 3);
    CHECK_EQ(count_insts(fused.plan, "conv2d_gx_step"), 1);
    CHECK_EQ(count_insts(plain.plan, "conv2d_gx_step"), 0);
    CHECK(exec_plan(fused.plan, &fused.plan->targets[0], &w->reg, 0, &a, 0xff));
    CHECK(exec_plan(plain.plan, &plain.plan->targets[0], &w->reg, 0, &b, 0xff));
    CHECK(exec_states_equal(&a, &b));
    exec_states_free(&a);
    exec_states_free(&b);
    adv_plan_free(fused.plan);
    adv_plan_free(plain.plan);
    world_free(w);
}

/* ref64: doubles in memory, f32 in the file; the loss agrees to f32's precision. */
static void step_in_double(void)
{
    World *w = world_new();
    AdvGraph *g = common_graph(w, net);
    ExecStates a, b;
    Made m;
    if (!g) return;
    m = make(w, g, adv_target_find("ref64"), NULL);
    CHECK_EQ(m.plan->targets[0].float_dtype, ADV_F64);
    CHECK_EQ(m.plan->states[0].type.dtype, ADV_F32);
    CHECK_EQ(m.plan->targets[0].state_types[0].dtype, ADV_F64);
    a = exec_states_new(g);
    b = exec_states_new(m.g);
    exec_states_fill(&a, g, 3);
    exec_states_fill(&b, m.g, 3);
    CHECK(exec_graph(g, g->entries.at[0], &a));
    CHECK(exec_plan(m.plan, &m.plan->targets[0], &w->reg, 0, &b, 0xff));
    CHECK_NEAR(*(double *)b.data[b.n - 1], *(float *)a.data[a.n - 1], 1e-4);
    exec_states_free(&a);
    exec_states_free(&b);
    adv_plan_free(m.plan);
    world_free(w);
}

/* All targets in one file: common states, each with its own part; the same graph gives the same bytes. */
static void all_targets_in_one_plan(void)
{
    World *w = world_new();
    AdvGraph *g = common_graph(w, net);
    AdvAlloc a = adv_alloc_default();
    AdvEmitTarget et[4];
    AdvEmitIn in = {.sources = &w->diags->sources, .recipe = "net", .hash = "0", .program = "{}", .n_targets = 4, .targets = et};
    void *bytes[2] = {0};
    uint64_t n[2] = {0};
    AdvPlan *plan = NULL;
    if (!g) return;
    for (int time = 0; time < 2; time++) {
        for (int i = 0; i < 4; i++) {
            Made m = make_with(w, g, &adv_targets[i], NULL, false); /* the trip leaves sources behind */
            et[i].target = &adv_targets[i];
            et[i].graph = m.g;
            et[i].mem = m.mem;
            adv_plan_free(m.plan);
        }
        CHECK(adv_emit(&a, w->diags, &in, &bytes[time], &n[time]) == ADV_OK);
    }
    CHECK(n[0] == n[1] && n[0] > 0 && memcmp(bytes[0], bytes[1], n[0]) == 0);
    CHECK(adv_plan_parse(&a, bytes[0], n[0], "test", w->diags, &plan) == ADV_OK);
    if (plan) {
        CHECK_EQ(plan->n_targets, 4);
        CHECK(adv_plan_target(plan, "cuda") == &plan->targets[1]);
        CHECK(adv_plan_check(plan, &w->reg, w->diags) == ADV_OK);
    }
    adv_plan_free(plan);
    for (int time = 0; time < 2; time++) adv_mem_free(&a, bytes[time], n[time]);
    world_free(w);
}

/* ---- the graphs of tests/ir ------------------------------------------------------------------------------------------------- */

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, 1 << 20) : NULL;
    if (text && fread(text, 1, (1 << 20) - 1, f) == 0) text[0] = 0;
    if (f) fclose(f);
    return text;
}

static void one_ir(const char *path)
{
    char *text = read_text(path), *mark = text ? strstr(text, "# EXPECT") : NULL;
    World *w = world_new();
    AdvGraph *g;
    int before = test_n_failed_checks;
    CHECK(text != NULL);
    if (mark) *mark = 0;
    g = text ? world_read(w, path, text) : NULL;
    CHECK(g != NULL);
    for (int i = 0; g && i < 2; i++) {
        AdvTarget t = adv_targets[i];
        Made m;
        t.low_dtype = ADV_F32;
        m = make(w, g, &t, NULL);
        CHECK(m.plan && same_bits(w, g, m.plan));
        adv_plan_free(m.plan);
    }
    if (test_n_failed_checks > before) printf("  in %s\n", path);
    free(text);
    world_free(w);
}

static void graphs_of_ir_keep_their_bits(void)
{
    const char *root = getenv("ADV_SOURCE_ROOT");
    const char *const kinds[] = {"fuse_", "layout_", "precision_", "schedule_"};
    char dir[512], path[800];
    int n = 0;
    DIR *d;
    snprintf(dir, sizeof dir, "%s/tests/ir", root ? root : ".");
    d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        for (int k = 0; k < 4; k++) {
            if (strncmp(e->d_name, kinds[k], strlen(kinds[k])) != 0) continue;
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            one_ir(path);
            n++;
        }
    }
    if (d) closedir(d);
    CHECK(n >= 8);
}

/* ---- tables, refusals --------------------------------------------------------------------------------------------------------- */

static void targets_are_found(void)
{
    CHECK(adv_target_find("cpu") == &adv_targets[0]);
    CHECK(adv_target_find("ref64") && adv_target_find("ref64")->float_dtype == ADV_F64);
    CHECK(adv_target_find("tpu") == NULL);
}

static void keep_text(void *user, const char *text, size_t n)
{
    char *to = user;
    size_t at = strlen(to);
    if (at + n < 2000) memcpy(to + at, text, n);
}

static void refusals_are_explained(void)
{
    World *w = world_new();
    char said[2048] = "";
    AdvGraph *g = world_read(
        w, "why.advg",
        "state x : f32[4] slot\nstate y : f32[4] slot\n"
        "entry step {\n  %x: f32[4] = read x\n  %a: f32[4] = exp %x\n  %b: f32[4] = neg %a\n  write x = %a\n  write y = %b\n}\n");
    AdvPassCtx p = world_pass(w, "cpu");
    AdvPipeOpts o = {.only = "fuse"};
    CHECK(g != NULL);
    if (!g) return;
    p.why = adv_intern(&w->names, "fuse");
    p.why_write = keep_text;
    p.why_user = said;
    CHECK(adv_run_target(&p, &g, p.target, &o) == ADV_OK);
    CHECK_STR(said, "why.advg:5: `exp` and `neg` are not merged: its result is used elsewhere too\n");
    world_free(w);
}

int main(void)
{
    RUN(targets_are_found);
    RUN(step_on_ref);
    RUN(step_on_cpu);
    RUN(step_on_cuda);
    RUN(step_without_fusion);
    RUN(step_without_layout);
    RUN(step_without_schedule);
    RUN(step_in_bf16);
    RUN(fusion_in_bf16);
    RUN(step_in_double);
    RUN(all_targets_in_one_plan);
    RUN(graphs_of_ir_keep_their_bits);
    RUN(refusals_are_explained);
    return ADV_TEST_END();
}
