/* geometry.c: grids, packs and nests. */
#include "ops/cuda/geometry.h"

#include "ops/cuda/conv.h"

#include <assert.h>

#define MAX_BLOCKS 0x7fffffffu
#define MAX_SHARED (48u << 10) /* bytes that a block may have without asking */

AdvCudaGrid adv_cuda_grid_blocks(uint64_t n, uint32_t block)
{
    AdvCudaGrid g = {{1, 1, 1}, {1, 1, 1}, 0};
    assert(block > 0 && block <= 1024 && n <= MAX_BLOCKS);
    g.grid.x = (unsigned)n;
    g.block.x = block;
    return g;
}

AdvCudaGrid adv_cuda_grid_x(uint64_t n, uint32_t block) { return adv_cuda_grid_blocks(n / block + (n % block != 0), block); }

uint32_t adv_cuda_pow2(uint64_t n, uint32_t most)
{
    uint32_t p = 1;
    while (p < most && p < n) p *= 2;
    return p;
}

static bool packs(uint32_t rank, const int64_t *stride, bool may_repeat, int64_t at, uint32_t n)
{
    int64_t inner = stride[rank - 1];
    if (inner == 0 && may_repeat) return true;
    if (inner != 1 || at % n != 0) return false;
    for (uint32_t d = 0; d + 1 < rank; d++)
        if (stride[d] % n != 0) return false;
    return true;
}

uint32_t adv_cuda_pack(uint32_t rank, const int64_t *dim, int64_t (*stride)[ADV_MAX_RANK], uint32_t n_views, const int64_t *at,
                       uint32_t most)
{
    for (uint32_t n = most; n > 1; n /= 2) {
        bool ok = rank == 1 || dim[rank - 1] % n == 0;
        for (uint32_t k = 0; k < n_views; k++) ok = ok && packs(rank, stride[k], k > 0, at ? at[k] : 0, n);
        if (ok) return n;
    }
    return 1;
}

bool adv_cuda_narrow(uint64_t lines, uint64_t columns, uint64_t n_groups, uint64_t n_floats, uint32_t *out_runs, uint32_t *out_lanes,
                     AdvCudaGrid *out)
{
    uint64_t runs = (columns + ADV_NARROW_RUN - 1) / ADV_NARROW_RUN, lanes = adv_cuda_pow2(n_groups, ADV_NARROW_LANES);
    uint64_t most = (UINT32_MAX - ADV_CUDA_BLOCK) / lanes;
    if (n_floats > MAX_SHARED / sizeof(float) || runs > most || lines > most / (runs ? runs : 1)) return false;
    *out_runs = (uint32_t)runs;
    *out_lanes = (uint32_t)lanes;
    *out = adv_cuda_grid_x(lines * runs * lanes, ADV_CUDA_BLOCK);
    out->shared_bytes = (uint32_t)(n_floats * sizeof(float));
    return true;
}

bool adv_cuda_wgmma(int64_t n, int64_t h, int64_t w, int64_t n_c, int64_t n_k, AdvWgmmaForm *out)
{
    int64_t tiles_h = (h + ADV_WGMMA_SIDE - 1) / ADV_WGMMA_SIDE, tiles_w = (w + ADV_WGMMA_SIDE - 1) / ADV_WGMMA_SIDE;
    int64_t tiles_c = n_k / ADV_WGMMA_CHANNELS, places = tiles_h * tiles_w * ADV_WGMMA_SIDE * ADV_WGMMA_SIDE;
    if (places == 0 || 4 * h * w < 3 * places || n > INT32_MAX / (tiles_h * tiles_w * tiles_c)) return false;
    *out = (AdvWgmmaForm){.n = (int)n, .h = (int)h, .w = (int)w, .c = (int)n_c, .k = (int)n_k, .parts = (int)(n_c / ADV_WGMMA_PART),
                          .tiles_h = (int)tiles_h, .tiles_w = (int)tiles_w, .tiles_c = (int)tiles_c,
                          .n_tiles = (int)(n * tiles_h * tiles_w * tiles_c)};
    return true;
}

AdvCudaNest adv_cuda_nest(const AdvLoop *l)
{
    AdvCudaNest n = {.rank = (int)l->rank};
    assert(l->n_views <= 3);
    for (uint32_t d = 0; d < l->rank; d++) {
        n.dim[d] = l->dim[d];
        for (uint32_t k = 0; k < l->n_views; k++) n.stride[k][d] = l->stride[k][d];
    }
    return n;
}

int64_t adv_cuda_nest_elems(const AdvLoop *l)
{
    int64_t n = 1;
    for (uint32_t d = 0; d < l->rank; d++) n *= l->dim[d];
    return n;
}
