/* diagnostics.c: what is wrong with a recipe, as data: for an editor, a web page, a table. */
#include <compiler/adv_compile.h>
#include <runtime/adv.h>

#include <stdio.h>
#include <string.h>

static const char recipe[] =
    "adv 1\n"
    "use std.nets\n"
    "data mnist { batch = 100 }\n"
    "model f = mnist_cnn(clases = 10)\n"
    "step { minimize ce(f(x), labels) over f }\n"
    "optim f = adam(lr = 0.01)\n"
    "train { epochs = 1 }\n";

static void print_all(const AdvDiags *ds)
{
    static const char *const levels[] = {"error", "warning", "note"}, *const kinds[] = {"at", "note", "help", "in"};
    AdvDiagInfo d = {.struct_size = sizeof d};
    for (uint32_t i = 0; adv_diags_get(ds, i, &d) == ADV_OK; i++) {
        AdvDiagNote note = {.struct_size = sizeof note};
        printf("%s:%u:%u: %s ADV%d: %s\n", d.file ? d.file : "-", d.line, d.column, levels[d.level], (int)d.code, d.message);
        for (uint32_t k = 0; adv_diags_note(ds, i, k, &note) == ADV_OK; k++) printf("  %s: %s\n", kinds[note.kind], note.text);
    }
}

int main(void)
{
    AdvCtx *ctx = NULL;
    AdvDiags *ds = NULL;
    AdvDiagInfo d = {.struct_size = sizeof d};
    void *bytes = NULL;
    uint64_t n_bytes = 0;
    uint32_t n_errors = 0, n_left = 0;
    AdvCompileOpts co = {
        .struct_size = sizeof co, .name = "wrong.adv", .text = recipe, .n_bytes = strlen(recipe), .flags = ADV_COMPILE_CHECK};
    if (adv_ctx_new(NULL, &ctx) != ADV_OK || adv_diags_open(ctx, &ds) != ADV_OK) return adv_status_exit(ADV_ENOMEM);

    AdvStatus st = adv_compile(&co, ds, &bytes, &n_bytes);
    adv_diags_count(ds, &n_errors, NULL);
    printf("%s, %u errors\n", adv_status_name(st), n_errors);
    print_all(ds);

    int ok = st == ADV_ERECIPE && n_errors == 2 && adv_diags_get(ds, 0, &d) == ADV_OK && d.line == 4 && !strcmp(d.file, "wrong.adv");
    adv_diags_clear(ds);
    adv_diags_count(ds, &n_left, NULL);
    adv_compile_free(&co, bytes, n_bytes);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    return ok && n_left == 0 ? 0 : 1;
}
