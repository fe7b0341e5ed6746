/* def_kernels.c: see def_kernels.h. A launch is put on the fake stream with its views, and reads memory when it runs. */
#include "tests/cuda/def_kernels.h"

#include "tests/cuda/fake.h"

#include "runtime/base/hash.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_VIEWS = 160 };

static const AdvRegistry *registry;

typedef struct Call {
    const AdvOpDef *op;
    const AdvAttr *attr;
    uint32_t n_in, n_out;
    AdvView views[MAX_VIEWS];
} Call;

static void run_call(const void *what)
{
    const Call *c = what;
    AdvAlloc a = adv_alloc_default();
    uint64_t h = adv_hash_str(ADV_HASH_START, c->op->name);
    for (uint32_t i = 0; i < c->n_in + c->n_out; i++) h = adv_hash_u64(h, (uint64_t)(uintptr_t)c->views[i].data);
    adv_fake_count(h, h);
    if (adv_op_run_ref(registry, c->op, c->views, c->n_in, c->attr, c->views + c->n_in, c->n_out, &a) != ADV_OK) abort();
}

static bool can(const AdvSig *sig, const char **why)
{
    *why = "too many operands";
    return sig->n_in + sig->n_out <= MAX_VIEWS;
}

typedef struct State { AdvCuda *cuda; const AdvOpDef *op; uint32_t n_in, n_out; } State;

static AdvStatus prepare(AdvPrep *p, void **out)
{
    State *s = p->alloc(p, sizeof *s);
    if (!s) return p->fail(p, ADV_ENOMEM, "out of memory");
    *s = (State){adv_cuda_of(p), p->sig->op, p->sig->n_in, p->sig->n_out};
    *out = s;
    return ADV_OK;
}

/* A call that may fail as a launch may. */
static AdvStatus run(const AdvLaunch *l, void *state)
{
    const State *s = state;
    static Call c;
    ADV_TRY(adv_cuda_check(s->cuda, adv_fake_call(false), "cudaLaunchKernel"));
    c = (Call){.op = s->op, .attr = l->attr, .n_in = s->n_in, .n_out = s->n_out};
    memcpy(c.views, l->in, s->n_in * sizeof *l->in);
    memcpy(c.views + s->n_in, l->out, s->n_out * sizeof *l->out);
    return adv_cuda_check(s->cuda, adv_fake_enqueue(l->stream, run_call, &c, sizeof c), "cudaLaunchKernel");
}

const AdvKernel *const *adv_def_kernels(const AdvRegistry *reg)
{
    static const AdvKernel **list;
    static AdvKernel *ks;
    uint32_t n = 0;
    registry = reg;
    if (list) return list;
    list = calloc(reg->n_ops + 1, sizeof *list);
    ks = calloc(reg->n_ops, sizeof *ks);
    if (!list || !ks) abort();
    for (uint32_t i = 0; i < reg->n_ops; i++) {
        if (reg->ops[i]->flags & (ADV_OP_STRUCT | ADV_OP_VIEW)) continue;
        ks[n] = (AdvKernel){ADV_KERNEL_HEADER, .backend = "cuda", .op = reg->ops[i]->name, .name = "definition",
                            .op_version = reg->ops[i]->version, .order = 10000, .can = can, .prepare = prepare, .run = run};
        list[n] = &ks[n];
        n++;
    }
    return list;
}
