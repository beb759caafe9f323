/* Entries of fused loops. A kernel's header may define before it includes this
 *
 *   ern_fast_halves_up(x, shift)                  x >> shift, rounded
 *   ern_fast_sigmoid(x) and ern_fast_tanh(x)      and the macro ERN_FAST_OWN_CURVES
 *   ern_fast_sixth(x)                             and the macro ERN_FAST_OWN_SIXTH
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 */
#ifndef ERN_FAST_ENTRY_H
#define ERN_FAST_ENTRY_H

#include "ern_fast.h"

#ifdef __ARM_FEATURE_SAT
/* x in int16's range */
static inline int32_t ern_fast_sat16(int32_t x)
{
    int32_t y;
    __asm__("ssat %0, #16, %1" : "=r"(y) : "r"(x));
    return y;
}

/* x in 0 .. 32767 */
static inline int32_t ern_fast_relu(int32_t x)
{
    int32_t y;
    __asm__("usat %0, #15, %1" : "=r"(y) : "r"(x));
    return y;
}

/* x, below 2^31, or 65535 */
static inline uint32_t ern_fast_to_16_bits(uint32_t x)
{
    uint32_t y;
    __asm__("usat %0, #16, %1" : "=r"(y) : "r"(x));
    return y;
}

/* x >> 8 in int8's range */
static inline int32_t ern_fast_sat8(int32_t x)
{
    int32_t y;
    __asm__("ssat %0, #8, %1, asr #8" : "=r"(y) : "r"(x));
    return y;
}
#else
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

static inline uint32_t ern_fast_to_16_bits(uint32_t x)
{
    return x > 65535u ? 65535u : x;
}

/* Of what narrowing adds up to: only the largest entry of int16 lies beyond. */
static inline int32_t ern_fast_sat8(int32_t x)
{
    x >>= 8;
    return x == 128 ? 127 : x;
}
#endif

static inline uint32_t ern_fast_abs(int32_t x)
{
    return (uint32_t)((x ^ (x >> 31)) - (x >> 31));
}

static inline int32_t ern_fast_add(int32_t a, int32_t b)
{
    return ern_fast_sat16(a + b);
}

static inline int32_t ern_fast_sub(int32_t a, int32_t b)
{
    return ern_fast_sat16(a - b);
}

static inline int32_t ern_fast_add_relu(int32_t a, int32_t b)
{
    return ern_fast_relu(a + b);
}

#ifndef ern_fast_halves_up
#define ern_fast_halves_up(x, shift) (((x) + ((int32_t)1 << ((shift) - 1))) >> (shift))
#endif

static inline int32_t ern_fast_mul(int32_t a, int32_t b, int32_t shift)
{
    const int32_t t = (a * b + 1) >> 1;
    return ern_fast_sat16(ern_fast_halves_up(t + (t >> 31), shift));
}

#ifndef ERN_FAST_OWN_CURVES
/* The curve `a` parts of a step beyond its begin, 2^bits parts a step; mask: the bits of a base that count. */
static inline int32_t ern_fast_at(uint32_t a, uint32_t bits, uint32_t mask)
{
    const uint32_t word = ern_fast_curve[a >> bits];
    return (int32_t)((word & mask) << bits) + (int32_t)(a & ((1u << bits) - 1u)) * (int32_t)(word >> 16);
}

/* Beyond its last step the curve is as at that step's end. */
static inline int32_t ern_fast_sigmoid(int32_t x)
{
    const int32_t v = (9 * x + 1) >> 1, negative = v >> 31;
    const uint32_t most = (255u << 9) - 1u, a = ern_fast_abs(v);
    return ((ern_fast_at(a > most ? most : a, 9, 0xFFFFu) ^ negative) + 512 + (negative & (1 << 25))) >> 10;
}

/* 2 sigmoid - 1: the highest bit of a base is always set. The last entry of the curve, which has no slope, rounds to where its
 * last step ends. */
static inline int32_t ern_fast_tanh(int32_t x)
{
    const int32_t v = (9 * x + 1) >> 1;
    return ((ern_fast_at(ern_fast_to_16_bits(ern_fast_abs(v)), 8, 0x7FFFu) ^ (v >> 31)) + 128) >> 8;
}
#endif

#ifndef ERN_FAST_OWN_SIXTH
/* floor((x + 3) / 6) in int16's range; |x| <= 2^29 */
static inline int32_t ern_fast_sixth(int32_t x)
{
    return ern_fast_sat16((x + 3 + 6 * (1 << 26)) / 6 - (1 << 26));
}
#endif

static inline int32_t ern_fast_cell_to_preact(int32_t c, int32_t exponent)
{
    return ern_fast_sixth(((int32_t)1 << (14 - exponent)) * c);
}

/* The two roundings, (x + 1) >> 1 and half away from 0 by 7 bits, add up to this. */
static inline int32_t ern_fast_narrow(int32_t x)
{
    return ern_fast_sat8(x + 2 * (x >> 31) + 129);
}

#endif
