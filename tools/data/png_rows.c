/* png_rows.c: many small images in one PNG: each row of pixels is one image, row by row, red, green, blue. Labels come beside
** it as a JSON list of numbers. */
#include "runtime/base/json_text.h"
#include "tools/data/data.h"

#include <inttypes.h>
#include <jansson.h>
#include <spng.h>
#include <string.h>

#define MOST_CHUNK_BYTES ((size_t)64 << 20)
#define PNG_RGB 2

/* The last chunk of every PNG file, with its checksum. The library stops before it. */
static const unsigned char png_end[12] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xAE, 0x42, 0x60, 0x82};

static AdvStatus refuse(const DataCtx *ctx, const DataBlob *file, int rc)
{
    if (rc == SPNG_EMEM) return adv_fail(ctx->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading `%s`", file->def->name);
    return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s` is no sound PNG file: %s", file->def->name, spng_strerror(rc));
}

static AdvStatus check_size(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, const struct spng_ihdr *h)
{
    uint32_t width = set->height * set->width;
    if (h->width != width || h->height != file->def->n) {
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT,
                        "`%s` has %" PRIu32 " rows of %" PRIu32 " pixels, expected %" PRIu32 " rows (one an image) of %" PRIu32,
                        file->def->name, h->height, h->width, file->def->n, width);
    }
    if (h->bit_depth != 8 || h->color_type != PNG_RGB || set->channels != 3) {
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s` must have 8 bits of red, green and blue a pixel", file->def->name);
    }
    return ADV_OK;
}

static AdvStatus decode(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, spng_ctx *png, uint8_t *x)
{
    struct spng_ihdr h;
    int rc = spng_set_chunk_limits(png, MOST_CHUNK_BYTES, MOST_CHUNK_BYTES);
    if (rc == 0) rc = spng_set_png_buffer(png, file->bytes, file->n_bytes);
    if (rc == 0) rc = spng_get_ihdr(png, &h);
    if (rc != 0) return refuse(ctx, file, rc);
    ADV_TRY(check_size(ctx, set, file, &h));
    rc = spng_decode_image(png, x, file->def->n * data_image_bytes(set), SPNG_FMT_RGB8, 0);
    if (rc == 0) rc = spng_decode_chunks(png); /* what follows the image, to the end mark */
    if (rc == 0 && memcmp(file->bytes + file->n_bytes - sizeof png_end, png_end, sizeof png_end) != 0) rc = SPNG_EIO;
    return rc == 0 ? ADV_OK : refuse(ctx, file, rc);
}

AdvStatus data_read_png_rows(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, DataRows out)
{
    spng_ctx *png = spng_ctx_new(0);
    if (!png) return refuse(ctx, file, SPNG_EMEM);
    AdvStatus st = decode(ctx, set, file, png, out.x);
    spng_ctx_free(png);
    return st;
}

static AdvStatus read_list(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, json_t *list, int32_t *y)
{
    uint32_t n = file->def->n;
    if (!json_is_array(list) || json_array_size(list) != n) {
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s` holds %zu labels, expected %" PRIu32, file->def->name,
                        json_array_size(list), n);
    }
    for (uint32_t i = 0; i < n; i++) {
        json_t *v = json_array_get(list, i);
        json_int_t label = json_integer_value(v);
        if (!json_is_integer(v)) {
            return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s`: label %" PRIu32 " is not a whole number", file->def->name, i);
        }
        y[i] = label < INT32_MIN ? INT32_MIN : label > INT32_MAX ? INT32_MAX : (int32_t)label;
    }
    return data_check_labels(ctx, set, file->def->name, y, n);
}

AdvStatus data_read_json_labels(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, DataRows out)
{
    AdvJsonError err;
    json_t *list = adv_json_read(&ctx->alloc, (const char *)file->bytes, file->n_bytes, &err);
    if (!list && err.is_memory)
        return adv_fail(ctx->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading `%s`", file->def->name);
    if (!list)
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s` is not valid JSON: %s, at byte %zu", file->def->name, err.what,
                        err.at);
    AdvStatus st = read_list(ctx, set, file, list, out.y);
    json_decref(list);
    return st;
}
