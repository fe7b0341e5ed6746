/* fuse_head.c: the rules of pass fuse about the end of a network: global mean and last layer, and the gradient back through both.
**
** Two nodes and not one, so that whatever loss stands between them, and whoever else reads the logits, nothing changes here. See fuse.c
** for when a node may be merged away, tests/ir/fuse_head.advg for what comes out.
*/
#include "compiler/pass/fuse.h"

#include "ops/view.h"

/* Weights above which reading all of them for each sample costs more than the launches saved; channels that a kernel keeps at hand. */
enum { MOST_WEIGHTS = 1 << 17, MOST_CHANNELS = 4096 };

/* Is it a*w, or a*w^T where `turned`, w being few weights? */
static bool is_layer(const Fuse *f, AdvNodeId prod, bool turned)
{
    if (!prod.i || !adv_node_is(f->g, prod, "matmul")) return false;
    const AdvAttr *a = adv_node_attr(f->g, prod);
    const AdvTensorType *w = adv_value_type(f->g, fuse_in(f, prod, 1));
    return a[0].i == 0 && (a[1].i != 0) == turned && adv_type_elems(w) <= MOST_WEIGHTS && w->dim[1] <= MOST_CHANNELS;
}

/* v in f32 where a cast to 16 bits made it of that; else v. */
static AdvValueId wider(const Fuse *f, AdvValueId v)
{
    AdvNodeId cast = fuse_made_by(f, v, "cast");
    return cast.i && fuse_has_16_bits(f, v) && adv_value_type(f->g, fuse_in(f, cast, 0))->dtype == ADV_F32 ? fuse_in(f, cast, 0) : v;
}

/* v in 16 bits where a cast widened it from that; else v. */
static AdvValueId narrower(const Fuse *f, AdvValueId v)
{
    AdvNodeId cast = fuse_made_by(f, v, "cast");
    return cast.i && !fuse_has_16_bits(f, v) && fuse_has_16_bits(f, fuse_in(f, cast, 0)) ? fuse_in(f, cast, 0) : v;
}

/* The mean over all places of images, maybe through a cast, that v is for node n alone. */
static AdvNodeId global_mean_of(const Fuse *f, AdvNodeId n, AdvValueId v)
{
    AdvNodeId cast = fuse_only_by(f, n, v, "cast"), none = {0};
    AdvNodeId mean = cast.i ? fuse_only_by(f, cast, fuse_in(f, cast, 0), "mean") : fuse_only_by(f, n, v, "mean");
    if (!mean.i || adv_value_type(f->g, fuse_in(f, mean, 0))->rank != 4) return none;
    const AdvAttr *a = adv_node_attr(f->g, mean);
    return a[0].n == 2 && a[0].ints[0] == 2 && a[0].ints[1] == 3 && a[1].i == 0 ? mean : none;
}

/* matmul(mean(x), w^T), mean over the places; in 16 bits with its casts and a cast to f32 behind it  ->  pool_linear(x, w), which then
** rounds nothing on the way */
bool rule_pool_linear(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    bool is_cast = adv_node_is(g, n, "cast");
    AdvNodeId prod = is_cast ? fuse_only_by(f, n, fuse_in(f, n, 0), "matmul") : n;
    AdvGraphBuild b;
    if (!is_layer(f, prod, true) || fuse_has_16_bits(f, adv_node_out(g, n, 0))) return false;
    if (fuse_has_16_bits(f, adv_node_out(g, prod, 0)) != is_cast) return false;
    AdvNodeId mean = global_mean_of(f, prod, fuse_in(f, prod, 0));
    if (!mean.i) return false;
    AdvValueId x = fuse_in(f, mean, 0), arg[2] = {is_cast ? narrower(f, x) : x, fuse_in(f, prod, 1)};
    if (!fuse_same_dtype(f, arg[0], arg[1])) return false;
    fuse_builder(f, n, prod, mean, &b);
    return fuse_replace(f, n, adv_build_op(&b, "pool_linear", arg, 2, NULL));
}

/* add(pool_linear(x, w), b), or add(b, ..), b [1,K]  ->  pool_linear(x, w, b as [K]) */
bool rule_pool_linear_bias(Fuse *f, AdvNodeId n)
{
    AdvNodeId none = {0};
    if (!adv_node_is(f->g, n, "add")) return false;
    for (uint32_t k = 0; k < 2; k++) {
        AdvValueId y = fuse_in(f, n, k), bias = fuse_in(f, n, 1 - k);
        AdvNodeId layer = fuse_only_by(f, n, y, "pool_linear");
        const AdvTensorType *t = adv_value_type(f->g, bias);
        AdvGraphBuild b;
        if (!layer.i || adv_node(f->g, layer)->n_in != 2 || !fuse_same_dtype(f, y, bias)) continue;
        if (t->rank != 2 || t->dim[0] != 1 || t->dim[1] != adv_value_type(f->g, y)->dim[1]) continue;
        fuse_builder(f, n, layer, none, &b);
        AdvValueId arg[3] = {fuse_in(f, layer, 0), fuse_in(f, layer, 1), fuse_vector_of(f, &b, bias)};
        return fuse_replace(f, n, adv_build_op(&b, "pool_linear", arg, 3, NULL));
    }
    return false;
}

/* The number that mul multiplies with, and in *out_other what. */
static bool number_of(const Fuse *f, AdvNodeId mul, double *out_number, AdvValueId *out_other)
{
    for (uint32_t k = 0; k < 2; k++) {
        *out_other = fuse_in(f, mul, 1 - k);
        if (adv_value_number(f->g, fuse_in(f, mul, k), out_number)) return true;
    }
    return false;
}

/* select(gt(y, 0), reshape(mul(matmul(gy, w), factor)), 0), the product [N,C] as [N,C,1,1]  ->  pool_linear_gx(gy, w, y) {factor} */
bool rule_pool_linear_gx(Fuse *f, AdvNodeId n)
{
    AdvGraph *g = f->g;
    AdvAttr factor = adv_attr_f(1);
    AdvNodeId mask = fuse_relu_mask(f, n);
    AdvNodeId view = mask.i ? fuse_only_by(f, n, fuse_in(f, n, 1), "reshape") : mask;
    AdvGraphBuild b;
    if (!view.i) return false;
    AdvValueId y = fuse_in(f, mask, 0), v = fuse_in(f, view, 0);
    const AdvTensorType *t = adv_value_type(g, fuse_in(f, n, 1)), *image = adv_value_type(g, y), *flat = adv_value_type(g, v);
    if (image->rank != 4 || flat->rank != 2 || flat->dim[0] != image->dim[0] || flat->dim[1] != image->dim[1]) return false;
    if (t->rank != 4 || t->dim[0] != image->dim[0] || t->dim[1] != image->dim[1]) return false;
    if (!fuse_same_shape(f, y, adv_node_out(g, n, 0))) return false;
    AdvNodeId mul = fuse_only_by(f, view, v, "mul");
    if (mul.i && !number_of(f, mul, &factor.f, &v)) return false;
    AdvNodeId prod = fuse_only_by(f, mul.i ? mul : view, v, "matmul");
    if (!is_layer(f, prod, false) || !fuse_same_dtype(f, y, fuse_in(f, prod, 1))) return false;
    fuse_builder(f, n, mask, prod, &b);
    AdvValueId arg[3] = {wider(f, fuse_in(f, prod, 0)), fuse_in(f, prod, 1), y};
    return fuse_replace(f, n, adv_build_op(&b, "pool_linear_gx", arg, 3, &factor));
}

/* mul(pool_linear_gx(gy, w, y), s), or mul(s, ..), s a number for each channel  ->  pool_linear_gx(gy, w, y, s) */
bool rule_pool_linear_gx_scale(Fuse *f, AdvNodeId n)
{
    AdvNodeId none = {0};
    if (!adv_node_is(f->g, n, "mul")) return false;
    for (uint32_t k = 0; k < 2; k++) {
        AdvNodeId gx = fuse_only_by(f, n, fuse_in(f, n, k), "pool_linear_gx");
        AdvGraphBuild b;
        if (!gx.i || adv_node(f->g, gx)->n_in != 3 || !fuse_is_by_channel(f, fuse_in(f, n, 1 - k), fuse_in(f, n, k))) continue;
        fuse_builder(f, n, gx, none, &b);
        AdvValueId arg[4] = {fuse_in(f, gx, 0), fuse_in(f, gx, 1), fuse_in(f, gx, 2), fuse_vector_of(f, &b, fuse_in(f, n, 1 - k))};
        AdvAttr factor = adv_node_attr(f->g, gx)[0];
        return fuse_replace(f, n, adv_build_op(&b, "pool_linear_gx", arg, 4, &factor));
    }
    return false;
}
