/* random.cu: random numbers (ops/rng.h): a thread four neighbours of a draw, which one Philox counter gives; and the order of an
** epoch.
**
** Seed, epoch, ids and turn are read from memory, as they change while a captured graph is replayed. Expected limit: the arithmetic of
** Philox, about as fast as memory can be written. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/random.h"

/* Offset of element i, counted in row order. */
ADV_DEVICE long long offset_of(const AdvDrawForm &f, long long i)
{
    long long at = 0;
    for (int d = f.rank - 1; d >= 0; d--) {
        at += i % f.dim[d] * f.step[d];
        i /= f.dim[d];
    }
    return at;
}

enum { UNIFORM, NORMAL, RADEMACHER, BERNOULLI };

extern "C" __global__ void adv_draw(AdvDrawForm f, const void *seed, const void *epoch, const void *ids, const void *n, float *y)
{
    long long quads = (f.per_id + 3) / 4, i = adv_thread(), sample = i / quads, first = i % quads * 4;
    if (sample >= f.n_ids) return;
    uint64_t key = adv_rng_key(adv_integer_at(seed, f.is_wide[0], 0), f.purpose);
    AdvPhilox r = adv_rng_quad(key, adv_integer_at(epoch, f.is_wide[1], 0), adv_integer_at(ids, f.is_wide[2], sample * f.id_step),
                               adv_integer_at(n, f.is_wide[3], 0), (uint32_t)(first >> 2));
    float number[4];
    if (f.dist == NORMAL) {
        adv_rng_normal2(r.w[0], r.w[1], number);
        adv_rng_normal2(r.w[2], r.w[3], number + 2);
    } else
        for (int k = 0; k < 4; k++)
            number[k] = f.dist == UNIFORM ? adv_rng_uniform(r.w[k])
                        : f.dist == RADEMACHER ? adv_rng_rademacher(r.w[k]) : adv_rng_bernoulli(r.w[k], f.p);
    for (int k = 0; k < 4 && first + k < f.per_id; k++) y[offset_of(f, sample * f.per_id + first + k)] = number[k];
}

extern "C" __global__ void adv_perm_ids(AdvPermForm f, const void *seed, const void *epoch, const void *step, long long *ids)
{
    long long i = adv_thread();
    if (i >= f.batch) return;
    uint64_t key = adv_rng_epoch_key(adv_integer_at(seed, f.is_wide[0], 0), f.purpose, adv_integer_at(epoch, f.is_wide[1], 0));
    uint64_t at = ((uint64_t)adv_integer_at(step, f.is_wide[2], 0) * (uint64_t)f.batch + (uint64_t)i) % (uint64_t)f.n;
    ids[i * f.id_step] = (long long)adv_rng_permute(key, at, (uint64_t)f.n);
}

ADV_CUDA_TABLE(adv_cuda_fns_random)
ADV_CUDA_FN(adv_draw) ADV_CUDA_FN(adv_perm_ids)
ADV_CUDA_END
