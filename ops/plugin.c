/* plugin.c: see plugin.h. The object is opened last, when nothing is left that could be wrong with it but its own code. */
#define _XOPEN_SOURCE 700 /* realpath */

#include "ops/plugin.h"

#include "runtime/base/container.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static AdvStatus refuse(AdvPluginFault *f, AdvStatus st, AdvDiagId id, const char *fmt, ...) ADV_PRINTF(4, 5);
static AdvStatus refuse(AdvPluginFault *f, AdvStatus st, AdvDiagId id, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    f->id = id;
    f->help = NULL;
    return st;
}

/* ---- the list ------------------------------------------------------------------------------------------------------ */

const AdvLoaded *adv_plugin_of(const AdvRegistry *r, const AdvOpDef *op)
{
    for (const AdvLoaded *p = r->plugins; p; p = p->next)
        for (uint32_t i = 0; p->table->ops[i]; i++)
            if (p->table->ops[i] == op) return p;
    return NULL;
}

const AdvLoaded *adv_plugin_by_digest(const AdvRegistry *r, const uint8_t sha256[ADV_SHA256_BYTES])
{
    for (const AdvLoaded *p = r->plugins; p; p = p->next)
        if (memcmp(p->sha256, sha256, ADV_SHA256_BYTES) == 0) return p;
    return NULL;
}

static void free_text(AdvRegistry *r, const char *s)
{
    if (s) adv_mem_free(&r->alloc, (char *)(uintptr_t)s, strlen(s) + 1);
}

static void free_loaded(AdvRegistry *r, AdvLoaded *p)
{
    free_text(r, p->path), free_text(r, p->name), free_text(r, p->version), free_text(r, p->ops), free_text(r, p->archs);
    adv_mem_free(&r->alloc, p, sizeof *p);
}

void adv_plugins_free(AdvRegistry *r)
{
    for (AdvLoaded *p = r->plugins, *next; p; p = next) {
        next = p->next;
        free_loaded(r, p);
    }
    r->plugins = NULL;
}

static const char *copy_text(AdvRegistry *r, const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = adv_mem_new(&r->alloc, n);
    return copy ? memcpy(copy, s, n) : NULL;
}

/* ---- what it hands over --------------------------------------------------------------------------------------------- */

/* Is `word` one of the words of `list`, split by spaces? */
static bool listed(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *s = list; *s; s += strcspn(s, " "), s += *s == ' ')
        if (strcspn(s, " ") == n && memcmp(s, word, n) == 0) return true;
    return false;
}

static bool has_op(const AdvPlugin *t, const char *name, size_t n)
{
    for (uint32_t i = 0; t->ops[i]; i++)
        if (t->ops[i]->name && strlen(t->ops[i]->name) == n && memcmp(t->ops[i]->name, name, n) == 0) return true;
    return false;
}

/* The table must be what the note promised: the same name, versions and ops. */
static AdvStatus check_table(const AdvPlugin *t, const AdvNoteView *n, const char *path, AdvPluginFault *f)
{
    if (!t)
        return refuse(f, ADV_EDATA, ADV_D_PLUGIN_TABLE, "plugin `%s` refuses this program, whose plugin interface is %u.%u", path,
                      ADV_OP_ABI, ADV_OP_ABI_MINOR);
    if (t->struct_size != sizeof *t || t->abi_major != n->head.abi_major || !t->name || strcmp(t->name, n->name) || !t->version ||
        strcmp(t->version, n->version) || !t->ops)
        return refuse(f, ADV_EDATA, ADV_D_PLUGIN_TABLE, "the table of plugin `%s` is not the one its note describes (`%s` %s)", path,
                      n->name, n->version);
    for (const char *s = n->ops; *s; s += strcspn(s, " "), s += *s == ' ') {
        size_t len = strcspn(s, " ");
        if (len && !has_op(t, s, len))
            return refuse(f, ADV_EDATA, ADV_D_PLUGIN_TABLE, "the note of plugin `%s` promises op `%.*s`, which its table lacks", path,
                          (int)len, s);
    }
    for (uint32_t i = 0; t->ops[i]; i++)
        if (!t->ops[i]->name || !listed(n->ops, t->ops[i]->name))
            return refuse(f, ADV_EDATA, ADV_D_PLUGIN_TABLE, "plugin `%s` has op `%s`, which its note does not name", path,
                          t->ops[i]->name ? t->ops[i]->name : "");
    return ADV_OK;
}

/* Adds ops and kernels; what the registry says against one of them becomes the fault. */
static AdvStatus add_table(AdvRegistry *r, const AdvPlugin *t, const char *path, AdvPluginFault *f)
{
    AdvDiags *ds = adv_diags_new(r->alloc);
    if (!ds) return refuse(f, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while loading plugin `%s`", path);
    AdvStatus st = adv_registry_add_ops(r, t->ops, ds);
    if (st == ADV_OK && t->kernels) {
        st = adv_registry_add_kernels(r, t->kernels, ds);
        if (st != ADV_OK) adv_registry_drop_ops(r, t->ops);
    }
    if (st != ADV_OK) refuse(f, st, ADV_D_PLUGIN_TABLE, "plugin `%s`: %s", path, ds->list.n ? ds->list.at[0]->message : "out of memory");
    adv_diags_free(ds);
    return st;
}

static AdvStatus open_object(const char *path, const AdvNoteView *note, const AdvPlugin **out, AdvPluginFault *f)
{
    static const AdvHost host = {sizeof host, ADV_OP_ABI, ADV_OP_ABI_MINOR};
    AdvPluginFn *entry;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return refuse(f, ADV_EDATA, ADV_D_PLUGIN_FILE, "plugin `%s` cannot be opened: %s", path, dlerror());
    *(void **)&entry = dlsym(handle, "adv_plugin_v1");
    if (!entry)
        return refuse(f, ADV_EDATA, ADV_D_PLUGIN_TABLE, "plugin `%s` has a note but no `adv_plugin_v1`: ADV_PLUGIN makes both", path);
    *out = entry(&host);
    return check_table(*out, note, path, f);
}

/* ---- CUDA --------------------------------------------------------------------------------------------------------------- */

bool adv_plugin_fits_cuda(const char *archs, int32_t cuda_sm)
{
    int major = cuda_sm / 10, minor = cuda_sm % 10;
    for (const char *s = archs; *s; s += strcspn(s, " "), s += *s == ' ') {
        bool is_code = !strncmp(s, "sm_", 3), is_text = !strncmp(s, "compute_", 8);
        int number = is_code || is_text ? atoi(s + (is_code ? 3 : 8)) : 0, a = number / 10, b = number % 10;
        if (is_code && a == major && b <= minor) return true;
        if (is_text && (a < major || (a == major && b <= minor))) return true;
    }
    return false;
}

static AdvStatus check_archs(const AdvLoaded *p, int32_t cuda_sm, AdvPluginFault *f)
{
    if (adv_plugin_fits_cuda(p->archs, cuda_sm)) return ADV_OK;
    refuse(f, ADV_EDATA, ADV_D_PLUGIN_ABI, "plugin `%s` %s (`%s`) has CUDA kernels for %s, but the device is sm_%d", p->name, p->version,
           p->path, p->archs[0] ? p->archs : "no architecture", cuda_sm);
    f->help = "compile its kernels for that device too (nvcc -gencode) and name it in ADV_PLUGIN, or run on the CPU (advrun --backend=cpu)";
    return ADV_EDATA;
}

/* The plugin a kernel comes from, or NULL. */
static const AdvLoaded *plugin_of_kernel(const AdvRegistry *r, const AdvKernel *k)
{
    for (const AdvLoaded *p = r->plugins; p; p = p->next)
        for (uint32_t i = 0; p->table->kernels && p->table->kernels[i]; i++)
            if (p->table->kernels[i] == k) return p;
    return NULL;
}

AdvStatus adv_plugin_check_cuda(const AdvRegistry *r, const AdvKernel *k, int32_t cuda_sm, AdvPluginFault *fault)
{
    const AdvLoaded *p = plugin_of_kernel(r, k);
    return p ? check_archs(p, cuda_sm, fault) : ADV_OK;
}

/* ---- loading ---------------------------------------------------------------------------------------------------------- */

static AdvStatus check_want(const AdvLoaded *got, const AdvLoaded *want, AdvPluginFault *f)
{
    char a[ADV_SHA256_TEXT], b[ADV_SHA256_TEXT];
    if (!want || (got->n_bytes == want->n_bytes && memcmp(got->sha256, want->sha256, ADV_SHA256_BYTES) == 0)) return ADV_OK;
    adv_sha256_text(got->sha256, a);
    adv_sha256_text(want->sha256, b);
    return refuse(f, ADV_EDATA, ADV_D_PLUGIN_OTHER,
                  "`%s` is not the plugin that the plan was made with: it has %" PRIu64 " bytes, SHA-256 %.16s..., but `%s` %s had %" PRIu64
                  " bytes, SHA-256 %.16s...",
                  got->path, got->n_bytes, a, want->name, want->version, want->n_bytes, b);
}

/* Fills everything but the table, from the file's bytes. */
static AdvStatus describe(AdvRegistry *r, AdvLoaded *p, const void *bytes, uint64_t n, const char *path, AdvNoteView *note,
                          AdvPluginFault *f)
{
    char real[PATH_MAX];
    ADV_TRY(adv_plugin_note(bytes, n, path, note, f));
    p->n_bytes = n;
    adv_sha256(bytes, n, p->sha256);
    p->path = copy_text(r, realpath(path, real) ? real : path);
    p->name = copy_text(r, note->name);
    p->version = copy_text(r, note->version);
    p->ops = copy_text(r, note->ops);
    p->archs = copy_text(r, note->archs);
    if (!p->path || !p->name || !p->version || !p->ops || !p->archs)
        return refuse(f, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while loading plugin `%s`", path);
    return ADV_OK;
}

static AdvStatus load_bytes(AdvRegistry *r, const void *bytes, uint64_t n, const char *path, const AdvLoaded *want, int32_t cuda_sm,
                            AdvPluginFault *f, const AdvLoaded **out)
{
    AdvNoteView note;
    AdvLoaded *p = adv_mem_new0(&r->alloc, sizeof *p);
    if (!p) return refuse(f, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while loading plugin `%s`", path);
    AdvStatus st = describe(r, p, bytes, n, path, &note, f);
    if (st == ADV_OK) st = check_want(p, want, f);
    if (st == ADV_OK && cuda_sm && p->archs[0]) st = check_archs(p, cuda_sm, f);
    if (st == ADV_OK && (*out = adv_plugin_by_digest(r, p->sha256)) != NULL) {
        free_loaded(r, p);
        return ADV_OK;
    }
    if (st == ADV_OK) st = open_object(p->path, &note, &p->table, f);
    if (st == ADV_OK) st = add_table(r, p->table, path, f);
    if (st != ADV_OK) {
        free_loaded(r, p);
        return st;
    }
    p->next = r->plugins;
    r->plugins = p;
    *out = p;
    return ADV_OK;
}

AdvStatus adv_plugin_load(AdvRegistry *r, const AdvIo *io, const char *path, const AdvLoaded *want, int32_t cuda_sm, AdvPluginFault *fault,
                          const AdvLoaded **out)
{
    AdvDiags *ds = adv_diags_new(r->alloc);
    void *bytes;
    uint64_t n;
    *out = NULL;
    if (!ds) return refuse(fault, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while loading plugin `%s`", path);
    AdvStatus st = adv_read_file(io, &r->alloc, path, ADV_PLUGIN_MAX_BYTES, ds, &bytes, &n);
    if (st == ADV_ENOENT)
        refuse(fault, st, ADV_D_PLUGIN_FILE, "there is no plugin `%s`", path);
    else if (st != ADV_OK)
        refuse(fault, st, ADV_D_PLUGIN_FILE, "plugin: %s", ds->list.n ? ds->list.at[0]->message : "out of memory");
    adv_diags_free(ds);
    if (st != ADV_OK) return st;
    st = load_bytes(r, bytes, n, path, want, cuda_sm, fault, out);
    adv_mem_free(&r->alloc, bytes, n + 1);
    return st;
}
