/* conv_own.h: a convolution instruction as roles of tensors, and launching our own kernels for it (conv.c, conv.cu). */
#ifndef ADV_OPS_CUDA_CONV_OWN_H
#define ADV_OPS_CUDA_CONV_OWN_H

#include "ops/cuda/conv.h"
#include "ops/cuda/cuda.h"
#include "ops/cuda/cudnn_graph.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/view.h"

/* Any of the convolution ops: which operand plays which role (ADV_DNN_*), -1 for none. */
typedef struct AdvConvTask {
    AdvDnnKind kind;
    int in[ADV_DNN_ROLES], result;
    int64_t stride, pad;
    bool relu, sum_last; /* as of AdvDnnConv */
    bool has_kept;       /* the second result has role ADV_DNN_KEPT */
} AdvConvTask;

void adv_conv_task(const AdvSig *s, AdvConvTask *t);
const AdvView *adv_conv_view(const AdvSig *s, const AdvConvTask *t, int role); /* NULL: the instruction has no such operand */
AdvDnnConv adv_conv_whole(const AdvSig *s, const AdvConvTask *t); /* with all that is done to the result */
AdvDnnConv adv_conv_plain(const AdvDnnConv *whole);               /* without */
/* A gradient by the image as a forward convolution of the output's gradient, by turned weights, whose view is put in *out_weights.
** False: it is none, or not of stride 1 and a square window. */
bool adv_conv_turned(const AdvDnnConv *c, AdvDnnConv *out, AdvView *out_weights);
bool adv_conv_has_tail(const AdvConvTask *t);
void adv_conv_pointers(const AdvLaunch *l, const AdvConvTask *t, void *pointer[ADV_DNN_ROLES]);

AdvConvEnd adv_conv_end(void *const pointer[ADV_DNN_ROLES]); /* what is done to the result, of these */

/* May our own kernels run it? One type, f32 or bf16, any strides. */
bool adv_conv_can(const AdvSig *s, const char **why);

/* The whole of it by the direct kernel. */
typedef struct AdvConvDirect {
    AdvConvForm form;
    AdvDnnKind kind;
    const void *fn;
    AdvCudaGrid grid;
} AdvConvDirect;
void adv_conv_direct_init(AdvConvDirect *d, const AdvSig *s, const AdvConvTask *t);
AdvStatus adv_conv_direct_run(AdvCuda *c, const AdvConvDirect *d, void *const pointer[ADV_DNN_ROLES]) ADV_MUST_USE;

/* The whole of it by the kernels for images of at most ADV_NARROW_CHANNELS channels (narrow.cu). */
typedef struct AdvConvNarrow {
    AdvNarrowForm form;
    bool by_image;
    const void *fn;
    AdvCudaGrid grid;
} AdvConvNarrow;
/* False: they do not take it. All tensors dense and channels-last. steps: a gradient by the image whose end is the step of an attack. */
bool adv_conv_narrow_init(AdvConvNarrow *a, const AdvSig *s, const AdvConvTask *t, bool steps);
/* Not of one that steps, whose operands are others. */
AdvStatus adv_conv_narrow_run(AdvCuda *c, const AdvConvNarrow *a, void *const pointer[ADV_DNN_ROLES]) ADV_MUST_USE;

/* The whole of it on the matrix units of compute capability 9.0 (wgmma.cu): 3x3, stride 1, bf16, 160 channels of the result or a multiple.
** All tensors dense and channels-last. */
typedef struct AdvConvWgmma {
    AdvWgmmaForm form;
    bool by_image;
    const void *fn;
    AdvCudaGrid grid;
} AdvConvWgmma;
bool adv_conv_wgmma_takes(const AdvCuda *c, const AdvSig *s, const AdvConvTask *t);
AdvStatus adv_conv_wgmma_init(AdvConvWgmma *a, AdvCuda *c, const AdvSig *s, const AdvConvTask *t) ADV_MUST_USE; /* of one that is taken */
AdvStatus adv_conv_wgmma_run(AdvCuda *c, const AdvConvWgmma *a, void *const pointer[ADV_DNN_ROLES]) ADV_MUST_USE;

/* The step of an attack along a gradient in memory. */
const void *adv_conv_step_fn(uint8_t gradient_dtype);

/* The gradient by the image inside a conv2d_gx_step: an instruction conv2d_gx whose result is dense and channels-last. */
typedef struct AdvConvInner {
    AdvSig sig;
    AdvView in[2], gx;
    AdvAttr attr[4];
} AdvConvInner;
void adv_conv_inner_init(AdvConvInner *a, const AdvSig *s);

/* What is done to the result, where all tensors are dense and channels-last. The convolution itself was left in the result, or in what
** is kept of it where there is such: adv_conv_tail_role. */
typedef struct AdvConvTail {
    const void *fn;
    AdvCudaGrid grid;
    AdvConvTailForm form;
    int from, to; /* roles */
} AdvConvTail;
int adv_conv_tail_role(const AdvConvTask *t);
void adv_conv_tail_init(AdvConvTail *a, const AdvSig *s, const AdvConvTask *t);
AdvStatus adv_conv_tail_run(AdvCuda *c, const AdvConvTail *a, void *const pointer[ADV_DNN_ROLES]) ADV_MUST_USE;

/* Weights [O,C,kh,kw] to [C,O,kh,kw], mirrored in both directions of the window; both channels-last. */
typedef struct AdvConvTurn {
    const void *fn;
    AdvCudaGrid grid;
    int dim[4];
} AdvConvTurn;
void adv_conv_turn_init(AdvConvTurn *a, const AdvView *w);
AdvStatus adv_conv_turn_run(AdvCuda *c, const AdvConvTurn *a, void *turned, void *weights) ADV_MUST_USE;

#endif
