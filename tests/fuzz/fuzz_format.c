/* fuzz_format.c: any bytes through the formatter: what parses is printed, what was printed prints the same, and its tree is the
** one that was written.
*/
#include "compiler/adv_compile.h"
#include "tests/fuzz/words.h"

static AdvStatus format(const char *text, size_t n, char **out, uint64_t *out_n)
{
    AdvCompileOpts o = {.struct_size = sizeof o, .name = "fuzz.adv", .text = text, .n_bytes = n};
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    MUST(ds);
    AdvStatus st = adv_format(&o, ds, out, out_n);
    fuzz_messages(ds, st);
    MUST(st == ADV_OK || st == ADV_ERECIPE);
    adv_diags_free(ds);
    return st;
}

typedef struct Tree { char *at; size_t n; FILE *f; } Tree;

static void write_tree(void *user, const char *text, size_t n) { fwrite(text, 1, n, ((Tree *)user)->f); }

/* The dump of the tree, which has no places in it. */
static Tree tree_of(const char *text, size_t n)
{
    Tree t = {.at = NULL};
    void *plan;
    uint64_t n_plan;
    t.f = open_memstream(&t.at, &t.n);
    MUST(t.f);
    AdvCompileOpts o = {.struct_size = sizeof o, .text = text, .n_bytes = n, .dump = "ast", .write = write_tree, .write_user = &t};
    MUST(adv_compile(&o, NULL, &plan, &n_plan) == ADV_OK && !plan);
    fclose(t.f);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AdvCompileOpts o = {.struct_size = sizeof o};
    char *once, *twice;
    uint64_t n_once, n_twice;
    if (format((const char *)data, size, &once, &n_once) != ADV_OK) return 0;
    MUST(n_once > 0 && once[n_once - 1] == 0);
    MUST(format(once, n_once - 1, &twice, &n_twice) == ADV_OK);
    MUST(n_once == n_twice && memcmp(once, twice, n_once) == 0);
    Tree written = tree_of((const char *)data, size), printed = tree_of(once, n_once - 1);
    MUST(written.n == printed.n && memcmp(written.at, printed.at, written.n) == 0);
    free(written.at);
    free(printed.at);
    adv_compile_free(&o, once, n_once);
    adv_compile_free(&o, twice, n_twice);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return fuzz_text(data, size, max_size, fuzz_recipe_words, FUZZ_RECIPE_WORDS, seed);
}
