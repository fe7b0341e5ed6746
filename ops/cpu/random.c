/* random.c: draws and orders. The generator and what makes normals of its words run for BLOCK counters at once, in vectors: about 1 ns
** a number, 2 ns a normal (in double, so that every back end gets the same numbers).
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/rng.h"

#include <string.h>

#define BLOCK 64 /* quads at a time */

enum { UNIFORM, NORMAL, RADEMACHER, BERNOULLI };

typedef struct Words { uint32_t w[4][BLOCK]; } Words;

typedef struct Key {
    uint64_t key;
    int64_t epoch, turn, dist;
    double p;
} Key;

/* Words of quads first .. first+BLOCK-1. */
ADV_CLONES static void make_words(Words *to, uint64_t key, int64_t epoch, int64_t id, int64_t turn, uint32_t first)
{
    ADV_OMP(simd)
    for (uint32_t q = 0; q < BLOCK; q++) {
        AdvPhilox r = adv_rng_quad(key, epoch, id, turn, first + q);
        to->w[0][q] = r.w[0], to->w[1][q] = r.w[1], to->w[2][q] = r.w[2], to->w[3][q] = r.w[3];
    }
}

#define EACH(expr) \
    for (int k = 0; k < 4; k++) \
        for (int q = 0; q < BLOCK; q++) out[4 * q + k] = expr

/* The numbers of a block, in order. */
ADV_CLONES static void make_numbers(const Words *in, int64_t dist, double p, float out[4 * BLOCK])
{
    switch (dist) {
    case UNIFORM: EACH(adv_rng_uniform(in->w[k][q])); break;
    case RADEMACHER: EACH(adv_rng_rademacher(in->w[k][q])); break;
    case BERNOULLI: EACH(adv_rng_bernoulli(in->w[k][q], p)); break;
    default:
        for (int k = 0; k < 4; k += 2) {
            ADV_OMP(simd)
            for (int q = 0; q < BLOCK; q++) adv_rng_normal2(in->w[k][q], in->w[k + 1][q], out + 4 * q + k);
        }
    }
}

/* Elements first .. first+n-1, in row order, of one id's part of y (its dims from first_dim on). */
static void store(const AdvView *y, uint32_t first_dim, float *to, int64_t first, int64_t n, const float *v)
{
    int64_t ix[ADV_MAX_RANK], at = 0;
    for (uint32_t d = y->rank; d-- > first_dim;) {
        ix[d] = first % y->dim[d];
        first /= y->dim[d];
        at += ix[d] * y->stride[d];
    }
    for (int64_t i = 0; i < n; i++) {
        to[at] = v[i];
        for (uint32_t d = y->rank; d-- > first_dim;) {
            at += y->stride[d];
            if (++ix[d] < y->dim[d]) break;
            at -= ix[d] * y->stride[d];
            ix[d] = 0;
        }
    }
}

static AdvStatus run_draw(const AdvLaunch *l, void *state)
{
    const AdvView *ids = &l->in[2], *y = &l->out[0];
    int64_t n_ids = ids->rank ? ids->dim[0] : 1, per_id = adv_view_elems(y) / n_ids, n_blocks = (per_id + 4 * BLOCK - 1) / (4 * BLOCK);
    Key key = {adv_rng_key(adv_i64(&l->in[0], 0), l->attr[2].i), adv_i64(&l->in[1], 0), adv_i64(&l->in[3], 0), l->attr[0].i,
               l->attr[1].f};
    bool is_row = adv_view_is_row(y) != 0;
    int n_threads = adv_cpu_threads(l->n_threads, n_ids * per_id * 4);
    (void)state, (void)n_threads;
    ADV_OMP(parallel for schedule(static) num_threads(n_threads))
    for (int64_t job = 0; job < n_ids * n_blocks; job++) {
        int64_t i = job / n_blocks, first = job % n_blocks * 4 * BLOCK, n = adv_min_i64(4 * BLOCK, per_id - first);
        float v[4 * BLOCK], *to = (float *)y->data + (ids->rank ? i * y->stride[0] : 0);
        Words words;
        make_words(&words, key.key, key.epoch, adv_i64(ids, ids->rank ? i * ids->stride[0] : 0), key.turn, (uint32_t)(first / 4));
        make_numbers(&words, key.dist, key.p, v);
        if (is_row) memcpy(to + first, v, (size_t)n * sizeof *v);
        else store(y, ids->rank, to, first, n, v);
    }
    return ADV_OK;
}

static AdvStatus run_perm_ids(const AdvLaunch *l, void *state)
{
    const AdvView *y = &l->out[0];
    uint64_t n = (uint64_t)l->attr[0].i, key = adv_rng_epoch_key(adv_i64(&l->in[0], 0), l->attr[2].i, adv_i64(&l->in[1], 0));
    uint64_t first = (uint64_t)adv_i64(&l->in[2], 0) * (uint64_t)l->attr[1].i;
    (void)state;
    for (int64_t i = 0; i < l->attr[1].i; i++)
        ((int64_t *)y->data)[i * y->stride[0]] = (int64_t)adv_rng_permute(key, (first + (uint64_t)i) % n, n);
    return ADV_OK;
}

static AdvStatus run_iota(const AdvLaunch *l, void *state)
{
    (void)state;
    for (int64_t i = 0; i < l->attr[0].i; i++) ((int64_t *)l->out[0].data)[i * l->out[0].stride[0]] = i;
    return ADV_OK;
}

#define RANDOM(op_name) \
    const AdvKernel adv_k_cpu_##op_name##_f32 = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "f32", .op_version = 1, \
                                                 .can = adv_sig_f32, .run = run_##op_name};
RANDOM(draw)
RANDOM(perm_ids)
RANDOM(iota)
