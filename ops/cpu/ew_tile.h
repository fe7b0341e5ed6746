/* ew_tile.h: one row over a tile of floats. */
#ifndef ADV_OPS_CPU_EW_TILE_H
#define ADV_OPS_CPU_EW_TILE_H

#include "ops/ew.h"

/* The loop of a row: its own, or ours for a row of ew.def. */
AdvTileFn *adv_tile_of(const AdvEwRow *row);

#endif
