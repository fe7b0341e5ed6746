/* recipe_run.h: a recipe compiled in memory and opened, on made-up data of the right shape: images of random bytes, labels that
** cycle. For tests that run steps and look at states.
**
**   RecipeRun *x = recipe_run_open(r, &(RecipeRunOpts){.backend = "ref", .targets = "ref"});
**   CHECK_EQ(recipe_run_step(x, 0), ADV_OK);             // `batch` and the step, as step 0 of epoch 1
**   double loss = recipe_run_get(x, "metric.loss");
**   recipe_run_close(x);
**
** `init` has run. An unknown state ends the program: a test's mistake. Not thread-safe.
*/
#ifndef ADV_TESTS_RECIPE_RUN_H
#define ADV_TESTS_RECIPE_RUN_H

#include "runtime/adv.h"
#include "tests/compiler/recipe.h"

typedef struct RecipeRun {
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan;
    AdvSession *s;
    void *bytes;
    uint64_t n_bytes;
} RecipeRun;

typedef struct RecipeRunOpts {
    const char *targets, *skip;   /* of the compiler; targets NULL: `target` alone */
    const char *backend, *target; /* of the session; target NULL: "ref" */
    bool strict;
    int32_t check;                /* ADV_CHECK_* */
    const char *backend_dir, *cache_dir;
} RecipeRunOpts;

/* NULL after printing why not. */
RecipeRun *recipe_run_open(const Recipe *r, const RecipeRunOpts *o);
/* By definitions, on a target; ends the program where it cannot. */
RecipeRun *recipe_run_on(const Recipe *r, const char *target);
void recipe_run_close(RecipeRun *x);

/* Runs an entry; prints diagnostics of a failure. */
AdvStatus recipe_run_entry(RecipeRun *x, const char *entry);
/* `batch` and then every entry `step.` (one a phase) as step `step` (0..) of epoch 1. */
AdvStatus recipe_run_step(RecipeRun *x, int64_t step);
/* Entries of the session's plan by index, NULL beyond the end. */
const char *recipe_run_entry_name(const RecipeRun *x, uint32_t ix);

bool recipe_run_has(const RecipeRun *x, const char *state);
double recipe_run_get(const RecipeRun *x, const char *state);
/* All numbers of a state, to be freed. */
double *recipe_run_read(const RecipeRun *x, const char *state, int64_t *out_n);
/* One of them (NAN beyond the end); all together. */
double recipe_run_at(const RecipeRun *x, const char *state, int64_t i);
double recipe_run_sum(const RecipeRun *x, const char *state);
void recipe_run_write(RecipeRun *x, const char *state, const double *values);
/* Of the bytes of every state that is trained, kept or logged, by name. */
uint64_t recipe_run_digest(const RecipeRun *x);
/* First state whose name does not begin with `but` and whose numbers differ; NULL: none. Both must have the same states. */
const char *recipe_run_differs(const RecipeRun *a, const RecipeRun *b, const char *but);
/* First state of these runs that holds a NaN or an infinity; NULL: none. */
const char *recipe_run_not_finite(const RecipeRun *x);

#endif
