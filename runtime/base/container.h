/* container.h: the one file format: safetensors layout. Plans, checkpoints, weights and decoded data sets are all such files.
**
**   u64 little-endian header length | JSON header, padded with spaces to 64 bytes | tensor bytes, no holes
**
** The header maps names to {"dtype","shape","data_offsets"} and "__metadata__" to strings. The writer adds to the metadata
** "xxh3_128" (digest of header fields and bytes, 32 hexadecimal digits) and "adv.digest" = "xxh3_128", which says that the
** first must be there, so that no single damaged byte can turn the check off. Files of others have neither: they are read
** without this check. Both keys are reserved and not among the metadata that the reader gives or the writer takes.
**
** The digest is XXH3-128 (seed 0) of: for each metadata pair but "xxh3_128", by key: key NUL value NUL; then a NUL; for
** each tensor in file order: name NUL, safetensors dtype NUL, rank, each dimension and bytes as u64 little-endian; then a NUL
** and all tensor bytes.
**
** Reading checks everything before first use: header at most 16 MiB, at most 65,536 tensors, names at most 255 bytes,
** at most 8 dimensions, products by checked arithmetic, offsets that tile the data exactly, no duplicate keys.
** What the JSON library allocates while a header is read does not go through AdvAlloc (its hook is global).
*/
#ifndef ADV_BASE_CONTAINER_H
#define ADV_BASE_CONTAINER_H

#include "runtime/base/io.h"

#define ADV_CONTAINER_MAX_DIMS 8

typedef struct AdvBlob {
    const char *name;
    uint8_t dtype;  /* AdvDtype */
    uint8_t rank;
    int64_t dim[ADV_CONTAINER_MAX_DIMS];
    const void *data;  /* not owned; any alignment when read */
    uint64_t n_bytes;
} AdvBlob;

typedef struct AdvMeta { const char *key, *value; } AdvMeta;

/* A file read: every pointer in it lives in `arena` or in the caller's bytes. */
typedef struct AdvContainer {
    AdvBlob *blobs;  /* in the order of their bytes in the file */
    uint32_t n_blobs;
    AdvMeta *meta;
    uint32_t n_meta;
    const char *digest;  /* "xxh3_128", found right; NULL: the file has none */
} AdvContainer;

/* Parses bytes[0..n_bytes), which must outlive the result, names into `arena` (no trap needed). ADV_EDATA with a sentence
** that says what is wrong and where; `what` names the file in messages. Dimensions may be 0 here. A failed call leaves
** memory in the arena. */
AdvStatus adv_container_parse(AdvArena *arena, const void *bytes, uint64_t n_bytes, const char *what, AdvDiags *ds,
                              AdvContainer *out) ADV_MUST_USE;

/* The blob / metadata value of that name, or NULL. */
const AdvBlob *adv_container_blob(const AdvContainer *c, const char *name);
const char *adv_container_meta(const AdvContainer *c, const char *key);

/* Renders a container into one block from `a` (caller frees *out_bytes). Deterministic: blobs in the order given, metadata
** sorted by key. Names and keys must be distinct, at most 255 bytes of UTF-8, and n_bytes the product of the type (assert). */
AdvStatus adv_container_render(const AdvAlloc *a, const AdvBlob *blobs, uint32_t n_blobs, const AdvMeta *meta, uint32_t n_meta,
                               AdvDiags *ds, void **out_data, uint64_t *out_bytes) ADV_MUST_USE;

/* As render, streamed to `path` with the atomic protocol of adv_write_file. */
AdvStatus adv_container_write(const AdvIo *io, const AdvAlloc *a, const char *path, const AdvBlob *blobs, uint32_t n_blobs,
                              const AdvMeta *meta, uint32_t n_meta, AdvDiags *ds) ADV_MUST_USE;

/* The digest above, as lower-case hexadecimal digits and a NUL. `meta` is sorted by key and lacks both reserved keys. */
#define ADV_CONTAINER_DIGEST_CHARS 32
void adv_container_digest(const AdvBlob *blobs, uint32_t n_blobs, const AdvMeta *meta, uint32_t n_meta,
                          char out_hex[ADV_CONTAINER_DIGEST_CHARS + 1]);

/* Bytes of one element, 0 for an unknown dtype; its safetensors name ("F32", "I64", ...); and back. */
uint32_t adv_dtype_bytes(uint8_t dtype);
const char *adv_dtype_name(uint8_t dtype);   /* "f32", as in dumps */
const char *adv_dtype_st_name(uint8_t dtype);

#endif
