/* test_graph_text.c: building, printing and reading graphs: what prints reads back to the same text, with locations and
** without; names that repeat; numbers to the last bit; every kind of wrong text is a diagnostic; copies are equal and apart.
*/
#include "tests/adv_test.h"
#include "tests/compiler/setup.h"

static AdvTensorType type_of(uint8_t dtype, uint8_t rank, int64_t d0, int64_t d1)
{
    AdvTensorType t = {.dtype = dtype, .rank = rank};
    if (rank > 0) t.dim[0] = d0;
    if (rank > 1) t.dim[1] = d1;
    return t;
}

/* A graph with everything: two entries, a loop in a loop, all kinds of constants and locations, names that clash. */
static AdvGraph *build(Setup *s)
{
    AdvGraph *g = setup_graph(s);
    const char *src = "let x = 1\nlet y = 2\n";
    uint32_t file = adv_sources_add(&s->diags->sources, "recipe.adv", src, strlen(src));
    AdvSpan one = {file, 4, 1}, two = {file, 14, 1};
    AdvLocId l1 = adv_loc_source(g, one), l2 = adv_loc_call(g, two, l1), l3 = adv_loc_grad(g, l2);
    AdvLocId l4 = adv_loc_join(g, l3, l1);
    CHECK(adv_loc_source(g, one).i == l1.i && adv_loc_join(g, l3, l1).i == l4.i && adv_loc_join(g, l4, l4).i == l4.i);
    CHECK_EQ(adv_loc_span(g, l4).off, 14);
    AdvStateId w = adv_state_new(g, adv_intern(&s->names, "f.w"), type_of(ADV_F32, 2, 2, 3), ADV_STATE_PARAM, true, l1);
    AdvStateId n = adv_state_new(g, adv_intern(&s->names, "odd \"name\""), type_of(ADV_I64, 0, 0, 0), ADV_STATE_SCALAR, false, l2);
    AdvGraphBuild b, in, deep;
    adv_build_init(&b, g, adv_entry_new(g, adv_intern(&s->names, "step.main"), l1), l2);
    double wide[3] = {8.0 / 255, -INFINITY, 1e-45};
    int64_t big[2] = {INT64_MAX, -1};
    AdvValueId c = adv_build_const_wide(&b, type_of(ADV_F32, 1, 3, 0), wide);
    AdvValueId big_c = adv_build_const(&b, type_of(ADV_I64, 1, 2, 0), big, sizeof big);
    b.loc = l4;
    AdvValueId v = adv_build_read(&b, w), row[2], first[2] = {v, big_c};
    CHECK_EQ(adv_build_read(&b, w).i, v.i);
    int64_t dims[2] = {1, 3};
    AdvAttr shape = adv_attr_ints(dims, 2);
    row[1] = adv_build_op(&b, "reshape", &c, 1, &shape);
    AdvNodeId loop = adv_build_loop(&b, 4, first, 2);
    adv_build_init(&in, g, adv_node(g, loop)->body, l4);
    row[0] = adv_region(g, in.region)->params.at[1];
    AdvValueId m = adv_build_op(&in, "mul", row, 2, NULL);
    g->values.at[m.i].name = adv_intern(&s->names, "m");
    AdvNodeId inner = adv_build_loop(&in, 1 << 20, &m, 1);
    adv_build_init(&deep, g, adv_node(g, inner)->body, l3);
    AdvValueId m2 = adv_build_op(&deep, "neg", &m, 1, NULL), next[2];
    g->values.at[m2.i].name = adv_intern(&s->names, "m");
    AdvValueId turn = adv_build_read(&deep, n); /* asked for inside, put where it belongs */
    CHECK(adv_value(g, turn)->def.i == adv_region(g, b.region)->nodes.at[1].i);
    adv_build_yield(g, inner, &m2, 1);
    next[0] = adv_node_out(g, inner, 0);
    next[1] = adv_region(g, in.region)->params.at[2];
    adv_build_yield(g, loop, next, 2);
    AdvValueId out = adv_node_out(g, loop, 0), e = adv_build_op(&b, "sum", &out, 1, NULL);
    g->values.at[e.i].name = adv_intern(&s->names, "3 odd%");
    AdvValueId gv = adv_build_grad(&b, e, &out, 1, true);
    adv_build_write(&b, w, gv);
    adv_build_write(&b, n, turn);
    CHECK_EQ(b.n_failed + in.n_failed + deep.n_failed, 0);
    adv_build_init(&b, g, adv_entry_new(g, adv_intern(&s->names, "init"), l2), l1);
    adv_build_write(&b, n, adv_build_number(&b, 7, ADV_I64));
    CHECK_EQ(adv_graph_verify(g, false), ADV_OK);
    return g;
}

static void check_round_trip(Setup *s, const AdvGraph *g, bool with_locs)
{
    char *text = setup_print(g, with_locs);
    AdvGraph *back = setup_read(s, "printed", text, strlen(text));
    CHECK(back != NULL);
    if (back) {
        char *again = setup_print(back, with_locs);
        CHECK_STR(again, text);
        CHECK_EQ(adv_graph_verify(back, false), ADV_OK);
        free(again);
    } else setup_show(s);
    free(text);
}

static void test_round_trip(void)
{
    Setup *s = setup_new();
    AdvGraph *g = build(s);
    check_round_trip(s, g, false);
    check_round_trip(s, g, true);
    setup_free(s);
}

static void test_text(void)
{
    Setup *s = setup_new();
    char *text = setup_print(build(s), false);
    CHECK_STR(text,
        "state f.w : f32[2,3] param saved\n"
        "state \"odd \\\"name\\\"\" : i64 scalar\n"
        "entry step.main {\n"
        "  %0: f32[2,3] = read f.w\n"
        "  %1: i64 = read \"odd \\\"name\\\"\"\n"
        "  %2: f32[3] = const [0.03137254901960784,-inf,1e-45]\n"
        "  %3: i64[2] = const [9223372036854775807,-1]\n"
        "  %4: f32[1,3] = reshape %2 {dims=[1,3]}\n"
        "  %5: f32[2,3], %6: i64[2] = loop 4 (%7: i64@batch, %8: f32[2,3] = %0, %9: i64[2] = %3) {\n"
        "    %m: f32[2,3] = mul %8, %4\n"
        "    %10: f32[2,3] = loop 1048576 (%11: i64@batch, %12: f32[2,3] = %m) {\n"
        "      %m.2: f32[2,3] = neg %m\n"
        "      yield %m.2\n"
        "    }\n"
        "    yield %10, %9\n"
        "  }\n"
        "  %_3_odd_: f32 = sum %5\n"
        "  %13: f32[2,3] = grad %_3_odd_, %5 {mean=1}\n"
        "  write f.w = %13\n"
        "  write \"odd \\\"name\\\"\" = %1\n"
        "}\n"
        "entry init {\n"
        "  %0: i64 = const 7\n"
        "  write \"odd \\\"name\\\"\" = %0\n"
        "}\n");
    free(text);
    setup_free(s);
}

static void test_copy(void)
{
    Setup *s = setup_new();
    AdvGraph *g = build(s);
    AdvArena other;
    adv_arena_init(&other, adv_alloc_default());
    other.trap = &s->trap;
    AdvGraph *c = adv_graph_copy(&other, g);
    char *a = setup_print(g, true), *b = setup_print(c, true);
    CHECK_STR(b, a);
    g->values.at[1].type.dtype = ADV_F64;
    g->attrs.at[0].i = 99;
    adv_region(g, g->entries.at[0])->nodes.n = 0;
    char *b2 = setup_print(c, true);
    CHECK_STR(b2, a);
    CHECK_EQ(adv_graph_verify(c, false), ADV_OK);
    free(a);
    free(b);
    free(b2);
    adv_arena_fini(&other);
    setup_free(s);
}

/* A shape rule that refuses is a diagnostic at the builder's place; what follows from it is none and silent. */
static void test_refusal(void)
{
    Setup *s = setup_new();
    AdvGraph *g = setup_graph(s);
    uint32_t file = adv_sources_add(&s->diags->sources, "recipe.adv", "matmul(x, w)", 12);
    AdvSpan at = {file, 0, 6}, caller = {file, 7, 1};
    AdvLocId loc = adv_loc_call(g, at, adv_loc_source(g, caller));
    AdvGraphBuild b;
    adv_build_init(&b, g, adv_entry_new(g, adv_intern(&s->names, "e"), loc), loc);
    AdvValueId in[2] = {adv_build_const_wide(&b, type_of(ADV_F32, 2, 1, 2), (double[]){1, 2}), {0}};
    in[1] = in[0];
    AdvValueId r = adv_build_op(&b, "matmul", in, 2, NULL);
    CHECK_EQ(r.i, 0);
    CHECK_EQ(b.n_failed, 1);
    CHECK_EQ(setup_count(s, ADV_D_SHAPE_RULE), 1);
    const AdvDiag *d = s->diags->list.n ? s->diags->list.at[0] : NULL;
    CHECK(d && d->span.file == file && d->span.off == 0 && d->span.len == 6 && d->notes.n == 1 && strstr(d->message, "matmul"));
    AdvVal v = {r.i}, out = adv_b1(&b.base, "relu", v);
    CHECK(out.i == 0 && b.base.type(&b.base, out)->dtype == ADV_DTYPE_NONE);
    CHECK_EQ(adv_build_grad(&b, in[0], in, 1, false).i, 0); /* rank 2 */
    CHECK_EQ(s->diags->list.n, 2);
    setup_free(s);
}

static const char *const wrong[] = {
    "entry", "entry e {", "entry e }", "junk", "state a", "state a : f33 slot", "state a : f32[0] slot",
    "state a : f32[1,1,1,1,1,1,1] slot",
    "state a : f32[1099511627776,1099511627776] slot", "state a : f32[4]cl slot", "state a : f32 nothing",
    "state a : f32 slot state a : f32 slot",
    "entry e { } entry e { }", "entry e { %a = read a }", "entry e { %a: f32 = read a }", "entry e { %a: f32 = nosuch }",
    "entry e { %a: f32 = neg %a }",
    "entry e { %a: f32 = const }", "entry e { %a: f32 = const x }", "entry e { %a: u8 = const 256 }", "entry e { %a: i32 = const 1.5 }",
    "entry e { %a: f32[1000000000] = const [1] }", "entry e { %a: f32[2] = const [1] }", "entry e { %a: f32[2] = const [1,2,3] }",
    "entry e { %a: i64 = const 99999999999999999999 }", "entry e { %a: f32 = const 1 %a: f32 = const 2 }", "entry e { const 1 }",
    "entry e { %a: f32 = const 1 %b: f32 = neg %a {x=1} }", "entry e { %a: f32[2] = const [1,2] %b: f32[1,2] = reshape %a {dims=[1,2 }",
    "entry e { %a: f32[2] = const [1,2] %b: f32[1,2] = reshape %a {dims=7} }",
    "entry e { %a: f32 = const 1 %b: i32 = cast %a {dtype=f31} }",
    "entry e { %a: f32 = const 1 %l: f32 = loop 1 (%i: i64, %p: f32 = %a) { yield %p",
    "entry e { %a: f32 = const 1 %l: f32 = loop 1 (%i: i64, %p: f32 = %l) { yield %p } }",
    "entry e { %a: f32 = const 1 %l: f32 = loop 9999999 (%i: i64, %p: f32 = %a) { yield %p } }",
    "entry e { %a: f32 = const 1 %l: f32 = loop 1 (%i: i64, %p: f32 = %a) { yield %p } %b: f32 = neg %p }", "entry e !1 { }",
    "loc 2 = source 0:0+0",
    "loc 1 = grad", "loc 1 = grad 1", "loc 1 = source 9:0+0", "loc 1 = why", "float f99", "state \"a : f32 slot", "state \"a\\", "%",
    "entry e { %", "entry e { %a: f32@never = const 1 }",
    "entry e { write a = %b }", "entry e { %a: f32[4] = slice %a }",
};

static void test_wrong_text(void)
{
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Setup *s = setup_new();
        AdvGraph *g = setup_read(s, "wrong", wrong[i], strlen(wrong[i]));
        CHECK(g == NULL && setup_count(s, ADV_D_GRAPH_TEXT) == 1);
        if (g || setup_count(s, ADV_D_GRAPH_TEXT) != 1) printf("  %s\n", wrong[i]);
        setup_free(s);
    }
}

/* Cut anywhere, with any byte changed: a diagnostic or a graph that the verifier can judge, never a crash. */
static void test_damaged_text(void)
{
    Setup *s = setup_new();
    char *text = setup_print(build(s), true);
    size_t n = strlen(text);
    setup_free(s);
    for (size_t i = 0; i < n; i++) {
        static const char bytes[] = "%0!{}[,=:\"-9a\n";
        for (size_t k = 0; k < sizeof bytes; k += i % 3 == 0 ? 1 : sizeof bytes) {
            char *t = malloc(n + 1);
            if (!t) abort();
            memcpy(t, text, n + 1);
            t[i] = bytes[k];
            s = setup_new();
            adv_sources_add(&s->diags->sources, "recipe.adv", "let x = 1\nlet y = 2\n", 20);
            AdvGraph *g = setup_read(s, "damaged", t, k == 0 && i % 2 ? i : n);
            CHECK(g || s->diags->n_errors > 0);
            if (g && adv_graph_verify(g, false) == ADV_OK) check_round_trip(s, g, true);
            setup_free(s);
            free(t);
        }
    }
    free(text);
}

int main(void)
{
    RUN(test_round_trip);
    RUN(test_text);
    RUN(test_copy);
    RUN(test_refusal);
    RUN(test_wrong_text);
    RUN(test_damaged_text);
    return ADV_TEST_END();
}
