/* test_driver.c: what the driver of passes promises: the order of the table, stop, only, skip, dumps, times; a pass that
** breaks the graph, lies about progress or reports an error ends the run and is named.
*/
#include "tests/adv_test.h"
#include "tests/compiler/setup.h"

#include "compiler/pass/pass_list.h"

static const char text[] =
    "state a : f32[4] slot\nstate b : f32[4] slot\n"
    "entry e {\n"
    "  %a: f32[4] = read a\n"
    "  %b: f32[4] = read b\n"
    "  %one: f32 = const 1\n"
    "  %m: f32[4] = mul %a, %one\n"
    "  %n: f32[4] = mul %a, %b\n"
    "  %n2: f32[4] = mul %b, %a\n"
    "  %s: f32[4] = add %n, %n2\n"
    "  %q: f32 = sum %s\n"
    "  %g: f32[4] = grad %q, %a\n"
    "  %l: f32[4] = loop 3 (%i: i64, %z: f32[4] = %g) {\n"
    "    %e: f32[4] = exp %b\n"
    "    %y: f32[4] = mul %z, %e\n"
    "    yield %y\n"
    "  }\n"
    "  write a = %l\n"
    "}\n";

static AdvPassCtx ctx(Setup *s)
{
    AdvPassCtx p = {.arena = &s->arena, .scratch = &s->scratch, .diags = s->diags};
    return p;
}

static bool has(const AdvGraph *g, const char *piece)
{
    char *t = setup_print(g, false);
    bool found = strstr(t, piece) != NULL;
    free(t);
    return found;
}

static void test_common(void)
{
    Setup *s = setup_new();
    AdvPassCtx p = ctx(s);
    AdvPipeOpts o = {.verify_each = true, .round_trip = true};
    AdvGraph *g = setup_read(s, "t", text, sizeof text - 1);
    CHECK(g != NULL);
    if (g) CHECK_EQ(adv_run_common(&p, &g, &o), ADV_OK);
    char *t = setup_print(g, false);
    CHECK_STR(t,
        "state a : f32[4] slot\n"
        "state b : f32[4] slot\n"
        "entry e {\n"
        "  %b: f32[4] = read b\n"
        "  %0: f32[4] = add %b, %b\n"
        "  %e: f32[4] = exp %b\n"
        "  %l: f32[4] = loop 3 (%i: i64, %z: f32[4] = %0) {\n"
        "    %y: f32[4] = mul %z, %e\n"
        "    yield %y\n"
        "  }\n"
        "  write a = %l\n"
        "}\n");
    free(t);
    setup_free(s);
}

static void run_with(const AdvPipeOpts *o, const char *piece, bool there)
{
    Setup *s = setup_new();
    AdvPassCtx p = ctx(s);
    AdvGraph *g = setup_read(s, "t", text, sizeof text - 1);
    CHECK_EQ(adv_run_common(&p, &g, o), ADV_OK);
    CHECK(has(g, piece) == there);
    if (has(g, piece) != there) setup_show(s);
    setup_free(s);
}

static void test_choice(void)
{
    AdvPipeOpts stop = {.stop_after = "autodiff"}, only = {.only = "autodiff,dce"}, skip = {.skip = "hoist,simplify"};
    run_with(&stop, "%m: f32[4] = mul %a, %one", true);
    run_with(&stop, "= grad ", false);
    run_with(&only, "%m: f32[4]", false);
    run_with(&only, "broadcast", true);
    run_with(&skip, "    %e: f32[4] = exp %b", true);
    run_with(&skip, "broadcast", true);
}

static void test_unknown_name(void)
{
    Setup *s = setup_new();
    AdvPassCtx p = ctx(s);
    AdvGraph *g = setup_read(s, "t", text, sizeof text - 1);
    CHECK_EQ(adv_run_passes(&p, &g, "autodiff,nosuch", NULL), ADV_EINVAL);
    CHECK_EQ(s->diags->list.n, 1);
    setup_free(s);
}

static void test_dump_and_times(void)
{
    Setup *s = setup_new();
    AdvPassCtx p = ctx(s);
    AdvGraph *g = setup_read(s, "t", text, sizeof text - 1);
    char *dump = NULL, *times = NULL;
    size_t n, n_times;
    FILE *f = open_memstream(&dump, &n), *ft = open_memstream(&times, &n_times);
    AdvPipeOpts o = {.dump = setup_write, .dump_user = f, .time_passes = true, .time_write = setup_write, .time_user = ft};
    CHECK_EQ(adv_run_passes(&p, &g, "autodiff,fold,dce", &o), ADV_OK);
    fclose(f);
    fclose(ft);
    CHECK(strncmp(dump, "# after autodiff\nstate a", 24) == 0 && strstr(dump, "# after dce\n") && !strstr(dump, "# after fold"));
    CHECK(strstr(times, "autodiff") && strstr(times, "fold") && strstr(times, "no change"));
    free(dump);
    free(times);
    setup_free(s);
}

/* ---- passes that misbehave --------------------------------------------------------------------------------------- */

static bool pass_liar(AdvPassCtx *p, AdvGraph *g)
{
    (void)p;
    adv_region(g, g->entries.at[0])->nodes.n--;
    return false;
}

static bool pass_breaker(AdvPassCtx *p, AdvGraph *g)
{
    (void)p;
    AdvRegion *r = adv_region(g, g->entries.at[0]);
    r->nodes.at[0] = r->nodes.at[1];
    return true;
}

static bool pass_complainer(AdvPassCtx *p, AdvGraph *g)
{
    adv_diag(p->diags, ADV_D_GRAD_NEVER, adv_loc_span(g, adv_region(g, g->entries.at[0])->loc), "not today");
    return false;
}

static void misbehave(AdvPassFn *fn, AdvStatus want, const char *says)
{
    Setup *s = setup_new();
    AdvPassCtx p = ctx(s);
    AdvPassDef d = {"culprit", fn, ADV_STAGE_COMMON, "a pass that is wrong"};
    AdvPipeOpts o = {.verify_each = true};
    AdvGraph *g = setup_read(s, "t", text, sizeof text - 1);
    CHECK_EQ(adv_run_def(&p, &g, &d, false, &o), want);
    char *shown = NULL;
    size_t n;
    FILE *f = open_memstream(&shown, &n);
    adv_diags_print_human(s->diags, 0, setup_write, f);
    fclose(f);
    CHECK(strstr(shown, says) != NULL);
    if (!strstr(shown, says)) printf("%s", shown);
    free(shown);
    setup_free(s);
}

static void test_misbehaving_passes(void)
{
    misbehave(pass_liar, ADV_EINTERNAL, "pass `culprit` changed the graph");
    misbehave(pass_breaker, ADV_EINTERNAL, "after pass `culprit`");
    misbehave(pass_complainer, ADV_ERECIPE, "not today");
}

int main(void)
{
    RUN(test_common);
    RUN(test_choice);
    RUN(test_unknown_name);
    RUN(test_dump_and_times);
    RUN(test_misbehaving_passes);
    return ADV_TEST_END();
}
