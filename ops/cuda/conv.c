/* conv.c: convolutions by our own kernels (conv.cu), whatever the sizes, and what the cuDNN kernels need of them.
**
** Tried after cuDNN: a convolution whose tensors do not lie as that wants, or that is so small that a library gains nothing.
*/
#include "ops/cuda/conv_own.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/of.h"

#include <string.h>

extern const AdvCudaFn adv_cuda_fns_conv[];

/* ---- what an instruction asks for -------------------------------------------------------------------------------------- */

static bool is_op(const AdvSig *s, const char *name) { return strcmp(s->op->name, name) == 0; }

void adv_conv_task(const AdvSig *s, AdvConvTask *t)
{
    memset(t, 0, sizeof *t);
    for (int r = 0; r < ADV_DNN_ROLES; r++) t->in[r] = -1;
    t->stride = s->attr[0].i;
    t->pad = s->attr[1].i;
    if (is_op(s, "conv2d_gw")) {
        t->kind = ADV_DNN_BY_WEIGHTS;
        t->in[ADV_DNN_IMAGE] = 0, t->in[ADV_DNN_OUTPUT] = 1;
        t->result = ADV_DNN_WEIGHTS;
    } else if (is_op(s, "conv2d_gx") || is_op(s, "conv2d_gx_mask") || is_op(s, "conv2d_gx_affine")) {
        bool has_scale = is_op(s, "conv2d_gx_affine");
        int n = 2;
        t->kind = ADV_DNN_BY_IMAGE;
        t->in[ADV_DNN_OUTPUT] = 0, t->in[ADV_DNN_WEIGHTS] = 1;
        if (s->n_in > 2) t->in[ADV_DNN_MASK] = n++;
        if (has_scale) t->in[ADV_DNN_SCALE] = n++;
        if ((int)s->n_in > n) t->in[ADV_DNN_SUM] = n;
        t->sum_last = has_scale && s->attr[4].i != 0;
        t->result = ADV_DNN_IMAGE;
    } else {
        bool has_scale = is_op(s, "conv2d_sum_affine"), has_sum = has_scale || is_op(s, "conv2d_sum");
        int n = 2;
        t->kind = ADV_DNN_FORWARD;
        t->in[ADV_DNN_IMAGE] = 0, t->in[ADV_DNN_WEIGHTS] = 1;
        if (has_sum) t->in[ADV_DNN_SUM] = n++;
        if (has_scale) t->in[ADV_DNN_SCALE] = n++, t->in[ADV_DNN_SHIFT] = n++;
        if ((int)s->n_in > n) t->in[ADV_DNN_BIAS] = n;
        t->relu = has_scale || (!is_op(s, "conv2d") && s->attr[2].i != 0);
        t->has_kept = s->n_out > 1;
        t->result = ADV_DNN_OUTPUT;
    }
}

const AdvView *adv_conv_view(const AdvSig *s, const AdvConvTask *t, int role)
{
    if (role == t->result) return &s->out[0];
    if (role == ADV_DNN_KEPT) return t->has_kept ? &s->out[1] : NULL;
    return t->in[role] < 0 ? NULL : &s->in[t->in[role]];
}

AdvDnnConv adv_conv_whole(const AdvSig *s, const AdvConvTask *t)
{
    return (AdvDnnConv){.kind = t->kind,
                        .stride = t->stride,
                        .pad = t->pad,
                        .image = adv_conv_view(s, t, ADV_DNN_IMAGE),
                        .weights = adv_conv_view(s, t, ADV_DNN_WEIGHTS),
                        .output = adv_conv_view(s, t, ADV_DNN_OUTPUT),
                        .bias = adv_conv_view(s, t, ADV_DNN_BIAS),
                        .sum = adv_conv_view(s, t, ADV_DNN_SUM),
                        .kept = adv_conv_view(s, t, ADV_DNN_KEPT),
                        .mask = adv_conv_view(s, t, ADV_DNN_MASK),
                        .scale = adv_conv_view(s, t, ADV_DNN_SCALE),
                        .shift = adv_conv_view(s, t, ADV_DNN_SHIFT),
                        .relu = t->relu,
                        .sum_last = t->sum_last};
}

AdvDnnConv adv_conv_plain(const AdvDnnConv *whole)
{
    return (AdvDnnConv){.kind = whole->kind, .stride = whole->stride, .pad = whole->pad,
                        .image = whole->image, .weights = whole->weights, .output = whole->output};
}

bool adv_conv_turned(const AdvDnnConv *c, AdvDnnConv *out, AdvView *out_weights)
{
    const AdvView *w = c->weights;
    if (c->kind != ADV_DNN_BY_IMAGE || c->stride != 1 || w->dim[2] != w->dim[3] || c->pad >= w->dim[2]) return false;
    *out_weights = *w;
    out_weights->dim[0] = w->dim[1];
    out_weights->dim[1] = w->dim[0];
    *out = *c;
    out->kind = ADV_DNN_FORWARD;
    out->pad = w->dim[2] - 1 - c->pad;
    out->image = c->output, out->output = c->image, out->weights = out_weights;
    return true;
}

bool adv_conv_has_tail(const AdvConvTask *t)
{
    return t->relu || t->in[ADV_DNN_BIAS] >= 0 || t->in[ADV_DNN_SUM] >= 0 || t->in[ADV_DNN_MASK] >= 0;
}

void adv_conv_pointers(const AdvLaunch *l, const AdvConvTask *t, void *pointer[ADV_DNN_ROLES])
{
    for (int r = 0; r < ADV_DNN_ROLES; r++) pointer[r] = t->in[r] < 0 ? NULL : l->in[t->in[r]].data;
    pointer[t->result] = l->out[0].data;
    if (t->has_kept) pointer[ADV_DNN_KEPT] = l->out[1].data;
}

AdvConvEnd adv_conv_end(void *const pointer[ADV_DNN_ROLES])
{
    return (AdvConvEnd){.bias = pointer[ADV_DNN_BIAS], .sum = pointer[ADV_DNN_SUM], .mask = pointer[ADV_DNN_MASK],
                        .scale = pointer[ADV_DNN_SCALE], .shift = pointer[ADV_DNN_SHIFT], .kept = pointer[ADV_DNN_KEPT]};
}

/* ---- direct -------------------------------------------------------------------------------------------------------------- */

static void copy_strides(long long to[4], const AdvView *v)
{
    for (int d = 0; v && d < 4; d++) to[d] = v->stride[d];
}

static long long vector_stride(const AdvSig *s, const AdvConvTask *t, int role)
{
    const AdvView *v = adv_conv_view(s, t, role);
    return v ? v->stride[0] : 0;
}

static const void *fn_of(const char *prefix, const AdvView *v)
{
    return adv_cuda_fn_of(adv_cuda_fns_conv, prefix, adv_cuda_type(v->dtype));
}

void adv_conv_direct_init(AdvConvDirect *d, const AdvSig *s, const AdvConvTask *t)
{
    static const char *const names[] = {"adv_conv_forward", "adv_conv_by_image", "adv_conv_by_weights"};
    const AdvView *x = adv_conv_view(s, t, ADV_DNN_IMAGE), *w = adv_conv_view(s, t, ADV_DNN_WEIGHTS),
                  *y = adv_conv_view(s, t, ADV_DNN_OUTPUT);
    AdvConvForm *f = &d->form;
    memset(d, 0, sizeof *d);
    d->kind = t->kind;
    copy_strides(f->image, x);
    copy_strides(f->weights, w);
    copy_strides(f->output, y);
    copy_strides(f->sum, adv_conv_view(s, t, ADV_DNN_SUM));
    copy_strides(f->kept, adv_conv_view(s, t, ADV_DNN_KEPT));
    copy_strides(f->mask, adv_conv_view(s, t, ADV_DNN_MASK));
    f->bias = vector_stride(s, t, ADV_DNN_BIAS);
    f->scale = vector_stride(s, t, ADV_DNN_SCALE);
    f->shift = vector_stride(s, t, ADV_DNN_SHIFT);
    f->n = (int)x->dim[0], f->c = (int)x->dim[1], f->h = (int)x->dim[2], f->w = (int)x->dim[3];
    f->o = (int)y->dim[1], f->oh = (int)y->dim[2], f->ow = (int)y->dim[3];
    f->kh = (int)w->dim[2], f->kw = (int)w->dim[3];
    f->stride = (int)t->stride, f->pad = (int)t->pad, f->relu = t->relu, f->sum_last = t->sum_last;
    d->fn = fn_of(names[t->kind], x);
    d->grid = t->kind == ADV_DNN_BY_WEIGHTS ? adv_cuda_grid_blocks((uint64_t)adv_view_elems(w), 128)
                                            : adv_cuda_grid_x((uint64_t)adv_view_elems(&s->out[0]), ADV_CUDA_BLOCK);
}

AdvStatus adv_conv_direct_run(AdvCuda *c, const AdvConvDirect *d, void *const pointer[ADV_DNN_ROLES])
{
    AdvConvForm form = d->form;
    void *p[ADV_DNN_ROLES];
    memcpy(p, pointer, sizeof p);
    AdvConvEnd end = adv_conv_end(pointer);
    void *args[] = {&form, &p[ADV_DNN_IMAGE], &p[ADV_DNN_WEIGHTS], &p[ADV_DNN_OUTPUT], &end};
    return adv_cuda_launch(c, d->fn, &d->grid, args);
}

/* ---- tails and turned weights ------------------------------------------------------------------------------------------- */

int adv_conv_tail_role(const AdvConvTask *t) { return t->has_kept ? ADV_DNN_KEPT : t->result; }

void adv_conv_tail_init(AdvConvTail *a, const AdvSig *s, const AdvConvTask *t)
{
    const AdvView *y = adv_conv_view(s, t, t->result);
    int64_t width = y->dtype == ADV_BF16 ? 8 : 4, n = adv_view_elems(y);
    bool has_vector = t->in[ADV_DNN_BIAS] >= 0 || t->in[ADV_DNN_SCALE] >= 0;
    bool is_wide = has_vector ? y->dim[1] % width == 0 : n % width == 0;
    a->from = adv_conv_tail_role(t);
    a->to = t->result;
    a->form = (AdvConvTailForm){is_wide ? n / width : n, (int)y->dim[1], t->relu, t->sum_last};
    a->fn = fn_of(is_wide ? "adv_conv_tail" : "adv_conv_tail1", y);
    a->grid = adv_cuda_grid_x((uint64_t)a->form.n, ADV_CUDA_BLOCK);
}

AdvStatus adv_conv_tail_run(AdvCuda *c, const AdvConvTail *a, void *const pointer[ADV_DNN_ROLES])
{
    AdvConvTailForm form = a->form;
    AdvConvEnd end = adv_conv_end(pointer);
    void *from = pointer[a->from], *to = pointer[a->to];
    void *args[] = {&from, &to, &form, &end};
    return adv_cuda_launch(c, a->fn, &a->grid, args);
}

void adv_conv_turn_init(AdvConvTurn *a, const AdvView *w)
{
    for (int d = 0; d < 4; d++) a->dim[d] = (int)w->dim[d];
    a->fn = fn_of("adv_conv_turn", w);
    int64_t squares = (w->dim[0] + ADV_CONV_SQUARE - 1) / ADV_CONV_SQUARE * ((w->dim[1] + ADV_CONV_SQUARE - 1) / ADV_CONV_SQUARE);
    a->grid = adv_cuda_grid_blocks((uint64_t)(squares * w->dim[2] * w->dim[3]), ADV_CONV_TURN_BLOCK);
}

AdvStatus adv_conv_turn_run(AdvCuda *c, const AdvConvTurn *a, void *turned, void *weights)
{
    int dim[4];
    memcpy(dim, a->dim, sizeof dim);
    void *args[] = {&turned, &weights, &dim[0], &dim[1], &dim[2], &dim[3]};
    return adv_cuda_launch(c, a->fn, &a->grid, args);
}

/* ---- the kernel ---------------------------------------------------------------------------------------------------------- */

typedef struct DirectState {
    AdvCuda *cuda;
    AdvConvTask task;
    AdvConvDirect direct;
} DirectState;

bool adv_conv_can(const AdvSig *s, const char **why)
{
    const AdvView *v = s->out;
    uint8_t dtype = v->dtype;
    *why = "needs all tensors in f32 or all in bf16";
    if (dtype != ADV_F32 && dtype != ADV_BF16) return false;
    for (uint32_t k = 0; k < s->n_in; k++)
        if (s->in[k].dtype != dtype) return false;
    *why = "has more elements than 2^31 blocks compute";
    for (uint32_t k = 0; k < s->n_in + s->n_out; k++)
        if (adv_view_elems(k < s->n_in ? &s->in[k] : &s->out[k - s->n_in]) > (int64_t)INT32_MAX) return false;
    return true;
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    DirectState *d = p->alloc(p, sizeof *d);
    if (!d) return ADV_ENOMEM;
    d->cuda = adv_cuda_of(p);
    adv_conv_task(p->sig, &d->task);
    adv_conv_direct_init(&d->direct, p->sig, &d->task);
    *out_state = d;
    return ADV_OK;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    DirectState *d = state;
    void *pointer[ADV_DNN_ROLES];
    adv_conv_pointers(l, &d->task, pointer);
    return adv_conv_direct_run(d->cuda, &d->direct, pointer);
}

#define CONV(op_name) \
    const AdvKernel adv_k_cuda_##op_name##_direct = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "direct", \
                                                     .op_version = 1, .order = 10, .can = adv_conv_can, .prepare = prepare, .run = run};
CONV(conv2d)
CONV(conv2d_bias)
CONV(conv2d_sum)
CONV(conv2d_sum_affine)
CONV(conv2d_gx)
CONV(conv2d_gx_mask)
CONV(conv2d_gx_affine)
CONV(conv2d_gw)
