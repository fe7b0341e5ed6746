/* dnnl_matmul.c: matrix product by oneDNN's sgemm, which takes both orders of each operand as it is. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"

#include <dnnl.h>

static bool can(const AdvSig *s, const char **why)
{
    if (!adv_sig_f32(s, why)) return false;
    for (uint32_t i = 0; i < 3; i++)
        if (!adv_view_is_row(i < 2 ? &s->in[i] : &s->out[0])) {
            *why = "needs rows without gaps";
            return false;
        }
    return true;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    const AdvView *a = &l->in[0], *b = &l->in[1], *y = &l->out[0];
    int64_t ta = l->attr[0].i, tb = l->attr[1].i;
    (void)state;
#ifdef _OPENMP
    int before = omp_get_max_threads();
    if (before != (int)l->n_threads) omp_set_num_threads((int)l->n_threads);
#endif
    dnnl_status_t st = dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', y->dim[0], y->dim[1], a->dim[!ta], 1.0f, a->data, a->dim[1], b->data,
                                  b->dim[1], 0.0f, y->data, y->dim[1]);
#ifdef _OPENMP
    if (before != (int)l->n_threads) omp_set_num_threads(before);
#endif
    return st == dnnl_success ? ADV_OK : st == dnnl_out_of_memory ? ADV_ENOMEM : ADV_EUNAVAILABLE;
}

const AdvKernel adv_k_cpu_matmul_dnnl = {
    ADV_KERNEL_HEADER, .backend = "cpu", .op = "matmul", .name = "dnnl", .op_version = 1, .can = can, .run = run};
