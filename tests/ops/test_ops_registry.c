/* test_ops_registry.c: the registry, its refusals, number formats, views, the executing builder, and memory that runs out. */
#include "ops/ew.h"
#include "ops/exec.h"
#include "ops/registry.h"
#include "ops/view.h"
#include "tests/adv_test.h"

#include <stdlib.h>

static AdvRegistry reg;

/* ---- the table ---- */

static void ops_are_sorted_and_complete(void)
{
    char msg[256];
    for (uint32_t i = 0; i < reg.n_ops; i++) {
        const AdvOpDef *op = reg.ops[i];
        if (i) CHECK(strcmp(reg.ops[i - 1]->name, op->name) < 0);
        CHECK(adv_registry_op(&reg, op->name) == op);
        if (!adv_op_check(op, msg, sizeof msg)) printf("%s\n", msg);
        CHECK(adv_op_check(op, msg, sizeof msg));
        CHECK(op->doc[strlen(op->doc) - 1] == '.');
    }
    CHECK(adv_registry_op(&reg, "no_such_op") == NULL);
    CHECK(adv_registry_op(&reg, "") == NULL);
}

static void ops_def_is_sorted(void)
{
    static const char *const names[] = {
#define OP(name) #name,
#include "ops/ops.def"
#undef OP
    };
    for (size_t i = 1; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i - 1], names[i]) >= 0) printf("ops.def: `%s` stands before `%s`\n", names[i - 1], names[i]);
        CHECK(strcmp(names[i - 1], names[i]) < 0);
    }
}

static void elementwise_rows_are_ops(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < reg.n_ops; i++) {
        const AdvEwRow *r = reg.ops[i]->row;
        if (!r) continue;
        n++;
        CHECK(r >= adv_ew_rows && r < adv_ew_rows + ADV_EW_COUNT);
        CHECK(!strstr(r->text, "M(") && !strstr(r->text, "K(") && !strstr(r->text, "MIN") && !strstr(r->text, "MAX"));
    }
    CHECK_EQ(n, ADV_EW_COUNT);
    CHECK(adv_registry_op(&reg, "add")->row == &adv_ew_rows[ADV_EW_add]);
    CHECK_STR(adv_ew_rows[ADV_EW_sigmoid].text, "1.0f / (1.0f + expf(-a))");
}

/* ---- refusals ---- */

static AdvStatus refuse_infer(AdvInferCtx *c) { return c->fail(c, "never fits"); }

static AdvStatus refuse_ref(const AdvRefCall *c) { return c->n_in ? ADV_OK : ADV_EINVAL; }

static AdvStatus refuse_expand(AdvBuild *b, const AdvExpandCtx *c) { return b && c->n_in ? ADV_OK : ADV_EINVAL; }

static const AdvPortDef some_in[] = {{"x", ADV_PORT_FLOAT, "any"}, {NULL, 0, NULL}};
static const AdvPortDef twice_in[] = {{"x", ADV_PORT_FLOAT, "any"}, {"x", ADV_PORT_FLOAT, "any"}, {NULL, 0, NULL}};
static const AdvPortDef silent_in[] = {{"x", ADV_PORT_FLOAT, ""}, {NULL, 0, NULL}};
static const AdvAttrDef wide_attrs[] = {{"k", ADV_ATTR_INT, 9, 1, 5, NULL, "a number"}, {NULL, ADV_ATTR_END, 0, 0, 0, NULL, NULL}};
static const AdvAttrDef bare_attrs[] = {{"k", ADV_ATTR_INT, 1, 1, 5, NULL, NULL}, {NULL, ADV_ATTR_END, 0, 0, 0, NULL, NULL}};
static const AdvAttrDef enum_attrs[] = {{"k", ADV_ATTR_ENUM, 0, 0, 2, "a|b", "a choice"}, {NULL, ADV_ATTR_END, 0, 0, 0, NULL, NULL}};
static const AdvAttrDef turned_attrs[] = {{"k", ADV_ATTR_FLOAT, 1, 5, 1, NULL, "a number"}, {NULL, ADV_ATTR_END, 0, 0, 0, NULL, NULL}};

static AdvOpDef good_op(void)
{
    AdvOpDef d = {ADV_OP_HEADER,         .name = "plugged",      .version = 1,      .in = some_in,    .out = some_in,
                  .infer = refuse_infer, .grad = ADV_GRAD_NEVER, .ref = refuse_ref, .doc = "Nothing."};
    return d;
}

static const char *why_not(AdvOpDef d)
{
    static char msg[256];
    msg[0] = 0;
    CHECK(!adv_op_check(&d, msg, sizeof msg));
    return msg;
}

static void definitions_are_checked(void)
{
    AdvOpDef d = good_op();
    char msg[256];
    CHECK(adv_op_check(&d, msg, sizeof msg));
    d = good_op(), d.abi = 99;
    CHECK(strstr(why_not(d), "another version"));
    d = good_op(), d.struct_size = 8;
    CHECK(strstr(why_not(d), "another version"));
    d = good_op(), d.name = "Plugged";
    CHECK(strstr(why_not(d), "lower case"));
    d = good_op(), d.doc = "";
    CHECK_STR(why_not(d), "`plugged` has no doc");
    d = good_op(), d.infer = NULL;
    CHECK_STR(why_not(d), "`plugged` has no shape rule");
    d = good_op(), d.grad = NULL;
    CHECK(strstr(why_not(d), "says nothing about its gradient"));
    d = good_op(), d.expand = refuse_expand;
    CHECK_STR(why_not(d), "`plugged` has more than one of ref, expand and row");
    d = good_op(), d.ref = NULL;
    CHECK_STR(why_not(d), "`plugged` has neither ref, expand nor row");
    d.row = &adv_ew_rows[ADV_EW_clip];
    CHECK(strstr(why_not(d), "does not fit its ports"));
    d = good_op(), d.version = 0;
    CHECK_STR(why_not(d), "`plugged` has version 0");
    d = good_op(), d.in = twice_in;
    CHECK_STR(why_not(d), "`plugged` has two ports `x`");
    d = good_op(), d.in = silent_in;
    CHECK_STR(why_not(d), "`plugged` says nothing about port `x`");
    d = good_op(), d.attrs = wide_attrs;
    CHECK_STR(why_not(d), "`plugged`: the default of `k` is out of its bounds");
    d = good_op(), d.attrs = bare_attrs;
    CHECK_STR(why_not(d), "`plugged` says nothing about attribute `k`");
    d = good_op(), d.attrs = enum_attrs;
    CHECK(strstr(why_not(d), "not those of its choices"));
    d = good_op(), d.attrs = turned_attrs;
    CHECK(strstr(why_not(d), "the wrong way round"));
    d = good_op(), d.inplace[0] = ADV_INPLACE(1);
    CHECK(strstr(why_not(d), "an input it has not"));
    d = good_op(), d.inplace[1] = ADV_INPLACE(0);
    CHECK(strstr(why_not(d), "output 1"));
    d = good_op(), d.flags = ADV_OP_COMMUTES;
    CHECK_STR(why_not(d), "`plugged` has no two inputs to swap");
    d = good_op(), d.flags = ADV_OP_ROWS;
    CHECK_STR(why_not(d), "`plugged` has no second input with the numbers of its rows");
}

static bool can_all(const AdvSig *s, const char **why)
{
    *why = "";
    return s->n_in > 0;
}

static AdvStatus run_nothing(const AdvLaunch *l, void *state) { return l && !state ? ADV_OK : ADV_EINVAL; }

static AdvKernel kernel(const char *op, const char *name, int16_t order)
{
    AdvKernel k = {ADV_KERNEL_HEADER, .backend = "test", .op = op,       .name = name,
                   .op_version = 1,   .order = order,    .can = can_all, .run = run_nothing};
    return k;
}

static void additions_are_checked(void)
{
    AdvRegistry r;
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    AdvOpDef d = good_op(), again = good_op(), old = good_op();
    const AdvOpDef *one[] = {&d, NULL}, *dup[] = {&again, NULL}, *pair[] = {&old, &old, NULL};
    AdvKernel late = kernel("plugged", "late", 5), early = kernel("plugged", "early", -5), same = kernel("plugged", "middle", 0);
    AdvKernel lost = kernel("no_such_op", "lost", 0), stale = kernel("plugged", "stale", 0), empty = kernel("plugged", "empty", 0);
    const AdvKernel *three[] = {&late, &early, &same, NULL}, *k1[] = {&lost, NULL}, *k2[] = {&stale, NULL}, *k3[] = {&empty, NULL};
    const AdvKernel *const *found;
    uint32_t n;
    stale.op_version = 2;
    empty.can = NULL;
    old.name = "plugged_twice";
    CHECK_EQ(adv_registry_init(&r, adv_alloc_default()), ADV_OK);
    n = r.n_ops;
    CHECK_EQ(adv_registry_add_ops(&r, one, ds), ADV_OK);
    CHECK_EQ(r.n_ops, n + 1);
    CHECK(adv_registry_op(&r, "plugged") == &d);
    CHECK(adv_registry_op(&r, "softmax") != NULL);
    CHECK_EQ(adv_registry_add_ops(&r, dup, ds), ADV_EDATA);
    CHECK_EQ(adv_registry_add_ops(&r, pair, ds), ADV_EDATA);
    CHECK_EQ(r.n_ops, n + 1);
    CHECK_EQ(adv_registry_add_kernels(&r, k1, ds), ADV_EDATA);
    CHECK_EQ(adv_registry_add_kernels(&r, k2, ds), ADV_EDATA);
    CHECK_EQ(adv_registry_add_kernels(&r, k3, ds), ADV_EDATA);
    CHECK_EQ(adv_registry_add_kernels(&r, three, ds), ADV_OK);
    found = adv_registry_kernels(&r, "test", "plugged", &n);
    CHECK_EQ(n, 3);
    if (n == 3) CHECK(found[0] == &early && found[1] == &same && found[2] == &late);
    CHECK(adv_registry_kernels(&r, "test", "softmax", &n) == NULL && n == 0);
    CHECK(adv_registry_kernels(&r, "other", "plugged", &n) == NULL && n == 0);
    CHECK_EQ(ds->n_errors, 5);
    CHECK_STR(ds->list.at[0]->message, "there is an op `plugged` already");
    adv_registry_fini(&r);
    adv_diags_free(ds);
}

/* ---- shape rules that no case reaches ---- */

static AdvStatus infer_op(const char *op, const AdvTensorType *in, uint32_t n_in, const AdvAttr *attr, AdvTensorType *out, uint32_t *n_out,
                          char *msg)
{
    return adv_op_infer(adv_registry_op(&reg, op), in, n_in, attr, ADV_F32, out, n_out, msg, 256);
}

static void structural_ops_infer(void)
{
    AdvTensorType in[3] = {{.dtype = ADV_F32, .rank = 1, .dim = {4}}, {.dtype = ADV_F32, .rank = 2, .dim = {4, 3}}, {.dtype = ADV_I64}},
                  out[20];
    AdvAttr attr = {0};
    uint32_t n;
    char msg[256];
    CHECK_EQ(infer_op("write", in, 1, NULL, out, &n, msg), ADV_OK);
    CHECK_EQ(n, 0);
    attr.i = 10;
    CHECK_EQ(infer_op("loop", in, 3, &attr, out, &n, msg), ADV_OK);
    CHECK_EQ(n, 3);
    CHECK(adv_type_eq(&out[1], &in[1]) && adv_type_eq(&out[2], &in[2]));
    attr.i = (1 << 20) + 1;
    CHECK_EQ(infer_op("loop", in, 3, &attr, out, &n, msg), ADV_ERECIPE);
    attr.i = 0;
    CHECK_EQ(infer_op("grad", in, 2, &attr, out, &n, msg), ADV_OK);
    CHECK_EQ(n, 1);
    CHECK(adv_type_eq(&out[0], &in[1]));
    CHECK_EQ(infer_op("grad", in, 3, &attr, out, &n, msg), ADV_ERECIPE);
    CHECK_EQ(infer_op("grad", in + 1, 1, &attr, out, &n, msg), ADV_ERECIPE);
    CHECK_EQ(infer_op("read", in, 0, NULL, out, &n, msg), ADV_ERECIPE);
    CHECK_EQ(infer_op("const", in, 0, NULL, out, &n, msg), ADV_ERECIPE);
    CHECK_EQ(infer_op("write", in, 0, NULL, out, &n, msg), ADV_ERECIPE);
    CHECK_STR(msg, "`write` takes 1 operand, got 0");
}

static void sizes_are_checked(void)
{
    AdvTensorType in = {.dtype = ADV_F32, .rank = 2, .dim = {1, 1}}, out[16];
    int64_t huge[6] = {INT64_C(1) << 40, INT64_C(1) << 30};
    AdvAttr attr = adv_attr_ints(huge, 2), ints = adv_attr_i(3);
    uint32_t n;
    char msg[256];
    CHECK_EQ(infer_op("broadcast", &in, 1, &attr, out, &n, msg), ADV_ERECIPE);
    CHECK(strstr(msg, "too large"));
    CHECK_EQ(n, 0);
    huge[1] = 0;
    CHECK_EQ(infer_op("broadcast", &in, 1, &attr, out, &n, msg), ADV_ERECIPE);
    CHECK(strstr(msg, "within"));
    CHECK_EQ(infer_op("cast", &in, 1, &ints, out, &n, msg), ADV_OK);
    CHECK_EQ(out[0].dtype, ADV_F16);
    ints.i = 7;
    CHECK_EQ(infer_op("cast", &in, 1, &ints, out, &n, msg), ADV_ERECIPE);
}

/* ---- numbers ---- */

static void half_numbers_round_to_nearest(void)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = adv_f16_to_f32((uint16_t)h), b = adv_bf16_to_f32((uint16_t)h);
        if (f == f) {
            if (adv_f32_to_f16(f) != h) printf("f16 %04x\n", (unsigned)h);
            CHECK(adv_f32_to_f16(f) == h);
        } else
            CHECK(isnan(adv_f16_to_f32(adv_f32_to_f16(f))));
        if (b == b)
            CHECK(adv_f32_to_bf16(b) == h);
        else
            CHECK(isnan(adv_bf16_to_f32(adv_f32_to_bf16(b))));
    }
    for (uint32_t h = 0; h < 0x7bff; h++) { /* half way between neighbours goes to the even one; beside it to the nearer */
        float lo = adv_f16_to_f32((uint16_t)h), hi = adv_f16_to_f32((uint16_t)(h + 1)), mid = 0.5f * (lo + hi);
        CHECK(adv_f32_to_f16(mid) == (h & 1 ? h + 1 : h));
        CHECK(adv_f32_to_f16(nextafterf(mid, 0)) == h);
        CHECK(adv_f32_to_f16(nextafterf(mid, INFINITY)) == h + 1);
    }
    CHECK(adv_f32_to_f16(65519.996f) == 0x7bff && adv_f32_to_f16(65520.0f) == 0x7c00 && adv_f32_to_f16(-65520.0f) == 0xfc00);
    CHECK(adv_f16_to_f32(0x0001) == 0x1p-24f && adv_f16_to_f32(0x03ff) == 1023 * 0x1p-24f && adv_f16_to_f32(0x3c00) == 1.0f);
    CHECK(adv_f32_to_bf16(1.00390625f) == 0x3f80 && adv_f32_to_bf16(1.01171875f) == 0x3f82); /* ties to even */
}

static void views_walk_in_row_order(void)
{
    AdvTensorType t = {.dtype = ADV_I32, .rank = 4, .layout = ADV_LAYOUT_CL, .dim = {2, 3, 4, 5}}, row = t;
    int32_t a[120], b[120];
    AdvView va, vb;
    AdvIter it;
    int64_t last[3] = {-1, -1, -1};
    for (int i = 0; i < 120; i++) a[i] = i;
    row.layout = ADV_LAYOUT_ROW;
    va = adv_view_of(&t, a);
    vb = adv_view_of(&row, b);
    CHECK(adv_view_is_cl(&va) && !adv_view_is_row(&va) && adv_view_is_row(&vb) && !adv_view_is_cl(&vb));
    CHECK(va.stride[0] == 60 && va.stride[1] == 1 && va.stride[2] == 15 && va.stride[3] == 3);
    adv_view_copy(&vb, &va);
    CHECK(b[0] == 0 && b[1] == 3 && b[5] == 15 && b[20] == 1 && b[60] == 60 && b[119] == 119);
    adv_iter_init(&it, 4, t.dim);
    adv_iter_add(&it, &vb);
    for (; it.more; adv_iter_next(&it)) CHECK_EQ(it.at[0], ++last[0]);
    CHECK_EQ(last[0], 119);
    CHECK_EQ(it.at[0], 0);
    t = (AdvTensorType){.dtype = ADV_I32, .rank = 4, .dim = {3, 1, 1, 1}};
    va = adv_view_of(&t, a);
    CHECK(adv_view_is_cl(&va) && adv_view_is_row(&va));
    adv_iter_init(&it, 0, NULL);
    CHECK(it.more);
    adv_iter_next(&it);
    CHECK(!it.more);
}

/* ---- the executing builder ---- */

static void builder_keeps_the_first_failure(void)
{
    float data[3] = {1, 2, 3};
    AdvTensorType t = {.dtype = ADV_F32, .rank = 1, .dim = {3}};
    AdvView v = adv_view_of(&t, data), r;
    AdvExec e;
    AdvVal x, y, z;
    adv_exec_init(&e, &reg, adv_alloc_default(), ADV_F32);
    x = adv_exec_input(&e, &v);
    y = adv_b2(&e.base, "mul", x, e.base.number(&e.base, 10, ADV_F32));
    r = adv_exec_view(&e, y);
    CHECK(r.data && ((float *)r.data)[2] == 30);
    CHECK(e.base.type(&e.base, (AdvVal){0})->dtype == 0);
    z = adv_b2(&e.base, "mul", x, (AdvVal){0});
    CHECK(z.i == 0 && e.status == ADV_EINVAL);
    CHECK_STR(e.message, "`mul`: an operand is missing");
    z = adv_b1(&e.base, "no_such_op", x);
    CHECK(z.i == 0 && e.status == ADV_EINVAL);
    CHECK(adv_b1(&e.base, "neg", x).i == 0);
    adv_exec_fini(&e);
}

/* ---- memory that runs out ---- */

typedef struct Limit {
    int left, n_live;
} Limit;

static void *limited(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    Limit *l = user;
    AdvAlloc a = adv_alloc_default();
    if (new_bytes && l->left-- <= 0) return NULL;
    if (!p && new_bytes) l->n_live++;
    if (p && !new_bytes) l->n_live--;
    return a.fn(a.user, p, old_bytes, new_bytes);
}

static void every_allocation_may_fail(void)
{
    float x[6] = {1, 2, 3, 4, 5, 6}, y[6];
    const AdvOpDef *steps[] = {adv_registry_op(&reg, "mul"), adv_registry_op(&reg, "exp"), adv_registry_op(&reg, "add")};
    int64_t args[] = {0, 0, 2, 3, 1};
    double consts[] = {1};
    AdvAttr attr[ADV_EW_N_ATTRS] = {adv_attr_ints(args, 5), {.floats = consts, .n = 1}, {.ops = steps, .n = 3}};
    AdvTensorType t = {.dtype = ADV_F32, .rank = 1, .dim = {6}};
    AdvView in = adv_view_of(&t, x), out = adv_view_of(&t, y);
    AdvStatus st = ADV_ENOMEM;
    int k = 0;
    for (; st == ADV_ENOMEM && k < 100; k++) {
        Limit l = {k, 0};
        AdvAlloc a = {limited, &l};
        st = adv_op_run_ref(&reg, adv_registry_op(&reg, "fused_ew"), &in, 1, attr, &out, 1, &a);
        CHECK_EQ(l.n_live, 0);
    }
    CHECK_EQ(st, ADV_OK);
    CHECK(k > 3);
    for (st = ADV_ENOMEM, k = 0; st == ADV_ENOMEM && k < 10; k++) {
        Limit l = {k, 0};
        AdvAlloc a = {limited, &l};
        AdvRegistry r;
        st = adv_registry_init(&r, a);
        adv_registry_fini(&r);
        CHECK_EQ(l.n_live, 0);
    }
    CHECK_EQ(st, ADV_OK);
    CHECK(k > 1);
}

int main(void)
{
    if (adv_registry_init(&reg, adv_alloc_default()) != ADV_OK) {
        printf("the registry refuses a built-in op\n");
        return 1;
    }
    RUN(ops_are_sorted_and_complete);
    RUN(ops_def_is_sorted);
    RUN(elementwise_rows_are_ops);
    RUN(definitions_are_checked);
    RUN(additions_are_checked);
    RUN(structural_ops_infer);
    RUN(sizes_are_checked);
    RUN(half_numbers_round_to_nearest);
    RUN(views_walk_in_row_order);
    RUN(builder_keeps_the_first_failure);
    RUN(every_allocation_may_fail);
    adv_registry_fini(&reg);
    return ADV_TEST_END();
}
