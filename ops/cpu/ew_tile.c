/* ew_tile.c: ew.def as loops over tiles of floats, vectorised by the compiler for each instruction set. */
#include "ops/cpu/ew_tile.h"

#include "ops/cpu/cpu.h"

#include <math.h>

/* As in ops/math/ew.c, but without a branch, so that they vectorise. */
static inline float pick(int c, float a, float b) { return c ? a : b; }
static inline float min_of(float a, float b) { return pick(a != a, a, pick(a < b, a, b)); }
static inline float max_of(float a, float b) { return pick(a != a, a, pick(a > b, a, b)); }
#define MIN(a, b) min_of(a, b)
#define MAX(a, b) max_of(a, b)
#define M(x) x##f
#define K(n) n##.0f

#define EW1(name, takes, prec, flags, doc, e, ga) \
    ADV_CLONES static void t_##name(float *o, const float *pa, const float *pb, const float *pc, int64_t n) \
    { \
        (void)pb, (void)pc; \
        ADV_OMP(simd) \
        for (int64_t i = 0; i < n; i++) { \
            float a = pa[i]; \
            o[i] = e; \
        } \
    }
#define EW2(name, takes, prec, flags, doc, e, ga, gb) \
    ADV_CLONES static void t_##name(float *o, const float *pa, const float *pb, const float *pc, int64_t n) \
    { \
        (void)pc; \
        ADV_OMP(simd) \
        for (int64_t i = 0; i < n; i++) { \
            float a = pa[i], b = pb[i]; \
            o[i] = e; \
        } \
    }
#define EW3(name, takes, prec, flags, doc, e, ga, gb, gc) \
    ADV_CLONES static void t_##name(float *o, const float *pa, const float *pb, const float *pc, int64_t n) \
    { \
        ADV_OMP(simd) \
        for (int64_t i = 0; i < n; i++) { \
            float a = pa[i], b = pb[i], c = pc[i]; \
            o[i] = e; \
        } \
    }
#include "ops/ew.def"
#undef EW1
#undef EW2
#undef EW3

AdvTileFn *const adv_tile_fns[ADV_EW_COUNT] = {
#define EW1(name, ...) t_##name,
#define EW2(name, ...) t_##name,
#define EW3(name, ...) t_##name,
#include "ops/ew.def"
};
