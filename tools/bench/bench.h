/* bench.h: what the files of the benchmark share. */
#ifndef ADV_TOOLS_BENCH_H
#define ADV_TOOLS_BENCH_H

#include "runtime/adv.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#define MAX_ROUNDS 99

typedef struct Opts {
    const char *self, *peer, *recipes; /* peer: NULL for none; recipes: folder, with the list of cases */
    int n_rounds;
    const char *n_threads;
    double seconds;
    bool profile;
    char largest[128];                 /* the recipe that case `advc` compiles */
} Opts;

/* A line of cases.txt. */
typedef struct Case { char name[32], recipe[64], batch[16], network[32], method[32]; double must, aim; } Case;

/* Tables that are printed when all has run. */
typedef struct Tables {
    char speed[8192], single[4096];
    size_t n_speed, n_single;
} Tables;

/* ---- measuring (worker.c) ---- */

double bench_clock(clockid_t clock);              /* seconds */
double bench_median(const double *v, int n);      /* n <= MAX_ROUNDS */
/* What n_threads threads copy far beyond the caches, bytes read and written, in GB/s. */
double bench_copy_rate(int n_threads);

/* ---- ours (worker.c) ---- */

/* A process of its own that runs steps of a recipe when told to: argv is RECIPE BATCH THREADS. Returns its exit status. */
int bench_worker(const char *const *argv);
/* A process of its own that opens a session and prints `SECONDS CPU_SECONDS` of that. */
int bench_opener(const char *const *argv);
/* Ours alone: so many steps, then `write` gets the profile. */
bool bench_profile(const char *const *argv, int n_steps, void (*write)(void *user, const char *text, size_t n_bytes), void *user);
void bench_to_stdout(void *user, const char *text, size_t n_bytes);

/* ---- the cases; each prints its lines, adds to the tables, and returns whether it ran ---- */

bool bench_speed(const Case *c, const Opts *o, Tables *t);       /* sides.c: ours and the peer, side by side */
bool bench_open(const Opts *o, Tables *t);                       /* single.c: opening a session for ResNet-18 */
bool bench_advc(const Opts *o, Tables *t);                       /* compiling the largest recipe for both targets */
bool bench_bandwidth(const Opts *o, Tables *t);                  /* elementwise groups and updates against a copy */
bool bench_plugin(const Opts *o, Tables *t);                     /* elementwise groups of a plugin's rows against the same of ours */

#endif
