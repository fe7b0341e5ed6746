/* io.h: the file calls that checkpoints and data go through, as a table (AdvIo), so that tests can make the k-th one fail.
** A NULL table or member takes POSIX's. */
#ifndef ADV_BASE_IO_H
#define ADV_BASE_IO_H

#include "runtime/base/diag.h"

#include <stdbool.h>

#define ADV_PATH_BYTES 4200 /* of a path that is put together: a folder of PATH_MAX, and a name of ours in it */

/* A part of a file to be written. */
typedef struct AdvPiece {
    const void *data;
    uint64_t n_bytes;
} AdvPiece;

/* The POSIX table. */
const AdvIo *adv_io_posix(void);

/* A copy of a caller's table (its struct_size bytes) without NULL members. ADV_EINVAL: size or flags are not known. */
AdvStatus adv_io_read(const AdvIo *io, AdvIo *out_own) ADV_MUST_USE;

/* Reads a whole file of at most max_bytes into memory from `a`, one NUL appended (not counted).
** The caller frees (*out_bytes + 1). ADV_ENOENT, ADV_EIO, ADV_EDATA (too large), ADV_ENOMEM. */
AdvStatus adv_read_file(const AdvIo *io, const AdvAlloc *a, const char *path, uint64_t max_bytes, AdvDiags *ds, void **out_data,
                        uint64_t *out_bytes) ADV_MUST_USE;

/* Is there something of this name? In a folder that is a file, there is nothing. ADV_EIO: it cannot be told. */
AdvStatus adv_has_file(const AdvIo *io, const char *path, AdvDiags *ds, bool *out) ADV_MUST_USE;

/* Replaces `path` atomically: temporary file in the same folder, write, fsync, rename, fsync of the folder. On failure the old
** file is as before (only a failed fsync of the folder leaves it open which of the two survives a power cut). A process that
** is killed may leave `path`.tmp-<process id> behind. */
AdvStatus adv_write_file(const AdvIo *io, const AdvAlloc *a, const char *path, const void *data, uint64_t n_bytes,
                         AdvDiags *ds) ADV_MUST_USE;

/* As adv_write_file, the pieces one after the other. */
AdvStatus adv_write_pieces(const AdvIo *io, const AdvAlloc *a, const char *path, const AdvPiece *pieces, uint32_t n_pieces,
                           AdvDiags *ds) ADV_MUST_USE;

/* Makes a folder and its parents; one that is there already is fine. */
AdvStatus adv_make_dirs(const AdvIo *io, const char *path, AdvDiags *ds) ADV_MUST_USE;

#endif
