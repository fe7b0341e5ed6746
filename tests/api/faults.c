/* faults.c: the program's own allocator, which fails at every call in turn: compiling, opening and training must end each time with
** ADV_ENOMEM, or go on without what they could do without, and give back all that they took.
**
** It also shows what an allocator owes the library: memory aligned to 64 bytes; the sizes that it is told are right.
*/
#include <compiler/adv_compile.h>
#include <runtime/adv.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char recipe[] =
    "adv 1\n"
    "use std.nets\n"
    "data synthetic {\n"
    "  train = 32; test = 16; classes = 2; shape = [2]; batch = 16\n"
    "  y = id - 2*floor(id/2)\n"
    "  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)\n"
    "}\n"
    "model f = mlp(width = 4, classes = 2)\n"
    "step { minimize ce(f(x), y) over f }\n"
    "optim f = sgd(lr = 0.1)\n"
    "train { epochs = 1; seed = 1 }\n"
    "eval final { on = test; attacks = [clean] }\n";

typedef struct Memory {
    long n_calls, fail_at; /* fail_at 0: never */
    long n_blocks;
    size_t n_bytes;
} Memory;

static void *my_alloc(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    Memory *m = user;
    if (new_bytes == 0) {
        if (p) m->n_blocks--, m->n_bytes -= old_bytes;
        free(p);
        return NULL;
    }
    if (++m->n_calls == m->fail_at) return NULL; /* p stays as it is */
    void *q = aligned_alloc(64, (new_bytes + 63) / 64 * 64);
    if (!q) return NULL;
    if (p) {
        memcpy(q, p, old_bytes < new_bytes ? old_bytes : new_bytes);
        m->n_blocks--, m->n_bytes -= old_bytes;
        free(p);
    }
    m->n_blocks++, m->n_bytes += new_bytes;
    return q;
}

/* Everything from the text to a trained network, in memory of `m`. */
static AdvStatus run(Memory *m)
{
    AdvCtxOpts xo = {.struct_size = sizeof xo, .alloc = my_alloc, .user = m};
    AdvCompileOpts co = {.struct_size = sizeof co, .alloc = my_alloc, .alloc_user = m, .name = "faults.adv", .text = recipe,
                         .n_bytes = strlen(recipe), .targets = "cpu"};
    AdvSessionOpts so = {.struct_size = sizeof so, .backend = "ref", .n_threads = 1};
    AdvCtx *ctx = NULL;
    AdvDiags *ds = NULL;
    AdvPlan *plan = NULL;
    AdvSession *s = NULL;
    void *bytes = NULL;
    uint64_t n_bytes = 0;
    AdvStatus st = adv_ctx_new(&xo, &ctx);
    if (st == ADV_OK) st = adv_diags_open(ctx, &ds);
    if (st == ADV_OK) st = adv_compile(&co, ds, &bytes, &n_bytes);
    if (st == ADV_OK) st = adv_plan_load(ctx, bytes, n_bytes, ds, &plan);
    if (st == ADV_OK) st = adv_session_open(ctx, plan, &so, ds, &s);
    if (st == ADV_OK) st = adv_session_train(s, NULL, ds);
    adv_session_close(s);
    adv_plan_close(plan);
    adv_compile_free(&co, bytes, n_bytes);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    return st;
}

int main(void)
{
    Memory whole = {0, 0, 0, 0};
    long n_failed = 0;
    int ok = run(&whole) == ADV_OK && whole.n_blocks == 0 && whole.n_bytes == 0;
    for (long k = 1; ok && k <= whole.n_calls; k++) {
        Memory m = {0, k, 0, 0};
        AdvStatus st = run(&m);
        n_failed += st == ADV_ENOMEM;
        ok = (st == ADV_ENOMEM || st == ADV_OK) && m.n_blocks == 0 && m.n_bytes == 0;
        if (!ok) printf("allocation %ld of %ld: %s, %ld blocks left\n", k, whole.n_calls, adv_status_name(st), m.n_blocks);
    }
    printf("%ld allocations, each failed once: %ld times ADV_ENOMEM, nothing lost\n", whole.n_calls, n_failed);
    return ok && n_failed > whole.n_calls / 2 ? 0 : 1;
}
