/* ew_tile.c: ew.def as loops over tiles of floats, vectorised by the compiler for each instruction set. */
#include "ops/cpu/ew_tile.h"

#include "ops/cpu/cpu.h"

#include <math.h>
#include <string.h>

ADV_ROW_FLOAT_FUNCTIONS
#define MIN(a, b) adv_row_min(a, b)
#define MAX(a, b) adv_row_max(a, b)
#define expf adv_row_exp
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
