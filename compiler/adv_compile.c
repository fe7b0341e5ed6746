/* adv_compile.c: the public entry: text -> tree -> graph -> passes -> plan bytes.
**
** All memory of a compilation is in three arenas whose trap is set here: running out of memory anywhere inside jumps back to
** run() and becomes ADV_ENOMEM, and everything is given back at once.
*/
#include "compiler/adv_compile.h"

#include "compiler/plan/cost.h"
#include "compiler/elab/elab.h"
#include "compiler/embed.h"
#include "compiler/plan/emit.h"
#include "compiler/expand.h"
#include "compiler/graph/show.h"
#include "compiler/pass/pass.h"
#include "compiler/pass/target.h"
#include "dsl/token.h"
#include "ops/plugin.h"
#include "runtime/base/io.h"
#include "runtime/base/json_text.h"
#include "runtime/plan_load.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MAX_TARGETS 4

/* A file that was read, until the call ends. */
typedef struct FileText FileText;
struct FileText { FileText *next; void *data; uint64_t n_bytes; };

typedef struct Compile {
    const AdvCompileOpts *o;   /* &own, once it is read */
    AdvIo io;
    AdvCompileOpts own;
    AdvAlloc alloc;
    AdvDiags *ds;
    bool own_ds;
    AdvRegistry reg;
    AdvArena arena, scratch;
    AdvInterns names;
    El *el;
    json_t *program;
    FileText *files;
    void *out;
    uint64_t n_out;
} Compile;

static AdvAlloc alloc_of(const AdvCompileOpts *o)
{
    if (!o || !o->alloc) return adv_alloc_default();
    return (AdvAlloc){o->alloc, o->alloc_user};
}

/* ---- files ---- */

/* Reads a file that lives until the call ends. */
static AdvStatus read_file(Compile *c, const char *path, AdvDiags *ds, const char **out_text, size_t *out_bytes)
{
    FileText *f = adv_mem_new0(&c->alloc, sizeof *f);
    if (!f) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading `%s`", path);
    AdvStatus st = adv_read_file(&c->io, &c->alloc, path, ADV_MAX_SOURCE_BYTES, ds, &f->data, &f->n_bytes);
    if (st != ADV_OK) {
        adv_mem_free(&c->alloc, f, sizeof *f);
        return st;
    }
    f->next = c->files;
    c->files = f;
    *out_text = f->data;
    *out_bytes = (size_t)f->n_bytes;
    return ADV_OK;
}

/* An AdvCompileOpts.load for recipes that are read; who imports says what is missing. */
static const char *load_file(void *user, const char *path, size_t *out_bytes)
{
    const char *text = NULL;
    return read_file(user, path, NULL, &text, out_bytes) == ADV_OK ? text : NULL;
}

static void free_files(Compile *c)
{
    while (c->files) {
        FileText *f = c->files;
        c->files = f->next;
        adv_mem_free(&c->alloc, f->data, (size_t)f->n_bytes + 1);
        adv_mem_free(&c->alloc, f, sizeof *f);
    }
}

static bool listed(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *s = list; s && *s; s += strcspn(s, ","), s += *s == ',')
        if (strcspn(s, ",") == n && !strncmp(s, word, n)) return true;
    return false;
}

/* ---- texts built in ---- */

const char *el_std_text(El *el, const char *name, size_t *out_bytes)
{
    const AdvText *t = adv_text_find(adv_std_texts, name);
    return t ? adv_text_join(el->arena, t, out_bytes) : NULL;
}

const char *el_std_with(El *el, const char *word)
{
    static const char *const kinds[] = {"fn", "net", "loss", "attack"};
    for (const AdvText *t = adv_std_texts; t->name; t++) {
        size_t n_bytes;
        const char *text = adv_text_join(el->arena, t, &n_bytes);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            if (strstr(text, adv_arena_printf(el->arena, "\n%s %s(", kinds[k], word))) return t->name;
    }
    return NULL;
}

/* ---- the program ---- */

void el_json_set(El *el, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value)) el->lacks_json = true;
}

void el_json_push(El *el, json_t *list, json_t *value)
{
    if (json_array_append_new(list, value)) el->lacks_json = true;
}

/* ---- overrides ---- */

/* The value of `--set`. One word is kept as such, whatever it means, since a parameter may be a text. */
static ElVal set_value(El *el, ElModule *m, AstId id)
{
    const AstNode *n = ast(m->ast, id);
    ElVal v = {.kind = EL_NAME, .span = n->span};
    if (n->kind != AST_ID || el_is_word(adv_str(el->names, n->name))) v = el_const_expr(el, m, NULL, id, "a value of `--set`");
    if (n->kind == AST_ID) v.name = n->name;
    return v;
}

/* May the key stand before `=` in a recipe? */
static bool is_path(const char *key)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.0123456789";
    size_t n = strlen(key);
    return n && key[strspn(key, letters)] == 0 && !strchr(".0123456789", key[0]) && key[n - 1] != '.';
}

/* `--set key=value`: parsed as an equation of the recipe is, and shown as one. */
static void read_sets(Compile *c)
{
    El *el = c->el;
    for (uint32_t i = 0; i < c->o->n_sets; i++) {
        const AdvSet *s = &c->o->sets[i];
        const char *name = adv_arena_printf(&c->arena, "--set %s", s->key),
                   *text = adv_arena_printf(&c->arena, "adv 1\n%s = %s\n", is_path(s->key) ? s->key : "value", s->value);
        uint32_t file = adv_sources_need(&c->ds->sources, &c->arena, name, text, strlen(text));
        uint32_t before = c->ds->n_errors;
        ElModule *m = el_module_parse(el, file, adv_intern(&c->names, name), true);
        AstId st = ast(m->ast, m->ast->root)->first;
        bool is_one = ast_n_children(m->ast, m->ast->root) == 1 && ast(m->ast, st)->kind == AST_ASSIGN;
        if (c->ds->n_errors == before && !is_one)
            adv_diag(c->ds, ADV_D_OVERRIDE, (AdvSpan){file, 6, (uint32_t)strlen(text) - 7},
                     "`--set %s` takes one expression, and this is more", s->key);
        if (c->ds->n_errors > before) continue;
        AdvSpan at = ast(m->ast, ast(m->ast, st)->first)->span;
        ElOverride set = {.key = adv_intern(&c->names, s->key), .val = set_value(el, m, ast_child(m->ast, st, 1)), .at = at};
        *ADV_PUSH(&c->arena, &el->overrides) = set;
    }
    el->recipe = NULL;
    el->modules.n = 0;
}

/* ---- lints ---- */

/* Is message `id` a lint of the list? */
static bool is_lint(const char *list, uint32_t id)
{
    return list && adv_diag_defs[id].name[0] && (listed(list, "all") || listed(list, adv_diag_defs[id].name));
}

/* ---- names in options ---- */

/* Is each name of the list one of the known ones? `what` they are, and `help`: where to read them. */
static AdvStatus read_names(Compile *c, const char *list, const char *what, const char *const *known, uint32_t n, const char *help)
{
    for (const char *s = list; s && *s; s += strcspn(s, ","), s += *s == ',') {
        const char *name = adv_arena_strn(&c->arena, s, strcspn(s, ","));
        uint32_t i = 0;
        while (i < n && strcmp(name, known[i])) i++;
        if (i < n) continue;
        const char *near = adv_nearest(name, known, n);
        AdvDiag *d = adv_diag(c->ds, ADV_D_OPTION, (AdvSpan){0, 0, 0}, "no %s is called `%s`", what, name);
        if (near) adv_diag_help(d, "did you mean `%s`?", near);
        adv_diag_help(d, "%s", help);
        return ADV_EINVAL;
    }
    return ADV_OK;
}

static AdvStatus read_options(Compile *c)
{
    static const char *const dumps[] = {"ast", "lowered", "graph", "passes", "dot", "json", "cost"};
    const AdvCompileOpts *o = c->o;
    const char *names[ADV_D_COUNT + 1] = {"all"};
    uint32_t n = 1;
    for (uint32_t i = 0; i < ADV_D_COUNT; i++)
        if (adv_diag_defs[i].name[0]) names[n++] = adv_diag_defs[i].name;
    ADV_TRY(read_names(c, o->allow, "lint", names, n, "`advc list lints` prints them"));
    ADV_TRY(read_names(c, o->deny, "lint", names, n, "`advc list lints` prints them"));
    ADV_TRY(read_names(c, o->dump, "dump", dumps, sizeof dumps / sizeof *dumps,
                       "there are ast, lowered, graph, passes, dot, json and cost"));
    for (n = 0; n < ADV_D_COUNT && adv_passes[n].name; n++) names[n] = adv_passes[n].name;
    ADV_TRY(read_names(c, o->stop_after, "pass", names, n, "`advc list passes` prints them"));
    return read_names(c, o->skip_passes, "pass", names, n, "`advc list passes` prints them");
}

/* ---- stages ---- */

static AdvStatus elaborate(Compile *c, uint32_t file)
{
    El *el = c->el = ADV_NEW(&c->arena, El);
    el->arena = &c->arena;
    el->names = &c->names;
    el->ds = c->ds;
    el->g = adv_graph_new(&c->arena, &c->reg, &c->names, c->ds);
    el->load = c->o->load;
    el->load_user = c->o->load_user;
    el->reg = &c->reg;
    el->plugins = c->o->plugins;
    el->n_plugins = c->o->n_plugins;
    el->cuda_sm = c->o->cuda_sm;
    el->no_plugins = c->o->flags & ADV_COMPILE_NO_PLUGINS;
    ADV_TRY(read_options(c));
    for (uint32_t i = 0; i < ADV_D_COUNT; i++) c->ds->allowed[i] = is_lint(c->o->allow, i);
    read_sets(c);
    uint32_t before = c->ds->n_errors;
    if (before) return ADV_ERECIPE;
    bool ok = el_recipe(el, file, &c->program);
    if (ok && c->ds->n_errors == before && el->lacks_json)
        return adv_fail(c->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while writing the program of the plan");
    for (uint32_t i = 0; i < c->ds->list.n; i++)
        if (is_lint(c->o->deny, c->ds->list.at[i]->id)) adv_diag_relevel(c->ds->list.at[i], ADV_LEVEL_ERROR);
    if (el->plugin_status == ADV_ENOENT || el->plugin_status == ADV_ENOMEM) return el->plugin_status;
    return ok && c->ds->n_errors == before ? ADV_OK : ADV_ERECIPE;
}

static const char *base_name(Compile *c)
{
    const char *name = c->o->name ? c->o->name : "recipe", *slash = strrchr(name, '/');
    if (slash) name = slash + 1;
    size_t n = strlen(name);
    if (n > 4 && !strcmp(name + n - 4, ".adv")) n -= 4;
    return adv_arena_strn(&c->arena, name, n);
}

/* Of all sources with their names (overrides are sources too), of op versions, and of plugins. */
static const char *hash_of(Compile *c)
{
    XXH3_state_t *s = XXH3_createState();
    if (!s) return "";
    XXH3_128bits_reset(s);
    for (uint32_t i = 0; i < c->ds->sources.files.n; i++) {
        const AdvSource *f = &c->ds->sources.files.at[i];
        XXH3_128bits_update(s, f->text, f->n_bytes);
    }
    for (uint32_t i = 0; i < c->reg.n_ops; i++) {
        XXH3_128bits_update(s, c->reg.ops[i]->name, strlen(c->reg.ops[i]->name));
        XXH3_128bits_update(s, &c->reg.ops[i]->version, sizeof c->reg.ops[i]->version);
    }
    for (const AdvLoaded *p = c->reg.plugins; p; p = p->next) XXH3_128bits_update(s, p->sha256, sizeof p->sha256);
    XXH128_hash_t h = XXH3_128bits_digest(s);
    XXH3_freeState(s);
    return adv_arena_printf(&c->arena, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

static AdvStatus emit(Compile *c, const AdvEmitTarget *targets, uint32_t n_targets)
{
    const char *name = base_name(c), *hash = hash_of(c); /* may leave this function */
    size_t n_text;
    el_json_set(c->el, c->program, "recipe", json_string(name));
    char *text = c->el->lacks_json ? NULL : adv_json_text(&c->alloc, c->program, JSON_COMPACT | JSON_SORT_KEYS, &n_text);
    if (!text) return adv_fail(c->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while writing the program of the plan");
    AdvEmitIn in = {.sources = &c->ds->sources,
                    .program = text,
                    .recipe = name,
                    .hash = hash,
                    .n_targets = n_targets,
                    .targets = targets};
    AdvStatus st = adv_emit(&c->alloc, c->ds, &in, &c->out, &c->n_out);
    adv_mem_free(&c->alloc, text, n_text + 1);
    return st;
}

/* What `run { precision, device }` makes of a target's 16-bit type. */
static uint8_t low_dtype(const Compile *c, const AdvTarget *t)
{
    const json_t *run = json_object_get(c->program, "run");
    const char *precision = json_string_value(json_object_get(run, "precision"));
    const char *device = json_string_value(json_object_get(run, "device"));
    if (!precision || strcmp(precision, "bf16")) return t->float_dtype;
    return device && !strcmp(device, t->name) ? t->low_named : t->low_dtype;
}

static AdvStatus compile_targets(Compile *c, AdvGraph *common, const AdvPipeOpts *pipe)
{
    const char *list = c->o->targets ? c->o->targets : "cpu,cuda";
    AdvEmitTarget targets[MAX_TARGETS];
    uint32_t n = 0;
    for (const char *s = list; *s; s += strcspn(s, ","), s += *s == ',') {
        const char *name = adv_arena_strn(&c->arena, s, strcspn(s, ","));
        const AdvTarget *t = adv_target_find(name);
        if (!t || n == MAX_TARGETS)
            return adv_fail(c->ds, ADV_EINVAL, ADV_D_TARGET, "no target is called `%s`: there are cpu, cuda, ref and ref64", name);
        AdvTarget *own = ADV_NEW(&c->arena, AdvTarget);
        *own = *t;
        own->low_dtype = low_dtype(c, t);
        AdvGraph *g = adv_graph_copy(&c->arena, common);
        AdvPassCtx p = {.arena = &c->arena,
                        .scratch = &c->scratch,
                        .diags = c->ds,
                        .target = own,
                        .why_write = c->o->write,
                        .why_user = c->o->write_user};
        if (c->o->why) p.why = adv_intern(&c->names, c->o->why);
        ADV_TRY(adv_run_target(&p, &g, own, pipe));
        if (pipe->stop_after) continue;
        targets[n].target = own;
        targets[n].mem = adv_memplan(&p, g);
        targets[n].graph = g;
        n++;
        if (listed(c->o->dump, "cost") && c->o->write)
            adv_cost_print(&c->scratch, g, own, targets[n - 1].mem, c->o->entry, c->o->write, c->o->write_user);
    }
    if (pipe->stop_after) return ADV_OK;
    if (!n) return adv_fail(c->ds, ADV_EINVAL, ADV_D_TARGET, "at least one target is needed");
    return emit(c, targets, n);
}

/* The graph for other programs: before any target has changed it. */
static AdvStatus show(Compile *c, const AdvGraph *g)
{
    const AdvCompileOpts *o = c->o;
    if (o->entry && !adv_entry_find(g, adv_intern(&c->names, o->entry)).i) {
        const char *all = "";
        for (uint32_t i = 0; i < g->entries.n; i++)
            all = adv_arena_printf(&c->arena, "%s%s`%s`", all, i ? ", " : "", adv_str(&c->names, adv_region(g, g->entries.at[i])->name));
        return adv_fail(c->ds, ADV_EINVAL, ADV_D_OPTION, "the recipe has no entry `%s`: there are %s", o->entry, all);
    }
    if (listed(o->dump, "dot") && o->write) adv_graph_dot(g, o->entry, o->write, o->write_user);
    return listed(o->dump, "json") && o->write ? adv_graph_json(g, o->entry, o->write, o->write_user) : ADV_OK;
}

static AdvStatus compile(Compile *c)
{
    const AdvCompileOpts *o = c->o;
    uint32_t file = adv_sources_need(&c->ds->sources, &c->arena, o->name ? o->name : "recipe", o->text, o->n_bytes);
    if (listed(o->dump, "ast") && o->write) {
        Ast *t = adv_parse(&c->arena, &c->names, c->ds, file);
        ast_dump(t, o->write, o->write_user);
        if (!strcmp(o->dump, "ast")) return c->ds->n_errors ? ADV_ERECIPE : ADV_OK;
    }
    ADV_TRY(elaborate(c, file));
    AdvGraph *g = c->el->g;
    ADV_TRY(adv_graph_verify(g, false));
    AdvPipeOpts pipe = {.stop_after = o->stop_after,
                        .skip = o->skip_passes,
                        .verify_each = o->flags & ADV_COMPILE_VERIFY_EACH,
                        .time_passes = o->flags & ADV_COMPILE_TIME_PASSES};
    if (listed(o->dump, "passes")) { pipe.dump = o->write; pipe.dump_user = o->write_user; }
    AdvPassCtx p = {.arena = &c->arena, .scratch = &c->scratch, .diags = c->ds};
    if (o->why) p.why = adv_intern(&c->names, o->why);
    if (listed(o->dump, "lowered")) adv_graph_print(g, false, o->write, o->write_user);
    ADV_TRY(adv_run_common(&p, &g, &pipe));
    if (listed(o->dump, "graph")) adv_graph_print(g, false, o->write, o->write_user);
    ADV_TRY(show(c, g));
    if (o->flags & ADV_COMPILE_CHECK) return ADV_OK;
    return compile_targets(c, g, &pipe);
}

/* ---- entry points ---- */

static const uint32_t ALL_FLAGS = ADV_COMPILE_CHECK | ADV_COMPILE_VERIFY_EACH | ADV_COMPILE_TIME_PASSES | ADV_COMPILE_NO_PLUGINS;

static AdvStatus begin(Compile *c, const AdvCompileOpts *o, AdvDiags *ds)
{
    memset(c, 0, sizeof *c);
    if (ds && strcmp(ds->version, ADV_VERSION)) return ADV_EINVAL;
    if (!o) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "the options are NULL");
    if (o->struct_size < offsetof(AdvCompileOpts, entry))
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "struct_size of the options is %u: set it to sizeof the struct", o->struct_size);
    if (o->flags & ~ALL_FLAGS) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "unknown flags 0x%x in the options", o->flags & ~ALL_FLAGS);
    if (!o->text && !o->name) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "there is nothing to compile: text and name are NULL");
    memcpy(&c->own, o, o->struct_size < sizeof c->own ? o->struct_size : sizeof c->own);
    if (adv_io_read(c->own.io, &c->io) != ADV_OK)
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "adv_compile was given file calls of another size");
    c->o = &c->own;
    c->alloc = alloc_of(o);
    c->own_ds = !ds;
    c->ds = ds ? ds : adv_diags_new(c->alloc);
    if (!c->ds) return ADV_ENOMEM;
    adv_arena_init(&c->arena, c->alloc);
    adv_arena_init(&c->scratch, c->alloc);
    AdvStatus st = adv_registry_init(&c->reg, c->alloc);
    if (st != ADV_OK) return adv_fail(c->ds, st, ADV_D_NO_MEMORY, "out of memory while compiling");
    if (c->own.text) return ADV_OK;
    if (!c->own.load) {
        c->own.load = load_file;
        c->own.load_user = c;
    }
    return read_file(c, c->own.name, c->ds, &c->own.text, &c->own.n_bytes);
}

static void end(Compile *c)
{
    if (c->program) json_decref(c->program);
    adv_registry_fini(&c->reg);
    adv_arena_fini(&c->scratch);
    adv_arena_fini(&c->arena);
    free_files(c);
    if (c->own_ds) adv_diags_free(c->ds);
}

static AdvStatus guarded(Compile *c, AdvStatus (*work)(Compile *c))
{
    jmp_buf trap;
    if (setjmp(trap)) return adv_fail(c->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while compiling");
    c->arena.trap = c->scratch.trap = &trap;
    adv_interns_init(&c->names, &c->arena);
    return work(c);
}

static AdvStatus refuse_outputs(AdvDiags *ds)
{
    if (ds && strcmp(ds->version, ADV_VERSION)) return ADV_EINVAL;
    return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "where the result goes is NULL");
}

AdvStatus adv_compile(const AdvCompileOpts *o, AdvDiags *ds, void **out_plan, uint64_t *out_bytes)
{
    Compile c;
    if (!out_plan || !out_bytes) return refuse_outputs(ds);
    *out_plan = NULL;
    *out_bytes = 0;
    AdvStatus st = begin(&c, o, ds);
    if (st == ADV_OK) st = guarded(&c, compile);
    if (st == ADV_OK) {
        *out_plan = c.out;
        *out_bytes = c.n_out;
    }
    if (c.o) end(&c);
    return st;
}

typedef struct Grow { Compile *c; ADV_VEC(char) s; } Grow;

static void grow_piece(void *user, const char *text, size_t n)
{
    Grow *g = user;
    for (size_t i = 0; i < n; i++) *ADV_PUSH(&g->c->scratch, &g->s) = text[i]; /* the printer gives back what it took of the arena */
}

/* The canonical form of a text, into c->out. */
static AdvStatus print_canonical(Compile *c, const char *text, size_t n_bytes)
{
    uint32_t file = adv_sources_need(&c->ds->sources, &c->arena, c->o->name ? c->o->name : "recipe", text, n_bytes),
             before = c->ds->n_errors;
    Ast *t = adv_parse(&c->arena, &c->names, c->ds, file);
    if (c->ds->n_errors > before) return ADV_ERECIPE;
    Grow g = {.c = c};
    ast_print(t, &c->ds->sources, grow_piece, &g);
    c->n_out = (uint64_t)g.s.n + 1;
    c->out = adv_mem_new0(&c->alloc, c->n_out);
    if (!c->out) return adv_fail(c->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while formatting");
    memcpy(c->out, g.s.at, g.s.n);
    return ADV_OK;
}

static AdvStatus format(Compile *c) { return print_canonical(c, c->o->text, c->o->n_bytes); }

static AdvStatus expand(Compile *c)
{
    size_t n;
    ADV_TRY(elaborate(c, adv_sources_need(&c->ds->sources, &c->arena, c->o->name ? c->o->name : "recipe", c->o->text, c->o->n_bytes)));
    const char *text = adv_expand_text(c->el, c->o->sets, c->o->n_sets, &n);
    return print_canonical(c, text, n);
}

static AdvStatus to_text(const AdvCompileOpts *o, AdvDiags *ds, AdvStatus (*work)(Compile *c), char **out_text, uint64_t *out_bytes)
{
    Compile c;
    if (!out_text || !out_bytes) return refuse_outputs(ds);
    *out_text = NULL;
    *out_bytes = 0;
    AdvStatus st = begin(&c, o, ds);
    if (st == ADV_OK) st = guarded(&c, work);
    if (st == ADV_OK) {
        *out_text = c.out;
        *out_bytes = c.n_out;
    }
    if (c.o) end(&c);
    return st;
}

AdvStatus adv_format(const AdvCompileOpts *o, AdvDiags *ds, char **out_text, uint64_t *out_bytes)
{
    return to_text(o, ds, format, out_text, out_bytes);
}

AdvStatus adv_expand(const AdvCompileOpts *o, AdvDiags *ds, char **out_text, uint64_t *out_bytes)
{
    return to_text(o, ds, expand, out_text, out_bytes);
}

void adv_compile_free(const AdvCompileOpts *o, void *p, uint64_t n)
{
    AdvAlloc a = alloc_of(o);
    adv_mem_free(&a, p, n);
}

/* ---- what there is ---- */

static void join(const AdvText *t, char *buffer, size_t n_bytes)
{
    size_t at = 0;
    for (size_t i = 0; i < t->n_lines && at + 1 < n_bytes; i++) at += (size_t)snprintf(buffer + at, n_bytes - at, "%s", t->lines[i]);
}

const char *adv_explain(const char *name, char *buffer, size_t n_bytes)
{
    const char *digits = !strncmp(name, "ADV", 3) || !strncmp(name, "adv", 3) ? name + 3 : name;
    char file[32], code[16];
    for (uint32_t i = 0; i < ADV_D_COUNT; i++) /* a lint has a name, too */
        if (name[0] && !strcmp(adv_diag_defs[i].name, name)) {
            snprintf(code, sizeof code, "%d", (int)adv_diag_defs[i].code);
            digits = code;
        }
    snprintf(file, sizeof file, "ADV%.8s", digits);
    const AdvText *page = adv_text_find(adv_code_pages, file);
    if (page) {
        join(page, buffer, n_bytes);
        return buffer;
    }
    const ElBuiltin *tables[2] = {el_builtins, el_layers};
    size_t n = 0; /* `linear` is a schedule, and in nets a layer */
    for (int k = 0; k < 2; k++)
        for (const ElBuiltin *b = tables[k]; b->name; b++)
            if (!strcmp(b->name, name) && n < n_bytes)
                n += (size_t)snprintf(buffer + n, n_bytes - n, "%s(%s)%s\n  %s\n", b->name, b->params, k ? "  [layer: in nets only]" : "",
                                      b->doc);
    return n ? buffer : NULL;
}
