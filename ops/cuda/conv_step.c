/* conv_step.c: the gradient by the image and the step of an attack along it, in one launch or in two.
**
**   one   the kernel for images of few channels (narrow.cu), which takes the step where it would store the gradient: nothing of the
**         gradient reaches memory
**   two   the gradient by the best kernel of conv2d_gx, into scratch, and the step as a pass over it
** Which, is a choice by time, made when the gradient's own is (AdvCudaLater: in the order in which the two were put off); where a
** session is deterministic it is one launch. Windows, strides and channels that the first does not take leave the second.
*/
#include "ops/cuda/conv_own.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/of.h"
#include "runtime/base/container.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { GY, WEIGHTS, Z, X, EPS, SIZE, N_IN, ALIGN = 256 };

typedef struct StepState {
    AdvCudaLater later;
    AdvCuda *cuda;
    AdvConvInner conv;
    AdvStepForm form;
    AdvConvNarrow narrow;    /* one launch */
    bool has_one, is_one;
    const AdvKernel *kernel; /* two: of the gradient */
    void *kernel_state;
    uint64_t gx_bytes, kernel_scratch;
    const void *pass;
    AdvCudaGrid pass_grid;
    uint64_t at[N_IN + 1], trial_bytes; /* places of operands and result in trial memory; the scratch lies behind them */
    char key[160];
} StepState;

/* Where the operands lie, and room for a gradient and what its kernel needs. */
typedef struct StepCall {
    void *in[N_IN], *out;
    char *scratch;
} StepCall;

extern const AdvOpDef adv_op_conv2d_gx;

void adv_conv_inner_init(AdvConvInner *a, const AdvSig *s)
{
    AdvTensorType gx = {.dtype = s->in[GY].dtype, .rank = 4, .layout = ADV_LAYOUT_CL};
    memcpy(gx.dim, s->in[Z].dim, sizeof gx.dim);
    a->in[0] = s->in[GY];
    a->in[1] = s->in[WEIGHTS];
    a->gx = adv_view_of(&gx, NULL);
    a->attr[0] = s->attr[0];
    a->attr[1] = s->attr[1];
    a->attr[2].i = gx.dim[2];
    a->attr[3].i = gx.dim[3];
    a->sig = (AdvSig){.op = &adv_op_conv2d_gx, .n_in = 2, .n_out = 1, .in = a->in, .out = &a->gx, .attr = a->attr};
}

static uint64_t bytes_of(const AdvView *v)
{
    uint64_t n = (uint64_t)adv_view_elems(v) * adv_dtype_bytes(v->dtype);
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- launching ------------------------------------------------------------------------------------------------------- */

static AdvStatus run_two(StepState *s, const StepCall *c)
{
    AdvView in[2] = {s->conv.in[0], s->conv.in[1]}, gx = s->conv.gx;
    AdvLaunch l = {.in = in, .out = &gx, .attr = s->conv.attr, .scratch = c->scratch + s->gx_bytes, .stream = s->cuda->stream,
                   .n_threads = 1};
    StepCall p = *c;
    AdvStepForm form = s->form;
    in[0].data = c->in[GY], in[1].data = c->in[WEIGHTS], gx.data = c->scratch;
    AdvStatus st = s->kernel->run(&l, s->kernel_state);
    if (st != ADV_OK) return st;
    void *args[] = {&gx.data, &form, &p.out, &p.in[Z], &p.in[X], &p.in[EPS], &p.in[SIZE]};
    return adv_cuda_launch(s->cuda, s->pass, &s->pass_grid, args);
}

static AdvStatus run_one(StepState *s, const StepCall *c)
{
    StepCall p = *c;
    AdvNarrowForm narrow = s->narrow.form;
    AdvStepForm form = s->form;
    void *args[] = {&narrow, &p.in[WEIGHTS], &p.in[GY], &form, &p.out, &p.in[Z], &p.in[X], &p.in[EPS], &p.in[SIZE]};
    return adv_cuda_launch(s->cuda, s->narrow.fn, &s->narrow.grid, args);
}

/* ---- choosing -------------------------------------------------------------------------------------------------------- */

static AdvStatus try_run(void *user, uint32_t ix)
{
    StepState *s = user;
    StepCall c;
    char *memory = adv_cuda_trial_memory(s->cuda, s->trial_bytes + s->gx_bytes + s->kernel_scratch + ALIGN);
    if (!memory) return ADV_ENOMEM;
    for (int k = 0; k < N_IN; k++) c.in[k] = memory + s->at[k];
    c.out = memory + s->at[N_IN];
    c.scratch = memory + s->trial_bytes;
    return ix == 0 ? run_one(s, &c) : run_two(s, &c);
}

static const char *label(void *user, uint32_t ix)
{
    (void)user;
    return ix == 0 ? "one" : "two";
}

static AdvStatus nothing_to_build(AdvCudaLater *l, int round, AdvCudaCrew *crew)
{
    (void)l, (void)round, (void)crew;
    return ADV_OK;
}

/* The gradient's kernel, put off before, has ended: what it needs is where the instruction's scratch is said. */
static AdvStatus choose(AdvCudaLater *l)
{
    StepState *s = (StepState *)l;
    AdvCudaTrial trial = {.key = s->key, .n_candidates = 2, .try_run = try_run, .label = label, .user = s};
    uint32_t ix = 1;
    assert(l->out_scratch);
    s->kernel_scratch = *l->out_scratch;
    AdvStatus st = s->has_one ? adv_cuda_choose(s->cuda, &trial, &ix) : ADV_OK;
    s->is_one = ix == 0;
    l->scratch_bytes = s->is_one ? 0 : s->gx_bytes + s->kernel_scratch;
    return st == ADV_EUNAVAILABLE ? adv_cuda_refuse(s->cuda, "no way to compute `%s` runs on this device", s->key) : st;
}

/* What the choice is about, and where its trials put things. */
static void describe(StepState *s, const AdvSig *sig)
{
    const AdvView *z = &sig->in[Z], *w = &sig->in[WEIGHTS];
    snprintf(s->key, sizeof s->key,
             "conv2d_gx_step %s image=%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " weights=%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64
             " pad=%" PRId64,
             adv_cuda_type(w->dtype), z->dim[0], z->dim[1], z->dim[2], z->dim[3], w->dim[0], w->dim[1], w->dim[2], w->dim[3],
             sig->attr[1].i);
    for (int k = 0; k <= N_IN; k++) {
        s->at[k] = s->trial_bytes;
        s->trial_bytes += bytes_of(k < N_IN ? &sig->in[k] : &sig->out[0]);
    }
}

/* ---- the kernel ------------------------------------------------------------------------------------------------------ */

static void copy_strides(long long to[4], const AdvView *v, const AdvView *like)
{
    AdvView wide = adv_view_broadcast(v, 4, like->dim);
    for (int d = 0; d < 4; d++) to[d] = wide.stride[d];
}

static void init_form(StepState *s, const AdvSig *sig)
{
    const AdvView *out = &sig->out[0];
    AdvStepForm *f = &s->form;
    copy_strides(f->g, &s->conv.gx, out);
    copy_strides(f->z, &sig->in[Z], out);
    copy_strides(f->x, &sig->in[X], out);
    copy_strides(f->out, out, out);
    copy_strides(f->eps, &sig->in[EPS], out);
    copy_strides(f->size, &sig->in[SIZE], out);
    f->n = (int)out->dim[0], f->c = (int)out->dim[1], f->h = (int)out->dim[2], f->w = (int)out->dim[3];
    f->lo = (float)sig->attr[2].f, f->hi = (float)sig->attr[3].f;
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    StepState *s = p->alloc(p, sizeof *s);
    AdvPrep inner = *p;
    AdvConvTask task;
    const char *why;
    if (!s) return ADV_ENOMEM;
    s->cuda = adv_cuda_of(p);
    adv_conv_inner_init(&s->conv, p->sig);
    adv_conv_task(&s->conv.sig, &task);
    init_form(s, p->sig);
    s->gx_bytes = bytes_of(&s->conv.gx);
    s->pass = adv_conv_step_fn(s->conv.gx.dtype);
    s->pass_grid = adv_cuda_grid_x((uint64_t)adv_view_elems(&s->conv.gx), ADV_CUDA_BLOCK);
    describe(s, p->sig);
    bool is_dense = adv_k_cuda_conv2d_gx_cudnn.can(&s->conv.sig, &why);
    s->has_one = is_dense && adv_conv_narrow_init(&s->narrow, &s->conv.sig, &task, true);
    s->kernel = is_dense ? &adv_k_cuda_conv2d_gx_cudnn : &adv_k_cuda_conv2d_gx_direct;
    inner.sig = &s->conv.sig;
    AdvStatus st = s->kernel->prepare(&inner, &s->kernel_state);
    if (st != ADV_OK) return st;
    s->later.round = nothing_to_build;
    s->later.end = choose;
    adv_cuda_later(p, &s->later);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    StepState *s = state;
    StepCall c = {.out = l->out[0].data, .scratch = l->scratch};
    for (int k = 0; k < N_IN; k++) c.in[k] = l->in[k].data;
    return s->is_one ? run_one(s, &c) : run_two(s, &c);
}

static void release(void *state)
{
    StepState *s = state;
    if (s->kernel->release) s->kernel->release(s->kernel_state);
}

static bool can(const AdvSig *sig, const char **why)
{
    AdvConvInner conv;
    *why = "needs the images, radius and step size in f32";
    for (int k = Z; k < N_IN; k++)
        if (sig->in[k].dtype != ADV_F32) return false;
    adv_conv_inner_init(&conv, sig);
    return adv_conv_can(&conv.sig, why);
}

const AdvKernel adv_k_cuda_conv2d_gx_step_timed = {ADV_KERNEL_HEADER, .backend = "cuda", .op = "conv2d_gx_step", .name = "timed",
                                                   .op_version = 1, .can = can, .prepare = prepare, .run = run, .release = release};
