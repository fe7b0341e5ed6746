/* fuzz_plan.c: damaged plans under a right digest. What the loader accepts is run: a plan that passed the checks may compute
** nonsense, but may not read or write where it should not.
*/
#include "runtime/plan_load.h"
#include "runtime/program.h"
#include "tests/fuzz/blobs.h"
#include "tests/runtime/plan_dump.h"
#include "tests/runtime/toy.h"

enum { MOST_BYTES = 64 << 20, MOST_WORK = 1 << 22 };

static ToyBytes seed_plan;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_option(argc, argv, "-max_len=65536");
    seed_plan = toy_make(toy_graph, toy_program, "toyhash", "cpu", "ref64");
    MUST(seed_plan.data && seed_plan.n <= 65536);
    return 0;
}

/* Elements touched if every instruction ran once a turn: what a loop or a convolution of a made-up size would take. */
static double work_of(const AdvPlanTarget *t)
{
    double all = 0, turns = 1;
    uint32_t ends[ADV_PLAN_MAX_DEPTH] = {0}, depth = 0;
    double outer[ADV_PLAN_MAX_DEPTH];
    for (uint32_t i = 0; i < t->n_insts; i++) {
        const AdvPlanInst *in = &t->insts[i];
        while (depth && ends[depth - 1] == i) turns = outer[--depth];
        double product = 1;
        for (uint32_t k = 0; k < in->n_in; k++) product *= (double)adv_plan_value_bytes(&t->values[t->operands[in->in_at + k]]);
        for (uint32_t k = 0; k < in->n_out; k++) product += (double)adv_plan_value_bytes(&t->values[t->operands[in->out_at + k]]);
        all += product * turns;
        if (!in->n_body || depth == ADV_PLAN_MAX_DEPTH) continue;
        outer[depth] = turns;
        ends[depth++] = i + 1 + in->n_body;
        turns *= in->n_attr ? (double)t->attrs[in->attr_at].i : 1;
    }
    return all;
}

static void run(AdvCtx *ctx, AdvPlan *plan, const char *backend, AdvDiags *ds)
{
    static ToyData data;
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = backend, .n_threads = 1};
    AdvSession *s = NULL;
    AdvTrainOpts to = {.struct_size = sizeof to, .max_steps = 3};
    data = toy_data();
    AdvStatus st = adv_session_open(ctx, plan, &o, ds, &s);
    MUST((st == ADV_OK) == (s != NULL));
    if (st == ADV_OK) st = toy_bind(s, &data, ds);
    for (uint32_t i = 0; st == ADV_OK && i < plan->targets[0].n_entries; i++)
        st = adv_session_run(s, adv_plan_str(plan, plan->targets[0].entries[i].name), ds);
    if (st == ADV_OK && plan->prog->steps < 100 && plan->prog->epochs < 100) st = adv_session_train(s, &to, ds);
    MUST(st != ADV_EINTERNAL);
    adv_session_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzAlloc f = {MOST_BYTES};
    AdvCtxOpts co = {.struct_size = sizeof co, .alloc = fuzz_alloc_fn, .user = &f};
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan = NULL;
    MUST(adv_ctx_new(&co, &ctx) == ADV_OK && adv_diags_open(ctx, &ds) == ADV_OK);
    AdvStatus st = adv_plan_load(ctx, data, size, ds, &plan);
    fuzz_messages(ds, st);
    MUST((st == ADV_OK) == (plan != NULL) && (st == ADV_OK || st == ADV_EDATA || st == ADV_ENOMEM));
    if (plan) {
        size_t n = 0;
        double work = 0;
        plan_dump(plan, fuzz_count, &n);
        for (uint32_t i = 0; i < plan->n_targets; i++) work += work_of(&plan->targets[i]);
        if (work < MOST_WORK) {
            run(ctx, plan, "cpu", ds);
            run(ctx, plan, "ref", ds);
        }
    }
    adv_plan_close(plan);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size_t n = fuzz_container(data, size, max_size, seed);
    if (n) return n;
    if (seed_plan.n > max_size) return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data, seed_plan.data, seed_plan.n);
    return seed_plan.n;
}
