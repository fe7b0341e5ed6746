/* draw.c: random numbers keyed by what they belong to. */
#include "ops/nn/nn.h"
#include "ops/rng.h"

enum { UNIFORM, NORMAL, RADEMACHER, BERNOULLI };

static const AdvPortDef in[] = {{"seed", ADV_PORT_INT, "the run's seed, rank 0"},
                                {"epoch", ADV_PORT_INT, "epoch number, rank 0"},
                                {"ids", ADV_PORT_INT, "sample ids [N], or one number, rank 0"},
                                {"n", ADV_PORT_INT, "turn or draw number, rank 0"},
                                {0}};
static const AdvPortDef out[] = {{"y", ADV_PORT_FLOAT, "[N,dims...], or [dims...] for one id"}, {0}};
static const AdvAttrDef attrs[] = {
    {"dist", ADV_ATTR_ENUM, 0, 0, 3, "uniform|normal|rademacher|bernoulli", "[0,1); mean 0 and variance 1; +1 or -1; 1 or 0"},
    {"p", ADV_ATTR_FLOAT, 0.5, 0, 1, NULL, "bernoulli: probability of a 1"},
    {"purpose", ADV_ATTR_INT, 0, -0x1p63, 0x1p63, NULL, "hash of what the numbers are for; other purposes give unrelated numbers"},
    {"dims", ADV_ATTR_INTS, 0, 1, 0x1p31, NULL, "shape of one sample's numbers, or of all of them for one id"},
    {0}};

static AdvStatus infer(AdvInferCtx *c)
{
    const AdvTensorType *ids = &c->in[2];
    const AdvAttr *dims = &c->attr[3];
    int64_t d[ADV_MAX_RANK], elems = 1;
    uint32_t rank = 0;
    for (int k = 0; k < 4; k++)
        if (c->in[k].rank > (k == 2))
            return c->fail(c, "`draw` needs one seed, one epoch, a list of sample ids and one number, got %s", adv_shape_text(&c->in[k]).s);
    if (dims->n + ids->rank > ADV_MAX_RANK) return c->fail(c, "`draw` makes at most %d dimensions", ADV_MAX_RANK);
    if (ids->rank) d[rank++] = ids->dim[0];
    for (uint32_t i = 0; i < dims->n; i++) {
        d[rank++] = dims->ints[i];
        if (dims->ints[i] > (INT64_C(1) << 34) / elems) return c->fail(c, "`draw` makes at most 2^34 numbers for one id");
        elems *= dims->ints[i];
    }
    c->out[0] = adv_type_make(c->float_dtype, rank, d);
    return ADV_OK;
}

static float number(const AdvRefCall *c, uint64_t key, int64_t id, int64_t element)
{
    AdvPhilox r = adv_rng_quad(key, adv_i64(&c->in[1], 0), id, adv_i64(&c->in[3], 0), (uint32_t)(element >> 2));
    uint32_t k = (uint32_t)(element & 3);
    float pair[2];
    switch (c->attr[0].i) {
    case UNIFORM: return adv_rng_uniform(r.w[k]);
    case RADEMACHER: return adv_rng_rademacher(r.w[k]);
    case BERNOULLI: return adv_rng_bernoulli(r.w[k], c->attr[1].f);
    default: adv_rng_normal2(r.w[k & 2], r.w[k | 1], pair); return pair[k & 1];
    }
}

static AdvStatus ref(const AdvRefCall *c)
{
    const AdvView *ids = &c->in[2], *y = &c->out[0];
    uint64_t key = adv_rng_key(adv_i64(&c->in[0], 0), c->attr[2].i);
    int64_t per_id = adv_view_elems(y), i = 0;
    if (ids->rank) per_id /= ids->dim[0];
    AdvIter it;
    adv_iter_init(&it, y->rank, y->dim);
    adv_iter_add(&it, y);
    for (; it.more; adv_iter_next(&it), i++) {
        int64_t id = adv_i64(ids, ids->rank ? i / per_id * ids->stride[0] : 0);
        adv_st(y, it.at[0], (double)number(c, key, id, i % per_id));
    }
    return ADV_OK;
}

const AdvOpDef adv_op_draw = {
    ADV_OP_HEADER, .name = "draw", .version = 1, .precision = ADV_PREC_F32, .layout = ADV_LAYOUT_OP_ANY, .flags = ADV_OP_RANDOM,
    .in = in, .out = out, .attrs = attrs, .infer = infer, .grad = ADV_GRAD_ZERO, .ref = ref,
    .doc = "Random numbers that are a pure function of (seed, purpose, epoch, id, n, element).\n"
           "Elements count in row order. Philox4x32-10; uniform numbers are multiples of 2^-24, normals are rounded to f32.",
};
