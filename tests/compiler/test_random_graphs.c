/* test_random_graphs.c: passes must not change a bit. Random graphs (elementwise chains, views, reductions, draws, loops in
** loops with invariant parts, carried values that are dead or passed on, gradients in bodies) run before and after each
** pipeline of passes; every state must hold the same bits. A zero may change its sign (simplify: x + 0), which the
** comparison allows for floats.
*/
#include "tests/adv_test.h"
#include "tests/compiler/graph_exec.h"
#include "tests/compiler/setup.h"

#define N_GRAPHS 150
#define N_POOL 400

typedef struct Gen {
    AdvGraph *g;
    AdvGraphBuild b;
    AdvValueId pool[N_POOL]; /* values in reach, f32 of shape [3,4] */
    uint32_t n_pool, n_scalars;
    AdvValueId scalar[64];   /* f32 of rank 0 */
    AdvValueId seed, turn;   /* i64 of rank 0; the turn: none outside of loops */
    uint64_t state;
    uint32_t purpose;
} Gen;

static uint32_t pick(Gen *r, uint32_t n)
{
    r->state = r->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(r->state >> 33) % n;
}

static AdvValueId any(Gen *r) { return r->pool[pick(r, r->n_pool)]; }
static AdvValueId any_scalar(Gen *r) { return r->scalar[pick(r, r->n_scalars)]; }

static void keep(Gen *r, AdvValueId v)
{
    CHECK(v.i != 0);
    if (v.i && r->n_pool < N_POOL) r->pool[r->n_pool++] = v;
}

static AdvValueId op1(Gen *r, const char *op, AdvValueId a) { return adv_build_op(&r->b, op, &a, 1, NULL); }

static AdvValueId op2(Gen *r, const char *op, AdvValueId a, AdvValueId b)
{
    AdvValueId in[2] = {a, b};
    return adv_build_op(&r->b, op, in, 2, NULL);
}

static AdvValueId shaped(Gen *r, const char *op, AdvValueId x, int64_t d0, int64_t d1)
{
    int64_t dims[2] = {d0, d1};
    AdvAttr a = adv_attr_ints(dims, d1 ? 2 : 1);
    return adv_build_op(&r->b, op, &x, 1, &a);
}

static void add_draw(Gen *r)
{
    int64_t dims[2] = {3, 4};
    const AdvOpDef *op = adv_registry_op(r->g->reg, "draw");
    AdvAttr a[ADV_MAX_ATTRS];
    AdvValueId in[4] = {r->seed, r->seed, r->seed, r->turn.i && pick(r, 2) ? r->turn : r->seed};
    adv_op_default_attrs(op, a);
    for (uint32_t k = 0; k < adv_op_n_attrs(op); k++) {
        if (strcmp(op->attrs[k].name, "dims") == 0) a[k] = adv_attr_ints(dims, 2);
        if (strcmp(op->attrs[k].name, "p") == 0) a[k] = adv_attr_f(0.5);
        if (strcmp(op->attrs[k].name, "purpose") == 0) a[k] = adv_attr_i(pick(r, 2));
        if (strcmp(op->attrs[k].name, "dist") == 0) a[k] = adv_attr_i(pick(r, 3));
    }
    keep(r, adv_build_op(&r->b, "draw", in, 4, a));
}

static void add_reduction(Gen *r)
{
    int64_t dim = pick(r, 2);
    AdvAttr a[2] = {adv_attr_ints(&dim, 1), adv_attr_i(1)};
    AdvValueId x = any(r), m = adv_build_op(&r->b, pick(r, 2) ? "mean" : "sum", &x, 1, a);
    AdvValueId back = shaped(r, "broadcast", m, 3, 4);
    keep(r, pick(r, 2) ? back : op2(r, "sub", any(r), back));
}

static void add_gradient(Gen *r)
{
    AdvValueId x = any(r), y = op2(r, "mul", op1(r, "tanh", x), any(r));
    int64_t dim = 1;
    AdvAttr a[2] = {adv_attr_ints(&dim, 1), adv_attr_i(0)};
    AdvValueId e = adv_build_op(&r->b, "sum", &y, 1, a), of[2] = {x, any(r)};
    AdvValueId g = adv_build_grad(&r->b, e, of, 2, pick(r, 2));
    AdvValueId g2 = {g.i + 1};
    keep(r, g);
    keep(r, g2);
}

static void add_nodes(Gen *r, uint32_t n, uint32_t depth);

static void add_loop(Gen *r, uint32_t depth)
{
    Gen in = *r;
    AdvValueId first[4], next[4];
    uint32_t n = 1 + pick(r, 4);
    for (uint32_t k = 0; k < n; k++) first[k] = any(r);
    AdvNodeId loop = adv_build_loop(&r->b, 1 + pick(r, 4), first, n);
    adv_build_init(&in.b, r->g, adv_node(r->g, loop)->body, r->b.loc);
    in.turn = adv_region(r->g, in.b.region)->params.at[0];
    for (uint32_t k = 0; k < n; k++) keep(&in, adv_region(r->g, in.b.region)->params.at[k + 1]);
    add_nodes(&in, 6 + pick(&in, 8), depth + 1);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t how = pick(&in, 6);
        if (how == 0) next[k] = adv_region(r->g, in.b.region)->params.at[k + 1];
        else if (how == 1) next[k] = first[k];
        else next[k] = op1(&in, "tanh", in.pool[in.n_pool - 1 - pick(&in, 4)]);
    }
    adv_build_yield(r->g, loop, next, n);
    r->state = in.state;
    for (uint32_t k = 0; k < n; k++) {
        AdvValueId out = adv_node_out(r->g, loop, k);
        keep(r, op1(r, "stop_grad", out));
    }
}

static void add_nodes(Gen *r, uint32_t n, uint32_t depth)
{
    static const char *const unary[] = {"tanh", "sigmoid", "neg", "relu", "sign", "abs", "is_finite", "stop_grad"};
    static const char *const binary[] = {"add", "sub", "mul", "min", "max", "lt", "and_", "div"};
    for (uint32_t i = 0; i < n; i++) {
        switch (pick(r, 12)) {
        case 0:
        case 1: keep(r, op1(r, unary[pick(r, 8)], any(r))); break;
        case 2:
        case 3:
        case 4: keep(r, op2(r, binary[pick(r, 7)], any(r), any(r))); break;
        case 5: keep(r, op2(r, binary[pick(r, 8)], any(r), any_scalar(r))); break;
        case 6: keep(r, op2(r, binary[pick(r, 3)], any(r), shaped(r, "broadcast", any_scalar(r), 3, 4))); break;
        case 7: keep(r, shaped(r, "reshape", shaped(r, "reshape", any(r), 12, 0), 3, 4)); break;
        case 8: add_reduction(r); break;
        case 9: add_draw(r); break;
        case 10: add_gradient(r); break;
        default:
            if (depth < 3) add_loop(r, depth);
            else if (r->n_scalars < 64) {
                AdvValueId made = op2(r, binary[pick(r, 3)], any_scalar(r), any_scalar(r)); /* before it counts as one to pick */
                r->scalar[r->n_scalars++] = made;
            }
        }
    }
}

static AdvGraph *random_graph(Setup *s, uint64_t seed)
{
    AdvGraph *g = setup_graph(s);
    AdvSpan no = {0, 0, 0};
    AdvLocId loc = adv_loc_source(g, no);
    Gen r = {.g = g, .state = seed};
    AdvTensorType t = {.dtype = ADV_F32, .rank = 2, .dim = {3, 4}}, one = {.dtype = ADV_I64};
    AdvStateId st[4], n;
    char name[16];
    for (int k = 0; k < 4; k++) {
        snprintf(name, sizeof name, "s%d", k);
        st[k] = adv_state_new(g, adv_intern(&s->names, name), t, ADV_STATE_SLOT, false, loc);
    }
    n = adv_state_new(g, adv_intern(&s->names, "n"), one, ADV_STATE_SCALAR, false, loc);
    adv_build_init(&r.b, g, adv_entry_new(g, adv_intern(&s->names, "e"), loc), loc);
    for (int k = 0; k < 3; k++) keep(&r, adv_build_read(&r.b, st[k]));
    r.seed = adv_build_read(&r.b, n);
    double numbers[] = {0, 1, 0.5, -2, 0.1};
    for (int k = 0; k < 5; k++) r.scalar[r.n_scalars++] = adv_build_number(&r.b, numbers[k], ADV_F32);
    add_nodes(&r, 30, 0);
    for (int k = 0; k < 4; k++) adv_build_write(&r.b, st[k], k == 3 ? r.pool[r.n_pool - 1] : any(&r));
    return g;
}

static void run_twice(const AdvGraph *g, float out[4][12])
{
    GraphExec *x = graph_exec_new(g);
    double v[12], seven = 7;
    for (int k = 0; k < 4; k++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", k);
        for (int i = 0; i < 12; i++) v[i] = sin(3 * k + i);
        graph_exec_set(x, name, v);
    }
    graph_exec_set(x, "n", &seven);
    CHECK_EQ(graph_exec_run(x, "e"), ADV_OK);
    CHECK_EQ(graph_exec_run(x, "e"), ADV_OK);
    for (int k = 0; k < 4; k++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", k);
        graph_exec_get(x, name, v);
        for (int i = 0; i < 12; i++) out[k][i] = (float)v[i];
    }
    graph_exec_free(x);
}

static bool equal(float a[4][12], float b[4][12])
{
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 12; i++)
            if (memcmp(&a[k][i], &b[k][i], sizeof(float)) != 0 && a[k][i] != b[k][i] && !(isnan(a[k][i]) && isnan(b[k][i]))) return false;
    return true;
}

static uint32_t count_nodes(AdvGraph *g, AdvRegionId r)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) {
        AdvRegionId body = adv_node(g, adv_region(g, r)->nodes.at[i])->body;
        n += 1 + (body.i ? count_nodes(g, body) : 0);
    }
    return n;
}

static void test_same_bits(void)
{
    static const char *const pipes[] = {"cse", "dce", "simplify", "hoist", "simplify,cse,dce,hoist,dce,hoist,simplify,cse,dce,hoist,dce",
                                        "hoist,peel,cse,dce"};
    uint64_t n_before = 0, n_after = 0;
    for (uint64_t k = 0; k < N_GRAPHS; k++) {
        Setup *s = setup_new();
        AdvGraph *g = random_graph(s, k * 1000003);
        float want[4][12], got[4][12];
        int before = test_n_failed_checks;
        CHECK_EQ(setup_run(s, &g, "autodiff"), ADV_OK);
        run_twice(g, want);
        const char *pipe = pipes[k % 6];
        n_before += count_nodes(g, g->entries.at[0]);
        CHECK_EQ(setup_run(s, &g, pipe), ADV_OK);
        n_after += count_nodes(g, g->entries.at[0]);
        run_twice(g, got);
        CHECK(equal(want, got));
        if (test_n_failed_checks > before) {
            printf("  graph %d, %s\n", (int)k, pipe);
            setup_show(s);
        }
        setup_free(s);
    }
    CHECK(n_after < n_before * 4 / 5); /* the passes found something to do */
}

/* The whole pipeline ends, and a second run of it changes nothing. */
static void test_fixpoint(void)
{
    for (uint64_t k = 0; k < 30; k++) {
        Setup *s = setup_new();
        AdvGraph *g = random_graph(s, k * 7919 + 5);
        AdvPassCtx p = {.arena = &s->arena, .scratch = &s->scratch, .diags = s->diags};
        AdvPipeOpts o = {.verify_each = true};
        CHECK_EQ(adv_run_common(&p, &g, &o), ADV_OK);
        char *once = setup_print(g, false);
        CHECK_EQ(adv_run_common(&p, &g, &o), ADV_OK);
        char *twice = setup_print(g, false);
        CHECK_STR(twice, once);
        free(once);
        free(twice);
        if (s->diags->list.n) setup_show(s);
        setup_free(s);
    }
}

int main(void)
{
    RUN(test_same_bits);
    RUN(test_fixpoint);
    return ADV_TEST_END();
}
