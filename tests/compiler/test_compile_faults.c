/* test_compile_faults.c: memory runs out anywhere in a compilation: at the k-th allocation once, from the k-th on, beyond any
** number of bytes, and inside the JSON library. The answer is ADV_ENOMEM, all memory comes back, and nothing is half made.
**
**   test_compile_faults [all]      all: in every variant and of the JSON library each allocation, not some of them
*/
#include "compiler/adv_compile.h"
#include "runtime/base/diag.h"
#include "tests/adv_test.h"
#include "tests/base/fault_alloc.h"
#include "tests/base/fault_json.h"

#include <stdbool.h>

static bool wants_all;

static const char recipe[] =
    "adv 1\n"
    "use std.nets\n"
    "use std.attacks\n"
    "param rate = 0.005 in 0 .. 1 # of the optimiser\n"
    "data synthetic {\n"
    "  train = 64; test = 32; classes = 2; shape = [2]; batch = 16\n"
    "  y = id - 2*floor(id/2)\n"
    "  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)\n"
    "}\n"
    "model f = mlp(width = 4, classes = 2)\n"
    "step {\n"
    "  x_adv = pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.02, steps = 3)\n"
    "  robust = ce(f(x_adv), y)\n"
    "  minimize robust over f\n"
    "}\n"
    "optim f = adam(lr = rate)\n"
    "train { epochs = 3; seed = 1 }\n"
    "eval final { on = test; attacks = [clean, fgsm: fgsm_eval(eps = 0.1)] }\n";

typedef enum Work { COMPILE, CHECK_ONLY, FORMAT, EXPAND, N_WORKS } Work;

typedef struct Made { AdvStatus st; void *bytes; uint64_t n; } Made;

static AdvCompileOpts options(FaultAlloc *f)
{
    static const AdvSet sets[] = {{"rate", "0.01"}};
    AdvAlloc a = fault_alloc(f);
    return (AdvCompileOpts){.struct_size = sizeof(AdvCompileOpts), .alloc = a.fn, .alloc_user = a.user, .name = "fault.adv", .text = recipe,
                            .n_bytes = sizeof recipe - 1, .targets = "cpu,ref64", .sets = sets, .n_sets = 1};
}

static Made make(Work work, FaultAlloc *f, AdvDiags *ds)
{
    AdvCompileOpts o = options(f);
    Made m = {.st = ADV_OK};
    char *text = NULL;
    if (work == CHECK_ONLY) o.flags = ADV_COMPILE_CHECK;
    if (work == COMPILE || work == CHECK_ONLY) m.st = adv_compile(&o, ds, &m.bytes, &m.n);
    else m.st = (work == FORMAT ? adv_format : adv_expand)(&o, ds, &text, &m.n);
    if (text) m.bytes = text;
    return m;
}

static void unmake(Made *m, FaultAlloc *f)
{
    AdvCompileOpts o = options(f);
    adv_compile_free(&o, m->bytes, m->n);
    m->bytes = NULL;
}

/* What is there without faults, and how many allocations that takes. */
static Made good(Work work, FaultAlloc *f)
{
    *f = (FaultAlloc){.calls = 0};
    Made m = make(work, f, NULL);
    CHECK_EQ(m.st, ADV_OK);
    CHECK((m.bytes != NULL) == (work != CHECK_ONLY));
    return m;
}

static int same(const Made *a, const Made *b) { return a->n == b->n && (a->n == 0 || memcmp(a->bytes, b->bytes, a->n) == 0); }

/* Own messages or the caller's; both from the failing allocator, so that lists of messages fail too. */
static void one_fault(Work work, FaultAlloc *f, bool has_list, const Made *want)
{
    AdvDiags *ds = has_list ? adv_diags_new(fault_alloc(f)) : NULL;
    if (!has_list || ds) {
        Made m = make(work, f, ds);
        CHECK(m.st == ADV_ENOMEM || (m.st == ADV_OK && same(&m, want)));
        CHECK((m.bytes != NULL) == (m.st == ADV_OK && work != CHECK_ONLY));
        if (m.st != ADV_OK && ds) CHECK(ds->n_errors > 0);
        unmake(&m, f);
    }
    adv_diags_free(ds);
    CHECK_EQ(f->n_live, 0);
    CHECK_EQ(f->n_wrong_sizes, 0);
}

static void each_allocation(Work work)
{
    FaultAlloc base, f;
    Made want = good(work, &base);
    CHECK(base.calls > 4);
    for (int variant = 0; variant < 4; variant++) {
        long n_failed = 0, step = variant && base.calls > 40 && !wants_all ? 5 : 1;
        for (long k = 1; k <= base.calls && !test_n_failed_checks; k += step) {
            f = (FaultAlloc){.fail_at = k, .persistent = variant & 1};
            one_fault(work, &f, variant & 2, &want);
            n_failed += f.calls >= k;
        }
        CHECK(n_failed >= base.calls / step);
    }
    unmake(&want, &base);
    CHECK_EQ(base.n_live, 0);
}

static void compile_fails(void) { each_allocation(COMPILE); }
static void check_fails(void) { each_allocation(CHECK_ONLY); }
static void format_fails(void) { each_allocation(FORMAT); }
static void expand_fails(void) { each_allocation(EXPAND); }

/* There are `left` bytes and no more: other places than those where a chunk of an arena begins. */
typedef struct Budget { uint64_t left; FaultAlloc f; } Budget;

static void *budget_fn(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    Budget *b = user;
    AdvAlloc a = fault_alloc(&b->f);
    if (new_bytes > b->left + old_bytes) return NULL;
    void *q = a.fn(a.user, p, old_bytes, new_bytes);
    if (q || new_bytes == 0) b->left = b->left + old_bytes - new_bytes;
    return q;
}

static void any_budget(void)
{
    AdvStatus st = ADV_ENOMEM;
    int n = 0;
    for (uint64_t bytes = 0; st == ADV_ENOMEM && bytes < (uint64_t)1 << 28; bytes += bytes / 6 + 4999, n++) {
        Budget b = {.left = bytes};
        AdvCompileOpts o = options(&b.f);
        void *plan;
        uint64_t n_plan;
        o.alloc = budget_fn;
        o.alloc_user = &b;
        st = adv_compile(&o, NULL, &plan, &n_plan);
        CHECK(st == ADV_OK || (st == ADV_ENOMEM && !plan));
        adv_compile_free(&o, plan, n_plan);
        CHECK_EQ(b.f.n_live, 0);
        CHECK(b.left == bytes);
    }
    CHECK_EQ(st, ADV_OK);
    CHECK(n > 15);
}

/* A program that lacks a part would train something else: either all of it or none. */
static void json_fails(void)
{
    FaultAlloc f;
    json_set_alloc_funcs(failing_new, free);
    json.calls = json.fail_at = 0;
    Made want = good(COMPILE, &f);
    long n_calls = json.calls, step = n_calls > 30 && !wants_all ? n_calls / 30 : 1;
    CHECK(n_calls > 50);
    for (int persistent = 0; persistent < 2; persistent++) {
        for (long k = 1; k <= n_calls && !test_n_failed_checks; k += step) {
            json.calls = 0;
            json.fail_at = k;
            json.persistent = persistent;
            one_fault(COMPILE, &(FaultAlloc){.calls = 0}, false, &want);
            if (test_n_failed_checks) printf("call %ld of the JSON library, %s\n", k, persistent ? "from there on" : "once");
        }
    }
    json.fail_at = 0;
    unmake(&want, &f);
    json_set_alloc_funcs(malloc, free);
}

int main(int argc, char **argv)
{
    wants_all = argc > 1 && !strcmp(argv[1], "all");
    RUN(compile_fails);
    RUN(check_fails);
    RUN(format_fails);
    RUN(expand_fails);
    RUN(any_budget);
    RUN(json_fails);
    return ADV_TEST_END();
}
