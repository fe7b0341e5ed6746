/* rows.c: the launches of rows.cu. */
#include "ops/cuda/rows.h"

#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/of.h"
#include "ops/view.h"

#include <assert.h>
#include <string.h>

extern const AdvCudaFn adv_cuda_fns_rows[];

#define LONGEST_OF_A_WARP 2048 /* elements of a row: 64 turns of a lane */

/* What operand k is: rows z or z2, one number a row c, or classes y. */
typedef struct RowsOp {
    const char *op;
    int code;
    const char *operands;
} RowsOp;

static const RowsOp ops[] = {
    {"softmax", ADV_ROWS_softmax, "z"},          {"log_softmax", ADV_ROWS_log_softmax, "z"}, {"logsumexp", ADV_ROWS_logsumexp, "z"},
    {"entropy", ADV_ROWS_entropy, "z"},          {"ce", ADV_ROWS_ce, "zy"},                  {"ce_grad", ADV_ROWS_ce_grad, "zyc"},
    {"kl", ADV_ROWS_kl, "z2"},                   {"kl_grad_p", ADV_ROWS_kl_grad_p, "z2c"},   {"kl_grad_q", ADV_ROWS_kl_grad_q, "z2c"},
    {"pick", ADV_ROWS_pick, "zy"},               {"put", ADV_ROWS_put, "zy"},                {"unpick", ADV_ROWS_unpick, "cy"},
    {"argmax", ADV_ROWS_argmax, "z"},            {"argmin", ADV_ROWS_argmin, "z"},           {"nth_class", ADV_ROWS_nth_class, "z"},
};

typedef struct RowsState {
    AdvCuda *cuda;
    const RowsOp *op;
    const void *fn;
    AdvCudaGrid grid;
    AdvRowsArgs a;
} RowsState;

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    RowsState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    for (uint32_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (strcmp(ops[i].op, sig->op->name) == 0) s->op = &ops[i];
    assert(s->op);
    const AdvView *wide = s->op->operands[0] == 'z' ? &sig->in[0] : &sig->out[0];
    s->cuda = adv_cuda_of(p);
    s->a.op = s->op->code;
    s->a.n = wide->dim[wide->rank - 1];
    s->a.n_rows = adv_view_elems(wide) / s->a.n;
    s->a.fault_code = s->cuda->fault_code;
    if (s->op->code == ADV_ROWS_put) s->a.value = sig->attr[0].f;
    if (s->op->code == ADV_ROWS_nth_class) s->a.k = (int)sig->attr[0].i;
    bool is_short = s->a.n <= LONGEST_OF_A_WARP;
    s->fn = adv_cuda_fn_of(adv_cuda_fns_rows, is_short ? "rows_short" : "rows_long", adv_cuda_type(sig->in[0].dtype));
    s->grid = is_short ? adv_cuda_grid_x((uint64_t)s->a.n_rows * 32, ADV_ROWS_BLOCK)
                       : adv_cuda_grid_blocks((uint64_t)s->a.n_rows, ADV_ROWS_BLOCK);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    RowsState *s = state;
    void *out = l->out[0].data, *z = NULL, *z2 = NULL, *c = NULL, *y = NULL;
    void *args[] = {&out, &z, &z2, &c, &y, &s->cuda->fault, &s->a};
    for (uint32_t k = 0; s->op->operands[k]; k++) {
        void *data = l->in[k].data;
        switch (s->op->operands[k]) {
        case 'z': z = data; break;
        case '2': z2 = data; break;
        case 'c': c = data; break;
        default: y = data; break;
        }
    }
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

#define ROWS(op_name) \
    const AdvKernel adv_k_cuda_##op_name##_rows = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "rows", .op_version = 1, \
                                                   .can = adv_cuda_can_rows, .prepare = prepare, .run = run};
ROWS(softmax)
ROWS(log_softmax)
ROWS(logsumexp)
ROWS(entropy)
ROWS(ce)
ROWS(ce_grad)
ROWS(kl)
ROWS(kl_grad_p)
ROWS(kl_grad_q)
ROWS(pick)
ROWS(put)
ROWS(unpick)
ROWS(argmax)
ROWS(argmin)
ROWS(nth_class)
