/* store.c: the decoded container of a data set: train.x and test.x u8 [N,H,W,C], train.y and test.y i32 [N]. */
#include "tools/data/data.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MOST_CONTAINER_BYTES ((uint64_t)8 << 30)

enum { TRAIN_X, TRAIN_Y, TEST_X, TEST_Y, N_BLOBS };
static const char *const blob_names[N_BLOBS] = {"train.x", "train.y", "test.x", "test.y"};

/* What the container of `set` must hold, without the data. */
static void describe(const DataSetDef *set, AdvBlob out[N_BLOBS])
{
    for (int i = 0; i < N_BLOBS; i++) {
        bool is_x = i == TRAIN_X || i == TEST_X;
        int64_t n = i == TRAIN_X || i == TRAIN_Y ? set->n_train : set->n_test;
        out[i] = (AdvBlob){.name = blob_names[i], .dtype = is_x ? ADV_U8 : ADV_I32, .rank = is_x ? 4 : 1, .dim = {n}};
        if (is_x) {
            out[i].dim[1] = set->height;
            out[i].dim[2] = set->width;
            out[i].dim[3] = set->channels;
        }
        out[i].n_bytes = (uint64_t)n * (is_x ? data_image_bytes(set) : sizeof(int32_t));
    }
}

AdvStatus data_store(const DataCtx *ctx, const char *path, const DataDecoded *d)
{
    char n_classes[16], content[65];
    AdvBlob blobs[N_BLOBS];
    describe(d->set, blobs);
    blobs[TRAIN_X].data = d->train.x;
    blobs[TRAIN_Y].data = d->train.y;
    blobs[TEST_X].data = d->test.x;
    blobs[TEST_Y].data = d->test.y;
    snprintf(n_classes, sizeof n_classes, "%" PRIu32, d->set->n_classes);
    data_content_sha256(d->set, d->train, d->test, content);
    const AdvMeta meta[] = {
        {"adv.data", d->set->name}, {"classes", n_classes}, {"class_names", d->set->class_names}, {"content_sha256", content}};
    return adv_container_write(NULL, &ctx->alloc, path, blobs, N_BLOBS, meta, sizeof meta / sizeof meta[0], ctx->ds);
}

static AdvStatus refuse(const DataCtx *ctx, const char *path, const char *why)
{
    return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s`: %s", path, why);
}

static AdvStatus check_blobs(const DataCtx *ctx, const char *path, const DataSetDef *set, const AdvContainer *c, DataDecoded *out)
{
    AdvBlob want[N_BLOBS];
    const AdvBlob *got[N_BLOBS];
    describe(set, want);
    for (int i = 0; i < N_BLOBS; i++) {
        const AdvBlob *b = got[i] = adv_container_blob(c, want[i].name);
        if (!b || b->dtype != want[i].dtype || b->rank != want[i].rank || memcmp(b->dim, want[i].dim, sizeof b->dim) != 0) {
            return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s`: `%s` is missing or has another type or shape than `%s` has", path,
                            want[i].name, set->name);
        }
        if (i % 2 && (uintptr_t)b->data % _Alignof(int32_t) != 0) return refuse(ctx, path, "labels that are not aligned");
    }
    *out = (DataDecoded){.set = set};
    out->train = (DataRows){(uint8_t *)(uintptr_t)got[TRAIN_X]->data, (int32_t *)(uintptr_t)got[TRAIN_Y]->data};
    out->test = (DataRows){(uint8_t *)(uintptr_t)got[TEST_X]->data, (int32_t *)(uintptr_t)got[TEST_Y]->data};
    ADV_TRY(data_check_labels(ctx, set, "train.y", out->train.y, set->n_train));
    return data_check_labels(ctx, set, "test.y", out->test.y, set->n_test);
}

static AdvStatus check_all(const DataCtx *ctx, const char *path, const DataSetDef *set, const void *bytes, uint64_t n_bytes,
                           DataDecoded *out)
{
    AdvArena arena;
    AdvContainer c;
    char content[65];
    adv_arena_init(&arena, ctx->alloc);
    AdvStatus st = adv_container_parse(&arena, bytes, n_bytes, path, ctx->ds, &c);
    const char *name = st == ADV_OK ? adv_container_meta(&c, "adv.data") : NULL;
    if (st == ADV_OK && (!name || strcmp(name, set->name) != 0)) st = refuse(ctx, path, "it does not hold this data set");
    if (st == ADV_OK) st = check_blobs(ctx, path, set, &c, out);
    if (st == ADV_OK) {
        const char *want = set->content_sha256[0] ? set->content_sha256 : adv_container_meta(&c, "content_sha256");
        data_content_sha256(set, out->train, out->test, content);
        if (!want || strcmp(want, content) != 0) {
            st = adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_NOT_ORIGINAL, "`%s`: the content's SHA-256 is %s, expected %s", path, content,
                          want ? want : "one in the header");
        }
    }
    adv_arena_fini(&arena);
    return st;
}

AdvStatus data_load(const DataCtx *ctx, const char *path, const DataSetDef *set, DataDecoded *out, void **out_block,
                    uint64_t *out_block_bytes)
{
    uint64_t n_bytes;
    *out = (DataDecoded){0};
    *out_block_bytes = 0;
    ADV_TRY(adv_read_file(NULL, &ctx->alloc, path, MOST_CONTAINER_BYTES, ctx->ds, out_block, &n_bytes));
    *out_block_bytes = n_bytes + 1;
    AdvStatus st = check_all(ctx, path, set, *out_block, n_bytes, out);
    if (st == ADV_OK) return ADV_OK;
    adv_mem_free(&ctx->alloc, *out_block, *out_block_bytes);
    *out_block = NULL;
    *out_block_bytes = 0;
    *out = (DataDecoded){0};
    return st;
}
