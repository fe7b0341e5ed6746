/* wgmma.cu: 3x3 convolutions in bf16 on the matrix units of compute capability 9.0, for multiples of 160 channels of the result.
**
** Libraries cut a result in tiles of 64, 128 or 256 channels, which leaves a fifth of the units idle at 160 (Wide ResNets), and an epilogue
** in their kernels costs as much again as a pass of its own. Here a tile is 16x16 places of an image and 160 channels:
**   rows      places of the tile. The image's 18x18 around it, 32 channels at a time, lie in shared memory, once for all nine places of
**             the window: each warp takes its rows from there into registers, from wherever the window is.
**   columns   channels of the result. Their weights for a place of the window and 32 channels are what the unit reads by itself, as they
**             lie in memory: forward an output channel is a row of them, by image an input channel a column.
**   end       all that is done to a result (AdvConvEnd), after the numbers of a warp have gone through shared memory, so that a thread has
**             16 bytes of a place and a warp reads and writes them side by side.
** A block takes tile after tile; while the units work, 256 threads fetch what comes AHEAD steps later, across tiles, and towards the end of
** a tile bring what its end will read into the second-level cache. A step is a place of the
** window and 32 channels: four products of each warpgroup, which has 8 lines of the tile.
** Sums are f32, and their order is that of the steps, whatever the launch.
** Expected limit: matrix units. Per tile of 160 to 160 channels they take 28,800 cycles at their peak, meanwhile shared memory is read at
** 110 of 128 bytes a cycle and written, and 0.57 MB come from the second-level cache. The end, 82 kB for each tensor it reads or writes, is
** not hidden: 3,000 to 8,000 cycles. 128 images of 32x32: 512 tiles, 66 us at the peak, 85 to 115 us expected of an H200.
** Nothing here has been measured on a device yet.
*/
#include "ops/cuda/wgmma.cuh"

#include "ops/cuda/conv_end.cuh"

#if defined(ADV_CUDA_SHIM) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

enum {
    SIDE = ADV_WGMMA_SIDE, AROUND = SIDE + 2, N = ADV_WGMMA_CHANNELS, PART = ADV_WGMMA_PART, TAPS = 9,
    PLACE_BYTES = 2 * PART + 16, /* so that eight neighbours lie in different banks */
    IMAGE_BYTES = AROUND * AROUND * PLACE_BYTES, WEIGHT_BYTES = N * 2 * PART,
    STAGES = ADV_WGMMA_STAGES, AHEAD = STAGES - 2,
    PITCH = N + 8, /* floats of a place in a warp's room: writing meets no bank twice */
    END_BYTES = ADV_WGMMA_THREADS / 32 * SIDE * PITCH * 4,
    IMAGE_PIECES = AROUND * AROUND * 4, WEIGHT_PIECES = N * 4, /* of 16 bytes */
    IMAGE_TURNS = 3, IMAGE_TURN = 2 * ADV_WGMMA_THREADS        /* steps that share the fetching of an image; pieces of each */
};
static_assert(IMAGE_TURNS * IMAGE_TURN >= IMAGE_PIECES, "all of it");
static_assert(WEIGHT_BYTES % 1024 == 0, "each stage is aligned as the units want it");
static_assert(1024 + STAGES * WEIGHT_BYTES + 2 * IMAGE_BYTES + END_BYTES <= ADV_WGMMA_SHARED, "what the host asks for");
static_assert(AHEAD + IMAGE_TURNS - 1 <= TAPS, "an image asked for when the one before it begins is there in time");

/* A step of a block: its tile and the first channel of that, which PART of the channels, which place of the window. */
struct Step { int tile, channel, part, tap; };

ADV_DEVICE void next(const AdvWgmmaForm &f, Step *s)
{
    if (++s->tap < TAPS) return;
    s->tap = 0;
    if (++s->part < f.parts) return;
    s->part = 0;
    s->tile += (int)gridDim.x;
    s->channel = s->tile % f.tiles_c * N;
}

/* Sample, first line and column of a tile. */
struct Tile { int n, h, w; };

ADV_DEVICE Tile tile_of(const AdvWgmmaForm &f, int i)
{
    Tile t;
    i /= f.tiles_c;
    t.w = i % f.tiles_w * SIDE, i /= f.tiles_w;
    t.h = i % f.tiles_h * SIDE, t.n = i / f.tiles_h;
    return t;
}

/* ---- fetching --------------------------------------------------------------------------------------------------------- */

/* PART channels of the places around a tile: pieces from `first` to `end` - 1. */
ADV_DEVICE void fetch_image(const AdvWgmmaForm &f, const AdvBf16 *x, const Step &s, unsigned to, int first, int end)
{
    Tile t = tile_of(f, s.tile);
    ADV_UNROLL(1)
    for (int i = first + (int)threadIdx.x; i < end && i < IMAGE_PIECES; i += ADV_WGMMA_THREADS) {
        int place = i / 4, piece = i % 4, h = t.h - 1 + place / AROUND, w = t.w - 1 + place % AROUND;
        bool is_there = h >= 0 && h < f.h && w >= 0 && w < f.w;
        const AdvBf16 *from = x + (((long long)t.n * f.h + h) * f.w + w) * f.c + s.part * PART + piece * 8;
        adv_copy16(to + (unsigned)(place * PLACE_BYTES + piece * 16), is_there ? from : x, is_there);
    }
}

/* The weights of a step. Forward they are [result's channel][tap][c], by image [c][tap][result's channel], turned. */
template <bool BY_IMAGE> ADV_DEVICE void fetch_weights(const AdvWgmmaForm &f, const AdvBf16 *w, const Step &s, unsigned to)
{
    ADV_UNROLL(1)
    for (int i = (int)threadIdx.x; i < WEIGHT_PIECES; i += ADV_WGMMA_THREADS) {
        unsigned at;
        const AdvBf16 *from;
        if (BY_IMAGE) {
            int c = i / (N / 8), piece = i % (N / 8);
            at = (unsigned)(piece / 4 * (PART * 64) + c * 64 + piece % 4 * 16);
            from = w + ((long long)(s.part * PART + c) * TAPS + TAPS - 1 - s.tap) * f.k + s.channel + piece * 8;
        } else {
            int k = i / 4, piece = i % 4;
            at = (unsigned)(k * 64 + piece * 16);
            from = w + ((long long)(s.channel + k) * TAPS + s.tap) * f.c + s.part * PART + piece * 8;
        }
        adv_copy16(to + adv_columns_at(at), from, true);
    }
}

/* What the end will read of a tile: a thread has a place. */
ADV_DEVICE void fetch_operands(const AdvWgmmaForm &f, const AdvConvEnd &e, const Step &s)
{
    Tile t = tile_of(f, s.tile);
    int h = t.h + (int)threadIdx.x / SIDE, w = t.w + (int)threadIdx.x % SIDE;
    if (h >= f.h || w >= f.w) return;
    long long at = (((long long)t.n * f.h + h) * f.w + w) * f.k + s.channel;
    ADV_UNROLL(3)
    for (int i = 0; i < N; i += 64) { /* 128 bytes */
        if (e.sum) adv_prefetch((const AdvBf16 *)e.sum + at + i);
        if (e.mask) adv_prefetch((const AdvBf16 *)e.mask + at + i);
    }
}

/* ---- the end ---------------------------------------------------------------------------------------------------------- */

/* A line of the tile, which is what the four warps of a warpgroup have of 64 places each; d is this thread's share of it. `own` is room of
** the warp: numbers go through it, so that a thread has 8 channels of a place, and neighbours have neighbours. */
ADV_DEVICE void put_line(const AdvWgmmaForm &f, const AdvConvEnd &e, AdvBf16 *y, const Tile &t, int channel, int line, const float (&d)[80],
                         float *own)
{
    int lane = (int)(threadIdx.x % 32), h = t.h + line;
    ADV_UNROLL(20)
    for (int j = 0; j < N / 8; j++) {
        float *to = own + lane / 4 * PITCH + lane % 4 * 2 + 8 * j;
        adv_store(to, AdvPack<float, 2>{{d[4 * j], d[4 * j + 1]}});
        adv_store(to + 8 * PITCH, AdvPack<float, 2>{{d[4 * j + 2], d[4 * j + 3]}});
    }
    __syncwarp();
    ADV_UNROLL(1)
    for (int i = lane; i < SIDE * (N / 8); i += 32) {
        int place = i / (N / 8), c = i % (N / 8) * 8;
        AdvPack<float, 8> all = adv_load<8>(own + place * PITCH + c);
        long long at = (((long long)t.n * f.h + h) * f.w + t.w + place) * f.k + channel + c;
        if (h < f.h && t.w + place < f.w) adv_conv_end<AdvBf16, 8>(e, f.relu, f.sum_last, y, at, channel + c, all.v);
    }
    __syncwarp();
}

/* ---- the kernel ------------------------------------------------------------------------------------------------------- */

/* What a thread keeps from step to step. */
struct Work {
    unsigned weights, images; /* where the stages begin */
    unsigned rows;            /* this lane's place in an image, for the first place of the window */
    int stage, n_images;      /* the weights' stage of this step; images begun before this one */
    Step now, ahead;
};

/* The four products of a step, two by two: while one pair is under way the rows of the next are read. */
template <bool BY_IMAGE> ADV_DEVICE void multiply(const Work &k, float (&d)[2][80], unsigned (&a)[2][2][4])
{
    unsigned from = k.images + (unsigned)(k.n_images % 2 * IMAGE_BYTES + (k.now.tap / 3 * AROUND + k.now.tap % 3) * PLACE_BYTES) + k.rows;
    unsigned at = k.weights + (unsigned)(k.stage * WEIGHT_BYTES);
    ADV_UNROLL(2)
    for (int i = 0; i < 2; i++) {
        unsigned long long b = BY_IMAGE ? adv_columns(at + (unsigned)i * 1024, 512, PART * 64)
                                       : adv_columns(at + (unsigned)i * 32, 512, 16);
        adv_products_wait<1>(); /* those that read a[i] */
        adv_load_rows(a[i][0], from + (unsigned)(i * 32));
        adv_load_rows(a[i][1], from + (unsigned)(4 * AROUND * PLACE_BYTES + i * 32));
        adv_products_begin();
        adv_product_160<BY_IMAGE>(d[0], a[i][0], b);
        adv_product_160<BY_IMAGE>(d[1], a[i][1], b);
        adv_products_end_group();
    }
}

/* A step: what it needs is there, and everybody's products of the step before the last are over, so that its stage can be filled. */
template <bool BY_IMAGE>
ADV_DEVICE void do_step(const AdvWgmmaForm &f, const AdvBf16 *x, const AdvBf16 *w, const AdvConvEnd &e, Work *k, float (&d)[2][80],
                        unsigned (&a)[2][2][4])
{
    adv_copies_wait<AHEAD - 1>();
    adv_shared_for_products();
    __syncthreads();
    multiply<BY_IMAGE>(*k, d, a);
    if (k->ahead.tile < f.n_tiles)
        fetch_weights<BY_IMAGE>(f, w, k->ahead, k->weights + (unsigned)((k->stage + AHEAD) % STAGES * WEIGHT_BYTES));
    next(f, &k->ahead);
    if (k->now.tap < IMAGE_TURNS) {
        Step s = k->now;
        s.tap = TAPS - 1;
        next(f, &s);
        int first = k->now.tap * IMAGE_TURN;
        if (s.tile < f.n_tiles)
            fetch_image(f, x, s, k->images + (unsigned)((k->n_images + 1) % 2 * IMAGE_BYTES), first, first + IMAGE_TURN);
    }
    if (k->now.tap == IMAGE_TURNS && k->now.part == f.parts - 1) fetch_operands(f, e, k->now);
    adv_copies_end_group();
    if (k->now.tap == TAPS - 1) k->n_images++;
    next(f, &k->now);
    k->stage = (k->stage + 1) % STAGES;
}

template <bool BY_IMAGE>
ADV_DEVICE void convolve(const AdvWgmmaForm &f, const AdvBf16 *x, const AdvBf16 *w, AdvBf16 *y, const AdvConvEnd &e)
{
    ADV_DYNAMIC_SHARED(unsigned char, shared);
    int lane = (int)(threadIdx.x % 32), line = (int)(threadIdx.x / 128 * 8 + threadIdx.x / 32 % 4), n_steps = f.parts * TAPS;
    float d[2][80];
    unsigned a[2][2][4];
    Work k;
    unsigned skip = (0u - adv_shared_at(shared)) & 1023u; /* to where stages may begin */
    k.weights = adv_shared_at(shared) + skip;
    k.images = k.weights + STAGES * WEIGHT_BYTES;
    k.rows = (unsigned)((line * AROUND + lane % 16) * PLACE_BYTES + lane / 16 * 16);
    k.stage = k.n_images = 0;
    k.now = k.ahead = Step{(int)blockIdx.x, (int)blockIdx.x % f.tiles_c * N, 0, 0};
    fetch_image(f, x, k.now, k.images, 0, IMAGE_PIECES);
    for (int i = 0; i < AHEAD; i++) {
        if (k.ahead.tile < f.n_tiles) fetch_weights<BY_IMAGE>(f, w, k.ahead, k.weights + (unsigned)(i * WEIGHT_BYTES));
        next(f, &k.ahead);
        adv_copies_end_group();
    }
    while (k.now.tile < f.n_tiles) {
        int tile = k.now.tile, channel = k.now.channel;
        ADV_UNROLL(80)
        for (int i = 0; i < 80; i++) d[0][i] = d[1][i] = 0;
        adv_products_are(d[0]);
        adv_products_are(d[1]);
        for (int i = 0; i < n_steps; i++) do_step<BY_IMAGE>(f, x, w, e, &k, d, a);
        adv_products_wait<0>();
        adv_products_are(d[0]);
        adv_products_are(d[1]);
        Tile t = tile_of(f, tile);
        float *own = (float *)(shared + skip + STAGES * WEIGHT_BYTES + 2 * IMAGE_BYTES) + threadIdx.x / 32 * (SIDE * PITCH);
        put_line(f, e, y, t, channel, line, d[0], own);
        put_line(f, e, y, t, channel, line + 4, d[1], own);
    }
    adv_copies_wait<0>();
}

#else

template <bool BY_IMAGE> ADV_DEVICE void convolve(const AdvWgmmaForm &, const AdvBf16 *, const AdvBf16 *, AdvBf16 *, const AdvConvEnd &) {}

#endif

extern "C" __global__ void __launch_bounds__(ADV_WGMMA_THREADS, 1)
    adv_wgmma_forward_bf16(AdvWgmmaForm f, const AdvBf16 *x, const AdvBf16 *w, AdvBf16 *y, AdvConvEnd e)
{
    convolve<false>(f, x, w, y, e);
}

extern "C" __global__ void __launch_bounds__(ADV_WGMMA_THREADS, 1)
    adv_wgmma_by_image_bf16(AdvWgmmaForm f, AdvBf16 *x, const AdvBf16 *w, const AdvBf16 *y, AdvConvEnd e)
{
    convolve<true>(f, y, w, x, e);
}

ADV_CUDA_TABLE(adv_cuda_fns_wgmma)
ADV_CUDA_FN(adv_wgmma_forward_bf16)
ADV_CUDA_FN(adv_wgmma_by_image_bf16)
ADV_CUDA_END
