/* test_base_io.c: whole files in and out: round trips, every I/O call and every allocation failing in turn, short counts, EINTR. */
#include "tests/adv_test.h"
#include "tests/base/fault_alloc.h"
#include "tests/base/fault_io.h"
#include "tests/base/scratch.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static const char *in_folder(char buf[256], const char *name)
{
    snprintf(buf, 256, "%s/%s", folder, name);
    return buf;
}

/* Is the content of `path` exactly text[0..n)? */
static bool holds(const char *path, const char *text, size_t n)
{
    AdvAlloc a = adv_alloc_default();
    void *data;
    uint64_t n_bytes;
    if (adv_read_file(NULL, &a, path, 1 << 20, NULL, &data, &n_bytes) != ADV_OK) return false;
    bool same = n_bytes == n && memcmp(data, text, n) == 0 && ((char *)data)[n] == 0;
    adv_mem_free(&a, data, n_bytes + 1);
    return same;
}

/* Names in the folder but `.`, `..`. */
static int n_files(void)
{
    int n = -2;
    DIR *d = opendir(folder);
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

/* The only message in `ds` contains `part`. */
static void check_message(AdvDiags *ds, const char *part)
{
    CHECK_EQ(ds->list.n, 1);
    if (ds->list.n != 1) return;
    if (!strstr(ds->list.at[0]->message, part)) CHECK_STR(ds->list.at[0]->message, part);
}

static void round_trips(void)
{
    char path[256];
    AdvAlloc a = adv_alloc_default();
    in_folder(path, "f");
    static char big[300000];
    for (size_t i = 0; i < sizeof big; i++) big[i] = (char)(i * 7);
    static const size_t sizes[] = {0, 1, 2, 65535, 65536, 65537, sizeof big};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK_EQ(adv_write_file(NULL, &a, path, big, sizes[i], NULL), ADV_OK);
        CHECK(holds(path, big, sizes[i]));
    }
    const AdvPiece pieces[] = {{"ab", 2}, {NULL, 0}, {"cde", 3}};
    CHECK_EQ(adv_write_pieces(adv_io_posix(), &a, path, pieces, 3, NULL), ADV_OK);
    CHECK(holds(path, "abcde", 5));
    CHECK_EQ(n_files(), 1);
    CHECK_EQ(unlink(path), 0);
}

static void limits_and_missing_files(void)
{
    char path[256], cannot_read[96];
    AdvAlloc a = adv_alloc_default();
    in_folder(path, "f");
    CHECK_EQ(adv_write_file(NULL, &a, path, "12345", 5, NULL), ADV_OK);
    void *data = path;
    uint64_t n = 1;
    for (uint64_t max = 0; max <= 6; max++) {
        AdvStatus st = adv_read_file(NULL, &a, path, max, NULL, &data, &n);
        CHECK_EQ(st, max < 5 ? ADV_EDATA : ADV_OK);
        CHECK((data != NULL) == (st == ADV_OK) && n == (st == ADV_OK ? 5 : 0));
        if (st == ADV_OK) adv_mem_free(&a, data, n + 1);
    }
    AdvDiags *ds = adv_diags_new(a);
    CHECK_EQ(adv_read_file(NULL, &a, "/nonexistent/f", 9, ds, &data, &n), ADV_ENOENT);
    check_message(ds, "there is no file `/nonexistent/f`");
    adv_diags_free(ds);
    ds = adv_diags_new(a);
    CHECK_EQ(adv_read_file(NULL, &a, folder, 9, ds, &data, &n), ADV_EIO);
    snprintf(cannot_read, sizeof cannot_read, "cannot read `%s`: ", folder);
    check_message(ds, cannot_read);
    adv_diags_free(ds);
    ds = adv_diags_new(a);
    CHECK_EQ(adv_write_file(NULL, &a, "/nonexistent/f", "x", 1, ds), ADV_EIO);
    check_message(ds, "cannot write `/nonexistent/f`: No such file or directory");
    adv_diags_free(ds);
    CHECK_EQ(adv_write_file(NULL, &a, folder, "x", 1, NULL), ADV_EIO); /* a folder is not replaced */
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(n_files(), 0);
}

/* A file without a size, as in /proc, and one that is larger than the size it told. */
static int64_t size_lies(void *user, int fd)
{
    (void)user;
    (void)fd;
    return 1;
}

static void size_is_only_a_hint(void)
{
    AdvAlloc a = adv_alloc_default();
    void *data;
    uint64_t n;
    CHECK_EQ(adv_read_file(NULL, &a, "/proc/self/status", 1 << 20, NULL, &data, &n), ADV_OK);
    CHECK(data && n > 100 && strlen(data) == n);
    adv_mem_free(&a, data, n + 1);
    AdvIo lies = {.size = size_lies};
    CHECK_EQ(adv_read_file(&lies, &a, "/proc/self/status", 1 << 20, NULL, &data, &n), ADV_OK);
    CHECK(data && n > 100);
    adv_mem_free(&a, data, n + 1);
}

static void short_counts_and_interrupts(void)
{
    char path[256];
    AdvAlloc a = adv_alloc_default();
    in_folder(path, "f");
    FaultIo f = {.is_short = 1, .interrupts = 1};
    AdvIo io = fault_io(&f);
    const char text[] = "a text of some forty bytes, give or take";
    CHECK_EQ(adv_write_file(&io, &a, path, text, sizeof text, NULL), ADV_OK);
    CHECK(holds(path, text, sizeof text));
    void *data;
    uint64_t n;
    CHECK_EQ(adv_read_file(&io, &a, path, 1000, NULL, &data, &n), ADV_OK);
    CHECK(n == sizeof text && memcmp(data, text, n) == 0);
    adv_mem_free(&a, data, n + 1);
    CHECK(f.n_open == 0 && f.n_interrupted > 20);
    CHECK_EQ(unlink(path), 0);
}

/* Each call of a write fails in turn: the file is the old or the new one, whole, and nothing else is left. */
static void every_call_of_a_write_fails(void)
{
    char path[256];
    AdvAlloc a = adv_alloc_default();
    in_folder(path, "f");
    for (int persistent = 0; persistent <= 1; persistent++) {
        long k = 1;
        for (bool done = false; !done && k < 100; k++) {
            CHECK_EQ(adv_write_file(NULL, &a, path, "old", 3, NULL), ADV_OK);
            FaultIo f = {.fail_at = k, .persistent = persistent, .error = ENOSPC, .is_short = 1};
            AdvIo io = fault_io(&f);
            AdvDiags *ds = adv_diags_new(a);
            AdvStatus st = adv_write_file(&io, &a, path, "new text", 8, ds);
            done = f.calls < k;
            CHECK_EQ(st, done ? ADV_OK : ADV_EIO);
            if (!done) check_message(ds, "No space left on device");
            bool is_new = holds(path, "new text", 8);
            CHECK(is_new || (!done && holds(path, "old", 3)));
            CHECK(f.n_open == 0 && n_files() == 1);
            adv_diags_free(ds);
        }
        CHECK(k > 9); /* open, three writes, fsync, close, rename, and the folder's three */
    }
    CHECK_EQ(unlink(path), 0);
}

static void every_call_of_a_read_fails(void)
{
    char path[256];
    AdvAlloc a = adv_alloc_default();
    in_folder(path, "f");
    CHECK_EQ(adv_write_file(NULL, &a, path, "0123456789", 10, NULL), ADV_OK);
    int n_refused = 0;
    for (long k = 1; k < 50; k++) {
        FaultIo f = {.fail_at = k, .error = EIO, .is_short = 1};
        AdvIo io = fault_io(&f);
        void *data;
        uint64_t n;
        AdvStatus st = adv_read_file(&io, &a, path, 100, NULL, &data, &n);
        CHECK(st == ADV_OK || (st == ADV_EIO && data == NULL));
        CHECK_EQ(f.n_open, 0);
        n_refused += st != ADV_OK;
        if (st == ADV_OK) {
            CHECK(n == 10 && memcmp(data, "0123456789", 10) == 0);
            adv_mem_free(&a, data, n + 1);
        }
        if (f.calls < k) break;
    }
    CHECK_EQ(n_refused, 6); /* open, five reads; a failing close loses nothing */
    CHECK_EQ(unlink(path), 0);
}

static void every_allocation_fails(void)
{
    char path[256];
    AdvAlloc plain = adv_alloc_default();
    in_folder(path, "f");
    CHECK_EQ(adv_write_file(NULL, &plain, path, "old", 3, NULL), ADV_OK);
    long k = 1;
    for (bool done = false; !done && k < 20; k++) {
        FaultAlloc f = {.fail_at = k};
        AdvAlloc a = fault_alloc(&f);
        AdvIo lies = {.size = size_lies};
        void *data;
        uint64_t n;
        AdvStatus st = adv_read_file(&lies, &a, path, 100, NULL, &data, &n);
        done = f.calls < k;
        CHECK_EQ(st, done ? ADV_OK : ADV_ENOMEM);
        if (done) adv_mem_free(&a, data, n + 1);
        CHECK(f.n_live == 0 && f.n_wrong_sizes == 0);
    }
    CHECK(k >= 4);
    k = 1;
    for (bool done = false; !done && k < 20; k++) {
        FaultAlloc f = {.fail_at = k};
        AdvAlloc a = fault_alloc(&f);
        AdvStatus st = adv_write_file(NULL, &a, path, "new", 3, NULL);
        done = f.calls < k;
        CHECK_EQ(st, done ? ADV_OK : ADV_ENOMEM);
        CHECK(holds(path, "new", 3) || (!done && holds(path, "old", 3)));
        CHECK(f.n_live == 0 && f.n_wrong_sizes == 0 && n_files() == 1);
    }
    CHECK(k >= 3);
    CHECK_EQ(unlink(path), 0);
}

static void folders(void)
{
    char path[256];
    AdvAlloc a = adv_alloc_default();
    CHECK_EQ(adv_make_dirs(NULL, in_folder(path, "a/b//c/"), NULL), ADV_OK);
    CHECK_EQ(adv_make_dirs(NULL, in_folder(path, "a/b/c"), NULL), ADV_OK);
    CHECK_EQ(adv_make_dirs(NULL, "/", NULL), ADV_OK);
    CHECK_EQ(adv_make_dirs(NULL, ".", NULL), ADV_OK);
    CHECK_EQ(adv_make_dirs(NULL, "", NULL), ADV_EIO);
    struct stat st;
    CHECK(stat(in_folder(path, "a/b/c"), &st) == 0 && S_ISDIR(st.st_mode));
    CHECK_EQ(adv_write_file(NULL, &a, in_folder(path, "a/f"), "x", 1, NULL), ADV_OK);
    AdvDiags *ds = adv_diags_new(a);
    CHECK_EQ(adv_make_dirs(NULL, in_folder(path, "a/f"), ds), ADV_EIO);
    check_message(ds, "cannot use the folder");
    adv_diags_free(ds);
    CHECK_EQ(adv_make_dirs(NULL, in_folder(path, "a/f/g"), NULL), ADV_EIO);
    char far[5000];
    memset(far, 'x', sizeof far - 1);
    far[sizeof far - 1] = 0;
    CHECK_EQ(adv_make_dirs(NULL, far, NULL), ADV_EIO);
    for (long k = 1; k <= 5; k++) {
        FaultIo f = {.fail_at = k, .error = EROFS};
        AdvIo io = fault_io(&f);
        AdvStatus got = adv_make_dirs(&io, in_folder(path, "a/b"), NULL);
        CHECK_EQ(got, f.calls < k ? ADV_OK : ADV_EIO);
        CHECK_EQ(f.n_open, 0);
    }
    CHECK_EQ(unlink(in_folder(path, "a/f")), 0);
    CHECK_EQ(rmdir(in_folder(path, "a/b/c")), 0);
    CHECK_EQ(rmdir(in_folder(path, "a/b")), 0);
    CHECK_EQ(rmdir(in_folder(path, "a")), 0);
}

int main(void)
{
    scratch_make(folder);
    RUN(round_trips);
    RUN(limits_and_missing_files);
    RUN(size_is_only_a_hint);
    RUN(short_counts_and_interrupts);
    RUN(every_call_of_a_write_fails);
    RUN(every_call_of_a_read_fails);
    RUN(every_allocation_fails);
    RUN(folders);
    scratch_remove(folder);
    return ADV_TEST_END();
}
