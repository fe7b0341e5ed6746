/* adv_elem.h: one element of a view, to and from double: what definitions are written with. Included by adv_op.h. */
#ifndef ADV_ELEM_H
#define ADV_ELEM_H

#include "runtime/adv_types.h"

#include <math.h>
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

static inline float adv_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = h >> 10 & 0x1fu, frac = h & 0x3ffu, u;
    float f;
    if (exp == 0x1f) {
        u = sign | 0x7f800000u | frac << 13;
    } else if (exp != 0) {
        u = sign | (exp + 112) << 23 | frac << 13;
    } else { /* zero and subnormals: frac * 2^-24 is exact in float */
        f = (float)frac * 0x1p-24f;
        return sign ? -f : f;
    }
    memcpy(&f, &u, 4);
    return f;
}

/* Round to nearest even, also into the subnormals; overflow gives infinity, NaN stays NaN. */
static inline uint16_t adv_f32_to_f16(float f)
{
    uint32_t u, sign, mag, frac, shift, half, low;
    memcpy(&u, &f, 4);
    sign = u >> 16 & 0x8000u;
    mag = u & 0x7fffffffu;
    if (mag > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (mag >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and more round to infinity */
    if (mag < 0x33000000u) return (uint16_t)sign;              /* less than half the smallest subnormal */
    if (mag >= 0x38800000u) {
        mag -= 112u << 23;
        return (uint16_t)(sign | (mag + 0xfffu + (mag >> 13 & 1u)) >> 13);
    }
    frac = (mag & 0x7fffffu) | 0x800000u;
    shift = 126 - (mag >> 23); /* 14..24 */
    half = frac >> shift;
    low = frac & ((1u << shift) - 1);
    if (low > 1u << (shift - 1) || (low == 1u << (shift - 1) && (half & 1u))) half++;
    return (uint16_t)(sign | half);
}

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

/* Number of elements of a view. */
static inline int64_t adv_elem_count(const AdvView *v)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < v->rank; i++) n *= v->dim[i];
    return n;
}

/* Do the elements lie without gaps in row order, so that a kernel may walk them as one array? */
static inline int adv_elem_is_row(const AdvView *v)
{
    int64_t step = 1;
    for (uint32_t i = v->rank; i-- > 0; step *= v->dim[i])
        if (v->dim[i] != 1 && v->stride[i] != step) return 0;
    return 1;
}

/* Offset, for adv_ld and adv_st, of element `flat` counted in row order (0 .. adv_elem_count - 1), whatever the strides. */
static inline int64_t adv_elem_at(const AdvView *v, int64_t flat)
{
    int64_t at = 0;
    for (uint32_t i = v->rank; i-- > 0; flat /= v->dim[i]) at += flat % v->dim[i] * v->stride[i];
    return at;
}

#endif
