/* dot.c: DOT text. Node names are n<node>, p<value> for what a loop's body begins a turn with, and r<entry>_<state>,
** w<entry>_<state> for states; so the text depends on the graph alone. Constants of one number stand in the label of their user.
*/
#include "compiler/graph/show.h"

#include "ops/shape.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Dot {
    const AdvGraph *g;
    AdvWriteFn *write;
    void *user;
    uint32_t entry;
} Dot;

static void put(const Dot *d, const char *s) { d->write(d->user, s, strlen(s)); }

static void putf(const Dot *d, const char *fmt, ...) ADV_PRINTF(2, 3);
static void putf(const Dot *d, const char *fmt, ...)
{
    char s[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s, sizeof s, fmt, ap);
    va_end(ap);
    put(d, s);
}

/* Inside a quoted string. */
static void put_escaped(const Dot *d, const char *s)
{
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') put(d, "\\");
        d->write(d->user, s, 1);
    }
}

static void put_type(const Dot *d, AdvValueId v)
{
    char text[ADV_SHAPE_TEXT];
    putf(d, "\\n%s", adv_type_text(adv_value_type(d->g, v), text));
}

static void indent(const Dot *d, uint32_t depth) { putf(d, "%*s", (int)(2 * depth), ""); }

static bool is_number(const Dot *d, AdvValueId v)
{
    double x;
    return adv_value_number(d->g, v, &x);
}

/* The node of the text that makes v: the end of a loop is its body's result. */
static void put_source(const Dot *d, AdvValueId v)
{
    const AdvGraph *g = d->g;
    while (adv_value(g, v)->def.i && adv_node(g, adv_value(g, v)->def)->body.i)
        v = adv_region(g, adv_node(g, adv_value(g, v)->def)->body)->results.at[adv_value(g, v)->out_ix];
    const AdvValue *val = adv_value(g, v);
    if (!val->def.i) putf(d, "p%u", (unsigned)v.i);
    else if (adv_node_is(g, val->def, "read")) putf(d, "r%u_%u", (unsigned)d->entry, (unsigned)adv_node(g, val->def)->state.i);
    else putf(d, "n%u", (unsigned)val->def.i);
}

static void edge(const Dot *d, AdvValueId from, const char *to, uint32_t id, const char *style)
{
    if (is_number(d, from)) return;
    put(d, "  ");
    put_source(d, from);
    putf(d, " -> %s%u%s;\n", to, (unsigned)id, style);
}

/* ---- nodes -------------------------------------------------------------------------------------------------------------------- */

static void region_nodes(const Dot *d, AdvRegionId r, uint32_t depth);

static void op_node(const Dot *d, AdvNodeId id, uint32_t depth)
{
    const AdvNode *n = adv_node(d->g, id);
    indent(d, depth);
    putf(d, "n%u [label=\"%s", (unsigned)id.i, n->op->name);
    for (uint32_t k = 0; k < n->n_in; k++) {
        double x;
        if (adv_value_number(d->g, adv_node_in(d->g, id, k), &x)) putf(d, " %g", x);
    }
    if (n->n_out) put_type(d, adv_node_out(d->g, id, 0));
    put(d, "\"];\n");
}

static void loop_nodes(const Dot *d, AdvNodeId id, uint32_t depth)
{
    const AdvNode *n = adv_node(d->g, id);
    const AdvRegion *body = adv_region(d->g, n->body);
    indent(d, depth);
    putf(d, "subgraph cluster_n%u {\n", (unsigned)id.i);
    indent(d, depth + 1);
    putf(d, "label=\"%lld turns\"; style=rounded;\n", (long long)adv_loop_turns(d->g, id));
    for (uint32_t k = 0; k < body->params.n; k++) {
        AdvValueId v = body->params.at[k];
        const char *name = adv_str(d->g->names, adv_value(d->g, v)->name);
        indent(d, depth + 1);
        putf(d, "p%u [shape=ellipse, label=\"", (unsigned)v.i);
        put_escaped(d, *name ? name : k ? "carried" : "turn");
        put_type(d, v);
        put(d, "\"];\n");
    }
    region_nodes(d, n->body, depth + 1);
    indent(d, depth);
    put(d, "}\n");
}

static void state_node(const Dot *d, AdvNodeId id, const char *kind, uint32_t depth)
{
    const AdvState *s = &d->g->states.at[adv_node(d->g, id)->state.i];
    char text[ADV_SHAPE_TEXT];
    indent(d, depth);
    putf(d, "%s%u_%u [shape=box, style=bold, label=\"", kind, (unsigned)d->entry, (unsigned)adv_node(d->g, id)->state.i);
    put_escaped(d, adv_str(d->g->names, s->name));
    putf(d, "\\n%s\"];\n", adv_type_text(&s->type, text));
}

static void region_nodes(const Dot *d, AdvRegionId r, uint32_t depth)
{
    const AdvRegion *reg = adv_region(d->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId id = reg->nodes.at[i];
        if (adv_node(d->g, id)->body.i) loop_nodes(d, id, depth);
        else if (adv_node_is(d->g, id, "read")) state_node(d, id, "r", depth);
        else if (adv_node_is(d->g, id, "write")) state_node(d, id, "w", depth);
        else if (!(adv_node_is(d->g, id, "const") && is_number(d, adv_node_out(d->g, id, 0)))) op_node(d, id, depth);
    }
}

/* ---- edges -------------------------------------------------------------------------------------------------------------------- */

static void region_edges(const Dot *d, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(d->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        AdvNodeId id = reg->nodes.at[i];
        const AdvNode *n = adv_node(d->g, id);
        if (n->body.i) {
            const AdvRegion *body = adv_region(d->g, n->body);
            for (uint32_t k = 0; k < n->n_in; k++) edge(d, adv_node_in(d->g, id, k), "p", body->params.at[k + 1].i, "");
            region_edges(d, n->body);
            for (uint32_t k = 0; k < body->results.n; k++)
                edge(d, body->results.at[k], "p", body->params.at[k + 1].i, " [style=dashed, constraint=false]");
        } else if (adv_node_is(d->g, id, "write")) {
            char to[32];
            snprintf(to, sizeof to, "w%u_", (unsigned)d->entry);
            edge(d, adv_node_in(d->g, id, 0), to, n->state.i, "");
        } else {
            for (uint32_t k = 0; k < n->n_in; k++) edge(d, adv_node_in(d->g, id, k), "n", id.i, "");
        }
    }
}

void adv_graph_dot(const AdvGraph *g, const char *only, AdvWriteFn *write, void *user)
{
    Dot d = {.g = g, .write = write, .user = user};
    put(&d, "digraph adv {\n  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=10];\n");
    for (uint32_t i = 0; i < g->entries.n; i++) {
        const char *name = adv_str(g->names, adv_region(g, g->entries.at[i])->name);
        if (only && strcmp(only, name)) continue;
        d.entry = i;
        putf(&d, "  subgraph cluster_e%u {\n    label=\"", (unsigned)i);
        put_escaped(&d, name);
        put(&d, "\";\n");
        region_nodes(&d, g->entries.at[i], 2);
        put(&d, "  }\n");
        region_edges(&d, g->entries.at[i]);
    }
    put(&d, "}\n");
}
