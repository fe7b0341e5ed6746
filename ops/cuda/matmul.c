/* matmul.c: products of matrices by cuBLAS, or by our own kernel (matmul.cu) where they are small or lie with gaps.
**
** cuBLAS counts by columns: a matrix in row order is its transpose there, so the library is asked for y' = b' a'. The choice is by
** size, not by time: below 2^21 multiply-adds both are a launch's time, and the library's first call costs more than that. Its
** workspace is the session's, set once, so calls may be captured and always take the same way. TF32 where the session allows it.
** Expected limit: FLOP on the tensor cores for large products. Not measured on a device yet.
*/
#include "ops/cuda/cuda.h"
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/of.h"
#include "ops/view.h"

extern const AdvCudaFn adv_cuda_fns_matmul[];

typedef struct MatmulState {
    AdvCuda *cuda;
    cublasHandle_t blas;
    cublasOperation_t ta, tb;
    int rows, cols, inner, lda, ldb, ldy;
    cudaDataType type;
    cublasComputeType_t compute;
} MatmulState;

typedef struct OwnState {
    AdvCuda *cuda;
    const void *fn;
    AdvCudaGrid grid;
    long long size[9]; /* rows, columns, inner, and the steps of a, b and y */
} OwnState;

static int64_t inner_of(const AdvSig *s) { return s->in[0].dim[!s->attr[0].i]; }

static bool can_own(const AdvSig *s, const char **why)
{
    *why = "needs matrices in f32 or all in bf16";
    if (s->in[1].dtype != s->in[0].dtype || s->out[0].dtype != s->in[0].dtype) return false;
    return s->in[0].dtype == ADV_F32 || s->in[0].dtype == ADV_BF16;
}

static bool can_blas(const AdvSig *s, const char **why)
{
    if (!can_own(s, why)) return false;
    *why = "needs rows without gaps, of at most 2^31 elements";
    for (uint32_t k = 0; k < 3; k++) {
        const AdvView *v = k < 2 ? &s->in[k] : &s->out[0];
        if (!adv_view_is_row(v) || v->dim[0] > INT32_MAX || v->dim[1] > INT32_MAX) return false;
    }
    *why = "is small";
    return (double)adv_view_elems(&s->out[0]) * (double)inner_of(s) >= 2097152.0;
}

static AdvStatus prepare_blas(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    bool is_low = sig->in[0].dtype == ADV_BF16;
    MatmulState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->cuda = adv_cuda_of(p);
    AdvStatus st = adv_cuda_blas(s->cuda, &s->blas);
    if (st != ADV_OK) return st;
    s->ta = sig->attr[0].i ? CUBLAS_OP_T : CUBLAS_OP_N;
    s->tb = sig->attr[1].i ? CUBLAS_OP_T : CUBLAS_OP_N;
    s->rows = (int)sig->out[0].dim[0];
    s->cols = (int)sig->out[0].dim[1];
    s->inner = (int)inner_of(sig);
    s->lda = (int)sig->in[0].dim[1];
    s->ldb = (int)sig->in[1].dim[1];
    s->ldy = s->cols;
    s->type = is_low ? CUDA_R_16BF : CUDA_R_32F;
    s->compute = !is_low && s->cuda->allow_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run_blas(const AdvLaunch *l, void *state)
{
    MatmulState *s = state;
    const AdvCudaApi *api = s->cuda->api;
    float one = 1, zero = 0;
    cublasStatus_t st = api->cublasGemmEx(s->blas, s->tb, s->ta, s->cols, s->rows, s->inner, &one, l->in[1].data, s->type, s->ldb,
                                          l->in[0].data, s->type, s->lda, &zero, l->out[0].data, s->type, s->ldy, s->compute,
                                          CUBLAS_GEMM_DEFAULT);
    if (st == CUBLAS_STATUS_SUCCESS) return ADV_OK;
    return adv_cuda_foreign(s->cuda, st == CUBLAS_STATUS_ALLOC_FAILED, "cublasGemmEx", "%s", api->cublasGetStatusString(st));
}

static AdvStatus prepare_own(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    const AdvView *a = &sig->in[0], *b = &sig->in[1], *y = &sig->out[0];
    int64_t ta = sig->attr[0].i, tb = sig->attr[1].i;
    OwnState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->cuda = adv_cuda_of(p);
    bool is_thin = inner_of(sig) < 32;
    s->fn = adv_cuda_fn_of(adv_cuda_fns_matmul, is_thin ? "adv_matmul_thin" : "adv_matmul", adv_cuda_type(a->dtype));
    s->grid = adv_cuda_grid_x((uint64_t)adv_view_elems(y) * (is_thin ? 1 : 32), ADV_CUDA_BLOCK);
    long long size[9] = {y->dim[0], y->dim[1], a->dim[!ta], a->stride[ta], a->stride[!ta], b->stride[tb], b->stride[!tb], y->stride[0],
                         y->stride[1]};
    for (int k = 0; k < 9; k++) s->size[k] = size[k];
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run_own(const AdvLaunch *l, void *state)
{
    OwnState *s = state;
    void *a = l->in[0].data, *b = l->in[1].data, *y = l->out[0].data, *args[12] = {&a, &b, &y};
    for (int k = 0; k < 9; k++) args[3 + k] = &s->size[k];
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

const AdvKernel adv_k_cuda_matmul_cublas = {ADV_KERNEL_HEADER, .backend = "cuda", .op = "matmul", .name = "cublas", .op_version = 1,
                                            .can = can_blas, .prepare = prepare_blas, .run = run_blas};
const AdvKernel adv_k_cuda_matmul_own = {ADV_KERNEL_HEADER, .backend = "cuda", .op = "matmul", .name = "own", .op_version = 1, .order = 10,
                                         .can = can_own, .prepare = prepare_own, .run = run_own};
