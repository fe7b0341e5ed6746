/* registry.c: the sorted table of ops and kernels, the check of definitions, and the one entry to shape rules.
**
** Definitions come from ops.def and from plugins and are checked alike, so a built-in op has no privilege and a plugin's
** mistake is a message, not a crash. Tables are sorted after each addition; lookups are binary searches.
*/
#include "ops/registry.h"

#include "ops/ew.h"
#include "ops/plugin.h"
#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/checked.h"
#include "runtime/base/container.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OP(name) extern const AdvOpDef adv_op_##name;
#include "ops/ops.def"
#undef OP

static const AdvOpDef *const builtin[] = {
#define OP(name) &adv_op_##name,
#include "ops/ops.def"
#undef OP
    NULL};

/* ---- counts ---- */

static uint32_t n_ports(const AdvPortDef *p)
{
    uint32_t n = 0;
    while (p && p[n].kind != ADV_PORT_END && !(p[n].kind & ADV_PORT_REPEAT)) n++;
    return n;
}

static bool ports_repeat(const AdvPortDef *p) { return p && (p[n_ports(p)].kind & ADV_PORT_REPEAT) != 0; }

uint32_t adv_op_n_in(const AdvOpDef *op) { return n_ports(op->in); }

bool adv_op_in_repeats(const AdvOpDef *op) { return ports_repeat(op->in); }

uint32_t adv_op_n_out(const AdvOpDef *op) { return n_ports(op->out); }

uint32_t adv_op_n_attrs(const AdvOpDef *op)
{
    uint32_t n = 0;
    while (op->attrs && op->attrs[n].kind != ADV_ATTR_END) n++;
    return n;
}

void adv_op_default_attrs(const AdvOpDef *op, AdvAttr *attr)
{
    for (uint32_t i = 0, n = adv_op_n_attrs(op); i < n; i++) {
        const AdvAttrDef *d = &op->attrs[i];
        memset(&attr[i], 0, sizeof attr[i]);
        attr[i].f = d->dflt;
        if ((d->kind == ADV_ATTR_INT || d->kind == ADV_ATTR_ENUM) && !isnan(d->dflt)) attr[i].i = (int64_t)d->dflt;
    }
}

/* ---- the check of a definition ---- */

static bool refuse(char *msg, size_t msg_bytes, const char *fmt, ...) ADV_PRINTF(3, 4);
static bool refuse(char *msg, size_t msg_bytes, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, msg_bytes, fmt, ap);
    va_end(ap);
    return false;
}

static bool is_name(const char *s)
{
    if (!s || !(*s >= 'a' && *s <= 'z')) return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_')) return false;
    return true;
}

static bool check_ports(const AdvOpDef *op, const AdvPortDef *p, const char *side, char *msg, size_t msg_bytes)
{
    uint32_t n = n_ports(p) + ports_repeat(p);
    if (n > ADV_MAX_FIXED) return refuse(msg, msg_bytes, "`%s` has more than %d %s ports", op->name, ADV_MAX_FIXED, side);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t kind = ADV_PORT_KIND(p[i].kind);
        if (!is_name(p[i].name) || kind == ADV_PORT_END || kind > ADV_PORT_ANY)
            return refuse(msg, msg_bytes, "`%s` has a wrong %s port at index %u", op->name, side, (unsigned)i);
        if (!p[i].doc || !*p[i].doc) return refuse(msg, msg_bytes, "`%s` says nothing about port `%s`", op->name, p[i].name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(p[i].name, p[j].name) == 0) return refuse(msg, msg_bytes, "`%s` has two ports `%s`", op->name, p[i].name);
    }
    return true;
}

static int64_t n_choices(const char *choices)
{
    int64_t n = 1;
    for (const char *s = choices; *s; s++) n += *s == '|';
    return n;
}

static bool check_attrs(const AdvOpDef *op, char *msg, size_t msg_bytes)
{
    uint32_t n = adv_op_n_attrs(op);
    if (n > ADV_MAX_ATTRS) return refuse(msg, msg_bytes, "`%s` has more than %d attributes", op->name, ADV_MAX_ATTRS);
    for (uint32_t i = 0; i < n; i++) {
        const AdvAttrDef *d = &op->attrs[i];
        bool is_list = d->kind >= ADV_ATTR_INTS;
        if (!is_name(d->name) || d->kind > ADV_ATTR_OPS)
            return refuse(msg, msg_bytes, "`%s` has a wrong attribute at index %u", op->name, (unsigned)i);
        if (!d->doc || !*d->doc) return refuse(msg, msg_bytes, "`%s` says nothing about attribute `%s`", op->name, d->name);
        if (!(d->min <= d->max)) return refuse(msg, msg_bytes, "`%s`: bounds of `%s` are the wrong way round", op->name, d->name);
        if (!is_list && !isnan(d->dflt) && !(d->dflt >= d->min && d->dflt <= d->max))
            return refuse(msg, msg_bytes, "`%s`: the default of `%s` is out of its bounds", op->name, d->name);
        if ((d->kind == ADV_ATTR_ENUM) != (d->choices != NULL))
            return refuse(msg, msg_bytes, "`%s`: choices belong to an enum, see `%s`", op->name, d->name);
        if (d->kind == ADV_ATTR_ENUM && (d->min != 0 || (int64_t)d->max != n_choices(d->choices) - 1))
            return refuse(msg, msg_bytes, "`%s`: bounds of `%s` are not those of its choices", op->name, d->name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(d->name, op->attrs[j].name) == 0) return refuse(msg, msg_bytes, "`%s` has two attributes `%s`", op->name, d->name);
    }
    return true;
}

static bool check_inplace(const AdvOpDef *op, char *msg, size_t msg_bytes)
{
    for (uint32_t k = 0; k < 4; k++) {
        if (op->inplace[k] == ADV_INPLACE_NONE) continue;
        if (k >= adv_op_n_out(op)) return refuse(msg, msg_bytes, "`%s`: inplace names output %u, which it has not", op->name, (unsigned)k);
        if (op->inplace[k] != ADV_INPLACE_ANY && op->inplace[k] > adv_op_n_in(op) + ports_repeat(op->in))
            return refuse(msg, msg_bytes, "`%s`: inplace names an input it has not", op->name);
    }
    return true;
}

/* A row takes its ports one to one, gives one result, and has no attributes. */
static bool row_ok(const AdvOpDef *op)
{
    const AdvEwRow *r = op->row;
    return r->n_in >= 1 && r->n_in <= 3 && r->takes <= ADV_EW_CHOICE && r->f && r->text && adv_op_n_in(op) == r->n_in &&
           !adv_op_in_repeats(op) && adv_op_n_out(op) == 1 && adv_op_n_attrs(op) == 0 && (op->flags & ADV_OP_ELEMENTWISE);
}

bool adv_op_check(const AdvOpDef *op, char *msg, size_t msg_bytes)
{
    uint32_t free_form = ADV_OP_STRUCT | ADV_OP_VIEW, n_meanings = (op->ref != NULL) + (op->expand != NULL) + (op->row != NULL);
    if (op->abi != ADV_OP_ABI || op->struct_size != sizeof(AdvOpDef))
        return refuse(msg, msg_bytes, "an op was built for another version of adv_op.h (abi %" PRIu32 ", size %" PRIu32 ")", op->abi,
                      op->struct_size);
    if (!is_name(op->name)) return refuse(msg, msg_bytes, "an op's name is not in lower case letters, digits and `_`");
    if (op->version == 0) return refuse(msg, msg_bytes, "`%s` has version 0", op->name);
    if (!op->doc || !*op->doc) return refuse(msg, msg_bytes, "`%s` has no doc", op->name);
    if (!op->infer && !op->row) return refuse(msg, msg_bytes, "`%s` has no shape rule", op->name);
    if (!op->grad)
        return refuse(msg, msg_bytes, "`%s` says nothing about its gradient: a function, ADV_GRAD_ZERO or ADV_GRAD_NEVER", op->name);
    if (n_meanings > 1) return refuse(msg, msg_bytes, "`%s` has more than one of ref, expand and row", op->name);
    if (n_meanings == 0 && !(op->flags & free_form)) return refuse(msg, msg_bytes, "`%s` has neither ref, expand nor row", op->name);
    if (op->row && !row_ok(op)) return refuse(msg, msg_bytes, "`%s` has a row that lacks something or does not fit its ports", op->name);
    if (op->precision > ADV_PREC_STATS || op->layout > ADV_LAYOUT_OP_ANY)
        return refuse(msg, msg_bytes, "`%s` has an unknown precision or layout", op->name);
    if ((op->flags & ADV_OP_COMMUTES) && adv_op_n_in(op) < 2) return refuse(msg, msg_bytes, "`%s` has no two inputs to swap", op->name);
    if ((op->flags & ADV_OP_ROWS) && adv_op_n_in(op) < 2)
        return refuse(msg, msg_bytes, "`%s` has no second input with the numbers of its rows", op->name);
    return check_ports(op, op->in, "input", msg, msg_bytes) && check_ports(op, op->out, "output", msg, msg_bytes) &&
           check_attrs(op, msg, msg_bytes) && check_inplace(op, msg, msg_bytes);
}

/* ---- the table ---- */

static int by_name(const void *a, const void *b)
{
    const AdvOpDef *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int kernel_order(const AdvKernel *x, const AdvKernel *y)
{
    int d = strcmp(x->backend, y->backend);
    if (d == 0) d = strcmp(x->op, y->op);
    if (d == 0) d = (x->order > y->order) - (x->order < y->order);
    return d ? d : strcmp(x->name, y->name);
}

static int by_kernel(const void *a, const void *b)
{
    const AdvKernel *const *x = a, *const *y = b;
    return kernel_order(*x, *y);
}

/* Room for `more` pointers at the end of a table of n; NULL when out of memory. */
static void *widen(const AdvAlloc *a, void *table, uint32_t n, uint32_t more)
{
    return a->fn(a->user, table, n * sizeof(void *), ((size_t)n + more) * sizeof(void *));
}

AdvStatus adv_registry_init(AdvRegistry *r, AdvAlloc alloc)
{
    memset(r, 0, sizeof *r);
    r->alloc = alloc;
    return adv_registry_add_ops(r, builtin, NULL);
}

void adv_registry_fini(AdvRegistry *r)
{
    adv_mem_free(&r->alloc, r->ops, r->n_ops * sizeof(void *));
    adv_mem_free(&r->alloc, r->kernels, r->n_kernels * sizeof(void *));
    adv_plugins_free(r);
    memset(r, 0, sizeof *r);
}

AdvStatus adv_registry_add_ops(AdvRegistry *r, const AdvOpDef *const *ops, AdvDiags *ds)
{
    uint32_t n = 0;
    char msg[200];
    void *table;
    for (; ops[n]; n++) {
        if (!adv_op_check(ops[n], msg, sizeof msg)) return adv_fail(ds, ADV_EDATA, ADV_D_OP_REFUSED, "%s", msg);
        if (adv_registry_op(r, ops[n]->name)) return adv_fail(ds, ADV_EDATA, ADV_D_OP_REFUSED, "there is an op `%s` already", ops[n]->name);
        for (uint32_t k = 0; k < n; k++)
            if (strcmp(ops[k]->name, ops[n]->name) == 0)
                return adv_fail(ds, ADV_EDATA, ADV_D_OP_REFUSED, "there are two ops `%s`", ops[n]->name);
    }
    if (n == 0) return ADV_OK;
    table = widen(&r->alloc, r->ops, r->n_ops, n);
    if (!table) return ADV_ENOMEM;
    r->ops = table;
    memcpy(r->ops + r->n_ops, ops, n * sizeof *ops);
    r->n_ops += n;
    qsort(r->ops, r->n_ops, sizeof *r->ops, by_name);
    return ADV_OK;
}

void adv_registry_drop_ops(AdvRegistry *r, const AdvOpDef *const *ops)
{
    uint32_t n = 0, before = r->n_ops;
    for (uint32_t i = 0; i < before; i++) {
        bool is_listed = false;
        for (uint32_t k = 0; ops[k]; k++) is_listed |= r->ops[i] == ops[k];
        if (!is_listed) r->ops[n++] = r->ops[i];
    }
    const AdvOpDef **smaller = adv_mem_new(&r->alloc, n * sizeof *smaller);
    if (!smaller) return; /* without memory they stay, and are only refused a second time */
    memcpy(smaller, r->ops, n * sizeof *smaller);
    adv_mem_free(&r->alloc, r->ops, before * sizeof *r->ops);
    r->ops = smaller;
    r->n_ops = n;
}

static bool is_for_rows(const AdvKernel *k) { return strcmp(k->op, ADV_KERNEL_ROWS) == 0; }

static AdvStatus check_kernel(const AdvRegistry *r, const AdvKernel *k, AdvDiags *ds)
{
    const AdvOpDef *op;
    if (k->abi != ADV_OP_ABI || k->struct_size != sizeof(AdvKernel))
        return adv_fail(ds, ADV_EDATA, ADV_D_OP_REFUSED,
                        "a kernel was built for another version of adv_op.h (abi %" PRIu32 ", size %" PRIu32 ")", k->abi, k->struct_size);
    if (!k->backend || !k->op || !k->name || !k->can || !k->run)
        return adv_fail(ds, ADV_EDATA, ADV_D_OP_REFUSED, "a kernel lacks backend, op, name, can or run");
    if (is_for_rows(k)) return ADV_OK;
    op = adv_registry_op(r, k->op);
    if (!op) return adv_fail(ds, ADV_EDATA, ADV_D_OP_REFUSED, "kernel `%s` is for an unknown op `%s`", k->name, k->op);
    if (op->version != k->op_version)
        return adv_fail(ds, ADV_EDATA, ADV_D_OP_REFUSED, "kernel `%s` computes version %u of `%s`, whose version is %u", k->name,
                        (unsigned)k->op_version, k->op, (unsigned)op->version);
    return ADV_OK;
}

AdvStatus adv_registry_add_kernels(AdvRegistry *r, const AdvKernel *const *kernels, AdvDiags *ds)
{
    uint32_t n = 0;
    void *table;
    for (; kernels[n]; n++) ADV_TRY(check_kernel(r, kernels[n], ds));
    if (n == 0) return ADV_OK;
    table = widen(&r->alloc, r->kernels, r->n_kernels, n);
    if (!table) return ADV_ENOMEM;
    r->kernels = table;
    memcpy(r->kernels + r->n_kernels, kernels, n * sizeof *kernels);
    r->n_kernels += n;
    qsort(r->kernels, r->n_kernels, sizeof *r->kernels, by_kernel);
    return ADV_OK;
}

const AdvOpDef *adv_registry_op(const AdvRegistry *r, const char *name)
{
    uint32_t lo = 0, hi = r->n_ops;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int d = strcmp(name, r->ops[mid]->name);
        if (d == 0) return r->ops[mid];
        if (d < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

bool adv_kernel_can(const AdvKernel *k, const AdvSig *sig, const char **why)
{
    *why = "no reason given";
    if (k->op_version == sig->op->version || is_for_rows(k)) return k->can(sig, why);
    *why = "made for another version of the op";
    return false;
}

static const AdvKernel *const *find_kernels(const AdvRegistry *r, const char *backend, const char *op, uint32_t *out_n)
{
    uint32_t lo = 0, hi = r->n_kernels, n = 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int d = strcmp(r->kernels[mid]->backend, backend);
        if (d == 0) d = strcmp(r->kernels[mid]->op, op);
        if (d < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    while (lo + n < r->n_kernels && strcmp(r->kernels[lo + n]->backend, backend) == 0 && strcmp(r->kernels[lo + n]->op, op) == 0) n++;
    *out_n = n;
    return n ? &r->kernels[lo] : NULL;
}

const AdvKernel *const *adv_registry_kernels(const AdvRegistry *r, const char *backend, const char *op, uint32_t *out_n)
{
    const AdvKernel *const *own = find_kernels(r, backend, op, out_n);
    const AdvOpDef *def = own ? NULL : adv_registry_op(r, op);
    return def && def->row ? find_kernels(r, backend, ADV_KERNEL_ROWS, out_n) : own;
}

/* ---- shape rules ---- */

typedef struct Message {
    char *text;
    size_t n_bytes;
} Message;

static AdvStatus infer_fail(AdvInferCtx *c, const char *fmt, ...)
{
    Message *m = c->host;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(m->text, m->n_bytes, fmt, ap);
    va_end(ap);
    return ADV_ERECIPE;
}

/* May an operand or result of this port have this type? */
static bool is_of_kind(uint8_t port, uint8_t dtype)
{
    uint8_t kind = ADV_PORT_KIND(port);
    if (kind == ADV_PORT_ANY) return adv_dtype_bytes(dtype) != 0;
    return kind == ADV_PORT_FLOAT ? adv_dtype_is_float(dtype) : adv_dtype_is_int(dtype);
}

static AdvStatus check_in(AdvInferCtx *c, const AdvOpDef *op)
{
    static const char *const kinds[] = {"", "floats", "integers", "numbers"};
    uint32_t n = adv_op_n_in(op);
    if (c->n_in != n && !(adv_op_in_repeats(op) && c->n_in > n))
        return c->fail(c, "`%s` takes %s%u operand%s, got %u", op->name, adv_op_in_repeats(op) ? "at least " : "", (unsigned)n,
                       n == 1 ? "" : "s", (unsigned)c->n_in);
    for (uint32_t k = 0; k < c->n_in; k++) {
        const AdvPortDef *p = &op->in[k < n ? k : n];
        uint8_t dtype = c->in[k].dtype;
        if (!is_of_kind(p->kind, dtype))
            return c->fail(c, "`%s` needs %s for `%s`, got %s", op->name, kinds[ADV_PORT_KIND(p->kind)], p->name, adv_dtype_name(dtype));
    }
    return ADV_OK;
}

static AdvStatus check_attr(AdvInferCtx *c, const AdvOpDef *op, const AdvAttrDef *d, const AdvAttr *a)
{
    bool is_int = d->kind == ADV_ATTR_INT || d->kind == ADV_ATTR_ENUM;
    if (is_int || d->kind == ADV_ATTR_FLOAT) {
        double v = is_int ? (double)a->i : a->f;
        if (is_int && isnan(d->dflt) && isnan(a->f)) return c->fail(c, "`%s` needs `%s`: %s", op->name, d->name, d->doc);
        if (isnan(v)) return c->fail(c, "`%s` needs `%s`: %s", op->name, d->name, d->doc);
        if (!(v >= d->min && v <= d->max))
            return c->fail(c, "`%s` needs `%s` within %g and %g, got %g", op->name, d->name, d->min, d->max, v);
        return ADV_OK;
    }
    for (uint32_t i = 0; i < a->n && d->kind != ADV_ATTR_OPS; i++) {
        double v = d->kind == ADV_ATTR_INTS ? (double)a->ints[i] : a->floats[i];
        if (!(v >= d->min && v <= d->max))
            return c->fail(c, "`%s` needs each of `%s` within %g and %g, got %g", op->name, d->name, d->min, d->max, v);
    }
    return ADV_OK;
}

/* Sizes must fit: bytes below 2^62, so that offsets never overflow. */
static AdvStatus check_out(AdvInferCtx *c, const AdvOpDef *op)
{
    uint32_t n = adv_op_n_out(op);
    for (uint32_t k = 0; k < c->n_out; k++) {
        const AdvTensorType *t = &c->out[k];
        uint64_t n_bytes = adv_dtype_bytes(t->dtype);
        if (n_bytes == 0 || t->rank > ADV_MAX_RANK) return c->fail(c, "the shape rule of `%s` left result %u unset", op->name, (unsigned)k);
        const AdvPortDef *p = n ? &op->out[k < n ? k : n - 1] : NULL; /* the last may repeat */
        if (p && !is_of_kind(p->kind, t->dtype))
            return c->fail(c, "the shape rule of `%s` makes `%s` %s, which its port says it is not", op->name, p->name,
                           adv_dtype_name(t->dtype));
        for (uint32_t i = 0; i < t->rank; i++) {
            if (t->dim[i] <= 0) return c->fail(c, "`%s` gives an empty tensor", op->name);
            if (!adv_mul_ok(n_bytes, (uint64_t)t->dim[i], &n_bytes) || n_bytes >> 62)
                return c->fail(c, "`%s` gives a tensor too large to hold", op->name);
        }
    }
    return ADV_OK;
}

AdvStatus adv_op_infer(const AdvOpDef *op, const AdvTensorType *in, uint32_t n_in, const AdvAttr *attr, uint8_t float_dtype,
                       AdvTensorType *out, uint32_t *out_n_out, char *msg, size_t msg_bytes)
{
    Message m = {msg, msg_bytes};
    AdvInferCtx c = {.n_in = n_in,
                     .in = in,
                     .attr = attr,
                     .float_dtype = float_dtype,
                     .n_out = adv_op_n_out(op),
                     .out = out,
                     .fail = infer_fail,
                     .host = &m};
    AdvStatus st;
    if (msg_bytes) msg[0] = 0;
    memset(out, 0, c.n_out * sizeof *out);
    st = check_in(&c, op);
    for (uint32_t i = 0, n = adv_op_n_attrs(op); i < n && st == ADV_OK; i++) st = check_attr(&c, op, &op->attrs[i], &attr[i]);
    if (st == ADV_OK) st = op->row ? adv_ew_infer(&c, op) : op->infer(&c);
    if (st == ADV_OK) st = check_out(&c, op);
    *out_n_out = st == ADV_OK ? c.n_out : 0;
    return st;
}
