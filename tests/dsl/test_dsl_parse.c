/* test_dsl_parse.c: trees of good programs against goldens, canonical text, extents, comments.
**
**   good/X.adv must parse to good/X.ast, and print as good/X.fmt, or as itself where there is no such file.
**   Run with --bless to write the goldens anew; review the difference like code.
*/
#include "tests/dsl/dsl_test.h"

static int bless;
static uint32_t comment_seed = 7; /* another may be given as an argument */

static void compare_golden(const char *path, const char *ext, const Text *got, const char *otherwise, size_t n_otherwise)
{
    char golden[1024];
    snprintf(golden, sizeof golden, "%.*s%s", (int)(strlen(path) - 4), path, ext);
    Text want = read_text(golden);
    if (bless && (want.at || !otherwise)) {
        FILE *f = fopen(golden, "wb");
        if (f) {
            fwrite(got->at, 1, got->n, f);
            fclose(f);
        }
    } else if (!want.at) {
        if (!otherwise) printf("%s is missing\n", golden);
        CHECK(otherwise && got->n == n_otherwise && memcmp(got->at, otherwise, n_otherwise) == 0);
        if (otherwise && (got->n != n_otherwise || memcmp(got->at, otherwise, n_otherwise) != 0)) printf("%s is not canonical\n", path);
    } else {
        if (!text_eq(got, &want)) printf("%s differs\n", golden);
        CHECK(text_eq(got, &want));
    }
    text_free(&want);
}

/* The comments' texts, in order. */
static Text comments_of(const Parsed *p)
{
    Text t = { 0 };
    text_add(&t, "", 0);
    for (uint32_t i = 0; i < p->t->comments.n; i++) {
        AdvSpan s = p->t->comments.at[i].span;
        text_add(&t, p->ds->sources.files.at[0].text + s.off, s.len);
        text_add(&t, "\n", 1);
    }
    return t;
}

/* Canonical text: parses to the same tree with the same comments, and is its own canonical text. Returns it. */
static Text check_canonical(const char *path, const Parsed *p)
{
    Parsed q;
    Text dump = dump_of(p), comments = comments_of(p), text = print_of(p);
    parse_text(&q, path, text.at, text.n);
    Text dump2 = dump_of(&q), comments2 = comments_of(&q), text2 = print_of(&q);
    int same = q.ds->n_errors == 0 && text_eq(&dump, &dump2), kept = text_eq(&comments, &comments2), again = text_eq(&text, &text2);
    if (!same || !kept || !again) printf("%s: canonical text:\n%s\n", path, text.at);
    CHECK(same);
    CHECK(kept);
    CHECK(again);
    text_free(&dump), text_free(&dump2), text_free(&comments), text_free(&comments2), text_free(&text2);
    parse_free(&q);
    return text;
}

static void check_file(const char *path, int is_golden)
{
    Parsed p;
    Text src = read_text(path);
    parse_text(&p, path, src.at, src.n);
    if (p.ds->list.n) {
        Text t = { 0 };
        adv_diags_print_human(p.ds, 0, text_add, &t);
        printf("%s\n", t.at);
        text_free(&t);
    }
    CHECK_EQ(p.ds->list.n, 0);
    CHECK(tree_is_sound(&p));
    Text canon = check_canonical(path, &p);
    if (is_golden) {
        Text dump = dump_of(&p);
        compare_golden(path, ".ast", &dump, NULL, 0);
        compare_golden(path, ".fmt", &canon, src.at, src.n);
        text_free(&dump);
    } else {
        if (!text_eq(&canon, &src)) printf("%s is not canonical\n", path);
        CHECK(text_eq(&canon, &src));
    }
    text_free(&canon), text_free(&src);
    parse_free(&p);
}

static void check_folder(const char *folder, int is_golden, int at_least)
{
    int n = 0;
    char **files = adv_files(folder);
    for (char **f = files; *f; f++, n++) check_file(*f, is_golden);
    files_free(files);
    CHECK(n >= at_least);
}

static void good_programs(void) { check_folder("tests/dsl/good", 1, 10); }
static void models_are_canonical(void) { check_folder("models", 0, 4); }
static void recipes_are_canonical(void) { check_folder("recipes", 0, 20); }

static uint32_t rng(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return *s >> 8;
}

/* A comment and a newline behind any token that cannot end a statement, or before any newline, change nothing but comments. */
static void comments_anywhere(void)
{
    static const char *const folders[] = { "tests/dsl/good", "models", "recipes" };
    uint32_t seed = comment_seed;
    for (int k = 0; k < 3; k++) {
        char **files = adv_files(folders[k]);
        for (char **f = files; *f; f++) {
            Parsed p, q;
            Text src = read_text(*f), out = { 0 };
            parse_text(&p, *f, src.at, src.n);
            char quote = 0, hash = 0;
            for (size_t i = 0; i < src.n; i++) {
                char c = src.at[i];
                if (c == '"' && !hash) quote = !quote;
                if (c == '#' && !quote) hash = 1;
                int here = !quote && !hash && rng(&seed) % 6 == 0;
                if (here && c == '\n' && i) text_add(&out, " # before", 9);
                if (c == '\n') hash = 0;
                text_add(&out, &c, 1);
                if (here && (strchr("([,+*^", c) || (c == '=' && src.at[i + 1] == ' ' && src.at[i - 1] == ' ')))
                    text_add(&out, " # in\n\n  # own", 14), text_add(&out, "\n", 1);
            }
            parse_text(&q, *f, out.at, out.n);
            Text a = dump_of(&p), b = dump_of(&q);
            if (q.ds->n_errors || !text_eq(&a, &b)) printf("%s\n", out.at);
            CHECK(q.ds->n_errors == 0 && text_eq(&a, &b));
            Text canon = check_canonical(*f, &q);
            text_free(&canon), text_free(&a), text_free(&b), text_free(&src), text_free(&out);
            parse_free(&p);
            parse_free(&q);
        }
        files_free(files);
    }
}

static const AstNode *find(const Parsed *p, AstKind kind)
{
    for (uint32_t i = 1; i < p->t->nodes.n; i++)
        if (p->t->nodes.at[i].kind == kind) return &p->t->nodes.at[i];
    return NULL;
}

static void check_span(const Parsed *p, AdvSpan s, const char *want)
{
    const char *text = p->ds->sources.files.at[0].text + s.off;
    if (s.len != strlen(want) || memcmp(text, want, s.len) != 0) printf("got `%.*s`, want `%s`\n", (int)s.len, text, want);
    CHECK(s.len == strlen(want) && memcmp(text, want, s.len) == 0);
}

/* The word to point at, and the whole. */
static void extents(void)
{
    static const char src[] =
        "adv 1\nparam beta = 6.0 in 0 .. 20\nstep {\n  z = (a + b)*f.eval(x, n = 2)[y] -> c1: conv(3)\n  m <- if q then 1 else 2\n"
        "  minimize z over f, g\n}\nfn h(x) = g(u => -u)\n";
    Parsed p;
    parse_text(&p, "extents.adv", src, sizeof src - 1);
    CHECK_EQ(p.ds->list.n, 0);
    static const struct { AstKind kind; const char *key, *whole; } want[] = {
        { AST_PARAM, "beta", "param beta = 6.0 in 0 .. 20" },
        { AST_RANGE, "..", "0 .. 20" },
        { AST_BINARY, "+", "(a + b)" },
        { AST_CALL, "eval", "f.eval(x, n = 2)" },
        { AST_DOT, "eval", "f.eval" },
        { AST_INDEX, "[", "f.eval(x, n = 2)[y]" },
        { AST_PIPE, "c1", "(a + b)*f.eval(x, n = 2)[y] -> c1: conv(3)" },
        { AST_UPDATE, "<-", "m <- if q then 1 else 2" },
        { AST_IF, "if", "if q then 1 else 2" },
        { AST_MINIMIZE, "minimize", "minimize z over f, g" },
        { AST_NAMES, "f", "f, g" },
        { AST_LAMBDA, "=>", "u => -u" },
        { AST_UNARY, "-", "-u" },
        { AST_FN, "h", "fn h(x) = g(u => -u)" },
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const AstNode *n = find(&p, want[i].kind);
        CHECK(n != NULL);
        if (!n) continue;
        check_span(&p, n->key, want[i].key);
        check_span(&p, n->span, want[i].whole);
    }
    parse_free(&p);
}

/* Numbers keep their text, and their value is the nearest double. */
static void numbers(void)
{
    static const struct { const char *text; double value;
    } want[] = {
        {"0", 0},
        {"8", 8},
        {"0.031", 0.031},
        {"1e-12", 1e-12},
        {"5e-4", 5e-4},
        {"1.0000001", 1.0000001},
        {"2E3", 2e3},
        {"0.1", 0.1},
        {"123456789012345678901234567890", 123456789012345678901234567890.0},
        {"4.9406564584124654e-324", 4.9406564584124654e-324},
        {"0.000000000000000000000000000001", 1e-30},
        {"1e-999999", 0},
        {"1.5e-99999999999999999999", 0},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char src[100];
        Parsed p;
        int n = snprintf(src, sizeof src, "adv 1\nx = %s\n", want[i].text);
        parse_text(&p, "numbers.adv", src, (size_t)n);
        CHECK_EQ(p.ds->list.n, 0);
        const AstNode *num = find(&p, AST_NUM);
        CHECK(num && num->num == want[i].value);
        CHECK_STR(num ? adv_str(&p.names, num->name) : NULL, want[i].text);
        parse_free(&p);
    }
}

/* Where statements end: the two texts of each row are the same program. */
static void statement_ends(void)
{
    static const char *const same[][2] = {
        { "x = a +\n  b\n", "x = a + b" },
        { "x = a\n  - b\n", "x = a - b" },
        { "x = f(a,\n\n b\n)\n", "x = f(a, b)" },
        { "x = a\n\n # c\n  -> b\n", "x = a -> b" },
        { "x = if a\n then b\n else c\n", "x = if a then b else c" },
        { "step\n{ a = 1 ;; b = 2; }", "step { a = 1; b = 2 }" },
        { "step { a = 1 }", "step {\na = 1\n}" },
        { ";;x = 1;\n;\n", "x = 1" },
        { "loss = 1; step = loss; data.x = over; to, in = as", "loss = 1\nstep = loss\ndata.x = over\nto, in = as" },
        { "x = 1\r\ny = 2\r\n", "x = 1\ny = 2" },
        { "x = f(a, b,)\ny = [1, 2,]\n", "x = f(a, b)\ny = [1, 2]" },
        { "x = y -> relu() -> f\n", "x = y -> relu -> f" },
        { "minimize over over over", "minimize over over over" },
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        Text d[2];
        for (int k = 0; k < 2; k++) {
            char src[200];
            Parsed p;
            int n = snprintf(src, sizeof src, "adv 1\n%s", same[i][k]);
            parse_text(&p, "ends.adv", src, (size_t)n);
            if (p.ds->list.n) printf("%s\n", src);
            CHECK_EQ(p.ds->list.n, 0);
            d[k] = dump_of(&p);
            parse_free(&p);
        }
        if (!text_eq(&d[0], &d[1])) printf("%s\n%s%s", same[i][0], d[0].at, d[1].at);
        CHECK(text_eq(&d[0], &d[1]));
        text_free(&d[0]), text_free(&d[1]);
    }
}

int main(int argc, char **argv)
{
    bless = argc > 1 && strcmp(argv[1], "--bless") == 0;
    if (argc > 1 && !bless) comment_seed = (uint32_t)strtoul(argv[1], NULL, 10);
    RUN(good_programs);
    RUN(models_are_canonical);
    RUN(recipes_are_canonical);
    RUN(comments_anywhere);
    RUN(extents);
    RUN(numbers);
    RUN(statement_ends);
    return ADV_TEST_END();
}
