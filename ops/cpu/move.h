/* move.h: copying between views of one shape and element size, whatever their strides. */
#ifndef ADV_OPS_CPU_MOVE_H
#define ADV_OPS_CPU_MOVE_H

#include "ops/cpu/cpu.h"

/* A copy prepared once: the loop nest (view 0 the destination, view 1 the source) and bytes of an element. */
typedef struct AdvMove {
    AdvLoop loop;
    uint32_t elem_bytes;
} AdvMove;

/* src has dst's shape, or broadcasts to it, and its dtype. */
void adv_move_make(AdvMove *m, const AdvView *dst, const AdvView *src);

/* dst and src point to the element at index 0. */
void adv_move_run(const AdvMove *m, void *dst, const void *src, uint32_t n_threads);

/* Row 0 of a table [M,...] as a view [...]. */
AdvView adv_view_row(const AdvView *v);

#endif
