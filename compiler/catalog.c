/* catalog.c: see catalog.h. */
#include "compiler/catalog.h"

#include "compiler/elab/elab.h"
#include "compiler/embed.h"
#include "compiler/pass/pass.h"
#include "compiler/pass/target.h"
#include "runtime/base/container.h"

#include <math.h>
#include <string.h>

static void put(json_t *o, const char *key, const char *text) { json_object_set_new(o, key, json_string(text)); }
static void put_number(json_t *o, const char *key, double v)
{
    bool is_whole = v == floor(v) && fabs(v) < 9e15;
    json_object_set_new(o, key, is_whole ? json_integer((json_int_t)v) : v - v == 0 ? json_real(v) : json_string(v > 0 ? "inf" : "-inf"));
}

static json_t *row(json_t *list, const char *name, const char *doc)
{
    json_t *o = json_object();
    put(o, "name", name);
    put(o, "doc", doc);
    json_array_append_new(list, o);
    return o;
}

/* ---- ops ------------------------------------------------------------------------------------------------------------------ */

static json_t *ports(const AdvPortDef *p)
{
    static const char *const kinds[] = {"", "float", "integer", "any"};
    json_t *list = json_array();
    for (; p && p->kind != ADV_PORT_END; p++) {
        json_t *o = row(list, p->name, p->doc);
        put(o, "kind", kinds[p->kind & 3]);
        json_object_set_new(o, "repeat", json_boolean(p->kind & ADV_PORT_REPEAT));
    }
    return list;
}

static json_t *attrs(const AdvAttrDef *a)
{
    static const char *const kinds[] = {"", "integer", "float", "choice", "integers", "floats", "ops"};
    json_t *list = json_array();
    for (; a && a->kind != ADV_ATTR_END; a++) {
        json_t *o = row(list, a->name, a->doc);
        put(o, "kind", kinds[a->kind]);
        if (a->kind == ADV_ATTR_ENUM) {
            put(o, "choices", a->choices);
            if (isnan(a->dflt)) continue;
            const char *c = a->choices;
            for (int k = 0; k < (int)a->dflt && strchr(c, '|'); k++) c = strchr(c, '|') + 1;
            json_object_set_new(o, "default", json_stringn(c, strcspn(c, "|")));
            continue;
        }
        if (a->kind != ADV_ATTR_OPS) {
            put_number(o, "min", a->min);
            put_number(o, "max", a->max);
        }
        if (a->kind >= ADV_ATTR_INTS) json_object_set_new(o, "default", json_array());
        else if (!isnan(a->dflt)) put_number(o, "default", a->dflt);
    }
    return list;
}

static json_t *facts(const AdvOpDef *op)
{
    static const struct { uint32_t flag; const char *text;
    } flags[] = {{ADV_OP_ELEMENTWISE, "elementwise"},
                 {ADV_OP_COMMUTES, "its first two inputs may be swapped"},
                 {ADV_OP_RANDOM, "draws numbers, as a function of its key"},
                 {ADV_OP_VIEW, "only a view: no copy, no instruction"},
                 {ADV_OP_STRUCT, "handled by the compiler itself"},
                 {ADV_OP_CONV, "counts as a unit of work"},
                 {ADV_OP_WGRAD, "a gradient by weights"},
                 {ADV_OP_BATCH, "couples the samples of a batch"},
                 {ADV_OP_MOVES, "moves elements and computes nothing"},
                 {ADV_OP_EACH, "each element by itself: equal instructions may run as one"},
                 {ADV_OP_JUMPS, "takes the sign of sums, so single results may depend on their order"}};
    static const char *const precisions[] = {"computes in 16 bits where the target does", "never computes below 32 bits", "",
                                             "never computes vectors below 32 bits"};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (op->flags & flags[i].flag) json_array_append_new(list, json_string(flags[i].text));
    if (precisions[op->precision][0]) json_array_append_new(list, json_string(precisions[op->precision]));
    if (op->layout == ADV_LAYOUT_OP_ANY) json_array_append_new(list, json_string("takes images channels last, too"));
    for (uint32_t k = 0; k < adv_op_n_out(op) && k < 4; k++) {
        const char *out = op->out[k].name;
        if (op->inplace[k] == ADV_INPLACE_ANY) json_array_append_new(list, json_sprintf("`%s` may overwrite an input of its type", out));
        else if (op->inplace[k]) json_array_append_new(list, json_sprintf("`%s` may overwrite `%s`", out, op->in[op->inplace[k] - 1].name));
    }
    return list;
}

/* "conv2d(x, w) -> y" */
static json_t *op_signature(const AdvOpDef *op)
{
    char text[512];
    size_t n = (size_t)snprintf(text, sizeof text, "%s(", op->name);
    for (const AdvPortDef *p = op->in; p->kind != ADV_PORT_END && n < sizeof text; p++)
        n +=
            (size_t)snprintf(text + n, sizeof text - n, "%s%s%s", p == op->in ? "" : ", ", p->name, p->kind & ADV_PORT_REPEAT ? "..." : "");
    if (n < sizeof text) n += (size_t)snprintf(text + n, sizeof text - n, ")%s", op->out->kind != ADV_PORT_END ? " -> " : "");
    for (const AdvPortDef *p = op->out; p->kind != ADV_PORT_END && n < sizeof text; p++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%s", p == op->out ? "" : ", ", p->name,
                              p->kind & ADV_PORT_REPEAT ? "..." : "");
    return json_string(text);
}

static void op_row(json_t *list, const AdvOpDef *op)
{
    json_t *o = row(list, op->name, op->doc);
    json_object_set_new(o, "signature", op_signature(op));
    json_object_set_new(o, "version", json_integer(op->version));
    json_object_set_new(o, "in", ports(op->in));
    json_object_set_new(o, "out", ports(op->out));
    json_object_set_new(o, "attrs", attrs(op->attrs));
    json_object_set_new(o, "facts", facts(op));
    put(o, "gradient", op->grad == ADV_GRAD_ZERO ? "zero" : op->grad == ADV_GRAD_NEVER || !op->grad ? "never" : "rule");
    json_object_set_new(o, "fused", json_boolean(op->expand != NULL));
}

static AdvStatus ops(json_t *list)
{
    AdvRegistry reg;
    ADV_TRY(adv_registry_init(&reg, adv_alloc_default()));
    for (uint32_t i = 0; i < reg.n_ops; i++) op_row(list, reg.ops[i]);
    adv_registry_fini(&reg);
    return ADV_OK;
}

AdvStatus adv_catalog_plugins(const char *const *paths, uint32_t n_paths, AdvDiags *ds, json_t **out)
{
    AdvRegistry reg;
    AdvStatus st = adv_registry_init(&reg, adv_alloc_default());
    *out = json_array();
    for (uint32_t k = 0; st == ADV_OK && k < n_paths; k++) {
        const AdvLoaded *p;
        AdvPluginFault fault;
        st = adv_plugin_load(&reg, NULL, paths[k], NULL, 0, &fault, &p);
        if (st != ADV_OK) adv_fail(ds, st, fault.id, "%s", fault.text);
        for (uint32_t i = 0; st == ADV_OK && p->table->ops[i]; i++) op_row(*out, p->table->ops[i]);
    }
    adv_registry_fini(&reg);
    if (st == ADV_OK && *out) return ADV_OK;
    json_decref(*out);
    *out = NULL;
    return st == ADV_OK ? ADV_ENOMEM : st;
}

/* ---- the language ------------------------------------------------------------------------------------------------------------ */

/* "x, eps=, *rest" of the table as people write it: "x, eps = ..., rest...". */
static json_t *builtin_signature(const ElBuiltin *b)
{
    char text[512];
    size_t n = (size_t)snprintf(text, sizeof text, "%s(", b->name);
    for (const char *p = b->params; *p && n < sizeof text;) {
        size_t len = strcspn(p, ",");
        bool many = *p == '*', optional = memchr(p, '=', len) != NULL;
        size_t name = strcspn(p + many, ",= ");
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s%s", p == b->params ? "" : ", ", (int)name, p + many,
                              many       ? "..."
                              : optional ? " = ..."
                                         : "");
        p += len;
        p += strspn(p, ", ");
    }
    if (n < sizeof text) snprintf(text + n, sizeof text - n, ")");
    return json_string(text);
}

static void builtins(json_t *list, const ElBuiltin *b)
{
    for (; b->name; b++) json_object_set_new(row(list, b->name, b->doc), "signature", builtin_signature(b));
}

/* The lines of comment that stand right above offset `off`, without their marks; headings ("# ---- ...") end them. */
static const char *comment_above(AdvArena *a, const AdvSource *src, uint32_t off)
{
    const char *doc = "";
    for (uint32_t end = off; end > 1 && src->text[end - 1] == '\n';) {
        uint32_t start = --end;
        while (start > 0 && src->text[start - 1] != '\n') start--;
        if (src->text[start] != '#' || !strncmp(src->text + start, "# --", 4)) break;
        uint32_t skip = 1 + (src->text[start + 1] == ' ');
        const char *line = adv_arena_strn(a, src->text + start + skip, end > start + skip ? end - start - skip : 0);
        doc = adv_arena_printf(a, "%s%s%s", line, doc[0] ? "\n" : "", doc);
        end = start;
    }
    return doc;
}

static void std_module(json_t *list, AdvArena *a, AdvInterns *names, AdvDiags *ds, const AdvText *t)
{
    static const struct {
        uint16_t kind;
        const char *word;
    } kinds[] = {{AST_NET, "net"}, {AST_ATTACK, "attack"}, {AST_FN, "fn"}, {AST_LOSS, "loss"}};
    size_t n;
    const char *text = adv_text_join(a, t, &n);
    uint32_t file = adv_sources_need(&ds->sources, a, t->name, text, n);
    const Ast *tree = adv_parse(a, names, ds, file);
    const AdvSource *src = &ds->sources.files.at[file - 1];
    for (AstId st = ast(tree, tree->root)->first; st.i; st = ast(tree, st)->next) {
        const AstNode *node = ast(tree, st);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            if (node->kind != kinds[k].kind) continue;
            AdvSpan params = ast(tree, node->first)->span;
            json_t *o = row(list, adv_str(names, node->name), comment_above(a, src, node->span.off));
            json_object_set_new(o, "signature",
                                json_sprintf("%s%.*s", adv_str(names, node->name), (int)params.len, src->text + params.off));
            put(o, "kind", kinds[k].word);
            json_object_set_new(o, "module", json_sprintf("std.%s", t->name));
        }
    }
}

static AdvStatus std_items(json_t *list)
{
    AdvArena arena;
    AdvInterns names;
    jmp_buf trap;
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    if (!ds) return ADV_ENOMEM;
    adv_arena_init(&arena, adv_alloc_default());
    arena.trap = &trap;
    AdvStatus st = ADV_ENOMEM;
    if (!setjmp(trap)) {
        adv_interns_init(&names, &arena);
        for (const AdvText *t = adv_std_texts; t->name; t++) std_module(list, &arena, &names, ds, t);
        st = ADV_OK;
    }
    adv_arena_fini(&arena);
    adv_diags_free(ds);
    return st;
}

static void datasets(json_t *list)
{
    for (const ElDataset *d = el_datasets; d->name; d++) {
        json_t *o = row(list, d->name, "");
        json_object_set_new(o, "doc",
                            json_sprintf("%lld training and %lld test images of %lldx%lldx%lld in %lld classes", (long long)d->n_train,
                                         (long long)d->n_test, (long long)d->channels, (long long)d->height, (long long)d->width,
                                         (long long)d->classes));
        put_number(o, "train", (double)d->n_train);
        put_number(o, "test", (double)d->n_test);
        json_object_set_new(o, "shape", json_pack("[I, I, I]", (json_int_t)d->channels, (json_int_t)d->height, (json_int_t)d->width));
        put_number(o, "classes", (double)d->classes);
    }
    row(list, "synthetic", "made by the recipe's own expressions for `x` and `y`");
    row(list, "own", "numbers of any shape, brought by whoever runs the plan");
}

/* ---- the compiler ------------------------------------------------------------------------------------------------------------- */

static void codes(json_t *list, bool only_lints)
{
    static const char *const levels[] = {"error", "warning", "note"};
    for (uint32_t i = 0; i < ADV_D_COUNT; i++) {
        const AdvDiagDef *d = &adv_diag_defs[i];
        if (only_lints && !d->name[0]) continue;
        json_t *o = row(list, d->name, d->title);
        json_t *code = json_sprintf("ADV%04u", (unsigned)d->code);
        json_object_set(o, only_lints ? "code" : "name", code);
        json_decref(code);
        if (!only_lints) put(o, "lint", d->name);
        put(o, "level", levels[d->level]);
    }
}

static void targets(json_t *list)
{
    for (const AdvTarget *t = adv_targets; t->name; t++) {
        json_t *o = row(list, t->name, "");
        const char *layout = t->layout == ADV_LAYOUT_CL ? "channels last" : "row order";
        bool has_low = t->low_named != t->float_dtype;
        json_object_set_new(o, "doc",
                            json_sprintf("computes in %s%s%s, images in %s", adv_dtype_name(t->float_dtype), has_low ? " or " : "",
                                         has_low ? adv_dtype_name(t->low_named) : "", layout));
        put(o, "float", adv_dtype_name(t->float_dtype));
        put(o, "low", adv_dtype_name(t->low_named));
        put(o, "layout", layout);
        put_number(o, "gflops", t->gflops);
        put_number(o, "gbytes", t->gbytes);
    }
}

static void passes(json_t *list)
{
    for (const AdvPassDef *p = adv_passes; p->name; p++) row(list, p->name, p->doc);
}

AdvStatus adv_catalog(const char *kind, json_t **out)
{
    json_t *list = json_array();
    AdvStatus st = list ? ADV_OK : ADV_ENOMEM;
    *out = NULL;
    if (!list) return st;
    if (!strcmp(kind, "ops")) st = ops(list);
    else if (!strcmp(kind, "builtins")) builtins(list, el_builtins);
    else if (!strcmp(kind, "layers")) builtins(list, el_layers);
    else if (!strcmp(kind, "std")) st = std_items(list);
    else if (!strcmp(kind, "lints")) codes(list, true);
    else if (!strcmp(kind, "codes")) codes(list, false);
    else if (!strcmp(kind, "datasets")) datasets(list);
    else if (!strcmp(kind, "passes")) passes(list);
    else if (!strcmp(kind, "targets")) targets(list);
    else st = ADV_EINVAL;
    if (st == ADV_OK) *out = list;
    else json_decref(list);
    return st;
}
