/* What both signal paths end in: log2 of a band's energy, and the normalisation that makes it a feature.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Included by ern_frontend.c and ern_stft.c only. Definitions: edgernn/signal/log2.py and edgernn/core/affine.py.
 */
#ifndef ERN_LOG_H
#define ERN_LOG_H

#include "ern_math.h"

#define ERN_POWER_SHIFT 12 /* of a squared magnitude, so that sums over bands keep clear of 64 bits */

/* log2(1 + i/32) in Q15 */
static const uint16_t ern_log2_table[33] = {
    0, 1455, 2866, 4236, 5568, 6863, 8124, 9352, 10549, 11716, 12855,
    13968, 15055, 16117, 17156, 18173, 19168, 20143, 21098, 22034, 22952, 23852,
    24736, 25604, 26455, 27292, 28114, 28922, 29717, 30498, 31267, 32024, 32768,
};

/* The 32 bits from the highest one of a positive integer below 2^62 on, and that one's number. */
static inline uint32_t ern_highest(uint64_t energy, uint32_t *exponent)
{
#ifdef ERN_LEADING_ZEROS /* of a word that is not 0, where the core has an instruction for it */
    const uint32_t upper = (uint32_t)(energy >> 32), lower = (uint32_t)energy;
    const uint32_t zeros = ERN_LEADING_ZEROS(upper != 0u ? upper : lower);
    *exponent = (upper != 0u ? 63u : 31u) - zeros;
    return upper != 0u ? (upper << zeros) | (lower >> (32u - zeros)) : lower << zeros;
#else
    uint32_t step;
    *exponent = 62;
    for (step = 32; step > 0u; step /= 2u) {
        if (energy >> (63u - step) == 0u) { /* the highest bit comes to 62 in six strides */
            energy <<= step;
            *exponent -= step;
        }
    }
    return (uint32_t)(energy >> 31);
#endif
}

/* log2 in Q9 of a positive integer below 2^62. */
static inline int16_t ern_log2_q9(uint64_t energy)
{
    uint32_t exponent;
    const uint32_t bits = ern_highest(energy, &exponent), index = (bits >> 26) & 31u, fraction = (bits >> 18) & 255u;
    const uint32_t slope = (uint32_t)(ern_log2_table[index + 1u] - ern_log2_table[index]);
    const uint32_t value = ern_log2_table[index] + ((slope * fraction) >> 8);
    return (int16_t)((exponent << 9) + ((value + 32u) >> 6));
}

/* (log - offset) * gain, rounding shift, saturated to `bits`; shift in [1, 24], gain >= 1. */
static inline int16_t ern_normalize(int16_t log, int16_t offset, int16_t gain, uint32_t shift, uint32_t bits)
{
    const int32_t d = ern_sat16((int32_t)log - offset);
    const int32_t x = ERN_PROVE32((ern_wide)d * gain + ((int32_t)1 << (shift - 1))) >> shift;
    return bits == 8u ? (int16_t)ern_sat8(x) : ern_sat16(x);
}

#endif
