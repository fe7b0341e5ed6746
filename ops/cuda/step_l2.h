/* step_l2.h: what step_l2.c and step_l2.cu share. Read by nvcc, too: plain structs only. */
#ifndef ADV_OPS_CUDA_STEP_L2_H
#define ADV_OPS_CUDA_STEP_L2_H

#define ADV_STEP_L2_BLOCK 512 /* threads of a block: one block a sample */

/* Elements of a sample; what radius and step size move by from one to the next: 1, or 0 where one is for all; the box. */
typedef struct AdvStepL2Form {
    long long n;
    int eps_step, size_step;
    float lo, hi;
} AdvStepL2Form;

#endif
