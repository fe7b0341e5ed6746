/* digest.c: one number for all that two checkpoints must share for their runs to go on to the same bits.
**
** It is the container's own digest (base/container.h) over the tensors of the checkpoint and of the weights that it keeps, without
** metadata, which tells of the host. One number of the place depends on the clock and counts as 0: the length of events.jsonl.
*/
#include "runtime/base/container.h"
#include "runtime/run.h"
#include "runtime/run_folder.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A state file while it is read. */
typedef struct Part {
    void *data;
    uint64_t n_bytes;
    AdvContainer c;
} Part;

/* The checkpoint's folder: the newest of a run, else `path` itself. */
static AdvStatus find_folder(const AdvCtx *ctx, const char *path, AdvDiags *ds, char out[ADV_PATH_BYTES])
{
    uint32_t n = 0;
    size_t n_bytes = sizeof(AdvFolder) * (ADV_MOST_FOLDERS + 1);
    AdvFolder *fs = adv_mem_new(&ctx->alloc, n_bytes);
    if (!fs) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while looking for checkpoints");
    int err = adv_checkpoints_find(ctx, path, fs, &n);
    AdvStatus st = ADV_OK;
    if (!n && err) st = adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot look for checkpoints in `%s`: %s", path, strerror(-err));
    else if (n) st = adv_run_path(out, path, fs[0].name, NULL, ds);
    else if (snprintf(out, ADV_PATH_BYTES, "%s", path) >= ADV_PATH_BYTES)
        st = adv_fail(ds, ADV_EINVAL, ADV_D_RUN_DIR, "the path of the checkpoint is too long");
    adv_mem_free(&ctx->alloc, fs, n_bytes);
    return st;
}

/* beside: NULL, or the way to another folder from this one. */
static AdvStatus read_part(const AdvCtx *ctx, AdvArena *arena, const char *dir, const char *beside, AdvDiags *ds, Part *out)
{
    char path[ADV_PATH_BYTES];
    ADV_TRY(adv_run_path(path, dir, beside ? beside : ADV_STATE_FILE, beside ? ADV_STATE_FILE : NULL, ds));
    ADV_TRY(adv_read_file(ctx->io, &ctx->alloc, path, UINT64_C(1) << 40, ds, &out->data, &out->n_bytes));
    return adv_container_parse(arena, out->data, out->n_bytes, path, ds, &out->c);
}

/* Reads the place and takes the length of events.jsonl out of it. */
static AdvStatus take_place(Part *p, const char *path, AdvDiags *ds, AdvPlace *out)
{
    const AdvBlob *b = adv_container_blob(&p->c, "adv.place");
    if (!b || b->dtype != ADV_I64 || b->n_bytes != sizeof *out)
        return adv_fail(ds, ADV_EDATA, ADV_D_CHECKPOINT, "`%s` is no checkpoint: it lacks the place in the program", path);
    memcpy(out, b->data, sizeof *out);
    char *mine = (char *)p->data + ((const char *)b->data - (const char *)p->data);
    memset(mine + offsetof(AdvPlace, event_bytes), 0, sizeof out->event_bytes);
    return ADV_OK;
}

/* Of the tensors of both. */
static AdvStatus digest(AdvArena *arena, const AdvContainer *at, const AdvContainer *best, AdvDiags *ds, char out_hex[33])
{
    uint32_t n = at->n_blobs + best->n_blobs;
    AdvBlob *all = adv_arena_array(arena, n + 1, sizeof *all);
    if (!all) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading a checkpoint");
    if (at->n_blobs) memcpy(all, at->blobs, at->n_blobs * sizeof *all);
    if (best->n_blobs) memcpy(all + at->n_blobs, best->blobs, best->n_blobs * sizeof *all);
    adv_container_digest(all, n, NULL, 0, out_hex);
    return ADV_OK;
}

static void free_part(const AdvCtx *ctx, Part *p)
{
    if (p->data) adv_mem_free(&ctx->alloc, p->data, (size_t)p->n_bytes + 1);
}

AdvStatus adv_ctx_checkpoint_digest(AdvCtx *ctx, const char *path, AdvDiags *ds, char out_digest[33])
{
    Part at = {.data = NULL}, kept = {.data = NULL};
    AdvPlace place = {.best_epoch = 0};
    AdvArena arena;
    char dir[ADV_PATH_BYTES];
    ADV_NEED(ds, out_digest, "where the digest goes");
    out_digest[0] = 0;
    ADV_NEED(ds, ctx, "the context");
    ADV_NEED(ds, path, "the path of the checkpoint");
    ADV_TRY(find_folder(ctx, path, ds, dir));
    adv_arena_init(&arena, ctx->alloc);
    AdvStatus st = read_part(ctx, &arena, dir, NULL, ds, &at);
    if (st == ADV_OK) st = take_place(&at, path, ds, &place);
    if (st == ADV_OK && place.best_epoch) {
        const char *name = adv_container_meta(&at.c, "adv.best");
        char beside[64];
        snprintf(beside, sizeof beside, "../%.48s", name ? name : "");
        st = read_part(ctx, &arena, dir, beside, ds, &kept);
    }
    if (st == ADV_OK) st = digest(&arena, &at.c, &kept.c, ds, out_digest);
    free_part(ctx, &at);
    free_part(ctx, &kept);
    adv_arena_fini(&arena);
    return st == ADV_OK ? ADV_OK : adv_fail_while(ds, st, "reading the checkpoint in `%s`", path);
}
