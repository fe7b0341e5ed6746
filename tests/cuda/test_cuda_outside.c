/* test_cuda_outside.c: what a program brings to a session on a device and takes from it: rows of data that it is asked for, memory
** of the device both ways, a stream of its own. Sessions of the toy plan on the fake device, whose kernels are the definitions.
**
** The fake device runs work when its stream is waited for and never before, so a stream that another than the session's owner
** waits for shows what the session had really finished.
*/
#include "tests/adv_test.h"

#include "compiler/adv_compile.h"
#include "ops/cuda/kernels_cuda.h"
#include "runtime/adv_dlpack.h"
#include "tests/cuda/toy_cuda.h"

static const AdvSessionOpts on_cuda = {.struct_size = sizeof on_cuda, .backend = "cuda", .target = "cuda", .n_threads = 1};

static AdvCudaApi api(void)
{
    AdvCudaApi a = {0};
    CHECK_EQ(adv_fake_source(&a, ADV_CUDA_RT, NULL, NULL), ADV_OK);
    return a;
}

/* A session of the toy plan without data. */
static Toy open_bare(const AdvSessionOpts *o)
{
    Toy t = toy_plan_cuda();
    (void)!adv_session_open(t.ctx, t.plan, o, t.ds, &t.s);
    return t;
}

/* A hash of the states after the whole program with everything on `ref`. */
static uint64_t wanted;

static void make_wanted(void)
{
    Toy t = toy_open_cuda("ref", ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    wanted = toy_hash(&t);
    toy_end_cuda(&t);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

typedef struct Source {
    const ToyData *d;
    int n_calls, fail_at;  /* the call that fails; 0: none */
    bool is_wrong;         /* labels of no class */
    int64_t n_most;        /* rows of the largest batch */
    uint64_t allocs;       /* of the device, at the 9th call */
} Source;

static int32_t fill(void *user, const AdvRows *want)
{
    Source *f = user;
    const char *name = want->state + strlen("data.");
    bool is_train = !strncmp(name, "train", 5), is_x = name[strlen(name) - 1] == 'x';
    const char *from = is_x ? (const char *)(is_train ? f->d->train_x : f->d->test_x)
                            : (const char *)(is_train ? f->d->train_y : f->d->test_y);
    size_t n = is_x ? 3 * sizeof(float) : sizeof(int32_t);
    if (want->n_rows > f->n_most) f->n_most = want->n_rows;
    if (++f->n_calls == 9) f->allocs = adv_fake.n_allocs;
    if (f->n_calls > 9) CHECK_EQ(adv_fake.n_allocs, f->allocs); /* nothing is taken while it runs */
    if (f->n_calls == f->fail_at) return 7;
    for (int64_t i = 0; i < want->n_rows; i++) memcpy((char *)want->out.data + (size_t)i * n, from + (size_t)want->rows[i] * n, n);
    if (f->is_wrong && !is_x) memset(want->out.data, 0x7f, (size_t)want->n_rows * n);
    return 0;
}

static AdvStatus bind_sources(Toy *t, Source *f)
{
    static const char *const names[] = {"data.train.x", "data.train.y", "data.test.x", "data.test.y"};
    f->d = t->data;
    for (int i = 0; i < 4; i++) ADV_TRY(adv_session_bind_rows(t->s, names[i], fill, f, t->ds));
    return ADV_OK;
}

static void test_rows_give_the_same_bits(void)
{
    for (int32_t check = ADV_CHECK_OFF; check <= ADV_CHECK_SYNC; check++) {
        AdvSessionOpts o = on_cuda;
        Source f = {0};
        o.check = check;
        Toy t = open_bare(&o);
        uint64_t before = adv_fake.used_bytes;
        CHECK_EQ(bind_sources(&t, &f), ADV_OK);
        CHECK(adv_fake.used_bytes - before <= 8 * 256);   /* batches and their numbers, not data sets */
        CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
        CHECK(toy_hash(&t) == wanted);
        CHECK(f.n_calls > 60 && f.n_most == TOY_BATCH);
        CHECK(check != ADV_CHECK_OFF || adv_fake.n_graphs > 20); /* what follows the rows is recorded all the same */
        if (test_n_failed_checks) toy_show(&t);
        toy_end_cuda(&t);
    }
}

/* Between memory and sources and back, in the middle of an epoch. */
static void test_rows_and_memory_in_turn(void)
{
    Toy t = open_bare(&on_cuda);
    Source f = {0}, g = {0};
    CHECK_EQ(toy_bind(t.s, t.data, t.ds), ADV_OK);
    CHECK_EQ(adv_session_step(t.s, 5, t.ds), ADV_OK);
    CHECK_EQ(bind_sources(&t, &f), ADV_OK);
    CHECK_EQ(adv_session_step(t.s, 5, t.ds), ADV_OK);
    CHECK(f.n_calls >= 10);
    CHECK_EQ(bind_sources(&t, &g), ADV_OK);
    int n = f.n_calls;
    CHECK_EQ(adv_session_step(t.s, 3, t.ds), ADV_OK);
    CHECK_EQ(f.n_calls, n);
    CHECK_EQ(toy_bind(t.s, t.data, t.ds), ADV_OK);
    n = g.n_calls;
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    CHECK_EQ(g.n_calls, n);
    CHECK(toy_hash(&t) == wanted);
    toy_end_cuda(&t);
}

/* Nothing is lost with a batch that did not come; a class that is none never reaches the device. */
static void test_rows_that_fail(void)
{
    Toy t = open_bare(&on_cuda);
    Source f = {.fail_at = 7};
    CHECK_EQ(bind_sources(&t, &f), ADV_OK);
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_EIO);
    CHECK(toy_says(&t, "the source of `data.train.x` failed: it returned 7") ||
          toy_says(&t, "the source of `data.train.y` failed: it returned 7"));
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    CHECK(toy_hash(&t) == wanted);
    toy_end_cuda(&t);
    t = open_bare(&on_cuda);
    f = (Source){.is_wrong = true};
    CHECK_EQ(bind_sources(&t, &f), ADV_OK);
    CHECK_EQ(adv_session_step(t.s, 1, t.ds), ADV_EDATA);
    CHECK(toy_says(&t, "has class 2139062143"));
    CHECK_EQ(adv_session_step(t.s, 1, t.ds), ADV_EPOISONED);
    toy_end_cuda(&t);
}

/* `text` with every `from` made `to`, to be freed. */
static char *with(const char *text, const char *from, const char *to)
{
    char *out = malloc(2 * strlen(text) + 1), *at = out;
    if (!out) abort();
    while (*text) {
        bool is_it = !strncmp(text, from, strlen(from));
        at += sprintf(at, "%.*s", is_it ? (int)strlen(to) : 1, is_it ? to : text);
        text += is_it ? strlen(from) : 1;
    }
    return out;
}

/* A call that returns because a batch did not come leaves the device nothing to do, not even where it put the last weights in the place
** of the kept ones: then what was bound may go. The program keeps the weights of the largest loss, those of an early epoch. */
static void test_rows_that_fail_anywhere(void)
{
    char *program = with(toy_program, "\"keep\":\"quick.clean\"", "\"keep\":\"metric.loss\"");
    uint64_t hash = 0;
    for (int k = 0, n_calls = 1; k <= n_calls && !test_n_failed_checks; k += k < 4 ? 1 : 5) { /* at first none fails */
        Toy t = toy_plan_of(toy_graph, program);
        Source f = {.fail_at = k};
        CHECK_EQ(adv_session_open(t.ctx, t.plan, &on_cuda, t.ds, &t.s), ADV_OK);
        CHECK_EQ(bind_sources(&t, &f), ADV_OK);
        CHECK_EQ(adv_session_train(t.s, NULL, t.ds), k ? ADV_EIO : ADV_OK);
        CHECK(adv_fake_is_idle());
        CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
        if (!k) n_calls = f.n_calls, hash = toy_hash(&t);
        CHECK(toy_hash(&t) == hash);
        CHECK(adv_fake.n_graphs > 20 && toy_n_unrecorded == 0);
        if (test_n_failed_checks) printf("call %d of the source\n", k), toy_show(&t);
        toy_end_cuda(&t);
    }
    free(program);
}

/* Kernels of a device were prepared for as many rows as the state has: a batch may not have more. The host takes it. */
static void test_rows_that_are_too_few(void)
{
    char *x = with(toy_graph, "[20,3]", "[4,3]"), *y = with(x, "i32[20]", "i32[4]"), *n = with(toy_program, "\"n\":20", "\"n\":4");
    char *m = with(n, "\"n\":12", "\"n\":4"), *program = with(m, "\"test\":20", "\"test\":4");
    for (int on_host = 0; on_host < 2; on_host++) {
        Toy t = toy_plan_of(y, program);
        AdvSessionOpts o = on_cuda;
        if (on_host) o.backend = "ref";
        Source f = {.d = t.data};
        CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &t.s), ADV_OK);
        CHECK_EQ(adv_session_bind_rows(t.s, "data.test.x", fill, &f, t.ds), on_host ? ADV_OK : ADV_EUNAVAILABLE);
        CHECK(on_host || toy_says(&t, "`data.test.x` cannot come from a source: it has fewer rows than a batch"));
        CHECK_EQ(adv_session_bind_rows(t.s, "data.train.x", fill, &f, t.ds), ADV_OK);
        if (test_n_failed_checks) toy_show(&t);
        toy_end_cuda(&t);
    }
    free(x), free(y), free(n), free(m), free(program);
}

/* A bad value is traced to its line though its batch came from a source. */
static void test_rows_and_a_bad_value(void)
{
    Toy t = open_bare(&on_cuda);
    Source f = {0};
    double w[12] = {NAN};
    AdvView v = {.dtype = ADV_F64, .rank = 2, .dim = {4, 3}, .stride = {3, 1}, .data = w};
    CHECK_EQ(bind_sources(&t, &f), ADV_OK);
    CHECK_EQ(adv_session_step(t.s, 9, t.ds), ADV_OK);
    CHECK_EQ(adv_session_write(t.s, "f.w", &v, t.ds), ADV_OK);
    CHECK_EQ(adv_session_step(t.s, 5, t.ds), ADV_ENUMERIC);
    CHECK(toy_says(&t, "became NaN") && toy_says(&t, "non-finite"));
    toy_end_cuda(&t);
}

/* The same with the kernels that run on real devices, which were prepared for tables of another size: images as bytes, augmented. */
static const char images[] = "adv 1\nuse std.nets\ndata mnist { batch = 8; first = 64; augment = [pad_crop(pad = 2)] }\n"
                             "model f = mlp(width = 4)\nstep { minimize ce(f(x), y) over f }\noptim f = sgd(lr = 0.1)\n"
                             "train { epochs = 1; seed = 1 }\neval final { on = test.first(32); attacks = [clean] }\n";

typedef struct Images { uint8_t *x; int32_t *y; bool fails; } Images; /* fails: once */

static int32_t fill_images(void *user, const AdvRows *want)
{
    Images *m = user;
    bool fails = m->fails;
    m->fails = false;
    if (fails) return 7;
    size_t n = want->out.rank == 4 ? 28 * 28 : sizeof(int32_t);
    const char *from = want->out.rank == 4 ? (const char *)m->x : (const char *)m->y;
    for (int64_t i = 0; i < want->n_rows; i++) memcpy((char *)want->out.data + (size_t)i * n, from + (size_t)want->rows[i] * n, n);
    return 0;
}

static AdvStatus bind_images(AdvSession *s, Images *m, bool rows, AdvDiags *ds)
{
    static const char *const names[] = {"data.train.x", "data.train.y", "data.test.x", "data.test.y"};
    for (int i = 0; i < 4; i++) {
        int64_t n = i < 2 ? 60000 : 10000;
        AdvView v = {.dtype = ADV_I32, .rank = 1, .dim = {n}, .stride = {1}, .data = m->y};
        if (i % 2 == 0) v = (AdvView){.dtype = ADV_U8, .rank = 4, .dim = {n, 28, 28, 1}, .stride = {784, 28, 1, 1}, .data = m->x};
        ADV_TRY(rows ? adv_session_bind_rows(s, names[i], fill_images, m, ds) : adv_session_bind(s, names[i], &v, ds));
    }
    return ADV_OK;
}

/* A context with the kernels of real devices, and the plan of the recipe above. */
static Toy plan_of_images(void)
{
    AdvCompileOpts co = {.struct_size = sizeof co, .name = "images.adv", .text = images, .n_bytes = strlen(images), .targets = "cuda"};
    Toy t = {.s = NULL};
    if (adv_ctx_new(NULL, &t.ctx) != ADV_OK || adv_diags_open(t.ctx, &t.ds) != ADV_OK) abort();
    CHECK_EQ(adv_registry_add_kernels(&t.ctx->reg, adv_kernels_cuda, t.ds), ADV_OK);
    t.ctx->modules[t.ctx->n_modules++] = &toy_module;
    t.ctx->log = toy_log;
    toy_n_unrecorded = 0;
    CHECK_EQ(adv_compile(&co, t.ds, &t.bytes.data, &t.bytes.n), ADV_OK);
    CHECK_EQ(adv_plan_load(t.ctx, t.bytes.data, t.bytes.n, t.ds, &t.plan), ADV_OK);
    return t;
}

static void test_rows_with_kernels(void)
{
    Images m = {malloc(60000 * 784), malloc(60000 * sizeof(int32_t)), false};
    AdvEvalRow seen[4];
    float w[4][4 * 784];
    for (int i = 0; i < 60000 * 784; i++) m.x[i] = (uint8_t)(i * 7 + i / 784 * 31);
    for (int i = 0; i < 60000; i++) m.y[i] = i % 10;
    for (int way = 0; way < 4; way++) {   /* memory, rows, rows checked against the definitions, rows of which the first do not come */
        Toy t = plan_of_images();
        const AdvEvalRow *rows = NULL;
        uint32_t n_rows = 0;
        AdvSessionOpts o = on_cuda;
        o.check = way == 2 ? ADV_CHECK_REF : ADV_CHECK_OFF;
        AdvView v = {.dtype = ADV_F32, .rank = 2, .dim = {4, 784}, .stride = {784, 1}, .data = w[way]};
        CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &t.s), ADV_OK);
        CHECK_EQ(bind_images(t.s, &m, way > 0, t.ds), ADV_OK);
        m.fails = way == 3;
        if (m.fails) CHECK_EQ(adv_session_step(t.s, 5, t.ds), ADV_EIO);
        CHECK_EQ(adv_session_step(t.s, 5, t.ds), ADV_OK);
        m.fails = way == 3;
        if (m.fails) CHECK_EQ(adv_session_eval(t.s, "final", t.ds, &rows, &n_rows), ADV_EIO);
        CHECK_EQ(adv_session_eval(t.s, "final", t.ds, &rows, &n_rows), ADV_OK);
        CHECK_EQ(toy_n_unrecorded, 0); /* what has not run yet cannot be recorded */
        seen[way] = n_rows ? rows[0] : (AdvEvalRow){.n_correct = -1};
        CHECK_EQ(adv_session_read(t.s, "f.fc1.weight", &v, t.ds), ADV_OK);
        CHECK(!memcmp(w[0], w[way], sizeof w[0]) && seen[way].n_correct == seen[0].n_correct);
        CHECK(seen[way].n == 32);
        if (test_n_failed_checks) toy_show(&t);
        toy_end_cuda(&t);
    }
    free(m.x);
    free(m.y);
}

/* Row numbers that the caller wrote and no table has: a sentence says which op met them, and where to look. */
static void test_rows_that_are_none(void)
{
    Images m = {calloc(60000, 784), calloc(60000, sizeof(int32_t)), false};
    int64_t ids[8] = {0, 1, 10000};
    AdvView v = {.dtype = ADV_I64, .rank = 1, .dim = {8}, .stride = {1}, .data = ids};
    Toy t = plan_of_images();
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &on_cuda, t.ds, &t.s), ADV_OK);
    CHECK_EQ(bind_images(t.s, &m, false, t.ds), ADV_OK);
    CHECK_EQ(adv_session_run(t.s, "init", t.ds), ADV_OK);
    CHECK_EQ(adv_session_write(t.s, "eval.ids", &v, t.ds), ADV_OK);
    CHECK_EQ(adv_session_run(t.s, "eval.final.clean", t.ds), ADV_EDATA);
    CHECK(toy_says(&t, "was given a class or a row number that is out of range") && toy_says(&t, "--check=sync"));
    CHECK_EQ(adv_session_run(t.s, "eval.final.clean", t.ds), ADV_EPOISONED);
    if (test_n_failed_checks) toy_show(&t);
    toy_end_cuda(&t);
    free(m.x);
    free(m.y);
}

/* ---- tensors --------------------------------------------------------------------------------------------------------------- */

/* What device memory holds as another stream sees it: nothing of the session is waited for. */
static void look(const void *device, void *to, size_t n_bytes)
{
    AdvCudaApi a = api();
    cudaStream_t s = NULL;
    void *pinned = NULL;
    CHECK_EQ(a.cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess);
    CHECK_EQ(a.cudaMallocHost(&pinned, n_bytes), cudaSuccess);
    CHECK_EQ(a.cudaMemcpyAsync(pinned, device, n_bytes, cudaMemcpyDeviceToHost, s), cudaSuccess);
    CHECK_EQ(a.cudaStreamSynchronize(s), cudaSuccess);
    memcpy(to, pinned, n_bytes);
    CHECK_EQ(a.cudaFreeHost(pinned), cudaSuccess);
    CHECK_EQ(a.cudaStreamDestroy(s), cudaSuccess);
}

/* Do the weights that were exported hold what the session says it has? */
static bool is_current(Toy *t, const DLManagedTensorVersioned *w)
{
    float seen[12], own[12];
    AdvView v = {.dtype = ADV_F32, .rank = 2, .dim = {4, 3}, .stride = {3, 1}, .data = own};
    look(w->dl_tensor.data, seen, sizeof seen);
    CHECK_EQ(adv_session_read(t->s, "f.w", &v, t->ds), ADV_OK);
    return !memcmp(seen, own, sizeof own);
}

static void test_tensors_out(void)
{
    Toy t = toy_open_cuda("cuda", ADV_CHECK_OFF, 0);
    DLManagedTensorVersioned *w = NULL, *x = NULL, *none = NULL;
    float own[12] = {1, 2, 3}, data[TOY_N * 3];
    AdvView v = {.dtype = ADV_F32, .rank = 2, .dim = {4, 3}, .stride = {3, 1}, .data = own};
    CHECK_EQ(adv_session_run(t.s, "init", t.ds), ADV_OK);
    CHECK_EQ(adv_session_export(t.s, "f.w", &w, t.ds), ADV_OK);
    CHECK(w->dl_tensor.device.device_type == kDLCUDA && w->dl_tensor.device.device_id == 0);
    CHECK(w->flags == 0 && w->dl_tensor.ndim == 2 && w->dl_tensor.shape[0] == 4 && w->dl_tensor.strides[0] == 3);
    CHECK(is_current(&t, w));
    CHECK_EQ(adv_session_write(t.s, "f.w", &v, t.ds), ADV_OK);
    CHECK(is_current(&t, w));
    for (int k = 0; k < 4; k++) {
        CHECK_EQ(adv_session_step(t.s, 3, t.ds), ADV_OK);
        CHECK(is_current(&t, w));
    }
    CHECK_EQ(adv_session_export(t.s, "data.train.x", &x, t.ds), ADV_OK);
    CHECK(x->flags & DLPACK_FLAG_BITMASK_READ_ONLY);
    look(x->dl_tensor.data, data, sizeof data);
    CHECK(!memcmp(data, t.data->train_x, sizeof data));
    AdvView all = {.dtype = ADV_F32, .rank = 2, .dim = {TOY_N, 3}, .stride = {3, 1}, .data = data};
    memset(data, 0, sizeof data);
    CHECK_EQ(adv_session_read(t.s, "data.train.x", &all, t.ds), ADV_OK);
    CHECK(!memcmp(data, t.data->train_x, sizeof data));
    x->deleter(x);
    Source f = {.d = t.data};
    CHECK_EQ(adv_session_bind_rows(t.s, "data.train.x", fill, &f, t.ds), ADV_OK);
    CHECK_EQ(adv_session_export(t.s, "data.train.x", &none, t.ds), ADV_EUNAVAILABLE);
    CHECK(none == NULL);
    CHECK(is_current(&t, w));
    look(w->dl_tensor.data, own, sizeof own);
    adv_session_close(t.s);
    t.s = NULL;
    float after[12];
    look(w->dl_tensor.data, after, sizeof after); /* the memory lives as long as the tensor */
    CHECK(!memcmp(own, after, sizeof own));
    w->deleter(w);
    toy_end_cuda(&t);
}

typedef struct Lent {
    DLManagedTensorVersioned t;
    int64_t shape[2];
    char *mem;      /* of the device; NULL: not there any more */
} Lent;
static int n_deleted;

static void give_back(DLManagedTensorVersioned *t)
{
    Lent *l = t->manager_ctx;
    AdvCudaApi a = api();
    n_deleted++;
    (void)a.cudaFree(l->mem);
    l->mem = NULL;
}

/* Memory of the device with `from` in it, `shift` bytes behind its begin. Ends when the copy has. */
static void lend(Lent *l, const void *from, size_t n_bytes, uint8_t code, int64_t n, int64_t k, size_t shift)
{
    AdvCudaApi a = api();
    cudaStream_t s = NULL;
    void *p = NULL;
    CHECK_EQ(a.cudaMalloc(&p, n_bytes + shift), cudaSuccess);
    CHECK_EQ(a.cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess);
    CHECK_EQ(a.cudaMemcpyAsync((char *)p + shift, from, n_bytes, cudaMemcpyHostToDevice, s), cudaSuccess);
    CHECK_EQ(a.cudaStreamSynchronize(s), cudaSuccess);
    CHECK_EQ(a.cudaStreamDestroy(s), cudaSuccess);
    *l = (Lent){.shape = {n, k}, .mem = p};
    l->t = (DLManagedTensorVersioned){.version = {1, 0}, .manager_ctx = l, .deleter = give_back};
    l->t.dl_tensor = (DLTensor){p, {kDLCUDA, 0}, k ? 2 : 1, {code, 32, 1}, l->shape, NULL, shift};
}

static void lend_all(Lent l[4], const ToyData *d, size_t shift)
{
    lend(&l[0], d->train_x, sizeof d->train_x, kDLFloat, TOY_N, 3, shift);
    lend(&l[1], d->train_y, sizeof d->train_y, kDLInt, TOY_N, 0, shift);
    lend(&l[2], d->test_x, sizeof d->test_x, kDLFloat, TOY_TEST, 3, shift);
    lend(&l[3], d->test_y, sizeof d->test_y, kDLInt, TOY_TEST, 0, shift);
}

static AdvStatus bind_lent(Toy *t, Lent l[4])
{
    static const char *const names[] = {"data.train.x", "data.train.y", "data.test.x", "data.test.y"};
    for (int i = 0; i < 4; i++) ADV_TRY(adv_session_bind_tensor(t->s, names[i], &l[i].t, t->ds));
    return ADV_OK;
}

/* Memory of the device is bound where it lies, but copied, on the device, if it does not lie as kernels want it. */
static void test_tensors_in(void)
{
    for (size_t shift = 0; shift <= 4; shift += 4) {
        Toy t = open_bare(&on_cuda);
        Lent l[4];
        lend_all(l, t.data, shift);
        n_deleted = 0;
        uint64_t used = adv_fake.used_bytes;
        CHECK_EQ(bind_lent(&t, l), ADV_OK);
        CHECK((adv_fake.used_bytes == used) == (shift == 0));
        CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
        CHECK(toy_hash(&t) == wanted);
        CHECK_EQ(toy_bind(t.s, t.data, t.ds), ADV_OK);
        CHECK_EQ(n_deleted, 4);
        toy_end_cuda(&t);
    }
}

static void test_tensors_refused(void)
{
    Toy t = open_bare(&on_cuda);
    Lent x, y;
    int32_t wrong[TOY_N] = {0, 1, 2, 9};
    lend(&x, t.data->train_x, sizeof t.data->train_x, kDLFloat, TOY_N, 3, 0);
    lend(&y, wrong, sizeof wrong, kDLInt, TOY_N, 0, 0);
    n_deleted = 0;
    CHECK_EQ(adv_session_bind_tensor(t.s, "data.train.y", &y.t, t.ds), ADV_EDATA);
    CHECK(toy_says(&t, "row 3 of `data.train.y` from `the tensor` has class 9"));
    CHECK_EQ(adv_session_bind_tensor(t.s, "data.train.y", &x.t, t.ds), ADV_EINVAL);
    CHECK_EQ(adv_session_bind_tensor(t.s, "f.w", &x.t, t.ds), ADV_EINVAL);
    x.t.dl_tensor.device.device_id = 1;
    CHECK_EQ(adv_session_bind_tensor(t.s, "data.train.x", &x.t, t.ds), ADV_EINVAL);
    CHECK(toy_says(&t, "on the device of back end `cuda`"));
    x.t.dl_tensor.device = (DLDevice){kDLCUDAManaged, 0};
    CHECK_EQ(adv_session_bind_tensor(t.s, "data.train.x", &x.t, t.ds), ADV_EINVAL);
    x.t.dl_tensor.device = (DLDevice){kDLCUDA, 0};
    AdvView v;
    CHECK_EQ(adv_dlpack_view(&x.t, &v), ADV_EINVAL); /* a view is of the host */
    CHECK_EQ(n_deleted, 0);
    CHECK_EQ(adv_session_bind_tensor(t.s, "data.train.x", &x.t, t.ds), ADV_OK);
    give_back(&y.t);
    adv_session_close(t.s);
    t.s = NULL;
    CHECK_EQ(n_deleted, 2);
    t.s = NULL;
    AdvSessionOpts ref = on_cuda;
    ref.backend = "ref";
    CHECK_EQ(adv_session_open(t.ctx, t.plan, &ref, t.ds, &t.s), ADV_OK);
    lend(&x, t.data->train_x, sizeof t.data->train_x, kDLFloat, TOY_N, 3, 0);
    CHECK_EQ(adv_session_bind_tensor(t.s, "data.train.x", &x.t, t.ds), ADV_EINVAL);
    give_back(&x.t);
    toy_end_cuda(&t);
}

/* ---- the caller's stream ------------------------------------------------------------------------------------------------------- */

static int n_ran;
static void note(const void *what) { (void)what, n_ran++; }

static void test_stream(void)
{
    AdvCudaApi a = api();
    cudaStream_t mine = NULL, other = NULL;
    CHECK_EQ(a.cudaStreamCreateWithFlags(&mine, cudaStreamNonBlocking), cudaSuccess);
    CHECK_EQ(a.cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
    AdvSessionOpts o = on_cuda;
    o.stream = mine;
    adv_fake.only = mine;
    Toy t = open_bare(&o);
    Source f = {0};
    DLManagedTensorVersioned *w = NULL;
    CHECK(t.s != NULL);
    CHECK_EQ(bind_sources(&t, &f), ADV_OK);
    n_ran = 0;
    adv_fake.only = NULL;
    CHECK_EQ(adv_fake_enqueue(other, note, "", 1), cudaSuccess);
    CHECK_EQ(adv_fake_enqueue(mine, note, "", 1), cudaSuccess);
    adv_fake.only = mine;
    CHECK_EQ(adv_session_step(t.s, 9, t.ds), ADV_OK);
    CHECK_EQ(n_ran, 1);   /* what was on the caller's stream came first; the other one was not waited for */
    CHECK_EQ(adv_session_export(t.s, "f.w", &w, t.ds), ADV_OK);
    w->deleter(w);
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    CHECK(toy_hash(&t) == wanted);
    CHECK_EQ(n_ran, 1);
    CHECK_EQ(adv_fake.n_elsewhere, 0);
    adv_session_close(t.s);
    t.s = NULL;
    CHECK_EQ(adv_fake.n_elsewhere, 0);   /* nor is it destroyed: */
    adv_fake.only = NULL;
    CHECK_EQ(a.cudaStreamSynchronize(mine), cudaSuccess);
    CHECK_EQ(a.cudaStreamDestroy(mine), cudaSuccess);
    CHECK_EQ(a.cudaStreamDestroy(other), cudaSuccess);
    toy_end_cuda(&t);
}

/* A stream that waits for the default stream, as cudaStreamCreate makes them, is taken with a warning. */
static void test_stream_that_blocks(void)
{
    AdvCudaApi a = api();
    for (unsigned flags = cudaStreamDefault; flags <= cudaStreamNonBlocking; flags++) {
        AdvSessionOpts o = on_cuda;
        CHECK_EQ(a.cudaStreamCreateWithFlags((cudaStream_t *)&o.stream, flags), cudaSuccess);
        Toy t = open_bare(&o);
        CHECK(t.s != NULL);
        CHECK((strstr(toy_warning, "make it with cudaStreamNonBlocking") != NULL) == (flags == cudaStreamDefault));
        adv_session_close(t.s);
        t.s = NULL;
        CHECK_EQ(a.cudaStreamDestroy(o.stream), cudaSuccess);
        toy_end_cuda(&t);
    }
}

static void test_streams_refused(void)
{
    cudaStream_t defaults[] = {cudaStreamLegacy, cudaStreamPerThread};
    for (int i = 0; i < 3; i++) {
        AdvSessionOpts o = on_cuda;
        o.stream = defaults[i % 2];
        if (i == 2) o.backend = "ref";
        Toy t = open_bare(&o);
        CHECK(t.s == NULL);
        CHECK_EQ(adv_session_open(t.ctx, t.plan, &o, t.ds, &t.s), ADV_EINVAL);
        CHECK(toy_says(&t, i == 2 ? "has no streams" : "a default stream was passed"));
        toy_end_cuda(&t);
    }
}

/* ---- failures ------------------------------------------------------------------------------------------------------------------ */

static AdvStatus use(Toy *t, Lent l[4], Source *f)
{
    DLManagedTensorVersioned *w = NULL;
    ADV_TRY(adv_session_open(t->ctx, t->plan, &on_cuda, t->ds, &t->s));
    ADV_TRY(bind_sources(t, f));
    ADV_TRY(adv_session_step(t->s, 4, t->ds));
    ADV_TRY(adv_session_export(t->s, "f.w", &w, t->ds));
    w->deleter(w);
    ADV_TRY(bind_lent(t, l));
    ADV_TRY(adv_session_step(t->s, 4, t->ds));
    ADV_TRY(toy_bind(t->s, t->data, t->ds));
    return adv_session_step(t->s, 2, t->ds);
}

/* All of the above while call k fails. True: the call came. */
static bool fails_at(uint64_t k, cudaError_t with)
{
    Toy t = toy_plan_cuda();
    Source f = {0};
    Lent l[4];
    lend_all(l, t.data, k % 2 ? 0 : 4);
    adv_fake.n_calls = 0;
    adv_fake.fail_with = with;
    adv_fake.fail_at = k;
    AdvStatus st = use(&t, l, &f);
    bool came = adv_fake.has_failed;
    bool is_harmless = toy_n_unrecorded > 0 && with == cudaErrorMemoryAllocation; /* it was a recording's */
    CHECK_EQ(st, !came || is_harmless ? ADV_OK : with == cudaErrorMemoryAllocation ? ADV_ENOMEM : ADV_EUNAVAILABLE);
    if (came && !is_harmless) CHECK(toy_says(&t, with == cudaErrorMemoryAllocation ? "out of memory" : "told to fail"));
    if (test_n_failed_checks) {
        printf("call %d of kind %d\n", (int)k, (int)with);
        toy_show(&t);
    }
    adv_session_close(t.s);
    t.s = NULL;
    for (int i = 0; i < 4; i++)
        if (l[i].mem) give_back(&l[i].t);   /* what a failure left to us */
    toy_end_cuda(&t);
    return came;
}

static void test_each_call_fails(void)
{
    uint64_t k = 1;
    while (k < 500 && !test_n_failed_checks && fails_at(k, cudaErrorMemoryAllocation)) k++;
    CHECK(k > 20 && k < 500);
    for (k = 1; k < 100000 && !test_n_failed_checks && fails_at(k, cudaErrorIllegalAddress); k += 1 + k / 100) { }
    CHECK(k > 400);
}

/* Too little for a data set is said when it is bound, and leaves the session whole: a source needs less. */
static void test_too_little_memory_for_data(void)
{
    Toy t = open_bare(&on_cuda);
    Source f = {0};
    adv_fake.total_bytes = adv_fake.used_bytes + 512;
    CHECK_EQ(toy_bind(t.s, t.data, t.ds), ADV_ENOMEM);
    CHECK(toy_says(&t, "out of memory: data.train.x") && toy_says(&t, "MB in all") && toy_says(&t, " are free"));
    adv_fake.total_bytes += 2048;
    CHECK_EQ(bind_sources(&t, &f), ADV_OK);
    CHECK_EQ(adv_session_train(t.s, NULL, t.ds), ADV_OK);
    CHECK(toy_hash(&t) == wanted);
    toy_end_cuda(&t);
}

int main(void)
{
    make_wanted();
    RUN(test_rows_give_the_same_bits);
    RUN(test_rows_and_memory_in_turn);
    RUN(test_rows_that_fail);
    RUN(test_rows_that_fail_anywhere);
    RUN(test_rows_that_are_too_few);
    RUN(test_rows_and_a_bad_value);
    RUN(test_rows_with_kernels);
    RUN(test_rows_that_are_none);
    RUN(test_tensors_out);
    RUN(test_tensors_in);
    RUN(test_tensors_refused);
    RUN(test_stream);
    RUN(test_stream_that_blocks);
    RUN(test_streams_refused);
    RUN(test_each_call_fails);
    RUN(test_too_little_memory_for_data);
    return ADV_TEST_END();
}
