/* test_runtime_eval.c: what evaluations say of attacks: how far they moved, in which norm, whose weights; and that a number which is
** none becomes no accuracy.
*/
#include "tests/adv_test.h"

#include "compiler/adv_compile.h"
#include "runtime/adv.h"
#include "tests/base/scratch.h"
#include "tests/runtime/toy.h"

#include <stdio.h>
#include <string.h>

typedef struct Run {
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan;
    AdvSession *s;
    char logged[4000];
} Run;

static void keep_line(void *user, int32_t level, const char *text, size_t n)
{
    Run *w = user;
    size_t at = strlen(w->logged);
    snprintf(w->logged + at, sizeof w->logged - at, "%d %.*s\n", (int)level, (int)n, text);
}

/* Every image is (0.5, 0.5, 0.5, 0.5). `attacks` are definitions, `eval` the rest of the recipe. */
static void load(Run *w, const char *attacks, const char *eval)
{
    char text[4000];
    AdvCtxOpts co = {.struct_size = sizeof co, .log = keep_line, .user = w};
    void *bytes = NULL;
    uint64_t n = 0;
    snprintf(text, sizeof text,
             "adv 1\nuse std.attacks\n"
             "data synthetic { train = 16; test = 12; classes = 2; shape = [4]; batch = 8; y = id - 2*floor(id/2); x = 0.5 + 0*id }\n"
             "net small(x) { return x -> fc: linear(2) }\nmodel f = small()\n%s\n"
             "step { minimize ce(f(x), y) over f }\noptim f = sgd(lr = 0.1)\n%s\n",
             attacks, eval);
    AdvCompileOpts o = {.struct_size = sizeof o, .name = "t.adv", .text = text, .n_bytes = strlen(text), .targets = "cpu"};
    memset(w, 0, sizeof *w);
    if (adv_ctx_new(&co, &w->ctx) || adv_diags_open(w->ctx, &w->ds)) abort();
    AdvStatus st = adv_compile(&o, w->ds, &bytes, &n);
    if (st == ADV_OK) st = adv_plan_load(w->ctx, bytes, n, w->ds, &w->plan);
    if (st == ADV_OK) st = adv_session_open(w->ctx, w->plan, NULL, w->ds, &w->s);
    adv_compile_free(&o, bytes, n);
    const char *why = "";
    if (st != ADV_OK && adv_diags_at(w->ds, 0, &why)) printf("%s\n", why);
    CHECK_EQ(st, ADV_OK);
    adv_diags_clear(w->ds);
}

static void drop(Run *w)
{
    adv_session_close(w->s);
    adv_plan_close(w->plan);
    adv_diags_free(w->ds);
    adv_ctx_free(w->ctx);
}

/* ---- distances ----------------------------------------------------------------------------------------------------------- */

static void check_row(const Run *w, const AdvEvalRow *row, const char *attack, double dist, const char *norm)
{
    const char *got = adv_plan_eval_norm(w->plan, row->eval, row->attack);
    CHECK_STR(row->attack, attack);
    CHECK_NEAR(row->dist_max, dist, 1e-6);
    CHECK_NEAR(row->dist_mean, dist, 1e-6);
    CHECK_STR(got ? got : "none", norm);
}

static void distances_are_in_the_norm_of_the_ball(void)
{
    Run w;
    const AdvEvalRow *rows;
    uint32_t n;
    load(&w,
         "attack to_l2(f, x, y, eps) { return project(x + 1, x, eps, norm = l2) }\n"
         "attack to_linf(f, x, y, eps) { return project(x + 1, x, eps) }\n"
         "attack turns(f, x, y, eps) { carry z = x\n repeat 3 { z <- project(z + 0.3, x, eps, norm = l2) }\n return z }\n"
         "attack other_last(f, x, y, eps) { a = to_l2(f, x, y, eps)\n b = to_linf(f, x, y, eps)\n return a, b }\n"
         "attack no_ball(f, x, y, eps) { return x + 0.5*eps }\n",
         "train { epochs = 1; seed = 1 }\neval final { on = test\n attacks = [clean, to_l2(eps = 0.2), to_linf(eps = 0.2),\n"
         "  turns(eps = 0.2), other_last(eps = 0.2), no_ball(eps = 0.2)] }");
    CHECK_EQ(adv_session_eval(w.s, "final", w.ds, &rows, &n), ADV_OK);
    CHECK_EQ(n, 6);
    if (n == 6) {
        check_row(&w, &rows[0], "clean", 0, "none");
        check_row(&w, &rows[1], "to_l2", 0.2, "l2");
        check_row(&w, &rows[2], "to_linf", 0.2, "linf");
        check_row(&w, &rows[3], "turns", 0.2, "l2");
        check_row(&w, &rows[4], "other_last", 0.2, "l2"); /* of the images that it returns */
        check_row(&w, &rows[5], "no_ball", 0.1, "linf");
    }
    CHECK(adv_plan_eval_norm(w.plan, "final", "other") == NULL && adv_plan_eval_norm(w.plan, "other", "to_l2") == NULL);
    CHECK_STR(w.logged, "");
    drop(&w);
}

static void a_radius_left_or_not_used_is_said_once(void)
{
    Run w;
    const AdvEvalRow *rows;
    uint32_t n;
    load(&w,
         "attack far(f, x, y, eps) { return x + 2*eps }\n"
         "attack still(f, x, y, eps) { return pgd(z => ce(f(x), y) + 0*sum(z), x, eps, size = eps, steps = 2) }\n"
         "attack fine(f, x, y, eps) { return worst(f, y, [x, project(x + 1, x, eps)]) }\n",
         "train { epochs = 1; seed = 1 }\n"
         "eval final { on = test; attacks = [clean, far(eps = 0.1), still(eps = 0.1), fine(eps = 0.1), none: still(eps = 0)] }");
    for (int k = 0; k < 2; k++) CHECK_EQ(adv_session_eval(w.s, "final", w.ds, &rows, &n), ADV_OK);
    char *far = strstr(w.logged, "t.adv:13: `final.far` moved a sample by 0.2 (linf), further than its eps of 0.1");
    char *still = strstr(w.logged, "t.adv:13: `final.still` moved no sample, though its eps is 0.1");
    int n_lines = 0;
    for (const char *c = w.logged; *c; c++) n_lines += *c == '\n';
    CHECK(far && still);
    CHECK_EQ(n_lines, 2);
    if (n_lines != 2) printf("%s", w.logged);
    drop(&w);
}

static void rows_name_the_epoch_of_their_weights(void)
{
    Run w;
    const AdvEvalRow *rows = NULL;
    uint32_t n;
    load(&w, "", "train { epochs = 3; seed = 1 }\neval final { on = test; attacks = [clean] }");
    CHECK_EQ(adv_session_eval(w.s, "final", w.ds, &rows, &n), ADV_OK);
    CHECK_EQ(rows[0].epoch, 0);
    CHECK_EQ(adv_session_epoch(w.s, 2, w.ds), ADV_OK);
    CHECK_EQ(adv_session_eval(w.s, "final", w.ds, &rows, &n), ADV_OK);
    CHECK_EQ(rows[0].epoch, 2);
    drop(&w);
}

/* ---- numbers that are none --------------------------------------------------------------------------------------------- */

/* Evaluates; the message must have `what` in it, and the next one be at line `line` of the recipe (0: there is no result to miss). */
static void check_bad(const char *attacks, const char *eval, const char *what, uint32_t line)
{
    Run w;
    const AdvEvalRow *rows;
    uint32_t n;
    const char *text = "";
    AdvDiagInfo d = {.struct_size = sizeof d};
    load(&w, attacks, eval);
    CHECK_EQ(adv_session_eval(w.s, "final", w.ds, &rows, &n), line ? ADV_ENUMERIC : ADV_OK);
    if (line) {
        CHECK_EQ(adv_diags_at(w.ds, 0, &text), 6009);
        CHECK(text && strstr(text, what));
        CHECK_EQ(adv_diags_get(w.ds, 1, &d), ADV_OK);
        CHECK_EQ(d.code, 6007);
        CHECK_EQ(d.line, line);
    }
    drop(&w);
}

static void what_is_no_number_is_no_result(void)
{
    const char *end = "train { epochs = 1; seed = 1 }\neval final { on = test; attacks = [clean, bad(eps = 0.1)] }";
    check_bad("attack bad(f, x, y, eps) {\n  return x + (x - x)/(x - x)\n}", end, "`final.bad` has no result: the image of sample 0", 7);
    check_bad("attack bad(f, x, y, eps) {\n  g = 0*grad(ce(f(x), y), x)\n  return project(x + eps*g/norm2(g), x, eps, norm = l2)\n}", end,
              "the image of sample 0", 8);
    const char *of = "train { epochs = 1; seed = 1 }\neval final { on = test; of = logits; attacks = [clean] }";
    check_bad("fn logits(x) = log(f.eval(x) - 1000)\n", of, "`final.clean` has no result: the logits of sample 0", 6);
    check_bad("fn logits(x) = exp(f.eval(x) + 1000)\n", of, "the logits of sample 0", 6);
    check_bad("fn logits(x) = other(f.eval(x), y)\n", of, "", 0); /* -inf says that it is not this class: an answer */
}

/* An evaluation that meets such numbers loses nothing: the session goes on, and the run folder has what was trained. */
static void what_was_trained_is_saved(void)
{
    Run w, again;
    const AdvEvalRow *rows;
    uint32_t n;
    char dir[64];
    const char *attack = "attack bad(f, x, y, eps) {\n  return x + (x - x)/(x - x)\n}";
    const char *evals = "train { epochs = 2; seed = 1 }\n"
                        "eval final { on = test; attacks = [clean, bad(eps = 0.1)] }\neval fine { on = test; attacks = [clean] }";
    AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir};
    scratch_make(dir);
    load(&w, attack, evals);
    CHECK_EQ(adv_session_train(w.s, &o, w.ds), ADV_ENUMERIC);
    CHECK_EQ(adv_session_train(w.s, NULL, w.ds), ADV_ENUMERIC); /* not ADV_EPOISONED */
    CHECK_EQ(adv_session_eval(w.s, "fine", w.ds, &rows, &n), ADV_OK);
    load(&again, attack, evals);
    CHECK_EQ(adv_session_resume(again.s, dir, again.ds), ADV_OK);
    CHECK_EQ(adv_session_eval(again.s, "fine", again.ds, &rows, &n), ADV_OK);
    CHECK_EQ(rows[0].epoch, 2);
    CHECK_EQ(adv_session_train(again.s, NULL, again.ds), ADV_ENUMERIC);
    drop(&w);
    drop(&again);
    scratch_remove(dir);
}

/* ---- an evaluation alone ------------------------------------------------------------------------------------------------- */

static char *result_of(const char *dir)
{
    static char text[2][4000];
    static int k;
    char path[256];
    snprintf(path, sizeof path, "%s/eval-final.json", dir);
    FILE *f = fopen(path, "rb");
    k = !k;
    text[k][f ? fread(text[k], 1, sizeof text[k] - 1, f) : 0] = 0;
    if (f) fclose(f);
    return text[k];
}

static void the_file_of_an_evaluation_stays_whole(void)
{
    Run w;
    const AdvEvalRow *rows = NULL;
    uint32_t n = 0;
    char dir[64];
    const char *recipe = "train { epochs = 3; seed = 1; keep = best(quick.clean) }\n"
                         "eval quick { on = train; every = 1; attacks = [clean] }\n"
                         "eval final { on = test; attacks = [clean, pgd10(eps = 0.1)] }";
    AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir};
    scratch_make(dir);
    load(&w, "", recipe);
    CHECK_EQ(adv_session_train(w.s, &o, w.ds), ADV_OK);
    drop(&w);
    const char *first = result_of(dir);
    CHECK(strstr(first, "\"weights\":\"last\",\"epoch\":3") && strstr(first, "\"weights\":\"best\",\"epoch\":1"));
    load(&w, "", recipe);
    CHECK_EQ(adv_session_resume(w.s, dir, w.ds), ADV_OK);
    o.only_eval = "final";
    CHECK_EQ(adv_session_train(w.s, &o, w.ds), ADV_OK);
    CHECK_STR(result_of(dir), first);
    CHECK_EQ(adv_session_eval(w.s, "final", w.ds, &rows, &n), ADV_OK); /* without a file: of the present weights */
    CHECK_EQ(n, 2);
    CHECK(rows && !strcmp(rows[0].weights, "last") && rows[0].epoch == 3);
    CHECK(adv_session_is_done(w.s));
    drop(&w);
    scratch_remove(dir);
}

/* ---- plans made by hand --------------------------------------------------------------------------------------------------- */

static void a_norm_is_one_of_two(void)
{
    char program[sizeof toy_program + 16];
    const char *at = strstr(toy_program, "\"result\":\"final.fgsm\""), *why = "";
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan;
    if (!at || adv_ctx_new(NULL, &ctx) || adv_diags_open(ctx, &ds)) abort();
    snprintf(program, sizeof program, "%.*s\"norm\":\"l7\",%s", (int)(at - toy_program), toy_program, at);
    ToyBytes bytes = toy_make(toy_graph, program, "toyhash", "cpu", NULL);
    CHECK_EQ(adv_plan_load(ctx, bytes.data, bytes.n, ds, &plan), ADV_EDATA);
    adv_diags_at(ds, 0, &why);
    CHECK(why && strstr(why, "`norm` is `l7`, not `linf` or `l2`"));
    toy_bytes_free(&bytes);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
}

int main(void)
{
    RUN(distances_are_in_the_norm_of_the_ball);
    RUN(a_radius_left_or_not_used_is_said_once);
    RUN(rows_name_the_epoch_of_their_weights);
    RUN(what_is_no_number_is_no_result);
    RUN(what_was_trained_is_saved);
    RUN(the_file_of_an_evaluation_stays_whole);
    RUN(a_norm_is_one_of_two);
    return ADV_TEST_END();
}
