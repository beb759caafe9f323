/* The integer vocabulary of edgernn: every arithmetic step the runtime takes, each written once.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 *
 * The contract is SPEC.md, "Arithmetic"; edgernn/core/qmath.py is the same vocabulary in NumPy. Building with
 * -DERN_CHECKED lets each operation also prove that it did not overflow, and count itself (ern_check.h);
 * it never changes a result.
 */
#ifndef ERN_MATH_H
#define ERN_MATH_H

#include <stdint.h>

/* The contract needs an arithmetic right shift and two's complement. */
typedef char ern_assert_arithmetic_shift[((-3) >> 1) == -2 ? 1 : -1];
typedef char ern_assert_twos_complement[(-1 & 3) == 3 ? 1 : -1];
/* int8 and int16 operands are promoted to int, whose 32 bits hold their products and shifts. */
typedef char ern_assert_int_of_32_bits[sizeof(int) * 8 >= 32 ? 1 : -1];

/* ERN_PROVE32 marks a sum that the contract proves to fit 32 bits. The plain build adds in 32 bits; the checked one
 * adds in 64, looks, and aborts if the proof was wrong. ern_wide is the type such a sum is formed in. */
#ifdef ERN_CHECKED
#include "ern_check.h"
#else
typedef int32_t ern_wide;
#define ERN_PROVE32(value) (value)
#define ERN_COUNT(kind, n) ((void)0)
#endif

/* Marks a function whose loop is better compiled alone: among others it would lose its registers to them. */
#if defined(__GNUC__)
#define ERN_ALONE __attribute__((noinline))
#else
#define ERN_ALONE
#endif

static inline int16_t ern_sat16(int32_t x)
{
    return (int16_t)(x > 32767 ? 32767 : x < -32768 ? -32768 : x);
}

static inline int8_t ern_sat8(int32_t x)
{
    return (int8_t)(x > 127 ? 127 : x < -128 ? -128 : x);
}

/* int32 accumulator -> int16 at its row's scale m * 2^-k, halves up; m in [16384, 32767], k in [8, 46]. */
static inline int16_t ern_requantize(int32_t acc, int32_t m, int32_t k)
{
    const int64_t y = ((int64_t)acc * m + ((int64_t)1 << (k - 1))) >> k;
    return (int16_t)(y > 32767 ? 32767 : y < -32768 ? -32768 : y);
}

/* int16 x int16 over 2^(shift + 1), in the contract's two roundings; shift in [14, 20]. */
static inline int16_t ern_mul16(int16_t a, int16_t b, int32_t shift)
{
    const int32_t t = ((int32_t)a * b + 1) >> 1;
    return ern_sat16((t + ((int32_t)1 << (shift - 1)) - (t < 0)) >> shift);
}

/* int16 at 2^-b seen as int8 at 2^(8-b). */
static inline int8_t ern_narrow(int16_t q)
{
    const int32_t t = ((int32_t)q + 1) >> 1;
    return ern_sat8((t + 64 - (t < 0)) >> 7);
}

/* int32 x int16 -> upper 32 bits of the 48-bit product: floor(a * w / 2^16). Two equal ways to say it: cores
 * without a 32 x 32 -> 64 multiplication take the second, and a test runs both over the same operands. */
static inline int32_t ern_mul_wide_long(int32_t a, int16_t w)
{
    return (int32_t)(((int64_t)a * w) >> 16);
}

static inline int32_t ern_mul_wide_short(int32_t a, int16_t w)
{
    return (a >> 16) * w + (((int32_t)((uint32_t)a & 0xFFFFu) * w) >> 16);
}

/* After r the next of 0 .. n-1 in the order of their bits read backwards; n a power of two. */
static inline uint32_t ern_next_reversed(uint32_t r, uint32_t n)
{
    for (n >>= 1; (r & n) != 0u; n >>= 1) {
        r ^= n;
    }
    return r | n;
}

/* int32 x int32 -> upper 32 bits of the 64-bit product. */
static inline int32_t ern_mul_high(int32_t a, int32_t w)
{
    return (int32_t)(((int64_t)a * w) >> 32);
}

#if defined(__ARM_ARCH_6M__)
#define ern_mul_wide ern_mul_wide_short
#else
#define ern_mul_wide ern_mul_wide_long
#endif

#endif
