/* reduce.h: what reduce.cu and its host side share: kinds and arguments. Included by device code: no host headers. */
#ifndef ADV_OPS_CUDA_REDUCE_H
#define ADV_OPS_CUDA_REDUCE_H

/* How an element joins the sum, and what becomes of the whole. */
enum { ADV_FOLD_SUM, ADV_FOLD_ABS, ADV_FOLD_SQUARE, ADV_FOLD_COUNT, ADV_FOLD_MAX, ADV_FOLD_MIN };
enum { ADV_FINAL_AS_IS, ADV_FINAL_MEAN, ADV_FINAL_ROOT, ADV_FINAL_ANY, ADV_FINAL_ALL };

/* The type of what is written: partial results are double. */
enum { ADV_REDUCED_F64, ADV_REDUCED_F32, ADV_REDUCED_BF16, ADV_REDUCED_F16 };

#define ADV_REDUCE_BLOCK 256

/* One launch, by value. */
typedef struct AdvReduceArgs {
    int fold, final, type;
    int lanes;          /* of a result: a power of two up to ADV_REDUCE_BLOCK */
    int is_along;       /* neighbouring threads take neighbouring elements of a result, not neighbouring results */
    int is_packed;      /* elements of a result lie in rows and may be read 16 bytes at a time */
    long long n_kept, n_group, n_of_piece; /* results, elements of each, and elements of a piece: blockIdx.y */
    long long n_mean;   /* what the mean divides by: elements of a result in the tensor */
} AdvReduceArgs;

#endif
