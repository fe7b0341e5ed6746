/* digest.c: one number for all that two checkpoints must share for their runs to go on to the same bits.
**
** It is the container's own digest (base/container.h) over the tensors of the checkpoint and of the weights that it keeps, without
** metadata, which tells of the host. One number of the place depends on the clock and counts as 0: the length of events.jsonl.
*/
#include "runtime/base/container.h"
#include "runtime/run.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A state file while it is read. */
typedef struct Part {
    void *data;
    uint64_t n_bytes;
    AdvContainer c;
} Part;

static AdvStatus join(char path[ADV_PATH_BYTES], const char *dir, const char *a, const char *b, AdvDiags *ds)
{
    size_t end = strlen(dir);
    int n = snprintf(path, ADV_PATH_BYTES, "%s%s%s%s", dir, end && dir[end - 1] == '/' ? "" : "/", a, b);
    return n > 0 && n < ADV_PATH_BYTES ? ADV_OK : adv_fail(ds, ADV_EINVAL, ADV_D_RUN_DIR, "the path of the checkpoint is too long");
}

/* The checkpoint's folder: the one that LATEST of a run names, else `path` itself. */
static AdvStatus find_folder(const AdvCtx *ctx, const char *path, AdvDiags *ds, char out[ADV_PATH_BYTES])
{
    char latest[ADV_PATH_BYTES];
    void *text;
    uint64_t n;
    ADV_TRY(join(latest, path, "LATEST", "", ds));
    AdvStatus st = adv_read_file(ctx->io, &ctx->alloc, latest, 4096, NULL, &text, &n);
    if (st == ADV_ENOENT) return join(out, path, "", "", ds);
    if (st != ADV_OK) return adv_fail(ds, st, ADV_D_IO, "cannot read `%s`", latest);
    char *name = text;
    name[strcspn(name, "\r\n")] = 0;
    st = strchr(name, '/') ? adv_fail(ds, ADV_EDATA, ADV_D_CHECKPOINT, "`%s` names no checkpoint", latest) : join(out, path, name, "", ds);
    adv_mem_free(&ctx->alloc, text, (size_t)n + 1);
    return st;
}

/* beside: "", or the way to another folder from this one. */
static AdvStatus read_part(const AdvCtx *ctx, AdvArena *arena, const char *dir, const char *beside, AdvDiags *ds, Part *out)
{
    char path[ADV_PATH_BYTES];
    ADV_TRY(join(path, dir, beside, "state.safetensors", ds));
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
    AdvStatus st = read_part(ctx, &arena, dir, "", ds, &at);
    if (st == ADV_OK) st = take_place(&at, path, ds, &place);
    if (st == ADV_OK && place.best_epoch) {
        const char *name = adv_container_meta(&at.c, "adv.best");
        char beside[64];
        snprintf(beside, sizeof beside, "../%.48s/", name ? name : "");
        st = read_part(ctx, &arena, dir, beside, ds, &kept);
    }
    if (st == ADV_OK) st = digest(&arena, &at.c, &kept.c, ds, out_digest);
    free_part(ctx, &at);
    free_part(ctx, &kept);
    adv_arena_fini(&arena);
    return st == ADV_OK ? ADV_OK : adv_fail_while(ds, st, "reading the checkpoint in `%s`", path);
}
