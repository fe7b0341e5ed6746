/* run_folder.c: see run_folder.h. Seen through the context's file calls only. */
#include "runtime/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

AdvStatus adv_run_path(char *path, const char *dir, const char *a, const char *b, AdvDiags *ds)
{
    int n = snprintf(path, ADV_PATH_BYTES, "%s/%s%s%s", dir, a, b ? "/" : "", b ? b : "");
    if (n > 0 && n < ADV_PATH_BYTES) return ADV_OK;
    return adv_fail(ds, ADV_EINVAL, ADV_D_RUN_DIR, "the path of the run folder is too long");
}

bool adv_folder_parse(const char *name, const char *kind, AdvFolder *out)
{
    char dash = 0, rest = 0;
    int k = 1;
    size_t n = strlen(kind);
    if (strncmp(name, kind, n) || name[n] != '-' || strlen(name) >= ADV_FOLDER_NAME) return false;
    int got = sscanf(name + n + 1, "%15" SCNd64 "%c%3d%c", &out->step, &dash, &k, &rest);
    if (got != 1 && !(got == 3 && dash == '-')) return false;
    snprintf(out->name, sizeof out->name, "%s", name);
    out->k = k;
    return true;
}

static int newest_first(const void *a, const void *b)
{
    const AdvFolder *x = a, *y = b;
    if (x->step != y->step) return x->step < y->step ? 1 : -1;
    return (x->k < y->k) - (x->k > y->k);
}

typedef struct Listing { const char *kind; AdvFolder *at; uint32_t n; } Listing;

static int add_folder(void *user, const char *name)
{
    Listing *l = user;
    if (adv_folder_parse(name, l->kind, &l->at[l->n])) l->n++;
    return l->n == ADV_MOST_FOLDERS;
}

int adv_folders_list(const AdvCtx *ctx, const char *dir, const char *kind, AdvFolder *out, uint32_t *out_n)
{
    Listing l = {kind, out, 0};
    int rc = ctx->io->list(ctx->io->user, dir, add_folder, &l);
    qsort(out, l.n, sizeof *out, newest_first);
    *out_n = l.n;
    return rc == -ENOENT || rc == -ENOTDIR ? 0 : rc;
}

/* The folder in RUN/LATEST; false: there is none. */
static bool read_latest(const AdvCtx *ctx, const char *dir, AdvFolder *out)
{
    char path[ADV_PATH_BYTES];
    void *text;
    uint64_t n;
    if (adv_run_path(path, dir, "LATEST", NULL, NULL) != ADV_OK) return false;
    if (adv_read_file(ctx->io, &ctx->alloc, path, 4096, NULL, &text, &n) != ADV_OK) return false;
    char *s = text;
    s[strcspn(s, "\r\n")] = 0;
    bool is_name = adv_folder_parse(s, "ckpt", out);
    adv_mem_free(&ctx->alloc, text, (size_t)n + 1);
    return is_name;
}

/* False only where there is surely none. */
static bool has_manifest(const AdvCtx *ctx, const char *dir, const char *name)
{
    char path[ADV_PATH_BYTES];
    if (adv_run_path(path, dir, name, ADV_MANIFEST_FILE, NULL) != ADV_OK) return false;
    int fd = ctx->io->open(ctx->io->user, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) ctx->io->close(ctx->io->user, fd);
    return fd != -ENOENT;
}

int adv_checkpoints_find(const AdvCtx *ctx, const char *dir, AdvFolder *out, uint32_t *out_n)
{
    uint32_t first = read_latest(ctx, dir, out), n_listed, n = first;
    int rc = adv_folders_list(ctx, dir, "ckpt", out + first, &n_listed);
    for (uint32_t i = first; i < first + n_listed; i++) {
        bool is_latest = first && !strcmp(out[i].name, out[0].name);
        if (!is_latest && has_manifest(ctx, dir, out[i].name)) out[n++] = out[i];
    }
    *out_n = n;
    return rc;
}
