/* json.c: the graph as JSON, for other programs; see show.h for its form. */
#include "compiler/graph/show.h"

#include "ops/shape.h"
#include "runtime/base/source.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *id_of(AdvValueId v) { return json_sprintf("%%%u", (unsigned)v.i); }

static json_t *type_json(const AdvTensorType *t)
{
    char text[ADV_SHAPE_TEXT];
    return json_string(adv_type_text(t, text));
}

static json_t *value_json(const AdvGraph *g, AdvValueId v)
{
    static const char *const rates[ADV_RATE_COUNT] = {"once", "epoch", "batch", "sample"};
    const AdvValue *val = adv_value(g, v);
    json_t *j = json_object();
    json_object_set_new(j, "id", id_of(v));
    json_object_set_new(j, "type", type_json(&val->type));
    json_object_set_new(j, "rate", json_string(rates[val->rate]));
    if (val->name.i) json_object_set_new(j, "name", json_string(adv_str(g->names, val->name)));
    return j;
}

/* "relu" of "none|relu". */
static json_t *choice(const char *choices, int64_t i)
{
    for (; i > 0 && strchr(choices, '|'); i--) choices = strchr(choices, '|') + 1;
    return json_stringn(choices, strcspn(choices, "|"));
}

static json_t *attr_json(const AdvAttrDef *def, const AdvAttr *a)
{
    if (def->kind == ADV_ATTR_INT) return json_integer(a->i);
    if (def->kind == ADV_ATTR_FLOAT) return a->f - a->f == 0 ? json_real(a->f) : json_sprintf("%g", a->f); /* JSON has no infinity */
    if (def->kind == ADV_ATTR_ENUM) return choice(def->choices, a->i);
    json_t *list = json_array();
    for (uint32_t k = 0; k < a->n; k++)
        json_array_append_new(list, def->kind == ADV_ATTR_INTS  ? json_integer(a->ints[k])
                                    : def->kind == ADV_ATTR_OPS ? json_string(a->ops[k]->name)
                                                                : json_real(a->floats[k]));
    return list;
}

static json_t *region_json(const AdvGraph *g, AdvRegionId r);

static void loop_json(const AdvGraph *g, const AdvNode *n, json_t *j)
{
    const AdvRegion *body = adv_region(g, n->body);
    json_t *params = json_array(), *results = json_array();
    for (uint32_t k = 0; k < body->params.n; k++) json_array_append_new(params, value_json(g, body->params.at[k]));
    for (uint32_t k = 0; k < body->results.n; k++) json_array_append_new(results, id_of(body->results.at[k]));
    json_object_set_new(j, "params", params);
    json_object_set_new(j, "body", region_json(g, n->body));
    json_object_set_new(j, "results", results);
}

static json_t *node_json(const AdvGraph *g, AdvNodeId id)
{
    const AdvNode *n = adv_node(g, id);
    json_t *j = json_object(), *in = json_array(), *out = json_array(), *attrs = json_object();
    double number;
    json_object_set_new(j, "op", json_string(n->op->name));
    for (uint32_t k = 0; k < n->n_in; k++) json_array_append_new(in, id_of(adv_node_in(g, id, k)));
    for (uint32_t k = 0; k < n->n_out; k++) json_array_append_new(out, value_json(g, adv_node_out(g, id, k)));
    for (uint32_t k = 0; k < n->n_attr; k++)
        json_object_set_new(attrs, n->op->attrs[k].name, attr_json(&n->op->attrs[k], &adv_node_attr(g, id)[k]));
    json_object_set_new(j, "in", in);
    json_object_set_new(j, "out", out);
    json_object_set_new(j, "attrs", attrs);
    if (n->state.i) json_object_set_new(j, "state", json_string(adv_str(g->names, g->states.at[n->state.i].name)));
    if (adv_node_is(g, id, "const") && adv_value_number(g, adv_node_out(g, id, 0), &number))
        json_object_set_new(j, "value", number - number == 0 ? json_real(number) : json_sprintf("%g", number));
    AdvSpan at = adv_loc_span(g, n->loc);
    const AdvSource *src = at.file ? adv_source_of(&g->diags->sources, at) : NULL;
    if (src) json_object_set_new(j, "recipe", json_sprintf("%s:%u", src->name, (unsigned)adv_line_col(src, at.off).line));
    if (n->body.i) loop_json(g, n, j);
    return j;
}

static json_t *region_json(const AdvGraph *g, AdvRegionId r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < adv_region(g, r)->nodes.n; i++) json_array_append_new(list, node_json(g, adv_region(g, r)->nodes.at[i]));
    return list;
}

static json_t *states_json(const AdvGraph *g)
{
    static const char *const kinds[ADV_STATE_KIND_COUNT] = {"param", "buffer", "opt", "table", "slot", "scalar", "metric", "data"};
    json_t *list = json_array();
    for (uint32_t i = 1; i < g->states.n; i++) {
        const AdvState *s = &g->states.at[i];
        json_t *j = json_object();
        json_object_set_new(j, "name", json_string(adv_str(g->names, s->name)));
        json_object_set_new(j, "type", type_json(&s->type));
        json_object_set_new(j, "kind", json_string(kinds[s->kind]));
        json_object_set_new(j, "saved", json_boolean(s->saved));
        json_array_append_new(list, j);
    }
    return list;
}

AdvStatus adv_graph_json(const AdvGraph *g, const char *only, AdvWriteFn *write, void *user)
{
    json_t *root = json_object(), *entries = json_array();
    json_object_set_new(root, "states", states_json(g));
    for (uint32_t i = 0; i < g->entries.n; i++) {
        const char *name = adv_str(g->names, adv_region(g, g->entries.at[i])->name);
        if (only && strcmp(only, name)) continue;
        json_t *e = json_object();
        json_object_set_new(e, "name", json_string(name));
        json_object_set_new(e, "nodes", region_json(g, g->entries.at[i]));
        json_array_append_new(entries, e);
    }
    json_object_set_new(root, "entries", entries);
    char *text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    if (!text) return ADV_ENOMEM;
    write(user, text, strlen(text));
    write(user, "\n", 1);
    free(text);
    return ADV_OK;
}
