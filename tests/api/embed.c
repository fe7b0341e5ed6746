/* embed.c: the whole way in one program: a recipe in a string, compiled, trained and evaluated. Needs no file.
**
**   cc embed.c $(pkg-config --cflags --libs advc) -o embed && ./embed
*/
#include <compiler/adv_compile.h>
#include <runtime/adv.h>

#include <stdio.h>
#include <string.h>

static const char recipe[] =
    "adv 1\n"
    "use std.nets\n"
    "use std.attacks\n"
    "data synthetic {\n"
    "  train = 1024; test = 256; classes = 2; shape = [2]; batch = 64\n"
    "  y = id - 2*floor(id/2)\n"
    "  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)\n"
    "}\n"
    "model f = mlp(width = 16, classes = 2)\n"
    "step {\n"
    "  x_adv = pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.0125, steps = 5)\n"
    "  loss = ce(f(x_adv), y)\n"
    "  minimize loss over f\n"
    "}\n"
    "optim f = adam(lr = 0.01)\n"
    "train { epochs = 3; seed = 1 }\n"
    "eval final { on = test; attacks = [clean, pgd20(eps = 0.05)] }\n";

static void print(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stderr);
}

/* Called after every step, epoch and evaluation. */
static int32_t on_event(void *user, const AdvEvent *e)
{
    (void)user;
    if (e->kind == ADV_EVENT_EPOCH)
        printf("epoch %d of %d: %s %.4f\n", (int)e->epoch, (int)e->n_epochs, e->metrics[0].name, e->metrics[0].value);
    for (uint32_t i = 0; e->kind == ADV_EVENT_EVAL && i < e->n_rows; i++)
        printf("%s: %.1f%% right\n", e->rows[i].attack, 100 * e->rows[i].accuracy);
    return 0; /* anything else asks for a stop */
}

int main(void)
{
    AdvCtx *ctx = NULL;
    AdvDiags *ds = NULL;
    AdvPlan *plan = NULL;
    AdvSession *s = NULL;
    void *bytes = NULL;
    uint64_t n_bytes = 0;
    AdvCompileOpts co = {.struct_size = sizeof co, .name = "embed.adv", .text = recipe, .n_bytes = strlen(recipe), .targets = "cpu"};
    AdvTrainOpts to = {.struct_size = sizeof to, .progress = on_event};

    AdvStatus st = adv_ctx_new(NULL, &ctx);
    if (st == ADV_OK) st = adv_diags_open(ctx, &ds);
    if (st == ADV_OK) st = adv_compile(&co, ds, &bytes, &n_bytes);
    if (st == ADV_OK) st = adv_plan_load(ctx, bytes, n_bytes, ds, &plan);
    if (st == ADV_OK) st = adv_session_open(ctx, plan, NULL, ds, &s);
    if (st == ADV_OK) st = adv_session_train(s, &to, ds);

    if (ds) adv_diags_render(ds, ADV_PRINT_HUMAN, print, NULL); /* what went wrong, where, and what to do; nothing if all is well */
    adv_session_close(s);
    adv_plan_close(plan);
    adv_compile_free(&co, bytes, n_bytes);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    return adv_status_exit(st);
}
