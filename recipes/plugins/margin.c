/* margin.c: a budget signal as a plugin: how near a sample is to the decision boundary, with a temperature.
**
**   cc -shared -fPIC -fno-plt -O3 $(pkg-config --cflags adv) margin.c -o libmargin.so -lm
**
** Two ops. `t_margin` is the difference of the probabilities of the label and of the best other class, of logits divided by a
** temperature: in -1 .. 1, below 0 where the network is wrong. Its gradient is a graph of built-in ops. `squash` is elementwise, a
** row: it has no kernel of its own and still joins fused groups.
*/
#define MARGIN_ROWS(EW1, EW2, EW3)                                                                                                         \
    EW2(squash, FLOATS, F32, 0, "a/(1 + b*|a|): a bent towards 0, the more so the larger b.", a / (K(1) + b * M(fabs)(a)),                 \
        N2(div, G, N2(mul, N2(add, NUM(1), N2(mul, X2, N1(abs, X1))), N2(add, NUM(1), N2(mul, X2, N1(abs, X1))))),                         \
        N1(neg, N2(mul, G, N2(mul, N1(sign, X1), N2(mul, Y, Y)))))
#define ADV_PLUGIN_ROWS MARGIN_ROWS
#include "ops/adv_op.h"

/* ---- t_margin: shape rule, definition, gradient ---- */

static const AdvPortDef in[] = {{"z", ADV_PORT_FLOAT, "logits [N,K]"}, {"y", ADV_PORT_INT, "labels [N]"}, {NULL, 0, NULL}};
static const AdvPortDef out[] = {{"m", ADV_PORT_FLOAT, "margin [N]"}, {NULL, 0, NULL}};
static const AdvAttrDef attrs[] = {{"temperature", ADV_ATTR_FLOAT, 1, 1e-3, 1e3, NULL, "divides the logits"},
                                   {NULL, ADV_ATTR_END, 0, 0, 0, NULL, NULL}};

static AdvStatus infer(AdvInferCtx *c)
{
    if (c->in[0].rank != 2 || c->in[1].rank != 1 || c->in[0].dim[0] != c->in[1].dim[0])
        return c->fail(c, "`t_margin` needs logits [N,K] and one label for each of the N");
    c->out[0] = c->in[1];
    c->out[0].dtype = c->in[0].dtype;
    return ADV_OK;
}

/* Probability of the label minus the largest other one. */
static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *z = &c->in[0], *y = &c->in[1], *m = &c->out[0];
    int64_t n_classes = z->dim[1];
    for (int64_t i = 0; i < z->dim[0]; i++) {
        int64_t label = (int64_t)adv_ld(y, i * y->stride[0]);
        double top = -INFINITY, sum = 0, own = 0, other = 0;
        for (int64_t k = 0; k < n_classes; k++) top = fmax(top, adv_ld(z, i * z->stride[0] + k * z->stride[1]));
        for (int64_t k = 0; k < n_classes; k++) {
            double e = exp((adv_ld(z, i * z->stride[0] + k * z->stride[1]) - top) / c->attr[0].f);
            sum += e;
            if (k == label)
                own = e;
            else if (e > other || e != e)
                other = e;
        }
        adv_st(m, i * m->stride[0], (own - other) / sum);
    }
    return ADV_OK;
}

/* With p = softmax(z/T), label y and best other class o: the gradient by p is g at y and -g at o, and that by z is
** p*(gp - sum(gp*p))/T. All of it is built-in ops, so it is differentiated, fused and run on every back end as they are. */
static AdvStatus grad(AdvBuild *b, const AdvGradCtx *g)
{
    static const int64_t classes = 1;
    AdvVal z = g->in[0], p, at[2], gp;
    AdvAttr none = adv_attr_f(-1), sum[2], n_classes;
    if (!g->gout[0].i || !g->need[0]) return ADV_OK;
    n_classes = adv_attr_i(b->type(b, z)->dim[1]);
    p = adv_b1(b, "softmax", adv_b2(b, "div", z, adv_val_number(b, g->attr[0].f, z)));
    at[0] = p, at[1] = g->in[1];
    AdvVal others = adv_ba(b, "put", at, 2, &none), best = adv_b1(b, "argmax", others);
    at[0] = g->gout[0];
    gp = adv_ba(b, "unpick", at, 2, &n_classes);
    at[1] = best;
    gp = adv_b2(b, "sub", gp, adv_ba(b, "unpick", at, 2, &n_classes));
    sum[0] = adv_attr_ints(&classes, 1), sum[1] = adv_attr_i(1);
    AdvVal weighted = adv_b2(b, "mul", gp, p), mean = adv_ba(b, "sum", &weighted, 1, sum);
    g->gin[0] = adv_b2(b, "div", adv_b2(b, "mul", p, adv_b2(b, "sub", gp, mean)), adv_val_number(b, g->attr[0].f, z));
    return ADV_OK;
}

static const AdvOpDef t_margin = {
    ADV_OP_HEADER,
    .name = "t_margin",
    .version = 1,
    .precision = ADV_PREC_F32,
    .in = in,
    .out = out,
    .attrs = attrs,
    .infer = infer,
    .grad = grad,
    .ref = ref,
    .doc = "Probability of the label minus the largest other one, of logits divided by a temperature.\n"
           "In -1 .. 1; below 0 where the sample is misclassified. At a tie of the other classes the gradient goes to the lowest."};

static const AdvOpDef *const ops[] = {&adv_op_squash, &t_margin, NULL};

/* What `advplugin test` runs: the lines are those of the engine's own tests. The first has a known answer. */
static const char *const cases[] = {"t_margin z=2x4{2,0,0.5,-1,0,3,0.25,-0.5} y=2{0,3} want={0.5516552133711945,-0.8477945429549006}",
                                    "t_margin z=5x10 y=5:class10 temperature=2",
                                    "t_margin z=1x3 y=1:class3",
                                    "t_margin z=4x3 y=5:class3 refuse=one~label",
                                    "squash a=3{2,-1,0} b=(){1} want={0.6666666666666667,-0.5,0} nofd=bent~at~0",
                                    "squash a=3x5 b=1x5:0..2",
                                    NULL};

ADV_PLUGIN("margin", "1.0", "squash t_margin", "", ops, NULL, cases)
