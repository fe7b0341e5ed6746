/* ew.c: kernels that are generated: elementwise ops, their fused groups, and what only moves or converts elements.
**
** All of these are one thing: read operands wherever they lie, compute on one element, write it (ew_text.c). A session's texts are
** compiled together when it opens. Limit: memory bandwidth, each operand read and each result written once; moves between row and
** channels-last order read with a stride and rely on the caches. No figure has been measured on a device yet.
*/
#include "ops/cuda/ew_text.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "runtime/base/container.h"
#include "runtime/base/diag.h"

#include <assert.h>

/* One generated kernel with what a launch of it needs. */
typedef struct EwPart {
    const void *fn;
    AdvCudaGrid grid;
    uint32_t n_in, first;      /* operands: first .. first+n_in-1 of the instruction */
    long long n;
    int64_t out_at, in_at;     /* in bytes; of the result and the only operand where that is not 0 */
} EwPart;

typedef struct EwState {
    AdvCuda *cuda;
    uint32_t n_parts;
    EwPart part[];
} EwState;

/* ---- preparing ----------------------------------------------------------------------------------------------------- */

static EwState *new_state(AdvPrep *p, uint32_t n_parts)
{
    EwState *s = p->alloc(p, sizeof *s + n_parts * sizeof s->part[0]);
    if (!s) return NULL;
    s->cuda = adv_cuda_of(p);
    s->n_parts = n_parts;
    return s;
}

/* Writes the text of *k, which is laid already, and asks for it. */
static AdvStatus generate(AdvPrep *p, EwPart *part, const AdvEwKernel *k)
{
    char name[ADV_EW_NAME], *text, none[1];
    size_t n = adv_ew_kernel_text(k, name, none, 0) + 1;
    text = p->alloc(p, n);
    if (!text) return ADV_ENOMEM;
    (void)adv_ew_kernel_text(k, name, text, n);
    part->n_in = k->n_in;
    part->n = k->n;
    part->grid = adv_cuda_grid_x(adv_ew_kernel_threads(k), ADV_CUDA_BLOCK);
    part->out_at = k->at[0] * (int64_t)adv_dtype_bytes(k->dtype[0]);
    part->in_at = k->at[1] * (int64_t)adv_dtype_bytes(k->dtype[1]);
    return adv_cuda_generate(adv_cuda_of(p), name, text, &part->fn);
}

/* A program over all operands of the instruction. */
static AdvStatus prepare_program(AdvPrep *p, void **out_state, const AdvEwStep *steps, uint32_t n_steps, const double *consts,
                                 uint32_t n_consts)
{
    const AdvSig *sig = p->sig;
    EwState *s = new_state(p, 1);
    AdvEwKernel *k = p->alloc(p, sizeof *k);
    if (!s || !k) return ADV_ENOMEM;
    assert(sig->n_in <= ADV_EW_MAX_IN);
    *k = (AdvEwKernel){.n_in = sig->n_in, .n_consts = n_consts, .n_steps = n_steps, .steps = steps, .consts = consts};
    k->dtype[0] = sig->out[0].dtype;
    for (uint32_t i = 0; i < sig->n_in; i++) k->dtype[1 + i] = sig->in[i].dtype;
    adv_ew_kernel_lay(k, &sig->out[0], sig->in);
    *out_state = s;
    return generate(p, &s->part[0], k);
}

static AdvStatus prepare_row(AdvPrep *p, void **out_state) { return adv_ew_prepare_row(p, out_state, prepare_program); }
static AdvStatus prepare_fused(AdvPrep *p, void **out_state) { return adv_ew_prepare_fused(p, out_state, prepare_program); }
static AdvStatus prepare_step_linf(AdvPrep *p, void **out_state) { return adv_ew_prepare_step_linf(p, out_state, prepare_program); }

/* ---- moves --------------------------------------------------------------------------------------------------------- */

/* `out` = `in` (operand `ix`), whose elements begin at out_at and in_at. */
static AdvStatus prepare_move(AdvPrep *p, EwPart *part, const AdvView *out, int64_t out_at, uint32_t ix, const AdvView *in, int64_t in_at)
{
    AdvEwKernel *k = p->alloc(p, sizeof *k);
    if (!k) return ADV_ENOMEM;
    *k = (AdvEwKernel){.n_in = 1, .dtype = {out->dtype, in->dtype}, .at = {out_at, in_at}};
    adv_ew_kernel_lay(k, out, in);
    part->first = ix;
    return generate(p, part, k);
}

/* copy, cast, relayout, broadcast, on_ball: the first operand, spread over the result. */
static AdvStatus prepare_same(AdvPrep *p, void **out_state)
{
    EwState *s = new_state(p, 1);
    if (!s) return ADV_ENOMEM;
    *out_state = s;
    return prepare_move(p, &s->part[0], &p->sig->out[0], 0, 0, &p->sig->in[0], 0);
}

static AdvStatus prepare_slice(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    int64_t axis = sig->attr[0].i;
    AdvView part = sig->in[0];
    EwState *s = new_state(p, 1);
    if (!s) return ADV_ENOMEM;
    part.dim[axis] = sig->out[0].dim[axis];
    *out_state = s;
    return prepare_move(p, &s->part[0], &sig->out[0], 0, 0, &part, sig->attr[1].i * part.stride[axis]);
}

static AdvStatus prepare_concat(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    int64_t axis = sig->attr[0].i, at = 0;
    EwState *s = new_state(p, sig->n_in);
    if (!s) return ADV_ENOMEM;
    *out_state = s;
    for (uint32_t i = 0; i < sig->n_in; i++) {
        AdvView part = sig->out[0];
        part.dim[axis] = sig->in[i].dim[axis];
        ADV_TRY(prepare_move(p, &s->part[i], &part, at * part.stride[axis], i, &sig->in[i], 0));
        at += part.dim[axis];
    }
    return ADV_OK;
}

/* ---- running ------------------------------------------------------------------------------------------------------- */

static AdvStatus run(const AdvLaunch *l, void *state)
{
    const EwState *s = state;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        const EwPart *part = &s->part[i];
        void *args[2 + ADV_EW_MAX_IN], *data[1 + ADV_EW_MAX_IN];
        long long n = part->n;
        data[0] = (char *)l->out[0].data + part->out_at;
        for (uint32_t k = 0; k < part->n_in; k++) data[1 + k] = l->in[part->first + k].data;
        if (part->n_in) data[1] = (char *)data[1] + part->in_at;
        for (uint32_t k = 0; k < 1 + part->n_in; k++) args[k] = &data[k];
        args[1 + part->n_in] = &n;
        ADV_TRY(adv_cuda_launch(s->cuda, part->fn, &part->grid, args));
    }
    return ADV_OK;
}

static bool can(const AdvSig *s, const char **why)
{
    (void)s, (void)why;
    return true;
}

/* ---- the kernels --------------------------------------------------------------------------------------------------- */

const AdvKernel adv_k_cuda_rows_made = {ADV_KERNEL_HEADER, .backend = "cuda", .op = ADV_KERNEL_ROWS, .name = "made", .can = can,
                                        .prepare = prepare_row, .run = run};
#define MADE(op_name, version, prepare_fn) \
    const AdvKernel adv_k_cuda_##op_name##_made = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "made", \
                                                   .op_version = version, .can = can, .prepare = prepare_fn, .run = run};
MADE(fused_ew, 2, prepare_fused)
MADE(step_linf, 1, prepare_step_linf)
MADE(copy, 1, prepare_same)
MADE(cast, 1, prepare_same)
MADE(relayout, 1, prepare_same)
MADE(broadcast, 1, prepare_same)
MADE(on_ball, 1, prepare_same)
MADE(slice, 1, prepare_slice)
MADE(concat, 1, prepare_concat)
