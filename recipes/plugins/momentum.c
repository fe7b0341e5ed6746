/* momentum.c: an attack's step as one op with two results, for the CPU and, where it is built with momentum_kernel.cu, for CUDA.
**
**   cc -shared -fPIC -fno-plt -O3 $(pkg-config --cflags adv) momentum.c -o libmomentum.so -lm
**   nvcc -shared -O3 -Xcompiler=-fPIC,-ffp-contract=off -gencode=arch=compute_80,code=sm_80
**      -gencode=arch=compute_90,code=[sm_90,compute_90] -DWITH_CUDA $(pkg-config --cflags adv) momentum.c momentum_kernel.cu
**      -Xlinker=--exclude-libs=ALL -o libmomentum.so
**
** The step of Dong, Liao, Pang, Su, Zhu, Hu, Li: Boosting Adversarial Attacks with Momentum, CVPR 2018, equations 6 and 7, with the
** projection onto ball and box behind it:
**
**   m' = decay*m + g/mean|g|        z' = clip(ball(z + size*sign(m'), x, eps), 0, 1)
**
** Written with built-in ops it is a reduction and two fused groups, which read g twice and write m' in between; here a sample is read
** once to sum and once, still in the cache, to step.
*/
#include "ops/adv_op.h"

static const AdvPortDef in[] = {{"z", ADV_PORT_FLOAT, "point [N,...]"},
                                {"g", ADV_PORT_FLOAT, "gradient at z"},
                                {"m", ADV_PORT_FLOAT, "momentum so far"},
                                {"x", ADV_PORT_FLOAT, "centre of the ball"},
                                {"eps", ADV_PORT_FLOAT, "radius: () or [N]"},
                                {"size", ADV_PORT_FLOAT, "length of the step: () or [N]"},
                                {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"z1", ADV_PORT_FLOAT, "next point"}, {"m1", ADV_PORT_FLOAT, "next momentum"}, {NULL, 0, NULL}};
static const AdvAttrDef attrs[] = {{"decay", ADV_ATTR_FLOAT, 1, 0, 10, NULL, "factor of the momentum so far"},
                                   {NULL, ADV_ATTR_END, 0, 0, 0, NULL, NULL}};

static bool is_like(const AdvTensorType *a, const AdvTensorType *b)
{
    bool same = a->rank == b->rank && a->dtype == b->dtype;
    for (uint32_t i = 0; i < a->rank && same; i++) same = a->dim[i] == b->dim[i];
    return same;
}

static AdvStatus infer(AdvInferCtx *c)
{
    if (c->in[0].rank < 1) return c->fail(c, "`momentum_step` needs points [N,...]");
    for (uint32_t k = 1; k < 4; k++)
        if (!is_like(&c->in[k], &c->in[0])) return c->fail(c, "`momentum_step` needs gradient, momentum and centre as the point is");
    for (uint32_t k = 4; k < 6; k++)
        if (c->in[k].dtype != c->in[0].dtype || c->in[k].rank > 1 || (c->in[k].rank == 1 && c->in[k].dim[0] != c->in[0].dim[0]))
            return c->fail(c, "`momentum_step` needs radius and length as one number, or one for each sample");
    c->out[0] = c->out[1] = c->in[0];
    return ADV_OK;
}

/* One element: what definition and kernel share, in the precision of T. A NaN stays one. */
#define STEP(T, z, g, m, x, eps, size, decay, scale, z1, m1)                                                                               \
    do {                                                                                                                                   \
        T m_new = (decay) * (m) + (g) * (scale), to = (z) + (size) * (m_new > 0 ? (T)1 : m_new < 0 ? (T)-1 : (T)0);                        \
        T low = (x) - (eps), high = (x) + (eps);                                                                                           \
        to = to > high ? high : to < low ? low : to;                                                                                       \
        (z1) = to > 1 ? (T)1 : to < 0 ? (T)0 : to;                                                                                         \
        (m1) = m_new;                                                                                                                      \
    } while (0)

static double number_of(const AdvView *v, int64_t i) { return adv_ld(v, v->rank ? i * v->stride[0] : 0); }

static AdvStatus ref(const AdvRefCall *c)
{
    int64_t n = c->in[0].dim[0], len = adv_elem_count(&c->in[0]) / n;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, scale, eps = number_of(&c->in[4], i), size = number_of(&c->in[5], i);
        for (int64_t k = 0; k < len; k++) sum += fabs(adv_ld(&c->in[1], adv_elem_at(&c->in[1], i * len + k)));
        scale = sum == 0 ? 0 : (double)len / sum;
        for (int64_t k = 0; k < len; k++) {
            double v[4], z1, m1;
            for (uint32_t j = 0; j < 4; j++) v[j] = adv_ld(&c->in[j], adv_elem_at(&c->in[j], i * len + k));
            STEP(double, v[0], v[1], v[2], v[3], eps, size, c->attr[0].f, scale, z1, m1);
            adv_st(&c->out[0], adv_elem_at(&c->out[0], i * len + k), z1);
            adv_st(&c->out[1], adv_elem_at(&c->out[1], i * len + k), m1);
        }
    }
    return ADV_OK;
}

/* ---- kernels ---- */

static bool can(const AdvSig *s, const char **why)
{
    *why = "takes f32 without gaps";
    for (uint32_t k = 0; k < s->n_in; k++)
        if (s->in[k].dtype != ADV_F32 || !adv_elem_is_row(&s->in[k])) return false;
    return adv_elem_is_row(&s->out[0]) && adv_elem_is_row(&s->out[1]);
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    int64_t n = l->in[0].dim[0], len = adv_elem_count(&l->in[0]) / n;
    float decay = (float)l->attr[0].f;
    (void)state;
    for (int64_t i = 0; i < n; i++) {
        const float *z = (const float *)l->in[0].data + i * len, *g = (const float *)l->in[1].data + i * len;
        const float *m = (const float *)l->in[2].data + i * len, *x = (const float *)l->in[3].data + i * len;
        float *z1 = (float *)l->out[0].data + i * len, *m1 = (float *)l->out[1].data + i * len;
        float eps = (float)number_of(&l->in[4], i), size = (float)number_of(&l->in[5], i), scale;
        double sum = 0;
        for (int64_t k = 0; k < len; k++) sum += (double)fabsf(g[k]);
        scale = sum == 0 ? 0 : (float)((double)len / sum);
        for (int64_t k = 0; k < len; k++) STEP(float, z[k], g[k], m[k], x[k], eps, size, decay, scale, z1[k], m1[k]);
    }
    return ADV_OK;
}

static const AdvKernel cpu = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "momentum_step", .name = "rows", .op_version = 1,
                              .can = can,        .run = run};

#ifdef WITH_CUDA
#define ARCHS "sm_80 sm_90 compute_90"
/* momentum_kernel.cu. The samples are [n,len]; eps_step and size_step are 0 for one number, 1 for one a sample. Not 0: it failed. */
int momentum_launch(const float *const in[6], float *const out[2], int64_t n, int64_t len, int eps_step, int size_step, float decay,
                    void *stream);

static AdvStatus run_cuda(const AdvLaunch *l, void *state)
{
    const float *from[6];
    float *to[2] = {l->out[0].data, l->out[1].data};
    int64_t n = l->in[0].dim[0];
    (void)state;
    for (uint32_t k = 0; k < 6; k++) from[k] = l->in[k].data;
    return momentum_launch(from, to, n, adv_elem_count(&l->in[0]) / n, l->in[4].rank, l->in[5].rank, (float)l->attr[0].f, l->stream)
               ? ADV_EUNAVAILABLE
               : ADV_OK;
}

static const AdvKernel cuda = {ADV_KERNEL_HEADER, .backend = "cuda", .op = "momentum_step", .name = "block_a_sample",
                               .op_version = 1,   .can = can,        .run = run_cuda};
static const AdvKernel *const kernels[] = {&cpu, &cuda, NULL};
#else
#define ARCHS ""
static const AdvKernel *const kernels[] = {&cpu, NULL};
#endif

/* ---- the plugin ---- */

static const AdvOpDef momentum_step = {
    ADV_OP_HEADER,
    .name = "momentum_step",
    .version = 1,
    .precision = ADV_PREC_F32,
    .in = in,
    .out = out,
    .attrs = attrs,
    .infer = infer,
    .grad = ADV_GRAD_NEVER,
    .ref = ref,
    .inplace = {ADV_INPLACE(0), ADV_INPLACE(2)},
    .doc = "One signed step along the momentum of normalised gradients, projected onto the ball and 0..1.\n"
           "m1 = decay*m + g/mean|g|, z1 = clip(ball(z + size*sign(m1), x, eps), 0, 1). Where g is 0, m1 is decay*m. "
           "Dong et al. 2018, equations 6 and 7."};

static const AdvOpDef *const ops[] = {&momentum_step, NULL};
static const char *const cases[] = {
    "momentum_step z=1x2{0.5,0.5} g=1x2{1,-3} m=1x2{0,0} x=1x2{0.5,0.5} eps=(){0.1} size=(){0.05} want={0.55,0.45} want1={0.5,-1.5}",
    "momentum_step z=3x2x5 g=3x2x5 m=3x2x5 x=3x2x5 eps=3:0..1 size=(){0.1} decay=0.5",
    "momentum_step z=4x3 g=4x3{0} m=4x3 x=4x3 eps=() size=4", "momentum_step z=4x3 g=4x2 m=4x3 x=4x3 eps=() size=() refuse=as~the~point",
    NULL};

ADV_PLUGIN("momentum", "1.0", "momentum_step", ARCHS, ops, kernels, cases)
