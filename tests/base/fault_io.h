/* fault_io.h: an I/O table for tests over the POSIX one: fails at the k-th call (once, or from there on), can cut every read
** and write short and interrupt every second call with EINTR.
*/
#ifndef ADV_TEST_FAULT_IO_H
#define ADV_TEST_FAULT_IO_H

#include "runtime/base/io.h"

#include <errno.h>

typedef struct FaultIo {
    long calls;
    long fail_at; /* 1-based; 0 never */
    int persistent;
    int error;     /* what a failing call says, e.g. ENOSPC */
    int is_short;  /* reads and writes move at most 3 bytes */
    int interrupts; /* every second call that may say so says EINTR */
    long n_open;
    long n_interrupted;
} FaultIo;

static int fault_hit(FaultIo *f)
{
    f->calls++;
    return f->fail_at && (f->persistent ? f->calls >= f->fail_at : f->calls == f->fail_at);
}

static int fault_interrupt(FaultIo *f)
{
    return f->interrupts && f->n_interrupted++ % 2 == 0;
}

static int fault_open(void *user, const char *path, int flags, int mode)
{
    FaultIo *f = user;
    if (fault_hit(f)) return -f->error;
    if (fault_interrupt(f)) return -EINTR;
    int fd = adv_io_posix()->open(NULL, path, flags, mode);
    f->n_open += fd >= 0;
    return fd;
}

static int64_t fault_read(void *user, int fd, void *to, size_t n_bytes)
{
    FaultIo *f = user;
    if (fault_hit(f)) return -f->error;
    if (fault_interrupt(f)) return -EINTR;
    return adv_io_posix()->read(NULL, fd, to, f->is_short && n_bytes > 3 ? 3 : n_bytes);
}

static int64_t fault_write(void *user, int fd, const void *from, size_t n_bytes)
{
    FaultIo *f = user;
    if (fault_hit(f)) return -f->error;
    if (fault_interrupt(f)) return -EINTR;
    return adv_io_posix()->write(NULL, fd, from, f->is_short && n_bytes > 3 ? 3 : n_bytes);
}

static int fault_fsync(void *user, int fd)
{
    FaultIo *f = user;
    if (fault_hit(f)) return -f->error;
    if (fault_interrupt(f)) return -EINTR;
    return adv_io_posix()->fsync(NULL, fd);
}

/* A failing close closes all the same, as on Linux. */
static int fault_close(void *user, int fd)
{
    FaultIo *f = user;
    int hit = fault_hit(f), rc = adv_io_posix()->close(NULL, fd);
    f->n_open--;
    return hit ? -f->error : rc;
}

static int fault_rename(void *user, const char *from, const char *to)
{
    FaultIo *f = user;
    return fault_hit(f) ? -f->error : adv_io_posix()->rename(NULL, from, to);
}

static int fault_mkdir(void *user, const char *path, int mode)
{
    FaultIo *f = user;
    return fault_hit(f) ? -f->error : adv_io_posix()->mkdir(NULL, path, mode);
}

/* Removing is not counted as a call that may fail: a process that lost its disk cannot tidy up, and need not. */
static int fault_unlink(void *user, const char *path)
{
    (void)user;
    return adv_io_posix()->unlink(NULL, path);
}

static int fault_rmdir(void *user, const char *path)
{
    (void)user;
    return adv_io_posix()->rmdir(NULL, path);
}

static int fault_cut(void *user, int fd, int64_t n_bytes)
{
    FaultIo *f = user;
    return fault_hit(f) ? -f->error : adv_io_posix()->cut(NULL, fd, n_bytes);
}

static int fault_list(void *user, const char *path, int (*each)(void *each_user, const char *name), void *each_user)
{
    FaultIo *f = user;
    return fault_hit(f) ? -f->error : adv_io_posix()->list(NULL, path, each, each_user);
}

static inline AdvIo fault_io(FaultIo *f)
{
    return (AdvIo){.struct_size = sizeof(AdvIo),
                   .user = f,
                   .open = fault_open,
                   .read = fault_read,
                   .write = fault_write,
                   .fsync = fault_fsync,
                   .close = fault_close,
                   .rename = fault_rename,
                   .mkdir = fault_mkdir,
                   .unlink = fault_unlink,
                   .list = fault_list,
                   .rmdir = fault_rmdir,
                   .cut = fault_cut};
}

#endif
