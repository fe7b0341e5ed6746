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

#define ADV_ROW_LOOP ADV_CLONES
#define ADV_ROW_SIMD ADV_OMP(simd)
#define EW1 ADV_ROW_FLOAT1
#define EW2 ADV_ROW_FLOAT2
#define EW3 ADV_ROW_FLOAT3
#include "ops/ew.def"
#undef EW1
#undef EW2
#undef EW3

AdvTileFn *adv_tile_of(const AdvEwRow *row)
{
    static AdvTileFn *const own[ADV_EW_COUNT] = {
#define EW1(name, ...) t_##name,
#define EW2(name, ...) t_##name,
#define EW3(name, ...) t_##name,
#include "ops/ew.def"
    };
    for (uint32_t i = 0; i < ADV_EW_COUNT; i++)
        if (row == &adv_ew_rows[i]) return own[i];
    return row->tile;
}
