/* bn.h: how bn.c describes a tensor to the kernels of bn.cu. Read by nvcc, too: plain structs only. */
#ifndef ADV_OPS_CUDA_BN_H
#define ADV_OPS_CUDA_BN_H

/* x [N,C] or [N,C,H,W] as places, N*H*W of them, and channels; steps in elements (bn.cu says how they make an offset). */
typedef struct AdvBnForm {
    long long places, inner, outer_step, inner_step, channel_step;
    int channels, n_partials;
    int is_flat; /* place m is at m * inner_step, as channels-last */
    int is_relu; /* behind the normalisation and what is added to it */
    float eps;
} AdvBnForm;

#define ADV_BN_ROWS 16 /* rows of threads that add the partial sums of 32 channels */

#endif
