/* fuzz_png.c: any bytes as a PNG whose rows are images, and as a JSON list of labels. Checksums of chunks are put right after a
** change, as often as not, so that what they protect is read.
*/
#include "tests/fuzz/readers.h"

#include <spng.h>
#include <zlib.h>

static const DataSetDef set = {"color", "color", 4, 2, 2, 3, 3, 3, "", ""};
static const DataFileDef images = {0, "p", DATA_TRAIN_X, data_read_png_rows, 3, 0, ""},
                         labels = {0, "j", DATA_TRAIN_Y, data_read_json_labels, 3, 0, ""};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AdvStatus x = fuzz_read(&set, &images, data, size), y = fuzz_read(&set, &labels, data, size);
    MUST(x != ADV_OK || y != ADV_OK);
    return 0;
}

static uint32_t u32_be(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

static void right_checksums(uint8_t *data, size_t size)
{
    for (uint64_t at = 8; at + 12 <= size;) {
        uint64_t n = u32_be(data + at);
        if (at + 12 + n > size) return;
        uint32_t sum = (uint32_t)crc32(0, data + at + 4, (uInt)n + 4);
        for (int i = 0; i < 4; i++) data[at + 8 + n + (uint64_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + n;
    }
}

static size_t seed_png(uint8_t *data, size_t max_size, FuzzRng *r)
{
    static const uint8_t types[] = {SPNG_COLOR_TYPE_TRUECOLOR, SPNG_COLOR_TYPE_TRUECOLOR, SPNG_COLOR_TYPE_GRAYSCALE,
                                    SPNG_COLOR_TYPE_TRUECOLOR_ALPHA};
    uint8_t x[3 * 4 * 4], type = types[fuzz_rng(r, 4)];
    struct spng_ihdr h = {.width = 4, .height = 3, .bit_depth = 8, .color_type = type};
    size_t n, n_pixel = type == SPNG_COLOR_TYPE_TRUECOLOR ? 3 : type == SPNG_COLOR_TYPE_GRAYSCALE ? 1 : 4;
    int err;
    for (size_t i = 0; i < sizeof x; i++) x[i] = (uint8_t)fuzz_rng(r, 256);
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    MUST(png && spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1) == 0 && spng_set_ihdr(png, &h) == 0);
    MUST(spng_encode_image(png, x, n_pixel * 12, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE) == 0);
    void *bytes = spng_get_png_buffer(png, &n, &err);
    MUST(bytes);
    if (n <= max_size) memcpy(data, bytes, n);
    free(bytes);
    spng_ctx_free(png);
    return n <= max_size ? n : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const char json[] = "[0, 3, 1]";
    FuzzRng r = {seed};
    uint32_t what = fuzz_rng(&r, 64);
    size_t n = what == 0 || size < 4 ? seed_png(data, max_size, &r) : 0;
    if (n) return n;
    if (what == 1 && max_size >= sizeof json) {
        memcpy(data, json, sizeof json - 1);
        return sizeof json - 1;
    }
    n = LLVMFuzzerMutate(data, size, max_size);
    if (fuzz_rng(&r, 2)) right_checksums(data, n);
    return n;
}
