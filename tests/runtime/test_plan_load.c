/* test_plan_load.c: plans that are damaged in every way: the loader refuses or accepts, but never reads outside.
**
** A plan with a loop, two targets, attributes of all kinds and constants is made by the compiler's back, then: read back, cut at
** every length, flipped at every byte, and flipped at every byte of its sections with the digest left out, so that
** what is tested is the validation and not the digest. Run under ASan this is the proof; each accepted plan is dumped too.
*/
#include "tests/adv_test.h"

#include "compiler/plan/emit.h"
#include "compiler/pass/target.h"
#include "runtime/plan_load.h"
#include "tests/compiler/world.h"
#include "tests/runtime/plan_dump.h"

static const char text[] =
    "state x : f32[4,3] slot\n"
    "state d : u8[8,2,2,1] data\n"
    "state w : f32[3,3] param saved\n"
    "state n : i64 scalar\n"
    "entry init {\n"
    "  %k: f32[3,3] = const [1,2,3,4,5,6,7,8,9]\n"
    "  write w = %k\n"
    "}\n"
    "entry step {\n"
    "  %x: f32[4,3] = read x\n  %w: f32[3,3] = read w\n  %n: i64 = read n\n  %two: f32 = const 2\n"
    "  %ids: i64[4] = iota {n=4}\n"
    "  %r: f32[4,3] = draw %n, %n, %ids, %n {dims=[3],dist=normal,purpose=77}\n"
    "  %z: f32[4,3] = loop 3 (%i: i64, %zi: f32[4,3] = %x) {\n"
    "    %a: f32[4,3] = matmul %zi, %w\n    %b: f32[4,3] = mul %a, %two\n    %c: f32[4,3] = add %b, %r\n    %t: f32[4,3] = tanh %c\n"
    "    yield %t\n  }\n"
    "  %one: i64 = const 1\n  %n1: i64 = add %n, %one\n"
    "  write x = %z\n  write n = %n1\n"
    "}\n";

typedef struct File {
    World *w;
    unsigned char *bytes;
    uint64_t n;
    AdvAlloc a;
    char said[256]; /* the first message about the bytes last tried */
} File;

static File make_file(void)
{
    File f = {.w = world_new(), .a = adv_alloc_default()};
    AdvGraph *g = world_read(f.w, "plan.advg", text);
    AdvEmitTarget et[2];
    AdvEmitIn in = {
        .sources = &f.w->diags->sources, .recipe = "plan", .hash = "abc", .program = "{\"seed\": 1}", .n_targets = 2, .targets = et};
    void *bytes = NULL;
    AdvPipeOpts o = {.verify_each = true};
    CHECK(g != NULL);
    for (int i = 0; i < 2; i++) {
        AdvPassCtx p = world_pass(f.w, i ? "ref64" : "cpu");
        AdvGraph *own = adv_graph_copy(&f.w->arena, g);
        CHECK(adv_run_target(&p, &own, p.target, &o) == ADV_OK);
        et[i].target = p.target;
        et[i].mem = adv_memplan(&p, own);
        et[i].graph = own;
    }
    CHECK(adv_emit(&f.a, f.w->diags, &in, &bytes, &f.n) == ADV_OK);
    if (f.w->diags->n_errors) adv_diags_print_human(f.w->diags, 0, world_write, stdout);
    f.bytes = bytes;
    return f;
}

static void free_file(File *f)
{
    adv_mem_free(&f->a, f->bytes, f->n);
    world_free(f->w);
}

static void count_text(void *user, const char *s, size_t n)
{
    (void)s;
    *(size_t *)user += n;
}

/* Parses and checks; an accepted plan is dumped and every value looked at. Returns the status; a refusal must say why. */
static AdvStatus try_bytes(File *f, const void *bytes, uint64_t n)
{
    AdvDiags *ds = adv_diags_new(f->a);
    AdvPlan *plan = NULL;
    AdvStatus st = adv_plan_parse(&f->a, bytes, n, "damaged", ds, &plan);
    CHECK((st == ADV_OK) == (plan != NULL));
    if (st == ADV_OK) st = adv_plan_check(plan, &f->w->reg, ds);
    CHECK((st == ADV_OK) == (ds->n_errors == 0));
    CHECK(st == ADV_OK || st == ADV_EDATA);
    snprintf(f->said, sizeof f->said, "%s", ds->list.n ? ds->list.at[0]->message : "");
    if (plan) {
        size_t n_text = 0;
        plan_dump(plan, count_text, &n_text);
        CHECK(n_text > 0);
    }
    adv_plan_free(plan);
    adv_diags_free(ds);
    return st;
}

static void round_trip(void)
{
    File f = make_file();
    AdvPlan *plan = NULL;
    const AdvPlanTarget *t;
    CHECK(adv_plan_parse(&f.a, f.bytes, f.n, "plan", f.w->diags, &plan) == ADV_OK);
    if (!plan) return;
    CHECK(adv_plan_check(plan, &f.w->reg, f.w->diags) == ADV_OK);
    CHECK_STR(plan->recipe, "plan");
    CHECK_STR(plan->hash, "abc");
    CHECK_STR(plan->program, "{\"seed\": 1}");
    CHECK_EQ(plan->n_states, 4);
    CHECK_EQ(adv_plan_state(plan, "w"), 2);
    CHECK_EQ(adv_plan_state(plan, "nothing"), ADV_PLAN_NONE);
    CHECK_STR(adv_plan_str(plan, plan->sources[0].text), text);
    t = adv_plan_target(plan, "cpu");
    CHECK(t && adv_plan_entry(plan, t, "step") == 1 && adv_plan_entry(plan, t, "none") == ADV_PLAN_NONE);
    CHECK(adv_plan_target(plan, "cuda") == NULL);
    CHECK((uintptr_t)t->consts % 64 == 0);
    for (uint32_t i = 0; i < t->n_insts; i++) CHECK(t->insts[i].loc > 0);
    adv_plan_free(plan);
    free_file(&f);
}

static void same_bytes_twice(void)
{
    File a = make_file(), b = make_file();
    CHECK(a.n == b.n && memcmp(a.bytes, b.bytes, a.n) == 0);
    free_file(&a);
    free_file(&b);
}

static void cut_at_each_length(void)
{
    File f = make_file();
    for (uint64_t n = 0; n < f.n; n += n < 3000 || n + 500 > f.n ? 1 : 13) {
        unsigned char *part = test_mem(n); /* of its own, so that ASan sees its end */
        memcpy(part, f.bytes, n);
        CHECK(try_bytes(&f, part, n) == ADV_EDATA);
        free(part);
    }
    free_file(&f);
}

/* With the digest in place no flip goes unseen. */
static void flip_each_byte(void)
{
    File f = make_file();
    for (uint64_t i = 0; i < f.n; i += 3) {
        f.bytes[i] ^= (unsigned char)(1u << i % 8);
        if (i >= 8 || f.bytes[i]) CHECK(try_bytes(&f, f.bytes, f.n) == ADV_EDATA);
        f.bytes[i] ^= (unsigned char)(1u << i % 8);
    }
    CHECK(try_bytes(&f, f.bytes, f.n) == ADV_OK);
    free_file(&f);
}

/* The file rendered anew with one section changed: the digest is right, the content is not. */
static AdvStatus try_changed(File *f, const AdvContainer *c, const AdvMeta *meta, uint32_t n_meta, uint32_t blob, uint64_t at,
                             unsigned char x)
{
    AdvBlob blobs[64];
    unsigned char *changed = test_mem(c->blobs[blob].n_bytes);
    void *bytes = NULL;
    uint64_t n = 0;
    AdvStatus st;
    memcpy(blobs, c->blobs, c->n_blobs * sizeof *blobs);
    memcpy(changed, blobs[blob].data, blobs[blob].n_bytes);
    changed[at] ^= x;
    blobs[blob].data = changed;
    CHECK(adv_container_render(&f->a, blobs, c->n_blobs, meta, n_meta, f->w->diags, &bytes, &n) == ADV_OK);
    st = try_bytes(f, bytes, n);
    adv_mem_free(&f->a, bytes, n);
    free(changed);
    return st;
}

static void flip_under_a_good_digest(void)
{
    File f = make_file();
    AdvContainer c;
    AdvMeta meta[16];
    uint32_t n_meta = 0, n_tried = 0, n_refused = 0;
    AdvArena arena;
    adv_arena_init(&arena, f.a);
    CHECK(adv_container_parse(&arena, f.bytes, f.n, "plan", f.w->diags, &c) == ADV_OK);
    CHECK(c.n_blobs <= 64 && c.n_meta <= 16);
    for (uint32_t i = 0; i < c.n_meta; i++)
        if (strncmp(c.meta[i].key, "adv.", 4) == 0) meta[n_meta++] = c.meta[i];
    for (uint32_t b = 0; b < c.n_blobs; b++) {
        uint64_t step = strcmp(c.blobs[b].name, "strings") == 0 ? 7 : 1;
        for (uint64_t i = 0; i < c.blobs[b].n_bytes; i += step) {
            n_tried++;
            n_refused += try_changed(&f, &c, meta, n_meta, b, i, (unsigned char)(i % 3 ? 0xff : 1u << i % 8)) != ADV_OK;
        }
    }
    CHECK(n_refused > n_tried / 4); /* texts, numbers and constants may be anything; structure may not */
    adv_arena_fini(&arena);
    free_file(&f);
}

/* One field set to what it may not be; `why` stands in the message. */
static void refuses_because(const char *blob, uint64_t at, const void *with, size_t n, const char *why)
{
    File f = make_file();
    AdvContainer c;
    AdvBlob blobs[64];
    AdvArena arena;
    bool found = false;
    adv_arena_init(&arena, f.a);
    CHECK(adv_container_parse(&arena, f.bytes, f.n, "plan", f.w->diags, &c) == ADV_OK);
    memcpy(blobs, c.blobs, c.n_blobs * sizeof *blobs);
    for (uint32_t b = 0; b < c.n_blobs; b++) {
        void *bytes, *changed;
        uint64_t n_bytes;
        AdvMeta meta[] = {{"adv.plan", "1"}, {"adv.targets", "cpu,ref64"}};
        if (strcmp(blobs[b].name, blob) != 0) continue;
        found = true;
        CHECK(at + n <= blobs[b].n_bytes);
        changed = test_mem(blobs[b].n_bytes);
        memcpy(changed, blobs[b].data, blobs[b].n_bytes);
        memcpy((char *)changed + at, with, n);
        blobs[b].data = changed;
        CHECK(adv_container_render(&f.a, blobs, c.n_blobs, meta, 2, f.w->diags, &bytes, &n_bytes) == ADV_OK);
        CHECK(try_bytes(&f, bytes, n_bytes) == ADV_EDATA);
        CHECK(strstr(f.said, why) != NULL);
        adv_mem_free(&f.a, bytes, n_bytes);
        free(changed);
    }
    CHECK(found);
    adv_arena_fini(&arena);
    free_file(&f);
}

static void refuses(const char *blob, uint64_t at, const void *with, size_t n) { refuses_because(blob, at, with, n, ""); }

static void each_rule_refuses(void)
{
    const uint32_t big = 0x7fffffff, one = 1, no_reason = ADV_LOC_COUNT;
    const uint64_t far = UINT64_MAX - 8, odd = 2;
    const int64_t zero = 0;
    const uint8_t nine = 9;
    refuses("cpu.operands", 0, &big, 4);
    refuses("cpu.insts", offsetof(AdvPlanInst, op), &big, 4);
    refuses("cpu.insts", offsetof(AdvPlanInst, in_at), &big, 4);
    refuses("cpu.insts", offsetof(AdvPlanInst, n_out), &big, 4);
    refuses("cpu.insts", offsetof(AdvPlanInst, attr_at), &big, 4);
    refuses("cpu.insts", offsetof(AdvPlanInst, loc), &big, 4);
    refuses("cpu.insts", offsetof(AdvPlanInst, n_body), &big, 4);
    refuses("cpu.insts", offsetof(AdvPlanInst, with_prev), &one, 4); /* the first of an entry */
    refuses("cpu.insts", sizeof(AdvPlanInst) + offsetof(AdvPlanInst, with_prev), &one, 4);
    refuses("cpu.insts", 2 * sizeof(AdvPlanInst) + offsetof(AdvPlanInst, with_prev), &big, 4);
    refuses("cpu.insts", 2 * sizeof(AdvPlanInst) + offsetof(AdvPlanInst, with_prev), &one, 4); /* of another op */
    refuses("cpu.values", offsetof(AdvPlanValue, offset), &far, 8);
    refuses("cpu.values", offsetof(AdvPlanValue, offset), &odd, 8);
    refuses("cpu.values", offsetof(AdvPlanValue, state), &big, 4);
    refuses("cpu.values", offsetof(AdvPlanValue, block), &nine, 1);
    refuses("cpu.values", offsetof(AdvPlanValue, stride), &far, 8);
    refuses("cpu.values", offsetof(AdvPlanValue, type) + offsetof(AdvTensorType, dim), &zero, 8);
    refuses("cpu.values", offsetof(AdvPlanValue, type) + offsetof(AdvTensorType, dim), &far, 8);
    refuses("cpu.values", offsetof(AdvPlanValue, type) + offsetof(AdvTensorType, rank), &nine, 1);
    refuses("cpu.entries", offsetof(AdvPlanEntry, n_insts), &big, 4);
    refuses("cpu.entries", offsetof(AdvPlanEntry, first), &big, 4);
    refuses("states", offsetof(AdvPlanState, kind), &nine, 1);
    refuses("states", offsetof(AdvPlanState, name), &big, 4);
    refuses("states", sizeof(AdvPlanState) + offsetof(AdvPlanState, type) + offsetof(AdvTensorType, dim), &far, 8);
    refuses("locs", sizeof(AdvPlanLoc) + offsetof(AdvPlanLoc, parent), &big, 4);
    refuses("locs", sizeof(AdvPlanLoc) + offsetof(AdvPlanLoc, off), &big, 4);
    refuses_because("locs", sizeof(AdvPlanLoc) + offsetof(AdvPlanLoc, why), &no_reason, 4, "has an unknown reason");
    refuses("ops", offsetof(AdvPlanOp, version), &nine, 1);
    refuses("sources", offsetof(AdvPlanSource, n_bytes), &big, 4);
    refuses("strings", 0, &nine, 1);
}

/* Wherever a value lies, kernels count on its alignment: a multiple of its elements' size alone is refused. */
static void values_begin_aligned(void)
{
    File f = make_file();
    AdvPlan *plan = NULL;
    CHECK(adv_plan_parse(&f.a, f.bytes, f.n, "plan", f.w->diags, &plan) == ADV_OK);
    const AdvPlanTarget *t = plan ? adv_plan_target(plan, "cpu") : NULL;
    for (uint32_t i = 0, seen = 0; t && i < t->n_values; i++) {
        const AdvPlanValue *v = &t->values[i];
        if (seen & 1u << v->block) continue;
        seen |= 1u << v->block;
        CHECK_EQ(v->offset % ADV_PLAN_ALIGN, 0);
        for (uint64_t shift = 8; shift < ADV_PLAN_ALIGN; shift *= 2) {
            uint64_t moved = v->offset + shift;
            refuses_because("cpu.values", i * sizeof *v + offsetof(AdvPlanValue, offset), &moved, 8, "begin at a multiple of 64 bytes");
        }
    }
    adv_plan_free(plan);
    free_file(&f);
}

/* A plan with other metadata. */
static void metadata(void)
{
    static const struct {
        const char *key, *value;
    } bad[] = {{"adv.plan", "2"},       {"adv.plan", "x"},          {"adv.targets", ""},
               {"adv.targets", "cpu,"}, {"adv.targets", "cpu,cpu"}, {"adv.targets", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"}};
    File f = make_file();
    AdvContainer c;
    AdvArena arena;
    adv_arena_init(&arena, f.a);
    CHECK(adv_container_parse(&arena, f.bytes, f.n, "plan", f.w->diags, &c) == ADV_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        AdvMeta meta[2] = {{"adv.plan", "1"}, {"adv.targets", "cpu,ref64"}};
        void *bytes;
        uint64_t n;
        meta[strcmp(bad[i].key, "adv.plan") != 0].value = bad[i].value;
        CHECK(adv_container_render(&f.a, c.blobs, c.n_blobs, meta, 2, f.w->diags, &bytes, &n) == ADV_OK);
        CHECK(try_bytes(&f, bytes, n) == ADV_EDATA);
        adv_mem_free(&f.a, bytes, n);
    }
    adv_arena_fini(&arena);
    free_file(&f);
}

/* The k-th allocation fails, for k = 1, 2, ... until it works: a status each time and nothing lost (ASan). */
typedef struct Failing {
    AdvAlloc inner;
    long left;
} Failing;

static void *failing_fn(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    Failing *x = user;
    if (new_bytes && new_bytes > old_bytes && x->left-- <= 0) return NULL;
    return x->inner.fn(x->inner.user, p, old_bytes, new_bytes);
}

static void out_of_memory(void)
{
    File f = make_file();
    AdvStatus st = ADV_ENOMEM;
    for (long k = 0; k < 10000 && st != ADV_OK; k++) {
        Failing x = {f.a, k};
        AdvAlloc a = {failing_fn, &x};
        AdvPlan *plan = NULL;
        st = adv_plan_parse(&a, f.bytes, f.n, "plan", NULL, &plan);
        if (st == ADV_OK) st = adv_plan_check(plan, &f.w->reg, NULL);
        CHECK(st == ADV_OK || st == ADV_ENOMEM);
        adv_plan_free(plan);
    }
    CHECK(st == ADV_OK);
    free_file(&f);
}

int main(void)
{
    RUN(round_trip);
    RUN(same_bytes_twice);
    RUN(cut_at_each_length);
    RUN(flip_each_byte);
    RUN(flip_under_a_good_digest);
    RUN(each_rule_refuses);
    RUN(values_begin_aligned);
    RUN(metadata);
    RUN(out_of_memory);
    return ADV_TEST_END();
}
