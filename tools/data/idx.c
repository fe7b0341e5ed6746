/* idx.c: the format of MNIST: a big-endian magic number and dimensions, then bytes. Plain, or compressed with gzip. */
#include "tools/data/data.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#define MAGIC_IMAGES UINT32_C(0x803) /* bytes, three dimensions */
#define MAGIC_LABELS UINT32_C(0x801) /* bytes, one dimension */
#define GZIP_WINDOW (16 + MAX_WBITS)
#define LARGEST_PIECE ((uint64_t)1 << 30) /* zlib counts in unsigned int */

static uint32_t u32_be(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static AdvStatus refuse(const DataCtx *ctx, const DataBlob *file, const char *why)
{
    return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s`: %s", file->def->name, why);
}

/* Exactly `want` bytes from a gzip file of one member, nothing after it. */
static AdvStatus gunzip(const DataCtx *ctx, const DataBlob *file, unsigned char *out, uint64_t want)
{
    z_stream z = {0};
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return adv_fail(ctx->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while unpacking `%s`", file->def->name);
    uint64_t in_at = 0, out_at = 0;
    unsigned char beyond = 0;
    int rc = Z_OK;
    while (rc == Z_OK) {
        uint64_t in = file->n_bytes - in_at < LARGEST_PIECE ? file->n_bytes - in_at : LARGEST_PIECE;
        uint64_t room = want - out_at < LARGEST_PIECE ? want - out_at : LARGEST_PIECE;
        z.next_in = file->bytes + in_at;
        z.avail_in = (uInt)in;
        z.next_out = room ? out + out_at : &beyond; /* one more byte would show that there is too much */
        z.avail_out = room ? (uInt)room : 1;
        rc = inflate(&z, Z_NO_FLUSH);
        in_at += in - z.avail_in;
        uint64_t made = (room ? room : 1) - z.avail_out;
        if (!room && made) rc = Z_BUF_ERROR;
        else out_at += made;
    }
    inflateEnd(&z);
    if (rc != Z_STREAM_END) return refuse(ctx, file, "the gzip file is cut off or damaged, or holds more than it should");
    if (out_at != want) return refuse(ctx, file, "the gzip file holds less than it should");
    if (in_at != file->n_bytes) return refuse(ctx, file, "something follows the gzip data");
    return ADV_OK;
}

static AdvStatus check_header(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, const unsigned char *p, bool is_images)
{
    uint32_t magic = is_images ? MAGIC_IMAGES : MAGIC_LABELS;
    if (u32_be(p) != magic) {
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s` is no IDX file of %s: it begins with %08" PRIx32 ", not %08" PRIx32,
                        file->def->name, is_images ? "images" : "labels", u32_be(p), magic);
    }
    if (u32_be(p + 4) != file->def->n) {
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s` holds %" PRIu32 " %s, expected %" PRIu32, file->def->name,
                        u32_be(p + 4), is_images ? "images" : "labels", file->def->n);
    }
    if (is_images && (u32_be(p + 8) != set->height || u32_be(p + 12) != set->width)) {
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT,
                        "`%s` holds images of %" PRIu32 "x%" PRIu32 ", expected %" PRIu32 "x%" PRIu32, file->def->name, u32_be(p + 8),
                        u32_be(p + 12), set->height, set->width);
    }
    return ADV_OK;
}

static AdvStatus read_plain(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, const unsigned char *p, DataRows out)
{
    bool is_images = out.x != NULL;
    ADV_TRY(check_header(ctx, set, file, p, is_images));
    if (is_images) {
        memcpy(out.x, p + 16, file->def->n * data_image_bytes(set));
        return ADV_OK;
    }
    for (uint32_t i = 0; i < file->def->n; i++) out.y[i] = p[8 + i];
    return data_check_labels(ctx, set, file->def->name, out.y, file->def->n);
}

AdvStatus data_read_idx(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, DataRows out)
{
    uint64_t want = out.x ? 16 + file->def->n * data_image_bytes(set) : 8 + (uint64_t)file->def->n;
    if (file->n_bytes < 2 || file->bytes[0] != 0x1f || file->bytes[1] != 0x8b) {
        /* The header says more than the size does, if it is there. */
        if (file->n_bytes >= (out.x ? 16 : 8)) ADV_TRY(check_header(ctx, set, file, file->bytes, out.x != NULL));
        if (file->n_bytes != want) {
            return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s` has %" PRIu64 " bytes, expected %" PRIu64, file->def->name,
                            file->n_bytes, want);
        }
        return read_plain(ctx, set, file, file->bytes, out);
    }
    unsigned char *plain = adv_mem_new(&ctx->alloc, want);
    if (!plain) return adv_fail(ctx->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory: `%s` needs %" PRIu64 " bytes", file->def->name, want);
    AdvStatus st = gunzip(ctx, file, plain, want);
    if (st == ADV_OK) st = read_plain(ctx, set, file, plain, out);
    adv_mem_free(&ctx->alloc, plain, want);
    return st;
}
