/* test_compile_fuzz.c: whatever a recipe says, the compiler answers: no crash, no blow-up of memory or time, an error if and only if
** it refuses (check.h). Recipes of the tree are changed token by token: lost, doubled, swapped, replaced by a token of this or
** another recipe, or by one that tends to hurt. The seed is fixed; another, and the number of tries, may be given as arguments.
** Build with sanitizers to see more.
*/
#include "tests/compiler/check.h"

#include <ctype.h>
#include <time.h>

#define MAX_TOKENS 4000

typedef struct Tokens {
    const char *at[MAX_TOKENS];
    size_t n_bytes[MAX_TOKENS];
    unsigned char spaced[MAX_TOKENS];
    uint32_t n;
} Tokens;

static uint32_t state = 20240229;

static uint32_t rng(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

/* Words, numbers, strings, line ends, single characters; comments are left out, and of white space only where it was is kept. */
static void split(const Text *src, Tokens *t)
{
    const char *s = src->at, *end = src->at + src->n;
    t->n = 0;
    while (s < end && t->n < MAX_TOKENS) {
        const char *from = s;
        if (*s == '#') {
            while (s < end && *s != '\n') s++;
            continue;
        }
        if (*s == ' ') {
            s++;
            continue;
        }
        if (*s == '"') {
            for (s++; s < end && *s != '"' && *s != '\n'; s++) {
            }
            if (s < end && *s == '"') s++;
        } else if (isalnum((unsigned char)*s) || *s == '_') {
            while (s < end && (isalnum((unsigned char)*s) || *s == '_' ||
                               (*s == '.' && isdigit((unsigned char)from[0]) && s + 1 < end && isdigit((unsigned char)s[1]))))
                s++;
        } else if (s + 1 < end && strchr("-<=>|.!", *s) && strchr("->=|.", s[1])) {
            s += 2;
        } else {
            s++;
        }
        t->at[t->n] = from;
        t->spaced[t->n] = from > src->at && (from[-1] == ' ' || from[-1] == '\n');
        t->n_bytes[t->n++] = (size_t)(s - from);
    }
}

static const char *const hurting[] = {
    "0",
    "-1",
    "1",
    "2",
    "3",
    "4096",
    "1000000000",
    "16777216",
    "1e30",
    "0.5",
    "9007199254740993",
    "x",
    "y",
    "f",
    "eps",
    "id",
    "epoch",
    "progress",
    "z",
    "linf",
    "test",
    "[]",
    "[1, 2]",
    "[1: 2]",
    "1 .. 2",
    "\"s\"",
    "f(x)",
    "f.eval(x)",
    "f.mc(x, draw = 0)",
    "normal(like = x)",
    "grad(ce(f(x), y), x)",
    "softmax(f(x))",
    "z => z",
    "sum_over(3, i => x)",
    "(",
    ")",
    "{",
    "}",
    "\n",
    ",",
    "=",
    "<-",
    "->",
    ".",
    "+",
    "-",
    "*",
    "/",
    "^",
    "==",
    "and",
    "not",
    "if",
    "then",
    "else",
    "state",
    "signal",
    "step",
    "model",
    "copy(f)",
    "repeat",
    "replay",
    "with",
    "minimize",
    "touch",
    "over",
    "return",
    "carry",
    "epoch {",
    "phase p(epochs = 1 .. 1) {",
    "param",
    "in",
    "use",
    "live(grad(ce(f(x), y), x))",
    "worst",
    "rank",
    "conv",
    "linear",
    "bn",
};

static const char *const numbers[] = {"0", "1", "2", "3", "7", "10", "64", "100", "4096", "0.5", "0.1", "1e-3", "1000000", "1e9"};

static void put_token(Text *t, const char *s, size_t n)
{
    text_add(t, s, n);
    text_add(t, " ", 1);
}

static Text mutated(const Tokens *own, const Tokens *other)
{
    Text t = {0};
    uint32_t n_changes = 1 + rng(2), at[2], how[2];
    for (uint32_t k = 0; k < n_changes; k++) {
        at[k] = 2 + rng(own->n - 2); /* the edition stays */
        how[k] = rng(9);
        if (how[k] > 6) how[k] = 6;
    }
    for (uint32_t i = 0; i < own->n; i++) {
        uint32_t k = 0;
        while (k < n_changes && at[k] != i) k++;
        const char *s = own->at[i];
        size_t n = own->n_bytes[i];
        if (own->spaced[i]) text_add(&t, " ", 1);
        if (k == n_changes) {
            text_add(&t, s, n);
            continue;
        }
        if (how[k] == 6) { /* another number, where one is */
            const char *number = numbers[rng(sizeof numbers / sizeof *numbers)];
            if (isdigit((unsigned char)*s))
                text_add(&t, number, strlen(number));
            else
                text_add(&t, s, n);
            continue;
        }
        const char *hurt = hurting[rng(sizeof hurting / sizeof *hurting)];
        uint32_t j = rng(own->n), l = rng(other->n);
        switch (how[k]) {
        case 0: break;
        case 1:
            put_token(&t, s, n);
            put_token(&t, s, n);
            break;
        case 2: put_token(&t, own->at[j], own->n_bytes[j]); break;
        case 3: put_token(&t, other->at[l], other->n_bytes[l]); break;
        case 4:
            put_token(&t, hurt, strlen(hurt));
            put_token(&t, s, n);
            break;
        default: put_token(&t, hurt, strlen(hurt));
        }
    }
    return t;
}

static uint32_t n_clean, n_faulty;

static void try(const Text *t)
{
    int before = test_n_failed_checks;
    Checked c = check_recipe("fuzz.adv", t->at, t->n, NULL, NULL, NULL);
    CHECK(c.st == ADV_OK || c.st == ADV_ERECIPE);
    for (uint32_t i = 0; i < c.ds->list.n; i++) {
        const AdvDiag *d = c.ds->list.at[i];
        CHECK(d->message[0]);
        CHECK(d->id != ADV_D_INTERNAL && d->id != ADV_D_NO_MEMORY);
    }
    if (c.st == ADV_OK)
        n_clean++;
    else
        n_faulty++;
    if (test_n_failed_checks != before) {
        check_show(&c);
        printf("%s\n", t->at);
    }
    adv_diags_free(c.ds);
}

static int n_tries = 150;

enum { MAX_RECIPES = 64 };

/* Small recipes: each try is a whole compilation. */
static int is_small(const char *path)
{
    return strstr(path, "_toy") || strstr(path, "toy-") || strstr(path, "_mnist") || strstr(path, "quickstart");
}

static void mutations(void)
{
    Text src[MAX_RECIPES];
    Tokens *tokens = calloc(MAX_RECIPES, sizeof *tokens);
    char **files = adv_files("recipes");
    uint32_t n = 0;
    if (!tokens) abort();
    for (char **f = files; *f && n < MAX_RECIPES; f++) {
        if (!is_small(*f)) continue;
        src[n] = read_text(*f);
        split(&src[n], &tokens[n]);
        CHECK(tokens[n].n > 20);
        n++;
    }
    CHECK(n >= 8);
    clock_t start = clock();
    int i = 0;
    for (; n && i < n_tries && clock() - start < 20 * CLOCKS_PER_SEC; i++) {
        const Tokens *own = &tokens[rng(n)], *other = &tokens[rng(n)];
        if (own->n <= 20 || other->n <= 20) continue;
        Text t = mutated(own, other);
        try(&t);
        text_free(&t);
    }
    CHECK(i > 20);
    CHECK(n_clean > 5 && n_faulty > 5); /* or this tries nothing */
    while (n) text_free(&src[--n]);
    files_free(files);
    free(tokens);
}

/* Recipes that unfold into too much, in every way there is. */
static void blow_ups(void)
{
    static const char head[] = "adv 1\nuse std.nets\ndata mnist { batch = 100 }\n",
                      tail[] = "optim f = sgd(lr = 0.1)\ntrain { epochs = 1 }\n";
    static const char *const middle[] = {
        "fn a(v) = a(v) + a(v)\nmodel f = mlp()\nstep { minimize a(ce(f(x), y)) over f }\n",
        "model f = mlp()\nstep { minimize sum_over(4096, i => sum_over(4096, j => ce(f(x), y)*i*j)) over f }\n",
        "net n(x) { return x -> repeat(4096, (h, i) => h -> repeat(4096, (g, j) => g -> conv(1, 1))) -> linear(10) }\nmodel f = n()\nstep "
        "{ minimize ce(f(x), y) over f }\n",
        "net n(x) { return x -> linear(16777216) -> linear(16777216) }\nmodel f = n()\nstep { minimize ce(f(x), y) over f }\n",
        "net n(x) { return x -> conv(1048576, 255, pad = 64) -> conv(1048576, 255, pad = 64) -> linear(10) }\nmodel f = n()\nstep { "
        "minimize ce(f(x), y) over f }\n",
        "net n(x) { return n(x) + n(x) }\nmodel f = n()\nstep { minimize ce(f(x), y) over f }\n",
        "fn a(v) = b(v) + b(v)\nfn b(v) = a(v)\nmodel f = mlp()\nstep { minimize a(ce(f(x), y)) over f }\n",
        "fn a(g, v) = g(g, v) + g(g, v)\nmodel f = mlp()\nstep { minimize a((h, v) => h(h, v), ce(f(x), y)) over f }\n",
        "model f = mlp()\nstep { minimize ce(f(x), y)*each(4096, i => each(4096, j => i*j))[0][0] over f }\n",
    };
    for (size_t i = 0; i < sizeof middle / sizeof *middle; i++) {
        Text t = {0};
        text_add(&t, head, sizeof head - 1);
        text_add(&t, middle[i], strlen(middle[i]));
        text_add(&t, tail, sizeof tail - 1);
        Checked c = check_recipe("big.adv", t.at, t.n, NULL, NULL, NULL);
        CHECK_EQ(c.st, ADV_ERECIPE);
        CHECK_EQ(c.ds->n_errors, 1);
        if (c.ds->list.n) CHECK(c.ds->list.at[0]->id == ADV_D_TOO_BIG || c.ds->list.at[0]->id == ADV_D_TOO_MANY_CALLS);
        if (c.ds->n_errors != 1) check_show(&c);
        adv_diags_free(c.ds);
        text_free(&t);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) state = (uint32_t)strtoul(argv[1], NULL, 10) * 2654435761u | 1;
    if (argc > 2) n_tries = atoi(argv[2]);
    RUN(mutations);
    RUN(blow_ups);
    printf("%u recipes were taken, %u refused\n", n_clean, n_faulty);
    return ADV_TEST_END();
}
