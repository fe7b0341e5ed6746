/* random.h: what does not change from step to step, as the kernels of random.cu get it. Read by nvcc, too: plain structs only. */
#ifndef ADV_OPS_CUDA_RANDOM_H
#define ADV_OPS_CUDA_RANDOM_H

/* is_wide: of seed, epoch, ids, n: i64, else i32. quads: fours of numbers of a sample, the last one rounded up. */
typedef struct AdvDrawForm {
    long long purpose, per_id, quads, id_step, n_threads;
    double p;
    int dist, is_wide[4];
} AdvDrawForm;

typedef struct AdvPermForm {
    long long purpose, n, batch, id_step;
    int is_wide[3]; /* seed, epoch, step */
} AdvPermForm;

#endif
