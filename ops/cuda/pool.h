/* pool.h: how pool.c describes a pooling to the kernels of pool.cu. Read by nvcc, too: plain structs only. */
#ifndef ADV_OPS_CUDA_POOL_H
#define ADV_OPS_CUDA_POOL_H

/* Strides in elements: of the image, of what is pooled (or its gradient), and of the gradient by the image. */
typedef struct AdvPoolForm {
    long long image[4], pooled[4], result[4];
    int n, c, h, w, oh, ow, size, stride, pad;
} AdvPoolForm;

#endif
