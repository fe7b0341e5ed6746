/* generate.c: kernels that the compiler's fused groups became: all texts of a session as one unit, compiled by NVRTC.
**
** The machine code is kept in the cache folder under the hash of the text, the headers, the GPU and NVRTC's version:
**   adv-cuda-<hash>.cubin   "ADVCUBIN", u64 bytes, u64 hash of the bytes, zeros up to 64, the bytes
** A file that does not hold this is ignored with a warning and written anew. Writing goes through a temporary file.
*/
#include "ops/cuda/headers.h"
#include "runtime/base/hash.h"
#include "runtime/cuda/cuda_back.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_HEADERS = 16, HEAD_BYTES = 64 /* so that code begins as aligned as memory does */ };
static const char magic[8] = {'A', 'D', 'V', 'C', 'U', 'B', 'I', 'N'};

/* ---- gathering texts ------------------------------------------------------------------------------------------------- */

static AdvStatus no_memory(AdvCudaBack *b) { return adv_cuda_fail(b, ADV_ENOMEM, "out of memory for generated code"); }

/* A list of host_keep memory, twice as long. */
static void *grown(AdvCudaBack *b, const void *old, uint32_t n, uint32_t *cap, size_t elem_bytes)
{
    uint32_t more = *cap ? *cap * 2 : 8;
    void *p = adv_host_keep(&b->host, more * elem_bytes);
    if (!p) return NULL;
    if (n) memcpy(p, old, n * elem_bytes);
    *cap = more;
    return p;
}

static AdvStatus add_slot(AdvCudaBack *b, CudaText *t, const void **slot)
{
    if (t->n_slots == t->cap) {
        const void ***slots = grown(b, t->slots, t->n_slots, &t->cap, sizeof *slots);
        if (!slots) return no_memory(b);
        t->slots = slots;
    }
    t->slots[t->n_slots++] = slot;
    return ADV_OK;
}

AdvStatus adv_cuda_generate(AdvCuda *c, const char *name, const char *text, const void **out_slot)
{
    AdvCudaBack *b = c->back;
    *out_slot = NULL;
    for (uint32_t i = 0; i < b->n_texts; i++)
        if (!strcmp(b->texts[i].name, name)) return add_slot(b, &b->texts[i], out_slot);
    if (b->n_texts == b->cap_texts) {
        CudaText *texts = grown(b, b->texts, b->n_texts, &b->cap_texts, sizeof *texts);
        if (!texts) return no_memory(b);
        b->texts = texts;
    }
    CudaText t = {.name = adv_cuda_keep_text(b, name), .text = adv_cuda_keep_text(b, text)};
    if (!t.name || !t.text) return no_memory(b);
    ADV_TRY(add_slot(b, &t, out_slot));
    b->texts[b->n_texts++] = t;
    return ADV_OK;
}

/* ---- one unit of text ------------------------------------------------------------------------------------------------ */

typedef struct Unit {
    char *text;
    size_t n_bytes;
    const char *header_names[MAX_HEADERS], *header_texts[MAX_HEADERS];
    int n_headers;
    int major, minor;          /* of NVRTC */
    uint64_t hash[2];
} Unit;

static AdvStatus join_headers(AdvCudaBack *b, Unit *u)
{
    for (const AdvCudaHeader *h = adv_cuda_headers; h->name && u->n_headers < MAX_HEADERS; h++) {
        size_t n = 1;
        for (uint32_t i = 0; h->lines[i]; i++) n += strlen(h->lines[i]);
        char *text = adv_host_keep(&b->host, n), *at = text;
        if (!text) return no_memory(b);
        for (uint32_t i = 0; h->lines[i]; i++) {
            size_t len = strlen(h->lines[i]);
            memcpy(at, h->lines[i], len);
            at += len;
        }
        u->header_names[u->n_headers] = h->name;
        u->header_texts[u->n_headers++] = text;
    }
    return ADV_OK;
}

static void hash_unit(const AdvCudaBack *b, Unit *u)
{
    for (int k = 0; k < 2; k++) {
        uint64_t h = adv_hash_u64(ADV_HASH_START, (uint64_t)k + 1);
        h = adv_hash_str(h, u->text);
        for (int i = 0; i < u->n_headers; i++) h = adv_hash_str(h, u->header_texts[i]);
        h = adv_hash_u64(h, (uint64_t)b->cuda.sm);
        h = adv_hash_u64(h, (uint64_t)u->major * 1000 + (uint64_t)u->minor);
        u->hash[k] = adv_hash_str(h, b->prop.name);
    }
}

static AdvStatus make_unit(AdvCudaBack *b, Unit *u)
{
    static const char first[] = "#include \"ops/cuda/device.cuh\"\n";
    u->n_bytes = sizeof first;
    for (uint32_t i = 0; i < b->n_texts; i++) u->n_bytes += strlen(b->texts[i].text) + 1;
    u->text = adv_host_keep(&b->host, u->n_bytes);
    if (!u->text) return no_memory(b);
    size_t at = (size_t)snprintf(u->text, u->n_bytes, "%s", first);
    for (uint32_t i = 0; i < b->n_texts; i++) at += (size_t)snprintf(u->text + at, u->n_bytes - at, "%s\n", b->texts[i].text);
    ADV_TRY(join_headers(b, u));
    nvrtcResult r = b->api.nvrtcVersion(&u->major, &u->minor);
    if (r != NVRTC_SUCCESS) return adv_cuda_fail(b, ADV_EUNAVAILABLE, "nvrtcVersion: %s", b->api.nvrtcGetErrorString(r));
    hash_unit(b, u);
    return ADV_OK;
}

/* ---- compiling ------------------------------------------------------------------------------------------------------- */

typedef struct Code { unsigned char *bytes; size_t n_bytes, cap; } Code;   /* with room for the head of its file before it */

static AdvStatus new_code(AdvCudaBack *b, size_t n_bytes, Code *out)
{
    out->n_bytes = n_bytes;
    out->cap = n_bytes + HEAD_BYTES;
    out->bytes = adv_mem_new0(&b->host.opts.alloc, out->cap);
    return out->bytes ? ADV_OK : no_memory(b);
}

/* The first lines of NVRTC's log, as a note: the text is ours, so this is for us. */
static AdvStatus compile_failed(AdvCudaBack *b, nvrtcProgram p, nvrtcResult r)
{
    size_t n = 0;
    AdvStatus st = adv_cuda_fail(b, r == NVRTC_ERROR_OUT_OF_MEMORY ? ADV_ENOMEM : ADV_EUNAVAILABLE, "NVRTC refuses the generated code: %s",
                                 b->api.nvrtcGetErrorString(r));
    if (b->api.nvrtcGetProgramLogSize(p, &n) != NVRTC_SUCCESS || n < 2) return st;
    char *log = adv_mem_new0(&b->host.opts.alloc, n + 1);
    if (log && b->api.nvrtcGetProgramLog(p, log) == NVRTC_SUCCESS) st = adv_fail_while(b->ds, st, "compiling: %.400s", log);
    adv_mem_free(&b->host.opts.alloc, log, n + 1);
    return st;
}

static AdvStatus get_code(AdvCudaBack *b, nvrtcProgram p, Code *out)
{
    size_t n = 0;
    nvrtcResult r = b->api.nvrtcGetCUBINSize(p, &n);
    if (r == NVRTC_SUCCESS) {
        ADV_TRY(new_code(b, n, out));
        r = b->api.nvrtcGetCUBIN(p, (char *)out->bytes + HEAD_BYTES);
    }
    return r == NVRTC_SUCCESS ? ADV_OK : adv_cuda_fail(b, ADV_EUNAVAILABLE, "nvrtcGetCUBIN: %s", b->api.nvrtcGetErrorString(r));
}

static AdvStatus compile(AdvCudaBack *b, const Unit *u, Code *out)
{
    char arch[48];
    nvrtcProgram p = NULL;
    snprintf(arch, sizeof arch, "--gpu-architecture=sm_%d", b->cuda.sm);
    const char *options[] = {arch, "--std=c++17", "--fmad=false", "-lineinfo"};
    nvrtcResult r = b->api.nvrtcCreateProgram(&p, u->text, "adv_generated.cu", u->n_headers, u->header_texts, u->header_names);
    if (r != NVRTC_SUCCESS) return adv_cuda_fail(b, ADV_EUNAVAILABLE, "nvrtcCreateProgram: %s", b->api.nvrtcGetErrorString(r));
    r = b->api.nvrtcCompileProgram(p, 4, options);
    AdvStatus st = r == NVRTC_SUCCESS ? get_code(b, p, out) : compile_failed(b, p, r);
    (void)b->api.nvrtcDestroyProgram(&p);
    return st;
}

/* ---- the cache ------------------------------------------------------------------------------------------------------- */

static bool cache_path(const AdvCudaBack *b, const Unit *u, char *path, size_t n)
{
    const char *dir = b->host.opts.cache_dir;
    int len = dir ? snprintf(path, n, "%s/adv-cuda-%016" PRIx64 "%016" PRIx64 ".cubin", dir, u->hash[0], u->hash[1]) : -1;
    return len > 0 && (size_t)len < n;
}

/* True if the file is there and whole. */
static bool read_cache(AdvCudaBack *b, const char *path, Code *out)
{
    void *data = NULL;
    uint64_t n = 0, size, hash;
    if (adv_read_file(b->host.opts.io, &b->host.opts.alloc, path, UINT64_C(1) << 30, NULL, &data, &n) != ADV_OK) return false;
    *out = (Code){data, 0, (size_t)n + 1};
    bool ok = n > HEAD_BYTES && !memcmp(data, magic, sizeof magic);
    if (ok) {
        memcpy(&size, out->bytes + 8, 8);
        memcpy(&hash, out->bytes + 16, 8);
        ok = size == n - HEAD_BYTES && hash == adv_hash_bytes(ADV_HASH_START, out->bytes + HEAD_BYTES, (size_t)size);
        out->n_bytes = (size_t)(n - HEAD_BYTES);
    }
    if (ok) return true;
    adv_cuda_warn(b, "warning: `%s` is damaged and is made anew", path);
    adv_mem_free(&b->host.opts.alloc, data, out->cap);
    *out = (Code){NULL, 0, 0};
    return false;
}

/* Without a cache the next session compiles again: a warning, no error. */
static void write_cache(AdvCudaBack *b, const char *path, Code *code)
{
    uint64_t size = code->n_bytes, hash = adv_hash_bytes(ADV_HASH_START, code->bytes + HEAD_BYTES, code->n_bytes);
    memcpy(code->bytes, magic, sizeof magic);
    memcpy(code->bytes + 8, &size, 8);
    memcpy(code->bytes + 16, &hash, 8);
    if (adv_write_file(b->host.opts.io, &b->host.opts.alloc, path, code->bytes, HEAD_BYTES + size, NULL) != ADV_OK)
        adv_cuda_warn(b, "warning: compiled code cannot be kept in `%s`", path);
}

static AdvStatus load_code(AdvCudaBack *b, const Code *code)
{
    ADV_TRY(adv_cuda_check(&b->cuda, b->api.cudaLibraryLoadData(&b->code, code->bytes + HEAD_BYTES, NULL, NULL, 0, NULL, NULL, 0),
                           "cudaLibraryLoadData"));
    for (uint32_t i = 0; i < b->n_texts; i++) {
        cudaKernel_t k = NULL;
        ADV_TRY(adv_cuda_check(&b->cuda, b->api.cudaLibraryGetKernel(&k, b->code, b->texts[i].name), "cudaLibraryGetKernel"));
        for (uint32_t s = 0; s < b->texts[i].n_slots; s++) *b->texts[i].slots[s] = (const void *)k;
    }
    return ADV_OK;
}

AdvStatus adv_cuda_compile(AdvCudaBack *b)
{
    Unit u = {.text = NULL};
    Code code = {NULL, 0, 0};
    char path[4200];
    if (!b->n_texts) return ADV_OK;
    ADV_TRY(adv_cuda_need(b, ADV_CUDA_RTC));
    ADV_TRY(make_unit(b, &u));
    bool has_path = cache_path(b, &u, path, sizeof path);
    AdvStatus st = ADV_OK;
    if (!has_path || !read_cache(b, path, &code)) {
        st = compile(b, &u, &code);
        if (st == ADV_OK && has_path) write_cache(b, path, &code);
    }
    if (st == ADV_OK) st = load_code(b, &code);
    adv_mem_free(&b->host.opts.alloc, code.bytes, code.cap);
    return st;
}

void adv_cuda_forget_code(AdvCudaBack *b)
{
    if (b->code) (void)b->api.cudaLibraryUnload(b->code);
    b->code = NULL;
    b->texts = NULL;
    b->n_texts = b->cap_texts = 0;
}
