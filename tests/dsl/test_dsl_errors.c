/* test_dsl_errors.c: wrong programs: each bad/X.adv says on its lines what must be reported there (expect.h). What a file
** cannot hold is tested below.
*/
#include "tests/base/fault_alloc.h"
#include "tests/dsl/expect.h"

static unsigned char code_seen[10000];

static void check_bad(const char *path)
{
    Parsed p;
    Want wants[64];
    Text src = read_text(path);
    size_t n_wants = wants_of(&src, wants, 64);
    parse_text(&p, path, src.at, src.n);
    CHECK(tree_is_sound(&p));
    check_wants(path, wants, n_wants, p.ds, code_seen);
    text_free(&src);
    parse_free(&p);
}

static void bad_programs(void)
{
    int n = 0;
    char **files = adv_files("tests/dsl/bad");
    for (char **f = files; *f; f++, n++) check_bad(*f);
    files_free(files);
    CHECK(n >= 10);
}

static void one_error(const char *name, const char *text, size_t n, uint32_t code, const char *message)
{
    Parsed p;
    parse_text(&p, name, text, n);
    CHECK_EQ(p.ds->list.n, 1);
    if (p.ds->list.n) {
        CHECK_EQ(adv_diag_defs[p.ds->list.at[0]->id].code, code);
        CHECK_STR(p.ds->list.at[0]->message, message);
        code_seen[code] = 1;
    }
    CHECK(tree_is_sound(&p));
    parse_free(&p);
}

static void nothing_at_all(void)
{
    static const char message[] = "expected the language edition, `adv 1`, as the first line";
    one_error("empty", "", 0, 1008, message);
    one_error("blank", " \n\n", 3, 1008, message);
    one_error("comment", "# adv 1", 7, 1008, message);
    one_error("mark", "\xef\xbb\xbf", 3, 1008, message);
    one_error("half", "adv", 3, 1008, "expected the number of the language edition behind `adv`");
}

static void zero_bytes(void)
{
    static const char one[] = "adv 1\nx = 1 \0\0\0 2\n", inside[] = "adv 1\n# a comment \0 and more\nx = 1\n",
                      in_string[] = "adv 1\nx = \"a\0b\"\n";
    one_error("one", one, sizeof one - 1, 1002, "a zero byte, which no token begins with");
    one_error("inside", inside, sizeof inside - 1, 1002, "a zero byte, which no token begins with");
    Parsed p;
    parse_text(&p, "in_string", in_string, sizeof in_string - 1);
    CHECK(p.ds->n_errors >= 1);
    parse_free(&p);
}

static void too_long(void)
{
    Text t = { 0 };
    text_add(&t, "adv 1\n", 6);
    while (t.n < ADV_MAX_SOURCE_BYTES) text_add(&t, "#\n", 2);
    Parsed p;
    t.n = ADV_MAX_SOURCE_BYTES;
    parse_text(&p, "fits", t.at, t.n);
    CHECK_EQ(p.ds->list.n, 0);
    parse_free(&p);
    text_add(&t, "\n", 1);
    one_error("long", t.at, t.n, 1007, "the source has 1048577 bytes, more than the 1048576 that are read");
    text_free(&t);
}

/* n times `open`, then `mid`, then n times `close`. */
static Text nested(const char *head, int n, const char *open, const char *mid, const char *close)
{
    Text t = { 0 };
    text_add(&t, head, strlen(head));
    for (int i = 0; i < n; i++) text_add(&t, open, strlen(open));
    text_add(&t, mid, strlen(mid));
    for (int i = 0; i < n; i++) text_add(&t, close, strlen(close));
    text_add(&t, "\n", 1);
    return t;
}

static void nesting(void)
{
    static const struct { const char *head, *open, *mid, *close; int fits, too_deep; } rows[] = {
        { "adv 1\nx = ", "(", "a", ")", 64, 65 },           { "adv 1\nx = ", "f(", "a", ")", 64, 65 },
        { "adv 1\nx = ", "[", "a", "]", 64, 65 },           { "adv 1\n", "step {\n", "x = 1", "\n}", 64, 65 },
        { "adv 1\nx = ", "(", "a", ")", 64, 100000 },       { "adv 1\n", "step {", "x = (1)", "}", 63, 64 },
        { "adv 1\nx = ", "-", "a", "", 500, 600 },          { "adv 1\nx = ", "not ", "a", "", 500, 100000 },
        { "adv 1\nx = ", "a + ", "a", "", 500, 100000 },    { "adv 1\nx = ", "a^", "a", "", 500, 600 },
        { "adv 1\nx = a", " -> f", "", "", 500, 100000 },   { "adv 1\nx = ", "if a then b else ", "c", "", 500, 20000 },
        { "adv 1\nx = a", ".a", "", "", 500, 100000 },
        { "adv 1\na", ".a", " = 1", "", 500, 100000 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int k = 0; k < 2; k++) {
            Parsed p;
            Text t = nested(rows[i].head, k ? rows[i].too_deep : rows[i].fits, rows[i].open, rows[i].mid, rows[i].close);
            parse_text(&p, "nested", t.at, t.n);
            CHECK(tree_is_sound(&p));
            if (k == 0) CHECK_EQ(p.ds->list.n, 0);
            if (k == 1) {
                CHECK_EQ(p.ds->list.n, 1);
                if (p.ds->list.n) CHECK_EQ(adv_diag_defs[p.ds->list.at[0]->id].code, 1006);
                code_seen[1006] = 1;
            }
            if ((k == 0 && p.ds->list.n) || (k == 1 && p.ds->list.n != 1)) printf("row %zu, %d: %u messages\n", i, k, p.ds->list.n);
            Text a = dump_of(&p), b = print_of(&p);
            text_free(&a), text_free(&b), text_free(&t);
            parse_free(&p);
        }
    }
}

/* More errors than are shown are counted. */
static void twenty_errors(void)
{
    Parsed p;
    Text t = nested("adv 1\n", 1000, "x = = 1\n", "", "");
    parse_text(&p, "many", t.at, t.n);
    CHECK_EQ(p.ds->n_errors, 1000);
    CHECK_EQ(p.ds->list.n, ADV_DIAG_MAX_ERRORS);
    text_free(&t);
    parse_free(&p);
}

/* What stands after a fault is still read, and what stood before it in the statement is kept. */
static void recovery(void)
{
    static const char src[] = "adv 1\nx = 1 1\nstep oops oops {\n  y = 2\n  minimize (y over f\n  z = 3\n}\nw = f(1,\nmodel f = g()\n";
    static const char want[] =
        "FILE 1\n  ASSIGN\n    PATHS\n      PATH x\n    NUM 1 1\n  ERROR\n  ERROR\n    BLOCK\n      ASSIGN\n        PATHS\n          PATH "
        "y\n"
        "        NUM 2 2\n      ERROR\n      ASSIGN\n        PATHS\n          PATH z\n        NUM 3 3\n  ASSIGN\n    PATHS\n      PATH w\n"
        "    CALL\n      ID f\n      ARG\n        NUM 1 1\n  MODEL f\n    CALL\n      ID g\n";
    Parsed p;
    parse_text(&p, "recovery", src, sizeof src - 1);
    Text got = dump_of(&p);
    CHECK_STR(got.at, want);
    CHECK_EQ(p.ds->n_errors, 4);
    text_free(&got);
    parse_free(&p);
}

/* The main place and the label of an open bracket. */
static void unclosed_points_at_the_opener(void)
{
    static const char src[] = "adv 1\nstep {\n  x = pgd(z => ce(f(z), y), x,\n    eps\n}\n";
    Parsed p;
    parse_text(&p, "open", src, sizeof src - 1);
    CHECK_EQ(p.ds->list.n, 1);
    AdvDiag *d = p.ds->list.at[0];
    CHECK_EQ(adv_diag_defs[d->id].code, 1005);
    CHECK_EQ(d->span.off, strstr(src, "(z =>") - src);
    int labelled = 0;
    for (uint32_t i = 0; i < d->labels.n; i++) labelled |= d->labels.at[i].span.off == (uint32_t)(strchr(src, '}') - src);
    CHECK(labelled);
    parse_free(&p);
}

/* The page of each code of the text (those of other codes: tests/compiler/test_codes.c): its wrong program gives the code and nothing else,
 * its right one gives nothing. */
static void pages(void)
{
    int n = 0;
    for (int i = 0; i < ADV_D_COUNT; i++) {
        uint32_t code = adv_diag_defs[i].code;
        if (code >= 1050) continue;
        Text page = page_of(code);
        CHECK(page.at != NULL);
        if (!page.at) continue;
        Text wrong = program_of(&page, "\nWrong:"), right = program_of(&page, "\nRight:");
        CHECK((wrong.at != NULL) == (right.at != NULL));
        Parsed p;
        if (wrong.at) {
            parse_text(&p, "wrong", wrong.at, wrong.n);
            CHECK_EQ(p.ds->list.n, 1);
            CHECK(p.ds->list.n && p.ds->list.at[0]->id == i);
            parse_free(&p);
            parse_text(&p, "right", right.at, right.n);
            CHECK_EQ(p.ds->list.n, 0);
            parse_free(&p);
            n++;
        }
        text_free(&page), text_free(&wrong), text_free(&right);
    }
    CHECK_EQ(n, 8); /* a text too long, or not UTF-8, cannot be shown on a page */
}

/* Every code of the text has been seen above. */
static void every_code_has_a_test(void)
{
    for (int i = 0; i < ADV_D_COUNT; i++) {
        uint32_t code = adv_diag_defs[i].code;
        if (code < 1000 || code >= 1050) continue; /* those of the text itself */
        if (!code_seen[code]) printf("no test gives ADV%u\n", code);
        CHECK(code_seen[code]);
    }
}

/* Parses with memory from f. False if the trap was taken. */
static int parse_from(FaultAlloc *f, AdvDiags *ds, uint32_t file)
{
    AdvArena arena;
    AdvInterns names;
    jmp_buf trap;
    adv_arena_init(&arena, fault_alloc(f));
    arena.trap = &trap;
    if (setjmp(trap)) {
        adv_arena_fini(&arena);
        return 0;
    }
    adv_interns_init(&names, &arena);
    CHECK(adv_parse(&arena, &names, ds, file) != NULL);
    adv_arena_fini(&arena);
    return 1;
}

/* The k-th allocation fails, for every k: the trap is taken or there are fewer messages; nothing leaks, nothing crashes. */
static void no_memory(void)
{
    Text src = { 0 };
    text_add(&src, "adv 1\nuse \"a\\\"b.adv\"\nx.y = f(a, \"c\") ! \nstep { y = = 2; z = 3 3 }\nw = f(\n", 68);
    for (int i = 0; i < 20000; i++) text_add(&src, i % 10 ? "# c\n" : "x = a + 1.5 # c\n", i % 10 ? 4 : 16); /* several chunks */
    int done = 0, trapped = 0;
    for (long k = 1; k < 500 && !done; k++) {
        FaultAlloc f = { .fail_at = k };
        AdvDiags *ds = adv_diags_new(fault_alloc(&f));
        uint32_t file = ds ? adv_sources_add(&ds->sources, "x", src.at, src.n) : 0;
        if (file) {
            int whole = parse_from(&f, ds, file);
            trapped += !whole;
            done = whole && f.calls < k;
        }
        adv_diags_free(ds);
        CHECK_EQ(f.n_live, 0);
        CHECK_EQ(f.n_wrong_sizes, 0);
    }
    CHECK(done);
    CHECK(trapped > 3);
    text_free(&src);
}

int main(void)
{
    RUN(bad_programs);
    RUN(nothing_at_all);
    RUN(zero_bytes);
    RUN(too_long);
    RUN(nesting);
    RUN(twenty_errors);
    RUN(recovery);
    RUN(unclosed_points_at_the_opener);
    RUN(pages);
    RUN(every_code_has_a_test);
    RUN(no_memory);
    return ADV_TEST_END();
}
