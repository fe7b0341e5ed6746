/* api.h: the functions of api.def as a table. The only header that names CUDA, cuBLAS, cuDNN and NVRTC. */
#ifndef ADV_RUNTIME_CUDA_API_H
#define ADV_RUNTIME_CUDA_API_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <nvrtc.h>

typedef struct AdvCudaApi {
#define API(library, result, name, arguments) result(*name) arguments;
#include "runtime/cuda/api.def"
} AdvCudaApi;

#endif
