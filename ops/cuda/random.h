/* random.h: what does not change from step to step, as the kernels of random.cu get it. Read by nvcc, too: plain structs only. */
#ifndef ADV_OPS_CUDA_RANDOM_H
#define ADV_OPS_CUDA_RANDOM_H

/* is_wide: of seed, epoch, ids, n: i64, else i32. The result's dims and strides in elements, all of them, ids first. */
typedef struct AdvDrawForm {
    long long purpose, n_ids, per_id, id_step, dim[6], step[6];
    double p;
    int rank, dist, is_wide[4];
} AdvDrawForm;

typedef struct AdvPermForm {
    long long purpose, n, batch, id_step;
    int is_wide[3]; /* seed, epoch, step */
} AdvPermForm;

#endif
