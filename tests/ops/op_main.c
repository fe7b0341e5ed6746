/* op_main.c: runs every line of tests/ops that ends in .case through the suite, and demands that every op has one. */
#include "op_main.h"

#include "op_suite.h"
#include "ops/plugin.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILES 64
#define MAX_LINE  4096

typedef struct Count {
    int passed, failed;
} Count;

/* One line of `name`; marks the op it names. */
static void run_line(Suite *s, const char *name, int at, const char *line, bool *is_named, Count *n)
{
    OpCase c;
    char msg[256];
    adv_arena_fini(&s->arena);
    adv_arena_init(&s->arena, adv_alloc_default());
    if (!case_parse(&c, &s->arena, &s->reg, name, at, line, msg, sizeof msg)) {
        if (msg[0]) printf("%s:%d: %s\n", name, at, msg), n->failed++;
        return;
    }
    for (uint32_t i = 0; i < s->reg.n_ops; i++) is_named[i] |= s->reg.ops[i] == c.op && !c.refuse;
    if (at % s->every != s->part) return;
    if (suite_case(s, &c))
        n->failed++;
    else
        n->passed++;
}

/* One .case file. */
static void run_file(Suite *s, const char *folder, const char *name, bool *is_named, Count *n)
{
    char path[512], line[MAX_LINE];
    FILE *f;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "r");
    if (!f) {
        printf("%s: cannot be read\n", path);
        n->failed++;
        return;
    }
    for (int at = 1; fgets(line, sizeof line, f); at++) run_line(s, name, at, line, is_named, n);
    fclose(f);
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static void run_files(Suite *s, bool *is_named, Count *n)
{
    static char names[MAX_FILES][128];
    char folder[400];
    const char *root = getenv("ADV_SOURCE_ROOT");
    struct dirent *e;
    uint32_t n_files = 0;
    DIR *d;
    snprintf(folder, sizeof folder, "%s/tests/ops", root ? root : ".");
    d = opendir(folder);
    while (d && (e = readdir(d))) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".case") != 0 || strlen(e->d_name) >= sizeof names[0]) continue;
        if (n_files < MAX_FILES) strcpy(names[n_files++], e->d_name);
    }
    if (d) closedir(d);
    if (n_files == 0 || n_files == MAX_FILES) printf("%s: %u case files\n", folder, (unsigned)n_files), n->failed++;
    qsort(names, n_files, sizeof names[0], by_text);
    for (uint32_t i = 0; i < n_files; i++) run_file(s, folder, names[i], is_named, n);
    for (const AdvLoaded *p = s->reg.plugins; p; p = p->next)
        for (int i = 0; p->table->cases[i]; i++) run_line(s, p->name, i + 1, p->table->cases[i], is_named, n);
}

/* All cases once to prepare their kernels; then they are made ready together. */
static void prepare_all(Suite *s, bool *is_named, Count *n)
{
    Count dry = {0, 0};
    suite_device_begin(s->dev);
    run_files(s, is_named, &dry);
    n->failed += dry.failed;
    if (!suite_device_ready(s->dev)) printf("the kernels are not made\n"), n->failed++;
}

/* Rows of a plugin go through every back end as ours do. */
static void load_plugin(AdvRegistry *reg, Count *n)
{
    const char *path = getenv("ADV_TEST_ROWS");
    const AdvLoaded *p;
    AdvPluginFault fault;
    if (!path) printf("SKIP rows of a plugin: ADV_TEST_ROWS does not name it\n");
    else if (adv_plugin_load(reg, NULL, path, NULL, 0, &fault, &p) != ADV_OK) printf("%s\n", fault.text), n->failed++;
}

int op_main(const char *backend, const AdvKernel *const *kernels, SuiteDevice *dev)
{
    const char *every = getenv("ADV_TEST_EVERY"), *part = getenv("ADV_TEST_PART");
    Suite s = {.backend = backend, .dev = dev, .every = every ? atoi(every) : 1, .without = getenv("ADV_TEST_WITHOUT")};
    Count n = {0, 0};
    static bool is_named[1024];
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    if (s.every < 1) s.every = 1;
    s.part = part ? atoi(part) : 0;
    if (s.every > 1) printf("SKIP all but one in %d cases: ADV_TEST_EVERY, where each takes long or others run the rest\n", s.every);
    if (s.without) printf("SKIP kernels named in ADV_TEST_WITHOUT: %s\n", s.without);
    adv_arena_init(&s.arena, adv_alloc_default());
    if (adv_registry_init(&s.reg, adv_alloc_default()) != ADV_OK || s.reg.n_ops > 1024)
        printf("the registry refuses a built-in op\n"), n.failed++;
    if (kernels && adv_registry_add_kernels(&s.reg, kernels, ds) != ADV_OK) {
        printf("the registry refuses a kernel: %s\n", ds && ds->list.n ? ds->list.at[0]->message : "");
        n.failed++;
    }
    load_plugin(&s.reg, &n);
    if (dev) prepare_all(&s, is_named, &n);
    if (n.failed == 0 || !dev) run_files(&s, is_named, &n);
    for (uint32_t i = 0; i < s.reg.n_ops; i++) {
        if (is_named[i] || (s.reg.ops[i]->flags & ADV_OP_STRUCT)) continue;
        printf("no case names `%s`\n", s.reg.ops[i]->name);
        n.failed++;
    }
    if (kernels && s.n_kernel_runs == 0) printf("no kernel was run\n"), n.failed++;
    if (kernels) printf("%u kernel runs\n", (unsigned)s.n_kernel_runs);
    adv_arena_fini(&s.arena);
    adv_registry_fini(&s.reg);
    adv_diags_free(ds);
    printf("%d passed, %d failed\n", n.passed, n.failed);
    return n.failed != 0;
}
