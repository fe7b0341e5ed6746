/* cuda_back.h: the cuda back end seen from its own files.
**
** Everything foreign goes through `api`. Who fills it is a CudaSource: api_load.c for a real machine, tests/cuda for a fake one.
** A session has one stream; all its work is on it, in order.
*/
#ifndef ADV_RUNTIME_CUDA_BACK_H
#define ADV_RUNTIME_CUDA_BACK_H

#include "ops/cuda/cuda.h"
#include "runtime/adv_dlpack.h"
#include "runtime/backend.h"

#include <pthread.h>
#include <stdarg.h>

typedef enum AdvCudaLib { ADV_CUDA_RT = 0, ADV_CUDA_BLAS, ADV_CUDA_DNN, ADV_CUDA_RTC, ADV_CUDA_LIBS } AdvCudaLib;

/* Fills the members of `api` that belong to a library of api.def. ADV_EUNAVAILABLE names what was looked for and where.
** dirs: folders to try first, split by ':', or NULL. */
typedef AdvStatus AdvCudaSource(AdvCudaApi *api, AdvCudaLib lib, const char *dirs, AdvDiags *ds);

/* Of adv_cuda_generate: one kernel's text. */
typedef struct CudaText {
    const char *name, *text;
    uint64_t hash;
    const void ***slots;      /* to fill when it is compiled */
    uint32_t n_slots, cap;
} CudaText;

/* Of adv_cuda_choose: a problem and the label of what was chosen for it. */
typedef struct CudaChoice { const char *key, *label; } CudaChoice;
typedef struct CudaChoices { CudaChoice *at; uint32_t n, cap; } CudaChoices;

typedef struct CudaKept { struct CudaKept *next; void *p; } CudaKept;
typedef struct CudaRelease { struct CudaRelease *next; const AdvKernel *k; void *state; } CudaRelease;

enum { CUDA_STAGES = 4, CUDA_STAGE_BYTES = 4 << 20 };

typedef struct AdvCudaBack {
    AdvHostSelf host;         /* first: host memory of kernels (adv_host_keep) and the options */
    AdvCuda cuda;             /* what kernels see */
    AdvCudaApi api;
    AdvCudaSource *source;
    bool is_open[ADV_CUDA_LIBS];
    struct cudaDeviceProp prop;
    cublasHandle_t blas;
    void *blas_workspace;
    cudnnHandle_t dnn;
    AdvDiags *ds;             /* of the call under way, or NULL */
    char error[320];          /* the newest failure */
    cudaError_t sticky;       /* the first failure that the device does not recover from */
    CudaRelease *release;
    CudaKept *kept;           /* device memory of kernels */
    unsigned *fault;          /* pinned: what cuda.fault held when the device was last waited for */
    const char **op_names;    /* of what was prepared: fault_code - 1 is an index */
    uint32_t n_prepared, cap_prepared;

    char *stage[CUDA_STAGES]; /* pinned: what is on its way to the device */
    cudaEvent_t stage_free[CUDA_STAGES];
    bool stage_used[CUDA_STAGES];
    uint32_t stage_at;

    CudaText *texts;
    uint32_t n_texts, cap_texts;
    struct CudaUnit *unit;    /* of generate.c, between the beginning and the end of compiling */
    cudaLibrary_t code;       /* the generated kernels, NULL before */

    AdvCudaLater *later, **later_end; /* what instructions put off, in their order */
    uint64_t *scratch;        /* of the instruction being prepared, or NULL */

    CudaChoices made, orders, cached; /* in this session; to be obeyed; of the cache folder */
    bool has_cached;          /* the cache folder's choices were looked at */
    bool has_kept;            /* files of code or plans were added to it */
    uint32_t n_new;           /* choices that no list held */
    char *choice_text;        /* all of them, as choices() gives them */
    size_t choice_text_bytes;
    cudaEvent_t t0, t1;
    void *trial_mem;
    uint64_t trial_bytes;

    bool is_recording;
    bool is_warm;             /* candidates may be timed */
    uint64_t n_launches;
} AdvCudaBack;

/* Opens device 0 with the functions of `source`: what AdvBackend.open of a real and of the fake back end are. */
AdvStatus adv_cuda_open(const AdvBackendOpts *o, AdvCudaSource *source, AdvDiags *ds, void **out_self) ADV_MUST_USE;
/* What AdvBackend.probe is. */
AdvStatus adv_cuda_probe(const AdvBackendOpts *o, AdvCudaSource *source, AdvDiags *ds, int32_t *out_sm) ADV_MUST_USE;

/* NVTX ranges, where its headers were there when this was built (nvtx.c). */
#ifdef ADV_HAVE_NVTX
#define ADV_CUDA_RANGE adv_cuda_range
#else
#define ADV_CUDA_RANGE NULL
#endif
void adv_cuda_range(void *self, const char *name);

/* The rest of the table, but `open` and `probe`. */
#define ADV_CUDA_BACKEND \
    .name = "cuda", .target = "cuda", .dlpack = kDLCUDA, .close = adv_cuda_close, .alloc = adv_cuda_alloc, .free = adv_cuda_free, \
    .copy = adv_cuda_copy, .fill = adv_cuda_fill, .prepare = adv_cuda_prepare, .prepare_kernel = adv_cuda_prepare_kernel, \
    .prepare_list = adv_cuda_prepare_list, .prepared = adv_cuda_prepared, .unprepare = adv_cuda_unprepare, .launch = adv_cuda_run, \
    .launch_timed = adv_cuda_run_timed, .set_i64 = adv_cuda_set_i64, .record_begin = adv_cuda_record_begin, \
    .record_end = adv_cuda_record_end, .replay = adv_cuda_replay, .range = ADV_CUDA_RANGE, .forget = adv_cuda_forget, \
    .sync = adv_cuda_sync, .last_error = adv_cuda_last_error, .choices = adv_cuda_choices, .obey = adv_cuda_obey, \
    .device_info = adv_cuda_device_info, .n_run_allocs = adv_cuda_n_run_allocs

void adv_cuda_close(void *self);
void *adv_cuda_alloc(void *self, uint64_t n_bytes);
void adv_cuda_free(void *self, void *p, uint64_t n_bytes);
AdvStatus adv_cuda_copy(void *self, void *dst, const void *src, uint64_t n_bytes, int32_t direction);
AdvStatus adv_cuda_fill(void *self, void *dst, int byte, uint64_t n_bytes);
AdvStatus adv_cuda_prepare(void *self, AdvBound *b, AdvDiags *ds);
AdvStatus adv_cuda_prepare_kernel(void *self, AdvBound *b, const AdvKernel *k, AdvDiags *ds);
AdvStatus adv_cuda_prepare_list(void *self, const AdvBound *first, uint32_t n, AdvBound *out, AdvDiags *ds);
AdvStatus adv_cuda_prepared(void *self, AdvDiags *ds);
void adv_cuda_unprepare(void *self);
AdvStatus adv_cuda_run(void *self, AdvBound *b, void *scratch);
AdvStatus adv_cuda_run_timed(void *self, AdvBound *b, void *scratch, uint64_t *out_ns);
AdvStatus adv_cuda_set_i64(void *self, void *dst, int64_t value);
AdvStatus adv_cuda_record_begin(void *self);
AdvStatus adv_cuda_record_end(void *self, void **out_recording);
AdvStatus adv_cuda_replay(void *self, void *recording);
void adv_cuda_forget(void *self, void *recording);
AdvStatus adv_cuda_sync(void *self);
const char *adv_cuda_last_error(const void *self);
const char *adv_cuda_choices(const void *self);
AdvStatus adv_cuda_obey(void *self, const char *choices);
void adv_cuda_device_info(void *self, char *text, size_t n_bytes);
uint64_t adv_cuda_n_run_allocs(const void *self);

/* ---- between the files ---- */

/* Says what failed: in `error`, and as a diagnostic where the call under way has a list. Returns st. */
AdvStatus adv_cuda_fail(AdvCudaBack *b, AdvStatus st, const char *fmt, ...) ADV_PRINTF(3, 4);
/* Fills the table for a library when it is first needed. */
AdvStatus adv_cuda_need(AdvCudaBack *b, AdvCudaLib lib) ADV_MUST_USE;
/* Host memory that lives until the next unprepare. NULL: out of memory, which the caller reports. */
char *adv_cuda_keep_text(AdvCudaBack *b, const char *text);

/* crew.c: between open and close jobs are added; close does them, if all is well, and ends the crew in any case. */
struct AdvCudaCrew {
    AdvCudaBack *back;
    pthread_mutex_t lock;
    pthread_cond_t news;      /* a job, or the end of the last */
    AdvCudaJob *first, **last;
    uint32_t n_threads, n_running;
    bool is_stopped, is_out_of_memory;
    cudaError_t error;        /* of a thread that could not begin */
};
AdvStatus adv_cuda_crew_open(AdvCudaBack *b, AdvCudaCrew *crew) ADV_MUST_USE;
AdvStatus adv_cuda_crew_close(AdvCudaCrew *crew, AdvStatus st) ADV_MUST_USE;
/* cache.c: files of the cache folder. kind: how their names end. */
void adv_cuda_cache_read(AdvCudaBack *b, const char *kind, const uint64_t id[2], AdvCudaBytes *out);
void adv_cuda_cache_write(AdvCudaBack *b, const char *kind, const uint64_t id[2], AdvCudaBytes *bytes);
void adv_cuda_cache_trim(AdvCudaBack *b); /* all are written: removes the oldest of them, and of older sessions, beyond the limit */
/* generate.c */
AdvStatus adv_cuda_compile_begin(AdvCudaBack *b, AdvCudaCrew *crew) ADV_MUST_USE;
AdvStatus adv_cuda_compile_end(AdvCudaBack *b) ADV_MUST_USE;
void adv_cuda_forget_code(AdvCudaBack *b);
/* choose.c */
AdvStatus adv_cuda_choices_end(AdvCudaBack *b) ADV_MUST_USE;   /* all are made: the text, and the cache's file */
void adv_cuda_forget_choices(AdvCudaBack *b);

#endif
