/* fuzz_graph_text.c: any bytes as the text of a graph. What reads and verifies prints, reads back and prints the same; the
** passes common to all targets then keep it whole.
*/
#include "compiler/pass/pass.h"
#include "tests/fuzz/words.h"

typedef struct Text { char *at; size_t n; } Text;

static void write_text(void *user, const char *text, size_t n) { fwrite(text, 1, n, user); }

static Text print(const AdvGraph *g)
{
    Text t = {NULL, 0};
    FILE *f = open_memstream(&t.at, &t.n);
    MUST(f);
    adv_graph_print(g, false, write_text, f);
    fclose(f);
    return t;
}

typedef struct World {
    AdvArena arena, scratch;
    AdvInterns names;
    AdvRegistry reg;
    AdvDiags *ds;
    FuzzAlloc bound;
} World;

static AdvGraph *read_graph(World *w, const char *text, size_t n)
{
    uint32_t before = w->ds->n_errors;
    AdvGraph *g = adv_graph_read(&w->arena, &w->reg, &w->names, w->ds, adv_sources_add(&w->ds->sources, "fuzz.advg", text, n));
    MUST((g == NULL) == (w->ds->n_errors > before));
    return g;
}

static void use(World *w, const uint8_t *data, size_t size)
{
    AdvGraph *g = read_graph(w, (const char *)data, size);
    if (!g || adv_graph_verify(g, true) != ADV_OK) return;
    Text once = print(g);
    AdvGraph *back = read_graph(w, once.at, once.n);
    MUST(back);
    Text twice = print(back);
    MUST(once.n == twice.n && memcmp(once.at, twice.at, once.n) == 0);
    free(once.at);
    free(twice.at);
    AdvPipeOpts o = {.verify_each = true};
    AdvPassCtx p = {.arena = &w->arena, .scratch = &w->scratch, .diags = w->ds};
    MUST(adv_run_common(&p, &g, &o) != ADV_EINTERNAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static World w;
    jmp_buf trap;
    size_t n = 0;
    w = (World){.bound = {256 << 20}, .ds = adv_diags_new(adv_alloc_default())};
    AdvAlloc a = {fuzz_alloc_fn, &w.bound};
    MUST(w.ds && adv_registry_init(&w.reg, adv_alloc_default()) == ADV_OK);
    adv_arena_init(&w.arena, a);
    adv_arena_init(&w.scratch, a);
    if (!setjmp(trap)) {
        w.arena.trap = w.scratch.trap = &trap;
        adv_interns_init(&w.names, &w.arena);
        use(&w, data, size);
    }
    adv_diags_print_human(w.ds, 0, fuzz_count, &n);
    MUST((n > 0) == (w.ds->list.n > 0));
    adv_registry_fini(&w.reg);
    adv_arena_fini(&w.arena);
    adv_arena_fini(&w.scratch);
    adv_diags_free(w.ds);
    return 0;
}

static const char *const words[] = {
    "state",
    "entry",
    "read",
    "write",
    "loop",
    "yield",
    "const",
    "grad",
    "scalar",
    "slot",
    "data",
    "param",
    "saved",
    "opt",
    "table",
    "metric",
    "f32",
    "f64",
    "i32",
    "i64",
    "u8",
    "bf16",
    "[]",
    "[1]",
    "[2,3]",
    "[4,3,8,8]",
    "[9223372036854775807]",
    "[1048576,1048576]",
    "{}",
    "{dims=[1]}",
    "{axis=0,start=0,stop=1}",
    "{turns=1048576}",
    "0",
    "-1",
    "1e308",
    "nan",
    "-inf",
    "matmul",
    "conv2d",
    "ce",
    "mean",
    "sum",
    "broadcast",
    "reshape",
    "cast",
    "slice",
    "concat",
    "gather",
    "scatter",
    "draw",
    "stop_grad",
    "copy",
    "add",
    "mul",
    "select",
    "clip",
    "sgd",
    "adam",
    "bn_train",
    "max_pool",
    "{size=2,stride=2,pad=0}",
    "{stride=1,pad=1}",
    "%a",
    "%b: f32 = ",
    "\n",
    "}\n",
    "entry e {\n",
    "  yield %a\n",
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return fuzz_text(data, size, max_size, words, sizeof words / sizeof *words, seed);
}
