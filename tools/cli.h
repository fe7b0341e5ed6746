/* cli.h: command lines from a table: one row an option, one a verb, used for parsing, --help, completion and manual pages alike. */
#ifndef ADV_TOOLS_CLI_H
#define ADV_TOOLS_CLI_H

#include "runtime/adv.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit codes that no AdvStatus gives; the others are those of adv_status_exit. */
enum { EXIT_USAGE = 64, EXIT_NO_INPUT = 66, EXIT_BUG = 70, EXIT_IO = 74 };

typedef struct CliOption {
    const char *name;    /* without the dashes; one letter is also taken with a single dash */
    const char *arg;     /* what its value is called in --help, "" for a switch; "[X]": the value may be left out */
    const char *doc;
    bool many;           /* may be given more than once */
    const char *choices; /* "human|short|json": all values there are; NULL: any */
} CliOption;

typedef struct CliVerb {
    const char *name; /* "": what the program does without a verb */
    const char *args; /* as --help shows them, e.g. "recipe.adv..." */
    const char *doc;
} CliVerb;

typedef struct CliProgram {
    const char *name, *about;
    const CliVerb *verbs;      /* ended by name NULL */
    const CliOption *options;  /* ended by name NULL */
    const char *more;          /* paragraphs of the manual page, split by empty lines; or NULL */
} CliProgram;

/* What every program has, to stand last in its table; cli_common obeys them. */
#define CLI_COMMON \
    {"message-format", "FORMAT", "how messages are written: human, short, json (human)", false, "human|short|json"}, \
    {"completion", "SHELL", "print the completion of this program for a shell", false, "bash"}, \
    {"man", "", "print the manual page of this program", false, NULL}, \
    {"help", "", "print this", false, NULL}, \
    {NULL, NULL, NULL, false, NULL}

#define CLI_MAX 128

typedef struct Cli {
    const CliProgram *program;
    struct { const char *name, *value; } given[CLI_MAX];
    size_t n_given;
    const char *args[CLI_MAX]; /* what is no option */
    size_t n_args;
} Cli;

/* Parses argv[1..]. "--name=value", "--name value" (not where the value may be left out), "-o value", "--" ends options.
** False after one message on stderr: exit with 64. */
bool cli_parse(Cli *cli, const CliProgram *program, int argc, char **argv);

/* Prints what --help, --completion or --man asked for, if one of them did. */
bool cli_common(const Cli *cli);

/* The value of an option ("" for a switch), the last one given; NULL if it was not given. */
const char *cli_get(const Cli *cli, const char *name);

/* The k-th value of an option that may be repeated, or NULL. */
const char *cli_get_nth(const Cli *cli, const char *name, size_t k);
/* All of them; their number. */
uint32_t cli_all(const Cli *cli, const char *name, const char *values[CLI_MAX]);

/* A whole number of an option within lo..hi, or `dflt` if it is not given. False after one message on stderr. */
bool cli_get_int(const Cli *cli, const char *name, long long lo, long long hi, long long dflt, long long *out);

/* One message on stderr in the form that --message-format asks for; `code` is returned, so that `return cli_fail(...)` reads well. */
int cli_fail(const Cli *cli, int code, const char *fmt, ...) ADV_PRINTF(3, 4);
/* For the end of main: the exit code `rc`, or 74 after a message if standard output did not take all that was printed. */
int cli_end(const Cli *cli, int rc);
/* errno of a file that could not be read: 66 or 74. */
int cli_fail_input(const Cli *cli, const char *path);

/* A text as JSON, to a FILE. */
void cli_put_json(void *file, const char *s);

/* Diagnostics to stderr in that form, in colour on a terminal. */
void cli_report(const Cli *cli, const AdvDiags *ds);

/* For arguments that are too few or too many: how the verb that was given is called, or without any argument how the program is, to
** stderr; returns 64. */
int cli_usage(const Cli *cli);

/* ---- cli_pages.c: what is printed from the table ---- */
void cli_print_usage(const CliProgram *p, void *file);
void cli_print_help(const CliProgram *p);
void cli_print_completion(const CliProgram *p);
void cli_print_man(const CliProgram *p);

#endif
