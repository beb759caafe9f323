/* Entries of fused loops. A kernel's header may define before it includes this
 *
 *   ern_fast_halves_up(x, shift)                  x >> shift, rounded
 *   ern_fast_sigmoid(x) and ern_fast_tanh(x)      and the macro ERN_FAST_OWN_CURVES
 *   ern_fast_sat16, _relu, _sat8 and _abs         and the macro ERN_FAST_OWN_RANGES
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 */
#ifndef ERN_FAST_ENTRY_H
#define ERN_FAST_ENTRY_H

#include "ern_fast.h"

#if defined(ERN_FAST_OWN_RANGES)
#elif defined(__ARM_FEATURE_SAT)
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

/* x >> 7 in int8's range */
static inline int32_t ern_fast_sat8(int32_t x)
{
    int32_t y;
    __asm__("ssat %0, #8, %1, asr #7" : "=r"(y) : "r"(x));
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

/* Of what narrowing adds up to: only the largest entry of int16 lies beyond. */
static inline int32_t ern_fast_sat8(int32_t x)
{
    x >>= 7;
    return x == 128 ? 127 : x;
}
#endif

#ifndef ERN_FAST_OWN_RANGES
static inline uint32_t ern_fast_abs(int32_t x)
{
    return (uint32_t)((x ^ (x >> 31)) - (x >> 31));
}
#endif

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
/* The curve at |v|, 2^bits steps between entries; beyond its end it is as at its end. */
static inline int32_t ern_fast_at(int32_t v, uint32_t bits)
{
    const uint32_t most = (255u << bits) - 1u;
    uint32_t a = ern_fast_abs(v), word;
    a = a > most ? most : a;
    word = ern_fast_curve[a >> bits];
    return (int32_t)((word & 0xFFFFu) << bits) + (int32_t)(a & ((1u << bits) - 1u)) * (int32_t)(word >> 16);
}

static inline int32_t ern_fast_sigmoid(int32_t x)
{
    const int32_t v = (9 * x + 1) >> 1, negative = v >> 31;
    return ((ern_fast_at(v, 9) ^ negative) + 512 + (negative & (1 << 25))) >> 10;
}

static inline int32_t ern_fast_tanh(int32_t x)
{
    const int32_t v = (9 * x + 1) >> 1;
    return (((ern_fast_at(v, 8) - (1 << 23)) ^ (v >> 31)) + 128) >> 8;
}
#endif

static inline int32_t ern_fast_cell_to_preact(int32_t c, int32_t exponent)
{
    return ern_fast_sat16((((int32_t)1 << (14 - exponent)) * c + 3 + 6 * 262144) / 6 - 262144);
}

static inline int32_t ern_fast_narrow(int32_t x)
{
    const int32_t t = (x + 1) >> 1;
    return ern_fast_sat8(t + 64 + (t >> 31));
}

#endif
