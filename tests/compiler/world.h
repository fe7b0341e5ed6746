/* world.h: what a test of the compiler's back needs to begin: arenas with a trap, names, registry, and graphs from text. */
#ifndef ADV_TESTS_WORLD_H
#define ADV_TESTS_WORLD_H

#include "compiler/graph/graph.h"
#include "compiler/pass/pass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct World {
    AdvArena arena, scratch;
    AdvInterns names;
    AdvRegistry reg;
    AdvDiags *diags;
    jmp_buf trap;
} World;

static inline void world_write(void *user, const char *text, size_t n) { fwrite(text, 1, n, user); }

/* A trap that is sprung ends the test program: these tests do not run out of memory. */
static inline World *world_new(void)
{
    World *w = calloc(1, sizeof *w);
    if (!w) abort();
    AdvAlloc a = adv_alloc_default();
    adv_arena_init(&w->arena, a);
    adv_arena_init(&w->scratch, a);
    if (setjmp(w->trap)) abort();
    w->arena.trap = w->scratch.trap = &w->trap;
    w->diags = adv_diags_new(a);
    adv_interns_init(&w->names, &w->arena);
    if (adv_registry_init(&w->reg, a) != ADV_OK) abort();
    return w;
}

static inline void world_free(World *w)
{
    adv_registry_fini(&w->reg);
    adv_diags_free(w->diags);
    adv_arena_fini(&w->arena);
    adv_arena_fini(&w->scratch);
    free(w);
}

/* NULL after printing why not. */
static inline AdvGraph *world_read(World *w, const char *name, const char *text)
{
    uint32_t file = adv_sources_add(&w->diags->sources, name, text, strlen(text));
    AdvGraph *g = adv_graph_read(&w->arena, &w->reg, &w->names, w->diags, file);
    if (g && adv_graph_verify(g, true) != ADV_OK) g = NULL;
    if (!g) adv_diags_print_human(w->diags, 0, world_write, stdout);
    return g;
}

static inline AdvPassCtx world_pass(World *w, const char *target)
{
    AdvPassCtx p = {.arena = &w->arena, .scratch = &w->scratch, .diags = w->diags};
    p.target = adv_target_find(target);
    return p;
}

#endif
