/* adv_types.h: the enums and plain structs that every layer shares.
**
** Standalone (needs <stdint.h> and <stddef.h> only), valid C11 and C++17. Nothing here owns memory.
** Numbers in these enums are written into plan files: append, never renumber.
*/
#ifndef ADV_TYPES_H
#define ADV_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ADV_MUST_USE __attribute__((warn_unused_result))
#define ADV_PRINTF(fmt_at, arg_at) __attribute__((format(printf, fmt_at, arg_at)))
#define ADV_API __attribute__((visibility("default")))
#else
#define ADV_MUST_USE
#define ADV_PRINTF(fmt_at, arg_at)
#define ADV_API
#endif

/* The version of these headers; adv_version() says that of the library. */
#define ADV_VERSION "0.1.0"

/* Most dimensions a tensor may have, the batch dimension included. */
#define ADV_MAX_RANK 6

/* Result of everything that can fail because of the machine or of its input: 0 is success, negative is failure.
** A status alone says what kind; the AdvDiags passed to the failing call say what, where and why. */
typedef int32_t AdvStatus;
enum {
    ADV_OK = 0,
    ADV_EINVAL = -1,       /* an argument or option the caller passed is wrong */
    ADV_ERECIPE = -2,      /* the recipe has errors: see the diagnostics */
    ADV_EDATA = -3,        /* plan, data set, checkpoint, weights or plugin is malformed or does not fit */
    ADV_ENOENT = -4,       /* an input file does not exist */
    ADV_EUNAVAILABLE = -5, /* device, driver, library or back end is not there */
    ADV_ENOMEM = -6,       /* out of host or device memory */
    ADV_EIO = -7,          /* reading or writing failed, disk full */
    ADV_ECANCELLED = -8,   /* stopped because the caller asked for it */
    ADV_ENUMERIC = -9,     /* a value became NaN or infinite */
    ADV_EBUSY = -10,       /* called from inside a callback of the same session */
    ADV_EPOISONED = -11,   /* an earlier failure left the object unusable: close it */
    ADV_EDIFFERS = -12,    /* a check found a difference: the answer is no */
    ADV_EINTERNAL = -13    /* our fault */
};

/* Element types. `bool` results are stored as the graph's float type (0 or 1). */
typedef enum AdvDtype {
    ADV_DTYPE_NONE = 0,
    ADV_F32 = 1,
    ADV_F64 = 2, /* only the reference back end computes in it */
    ADV_BF16 = 3,
    ADV_F16 = 4,
    ADV_I32 = 5, /* class indices */
    ADV_I64 = 6, /* sample ids, counters */
    ADV_U8 = 7,  /* images as stored */
    ADV_DTYPE_COUNT
} AdvDtype;

/* How a value changes over time; a lower rate may be used where a higher one is expected. language: section 2. */
typedef enum AdvRate {
    ADV_RATE_ONCE = 0,
    ADV_RATE_EPOCH = 1,
    ADV_RATE_BATCH = 2,
    ADV_RATE_SAMPLE = 3, /* has the batch dimension first */
    ADV_RATE_COUNT
} AdvRate;

/* Order of the elements in memory; `dim` is always in the recipe's order (N,C,H,W). */
typedef enum AdvLayout {
    ADV_LAYOUT_ROW = 0, /* last dimension fastest */
    ADV_LAYOUT_CL = 1,  /* rank 4 only: channels (dim 1) fastest, then dim 3, dim 2, dim 0: "NHWC" */
    ADV_LAYOUT_COUNT
} AdvLayout;

/* What a state is, which decides where it lives and whether a checkpoint holds it. architecture: states. */
typedef enum AdvStateKind {
    ADV_STATE_PARAM = 0,  /* trained weights */
    ADV_STATE_BUFFER = 1, /* running statistics */
    ADV_STATE_OPT = 2,    /* moments, weight averages */
    ADV_STATE_TABLE = 3,  /* one row a sample of the data set, or a class */
    ADV_STATE_SLOT = 4,   /* belongs to a place in the batch: x, y, ids, mask, a perturbation that outlives its batch */
    ADV_STATE_SCALAR = 5, /* counters, `once` states, results of evaluations */
    ADV_STATE_METRIC = 6, /* written by a step, read by the host */
    ADV_STATE_DATA = 7,   /* a data set's tensor: bound by the host before the first entry, never written */
    ADV_STATE_KIND_COUNT
} AdvStateKind;

/* A tensor's type. By value. `dim[i]` > 0 for i < rank, and 0 beyond. */
typedef struct AdvTensorType {
    uint8_t dtype;  /* AdvDtype */
    uint8_t rank;   /* 0..ADV_MAX_RANK; 0 is a single number */
    uint8_t layout; /* AdvLayout */
    uint8_t zero;   /* 0 */
    uint32_t zero2; /* 0 */
    int64_t dim[ADV_MAX_RANK];
} AdvTensorType;

/* A strided window on host or device memory. Does not own `data`.
** stride[i] is in elements and may be 0 (broadcast). Element (i0,i1,..) is at data + sum(ik*stride[k]) elements. */
typedef struct AdvView {
    uint8_t dtype; /* AdvDtype */
    uint8_t rank;
    uint16_t zero;
    uint32_t zero2;
    int64_t dim[ADV_MAX_RANK];
    int64_t stride[ADV_MAX_RANK];
    void *data;
} AdvView;

/* Where texts go: pieces in order, not ended by NUL. `user` is what was passed beside it. */
typedef void AdvWriteFn(void *user, const char *text, size_t n_bytes);

/* File calls, for those who bring their own (a virtual file system, a test that lets the k-th call fail). A NULL member is
** POSIX's. All return 0, a count or a descriptor (>= 0) on success and -errno on failure; short counts and -EINTR are
** honoured. Paths are UTF-8 and end in NUL; flags and mode are those of open(2). */
typedef struct AdvIo {
    uint32_t struct_size, flags; /* sizeof(AdvIo); no flags yet */
    void *user;                  /* first argument of each */
    int (*open)(void *user, const char *path, int flags, int mode);
    int64_t (*read)(void *user, int fd, void *to, size_t n_bytes);
    int64_t (*write)(void *user, int fd, const void *from, size_t n_bytes);
    int (*fsync)(void *user, int fd);
    int (*close)(void *user, int fd);
    int (*rename)(void *user, const char *from, const char *to);
    int (*mkdir)(void *user, const char *path, int mode);
    int (*unlink)(void *user, const char *path);
    int64_t (*size)(void *user, int fd); /* bytes of an open file: a hint, the content decides */
    /* Calls each(each_user, name) for every entry of a folder, in any order, "." and ".." or not; ends when that is not 0. */
    int (*list)(void *user, const char *path, int (*each)(void *each_user, const char *name), void *each_user);
    int (*rmdir)(void *user, const char *path);           /* a folder that is empty */
    int (*cut)(void *user, int fd, int64_t n_bytes);      /* makes an open file that long: ftruncate */
} AdvIo;

#ifdef __cplusplus
}
#endif
#endif
