/* cache.c: files of the cache folder that hold what a library made: machine code of NVRTC, plans of cuDNN.
**
**   adv-cuda-<id>.cubin, adv-cuda-<id>.plan
**                          "ADVCACHE", u64 bytes, u64 hash of the bytes, the id (two u64), zeros up to 64, the bytes
**
** The id is a hash of everything the bytes depend on, so what was made for another GPU or by another version has another name. A file
** that does not hold what its name says is warned about and made anew. Writing goes through a temporary file.
*/
#include "runtime/base/hash.h"
#include "runtime/cuda/cuda_back.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HEAD_BYTES = 64 /* so that code begins as aligned as memory does */ };
static const char magic[8] = {'A', 'D', 'V', 'C', 'A', 'C', 'H', 'E'};

typedef struct Head { char magic[8]; uint64_t n, hash, id[2]; } Head;

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
    char path[4200];
    void *data = NULL;
    uint64_t n = 0;
    *out = (AdvCudaBytes){NULL, NULL, 0, 0};
    if (!path_of(b, kind, id, path, sizeof path)) return;
    if (adv_read_file(b->host.opts.io, &b->host.opts.alloc, path, UINT64_C(1) << 30, NULL, &data, &n) != ADV_OK) return;
    *out = (AdvCudaBytes){(unsigned char *)data + HEAD_BYTES, data, (size_t)n - HEAD_BYTES, (size_t)n + 1};
    if (n > HEAD_BYTES) {
        Head h = head_of(out, id);
        if (!memcmp(data, &h, sizeof h)) return;
    }
    adv_cuda_bytes_drop(&b->cuda, out);
    adv_cuda_warn(&b->cuda, "warning: `%s` is damaged and is made anew", path);
}

/* Without a cache the next session does the work again: a warning, no error. */
void adv_cuda_cache_write(AdvCudaBack *b, const char *kind, const uint64_t id[2], AdvCudaBytes *bytes)
{
    char path[4200];
    if (!path_of(b, kind, id, path, sizeof path)) return;
    Head h = head_of(bytes, id);
    memcpy(bytes->block, &h, sizeof h);
    if (adv_write_file(b->host.opts.io, &b->host.opts.alloc, path, bytes->block, HEAD_BYTES + bytes->n, NULL) != ADV_OK)
        adv_cuda_warn(&b->cuda, "warning: compiled code cannot be kept in `%s`", path);
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
