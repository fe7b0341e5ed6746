/* cache.c: files of the cache folder that hold what a library made: machine code of NVRTC, plans of cuDNN.
**
**   adv-cuda-<id>.cubin, adv-cuda-<id>.plan
**                          "ADVCACHE", u64 bytes, u64 hash of the bytes, the id (two u64), u64 seconds since 1970 when it was
**                          made, zeros up to 64, the bytes
**
** The id is a hash of everything the bytes depend on, so what was made for another GPU or by another version has another name. A file
** that does not hold what its name says is warned about and made anew. Writing goes through a temporary file.
**
** Since names never repeat, files of older recipes, drivers and libraries would stay for ever: a session that added to the folder
** removes the oldest ones beyond the limit. When a file was made stands in the file, because AdvIo tells no times.
*/
#include "runtime/base/hash.h"
#include "runtime/cuda/cuda_back.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_LIMIT_BYTES (UINT64_C(1) << 30)
enum { HEAD_BYTES = 64 /* so that code begins as aligned as memory does */ };
static const char magic[8] = {'A', 'D', 'V', 'C', 'A', 'C', 'H', 'E'};

typedef struct Head { char magic[8]; uint64_t n, hash, id[2], made; } Head;

AdvStatus adv_cuda_bytes_new(AdvCuda *c, size_t n, AdvCudaBytes *out)
{
    size_t block_bytes = n + HEAD_BYTES;
    unsigned char *block = adv_mem_new0(&c->back->host.opts.alloc, block_bytes);
    *out = (AdvCudaBytes){NULL, NULL, 0, 0};
    if (!block) return adv_cuda_fail(c->back, ADV_ENOMEM, "out of memory for code");
    *out = (AdvCudaBytes){block + HEAD_BYTES, block, n, block_bytes};
    return ADV_OK;
}

void adv_cuda_bytes_drop(AdvCuda *c, AdvCudaBytes *bytes)
{
    adv_mem_free(&c->back->host.opts.alloc, bytes->block, bytes->block_bytes);
    *bytes = (AdvCudaBytes){NULL, NULL, 0, 0};
}

static bool path_of(const AdvCudaBack *b, const char *kind, const uint64_t id[2], char *path, size_t n)
{
    const char *dir = b->host.opts.cache_dir;
    int len = dir ? snprintf(path, n, "%s/adv-cuda-%016" PRIx64 "%016" PRIx64 ".%s", dir, id[0], id[1], kind) : -1;
    return len > 0 && (size_t)len < n;
}

static Head head_of(const AdvCudaBytes *bytes, const uint64_t id[2])
{
    Head h = {.n = bytes->n, .hash = adv_hash_bytes(ADV_HASH_START, bytes->at, bytes->n), .id = {id[0], id[1]}};
    memcpy(h.magic, magic, sizeof magic);
    return h;
}

void adv_cuda_cache_read(AdvCudaBack *b, const char *kind, const uint64_t id[2], AdvCudaBytes *out)
{
    char path[ADV_PATH_BYTES];
    void *data = NULL;
    uint64_t n = 0;
    *out = (AdvCudaBytes){NULL, NULL, 0, 0};
    if (!path_of(b, kind, id, path, sizeof path)) return;
    if (adv_read_file(b->host.opts.io, &b->host.opts.alloc, path, UINT64_C(1) << 30, NULL, &data, &n) != ADV_OK) return;
    *out = (AdvCudaBytes){(unsigned char *)data + HEAD_BYTES, data, (size_t)n - HEAD_BYTES, (size_t)n + 1};
    if (n > HEAD_BYTES) {
        Head h = head_of(out, id);
        if (!memcmp(data, &h, offsetof(Head, made))) return;
    }
    adv_cuda_bytes_drop(&b->cuda, out);
    adv_cuda_warn(&b->cuda, "warning: `%s` is damaged and is made anew", path);
}

/* Without a cache the next session does the work again: a warning, no error. */
void adv_cuda_cache_write(AdvCudaBack *b, const char *kind, const uint64_t id[2], AdvCudaBytes *bytes)
{
    char path[ADV_PATH_BYTES];
    if (!path_of(b, kind, id, path, sizeof path)) return;
    Head h = head_of(bytes, id);
    h.made = (uint64_t)time(NULL);
    memcpy(bytes->block, &h, sizeof h);
    if (adv_write_file(b->host.opts.io, &b->host.opts.alloc, path, bytes->block, HEAD_BYTES + bytes->n, NULL) == ADV_OK) b->has_kept = true;
    else adv_cuda_warn(&b->cuda, "warning: compiled code cannot be kept in `%s`", path);
}

/* ---- the limit ----------------------------------------------------------------------------------------------------------- */

typedef struct KeptFile { uint64_t made, n_bytes; char name[64]; } KeptFile;
typedef struct KeptFiles { const AdvCudaBack *b; AdvIo io; KeptFile *at; size_t n, cap; uint64_t n_bytes; } KeptFiles;

/* A file of ours, or one that a process was killed over (adv_write_file). */
static bool is_name_of_ours(const char *name)
{
    static const char start[] = "adv-cuda-", temp[] = ".tmp-";
    if (strncmp(name, start, sizeof start - 1)) return false;
    name += sizeof start - 1;
    size_t n_digits = strspn(name, "0123456789abcdef");
    name += n_digits;
    size_t n_kind = !strncmp(name, ".cubin", 6) ? 6 : !strncmp(name, ".plan", 5) ? 5 : 0;
    if (n_digits != 32 || !n_kind) return false;
    name += n_kind;
    if (!strncmp(name, temp, sizeof temp - 1)) name += sizeof temp - 1 + strspn(name + sizeof temp - 1, "0123456789");
    return !*name;
}

/* False: not made by us, or gone or unreadable meanwhile; then it does not count and stays. */
static bool look_at(const KeptFiles *l, const char *path, KeptFile *out)
{
    Head h;
    int fd = l->io.open(l->io.user, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return false;
    int64_t n = l->io.read(l->io.user, fd, &h, sizeof h), size = l->io.size(l->io.user, fd);
    (void)l->io.close(l->io.user, fd);
    if (n != sizeof h || size < 0 || memcmp(h.magic, magic, sizeof magic)) return false;
    out->made = h.made;
    out->n_bytes = (uint64_t)size;
    return true;
}

static int note_file(void *user, const char *name)
{
    KeptFiles *l = user;
    KeptFile f;
    char path[ADV_PATH_BYTES];
    if (!is_name_of_ours(name) || strlen(name) >= sizeof f.name) return 0;
    snprintf(f.name, sizeof f.name, "%s", name);
    int len = snprintf(path, sizeof path, "%s/%s", l->b->host.opts.cache_dir, name);
    if ((size_t)len >= sizeof path || !look_at(l, path, &f)) return 0;
    if (l->n == l->cap) {
        const AdvAlloc *a = &l->b->host.opts.alloc;
        size_t cap = l->cap ? 2 * l->cap : 64;
        KeptFile *more = a->fn(a->user, l->at, l->cap * sizeof *more, cap * sizeof *more);
        if (!more) return 1; /* what was found so far is bounded all the same */
        l->at = more;
        l->cap = cap;
    }
    l->at[l->n++] = f;
    l->n_bytes += f.n_bytes;
    return 0;
}

static int by_age(const void *a, const void *b)
{
    const KeptFile *x = a, *y = b;
    return x->made != y->made ? (x->made > y->made) - (x->made < y->made) : strcmp(x->name, y->name);
}

/* Failures are passed over: the next session that adds to the folder tries again. */
void adv_cuda_cache_trim(AdvCudaBack *b)
{
    const AdvBackendOpts *o = &b->host.opts;
    uint64_t limit = o->cache_limit_bytes ? o->cache_limit_bytes : DEFAULT_LIMIT_BYTES;
    KeptFiles l = {.b = b};
    char path[ADV_PATH_BYTES];
    if (!b->has_kept || adv_io_read(o->io, &l.io) != ADV_OK) return;
    b->has_kept = false;
    (void)l.io.list(l.io.user, o->cache_dir, note_file, &l);
    if (l.n_bytes > limit) qsort(l.at, l.n, sizeof *l.at, by_age);
    for (size_t i = 0; i < l.n && l.n_bytes > limit; i++) {
        snprintf(path, sizeof path, "%s/%s", o->cache_dir, l.at[i].name);
        if (l.io.unlink(l.io.user, path) == 0) l.n_bytes -= l.at[i].n_bytes;
    }
    adv_mem_free(&o->alloc, l.at, l.cap * sizeof *l.at);
}

/* ---- plans --------------------------------------------------------------------------------------------------------------- */

static void plan_id(const AdvCudaBack *b, const char *what, uint64_t id[2])
{
    for (int k = 0; k < 2; k++) {
        uint64_t h = adv_hash_str(adv_hash_u64(ADV_HASH_START, (uint64_t)k + 1), what);
        h = adv_hash_str(adv_hash_u64(h, (uint64_t)b->cuda.sm), b->prop.name);
        id[k] = adv_hash_u64(adv_hash_u64(h, (uint64_t)b->cuda.n_sms), (uint64_t)b->api.cudnnGetVersion());
    }
}

void adv_cuda_kept_plan(AdvCuda *c, const char *what, AdvCudaBytes *out)
{
    uint64_t id[2];
    plan_id(c->back, what, id);
    adv_cuda_cache_read(c->back, "plan", id, out);
}

void adv_cuda_keep_plan(AdvCuda *c, const char *what, AdvCudaBytes *plan)
{
    uint64_t id[2];
    plan_id(c->back, what, id);
    adv_cuda_cache_write(c->back, "plan", id, plan);
}
