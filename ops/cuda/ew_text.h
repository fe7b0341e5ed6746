/* ew_text.h: elementwise programs as device code. No device and no CUDA header is needed to make a text. */
#ifndef ADV_OPS_CUDA_EW_TEXT_H
#define ADV_OPS_CUDA_EW_TEXT_H

#include "ops/ew.h"
#include "ops/loop.h"

#define ADV_EW_MAX_IN ADV_EW_MAX_VALUES

/* What a kernel does to one element, and how its operands lie. Operands are numbered as in fused_ew. */
typedef struct AdvEwKernel {
    uint32_t n_in, n_consts, n_steps;
    const AdvEwStep *steps;      /* n_steps = 0: the first operand itself, converted to the result's type */
    const double *consts;
    uint8_t dtype[1 + ADV_EW_MAX_IN];     /* of the result and the operands; all of one type and no steps: bits are moved */
    int64_t at[1 + ADV_EW_MAX_IN];        /* offset of each from its view's data, in elements */
    /* Filled by adv_ew_kernel_lay: */
    uint32_t rank, pack;                  /* pack: elements that lie together in every operand */
    uint32_t run, n_run;                  /* or: a thread takes all n_run elements along dimension `run`; n_run = 1: no such */
    uint32_t run_pack;                    /*     whose results lie together in packs of as many; 1: not */
    uint32_t side;                        /* or: a block takes `side` elements along `run` and along the last; 0: not */
    int64_t n;                            /* elements */
    int64_t dim[ADV_MAX_RANK], stride[1 + ADV_EW_MAX_IN][ADV_MAX_RANK];
} AdvEwKernel;

/* Lays the operands against the result: the nest, and how many elements a thread takes. out and in are of the result's shape, or
** broadcast to it. */
void adv_ew_kernel_lay(AdvEwKernel *k, const AdvView *out, const AdvView *in);

#define ADV_EW_NAME 24 /* bytes of a name */

/* Writes the name, which is a function of the text alone, and the text, as snprintf does: returns its length without the 0, which
** may be more than n_bytes. Parameters of the kernel: result, operands, number of elements (long long). What it does is a function
** NAME_at, whose last parameter is the number of the thread; the first of a block is a multiple of ADV_CUDA_BLOCK. */
size_t adv_ew_kernel_text(const AdvEwKernel *k, char name[ADV_EW_NAME], char *text, size_t n_bytes);

/* What the kernel's parameter i points to, result first: "float". */
const char *adv_ew_kernel_type(const AdvEwKernel *k, uint32_t i);

/* Threads that the kernel needs along x. */
uint64_t adv_ew_kernel_threads(const AdvEwKernel *k);

#endif
