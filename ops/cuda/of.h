/* of.h: what kernels ask about an instruction, and how they find the device function for its type. */
#ifndef ADV_OPS_CUDA_OF_H
#define ADV_OPS_CUDA_OF_H

#include "ops/cuda/cuda.h"

/* "f32", "bf16", "f16", "i32", "i64", "u8" or "f64": how names of device functions end. */
const char *adv_cuda_type(uint8_t dtype);

/* The function `prefix`_`type`. */
const void *adv_cuda_fn_of(const AdvCudaFn *table, const char *prefix, const char *type);

/* Questions that `can` asks. */
bool adv_cuda_can_floats(const AdvSig *s, const char **why);     /* all floats are of one type of f32, bf16, f16 */
bool adv_cuda_can_rows(const AdvSig *s, const char **why);       /* and everything lies in row order without gaps */

#endif
