/* cuda.h: what a kernel of the cuda back end sees of it: the device, its function table, launching, generated code, timing.
**
** A kernel is an AdvKernel (adv_op.h) in a .c file: `can` and `prepare` are host code, and `run` launches. Device code is in
** .cu files, which hold __global__ functions and a table of them (kernel.cuh) and nothing of the host, so that the tests can
** compile the same text for the host and run it on a fake device. `prepare` takes the AdvCuda with adv_cuda_of and keeps it in
** its state with the launch geometry worked out; `run` fills pointers into arguments and launches: it decides nothing,
** allocates nothing and waits for nothing, because it may be captured into a graph and replayed.
**
** Whatever changes from step to step lies in device memory. Launch arguments freeze when a graph is captured.
*/
#ifndef ADV_OPS_CUDA_H
#define ADV_OPS_CUDA_H

#include "ops/adv_op.h"
#include "runtime/cuda/api.h"

/* The device of a session. All members are set when it opens and only read by kernels, but dnn. */
typedef struct AdvCuda {
    const AdvCudaApi *api;
    cudaStream_t stream;     /* all work of the session, in order */
    int device, sm;          /* sm: 90 for compute capability 9.0 */
    int n_sms, max_shared_bytes;  /* multiprocessors; shared memory a block may have after cudaFuncSetAttribute */
    bool is_deterministic;   /* choose by fixed order, no atomics in an order that may change */
    bool allow_tf32;         /* f32 convolutions and products may round their operands to TF32 */
    /* Data a kernel cannot take, such as a class out of range: it raises *fault (adv_fault in device.cuh) to fault_code and goes on
    ** with what is in range. The back end sets fault_code before each prepare, so that it names the instruction (never 0), and reads
    ** the word when it waits for the device: not 0 is ADV_EDATA. */
    unsigned *fault;         /* one word of device memory, 0 at open */
    unsigned fault_code;
    struct AdvDnnSession *dnn; /* of cudnn_conv.c: what its instructions share; NULL at open and after the last release */
    struct AdvCudaBack *back; /* the back end's own */
} AdvCuda;

/* The device of the session that a kernel is being prepared for. */
AdvCuda *adv_cuda_of(const AdvPrep *p);

/* A failed call as a status with a diagnostic that names the call and the error; ADV_OK for success. A lack of memory is
** ADV_ENOMEM, everything else ADV_EUNAVAILABLE. Usable in prepare and in run. */
AdvStatus adv_cuda_check(AdvCuda *c, cudaError_t e, const char *call) ADV_MUST_USE;

/* What an instruction cannot do, found out after its prepare: a diagnostic. Returns ADV_EUNAVAILABLE. */
AdvStatus adv_cuda_refuse(AdvCuda *c, const char *fmt, ...) ADV_PRINTF(2, 3);

/* A call of a library that failed, and what the library says. It has a CUDA runtime of its own, so ours is asked whether the device still
** answers. ADV_ENOMEM where memory ran out, else ADV_EUNAVAILABLE. */
AdvStatus adv_cuda_foreign(AdvCuda *c, bool no_memory, const char *call, const char *fmt, ...) ADV_PRINTF(4, 5);

/* Is work being recorded, so that nothing may be taken, loaded or waited for? */
bool adv_cuda_is_recording(const AdvCuda *c);

/* ---- launching --------------------------------------------------------------------------------------------------- */

/* A __global__ function: from a table of a .cu file (kernel.cuh), or out of generated code. */
typedef struct AdvCudaFn {
    const char *name;
    const void *fn;
} AdvCudaFn;

/* Where and how wide. Worked out by adv_cuda_grid_* (geometry.h), which are host code with tests. */
typedef struct AdvCudaGrid {
    dim3 grid, block;
    uint32_t shared_bytes;
} AdvCudaGrid;

/* The function of that name in a table ended by {NULL, NULL}; asserts that it is there. */
const void *adv_cuda_fn(const AdvCudaFn *table, const char *name);

/* Launches on the session's stream. args: pointers to the arguments in order, which are copied. A grid of no blocks is no
** launch. */
AdvStatus adv_cuda_launch(AdvCuda *c, const void *fn, const AdvCudaGrid *g, void **args) ADV_MUST_USE;

/* ---- generated code ---------------------------------------------------------------------------------------------- */

/* Adds the text of a kernel to the session's translation unit, which is compiled as a whole once all instructions are
** prepared (one compilation, cached on disk by its text, the GPU and the compiler's version). `name` must be a function of the
** text alone: equal names are equal texts, kept once. *out_slot is filled before the first `run`. The text may use what
** device.cuh declares. Both are copied. */
AdvStatus adv_cuda_generate(AdvCuda *c, const char *name, const char *text, const void **out_slot) ADV_MUST_USE;

/* ---- work put off ------------------------------------------------------------------------------------------------ */

/* Work that takes long on the host is put off until all instructions of a session are prepared, so that it can be done on all the
** session's threads at once. It is cut into jobs. A job may run on any thread: it calls foreign libraries and leaves what they gave in
** its own struct. It takes no memory of ours, reports nothing and launches nothing; that is for the thread that opens the session,
** which sees all of it once the jobs are done. */
typedef struct AdvCudaCrew AdvCudaCrew;
typedef struct AdvCudaJob {
    struct AdvCudaJob *next; /* the crew's */
    bool (*run)(struct AdvCudaJob *job, AdvCudaCrew *crew); /* false: memory ran out, which ends the opening of the session */
} AdvCudaJob;

/* Adds a job, which must live until all are done. Any thread: a job may add others. */
void adv_cuda_crew_add(AdvCudaCrew *crew, AdvCudaJob *job);
/* The jobs share what only one thread may use: they run one after the other, on the thread that opens the session. */
void adv_cuda_crew_alone(AdvCudaCrew *crew);

/* Kept artefacts are read in the first round, what is left is built in the second. */
enum { ADV_CUDA_LOAD, ADV_CUDA_BUILD, ADV_CUDA_ROUNDS };

/* What an instruction puts off. Both functions run on the thread that opens the session, for all instructions in their order. */
typedef struct AdvCudaLater {
    struct AdvCudaLater *next;                                               /* the back end's */
    uint64_t *out_scratch;                                                   /* the back end's */
    AdvStatus (*round)(struct AdvCudaLater *l, int round, AdvCudaCrew *crew); /* adds jobs; all are done before the next round */
    AdvStatus (*end)(struct AdvCudaLater *l);                                /* sets scratch_bytes; may choose by time */
    uint64_t scratch_bytes;
} AdvCudaLater;

/* Called in prepare; *l must live as long as the kernel's state. */
void adv_cuda_later(AdvPrep *p, AdvCudaLater *l);

/* ---- the cache folder -------------------------------------------------------------------------------------------- */

/* Bytes at `at`, in memory of the session (`block`); {NULL} is none. */
typedef struct AdvCudaBytes {
    unsigned char *at, *block;
    size_t n, block_bytes;
} AdvCudaBytes;

/* New bytes, zero; ADV_ENOMEM is reported. And their end, also of none. */
AdvStatus adv_cuda_bytes_new(AdvCuda *c, size_t n, AdvCudaBytes *out) ADV_MUST_USE;
void adv_cuda_bytes_drop(AdvCuda *c, AdvCudaBytes *bytes);

/* A plan of cuDNN that was kept for this GPU and this cuDNN under a text that says what it is; none if there is none. A damaged one
** is warned about and is none. Keeping warns where it cannot write. Both do nothing without a cache folder. */
void adv_cuda_kept_plan(AdvCuda *c, const char *what, AdvCudaBytes *out);
void adv_cuda_keep_plan(AdvCuda *c, const char *what, AdvCudaBytes *plan);

/* A warning to the log: something costs time that it need not, and goes on. */
void adv_cuda_warn(AdvCuda *c, const char *fmt, ...) ADV_PRINTF(2, 3);

/* ---- tables of a kernel's own ------------------------------------------------------------------------------------ */

/* Device memory until the session closes, of any content. For tables of a few kB: tensors are in the plan. ADV_ENOMEM. */
AdvStatus adv_cuda_keep(AdvCuda *c, uint64_t n_bytes, void **out) ADV_MUST_USE;

/* Bytes of the host to device memory, in line with the launches. `src` may change after it. Never while a graph is captured, so only
** in the first run of a kernel, or after an address of it changed, which forgets what was captured. */
AdvStatus adv_cuda_upload(AdvCuda *c, void *dst, const void *src, uint64_t n_bytes) ADV_MUST_USE;

/* ---- libraries --------------------------------------------------------------------------------------------------- */

/* Handles, opened on first use and bound to the session's stream. ADV_EUNAVAILABLE with the folders looked in. */
AdvStatus adv_cuda_blas(AdvCuda *c, cublasHandle_t *out) ADV_MUST_USE;
AdvStatus adv_cuda_dnn(AdvCuda *c, cudnnHandle_t *out) ADV_MUST_USE;

/* ---- choosing by time -------------------------------------------------------------------------------------------- */

/* One of several ways to do the same work. try_run runs candidate `ix` once on the session's stream, over memory of its own;
** from the second time on it takes no memory and waits for nothing, as it may be recorded. */
typedef struct AdvCudaTrial {
    const char *key;         /* says the problem in full: op, shapes, types, flags; what a choice is stored under */
    uint32_t n_candidates;
    AdvStatus (*try_run)(void *user, uint32_t ix);
    const char *(*label)(void *user, uint32_t ix); /* of a candidate: stable between runs and machines of one kind */
    void *user;
} AdvCudaTrial;

/* Which candidate: what a checkpoint or the cache says for the key, the first that runs where the session is deterministic,
** else the fastest (median of several recorded runs after a warm-up). Candidates that fail are passed over; if none runs the status of
** the last. The choice is recorded, and stored in checkpoints. Cold. */
AdvStatus adv_cuda_choose(AdvCuda *c, const AdvCudaTrial *t, uint32_t *out_ix) ADV_MUST_USE;

/* The label that adv_cuda_choose will take for a key without trying any: of a checkpoint, of this session, of the cache. NULL: none,
** or the session is deterministic and has no order. Valid while the session lives. */
AdvStatus adv_cuda_known(AdvCuda *c, const char *key, const char **out_label) ADV_MUST_USE;

/* Device memory for trials, valid until the next prepare; of any content. NULL: out of memory. */
void *adv_cuda_trial_memory(AdvCuda *c, uint64_t n_bytes);

#endif
