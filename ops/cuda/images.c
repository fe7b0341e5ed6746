/* images.c: image_fetch, pad_crop and hflip on cuda: one launch each (images.cu). */
#include "ops/cuda/images.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/of.h"
#include "ops/view.h"

extern const AdvCudaFn adv_cuda_fns_images[];

typedef struct ImageState {
    AdvCuda *cuda;
    AdvImageForm form;
    const void *fn;
    AdvCudaGrid grid;
    uint32_t n_in;
    unsigned fault_code;
} ImageState;

static bool is_count(const AdvView *v) { return v->dtype == ADV_I32 || v->dtype == ADV_I64; }
static bool is_small_float(const AdvView *v) { return v->dtype == ADV_F32 || v->dtype == ADV_BF16; }

static bool can_fetch(const AdvSig *s, const char **why)
{
    *why = "needs numbers in i32 or i64 and makes f32";
    return is_count(&s->in[1]) && s->out[0].dtype == ADV_F32;
}

static bool can_augment(const AdvSig *s, const char **why)
{
    *why = "needs f32 or bf16, and counts in i32 or i64";
    for (uint32_t k = 1; k < 4; k++)
        if (!is_count(&s->in[k])) return false;
    return is_small_float(&s->in[0]) && s->out[0].dtype == s->in[0].dtype;
}

static ImageState *new_state(AdvPrep *p, const void *fn)
{
    ImageState *s = p->alloc(p, sizeof *s);
    if (!s) return NULL;
    s->cuda = adv_cuda_of(p);
    s->fn = fn;
    s->grid = adv_cuda_grid_x((uint64_t)adv_view_elems(&p->sig->out[0]), ADV_CUDA_BLOCK);
    s->n_in = p->sig->n_in;
    s->fault_code = s->cuda->fault_code;
    return s;
}

static void describe(AdvImageForm *f, const AdvView *y)
{
    f->n = (int)y->dim[0], f->c = (int)y->dim[1], f->h = (int)y->dim[2], f->w = (int)y->dim[3];
    for (int d = 0; d < 4; d++) f->result[d] = y->stride[d];
}

static AdvStatus prepare_fetch(AdvPrep *p, void **out_state)
{
    static const int from[4] = {0, 3, 1, 2}; /* the data set is [M,H,W,C] */
    const AdvView *data = &p->sig->in[0], *ids = &p->sig->in[1];
    ImageState *s = new_state(p, adv_cuda_fn(adv_cuda_fns_images, "adv_image_fetch"));
    if (!s) return ADV_ENOMEM;
    AdvImageForm *f = &s->form;
    describe(f, &p->sig->out[0]);
    for (int d = 0; d < 4; d++) f->source[d] = data->stride[from[d]];
    f->rows = data->dim[0];
    f->id_step = ids->stride[0];
    f->is_wide[0] = ids->dtype == ADV_I64;
    *out_state = s;
    return ADV_OK;
}

static AdvStatus prepare_augment(AdvPrep *p, const char *prefix, int64_t pad, bool reflects, int64_t purpose, void **out_state)
{
    const AdvSig *sig = p->sig;
    ImageState *s = new_state(p, adv_cuda_fn_of(adv_cuda_fns_images, prefix, adv_cuda_type(sig->in[0].dtype)));
    if (!s) return ADV_ENOMEM;
    AdvImageForm *f = &s->form;
    describe(f, &sig->out[0]);
    for (int d = 0; d < 4; d++) f->source[d] = sig->in[0].stride[d];
    for (int k = 0; k < 3; k++) f->is_wide[k] = sig->in[1 + k].dtype == ADV_I64;
    f->id_step = sig->in[3].stride[0];
    f->pad = (int)pad;
    f->reflects = reflects;
    f->purpose = purpose;
    *out_state = s;
    return ADV_OK;
}

static AdvStatus prepare_crop(AdvPrep *p, void **out_state)
{
    const AdvAttr *a = p->sig->attr;
    return prepare_augment(p, "adv_pad_crop", a[0].i, a[1].i == 1, a[2].i, out_state);
}

static AdvStatus prepare_flip(AdvPrep *p, void **out_state)
{
    return prepare_augment(p, "adv_hflip", 0, false, p->sig->attr[0].i, out_state);
}

/* Operands and the result, in order, and for image_fetch where to say that a number is out of range. */
static AdvStatus launch(const AdvLaunch *l, ImageState *s, bool may_fault)
{
    void *data[5], *fault = s->cuda->fault, *args[8] = {&s->form};
    uint32_t n = 1;
    for (uint32_t k = 0; k <= s->n_in; k++) {
        data[k] = k < s->n_in ? l->in[k].data : l->out[0].data;
        args[n++] = &data[k];
    }
    if (may_fault) args[n++] = &fault, args[n++] = &s->fault_code;
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

static AdvStatus run_fetch(const AdvLaunch *l, void *state) { return launch(l, state, true); }
static AdvStatus run_augment(const AdvLaunch *l, void *state) { return launch(l, state, false); }

#define IMAGES(op_name, can_fn, prepare_fn, run_fn) \
    const AdvKernel adv_k_cuda_##op_name##_own = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "own", .op_version = 1, \
                                                  .can = can_fn, .prepare = prepare_fn, .run = run_fn};
IMAGES(image_fetch, can_fetch, prepare_fetch, run_fetch)
IMAGES(pad_crop, can_augment, prepare_crop, run_augment)
IMAGES(hflip, can_augment, prepare_flip, run_augment)
