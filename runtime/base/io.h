/* io.h: the file calls that checkpoints and data go through, as a table, so that tests can make the k-th one fail.
** All return 0 (or a count, or a descriptor) on success and -errno on failure. A NULL table or member takes POSIX's.
** Short counts and EINTR are honoured. */
#ifndef ADV_BASE_IO_H
#define ADV_BASE_IO_H

#include "runtime/base/diag.h"

typedef struct AdvIo {
    void *user;
    int (*open)(void *user, const char *path, int flags, int mode);
    int64_t (*read)(void *user, int fd, void *to, size_t n_bytes);
    int64_t (*write)(void *user, int fd, const void *from, size_t n_bytes);
    int (*fsync)(void *user, int fd);
    int (*close)(void *user, int fd);
    int (*rename)(void *user, const char *from, const char *to);
    int (*mkdir)(void *user, const char *path, int mode);
    int (*unlink)(void *user, const char *path);
    int64_t (*size)(void *user, int fd);  /* bytes of an open file: a hint, the content decides */
} AdvIo;

/* A part of a file to be written. */
typedef struct AdvPiece {
    const void *data;
    uint64_t n_bytes;
} AdvPiece;

/* The POSIX table. */
const AdvIo *adv_io_posix(void);

/* Reads a whole file of at most max_bytes into memory from `a`, one NUL appended (not counted).
** The caller frees (*out_bytes + 1). ADV_ENOENT, ADV_EIO, ADV_EDATA (too large), ADV_ENOMEM. */
AdvStatus adv_read_file(const AdvIo *io, const AdvAlloc *a, const char *path, uint64_t max_bytes, AdvDiags *ds, void **out_data,
                        uint64_t *out_bytes) ADV_MUST_USE;

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
