/* run.h: a run of a plan's program: where it stands, what it has gathered, and the parts that move it on.
**
** AdvPlace and the arrays below are all that a checkpoint holds beside the states, so that resuming is exact at any step and
** any batch of an evaluation. Nothing in them depends on time.
*/
#ifndef ADV_RUNTIME_RUN_H
#define ADV_RUNTIME_RUN_H

#include "runtime/session.h"

/* Where the program stands. Numbers are written into checkpoints. */
enum {
    ADV_AT_STEPS = 0,      /* before step `step` of epoch `epoch` */
    ADV_AT_EVALS = 1,      /* evaluations after an epoch */
    ADV_AT_FINAL = 2,      /* those at the end, of the last weights */
    ADV_AT_FINAL_BEST = 3, /* and of the kept ones */
    ADV_AT_DONE = 4
};

typedef struct AdvPlace {
    int64_t where;
    int64_t epoch, step;        /* epoch from 1; steps done in it */
    int64_t total_step;
    int64_t is_started;         /* `init` has run */
    int64_t is_epoch_open;      /* the phase's epoch entry has run */
    int64_t eval, stage, next;  /* evaluation, its stage, samples done in the stage */
    int64_t n_correct;          /* in the stage */
    int64_t n_rows, row_first;  /* of rows[]; where those of the present evaluation begin */
    int64_t best_epoch, best_step;
    int64_t event_bytes;        /* length of events.jsonl */
} AdvPlace;
#define ADV_PLACE_NUMBERS (sizeof(AdvPlace) / sizeof(int64_t))

/* Do the logged values of an epoch exist there? From its first step until the next epoch opens. */
static inline bool adv_place_has_logs(const AdvPlace *at) { return at->is_epoch_open || at->where != ADV_AT_STEPS; }

typedef struct AdvSums { double best, dist_sum, dist_max; } AdvSums;

/* A result of an evaluation: integers, then numbers, each group stored as it is. */
typedef struct AdvRowInts { int64_t eval, stage, is_best, epoch, n, n_correct; } AdvRowInts;
typedef struct AdvRowNums { double dist_mean, dist_max; } AdvRowNums;

/* What evaluations have found. */
typedef struct AdvTally {
    AdvRowInts *row_ints;         /* n_max_rows, of which the place counts n_rows; so the next two */
    AdvRowNums *row_nums;
    int64_t *row_classes;         /* n_max_rows x n_classes x {right, all} */
    int64_t *classes;             /* n_classes x {right, all}: of the present stage */
    uint8_t *flags;               /* a byte a sample of the present evaluation: ALIVE, RIGHT */
    int64_t *todo;                /* the samples of the present stage: n_todo */
    int64_t n_todo;
} AdvTally;

/* A logged value over the present epoch. */
typedef struct AdvLogSum {
    double sum, last;
    int64_t n;        /* numbers added */
    float *values;    /* SAMPLE: all of them, `cap` at most */
    int64_t cap;
} AdvLogSum;

struct AdvRun {
    AdvSession *s;
    const AdvProgramDef *p;
    AdvPlace at;
    AdvSums sums;
    AdvLogSum *logs;              /* p->n_logs */
    AdvMetric *metrics;           /* for events: n_metrics, those that the present phase computes; room for p->n_logs */
    uint32_t n_metrics;
    AdvTally tally, aside;        /* of the program; and room for one evaluation aside from it, whose tally `tally` is meanwhile */
    AdvEvalRow *rows;             /* for events: n_rows_told of the newest evaluation */
    uint32_t n_rows_told;
    uint32_t n_max_rows;
    int64_t n_classes;            /* 0: not counted */
    int64_t n_max_eval;           /* samples of the largest evaluation */
    void *slot;                   /* host copy of one batch of a slot, 8 bytes an element */
    int64_t n_slot;
    char *best_mem, *last_mem;    /* saved states at the best epoch; those that the best ones replace for a while */
    bool is_swapped;
    int64_t best_event_bytes;     /* length of events.jsonl when they were */
    uint64_t saved_bytes;
    char *snap_mem;               /* all states at step snap_step of this epoch, in memory of the device */
    int64_t snap_step;            /* -1: none */
    char *ring;                   /* logged values of steps that another device has done: s->ring_bytes */
    int64_t n_ahead;              /* steps it may do before the host looks */

    bool has_told_bounds, has_told_negative;
    uint8_t *told;                /* by number of a stage: has its distance been warned of? */

    /* of the present call */
    AdvTrainOpts o;
    int events_fd;                /* -1: none */
    bool wants_stop, best_is_unsaved, is_resumed;
    bool is_eval_bad;             /* an evaluation met numbers that are none: states and place are as before its batch */
    uint64_t begin_ns, saved_ns;
    int64_t saved_step;
    char dir[ADV_PATH_BYTES];     /* the run folder of the newest checkpoint, or "" */
    char best_dir[32], prev_dir[32], this_dir[32];  /* folder names in it, or "" */
    int64_t prev_best_step;
};

enum { ADV_FLAG_ALIVE = 1, ADV_FLAG_RIGHT = 2 };

/* Sends an event to the caller, and remembers a wish to stop. */
void adv_run_event(AdvRun *r, AdvEvent *e);

/* Runs one entry by name. */
AdvStatus adv_run_entry(AdvRun *r, const char *name, AdvDiags *ds) ADV_MUST_USE;

/* Copies all saved states to / from `mem` (saved_bytes). */
AdvStatus adv_run_store(AdvRun *r, char *mem) ADV_MUST_USE;
AdvStatus adv_run_restore(AdvRun *r, const char *mem) ADV_MUST_USE;

/* ---- metrics.c ---- */
void adv_logs_reset(AdvRun *r);
/* Another device: keeps the logged values of the step just put in line, as the k-th; then brings all to the host and waits. */
AdvStatus adv_logs_stage(AdvRun *r, int64_t k) ADV_MUST_USE;
AdvStatus adv_logs_fetch(AdvRun *r) ADV_MUST_USE;
/* Adds the logged values of the k-th of the steps just done. ADV_ENUMERIC: one is not finite; *out_log says which. */
AdvStatus adv_logs_add(AdvRun *r, int64_t k, uint32_t *out_log) ADV_MUST_USE;
void adv_logs_step(AdvRun *r);    /* r->metrics of the step just added */
void adv_logs_epoch(AdvRun *r);   /* r->metrics over the epoch, the values gathered in order of size */
/* After adv_logs_epoch, once a session: a warning if every number of a log lay at one of its bounds, and if a radius was below 0. */
void adv_logs_tell_bounds(AdvRun *r);

/* ---- eval.c ---- */
/* Is evaluation `ix` due at the present place? */
bool adv_eval_is_due(const AdvRun *r, uint32_t ix);
/* Does one batch of evaluation r->at.eval; *out_ended when that was its last. */
AdvStatus adv_eval_advance(AdvRun *r, AdvDiags *ds, bool *out_ended) ADV_MUST_USE;
/* Starts evaluation `ix` from its first stage. */
void adv_eval_begin(AdvRun *r, uint32_t ix);
/* Finds what the present stage has to do, after a resume. */
void adv_eval_resume(AdvRun *r);
/* Rows first.. of `n` as AdvEvalRow in r->rows. */
void adv_eval_rows(AdvRun *r, int64_t first, int64_t n);

/* ---- events.c: the run folder's events.jsonl and eval-*.json ---- */
AdvStatus adv_events_open(AdvRun *r, AdvDiags *ds) ADV_MUST_USE;
void adv_events_close(AdvRun *r);
AdvStatus adv_events_step(AdvRun *r, AdvDiags *ds) ADV_MUST_USE;
AdvStatus adv_events_epoch(AdvRun *r, AdvDiags *ds) ADV_MUST_USE;
AdvStatus adv_events_eval(AdvRun *r, int64_t first, int64_t n, AdvDiags *ds) ADV_MUST_USE;
AdvStatus adv_events_note(AdvRun *r, const char *kind, AdvDiags *ds) ADV_MUST_USE;
/* eval-NAME.json: all rows of evaluation `ix` so far. */
AdvStatus adv_events_result(AdvRun *r, uint32_t ix, AdvDiags *ds) ADV_MUST_USE;

/* ---- checkpoint.c ---- */
AdvStatus adv_checkpoint_save(AdvRun *r, const char *dir, AdvDiags *ds) ADV_MUST_USE;
AdvStatus adv_checkpoint_load(AdvRun *r, const char *dir, AdvDiags *ds) ADV_MUST_USE;

#endif
