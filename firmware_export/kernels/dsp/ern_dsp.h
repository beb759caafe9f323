/* Kernel for Cortex-M4, M7 and M33: the DSP extension's products and saturations. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of four rows four biases, for each four columns one word a row with its bytes in the order 0 2 1 3, four
 * scales m << (32 - k). x begins at a word.
 */
#ifndef ERN_DSP_H
#define ERN_DSP_H

#if !defined(__ARM_FEATURE_DSP)
#error "this C is for Cortex-M4, M7 and M33 (--kernel dsp): export it with another kernel, or none, for your core"
#endif

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One row of x: y[rows] from stream. */
void ern_dsp_rows(int16_t *y, const uint32_t *stream, const int16_t *x, const uint16_t *rows_groups_relu);

#ifdef __cplusplus
}
#endif

#include "ern_fast_entry.h"

#endif
