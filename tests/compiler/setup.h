/* setup.h: what a test of graphs and passes begins with: arenas with a trap, names, registry, diagnostics; text to graph and
** back; running passes with every check on.
*/
#ifndef ADV_TESTS_SETUP_H
#define ADV_TESTS_SETUP_H

#include "compiler/pass/pass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Setup {
    AdvArena arena, scratch;
    AdvInterns names;
    AdvRegistry reg;
    AdvDiags *diags;
    jmp_buf trap;
} Setup;

static inline Setup *setup_new(void)
{
    Setup *s = calloc(1, sizeof *s);
    AdvAlloc a = adv_alloc_default();
    if (!s) abort();
    adv_arena_init(&s->arena, a);
    adv_arena_init(&s->scratch, a);
    if (setjmp(s->trap)) abort(); /* these tests do not run out of memory */
    s->arena.trap = s->scratch.trap = &s->trap;
    s->diags = adv_diags_new(a);
    adv_interns_init(&s->names, &s->arena);
    if (!s->diags || adv_registry_init(&s->reg, a) != ADV_OK) abort();
    return s;
}

static inline void setup_free(Setup *s)
{
    adv_registry_fini(&s->reg);
    adv_diags_free(s->diags);
    adv_arena_fini(&s->arena);
    adv_arena_fini(&s->scratch);
    free(s);
}

static inline AdvGraph *setup_graph(Setup *s) { return adv_graph_new(&s->arena, &s->reg, &s->names, s->diags); }

static inline void setup_write(void *user, const char *text, size_t n) { fwrite(text, 1, n, user); }

static inline void setup_show(const Setup *s) { adv_diags_print_short(s->diags, setup_write, stdout); }

/* NULL after errors; they stay in s->diags. */
static inline AdvGraph *setup_read(Setup *s, const char *name, const char *text, size_t n)
{
    uint32_t file = adv_sources_add(&s->diags->sources, name, text, n);
    return adv_graph_read(&s->arena, &s->reg, &s->names, s->diags, file);
}

/* The graph's text, to be freed. */
static inline char *setup_print(const AdvGraph *g, bool with_locs)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) abort();
    adv_graph_print(g, with_locs, setup_write, f);
    fclose(f);
    return text;
}

/* Runs the passes, each verified and sent through its own text. "cuda@layout,cse" runs them for a target. */
static inline AdvStatus setup_run(Setup *s, AdvGraph **g, const char *passes)
{
    AdvPassCtx p = {.arena = &s->arena, .scratch = &s->scratch, .diags = s->diags};
    AdvPipeOpts o = {.verify_each = true, .round_trip = true};
    size_t n_target = strcspn(passes, "@");
    char target[32];
    if (passes[n_target] == '@') {
        snprintf(target, sizeof target, "%.*s", (int)n_target, passes);
        p.target = adv_target_find(target);
        if (!p.target) abort();
        passes += n_target + 1;
    }
    return adv_run_passes(&p, g, passes, &o);
}

/* How often a diagnostic was given. */
static inline uint32_t setup_count(const Setup *s, AdvDiagId id)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->diags->list.n; i++) n += s->diags->list.at[i]->id == id;
    return n;
}

#endif
