/* cpu.c: the questions of `can`. */
#include "ops/cpu/cpu.h"

static bool is_other_float(uint8_t dtype) { return dtype == ADV_F64 || dtype == ADV_BF16 || dtype == ADV_F16; }

bool adv_sig_f32(const AdvSig *s, const char **why)
{
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++)
        if (is_other_float(i < s->n_in ? s->in[i].dtype : s->out[i - s->n_in].dtype)) {
            *why = "computes in f32 only";
            return false;
        }
    return true;
}

bool adv_sig_dense(const AdvView *v) { return adv_view_is_row(v) || adv_view_is_cl(v); }

bool adv_view_same_order(const AdvView *a, const AdvView *b)
{
    if (a->rank != b->rank) return false;
    for (uint32_t d = 0; d < a->rank; d++)
        if (a->dim[d] != b->dim[d] || (a->dim[d] > 1 && a->stride[d] != b->stride[d])) return false;
    return true;
}

bool adv_can_f32(const AdvSig *s, const char **why)
{
    if (!adv_sig_f32(s, why)) return false;
    for (uint32_t i = 0; i < s->n_out; i++)
        if (!adv_sig_dense(&s->out[i])) {
            *why = "needs outputs without gaps";
            return false;
        }
    return true;
}
