/* generate.c: kernels that the compiler's fused groups became: all texts of a session as one unit, compiled by NVRTC.
**
** The machine code is kept in the cache folder (cache.c) under the hash of the text, the headers, the GPU and NVRTC's version. What is
** not there is compiled by a job beside the plans of cuDNN.
*/
#include "ops/cuda/headers.h"
#include "runtime/base/hash.h"
#include "runtime/cuda/cuda_back.h"

#include <stdio.h>
#include <string.h>

enum { MAX_HEADERS = 16 };

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

typedef struct CudaUnit {
    AdvCudaJob job;
    const AdvCudaBack *back;
    char *text;
    size_t n_bytes;
    const char *header_names[MAX_HEADERS], *header_texts[MAX_HEADERS];
    int n_headers;
    int major, minor;          /* of NVRTC */
    uint64_t id[2];
    nvrtcProgram program;      /* of the job, with what came of it */
    nvrtcResult result;
    const char *call;
    AdvCudaBytes code;
} CudaUnit;

static AdvStatus join_headers(AdvCudaBack *b, CudaUnit *u)
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

static void hash_unit(const AdvCudaBack *b, CudaUnit *u)
{
    for (int k = 0; k < 2; k++) {
        uint64_t h = adv_hash_u64(ADV_HASH_START, (uint64_t)k + 1);
        h = adv_hash_str(h, u->text);
        for (int i = 0; i < u->n_headers; i++) h = adv_hash_str(h, u->header_texts[i]);
        h = adv_hash_u64(h, (uint64_t)b->cuda.sm);
        h = adv_hash_u64(h, (uint64_t)u->major * 1000 + (uint64_t)u->minor);
        u->id[k] = adv_hash_str(h, b->prop.name);
    }
}

static AdvStatus make_unit(AdvCudaBack *b, CudaUnit *u)
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

/* The job. A failure is told by the thread that opens the session. */
static bool compile(AdvCudaJob *job, AdvCudaCrew *crew)
{
    CudaUnit *u = (CudaUnit *)job;
    const AdvCudaApi *api = &u->back->api;
    char arch[48];
    (void)crew;
    snprintf(arch, sizeof arch, "--gpu-architecture=sm_%d", u->back->cuda.sm);
    const char *options[] = {arch, "--std=c++17", "--fmad=false", "-lineinfo"};
    u->call = "nvrtcCreateProgram";
    u->result = api->nvrtcCreateProgram(&u->program, u->text, "adv_generated.cu", u->n_headers, u->header_texts, u->header_names);
    if (u->result == NVRTC_SUCCESS) {
        u->call = "nvrtcCompileProgram";
        u->result = api->nvrtcCompileProgram(u->program, 4, options);
    }
    return u->result != NVRTC_ERROR_OUT_OF_MEMORY;
}

/* The first lines of NVRTC's log, as a note: the text is ours, so this is for us. */
static AdvStatus compile_failed(AdvCudaBack *b, const CudaUnit *u)
{
    size_t n = 0;
    AdvStatus st = adv_cuda_fail(b, u->result == NVRTC_ERROR_OUT_OF_MEMORY ? ADV_ENOMEM : ADV_EUNAVAILABLE,
                                 "NVRTC refuses the generated code: %s: %s", u->call, b->api.nvrtcGetErrorString(u->result));
    if (!u->program || b->api.nvrtcGetProgramLogSize(u->program, &n) != NVRTC_SUCCESS || n < 2) return st;
    char *log = adv_mem_new0(&b->host.opts.alloc, n + 1);
    if (log && b->api.nvrtcGetProgramLog(u->program, log) == NVRTC_SUCCESS) st = adv_fail_while(b->ds, st, "compiling: %.400s", log);
    adv_mem_free(&b->host.opts.alloc, log, n + 1);
    return st;
}

static AdvStatus get_code(AdvCudaBack *b, CudaUnit *u)
{
    size_t n = 0;
    if (u->result != NVRTC_SUCCESS) return compile_failed(b, u);
    nvrtcResult r = b->api.nvrtcGetCUBINSize(u->program, &n);
    if (r == NVRTC_SUCCESS) {
        ADV_TRY(adv_cuda_bytes_new(&b->cuda, n, &u->code));
        r = b->api.nvrtcGetCUBIN(u->program, (char *)u->code.at);
    }
    return r == NVRTC_SUCCESS ? ADV_OK : adv_cuda_fail(b, ADV_EUNAVAILABLE, "nvrtcGetCUBIN: %s", b->api.nvrtcGetErrorString(r));
}

static AdvStatus load_code(AdvCudaBack *b, const CudaUnit *u)
{
    cudaError_t e = b->api.cudaLibraryLoadData(&b->code, u->code.at, NULL, NULL, 0, NULL, NULL, 0);
    ADV_TRY(adv_cuda_check(&b->cuda, e, "cudaLibraryLoadData"));
    for (uint32_t i = 0; i < b->n_texts; i++) {
        cudaKernel_t k = NULL;
        ADV_TRY(adv_cuda_check(&b->cuda, b->api.cudaLibraryGetKernel(&k, b->code, b->texts[i].name), "cudaLibraryGetKernel"));
        for (uint32_t s = 0; s < b->texts[i].n_slots; s++) *b->texts[i].slots[s] = (const void *)k;
    }
    return ADV_OK;
}

static void drop_unit(AdvCudaBack *b)
{
    CudaUnit *u = b->unit;
    b->unit = NULL;
    if (!u) return;
    if (u->program) (void)b->api.nvrtcDestroyProgram(&u->program);
    adv_cuda_bytes_drop(&b->cuda, &u->code);
}

AdvStatus adv_cuda_compile_begin(AdvCudaBack *b, AdvCudaCrew *crew)
{
    if (!b->n_texts) return ADV_OK;
    ADV_TRY(adv_cuda_need(b, ADV_CUDA_RTC));
    CudaUnit *u = adv_host_keep(&b->host, sizeof *u);
    if (!u) return no_memory(b);
    b->unit = u;
    *u = (CudaUnit){.job = {.run = compile}, .back = b};
    ADV_TRY(make_unit(b, u));
    adv_cuda_cache_read(b, "cubin", u->id, &u->code);
    if (!u->code.at) adv_cuda_crew_add(crew, &u->job);
    return ADV_OK;
}

AdvStatus adv_cuda_compile_end(AdvCudaBack *b)
{
    CudaUnit *u = b->unit;
    if (!u) return ADV_OK;
    if (!u->code.at) {
        ADV_TRY(get_code(b, u));
        adv_cuda_cache_write(b, "cubin", u->id, &u->code);
    }
    AdvStatus st = load_code(b, u);
    drop_unit(b);
    return st;
}

void adv_cuda_forget_code(AdvCudaBack *b)
{
    drop_unit(b);
    if (b->code) (void)b->api.cudaLibraryUnload(b->code);
    b->code = NULL;
    b->texts = NULL;
    b->n_texts = b->cap_texts = 0;
}
