/* Kernel for Cortex-M55 with Helium (MVE). The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of four rows four biases, for each group of columns a vector of weights a row, four scales m << (32 - k).
 * A group is eight columns where x is int16. Where it is int8 it is sixteen, and sums go up by 8 bits before they are scaled.
 * Entries of fused loops are eight at a time.
 */
#ifndef ERN_MVE_H
#define ERN_MVE_H

#if !defined(__ARM_FEATURE_MVE)
#error "this C is for Cortex-M55 with Helium (--kernel mve): export it with another kernel, or none, for your core"
#endif

#include <arm_mve.h>

#include "ern_fast.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One row of x: y[rows]. */
void ern_mve_rows16(int16_t *y, const ern_fast_linear *l, const int16_t *x);
void ern_mve_rows8(int16_t *y, const ern_fast_linear *l, const int8_t *x);

#ifdef __cplusplus
}
#endif

#define ERN_FAST_LANES 8
typedef int16x8_t ern_fast_lanes;

/* Entries from p on, of which `left` are there. */
static inline ern_fast_lanes ern_fast_get(const int16_t *p, uint32_t left)
{
    return left >= 8u ? vldrhq_s16(p) : vldrhq_z_s16(p, vctp16q(left));
}

static inline void ern_fast_put_int16(int16_t *p, uint32_t left, ern_fast_lanes x)
{
    if (left >= 8u) {
        vstrhq_s16(p, x);
    } else {
        vstrhq_p_s16(p, x, vctp16q(left));
    }
}

static inline void ern_fast_put_int8(int8_t *p, uint32_t left, ern_fast_lanes x)
{
    if (left >= 8u) {
        vstrbq_s16(p, x);
    } else {
        vstrbq_p_s16(p, x, vctp16q(left));
    }
    __asm__ __volatile__("" : : : "memory"); /* GCC 12 takes a narrowing store before another for dead */
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

/* Even and odd entries in 32 bits -> one vector, saturated. */
static inline ern_fast_lanes ern_mve_narrowed(int32x4_t even, int32x4_t odd)
{
    return vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(even), even), odd);
}

static inline int32x4_t ern_mve_scaled(int32x4_t product, int32_t shift)
{
    const int32x4_t t = vrshrq_n_s32(product, 1);
    return vrshlq_n_s32(vaddq_s32(t, vshrq_n_s32(t, 31)), -shift);
}

static inline ern_fast_lanes ern_fast_mul(ern_fast_lanes a, ern_fast_lanes b, int32_t shift)
{
    return ern_mve_narrowed(ern_mve_scaled(vmullbq_int_s16(a, b), shift), ern_mve_scaled(vmulltq_int_s16(a, b), shift));
}

/* The curve in 32 bits, even and odd entries: `part` of 2^bits parts of a step beyond each index, bits 8 or 9. */
typedef struct {
    uint32x4_t even, odd;
} ern_mve_pair;

static inline ern_mve_pair ern_mve_curve(uint16x8_t index, uint16x8_t part, uint32_t bits)
{
    const uint16_t *const words = (const uint16_t *)(const void *)ern_fast_curve;
    const uint16x8_t at = vshlq_n_u16(index, 1);
    const uint16x8_t base = vldrhq_gather_shifted_offset_u16(words, at);
    const uint16x8_t slope = vldrhq_gather_shifted_offset_u16(words + 1, at);
    ern_mve_pair y;
    y.even = vaddq_u32(bits == 8u ? vshllbq_n_u16(base, 8) : vshllbq_n_u16(base, 9), vmullbq_int_u16(part, slope));
    y.odd = vaddq_u32(bits == 8u ? vshlltq_n_u16(base, 8) : vshlltq_n_u16(base, 9), vmulltq_int_u16(part, slope));
    return y;
}

/* |v| = (9 |x| + (x >= 0)) / 2: its step of the curve is 9 |x| >> 10, and what is left of it may be a whole step. Beyond 29013
 * the curve is as there. Where x is negative the result is 1 - that of |x|. */
static inline ern_fast_lanes ern_fast_sigmoid(ern_fast_lanes x)
{
    const uint16x8_t a = vminq_u16(vreinterpretq_u16_s16(vabsq_s16(x)), vdupq_n_u16(29013));
    const int16x8_t below = vreinterpretq_s16_u16(vbicq_n_u16(vmulq_n_u16(a, 9), 0xFC00));
    const uint16x8_t part = vreinterpretq_u16_s16(vrhaddq_s16(below, vshrq_n_s16(x, 15)));
    const ern_mve_pair r = ern_mve_curve(vmulhq_u16(a, vdupq_n_u16(9 * 64)), part, 9);
    const uint16x8_t y = vrshrntq_n_u32(vrshrnbq_n_u32(part, r.even, 10), r.odd, 10);
    return vreinterpretq_s16_u16(vsubq_m_u16(y, vdupq_n_u16(32768), y, vcmpltq_n_s16(x, 0)));
}

/* Likewise, with steps of 2^9, up to 14506; where x is negative it is - that of |x|. */
static inline ern_fast_lanes ern_fast_tanh(ern_fast_lanes x)
{
    const uint16x8_t a = vminq_u16(vreinterpretq_u16_s16(vabsq_s16(x)), vdupq_n_u16(14506));
    const int16x8_t below = vreinterpretq_s16_u16(vbicq_n_u16(vmulq_n_u16(a, 9), 0xFE00));
    const uint16x8_t part = vreinterpretq_u16_s16(vrhaddq_s16(below, vshrq_n_s16(x, 15)));
    const ern_mve_pair r = ern_mve_curve(vmulhq_u16(a, vdupq_n_u16(9 * 128)), part, 8);
    const uint16x8_t y = vrshrntq_n_u32(vrshrnbq_n_u32(part, r.even, 8), r.odd, 8);
    const int16x8_t own = vreinterpretq_s16_u16(vsubq_n_u16(y, 32768));
    return vnegq_m_s16(own, own, vcmpltq_n_s16(x, 0));
}

/* floor((scale c + 3) / 6): what is divided is made positive by a multiple of 6; u / 6 = u * 0xAAAAAAAB >> 34. */
static inline int32x4_t ern_mve_sixth(int32x4_t scaled)
{
    const uint32x4_t u = vreinterpretq_u32_s32(vaddq_n_s32(scaled, 3 + 6 * (1 << 26)));
    const uint32x4_t sixth = vshrq_n_u32(vmulhq_u32(u, vdupq_n_u32(0xAAAAAAABu)), 2);
    return vsubq_n_s32(vreinterpretq_s32_u32(sixth), 1 << 26);
}

static inline ern_fast_lanes ern_fast_cell_to_preact(ern_fast_lanes c, int32_t exponent)
{
    const int16x8_t scale = vdupq_n_s16((int16_t)(1 << (14 - exponent)));
    return ern_mve_narrowed(ern_mve_sixth(vmullbq_int_s16(c, scale)), ern_mve_sixth(vmulltq_int_s16(c, scale)));
}

/* (x + 129 - 2 (x < 0)) >> 8, as the two roundings add up; where the sum saturates the result does. */
static inline ern_fast_lanes ern_fast_narrow(ern_fast_lanes x)
{
    const int16x8_t sign = vshrq_n_s16(x, 15);
    return vshrq_n_s16(vaddq_s16(vqaddq_n_s16(x, 129), vaddq_s16(sign, sign)), 8);
}

#endif
