/* fuzz_recipe.c: any bytes as a recipe. The checker gives a graph or messages (the passes, which take most of the time, are left out).
** One recipe in eight that is right is compiled for the CPU, which must give a plan that loads, and one in 32 once more, which
** must give the same bytes.
*/
#include "compiler/adv_compile.h"
#include "runtime/plan_load.h"
#include "tests/fuzz/words.h"

enum { MOST_BYTES = 512 << 20 };

static uint32_t hash_of(const uint8_t *data, size_t size)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++) h = (h ^ data[i]) * 16777619u;
    return h >> 7;
}

/* A recipe may be right and too large for the memory there is; nothing else but its author may be wrong. */
static AdvStatus compile(const uint8_t *data, size_t size, uint32_t flags, void **out, uint64_t *out_n)
{
    FuzzAlloc f = {MOST_BYTES};
    AdvCompileOpts o = {.struct_size = sizeof o,
                        .flags = flags | ADV_COMPILE_NO_PLUGINS,
                        .alloc = fuzz_alloc_fn,
                        .alloc_user = &f,
                        .name = "fuzz.adv",
                        .text = (const char *)data,
                        .n_bytes = size,
                        .targets = "cpu",
                        .stop_after = flags & ADV_COMPILE_CHECK ? "fold" : NULL};
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    MUST(ds);
    AdvStatus st = adv_compile(&o, ds, out, out_n);
    fuzz_messages(ds, st);
    MUST(st == ADV_OK || st == ADV_ERECIPE || st == ADV_ENOMEM);
    MUST((*out != NULL) == (st == ADV_OK && !(flags & ADV_COMPILE_CHECK)));
    adv_diags_free(ds);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AdvAlloc a = adv_alloc_default();
    void *plan[2];
    uint64_t n[2];
    AdvPlan *p;
    uint32_t hash = hash_of(data, size);
    if (compile(data, size, ADV_COMPILE_CHECK, plan, n) != ADV_OK || hash % 8 || compile(data, size, 0, plan, n) != ADV_OK) return 0;
    MUST(adv_plan_parse(&a, plan[0], n[0], "fuzz", NULL, &p) == ADV_OK);
    adv_plan_free(p);
    if (hash % 32 == 0) {
        MUST(compile(data, size, 0, &plan[1], &n[1]) == ADV_OK && n[0] == n[1] && memcmp(plan[0], plan[1], n[0]) == 0);
        adv_mem_free(&a, plan[1], n[1]);
    }
    adv_mem_free(&a, plan[0], n[0]);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return fuzz_text(data, size, max_size, fuzz_recipe_words, FUZZ_RECIPE_WORDS, seed);
}
