/* headers.h: the headers that generated device code may include, as text (embed.sh makes the table). */
#ifndef ADV_OPS_CUDA_HEADERS_H
#define ADV_OPS_CUDA_HEADERS_H

typedef struct AdvCudaHeader {
    const char *name;          /* as it stands in #include */
    const char *const *lines;  /* ended by NULL */
} AdvCudaHeader;

/* Ended by a name of NULL. */
extern const AdvCudaHeader adv_cuda_headers[];

#endif
