/* fake_device.c: memory, streams, events, graphs and launches of the fake device. */
#include "tests/cuda/fake.h"
#include "tests/cuda/shim_kernel.h"

#include "runtime/base/hash.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define AT_FIRST {.total_bytes = UINT64_C(8) << 30, .sm = 90, .dnn_version = 91900}
AdvFake adv_fake = AT_FIRST;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what several threads may use of adv_fake */
static pthread_cond_t together = PTHREAD_COND_INITIALIZER;

enum { PAGE = 4096, MAX_BLOCKS = 16384 };

typedef struct Block { char *map; size_t map_bytes; char *p; size_t n_bytes; bool is_host; } Block;
static Block blocks[MAX_BLOCKS];
static uint32_t n_blocks;

typedef struct Work { struct Work *next; void (*run)(const void *what); size_t n_bytes; } Work;   /* what it needs lies behind it */
typedef struct List { Work *first, **last; } List;
struct CUstream_st { List todo, graph; unsigned flags; bool is_capturing, is_spoiled; }; /* is_spoiled: what was being captured */
struct CUgraph_st { List list; uint32_t n_refs; bool is_loaded; };
struct CUevent_st { uint64_t ticks; cudaStream_t stream; };
static struct CUstream_st *streams[16];
enum { MAX_KERNELS = 1 << 14 };
static struct { const void *fn; size_t shared_bytes; bool has_run; } kernels[MAX_KERNELS]; /* by their address; what was set for each */
static _Thread_local bool has_set_device;
static bool is_open;   /* something runs: device memory may be touched */

/* ---- failures -------------------------------------------------------------------------------------------------------- */

static cudaError_t count_call(bool allocates)
{
    bool counts_allocs = adv_fake.fail_with == cudaErrorMemoryAllocation;
    if (adv_fake.has_failed && !counts_allocs) return adv_fake.fail_with;
    if (counts_allocs && !allocates) return cudaSuccess;
    adv_fake.n_calls++;
    if (adv_fake.n_calls != adv_fake.fail_at) return cudaSuccess;
    adv_fake.has_failed = true;
    return adv_fake.fail_with;
}

cudaError_t adv_fake_call(bool allocates)
{
    pthread_mutex_lock(&lock);
    cudaError_t e = count_call(allocates);
    pthread_mutex_unlock(&lock);
    return e;
}

void adv_fake_build_begin(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&lock);
    if (++adv_fake.n_together > adv_fake.most_together) adv_fake.most_together = adv_fake.n_together;
    pthread_cond_broadcast(&together);
    while (adv_fake.most_together < adv_fake.wait_for && pthread_cond_timedwait(&together, &lock, &until) == 0) {}
    pthread_mutex_unlock(&lock);
}

void adv_fake_build_end(uint64_t *count)
{
    pthread_mutex_lock(&lock);
    adv_fake.n_together--;
    ++*count;
    pthread_mutex_unlock(&lock);
}

bool adv_fake_is_capturing(void)
{
    for (uint32_t i = 0; i < 16; i++)
        if (streams[i] && streams[i]->is_capturing) return true;
    return false;
}

bool adv_fake_is_idle(void)
{
    for (uint32_t i = 0; i < 16; i++)
        if (streams[i] && streams[i]->todo.first) return false;
    return true;
}

bool adv_fake_has_set_device(void) { return has_set_device; }

/* What takes memory, waits or loads code may not be called while work is recorded. */
#define NOT_WHILE_CAPTURING() do { if (adv_fake_is_capturing()) return cudaErrorStreamCaptureUnsupported; } while (0)
#define CALL(allocates) do { cudaError_t call_e = adv_fake_call(allocates); if (call_e != cudaSuccess) return call_e; } while (0)

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

static void protect_all(int how)
{
    for (uint32_t i = 0; i < n_blocks; i++)
        if (!blocks[i].is_host) mprotect(blocks[i].map + PAGE, blocks[i].map_bytes - 2 * PAGE, how);
}

/* A block that ends where a closed page begins, but for what its alignment leaves over. */
static cudaError_t take(void **p, size_t n_bytes, bool is_host)
{
    size_t body = (n_bytes + 255) & ~(size_t)255, pages = (body + PAGE - 1) & ~(size_t)(PAGE - 1);
    *p = NULL;
    if (!is_host && adv_fake.used_bytes + body > adv_fake.total_bytes) return cudaErrorMemoryAllocation;
    assert(n_blocks < MAX_BLOCKS);
    char *map = mmap(NULL, pages + 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return cudaErrorMemoryAllocation;
    mprotect(map, PAGE, PROT_NONE);
    mprotect(map + PAGE + pages, PAGE, PROT_NONE);
    char *at = map + PAGE + pages - body;
    if (n_bytes < 1 << 24) memset(at, 0xa5, body);   /* nobody may count on zeros; of large blocks the pages stay away */
    if (!is_host) mprotect(map + PAGE, pages, PROT_NONE);
    blocks[n_blocks++] = (Block){map, pages + 2 * PAGE, at, n_bytes, is_host};
    if (!is_host) {
        adv_fake.used_bytes += body;
        if (adv_fake.used_bytes > adv_fake.peak_bytes) adv_fake.peak_bytes = adv_fake.used_bytes;
    }
    adv_fake.n_allocs++;
    *p = at;
    return cudaSuccess;
}

static Block *block_of(const void *p)
{
    for (uint32_t i = 0; i < n_blocks; i++)
        if ((const char *)p >= blocks[i].p && (const char *)p < blocks[i].p + blocks[i].n_bytes) return &blocks[i];
    return NULL;
}

static bool is_within(const void *p, size_t n, bool is_host)
{
    const Block *b = block_of(p);
    return b && b->is_host == is_host && (size_t)((const char *)p - b->p) + n <= b->n_bytes;
}

static void settle(void);
static bool is_dead(void);

static void drop(void *p)
{
    Block *b = block_of(p);
    if (!p) return;
    assert(b && b->p == p);
    settle();
    munmap(b->map, b->map_bytes);
    if (!b->is_host) adv_fake.used_bytes -= (b->n_bytes + 255) & ~(size_t)255;
    *b = blocks[--n_blocks];
}

static cudaError_t fake_malloc(void **p, size_t n_bytes)
{
    CALL(true);
    NOT_WHILE_CAPTURING();
    return take(p, n_bytes, false);
}

static cudaError_t fake_malloc_host(void **p, size_t n_bytes)
{
    CALL(true);
    NOT_WHILE_CAPTURING();
    return take(p, n_bytes, true);
}

static cudaError_t fake_free(void *p)
{
    NOT_WHILE_CAPTURING();
    drop(p);
    return is_dead() ? adv_fake.fail_with : cudaSuccess;
}

static cudaError_t fake_mem_info(size_t *n_free, size_t *n_total)
{
    CALL(false);
    *n_total = (size_t)adv_fake.total_bytes;
    *n_free = (size_t)(adv_fake.total_bytes - adv_fake.used_bytes);
    return cudaSuccess;
}

/* ---- work ------------------------------------------------------------------------------------------------------------ */

static void *what_of(Work *w) { return (char *)w + ((sizeof *w + 63) & ~(size_t)63); }

static void add_work(List *l, void (*run)(const void *), const void *what, size_t n_bytes)
{
    Work *w = aligned_alloc(64, (((sizeof *w + 63) & ~(size_t)63) + n_bytes + 63) & ~(size_t)63);
    if (!w) abort();
    *w = (Work){NULL, run, n_bytes};
    if (n_bytes) memcpy(what_of(w), what, n_bytes);
    if (!l->first) l->last = &l->first;
    *l->last = w;
    l->last = &w->next;
}

static void run_list(List *l)
{
    bool was_open = is_open;
    if (!was_open) protect_all(PROT_READ | PROT_WRITE);
    is_open = true;
    for (Work *w = l->first; w; w = w->next) w->run(what_of(w));
    is_open = was_open;
    if (!was_open) protect_all(PROT_NONE);
}

static void free_list(List *l)
{
    for (Work *w = l->first, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    *l = (List){NULL, NULL};
}

/* A device that failed for good does nothing more. */
static bool is_dead(void) { return adv_fake.has_failed && adv_fake.fail_with != cudaErrorMemoryAllocation; }

static void run_all(cudaStream_t s)
{
    List todo = s->todo;
    s->todo = (List){NULL, NULL};
    if (!is_dead()) run_list(&todo);
    free_list(&todo);
}

/* Before something goes that waiting work may use. */
static void settle(void)
{
    for (uint32_t i = 0; i < 16; i++)
        if (streams[i]) run_all(streams[i]);
}

void adv_fake_see(cudaStream_t s) { adv_fake.n_elsewhere += adv_fake.only && s != adv_fake.only; }

cudaError_t adv_fake_enqueue(cudaStream_t s, void (*run)(const void *what), const void *what, size_t n_bytes)
{
    adv_fake_see(s);
    if (s->is_capturing && adv_fake.refuses_recording) {
        s->is_spoiled = true;
        return cudaErrorStreamCaptureUnsupported;
    }
    add_work(s->is_capturing ? &s->graph : &s->todo, run, what, n_bytes);
    return cudaSuccess;
}

void adv_fake_count(uint64_t hash, uint64_t plain)
{
    adv_fake.list_hash = adv_hash_u64(adv_fake.list_hash ? adv_fake.list_hash : ADV_HASH_START, plain);
    adv_fake.n_launches++;
    adv_fake.ticks++;
    adv_fake.launch_hash = adv_hash_u64(adv_fake.launch_hash ? adv_fake.launch_hash : ADV_HASH_START, hash);
}

static uint32_t slot_of(const void *fn)
{
    uint32_t i = (uint32_t)((uintptr_t)fn >> 4) % MAX_KERNELS;
    while (kernels[i].fn && kernels[i].fn != fn) i = (i + 1) % MAX_KERNELS;
    kernels[i].fn = fn;
    return i;
}

typedef struct Launch { const AdvShimKernel *k; AdvShimGeometry g; } Launch;

static void run_launch(const void *what)
{
    const Launch *l = what;
    const char *packed = (const char *)what + ((sizeof *l + 63) & ~(size_t)63);
    uint64_t h = adv_hash_bytes(ADV_HASH_START, &l->k, sizeof l->k);
    h = adv_hash_bytes(adv_hash_bytes(h, l->g.grid, sizeof l->g.grid), l->g.block, sizeof l->g.block);
    adv_fake_count(adv_hash_u64(adv_hash_bytes(h, packed, l->k->n_bytes), l->g.shared_bytes), h);
    l->k->run(&l->g, packed);
}

static cudaError_t fake_launch(const void *fn, dim3 grid, dim3 block, void **args, size_t shared_bytes, cudaStream_t s)
{
    CALL(false);
    const AdvShimKernel *k = fn;
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (!fn || !grid.x || grid.y - 1 > 65534 || grid.z - 1 > 65534 || grid.x > 0x7fffffff || threads < 1 || threads > 1024 || block.z > 64)
        return cudaErrorInvalidConfiguration;
    uint32_t at = slot_of(fn);
    kernels[at].has_run = kernels[at].has_run || !s->is_capturing;
    if (!kernels[at].has_run) return cudaErrorStreamCaptureUnsupported; /* its code would be loaded now */
    if (shared_bytes > 48 << 10 && shared_bytes > kernels[at].shared_bytes) return cudaErrorInvalidValue; /* cudaFuncSetAttribute */
    Launch l = {k, {{grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared_bytes}};
    size_t head = (sizeof l + 63) & ~(size_t)63, n = head + k->n_bytes;
    char *what = aligned_alloc(64, (n + 63) & ~(size_t)63);
    if (!what) abort();
    memset(what, 0, n);
    memcpy(what, &l, sizeof l);
    k->pack(args, what + head);
    cudaError_t e = adv_fake_enqueue(s, run_launch, what, n);
    free(what);
    return e;
}

typedef struct Copy { char *dst; const char *src; size_t n; int byte; } Copy;

static void run_copy(const void *what)
{
    const Copy *c = what;
    memmove(c->dst, c->src ? c->src : (const char *)what + sizeof *c, c->n);
}

static void run_fill(const void *what)
{
    const Copy *c = what;
    memset(c->dst, c->byte, c->n);
}

/* From pageable memory the bytes are taken at once, to pageable memory the caller waits, as on a real device. */
static cudaError_t fake_copy(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind, cudaStream_t s)
{
    CALL(false);
    Copy c = {dst, src, n, 0};
    if (kind != cudaMemcpyHostToDevice && !is_within(src, n, false)) return cudaErrorInvalidValue;
    if (kind != cudaMemcpyDeviceToHost && !is_within(dst, n, false)) return cudaErrorInvalidValue;
    if (kind == cudaMemcpyHostToDevice && !is_within(src, n, true)) {
        if (s->is_capturing) return cudaErrorStreamCaptureUnsupported;
        char *what = malloc(sizeof c + n);
        if (!what) abort();
        c.src = NULL;
        memcpy(what, &c, sizeof c);
        memcpy(what + sizeof c, src, n);
        cudaError_t e = adv_fake_enqueue(s, run_copy, what, sizeof c + n);
        free(what);
        return e;
    }
    bool waits = kind == cudaMemcpyDeviceToHost && !is_within(dst, n, true);
    if (waits && s->is_capturing) return cudaErrorStreamCaptureUnsupported;
    cudaError_t e = adv_fake_enqueue(s, run_copy, &c, sizeof c);
    if (waits) run_all(s);
    return e;
}

static cudaError_t fake_memset(void *dst, int byte, size_t n, cudaStream_t s)
{
    CALL(false);
    Copy c = {dst, NULL, n, byte};
    if (!is_within(dst, n, false)) return cudaErrorInvalidValue;
    return adv_fake_enqueue(s, run_fill, &c, sizeof c);
}

/* ---- streams, events, graphs ------------------------------------------------------------------------------------------- */

static cudaError_t fake_stream_create(cudaStream_t *s, unsigned flags)
{
    CALL(true);
    uint32_t i = 0;
    while (i < 15 && streams[i]) i++;
    *s = streams[i] = calloc(1, sizeof **s);
    (*s)->flags = flags;
    adv_fake_see(*s);
    return cudaSuccess;
}

static cudaError_t fake_stream_flags(cudaStream_t s, unsigned *flags)
{
    CALL(false);
    *flags = s->flags;
    return cudaSuccess;
}

static cudaError_t fake_stream_destroy(cudaStream_t s)
{
    if (s == adv_fake.only) adv_fake.n_elsewhere++;   /* it is the caller's */
    for (uint32_t i = 0; i < 16; i++)
        if (streams[i] == s) streams[i] = NULL;
    free_list(&s->todo);
    free_list(&s->graph);
    free(s);
    return cudaSuccess;
}

static cudaError_t fake_stream_sync(cudaStream_t s)
{
    CALL(false);
    if (s->is_capturing) return cudaErrorStreamCaptureUnsupported;
    adv_fake.n_syncs++;
    adv_fake_see(s);
    run_all(s);
    return cudaSuccess;
}

static cudaError_t fake_begin(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    CALL(false);
    if (s->is_capturing) return cudaErrorIllegalState;
    if (mode != cudaStreamCaptureModeThreadLocal) return cudaErrorInvalidValue; /* other threads may go on taking memory */
    adv_fake_see(s);
    s->is_capturing = true;
    s->is_spoiled = false;
    return cudaSuccess;
}

static cudaError_t fake_end(cudaStream_t s, cudaGraph_t *graph)
{
    cudaError_t e = adv_fake_call(true);
    *graph = NULL;
    if (!s->is_capturing) return cudaErrorIllegalState;
    s->is_capturing = false;
    if (e == cudaSuccess && s->is_spoiled) e = cudaErrorStreamCaptureInvalidated;
    if (e == cudaSuccess) {
        *graph = calloc(1, sizeof **graph);
        **graph = (struct CUgraph_st){s->graph, 1, false};
    } else {
        free_list(&s->graph);
    }
    s->graph = (List){NULL, NULL};
    return e;
}

static cudaError_t fake_instantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    CALL(true);
    (void)flags;
    graph->n_refs++;
    *exec = (cudaGraphExec_t)graph;
    return cudaSuccess;
}

static cudaError_t drop_graph(cudaGraph_t g)
{
    if (--g->n_refs) return cudaSuccess;
    settle();
    free_list(&g->list);
    free(g);
    return cudaSuccess;
}

static cudaError_t drop_exec(cudaGraphExec_t e) { return drop_graph((cudaGraph_t)e); }

static void run_graph(const void *what)
{
    cudaGraph_t g;
    memcpy(&g, what, sizeof g);
    adv_fake.n_graphs++;
    run_list(&g->list);
}

/* The first launch of each takes memory of the device for it. */
static cudaError_t fake_graph_launch(cudaGraphExec_t exec, cudaStream_t s)
{
    cudaGraph_t graph = (cudaGraph_t)exec;
    CALL(!graph->is_loaded);
    graph->is_loaded = true;
    return adv_fake_enqueue(s, run_graph, &exec, sizeof exec);
}

static void run_event(const void *what)
{
    cudaEvent_t e;
    memcpy(&e, what, sizeof e);
    e->ticks = adv_fake.ticks;
}

static cudaError_t fake_event_create(cudaEvent_t *e)
{
    CALL(true);
    NOT_WHILE_CAPTURING();
    *e = calloc(1, sizeof **e);
    return cudaSuccess;
}

static cudaError_t fake_event_destroy(cudaEvent_t e)
{
    settle();
    free(e);
    return cudaSuccess;
}

static cudaError_t fake_event_record(cudaEvent_t e, cudaStream_t s)
{
    CALL(false);
    e->stream = s;
    return adv_fake_enqueue(s, run_event, &e, sizeof e);
}

static cudaError_t fake_event_sync(cudaEvent_t e)
{
    CALL(false);
    NOT_WHILE_CAPTURING();
    if (e->stream) adv_fake_see(e->stream), run_all(e->stream);
    return cudaSuccess;
}

static cudaError_t fake_event_elapsed(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    CALL(false);
    *ms = (float)(to->ticks - from->ticks);
    return cudaSuccess;
}

/* ---- the device ------------------------------------------------------------------------------------------------------ */

static cudaError_t fake_count(int *n)
{
    CALL(false);
    *n = adv_fake.has_no_device ? 0 : 1;
    return adv_fake.has_no_device ? cudaErrorNoDevice : cudaSuccess;
}

static cudaError_t fake_properties(struct cudaDeviceProp *p, int device)
{
    CALL(false);
    (void)device;
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "fake device");
    p->major = adv_fake.sm / 10;
    p->minor = adv_fake.sm % 10;
    p->multiProcessorCount = 4;
    p->sharedMemPerBlockOptin = 227 << 10;
    p->sharedMemPerBlock = 48 << 10;
    p->totalGlobalMem = (size_t)adv_fake.total_bytes;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    p->l2CacheSize = 50 << 20;
    return cudaSuccess;
}

static cudaError_t fake_set_device(int device)
{
    CALL(false);
    has_set_device = device == 0;
    return device ? cudaErrorInvalidDevice : cudaSuccess;
}

static cudaError_t fake_version(int *version)
{
    CALL(false);
    *version = 13000;
    return cudaSuccess;
}

static cudaError_t fake_last_error(void) { return cudaSuccess; }
static const char *fake_error_name(cudaError_t e) { return e == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaErrorFake"; }
static const char *fake_error_string(cudaError_t e)
{
    return e == cudaErrorMemoryAllocation ? "out of memory" : "the fake device was told to fail";
}

static cudaError_t fake_attribute(const void *fn, enum cudaFuncAttribute a, int value)
{
    CALL(false);
    if (!fn || value > 227 << 10) return cudaErrorInvalidValue;
    if (a == cudaFuncAttributeMaxDynamicSharedMemorySize) kernels[slot_of(fn)].shared_bytes = (size_t)value;
    return cudaSuccess;
}

static cudaError_t fake_load(cudaLibrary_t *lib, const void *code, enum cudaJitOption *jit, void **jit_values, unsigned n_jit,
                             enum cudaLibraryOption *opts, void **opt_values, unsigned n_opts)
{
    CALL(true);
    NOT_WHILE_CAPTURING();
    (void)jit, (void)jit_values, (void)n_jit, (void)opts, (void)opt_values, (void)n_opts;
    return adv_fake_library_load(lib, code);
}

static cudaError_t fake_kernel(cudaKernel_t *kernel, cudaLibrary_t lib, const char *name)
{
    CALL(false);
    return adv_fake_library_kernel(kernel, lib, name);
}

static void fill_rt(AdvCudaApi *a)
{
    a->cudaGetDeviceCount = fake_count;
    a->cudaGetDeviceProperties = fake_properties;
    a->cudaRuntimeGetVersion = a->cudaDriverGetVersion = fake_version;
    a->cudaSetDevice = fake_set_device;
    a->cudaGetLastError = fake_last_error;
    a->cudaGetErrorName = fake_error_name;
    a->cudaGetErrorString = fake_error_string;
    a->cudaMemGetInfo = fake_mem_info;
    a->cudaMalloc = fake_malloc;
    a->cudaMallocHost = fake_malloc_host;
    a->cudaFree = a->cudaFreeHost = fake_free;
    a->cudaMemcpyAsync = fake_copy;
    a->cudaMemsetAsync = fake_memset;
    a->cudaStreamCreateWithFlags = fake_stream_create;
    a->cudaStreamGetFlags = fake_stream_flags;
    a->cudaStreamDestroy = fake_stream_destroy;
    a->cudaStreamSynchronize = fake_stream_sync;
    a->cudaStreamBeginCapture = fake_begin;
    a->cudaStreamEndCapture = fake_end;
    a->cudaGraphInstantiate = fake_instantiate;
    a->cudaGraphLaunch = fake_graph_launch;
    a->cudaGraphDestroy = drop_graph;
    a->cudaGraphExecDestroy = drop_exec;
    a->cudaEventCreate = fake_event_create;
    a->cudaEventDestroy = fake_event_destroy;
    a->cudaEventRecord = fake_event_record;
    a->cudaEventSynchronize = fake_event_sync;
    a->cudaEventElapsedTime = fake_event_elapsed;
    a->cudaFuncSetAttribute = fake_attribute;
    a->cudaLaunchKernel = fake_launch;
    a->cudaLibraryLoadData = fake_load;
    a->cudaLibraryUnload = adv_fake_library_unload;
    a->cudaLibraryGetKernel = fake_kernel;
}

AdvStatus adv_fake_source(AdvCudaApi *api, AdvCudaLib which, const char *dirs, AdvDiags *ds)
{
    (void)dirs;
    (void)ds;
    if (which == ADV_CUDA_RT) fill_rt(api);
    else if (which == ADV_CUDA_BLAS) adv_fake_fill_blas(api);
    else if (which == ADV_CUDA_DNN) adv_fake_fill_dnn(api);
    else adv_fake_fill_rtc(api);
    return ADV_OK;
}

uint32_t adv_fake_reset(void)
{
    uint32_t n = n_blocks;
    while (n_blocks) {
        Block *b = &blocks[--n_blocks];
        munmap(b->map, b->map_bytes);
    }
    adv_fake = (AdvFake)AT_FIRST;
    memset(kernels, 0, sizeof kernels);
    return n;
}

static AdvStatus open_fake(const AdvBackendOpts *o, AdvDiags *ds, void **out_self)
{
    return adv_cuda_open(o, adv_fake_source, ds, out_self);
}
static AdvStatus probe_fake(const AdvBackendOpts *o, AdvDiags *ds, int32_t *out_sm)
{
    return adv_cuda_probe(o, adv_fake_source, ds, out_sm);
}

const AdvBackend adv_backend_fake = {.open = open_fake, .probe = probe_fake, ADV_CUDA_BACKEND};
