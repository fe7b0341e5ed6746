/* fuzz_checkpoint.c: damaged checkpoints under a right digest and manifest. Resuming from one either fails and leaves the
** session as it was, or gives a session that trains to its end.
**
** The run folder is in memory: every folder of it holds the input as its state file, and a manifest that fits.
*/
#include "tests/base/fault_io.h"
#include "tests/base/scratch.h"
#include "tests/fuzz/blobs.h"
#include "tests/runtime/toy.h"

enum { FIRST_FD = 1000, N_FDS = 8, STEPS = TOY_EPOCHS * TOY_STEPS };

/* What is read: `n` bytes for each open file. */
typedef struct Disk {
    const void *state;
    size_t n_state;
    char manifest[256];
    struct { const char *data; size_t n, at; } fds[N_FDS];
} Disk;

static bool ends(const char *path, const char *with)
{
    size_t n = strlen(path), m = strlen(with);
    return n >= m && strcmp(path + n - m, with) == 0;
}

static int disk_open(void *user, const char *path, int flags, int mode)
{
    Disk *d = user;
    (void)flags, (void)mode;
    for (int i = 0; i < N_FDS; i++) {
        if (d->fds[i].data) continue;
        d->fds[i].at = 0;
        d->fds[i].data = ends(path, "/LATEST") ? "ckpt-00000007\n" : ends(path, "/MANIFEST.json") ? d->manifest : d->state;
        d->fds[i].n = d->fds[i].data == d->state ? d->n_state : strlen(d->fds[i].data);
        return FIRST_FD + i;
    }
    return -EMFILE;
}

static int64_t disk_read(void *user, int fd, void *to, size_t n)
{
    Disk *d = user;
    size_t left = d->fds[fd - FIRST_FD].n - d->fds[fd - FIRST_FD].at;
    if (n > left) n = left;
    memcpy(to, d->fds[fd - FIRST_FD].data + d->fds[fd - FIRST_FD].at, n);
    d->fds[fd - FIRST_FD].at += n;
    return (int64_t)n;
}

static int disk_close(void *user, int fd)
{
    ((Disk *)user)->fds[fd - FIRST_FD].data = NULL;
    return 0;
}

static int64_t disk_size(void *user, int fd) { return (int64_t)((Disk *)user)->fds[fd - FIRST_FD].n; }

static Disk disk;
static AdvIo disk_io;
static AdvCtx *ctx;
static AdvPlan *plan;
static ToyBytes plan_bytes;
static ToyData data_set;

static AdvSession *session_new(AdvDiags *ds)
{
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "ref", .n_threads = 1};
    AdvSession *s;
    MUST(adv_session_open(ctx, plan, &o, ds, &s) == ADV_OK && toy_bind(s, &data_set, ds) == ADV_OK);
    return s;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_option(argc, argv, "-max_len=32768");
    disk_io = *adv_io_posix();
    disk_io.user = &disk;
    disk_io.open = disk_open;
    disk_io.read = disk_read;
    disk_io.close = disk_close;
    disk_io.size = disk_size;
    data_set = toy_data();
    AdvCtxOpts co = {.struct_size = sizeof co, .io = &disk_io};
    plan_bytes = toy_make(toy_graph, toy_program, "toyhash", "cpu", NULL);
    MUST(plan_bytes.data && adv_ctx_new(&co, &ctx) == ADV_OK && adv_plan_load(ctx, plan_bytes.data, plan_bytes.n, NULL, &plan) == ADV_OK);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AdvContainer c;
    AdvArena arena;
    AdvDiags *ds;
    double before, after;
    adv_arena_init(&arena, adv_alloc_default());
    AdvStatus parsed = adv_container_parse(&arena, data, size, "fuzz", NULL, &c);
    disk = (Disk){.state = data, .n_state = size};
    snprintf(disk.manifest, sizeof disk.manifest, "{\"bytes\": %zu, \"xxh3_128\": \"%.64s\"}", size,
             parsed == ADV_OK && c.digest ? c.digest : "");
    adv_arena_fini(&arena);
    MUST(adv_diags_open(ctx, &ds) == ADV_OK);
    AdvSession *s = session_new(ds);
    MUST(adv_session_step(s, 2, ds) == ADV_OK && adv_session_get(s, "metric.loss", &before) == ADV_OK);
    AdvStatus st = adv_session_resume(s, "/memory", ds);
    fuzz_messages(ds, st);
    MUST(st == ADV_OK || st == ADV_EDATA);
    if (st != ADV_OK) {
        MUST(adv_session_get(s, "run.step", &after) == ADV_OK && after == 2);
        MUST(adv_session_get(s, "metric.loss", &after) == ADV_OK && after == before);
        MUST(adv_session_step(s, 1, ds) == ADV_OK);
    } else {
        AdvTrainOpts o = {.struct_size = sizeof o, .max_steps = STEPS + 1};
        st = adv_session_train(s, &o, ds);
        MUST(st == ADV_OK || st == ADV_ENUMERIC);
    }
    adv_session_close(s);
    adv_diags_free(ds);
    return 0;
}

/* The real one: written by a session that stopped after `steps` steps, or between batches of an evaluation. */
typedef struct Stop { int left; } Stop;

static int32_t stop(void *user, const AdvEvent *e)
{
    (void)e;
    return --((Stop *)user)->left <= 0;
}

static size_t seed_checkpoint(uint8_t *data, size_t max_size, int n_events)
{
    char dir[64], command[192];
    Stop wish = {n_events};
    size_t n = 0;
    AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir, .progress = stop, .user = &wish};
    scratch_make(dir);
    Toy t = toy_open("ref", "cpu", NULL, ADV_CHECK_OFF, 0);
    MUST(t.s);
    AdvStatus st = adv_session_train(t.s, &o, t.ds);
    MUST(st == ADV_OK || st == ADV_ECANCELLED);
    toy_close(&t);
    snprintf(command, sizeof command, "cat %s/$(cat %s/LATEST)/state.safetensors", dir, dir);
    FILE *f = popen(command, "r");
    MUST(f);
    n = fread(data, 1, max_size, f);
    pclose(f);
    scratch_remove(dir);
    return n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    FuzzRng r = {seed};
    size_t n = fuzz_rng(&r, 2048) ? fuzz_container(data, size, max_size, seed) : 0;
    if (!n) n = seed_checkpoint(data, max_size, 1 + (int)fuzz_rng(&r, 48));
    return n ? n : LLVMFuzzerMutate(data, size, max_size);
}
