/* parts.h: instructions that generated kernels run, each alone, or the instructions of a list as one launch.
**
** What a thread does is a device function of the text, NAME_at(result, operands, n, p), p being the number of the thread. Alone it is
** called by a kernel NAME. A list is a kernel of its own, made of calls to such functions: a block finds in a table which part it
** belongs to, so the work is cut as for each part alone. The table holds the addresses, too: they are more than arguments can be. It
** lies in device memory and is written by the first launch, and again should an address change; a recording finds it written.
*/
#ifndef ADV_OPS_CUDA_PARTS_H
#define ADV_OPS_CUDA_PARTS_H

#include "ops/cuda/cuda.h"

/* An argument of a kernel: operand `operand` of the instruction (inputs, then outputs), `at` bytes behind its data. */
typedef struct AdvCudaArg {
    uint32_t operand;
    int64_t at;
} AdvCudaArg;

/* One generated kernel with what a launch of it needs. Its arguments are `args`, then n as long long. */
typedef struct AdvCudaPart {
    const void *fn;
    AdvCudaGrid grid;     /* along x, ADV_CUDA_BLOCK threads a block */
    long long n;
    uint32_t n_args;
    AdvCudaArg *args;
    const char *call;     /* NAME_at with its arguments d[0], d[1], ... and n and p: text for a list */
} AdvCudaPart;

/* The state of an instruction's kernel whose `run` is adv_cuda_run_parts. */
typedef struct AdvCudaParts {
    AdvCuda *cuda;
    uint32_t n_in, n_parts; /* inputs of the instruction */
    AdvCudaPart part[];
} AdvCudaParts;

#define ADV_CUDA_MAX_ARGS 97

/* Room for n_parts parts; NULL: out of memory. */
AdvCudaParts *adv_cuda_parts_new(AdvPrep *p, uint32_t n_parts);

/* Sets the call of a part and asks for its text. types[k]: what argument k points to. */
AdvStatus adv_cuda_part_generate(AdvPrep *p, AdvCudaPart *part, const char *name, const char *text, const char *const *types) ADV_MUST_USE;

/* AdvKernel.run: a launch a part. */
AdvStatus adv_cuda_run_parts(const AdvLaunch *l, void *state);

/* Runs the instructions of a list, whose kernels all run parts, as one. sigs and states stay where they are; the views of the sigs get
** their data before the first run. `run` of adv_cuda_list takes *out_state and looks at nothing else. NULL if they cannot be one. */
AdvStatus adv_cuda_list_prepare(AdvPrep *p, const AdvSig *const *sigs, void *const *states, uint32_t n, void **out_state) ADV_MUST_USE;
extern const AdvKernel adv_cuda_list;

#endif
