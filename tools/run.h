/* run.h: the parts of advrun: where a plan and its data come from, the run folder, and what people see. */
#ifndef ADV_TOOLS_RUN_H
#define ADV_TOOLS_RUN_H

#include "runtime/adv.h"
#include "tools/cli.h"

enum { RUN_PATH = 4096 };

/* ---- run_input.c ---- */

/* Bytes of a plan: read, or compiled in memory. */
typedef struct RunPlan {
    void *bytes;
    uint64_t n_bytes;
    bool is_compiled;
} RunPlan;

/* From a file; a name that ends in ".adv" is compiled with the --set options, for the device of the context. 0, or an exit code after a
** message. */
int run_plan_get(const Cli *cli, const char *path, AdvCtx *ctx, AdvDiags *ds, RunPlan *out);
void run_plan_free(RunPlan *p);

/* The file of a data set: --data (a folder or the file itself), $ADV_DATA, $XDG_CACHE_HOME/adv, ~/.cache/adv. */
void run_data_path(const Cli *cli, const char *name, char path[RUN_PATH]);

/* Where adv_cuda.so lies: --backend-dir, else the first of: the program's folder, ops/cuda of the build it is in, ../lib/adv of an
** installation. NULL: nowhere. */
const char *run_backend_dir(const Cli *cli, char path[RUN_PATH]);

/* The folder for compiled code: --cache, $XDG_CACHE_HOME/adv, ~/.cache/adv, made if it is not there. NULL: none can be had. */
const char *run_cache_dir(const Cli *cli, char path[RUN_PATH]);

/* ---- run_dir.c ---- */

/* Makes the folder of a new run: --run-dir, or runs/NAME, runs/NAME-2, ... 0 or an exit code after a message. */
int run_dir_new(const Cli *cli, const char *recipe, char dir[RUN_PATH]);

/* Keeps other processes from running in the folder for as long as this one lives, where the file system has locks. 0, or an exit code
** after a message. */
int run_dir_claim(const Cli *cli, const char *dir);

/* The newest folder under runs/ that holds this very plan, into dir; 0, or an exit code after a message that lists those of other plans. */
int run_dir_find(const Cli *cli, const RunPlan *plan, const char *recipe, char dir[RUN_PATH]);

/* Writes recipe.adv, plan and env.json into it. 0 or an exit code after a message. */
int run_dir_fill(const Cli *cli, const char *dir, const RunPlan *plan, const AdvPlan *p, const AdvSession *s, const char *data_path,
                 int argc, char **argv);

/* ---- run_show.c ---- */

enum { SHOW_NONE = 0, SHOW_PLAIN = 1, SHOW_LIVE = 2, SHOW_JSON = 3 };

typedef struct ShowMetric { char name[64], unit[16]; AdvMetric m; } ShowMetric;
typedef struct ShowRow { char eval[64], attack[64], weights[8]; AdvEvalRow r; } ShowRow;
enum { SHOW_MAX = 64 };

typedef struct Show {
    int mode;
    bool has_line;             /* a live line stands on the terminal */
    uint64_t shown_ns;         /* when something was last shown */
    int64_t first_step;        /* total step when this call began, or -1 */
    uint64_t first_ns;
    ShowMetric metrics[SHOW_MAX];  /* of the newest epoch */
    int n_metrics;
    int64_t metrics_epoch;
    ShowRow rows[SHOW_MAX];    /* of evaluations at the end, or of the only one */
    int n_rows;
    int64_t n_steps;
} Show;

void show_init(Show *s, const char *progress);
void show_first_screen(const AdvPlan *plan, const AdvSession *s, const char *plan_path, const char *data_path, const char *dir);
int32_t show_event(void *user, const AdvEvent *e);  /* an AdvTrainOpts.progress; user: Show */
void show_end_line(Show *s);                        /* the live line stays as it is; what follows is below it */
void show_results(const Show *s, const AdvPlan *plan, const char *dir);  /* to stdout */

#endif
