/* of.c: types of instructions, and names of device functions. */
#include "ops/cuda/of.h"

#include "ops/shape.h"
#include "ops/view.h"

#include <stdio.h>

const char *adv_cuda_type(uint8_t dtype)
{
    static const char *const names[ADV_DTYPE_COUNT] = {"", "f32", "f64", "bf16", "f16", "i32", "i64", "u8"};
    return names[dtype];
}

const void *adv_cuda_fn_of(const AdvCudaFn *table, const char *prefix, const char *type)
{
    char name[64];
    snprintf(name, sizeof name, "%s_%s", prefix, type);
    return adv_cuda_fn(table, name);
}

bool adv_cuda_can_floats(const AdvSig *s, const char **why)
{
    uint8_t dtype = 0;
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++) {
        uint8_t d = i < s->n_in ? s->in[i].dtype : s->out[i - s->n_in].dtype;
        if (!adv_dtype_is_float(d)) continue;
        if (d == ADV_F64) return *why = "does not compute in f64", false;
        if (dtype && d != dtype) return *why = "needs floats of one type", false;
        dtype = d;
    }
    return true;
}

bool adv_cuda_can_rows(const AdvSig *s, const char **why)
{
    if (!adv_cuda_can_floats(s, why)) return false;
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++)
        if (!adv_view_is_row(i < s->n_in ? &s->in[i] : &s->out[i - s->n_in])) return *why = "needs rows without gaps", false;
    return true;
}
