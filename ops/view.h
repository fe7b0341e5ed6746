/* view.h: strided views: making them, and moving one element to and from double. */
#ifndef ADV_OPS_VIEW_H
#define ADV_OPS_VIEW_H

#include "runtime/adv_types.h"

#include <string.h>

static inline float adv_bf16_to_f32(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* Round to nearest even; NaN stays NaN. */
static inline uint16_t adv_f32_to_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

float adv_f16_to_f32(uint16_t h);
uint16_t adv_f32_to_f16(float f);

/* Element at offset `at` (in elements), as double. Integers up to 2^53 are exact. */
static inline double adv_ld(const AdvView *v, int64_t at)
{
    switch (v->dtype) {
    case ADV_F32: return (double)((const float *)v->data)[at];
    case ADV_F64: return ((const double *)v->data)[at];
    case ADV_BF16: return (double)adv_bf16_to_f32(((const uint16_t *)v->data)[at]);
    case ADV_F16: return (double)adv_f16_to_f32(((const uint16_t *)v->data)[at]);
    case ADV_I32: return (double)((const int32_t *)v->data)[at];
    case ADV_I64: return (double)((const int64_t *)v->data)[at];
    default: return (double)((const uint8_t *)v->data)[at];
    }
}

/* The whole number of x towards 0, the nearest bound when it does not fit, 0 for NaN. */
static inline int64_t adv_to_int(double x, int64_t min, int64_t max)
{
    if (x != x) return 0;
    return x <= (double)min ? min : x >= (double)max ? max : (int64_t)x;
}

static inline void adv_st(const AdvView *v, int64_t at, double x)
{
    switch (v->dtype) {
    case ADV_F32: ((float *)v->data)[at] = (float)x; break;
    case ADV_F64: ((double *)v->data)[at] = x; break;
    case ADV_BF16: ((uint16_t *)v->data)[at] = adv_f32_to_bf16((float)x); break;
    case ADV_F16: ((uint16_t *)v->data)[at] = adv_f32_to_f16((float)x); break;
    case ADV_I32: ((int32_t *)v->data)[at] = (int32_t)adv_to_int(x, INT32_MIN, INT32_MAX); break;
    case ADV_I64: ((int64_t *)v->data)[at] = adv_to_int(x, INT64_MIN, INT64_MAX); break;
    default: ((uint8_t *)v->data)[at] = (uint8_t)adv_to_int(x, 0, UINT8_MAX); break;
    }
}

/* Number of elements. */
int64_t adv_view_elems(const AdvView *v);
int64_t adv_type_elems(const AdvTensorType *t);
/* Bytes of a dense tensor of that type. */
int64_t adv_type_bytes(const AdvTensorType *t);
int adv_type_eq(const AdvTensorType *a, const AdvTensorType *b);      /* dtype, shape and layout */
int adv_shape_eq(const AdvTensorType *a, const AdvTensorType *b);     /* shape only */

/* A dense view of a type's layout over `data`. */
AdvView adv_view_of(const AdvTensorType *t, void *data);

/* `v` seen with the dims of `t` (same rank, v's dims equal or 1, or v of rank 0): strides 0 where it repeats. */
AdvView adv_view_broadcast(const AdvView *v, uint32_t rank, const int64_t *dim);

/* Are the elements without gaps in row / channels-last order? */
int adv_view_is_row(const AdvView *v);
int adv_view_is_cl(const AdvView *v);

/* Copies all elements, bit for bit: same dtype and shape, any strides, no overlap. */
void adv_view_copy(const AdvView *to, const AdvView *from);

/* Walks all index tuples of `dim` in row order: for (adv_iter_init(&it, rank, dim); it.more; adv_iter_next(&it)) with
** offsets of up to 8 views kept in it.at[k]. */
typedef struct AdvIter {
    uint32_t rank, n_views;
    int64_t dim[ADV_MAX_RANK], ix[ADV_MAX_RANK], stride[8][ADV_MAX_RANK], at[8];
    int more;
} AdvIter;
void adv_iter_init(AdvIter *it, uint32_t rank, const int64_t *dim);
void adv_iter_add(AdvIter *it, const AdvView *v); /* already of the iterated shape */
void adv_iter_next(AdvIter *it);

#endif
