/* test_base_diag.c: collecting messages and the three renderings, against whole expected texts. */
#include "runtime/base/diag.h"
#include "tests/adv_test.h"
#include "tests/base/fault_alloc.h"

typedef struct Text {
    char at[8192];
    size_t n;
} Text;

static void collect(void *user, const char *text, size_t n_bytes)
{
    Text *t = user;
    if (t->n + n_bytes >= sizeof t->at) return;
    memcpy(t->at + t->n, text, n_bytes);
    t->at[t->n += n_bytes] = 0;
}

/* The span of the `nth` (from 0) occurrence of `word` in source `file`. */
static AdvSpan span_of(const AdvDiags *ds, uint32_t file, const char *word, int nth)
{
    const AdvSource *src = adv_source_of(&ds->sources, (AdvSpan){file, 0, 0});
    const char *p = strstr(src->text, word);
    for (; p && nth > 0; nth--) p = strstr(p + 1, word);
    CHECK(p != NULL);
    return (AdvSpan){file, p ? (uint32_t)(p - src->text) : 0, (uint32_t)strlen(word)};
}

static const char ades[] =
    "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
    "  s = if stride != 1\n"
    "\n\n\n\n"
    "  return s + r\n";

static AdvDiags *example(void)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    uint32_t file = adv_sources_add(&ds->sources, "ades.adv", ades, strlen(ades));
    AdvSpan sum = span_of(ds, file, "s + r", 0);
    AdvDiag *d = adv_diag(ds, ADV_D_SYNTAX, sum, "`+` needs equal shapes, but its sides are %s and %s", "[N,16,32,32]", "[N,160,32,32]");
    adv_diag_label(d, span_of(ds, file, "stride != 1", 0), "only the stride is tested; here stride = 1 and out = 160");
    adv_diag_label(d, sum, "16 channels on the left, %d on the right", 160);
    adv_diag_chain(d, "x                  [N,3,32,32]");
    adv_diag_chain(d, "conv1              [N,16,32,32]    ades.adv:32");
    adv_diag_chain(d, "block1.0 (basic)   <- here         ades.adv:27");
    adv_diag_help(d, "project the shortcut when the channel count changes");
    return ds;
}

static void human_example(void)
{
    AdvDiags *ds = example();
    Text t = {.n = 0};
    adv_diags_print_human(ds, 0, collect, &t);
    CHECK_STR(t.at, "error[ADV1001]: `+` needs equal shapes, but its sides are [N,16,32,32] and [N,160,32,32]\n"
                    "  --> ades.adv:23:10\n"
                    "   |\n"
                    "18 |   s = if stride != 1\n"
                    "   |          ----------- only the stride is tested; here stride = 1 and out = 160\n"
                    "23 |   return s + r\n"
                    "   |          ^^^^^ 16 channels on the left, 160 on the right\n"
                    "   |\n"
                    "   = chain: x                  [N,3,32,32]\n"
                    "            conv1              [N,16,32,32]    ades.adv:32\n"
                    "            block1.0 (basic)   <- here         ades.adv:27\n"
                    "help: project the shortcut when the channel count changes\n");
    adv_diags_free(ds);
}

static void short_and_json_example(void)
{
    AdvDiags *ds = example();
    adv_diag(ds, ADV_D_ARROW_SPACE, (AdvSpan){0}, "a \"quoted\" \\ word\nand a line");
    Text t = {.n = 0};
    adv_diags_print_short(ds, collect, &t);
    CHECK_STR(t.at, "ades.adv:23:10: error[ADV1001]: `+` needs equal shapes, but its sides are [N,16,32,32] and [N,160,32,32]\n"
                    "warning[ADV1009]: a \"quoted\" \\ word?and a line\n");
    t = (Text){.n = 0};
    adv_diags_print_json(ds, collect, &t);
    CHECK_STR(
        t.at,
        "{\"level\":\"error\",\"code\":\"ADV1001\",\"lint\":\"\",\"message\":\"`+` needs equal shapes, but its sides are [N,16,32,32] and "
        "[N,160,32,32]\",\"spans\":[{\"file\":\"ades.adv\",\"line\":18,\"col\":10,\"end_line\":18,\"end_col\":21,\"off\":26,\"len\":11,"
        "\"main\":false,\"label\":\"only the stride is tested; here stride = 1 and out = 160\"},"
        "{\"file\":\"ades.adv\",\"line\":23,\"col\":10,\"end_line\":23,\"end_col\":15,\"off\":51,\"len\":5,\"main\":true,"
        "\"label\":\"16 channels on the left, 160 on the right\"}],\"notes\":[],"
        "\"helps\":[\"project the shortcut when the channel count changes\"],"
        "\"chain\":[\"x                  [N,3,32,32]\",\"conv1              [N,16,32,32]    ades.adv:32\","
        "\"block1.0 (basic)   <- here         ades.adv:27\"]}\n"
        "{\"level\":\"warning\",\"code\":\"ADV1009\",\"lint\":\"\",\"message\":\"a \\\"quoted\\\" \\\\ word\\nand a line\",\"spans\":[],"
        "\"notes\":[],\"helps\":[],\"chain\":[]}\n");
    adv_diags_free(ds);
}

/* Tabs, code points of several bytes, bytes that are no text, an empty span, a span over two lines, the end of the file. */
static void odd_text(void)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    static const char text[] = "\tab\tc = \xC3\xA4\xC3\xB6 + z\x1b[31m\xFF\r\nnext line\nend";
    uint32_t file = adv_sources_add(&ds->sources, "o\x07.adv", text, sizeof text - 1);
    AdvDiag *d = adv_diag(ds, ADV_D_SYNTAX, span_of(ds, file, "c", 0), "first");
    adv_diag_label(d, span_of(ds, file, "z", 0), "second");
    adv_diag_label(d, span_of(ds, file, "\xC3\xA4\xC3\xB6", 0), "umlauts");
    AdvSpan two = {file, span_of(ds, file, "line", 0).off, 6};
    adv_diag_label(d, two, "goes on");
    adv_diag_label(d, (AdvSpan){file, sizeof text - 1, 0}, "end of file");
    adv_diag_label(d, (AdvSpan){file, 1000000, 7}, "beyond");
    Text t = {.n = 0};
    adv_diags_print_human(ds, 0, collect, &t);
    CHECK_STR(t.at, "error[ADV1001]: first\n"
                    " --> o?.adv:1:5\n"
                    "  |\n"
                    "1 |     ab  c = \xC3\xA4\xC3\xB6 + z?[31m?\n"
                    "  |         ^\n"
                    "  |             -- umlauts\n"
                    "  |                  - second\n"
                    "2 | next line\n"
                    "  |      ---- goes on\n"
                    "3 | end\n"
                    "  |    - end of file\n"
                    "  |    - beyond\n");
    adv_diags_free(ds);
}

static void other_files_and_notes(void)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    uint32_t one = adv_sources_add(&ds->sources, "one.adv", "use two\nf(x)\n", 13);
    uint32_t two = adv_sources_add(&ds->sources, "two.adv", "net f {\n\n  linear(10)\n}\n", 24);
    AdvDiag *d = adv_diag(ds, ADV_D_SYNTAX, span_of(ds, two, "linear", 0), "main is in the second file");
    adv_diag_label(d, span_of(ds, one, "f(x)", 0), "called here");
    adv_diag_note(d, (AdvSpan){0}, "without a place");
    adv_diag_note(d, span_of(ds, two, "net", 0), "with a place");
    adv_diag_help(d, "one");
    adv_diag_help(d, "two");
    d = adv_diag(ds, ADV_D_ARROW_SPACE, (AdvSpan){0}, "no place at all");
    adv_diag_note(d, (AdvSpan){0}, "but a note");
    Text t = {.n = 0};
    adv_diags_print_human(ds, 0, collect, &t);
    CHECK_STR(t.at, "error[ADV1001]: main is in the second file\n"
                    " --> two.adv:3:3\n"
                    "  |\n"
                    "3 |   linear(10)\n"
                    "  |   ^^^^^^\n"
                    " ::: one.adv:2:1\n"
                    "  |\n"
                    "2 | f(x)\n"
                    "  | ---- called here\n"
                    "  |\n"
                    "  = note: without a place\n"
                    "note: with a place\n"
                    " --> two.adv:1:1\n"
                    "  |\n"
                    "1 | net f {\n"
                    "  | ^^^\n"
                    "help: one\n"
                    "help: two\n"
                    "\n"
                    "warning[ADV1009]: no place at all\n"
                    "  = note: but a note\n");
    adv_diags_free(ds);
}

static void colors(void)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    uint32_t file = adv_sources_add(&ds->sources, "a", "x", 1);
    adv_diag_help(adv_diag(ds, ADV_D_SYNTAX, (AdvSpan){file, 0, 1}, "m"), "h");
    Text t = {.n = 0};
    adv_diags_print_human(ds, 1, collect, &t);
    CHECK_STR(t.at, "\033[1;31merror[ADV1001]\033[0m\033[1m: m\033[0m\n"
                    "\033[1;34m --> \033[0ma:1:1\n"
                    "\033[1;34m  |\033[0m\n"
                    "\033[1;34m1 |\033[0m x\n"
                    "\033[1;34m  | \033[0m\033[1;31m^\033[0m\n"
                    "\033[1;32mhelp\033[0m: h\n");
    adv_diags_free(ds);
}

static void counts_beyond_the_limit(void)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    for (int i = 0; i < ADV_DIAG_MAX_ERRORS + 3; i++) {
        AdvDiag *d = adv_diag(ds, ADV_D_SYNTAX, (AdvSpan){0}, "number %d", i);
        CHECK((d != NULL) == (i < ADV_DIAG_MAX_ERRORS));
        adv_diag_help(d, "ignored when d is NULL");
    }
    CHECK_EQ(ds->n_errors, ADV_DIAG_MAX_ERRORS + 3);
    CHECK_EQ(ds->list.n, ADV_DIAG_MAX_ERRORS);
    CHECK_EQ(adv_fail_while(ds, ADV_EIO, "doing %s", "this"), ADV_EIO);
    CHECK_EQ(ds->list.at[ADV_DIAG_MAX_ERRORS - 1]->notes.n, 0); /* the newest was only counted */
    AdvDiag *w = adv_diag(ds, ADV_D_ARROW_SPACE, (AdvSpan){0}, "warnings have their own count");
    CHECK(w && ds->n_warnings == 1);
    adv_diag_relevel(w, ADV_LEVEL_ERROR);
    CHECK(ds->n_warnings == 0 && ds->n_errors == ADV_DIAG_MAX_ERRORS + 4 && w->level == ADV_LEVEL_ERROR);
    adv_diag_relevel(w, ADV_LEVEL_NOTE);
    CHECK(ds->n_warnings == 0 && ds->n_errors == ADV_DIAG_MAX_ERRORS + 3);
    Text t = {.n = 0};
    adv_diags_print_short(ds, collect, &t);
    CHECK(strstr(t.at, "note[ADV1009]: warnings have their own count\n3 more errors not shown\n") != NULL);
    adv_diags_free(ds);
}

/* The same word for word at the same place is said once; elsewhere, or otherwise, it is another. */
static void said_once(void)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    uint32_t file = adv_sources_add(&ds->sources, "a", "x y\n", 4);
    AdvSpan at = {file, 0, 1}, other = {file, 2, 1};
    CHECK(adv_diag(ds, ADV_D_SYNTAX, at, "no %s", "x") != NULL);
    CHECK(adv_diag(ds, ADV_D_SYNTAX, at, "no %s", "x") == NULL);
    CHECK(adv_diag(ds, ADV_D_SYNTAX, other, "no %s", "x") != NULL);
    CHECK(adv_diag(ds, ADV_D_SYNTAX, at, "no %s", "y") != NULL);
    CHECK(adv_diag(ds, ADV_D_BAD_CHAR, at, "no %s", "x") != NULL);
    CHECK_EQ(ds->n_errors, 4);
    CHECK(adv_diag(ds, ADV_D_IO, (AdvSpan){0}, "nowhere") && adv_diag(ds, ADV_D_IO, (AdvSpan){0}, "nowhere"));
    CHECK_EQ(ds->n_errors, 6);
    adv_diags_free(ds);
}

/* Up to 2048 bytes all of it, beyond the beginning and the end: also where hardly anything is left out, and never half a character. */
static void long_texts_lose_their_middle(void)
{
    static char text[4000];
    for (size_t n = 2040; n < 2080; n++) {
        AdvDiags *ds = adv_diags_new(adv_alloc_default());
        for (size_t i = 0; i < n; i++) text[i] = (char)('a' + i % 26);
        text[n] = 0;
        AdvDiag *d = adv_diag(ds, ADV_D_IO, (AdvSpan){0}, "%s", text);
        size_t got = d ? strlen(d->message) : 0;
        CHECK_EQ(got, n < 2048 ? n : 2048);
        CHECK(d && !strncmp(d->message, text, 1533) && !strcmp(d->message + got - 512, text + n - 512));
        CHECK(d && (n <= 2048) == !strstr(d->message, "..."));
        for (size_t i = 0; i < n; i++) text[i] = (char)(i % 2 ? 0xA9 : 0xC3);
        text[n / 2 * 2] = 0;
        d = adv_diag(ds, ADV_D_IO, (AdvSpan){0}, "%s", text);
        for (const char *at = d ? d->message : ""; *at; at++)
            CHECK(*at == '.' || ((unsigned char)*at == 0xC3 && (unsigned char)*++at == 0xA9));
        adv_diags_free(ds);
    }
}

static void allowed_lints(void)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    ds->allowed[ADV_D_SIGNAL_UNUSED] = 1;
    CHECK(adv_diag(ds, ADV_D_SIGNAL_UNUSED, (AdvSpan){0}, "not wanted") == NULL);
    CHECK(ds->n_warnings == 0 && ds->list.n == 0);
    CHECK(adv_diag(ds, ADV_D_BATCH_TAIL, (AdvSpan){0}, "another") != NULL);
    adv_diags_free(ds);
}

static void failures(void)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    CHECK_EQ(adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot read `%s`", "f"), ADV_EIO);
    CHECK_EQ(adv_fail_while(ds, ADV_EIO, "loading plan `%s`", "p"), ADV_EIO);
    Text t = {.n = 0};
    adv_diags_print_human(ds, 0, collect, &t);
    CHECK_STR(t.at, "error[ADV5001]: cannot read `f`\n  = note: while loading plan `p`\n");
    adv_diags_free(ds);
    CHECK_EQ(adv_fail(NULL, ADV_EIO, ADV_D_IO, "nobody listens"), ADV_EIO);
    CHECK_EQ(adv_fail_while(NULL, ADV_EIO, "x"), ADV_EIO);
    AdvDiag *d = adv_diag(NULL, ADV_D_IO, (AdvSpan){0}, "nobody listens");
    CHECK(d == NULL);
    adv_diag_label(d, (AdvSpan){0}, "x");
    adv_diag_note(d, (AdvSpan){0}, "x");
    adv_diag_help(d, "x");
    adv_diag_chain(d, "x");
    adv_diag_relevel(d, ADV_LEVEL_ERROR);
    adv_diags_free(NULL);
}

/* Some messages of every kind; with memory failing anywhere the counts stay true and printing works. */
static void use_everything(AdvDiags *ds)
{
    char wide[3000];
    memset(wide, 'w', sizeof wide - 1);
    wide[sizeof wide - 1] = 0;
    uint32_t file = adv_sources_add(&ds->sources, "a.adv", "text", 4);
    for (int i = 0; i < 12; i++) {
        AdvDiag *d = adv_diag(ds, ADV_D_SYNTAX, (AdvSpan){file, 0, 1}, "%d %s", i, wide);
        for (int k = 0; k < 10; k++) adv_diag_label(d, (AdvSpan){file, 1, 1}, "%s", wide);
        adv_diag_note(d, (AdvSpan){0}, "%s", wide);
        adv_diag_help(d, "%s", wide);
        adv_diag_chain(d, "%s", wide);
    }
}

static void swallow(void *user, const char *text, size_t n_bytes)
{
    (void)text;
    *(size_t *)user += n_bytes;
}

static void lack_of_memory(void)
{
    for (int persistent = 0; persistent <= 1; persistent++) {
        for (long k = 1;; k++) {
            FaultAlloc f = {.fail_at = k, .persistent = persistent};
            AdvDiags *ds = adv_diags_new(fault_alloc(&f));
            CHECK((ds == NULL) == (k == 1));
            if (ds) {
                use_everything(ds);
                CHECK_EQ(ds->n_errors, 12);
                size_t n = 0;
                adv_diags_print_human(ds, 1, swallow, &n);
                adv_diags_print_json(ds, swallow, &n);
                adv_diags_print_short(ds, swallow, &n);
                CHECK(n > 0);
            }
            adv_diags_free(ds);
            CHECK_EQ(f.n_live, 0);
            CHECK_EQ(f.n_wrong_sizes, 0);
            if (f.calls < k) break;
            CHECK(k < 100);
        }
    }
}

static void codes_are_unique_and_in_range(void)
{
    for (int i = 0; i < ADV_D_COUNT; i++) {
        const AdvDiagDef *a = &adv_diag_defs[i];
        CHECK(a->code >= 1000 && a->code <= 9999 && a->level <= ADV_LEVEL_NOTE && a->title[0]);
        for (int k = 0; k < i; k++) {
            CHECK(adv_diag_defs[k].code != a->code);
            CHECK(!a->name[0] || strcmp(adv_diag_defs[k].name, a->name) != 0);
        }
    }
}

int main(void)
{
    RUN(human_example);
    RUN(short_and_json_example);
    RUN(odd_text);
    RUN(other_files_and_notes);
    RUN(colors);
    RUN(counts_beyond_the_limit);
    RUN(said_once);
    RUN(long_texts_lose_their_middle);
    RUN(allowed_lints);
    RUN(failures);
    RUN(lack_of_memory);
    RUN(codes_are_unique_and_in_range);
    return ADV_TEST_END();
}
