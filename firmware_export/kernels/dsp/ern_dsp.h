/* Kernel for Cortex-M4, M7 and M33: the DSP extension's products and saturations. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of four rows four biases, for each four columns one word a row with its bytes in the order 0 2 1 3, four
 * scales m << (32 - k). x begins at a word.
 */
#ifndef ERN_DSP_H
#define ERN_DSP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One row of x: y[rows] from stream. */
void ern_dsp_rows(int16_t *y, const uint32_t *stream, const int16_t *x, const uint16_t *rows_groups_relu);

#ifdef __cplusplus
}
#endif

static inline int32_t ern_fast_sat16(int32_t x)
{
    int32_t y;
    __asm__("ssat %0, #16, %1" : "=r"(y) : "r"(x));
    return y;
}

static inline int32_t ern_fast_relu(int32_t x)
{
    int32_t y;
    __asm__("usat %0, #15, %1" : "=r"(y) : "r"(x));
    return y;
}

static inline int32_t ern_fast_sat8(int32_t x)
{
    int32_t y;
    __asm__("ssat %0, #8, %1, asr #7" : "=r"(y) : "r"(x));
    return y;
}

static inline uint32_t ern_fast_abs(int32_t x)
{
    return (uint32_t)(x < 0 ? -x : x);
}

#include "ern_fast_entry.h"

#endif
