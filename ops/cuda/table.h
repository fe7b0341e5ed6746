/* table.h: what table.cu and its host side share. Included by device code: no host headers. */
#ifndef ADV_OPS_CUDA_TABLE_H
#define ADV_OPS_CUDA_TABLE_H

#define ADV_TABLE_BLOCK 128

enum { ADV_TABLE_F32, ADV_TABLE_BF16, ADV_TABLE_F16 };

/* One launch, by value. */
typedef struct AdvTableArgs {
    long long n_ids, n_rows, n_units; /* row numbers; rows of the table; units of a row */
    int id_bytes, mask_type;
    unsigned fault_code;
} AdvTableArgs;

typedef struct AdvExtremeArgs {
    long long n_group; /* elements of a result */
    int is_put;
} AdvExtremeArgs;

#endif
