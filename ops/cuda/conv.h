/* conv.h: what the convolution kernels share: the direct ones, and the passes that finish what a library's kernel began.
**
** Read by nvcc, too: plain structs only.
*/
#ifndef ADV_OPS_CUDA_CONV_H
#define ADV_OPS_CUDA_CONV_H

/* A convolution by its sizes and the strides of its tensors, in elements; sum, kept and mask are as large as the result. */
typedef struct AdvConvForm {
    long long image[4], weights[4], output[4], sum[4], kept[4], mask[4], bias, scale, shift;
    int n, c, h, w, o, oh, ow, kh, kw, stride, pad, relu, sum_last;
} AdvConvForm;

/* What is done to the result of a convolution, in this order: plus bias, plus sum, into kept, 0 where mask is not above 0, times scale,
** plus shift, relu; the sum last where the form says so. NULL: not done. */
typedef struct AdvConvEnd {
    const void *bias, *sum, *mask, *scale, *shift;
    void *kept;
} AdvConvEnd;

/* The same as a pass over n packs of elements, of which `channels` lie side by side. */
typedef struct AdvConvTailForm {
    long long n;
    int channels, relu, sum_last;
} AdvConvTailForm;

#define ADV_CONV_SQUARE 32      /* outputs and channels of weights that a block turns at once */
#define ADV_CONV_TURN_BLOCK 256 /* its threads */

/* ---- images of few channels (narrow.cu) ---- */

#define ADV_NARROW_CHANNELS 4 /* most channels of such an image */
#define ADV_NARROW_RUN 8      /* places along a row that a thread works on */
#define ADV_NARROW_LANES 8    /* most threads that share a run: each has its own channels of the output */
#define ADV_NARROW_GAP 4      /* floats between the weights of two places of the window, so that they fall into different banks */

/* All tensors dense and channels-last, so sizes say where everything lies. */
typedef struct AdvNarrowForm {
    int n, c, h, w, o, oh, ow, pad, relu;
    int runs, lanes; /* of a row; of a run: a power of two */
} AdvNarrowForm;

/* ---- multiples of 160 channels on the matrix units of compute capability 9.0 (wgmma.cu) ---- */

#define ADV_WGMMA_SIDE 16      /* places of a tile in a line, and lines */
#define ADV_WGMMA_CHANNELS 160 /* of the result that a tile has */
#define ADV_WGMMA_PART 32      /* channels that are summed over in a step */
#define ADV_WGMMA_THREADS 256
#define ADV_WGMMA_STAGES 8     /* steps whose weights are in shared memory */
#define ADV_WGMMA_SHARED 220800

/* All tensors dense and channels-last, the window 3x3, stride 1, pad 1: h lines of w places, c channels summed over, k of the result. */
typedef struct AdvWgmmaForm {
    int n, h, w, c, k, parts; /* parts: ADV_WGMMA_PART channels each */
    int tiles_h, tiles_w, tiles_c, n_tiles;
    int relu, sum_last;
} AdvWgmmaForm;

/* ---- the step of an attack behind a gradient by an image ---- */

/* Strides of n, channel, row, column: of the gradient where it lies in memory, of the images, of radius and step size; the box. */
typedef struct AdvStepForm {
    long long g[4], z[4], x[4], out[4], eps[4], size[4];
    int n, c, h, w;
    float lo, hi;
} AdvStepForm;

#endif
