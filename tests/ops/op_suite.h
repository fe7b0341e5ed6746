/* op_suite.h: what is demanded of every op, for each line of a .case file. Every function returns the number of findings and
** prints each with its line unless s->quiet (which the tests of the suite itself set).
*/
#ifndef ADV_TEST_OP_SUITE_H
#define ADV_TEST_OP_SUITE_H

#include "op_case.h"

#include "ops/view.h"
#include "runtime/backend.h"

#define SUITE_LENT (CASE_MAX_IN * 2 + ADV_MAX_FIXED + 1)

/* A back end with memory of its own (op_device.c), where kernels are prepared all together before the first runs. The cases are gone
** through twice: once with is_preparing, when each launch of a case is prepared only, and, after suite_device_ready, to run them. */
typedef struct SuiteDevice {
    const AdvBackend *be;
    void *self;
    AdvDiags *ds;        /* what it says, until it is printed */
    bool is_preparing;
    /* What was prepared, in order, and where each case begins in it. */
    AdvBound **made; /* each by itself: a back end holds on to them until all are ready */
    AdvStatus *made_st; /* what preparing them returned */
    uint32_t n_made, cap_made, at;
    uint32_t *case_at, n_cases, cap_cases;
    struct { void *mem, *device; size_t n_bytes; } lent[SUITE_LENT];
    uint32_t n_lent;
} SuiteDevice;

typedef struct Suite {
    AdvRegistry reg;
    AdvArena arena;      /* of the case in hand */
    const char *backend; /* NULL: definitions only */
    SuiteDevice *dev;    /* NULL: the back end's memory is the host's */
    bool quiet;
    int every, part;     /* of the lines of a file those are run whose number leaves `part` when divided by `every`; 1, 0: all */
    const char *without; /* names of kernels that are not run, or NULL */
    uint32_t n_kernel_runs;
} Suite;

/* Counts a finding: prints "file:line: message" and the case. Returns 1. */
int suite_fail(const Suite *s, const OpCase *c, const char *fmt, ...) ADV_PRINTF(3, 4);

/* ---- guarded buffers (op_buf.c) ---- */

enum { BUF_ROW = 0, BUF_CL = 1 /* rank 4 only, else row */, BUF_GAPS = 2 /* strides with holes */ };
/* Of a whole run: operands in one order, results in the other. */
enum { BUF_TO_CL = 3, BUF_TO_ROW = 4, BUF_FORMS };

typedef struct Buf {
    AdvTensorType type;
    AdvView view;
    unsigned char *mem;
    size_t n_bytes; /* with guards */
} Buf;

/* Memory from the suite's arena, everything outside the elements set to a pattern, the elements to `fill`. */
Buf buf_new(Suite *s, const AdvTensorType *t, int form, unsigned char fill);

/* An operand's values in a float dtype (integers keep theirs). */
Buf buf_of(Suite *s, const CaseTensor *t, uint8_t float_dtype, int form);

/* Is everything outside the elements as it was? */
bool buf_guards_ok(Suite *s, const Buf *b);

/* Do the elements have the same bits? */
bool buf_same(const Buf *a, const Buf *b);

/* Type of operand k where floats are float_dtype: never below f32 are those that the case says, and vectors of an op that keeps
** statistics apart (ADV_PREC_STATS). */
static inline uint8_t suite_dtype(const OpCase *c, uint32_t k, uint8_t float_dtype)
{
    bool is_wide = c->in[k].is_f32 || (c->op->precision == ADV_PREC_STATS && c->in[k].type.rank <= 1);
    if (c->in[k].type.dtype != ADV_F64) return c->in[k].type.dtype;
    return is_wide && float_dtype != ADV_F64 ? (uint8_t)ADV_F32 : float_dtype;
}

/* ---- devices (op_device.c) ---- */

/* Opens a back end that has `prepare_kernel`, with the registry and what else `more` says; allocator and file calls are set here. After
** a failure, which dev->ds explains, too, suite_device_close frees it. */
AdvStatus suite_device_open(SuiteDevice *d, const AdvBackend *be, const AdvBackendOpts *more);
void suite_device_close(SuiteDevice *d);

/* From here on cases are prepared; what was prepared before is forgotten. */
void suite_device_begin(SuiteDevice *d);
/* From here on the same cases are run. False after printing why they cannot. */
bool suite_device_ready(SuiteDevice *d);

/* A copy of host memory on the device; of the same memory the same copy. NULL: failed. */
void *suite_device_lend(SuiteDevice *d, void *mem, size_t n_bytes);
/* Waits, copies back what was lent, and forgets it. */
AdvStatus suite_device_finish(SuiteDevice *d);
/* Prints what the back end said, and forgets it. */
void suite_device_say(SuiteDevice *d);

/* ---- running (op_suite.c) ---- */

typedef struct Run {
    uint32_t n_in, n_out;
    Buf in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED];
} Run;

/* Shapes of the results; *out_n 0 and a finding if the shape rule refuses. */
int suite_infer(const Suite *s, const OpCase *c, uint8_t float_dtype, AdvTensorType *out, uint32_t *out_n);

/* Runs the definition on fresh buffers; checks status, guards and that operands stay. */
int suite_run(Suite *s, const OpCase *c, uint8_t float_dtype, int form, unsigned char fill, Run *out_run);

/* All checks of one case; 0 is a pass. Without a back end the definition and its gradient are checked, with one its kernels. */
int suite_case(Suite *s, const OpCase *c);

/* Largest magnitude of the finite elements. */
double buf_scale(const Buf *b);

/* ---- parts ---- */
int suite_grad(Suite *s, const OpCase *c);    /* op_grad.c: gradients against finite differences */
int suite_kernels(Suite *s, const OpCase *c); /* op_kernel.c: kernels of s->backend against the definition */

#endif
