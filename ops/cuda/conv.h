/* conv.h: what the convolution kernels share: the direct ones, and the passes that finish what a library's kernel began.
**
** Read by nvcc, too: plain structs only.
*/
#ifndef ADV_OPS_CUDA_CONV_H
#define ADV_OPS_CUDA_CONV_H

/* A convolution by its sizes and the strides of its tensors, in elements. Extra operands may be absent: their pointer is NULL. */
typedef struct AdvConvForm {
    long long image[4], weights[4], output[4], sum[4], mask[4], bias; /* strides; sum and mask as of the result */
    int n, c, h, w, o, oh, ow, kh, kw, stride, pad, relu;
} AdvConvForm;

#endif
