/* cli.c: see cli.h. */
#include "tools/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const CliOption *find(const CliOption *options, const char *name, size_t n)
{
    for (; options->name; options++)
        if (strlen(options->name) == n && !strncmp(options->name, name, n)) return options;
    return NULL;
}

static const char *program(char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    return slash ? slash + 1 : argv[0];
}

static bool one(Cli *cli, int argc, char **argv, int *i)
{
    const char *word = argv[*i], *name = word + (word[1] == '-' ? 2 : 1), *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    const CliOption *o = word[1] == '-' || n == 1 ? find(cli->options, name, n) : NULL;
    const char *value = eq ? eq + 1 : "";
    if (!o) {
        fprintf(stderr, "%s: no option `%s`; see --help\n", program(argv), word);
        return false;
    }
    bool optional = o->arg[0] == '[';
    if (!o->arg[0] && eq) {
        fprintf(stderr, "%s: `--%s` takes no value\n", program(argv), o->name);
        return false;
    }
    if (o->arg[0] && !optional && !eq) {
        if (*i + 1 >= argc) {
            fprintf(stderr, "%s: `--%s` needs %s\n", program(argv), o->name, o->arg);
            return false;
        }
        value = argv[++*i];
    }
    if (!o->many && cli_get(cli, o->name)) {
        fprintf(stderr, "%s: `--%s` is given twice\n", program(argv), o->name);
        return false;
    }
    if (cli->n_given == CLI_MAX) {
        fprintf(stderr, "%s: too many options\n", program(argv));
        return false;
    }
    cli->given[cli->n_given].name = o->name;
    cli->given[cli->n_given++].value = value;
    return true;
}

bool cli_parse(Cli *cli, const CliOption *options, int argc, char **argv)
{
    bool only_args = false;
    memset(cli, 0, sizeof *cli);
    cli->options = options;
    for (int i = 1; i < argc; i++) {
        if (!only_args && !strcmp(argv[i], "--")) { only_args = true; continue; }
        if (!only_args && argv[i][0] == '-' && argv[i][1]) {
            if (!one(cli, argc, argv, &i)) return false;
            continue;
        }
        if (cli->n_args == CLI_MAX) {
            fprintf(stderr, "%s: too many arguments\n", program(argv));
            return false;
        }
        cli->args[cli->n_args++] = argv[i];
    }
    return true;
}

const char *cli_get(const Cli *cli, const char *name)
{
    const char *found = NULL;
    for (size_t i = 0; i < cli->n_given; i++)
        if (!strcmp(cli->given[i].name, name)) found = cli->given[i].value;
    return found;
}

const char *cli_get_nth(const Cli *cli, const char *name, size_t k)
{
    for (size_t i = 0; i < cli->n_given; i++)
        if (!strcmp(cli->given[i].name, name) && k-- == 0) return cli->given[i].value;
    return NULL;
}

bool cli_get_int(const Cli *cli, const char *name, long long lo, long long hi, long long dflt, long long *out)
{
    const char *s = cli_get(cli, name);
    char *stop;
    *out = dflt;
    if (!s) return true;
    errno = 0;
    *out = strtoll(s, &stop, 10);
    if (!errno && stop != s && !*stop && *out >= lo && *out <= hi) return true;
    fprintf(stderr, "`--%s` needs a whole number from %lld to %lld, not `%s`\n", name, lo, hi, s);
    return false;
}

void cli_help(const CliOption *options, const char *usage)
{
    printf("%s\n", usage);
    for (; options->name; options++) {
        char left[64];
        bool optional = options->arg[0] == '[';
        snprintf(left, sizeof left, "%s%s%s%.*s", strlen(options->name) == 1 ? "-" : "--", options->name, options->arg[0] ? (optional ? "[=" : strlen(options->name) == 1 ? " " : "=") : "",
                 (int)sizeof left - 40, optional ? options->arg + 1 : options->arg);
        printf("  %-26s %s\n", left, options->doc);
    }
}
