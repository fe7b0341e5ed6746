/* test_cuda_texts.c: every text that any recipe's plan generates is taken by NVRTC for each architecture we build for.
**
**   test_cuda_texts [ARCHITECTURE...]      default: all, 80 90 100
**
** Needs no device: NVRTC compiles without one. All recipes go into one unit, as the instructions of a session do; a kernel's name is
** a function of its text, so equal kernels of different recipes are compiled once. Prints how many there are and the time it took.
*/
#include "tests/adv_test.h"

#include "ops/cuda/headers.h"
#include "ops/cuda/kernels_cuda.h"
#include "runtime/cuda/api_load.h"
#include "runtime/plan_load.h"
#include "tests/compiler/recipe.h"
#include "tests/cuda/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int archs[8] = {80, 90, 100};
static uint32_t n_archs = 3;

static void *self;
static AdvRegistry reg;
static uint32_t n_generated, n_lists; /* instructions; lists of them */

/* The kernels that are generated. */
static const AdvKernel *const *made_kernels(void)
{
    static const AdvKernel *made[64];
    uint32_t n = 0;
    for (uint32_t i = 0; adv_kernels_cuda[i]; i++)
        if (strcmp(adv_kernels_cuda[i]->name, "made") == 0 && n + 1 < 64) made[n++] = adv_kernels_cuda[i];
    return made;
}

/* Room for the instructions of a plan: bounds keep pointing to their views. */
static AdvBound *bounds_of(const AdvPlan *plan, const AdvPlanTarget *t, AdvView **out_views)
{
    size_t n = 0, at = 0;
    for (uint32_t i = 0; i < t->n_insts; i++) n += t->insts[i].n_in + t->insts[i].n_out;
    AdvBound *b = calloc(t->n_insts + 1, sizeof *b);
    AdvView *views = *out_views = calloc(n + 1, sizeof *views);
    if (!b || !views) abort();
    for (uint32_t i = 0; i < t->n_insts; i++) {
        const AdvPlanInst *in = &t->insts[i];
        b[i].sig = (AdvSig){plan->op_defs[in->op], in->n_in, in->n_out, views + at, views + at + in->n_in, t->attrs + in->attr_at};
        for (uint32_t k = 0; k < in->n_in + in->n_out; k++, at++) {
            views[at] = adv_plan_view(&t->values[t->operands[k < in->n_in ? in->in_at + k : in->out_at + k - in->n_in]], NULL);
            views[at].data = NULL;
        }
    }
    return b;
}

static void prepare_insts(const AdvPlan *plan, const AdvPlanTarget *t, AdvDiags *ds)
{
    AdvView *views;
    AdvBound *b = bounds_of(plan, t, &views), list = {.kernel = NULL};
    for (uint32_t i = 0; i < t->n_insts; i++) {
        if (b[i].sig.op->flags & ADV_OP_STRUCT) continue;
        CHECK_EQ(adv_backend_fake.prepare(self, &b[i], ds), ADV_OK);
        n_generated += b[i].kernel != NULL;
    }
    for (uint32_t i = 0, n; i < t->n_insts; i += n) {
        for (n = 1; i + n < t->n_insts && t->insts[i + n].with_prev;) n++;
        if (n == 1) continue;
        CHECK_EQ(adv_backend_fake.prepare_list(self, &b[i], n, &list, ds), ADV_OK);
        CHECK(list.kernel != NULL); /* what the compiler makes lists of, this back end runs as one */
        n_lists++;
    }
    free(b);
    free(views);
}

static void add_recipe(const char *path)
{
    Recipe *r = recipe_open(path);
    uint64_t n = 0;
    void *bytes = recipe_plan(r, "cuda", NULL, &n);
    AdvAlloc a = adv_alloc_default();
    AdvDiags *ds = adv_diags_new(a);
    AdvPlan *plan = NULL;
    CHECK(bytes != NULL);
    if (bytes && adv_plan_parse(&a, bytes, n, path, ds, &plan) == ADV_OK && adv_plan_check(plan, &reg, ds) == ADV_OK) {
        const AdvPlanTarget *t = adv_plan_target(plan, "cuda");
        prepare_insts(plan, t, ds);
    }
    CHECK_EQ(ds->n_errors, 0);
    adv_plan_free(plan);
    adv_diags_free(ds);
    if (bytes) recipe_plan_free(bytes, n);
    recipe_free(r);
}

/* ---- compiling ---- */

static char *joined(const AdvCudaBack *b, size_t *out_n)
{
    size_t n = 64;
    for (uint32_t i = 0; i < b->n_texts; i++) n += strlen(b->texts[i].text) + 1;
    char *text = malloc(n);
    *out_n = (size_t)snprintf(text, n, "#include \"ops/cuda/device.cuh\"\n");
    for (uint32_t i = 0; i < b->n_texts; i++) *out_n += (size_t)snprintf(text + *out_n, n - *out_n, "%s\n", b->texts[i].text);
    return text;
}

enum { MAX_HEADERS = 16 };
typedef struct Headers { const char *name[MAX_HEADERS]; char *text[MAX_HEADERS]; int n; } Headers;

static Headers device_headers(void)
{
    Headers r = {.n = 0};
    for (const AdvCudaHeader *h = adv_cuda_headers; h->name && r.n < MAX_HEADERS; h++) {
        size_t n = 1;
        for (uint32_t i = 0; h->lines[i]; i++) n += strlen(h->lines[i]);
        r.name[r.n] = h->name;
        char *text = r.text[r.n++] = calloc(1, n);
        for (uint32_t i = 0, at = 0; h->lines[i]; i++) at += (uint32_t)snprintf(text + at, n - at, "%s", h->lines[i]);
    }
    return r;
}

static void compile_for(const AdvCudaApi *api, const char *text, const Headers *h, int arch)
{
    char option[48];
    size_t n_log = 0, n_code = 0;
    nvrtcProgram p = NULL;
    struct timespec t0, t1;
    snprintf(option, sizeof option, "--gpu-architecture=sm_%d", arch);
    const char *options[] = {option, "--std=c++17", "--fmad=false"};
    clock_gettime(CLOCK_MONOTONIC, &t0);
    CHECK_EQ(api->nvrtcCreateProgram(&p, text, "all.cu", h->n, (const char *const *)h->text, h->name), NVRTC_SUCCESS);
    nvrtcResult r = api->nvrtcCompileProgram(p, 3, options);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    CHECK_EQ(r, NVRTC_SUCCESS);
    CHECK_EQ(api->nvrtcGetProgramLogSize(p, &n_log), NVRTC_SUCCESS);
    char *log = calloc(1, n_log + 1);
    api->nvrtcGetProgramLog(p, log);
    CHECK_STR(log, ""); /* no warning either */
    if (r == NVRTC_SUCCESS) api->nvrtcGetCUBINSize(p, &n_code);
    printf("sm_%d: %.1f s, %zu kB\n", arch, (double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec), n_code / 1024);
    free(log);
    api->nvrtcDestroyProgram(&p);
}

static void test_texts(void)
{
    const AdvCudaBack *b = self;
    AdvCudaApi api = {0};
    size_t n;
    char **names = recipe_all();
    for (uint32_t i = 0; names[i]; i++) add_recipe(names[i]);
    char *text = joined(b, &n);
    Headers h = device_headers();
    printf("%u instructions and %u lists of all recipes, %u kernels, %zu kB of text\n", (unsigned)n_generated, (unsigned)n_lists,
           (unsigned)b->n_texts, n / 1024);
    CHECK(b->n_texts > 0);
    if (adv_cuda_api_load(&api, ADV_CUDA_RTC, NULL, NULL) != ADV_OK) printf("SKIP NVRTC is not there\n");
    else
        for (uint32_t i = 0; i < n_archs; i++) compile_for(&api, text, &h, archs[i]);
    free(text);
    for (int i = 0; i < h.n; i++) free(h.text[i]);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc && i <= 8; i++) archs[i - 1] = atoi(argv[i]), n_archs = (uint32_t)i;
    if (argc > 1) printf("SKIP architectures that were not named: builds without sanitizers compile for all\n");
    AdvBackendOpts o = {.alloc = adv_alloc_default(), .reg = &reg, .n_threads = 1, .io = adv_io_posix()};
    CHECK_EQ(adv_registry_init(&reg, adv_alloc_default()), ADV_OK);
    CHECK_EQ(adv_registry_add_kernels(&reg, made_kernels(), NULL), ADV_OK);
    CHECK_EQ(adv_backend_fake.open(&o, NULL, &self), ADV_OK);
    if (self) RUN(test_texts);
    adv_backend_fake.close(self);
    adv_registry_fini(&reg);
    return ADV_TEST_END();
}
