/* head.c: the launches of head.cu. */
#include "ops/cuda/head.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/of.h"
#include "ops/view.h"

#include <stdio.h>
#include <string.h>

extern const AdvCudaFn adv_cuda_fns_head[];

enum { MOST_CHANNELS = 12288 /* whose sums 48 KiB hold, which every launch may have */, PACKS_OF_A_PART = 1024 };

typedef struct HeadState {
    AdvCuda *cuda;
    AdvHeadForm form;
    const void *fn;
    AdvCudaGrid grid;
    uint32_t n_in, n_most; /* operands given, and that the kernel takes */
} HeadState;

static bool is_back(const AdvSig *s) { return strcmp(s->op->name, "pool_linear_gx") == 0; }

static const AdvView *image_of(const AdvSig *s) { return &s->in[is_back(s) ? 2 : 0]; }

static bool can(const AdvSig *s, const char **why)
{
    const AdvView *x = image_of(s);
    *why = "needs the image in f32 or bf16, logits and bias in f32";
    if (x->dtype != ADV_F32 && x->dtype != ADV_BF16) return false;
    *why = "needs vectors and matrices in row order without gaps";
    for (uint32_t k = 0; k < s->n_in; k++)
        if (s->in[k].rank < 4 && !adv_view_is_row(&s->in[k])) return false;
    if (s->out[0].rank < 4 && !adv_view_is_row(&s->out[0])) return false;
    *why = "has more channels than 48 KiB hold sums of";
    if (x->dim[1] > MOST_CHANNELS) return false;
    *why = "has more elements than 2^31";
    return adv_view_elems(x) <= (int64_t)INT32_MAX && adv_view_elems(&s->in[1]) <= (int64_t)INT32_MAX;
}

static bool is_wide(const AdvSig *s, int64_t width)
{
    const AdvView *x = image_of(s);
    return x->dim[1] % width == 0 && adv_view_is_cl(x) && (!is_back(s) || adv_view_is_cl(&s->out[0]));
}

static void copy_strides(long long to[4], const AdvView *v)
{
    for (int d = 0; d < 4; d++) to[d] = v->stride[d];
}

/* How often a sample is cut so that the blocks are many, and each writes more than it computes. */
static int64_t parts_of(int64_t packs, int64_t places, int64_t classes)
{
    int64_t by_size = (packs * places + PACKS_OF_A_PART - 1) / PACKS_OF_A_PART, by_work = places / classes;
    return by_size < by_work ? by_size : by_work > 1 ? by_work : 1;
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    const AdvView *x = image_of(sig);
    HeadState *s = p->alloc(p, sizeof *s);
    char name[32];
    if (!s) return ADV_ENOMEM;
    AdvHeadForm *f = &s->form;
    bool back = is_back(sig);
    int64_t width = x->dtype == ADV_BF16 ? 8 : 4, block = back ? ADV_HEAD_BACK : ADV_HEAD_POOL;
    if (!is_wide(sig, width)) width = 1;
    int64_t packs = x->dim[1] / width, places = x->dim[2] * x->dim[3], classes = sig->in[1].dim[0];
    s->cuda = adv_cuda_of(p);
    s->n_in = sig->n_in;
    s->n_most = back ? 4 : 3;
    copy_strides(f->image, x);
    f->channels = (int)x->dim[1], f->h = (int)x->dim[2], f->w = (int)x->dim[3], f->classes = (int)classes;
    f->groups = packs < block ? (int)(block / packs) : 1;
    f->parts = back ? (int)parts_of(packs, places, classes) : 1;
    if (back) copy_strides(f->result, &sig->out[0]);
    f->gy_is_f32 = back && sig->in[0].dtype == ADV_F32;
    f->factor = back ? (float)sig->attr[0].f : 1;
    snprintf(name, sizeof name, "%s%s", sig->op->name, width > 1 ? "" : "_1");
    s->fn = adv_cuda_fn_of(adv_cuda_fns_head, name, adv_cuda_type(x->dtype));
    s->grid = adv_cuda_grid_blocks((uint64_t)(x->dim[0] * f->parts), (uint32_t)block);
    s->grid.shared_bytes = (uint32_t)f->groups * (uint32_t)f->channels * (uint32_t)sizeof(float);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    HeadState *s = state;
    AdvHeadForm form = s->form;
    void *data[5] = {NULL}, *args[6] = {&form};
    for (uint32_t k = 0; k < s->n_in; k++) data[k] = l->in[k].data;
    data[s->n_most] = l->out[0].data;
    for (uint32_t k = 0; k <= s->n_most; k++) args[1 + k] = &data[k];
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

#define HEAD(op_name) \
    const AdvKernel adv_k_cuda_##op_name##_own = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "own", .op_version = 1, \
                                                  .can = can, .prepare = prepare, .run = run};
HEAD(pool_linear)
HEAD(pool_linear_gx)
