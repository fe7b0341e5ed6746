/* test_runtime_flips.c: three small files, a plan, a checkpoint and a data set, cut at every byte and with every single bit
** changed, through the public interface. Every damage is refused with a sentence, and the session is as it was.
**
** Files are in exactly their own memory, so that AddressSanitizer sees a byte too far; the data set, which is mapped, is on disk.
*/
#include "tests/adv_test.h"

#include "runtime/base/container.h"
#include "tests/base/fault_io.h"
#include "tests/base/scratch.h"
#include "tests/runtime/toy.h"


/* Little, so that all bits are few. */
static const char tiny_graph[] = "state w : f32[2] param saved\nstate run.step : i64 scalar saved\nstate data.train.y : i32[4] data\n"
                                 "entry init {\n  %w: f32[2] = const [1,2]\n  write w = %w\n}\n"
                                 "entry step {\n  %w: f32[2] = read w\n  %v: f32[2] = loop 2 (%i: i64, %p: f32[2] = %w) {\n    %q: f32[2] "
                                 "= mul %p, %p\n    yield %q\n  }\n  write w = %v\n}\n";
static const char tiny_program[] = "{\"recipe\":\"tiny\",\"seed\":1,\"batch\":1,\"epochs\":1,\"steps\":1,\"classes\":3,\"phases\":[{"
                                   "\"name\":\"p\",\"from\":1,\"to\":1,\"entries\":[\"step\"]}]}";

/* ---- a run folder in memory: the state file is `state`, its manifest and LATEST are right ------------------------------------------ */

typedef struct Disk {
    const char *state;
    size_t n_state;
    char manifest[256];
    const char *fd_data[4];
    size_t fd_n[4], fd_at[4];
} Disk;

static int disk_open(void *user, const char *path, int flags, int mode)
{
    Disk *d = user;
    (void)flags, (void)mode;
    for (int i = 0; i < 4; i++) {
        if (d->fd_data[i]) continue;
        d->fd_at[i] = 0;
        d->fd_data[i] = strstr(path, "LATEST") ? "ckpt-00000000\n" : strstr(path, "MANIFEST") ? d->manifest : d->state;
        d->fd_n[i] = d->fd_data[i] == d->state ? d->n_state : strlen(d->fd_data[i]);
        return i;
    }
    return -EMFILE;
}

static int64_t disk_read(void *user, int fd, void *to, size_t n)
{
    Disk *d = user;
    if (n > d->fd_n[fd] - d->fd_at[fd]) n = d->fd_n[fd] - d->fd_at[fd];
    if (n) memcpy(to, d->fd_data[fd] + d->fd_at[fd], n);
    d->fd_at[fd] += n;
    return (int64_t)n;
}

static int disk_close(void *user, int fd)
{
    ((Disk *)user)->fd_data[fd] = NULL;
    return 0;
}

static int64_t disk_size(void *user, int fd) { return (int64_t)((Disk *)user)->fd_n[fd]; }

/* ---- what the three have in common ------------------------------------------------------------------------------------------------- */

typedef struct Tiny {
    Disk disk;
    AdvIo io;
    AdvCtx *ctx;
    AdvPlan *plan;
    AdvSession *s;
    AdvDiags *ds;
    ToyBytes bytes;
    int32_t y[4];
} Tiny;

static void open_session(Tiny *t)
{
    AdvSessionOpts o = {.struct_size = sizeof o, .backend = "ref", .n_threads = 1};
    AdvView v = toy_view(ADV_I32, 4, 0, t->y);
    if (adv_session_open(t->ctx, t->plan, &o, t->ds, &t->s) || adv_session_bind(t->s, "data.train.y", &v, t->ds)) abort();
}

static void tiny_open(Tiny *t)
{
    *t = (Tiny){.io = *adv_io_posix(), .y = {0, 1, 2, 0}};
    t->io.user = &t->disk;
    t->io.open = disk_open;
    t->io.read = disk_read;
    t->io.close = disk_close;
    t->io.size = disk_size;
    AdvCtxOpts co = {.struct_size = sizeof co, .io = &t->io};
    t->bytes = toy_make(tiny_graph, tiny_program, "tinyhash", "ref", NULL);
    if (!t->bytes.data || adv_ctx_new(&co, &t->ctx) || adv_diags_open(t->ctx, &t->ds)) abort();
    if (adv_plan_load(t->ctx, t->bytes.data, t->bytes.n, t->ds, &t->plan)) abort();
    open_session(t);
}

static void tiny_close(Tiny *t)
{
    adv_session_close(t->s);
    adv_plan_close(t->plan);
    adv_diags_free(t->ds);
    adv_ctx_free(t->ctx);
    toy_bytes_free(&t->bytes);
}

/* Gives bytes[0..n) to the interface. ADV_OK, or what it says; `ds` is empty before. */
typedef AdvStatus TakeFn(Tiny *t, const char *bytes, size_t n, AdvDiags *ds);

static void refused(Tiny *t, TakeFn *take, const char *bytes, size_t n, const char *what, size_t at)
{
    AdvDiags *ds;
    uint32_t n_errors = 0;
    const char *msg = NULL;
    if (adv_diags_open(t->ctx, &ds)) abort();
    AdvStatus st = take(t, bytes, n, ds);
    adv_diags_count(ds, &n_errors, NULL);
    adv_diags_at(ds, 0, &msg);
    bool is_right = st == ADV_EDATA && n_errors == 1 && msg && strlen(msg) > 10;
    CHECK(is_right);
    if (!is_right) printf("%s %zu: status %d, %u errors, `%s`\n", what, at, st, n_errors, msg ? msg : "");
    adv_diags_free(ds);
}

static void damage(Tiny *t, TakeFn *take, const char *bytes, size_t n)
{
    AdvDiags *ds;
    if (adv_diags_open(t->ctx, &ds)) abort();
    CHECK_EQ(take(t, bytes, n, ds), ADV_OK);
    adv_diags_free(ds);
    CHECK(n > 200 && n < 8192);
    for (size_t len = 0; len < n && test_n_failed_checks < 10; len++) {
        char *part = malloc(len ? len : 1);
        if (!part) abort();
        memcpy(part, bytes, len);
        refused(t, take, part, len, "cut at byte", len);
        free(part);
    }
    char *copy = malloc(n);
    if (!copy) abort();
    memcpy(copy, bytes, n);
    for (size_t bit = 0; bit < n * 8 && test_n_failed_checks < 10; bit++) {
        copy[bit / 8] ^= (char)(1 << bit % 8);
        refused(t, take, copy, n, "with another bit", bit);
        copy[bit / 8] ^= (char)(1 << bit % 8);
    }
    free(copy);
}

/* ---- the three ----------------------------------------------------------------------------------------------------------------------- */

static AdvStatus take_plan(Tiny *t, const char *bytes, size_t n, AdvDiags *ds)
{
    AdvPlan *plan;
    AdvStatus st = adv_plan_load(t->ctx, bytes, n, ds, &plan);
    CHECK((st == ADV_OK) == (plan != NULL));
    adv_plan_close(plan);
    return st;
}

static void a_plan(void)
{
    Tiny t;
    tiny_open(&t);
    damage(&t, take_plan, t.bytes.data, t.bytes.n);
    tiny_close(&t);
}

/* Resumes; the session has made no step, the checkpoint one. */
static AdvStatus take_checkpoint(Tiny *t, const char *bytes, size_t n, AdvDiags *ds)
{
    float w[2];
    AdvView v = toy_view(ADV_F32, 2, 0, w);
    t->disk.state = bytes;
    t->disk.n_state = n;
    CHECK_EQ(adv_session_run(t->s, "init", NULL), ADV_OK);
    AdvStatus st = adv_session_resume(t->s, "/memory", ds);
    CHECK_EQ(adv_session_read(t->s, "w", &v, NULL), ADV_OK);
    CHECK(w[0] == 1 && w[1] == (st == ADV_OK ? 16.0f : 2.0f));
    return st;
}

/* The file that a session wrote, and what its manifest says. */
static char *written_checkpoint(Tiny *t, size_t *out_n)
{
    char dir[64], path[128], *text = malloc(8192);
    AdvAlloc a = adv_alloc_default();
    AdvContainer c;
    AdvArena arena;
    if (!text) abort();
    scratch_make(dir);
    AdvCtxOpts co = {.struct_size = sizeof co};
    AdvCtx *ctx;
    AdvPlan *plan;
    AdvSession *s;
    AdvView y = toy_view(ADV_I32, 4, 0, t->y);
    if (adv_ctx_new(&co, &ctx) || adv_plan_load(ctx, t->bytes.data, t->bytes.n, NULL, &plan) ||
        adv_session_open(ctx, plan, NULL, NULL, &s) || adv_session_bind(s, "data.train.y", &y, NULL) || adv_session_train(s, NULL, NULL) ||
        adv_session_save(s, dir, NULL))
        abort();
    adv_session_close(s);
    adv_plan_close(plan);
    adv_ctx_free(ctx);
    snprintf(path, sizeof path, "%s/ckpt-00000001/state.safetensors", dir);
    void *bytes;
    uint64_t n;
    adv_arena_init(&arena, a);
    if (adv_read_file(NULL, &a, path, 8192, NULL, &bytes, &n) || adv_container_parse(&arena, bytes, n, "w", NULL, &c)) abort();
    snprintf(t->disk.manifest, sizeof t->disk.manifest, "{\"bytes\": %llu, \"xxh3_128\": \"%s\"}", (unsigned long long)n, c.digest);
    memcpy(text, bytes, n);
    *out_n = n;
    adv_mem_free(&a, bytes, n + 1);
    adv_arena_fini(&arena);
    scratch_remove(dir);
    return text;
}

static void a_checkpoint(void)
{
    Tiny t;
    size_t n;
    tiny_open(&t);
    char *bytes = written_checkpoint(&t, &n);
    damage(&t, take_checkpoint, bytes, n);
    free(bytes);
    tiny_close(&t);
}

static AdvStatus take_data(Tiny *t, const char *bytes, size_t n, AdvDiags *ds)
{
    t->disk.state = bytes;
    t->disk.n_state = n;
    return adv_session_bind_file(t->s, "tiny.safetensors", ds);
}

static void a_data_set(void)
{
    Tiny t;
    AdvAlloc a = adv_alloc_default();
    void *bytes;
    uint64_t n;
    tiny_open(&t);
    AdvBlob b = {.name = "train.y", .dtype = ADV_I32, .rank = 1, .dim = {4}, .data = t.y, .n_bytes = sizeof t.y};
    const AdvMeta meta[] = {{"adv.data", "tiny"}, {"classes", "3"}};
    if (adv_container_render(&a, &b, 1, meta, 2, NULL, &bytes, &n)) abort();
    damage(&t, take_data, bytes, n);
    adv_mem_free(&a, bytes, n);
    tiny_close(&t);
}

int main(void)
{
    RUN(a_plan);
    RUN(a_checkpoint);
    RUN(a_data_set);
    return ADV_TEST_END();
}
