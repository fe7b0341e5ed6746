/* data.c: a reader of data and an augmentation, as ops of a plugin. */
#include "ops/adv_op.h"
#include "ops/rng.h"

/* ---- points: sample `id` of a data set of two Gaussians ---- */

static const AdvPortDef points_in[] = {{"ids", ADV_PORT_INT, "sample ids [N]"}, {NULL, 0, NULL}};
static const AdvPortDef points_out[] = {{"x", ADV_PORT_FLOAT, "points [N,2]"}, {NULL, 0, NULL}};

static AdvStatus points_infer(AdvInferCtx *c)
{
    if (c->in[0].rank != 1) return c->fail(c, "`points` needs one id for each sample");
    c->out[0].dtype = c->float_dtype;
    c->out[0].rank = 2;
    c->out[0].dim[0] = c->in[0].dim[0];
    c->out[0].dim[1] = 2;
    return ADV_OK;
}

static AdvStatus points_ref(const AdvRefCall *c)
{
    const AdvView *ids = &c->in[0], *x = &c->out[0];
    for (int64_t i = 0; i < ids->dim[0]; i++) {
        int64_t id = (int64_t)adv_ld(ids, i * ids->stride[0]);
        float noise[2];
        AdvPhilox r = adv_rng_quad(adv_rng_key(7, 1), 0, id, 0, 0);
        adv_rng_normal2(r.w[0], r.w[1], noise);
        for (int64_t k = 0; k < 2; k++) {
            double v = 0.35 + 0.3 * (double)(id % 2) + 0.1 * (double)noise[k];
            adv_st(x, i * x->stride[0] + k * x->stride[1], v < 0 ? 0 : v > 1 ? 1 : v);
        }
    }
    return ADV_OK;
}

/* ---- shake: every sample moved a little, otherwise in each epoch ---- */

static const AdvPortDef shake_in[] = {{"x", ADV_PORT_FLOAT, "[N,...]"},
                                      {"seed", ADV_PORT_INT, "()"},
                                      {"epoch", ADV_PORT_INT, "()"},
                                      {"ids", ADV_PORT_INT, "[N]"},
                                      {NULL, 0, NULL}};
static const AdvPortDef shake_out[] = {{"y", ADV_PORT_FLOAT, "[N,...]"}, {NULL, 0, NULL}};
static const AdvAttrDef shake_attrs[] = {{"by", ADV_ATTR_FLOAT, 0.01, 0, 1, NULL, "largest move"},
                                         {"purpose", ADV_ATTR_INT, 0, 0, 4503599627370495.0, NULL, "which draw of the recipe"},
                                         {NULL, ADV_ATTR_END, 0, 0, 0, NULL, NULL}};

static AdvStatus shake_infer(AdvInferCtx *c)
{
    if (c->in[0].rank < 1 || c->in[3].rank != 1 || c->in[3].dim[0] != c->in[0].dim[0])
        return c->fail(c, "`shake` needs images and their ids");
    c->out[0] = c->in[0];
    return ADV_OK;
}

static AdvStatus shake_ref(const AdvRefCall *c)
{
    const AdvView *x = &c->in[0], *ids = &c->in[3], *y = &c->out[0];
    int64_t n = x->dim[0], len = adv_elem_count(x) / n;
    uint64_t key = adv_rng_key((int64_t)adv_ld(&c->in[1], 0), c->attr[1].i);
    for (int64_t i = 0; i < n; i++) {
        int64_t id = (int64_t)adv_ld(ids, i * ids->stride[0]);
        AdvPhilox r = adv_rng_quad(key, (int64_t)adv_ld(&c->in[2], 0), id, 0, 0);
        double move = c->attr[0].f * (2 * (double)adv_rng_uniform(r.w[0]) - 1);
        for (int64_t k = 0; k < len; k++) {
            double v = adv_ld(x, adv_elem_at(x, i * len + k)) + move;
            adv_st(y, adv_elem_at(y, i * len + k), v < 0 ? 0 : v > 1 ? 1 : v);
        }
    }
    return ADV_OK;
}

static const AdvOpDef points = {
    ADV_OP_HEADER,         .name = "points",      .version = 1,      .in = points_in,        .out = points_out,
    .infer = points_infer, .grad = ADV_GRAD_ZERO, .ref = points_ref, .flags = ADV_OP_RANDOM, .doc = "Points of two classes, by id."};
static const AdvOpDef shake = {ADV_OP_HEADER,
                               .name = "shake",
                               .version = 1,
                               .in = shake_in,
                               .out = shake_out,
                               .attrs = shake_attrs,
                               .infer = shake_infer,
                               .grad = ADV_GRAD_NEVER,
                               .ref = shake_ref,
                               .flags = ADV_OP_RANDOM,
                               .doc = "Every sample moved by one number within -by .. by."};
static const AdvOpDef *const ops[] = {&points, &shake, NULL};
static const char *const cases[] = {"points ids=5:i64", "shake x=3x4:0..1 seed=() epoch=() ids=3:i64 by=0.1", NULL};

ADV_PLUGIN("data", "1.0", "points shake", "", ops, NULL, cases)
