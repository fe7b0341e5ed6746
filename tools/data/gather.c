/* gather.c: the files that a data set may come in, found by name in a folder or an archive and read into memory. Archives are
** never unpacked onto the disk, so what their paths say does not matter. */
#include "tools/data/data.h"

#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <md5.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_FILE_BYTES ((uint64_t)1 << 30)
#define ARCHIVE_BLOCK_BYTES ((size_t)1 << 18)
#define PATH_BYTES 4096

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* folder/name; false when it is too long. */
static bool join_path(char out[PATH_BYTES], const char *folder, const char *name)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", folder, name);
    return n > 0 && n < PATH_BYTES;
}

AdvStatus data_gather_folder(const DataCtx *ctx, const char *folder, DataFiles *f)
{
    char path[PATH_BYTES];
    for (uint32_t i = 0; i < f->n; i++) {
        DataBlob *b = &f->at[i];
        if (b->bytes || !join_path(path, folder, b->def->name) || !is_there(path)) continue;
        void *data;
        ADV_TRY(adv_read_file(NULL, &ctx->alloc, path, MOST_FILE_BYTES, ctx->ds, &data, &b->n_bytes));
        b->bytes = data;
        b->n_allocated = b->n_bytes + 1;
    }
    return ADV_OK;
}

/* The blob that an archive's entry is to fill, or NULL. */
static DataBlob *wanted_by(DataFiles *f, const char *entry_path)
{
    const char *slash = strrchr(entry_path, '/');
    const char *name = slash ? slash + 1 : entry_path;
    for (uint32_t i = 0; i < f->n; i++)
        if (!f->at[i].bytes && strcmp(f->at[i].def->name, name) == 0) return &f->at[i];
    return NULL;
}

static AdvStatus damaged(const DataCtx *ctx, struct archive *a, const char *path)
{
    const char *why = archive_error_string(a);
    return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s` is no sound archive: %s", path, why ? why : "unknown error");
}

static AdvStatus read_entry(const DataCtx *ctx, struct archive *a, struct archive_entry *e, const char *path, DataBlob *b)
{
    int64_t size = archive_entry_size_is_set(e) ? archive_entry_size(e) : -1;
    if (size < 0 || (uint64_t)size > MOST_FILE_BYTES) {
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s` in `%s` has an impossible size", b->def->name, path);
    }
    b->n_allocated = (uint64_t)size + 1;
    b->bytes = adv_mem_new(&ctx->alloc, b->n_allocated);
    if (!b->bytes)
        return adv_fail(ctx->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory: `%s` needs %" PRIu64 " bytes", b->def->name, b->n_allocated);
    while (b->n_bytes < b->n_allocated) {
        la_ssize_t n = archive_read_data(a, b->bytes + b->n_bytes, b->n_allocated - b->n_bytes);
        if (n < 0) return damaged(ctx, a, path);
        if (n == 0) break;
        b->n_bytes += (uint64_t)n;
    }
    if (b->n_bytes != (uint64_t)size) {
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_FORMAT, "`%s` in `%s` does not have the size it says", b->def->name, path);
    }
    return ADV_OK;
}

static AdvStatus read_archive(const DataCtx *ctx, struct archive *a, const char *path, DataFiles *f)
{
    if (archive_read_support_filter_all(a) < ARCHIVE_WARN || archive_read_support_format_tar(a) < ARCHIVE_WARN ||
        archive_read_support_format_zip(a) < ARCHIVE_WARN || archive_read_open_filename(a, path, ARCHIVE_BLOCK_BYTES) != ARCHIVE_OK) {
        return damaged(ctx, a, path);
    }
    for (;;) {
        struct archive_entry *e;
        int rc = archive_read_next_header(a, &e);
        if (rc == ARCHIVE_EOF) return ADV_OK;
        if (rc < ARCHIVE_WARN) return damaged(ctx, a, path);
        const char *name = archive_entry_pathname(e);
        DataBlob *b = name && archive_entry_filetype(e) == AE_IFREG ? wanted_by(f, name) : NULL;
        if (b) ADV_TRY(read_entry(ctx, a, e, path, b));
    }
}

AdvStatus data_gather_archive(const DataCtx *ctx, const char *path, DataFiles *f)
{
    if (!is_there(path)) return adv_fail(ctx->ds, ADV_ENOENT, ADV_D_NO_FILE, "there is no file `%s`", path);
    struct archive *a = archive_read_new();
    if (!a) return adv_fail(ctx->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening `%s`", path);
    AdvStatus st = read_archive(ctx, a, path, f);
    archive_read_free(a);
    return st;
}

AdvStatus data_gather(const DataCtx *ctx, const DataTable *t, const DataSetDef *set, const char *path, DataFiles *f)
{
    char inner[PATH_BYTES];
    if (!is_there(path)) return adv_fail(ctx->ds, ADV_ENOENT, ADV_D_NO_FILE, "there is no file or folder `%s`", path);
    if (!is_folder(path)) return data_gather_archive(ctx, path, f);
    ADV_TRY(data_gather_folder(ctx, path, f));
    for (uint32_t i = 0; i < f->n; i++)
        if (f->at[i].bytes) return ADV_OK;
    for (uint32_t i = 0; i < t->n_forms; i++) {
        const DataFormDef *form = &t->forms[i];
        if (strcmp(form->set, set->name) != 0 || !form->archive[0]) continue;
        if (join_path(inner, path, form->archive) && is_there(inner)) return data_gather_archive(ctx, inner, f);
    }
    return ADV_OK;
}

static AdvStatus check_digest(const DataCtx *ctx, const DataFormDef *form, const char *kind, const char *got, const char *want)
{
    if (!want[0] || (got && strcmp(got, want) == 0)) return ADV_OK;
    if (!got) return adv_fail(ctx->ds, ADV_EIO, ADV_D_IO, "cannot read `%s`", form->archive);
    return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_NOT_ORIGINAL, "`%s` is not the published file: its %s is %s, expected %s", form->archive,
                    kind, got, want);
}

AdvStatus data_check_archive(const DataCtx *ctx, const DataFormDef *form, const char *path)
{
    struct stat st;
    char sha256[SHA256_DIGEST_STRING_LENGTH], md5[MD5_DIGEST_STRING_LENGTH];
    if (stat(path, &st) != 0) return adv_fail(ctx->ds, ADV_ENOENT, ADV_D_NO_FILE, "there is no file `%s`", path);
    if (form->n_bytes && (uint64_t)st.st_size != form->n_bytes) {
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_NOT_ORIGINAL, "`%s` is not the published file: it has %lld bytes, expected %" PRIu64,
                        form->archive, (long long)st.st_size, form->n_bytes);
    }
    ADV_TRY(check_digest(ctx, form, "MD5", form->md5[0] ? MD5File(path, md5) : NULL, form->md5));
    return check_digest(ctx, form, "SHA-256", form->sha256[0] ? SHA256File(path, sha256) : NULL, form->sha256);
}
