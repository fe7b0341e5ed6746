/* ew.c: kernels that are generated: elementwise ops, their fused groups, and what only moves or converts elements.
**
** All of these are one thing: read operands wherever they lie, compute on one element, write it (ew_text.c). A session's texts are
** compiled together when it opens. Limit: memory bandwidth, each operand read and each result written once. Moves between row and
** channels-last order go through shared memory; groups whose operands lie in several orders read some with a stride and rely on the
** caches. No figure has been measured on a device yet.
*/
#include "ops/cuda/ew_text.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/parts.h"
#include "runtime/base/container.h"
#include "runtime/base/diag.h"

#include <assert.h>

/* ---- preparing ----------------------------------------------------------------------------------------------------- */

/* Writes the text of *k, which is laid already, and asks for it. Operands: `first` of the instruction and those behind it. */
static AdvStatus generate(AdvPrep *p, AdvCudaPart *part, const AdvEwKernel *k, uint32_t first)
{
    char name[ADV_EW_NAME], *text, none[1];
    const char *types[1 + ADV_EW_MAX_IN];
    size_t n = adv_ew_kernel_text(k, name, none, 0) + 1;
    text = p->alloc(p, n);
    part->n_args = 1 + k->n_in;
    part->args = p->alloc(p, part->n_args * sizeof *part->args);
    if (!text || !part->args) return ADV_ENOMEM;
    (void)adv_ew_kernel_text(k, name, text, n);
    part->n = k->n;
    part->grid = adv_cuda_grid_x(adv_ew_kernel_threads(k), ADV_CUDA_BLOCK);
    for (uint32_t i = 0; i < part->n_args; i++) {
        part->args[i] = (AdvCudaArg){i ? first + i - 1 : p->sig->n_in, k->at[i] * (int64_t)adv_dtype_bytes(k->dtype[i])};
        types[i] = adv_ew_kernel_type(k, i);
    }
    return adv_cuda_part_generate(p, part, name, text, types);
}

/* A program over all operands of the instruction. */
static AdvStatus prepare_program(AdvPrep *p, void **out_state, const AdvEwStep *steps, uint32_t n_steps, const double *consts,
                                 uint32_t n_consts)
{
    const AdvSig *sig = p->sig;
    AdvCudaParts *s = adv_cuda_parts_new(p, 1);
    AdvEwKernel *k = p->alloc(p, sizeof *k);
    if (!s || !k) return ADV_ENOMEM;
    assert(sig->n_in <= ADV_EW_MAX_IN);
    *k = (AdvEwKernel){.n_in = sig->n_in, .n_consts = n_consts, .n_steps = n_steps, .steps = steps, .consts = consts};
    k->dtype[0] = sig->out[0].dtype;
    for (uint32_t i = 0; i < sig->n_in; i++) k->dtype[1 + i] = sig->in[i].dtype;
    adv_ew_kernel_lay(k, &sig->out[0], sig->in);
    *out_state = s;
    return generate(p, &s->part[0], k, 0);
}

static AdvStatus prepare_row(AdvPrep *p, void **out_state) { return adv_ew_prepare_row(p, out_state, prepare_program); }
static AdvStatus prepare_fused(AdvPrep *p, void **out_state) { return adv_ew_prepare_fused(p, out_state, prepare_program); }
static AdvStatus prepare_step_linf(AdvPrep *p, void **out_state) { return adv_ew_prepare_step_linf(p, out_state, prepare_program); }

/* ---- moves --------------------------------------------------------------------------------------------------------- */

/* `out` = `in` (operand `ix`), whose elements begin at out_at and in_at. */
static AdvStatus prepare_move(AdvPrep *p, AdvCudaPart *part, const AdvView *out, int64_t out_at, uint32_t ix, const AdvView *in,
                              int64_t in_at)
{
    AdvEwKernel *k = p->alloc(p, sizeof *k);
    if (!k) return ADV_ENOMEM;
    *k = (AdvEwKernel){.n_in = 1, .dtype = {out->dtype, in->dtype}, .at = {out_at, in_at}};
    adv_ew_kernel_lay(k, out, in);
    return generate(p, part, k, ix);
}

/* copy, cast, relayout, broadcast, on_ball: the first operand, spread over the result. */
static AdvStatus prepare_same(AdvPrep *p, void **out_state)
{
    AdvCudaParts *s = adv_cuda_parts_new(p, 1);
    if (!s) return ADV_ENOMEM;
    *out_state = s;
    return prepare_move(p, &s->part[0], &p->sig->out[0], 0, 0, &p->sig->in[0], 0);
}

static AdvStatus prepare_slice(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    int64_t axis = sig->attr[0].i;
    AdvView part = sig->in[0];
    AdvCudaParts *s = adv_cuda_parts_new(p, 1);
    if (!s) return ADV_ENOMEM;
    part.dim[axis] = sig->out[0].dim[axis];
    *out_state = s;
    return prepare_move(p, &s->part[0], &sig->out[0], 0, 0, &part, sig->attr[1].i * part.stride[axis]);
}

static AdvStatus prepare_concat(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    int64_t axis = sig->attr[0].i, at = 0;
    AdvCudaParts *s = adv_cuda_parts_new(p, sig->n_in);
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

static bool can(const AdvSig *s, const char **why)
{
    (void)s, (void)why;
    return true;
}

/* ---- the kernels --------------------------------------------------------------------------------------------------- */

const AdvKernel adv_k_cuda_rows_made = {ADV_KERNEL_HEADER, .backend = "cuda", .op = ADV_KERNEL_ROWS, .name = "made", .can = can,
                                        .prepare = prepare_row, .run = adv_cuda_run_parts};
#define MADE(op_name, version, prepare_fn) \
    const AdvKernel adv_k_cuda_##op_name##_made = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "made", \
                                                   .op_version = version, .can = can, .prepare = prepare_fn, .run = adv_cuda_run_parts};
MADE(fused_ew, 2, prepare_fused)
MADE(step_linf, 1, prepare_step_linf)
MADE(copy, 1, prepare_same)
MADE(cast, 1, prepare_same)
MADE(relayout, 1, prepare_same)
MADE(broadcast, 1, prepare_same)
MADE(on_ball, 1, prepare_same)
MADE(slice, 1, prepare_slice)
MADE(concat, 1, prepare_concat)
