/* fake.h: a device that is none: the function table of api.def over host memory, so that everything of the cuda back end but
** the hardware runs under sanitizers.
**
** Memory of the device is closed to the host (PROT_NONE) but while something "runs". A stream is a list of work that runs when
** somebody waits for it, never before, so what reads too early reads old bytes. Kernels are shim thunks; generated code goes
** through g++; a captured graph is the list itself. Any call can be made to fail. One device a process. Descriptors, plans and NVRTC
** may be used by several threads at once, everything else by one.
**
** It refuses what a real one refuses or leaves undefined: taking, freeing, waiting and loading code while work is recorded, a kernel
** that runs first in a recording, more shared memory than was asked for, cuBLAS without a workspace (setting its stream forgets the
** one it had), cuDNN's operands off the alignment that was promised, plans built by a thread that did not choose the device.
*/
#ifndef ADV_TESTS_FAKE_H
#define ADV_TESTS_FAKE_H

#include "runtime/cuda/cuda_back.h"

typedef struct AdvFake {
    uint64_t fail_at;         /* the call, counted from 1, that fails; 0: none */
    cudaError_t fail_with;    /* cudaErrorMemoryAllocation fails calls that allocate only; others fail any, and stay (sticky) */
    bool has_failed;
    bool has_no_device;
    uint64_t n_calls;         /* that could fail: of all, or those that allocate */
    uint64_t total_bytes;     /* of the device */
    uint64_t used_bytes, peak_bytes;
    uint64_t n_launches, n_graphs, n_syncs, n_allocs;
    uint64_t n_asked;         /* texts that NVRTC was given; those that g++ had compiled before count too */
    uint64_t launch_hash;     /* of every launch that ran: kernel, geometry, arguments */
    uint64_t list_hash;       /* the same without arguments, which hold addresses */
    uint64_t ticks;           /* the device's clock: one a launch */
    uint64_t n_built, n_loaded;   /* plans of cuDNN, from a configuration and from text */
    uint32_t n_together, most_together;   /* plans and code being built at this moment, and at most */
    uint32_t wait_for;        /* who builds waits until so many have built at once, or 20 s */
    size_t dnn_version;       /* 91900 */
    bool refuses_recording;   /* nothing may be recorded */
    bool refuses_text;        /* no plan is made from text */
    bool runs_by_handle;      /* plans made for a description of the device do not run */
    int sm;                   /* 90 */
    cudaStream_t only;        /* NULL, or: whatever is asked of another stream is counted in n_elsewhere */
    uint64_t n_elsewhere;
} AdvFake;
extern AdvFake adv_fake;

/* Everything as at first, counters at zero. Device memory that is still held is forgotten: n of blocks. */
uint32_t adv_fake_reset(void);
/* Has every stream done all that it was given? */
bool adv_fake_is_idle(void);

/* AdvCudaSource of the fake, and a table that opens it. */
AdvStatus adv_fake_source(AdvCudaApi *api, AdvCudaLib which, const char *dirs, AdvDiags *ds);
extern const AdvBackend adv_backend_fake;

/* ---- between the fake's files ---- */

/* May this call go on? cudaSuccess, or the error it returns. */
cudaError_t adv_fake_call(bool allocates);
/* Around what a job of a crew does. */
void adv_fake_build_begin(void);
void adv_fake_build_end(uint64_t *count);
/* Is work being recorded? Then nothing may be taken, made or waited for. */
bool adv_fake_is_capturing(void);
/* Has the calling thread said which device it means? */
bool adv_fake_has_set_device(void);
/* Puts work on the stream (or into the graph being captured): `run` gets a copy of n_bytes of `what`. */
cudaError_t adv_fake_enqueue(cudaStream_t s, void (*run)(const void *what), const void *what, size_t n_bytes);
/* A launch, for the counters: a hash of all of it, and one without what may differ from run to run. */
void adv_fake_count(uint64_t hash, uint64_t plain);
/* Work of this stream is asked for, waited for or recorded: counted if another than adv_fake.only was named. */
void adv_fake_see(cudaStream_t s);

void adv_fake_fill_blas(AdvCudaApi *api);
void adv_fake_fill_dnn(AdvCudaApi *api);
void adv_fake_fill_rtc(AdvCudaApi *api);
cudaError_t adv_fake_library_load(cudaLibrary_t *lib, const void *code);
cudaError_t adv_fake_library_unload(cudaLibrary_t lib);
cudaError_t adv_fake_library_kernel(cudaKernel_t *kernel, cudaLibrary_t lib, const char *name);

#endif
