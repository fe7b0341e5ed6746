/* session.h: a session seen from inside the runtime. Everything here is set by adv_session_open and then only read, but for
** the marked fields.
**
** Memory, a block each: STATE (all states but data sets, each at a multiple of 64), CONST, TEMP, scratch. Instructions hold
** views straight into them; binding a data state moves the views of that state and nothing else.
*/
#ifndef ADV_RUNTIME_SESSION_H
#define ADV_RUNTIME_SESSION_H

#include "runtime/backend.h"
#include "runtime/ctx.h"
#include "runtime/plan_load.h"
#include "runtime/program.h"

#include <stdatomic.h>

typedef struct AdvRun AdvRun;           /* the place in the program and what it gathers: program.c */
typedef struct AdvMapping AdvMapping;   /* a mapped data file: data.c */
typedef struct AdvFeed AdvFeed;     /* rows that come from the caller: feed.c */
typedef struct AdvHeld AdvHeld;         /* a tensor of another library, bound: dlpack.c */
typedef struct AdvChecks AdvChecks;     /* check.c */
typedef struct AdvProfile AdvProfile;   /* profile.c */

typedef struct AdvLoopPlace { uint32_t inst; int64_t turn, n_turns; } AdvLoopPlace;

/* An entry on a back end that can record: run once, recorded at the second run, replayed from then on. */
enum { ADV_RECORD_NEW = 0, ADV_RECORD_WARM, ADV_RECORD_DONE, ADV_RECORD_NEVER };
typedef struct AdvRecord {
    void *recording;
    int32_t state;
    uint32_t n_head; /* instructions up to the last that a source feeds: launched one by one, and only what follows is recorded */
} AdvRecord;

typedef struct AdvStateMem {
    void *data;          /* device memory; of a data state: the caller's, NULL until bound */
    uint64_t n_bytes;
    uint64_t n_file_bytes; /* of the tensor in a data file that it is bound to; else 0 */
    void *block;         /* of a data state on another device: memory of ours that `data` is, while memory of the host is bound */
} AdvStateMem;

/* Steps that another device may run before the host looks at their logged values; also between two copies of the states. */
enum { ADV_RUN_AHEAD = 16 };

struct AdvSession {
    AdvCtx *ctx;
    const AdvPlan *plan;
    const AdvPlanTarget *t;
    const AdvBackend *be;
    void *self;                   /* of the back end */
    char why[256], device[160], data_digest[40];
    char *cache_dir, *library_dirs; /* copies: the back end looks there later, too */
    uint32_t n_threads, flags;
    int32_t check;                /* ADV_CHECK_*; the program raises it for a moment */

    AdvStateMem *states;          /* plan->n_states */
    void *state_mem, *const_mem, *temp_mem, *scratch_mem;
    uint64_t state_bytes, const_bytes, temp_bytes, scratch_bytes;
    void *staging;                /* back ends of other devices: the largest state, for copies */
    uint64_t staging_bytes;

    void *snap_mem, *ring_mem;    /* of other devices: a copy of STATE to go back to; logged values of steps the host has not seen */
    uint64_t ring_bytes;
    AdvBound *bound;              /* t->n_insts */
    AdvBound *lists;              /* n_lists: what runs a list as one, where the back end can */
    AdvView *views;               /* inputs, then outputs, of each instruction */
    uint32_t *view_value;         /* which plan value each is */
    uint32_t n_views, n_lists, n_on_ref, n_unbound;

    AdvMapping *maps;
    AdvHeld *held;
    AdvFeed *feeds;
    AdvFeed **feed_of;        /* of each instruction; NULL until the first source is bound */
    AdvChecks *checks;            /* when ADV_CHECK_REF */
    AdvProfile *profile;
    AdvRun *run;

    /* changes while running */
    AdvLoopPlace loops[ADV_PLAN_MAX_DEPTH];
    uint32_t n_loops;
    AdvRecord *records;           /* t->n_entries: how each entry is run; NULL on back ends that record nothing */
    uint32_t last_entries[4], n_last; /* entries launched since the device last answered, newest first */
    bool is_poisoned, is_busy, has_init;
    bool is_fault_told;           /* a diagnostic about the device's failure is there */
    atomic_int cancelled;
    atomic_uint n_refs;           /* the caller's handle, and each exported tensor */
};

/* Runs entry `ix` of the target, or puts it in line: other devices have not done it on return. No poisoning, no busy test. */
AdvStatus adv_session_run_entry(AdvSession *s, uint32_t ix, AdvDiags *ds) ADV_MUST_USE;
/* First values of the states (entry `init`, then weights that the recipe names), unless they have them: whoever uses states calls it. */
AdvStatus adv_session_init(AdvSession *s, AdvDiags *ds) ADV_MUST_USE;
/* ADV_EINVAL with its name if the entry reads data that is not bound. */
AdvStatus adv_session_check_bound(const AdvSession *s, uint32_t entry, AdvDiags *ds) ADV_MUST_USE;
/* Forgets recordings: an address, a kernel or a source changes. */
void adv_records_forget(AdvSession *s);
AdvStatus adv_records_open(AdvSession *s, AdvDiags *ds) ADV_MUST_USE;
void adv_records_close(AdvSession *s);
/* A failed status that may come from a device: adds what the device said and which entries it may belong to. Returns st. */
AdvStatus adv_device_fault(AdvSession *s, AdvStatus st, AdvDiags *ds);
/* Prepares all instructions anew, for choices that the back end was told to obey. */
AdvStatus adv_session_reprepare(AdvSession *s, AdvDiags *ds) ADV_MUST_USE;
static inline bool adv_inst_is_loop(const AdvSession *s, uint32_t inst)
{
    return (s->plan->op_defs[s->t->insts[inst].op]->flags & ADV_OP_STRUCT) != 0;
}

/* ADV_OK if the session takes calls now. */
AdvStatus adv_session_ready(const AdvSession *s, AdvDiags *ds) ADV_MUST_USE;

/* The end of a call of adv.h that gave a device work: waits until it is done, so that whoever has the session's memory finds it
** there, and says what the device said if it failed. Returns st, or that. */
AdvStatus adv_session_settle(AdvSession *s, AdvStatus st, AdvDiags *ds) ADV_MUST_USE;

/* Whole states to and from host memory, dense in the order the state has. */
AdvStatus adv_session_get_bytes(AdvSession *s, uint32_t state, void *to) ADV_MUST_USE;
AdvStatus adv_session_put_bytes(AdvSession *s, uint32_t state, const void *from) ADV_MUST_USE;

/* A state that is one number. `state` may be ADV_PLAN_NONE: then nothing happens (and 0 is read). */
AdvStatus adv_session_get_number(AdvSession *s, uint32_t state, double *out) ADV_MUST_USE;
AdvStatus adv_session_put_number(AdvSession *s, uint32_t state, double value) ADV_MUST_USE;

/* Memory of the back end; of no bytes too, so that pointers are never NULL. `what` stands in the message. */
AdvStatus adv_session_take(AdvSession *s, uint64_t n_bytes, const char *what, AdvDiags *ds, void **out) ADV_MUST_USE;

/* adv_session_bind, of memory of the session's device where on_device. */
AdvStatus adv_session_bind_view(AdvSession *s, const char *state, const AdvView *view, bool on_device, AdvDiags *ds) ADV_MUST_USE;

/* The memory of a data state changed: renew the views into it, and let go of the source, tensor or block that was bound before. */
void adv_session_rebind(AdvSession *s, uint32_t state, void *data);

/* View `ix` of the session (sig.in - s->views, ..) as the plan and the present memory have it. */
AdvView adv_session_view(const AdvSession *s, uint32_t ix);

static inline const char *adv_state_name(const AdvSession *s, uint32_t state) { return adv_plan_str(s->plan, s->plan->states[state].name); }

/* Does a checkpoint hold it? What the plan says, and single numbers always: counters, results, values of rate epoch. */
static inline bool adv_state_is_saved(const AdvSession *s, uint32_t state)
{
    const AdvPlanState *p = &s->plan->states[state];
    return p->kind != ADV_STATE_DATA && (p->saved || p->kind == ADV_STATE_SCALAR || (p->kind == ADV_STATE_METRIC && p->type.rank == 0));
}

/* ---- check.c: called around each launch when s->check says so ---- */
/* What checking needs; opened when first needed on other devices, since a check may begin in the middle of a run. */
AdvStatus adv_checks_open(AdvSession *s, AdvDiags *ds) ADV_MUST_USE;
void adv_checks_close(AdvSession *s);
AdvStatus adv_check_before(AdvSession *s, uint32_t inst, AdvDiags *ds) ADV_MUST_USE;
AdvStatus adv_check_after(AdvSession *s, uint32_t entry, uint32_t inst, AdvDiags *ds) ADV_MUST_USE;

/* ---- profile.c ---- */
AdvStatus adv_profile_open(AdvSession *s, AdvDiags *ds) ADV_MUST_USE;
void adv_profile_close(AdvSession *s);
void adv_profile_add(AdvSession *s, uint32_t entry, uint32_t inst, uint64_t at_ns, uint64_t ns);

/* ---- fault.c ---- */
/* A diagnostic at the recipe line of instruction `inst`, with the chain of its origin as notes and where it ran as chain. */
AdvDiag *adv_fault(AdvSession *s, AdvDiags *ds, AdvDiagId id, uint32_t entry, uint32_t inst, const char *fmt, ...) ADV_PRINTF(6, 7);
/* The innermost place in the recipe of an instruction, as a span of ds (sources are added if needed). */
AdvSpan adv_fault_span(const AdvPlan *plan, AdvDiags *ds, uint32_t loc);
/* Place of the first of instructions `first`.. that writes a state: where the recipe says what it shows. 0: none of them does. */
uint32_t adv_fault_writer(const AdvSession *s, uint32_t first, uint32_t n, uint32_t state);
/* The span of ds for text of the recipe itself; of no place where there is none. */
AdvSpan adv_recipe_span(const AdvPlan *plan, AdvDiags *ds, uint32_t off, uint32_t len);
/* As "recipe.adv:21", into text. */
void adv_fault_place(const AdvPlan *plan, uint32_t loc, char *text, size_t n_bytes);
/* Name and short description of operand `k` of an instruction (inputs, then outputs). */
const char *adv_operand_name(const AdvSession *s, uint32_t inst, uint32_t k);
/* The same, but NULL where the recipe gives it none; and the operand itself. */
const char *adv_operand_recipe_name(const AdvSession *s, uint32_t inst, uint32_t k);
const AdvPlanValue *adv_operand(const AdvSession *s, uint32_t inst, uint32_t k);

/* ---- data.c ---- */
void adv_mappings_close(AdvSession *s);
/* Lets go of files and copies that no state is bound to: the end of every call that binds. */
void adv_mappings_sweep(AdvSession *s);
/* "f32[24,2]", for messages about files. */
void adv_dims_text(uint32_t rank, const int64_t *dim, uint8_t dtype, char *text, size_t n_bytes);
/* Binds dense data of the state's shape and dtype (or f32 for f64); borrowed where it can be. */
AdvStatus adv_data_bind(AdvSession *s, uint32_t state, uint8_t dtype, const void *data, AdvDiags *ds) ADV_MUST_USE;
/* The same of memory of the session's device, of the state's dtype. Checks labels. */
AdvStatus adv_data_bind_device(AdvSession *s, uint32_t state, void *data, AdvDiags *ds) ADV_MUST_USE;
/* Is each of n labels a class of the plan? Of states that hold no labels: always. `who` brought them, e.g. a file's name. */
AdvStatus adv_data_check_labels(const AdvSession *s, uint32_t state, const void *labels, int64_t n, const char *who,
                                AdvDiags *ds) ADV_MUST_USE;
/* Is each number of n_rows images in 0 .. 1? Of states that hold none, and of other types than f32: always. ADV_EDATA. */
AdvStatus adv_data_check_images(const AdvSession *s, uint32_t state, uint8_t dtype, const void *data, int64_t n_rows, const char *who,
                                AdvDiags *ds) ADV_MUST_USE;

/* ---- feed.c ---- */
/* Fetches the rows that instruction `inst` is about to read from its source: another device is waited for, since it knows their
** numbers. ADV_EIO: the source failed. */
AdvStatus adv_feed_fill(AdvSession *s, AdvFeed *f, uint32_t inst, AdvDiags *ds) ADV_MUST_USE;
bool adv_state_is_fed(const AdvSession *s, uint32_t state);
/* Points the instructions that sources feed to their buffers, after all views were set anew. */
void adv_feeds_place(AdvSession *s);
void adv_feed_drop(AdvSession *s, uint32_t state);
void adv_feeds_close(AdvSession *s);

/* ---- dlpack.c ---- */
void adv_held_drop(AdvSession *s, uint32_t state);
void adv_held_close(AdvSession *s);

/* ---- weights.c ---- */
/* Reads the weights that the program starts models from; the entry `init` has run. */
AdvStatus adv_weights_of_program(AdvSession *s, AdvDiags *ds) ADV_MUST_USE;

/* ---- program.c ---- */
void adv_run_close(AdvSession *s);

#endif
