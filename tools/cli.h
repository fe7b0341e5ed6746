/* cli.h: command lines from a table: one row an option, used for parsing and for --help alike. */
#ifndef ADV_TOOLS_CLI_H
#define ADV_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>

typedef struct CliOption {
    const char *name;  /* without the dashes; one letter is also taken with a single dash */
    const char *arg;   /* what its value is called in --help, "" for a switch; "[X]": the value may be left out */
    const char *doc;
    bool many;         /* may be given more than once */
} CliOption;

#define CLI_MAX 128

typedef struct Cli {
    const CliOption *options;  /* ended by name NULL */
    struct { const char *name, *value; } given[CLI_MAX];
    size_t n_given;
    const char *args[CLI_MAX]; /* what is no option */
    size_t n_args;
} Cli;

/* Parses argv[1..]. "--name=value", "--name value" (not where the value may be left out), "-o value", "--" ends options.
** False after one line on stderr: exit with 64. */
bool cli_parse(Cli *cli, const CliOption *options, int argc, char **argv);

/* The value of an option ("" for a switch), the last one given; NULL if it was not given. */
const char *cli_get(const Cli *cli, const char *name);

/* The k-th value of an option that may be repeated, or NULL. */
const char *cli_get_nth(const Cli *cli, const char *name, size_t k);

/* A whole number of an option within lo..hi, or `dflt` if it is not given. False after one line on stderr. */
bool cli_get_int(const Cli *cli, const char *name, long long lo, long long hi, long long dflt, long long *out);

/* Prints the table to stdout, after `usage`. */
void cli_help(const CliOption *options, const char *usage);

#endif
