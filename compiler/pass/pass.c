/* pass.c: runs the pipeline of passes.def. What is common to passes is here: verifying, dumping, timing, the round trip
** through text, and catching a pass that changes the graph and says that it did not.
*/
#include "compiler/pass/pass_list.h"
#include "runtime/base/hash.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#define MAX_ROUNDS 32 /* of the fixpoint: far above what is needed, each round shrinks the graph */

const AdvPassDef adv_passes[] = {
#define PASS(name, stage, doc) {#name, adv_pass_##name, stage, doc},
#include "compiler/pass/passes.def"
#undef PASS
    {NULL, NULL, 0, NULL},
};

typedef struct Search { AdvGraph *g; const char *op; bool found; } Search;

static bool search_node(void *user, AdvRegionId r, AdvNodeId n)
{
    Search *s = user;
    (void)r;
    s->found = adv_node_is(s->g, n, s->op);
    return !s->found;
}

bool adv_graph_has(AdvGraph *g, const char *op)
{
    Search s = {g, op, false};
    adv_graph_each(g, search_node, &s);
    return s.found;
}

typedef struct Run {
    AdvPassCtx *p;
    AdvGraph **g;
    const AdvPipeOpts *o;
    bool no_grad;   /* autodiff has run */
    bool stopped;   /* after o->stop_after */
    uint32_t n_errors; /* when the run began */
} Run;

/* ---- text of a graph ------------------------------------------------------------------------------------------- */

static void hash_piece(void *user, const char *text, size_t n)
{
    uint64_t *h = user;
    *h = adv_hash_bytes(*h, text, n);
}

static uint64_t graph_hash(const AdvGraph *g)
{
    uint64_t h = ADV_HASH_START;
    adv_graph_print(g, false, hash_piece, &h);
    return h;
}

typedef struct Text { AdvArena *arena; ADV_VEC(char) s; } Text;

static void text_piece(void *user, const char *text, size_t n)
{
    Text *t = user;
    for (size_t i = 0; i < n; i++) *ADV_PUSH(t->arena, &t->s) = text[i];
}

/* Replaces the graph by what its own text reads back to, and demands that this prints the same. */
static AdvStatus round_trip(Run *r, const char *pass)
{
    AdvDiags *ds = r->p->diags;
    Text before = {.arena = r->p->scratch}, after = {.arena = r->p->scratch};
    adv_graph_print(*r->g, true, text_piece, &before);
    uint32_t file =
        adv_sources_need(&ds->sources, r->p->scratch, adv_arena_printf(r->p->scratch, "after-%s.advg", pass), before.s.at, before.s.n);
    AdvGraph *back = adv_graph_read((*r->g)->arena, (*r->g)->reg, (*r->g)->names, ds, file);
    AdvSpan none = {0, 0, 0};
    if (back) {
        adv_graph_print(back, true, text_piece, &after);
        if (after.s.n == before.s.n && memcmp(after.s.at, before.s.at, before.s.n) == 0) {
            *r->g = back;
            return ADV_OK;
        }
    }
    adv_diag(ds, ADV_D_INTERNAL, none, "the text of the graph after pass `%s` does not read back as it was", pass);
    return ADV_EINTERNAL;
}

/* ---- one pass -------------------------------------------------------------------------------------------------- */

/* Is `name` in the comma-separated list? */
static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (; list && *list; list += strcspn(list, ","), list += *list == ',') {
        if (strcspn(list, ",") == n && memcmp(list, name, n) == 0) return true;
    }
    return false;
}

static int64_t now_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) return 0;
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void put_time(const AdvPipeOpts *o, const char *pass, int64_t ns, bool progress)
{
    char line[96];
    if (!o->time_write) return;
    int n = snprintf(line, sizeof line, "%-10s %9.3f ms%s\n", pass, (double)ns / 1e6, progress ? "" : "  no change");
    o->time_write(o->time_user, line, (size_t)n);
}

static void put_dump(const AdvPipeOpts *o, const char *pass, const AdvGraph *g)
{
    char line[64];
    int n = snprintf(line, sizeof line, "# after %s\n", pass);
    o->dump(o->dump_user, line, (size_t)n);
    adv_graph_print(g, false, o->dump, o->dump_user);
}

static AdvStatus run_pass(Run *r, const AdvPassDef *d, bool *out_progress)
{
    const AdvPipeOpts *o = r->o;
    bool check = o->verify_each;
#ifdef ADV_CHECK_EACH_PASS /* builds with debug information: meson.build. It costs five times what the passes do */
    check = true;
#endif
    *out_progress = false;
    if (r->stopped || listed(o->skip, d->name)) return ADV_OK;
    uint64_t before = check ? graph_hash(*r->g) : 0;
    AdvArenaMark mark = adv_arena_mark(r->p->scratch);
    int64_t t0 = now_ns();
    bool progress = d->run(r->p, *r->g);
    if (o->time_passes) put_time(o, d->name, now_ns() - t0, progress);
    adv_arena_release(r->p->scratch, mark);
    if (strcmp(d->name, "autodiff") == 0) r->no_grad = true;
    if (r->p->diags->n_errors > r->n_errors) return ADV_ERECIPE;
    if (check) {
        AdvSpan none = {0, 0, 0};
        if (!progress && graph_hash(*r->g) != before) {
            adv_diag(r->p->diags, ADV_D_INTERNAL, none, "pass `%s` changed the graph and reports that it did not", d->name);
            return ADV_EINTERNAL;
        }
        if (adv_graph_verify(*r->g, r->no_grad) != ADV_OK) return adv_fail_while(r->p->diags, ADV_EINTERNAL, "after pass `%s`", d->name);
    }
    if (o->round_trip) {
        AdvStatus st = round_trip(r, d->name);
        adv_arena_release(r->p->scratch, mark);
        ADV_TRY(st);
    }
    if (o->dump && progress) put_dump(o, d->name, *r->g);
    if (o->stop_after && strcmp(o->stop_after, d->name) == 0) r->stopped = true;
    *out_progress = progress;
    return ADV_OK;
}

/* ---- the pipeline ---------------------------------------------------------------------------------------------- */

static AdvStatus run_stage(Run *r, uint32_t stage, bool *out_progress)
{
    *out_progress = false;
    for (const AdvPassDef *d = adv_passes; d->name; d++) {
        bool progress;
        if (d->stage != stage) continue;
        ADV_TRY(run_pass(r, d, &progress));
        *out_progress = *out_progress || progress;
    }
    return ADV_OK;
}

/* FIX to a fixpoint, HOIST, and both again while hoisting opens something. */
static AdvStatus clean(Run *r)
{
    bool hoisted = true;
    for (uint32_t round = 0; hoisted && round < MAX_ROUNDS; round++) {
        bool fixed = true;
        for (uint32_t k = 0; fixed && k < MAX_ROUNDS; k++) ADV_TRY(run_stage(r, ADV_STAGE_FIX, &fixed));
        ADV_TRY(run_stage(r, ADV_STAGE_HOIST, &hoisted));
    }
    return ADV_OK;
}

static const AdvPassDef *find_pass(const char *name, size_t n)
{
    for (const AdvPassDef *d = adv_passes; d->name; d++) {
        if (strlen(d->name) == n && memcmp(d->name, name, n) == 0) return d;
    }
    return NULL;
}

/* The passes of the list whose stage is in `stages` (a set of bits). */
static AdvStatus run_list(Run *r, const char *names, uint32_t stages)
{
    for (const char *at = names; *at; at += strcspn(at, ","), at += *at == ',') {
        const AdvPassDef *d = find_pass(at, strcspn(at, ","));
        bool progress;
        if (!d) return adv_fail(r->p->diags, ADV_EINVAL, ADV_D_OPTION, "there is no pass `%.*s`", (int)strcspn(at, ","), at);
        if (stages >> d->stage & 1u) ADV_TRY(run_pass(r, d, &progress));
    }
    return ADV_OK;
}

static Run begin(AdvPassCtx *p, AdvGraph **g, const AdvPipeOpts *o, bool no_grad)
{
    assert(p->scratch && p->scratch != (*g)->arena && p->scratch->trap && p->diags);
    Run r = {.p = p, .g = g, .o = o, .no_grad = no_grad, .n_errors = p->diags->n_errors};
    return r;
}

#define COMMON_STAGES (1u << ADV_STAGE_COMMON | 1u << ADV_STAGE_FIX | 1u << ADV_STAGE_HOIST | 1u << ADV_STAGE_PEEL)
#define TARGET_STAGES (1u << ADV_STAGE_TARGET | 1u << ADV_STAGE_FUSE | 1u << ADV_STAGE_ORDER)

AdvStatus adv_run_def(AdvPassCtx *p, AdvGraph **g, const AdvPassDef *d, bool no_grad, const AdvPipeOpts *o)
{
    Run r = begin(p, g, o, no_grad);
    bool progress;
    return run_pass(&r, d, &progress);
}

AdvStatus adv_run_passes(AdvPassCtx *p, AdvGraph **g, const char *names, const AdvPipeOpts *o)
{
    static const AdvPipeOpts none;
    Run r = begin(p, g, o ? o : &none, false);
    return run_list(&r, names, COMMON_STAGES | TARGET_STAGES);
}

AdvStatus adv_run_common(AdvPassCtx *p, AdvGraph **g, const AdvPipeOpts *o)
{
    Run r = begin(p, g, o, false);
    bool progress;
    if (o->only) return run_list(&r, o->only, COMMON_STAGES);
    ADV_TRY(run_stage(&r, ADV_STAGE_COMMON, &progress));
    ADV_TRY(clean(&r));
    ADV_TRY(run_stage(&r, ADV_STAGE_PEEL, &progress));
    return progress ? clean(&r) : ADV_OK;
}

AdvStatus adv_run_target(AdvPassCtx *p, AdvGraph **g, const AdvTarget *t, const AdvPipeOpts *o)
{
    Run r = begin(p, g, o, true);
    bool progress;
    p->target = t;
    if (o->only) return run_list(&r, o->only, TARGET_STAGES);
    ADV_TRY(run_stage(&r, ADV_STAGE_TARGET, &progress));
    ADV_TRY(clean(&r));
    ADV_TRY(run_stage(&r, ADV_STAGE_FUSE, &progress));
    if (progress) ADV_TRY(run_list(&r, "dce", COMMON_STAGES));
    return run_stage(&r, ADV_STAGE_ORDER, &progress);
}
