/* test_autodiff.c: gradients of whole graphs, in double. The text holds an entry that computes a number and one that writes
** gradients of it; the entry that computes is run at points around and compared (central differences), or two ways to say
** the same gradient are compared bit for bit. Graphs are executed node by node (graph_exec.h), after autodiff alone and
** again after the cleaning passes.
*/
#include "tests/adv_test.h"
#include "tests/compiler/graph_exec.h"
#include "tests/compiler/setup.h"

#define STEP 1e-5
#define TOL 1e-6
#define MAX_ELEMS 4096

/* ---- running a text -------------------------------------------------------------------------------------------- */

typedef struct Case {
    Setup *s;
    AdvGraph *g;
    GraphExec *x;
} Case;

static double next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*seed >> 40) / (double)(1 << 24) * 2 - 1;
}

static void fill(Case *c, const char *state, uint64_t seed, double scale)
{
    static double v[MAX_ELEMS];
    int64_t n = graph_exec_elems(c->x, state);
    for (int64_t i = 0; i < n; i++) v[i] = scale * next_random(&seed);
    graph_exec_set(c->x, state, v);
}

/* Reads, verifies and runs the passes; all float states get small random numbers, integers 0, 1, 2, 0, ... */
static bool begin(Case *c, const char *text, const char *passes)
{
    c->s = setup_new();
    c->x = NULL;
    c->g = setup_read(c->s, "case", text, strlen(text));
    bool ok = c->g && adv_graph_verify(c->g, false) == ADV_OK && setup_run(c->s, &c->g, passes) == ADV_OK;
    if (!ok) setup_show(c->s);
    CHECK(ok);
    if (!ok) {
        setup_free(c->s);
        return false;
    }
    c->x = graph_exec_new(c->g);
    for (uint32_t i = 1; i < c->g->states.n; i++) {
        const AdvState *st = &c->g->states.at[i];
        const char *name = adv_str(c->g->names, st->name);
        double ints[MAX_ELEMS];
        for (int k = 0; k < MAX_ELEMS; k++) ints[k] = k % 3;
        if (st->type.dtype == ADV_F64 || st->type.dtype == ADV_F32) fill(c, name, 77u + i, 0.5);
        else graph_exec_set(c->x, name, ints);
    }
    return true;
}

static void end(Case *c)
{
    graph_exec_free(c->x);
    setup_free(c->s);
}

static void run(Case *c, const char *entry)
{
    AdvStatus st = graph_exec_run(c->x, entry);
    if (st != ADV_OK) printf("%s: `%s` failed\n", entry, graph_exec_failed(c->x));
    CHECK_EQ(st, ADV_OK);
}

static double number(Case *c, const char *state)
{
    double v[MAX_ELEMS];
    graph_exec_get(c->x, state, v);
    return v[0];
}

static bool same_bits(Case *a, const char *sa, Case *b, const char *sb)
{
    size_t na, nb;
    const void *pa = graph_exec_bytes(a->x, sa, &na), *pb = graph_exec_bytes(b->x, sb, &nb);
    return na == nb && memcmp(pa, pb, na) == 0;
}

/* d(state `loss` after entry `value`) / d(state), element by element, against state `g.<state>` after entry `grads`. */
static void check_state(Case *c, const char *state)
{
    char g_name[64];
    double v[MAX_ELEMS], g[MAX_ELEMS];
    int64_t n = graph_exec_elems(c->x, state);
    snprintf(g_name, sizeof g_name, "g.%s", state);
    graph_exec_get(c->x, state, v);
    run(c, "grads");
    graph_exec_get(c->x, g_name, g);
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = v[i];
        v[i] = x + STEP;
        graph_exec_set(c->x, state, v);
        run(c, "value");
        double up = number(c, "loss");
        v[i] = x - STEP;
        graph_exec_set(c->x, state, v);
        run(c, "value");
        double down = number(c, "loss");
        v[i] = x;
        CHECK_NEAR(g[i], (up - down) / (2 * STEP), TOL);
        largest = fmax(largest, fabs(g[i]));
    }
    graph_exec_set(c->x, state, v);
    CHECK(largest > 1e-4); /* a gradient of zeros would prove nothing */
}

static void check_case(const char *text, const char *const *states)
{
    static const char *const pipes[] = {"autodiff", "fold,autodiff,simplify,cse,dce,hoist,simplify,cse,dce"};
    for (int k = 0; k < 2; k++) {
        Case c;
        if (!begin(&c, text, pipes[k])) continue;
        for (const char *const *s = states; *s; s++) check_state(&c, *s);
        end(&c);
    }
}

/* ---- residual block -------------------------------------------------------------------------------------------- */

#define BLOCK_BODY(loss_rate) \
    "  %x: f64[3,2,5,5] = read x\n  %y: i32[3] = read y\n  %w1: f64[4,2,3,3] = read w1\n  %w2: f64[4,4,3,3] = read w2\n" \
    "  %ws: f64[4,2,1,1] = read ws\n  %a: f64[4] = read a\n  %b: f64[4] = read b\n  %lw: f64[3,4] = read lw\n  %lb: f64[3] = read lb\n" \
    "  %c1: f64[3,4,3,3] = conv2d %x, %w1 {stride=2, pad=1}\n" \
    "  %n1: f64[3,4,3,3], %m1: f64[4], %v1: f64[4] = bn_train %c1, %a, %b\n" \
    "  %r1: f64[3,4,3,3] = tanh %n1\n" \
    "  %c2: f64[3,4,3,3] = conv2d %r1, %w2 {stride=1, pad=1}\n" \
    "  %n2: f64[3,4,3,3], %m2: f64[4], %v2: f64[4] = bn_train %c2, %b, %a\n" \
    "  %sc: f64[3,4,3,3] = conv2d %x, %ws {stride=2, pad=0}\n" \
    "  %sum: f64[3,4,3,3] = add %n2, %sc\n" \
    "  %r2: f64[3,4,3,3] = sigmoid %sum\n" \
    "  %p: f64[3,4] = mean %r2 {dims=[2,3]}\n" \
    "  %h: f64[3,3] = matmul %p, %lw {tb=1}\n" \
    "  %lb1: f64[1,3] = reshape %lb {dims=[1,3]}\n" \
    "  %z: f64[3,3] = add %h, %lb1\n" \
    "  %e: f64[3] = ce %z, %y\n" \
    "  %L: f64 = " loss_rate " %e\n"

#define BLOCK_STATES \
    "float f64\n" \
    "state x : f64[3,2,5,5] slot\nstate y : i32[3] slot\nstate w1 : f64[4,2,3,3] param\nstate w2 : f64[4,4,3,3] param\n" \
    "state ws : f64[4,2,1,1] param\nstate a : f64[4] param\nstate b : f64[4] param\nstate lw : f64[3,4] param\nstate lb : f64[3] param\n" \
    "state loss : f64 scalar\nstate g.x : f64[3,2,5,5] slot\nstate g.w1 : f64[4,2,3,3] opt\nstate g.w2 : f64[4,4,3,3] opt\n" \
    "state g.ws : f64[4,2,1,1] opt\nstate g.a : f64[4] opt\nstate g.b : f64[4] opt\nstate g.lw : f64[3,4] opt\nstate g.lb : f64[3] opt\n"

#define BLOCK_WRITES "  write g.x = %gx\n  write g.w1 = %g1\n  write g.w2 = %g2\n  write g.ws = %gs\n  write g.a = %ga\n" \
        "  write g.b = %gb\n" \
    "  write g.lw = %gl\n  write g.lb = %gc\n}\n"

#define BLOCK_GRADS                                                                                                                        \
    "  %gx: f64[3,2,5,5], %g1: f64[4,2,3,3], %g2: f64[4,4,3,3], %gs: f64[4,2,1,1], %ga: f64[4], %gb: f64[4], %gl: f64[3,4], %gc: f64[3] "  \
    "= grad "
#define BLOCK_OF ", %x, %w1, %w2, %ws, %a, %b, %lw, %lb"

static const char *const block_states[] = {"x", "w1", "w2", "ws", "a", "b", "lw", "lb", NULL};

/* By a number of each sample, as the mean over the batch. */
static void test_residual_block(void)
{
    check_case(BLOCK_STATES "entry value {\n" BLOCK_BODY("mean") "  write loss = %L\n}\n"
               "entry grads {\n" BLOCK_BODY("mean") BLOCK_GRADS "%e" BLOCK_OF " {mean=1}\n" BLOCK_WRITES, block_states);
}

/* By a number of the batch; and each sample's own gradient, which is that of the sum. */
static void test_residual_block_seeds(void)
{
    check_case(BLOCK_STATES "entry value {\n" BLOCK_BODY("mean") "  write loss = %L\n}\n"
               "entry grads {\n" BLOCK_BODY("mean") BLOCK_GRADS "%L" BLOCK_OF " {mean=1}\n" BLOCK_WRITES, block_states);
    check_case(BLOCK_STATES "entry value {\n" BLOCK_BODY("sum") "  write loss = %L\n}\n"
               "entry grads {\n" BLOCK_BODY("sum") BLOCK_GRADS "%e" BLOCK_OF "\n" BLOCK_WRITES, block_states);
}

/* ---- batch norm in eval mode: the fold must not change a gradient ------------------------------------------------ */

#define EVAL_BODY \
    "  %x: f64[2,3,4,4] = read x\n  %w: f64[5,3,3,3] = read w\n  %s: f64[5] = read s\n  %b: f64[5] = read b\n" \
    "  %c: f64[2,5,4,4] = conv2d %x, %w {stride=1, pad=1}\n" \
    "  %es: f64[5] = exp %s\n" \
    "  %s1: f64[1,5,1,1] = reshape %es {dims=[1,5,1,1]}\n" \
    "  %b1: f64[1,5,1,1] = reshape %b {dims=[1,5,1,1]}\n" \
    "  %m: f64[2,5,4,4] = mul %c, %s1\n" \
    "  %n: f64[2,5,4,4] = add %m, %b1\n" \
    "  %t: f64[2,5,4,4] = tanh %n\n" \
    "  %q: f64[2,5,4,4] = mul %t, %t\n" \
    "  %e: f64[2] = sum %q {dims=[1,2,3]}\n"

static void test_folded_batch_norm(void)
{
    static const char *const states[] = {"x", "w", "s", "b", NULL};
    check_case("float f64\nstate x : f64[2,3,4,4] slot\nstate w : f64[5,3,3,3] param\nstate s : f64[5] param\n"
        "state b : f64[5] param\nstate loss : f64 scalar\n"
               "state g.x : f64[2,3,4,4] slot\nstate g.w : f64[5,3,3,3] opt\nstate g.s : f64[5] opt\nstate g.b : f64[5] opt\n"
               "entry value {\n" EVAL_BODY "  %L: f64 = sum %e\n  write loss = %L\n}\n"
               "entry grads {\n" EVAL_BODY "  %gx: f64[2,3,4,4], %gw: f64[5,3,3,3], %gs: f64[5], %gb: f64[5] = grad %e, %x, %w, %s, %b\n"
               "  write g.x = %gx\n  write g.w = %gw\n  write g.s = %gs\n  write g.b = %gb\n}\n", states);
}

/* ---- gradient of a gradient -------------------------------------------------------------------------------------- */

#define SECOND_BODY \
    "  %x: f64[3,4] = read x\n  %w: f64[5,4] = read w\n  %u: f64[2,5] = read u\n  %y: i32[3] = read y\n" \
    "  %h: f64[3,5] = matmul %x, %w {tb=1}\n  %t: f64[3,5] = tanh %h\n  %z: f64[3,2] = matmul %t, %u {tb=1}\n" \
    "  %z2: f64[3,2] = mul %z, %z\n  %e: f64[3] = sum %z2 {dims=[1]}\n" \
    "  %gx: f64[3,4] = grad %e, %x\n" \
    "  %gg: f64[3,4] = mul %gx, %gx\n  %n: f64[3] = sum %gg {dims=[1]}\n"

static void test_second_derivative(void)
{
    static const char *const states[] = {"x", "w", "u", NULL};
    check_case("float f64\nstate x : f64[3,4] slot\nstate w : f64[5,4] param\nstate u : f64[2,5] param\nstate y : i32[3] slot\n"
        "state loss : f64 scalar\n"
               "state g.x : f64[3,4] slot\nstate g.w : f64[5,4] opt\nstate g.u : f64[2,5] opt\n"
               "entry value {\n" SECOND_BODY "  %L: f64 = sum %n\n  write loss = %L\n}\n"
               "entry grads {\n" SECOND_BODY "  %a: f64[3,4], %b: f64[5,4], %c: f64[2,5] = grad %n, %x, %w, %u\n"
               "  write g.x = %a\n  write g.w = %b\n  write g.u = %c\n}\n", states);
}

/* ---- a loop with a gradient in its body --------------------------------------------------------------------------- */

#define TURN(from, to) \
    "    %m" to ": f32[3,5] = matmul %" from ", %w {tb=1}\n    %t" to ": f32[3,5] = tanh %m" to "\n" \
    "    %e" to ": f32[3] = ce %t" to ", %y\n" \
    "    %g" to ": f32[3,4] = grad %e" to ", %" from "\n    %s" to ": f32[3,4] = sign %g" to "\n" \
    "    %d" to ": f32[3,4] = mul %s" to ", %size\n" \
    "    %a" to ": f32[3,4] = add %" from ", %d" to "\n    %z" to ": f32[3,4] = ball_linf %a" to ", %x, %eps\n"

#define LOOP_HEAD \
    "state x : f32[3,4] slot\nstate w : f32[5,4] param\nstate y : i32[3] slot\nstate out : f32[3,4] slot\nstate gw : f32[5,4] opt\n" \
    "entry e {\n  %x: f32[3,4] = read x\n  %w: f32[5,4] = read w\n  %y: i32[3] = read y\n  %size: f32 = const 0.1\n" \
    "  %eps: f32 = const 0.15\n"

#define LOOP_TAIL(z) \
    "  %xa: f32[3,4] = stop_grad %" z "\n  %m: f32[3,5] = matmul %xa, %w {tb=1}\n  %e: f32[3] = ce %m, %y\n" \
    "  %g: f32[5,4] = grad %e, %w {mean=1}\n  write out = %xa\n  write gw = %g\n}\n"

static void test_loop_is_turns(void)
{
    static const char *const pipes[] = {"autodiff", "autodiff,simplify,cse,dce,hoist,simplify,cse,dce"};
    for (int k = 0; k < 2; k++) {
        Case a, b;
        if (!begin(&a, LOOP_HEAD "  %l: f32[3,4] = loop 3 (%i: i64, %q: f32[3,4] = %x) {\n" TURN("q", "1") "    yield %z1\n"
            "  }\n" LOOP_TAIL("l"), pipes[k])) return;
        if (begin(&b, LOOP_HEAD TURN("x", "1") TURN("z1", "2") TURN("z2", "3") LOOP_TAIL("z3"), pipes[k])) {
            run(&a, "e");
            run(&b, "e");
            CHECK(same_bits(&a, "out", &b, "out"));
            CHECK(same_bits(&a, "gw", &b, "gw"));
            CHECK(fabs(number(&a, "gw")) > 0);
            CHECK(!same_bits(&a, "out", &a, "x"));
            end(&b);
        }
        end(&a);
    }
}

/* No weight gradient inside the attack: each product with a weight gradient's shape is outside. */
static void test_only_what_is_asked(void)
{
    Case a;
    if (!begin(&a, LOOP_HEAD "  %l: f32[3,4] = loop 3 (%i: i64, %q: f32[3,4] = %x) {\n" TURN("q", "1") "    yield %z1\n"
        "  }\n" LOOP_TAIL("l"),
               "autodiff,simplify,cse,dce")) return;
    run(&a, "e");
    CHECK_EQ(graph_exec_count(a.x, "matmul"), 3 * 2 + 2);
    end(&a);
}

/* ---- two updates in one step -------------------------------------------------------------------------------------- */

#define UPDATE_HEAD \
    "float f64\nstate x : f64[3,4] slot\nstate y : i32[3] slot\nstate w : f64[5,4] param\nstate m : f64[5,4] opt\n" \
    "state lr : f64 scalar\nstate v : f64[3,4] slot\n" \
    "state old : f64[5,4] opt\nstate new : f64[5,4] opt\n"
#define UPDATE_READS \
    "  %x: f64[3,4] = read x\n  %y: i32[3] = read y\n  %w: f64[5,4] = read w\n  %m: f64[5,4] = read m\n  %lr: f64 = read lr\n" \
    "  %v: f64[3,4] = read v\n"

/* The second gradient is taken at the new weights where they are used, and at the old ones where those are. */
static void test_two_updates(void)
{
    Case a, b;
    const char *both = UPDATE_HEAD "entry e {\n" UPDATE_READS
        "  %z: f64[3,5] = matmul %x, %w {tb=1}\n  %l: f64[3] = ce %z, %y\n  %g: f64[5,4] = grad %l, %w {mean=1}\n"
        "  %w1: f64[5,4], %m1: f64[5,4] = sgd %w, %g, %m, %lr {momentum=0.9}\n"
        "  %zo: f64[3,5] = matmul %v, %w {tb=1}\n  %lo: f64[3] = ce %zo, %y\n  %go: f64[5,4] = grad %lo, %w {mean=1}\n"
        "  %zn: f64[3,5] = matmul %v, %w1 {tb=1}\n  %ln: f64[3] = ce %zn, %y\n  %gn: f64[5,4] = grad %ln, %w1 {mean=1}\n"
        "  %w2: f64[5,4], %m2: f64[5,4] = sgd %w1, %gn, %m1, %lr {momentum=0.9}\n"
        "  write w = %w2\n  write m = %m2\n  write old = %go\n  write new = %gn\n}\n";
    const char *one = UPDATE_HEAD "entry first {\n" UPDATE_READS
        "  %z: f64[3,5] = matmul %x, %w {tb=1}\n  %l: f64[3] = ce %z, %y\n  %g: f64[5,4] = grad %l, %w {mean=1}\n"
        "  %w1: f64[5,4], %m1: f64[5,4] = sgd %w, %g, %m, %lr {momentum=0.9}\n  write w = %w1\n  write m = %m1\n}\n"
        "entry second {\n" UPDATE_READS
        "  %z: f64[3,5] = matmul %v, %w {tb=1}\n  %l: f64[3] = ce %z, %y\n  %g: f64[5,4] = grad %l, %w {mean=1}\n"
        "  %w1: f64[5,4], %m1: f64[5,4] = sgd %w, %g, %m, %lr {momentum=0.9}\n  write w = %w1\n  write m = %m1\n  write new = %g\n}\n"
        "entry look {\n" UPDATE_READS
        "  %z: f64[3,5] = matmul %v, %w {tb=1}\n  %l: f64[3] = ce %z, %y\n  %g: f64[5,4] = grad %l, %w {mean=1}\n  write old = %g\n}\n";
    if (!begin(&a, both, "autodiff,simplify,cse,dce,hoist")) return;
    if (begin(&b, one, "autodiff,simplify,cse,dce,hoist")) {
        run(&a, "e");
        run(&b, "look");
        run(&b, "first");
        run(&b, "second");
        CHECK(same_bits(&a, "old", &b, "old"));
        CHECK(same_bits(&a, "new", &b, "new"));
        CHECK(same_bits(&a, "w", &b, "w"));
        CHECK(same_bits(&a, "m", &b, "m"));
        CHECK(!same_bits(&a, "old", &a, "new"));
        end(&b);
    }
    end(&a);
}

/* ---- the budget's envelope ---------------------------------------------------------------------------------------- */

#define BALL_BODY \
    "  %x: f64[2,6] = read x\n  %p: f64[2] = read p\n  %w: f64[6] = read w\n  %s: f64[2,6] = read s\n" \
    "  %half: f64 = const 0.25\n  %pe: f64[2] = mul %p, %half\n  %eps: f64[2] = exp %pe\n" \
    "  %e1: f64[2,1] = reshape %eps {dims=[2,1]}\n  %far: f64 = const 4\n  %sf: f64[2,6] = mul %s, %far\n" \
    "  %z0: f64[2,6] = add %x, %sf\n  %z: f64[2,6] = ball_linf %z0, %x, %e1\n  %zd: f64[2,6] = stop_grad %z\n"
#define BALL_LOSS \
    "  %w1: f64[1,6] = reshape %w {dims=[1,6]}\n  %m: f64[2,6] = mul %xa, %w1\n  %t: f64[2,6] = tanh %m\n" \
    "  %e: f64[2] = sum %t {dims=[1]}\n  %L: f64 = sum %e\n"

/* The value moves with the ball where it binds; the gradient comes through on_ball although what found the point is stopped. */
static void test_envelope(void)
{
    static const char *const states[] = {"p", NULL};
    check_case("float f64\nstate x : f64[2,6] slot\nstate p : f64[2] table\nstate w : f64[6] param\nstate s : f64[2,6] slot\n"
        "state loss : f64 scalar\nstate g.p : f64[2] table\n"
               "entry value {\n" BALL_BODY "  %xa: f64[2,6] = on_ball %z, %x, %eps\n" BALL_LOSS "  write loss = %L\n}\n"
               "entry grads {\n" BALL_BODY "  %xa: f64[2,6] = on_ball %zd, %x, %eps\n" BALL_LOSS "  %g: f64[2] = grad %e, %p\n"
               "  write g.p = %g\n}\n", states);
}

/* ---- what has no gradient ----------------------------------------------------------------------------------------- */

static void test_zero_where_unconnected(void)
{
    Case c;
    if (!begin(&c, "float f64\nstate x : f64[2,3] slot\nstate y : f64[2,3] slot\nstate k : f64 scalar\n"
        "state gx : f64[2,3] slot\nstate gy : f64[2,3] slot\nstate gk : f64 scalar\n"
               "entry e {\n  %x: f64[2,3] = read x\n  %y: f64[2,3] = read y\n  %k: f64 = read k\n"
               "  %d: f64[2,3] = stop_grad %y\n  %r: f64[2,3] = sign %y\n"
               "  %m: f64[2,3] = mul %x, %d\n  %q: f64[2,3] = add %m, %r\n  %e: f64[2] = sum %q {dims=[1]}\n"
               "  %gx: f64[2,3], %gy: f64[2,3], %gk: f64 = grad %e, %x, %y, %k\n  write gx = %gx\n  write gy = %gy\n"
               "  write gk = %gk\n}\n", "autodiff")) return;
    double got[6], y[6];
    run(&c, "e");
    graph_exec_get(c.x, "gx", got);
    graph_exec_get(c.x, "y", y);
    for (int i = 0; i < 6; i++) CHECK(got[i] == y[i]);
    graph_exec_get(c.x, "gy", got);
    for (int i = 0; i < 6; i++) CHECK(got[i] == 0);
    CHECK(number(&c, "gk") == 0);
    end(&c);
}

/* A gradient by e itself is the seed; by a value used twice, the sum; by a broadcast operand, the sum over what it repeats. */
static void test_small_rules(void)
{
    Case c;
    if (!begin(&c, "float f64\nstate x : f64[2,3] slot\nstate k : f64[1,3] slot\nstate ge : f64[2] slot\n"
        "state gx : f64[2,3] slot\nstate gk : f64[1,3] slot\nstate gn : f64 scalar\n"
               "entry e {\n  %x: f64[2,3] = read x\n  %k: f64[1,3] = read k\n  %n: f64 = const 3\n  %a: f64[2,3] = add %x, %x\n"
               "  %b: f64[2,3] = add %a, %k\n"
               "  %c: f64[2,3] = mul %b, %n\n  %e: f64[2] = sum %c {dims=[1]}\n"
               "  %ge: f64[2], %gx: f64[2,3], %gk: f64[1,3], %gn: f64 = grad %e, %e, %x, %k, %n {mean=1}\n"
               "  write ge = %ge\n  write gx = %gx\n  write gk = %gk\n  write gn = %gn\n}\n", "autodiff")) return;
    double got[6], x[6], k[3], want = 0;
    run(&c, "e");
    graph_exec_get(c.x, "ge", got);
    CHECK(got[0] == 0.5 && got[1] == 0.5);
    graph_exec_get(c.x, "gx", got);
    for (int i = 0; i < 6; i++) CHECK(got[i] == 3);
    graph_exec_get(c.x, "gk", got);
    for (int i = 0; i < 3; i++) CHECK(got[i] == 3);
    graph_exec_get(c.x, "x", x);
    graph_exec_get(c.x, "k", k);
    for (int i = 0; i < 6; i++) want += 0.5 * (2 * x[i] + k[i % 3]);
    CHECK_NEAR(number(&c, "gn"), want, 1e-14);
    end(&c);
}

int main(void)
{
    RUN(test_residual_block);
    RUN(test_residual_block_seeds);
    RUN(test_folded_batch_norm);
    RUN(test_second_derivative);
    RUN(test_loop_is_turns);
    RUN(test_only_what_is_asked);
    RUN(test_two_updates);
    RUN(test_envelope);
    RUN(test_zero_where_unconnected);
    RUN(test_small_rules);
    return ADV_TEST_END();
}
