/* bad.c: one op, `twice`, and with -DBAD=X one mistake. Each must end in a sentence and the right exit code (run.sh). */
#define NOTHING  0
#define MAJOR    1
#define MINOR    2
#define NO_NOTE  3
#define CUT_NOTE 4
#define NO_OP    5
#define SHAPE    6
#define GRADIENT 7
#define BOUNDS   8
#define RANDOM   9
#define THROW    10
#define EXIT     11
#define NO_DOC   12
#define ENDLESS  13
#define SEGV     14
#define INFER    15
#define KIND     16

#include "ops/adv_op.h"

#include <stdlib.h>

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "[N]"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "[N]"}, {NULL, 0, NULL}};

static AdvStatus infer(AdvInferCtx *c)
{
    volatile int *volatile nowhere = NULL;
    c->out[0] = c->in[0];
    if (BAD == INFER) *nowhere = 1;
    if (c->in[0].rank != 1) return c->fail(c, "`twice` needs one number for each sample");
    if (BAD == SHAPE) c->out[0].dim[0]++;
    if (BAD == KIND) c->out[0].dtype = ADV_I32;
    return ADV_OK;
}

static AdvStatus ref(const AdvRefCall *c)
{
    static int n_calls;
    for (int64_t i = 0, n = adv_elem_count(&c->out[0]); i < n; i++) {
        double x = i < adv_elem_count(&c->in[0]) ? adv_ld(&c->in[0], adv_elem_at(&c->in[0], i)) : 0;
        adv_st(&c->out[0], adv_elem_at(&c->out[0], i), 2 * x + (BAD == RANDOM ? 1e-3 * n_calls : 0));
    }
    n_calls++;
    return ADV_OK;
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    if (g->gout[0].i && g->need[0]) g->gin[0] = adv_b2(b, "mul", g->gout[0], adv_val_number(b, BAD == GRADIENT ? 2.01 : 2, g->gout[0]));
    return ADV_OK;
}

static bool can(const AdvSig *s, const char **why)
{
    *why = "takes f32 without gaps";
    return s->in[0].dtype == ADV_F32 && adv_elem_is_row(&s->in[0]) && adv_elem_is_row(&s->out[0]);
}

#if BAD == THROW
void throw_something(void); /* throw.cpp */
#endif

static AdvStatus run(const AdvLaunch *l, void *state)
{
    int64_t n = adv_elem_count(&l->out[0]) + (BAD == BOUNDS);
    volatile int *volatile nowhere = NULL;
    (void)state, (void)nowhere;
#if BAD == THROW
    throw_something();
#endif
    if (BAD == EXIT) exit(3);
    if (BAD == SEGV) *nowhere = 1;
    for (volatile int spin = 1; BAD == ENDLESS && spin;) {
    }
    for (int64_t i = 0; i < n; i++) ((float *)l->out[0].data)[i] = 2 * ((const float *)l->in[0].data)[i];
    return ADV_OK;
}

static const AdvOpDef twice = {ADV_OP_HEADER, .name = "twice", .version = 1,
                               .in = in,      .out = out,      .infer = infer,
                               .grad = grad,  .ref = ref,      .doc = BAD == NO_DOC ? "" : "2*x."};
static const AdvKernel cpu = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "twice", .name = "plain", .op_version = 1, .can = can, .run = run};
static const AdvOpDef *const ops[] = {&twice, NULL};
static const AdvKernel *const kernels[] = {&cpu, NULL};
static const char *const cases[] = {"twice x=3{1,2,-3} want={2,4,-6}", "twice x=17", NULL};

#if BAD == MAJOR
#undef ADV_OP_ABI
#define ADV_OP_ABI 2u
#elif BAD == MINOR
#undef ADV_OP_ABI_MINOR
#define ADV_OP_ABI_MINOR 9u
#endif

#if BAD == NO_NOTE || BAD == CUT_NOTE
ADV_API const AdvPlugin *adv_plugin_v1(const AdvHost *host)
{
    static const AdvPlugin plugin = {sizeof plugin, ADV_OP_ABI, ADV_OP_ABI_MINOR, "bad", "1", ops, kernels, cases};
    return host ? &plugin : NULL;
}
#elif BAD == NO_OP
ADV_PLUGIN("bad", "1", "twice thrice", "", ops, kernels, cases)
#else
ADV_PLUGIN("bad", "1", "twice", "", ops, kernels, cases)
#endif

#if BAD == CUT_NOTE
/* A note that ends within its own head. */
static const struct {
    uint32_t owner_bytes, desc_bytes, type;
    char owner[4];
    uint32_t abi_major;
} cut __attribute__((section(".note.adv"), used, aligned(4))) = {4, 4, ADV_NOTE_TYPE, "ADV", ADV_OP_ABI};
#endif
