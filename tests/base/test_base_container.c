/* test_base_container.c: round trips, every truncation, every flipped bit, wrong headers, lack of memory (ours and jansson's). */
#include "runtime/base/container.h"
#include "runtime/base/json_text.h"
#include "tests/adv_test.h"
#include "tests/base/fault_alloc.h"
#include "tests/base/fault_io.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static const float weights[6] = {1, -2, 3, 0.5f, 0, 1e9f};
static const int64_t ids[2] = {-1, (int64_t)1 << 40};
static const uint8_t image[5] = {0, 1, 2, 254, 255};

/* Every dtype size, a rank-0 number, an empty tensor in the middle. */
static uint32_t small_blobs(AdvBlob out[5])
{
    out[0] = (AdvBlob){"f.conv1.weight", ADV_F32, 3, {1, 2, 3}, weights, sizeof weights};
    out[1] = (AdvBlob){"step", ADV_I64, 0, {0}, ids, 8};
    out[2] = (AdvBlob){"none", ADV_F64, 2, {0, 7}, NULL, 0};
    out[3] = (AdvBlob){"ids", ADV_I64, 1, {2}, ids, sizeof ids};
    out[4] = (AdvBlob){"x \xC3\xA4\"\\", ADV_U8, 1, {5}, image, sizeof image};
    return 5;
}

static const AdvMeta small_meta[] = {{"zeta", "last"}, {"adv.what", "a test"}, {"text", "line\n\"quoted\" \xE2\x82\xAC"}};

static bool same_blob(const AdvBlob *a, const AdvBlob *b)
{
    bool same = strcmp(a->name, b->name) == 0 && a->dtype == b->dtype && a->rank == b->rank && a->n_bytes == b->n_bytes;
    for (int i = 0; same && i < a->rank; i++) same = a->dim[i] == b->dim[i];
    return same && (a->n_bytes == 0 || memcmp(a->data, b->data, a->n_bytes) == 0);
}

/* Is what was read exactly what small_blobs and small_meta say? */
static bool is_small(const AdvContainer *c)
{
    AdvBlob want[5];
    bool same = c->n_blobs == small_blobs(want) && c->n_meta == 3;
    for (uint32_t i = 0; same && i < 5; i++) same = same_blob(&c->blobs[i], &want[i]);
    for (int i = 0; same && i < 3; i++) {
        const char *value = adv_container_meta(c, small_meta[i].key);
        same = value && strcmp(value, small_meta[i].value) == 0;
    }
    return same;
}

static void *render_small(uint64_t *n)
{
    AdvAlloc a = adv_alloc_default();
    AdvBlob blobs[5];
    void *bytes = NULL;
    uint32_t n_blobs = small_blobs(blobs);
    CHECK_EQ(adv_container_render(&a, blobs, n_blobs, small_meta, 3, NULL, &bytes, n), ADV_OK);
    return bytes;
}

static AdvStatus parse(const void *bytes, uint64_t n, AdvDiags *ds, bool *out_same)
{
    AdvArena arena;
    adv_arena_init(&arena, adv_alloc_default());
    AdvContainer c;
    AdvStatus st = adv_container_parse(&arena, bytes, n, "t", ds, &c);
    *out_same = st == ADV_OK && is_small(&c);
    adv_arena_fini(&arena);
    return st;
}

static void round_trip(void)
{
    AdvAlloc a = adv_alloc_default();
    uint64_t n, again_n;
    unsigned char *bytes = render_small(&n), *again = render_small(&again_n);
    CHECK(n == again_n && memcmp(bytes, again, n) == 0);
    CHECK_EQ((n - (6 * 4 + 8 + 16 + 5)) % 64, 0);
    CHECK(bytes[8] == '{');
    bool same;
    CHECK_EQ(parse(bytes, n, NULL, &same), ADV_OK);
    CHECK(same);

    AdvArena arena;
    adv_arena_init(&arena, a);
    AdvContainer c;
    CHECK_EQ(adv_container_parse(&arena, bytes, n, "t", NULL, &c), ADV_OK);
    CHECK(adv_container_blob(&c, "ids") == &c.blobs[3]);
    CHECK(adv_container_blob(&c, "idz") == NULL);
    CHECK(adv_container_meta(&c, "xxh3_128") == NULL && adv_container_meta(&c, "adv.digest") == NULL);
    adv_arena_fini(&arena);
    adv_mem_free(&a, again, again_n);
    adv_mem_free(&a, bytes, n);

    void *empty;
    CHECK_EQ(adv_container_render(&a, NULL, 0, NULL, 0, NULL, &empty, &n), ADV_OK);
    CHECK_EQ(n % 64, 0);
    adv_arena_init(&arena, a);
    CHECK_EQ(adv_container_parse(&arena, empty, n, "t", NULL, &c), ADV_OK);
    CHECK(c.n_blobs == 0 && c.n_meta == 0);
    adv_arena_fini(&arena);
    adv_mem_free(&a, empty, n);
}

/* Each shorter file is in a block of its own size, so that AddressSanitizer sees a byte too far. */
static void every_truncation_is_refused(void)
{
    AdvAlloc a = adv_alloc_default();
    uint64_t n;
    unsigned char *bytes = render_small(&n);
    int accepted = 0;
    for (uint64_t cut = 0; cut < n; cut++) {
        unsigned char *part = test_mem(cut);
        memcpy(part, bytes, cut);
        bool same;
        accepted += parse(part, cut, NULL, &same) != ADV_EDATA;
        free(part);
    }
    CHECK_EQ(accepted, 0);
    unsigned char *more = test_mem(n + 1);
    memcpy(more, bytes, n);
    more[n] = 0;
    bool same;
    CHECK_EQ(parse(more, n + 1, NULL, &same), ADV_EDATA);
    free(more);
    adv_mem_free(&a, bytes, n);
}

static void every_flipped_bit_is_refused_or_harmless(void)
{
    AdvAlloc a = adv_alloc_default();
    uint64_t n;
    unsigned char *bytes = render_small(&n);
    long n_harmless = 0, n_wrong = 0;
    for (uint64_t i = 0; i < n * 8; i++) {
        bytes[i / 8] ^= (unsigned char)(1u << i % 8);
        bool same;
        AdvStatus st = parse(bytes, n, NULL, &same);
        if (st == ADV_OK && same) n_harmless++;
        else if (st != ADV_EDATA) n_wrong++;
        bytes[i / 8] ^= (unsigned char)(1u << i % 8);
    }
    CHECK_EQ(n_wrong, 0);
    CHECK(n_harmless < 64); /* at most the padding's blanks */
    adv_mem_free(&a, bytes, n);
}

/* A file of somebody else: `json` as header, n_data bytes of data. The status, and the message in `out`. */
static AdvStatus parse_foreign(const char *json, size_t n_json, uint64_t n_data, char out[256])
{
    unsigned char *bytes = test_mem(8 + n_json + n_data);
    memset(bytes, 0, 8 + n_json + n_data);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)n_json >> (8 * i));
    memcpy(bytes + 8, json, n_json);
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    bool same;
    AdvStatus st = parse(bytes, 8 + n_json + n_data, ds, &same);
    snprintf(out, 256, "%s", ds->list.n ? ds->list.at[0]->message : "");
    CHECK_EQ(ds->n_errors, st != ADV_OK);
    adv_diags_free(ds);
    free(bytes);
    return st;
}

static void headers_of_others(void)
{
    /* What the message contains, or NULL when the file is fine; data bytes; header. */
    static const struct { const char *says; uint64_t n_data; const char *json;
    } rows[] = {
        {NULL, 0, "{}"},
        {NULL, 0, "{}      \n"},
        {NULL, 4, "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}"},
        {NULL, 6,
         "{\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[4,6]},\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}"
         "}"},
        {NULL, 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]},\"__metadata__\":{\"format\":\"pt\"}}"},
        {NULL, 0,
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"},
        {"does not begin with", 0, " {}"},
        {"does not begin with", 0, "[]"},
        {"does not begin with", 0, "{"},
        {"not valid JSON", 0, "{]"},
        {"not valid JSON", 0, "{}{}"},
        {"duplicate", 1,
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"},
        {"duplicate", 1, "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"},
        {"must have exactly", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}"},
        {"must have exactly", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":0}}"},
        {"must have exactly", 1, "{\"a\":[]}"},
        {"has the type `none`", 1, "{\"a\":{\"dtypo\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"},
        {"has the type `F8_E4M3`", 1, "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}"},
        {"has the type `u8`", 1, "{\"a\":{\"dtype\":\"u8\",\"shape\":[1],\"data_offsets\":[0,1]}}"},
        {"has the type `none`", 1, "{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,1]}}"},
        {"at most 8 numbers", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}"},
        {"at most 8 numbers", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}"},
        {"at most 8 numbers", 1, "{\"a\":{\"dtype\":\"U8\",\"shapo\":[1],\"data_offsets\":[0,1]}}"},
        {"dimension 1 of tensor `a`", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}"},
        {"dimension 2 of tensor `a`", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1.0],\"data_offsets\":[0,1]}}"},
        {"not valid JSON", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[99999999999999999999],\"data_offsets\":[0,1]}}"},
        {"two whole numbers", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}"},
        {"two whole numbers", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,\"1\"]}}"},
        {"two whole numbers", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":{}}}"},
        {"says it is at bytes 0 to 2", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}"},
        {"says it is at bytes -1 to 0", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}"},
        {"says it is at bytes 1 to 0", 1, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}"},
        {"not what its type and shape need", 4, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}"},
        {"not what its type and shape need", 0, "{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}"},
        {"not what its type and shape need", 0,
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,0]}}"},
        {"belong to no tensor", 3, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}"},
        {"belong to no tensor", 3, "{}"},
        {"leaves a hole", 3, "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}"},
        {"overlaps another", 3,
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}"},
        {"overlaps another", 2,
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}"},
        {"object of strings", 0, "{\"__metadata__\":[]}"},
        {"metadata `k` is not a string", 0, "{\"__metadata__\":{\"k\":1}}"},
        {"its digest is missing", 0, "{\"__metadata__\":{\"adv.digest\":\"xxh3_128\"}}"},
        {"its digest is missing", 0, "{\"__metadata__\":{\"adv.digest\":\"md5\",\"xxh3_128\":\"0\"}}"},
        {"its digest is 00", 0, "{\"__metadata__\":{\"adv.digest\":\"xxh3_128\",\"xxh3_128\":\"00\"}}"},
        {"name has 0 bytes", 1, "{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"},
        {"not valid JSON", 1, "{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"},
        {"not valid JSON", 1, "{\"a\xFF\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char says[256];
        AdvStatus st = parse_foreign(rows[i].json, strlen(rows[i].json), rows[i].n_data, says);
        CHECK_EQ(st, rows[i].says ? ADV_EDATA : ADV_OK);
        if (!strstr(says, rows[i].says ? rows[i].says : "")) {
            printf("row %zu: %s\n", i, rows[i].json);
            CHECK_STR(says, rows[i].says);
        }
    }
}

static void header_limits(void)
{
    char says[256];
    char *json = test_mem(((size_t)17 << 20) + 2);
    /* exactly 16 MiB of header is read, one more byte is not */
    for (size_t n = (size_t)16 << 20, i = 0; i < 2; i++) {
        memset(json, ' ', n + i);
        json[0] = '{', json[1] = '}';
        CHECK_EQ(parse_foreign(json, n + i, 0, says), i ? ADV_EDATA : ADV_OK);
        if (i) CHECK(strstr(says, "says that its header has 16777217 bytes") != NULL);
    }
    /* deep nesting, a name of 255 and of 256 bytes */
    memset(json, '[', 1 << 20);
    memcpy(json, "{\"a\":", 5);
    CHECK_EQ(parse_foreign(json, 1 << 20, 0, says), ADV_EDATA);
    for (int len = 255; len <= 256; len++) {
        char name[300];
        memset(name, 'n', sizeof name);
        int n = snprintf(json, 1000, "{\"%.*s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", len, name);
        CHECK_EQ(parse_foreign(json, (size_t)n, 1, says), len == 255 ? ADV_OK : ADV_EDATA);
    }
    /* 65,536 tensors and one more */
    for (int count = 65536; count <= 65537; count++) {
        size_t at = 1;
        json[0] = '{';
        for (int i = 0; i < count; i++) {
            at += (size_t)sprintf(json + at, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", i ? "," : "", i);
        }
        json[at++] = '}';
        CHECK_EQ(parse_foreign(json, at, 0, says), count == 65536 ? ADV_OK : ADV_EDATA);
    }
    free(json);
    /* a header length that wraps around */
    unsigned char huge[16];
    memset(huge, 0xFF, sizeof huge);
    bool same;
    CHECK_EQ(parse(huge, sizeof huge, NULL, &same), ADV_EDATA);
}

/* Rendering and parsing with the k-th of our allocations failing. */
static void our_memory_fails(void)
{
    AdvBlob blobs[5];
    uint32_t n_blobs = small_blobs(blobs);
    long k = 1;
    for (bool done = false; !done && k < 50; k++) {
        FaultAlloc f = {.fail_at = k};
        AdvAlloc a = fault_alloc(&f);
        void *bytes;
        uint64_t n;
        AdvArena arena;
        adv_arena_init(&arena, a);
        AdvStatus st = adv_container_render(&a, blobs, n_blobs, small_meta, 3, NULL, &bytes, &n);
        if (st == ADV_OK) {
            jmp_buf never;
            arena.trap = &never; /* must not be taken, or the JSON would leak */
            AdvContainer c;
            st = adv_container_parse(&arena, bytes, n, "t", NULL, &c);
            CHECK(st != ADV_OK || is_small(&c));
            CHECK(arena.trap == &never);
            adv_mem_free(&a, bytes, n);
        } else {
            CHECK(bytes == NULL && n == 0);
        }
        done = f.calls < k;
        CHECK_EQ(st, done ? ADV_OK : ADV_ENOMEM);
        adv_arena_fini(&arena);
        CHECK(f.n_live == 0 && f.n_wrong_sizes == 0);
    }
    CHECK(k > 4);
}

static long json_calls, json_fail_at;

static void *json_fault_malloc(size_t n)
{
    return ++json_calls == json_fail_at ? NULL : malloc(n);
}

/* The same with jansson's own memory, through its hook. */
static void json_memory_fails(void)
{
    AdvAlloc a = adv_alloc_default();
    AdvBlob blobs[5];
    uint32_t n_blobs = small_blobs(blobs);
    uint64_t n_good;
    void *good = render_small(&n_good);
    json_set_alloc_funcs(json_fault_malloc, free);
    long k = 1, n_refused = 0;
    for (bool done = false; !done && k < 2000; k++) {
        json_calls = 0;
        json_fail_at = k;
        void *bytes;
        uint64_t n;
        AdvStatus st = adv_container_render(&a, blobs, n_blobs, small_meta, 3, NULL, &bytes, &n);
        if (st == ADV_OK) {
            bool same;
            CHECK(n == n_good && memcmp(bytes, good, n) == 0); /* whole, or not there */
            st = parse(bytes, n, NULL, &same);
            CHECK(same == (st == ADV_OK));
            adv_mem_free(&a, bytes, n);
        }
        done = json_calls < k;
        CHECK(done ? st == ADV_OK : st == ADV_ENOMEM || st == ADV_EDATA);
        n_refused += st != ADV_OK;
    }
    json_set_alloc_funcs(malloc, free);
    CHECK(n_refused > 50 && n_refused == k - 2);
    adv_mem_free(&a, good, n_good);
}

/* A long text with sorted keys: no key is lost when memory is out somewhere on the way. */
static void json_text_is_whole(void)
{
    AdvAlloc a = adv_alloc_default();
    char key[64], *good;
    size_t n_good, n;
    json_t *o = json_object();
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "a key of some length %d", i);
        CHECK_EQ(json_object_set_new(o, key, json_pack("{s:i}", "number", i)), 0);
    }
    good = adv_json_text(&a, o, JSON_SORT_KEYS, &n_good);
    CHECK(good && strlen(good) == n_good && strstr(good, "length 199"));
    json_set_alloc_funcs(json_fault_malloc, free);
    long k = 1;
    for (bool done = false; !done && k < 5000; k++) {
        json_calls = 0;
        json_fail_at = k;
        char *text = adv_json_text(&a, o, JSON_SORT_KEYS, &n);
        done = json_calls < k;
        CHECK(done ? text != NULL : text == NULL);
        if (text) {
            CHECK(n == n_good && !strcmp(text, good));
            adv_mem_free(&a, text, n + 1);
        }
    }
    CHECK(k > 200);
    json_set_alloc_funcs(malloc, free);
    adv_mem_free(&a, good, n_good + 1);
    json_decref(o);
}

/* Texts changed at random: accepted and refused as by the library, whose values these are; each lack of memory is an answer. */
static void json_is_read_as_by_the_library(void)
{
    static const char *const texts[] = {
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},\"__metadata__\":{\"k\":\"v\"}}",
        "[1,-2.5e10,0,-0,1E5,1e40,true,false,null,\"\\u00e9\\ud83d\\ude00 \xc3\xa9\",{}, [] ]",
        "{\"a\":[[[[1]]]],\"b\":\"\\n\\t\\\"\",\"c\":9223372036854775807,\"d\":-9223372036854775808}",
    };
    static const char bytes[] = "{}[]\",:\\u0123456789eE+-.truefalsn \n\x01\xff\xc3\xa9\xed\xa0\x80";
    AdvAlloc a = adv_alloc_default();
    uint32_t rng = 1;
    int n_read = 0;
    for (int i = 0; i < 20000; i++) {
        const char *from = texts[i % 3];
        size_t n = strlen(from);
        char *s = test_mem(n);
        memcpy(s, from, n);
        for (int k = 0; k < i % 4; k++) {
            rng = rng * 1664525u + 1013904223u;
            s[(rng >> 8) % n] = bytes[(rng >> 20) % (sizeof bytes - 1)];
        }
        AdvJsonError err;
        json_error_t their_err;
        json_t *ours = adv_json_read(&a, s, n, &err), *theirs = json_loadb(s, n, JSON_REJECT_DUPLICATES, &their_err);
        CHECK((ours != NULL) == (theirs != NULL) && (!ours || json_equal(ours, theirs)));
        CHECK((ours == NULL) == (err.what != NULL));
        n_read += ours != NULL;
        json_decref(ours);
        json_decref(theirs);
        json_set_alloc_funcs(json_fault_malloc, free);
        for (json_fail_at = 1, json_calls = 1; i < 300 && json_fail_at <= json_calls; json_fail_at++) {
            json_calls = 0;
            ours = adv_json_read(&a, s, n, &err);
            if (json_calls >= json_fail_at) CHECK(!ours && err.is_memory);
            json_decref(ours);
        }
        json_set_alloc_funcs(malloc, free);
        free(s);
    }
    CHECK(n_read > 5000 && n_read < 15000);
}

/* Written through the table, each call failing in turn: what is there is the old or the new file, whole. */
static void writing_fails_safely(void)
{
    char path[] = "/tmp/adv_test_container_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    AdvAlloc a = adv_alloc_default();
    AdvBlob blobs[5];
    uint32_t n_blobs = small_blobs(blobs);
    uint64_t want_n, n;
    unsigned char *want = render_small(&want_n);
    CHECK_EQ(adv_container_write(NULL, &a, path, blobs, 1, NULL, 0, NULL), ADV_OK);
    long k = 1;
    for (bool done = false; !done && k < 100; k++) {
        FaultIo f = {.fail_at = k, .error = EIO};
        AdvIo io = fault_io(&f);
        AdvStatus st = adv_container_write(&io, &a, path, blobs, n_blobs, small_meta, 3, NULL);
        done = f.calls < k;
        CHECK_EQ(st, done ? ADV_OK : ADV_EIO);
        void *bytes;
        CHECK_EQ(adv_read_file(NULL, &a, path, 1 << 20, NULL, &bytes, &n), ADV_OK);
        AdvArena arena;
        adv_arena_init(&arena, a);
        AdvContainer c;
        CHECK_EQ(adv_container_parse(&arena, bytes, n, path, NULL, &c), ADV_OK);
        CHECK(c.n_blobs == (is_small(&c) ? 5 : 1));
        if (done) CHECK(n == want_n && memcmp(bytes, want, n) == 0);
        adv_arena_fini(&arena);
        adv_mem_free(&a, bytes, n + 1);
    }
    CHECK(k > 8);
    adv_mem_free(&a, want, want_n);
    CHECK_EQ(unlink(path), 0);
}

int main(void)
{
    RUN(round_trip);
    RUN(every_truncation_is_refused);
    RUN(every_flipped_bit_is_refused_or_harmless);
    RUN(headers_of_others);
    RUN(header_limits);
    RUN(our_memory_fails);
    RUN(json_memory_fails);
    RUN(json_text_is_whole);
    RUN(json_is_read_as_by_the_library);
    RUN(writing_fails_safely);
    return ADV_TEST_END();
}
