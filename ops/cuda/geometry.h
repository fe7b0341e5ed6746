/* geometry.h: how work is cut into threads, blocks and packs. Host code without a device: tests/cuda/test_cuda_geometry.c.
**
** A grid takes 2^31-1 blocks along x and 65535 along y and z; a block 1024 threads. Counts are 64 bit everywhere.
*/
#ifndef ADV_OPS_CUDA_GEOMETRY_H
#define ADV_OPS_CUDA_GEOMETRY_H

#include "ops/cuda/conv.h"
#include "ops/cuda/cuda.h"
#include "ops/loop.h"

#define ADV_CUDA_BLOCK 256 /* threads of a block where nothing asks for another number */

/* n threads along x in blocks of `block`, the last one rounded up. n = 0: no blocks, which is no launch. */
AdvCudaGrid adv_cuda_grid_x(uint64_t n, uint32_t block);

/* n blocks of `block` threads. */
AdvCudaGrid adv_cuda_grid_blocks(uint64_t n, uint32_t block);

/* Smallest power of two that is at least n, and at most `most` (a power of two). */
uint32_t adv_cuda_pow2(uint64_t n, uint32_t most);

/* Elements that a thread may take at once: the largest power of two <= most by which every view of a nest (adv_loop_nest) can be
** read or written as aligned packs. Along the last dimension a view steps by 1 (packs) or, but for view 0, by 0 (one number for
** all); all else that it steps by is a multiple of the pack. With one dimension there may be a rest, which the kernel takes one by
** one. at[k]: offset of view k in elements from an address that is a multiple of 16 bytes; NULL: all 0. */
uint32_t adv_cuda_pack(uint32_t rank, const int64_t *dim, int64_t (*stride)[ADV_MAX_RANK], uint32_t n_views, const int64_t *at,
                       uint32_t most);

/* How narrow.cu cuts `lines` rows (of all samples) of `columns` places: into runs of ADV_NARROW_RUN along a row, each shared by `lanes`
** threads, which deal the groups of 16 bytes of channels of the wide side among them. n_floats: weights in shared memory. False: they
** need more than the 48 KiB that every launch may have, or there are more threads than 32 bits count. */
bool adv_cuda_narrow(uint64_t lines, uint64_t columns, uint64_t n_groups, uint64_t n_floats, uint32_t *out_runs, uint32_t *out_lanes,
                     AdvCudaGrid *out);

/* How wgmma.cu cuts a result of n samples, h lines of w places and n_k channels, each a sum over n_c channels. False: more than a quarter
** of the tiles would be empty, or there are more tiles than 31 bits count. */
bool adv_cuda_wgmma(int64_t n, int64_t h, int64_t w, int64_t n_c, int64_t n_k, AdvWgmmaForm *out);

/* AdvNest of device.cuh. */
typedef struct AdvCudaNest {
    int rank;
    long long dim[ADV_MAX_RANK], stride[3][ADV_MAX_RANK];
} AdvCudaNest;

/* The same nest as a launch argument; at most 3 views. */
AdvCudaNest adv_cuda_nest(const AdvLoop *l);

/* Elements of a nest. */
int64_t adv_cuda_nest_elems(const AdvLoop *l);

#endif
