/* toy_cuda.h: sessions of the toy plan (tests/runtime/toy.h) on the fake device, whose kernels are the definitions. */
#ifndef ADV_TESTS_TOY_CUDA_H
#define ADV_TESTS_TOY_CUDA_H

#include "runtime/ctx.h"
#include "runtime/module.h"
#include "tests/cuda/def_kernels.h"
#include "tests/cuda/fake.h"
#include "tests/runtime/toy.h"

static const AdvModule toy_module = {ADV_MODULE_HEADER, .backend = &adv_backend_fake};

/* How often an entry could not be recorded, and the newest warning. */
static int toy_n_unrecorded;
static char toy_warning[256];

static inline void toy_log(void *user, int32_t level, const char *text, size_t n_bytes)
{
    (void)user;
    if (level != ADV_LOG_WARNING) return;
    snprintf(toy_warning, sizeof toy_warning, "%.*s", (int)n_bytes, text);
    toy_n_unrecorded += strstr(toy_warning, "cannot be recorded") != NULL;
}

/* A context and a plan for target cuda. Of the back end cuda the fake device is known. */
static inline Toy toy_plan_of(const char *graph, const char *program)
{
    Toy t = {.s = NULL, .data = malloc(sizeof(ToyData))};
    if (!t.data) abort();
    *t.data = toy_data();
    t.bytes = toy_make(graph, program, "toyhash", "cuda", NULL);
    if (!t.bytes.data || adv_ctx_new(NULL, &t.ctx) != ADV_OK || adv_diags_open(t.ctx, &t.ds) != ADV_OK) abort();
    if (adv_registry_add_kernels(&t.ctx->reg, adv_def_kernels(&t.ctx->reg), t.ds) != ADV_OK) abort();
    t.ctx->modules[t.ctx->n_modules++] = &toy_module;
    t.ctx->log = toy_log;
    toy_n_unrecorded = 0;
    toy_warning[0] = 0;
    if (adv_plan_load(t.ctx, t.bytes.data, t.bytes.n, t.ds, &t.plan) != ADV_OK) abort();
    return t;
}

static inline Toy toy_plan_cuda(void) { return toy_plan_of(toy_graph, toy_program); }

/* A session of it on a back end, with its data bound; s is NULL if that fails. */
static inline Toy toy_open_cuda(const char *backend, int32_t check, uint32_t flags)
{
    Toy t = toy_plan_cuda();
    AdvSessionOpts o = {.struct_size = sizeof o, .flags = flags, .backend = backend, .target = "cuda", .n_threads = 1, .check = check};
    if (adv_session_open(t.ctx, t.plan, &o, t.ds, &t.s) != ADV_OK) return t;
    if (toy_bind(t.s, t.data, t.ds) == ADV_OK) return t;
    adv_session_close(t.s);
    t.s = NULL;
    return t;
}

/* Closes all of it: the device is empty then. */
static inline void toy_end_cuda(Toy *t)
{
    toy_close(t);
    CHECK_EQ(adv_fake.used_bytes, 0);
    CHECK_EQ(adv_fake_reset(), 0);
}

/* Is that said anywhere in the diagnostics? */
static inline bool toy_says(const Toy *t, const char *text)
{
    for (uint32_t i = 0; i < t->ds->list.n; i++) {
        const AdvDiag *d = t->ds->list.at[i];
        if (strstr(d->message, text)) return true;
        for (uint32_t k = 0; k < d->notes.n; k++)
            if (strstr(d->notes.at[k].text, text)) return true;
        for (uint32_t k = 0; k < d->helps.n; k++)
            if (strstr(d->helps.at[k], text)) return true;
        for (uint32_t k = 0; k < d->chain.n; k++)
            if (strstr(d->chain.at[k], text)) return true;
    }
    return false;
}

#endif
