/* ctx.h: the context behind adv.h, seen from inside. */
#ifndef ADV_RUNTIME_CTX_H
#define ADV_RUNTIME_CTX_H

#include "ops/registry.h"
#include "runtime/adv.h"
#include "runtime/base/io.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { ADV_CTX_MODULES = 4 };

struct AdvCtx {
    AdvAlloc alloc;
    AdvRegistry reg;
    const AdvIo *io;              /* &own_io */
    AdvIo own_io;
    bool has_posix_io;            /* own_io is the system's */
    void (*log)(void *user, int32_t level, const char *text, size_t n_bytes);
    uint64_t (*clock_ns)(void *user); /* never NULL */
    void *user;
    const struct AdvModule *modules[ADV_CTX_MODULES]; /* back ends of their own that are open (module.h) */
    uint32_t n_modules;
    bool loads_plugins; /* those that plans name: ADV_CTX_PLAN_PLUGINS */
    char **plugins;               /* n_plugins paths */
    uint32_t n_plugins;
    int32_t cuda_sm;              /* adv_ctx_cuda, once has_probed */
    bool has_probed;
    char *data_dir, *backend_dir; /* or NULL */
    atomic_uint n_refs;           /* the caller's handle, and those of plans and sessions */
};

/* One more user of a context, a plan; adv_ctx_free, adv_plan_close give that back. */
void adv_ctx_keep(AdvCtx *ctx);
void adv_plan_keep(const AdvPlan *plan);

/* A copy of a caller's text; NULL of NULL. false: out of memory. And back. */
bool adv_text_copy(const AdvAlloc *a, const char *text, char **out) ADV_MUST_USE;
void adv_text_free(const AdvAlloc *a, char *text);

/* Nanoseconds on the context's clock. */
static inline uint64_t adv_ctx_now(const AdvCtx *ctx) { return ctx->clock_ns(ctx->user); }

/* One line to the caller's log, if there is one. */
void adv_ctx_log(const AdvCtx *ctx, int32_t level, const char *fmt, ...) ADV_PRINTF(3, 4);

/* Every plugin of the plan must be loaded, byte for byte, or be loaded now from the context's paths or the plan's where it may.
** ADV_EDATA or ADV_ENOENT with a sentence that names the recipe's line. Behind adv_program_check, before adv_plan_check. */
AdvStatus adv_plan_plugins(AdvCtx *ctx, const struct AdvPlan *plan, AdvDiags *ds) ADV_MUST_USE;

/* In a public function: ADV_EINVAL with a sentence where a pointer that is needed is NULL. */
#define ADV_NEED(ds, pointer, what) \
    do { \
        if (!(pointer)) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "%s is NULL", what); \
    } while (0)

/* Copies the caller's options (their struct_size bytes, the rest zero) after checking size and flags. in NULL: all zero. */
AdvStatus adv_opts_read(const void *in, size_t own_bytes, uint32_t known_flags, void *out_own, AdvDiags *ds) ADV_MUST_USE;

/* The other way: fills a caller's info struct as far as its struct_size goes, with zeros behind what is known. ADV_EINVAL: it does
** not even hold struct_size and flags. */
AdvStatus adv_info_write(void *out, const void *info, size_t own_bytes) ADV_MUST_USE;

#endif
