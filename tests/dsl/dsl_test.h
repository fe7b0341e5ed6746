/* dsl_test.h: what the tests of the front end share: files, parsing with everything it needs, text from writers, a check of
** the tree's own rules. */
#ifndef ADV_TESTS_DSL_TEST_H
#define ADV_TESTS_DSL_TEST_H

#include "dsl/ast.h"
#include "dsl/token.h"
#include "tests/adv_test.h"

#include <dirent.h>
#include <stdlib.h>

typedef struct Text { char *at; size_t n, cap; } Text;

static inline void text_add(void *user, const char *s, size_t n)
{
    Text *t = user;
    if (t->n + n + 1 > t->cap) {
        t->cap = (t->n + n + 1) * 2;
        t->at = realloc(t->at, t->cap);
        if (!t->at) abort();
    }
    memcpy(t->at + t->n, s, n);
    t->n += n;
    t->at[t->n] = 0;
}

static inline void text_free(Text *t)
{
    free(t->at);
    *t = (Text){ 0 };
}

static inline int text_eq(const Text *a, const Text *b) { return a->n == b->n && (a->n == 0 || memcmp(a->at, b->at, a->n) == 0); }

static inline const char *source_root(void)
{
    const char *s = getenv("ADV_SOURCE_ROOT");
    return s ? s : ".";
}

/* The file's bytes; at is NULL when it cannot be read. */
static inline Text read_text(const char *path)
{
    Text t = { 0 };
    char buf[4096];
    FILE *f = fopen(path, "rb");
    if (!f) return t;
    text_add(&t, "", 0);
    for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;) text_add(&t, buf, n);
    fclose(f);
    return t;
}

static inline int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Paths of all files *.adv in `folder` (below the source root), sorted, ended by NULL. */
static inline char **adv_files(const char *folder)
{
    char path[1024], **list = calloc(256, sizeof *list);
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s", source_root(), folder);
    DIR *d = opendir(path);
    if (!list) abort();
    for (struct dirent *e; d && n < 255 && (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len < 5 || strcmp(e->d_name + len - 4, ".adv") != 0) continue;
        list[n] = malloc(strlen(path) + len + 2);
        if (!list[n]) abort();
        sprintf(list[n++], "%s/%s", path, e->d_name);
    }
    if (d) closedir(d);
    qsort(list, n, sizeof *list, by_name);
    return list;
}

static inline void files_free(char **list)
{
    for (char **p = list; *p; p++) free(*p);
    free(list);
}

typedef struct Parsed {
    AdvDiags *ds;
    AdvArena arena;
    AdvInterns names;
    Ast *t;
    jmp_buf trap;
} Parsed;

static inline void parse_text(Parsed *p, const char *name, const char *text, size_t n)
{
    p->ds = adv_diags_new(adv_alloc_default());
    adv_arena_init(&p->arena, adv_alloc_default());
    p->arena.trap = &p->trap;
    if (!p->ds || setjmp(p->trap)) abort(); /* the tests have memory */
    adv_interns_init(&p->names, &p->arena);
    p->t = adv_parse(&p->arena, &p->names, p->ds, adv_sources_add(&p->ds->sources, name, text, n));
}

static inline void parse_free(Parsed *p)
{
    adv_diags_free(p->ds);
    adv_arena_fini(&p->arena);
}

static inline Text dump_of(const Parsed *p)
{
    Text t = { 0 };
    ast_dump(p->t, text_add, &t);
    return t;
}

static inline Text print_of(const Parsed *p)
{
    Text t = { 0 };
    ast_print(p->t, &p->ds->sources, text_add, &t);
    return t;
}

/* What holds for every tree: extents inside the file, children inside their parents and in order, no node reached twice, no
** deeper than promised. Returns the number of nodes reached, or 0. */
static inline uint32_t tree_nodes(const Parsed *p, AstId id, uint32_t depth, unsigned char *seen)
{
    const AstNode *n = ast(p->t, id);
    uint32_t size = p->ds->sources.files.at[p->t->file - 1].n_bytes, total = 1, last = 0;
    if (id.i == 0 || id.i >= p->t->nodes.n || seen[id.i] || depth > ADV_MAX_TREE_HEIGHT + 8) return 0;
    seen[id.i] = 1;
    if (n->kind == AST_NONE || n->kind >= AST_KIND_COUNT || n->span.off > size || n->span.len > size - n->span.off) return 0;
    if (n->key.off < n->span.off || n->key.off + n->key.len > n->span.off + n->span.len) return 0;
    for (AstId c = n->first; c.i; c = ast(p->t, c)->next) {
        const AstNode *k = ast(p->t, c);
        if (k->span.off < n->span.off || k->span.off + k->span.len > n->span.off + n->span.len || k->span.off < last) return 0;
        last = k->span.off;
        uint32_t below = tree_nodes(p, c, depth + 1, seen);
        if (!below) return 0;
        total += below;
    }
    return total;
}

static inline int tree_is_sound(const Parsed *p)
{
    unsigned char *seen = calloc(p->t->nodes.n, 1);
    if (!seen) abort();
    uint32_t n = tree_nodes(p, p->t->root, 0, seen);
    free(seen);
    return n > 0;
}

#endif
