/* readers.h: readers of published data sets (tools/data) for fuzzing: small sets, and room of exactly their size. */
#ifndef ADV_TESTS_FUZZ_READERS_H
#define ADV_TESTS_FUZZ_READERS_H

#include "tests/fuzz/fuzz.h"
#include "tools/data/data.h"

static inline void fuzz_say(void *user, const char *line) { (void)user, (void)line; }

/* Reads `data` as one file of the set. What is accepted has only labels of the set. */
static inline AdvStatus fuzz_read(const DataSetDef *set, const DataFileDef *def, const uint8_t *data, size_t size)
{
    DataCtx ctx = {.alloc = adv_alloc_default(), .ds = adv_diags_new(adv_alloc_default()), .say = fuzz_say};
    DataBlob file = {.def = def, .bytes = malloc(size ? size : 1), .n_bytes = size, .n_allocated = size};
    bool has_x = def->role != DATA_TRAIN_Y, has_y = def->role != DATA_TRAIN_X;
    DataRows out = {has_x ? malloc(def->n * data_image_bytes(set)) : NULL, has_y ? malloc(def->n * sizeof(int32_t)) : NULL};
    MUST(ctx.ds && file.bytes && (out.x || !has_x) && (out.y || !has_y));
    if (size) memcpy(file.bytes, data, size);
    AdvStatus st = def->read(&ctx, set, &file, out);
    fuzz_messages(ctx.ds, st);
    MUST(st == ADV_OK || st == ADV_EDATA || st == ADV_ENOMEM);
    for (uint32_t i = 0; st == ADV_OK && has_y && i < def->n; i++) MUST(out.y[i] >= 0 && out.y[i] < (int32_t)set->n_classes);
    free(file.bytes);
    free(out.x);
    free(out.y);
    adv_diags_free(ctx.ds);
    return st;
}

#endif
