/* cli_pages.c: --help, completion and manual page of a program, from its tables. */
#include "tools/cli.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool is_short(const CliOption *o) { return strlen(o->name) == 1; }
static bool is_optional(const CliOption *o) { return o->arg[0] == '['; }

/* "--set=NAME=VALUE", "-o FILE", "--resume[=FOLDER]" */
static void put_left(char to[96], const CliOption *o)
{
    const char *sign = !o->arg[0] ? "" : is_optional(o) ? "[=" : is_short(o) ? " " : "=";
    snprintf(to, 96, "%s%s%s%s", is_short(o) ? "-" : "--", o->name, sign, is_optional(o) ? o->arg + 1 : o->arg);
}

static int width(const CliProgram *p)
{
    int most = 0;
    for (const CliVerb *v = p->verbs; v->name; v++) {
        int n = (int)(strlen(v->name) + strlen(v->args)) + 1;
        if (n > most) most = n;
    }
    return most;
}

void cli_print_usage(const CliProgram *p, void *file)
{
    fprintf(file, "%s: %s\n\n", p->name, p->about);
    for (const CliVerb *v = p->verbs; v->name; v++) {
        char call[256];
        snprintf(call, sizeof call, "%s%s%s", v->name, v->name[0] && v->args[0] ? " " : "", v->args);
        fprintf(file, "  %s %-*s  %s\n", p->name, width(p), call, v->doc);
    }
}

void cli_print_help(const CliProgram *p)
{
    char left[96];
    cli_print_usage(p, stdout);
    printf("\n");
    for (const CliOption *o = p->options; o->name; o++) {
        put_left(left, o);
        printf("  %-26s %s\n", left, o->doc);
    }
}

/* ---- completion -------------------------------------------------------------------------------------------------------------- */

static void put_words(const char *choices)
{
    for (; *choices; choices++) putchar(*choices == '|' ? ' ' : *choices);
}

/* Values behind `--option=`: bash hands the word, `=` and what follows as words of their own. */
static void put_values(const CliProgram *p)
{
    for (const CliOption *o = p->options; o->name; o++) {
        if (!o->choices) continue;
        printf("    --%s) COMPREPLY=($(compgen -W '", o->name);
        put_words(o->choices);
        printf("' -- \"$cur\")); return ;;\n");
    }
}

void cli_print_completion(const CliProgram *p)
{
    printf("# completion of %s for bash, made by `%s --completion=bash`\n_%s() {\n", p->name, p->name, p->name);
    printf("  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
           "  if [ \"$cur\" = '=' ]; then cur=''; elif [ \"$prev\" = '=' ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
           "  case $prev in\n");
    put_values(p);
    printf("  esac\n  case $cur in\n    -*) COMPREPLY=($(compgen -W '");
    for (const CliOption *o = p->options; o->name; o++)
        printf("%s%s%s%s", o == p->options ? "" : " ", is_short(o) ? "-" : "--", o->name,
               o->arg[0] && !is_optional(o) && !is_short(o) ? "=" : "");
    printf("' -- \"$cur\"))\n        case ${COMPREPLY[0]-} in *=) compopt -o nospace ;; esac; return ;;\n  esac\n  COMPREPLY=($(compgen -f "
           "-- \"$cur\"))\n");
    printf("  if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY+=($(compgen -W '");
    for (const CliVerb *v = p->verbs; v->name; v++) printf("%s%s", v == p->verbs || !v->name[0] ? "" : " ", v->name);
    printf("' -- \"$cur\")); fi\n}\ncomplete -o filenames -F _%s %s\n", p->name, p->name);
}

/* ---- manual page ------------------------------------------------------------------------------------------------------------- */

/* Roff: hyphens that are to be typed, backslashes, and a period or quote that begins a line. */
static void put_roff(const char *s)
{
    if (*s == '.' || *s == '\'') fputs("\\&", stdout);
    for (; *s; s++) {
        if (*s == '\\') fputs("\\e", stdout);
        else if (*s == '-') fputs("\\-", stdout);
        else putchar(*s);
    }
}

static void put_options(const CliProgram *p)
{
    char left[96];
    printf(".SH OPTIONS\n");
    for (const CliOption *o = p->options; o->name; o++) {
        put_left(left, o);
        printf(".TP\n.B ");
        put_roff(left);
        printf("\n");
        put_roff(o->doc);
        printf("%s\n", o->many ? "; may be given more than once" : "");
    }
}

static void put_exit_status(void)
{
    static const char *const codes[][2] = {{"0", "done; warnings do not change it"},
                                           {"1", "the answer is no: a file is not in canonical form, a check found a difference"},
                                           {"64", "wrong command line"},
                                           {"65", "recipe, plan, data set or checkpoint is invalid"},
                                           {"66", "an input was not found"},
                                           {"69", "device or back end unavailable"},
                                           {"70", "a mistake in the program itself"},
                                           {"71", "out of memory"},
                                           {"74", "reading or writing failed, disk full"},
                                           {"75", "stopped after a good checkpoint; a resume continues"},
                                           {"80", "a value became NaN or infinite"}};
    printf(".SH EXIT STATUS\n");
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) printf(".TP\n.B %s\n%s\n", codes[i][0], codes[i][1]);
}

void cli_print_man(const CliProgram *p)
{
    printf(".TH ");
    for (const char *c = p->name; *c; c++) putchar(toupper((unsigned char)*c));
    printf(" 1\n.SH NAME\n%s \\- ", p->name);
    put_roff(p->about);
    printf("\n.SH SYNOPSIS\n");
    for (const CliVerb *v = p->verbs; v->name; v++) {
        printf("%s.B %s", v == p->verbs ? "" : ".br\n", p->name);
        if (v->name[0]) printf(" %s", v->name);
        printf("\n.RI \" ");
        put_roff(v->args);
        printf("\"\n");
    }
    printf(".SH DESCRIPTION\n");
    for (const CliVerb *v = p->verbs; v->name; v++) {
        printf(".TP\n.B %s%s%s\n", p->name, v->name[0] ? " " : "", v->name);
        put_roff(v->doc);
        printf("\n");
    }
    if (p->more) {
        printf(".PP\n");
        put_roff(p->more);
        printf("\n");
    }
    put_options(p);
    put_exit_status();
}
