/* step_l2.c: the launch of step_l2.cu. */
#include "ops/cuda/step_l2.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/of.h"
#include "ops/view.h"

enum { Z, G, X, EPS, SIZE, N_IN };

extern const AdvCudaFn adv_cuda_fns_step_l2[];

typedef struct StepState {
    AdvCuda *cuda;
    AdvStepL2Form form;
    const void *fn;
    AdvCudaGrid grid;
} StepState;

static bool can(const AdvSig *s, const char **why)
{
    *why = "needs all in f32, but for the gradient, which may be bf16";
    for (uint32_t k = 0; k < N_IN; k++)
        if (s->in[k].dtype != ADV_F32 && (k != G || s->in[k].dtype != ADV_BF16)) return false;
    *why = "needs a radius and a step size for each sample without gaps";
    for (uint32_t k = EPS; k < N_IN; k++)
        if (s->in[k].rank == 1 && !adv_view_is_row(&s->in[k])) return false;
    *why = "needs point, gradient and centre in one order without gaps";
    bool is_row = adv_view_is_row(&s->out[0]) != 0, is_cl = s->out[0].rank == 4 && adv_view_is_cl(&s->out[0]);
    for (uint32_t k = 0; k <= X; k++) {
        is_row = is_row && adv_view_is_row(&s->in[k]);
        is_cl = is_cl && adv_view_is_cl(&s->in[k]);
    }
    return is_row || is_cl;
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    StepState *s = p->alloc(p, sizeof *s);
    int64_t n_samples = sig->out[0].dim[0];
    if (!s) return ADV_ENOMEM;
    s->cuda = adv_cuda_of(p);
    s->form.n = adv_view_elems(&sig->out[0]) / n_samples;
    s->form.eps_step = sig->in[EPS].rank == 1;
    s->form.size_step = sig->in[SIZE].rank == 1;
    s->form.lo = (float)sig->attr[0].f, s->form.hi = (float)sig->attr[1].f;
    s->fn = adv_cuda_fn_of(adv_cuda_fns_step_l2, s->form.n % 4 == 0 ? "step_l2" : "step_l2_1", adv_cuda_type(sig->in[G].dtype));
    s->grid = adv_cuda_grid_blocks((uint64_t)n_samples, ADV_STEP_L2_BLOCK);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    StepState *s = state;
    AdvStepL2Form form = s->form;
    void *in[N_IN], *out = l->out[0].data;
    for (int k = 0; k < N_IN; k++) in[k] = l->in[k].data;
    void *args[] = {&form, &in[Z], &in[G], &in[X], &in[EPS], &in[SIZE], &out};
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

const AdvKernel adv_k_cuda_step_l2_own = {ADV_KERNEL_HEADER, .backend = "cuda", .op = "step_l2", .name = "own", .op_version = 1,
                                          .can = can, .prepare = prepare, .run = run};
