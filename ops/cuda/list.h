/* list.h: the table of a list (parts.h). Included by device code, generated one too: no headers. */
#ifndef ADV_OPS_CUDA_LIST_H
#define ADV_OPS_CUDA_LIST_H

/* One part. Blocks first_block and on, up to that of the next part, are its. */
typedef struct AdvListPart {
    unsigned first_block, call; /* which of the calls in the text */
    long long first_arg, n;     /* into the table's addresses; elements */
} AdvListPart;

#endif
