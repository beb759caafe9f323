/* Kernel for rv32im(c): eight rows at a time, the scale by an upper product. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of eight rows eight biases, for each column eight bytes, eight scales m << (33 - k).
 */
#ifndef ERN_RV32_H
#define ERN_RV32_H

#include <stdint.h>

static inline int32_t ern_fast_sat16(int32_t x)
{
    if ((int32_t)(int16_t)x != x) {
        x = (x >> 31) ^ 32767;
    }
    return x;
}

static inline int32_t ern_fast_relu(int32_t x)
{
    x = ern_fast_sat16(x);
    return x & ~(x >> 31);
}

/* Of what narrowing adds up to: only the largest entry of int16 lies beyond. */
static inline int32_t ern_fast_sat8(int32_t x)
{
    x >>= 7;
    return x == 128 ? 127 : x;
}

static inline uint32_t ern_fast_abs(int32_t x)
{
    return (uint32_t)((x ^ (x >> 31)) - (x >> 31));
}

#include "ern_fast_entry.h"

#endif
