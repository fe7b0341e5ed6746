/* run_ref.c: executing definitions: the executing builder (exec.h), and adv_op_run_ref on top of it. */
#include "ops/ew.h"
#include "ops/exec.h"
#include "ops/view.h"
#include "runtime/base/container.h"

#include <stdio.h>
#include <string.h>

static AdvExec *exec_of(AdvBuild *b) { return (AdvExec *)(void *)b; }

static void stop(AdvExec *e, AdvStatus st, const char *op, const char *text)
{
    if (e->status != ADV_OK) return;
    e->status = st;
    snprintf(e->message, sizeof e->message, "`%s`: %s", op, text);
}

/* One more value, or NULL after a failure. */
static AdvExecValue *push(AdvExec *e)
{
    if (e->status != ADV_OK) return NULL;
    if (e->n_vals == e->cap_vals) {
        uint32_t cap = e->cap_vals ? 2 * e->cap_vals : 16;
        void *p = e->alloc.fn(e->alloc.user, e->vals, e->cap_vals * sizeof *e->vals, cap * sizeof *e->vals);
        if (!p) {
            stop(e, ADV_ENOMEM, "build", "out of memory");
            return NULL;
        }
        e->vals = p;
        e->cap_vals = cap;
        if (e->n_vals == 0) memset(&e->vals[e->n_vals++], 0, sizeof *e->vals);
    }
    memset(&e->vals[e->n_vals], 0, sizeof *e->vals);
    return &e->vals[e->n_vals++];
}

/* A fresh dense value of a type, zeroed. */
static AdvVal push_dense(AdvExec *e, const AdvTensorType *t)
{
    AdvVal v = {0};
    AdvExecValue *x = push(e);
    size_t n_bytes = (size_t)adv_type_bytes(t);
    if (!x) return v;
    x->mem = adv_mem_new0(&e->alloc, n_bytes);
    if (!x->mem) {
        e->n_vals--;
        stop(e, ADV_ENOMEM, "build", "out of memory");
        return v;
    }
    x->n_bytes = n_bytes;
    x->type = *t;
    x->view = adv_view_of(t, x->mem);
    v.i = e->n_vals - 1;
    return v;
}

static const AdvTensorType *exec_type(AdvBuild *b, AdvVal v)
{
    static const AdvTensorType none;
    AdvExec *e = exec_of(b);
    return v.i != 0 && v.i < e->n_vals ? &e->vals[v.i].type : &none;
}

static AdvVal exec_number(AdvBuild *b, double value, uint8_t dtype)
{
    AdvExec *e = exec_of(b);
    AdvTensorType t = {.dtype = dtype};
    AdvVal v = push_dense(e, &t);
    if (v.i != 0) adv_st(&e->vals[v.i].view, 0, value);
    return v;
}

#define MAX_OPERANDS 64 /* of one node; ops with a repeating input take no more here */

static void run_node(AdvExec *e, const AdvOpDef *op, const AdvVal *in, uint32_t n_in, const AdvAttr *attrs, AdvVal *out_vals,
                     uint32_t n_out)
{
    AdvTensorType in_types[MAX_OPERANDS], out_types[MAX_OPERANDS + ADV_MAX_FIXED];
    AdvView in_views[MAX_OPERANDS], out_views[MAX_OPERANDS];
    AdvVal made[MAX_OPERANDS];
    AdvAttr dflt[ADV_MAX_ATTRS];
    uint32_t n_made = 0;
    char text[200];
    AdvStatus st;
    if (n_in > MAX_OPERANDS || n_out > MAX_OPERANDS) {
        stop(e, ADV_EINVAL, op->name, "too many operands");
        return;
    }
    for (uint32_t k = 0; k < n_in; k++) {
        if (in[k].i == 0 || in[k].i >= e->n_vals) {
            stop(e, ADV_EINVAL, op->name, "an operand is missing");
            return;
        }
        in_types[k] = e->vals[in[k].i].type;
        in_views[k] = e->vals[in[k].i].view;
    }
    if (!attrs) {
        adv_op_default_attrs(op, dflt);
        attrs = dflt;
    }
    st = adv_op_infer(op, in_types, n_in, attrs, e->float_dtype, out_types, &n_made, text, sizeof text);
    if (st == ADV_OK && n_made != n_out) {
        st = ADV_EINVAL;
        snprintf(text, sizeof text, "has %u results, not %u", (unsigned)n_made, (unsigned)n_out);
    }
    if (st != ADV_OK) {
        stop(e, st, op->name, text);
        return;
    }
    for (uint32_t k = 0; k < n_out; k++) {
        made[k] = push_dense(e, &out_types[k]);
        if (made[k].i == 0) return;
        out_views[k] = e->vals[made[k].i].view;
    }
    st = adv_op_run_ref(e->reg, op, in_views, n_in, attrs, out_views, n_out, &e->alloc);
    if (st != ADV_OK)
        stop(e, st, op->name, "its definition failed");
    else
        memcpy(out_vals, made, n_out * sizeof *made);
}

static void exec_node(AdvBuild *b, const char *name, const AdvVal *in, uint32_t n_in, const AdvAttr *attrs, AdvVal *out_vals,
                      uint32_t n_out)
{
    AdvExec *e = exec_of(b);
    const AdvOpDef *op = adv_registry_op(e->reg, name);
    memset(out_vals, 0, n_out * sizeof *out_vals);
    if (e->status != ADV_OK) return;
    if (!op)
        stop(e, ADV_EINTERNAL, name, "no such op");
    else
        run_node(e, op, in, n_in, attrs, out_vals, n_out);
}

void adv_exec_init(AdvExec *e, const AdvRegistry *reg, AdvAlloc alloc, uint8_t float_dtype)
{
    memset(e, 0, sizeof *e);
    e->base.node = exec_node;
    e->base.type = exec_type;
    e->base.number = exec_number;
    e->reg = reg;
    e->alloc = alloc;
    e->float_dtype = float_dtype;
}

void adv_exec_fini(AdvExec *e)
{
    for (uint32_t i = 1; i < e->n_vals; i++) adv_mem_free(&e->alloc, e->vals[i].mem, e->vals[i].n_bytes);
    adv_mem_free(&e->alloc, e->vals, e->cap_vals * sizeof *e->vals);
    memset(e, 0, sizeof *e);
}

AdvVal adv_exec_input(AdvExec *e, const AdvView *v)
{
    AdvVal r = {0};
    AdvExecValue *x = push(e);
    if (!x) return r;
    x->view = *v;
    x->type.dtype = v->dtype;
    x->type.rank = v->rank;
    memcpy(x->type.dim, v->dim, sizeof v->dim[0] * v->rank);
    r.i = e->n_vals - 1;
    return r;
}

AdvView adv_exec_view(const AdvExec *e, AdvVal v)
{
    AdvView none = {0};
    return v.i != 0 && v.i < e->n_vals ? e->vals[v.i].view : none;
}

/* The float type that results get which depend on no float: that of any float operand. */
static uint8_t float_dtype_of(const AdvView *v, uint32_t n, uint8_t dflt)
{
    for (uint32_t i = 0; i < n; i++)
        if (v[i].dtype == ADV_F32 || v[i].dtype == ADV_F64) return v[i].dtype;
    return dflt;
}

static bool fits(const AdvView *a, const AdvView *b)
{
    return a->data && a->dtype == b->dtype && a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]) == 0;
}

static AdvStatus run_expand(const AdvRegistry *r, const AdvOpDef *op, const AdvView *in, uint32_t n_in, const AdvAttr *attr,
                            const AdvView *out, uint32_t n_out, const AdvAlloc *a)
{
    AdvVal in_vals[MAX_OPERANDS], out_vals[MAX_OPERANDS] = {{0}};
    AdvExpandCtx c = {.n_in = n_in, .n_out = n_out, .in = in_vals, .out = out_vals, .attr = attr};
    AdvExec e;
    AdvStatus st;
    if (n_in > MAX_OPERANDS || n_out > MAX_OPERANDS) return ADV_EINVAL;
    adv_exec_init(&e, r, *a, float_dtype_of(in, n_in, float_dtype_of(out, n_out, ADV_F32)));
    for (uint32_t k = 0; k < n_in; k++) in_vals[k] = adv_exec_input(&e, &in[k]);
    st = op->expand(&e.base, &c);
    if (st == ADV_OK) st = e.status;
    for (uint32_t k = 0; k < n_out && st == ADV_OK; k++) {
        AdvView v = adv_exec_view(&e, out_vals[k]);
        if (!fits(&v, &out[k]))
            st = ADV_EINTERNAL;
        else
            adv_view_copy(&out[k], &v);
    }
    adv_exec_fini(&e);
    return st;
}

AdvStatus adv_op_run_ref(const AdvRegistry *r, const AdvOpDef *op, const AdvView *in, uint32_t n_in, const AdvAttr *attr,
                         const AdvView *out, uint32_t n_out, const AdvAlloc *a)
{
    AdvRefCall c = {.n_in = n_in, .n_out = n_out, .in = in, .out = out, .attr = attr};
    if (op->ref) return op->ref(&c);
    if (op->row) return adv_ew_ref(&c, op->row);
    if (op->expand) return run_expand(r, op, in, n_in, attr, out, n_out, a);
    return ADV_EUNAVAILABLE; /* structural ops are the compiler's and the runtime's own */
}
