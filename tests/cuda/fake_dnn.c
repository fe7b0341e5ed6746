/* fake_dnn.c: cuDNN of the fake device. */
#include "tests/cuda/fake.h"

#include <stdlib.h>

struct cudnnContext { cudaStream_t stream; };

static size_t version(void) { return 91900; }
static const char *error_string(cudnnStatus_t st) { return st == CUDNN_STATUS_ALLOC_FAILED ? "out of memory" : "failed"; }

static cudnnStatus_t create(cudnnHandle_t *h)
{
    *h = NULL;
    if (adv_fake_call(true) != cudaSuccess) return CUDNN_STATUS_ALLOC_FAILED;
    *h = calloc(1, sizeof **h);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t destroy(cudnnHandle_t h)
{
    free(h);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set_stream(cudnnHandle_t h, cudaStream_t s)
{
    h->stream = s;
    return CUDNN_STATUS_SUCCESS;
}

void adv_fake_fill_dnn(AdvCudaApi *a)
{
    a->cudnnGetVersion = version;
    a->cudnnGetErrorString = error_string;
    a->cudnnCreate = create;
    a->cudnnDestroy = destroy;
    a->cudnnSetStream = set_stream;
}
