/* ew_tile.h: one row of ew.def over a tile of floats. */
#ifndef ADV_OPS_CPU_EW_TILE_H
#define ADV_OPS_CPU_EW_TILE_H

#include "ops/ew.h"

/* o[i] = row(a[i], b[i], c[i]) for i < n. o may be exactly one of the operands; operands beyond the row's are not read. */
typedef void AdvTileFn(float *o, const float *a, const float *b, const float *c, int64_t n);

extern AdvTileFn *const adv_tile_fns[ADV_EW_COUNT];

#endif
