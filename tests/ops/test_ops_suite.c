/* test_ops_suite.c: the suite must find what is wrong. Ops with one planted mistake each go through it; each must be found,
** and the same op without the mistake must pass. */
#include "op_suite.h"

#include "ops/grad.h"
#include "ops/shape.h"
#include "tests/adv_test.h"

#include <string.h>

/* ---- one op, y = x^2, in many wrong ways ---- */

static AdvStatus infer(AdvInferCtx *c) { return adv_infer_like(c, 0); }

static AdvStatus infer_f32(AdvInferCtx *c)
{
    c->out[0] = c->in[0];
    c->out[0].dtype = ADV_F32;
    return ADV_OK;
}

/* y[i] = x[i]^2*factor over the first `n` of all elements, offset by `shift` elements. */
static AdvStatus square(const AdvRefCall *c, double factor, int64_t n_less, int64_t shift)
{
    AdvIter it;
    int64_t n = adv_view_elems(&c->out[0]) - n_less;
    adv_iter_init(&it, c->out[0].rank, c->out[0].dim);
    adv_iter_add(&it, &c->in[0]);
    adv_iter_add(&it, &c->out[0]);
    for (; it.more && n > 0; adv_iter_next(&it), n--) {
        double x = adv_ld(&c->in[0], it.at[0]);
        adv_st(&c->out[0], it.at[1] + shift, factor * x * x);
    }
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c) { return square(c, 1, 0, 0); }

static AdvStatus ref_short(const AdvRefCall *c) { return square(c, 1, 1, 0); }

static AdvStatus ref_beyond(const AdvRefCall *c) { return square(c, 1, 0, 0) ? ADV_EINTERNAL : square(c, 1, 0, 1); }

static AdvStatus ref_fails(const AdvRefCall *c) { return square(c, 1, 0, 0) ? ADV_OK : ADV_EINTERNAL; }

/* As if x were dense in row order. */
static AdvStatus ref_dense(const AdvRefCall *c)
{
    for (int64_t i = 0, n = adv_view_elems(&c->in[0]); i < n; i++) {
        double x = adv_ld(&c->in[0], i);
        adv_st(&c->out[0], i, x * x);
    }
    return ADV_OK;
}

static AdvStatus ref_writes_operand(const AdvRefCall *c)
{
    AdvStatus st = square(c, 1, 0, 0);
    adv_st(&c->in[0], 0, 7);
    return st;
}

/* Arithmetic in float instead of double. */
static AdvStatus ref_float(const AdvRefCall *c)
{
    AdvIter it;
    adv_iter_init(&it, c->out[0].rank, c->out[0].dim);
    adv_iter_add(&it, &c->in[0]);
    adv_iter_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) {
        float x = (float)adv_ld(&c->in[0], it.at[0]) * 1.1f;
        adv_st(&c->out[0], it.at[1], (double)(x * x * (1 / 1.21f)));
    }
    return ADV_OK;
}

static AdvVal scaled(AdvBuild *b, const AdvGradCtx *g, double factor)
{
    return adv_b2(b, "mul", g->gout[0], adv_b2(b, "mul", g->in[0], adv_val_number(b, factor, g->in[0])));
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    g->gin[0] = scaled(b, g, 2);
    return ADV_OK;
}

static AdvStatus grad_off(AdvBuild *b, const AdvGradCtx *g)
{
    g->gin[0] = scaled(b, g, 2.00001);
    return ADV_OK;
}

static AdvStatus grad_none(AdvBuild *b, const AdvGradCtx *g)
{
    (void)b, (void)g;
    return ADV_OK;
}

/* Forgets the chain rule. */
static AdvStatus grad_no_chain(AdvBuild *b, const AdvGradCtx *g)
{
    g->gin[0] = adv_b2(b, "mul", g->in[0], adv_val_number(b, 2, g->in[0]));
    return ADV_OK;
}

/* The sum instead of one number an element. */
static AdvStatus grad_shape(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal x = scaled(b, g, 2);
    g->gin[0] = adv_b1(b, "sum", x);
    return ADV_OK;
}

static AdvStatus grad_unknown(AdvBuild *b, const AdvGradCtx *g)
{
    g->gin[0] = adv_b1(b, "no_such_op", g->in[0]);
    return ADV_OK;
}

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "any"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "as x"}, {NULL, 0, NULL}};
#define SQUARE(op, infer_fn, grad_fn, ref_fn)                                                                                              \
    static const AdvOpDef op = {ADV_OP_HEADER,                                                                                             \
                                .name = #op,                                                                                               \
                                .version = 1,                                                                                              \
                                .precision = ADV_PREC_F32,                                                                                 \
                                .layout = ADV_LAYOUT_OP_ANY,                                                                               \
                                .in = in,                                                                                                  \
                                .out = out,                                                                                                \
                                .inplace = {ADV_INPLACE(0)},                                                                               \
                                .infer = infer_fn,                                                                                         \
                                .grad = grad_fn,                                                                                           \
                                .ref = ref_fn,                                                                                             \
                                .doc = "x*x."}
SQUARE(sq_right, infer, grad, ref);
SQUARE(sq_short, infer, grad, ref_short);
SQUARE(sq_beyond, infer, grad, ref_beyond);
SQUARE(sq_fails, infer, grad, ref_fails);
SQUARE(sq_dense, infer, grad, ref_dense);
SQUARE(sq_operand, infer, grad, ref_writes_operand);
SQUARE(sq_float, infer, grad, ref_float);
SQUARE(sq_f32, infer_f32, grad, ref);
SQUARE(sq_grad_off, infer, grad_off, ref);
SQUARE(sq_grad_none, infer, grad_none, ref);
SQUARE(sq_grad_zero, infer, ADV_GRAD_ZERO, ref);
SQUARE(sq_grad_no_chain, infer, grad_no_chain, ref);
SQUARE(sq_grad_shape, infer, grad_shape, ref);
SQUARE(sq_grad_unknown, infer, grad_unknown, ref);

/* y = a*b with a gradient by b that leans on the one by a having been asked. */
static AdvStatus infer_two(AdvInferCtx *c) { return adv_infer_like(c, 0); }

static AdvStatus ref_two(const AdvRefCall *c)
{
    AdvIter it;
    adv_iter_init(&it, c->out[0].rank, c->out[0].dim);
    adv_iter_add(&it, &c->in[0]), adv_iter_add(&it, &c->in[1]), adv_iter_add(&it, &c->out[0]);
    for (; it.more; adv_iter_next(&it)) adv_st(&c->out[0], it.at[2], adv_ld(&c->in[0], it.at[0]) * adv_ld(&c->in[1], it.at[1]));
    return ADV_OK;
}

static AdvStatus grad_two(AdvBuild *b, const AdvGradCtx *g)
{
    if (g->need[0]) g->gin[0] = adv_b2(b, "mul", g->gout[0], g->in[1]);
    if (g->need[0] && g->need[1]) g->gin[1] = adv_b2(b, "mul", g->gout[0], g->in[0]);
    return ADV_OK;
}

static const AdvPortDef in_two[] = {{"a", ADV_PORT_FLOAT, "any"}, {"b", ADV_PORT_FLOAT, "as a"}, {NULL, 0, NULL}};
static const AdvOpDef two_leans = {ADV_OP_HEADER,  .name = "two_leans", .version = 1,       .precision = ADV_PREC_F32,
                                   .in = in_two,   .out = out,          .infer = infer_two, .grad = grad_two,
                                   .ref = ref_two, .doc = "a*b."};

static const AdvOpDef *const planted[] = {&sq_right,      &sq_short,        &sq_beyond,   &sq_fails,     &sq_dense,     &sq_operand,
                                          &sq_float,      &sq_f32,          &sq_grad_off, &sq_grad_none, &sq_grad_zero, &sq_grad_no_chain,
                                          &sq_grad_shape, &sq_grad_unknown, &two_leans,   NULL};

/* ---- kernels of sq_right, right and wrong ---- */

static bool can(const AdvSig *s, const char **why)
{
    *why = "f32 only";
    return s->in[0].dtype == ADV_F32;
}

static AdvStatus run_kernel(const AdvLaunch *l, double factor, int64_t n_less, int64_t shift)
{
    AdvRefCall c = {.n_in = 1, .n_out = 1, .in = l->in, .out = l->out, .attr = l->attr};
    return square(&c, factor, n_less, shift);
}

static AdvStatus run_right(const AdvLaunch *l, void *state)
{
    (void)state;
    return run_kernel(l, 1, 0, 0);
}

static AdvStatus run_off(const AdvLaunch *l, void *state)
{
    (void)state;
    return run_kernel(l, 1.00001, 0, 0);
}

static AdvStatus run_short(const AdvLaunch *l, void *state)
{
    (void)state;
    return run_kernel(l, 1, 1, 0);
}

static AdvStatus run_threads(const AdvLaunch *l, void *state)
{
    (void)state;
    return run_kernel(l, l->n_threads == 1 ? 1 : 1.0000002, 0, 0);
}

static AdvStatus run_scratch(const AdvLaunch *l, void *state)
{
    (void)state;
    memset(l->scratch, 0, 33);
    return run_kernel(l, 1, 0, 0);
}

static AdvStatus prepare_scratch(AdvPrep *p, void **out_state)
{
    *out_state = NULL;
    p->scratch_bytes = 32;
    return ADV_OK;
}

#define SQ_KERNEL(fn, prepare_fn)                                                                                                          \
    static const AdvKernel k_##fn = {ADV_KERNEL_HEADER, .backend = #fn, .op = "sq_right",      .name = #fn,                                \
                                     .op_version = 1,   .can = can,     .prepare = prepare_fn, .run = fn}
SQ_KERNEL(run_right, NULL);
SQ_KERNEL(run_off, NULL);
SQ_KERNEL(run_short, NULL);
SQ_KERNEL(run_threads, NULL);
SQ_KERNEL(run_scratch, prepare_scratch);
static const AdvKernel *const kernels[] = {&k_run_right, &k_run_off, &k_run_short, &k_run_threads, &k_run_scratch, NULL};

/* ---- the tests ---- */

/* Findings of one line; -1 if it does not parse. */
static int findings(const char *backend, const char *line)
{
    Suite s = {.backend = backend, .quiet = true};
    OpCase c;
    char msg[256];
    int n = -1;
    adv_arena_init(&s.arena, adv_alloc_default());
    if (adv_registry_init(&s.reg, adv_alloc_default()) == ADV_OK && adv_registry_add_ops(&s.reg, planted, NULL) == ADV_OK &&
        adv_registry_add_kernels(&s.reg, kernels, NULL) == ADV_OK && case_parse(&c, &s.arena, &s.reg, "planted", 1, line, msg, sizeof msg))
        n = suite_case(&s, &c);
    adv_arena_fini(&s.arena);
    adv_registry_fini(&s.reg);
    return n;
}

static void right_passes(void)
{
    CHECK_EQ(findings(NULL, "sq_right x=3x5"), 0);
    CHECK_EQ(findings(NULL, "sq_right x=2x3x4x5"), 0);
    CHECK_EQ(findings(NULL, "sq_right x=2{1,-3} want={1,9} grad.x={2,-6}"), 0);
    CHECK_EQ(findings("run_right", "sq_right x=2x3x4x5"), 0);
}

static void wrong_results_are_found(void)
{
    CHECK(findings(NULL, "sq_short x=3x5") > 0);
    CHECK(findings(NULL, "sq_beyond x=3x5") > 0);
    CHECK(findings(NULL, "sq_fails x=3x5") > 0);
    CHECK(findings(NULL, "sq_dense x=3x5") > 0);
    CHECK(findings(NULL, "sq_operand x=3x5") > 0);
    CHECK(findings(NULL, "sq_f32 x=3x5") > 0);
    CHECK(findings(NULL, "sq_float x=64") > 0);
    CHECK(findings(NULL, "sq_right x=2{1,-3} want={1,9.0001}") > 0);
    CHECK(findings(NULL, "sq_right x=2{1,-3} want={1}") > 0);
    CHECK(findings(NULL, "sq_right x=2 status=edata") > 0);
    CHECK(findings(NULL, "sq_right x=2 refuse=anything") > 0);
}

static void wrong_gradients_are_found(void)
{
    CHECK(findings(NULL, "sq_grad_off x=3x5") > 0);
    CHECK(findings(NULL, "sq_grad_none x=3x5") > 0);
    CHECK(findings(NULL, "sq_grad_zero x=3x5") > 0);
    CHECK(findings(NULL, "sq_grad_no_chain x=3x5") > 0);
    CHECK(findings(NULL, "sq_grad_shape x=3x5") > 0);
    CHECK(findings(NULL, "sq_grad_unknown x=3x5") > 0);
    CHECK(findings(NULL, "two_leans a=3x5 b=3x5") > 0);
    CHECK(findings(NULL, "sq_right x=2{1,-3} grad.x={2,-6.0001}") > 0);
    CHECK(findings(NULL, "sq_grad_off x=2{1,-3} nofd=stated grad.x={2,-6}") > 0);
}

static void wrong_kernels_are_found(void)
{
    CHECK(findings("run_off", "sq_right x=3x5") > 0);
    CHECK(findings("run_short", "sq_right x=3x5") > 0);
    CHECK(findings("run_threads", "sq_right x=3x5") > 0);
    CHECK(findings("run_scratch", "sq_right x=3x5") > 0);
}

static void bad_lines_are_refused(void)
{
    static const char *const lines[] = {"no_such_op x=3",
                                        "sq_right x=3x",
                                        "sq_right x=0",
                                        "sq_right x=3:nokind",
                                        "sq_right x=3{1,2}",
                                        "sq_right x=3{1,2,a}",
                                        "sq_right x",
                                        "sq_right y=3",
                                        "two_leans b=3 a=3",
                                        "sum x=3 dims=1",
                                        "sum x=3 keep=yes",
                                        "sum x=3 dims=[0",
                                        "relayout x=3 layout=diagonal",
                                        "sq_right x=3 range=1",
                                        "sq_right x=3 wrt=z",
                                        "sq_right x=3 want=1",
                                        "sq_right x=3 status=fine",
                                        "sq_right x=1x1x1x1x1x1x1"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        int n = findings(NULL, lines[i]);
        if (n != -1) printf("accepted: %s\n", lines[i]);
        CHECK_EQ(n, -1);
    }
}

int main(void)
{
    RUN(right_passes);
    RUN(wrong_results_are_found);
    RUN(wrong_gradients_are_found);
    RUN(wrong_kernels_are_found);
    RUN(bad_lines_are_refused);
    return ADV_TEST_END();
}
