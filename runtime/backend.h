/* backend.h: what a session needs of a device, as a table. Arguments were checked by the session; a back end only obeys.
**
** One `self` belongs to one session and one thread. Optional members are NULL where marked. Everything is asynchronous
** until `sync`, but on back ends of the host, where all calls finish at once and `sync` does nothing.
** Failures are statuses with a diagnostic; after a failed launch or sync the session is poisoned.
*/
#ifndef ADV_RUNTIME_BACKEND_H
#define ADV_RUNTIME_BACKEND_H

#include "ops/registry.h"
#include "runtime/base/io.h"

typedef struct AdvBackendOpts {
    AdvAlloc alloc;          /* for everything that lives as long as the session */
    const AdvRegistry *reg;
    uint32_t n_threads;      /* > 0 */
    /* Hears why a kernel refused an instruction; may be NULL. */
    void (*refused)(void *user, const AdvSig *sig, const AdvKernel *k, const char *why);
    void *user;
    /* For back ends of other devices; zero elsewhere. */
    void (*log)(void *user, const char *text);  /* a warning or a line of --verbose; may be NULL */
    const AdvIo *io;          /* file calls for what lies in cache_dir */
    const char *cache_dir;    /* an existing folder for compiled code and choices; NULL: none is kept */
    uint64_t cache_limit_bytes; /* of compiled code there; 0: the back end's own limit */
    const char *library_dirs; /* folders to look for foreign libraries in first, split by ':'; may be NULL */
    bool is_deterministic;    /* choose by fixed order, never by time */
    bool allow_tf32;
    bool says_choices;        /* to the log: each way that is timed, its time or that it fails, and which is taken */
    void *stream;             /* of the caller; NULL: the back end makes its own */
} AdvBackendOpts;

/* An instruction ready to launch. The views' `data` are set by the session after all are prepared, and again when a data
** state is bound. */
typedef struct AdvBound {
    AdvSig sig;
    const AdvKernel *kernel; /* NULL: the op's definition, or nothing to do */
    void *state;             /* of the kernel */
    uint64_t scratch_bytes;
    bool is_ref;             /* runs the op's definition */
    bool has_run;
    uint32_t n_list;         /* the first of a list: instructions of it, at least 2; else 0 */
    struct AdvBound *list;   /* the first of a list that can be run as one: what does; else NULL */
} AdvBound;

enum { ADV_TO_DEVICE = 0, ADV_TO_HOST = 1, ADV_ON_DEVICE = 2 };

typedef struct AdvBackend {
    const char *name;
    const char *target;  /* the plan target it was made for, or NULL: any will do */
    bool is_host;        /* its memory may be read and written by the host directly */
    bool is_ref;         /* running definitions is what it is for: not counted as falling back */
    bool does_nothing;   /* launches have no effect */
    int32_t dlpack;      /* DLPack's number of the kind of device (adv_dlpack.h) whose device 0 holds its memory; 0: host, or none */

    /* Optional: which device would answer? *out_sm: compute capability, 10*major + minor. ADV_EUNAVAILABLE: none. */
    AdvStatus (*probe)(const AdvBackendOpts *o, AdvDiags *ds, int32_t *out_sm);
    /* Takes hold of the device. The caller closes *out_self. */
    AdvStatus (*open)(const AdvBackendOpts *o, AdvDiags *ds, void **out_self);
    void (*close)(void *self);

    /* 64-byte aligned device memory, of any content: pages that nothing writes are never there. n_bytes > 0. NULL: out of memory. */
    void *(*alloc)(void *self, uint64_t n_bytes);
    void (*free)(void *self, void *p, uint64_t n_bytes);
    /* To the host: the bytes are there on return. To the device: `src` may change after it. */
    AdvStatus (*copy)(void *self, void *dst, const void *src, uint64_t n_bytes, int32_t direction);
    AdvStatus (*fill)(void *self, void *dst, int byte, uint64_t n_bytes);

    /* Chooses what runs b->sig (views without data) and fills the rest of *b. Cold. */
    AdvStatus (*prepare)(void *self, AdvBound *b, AdvDiags *ds);
    /* Optional: the same with this kernel, whatever others there are: for those who test kernels. */
    AdvStatus (*prepare_kernel)(void *self, AdvBound *b, const AdvKernel *k, AdvDiags *ds);
    /* Optional: may the n instructions from `first` on, all prepared, be one launch? They are a list of the plan. If so fills
    ** out->kernel and what goes with it: launching `out` runs them all. They stay where they are, and their views get data later. */
    AdvStatus (*prepare_list)(void *self, const AdvBound *first, uint32_t n, AdvBound *out, AdvDiags *ds);
    /* Optional: all instructions are prepared. What they asked for together (generated code, plans of libraries) is made now, and their
    ** scratch_bytes may change. The instructions given to prepare since the last call are where they were. */
    AdvStatus (*prepared)(void *self, AdvDiags *ds);
    /* Optional: forgets everything prepared, so that the instructions can be prepared anew. */
    void (*unprepare)(void *self);
    /* Runs it. scratch: at least b->scratch_bytes. Hot: no allocation, but what the first launch of a definition with
    ** intermediate values takes for good. */
    AdvStatus (*launch)(void *self, AdvBound *b, void *scratch);

    /* Optional: as launch, waits for its end, and says how long the device took. NULL: the caller's clock tells. */
    AdvStatus (*launch_timed)(void *self, AdvBound *b, void *scratch, uint64_t *out_ns);
    /* Optional: writes one i64, by value: in a recording the value stays what it was. NULL: `copy` does. */
    AdvStatus (*set_i64)(void *self, void *dst, int64_t value);

    /* Optional: between begin and end launches are recorded, not run; replay runs them. A recording lives until `forget`. */
    AdvStatus (*record_begin)(void *self);
    AdvStatus (*record_end)(void *self, void **out_recording);
    AdvStatus (*replay)(void *self, void *recording);
    void (*forget)(void *self, void *recording);

    /* Optional: what is launched from here on belongs to `name`, until a call with NULL: shown by profilers. */
    void (*range)(void *self, const char *name);

    AdvStatus (*sync)(void *self);
    /* Optional: what failed since the last sync that succeeded, as a sentence with the foreign library's words; "" if nothing did. */
    const char *(*last_error)(const void *self);
    /* Optional: choices made by timing as text, in the order they were made; valid until the next prepare. And what a checkpoint
    ** holds: choices to obey from the next prepare on. */
    const char *(*choices)(const void *self);
    AdvStatus (*obey)(void *self, const char *choices);
    /* One line about the device. */
    void (*device_info)(void *self, char *text, size_t n_bytes);
    /* Allocations made by launches that were not the instruction's first. */
    uint64_t (*n_run_allocs)(const void *self);
} AdvBackend;

extern const AdvBackend adv_backend_ref, adv_backend_cpu, adv_backend_null;

/* The back end of that name, or NULL. */
const AdvBackend *adv_backend_find(const char *name);

/* ---- shared by the back ends of the host (backend_host.c) ---------------------------------------------------------- */

typedef struct AdvHostBlock AdvHostBlock;
typedef struct AdvHostSelf {
    AdvBackendOpts opts;
    AdvHostBlock *blocks;       /* what kernels took in prepare */
    AdvHostBlock *pool;         /* for intermediate values of definitions: reset at each launch */
    uint64_t n_run_allocs;
    bool is_first;              /* the launch under way is the instruction's first */
} AdvHostSelf;

AdvStatus adv_host_open(const AdvBackendOpts *o, AdvDiags *ds, void **out_self);
void adv_host_close(void *self);
void adv_host_fini(AdvHostSelf *h);  /* all but `h` itself */
void *adv_host_alloc(void *self, uint64_t n_bytes);
void adv_host_free(void *self, void *p, uint64_t n_bytes);
AdvStatus adv_host_copy(void *self, void *dst, const void *src, uint64_t n_bytes, int32_t direction);
AdvStatus adv_host_fill(void *self, void *dst, int byte, uint64_t n_bytes);
AdvStatus adv_host_sync(void *self);
void adv_host_device_info(void *self, char *text, size_t n_bytes);
uint64_t adv_host_n_run_allocs(const void *self);
/* Memory until close, for AdvPrep.alloc: zeroed, 64-byte aligned. */
void *adv_host_keep(AdvHostSelf *h, size_t n_bytes);
/* Runs an op's definition; intermediate values come from the pool. */
AdvStatus adv_host_run_ref(AdvHostSelf *h, AdvBound *b);

#endif
