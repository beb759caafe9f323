/* Kernel for Cortex-M0 and M0+: no product of more than 32 bits, no saturation. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of eight rows eight sums to begin with, for each column two words of four weights + 128, eight scales
 * m << 16 | k - 16. Row r of a word's four is summed as x * (word >> (24 - 8 r)), see DigitKernel.
 */
#ifndef ERN_M0_H
#define ERN_M0_H

#if !defined(__thumb__)
#error "this C is for Cortex-M0 and M0+ (--kernel m0): export it with another kernel, or none, for your core"
#endif

#include "ern_fast.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One row of x: y[rows]. */
void ern_m0_rows(int16_t *y, const ern_fast_linear *l, const int16_t *x);

#ifdef __cplusplus
}
#endif

/* |v| = (9 |x| + (x >= 0)) / 2 by the step between two entries of the table, |v| < 255 steps: the entry, base | slope << 16, to
 * %[at], and the part of a step to %[x]. 16 instructions; `bits` is one more than those of a step, whose part begins at bit 1. */
#define ERN_M0_CURVE(bits)                                                                                            \
    ".syntax unified\n"                                                                                               \
    "asrs %[sign], %[x], #31\n"                                                                                       \
    "eors %[x], %[sign]\n"                                                                                            \
    "subs %[x], %[x], %[sign]\n"                                                                                      \
    "lsls %[at], %[x], #3\n"                                                                                          \
    "adds %[x], %[x], %[at]\n"                                                                                        \
    "adds %[x], %[x], %[sign]\n"                                                                                      \
    "adds %[x], #1\n"                                                                                                 \
    "lsrs %[at], %[x], #" #bits "\n"                                                                                  \
    "cmp %[at], #254\n"                                                                                               \
    "bls 1f\n"                                                                                                        \
    "movs %[at], #254\n"                                                                                              \
    "movs %[x], #0\n"                                                                                                 \
    "mvns %[x], %[x]\n"                                                                                               \
    "1: lsls %[at], #2\n"                                                                                             \
    "ldr %[at], [%[curve], %[at]]\n"                                                                                  \
    "lsls %[x], #32 - " #bits "\n"                                                                                    \
    "lsrs %[x], #33 - " #bits "\n"                                                                                    \
    "lsrs %[slope], %[at], #16\n"                                                                                     \
    "muls %[x], %[slope], %[x]\n"

/* The last bit that a shift leaves out is its carry: it rounds. */
static inline int32_t ern_fast_sigmoid(int32_t x)
{
    uint32_t sign, at, slope;
    __asm__(ERN_M0_CURVE(10)
            "uxth %[at], %[at]\n"
            "lsls %[at], #9\n"
            "adds %[x], %[x], %[at]\n"
            "eors %[x], %[sign]\n"
            "lsls %[sign], #15\n"
            "subs %[sign], #1\n"
            "asrs %[x], #10\n"
            "sbcs %[x], %[sign]\n" /* x + 32768 if it was negative, + carry */
            : [x] "+l"(x), [sign] "=&l"(sign), [at] "=&l"(at), [slope] "=&l"(slope)
            : [curve] "l"(ern_fast_curve)
            : "cc");
    return x;
}

static inline int32_t ern_fast_tanh(int32_t x)
{
    uint32_t sign, at, slope;
    __asm__(ERN_M0_CURVE(9)
            "lsls %[at], #17\n" /* 2 sigmoid - 1: its highest bit is always set */
            "lsrs %[at], #9\n"
            "adds %[x], %[x], %[at]\n"
            "eors %[x], %[sign]\n"
            "movs %[sign], #0\n"
            "asrs %[x], #8\n"
            "adcs %[x], %[sign]\n"
            : [x] "+l"(x), [sign] "=&l"(sign), [at] "=&l"(at), [slope] "=&l"(slope)
            : [curve] "l"(ern_fast_curve)
            : "cc");
    return x;
}

/* floor((x + 3) / 6) in int16's range, without a division: of u < 6 * 2^16, a third of u / 2 is (u / 2) * 21845 >> 16 or 1 more. */
static inline int32_t ern_fast_sixth(int32_t x)
{
    uint32_t half, third;
    x = x > 6 * 32768 - 4 ? 6 * 32768 - 4 : x;
    x = x < -6 * 32768 - 3 ? -6 * 32768 - 3 : x;
    half = (uint32_t)(x + 6 * 32768 + 3) >> 1;
    third = (half * 21845u) >> 16;
    return (int32_t)(third + (half - 3u * third >= 3u)) - 32768;
}

#define ERN_FAST_OWN_CURVES
#define ERN_FAST_OWN_SIXTH
#define ern_fast_halves_up(x, shift) ((((x) >> ((shift) - 1)) + 1) >> 1) /* no constant to load */
#include "ern_fast_entry.h"

#endif
