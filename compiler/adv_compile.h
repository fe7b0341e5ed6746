/* adv_compile.h: recipes to plans. The public header of the compiler; no device, no GPU library is needed to use it.
**
**   void *plan; uint64_t n;
**   AdvCompileOpts o = {.struct_size = sizeof o, .name = "mine.adv", .text = text, .n_bytes = n_text};
**   AdvStatus st = adv_compile(&o, ds, &plan, &n);     // ds: what went wrong, and warnings
**   ... adv_plan_load(ctx, plan, n, ds, &p) ...
**   adv_compile_free(&o, plan, n);
**
** struct_size says which fields there are: later versions append fields, and an older program's shorter struct gets their
** defaults. Smaller than that of the first version (it ends with write_user), or unknown flag bits: ADV_EINVAL.
**
** Deterministic: the same text, overrides and version give the same bytes. Any thread may call; calls share nothing. The library
** that made `ds` must have the same version as this one: ADV_EINVAL otherwise, and nothing is appended.
*/
#ifndef ADV_COMPILE_H
#define ADV_COMPILE_H

#include "runtime/adv_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where messages go: adv.h. */
typedef struct AdvDiags AdvDiags;

/* An override: `param` name, or "train.seed", "run.precision"; value is an expression of the language. */
typedef struct AdvSet { const char *key, *value; } AdvSet;

/* Flags of AdvCompileOpts. */
enum {
    ADV_COMPILE_CHECK = 1u << 0,       /* stop after checking: no plan is made */
    ADV_COMPILE_VERIFY_EACH = 1u << 1, /* verify the graph after every pass (always, in debug builds) */
    ADV_COMPILE_TIME_PASSES = 1u << 2, /* note the time of each pass in the dump */
    ADV_COMPILE_NO_PLUGINS = 1u << 3   /* `use plugin` is an error: for recipes that are not trusted with native code */
};

/* What to compile, and how. */
typedef struct AdvCompileOpts {
    uint32_t struct_size, flags; /* sizeof(AdvCompileOpts), ADV_COMPILE_* */
    void *(*alloc)(void *user, void *p, size_t old_bytes, size_t new_bytes); /* NULL: the C library's */
    void *alloc_user;
    const char *name;            /* of the recipe, as messages show it; its folder is where `use "file"` starts */
    const char *text;            /* UTF-8, need not end in NUL. NULL: the file `name` is read, and its imports unless there is a `load` */
    size_t n_bytes;              /* at most 1 MiB */
    /* Text of another file a recipe imports, or NULL if there is none; must stay until the call returns. NULL: no files, but those
    ** of the system if text is NULL. */
    const char *(*load)(void *user, const char *path, size_t *out_bytes);
    void *load_user;
    const char *targets;         /* comma-separated: cpu, cuda, ref, ref64; NULL: "cpu,cuda" */
    const AdvSet *sets;
    uint32_t n_sets;
    const char *dump;            /* comma-separated, NULL: none. Text: ast, lowered, graph (after the passes common to all targets), passes;
                                 ** graph as dot (Graphviz) and json; cost: for each target what every instruction computes and moves */
    const char *stop_after;      /* name of a pass, or NULL */
    const char *skip_passes;     /* comma-separated passes to leave out, or NULL. No such pass or dump: ADV_EINVAL */
    const char *why;             /* "fuse", "copy": says why something was not merged or had to be copied; NULL */
    AdvWriteFn *write;           /* gets dumps and whys */
    void *write_user;
    const char *entry;           /* dot, json, cost: of this entry only, e.g. "step.main"; NULL: all */
    const char *allow, *deny;    /* comma-separated lints, or "all": not reported / errors; NULL: none. No such lint: ADV_EINVAL */
    const char *const *plugins;  /* n_plugins paths. `use plugin "libx.so"` takes the one of that file name, before it looks in the
                                 ** recipe's folder. NULL: none */
    uint32_t n_plugins;
    const AdvIo *io;             /* file calls for a recipe that is read. NULL: POSIX */
    int32_t cuda_sm;             /* compute capability, 10*major + minor, of the CUDA device that the plan will run on (adv_ctx_cuda): a
                                 ** plugin that has CUDA kernels, all for other devices, is refused before any of its code runs. 0: any */
    int32_t zero;
} AdvCompileOpts;

/* Compiles. *out_plan (of *out_bytes) is to be freed with adv_compile_free; NULL after a failure and with CHECK.
** ADV_ERECIPE: the recipe has errors (diagnostics). ADV_ENOENT, ADV_EIO: a recipe that is read, or a plugin it names, is not there.
** ADV_ENOMEM, ADV_EINVAL (an option), ADV_EINTERNAL (our fault). Warnings alone are ADV_OK. ds may be NULL. */
ADV_API AdvStatus adv_compile(const AdvCompileOpts *opts, AdvDiags *ds, void **out_plan, uint64_t *out_bytes) ADV_MUST_USE;

/* Frees what adv_compile or adv_format made. NULL is allowed. */
ADV_API void adv_compile_free(const AdvCompileOpts *opts, void *p, uint64_t n_bytes);

/* The canonical form of a recipe (one style, comments kept): *out_text, NUL-terminated, *out_bytes with the NUL.
** ADV_ERECIPE if it does not parse. Only name, text, n_bytes, alloc and io of opts are used. */
ADV_API AdvStatus adv_format(const AdvCompileOpts *opts, AdvDiags *ds, char **out_text, uint64_t *out_bytes) ADV_MUST_USE;

/* A recipe with nothing left open: overrides (opts->sets) in place, defaults written out (keys of sections, arguments of optimisers,
** and of imported functions where they are numbers, texts or lists of these), in canonical form. Imports stay imports. Expanding once
** more changes nothing, and the plan computes the same. As adv_format; ADV_ERECIPE if the recipe has errors. */
ADV_API AdvStatus adv_expand(const AdvCompileOpts *opts, AdvDiags *ds, char **out_text, uint64_t *out_bytes) ADV_MUST_USE;

/* The page of a code ("ADV2104" or "2104"), of a lint by its name, or of a built-in function or layer ("kl"); constant text, NULL if there
** is none.
** `buffer` of 4096 bytes is used for short pages made on the spot. */
ADV_API const char *adv_explain(const char *name, char *buffer, size_t buffer_bytes);

/* Writes what there is of `kind`, one a line: name or signature, a tab, a word of explanation; or, with as_json, an array of objects
** that say all that is known. Kinds: ops, builtins, layers, std, lints, codes, datasets, passes, targets. ADV_EINVAL for another. */
ADV_API AdvStatus adv_compile_list(const char *kind, int32_t as_json, AdvWriteFn *write, void *user) ADV_MUST_USE;

/* The same for the ops of plugins: n_paths files, which are loaded for it. ADV_ENOENT or ADV_EDATA with a diagnostic. */
ADV_API AdvStatus adv_plugin_list(const char *const *paths, uint32_t n_paths, AdvDiags *ds, int32_t as_json,
                                  AdvWriteFn *write, void *user) ADV_MUST_USE;

/* Formats of adv_compile_doc. */
enum { ADV_DOC_TEXT = 0, ADV_DOC_MARKDOWN = 1, ADV_DOC_HTML = 2, ADV_DOC_MAN = 3 };

/* Writes manual pages: of an op, built-in function, layer or function of the standard library (all that have that name), of all of a
** kind (ops, builtins, layers, std), or of everything (NULL). ADV_ENOENT: nothing has that name, and nothing was written. */
ADV_API AdvStatus adv_compile_doc(const char *name, int32_t format, AdvWriteFn *write, void *user) ADV_MUST_USE;

/* The same for the ops of plugins, or the one called `name`. ADV_ENOENT, with a diagnostic: no such file, or no op of that name. */
ADV_API AdvStatus adv_plugin_doc(const char *const *paths, uint32_t n_paths, AdvDiags *ds, const char *name, int32_t format,
                                 AdvWriteFn *write, void *user) ADV_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
