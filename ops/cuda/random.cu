/* random.cu: random numbers (ops/rng.h): a thread four neighbours of a draw, which one Philox counter gives; and the order of an
** epoch.
**
** Neighbours in a sample are numbered in row order, wherever they lie. A sample in rows is written 16 bytes a thread. Of images whose
** channels lie together, neighbouring threads take neighbouring channels of the same four places; with three channels, a thread takes
** all of them, which are three times 16 bytes. All else is written one by one.
**
** Seed, epoch, ids and turn are read from memory, as they change while a captured graph is replayed. Expected limit: the arithmetic of
** Philox, about as fast as memory can be written. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/random.h"

enum { UNIFORM, NORMAL, RADEMACHER, BERNOULLI };

/* What all numbers of a launch share. */
struct Draw { uint64_t key; long long epoch, n; const void *ids; };

ADV_DEVICE Draw draw_of(const AdvDrawForm &f, const void *seed, const void *epoch, const void *ids, const void *n)
{
    Draw d = {adv_rng_key(adv_integer_at(seed, f.is_wide[0], 0), f.purpose), adv_integer_at(epoch, f.is_wide[1], 0),
              adv_integer_at(n, f.is_wide[3], 0), ids};
    return d;
}

/* Numbers 4*quad and on of a sample. */
ADV_DEVICE AdvPack<float, 4> four(const AdvDrawForm &f, const Draw &d, long long sample, long long quad)
{
    AdvPhilox r = adv_rng_quad(d.key, d.epoch, adv_integer_at(d.ids, f.is_wide[2], sample * f.id_step), d.n, (uint32_t)quad);
    AdvPack<float, 4> x;
    if (f.dist == NORMAL) {
        adv_rng_normal2(r.w[0], r.w[1], x.v);
        adv_rng_normal2(r.w[2], r.w[3], x.v + 2);
        return x;
    }
    ADV_UNROLL(4)
    for (int k = 0; k < 4; k++)
        x.v[k] = f.dist == UNIFORM ? adv_rng_uniform(r.w[k])
                 : f.dist == RADEMACHER ? adv_rng_rademacher(r.w[k]) : adv_rng_bernoulli(r.w[k], f.p);
    return x;
}

/* i / d, and what is left in *out_rest: in 32 bits where all threads of the launch can be counted so. */
ADV_DEVICE long long split(const AdvDrawForm &f, long long i, long long d, long long *out_rest)
{
    long long q = f.n_threads <= 0xffffffffLL ? (long long)((unsigned)i / (unsigned)d) : i / d;
    *out_rest = i - q * d;
    return q;
}

/* In any order. */
ADV_DEVICE void draw_any(const AdvDrawForm &f, const AdvNest &nest, const Draw &d, long long i, float *y)
{
    long long quad, sample = split(f, i, f.quads, &quad), at = sample * f.per_id + quad * 4;
    AdvPack<float, 4> x = four(f, d, sample, quad);
    ADV_UNROLL(4)
    for (int k = 0; k < 4; k++)
        if (quad * 4 + k < f.per_id) y[adv_nest_at(nest, 0, at + k)] = x.v[k];
}

/* In rows without gaps, whose numbers are a multiple of four. */
ADV_DEVICE void draw_rows(const AdvDrawForm &f, const AdvNest &, const Draw &d, long long i, float *y)
{
    long long quad, sample = split(f, i, f.quads, &quad);
    adv_store<4>(y + i * 4, four(f, d, sample, quad));
}

/* A nest of samples, channels that lie together, and places, a multiple of four. */
ADV_DEVICE void draw_channels(const AdvDrawForm &f, const AdvNest &nest, const Draw &d, long long i, float *y)
{
    long long c, place, sample = split(f, split(f, i, nest.dim[1], &c), nest.dim[2] / 4, &place), step = nest.stride[0][2];
    AdvPack<float, 4> x = four(f, d, sample, c * (nest.dim[2] / 4) + place);
    y += sample * nest.stride[0][0] + place * 4 * step + c;
    ADV_UNROLL(4)
    for (int k = 0; k < 4; k++) y[k * step] = x.v[k];
}

/* The same for three channels and no gap between places. */
ADV_DEVICE void draw_colours(const AdvDrawForm &f, const AdvNest &nest, const Draw &d, long long i, float *y)
{
    long long place, quads = nest.dim[2] / 4, sample = split(f, i, quads, &place);
    AdvPack<float, 12> x;
    ADV_UNROLL(3)
    for (int c = 0; c < 3; c++) {
        AdvPack<float, 4> of_channel = four(f, d, sample, c * quads + place);
        ADV_UNROLL(4)
        for (int k = 0; k < 4; k++) x.v[k * 3 + c] = of_channel.v[k];
    }
    adv_store<12>(y + sample * nest.stride[0][0] + place * 12, x);
}

#define DRAW(way) \
    extern "C" __global__ void adv_draw_##way(AdvDrawForm f, AdvNest nest, const void *seed, const void *epoch, const void *ids, \
                                              const void *n, float *y) \
    { \
        long long i = adv_thread(); \
        if (i < f.n_threads) draw_##way(f, nest, draw_of(f, seed, epoch, ids, n), i, y); \
    }
DRAW(any)
DRAW(rows)
DRAW(channels)
DRAW(colours)

extern "C" __global__ void adv_perm_ids(AdvPermForm f, const void *seed, const void *epoch, const void *step, long long *ids)
{
    long long i = adv_thread();
    if (i >= f.batch) return;
    uint64_t key = adv_rng_epoch_key(adv_integer_at(seed, f.is_wide[0], 0), f.purpose, adv_integer_at(epoch, f.is_wide[1], 0));
    uint64_t at = ((uint64_t)adv_integer_at(step, f.is_wide[2], 0) * (uint64_t)f.batch + (uint64_t)i) % (uint64_t)f.n;
    ids[i * f.id_step] = (long long)adv_rng_permute(key, at, (uint64_t)f.n);
}

ADV_CUDA_TABLE(adv_cuda_fns_random)
ADV_CUDA_FN(adv_draw_any) ADV_CUDA_FN(adv_draw_rows) ADV_CUDA_FN(adv_draw_channels) ADV_CUDA_FN(adv_draw_colours) ADV_CUDA_FN(adv_perm_ids)
ADV_CUDA_END
