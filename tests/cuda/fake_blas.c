/* fake_blas.c: cuBLAS of the fake device: one product, in double, column by column as cuBLAS counts. */
#include "tests/cuda/fake.h"

#include "ops/view.h"

#include <stdlib.h>
#include <string.h>

struct cublasContext { cudaStream_t stream; void *workspace; };

static const char *status_string(cublasStatus_t st) { return st == CUBLAS_STATUS_ALLOC_FAILED ? "out of memory" : "failed"; }

static cublasStatus_t status_of(cudaError_t e)
{
    return e == cudaSuccess                 ? CUBLAS_STATUS_SUCCESS
           : e == cudaErrorMemoryAllocation ? CUBLAS_STATUS_ALLOC_FAILED
                                            : CUBLAS_STATUS_EXECUTION_FAILED;
}

static cublasStatus_t create(cublasHandle_t *h)
{
    cudaError_t e = adv_fake_call(true);
    *h = NULL;
    if (adv_fake_is_capturing()) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (e == cudaSuccess) *h = calloc(1, sizeof **h);
    return status_of(e);
}

static cublasStatus_t destroy(cublasHandle_t h)
{
    free(h);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t set_stream(cublasHandle_t h, cudaStream_t s)
{
    h->stream = s;
    h->workspace = NULL;
    adv_fake_see(s);
    return status_of(adv_fake_call(false));
}

static cublasStatus_t set_workspace(cublasHandle_t h, void *p, size_t n)
{
    (void)n;
    h->workspace = p;
    return status_of(adv_fake_call(false));
}

static cublasStatus_t set_mode(cublasHandle_t h, cublasMath_t mode)
{
    (void)h;
    (void)mode;
    return status_of(adv_fake_call(false));
}

static uint8_t dtype_of(cudaDataType t)
{
    return t == CUDA_R_32F ? ADV_F32 : t == CUDA_R_16BF ? ADV_BF16 : t == CUDA_R_16F ? ADV_F16 : t == CUDA_R_64F ? ADV_F64 : ADV_DTYPE_NONE;
}

typedef struct Gemm {
    int m, n, k, lda, ldb, ldc;
    bool ta, tb;
    double alpha, beta;
    AdvView a, b, c;   /* as flat memory */
} Gemm;

static void run(const void *what)
{
    const Gemm *g = what;
    for (int64_t j = 0; j < g->n; j++)
        for (int64_t i = 0; i < g->m; i++) {
            double sum = 0;
            for (int64_t l = 0; l < g->k; l++)
                sum += adv_ld(&g->a, g->ta ? i * g->lda + l : l * g->lda + i) * adv_ld(&g->b, g->tb ? l * g->ldb + j : j * g->ldb + l);
            double old = g->beta != 0 ? g->beta * adv_ld(&g->c, j * g->ldc + i) : 0;
            adv_st(&g->c, j * g->ldc + i, g->alpha * sum + old);
        }
    uint64_t h = (uint64_t)g->m * 31 + (uint64_t)g->n * 17 + (uint64_t)g->k;
    adv_fake_count(h, h);
}

static AdvView flat(cudaDataType t, const void *p) { return (AdvView){.dtype = dtype_of(t), .data = (void *)(uintptr_t)p}; }

static cublasStatus_t gemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const void *alpha,
                           const void *a, cudaDataType at, int lda, const void *b, cudaDataType bt, int ldb, const void *beta, void *c,
                           cudaDataType ct, int ldc, cublasComputeType_t compute, cublasGemmAlgo_t algo)
{
    cudaError_t e = adv_fake_call(false);
    float fa, fb;
    (void)algo;
    if (e != cudaSuccess) return status_of(e);
    if (!h->stream || !h->workspace) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (compute == CUBLAS_COMPUTE_64F) return CUBLAS_STATUS_NOT_SUPPORTED;
    memcpy(&fa, alpha, sizeof fa);
    memcpy(&fb, beta, sizeof fb);
    Gemm g = {m, n, k, lda, ldb, ldc, ta != CUBLAS_OP_N, tb != CUBLAS_OP_N, (double)fa, (double)fb, flat(at, a), flat(bt, b), flat(ct, c)};
    if (!g.a.dtype || !g.b.dtype || !g.c.dtype || lda < (g.ta ? k : m) || ldb < (g.tb ? n : k) || ldc < m)
        return CUBLAS_STATUS_INVALID_VALUE;
    return status_of(adv_fake_enqueue(h->stream, run, &g, sizeof g));
}

void adv_fake_fill_blas(AdvCudaApi *a)
{
    a->cublasCreate_v2 = create;
    a->cublasDestroy_v2 = destroy;
    a->cublasGetStatusString = status_string;
    a->cublasSetStream_v2 = set_stream;
    a->cublasSetWorkspace_v2 = set_workspace;
    a->cublasSetMathMode = set_mode;
    a->cublasGemmEx = gemm;
}
