/* Kernel for Arm cores with NEON, 64 and 32 bits. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of eight rows eight biases, for each group of columns its weights a row, eight scales m << (31 - k).
 * A group is one column where x is int16. Where it is int8 it is four, and sums go up by 8 bits before they are scaled.
 * Entries of fused loops are eight at a time.
 */
#ifndef ERN_NEON_H
#define ERN_NEON_H

#if !defined(__ARM_NEON)
#error "this C is for Arm cores with NEON (--kernel neon): export it with another kernel, or none, for your core"
#endif

#include <arm_neon.h>

#include "ern_fast.h"

#define ERN_FAST_LANES 8
typedef int16x8_t ern_fast_lanes;

/* The first `left` entries, of less than four. */
static inline int16x4_t ern_neon_some(const int16_t *p, uint32_t left)
{
    int16x4_t x = vdup_n_s16(0);
    if (left > 0u) {
        x = vld1_lane_s16(p, x, 0);
    }
    if (left > 1u) {
        x = vld1_lane_s16(p + 1, x, 1);
    }
    return left > 2u ? vld1_lane_s16(p + 2, x, 2) : x;
}

static inline void ern_neon_put_some(int16_t *p, uint32_t left, int16x4_t x)
{
    if (left > 0u) {
        vst1_lane_s16(p, x, 0);
    }
    if (left > 1u) {
        vst1_lane_s16(p + 1, x, 1);
    }
    if (left > 2u) {
        vst1_lane_s16(p + 2, x, 2);
    }
}

/* Entries from p on, of which `left` are there. */
static inline ern_fast_lanes ern_fast_get(const int16_t *p, uint32_t left)
{
    if (left >= 8u) {
        return vld1q_s16(p);
    }
    return left >= 4u ? vcombine_s16(vld1_s16(p), ern_neon_some(p + 4, left - 4u))
                      : vcombine_s16(ern_neon_some(p, left), vdup_n_s16(0));
}

static inline void ern_fast_put_int16(int16_t *p, uint32_t left, ern_fast_lanes x)
{
    if (left >= 8u) {
        vst1q_s16(p, x);
    } else if (left >= 4u) {
        vst1_s16(p, vget_low_s16(x));
        ern_neon_put_some(p + 4, left - 4u, vget_high_s16(x));
    } else {
        ern_neon_put_some(p, left, vget_low_s16(x));
    }
}

static inline void ern_fast_put_int8(int8_t *p, uint32_t left, ern_fast_lanes x)
{
    int8x8_t bytes = vmovn_s16(x);
    if (left >= 8u) {
        vst1_s8(p, bytes);
        return;
    }
    for (; left > 0u; left--) {
        vst1_lane_s8(p++, bytes, 0);
        bytes = vext_s8(bytes, bytes, 1);
    }
}

static inline ern_fast_lanes ern_fast_add(ern_fast_lanes a, ern_fast_lanes b)
{
    return vqaddq_s16(a, b);
}

static inline ern_fast_lanes ern_fast_sub(ern_fast_lanes a, ern_fast_lanes b)
{
    return vqsubq_s16(a, b);
}

static inline ern_fast_lanes ern_fast_add_relu(ern_fast_lanes a, ern_fast_lanes b)
{
    return vmaxq_s16(vqaddq_s16(a, b), vdupq_n_s16(0));
}

static inline ern_fast_lanes ern_neon_narrowed(int32x4_t low, int32x4_t high)
{
    return vcombine_s16(vqmovn_s32(low), vqmovn_s32(high));
}

static inline int32x4_t ern_neon_scaled(int32x4_t product, int32_t shift)
{
    const int32x4_t t = vrshrq_n_s32(product, 1);
    return vrshlq_s32(vsraq_n_s32(t, t, 31), vdupq_n_s32(-shift));
}

static inline ern_fast_lanes ern_fast_mul(ern_fast_lanes a, ern_fast_lanes b, int32_t shift)
{
    const int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
    const int32x4_t high = vmull_s16(vget_high_s16(a), vget_high_s16(b));
    return ern_neon_narrowed(ern_neon_scaled(low, shift), ern_neon_scaled(high, shift));
}

/* The word of the table of slopes at one of eight indices, and a vector of four of them. */
#define ERN_NEON_WORD(index, lane) ern_fast_curve[vgetq_lane_u16(index, lane)]
#ifdef __aarch64__
#define ERN_NEON_WORDS(words, index, first)                                                                                  \
    const uint32x4_t words = { ERN_NEON_WORD(index, first), ERN_NEON_WORD(index, (first) + 1),                               \
                               ERN_NEON_WORD(index, (first) + 2), ERN_NEON_WORD(index, (first) + 3) }
#else /* whose compiler makes more of that */
#define ERN_NEON_WORDS(words, index, first)                                                                                  \
    uint32x4_t words = vdupq_n_u32(ERN_NEON_WORD(index, first));                                                             \
    words = vld1q_lane_u32(&ERN_NEON_WORD(index, (first) + 1), words, 1);                                                    \
    words = vld1q_lane_u32(&ERN_NEON_WORD(index, (first) + 2), words, 2);                                                    \
    words = vld1q_lane_u32(&ERN_NEON_WORD(index, (first) + 3), words, 3)
#endif

/* Of each index the curve's base, and its slope. */
static inline uint16x8x2_t ern_neon_curve(uint16x8_t index)
{
    ERN_NEON_WORDS(first, index, 0);
    ERN_NEON_WORDS(second, index, 4);
    return vuzpq_u16(vreinterpretq_u16_u32(first), vreinterpretq_u16_u32(second));
}

/* |v| = (9 |x| + (x >= 0)) / 2: its step of the curve is 9 |x| >> 10, and what is left of it may be a whole step. Beyond 29013
 * the curve is as there. Where x is negative the result is 1 - that of |x|. */
static inline ern_fast_lanes ern_fast_sigmoid(ern_fast_lanes x)
{
    const int16x8_t sign = vshrq_n_s16(x, 15);
    const int16x8_t a = vminq_s16(vqabsq_s16(x), vdupq_n_s16(29013));
    const int16x8_t below = vandq_s16(vmulq_n_s16(a, 9), vdupq_n_s16(0x3FF));
    const uint16x8_t part = vreinterpretq_u16_s16(vrhaddq_s16(below, sign));
    const uint16x8_t index = vreinterpretq_u16_s16(vqdmulhq_n_s16(a, 9 * 32));
    const uint16x8x2_t at = ern_neon_curve(index);
    const uint32x4_t low = vmlal_u16(vshll_n_u16(vget_low_u16(at.val[0]), 9), vget_low_u16(part), vget_low_u16(at.val[1]));
    const uint32x4_t high = vmlal_u16(vshll_n_u16(vget_high_u16(at.val[0]), 9), vget_high_u16(part), vget_high_u16(at.val[1]));
    const int16x8_t y = vreinterpretq_s16_u16(vcombine_u16(vrshrn_n_u32(low, 10), vrshrn_n_u32(high, 10)));
    return vbslq_s16(vreinterpretq_u16_s16(sign), vsubq_s16(vdupq_n_s16(-32768), y), y);
}

/* Likewise, with steps of 2^9, up to 14506; where x is negative it is - that of |x|. A base is a whole number of the result's
 * units, so only part * slope is rounded, by 8 bits: 2^7 part times the slope, doubled, upper half. A whole step of 256 parts
 * saturates by one, which is less than the rounding. */
static inline ern_fast_lanes ern_fast_tanh(ern_fast_lanes x)
{
    const int16x8_t sign = vshrq_n_s16(x, 15);
    const int16x8_t a = vminq_s16(vqabsq_s16(x), vdupq_n_s16(14506));
    const int16x8_t below = vandq_s16(vmulq_n_s16(a, 9), vdupq_n_s16(0x1FF));
    const int16x8_t part = vqshlq_n_s16(vrhaddq_s16(below, sign), 7);
    const uint16x8x2_t at = ern_neon_curve(vreinterpretq_u16_s16(vqdmulhq_n_s16(a, 9 * 64)));
    const int16x8_t y = vaddq_s16(vreinterpretq_s16_u16(at.val[0]), vqrdmulhq_s16(part, vreinterpretq_s16_u16(at.val[1])));
    return vsubq_s16(veorq_s16(vsubq_s16(y, vdupq_n_s16(-32768)), sign), sign);
}

/* floor((scale c + 3) / 6): what is divided is made positive by a multiple of 6; u / 6 = u * 0x55555556 >> 33. */
static inline int32x4_t ern_neon_sixth(int32x4_t scaled)
{
    const int32x4_t u = vaddq_s32(scaled, vdupq_n_s32(3 + 6 * (1 << 26)));
    return vsubq_s32(vshrq_n_s32(vqdmulhq_n_s32(u, 0x55555556), 2), vdupq_n_s32(1 << 26));
}

static inline ern_fast_lanes ern_fast_cell_to_preact(ern_fast_lanes c, int32_t exponent)
{
    const int16x8_t scale = vdupq_n_s16((int16_t)(1 << (14 - exponent)));
    const int32x4_t low = vmull_s16(vget_low_s16(c), vget_low_s16(scale));
    const int32x4_t high = vmull_s16(vget_high_s16(c), vget_high_s16(scale));
    return ern_neon_narrowed(ern_neon_sixth(low), ern_neon_sixth(high));
}

/* (x + 129 - 2 (x < 0)) >> 8, as the two roundings add up; where the sum saturates the result does. */
static inline ern_fast_lanes ern_fast_narrow(ern_fast_lanes x)
{
    return vshrq_n_s16(vsraq_n_s16(vsraq_n_s16(vqaddq_s16(x, vdupq_n_s16(129)), x, 15), x, 15), 8);
}

#endif
