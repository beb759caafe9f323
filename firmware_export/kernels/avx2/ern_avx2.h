/* Kernel for x86-64 with AVX2: sixteen rows by two columns at a time. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of sixteen rows sixteen biases, for each two columns two int16 a row, sixteen scales m << (32 - k).
 * What the fused loops are made of is written so that a compiler turns them into vectors.
 */
#ifndef ERN_AVX2_H
#define ERN_AVX2_H

#include <stdint.h>

static inline int32_t ern_fast_sat16(int32_t x)
{
    x = x > 32767 ? 32767 : x;
    return x < -32768 ? -32768 : x;
}

static inline int32_t ern_fast_relu(int32_t x)
{
    x = x > 32767 ? 32767 : x;
    return x < 0 ? 0 : x;
}

static inline int32_t ern_fast_sat8(int32_t x)
{
    x >>= 7;
    return x > 127 ? 127 : x; /* what narrowing adds up to is never too low */
}

static inline uint32_t ern_fast_abs(int32_t x)
{
    return (uint32_t)(x < 0 ? -x : x);
}

#define ERN_FAST_OWN_RANGES
#include "ern_fast_entry.h"

#endif
