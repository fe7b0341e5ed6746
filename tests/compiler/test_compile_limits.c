/* test_compile_limits.c: recipes that are wrong by size: a MiB of nesting of every kind, shapes and counts beyond all bounds,
** programs that would grow without end. Each gives a diagnostic with a place, soon, in bounded memory.
*/
#include "compiler/adv_compile.h"
#include "runtime/base/diag.h"
#include "tests/adv_test.h"

#include <stdbool.h>
#include <stdlib.h>

enum { MIB = 1 << 20, MOST_PRINTED = 256 * 1024 };

/* At most this much at a time for one recipe. */
static const uint64_t most_bytes = (uint64_t)1 << 30;

static void *bounded(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    uint64_t *left = user;
    AdvAlloc a = adv_alloc_default();
    if (new_bytes > *left + old_bytes) return NULL;
    void *q = a.fn(a.user, p, old_bytes, new_bytes);
    if (q || !new_bytes) *left += old_bytes - new_bytes;
    return q;
}

static void count(void *user, const char *text, size_t n)
{
    (void)text;
    *(size_t *)user += n;
}

static void show(void *user, const char *text, size_t n)
{
    (void)user;
    fwrite(text, 1, n, stdout);
}

/* Is the text refused, with a diagnostic of this code (0: any) that prints? */
static void refused(const char *what, const char *text, size_t n, uint32_t code)
{
    uint64_t left = most_bytes;
    size_t n_printed = 0;
    void *plan;
    uint64_t n_plan;
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    AdvCompileOpts o = {
        .struct_size = sizeof o, .alloc = bounded, .alloc_user = &left, .name = "wrong.adv", .text = text, .n_bytes = n, .targets = "cpu"};
    if (!ds) abort();
    AdvStatus st = adv_compile(&o, ds, &plan, &n_plan);
    bool found = false;
    for (uint32_t i = 0; i < ds->list.n; i++)
        found |= ds->list.at[i]->level == ADV_LEVEL_ERROR && (!code || adv_diag_defs[ds->list.at[i]->id].code == code);
    if (st != ADV_ERECIPE || !found) {
        printf("%s: status %d, expected ADV_ERECIPE and a message", what, st);
        printf(code ? " ADV%u\n" : "\n", code);
        adv_diags_print_short(ds, show, NULL);
    }
    CHECK_EQ(st, ADV_ERECIPE);
    CHECK(found && plan == NULL);
    adv_diags_print_human(ds, 1, count, &n_printed);
    adv_diags_print_json(ds, count, &n_printed);
    CHECK(n_printed > 0);
    if (n_printed > MOST_PRINTED) printf("%s: the messages have %zu bytes\n", what, n_printed);
    CHECK(n_printed <= MOST_PRINTED); /* long lines and names are shown in part */
    adv_diags_free(ds);
    CHECK(left == most_bytes);
}

/* `head`, then `unit` until the whole has n bytes. */
static char *repeated(const char *head, const char *unit, size_t n)
{
    char *s = malloc(n + 1);
    size_t at = strlen(head), len = strlen(unit);
    if (!s) abort();
    memcpy(s, head, at);
    for (; at + len <= n; at += len) memcpy(s + at, unit, len);
    memset(s + at, '\n', n - at);
    s[n] = 0;
    return s;
}

static void a_mib_of_nesting(void)
{
    static const char *const units[] = {
        "(",
        "[",
        "{",
        "f(",
        "- ",
        "not ",
        "if x then ",
        "if x then 1 else ",
        "x => ",
        "a.",
        "a -> ",
        "x[",
        "1 + ",
        "2 ^ ",
        "1 .. ",
        "\"",
        "a = ",
        "repeat 2 {\n",
        "step {\n",
        "net n(a) {\n",
        "with f -> ",
        "fn f(x) = ",
        ")",
        "}",
        "]",
        "(x => [",
        "f(a = ",
        "1, ",
        "\xc3\xa9",
        "\x01",
        "0x",
        "9",
        ".",
        "#",
        "\\",
        "x y ",
        "1 < ",
        "a || ",
        "=> ",
        "use ",
        "x\n",
        ";",
        "eval e { attacks = [",
        "data d { x = (",
        "state s(",
        "a <- ",
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        static const char *const heads[] = {"adv 1\n", "adv 1\nstep {\n  a = "};
        for (int k = 0; k < 2; k++) {
            if (units[i][0] == '#' && k == 0) continue; /* one comment */
            char *s = repeated(heads[k], units[i], MIB);
            refused(units[i], s, MIB, 0);
            free(s);
        }
    }
}

static void texts_of_odd_sizes(void)
{
    char *s = repeated("adv 1\n", "x = 1\n", MIB + 1);
    refused("a byte more than a MiB", s, MIB + 1, 0);
    refused("nothing", "", 0, 0);
    refused("NUL", "adv 1\0\n", 7, 0);
    free(s);
    s = repeated("", "x", MIB);
    memset(s, 0, MIB);
    refused("a MiB of NUL", s, MIB, 0);
    memset(s, 0xff, MIB);
    refused("a MiB of 0xff", s, MIB, 0);
    memset(s, '\n', MIB);
    refused("a MiB of newlines", s, MIB, 0);
    memset(s, 'a', MIB);
    memcpy(s, "adv 1\n", 6);
    refused("a name of a MiB", s, MIB, 0);
    free(s);
}

static void random_bytes(void)
{
    static char s[4096];
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 400; i++) {
        size_t n = 0;
        if (i % 2) n = (size_t)snprintf(s, sizeof s, "adv 1\n");
        for (size_t end = (size_t)(16 << i % 8); n < end; n++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            s[n] = (char)(i % 4 < 2 ? x >> 24 : 32 + (x >> 24) % 95);
        }
        refused("random bytes", s, n, 0);
    }
}

/* A small recipe with one place to be filled. */
static void refused_with(const char *data, const char *model, const char *step, const char *train)
{
    char text[4096], what[256];
    int n = snprintf(
        text, sizeof text,
        "adv 1\nuse std.nets\nuse std.attacks\n"
        "data synthetic { train = 64; test = 32; classes = 2; batch = 16; y = id - 2*floor(id/2); x = 0*normal(like = x); %s }\n"
        "model f = %s\nstep {\n  %s\n  minimize ce(f(x), y) over f\n}\noptim f = sgd(lr = 0.1)\ntrain { seed = 1; %s }\n",
        data ? data : "shape = [2]", model ? model : "mlp(width = 4, classes = 2)", step ? step : "a = 1", train ? train : "epochs = 1");
    snprintf(what, sizeof what, "%s", data ? data : model ? model : step ? step : train);
    CHECK(n > 0 && n < (int)sizeof text);
    refused(what, text, (size_t)n, 0);
}

static void shapes_beyond_bounds(void)
{
    static const char *const shapes[] = {
        "shape = [1000000000, 1000000000]",
        "shape = [9223372036854775807]",
        "shape = [4294967296, 4294967296]",
        "shape = [1e300]",
        "shape = [0]",
        "shape = [-1]",
        "shape = [2.5]",
        "shape = [1,1,1,1,1,1,1,1,1]",
        "shape = []",
        "shape = [1/0]",
        "shape = [3037000500, 3037000500, 2]",
        "shape = [1e18, 8]",
    };
    static const char *const models[] = {
        "mlp(width = 1000000000000, classes = 2)",
        "mlp(width = 9223372036854775807, classes = 2)",
        "mlp(width = 0, classes = 2)",
        "mlp(width = -4, classes = 2)",
        "mlp(width = 1e300, classes = 2)",
        "mlp(width = 4, classes = 1000000000000000000)",
        "mlp(width = 1/0, classes = 2)",
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) refused_with(shapes[i], NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) refused_with(NULL, models[i], NULL, NULL);
}

static void counts_beyond_bounds(void)
{
    static const char *const trains[] = {"epochs = 1000000000000000000", "epochs = -1", "epochs = 1e300", "epochs = 0.5", "epochs = 1/0"};
    static const char *const steps[] = {
        "repeat 1000000000 { a = 1 }",
        "repeat 1e300 { a = 1 }",
        "repeat -1 { a = 1 }",
        "repeat 0.5 { a = 1 }",
        "a = pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.02, steps = 10000000000)",
    };
    for (size_t i = 0; i < sizeof trains / sizeof *trains; i++) refused_with(NULL, NULL, NULL, trains[i]);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) refused_with(NULL, NULL, steps[i], NULL);
}

/* Calls that double: each is small, all of them are more than any machine has. */
static void growth_without_end(void)
{
    static char text[64 * 1024];
    size_t n = (size_t)snprintf(text, sizeof text, "adv 1\nuse std.nets\nfn g0(x) = x + 1\n");
    for (int i = 1; i < 64; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "fn g%d(x) = g%d(g%d(x)) + g%d(x)\n", i, i - 1, i - 1, i - 1);
    n += (size_t)snprintf(
        text + n, sizeof text - n,
        "data synthetic { train = 64; test = 32; classes = 2; shape = [2]; batch = 16; y = id - 2*floor(id/2); x = 0*normal(like = x) }\n"
        "model f = mlp(width = 4, classes = 2)\nstep { minimize mean(g63(ce(f(x), y))) over f }\noptim f = sgd(lr = 0.1)\n"
        "train { epochs = 1; seed = 1 }\n");
    CHECK(n < sizeof text);
    refused("doubling", text, n, 0);
    static const char self[] = "adv 1\nfn g(x) = g(x) + 1\nfn h(x) = k(x)\nfn k(x) = h(x)\nstep { a = g(1) + h(1) }\n";
    refused("a function that calls itself", self, sizeof self - 1, 0);
}

/* The operation that there is no room for may be any: of four in a turn of `sum_over` (a number, its product, the constant that an
** attack's result is, the sum), each is it once. */
static void no_room_for_any_operation(void)
{
    static const char *const more[] = {"exp", "sqrt", "abs"};
    static char text[4096];
    for (int before = 0; before < 4; before++) {
        size_t n = (size_t)snprintf(text, sizeof text,
                                    "adv 1\nuse std.nets\ndata mnist { batch = 100 }\nmodel f = mlp()\noptim f = sgd(lr = 0.1)\n"
                                    "train { epochs = 1 }\nattack times(v, i) { return v*i }\nstep {\n");
        for (int i = 0; i < 10; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "  l%d = detach(each(4096, i => id*(i + %d.5)))\n", i, i * 4096);
        for (int i = 0; i < before; i++) n += (size_t)snprintf(text + n, sizeof text - n, "  a%d = %s(id)\n", i, more[i]);
        n += (size_t)snprintf(text + n, sizeof text - n, "  minimize sum_over(4096, i => times(id, i + 0.25))*ce(f(x), y) over f\n}\n");
        CHECK(n < sizeof text);
        refused("operations", text, n, 2036);
    }
}

/* What a plan may not hold is refused before there is one. */
static void lists_beyond_bounds(void)
{
    static char text[128 * 1024];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "adv 1\nuse std.nets\ndata mnist { batch = 100 }\nmodel f = mlp()\noptim f = sgd(lr = 0.1)\n"
                                "train { epochs = 1 }\nstep { minimize ce(f(x), y) over f }\n");
    for (int i = 0; i < 4097; i++) n += (size_t)snprintf(text + n, sizeof text - n, "param a%d = %d\n", i, i);
    CHECK(n < sizeof text);
    refused("parameters", text, n, 2036);
}

int main(void)
{
    RUN(a_mib_of_nesting);
    RUN(texts_of_odd_sizes);
    RUN(random_bytes);
    RUN(shapes_beyond_bounds);
    RUN(counts_beyond_bounds);
    RUN(growth_without_end);
    RUN(no_room_for_any_operation);
    RUN(lists_beyond_bounds);
    return ADV_TEST_END();
}
