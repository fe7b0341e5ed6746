/* parts.c: see parts.h. */
#include "ops/cuda/parts.h"

#include "ops/cuda/geometry.h"
#include "ops/cuda/list.h"
#include "runtime/base/diag.h"
#include "runtime/base/hash.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- alone ----------------------------------------------------------------------------------------------------------- */

AdvCudaParts *adv_cuda_parts_new(AdvPrep *p, uint32_t n_parts)
{
    AdvCudaParts *s = p->alloc(p, sizeof *s + n_parts * sizeof s->part[0]);
    if (!s) return NULL;
    s->cuda = adv_cuda_of(p);
    s->n_in = p->sig->n_in;
    s->n_parts = n_parts;
    return s;
}

AdvStatus adv_cuda_part_generate(AdvPrep *p, AdvCudaPart *part, const char *name, const char *text, const char *const *types)
{
    size_t n = strlen(name) + 32, at;
    for (uint32_t k = 0; k < part->n_args; k++) n += strlen(types[k]) + 16;
    char *call = p->alloc(p, n);
    if (!call) return ADV_ENOMEM;
    at = (size_t)snprintf(call, n, "%s_at(", name);
    for (uint32_t k = 0; k < part->n_args; k++) at += (size_t)snprintf(call + at, n - at, "(%s *)d[%u], ", types[k], (unsigned)k);
    at += (size_t)snprintf(call + at, n - at, "n, p)");
    assert(at < n);
    part->call = call;
    return adv_cuda_generate(adv_cuda_of(p), name, text, &part->fn);
}

static char *address(const AdvView *in, uint32_t n_in, const AdvView *out, const AdvCudaArg *a)
{
    return (char *)(a->operand < n_in ? in[a->operand] : out[a->operand - n_in]).data + a->at;
}

AdvStatus adv_cuda_run_parts(const AdvLaunch *l, void *state)
{
    const AdvCudaParts *s = state;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        const AdvCudaPart *part = &s->part[i];
        void *args[ADV_CUDA_MAX_ARGS + 1], *data[ADV_CUDA_MAX_ARGS];
        long long n = part->n;
        assert(part->n_args <= ADV_CUDA_MAX_ARGS);
        for (uint32_t k = 0; k < part->n_args; k++) {
            data[k] = address(l->in, s->n_in, l->out, &part->args[k]);
            args[k] = &data[k];
        }
        args[part->n_args] = &n;
        ADV_TRY(adv_cuda_launch(s->cuda, part->fn, &part->grid, args));
    }
    return ADV_OK;
}

/* ---- a list ---------------------------------------------------------------------------------------------------------- */

/* In device memory, and in `host` as it is there: the parts, then the addresses. */
typedef struct List {
    AdvCuda *cuda;
    const void *fn;
    AdvCudaGrid grid;
    uint32_t n_sigs, n_parts, n_addresses;
    const AdvSig *const *sigs;
    void *const *states;
    size_t n_bytes;
    char *host, *device;
    bool is_there;
} List;

static AdvListPart *parts_of(const List *s) { return (AdvListPart *)(void *)s->host; }
static char **addresses_of(const List *s) { return (char **)(void *)(s->host + s->n_parts * sizeof(AdvListPart)); }

/* The kernel's text, as snprintf writes. calls: each once. */
static size_t put(char *text, size_t cap, size_t at, const char *fmt, ...) ADV_PRINTF(4, 5);
static size_t put(char *text, size_t cap, size_t at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(at < cap ? text + at : NULL, at < cap ? cap - at : 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    return at + (size_t)n;
}

static size_t list_text(const char *const *calls, uint32_t n_calls, const char *name, char *text, size_t cap)
{
    size_t at = put(text, cap, 0,
                    "extern \"C\" __global__ void __launch_bounds__(%d) %s(const AdvListPart *parts, void *const *data, int n_parts)\n{\n"
                    "    const AdvListPart part = adv_list_part(parts, n_parts);\n"
                    "    void *const *d = data + part.first_arg;\n"
                    "    const long long n = part.n, p = (long long)(blockIdx.x - part.first_block) * blockDim.x + threadIdx.x;\n"
                    "    switch (part.call) {\n",
                    ADV_CUDA_BLOCK, name);
    for (uint32_t i = 0; i < n_calls; i++) at = put(text, cap, at, "    case %u: %s; break;\n", (unsigned)i, calls[i]);
    return put(text, cap, at, "    }\n}\n");
}

static AdvStatus generate(AdvPrep *p, List *s, const char *const *calls, uint32_t n_calls)
{
    char name[] = "list_0000000000000000", none[1];
    size_t n = list_text(calls, n_calls, name, none, 0) + 1;
    char *text = p->alloc(p, n);
    if (!text) return ADV_ENOMEM;
    (void)list_text(calls, n_calls, name, text, n);
    snprintf(name, sizeof name, "list_%016" PRIx64, adv_hash_bytes(ADV_HASH_START, text, n - 1));
    (void)list_text(calls, n_calls, name, text, n);
    return adv_cuda_generate(s->cuda, name, text, &s->fn);
}

/* Fills the table but for the addresses; *out_n calls are in calls[]. False: more blocks than a grid takes. */
static bool fill_parts(List *s, const char **calls, uint32_t *out_n)
{
    AdvListPart *to = parts_of(s);
    uint64_t n_blocks = 0;
    long long n_args = 0;
    *out_n = 0;
    for (uint32_t i = 0; i < s->n_sigs; i++) {
        const AdvCudaParts *member = s->states[i];
        for (uint32_t k = 0; k < member->n_parts; k++, to++) {
            const AdvCudaPart *part = &member->part[k];
            uint32_t call = 0;
            while (call < *out_n && strcmp(calls[call], part->call) != 0) call++;
            if (call == *out_n) calls[(*out_n)++] = part->call;
            *to = (AdvListPart){(unsigned)n_blocks, call, n_args, part->n};
            n_blocks += part->grid.grid.x;
            n_args += part->n_args;
            if (n_blocks > INT32_MAX) return false;
        }
    }
    s->grid = adv_cuda_grid_blocks(n_blocks, ADV_CUDA_BLOCK);
    return true;
}

AdvStatus adv_cuda_list_prepare(AdvPrep *p, const AdvSig *const *sigs, void *const *states, uint32_t n, void **out_state)
{
    List *s = p->alloc(p, sizeof *s);
    uint32_t n_calls;
    *out_state = NULL;
    if (!s) return ADV_ENOMEM;
    *s = (List){.cuda = adv_cuda_of(p), .n_sigs = n, .sigs = sigs, .states = states};
    for (uint32_t i = 0; i < n; i++) {
        const AdvCudaParts *member = states[i];
        s->n_parts += member->n_parts;
        for (uint32_t k = 0; k < member->n_parts; k++) s->n_addresses += member->part[k].n_args;
    }
    s->n_bytes = s->n_parts * sizeof(AdvListPart) + s->n_addresses * sizeof(char *);
    s->host = p->alloc(p, s->n_bytes);
    const char **calls = p->alloc(p, s->n_parts * sizeof *calls);
    if (!s->host || !calls) return ADV_ENOMEM;
    if (!fill_parts(s, calls, &n_calls)) return ADV_OK;
    ADV_TRY(generate(p, s, calls, n_calls));
    ADV_TRY(adv_cuda_keep(s->cuda, s->n_bytes, (void **)(void *)&s->device));
    *out_state = s;
    return ADV_OK;
}

/* Are the addresses in the table those of the views? If not, they are now. */
static bool renew(List *s)
{
    char **to = addresses_of(s);
    bool same = true;
    for (uint32_t i = 0; i < s->n_sigs; i++) {
        const AdvSig *sig = s->sigs[i];
        const AdvCudaParts *member = s->states[i];
        for (uint32_t k = 0; k < member->n_parts; k++) {
            for (uint32_t a = 0; a < member->part[k].n_args; a++, to++) {
                char *now = address(sig->in, sig->n_in, sig->out, &member->part[k].args[a]);
                same = same && *to == now;
                *to = now;
            }
        }
    }
    return same;
}

static AdvStatus run_list(const AdvLaunch *l, void *state)
{
    List *s = state;
    (void)l;
    if (!renew(s) || !s->is_there) ADV_TRY(adv_cuda_upload(s->cuda, s->device, s->host, s->n_bytes));
    s->is_there = true;
    char *addresses = s->device + s->n_parts * sizeof(AdvListPart);
    int n_parts = (int)s->n_parts;
    void *args[] = {&s->device, &addresses, &n_parts};
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

const AdvKernel adv_cuda_list = {ADV_KERNEL_HEADER, .backend = "cuda", .op = "", .name = "list", .run = run_list};
