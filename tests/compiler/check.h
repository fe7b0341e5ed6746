/* check.h: recipes through adv_compile with ADV_COMPILE_CHECK, for tests of diagnostics. */
#ifndef ADV_TESTS_COMPILER_CHECK_H
#define ADV_TESTS_COMPILER_CHECK_H

#include "compiler/adv_compile.h"
#include "tests/dsl/dsl_test.h"

/* The only file an import finds: `path` must end with `name`. */
typedef struct OneFile {
    const char *name;
    const Text *text;
} OneFile;

static inline const char *load_one(void *user, const char *path, size_t *out_bytes)
{
    const OneFile *f = user;
    size_t n = strlen(path), n_name = strlen(f->name);
    if (!f->text || !f->text->at || n < n_name || strcmp(path + n - n_name, f->name) != 0) return NULL;
    *out_bytes = f->text->n;
    return f->text->at;
}

typedef struct Checked {
    AdvDiags *ds;
    AdvStatus st;
} Checked;

/* Checks the recipe; `sets` are "name=value", ended by NULL, or NULL. `o` may hold further options, or be NULL. */
static inline Checked check_recipe(const char *name, const char *text, size_t n, const char *const *sets, OneFile *file,
                                   const AdvCompileOpts *more)
{
    AdvCompileOpts o = more ? *more : (AdvCompileOpts){0};
    AdvSet set[8];
    char copies[8][128];
    Checked c = {.ds = adv_diags_new(adv_alloc_default())};
    void *plan;
    uint64_t n_plan;
    if (!c.ds) abort();
    for (uint32_t i = 0; sets && sets[i] && i < 8; i++) {
        snprintf(copies[i], sizeof copies[i], "%s", sets[i]);
        char *eq = strchr(copies[i], '=');
        if (!eq) abort();
        *eq = 0;
        set[o.n_sets++] = (AdvSet){copies[i], eq + 1};
    }
    o.struct_size = sizeof o;
    o.flags |= ADV_COMPILE_CHECK;
    o.name = name;
    o.text = text;
    o.n_bytes = n;
    o.sets = set;
    if (file) {
        o.load = load_one;
        o.load_user = file;
    }
    c.st = adv_compile(&o, c.ds, &plan, &n_plan);
    CHECK(plan == NULL);
    if (c.st == ADV_OK)
        CHECK_EQ(c.ds->n_errors, 0);
    else
        CHECK(c.ds->n_errors > 0);
    return c;
}

static inline void check_show(const Checked *c)
{
    Text t = {0};
    adv_diags_print_human(c->ds, 0, text_add, &t);
    printf("%s\n", t.at ? t.at : "");
    text_free(&t);
}

#endif
