/* fuzz_idx.c: any bytes as an IDX file of images and as one of labels, plain or packed with gzip. */
#include "tests/fuzz/readers.h"

#include <zlib.h>

static const DataSetDef set = {"grey", "grey", 4, 2, 3, 1, 3, 3, "", ""};
static const DataFileDef images = {0, "x", DATA_TRAIN_X, data_read_idx, 3, 0, ""}, labels = {0, "y", DATA_TRAIN_Y, data_read_idx, 3, 0, ""};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AdvStatus x = fuzz_read(&set, &images, data, size), y = fuzz_read(&set, &labels, data, size);
    MUST(x != ADV_OK || y != ADV_OK);
    return 0;
}

/* A right file of either kind; then bytes of it change, and as often as not it is packed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const uint8_t x[34] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 3, 9, 8, 7}, y[11] = {0, 0, 8, 1, 0, 0, 0, 3, 0, 3, 1};
    FuzzRng r = {seed};
    uint8_t plain[4096], packed[8192];
    if (fuzz_rng(&r, 4) || max_size < 256) return LLVMFuzzerMutate(data, size, max_size);
    bool is_images = fuzz_rng(&r, 2);
    size_t n = is_images ? sizeof x : sizeof y;
    memcpy(plain, is_images ? x : y, n);
    if (fuzz_rng(&r, 2)) n = LLVMFuzzerMutate(plain, n, 128);
    z_stream z = {.next_in = plain, .avail_in = (uInt)n, .next_out = packed, .avail_out = sizeof packed};
    MUST(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK && deflate(&z, Z_FINISH) == Z_STREAM_END);
    if (fuzz_rng(&r, 2) && z.total_out <= max_size) memcpy(data, packed, n = z.total_out);
    else memcpy(data, plain, n);
    deflateEnd(&z);
    return n;
}
