/* checks.c: see checks.h. Items are, for each case of the plugin: its definition and gradient, its kernels, both with NaN among the
** operands, both with other sizes; and for each op, whether a case names it.
*/
#include "tools/plugin/checks.h"

#include "ops/cpu/kernels_cpu.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEFINITION, KERNELS, WITH_NAN, OTHER_SIZES, N_CHECKS };

static uint32_t n_ops(const AdvPlugin *t)
{
    uint32_t n = 0;
    while (t->ops[n]) n++;
    return n;
}

AdvStatus checks_init(Checks *c, const char *path, AdvPluginFault *fault)
{
    AdvAlloc a = adv_alloc_default();
    memset(c, 0, sizeof *c);
    adv_arena_init(&c->suite.arena, a);
    AdvStatus st = adv_registry_init(&c->suite.reg, a);
    if (st == ADV_OK) st = adv_registry_add_kernels(&c->suite.reg, adv_kernels_cpu, NULL);
    if (st != ADV_OK) {
        fault->id = ADV_D_NO_MEMORY;
        snprintf(fault->text, sizeof fault->text, "out of memory");
        return st;
    }
    ADV_TRY(adv_plugin_load(&c->suite.reg, NULL, path, NULL, fault, &c->plugin));
    const AdvPlugin *t = c->plugin->table;
    while (t->cases && t->cases[c->n_cases]) c->n_cases++;
    c->n_items = c->n_cases * N_CHECKS + n_ops(t);
    return ADV_OK;
}

void checks_fini(Checks *c)
{
    adv_arena_fini(&c->suite.arena);
    adv_registry_fini(&c->suite.reg);
}

void checks_describe(const Checks *c, uint32_t ix, char text[CHECK_TEXT])
{
    static const char *const what[] = {"definition and gradient", "kernels", "with NaN", "with other sizes"};
    if (ix < c->n_cases * N_CHECKS)
        snprintf(text, CHECK_TEXT, "%s, in case `%.150s`", what[ix % N_CHECKS], c->plugin->table->cases[ix / N_CHECKS]);
    else
        snprintf(text, CHECK_TEXT, "cases of `%s`", c->plugin->table->ops[ix - c->n_cases * N_CHECKS]->name);
}

/* ---- variants of a case ---------------------------------------------------------------------------------------------- */

/* Nothing is known of the results any more. */
static void forget(OpCase *c, const char *why)
{
    memset(c->want, 0, sizeof c->want);
    memset(c->want_grad, 0, sizeof c->want_grad);
    c->nofd = why;
}

/* Definition, gradient and kernels of the cpu back end. */
static int all_ways(Suite *s, const OpCase *c)
{
    s->backend = NULL;
    int n = suite_case(s, c);
    s->backend = "cpu";
    return n ? n : suite_case(s, c);
}

static int with_nan(Suite *s, const OpCase *c)
{
    OpCase v = *c;
    bool has_float = false;
    forget(&v, "NaN has no slope");
    for (uint32_t k = 0; k < v.n_in; k++) {
        if (v.in[k].type.dtype != ADV_F64) continue;
        has_float = true;
        double *f = ADV_NEW_ARRAY(&s->arena, double, v.in[k].n);
        memcpy(f, v.in[k].f, (size_t)v.in[k].n * sizeof *f);
        f[0] = f[v.in[k].n - 1] = NAN;
        v.in[k].f = f;
    }
    return has_float ? all_ways(s, &v) : 0;
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

static int with_other_sizes(Suite *s, const OpCase *c)
{
    int n = 0;
    for (uint32_t k = 0; k < c->n_in; k++) {
        for (uint32_t i = 0; i < c->in[k].type.rank; i++) {
            int64_t size = c->in[k].type.dim[i], to[] = {1, size + 1, 2 * size + 3};
            if (has_size(c, size, k, i)) continue;
            for (uint32_t j = 0; j < 3 && n == 0; j++) {
                OpCase v = *c;
                forget(&v, "values are repeated");
                v.text = adv_arena_printf(&s->arena, "%s   (with sizes of %lld made %lld)", c->text, (long long)size, (long long)to[j]);
                for (uint32_t m = 0; m < v.n_in; m++) resize(s, &v.in[m], size, to[j]);
                if (fits(&v)) n += all_ways(s, &v);
            }
        }
    }
    return n;
}

/* ---- running ---------------------------------------------------------------------------------------------------------- */

static int run_case(Checks *c, uint32_t line, uint32_t check)
{
    OpCase k;
    char msg[256];
    Suite *s = &c->suite;
    adv_arena_fini(&s->arena);
    adv_arena_init(&s->arena, adv_alloc_default());
    if (!case_parse(&k, &s->arena, &s->reg, c->plugin->name, (int)line + 1, c->plugin->table->cases[line], msg, sizeof msg)) {
        if (check == DEFINITION) printf("%s: case %u: %s\n", c->plugin->name, line + 1, msg[0] ? msg : "it says nothing");
        return check == DEFINITION;
    }
    s->backend = check == DEFINITION ? NULL : "cpu";
    if (check == DEFINITION) return suite_case(s, &k);
    if (k.refuse || k.status != ADV_OK) return 0;
    if (check == KERNELS) return suite_kernels(s, &k);
    return check == WITH_NAN ? with_nan(s, &k) : with_other_sizes(s, &k);
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
    if (ix < c->n_cases * N_CHECKS) return run_case(c, ix / N_CHECKS, ix % N_CHECKS);
    return is_named(c, c->plugin->table->ops[ix - c->n_cases * N_CHECKS]->name);
}
