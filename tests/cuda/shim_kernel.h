/* shim_kernel.h: a __global__ function compiled for the host, as the fake device sees it. What the pointer of an AdvCudaFn, or
** of a generated kernel, points at when the tests run: shim.hpp makes one for each function (adv_shim_thunk<&k>).
**
** Arguments are packed when the launch is made and used when it runs, which may be later and, from a graph, many times.
*/
#ifndef ADV_TESTS_SHIM_KERNEL_H
#define ADV_TESTS_SHIM_KERNEL_H

#include <stddef.h>

typedef struct AdvShimGeometry {
    unsigned grid[3], block[3];
    size_t shared_bytes;  /* dynamic shared memory */
} AdvShimGeometry;

typedef struct AdvShimKernel {
    size_t n_bytes;                                                 /* of packed arguments */
    void (*pack)(void **args, void *to);
    void (*run)(const AdvShimGeometry *g, const void *packed);      /* all blocks, all threads, in the calling thread */
} AdvShimKernel;

/* The symbol that stands for kernel NAME in a library made of generated text: extern "C" const AdvShimKernel ADV_SHIM_NAME. */
#define ADV_SHIM_SYMBOL_PREFIX "adv_shim_of_"

#endif
