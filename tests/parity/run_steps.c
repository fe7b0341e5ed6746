/* run_steps: runs entries of a plan one after the other on given states and batches, and writes every state after each.
**
**   run_steps PLAN FIXTURE OUT_DIR BACKEND TARGET ENTRY...
**
** FIXTURE is a container: a blob `state.NAME` is written into state NAME before the first run, a blob `step.K.NAME` before
** run K (0..), which is of the K-th entry named. Everything passes as it is stored: doubles stay doubles on target ref64. Epoch
** and step are states like others (run.epoch, run.step). After run K all states but data go to OUT_DIR/step-K.safetensors,
** floats as f64 and integers as i64. What a fixture names and the plan lacks is an error.
*/
#include "runtime/adv.h"
#include "runtime/base/container.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STATES 4096

enum { FIRST_ENTRY = 6 }; /* among the arguments */

typedef struct Run {
    AdvCtx *ctx;
    AdvDiags *ds;
    AdvPlan *plan;
    AdvSession *session;
    AdvArena arena;
    AdvContainer fixture;
} Run;

static void to_stderr(void *user, const char *text, size_t n_bytes)
{
    (void)user;
    fwrite(text, 1, n_bytes, stderr);
}

/* A dense row-order window of the shape given on `data`. */
static AdvView dense(uint8_t dtype, uint8_t rank, const int64_t *dim, void *data)
{
    AdvView v = {0};
    int64_t stride = 1;
    v.dtype = dtype;
    v.rank = rank;
    v.data = data;
    for (int d = rank - 1; d >= 0; d--) {
        v.dim[d] = dim[d];
        v.stride[d] = stride;
        stride *= dim[d];
    }
    return v;
}

/* Writes every blob `prefix`NAME of the fixture into state NAME. */
static AdvStatus write_states(Run *r, const char *prefix)
{
    for (uint32_t i = 0; i < r->fixture.n_blobs; i++) {
        const AdvBlob *b = &r->fixture.blobs[i];
        if (strncmp(b->name, prefix, strlen(prefix)) != 0) continue;
        if (b->rank > ADV_MAX_RANK) return ADV_EDATA;
        /* The session copies from it and does not keep it, so the const may go. */
        void *data = adv_arena_new(&r->arena, b->n_bytes);
        if (!data) return ADV_ENOMEM;
        memcpy(data, b->data, b->n_bytes);
        AdvView v = dense(b->dtype, b->rank, b->dim, data);
        ADV_TRY(adv_session_write(r->session, b->name + strlen(prefix), &v, r->ds));
    }
    return ADV_OK;
}

static AdvStatus dump_states(Run *r, const char *dir, int64_t step)
{
    AdvBlob *blobs = adv_arena_array(&r->arena, MAX_STATES, sizeof *blobs);
    uint32_t n = 0;
    int32_t kind, is_saved;
    const char *name;
    if (!blobs) return ADV_ENOMEM;
    for (uint32_t ix = 0; (name = adv_session_state(r->session, ix, &kind, &is_saved)) != NULL; ix++) {
        AdvTensorType t;
        if (kind == ADV_STATE_DATA) continue;
        if (n == MAX_STATES) return ADV_EINVAL;
        ADV_TRY(adv_session_type(r->session, name, &t));
        bool is_int = t.dtype == ADV_I32 || t.dtype == ADV_I64 || t.dtype == ADV_U8;
        AdvBlob *b = &blobs[n++];
        b->name = name;
        b->dtype = is_int ? ADV_I64 : ADV_F64;
        b->rank = t.rank;
        b->n_bytes = 8;
        for (int d = 0; d < t.rank; d++) {
            b->dim[d] = t.dim[d];
            b->n_bytes *= (uint64_t)t.dim[d];
        }
        void *data = adv_arena_new(&r->arena, b->n_bytes);
        if (!data) return ADV_ENOMEM;
        AdvView v = dense(b->dtype, t.rank, t.dim, data);
        b->data = data;
        ADV_TRY(adv_session_read(r->session, name, &v, r->ds));
    }
    char path[4096];
    AdvAlloc alloc = adv_alloc_default();
    snprintf(path, sizeof path, "%s/step-%lld.safetensors", dir, (long long)step);
    return adv_container_write(adv_io_posix(), &alloc, path, blobs, n, NULL, 0, r->ds);
}

static AdvStatus run(Run *r, int argc, char **argv)
{
    AdvAlloc alloc = adv_alloc_default();
    AdvSessionOpts opts = {.struct_size = sizeof opts, .backend = argv[4], .target = argv[5], .n_threads = 1};
    void *bytes;
    uint64_t n_bytes;
    ADV_TRY(adv_ctx_new(NULL, &r->ctx));
    ADV_TRY(adv_diags_open(r->ctx, &r->ds));
    ADV_TRY(adv_read_file(adv_io_posix(), &alloc, argv[2], UINT64_C(1) << 32, r->ds, &bytes, &n_bytes));
    AdvStatus st = adv_container_parse(&r->arena, bytes, n_bytes, argv[2], r->ds, &r->fixture);
    if (st == ADV_OK) st = adv_plan_open(r->ctx, argv[1], r->ds, &r->plan);
    if (st == ADV_OK) st = adv_session_open(r->ctx, r->plan, &opts, r->ds, &r->session);
    if (st == ADV_OK) st = write_states(r, "state.");
    for (int k = 0; st == ADV_OK && k < argc - FIRST_ENTRY; k++) {
        char prefix[32];
        AdvArenaMark mark = adv_arena_mark(&r->arena);
        snprintf(prefix, sizeof prefix, "step.%d.", k);
        st = write_states(r, prefix);
        if (st == ADV_OK) st = adv_session_run(r->session, argv[FIRST_ENTRY + k], r->ds);
        if (st == ADV_OK) st = dump_states(r, argv[3], k);
        adv_arena_release(&r->arena, mark);
    }
    adv_mem_free(&alloc, bytes, n_bytes + 1);
    return st;
}

int main(int argc, char **argv)
{
    if (argc <= FIRST_ENTRY) {
        fputs("usage: run_steps PLAN FIXTURE OUT_DIR BACKEND TARGET ENTRY...\n", stderr);
        return 64;
    }
    Run r = {0};
    adv_arena_init(&r.arena, adv_alloc_default());
    AdvStatus st = run(&r, argc, argv);
    adv_diags_render(r.ds, ADV_PRINT_HUMAN, to_stderr, NULL);
    adv_session_close(r.session);
    adv_plan_close(r.plan);
    adv_diags_free(r.ds);
    adv_ctx_free(r.ctx);
    adv_arena_fini(&r.arena);
    if (st != ADV_OK) fprintf(stderr, "run_steps: %s\n", adv_status_name(st));
    return adv_status_exit(st);
}
