/* focal.c: a loss with a gradient kernel of its own: the focal loss (Lin, Goyal, Girshick, He, Dollar: Focal Loss for Dense Object
** Detection, ICCV 2017, equation 5, without class weights).
**
**   cc -shared -fPIC -fno-plt -O3 $(pkg-config --cflags adv) focal.c -o libfocal.so -lm
**
** With p the probability of the label: loss = -(1 - p)^gamma * log p. Its gradient is an op of its own, `focal_grad`, which `grad`
** appends: so it has a definition, a kernel and a place in the plan as every op has.
*/
#include "ops/adv_op.h"

static const AdvPortDef in[] = {{"z", ADV_PORT_FLOAT, "logits [N,K]"}, {"y", ADV_PORT_INT, "labels [N]"}, {NULL, 0, NULL}};
static const AdvPortDef grad_in[] = {{"z", ADV_PORT_FLOAT, "logits [N,K]"},
                                     {"y", ADV_PORT_INT, "labels [N]"},
                                     {"g", ADV_PORT_FLOAT, "gradient of the loss [N]"},
                                     {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"loss", ADV_PORT_FLOAT, "loss [N]"}, {NULL, 0, NULL}};
static const AdvPortDef grad_out[] = {{"gz", ADV_PORT_FLOAT, "gradient [N,K]"}, {NULL, 0, NULL}};
static const AdvAttrDef attrs[] = {{"gamma", ADV_ATTR_FLOAT, 2, 1, 10, NULL, "how much samples that are right already weigh less"},
                                   {NULL, ADV_ATTR_END, 0, 0, 0, NULL, NULL}};

/* ---- shape rules ---- */

static AdvStatus check(AdvInferCtx *c)
{
    if (c->in[0].rank != 2 || c->in[1].rank != 1 || c->in[0].dim[0] != c->in[1].dim[0])
        return c->fail(c, "the focal loss needs logits [N,K] and one label for each of the N");
    return ADV_OK;
}

static AdvStatus infer(AdvInferCtx *c)
{
    AdvStatus st = check(c);
    if (st != ADV_OK) return st;
    c->out[0] = c->in[1];
    c->out[0].dtype = c->in[0].dtype;
    return ADV_OK;
}

static AdvStatus grad_infer(AdvInferCtx *c)
{
    AdvStatus st = check(c);
    if (st == ADV_OK) c->out[0] = c->in[0];
    return st;
}

/* ---- definitions ---- */

/* Of row i: the label, and log p of it. A label that is no class stops the run. */
static int64_t row(const AdvView *z, const AdvView *y, int64_t i, double *log_sum)
{
    int64_t label = (int64_t)adv_ld(y, i * y->stride[0]), n = z->dim[1];
    double top = -INFINITY, sum = 0;
    if (label < 0 || label >= n) return -1;
    for (int64_t k = 0; k < n; k++) top = fmax(top, adv_ld(z, i * z->stride[0] + k * z->stride[1]));
    for (int64_t k = 0; k < n; k++) sum += exp(adv_ld(z, i * z->stride[0] + k * z->stride[1]) - top);
    *log_sum = top + log(sum);
    return label;
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *z = &c->in[0], *y = &c->in[1], *loss = &c->out[0];
    for (int64_t i = 0; i < z->dim[0]; i++) {
        double log_sum;
        int64_t label = row(z, y, i, &log_sum);
        if (label < 0) return ADV_EDATA;
        double log_p = adv_ld(z, i * z->stride[0] + label * z->stride[1]) - log_sum;
        adv_st(loss, i * loss->stride[0], -pow(-expm1(log_p), c->attr[0].f) * log_p);
    }
    return ADV_OK;
}

/* By logit k: (gamma*p*(1-p)^(gamma-1)*log p - (1-p)^gamma) * ((k == y) - p_k) * g. */
static double slope(double log_p, double gamma)
{
    double q = -expm1(log_p);
    return gamma * exp(log_p) * pow(q, gamma - 1) * log_p - pow(q, gamma);
}

static AdvStatus grad_ref(const AdvRefCall *c)
{
    const AdvView *z = &c->in[0], *y = &c->in[1], *g = &c->in[2], *gz = &c->out[0];
    for (int64_t i = 0; i < z->dim[0]; i++) {
        double log_sum;
        int64_t label = row(z, y, i, &log_sum);
        if (label < 0) return ADV_EDATA;
        double s = slope(adv_ld(z, i * z->stride[0] + label * z->stride[1]) - log_sum, c->attr[0].f) * adv_ld(g, i * g->stride[0]);
        for (int64_t k = 0; k < z->dim[1]; k++) {
            double p = exp(adv_ld(z, i * z->stride[0] + k * z->stride[1]) - log_sum);
            adv_st(gz, i * gz->stride[0] + k * gz->stride[1], s * ((k == label) - p));
        }
    }
    return ADV_OK;
}

static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    AdvVal in_vals[3] = {g->in[0], g->in[1], g->gout[0]};
    if (g->gout[0].i && g->need[0]) g->gin[0] = adv_ba(b, "focal_grad", in_vals, 3, g->attr);
    return ADV_OK;
}

/* ---- kernels: the same in float, a row at a time ---- */

static bool can(const AdvSig *s, const char **why)
{
    *why = "takes f32 logits and i32 labels without gaps";
    for (uint32_t k = 0; k < s->n_in; k++)
        if (!adv_elem_is_row(&s->in[k]) || s->in[k].dtype != (k == 1 ? ADV_I32 : ADV_F32)) return false;
    return adv_elem_is_row(&s->out[0]);
}

/* log p of the label of row i, and the logarithm of the sum. */
static int32_t fast_row(const AdvLaunch *l, int64_t i, float *log_sum)
{
    int64_t n = l->in[0].dim[1];
    const float *z = (const float *)l->in[0].data + i * n;
    int32_t label = ((const int32_t *)l->in[1].data)[i];
    float top = z[0], sum = 0;
    for (int64_t k = 1; k < n; k++) top = z[k] > top || z[k] != z[k] ? z[k] : top;
    for (int64_t k = 0; k < n; k++) sum += expf(z[k] - top);
    *log_sum = top + logf(sum);
    return label < 0 || label >= n ? -1 : label;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    int64_t n = l->in[0].dim[1];
    (void)state;
    for (int64_t i = 0; i < l->in[0].dim[0]; i++) {
        float log_sum;
        int32_t label = fast_row(l, i, &log_sum);
        if (label < 0) return ADV_EDATA;
        float log_p = ((const float *)l->in[0].data)[i * n + label] - log_sum;
        ((float *)l->out[0].data)[i] = (float)(-pow(-expm1((double)log_p), l->attr[0].f) * (double)log_p);
    }
    return ADV_OK;
}

static AdvStatus grad_run(const AdvLaunch *l, void *state)
{
    int64_t n = l->in[0].dim[1];
    (void)state;
    for (int64_t i = 0; i < l->in[0].dim[0]; i++) {
        float log_sum;
        int32_t label = fast_row(l, i, &log_sum);
        if (label < 0) return ADV_EDATA;
        const float *z = (const float *)l->in[0].data + i * n;
        float *gz = (float *)l->out[0].data + i * n;
        float s = (float)slope((double)(z[label] - log_sum), l->attr[0].f) * ((const float *)l->in[2].data)[i];
        for (int64_t k = 0; k < n; k++) gz[k] = s * ((float)(k == label) - expf(z[k] - log_sum));
    }
    return ADV_OK;
}

/* ---- the plugin ---- */

static const AdvOpDef focal = {ADV_OP_HEADER,
                               .name = "focal",
                               .version = 1,
                               .precision = ADV_PREC_F32,
                               .in = in,
                               .out = out,
                               .attrs = attrs,
                               .infer = infer,
                               .grad = grad,
                               .ref = ref,
                               .doc = "-(1 - p)^gamma * log p, where p is the probability of the label.\n"
                                      "A class out of range stops the run. Lin et al. 2017, equation 5."};
static const AdvOpDef focal_grad = {ADV_OP_HEADER,
                                    .name = "focal_grad",
                                    .version = 1,
                                    .precision = ADV_PREC_F32,
                                    .in = grad_in,
                                    .out = grad_out,
                                    .attrs = attrs,
                                    .infer = grad_infer,
                                    .grad = ADV_GRAD_NEVER,
                                    .ref = grad_ref,
                                    .doc = "Gradient of focal by the logits.\nA class out of range stops the run."};
static const AdvKernel cpu = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "focal", .name = "rows", .op_version = 1, .can = can, .run = run};
static const AdvKernel grad_cpu = {ADV_KERNEL_HEADER, .backend = "cpu", .op = "focal_grad", .name = "rows",
                                   .op_version = 1,   .can = can,       .run = grad_run};

static const AdvOpDef *const ops[] = {&focal, &focal_grad, NULL};
static const AdvKernel *const kernels[] = {&cpu, &grad_cpu, NULL};
static const char *const cases[] = {"focal z=2x3{0,0,0,1,2,3} y=2{0,2} want={0.4882721282969378,0.04567779896788489}",
                                    "focal z=5x10 y=5:class10 gamma=1.5",
                                    "focal z=3x4 y=3{0,1,4} status=edata",
                                    "focal z=3x4 y=4:class4 refuse=one~label",
                                    "focal_grad z=4x7 y=4:class7 g=4",
                                    NULL};

ADV_PLUGIN("focal", "1.0", "focal focal_grad", "", ops, kernels, cases)
