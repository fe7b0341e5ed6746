/* test_compile_errors.c: recipes that read well and are wrong: each bad/X.adv says on its lines what must be reported there
** (tests/dsl/expect.h). Below: how a message is shown (labels, notes, the chain of layers, origins of overridden values), as text
** and as JSON, and lints that are allowed or denied.
*/
#include "tests/compiler/check.h"
#include "tests/dsl/expect.h"

#include <jansson.h>

static unsigned char code_seen[10000];

static void bad_recipes(void)
{
    int n = 0;
    char **files = adv_files("tests/compiler/bad");
    for (char **f = files; *f; f++, n++) {
        Want wants[64];
        Text src = read_text(*f);
        const char *name = strrchr(*f, '/') + 1; /* so that messages about other files do not depend on where the tree is */
        size_t n_wants = wants_of(&src, wants, 64);
        Checked c = check_recipe(name, src.at, src.n, NULL, NULL, NULL);
        check_wants(name, wants, n_wants, c.ds, code_seen);
        adv_diags_free(c.ds);
        text_free(&src);
    }
    files_free(files);
    CHECK(n >= 100);
}

#define HEAD  "adv 1\nuse std.nets\nuse std.attacks\ndata mnist { batch = 100 }\n"
#define TAIL  "optim f = sgd(lr = 0.1)\ntrain { epochs = 2 }\n"
#define PLAIN HEAD "model f = mlp()\nstep {\n  minimize ce(f(x), y) over f\n}\n" TAIL

static void check_shown(const char *text, const char *const *sets, const char *want)
{
    Checked c = check_recipe("mine.adv", text, strlen(text), sets, NULL, NULL);
    Text t = {0};
    adv_diags_print_human(c.ds, 0, text_add, &t);
    for (uint32_t i = 0; i < c.ds->list.n; i++) code_seen[adv_diag_defs[c.ds->list.at[i]->id].code] = 1;
    CHECK_STR(t.at ? t.at : "", want);
    text_free(&t);
    adv_diags_free(c.ds);
}

/* Both operands are labelled, and the layers passed are listed: a finished block is one line, an unfinished one its layers. */
static void chain_of_layers(void)
{
    check_shown(
        HEAD "net b(x) {\n  l = x -> c1: conv(8, 3)\n  r = x -> c2: conv(16, 3)\n  return l + r\n}\n"
             "net n(x) { return x -> conv1: conv(16, 3) -> layer1: repeat(2, (h, i) => h -> conv(4, 1)) -> layer2: b -> linear(10) }\n"
             "model f = n()\nstep { minimize ce(f(x), y) over f }\n" TAIL,
        NULL,
        "error[ADV2104]: `+` needs equal shapes, but its sides are [N,8,28,28] and [N,16,28,28]\n"
        "  --> mine.adv:8:12\n"
        "   |\n"
        " 8 |   return l + r\n"
        "   |          - [N,8,28,28]\n"
        "   |            ^\n"
        "   |              - [N,16,28,28]\n"
        "   |\n"
        "   = chain: input                    [N,1,28,28]\n"
        "            conv1                    [N,16,28,28]         mine.adv:10\n"
        "            layer1                   [N,4,28,28]          mine.adv:10\n"
        "            layer2.c1                [N,8,28,28]          mine.adv:6\n"
        "            layer2.c2                [N,16,28,28]         mine.adv:7\n"
        "            layer2                   <- here              mine.adv:8\n"
        "note: in `b`, called here\n"
        "  --> mine.adv:10:102\n"
        "   |\n"
        "10 | net n(x) { return x -> conv1: conv(16, 3) -> layer1: repeat(2, (h, i) => h -> conv(4, 1)) -> layer2: b -> linear(10) }\n"
        "   |                                                                                                      ^\n"
        "note: in `f`, called here\n"
        "  --> mine.adv:12:20\n"
        "   |\n"
        "12 | step { minimize ce(f(x), y) over f }\n"
        "   |                    ^^^^\n");
}

/* What an operation refuses has its chain, too, and each call is noted once. */
static void chain_of_a_refusal(void)
{
    check_shown(HEAD "net n(x) { return x -> c1: conv(8, 3) -> pool: max_pool(30) -> linear(10) }\n"
                     "model f = n()\nstep { minimize ce(f(x), y) over f }\n" TAIL,
                NULL,
                "error[ADV2001]: `max_pool`: a window of 30x30 does not fit into [100, 8, 28, 28]\n"
                " --> mine.adv:5:48\n"
                "  |\n"
                "5 | net n(x) { return x -> c1: conv(8, 3) -> pool: max_pool(30) -> linear(10) }\n"
                "  |                                                ^^^^^^^^\n"
                "  |\n"
                "  = chain: input                    [N,1,28,28]\n"
                "           c1                       [N,8,28,28]          mine.adv:5\n"
                "           pool                     <- here              mine.adv:5\n"
                "note: called from here\n"
                " --> mine.adv:7:20\n"
                "  |\n"
                "7 | step { minimize ce(f(x), y) over f }\n"
                "  |                    ^^^^\n");
}

static void origins(void)
{
    static const char drop[] = HEAD "param d = 0.5\nmodel f = mlp(drop = 1 - d)\nstep { minimize ce(f(x), y) over f }\n" TAIL;
    static const char radius[] =
        HEAD "param e = 0.1\nmodel f = mlp()\nstep { minimize ce(f(fgsm(z => ce(f(z), y), x, e)), y) over f }\n" TAIL;
    static const char range[] = HEAD "param beta = 6 in 0 .. 20\nmodel f = mlp()\nstep { minimize beta*ce(f(x), y) over f }\n" TAIL;
    static const char choice[] = HEAD
        "param how = \"half\" in [\"half\", \"all\", \"tanh\"]\nmodel f = mlp()\n"
        "step { minimize (if how == \"half\" then 0.5 else if how != \"tanh\" then 1 else 2)*ce(f(x), y) over f }\n" TAIL;
    static const struct {
        const char *text, *set, *message, *note;
    } rows[] = {
        {choice, "how=most", "`how` is most, but must be half, all or tanh", "the choices are declared here"},
        {choice, "how=linf", "`how` is linf, but must be half, all or tanh", "the choices are declared here"},
        {choice, "how=3", "`how` is a text, but this is the number 3", "the recipe has this"},
        {drop, "d=-1.5", "a dropout rate is at least 0 and below 1, but this is 2.5", "by `--set d=...`"},
        {radius, "e=8", "a radius of 8 does not fit images in 0..1", "by `--set e=...`"},
        {range, "beta=25", "`beta` is 25, but must lie in 0 .. 20", "by `--set beta=...`"},
        {PLAIN, "train.epochs=0", "`epochs` must be a whole number from 1 to 1048576, but is 0", "by `--set train.epochs=...`"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *sets[] = {rows[i].set, NULL};
        Checked c = check_recipe("mine.adv", rows[i].text, strlen(rows[i].text), sets, NULL, NULL);
        int noted = 0;
        CHECK_EQ(c.st, ADV_ERECIPE);
        CHECK_EQ(c.ds->list.n, 1);
        if (c.ds->list.n) CHECK_STR(c.ds->list.at[0]->message, rows[i].message);
        for (uint32_t k = 0; c.ds->list.n && k < c.ds->list.at[0]->notes.n; k++)
            noted |= strstr(c.ds->list.at[0]->notes.at[k].text, rows[i].note) != NULL;
        CHECK(noted);
        if (!noted) check_show(&c);
        adv_diags_free(c.ds);
        c = check_recipe("mine.adv", rows[i].text, strlen(rows[i].text), NULL, NULL, NULL);
        CHECK_EQ(c.st, ADV_OK);
        adv_diags_free(c.ds);
    }
}

static void one_error(const char *const *sets, const AdvCompileOpts *o, AdvStatus st, uint32_t code, const char *message)
{
    static const char text[] = HEAD "param beta = 6 in 0 .. 20\nmodel f = mlp()\nstep { minimize beta*ce(f(x), y) over f }\n" TAIL;
    Checked c = check_recipe("mine.adv", text, sizeof text - 1, sets, NULL, o);
    CHECK_EQ(c.st, st);
    CHECK_EQ(c.ds->list.n, 1);
    if (c.ds->list.n) {
        CHECK_EQ(adv_diag_defs[c.ds->list.at[0]->id].code, code);
        CHECK_STR(c.ds->list.at[0]->message, message);
        code_seen[code] = 1;
    }
    adv_diags_free(c.ds);
}

static void overrides(void)
{
    one_error((const char *const[]){"beat=5", NULL}, NULL, ADV_ERECIPE, 2044, "nothing that can be set is called `beat`");
    one_error((const char *const[]){"beta=2\nstep { }", NULL}, NULL, ADV_ERECIPE, 2044,
              "`--set beta` takes one expression, and this is more");
    one_error((const char *const[]){"beta=oops", NULL}, NULL, ADV_ERECIPE, 2010, "nothing here is called `oops`");
    one_error((const char *const[]){"beta=", NULL}, NULL, ADV_ERECIPE, 1001, "expected an expression, found the end of the file");
    one_error((const char *const[]){"run.precision=f16", NULL}, NULL, ADV_ERECIPE, 2021, "`precision` cannot be the name `f16`");
    one_error((const char *const[]){"train.epochs=many", NULL}, NULL, ADV_ERECIPE, 2021,
              "`epochs` must be a whole number, but this is the name `many`");
    one_error((const char *const[]){"1+1=2", NULL}, NULL, ADV_ERECIPE, 2044, "nothing that can be set is called `1+1`");
    static const char *const good[][4] = {
        {"beta=5", NULL}, {"beta=50/10", "train.seed=7", NULL}, {"beta=25", "beta=5", NULL}, {"run.precision=bf16", NULL},
        {"run.precision=tf32", NULL}};
    static const char text[] = HEAD "param beta = 6 in 0 .. 20\nmodel f = mlp()\nstep { minimize beta*ce(f(x), y) over f }\n" TAIL;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        Checked c = check_recipe("mine.adv", text, sizeof text - 1, good[i], NULL, NULL);
        CHECK_EQ(c.st, ADV_OK); /* of two values for one name the last counts */
        adv_diags_free(c.ds);
    }
}

static void clash(void)
{
    Text other = {0};
    text_add(&other, "adv 1\nattack fgsm(climb, x, eps) { return x }\n", 46);
    other.n = strlen(other.at);
    OneFile file = {"other.adv", &other};
    static const char text[] =
        HEAD "use \"other.adv\"\nmodel f = mlp()\nstep { minimize ce(f(fgsm(z => ce(f(z), y), x, 0.1)), y) over f }\n" TAIL;
    Checked c = check_recipe("mine.adv", text, sizeof text - 1, NULL, &file, NULL);
    CHECK_EQ(c.ds->list.n, 1);
    if (c.ds->list.n) {
        CHECK_STR(c.ds->list.at[0]->message, "`fgsm` is defined by two imports");
        CHECK_EQ(c.ds->list.at[0]->notes.n, 2);
        code_seen[2031] = 1;
    }
    adv_diags_free(c.ds);
    text_free(&other);
}

/* Files by their paths, ended by NULL. */
typedef struct Files { const char *path, *text; } Files;

static const char *load_path(void *user, const char *path, size_t *out_bytes)
{
    for (const Files *f = user; f->path; f++)
        if (!strcmp(f->path, path)) {
            *out_bytes = strlen(f->text);
            return f->text;
        }
    return NULL;
}

/* A path begins in the folder of the file that says `use`: one text may mean two files, and two texts the same. */
static void paths_of_imports(void)
{
    static const Files files[] = {
        {"runs/util.adv", "adv 1\nfn half(v) = v/2\n"},
        {"runs/lib/util.adv", "adv 1\nuse \"../util.adv\" as up\nuse \"deep/../nets.adv\"\nfn third(v) = up.half(v)/1.5\n"},
        {"runs/lib/nets.adv", "adv 1\nuse \"util.adv\"\nuse \"./util.adv\"\nfn sixth(v) = third(v)/2\n"},
        {NULL, NULL}};
    static const char text[] = HEAD "use \"util.adv\"\nuse \"lib/nets.adv\"\nuse \"lib/util.adv\"\nmodel f = mlp()\n"
                                    "step { minimize sixth(third(half(ce(f(x), y)))) over f }\n" TAIL;
    AdvCompileOpts o = {.load = load_path, .load_user = (void *)(uintptr_t)files};
    Checked c = check_recipe("runs/mine.adv", text, sizeof text - 1, NULL, NULL, &o);
    CHECK_EQ(c.st, ADV_OK);
    if (c.ds->list.n) check_show(&c);
    CHECK_EQ(c.ds->list.n, 0);
    adv_diags_free(c.ds);
}

/* Files that import themselves by ever longer paths come to an end. */
static const char *load_any(void *user, const char *path, size_t *out_bytes)
{
    (void)path;
    *out_bytes = strlen(user);
    return user;
}

static void imports_without_end(void)
{
    char again[] = "adv 1\nuse \"more/again.adv\"\n";
    AdvCompileOpts o = {.load = load_any, .load_user = again};
    Checked c = check_recipe("mine.adv", again, strlen(again), NULL, NULL, &o);
    CHECK_EQ(c.st, ADV_ERECIPE);
    CHECK_EQ(c.ds->n_errors, 1);
    if (c.ds->list.n) CHECK(strstr(c.ds->list.at[0]->message, "a recipe imports at most 256 files") != NULL);
    adv_diags_free(c.ds);
}

static void lints(void)
{
    static const char text[] = HEAD "unused = 3\nmodel f = mlp()\nstep { minimize ce(f(x), y) over f }\n" TAIL;
    static const struct {
        const char *allow, *deny;
        AdvStatus st;
        uint32_t errors, warnings;
    } rows[] = {
        {NULL, NULL, ADV_OK, 0, 1},
        {"", "", ADV_OK, 0, 1},
        {"signal_unused", NULL, ADV_OK, 0, 0},
        {"all", NULL, ADV_OK, 0, 0},
        {"mcvar_without_dropout,signal_unused", NULL, ADV_OK, 0, 0},
        {"mcvar_without_dropout", NULL, ADV_OK, 0, 1},
        {NULL, "signal_unused", ADV_ERECIPE, 1, 0},
        {NULL, "all", ADV_ERECIPE, 1, 0},
        {NULL, "mcvar_without_dropout", ADV_OK, 0, 1},
        {"signal_unused", "all", ADV_OK, 0, 0},
        {"signal_unusd", NULL, ADV_EINVAL, 1, 0},
        {NULL, "2104", ADV_EINVAL, 1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AdvCompileOpts o = {.allow = rows[i].allow, .deny = rows[i].deny};
        Checked c = check_recipe("mine.adv", text, sizeof text - 1, NULL, NULL, &o);
        CHECK_EQ(c.st, rows[i].st);
        CHECK_EQ(c.ds->n_errors, rows[i].errors);
        CHECK_EQ(c.ds->n_warnings, rows[i].warnings);
        CHECK_EQ(c.ds->list.n, rows[i].errors + rows[i].warnings);
        adv_diags_free(c.ds);
    }
}

/* One cause, one message: a function that is wrong is checked in every call, phase and evaluation. */
static void said_once(void)
{
    static const char text[] = HEAD "model f = mlp()\nfn worse(v) = v + nowhere\nphase a(epochs = 1 .. 1) { w = 2 }\nw = 1\n"
                                    "step {\n  minimize worse(ce(f(x), y))*w over f\n  minimize worse(ce(f(x), y))*w over f\n}\n" TAIL;
    Checked c = check_recipe("mine.adv", text, sizeof text - 1, NULL, NULL, NULL);
    CHECK_EQ(c.ds->n_errors, 1);
    adv_diags_free(c.ds);
}

/* Every line of the JSON form is an object with what the text has. */
static void check_json_line(const char *line, size_t n, const AdvDiag *d)
{
    json_error_t e;
    json_t *j = json_loadb(line, n, JSON_REJECT_DUPLICATES, &e);
    CHECK(json_is_object(j));
    if (!j) printf("%s: %.*s\n", e.text, (int)n, line);
    const char *code = json_string_value(json_object_get(j, "code")), *message = json_string_value(json_object_get(j, "message")),
               *level = json_string_value(json_object_get(j, "level"));
    char want[16];
    snprintf(want, sizeof want, "ADV%u", adv_diag_defs[d->id].code);
    CHECK_STR(code, want);
    CHECK_STR(message, d->message);
    CHECK_STR(level, d->level == ADV_LEVEL_ERROR ? "error" : "warning");
    CHECK_EQ(json_array_size(json_object_get(j, "notes")), d->notes.n);
    CHECK_EQ(json_array_size(json_object_get(j, "helps")), d->helps.n);
    CHECK_EQ(json_array_size(json_object_get(j, "chain")), d->chain.n);
    json_decref(j);
}

static void json(void)
{
    char **files = adv_files("tests/compiler/bad");
    uint32_t n_lines = 0;
    for (char **f = files; *f; f++) {
        Text src = read_text(*f), t = {0};
        Checked c = check_recipe(*f, src.at, src.n, NULL, NULL, NULL);
        adv_diags_print_json(c.ds, text_add, &t);
        uint32_t i = 0;
        for (const char *s = t.at; s && s < t.at + t.n; i++) {
            const char *nl = strchr(s, '\n');
            CHECK(nl && i < c.ds->list.n);
            if (!nl || i >= c.ds->list.n) break;
            check_json_line(s, (size_t)(nl - s), c.ds->list.at[i]);
            s = nl + 1;
        }
        CHECK_EQ(i, c.ds->list.n);
        n_lines += i;
        text_free(&t), text_free(&src);
        adv_diags_free(c.ds);
    }
    files_free(files);
    CHECK(n_lines > 100);
}

/* Every code that a recipe can give has been seen above. */
static void every_code_has_a_test(void)
{
    for (int i = 0; i < ADV_D_COUNT; i++) {
        uint32_t code = adv_diag_defs[i].code;
        if (code < 2000 || code >= 4000 || code == 2901) continue; /* 2901: an option's target */
        if (!code_seen[code]) printf("no test gives ADV%u\n", code);
        CHECK(code_seen[code]);
    }
}

int main(void)
{
    RUN(bad_recipes);
    RUN(chain_of_layers);
    RUN(chain_of_a_refusal);
    RUN(origins);
    RUN(overrides);
    RUN(clash);
    RUN(paths_of_imports);
    RUN(imports_without_end);
    RUN(lints);
    RUN(said_once);
    RUN(json);
    RUN(every_code_has_a_test);
    return ADV_TEST_END();
}
