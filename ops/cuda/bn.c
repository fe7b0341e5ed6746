/* bn.c: batch normalisation on cuda (bn.cu): bn_train, bn_relu and their gradients in three launches each, bn_relu_given in two. */
#include "ops/cuda/bn.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/nn/bn.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

extern const AdvCudaFn adv_cuda_fns_bn[];

typedef struct BnState {
    AdvCuda *cuda;
    AdvBnForm form;
    const void *sums, *finish, *apply;
    AdvCudaGrid by_sum, by_channel, by_apply;
    uint32_t skip_at; /* index of the input that is added, 0: none */
    uint64_t factor_at; /* in the scratch, behind the partial sums */
} BnState;

static bool is_vector(const AdvView *v) { return v->dtype == ADV_F32 && adv_view_is_row(v); }

/* Both row and channels-last order will do, if all tensors are in the same one. */
static bool can(const AdvSig *s, const char **why)
{
    const AdvView *x = &s->in[0];
    *why = "needs f32 or bf16 tensors";
    if (x->dtype != ADV_F32 && x->dtype != ADV_BF16) return false;
    *why = "needs dense tensors of one type and order";
    if (!adv_view_is_row(x) && !(x->rank == 4 && adv_view_is_cl(x))) return false;
    for (uint32_t k = 0; k < s->n_in + s->n_out; k++) {
        const AdvView *v = k < s->n_in ? &s->in[k] : &s->out[k - s->n_in];
        if (v->rank != 1 && (v->dtype != x->dtype || memcmp(v->stride, x->stride, sizeof v->stride) != 0)) return false;
    }
    *why = "needs dense vectors in f32";
    for (uint32_t k = 0; k < s->n_in + s->n_out; k++) {
        const AdvView *v = k < s->n_in ? &s->in[k] : &s->out[k - s->n_in];
        if (v->rank == 1 && !is_vector(v)) return false;
    }
    return true;
}

static void describe(AdvBnForm *f, const AdvView *x, float eps)
{
    f->channels = (int)x->dim[1];
    f->inner = x->rank == 2 ? 1 : x->dim[2] * x->dim[3];
    bool is_cl = f->inner == 1 || adv_view_is_cl(x);
    f->places = adv_bn_count(x);
    f->outer_step = f->inner * x->dim[1];
    f->inner_step = is_cl ? x->dim[1] : 1;
    f->channel_step = is_cl ? 1 : f->inner;
    f->is_flat = f->inner_step * f->inner == f->outer_step;
    f->eps = eps;
}

/* A pass: n_blocks, or fewer so that a thread has at least n_least places. Threads of a block lie along the channels where those are
** neighbours in memory, up to ADV_BN_LANES packs of them, else along the places. */
static AdvCudaGrid cut(const AdvBnForm *f, int width, int64_t n_blocks, int n_least)
{
    int64_t packs = f->channels / width, most = f->channel_step == 1 ? ADV_BN_LANES : 1;
    int64_t columns = (packs + most - 1) / most, lanes = (packs + columns - 1) / columns, rows = ADV_BN_BLOCK / lanes;
    int64_t groups = (f->places + n_least * rows - 1) / (n_least * rows);
    if (groups > n_blocks / columns) groups = n_blocks / columns;
    if (groups < 1) groups = 1;
    return (AdvCudaGrid){{(unsigned)columns, (unsigned)groups, 1}, {(unsigned)lanes, (unsigned)rows, 1}, 0};
}

static const void *fn_of(const char *stem, uint8_t dtype, bool is_wide)
{
    char name[40];
    snprintf(name, sizeof name, "adv_bn_%s_%s%s", stem, dtype == ADV_BF16 ? "bf16" : "f32", is_wide ? "" : "_1");
    return adv_cuda_fn(adv_cuda_fns_bn, name);
}

static AdvStatus prepare(AdvPrep *p, bool is_grad, bool is_relu, void **out_state)
{
    const AdvView *x = &p->sig->in[0];
    BnState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    AdvBnForm *f = &s->form;
    s->cuda = adv_cuda_of(p);
    describe(f, x, (float)p->sig->attr[0].f);
    f->is_relu = is_relu;
    s->skip_at = is_grad || p->sig->n_in % 2 ? 0 : p->sig->n_in - 1;
    int width = x->dtype == ADV_BF16 ? 8 : 4;
    bool is_wide = f->channel_step == 1 && f->channels % width == 0;
    if (!is_wide) width = 1;
    assert(width == 1 || f->is_flat);
    s->by_sum = cut(f, width, (int64_t)ADV_BN_SUMS * s->cuda->n_sms, 8);
    s->by_apply = cut(f, width, (int64_t)(is_grad ? ADV_BN_GRAD_APPLY : ADV_BN_APPLY) * s->cuda->n_sms, 2);
    f->n_partials = (int)s->by_sum.grid.y;
    s->by_channel = adv_cuda_grid_x((uint64_t)f->channels, ADV_BN_CHANNELS);
    s->by_channel.block.y = adv_cuda_pow2((uint64_t)f->n_partials, ADV_BN_ROWS);
    s->sums = fn_of(is_grad ? "grad_sums" : "sums", x->dtype, is_wide);
    s->finish = is_grad ? adv_cuda_fn(adv_cuda_fns_bn, "adv_bn_grad_finish") : fn_of("finish", x->dtype, is_wide);
    s->apply = fn_of(is_grad ? "grad_apply" : "apply", x->dtype, is_wide);
    s->factor_at = (uint64_t)f->n_partials * 2 * (uint64_t)f->channels * sizeof(float);
    p->scratch_bytes = s->factor_at + 5 * (uint64_t)f->channels * sizeof(float);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus prepare_train(AdvPrep *p, void **out_state) { return prepare(p, false, false, out_state); }
static AdvStatus prepare_relu(AdvPrep *p, void **out_state) { return prepare(p, false, true, out_state); }
static AdvStatus prepare_grad(AdvPrep *p, void **out_state) { return prepare(p, true, p->sig->n_in == 6, out_state); }

/* bn_train (x, w, b), bn_relu (x, w, b, skip or none) */
static AdvStatus run_train(const AdvLaunch *l, void *state)
{
    BnState *s = state;
    void *x = l->in[0].data, *w = l->in[1].data, *b = l->in[2].data, *y = l->out[0].data, *mean = l->out[1].data, *var = l->out[2].data;
    void *partial = l->scratch, *factor = (char *)l->scratch + s->factor_at, *skip = s->skip_at ? l->in[s->skip_at].data : NULL;
    void *sums[] = {&s->form, &x, &partial}, *finish[] = {&s->form, &x, &partial, &w, &b, &mean, &var, &factor},
         *apply[] = {&s->form, &x, &skip, &y, &factor};
    AdvStatus st = adv_cuda_launch(s->cuda, s->sums, &s->by_sum, sums);
    if (st == ADV_OK) st = adv_cuda_launch(s->cuda, s->finish, &s->by_channel, finish);
    return st == ADV_OK ? adv_cuda_launch(s->cuda, s->apply, &s->by_apply, apply) : st;
}

/* bn_relu_given (x, w, b, mean, var, skip or none) */
static AdvStatus run_given(const AdvLaunch *l, void *state)
{
    BnState *s = state;
    AdvCudaGrid each = adv_cuda_grid_x((uint64_t)s->form.channels, ADV_CUDA_BLOCK);
    void *x = l->in[0].data, *w = l->in[1].data, *b = l->in[2].data, *mean = l->in[3].data, *var = l->in[4].data, *y = l->out[0].data;
    void *factor = (char *)l->scratch + s->factor_at, *skip = s->skip_at ? l->in[s->skip_at].data : NULL;
    void *given[] = {&s->form, &w, &b, &mean, &var, &factor}, *apply[] = {&s->form, &x, &skip, &y, &factor};
    AdvStatus st = adv_cuda_launch(s->cuda, adv_cuda_fn(adv_cuda_fns_bn, "adv_bn_given"), &each, given);
    return st == ADV_OK ? adv_cuda_launch(s->cuda, s->apply, &s->by_apply, apply) : st;
}

/* bn_grad (x, gy, w, mean, var), bn_relu_grad (x, gy, w, b, mean, var) */
static AdvStatus run_grad(const AdvLaunch *l, void *state)
{
    BnState *s = state;
    uint32_t k = s->form.is_relu ? 4 : 3;
    void *x = l->in[0].data, *gy = l->in[1].data, *w = l->in[2].data, *b = s->form.is_relu ? l->in[3].data : NULL;
    void *mean = l->in[k].data, *var = l->in[k + 1].data, *gx = l->out[0].data, *gw = l->out[1].data, *gb = l->out[2].data;
    void *partial = l->scratch, *factor = (char *)l->scratch + s->factor_at;
    void *sums[] = {&s->form, &x, &gy, &w, &b, &mean, &var, &partial},
         *finish[] = {&s->form, &partial, &w, &b, &mean, &var, &gw, &gb, &factor}, *apply[] = {&s->form, &x, &gy, &gx, &factor};
    AdvStatus st = adv_cuda_launch(s->cuda, s->sums, &s->by_sum, sums);
    if (st == ADV_OK) st = adv_cuda_launch(s->cuda, s->finish, &s->by_channel, finish);
    return st == ADV_OK ? adv_cuda_launch(s->cuda, s->apply, &s->by_apply, apply) : st;
}

#define KERNEL(op_name, kernel, prepare_fn, run_fn) \
    const AdvKernel adv_k_cuda_##op_name##_##kernel = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = #kernel, \
                                                       .op_version = 1, .can = can, .prepare = prepare_fn, .run = run_fn};
KERNEL(bn_grad, sums, prepare_grad, run_grad)
KERNEL(bn_relu, sums, prepare_relu, run_train)
KERNEL(bn_relu_given, pass, prepare_relu, run_given)
KERNEL(bn_relu_grad, sums, prepare_grad, run_grad)
KERNEL(bn_train, sums, prepare_train, run_train)
