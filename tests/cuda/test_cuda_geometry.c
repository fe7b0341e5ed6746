/* test_cuda_geometry.c: how work is cut: grids within what a device takes, packs that are aligned, nests as device code reads them. */
#include "tests/adv_test.h"

#include "ops/cuda/geometry.h"
#include "ops/view.h"

static void test_grids(void)
{
    static const uint64_t ns[] = {0, 1, 255, 256, 257, 65536, UINT64_C(1) << 31, (UINT64_C(1) << 38) + 1};
    for (uint32_t i = 0; i < sizeof ns / sizeof ns[0]; i++) {
        AdvCudaGrid g = adv_cuda_grid_x(ns[i], 256);
        CHECK_EQ(g.grid.y * g.grid.z * g.block.y * g.block.z, 1);
        CHECK((uint64_t)g.grid.x * 256 >= ns[i] && (uint64_t)g.grid.x * 256 < ns[i] + 256);
    }
    CHECK_EQ(adv_cuda_grid_x(0, 256).grid.x, 0); /* no blocks: no launch */
    CHECK_EQ(adv_cuda_pow2(0, 256), 1);
    CHECK_EQ(adv_cuda_pow2(1, 256), 1);
    CHECK_EQ(adv_cuda_pow2(5, 256), 8);
    CHECK_EQ(adv_cuda_pow2(UINT64_C(1) << 40, 256), 256);
}

/* The pack of an operand of dims `from` (0: all of `dim`) against a result. */
static uint32_t pack_of(uint32_t rank, const int64_t *dim, const int64_t *from, uint8_t layout, const int64_t *at, uint32_t *out_rank)
{
    AdvTensorType y = {.dtype = ADV_F32, .rank = (uint8_t)rank, .layout = layout}, x = y;
    int64_t d[ADV_MAX_RANK], stride[2][ADV_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) y.dim[i] = dim[i], x.dim[i] = from ? from[i] : dim[i];
    AdvView vy = adv_view_of(&y, NULL), vx = adv_view_of(&x, NULL), wide = adv_view_broadcast(&vx, rank, dim);
    const AdvView *views[2] = {&vy, &wide};
    *out_rank = adv_loop_nest(views, 2, d, stride);
    return adv_cuda_pack(*out_rank, d, stride, 2, at, 8);
}

static void test_packs(void)
{
    const int64_t image[4] = {128, 3, 32, 32}, mnist[4] = {5, 1, 7, 7}, eps[4] = {128, 1, 1, 1}, channel[4] = {1, 3, 1, 1};
    const int64_t wide[4] = {2, 64, 5, 5}, of_wide[4] = {1, 64, 1, 1}, one[4] = {1, 1, 1, 1};
    const int64_t odd[2] = {3, 7}, column[2] = {3, 1}, big[2] = {3, (INT64_C(1) << 33) + 8};
    const int64_t off[2] = {0, 4}, off3[2] = {0, 3};
    uint32_t rank;
    CHECK_EQ(pack_of(4, image, NULL, ADV_LAYOUT_ROW, NULL, &rank), 8); /* one row of everything, with a rest */
    CHECK_EQ(rank, 1);
    CHECK_EQ(pack_of(4, mnist, NULL, ADV_LAYOUT_ROW, NULL, &rank), 8);
    CHECK_EQ(pack_of(4, mnist, one, ADV_LAYOUT_ROW, NULL, &rank), 8);
    CHECK_EQ(pack_of(4, image, eps, ADV_LAYOUT_CL, NULL, &rank), 8); /* 3072 elements share a radius */
    CHECK_EQ(rank, 2);
    CHECK_EQ(pack_of(4, image, channel, ADV_LAYOUT_CL, NULL, &rank), 1); /* 3 channels */
    CHECK_EQ(pack_of(4, wide, of_wide, ADV_LAYOUT_CL, NULL, &rank), 8); /* 64 channels */
    CHECK_EQ(pack_of(4, wide, of_wide, ADV_LAYOUT_ROW, NULL, &rank), 1); /* 25 pixels share a channel's number */
    CHECK_EQ(pack_of(2, odd, column, ADV_LAYOUT_ROW, NULL, &rank), 1);
    CHECK_EQ(pack_of(2, big, column, ADV_LAYOUT_ROW, NULL, &rank), 8); /* beyond 32 bits */
    CHECK_EQ(pack_of(4, image, NULL, ADV_LAYOUT_ROW, off, &rank), 4); /* a slice that begins at element 4, at element 3 */
    CHECK_EQ(pack_of(4, image, NULL, ADV_LAYOUT_ROW, off3, &rank), 1);
}

static void test_nests(void)
{
    AdvTensorType t = {.dtype = ADV_F32, .rank = 4, .layout = ADV_LAYOUT_CL, .dim = {2, 3, 4, 5}};
    AdvView row, cl = adv_view_of(&t, NULL);
    const AdvView *views[2] = {&row, &cl};
    AdvLoop l;
    t.layout = ADV_LAYOUT_ROW;
    row = adv_view_of(&t, NULL);
    adv_loop_make(&l, views, 2);
    AdvCudaNest n = adv_cuda_nest(&l);
    CHECK_EQ(n.rank, 3); /* samples, channels, pixels */
    CHECK_EQ(n.dim[1], 3);
    CHECK_EQ(n.dim[2], 20);
    CHECK_EQ(n.stride[0][2], 1);
    CHECK_EQ(n.stride[1][1], 1);
    CHECK_EQ(n.stride[1][2], 3);
    CHECK_EQ(adv_cuda_nest_elems(&l), 120);
}

static void test_narrow(void)
{
    uint32_t runs = 0, lanes = 0;
    AdvCudaGrid g;
    CHECK(adv_cuda_narrow(128 * 32, 32, 8, 27 * 68, &runs, &lanes, &g)); /* ResNet-18's first layer, 128 images */
    CHECK_EQ(runs, 4);
    CHECK_EQ(lanes, 8);
    CHECK_EQ(g.grid.x, 128 * 32 * 4 * 8 / 256);
    CHECK_EQ(g.block.x, 256);
    CHECK_EQ(g.shared_bytes, 27 * 68 * 4);
    CHECK(adv_cuda_narrow(3, 9, 3, 100, &runs, &lanes, &g)); /* a partial run, more threads than groups, a partial block */
    CHECK_EQ(runs, 2);
    CHECK_EQ(lanes, 4);
    CHECK_EQ(g.grid.x, 1);
    CHECK(adv_cuda_narrow(1, 1, 100, 1, &runs, &lanes, &g));
    CHECK_EQ(lanes, 8);
    CHECK(adv_cuda_narrow(0, 32, 1, 1, &runs, &lanes, &g)); /* an empty batch: no launch */
    CHECK_EQ(g.grid.x, 0);
    CHECK(adv_cuda_narrow(1, 8, 1, 12288, &runs, &lanes, &g));
    CHECK_EQ(g.shared_bytes, 49152);
    CHECK(!adv_cuda_narrow(1, 8, 1, 12289, &runs, &lanes, &g));
    CHECK(adv_cuda_narrow(UINT64_C(1) << 28, 8, 8, 1, &runs, &lanes, &g));
    CHECK(!adv_cuda_narrow(UINT64_C(1) << 29, 8, 8, 1, &runs, &lanes, &g)); /* 2^32 threads */
    CHECK(!adv_cuda_narrow(1, UINT64_C(1) << 40, 8, 1, &runs, &lanes, &g));
}

static void test_wgmma(void)
{
    AdvWgmmaForm f;
    CHECK(adv_cuda_wgmma(128, 32, 32, 160, 160, &f)); /* the first group of WRN-34-10 */
    CHECK(f.n_tiles == 512 && f.parts == 5 && f.tiles_c == 1 && f.n == 128 && f.c == 160 && f.k == 160);
    CHECK(adv_cuda_wgmma(3, 17, 31, 32, 480, &f) == false); /* 32x32 places for 17x31 */
    CHECK(adv_cuda_wgmma(3, 29, 31, 32, 480, &f));
    CHECK(f.tiles_h == 2 && f.tiles_w == 2 && f.tiles_c == 3 && f.n_tiles == 36);
    CHECK(adv_cuda_wgmma(1, 12, 16, 32, 160, &f) && !adv_cuda_wgmma(1, 11, 16, 32, 160, &f)); /* three quarters, and less */
    CHECK(adv_cuda_wgmma(INT32_MAX / 4, 32, 32, 32, 160, &f) && f.n_tiles == INT32_MAX / 4 * 4);
    CHECK(!adv_cuda_wgmma(INT32_MAX / 4 + 1, 32, 32, 32, 160, &f));
    CHECK(adv_cuda_wgmma(0, 16, 16, 32, 160, &f) && f.n_tiles == 0); /* an empty batch: no launch */
}

int main(void)
{
    RUN(test_grids);
    RUN(test_packs);
    RUN(test_nests);
    RUN(test_narrow);
    RUN(test_wgmma);
    return ADV_TEST_END();
}
