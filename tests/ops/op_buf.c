/* op_buf.c: tensors in memory with guards around them and, if asked, holes between the elements. */
#include "op_suite.h"

#include "runtime/base/container.h"

#include <math.h>
#include <string.h>

#define GUARD   64
#define PATTERN 0xa5

/* Strides with holes: each dimension one step wider than dense, the innermost stepping by 2. */
static int64_t gap_strides(AdvView *v)
{
    int64_t step = 2;
    for (uint32_t i = v->rank; i-- > 0;) {
        v->stride[i] = step;
        step = step * v->dim[i] + 1;
    }
    return v->rank ? step : 1;
}

/* Writes `fill` to the bytes of every element. */
static void fill_elems(const AdvView *v, unsigned char fill)
{
    AdvIter it;
    size_t w = adv_dtype_bytes(v->dtype);
    adv_iter_init(&it, v->rank, v->dim);
    adv_iter_add(&it, v);
    for (; it.more; adv_iter_next(&it)) memset((char *)v->data + (size_t)it.at[0] * w, fill, w);
}

Buf buf_new(Suite *s, const AdvTensorType *t, int form, unsigned char fill)
{
    Buf b = {.type = *t};
    int64_t n = adv_type_elems(t);
    uintptr_t at;
    b.type.layout = form == BUF_CL && t->rank == 4 ? ADV_LAYOUT_CL : ADV_LAYOUT_ROW;
    b.view = adv_view_of(&b.type, NULL);
    if (form == BUF_GAPS) n = gap_strides(&b.view);
    b.n_bytes = (size_t)n * adv_dtype_bytes(t->dtype) + 2 * GUARD;
    b.mem = adv_arena_new(&s->arena, b.n_bytes + 64);
    at = ((uintptr_t)b.mem + 63) / 64 * 64; /* kernels get aligned operands */
    b.mem += at - (uintptr_t)b.mem;
    memset(b.mem, PATTERN, b.n_bytes);
    b.view.data = b.mem + GUARD;
    fill_elems(&b.view, fill);
    return b;
}

Buf buf_of(Suite *s, const CaseTensor *t, uint8_t float_dtype, int form)
{
    AdvTensorType type = t->type;
    AdvIter it;
    Buf b;
    int64_t k = 0;
    if (type.dtype == ADV_F64) type.dtype = float_dtype;
    b = buf_new(s, &type, form, 0);
    adv_iter_init(&it, type.rank, type.dim);
    adv_iter_add(&it, &b.view);
    for (; it.more; adv_iter_next(&it), k++) {
        if (t->type.dtype == ADV_F64)
            adv_st(&b.view, it.at[0], t->f[k]);
        else if (type.dtype == ADV_I64)
            ((int64_t *)b.view.data)[it.at[0]] = t->i[k];
        else
            adv_st(&b.view, it.at[0], (double)t->i[k]);
    }
    return b;
}

bool buf_guards_ok(Suite *s, const Buf *b)
{
    AdvArenaMark mark = adv_arena_mark(&s->arena);
    unsigned char *copy = adv_arena_new(&s->arena, b->n_bytes);
    AdvView v = b->view;
    bool ok = true;
    memcpy(copy, b->mem, b->n_bytes);
    v.data = copy + GUARD;
    fill_elems(&v, PATTERN);
    for (size_t i = 0; i < b->n_bytes; i++) ok &= copy[i] == PATTERN;
    adv_arena_release(&s->arena, mark);
    return ok;
}

bool buf_same(const Buf *a, const Buf *b)
{
    AdvIter it;
    size_t w = adv_dtype_bytes(a->type.dtype);
    if (a->type.dtype != b->type.dtype || !adv_shape_eq(&a->type, &b->type)) return false;
    adv_iter_init(&it, a->view.rank, a->view.dim);
    adv_iter_add(&it, &a->view);
    adv_iter_add(&it, &b->view);
    for (; it.more; adv_iter_next(&it))
        if (memcmp((const char *)a->view.data + (size_t)it.at[0] * w, (const char *)b->view.data + (size_t)it.at[1] * w, w) != 0)
            return false;
    return true;
}

double buf_scale(const Buf *b)
{
    double m = 0;
    AdvIter it;
    adv_iter_init(&it, b->view.rank, b->view.dim);
    adv_iter_add(&it, &b->view);
    for (; it.more; adv_iter_next(&it)) {
        double v = fabs(adv_ld(&b->view, it.at[0]));
        if (isfinite(v) && v > m) m = v;
    }
    return m;
}
