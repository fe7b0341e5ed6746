/* device.c: one op, `root`, whose CUDA kernel is host code that the fake device (tests/cuda/fake.h) runs, in order with its other work;
** and with -DBAD=X one mistake that no run on the CPU shows. -DFAKE: the path of the fake adv_cuda.so.
*/
#define NOTHING 0
#define WRONG   1 /* a result that is off */
#define BOUNDS  2 /* writes behind the result */
#define EVEN    3 /* right in even sizes only */
#define HIDES   4 /* a NaN becomes a number */
#define FAILS   5 /* the launch fails */
#define DIES    6 /* so does the device, for good */
#define SEGV    7 /* the launch crashes */
#define LOUD    8 /* none; but it says when its code runs */

#include "ops/adv_op.h"

#include <dlfcn.h>
#include <stdio.h>

__attribute__((constructor)) static void wake(void)
{
    if (BAD == LOUD) puts("code of the plugin runs");
}

static const AdvPortDef in[] = {{"x", ADV_PORT_FLOAT, "[N,...]"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "as x"}, {NULL, 0, NULL}};

static AdvStatus infer(AdvInferCtx *c)
{
    c->out[0] = c->in[0];
    return c->in[0].rank ? ADV_OK : c->fail(c, "`root` needs numbers");
}

static double root(double x) { return x < 0 ? -sqrt(-x) : sqrt(x); }

static AdvStatus ref(const AdvRefCall *c)
{
    for (int64_t i = 0, n = adv_elem_count(&c->out[0]); i < n; i++)
        adv_st(&c->out[0], adv_elem_at(&c->out[0], i), root(adv_ld(&c->in[0], adv_elem_at(&c->in[0], i))));
    return ADV_OK;
}

static bool can(const AdvSig *s, const char **why)
{
    *why = "takes f32 without gaps";
    return s->in[0].dtype == ADV_F32 && adv_elem_is_row(&s->in[0]) && adv_elem_is_row(&s->out[0]);
}

/* ---- the launch -------------------------------------------------------------------------------------------------------- */

typedef int Launch(void *stream, void (*run)(const void *what), const void *what, size_t n_bytes);
typedef void Kill(void);
typedef struct Args { const float *x; float *y; int64_t n; } Args;

static void kernel(const void *what)
{
    const Args *a = what;
    int64_t n = BAD == EVEN ? a->n / 2 * 2 : a->n;
    for (int64_t i = 0; i < n; i++) {
        a->y[i] = (float)root((double)a->x[i]) + (BAD == WRONG && i == 1 ? 0.01f : 0);
        if (BAD == HIDES && a->x[i] != a->x[i]) a->y[i] = 0;
    }
    if (BAD == BOUNDS) a->y[n] = 1;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    Args a = {l->in[0].data, l->out[0].data, adv_elem_count(&l->out[0])};
    void *fake = dlopen(FAKE, RTLD_NOW | RTLD_NOLOAD), *fn = fake ? dlsym(fake, BAD == DIES ? "adv_fake_kill" : "adv_fake_launch") : NULL;
    Launch *launch = NULL;
    Kill *kill = NULL;
    volatile int *volatile nowhere = NULL;
    (void)state;
    if (!fn || BAD == FAILS) return ADV_EUNAVAILABLE;
    if (BAD == SEGV) *nowhere = 1;
    *(void **)&kill = fn;
    if (BAD == DIES) kill();
    *(void **)&launch = fn;
    return BAD == DIES || !launch(l->stream, kernel, &a, sizeof a) ? ADV_OK : ADV_EUNAVAILABLE;
}

static const AdvOpDef def = {ADV_OP_HEADER,  .name = "root",
                             .version = 1,   .precision = ADV_PREC_F32,
                             .in = in,       .out = out,
                             .infer = infer, .grad = ADV_GRAD_NEVER,
                             .ref = ref,     .doc = "Square root of the magnitude, with the sign of x."};
static const AdvKernel cuda = {ADV_KERNEL_HEADER, .backend = "cuda", .op = "root", .name = "host", .op_version = 1, .can = can, .run = run};
static const AdvOpDef *const ops[] = {&def, NULL};
static const AdvKernel *const kernels[] = {&cuda, NULL};
static const char *const cases[] = {"root x=4{0,1,-4,9} want={0,1,-2,3}", "root x=2x3", NULL};

ADV_PLUGIN("device", "1", "root", ARCHS, ops, kernels, cases)
