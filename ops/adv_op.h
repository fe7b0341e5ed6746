/* adv_op.h: what an op is, what a kernel is, and the tables a plugin hands over. It is the only header a plugin includes.
**
** An op is one constant AdvOpDef in one file: ports, attributes, shape rule, gradient, definition in double (`ref`), doc.
** Ours and a plugin's fill the same struct; nothing else in the engine knows an op by name, but rule files of passes.
** A kernel is one constant AdvKernel: it only makes an op fast on one back end and never changes what it means.
**
** Errors: functions return AdvStatus; `infer` explains itself through c->fail. Callbacks must not keep pointers after they
** return, must not allocate outside what they are given, and may be called from several threads at once.
*/
#ifndef ADV_OP_H
#define ADV_OP_H

#include "ops/adv_elem.h"
#include "runtime/adv_types.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version and limits of what a plugin and the engine agree on. */
#define ADV_OP_ABI 1u        /* another major version fits nothing older or newer */
#define ADV_OP_ABI_MINOR 0u  /* a newer minor version may need what an older engine lacks */
#define ADV_MAX_ATTRS 12   /* attributes an op may have */
#define ADV_MAX_FIXED 12   /* ports an op may have, the last of which may repeat */

/* ---- attributes ------------------------------------------------------------------------------------------------ */

/* Kinds of attributes. */
typedef enum AdvAttrKind {
    ADV_ATTR_END = 0,  /* ends a table */
    ADV_ATTR_INT,      /* .i within [min,max] */
    ADV_ATTR_FLOAT,    /* .f within [min,max] */
    ADV_ATTR_ENUM,     /* .i is an index into `choices`, names split by '|' */
    ADV_ATTR_INTS,     /* .ints, each within [min,max]; default is the empty list */
    ADV_ATTR_FLOATS,   /* .floats, likewise */
    ADV_ATTR_OPS       /* .ops, elementwise rows (AdvEwRow): graphs and plans hold them by name and version */
} AdvAttrKind;

struct AdvOpDef;

/* A value; which member is meant is said by the AdvAttrDef at the same index. Lists are borrowed. */
typedef struct AdvAttr {
    int64_t i;
    double f;
    const int64_t *ints;
    const double *floats;
    const struct AdvOpDef *const *ops;
    uint32_t n;  /* of ints, floats or ops */
} AdvAttr;

/* An attribute of an op: its range, and what it is when nobody gives it. */
typedef struct AdvAttrDef {
    const char *name;
    uint8_t kind;          /* AdvAttrKind */
    double dflt, min, max; /* of INT and ENUM: integers; NAN as dflt: must be given */
    const char *choices;   /* ENUM only */
    const char *doc;       /* meaning and unit, one line */
} AdvAttrDef;

/* ---- ports ----------------------------------------------------------------------------------------------------- */

/* What may flow through a port. */
typedef enum AdvPortKind {
    ADV_PORT_END = 0,
    ADV_PORT_FLOAT,  /* f32, f64, bf16, f16 */
    ADV_PORT_INT,    /* i32, i64, u8 */
    ADV_PORT_ANY
} AdvPortKind;
#define ADV_PORT_REPEAT 0x80u   /* or-ed to the last input port: none or more of it */
#define ADV_PORT_BATCH 0x40u    /* or-ed to an output port: one for the batch, though inputs are per sample */
#define ADV_PORT_KIND(kind) ((kind) & 0x3fu)

/* An input or output of an op. */
typedef struct AdvPortDef {
    const char *name;
    uint8_t kind;     /* AdvPortKind, maybe | ADV_PORT_REPEAT or ADV_PORT_BATCH */
    const char *doc;  /* shape and meaning, e.g. "logits [N,K]" */
} AdvPortDef;

/* ---- shape rule ------------------------------------------------------------------------------------------------ */

/* What a shape rule gets and sets. */
typedef struct AdvInferCtx AdvInferCtx;
struct AdvInferCtx {
    uint32_t n_in;
    const AdvTensorType *in;  /* n_in types; port kinds are already checked */
    const AdvAttr *attr;      /* one for each AdvAttrDef, ranges already checked */
    uint8_t float_dtype;      /* the graph's float type where no input tells it: F32, or F64 on target ref64 */
    uint32_t n_out;           /* set already to the number of output ports; an op whose outputs repeat changes it */
    AdvTensorType *out;       /* to fill: layout 0, unused dims 0; room for ADV_MAX_FIXED + n_in */
    /* Says what does not fit, in the recipe's words ("`matmul` needs ..., got ..."), and returns ADV_ERECIPE. */
    AdvStatus (*fail)(AdvInferCtx *c, const char *fmt, ...) ADV_PRINTF(2, 3);
    void *host;
};

/* ---- building nodes (gradients, expansions) ---------------------------------------------------------------------- */

/* A value of the graph under construction; 0 is "none". */
typedef struct AdvVal { uint32_t i; } AdvVal;

/* Appends nodes. The compiler's appends to a graph, that of `ref` executes at once. If an input is none, or something
** does not fit, results are none and the builder remembers the failure: no need to test between calls. */
typedef struct AdvBuild AdvBuild;
struct AdvBuild {
    /* attrs: one for each AdvAttrDef of the op in its order, or NULL for all defaults. outs: n_out values. */
    void (*node)(AdvBuild *b, const char *op, const AdvVal *in, uint32_t n_in, const AdvAttr *attrs, AdvVal *out_vals, uint32_t n_out);
    /* The type of a value; of none a rank-0 type with dtype 0. Valid until the next node. */
    const AdvTensorType *(*type)(AdvBuild *b, AdvVal v);
    /* A rank-0 number of dtype `dtype`. */
    AdvVal (*number)(AdvBuild *b, double value, uint8_t dtype);
};

/* One result, up to three inputs, default attributes: adv_b2(b, "mul", x, y). */
static inline AdvVal adv_b1(AdvBuild *b, const char *op, AdvVal x) { AdvVal r; b->node(b, op, &x, 1, NULL, &r, 1); return r; }
static inline AdvVal adv_b2(AdvBuild *b, const char *op, AdvVal x, AdvVal y)
{
    AdvVal in[2], r;
    in[0] = x; in[1] = y;
    b->node(b, op, in, 2, NULL, &r, 1);
    return r;
}
static inline AdvVal adv_b3(AdvBuild *b, const char *op, AdvVal x, AdvVal y, AdvVal z)
{
    AdvVal in[3], r;
    in[0] = x; in[1] = y; in[2] = z;
    b->node(b, op, in, 3, NULL, &r, 1);
    return r;
}
/* One result and attributes. */
static inline AdvVal adv_ba(AdvBuild *b, const char *op, const AdvVal *in, uint32_t n_in, const AdvAttr *attrs)
{
    AdvVal r;
    b->node(b, op, in, n_in, attrs, &r, 1);
    return r;
}
static inline AdvAttr adv_attr_i(int64_t i) { AdvAttr a = {0, 0, NULL, NULL, NULL, 0}; a.i = i; return a; }
static inline AdvAttr adv_attr_f(double f) { AdvAttr a = {0, 0, NULL, NULL, NULL, 0}; a.f = f; return a; }
static inline AdvAttr adv_attr_ints(const int64_t *ints, uint32_t n)
{
    AdvAttr a = {0, 0, NULL, NULL, NULL, 0};
    a.ints = ints;
    a.n = n;
    return a;
}

/* What a gradient function sees of the forward node. It sets gin[k] for each k with need[k], or leaves it none, which
** means a gradient of zero. gin[k] must have the type of in[k] (the caller sums over broadcast dimensions of
** elementwise ops, flag ADV_OP_ELEMENTWISE, so those need not). */
typedef struct AdvGradCtx {
    uint32_t n_in, n_out;
    const AdvVal *in, *out;
    const AdvVal *gout;    /* gradient of each output; none where nothing depends on it */
    const AdvAttr *attr;
    const bool *need;      /* which inputs want a gradient */
    AdvVal *gin;
} AdvGradCtx;

/* Builds the gradient of a node. */
typedef AdvStatus AdvGradFn(AdvBuild *b, const AdvGradCtx *g);

/* Instead of a function, and never called: the gradient is zero / reaching it is the recipe's mistake ("write detach(...)
** around it"). Numbers, not functions, so that a plugin needs no symbol of ours. */
#define ADV_GRAD_ZERO ((AdvGradFn *)1)
#define ADV_GRAD_NEVER ((AdvGradFn *)2)

/* What an expansion sees of a fused node: it builds the equal sub-graph and sets out[]. */
typedef struct AdvExpandCtx {
    uint32_t n_in, n_out;
    const AdvVal *in;
    AdvVal *out;
    const AdvAttr *attr;
} AdvExpandCtx;

/* ---- definition in double ---------------------------------------------------------------------------------------- */

/* `ref` computes every output element from its inputs with adv_ld and adv_st (view.h), arithmetic in double, plain loops,
** any dtype, any stride, any size. Outputs never overlap inputs, but where `inplace` allows it. */
typedef struct AdvRefCall {
    uint32_t n_in, n_out;
    const AdvView *in, *out;
    const AdvAttr *attr;
} AdvRefCall;

/* ---- elementwise ops --------------------------------------------------------------------------------------------- */

/* What the operands of a row may be. */
typedef enum AdvEwTakes {
    ADV_EW_FLOATS,  /* floats of one type, result the same */
    ADV_EW_NUMBERS, /* also i32 and i64 */
    ADV_EW_TRUTH,   /* two floats or two integers, result float 0 or 1 */
    ADV_EW_CHOICE   /* a float condition and two of one type */
} AdvEwTakes;

/* o[i] = row(a[i], b[i], c[i]) for i < n. o may be exactly one of the operands; operands beyond the row's are not read. */
typedef void AdvTileFn(float *o, const float *a, const float *b, const float *c, int64_t n);

/* An op whose element i depends on element i of its operands alone. It is enough for its definition, its shape rule, its
** kernels, and its place in fused groups. Made by the macros of adv_row.h. */
typedef struct AdvEwRow {
    uint32_t n_in;                             /* 1..3 */
    uint32_t takes;                            /* AdvEwTakes */
    double (*f)(double a, double b, double c); /* the definition; operands beyond n_in are not looked at */
    AdvTileFn *tile;                           /* the same in float; NULL: the cpu back end has its own */
    const char *text;                          /* in float over a, b, c, valid in C and in CUDA */
} AdvEwRow;

/* ---- the op ------------------------------------------------------------------------------------------------------ */

/* Facts that passes ask for. */
enum {
    ADV_OP_ELEMENTWISE = 1u << 0, /* out[i] from in[i]; inputs of rank 0, or of out's rank with dims equal or 1 */
    ADV_OP_COMMUTES = 1u << 1,    /* the first two inputs may be swapped */
    ADV_OP_RANDOM = 1u << 2,      /* draws numbers: a pure function of its key all the same */
    ADV_OP_VIEW = 1u << 3,        /* out 0 is in 0's storage seen otherwise; needs row layout; no kernel */
    ADV_OP_STRUCT = 1u << 4,      /* read, write, loop, grad, const: handled by the compiler itself */
    ADV_OP_CONV = 1u << 5,        /* counts as a unit of work: convolution and matmul, and their gradients */
    ADV_OP_WGRAD = 1u << 6,       /* a gradient by weights */
    ADV_OP_BATCH = 1u << 7,       /* couples samples: the batch dimension is reduced */
    ADV_OP_MOVES = 1u << 8,       /* copies elements and computes nothing: counts no FLOPs */
    ADV_OP_ROWS = 1u << 9,        /* of in 0 reads only the rows that the numbers in 1 name; a kernel may find fewer rows there when it
                                  ** runs than it was prepared for (those of a batch, numbered from 0) */
    ADV_OP_EACH = 1u << 10,       /* each element of a result by itself, as ELEMENTWISE but with other types or several results */
    ADV_OP_JUMPS = 1u << 11       /* takes the sign of sums: where they are added in another order, single results may be another */
};
#define ADV_INPLACE_NONE 0
#define ADV_INPLACE_ANY 0xff      /* any input of the same type */
#define ADV_INPLACE(ix) ((uint8_t)((ix) + 1))

/* How an op lives with 16-bit types. */
enum {
    ADV_PREC_LOW = 0 /* computes in the target's low type */,
    ADV_PREC_F32 = 1 /* never below f32 */,
    ADV_PREC_FOLLOW = 2 /* as its inputs */,
    ADV_PREC_STATS = 3  /* tensors as in FOLLOW; vectors, which are sums or scales of channels, never below f32 */
};

/* How an op lives with layouts: whether rank-4 operands may be channels-last. */
enum { ADV_LAYOUT_OP_ROW = 0 /* row only */, ADV_LAYOUT_OP_ANY = 1 /* all rank-4 operands in one order, either */ };

struct AdvSig;

/* An op: all that the engine knows of it. */
typedef struct AdvOpDef {
    uint32_t abi;          /* ADV_OP_ABI */
    uint32_t struct_size;  /* sizeof(AdvOpDef) */
    const char *name;      /* snake_case, as in graph text */
    uint16_t version;      /* raised when the meaning changes */
    uint8_t precision, layout;
    uint32_t flags;
    const AdvPortDef *in, *out;  /* ended by ADV_PORT_END */
    const AdvAttrDef *attrs;     /* ended by ADV_ATTR_END; NULL: none */
    uint8_t inplace[4];    /* of output k: ADV_INPLACE_NONE, ADV_INPLACE(input index), ADV_INPLACE_ANY */
    AdvStatus (*infer)(AdvInferCtx *c);                           /* NULL for a row, whose `takes` says it */
    AdvGradFn *grad;       /* never NULL: a function, ADV_GRAD_ZERO or ADV_GRAD_NEVER */
    AdvStatus (*ref)(const AdvRefCall *c);                        /* exactly one of ref ... */
    AdvStatus (*expand)(AdvBuild *b, const AdvExpandCtx *c);      /* ... expand ... */
    const struct AdvEwRow *row;  /* ... and row (elementwise, adv_row.h), but for ADV_OP_STRUCT and ADV_OP_VIEW */
    const char *doc;       /* first line a sentence; then ranges, what happens at kinks, source (paper, equation) */
    double (*flops)(const struct AdvSig *sig); /* of one call, a multiply-add being two. NULL: see adv_sig_flops (registry.h) */
} AdvOpDef;

/* The first fields of every AdvOpDef. */
#define ADV_OP_HEADER .abi = ADV_OP_ABI, .struct_size = sizeof(AdvOpDef)

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

/* One instruction as `can` and `prepare` see it: views without data. */
typedef struct AdvSig {
    const AdvOpDef *op;
    uint32_t n_in, n_out;
    const AdvView *in, *out;
    const AdvAttr *attr;
} AdvSig;

/* What `prepare` of a kernel gets and sets. */
typedef struct AdvPrep {
    const AdvSig *sig;
    uint32_t n_threads;
    uint64_t scratch_bytes; /* to set: 64-byte aligned memory that `run` gets; shared with other instructions */
    void *(*alloc)(struct AdvPrep *p, size_t bytes); /* zeroed memory that lives until the session closes; NULL: out of memory */
    AdvStatus (*fail)(struct AdvPrep *p, AdvStatus st, const char *fmt, ...) ADV_PRINTF(3, 4);
    void *host;
} AdvPrep;

/* What `run` of a kernel gets. */
typedef struct AdvLaunch {
    const AdvView *in, *out;
    const AdvAttr *attr;
    void *scratch;
    void *stream;       /* the cudaStream_t to launch on, and on no other; NULL on the CPU */
    uint32_t n_threads;
} AdvLaunch;

/* A kernel: one op made fast on one back end. On back end "cuda" views point to device memory and `run` only launches: it neither
** allocates nor waits, since what it does may be captured and replayed. A plugin links the CUDA runtime statically and names its
** architectures in its note. */
typedef struct AdvKernel {
    uint32_t abi, struct_size;
    const char *backend;  /* "cpu", "cuda" */
    const char *op;       /* or ADV_KERNEL_ROWS */
    const char *name;     /* of the variant, shown by --explain and --profile */
    uint16_t op_version;
    int16_t order;        /* lower is tried first */
    /* May it run this? Pure; if not, *why gets a constant sentence. */
    bool (*can)(const AdvSig *sig, const char **why);
    /* Cold work: descriptors, packing plans, scratch size. NULL: none. */
    AdvStatus (*prepare)(AdvPrep *p, void **out_state);
    /* Hot: no allocation, no lookup, no log. */
    AdvStatus (*run)(const AdvLaunch *l, void *state);
    void (*release)(void *state); /* NULL: nothing to release beyond p->alloc memory */
} AdvKernel;

/* As AdvKernel.op: the kernel serves every row that has none of its own; its op_version is not looked at. */
#define ADV_KERNEL_ROWS "*rows"

/* The first fields of every AdvKernel. */
#define ADV_KERNEL_HEADER .abi = ADV_OP_ABI, .struct_size = sizeof(AdvKernel)

/* ---- plugins ----------------------------------------------------------------------------------------------------- */

/* What the engine tells a plugin. */
typedef struct AdvHost {
    uint32_t struct_size, abi_major, abi_minor;
} AdvHost;

/* What a plugin brings. */
typedef struct AdvPlugin {
    uint32_t struct_size, abi_major, abi_minor;
    const char *name, *version;
    const AdvOpDef *const *ops;      /* ended by NULL */
    const AdvKernel *const *kernels; /* ended by NULL; NULL: none */
    const char *const *cases;        /* self-test, ended by NULL: lines of docs/plugins.md, at least one for each op. `advplugin test` */
} AdvPlugin;

/* The one symbol a plugin exports, `adv_plugin_v1`. NULL: it refuses this host. */
typedef const AdvPlugin *AdvPluginFn(const AdvHost *host);

/* An ELF note, section .note.adv, that says what a plugin is made for. It is read from the file before any code of the plugin
** runs, so that a plugin that does not fit is refused with a sentence and not with a crash. */
#define ADV_NOTE_TYPE 1u
#define ADV_NOTE_SIZES {sizeof(AdvOpDef), sizeof(AdvKernel), sizeof(AdvPlugin), sizeof(AdvAttr), sizeof(AdvView), sizeof(AdvInferCtx), \
                        sizeof(AdvPrep), sizeof(AdvLaunch)}
#define ADV_NOTE_N_SIZES 8
typedef struct AdvNote {
    uint32_t owner_bytes, desc_bytes, type; /* 4, all that follows `owner`, ADV_NOTE_TYPE */
    char owner[4];                          /* "ADV" */
    uint32_t abi_major, abi_minor, sizes[ADV_NOTE_N_SIZES];
    /* then four texts, each ended by NUL: name, version, names of the ops, CUDA architectures; both lists split by a space */
} AdvNote;

/* Makes a plugin of a file: note, table and entry. All but the tables are string literals.
**   name, version   of the plugin
**   op_names        of all its ops: "margin margin_grad"
**   cuda_archs      that its CUDA kernels were compiled for: "sm_80 sm_90 compute_90"; "" if it has none. sm_XY runs on devices
**                   of major X and a minor of at least Y, compute_XY on any device from X.Y on
**   op_table, kernel_table, case_table   arrays of pointers ended by NULL; the last two may be NULL */
#define ADV_PLUGIN(plugin_name, plugin_version, op_names, cuda_archs, op_table, kernel_table, case_table) \
    static const struct { \
        AdvNote head; \
        char text[sizeof(plugin_name "\0" plugin_version "\0" op_names "\0" cuda_archs)]; \
    } adv_plugin_note __attribute__((section(".note.adv"), used, aligned(4))) = { \
        {4, sizeof(AdvNote) - 16 + sizeof(plugin_name "\0" plugin_version "\0" op_names "\0" cuda_archs), ADV_NOTE_TYPE, "ADV", \
         ADV_OP_ABI, ADV_OP_ABI_MINOR, ADV_NOTE_SIZES}, \
        plugin_name "\0" plugin_version "\0" op_names "\0" cuda_archs}; \
    ADV_API const AdvPlugin *adv_plugin_v1(const AdvHost *host); \
    ADV_API const AdvPlugin *adv_plugin_v1(const AdvHost *host) \
    { \
        static const AdvPlugin plugin = {sizeof(AdvPlugin), ADV_OP_ABI, ADV_OP_ABI_MINOR, plugin_name, \
                                         plugin_version,    op_table,   kernel_table,     case_table}; \
        return host->abi_major == ADV_OP_ABI ? &plugin : NULL; \
    }

#include "ops/adv_row.h"

#ifdef __cplusplus
}
#endif
#endif
