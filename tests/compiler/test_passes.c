/* test_passes.c: each file NAME.advg of tests/ir is a graph, the passes to run on it, and what must come out:
**
**   # RUN: simplify,dce            or, for passes of the target part, # RUN: cpu@layout,cse
**   ...graph...
**   # EXPECT                       or: # EXPECT-ERROR 2401 (as many lines as errors; then nothing follows)
**   ...graph as printed...
**
** Every pass runs with the verifier and the round trip through text on. `test_passes --bless` writes what came out behind
** # EXPECT, to be reviewed like code. Files of other parts (their passes are in the list too) follow the same form.
*/
#include "tests/adv_test.h"
#include "tests/compiler/setup.h"

#include <dirent.h>
#include <stdlib.h>

#define MAX_FILES 256

static char *read_whole(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    if (!to) abort();
    for (int c; (c = fgetc(f)) != EOF;) fputc(c, to);
    fclose(to);
    fclose(f);
    return text;
}

static void bless(const char *path, const char *text, const char *mark, const char *got)
{
    FILE *f = fopen(path, "wb");
    if (!f) return;
    fwrite(text, 1, (size_t)(mark - text), f);
    fprintf(f, "# EXPECT\n%s", got);
    fclose(f);
    printf("blessed %s\n", path);
}

/* The expected errors, each once. */
static void check_errors(const Setup *s, const char *mark)
{
    uint32_t n = 0;
    for (; mark; mark = strstr(mark + 1, "# EXPECT-ERROR "), n++) {
        int code = atoi(mark + strlen("# EXPECT-ERROR "));
        bool found = false;
        for (uint32_t i = 0; i < s->diags->list.n; i++) found = found || adv_diag_defs[s->diags->list.at[i]->id].code == code;
        CHECK(found);
    }
    CHECK_EQ(s->diags->list.n, n);
}

static void check_file(const char *path, bool blesses)
{
    char *text = read_whole(path), passes[200] = "";
    if (!text || strncmp(text, "# RUN: ", 7) != 0 || sscanf(text + 7, "%199[^\n]", passes) != 1) {
        printf("%s: no `# RUN:` line\n", path);
        CHECK(!"a test file");
        free(text);
        return;
    }
    const char *errors = strstr(text, "# EXPECT-ERROR "), *mark = errors ? errors : strstr(text, "# EXPECT\n");
    if (!mark) mark = text + strlen(text);
    Setup *s = setup_new();
    AdvGraph *g = setup_read(s, path, text, (size_t)(mark - text));
    AdvStatus st = g ? adv_graph_verify(g, false) : ADV_ERECIPE;
    if (st == ADV_OK) st = setup_run(s, &g, passes);
    if (errors) check_errors(s, errors);
    else if (st != ADV_OK) {
        CHECK_EQ(st, ADV_OK);
        setup_show(s);
    } else {
        char *got = setup_print(g, false);
        const char *want = *mark ? mark + strlen("# EXPECT\n") : "";
        if (blesses && strcmp(got, want) != 0) bless(path, text, mark, got);
        else if (strcmp(got, want) != 0) {
            printf("%s: got\n%s", path, got);
            CHECK(!"the expected graph");
        }
        free(got);
    }
    setup_free(s);
    free(text);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static const char *path_of_case;
static bool blesses_cases;
static void one_case(void) { check_file(path_of_case, blesses_cases); }

int main(int argc, char **argv)
{
    static char names[MAX_FILES][256];
    char dir[512], path[800];
    const char *root = getenv("ADV_SOURCE_ROOT");
    size_t n = 0;
    snprintf(dir, sizeof dir, "%s/tests/ir", root ? root : ".");
    blesses_cases = argc > 1 && strcmp(argv[1], "--bless") == 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d)) && n < MAX_FILES;) {
        size_t len = strlen(e->d_name);
        if (len > 5 && len < sizeof names[0] && strcmp(e->d_name + len - 5, ".advg") == 0) strcpy(names[n++], e->d_name);
    }
    if (d) closedir(d);
    qsort(names, n, sizeof names[0], by_name);
    if (n == 0) printf("no files in %s\n", dir);
    for (size_t i = 0; i < n; i++) {
        int before = test_n_failed;
        snprintf(path, sizeof path, "%s/%.*s", dir, (int)sizeof names[0] - 1, names[i]);
        path_of_case = path;
        RUN(one_case);
        if (test_n_failed > before) printf("  in %s\n", path);
    }
    return ADV_TEST_END() || n == 0;
}
