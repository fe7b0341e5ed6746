/* cli.c: see cli.h. */
#include "tools/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- messages --------------------------------------------------------------------------------------------------------------- */

void cli_put_json(void *file, const char *s)
{
    FILE *f = file;
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') fprintf(f, "\\%c", *s);
        else if ((unsigned char)*s < 32) fprintf(f, "\\u%04x", (unsigned)*s);
        else fputc(*s, f);
    }
    fputc('"', f);
}

/* JSON: the members of a diagnostic's object. */
int cli_fail(const Cli *cli, int code, const char *fmt, ...)
{
    const char *format = cli_get(cli, "message-format");
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!format || strcmp(format, "json")) {
        fprintf(stderr, "%s: %s%s\n", cli->program->name, format && !strcmp(format, "short") ? "error: " : "", text);
        return code;
    }
    fputs("{\"level\":\"error\",\"code\":\"\",\"lint\":\"\",\"message\":", stderr);
    cli_put_json(stderr, text);
    fputs(",\"spans\":[],\"notes\":[],\"helps\":[],\"chain\":[]}\n", stderr);
    return code;
}

int cli_fail_input(const Cli *cli, const char *path)
{
    int code = errno == ENOENT ? EXIT_NO_INPUT : EXIT_IO;
    return cli_fail(cli, code, "cannot read `%s`: %s", path, strerror(errno));
}

int cli_end(const Cli *cli, int rc)
{
    if (!fflush(stdout) && !ferror(stdout)) return rc;
    int code = cli_fail(cli, EXIT_IO, "cannot write to standard output");
    return rc ? rc : code;
}

static void to_stderr(void *user, const char *text, size_t n)
{
    (void)user;
    fwrite(text, 1, n, stderr);
}

void cli_report(const Cli *cli, const AdvDiags *ds)
{
    const char *format = cli_get(cli, "message-format"), *term = getenv("TERM");
    bool has_colour = isatty(2) && !(term && !strcmp(term, "dumb"));
    int how = !format || !strcmp(format, "human") ? (has_colour ? ADV_PRINT_COLOR : ADV_PRINT_HUMAN)
              : !strcmp(format, "json")           ? ADV_PRINT_JSON
                                                  : ADV_PRINT_SHORT;
    adv_diags_render(ds, how, to_stderr, NULL);
}

/* ---- parsing ------------------------------------------------------------------------------------------------------------------ */

static const CliOption *find(const CliOption *options, const char *name, size_t n)
{
    for (; options->name; options++)
        if (strlen(options->name) == n && !strncmp(options->name, name, n)) return options;
    return NULL;
}

/* "a|b|c" as "a, b, c"; is `value` one of them? */
static bool is_choice(const char *choices, const char *value, char list[256])
{
    bool found = false;
    size_t n = 0;
    for (const char *c = choices; *c; c += strcspn(c, "|"), c += *c == '|') {
        size_t len = strcspn(c, "|");
        found |= strlen(value) == len && !strncmp(c, value, len);
        if (n < 250) n += (size_t)snprintf(list + n, 256 - n, "%s%.*s", n ? ", " : "", (int)len, c);
    }
    return found;
}

/* Could a be b mistyped: one letter more, less or another, or two neighbours swapped? */
static bool is_near(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), from = 0, behind = 0;
    while (from < n && from < m && a[from] == b[from]) from++;
    while (behind < n - from && behind < m - from && a[n - 1 - behind] == b[m - 1 - behind]) behind++;
    n -= from + behind;
    m -= from + behind;
    return (n <= 1 && m <= 1) || (n == 2 && m == 2 && a[from] == b[from + 1] && a[from + 1] == b[from]);
}

static bool no_option(const Cli *cli, const char *word, const char *name, size_t n)
{
    char written[64];
    snprintf(written, sizeof written, "%.*s", (int)n, name);
    for (const CliOption *o = cli->program->options; n > 1 && o->name; o++)
        if (is_near(written, o->name)) return cli_fail(cli, false, "no option `%s`; did you mean `--%s`?", word, o->name);
    return cli_fail(cli, false, "no option `%s`; see --help", word);
}

static bool one(Cli *cli, int argc, char **argv, int *i)
{
    const char *word = argv[*i], *name = word + (word[1] == '-' ? 2 : 1), *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    const CliOption *o = word[1] == '-' || n == 1 ? find(cli->program->options, name, n) : NULL;
    const char *value = eq ? eq + 1 : "";
    char list[256];
    if (!o) return no_option(cli, word, name, n);
    bool optional = o->arg[0] == '[';
    if (!o->arg[0] && eq) return cli_fail(cli, false, "`--%s` takes no value", o->name);
    if (o->arg[0] && !optional && !eq) {
        if (*i + 1 >= argc) return cli_fail(cli, false, "`--%s` needs %s", o->name, o->arg);
        value = argv[++*i];
    }
    if (strchr(o->arg, '=') && !strchr(value, '=')) return cli_fail(cli, false, "`--%s` takes %s, not `%s`", o->name, o->arg, value);
    if (o->choices && !is_choice(o->choices, value, list))
        return cli_fail(cli, false, "`--%s` is one of %s, not `%s`", o->name, list, value);
    if (!o->many && cli_get(cli, o->name)) return cli_fail(cli, false, "`--%s` is given twice", o->name);
    if (cli->n_given == CLI_MAX) return cli_fail(cli, false, "too many options");
    cli->given[cli->n_given].name = o->name;
    cli->given[cli->n_given++].value = value;
    return true;
}

bool cli_parse(Cli *cli, const CliProgram *program, int argc, char **argv)
{
    bool only_args = false;
    memset(cli, 0, sizeof *cli);
    cli->program = program;
    for (int i = 1; i < argc; i++) {
        if (!only_args && !strcmp(argv[i], "--")) { only_args = true; continue; }
        if (!only_args && argv[i][0] == '-' && argv[i][1]) {
            if (!one(cli, argc, argv, &i)) return false;
            continue;
        }
        if (cli->n_args == CLI_MAX) return cli_fail(cli, false, "too many arguments");
        cli->args[cli->n_args++] = argv[i];
    }
    return true;
}

bool cli_common(const Cli *cli)
{
    if (cli_get(cli, "help")) cli_print_help(cli->program);
    else if (cli_get(cli, "completion")) cli_print_completion(cli->program);
    else if (cli_get(cli, "man") && !cli->n_args) cli_print_man(cli->program);
    else return false;
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

uint32_t cli_all(const Cli *cli, const char *name, const char *values[CLI_MAX])
{
    uint32_t n = 0;
    for (size_t i = 0; i < cli->n_given; i++)
        if (!strcmp(cli->given[i].name, name)) values[n++] = cli->given[i].value;
    return n;
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
    return cli_fail(cli, false, "`--%s` needs a whole number from %lld to %lld, not `%s`", name, lo, hi, s);
}

int cli_usage(const Cli *cli)
{
    const CliProgram *p = cli->program;
    const CliVerb *v = p->verbs;
    bool has_verbs = false, needs_verb = true;
    if (!cli->n_args) {
        cli_print_usage(p, stderr);
        return EXIT_USAGE;
    }
    for (; v->name && strcmp(v->name, cli->args[0]); v++) {
        if (v->name[0]) has_verbs = true;
        else needs_verb = false;
    }
    if (v->name)
        return cli_fail(cli, EXIT_USAGE, "`%s` is called like this: %s %s%s%s (%s)", v->name, p->name, v->name,
                        v->args[0] ? " " : "", v->args, v->doc);
    if (!has_verbs) return cli_fail(cli, EXIT_USAGE, "one argument, not %zu; see --help", cli->n_args);
    for (v = p->verbs; v->name; v++)
        if (v->name[0] && is_near(cli->args[0], v->name))
            return cli_fail(cli, EXIT_USAGE, "`%s` is no verb; did you mean `%s`?", cli->args[0], v->name);
    return cli_fail(cli, EXIT_USAGE, "`%s` is no verb%s; see --help", cli->args[0],
                    needs_verb ? "" : ", and without a verb there is one argument");
}
