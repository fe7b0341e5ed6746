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

#define ADV_BN_BLOCK 256 /* threads of a block of a pass, at most */
#define ADV_BN_LANES 64  /* of them, that have packs side by side, at most */

/* Blocks of a pass that a multiprocessor has at once: no more are launched, and registers are kept to what so many leave (64, 64, 80). */
#define ADV_BN_SUMS 4
#define ADV_BN_APPLY 4
#define ADV_BN_GRAD_APPLY 3

/* A block that adds partial sums: channels, and threads for each, at most. */
#define ADV_BN_CHANNELS 8
#define ADV_BN_ROWS 128

#endif
