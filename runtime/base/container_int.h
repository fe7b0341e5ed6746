/* container_int.h: what the reader and the writer of containers share, and nobody else needs. */
#ifndef ADV_BASE_CONTAINER_INT_H
#define ADV_BASE_CONTAINER_INT_H

#include "runtime/base/container.h"

#define CONTAINER_MAX_HEADER_BYTES ((uint64_t)16 << 20)
#define CONTAINER_MAX_BLOBS 65536u
#define CONTAINER_MAX_NAME_BYTES 255u
#define CONTAINER_ALIGN_BYTES 64u
#define CONTAINER_DIGEST_KEY "xxh3_128"
#define CONTAINER_MARK_KEY "adv.digest"

/* Bytes of a tensor of that type; 0 in *out_ok on overflow or an unknown dtype. */
uint64_t adv_container_type_bytes(uint8_t dtype, uint8_t rank, const int64_t *dim, int *out_ok);

#endif
