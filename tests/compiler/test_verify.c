/* test_verify.c: the verifier accepts a good graph and refuses each way to break one, by hand, with the words that say which. */
#include "tests/adv_test.h"
#include "tests/compiler/setup.h"

static const char good[] =
    "state a : f32[4] slot\nstate b : f32[4] slot\nstate d : f32[4] data\n"
    "entry e {\n"
    "  %a: f32[4] = read a\n"
    "  %b: f32[4] = read b\n"
    "  %c: f32 = const 2\n"
    "  %s: f32[4] = add %a, %b\n"
    "  %l: f32[4] = loop 3 (%i: i64, %z: f32[4] = %s) {\n"
    "    %y: f32[4] = mul %z, %c\n"
    "    yield %y\n"
    "  }\n"
    "  %q: f32 = sum %l\n"
    "  %g: f32[4] = grad %q, %l\n"
    "  write a = %g\n"
    "  write b = %s\n"
    "}\n"
    "entry f {\n"
    "  %a: f32[4] = read a\n"
    "  %e: f32[4] = exp %a\n"
    "  %f: f32[4] = exp %e\n"
    "  write b = %f\n"
    "}\n";

typedef struct Broken { Setup *s; AdvGraph *g; } Broken;

static AdvNodeId node_of(const AdvGraph *g, const char *op, uint32_t k)
{
    AdvNodeId n = {1};
    for (; n.i < g->nodes.n; n.i++)
        if (adv_node_is(g, n, op) && k-- == 0) return n;
    n.i = 0;
    return n;
}

static AdvNode *at(AdvGraph *g, const char *op) { return &g->nodes.at[node_of(g, op, 0).i]; }
static AdvRegion *entry(AdvGraph *g) { return adv_region(g, g->entries.at[0]); }
static AdvRegion *body(AdvGraph *g) { return adv_region(g, at(g, "loop")->body); }

static void swap_nodes(AdvRegion *r, uint32_t i, uint32_t k)
{
    AdvNodeId n = r->nodes.at[i];
    r->nodes.at[i] = r->nodes.at[k];
    r->nodes.at[k] = n;
}

/* What is broken, and a piece of what the verifier says. */
static void use_before(AdvGraph *g) { swap_nodes(entry(g), 0, 3); }
static void listed_twice(AdvGraph *g) { *ADV_PUSH(g->arena, &entry(g)->nodes) = entry(g)->nodes.at[6]; }
static void wrong_type(AdvGraph *g) { g->values.at[at(g, "add")->out_at].type.dim[0] = 5; }
static void wrong_dtype(AdvGraph *g) { g->values.at[at(g, "mul")->out_at].type.dtype = ADV_F64; }
static void shape_rule(AdvGraph *g) { at(g, "add")->n_in = 1; }
static void two_writes(AdvGraph *g) { g->nodes.at[node_of(g, "write", 1).i].state = at(g, "write")->state; }
static void write_data(AdvGraph *g) { at(g, "write")->state.i = 3; }
static void behind_write(AdvGraph *g) { swap_nodes(entry(g), 6, 8); }
static void write_type(AdvGraph *g) { g->edges.at[at(g, "write")->in_at] = adv_node_out(g, node_of(g, "const", 0), 0); }
static void no_location(AdvGraph *g) { at(g, "add")->loc.i = 0; }
static void no_entry_location(AdvGraph *g) { entry(g)->loc.i = 0; }
static void body_value_outside(AdvGraph *g)
{
    g->edges.at[at(g, "sum")->in_at] = adv_node_out(g, node_of(g, "mul", 0), 0);
}
static void param_outside(AdvGraph *g) { g->edges.at[at(g, "sum")->in_at] = body(g)->params.at[1]; }
static void other_entry(AdvGraph *g)
{
    g->edges.at[g->nodes.at[node_of(g, "write", 2).i].in_at] = adv_node_out(g, node_of(g, "add", 0), 0);
}
static void list_of_nothing(AdvGraph *g) { at(g, "add")->with_prev = true; }
static void list_that_needs(AdvGraph *g) { g->nodes.at[node_of(g, "exp", 1).i].with_prev = true; }
static void read_in_body(AdvGraph *g)
{
    AdvRegion *f = adv_region(g, g->entries.at[1]);
    *ADV_PUSH(g->arena, &body(g)->nodes) = f->nodes.at[0];
    f->nodes.n = 0;
}
static void carried_type(AdvGraph *g) { g->values.at[body(g)->params.at[1].i].type.dtype = ADV_F64; }
static void result_missing(AdvGraph *g) { body(g)->results.n = 0; }
static void result_undefined(AdvGraph *g) { body(g)->results.at[0] = adv_node_out(g, node_of(g, "sum", 0), 0); }
static void turn_type(AdvGraph *g) { g->values.at[body(g)->params.at[0].i].type.dtype = ADV_I32; }
static void wrong_owner(AdvGraph *g) { body(g)->owner = node_of(g, "add", 0); }
static void wrong_parent(AdvGraph *g) { body(g)->parent = g->entries.at[1]; }
static void turns_zero(AdvGraph *g) { g->attrs.at[at(g, "loop")->attr_at].i = 0; }
static void const_bytes(AdvGraph *g) { at(g, "const")->data.n_bytes = 3; }
static void grad_type(AdvGraph *g) { g->values.at[at(g, "grad")->out_at].type.dim[0] = 3; }
static void grad_rank(AdvGraph *g)
{
    AdvTensorType *t = &g->values.at[at(g, "sum")->out_at].type;
    t->rank = 2;
    t->dim[0] = t->dim[1] = 2;
}
static void bad_edge(AdvGraph *g) { at(g, "add")->in_at = g->edges.n; }
static void bad_body(AdvGraph *g) { at(g, "loop")->body.i = g->regions.n; }
static void bad_def(AdvGraph *g) { g->values.at[at(g, "add")->out_at].def = node_of(g, "mul", 0); }
static void no_attrs(AdvGraph *g) { at(g, "sum")->n_attr = 0; }
static void no_node(AdvGraph *g) { entry(g)->nodes.at[3].i = g->nodes.n; }
static void bad_dims(AdvGraph *g) { g->values.at[at(g, "const")->out_at].type.dim[2] = 7; }

static const struct { const char *name; void (*make)(AdvGraph *g); const char *says; } breaks[] = {
    {"use_before", use_before, "not defined before its use"},
    {"listed_twice", listed_twice, "listed twice"},
    {"wrong_type", wrong_type, "type that the shape rule gives"},
    {"wrong_dtype", wrong_dtype, "type that the shape rule gives"},
    {"shape_rule", shape_rule, "the shape rule refuses it"},
    {"two_writes", two_writes, "written a second time"},
    {"write_data", write_data, "never written"},
    {"behind_write", behind_write, "stands behind a write"},
    {"write_type", write_type, "not of the type of state"},
    {"no_location", no_location, "no location"},
    {"no_entry_location", no_entry_location, "no location"},
    {"body_value_outside", body_value_outside, "not defined before its use"},
    {"param_outside", param_outside, "not defined before its use"},
    {"other_entry", other_entry, "not defined before its use"},
    {"list_of_nothing", list_of_nothing, "none of its kind"}, {"list_that_needs", list_that_needs, "needs another node of its list"},
    {"read_in_body", read_in_body, "in entries only"},
    {"carried_type", carried_type, "carried value 0 changes its type"},
    {"result_missing", result_missing, "the body has"},
    {"result_undefined", result_undefined, "result 0 of the body is not defined"},
    {"turn_type", turn_type, "turn number"},
    {"wrong_owner", wrong_owner, "belongs to another place"},
    {"wrong_parent", wrong_parent, "belongs to another place"},
    {"turns_zero", turns_zero, "turns outside"},
    {"const_bytes", const_bytes, "does not fit the type"},
    {"grad_type", grad_type, "not of the type of its value"},
    {"grad_rank", grad_rank, "more than one number a sample"},
    {"bad_edge", bad_edge, "index is out of range"},
    {"bad_body", bad_body, "index is out of range"},
    {"bad_def", bad_def, "does not point back"},
    {"no_attrs", no_attrs, "attributes instead of"},
    {"no_node", no_node, "does not exist"},
    {"bad_dims", bad_dims, "malformed type"},
};

static bool says(const Setup *s, const char *piece)
{
    for (uint32_t i = 0; i < s->diags->list.n; i++)
        if (s->diags->list.at[i]->id == ADV_D_INTERNAL && strstr(s->diags->list.at[i]->message, piece)) return true;
    return false;
}

static void test_good(void)
{
    Setup *s = setup_new();
    AdvGraph *g = setup_read(s, "good", good, sizeof good - 1);
    CHECK(g != NULL);
    if (g) CHECK_EQ(adv_graph_verify(g, false), ADV_OK);
    if (g) CHECK_EQ(adv_graph_verify(g, true), ADV_EINTERNAL);
    CHECK(says(s, "left over after autodiff"));
    setup_free(s);
}

static void test_breaks(void)
{
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        int before = test_n_failed_checks;
        Setup *s = setup_new();
        AdvGraph *g = setup_read(s, "good", good, sizeof good - 1);
        CHECK(g != NULL);
        if (g) breaks[i].make(g);
        if (g) CHECK_EQ(adv_graph_verify(g, false), ADV_EINTERNAL);
        CHECK(says(s, breaks[i].says));
        if (test_n_failed_checks > before) {
            printf("  %s\n", breaks[i].name);
            setup_show(s);
        }
        setup_free(s);
    }
}

int main(void)
{
    RUN(test_good);
    RUN(test_breaks);
    return ADV_TEST_END();
}
