/* dlpack.c: tensors of other libraries, without copying, both ways.
**
** A tensor that is exported keeps the whole session: its deleter gives back one of the session's counts, and the last one frees
** it. A tensor that is bound is kept on a list of the session until its state is bound anew.
**
** Memory of another device goes both ways as well. There is no stream in a tensor, so whoever hands one over has waited: every
** call of adv.h returns when the device has done its work, and export waits once more.
*/
#include "runtime/adv_dlpack.h"

#include "ops/view.h"
#include "runtime/session.h"

#include <string.h>

/* ---- types --------------------------------------------------------------------------------------------------------- */

typedef struct TypeRow { uint8_t dtype, code, bits; } TypeRow;

static const TypeRow types[] = {
    {ADV_F32, kDLFloat, 32}, {ADV_F64, kDLFloat, 64}, {ADV_BF16, kDLBfloat, 16}, {ADV_F16, kDLFloat, 16},
    {ADV_I32, kDLInt, 32},   {ADV_I64, kDLInt, 64},   {ADV_U8, kDLUInt, 8},
};
enum { N_TYPES = sizeof types / sizeof *types };

static uint8_t dtype_of(DLDataType d)
{
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].code == d.code && types[i].bits == d.bits && d.lanes == 1) return types[i].dtype;
    return ADV_DTYPE_NONE;
}

static DLDataType type_of(uint8_t dtype)
{
    int i = 0;
    while (types[i].dtype != dtype) i++;
    DLDataType d = {types[i].code, types[i].bits, 1};
    return d;
}

/* The tensor as a view, wherever it is. */
static AdvStatus view_of(const DLTensor *t, AdvView *out_view)
{
    uint8_t dtype = dtype_of(t->dtype);
    if (!dtype || t->ndim < 0 || t->ndim > ADV_MAX_RANK) return ADV_EINVAL;
    AdvView v = {.dtype = dtype, .rank = (uint8_t)t->ndim, .data = (char *)t->data + t->byte_offset};
    int64_t stride = 1;
    for (int32_t k = t->ndim; k-- > 0;) {
        if (t->shape[k] <= 0) return ADV_EINVAL;
        v.dim[k] = t->shape[k];
        v.stride[k] = t->strides ? t->strides[k] : stride;
        if (__builtin_mul_overflow(stride, t->shape[k], &stride)) return ADV_EINVAL;
    }
    *out_view = v;
    return ADV_OK;
}

AdvStatus adv_dlpack_view(const struct DLManagedTensorVersioned *tensor, AdvView *out_view)
{
    if (!tensor || !out_view) return ADV_EINVAL;
    memset(out_view, 0, sizeof *out_view);
    if (tensor->version.major != DLPACK_MAJOR_VERSION) return ADV_EINVAL; /* nothing else of it may be read */
    DLDeviceType type = tensor->dl_tensor.device.device_type;
    return type == kDLCPU || type == kDLCUDAHost ? view_of(&tensor->dl_tensor, out_view) : ADV_EINVAL;
}

/* ---- out ----------------------------------------------------------------------------------------------------------- */

typedef struct Export {
    DLManagedTensorVersioned tensor; /* first: its address is the export's */
    int64_t shape[ADV_MAX_RANK], strides[ADV_MAX_RANK];
} Export;

static void delete_export(DLManagedTensorVersioned *tensor)
{
    AdvSession *s = tensor->manager_ctx;
    AdvAlloc a = s->ctx->alloc;
    adv_mem_free(&a, tensor, sizeof(Export));
    adv_session_close(s);
}

AdvStatus adv_session_export(AdvSession *s, const char *state, struct DLManagedTensorVersioned **out_tensor, AdvDiags *ds)
{
    ADV_NEED(ds, out_tensor, "where the tensor goes");
    *out_tensor = NULL;
    ADV_TRY(adv_session_ready(s, ds));
    ADV_NEED(ds, state, "the name of the state");
    uint32_t i = adv_plan_state(s->plan, state);
    if (i == ADV_PLAN_NONE) return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION, "the plan has no state `%s`", state);
    if (!s->states[i].data) return adv_fail(ds, ADV_EINVAL, ADV_D_NOT_BOUND, "the data `%s` is not bound", state);
    if (s->plan->states[i].kind != ADV_STATE_DATA) ADV_TRY(adv_session_init(s, ds));
    if (!s->be->is_host && !s->be->dlpack)
        return adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_BACKEND, "back end `%s` does not export its memory: read `%s` instead", s->be->name,
                        state);
    if (adv_state_is_fed(s, i))
        return adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_OPTION, "`%s` comes from a source: there is no memory to export", state);
    ADV_TRY(adv_session_settle(s, ADV_OK, ds));
    const AdvView v = adv_view_of(&s->t->state_types[i], s->states[i].data);
    Export *e = adv_mem_new0(&s->ctx->alloc, sizeof *e);
    if (!e) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while exporting `%s`", state);
    memcpy(e->shape, v.dim, sizeof e->shape);
    memcpy(e->strides, v.stride, sizeof e->strides);
    DLManagedTensorVersioned *t = &e->tensor;
    t->version.major = DLPACK_MAJOR_VERSION;
    t->version.minor = DLPACK_MINOR_VERSION;
    t->manager_ctx = s;
    t->deleter = delete_export;
    t->flags = s->plan->states[i].kind == ADV_STATE_DATA ? DLPACK_FLAG_BITMASK_READ_ONLY : 0;
    t->dl_tensor.data = v.data;
    t->dl_tensor.device.device_type = s->be->dlpack ? (DLDeviceType)s->be->dlpack : kDLCPU;
    t->dl_tensor.ndim = v.rank;
    t->dl_tensor.dtype = type_of(v.dtype);
    t->dl_tensor.shape = e->shape;
    t->dl_tensor.strides = e->strides;
    atomic_fetch_add_explicit(&s->n_refs, 1, memory_order_relaxed);
    *out_tensor = t;
    return ADV_OK;
}

/* ---- in ------------------------------------------------------------------------------------------------------------ */

struct AdvHeld {
    AdvHeld *next;
    uint32_t state;
    DLManagedTensorVersioned *tensor;
};

static void let_go(AdvSession *s, AdvHeld *h)
{
    if (h->tensor->deleter) h->tensor->deleter(h->tensor);
    adv_mem_free(&s->ctx->alloc, h, sizeof *h);
}

void adv_held_drop(AdvSession *s, uint32_t state)
{
    for (AdvHeld **at = &s->held; *at; at = &(*at)->next) {
        AdvHeld *h = *at;
        if (h->state != state) continue;
        *at = h->next;
        let_go(s, h);
        return;
    }
}

void adv_held_close(AdvSession *s)
{
    while (s->held) {
        AdvHeld *h = s->held;
        s->held = h->next;
        let_go(s, h);
    }
}

/* Is it memory of the device that the session runs on? */
static bool is_of_device(const AdvSession *s, const DLManagedTensorVersioned *tensor)
{
    if (tensor->version.major != DLPACK_MAJOR_VERSION || !s->be->dlpack) return false;
    return (int32_t)tensor->dl_tensor.device.device_type == s->be->dlpack && tensor->dl_tensor.device.device_id == 0;
}

AdvStatus adv_session_bind_tensor(AdvSession *s, const char *state, struct DLManagedTensorVersioned *tensor, AdvDiags *ds)
{
    AdvView v;
    bool on_device = false;
    ADV_TRY(adv_session_ready(s, ds));
    ADV_NEED(ds, state, "the name of the state");
    ADV_NEED(ds, tensor, "the tensor");
    AdvStatus st = adv_dlpack_view(tensor, &v);
    if (st != ADV_OK && is_of_device(s, tensor)) {
        on_device = true;
        st = view_of(&tensor->dl_tensor, &v);
    }
    if (st != ADV_OK)
        return adv_fail(ds, ADV_EINVAL, ADV_D_OPTION,
                        "the tensor for `%s` is not one of DLPack 1.x with a type of ours, on the host or on the device of back end `%s`",
                        state, s->be->name);
    AdvHeld *h = adv_mem_new0(&s->ctx->alloc, sizeof *h);
    if (!h) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while binding `%s`", state);
    st = adv_session_bind_view(s, state, &v, on_device, ds);
    if (st != ADV_OK) {
        adv_mem_free(&s->ctx->alloc, h, sizeof *h);
        return st;
    }
    *h = (AdvHeld){s->held, adv_plan_state(s->plan, state), tensor};
    s->held = h;
    return ADV_OK;
}
