/* Kernel for Cortex-M3. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of eight rows eight sums to begin with, for each column two words of four weights + 128, eight scales
 * m << (33 - k). Row r of a word's four is summed as x * (word >> (24 - 8 r)), see DigitKernel.
 */
#ifndef ERN_M3_H
#define ERN_M3_H

#if !defined(__thumb2__)
#error "this C is for Cortex-M3 (--kernel m3): export it with another kernel, or none, for your core"
#endif

#include "ern_fast_entry.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One row of x: y[rows]. */
void ern_m3_rows(int16_t *y, const ern_fast_linear *l, const int16_t *x);

#ifdef __cplusplus
}
#endif

#endif
