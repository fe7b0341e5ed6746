/* images.h: what does not change from step to step, as the kernels of images.cu get it. Read by nvcc, too: plain structs only. */
#ifndef ADV_OPS_CUDA_IMAGES_H
#define ADV_OPS_CUDA_IMAGES_H

/* Strides of n, c, h, w in elements. is_wide: i64, else i32; of ids for image_fetch, of seed, epoch, ids for the others. */
typedef struct AdvImageForm {
    long long source[4], result[4], id_step, rows, purpose;
    int n, c, h, w, pad, reflects, is_wide[3];
} AdvImageForm;

#endif
