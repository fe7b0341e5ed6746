/* blobs.h: a mutator for files of the container format (runtime/base/container.h): numbers within tensors, texts, metadata and
** whole tensors change, and the header and digest are made anew, so that the reader's checks of content are reached and not
** only its digest.
*/
#ifndef ADV_TESTS_FUZZ_BLOBS_H
#define ADV_TESTS_FUZZ_BLOBS_H

#include "runtime/base/container.h"
#include "tests/fuzz/fuzz.h"

enum { FUZZ_MAX_BLOBS = 128, FUZZ_MAX_META = 32 };

static inline uint64_t fuzz_number(FuzzRng *r, uint64_t old)
{
    static const uint64_t odd[] = {0, 1, 2, 7, 8, 63, 64, 255, 256, 65535, 65536, 0x7fffffff, 0x80000000u, 0xffffffffu, UINT64_C(1) << 32,
                                   UINT64_C(1) << 40, UINT64_C(1) << 46, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 7};
    switch (fuzz_rng(r, 5)) {
    case 0: return old + 1;
    case 1: return old - 1;
    case 2: return fuzz_rng(r, 32);
    case 3: return old ^ UINT64_C(1) << fuzz_rng(r, 64);
    default: return odd[fuzz_rng(r, sizeof odd / sizeof *odd)];
    }
}

/* A number of 1, 4 or 8 bytes at a multiple of its size, or bytes copied from elsewhere in the tensor. */
static inline void fuzz_field(FuzzRng *r, uint8_t *at, uint64_t n)
{
    static const uint64_t sizes[] = {1, 4, 4, 8};
    static const double reals[] = {0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, (double)NAN, (double)INFINITY, -(double)INFINITY, 9.3e18};
    uint64_t size = sizes[fuzz_rng(r, 4)], x = 0;
    if (n < size) size = 1;
    uint8_t *p = at + fuzz_rng(r, (uint32_t)(n / size)) * size;
    memcpy(&x, p, size);
    if (size == 8 && fuzz_rng(r, 4) == 0) memcpy(&x, &reals[fuzz_rng(r, 10)], 8);
    else if (fuzz_rng(r, 4) == 0) memcpy(&x, at + fuzz_rng(r, (uint32_t)(n / size)) * size, size);
    else x = fuzz_number(r, x);
    memcpy(p, &x, size);
}

/* A decimal number of a text becomes another; the new size. `room` bytes may be written. */
static inline uint64_t fuzz_digits(FuzzRng *r, uint8_t *at, uint64_t n, uint64_t room)
{
    char text[32];
    uint64_t from = fuzz_rng(r, (uint32_t)n), to;
    while (from < n && (at[from] < '0' || at[from] > '9')) from++;
    for (to = from; to < n && at[to] >= '0' && at[to] <= '9'; to++) {}
    int len = snprintf(text, sizeof text, "%lld", (long long)fuzz_number(r, strtoull((const char *)at + from, NULL, 10)));
    if (from == n || n - (to - from) + (uint64_t)len > room) return n;
    memmove(at + from + len, at + to, n - to);
    memcpy(at + from, text, (size_t)len);
    return n - (to - from) + (uint64_t)len;
}

typedef struct FuzzFile {
    AdvBlob blobs[FUZZ_MAX_BLOBS];
    AdvMeta meta[FUZZ_MAX_META];
    uint32_t n_blobs, n_meta;
} FuzzFile;

/* One change of `f`; `room` holds a copy of a tensor while its size may change. */
static inline void fuzz_change(FuzzRng *r, FuzzFile *f, uint8_t *room, uint64_t n_room)
{
    static const char *const values[] = {"", "0", "1", "2", "cpu", "ref64", "cpu,cpu", "checkpoint", "best", "best-00000008", "best-1"};
    uint32_t what = fuzz_rng(r, 32);
    if (what == 0 && f->n_meta) {
        f->meta[fuzz_rng(r, f->n_meta)].value = values[fuzz_rng(r, sizeof values / sizeof *values)];
        return;
    }
    if (what == 1 && f->n_meta) {
        f->meta[fuzz_rng(r, f->n_meta)] = f->meta[f->n_meta - 1];
        f->n_meta--;
        return;
    }
    if (!f->n_blobs) return;
    AdvBlob *b = &f->blobs[fuzz_rng(r, f->n_blobs)];
    if (what == 2) {
        memmove(b, b + 1, (size_t)(&f->blobs[--f->n_blobs] - b) * sizeof *b);
        return;
    }
    if (b->n_bytes == 0 || b->n_bytes > n_room) return;
    memcpy(room, b->data, b->n_bytes);
    b->data = room;
    bool is_text = b->dtype == ADV_U8 && b->rank == 1;
    if (is_text && fuzz_rng(r, 4) == 0) {
        b->n_bytes = fuzz_rng(r, 2) ? fuzz_digits(r, room, b->n_bytes, n_room) : LLVMFuzzerMutate(room, b->n_bytes, n_room);
        b->dim[0] = (int64_t)b->n_bytes;
    } else if (b->rank == 1 && what == 3) {
        uint64_t element = b->n_bytes / (uint64_t)b->dim[0];
        b->dim[0] = 1 + fuzz_rng(r, (uint32_t)b->dim[0]);
        b->n_bytes = element * (uint64_t)b->dim[0];
    } else {
        for (uint32_t n = 1 + fuzz_rng(r, 3); n; n--) fuzz_field(r, room, b->n_bytes);
    }
}

/* One or two changes of a container in data; 0: it is none. */
static inline size_t fuzz_container(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    FuzzRng r = {seed};
    FuzzFile f = {.n_blobs = 0};
    AdvContainer c;
    AdvArena arena;
    AdvAlloc a = adv_alloc_default();
    void *bytes = NULL;
    uint64_t n = 0;
    uint8_t *rooms[2] = {malloc(max_size), malloc(max_size)};
    size_t out = 0;
    MUST(rooms[0] && rooms[1]);
    adv_arena_init(&arena, a);
    if (adv_container_parse(&arena, data, size, "fuzz", NULL, &c) == ADV_OK && c.n_blobs <= FUZZ_MAX_BLOBS && c.n_meta <= FUZZ_MAX_META) {
        f.n_blobs = c.n_blobs;
        f.n_meta = c.n_meta;
        if (c.n_blobs) memcpy(f.blobs, c.blobs, c.n_blobs * sizeof *c.blobs);
        if (c.n_meta) memcpy(f.meta, c.meta, c.n_meta * sizeof *c.meta);
        for (uint32_t k = 0; k < 1 + fuzz_rng(&r, 2); k++) fuzz_change(&r, &f, rooms[k], max_size);
        out = size;
        if (adv_container_render(&a, f.blobs, f.n_blobs, f.meta, f.n_meta, NULL, &bytes, &n) == ADV_OK && n <= max_size) {
            memcpy(data, bytes, n);
            out = n;
        }
        adv_mem_free(&a, bytes, n);
    }
    adv_arena_fini(&arena);
    free(rooms[0]);
    free(rooms[1]);
    return out;
}

#endif
