/* plugin.c: `use plugin "file.so" as my`, and calls of the ops it adds.
**
** A plugin becomes a module whose items are ops, so names are looked up as those of any import. A call binds arguments to the
** op's input ports, by position or by name, and to its attributes, by name; the op's own shape rule does the rest. What the
** language has to know beyond that is the rate: a result of a call with per-sample operands is per sample, its first dimension
** the batch, unless the port says ADV_PORT_BATCH.
*/
#include "compiler/elab/elab.h"

#include <string.h>

/* ---- importing ---- */

/* Where the plugin lies: given on the command line under this name, or beside the recipe. */
static const char *path_of(El *el, const ElModule *m, const char *name)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    for (uint32_t i = 0; i < el->n_plugins; i++) {
        const char *given = strrchr(el->plugins[i], '/');
        if (!strcmp(given ? given + 1 : el->plugins[i], base)) return el->plugins[i];
    }
    const AdvSource *self = adv_source_of(&el->ds->sources, (AdvSpan){m->file, 0, 0});
    const char *dir = strrchr(self->name, '/');
    if (!dir || name[0] == '/') return strchr(name, '/') ? name : adv_arena_printf(el->arena, "./%s", name);
    return adv_arena_printf(el->arena, "%.*s/%s", (int)(dir - self->name), self->name, name);
}

/* The first `alias.op` of the file: the line that needs the plugin. */
static AdvSpan first_use(const ElModule *m, AstId id, AdvStr alias)
{
    const AstNode *n = ast(m->ast, id);
    const AstNode *left = n->kind == AST_DOT && n->first.i ? ast(m->ast, n->first) : NULL;
    if (left && left->kind == AST_ID && left->name.i == alias.i) return n->span;
    for (AstId c = n->first; c.i; c = ast(m->ast, c)->next) {
        AdvSpan s = first_use(m, c, alias);
        if (s.file) return s;
    }
    return (AdvSpan){0, 0, 0};
}

ElModule *el_plugin_import(El *el, ElModule *m, AstId use)
{
    const AstNode *n = ast(m->ast, use);
    const AdvLoaded *p;
    AdvPluginFault fault;
    if (el->no_plugins) {
        el_error(el, ADV_D_PLUGIN_FILE, n->span, "plugins are not loaded here: the program that compiles does not allow them");
        return NULL;
    }
    AdvStatus st = adv_plugin_load(el->reg, NULL, path_of(el, m, adv_str(el->names, n->name)), NULL, el->cuda_sm, &fault, &p);
    if (st != ADV_OK) {
        AdvDiag *d = el_diag(el, fault.id, n->span, "%s", fault.text);
        AdvSpan needs = n->name2.i ? first_use(m, m->ast->root, n->name2) : (AdvSpan){0, 0, 0};
        if (needs.file) adv_diag_note(d, needs, "it is needed here");
        if (fault.help) adv_diag_help(d, "%s", fault.help);
        el->plugin_status = st;
        return NULL;
    }
    ElModule *plugin = ADV_NEW(el->arena, ElModule);
    plugin->name = adv_intern(el->names, p->name);
    plugin->file = m->file;
    for (uint32_t i = 0; p->table->ops[i]; i++) {
        ElItem *it = ADV_NEW(el->arena, ElItem);
        *it = (ElItem){.name = adv_intern(el->names, p->table->ops[i]->name),
                       .kind = EL_ITEM_OP,
                       .module = plugin,
                       .at = n->span,
                       .op = p->table->ops[i]};
        *ADV_PUSH(el->arena, &plugin->items) = it;
    }
    return plugin;
}

ElVal el_plugin_value(El *el, const ElItem *it)
{
    ElFn *fn = ADV_NEW(el->arena, ElFn);
    *fn = (ElFn){.kind = EL_FN_OP, .name = it->op->name, .module = it->module, .op = it->op};
    return (ElVal){.kind = EL_FN, .fn = fn, .span = it->at};
}

/* ---- attributes ---- */

static bool int_list(El *el, ElVal v, const char *what, AdvAttr *out)
{
    int64_t *ints = ADV_NEW_ARRAY(el->arena, int64_t, v.n + 1);
    for (uint32_t i = 0; i < v.n; i++)
        if (!el_int(el, v.list[i], what, INT64_MIN / 2, INT64_MAX / 2, &ints[i])) return false;
    *out = adv_attr_ints(ints, v.n);
    return true;
}

static bool float_list(El *el, ElVal v, const char *what, AdvAttr *out)
{
    double *floats = ADV_NEW_ARRAY(el->arena, double, v.n + 1);
    for (uint32_t i = 0; i < v.n; i++)
        if (!el_float(el, v.list[i], what, &floats[i])) return false;
    *out = (AdvAttr){.floats = floats, .n = v.n};
    return true;
}

static bool choice(El *el, ElVal v, const AdvAttrDef *d, AdvAttr *out)
{
    const char *word = v.kind == EL_NAME || v.kind == EL_STRING ? adv_str(el->names, v.name) : "", *c = d->choices;
    for (int64_t k = 0; *c; k++, c += *c == '|') {
        size_t n = strcspn(c, "|");
        if (n == strlen(word) && !memcmp(c, word, n)) {
            *out = adv_attr_i(k);
            return true;
        }
        c += n;
    }
    el_error(el, ADV_D_ARGUMENT_KIND, v.span, "`%s` is one of \"%s\"", d->name, d->choices);
    return false;
}

/* Ranges are the op's, checked where the node is built. */
static bool attribute(El *el, const AdvAttrDef *d, ElVal v, AdvAttr *out)
{
    const char *what = adv_arena_printf(el->arena, "`%s`", d->name);
    bool is_list = d->kind == ADV_ATTR_INTS || d->kind == ADV_ATTR_FLOATS;
    if (is_list && v.kind != EL_LIST) {
        el_error(el, ADV_D_ARGUMENT_KIND, v.span, "%s is a list, but this is %s", what, el_describe(el, v));
        return false;
    }
    switch (d->kind) {
    case ADV_ATTR_INT: *out = adv_attr_i(0); return el_int(el, v, what, INT64_MIN / 2, INT64_MAX / 2, &out->i);
    case ADV_ATTR_FLOAT: *out = adv_attr_f(0); return el_float(el, v, what, &out->f);
    case ADV_ATTR_ENUM: return choice(el, v, d, out);
    case ADV_ATTR_INTS: return int_list(el, v, what, out);
    case ADV_ATTR_FLOATS: return float_list(el, v, what, out);
    default: el_error(el, ADV_D_ARGUMENT, v.span, "%s cannot be given in a recipe", what); return false;
    }
}

/* ---- operands ---- */

/* A value as an operand: integers for ports that want them, floats as the graph has them. None for what is no value. */
static AdvValueId operand(El *el, const AdvPortDef *p, ElVal v)
{
    AdvValueId none = {0};
    if (!el_is_value(v)) {
        el_error(el, ADV_D_NOT_A_VALUE, v.span, "`%s` takes numbers, but this is %s", p->name, el_describe(el, v));
        return none;
    }
    if (ADV_PORT_KIND(p->kind) == ADV_PORT_FLOAT || (ADV_PORT_KIND(p->kind) == ADV_PORT_ANY && v.kind == EL_NUMBER)) return el_graph(el, v);
    if (ADV_PORT_KIND(p->kind) == ADV_PORT_ANY) return v.t;
    if (v.kind == EL_NUMBER) return el_const(el, v.num, ADV_I64);
    uint8_t dtype = adv_value_type(el->g, v.t)->dtype;
    if (dtype == ADV_I32 || dtype == ADV_I64 || dtype == ADV_U8) return v.t;
    AdvAttr i64 = adv_attr_i(ADV_I64 - 1); /* enum of `cast`: f32 f64 bf16 f16 i32 i64 u8 */
    return el_node(el, v.span, "cast", &v.t, 1, &i64);
}

typedef struct Bound {
    ElVal *in; /* by port; a repeated last port's go on behind */
    bool *given;
    uint32_t n_in;
    AdvAttr attr[ADV_MAX_ATTRS];
    bool given_attr[ADV_MAX_ATTRS];
} Bound;

static const char *takes(El *el, const AdvOpDef *op)
{
    const char *s = "";
    for (uint32_t k = 0; k < adv_op_n_in(op) + adv_op_in_repeats(op); k++)
        s = adv_arena_printf(el->arena, "%s%s`%s`", s, k ? ", " : "", op->in[k].name);
    for (uint32_t k = 0; k < adv_op_n_attrs(op); k++) s = adv_arena_printf(el->arena, "%s, `%s =`", s, op->attrs[k].name);
    return s;
}

/* Marks an argument as given; false, with a diagnostic, if it was before. */
static bool first_time(El *el, const AdvOpDef *op, const ElArg *a, bool *given)
{
    if (*given) {
        el_error(el, ADV_D_ARGUMENT, a->span, "argument `%s` of `%s` is given twice", adv_str(el->names, a->name), op->name);
        return false;
    }
    return *given = true;
}

static bool bind_named(El *el, const AdvOpDef *op, const ElArg *a, Bound *b)
{
    const char *word = adv_str(el->names, a->name);
    for (uint32_t k = 0; k < adv_op_n_in(op); k++)
        if (!strcmp(op->in[k].name, word)) {
            b->in[k] = a->val;
            return first_time(el, op, a, &b->given[k]);
        }
    for (uint32_t k = 0; k < adv_op_n_attrs(op); k++)
        if (!strcmp(op->attrs[k].name, word))
            return first_time(el, op, a, &b->given_attr[k]) && attribute(el, &op->attrs[k], a->val, &b->attr[k]);
    adv_diag_help(el_diag(el, ADV_D_ARGUMENT, a->span, "`%s` has no argument `%s`", op->name, word), "it takes %s", takes(el, op));
    return false;
}

static bool bind(El *el, const AdvOpDef *op, ElArg *args, uint32_t n_args, AdvSpan at, Bound *b)
{
    uint32_t n = adv_op_n_in(op), next = 0;
    b->in = ADV_NEW_ARRAY(el->arena, ElVal, n + n_args + 1);
    b->given = ADV_NEW_ARRAY(el->arena, bool, n + n_args + 1);
    b->n_in = n;
    adv_op_default_attrs(op, b->attr);
    memset(b->given_attr, 0, sizeof b->given_attr);
    for (uint32_t i = 0; i < n_args; i++) {
        if (args[i].name.i) {
            if (!bind_named(el, op, &args[i], b)) return false;
            continue;
        }
        while (next < n && b->given[next]) next++;
        if (next >= n && !adv_op_in_repeats(op)) {
            AdvDiag *d =
                el_diag(el, ADV_D_ARGUMENT, args[i].span, "`%s` takes %u operand%s, but this is one more", op->name, n, n == 1 ? "" : "s");
            adv_diag_help(d, "it takes %s", takes(el, op));
            return false;
        }
        if (next >= b->n_in) b->n_in = next + 1;
        b->in[next] = args[i].val;
        b->given[next++] = true;
    }
    for (uint32_t k = 0; k < n; k++)
        if (!b->given[k]) {
            AdvDiag *d = el_diag(el, ADV_D_ARGUMENT, at, "`%s` needs the argument `%s`", op->name, op->in[k].name);
            adv_diag_help(d, "it takes %s", takes(el, op));
            return false;
        }
    return true;
}

bool el_op_has(const AdvOpDef *op, const char *name)
{
    for (uint32_t k = 0; k < adv_op_n_in(op); k++)
        if (!strcmp(op->in[k].name, name)) return true;
    for (uint32_t k = 0; k < adv_op_n_attrs(op); k++)
        if (!strcmp(op->attrs[k].name, name)) return true;
    return false;
}

/* ---- calls ---- */

/* Result `k`, with its rate: see the top of the file. */
static ElVal result(El *el, const AdvOpDef *op, AdvNodeId def, uint32_t k, uint8_t rate, AdvSpan at)
{
    AdvValueId v = adv_node_out(el->g, def, k);
    const AdvTensorType *t = adv_value_type(el->g, v);
    const AdvPortDef *p = &op->out[k < adv_op_n_out(op) ? k : adv_op_n_out(op)];
    if (rate == ADV_RATE_SAMPLE && (p->kind & ADV_PORT_BATCH)) rate = ADV_RATE_BATCH;
    if (rate == ADV_RATE_SAMPLE && (t->rank == 0 || t->dim[0] != el->n_batch))
        return el_error(el, ADV_D_PLUGIN_OP, at,
                        "result `%s` of `%s` should be one for each of the %lld samples, but its shape is %s: its port may lack "
                        "ADV_PORT_BATCH",
                        p->name, op->name, (long long)el->n_batch, el_describe_type(el, t));
    bool is_class = t->dtype == ADV_I32 && rate == ADV_RATE_SAMPLE && t->rank == 1;
    return el_tensor(el, v, (AdvRate)rate, is_class ? EL_CLASS : EL_NUM, at);
}

ElVal el_op_call(El *el, const AdvOpDef *op, ElArg *args, uint32_t n_args, AdvSpan at)
{
    Bound b;
    uint8_t rate = ADV_RATE_ONCE;
    if (!bind(el, op, args, n_args, at, &b)) return el_poison(at);
    if (op->row) return el_elementwise(el, at, op->name, op->name, b.in, b.n_in, op->row->takes == ADV_EW_TRUTH ? EL_COND : EL_NUM);
    AdvValueId *in = ADV_NEW_ARRAY(el->arena, AdvValueId, b.n_in + 1);
    for (uint32_t k = 0; k < b.n_in; k++) {
        in[k] = operand(el, &op->in[k < adv_op_n_in(op) ? k : adv_op_n_in(op)], b.in[k]);
        if (!in[k].i) return el_poison(at);
        if (b.in[k].rate > rate) rate = b.in[k].rate;
    }
    AdvValueId first = el_node(el, at, op->name, in, b.n_in, b.attr);
    if (!first.i) return el_poison(at);
    AdvNodeId def = adv_value(el->g, first)->def;
    uint32_t n = adv_node(el->g, def)->n_out;
    if (n == 1) return result(el, op, def, 0, rate, at);
    ElVal list = {.kind = EL_LIST, .span = at, .n = n, .list = ADV_NEW_ARRAY(el->arena, ElVal, n)};
    for (uint32_t k = 0; k < n; k++)
        if (el_bad(list.list[k] = result(el, op, def, k, rate, at))) return list.list[k];
    return list;
}
