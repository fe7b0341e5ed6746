/* cost.c: how much work a call is. What an op says itself (AdvOpDef.flops) goes before what its facts say. */
#include "ops/registry.h"
#include "ops/view.h"
#include "runtime/base/container.h"

static double largest(const AdvView *v, uint32_t n)
{
    double most = 0;
    for (uint32_t k = 0; k < n; k++)
        if ((double)adv_view_elems(&v[k]) > most) most = (double)adv_view_elems(&v[k]);
    return most;
}

static double bytes_of(const AdvView *v, uint32_t n)
{
    double sum = 0;
    for (uint32_t k = 0; k < n; k++) sum += (double)adv_view_elems(&v[k]) * (double)adv_dtype_bytes(v[k].dtype);
    return sum;
}

double adv_sig_flops(const AdvSig *sig)
{
    if (sig->op->flops) return sig->op->flops(sig);
    if (sig->op->flags & (ADV_OP_MOVES | ADV_OP_VIEW | ADV_OP_STRUCT)) return 0;
    double in = largest(sig->in, sig->n_in), out = largest(sig->out, sig->n_out);
    return in > out ? in : out;
}

double adv_sig_bytes(const AdvSig *sig)
{
    return bytes_of(sig->in, sig->n_in) + bytes_of(sig->out, sig->n_out);
}
