/* adv.h: run compiled plans from your own program. This header, adv_types.h and the library are all that is needed.
**
**   AdvCtx *ctx;  AdvDiags *ds;  AdvPlan *plan;  AdvSession *s;
**   adv_ctx_new(NULL, &ctx);  adv_diags_open(ctx, &ds);
**   adv_plan_open(ctx, "out.plan", ds, &plan);
**   adv_session_open(ctx, plan, NULL, ds, &s);
**   adv_session_bind_file(s, "mnist.safetensors", ds);
**   adv_session_train(s, NULL, ds);                   // the whole program of the plan; or adv_session_step(s, 100, ds)
**   adv_session_close(s);  adv_plan_close(plan);  adv_diags_free(ds);  adv_ctx_free(ctx);
**
** Handles. AdvCtx holds allocator, log, op table. AdvPlan is immutable and may be used by several sessions and threads.
** AdvSession is the memory and the kernels of one run: one thread at a time. AdvDiags collects messages to people.
** Handles may be closed in any order: a session keeps its plan and its context, a tensor that was exported keeps its session,
** until it is closed too. What the caller passed in (allocator, log, file calls, bound data) must live as long. Diagnostics keep
** the allocator only. Closing or freeing NULL is allowed.
**
** Errors. Functions return AdvStatus (0 ok, negative); what, where and why is appended to the AdvDiags passed, which may be
** NULL. Outputs come last and are NULL after a failure. A failed call leaves its object as it was, or poisoned: then every
** later call but close returns ADV_EPOISONED. A pointer that is needed and is NULL is ADV_EINVAL. The comments name the statuses that
** have a meaning of their own; any call that takes memory may say ADV_ENOMEM, any call into a session ADV_EBUSY and ADV_EPOISONED, and on
** a device ADV_EUNAVAILABLE when that failed.
**
** Options. Every options struct begins with struct_size = sizeof(it) and flags; zero means the default, NULL means all
** defaults. Unknown flag bits are ADV_EINVAL. Fields are only ever appended.
**
** Callbacks get `void *user`, run in the thread of the call that they serve, and may not leave it by longjmp or exception. Into
** the session that called them they may only look (adv_session_info, _type, _state, _is_done) and cancel: other calls return
** ADV_EBUSY.
**
** Threads. Several threads may use one context and one plan at once, if the allocator, log and file calls that were passed in
** allow it: both are only read once they are made, but for what is added to a context: plugins (adv_ctx_add_plugin, and a plan that
** brings them), and the first session on a back end in a library of its own ("cuda"). Do these before others share the context. A
** session and an AdvDiags belong to one thread at a time; only adv_session_cancel may be called from any thread (and from a signal
** handler) while another works, until the session is closed.
** Functions that return constant text may be called from any thread.
**
** The library never prints, exits, aborts, installs signal handlers, changes the locale, reads the environment or uses the
** network. Memory goes through the context's allocator, but for what the JSON library takes while a header or program is read,
** memory mappings of data files, and what oneDNN, OpenMP and the libraries of a device take when a session opens.
*/
#ifndef ADV_H
#define ADV_H

#include "runtime/adv_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The four handles, and tensors of other libraries (adv_dlpack.h, or the dlpack.h of the DLPack project). */
typedef struct AdvCtx AdvCtx;
typedef struct AdvDiags AdvDiags;
typedef struct AdvPlan AdvPlan;
typedef struct AdvSession AdvSession;
struct DLManagedTensorVersioned;

/* ---- version ------------------------------------------------------------------------------------------------------ */

/* The version of the library that is loaded, e.g. "0.1.0"; constant text. */
ADV_API const char *adv_version(void);

/* ---- statuses ---------------------------------------------------------------------------------------------------- */

/* The name of a status, e.g. "ADV_EIO"; constant text. */
ADV_API const char *adv_status_name(AdvStatus st);

/* The exit code the programs use for a status: 0, 1 (the answer is no), 64..75 as in sysexits.h, 80 (numeric failure). */
ADV_API int adv_status_exit(AdvStatus st);

/* ---- context ----------------------------------------------------------------------------------------------------- */

/* Levels of log lines. */
enum { ADV_LOG_INFO = 0, ADV_LOG_WARNING = 1 };

/* Flags of AdvCtxOpts. */
enum {
    ADV_CTX_PLAN_PLUGINS = 1u << 0 /* load the plugins that a plan names, from `plugins` or where they were when it was made: native code */
};

/* What a context is made with. */
typedef struct AdvCtxOpts {
    uint32_t struct_size, flags; /* ADV_CTX_* */
    /* p NULL allocates; new_bytes 0 frees; else resizes. 64-byte aligned or NULL. NULL: the C library's. */
    void *(*alloc)(void *user, void *p, size_t old_bytes, size_t new_bytes);
    /* One line without newline. NULL: nothing is logged. */
    void (*log)(void *user, int32_t level, const char *text, size_t n_bytes);
    const AdvIo *io; /* file calls; copied. NULL: POSIX. With others than those data files are read instead of mapped */
    void *user;      /* for alloc, log and clock_ns */
    uint64_t (*clock_ns)(void *user); /* never goes back. NULL: the system's monotonic clock */
    const char *data_dir;  /* where data sets lie, for adv_session_bind_file without a path; copied. NULL: nowhere */
    /* With ADV_CTX_PLAN_PLUGINS: n_plugins paths of plugins that lie elsewhere now; copied. A plan takes the one with the file name of
    ** its own. */
    const char *const *plugins;
    uint32_t n_plugins, zero;
    /* Where adv_cuda.so lies, if plans are to run on a CUDA device: plugins are then compared with it before they are opened, see
    ** adv_ctx_cuda; copied. NULL: the device is not known until a session opens, which refuses a plugin's kernel for another one */
    const char *backend_dir;
} AdvCtxOpts;

/* Makes a context with all built-in ops and kernels. opts may be NULL. The caller frees it. ADV_ENOMEM, ADV_EINVAL. */
ADV_API AdvStatus adv_ctx_new(const AdvCtxOpts *opts, AdvCtx **out_ctx) ADV_MUST_USE;

/* The CUDA device that plans of this context are to run on, as its compute capability, 10*major + minor (90: sm_90): the one that answers
** through adv_cuda.so in AdvCtxOpts.backend_dir; 0 if none does, or there is no such folder. The first call opens that library (as the
** first session on it does, see Threads). It is asked when a plugin is loaded: one that has CUDA kernels, all for other devices, is
** refused before any of its code runs. */
ADV_API int32_t adv_ctx_cuda(AdvCtx *ctx);

/* Frees a context; what plans and sessions still use of it goes with the last of them. */
ADV_API void adv_ctx_free(AdvCtx *ctx);

/* Loads a plugin (a shared object made with adv_op.h) into the context: its ops and kernels are then as good as built-in ones. A
** plan that was made with a plugin needs the same, byte for byte, loaded before it. A plugin is native code with all rights of the
** process and stays loaded until the process ends. ADV_ENOENT, ADV_EIO, ADV_ENOMEM; ADV_EDATA with a sentence when it is not for
** this version, machine or device (adv_ctx_cuda), or does not hold what it promises; then nothing of it has been added. */
ADV_API AdvStatus adv_ctx_add_plugin(AdvCtx *ctx, const char *path, AdvDiags *ds) ADV_MUST_USE;

/* ---- diagnostics ------------------------------------------------------------------------------------------------- */

/* Formats of adv_diags_render: with the recipe's lines, the same in colour, a line each, a JSON object a line. */
enum { ADV_PRINT_HUMAN = 0, ADV_PRINT_COLOR = 1, ADV_PRINT_SHORT = 2, ADV_PRINT_JSON = 3 };

/* Makes an empty list in memory of the context's allocator. The caller frees it with adv_diags_free. ADV_ENOMEM. */
ADV_API AdvStatus adv_diags_open(AdvCtx *ctx, AdvDiags **out_diags) ADV_MUST_USE;

/* Frees a list and all texts that came from it. */
ADV_API void adv_diags_free(AdvDiags *ds);

/* Empties a list, for programs that live long: texts that came from it are gone. */
ADV_API void adv_diags_clear(AdvDiags *ds);

/* How many errors and warnings there are; either pointer may be NULL. */
ADV_API void adv_diags_count(const AdvDiags *ds, uint32_t *out_errors, uint32_t *out_warnings);

/* The stable code (6007 is printed as ADV6007) and text of diagnostic `ix` (0..); 0 and NULL beyond the end. The text
** lives as long as the list. */
ADV_API int32_t adv_diags_at(const AdvDiags *ds, uint32_t ix, const char **out_message);

/* Levels of diagnostics. */
enum { ADV_DIAG_ERROR = 0, ADV_DIAG_WARNING = 1, ADV_DIAG_NOTE = 2 };

/* A diagnostic as data. Texts live as long as the list. */
typedef struct AdvDiagInfo {
    uint32_t struct_size, flags; /* set struct_size before the call */
    int32_t code, level;         /* 2104, ADV_DIAG_* */
    const char *message;
    const char *file;            /* source it points into, or NULL: no place */
    uint32_t line, column;       /* from 1; columns count code points */
    uint32_t n_bytes;            /* of the text it points at */
    uint32_t n_notes;            /* see adv_diags_note */
} AdvDiagInfo;

/* All about diagnostic `ix` (0..), oldest first. ADV_EINVAL beyond the end. */
ADV_API AdvStatus adv_diags_get(const AdvDiags *ds, uint32_t ix, AdvDiagInfo *out_info) ADV_MUST_USE;

/* Kinds of notes: what stands at a second place; a fact; what to do about it; a layer of where it happened. */
enum { ADV_NOTE_LABEL = 0, ADV_NOTE_NOTE = 1, ADV_NOTE_HELP = 2, ADV_NOTE_CHAIN = 3 };

/* What belongs to a diagnostic. Texts live as long as the list. */
typedef struct AdvDiagNote {
    uint32_t struct_size, flags; /* set struct_size before the call */
    int32_t kind;                /* ADV_NOTE_* */
    uint32_t line, column, n_bytes;
    const char *text;
    const char *file;            /* or NULL: no place */
} AdvDiagNote;

/* Note `k` (0..n_notes-1) of diagnostic `ix`. ADV_EINVAL beyond the end. */
ADV_API AdvStatus adv_diags_note(const AdvDiags *ds, uint32_t ix, uint32_t k, AdvDiagNote *out_note) ADV_MUST_USE;

/* Prints all, in order, in a format of ADV_PRINT_*: `write` is called with pieces of text, before this returns. */
ADV_API void adv_diags_render(const AdvDiags *ds, int32_t format, AdvWriteFn *write, void *user);

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* Loads and checks a plan from memory; the bytes are copied. The caller closes it. ADV_EDATA with a sentence when anything does not
** fit, also a plugin that the plan needs; ADV_ENOENT: that plugin is not there (ADV_CTX_PLAN_PLUGINS); ADV_ENOMEM. */
ADV_API AdvStatus adv_plan_load(AdvCtx *ctx, const void *bytes, size_t n_bytes, AdvDiags *ds, AdvPlan **out_plan) ADV_MUST_USE;

/* As adv_plan_load, from a file. ADV_ENOENT, ADV_EIO as well. */
ADV_API AdvStatus adv_plan_open(AdvCtx *ctx, const char *path, AdvDiags *ds, AdvPlan **out_plan) ADV_MUST_USE;

/* Closes a plan. Sessions of it go on; names and texts that came from it live until the last of them is closed. */
ADV_API void adv_plan_close(AdvPlan *plan);

/* What a plan says of itself. Texts live as long as the plan. */
typedef struct AdvPlanInfo {
    uint32_t struct_size, flags; /* set struct_size before the call */
    const char *recipe;          /* name, e.g. "mine" */
    const char *hash;            /* of sources, overrides and op versions */
    const char *data;            /* data set it needs, e.g. "mnist", or NULL */
    const char *precision;       /* "f32" */
    int64_t seed, batch, epochs, steps; /* steps: in an epoch */
    int64_t n_train, n_test;     /* rows of the data set, 0 without one */
    uint32_t n_sources;          /* texts in the plan; 0 is the recipe */
    uint32_t n_targets;
} AdvPlanInfo;

/* Fills out_info as far as its struct_size goes. ADV_EINVAL: struct_size is too small. */
ADV_API AdvStatus adv_plan_info(const AdvPlan *plan, AdvPlanInfo *out_info) ADV_MUST_USE;

/* Name of target `ix` (0..), "cpu" or "cuda"; NULL beyond the end. Lives as long as the plan. */
ADV_API const char *adv_plan_target_name(const AdvPlan *plan, uint32_t ix);

/* Name of evaluation `ix` (0..) in the order of the recipe; NULL beyond the end. Lives as long as the plan. */
ADV_API const char *adv_plan_eval_name(const AdvPlan *plan, uint32_t ix);

/* The norm in which the rows of an evaluation's attack give distances: "linf" or "l2", that of the ball which the attack projects its
** images onto; "linf" too where it projects onto none. NULL: clean images, or no such evaluation or attack. Lives as long as the plan. */
ADV_API const char *adv_plan_eval_norm(const AdvPlan *plan, const char *eval, const char *attack);

/* Name and text of source `ix` (0..), NUL-terminated, *out_bytes without the NUL; they live as long as the plan. ADV_EINVAL beyond
** the end. */
ADV_API AdvStatus adv_plan_source(const AdvPlan *plan, uint32_t ix, const char **out_name, const char **out_text,
                                  size_t *out_bytes) ADV_MUST_USE;

/* Recipe parameter `ix` (0..): name, value, and where the value is from ("recipe" or "--set"). Texts live as long as the plan.
** ADV_EINVAL beyond the end. */
ADV_API AdvStatus adv_plan_param(const AdvPlan *plan, uint32_t ix, const char **out_name, double *out_value,
                                 const char **out_origin) ADV_MUST_USE;

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

/* What is looked at while entries run: nothing. FINITE: stop at the first NaN. REF: compare each instruction with its definition.
** SYNC: wait after each instruction, so that a failure of the device names the instruction it belongs to. */
enum { ADV_CHECK_OFF = 0, ADV_CHECK_FINITE = 1, ADV_CHECK_REF = 2, ADV_CHECK_SYNC = 3 };

/* Flags of AdvSessionOpts. */
enum {
    ADV_SESSION_STRICT = 1u << 0,       /* refuse to open if an instruction would run on the reference kernels of a faster back end */
    ADV_SESSION_PROFILE = 1u << 1,      /* time each instruction */
    ADV_SESSION_LOG_DISPATCH = 1u << 2, /* log which kernel each instruction got and why others refused */
    ADV_SESSION_TRACE = 1u << 3         /* note when each instruction ran and for how long, for adv_session_trace */
};

/* How a session runs its plan.
**
** `stream`, for back end `cuda`: a cudaStream_t of device 0, made with cudaStreamNonBlocking (another one is taken with a warning to the
** log: what its thread puts on the default stream while an entry is captured spoils the capture). NULL, though it is CUDA's name of the
** default stream, means a stream of the session's own. All work of the session goes there, behind what is on it already, and it makes and
** waits for no other (but CUDA itself may wait for all of them where device memory is taken or freed or code is loaded: when a session
** opens or closes and when data is bound). The session waits for it at the end of every call and captures it within calls, so the caller
** may not be capturing it meanwhile. It stays the caller's, who destroys it after the session and the last tensor exported from it.
** ADV_EINVAL: a default stream by its handle, which cannot be captured or is another in each thread; a back end of the host. */
typedef struct AdvSessionOpts {
    uint32_t struct_size, flags; /* ADV_SESSION_* */
    const char *backend;         /* "auto" (NULL), "cuda", "cpu", "ref", "null" */
    const char *target;          /* part of the plan to run, e.g. "ref64"; NULL: the back end's own, else the first there is */
    uint32_t n_threads;          /* of the back ends of the host, the calling one included; for a device, while it opens. 0: one for
                                 ** each core that the process may use */
    int32_t check;               /* ADV_CHECK_* */
    int32_t zero;
    const char *backend_dir;     /* where back ends of their own (adv_cuda.so) lie; NULL: only those built in */
    const char *cache_dir;       /* existing folder for generated code and for what was chosen by timing; copied. NULL: nothing is kept */
    const char *library_dirs;    /* folders where cuBLAS, cuDNN and NVRTC are looked for first, split by ':'; copied. NULL: none */
    void *stream;                /* of the caller, for back ends of devices (see above). NULL: one of the session's own */
    uint64_t cache_limit_bytes;  /* a session that adds generated code to cache_dir removes the oldest of it beyond this; files that
                                 ** the engine did not make are left alone. 0: 1 GiB */
} AdvSessionOpts;

/* Opens a session. Which back end runs: "auto" takes what the recipe's `run { device }` names, else `cuda` if the plan has that
** target, the module opens and a device answers, else `cpu`; adv_session_info says which and why. A back end that was asked for
** by name and is not there is ADV_EUNAVAILABLE.
**
** Chooses a kernel for each instruction, prepares it, and takes all memory a run needs: nothing is allocated later but for data when
** it is bound (on a device: a copy of it, or room for one batch of a source) and by adv_session_train's own tables at its start.
** States get their first values (entry `init`, and the weights that the recipe names) when they are first needed: before another entry
** runs, before a state is read, written or exported, or weights are loaded; not behind a resume, which brings them.
** Back end `cuda` runs on device 0 and makes that the current one of the calling thread; whoever makes another one current, or goes on in
** another thread, sets it back before the next call. ADV_EUNAVAILABLE (back end, or no kernel under STRICT, or ever for what computes in
** 16 bits: the diagnostics name the recipe's lines), ADV_ENOMEM, ADV_EINVAL. */
ADV_API AdvStatus adv_session_open(AdvCtx *ctx, const AdvPlan *plan, const AdvSessionOpts *opts, AdvDiags *ds,
                                   AdvSession **out_session) ADV_MUST_USE;

/* Closes a session. Its memory goes with the last tensor that was exported from it. */
ADV_API void adv_session_close(AdvSession *s);

/* What a session is and holds. Texts live as long as the session. */
typedef struct AdvSessionInfo {
    uint32_t struct_size, flags; /* set struct_size before the call */
    const char *backend, *device, *target, *why; /* `why` says why this back end */
    uint32_t n_threads, n_insts, n_on_ref;       /* instructions, and those that fell back to the reference */
    uint64_t state_bytes, temp_bytes, const_bytes, scratch_bytes; /* memory taken at open: host's, or the device's */
    uint64_t data_bytes;     /* of the tensors in data files that states are bound to now */
    const char *data_digest; /* XXH3-128 of the data file that all data is bound to, or "" */
    uint64_t n_run_allocs; /* allocations while entries ran: 0 unless something is wrong */
} AdvSessionInfo;

/* Fills out_info as far as its struct_size goes. ADV_EINVAL: struct_size is too small. */
ADV_API AdvStatus adv_session_info(const AdvSession *s, AdvSessionInfo *out_info) ADV_MUST_USE;

/* Binds memory of the caller to a data state ("data.train.x"): dense, row order, of the state's type; borrowed until the
** session closes or it is bound anew; a device gets a copy, which it keeps. Other states are written with adv_session_write.
** ADV_EINVAL: no data state, another shape or type; ADV_EDATA: a label is no class of the plan; ADV_ENOMEM. After a failure the state
** is bound as it was. */
ADV_API AdvStatus adv_session_bind(AdvSession *s, const char *state, const AdvView *view, AdvDiags *ds) ADV_MUST_USE;

/* As adv_session_bind, of a DLPack tensor that the host can reach (kDLCPU, kDLCUDAHost) or, on back end `cuda`, that lies on its device
** (kDLCUDA, device 0): dense, in row order. Memory of the device is used where it lies, without a copy if it begins at a multiple of 64
** bytes; what writes it must have ended, or be on the session's stream. On success the session owns the tensor and calls its
** deleter when the state is bound anew or the session is gone; after a failure the caller still owns it. ADV_EINVAL: type, shape,
** order or device do not fit, or its major version is not 1; ADV_EDATA and ADV_ENOMEM as adv_session_bind. */
ADV_API AdvStatus adv_session_bind_tensor(AdvSession *s, const char *state, struct DLManagedTensorVersioned *tensor,
                                          AdvDiags *ds) ADV_MUST_USE;

/* Rows of a data state that the engine asks the caller for: a batch. */
typedef struct AdvRows {
    uint32_t struct_size, flags;
    const char *state;   /* e.g. "data.train.x" */
    const int64_t *rows; /* numbers of the rows wanted, each 0 .. first dimension of the state - 1; may repeat */
    int64_t n_rows;
    AdvView out;         /* to fill: dense (n_rows, ...) in row order, of the state's type */
} AdvRows;

/* Instead of memory: `fill` is called for every batch that reads the state and fills want->out, which is host memory of the session;
** non-zero makes the call that needed it fail with ADV_EIO (nothing has been trained on: calling again goes on). So order,
** augmentation, per-sample tables and resuming are what they are with the data in memory, bit for bit, and a source need hold one
** batch only, the device too. Rows may be asked for more than once, also in a row: a value that became NaN is traced by doing some
** steps again. A source that has no row numbers may fill in what comes next. Stays until the state is bound anew or the session closes.
** The numbers are computed by the plan: on a device the host waits for them at every batch, and the rows are copied there in order
** with its other work. ADV_EINVAL: no function, or no data state; ADV_ENOMEM; ADV_EUNAVAILABLE: the plan uses the state other than
** by rows, or on a device a batch has more rows than the state. After a failure the state is bound as it was. */
ADV_API AdvStatus adv_session_bind_rows(AdvSession *s, const char *state, int32_t (*fill)(void *user, const AdvRows *want), void *user,
                                          AdvDiags *ds) ADV_MUST_USE;

/* Maps a decoded data file and binds every data state of the plan to the tensor of its name ("data.train.x" takes
** "train.x"). The mapping lives until all of it is bound anew, or as long as the session; with file calls of the caller the file
** is read instead; a device gets a copy. path NULL: the plan's data set in the context's data_dir, DATA_DIR/NAME.safetensors.
** ADV_ENOENT, ADV_EIO; ADV_EDATA: damaged, or other shapes, types or classes than the plan was compiled for; ADV_EINVAL: no path, and
** no data_dir or no data set in the plan. */
ADV_API AdvStatus adv_session_bind_file(AdvSession *s, const char *path, AdvDiags *ds) ADV_MUST_USE;

/* Runs one entry of the plan, e.g. "batch", "step.main"; "init" gives all states their first values once more. ADV_EINVAL:
** no such entry, or data is not bound. ADV_ECANCELLED if a stop was asked for before it began (and has been obeyed by that). ADV_EIO: a
** source failed; ADV_EDATA: a class or a row number is out of range. With ADV_CHECK_FINITE: ADV_ENUMERIC, with ADV_CHECK_REF: ADV_EDIFFERS,
** and the recipe's line. Of the failures all but ADV_EIO poison the session. */
ADV_API AdvStatus adv_session_run(AdvSession *s, const char *entry, AdvDiags *ds) ADV_MUST_USE;

/* The type of a state; ADV_EINVAL if there is none of that name. */
ADV_API AdvStatus adv_session_type(const AdvSession *s, const char *state, AdvTensorType *out_type) ADV_MUST_USE;

/* Name of state `ix` (0..), its kind (AdvStateKind) and whether checkpoints hold it; NULL beyond the end. */
ADV_API const char *adv_session_state(const AdvSession *s, uint32_t ix, int32_t *out_kind, int32_t *out_is_saved);

/* Copies a state out of / into the session. `view` is the caller's host memory of the state's shape, any strides and dtype:
** numbers are converted (rounded to nearest, cut towards zero from floats to integers). ADV_EINVAL: the state is unknown, the shape
** differs, it is data that is not bound to memory, or data that would be written. */
ADV_API AdvStatus adv_session_read(AdvSession *s, const char *state, const AdvView *view, AdvDiags *ds) ADV_MUST_USE;
ADV_API AdvStatus adv_session_write(AdvSession *s, const char *state, const AdvView *view, AdvDiags *ds) ADV_MUST_USE;

/* A state without copying: a DLPack 1.0 tensor over the session's own memory, in row order; read-only for data. On back end `cuda`
** that is memory of device 0 (kDLCUDA), elsewhere of the host (kDLCPU). Its numbers change when entries run, so look and write between
** calls. Every call into a session returns when the device has done its work, so any stream may then read; what is done to the memory
** on another stream than the session's must have ended before the next call, on the session's stream (AdvSessionOpts.stream) it need
** not. The caller calls its deleter, from any thread, also after the session was closed: it holds the session's memory until then.
** ADV_EINVAL: no such state, or data that is not bound; ADV_EUNAVAILABLE: data comes from a source, or the back end's memory cannot be
** named so; ADV_ENOMEM. */
ADV_API AdvStatus adv_session_export(AdvSession *s, const char *state, struct DLManagedTensorVersioned **out_tensor,
                                     AdvDiags *ds) ADV_MUST_USE;

/* A DLPack tensor of the host as a view for read, write and bind, valid as long as the tensor. ADV_EINVAL: major version,
** device, type or rank is not one that views have. */
ADV_API AdvStatus adv_dlpack_view(const struct DLManagedTensorVersioned *tensor, AdvView *out_view) ADV_MUST_USE;

/* As read and write, of a state that is a single number; without a list of diagnostics. 0 after a failure. */
ADV_API AdvStatus adv_session_get(AdvSession *s, const char *state, double *out_value) ADV_MUST_USE;
ADV_API AdvStatus adv_session_set(AdvSession *s, const char *state, double value) ADV_MUST_USE;

/* Reads weights into parameters and running statistics by name, from safetensors or a checkpoint's folder; a name without the model's
** prefix will do where it is the only one; float types are converted. What the file lacks is an error, what it has beyond is a warning.
** ADV_ENOENT, ADV_EIO; ADV_EDATA: damaged, or a weight is missing or of another shape, and nothing was changed. */
ADV_API AdvStatus adv_session_load_weights(AdvSession *s, const char *path, AdvDiags *ds) ADV_MUST_USE;

/* Asks for a stop: the running adv_session_train finishes its step, saves and returns ADV_ECANCELLED. Any thread, and
** signal handlers. The request stays until a call has obeyed it. */
ADV_API void adv_session_cancel(AdvSession *s);

/* ---- the program of a plan ---------------------------------------------------------------------------------------- */

/* Kinds of logged values: one number a step, or one for each sample. */
enum { ADV_METRIC_NUMBER = 0, ADV_METRIC_SAMPLE = 1 };

/* A logged value. For kind NUMBER: `value` (in an epoch event: the mean over its steps). For SAMPLE also the distribution.
** Comes in arrays, so it never grows. */
typedef struct AdvMetric {
    const char *name, *unit; /* unit "" or "1/255": how people like to read it; values are never scaled */
    int32_t kind, zero;
    int64_t n;               /* numbers behind it */
    double value, min, q1, median, q3, max;
} AdvMetric;

/* Result of one attack of an evaluation. `epoch` is that of the weights, 0 where the session has trained none (they are from a file).
** `dist` is the distance from the clean sample that the attack used, in the norm that adv_plan_eval_norm names; `eps` the radius
** that the recipe names for it, or NAN. Comes in arrays, so it never grows. */
typedef struct AdvEvalRow {
    const char *eval, *attack, *weights; /* weights: "last" or "best" */
    int64_t epoch, n, n_correct;
    double accuracy, eps, dist_mean, dist_max;
} AdvEvalRow;

/* Kinds of events. */
enum {
    ADV_EVENT_STEP = 1,       /* a training step ended: metrics hold its values */
    ADV_EVENT_EPOCH = 2,      /* an epoch ended: metrics hold means and distributions */
    ADV_EVENT_EVAL_BATCH = 3, /* a batch of an evaluation ended */
    ADV_EVENT_EVAL = 4,       /* an evaluation ended: rows */
    ADV_EVENT_SAVED = 5,      /* a checkpoint is safe: text is its folder */
    ADV_EVENT_ENTRY = 6       /* an entry ran: text is its name (only with ADV_TRAIN_ENTRIES) */
};

/* What happened. Pointers are valid during the callback; names live as long as the plan. */
typedef struct AdvEvent {
    uint32_t struct_size;
    int32_t kind;
    int64_t epoch, n_epochs;    /* from 1 */
    int64_t step, n_steps;      /* done in this epoch; for EVAL_BATCH: samples done and planned in this stage */
    int64_t total_step, n_total;
    uint64_t elapsed_ns;        /* since adv_session_train began */
    const AdvMetric *metrics;   /* those that the phase of this epoch computes */
    uint32_t n_metrics, n_rows;
    const AdvEvalRow *rows;
    const char *text;           /* EVAL_BATCH: attack; see above */
} AdvEvent;

/* Flags of AdvTrainOpts. */
enum {
    ADV_TRAIN_ENTRIES = 1u << 0 /* also send ADV_EVENT_ENTRY */
};

/* How far adv_session_train goes, what it writes and whom it tells. */
typedef struct AdvTrainOpts {
    uint32_t struct_size, flags;  /* ADV_TRAIN_* */
    const char *run_dir;          /* existing folder for checkpoints, events.jsonl and eval-*.json; NULL: nothing is written */
    const char *only_eval;        /* run just this evaluation (see adv_session_train); nothing is trained or saved */
    uint64_t max_steps;           /* stop after so many training steps (evaluations that fall due are run); 0: to the end */
    uint64_t save_every_steps;    /* checkpoints also every so many steps; 0: none */
    uint64_t save_every_ns;       /* and after so much time; 0: none */
    /* Called after each event, in the calling thread; non-zero asks for a stop, like adv_session_cancel. What it may call: see
    ** Callbacks at the top. */
    int32_t (*progress)(void *user, const AdvEvent *event);
    uint64_t (*clock_ns)(void *user); /* NULL: the context's */
    void *user;
    uint64_t max_epochs;          /* stop when so many more epochs have ended, their evaluations included; 0: to the end */
} AdvTrainOpts;

/* Runs the plan's program from where the session stands (its beginning, or where resume put it) to its end: epochs,
** phases, evaluations, kept weights, early stop. ADV_ECANCELLED after a stop that was asked for (a checkpoint has been
** written if there is a run folder); ADV_ENUMERIC when a logged value, or an image or the logits of an evaluation, became
** NaN or infinite: the step or batch has been run again under ADV_CHECK_FINITE and the diagnostics name the recipe's line; ADV_EIO when a
** file of the run folder cannot be written. After ADV_EIO and after an ADV_ENUMERIC of an evaluation states and place are whole, so
** adv_session_save saves the run; in the second case a checkpoint has been written if there is a run folder. A session that is at the end
** returns ADV_OK. The first call after a resume at the end of a run sends the events of its last epoch and finished evaluations once more.
**
** `only_eval` is run on the present weights; with a run_dir, where the program has kept others, on those too, and eval-NAME.json is
** written anew, so that it holds the same as at the end of the run. */
ADV_API AdvStatus adv_session_train(AdvSession *s, const AdvTrainOpts *opts, AdvDiags *ds) ADV_MUST_USE;

/* adv_session_train for n_steps steps, without files. 0 steps: nothing happens. */
ADV_API AdvStatus adv_session_step(AdvSession *s, uint64_t n_steps, AdvDiags *ds) ADV_MUST_USE;

/* adv_session_train until n_epochs more epochs have ended (the present one counts), without files. */
ADV_API AdvStatus adv_session_epoch(AdvSession *s, uint64_t n_epochs, AdvDiags *ds) ADV_MUST_USE;

/* Runs one evaluation on the present weights, all of its attacks; nothing is trained, saved or moved on. Only the data that it reads
** need be bound. *out_rows (one for each
** attack) belong to the session and live until its next call. ADV_EINVAL: the plan has no evaluation of that name. */
ADV_API AdvStatus adv_session_eval(AdvSession *s, const char *eval, AdvDiags *ds, const AdvEvalRow **out_rows,
                                   uint32_t *out_n_rows) ADV_MUST_USE;

/* 1 when the program has come to its end. */
ADV_API int adv_session_is_done(const AdvSession *s);

/* Writes a checkpoint into run folder `dir`, which must exist: all saved states and the place in the program. Older ones stay until it
** is safe; then two and the best are kept. ADV_EIO: nothing of the older ones is lost, and the session goes on. */
ADV_API AdvStatus adv_session_save(AdvSession *s, const char *dir, AdvDiags *ds) ADV_MUST_USE;

/* Continues from run folder `dir`: its newest checkpoint that is whole (a broken one gets a warning). Resuming is
** bit-exact. ADV_ENOENT: there is none. ADV_EDATA: it is of another plan, or none is whole. ADV_EIO. */
ADV_API AdvStatus adv_session_resume(AdvSession *s, const char *dir, AdvDiags *ds) ADV_MUST_USE;

/* The digest of a checkpoint: 32 hexadecimal digits and a NUL, equal for two checkpoints of a plan if a run would go on from both to the
** same bits. `path`: the folder of a run, whose newest is taken, or of one checkpoint. It covers all saved states, the kept weights, the
** place in the program, the values logged in the present epoch, results of evaluations so far, and what a device chose by timing; it leaves
** out how long events.jsonl is, because of the times in it, and what is told of the host: back end, threads, names of folders.
** ADV_ENOENT: there is no checkpoint; ADV_EDATA: it is damaged, or something else; ADV_EIO. */
ADV_API AdvStatus adv_ctx_checkpoint_digest(AdvCtx *ctx, const char *path, AdvDiags *ds, char out_digest[33]) ADV_MUST_USE;

/* Writes, for every instruction, the kernel that was chosen, its scratch memory, and why kernels that come before it refused.
** ADV_ENOMEM: part of it may have been written. */
ADV_API AdvStatus adv_session_explain(const AdvSession *s, AdvWriteFn *write, void *user) ADV_MUST_USE;

/* Writes what a session opened with ADV_SESSION_TRACE noted, as JSON in the Chrome trace format: an event an instruction, with its
** kernel and recipe line. Of a long run the first 262,144 instructions. */
ADV_API void adv_session_trace(const AdvSession *s, AdvWriteFn *write, void *user);

/* Writes the profile of a session opened with ADV_SESSION_PROFILE: one line an instruction, then the costliest lines of
** the recipe. */
ADV_API void adv_session_profile(const AdvSession *s, AdvWriteFn *write, void *user);

#ifdef __cplusplus
}
#endif
#endif
