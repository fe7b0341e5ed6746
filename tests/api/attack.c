/* attack.c: attacks a network that was trained already, elsewhere: its weights come as a safetensors file with the names PyTorch
** gives them. Says how many samples survive, and takes the adversarial examples out.
**
** The file is written here, by hand, so that the example needs nothing: 8 bytes of header length, a header in JSON, the numbers.
*/
#define _POSIX_C_SOURCE 200809L /* mkstemp */
#include <compiler/adv_compile.h>
#include <runtime/adv.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 64 };

/* A step that trains nothing: it attacks the batch and leaves the result in a state of its own. */
static const char recipe[] =
    "adv 1\n"
    "use std.attacks\n"
    "net linear_net(x) { return x -> fc: linear(2) }\n"
    "data own { train = 64; test = 64; classes = 2; shape = [2]; batch = 64 }\n"
    "model f = linear_net()\n"
    "state attacked: per_slot(x) = 0\n"
    "step {\n"
    "  x_adv = pgd(z => ce(f.eval(z), y), x, 0.1, size = 0.025, steps = 10)\n"
    "  attacked <- x_adv\n"
    "}\n"
    "train { epochs = 1; seed = 1 }\n"
    "eval robust { on = test; attacks = [clean, pgd20(eps = 0.1)] }\n";

static float x[N][2];
static int32_t y[N];

/* Two classes on the line, and the network that tells them apart: class 1 where x0 > 0.5. */
static int write_network(const char *path)
{
    static const char header[] = "{\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
                                 "\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}}";
    static const float numbers[6] = {-10, 0, 10, 0, 5, -5};
    uint64_t n = sizeof header - 1;
    FILE *f = fopen(path, "wb");
    if (!f) return 0;
    for (int i = 0; i < 8; i++) fputc((int)(n >> (8 * i) & 255), f);
    size_t written = fwrite(header, 1, n, f) + fwrite(numbers, 1, sizeof numbers, f);
    return fclose(f) == 0 && written == n + sizeof numbers;
}

static AdvStatus bind(AdvSession *s, AdvDiags *ds)
{
    AdvView vx = {.dtype = ADV_F32, .rank = 2, .dim = {N, 2}, .stride = {2, 1}, .data = x};
    AdvView vy = {.dtype = ADV_I32, .rank = 1, .dim = {N}, .stride = {1}, .data = y};
    for (int i = 0; i < N; i++) {
        y[i] = i % 2;
        x[i][0] = 0.5f + (float)(y[i] ? 1 : -1) * (0.005f + 0.005f * (float)i);
        x[i][1] = 0.5f;
    }
    AdvStatus st = adv_session_bind(s, "data.train.x", &vx, ds);
    if (st == ADV_OK) st = adv_session_bind(s, "data.train.y", &vy, ds);
    if (st == ADV_OK) st = adv_session_bind(s, "data.test.x", &vx, ds);
    if (st == ADV_OK) st = adv_session_bind(s, "data.test.y", &vy, ds);
    return st;
}

static AdvStatus attack(AdvSession *s, const char *path, AdvDiags *ds)
{
    const AdvEvalRow *rows = NULL;
    uint32_t n_rows = 0;
    float moved[N][2], clean[N][2], largest = 0;
    AdvView to = {.dtype = ADV_F32, .rank = 2, .dim = {N, 2}, .stride = {2, 1}, .data = moved};
    AdvView from = to;
    from.data = clean;
    AdvStatus st = adv_session_load_weights(s, path, ds);
    if (st == ADV_OK) st = adv_session_eval(s, "robust", ds, &rows, &n_rows);
    if (st != ADV_OK) return st;
    for (uint32_t i = 0; i < n_rows; i++)
        printf("%s: %lld of %lld right\n", rows[i].attack, (long long)rows[i].n_correct, (long long)rows[i].n);
    int64_t n_clean = rows[0].n_correct, n_robust = rows[1].n_correct;

    st = adv_session_run(s, "batch", ds); /* a batch of the training data, then the attack on it */
    if (st == ADV_OK) st = adv_session_run(s, "step.main", ds);
    if (st == ADV_OK) st = adv_session_read(s, "attacked", &to, ds);
    if (st == ADV_OK) st = adv_session_read(s, "x", &from, ds);
    if (st != ADV_OK) return st;
    for (int i = 0; i < N; i++) {
        float by = y[i] ? clean[i][0] - moved[i][0] : moved[i][0] - clean[i][0]; /* towards the other class */
        if (by > largest) largest = by;
    }
    printf("the attack moved the first number by up to %.3f\n", (double)largest);
    /* samples nearer than 0.1 to the border are lost: those with 0.005 + 0.005*i below it */
    return n_clean == N && n_robust >= 44 && n_robust <= 46 && largest > 0.0999f && largest < 0.1001f ? ADV_OK : ADV_EDIFFERS;
}

static void print(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stderr);
}

int main(void)
{
    char path[] = "/tmp/attack-XXXXXX";
    int fd = mkstemp(path);
    AdvCtx *ctx = NULL;
    AdvDiags *ds = NULL;
    AdvPlan *plan = NULL;
    AdvSession *s = NULL;
    void *bytes = NULL;
    uint64_t n_bytes = 0;
    AdvCompileOpts co = {.struct_size = sizeof co, .name = "attack.adv", .text = recipe, .n_bytes = strlen(recipe), .targets = "cpu"};
    if (fd < 0 || !write_network(path)) return adv_status_exit(ADV_EIO);

    AdvStatus st = adv_ctx_new(NULL, &ctx);
    if (st == ADV_OK) st = adv_diags_open(ctx, &ds);
    if (st == ADV_OK) st = adv_compile(&co, ds, &bytes, &n_bytes);
    if (st == ADV_OK) st = adv_plan_load(ctx, bytes, n_bytes, ds, &plan);
    if (st == ADV_OK) st = adv_session_open(ctx, plan, NULL, ds, &s);
    if (st == ADV_OK) st = bind(s, ds);
    if (st == ADV_OK) st = attack(s, path, ds);

    if (ds) adv_diags_render(ds, ADV_PRINT_HUMAN, print, NULL);
    adv_session_close(s);
    adv_plan_close(plan);
    adv_compile_free(&co, bytes, n_bytes);
    adv_diags_free(ds);
    adv_ctx_free(ctx);
    remove(path);
    return adv_status_exit(st);
}
