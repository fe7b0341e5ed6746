/* doc.c: lists and manual pages from the catalog: text, Markdown, HTML, roff.
**
** A page is made of four pieces (heading, paragraph, item with its term, code), which each format writes its way; nothing else
** here knows formats. Texts may hold `code` in backquotes; everything else in them is literal.
*/
#include "compiler/adv_compile.h"
#include "compiler/catalog.h"
#include "runtime/base/diag.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Doc {
    int format;
    AdvWriteFn *write;
    void *user;
    bool in_list; /* items stand open: HTML closes their <dl>, Markdown leaves a line empty */
    bool has_pages;
} Doc;

static void put(Doc *d, const char *s) { d->write(d->user, s, strlen(s)); }
static const char *get(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* ---- formats ------------------------------------------------------------------------------------------------------------------ */

/* The character as the format wants it, or NULL: as it is. */
static const char *escape(int format, char c, bool in_code)
{
    if (format == ADV_DOC_HTML) return c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : NULL;
    if (format == ADV_DOC_MAN) return c == '\\' ? "\\e" : c == '-' ? "\\-" : NULL;
    if (format != ADV_DOC_MARKDOWN || in_code) return NULL;
    return c == '*'    ? "\\*"
           : c == '_'  ? "\\_"
           : c == '<'  ? "\\<"
           : c == '['  ? "\\["
           : c == '|'  ? "\\|"
           : c == '\\' ? "\\\\"
           : c == '#'  ? "\\#"
                       : NULL;
}

/* Running text, first line feeds as spaces. */
static void text(Doc *d, const char *s)
{
    static const char *const marks[][2] = {[ADV_DOC_TEXT] = {"`", "`"},
                                           [ADV_DOC_MARKDOWN] = {"`", "`"},
                                           [ADV_DOC_HTML] = {"<code>", "</code>"},
                                           [ADV_DOC_MAN] = {"\\fB", "\\fR"}};
    bool in_code = false;
    if (d->format == ADV_DOC_MAN && (*s == '.' || *s == '\'')) put(d, "\\&");
    for (; *s; s++) {
        const char *e = escape(d->format, *s, in_code);
        if (*s == '`') {
            put(d, marks[d->format][in_code]);
            in_code = !in_code;
        } else if (e) {
            put(d, e);
        } else {
            d->write(d->user, *s == '\n' ? " " : s, 1);
        }
    }
    if (in_code) put(d, marks[d->format][1]);
}

static void end_list(Doc *d)
{
    if (d->in_list && d->format == ADV_DOC_HTML) put(d, "</dl>\n");
    if (d->in_list && d->format == ADV_DOC_MARKDOWN) put(d, "\n");
    d->in_list = false;
}

static void heading(Doc *d, int level, const char *s)
{
    static const char *const before[][3] = {[ADV_DOC_TEXT] = {"", "", "  "},
                                            [ADV_DOC_MARKDOWN] = {"# ", "## ", "### "},
                                            [ADV_DOC_HTML] = {"<h2>", "<h3>", "<h4>"},
                                            [ADV_DOC_MAN] = {".SH ", ".SS ", ".SS "}};
    static const char *const after[] = {"</h2>\n", "</h3>\n", "</h4>\n"};
    end_list(d);
    if (d->format == ADV_DOC_TEXT && d->has_pages) put(d, "\n");
    d->has_pages = true;
    put(d, before[d->format][level]);
    text(d, s);
    put(d, d->format == ADV_DOC_HTML ? after[level] : "\n");
    if (d->format == ADV_DOC_MARKDOWN) put(d, "\n");
}

static void paragraph(Doc *d, const char *s)
{
    static const char *const before[] = {[ADV_DOC_TEXT] = "  ", [ADV_DOC_MARKDOWN] = "", [ADV_DOC_HTML] = "<p>", [ADV_DOC_MAN] = ".PP\n"};
    static const char *const after[] = {
        [ADV_DOC_TEXT] = "\n", [ADV_DOC_MARKDOWN] = "\n\n", [ADV_DOC_HTML] = "</p>\n", [ADV_DOC_MAN] = "\n"};
    if (!*s) return;
    end_list(d);
    put(d, before[d->format]);
    text(d, s);
    put(d, after[d->format]);
}

static void code(Doc *d, const char *s)
{
    char quoted[640];
    snprintf(quoted, sizeof quoted, "`%s`", s);
    paragraph(d, d->format == ADV_DOC_TEXT ? s : quoted);
}

static void item(Doc *d, const char *term, const char *s)
{
    static const char *const before[] = {
        [ADV_DOC_TEXT] = "    ", [ADV_DOC_MARKDOWN] = "- `", [ADV_DOC_HTML] = "<dt><code>", [ADV_DOC_MAN] = ".TP\n\\fB"};
    static const char *const middle[] = {
        [ADV_DOC_TEXT] = "  ", [ADV_DOC_MARKDOWN] = "`: ", [ADV_DOC_HTML] = "</code></dt><dd>", [ADV_DOC_MAN] = "\\fR\n"};
    static const char *const after[] = {[ADV_DOC_TEXT] = "\n", [ADV_DOC_MARKDOWN] = "\n", [ADV_DOC_HTML] = "</dd>\n", [ADV_DOC_MAN] = "\n"};
    if (!d->in_list && d->format == ADV_DOC_HTML) put(d, "<dl>\n");
    d->in_list = true;
    put(d, before[d->format]);
    for (const char *c = term; *c; c++) {
        const char *e = escape(d->format, *c, true);
        d->write(d->user, e ? e : c, e ? strlen(e) : 1);
    }
    put(d, middle[d->format]);
    text(d, s);
    put(d, after[d->format]);
}

/* ---- pages -------------------------------------------------------------------------------------------------------------------- */

static void show_value(char *to, size_t n, const json_t *v)
{
    if (json_is_string(v)) snprintf(to, n, "%s", json_string_value(v));
    else if (json_is_integer(v)) snprintf(to, n, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v)) snprintf(to, n, "%g", json_real_value(v));
    else if (json_is_array(v)) snprintf(to, n, "none");
    else to[0] = 0;
}

/* "integer in 1 .. 64, 1 if not given: step of the window" */
static void attribute(Doc *d, const json_t *a)
{
    char lo[32], hi[32], dflt[64], range[256], s[768];
    show_value(lo, sizeof lo, json_object_get(a, "min"));
    show_value(hi, sizeof hi, json_object_get(a, "max"));
    show_value(dflt, sizeof dflt, json_object_get(a, "default"));
    const char *kind = get(a, "kind");
    bool is_any = !strcmp(kind, "integer") && json_number_value(json_object_get(a, "min")) < -9e15 &&
                  json_number_value(json_object_get(a, "max")) > 9e15;
    if (!strcmp(kind, "choice")) snprintf(range, sizeof range, "one of `%s`", get(a, "choices"));
    else if (is_any) snprintf(range, sizeof range, "%s", kind);
    else if (!strcmp(kind, "ops")) snprintf(range, sizeof range, "names of ops");
    else snprintf(range, sizeof range, "%s in %s .. %s", kind, lo, hi);
    snprintf(s, sizeof s, "%s, %s%s: %s", range, dflt[0] ? dflt : "must be given", dflt[0] ? " if not given" : "", get(a, "doc"));
    item(d, get(a, "name"), s);
}

static void port_list(Doc *d, const char *title, const json_t *ports)
{
    size_t i;
    json_t *p;
    char s[512];
    if (!json_array_size(ports)) return;
    heading(d, 2, title);
    json_array_foreach(ports, i, p) {
        bool repeats = json_is_true(json_object_get(p, "repeat"));
        snprintf(s, sizeof s, "%s%s: %s", get(p, "kind"), repeats ? ", none or more" : "", get(p, "doc"));
        item(d, get(p, "name"), s);
    }
}

static void op_details(Doc *d, const json_t *o)
{
    static const char *const gradients[][2] = {
        {"rule", "The gradient has a rule of its own."},
        {"zero", "The gradient is zero."},
        {"never", "There is no gradient: it is made after gradients, or reaching it is a mistake of the recipe."}};
    size_t i;
    json_t *v, *attrs = json_object_get(o, "attrs");
    char s[1024] = "";
    port_list(d, "Inputs", json_object_get(o, "in"));
    port_list(d, "Outputs", json_object_get(o, "out"));
    if (json_array_size(attrs)) heading(d, 2, "Attributes");
    json_array_foreach(attrs, i, v) attribute(d, v);
    heading(d, 2, "Facts");
    json_array_foreach(json_object_get(o, "facts"), i, v) {
        size_t n = strlen(s);
        snprintf(s + n, sizeof s - n, "%s%s", i ? "; " : "", json_string_value(v));
    }
    if (s[0]) paragraph(d, s);
    for (size_t k = 0; k < 3; k++)
        if (!strcmp(get(o, "gradient"), gradients[k][0])) paragraph(d, gradients[k][1]);
    snprintf(s, sizeof s, "Version %lld of its meaning%s.", (long long)json_integer_value(json_object_get(o, "version")),
             json_is_true(json_object_get(o, "fused")) ? "; defined by the ops it stands for" : "");
    paragraph(d, s);
}

/* Each line of a doc text is a paragraph. */
static void doc_text(Doc *d, const char *s)
{
    char line[1024];
    for (size_t n; *s; s += n + (s[n] == '\n')) {
        n = strcspn(s, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, s);
        paragraph(d, line);
    }
}

/* word: what it is, if its list does not say so */
static void page(Doc *d, const json_t *o, const char *word)
{
    char title[256];
    bool is_std = json_object_get(o, "module") != NULL;
    if (is_std) word = get(o, "kind");
    snprintf(title, sizeof title, "%s%s%s", word, word[0] ? " " : "", get(o, "name"));
    heading(d, 1, title);
    if (get(o, "signature")[0]) code(d, get(o, "signature"));
    if (is_std) {
        char use[128];
        snprintf(use, sizeof use, "In `%s`.", get(o, "module"));
        paragraph(d, use);
        paragraph(d, get(o, "doc")); /* a comment that was broken into lines */
    } else {
        doc_text(d, get(o, "doc"));
    }
    if (json_object_get(o, "in")) op_details(d, o);
}

/* ---- entry points ---------------------------------------------------------------------------------------------------------------- */

/* What people write first: of a name that both have, the language's meaning stands above the graph's. */
typedef struct Kind { const char *kind, *word, *title, *about; } Kind;
static const Kind documented[] = {
    {"builtins", "function", "Built-in functions", "Callable in every expression of a recipe."},
    {"layers", "layer", "Layers", "Callable in nets; `->` hands them their first argument."},
    {"std", "", "The standard library", "Written in the language itself; `use std.attacks` and so on makes them known."},
    {"ops", "op", "Ops", "What a compiled recipe is made of. `advc graph` shows them, kernels make them fast."},
};

static void preamble(Doc *d, const char *title)
{
    if (d->format == ADV_DOC_HTML) put(d, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    if (d->format == ADV_DOC_MAN) put(d, ".TH \"");
    if (d->format == ADV_DOC_HTML || d->format == ADV_DOC_MAN) put(d, title);
    if (d->format == ADV_DOC_HTML) put(d, "</title></head><body>\n");
    if (d->format == ADV_DOC_MAN) put(d, "\" 7\n");
}

/* The pages of a list, or of `name` in it, which is a `word`. */
static void pages(Doc *d, const json_t *list, const char *name, const char *word, bool *found)
{
    json_t *o;
    size_t i;
    json_array_foreach(list, i, o) {
        if (name && strcmp(name, get(o, "name"))) continue;
        if (name && !*found) preamble(d, name);
        *found = true;
        page(d, o, name ? word : "");
    }
}

static AdvStatus one_kind(Doc *d, const Kind *k, const char *name, bool *found)
{
    json_t *list;
    ADV_TRY(adv_catalog(k->kind, &list));
    if (!name) {
        heading(d, 0, k->title);
        paragraph(d, k->about);
    }
    pages(d, list, name, k->word, found);
    json_decref(list);
    return ADV_OK;
}

static void finish(Doc *d)
{
    end_list(d);
    if (d->format == ADV_DOC_HTML) put(d, "</body></html>\n");
}

AdvStatus adv_plugin_doc(const char *const *paths, uint32_t n_paths, AdvDiags *ds, const char *name, int32_t format,
                         void (*write)(void *user, const char *text, size_t n_bytes), void *user)
{
    Doc d = {.format = format, .write = write, .user = user};
    bool found = false;
    json_t *list;
    if (format < ADV_DOC_TEXT || format > ADV_DOC_MAN) return ADV_EINVAL;
    ADV_TRY(adv_catalog_plugins(paths, n_paths, ds, &list));
    if (!name) preamble(&d, "plugin");
    pages(&d, list, name, "op", &found);
    json_decref(list);
    finish(&d);
    return found || !name ? ADV_OK : adv_fail(ds, ADV_ENOENT, ADV_D_OPTION, "no op of the plugin is called `%s`", name);
}

AdvStatus adv_compile_doc(const char *name, int32_t format, void (*write)(void *user, const char *text, size_t n_bytes), void *user)
{
    Doc d = {.format = format, .write = write, .user = user};
    bool found = false;
    if (format < ADV_DOC_TEXT || format > ADV_DOC_MAN) return ADV_EINVAL;
    for (size_t i = 0; i < sizeof documented / sizeof *documented; i++) {
        bool is_kind = name && !strcmp(name, documented[i].kind);
        if (!name && !i) preamble(&d, "adv");
        if (is_kind) preamble(&d, documented[i].title);
        ADV_TRY(one_kind(&d, &documented[i], name && !is_kind ? name : NULL, &found));
        if (is_kind) break;
        if (i + 1 == sizeof documented / sizeof *documented && !found) return ADV_ENOENT;
    }
    finish(&d);
    return ADV_OK;
}

static void list_text(const json_t *list, AdvWriteFn *write, void *user)
{
    size_t i;
    json_t *o;
    json_array_foreach(list, i, o) {
        const char *sign = get(o, "signature"), *doc = get(o, "doc"),
                   *name = json_object_get(o, "version") || !sign[0] ? get(o, "name") : sign;
        write(user, name, strlen(name));
        if (doc[0]) write(user, "\t", 1);
        write(user, doc, strcspn(doc, "\n"));
        write(user, "\n", 1);
    }
}

/* Takes the list over. */
static AdvStatus print_list(json_t *list, int32_t as_json, AdvWriteFn *write, void *user)
{
    char *all = as_json ? json_dumps(list, JSON_INDENT(1)) : NULL;
    if (all) {
        write(user, all, strlen(all));
        write(user, "\n", 1);
    } else if (!as_json) {
        list_text(list, write, user);
    }
    json_decref(list);
    free(all);
    return all || !as_json ? ADV_OK : ADV_ENOMEM;
}

AdvStatus adv_compile_list(const char *kind, int32_t as_json, void (*write)(void *user, const char *text, size_t n_bytes), void *user)
{
    json_t *list;
    ADV_TRY(adv_catalog(kind, &list));
    return print_list(list, as_json, write, user);
}

AdvStatus adv_plugin_list(const char *const *paths, uint32_t n_paths, AdvDiags *ds, int32_t as_json,
                          void (*write)(void *user, const char *text, size_t n_bytes), void *user)
{
    json_t *list;
    ADV_TRY(adv_catalog_plugins(paths, n_paths, ds, &list));
    return print_list(list, as_json, write, user);
}
