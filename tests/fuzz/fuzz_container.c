/* fuzz_container.c: any bytes as a container. What the reader accepts lies within the bytes, keeps the format's limits, and
** comes back the same when it is written and read again.
*/
#include "tests/fuzz/blobs.h"

static void check_blob(const AdvBlob *b, const uint8_t *data, size_t size)
{
    const uint8_t *at = b->data;
    uint64_t n = adv_dtype_bytes(b->dtype);
    MUST(n > 0 && b->rank <= ADV_CONTAINER_MAX_DIMS && strlen(b->name) > 0 && strlen(b->name) <= 255);
    for (uint8_t k = 0; k < b->rank; k++) n *= (uint64_t)b->dim[k];
    MUST(n == b->n_bytes && at >= data && at <= data + size && n <= (uint64_t)(data + size - at));
}

static int same_blob(const AdvBlob *a, const AdvBlob *b)
{
    return strcmp(a->name, b->name) == 0 && a->dtype == b->dtype && a->rank == b->rank && memcmp(a->dim, b->dim, sizeof a->dim) == 0 &&
           a->n_bytes == b->n_bytes && (a->n_bytes == 0 || memcmp(a->data, b->data, a->n_bytes) == 0);
}

static void round_trip(const AdvContainer *c, AdvArena *arena)
{
    AdvAlloc a = adv_alloc_default();
    AdvContainer d;
    void *bytes;
    uint64_t n;
    MUST(adv_container_render(&a, c->blobs, c->n_blobs, c->meta, c->n_meta, NULL, &bytes, &n) == ADV_OK);
    MUST(adv_container_parse(arena, bytes, n, "again", NULL, &d) == ADV_OK);
    MUST(d.n_blobs == c->n_blobs && d.n_meta == c->n_meta && d.digest);
    for (uint32_t i = 0; i < c->n_blobs; i++) {
        const AdvBlob *b = adv_container_blob(&d, c->blobs[i].name);
        MUST(b && same_blob(&c->blobs[i], b));
    }
    for (uint32_t i = 0; i < c->n_meta; i++)
        MUST(strcmp(c->meta[i].key, d.meta[i].key) == 0 && strcmp(c->meta[i].value, d.meta[i].value) == 0);
    adv_mem_free(&a, bytes, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AdvArena arena;
    AdvContainer c;
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    MUST(ds);
    adv_arena_init(&arena, adv_alloc_default());
    AdvStatus st = adv_container_parse(&arena, data, size, "fuzz", ds, &c);
    fuzz_messages(ds, st);
    MUST(st == ADV_OK || st == ADV_EDATA);
    for (uint32_t i = 0; i < c.n_blobs; i++) check_blob(&c.blobs[i], data, size);
    if (st == ADV_OK) round_trip(&c, &arena);
    adv_arena_fini(&arena);
    adv_diags_free(ds);
    return 0;
}

/* A file with a tensor of each type, with its digest or (then bytes may change freely) without. */
static size_t seed_file(uint8_t *data, size_t max_size, FuzzRng *r)
{
    static const int64_t numbers[8] = {1, -2, 3, 4, 5, 6, 7, INT64_MIN};
    AdvBlob blobs[7];
    AdvAlloc a = adv_alloc_default();
    void *bytes;
    uint64_t n;
    if (fuzz_rng(r, 2)) {
        static const char plain[] =
            "{\"__metadata__\":{\"a\":\"b\",\"c\":\"\"},\"x\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
            "\"y\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]},\"e\":{\"dtype\":\"I64\",\"shape\":[0,9],\"data_offsets\":[8,8]"
            "}}";
        n = sizeof plain - 1;
        if (max_size < 8 + n + 11) return 0;
        memset(data, 0, 8);
        data[0] = (uint8_t)n;
        data[1] = (uint8_t)(n >> 8);
        memcpy(data + 8, plain, n);
        memset(data + 8 + n, 7, 11);
        return 8 + n + 11;
    }
    for (uint8_t i = 0; i < 7; i++) {
        static const char *const names[7] = {"a", "b", "c", "d.e", "f", "\xc3\xa9", "h\"\\\n"};
        blobs[i] = (AdvBlob){.name = names[i],
                             .dtype = (uint8_t)(1 + i),
                             .rank = (uint8_t)(i % 3),
                             .dim = {i % 3 ? 2 : 0, i % 3 == 2 ? 3 : 0},
                             .data = numbers};
        blobs[i].n_bytes = adv_dtype_bytes(blobs[i].dtype) * (i % 3 == 2 ? 6u : i % 3 ? 2u : 1u);
    }
    const AdvMeta meta[] = {{"adv.kind", "checkpoint"}, {"z", "\xe2\x82\xac"}};
    MUST(adv_container_render(&a, blobs, 7, meta, 2, NULL, &bytes, &n) == ADV_OK);
    if (n <= max_size) memcpy(data, bytes, n);
    adv_mem_free(&a, bytes, n);
    return n <= max_size ? n : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    FuzzRng r = {seed};
    if (fuzz_rng(&r, 64) == 0 || size < 16) {
        size_t n = seed_file(data, max_size, &r);
        return n ? n : LLVMFuzzerMutate(data, size, max_size);
    }
    size_t n = fuzz_rng(&r, 4) ? 0 : fuzz_container(data, size, max_size, seed);
    if (n) return n;
    /* Bytes; then, as often as not, the length is put right again. */
    n = LLVMFuzzerMutate(data, size, max_size);
    uint64_t len = n;
    if (n < 16 || fuzz_rng(&r, 2)) return n;
    while (len > 9 && data[len - 1] != '}') len--;
    len -= 8;
    for (int i = 0; i < 8; i++) data[i] = (uint8_t)(len >> (8 * i));
    return n;
}
