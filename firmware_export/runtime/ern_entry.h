/* Entry by entry: what the element-wise primitives do with one entry, for their loops and for fused ones.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Arguments are int16 values, results too; they travel as int32, so that a chain of them needs no narrowing between.
 */
#ifndef ERN_ENTRY_H
#define ERN_ENTRY_H

#include "ern_math.h"

/* sigmoid(i / 24) in Q16 */
extern const uint16_t ern_sigmoid_table[256];

static inline int32_t ern_entry_add(int32_t a, int32_t b)
{
    return ern_sat16(a + b);
}

static inline int32_t ern_entry_sub(int32_t a, int32_t b)
{
    return ern_sat16(a - b);
}

static inline int32_t ern_entry_add_relu(int32_t a, int32_t b)
{
    const int32_t sum = ern_sat16(a + b);
    return sum < 0 ? 0 : sum;
}

static inline int32_t ern_entry_mul(int32_t a, int32_t b, int32_t shift)
{
    return ern_mul16((int16_t)a, (int16_t)b, shift);
}

/* The table at |v| = a, 2^bits steps between entries; `top` beyond its end. */
static inline int32_t ern_interpolate(uint32_t a, uint32_t bits, int32_t top)
{
    const uint32_t index = a >> bits;
    if (index >= 255u) {
        return top;
    }
    return ((int32_t)ern_sigmoid_table[index] << bits)
           + (int32_t)(a & ((1u << bits) - 1u)) * (ern_sigmoid_table[index + 1u] - ern_sigmoid_table[index]);
}

static inline int32_t ern_entry_sigmoid(int32_t x)
{
    const int32_t v = (9 * x + 1) >> 1;
    const int32_t r = ern_interpolate((uint32_t)(v < 0 ? -v : v), 9, 0x7FFF << 10);
    return v >= 0 ? (r + 512) >> 10 : ((1 << 25) - r + 511) >> 10;
}

static inline int32_t ern_entry_tanh(int32_t x)
{
    const int32_t v = (9 * x + 1) >> 1;
    const int32_t r = ern_interpolate((uint32_t)(v < 0 ? -v : v), 8, 0xFFFF << 8);
    return v >= 0 ? (r - (1 << 23) + 128) >> 8 : (-r + (1 << 23) + 127) >> 8;
}

static inline int32_t ern_entry_cell_to_preact(int32_t c, int32_t exponent)
{
    /* floor((scale c + 3) / 6); C divides towards zero, so the dividend is made positive by a multiple of 6 */
    return ern_sat16((((int32_t)1 << (14 - exponent)) * c + 3 + 6 * 262144) / 6 - 262144);
}

static inline int32_t ern_entry_narrow(int32_t x)
{
    return ern_narrow((int16_t)x);
}

#endif
