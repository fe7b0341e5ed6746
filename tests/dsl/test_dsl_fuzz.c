/* test_dsl_fuzz.c: any bytes give a tree and messages, never a crash (build with sanitizers to see more). The seed is fixed;
** another may be given as an argument.
** What parses without a message must also print, parse again to the same tree, and print as the same text.
*/
#include "tests/dsl/dsl_test.h"

static uint32_t state = 12345;

static uint32_t rng(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

static uint32_t n_clean, n_faulty;

static void try(const char *what, const char *text, size_t n)
{
    Parsed p;
    parse_text(&p, what, text, n);
    int sound = tree_is_sound(&p);
    Text dump = dump_of(&p), canon = print_of(&p);
    if (p.ds->n_errors) {
        n_faulty++;
    } else {
        n_clean++;
        Parsed q;
        parse_text(&q, what, canon.at, canon.n);
        Text dump2 = dump_of(&q), canon2 = print_of(&q);
        sound = sound && text_eq(&dump, &dump2) && text_eq(&canon, &canon2);
        text_free(&dump2), text_free(&canon2);
        parse_free(&q);
    }
    if (!sound) printf("%s: %.*s\n", what, (int)n, text);
    CHECK(sound);
    text_free(&dump), text_free(&canon);
    parse_free(&p);
}

static void random_bytes(void)
{
    char buf[400];
    for (int i = 0; i < 1500; i++) {
        size_t n = rng(sizeof buf);
        for (size_t k = 0; k < n; k++) buf[k] = (char)(i % 2 ? rng(256) : 1 + rng(127));
        if (n > 6 && i % 3) memcpy(buf, "adv 1\n", 6);
        try("bytes", buf, n);
    }
}

static const char *const words[] = {
    "use",    "param", "net",  "fn",  "loss",  "attack", "model",  "optim",  "signal", "state",    "data",     "budget", "step",
    "phase",  "train", "eval", "run", "epoch", "carry",  "return", "within", "touch",  "minimize", "maximize", "apply",  "repeat",
    "replay", "with",  "over", "to",  "as",    "in",     "if",     "then",   "else",   "and",      "or",       "not",    "x",
    "y",      "f",     "g",    "1",   "0.5",   "2e3",    "\"s\"",  "+",      "-",      "*",        "/",        "^",      "==",
    "<",      "<=",    "<-",   "->",  "=>",    "||",     "..",     "=",      "(",      ")",        "[",        "]",      "{",
    "}",      ",",     ":",    ".",   ";",     "\n",     "\n",     "\n",     "# c\n",  "1.",       "\"",       "é",      "!",
};

static void random_tokens(void)
{
    for (int i = 0; i < 2500; i++) {
        Text t = { 0 };
        text_add(&t, "adv 1\n", 6);
        for (uint32_t n = rng(60); n; n--) {
            const char *w = words[rng(sizeof words / sizeof *words - (i % 2 ? 4 : 0))];
            text_add(&t, w, strlen(w));
            if (rng(4)) text_add(&t, " ", 1);
        }
        try("tokens", t.at, t.n);
        text_free(&t);
    }
}

/* Expressions and statements that mostly parse, so that the printer is tried on odd shapes. */
static void expression(Text *t, int depth)
{
    static const char *const ops[] = {
        "+", "-", "*", "/", "^", " and ", " or ", "==", "<", " .. ", " -> ", " -> l: ", "\n+", "+ # c\n", "-> # c\n"};
    static const char *const leaves[] = { "x", "y", "8/255", "0.5", "f.eval(x)", "p[y]", "-z", "not q", "[]", "\"s\"" };
    switch (depth > 0 ? rng(8) : 7) {
    case 0: text_add(t, "(", 1); expression(t, depth - 1); text_add(t, ")", 1); break;
    case 1: text_add(t, "if x then ", 10); expression(t, depth - 1); text_add(t, " else ", 6); expression(t, depth - 1); break;
    case 2:
        text_add(t, "f(", 2);
        expression(t, depth - 1);
        text_add(t, ",\n k = ", 7);
        expression(t, depth - 1);
        text_add(t, ")", 1);
        break;
    case 3: text_add(t, "[ # c\n", 6); expression(t, depth - 1); text_add(t, "]", 1); break;
    case 4: text_add(t, "g(z => ", 7); expression(t, depth - 1); text_add(t, ")", 1); break;
    case 5: case 6: {
        const char *op = ops[rng(sizeof ops / sizeof *ops)];
        expression(t, depth - 1);
        text_add(t, op, strlen(op));
        if (strstr(op, "->")) text_add(t, "f", 1);
        else expression(t, depth - 1);
        break;
    }
    default: {
        const char *leaf = leaves[rng(sizeof leaves / sizeof *leaves)];
        text_add(t, leaf, strlen(leaf));
    }
    }
}

static void random_programs(void)
{
    static const char *const heads[] = {"x = ",       "a.b, c = ",  "s <- ",           "return ",         "touch ", "fn f(a, b = 1) = ",
                                        "param p = ", "model m = ", "\n\n# own\ny = ", "state s: once = "};
    static const char *const ends[] = { "\n", ";", "; ", "  # c\n", "\n\n\n", "\n# c\n\n" };
    uint32_t before = n_clean;
    for (int i = 0; i < 1500; i++) {
        Text t = { 0 };
        int open = 0;
        text_add(&t, "adv 1\n", 6);
        for (uint32_t n = 1 + rng(6); n; n--) {
            if (rng(5) == 0) {
                const char *block = rng(2) ? "step {" : "repeat 3 {\n";
                text_add(&t, block, strlen(block));
                open++;
            }
            const char *head = heads[rng(sizeof heads / sizeof *heads)], *end = ends[rng(sizeof ends / sizeof *ends)];
            text_add(&t, head, strlen(head));
            expression(&t, 4);
            text_add(&t, end, strlen(end));
            if (open && rng(3) == 0) text_add(&t, "}\n", 2), open--;
        }
        while (open-- > 0) text_add(&t, "}\n", 2);
        try("program", t.at, t.n);
        text_free(&t);
    }
    CHECK(n_clean - before > 200); /* or this tries nothing */
}

/* Every recipe and module: cut at many places; bytes changed, lost, doubled. */
static void corpus(void)
{
    static const char *const folders[] = { "tests/dsl/good", "tests/dsl/bad", "models", "recipes" };
    for (int k = 0; k < 4; k++) {
        char **files = adv_files(folders[k]);
        for (char **f = files; *f; f++) {
            Text src = read_text(*f);
            for (size_t n = rng(60); n < src.n; n += 1 + rng(120)) try("cut", src.at, n);
            for (int i = 0; i < 15; i++) {
                Text t = { 0 };
                size_t at = rng((uint32_t)src.n), len = rng(12);
                if (at + len > src.n) len = src.n - at;
                text_add(&t, src.at, at);
                if (i % 3 == 0) text_add(&t, words[rng(sizeof words / sizeof *words)], 1);
                if (i % 3 == 1) text_add(&t, src.at + at, len);
                text_add(&t, src.at + at + (i % 3 == 2 ? len : 0), src.n - at - (i % 3 == 2 ? len : 0));
                try("changed", t.at, t.n);
                text_free(&t);
            }
            text_free(&src);
        }
        files_free(files);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) state = (uint32_t)strtoul(argv[1], NULL, 10) * 2654435761u | 1;
    RUN(random_bytes);
    RUN(random_tokens);
    RUN(random_programs);
    RUN(corpus);
    printf("%u programs without a message, %u with\n", n_clean, n_faulty);
    return ADV_TEST_END();
}
