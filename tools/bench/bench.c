/* bench.c: training steps of ours and of PyTorch, side by side, and what else is promised of speed and memory.
**
**   bench [--threads=N] [--rounds=N] [--seconds=S] [--peer=FILE | --no-peer] [--recipes=FOLDER] [--profile] [CASE...]
**
** Without a CASE everything is measured, and the tables of docs/performance.md are printed at the end: the cases of cases.txt, then
** `open`, `advc`, `bandwidth` and `plugin`. Run it from the source folder.
**
** Each side of a case is a process of its own that runs steps when told to, so that memory is told apart and nothing of one
** side disturbs the other: ours (this program again, as `bench --worker RECIPE BATCH THREADS`), and torch_peer.py once in each
** memory format. They take turns, some steps each, for so many rounds; times are medians, and the faster format is PyTorch's.
** With --profile ours alone runs, and prints the time of each instruction.
**
** CPU seconds are what is comparable on a machine that others use too: set OMP_WAIT_POLICY=passive then, or waiting threads
** count as busy ones.
*/
#include "tools/bench/bench.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "bench [--threads=N] [--rounds=N] [--seconds=S] [--peer=FILE | --no-peer] [--recipes=FOLDER] [--profile] [CASE...]\n";

#define MAX_CASES 32

typedef struct Single { const char *name; bool (*run)(const Opts *o, Tables *t); } Single;
static const Single singles[] = {{"open", bench_open}, {"advc", bench_advc}, {"bandwidth", bench_bandwidth}, {"plugin", bench_plugin}};

static bool is_wanted(const char *name, int argc, char **argv)
{
    bool any = false;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') continue;
        if (!strcmp(argv[i], name)) return true;
        any = true;
    }
    return !any;
}

/* Reads RECIPES/cases.txt. Returns how many there are. */
static int read_cases(Opts *o, Case cases[MAX_CASES])
{
    char path[4096], line[256];
    int n = 0;
    snprintf(path, sizeof path, "%s/cases.txt", o->recipes);
    FILE *f = fopen(path, "r");
    while (f && n < MAX_CASES && fgets(line, sizeof line, f)) {
        Case *c = &cases[n];
        if (sscanf(line, "advc %127s", o->largest) == 1) continue;
        n += sscanf(line, "%31s %63s %15s %31s %31s %lf %lf", c->name, c->recipe, c->batch, c->network, c->method, &c->must, &c->aim) == 7;
    }
    if (f) fclose(f);
    return n;
}

static bool read_opts(Opts *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        value = value ? value + 1 : "";
        if (argv[i][0] != '-') continue;
        if (!strncmp(argv[i], "--threads=", 10)) o->n_threads = value;
        else if (!strncmp(argv[i], "--rounds=", 9)) o->n_rounds = (int)strtol(value, NULL, 10);
        else if (!strncmp(argv[i], "--seconds=", 10)) o->seconds = strtod(value, NULL);
        else if (!strncmp(argv[i], "--peer=", 7)) o->peer = value;
        else if (!strncmp(argv[i], "--recipes=", 10)) o->recipes = value;
        else if (!strcmp(argv[i], "--no-peer")) o->peer = NULL;
        else if (!strcmp(argv[i], "--profile")) o->profile = true;
        else return false;
    }
    return o->n_rounds > 0 && o->n_rounds <= MAX_ROUNDS && strtol(o->n_threads, NULL, 10) > 0;
}

static void print_tables(const Tables *t)
{
    if (t->n_speed)
        printf("\n| case | batch | ours, ms a step | PyTorch, ms a step (format) | ratio | by CPU time | must | aim | ours, MB | "
               "PyTorch, MB | memory |\n|---|---|---|---|---|---|---|---|---|---|---|\n%s",
               t->speed);
    if (t->n_single) printf("\n| what | measured | must |\n|---|---|---|\n%s", t->single);
}

int main(int argc, char **argv)
{
    static Case cases[MAX_CASES];
    static Tables tables;
    Opts o = {argv[0], "tools/bench/torch_peer.py", "tools/bench", 5, "2", 0.5, false, ""};
    int rc = 0;
    if (argc == 5 && !strcmp(argv[1], "--worker")) return bench_worker((const char *const *)argv + 2);
    if (argc == 5 && !strcmp(argv[1], "--opener")) return bench_opener((const char *const *)argv + 2);
    signal(SIGPIPE, SIG_IGN);
    if (!read_opts(&o, argc, argv)) {
        fputs(usage, stderr);
        return 64;
    }
    int n_cases = read_cases(&o, cases);
    if (!n_cases) fprintf(stderr, "bench: no cases in `%s/cases.txt`\n", o.recipes);
    for (int i = 0; i < n_cases; i++)
        if (is_wanted(cases[i].name, argc, argv) && !bench_speed(&cases[i], &o, &tables)) {
            fprintf(stderr, "bench: a side of case `%s` does not run\n", cases[i].name);
            rc = 1;
        }
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++)
        if (is_wanted(singles[i].name, argc, argv) && !singles[i].run(&o, &tables)) {
            fprintf(stderr, "bench: case `%s` does not run\n", singles[i].name);
            rc = 1;
        }
    print_tables(&tables);
    return n_cases ? rc : 66;
}
