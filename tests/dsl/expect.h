/* expect.h: what a test program expects of diagnostics: expectations beside the lines of a bad program, and the programs of
** the pages of codes.
**
**     x = 3 3   # expect-error ADV1001: expected an operator
**
** (expect-warning for warnings; several on a line are separated by " ## "; what stands behind " >> " is looked for in the helps). A
** diagnostic that nothing expects, and an
** expectation that nothing meets, fail. On a page the lines indented by four behind "Wrong:", "Right:" or "File `name`:" are
** a program.
*/
#ifndef ADV_TESTS_DSL_EXPECT_H
#define ADV_TESTS_DSL_EXPECT_H

#include "tests/dsl/dsl_test.h"

typedef struct Want {
    uint32_t line, code;
    int level;
    char text[160], help[160];
    int met;
} Want;

/* Splits text at " >> ". */
static inline void want_help(Want *w)
{
    char *mark = strstr(w->text, " >> ");
    if (!mark) return;
    memcpy(w->help, mark + 4, strlen(mark + 4) + 1);
    *mark = 0;
}

static inline int has_help(const AdvDiag *d, const char *text)
{
    for (uint32_t i = 0; i < d->helps.n; i++)
        if (strstr(d->helps.at[i], text)) return 1;
    return !text[0];
}

/* The expectations in line[0..n). */
static inline size_t wants_of_line(const char *line, size_t n, uint32_t number, Want *out, size_t max)
{
    size_t n_out = 0;
    for (size_t i = 0; i + 16 < n && n_out < max; i++) {
        int error = memcmp(line + i, "expect-error ADV", 16) == 0, warning = i + 18 < n && memcmp(line + i, "expect-warning ADV", 18) == 0;
        if (!error && !warning) continue;
        Want w = { .line = number, .level = error ? ADV_LEVEL_ERROR : ADV_LEVEL_WARNING };
        const char *s = line + i + (error ? 16 : 18);
        w.code = (uint32_t)strtoul(s, NULL, 10);
        s = memchr(s, ':', (size_t)(line + n - s));
        size_t len = 0;
        while (s && s + 2 + len < line + n && s[2 + len] != '\r' && strncmp(s + 2 + len, " ## ", 4) != 0 && len < sizeof w.text - 1) len++;
        if (s) memcpy(w.text, s + 2, len);
        want_help(&w);
        out[n_out++] = w;
    }
    return n_out;
}

static inline size_t wants_of(const Text *src, Want *out, size_t max)
{
    size_t n_out = 0;
    uint32_t number = 1;
    for (const char *s = src->at, *end = src->at + src->n; s < end; number++) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        size_t n = (size_t)((nl ? nl : end) - s);
        n_out += wants_of_line(s, n, number, out + n_out, max - n_out);
        s += n + 1;
    }
    return n_out;
}

/* Holds the diagnostics against the expectations of the file; marks the codes that came. One in another file, or in none, is
** looked for on line 0, which no expectation has. */
static inline void check_wants(const char *path, Want *wants, size_t n_wants, const AdvDiags *ds, unsigned char *code_seen)
{
    CHECK(n_wants > 0 && n_wants < 64);
    for (uint32_t i = 0; i < ds->list.n; i++) {
        const AdvDiag *d = ds->list.at[i];
        const AdvSource *src = adv_source_of(&ds->sources, d->span);
        uint32_t line = src && strcmp(src->name, path) == 0 ? adv_line_col(src, d->span.off).line : 0, code = adv_diag_defs[d->id].code;
        size_t k = 0;
        code_seen[code] = 1;
        while (k < n_wants && (wants[k].met || wants[k].line != line || wants[k].code != code || wants[k].level != d->level ||
                               !strstr(d->message, wants[k].text) || !has_help(d, wants[k].help))) k++;
        if (k < n_wants) wants[k].met = 1;
        else printf("%s:%u: unexpected ADV%u: %s >> %s\n", path, line, code, d->message, d->helps.n ? d->helps.at[0] : "");
        CHECK(k < n_wants);
    }
    for (size_t k = 0; k < n_wants; k++) {
        if (!wants[k].met)
            printf("%s:%u: missing ADV%u: %s >> %s\n", path, wants[k].line, wants[k].code, wants[k].text, wants[k].help);
        CHECK(wants[k].met);
    }
}

/* The lines indented by four behind the line that begins with `head` (which begins with a newline). */
static inline Text program_of(const Text *page, const char *head)
{
    Text t = { 0 };
    const char *s = strstr(page->at, head);
    if (!s) return t;
    for (s = strchr(s + 1, '\n'); s && s[1]; s = strchr(s + 1, '\n')) {
        const char *line = s + 1, *end = strchr(line, '\n');
        if (*line == '\n') continue;
        if (strncmp(line, "    ", 4) != 0) break;
        text_add(&t, line + 4, (size_t)((end ? end + 1 : line + strlen(line)) - line - 4));
    }
    return t;
}

static inline Text page_of(uint32_t code)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/dsl/codes/ADV%u.md", source_root(), code);
    Text page = read_text(path);
    if (!page.at) printf("%s is missing\n", path);
    return page;
}

#endif
