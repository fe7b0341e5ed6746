/* bn.h: how bn.c describes a tensor to the kernels of bn.cu. Read by nvcc, too: plain structs only. */
#ifndef ADV_OPS_CUDA_BN_H
#define ADV_OPS_CUDA_BN_H

/* x [N,C] or [N,C,H,W] as places, N*H*W of them, and channels; steps in elements (bn.cu says how they make an offset). */
typedef struct AdvBnForm {
    long long places, inner, outer_step, inner_step, channel_step;
    int channels, n_partials;
    float eps;
} AdvBnForm;

#endif
