/* recipe.c: see recipe.h. */
#include "tests/compiler/recipe.h"

#include "compiler/plan/memplan.h"
#include "compiler/pass/target.h"

#include <dirent.h>

static void *checked(void *p)
{
    if (!p) abort();
    return p;
}

static const char *source_root(void)
{
    const char *root = getenv("ADV_SOURCE_ROOT");
    return root ? root : ".";
}

Recipe *recipe_of(const char *name, const char *text)
{
    Recipe *r = checked(calloc(1, sizeof *r));
    r->name = checked(strdup(name));
    r->text = checked(strdup(text));
    return r;
}

Recipe *recipe_open(const char *path)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", source_root(), path);
    FILE *f = fopen(full, "rb");
    char *text = NULL;
    size_t n = 0, got;
    char piece[4096];
    if (!f) {
        printf("cannot read %s\n", full);
        abort();
    }
    FILE *out = checked(open_memstream(&text, &n));
    while ((got = fread(piece, 1, sizeof piece, f)) > 0) fwrite(piece, 1, got, out);
    fclose(f);
    fclose(out);
    Recipe *r = recipe_of(path, text);
    free(text);
    return r;
}

void recipe_free(Recipe *r)
{
    free(r->name);
    free(r->text);
    free(r);
}

bool recipe_has(const Recipe *r, const char *piece) { return strstr(r->text, piece) != NULL; }

/* Every `from`, or the end of each line that holds it, becomes `to`. */
static void rewrite(Recipe *r, const char *from, const char *to, bool whole_line)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = checked(open_memstream(&text, &n));
    const char *at = r->text, *hit;
    if (!recipe_has(r, from)) {
        printf("%s does not hold `%s`\n", r->name, from);
        abort();
    }
    while ((hit = strstr(at, from)) != NULL) {
        size_t keep = (size_t)(hit - at) + (whole_line ? strcspn(hit, "\n") : 0);
        fwrite(at, 1, keep, out);
        at += keep + (whole_line ? 0 : strlen(from));
        fprintf(out, whole_line ? "\n%s" : "%s", to);
    }
    fputs(at, out);
    fclose(out);
    free(r->text);
    r->text = text;
}

void recipe_put(Recipe *r, const char *from, const char *to) { rewrite(r, from, to, false); }

void recipe_put_number(Recipe *r, const char *key, int number)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = checked(open_memstream(&text, &n));
    const char *at = r->text, *hit;
    while ((hit = strstr(at, key)) != NULL) {
        size_t keep = (size_t)(hit - at) + strlen(key), digits = strspn(at + keep, "0123456789");
        fwrite(at, 1, keep, out);
        if (digits) fprintf(out, "%d", number);
        at += keep + digits;
    }
    fputs(at, out);
    fclose(out);
    free(r->text);
    r->text = text;
}

void recipe_after(Recipe *r, const char *piece, const char *line) { rewrite(r, piece, line, true); }

/* ---- compiling --------------------------------------------------------------------------------------------------- */

static AdvCompileOpts options(const Recipe *r)
{
    AdvCompileOpts o = {.struct_size = sizeof o, .name = r->name, .text = r->text, .n_bytes = strlen(r->text)};
    return o;
}

static AdvStatus compile(const Recipe *r, const AdvCompileOpts *o, void **out_plan, uint64_t *out_n)
{
    AdvDiags *ds = checked(adv_diags_new(adv_alloc_default()));
    AdvStatus st = adv_compile(o, ds, out_plan, out_n);
    if (st != ADV_OK) {
        printf("%s does not compile (%d)\n", r->name, st);
        adv_diags_print_human(ds, 0, setup_write, stdout);
    }
    adv_diags_free(ds);
    return st;
}

char *recipe_dump(const Recipe *r, const char *what)
{
    AdvCompileOpts o = options(r);
    char *text = NULL;
    size_t n = 0;
    void *plan;
    uint64_t n_plan;
    FILE *f = checked(open_memstream(&text, &n));
    o.flags = ADV_COMPILE_CHECK;
    o.dump = what;
    o.write = setup_write;
    o.write_user = f;
    AdvStatus st = compile(r, &o, &plan, &n_plan);
    fclose(f);
    if (st != ADV_OK) {
        free(text);
        return NULL;
    }
    return text;
}

AdvGraph *recipe_graph(const Recipe *r, Setup *s, const char *stage)
{
    char *text = recipe_dump(r, stage);
    if (!text) return NULL;
    char *own = adv_arena_strn(&s->arena, text, strlen(text));
    free(text);
    AdvGraph *g = setup_read(s, adv_arena_printf(&s->arena, "%s.advg", r->name), own, strlen(own));
    if (!g) setup_show(s);
    return g;
}

AdvMemPlan *recipe_target(Setup *s, AdvGraph **g, const Recipe *r, const char *target, bool is_checked)
{
    AdvTarget *t = ADV_NEW(&s->arena, AdvTarget);
    AdvPassCtx p = {.arena = &s->arena, .scratch = &s->scratch, .diags = s->diags, .target = t};
    AdvPipeOpts o = {.verify_each = is_checked, .round_trip = is_checked};
    *t = *adv_target_find(target);
    if (t->low_dtype == ADV_BF16 && !recipe_has(r, "precision = bf16")) t->low_dtype = ADV_F32;
    if (adv_run_target(&p, g, t, &o) != ADV_OK) {
        setup_show(s);
        return NULL;
    }
    return adv_memplan(&p, *g);
}

void *recipe_plan(const Recipe *r, const char *targets, const char *skip, uint64_t *out_n)
{
    AdvCompileOpts o = options(r);
    void *plan;
    o.targets = targets;
    o.skip_passes = skip;
    return compile(r, &o, &plan, out_n) == ADV_OK ? plan : NULL;
}

void recipe_plan_free(void *plan, uint64_t n)
{
    AdvCompileOpts o = {.struct_size = sizeof o};
    adv_compile_free(&o, plan, n);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

char **recipe_all(void)
{
    static char *names[256];
    char path[4096];
    uint32_t n = 0, n_kept = 0;
    const char *every = getenv("ADV_TEST_RECIPES_EVERY");
    uint32_t step = every && atoi(every) > 0 ? (uint32_t)atoi(every) : 1;
    if (names[0]) return names;
    snprintf(path, sizeof path, "%s/recipes", source_root());
    DIR *d = checked(opendir(path));
    for (struct dirent *e; (e = readdir(d)) != NULL && n < 255;) {
        size_t len = strlen(e->d_name);
        if (len < 5 || strcmp(e->d_name + len - 4, ".adv") != 0) continue;
        snprintf(path, sizeof path, "recipes/%.255s", e->d_name);
        names[n++] = checked(strdup(path));
    }
    closedir(d);
    qsort(names, n, sizeof *names, by_name);
    for (uint32_t i = 0; i < n; i++) {
        if (i % step == 0) names[n_kept++] = names[i];
        else free(names[i]);
    }
    names[n_kept] = NULL;
    if (step > 1)
        printf("SKIP all but one recipe in %u: ADV_TEST_RECIPES_EVERY, where a build without sanitizers tries them all\n", (unsigned)step);
    return names;
}
