/* test_memplan.c: the memory planner on graphs written by hand and at random.
**
** Three oracles: counts that each case states (copies, temporary bytes); the offsets against brute force, where every pair of
** storages that live at once is compared; and execution: the plan at its addresses, in a block filled with garbage, must give
** the bits that the graph gives with a buffer a value.
*/
#include "tests/adv_test.h"

#include "compiler/plan/memplan_internal.h"
#include "tests/compiler/exec.h"
#include "tests/compiler/world.h"

/* ---- one graph: plan, emit, load, run, compare ------------------------------------------------------------------------- */

typedef struct Outcome {
    bool same;
    uint32_t n_copies;
    uint64_t temp_bytes, bound;
    uint32_t n_copy_insts; /* of op copy in the plan */
} Outcome;

static bool compare_runs(World *w, const AdvGraph *g, const AdvPlan *plan, uint64_t seed)
{
    bool same = true;
    for (uint32_t e = 0; e < g->entries.n; e++) {
        ExecStates a = exec_states_new(g), b = exec_states_new(g);
        exec_states_fill(&a, g, seed + e);
        exec_states_fill(&b, g, seed + e);
        for (int run = 0; run < 2; run++) {
            if (!exec_graph(g, g->entries.at[e], &a)) same = false;
            if (!exec_plan(plan, &plan->targets[0], &w->reg, e, &b, run ? 0xff : 0x7b)) same = false;
            if (!exec_states_equal(&a, &b)) same = false;
        }
        exec_states_free(&a);
        exec_states_free(&b);
    }
    return same;
}

static Outcome outcome_of(World *w, AdvGraph *g, uint64_t seed)
{
    Outcome o = {0};
    AdvAlloc a = adv_alloc_default();
    AdvGraph *planned = adv_graph_copy(&w->arena, g);
    AdvPassCtx p = world_pass(w, "ref");
    AdvMemPlan *mem = adv_memplan(&p, planned);
    AdvEmitTarget et = {p.target, planned, mem};
    AdvEmitIn in = {.sources = &w->diags->sources, .recipe = "test", .hash = "0", .n_targets = 1, .targets = &et};
    void *bytes;
    uint64_t n;
    AdvPlan *plan = NULL;
    CHECK(adv_graph_verify(planned, true) == ADV_OK);
    if (adv_emit(&a, w->diags, &in, &bytes, &n) == ADV_OK) {
        CHECK(adv_plan_parse(&a, bytes, n, "test", w->diags, &plan) == ADV_OK && adv_plan_check(plan, &w->reg, w->diags) == ADV_OK);
        o.same = plan && compare_runs(w, g, plan, seed);
        for (uint32_t i = 0; plan && i < plan->targets[0].n_insts; i++)
            o.n_copy_insts += strcmp(plan->op_defs[plan->targets[0].insts[i].op]->name, "copy") == 0;
        if (plan) CHECK(plan->targets[0].temp_bytes <= mem->temp_bytes);
        adv_plan_free(plan);
        adv_mem_free(&a, bytes, n);
    }
    if (w->diags->n_errors) adv_diags_print_human(w->diags, 0, world_write, stdout);
    o.n_copies = mem->n_copies;
    o.temp_bytes = mem->temp_bytes;
    o.bound = mem->lower_bound_bytes;
    CHECK(o.temp_bytes >= o.bound);
    return o;
}

static Outcome run_text(const char *text)
{
    World *w = world_new();
    AdvGraph *g = world_read(w, "test.advg", text);
    Outcome o = {0};
    CHECK(g != NULL);
    if (g) o = outcome_of(w, g, 7);
    world_free(w);
    return o;
}

/* ---- by hand ------------------------------------------------------------------------------------------------------------ */

/* An update takes its old version's home; a chain of two as well. */
static void update_in_place(void)
{
    Outcome o = run_text("state w : f32[40] param saved\n"
                         "state m : f32[40] opt saved\n"
                         "entry step {\n"
                         "  %w: f32[40] = read w\n"
                         "  %m: f32[40] = read m\n"
                         "  %lr: f32 = const 0.5\n"
                         "  %g: f32[40] = mul %w, %w\n"
                         "  %w1: f32[40], %m1: f32[40] = sgd %w, %g, %m, %lr\n"
                         "  %g1: f32[40] = mul %w1, %m1\n"
                         "  %w2: f32[40], %m2: f32[40] = sgd %w1, %g1, %m1, %lr\n"
                         "  write w = %w2\n"
                         "  write m = %m2\n"
                         "}\n");
    CHECK(o.same);
    CHECK_EQ(o.n_copies, 0);
    CHECK_EQ(o.temp_bytes, 192); /* one gradient at a time, 160 bytes rounded up */
}

/* The old version is read after the update: it has to be copied, once. */
static void old_version_read_late(void)
{
    Outcome o = run_text("state w : f32[40] param saved\n"
                         "state m : f32[40] opt saved\n"
                         "state l : f32[40] metric\n"
                         "entry step {\n"
                         "  %w: f32[40] = read w\n"
                         "  %m: f32[40] = read m\n"
                         "  %lr: f32 = const 0.5\n"
                         "  %w1: f32[40], %m1: f32[40] = sgd %w, %m, %m, %lr\n"
                         "  %d: f32[40] = sub %w1, %w\n"
                         "  write w = %w1\n"
                         "  write m = %m1\n"
                         "  write l = %d\n"
                         "}\n");
    CHECK(o.same);
    CHECK_EQ(o.n_copies, 2); /* w1 late, and m1 because g and m are one value */
}

/* Two states that swap: three moves, the least there is. */
static void states_swap(void)
{
    Outcome o = run_text("state a : f32[5] slot\n"
                         "state b : f32[5] slot\n"
                         "entry step {\n"
                         "  %a: f32[5] = read a\n"
                         "  %b: f32[5] = read b\n"
                         "  write a = %b\n"
                         "  write b = %a\n"
                         "}\n");
    CHECK(o.same);
    CHECK_EQ(o.n_copies, 3);
    CHECK_EQ(o.temp_bytes, 64);
}

static void states_rotate(void)
{
    Outcome o = run_text("state a : f32[5] slot\nstate b : f32[5] slot\nstate c : f32[5] slot\nstate d : f32[5] slot\n"
                         "entry step {\n"
                         "  %a: f32[5] = read a\n  %b: f32[5] = read b\n  %c: f32[5] = read c\n"
                         "  write a = %b\n  write b = %c\n  write c = %a\n  write d = %a\n"
                         "}\n");
    CHECK(o.same);
    CHECK(o.n_copies == 4 || o.n_copies == 5);
}

/* A state that keeps its version, a constant, one value for two states. */
static void odd_writes(void)
{
    Outcome o = run_text("state a : f32[5] slot\nstate b : f32 metric\nstate c : f32 metric\nstate d : f32 metric\n"
                         "entry step {\n"
                         "  %a: f32[5] = read a\n"
                         "  %k: f32 = const 3\n"
                         "  %s: f32 = sum %a\n"
                         "  write a = %a\n  write b = %k\n  write c = %s\n  write d = %s\n"
                         "}\n");
    CHECK(o.same);
    CHECK_EQ(o.n_copies, 2); /* the constant, and the second state of the sum */
}

static void loop_in_place(void)
{
    Outcome o = run_text("state x : f32[6] slot\nstate w : f32[6] param\nstate y : f32[6] slot\n"
                         "entry step {\n"
                         "  %x: f32[6] = read x\n  %w: f32[6] = read w\n"
                         "  %z: f32[6] = add %x, %w\n"
                         "  %za: f32[6] = loop 5 (%i: i64, %zi: f32[6] = %z) {\n"
                         "    %t: f32[6] = mul %zi, %w\n"
                         "    %n: f32[6] = add %zi, %t\n"
                         "    yield %n\n"
                         "  }\n"
                         "  write y = %za\n"
                         "}\n");
    CHECK(o.same);
    CHECK_EQ(o.n_copies, 0); /* the carried value lives in y all along */
}

/* Weights carried by a loop are updated in their state. */
static void loop_carries_state(void)
{
    Outcome o = run_text("state w : f32[6] param\nstate m : f32[6] opt\n"
                         "entry step {\n"
                         "  %w: f32[6] = read w\n  %m: f32[6] = read m\n  %lr: f32 = const 0.5\n"
                         "  %wl: f32[6], %ml: f32[6] = loop 3 (%i: i64, %wi: f32[6] = %w, %mi: f32[6] = %m) {\n"
                         "    %g: f32[6] = mul %wi, %mi\n"
                         "    %w1: f32[6], %m1: f32[6] = sgd %wi, %g, %mi, %lr {momentum=0.5}\n"
                         "    yield %w1, %m1\n"
                         "  }\n"
                         "  write w = %wl\n  write m = %ml\n"
                         "}\n");
    CHECK(o.same);
    CHECK_EQ(o.n_copies, 0);
}

static void loop_swaps(void)
{
    Outcome o = run_text("state a : f32[6] slot\nstate b : f32[6] slot\n"
                         "entry step {\n"
                         "  %a: f32[6] = read a\n  %b: f32[6] = read b\n"
                         "  %p: f32[6], %q: f32[6] = loop 3 (%i: i64, %pi: f32[6] = %a, %qi: f32[6] = %b) {\n"
                         "    yield %qi, %pi\n"
                         "  }\n"
                         "  write a = %p\n  write b = %q\n"
                         "}\n");
    CHECK(o.same);
    CHECK_EQ(o.n_copies, 3);
}

/* Yields an outer value, a constant, the first of two; uses an outer value last in the body; a loop in a loop. */
static void loop_corners(void)
{
    Outcome o = run_text("state a : f32[6] slot\nstate b : f32[6] slot\nstate c : f32[6] slot\nstate d : i64 scalar\n"
                         "entry step {\n"
                         "  %a: f32[6] = read a\n  %b: f32[6] = read b\n  %d: i64 = read d\n"
                         "  %u: f32[6] = add %a, %b\n"
                         "  %p: f32[6], %q: f32[6], %n: i64 = loop 3 (%i: i64, %pi: f32[6] = %a, %qi: f32[6] = %b, %ni: i64 = %d) {\n"
                         "    %e: f32[6] = exp %qi\n"
                         "    %r: f32[6] = loop 2 (%j: i64, %ri: f32[6] = %pi) {\n"
                         "      %s: f32[6] = add %ri, %u\n"
                         "      %t: f32[6] = mul %s, %e\n"
                         "      yield %t\n"
                         "    }\n"
                         "    %n1: i64 = add %ni, %i\n"
                         "    yield %u, %r, %n1\n"
                         "  }\n"
                         "  %v: f32[6] = sub %u, %q\n"
                         "  write a = %p\n  write b = %q\n  write c = %v\n  write d = %n\n"
                         "}\n");
    CHECK(o.same);
}

/* Views have no bytes; written through one, a value still lands at home. */
static void views(void)
{
    Outcome o = run_text("state a : f32[2,3] slot\nstate b : f32[6] slot\nstate c : f32[3,2] slot\n"
                         "entry step {\n"
                         "  %a: f32[2,3] = read a\n"
                         "  %f: f32[6] = reshape %a {dims=[6]}\n"
                         "  %e: f32[6] = exp %f\n"
                         "  %g: f32[3,2] = reshape %e {dims=[3,2]}\n"
                         "  %h: f32[2,3] = reshape %g {dims=[2,3]}\n"
                         "  %s: f32[6] = add %e, %f\n"
                         "  write a = %h\n  write b = %s\n  write c = %g\n"
                         "}\n");
    CHECK(o.same);
    CHECK_EQ(o.n_copies, 1); /* e is made in c and copied into a */
}

/* Entries overlay one block; each has its own plan. */
static void entries_overlay(void)
{
    Outcome o = run_text("state a : f32[64] slot\nstate b : f32 metric\n"
                         "entry one {\n  %a: f32[64] = read a\n  %e: f32[64] = exp %a\n  %s: f32 = sum %e\n  write b = %s\n}\n"
                         "entry two {\n  %a: f32[64] = read a\n  %e: f32[64] = exp %a\n  %s: f32 = sum %e\n  %f: f32[64] = mul %e, %s\n"
                         "  write a = %f\n}\n"
                         "entry three {\n}\n");
    CHECK(o.same);
    CHECK_EQ(o.n_copies, 0);
    CHECK_EQ(o.temp_bytes, 64 * 4 + 64);
}

/* ---- placing alone: brute force ------------------------------------------------------------------------------------------ */

static bool at_once(const MemItem *a, const MemItem *b)
{
    for (uint32_t i = 0; i < a->n_lives; i++)
        for (uint32_t j = 0; j < b->n_lives; j++)
            if (a->lives[i].from <= b->lives[j].to && b->lives[j].from <= a->lives[i].to) return true;
    return false;
}

static void place_random(void)
{
    World *w = world_new();
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t s = seed, top, bound;
        MemItem items[80] = {0};
        MemLife lives[80][3];
        uint32_t n = 1 + exec_random(&s) % 80;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = exec_random(&s) % 50;
            items[i].n_bytes = 64 * (1 + exec_random(&s) % (i % 7 ? 4 : 200));
            items[i].lives = lives[i];
            items[i].n_lives = 1 + exec_random(&s) % 3;
            for (uint32_t k = 0; k < items[i].n_lives; k++) {
                lives[i][k].from = at;
                lives[i][k].to = at + exec_random(&s) % 12;
                at = lives[i][k].to + 2 + exec_random(&s) % 5;
            }
        }
        top = adv_mem_place(&w->scratch, items, n, 200, &bound);
        CHECK(top >= bound && top <= bound + bound / 2);
        for (uint32_t i = 0; i < n; i++) {
            CHECK(items[i].offset % 64 == 0 && items[i].offset + items[i].n_bytes <= top);
            for (uint32_t j = 0; j < i; j++) {
                bool apart = items[i].offset + items[i].n_bytes <= items[j].offset || items[j].offset + items[j].n_bytes <= items[i].offset;
                CHECK(apart || !at_once(&items[i], &items[j]));
            }
        }
    }
    world_free(w);
}

/* ---- random graphs -------------------------------------------------------------------------------------------------------- */

typedef struct Gen {
    AdvGraph *g;
    uint64_t seed;
    AdvLocId loc;
    AdvValueId vals[400];
    uint32_t n;
} Gen;

static AdvValueId any(Gen *x) { return x->vals[exec_random(&x->seed) % x->n]; }

/* Values are f32[4,3], now and then seen as [12] and back, or summed to a number. */
static void gen_node(Gen *x, AdvGraphBuild *b)
{
    static const int64_t flat[] = {12}, full[] = {4, 3};
    AdvAttr attr = {0};
    AdvValueId in[4], v = {0};
    in[0] = any(x), in[1] = any(x), in[2] = any(x);
    switch (exec_random(&x->seed) % 9) {
    case 0: v = adv_build_op(b, "add", in, 2, NULL); break;
    case 1: v = adv_build_op(b, "sub", in, 2, NULL); break;
    case 2: v = adv_build_op(b, "tanh", in, 1, NULL); break;
    case 3: v = adv_build_op(b, "select", in, 3, NULL); break;
    case 4: v = adv_build_op(b, "softmax", in, 1, NULL); break;
    case 5:
        attr = adv_attr_ints(flat, 1);
        v = adv_build_op(b, "reshape", in, 1, &attr);
        if (exec_random(&x->seed) % 2) v = adv_build_op(b, "tanh", &v, 1, NULL);
        attr = adv_attr_ints(full, 2);
        v = adv_build_op(b, "reshape", &v, 1, &attr);
        break;
    case 6:
        in[2] = adv_build_op(b, "sum", in, 1, NULL);
        in[2] = adv_build_op(b, "tanh", &in[2], 1, NULL);
        in[0] = in[1], in[1] = in[2];
        v = adv_build_op(b, "mul", in, 2, NULL);
        break;
    case 7:
        in[3] = adv_build_number(b, 0.5, ADV_F32);
        v = adv_build_op(b, "sgd", in, 4, NULL); /* two results */
        if (v.i) x->vals[x->n++] = v, v.i++;
        break;
    default: v = adv_build_op(b, "relu", in, 1, NULL); break;
    }
    if (v.i) x->vals[x->n++] = v;
}

static void gen_nodes(Gen *x, AdvRegionId r, uint32_t depth, uint32_t n_nodes);

static void gen_loop(Gen *x, AdvGraphBuild *b, uint32_t depth)
{
    AdvValueId first[3], next[3];
    uint32_t n = 1 + exec_random(&x->seed) % 3, outer = x->n;
    AdvNodeId loop;
    for (uint32_t k = 0; k < n; k++) first[k] = any(x);
    loop = adv_build_loop(b, 1 + exec_random(&x->seed) % 4, first, n);
    for (uint32_t k = 0; k < n; k++) x->vals[x->n++] = adv_region(x->g, adv_node(x->g, loop)->body)->params.at[k + 1];
    gen_nodes(x, adv_node(x->g, loop)->body, depth + 1, 2 + exec_random(&x->seed) % 6);
    for (uint32_t k = 0; k < n; k++) next[k] = any(x);
    adv_build_yield(x->g, loop, next, n);
    x->n = outer;
    for (uint32_t k = 0; k < n; k++) x->vals[x->n++] = adv_node_out(x->g, loop, k);
}

static void gen_nodes(Gen *x, AdvRegionId r, uint32_t depth, uint32_t n_nodes)
{
    AdvGraphBuild b;
    adv_build_init(&b, x->g, r, x->loc);
    for (uint32_t i = 0; i < n_nodes; i++) {
        if (depth < 3 && exec_random(&x->seed) % 6 == 0)
            gen_loop(x, &b, depth);
        else
            gen_node(x, &b);
    }
}

static AdvGraph *gen_graph(World *w, uint64_t seed)
{
    AdvTensorType t = {.dtype = ADV_F32, .rank = 2, .dim = {4, 3}};
    AdvSpan span = {1, 0, 1};
    Gen x = {.seed = seed};
    AdvGraphBuild b;
    AdvRegionId e;
    uint32_t n_states = 2 + exec_random(&x.seed) % 4;
    x.g = adv_graph_new(&w->arena, &w->reg, &w->names, w->diags);
    x.loc = adv_loc_source(x.g, span);
    e = adv_entry_new(x.g, adv_intern(&w->names, "step"), x.loc);
    adv_build_init(&b, x.g, e, x.loc);
    for (uint32_t i = 0; i < n_states; i++) {
        char name[8];
        AdvStateId s;
        snprintf(name, sizeof name, "s%u", (unsigned)i);
        s = adv_state_new(x.g, adv_intern(&w->names, name), t, ADV_STATE_SLOT, false, x.loc);
        if (i == 0 || exec_random(&x.seed) % 4) x.vals[x.n++] = adv_build_read(&b, s);
    }
    gen_nodes(&x, e, 0, 4 + exec_random(&x.seed) % 14);
    for (uint32_t i = 0; i < n_states; i++) {
        AdvStateId s = {i + 1};
        if (exec_random(&x.seed) % 5) adv_build_write(&b, s, any(&x));
    }
    return x.g;
}

/* The same graph with what can be together in lists; *n_lists grows by those that were made. */
static AdvGraph *gathered(World *w, const AdvGraph *g, uint32_t *n_lists)
{
    AdvGraph *copy = adv_graph_copy(&w->arena, g);
    AdvPassCtx p = world_pass(w, "cuda");
    CHECK(adv_run_passes(&p, &copy, "schedule,gather", NULL) == ADV_OK);
    for (uint32_t i = 1; i < copy->nodes.n; i++) *n_lists += copy->nodes.at[i].with_prev;
    return copy;
}

static void random_graphs(void)
{
    uint32_t n_lists = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        World *w = world_new();
        AdvGraph *g;
        Outcome o;
        (void)adv_sources_add(&w->diags->sources, "random", "-", 1);
        g = gen_graph(w, seed * 7919);
        CHECK(adv_graph_verify(g, true) == ADV_OK);
        o = outcome_of(w, g, seed);
        CHECK(o.same);
        if (!o.same) printf("  with seed %u\n", (unsigned)seed);
        CHECK_EQ(o.n_copies, o.n_copy_insts);
        o = outcome_of(w, gathered(w, g, &n_lists), seed);
        CHECK(o.same);
        if (!o.same) printf("  with lists and seed %u\n", (unsigned)seed);
        world_free(w);
    }
    CHECK(n_lists > 100);
}

/* ---- lists: one moment, run back to front by exec_plan ---------------------------------------------------------------------- */

static void list_shares_nothing(void)
{
    /* t dies in the list, but both read it: neither result may lie over it. In a row the second may. */
    static const char head[] = "state x : f32[16] slot\nstate y : f32[16] slot\nstate a : f32[16] metric\nstate b : f32[16] metric\n"
                               "entry e {\n  %x: f32[16] = read x\n  %y: f32[16] = read y\n  %t: f32[16] = exp %x\n"
                               "  %p: f32[16] = add %t, %y\n  ";
    static const char tail[] = "%q: f32[16] = add %t, %x\n  %r: f32[16] = exp %p\n  %s: f32[16] = exp %q\n"
                               "  write a = %r\n  write b = %s\n}\n";
    char row[1024], list[1024];
    snprintf(row, sizeof row, "%s%s", head, tail);
    snprintf(list, sizeof list, "%s& %s", head, tail);
    Outcome in_row = run_text(row), as_list = run_text(list);
    CHECK(in_row.same && as_list.same);
    CHECK_EQ(in_row.temp_bytes, 128);
    CHECK_EQ(as_list.temp_bytes, 192);
    CHECK_EQ(as_list.n_copies, 0);
}

/* A plan that says so of instructions that do need each other is refused: the second reads what the first made, or writes over what
** the first reads. */
static void false_lists_are_refused(void)
{
    static const char *const second[] = {"exp %a", "exp %y"};
    for (int k = 0; k < 2; k++) {
        World *w = world_new();
        char text[600];
        snprintf(text, sizeof text,
                 "state x : f32[16] slot\nstate y : f32[16] slot\nentry e {\n  %%x: f32[16] = read x\n  %%y: f32[16] = read y\n"
                 "  %%a: f32[16] = exp %%x\n  %%b: f32[16] = %s\n  write x = %%b\n  write y = %%a\n}\n", second[k]);
        AdvGraph *g = world_read(w, "false.advg", text);
        AdvAlloc a = adv_alloc_default();
        AdvPassCtx p = world_pass(w, "ref");
        AdvEmitTarget et = {p.target, g, adv_memplan(&p, g)};
        AdvEmitIn in = {.sources = &w->diags->sources, .recipe = "test", .hash = "0", .n_targets = 1, .targets = &et};
        void *bytes;
        uint64_t n;
        AdvPlan *plan = NULL;
        CHECK_EQ(adv_emit(&a, w->diags, &in, &bytes, &n), ADV_OK);
        CHECK_EQ(adv_plan_parse(&a, bytes, n, "test", w->diags, &plan), ADV_OK);
        AdvPlanInst *insts = (AdvPlanInst *)(uintptr_t)plan->targets[0].insts;
        for (uint32_t i = 1; i < plan->targets[0].n_insts; i++) insts[i].with_prev = insts[i].op == insts[i - 1].op;
        CHECK_EQ(adv_plan_check(plan, &w->reg, w->diags), ADV_EDATA);
        adv_plan_free(plan);
        adv_mem_free(&a, bytes, n);
        world_free(w);
    }
}

static void list_updates_in_place(void)
{
    Outcome o = run_text("state w : f32[4] param\nstate v : f32[8] param\nstate m : f32[4] opt\nstate n : f32[8] opt\n"
                         "entry step {\n  %w: f32[4] = read w\n  %v: f32[8] = read v\n  %m: f32[4] = read m\n  %n: f32[8] = read n\n"
                         "  %lr: f32 = const 0.5\n  %g: f32[4] = exp %w\n  %h: f32[8] = exp %v\n"
                         "  %w1: f32[4], %m1: f32[4] = sgd %w, %g, %m, %lr\n"
                         "  & %v1: f32[8], %n1: f32[8] = sgd %v, %h, %n, %lr\n"
                         "  write w = %w1\n  write v = %v1\n  write m = %m1\n  write n = %n1\n}\n");
    CHECK(o.same);
    CHECK_EQ(o.n_copies, 0);
    CHECK_EQ(o.temp_bytes, 128); /* the gradients */
}

/* ---- --why=copy ------------------------------------------------------------------------------------------------------------- */

static void keep_text(void *user, const char *text, size_t n)
{
    char *to = user;
    size_t at = strlen(to);
    if (at + n < 2000) memcpy(to + at, text, n);
}

static void copies_are_explained(void)
{
    World *w = world_new();
    char said[2048] = "";
    AdvGraph *g = world_read(w, "why.advg",
                             "state w : f32[4] param\nstate m : f32[4] opt\nstate l : f32[4] metric\n"
                             "entry step {\n"
                             "  %w: f32[4] = read w\n  %m: f32[4] = read m\n  %g: f32[4] = exp %w\n  %lr: f32 = const 0.5\n"
                             "  %w1: f32[4], %m1: f32[4] = sgd %w, %g, %m, %lr\n"
                             "  %d: f32[4] = sub %g, %w\n"
                             "  write w = %w1\n  write m = %m1\n  write l = %d\n}\n");
    AdvPassCtx p = world_pass(w, "ref");
    CHECK(g != NULL);
    if (!g) return;
    p.why = adv_intern(&w->names, "copy");
    p.why_write = keep_text;
    p.why_user = said;
    CHECK_EQ(adv_memplan(&p, g)->n_copies, 1);
    CHECK_STR(said, "why.advg:11: copy in `step`: `w1` has to move: `w1` and the old version of `w` are needed at one time\n");
    world_free(w);
}

int main(void)
{
    RUN(update_in_place);
    RUN(list_shares_nothing);
    RUN(list_updates_in_place);
    RUN(false_lists_are_refused);
    RUN(old_version_read_late);
    RUN(states_swap);
    RUN(states_rotate);
    RUN(odd_writes);
    RUN(loop_in_place);
    RUN(loop_carries_state);
    RUN(loop_swaps);
    RUN(loop_corners);
    RUN(views);
    RUN(entries_overlay);
    RUN(place_random);
    RUN(random_graphs);
    RUN(copies_are_explained);
    return ADV_TEST_END();
}
