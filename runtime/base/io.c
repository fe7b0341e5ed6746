/* io.c: whole files in and out. Writing never touches the old file: what is there before a rename is complete and on disk. */
#include "runtime/base/io.h"
#include "runtime/base/checked.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_READ_BYTES ((uint64_t)64 << 10)
#define LARGEST_CALL_BYTES ((size_t)1 << 30) /* POSIX leaves larger counts to the system; Linux cuts them */
#define MAX_PATH_BYTES 4096

static int posix_open(void *user, const char *path, int flags, int mode)
{
    (void)user;
    int fd = open(path, flags, mode);
    return fd < 0 ? -errno : fd;
}

static int64_t posix_read(void *user, int fd, void *to, size_t n_bytes)
{
    (void)user;
    ssize_t n = read(fd, to, n_bytes);
    return n < 0 ? -errno : n;
}

static int64_t posix_write(void *user, int fd, const void *from, size_t n_bytes)
{
    (void)user;
    ssize_t n = write(fd, from, n_bytes);
    return n < 0 ? -errno : n;
}

static int posix_fsync(void *user, int fd)
{
    (void)user;
    return fsync(fd) < 0 ? -errno : 0;
}

/* After EINTR the descriptor is closed on Linux; calling again could close somebody else's. */
static int posix_close(void *user, int fd)
{
    (void)user;
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static int posix_rename(void *user, const char *from, const char *to)
{
    (void)user;
    return rename(from, to) < 0 ? -errno : 0;
}

static int posix_mkdir(void *user, const char *path, int mode)
{
    (void)user;
    return mkdir(path, (mode_t)mode) < 0 ? -errno : 0;
}

static int posix_unlink(void *user, const char *path)
{
    (void)user;
    return unlink(path) < 0 ? -errno : 0;
}

static int64_t posix_size(void *user, int fd)
{
    (void)user;
    struct stat st;
    return fstat(fd, &st) < 0 ? -errno : (int64_t)st.st_size;
}

static int posix_list(void *user, const char *path, int (*each)(void *each_user, const char *name), void *each_user)
{
    DIR *d = opendir(path);
    int is_ended = 0, err;
    (void)user;
    if (!d) return -errno;
    for (struct dirent *e; errno = 0, !is_ended && (e = readdir(d));) is_ended = each(each_user, e->d_name);
    err = is_ended ? 0 : errno;
    closedir(d);
    return -err;
}

static int posix_rmdir(void *user, const char *path)
{
    (void)user;
    return rmdir(path) < 0 ? -errno : 0;
}

static int posix_cut(void *user, int fd, int64_t n_bytes)
{
    (void)user;
    return ftruncate(fd, (off_t)n_bytes) < 0 ? -errno : 0;
}

static const AdvIo posix_io = {.struct_size = sizeof(AdvIo),
                               .open = posix_open,
                               .read = posix_read,
                               .write = posix_write,
                               .fsync = posix_fsync,
                               .close = posix_close,
                               .rename = posix_rename,
                               .mkdir = posix_mkdir,
                               .unlink = posix_unlink,
                               .size = posix_size,
                               .list = posix_list,
                               .rmdir = posix_rmdir,
                               .cut = posix_cut};

const AdvIo *adv_io_posix(void)
{
    return &posix_io;
}

/* A copy of the table without NULL members. */
static AdvIo whole_table(const AdvIo *io)
{
    if (!io) return posix_io;
    AdvIo t = *io;
    if (!t.open) t.open = posix_open;
    if (!t.read) t.read = posix_read;
    if (!t.write) t.write = posix_write;
    if (!t.fsync) t.fsync = posix_fsync;
    if (!t.close) t.close = posix_close;
    if (!t.rename) t.rename = posix_rename;
    if (!t.mkdir) t.mkdir = posix_mkdir;
    if (!t.unlink) t.unlink = posix_unlink;
    if (!t.size) t.size = posix_size;
    if (!t.list) t.list = posix_list;
    if (!t.rmdir) t.rmdir = posix_rmdir;
    if (!t.cut) t.cut = posix_cut;
    return t;
}

AdvStatus adv_io_read(const AdvIo *io, AdvIo *out_own)
{
    AdvIo known = {0};
    *out_own = posix_io;
    if (!io) return ADV_OK;
    if (io->struct_size < offsetof(AdvIo, open) || io->flags) return ADV_EINVAL;
    memcpy(&known, io, io->struct_size < sizeof known ? io->struct_size : sizeof known);
    *out_own = whole_table(&known);
    return ADV_OK;
}

/* `verb` as in "read", "write", "make the folder". */
static AdvStatus io_failed(AdvDiags *ds, const char *verb, const char *path, int err)
{
    char why[128];
    if (strerror_r(err, why, sizeof why) != 0) snprintf(why, sizeof why, "error %d", err);
    return adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot %s `%s`: %s", verb, path, why);
}

static AdvStatus no_memory(AdvDiags *ds, const char *path, uint64_t n_bytes)
{
    return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory: `%s` needs %llu bytes", path, (unsigned long long)n_bytes);
}

/* open, again after EINTR. */
static int open_file(const AdvIo *t, const char *path, int flags)
{
    int fd;
    do fd = t->open(t->user, path, flags | O_CLOEXEC, 0666);
    while (fd == -EINTR);
    return fd;
}

/* What has been read so far: `cap` bytes, of which `n` are filled. */
typedef struct Bytes {
    unsigned char *at;
    uint64_t n, cap;
} Bytes;

static bool resize(const AdvAlloc *a, Bytes *b, uint64_t cap)
{
    if (cap > SIZE_MAX) return false;
    void *p = a->fn(a->user, b->at, (size_t)b->cap, (size_t)cap);
    if (!p) return false;
    b->at = p;
    b->cap = cap;
    return true;
}

/* Fills b from fd to the end of the file. */
static AdvStatus read_all(const AdvIo *t, const AdvAlloc *a, int fd, const char *path, uint64_t max_bytes, AdvDiags *ds, Bytes *b)
{
    for (;;) {
        if (b->n == b->cap && !resize(a, b, b->cap > UINT64_MAX / 2 ? UINT64_MAX : 2 * b->cap)) return no_memory(ds, path, 2 * b->cap);
        uint64_t room = b->cap - b->n;
        int64_t got = t->read(t->user, fd, b->at + b->n, room < LARGEST_CALL_BYTES ? (size_t)room : LARGEST_CALL_BYTES);
        if (got == -EINTR) continue;
        if (got < 0) return io_failed(ds, "read", path, (int)-got);
        if (got == 0) return ADV_OK;
        b->n += (uint64_t)got;
        if (b->n > max_bytes) {
            return adv_fail(ds, ADV_EDATA, ADV_D_TOO_LARGE, "`%s` is larger than %llu bytes, the most for such a file", path,
                            (unsigned long long)max_bytes);
        }
    }
}

AdvStatus adv_read_file(const AdvIo *io, const AdvAlloc *a, const char *path, uint64_t max_bytes, AdvDiags *ds, void **out_data,
                        uint64_t *out_bytes)
{
    const AdvIo t = whole_table(io);
    *out_data = NULL;
    *out_bytes = 0;
    int fd = open_file(&t, path, O_RDONLY);
    if (fd == -ENOENT || fd == -ENOTDIR) return adv_fail(ds, ADV_ENOENT, ADV_D_NO_FILE, "there is no file `%s`", path);
    if (fd < 0) return io_failed(ds, "open", path, -fd);

    Bytes b = {0};
    int64_t size = t.size(t.user, fd);
    uint64_t cap = size > 0 ? (uint64_t)size : FIRST_READ_BYTES;
    if (cap > max_bytes) cap = max_bytes;
    if (cap < UINT64_MAX) cap++; /* for the NUL; until then to see the end of the file without growing */
    AdvStatus st = resize(a, &b, cap) ? read_all(&t, a, fd, path, max_bytes, ds, &b) : no_memory(ds, path, cap);
    (void)t.close(t.user, fd); /* nothing was written: a failure loses nothing */
    if (st == ADV_OK && b.cap != b.n + 1 && !resize(a, &b, b.n + 1)) st = no_memory(ds, path, b.n + 1);
    if (st != ADV_OK) {
        adv_mem_free(a, b.at, (size_t)b.cap);
        return st;
    }
    b.at[b.n] = 0;
    *out_data = b.at;
    *out_bytes = b.n;
    return ADV_OK;
}

AdvStatus adv_has_file(const AdvIo *io, const char *path, AdvDiags *ds, bool *out)
{
    const AdvIo t = whole_table(io);
    int fd = open_file(&t, path, O_RDONLY);
    *out = fd >= 0;
    if (fd >= 0) (void)t.close(t.user, fd);
    return fd >= 0 || fd == -ENOENT || fd == -ENOTDIR ? ADV_OK : io_failed(ds, "open", path, -fd);
}

static int write_all(const AdvIo *t, int fd, const void *data, uint64_t n_bytes)
{
    const unsigned char *p = data;
    while (n_bytes) {
        int64_t n = t->write(t->user, fd, p, n_bytes < LARGEST_CALL_BYTES ? (size_t)n_bytes : LARGEST_CALL_BYTES);
        if (n == -EINTR) continue;
        if (n == 0) return -EIO;
        if (n < 0) return (int)n;
        assert((uint64_t)n <= n_bytes);
        p += n;
        n_bytes -= (uint64_t)n;
    }
    return 0;
}

static int sync_file(const AdvIo *t, int fd)
{
    int rc;
    do rc = t->fsync(t->user, fd);
    while (rc == -EINTR);
    return rc;
}

/* Makes a rename in the folder of `path` durable. Some file systems cannot sync a folder and say EINVAL: they need not. */
static int sync_folder_of(const AdvIo *t, const AdvAlloc *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == path ? 1 : slash ? (size_t)(slash - path) : 1;
    char *folder = adv_mem_new(a, len + 1);
    if (!folder) return -ENOMEM;
    memcpy(folder, slash ? path : ".", len);
    folder[len] = 0;
    int fd = open_file(t, folder, O_RDONLY | O_DIRECTORY);
    adv_mem_free(a, folder, len + 1);
    if (fd < 0) return fd;
    int rc = sync_file(t, fd);
    int closed = t->close(t->user, fd);
    return rc == -EINVAL ? 0 : rc ? rc : closed;
}

/* The new content under its temporary name, complete and on disk; or no such file. */
static int write_temp(const AdvIo *t, const char *temp, const AdvPiece *pieces, uint32_t n_pieces)
{
    int fd = open_file(t, temp, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) return fd;
    int rc = 0;
    for (uint32_t i = 0; i < n_pieces && rc == 0; i++) rc = write_all(t, fd, pieces[i].data, pieces[i].n_bytes);
    if (rc == 0) rc = sync_file(t, fd);
    int closed = t->close(t->user, fd);
    if (rc == 0) rc = closed;
    if (rc != 0) (void)t->unlink(t->user, temp);
    return rc;
}

AdvStatus adv_write_pieces(const AdvIo *io, const AdvAlloc *a, const char *path, const AdvPiece *pieces, uint32_t n_pieces, AdvDiags *ds)
{
    const AdvIo t = whole_table(io);
    size_t temp_bytes = strlen(path) + sizeof ".tmp-" + 20;
    char *temp = adv_mem_new(a, temp_bytes);
    if (!temp) return no_memory(ds, path, temp_bytes);
    snprintf(temp, temp_bytes, "%s.tmp-%ld", path, (long)getpid());
    int rc = write_temp(&t, temp, pieces, n_pieces);
    if (rc == 0) {
        rc = t.rename(t.user, temp, path);
        if (rc != 0) (void)t.unlink(t.user, temp);
    }
    adv_mem_free(a, temp, temp_bytes);
    if (rc == 0) rc = sync_folder_of(&t, a, path);
    if (rc == -ENOMEM) return no_memory(ds, path, temp_bytes);
    return rc == 0 ? ADV_OK : io_failed(ds, "write", path, -rc);
}

AdvStatus adv_write_file(const AdvIo *io, const AdvAlloc *a, const char *path, const void *data, uint64_t n_bytes, AdvDiags *ds)
{
    const AdvPiece piece = {data, n_bytes};
    return adv_write_pieces(io, a, path, &piece, 1, ds);
}

/* Makes one folder; true also when it is there. */
static int make_dir(const AdvIo *t, const char *path)
{
    int rc = t->mkdir(t->user, path, 0777);
    return rc == -EEXIST ? 0 : rc;
}

AdvStatus adv_make_dirs(const AdvIo *io, const char *path, AdvDiags *ds)
{
    const AdvIo t = whole_table(io);
    char part[MAX_PATH_BYTES];
    size_t len = strlen(path);
    if (len == 0) return io_failed(ds, "make the folder", path, ENOENT);
    if (len >= sizeof part) return io_failed(ds, "make the folder", path, ENAMETOOLONG);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = 0;
        int rc = make_dir(&t, part);
        if (rc != 0) return io_failed(ds, "make the folder", part, -rc);
    }
    /* What was there already may be a file. */
    int fd = open_file(&t, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return io_failed(ds, "use the folder", path, -fd);
    (void)t.close(t.user, fd);
    return ADV_OK;
}
