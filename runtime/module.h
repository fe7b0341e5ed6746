/* module.h: a back end in a library of its own, opened by name when it is first asked for, so that the core builds, links and
** runs where what it needs (CUDA) is absent.
**
** The library exports one function. It holds its own copy of base and ops, which have no globals, and shares the structs
** of backend.h and adv_op.h with the core: `build` says which ones it was compiled with, and must be equal.
*/
#ifndef ADV_RUNTIME_MODULE_H
#define ADV_RUNTIME_MODULE_H

#include "runtime/backend.h"
#include "runtime/ctx.h"

#define ADV_MODULE_SYMBOL "adv_module_v1"
#define ADV_MODULE_BUILD "adv 0.1.0, abi 1"

typedef struct AdvModule {
    uint32_t struct_size;           /* sizeof(AdvModule) */
    uint32_t backend_size, opts_size, bound_size, view_size; /* of AdvBackend, AdvBackendOpts, AdvBound, AdvView */
    const char *build;              /* ADV_MODULE_BUILD */
    const AdvBackend *backend;
    const AdvKernel *const *kernels; /* ended by NULL */
} AdvModule;

#define ADV_MODULE_HEADER \
    .struct_size = sizeof(AdvModule), .backend_size = sizeof(AdvBackend), .opts_size = sizeof(AdvBackendOpts), \
    .bound_size = sizeof(AdvBound), .view_size = sizeof(AdvView), .build = ADV_MODULE_BUILD

/* The one function that the library exports. */
typedef const AdvModule *AdvModuleFn(void);

/* Opens the library at `path`. ADV_EUNAVAILABLE with a sentence: there is none, or it was built with other structs. It is never closed. */
AdvStatus adv_module_open(const char *path, AdvDiags *ds, const AdvModule **out) ADV_MUST_USE;

/* Opens DIR/adv_NAME.so once a context, adds its kernels to the context's registry, and gives its back end. As
** adv_module_open. */
AdvStatus adv_module_load(AdvCtx *ctx, const char *name, const char *dir, AdvDiags *ds, const AdvBackend **out) ADV_MUST_USE;

#endif
