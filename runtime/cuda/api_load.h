/* api_load.h: the functions of libraries that are opened by name. */
#ifndef ADV_RUNTIME_CUDA_API_LOAD_H
#define ADV_RUNTIME_CUDA_API_LOAD_H

#include "runtime/cuda/cuda_back.h"

/* An AdvCudaSource for BLAS, DNN and RTC. */
AdvStatus adv_cuda_api_load(AdvCudaApi *api, AdvCudaLib which, const char *dirs, AdvDiags *ds) ADV_MUST_USE;

#endif
