/* head.h: what head.c and head.cu share. Read by nvcc, too: plain structs only. */
#ifndef ADV_OPS_CUDA_HEAD_H
#define ADV_OPS_CUDA_HEAD_H

#define ADV_HEAD_POOL 512  /* threads of a block that pools: one block a sample */
#define ADV_HEAD_BACK 256  /* of one that goes back: `parts` blocks a sample */

/* Strides of n, channel, row, column of the image and of the gradient by it; everything else lies in row order. Channels are taken in
** packs, and what is summed (places forwards, classes backwards) is dealt to `groups` of threads. */
typedef struct AdvHeadForm {
    long long image[4], result[4];
    int channels, h, w, classes, groups, parts, gy_is_f32;
    float factor;
} AdvHeadForm;

#endif
