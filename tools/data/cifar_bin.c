/* cifar_bin.c: the binary version of CIFAR: records of one label byte (two for CIFAR-100: coarse, fine) and the image as three
** planes, red, green, blue, each row by row. */
#include "tools/data/data.h"

#include <inttypes.h>

static AdvStatus read_records(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, uint32_t n_label_bytes, DataRows out)
{
    uint64_t image = data_image_bytes(set), plane = image / set->channels, record = n_label_bytes + image;
    uint32_t n = file->def->n;
    if (file->n_bytes != n * record) {
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT,
                        "`%s` has %" PRIu64 " bytes: %" PRIu32 " records of %" PRIu64 " bytes were expected, which is %" PRIu64,
                        file->def->name, file->n_bytes, n, record, n * record);
    }
    for (uint32_t i = 0; i < n; i++) {
        const unsigned char *from = file->bytes + i * record;
        uint8_t *to = out.x + i * image;
        out.y[i] = from[n_label_bytes - 1];
        from += n_label_bytes;
        for (uint64_t p = 0; p < plane; p++)
            for (uint32_t c = 0; c < set->channels; c++) to[p * set->channels + c] = from[c * plane + p];
    }
    return data_check_labels(ctx, set, file->def->name, out.y, n);
}

AdvStatus data_read_cifar10_bin(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, DataRows out)
{
    return read_records(ctx, set, file, 1, out);
}

AdvStatus data_read_cifar100_bin(const DataCtx *ctx, const DataSetDef *set, const DataBlob *file, DataRows out)
{
    return read_records(ctx, set, file, 2, out);
}
