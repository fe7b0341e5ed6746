/* widened.c: ops on bfloat16 by the kernels for floats: operands are widened into scratch, results narrowed out of it.
**
** For ops whose own work is small beside the convolutions around them: pooling, normalisation, the product of a last layer.
** Convolutions have kernels that compute in 16 bits (dnnl_conv.c), elementwise groups widen tile by tile (ew.c). Rounds once, at the
** end, as the definition does.
** Limit: memory bandwidth, 10 bytes an element instead of 2.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"
#include "ops/cpu/low.h"
#include "ops/view.h"

#include <string.h>

#define MAX_OPERANDS 9
#define PIECE 16384 /* elements */

/* Kernels for floats; of one op the better first. */
static const AdvKernel *const kernels[] = {
    &adv_k_cpu_avg_pool_f32,        &adv_k_cpu_avg_pool_grad_f32, &adv_k_cpu_bn_grad_f32,    &adv_k_cpu_bn_relu_f32,
    &adv_k_cpu_bn_relu_given_f32,   &adv_k_cpu_bn_relu_grad_f32,  &adv_k_cpu_bn_train_f32,
    &adv_k_cpu_max_pool_grad_pairs, &adv_k_cpu_max_pool_grad_f32, &adv_k_cpu_max_pool_pairs, &adv_k_cpu_max_pool_f32,
    &adv_k_cpu_matmul_dots,         &adv_k_cpu_matmul_panels,
#ifdef ADV_HAVE_DNNL
    &adv_k_cpu_matmul_dnnl,
#endif
};
enum { N_KERNELS = sizeof kernels / sizeof *kernels };

typedef struct Widened {
    const AdvKernel *k;
    void *state;               /* of k */
    AdvSig sig;                /* as k sees it */
    AdvView view[MAX_OPERANDS]; /* inputs, then outputs */
    bool is_low[MAX_OPERANDS];
    uint64_t at[MAX_OPERANDS]; /* in the scratch */
} Widened;

ADV_CLONES void adv_row_widen(float *to, const uint16_t *from, int64_t n)
{
    uint32_t *bits = (uint32_t *)(void *)to;
    ADV_OMP(simd)
    for (int64_t i = 0; i < n; i++) bits[i] = (uint32_t)from[i] << 16;
}

ADV_CLONES void adv_row_narrow(uint16_t *to, const float *from, int64_t n)
{
    ADV_OMP(simd)
    for (int64_t i = 0; i < n; i++) to[i] = adv_f32_to_bf16(from[i]);
}

static const AdvKernel *find(const AdvSig *sig)
{
    const char *why;
    for (int i = 0; i < N_KERNELS; i++)
        if (!strcmp(kernels[i]->op, sig->op->name) && kernels[i]->can(sig, &why)) return kernels[i];
    return NULL;
}

/* The signature with floats in place of bfloat16; views has room for all operands. */
static AdvSig widen_sig(const AdvSig *s, AdvView *views)
{
    AdvSig r = *s;
    r.in = views, r.out = views + s->n_in;
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++) {
        views[i] = i < s->n_in ? s->in[i] : s->out[i - s->n_in];
        if (views[i].dtype == ADV_BF16) views[i].dtype = ADV_F32;
    }
    return r;
}

static bool can(const AdvSig *s, const char **why)
{
    AdvView views[MAX_OPERANDS];
    bool any = false;
    if (s->n_in + s->n_out > MAX_OPERANDS) {
        *why = "for at most 9 operands";
        return false;
    }
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++) {
        const AdvView *v = i < s->n_in ? &s->in[i] : &s->out[i - s->n_in];
        if (v->dtype != ADV_BF16) continue;
        any = true;
        if (adv_sig_dense(v)) continue;
        *why = "needs tensors without gaps";
        return false;
    }
    AdvSig wide = widen_sig(s, views);
    if (any && find(&wide)) return true;
    *why = any ? "no kernel for floats runs this" : "for bfloat16";
    return false;
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    Widened *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->sig = widen_sig(sig, s->view);
    s->k = find(&s->sig);
    AdvPrep inner = *p;
    inner.sig = &s->sig;
    if (s->k->prepare) {
        AdvStatus st = s->k->prepare(&inner, &s->state);
        if (st != ADV_OK) return st;
    }
    uint64_t n = (inner.scratch_bytes + 63) / 64 * 64;
    for (uint32_t i = 0; i < sig->n_in + sig->n_out; i++) {
        s->is_low[i] = (i < sig->n_in ? sig->in[i] : sig->out[i - sig->n_in]).dtype == ADV_BF16;
        s->at[i] = n;
        if (s->is_low[i]) n += ((uint64_t)adv_view_elems(&s->view[i]) * sizeof(float) + 63) / 64 * 64;
    }
    p->scratch_bytes = n;
    *out_state = s;
    return ADV_OK;
}

static void convert(float *wide, uint16_t *low, bool narrows, int64_t n, uint32_t n_threads)
{
    int threads = adv_cpu_threads(n_threads, n);
    (void)threads;
    ADV_OMP(parallel for schedule(static) num_threads(threads))
    for (int64_t i = 0; i < n; i += PIECE) {
        int64_t m = adv_min_i64(PIECE, n - i);
        if (narrows) adv_row_narrow(low + i, wide + i, m);
        else adv_row_widen(wide + i, low + i, m);
    }
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    const Widened *s = state;
    AdvView view[MAX_OPERANDS];
    uint32_t n_in = s->sig.n_in, n = n_in + s->sig.n_out;
    for (uint32_t i = 0; i < n; i++) {
        const AdvView *v = i < n_in ? &l->in[i] : &l->out[i - n_in];
        view[i] = *v;
        if (!s->is_low[i]) continue;
        view[i].dtype = ADV_F32;
        view[i].data = (char *)l->scratch + s->at[i];
        if (i < n_in) convert(view[i].data, v->data, false, adv_view_elems(v), l->n_threads);
    }
    AdvLaunch inner = *l;
    inner.in = view, inner.out = view + n_in;
    AdvStatus st = s->k->run(&inner, s->state);
    for (uint32_t i = n_in; i < n; i++)
        if (s->is_low[i]) convert(view[i].data, l->out[i - n_in].data, true, adv_view_elems(&view[i]), l->n_threads);
    return st;
}

static void release(void *state)
{
    Widened *s = state;
    if (s->k->release) s->k->release(s->state);
}

#define WIDENED(op_name) \
    const AdvKernel adv_k_cpu_##op_name##_widened = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "widened", \
                                                     .op_version = 1, .order = 5, .can = can, .prepare = prepare, .run = run, \
                                                     .release = release};
WIDENED(avg_pool)
WIDENED(avg_pool_grad)
WIDENED(bn_grad)
WIDENED(bn_relu)
WIDENED(bn_relu_given)
WIDENED(bn_relu_grad)
WIDENED(bn_train)
WIDENED(matmul)
WIDENED(max_pool)
WIDENED(max_pool_grad)
