/* low.h: numbers of 16 bits (bfloat16) to float and back. */
#ifndef ADV_OPS_CPU_LOW_H
#define ADV_OPS_CPU_LOW_H

#include <stdint.h>

void adv_row_widen(float *to, const uint16_t *from, int64_t n);
/* Rounds to nearest even; NaN stays NaN. */
void adv_row_narrow(uint16_t *to, const float *from, int64_t n);

#endif
