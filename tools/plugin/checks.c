/* checks.c: see checks.h. Items are, for each case of the plugin: its definition and gradient, its kernels, both with NaN among the
** operands, both with other sizes; for each op, whether a case names it; and where a CUDA device answers, for each case whose op has
** kernels there, the same of these kernels, through the back end that runs plans.
*/
#include "tools/plugin/checks.h"

#include "ops/cpu/kernels_cpu.h"
#include "runtime/module.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFINITION, KERNELS, WITH_NAN, OTHER_SIZES, N_CHECKS };
static const char *const what[] = {"definition and gradient", "kernels", "with NaN", "with other sizes"};

static uint32_t n_ops(const AdvPlugin *t)
{
    uint32_t n = 0;
    while (t->ops[n]) n++;
    return n;
}

/* ---- loading --------------------------------------------------------------------------------------------------------- */

/* Why there is no device: the first thing that was said. */
static void say_none(Checks *c, const AdvDiags *ds, AdvStatus st)
{
    snprintf(c->why_none, sizeof c->why_none, "%s", ds && ds->list.n ? ds->list.at[0]->message : adv_status_name(st));
}

/* Opens adv_cuda.so; *out_sm: the device that answers, 0 if none does. */
static const AdvModule *open_module(Checks *c, const ChecksPlace *place, int32_t *out_sm)
{
    const AdvModule *m = NULL;
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    AdvBackendOpts o = {.alloc = adv_alloc_default(), .reg = &c->suite.reg, .library_dirs = place->library_dirs};
    AdvStatus st = ADV_EUNAVAILABLE;
    if (place->is_off) {
        snprintf(c->why_none, sizeof c->why_none, "the CPU was asked for");
    } else if (!place->module) {
        snprintf(c->why_none, sizeof c->why_none, "there is no adv_cuda.so where programs look for it; --backend-dir names its folder");
    } else {
        st = adv_module_open(place->module, ds, &m);
        if (st == ADV_OK) st = adv_registry_add_kernels(&c->suite.reg, m->kernels, ds);
        if (st == ADV_OK) st = m->backend->probe(&o, ds, out_sm);
        if (st != ADV_OK) say_none(c, ds, st);
    }
    adv_diags_free(ds);
    return st == ADV_OK ? m : NULL;
}

static void open_device(Checks *c, const AdvModule *m, const ChecksPlace *place)
{
    AdvBackendOpts o = {.reg = &c->suite.reg, .library_dirs = place->library_dirs};
    AdvStatus st = suite_device_open(&c->device, m->backend, &o);
    if (st == ADV_OK) return;
    say_none(c, c->device.ds, st);
    suite_device_close(&c->device);
}

/* Lists the cases whose op the device has kernels for. */
static void list_on_cuda(Checks *c)
{
    c->on_cuda = calloc(c->n_cases + 1, sizeof *c->on_cuda);
    for (uint32_t i = 0; c->on_cuda && i < c->n_cases; i++) {
        const char *line = c->plugin->table->cases[i];
        char op[128];
        uint32_t n = 0;
        size_t len = strcspn(line, " ");
        if (len >= sizeof op) continue;
        memcpy(op, line, len);
        op[len] = 0;
        (void)adv_registry_kernels(&c->suite.reg, "cuda", op, &n);
        if (n && !strstr(line, " refuse=")) c->on_cuda[c->n_on_cuda++] = i;
    }
}

AdvStatus checks_init(Checks *c, const char *path, const ChecksPlace *place, AdvPluginFault *fault)
{
    AdvAlloc a = adv_alloc_default();
    int32_t cuda_sm = 0;
    memset(c, 0, sizeof *c);
    adv_arena_init(&c->suite.arena, a);
    AdvStatus st = adv_registry_init(&c->suite.reg, a);
    if (st == ADV_OK) st = adv_registry_add_kernels(&c->suite.reg, adv_kernels_cpu, NULL);
    if (st != ADV_OK) {
        fault->id = ADV_D_NO_MEMORY;
        snprintf(fault->text, sizeof fault->text, "out of memory");
        fault->help = NULL;
        return st;
    }
    const AdvModule *m = open_module(c, place, &cuda_sm);
    ADV_TRY(adv_plugin_load(&c->suite.reg, NULL, path, NULL, cuda_sm, fault, &c->plugin));
    const AdvPlugin *t = c->plugin->table;
    while (t->cases && t->cases[c->n_cases]) c->n_cases++;
    for (uint32_t i = 0; t->kernels && t->kernels[i]; i++) c->n_cuda += !strcmp(t->kernels[i]->backend, "cuda");
    for (uint32_t i = 0; t->ops[i]; i++) c->n_rows += t->ops[i]->row != NULL;
    if (m && (c->n_cuda || c->n_rows)) open_device(c, m, place);
    if (c->device.self) list_on_cuda(c);
    c->n_items = c->n_cases * N_CHECKS + n_ops(t) + c->n_on_cuda * (N_CHECKS - 1);
    return ADV_OK;
}

void checks_fini(Checks *c)
{
    if (c->device.self) suite_device_close(&c->device);
    free(c->on_cuda);
    adv_arena_fini(&c->suite.arena);
    adv_registry_fini(&c->suite.reg);
}

/* An item: a case and a check of it, or with is_op an op. */
typedef struct Item { uint32_t line, check; bool on_cuda, is_op; } Item;

static Item item_at(const Checks *c, uint32_t ix)
{
    uint32_t n_host = c->n_cases * N_CHECKS, n = n_ops(c->plugin->table);
    if (ix < n_host) return (Item){ix / N_CHECKS, ix % N_CHECKS, false, false};
    if (ix < n_host + n) return (Item){ix - n_host, 0, false, true};
    ix -= n_host + n;
    return (Item){c->on_cuda[ix / (N_CHECKS - 1)], KERNELS + ix % (N_CHECKS - 1), true, false};
}

static const char *op_of(const Checks *c, Item i, size_t *n)
{
    const char *s = i.is_op ? c->plugin->table->ops[i.line]->name : c->plugin->table->cases[i.line];
    *n = strcspn(s, " ");
    return s;
}

bool checks_same_op(const Checks *c, uint32_t ix, uint32_t other)
{
    size_t n, m;
    Item i = item_at(c, ix), o = item_at(c, other);
    const char *a = op_of(c, i, &n), *b = op_of(c, o, &m);
    return !i.is_op && n == m && !strncmp(a, b, n);
}

void checks_describe(const Checks *c, uint32_t ix, char text[CHECK_TEXT])
{
    Item i = item_at(c, ix);
    if (i.is_op) snprintf(text, CHECK_TEXT, "cases of `%s`", c->plugin->table->ops[i.line]->name);
    else snprintf(text, CHECK_TEXT, "%s%s, in case `%.150s`", i.on_cuda ? "on CUDA: " : "", what[i.check], c->plugin->table->cases[i.line]);
}

/* ---- variants of a case ---------------------------------------------------------------------------------------------- */

/* Nothing is known of the results any more. */
static void forget(OpCase *c, const char *why)
{
    memset(c->want, 0, sizeof c->want);
    memset(c->want_grad, 0, sizeof c->want_grad);
    c->nofd = why;
}

/* What is done with a variant. */
typedef int Way(Checks *c, const OpCase *v);

/* Definition, gradient and kernels of the cpu back end. */
static int on_host(Checks *c, const OpCase *v)
{
    c->suite.backend = NULL;
    int n = suite_case(&c->suite, v);
    c->suite.backend = "cpu";
    return n ? n : suite_case(&c->suite, v);
}

/* Kernels of the device: all launches of the case prepared, then run. */
static int on_device(Checks *c, const OpCase *v)
{
    Suite *s = &c->suite;
    s->backend = "cuda";
    s->dev = &c->device;
    suite_device_begin(s->dev);
    int n = suite_case(s, v);
    if (!n && !suite_device_ready(s->dev)) n = suite_fail(s, v, "the kernels for this cannot be made");
    s->dev->is_preparing = false;
    if (!n) n = suite_case(s, v);
    s->dev = NULL;
    return n;
}

static int with_nan(Checks *c, const OpCase *k, Way *way)
{
    OpCase v = *k;
    bool has_float = false;
    forget(&v, "NaN has no slope");
    for (uint32_t i = 0; i < v.n_in; i++) {
        if (v.in[i].type.dtype != ADV_F64) continue;
        has_float = true;
        double *f = ADV_NEW_ARRAY(&c->suite.arena, double, v.in[i].n);
        memcpy(f, v.in[i].f, (size_t)v.in[i].n * sizeof *f);
        f[0] = f[v.in[i].n - 1] = NAN;
        v.in[i].f = f;
    }
    return has_float ? way(c, &v) : 0;
}

/* Size `from` becomes `to` wherever it occurs; values go on from the beginning. */
static void resize(Suite *s, CaseTensor *t, int64_t from, int64_t to)
{
    CaseTensor old = *t;
    t->n = 1;
    for (uint32_t i = 0; i < t->type.rank; i++) {
        if (t->type.dim[i] == from) t->type.dim[i] = to;
        t->n *= t->type.dim[i];
    }
    if (old.f) t->f = ADV_NEW_ARRAY(&s->arena, double, t->n);
    if (old.i) t->i = ADV_NEW_ARRAY(&s->arena, int64_t, t->n);
    for (int64_t i = 0; i < t->n; i++) {
        if (old.f) t->f[i] = old.f[i % old.n];
        if (old.i) t->i[i] = to < from ? old.i[i % old.n] % to : old.i[i % old.n]; /* an index stays one */
    }
}

static bool fits(const OpCase *c)
{
    AdvTensorType in[CASE_MAX_IN], out[CASE_MAX_IN + ADV_MAX_FIXED];
    char msg[256];
    uint32_t n;
    for (uint32_t k = 0; k < c->n_in; k++) in[k] = c->in[k].type;
    return adv_op_infer(c->op, in, c->n_in, c->attr, ADV_F64, out, &n, msg, sizeof msg) == ADV_OK;
}

static bool has_size(const OpCase *c, int64_t size, uint32_t before_in, uint32_t before_dim)
{
    for (uint32_t k = 0; k <= before_in; k++)
        for (uint32_t i = 0; i < c->in[k].type.rank && (k < before_in || i < before_dim); i++)
            if (c->in[k].type.dim[i] == size) return true;
    return false;
}

/* Size `from` of the case made `to`, if the op takes that. */
static int with_size(Checks *c, const OpCase *k, int64_t from, int64_t to, Way *way)
{
    OpCase v = *k;
    forget(&v, "values are repeated");
    v.text = adv_arena_printf(&c->suite.arena, "%s   (with sizes of %lld made %lld)", k->text, (long long)from, (long long)to);
    for (uint32_t i = 0; i < v.n_in; i++) resize(&c->suite, &v.in[i], from, to);
    return fits(&v) ? way(c, &v) : 0;
}

static int with_other_sizes(Checks *c, const OpCase *k, Way *way)
{
    int n = 0;
    for (uint32_t i = 0; i < k->n_in; i++) {
        for (uint32_t d = 0; d < k->in[i].type.rank; d++) {
            int64_t size = k->in[i].type.dim[d], to[] = {1, size + 1, 2 * size + 3};
            if (has_size(k, size, i, d)) continue;
            for (uint32_t j = 0; j < 3 && n == 0; j++) n += with_size(c, k, size, to[j], way);
        }
    }
    return n;
}

/* ---- running ---------------------------------------------------------------------------------------------------------- */

static int run_case(Checks *c, const Item *i)
{
    OpCase k;
    char msg[256];
    Suite *s = &c->suite;
    Way *way = i->on_cuda ? on_device : on_host;
    adv_arena_fini(&s->arena);
    adv_arena_init(&s->arena, adv_alloc_default());
    if (!case_parse(&k, &s->arena, &s->reg, c->plugin->name, (int)i->line + 1, c->plugin->table->cases[i->line], msg, sizeof msg)) {
        if (i->check == DEFINITION) printf("%s: case %u: %s\n", c->plugin->name, i->line + 1, msg[0] ? msg : "it says nothing");
        return i->check == DEFINITION;
    }
    s->backend = i->check == DEFINITION ? NULL : "cpu";
    if (i->check == DEFINITION) return suite_case(s, &k);
    if (k.refuse || k.status != ADV_OK) return 0;
    if (i->check == KERNELS) return i->on_cuda ? on_device(c, &k) : suite_kernels(s, &k);
    return i->check == WITH_NAN ? with_nan(c, &k, way) : with_other_sizes(c, &k, way);
}

static int is_named(const Checks *c, const char *op)
{
    size_t n = strlen(op);
    for (uint32_t i = 0; i < c->n_cases; i++) {
        const char *line = c->plugin->table->cases[i];
        if (!strncmp(line, op, n) && line[n] == ' ' && !strstr(line, " refuse=")) return 0;
    }
    printf("%s: no case runs op `%s`: add one to the plugin's cases\n", c->plugin->name, op);
    return 1;
}

int checks_run(Checks *c, uint32_t ix)
{
    Item i = item_at(c, ix);
    return i.is_op ? is_named(c, c->plugin->table->ops[i.line]->name) : run_case(c, &i);
}

bool checks_can_go_on(Checks *c) { return !c->device.self || c->device.be->sync(c->device.self) == ADV_OK; }
