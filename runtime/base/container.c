/* container.c: reading. Nothing in the header is believed: each fact is checked once, here, and may be relied on after.
**
** The order of checks: length, JSON, metadata, each tensor alone, then all together (sorted by offset they must tile the data
** part), then the digest. jansson rejects duplicate keys, NUL in strings, text that is not UTF-8 and deep nesting.
*/
#include "runtime/base/checked.h"
#include "runtime/base/container_int.h"
#include "runtime/base/json_text.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct DtypeRow {
    const char *name, *st_name;
    uint32_t bytes;
} DtypeRow;

static const DtypeRow dtype_rows[ADV_DTYPE_COUNT] = {
    [ADV_DTYPE_NONE] = {"none", "NONE", 0}, [ADV_F32] = {"f32", "F32", 4}, [ADV_F64] = {"f64", "F64", 8}, [ADV_BF16] = {"bf16", "BF16", 2},
    [ADV_F16] = {"f16", "F16", 2},          [ADV_I32] = {"i32", "I32", 4}, [ADV_I64] = {"i64", "I64", 8}, [ADV_U8] = {"u8", "U8", 1},
};

uint32_t adv_dtype_bytes(uint8_t dtype)
{
    return dtype < ADV_DTYPE_COUNT ? dtype_rows[dtype].bytes : 0;
}

const char *adv_dtype_name(uint8_t dtype)
{
    return dtype_rows[dtype < ADV_DTYPE_COUNT ? dtype : ADV_DTYPE_NONE].name;
}

const char *adv_dtype_st_name(uint8_t dtype)
{
    return dtype_rows[dtype < ADV_DTYPE_COUNT ? dtype : ADV_DTYPE_NONE].st_name;
}

static uint8_t dtype_of(const char *st_name)
{
    for (int i = ADV_DTYPE_NONE + 1; i < ADV_DTYPE_COUNT; i++)
        if (strcmp(st_name, dtype_rows[i].st_name) == 0) return (uint8_t)i;
    return ADV_DTYPE_NONE;
}

uint64_t adv_container_type_bytes(uint8_t dtype, uint8_t rank, const int64_t *dim, int *out_ok)
{
    uint64_t n = adv_dtype_bytes(dtype);
    *out_ok = n != 0 && rank <= ADV_CONTAINER_MAX_DIMS;
    for (uint8_t i = 0; i < rank && *out_ok; i++) *out_ok = dim[i] >= 0 && adv_mul_ok(n, (uint64_t)dim[i], &n);
    return *out_ok ? n : 0;
}

/* What all checks need to know. `data` is the part after the header. */
typedef struct Reader {
    AdvArena *arena;
    AdvDiags *ds;
    const char *what;
    const unsigned char *data;
    uint64_t n_data;
    AdvContainer out;
    const char *digest; /* from the metadata, or NULL */
    const char *mark;
} Reader;

#define REFUSE(r, ...) adv_fail((r)->ds, ADV_EDATA, ADV_D_CONTAINER, __VA_ARGS__)

static AdvStatus no_memory(Reader *r)
{
    return adv_fail(r->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading the header of `%s`", r->what);
}

static int meta_compare(const void *a, const void *b)
{
    return strcmp(((const AdvMeta *)a)->key, ((const AdvMeta *)b)->key);
}

static AdvStatus read_meta(Reader *r, json_t *object)
{
    if (!json_is_object(object)) return REFUSE(r, "`%s`: `__metadata__` must be an object of strings", r->what);
    r->out.meta = adv_arena_array(r->arena, json_object_size(object), sizeof(AdvMeta));
    if (!r->out.meta) return no_memory(r);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value)) return REFUSE(r, "`%s`: metadata `%s` is not a string", r->what, key);
        const char *text = adv_arena_strn(r->arena, json_string_value(value), json_string_length(value));
        const char *name = adv_arena_strn(r->arena, key, strlen(key));
        if (!text || !name) return no_memory(r);
        if (strcmp(key, CONTAINER_DIGEST_KEY) == 0) r->out.digest = r->digest = text;
        else if (strcmp(key, CONTAINER_MARK_KEY) == 0) r->mark = text;
        else r->out.meta[r->out.n_meta++] = (AdvMeta){name, text};
    }
    if (r->out.n_meta > 1) qsort(r->out.meta, r->out.n_meta, sizeof(AdvMeta), meta_compare);
    return ADV_OK;
}

static AdvStatus read_shape(Reader *r, const char *name, json_t *shape, AdvBlob *b)
{
    if (!json_is_array(shape) || json_array_size(shape) > ADV_CONTAINER_MAX_DIMS) {
        return REFUSE(r, "`%s`: the shape of tensor `%s` must be a list of at most %d numbers", r->what, name, ADV_CONTAINER_MAX_DIMS);
    }
    b->rank = (uint8_t)json_array_size(shape);
    for (uint8_t i = 0; i < b->rank; i++) {
        json_t *n = json_array_get(shape, i);
        b->dim[i] = json_integer_value(n);
        if (!json_is_integer(n) || b->dim[i] < 0) {
            return REFUSE(r, "`%s`: dimension %d of tensor `%s` is not a whole number from 0", r->what, i + 1, name);
        }
    }
    return ADV_OK;
}

static AdvStatus read_offsets(Reader *r, const char *name, json_t *offsets, AdvBlob *b)
{
    json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last)) {
        return REFUSE(r, "`%s`: the offsets of tensor `%s` must be two whole numbers", r->what, name);
    }
    int64_t from = json_integer_value(first), to = json_integer_value(last);
    if (from < 0 || to < from || (uint64_t)to > r->n_data) {
        return REFUSE(r, "`%s`: tensor `%s` says it is at bytes %" PRId64 " to %" PRId64 ", but there are %" PRIu64, r->what, name, from,
                      to, r->n_data);
    }
    int fits;
    b->n_bytes = adv_container_type_bytes(b->dtype, b->rank, b->dim, &fits);
    if (!fits || b->n_bytes != (uint64_t)(to - from)) {
        return REFUSE(r, "`%s`: tensor `%s` has %" PRId64 " bytes, which is not what its type and shape need", r->what, name, to - from);
    }
    b->data = r->data + from;
    return ADV_OK;
}

static AdvStatus read_blob(Reader *r, const char *name, json_t *entry, AdvBlob *b)
{
    size_t len = strlen(name);
    if (len == 0 || len > CONTAINER_MAX_NAME_BYTES) {
        return REFUSE(r, "`%s`: a tensor's name has %zu bytes: 1 to %u are allowed", r->what, len, CONTAINER_MAX_NAME_BYTES);
    }
    if (!json_is_object(entry) || json_object_size(entry) != 3) {
        return REFUSE(r, "`%s`: tensor `%s` must have exactly `dtype`, `shape` and `data_offsets`", r->what, name);
    }
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    b->dtype = dtype ? dtype_of(dtype) : ADV_DTYPE_NONE;
    if (b->dtype == ADV_DTYPE_NONE) {
        return REFUSE(r, "`%s`: tensor `%s` has the type `%s`: F32, F64, BF16, F16, I32, I64 and U8 are known", r->what, name,
                      dtype ? dtype : "none");
    }
    b->name = adv_arena_strn(r->arena, name, len);
    if (!b->name) return no_memory(r);
    ADV_TRY(read_shape(r, name, json_object_get(entry, "shape"), b));
    return read_offsets(r, name, json_object_get(entry, "data_offsets"), b);
}

/* By place; an empty tensor before the one that begins where it stands. */
static int blob_compare(const void *a, const void *b)
{
    const AdvBlob *x = a, *y = b;
    const unsigned char *xp = x->data, *yp = y->data;
    if (xp != yp) return xp < yp ? -1 : 1;
    if (x->n_bytes != y->n_bytes) return x->n_bytes < y->n_bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static AdvStatus check_tiling(Reader *r)
{
    if (r->out.n_blobs > 1) qsort(r->out.blobs, r->out.n_blobs, sizeof(AdvBlob), blob_compare);
    const unsigned char *at = r->data;
    for (uint32_t i = 0; i < r->out.n_blobs; i++) {
        const AdvBlob *b = &r->out.blobs[i];
        if (b->data != at) return REFUSE(r, "`%s`: tensor `%s` overlaps another or leaves a hole before it", r->what, b->name);
        at += b->n_bytes;
    }
    if (at != r->data + r->n_data) {
        return REFUSE(r, "`%s`: %" PRIu64 " bytes at the end belong to no tensor", r->what, (uint64_t)(r->data + r->n_data - at));
    }
    return ADV_OK;
}

static AdvStatus check_digest(Reader *r)
{
    if (!r->digest && !r->mark) return ADV_OK;
    if (!r->digest || (r->mark && strcmp(r->mark, CONTAINER_DIGEST_KEY) != 0)) {
        return adv_fail(r->ds, ADV_EDATA, ADV_D_CONTAINER_DIGEST, "`%s` is damaged: its digest is missing", r->what);
    }
    char hex[ADV_CONTAINER_DIGEST_CHARS + 1];
    adv_container_digest(r->out.blobs, r->out.n_blobs, r->out.meta, r->out.n_meta, hex);
    if (strcmp(hex, r->digest) != 0) {
        return adv_fail(r->ds, ADV_EDATA, ADV_D_CONTAINER_DIGEST, "`%s` is damaged: its digest is %s, but its content gives %s", r->what,
                        r->digest, hex);
    }
    return ADV_OK;
}

static AdvStatus read_header(Reader *r, json_t *root)
{
    if (!json_is_object(root)) return REFUSE(r, "`%s`: the header is not a JSON object", r->what);
    size_t n = json_object_size(root);
    if (n > CONTAINER_MAX_BLOBS + 1)
        return REFUSE(r, "`%s`: the header has %zu tensors: at most %u are allowed", r->what, n, CONTAINER_MAX_BLOBS);
    r->out.blobs = adv_arena_array(r->arena, n, sizeof(AdvBlob));
    if (!r->out.blobs) return no_memory(r);
    const char *name;
    json_t *entry;
    json_object_foreach(root, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) ADV_TRY(read_meta(r, entry));
        else if (r->out.n_blobs == CONTAINER_MAX_BLOBS) return REFUSE(r, "`%s`: more than %u tensors", r->what, CONTAINER_MAX_BLOBS);
        else ADV_TRY(read_blob(r, name, entry, &r->out.blobs[r->out.n_blobs++]));
    }
    ADV_TRY(check_tiling(r));
    return check_digest(r);
}

static uint64_t u64_le(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

/* What torch.save writes: a zip file, or a bare pickle before PyTorch 1.6. */
static bool is_pickle(const unsigned char *bytes, uint64_t n_bytes)
{
    return n_bytes > 8 && (!memcmp(bytes, "PK\3\4", 4) || (bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5 && bytes[8] != '{'));
}

static AdvStatus refuse_pickle(Reader *r)
{
    AdvDiag *d = adv_diag(r->ds, ADV_D_CONTAINER, (AdvSpan){0, 0, 0},
                          "`%s` was written by `torch.save`: weights are safetensors files", r->what);
    adv_diag_help(d, "in Python: import torch, safetensors.torch as s; s.save_file(torch.load(\"%s\", map_location=\"cpu\"), "
                     "\"weights.safetensors\")", r->what);
    return ADV_EDATA;
}

static AdvStatus parse(Reader *r, const unsigned char *bytes, uint64_t n_bytes)
{
    uint64_t n_header = n_bytes >= 8 ? u64_le(bytes) : 0;
    if (n_bytes < 8) return REFUSE(r, "`%s` has %" PRIu64 " bytes: too short for a safetensors file", r->what, n_bytes);
    if (is_pickle(bytes, n_bytes)) return refuse_pickle(r);
    if (n_header > CONTAINER_MAX_HEADER_BYTES || !adv_range_ok(8, n_header, n_bytes)) {
        return REFUSE(r, "`%s` says that its header has %" PRIu64 " bytes: the file is cut off, or no safetensors file", r->what, n_header);
    }
    if (n_header < 2 || bytes[8] != '{') return REFUSE(r, "`%s` is no safetensors file: its header does not begin with `{`", r->what);
    r->data = bytes + 8 + n_header;
    r->n_data = n_bytes - 8 - n_header;
    AdvJsonError err;
    json_t *root = adv_json_read(&r->arena->alloc, (const char *)bytes + 8, (size_t)n_header, &err);
    if (!root && err.is_memory) return no_memory(r);
    if (!root) return REFUSE(r, "`%s`: the header is not valid JSON: %s, at byte %zu", r->what, err.what, 8 + err.at);
    AdvStatus st = read_header(r, root);
    json_decref(root);
    return st;
}

AdvStatus adv_container_parse(AdvArena *arena, const void *bytes, uint64_t n_bytes, const char *what, AdvDiags *ds, AdvContainer *out)
{
    *out = (AdvContainer){0};
    Reader r = {.arena = arena, .ds = ds, .what = what};
    jmp_buf *trap = arena->trap; /* a jump out of here would lose the JSON */
    arena->trap = NULL;
    AdvStatus st = parse(&r, bytes, n_bytes);
    arena->trap = trap;
    if (st == ADV_OK) *out = r.out;
    return st;
}

const AdvBlob *adv_container_blob(const AdvContainer *c, const char *name)
{
    for (uint32_t i = 0; i < c->n_blobs; i++)
        if (strcmp(c->blobs[i].name, name) == 0) return &c->blobs[i];
    return NULL;
}

const char *adv_container_meta(const AdvContainer *c, const char *key)
{
    for (uint32_t i = 0; i < c->n_meta; i++)
        if (strcmp(c->meta[i].key, key) == 0) return c->meta[i].value;
    return NULL;
}
