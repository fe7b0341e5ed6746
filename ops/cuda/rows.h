/* rows.h: what rows.cu and its host side share. Included by device code: no host headers. */
#ifndef ADV_OPS_CUDA_ROWS_H
#define ADV_OPS_CUDA_ROWS_H

enum {
    ADV_ROWS_softmax, ADV_ROWS_log_softmax, ADV_ROWS_logsumexp, ADV_ROWS_entropy, ADV_ROWS_ce, ADV_ROWS_ce_grad, ADV_ROWS_kl,
    ADV_ROWS_kl_grad_p, ADV_ROWS_kl_grad_q, ADV_ROWS_pick, ADV_ROWS_put, ADV_ROWS_unpick, ADV_ROWS_argmax, ADV_ROWS_argmin,
    ADV_ROWS_nth_class
};

#define ADV_ROWS_BLOCK 256

/* One launch, by value. */
typedef struct AdvRowsArgs {
    int op;              /* ADV_ROWS_* */
    int k;               /* nth_class: 1 is the largest */
    double value;        /* put */
    long long n_rows, n; /* rows and their length */
    unsigned fault_code;
} AdvRowsArgs;

#endif
