/* cpu.c: loop nests over views, and the questions of `can`. */
#include "ops/cpu/cpu.h"

static bool may_merge(const AdvLoop *l, uint32_t d)
{
    for (uint32_t k = 0; k < l->n_views; k++)
        if (l->stride[k][d] != l->stride[k][d + 1] * l->dim[d + 1]) return false;
    return true;
}

static void swap_dims(AdvLoop *l, uint32_t a, uint32_t b)
{
    int64_t t = l->dim[a];
    l->dim[a] = l->dim[b], l->dim[b] = t;
    for (uint32_t k = 0; k < l->n_views; k++) t = l->stride[k][a], l->stride[k][a] = l->stride[k][b], l->stride[k][b] = t;
}

static void drop_dim(AdvLoop *l, uint32_t d)
{
    for (; d + 1 < l->rank; d++) swap_dims(l, d, d + 1);
    l->rank--;
}

void adv_loop_make(AdvLoop *l, const AdvView *const *views, uint32_t n_views)
{
    const AdvView *first = views[0];
    l->rank = 0;
    l->n_views = n_views;
    for (uint32_t d = 0; d < first->rank; d++) {
        if (first->dim[d] == 1) continue;
        l->dim[l->rank] = first->dim[d];
        for (uint32_t k = 0; k < n_views; k++) l->stride[k][l->rank] = views[k]->rank && views[k]->dim[d] != 1 ? views[k]->stride[d] : 0;
        l->rank++;
    }
    for (uint32_t a = 1; a < l->rank; a++)
        for (uint32_t b = a; b > 0 && l->stride[0][b - 1] < l->stride[0][b]; b--) swap_dims(l, b - 1, b);
    for (uint32_t d = 0; d + 1 < l->rank;) {
        if (!may_merge(l, d)) {
            d++;
            continue;
        }
        l->dim[d + 1] *= l->dim[d];
        drop_dim(l, d);
    }
    if (l->rank == 0) {
        l->rank = 1;
        l->dim[0] = 1;
        for (uint32_t k = 0; k < n_views; k++) l->stride[k][0] = 0;
    }
}

static bool is_low(uint8_t dtype) { return dtype == ADV_F64 || dtype == ADV_BF16 || dtype == ADV_F16; }

bool adv_sig_f32(const AdvSig *s, const char **why)
{
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++)
        if (is_low(i < s->n_in ? s->in[i].dtype : s->out[i - s->n_in].dtype)) {
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
