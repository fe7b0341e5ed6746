/* data.c: decoded data sets: a container (base/container.h) mapped read-only, its tensors bound to the plan's data states.
**
** Structure and digest of the file are checked on every open.
** A tensor that does not lie at a multiple of its element is copied, since kernels may rely on alignment; so is one of f32 for
** a target that computes in double. Other devices get a copy in memory of theirs.
*/
#include "runtime/session.h"

#include "ops/view.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What kernels may count on. */
enum { BLOCK_ALIGN = 64 };

/* By so much an image's number may lie beyond its box, after a computation in floats. */
static const float ROUNDED = 1e-5f;

struct AdvMapping {
    AdvMapping *next;
    void *map;          /* or NULL: */
    void *copy;         /* memory of ours */
    uint64_t n_bytes;
};

static AdvStatus keep(AdvSession *s, void *map, void *copy, uint64_t n_bytes, AdvDiags *ds)
{
    AdvMapping *m = adv_mem_new0(&s->ctx->alloc, sizeof *m);
    if (!m) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while binding data");
    *m = (AdvMapping){s->maps, map, copy, n_bytes};
    s->maps = m;
    return ADV_OK;
}

/* Lets go of the mapping that *at points to, and goes on to the next. */
static void drop(AdvSession *s, AdvMapping **at)
{
    AdvMapping *m = *at;
    *at = m->next;
    if (m->map) munmap(m->map, (size_t)m->n_bytes);
    if (m->copy) adv_mem_free(&s->ctx->alloc, m->copy, (size_t)m->n_bytes);
    adv_mem_free(&s->ctx->alloc, m, sizeof *m);
}

/* Is a state bound to memory in it? Other devices have copies of their own. */
static bool is_used(const AdvSession *s, const AdvMapping *m)
{
    uintptr_t from = (uintptr_t)(m->map ? m->map : m->copy);
    for (uint32_t i = 0; s->be->is_host && i < s->plan->n_states; i++) {
        uintptr_t at = (uintptr_t)s->states[i].data;
        if (at >= from && at - from < m->n_bytes) return true;
    }
    return false;
}

void adv_mappings_sweep(AdvSession *s)
{
    /* a tensor that was exported may lie in any of them: then they stay until a later call, or the session's end */
    if (atomic_load_explicit(&s->n_refs, memory_order_acquire) > 1) return;
    for (AdvMapping **at = &s->maps; *at;) {
        if (is_used(s, *at)) at = &(*at)->next;
        else drop(s, at);
    }
}

void adv_mappings_close(AdvSession *s)
{
    while (s->maps) drop(s, &s->maps);
}

static AdvStatus missing(const AdvSession *s, const char *path, AdvDiags *ds)
{
    AdvDiag *d = adv_diag(ds, ADV_D_DATA_MISSING, (AdvSpan){0, 0, 0}, "there is no data file `%s`", path);
    if (s->plan->prog->data && !strcmp(s->plan->prog->data, "own"))
        adv_diag_help(d, "the recipe says `data own`: name your file with --data");
    else if (s->plan->prog->data) adv_diag_help(d, "get it with `advdata fetch %s`, or name its folder with --data", s->plan->prog->data);
    return ADV_ENOENT;
}

static AdvStatus map_file(AdvSession *s, const char *path, AdvDiags *ds, void **out_map, uint64_t *out_bytes)
{
    struct stat sb;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT) return missing(s, path, ds);
        return adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot open `%s`: %s", path, strerror(errno));
    }
    if (fstat(fd, &sb) || !S_ISREG(sb.st_mode) || sb.st_size <= 0) {
        close(fd);
        return adv_fail(ds, ADV_EDATA, ADV_D_CONTAINER, "`%s` is not a data file: it is empty or no regular file", path);
    }
    void *map = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    int err = errno;
    close(fd);
    if (map == MAP_FAILED) return adv_fail(ds, ADV_EIO, ADV_D_IO, "cannot map `%s`: %s", path, strerror(err));
    AdvStatus st = keep(s, map, NULL, (uint64_t)sb.st_size, ds);
    if (st != ADV_OK) {
        munmap(map, (size_t)sb.st_size);
        return st;
    }
    *out_map = map;
    *out_bytes = (uint64_t)sb.st_size;
    return ADV_OK;
}

/* With file calls of the caller: the whole file in memory of the session. */
static AdvStatus read_whole(AdvSession *s, const char *path, AdvDiags *ds, void **out_data, uint64_t *out_bytes)
{
    AdvStatus st = adv_read_file(s->ctx->io, &s->ctx->alloc, path, UINT64_C(1) << 40, ds, out_data, out_bytes);
    if (st != ADV_OK) return st;
    st = keep(s, NULL, *out_data, *out_bytes + 1, ds);
    if (st != ADV_OK) adv_mem_free(&s->ctx->alloc, *out_data, (size_t)*out_bytes + 1);
    return st;
}

/* DATA_DIR/NAME.safetensors, in memory of `arena`. */
static AdvStatus default_path(const AdvSession *s, AdvArena *arena, AdvDiags *ds, const char **out)
{
    const char *name = s->plan->prog->data;
    *out = NULL;
    if (!name) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "the plan needs no data set: there is no file to bind");
    if (!s->ctx->data_dir) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "the context has no data folder: set data_dir, or name the file");
    *out = adv_arena_printf(arena, "%s/%s.safetensors", s->ctx->data_dir, name);
    return *out ? ADV_OK : adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while binding data");
}

void adv_dims_text(uint32_t rank, const int64_t *dim, uint8_t dtype, char *text, size_t n_bytes)
{
    int n = snprintf(text, n_bytes, "%s[", adv_dtype_name(dtype));
    for (uint32_t k = 0; k < rank && n > 0 && (size_t)n < n_bytes; k++)
        n += snprintf(text + n, n_bytes - (size_t)n, k ? ",%lld" : "%lld", (long long)dim[k]);
    if (n > 0 && (size_t)n < n_bytes) snprintf(text + n, n_bytes - (size_t)n, "]");
}

/* Memory of the session as long as a state is bound to it. */
static AdvStatus keep_new(AdvSession *s, uint64_t n_bytes, AdvDiags *ds, void **out)
{
    *out = adv_mem_new(&s->ctx->alloc, (size_t)n_bytes);
    if (!*out) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while binding data");
    AdvStatus st = keep(s, NULL, *out, n_bytes, ds);
    if (st != ADV_OK) adv_mem_free(&s->ctx->alloc, *out, (size_t)n_bytes);
    return st;
}

static bool holds_labels(const AdvSession *s, uint32_t state)
{
    const AdvTensorType *t = &s->t->state_types[state];
    const char *last = strrchr(adv_state_name(s, state), '.');
    return s->plan->prog->classes > 0 && t->dtype == ADV_I32 && t->rank == 1 && last && !strcmp(last, ".y");
}

/* Another device: a copy in memory of ours, which is taken when it is first needed. */
static AdvStatus copy_to_block(AdvSession *s, uint32_t state, const void *data, int32_t direction, AdvDiags *ds)
{
    AdvStateMem *m = &s->states[state];
    if (!m->block) ADV_TRY(adv_session_take(s, m->n_bytes, adv_state_name(s, state), ds, &m->block));
    return adv_session_settle(s, s->be->copy(s->self, m->block, data, m->n_bytes, direction), ds);
}

AdvStatus adv_data_bind(AdvSession *s, uint32_t state, uint8_t dtype, const void *data, AdvDiags *ds)
{
    const AdvTensorType *t = &s->t->state_types[state];
    bool is_widened = dtype == ADV_F32 && t->dtype == ADV_F64;
    bool is_aligned = (uintptr_t)data % adv_dtype_bytes(dtype) == 0;
    void *mem = (void *)(uintptr_t)data;  /* data states are never written */
    assert(dtype == t->dtype || is_widened);
    if (is_widened || !is_aligned) {
        ADV_TRY(keep_new(s, s->states[state].n_bytes, ds, &mem));
        if (!is_widened) memcpy(mem, data, (size_t)s->states[state].n_bytes);
        for (int64_t i = 0; is_widened && i < adv_type_elems(t); i++) {
            float f;
            memcpy(&f, (const char *)data + i * (int64_t)sizeof f, sizeof f);
            ((double *)mem)[i] = (double)f;
        }
    }
    if (!s->be->is_host) {
        ADV_TRY(copy_to_block(s, state, mem, ADV_TO_DEVICE, ds));
        mem = s->states[state].block;
    }
    adv_session_rebind(s, state, mem);
    return ADV_OK;
}

AdvStatus adv_data_bind_device(AdvSession *s, uint32_t state, void *data, AdvDiags *ds)
{
    AdvStateMem *m = &s->states[state];
    if (holds_labels(s, state)) {
        void *labels = adv_mem_new(&s->ctx->alloc, (size_t)m->n_bytes);
        if (!labels) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while binding data");
        AdvStatus st = adv_device_fault(s, s->be->copy(s->self, labels, data, m->n_bytes, ADV_TO_HOST), ds);
        if (st == ADV_OK) st = adv_data_check_labels(s, state, labels, s->t->state_types[state].dim[0], "the tensor", ds);
        adv_mem_free(&s->ctx->alloc, labels, (size_t)m->n_bytes);
        ADV_TRY(st);
    }
    if ((uintptr_t)data % BLOCK_ALIGN) {
        ADV_TRY(copy_to_block(s, state, data, ADV_ON_DEVICE, ds));
        data = m->block;
    }
    adv_session_rebind(s, state, data);
    return ADV_OK;
}

static AdvStatus check_blob(const AdvSession *s, uint32_t state, const AdvBlob *b, const char *path, AdvDiags *ds)
{
    const AdvTensorType *t = &s->t->state_types[state];
    bool fits = b->rank == t->rank && (b->dtype == t->dtype || (b->dtype == ADV_F32 && t->dtype == ADV_F64));
    for (uint32_t k = 0; fits && k < t->rank; k++) fits = b->dim[k] == t->dim[k];
    if (fits) return ADV_OK;
    char got[128], want[128];
    adv_dims_text(b->rank, b->dim, b->dtype, got, sizeof got);
    adv_dims_text(t->rank, t->dim, t->dtype, want, sizeof want);
    return adv_fail(ds, ADV_EDATA, ADV_D_DATA_FIT, "`%s` in `%s` is %s, but the plan was compiled for %s", b->name, path, got, want);
}

/* Labels and such index tables of the size the plan knows: a class beyond it would reach past them. */
AdvStatus adv_data_check_labels(const AdvSession *s, uint32_t state, const void *labels, int64_t n, const char *who, AdvDiags *ds)
{
    int64_t n_classes = s->plan->prog->classes;
    const char *name = adv_state_name(s, state);
    if (!holds_labels(s, state)) return ADV_OK;
    for (int64_t i = 0; i < n; i++) {
        int32_t y;
        memcpy(&y, (const char *)labels + i * (int64_t)sizeof y, sizeof y);
        if (y < 0 || y >= n_classes)
            return adv_fail(ds, ADV_EDATA, ADV_D_DATA_FIT, "row %lld of `%s` from `%s` has class %d, but the plan knows classes 0 .. %lld",
                            (long long)i, name, who, (int)y, (long long)n_classes - 1);
    }
    return ADV_OK;
}

/* Images given as floats: what projects to the box 0..1 would tear others apart without a word. */
AdvStatus adv_data_check_images(const AdvSession *s, uint32_t state, uint8_t dtype, const void *data, int64_t n_rows,
                                const char *who, AdvDiags *ds)
{
    const AdvTensorType *t = &s->t->state_types[state];
    const char *name = adv_state_name(s, state), *last = strrchr(name, '.');
    if (dtype != ADV_F32 || !last || strcmp(last, ".x") || !t->rank || !t->dim[0]) return ADV_OK;
    int64_t n_row = adv_type_elems(t) / t->dim[0];
    for (int64_t i = 0; i < n_rows * n_row; i++) {
        float v;
        memcpy(&v, (const char *)data + i * (int64_t)sizeof v, sizeof v);
        if (v >= -ROUNDED && v <= 1 + ROUNDED) continue;
        AdvDiag *d = adv_diag(ds, ADV_D_DATA_FIT, (AdvSpan){0, 0, 0}, "row %lld of `%s` from `%s` holds %g: images are in 0 .. 1",
                              (long long)(i / n_row), name, who, (double)v);
        if (v > 1 && v <= 255) adv_diag_help(d, "divide by 255, and let the net normalise");
        return ADV_EDATA;
    }
    return ADV_OK;
}

/* What a data file calls a data state: "train.x". */
static const char *name_in_file(const AdvSession *s, uint32_t state)
{
    const char *name = adv_state_name(s, state);
    return !strncmp(name, "data.", 5) ? name + 5 : name;
}

static const AdvBlob *blob_of(const AdvSession *s, uint32_t state, const AdvContainer *c)
{
    return adv_container_blob(c, name_in_file(s, state));
}

/* All of them, before any is bound. */
static AdvStatus check_data(const AdvSession *s, const AdvContainer *c, const char *path, AdvDiags *ds)
{
    for (uint32_t i = 0; i < s->plan->n_states; i++) {
        if (s->plan->states[i].kind != ADV_STATE_DATA) continue;
        const AdvBlob *b = blob_of(s, i, c);
        if (!b)
            return adv_fail(ds, ADV_EDATA, ADV_D_DATA_FIT, "`%s` lacks the tensor `%s` that the plan needs", path, name_in_file(s, i));
        ADV_TRY(check_blob(s, i, b, path, ds));
        ADV_TRY(adv_data_check_labels(s, i, b->data, b->dim[0], path, ds));
        ADV_TRY(adv_data_check_images(s, i, b->dtype, b->data, b->dim[0], path, ds));
    }
    return ADV_OK;
}

static AdvStatus bind_data(AdvSession *s, const AdvContainer *c, AdvDiags *ds)
{
    for (uint32_t i = 0; i < s->plan->n_states; i++) {
        if (s->plan->states[i].kind != ADV_STATE_DATA) continue;
        const AdvBlob *b = blob_of(s, i, c);
        ADV_TRY(adv_data_bind(s, i, b->dtype, b->data, ds));
        s->states[i].n_file_bytes = b->n_bytes;
    }
    return ADV_OK;
}

AdvStatus adv_session_bind_file(AdvSession *s, const char *path, AdvDiags *ds)
{
    void *map = NULL;
    uint64_t n_bytes = 0;
    AdvArena arena;
    AdvContainer c;
    ADV_TRY(adv_session_ready(s, ds));
    adv_arena_init(&arena, s->ctx->alloc);
    AdvStatus st = path ? ADV_OK : default_path(s, &arena, ds, &path);
    if (st == ADV_OK) st = s->ctx->has_posix_io ? map_file(s, path, ds, &map, &n_bytes) : read_whole(s, path, ds, &map, &n_bytes);
    if (st == ADV_OK) st = adv_container_parse(&arena, map, n_bytes, path, ds, &c);
    if (st == ADV_OK) st = check_data(s, &c, path, ds);
    if (st == ADV_OK) st = bind_data(s, &c, ds);
    if (st == ADV_OK) snprintf(s->data_digest, sizeof s->data_digest, "%s", c.digest ? c.digest : "");
    adv_mappings_sweep(s);
    adv_arena_fini(&arena);
    return st;
}
