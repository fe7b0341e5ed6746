/* backend_cuda.c: AdvBackend over the function table: a device, its memory, copies, launches, recordings.
**
** All work of a session is on one stream, in order: the caller's, if there is one, and then no other is made, waited for or
** recorded. To the device bytes go through a ring of pinned pieces, so that a copy costs the caller a memcpy and the device waits
** for nobody; from the device a copy waits, because the caller reads at once.
** A recording is a captured graph, made executable: between begin and end launches cost nothing and nothing runs.
**
** Errors: a failed call is remembered as a sentence (last_error) until the device was waited for and is well. A failure after which the
** device answers nothing any more is sticky: it may belong to any launch since the last sync, and every later call returns it.
*/
#include "ops/cuda/parts.h"
#include "ops/plugin.h"
#include "runtime/cuda/cuda_back.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

extern const AdvCudaFn adv_cuda_fns_loop[];

static AdvCudaBack *back_of(AdvCuda *c) { return c->back; }

/* ---- errors ---------------------------------------------------------------------------------------------------------- */

AdvStatus adv_cuda_fail(AdvCudaBack *b, AdvStatus st, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(b->error, sizeof b->error, fmt, ap);
    va_end(ap);
    return adv_fail(b->ds, st, st == ADV_ENOMEM ? ADV_D_NO_MEMORY : ADV_D_BACKEND, "%s", b->error);
}

void adv_cuda_warn(AdvCuda *c, const char *fmt, ...)
{
    const AdvBackendOpts *o = &back_of(c)->host.opts;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (o->log) o->log(o->user, text);
}

/* Errors after which CUDA answers no call of this process any more, of no session and no other library. */
static bool ends_process(cudaError_t e)
{
    return e == cudaErrorIllegalAddress || e == cudaErrorMisalignedAddress || e == cudaErrorInvalidAddressSpace ||
           e == cudaErrorInvalidPc || e == cudaErrorIllegalInstruction || e == cudaErrorHardwareStackError || e == cudaErrorAssert ||
           e == cudaErrorLaunchFailure || e == cudaErrorLaunchTimeout || e == cudaErrorECCUncorrectable ||
           e == cudaErrorNvlinkUncorrectable;
}

/* Errors that leave the device as it was: the call did nothing. */
static bool is_harmless(cudaError_t e)
{
    return e == cudaErrorMemoryAllocation || e == cudaErrorInvalidValue || e == cudaErrorInvalidConfiguration ||
           e == cudaErrorNotSupported || e == cudaErrorInvalidDeviceFunction || e == cudaErrorLaunchOutOfResources ||
           e == cudaErrorNoDevice || e == cudaErrorInsufficientDriver || e == cudaErrorNoKernelImageForDevice ||
           e == cudaErrorSymbolNotFound || e == cudaErrorInvalidKernelImage || e == cudaErrorInvalidPtx ||
           e == cudaErrorUnsupportedPtxVersion || e == cudaErrorJitCompilationDisabled || e == cudaErrorInvalidResourceHandle ||
           (e >= cudaErrorStreamCaptureUnsupported && e <= cudaErrorStreamCaptureWrongThread);
}

AdvStatus adv_cuda_check(AdvCuda *c, cudaError_t e, const char *call)
{
    AdvCudaBack *b = back_of(c);
    if (e == cudaSuccess) return ADV_OK;
    (void)c->api->cudaGetLastError();
    if (!is_harmless(e) && !b->sticky) b->sticky = e;
    AdvStatus st = e == cudaErrorMemoryAllocation ? ADV_ENOMEM : ADV_EUNAVAILABLE;
    return adv_cuda_fail(b, st, "%s: %s (%s)%s", call, c->api->cudaGetErrorString(e), c->api->cudaGetErrorName(e),
                         ends_process(e) ? "; CUDA answers this process no more: start it again" : "");
}

AdvStatus adv_cuda_refuse(AdvCuda *c, const char *fmt, ...)
{
    char text[320];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return adv_cuda_fail(back_of(c), ADV_EUNAVAILABLE, "%s", text);
}

AdvStatus adv_cuda_foreign(AdvCuda *c, bool no_memory, const char *call, const char *fmt, ...)
{
    char text[320];
    size_t n_free, n_all;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cudaError_t e = c->api->cudaGetLastError();
    if (e == cudaSuccess) e = no_memory ? cudaErrorMemoryAllocation : c->api->cudaMemGetInfo(&n_free, &n_all);
    if (e != cudaSuccess && e != cudaErrorMemoryAllocation) return adv_cuda_check(c, e, call);
    return adv_cuda_fail(back_of(c), e == cudaSuccess ? ADV_EUNAVAILABLE : ADV_ENOMEM, "%s: %s", call, text);
}

#define CHECK(b, call, args) adv_cuda_check(&(b)->cuda, (b)->api.call args, #call)

const char *adv_cuda_last_error(const void *self) { return ((const AdvCudaBack *)self)->error; }

/* ---- opening --------------------------------------------------------------------------------------------------------- */

AdvStatus adv_cuda_need(AdvCudaBack *b, AdvCudaLib lib)
{
    if (b->is_open[lib]) return ADV_OK;
    AdvStatus st = b->source(&b->api, lib, b->host.opts.library_dirs, b->ds);
    if (st != ADV_OK) return st;
    b->is_open[lib] = true;
    return ADV_OK;
}

static AdvStatus find_device(AdvCudaBack *b)
{
    int n = 0;
    cudaError_t e = b->api.cudaGetDeviceCount(&n);
    if (e != cudaSuccess || n < 1) {
        (void)b->api.cudaGetLastError();
        return adv_cuda_fail(b, ADV_EUNAVAILABLE, "no CUDA device answers: %s",
                             e != cudaSuccess ? b->api.cudaGetErrorString(e) : "there is none");
    }
    ADV_TRY(CHECK(b, cudaGetDeviceProperties, (&b->prop, 0)));
    b->cuda.device = 0;
    b->cuda.sm = b->prop.major * 10 + b->prop.minor;
    b->cuda.n_sms = b->prop.multiProcessorCount;
    b->cuda.max_shared_bytes = (int)b->prop.sharedMemPerBlockOptin;
    if (b->cuda.sm < 80)
        return adv_cuda_fail(b, ADV_EUNAVAILABLE, "%s has compute capability %d.%d: 8.0 or newer is needed", b->prop.name, b->prop.major,
                             b->prop.minor);
    return ADV_OK;
}

/* The caller's stream, or one of our own. */
static AdvStatus open_stream(AdvCudaBack *b)
{
    cudaStream_t given = b->host.opts.stream;
    unsigned flags = 0;
    if (!given) return CHECK(b, cudaStreamCreateWithFlags, (&b->cuda.stream, cudaStreamNonBlocking));
    if (given == cudaStreamLegacy || given == cudaStreamPerThread)
        return adv_cuda_fail(b, ADV_EINVAL,
                             "a default stream was passed, which cannot be recorded or is another one in each thread: make one");
    b->cuda.stream = given;
    ADV_TRY(CHECK(b, cudaStreamGetFlags, (given, &flags)));
    if (!(flags & cudaStreamNonBlocking))
        adv_cuda_warn(&b->cuda, "the stream that was passed and the default stream wait for each other, and what this thread puts on that "
                                "one while an entry is recorded spoils the recording: make it with cudaStreamNonBlocking");
    return ADV_OK;
}

static AdvStatus open_device(AdvCudaBack *b)
{
    ADV_TRY(adv_cuda_need(b, ADV_CUDA_RT));
    ADV_TRY(find_device(b));
    ADV_TRY(CHECK(b, cudaSetDevice, (0)));
    ADV_TRY(open_stream(b));
    ADV_TRY(CHECK(b, cudaEventCreate, (&b->t0)));
    ADV_TRY(CHECK(b, cudaEventCreate, (&b->t1)));
    void *word = NULL, *pinned = NULL;
    ADV_TRY(CHECK(b, cudaMalloc, (&word, sizeof *b->cuda.fault)));
    b->cuda.fault = word;
    ADV_TRY(CHECK(b, cudaMemsetAsync, (word, 0, sizeof *b->cuda.fault, b->cuda.stream)));
    ADV_TRY(CHECK(b, cudaMallocHost, (&pinned, sizeof *b->fault)));
    b->fault = pinned;
    for (uint32_t i = 0; i < CUDA_STAGES; i++) {
        void *p = NULL;
        ADV_TRY(CHECK(b, cudaMallocHost, (&p, CUDA_STAGE_BYTES)));
        b->stage[i] = p;
        ADV_TRY(CHECK(b, cudaEventCreate, (&b->stage_free[i])));
    }
    return ADV_OK;
}

/* NULL: out of memory, which was said. */
static AdvCudaBack *new_back(const AdvBackendOpts *o, AdvCudaSource *source, AdvDiags *ds)
{
    AdvCudaBack *b = adv_mem_new0(&o->alloc, sizeof *b);
    if (!b) {
        (void)adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening the back end");
        return NULL;
    }
    b->host.opts = *o;
    b->source = source;
    b->cuda.api = &b->api;
    b->cuda.back = b;
    b->later_end = &b->later;
    b->ds = ds;
    return b;
}

AdvStatus adv_cuda_probe(const AdvBackendOpts *o, AdvCudaSource *source, AdvDiags *ds, int32_t *out_sm)
{
    AdvCudaBack *b = new_back(o, source, ds);
    *out_sm = 0;
    if (!b) return ADV_ENOMEM;
    AdvStatus st = adv_cuda_need(b, ADV_CUDA_RT);
    if (st == ADV_OK) st = find_device(b);
    if (st == ADV_OK) *out_sm = b->cuda.sm;
    adv_mem_free(&o->alloc, b, sizeof *b);
    return st;
}

AdvStatus adv_cuda_open(const AdvBackendOpts *o, AdvCudaSource *source, AdvDiags *ds, void **out_self)
{
    AdvCudaBack *b = new_back(o, source, ds);
    *out_self = NULL;
    if (!b) return ADV_ENOMEM;
    b->cuda.is_deterministic = o->is_deterministic;
    b->cuda.allow_tf32 = o->allow_tf32;
    AdvStatus st = open_device(b);
    b->ds = NULL;
    if (st != ADV_OK) {
        adv_cuda_close(b);
        return st;
    }
    *out_self = b;
    return ADV_OK;
}

static void close_device(AdvCudaBack *b)
{
    if (b->dnn) b->api.cudnnDestroy(b->dnn);
    if (b->blas) b->api.cublasDestroy_v2(b->blas);
    if (b->blas_workspace) b->api.cudaFree(b->blas_workspace);
    if (b->cuda.fault) b->api.cudaFree(b->cuda.fault);
    if (b->fault) b->api.cudaFreeHost(b->fault);
    for (uint32_t i = 0; i < CUDA_STAGES; i++) {
        if (b->stage[i]) b->api.cudaFreeHost(b->stage[i]);
        if (b->stage_free[i]) b->api.cudaEventDestroy(b->stage_free[i]);
    }
    if (b->t0) b->api.cudaEventDestroy(b->t0);
    if (b->t1) b->api.cudaEventDestroy(b->t1);
    if (b->cuda.stream && !b->host.opts.stream) b->api.cudaStreamDestroy(b->cuda.stream);
}

void adv_cuda_close(void *self)
{
    AdvCudaBack *b = self;
    if (!b) return;
    b->ds = NULL;
    if (b->cuda.stream) b->api.cudaStreamSynchronize(b->cuda.stream);
    adv_cuda_unprepare(b);
    adv_cuda_forget_choices(b);
    if (b->is_open[ADV_CUDA_RT]) close_device(b);
    AdvAlloc a = b->host.opts.alloc;
    adv_host_fini(&b->host);
    adv_mem_free(&a, b, sizeof *b);
}

void adv_cuda_device_info(void *self, char *text, size_t n_bytes)
{
    const AdvCudaBack *b = self;
    int driver = 0, runtime = 0;
    (void)b->api.cudaDriverGetVersion(&driver);
    (void)b->api.cudaRuntimeGetVersion(&runtime);
    int n = snprintf(text, n_bytes, "%s, %.1f GB, CUDA %d.%d (driver %d.%d)", b->prop.name, (double)b->prop.totalGlobalMem / 1e9,
                     runtime / 1000, runtime % 1000 / 10, driver / 1000, driver % 1000 / 10);
    size_t dnn = b->is_open[ADV_CUDA_DNN] ? b->api.cudnnGetVersion() : 0;
    if (dnn && n > 0 && (size_t)n < n_bytes)
        snprintf(text + n, n_bytes - (size_t)n, ", cuDNN %zu.%zu.%zu", dnn / 10000, dnn / 100 % 100, dnn % 100);
}

uint64_t adv_cuda_n_run_allocs(const void *self)
{
    (void)self;
    return 0;
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

void *adv_cuda_alloc(void *self, uint64_t n_bytes)
{
    AdvCudaBack *b = self;
    void *p = NULL;
    size_t n_free = 0, n_total = 0;
    cudaError_t e = n_bytes > SIZE_MAX ? cudaErrorMemoryAllocation : b->api.cudaMalloc(&p, (size_t)n_bytes);
    if (adv_cuda_check(&b->cuda, e, "cudaMalloc") == ADV_OK) return p;
    if (e == cudaErrorMemoryAllocation && b->api.cudaMemGetInfo(&n_free, &n_total) == cudaSuccess)
        (void)adv_cuda_fail(b, ADV_ENOMEM, "of the device's %.1f MB %.1f are free", (double)n_total / 1e6, (double)n_free / 1e6);
    return NULL;
}

void adv_cuda_free(void *self, void *p, uint64_t n_bytes)
{
    AdvCudaBack *b = self;
    (void)n_bytes;
    (void)b->api.cudaFree(p);
}

/* The next piece of the ring, once the device has done with it. */
static AdvStatus next_stage(AdvCudaBack *b, uint32_t *out)
{
    uint32_t i = b->stage_at;
    b->stage_at = (i + 1) % CUDA_STAGES;
    if (b->stage_used[i]) ADV_TRY(CHECK(b, cudaEventSynchronize, (b->stage_free[i])));
    b->stage_used[i] = false;
    *out = i;
    return ADV_OK;
}

static AdvStatus to_device(AdvCudaBack *b, char *dst, const char *src, size_t n)
{
    for (size_t at = 0, len; at < n; at += len) {
        uint32_t i = 0;
        len = n - at < CUDA_STAGE_BYTES ? n - at : CUDA_STAGE_BYTES;
        ADV_TRY(next_stage(b, &i));
        memcpy(b->stage[i], src + at, len);
        ADV_TRY(CHECK(b, cudaMemcpyAsync, (dst + at, b->stage[i], len, cudaMemcpyHostToDevice, b->cuda.stream)));
        ADV_TRY(CHECK(b, cudaEventRecord, (b->stage_free[i], b->cuda.stream)));
        b->stage_used[i] = true;
    }
    return ADV_OK;
}

/* Waits for everything, and looks whether a kernel met data that it cannot take. Where all is well, earlier failures are over. */
static AdvStatus wait_all(AdvCudaBack *b)
{
    cudaStream_t s = b->cuda.stream;
    ADV_TRY(CHECK(b, cudaMemcpyAsync, (b->fault, b->cuda.fault, sizeof *b->fault, cudaMemcpyDeviceToHost, s)));
    ADV_TRY(CHECK(b, cudaStreamSynchronize, (s)));
    if (!*b->fault) {
        b->error[0] = 0;
        return ADV_OK;
    }
    uint32_t at = *b->fault - 1;
    ADV_TRY(CHECK(b, cudaMemsetAsync, (b->cuda.fault, 0, sizeof *b->fault, s)));
    return adv_cuda_fail(b, ADV_EDATA, "`%s` was given a class or a row number that is out of range",
                         at < b->n_prepared ? b->op_names[at] : "an instruction");
}

static AdvStatus to_host(AdvCudaBack *b, char *dst, const char *src, size_t n)
{
    for (size_t at = 0, len; at < n; at += len) {
        uint32_t i = 0;
        len = n - at < CUDA_STAGE_BYTES ? n - at : CUDA_STAGE_BYTES;
        ADV_TRY(next_stage(b, &i));
        ADV_TRY(CHECK(b, cudaMemcpyAsync, (b->stage[i], src + at, len, cudaMemcpyDeviceToHost, b->cuda.stream)));
        ADV_TRY(wait_all(b));
        memcpy(dst + at, b->stage[i], len);
    }
    return ADV_OK;
}

AdvStatus adv_cuda_copy(void *self, void *dst, const void *src, uint64_t n_bytes, int32_t direction)
{
    AdvCudaBack *b = self;
    assert(!b->is_recording);
    if (!n_bytes) return ADV_OK;
    if (direction == ADV_TO_DEVICE) return to_device(b, dst, src, (size_t)n_bytes);
    if (direction == ADV_TO_HOST) return to_host(b, dst, src, (size_t)n_bytes);
    return CHECK(b, cudaMemcpyAsync, (dst, src, (size_t)n_bytes, cudaMemcpyDeviceToDevice, b->cuda.stream));
}

AdvStatus adv_cuda_fill(void *self, void *dst, int byte, uint64_t n_bytes)
{
    AdvCudaBack *b = self;
    if (!n_bytes) return ADV_OK;
    return CHECK(b, cudaMemsetAsync, (dst, byte, (size_t)n_bytes, b->cuda.stream));
}

AdvStatus adv_cuda_sync(void *self) { return wait_all(self); }

/* ---- preparing ------------------------------------------------------------------------------------------------------- */

typedef struct PrepHost {
    AdvCuda *cuda;   /* first: adv_cuda_of reads it */
    const AdvKernel *k;
} PrepHost;

AdvCuda *adv_cuda_of(const AdvPrep *p) { return ((const PrepHost *)p->host)->cuda; }

static void *prep_alloc(AdvPrep *p, size_t bytes)
{
    return adv_host_keep(&back_of(adv_cuda_of(p))->host, bytes);
}

static AdvStatus prep_fail(AdvPrep *p, AdvStatus st, const char *fmt, ...)
{
    const PrepHost *ph = p->host;
    char msg[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return adv_fail(back_of(ph->cuda)->ds, st, ADV_D_KERNEL, "kernel `%s` of `%s`: %s", ph->k->name, ph->k->op, msg);
}

void adv_cuda_later(AdvPrep *p, AdvCudaLater *l)
{
    AdvCudaBack *b = back_of(adv_cuda_of(p));
    l->next = NULL;
    l->out_scratch = b->scratch;
    *b->later_end = l;
    b->later_end = &l->next;
}

char *adv_cuda_keep_text(AdvCudaBack *b, const char *text)
{
    size_t n = strlen(text) + 1;
    char *p = adv_host_keep(&b->host, n);
    if (p) memcpy(p, text, n);
    return p;
}

static AdvStatus prepare_kernel(AdvCudaBack *b, AdvBound *bound, const AdvKernel *k)
{
    PrepHost ph = {&b->cuda, k};
    AdvPrep p = {.sig = &bound->sig, .n_threads = b->host.opts.n_threads, .alloc = prep_alloc, .fail = prep_fail, .host = &ph};
    CudaRelease *r = NULL;
    if (k->release) {
        r = adv_host_keep(&b->host, sizeof *r);
        if (!r) return adv_cuda_fail(b, ADV_ENOMEM, "out of memory while preparing `%s`", k->op);
    }
    bound->state = NULL;
    b->scratch = &bound->scratch_bytes;
    AdvStatus st = k->prepare ? k->prepare(&p, &bound->state) : ADV_OK;
    b->scratch = NULL;
    ADV_TRY(st);
    if (r) {
        *r = (CudaRelease){b->release, k, bound->state};
        b->release = r;
    }
    bound->kernel = k;
    bound->scratch_bytes = p.scratch_bytes;
    return ADV_OK;
}

/* Gives the instruction about to be prepared a code to report by. */
static AdvStatus number_inst(AdvCudaBack *b, const char *op_name)
{
    if (b->n_prepared == b->cap_prepared) {
        uint32_t cap = b->cap_prepared ? 2 * b->cap_prepared : 256;
        const char **names = adv_host_keep(&b->host, cap * sizeof *names);
        if (!names) return adv_cuda_fail(b, ADV_ENOMEM, "out of memory while preparing `%s`", op_name);
        if (b->n_prepared) memcpy(names, b->op_names, b->n_prepared * sizeof *names);
        b->op_names = names;
        b->cap_prepared = cap;
    }
    b->op_names[b->n_prepared++] = op_name;
    b->cuda.fault_code = b->n_prepared;
    return ADV_OK;
}

/* Prepares it if it was compiled for this device. */
static AdvStatus take_kernel(AdvCudaBack *b, AdvBound *bound, const AdvKernel *k)
{
    AdvPluginFault fault;
    AdvStatus st = adv_plugin_check_cuda(b->host.opts.reg, k, b->cuda.sm, &fault);
    if (st == ADV_OK) return prepare_kernel(b, bound, k);
    adv_diag_help(adv_diag(b->ds, fault.id, (AdvSpan){0, 0, 0}, "%s", fault.text), "%s", fault.help);
    return st;
}

/* The first kernel that can. None is for the session to say: there is no definition to fall back on. */
AdvStatus adv_cuda_prepare(void *self, AdvBound *bound, AdvDiags *ds)
{
    AdvCudaBack *b = self;
    const AdvBackendOpts *o = &b->host.opts;
    AdvStatus st = ADV_OK;
    uint32_t n;
    const AdvKernel *const *ks = adv_registry_kernels(o->reg, "cuda", bound->sig.op->name, &n);
    bound->kernel = NULL;
    b->ds = ds;
    st = number_inst(b, bound->sig.op->name);
    for (uint32_t i = 0; i < n && st == ADV_OK; i++) {
        const char *why;
        if (adv_kernel_can(ks[i], &bound->sig, &why)) {
            st = take_kernel(b, bound, ks[i]);
            break;
        }
        if (o->refused) o->refused(o->user, &bound->sig, ks[i], why);
    }
    b->ds = NULL;
    return st;
}

AdvStatus adv_cuda_prepare_kernel(void *self, AdvBound *bound, const AdvKernel *k, AdvDiags *ds)
{
    AdvCudaBack *b = self;
    b->ds = ds;
    AdvStatus st = number_inst(b, bound->sig.op->name);
    if (st == ADV_OK) st = take_kernel(b, bound, k);
    b->ds = NULL;
    return st;
}

/* Everything that was put off: host work on all threads, then choices by time, one after the other in the order of the instructions. */
static AdvStatus do_later(AdvCudaBack *b)
{
    for (int round = 0; round < ADV_CUDA_ROUNDS; round++) {
        AdvCudaCrew crew;
        ADV_TRY(adv_cuda_crew_open(b, &crew));
        AdvStatus st = round == ADV_CUDA_BUILD ? adv_cuda_compile_begin(b, &crew) : ADV_OK;
        for (AdvCudaLater *l = b->later; l && st == ADV_OK; l = l->next) st = l->round(l, round, &crew);
        ADV_TRY(adv_cuda_crew_close(&crew, st));
    }
    ADV_TRY(adv_cuda_compile_end(b));
    for (AdvCudaLater *l = b->later; l; l = l->next) {
        ADV_TRY(l->end(l));
        if (l->out_scratch) *l->out_scratch = l->scratch_bytes;
    }
    return ADV_OK;
}

static void forget_later(AdvCudaBack *b)
{
    b->later = NULL;
    b->later_end = &b->later;
}

AdvStatus adv_cuda_keep(AdvCuda *c, uint64_t n_bytes, void **out)
{
    AdvCudaBack *b = back_of(c);
    CudaKept *k = adv_host_keep(&b->host, sizeof *k);
    *out = NULL;
    if (!k) return adv_cuda_fail(b, ADV_ENOMEM, "out of memory while preparing a list");
    ADV_TRY(CHECK(b, cudaMalloc, (&k->p, (size_t)n_bytes)));
    k->next = b->kept;
    b->kept = k;
    *out = k->p;
    return ADV_OK;
}

AdvStatus adv_cuda_upload(AdvCuda *c, void *dst, const void *src, uint64_t n_bytes)
{
    AdvCudaBack *b = back_of(c);
    assert(!b->is_recording);
    return to_device(b, dst, src, (size_t)n_bytes);
}

/* Those whose kernels all run parts can. */
AdvStatus adv_cuda_prepare_list(void *self, const AdvBound *first, uint32_t n, AdvBound *out, AdvDiags *ds)
{
    AdvCudaBack *b = self;
    PrepHost ph = {&b->cuda, &adv_cuda_list};
    AdvPrep p = {.sig = &first->sig, .alloc = prep_alloc, .fail = prep_fail, .host = &ph};
    for (uint32_t i = 0; i < n; i++)
        if (!first[i].kernel || first[i].kernel->run != adv_cuda_run_parts) return ADV_OK;
    b->ds = ds;
    const AdvSig **sigs = adv_host_keep(&b->host, n * sizeof *sigs);
    void **states = adv_host_keep(&b->host, n * sizeof *states);
    AdvStatus st = sigs && states ? ADV_OK : adv_cuda_fail(b, ADV_ENOMEM, "out of memory while preparing a list");
    for (uint32_t i = 0; i < n && st == ADV_OK; i++) {
        sigs[i] = &first[i].sig;
        states[i] = first[i].state;
    }
    *out = (AdvBound){.sig = first->sig};
    if (st == ADV_OK) st = adv_cuda_list_prepare(&p, sigs, states, n, &out->state);
    if (out->state) out->kernel = &adv_cuda_list;
    b->ds = NULL;
    return st;
}

AdvStatus adv_cuda_prepared(void *self, AdvDiags *ds)
{
    AdvCudaBack *b = self;
    b->ds = ds;
    AdvStatus st = do_later(b);
    forget_later(b);
    if (st == ADV_OK) st = adv_cuda_choices_end(b);
    adv_cuda_cache_trim(b);
    if (st == ADV_OK) st = adv_cuda_sync(b);
    if (b->trial_mem) (void)b->api.cudaFree(b->trial_mem);
    b->trial_mem = NULL;
    b->trial_bytes = 0;
    b->ds = NULL;
    return st;
}

void adv_cuda_unprepare(void *self)
{
    AdvCudaBack *b = self;
    forget_later(b);
    for (CudaRelease *r = b->release; r; r = r->next) r->k->release(r->state);
    b->release = NULL;
    for (CudaKept *k = b->kept; k; k = k->next) (void)b->api.cudaFree(k->p);
    b->kept = NULL;
    if (b->trial_mem) (void)b->api.cudaFree(b->trial_mem);
    b->trial_mem = NULL;
    b->trial_bytes = 0;
    adv_cuda_forget_code(b);
    b->op_names = NULL;
    b->n_prepared = b->cap_prepared = 0;
    AdvBackendOpts o = b->host.opts;
    adv_host_fini(&b->host);
    b->host = (AdvHostSelf){.opts = o};
}

/* ---- running --------------------------------------------------------------------------------------------------------- */

const void *adv_cuda_fn(const AdvCudaFn *table, const char *name)
{
    while (table->name && strcmp(table->name, name)) table++;
    assert(table->name);
    return table->fn;
}

AdvStatus adv_cuda_launch(AdvCuda *c, const void *fn, const AdvCudaGrid *g, void **args)
{
    if (!g->grid.x || !g->grid.y || !g->grid.z) return ADV_OK;
    back_of(c)->n_launches++;
    return adv_cuda_check(c, c->api->cudaLaunchKernel(fn, g->grid, g->block, args, g->shared_bytes, c->stream), "cudaLaunchKernel");
}

AdvStatus adv_cuda_run(void *self, AdvBound *bound, void *scratch)
{
    AdvCudaBack *b = self;
    AdvLaunch l = {.in = bound->sig.in, .out = bound->sig.out, .attr = bound->sig.attr, .scratch = scratch, .stream = b->cuda.stream,
                   .n_threads = b->host.opts.n_threads};
    assert(bound->kernel);
    bound->has_run = true;
    return bound->kernel->run(&l, bound->state);
}

/* A stream that is busy when it is given work has all of it in line before the work begins: what launching costs the host, 3 to 8 us each
** time, is then no part of what the device's clock says. Long enough for an instruction of some launches and both events. */
static AdvStatus keep_busy(AdvCudaBack *b)
{
    unsigned ns = 30000;
    void *args[] = {&ns};
    AdvCudaGrid g = {{1, 1, 1}, {1, 1, 1}, 0};
    return adv_cuda_launch(&b->cuda, adv_cuda_fn(adv_cuda_fns_loop, "adv_spin"), &g, args);
}

AdvStatus adv_cuda_run_timed(void *self, AdvBound *bound, void *scratch, uint64_t *out_ns)
{
    AdvCudaBack *b = self;
    float ms = 0;
    *out_ns = 0;
    ADV_TRY(keep_busy(b));
    ADV_TRY(CHECK(b, cudaEventRecord, (b->t0, b->cuda.stream)));
    ADV_TRY(adv_cuda_run(self, bound, scratch));
    ADV_TRY(CHECK(b, cudaEventRecord, (b->t1, b->cuda.stream)));
    ADV_TRY(CHECK(b, cudaEventSynchronize, (b->t1)));
    ADV_TRY(CHECK(b, cudaEventElapsedTime, (&ms, b->t0, b->t1)));
    *out_ns = (uint64_t)((double)ms * 1e6);
    return ADV_OK;
}

AdvStatus adv_cuda_set_i64(void *self, void *dst, int64_t value)
{
    AdvCudaBack *b = self;
    long long v = value;
    void *args[] = {&dst, &v};
    AdvCudaGrid g = {{1, 1, 1}, {1, 1, 1}, 0};
    return adv_cuda_launch(&b->cuda, adv_cuda_fn(adv_cuda_fns_loop, "adv_set_i64"), &g, args);
}

bool adv_cuda_is_recording(const AdvCuda *c) { return c->back->is_recording; }

AdvStatus adv_cuda_record_begin(void *self)
{
    AdvCudaBack *b = self;
    ADV_TRY(CHECK(b, cudaStreamBeginCapture, (b->cuda.stream, cudaStreamCaptureModeThreadLocal)));
    b->is_recording = true;
    return ADV_OK;
}

/* The graph itself is not needed once it is executable: of a long entry it is megabytes. */
AdvStatus adv_cuda_record_end(void *self, void **out_recording)
{
    AdvCudaBack *b = self;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    *out_recording = NULL;
    b->is_recording = false;
    AdvStatus st = CHECK(b, cudaStreamEndCapture, (b->cuda.stream, &graph));
    if (st == ADV_OK) st = CHECK(b, cudaGraphInstantiate, (&exec, graph, 0));
    if (graph) (void)b->api.cudaGraphDestroy(graph);
    if (st == ADV_OK) *out_recording = exec;
    return st;
}

AdvStatus adv_cuda_replay(void *self, void *recording)
{
    AdvCudaBack *b = self;
    return CHECK(b, cudaGraphLaunch, (recording, b->cuda.stream));
}

void adv_cuda_forget(void *self, void *recording)
{
    AdvCudaBack *b = self;
    (void)b->api.cudaGraphExecDestroy(recording);
}

/* ---- libraries ------------------------------------------------------------------------------------------------------- */

/* What cuBLAS asks for on Hopper; more is never used, less makes it choose slower kernels. Set before any capture. */
enum { BLAS_WORKSPACE_BYTES = 32 << 20 };

static AdvStatus blas_status(AdvCudaBack *b, cublasStatus_t e, const char *call)
{
    if (e == CUBLAS_STATUS_SUCCESS) return ADV_OK;
    return adv_cuda_fail(b, e == CUBLAS_STATUS_ALLOC_FAILED ? ADV_ENOMEM : ADV_EUNAVAILABLE, "%s: %s", call,
                         b->api.cublasGetStatusString(e));
}

static AdvStatus open_blas(AdvCudaBack *b)
{
    ADV_TRY(adv_cuda_need(b, ADV_CUDA_BLAS));
    if (!b->blas_workspace) ADV_TRY(CHECK(b, cudaMalloc, (&b->blas_workspace, BLAS_WORKSPACE_BYTES)));
    ADV_TRY(blas_status(b, b->api.cublasCreate_v2(&b->blas), "cublasCreate"));
    ADV_TRY(blas_status(b, b->api.cublasSetStream_v2(b->blas, b->cuda.stream), "cublasSetStream"));
    return blas_status(b, b->api.cublasSetWorkspace_v2(b->blas, b->blas_workspace, BLAS_WORKSPACE_BYTES), "cublasSetWorkspace");
}

AdvStatus adv_cuda_blas(AdvCuda *c, cublasHandle_t *out)
{
    AdvCudaBack *b = back_of(c);
    *out = NULL;
    if (!b->blas) {
        AdvStatus st = open_blas(b);
        if (st != ADV_OK) {
            if (b->blas) b->api.cublasDestroy_v2(b->blas);
            b->blas = NULL;
            return st;
        }
    }
    *out = b->blas;
    return ADV_OK;
}

static AdvStatus dnn_status(AdvCudaBack *b, cudnnStatus_t e, const char *call)
{
    if (e == CUDNN_STATUS_SUCCESS) return ADV_OK;
    bool no_memory = e == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED || e == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    return adv_cuda_fail(b, no_memory ? ADV_ENOMEM : ADV_EUNAVAILABLE, "%s: %s", call, b->api.cudnnGetErrorString(e));
}

/* cuDNN uses NVRTC and cuBLAS, which it looks for by name alone: what is open already is found wherever it lies. Without them it offers
** fewer plans, and who needs them for something else says what is missing. */
static void open_for_dnn(AdvCudaBack *b)
{
    AdvDiags *ds = b->ds;
    b->ds = NULL;
    if (adv_cuda_need(b, ADV_CUDA_RTC) != ADV_OK) b->error[0] = 0;
    if (adv_cuda_need(b, ADV_CUDA_BLAS) != ADV_OK) b->error[0] = 0;
    b->ds = ds;
}

AdvStatus adv_cuda_dnn(AdvCuda *c, cudnnHandle_t *out)
{
    AdvCudaBack *b = back_of(c);
    *out = NULL;
    if (!b->dnn) {
        ADV_TRY(adv_cuda_need(b, ADV_CUDA_DNN));
        open_for_dnn(b);
        ADV_TRY(dnn_status(b, b->api.cudnnCreate(&b->dnn), "cudnnCreate"));
        AdvStatus st = dnn_status(b, b->api.cudnnSetStream(b->dnn, b->cuda.stream), "cudnnSetStream");
        if (st != ADV_OK) {
            b->api.cudnnDestroy(b->dnn);
            b->dnn = NULL;
            return st;
        }
    }
    *out = b->dnn;
    return ADV_OK;
}
