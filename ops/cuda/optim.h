/* optim.h: what does not change from step to step, as the kernels of optim.cu get it. Read by nvcc, too: plain structs only. */
#ifndef ADV_OPS_CUDA_OPTIM_H
#define ADV_OPS_CUDA_OPTIM_H

typedef struct AdvSgdForm {
    float momentum, decay;
    int nesterov;
} AdvSgdForm;

/* rest: 1 - beta, which f32 would round; exact: beta as written, for the powers. */
typedef struct AdvAdamForm {
    double exact1, exact2;
    float beta1, beta2, rest1, rest2, eps, decay;
} AdvAdamForm;

#endif
