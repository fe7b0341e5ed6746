/* container_write.c: the digest, and writing: the header is made first, in memory, since it holds the digest of what follows. */
#include "runtime/base/checked.h"
#include "runtime/base/container_int.h"
#include "runtime/base/json_text.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static void digest_u64(XXH3_state_t *state, uint64_t v)
{
    unsigned char le[8];
    for (int i = 0; i < 8; i++) le[i] = (unsigned char)(v >> (8 * i));
    XXH3_128bits_update(state, le, sizeof le);
}

static void digest_str(XXH3_state_t *state, const char *s)
{
    XXH3_128bits_update(state, s, strlen(s) + 1);
}

/* The pairs in key order with the mark among them, where it belongs. */
static void digest_meta(XXH3_state_t *state, const AdvMeta *meta, uint32_t n_meta)
{
    int is_marked = 0;
    for (uint32_t i = 0; i <= n_meta; i++) {
        if (!is_marked && (i == n_meta || strcmp(meta[i].key, CONTAINER_MARK_KEY) > 0)) {
            digest_str(state, CONTAINER_MARK_KEY);
            digest_str(state, CONTAINER_DIGEST_KEY);
            is_marked = 1;
        }
        if (i == n_meta) break;
        digest_str(state, meta[i].key);
        digest_str(state, meta[i].value);
    }
    digest_str(state, "");
}

void adv_container_digest(const AdvBlob *blobs, uint32_t n_blobs, const AdvMeta *meta, uint32_t n_meta,
                          char out_hex[ADV_CONTAINER_DIGEST_CHARS + 1])
{
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    digest_meta(&state, meta, n_meta);
    for (uint32_t i = 0; i < n_blobs; i++) {
        digest_str(&state, blobs[i].name);
        digest_str(&state, adv_dtype_st_name(blobs[i].dtype));
        digest_u64(&state, blobs[i].rank);
        for (uint8_t d = 0; d < blobs[i].rank; d++) digest_u64(&state, (uint64_t)blobs[i].dim[d]);
        digest_u64(&state, blobs[i].n_bytes);
    }
    digest_str(&state, "");
    for (uint32_t i = 0; i < n_blobs; i++)
        if (blobs[i].n_bytes) XXH3_128bits_update(&state, blobs[i].data, (size_t)blobs[i].n_bytes);
    XXH128_hash_t h = XXH3_128bits_digest(&state);
    snprintf(out_hex, ADV_CONTAINER_DIGEST_CHARS + 1, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64, (uint64_t)h.low64);
}

static int meta_compare(const void *a, const void *b)
{
    return strcmp(((const AdvMeta *)a)->key, ((const AdvMeta *)b)->key);
}

static json_t *meta_object(const AdvMeta *sorted, uint32_t n_meta, const char *digest)
{
    json_t *o = json_object();
    int bad = !o;
    for (uint32_t i = 0; i < n_meta; i++) bad |= json_object_set_new(o, sorted[i].key, json_string(sorted[i].value));
    bad |= json_object_set_new(o, CONTAINER_MARK_KEY, json_string(CONTAINER_DIGEST_KEY));
    bad |= json_object_set_new(o, CONTAINER_DIGEST_KEY, json_string(digest));
    if (!bad) return o;
    json_decref(o);
    return NULL;
}

static json_t *blob_object(const AdvBlob *b, uint64_t at)
{
    json_t *shape = json_array();
    int bad = !shape;
    for (uint8_t i = 0; i < b->rank; i++) bad |= json_array_append_new(shape, json_integer(b->dim[i]));
    json_t *offsets = json_pack("[I, I]", (json_int_t)at, (json_int_t)(at + b->n_bytes));
    json_t *o = bad || !offsets
                    ? NULL
                    : json_pack("{s:s, s:O, s:O}", "dtype", adv_dtype_st_name(b->dtype), "shape", shape, "data_offsets", offsets);
    json_decref(shape);
    json_decref(offsets);
    return o;
}

/* The header's JSON, len + 1 bytes of `a`, or NULL when memory is out. */
static char *header_text(const AdvAlloc *a, const AdvBlob *blobs, uint32_t n_blobs, const AdvMeta *sorted, uint32_t n_meta, size_t *out_len)
{
    char digest[ADV_CONTAINER_DIGEST_CHARS + 1];
    adv_container_digest(blobs, n_blobs, sorted, n_meta, digest);
    json_t *root = json_object();
    int bad = json_object_set_new(root, "__metadata__", meta_object(sorted, n_meta, digest));
    uint64_t at = 0;
    for (uint32_t i = 0; i < n_blobs && !bad; i++) {
        assert(!json_object_get(root, blobs[i].name) && "names are distinct");
        bad = json_object_set_new(root, blobs[i].name, blob_object(&blobs[i], at));
        at += blobs[i].n_bytes;
    }
    char *text = bad ? NULL : adv_json_text(a, root, JSON_COMPACT, out_len);
    json_decref(root);
    return text;
}

static void check_arguments(const AdvBlob *blobs, uint32_t n_blobs, const AdvMeta *meta, uint32_t n_meta)
{
    assert(n_blobs <= CONTAINER_MAX_BLOBS);
    for (uint32_t i = 0; i < n_blobs; i++) {
        int fits;
        uint64_t n_bytes = adv_container_type_bytes(blobs[i].dtype, blobs[i].rank, blobs[i].dim, &fits);
        assert(fits && n_bytes == blobs[i].n_bytes);
        assert(blobs[i].name[0] && strlen(blobs[i].name) <= CONTAINER_MAX_NAME_BYTES && strcmp(blobs[i].name, "__metadata__") != 0);
        (void)n_bytes;
    }
    for (uint32_t i = 0; i < n_meta; i++) {
        assert(strcmp(meta[i].key, CONTAINER_DIGEST_KEY) != 0 && strcmp(meta[i].key, CONTAINER_MARK_KEY) != 0);
        (void)meta;
    }
}

static AdvStatus no_memory(AdvDiags *ds)
{
    return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while writing a header");
}

/* Length field, JSON and padding in one block of `a`. */
static AdvStatus make_header(const AdvAlloc *a, const AdvBlob *blobs, uint32_t n_blobs, const AdvMeta *meta, uint32_t n_meta, AdvDiags *ds,
                             unsigned char **out, uint64_t *out_bytes)
{
    check_arguments(blobs, n_blobs, meta, n_meta);
    size_t sorted_bytes = n_meta * sizeof(AdvMeta);
    AdvMeta *sorted = adv_mem_new(a, sorted_bytes);
    if (!sorted && n_meta) return no_memory(ds);
    if (n_meta) memcpy(sorted, meta, sorted_bytes);
    if (n_meta > 1) qsort(sorted, n_meta, sizeof *sorted, meta_compare);
    for (uint32_t i = 1; i < n_meta; i++) assert(strcmp(sorted[i - 1].key, sorted[i].key) != 0 && "keys are distinct");
    size_t len;
    char *text = header_text(a, blobs, n_blobs, sorted, n_meta, &len);
    adv_mem_free(a, sorted, sorted_bytes);
    if (!text) return no_memory(ds);

    size_t total = (8 + len + CONTAINER_ALIGN_BYTES - 1) / CONTAINER_ALIGN_BYTES * CONTAINER_ALIGN_BYTES;
    AdvStatus st = ADV_OK;
    if (total - 8 > CONTAINER_MAX_HEADER_BYTES) {
        st = adv_fail(ds, ADV_EDATA, ADV_D_TOO_LARGE, "a header of %zu bytes is needed: at most 16 MiB can be written", total);
    } else if (!(*out = adv_mem_new(a, total))) {
        st = no_memory(ds);
    } else {
        for (int i = 0; i < 8; i++) (*out)[i] = (unsigned char)((uint64_t)(total - 8) >> (8 * i));
        memcpy(*out + 8, text, len);
        memset(*out + 8 + len, ' ', total - 8 - len);
        *out_bytes = total;
    }
    adv_mem_free(a, text, len + 1);
    return st;
}

AdvStatus adv_container_render(const AdvAlloc *a, const AdvBlob *blobs, uint32_t n_blobs, const AdvMeta *meta, uint32_t n_meta,
                               AdvDiags *ds, void **out_data, uint64_t *out_bytes)
{
    unsigned char *header = NULL;
    uint64_t header_bytes = 0;
    *out_data = NULL;
    *out_bytes = 0;
    ADV_TRY(make_header(a, blobs, n_blobs, meta, n_meta, ds, &header, &header_bytes));
    uint64_t total = header_bytes;
    for (uint32_t i = 0; i < n_blobs; i++) total += blobs[i].n_bytes;
    unsigned char *all = total > SIZE_MAX ? NULL : a->fn(a->user, header, (size_t)header_bytes, (size_t)total);
    if (!all) {
        adv_mem_free(a, header, (size_t)header_bytes);
        return no_memory(ds);
    }
    uint64_t at = header_bytes;
    for (uint32_t i = 0; i < n_blobs; i++) {
        if (blobs[i].n_bytes) memcpy(all + at, blobs[i].data, (size_t)blobs[i].n_bytes);
        at += blobs[i].n_bytes;
    }
    *out_data = all;
    *out_bytes = total;
    return ADV_OK;
}

AdvStatus adv_container_write(const AdvIo *io, const AdvAlloc *a, const char *path, const AdvBlob *blobs, uint32_t n_blobs,
                              const AdvMeta *meta, uint32_t n_meta, AdvDiags *ds)
{
    unsigned char *header = NULL;
    uint64_t header_bytes = 0;
    ADV_TRY(make_header(a, blobs, n_blobs, meta, n_meta, ds, &header, &header_bytes));
    size_t pieces_bytes = ((size_t)n_blobs + 1) * sizeof(AdvPiece);
    AdvPiece *pieces = adv_mem_new(a, pieces_bytes);
    AdvStatus st = pieces ? ADV_OK : no_memory(ds);
    if (pieces) {
        pieces[0] = (AdvPiece){header, header_bytes};
        for (uint32_t i = 0; i < n_blobs; i++) pieces[i + 1] = (AdvPiece){blobs[i].data, blobs[i].n_bytes};
        st = adv_write_pieces(io, a, path, pieces, n_blobs + 1, ds);
    }
    adv_mem_free(a, pieces, pieces_bytes);
    adv_mem_free(a, header, (size_t)header_bytes);
    return st;
}
